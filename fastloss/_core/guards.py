"""What the families share on the way to a kernel: which calls none takes, and scalars as operators want them."""

from __future__ import annotations

import numbers
import sys
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from fastloss._core import operators as _ops
from fastloss._core import verified
from fastloss._core._torch import FakeTensor, forward_mode_active, tracing_state, transforms_active

KERNEL_DTYPES = frozenset(_ops.DTYPE_CODES)
REDUCTIONS = _ops.REDUCTIONS
TENSORS = frozenset((Tensor, torch.nn.Parameter))
TORCH_ERRORS = (RuntimeError, ValueError, TypeError, IndexError, NotImplementedError)

is_compiling = torch.compiler.is_compiling
is_dynamo_compiling = torch.compiler.is_dynamo_compiling  # a third of the time of the other


def why_no_kernel(engine: str, tensors: Sequence[Any], devices: tuple[str, ...] = ("cpu", "cuda", "meta")) -> str:
    """What keeps a call with these tensors from an engine's kernels; empty if nothing does."""
    if not _ops.AVAILABLE:
        return _ops.missing_reason()
    if transforms_active():
        return "a torch.func transform is active"
    if forward_mode_active():
        return "forward-mode AD is active"
    if tracing_state() is not None:
        return "torch.jit.trace records it, and what it saves must run without fastloss"
    for t in tensors:  # a loop takes half the time of a list, and that half of a generator's
        if type(t) not in TENSORS and not isinstance(t, FakeTensor):  # DTensor, nested, ... have a meaning of their own
            return "an argument is a Tensor subclass" if isinstance(t, Tensor) else "an argument is not a tensor"
    if not tensors:
        return "an argument is not a tensor"
    device, compiling = tensors[0].device, is_compiling()
    kind = device.type
    if kind == "cuda" and not _ops.CUDA:
        return f"there are no CUDA kernels: {_ops.missing_cuda_reason()}"
    if kind not in devices:
        return f"there is no {kind} kernel"
    for t in tensors:
        if t.device != device:
            return "the arguments are on different devices"
        if t.layout != torch.strided:
            return "the layout is not strided"
        if not compiling and t.is_neg():
            return "an argument is a lazily negated view"
    return verified.why_not(engine, tensors[0]) if kind == verified.DEVICE else ""


def on_cuda(engine: str, tensor: Tensor) -> bool:
    """Whether an engine's CUDA kernels take a tensor without a further question."""
    return tensor.is_cuda and verified.passed(engine, tensor) and not _ops.debugging()


def is_placed(value: Any) -> bool:
    """Whether the value is a DTensor, whose module takes long to import."""
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(value, module.DTensor)


def why_not_normalizer(normalizer: float | Tensor | None, device: torch.device) -> str:
    if isinstance(normalizer, Tensor) and (
        normalizer.numel() != 1 or normalizer.requires_grad or normalizer.device != device
    ):
        return "the normalizer is not a plain scalar on the same device"
    return ""


def divisor_of(normalizer: float | Tensor, device: torch.device) -> Tensor:
    if isinstance(normalizer, Tensor):
        return normalizer.to(device, torch.float64).reshape(())
    # Made on the device: copying it there could not be captured in a graph.
    return torch.full((), normalizer, dtype=torch.float64, device=device)


def scalar(value: float | Tensor | None) -> float | None:
    """A hyperparameter as a float; None if it must stay a tensor (differentiated, off the CPU) or is no number."""
    if isinstance(value, Tensor):
        return None if value.requires_grad or not value.is_cpu else float(value)
    if value is None:
        return 0.0
    return float(value) if isinstance(value, numbers.Real) else None


def cast(dtype: torch.dtype, autocast: bool) -> torch.dtype:
    """What autocast makes of a dtype, if it is on, before a loss."""
    return torch.float32 if autocast and dtype in (torch.float16, torch.bfloat16) else dtype


def loss_dtype_of(input: Tensor) -> torch.dtype:
    dtype = input.dtype
    return torch.float32 if dtype.itemsize == 2 and _ops.autocasts(input.device.type) else dtype
