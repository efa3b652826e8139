"""Makes the tensors of a row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .losses import LOSSES
from .suites import Row


@dataclass(frozen=True)
class Case:
    """A leaf that requires a gradient, and its target."""

    input: Tensor
    target: Tensor


def _padded(x: Tensor) -> Tensor:
    wide = x.new_zeros(x.shape[0], x.shape[1] + 64, *x.shape[2:])
    wide[:, : x.shape[1]] = x
    return wide[:, : x.shape[1]]


def _strided(x: Tensor) -> Tensor:
    wide = x.new_zeros(x.shape[0], 2 * x.shape[1], *x.shape[2:])
    wide[:, ::2] = x
    return wide[:, ::2]


LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": lambda x: x,
    "channels_last": lambda x: x.contiguous(memory_format=torch.channels_last),
    # Classes are dim 1 but lie first (2-D) or last (3-D: a sequence model's (N, L, C) seen as (N, C, L)).
    "transposed": lambda x: x.transpose(x.dim() - 2, x.dim() - 1).contiguous().transpose(x.dim() - 2, x.dim() - 1),
    # A vocabulary padded for the matmul, cut back to its size.
    "padded": _padded,
    # Every second class of a wider tensor.
    "strided": _strided,
}


def make_case(row: Row, device: str, seed: int = 0) -> Case:
    generator = torch.Generator(device).manual_seed(seed)
    values = torch.randn(row.shape, generator=generator, device=device).mul_(3).to(row.torch_dtype)
    target = LOSSES[row.loss].target(row, generator)
    return Case(LAYOUTS[row.layout](values).requires_grad_(), target)


# Rows smaller than L2 / 32 may stay warm, but there the launches are the time, not the bytes.
_MOST_COPIES = 64


def make_cases(row: Row, device: str) -> list[Case]:
    """One case on the CPU; on CUDA enough to rotate through that each step finds its input gone from L2."""
    if device == "cpu":
        return [make_case(row, device)]
    cache = torch.cuda.get_device_properties(device).L2_cache_size
    copies = min(_MOST_COPIES, -(-2 * cache // row.tensor_bytes))
    return [make_case(row, device, seed) for seed in range(max(1, copies))]
