"""Losses of one element at a time: input and target give a value, values are weighed, masked and reduced."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fastloss import reference
from fastloss._core import route
from fastloss._core._torch import native_operator
from fastloss._options import PointOptions, WeightedPointOptions, legacy_reduction, takes_tensors
from fastloss.functional._paths import REDUCTIONS, is_compiling
from fastloss.functional._points import NUMBERS, Spec, goes_native, natively, public_loss, run
from fastloss.reference.pointwise import focal_call, variance_like

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = [
    "asymmetric_loss",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "charbonnier_loss",
    "count_positives",
    "gaussian_nll_loss",
    "hinge_embedding_loss",
    "hinge_loss",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "log_cosh_loss",
    "margin_ranking_loss",
    "mse_loss",
    "poisson_nll_loss",
    "quantile_loss",
    "robust_loss",
    "sigmoid_focal_loss",
    "smooth_l1_loss",
    "soft_margin_loss",
]

_HUBER = Spec(
    "huber_loss",
    params=("delta",),
    warns=True,
    tiny=61440,
    native=native_operator("huber_loss"),
    dtype="equal",
    weight_promotes=True,
)
_SMOOTH_L1 = Spec(
    "smooth_l1_loss",
    params=("beta",),
    warns=True,
    tiny=57344,
    native=native_operator("smooth_l1_loss"),
)
_MSE = Spec("mse_loss", weight_mean=True, warns=True, tiny=49152, native=native_operator("mse_loss"))
_L1 = Spec("l1_loss", weight_mean=True, warns=True, tiny=1024, native=native_operator("l1_loss"), bools=False)
_BCE = Spec(
    "binary_cross_entropy_with_logits",
    same_size=True,
    tiny=1024,
    native=torch.binary_cross_entropy_with_logits,
    dtype="target",
    floating=("target",),
)
_BCE_POS_WEIGHT = Spec(
    _BCE.name,
    operator="binary_cross_entropy_with_logits_pos_weight",
    tensors=("input", "target", "pos_weight"),
    fixed=("pos_weight",),
    same_size=True,
    dtype="target",
    floating=("target", "pos_weight"),
)


def _adapt_focal(
    options: Any,
    inputs: Tensor,
    targets: Tensor,
    alpha: float | Tensor,
    gamma: float | Tensor,
    ignore_index: int | None,
    label_smoothing: float,
) -> tuple[dict[str, Any], Any]:
    if not (isinstance(inputs, Tensor) and isinstance(targets, Tensor)):
        pass  # the reference refuses them
    elif (
        ignore_index is not None
        or isinstance(label_smoothing, Tensor)
        or label_smoothing
        or targets.dtype != inputs.dtype
        or (isinstance(alpha, Tensor) and alpha.dim())
    ):
        targets, alpha, options = focal_call(inputs, targets, alpha, ignore_index, label_smoothing, options)
    return {"inputs": inputs, "targets": targets, "alpha": alpha, "gamma": gamma}, options


_FOCAL = Spec(
    "sigmoid_focal_loss",
    adapt=_adapt_focal,
    tensors=("inputs", "targets"),
    params=("alpha", "gamma"),
)
_PROBABILITY = Spec(
    "binary_cross_entropy",
    same_size=True,
    tiny=832,
    native=native_operator("binary_cross_entropy"),
    dtype="equal",
    floating=("target",),
)
_SOFT_MARGIN = Spec(
    "soft_margin_loss",
    fixed=("target",),
    same_size=True,
    tiny=64,
    native=native_operator("soft_margin_loss"),
    dtype="input",
    bools=False,
)
_HINGE_EMBEDDING = Spec("hinge_embedding_loss", params=("margin",), fixed=("target",), dtype="input")
_RANKING = Spec(
    "margin_ranking_loss", tensors=("input1", "input2", "target"), params=("margin",), same_rank=True, bools=False
)
_POISSON = Spec("poisson_nll_loss", params=("log_input", "full", "eps"), bools=False)
_GAUSSIAN = Spec(
    "gaussian_nll_loss",
    tensors=("input", "target", "var"),
    params=("full", "eps"),
    takes=lambda full, eps: eps > 0,
    bools=False,
    floating=("var",),
    autocasts=False,
)
_KL = Spec("kl_div", params=("log_target",), tiny=3072, native=torch.kl_div, floating=("target",))
_HINGE = Spec("hinge_loss", params=("margin", "p"))
_LOG_COSH = Spec("log_cosh_loss")
_QUANTILE = Spec("quantile_loss", params=("q",))
_CHARBONNIER = Spec("charbonnier_loss", params=("eps",))
_ROBUST = Spec("robust_loss", params=("alpha", "scale"))
_ASYMMETRIC = Spec("asymmetric_loss", params=("gamma_neg", "gamma_pos", "clip"))


@public_loss(_HUBER)
def huber_loss(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    delta: float | Tensor = 1.0,
    weight: Tensor | None = None,
    **options: Unpack[PointOptions],
) -> Tensor | Any:
    r"""Huber loss (Huber 1964), :math:`d = x - y`:

    .. math::
        \ell = \tfrac12 d^2 \ \text{where}\ |d| \le \delta, \qquad \delta\,(|d| - \tfrac12 \delta) \ \text{elsewhere}.

    Equivalent to ``torch.nn.functional.huber_loss(input, target, reduction, delta, weight)``. A weighted mean divides
    by the number of elements, as PyTorch's does.

    Args:
        input, target: Predictions and values; a target of another size is broadcast, with a warning.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.
        delta: Where the parabola ends, positive; float or 0-d tensor.
        weight: Factor of each element, of ``input``'s size.
    """
    if weight is None and not options and goes_native(_HUBER, input, target, reduction):
        loss = natively(_HUBER, input, target, REDUCTIONS[reduction], delta)
        if loss is not None:
            return loss
    arguments: dict[str, Any] = {"input": input, "target": target, "delta": delta, "weight": weight}
    return run(_HUBER, arguments, reduction, options)


@public_loss(_SMOOTH_L1)
def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float | Tensor = 1.0,
    **options: Unpack[WeightedPointOptions],
) -> Tensor | Any:
    r"""Smooth L1 loss (Girshick 2015), the Huber loss divided by its threshold, :math:`d = x - y`:

    .. math::
        \ell = d^2 / 2\beta \ \text{where}\ |d| < \beta, \qquad |d| - \tfrac12 \beta \ \text{elsewhere}.

    Equivalent to ``torch.nn.functional.smooth_l1_loss(input, target, reduction=reduction, beta=beta)``.

    Args:
        input, target: Predictions and values; a target of another size is broadcast, with a warning.
        size_average, reduce: Deprecated as in PyTorch.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.
        beta: Where the parabola ends; at 0 the absolute error. Float or 0-d tensor.
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    # Elsewhere PyTorch's d^2 overflows or underflows before it is divided, and its derivative at ties is -1 for beta 0.
    if (
        not options
        and type(beta) in NUMBERS
        and 1e-12 < beta < 1e12
        and goes_native(_SMOOTH_L1, input, target, reduction)
    ):
        loss = natively(_SMOOTH_L1, input, target, REDUCTIONS[reduction], beta)
        if loss is not None:
            return loss
    return run(_SMOOTH_L1, {"input": input, "target": target, "beta": beta}, reduction, options)


@public_loss(_MSE)
def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
    **options: Unpack[PointOptions],
) -> Tensor | Any:
    r"""Squared error, :math:`\ell = (x - y)^2`.

    Equivalent to ``torch.nn.functional.mse_loss(input, target, reduction=reduction, weight=weight)``. A weighted mean
    divides by the sum of the weights, as PyTorch's does.

    Args:
        input, target: Predictions and values; a target of another size is broadcast, with a warning.
        size_average, reduce: Deprecated as in PyTorch.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.
        weight: Factor of each element, of ``input``'s size.
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    if weight is None and not options and goes_native(_MSE, input, target, reduction):
        loss = natively(_MSE, input, target, REDUCTIONS[reduction])
        if loss is not None:
            return loss
    return run(_MSE, {"input": input, "target": target, "weight": weight}, reduction, options)


@public_loss(_L1)
def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
    **options: Unpack[PointOptions],
) -> Tensor | Any:
    r"""Absolute error, :math:`\ell = |x - y|`; the gradient at 0 is 0.

    Equivalent to ``torch.nn.functional.l1_loss(input, target, reduction=reduction, weight=weight)``. A weighted mean
    divides by the sum of the weights, as PyTorch's does.

    Args:
        input, target: Predictions and values; a target of another size is broadcast, with a warning.
        size_average, reduce: Deprecated as in PyTorch.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.
        weight: Factor of each element, of ``input``'s size.
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    if weight is None and not options and goes_native(_L1, input, target, reduction):
        loss = natively(_L1, input, target, REDUCTIONS[reduction])
        if loss is not None:
            return loss
    return run(_L1, {"input": input, "target": target, "weight": weight}, reduction, options)


@public_loss(_BCE)
def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
    **options: Unpack[PointOptions],
) -> Tensor | Any:
    r"""Binary cross entropy of a logit, w = ``pos_weight``:

    .. math::
        \ell = -w\, y \log \sigma(x) - (1 - y) \log(1 - \sigma(x)).

    Equivalent to ``torch.nn.functional.binary_cross_entropy_with_logits(input, target, weight, reduction=reduction,
    pos_weight=pos_weight)``, except that the loss of a confident, right prediction keeps its relative accuracy
    (PyTorch's cancels: 0 where the truth is 1e-8), and that x = -inf, y = 1 gives inf rather than NaN.

    Args:
        input, target: Logits and labels in [0, 1], of one size.
        weight: Factor of each element, broadcastable; the mean divides by the number of elements.
        size_average, reduce: Deprecated as in PyTorch.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.
        pos_weight: Factor of the positive term, broadcastable.
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    arguments: dict[str, Any] = {"input": input, "target": target, "weight": weight, "pos_weight": pos_weight}
    if pos_weight is not None:
        return run(_BCE_POS_WEIGHT, arguments, reduction, options)
    if weight is None and not options and goes_native(_BCE, input, target, reduction):
        loss = natively(_BCE, input, target, None, None, REDUCTIONS[reduction])
        if loss is not None:
            return loss
    return run(_BCE, arguments, reduction, options)


@public_loss(_FOCAL)
def sigmoid_focal_loss(
    inputs: Tensor,
    targets: Tensor,
    alpha: float | Tensor = 0.25,
    gamma: float | Tensor = 2.0,
    reduction: str = "none",
    *,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    **options: Unpack[WeightedPointOptions],
) -> Tensor | Any:
    r"""Focal loss of a logit (Lin et al. 2017), :math:`p = \sigma(x)`:

    .. math::
        \ell = \alpha_t\,(1 - p_t)^\gamma\, \mathrm{BCE}(x, y), \qquad
        p_t = p y + (1-p)(1-y), \quad \alpha_t = \alpha y + (1-\alpha)(1-y).

    Equivalent to ``torchvision.ops.sigmoid_focal_loss(inputs, targets, alpha, gamma, reduction)``, soft targets
    included, except that 1 - p_t is formed without cancellation, so the tail keeps its relative accuracy
    (there float32 is 12 % off at x = 16 and bfloat16 is 0 from x = 8), and that the gradient is finite for every
    ``gamma`` (there NaN below 1).

    Args:
        inputs, targets: Logits and labels in [0, 1]; or logits (..., C) and integers (...) that name a class each,
            where any number that names none (C, as in mmcv, or -1, as in apex) is background, a row of negatives.
        alpha: Weight of the positives, 1 - alpha that of the negatives, in [0, 1]; -1: no weighting. Float or 0-d
            tensor, or a tensor of one per class, for the last dimension of ``inputs``.
        gamma: Exponent, at least 0; 0 to 4 in whole numbers need no power function. Float or 0-d tensor.
        reduction: ``"none"`` (the default, as torchvision's), ``"mean"`` (over all elements that are kept, N C of
            them for N classes; others divide by N or by `count_positives`, as ``normalizer``) or ``"sum"``.
        ignore_index: Elements with this target count as if they were not there; rows, if targets are classes.
        label_smoothing: Moves targets towards 1/2: :math:`(1 - \epsilon) y + \epsilon / 2`. alpha per class weighs by
            the targets before smoothing, alpha as a number by those after.

    Memory of the options: integer targets are expanded to (..., C) in the dtype of ``inputs``, smoothed to float32, an
    alpha per class becomes a weight of that shape; all three last until backward.

    Note: same name, different numbers. What others compute, and the call that reproduces it
        (N samples, C classes, P positives, ``x`` and one-hot ``y`` of shape (N, C)):

        ==========================================  ============================================================
        torchvision ``sigmoid_focal_loss``          ``sigmoid_focal_loss(x, y, alpha, gamma)``
        fvcore ``sigmoid_focal_loss``               ``sigmoid_focal_loss(x, y, -1, gamma)`` (its alpha is off)
        mmcv ``sigmoid_focal_loss`` (gamma first)   ``sigmoid_focal_loss(x, y, alpha, gamma, "mean", normalizer=N)``
        mmdet ``FocalLoss`` with ``avg_factor=P``   ``sigmoid_focal_loss(x, y, alpha, gamma, "mean", normalizer=P)``
        kornia ``binary_focal_loss_with_logits``    ``sigmoid_focal_loss(x, y, alpha, gamma)`` for hard targets
        MONAI ``FocalLoss()`` (alpha None)          ``sigmoid_focal_loss(x, y, -1, gamma, "mean")``
        MONAI ``FocalLoss(use_softmax=True)``       ``softmax_focal_loss(x, k, None, gamma, normalizer=N * C)``
        kornia ``focal_loss`` (softmax), "mean"     ``softmax_focal_loss(x, k, alpha, gamma, normalizer=N * C)``
        smp ``FocalLoss("multiclass")`` 0.6         ``sigmoid_focal_loss(x, y, -1, gamma, "mean")``: not softmax; up to
                                                    0.5 C times that
        ==========================================  ============================================================
    """
    arguments, options = _adapt_focal(options, inputs, targets, alpha, gamma, ignore_index, label_smoothing)
    return run(_FOCAL, arguments, reduction, options)


@takes_tensors
def count_positives(
    targets: Tensor, num_classes: int | None = None, *, ignore_index: int | None = None, mask: Tensor | None = None
) -> Tensor:
    """The number of positives, at least 1: what detectors divide a sum of focal losses by (``normalizer``).

    Args:
        targets: Labels in [0, 1], which are summed, or with ``num_classes`` one class per row, of which those from 0 to
            ``num_classes`` - 1 count.
        num_classes: C.
        ignore_index, mask: As given to the loss; what they leave out does not count.

    Returns:
        A 0-d float64 tensor. Under data parallelism average it over the processes before it is used.
    """
    kept = torch.ones((), dtype=torch.bool, device=targets.device) if mask is None else mask
    if not targets.dtype.is_floating_point:
        targets = targets.long()  # uint8 would compare with -1 as 255
    if ignore_index is not None:
        kept = kept & (targets != ignore_index)
    found = targets if num_classes is None else (targets >= 0) & (targets < num_classes)
    return torch.where(kept, found, 0).sum(dtype=torch.float64).clamp_min(1)


@public_loss(_PROBABILITY)
def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    **options: Unpack[PointOptions],
) -> Tensor | Any:
    r"""Binary cross entropy of a probability, :math:`\ell = -y \log x - (1 - y) \log(1 - x)`, log clamped at -100.

    Equivalent to ``torch.nn.functional.binary_cross_entropy(input, target, weight, reduction=reduction)``; prefer
    `binary_cross_entropy_with_logits`.

    Args:
        input, target: Probabilities in [0, 1] (else RuntimeError) and labels, of one size.
        weight: Factor of each element, broadcastable; the mean divides by the number of elements.
        size_average, reduce: Deprecated as in PyTorch.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    if weight is None and not options and goes_native(_PROBABILITY, input, target, reduction):
        loss = natively(_PROBABILITY, input, target, None, REDUCTIONS[reduction])
        if loss is not None:
            return loss
    return run(_PROBABILITY, {"input": input, "target": target, "weight": weight}, reduction, options)


@public_loss(_SOFT_MARGIN)
def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    **options: Unpack[WeightedPointOptions],
) -> Tensor | Any:
    r"""Logistic loss of a score for a label in {-1, 1}, :math:`\ell = \log(1 + e^{-y x})`.

    Equivalent to ``torch.nn.functional.soft_margin_loss(input, target, reduction=reduction)``, except that a large
    :math:`-y x` gives it back instead of infinity, and a finite gradient (above 64 elements: up to there PyTorch's own
    operator runs).

    Args:
        input, target: Scores and labels.
        size_average, reduce: Deprecated as in PyTorch.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    if not options and goes_native(_SOFT_MARGIN, input, target, reduction):
        loss = natively(_SOFT_MARGIN, input, target, REDUCTIONS[reduction])
        if loss is not None:
            return loss
    return run(_SOFT_MARGIN, {"input": input, "target": target}, reduction, options)


@public_loss(_HINGE_EMBEDDING)
def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float | Tensor = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    **options: Unpack[WeightedPointOptions],
) -> Tensor | Any:
    r"""Distances pulled to zero (y = 1: :math:`\ell = x`) or beyond a margin (y = -1: :math:`\max(0, m - x)`).

    Equivalent to ``torch.nn.functional.hinge_embedding_loss(input, target, margin, reduction=reduction)``.

    Args:
        input, target: Distances and labels 1 or -1.
        margin: m, float or 0-d tensor.
        size_average, reduce: Deprecated as in PyTorch.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    return run(_HINGE_EMBEDDING, {"input": input, "target": target, "margin": margin}, reduction, options)


@public_loss(_RANKING)
def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float | Tensor = 0.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    **options: Unpack[WeightedPointOptions],
) -> Tensor | Any:
    r"""Two scores that should be ordered (y = 1: first larger), :math:`\ell = \max(0, m - y (x_1 - x_2))`.

    Equivalent to ``torch.nn.functional.margin_ranking_loss(input1, input2, target, margin, reduction=reduction)``.

    Args:
        input1, input2, target: Scores and labels 1 or -1, of as many dimensions each.
        margin: m, float or 0-d tensor.
        size_average, reduce: Deprecated as in PyTorch.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    arguments: dict[str, Any] = {"input1": input1, "input2": input2, "target": target, "margin": margin}
    return run(_RANKING, arguments, reduction, options)


@public_loss(_POISSON)
def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float | Tensor = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
    **options: Unpack[WeightedPointOptions],
) -> Tensor | Any:
    r"""Poisson negative log-likelihood of counts, :math:`\ell = e^x - y x` or :math:`x - y \log(x + \epsilon)`.

    Equivalent to ``torch.nn.functional.poisson_nll_loss(input, target, log_input, full, eps=eps,
    reduction=reduction)``.

    Args:
        input, target: Log-rates (or rates) and counts.
        log_input: Whether ``input`` is a log-rate.
        full: Add Stirling's :math:`y \log y - y + \tfrac12 \log 2\pi y` where y > 1.
        size_average, reduce: Deprecated as in PyTorch.
        eps: Keeps the logarithm of a rate finite.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    arguments: dict[str, Any] = {"input": input, "target": target, "log_input": log_input, "full": full, "eps": eps}
    return run(_POISSON, arguments, reduction, options)


@public_loss(_GAUSSIAN)
def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float | Tensor = 1e-6,
    reduction: str = "mean",
    **options: Unpack[WeightedPointOptions],
) -> Tensor | Any:
    r"""Gaussian negative log-likelihood, :math:`\ell = \tfrac12 (\log v + (x - y)^2 / v)`, v = max(var, eps).

    Equivalent to ``torch.nn.functional.gaussian_nll_loss(input, target, var, full, eps, reduction)``; the clamp
    does not enter the gradient, as there.

    Args:
        input, target: Means and values.
        var: Variances: a float, ``input``'s size, the same without its last dimension, or with one dimension of size 1.
            ValueError if one is negative.
        full: Add :math:`\tfrac12 \log 2\pi`.
        eps: Least variance.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.
    """
    arguments: dict[str, Any] = {"input": input, "target": target, "var": var, "full": full, "eps": eps}
    if isinstance(input, Tensor):
        if isinstance(var, float) and var >= 0:
            arguments["var"] = torch.full((), var, dtype=input.dtype, device=input.device).expand(input.shape)
        elif isinstance(var, Tensor) and var.shape != input.shape:
            arguments["var"] = variance_like(input, var)
            if arguments["var"] is None:
                arguments["var"] = var
                route.kernel_unless("gaussian_nll_loss", "PyTorch decides about this variance's size")
                return reference.gaussian_nll_loss(**arguments, reduction=reduction, **options)  # PyTorch's error
    return run(_GAUSSIAN, arguments, reduction, options)


@public_loss(_KL)
def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
    **options: Unpack[WeightedPointOptions],
) -> Tensor | Any:
    r"""Kullback-Leibler divergence from log-probabilities x to a target y, :math:`\ell = y (\log y - x)`.

    Equivalent to ``torch.nn.functional.kl_div(input, target, reduction=reduction, log_target=log_target)``.

    Args:
        input, target: Log-probabilities, and probabilities or (``log_target``) log-probabilities.
        size_average, reduce: Deprecated as in PyTorch.
        reduction: ``"none"``, ``"sum"``, ``"batchmean"`` (the divergence: sum over all, divided by the batch) or
            ``"mean"``, which divides by the number of elements and warns so.
        log_target: Whether ``target`` is a log-probability: :math:`\ell = e^y (y - x)`.
    """
    if size_average is not None or reduce is not None:
        reduction = legacy_reduction(size_average, reduce, reduction)
    elif reduction == "mean" and not is_compiling():
        warnings.warn(
            "reduction: 'mean' divides the total loss by both the batch size and the support size."
            "'batchmean' divides only by the batch size, and aligns with the KL div math definition."
            "'mean' will be changed to behave the same as 'batchmean' in the next major release.",
            stacklevel=2,
        )
    if not options and goes_native(_KL, input, target, reduction):
        loss = natively(_KL, input, target, REDUCTIONS[reduction], log_target=log_target)
        if loss is not None:
            return loss
    if reduction == "batchmean" and isinstance(input, Tensor) and "normalizer" not in options:
        # The batch size divides; what the reference calls a mean with this divisor.
        reduction = "mean" if input.dim() else "sum"
        if input.dim():
            options["normalizer"] = input.shape[0]
    return run(_KL, {"input": input, "target": target, "log_target": log_target}, reduction, options)


@public_loss(_ROBUST)
def robust_loss(
    input: Tensor,
    target: Tensor,
    alpha: float | Tensor = 1.0,
    scale: float | Tensor = 1.0,
    reduction: str = "mean",
    **options: Unpack[WeightedPointOptions],
) -> Tensor | Any:
    r"""General robust loss (Barron 2019, https://arxiv.org/abs/1701.03077) of :math:`r = (x - y) / c`,
    :math:`\ell = \tfrac{b}{\alpha} \left(\left(1 + r^2 / b\right)^{\alpha / 2} - 1\right)`, :math:`b = |\alpha - 2|`.

    alpha 2 is the squared error :math:`r^2 / 2`, 1 the Charbonnier loss :math:`\sqrt{1 + r^2} - 1`, 0 the Cauchy loss
    :math:`\log(1 + r^2 / 2)`, -2 the Geman-McClure loss, ``-inf`` the Welsch loss :math:`1 - e^{-r^2 / 2}`. The smaller
    alpha, the less an outlier pulls.

    Equivalent to ``(b / alpha * ((1 + ((input - target) / scale) ** 2 / b) ** (alpha / 2) - 1)).mean()`` where that
    neither divides by zero, cancels nor overflows in a square.

    Args:
        input, target: Predictions and values.
        alpha: Shape, float or 0-d tensor. Learned together with ``scale`` (a 0-d or broadcastable tensor that requires
            a gradient) the loss runs in plain PyTorch: the kernel takes one number for all elements and gives no
            gradient to it. Its derivative in alpha is that of the formula, but 0 at alpha = 2, where it has none.
        scale: c, positive; float or 0-d tensor.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.
    """
    arguments: dict[str, Any] = {"input": input, "target": target, "alpha": alpha, "scale": scale}
    return run(_ROBUST, arguments, reduction, options)


@public_loss(_ASYMMETRIC)
def asymmetric_loss(
    input: Tensor,
    target: Tensor,
    gamma_neg: float | Tensor = 4.0,
    gamma_pos: float | Tensor = 1.0,
    clip: float | Tensor = 0.05,
    reduction: str = "mean",
    **options: Unpack[WeightedPointOptions],
) -> Tensor | Any:
    r"""Asymmetric loss for labels most of which are 0 (Ridnik et al. 2021, https://arxiv.org/abs/2009.14119):
    :math:`\ell = -y\, (1 - p)^{\gamma_+} \log p - (1 - y)\, m^{\gamma_-} \log(1 - m)`, :math:`p = \sigma(x)`,
    :math:`m = \max(0, p - \mathrm{clip})`.

    Soft targets mix the two terms. Where p is at most ``clip`` a negative has neither value nor gradient. Value and
    gradient are finite for every exponent, and keep their relative accuracy as p tends to 0 and 1.

    Equivalent to ``-(y * (1 - p) ** gamma_pos * p.log() + (1 - y) * m ** gamma_neg * (1 - m).log()).mean()`` where no
    logarithm is taken of a rounded zero. timm's ``AsymmetricLossMultiLabel`` is its sum.

    Args:
        input, target: Logits, and targets in [0, 1].
        gamma_neg, gamma_pos: Exponents, not negative; floats or 0-d tensors.
        clip: Margin by which a negative's probability is lowered, in [0, 1); float or 0-d tensor.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.
    """
    arguments: dict[str, Any] = {
        "input": input, "target": target, "gamma_neg": gamma_neg, "gamma_pos": gamma_pos, "clip": clip
    }  # fmt: skip
    return run(_ASYMMETRIC, arguments, reduction, options)


@public_loss(_HINGE)
def hinge_loss(
    input: Tensor,
    target: Tensor,
    margin: float | Tensor = 1.0,
    p: int = 1,
    reduction: str = "mean",
    **options: Unpack[WeightedPointOptions],
) -> Tensor | Any:
    r"""Hinge of a score for a label in {-1, 1} (Cortes and Vapnik 1995), :math:`\ell = \max(0, m - y x)^p`.

    Equivalent to ``(margin - target * input).clamp_min(0).pow(p).mean()``.

    Args:
        input, target: Scores and labels.
        margin: m, float or 0-d tensor.
        p: 1 or 2.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.
    """
    arguments: dict[str, Any] = {"input": input, "target": target, "margin": margin, "p": p}
    return run(_HINGE, arguments, reduction, options)


@public_loss(_LOG_COSH)
def log_cosh_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", **options: Unpack[WeightedPointOptions]
) -> Tensor | Any:
    r"""A smooth absolute error, :math:`\ell = \log \cosh(x - y)`, gradient :math:`\tanh(x - y)`.

    Equivalent to ``(input - target).cosh().log().mean()`` where that neither overflows nor cancels.

    Args:
        input, target: Predictions and values.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.
    """
    return run(_LOG_COSH, {"input": input, "target": target}, reduction, options)


@public_loss(_QUANTILE)
def quantile_loss(
    input: Tensor,
    target: Tensor,
    q: float | Tensor = 0.5,
    reduction: str = "mean",
    **options: Unpack[WeightedPointOptions],
) -> Tensor | Any:
    r"""Quantile (pinball) loss (Koenker and Bassett 1978), :math:`\ell = \max(q r, (q - 1) r)`, :math:`r = y - x`.

    Equivalent to ``torch.maximum(q * (target - input), (q - 1) * (target - input)).mean()``; the gradient at 0 is 0.

    Args:
        input, target: Predictions of the quantile, and values.
        q: Which quantile, in [0, 1]; float or 0-d tensor.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.
    """
    return run(_QUANTILE, {"input": input, "target": target, "q": q}, reduction, options)


@public_loss(_CHARBONNIER)
def charbonnier_loss(
    input: Tensor,
    target: Tensor,
    eps: float | Tensor = 1e-3,
    reduction: str = "mean",
    **options: Unpack[WeightedPointOptions],
) -> Tensor | Any:
    r"""Differentiable absolute error (Charbonnier et al. 1994), :math:`\ell = \sqrt{(x - y)^2 + \epsilon^2}`.

    Equivalent to ``((input - target).square() + eps**2).sqrt().mean()``.

    Args:
        input, target: Predictions and values.
        eps: Width of the rounding at zero, 0 or more; float or 0-d tensor.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.
    """
    return run(_CHARBONNIER, {"input": input, "target": target, "eps": eps}, reduction, options)
