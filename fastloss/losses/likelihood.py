"""Negative log-likelihoods and divergences."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fastloss._core import options as _options
from fastloss._core._torch import F
from fastloss._core.formula import Number, as_number, expm1
from fastloss._core.options import NOT_NEGATIVE, WeightedPointOptions, legacy_reduction
from fastloss._core.record import Problem
from fastloss.engines.elements import loss

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = [
    "beta_nll_loss",
    "gaussian_nll_loss",
    "kl_div",
    "laplace_nll_loss",
    "negative_binomial_nll_loss",
    "poisson_nll_loss",
    "student_t_nll_loss",
    "tweedie_loss",
]


def _variance_like(input: Tensor, var: Tensor) -> Tensor | None:
    """Variances as they broadcast to ``input``; None if PyTorch refuses their size."""
    differing = [b for a, b in zip(input.shape, var.shape, strict=False) if a != b]
    if var.dim() == input.dim() and sum(differing) == len(differing) <= 1:
        return var
    return var.unsqueeze(-1) if input.shape[:-1] == var.shape else None


def _positive_variance(arguments: dict[str, Any], options: Any) -> None:
    input, var, mask = arguments["input"], arguments["var"], options.get("mask")
    made = _variance_like(input, var) if isinstance(var, Tensor) else as_number(var, input)
    kept = mask if mask is not None and mask.dtype == torch.bool else True
    whole = isinstance(var, Tensor) and not var.is_floating_point()
    if whole or made is None or _options.known(((made < 0) & kept).any()):
        F.gaussian_nll_loss(input, arguments["target"], var)  # PyTorch's error


def _as_tensor(value: Any, input: Any) -> Any:
    """A number for all elements as a tensor of their shape."""
    if not isinstance(value, float | int) or not isinstance(input, Tensor):
        return value
    return torch.full((), value, dtype=input.dtype, device=input.device).expand(input.shape)


def _refuses(name: str, **kinds: str) -> Callable[[dict[str, Any], Any], None]:
    """A check that these tensors are, of what counts, ``"0 or more"`` or ``"positive"``."""

    def check(arguments: dict[str, Any], options: Any) -> None:
        mask = options.get("mask")
        for what, kind in kinds.items():
            value = as_number(arguments[what], arguments["input"])
            bad = value < 0 if kind == "0 or more" else ~(value > 0)
            bad = bad & mask if mask is not None and mask.dtype == torch.bool else bad
            if _options.known(bad.any()):
                raise ValueError(f"fastloss.{name}: {what} must be {kind}, got an entry that is not")

    return check


def _kl_div(input: Tensor, target: Tensor, reduction: str, log_target: bool) -> Tensor:
    """PyTorch's function, without its warning: the pose has given that."""
    by_batch = reduction == "batchmean"
    code = 2 if by_batch else _options.reduction_code(reduction)
    loss = torch.kl_div(input, target, code, log_target=log_target)
    return loss / input.shape[0] if by_batch and input.dim() and input.shape[0] != 0 else loss


@loss(
    torch=F.poisson_nll_loss,
    module=torch.nn.PoissonNLLLoss,
    params=("log_input", "full", "eps"),
    bools=False,
    holds={"input": "log_rate", "target": "count"},
)
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
) -> Problem:
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
    return Problem(
        {"input": input, "target": target, "log_input": log_input, "full": full, "eps": eps}, reduction, options
    )


@poisson_nll_loss.formula
def _(x: Tensor, y: Tensor, log_input: bool, full: bool, eps: Number) -> Tensor:
    r""":math:`e^x - y x` or :math:`x - y \log(x + \epsilon)`, plus Stirling's term where y > 1 if ``full``."""
    loss = x.exp() - y * x if log_input else x - y * (x + eps).log()
    if full:
        big = torch.where(y <= 1, 2.0, y)
        stirling = big * big.log() - big + 0.5 * (2 * math.pi * big).log()
        loss = loss + torch.where(y <= 1, 0.0, stirling)
    return loss


@loss(
    torch=F.gaussian_nll_loss,
    module=torch.nn.GaussianNLLLoss,
    tensors=("input", "target", "var"),
    params=("full", "eps"),
    takes=lambda full, eps: eps > 0,
    bools=False,
    floating=("var",),
    autocasts=False,
    check=_positive_variance,
    holds={"var": "positive"},
)
def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float | Tensor = 1e-6,
    reduction: str = "mean",
    **options: Unpack[WeightedPointOptions],
) -> Problem:
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
    why_not = ""
    if isinstance(input, Tensor):
        if isinstance(var, float) and var >= 0:
            arguments["var"] = torch.full((), var, dtype=input.dtype, device=input.device).expand(input.shape)
        elif isinstance(var, Tensor) and var.shape != input.shape:
            made = _variance_like(input, var)
            arguments["var"] = var if made is None else made
            why_not = "PyTorch decides about this variance's size" if made is None else ""
    return Problem(arguments, reduction, options, why_not)


@gaussian_nll_loss.formula
def _(x: Tensor, y: Tensor, v: Tensor, full: bool, eps: Number) -> Tensor:
    r""":math:`\tfrac12 (\log v + (x - y)^2 / v)`, :math:`v = \max(\mathrm{var}, \epsilon)` (unseen by the gradient)."""
    v = v + (v.clamp_min(eps) - v).detach()
    return 0.5 * (v.log() + (x - y) ** 2 / v) + (0.5 * math.log(2 * math.pi) if full else 0.0)


@loss(
    torch=_kl_div,
    module=torch.nn.KLDivLoss,
    native=lambda input, target, code, log_target: torch.kl_div(input, target, code, log_target=log_target),
    tiny=3072,
    params=("log_target",),
    floating=("target",),
    batchmean=True,
    holds={"input": "log_probability", "target": "distribution"},
)
def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
    **options: Unpack[WeightedPointOptions],
) -> Problem:
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
    elif reduction == "mean" and not torch.compiler.is_compiling():
        warnings.warn(
            "reduction: 'mean' divides the total loss by both the batch size and the support size."
            "'batchmean' divides only by the batch size, and aligns with the KL div math definition."
            "'mean' will be changed to behave the same as 'batchmean' in the next major release.",
            stacklevel=3,
        )
    return Problem({"input": input, "target": target, "log_target": log_target}, reduction, options)


@kl_div.formula
def _(x: Tensor, y: Tensor, log_target: bool) -> Tensor:
    r""":math:`y (\log y - x)`, or :math:`e^y (y - x)` for log-probabilities y."""
    return torch.kl_div(x, y, 0, log_target=log_target)


@loss(
    tensors=("input", "target", "var"),
    params=("beta", "full", "eps"),
    domains={"beta": NOT_NEGATIVE, "eps": NOT_NEGATIVE},
    bools=False,
    floating=("var",),
    title="BetaNLLLoss",
    check=_refuses("beta_nll_loss", var="0 or more"),
    holds={"var": "positive"},
)
def beta_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    beta: float | Tensor = 0.5,
    full: bool = True,
    eps: float | Tensor = 1e-6,
    reduction: str = "mean",
    **options: Unpack[WeightedPointOptions],
) -> Problem:
    r"""Gaussian negative log-likelihood whose elements are weighed by their predicted variance, v = max(var, eps), so
    that elements that the model gives up on keep a gradient (Seitzer et al. 2022, https://arxiv.org/abs/2203.09168).

    .. math::
        \ell = \lfloor v^\beta \rfloor\, \tfrac12 \left(\log v + \frac{(x - y)^2}{v} + \log 2\pi\right),

    where no gradient is taken of :math:`\lfloor v^\beta \rfloor`. ``beta=0`` is `gaussian_nll_loss`, ``beta=1`` has the
    gradient of the squared error in ``input``.

    Equivalent to ``var.detach() ** beta * F.gaussian_nll_loss(input, target, var, full=True, reduction="none")``. The
    authors leave the constant out: ``full=False``.

    Args:
        input, target: Means and values.
        var: Variances, of a shape that broadcasts, or a float. ValueError if one is negative.
        beta: :math:`\beta`, 0 or more; float or 0-d tensor.
        full: Add :math:`\tfrac12 \log 2\pi`.
        eps: Least variance. The clamp does not enter the gradient, as in PyTorch's loss.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.
    """
    arguments = {
        "input": input,
        "target": target,
        "var": _as_tensor(var, input),
        "beta": beta,
        "full": full,
        "eps": eps,
    }
    return Problem(arguments, reduction, options)


@beta_nll_loss.formula
def _(x: Tensor, y: Tensor, v: Tensor, beta: Number, full: bool, eps: Number) -> Tensor:
    r""":math:`v^\beta` times the Gaussian's, :math:`v = \max(\mathrm{var}, \epsilon)` (unseen by the gradient)."""
    v = v + (v.clamp_min(eps) - v).detach()
    plain = 0.5 * (v.log() + (x - y) ** 2 / v) + (0.5 * math.log(2 * math.pi) if full else 0.0)
    return (v.detach().log() * beta).exp() * plain


@loss(
    tensors=("input", "target", "scale"),
    params=("eps",),
    domains={"eps": NOT_NEGATIVE},
    bools=False,
    floating=("scale",),
    title="LaplaceNLLLoss",
    check=_refuses("laplace_nll_loss", scale="0 or more"),
    holds={"scale": "positive"},
)
def laplace_nll_loss(
    input: Tensor,
    target: Tensor,
    scale: Tensor | float,
    eps: float | Tensor = 1e-6,
    reduction: str = "mean",
    **options: Unpack[WeightedPointOptions],
) -> Problem:
    r"""Laplace negative log-likelihood, :math:`\ell = \log 2 b + |x - y| / b`, b = max(scale, eps).

    Equivalent to ``-torch.distributions.Laplace(input, scale).log_prob(target).mean()``.

    Args:
        input, target: Medians and values.
        scale: b, of a shape that broadcasts, or a float. ValueError if one is negative.
        eps: Least scale. The clamp does not enter the gradient, as in `gaussian_nll_loss`.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.
    """
    arguments = {"input": input, "target": target, "scale": _as_tensor(scale, input), "eps": eps}
    return Problem(arguments, reduction, options)


@laplace_nll_loss.formula
def _(x: Tensor, y: Tensor, b: Tensor, eps: Number) -> Tensor:
    r""":math:`\log 2 b + |x - y| / b`, :math:`b = \max(\mathrm{scale}, \epsilon)` (unseen by the gradient)."""
    b = b + (b.detach().clamp_min(eps) - b.detach())
    return (2 * b).log() + (x - y).abs() / b


@loss(
    tensors=("input", "target", "scale", "df"),
    params=("eps",),
    domains={"eps": NOT_NEGATIVE},
    bools=False,
    floating=("scale", "df"),
    title="StudentTNLLLoss",
    check=_refuses("student_t_nll_loss", scale="0 or more", df="positive"),
    holds={"scale": "positive", "df": "positive"},
)
def student_t_nll_loss(
    input: Tensor,
    target: Tensor,
    scale: Tensor | float,
    df: Tensor | float,
    eps: float | Tensor = 1e-6,
    reduction: str = "mean",
    **options: Unpack[WeightedPointOptions],
) -> Problem:
    r"""Negative log-likelihood of Student's t, whose tails forgive outliers: n = ``df``, b = max(scale, eps), z = (x -
    y) / b.

    .. math::
        \ell = \log \Gamma\left(\tfrac n2\right) - \log \Gamma\left(\tfrac{n + 1}2\right) + \tfrac12 \log n \pi
             + \log b + \tfrac{n + 1}2 \log\left(1 + \frac{z^2}n\right).

    Equivalent to ``-torch.distributions.StudentT(df, input, scale).log_prob(target).mean()``.

    Args:
        input, target: Locations and values.
        scale: b, of a shape that broadcasts, or a float. ValueError if one is negative.
        df: Degrees of freedom, likewise; positive, infinite for the Gaussian. ValueError if one is not. They may be
            learned: value and gradient keep their digits as they grow.
        eps: Least scale. The clamp does not enter the gradient, as in `gaussian_nll_loss`.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.
    """
    arguments = {"input": input, "target": target, "scale": _as_tensor(scale, input), "df": _as_tensor(df, input)}
    return Problem({**arguments, "eps": eps}, reduction, options)


@student_t_nll_loss.formula
def _(x: Tensor, y: Tensor, b: Tensor, n: Tensor, eps: Number) -> Tensor:
    r"""The density's logarithm in float64, where the logarithms of gamma functions cancel."""
    dtype, endless = x.dtype, n == torch.inf
    x, y, b, n = x.double(), y.double(), b.double(), torch.where(endless, 1.0, n.double())
    b = b + (b.detach().clamp_min(eps) - b.detach())
    z = (x - y) / b
    constant = torch.lgamma(n / 2) - torch.lgamma((n + 1) / 2) + 0.5 * (n * math.pi).log()
    heavy = constant + (n + 1) / 2 * torch.log1p(z * z / n)
    return (torch.where(endless, 0.5 * z * z + 0.5 * math.log(2 * math.pi), heavy) + b.log()).to(dtype)


@loss(
    tensors=("input", "target", "dispersion"),
    fixed=("target",),
    bools=False,
    floating=("dispersion",),
    title="NegativeBinomialNLLLoss",
    check=_refuses("negative_binomial_nll_loss", dispersion="0 or more"),
    holds={"input": "positive", "target": "count", "dispersion": "positive"},
)
def negative_binomial_nll_loss(
    input: Tensor,
    target: Tensor,
    dispersion: Tensor | float,
    reduction: str = "mean",
    **options: Unpack[WeightedPointOptions],
) -> Problem:
    r"""Negative log-likelihood of counts y that vary more than Poisson's: mean x, variance :math:`x + a x^2`, a =
    ``dispersion``, r = 1 / a.

    .. math::
        \ell = \log \frac{\Gamma(y + 1)\, \Gamma(r)}{\Gamma(y + r)} + (y + r) \log(1 + a x) - y \log a x.

    Equivalent to ``-torch.distributions.NegativeBinomial(r, logits=(a * input).log()).log_prob(target).mean()`` with
    ``r = 1 / a``, ``total_count`` there and :math:`\theta` in scvi-tools.

    Args:
        input, target: Means (not their logarithms) and counts.
        dispersion: a, of a shape that broadcasts, or a float; 0 or more, and 0 is `poisson_nll_loss` with
            :math:`\log y!`. ValueError if one is negative. It may be learned: value and gradient keep their digits as
            it vanishes, and of large counts.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.
    """
    arguments = {"input": input, "target": target, "dispersion": _as_tensor(dispersion, input)}
    return Problem(arguments, reduction, options)


@negative_binomial_nll_loss.formula
def _(x: Tensor, y: Tensor, a: Tensor) -> Tensor:
    r"""The logarithm of the probability in float64, where those of gamma functions cancel; Poisson's where a is 0."""
    dtype, plain, none = x.dtype, a == 0, y == 0
    x, y = x.double(), y.double()
    limit = x + 0.5 * a * (y - (y - x) ** 2)  # of first order
    a = torch.where(plain, 1.0, a.double())
    r, log_x = 1 / a, torch.where(none, 1.0, x).log()
    spread = torch.lgamma(r) - torch.lgamma(y + r) + (y + r) * torch.log1p(a * x) - y * a.log()
    return (torch.lgamma(y + 1) - y * log_x + torch.where(plain, limit, spread)).to(dtype)


@loss(
    params=("power",),
    fixed=("target",),
    domains={"power": ("0, or between 1 and 10", lambda v: v == 0 or 1 <= v <= 10, ValueError)},
    holds={"input": "positive", "target": "count"},
)
def tweedie_loss(
    input: Tensor,
    target: Tensor,
    power: float | Tensor = 1.5,
    reduction: str = "mean",
    **options: Unpack[WeightedPointOptions],
) -> Problem:
    r"""Half the unit deviance of a Tweedie distribution of mean x and variance proportional to :math:`x^p`: its
    negative log-likelihood less that of the mean y.

    .. math::
        \ell = \frac{y^{2 - p}}{(1 - p)(2 - p)} - \frac{y\, x^{1 - p}}{1 - p} + \frac{x^{2 - p}}{2 - p},

    with its limits :math:`y \log(y / x) + x - y` at p = 1 (Poisson) and :math:`\log(x / y) + y / x - 1` at p = 2
    (gamma). Between them many values may be 0, as insurance claims are; p = 0 is half the squared error, p = 3 the
    inverse Gaussian.

    Equivalent to ``0.5 * sklearn.metrics.mean_tweedie_deviance(target, input, power=power)``.

    Args:
        input, target: Means (not their logarithms), positive, and values: 0 or more, positive for p of 2 or more; of
            any sign for p = 0.
        power: p, 0 or between 1 and 10; float or 0-d tensor.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.

    The gradient is :math:`(x - y) / x^p`; what of the value is left where x is near y keeps its digits.
    """
    return Problem({"input": input, "target": target, "power": power}, reduction, options)


@tweedie_loss.formula
def _(x: Tensor, y: Tensor, power: Number) -> Tensor:
    r"""The deviance in float64, :math:`x^{1 - p} (y E_{1 - p} - x E_{2 - p})`, :math:`E_c = ((y / x)^c - 1) / c`."""
    p, none, dtype = as_number(power, x).double(), y == 0, x.dtype
    given, known = x, y
    x, y = torch.where(p == 0, 1.0, x.double()), torch.where(p == 0, 1.0, y.double())
    log_ratio = (torch.where(none, x.detach(), y) / x).log()
    first, second = (_power_of_log(c, log_ratio) for c in (1 - p, 2 - p))
    zero_costs = torch.where(p < 2, x * (1 / torch.where(p < 2, 2 - p, 1.0)), torch.inf)
    some = torch.where(none, zero_costs, y * first - x * second) * (x.log() * (1 - p)).exp()
    return torch.where(p == 0, 0.5 * (given - known).double() ** 2, some).to(dtype)


def _power_of_log(c: Tensor, log_ratio: Tensor) -> Tensor:
    """(e^(c L) - 1) / c, and L for c = 0."""
    other = torch.where(c == 0, 1.0, c)
    return torch.where(c == 0, log_ratio, expm1(other * log_ratio) / other)
