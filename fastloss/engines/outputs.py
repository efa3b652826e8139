"""Outputs of rows of logits: log-probabilities, entropy and log-normaliser, from one read and differentiable."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fastloss._core import guards as _guards
from fastloss._core import memory as _memory
from fastloss._core import operators as _ops
from fastloss._core import options as _options
from fastloss._core import route
from fastloss._core._torch import forward_mode_active, native_operator, tracing_state, transforms_active
from fastloss._core.autograd import Kernel, apply, gone, overwrite, savable
from fastloss._core.guards import KERNEL_DTYPES, TENSORS, TORCH_ERRORS, is_compiling, is_dynamo_compiling, is_placed
from fastloss._core.record import P, PublicLoss, Record, RowOutputs, publish
from fastloss._core.row_formula import of_dtype, tempered
from fastloss._core.stats import TokenHits, TokenLogprobs
from fastloss.engines import softmax
from fastloss.engines.softmax import bad_target, refuse_leaf, repeats_memory

Formula = Callable[[Tensor, Tensor | None, bool, bool], TokenLogprobs]


class Posed(NamedTuple):
    """What is asked of rows of logits.

    Attributes:
        input: The logits.
        target: A class for each row, or several in one more dimension; None: no log-probability.
        flags: Whether entropy and log-normaliser are wanted.
        dim: Of the classes.
        group: The processes on which the classes lie.
        hits: Whether `TokenHits` are wanted.
    """

    input: Any
    target: Any
    ignore_index: Any
    mask: Any
    temperature: Any
    softcap: Any
    flags: tuple[bool, bool] = (False, False)
    dim: int = -1
    loss_dtype: torch.dtype | None = None
    inplace: bool = False
    group: Any = None
    hits: bool = False


def kept_of(posed: Posed) -> Tensor:
    """Whether each row counts, of which a target does. No property, for PyTorch 2.10 compiles no tuple's property."""
    kept: Tensor = posed.target != posed.ignore_index
    if posed.target.dim() == posed.input.dim():  # several targets a row
        kept = kept.any(-1)
    return kept if posed.mask is None else kept & posed.mask


class Plan(NamedTuple):
    """A call of the operators besides tensors; ``numbers`` in their order, less what concerns a part of the classes."""

    name: str
    formula: Formula
    numbers: tuple[float, float, int]  # cap (0: none), temperature, ignore_index
    flags: tuple[bool, bool]
    dim: int
    inplace: bool = False


def outputs(**facts: Any) -> Callable[[Callable[P, Any]], PublicLoss[P]]:
    """Makes of a function that poses what it wants of rows the function that computes it."""

    def complete(pose: Callable[P, Any]) -> PublicLoss[P]:
        record = RowOutputs(pose.__name__, pose=pose, **facts)

        def function(*args: P.args, **kwargs: P.kwargs) -> Any:
            posed = pose(*args, **kwargs)
            # Inline, since one more call is 5 % of a tiny one: what the operators cannot know, or would do something
            # else for. They refuse the rest, of which the general way says what is wrong.
            input, target, ignore_index, mask, temperature, softcap, flags, _, loss_dtype, inplace, group, hits = posed
            try:
                if (
                    type(input) in TENSORS
                    and type(target) is Tensor
                    and not is_dynamo_compiling()
                    and mask is None
                    and softcap is None
                    and loss_dtype is None
                    and not inplace
                    and group is None
                    and not hits
                    and type(temperature) is float
                    and 0.0 < temperature < inf
                    and type(ignore_index) is int
                    and input.dtype in KERNEL_DTYPES
                    and target.dtype is torch.int64
                    and target.is_cpu
                    and input.is_cpu
                    and input.numel()
                    and target.shape == input.shape[:-1]
                    and not target.is_inference()
                    and not input.is_inference()
                    and _ops.AVAILABLE
                    and not route.watched
                    and not transforms_active()
                    and not forward_mode_active()
                    and tracing_state() is None
                ):
                    if (
                        flags == _PLAIN
                        and temperature == 1.0
                        and _native is not None
                        and input.dim() == 2
                        and softmax.is_tiny(input, target, ignore_index, softmax.TINY)
                    ):
                        return -_native(input, target, None, 0, ignore_index)
                    plan = Plan(record.name, record.formula, (0.0, temperature, ignore_index), flags, input.dim() - 1)
                    if input.requires_grad and torch.is_grad_enabled():
                        made = apply(Rows, plan, target, None, input)
                    else:
                        made = measure(plan, input, target, None)[1:4]
                    if input.dtype.itemsize == 2:
                        return named(converted(TokenLogprobs(*made), posed))
                    return TokenLogprobs(*made) if flags != _PLAIN else made[0]
            except TORCH_ERRORS:
                pass
            return named(solve(record, posed))

        def reference(*args: P.args, **kwargs: P.kwargs) -> Any:
            posed = check(record.name, pose(*args, **kwargs))
            if posed.group is not None:
                raise ValueError(f"fastloss.{record.name}: expected group=None: the formula is that of whole rows")
            return named(with_hits(converted(computed(record, posed, plain), posed), posed))

        return publish(record, function, reference, pose.__doc__ or "")

    return complete


_PLAIN = (False, False)
_native = native_operator("cross_entropy_loss")


def named(made: Any) -> Any:
    return made.logprob if made.entropy is None and made.lse is None and len(made) == 3 else made


def converted(made: Any, posed: Posed) -> Any:
    dtype = posed.loss_dtype or _guards.loss_dtype_of(posed.input)
    return type(made)(*(None if value is None else value.to(dtype) for value in made[:3]), *made[3:])


def with_hits(made: TokenLogprobs, posed: Posed) -> Any:
    return TokenHits(*made, hits_of(posed, posed.input.detach().max(posed.dim).indices)) if posed.hits else made


def hits_of(posed: Posed, top: Tensor) -> Tensor:
    """Whether each target that counts is the class ``top`` of its row, which has the first of the largest logits."""
    target, mask = posed.target, posed.mask
    counted = target != posed.ignore_index
    if target.dim() > top.dim():  # several targets a row
        top, mask = top.unsqueeze(-1), None if mask is None else mask.unsqueeze(-1)
    return (target == top) & (counted if mask is None else counted & mask)


def check(name: str, posed: Posed) -> Posed:
    """Refuses what neither a kernel nor the formula takes; targets as int64, hyperparameters as numbers if known."""
    input, target, mask = posed.input, posed.target, posed.mask
    _options.require_tensors(name, input=input)
    _options.check_tensors(name, target=target, mask=mask)
    _options.check_domain(name, temperature=posed.temperature)
    if posed.softcap is not None:
        _options.check_domain(name, softcap=posed.softcap)
    _options.check(name, "none", None, "nan", posed.loss_dtype)
    if not input.is_floating_point() or input.dim() == 0:
        raise RuntimeError(
            f"fastloss.{name}: input is {input.dtype} of shape {tuple(input.shape)}, expected floating point logits "
            "with a dimension of classes"
        )
    dim = posed.dim % input.dim()
    rows = input.shape[:dim] + input.shape[dim + 1 :]
    if target is not None:
        if target.is_floating_point() or target.is_complex() or target.dtype == torch.bool:
            raise RuntimeError(f"fastloss.{name}: target is {target.dtype}, expected class indices, torch.int64")
        if target.shape != rows and (target.shape[:-1] != rows or target.dim() != input.dim()):
            raise RuntimeError(
                f"fastloss.{name}: target has shape {tuple(target.shape)}, expected {tuple(rows)}, input's "
                f"{tuple(input.shape)} without its classes, or with one more dimension for several targets a row"
            )
        target = target.to(torch.int64)
    elif posed.hits:
        raise ValueError(f"fastloss.{name}: return_hits=True needs a target, got None")
    _options.check_row_mask(name, mask, rows)
    if posed.inplace:
        refuse_leaf(name, input)
    numbers = {"temperature": _options.fixed(posed.temperature), "softcap": _options.fixed(posed.softcap)}
    return posed._replace(target=target, dim=dim, **numbers)


def plain(record: RowOutputs, posed: Posed) -> TokenLogprobs:
    """What is posed, from the formula, in the computing dtype."""
    return from_formula(record.formula, posed)


def from_formula(formula: Formula, posed: Posed) -> TokenLogprobs:
    input, target, mask = posed.input, posed.target, posed.mask
    compute = torch.promote_types(input.dtype, torch.float32)
    x = input.to(compute).movedim(posed.dim, -1)
    several = target is not None and target.dim() == x.dim()
    counted = classes = None
    kept = torch.ones_like(x[..., 0], dtype=torch.bool) if mask is None else mask
    if target is not None:
        target = target if several else target.unsqueeze(-1)
        counted = (target != posed.ignore_index) & kept.unsqueeze(-1)
        kept = counted.any(-1)
        classes = torch.where(counted, target, 0)
    softcap, temperature = of_dtype(posed.softcap, compute), of_dtype(posed.temperature, compute)
    made = formula(tempered(x, kept, -1, softcap, temperature), classes, *posed.flags)
    logprob = made.logprob
    if logprob is not None and counted is not None:
        logprob = torch.where(counted, logprob, 0.0)
        logprob = logprob if several else logprob.squeeze(-1)
    entropy, lse = (None if value is None else torch.where(kept, value, 0.0) for value in made[1:])
    return TokenLogprobs(logprob, entropy, lse)


def solve(record: RowOutputs, posed: Posed) -> Any:
    """Checks what is posed, and runs the kernel, or the formula where that is due."""
    if is_placed(posed.input):
        from fastloss.engines import placed

        return placed.outputs(solve, record, posed)
    posed = check(record.name, posed)
    if posed.group is not None:
        from fastloss.engines import parts

        return converted(parts.token_logprobs(record, posed), posed)
    reason = why_not_kernel(posed)
    route.kernel_unless(record.name, reason)
    return with_hits(converted(computed(record, posed, plain if reason else run), posed), posed)


def computed(record: RowOutputs, posed: Posed, way: Callable[[RowOutputs, Posed], Any]) -> Any:
    """What ``way``, `plain` or `run`, makes of rows; a bad class, which they report as they can, as an IndexError."""
    try:
        return way(record, posed)
    except (RuntimeError, IndexError) as error:
        if _ops.OUT_OF_BOUNDS not in str(error) or _ops.names_its_loss(error):
            raise
        found = bad_class(posed) if posed.target is not None and posed.target.is_cpu else ""
        raise IndexError(f"fastloss.{record.name}: {found or error}") from error


def bad_class(posed: Posed) -> str:
    input, target, mask = posed.input, posed.target, posed.mask
    each = target.shape[-1] if target.dim() == input.dim() else 1
    mask = mask if mask is None or each == 1 else mask.unsqueeze(-1).expand_as(target)
    return bad_target(target, input.shape[posed.dim], posed.ignore_index, mask, each)


def why_not_kernel(posed: Posed) -> str:
    """Why the kernel does not take this call; empty when it does."""
    input = posed.input
    reason = _guards.why_no_kernel("outputs", [t for t in (input, posed.target, posed.mask) if t is not None])
    if reason:
        return reason
    if input.dtype not in KERNEL_DTYPES:
        return f"{input.dtype} has no kernel"
    if input.numel() == 0 or (posed.target is not None and posed.target.numel() == 0):
        return "there is nothing to compute"
    if isinstance(posed.temperature, Tensor) or isinstance(posed.softcap, Tensor):
        return "a hyperparameter is a tensor that needs a gradient or lies on a device"
    if type(posed.ignore_index) is not int or abs(posed.ignore_index) > 2**53:
        return "the ignore_index is no number that the operators take"
    return ""


def plan_of(name: str, formula: Formula, posed: Posed) -> Plan:
    numbers = (float(posed.softcap or 0.0), float(posed.temperature), posed.ignore_index)
    inplace = posed.inplace and not is_compiling() and not repeats_memory(posed.input)
    return Plan(name, formula, numbers, posed.flags, posed.dim, inplace)


def run(record: Record, posed: Posed) -> TokenLogprobs:
    """The same from the kernel, with the autograd that it needs."""
    plan = plan_of(record.name, record.formula, posed)
    input, target, mask = posed.input, posed.target, posed.mask
    if torch.is_grad_enabled() and not is_compiling():
        input, target, mask = savable(input), savable(target), savable(mask)
    if input.is_cuda and target is not None and _ops.debugging():
        bad = bad_class(posed)
        if bad:
            raise IndexError(f"fastloss.{plan.name}: {bad}")
    if torch.is_grad_enabled() and input.requires_grad:
        way = Kernel.apply if is_compiling() else apply
        return TokenLogprobs(*way(Rows, plan, target, mask, input))
    return TokenLogprobs(*measure(plan, input, target, mask)[1:4])


def _second(tensor: Tensor, dim: int) -> Tensor:
    """With the classes where operators expect them."""
    return tensor if dim == 1 or tensor.dim() == 1 else tensor.movedim(dim, 1)


def _numbers(plan: Plan, classes: int, part: bool) -> tuple[float, ...]:
    return *plan.numbers, classes + part


def measure(
    plan: Plan,
    input: Tensor,
    target: Tensor | None,
    mask: Tensor | None,
    weight: Tensor | None = None,
    part: bool = False,
) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None, Tensor | None]:
    """What backward starts from, and log-probability, entropy, log-normaliser and, with weights, spread."""
    logits = _second(input, plan.dim)
    compute, device = _ops.compute_dtype(input.dtype), input.device
    rows = _ops.rows_shape(logits.shape)
    state = torch.empty((2, *rows), dtype=compute, device=device)
    logprob = None if target is None else torch.empty(target.shape, dtype=compute, device=device)
    entropy, lse = [torch.empty(rows, dtype=compute, device=device) if wanted else None for wanted in plan.flags]
    spread = None if weight is None else torch.empty(rows, dtype=compute, device=device)
    numbers = _numbers(plan, input.shape[plan.dim], part)
    _ops.row_outputs(logits, target, mask, weight, numbers, part, state, logprob, entropy, lse, spread)
    return state, logprob, entropy, lse, spread


def write_gradient(
    plan: Plan,
    grad: Tensor,
    input: Tensor,
    target: Tensor | None,
    mask: Tensor | None,
    state: Tensor,
    entropy: Tensor | None,
    of_logprob: Tensor | None,
    of_entropy: Tensor | None,
    of_lse: Tensor | None,
    weight: Tensor | None = None,
    of_spread: Tensor | None = None,
    part: bool = False,
) -> None:
    """Writes the gradient to the logits for these gradients to the outputs."""
    _ops.row_outputs_backward(
        _second(input, plan.dim), target, mask, weight, _numbers(plan, input.shape[plan.dim], part), state, entropy,
        of_logprob, of_entropy, of_lse, of_spread, _second(grad, plan.dim),
    )  # fmt: skip


def gradient(ctx: Any, plan: Plan, input: Tensor, *given: Any) -> list[Tensor]:
    """That of the logits as the backward of a `Kernel` makes it, of the arguments of `write_gradient`."""
    grad = input.detach() if plan.inplace else _memory.empty_like(input)
    write_gradient(plan, grad, input, *given)
    if plan.inplace:
        overwrite(ctx, input)
    return [grad]


class Rows:
    """For `Kernel`: ``(plan, target, mask, input) -> logprob, entropy, lse``, None for those that are not wanted."""

    fixed: tuple[None, ...] = (None,) * 4

    @staticmethod
    def forward(ctx: Any, plan: Plan, target: Tensor | None, mask: Tensor | None, input: Tensor) -> Any:
        return keep(ctx, measure(plan, input, target, mask), target, mask, input)

    @staticmethod
    def backward(ctx: Any, plan: Plan, *upstream: Tensor | None) -> list[Tensor]:
        return gradient(ctx, plan, *ctx.saved_tensors, *upstream)

    @staticmethod
    def formula(ctx: Any, plan: Plan) -> tuple[Callable[[Tensor], TokenLogprobs], tuple[Tensor]]:
        if plan.inplace:
            raise gone("a second derivative")
        input, target, mask, *_ = ctx.saved_tensors
        softcap, temperature, ignore_index = plan.numbers
        posed = Posed(input, target, ignore_index, mask, temperature, softcap or None, plan.flags, plan.dim)
        return lambda input: from_formula(plan.formula, posed._replace(input=input)), (input,)


def keep(ctx: Any, measured: Any, target: Tensor | None, mask: Tensor | None, input: Tensor) -> Any:
    """Saves what `Rows.backward` needs; the outputs."""
    state, *made, _ = measured
    ctx.save_for_backward(input, target, mask, state, made[1])
    return tuple(made)
