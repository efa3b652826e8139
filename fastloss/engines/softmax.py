"""Losses of the softmax over classes: the path that a call takes, and the call of the kernel."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NoReturn

import torch
from torch import Tensor

from fastloss._core import operators as _ops
from fastloss._core import route, row_formula
from fastloss._core._torch import base_of, exchange_table, forward_mode_active, tracing_state, transforms_active
from fastloss._core.autograd import Call, makes_gradient_now, run_kernel, savable
from fastloss._core.guards import (
    KERNEL_DTYPES,
    REDUCTIONS,
    TENSORS,
    TORCH_ERRORS,
    divisor_of,
    is_compiling,
    is_dynamo_compiling,
    is_placed,
    loss_dtype_of,
    on_cuda,
    scalar,
    why_no_kernel,
    why_not_normalizer,
)
from fastloss._core.options import ROW_DEFAULTS, ROW_NUMBERS
from fastloss._core.record import P, PublicLoss, SoftmaxLoss, publish
from fastloss._core.stats import RowStats
from fastloss.engines.elements import NUMBERS

# Up to this many logits a call without options goes to PyTorch's own operator: its C++ autograd costs about 15 us less
# than a Python autograd.Function, more than our kernel can win back. Rows of 16 classes and more, where native is
# vectorised too, break even later. Measured on 2 cores (`python -m benchmarks.harness --suite small`).
TINY = 2560
_LARGEST_INDEX = 2**53  # the operators take ignore_index among other numbers, as a float64
if _ops._C is not None and exchange_table is not None:
    _ops._C.open_gate(exchange_table, Tensor, torch.nn.Parameter)
# Whether PyTorch's own operator is best for a call without options: Note [The gate of tiny calls] in csrc/module.cpp.
is_tiny: Callable[..., bool] = _ops._C.is_tiny if _ops._C is not None else lambda *_: False
# Likewise, for losses made of such operators: of a matrix in single or double precision.
is_tiny_matrix: Callable[..., bool] = _ops._C.is_tiny_matrix if _ops._C is not None else lambda *_: False

# Of a call: input, target, hyperparameters, weight, ignore_index, reduction, label_smoothing, options. One with names
# would take as long as PyTorch's own layer over its operator.
Posed = tuple[Any, Any, tuple[Any, ...], Any, Any, Any, Any, Any]

_SHARED = """
    Keyword-only options, shared by every softmax loss:
        z_loss: Weight of the squared log-normaliser (PaLM, Chowdhery et al. 2022).
        softcap: Caps the logits to (-softcap, softcap) (Gemma 2, 2024). None: no cap.
        temperature: Divides the logits, after the cap (Hinton et al. 2015).
        mask: Bool, shape of index targets; rows where it is False are ignored.
        normalizer: Replaces the mean's divisor (tokens of a whole accumulated batch, say); float or 0-d tensor.
        empty: Value of a mean over no rows: ``"nan"`` as PyTorch, or ``"zero"``. The gradient is zero either way.
        loss_dtype: dtype of the loss. Default: ``input``'s; float32 under autocast.
        inplace: Allows the gradient to be written over the memory of ``input``, which halves peak memory. Nothing else
            may use the logits then. Backward raises if something else differentiates them, or a tensor that they are a
            view of, before or after this call. A use that is not differentiated (an accuracy computed after this call,
            say) reads the gradient without notice. So does a use of a tensor that ``input`` is only a part of, through
            anything but ``input`` itself.
        return_stats: Also return `RowStats`, measured in the same pass.
        group: Processes on which the classes of each row lie, in the order of ranks (vocabulary parallelism).
            ``input``, ``weight``, factors per class and probability targets are then those of the classes here, class
            indices those of all. The loss is the same on every process, the gradient that of its own logits.

    A DTensor as ``input``, with classes or rows on several processes, needs no ``group``. The loss is that of the
    whole, a DTensor too, and the gradient lies as ``input`` does. Each of the other tensors is a DTensor on the same
    mesh, the whole, or the part that belongs to the local logits. ``inplace`` is ignored.

    Returns:
        The loss: shape of index targets for ``"none"``, otherwise ``()``. With ``return_stats`` the pair
        ``(loss, RowStats)``.

    Raises:
        IndexError: A class index is outside [0, C) and is not ``ignore_index``. On CUDA only under
            :func:`fastloss.debug`, as raising would mean waiting for the device: otherwise that row's loss is NaN and
            its gradient zero.
        ValueError, RuntimeError, TypeError: As PyTorch for shapes, dtypes, devices and options.

    Memory: one gradient buffer, written during forward; with ``inplace`` none. ``"none"``, float16 and
        ``torch.compile`` keep two numbers per row instead and write the gradient in backward; there the logits
        must not be modified in between (autograd raises if they are).
"""


def loss(**facts: Any) -> Callable[[Callable[P, Any]], PublicLoss[P]]:
    """Makes a loss of a function that poses its problem; ``facts`` are attributes of its `SoftmaxLoss`."""

    def complete(pose: Callable[P, Any]) -> PublicLoss[P]:
        record = SoftmaxLoss(pose.__name__, pose=pose, **facts)
        native = record.native

        def function(*args: P.args, **kwargs: P.kwargs) -> Any:
            posed = input, target, params, weight, ignore_index, reduction, label_smoothing, options = pose(
                *args, **kwargs
            )
            inplace = _take_inplace(options) if options else False
            if not options and not is_dynamo_compiling():  # Dynamo does not see through the gate
                try:
                    if native is not None and is_tiny(input, target, ignore_index, TINY) and reduction in REDUCTIONS:
                        if route.watched:
                            route.take(record.name, "native", route.WHY_NATIVE)
                        return native(input, target, weight, REDUCTIONS[reduction], ignore_index, label_smoothing)
                    made = _kernel_as_it_is(
                        record, inplace, input, target, params, weight, ignore_index, reduction, label_smoothing
                    )
                    if made is not None:
                        return made
                except TORCH_ERRORS:
                    pass  # the general way says what is wrong, or does it differently
            return solve(record, inplace, *posed)

        def reference(*args: P.args, **kwargs: P.kwargs) -> Any:
            return row_formula.evaluate(record, *pose(*args, **kwargs))

        own, example, rest = (pose.__doc__ or "").rstrip().partition("\n    Example:")
        return publish(record, function, reference, f"{own}{_SHARED}{example}{rest}\n", by_name=True)

    return complete


def _take_inplace(options: dict[str, Any]) -> bool:
    """Leaves those options that change the loss; whether ``inplace`` was one of them."""
    inplace = bool(options.pop("inplace", False))
    for name, value in [*options.items()]:
        if name in ROW_DEFAULTS:
            default = ROW_DEFAULTS[name]
            if type(value) is type(default) and value == default:
                del options[name]
    return inplace


def _kernel_as_it_is(
    record: SoftmaxLoss,
    inplace: bool,
    input: Tensor,
    target: Tensor,
    params: tuple[Any, ...],
    weight: Tensor | None,
    ignore_index: int,
    reduction: str,
    label_smoothing: float | Tensor,
) -> Tensor | None:
    """The kernel's loss if it takes these arguments as they stand, as it does most; None sends them to `solve`.

    In a training step Python is cold, and every object that is looked at a cache miss: the general way takes 5 us at
    256x1000, in a loop, and 100 after a step of 8192x1000 logits. So this asks what the operator cannot know, or would
    do something else for, and leaves it to refuse the rest.
    """
    if not (
        type(input) in TENSORS
        and type(target) is Tensor
        and weight is None
        and (target.is_cpu if input.is_cpu else on_cuda("softmax", input) and target.device == input.device)
        and input.dtype in KERNEL_DTYPES
        and target.dtype is torch.int64
        and not target.is_inference()
        and NUMBERS.issuperset(map(type, params))
        and type(label_smoothing) is float
        and 0.0 <= label_smoothing <= 1.0
        and type(ignore_index) is int
        and abs(ignore_index) <= _LARGEST_INDEX
        and reduction in REDUCTIONS
        and (not inplace or (not _of_leaf(input) and input.is_contiguous()))
        and _ops.AVAILABLE
        and not route.watched
        and not transforms_active()
        and not forward_mode_active()
        and not is_compiling()
        and tracing_state() is None
    ):
        return None
    code, dtype = REDUCTIONS[reduction], input.dtype
    call = _accepted_call(record, params, label_smoothing, ignore_index, code, dtype, loss_dtype_of(input), inplace)
    return None if call is None else run_kernel(call, (input, target))


@lru_cache(maxsize=64)
def _accepted_call(
    record: SoftmaxLoss,
    params: tuple[float, ...],
    label_smoothing: float,
    ignore_index: int,
    code: int,
    dtype: torch.dtype,
    loss_dtype: torch.dtype,
    inplace: bool,
) -> Call | None:
    if _ops.missing_kernel(record.operator) or not record.accepts(*params):
        return None
    numbers = {**dict(zip(record.params, params, strict=True)), "label_smoothing": label_smoothing}
    return call_of(record, numbers, ignore_index, code, loss_dtype, makes_gradient_now(code, dtype), inplace)


def call_of(
    record: SoftmaxLoss,
    numbers: dict[str, float],
    ignore_index: int,
    code: int,
    loss_dtype: torch.dtype,
    now: bool,
    inplace: bool,
    empty_zero: bool = False,
    want_stats: bool = False,
) -> Call:
    """What the operators are told. ``numbers`` are hyperparameters and options by name, None those that are off."""
    given = {name: number for name, number in numbers.items() if number is not None}
    given = {**_ops.ROWS_OPTIONS, **given, "ignore_index": ignore_index}
    values = tuple(given[name] for name in (*record.params, *_ops.ROWS_OPTIONS))
    options = (values, code, empty_zero, _ops.DTYPE_CODES[loss_dtype])
    formula = partial(formula_of, record)
    return Call(
        record.name, _ops.OPERATORS[record.operator], options, formula, now, want_stats, inplace, _ops.rows_state
    )


def formula_of(
    record: SoftmaxLoss,
    call: Any,
    tensors: tuple[Tensor, ...],
    weight: Tensor | None,
    mask: Tensor | None,
    divisor: Tensor | None,
) -> Tensor:
    """The loss of a kernel's call in plain PyTorch, for second derivatives."""
    input, target = tensors
    values, code, empty_zero, loss_dtype = call.options
    given: dict[str, Any] = dict(zip((*record.params, *_ops.ROWS_OPTIONS), values, strict=True))
    given |= {"ignore_index": int(given["ignore_index"]), "softcap": given["softcap"] or None}
    if weight is not None and weight.dim() == 2:  # with margins, of the tempered logits
        weight, margin = weight
        kept = target != given["ignore_index"] if mask is None else mask & (target != given["ignore_index"])
        label = torch.where(kept, target, 0)
        input = row_formula.lowered(input.to(weight.dtype), label, margin * given["temperature"])
    if weight is not None and not target.is_floating_point():
        input = input.to(weight.dtype)  # a weight that we have combined is of the computing dtype
    dtype = _ops.DTYPE_OF_CODE[loss_dtype]
    return record.reference(
        input, target, **given, weight=weight, mask=mask, normalizer=divisor, reduction=_ops.REDUCTION_NAMES[code],
        empty="zero" if empty_zero else "nan", loss_dtype=None if dtype == input.dtype else dtype,
    )  # fmt: skip


def solve(
    record: SoftmaxLoss,
    inplace: bool,
    input: Any,
    target: Any,
    params: tuple[Any, ...],
    weight: Any,
    ignore_index: Any,
    reduction: Any,
    label_smoothing: Any,
    options: dict[str, Any],
) -> Any:
    """Checks what is posed, and runs the kernel of a loss, or its formula where that is due."""
    name = record.name
    if is_placed(input):
        from fastloss.engines import placed

        return placed.softmax_loss(
            solve, record, input, target, params, weight, ignore_index, reduction, label_smoothing, options
        )
    if options.get("group") is not None:
        from fastloss.engines import parts

        return parts.solve(
            record, inplace, input, target, params, weight, ignore_index, reduction, label_smoothing, options
        )
    for what, value in (("input", input), ("target", target)):
        if not isinstance(value, Tensor):
            raise TypeError(
                f"fastloss.{name}: {what} is {type(value).__name__}, expected a Tensor: logits as input, class indices "
                "(torch.int64) or probabilities as target"
            )
    if target.dtype is torch.uint8:  # which PyTorch takes too
        target = target.long()
    row_formula.check(record, input, params, weight, reduction, label_smoothing, options)
    if torch.is_grad_enabled() and not is_compiling():
        input, target, weight, params = savable(input), savable(target), savable(weight), tuple(map(savable, params))
        options = {what: savable(value) for what, value in options.items()}
    if inplace:
        refuse_leaf(name, input)
    numbers, factor = numbers_of(record, params, label_smoothing, options)
    reason = why_not_kernel(record, input, target, weight, factor, ignore_index, numbers, options)
    if not reason and reduction not in REDUCTIONS:
        reason = "PyTorch decides this reduction"
    route.kernel_unless(name, reason)
    try:
        if reason:
            posed = input, target, params, weight, ignore_index, reduction, label_smoothing, options
            return row_formula.evaluate(record, *posed)
        return _kernel(record, inplace, input, target, weight, factor, ignore_index, reduction, numbers, options)
    except Exception as error:
        _explain_error(name, error, input, target, weight, ignore_index)


def solve_lowered(
    record: SoftmaxLoss,
    input: Tensor,
    target: Tensor,
    margin: Tensor,
    weight: Tensor | None,
    ignore_index: int,
    reduction: str,
    options: dict[str, Any],
    plainly: Callable[[], Tensor],
) -> Tensor:
    """The loss with each target's logit lowered, after the temperature, by the margin of its class: from the kernel,
    or ``plainly``."""
    numbers, _ = numbers_of(record, (), 0.0, options)
    reason = why_not_kernel(record, input, target, weight, None, ignore_index, numbers, options)
    reason = reason or ("the margins need a gradient" if margin.requires_grad else "")
    route.kernel_unless(record.name, reason)
    try:
        if reason:
            return plainly()
        made: Tensor = _kernel(
            record, False, input, target, weight, None, ignore_index, reduction, numbers, options, margin
        )
        return made
    except Exception as error:
        _explain_error(record.name, error, input, target, weight, ignore_index)


def numbers_of(
    record: SoftmaxLoss, params: tuple[Any, ...], label_smoothing: Any, options: dict[str, Any]
) -> tuple[dict[str, Any], Tensor | None]:
    """Hyperparameters and options by name, None for one that must stay a tensor; and the factor of each class."""
    given = dict(zip(record.params, params, strict=True))
    factor = given.get(record.factor)
    if isinstance(factor, Tensor) and factor.dim():
        given[record.factor] = 1.0
    else:
        factor = None
    given["label_smoothing"] = label_smoothing
    given.update({what: options.get(what, ROW_DEFAULTS[what]) for what in ROW_NUMBERS})
    return {what: scalar(value) for what, value in given.items()}, factor


def refuse_leaf(name: str, input: Tensor) -> None:
    """Refuses logits that inplace=True must not write over."""
    if input.requires_grad and _of_leaf(input) and torch.is_grad_enabled():
        raise RuntimeError(
            f"fastloss.{name}: inplace=True would overwrite a leaf tensor that requires grad, or a view of one, with "
            "its gradient; expected logits computed by the model, remedy: inplace=False"
        )


def _of_leaf(input: Tensor) -> bool:
    """Whether the memory is that of a leaf, a parameter perhaps, which must keep its numbers."""
    base = base_of(input)
    return input.is_leaf or (base is not None and base.is_leaf and base.requires_grad)


def why_not_kernel(
    record: SoftmaxLoss,
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    factor: Tensor | None,
    ignore_index: Any,
    numbers: dict[str, Any],
    options: dict[str, Any],
) -> str:
    """Why the kernel does not take this call; empty when it does."""
    mask = options.get("mask")
    reason = why_no_kernel(record.engine, (input, target, *(t for t in (weight, mask, factor) if t is not None)))
    reason = reason or _ops.missing_kernel(record.operator)
    if reason:
        return reason
    if input.dtype not in KERNEL_DTYPES:
        return f"{input.dtype} has no kernel"
    dim = input.dim()
    if dim == 0 or input.numel() == 0:
        return "PyTorch decides empty arguments"
    shape, classes = input.shape, input.shape[row_formula.class_dim(input)]
    rows_shape = _ops.rows_shape(shape)
    soft = target.is_floating_point()
    if soft:
        if not record.probabilities:
            return "the kernel of this loss takes one class per row, no probabilities"
        if target.shape != shape or ignore_index >= 0:
            return "PyTorch decides this combination of probability targets"
        kinds = {target.dtype} if weight is None else {target.dtype, weight.dtype}
        if not kinds <= KERNEL_DTYPES or (torch.float64 in kinds and input.dtype != torch.float64):
            return "probabilities or weights that are wider than the logits and float32, or of other dtypes"
    elif target.dtype != torch.int64 or target.shape != rows_shape:
        return "PyTorch decides this target's shape and dtype"
    if weight is not None and (
        weight.dim() != 1
        or weight.shape[0] != classes
        or weight.requires_grad
        or (weight.dtype != input.dtype and not soft and not _ops.autocasts(input.device.type))
    ):
        return "PyTorch decides this weight's shape, dtype or gradient"
    if mask is not None and (mask.dtype != torch.bool or mask.shape != rows_shape):
        return "the reference checks this mask"
    reason = why_not_normalizer(options.get("normalizer"), input.device)
    if reason:
        return reason
    unknown = [what for what, value in numbers.items() if value is None]
    if unknown:
        return f"{unknown[0]} is a tensor that needs a gradient or lives on another device, or no number"
    if factor is not None and (factor.requires_grad or numbers["label_smoothing"] or numbers["z_loss"]):
        return f"{record.factor} per class with smoothing or z_loss, or with a gradient"
    if not isinstance(ignore_index, int) or abs(ignore_index) > _LARGEST_INDEX:
        return "PyTorch decides this ignore_index"
    if not 0.0 <= numbers["label_smoothing"] <= 1.0:
        return "PyTorch decides this label_smoothing"
    return ""


def divisor_and_weight(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    factor: Tensor | None,
    ignore_index: int,
    reduction: str,
    options: dict[str, Any],
) -> tuple[Tensor | None, Tensor | None]:
    """What replaces a mean's divisor, and the weight of each class with its factor."""
    mask, normalizer = options.get("mask"), options.get("normalizer")
    if factor is not None:
        # The engine's weight stands for both factors; the divisor is still the weight's own.
        if reduction == "mean" and normalizer is None:
            kept = target != ignore_index if mask is None else mask & (target != ignore_index)
            ones = torch.ones_like(factor) if weight is None else weight
            chosen = ones[target.clamp(0, ones.numel() - 1)]
            normalizer = torch.where(kept, chosen, 0).sum(dtype=torch.float64)
        product = factor.to(_ops.compute_dtype(input.dtype))
        weight = product if weight is None else product * weight
    return None if normalizer is None else divisor_of(normalizer, input.device), weight


def _kernel(
    record: SoftmaxLoss,
    inplace: bool,
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    factor: Tensor | None,
    ignore_index: int,
    reduction: str,
    numbers: dict[str, float],
    options: dict[str, Any],
    margin: Tensor | None = None,
) -> Any:
    """Turns what was posed into what the operators take."""
    mask, want_stats = options.get("mask"), options.get("return_stats", False)
    dtype = options.get("loss_dtype") or row_formula.dtype_of_loss(input, target, weight)
    divisor, weight = divisor_and_weight(input, target, weight, factor, ignore_index, reduction, options)
    if margin is not None:
        compute = _ops.compute_dtype(input.dtype)
        ones = torch.ones_like(margin, dtype=compute) if weight is None else weight.to(compute)
        weight = torch.stack((ones, margin.to(compute)))
    soft = target.is_floating_point()
    if input.is_cuda and _ops.debugging() and not soft:
        bad = bad_target(target, input.shape[row_formula.class_dim(input)], ignore_index, mask)
        if bad:
            raise IndexError(f"fastloss.{record.name}: {bad}")
    overwrite = inplace and not is_compiling() and not repeats_memory(input)
    code = REDUCTIONS[reduction]
    now = makes_gradient_now(code, input.dtype) and not target.requires_grad
    empty_zero = options.get("empty") == "zero"
    call = call_of(record, numbers, ignore_index, code, dtype, now, overwrite, empty_zero, want_stats)
    result = run_kernel(call, (input, target), weight, mask, divisor)
    return (result[0], RowStats.from_vector(result[1])) if want_stats else result


def repeats_memory(tensor: Tensor) -> bool:
    """Whether several elements are one in memory (expanded tensors), so that each cannot have a gradient there."""
    return any(stride == 0 and size > 1 for stride, size in zip(tensor.stride(), tensor.shape, strict=True))


def _diagnose(input: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int) -> str:
    """What is wrong with the arguments, with expected, got and remedy; empty when nothing stands out."""
    shape, given = tuple(input.shape), tuple(target.shape)
    if not shape:
        return "input is 0-dimensional, expected (C), (N, C) or (N, C, d1, ...)"
    classes = shape[0] if len(shape) == 1 else shape[1]
    rows_shape = _ops.rows_shape(shape)
    if target.device != input.device:
        return f"target is on {target.device}, expected {input.device} like input; move it with .to(input.device)"
    if target.is_floating_point():
        if target.shape != input.shape:
            return (
                f"target holds probabilities ({target.dtype}) of shape {given}, expected {shape} like "
                f"input; for class indices pass int64 of shape {rows_shape}"
            )
        if ignore_index >= 0:
            return f"ignore_index={ignore_index} needs class-index targets, got probabilities; use mask= instead"
    else:
        if given != rows_shape:
            remedy = "reshape one of them"
            if given[:1] + given[2:] == rows_shape and given[1:2] == (1,):
                remedy = "remove the dimension of size 1 with target.squeeze(1)"
            elif len(shape) > 2 and given == shape[:-1]:
                last = "transpose(1, 2)" if len(shape) == 3 else "movedim(-1, 1)"
                remedy = (
                    "if the classes are the last dimension, pass input.flatten(0, -2) and target.flatten(), or "
                    f"input.{last}"
                )
            return (
                f"target has shape {given}, expected {rows_shape}: input {shape} without its class dimension; {remedy}"
            )
        if target.dtype != torch.int64:
            return f"target has dtype {target.dtype}, expected torch.int64; convert it with .long()"
    if weight is not None and (weight.dim() != 1 or weight.shape[0] != classes):
        return f"weight has shape {tuple(weight.shape)}, expected ({classes},): one factor per class"
    if weight is not None and weight.dtype != input.dtype:
        return f"weight has dtype {weight.dtype}, expected {input.dtype} like input"
    if classes and not target.is_floating_point() and target.device.type == "cpu":
        return bad_target(target, classes, ignore_index)
    return ""


def bad_target(target: Tensor, classes: int, ignore_index: int, mask: Tensor | None = None, each: int = 1) -> str:
    """The first class index out of range, of ``each`` in a row, with row, value and remedy; empty if there is none.

    Waits for a device.
    """
    flat = target.reshape(-1)
    bad = ((flat < 0) | (flat >= classes)) & (flat != ignore_index)
    if mask is not None:
        bad &= mask.reshape(-1)
    if not bad.any():
        return ""
    row = int(bad.nonzero()[0])
    return (
        f"target {int(flat[row])} at row {row // each} is {_ops.OUT_OF_BOUNDS}, expected [0, {classes}) or "
        f"ignore_index={ignore_index}; map it to a class or set ignore_index"
    )


def _explain_error(
    name: str, error: Exception, input: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int
) -> NoReturn:
    """Raises ``error`` again, as its own type, with a diagnosis; a bad target always as IndexError."""
    if type(error) not in TORCH_ERRORS or _ops.names_its_loss(error):
        raise error
    tensors = isinstance(input, Tensor) and isinstance(target, Tensor)
    of_smoothing = "label_smoothing" in str(error)  # which PyTorch looks at first
    diagnosis = (_diagnose(input, target, weight, ignore_index) if tensors and not of_smoothing else "") or str(error)
    kind = IndexError if _ops.OUT_OF_BOUNDS in diagnosis else type(error)
    raise kind(f"fastloss.{name}: {diagnosis}") from error
