"""Losses of one element at a time: each from its formula, and what all of them share in `_reduce`."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fastloss import _ops, _options
from fastloss._core._torch import tracing_state, transforms_active
from fastloss._options import legacy_reduction, takes_tensors
from fastloss._stats import PointStats

__all__ = [
    "asymmetric_loss",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "charbonnier_loss",
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

_Number = float | Tensor


def _is_plain(options: dict[str, Any], *hyperparameters: Any) -> bool:
    """Whether PyTorch's own function takes the call as it is."""
    unused: dict[str, Any] = {"empty": "nan", "return_stats": False}
    if any(value is not None and not (name in unused and value == unused[name]) for name, value in options.items()):
        return False
    return not any(isinstance(value, Tensor) for value in hyperparameters)


# Losses of which PyTorch refuses sizes that broadcast.
_SIZED = ("binary_cross_entropy", "binary_cross_entropy_with_logits", "margin_ranking_loss", "soft_margin_loss")
# Losses that have a weight in PyTorch, of the input's size.
_WEIGHED = ("huber_loss", "l1_loss", "mse_loss")


def _refuse_as_torch(name: str, tensors: tuple[Tensor, ...], weight: Tensor | None, reduction: str) -> None:
    """Raises what PyTorch's own function, if there is one, raises for tensors of these sizes and kinds.

    It is asked with tensors that have no numbers, but not where those would become part of a graph, or meet a transform
    or another kind of tensor; and with these tensors if they have sizes that it may refuse and such tensors do not.
    """
    native = getattr(F, name, None)
    if native is None or name == "gaussian_nll_loss":
        return
    if name in _SIZED and any(t.shape != tensors[0].shape for t in tensors):
        native(*(t.detach() for t in tensors))
    recorded = torch.compiler.is_compiling() or tracing_state() is not None or transforms_active()
    if recorded or not all(type(t) in (Tensor, torch.nn.Parameter) for t in tensors):
        return
    if weight is not None and name in _WEIGHED and weight.shape != tensors[0].shape:
        native(*(t.detach() for t in tensors), weight=weight.detach())
    kinds = (torch.float32 if t.is_floating_point() else t.dtype for t in tensors)
    empty = (torch.empty(t.shape, dtype=kind, device="meta") for t, kind in zip(tensors, kinds, strict=True))
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        native(*empty, reduction="none")
        if tensors[0].is_complex() or len({t.dtype for t in tensors}) > 1 or not tensors[0].is_floating_point():
            # What has no numbers may have any dtype.
            native(*(torch.ones((1,) * t.dim(), dtype=t.dtype) for t in tensors), reduction=reduction)


def _as_number(value: _Number, like: Tensor) -> Tensor:
    """A hyperparameter as a 0-d tensor: a float and a tensor go the same way."""
    return torch.as_tensor(value, dtype=like.dtype, device=like.device)


def _expm1(t: Tensor) -> Tensor:
    """e^t - 1, whose derivative PyTorch takes from its value, where the derivative vanishes beside 1."""
    far = t < -1
    return torch.where(far, torch.where(far, t, 0.0).exp() - 1, torch.expm1(torch.where(far, 0.0, t)))


def _reduce(
    name: str,
    elementwise: Callable[..., Tensor],
    tensors: tuple[Tensor, ...],
    reduction: str,
    *,
    weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: _Number | None = None,
    empty: str = "nan",
    reduce_dims: int | tuple[int, ...] | None = None,
    loss_dtype: torch.dtype | None = None,
    return_stats: bool = False,
    weight_mean: bool = False,
    pairs: bool = False,
    dtype: torch.dtype | None = None,
    autocasts: bool = True,
    **unknown: Any,
) -> Any:
    r"""Weighs, masks and reduces the values of ``elementwise(*tensors)``.

    With ``pairs`` tensors of the first one's shape hold vectors in their last dimension, which give one value a row.
    A masked element is zero with zero gradient whatever it holds. ``"mean"`` divides by ``normalizer``; else by the sum
    of the kept weights (``weight_mean`` and a weight is given) or by the number of kept elements. The loss has the
    common dtype of tensors and weight, or that of PyTorch's function, ``dtype``; float32 if that is half and autocast
    is on, unless PyTorch does not cast for this loss (``autocasts``).
    """
    _options.refuse_unknown(name, unknown, _options.names(_options.WeightedPointOptions))
    code = _options.reduction_code(reduction)
    _options.check(name, _ops.REDUCTION_NAMES[code], normalizer, empty, loss_dtype)
    _refuse_as_torch(name, tensors, weight, _ops.REDUCTION_NAMES[code])
    if reduce_dims is not None and code == 0:
        raise ValueError(f"fastloss.{name}: reduce_dims needs reduction='mean' or 'sum', got {reduction!r}")
    vectors = tensors[0].shape if pairs else None
    if not pairs:
        tensors = torch.broadcast_tensors(*tensors)
    shape = tensors[0].shape[:-1] if pairs else tensors[0].shape
    compute = tensors[0].dtype
    for t in (*tensors[1:], *(() if weight is None else (weight,))):
        if pairs and t.shape != vectors:
            continue  # a label or a weight per row
        compute = torch.promote_types(compute, t.dtype)
    dtype = dtype or compute
    device = tensors[0].device.type
    if weight_mean and weight is not None and device == "cpu":
        autocasts = False  # PyTorch multiplies and adds, which its autocast leaves alone; on CUDA it adds in float32
    if autocasts and dtype.itemsize < 4 and _ops.autocasts(device):
        loss_dtype = loss_dtype or torch.float32
    compute = torch.promote_types(compute, torch.float32)
    kept = None
    if mask is not None:
        if mask.dtype != torch.bool:
            raise RuntimeError(f"fastloss.{name}: mask is {mask.dtype}, expected torch.bool; convert it with .bool()")
        kept = mask.expand(shape)
        weight = None if weight is None else torch.where(kept, weight, 0)
    dims = None if reduce_dims is None else (reduce_dims,) if isinstance(reduce_dims, int) else tuple(reduce_dims)

    def values(*tensors: Tensor) -> Tensor:
        made = [t.to(compute) for t in tensors]
        if kept is not None:
            # A value in every loss's domain; its result is dropped.
            made = [torch.where(kept.unsqueeze(-1) if t.shape == vectors else kept, t, 0.5) for t in made]
        loss = elementwise(*made)
        if weight is not None:
            loss = loss * weight.to(compute)
        return loss if kept is None else torch.where(kept, loss, 0.0)

    def total(t: Tensor) -> Tensor:
        return t.sum() if dims is None else t.sum(dims)

    def reduced(loss: Tensor) -> Tensor:
        if code == 0:
            return loss
        if code == 2:
            return total(loss)
        if normalizer is not None:
            return total(loss) / (normalizer.reshape(()) if isinstance(normalizer, Tensor) else normalizer)
        ones = loss.new_ones(()).expand(shape) if kept is None else kept.to(compute)
        divisor = total(ones * weight.to(compute)) if weight is not None and weight_mean else total(ones)
        mean = total(loss) / divisor
        return torch.where(divisor == 0, 0.0, mean) if empty == "zero" else mean

    loss = reduced(values(*tensors))
    result = loss.to(loss_dtype or dtype)
    if not return_stats:
        return result
    with torch.no_grad():
        first, *rest = (t.detach() for t in tensors)
        grad = torch.func.grad(lambda x: reduced(values(x, *rest)).sum())(first)
        norm = torch.linalg.vector_norm(grad, dtype=torch.float64)
        count = torch.tensor(shape.numel()) if kept is None else kept.sum()
        return result, PointStats(norm, loss.isfinite().all() & grad.isfinite().all(), count)


@takes_tensors
def huber_loss(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    delta: _Number = 1.0,
    weight: Tensor | None = None,
    **options: Any,
) -> Any:
    r""":math:`\tfrac12 d^2` where :math:`|d| \le \delta`, else :math:`\delta (|d| - \tfrac12 \delta)`, d = x - y."""
    if _is_plain(options, delta):
        return F.huber_loss(input, target, reduction, delta, weight)  # type: ignore[arg-type, call-arg]
    _options.check_domain("huber_loss", delta=delta)

    def f(x: Tensor, y: Tensor) -> Tensor:
        a = (x - y).abs()
        c = torch.where(a > delta, delta, a)  # no square of a, which may overflow where the loss does not
        return c * (a - 0.5 * c)

    dtype = input.dtype if weight is None else None  # PyTorch's
    return _reduce("huber_loss", f, (input, target), reduction, weight=weight, dtype=dtype, **options)


@takes_tensors
def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: _Number = 1.0,
    **options: Any,
) -> Any:
    r""":math:`d^2 / 2\beta` where :math:`|d| < \beta`, else :math:`|d| - \beta / 2`, d = x - y."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    if _is_plain(options, beta) and (beta < 0 or 1e-12 < beta < 1e12):  # elsewhere its square overflows or vanishes
        return F.smooth_l1_loss(input, target, reduction=reduction, beta=beta)  # type: ignore[arg-type]
    _options.check_domain("smooth_l1_loss", beta=beta)

    def f(x: Tensor, y: Tensor) -> Tensor:
        a = (x - y).abs()
        level = _as_number(beta, a)
        near = ~(a >= level)  # NaN too
        # Neither branch divides where it is not taken; 0 / beta is one of its values.
        inside = torch.where(near, a, 0.0)
        return torch.where(near, 0.5 * inside * (inside / torch.where(level == 0, 1.0, level)), a - 0.5 * level)

    return _reduce("smooth_l1_loss", f, (input, target), reduction, **options)


@takes_tensors
def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
    **options: Any,
) -> Any:
    r""":math:`(x - y)^2`."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    if _is_plain(options):
        return F.mse_loss(input, target, reduction=reduction, weight=weight)  # type: ignore[call-arg]

    def f(x: Tensor, y: Tensor) -> Tensor:
        return F.mse_loss(x, y, reduction="none")

    return _reduce("mse_loss", f, (input, target), reduction, weight=weight, weight_mean=True, **options)


@takes_tensors
def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
    **options: Any,
) -> Any:
    r""":math:`|x - y|`."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    if _is_plain(options):
        return F.l1_loss(input, target, reduction=reduction, weight=weight)  # type: ignore[call-arg]

    def f(x: Tensor, y: Tensor) -> Tensor:
        return F.l1_loss(x, y, reduction="none")

    return _reduce("l1_loss", f, (input, target), reduction, weight=weight, weight_mean=True, **options)


@takes_tensors
def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
    **options: Any,
) -> Any:
    r""":math:`-w\, y \log\sigma(x) - (1 - y) \log(1 - \sigma(x))`, w = ``pos_weight``."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    if _is_plain(options):
        return F.binary_cross_entropy_with_logits(input, target, weight, reduction=reduction, pos_weight=pos_weight)
    if not target.is_floating_point():
        return F.binary_cross_entropy_with_logits(input, target)  # PyTorch's error

    def f(x: Tensor, y: Tensor, w: Tensor | None = None) -> Tensor:
        return F.binary_cross_entropy_with_logits(x, y, reduction="none", pos_weight=w)

    tensors = (input, target) if pos_weight is None else (input, target, pos_weight)
    name = "binary_cross_entropy_with_logits"
    return _reduce(name, f, tensors, reduction, weight=weight, dtype=target.dtype, **options)


def focal_call(
    inputs: Tensor,
    targets: Tensor,
    alpha: _Number,
    ignore_index: int | None,
    label_smoothing: float,
    options: dict[str, Any],
) -> tuple[Tensor, _Number, dict[str, Any]]:
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


@takes_tensors
def sigmoid_focal_loss(
    inputs: Tensor,
    targets: Tensor,
    alpha: _Number = 0.25,
    gamma: _Number = 2.0,
    reduction: str = "none",
    *,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    **options: Any,
) -> Any:
    r""":math:`\alpha_t (1 - p_t)^\gamma\, \mathrm{BCE}`, :math:`p_t = p y + (1 - p)(1 - y)`, as torchvision defines it.

    1 - p_t is formed as :math:`\sigma(x)(1 - y) + \sigma(-x) y`, which does not cancel, and its power from its
    logarithm, whose derivative stays finite; both in float64, which holds them for every x up to 700. What the further
    arguments mean stands in `focal_call`.
    """
    _options.check_domain("sigmoid_focal_loss", gamma=gamma, **_options.unless_per_class(alpha))
    targets, alpha, options = focal_call(inputs, targets, alpha, ignore_index, label_smoothing, options)

    def f(x: Tensor, y: Tensor) -> Tensor:
        dtype, x, y = x.dtype, x.double(), y.double()
        ce = -(y * F.logsigmoid(x) + (1 - y) * F.logsigmoid(-x))
        u = torch.sigmoid(x) * (1 - y) + torch.sigmoid(-x) * y
        loss = torch.exp(gamma * u.clamp_min(1e-300).log()) * ce
        a = _as_number(alpha, loss)
        loss = torch.where(a < 0, 1.0, a * y + (1 - a) * (1 - y)) * loss
        return loss.to(dtype)

    return _reduce("sigmoid_focal_loss", f, (inputs, targets), reduction, **options)


@takes_tensors
def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    **options: Any,
) -> Any:
    r""":math:`-y \log x - (1 - y) \log(1 - x)`, logarithms clamped at -100."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    if _is_plain(options):
        return F.binary_cross_entropy(input, target, weight, reduction=reduction)

    def f(x: Tensor, y: Tensor) -> Tensor:
        return F.binary_cross_entropy(x, y, reduction="none")

    name = "binary_cross_entropy"
    return _reduce(name, f, (input, target), reduction, weight=weight, dtype=input.dtype, **options)


@takes_tensors
def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    **options: Any,
) -> Any:
    r""":math:`\log(1 + e^{-y x})`."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    if _is_plain(options):
        return F.soft_margin_loss(input, target, reduction=reduction)

    def f(x: Tensor, y: Tensor) -> Tensor:
        return F.soft_margin_loss(x, y, reduction="none")

    return _reduce("soft_margin_loss", f, (input, target), reduction, dtype=input.dtype, **options)


@takes_tensors
def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: _Number = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    **options: Any,
) -> Any:
    r"""x where y = 1, :math:`\max(0, m - x)` where y = -1, both added elsewhere."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    if _is_plain(options, margin):
        return F.hinge_embedding_loss(input, target, margin, reduction=reduction)  # type: ignore[arg-type]

    def f(x: Tensor, y: Tensor) -> Tensor:
        return torch.where(y != 1, (margin - x).clamp_min(0), 0.0) + torch.where(y != -1, x, 0.0)

    return _reduce("hinge_embedding_loss", f, (input, target), reduction, dtype=input.dtype, **options)


@takes_tensors
def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: _Number = 0.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    **options: Any,
) -> Any:
    r""":math:`\max(0, m - y (x_1 - x_2))`."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    if _is_plain(options, margin):
        return F.margin_ranking_loss(input1, input2, target, margin, reduction=reduction)  # type: ignore[arg-type]

    def f(a: Tensor, b: Tensor, y: Tensor) -> Tensor:
        return (margin - y * (a - b)).clamp_min(0)

    return _reduce("margin_ranking_loss", f, (input1, input2, target), reduction, **options)


@takes_tensors
def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: _Number = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
    **options: Any,
) -> Any:
    r""":math:`e^x - y x` or :math:`x - y \log(x + \epsilon)`, plus Stirling's term where y > 1 if ``full``."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    if _is_plain(options, eps):
        return F.poisson_nll_loss(input, target, log_input, full, eps=eps, reduction=reduction)  # type: ignore[arg-type]

    def f(x: Tensor, y: Tensor) -> Tensor:
        loss = x.exp() - y * x if log_input else x - y * (x + eps).log()
        if full:
            big = torch.where(y <= 1, 2.0, y)
            stirling = big * big.log() - big + 0.5 * (2 * math.pi * big).log()
            loss = loss + torch.where(y <= 1, 0.0, stirling)
        return loss

    return _reduce("poisson_nll_loss", f, (input, target), reduction, **options)


def variance_like(input: Tensor, var: Tensor) -> Tensor | None:
    """Variances as they broadcast to ``input``; None if PyTorch refuses their size."""
    differing = [b for a, b in zip(input.shape, var.shape, strict=False) if a != b]
    if var.dim() == input.dim() and sum(differing) == len(differing) <= 1:
        return var
    return var.unsqueeze(-1) if input.shape[:-1] == var.shape else None


def _any_negative(values: Tensor, mask: Tensor | None) -> bool:
    """Whether a value that counts is known to be below 0."""
    below = values < 0
    if mask is not None and mask.dtype == torch.bool:
        below = below & mask
    return bool(_options.known(below.any()))


@takes_tensors
def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: _Number,
    full: bool = False,
    eps: _Number = 1e-6,
    reduction: str = "mean",
    **options: Any,
) -> Any:
    r""":math:`\tfrac12 (\log v + (x - y)^2 / v)`, :math:`v = \max(\mathrm{var}, \epsilon)` (unseen by the gradient)."""
    if _is_plain(options, eps):
        return F.gaussian_nll_loss(input, target, var, full, eps, reduction)  # type: ignore[arg-type]
    made = variance_like(input, var) if isinstance(var, Tensor) else _as_number(var, input)
    if made is None or _any_negative(made, options.get("mask")):
        return F.gaussian_nll_loss(input, target, var)  # PyTorch's error

    def f(x: Tensor, y: Tensor, v: Tensor) -> Tensor:
        v = v + (v.clamp_min(eps) - v).detach()
        return 0.5 * (v.log() + (x - y) ** 2 / v) + (0.5 * math.log(2 * math.pi) if full else 0.0)

    return _reduce("gaussian_nll_loss", f, (input, target, made), reduction, autocasts=False, **options)


@takes_tensors
def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
    **options: Any,
) -> Any:
    r""":math:`y (\log y - x)`, or :math:`e^y (y - x)` for log-probabilities y."""
    if _is_plain(options):
        return F.kl_div(input, target, size_average, reduce, reduction, log_target)
    reduction = legacy_reduction(size_average, reduce, reduction)

    def f(x: Tensor, y: Tensor) -> Tensor:
        return torch.kl_div(x, y, 0, log_target=log_target)

    loss = _reduce("kl_div", f, (input, target), "sum" if reduction == "batchmean" else reduction, **options)
    return loss / input.shape[0] if reduction == "batchmean" and input.dim() else loss


@takes_tensors
def hinge_loss(
    input: Tensor, target: Tensor, margin: _Number = 1.0, p: int = 1, reduction: str = "mean", **options: Any
) -> Any:
    r""":math:`\max(0, m - y x)^p`."""
    _options.check_domain("hinge_loss", margin=margin, p=p)

    def f(x: Tensor, y: Tensor) -> Tensor:
        return (_as_number(margin, x) - y * x).clamp_min(0) ** p

    return _reduce("hinge_loss", f, (input, target), reduction, **options)


@takes_tensors
def log_cosh_loss(input: Tensor, target: Tensor, reduction: str = "mean", **options: Any) -> Any:
    r""":math:`\log \cosh(x - y)`, from :math:`\log(1 + 2 \sinh^2(d/2))` near zero."""

    def f(x: Tensor, y: Tensor) -> Tensor:
        a = (x - y).abs()
        near = torch.where(a < 1, x - y, 0.5)
        far = a + F.softplus(-2 * a) - math.log(2.0)
        return torch.where(a < 1, torch.log1p(2 * torch.sinh(near / 2) ** 2), far)

    return _reduce("log_cosh_loss", f, (input, target), reduction, **options)


@takes_tensors
def quantile_loss(input: Tensor, target: Tensor, q: _Number = 0.5, reduction: str = "mean", **options: Any) -> Any:
    r""":math:`q\, r` where :math:`r = y - x` is positive, else :math:`(q - 1)\, r`."""
    _options.check_domain("quantile_loss", q=q)

    def f(x: Tensor, y: Tensor) -> Tensor:
        r = y - x
        level = torch.as_tensor(q, dtype=r.dtype, device=r.device)
        return torch.where(r > 0, level, 1 - level) * r.abs()

    return _reduce("quantile_loss", f, (input, target), reduction, **options)


@takes_tensors
def charbonnier_loss(
    input: Tensor, target: Tensor, eps: _Number = 1e-3, reduction: str = "mean", **options: Any
) -> Any:
    r""":math:`\sqrt{(x - y)^2 + \epsilon^2}`, from the larger of the two, so that no square overflows or vanishes."""
    _options.check_domain("charbonnier_loss", eps=eps)

    def f(x: Tensor, y: Tensor) -> Tensor:
        d = x - y
        a = d.abs()
        width = _as_number(eps, a)
        swap = a < width
        large, small = torch.where(swap, width, a), torch.where(swap, d, width)
        none = large == 0
        lift = torch.where(large < 1e-20, 2.0**100, 1.0)  # subnormal numbers have no reciprocal
        ratio = torch.where(large.isinf(), 0.0, small * lift / torch.where(none, 1.0, large * lift))
        # An eps that is nothing beside d: an upstream gradient times d might overflow on its way to eps.
        ratio = torch.where(~swap & (ratio.detach().abs() < 1e-30), 0.0, ratio)
        return torch.where(none, 0.0 * a, large * (1 + ratio * ratio).sqrt())

    return _reduce("charbonnier_loss", f, (input, target), reduction, **options)


@takes_tensors
def robust_loss(
    input: Tensor,
    target: Tensor,
    alpha: _Number = 1.0,
    scale: _Number = 1.0,
    reduction: str = "mean",
    **options: Any,
) -> Any:
    r""":math:`\tfrac{b}{\alpha} (w^{\alpha/2} - 1)`, :math:`b = |\alpha - 2|`, :math:`w = 1 + r^2 / b`, r = (x-y)/c.

    Written as :math:`\tfrac b2 L\, \varphi(\alpha L / 2)` with L = log w and :math:`\varphi(t) = (e^t - 1) / t`, which
    is smooth in alpha where it is 0. The limits at 2 and at minus infinity are taken there. Where the square of r
    might overflow, 1 is nothing beside it and L = 2 log |r| - log b. Where t is large the derivative of that product
    cancels, and the power is taken.
    """
    _options.check_domain("robust_loss", alpha=alpha, scale=scale)

    def f(x: Tensor, y: Tensor) -> Tensor:
        r = (x - y) / scale
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
        power = _expm1(torch.where(near, 0.0, t)) / torch.where(near, 1.0, inner)
        return torch.where(
            limit,
            torch.where(a == 2, 0.5 * square, torch.where(far, 1.0, -_expm1(-0.5 * z))),
            b * torch.where(near, 0.5 * log_w * shape, power),
        )

    return _reduce("robust_loss", f, (input, target), reduction, **options)


@takes_tensors
def asymmetric_loss(
    input: Tensor,
    target: Tensor,
    gamma_neg: _Number = 4.0,
    gamma_pos: _Number = 1.0,
    clip: _Number = 0.05,
    reduction: str = "mean",
    **options: Any,
) -> Any:
    r""":math:`-y\, n^{\gamma_+} \log p - (1 - y)\, m^{\gamma_-} \log(1 - m)`, p = 1 - n = sigmoid(x).

    m = max(0, p - clip). In float64, which holds p and n for every x up to 700; 1 - m = min(1, n + clip).
    """
    _options.check_domain("asymmetric_loss", gamma_neg=gamma_neg, gamma_pos=gamma_pos, clip=clip)

    def f(x: Tensor, y: Tensor) -> Tensor:
        dtype, x, y = x.dtype, x.double(), y.double()
        p, n, cut = torch.sigmoid(x), torch.sigmoid(-x), _as_number(clip, x)
        m = (p - cut).clamp_min(0)
        near = -torch.exp(gamma_pos * n.clamp_min(1e-300).log()) * F.logsigmoid(x)
        log_rest = torch.where(m < 0.5, torch.log1p(-m.clamp_max(0.5)), (n + cut).clamp_min(1e-300).log())
        log_rest = torch.where(cut == 0, F.logsigmoid(-x), log_rest)
        far = -torch.exp(gamma_neg * m.clamp_min(1e-300).log()) * log_rest
        return (y * near + (1 - y) * far).to(dtype)

    return _reduce("asymmetric_loss", f, (input, target), reduction, **options)
