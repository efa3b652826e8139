"""The losses that can be measured. A new loss is an entry of LOSSES and rows in `suites`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

import fastloss.functional as ours
from fastloss.bench.suites import Row


@dataclass(frozen=True)
class Loss:
    """One loss, as the harness sees it.

    Attributes:
        native: What a user calls without fastloss: ``native(input, target, **options)``, the mean by default.
        ours: The same function in `fastloss.functional`.
        target: Makes a target for an input of the row's shape.
        reads: Tensors of the input's size that forward and backward together must read at least once.
        writes: Such tensors that must be written: the gradients.
        summands: The mean's divisor, where the loss is a sum over samples divided by it: the float64 values
            are then computed in slices of samples. None for losses that mix samples; they are computed whole.
        inplace: Whether ours takes ``inplace=True``.
    """

    native: Callable[..., Tensor]
    ours: Callable[..., Tensor]
    target: Callable[[Row, torch.Generator], Tensor]
    reads: int
    writes: int
    summands: Callable[[Tensor], float] | None
    inplace: bool

    def minimal_bytes(self, row: Row) -> int:
        """Least traffic of forward and backward. Index targets, 8 bytes per row of logits, are left out."""
        return (self.reads + self.writes) * row.tensor_bytes


def _class_target(row: Row, generator: torch.Generator) -> Tensor:
    device = generator.device
    if row.target == "probabilities":
        scores = torch.randn(row.shape, generator=generator, device=device)
        return scores.softmax(1).to(row.torch_dtype)
    shape = (row.shape[0], *row.shape[2:])
    target = torch.randint(row.shape[1], shape, generator=generator, device=device)
    if row.ignored:
        target[torch.rand(shape, generator=generator, device=device) < row.ignored] = -100
    return target


def _class_summands(target: Tensor) -> float:
    if target.is_floating_point():
        return target.numel() / target.size(1)
    return float((target != -100).sum())


LOSSES: dict[str, Loss] = {
    # Read logits, write their gradient.
    "cross_entropy": Loss(
        native=F.cross_entropy,
        ours=ours.cross_entropy,
        target=_class_target,
        reads=1,
        writes=1,
        summands=_class_summands,
        inplace=True,
    ),
}
