"""The way of a call of the pointwise and of the pairs family: what a loss declares, and the path that it takes."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor

from fastloss import _ops, _options, reference
from fastloss._autograd import PointwiseCall, makes_gradient_now, pointwise, savable
from fastloss._core import route
from fastloss._core._torch import forward_mode_active, tracing_state, transforms_active
from fastloss._options import WeightedPointOptions
from fastloss._stats import PointStats
from fastloss.functional import _paths
from fastloss.functional._paths import (
    KERNEL_DTYPES,
    REDUCTIONS,
    TENSORS,
    TORCH_ERRORS,
    divisor_of,
    is_compiling,
    is_dynamo_compiling,
    loss_dtype_of,
    scalar,
    why_no_kernel,
    why_not_normalizer,
)

_Function = TypeVar("_Function", bound=Callable[..., Any])

# Whether tiny inputs may go to PyTorch's own operators (`Spec.tiny`); tests of the kernels say no.
NATIVE_WHEN_TINY = True

# Of tensors besides the input.
_OPERAND_DTYPES = KERNEL_DTYPES | {
    torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64
}  # fmt: skip
NUMBERS = frozenset((float, int, bool))
_MAX_DIMS = 8
_OPTIONS = _options.names(WeightedPointOptions)

_WEIGHT = """
        weight: Factor of each element, broadcastable to the common shape. Does not enter the mean's divisor. Not
            differentiated by the kernel."""
_OF_ELEMENTS = """
    Keyword-only options, shared by every pointwise loss:{weight}
        mask: Bool, broadcastable to the common shape; elements where it is False count as if they were not there:
            value and gradient are exactly zero whatever they hold.
        normalizer: Replaces the mean's divisor (number of positives, of tokens in a whole batch, ...).
        empty: Value of a mean over nothing: ``"nan"`` (default) or ``"zero"``. The gradient is zero either way.
        reduce_dims: Reduce over these dimensions only (one value per sample); needs ``"mean"`` or ``"sum"``.
        loss_dtype: dtype of the loss. Default: the arguments'; float32 for half arguments under autocast.
        return_stats: Also return `PointStats`, measured in the same pass.

    Returns:
        The loss: the arguments' common shape for ``"none"``, that shape without ``reduce_dims`` if they are given, else
        ``()``. With ``return_stats`` the pair ``(loss, PointStats)``.

    Shapes: any, any strides.
    Dtypes: float16, bfloat16, float32, float64, and targets of them, of bool or of integers, in any mix that PyTorch
        takes; on the CPU without a copy of another dtype. A gradient has the dtype of its tensor, the loss the one that
        PyTorch gives it.
    Raises: What PyTorch raises, with the shapes and dtypes in question; ValueError for bad options.
    Gradient: with respect to every tensor that PyTorch differentiates; differentiable again (through the reference).
    Memory: one gradient buffer per differentiated tensor, written during forward; for ``"none"``, float16 and
        ``torch.compile`` in backward.
    Accuracy: half and single precision compute in float32, blocks of 512 are summed in float32 and these in float64.
        The result does not depend on the number of threads.
"""
_OF_PAIRS = """
    Keyword-only options, shared by every loss over pairs of vectors; the rows' shape is that of the vectors without
    their last dimension:
        weight: Factor of each row's value, broadcastable to the rows' shape. Does not enter the mean's divisor. Not
            differentiated by the kernel.
        mask: Bool, broadcastable to the rows' shape; rows where it is False count as if they were not there: value and
            gradient are exactly zero whatever they hold.
        normalizer: Replaces the mean's divisor, the number of rows that are kept.
        empty: Value of a mean over no rows: ``"nan"`` (default) or ``"zero"``. The gradient is zero either way.
        reduce_dims: Reduce over these dimensions of the rows' shape only; needs ``"mean"`` or ``"sum"``.
        loss_dtype: dtype of the loss. Default: the vectors'; float32 for half vectors under autocast.
        return_stats: Also return `PointStats`, measured in the same pass; its elements are rows.

    Returns:
        The loss: the rows' shape for ``"none"``, that shape without ``reduce_dims`` if they are given, else ``()``.
        With ``return_stats`` the pair ``(loss, PointStats)``.

    Shapes: vectors of one shape, any strides; those that are neither contiguous nor rows of contiguous elements are
        copied. What else PyTorch takes runs in plain PyTorch.
    Dtypes: float16, bfloat16, float32, float64, in any mix that PyTorch takes; on the CPU without a copy of another
        dtype. A gradient has the dtype of its vectors.
    Raises: What PyTorch raises, with the shapes and dtypes in question; ValueError for bad options.
    Gradient: with respect to all vectors; differentiable again (through the reference).
    Memory: one gradient buffer per differentiated tensor, written during forward; for ``"none"``, float16 and
        ``torch.compile`` in backward.
    Accuracy: half and single precision sum a row's products in float32; what follows, and sums over rows, are float64.
        On the CPU so are the products of a row whose squares float32 does not hold. On CUDA they overflow, from values
        of 1.8e19 on, as they do in PyTorch, and squares of float64 from 1.3e154 on. The result does not depend on the
        number of threads.
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
        weight_promotes: Whether the dtype of ``weight`` counts in that of the loss even where ``dtype`` is "equal".
        weight_mean: Whether a mean divides by the sum of ``weight`` rather than by the number of elements.
        same_size: Whether the tensors must have one shape, as opposed to being broadcast.
        same_rank: Whether they must have as many dimensions each.
        warns: Whether a broadcast target is worth a warning, as in PyTorch.
        pairs: Whether it is of the pairs family: a value per row of vectors, of one size, and per weight and mask.
        label: Name of the tensor with one label per row, the last one, if there is one.
        tiny: Up to this many elements PyTorch's own operator is faster: its C++ autograd costs some 15 us less than a
            Python autograd.Function. Measured on 2 cores, float32 (`python -m benchmarks.harness --suite pointwise`).
        native: PyTorch's own operator, which takes them.
        dtype: What decides the dtype of the loss where those of the tensors differ: ``"promoted"``, the tensors' and
            the weight's common one; ``"target"`` or ``"input"``, that of this tensor; ``"equal"``: PyTorch refuses
        floating: Those tensors, besides the first one, that must be of floating point.
        bools: Whether the others may be bool, and not only integers.
        autocasts: Whether PyTorch's autocast makes the loss float32 where the arguments are half.
        takes: Which values of the hyperparameters the kernel takes, of those in `_options.DOMAINS`.
        adapt: Turns options and arguments into arguments and options of a call without the loss's own further options.
    """

    name: str
    operator: str = ""
    tensors: tuple[str, ...] = ("input", "target")
    params: tuple[str, ...] = ()
    words: dict[str, tuple[str, ...]] = field(default_factory=dict)
    fixed: tuple[str, ...] = ()
    weight_promotes: bool = False
    weight_mean: bool = False
    same_size: bool = False
    same_rank: bool = False
    warns: bool = False
    pairs: bool = False
    label: str = ""
    tiny: int = 0
    native: Any = None
    dtype: Literal["promoted", "target", "input", "equal"] = "promoted"
    floating: tuple[str, ...] = ()
    bools: bool = True
    autocasts: bool = True
    takes: Callable[..., bool] = lambda *params: True
    adapt: Callable[..., tuple[dict[str, Any], dict[str, Any]]] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "operator", self.operator or self.name)
        if self.native is None:
            object.__setattr__(self, "tiny", -1)

    def accepts(self, *params: Any) -> bool:
        """Whether the kernel takes these hyperparameters; the reference refuses or computes others."""
        return _options.in_domain(self.name, **dict(zip(self.params, params, strict=True))) and self.takes(*params)

    def number(self, name: str, value: Any) -> Any:
        """A hyperparameter as the functor takes it; as it is if it is not one of its words."""
        words = self.words.get(name, ())
        return words.index(value) if value in words else value


def public_loss(spec: Spec) -> Callable[[_Function], _Function]:
    """Completes the docstring of a loss."""

    def complete(function: _Function) -> _Function:
        signature = inspect.signature(function)
        weight = "" if "weight" in signature.parameters else _WEIGHT
        shared = _OF_PAIRS if spec.pairs else _OF_ELEMENTS.format(weight=weight)
        function.__doc__ = (function.__doc__ or "").rstrip() + "\n" + shared
        return function

    return complete


def goes_native(spec: Spec, input: Any, target: Any, reduction: Any) -> bool:
    """Whether PyTorch's C++ operator takes this call, which has no options, faster than anything else could.

    Not on CUDA: a bad probability kills the context there, and where the kernels overtake is not yet measured.
    """
    return (
        not is_dynamo_compiling()  # before any question about sizes, which would become guards
        and tracing_state() is None  # likewise warnings
        and type(input) in TENSORS
        and type(target) in TENSORS
        and not target.is_inference()  # PyTorch could not save it for backward
        and input.numel() <= spec.tiny
        and NATIVE_WHEN_TINY
        and input.shape == target.shape
        and reduction in REDUCTIONS
        and not input.is_cuda
        and _takes_native(spec)
    )


def natively(spec: Spec, *arguments: Any, **keywords: Any) -> Tensor | None:
    """The loss by PyTorch's own operator; None if the operator refuses, which leaves the call to the general way."""
    try:
        return spec.native(*arguments, **keywords)
    except TORCH_ERRORS:
        return None


def _takes_native(spec: Spec) -> bool:
    if route.watched:
        route.take(spec.name, "native", route.WHY_NATIVE)
    return True


def _prepare(
    spec: Spec, arguments: dict[str, Any], options: dict[str, Any]
) -> tuple[str, tuple[Tensor, ...], tuple[float, ...], Tensor | None, Tensor | None, torch.dtype]:
    """Why the kernel does not take this call (empty when it does); its tensors, parameters, weight and mask, and the
    dtype of its loss."""
    tensors = tuple(arguments[name] for name in spec.tensors)
    params = tuple(scalar(spec.number(name, arguments[name])) for name in spec.params)
    weight, mask = arguments.get("weight", options.get("weight")), options.get("mask")

    def no(reason: str) -> tuple[str, tuple[Tensor, ...], tuple[float, ...], None, None, torch.dtype]:
        return reason, (), (), None, None, torch.float32

    given = [*tensors, *(t for t in (weight, mask) if t is not None)]
    reason = why_no_kernel(given)
    if reason:
        return no(reason)
    input = tensors[0]
    device, shape = input.device, input.shape
    label = arguments[spec.label] if spec.label else None
    reason, dtype = _dtype_of_loss(spec, tensors[:-1] if spec.label else tensors, weight)
    if reason:
        return no(reason)
    if any(t.requires_grad for name, t in zip(spec.tensors, tensors, strict=True) if name in spec.fixed):
        return no("PyTorch decides about a gradient to this argument")
    if weight is not None and weight.requires_grad:
        return no("the weight needs a gradient")
    if None in params or not spec.accepts(*params) or (spec.pairs and any(arguments[n] is None for n in spec.params)):
        return no("PyTorch decides this hyperparameter, or it is a tensor that needs a gradient")
    reason = why_not_normalizer(options.get("normalizer"), device)
    if reason:
        return no(reason)
    if spec.pairs:
        if not shape or any(t.shape != shape for t in tensors if t is not label):
            return no("PyTorch decides about different sizes")
        tensors = tuple(t if t is label or t.is_contiguous() or _lies_in_rows(t) else t.contiguous() for t in tensors)
        empty, shape = 0 in shape, shape[:-1]
        if empty or (label is not None and (label.shape != shape or label.is_complex())):
            return no("PyTorch decides about empty arguments and other labels")
    elif spec.same_rank and any(t.dim() != input.dim() for t in tensors):
        return no("PyTorch decides about different numbers of dimensions")
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
    return "", tensors, params, expanded[0], expanded[1], dtype  # type: ignore[return-value]


def _dtype_of_loss(spec: Spec, tensors: tuple[Tensor, ...], weight: Tensor | None) -> tuple[str, torch.dtype]:
    """Why no kernel takes tensors of these dtypes (empty when one does); the dtype of their loss."""
    input, *others = tensors
    dtype, kinds = input.dtype, {t.dtype for t in others}
    if dtype not in KERNEL_DTYPES or not kinds <= _OPERAND_DTYPES:
        return "the arguments' dtypes have no kernel", dtype
    if weight is not None and weight.dtype not in KERNEL_DTYPES:
        return "the reference checks this weight's dtype", dtype
    autocast = spec.autocasts and _ops.autocasts(input.device.type)
    if spec.weight_mean and weight is not None and input.is_cpu:
        autocast = False  # PyTorch multiplies and adds, which its autocast leaves alone; on CUDA it adds in float32
    of_weight = set() if weight is None or spec.pairs else {weight.dtype}
    if kinds | of_weight != {dtype}:
        names = zip(spec.tensors, tensors, strict=False)
        if any(not t.is_floating_point() for name, t in names if name in spec.floating):
            return "PyTorch decides about integers for this argument", dtype
        if torch.bool in kinds and not spec.bools:
            return "PyTorch decides about bool for this argument", dtype
        if spec.dtype == "equal" and len({_paths.cast(kind, autocast) for kind in (dtype, *kinds)}) > 1:
            return "PyTorch decides about different dtypes", dtype
        if not spec.warns and len({t.dim() == 0 for t in tensors}) > 1:
            return "PyTorch decides about different dtypes of a tensor and a scalar", dtype
        if spec.dtype == "promoted" or (spec.dtype == "equal" and spec.weight_promotes):
            for kind in (*kinds, *of_weight):
                dtype = torch.promote_types(dtype, kind)
        elif spec.dtype == "target":
            dtype = tensors[1].dtype
    return "", _paths.cast(dtype, autocast)


def _lies_in_rows(t: Tensor) -> bool:
    """Whether these are rows of adjacent elements that do not meet, so that a gradient can lie as they do."""
    return t.dim() == 2 and t.stride(1) == 1 and t.stride(0) >= t.shape[1]


def run(spec: Spec, arguments: dict[str, Any], reduction: str, options: Any) -> Any:
    """Runs the kernel of a loss, or its reference where that is due.

    ``arguments`` are the call's by name, without ``reduction`` and ``options``.
    """
    if not options:
        plain = _plain_call(spec, arguments, reduction)
        if plain is not None:
            try:
                return pointwise(*plain)
            except TORCH_ERRORS:
                pass  # the general way says what is wrong, or does it differently
    else:
        _check_options(spec, reduction, options)
    if not is_compiling() and not torch.is_inference_mode_enabled():
        arguments, options = _savable(arguments), _savable(options)
    reason, tensors, params, weight, mask, dtype = _prepare(spec, arguments, options)
    if not reason and reduction not in REDUCTIONS:
        reason = "PyTorch decides this reduction"
    route.kernel_unless(spec.name, reason)
    try:
        if reason:
            return getattr(reference, spec.name)(**arguments, reduction=reduction, **options)
        if spec.warns and not is_compiling() and arguments["target"].shape != arguments["input"].shape:
            _warn_sizes(arguments["input"], arguments["target"])
        result = _kernel(spec, tensors, params, weight, mask, dtype, reduction, options)
        if tensors[0].is_cuda and _ops.debugging():
            _check_domain(spec, result, arguments, reduction, options)
        return result
    except Exception as error:
        return _explain_error(spec, error, arguments, reduction, options)


def _check_options(spec: Spec, reduction: str, options: dict[str, Any]) -> None:
    _options.refuse_unknown(spec.name, options, _OPTIONS, _own_arguments(spec))
    of = options.get
    _options.check(spec.name, reduction, of("normalizer"), of("empty", "nan"), of("loss_dtype"))
    if of("reduce_dims") is not None and reduction == "none":
        raise ValueError(f"fastloss.{spec.name}: reduce_dims needs reduction='mean' or 'sum', got {reduction!r}")


@lru_cache(maxsize=64)
def _own_arguments(spec: Spec) -> tuple[str, ...]:
    parameters = inspect.signature(getattr(reference, spec.name)).parameters.values()
    return tuple(p.name for p in parameters if p.kind is not p.VAR_KEYWORD)


def _savable(values: dict[str, Any]) -> dict[str, Any]:
    """The same with copies of tensors that autograd cannot save."""
    return {name: savable(v) for name, v in values.items()}


def _plain_call(
    spec: Spec, arguments: dict[str, Any], reduction: str
) -> tuple[PointwiseCall, tuple[Tensor, ...]] | None:
    """What to call the kernel with if it takes these arguments as they stand, as it does most; None asks `_prepare`.

    The time of a small loss is Python's, and cold in a training step. So this looks at as little as it can, and leaves
    it to the operator to refuse other sizes and layouts. (A meta tensor among others it would not refuse.)
    """
    if (
        reduction not in REDUCTIONS
        or arguments.get("weight") is not None
        or spec.pairs
        or route.watched
        or not _ops.AVAILABLE
        or transforms_active()
        or forward_mode_active()
        or is_compiling()
        or tracing_state() is not None
    ):
        return None
    tensors = tuple(map(arguments.__getitem__, spec.tensors))
    params = tuple(map(arguments.__getitem__, spec.params))
    if not (TENSORS.issuperset(map(type, tensors)) and NUMBERS.issuperset(map(type, params))):
        return None
    input = tensors[0]
    count, dtype = input.numel(), input.dtype
    if count == 0 or dtype not in KERNEL_DTYPES:
        return None
    on_cpu = input.is_cpu
    if not on_cpu and (not input.is_cuda or not _ops.CUDA or _ops.debugging()):
        return None
    for t in tensors[1:]:
        if (
            t.dtype is not dtype
            or t.numel() != count
            or not (t.is_cpu if on_cpu else t.device == input.device)
            or t.is_inference()
        ):
            return None
    for name in spec.fixed:
        if arguments[name].requires_grad:
            return None
    loss_dtype = loss_dtype_of(input) if spec.autocasts else dtype
    call = _accepted_call(spec, params, REDUCTIONS[reduction], dtype, loss_dtype)
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
    dtype: torch.dtype,
    reduction: str,
    options: dict[str, Any],
) -> Any:
    """Turns the shared options into what the operators take."""
    input, code = tensors[0], REDUCTIONS[reduction]
    dims, want_stats = options.get("reduce_dims"), options.get("return_stats", False)
    normalizer, empty = options.get("normalizer"), options.get("empty", "nan")
    kernel_code = 0 if dims is not None else code
    divisor = None
    if kernel_code == 1:
        if normalizer is not None:
            divisor = divisor_of(normalizer, input.device)
        elif weight is not None and spec.weight_mean:
            divisor = (weight if mask is None else torch.where(mask, weight, 0)).sum(dtype=torch.float64)
        elif mask is not None:
            divisor = mask.sum(dtype=torch.float64)
    loss_dtype = options.get("loss_dtype") or dtype
    if _paths.takes_one_dtype(input):
        tensors, weight = _of_one_dtype(tensors, weight)
    half = torch.float16 if any(t.dtype is torch.float16 for t in tensors) else tensors[0].dtype
    # Of what is summed later each value is kept as it is computed.
    computed = torch.float64 if any(t.dtype is torch.float64 for t in tensors) else torch.float32
    made = loss_dtype if dims is None else computed
    call = _call(spec, params, kernel_code, half, made, empty == "zero", want_stats)
    result = pointwise(call, tensors, weight, mask, divisor)
    loss, measured = result if want_stats else (result, None)
    if dims is not None:
        loss = _reduce_dims(spec, loss, weight, mask, code, dims, normalizer, empty).to(loss_dtype)
    if measured is None:
        return loss
    number = input.numel() // (input.shape[-1] if spec.pairs else 1)
    count = mask.sum() if mask is not None else torch.full((), number, device=input.device)
    finite = measured.isfinite().all() & loss.detach().isfinite().all()
    return loss, PointStats(measured[1].sqrt(), finite, count)


def _of_one_dtype(tensors: tuple[Tensor, ...], weight: Tensor | None) -> tuple[tuple[Tensor, ...], Tensor | None]:
    """Tensors for kernels that take one dtype, those of CUDA: copies of the computing one if there are several."""
    kinds = {t.dtype for t in (*tensors, *(() if weight is None else (weight,)))}
    if len(kinds) == 1:
        return tensors, weight
    dtype = torch.float64 if torch.float64 in kinds else torch.float32
    return tuple(t.to(dtype) for t in tensors), None if weight is None else weight.to(dtype)


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
        return total / (normalizer.reshape(()) if isinstance(normalizer, Tensor) else normalizer)
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
    if _ops.OUTSIDE_DOMAIN in str(error):
        try:
            return getattr(reference, spec.name)(**arguments, reduction=reduction, **options)
        except Exception as decided:
            error = decided
    if type(error) not in TORCH_ERRORS or _ops.names_its_loss(error):
        raise error
    seen = ", ".join(
        f"{name} {value.dtype} {tuple(value.shape)} on {value.device}"
        for name, value in arguments.items()
        if isinstance(value, Tensor)
    )
    target = arguments.get("target")
    cast = isinstance(target, Tensor) and not target.is_floating_point() and "binary_cross_entropy" in spec.name
    remedy = "; expected a floating point target, convert it with .float()" if cast else ""
    raise type(error)(f"fastloss.{spec.name}: {error} (got {seen}){remedy}") from error
