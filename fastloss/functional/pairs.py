"""Losses of vectors compared row by row: each row gives a value, values are weighed, masked and reduced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor

from fastloss import reference
from fastloss._core import route
from fastloss._options import TripletOptions, WeightedPointOptions, legacy_reduction
from fastloss.functional._points import Spec, public_loss, run
from fastloss.functional.similarity import mined_triplet_margin_loss

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = [
    "contrastive_loss",
    "cosine_embedding_loss",
    "triplet_margin_loss",
]

_EPS = 1e-6  # PyTorch's

_COSINE = Spec(
    "cosine_embedding_loss",
    tensors=("input1", "input2", "target"),
    params=("margin",),
    fixed=("target",),
    pairs=True,
    label="target",
    floating=("input2",),
)
_CONTRASTIVE = Spec(
    "contrastive_loss",
    tensors=("input1", "input2", "target"),
    params=("margin", "squared", "distance"),
    words={"distance": ("euclidean", "cosine")},
    fixed=("target",),
    pairs=True,
    label="target",
    floating=("input2",),
)
_TRIPLET = Spec(
    "triplet_margin_loss",
    tensors=("anchor", "positive", "negative"),
    params=("margin", "eps", "swap", "p"),
    pairs=True,
    takes=lambda margin, eps, swap, p: p == 2,
    bools=False,
)


@public_loss(_COSINE)
def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float | Tensor = 0.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    **options: Unpack[WeightedPointOptions],
) -> Tensor | Any:
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
    if isinstance(input1, Tensor) and input1.dim() > 2:
        route.kernel_unless("cosine_embedding_loss", "vectors have one or two dimensions")
        return reference.cosine_embedding_loss(**arguments, reduction=reduction, **options)  # PyTorch's error
    return run(_COSINE, arguments, reduction, options)


@public_loss(_CONTRASTIVE)
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
) -> Tensor | Any:
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
    arguments: dict[str, Any] = {
        "input1": input1, "input2": input2, "target": target,
        "margin": margin, "distance": distance, "squared": squared,
    }  # fmt: skip
    return run(_CONTRASTIVE, arguments, reduction, options)


@public_loss(_TRIPLET)
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
) -> Tensor | Any:
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
        return mined_triplet_margin_loss(
            anchor, labels, margin, mining=mining or "batch_hard", reduction=reduction, **options
        )
    arguments: dict[str, Any] = {
        "anchor": anchor, "positive": positive, "negative": negative,
        "margin": margin, "p": p, "eps": eps, "swap": swap,
    }  # fmt: skip
    return run(_TRIPLET, arguments, reduction, options)
