"""Losses of vectors compared row by row.

Formulas are in float64, which holds the squares of every float32. PyTorch's own functions, which calls without options
are, let them overflow.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fastloss._options import check_domain, check_numbers, legacy_reduction, takes_tensors

from .pointwise import _as_number, _is_plain, _Number, _reduce

__all__ = [
    "contrastive_loss",
    "cosine_embedding_loss",
    "triplet_margin_loss",
]


@takes_tensors
def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: _Number = 0.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    **options: Any,
) -> Any:
    r""":math:`1 - c` where y = 1, :math:`\max(0, c - m)` where y = -1, c the cosine of the vectors' angle."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    if _is_plain(options, margin):
        return F.cosine_embedding_loss(input1, input2, target, margin, reduction=reduction)  # type: ignore[arg-type]
    check_numbers("cosine_embedding_loss", margin=margin)

    def f(a: Tensor, b: Tensor, y: Tensor) -> Tensor:
        c = _cosine(a.double(), b.double())
        return (1 - c).where(y == 1, 0.0) + (c - _as_number(margin, c)).clamp_min(0).where(y == -1, 0.0)

    return _reduce("cosine_embedding_loss", f, (input1, input2, target), reduction, pairs=True, **options)


def _cosine(a: Tensor, b: Tensor) -> Tensor:
    first, second = a.square().sum(-1) + 1e-12, b.square().sum(-1) + 1e-12
    return (a * b).sum(-1) / (first * second).sqrt()


@takes_tensors
def contrastive_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: _Number = 1.0,
    *,
    distance: str = "euclidean",
    squared: bool = True,
    reduction: str = "mean",
    **options: Any,
) -> Any:
    r""":math:`\tfrac12 d^2` where y = 1, :math:`\tfrac12 \max(0, m - d)^2` where y = 0 or -1, or, not ``squared``, the
    same without square and half; d the distance or 1 less the cosine of the vectors' angle."""
    name = "contrastive_loss"
    if distance not in ("euclidean", "cosine"):
        raise ValueError(f'fastloss.{name}: distance must be "euclidean" or "cosine", got {distance!r}')
    check_domain(name, margin=margin)
    for what, t, shape in (("input2", input2, input1.shape), ("target", target, input1.shape[:-1])):
        if not input1.dim() or t.shape != shape:
            raise ValueError(
                f"fastloss.{name}: {what} has shape {tuple(t.shape)}, input1 {tuple(input1.shape)}, expected vectors "
                "of one shape (..., D) and a label per vector (...)"
            )

    def f(a: Tensor, b: Tensor, y: Tensor) -> Tensor:
        near, far = y == 1, (y == -1) | (y == 0)
        a, b = a.double(), b.double()
        if distance == "cosine":
            d = 1 - _cosine(a, b)
            square = d.square()
        else:
            square = (a - b).square().sum(-1)
            # The root only where it is asked for: NaN and infinity there must not reach the other gradients.
            rooted = (far if squared else near | far) & (square != 0)
            d = torch.where(rooted, torch.where(rooted, square, 1.0).sqrt(), 0.0)
        lack = torch.where(far, _as_number(margin, d) - d, 0.0).relu()
        if squared:
            return torch.where(near, square, 0.0) / 2 + lack.square() / 2
        return torch.where(near, d, 0.0) + lack

    return _reduce(name, f, (input1, input2, target), reduction, pairs=True, **options)


@takes_tensors
def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: _Number = 1.0,
    p: float = 2,
    eps: _Number = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    **options: Any,
) -> Any:
    r""":math:`\max(0, m + \lVert a - p + \epsilon \rVert_p - \lVert a - n + \epsilon \rVert_p)`."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    if _is_plain(options, margin, eps):
        return F.triplet_margin_loss(anchor, positive, negative, margin, p, eps, swap, reduction=reduction)  # type: ignore[arg-type]
    check_domain("triplet_margin_loss", margin=margin, eps=eps)

    def f(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        a, b, c = a.double(), b.double(), c.double()

        def distance(x: Tensor, y: Tensor) -> Tensor:
            return (x - y + _as_number(eps, x)).norm(p, -1)

        far = distance(a, c)
        return (_as_number(margin, far) + distance(a, b) - (far.minimum(distance(b, c)) if swap else far)).clamp_min(0)

    return _reduce("triplet_margin_loss", f, (anchor, positive, negative), reduction, pairs=True, **options)
