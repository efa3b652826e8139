"""Losses of one element at a time: input and target give a value, values are weighed, masked and reduced."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import _reduction as _Reduction

from fastloss import _ops, _options, reference
from fastloss._autograd import PointwiseCall, makes_gradient_now, pointwise
from fastloss._explain import Path, log, path_of, planned_by
from fastloss._options import PointOptions, WeightedPointOptions
from fastloss._stats import PointStats
from fastloss.functional.rows import (
    _KERNEL_DTYPES,
    _REDUCTIONS,
    _TENSORS,
    _TORCH_ERRORS,
    _WHY_NATIVE,
    _is_compiling,
    _is_dynamo_compiling,
    _is_plain,
    _loss_dtype,
    _scalar,
    _transforms_active,
)
from fastloss.reference.pointwise import focal_call

if TYPE_CHECKING:
    from typing_extensions import Unpack

# Whether tiny inputs may go to PyTorch's own operators (`Spec.tiny`); tests of the kernels say no.
NATIVE_WHEN_TINY = True

_NUMBERS = frozenset((float, int, bool))
_MAX_DIMS = 8


_OPTIONS = _options.names(WeightedPointOptions)

_SHARED = """
    Keyword-only options, shared by every pointwise loss:
        weight: Factor of each element, broadcastable to the common shape. Not differentiated by the kernel.
        mask: Bool, broadcastable to the common shape; elements where it is False count as if they were not there:
            value and gradient are exactly zero whatever they hold.
        normalizer: Replaces the mean's divisor (number of positives, of tokens in a whole batch, ...).
        empty: Value of a mean over nothing (all masked): ``"nan"`` or ``"zero"``. The gradient is zero either way.
        reduce_dims: Reduce over these dimensions only (one value per sample); needs ``"mean"`` or ``"sum"``.
        loss_dtype: dtype of the loss. Default: the arguments'; float32 for half arguments under autocast.
        return_stats: Return ``(loss, PointStats)``, measured in the same pass.

    Shapes: any, any strides; the loss has the common shape for ``"none"``, else ``()``.
    Dtypes: float16, bfloat16, float32, float64, all arguments alike; others go to plain PyTorch.
    Raises: What PyTorch raises, with the shapes and dtypes in question; ValueError for bad options.
    Gradient: with respect to every tensor that PyTorch differentiates; differentiable again (through the reference).
    Memory: one gradient buffer per differentiated tensor, written during forward; for ``"none"``, float16 and
        ``torch.compile`` in backward.
    Accuracy: half and single precision compute in float32, blocks of 512 are summed in float32 and these in float64.
        The result does not depend on the number of threads.
"""


@dataclass(frozen=True, eq=False)  # one object for each loss: `_accepted_call` finds it by identity
class Spec:
    """What sets one pointwise loss apart from the others.

    Attributes:
        name: Of the functions here and in `fastloss.reference`.
        operator: Name of the operator, if it is another.
        tensors: Names of its tensor arguments, in the functor's order.
        params: Names of its hyperparameters, in the functor's order.
        words: Of hyperparameters that are one of several words: these. The functor is told the word's number.
        fixed: Those tensors in which PyTorch does not differentiate.
        weight_mean: Whether a mean divides by the sum of ``weight`` rather than by the number of elements.
        same_size: Whether the tensors must have one shape, as opposed to being broadcast.
        warns: Whether a broadcast target is worth a warning, as in PyTorch.
        pairs: Whether it is of the pairs family: a value per row of vectors, of one size, and per weight and mask.
        label: Name of the tensor with one label per row, the last one, if there is one.
        tiny: Up to this many elements PyTorch's own operator is faster: its C++ autograd costs some 15 us less than a
            Python autograd.Function. Measured on 2 cores, float32 (`python -m fastloss.bench --suite pointwise`).
        accepts: Which values of the hyperparameters the kernel takes; PyTorch decides about others.
        adapt: Turns options and arguments into arguments and options of a call without the loss's own further options.
    """

    name: str
    operator: str = ""
    tensors: tuple[str, ...] = ("input", "target")
    params: tuple[str, ...] = ()
    words: dict[str, tuple[str, ...]] = field(default_factory=dict)
    fixed: tuple[str, ...] = ()
    weight_mean: bool = False
    same_size: bool = False
    warns: bool = False
    pairs: bool = False
    label: str = ""
    tiny: int = 0
    accepts: Callable[..., bool] = lambda *params: True
    adapt: Callable[..., tuple[dict[str, Any], dict[str, Any]]] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "operator", self.operator or self.name)

    def number(self, name: str, value: Any) -> Any:
        """A hyperparameter as the functor takes it; as it is if it is not one of its words."""
        words = self.words.get(name, ())
        return words.index(value) if value in words else value


def _shared_options(spec: Spec) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Completes the docstring of a loss and makes `fastloss.explain` know it."""

    def complete(function: Callable[..., Any]) -> Callable[..., Any]:
        function.__doc__ = (function.__doc__ or "").rstrip() + "\n" + _SHARED
        signature = inspect.signature(function)

        def plan(*args: Any, **kwargs: Any) -> tuple[Path, str]:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            arguments = dict(bound.arguments)
            options, reduction = arguments.pop("options", {}), arguments.pop("reduction")
            if spec.adapt:
                arguments, options = spec.adapt(options, **arguments)
            first, second = (arguments[name] for name in spec.tensors[:2])
            more = any(isinstance(value, Tensor) and name not in spec.tensors for name, value in arguments.items())
            if not options and not more and _goes_native(spec, first, second, reduction):
                return "native", _WHY_NATIVE
            reason, *_ = _prepare(spec, arguments, options)
            return path_of(reason)

        return planned_by(plan)(function)

    return complete


def _goes_native(spec: Spec, input: Any, target: Any, reduction: Any) -> bool:
    """Whether PyTorch's C++ operator takes this call, which has no options, faster than anything else could.

    Not on CUDA: a bad probability kills the context there, and where the kernels overtake is not yet measured.
    """
    return (
        not _is_dynamo_compiling()  # before any question about sizes, which would become guards
        and type(input) in _TENSORS
        and type(target) in _TENSORS
        and input.numel() <= spec.tiny
        and NATIVE_WHEN_TINY
        and input.shape == target.shape
        and reduction in _REDUCTIONS
        and not input.is_cuda
    )


def _legacy(size_average: bool | None, reduce: bool | None, reduction: str) -> str:
    if size_average is not None or reduce is not None:
        return _Reduction.legacy_get_string(size_average, reduce)
    return reduction


def _prepare(
    spec: Spec, arguments: dict[str, Any], options: dict[str, Any]
) -> tuple[str, tuple[Tensor, ...], tuple[float, ...], Tensor | None, Tensor | None]:
    """Why the kernel does not take this call (empty when it does); its tensors, parameters, weight and mask."""
    tensors = tuple(arguments[name] for name in spec.tensors)
    params = tuple(_scalar(spec.number(name, arguments[name])) for name in spec.params)
    weight, mask = arguments.get("weight", options.get("weight")), options.get("mask")

    def no(reason: str) -> tuple[str, tuple[Tensor, ...], tuple[float, ...], None, None]:
        return reason, (), (), None, None

    if not _ops.AVAILABLE:
        return no(_ops.missing_reason())
    if _transforms_active():
        return no("a torch.func transform is active")
    if forward_ad._current_level >= 0:
        return no("forward-mode AD is active")
    given = [*tensors, *(t for t in (weight, mask) if t is not None)]
    if not all(isinstance(t, Tensor) for t in given):
        return no("an argument is not a tensor")
    if not all(_is_plain(t) for t in given):
        return no("an argument is a Tensor subclass")
    input = tensors[0]
    device, dtype, shape = input.device, input.dtype, input.shape
    if device.type == "cuda" and not _ops.CUDA:
        return no(f"there are no CUDA kernels: {_ops.missing_cuda_reason()}")
    if device.type not in ("cpu", "cuda", "meta"):
        return no(f"there is no {device.type} kernel")
    if any(t.device != device for t in given):
        return no("the arguments are on different devices")
    label = arguments[spec.label] if spec.label else None
    if dtype not in _KERNEL_DTYPES or any(t.dtype != dtype for t in given if t is not mask and t is not label):
        return no("the arguments' dtypes differ or have no kernel")
    if any(t.layout != torch.strided for t in given):
        return no("the layout is not strided")
    if not _is_compiling() and any(t.is_neg() for t in given):
        return no("an argument is a lazily negated view")
    if any(t.requires_grad for name, t in zip(spec.tensors, tensors, strict=True) if name in spec.fixed):
        return no("PyTorch decides about a gradient to this argument")
    if weight is not None and weight.requires_grad:
        return no("the weight needs a gradient")
    if None in params or not spec.accepts(*params):
        return no("PyTorch decides this hyperparameter, or it is a tensor that needs a gradient")
    normalizer = options.get("normalizer")
    if isinstance(normalizer, Tensor) and (
        normalizer.dim() != 0 or normalizer.requires_grad or normalizer.device != device
    ):
        return no("the normalizer is not a plain scalar on the same device")
    if spec.pairs:
        if not shape or any(t.shape != shape for t in tensors if t is not label):
            return no("PyTorch decides about different sizes")
        tensors = tuple(t if t is label or t.is_contiguous() or _lies_in_rows(t) else t.contiguous() for t in tensors)
        empty, shape = 0 in shape, shape[:-1]
        if empty or (label is not None and (label.shape != shape or label.is_complex())):
            return no("PyTorch decides about empty arguments and other labels")
    elif any(t.shape != shape for t in tensors):
        if spec.same_size and tensors[1].shape != shape:
            return no("PyTorch decides about different sizes")
        try:
            shape = torch.broadcast_shapes(*(t.shape for t in tensors))
        except RuntimeError:
            return no("the sizes do not broadcast")
        if spec.same_size and shape != input.shape:
            return no("PyTorch decides about different sizes")
        tensors = tuple(t.expand(shape) for t in tensors)
    if 0 in shape or len(shape) > _MAX_DIMS:  # `Size.numel` would make symbolic sizes constants
        return no("the arguments are empty or have many dimensions")
    if mask is not None and mask.dtype != torch.bool:
        return no("the reference checks this mask")
    expanded: list[Tensor | None] = []
    for extra in (weight, mask):
        if extra is not None and extra.shape != shape:
            if "weight" in arguments and extra is weight and spec.warns:
                return no("PyTorch decides this weight's size")
            try:
                extra = extra.expand(shape)
            except RuntimeError:
                return no("weight or mask does not broadcast")
        expanded.append(extra)
    if options.get("return_stats") and options.get("reduce_dims") is not None:
        return no("a gradient that is divided group by group has no norm in the kernel")
    return "", tensors, params, expanded[0], expanded[1]  # type: ignore[return-value]


def _lies_in_rows(t: Tensor) -> bool:
    return t.dim() == 2 and t.stride(1) == 1


def _loss(spec: Spec, arguments: dict[str, Any], reduction: str, options: Any) -> Any:
    """Runs the kernel of a loss, or its reference where that is due.

    ``arguments`` are the call's by name, without ``reduction`` and ``options``.
    """
    if not options:
        plain = _plain_call(spec, arguments, reduction)
        if plain is not None:
            try:
                return pointwise(*plain)
            except _TORCH_ERRORS:
                pass  # the general way says what is wrong, or does it differently
    else:
        _options.refuse_unknown(spec.name, options, _OPTIONS)
    reason, tensors, params, weight, mask = _prepare(spec, arguments, options)
    if not reason and reduction not in _REDUCTIONS:
        reason = "PyTorch decides this reduction"
    if _ops.LOG:
        log(spec.name, *path_of(reason))
    try:
        if reason:
            return getattr(reference, spec.name)(**arguments, reduction=reduction, **options)
        if spec.warns and not _is_compiling() and arguments["target"].shape != arguments["input"].shape:
            _warn_sizes(arguments["input"], arguments["target"])
        result = _kernel(spec, tensors, params, weight, mask, reduction, options)
        if tensors[0].is_cuda and _ops.debugging():
            _check_domain(spec, result, arguments, reduction, options)
        return result
    except Exception as error:
        return _explain_error(spec, error, arguments, reduction, options)


def _plain_call(
    spec: Spec, arguments: dict[str, Any], reduction: str
) -> tuple[PointwiseCall, tuple[Tensor, ...]] | None:
    """What to call the kernel with if it takes these arguments as they stand, as it does most; None asks `_prepare`.

    The time of a small loss is Python's, and cold in a training step. So this looks at as little as it can, and leaves
    it to the operator to refuse other sizes and layouts. (A meta tensor among others it would not refuse.)
    """
    if (
        reduction not in _REDUCTIONS
        or arguments.get("weight") is not None
        or spec.pairs
        or _ops.LOG
        or not _ops.AVAILABLE
        or _transforms_active()
        or forward_ad._current_level >= 0
        or _is_compiling()
    ):
        return None
    tensors = tuple(map(arguments.__getitem__, spec.tensors))
    params = tuple(map(arguments.__getitem__, spec.params))
    if not (_TENSORS.issuperset(map(type, tensors)) and _NUMBERS.issuperset(map(type, params))):
        return None
    input = tensors[0]
    count, dtype = input.numel(), input.dtype
    if count == 0 or dtype not in _KERNEL_DTYPES:
        return None
    on_cpu = input.is_cpu
    if not on_cpu and (not input.is_cuda or not _ops.CUDA or _ops.debugging()):
        return None
    for t in tensors[1:]:
        if t.dtype is not dtype or t.numel() != count or not (t.is_cpu if on_cpu else t.device == input.device):
            return None
    for name in spec.fixed:
        if arguments[name].requires_grad:
            return None
    call = _accepted_call(spec, params, _REDUCTIONS[reduction], dtype, _loss_dtype(input))
    return None if call is None else (call, tensors)


@lru_cache(maxsize=256)
def _accepted_call(
    spec: Spec, params: tuple[float, ...], code: int, dtype: torch.dtype, loss_dtype: torch.dtype
) -> PointwiseCall | None:
    return _call(spec, params, code, dtype, loss_dtype) if spec.accepts(*params) else None


def _call(
    spec: Spec,
    params: tuple[float, ...],
    code: int,
    dtype: torch.dtype,
    loss_dtype: torch.dtype,
    empty_zero: bool = False,
    want_stats: bool = False,
) -> PointwiseCall:
    options = (params, code, empty_zero, _ops.DTYPE_CODES[loss_dtype], want_stats)
    now = makes_gradient_now(code, dtype)
    return PointwiseCall(spec.name, _ops.POINTWISE[spec.operator], options, now, spec.tensors, spec.params, spec.words)


def _kernel(
    spec: Spec,
    tensors: tuple[Tensor, ...],
    params: tuple[float, ...],
    weight: Tensor | None,
    mask: Tensor | None,
    reduction: str,
    options: dict[str, Any],
) -> Any:
    """Turns the shared options into what the operators take."""
    input, code = tensors[0], _REDUCTIONS[reduction]
    dims, want_stats = options.get("reduce_dims"), options.get("return_stats", False)
    normalizer, empty = options.get("normalizer"), options.get("empty", "nan")
    _options.check(spec.name, reduction, normalizer, empty, options.get("loss_dtype"))
    if dims is not None and reduction == "none":
        raise ValueError(f"fastloss.{spec.name}: reduce_dims needs reduction='mean' or 'sum', got {reduction!r}")
    kernel_code = 0 if dims is not None else code
    divisor = None
    if kernel_code == 1:
        if normalizer is not None:
            if isinstance(normalizer, Tensor):
                divisor = normalizer.to(torch.float64)
            else:  # made on the device: copying it there could not be captured in a graph
                divisor = torch.full((), normalizer, dtype=torch.float64, device=input.device)
        elif weight is not None and spec.weight_mean:
            divisor = (weight if mask is None else torch.where(mask, weight, 0)).sum(dtype=torch.float64)
        elif mask is not None:
            divisor = mask.sum(dtype=torch.float64)
    loss_dtype = options.get("loss_dtype") or _loss_dtype(input)
    call = _call(spec, params, kernel_code, input.dtype, loss_dtype, empty == "zero", want_stats)
    result = pointwise(call, tensors, weight, mask, divisor)
    loss, measured = result if want_stats else (result, None)
    if dims is not None:
        loss = _reduce_dims(spec, loss, weight, mask, code, dims, normalizer, empty)
    if measured is None:
        return loss
    number = input.numel() // (input.shape[-1] if spec.pairs else 1)
    count = mask.sum() if mask is not None else torch.full((), number, device=input.device)
    finite = measured.isfinite().all() & loss.detach().isfinite().all()
    return loss, PointStats(measured[1].sqrt(), finite, count)


def _reduce_dims(
    spec: Spec,
    loss: Tensor,
    weight: Tensor | None,
    mask: Tensor | None,
    code: int,
    dims: int | tuple[int, ...],
    normalizer: float | Tensor | None,
    empty: str,
) -> Tensor:
    if code == 1 and mask is None and normalizer is None and not (weight is not None and spec.weight_mean):
        return loss.mean(dims)
    total = loss.sum(dims)
    if code == 2:
        return total
    if normalizer is not None:
        return (total / normalizer).to(loss.dtype)
    counted = weight if weight is not None and spec.weight_mean else loss.new_ones(()).expand(loss.shape)
    kept = counted if mask is None else torch.where(mask, counted, 0)
    divisor = kept.sum(dims, dtype=_ops.compute_dtype(loss.dtype))
    mean = (total / divisor).to(loss.dtype)
    return torch.where(divisor == 0, 0.0, mean) if empty == "zero" else mean


def _warn_sizes(input: Tensor, target: Tensor) -> None:
    warnings.warn(
        f"Using a target size ({target.size()}) that is different to the input size ({input.size()}). "
        "This will likely lead to incorrect results due to broadcasting. Please ensure they have the same size.",
        stacklevel=4,
    )


def _check_domain(spec: Spec, result: Any, arguments: dict[str, Any], reduction: str, options: Any) -> None:
    """Raises what the CPU raises for an element outside the loss's domain, of which the device has made NaN."""
    loss = result[0] if options.get("return_stats") else result
    if loss.isnan().any():
        here, kept = ({k: v.cpu() if isinstance(v, Tensor) else v for k, v in d.items()} for d in (arguments, options))
        getattr(reference, spec.name)(**here, reduction=reduction, **kept)


def _explain_error(
    spec: Spec, error: Exception, arguments: dict[str, Any], reduction: str, options: dict[str, Any]
) -> Any:
    """Raises ``error`` again, as PyTorch's type, with what it is about.

    Only the kernel knows that an element is outside a loss's domain, only PyTorch what to say about it (releases differ
    in what they allow): it decides.
    """
    if "outside the domain" in str(error):
        try:
            return getattr(reference, spec.name)(**arguments, reduction=reduction, **options)
        except Exception as decided:
            error = decided
    if type(error) not in _TORCH_ERRORS or str(error).startswith("fastloss."):
        raise error
    seen = ", ".join(
        f"{name} {value.dtype} {tuple(value.shape)} on {value.device}"
        for name, value in arguments.items()
        if isinstance(value, Tensor)
    )
    raise type(error)(f"fastloss.{spec.name}: {error} (got {seen})") from error


_nn: Any = torch._C._nn
_HUBER = Spec("huber_loss", params=("delta",), warns=True, accepts=lambda delta: delta > 0, tiny=61440)
_SMOOTH_L1 = Spec("smooth_l1_loss", params=("beta",), warns=True, accepts=lambda beta: beta > 0, tiny=57344)
_MSE = Spec("mse_loss", weight_mean=True, warns=True, tiny=49152)
_L1 = Spec("l1_loss", weight_mean=True, warns=True, tiny=1024)
_BCE = Spec("binary_cross_entropy_with_logits", same_size=True, tiny=1024)
_BCE_POS_WEIGHT = Spec(
    _BCE.name,
    operator="binary_cross_entropy_with_logits_pos_weight",
    tensors=("input", "target", "pos_weight"),
    fixed=("pos_weight",),
    same_size=True,
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
    if (
        ignore_index is not None
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
    accepts=lambda alpha, gamma: gamma >= 0,
)
_PROBABILITY = Spec("binary_cross_entropy", same_size=True, tiny=832)
_SOFT_MARGIN = Spec("soft_margin_loss", fixed=("target",), tiny=64)
_HINGE_EMBEDDING = Spec("hinge_embedding_loss", params=("margin",), fixed=("target",))
_RANKING = Spec("margin_ranking_loss", tensors=("input1", "input2", "target"), params=("margin",))
_POISSON = Spec("poisson_nll_loss", params=("log_input", "full", "eps"))
_GAUSSIAN = Spec(
    "gaussian_nll_loss",
    tensors=("input", "target", "var"),
    params=("full", "eps"),
    accepts=lambda full, eps: eps > 0,
)
_KL = Spec("kl_div", params=("log_target",), tiny=3072)
_HINGE = Spec("hinge_loss", params=("margin", "p"), accepts=lambda margin, p: p in (1, 2))
_LOG_COSH = Spec("log_cosh_loss")
_QUANTILE = Spec("quantile_loss", params=("q",), accepts=lambda q: 0 <= q <= 1)
_CHARBONNIER = Spec("charbonnier_loss", params=("eps",), accepts=lambda eps: eps > 0)
_ROBUST = Spec("robust_loss", params=("alpha", "scale"), accepts=lambda alpha, scale: alpha < math.inf and scale > 0)
_ASYMMETRIC = Spec(
    "asymmetric_loss",
    params=("gamma_neg", "gamma_pos", "clip"),
    accepts=lambda gamma_neg, gamma_pos, clip: gamma_neg >= 0 and gamma_pos >= 0 and 0 <= clip < 1,
)


@_shared_options(_HUBER)
def huber_loss(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    delta: float | Tensor = 1.0,
    weight: Tensor | None = None,
    **options: Unpack[PointOptions],
) -> Any:
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
    if weight is None and not options and _goes_native(_HUBER, input, target, reduction):
        return _nn.huber_loss(input, target, _REDUCTIONS[reduction], delta)
    arguments: dict[str, Any] = {"input": input, "target": target, "delta": delta, "weight": weight}
    return _loss(_HUBER, arguments, reduction, options)


@_shared_options(_SMOOTH_L1)
def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float | Tensor = 1.0,
    **options: Unpack[WeightedPointOptions],
) -> Any:
    r"""Smooth L1 loss (Girshick 2015), the Huber loss divided by its threshold, :math:`d = x - y`:

    .. math::
        \ell = d^2 / 2\beta \ \text{where}\ |d| < \beta, \qquad |d| - \tfrac12 \beta \ \text{elsewhere}.

    Equivalent to ``torch.nn.functional.smooth_l1_loss(input, target, reduction=reduction, beta=beta)``.

    Args:
        input, target: Predictions and values; a target of another size is broadcast, with a warning.
        size_average, reduce: Deprecated as in PyTorch.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.
        beta: Where the parabola ends; 0 is `l1_loss`. Float or 0-d tensor.
    """
    reduction = _legacy(size_average, reduce, reduction)
    if type(beta) is float and beta == 0.0:
        return l1_loss(input, target, reduction=reduction, **options)
    if not options and _goes_native(_SMOOTH_L1, input, target, reduction):
        return _nn.smooth_l1_loss(input, target, _REDUCTIONS[reduction], beta)
    return _loss(_SMOOTH_L1, {"input": input, "target": target, "beta": beta}, reduction, options)


@_shared_options(_MSE)
def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
    **options: Unpack[PointOptions],
) -> Any:
    r"""Squared error, :math:`\ell = (x - y)^2`.

    Equivalent to ``torch.nn.functional.mse_loss(input, target, reduction=reduction, weight=weight)``. A weighted mean
    divides by the sum of the weights, as PyTorch's does.

    Args:
        input, target: Predictions and values; a target of another size is broadcast, with a warning.
        size_average, reduce: Deprecated as in PyTorch.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.
        weight: Factor of each element, of ``input``'s size.
    """
    reduction = _legacy(size_average, reduce, reduction)
    if weight is None and not options and _goes_native(_MSE, input, target, reduction):
        return _nn.mse_loss(input, target, _REDUCTIONS[reduction])
    return _loss(_MSE, {"input": input, "target": target, "weight": weight}, reduction, options)


@_shared_options(_L1)
def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
    **options: Unpack[PointOptions],
) -> Any:
    r"""Absolute error, :math:`\ell = |x - y|`; the gradient at 0 is 0.

    Equivalent to ``torch.nn.functional.l1_loss(input, target, reduction=reduction, weight=weight)``. A weighted mean
    divides by the sum of the weights, as PyTorch's does.

    Args:
        input, target: Predictions and values; a target of another size is broadcast, with a warning.
        size_average, reduce: Deprecated as in PyTorch.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.
        weight: Factor of each element, of ``input``'s size.
    """
    reduction = _legacy(size_average, reduce, reduction)
    if weight is None and not options and _goes_native(_L1, input, target, reduction):
        return _nn.l1_loss(input, target, _REDUCTIONS[reduction])
    return _loss(_L1, {"input": input, "target": target, "weight": weight}, reduction, options)


@_shared_options(_BCE)
def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
    **options: Unpack[PointOptions],
) -> Any:
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
    reduction = _legacy(size_average, reduce, reduction)
    arguments: dict[str, Any] = {"input": input, "target": target, "weight": weight, "pos_weight": pos_weight}
    if pos_weight is not None:
        return _loss(_BCE_POS_WEIGHT, arguments, reduction, options)
    if weight is None and not options and _goes_native(_BCE, input, target, reduction):
        return torch.binary_cross_entropy_with_logits(input, target, None, None, _REDUCTIONS[reduction])
    return _loss(_BCE, arguments, reduction, options)


@_shared_options(_FOCAL)
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
) -> Any:
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
        alpha: Weight of the positives, 1 - alpha that of the negatives; negative: no weighting. Float or 0-d tensor, or
            a tensor of one per class, for the last dimension of ``inputs``.
        gamma: Exponent, at least 0; 0 to 4 in whole numbers need no power function. Float or 0-d tensor.
        reduction: ``"none"`` (the default, as torchvision's), ``"mean"`` (over all elements that are kept, N C of
            them for N classes; others divide by N or by `count_positives`, as ``normalizer``) or ``"sum"``.
        ignore_index: Elements with this target count as if they were not there; rows, if targets are classes.
        label_smoothing: Moves targets towards 1/2: :math:`(1 - \epsilon) y + \epsilon / 2`. alpha per class weighs by
            the targets before smoothing, alpha as a number by those after.

    Memory of the options: integer targets are expanded to (..., C) in the dtype of ``inputs``, smoothed ones copied, an
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
        smp ``FocalLoss("multiclass")``             ``C * sigmoid_focal_loss(x, y, -1, gamma, "mean")``: not softmax
        ==========================================  ============================================================
    """
    arguments, options = _adapt_focal(options, inputs, targets, alpha, gamma, ignore_index, label_smoothing)
    return _loss(_FOCAL, arguments, reduction, options)


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
    if ignore_index is not None:
        kept = kept & (targets != ignore_index)
    found = targets if num_classes is None else (targets >= 0) & (targets < num_classes)
    return torch.where(kept, found, 0).sum(dtype=torch.float64).clamp_min(1)


@_shared_options(_PROBABILITY)
def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    **options: Unpack[PointOptions],
) -> Any:
    r"""Binary cross entropy of a probability, :math:`\ell = -y \log x - (1 - y) \log(1 - x)`, log clamped at -100.

    Equivalent to ``torch.nn.functional.binary_cross_entropy(input, target, weight, reduction=reduction)``; prefer
    `binary_cross_entropy_with_logits`.

    Args:
        input, target: Probabilities in [0, 1] (else RuntimeError) and labels, of one size.
        weight: Factor of each element, broadcastable; the mean divides by the number of elements.
        size_average, reduce: Deprecated as in PyTorch.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.
    """
    reduction = _legacy(size_average, reduce, reduction)
    if weight is None and not options and _goes_native(_PROBABILITY, input, target, reduction):
        return _nn.binary_cross_entropy(input, target, None, _REDUCTIONS[reduction])
    return _loss(_PROBABILITY, {"input": input, "target": target, "weight": weight}, reduction, options)


@_shared_options(_SOFT_MARGIN)
def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    **options: Unpack[WeightedPointOptions],
) -> Any:
    r"""Logistic loss of a score for a label in {-1, 1}, :math:`\ell = \log(1 + e^{-y x})`.

    Equivalent to ``torch.nn.functional.soft_margin_loss(input, target, reduction=reduction)``, except that a large
    :math:`-y x` gives it back instead of infinity, and a finite gradient (above 64 elements: up to there PyTorch's own
    operator runs).

    Args:
        input, target: Scores and labels.
        size_average, reduce: Deprecated as in PyTorch.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.
    """
    reduction = _legacy(size_average, reduce, reduction)
    if not options and _goes_native(_SOFT_MARGIN, input, target, reduction):
        return _nn.soft_margin_loss(input, target, _REDUCTIONS[reduction])
    return _loss(_SOFT_MARGIN, {"input": input, "target": target}, reduction, options)


@_shared_options(_HINGE_EMBEDDING)
def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float | Tensor = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    **options: Unpack[WeightedPointOptions],
) -> Any:
    r"""Distances pulled to zero (y = 1: :math:`\ell = x`) or beyond a margin (y = -1: :math:`\max(0, m - x)`).

    Equivalent to ``torch.nn.functional.hinge_embedding_loss(input, target, margin, reduction=reduction)``.

    Args:
        input, target: Distances and labels 1 or -1.
        margin: m, float or 0-d tensor.
        size_average, reduce: Deprecated as in PyTorch.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.
    """
    reduction = _legacy(size_average, reduce, reduction)
    return _loss(_HINGE_EMBEDDING, {"input": input, "target": target, "margin": margin}, reduction, options)


@_shared_options(_RANKING)
def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float | Tensor = 0.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    **options: Unpack[WeightedPointOptions],
) -> Any:
    r"""Two scores that should be ordered (y = 1: first larger), :math:`\ell = \max(0, m - y (x_1 - x_2))`.

    Equivalent to ``torch.nn.functional.margin_ranking_loss(input1, input2, target, margin, reduction=reduction)``.

    Args:
        input1, input2, target: Scores and labels 1 or -1, of as many dimensions each.
        margin: m, float or 0-d tensor.
        size_average, reduce: Deprecated as in PyTorch.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.
    """
    reduction = _legacy(size_average, reduce, reduction)
    arguments: dict[str, Any] = {"input1": input1, "input2": input2, "target": target, "margin": margin}
    if not input1.dim() == input2.dim() == target.dim():
        return reference.margin_ranking_loss(**arguments, reduction=reduction, **options)  # PyTorch's error
    return _loss(_RANKING, arguments, reduction, options)


@_shared_options(_POISSON)
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
) -> Any:
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
    reduction = _legacy(size_average, reduce, reduction)
    arguments: dict[str, Any] = {"input": input, "target": target, "log_input": log_input, "full": full, "eps": eps}
    return _loss(_POISSON, arguments, reduction, options)


@_shared_options(_GAUSSIAN)
def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float | Tensor = 1e-6,
    reduction: str = "mean",
    **options: Unpack[WeightedPointOptions],
) -> Any:
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
            short = input.shape[:-1] == var.shape
            one = (
                var.dim() == input.dim() and sum(b for a, b in zip(input.shape, var.shape, strict=True) if a != b) == 1
            )
            if not (short or one):
                return reference.gaussian_nll_loss(**arguments, reduction=reduction, **options)  # PyTorch's error
            arguments["var"] = var.unsqueeze(-1) if short else var
    return _loss(_GAUSSIAN, arguments, reduction, options)


@_shared_options(_KL)
def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
    **options: Unpack[WeightedPointOptions],
) -> Any:
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
        reduction = _Reduction.legacy_get_string(size_average, reduce)
    elif reduction == "mean" and not _is_compiling():
        warnings.warn(
            "reduction: 'mean' divides the total loss by both the batch size and the support size."
            "'batchmean' divides only by the batch size, and aligns with the KL div math definition."
            "'mean' will be changed to behave the same as 'batchmean' in the next major release.",
            stacklevel=2,
        )
    if not options and _goes_native(_KL, input, target, reduction):
        return torch.kl_div(input, target, _REDUCTIONS[reduction], log_target=log_target)
    if reduction == "batchmean" and isinstance(input, Tensor) and "normalizer" not in options:
        # The batch size divides; what the reference calls a mean with this divisor.
        reduction = "mean" if input.dim() else "sum"
        if input.dim():
            options["normalizer"] = input.shape[0]
    return _loss(_KL, {"input": input, "target": target, "log_target": log_target}, reduction, options)


@_shared_options(_ROBUST)
def robust_loss(
    input: Tensor,
    target: Tensor,
    alpha: float | Tensor = 1.0,
    scale: float | Tensor = 1.0,
    reduction: str = "mean",
    **options: Unpack[WeightedPointOptions],
) -> Any:
    r"""General robust loss (Barron 2019, https://arxiv.org/abs/1701.03077) of :math:`r = (x - y) / c`,
    :math:`\ell = \tfrac{b}{\alpha} \left(\left(1 + r^2 / b\right)^{\alpha / 2} - 1\right)`, :math:`b = |\alpha - 2|`.

    alpha 2 is the squared error :math:`r^2 / 2`, 1 the Charbonnier loss :math:`\sqrt{1 + r^2} - 1`, 0 the Cauchy loss
    :math:`\log(1 + r^2 / 2)`, -2 the Geman-McClure loss, ``-inf`` the Welsch loss :math:`1 - e^{-r^2 / 2}`. The smaller
    alpha, the less an outlier pulls.

    Equivalent to ``(b / alpha * ((1 + ((input - target) / scale) ** 2 / b) ** (alpha / 2) - 1)).mean()`` where that
    neither divides by zero nor cancels. r beyond 1e19 in single precision overflows in its square.

    Args:
        input, target: Predictions and values.
        alpha: Shape, float or 0-d tensor. Learned together with ``scale`` (a 0-d or broadcastable tensor that requires
            a gradient) the loss runs in plain PyTorch: the kernel takes one number for all elements and gives no
            gradient to it. Its derivative in alpha is that of the formula, but 0 at alpha = 2, where it has none.
        scale: c, positive; float or 0-d tensor.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.
    """
    arguments: dict[str, Any] = {"input": input, "target": target, "alpha": alpha, "scale": scale}
    return _loss(_ROBUST, arguments, reduction, options)


@_shared_options(_ASYMMETRIC)
def asymmetric_loss(
    input: Tensor,
    target: Tensor,
    gamma_neg: float | Tensor = 4.0,
    gamma_pos: float | Tensor = 1.0,
    clip: float | Tensor = 0.05,
    reduction: str = "mean",
    **options: Unpack[WeightedPointOptions],
) -> Any:
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
    return _loss(_ASYMMETRIC, arguments, reduction, options)


@_shared_options(_HINGE)
def hinge_loss(
    input: Tensor,
    target: Tensor,
    margin: float | Tensor = 1.0,
    p: int = 1,
    reduction: str = "mean",
    **options: Unpack[WeightedPointOptions],
) -> Any:
    r"""Hinge of a score for a label in {-1, 1} (Cortes and Vapnik 1995), :math:`\ell = \max(0, m - y x)^p`.

    Equivalent to ``(margin - target * input).clamp_min(0).pow(p).mean()``.

    Args:
        input, target: Scores and labels.
        margin: m, float or 0-d tensor.
        p: 1 or 2.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.
    """
    arguments: dict[str, Any] = {"input": input, "target": target, "margin": margin, "p": p}
    return _loss(_HINGE, arguments, reduction, options)


@_shared_options(_LOG_COSH)
def log_cosh_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", **options: Unpack[WeightedPointOptions]
) -> Any:
    r"""A smooth absolute error, :math:`\ell = \log \cosh(x - y)`, gradient :math:`\tanh(x - y)`.

    Equivalent to ``(input - target).cosh().log().mean()`` where that neither overflows nor cancels.

    Args:
        input, target: Predictions and values.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.
    """
    return _loss(_LOG_COSH, {"input": input, "target": target}, reduction, options)


@_shared_options(_QUANTILE)
def quantile_loss(
    input: Tensor,
    target: Tensor,
    q: float | Tensor = 0.5,
    reduction: str = "mean",
    **options: Unpack[WeightedPointOptions],
) -> Any:
    r"""Quantile (pinball) loss (Koenker and Bassett 1978), :math:`\ell = \max(q r, (q - 1) r)`, :math:`r = y - x`.

    Equivalent to ``torch.maximum(q * (target - input), (q - 1) * (target - input)).mean()``; the gradient at 0 is 0.

    Args:
        input, target: Predictions of the quantile, and values.
        q: Which quantile, in [0, 1]; float or 0-d tensor.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.
    """
    return _loss(_QUANTILE, {"input": input, "target": target, "q": q}, reduction, options)


@_shared_options(_CHARBONNIER)
def charbonnier_loss(
    input: Tensor,
    target: Tensor,
    eps: float | Tensor = 1e-3,
    reduction: str = "mean",
    **options: Unpack[WeightedPointOptions],
) -> Any:
    r"""Differentiable absolute error (Charbonnier et al. 1994), :math:`\ell = \sqrt{(x - y)^2 + \epsilon^2}`.

    Equivalent to ``((input - target).square() + eps**2).sqrt().mean()``.

    Args:
        input, target: Predictions and values.
        eps: Width of the rounding at zero, positive; float or 0-d tensor.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.
    """
    return _loss(_CHARBONNIER, {"input": input, "target": target, "eps": eps}, reduction, options)
