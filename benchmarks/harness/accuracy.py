"""Errors of each variant's loss and gradient against float64."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from . import variants
from .inputs import Case
from .losses import LOSSES
from .suites import Row
from .variants import Variant

_SLICE = 2**23  # elements in float64 at a time


@dataclass(frozen=True)
class Error:
    """Loss: relative. Gradient: the largest deviation of an entry, relative to the largest entry."""

    loss: float
    gradient: float


def _slices(row: Row) -> list[slice]:
    if LOSSES[row.loss].summands is None:
        return [slice(None)]
    samples = max(1, _SLICE * row.shape[0] // row.numel)
    return [slice(start, start + samples) for start in range(0, row.shape[0], samples)]


def _exact(row: Row, input: Tensor, target: Tensor, divisor: float | None) -> tuple[Tensor, Tensor]:
    """The native loss of a slice in float64, and its gradient."""
    loss = LOSSES[row.loss]
    x = input.detach().double().requires_grad_()
    y = target.double() if target.is_floating_point() else target
    if divisor is None:
        value = loss.native(x, y, **dict(row.options))
    else:
        value = loss.native(x, y, **dict(row.options), reduction="sum") / divisor
    (gradient,) = torch.autograd.grad(value, x)
    return value.detach(), gradient


def errors(row: Row, case: Case, candidates: list[Variant]) -> dict[str, Error]:
    """The float64 value is the native loss on the same inputs cast up, slice by slice to bound the memory."""
    computed = {variant.name: variants.evaluate(variant, case) for variant in candidates}
    summands = LOSSES[row.loss].summands
    divisor = summands(case.target) if summands else None
    value, largest = 0.0, 0.0
    worst = {name: gradient.new_zeros((), dtype=torch.float64) for name, (_, gradient) in computed.items()}
    for part in _slices(row):
        exact_loss, exact_gradient = _exact(row, case.input[part], case.target[part], divisor)
        value += exact_loss.item()
        largest = max(largest, exact_gradient.abs().max().item())
        for name, (_, gradient) in computed.items():
            deviation = (gradient[part].double() - exact_gradient).abs_().max()
            worst[name] = torch.maximum(worst[name], deviation)  # NaN stays
    return {
        name: Error(_relative(abs(loss.item() - value), abs(value)), _relative(worst[name].item(), largest))
        for name, (loss, _) in computed.items()
    }


def _relative(error: float, scale: float) -> float:
    # One class: loss and gradient are exactly zero, and so must the error be.
    return error / scale if scale else error
