"""Losses of distances, of scores that are compared, and of vectors that are compared row by row.

Formulas of vectors are in float64, which holds the squares of every float32. PyTorch's own functions, which calls
without options are, let them overflow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from fastloss._core._torch import CLAMPS_ALIKE, F
from fastloss._core.formula import Number, above_zero, as_number
from fastloss._core.options import FINITE, TripletOptions, WeightedPointOptions, legacy_reduction
from fastloss._core.record import Other, Problem
from fastloss.engines.elements import loss

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = [
    "contrastive_loss",
    "cosine_embedding_loss",
    "hinge_embedding_loss",
    "margin_ranking_loss",
    "triplet_margin_loss",
]


_EPS = 1e-6  # PyTorch's


def _cosine(a: Tensor, b: Tensor) -> Tensor:
    first, second = a.square().sum(-1) + 1e-12, b.square().sum(-1) + 1e-12
    return (a * b).sum(-1) / (first * second).sqrt()


def _of_one_shape(arguments: dict[str, Any], options: Any) -> None:
    name, first, distance = "contrastive_loss", arguments["input1"], arguments["distance"]
    if distance not in ("euclidean", "cosine"):
        raise ValueError(f'fastloss.{name}: distance must be "euclidean" or "cosine", got {distance!r}')
    for what, shape in (("input2", first.shape), ("target", first.shape[:-1])):
        if not first.dim() or arguments[what].shape != shape:
            raise ValueError(
                f"fastloss.{name}: {what} has shape {tuple(arguments[what].shape)}, input1 {tuple(first.shape)}, "
                "expected vectors of one shape (..., D) and a label per vector (...)"
            )


@loss(
    torch=F.hinge_embedding_loss,
    plain=lambda *params: CLAMPS_ALIKE,
    module=torch.nn.HingeEmbeddingLoss,
    params=("margin",),
    fixed=("target",),
    dtype="input",
    holds={"target": "sign"},
)
def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float | Tensor = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    **options: Unpack[WeightedPointOptions],
) -> Problem:
    r"""Distances pulled to zero (y = 1: :math:`\ell = x`) or beyond a margin (y = -1: :math:`\max(0, m - x)`).

    Equivalent to ``torch.nn.functional.hinge_embedding_loss(input, target, margin, reduction=reduction)``.

    Args:
        input, target: Distances and labels 1 or -1.
        margin: m, float or 0-d tensor.
        size_average, reduce: Deprecated as in PyTorch.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    return Problem({"input": input, "target": target, "margin": margin}, reduction, options)


@hinge_embedding_loss.formula
def _(x: Tensor, y: Tensor, margin: Number) -> Tensor:
    r"""x where y = 1, :math:`\max(0, m - x)` where y = -1, both added elsewhere."""
    return torch.where(y != 1, above_zero(as_number(margin, x) - x), 0.0) + torch.where(y != -1, x, 0.0)


@loss(
    torch=F.margin_ranking_loss,
    plain=lambda *params: CLAMPS_ALIKE,
    module=torch.nn.MarginRankingLoss,
    tensors=("input1", "input2", "target"),
    params=("margin",),
    same_rank=True,
    bools=False,
    holds={"input1": "real", "input2": "real", "target": "sign"},
)
def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float | Tensor = 0.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    **options: Unpack[WeightedPointOptions],
) -> Problem:
    r"""Two scores that should be ordered (y = 1: first larger), :math:`\ell = \max(0, m - y (x_1 - x_2))`.

    Equivalent to ``torch.nn.functional.margin_ranking_loss(input1, input2, target, margin, reduction=reduction)``.

    Args:
        input1, input2, target: Scores and labels 1 or -1, of as many dimensions each.
        margin: m, float or 0-d tensor.
        size_average, reduce: Deprecated as in PyTorch.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    return Problem({"input1": input1, "input2": input2, "target": target, "margin": margin}, reduction, options)


@margin_ranking_loss.formula
def _(a: Tensor, b: Tensor, y: Tensor, margin: Number) -> Tensor:
    r""":math:`\max(0, m - y (x_1 - x_2))`."""
    return above_zero(as_number(margin, a) - y * (a - b))


@loss(
    torch=F.cosine_embedding_loss,
    plain=lambda *params: CLAMPS_ALIKE,
    module=torch.nn.CosineEmbeddingLoss,
    tensors=("input1", "input2", "target"),
    params=("margin",),
    fixed=("target",),
    pairs=True,
    label="target",
    floating=("input2",),
    holds={"target": "row_sign"},
)
def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float | Tensor = 0.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    **options: Unpack[WeightedPointOptions],
) -> Problem:
    r"""Vectors pulled together (y = 1) or apart (y = -1) by the cosine c of their angle:

    .. math::
        \ell = 1 - c \ \text{where}\ y = 1, \qquad \max(0, c - m) \ \text{where}\ y = -1.

    Equivalent to ``torch.nn.functional.cosine_embedding_loss(input1, input2, target, margin, reduction=reduction)``.

    Args:
        input1, input2: Vectors, shape :math:`(N, D)` or :math:`(D)`.
        target: Labels 1 or -1, shape :math:`(N)` or ``()``, any dtype.
        margin: m, float or 0-d tensor.
        size_average, reduce: Deprecated as in PyTorch.
        reduction: ``"none"`` (one value per row), ``"mean"`` or ``"sum"``.
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    arguments: dict[str, Any] = {"input1": input1, "input2": input2, "target": target, "margin": margin}
    why_not = "vectors have one or two dimensions" if isinstance(input1, Tensor) and input1.dim() > 2 else ""
    return Problem(arguments, reduction, options, why_not)


@cosine_embedding_loss.formula
def _(a: Tensor, b: Tensor, y: Tensor, margin: Number) -> Tensor:
    r""":math:`1 - c` where y = 1, :math:`\max(0, c - m)` where y = -1, c the cosine of the vectors' angle."""
    c = _cosine(a.double(), b.double())
    return (1 - c).where(y == 1, 0.0) + above_zero(c - as_number(margin, c)).where(y == -1, 0.0)


@loss(
    tensors=("input1", "input2", "target"),
    params=("margin", "squared", "distance"),
    domains={"margin": FINITE},
    words={"distance": ("euclidean", "cosine")},
    fixed=("target",),
    pairs=True,
    label="target",
    floating=("input2",),
    check=_of_one_shape,
    holds={"target": "row_sign"},
)
def contrastive_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float | Tensor = 1.0,
    *,
    distance: Literal["euclidean", "cosine"] = "euclidean",
    squared: bool = True,
    reduction: str = "mean",
    **options: Unpack[WeightedPointOptions],
) -> Problem:
    r"""Vectors pulled together (y = 1) or pushed apart (y = 0 or -1) to a distance m (Hadsell et al. 2006), d theirs:

    .. math::
        \ell = \tfrac12 d^2 \ \text{where}\ y = 1, \qquad \tfrac12 \max(0, m - d)^2 \ \text{where}\ y = 0, -1.

    Any other label gives 0.

    The same name means other things elsewhere:

    ===========================================  ============================================================
    there                                        here
    ===========================================  ============================================================
    Hadsell et al., 0 = similar                  ``target=1 - Y``, ``reduction="sum"``
    sentence-transformers ``ContrastiveLoss``    ``distance="cosine"``, its ``margin=0.5``; 1 = similar
    pytorch-metric-learning ``ContrastiveLoss``  all pairs of a batch, not squared: `pairwise_contrastive_loss`
    torch ``cosine_embedding_loss``, 1 and -1    ``distance="cosine", squared=False, margin=1 - m`` for its m
    ===========================================  ============================================================

    Args:
        input1, input2: Vectors, shape :math:`(D)`, :math:`(N, D)`, or with more dimensions in front.
        target: Labels 1 (similar), 0 or -1 (not), shape of the vectors without the last dimension, any dtype.
        margin: m, float or 0-d tensor.
        distance: ``"euclidean"``, or ``"cosine"``: 1 - c, c the cosine of the vectors' angle.
        squared: Otherwise d and :math:`\max(0, m - d)`. Where d = 0 has no slope the gradient is 0.
        reduction: ``"none"`` (one value per row), ``"mean"`` or ``"sum"``.
    """
    return Problem(
        {
            "input1": input1,
            "input2": input2,
            "target": target,
            "margin": margin,
            "distance": distance,
            "squared": squared,
        },
        reduction,
        options,
    )


@contrastive_loss.formula
def _(a: Tensor, b: Tensor, y: Tensor, margin: Number, squared: bool, distance: str) -> Tensor:
    r""":math:`\tfrac12 d^2` where y = 1, :math:`\tfrac12 \max(0, m - d)^2` where y = 0 or -1, or, not ``squared``, the
    same without square and half; d the distance or 1 less the cosine of the vectors' angle."""
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
    lack = torch.where(far, as_number(margin, d) - d, 0.0).relu()
    if squared:
        return torch.where(near, square, 0.0) / 2 + lack.square() / 2
    return torch.where(near, d, 0.0) + lack


@loss(
    torch=F.triplet_margin_loss,
    plain=lambda *params: CLAMPS_ALIKE,
    module=torch.nn.TripletMarginLoss,
    tensors=("anchor", "positive", "negative"),
    params=("margin", "eps", "swap", "p"),
    domains={"margin": ("positive", lambda v: not v <= 0, ValueError)},
    pairs=True,
    takes=lambda margin, eps, swap, p: p == 2,
    bools=False,
)
def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor = None,  # type: ignore[assignment]
    negative: Tensor = None,  # type: ignore[assignment]
    margin: float | Tensor = 1.0,
    p: float = 2,
    eps: float | Tensor = _EPS,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    *,
    labels: Tensor | None = None,
    mining: Literal["batch_hard", "semi_hard", "all"] | None = None,
    **options: Unpack[TripletOptions],
) -> Problem | Other:
    r"""An anchor closer to its positive than to its negative by a margin (Balntas et al. 2016):

    .. math::
        \ell = \max(0,\ m + \lVert a - p + \epsilon \rVert - \lVert a - n + \epsilon \rVert).

    Equivalent to ``torch.nn.functional.triplet_margin_loss(anchor, positive, negative, margin, p, eps, swap,
    reduction=reduction)``.

    With ``labels`` the triplets are found among the vectors in ``anchor``: `mined_triplet_margin_loss`, whose options
    (``soft``, ``normalize``, ``mask`` of pairs, ``group``, ...) are the keyword arguments then.

    Args:
        anchor, positive, negative: Vectors, shape :math:`(N, D)` or :math:`(D)`, or with more dimensions in front.
        margin: m, positive; float or 0-d tensor.
        p: Of the norm. Other than 2 runs in plain PyTorch.
        eps: Added to every difference. Not with ``labels``.
        swap: Use the distance of positive and negative where it is smaller than that of anchor and negative.
        size_average, reduce: Deprecated as in PyTorch.
        reduction: ``"none"`` (one value per row), ``"mean"`` or ``"sum"``.
        labels: Integers, one per vector in ``anchor``, instead of ``positive`` and ``negative``.
        mining: Which triplets of them: ``"batch_hard"`` (default), ``"semi_hard"`` or ``"all"``.
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    if labels is not None or mining is not None:
        if positive is not None or negative is not None or p != 2 or isinstance(eps, Tensor) or eps != _EPS or swap:
            raise ValueError(
                "fastloss.triplet_margin_loss: expected labels or positive and negative (with p, eps and swap), got "
                "both; with labels pass margin, mining, soft and normalize"
            )
        mined = {"mining": mining or "batch_hard", "reduction": reduction, **options}
        return Other("mined_triplet_margin_loss", (anchor, labels, margin), mined)
    arguments: dict[str, Any] = {
        "anchor": anchor, "positive": positive, "negative": negative,
        "margin": margin, "p": p, "eps": eps, "swap": swap,
    }  # fmt: skip
    return Problem(arguments, reduction, options)


@triplet_margin_loss.formula
def _(a: Tensor, b: Tensor, c: Tensor, margin: Number, eps: Number, swap: bool, p: float) -> Tensor:
    r""":math:`\max(0, m + \lVert a - p + \epsilon \rVert_p - \lVert a - n + \epsilon \rVert_p)`."""
    a, b, c = a.double(), b.double(), c.double()

    def distance(x: Tensor, y: Tensor) -> Tensor:
        return (x - y + as_number(eps, x)).norm(p, -1)

    far = distance(a, c)
    return above_zero(as_number(margin, far) + distance(a, b) - (far.minimum(distance(b, c)) if swap else far))
