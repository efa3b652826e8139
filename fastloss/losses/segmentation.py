"""Losses of regions: overlaps of masks, summed over pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from fastloss._core import options as _options
from fastloss._core.formula import Number, as_number
from fastloss._core.options import NOT_NEGATIVE, POSITIVE, Domain
from fastloss._core.record import Problem
from fastloss.engines import regions
from fastloss.engines.elements import loss
from fastloss.engines.regions import Point, Posed, Sums

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from fastloss._core.options import RatioOptions, SortedOptions, SumOptions, TermOptions, WeightedPointOptions

__all__ = [
    "boundary_target",
    "dice_cross_entropy",
    "dice_focal_loss",
    "dice_loss",
    "focal_tversky_loss",
    "generalized_dice_loss",
    "jaccard_loss",
    "lovasz_hinge_loss",
    "lovasz_softmax_loss",
    "mcc_loss",
    "tversky_cross_entropy",
    "tversky_loss",
]

_HOLDS = {"target": "label"}
_MODES = {"mode": ("softmax", "sigmoid", "probabilities")}
_LOGITS = {"mode": ("softmax", "sigmoid")}
_UNIT: Domain = ("between 0 and 1", lambda v: 0 <= v <= 1, ValueError)


def _ratio(right: Tensor, wrong: Tensor, log: bool = False) -> Tensor:
    r"""One minus right / (right + wrong), or minus its logarithm, without cancellation."""
    return torch.log1p(wrong / right) if log else wrong / (right + wrong)


@regions.loss(words=_MODES, holds=_HOLDS)
def dice_loss(
    input: Tensor,
    target: Tensor,
    *,
    mode: Literal["softmax", "sigmoid", "probabilities"] = "softmax",
    weight: Tensor | None = None,
    squared: bool = False,
    reduction: str = "mean",
    **options: Unpack[RatioOptions],
) -> Any:
    r"""One minus the soft Dice index of each class (Milletari et al. 2016), from logits:

    .. math::
        \ell = 1 - \frac{2 \sum p t + \epsilon_n}{\sum p + \sum t + \epsilon_d},

    p the softmax over the classes, or the sigmoid of each channel, t the target, sums over the pixels of a sample.

    The same loss elsewhere (a test holds each row to its formula):

    ==================================================  ==============================================================
    there                                               here
    ==================================================  ==============================================================
    MONAI ``DiceLoss(softmax=True)``                    ``dice_loss(x, y)``; ``batch``, ``include_background``,
                                                        ``smooth_nr``, ``smooth_dr`` and ``weight`` as there,
                                                        ``squared_pred`` is ``squared``, ``sigmoid=True`` a ``mode``
    MONAI ``DiceLoss(jaccard=True)``                    ``jaccard_loss`` with half of ``smooth_nr`` and ``smooth_dr``
    smp ``DiceLoss(smooth=s, log_loss=)``               ``batch=True, absent="zero", smooth_nr=2 * s, smooth_dr=2 * s,
                                                        log=``
    kornia ``dice_loss(average=, eps=)``                ``smooth_nr=0.0, smooth_dr=eps, average=``, there ``"micro"``
    ==================================================  ==============================================================

    Args:
        input: Logits or probabilities, shape :math:`(N, C, d_1, ..., d_K)`.
        target: Classes, integers of the shape :math:`(N, d_1, ..., d_K)`; of one channel that is no softmax 1 marks it
            and 0 does not. Or dense targets in [0, 1], one-hot or soft, of the input's shape and any dtype.
        mode: What ``input`` holds: ``"softmax"``, logits of classes that exclude each other; ``"sigmoid"``, logits of
            a class in each channel; or ``"probabilities"``.
        weight: Multiplies the terms, one number for each class that has one.
        squared: :math:`\sum p^2 + \sum t^2` in the denominator.
        reduction: ``"none"`` (a value for each sample and class), ``"mean"`` or ``"sum"``.
    """
    return Posed(input, target, mode, weight, reduction, {**options}, squared=squared)


@dice_loss.formula
def _(s: Sums, smooth_nr: Number, smooth_dr: Number, log: bool) -> Tensor:
    r"""Of :math:`\sum p + \sum t = 2 \sum p t + d` what is right and what is wrong."""
    return _ratio(2 * s.both + smooth_nr, s.apart + (smooth_dr - smooth_nr), log)


@regions.loss(words=_MODES, holds=_HOLDS)
def jaccard_loss(
    input: Tensor,
    target: Tensor,
    *,
    mode: Literal["softmax", "sigmoid", "probabilities"] = "softmax",
    weight: Tensor | None = None,
    squared: bool = False,
    reduction: str = "mean",
    **options: Unpack[RatioOptions],
) -> Any:
    r"""One minus the soft Jaccard index (intersection over union) of each class, from logits:

    .. math::
        \ell = 1 - \frac{\sum p t + \epsilon_n}{\sum p + \sum t - \sum p t + \epsilon_d}.

    The same loss elsewhere:

    ==================================================  ==============================================================
    there                                               here
    ==================================================  ==============================================================
    smp ``JaccardLoss(smooth=s)``                       ``batch=True, absent="zero", smooth_nr=s, smooth_dr=s``
    MONAI ``DiceLoss(jaccard=True, smooth_nr=s, ...)``  ``smooth_nr=s / 2, smooth_dr=s / 2``
    ==================================================  ==============================================================

    Args:
        input, target, mode, weight, squared, reduction: As in `dice_loss`.
    """
    return Posed(input, target, mode, weight, reduction, {**options}, squared=squared)


@jaccard_loss.formula
def _(s: Sums, smooth_nr: Number, smooth_dr: Number, log: bool) -> Tensor:
    r"""Of the union :math:`\sum p t + d`."""
    return _ratio(s.both + smooth_nr, s.apart + (smooth_dr - smooth_nr), log)


@regions.loss(
    words={**_MODES, "weighting": ("square", "simple", "uniform")},
    holds=_HOLDS,
    takes=_options.SumOptions,
    domains={"smooth_nr": NOT_NEGATIVE, "smooth_dr": NOT_NEGATIVE},
)
def generalized_dice_loss(
    input: Tensor,
    target: Tensor,
    *,
    mode: Literal["softmax", "sigmoid", "probabilities"] = "softmax",
    weighting: Literal["square", "simple", "uniform"] = "square",
    weight: Tensor | None = None,
    smooth_nr: float | Tensor = 1e-5,
    smooth_dr: float | Tensor = 1e-5,
    reduction: str = "mean",
    **options: Unpack[SumOptions],
) -> Any:
    r"""The generalized Dice loss of each sample, in which rare classes weigh as much as others (Sudre et al. 2017):

    .. math::
        \ell = 1 - \frac{2 \sum_c w_c \sum p_c t_c + \epsilon_n}
                        {\sum_c w_c \left(\sum p_c + \sum t_c\right) + \epsilon_d}.

    Equivalent to MONAI's ``GeneralizedDiceLoss(to_onehot_y=True, softmax=True)``.

    Args:
        input, target, mode: As in `dice_loss`.
        weighting: :math:`w_c`: ``"square"``, :math:`1 / (\sum t_c)^2`; ``"simple"``, :math:`1 / \sum t_c`; or
            ``"uniform"``, 1. A class without targets takes the largest weight of the others.
        weight: Multiplies :math:`w_c`.
        smooth_nr, smooth_dr: As in `dice_loss`.
        reduction: ``"none"`` (a value for each sample), ``"mean"`` or ``"sum"``.

    Returns:
        The loss: :math:`(N)`, or ``()`` with ``batch``, for ``reduction="none"``, otherwise ``()``.
    """
    numbers = {"weighting": weighting, "smooth_nr": smooth_nr, "smooth_dr": smooth_dr}
    return Posed(input, target, mode, weight, reduction, {**options}, numbers)


@generalized_dice_loss.formula
def _(s: Sums, weighting: str, smooth_nr: Number, smooth_dr: Number) -> Tensor:
    r"""The classes' sums weighed."""
    some = s.mass > 0
    size = torch.where(some, s.mass, 1.0) if weighting != "uniform" else torch.ones_like(s.mass)
    w = 1 / (size * size if weighting == "square" else size)
    if weighting != "uniform":
        w = torch.where(some, w, 0.0)
        w = torch.where(some, w, w.amax(-1, keepdim=True))
    w = w if s.weight is None else w * s.weight
    return _ratio(2 * (w * s.both).sum(-1) + smooth_nr, (w * s.apart).sum(-1) + (smooth_dr - smooth_nr))


@regions.loss(
    params=("alpha", "beta", "gamma"),
    words=_MODES,
    holds=_HOLDS,
    domains={"alpha": NOT_NEGATIVE, "beta": NOT_NEGATIVE, "gamma": POSITIVE},
)
def focal_tversky_loss(
    input: Tensor,
    target: Tensor,
    *,
    alpha: float | Tensor = 0.3,
    beta: float | Tensor = 0.7,
    gamma: float | Tensor = 0.75,
    mode: Literal["softmax", "sigmoid", "probabilities"] = "softmax",
    weight: Tensor | None = None,
    reduction: str = "mean",
    **options: Unpack[RatioOptions],
) -> Any:
    r"""One minus the Tversky index of each class, to a power (Abraham and Khan 2019), from logits:

    .. math::
        \ell = \left(1 - \frac{\sum p t + \epsilon_n}
                {\sum p t + \alpha \sum p (1 - t) + \beta \sum t (1 - p) + \epsilon_d}\right)^\gamma.

    ``gamma=1`` is the Tversky loss of logits; `tversky_loss` is that of probabilities.

    The same loss elsewhere, with ``gamma=1``:

    ==================================================  ==============================================================
    there                                               here
    ==================================================  ==============================================================
    MONAI ``TverskyLoss(softmax=True)``                 ``alpha=0.5, beta=0.5``
    smp ``TverskyLoss(smooth=s, alpha=, beta=)``        ``batch=True, absent="zero", smooth_nr=s, smooth_dr=s``
    kornia ``tversky_loss(alpha=, beta=, eps=)``        ``average="micro", smooth_nr=0.0, smooth_dr=eps``
    ==================================================  ==============================================================

    Args:
        input, target: As in `dice_loss`.
        alpha: Weight of what is marked and should not be, 0 or more; float or 0-d tensor.
        beta: Weight of what should be marked and is not.
        gamma: :math:`\gamma`, positive.
        mode, weight, reduction: As in `dice_loss`.
    """
    numbers = {"alpha": alpha, "beta": beta, "gamma": gamma}
    return Posed(input, target, mode, weight, reduction, {**options}, numbers)


@focal_tversky_loss.formula
def _(s: Sums, alpha: Number, beta: Number, gamma: Number, smooth_nr: Number, smooth_dr: Number, log: bool) -> Tensor:
    """The Tversky loss to the power; where it is 0 its slope is too."""
    terms = _tversky(s, alpha, beta, smooth_nr, smooth_dr, log)
    none = terms <= 0  # not NaN
    return torch.where(none, 0.0, torch.where(none, 1.0, terms) ** gamma)


def _tversky(s: Sums, alpha: Number, beta: Number, smooth_nr: Number, smooth_dr: Number, log: bool) -> Tensor:
    r"""What is wrong is :math:`\alpha \sum p (1 - t) + \beta \sum t (1 - p)`."""
    return _ratio(s.both + smooth_nr, alpha * s.over + beta * s.under + (smooth_dr - smooth_nr), log)


@regions.loss(
    params=("eps",), words=_MODES, holds=_HOLDS, title="MCCLoss", takes=_options.TermOptions,
    domains={"eps": NOT_NEGATIVE},
)  # fmt: skip
def mcc_loss(
    input: Tensor,
    target: Tensor,
    *,
    mode: Literal["softmax", "sigmoid", "probabilities"] = "softmax",
    eps: float | Tensor = 1e-5,
    weight: Tensor | None = None,
    reduction: str = "mean",
    **options: Unpack[TermOptions],
) -> Any:
    r"""One minus Matthews' correlation coefficient of each class against the rest (Abhishek and Hamarneh 2021):

    .. math::
        \ell = 1 - \frac{TP \cdot TN - FP \cdot FN}
                        {\sqrt{(TP + FP)(TP + FN)(TN + FP)(TN + FN)}},

    each of the four with ``eps`` added: :math:`TP = \sum p t + \epsilon`, :math:`FP = \sum p (1 - t) + \epsilon`, ...

    Equivalent to ``MCCLoss`` of segmentation_models_pytorch with ``mode="sigmoid", batch=True, average="micro"``.

    Args:
        input, target, mode: As in `dice_loss`.
        eps: :math:`\epsilon`, 0 or more; float or 0-d tensor.
        weight, reduction: As in `dice_loss`.
    """
    return Posed(input, target, mode, weight, reduction, {**options}, {"eps": eps})


@mcc_loss.formula
def _(s: Sums, eps: Number) -> Tensor:
    r"""One minus the coefficient."""
    tp, fp, fn = s.both + eps, s.over + eps, s.under + eps
    tn = s.pixels - s.mass - s.over + eps
    square = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    mcc = (tp * tn - fp * fn) / torch.where(square > 0, square, 1.0).sqrt()  # 0 / 0 is 0
    return torch.where(s.pixels > 0, 1 - mcc, 0.0)  # of no pixels nothing is wrong


@regions.loss(
    params=("label_smoothing", "dice_weight", "ce_weight"),
    words=_LOGITS,
    holds=_HOLDS,
    title="DiceCrossEntropyLoss",
    domains={"label_smoothing": _UNIT, "dice_weight": _options.FINITE, "ce_weight": _options.FINITE},
)
def dice_cross_entropy(
    input: Tensor,
    target: Tensor,
    *,
    mode: Literal["softmax", "sigmoid"] = "softmax",
    dice_weight: float | Tensor = 1.0,
    ce_weight: float | Tensor = 1.0,
    label_smoothing: float | Tensor = 0.0,
    weight: Tensor | None = None,
    squared: bool = False,
    reduction: str = "mean",
    **options: Unpack[RatioOptions],
) -> Any:
    r"""Dice loss and cross entropy of the same logits, in one read:

    .. math::
        \ell = w_d\, \mathrm{dice} + w_c\, \mathrm{ce}.

    The cross entropy is the mean over all pixels that count, of all classes whatever ``include_background`` says; with
    ``mode="sigmoid"`` the binary one, the mean over all elements.

    The same loss elsewhere:

    ==================================================  ==============================================================
    there                                               here
    ==================================================  ==============================================================
    MONAI ``DiceCELoss(softmax=True)``                  ``lambda_dice``, ``lambda_ce`` are ``dice_weight``,
                                                        ``ce_weight``, all else as in `dice_loss`
    nnU-Net ``DC_and_CE_loss``                          its value plus 1 with ``batch=True, include_background=False``
                                                        (and ``ignore_index=``), ``smooth`` as ``smooth_nr`` and
                                                        ``smooth_dr``
    smp ``SoftCrossEntropyLoss(smooth_factor=s)``       ``dice_weight=0.0, label_smoothing=s``, or `cross_entropy`
    ==================================================  ==============================================================

    Args:
        input, target: As in `dice_loss`.
        mode: ``"softmax"`` or ``"sigmoid"``.
        dice_weight, ce_weight: :math:`w_d` and :math:`w_c`; float or 0-d tensor.
        label_smoothing: Of the cross entropy alone, in [0, 1].
        weight: One number for each of the C classes. Multiplies the classes' terms in both; the mean of the softmax
            cross entropy of classes divides by the pixels' weights, as in `cross_entropy`.
        squared: As in `dice_loss`.
        reduction: ``"mean"``; or ``"none"``, the loss of each sample by itself, or ``"sum"``, of these, without
            ``batch``. ``normalizer`` replaces what divides the cross entropy's sum.

    Returns:
        The loss: ``()``, or :math:`(N)` for ``reduction="none"``.
    """
    point = Point("cross_entropy", (dice_weight, ce_weight), mode == "softmax", label_smoothing=label_smoothing)
    return Posed(input, target, mode, weight, reduction, {**options}, squared=squared, point=point)


dice_cross_entropy.formula(dice_loss.record.formula)


@regions.loss(
    params=("gamma", "dice_weight", "focal_weight"),
    words={**_LOGITS, "focal": ("softmax", "sigmoid")},
    holds=_HOLDS,
    domains={"gamma": NOT_NEGATIVE, "dice_weight": _options.FINITE, "focal_weight": _options.FINITE},
)
def dice_focal_loss(
    input: Tensor,
    target: Tensor,
    *,
    mode: Literal["softmax", "sigmoid"] = "softmax",
    dice_weight: float | Tensor = 1.0,
    focal_weight: float | Tensor = 1.0,
    gamma: float | Tensor = 2.0,
    focal: Literal["softmax", "sigmoid"] = "softmax",
    weight: Tensor | None = None,
    squared: bool = False,
    reduction: str = "mean",
    **options: Unpack[RatioOptions],
) -> Any:
    r"""Dice loss and focal loss (Lin et al. 2017) of the same logits:

    .. math::
        \ell = w_d\, \mathrm{dice} + w_f\, \mathrm{focal}, \qquad
        \mathrm{focal} = -(1 - p_y)^\gamma \log p_y.

    The same loss elsewhere:

    ==================================================  ==============================================================
    there                                               here
    ==================================================  ==============================================================
    MONAI ``DiceFocalLoss(softmax=True)``               ``focal="sigmoid"``; ``lambda_dice``, ``lambda_focal`` are
                                                        ``dice_weight``, ``focal_weight``
    smp ``FocalLoss("multiclass", gamma=)``             ``dice_weight=0.0, focal="sigmoid"`` times the number of classes
    ==================================================  ==============================================================

    Args:
        input, target: As in `dice_loss`.
        mode: ``"softmax"`` or ``"sigmoid"``.
        dice_weight, focal_weight: :math:`w_d` and :math:`w_f`; float or 0-d tensor.
        gamma: :math:`\gamma`, 0 or more.
        focal: That of the softmax, the mean over all pixels, or that of each channel's ``"sigmoid"``, the mean over all
            elements, which it always is with ``mode="sigmoid"``.
        weight, squared, reduction: As in `dice_cross_entropy`.

    Returns:
        The loss: ``()``, or :math:`(N)` for ``reduction="none"``.
    """
    point = Point("focal", (dice_weight, focal_weight), mode == focal == "softmax", gamma)
    return Posed(input, target, mode, weight, reduction, {**options}, {"focal": focal}, squared, point)


dice_focal_loss.formula(dice_loss.record.formula)


@regions.loss(
    params=("alpha", "beta", "label_smoothing", "tversky_weight", "ce_weight"),
    words=_LOGITS,
    holds=_HOLDS,
    title="TverskyCrossEntropyLoss",
    domains={
        "alpha": NOT_NEGATIVE, "beta": NOT_NEGATIVE, "label_smoothing": _UNIT,
        "tversky_weight": _options.FINITE, "ce_weight": _options.FINITE,
    },
)  # fmt: skip
def tversky_cross_entropy(
    input: Tensor,
    target: Tensor,
    *,
    alpha: float | Tensor = 0.3,
    beta: float | Tensor = 0.7,
    mode: Literal["softmax", "sigmoid"] = "softmax",
    tversky_weight: float | Tensor = 1.0,
    ce_weight: float | Tensor = 1.0,
    label_smoothing: float | Tensor = 0.0,
    weight: Tensor | None = None,
    reduction: str = "mean",
    **options: Unpack[RatioOptions],
) -> Any:
    r"""Tversky loss and cross entropy of the same logits, in one read:

    .. math::
        \ell = w_t\, \mathrm{tversky} + w_c\, \mathrm{ce}.

    Args:
        input, target: As in `dice_loss`.
        alpha, beta: As in `focal_tversky_loss`.
        mode: ``"softmax"`` or ``"sigmoid"``.
        tversky_weight, ce_weight: :math:`w_t` and :math:`w_c`; float or 0-d tensor.
        label_smoothing, weight, reduction: As in `dice_cross_entropy`.

    Returns:
        The loss: ``()``, or :math:`(N)` for ``reduction="none"``.
    """
    point = Point("cross_entropy", (tversky_weight, ce_weight), mode == "softmax", label_smoothing=label_smoothing)
    return Posed(input, target, mode, weight, reduction, {**options}, {"alpha": alpha, "beta": beta}, point=point)


tversky_cross_entropy.formula(_tversky)


@regions.loss(words=_MODES, holds=_HOLDS, takes=_options.SortedOptions, sorts=True)
def lovasz_softmax_loss(
    input: Tensor,
    target: Tensor,
    *,
    mode: Literal["softmax", "sigmoid", "probabilities"] = "softmax",
    weight: Tensor | None = None,
    reduction: str = "mean",
    **options: Unpack[SortedOptions],
) -> Any:
    r"""The Lovász extension of the Jaccard loss, at the errors :math:`|t - p|` of each class (Berman et al. 2018).

    PyTorch sorts the errors; the loss and its gradient are plain PyTorch. Dense targets must be 0 or 1.

    Equivalent to ``lovasz_softmax(input.softmax(1), target)`` of the authors with ``batch=True, absent="skip"``, and
    with ``per_image=True`` without ``batch``.

    Args:
        input, target, mode, weight, reduction: As in `dice_loss`.
    """
    return Posed(input, target, mode, weight, reduction, {**options})


@lovasz_softmax_loss.formula
def _(p: Tensor, t: Tensor, kept: Tensor) -> Tensor:
    r""":math:`\sum_i e_i (J_i - J_{i-1})` of the errors in falling order."""
    return _lovasz((t - p).abs(), t, kept)


@regions.loss(holds=_HOLDS, takes=_options.SortedOptions, sorts=True)
def lovasz_hinge_loss(
    input: Tensor,
    target: Tensor,
    *,
    weight: Tensor | None = None,
    reduction: str = "mean",
    **options: Unpack[SortedOptions],
) -> Any:
    r"""The Lovász extension of the Jaccard loss, at the hinge losses :math:`1 - (2 t - 1) x` of each channel's logits
    (Berman et al. 2018).

    PyTorch sorts the errors; the loss and its gradient are plain PyTorch. Dense targets must be 0 or 1.

    Equivalent to ``lovasz_hinge(input.squeeze(1), target)`` of the authors, of inputs with one channel.

    Args:
        input: Logits, each channel one class against the rest.
        target, weight, reduction: As in `dice_loss`.
    """
    return Posed(input, target, "probabilities", weight, reduction, {**options})


@lovasz_hinge_loss.formula
def _(x: Tensor, t: Tensor, kept: Tensor) -> Tensor:
    r"""The errors may be negative; those do not count, but for their place."""
    return _lovasz(1 - (2 * t - 1) * x, t, kept)


def _lovasz(errors: Tensor, t: Tensor, kept: Tensor) -> Tensor:
    """Pixels that do not count come last, where they change nothing before them."""
    order = torch.where(kept, errors.detach(), -torch.inf).argsort(-1, descending=True)
    errors = torch.where(kept, errors, 0.0).gather(-1, order).clamp_min(0).double()
    t = t.gather(-1, order).double()
    mass = t.sum(-1, keepdim=True)
    jaccard = 1 - (mass - t.cumsum(-1)) / (mass + (1 - t).cumsum(-1))
    return (errors * jaccard.diff(dim=-1, prepend=torch.zeros_like(mass))).sum(-1)


def boundary_target(mask: Tensor, *, dims: int = 2) -> Tensor:
    r"""The edges of a mask, a target for a loss of edges beside that of the regions: 1 where one of the next pixels in
    any of the last ``dims`` directions has another value, else 0.

    The image's border is no edge.

    Equivalent to the morphological gradient of a mask with a cross of three pixels, and to the map that edge heads of
    segmentation networks learn, one pixel on both sides of an edge.

    Args:
        mask: Classes or a binary mask, shape :math:`(*, d_1, ..., d_K)` with K = ``dims``, any dtype.
        dims: K, the number of dimensions that are directions of the image.

    Returns:
        Zeros and ones, of the shape and dtype of ``mask``.

    Raises: ValueError for more ``dims`` than the mask has.

    Example:
        >>> mask = torch.tensor([[0, 0, 0, 1], [0, 0, 0, 1]])
        >>> fastloss.functional.boundary_target(mask)
        tensor([[0, 0, 1, 1],
                [0, 0, 1, 1]])
    """
    if not 0 < dims <= mask.dim():
        raise ValueError(
            f"fastloss.boundary_target: dims is {dims}, expected 1 to {mask.dim()}, the dimensions of the mask"
        )
    edge = torch.zeros_like(mask, dtype=torch.bool)
    for dim in range(mask.dim() - dims, mask.dim()):
        size = mask.shape[dim]
        if size > 1:
            change = mask.narrow(dim, 1, size - 1) != mask.narrow(dim, 0, size - 1)
            edge.narrow(dim, 1, size - 1).logical_or_(change)
            edge.narrow(dim, 0, size - 1).logical_or_(change)
    return edge.to(mask.dtype)


@loss(
    params=("alpha", "beta", "eps"),
    holds={"input": "probability", "target": "probability"},
    domains={"alpha": NOT_NEGATIVE, "beta": NOT_NEGATIVE, "eps": NOT_NEGATIVE},
    pairs=True,
)
def tversky_loss(
    input: Tensor,
    target: Tensor,
    alpha: float | Tensor = 0.3,
    beta: float | Tensor = 0.7,
    eps: float | Tensor = 1.0,
    reduction: str = "mean",
    **options: Unpack[WeightedPointOptions],
) -> Problem:
    r"""One minus the Tversky index of every class of every sample (Salehi et al. 2017), of probabilities p and masks t:

    .. math::
        \ell = 1 - \frac{\sum p t + e}
                        {\sum p t + \alpha \sum p (1 - t) + \beta \sum t (1 - p) + e}.

    ``alpha=0.5, beta=0.5`` is the soft Dice loss with e / 2 beside each product, ``alpha=1, beta=1`` the Jaccard loss.
    Of logits, or of classes as targets, this is `focal_tversky_loss` with ``gamma=1``.

    The same loss elsewhere, of probabilities and with a reduction over samples and classes:

    ======================================  ==================================================================
    there                                   here
    ======================================  ==================================================================
    MONAI ``TverskyLoss(alpha, beta)``      ``tversky_loss(p, t, alpha, beta, eps=1e-5)``
    smp ``TverskyLoss(alpha=, beta=)``      sums over the batch too: ``p.transpose(0, 1).flatten(1)``, ``eps=smooth``
    ======================================  ==================================================================

    Args:
        input, target: Probabilities and masks in [0, 1], shape :math:`(N, C, d_1, ..., d_K)`; of fewer than three
            dimensions the last one holds the pixels.
        alpha: Weight of what is marked and should not be, 0 or more; float or 0-d tensor.
        beta: Weight of what should be marked and is not.
        eps: e. With 0 a class that neither has gives NaN.
        reduction: ``"none"`` (a value for every sample and class), ``"mean"`` or ``"sum"``.
    """
    if isinstance(input, Tensor) and isinstance(target, Tensor) and input.dim() > 3 and target.dim() > 3:
        input, target = input.flatten(2), target.flatten(2)
    arguments = {"input": input, "target": target, "alpha": alpha, "beta": beta, "eps": eps}
    return Problem(arguments, reduction, options)


@tversky_loss.formula
def _(p: Tensor, t: Tensor, alpha: Number, beta: Number, eps: Number) -> Tensor:
    r""":math:`w / (\sum p t + w + e)`, w what is wrong, :math:`\alpha \sum p (1 - t) + \beta \sum t (1 - p)`."""
    p, t = p.double(), t.double()
    wrong = as_number(alpha, p) * (p * (1 - t)).sum(-1) + as_number(beta, p) * (t * (1 - p)).sum(-1)
    return wrong / ((p * t).sum(-1) + wrong + as_number(eps, p))
