"""Losses that choose among the rows of a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from fastloss._core.formula import Number, as_number
from fastloss._core.options import FINITE, POSITIVE, ComposedOptions, WeightedPointOptions
from fastloss._core.record import Problem
from fastloss._core.row_formula import dtype_of_loss
from fastloss.engines import elements
from fastloss.engines.composition import few_entropies, few_rows, loss, rows_of
from fastloss.losses.classification import cross_entropy

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["hard_example_cross_entropy", "super_loss"]

_WORDS = {"reduction": ("mean", "sum")}


def _few(
    input: Tensor,
    target: Tensor,
    k: int,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float | Tensor = 0.0,
    **options: Any,
) -> Tensor | None:
    if type(k) is not int or k < 1 or reduction not in _WORDS["reduction"] or type(label_smoothing) is not float:
        return None
    if not few_rows("hard_example_cross_entropy", input, target, ignore_index, reduction, options):
        return None
    rows = few_entropies(input, target, weight, "none", ignore_index, label_smoothing)
    chosen = rows.topk(min(k, rows.shape[0])).values
    return chosen.mean() if reduction == "mean" else chosen.sum()


@loss(inputs=("input", "target"), keeps=("weight",), words=_WORDS, takes=ComposedOptions, tiny=_few)
def hard_example_cross_entropy(
    input: Tensor,
    target: Tensor,
    k: int,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: Literal["mean", "sum"] = "mean",
    label_smoothing: float | Tensor = 0.0,
    **options: Unpack[ComposedOptions],
) -> Tensor:
    r"""Cross entropy of the k rows that have the largest (online hard example mining, Shrivastava et al. 2016,
    https://arxiv.org/abs/1604.03540).

    Equivalent to ``cross_entropy(input, target, weight, reduction="none").flatten().topk(k).values.mean()``.

    Args:
        input, target, weight, ignore_index, label_smoothing: As in `cross_entropy`. Weighted rows are compared.
        k: How many rows, at least 1. If fewer count, these.
        reduction: ``"mean"``, which divides by the number of chosen rows, or ``"sum"``.

    Returns:
        The loss, shape ``()``.

    Raises: As `cross_entropy`; ValueError for k.
    Gradient: with respect to ``input``: exactly 0 in rows that are not chosen; differentiable again. Of rows with equal
        losses some are chosen, as `torch.topk` does.
    Memory: one gradient buffer and a few numbers per row. Forward reads the logits, backward reads them and writes the
        gradient.
    Accuracy: that of `cross_entropy`.

    Example:
        >>> logits = torch.randn(8, 5, requires_grad=True)
        >>> target = torch.randint(5, (8,))
        >>> fastloss.functional.hard_example_cross_entropy(logits, target, k=3).backward()
    """
    return _hardest(cross_entropy, input, target, k, weight, ignore_index, reduction, label_smoothing, options)


@hard_example_cross_entropy.formula
def _(
    input: Tensor,
    target: Tensor,
    k: int,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: Number = 0.0,
    **options: Any,
) -> Tensor:
    """The largest k of the rows' cross entropies, added or averaged."""
    made = cross_entropy.record.reference
    return _hardest(made, input, target, k, weight, ignore_index, reduction, label_smoothing, options)


def _hardest(
    row_losses: Any,
    input: Tensor,
    target: Tensor,
    k: int,
    weight: Tensor | None,
    ignore_index: int,
    reduction: str,
    label_smoothing: Number,
    options: Any,
) -> Tensor:
    name = "hard_example_cross_entropy"
    normalizer, empty, loss_dtype = (options.get(what) for what in ("normalizer", "empty", "loss_dtype"))
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise ValueError(f"fastloss.{name}: k must be a number of rows, 1 or more, got {k!r}")
    mask, half = options.get("mask"), input.dtype.itemsize < 4
    given: dict[str, Any] = {} if mask is None else {"mask": mask}
    if half:
        given["loss_dtype"] = torch.float32
    values = row_losses(input, target, weight, None, ignore_index, None, "none", label_smoothing, **given).flatten()
    kept = rows_of(name, input, target, None, ignore_index, mask).every_kept().flatten()
    chosen = torch.where(kept, values, -torch.inf).topk(min(k, values.numel())).values
    total = torch.where(chosen == -torch.inf, 0.0, chosen).sum()
    if reduction == "mean":
        count = kept.sum()
        mean = total / (count.clamp_max(k) if normalizer is None else normalizer)
        total = torch.where(count > 0, mean, 0.0) if empty == "zero" else mean
    return total.to(loss_dtype or dtype_of_loss(input, target, None))


_STEPS = 8


def _log_weight(beta: Tensor) -> Tensor:
    r"""The s up to 1 with :math:`-2 s e^{-s} = \beta`, which is -W(beta / 2), for beta from -2 / e on.

    Halley's iteration on w = -s, from the series at the branch point and from a bound of W far away. All its orders but
    the last are lost where beta is within a rounding of -2 / e.
    """
    y = 0.5 * beta
    p = (2 * (1 + torch.e * y)).clamp_min(0).sqrt()
    near = -1 + p * (1 - p / 3 * (1 - p * (11 / 24)))
    far = torch.log1p(y.clamp_min(0))
    w = torch.where(y < 0.5, near, far * (1 - torch.log1p(far) / (2 + far)))
    for _ in range(_STEPS):
        e = w.exp()
        f = w * e - y
        step = f / (e * (w + 1) - 0.5 * (w + 2) * f / (w + 1).clamp_min(1e-9))
        w = torch.where(step.isfinite(), w - step, w)
    return -w


@elements.loss(tensors=("input",), params=("tau", "lam"), domains={"tau": FINITE, "lam": POSITIVE})
def super_loss(
    input: Tensor,
    tau: float | Tensor,
    lam: float | Tensor = 1.0,
    reduction: str = "mean",
    **options: Unpack[WeightedPointOptions],
) -> Problem:
    r"""SuperLoss (Castells et al. 2020): losses :math:`\ell` of samples, large ones weighed down and small ones up, as
    in a curriculum.

    .. math::
        \min_\sigma\ (\ell - \tau) \sigma + \lambda \log^2 \sigma, \qquad
        \sigma^* = e^{-W\left(\frac12 \max\left(-\frac2e,\, \frac{\ell - \tau}{\lambda}\right)\right)},

    W being Lambert's function.

    Equivalent to ``(l - tau) * sigma + lam * sigma.log() ** 2`` with
    ``sigma = exp(-scipy.special.lambertw(0.5 * max(-2 / e, (l - tau) / lam)))``, the authors', which is a constant for
    their gradient. So it is here, for at the minimum no derivative by way of :math:`\sigma` is left; second derivatives
    have it.

    Args:
        input: Losses of samples, any shape: ``reduction="none"`` of another loss.
        tau: What separates easy samples from hard ones, log C for cross entropy of C classes, or a running mean of the
            losses. Float or 0-d tensor.
        lam: :math:`\lambda`, positive: the larger, the closer to :math:`\ell - \tau`. Float or 0-d tensor.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.

    The gradient is :math:`\sigma^*` with respect to ``input``, up to e, and exact to some roundings where
    :math:`\ell - \tau` is near :math:`-2 \lambda / e` too; ``tau`` and ``lam`` that are learned run in plain PyTorch.

    Example:
        >>> logits, target = torch.randn(8, 5, requires_grad=True), torch.randint(5, (8,))
        >>> rows = fastloss.functional.cross_entropy(logits, target, reduction='none')
        >>> fastloss.functional.super_loss(rows, tau=1.6).backward()
    """
    return Problem({"input": input, "tau": tau, "lam": lam}, reduction, options)


@super_loss.formula
def _(x: Tensor, tau: Number, lam: Number) -> Tensor:
    r""":math:`(x - \tau) \sigma + \lambda \log^2 \sigma` at its minimum in :math:`\sigma`, found in float64."""
    endless = x == torch.inf  # infinite, at the pace of a squared logarithm: no gradient is left
    given = torch.where(x.isinf(), 0.0, x.double())
    scale = as_number(lam, given)
    beta = (given - as_number(tau, given)) / scale
    fixed = beta.detach()
    inside = ~(fixed <= -2 / torch.e)
    s = torch.where(inside, _log_weight(fixed), 1.0)
    sigma = s.exp()
    # Value, slope sigma and curvature at the fixed beta, as a polynomial in what beta has moved, which is nothing.
    moved = beta - fixed
    curvature = torch.where(inside & (s < 1), -0.5 * sigma * sigma / (1 - s).clamp_min(1e-300), 0.0)
    value = fixed * sigma + s * s + sigma * moved + 0.5 * curvature * moved * moved
    value = torch.where(x == -torch.inf, torch.e * x.double(), scale * value)
    return torch.where(endless, torch.inf, value).to(x.dtype)
