"""Losses of logits or probabilities, one label each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fastloss._core import operators as _ops
from fastloss._core import options as _options
from fastloss._core._torch import F, native_operator
from fastloss._core.formula import Number, above_zero, as_number
from fastloss._core.options import (
    FINITE,
    NOT_NEGATIVE,
    PointOptions,
    RowOptions,
    WeightedPointOptions,
    legacy_reduction,
)
from fastloss._core.record import Problem
from fastloss.engines import softmax
from fastloss.engines.elements import loss

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = [
    "asymmetric_loss",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "count_positives",
    "cross_entropy",
    "hinge_loss",
    "poly1_cross_entropy",
    "sigmoid_focal_loss",
    "soft_margin_loss",
    "softmax_focal_loss",
]


@softmax.loss(
    torch=F.cross_entropy,
    module=torch.nn.CrossEntropyLoss,
    native=native_operator("cross_entropy_loss"),
    probabilities=True,
)
def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float | Tensor = 0.0,
    **options: Unpack[RowOptions],
) -> softmax.Posed:
    r"""Cross entropy between logits and class indices or class probabilities.

    For a row of logits :math:`x \in \mathbb{R}^C` with target class :math:`y`, class weights :math:`w` (ones if
    ``weight`` is None) and label smoothing :math:`\varepsilon`,

    .. math::
        \ell = (1-\varepsilon)\, w_y \,(\operatorname{lse}(z) - z_y)
             + \frac{\varepsilon}{C} \sum_c w_c\,(\operatorname{lse}(z) - z_c)
             + \lambda\, w_y \operatorname{lse}(z)^2,
        \qquad z = x / \tau \ \text{or}\ s \tanh(x/s) / \tau,

    with :math:`\lambda` = ``z_loss``, :math:`s` = ``softcap`` and :math:`\tau` = ``temperature``. Probability targets
    :math:`t` replace the first two terms by :math:`\sum_c w_c t'_c (\operatorname{lse}(z) - z_c)` with
    :math:`t' = (1-\varepsilon) t + \varepsilon / C`, and :math:`w_y` in the last one by 1.

    Equivalent to ``torch.nn.functional.cross_entropy(input, target, weight, ignore_index=ignore_index,
    reduction=reduction, label_smoothing=label_smoothing)`` when no keyword-only argument is used.

    Args:
        input: Logits, shape :math:`(C)`, :math:`(N, C)` or :math:`(N, C, d_1, ..., d_K)`, any strides.
            float16, bfloat16, float32 or float64.
        target: Class indices, int64 or uint8, the shape of ``input`` without its class dimension; or probabilities,
            shape and dtype of ``input``.
        weight: Factor of each class, shape :math:`(C)`.
        size_average, reduce: Deprecated as in PyTorch; ``reduction`` says it all.
        ignore_index: Rows with this target contribute nothing; may be a real class. Index targets only.
        reduction: ``"none"``, ``"sum"``, or ``"mean"``, which divides by the sum of :math:`w_y` over the kept rows
            (index targets) or by the number of kept rows (probabilities).
        label_smoothing: :math:`\varepsilon` in [0, 1].

    Gradient: with respect to ``input`` and to probability targets; differentiable again (through the reference).
        Rows that are ignored get exactly zero, whatever their logits. (PyTorch gives NaN where those are NaN or
        infinite.)
    Accuracy: half and single precision compute in float32 with float64 sums over rows; the target's own
        probability is left out of the sum it is compared with, so p near 1 keeps its relative accuracy in the loss
        and in the target's gradient. Results do not depend on the number of threads.

    Example:
        >>> logits = torch.randn(512, 32000, requires_grad=True)
        >>> target = torch.randint(32000, (512,))
        >>> fastloss.functional.cross_entropy(logits, target).backward()
    """
    if size_average is not None or reduce is not None:
        reduction = legacy_reduction(size_average, reduce, reduction)
    return input, target, (), weight, ignore_index, reduction, label_smoothing, options


@cross_entropy.formula
def _(nll: Tensor) -> Tensor:
    r""":math:`-\log p`."""
    return nll


@softmax.loss(
    params=("alpha", "gamma"),
    domains={"alpha": FINITE, "gamma": NOT_NEGATIVE},
    factor="alpha",
)
def softmax_focal_loss(
    input: Tensor,
    target: Tensor,
    alpha: float | Tensor | None = None,
    gamma: float | Tensor = 2.0,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float | Tensor = 0.0,
    **options: Unpack[RowOptions],
) -> softmax.Posed:
    r"""Focal loss over classes (Lin et al. 2017): cross entropy with confident rows weighed down.

    With p the softmax of ``input``, :math:`q_y = \sum_{j \ne y} p_j` and :math:`\varepsilon` = ``label_smoothing``,

    .. math::
        \ell = (1-\varepsilon)\, w_y\, \alpha_y\, q_y^\gamma\, (-\log p_y)
             + \frac{\varepsilon}{C} \sum_c w_c\,(-\log p_c).

    Probability targets t replace it by :math:`\sum_c w_c t'_c \alpha_c (1 - p_c)^\gamma (-\log p_c)` with
    :math:`t' = (1-\varepsilon) t + \varepsilon / C`.

    Equivalent to ``cross_entropy(input, target, weight, ...)`` at ``gamma=0`` without ``alpha``. For what other
    libraries call softmax focal loss see the table in `sigmoid_focal_loss`.

    Args:
        input, target, weight, ignore_index, reduction, label_smoothing: As in `cross_entropy`. The mean divides by the
            sum of :math:`w_y`; neither ``alpha`` nor the focal factor enters the divisor.
        alpha: Factor of every row, or of each class, shape :math:`(C)`. None: 1.
        gamma: Exponent, at least 0; 0 to 4 in whole numbers need no power function. Float or 0-d tensor.

    Gradient: finite for every ``gamma``, also below 1 and for saturated logits: no power of gamma - 1 is formed.
        Probability targets, ``alpha`` per class with smoothing or ``z_loss``, and learned hyperparameters run in plain
        PyTorch.
    Accuracy: q is summed without the target, never 1 - p, so the tail keeps its relative accuracy.

    Example:
        >>> logits = torch.randn(512, 80, requires_grad=True)
        >>> fastloss.functional.softmax_focal_loss(logits, torch.randint(80, (512,)), gamma=2.0).backward()
    """
    params = 1.0 if alpha is None else alpha, gamma
    return input, target, params, weight, ignore_index, reduction, label_smoothing, options


@softmax_focal_loss.formula
def _(nll: Tensor, p: Tensor, q: Tensor, alpha: Number, gamma: Number) -> Tensor:
    r""":math:`-\alpha\, q^\gamma \log p`."""
    factor = torch.exp(gamma * q.clamp_min(torch.finfo(q.dtype).tiny).log())
    # Where p is 0 its derivative is 0, and is multiplied by an nll that may be infinite.
    return alpha * torch.where(p == 0, factor.detach(), factor) * nll


@softmax.loss(params=("epsilon",), domains={"epsilon": FINITE})
def poly1_cross_entropy(
    input: Tensor,
    target: Tensor,
    epsilon: float | Tensor = 1.0,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float | Tensor = 0.0,
    **options: Unpack[RowOptions],
) -> softmax.Posed:
    r"""Cross entropy with another first coefficient of its series in 1 - p (Poly-1, Leng et al. 2022):

    .. math::
        \ell = w_y\, (-\log p_y + \epsilon\, (1 - p_y)).

    Equivalent to ``cross_entropy(input, target, weight, ...)`` at ``epsilon=0``. The share :math:`\varepsilon` =
    ``label_smoothing`` that all classes have is cross entropy's. Of probability targets t the loss is
    :math:`\sum_c w_c t'_c (-\log p_c + \epsilon (1 - p_c))` with :math:`t' = (1-\varepsilon) t + \varepsilon / C`.

    Args:
        input, target, weight, ignore_index, reduction, label_smoothing: As in `cross_entropy`.
        epsilon: :math:`\epsilon`, by which the coefficient of 1 - p exceeds cross entropy's 1. The paper recommends 2
            for ImageNet, -1 for detection. Float or 0-d tensor.

    Gradient: as `cross_entropy`'s. Probability targets and a learned ``epsilon`` run in plain PyTorch.
    Accuracy: 1 - p is the sum of the other probabilities, so it keeps its relative accuracy as p nears 1.
    """
    return input, target, (epsilon,), weight, ignore_index, reduction, label_smoothing, options


@poly1_cross_entropy.formula
def _(nll: Tensor, q: Tensor, epsilon: Number) -> Tensor:
    r""":math:`-\log p + \epsilon q`."""
    return nll + epsilon * q


_binary_cross_entropy: Any = native_operator("binary_cross_entropy")


def _floating_target(arguments: dict[str, Any], options: Any) -> None:
    if not arguments["target"].is_floating_point():
        F.binary_cross_entropy_with_logits(arguments["input"], arguments["target"])  # PyTorch's error


@loss(
    torch=F.binary_cross_entropy_with_logits,
    module=torch.nn.BCEWithLogitsLoss,
    native=lambda input, target, code: torch.binary_cross_entropy_with_logits(input, target, None, None, code),
    tiny=1024,
    optional="pos_weight",
    same_size=True,
    dtype="target",
    floating=("target", "pos_weight"),
    check=_floating_target,
    holds={"target": "probability"},
)
def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
    **options: Unpack[PointOptions],
) -> Problem:
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
    return Problem({"input": input, "target": target, "weight": weight, "pos_weight": pos_weight}, reduction, options)


@binary_cross_entropy_with_logits.formula
def _(x: Tensor, y: Tensor, w: Tensor | None = None) -> Tensor:
    r""":math:`-w\, y \log\sigma(x) - (1 - y) \log(1 - \sigma(x))`, w = ``pos_weight``."""
    return F.binary_cross_entropy_with_logits(x, y, reduction="none", pos_weight=w)


@loss(
    torch=F.binary_cross_entropy,
    module=torch.nn.BCELoss,
    native=lambda input, target, code: _binary_cross_entropy(input, target, None, code),
    tiny=832,
    same_size=True,
    dtype="equal",
    floating=("target",),
    holds={"input": "probability", "target": "probability"},
)
def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    **options: Unpack[PointOptions],
) -> Problem:
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
    return Problem({"input": input, "target": target, "weight": weight}, reduction, options)


@binary_cross_entropy.formula
def _(x: Tensor, y: Tensor) -> Tensor:
    r""":math:`-y \log x - (1 - y) \log(1 - x)`, logarithms clamped at -100."""
    return F.binary_cross_entropy(x, y, reduction="none")


@loss(
    tensors=("inputs", "targets"),
    params=("alpha", "gamma"),
    domains={
        "alpha": ("in [0, 1], or -1 for no weighting", lambda v: 0 <= v <= 1 or v == -1, ValueError),
        "gamma": NOT_NEGATIVE,
        "label_smoothing": ("between 0 and 1", lambda v: 0 <= v <= 1, ValueError),
    },
    holds={"targets": "binary"},
)
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
) -> Problem:
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
    if isinstance(inputs, Tensor) and isinstance(targets, Tensor):  # else the path that is taken refuses them
        plain = ignore_index is None and not isinstance(label_smoothing, Tensor) and not label_smoothing
        if not plain or targets.dtype != inputs.dtype or (isinstance(alpha, Tensor) and alpha.dim()):
            targets, alpha, options = _focal_call(  # type: ignore[assignment]
                inputs, targets, alpha, ignore_index, label_smoothing, options
            )
    return Problem({"inputs": inputs, "targets": targets, "alpha": alpha, "gamma": gamma}, reduction, options)


@sigmoid_focal_loss.formula
def _(x: Tensor, y: Tensor, alpha: Number, gamma: Number) -> Tensor:
    r""":math:`\alpha_t (1 - p_t)^\gamma\, \mathrm{BCE}`, :math:`p_t = p y + (1 - p)(1 - y)`, as torchvision defines it.

    1 - p_t is formed as :math:`\sigma(x)(1 - y) + \sigma(-x) y`, which does not cancel, and its power from its
    logarithm, whose derivative stays finite; both in float64, which holds them for every x up to 700. What the further
    arguments mean stands in `_focal_call`.
    """
    dtype, x, y = x.dtype, x.double(), y.double()
    ce = -(y * F.logsigmoid(x) + (1 - y) * F.logsigmoid(-x))
    u = torch.sigmoid(x) * (1 - y) + torch.sigmoid(-x) * y
    loss = torch.exp(gamma * u.clamp_min(1e-300).log()) * ce
    a = as_number(alpha, loss)
    loss = torch.where(a < 0, 1.0, a * y + (1 - a) * (1 - y)) * loss
    return loss.to(dtype)


def _focal_call(
    inputs: Tensor,
    targets: Tensor,
    alpha: Number,
    ignore_index: int | None,
    label_smoothing: float,
    options: Any,
) -> tuple[Tensor, Number, dict[str, Any]]:
    """Targets, alpha and options of the plain call that sigmoid focal's further arguments stand for.

    Classes (integers, one dimension less) become one row of 0 and 1 each, all 0 for the background; what is ignored is
    masked; an alpha per class becomes a weight. What is computed here is not rounded to half precision, whose 0.95
    leaves a 1 - 0.95 that is 2 % off; the loss keeps its dtype.
    """
    options = dict(options)
    mask, weight = options.get("mask"), options.get("weight")
    dtype = inputs.dtype
    for t in (targets, weight):
        if isinstance(t, Tensor) and t.is_floating_point():
            dtype = torch.promote_types(dtype, t.dtype)
    wide = torch.promote_types(dtype, torch.float32)
    _options.check_domain("sigmoid_focal_loss", label_smoothing=label_smoothing)
    classes = targets.dim() == inputs.dim() - 1 and not targets.dtype.is_floating_point
    if classes and mask is not None and mask.shape == targets.shape:
        mask = mask.unsqueeze(-1)
    per_class = isinstance(alpha, Tensor) and alpha.dim() > 0
    if (ignore_index is not None or per_class) and not targets.dtype.is_floating_point:
        targets = targets.long()  # uint8 would compare with -1 as 255, bool has no difference
    if ignore_index is not None:
        kept = targets != ignore_index
        kept = kept.unsqueeze(-1) if classes else kept
        mask = kept if mask is None else kept & mask
        targets = targets.masked_fill(targets == ignore_index, 0)
    if mask is not None:
        options["mask"] = mask
    if classes:
        numbers = torch.arange(inputs.shape[-1], device=targets.device)
        targets = (targets.unsqueeze(-1) == numbers).to(inputs.dtype)
    if per_class:
        factor = alpha.to(wide) * targets + (1 - alpha.to(wide)) * (1 - targets)  # type: ignore[union-attr]
        options["weight"] = factor if weight is None else factor * weight
        alpha = -1.0
    if isinstance(label_smoothing, Tensor) or label_smoothing:
        targets = targets.to(wide) * (1 - label_smoothing) + 0.5 * label_smoothing
    if dtype != wide and not _ops.autocasts(inputs.device.type):
        options["loss_dtype"] = options.get("loss_dtype") or dtype
    return targets, alpha, options


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

    Example:
        >>> inputs = torch.randn(8, 5, requires_grad=True)
        >>> targets = torch.randint(6, (8,))  # 5: background
        >>> count = fastloss.functional.count_positives(targets, 5)
        >>> fastloss.functional.sigmoid_focal_loss(inputs, targets, reduction='mean', normalizer=count).backward()
    """
    kept = torch.ones((), dtype=torch.bool, device=targets.device) if mask is None else mask
    if not targets.dtype.is_floating_point:
        targets = targets.long()  # uint8 would compare with -1 as 255
    if ignore_index is not None:
        kept = kept & (targets != ignore_index)
    found = targets if num_classes is None else (targets >= 0) & (targets < num_classes)
    return torch.where(kept, found, 0).sum(dtype=torch.float64).clamp_min(1)


@loss(
    params=("gamma_neg", "gamma_pos", "clip"),
    domains={
        "gamma_neg": NOT_NEGATIVE,
        "gamma_pos": NOT_NEGATIVE,
        "clip": ("in [0, 1)", lambda v: 0 <= v < 1, ValueError),
    },
    holds={"target": "binary"},
)
def asymmetric_loss(
    input: Tensor,
    target: Tensor,
    gamma_neg: float | Tensor = 4.0,
    gamma_pos: float | Tensor = 1.0,
    clip: float | Tensor = 0.05,
    reduction: str = "mean",
    **options: Unpack[WeightedPointOptions],
) -> Problem:
    r"""Asymmetric loss for labels most of which are 0 (Ridnik et al. 2021, https://arxiv.org/abs/2009.14119):
    :math:`\ell = -y\, (1 - p)^{\gamma_+} \log p - (1 - y)\, m^{\gamma_-} \log(1 - m)`, :math:`p = \sigma(x)`,
    :math:`m = \max(0, p - \mathrm{clip})`.

    Soft targets mix the two terms. Where p is at most ``clip`` a negative has neither value nor gradient. Value and
    gradient are finite for every exponent, and keep their relative accuracy as p tends to 0 and 1.

    Equivalent to ``-(y * (1 - p) ** gamma_pos * p.log() + (1 - y) * m ** gamma_neg * (1 - m).log()).mean()`` where no
    logarithm is taken of a rounded zero. timm's ``AsymmetricLossMultiLabel`` is its sum; of timm 1.0.31 only with
    ``reduction="sum"``, by default that divided by the number of samples.

    Args:
        input, target: Logits, and targets in [0, 1].
        gamma_neg, gamma_pos: Exponents, not negative; floats or 0-d tensors.
        clip: Margin by which a negative's probability is lowered, in [0, 1); float or 0-d tensor.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.
    """
    return Problem(
        {"input": input, "target": target, "gamma_neg": gamma_neg, "gamma_pos": gamma_pos, "clip": clip},
        reduction,
        options,
    )


@asymmetric_loss.formula
def _(x: Tensor, y: Tensor, gamma_neg: Number, gamma_pos: Number, clip: Number) -> Tensor:
    r""":math:`-y\, n^{\gamma_+} \log p - (1 - y)\, m^{\gamma_-} \log(1 - m)`, p = 1 - n = sigmoid(x).

    m = max(0, p - clip). In float64, which holds p and n for every x up to 700; 1 - m = min(1, n + clip).
    """
    dtype, x, y = x.dtype, x.double(), y.double()
    p, n, cut = torch.sigmoid(x), torch.sigmoid(-x), as_number(clip, x)
    m = (p - cut).clamp_min(0)
    near = -torch.exp(gamma_pos * n.clamp_min(1e-300).log()) * F.logsigmoid(x)
    log_rest = torch.where(m < 0.5, torch.log1p(-m.clamp_max(0.5)), (n + cut).clamp_min(1e-300).log())
    log_rest = torch.where(cut == 0, F.logsigmoid(-x), log_rest)
    far = -torch.exp(gamma_neg * m.clamp_min(1e-300).log()) * log_rest
    return (y * near + (1 - y) * far).to(dtype)


@loss(
    torch=F.soft_margin_loss,
    module=torch.nn.SoftMarginLoss,
    native=native_operator("soft_margin_loss"),
    tiny=64,
    fixed=("target",),
    same_size=True,
    dtype="input",
    bools=False,
    holds={"target": "sign"},
)
def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    **options: Unpack[WeightedPointOptions],
) -> Problem:
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
    return Problem({"input": input, "target": target}, reduction, options)


@soft_margin_loss.formula
def _(x: Tensor, y: Tensor) -> Tensor:
    r""":math:`\log(1 + e^{-y x})`."""
    return F.soft_margin_loss(x, y, reduction="none")


@loss(
    params=("margin", "p"),
    domains={"margin": FINITE, "p": ("1 or 2", lambda v: v in (1, 2), ValueError)},
    holds={"target": "sign"},
)
def hinge_loss(
    input: Tensor,
    target: Tensor,
    margin: float | Tensor = 1.0,
    p: int = 1,
    reduction: str = "mean",
    **options: Unpack[WeightedPointOptions],
) -> Problem:
    r"""Hinge of a score for a label in {-1, 1} (Cortes and Vapnik 1995), :math:`\ell = \max(0, m - y x)^p`.

    Equivalent to ``(margin - target * input).clamp_min(0).pow(p).mean()``.

    Args:
        input, target: Scores and labels.
        margin: m, float or 0-d tensor.
        p: 1 or 2.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.
    """
    return Problem({"input": input, "target": target, "margin": margin, "p": p}, reduction, options)


@hinge_loss.formula
def _(x: Tensor, y: Tensor, margin: Number, p: int) -> Tensor:
    r""":math:`\max(0, m - y x)^p`."""
    return above_zero(as_number(margin, x) - y * x) ** p
