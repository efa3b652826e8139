"""Losses of a difference between a prediction and a value."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fastloss._core._torch import F, native_operator
from fastloss._core.formula import Number, as_number, expm1
from fastloss._core.options import NOT_NEGATIVE, POSITIVE, PointOptions, WeightedPointOptions, legacy_reduction
from fastloss._core.record import Problem
from fastloss.engines.elements import loss

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = [
    "charbonnier_loss",
    "huber_loss",
    "l1_loss",
    "log_cosh_loss",
    "mse_loss",
    "quantile_loss",
    "robust_loss",
    "smooth_l1_loss",
    "squared_log_loss",
]


@loss(
    torch=F.huber_loss,
    module=torch.nn.HuberLoss,
    native=native_operator("huber_loss"),
    tiny=61440,
    params=("delta",),
    domains={"delta": ("positive", lambda v: v > 0, RuntimeError)},
    warns=True,
    dtype="equal",
    weight_promotes=True,
)
def huber_loss(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    delta: float | Tensor = 1.0,
    weight: Tensor | None = None,
    **options: Unpack[PointOptions],
) -> Problem:
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
    return Problem({"input": input, "target": target, "delta": delta, "weight": weight}, reduction, options)


@huber_loss.formula
def _(x: Tensor, y: Tensor, delta: Number) -> Tensor:
    r""":math:`\tfrac12 d^2` where :math:`|d| \le \delta`, else :math:`\delta (|d| - \tfrac12 \delta)`, d = x - y."""
    a = (x - y).abs()
    c = torch.where(a > delta, delta, a)  # no square of a, which may overflow where the loss does not
    return c * (a - 0.5 * c)


@loss(
    torch=F.smooth_l1_loss,
    module=torch.nn.SmoothL1Loss,
    native=native_operator("smooth_l1_loss"),
    tiny=57344,
    # Elsewhere PyTorch's d^2 overflows or underflows before it is divided, and its derivative at ties is -1 for beta 0.
    plain=lambda beta: beta < 0 or 1e-12 < beta < 1e12,
    params=("beta",),
    domains={"beta": ("0 or more", lambda v: v >= 0, RuntimeError)},
    warns=True,
)
def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float | Tensor = 1.0,
    **options: Unpack[WeightedPointOptions],
) -> Problem:
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
    return Problem({"input": input, "target": target, "beta": beta}, reduction, options)


@smooth_l1_loss.formula
def _(x: Tensor, y: Tensor, beta: Number) -> Tensor:
    r""":math:`d^2 / 2\beta` where :math:`|d| < \beta`, else :math:`|d| - \beta / 2`, d = x - y."""
    a = (x - y).abs()
    level = as_number(beta, a)
    near = ~(a >= level)  # NaN too
    # Neither branch divides where it is not taken; 0 / beta is one of its values.
    inside = torch.where(near, a, 0.0)
    return torch.where(near, 0.5 * inside * (inside / torch.where(level == 0, 1.0, level)), a - 0.5 * level)


@loss(
    torch=F.mse_loss,
    module=torch.nn.MSELoss,
    native=native_operator("mse_loss"),
    tiny=49152,
    weight_mean=True,
    warns=True,
)
def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
    **options: Unpack[PointOptions],
) -> Problem:
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
    return Problem({"input": input, "target": target, "weight": weight}, reduction, options)


@mse_loss.formula
def _(x: Tensor, y: Tensor) -> Tensor:
    r""":math:`(x - y)^2`."""
    return F.mse_loss(x, y, reduction="none")


@loss(
    torch=F.l1_loss,
    module=torch.nn.L1Loss,
    native=native_operator("l1_loss"),
    tiny=1024,
    weight_mean=True,
    warns=True,
    bools=False,
)
def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
    **options: Unpack[PointOptions],
) -> Problem:
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
    return Problem({"input": input, "target": target, "weight": weight}, reduction, options)


@l1_loss.formula
def _(x: Tensor, y: Tensor) -> Tensor:
    r""":math:`|x - y|`."""
    return F.l1_loss(x, y, reduction="none")


@loss(holds={"input": "positive", "target": "positive"})
def squared_log_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", **options: Unpack[WeightedPointOptions]
) -> Problem:
    r"""Squared logarithmic error (MSLE), :math:`\ell = (\log(1 + x) - \log(1 + y))^2`: of ratios, not of differences.

    Equivalent to ``(input.log1p() - target.log1p()).square().mean()``, to scikit-learn's ``mean_squared_log_error`` and
    to torchmetrics' ``MeanSquaredLogError``; not to Keras' MSLE, which raises what is below 1e-7.

    Args:
        input, target: Predictions and values, above -1; below, the loss is NaN.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.
    """
    return Problem({"input": input, "target": target}, reduction, options)


@squared_log_loss.formula
def _(x: Tensor, y: Tensor) -> Tensor:
    r""":math:`(\log(1 + x) - \log(1 + y))^2`."""
    return (torch.log1p(x) - torch.log1p(y)).square()


@loss()
def log_cosh_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", **options: Unpack[WeightedPointOptions]
) -> Problem:
    r"""A smooth absolute error, :math:`\ell = \log \cosh(x - y)`, gradient :math:`\tanh(x - y)`.

    Equivalent to ``(input - target).cosh().log().mean()`` where that neither overflows nor cancels.

    Args:
        input, target: Predictions and values.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.
    """
    return Problem({"input": input, "target": target}, reduction, options)


@log_cosh_loss.formula
def _(x: Tensor, y: Tensor) -> Tensor:
    r""":math:`\log \cosh(x - y)`, from :math:`\log(1 + 2 \sinh^2(d/2))` near zero."""
    a = (x - y).abs()
    near = torch.where(a < 1, x - y, 0.5)
    far = a + F.softplus(-2 * a) - math.log(2.0)
    return torch.where(a < 1, torch.log1p(2 * torch.sinh(near / 2) ** 2), far)


@loss(params=("q",), domains={"q": ("in [0, 1]", lambda v: 0 <= v <= 1, ValueError)})
def quantile_loss(
    input: Tensor,
    target: Tensor,
    q: float | Tensor = 0.5,
    reduction: str = "mean",
    **options: Unpack[WeightedPointOptions],
) -> Problem:
    r"""Quantile (pinball) loss (Koenker and Bassett 1978), :math:`\ell = \max(q r, (q - 1) r)`, :math:`r = y - x`.

    Equivalent to ``torch.maximum(q * (target - input), (q - 1) * (target - input)).mean()``; the gradient at 0 is 0.

    Args:
        input, target: Predictions of the quantile, and values.
        q: Which quantile, in [0, 1]; float or 0-d tensor.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.
    """
    return Problem({"input": input, "target": target, "q": q}, reduction, options)


@quantile_loss.formula
def _(x: Tensor, y: Tensor, q: Number) -> Tensor:
    r""":math:`q\, r` where :math:`r = y - x` is positive, else :math:`(q - 1)\, r`."""
    r = y - x
    level = torch.as_tensor(q, dtype=r.dtype, device=r.device)
    return torch.where(r > 0, level, 1 - level) * r.abs()


@loss(params=("eps",), domains={"eps": NOT_NEGATIVE})
def charbonnier_loss(
    input: Tensor,
    target: Tensor,
    eps: float | Tensor = 1e-3,
    reduction: str = "mean",
    **options: Unpack[WeightedPointOptions],
) -> Problem:
    r"""Differentiable absolute error (Charbonnier et al. 1994), :math:`\ell = \sqrt{(x - y)^2 + \epsilon^2}`.

    Equivalent to ``((input - target).square() + eps**2).sqrt().mean()``.

    Args:
        input, target: Predictions and values.
        eps: Width of the rounding at zero, 0 or more; float or 0-d tensor.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.
    """
    return Problem({"input": input, "target": target, "eps": eps}, reduction, options)


@charbonnier_loss.formula
def _(x: Tensor, y: Tensor, eps: Number) -> Tensor:
    r""":math:`\sqrt{(x - y)^2 + \epsilon^2}`, from the larger of the two, so that no square overflows or vanishes."""
    d = x - y
    a = d.abs()
    width = as_number(eps, a)
    swap = a < width
    large, small = torch.where(swap, width, a), torch.where(swap, d, width)
    none = large == 0
    lift = torch.where(large < 1e-20, 2.0**100, 1.0)  # subnormal numbers have no reciprocal
    ratio = torch.where(large.isinf(), 0.0, small * lift / torch.where(none, 1.0, large * lift))
    # An eps that is nothing beside d: an upstream gradient times d might overflow on its way to eps.
    ratio = torch.where(~swap & (ratio.detach().abs() < 1e-30), 0.0, ratio)
    return torch.where(none, 0.0 * a, large * (1 + ratio * ratio).sqrt())


@loss(
    params=("alpha", "scale"),
    domains={"alpha": ("below infinity", lambda v: v < math.inf, ValueError), "scale": POSITIVE},
)
def robust_loss(
    input: Tensor,
    target: Tensor,
    alpha: float | Tensor = 1.0,
    scale: float | Tensor = 1.0,
    reduction: str = "mean",
    **options: Unpack[WeightedPointOptions],
) -> Problem:
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
    return Problem({"input": input, "target": target, "alpha": alpha, "scale": scale}, reduction, options)


@robust_loss.formula
def _(x: Tensor, y: Tensor, alpha: Number, scale: Number) -> Tensor:
    r""":math:`\tfrac{b}{\alpha} (w^{\alpha/2} - 1)`, :math:`b = |\alpha - 2|`, :math:`w = 1 + r^2 / b`, r = (x-y)/c.

    Written as :math:`\tfrac b2 L\, \varphi(\alpha L / 2)` with L = log w and :math:`\varphi(t) = (e^t - 1) / t`, which
    is smooth in alpha where it is 0. The limits at 2 and at minus infinity are taken there. Where the square of r
    might overflow, 1 is nothing beside it, L = 2 log |r| - log b, and the power is that of |r|, whose derivative stays
    in range. Where t is large the derivative of that product cancels, and the power is taken. Where x - y passes the
    dtype's end, r is made of halves.
    """
    half = x / 2 - y / 2
    lost = (x - y).isinf() & half.isfinite()
    r = torch.where(lost, 2 * (torch.where(lost, half, 0.0) / scale), torch.where(lost, 0.0, x - y) / scale)
    far = r.abs() > 1e15
    beyond = torch.where(far, r, 1.0).abs()
    z = torch.where(far, 0.0, r) ** 2
    a = torch.as_tensor(alpha, dtype=z.dtype, device=z.device)
    square = torch.where(a == 2, r, 0.0) ** 2
    limit = (a == 2) | (a == -math.inf)
    inner = torch.where(limit, 1.0, a)
    b = (inner - 2).abs()
    log_w = torch.where(far, 2 * beyond.log() - b.log(), torch.log1p(z / b))
    t = 0.5 * inner * log_w
    near, tiny = t.abs() < 1, t.abs() < 1e-5
    small = torch.where(near, t, 0.0)
    shape = torch.where(tiny, 1 + t / 2 + t * t / 6, torch.expm1(small) / torch.where(tiny | ~near, 1.0, t))
    raised = torch.where(far & ~near, beyond / b.sqrt(), 1.0) ** inner - 1
    power = torch.where(far, raised, expm1(torch.where(near | far, 0.0, t))) / torch.where(near, 1.0, inner)
    return torch.where(
        limit,
        torch.where(a == 2, 0.5 * square, torch.where(far, 1.0, -expm1(-0.5 * z))),
        b * torch.where(near, 0.5 * log_w * shape, power),
    )
