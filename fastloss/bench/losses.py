"""The losses that can be measured. A new loss is an entry of LOSSES and rows in `suites`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

import fastloss
import fastloss.functional as ours
from fastloss.bench.suites import Row


@dataclass(frozen=True)
class Loss:
    """One loss, as the harness sees it.

    Attributes:
        native: What a user calls without fastloss: ``native(input, target, **options)``, the mean by default.
        ours: The same, of `fastloss.functional` or a module.
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


def _real_target(row: Row, generator: torch.Generator) -> Tensor:
    return torch.randn(row.shape, generator=generator, device=generator.device).to(row.torch_dtype)


def _binary_target(row: Row, generator: torch.Generator) -> Tensor:
    return torch.randint(2, row.shape, generator=generator, device=generator.device).to(row.torch_dtype)


def _elements(target: Tensor) -> float:
    return float(target.numel())


def _reduced(values: Tensor, reduction: str) -> Tensor:
    return values.mean() if reduction == "mean" else values.sum()


def _eager_sigmoid_focal(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """torchvision's composition with its default alpha and gamma."""
    p = torch.sigmoid(input)
    ce = F.binary_cross_entropy_with_logits(input, target, reduction="none")
    loss = ce * (1 - (p * target + (1 - p) * (1 - target))) ** 2.0
    return _reduced((0.25 * target + 0.75 * (1 - target)) * loss, reduction)


def _eager_softmax_focal(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """The usual composition: cross entropy per row, its probability from it."""
    nll = F.cross_entropy(input, target, reduction="none")
    return _reduced((1 - torch.exp(-nll)) ** 2.0 * nll, reduction)


def _pointwise(
    native: Callable[..., Tensor],
    fused: Callable[..., Tensor],
    target: Callable[[Row, torch.Generator], Tensor] = _real_target,
) -> Loss:
    """Reads input and target, writes the input's gradient."""
    return Loss(native, fused, target, reads=2, writes=1, summands=_elements, inplace=False)


@dataclass(frozen=True)
class _Split:
    """A loss of vectors as one of ``(input, target)``: ``split`` makes the other arguments of a target."""

    function: Callable[..., Any]
    split: Callable[[Tensor], tuple[Tensor, ...]]

    def __call__(self, input: Tensor, target: Tensor, **options: Any) -> Tensor:
        return self.function(input, *self.split(target), **options)

    def _plan(self, input: Tensor, target: Tensor, **options: Any) -> tuple[Any, str]:
        found = fastloss.explain(self.function, input, *self.split(target), **options)
        return found.path, found.reason


def _vectors(
    native: Callable[..., Tensor], fused: Callable[..., Tensor], others: int, split: Callable[[Tensor], Any]
) -> Loss:
    """Reads all vectors, writes the input's gradient. The target has ``others`` per row: shape (N, others, D)."""

    def target(row: Row, generator: torch.Generator) -> Tensor:
        shape = (row.shape[0], others, row.shape[1])
        return torch.randn(shape, generator=generator, device=generator.device).to(row.torch_dtype)

    return Loss(
        native=_Split(native, split),
        ours=_Split(fused, split),
        target=target,
        reads=1 + others,
        writes=1,
        summands=lambda target: float(len(target)),
        inplace=False,
    )


LOSSES: dict[str, Loss] = {
    "cosine_embedding": _vectors(
        F.cosine_embedding_loss, ours.cosine_embedding_loss, 1, lambda y: (y[:, 0], y.new_ones(len(y)))
    ),
    "triplet_margin": _vectors(F.triplet_margin_loss, ours.triplet_margin_loss, 2, lambda y: (y[:, 0], y[:, 1])),
    "huber": _pointwise(F.huber_loss, ours.huber_loss),
    "smooth_l1": _pointwise(F.smooth_l1_loss, ours.smooth_l1_loss),
    "mse": _pointwise(F.mse_loss, ours.mse_loss),
    "l1": _pointwise(F.l1_loss, ours.l1_loss),
    "bce_with_logits": _pointwise(
        F.binary_cross_entropy_with_logits, ours.binary_cross_entropy_with_logits, _binary_target
    ),
    "sigmoid_focal": _pointwise(_eager_sigmoid_focal, fastloss.SigmoidFocalLoss(), _binary_target),
    "softmax_focal": Loss(
        native=_eager_softmax_focal,
        ours=ours.softmax_focal_loss,
        target=_class_target,
        reads=1,
        writes=1,
        summands=_class_summands,
        inplace=False,
    ),
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
