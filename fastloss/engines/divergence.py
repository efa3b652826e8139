"""Losses of two rows of logits: the path that a call takes, the call of the kernel, and the shell of the formula."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor

from fastloss._core import operators as _ops
from fastloss._core import options as _options
from fastloss._core import route, row_formula
from fastloss._core._torch import F, forward_mode_active, tracing_state, transforms_active
from fastloss._core.autograd import Call, makes_gradient_now, run_kernel, savable
from fastloss._core.guards import (
    KERNEL_DTYPES,
    REDUCTIONS,
    TENSORS,
    TORCH_ERRORS,
    cast,
    divisor_of,
    is_compiling,
    is_placed,
    loss_dtype_of,
    on_cuda,
    scalar,
    why_no_kernel,
    why_not_normalizer,
)
from fastloss._core.record import DivergenceLoss, P, PublicLoss, publish
from fastloss.engines.softmax import refuse_leaf, repeats_memory

TEACHERS = ("logits", "log_probabilities", "probabilities")
_PROBABILITIES = 2.0
_NO_CLASS = -(2**31)
_OPTIONS = _options.names(_options.DivergenceOptions)
_PLAIN = frozenset((float, int, bool, str))

_SHARED = """
    Keyword-only options:
        weight: Factor of each row's value, shape of ``input`` without its last dimension. Does not enter the mean's
            divisor. Not differentiated by the kernel.
        mask: Bool, of that shape; rows where it is False count as if they were not there: value and gradients are
            exactly zero whatever their logits.
        normalizer: Replaces the mean's divisor, the number of rows that are kept; float or 0-d tensor.
        empty: Value of a mean over no rows: ``"nan"`` (default) or ``"zero"``. The gradient is zero either way.
        loss_dtype: dtype of the loss. Default: the common one of both tensors; float32 for half under autocast.
        inplace: Allows the gradient to be written over the memory of ``input``; see `cross_entropy`.
        group: Processes on which the classes of each row lie, in the order of ranks. ``input`` and ``target`` are then
            those of the classes here, as is the gradient; of a teacher of k classes every process has all values and
            indices, without ``tail``. DTensors need no ``group``: as in `cross_entropy`.

    Returns:
        The loss: shape of ``input`` without its last dimension for ``"none"``, otherwise ``()``.

    Shapes: any number of dimensions, any strides.
    Dtypes: float16, bfloat16, float32, float64, each tensor its own. A gradient has the dtype of its tensor.
    Raises: TypeError for what is no tensor, RuntimeError for shapes and dtypes, ValueError for bad options.
    Gradient: to both tensors; differentiable again (through the reference).
    Memory: one gradient buffer per differentiated tensor, written during forward; with ``inplace`` none for ``input``.
        For ``"none"``, float16 and ``torch.compile`` in backward.
    Accuracy: half and single precision compute in float32. Where teacher and student agree, no difference of rounded
        probabilities is formed, and value and gradients keep their relative accuracy. The result does not depend on the
        number of threads.
"""


def loss(**facts: Any) -> Callable[[Callable[P, Any]], PublicLoss[P]]:
    """Makes a loss of a function that poses its problem; ``facts`` are attributes of its `DivergenceLoss`."""

    def complete(pose: Callable[P, Any]) -> PublicLoss[P]:
        record = DivergenceLoss(pose.__name__, pose=pose, **facts)

        def function(*args: P.args, **kwargs: P.kwargs) -> Any:
            made = gate(record, args, kwargs)
            return solve(record, *pose(*args, **kwargs)[:3]) if made is None else made

        def reference(*args: P.args, **kwargs: P.kwargs) -> Any:
            arguments, reduction, options, _ = pose(*args, **kwargs)
            check(record, arguments, reduction, options)
            if options.get("group") is not None:
                raise ValueError(f"fastloss.{record.name}: expected group=None: the formula is that of whole rows")
            return evaluate(record, arguments, reduction, options)

        own, example, rest = (pose.__doc__ or "").rstrip().partition("\n    Example:")
        return publish(record, function, reference, f"{own}{_SHARED}{example}{rest}\n", by_name=True)

    return complete


def gate(record: DivergenceLoss, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Answers the commonest calls, both tensors and perhaps numbers and words, before they are posed; None for others.

    This looks at as little as it can, and leaves it to the operator to refuse what is left.
    """
    if (
        not 2 <= len(args) <= 3
        or not TENSORS.issuperset(map(type, args[:2]))
        or not _PLAIN.issuperset(map(type, args[2:]))
        or not _PLAIN.issuperset(map(type, kwargs.values()))
        or route.watched
        or not _ops.AVAILABLE
        or transforms_active()
        or forward_mode_active()
        or is_compiling()
        or tracing_state() is not None
    ):
        return None
    input, target = args[0], args[1]
    dtype = input.dtype
    if (
        target.dtype is not dtype
        or input.shape != target.shape
        or not (target.is_cpu if input.is_cpu else on_cuda("divergence", input) and target.device == input.device)
        or input.is_inference()
        or target.is_inference()
    ):
        return None
    call = _accepted_call(record, args[2:], tuple(kwargs.items()), dtype, loss_dtype_of(input))
    if call is None or (target.requires_grad and call.options[0][-1] == _PROBABILITIES):
        return None
    try:
        return run_kernel(call, (input, target))
    except TORCH_ERRORS:
        return None  # the general way says what is wrong, or does it differently


@lru_cache(maxsize=256)
def _accepted_call(
    record: DivergenceLoss,
    kind: tuple[Any, ...],
    named: tuple[tuple[str, Any], ...],
    dtype: torch.dtype,
    loss_dtype: torch.dtype,
) -> Call | None:
    try:
        arguments, reduction, options, _ = record.pose(None, None, *kind, **dict(named))
    except TypeError:
        return None
    given = {what: v for what in record.domains if (v := arguments[what]) is not None}
    if (
        dtype not in KERNEL_DTYPES
        or options
        or arguments["tail"]
        or reduction not in REDUCTIONS
        or any(arguments[what] not in words for what, words in record.words.items())
        or any(isinstance(value, str) for value in given.values())
        or not _options.in_domain(record.name, **given)
    ):
        return None
    operator, numbers = _operands(record, arguments)
    if _ops.missing_kernel(operator):
        return None
    now = makes_gradient_now(REDUCTIONS[reduction], dtype)
    return _call(record, arguments, operator, numbers, REDUCTIONS[reduction], False, loss_dtype, now, False)


def _parts(target: Any) -> tuple[Any, ...]:
    return tuple(target) if isinstance(target, tuple) else (target,)


def check(record: DivergenceLoss, arguments: dict[str, Any], reduction: str, options: dict[str, Any]) -> None:
    """Refuses arguments that no path takes."""
    name, input, parts = record.name, arguments["input"], _parts(arguments["target"])
    if len(parts) != 1 and len(parts) != 2:
        raise ValueError(f"fastloss.{name}: target has {len(parts)} parts, expected a tensor, or (values, indices)")
    names = ("target",) if len(parts) == 1 else ("target[0]", "target[1]")
    _options.require_tensors(name, input=input, **dict(zip(names, parts, strict=True)))
    _options.refuse_unknown(name, options, _OPTIONS, record.names)
    of = options.get
    _options.check_tensors(name, weight=of("weight"), mask=of("mask"))
    _options.check(name, reduction, of("normalizer"), of("empty", "nan"), of("loss_dtype"))
    _options.reduction_code(reduction)
    record.check_words(name, **{what: arguments[what] for what in record.words})
    _options.check_domain(name, **{what: v for what in record.domains if (v := arguments[what]) is not None})
    rows = input.shape[:-1]
    if not input.dim() or parts[0].shape[:-1] != rows or (len(parts) == 1 and parts[0].shape != input.shape):
        shapes = " and ".join(str(tuple(part.shape)) for part in parts)
        raise RuntimeError(
            f"fastloss.{name}: input has shape {tuple(input.shape)}, target {shapes}; expected a target of input's "
            "shape, classes last, or (values, indices) of the k classes of each row (..., k)"
        )
    if not input.is_floating_point() or not parts[0].is_floating_point():
        raise RuntimeError(f"fastloss.{name}: expected floating point tensors, got {input.dtype} and {parts[0].dtype}")
    if len(parts) == 2 and (parts[1].shape != parts[0].shape or parts[1].dtype != torch.int64):
        raise RuntimeError(
            f"fastloss.{name}: indices are {parts[1].dtype} of shape {tuple(parts[1].shape)}, expected torch.int64 of "
            f"the values' shape {tuple(parts[0].shape)}"
        )
    if arguments["tail"] and len(parts) == 1:
        raise ValueError(f"fastloss.{name}: tail=True needs target=(values, indices), all classes have no tail")
    _options.check_row_mask(name, of("mask"), rows)
    weight = of("weight")
    if weight is not None and weight.shape != rows:
        raise RuntimeError(
            f"fastloss.{name}: weight has shape {tuple(weight.shape)}, expected {tuple(rows)}, one factor per row"
        )


def dtype_of_loss(input: Tensor, target: Tensor) -> torch.dtype:
    return cast(torch.promote_types(input.dtype, target.dtype), _ops.autocasts(input.device.type))


def _temperatures(arguments: dict[str, Any]) -> tuple[Any, Any]:
    """The student's, and the teacher's, which has none if it is given as (log-)probabilities."""
    own, other = arguments["temperature"], arguments["target_temperature"]
    return own, 1.0 if arguments["target_is"] != "logits" else own if other is None else other


def _operands(record: DivergenceLoss, arguments: dict[str, Any]) -> tuple[str, tuple[Any, ...]]:
    """The operator of a kind, and its numbers but for the teacher's; None for one that must stay a tensor."""
    operator, *params = record.operators[arguments["kind"]]
    return operator, tuple(map(scalar, [*(arguments[param] for param in params), *_temperatures(arguments)]))


def _call(
    record: DivergenceLoss,
    arguments: dict[str, Any],
    operator: str,
    numbers: tuple[float, ...],
    code: int,
    empty_zero: bool,
    loss_dtype: torch.dtype,
    now: bool,
    inplace: bool,
) -> Call:
    numbers = (*numbers, float(TEACHERS.index(arguments["target_is"])))
    options = (numbers, code, empty_zero, _ops.DTYPE_CODES[loss_dtype])
    formula = partial(_formula, record, arguments["kind"])
    return Call(record.name, _ops.OPERATORS[operator], options, formula, now, inplace=inplace)


def solve(record: DivergenceLoss, arguments: dict[str, Any], reduction: str, options: Any) -> Any:
    """Checks what is posed, and runs the kernel of a loss, or its formula where that is due."""
    if is_placed(arguments["input"]):
        from fastloss.engines import placed

        return placed.divergence(solve, record, arguments, reduction, options)
    check(record, arguments, reduction, options)
    input, target = arguments["input"], arguments["target"]
    if torch.is_grad_enabled() and not is_compiling():
        input, target = savable(input), tuple(map(savable, target)) if isinstance(target, tuple) else savable(target)
        arguments = {**arguments, "input": input, "target": target}
        options = {what: savable(value) for what, value in options.items()}
    inplace = bool(options.get("inplace"))
    if inplace:
        refuse_leaf(record.name, input)
    if options.get("group") is not None:
        return _in_parts(record, arguments, reduction, options)
    if isinstance(target, tuple) and not arguments["tail"]:
        return evaluate(record, arguments, reduction, options, _chosen(record, arguments, options))
    operator, numbers = _operands(record, arguments)
    reason = _why_not_kernel(record, operator, arguments, numbers, options)
    route.kernel_unless(record.name, reason)
    if reason:
        return evaluate(record, arguments, reduction, options)
    mask, normalizer = options.get("mask"), options.get("normalizer")
    if normalizer is None and mask is not None and reduction == "mean":
        normalizer = mask.sum(dtype=torch.float64)
    divisor = None if normalizer is None else divisor_of(normalizer, input.device)
    dtype = options.get("loss_dtype") or dtype_of_loss(input, target)
    code = REDUCTIONS[reduction]
    now = makes_gradient_now(code, input.dtype) and makes_gradient_now(code, target.dtype)
    inplace = inplace and not is_compiling() and not repeats_memory(input)
    empty_zero = options.get("empty") == "zero"
    call = _call(record, arguments, operator, numbers, code, empty_zero, dtype, now, inplace)
    return run_kernel(call, (input, target), options.get("weight"), mask, divisor)


def _chosen(record: DivergenceLoss, arguments: dict[str, Any], options: Any) -> Tensor:
    """The student's log-probabilities of k classes of each row, in one read of its logits."""
    input, (values, indices) = arguments["input"], arguments["target"]
    return record.chosen(
        input, indices, temperature=arguments["temperature"], ignore_index=_NO_CLASS, mask=options.get("mask"),
        inplace=bool(options.get("inplace")), loss_dtype=_compute(input, values),
    )  # fmt: skip


def _compute(input: Tensor, target: Tensor) -> torch.dtype:
    return torch.promote_types(torch.promote_types(input.dtype, target.dtype), torch.float32)


def _why_not_kernel(
    record: DivergenceLoss, operator: str, arguments: dict[str, Any], numbers: tuple[float | None, ...], options: Any
) -> str:
    """Why the kernel does not take this call; empty when it does."""
    input, target, weight = arguments["input"], arguments["target"], options.get("weight")
    if not isinstance(target, Tensor):
        return "the kernel takes no tail"
    reason = why_no_kernel(record.engine, [input, target, *(t for t in (weight, options.get("mask")) if t is not None)])
    reason = reason or _ops.missing_kernel(operator) or why_not_normalizer(options.get("normalizer"), input.device)
    if reason:
        return reason
    for t in (input, target) if weight is None else (input, target, weight):
        if t.dtype not in KERNEL_DTYPES:
            return f"{t.dtype} has no kernel"
    if input.numel() == 0:
        return "the arguments are empty"
    if target.requires_grad and arguments["target_is"] == "probabilities":
        return "the kernel gives probabilities no gradient"
    if weight is not None and weight.requires_grad:
        return "the weight needs a gradient"
    if None in numbers:
        return "a hyperparameter is a tensor that needs a gradient or lives on another device, or no number"
    return ""


def _formula(
    record: DivergenceLoss,
    kind: str,
    call: Call,
    tensors: tuple[Tensor, ...],
    weight: Tensor | None,
    mask: Tensor | None,
    divisor: Tensor | None,
) -> Tensor:
    """The loss of a kernel's call in plain PyTorch, for second derivatives."""
    input, target = tensors
    numbers, code, empty_zero, loss_dtype = call.options
    *params, temperature, target_temperature, teacher = numbers
    return record.reference(
        input, target, kind, **dict(zip(record.operators[kind][1:], params, strict=True)),
        temperature=temperature, target_temperature=target_temperature, target_is=TEACHERS[int(teacher)],
        reduction=_ops.REDUCTION_NAMES[code], weight=weight, mask=mask, normalizer=divisor,
        empty="zero" if empty_zero else "nan", loss_dtype=_ops.DTYPE_OF_CODE[loss_dtype],
    )  # fmt: skip


def evaluate(
    record: DivergenceLoss, arguments: dict[str, Any], reduction: str, options: Any, log_q: Tensor | None = None
) -> Tensor:
    """The loss of a problem from its formula. ``log_q``: the student's log-probabilities of k classes, if known."""
    input, parts, target_is = arguments["input"], _parts(arguments["target"]), arguments["target_is"]
    compute, mask = _compute(input, parts[0]), options.get("mask")

    def kept(t: Tensor) -> Tensor:
        t = t.to(compute)
        return t if mask is None else torch.where(mask.unsqueeze(-1), t, 1.0)

    temperature, target_temperature = (row_formula.of_dtype(t, compute) for t in _temperatures(arguments))
    given = kept(parts[0])
    if target_is == "logits":
        log_p = F.log_softmax(given / target_temperature, -1)
    else:
        log_p = given if target_is == "log_probabilities" else _log(given)
    p = given if target_is == "probabilities" else log_p.exp()
    if log_q is None:
        z = kept(input) / temperature
        log_q = F.log_softmax(z, -1)
        if len(parts) == 2:
            log_q = log_q.gather(-1, parts[1])
        if arguments["tail"]:
            left = (1.0 - p.sum(-1, keepdim=True)).clamp_min(0.0) if target_is != "logits" else 0.0 * p[..., :1]
            others = z.scatter(-1, parts[1], -math.inf).logsumexp(-1, keepdim=True) - z.logsumexp(-1, keepdim=True)
            log_q, p, log_p = (torch.cat(two, -1) for two in ((log_q, others), (p, left), (log_p, _log(left))))
    return reduced(_values(record, arguments, log_p, log_q, p), arguments, reduction, options)


def _values(record: DivergenceLoss, arguments: dict[str, Any], log_p: Tensor, log_q: Tensor, p: Tensor) -> Tensor:
    own = {name: arguments[name] for name in record.words if name == "kind"}
    numbers = {name: row_formula.of_dtype(arguments[name], log_q.dtype) for name in ("beta", "alpha")}
    values: Tensor = record.formula(log_p, log_q, p, **own, **numbers)
    return values


def reduced(values: Tensor, arguments: dict[str, Any], reduction: str, options: Any) -> Tensor:
    mask, weight, normalizer = (options.get(name) for name in ("mask", "weight", "normalizer"))
    compute = values.dtype
    if weight is not None:
        values = values * weight.to(compute)
    if mask is not None:
        values = torch.where(mask, values, 0.0)
    if reduction == "none":
        made = values
    elif reduction == "sum":
        made = values.sum()
    else:
        ones = torch.ones_like(values) if mask is None else mask.to(compute)
        divisor = ones.sum() if normalizer is None else values.new_ones(()) * row_formula.of_dtype(normalizer, compute)
        made = values.sum() / divisor
        if options.get("empty") == "zero":
            made = torch.where(divisor == 0, 0.0, made)
    return made.to(options.get("loss_dtype") or dtype_of_loss(arguments["input"], _parts(arguments["target"])[0]))


# The factor of each part's value, of the logarithms of the shares, teacher's first.
_BY_SHARES: dict[str, Callable[..., Tensor]] = {
    "kl": lambda p, q, alpha: p,
    "soft_cross_entropy": lambda p, q, alpha: p,
    "reverse_kl": lambda p, q, alpha: q,
    "alpha": lambda p, q, alpha: alpha * p + (1.0 - alpha) * q,
}


def has_shares(arguments: dict[str, Any]) -> bool:
    """Whether kernels of whole rows make the values of rows in parts."""
    of_logits = arguments["target_is"] == "logits" and not isinstance(arguments["target"], tuple)
    return of_logits and arguments["kind"] in _BY_SHARES


def shares_of(record: DivergenceLoss, arguments: dict[str, Any], mask: Tensor | None) -> tuple[Tensor, ...]:
    """What a process measures of its part of each row: the value, and the logarithms of both sums."""
    from fastloss.engines import sums

    student, teacher = arguments["input"], arguments["target"]
    compute, logs = _compute(student, teacher), []
    here = [sums.found(t, mask) for t in (student, teacher)]
    own = solve(record, arguments, "none", {"mask": here[0][0] & here[1][0], "loss_dtype": compute})
    for t, (some, none), temperature in zip((student, teacher), here, _temperatures(arguments), strict=True):
        rows: Any = record.chosen(t, None, return_lse=True, temperature=temperature, mask=some, loss_dtype=compute)
        logs.append(rows.lse.masked_fill(none, -math.inf))
    return own, *logs


def by_shares(record: DivergenceLoss, arguments: dict[str, Any], options: Any, measured: tuple[Tensor, ...]) -> Tensor:
    """The values of rows in parts, as Note [Shares] of `fastloss.engines.sums` says, of what each process measures."""
    from fastloss.engines import sums

    each, *found = sums.shares(record.name, options["group"], *measured)
    log_q, log_p = (t.log_softmax(-1) for t in found)
    factor = _BY_SHARES[arguments["kind"]](log_p, log_q, arguments["alpha"]).exp()
    return _values(record, arguments, log_p, log_q, log_p.exp()) + expected(factor, each)


def _in_parts(record: DivergenceLoss, arguments: dict[str, Any], reduction: str, options: Any) -> Tensor:
    """The loss of rows whose classes lie on several processes."""
    from fastloss.engines import parts, sums

    name, group, target_is = record.name, options["group"], arguments["target_is"]
    _options.check_sharing(name, None, group)
    input, *teacher = arguments["input"], *_parts(arguments["target"])
    numbers = {what: scalar(v) for what in record.domains if (v := arguments[what]) is not None}
    arguments, top = {**arguments, **numbers}, len(teacher) == 2
    if arguments["tail"] or (top and teacher[0].requires_grad) or None in numbers.values() or not input.shape[-1]:
        raise ValueError(
            f"fastloss.{name}: with group= expected numbers as hyperparameters, a class on every process, and a "
            "teacher of k classes without tail=True and without a gradient"
        )
    if has_shares(arguments):
        values = by_shares(record, arguments, options, shares_of(record, arguments, options.get("mask")))
        return reduced(values, arguments, reduction, options)
    route.kernel_unless(name, sums.WHY)
    temperature, target_temperature = _temperatures(arguments)
    before = parts.classes_of(input.shape[-1], None, input, group).first if top else 0
    others = torch.distributed.get_rank(group) > 0

    def logits(block: list[Tensor]) -> list[Tensor]:
        z = [block[0] / temperature]
        return z if target_is != "logits" or top else [*z, block[1] / target_temperature]

    def value(block: list[Tensor], logits: list[Tensor], s: list[Tensor]) -> Tensor:
        log_q, given = logits[0] - s[0].unsqueeze(1), block[1]
        if target_is != "logits":
            log_p = given if target_is == "log_probabilities" else _log(given)
        else:
            log_p = F.log_softmax(given / target_temperature, 1) if top else logits[1] - s[1].unsqueeze(1)
        p = given if target_is == "probabilities" else log_p.exp()
        if top:  # classes of other processes are absent, as both rows lack them
            here = block[2] - before
            mine = (here >= 0) & (here < log_q.shape[1])
            log_q = log_q.gather(1, torch.where(mine, here, 0)).masked_fill(~mine, -math.inf)
            log_p, p = log_p.masked_fill(~mine, -math.inf), p.masked_fill(~mine, 0.0)
        found = _values(record, arguments, log_p, log_q, p)
        absent = log_q.new_full((1, 1), -math.inf)  # what no class makes is a part of the sum once
        return found - _values(record, arguments, absent, absent, absent.exp()) if others else found

    call = sums.Sum(name, group, logits, value)
    return reduced(sums.values(call, (input, *teacher), options.get("mask")), arguments, reduction, options)


def _log(p: Tensor) -> Tensor:
    """log p, -inf with slope 0 at 0."""
    some = p != 0
    return torch.where(some, torch.where(some, p, 1.0).log(), -math.inf)


def expected(p: Tensor, value: Tensor) -> Tensor:
    """The sum of p value over the classes; where p is 0, so is the product and its slopes."""
    some = p != 0
    return torch.where(some, p * torch.where(some, value, 0.0), 0.0).sum(-1)
