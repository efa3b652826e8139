"""Losses of elements and of pairs of vectors: the path that a call takes, and the call of the kernel."""

from __future__ import annotations

import functools
import importlib
import inspect
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from fastloss._core import formula, route
from fastloss._core import guards as _guards
from fastloss._core import operators as _ops
from fastloss._core import options as _options
from fastloss._core._torch import forward_mode_active, tracing_state, transforms_active
from fastloss._core.autograd import Call, makes_gradient_now, run_kernel, savable
from fastloss._core.guards import (
    KERNEL_DTYPES,
    REDUCTIONS,
    TENSORS,
    TORCH_ERRORS,
    divisor_of,
    is_compiling,
    is_dynamo_compiling,
    loss_dtype_of,
    on_cuda,
    scalar,
    why_no_kernel,
    why_not_normalizer,
)
from fastloss._core.options import WeightedPointOptions
from fastloss._core.record import Loss, Other, P, PublicLoss, publish
from fastloss._core.stats import PointStats

# Whether tiny inputs may go to PyTorch's own operators (`Loss.tiny`); tests of the kernels say no.
NATIVE_WHEN_TINY = True

# Of tensors besides the input.
_OPERAND_DTYPES = KERNEL_DTYPES | {
    torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64
}  # fmt: skip
NUMBERS = frozenset((float, int, bool))
_MAX_DIMS = 8
_OPTIONS = _options.names(WeightedPointOptions)

_WEIGHT = """
        weight: Factor of each element, broadcastable to {shape}. Does not enter the mean's divisor. Not
            differentiated by the kernel."""
_OF_ELEMENTS = """
    Keyword-only options, shared by every pointwise loss:{weight}
        mask: Bool, broadcastable to {shape}; elements where it is False count as if they were not there:
            value and gradient are exactly zero whatever they hold.
        normalizer: Replaces the mean's divisor (number of positives, of tokens in a whole batch, ...).
        empty: Value of a mean over nothing: ``"nan"`` or ``"zero"``, by default ``"{empty}"``. The gradient is zero
            either way.
        reduce_dims: Reduce over these dimensions only (one value per sample); needs ``"mean"`` or ``"sum"``.
        loss_dtype: dtype of the loss. Default: the arguments'; float32 for half arguments under autocast.
        return_stats: Also return `PointStats`, measured in the same pass.

    Returns:
        The loss: {shape} for ``"none"``, that shape without ``reduce_dims`` if they are given, else
        ``()``. With ``return_stats`` the pair ``(loss, PointStats)``.

    Shapes: any, any strides.
    Dtypes: float16, bfloat16, float32, float64, and targets of them, of bool or of integers, in any mix that PyTorch
        takes, without a copy of another dtype. A gradient has the dtype of its tensor, the loss the one that PyTorch
        gives it.
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
    Dtypes: float16, bfloat16, float32, float64, in any mix that PyTorch takes, without a copy of another dtype. A
        gradient has the dtype of its vectors.
    Raises: What PyTorch raises, with the shapes and dtypes in question; ValueError for bad options.
    Gradient: with respect to all vectors; differentiable again (through the reference).
    Memory: one gradient buffer per differentiated tensor, written during forward; for ``"none"``, float16 and
        ``torch.compile`` in backward.
    Accuracy: half and single precision sum a row's products in float32; what follows, and sums over rows, are float64.
        So are the products of a row whose squares float32 does not hold. Squares of float64 overflow, from values of
        1.3e154 on. The result does not depend on the number of threads.
"""


def loss(**facts: Any) -> Callable[[Callable[P, Any]], PublicLoss[P]]:
    """Makes a loss of a function that poses its problem; ``facts`` are attributes of its `Loss`."""

    def complete(pose: Callable[P, Any]) -> PublicLoss[P]:
        record = Loss(pose.__name__, pose=pose, **facts)
        arity = -1 if record.pairs else len(record.tensors)  # of calls that the gate may answer

        def function(*args: P.args, **kwargs: P.kwargs) -> Any:
            if len(args) == arity:
                made = gate(record, args, kwargs)
                if made is not None:
                    return made
            posed = pose(*args, **kwargs)
            return _other("functional", posed) if type(posed) is Other else solve(record, *posed)

        def reference(*args: P.args, **kwargs: P.kwargs) -> Any:
            posed = pose(*args, **kwargs)
            return _other("reference", posed) if type(posed) is Other else formula.evaluate(record, *posed)

        return publish(record, function, reference, documented(record, pose.__doc__))

    return complete


def _other(room: str, call: Other) -> Any:
    return getattr(importlib.import_module(f"fastloss.{room}"), call.name)(*call.args, **call.kwargs)


def documented(record: Loss, text: str | None) -> str:
    """A docstring with what all losses of its kind share."""
    if record.pairs:
        return (text or "").rstrip() + "\n" + _OF_PAIRS
    shape = "the common shape" + (" without its last dimension" if record.along else "")
    weight = "" if "weight" in record.names else _WEIGHT.format(shape=shape)
    return (text or "").rstrip() + "\n" + _OF_ELEMENTS.format(weight=weight, shape=shape, empty=record.empty)


def gate(record: Loss, tensors: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Answers the commonest calls, tensors and perhaps hyperparameters by name, before they are posed; None for others.

    The time of a small loss is Python's, and cold in a training step.
    """
    defaults = record.defaults
    reduction = defaults["reduction"]
    if not kwargs:
        params = record.default_params
    elif kwargs.keys() <= defaults.keys():
        reduction = kwargs.get("reduction", reduction)
        params = tuple([kwargs.get(name, defaults[name]) for name in record.params])
        if record.words:
            params = record.numbers(params)
        for name in record.absent:
            if kwargs.get(name) is not None:
                return None
    else:
        return None
    if record.batchmean and reduction == "mean":  # which the pose warns of
        return None
    made = None if record.native is None else _native(record, tensors, params, reduction)
    return _kernel_as_it_is(record, tensors, params, reduction) if made is None else made


def _native(record: Loss, tensors: Sequence[Any], params: Sequence[Any], reduction: Any) -> Tensor | None:
    """The loss of a call without options by PyTorch's C++ operator, where nothing else could be faster.

    None elsewhere, and if the operator refuses. Not on CUDA: a bad probability kills the context there, and where the
    kernels overtake is not yet measured.
    """
    if is_dynamo_compiling() or tracing_state() is not None:  # before any question about sizes, which would be guards
        return None
    input, target = tensors[0], tensors[1]
    if not (
        type(input) in TENSORS
        and type(target) in TENSORS
        and input.numel() <= record.tiny
        and NATIVE_WHEN_TINY
        and not target.is_inference()  # PyTorch could not save it for backward
        and input.shape == target.shape
        and reduction in REDUCTIONS
        and not input.is_cuda
    ):
        return None
    for value in params:
        if type(value) not in NUMBERS:
            return None
    if record.plain is not None and not record.plain(*params):
        return None
    if route.watched:
        route.take(record.name, "native", route.WHY_NATIVE)
    try:
        return record.native(input, target, REDUCTIONS[reduction], *params)
    except TORCH_ERRORS:
        return None  # the general way says what is wrong, or does it differently


def _prepare(
    record: Loss, arguments: dict[str, Any], options: dict[str, Any]
) -> tuple[str, tuple[Tensor, ...], tuple[float, ...], Tensor | None, Tensor | None, torch.dtype]:
    """Why the kernel does not take this call (empty when it does); its tensors, parameters, weight and mask, and the
    dtype of its loss."""
    tensors = tuple(arguments[name] for name in record.tensors)
    params = tuple(map(scalar, record.numbers(arguments[name] for name in record.params)))
    weight, mask = arguments.get("weight", options.get("weight")), options.get("mask")

    def no(reason: str) -> tuple[str, tuple[Tensor, ...], tuple[float, ...], None, None, torch.dtype]:
        return reason, (), (), None, None, torch.float32

    given = [*tensors, *(t for t in (weight, mask) if t is not None)]
    reason = why_no_kernel(record.engine, given) or _ops.missing_kernel(record.operator)
    if reason:
        return no(reason)
    input = tensors[0]
    device, shape = input.device, input.shape
    label = arguments[record.label] if record.label else None
    reason, dtype = _dtype_of_loss(record, tensors[:-1] if record.label else tensors, weight)
    if reason:
        return no(reason)
    if any(t.requires_grad for name, t in zip(record.tensors, tensors, strict=True) if name in record.fixed):
        return no("PyTorch decides about a gradient to this argument")
    if weight is not None and weight.requires_grad:
        return no("the weight needs a gradient")
    if (
        None in params
        or not record.accepts(*params)
        or (record.pairs and any(arguments[n] is None for n in record.params))
    ):
        return no("PyTorch decides this hyperparameter, or it is a tensor that needs a gradient")
    reason = why_not_normalizer(options.get("normalizer"), device)
    if reason:
        return no(reason)
    if record.components > 1 and any(t.shape[-1:] != (record.components,) for t in tensors):
        return no("the last dimension is of another size")
    if record.pairs:
        if not shape or any(t.shape != shape for t in tensors if t is not label):
            return no("PyTorch decides about different sizes")
        tensors = tuple(t if t is label or t.is_contiguous() or _lies_in_rows(t) else t.contiguous() for t in tensors)
        empty, shape = 0 in shape, shape[:-1]
        if empty or (label is not None and (label.shape != shape or label.is_complex())):
            return no("PyTorch decides about empty arguments and other labels")
    elif record.same_rank and any(t.dim() != input.dim() for t in tensors):
        return no("PyTorch decides about different numbers of dimensions")
    elif any(t.shape != shape for t in tensors):
        if record.same_size and tensors[1].shape != shape:
            return no("PyTorch decides about different sizes")
        try:
            shape = torch.broadcast_shapes(*(t.shape for t in tensors))
        except RuntimeError:
            return no("the sizes do not broadcast")
        if record.same_size and shape != input.shape:
            return no("PyTorch decides about different sizes")
        tensors = tuple(t.expand(shape) for t in tensors)
    if record.components > 1:
        shape = shape[:-1]
    if 0 in shape or len(shape) > _MAX_DIMS:  # `Size.numel` would make symbolic sizes constants
        return no("the arguments are empty or have many dimensions")
    if mask is not None and mask.dtype != torch.bool:
        return no("the reference checks this mask")
    expanded: list[Tensor | None] = []
    for extra in (weight, mask):
        if extra is not None and extra.shape != shape:
            if extra is weight and record.weighs_whole:
                return no("PyTorch decides this weight's size")
            try:
                extra = extra.expand(shape)
            except RuntimeError:
                return no("weight or mask does not broadcast")
        expanded.append(extra)
    if options.get("return_stats") and options.get("reduce_dims") is not None:
        return no("a gradient that is divided group by group has no norm in the kernel")
    return "", tensors, params, expanded[0], expanded[1], dtype  # type: ignore[return-value]


def _dtype_of_loss(record: Loss, tensors: tuple[Tensor, ...], weight: Tensor | None) -> tuple[str, torch.dtype]:
    """Why no kernel takes tensors of these dtypes (empty when one does); the dtype of their loss."""
    input, *others = tensors
    dtype, kinds = input.dtype, {t.dtype for t in others}
    if dtype not in KERNEL_DTYPES or not kinds <= _OPERAND_DTYPES:
        return "the arguments' dtypes have no kernel", dtype
    if weight is not None and weight.dtype not in KERNEL_DTYPES:
        return "the reference checks this weight's dtype", dtype
    autocast = record.casts(weight, input.device.type) and _ops.autocasts(input.device.type)
    of_weight = set() if weight is None or record.pairs else {weight.dtype}
    if kinds | of_weight != {dtype}:
        names = zip(record.tensors, tensors, strict=False)
        if any(not t.is_floating_point() for name, t in names if name in record.floating):
            return "PyTorch decides about integers for this argument", dtype
        if torch.bool in kinds and not record.bools:
            return "PyTorch decides about bool for this argument", dtype
        if record.dtype == "equal" and len({_guards.cast(kind, autocast) for kind in (dtype, *kinds)}) > 1:
            return "PyTorch decides about different dtypes", dtype
        if not record.warns and len({t.dim() == 0 for t in tensors}) > 1:
            return "PyTorch decides about different dtypes of a tensor and a scalar", dtype
        dtype = formula.dtype_of(record, tensors, weight)
    return "", _guards.cast(dtype, autocast)


def _lies_in_rows(t: Tensor) -> bool:
    """Whether these are rows of adjacent elements that do not meet, so that a gradient can lie as they do."""
    return t.dim() == 2 and t.stride(1) == 1 and t.stride(0) >= t.shape[1]


def solve(record: Loss, arguments: dict[str, Any], reduction: str, options: Any, why_not: str = "") -> Any:
    """Answers a `Problem`: by PyTorch's operator where that is fastest, else as `run` does."""
    if record.optional and arguments[record.optional] is not None:
        record = record.fuller
    if why_not:
        route.kernel_unless(record.name, why_not)
        return record.reference(**arguments, reduction=reduction, **options)
    if record.native is not None and not options and arguments.get("weight") is None:
        made = _native(record, *_in_order(record, arguments), reduction)
        if made is not None:
            return made
    return run(record, arguments, reduction, options)


def _in_order(record: Loss, arguments: dict[str, Any]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    params = tuple(map(arguments.__getitem__, record.params))
    return tuple(map(arguments.__getitem__, record.tensors)), record.numbers(params) if record.words else params


def run(record: Loss, arguments: dict[str, Any], reduction: str, options: Any) -> Any:
    """Runs the kernel of a loss, or its formula where that is due."""
    if not options:
        if not record.pairs and arguments.get("weight") is None:
            made = _kernel_as_it_is(record, *_in_order(record, arguments), reduction)
            if made is not None:
                return made
    else:
        _check_options(record, reduction, options)
    if not is_compiling() and not torch.is_inference_mode_enabled():
        arguments, options = _savable(arguments), _savable(options)
    if reduction == "batchmean" and record.batchmean and "normalizer" not in options:
        reduction, options = _by_batch(arguments[record.tensors[0]], options)
    reason, tensors, params, weight, mask, dtype = _prepare(record, arguments, options)
    if not reason and reduction not in REDUCTIONS:
        reason = "PyTorch decides this reduction"
    route.kernel_unless(record.name, reason)
    try:
        if reason:
            return record.reference(**arguments, reduction=reduction, **options)
        if record.warns and not is_compiling() and arguments["target"].shape != arguments["input"].shape:
            _warn_sizes(arguments["input"], arguments["target"])
        result = _kernel(record, tensors, params, weight, mask, dtype, reduction, options)
        if tensors[0].is_cuda and _ops.debugging():
            _check_domain(record, result, arguments, reduction, options)
        return result
    except Exception as error:
        return _explain_error(record, error, arguments, reduction, options)


def _by_batch(input: Any, options: Any) -> tuple[str, Any]:
    """The mean that the batch size divides, unless that is 0, as reduction and options."""
    if not isinstance(input, Tensor):
        return "batchmean", options
    some = input.dim() and input.shape[0] != 0
    return ("mean", {**options, "normalizer": input.shape[0]}) if some else ("sum", options)


def _check_options(record: Loss, reduction: str, options: dict[str, Any]) -> None:
    _options.refuse_unknown(record.name, options, _OPTIONS, record.names)
    of = options.get
    _options.check(record.name, reduction, of("normalizer"), of("empty", "nan"), of("loss_dtype"))
    if of("reduce_dims") is not None and reduction == "none":
        raise ValueError(f"fastloss.{record.name}: reduce_dims needs reduction='mean' or 'sum', got {reduction!r}")


def _savable(values: dict[str, Any]) -> dict[str, Any]:
    """The same with copies of tensors that autograd cannot save."""
    return {name: savable(v) for name, v in values.items()}


def _kernel_as_it_is(record: Loss, tensors: tuple[Any, ...], params: Sequence[Any], reduction: Any) -> Any:
    """The kernel's loss if it takes these arguments as they stand, as it does most; None asks `_prepare`.

    This looks at as little as it can, and leaves it to the operator to refuse other sizes and layouts. (A meta tensor
    among others it would not refuse.)
    """
    if (
        reduction not in REDUCTIONS
        or route.watched
        or not _ops.AVAILABLE
        or transforms_active()
        or forward_mode_active()
        or is_compiling()
        or tracing_state() is not None
        or not TENSORS.issuperset(map(type, tensors))
        or not NUMBERS.issuperset(map(type, params))
    ):
        return None
    input = tensors[0]
    count, dtype = input.numel(), input.dtype
    if count == 0 or dtype not in KERNEL_DTYPES:
        return None
    on_cpu = input.is_cpu
    if not on_cpu and not on_cuda(record.engine, input):
        return None
    for t in tensors[1:]:
        if (
            t.dtype is not dtype
            or t.numel() != count
            or not (t.is_cpu if on_cpu else t.device == input.device)
            or t.is_inference()
        ):
            return None
    for position in record.fixed_positions:
        if tensors[position].requires_grad:
            return None
    loss_dtype = loss_dtype_of(input) if record.autocasts else dtype
    call = _accepted_call(record, tuple(params), REDUCTIONS[reduction], dtype, loss_dtype)
    if call is None:
        return None
    try:
        return run_kernel(call, tensors)
    except TORCH_ERRORS:
        return None  # the general way says what is wrong, or does it differently


@functools.lru_cache(maxsize=256)
def _accepted_call(
    record: Loss, params: tuple[float, ...], code: int, dtype: torch.dtype, loss_dtype: torch.dtype
) -> Call | None:
    if _ops.missing_kernel(record.operator) or not record.accepts(*params):
        return None
    return _call(record, params, code, dtype, loss_dtype)


def _call(
    record: Loss,
    params: tuple[float, ...],
    code: int,
    dtype: torch.dtype,
    loss_dtype: torch.dtype,
    empty_zero: bool = False,
    want_stats: bool = False,
) -> Call:
    options = (params, code, empty_zero, _ops.DTYPE_CODES[loss_dtype])
    formula, now = functools.partial(_formula, record), makes_gradient_now(code, dtype)
    return Call(record.name, _ops.OPERATORS[record.operator], options, formula, now, want_stats)


def _formula(
    record: Loss,
    call: Call,
    tensors: tuple[Tensor, ...],
    weight: Tensor | None,
    mask: Tensor | None,
    divisor: Tensor | None,
) -> Tensor:
    """The loss of a kernel's call in plain PyTorch, for second derivatives."""
    params, reduction, empty_zero, loss_dtype = call.options
    named: dict[str, Any] = dict(zip(record.params, params, strict=True))
    named.update({name: choices[int(named[name])] for name, choices in record.words.items()})
    for name, parameter in inspect.signature(record.reference).parameters.items():
        if isinstance(parameter.default, bool) and name in named:  # the operators are told a number
            named[name] = bool(named[name])
    return record.reference(
        **dict(zip(record.tensors, tensors, strict=True)), **named, weight=weight, mask=mask, normalizer=divisor,
        reduction=_ops.REDUCTION_NAMES[reduction], empty="zero" if empty_zero else "nan",
        loss_dtype=_ops.DTYPE_OF_CODE[loss_dtype],
    )  # fmt: skip


def _kernel(
    record: Loss,
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
    normalizer, empty = options.get("normalizer"), options.get("empty", record.empty)
    kernel_code = 0 if dims is not None else code
    divisor = None
    if kernel_code == 1:
        if normalizer is not None:
            divisor = divisor_of(normalizer, input.device)
        elif weight is not None and record.weight_mean:
            divisor = (weight if mask is None else torch.where(mask, weight, 0)).sum(dtype=torch.float64)
        elif mask is not None:
            divisor = mask.sum(dtype=torch.float64)
    loss_dtype = options.get("loss_dtype") or dtype
    half = torch.float16 if any(t.dtype is torch.float16 for t in tensors) else tensors[0].dtype
    # Of what is summed later each value is kept as it is computed.
    computed = torch.float64 if any(t.dtype is torch.float64 for t in tensors) else torch.float32
    made = loss_dtype if dims is None else computed
    call = _call(record, params, kernel_code, half, made, empty == "zero", want_stats)
    result = run_kernel(call, tensors, weight, mask, divisor)
    loss, measured = result if want_stats else (result, None)
    if dims is not None:
        loss = _reduce_dims(record, loss, weight, mask, code, dims, normalizer, empty).to(loss_dtype)
    if measured is None:
        return loss
    number = input.numel() // (input.shape[-1] if record.along else 1)
    count = mask.sum() if mask is not None else torch.full((), number, device=input.device)
    finite = measured.isfinite().all() & loss.detach().isfinite().all()
    return loss, PointStats(measured[1].sqrt(), finite, count)


def _reduce_dims(
    record: Loss,
    loss: Tensor,
    weight: Tensor | None,
    mask: Tensor | None,
    code: int,
    dims: int | tuple[int, ...],
    normalizer: float | Tensor | None,
    empty: str,
) -> Tensor:
    if code == 1 and mask is None and normalizer is None and not (weight is not None and record.weight_mean):
        return loss.mean(dims)
    total = loss.sum(dims)
    if code == 2:
        return total
    if normalizer is not None:
        return total / (normalizer.reshape(()) if isinstance(normalizer, Tensor) else normalizer)
    counted = weight if weight is not None and record.weight_mean else loss.new_ones(()).expand(loss.shape)
    kept = counted if mask is None else torch.where(mask, counted, 0)
    divisor = kept.sum(dims, dtype=_ops.compute_dtype(loss.dtype))
    mean = (total / divisor).to(loss.dtype)
    return torch.where(divisor == 0, 0.0, mean) if empty == "zero" else mean


def _warn_sizes(input: Tensor, target: Tensor) -> None:
    warnings.warn(
        f"Using a target size ({target.size()}) that is different to the input size ({input.size()}). "
        "This will likely lead to incorrect results due to broadcasting. Please ensure they have the same size.",
        stacklevel=5,
    )


def _check_domain(record: Loss, result: Any, arguments: dict[str, Any], reduction: str, options: Any) -> None:
    """Raises what the CPU raises for an element outside the loss's domain, of which the device has made NaN."""
    loss = result[0] if options.get("return_stats") else result
    if loss.isnan().any():
        here, kept = ({k: v.cpu() if isinstance(v, Tensor) else v for k, v in d.items()} for d in (arguments, options))
        record.reference(**here, reduction=reduction, **kept)


def _explain_error(
    record: Loss, error: Exception, arguments: dict[str, Any], reduction: str, options: dict[str, Any]
) -> Any:
    """Raises ``error`` again, as PyTorch's type, with what it is about.

    Only the kernel knows that an element is outside a loss's domain, only PyTorch what to say about it (releases differ
    in what they allow): it decides.
    """
    if _ops.OUTSIDE_DOMAIN in str(error):
        try:
            return record.reference(**arguments, reduction=reduction, **options)
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
    cast = isinstance(target, Tensor) and not target.is_floating_point() and "binary_cross_entropy" in record.name
    remedy = "; expected a floating point target, convert it with .float()" if cast else ""
    raise type(error)(f"fastloss.{record.name}: {error} (got {seen}){remedy}") from error
