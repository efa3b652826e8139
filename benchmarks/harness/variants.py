"""What competes on a row, and how one training step of it is run."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

import fastloss
from fastloss.engines.similarity import strips
from fastloss.engines.similarity.strips import MEMORY_BUDGET

from . import peers
from .inputs import Case
from .losses import LOSSES
from .suites import Row
from .timing import Prepare

EAGER, COMPILE, OURS, INPLACE = "eager", "torch.compile", "fastloss", "fastloss in place"
COPY, WARM_COPY, PRODUCTS = "copy", "copy, warm output", "matrix products"


@dataclass(frozen=True)
class Variant:
    """One way to compute a loss.

    Attributes:
        call: ``call(input, target)`` gives the scalar loss.
        overwrites: The gradient may be written over the input, so every step needs logits of its own.
        path: For ours, the path `fastloss.explain` reports.
    """

    name: str
    call: Callable[[Tensor, Tensor], Tensor]
    overwrites: bool = False
    path: str | None = None


def eager(row: Row) -> Variant:
    native, options = LOSSES[row.loss].native, dict(row.options)
    return Variant(EAGER, lambda x, y: native(x, y, **options))


def compiled(row: Row) -> Variant:
    """The native loss under torch.compile; it compiles at its first call."""
    # All rows share one code object: without a reset the ninth shape would silently run eagerly.
    torch._dynamo.reset()
    return Variant(COMPILE, torch.compile(eager(row).call, dynamic=False, fullgraph=True))


def ours(row: Row, case: Case) -> Variant:
    function, options = LOSSES[row.loss].ours, dict(row.options)
    path = fastloss.explain(function, case.input, case.target, **options).path
    return Variant(OURS, lambda x, y: function(x, y, **options), path=path)


def ours_inplace(row: Row, case: Case) -> Variant:
    function, options = LOSSES[row.loss].ours, dict(row.options)
    logits = _refill(_empty_logits(case.input), case.input)
    path = fastloss.explain(function, logits, case.target, inplace=True, **options).path
    return Variant(INPLACE, lambda x, y: function(x, y, inplace=True, **options), overwrites=True, path=path)


def _dense(x: Tensor) -> bool:
    """Without gaps or overlaps, in any order of dimensions; empty_like keeps exactly these strides."""
    return torch.empty_like(x, device="meta").stride() == x.stride()


def build(row: Row, case: Case, with_compile: bool) -> list[Variant]:
    """Everything that competes on the row, eager first."""
    variants = [eager(row)]
    if with_compile:
        variants.append(compiled(row))
    variants += [Variant(name, call) for name, call in LOSSES[row.loss].others.items()]
    variants.append(ours(row, case))
    # Into a leaf with gaps torch copies the gradient packed, which real logits, not being leaves, never see.
    if LOSSES[row.loss].inplace and _dense(case.input):
        variants.append(ours_inplace(row, case))
    if case.input.is_cuda:
        variants += [Variant(peer.name, peer.call, peer.overwrites) for peer in peers.importable(row)]
    return variants


def build_one(row: Row, case: Case, name: str) -> Variant:
    return next(variant for variant in build(row, case, name == COMPILE) if variant.name == name)


def _empty_logits(input: Tensor) -> Tensor:
    return torch.empty_strided(input.size(), input.stride(), dtype=input.dtype, device=input.device)


def _refill(logits: Tensor, leaf: Tensor) -> Tensor:
    """Makes ``logits`` a non-leaf that holds the leaf's values, as a model's last layer does.

    The backward of copy_ hands the gradient on as it is, in C++. Reusing the memory keeps the allocator's
    state, and so the page faults of the other variants, as they would be without this one.
    """
    return logits.detach_().copy_(leaf)


def evaluate(variant: Variant, case: Case) -> tuple[Tensor, Tensor]:
    """Loss and gradient of one step."""
    leaf = case.input
    loss = variant.call(_refill(_empty_logits(leaf), leaf) if variant.overwrites else leaf, case.target)
    loss.backward()
    gradient = leaf.grad
    assert gradient is not None
    leaf.grad = case.target.grad = None
    return loss.detach(), gradient


def steps(variant: Variant, cases: list[Case]) -> Prepare:
    """Forward and backward through the public functions, with a fresh gradient each step.

    The gradient is dropped inside the timed part, so a variant pays for releasing what it made and for
    nothing that another one made. Logits to be overwritten are filled outside it: the model makes them
    whichever loss is used. As many are filled as there are cases, so that the first is out of cache again
    where the cases are.
    """
    ring = itertools.cycle(cases)
    call = variant.call
    owned: list[Tensor] = []

    def prepare(repeats: int) -> Callable[[], None]:
        if variant.overwrites:
            filled = list(itertools.islice(ring, max(repeats, len(cases))))
            owned.extend(_empty_logits(case.input) for case in filled[len(owned) :])
            logits = [_refill(mine, case.input) for mine, case in zip(owned, filled, strict=False)]
            batch = list(zip(filled, logits, strict=True))[:repeats]
        else:
            batch = [(case, case.input) for case in itertools.islice(ring, repeats)]
        work = [(case.input, logits, case.target) for case, logits in batch]

        def go() -> None:
            for leaf, logits, target in work:
                call(logits, target).backward()
                leaf.grad = target.grad = None

        return go

    return prepare


def products(row: Row, device: str) -> dict[str, Prepare]:
    """The roof of losses of all pairs: the matrix products of our plan (Note [Plan] in
    `fastloss.engines.similarity.plan`)."""
    if row.classes:
        return {PRODUCTS: _repeated(_products_of_head(row, device))}
    count = LOSSES[row.loss].products
    if not count:
        return {}
    n = row.shape[0] if row.loss != "nt_xent" else 2 * row.shape[0]
    x, y = (torch.randn(n, row.shape[1], device=device).to(row.torch_dtype) for _ in range(2))
    row_bytes = n * x.element_size()
    looks = 1 if n * row_bytes <= MEMORY_BUDGET else 2
    strip_bytes = strips._STRIP_BYTES if device == "cpu" else strips._CUDA_STRIP_BYTES
    height = max(1, min(n, strip_bytes // row_bytes))
    matrix = torch.empty(n if looks == 1 else height, n, dtype=x.dtype, device=device)
    gradients = [torch.empty_like(x), torch.zeros_like(y)]

    def once() -> None:
        for look in range(looks):
            for begin in range(0, n, height):
                end = min(n, begin + height)
                tile = matrix[begin:end] if looks == 1 else matrix[: end - begin]
                torch.mm(x[begin:end], y.T, out=tile)
                if look == looks - 1:
                    torch.mm(tile, y, out=gradients[0][begin:end])
                    if count == 2:
                        gradients[1].addmm_(tile.T, x[begin:end])

    return {PRODUCTS: _repeated(once)}


def _products_of_head(row: Row, device: str) -> Callable[[], None]:
    """Those of Note [Heads] in `fastloss.engines.linear`."""
    x, y = (torch.randn(k, row.shape[1], device=device).to(row.torch_dtype) for k in (row.shape[0], row.classes))
    most = strips.strip_bytes(x, row.classes)
    strip = strips.Strips(x, row.classes, most, False, False, most)
    to_x, to_y = torch.empty_like(x), torch.zeros_like(y, dtype=torch.promote_types(y.dtype, torch.float32))

    def once() -> None:
        for begin, end in strip.bounds:
            tile = strip.product(begin, end, y, strip.tile(begin, end, 0, row.classes))
            torch.mm(tile, y, out=to_x[begin:end])
            strips.add_product(to_y, tile.T, x[begin:end], begin == 0)

    return once


def _repeated(once: Callable[[], None]) -> Prepare:
    def prepare(repeats: int) -> Callable[[], None]:
        def go() -> None:
            for _ in range(repeats):
                once()

        return go

    return prepare


def copies(row: Row, device: str) -> dict[str, Prepare]:
    """The roof: a plain copy that moves the loss's minimal bytes, half of them read and half written."""
    elements = LOSSES[row.loss].minimal_bytes(row) // (2 * row.torch_dtype.itemsize)
    source = torch.ones(elements, dtype=row.torch_dtype, device=device)
    output = torch.zeros_like(source)

    def fresh(repeats: int) -> Callable[[], None]:
        def go() -> None:
            for _ in range(repeats):
                torch.empty_like(source).copy_(source)

        return go

    def warm(repeats: int) -> Callable[[], None]:
        def go() -> None:
            for _ in range(repeats):
                output.copy_(source)

        return go

    return {COPY: fresh, WARM_COPY: warm}
