"""Memory for gradients, and what to do with it when it is not needed."""

from __future__ import annotations

import os
import sys
from typing import Any

import torch
from torch import Tensor

from fastloss._core import operators as _ops
from fastloss._core._torch import from_dlpack

# Smaller blocks the C library keeps between steps by itself (its own threshold).
POOLED_BYTES = sys.maxsize if os.environ.get("FASTLOSS_POOL") == "0" else 128 << 10

_pooled_tensor: Any = _ops._C.pooled_tensor if _ops._C is not None else None
_is_compiling = torch.compiler.is_compiling


def empty_like(tensor: Tensor) -> Tensor:
    """`torch.empty_like`; a large CPU tensor from the gradient pool (Note [Gradient pool] in csrc/torch/memory.h)."""
    if type(tensor) is not Tensor or not tensor.is_cpu or _is_compiling() or tensor.nbytes < POOLED_BYTES:
        return torch.empty_like(tensor)
    strides = tensor.stride() if tensor.is_contiguous() else torch.empty_like(tensor, device="meta").stride()
    return _pooled(tensor.shape, strides, tensor.dtype)


def empty(shape: tuple[int, int], like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """A matrix on the device and, unless given, of the dtype of ``like``, from the same pool."""
    dtype = dtype or like.dtype
    if shape[0] * shape[1] * dtype.itemsize < POOLED_BYTES or not like.is_cpu:
        return torch.empty(shape, dtype=dtype, device=like.device)
    return _pooled(shape, (shape[1], 1), dtype)


def _pooled(shape: tuple[int, ...], strides: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    return from_dlpack(_pooled_tensor(shape, strides, dtype.itemsize, dtype is torch.bfloat16))


def memory_usage() -> dict[str, int]:
    """Bytes of CPU memory in fastloss's gradient pool: ``"in_use"`` by gradients, and ``"idle"``.

    Gradients of 128 KiB and more are written to blocks that the pool keeps from step to step, because the operating
    system would zero fresh ones each time. What it holds never exceeds the most that gradients needed at once, counted
    in pages of 2 MiB (below that, in 64 KiB); `empty_cache` gives the idle part back.

    The storage of such a gradient cannot be resized: ``grad.untyped_storage().resize_(n)``, and ``grad.resize_``,
    ``grad.resize_as_`` and ``out=grad`` where the result needs more memory than the gradient has, raise PyTorch's
    RuntimeError "Trying to resize storage that is not resizable". All else works: ``out=grad`` and ``resize_`` to the
    same or a smaller size, arithmetic in place, ``grad.set_``, ``grad.data = other``, `torch.utils.swap_tensors`,
    ``share_memory_``. Code that resizes gradients needs the environment variable ``FASTLOSS_POOL=0``, read when
    fastloss is imported: gradients are then `torch.empty_like`'s, slower by the pages that the system zeroes, and this
    function says 0.

    Example:
        >>> sorted(fastloss.memory_usage())
        ['idle', 'in_use']
    """
    in_use, idle = _ops.extension().memory_usage() if _ops.AVAILABLE else (0, 0)
    return {"in_use": in_use, "idle": idle}


def empty_cache() -> None:
    """Gives the idle memory of the gradient pool back to the system now, as `torch.cuda.empty_cache` does on a GPU.

    Example:
        >>> fastloss.empty_cache()
        >>> fastloss.memory_usage()["idle"]
        0
    """
    if _ops.AVAILABLE:
        _ops.extension().memory_release_idle()
