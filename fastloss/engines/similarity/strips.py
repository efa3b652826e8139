"""A matrix of products, of which a strip of whole rows exists at a time, and sums of products in a wider type."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

from fastloss._core import memory as _memory

# Bytes of a strip. One near the caches' size saves little: products read it from memory at a fraction of their time.
# Thin strips make slow products.
_STRIP_BYTES = 32 << 20
_CUDA_STRIP_BYTES = 128 << 20  # a strip costs launches, and the columns' gradient is read and written once more
_CUDA_STRIP_ROWS = 1024  # of a head, at least: "Heads" in csrc/notes/similarity.md
_MIN_STRIP_ROWS = 128
_BLOCK_NUMBERS = 1 << 20  # of a product of halves that is added to float32
MEMORY_BUDGET = 256 << 20  # bytes that are kept where nobody has said how many


def on_gpu(t: Tensor) -> bool:
    return t.is_cuda


def strip_bytes(like: Tensor, classes: int = 0) -> int:
    """Of a strip; ``classes``: of a head, whose gradient every strip reads and writes in float32."""
    return _STRIP_BYTES if like.is_cpu else max(_CUDA_STRIP_BYTES, _CUDA_STRIP_ROWS * classes * like.element_size())


def kept_bytes(asked: int, rows: Tensor, width: int, alone: bool) -> int:
    """Bytes of similarities that may be kept: as many as are asked for, unless that is negative.

    A fourth product takes longer than a larger matrix takes memory that is free anyway, so of a GPU's a quarter may go.
    Processes that share a batch must agree, and in a capture nobody may ask.
    """
    if asked >= 0:
        return asked
    wanted = rows.shape[0] * width * rows.element_size()
    if wanted <= MEMORY_BUDGET or not rows.is_cuda or not alone or torch.cuda.is_current_stream_capturing():
        return MEMORY_BUDGET
    cached = torch.cuda.memory_reserved(rows.device) - torch.cuda.memory_allocated(rows.device)
    return max(MEMORY_BUDGET, (torch.cuda.mem_get_info(rows.device)[0] + cached) // 4)


def matrix(height: int, width: int, like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Memory for a matrix. On a GPU rows begin on 16 bytes, or products and kernels would read fewer at a time."""
    lanes = 16 // (dtype or like.dtype).itemsize if on_gpu(like) else 1
    return _memory.empty((height, -(-width // lanes) * lanes), like, dtype)[:, :width]


class Strips:
    """The matrix of the products of ``rows`` (N, D) with M vectors.

    Attributes:
        rows: Those vectors.
        whole: The matrix fits the budget.
        kept: Every strip has memory of its own, and can be read again. Else strips share the memory of one.
        single: One strip is the matrix.
        bounds: First and last row of each strip.
    """

    def __init__(
        self, rows: Tensor, width: int, budget: int, waits: bool, again: bool, most: int | None = None
    ) -> None:
        """``waits``: a strip must wait for all others before it is read again, so that keeping them is worth ``budget``
        bytes, and not only a strip's. ``again``: strips are read again at all. ``most``: bytes of a strip."""
        n, row_bytes = rows.shape[0], width * rows.element_size()
        most = min(strip_bytes(rows), budget) if most is None else most
        height = max(_MIN_STRIP_ROWS, most // max(1, row_bytes))
        if on_gpu(rows):  # products are made of tiles of 128 rows
            height -= height % _MIN_STRIP_ROWS
        self.rows, self.width = rows, width
        self.whole = n * row_bytes <= (budget if waits else most)
        self.kept = self.whole and again
        self.single = n <= height
        self.bounds = [(0, n)]
        if not self.single:
            self.bounds = [(b, min(b + height, n)) for b in range(0, n, height)]
        self.matrix = matrix(n if self.kept else min(height, n), width, rows)

    def cut(self, t: Any, begin: int, end: int) -> Any:
        """A strip's part of a tensor with an entry per row. (Every view costs a microsecond of a small problem.)"""
        return t if t is None or self.single else t[begin:end]

    def tile(self, begin: int, end: int, first: int, last: int) -> Tensor:
        """A strip's memory for some of the columns."""
        tile = self.matrix
        if not self.single:
            tile = tile[begin:end] if self.kept else tile[: end - begin]
        if last - first == self.width:
            return tile
        return tile[:, first:last] if self.kept else tile[:, : last - first]

    def product(self, begin: int, end: int, columns: Tensor, tile: Tensor) -> Tensor:
        """Writes the products of a strip's rows with these vectors."""
        return torch.mm(self.cut(self.rows, begin, end), columns.t(), out=tile)


@functools.cache
def _multiplies_bfloat16(device: torch.device) -> bool:
    return torch.cuda.get_device_capability(device) >= (8, 0)


def wide(t: Tensor) -> dict[str, Any]:
    """Asks the product of half matrices on a GPU for the float32 that it was added up in, where that can be had."""
    able = t.is_cuda and (
        (t.dtype == torch.bfloat16 and _multiplies_bfloat16(t.device))
        or (t.dtype == torch.float16 and not torch.backends.cuda.matmul.allow_fp16_accumulation)
    )
    return {"out_dtype": torch.float32} if able else {}


@functools.cache
def _adds_wide(dtype: torch.dtype, device: torch.device) -> bool:
    """Whether this torch adds such a product to a float32 matrix (PyTorch's pull request 167931). Launches nothing."""
    empty = torch.empty(0, 0, dtype=dtype, device=device)
    try:
        torch.addmm(empty.float(), empty, empty, out_dtype=torch.float32)
    except RuntimeError:
        return False
    return True


def add_product(to: Tensor, a: Any, b: Tensor, first: bool = False) -> Tensor:
    """Adds a matrix product to ``to``, which is of the computing type; ``first``: writes it there."""
    if to.dtype == b.dtype:
        return torch.mm(a, b, out=to) if first else to.addmm_(a, b)
    asked = wide(b)
    if asked and first:
        return torch.mm(a, b, **asked, out=to)
    if asked and _adds_wide(b.dtype, b.device):
        return torch.addmm(to, a, b, **asked, out=to)
    # On a CPU some rows at a time: the product stays in a cache, and takes no memory of its own.
    step = max(1, _BLOCK_NUMBERS // max(1, b.shape[1])) if to.is_cpu else max(1, to.shape[0])
    for begin in range(0, to.shape[0], step):
        part, product = to[begin : begin + step], torch.mm(a[begin : begin + step], b, **asked)
        part.copy_(product) if first else part.add_(product)
    return to
