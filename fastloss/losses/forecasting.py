"""Losses of forecasts: distributions that are predicted, and errors by the scale of a series."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fastloss._core import route
from fastloss._core.formula import reduce
from fastloss._core.guards import is_compiling
from fastloss._core.operators import REDUCTION_NAMES
from fastloss._core.options import ComposedOptions, WeightedPointOptions, known, reduction_code
from fastloss._core.record import Loss
from fastloss._core.row_formula import dtype_of_loss, reduced
from fastloss.engines.composition import loss
from fastloss.losses.regression import quantile_loss

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = [
    "crps_ensemble",
    "crps_gaussian",
    "mape_loss",
    "mase_loss",
    "multi_quantile_loss",
    "rmsse_loss",
    "smape_loss",
]

_WHY = "no kernel of ours has its formula"


def _elements(
    name: str, values: Callable[..., Tensor], tensors: tuple[Tensor, ...], reduction: str, options: Any
) -> Tensor:
    """The loss of elements with these values, which has no kernel."""
    made: Tensor = reduce(Loss(name), values, tensors, reduction, **options)
    return made


@loss(title="CRPSGaussianLoss", takes=WeightedPointOptions, path="reference", why=_WHY, holds={"scale": "positive"})
def crps_gaussian(
    input: Tensor, target: Tensor, scale: Tensor, reduction: str = "mean", **options: Unpack[WeightedPointOptions]
) -> Tensor:
    r"""The continuous ranked probability score of a Gaussian forecast (Gneiting and Raftery 2007).

    With mean x, standard deviation s and z = (y - x) / s,

    .. math::
        \ell = s \left(z\, (2 \Phi(z) - 1) + 2 \varphi(z) - \frac1{\sqrt \pi}\right).

    It has the unit of y, and is the absolute error where s is 0. Equivalent to properscoring's
    ``crps_gaussian(target, input, scale)``. Options are those of `laplace_nll_loss`.

    Args:
        input, target: Means and values.
        scale: s, standard deviations, 0 or more, of a shape that broadcasts.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.

    Keyword-only options: those of `laplace_nll_loss`.

    Returns:
        The loss: the common shape for ``"none"``, otherwise ``()``.

    Raises: ValueError for options.
    Gradient: with respect to every tensor; differentiable again.
    Memory: what PyTorch keeps of some ten operations.
    Accuracy: half precision computes in float32.
    """

    def values(x: Tensor, y: Tensor, s: Tensor) -> Tensor:
        d, sure = y - x, s == 0
        z = d / torch.where(sure, 1.0, s)
        spread = math.sqrt(2 / math.pi) * (-0.5 * z * z).exp() - 1 / math.sqrt(math.pi)
        return torch.where(sure, d.abs(), d * torch.erf(z * math.sqrt(0.5)) + s * spread)

    return _elements("crps_gaussian", values, (input, target, scale), reduction, options)


@loss(title="CRPSEnsembleLoss", takes=ComposedOptions)
def crps_ensemble(
    input: Tensor, target: Tensor, fair: bool = False, reduction: str = "mean", **options: Unpack[ComposedOptions]
) -> Tensor:
    r"""The continuous ranked probability score of an ensemble of M forecasts (Gneiting and Raftery 2007).

    .. math::
        \ell = \frac1M \sum_i |x_i - y| - \frac1{2 M^2} \sum_{i, j} |x_i - x_j|.

    ``fair=True`` divides the second sum by 2 M (M - 1), which makes it unbiased for the distribution that the members
    are drawn from (Ferro 2014); of one member it is nothing. It comes from sorted members, without their pairs.

    Equivalent to properscoring's ``crps_ensemble(target, input)``, and to ``(input - target[..., None]).abs().mean(-1)
    - (input[..., None] - input[..., None, :]).abs().mean((-1, -2)) / 2``.

    Args:
        input: Members of the ensemble along the last dimension, shape :math:`(\ldots, M)`.
        target: Values, the shape of ``input`` without its last dimension.
        fair: As above.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.

    Keyword-only options:
        mask: Bool, shape of ``target``; what is False counts as if it were not there.
        normalizer: Replaces the mean's divisor; float or 0-d tensor.
        empty: Value of a mean over nothing: ``"nan"``, or ``"zero"``. The gradient is zero either way.
        loss_dtype: dtype of the loss. Default: ``input``'s; float32 under autocast.

    Returns:
        The loss: shape of ``target`` for ``"none"``, otherwise ``()``.

    Raises: RuntimeError for other shapes; ValueError for options.
    Gradient: with respect to ``input`` and ``target``; of equal members each has one of the derivatives on either side.
    Memory: the members, sorted, in float32 at least, and their places.
    Accuracy: half precision computes in float32; members are compared after the target is subtracted.

    Example:
        >>> members, target = torch.randn(8, 5, requires_grad=True), torch.randn(8)
        >>> fastloss.functional.crps_ensemble(members, target).backward()
    """
    if route.watched:
        route.take("crps_ensemble", "reference", "it sorts the members, which PyTorch does")

    def spread(errors: Tensor) -> Tensor:
        m = errors.shape[-1]
        rank = torch.arange(1 - m, m, 2, dtype=errors.dtype, device=errors.device)
        return (errors.sort(-1).values * rank).sum(-1) / max(m * (m - 1 if fair else m), 1)

    return _of_members(spread, input, target, reduction, options)


@crps_ensemble.formula
def _(input: Tensor, target: Tensor, fair: bool = False, reduction: str = "mean", **options: Any) -> Tensor:
    """The mean distance to the value less half of that between two members."""

    def spread(errors: Tensor) -> Tensor:
        m = errors.shape[-1]
        apart = (errors.unsqueeze(-1) - errors.unsqueeze(-2)).abs().sum((-1, -2))
        return apart / max(2 * m * (m - 1 if fair else m), 1)

    return _of_members(spread, input, target, reduction, options)


def _of_members(
    spread: Callable[[Tensor], Tensor], input: Tensor, target: Tensor, reduction: str, options: Any
) -> Tensor:
    if not input.dim() or target.shape != input.shape[:-1]:
        raise RuntimeError(
            f"fastloss.crps_ensemble: input has shape {tuple(input.shape)}, target {tuple(target.shape)}; "
            "expected members along the last dimension of input and the shape without it for target"
        )
    mask, dtype = options.get("mask"), torch.promote_types(input.dtype, torch.float32)
    errors = input.to(dtype) - target.to(dtype).unsqueeze(-1)
    errors = errors if mask is None else torch.where(mask.unsqueeze(-1), errors, 0.0)
    return reduce_values(errors.abs().mean(-1) - spread(errors), input, mask, reduction, options)


def reduce_values(values: Tensor, input: Tensor, kept: Tensor | None, reduction: str, options: Any) -> Tensor:
    """Reduces one value for each row."""
    reduction = REDUCTION_NAMES[reduction_code(reduction)]
    kept = torch.ones_like(values, dtype=torch.bool) if kept is None and not values.numel() else kept
    normalizer, empty = options.get("normalizer"), options.get("empty", "nan")
    if reduction == "mean" and normalizer is None:
        normalizer = values.new_tensor(values.numel()) if kept is None else kept.sum()
    return reduced(values, kept, reduction, normalizer, empty).to(
        options.get("loss_dtype") or dtype_of_loss(input, input, None)
    )


_PLAIN = 1 << 15  # elements, up to which a kernel for each level is slower than PyTorch's operators


@loss(takes=ComposedOptions, inputs=("input", "target"))
def multi_quantile_loss(
    input: Tensor,
    target: Tensor,
    quantiles: list[float] | tuple[float, ...] | Tensor = (0.1, 0.5, 0.9),
    crossing: float = 0.0,
    reduction: str = "mean",
    **options: Unpack[ComposedOptions],
) -> Tensor:
    r"""The mean of the `quantile_loss` of K quantiles that are predicted together, and a penalty where they cross.

    .. math::
        \ell = \frac1K \sum_k \max(q_k r_k, (q_k - 1) r_k)
             + \frac\lambda{K - 1} \sum_k \max(0, x_k - x_{k + 1}), \qquad r_k = y - x_k.

    Equivalent to ``torch.maximum(q * r, (q - 1) * r).mean()`` with ``r = target[..., None] - input``.

    Args:
        input: Predicted quantiles along the last dimension, shape :math:`(\ldots, K)`, in the order of ``quantiles``.
        target: Values, the shape of ``input`` without its last dimension.
        quantiles: :math:`q_k` in [0, 1], K of them.
        crossing: :math:`\lambda`, 0 or more: the factor of the penalty, for quantiles in rising order.
        reduction: ``"none"`` (one value for each of ``target``), ``"mean"`` or ``"sum"``.

    Keyword-only options: those of `crps_ensemble`.

    Returns:
        The loss: shape of ``target`` for ``"none"``, otherwise ``()``.

    Raises: RuntimeError for other shapes; ValueError for quantiles outside [0, 1] and for options.
    Gradient: with respect to ``input`` and ``target``, 0 where r is.
    Memory: a gradient for each quantile and their stack; of few elements, with a mask or a penalty that of PyTorch's
        operations.
    Accuracy: half precision computes in float32.

    Example:
        >>> input, target = torch.randn(8, 3, requires_grad=True), torch.randn(8)
        >>> fastloss.functional.multi_quantile_loss(input, target, quantiles=(0.1, 0.5, 0.9)).backward()
    """
    levels = _levels(input, target, quantiles, crossing)
    plain = (
        crossing or options or reduction not in ("mean", "sum") or input.numel() <= _PLAIN or is_compiling()
        or isinstance(quantiles, Tensor) or input.dtype != target.dtype
    )  # fmt: skip
    if plain:
        if route.watched:
            route.take("multi_quantile_loss", "reference", "few elements, or options of rows")
        return _quantiles(input, target, levels, crossing, reduction, options)
    factor = 1 / len(quantiles) / (target.numel() if reduction == "mean" else 1)
    made = [
        quantile_loss(x, target, float(q), "sum", loss_dtype=torch.promote_types(input.dtype, torch.float32))
        for x, q in zip(input.unbind(-1), quantiles, strict=True)
    ]
    return (torch.stack(made).sum() * factor).to(dtype_of_loss(input, input, None))


@multi_quantile_loss.formula
def _(
    input: Tensor,
    target: Tensor,
    quantiles: list[float] | tuple[float, ...] | Tensor = (0.1, 0.5, 0.9),
    crossing: float = 0.0,
    reduction: str = "mean",
    **options: Any,
) -> Tensor:
    r"""The mean over k of :math:`\max(q_k r_k, (q_k - 1) r_k)`, and what quantiles exceed their successors by."""
    levels = _levels(input, target, quantiles, crossing)
    return _quantiles(input, target, levels, crossing, reduction, options)


def _levels(
    input: Tensor, target: Tensor, quantiles: list[float] | tuple[float, ...] | Tensor, crossing: float
) -> Tensor:
    dtype = torch.promote_types(input.dtype, torch.float32)
    levels = torch.as_tensor(quantiles, dtype=dtype, device=input.device)
    if levels.dim() != 1 or input.shape[-1:] != levels.shape or target.shape != input.shape[:-1]:
        raise RuntimeError(
            f"fastloss.multi_quantile_loss: input has shape {tuple(input.shape)}, target {tuple(target.shape)}, "
            f"quantiles {tuple(levels.shape)}; expected one quantile for each entry of input's last dimension, and "
            "target without it"
        )
    if known(((levels < 0) | (levels > 1)).any()):
        raise ValueError(f"fastloss.multi_quantile_loss: quantiles must be in [0, 1], got {quantiles}")
    if not crossing >= 0:
        raise ValueError(f"fastloss.multi_quantile_loss: crossing must be 0 or more, got {crossing!r}")
    return levels


def _quantiles(input: Tensor, target: Tensor, levels: Tensor, crossing: float, reduction: str, options: Any) -> Tensor:
    mask, x = options.get("mask"), input.to(levels.dtype)
    r = target.to(levels.dtype).unsqueeze(-1) - x
    if mask is not None:
        x, r = (torch.where(mask.unsqueeze(-1), t, 0.0) for t in (x, r))
    values = (r * torch.where(r > 0, levels, torch.where(r < 0, levels - 1, 0.0))).mean(-1)
    if crossing and x.shape[-1] > 1:
        values = values + crossing * torch.relu(x[..., :-1] - x[..., 1:]).mean(-1)
    return reduce_values(values, input, mask, reduction, options)


@loss(title="MAPELoss", takes=WeightedPointOptions, inputs=("input", "target"), path="reference", why=_WHY)
def mape_loss(
    input: Tensor,
    target: Tensor,
    eps: float = 2.220446049250313e-16,
    reduction: str = "mean",
    **options: Unpack[WeightedPointOptions],
) -> Tensor:
    r"""Absolute error by the size of the value, :math:`\ell = |x - y| / \max(|y|, \epsilon)`.

    Equivalent to ``sklearn.metrics.mean_absolute_percentage_error(target, input)``; a fraction, no percentage.
    Options are those of `laplace_nll_loss`.

    Args:
        input, target: Predictions and values.
        eps: :math:`\epsilon`, the least divisor.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.

    Keyword-only options: those of `laplace_nll_loss`.

    Returns:
        The loss: the common shape for ``"none"``, otherwise ``()``.

    Raises: ValueError for options.
    Gradient: with respect to ``input`` and ``target``; differentiable again.
    Memory: what PyTorch keeps of four operations.
    Accuracy: half precision computes in float32.
    """

    def values(x: Tensor, y: Tensor) -> Tensor:
        return (x - y).abs() / y.abs().clamp_min(eps)

    return _elements("mape_loss", values, (input, target), reduction, options)


@loss(title="SMAPELoss", takes=WeightedPointOptions, inputs=("input", "target"), path="reference", why=_WHY)
def smape_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", **options: Unpack[WeightedPointOptions]
) -> Tensor:
    r"""Absolute error by the mean size of prediction and value, :math:`\ell = 2 |x - y| / (|x| + |y|)`.

    It is between 0 and 2, and 0 without a gradient where both are 0. Equivalent to ``(2 * (input - target).abs() /
    (input.abs() + target.abs())).mean()``; a fraction, no percentage.
    Options are those of `laplace_nll_loss`.

    Args:
        input, target: Predictions and values.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.

    Keyword-only options: those of `laplace_nll_loss`.

    Returns:
        The loss: the common shape for ``"none"``, otherwise ``()``.

    Raises: ValueError for options.
    Gradient: with respect to ``input`` and ``target``; differentiable again.
    Memory: what PyTorch keeps of some six operations.
    Accuracy: half precision computes in float32.
    """

    def values(x: Tensor, y: Tensor) -> Tensor:
        size = 0.5 * x.abs() + 0.5 * y.abs()  # whose sum would overflow
        none = size == 0
        return torch.where(none, 0.0, (x - y).abs() / torch.where(none, 1.0, size))

    return _elements("smape_loss", values, (input, target), reduction, options)


def _by_history(
    name: str, input: Tensor, target: Tensor, history: Tensor, season: int, p: int, mask: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Of each series the mean of |x - y|^p by that of its seasonal changes, and whether it counts and has changed."""
    if isinstance(season, bool) or not isinstance(season, int) or season < 1:
        raise ValueError(f"fastloss.{name}: season must be a number of steps, 1 or more, got {season!r}")
    given = [tuple(t.shape) for t in (input, target, history)]
    if not input.dim() or input.shape != target.shape or history.shape[:-1] != input.shape[:-1] or not history.dim():
        raise RuntimeError(
            f"fastloss.{name}: input, target and history have shapes {given[0]}, {given[1]} and {given[2]}; "
            "expected time along the last dimension, and the same series"
        )
    if history.shape[-1] <= season:
        raise ValueError(
            f"fastloss.{name}: history has {history.shape[-1]} steps, expected more than the season, {season}"
        )
    dtype = torch.promote_types(input.dtype, torch.float32)
    if mask is not None:
        input, target, history = (torch.where(mask.unsqueeze(-1), t, 0.0) for t in (input, target, history))
    past = history.detach().to(dtype)
    change = (past[..., season:] - past[..., :-season]).abs().pow(p).mean(-1)
    known = change > 0
    error = (input.to(dtype) - target.to(dtype)).abs().pow(p).mean(-1)
    return torch.where(known, error / torch.where(known, change, 1.0), 0.0), known


@loss(title="MASELoss", takes=ComposedOptions, path="reference", why=_WHY)
def mase_loss(
    input: Tensor,
    target: Tensor,
    history: Tensor,
    season: int = 1,
    reduction: str = "mean",
    **options: Unpack[ComposedOptions],
) -> Tensor:
    r"""Absolute error of a series by that of repeating the past (Hyndman and Koehler 2006).

    With h the history of T steps and m = ``season``,

    .. math::
        \ell = \frac{\frac1H \sum_t |x_t - y_t|}{\frac1{T - m} \sum_{t > m} |h_t - h_{t - m}|}.

    Equivalent to ``(input - target).abs().mean(-1) / (history[..., m:] - history[..., :-m]).abs().mean(-1)``. A series
    whose history repeats itself has no scale, and does not count. Options are those of `crps_ensemble`.

    Args:
        input, target: Forecasts and values, series by series, time along the last dimension.
        history: What came before, by which the scale is measured; the same series. It has no gradient.
        season: m, steps in a season, fewer than the history has.
        reduction: ``"none"`` (one value per series), ``"mean"`` or ``"sum"``.

    Keyword-only options: those of `crps_ensemble`, ``mask`` of series.

    Returns:
        The loss: shape of ``input`` without its last dimension for ``"none"``, otherwise ``()``.

    Raises: RuntimeError for other shapes; ValueError for a season that is too long and for options.
    Gradient: with respect to ``input`` and ``target``; differentiable again.
    Memory: what PyTorch keeps of some ten operations.
    Accuracy: half precision computes in float32.

    Example:
        >>> input, target, history = torch.randn(8, 5, requires_grad=True), torch.randn(8, 5), torch.randn(8, 20)
        >>> fastloss.functional.mase_loss(input, target, history, season=4).backward()
    """
    values, counts = _by_history("mase_loss", input, target, history, season, 1, options.get("mask"))
    return reduce_values(values, input, counts, reduction, options)


@loss(title="RMSSELoss", takes=ComposedOptions, path="reference", why=_WHY)
def rmsse_loss(
    input: Tensor,
    target: Tensor,
    history: Tensor,
    season: int = 1,
    reduction: str = "mean",
    **options: Unpack[ComposedOptions],
) -> Tensor:
    r"""Root of the mean squared error of a series by that of repeating the past, the score of the M5 competition.

    With h the history of T steps and m = ``season``,

    .. math::
        \ell = \sqrt{\frac{\frac1H \sum_t (x_t - y_t)^2}{\frac1{T - m} \sum_{t > m} (h_t - h_{t - m})^2}}.

    Equivalent to ``((input - target).square().mean(-1) / (history[..., m:] - history[...,
    :-m]).square().mean(-1)).sqrt()``. A series whose history repeats itself has no scale, and does not count.
    Options are those of `crps_ensemble`.

    Args:
        input, target, history, season, reduction: As in `mase_loss`.

    Keyword-only options: those of `crps_ensemble`, ``mask`` of series.

    Returns:
        The loss: shape of ``input`` without its last dimension for ``"none"``, otherwise ``()``.

    Raises: RuntimeError for other shapes; ValueError for a season that is too long and for options.
    Gradient: with respect to ``input`` and ``target``, 0 for a perfect forecast; differentiable again.
    Memory: what PyTorch keeps of some ten operations.
    Accuracy: half precision computes in float32.

    Example:
        >>> input, target, history = torch.randn(8, 5, requires_grad=True), torch.randn(8, 5), torch.randn(8, 20)
        >>> fastloss.functional.rmsse_loss(input, target, history, season=4).backward()
    """
    squares, counts = _by_history("rmsse_loss", input, target, history, season, 2, options.get("mask"))
    some = counts & (squares != 0)
    values = torch.where(some, torch.where(some, squares, 1.0).sqrt(), 0.0)
    return reduce_values(values, input, counts, reduction, options)
