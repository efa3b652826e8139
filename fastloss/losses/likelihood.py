"""Negative log-likelihoods and divergences."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fastloss._core import options as _options
from fastloss._core._torch import F
from fastloss._core.formula import Number, as_number
from fastloss._core.options import WeightedPointOptions, legacy_reduction
from fastloss._core.record import Problem
from fastloss.engines.elements import loss

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = [
    "gaussian_nll_loss",
    "kl_div",
    "poisson_nll_loss",
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
