"""Losses of object detection."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from fastloss._core import options as _options
from fastloss._core._torch import F
from fastloss._core.formula import Number
from fastloss._core.options import NOT_NEGATIVE, POSITIVE
from fastloss._core.record import Problem
from fastloss.engines import composition
from fastloss.engines.elements import loss
from fastloss.losses.classification import cross_entropy

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from fastloss._core.options import WeightedPointOptions

__all__ = [
    "balanced_l1_loss",
    "box_cost",
    "box_iou_loss",
    "complete_box_iou_loss",
    "distance_box_iou_loss",
    "distribution_focal_loss",
    "gaussian_focal_loss",
    "generalized_box_iou_loss",
    "quality_focal_loss",
    "varifocal_loss",
]


@loss(
    params=("kind", "format", "eps"),
    words={"kind": ("iou", "giou", "diou", "ciou", "eiou", "siou"), "format": ("xyxy", "xywh", "cxcywh")},
    domains={"eps": NOT_NEGATIVE},
    components=4,
    empty="zero",
    title="BoxIoULoss",
    holds={"input": "box", "target": "box"},
)
def box_iou_loss(
    input: Tensor,
    target: Tensor,
    kind: Literal["iou", "giou", "diou", "ciou", "eiou", "siou"] = "giou",
    *,
    format: Literal["xyxy", "xywh", "cxcywh"] = "xyxy",
    eps: float | Tensor = 1e-7,
    reduction: str = "mean",
    **options: Unpack[WeightedPointOptions],
) -> Problem:
    r"""How little two boxes overlap, :math:`\ell = 1 - q` plus a penalty; q = I / (U + eps), intersection by union.

    With C the smallest box around both, c its width and height, d the shift of the centers, and s, S the widths and
    heights of the two boxes (a sum is over both directions):

    ========  ==========================================================  ==========================================
    ``kind``  penalty                                                     paper
    ========  ==========================================================  ==========================================
    ``iou``   none                                                        Yu et al. 2016, without their logarithm
    ``giou``  :math:`(|C| - U) / (|C| + \epsilon)`                        Rezatofighi et al. 2019, arXiv:1902.09630
    ``diou``  :math:`R = \sum d^2 / (\sum c^2 + \epsilon)`                Zheng et al. 2019, arXiv:1911.08287
    ``ciou``  :math:`R + \alpha v`, v = :math:`4 / \pi^2` times the       the same
              squared difference of the diagonals' angles,
              :math:`\alpha = v / (1 - q + v + \epsilon)`, of which no
              gradient is taken
    ``eiou``  :math:`R + \sum (s - S)^2 / (c^2 + \epsilon)`               Zhang et al. 2021, arXiv:2101.08158
    ``siou``  half of :math:`\sum 1 - e^{-\gamma (d / c)^2}` and of       Gevorgyan 2022, arXiv:2205.12740
              :math:`\sum (1 - e^{-|s - S| / \max(s, S)})^4`,
              :math:`\gamma = 2 - 2 |d_x d_y| / \sum d^2`
    ========  ==========================================================  ==========================================

    A quotient by 0, or by any number that has no reciprocal, is 0: boxes without width or height have finite values and
    gradients, those of CIoU too, which are NaN in torchvision. At a tie of two edges each has half the gradient.

    Equivalent to ``torchvision.ops.generalized_box_iou_loss(input, target, reduction="mean", eps=eps)`` and, for
    ``"diou"`` and ``"ciou"``, ``distance_box_iou_loss`` and ``complete_box_iou_loss``, which are here under these names
    too.

    Args:
        input, target: Boxes, shape :math:`(\ldots, 4)`. ValueError if the last dimension is another.
        kind: As above.
        format: What the four numbers are: ``"xyxy"`` two corners, the one with the smaller coordinates first;
            ``"xywh"`` this corner, width and height; ``"cxcywh"`` the center, width and height.
        eps: :math:`\epsilon`, 0 or more; float or 0-d tensor.
        reduction: ``"none"`` (one value per box), ``"mean"`` or ``"sum"``.

    Example:
        >>> input = torch.tensor([[0.0, 0.0, 2.0, 2.0], [1.0, 1.0, 4.0, 3.0]], requires_grad=True)
        >>> target = torch.tensor([[1.0, 1.0, 3.0, 3.0], [1.0, 2.0, 4.0, 4.0]])
        >>> fastloss.functional.box_iou_loss(input, target).backward()
    """
    return Problem({"input": input, "target": target, "kind": kind, "format": format, "eps": eps}, reduction, options)


def _corners(boxes: Tensor, format: str) -> tuple[Tensor, Tensor, Tensor]:
    """The lower corner, the upper one and the size, which is exact where it is given."""
    first, second = boxes[..., :2], boxes[..., 2:]
    if format == "xyxy":
        return first, second, second - first
    low = first - second / 2 if format == "cxcywh" else first
    return low, first + second / 2 if format == "cxcywh" else first + second, second


def _inverse(t: Tensor) -> Tensor:
    """1 / t, 0 where that is no number."""
    none = t.abs() < torch.finfo(t.dtype).tiny
    return torch.where(none, 0.0, 1 / torch.where(none, 1.0, t))


def _area(size: Tensor) -> Tensor:
    return size[..., 0] * size[..., 1]


def _turn(size: Tensor, other: Tensor) -> Tensor:
    """The difference of the angles whose tangents are width by height."""
    (w, h), (s, t) = (torch.where(v[..., 1:] < 0, -v, v).unbind(-1) for v in (size, other))
    cross, dot = s * h - w * t + 0.0, t * h + s * w  # no -0, whose angle may be -pi
    none = (cross == 0) & (dot == 0)
    return torch.atan2(cross, torch.where(none, 1.0, dot))


@box_iou_loss.formula
def _(x: Tensor, y: Tensor, kind: str, format: str, eps: Number) -> Tensor:
    r""":math:`1 - I / (U + \epsilon)` and the penalty of the kind."""
    (low, high, size), (other_low, other_high, other) = _corners(x, format), _corners(y, format)
    overlap = torch.minimum(high, other_high) - torch.maximum(low, other_low)
    common = _area(torch.where((overlap > 0).all(-1, keepdim=True), overlap, 0.0))
    union = _area(size) + _area(other) - common
    q = common * _inverse(union + eps)
    loss = 1 - q
    if kind == "iou":
        return loss
    hull = torch.maximum(high, other_high) - torch.minimum(low, other_low)
    if kind == "giou":
        return loss + (_area(hull) - union) * _inverse(_area(hull) + eps)
    shift = x[..., :2] - y[..., :2]  # of centers
    if format != "cxcywh":
        shift = (shift + (high - other_high)) / 2
    if kind == "siou":
        # The angle is that of any multiple of the shift; of this one no square vanishes.
        a, b = (shift.abs() * _inverse(shift.detach().abs().amax(-1, keepdim=True))).unbind(-1)
        gamma = (2 - 2 * a * b * _inverse(a * a + b * b)).unsqueeze(-1)
        far = -torch.expm1(-gamma * (shift * _inverse(hull)) ** 2)
        unlike = -torch.expm1(-(size - other).abs() * _inverse(torch.maximum(size, other).clamp_min(0)))
        return loss + (far + unlike**4).sum(-1) / 2
    loss = loss + (shift**2).sum(-1) * _inverse((hull**2).sum(-1) + eps)
    if kind == "eiou":
        return loss + ((size - other) ** 2 * _inverse(hull**2 + eps)).sum(-1)
    if kind == "ciou":
        v = 4 / math.pi**2 * _turn(size, other) ** 2
        return loss + (v * _inverse(1 - q + v + eps)).detach() * v
    return loss


def _of_torchvision(
    fn: Any, kind: str, boxes1: Tensor, boxes2: Tensor, reduction: str = "none", eps: float | Tensor = 1e-7
) -> Tensor:
    """Integers count as float32 there, and half boxes give a loss of float32."""
    if any(boxes.dtype not in (torch.float32, torch.float64) for boxes in (boxes1, boxes2)):
        boxes1, boxes2 = (t if t.is_floating_point() else t.float() for t in (boxes1, boxes2))
        wide = torch.promote_types(torch.promote_types(boxes1.dtype, boxes2.dtype), torch.float32)
        return fn(boxes1, boxes2, kind=kind, eps=eps, reduction=reduction, loss_dtype=wide)
    return fn(boxes1, boxes2, kind=kind, eps=eps, reduction=reduction)


_WORDS = {"reduction": ("none", "mean", "sum")}


@composition.loss(title="GeneralizedBoxIoULoss", words=_WORDS)
def generalized_box_iou_loss(
    boxes1: Tensor,
    boxes2: Tensor,
    reduction: Literal["none", "mean", "sum"] = "none",
    eps: float | Tensor = 1e-7,
) -> Tensor:
    r"""Generalized intersection over union of boxes, as torchvision has it; `box_iou_loss` has further options.

    Equivalent to ``torchvision.ops.generalized_box_iou_loss(boxes1, boxes2, reduction, eps)``; values and gradients are
    finite where boxes have no width or height.

    Args:
        boxes1, boxes2: Boxes :math:`(x_1, y_1, x_2, y_2)`, shape :math:`(\ldots, 4)`; integers count as float32.
        reduction: ``"none"`` (one value per box), ``"mean"`` (0 of no boxes) or ``"sum"``.
        eps: Added to what divides, 0 or more.

    Returns:
        The loss; float32 for half boxes.

    Example:
        >>> boxes1 = torch.tensor([[0.0, 0.0, 2.0, 2.0], [1.0, 1.0, 4.0, 3.0]], requires_grad=True)
        >>> boxes2 = torch.tensor([[1.0, 1.0, 3.0, 3.0], [1.0, 2.0, 4.0, 4.0]])
        >>> fastloss.functional.generalized_box_iou_loss(boxes1, boxes2, reduction="mean").backward()
    """
    return _of_torchvision(box_iou_loss, "giou", boxes1, boxes2, reduction, eps)


generalized_box_iou_loss.formula(partial(_of_torchvision, box_iou_loss.record.reference, "giou"))


@composition.loss(title="DistanceBoxIoULoss", words=_WORDS)
def distance_box_iou_loss(
    boxes1: Tensor,
    boxes2: Tensor,
    reduction: Literal["none", "mean", "sum"] = "none",
    eps: float | Tensor = 1e-7,
) -> Tensor:
    r"""Distance intersection over union of boxes, as torchvision has it; `box_iou_loss` has further options.

    Equivalent to ``torchvision.ops.distance_box_iou_loss(boxes1, boxes2, reduction, eps)``; values and gradients are
    finite where boxes have no width or height.

    Args:
        boxes1, boxes2: Boxes :math:`(x_1, y_1, x_2, y_2)`, shape :math:`(\ldots, 4)`; integers count as float32.
        reduction: ``"none"`` (one value per box), ``"mean"`` (0 of no boxes) or ``"sum"``.
        eps: Added to what divides, 0 or more.

    Returns:
        The loss; float32 for half boxes.

    Example:
        >>> boxes1 = torch.tensor([[0.0, 0.0, 2.0, 2.0], [1.0, 1.0, 4.0, 3.0]], requires_grad=True)
        >>> boxes2 = torch.tensor([[1.0, 1.0, 3.0, 3.0], [1.0, 2.0, 4.0, 4.0]])
        >>> fastloss.functional.distance_box_iou_loss(boxes1, boxes2, reduction="mean").backward()
    """
    return _of_torchvision(box_iou_loss, "diou", boxes1, boxes2, reduction, eps)


distance_box_iou_loss.formula(partial(_of_torchvision, box_iou_loss.record.reference, "diou"))


@composition.loss(title="CompleteBoxIoULoss", words=_WORDS)
def complete_box_iou_loss(
    boxes1: Tensor,
    boxes2: Tensor,
    reduction: Literal["none", "mean", "sum"] = "none",
    eps: float | Tensor = 1e-7,
) -> Tensor:
    r"""Complete intersection over union of boxes, as torchvision has it; `box_iou_loss` has further options.

    Equivalent to ``torchvision.ops.complete_box_iou_loss(boxes1, boxes2, reduction, eps)``; values and gradients are
    finite where boxes have no width or height.

    Args:
        boxes1, boxes2: Boxes :math:`(x_1, y_1, x_2, y_2)`, shape :math:`(\ldots, 4)`; integers count as float32.
        reduction: ``"none"`` (one value per box), ``"mean"`` (0 of no boxes) or ``"sum"``.
        eps: Added to what divides, 0 or more.

    Returns:
        The loss; float32 for half boxes.

    Example:
        >>> boxes1 = torch.tensor([[0.0, 0.0, 2.0, 2.0], [1.0, 1.0, 4.0, 3.0]], requires_grad=True)
        >>> boxes2 = torch.tensor([[1.0, 1.0, 3.0, 3.0], [1.0, 2.0, 4.0, 4.0]])
        >>> fastloss.functional.complete_box_iou_loss(boxes1, boxes2, reduction="mean").backward()
    """
    return _of_torchvision(box_iou_loss, "ciou", boxes1, boxes2, reduction, eps)


complete_box_iou_loss.formula(partial(_of_torchvision, box_iou_loss.record.reference, "ciou"))


@loss(
    params=("beta",),
    domains={"beta": NOT_NEGATIVE},
    holds={"target": "probability"},
)
def quality_focal_loss(
    input: Tensor,
    target: Tensor,
    beta: float | Tensor = 2.0,
    reduction: str = "mean",
    **options: Unpack[WeightedPointOptions],
) -> Problem:
    r"""Focal loss of a quality y in [0, 1] (Li et al. 2020, arXiv:2006.04388),
    :math:`\ell = |\sigma(x) - y|^\beta\, \mathrm{BCE}(x, y)`.

    Equivalent to ``((input.sigmoid() - target).abs() ** beta * binary_cross_entropy_with_logits(input, target,
    reduction="none")).mean()``, where the difference is formed without cancellation for saturated logits.

    mmdet's ``quality_focal_loss(pred, (label, score), beta)`` takes classes and scores: ``target`` is the score at the
    label and 0 elsewhere, its value of a sample the sum over classes.

    Args:
        input, target: Logits, and qualities in [0, 1], dense.
        beta: :math:`\beta`, 0 or more; whole numbers up to 4 need no power function. Float or 0-d tensor.
        reduction: ``"none"``, ``"mean"`` (over all elements; others divide by the number of positives, as
            ``normalizer``) or ``"sum"``.
    """
    return Problem({"input": input, "target": target, "beta": beta}, reduction, options)


def _power(base: Tensor, exponent: Number) -> Tensor:
    """base^exponent for a base of 0 or more, with derivative 0 at 0."""
    none = base == 0
    return torch.where(none, 1.0, base) ** exponent * torch.where(none, torch.zeros_like(base), 1.0) ** exponent


@quality_focal_loss.formula
def _(x: Tensor, y: Tensor, beta: Number) -> Tensor:
    r""":math:`|\sigma(x) - y|^\beta\, \mathrm{BCE}(x, y)`; the difference from the smaller of the two sigmoids."""
    dtype, x, y = x.dtype, x.double(), y.double()  # beta times a cost that is near float32's end
    d = torch.where(x > 0, (1 - y) - torch.sigmoid(-x), torch.sigmoid(x) - y)
    return (_power(d.abs(), beta) * -(y * F.logsigmoid(x) + (1 - y) * F.logsigmoid(-x))).to(dtype)


@loss(
    params=("alpha", "gamma"),
    domains={"alpha": NOT_NEGATIVE, "gamma": NOT_NEGATIVE},
    fixed=("target",),
    holds={"target": "binary"},
)
def varifocal_loss(
    input: Tensor,
    target: Tensor,
    alpha: float | Tensor = 0.75,
    gamma: float | Tensor = 2.0,
    reduction: str = "mean",
    **options: Unpack[WeightedPointOptions],
) -> Problem:
    r"""Varifocal loss (Zhang et al. 2021, arXiv:2008.13367), :math:`p = \sigma(x)`, of a quality y, 0 for negatives:

    .. math::
        \ell = y\, \mathrm{BCE}(x, y) \ \text{where}\ y > 0, \qquad -\alpha p^\gamma \log(1 - p) \ \text{elsewhere}.

    Equivalent to ``(torch.where(target > 0, target, alpha * input.sigmoid() ** gamma) *
    binary_cross_entropy_with_logits(input, target, reduction="none")).mean()`` and mmdet's ``varifocal_loss(pred,
    target, alpha=alpha, gamma=gamma)`` with its ``iou_weighted=True``.

    Args:
        input, target: Logits, and qualities in [0, 1], dense. A gradient to the target runs in plain PyTorch.
        alpha, gamma: Weight of the negatives and exponent, 0 or more; whole exponents up to 4 need no power function.
            Floats or 0-d tensors.
        reduction: ``"none"``, ``"mean"`` (over all elements; others divide by the number of positives, as
            ``normalizer``) or ``"sum"``.
    """
    return Problem({"input": input, "target": target, "alpha": alpha, "gamma": gamma}, reduction, options)


@varifocal_loss.formula
def _(x: Tensor, y: Tensor, alpha: Number, gamma: Number) -> Tensor:
    r""":math:`y\, \mathrm{BCE}(x, y)` where y > 0, else :math:`-\alpha p^\gamma \log(1 - p)`."""
    dtype, x, y = x.dtype, x.double(), y.double()  # gamma times a cost that is near float32's end
    near, far = F.logsigmoid(x), F.logsigmoid(-x)
    negative = alpha * (gamma * near).exp() * -far
    return torch.where(y > 0, -y * (y * near + (1 - y) * far), torch.where(y.isnan(), y, negative)).to(dtype)


@loss(
    params=("alpha", "gamma"),
    domains={"alpha": NOT_NEGATIVE, "gamma": NOT_NEGATIVE},
    fixed=("target",),
    holds={"target": "binary"},
)
def gaussian_focal_loss(
    input: Tensor,
    target: Tensor,
    alpha: float | Tensor = 2.0,
    gamma: float | Tensor = 4.0,
    reduction: str = "mean",
    **options: Unpack[WeightedPointOptions],
) -> Problem:
    r"""Focal loss of a heat map (CornerNet, Law and Deng 2018, arXiv:1808.01244; CenterNet), :math:`p = \sigma(x)`:

    .. math::
        \ell = -(1 - p)^\alpha \log p \ \text{where}\ y = 1, \qquad
        -(1 - y)^\gamma\, p^\alpha \log(1 - p) \ \text{elsewhere}.

    Equivalent to mmdet's ``gaussian_focal_loss(input.sigmoid(), target, alpha, gamma).mean()`` without the 1e-12 in its
    logarithms.

    Args:
        input, target: Logits, and a heat map in [0, 1] whose centers are exactly 1. A gradient to the target runs in
            plain PyTorch.
        alpha, gamma: Exponents, 0 or more; whole numbers up to 4 need no power function. Floats or 0-d tensors.
        reduction: ``"none"``, ``"mean"`` (over all elements; CenterNet divides by the number of centers, as
            ``normalizer``) or ``"sum"``.
    """
    return Problem({"input": input, "target": target, "alpha": alpha, "gamma": gamma}, reduction, options)


@gaussian_focal_loss.formula
def _(x: Tensor, y: Tensor, alpha: Number, gamma: Number) -> Tensor:
    r""":math:`-s^\alpha \log(1 - s)`, s = 1 - p where y = 1, else p and times :math:`(1 - y)^\gamma`."""
    dtype, x, y = x.dtype, x.double(), y.double()  # alpha times a cost that is near float32's end
    center = y == 1
    z = torch.where(center, -x, x)
    around = torch.where(center, 1.0, torch.where(center, 0.5, 1 - y) ** gamma)
    return (around * (alpha * F.logsigmoid(z)).exp() * -F.logsigmoid(-z)).to(dtype)


@loss(
    params=("alpha", "gamma", "beta"),
    domains={"alpha": POSITIVE, "gamma": POSITIVE, "beta": POSITIVE},
)
def balanced_l1_loss(
    input: Tensor,
    target: Tensor,
    alpha: float | Tensor = 0.5,
    gamma: float | Tensor = 1.5,
    beta: float | Tensor = 1.0,
    reduction: str = "mean",
    **options: Unpack[WeightedPointOptions],
) -> Problem:
    r"""Balanced L1 (Libra R-CNN, Pang et al. 2019, arXiv:1904.02701): a slope that rises to that of an outlier.

    With z = :math:`|x - y|` and b = :math:`e^{\gamma/\alpha} - 1`,

    .. math::
        \ell = \alpha \left(z + \tfrac1b\right) \log(1 + b z / \beta) - \alpha z \ \text{where}\ z < \beta, \qquad
        \gamma z + \gamma / b - \alpha \beta \ \text{elsewhere}.

    Equivalent to mmdet's ``balanced_l1_loss(input, target, beta, alpha, gamma)``. For another beta than 1 its slope
    jumps at 0 and at beta; the gradient at 0 is 0.

    Args:
        input, target: Predictions and values.
        alpha, gamma, beta: Slope near 0, slope and beginning of the linear part, positive; floats or 0-d tensors.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.
    """
    arguments = {"input": input, "target": target, "alpha": alpha, "gamma": gamma, "beta": beta}
    return Problem(arguments, reduction, options)


@balanced_l1_loss.formula
def _(x: Tensor, y: Tensor, alpha: Number, gamma: Number, beta: Number) -> Tensor:
    r""":math:`\alpha (z + 1 / b) \log(1 + b z / \beta) - \alpha z` where z is below beta, else
    :math:`\gamma (z + 1 / b) - \alpha \beta`."""
    z = (x - y).abs()
    # Of learned ones the sum of the derivatives is rounded once.
    wide = [torch.as_tensor(number, dtype=torch.float64, device=z.device) for number in (alpha, gamma, beta)]
    b = torch.expm1(wide[1] / wide[0]).to(z)
    alpha, gamma, beta = (number.to(z) for number in wide)
    near = z < beta
    t = b * torch.where(near, z, 0.0) / beta
    log = torch.log1p(t)
    # With s = t / (2 + t), of which log is 2 artanh(s), and e = artanh(s) - s nothing cancels for small t.
    s = t / (2 + t)
    small = torch.where(t < 0.1, s, 0.0)
    series = small**3 * sum(small ** (k - 3) / k for k in range(3, 17, 2))
    e = torch.where(t < 0.1, series, log / 2 - s)
    value = t * s + 2 * (1 + t) * e + (beta - 1) * t * (log - 1)
    return torch.where(near, alpha / b * value, gamma * (z + 1 / b) - alpha * beta)


@composition.loss(words={"reduction": ("none", "mean", "sum")})
def distribution_focal_loss(
    input: Tensor,
    target: Tensor,
    reduction: Literal["none", "mean", "sum"] = "mean",
    *,
    weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: float | Tensor | None = None,
) -> Tensor:
    r"""Cross entropy of the two bins that a position lies between (Li et al. 2020, arXiv:2006.04388), y in [0, K - 1]:

    .. math::
        \ell = -(1 - s) \log p_k - s \log p_{k + 1}, \qquad k = \lfloor y \rfloor, \quad s = y - k.

    Equivalent to ``(cross_entropy(input, k) * (1 - s) + cross_entropy(input, k + 1) * s).mean()`` and mmdet's
    ``distribution_focal_loss(pred, label)``. At y = K - 1 the last bin has it all.

    Args:
        input: Logits of K bins, 2 or more, shape :math:`(\ldots, K)`.
        target: Positions, shape :math:`(\ldots)`.
        reduction: ``"none"``, ``"mean"`` (0 of no rows) or ``"sum"``.
        weight: Factor of each row, broadcastable to the rows' shape. Does not enter the mean's divisor.
        mask: Bool, likewise; rows where it is False count as if they were not there.
        normalizer: Replaces the mean's divisor, the number of rows that are kept.

    Returns:
        The loss, in the dtype of ``input``.

    Raises: IndexError for a position outside [0, K - 1] on the CPU; on a device its row is NaN.
    Gradient: to ``input`` and ``target``. Memory: probabilities and a gradient of the size of ``input`` in float32.

    Example:
        >>> input = torch.randn(8, 4, 17, requires_grad=True)
        >>> fastloss.functional.distribution_focal_loss(input, 16 * torch.rand(8, 4)).backward()
    """
    low, share, weight, mask = _between_bins(input, target, weight, mask)
    wide = input.to(torch.promote_types(input.dtype, torch.float32))
    bins = torch.stack((low, low + 1), -1)
    shares = torch.stack((1 - share, share), -1).to(wide.dtype)
    if weight is not None:
        shares = shares * weight.unsqueeze(-1)
    rows = torch.zeros_like(wide).scatter(-1, bins, shares.to(wide.dtype))
    options: Any = {} if mask is None else {"mask": mask.reshape(-1)}
    size = input.shape[-1]
    flat = wide.reshape(-1, size), rows.reshape(-1, size)
    made = cross_entropy(*flat, reduction=reduction, normalizer=normalizer, empty="zero", **options)
    return (made.reshape(target.shape) if reduction == "none" else made).to(input.dtype)


def _between_bins(
    input: Tensor, target: Tensor, weight: Tensor | None, mask: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """The lower bin and the upper one's share; weight and mask of the rows' shape."""
    name, last = "fastloss.distribution_focal_loss", input.shape[-1] - 1 if input.dim() else 0
    if last < 1 or target.shape != input.shape[:-1]:
        raise ValueError(
            f"{name}: expected logits (..., K) of 2 bins or more and positions (...), got {tuple(input.shape)} and "
            f"{tuple(target.shape)}"
        )
    weight = None if weight is None else weight.expand(target.shape)
    mask = None if mask is None else mask.expand(target.shape)
    if mask is not None:
        target = torch.where(mask, target, 0)
        weight = None if weight is None else torch.where(mask, weight, 0)
    outside = ~((target >= 0) & (target <= last))
    if _options.known(outside.any()):
        wrong = target[outside][0].item()
        raise IndexError(f"{name}: position {wrong} is out of bounds for {last + 1} bins, expected 0 to {last}")
    wide = target.to(torch.promote_types(target.dtype, torch.promote_types(input.dtype, torch.float32)))
    low = torch.where(outside, 0.0, wide.detach()).floor().clamp_max(last - 1)
    return low.long(), torch.where(outside, math.nan, wide - low), weight, mask


@distribution_focal_loss.formula
def _(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    *,
    weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: float | Tensor | None = None,
) -> Tensor:
    low, share, weight, mask = _between_bins(input, target, weight, mask)
    log_p = input.to(torch.promote_types(input.dtype, torch.float32)).log_softmax(-1)
    below, above = (log_p.gather(-1, k.unsqueeze(-1)).squeeze(-1) for k in (low, low + 1))
    loss = -(1 - share) * below - share * above
    loss = loss if weight is None else loss * weight
    loss = loss if mask is None else torch.where(mask, loss, 0.0)
    if reduction == "none":
        return loss.to(input.dtype)
    total = loss.sum()
    if reduction == "mean":
        count = loss.numel() if mask is None else mask.sum()
        divisor = torch.as_tensor(count if normalizer is None else normalizer, device=total.device)
        total = torch.where(divisor == 0, 0.0, total / divisor)
    return total.to(input.dtype)


def box_cost(
    boxes: Tensor,
    targets: Tensor,
    logits: Tensor | None = None,
    labels: Tensor | None = None,
    *,
    l1_weight: float = 5.0,
    giou_weight: float = 2.0,
    class_weight: float = 2.0,
    alpha: float = 0.25,
    gamma: float = 2.0,
    format: Literal["xyxy", "xywh", "cxcywh"] = "cxcywh",
) -> Tensor:
    r"""What matching each of N boxes to each of M targets costs, for Hungarian matchers (DETR, Deformable DETR):

    .. math::
        5\, \|b - t\|_1 - 2\, \mathrm{GIoU}(b, t) + 2\, c, \qquad
        c = -\alpha (1 - p)^\gamma \log p + (1 - \alpha) p^\gamma \log(1 - p),

    p the probability (sigmoid) of the target's class. Nothing of the size (N, M, 4) is made.

    Equivalent to ``5 * torch.cdist(boxes, targets, p=1) - 2 * generalized_box_iou(xyxy(boxes), xyxy(targets))`` plus
    the focal cost of Deformable DETR's ``HungarianMatcher``, without the 1e-8 in its logarithms.

    Args:
        boxes: Shape (N, 4). With more dimensions in front, as ``targets``, one matrix for each.
        targets: Shape (M, 4).
        logits: Class logits of the boxes, (N, C); None: no class cost.
        labels: Classes of the targets, (M), integers.
        l1_weight, giou_weight, class_weight: Factors of the terms.
        alpha, gamma: Of the class cost.
        format: Of the boxes, as in `box_iou_loss`; the first term is that of the numbers as they are.

    Returns:
        The matrix of costs, (N, M).

    Gradient: to boxes, targets and logits; matchers need none and call it under ``torch.no_grad()``.
    Raises: ValueError for other shapes, or logits without labels.

    Example:
        >>> boxes, targets = torch.rand(100, 4) + 0.1, torch.rand(7, 4) + 0.1
        >>> cost = fastloss.functional.box_cost(boxes, targets, torch.randn(100, 80), torch.randint(80, (7,)))
    """
    if (logits is None) != (labels is None):
        raise ValueError("fastloss.box_cost: expected logits and labels, or neither, got one of them")
    if boxes.dim() < 2 or targets.dim() < 2:
        raise ValueError(
            f"fastloss.box_cost: expected boxes (N, 4) and targets (M, 4), got {tuple(boxes.shape)} and "
            f"{tuple(targets.shape)}"
        )
    one_by_one = boxes.unsqueeze(-2), targets.unsqueeze(-3)
    cost = giou_weight * (box_iou_loss(*one_by_one, "giou", format=format, reduction="none") - 1)
    cost = cost + l1_weight * torch.cdist(boxes, targets, p=1.0)
    if logits is not None and labels is not None:
        near, far = F.logsigmoid(logits), F.logsigmoid(-logits)
        of_class = (1 - alpha) * (gamma * near).exp() * far - alpha * (gamma * far).exp() * near
        index = labels.unsqueeze(-2).expand(*of_class.shape[:-1], labels.shape[-1])
        cost = cost + class_weight * of_class.gather(-1, index)
    return cost
