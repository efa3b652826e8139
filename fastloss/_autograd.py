"""One `autograd.Function` per kernel family.

Note [Shape of the autograd functions]
``forward(ctx, ...)`` without ``setup_context`` (which costs 15 us a call in `inspect.signature`), behind guards
that live in the callers (`fastloss.functional`): functorch transforms and forward-mode AD never reach this file,
and a call that needs no gradient calls the operator directly. ``backward`` with grad mode on (``create_graph``)
differentiates the reference instead, so second derivatives are right (`gradients`); so does one that is given many
upstream gradients as one batched tensor. Tensors that a backward may need go through ``save_for_backward``: autograd
frees them, notices writes to them, and shows them to hooks. Never ``once_differentiable``: with the loss at the root of
the graph a gradient penalty would silently add nothing.

Note [When the gradient is made]
"now": forward writes the gradients for upstream 1 (the arguments are read once); backward hands them out, scaled in
place if the upstream gradient is not 1. Where that would round a second time (bfloat16, unless the factor is a power
of two), and in a second backward through a retained graph, since the first one gave them away, backward makes them
from the arguments. "later": backward alone writes them, with the upstream factor folded in; losses over rows keep two
numbers per row for that (three, if targets are probabilities). For ``reduction="none"``, for float16 (whose small
gradients survive only after GradScaler's factor), under torch.compile (backward may not depend on what an earlier
backward did), and over rows for gradients to the target.
"""

from __future__ import annotations

import importlib
import inspect
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fastloss import _memory, _ops
from fastloss._core._torch import base_of, hooks_of, is_batched, past_python
from fastloss._core.record import Loss


def makes_gradient_now(reduction: int, dtype: torch.dtype) -> bool:
    """Whether forward may write gradients (Note [When the gradient is made])."""
    return reduction != 0 and dtype is not torch.float16 and not torch.compiler.is_compiling()


def savable(value: Any) -> Any:
    """A copy of a tensor made under ``torch.inference_mode()``, which autograd cannot save; anything else as it is."""
    return value.clone() if isinstance(value, Tensor) and value.is_inference() else value


def gradients(
    loss: Callable[..., Tensor], tensors: Sequence[Tensor | None], needed: Sequence[bool], grad_output: Tensor
) -> list[Tensor | None]:
    """The gradients of ``loss(*tensors)`` in plain PyTorch, differentiable again if grad mode is on.

    Taken to views of the tensors. Of the tensors themselves autograd would ask for the whole gradient: what reaches one
    of them by way of another, which the caller adds up as well, and what their hooks make of it.
    """
    differentiable = torch.is_grad_enabled()
    with torch.enable_grad():
        views = [t.view_as(t) if need and t is not None else t for t, need in zip(tensors, needed, strict=True)]
        result = loss(*views)
        wanted = [t for t, need in zip(views, needed, strict=True) if need and t is not None]
        made: Iterator[Tensor]
        if result.requires_grad:
            options: Any = {"create_graph": differentiable, "allow_unused": True, "materialize_grads": True}
            made = iter(torch.autograd.grad(result, wanted, grad_output, **options))
        else:  # of no rows
            made = map(torch.zeros_like, wanted)
    return [next(made) if need else None for need in needed]


class RowsOptions(NamedTuple):
    """What a rows-family operator takes besides tensors, in the operator's order."""

    params: tuple[float, ...]
    options: tuple[float, ...]  # in the order of `_ops.ROWS_OPTIONS`
    ignore_index: int
    reduction: int
    empty_zero: bool
    loss_dtype: int

    def for_backward(self) -> tuple[Any, ...]:
        return self[:4]

    def keywords(self, name: str, input: Tensor) -> dict[str, Any]:
        """The same options as keyword arguments of ``fastloss.reference.<name>``."""
        dtype = _ops.DTYPE_OF_CODE[self.loss_dtype]
        return {
            **dict(zip(_ops.ROWS_PARAMS[name], self.params, strict=True)),
            "ignore_index": self.ignore_index,
            "reduction": _ops.REDUCTION_NAMES[self.reduction],
            **{name: value for (name, none), value in zip(_ops.ROWS_OPTIONS.items(), self.options, strict=True) if value != none},
            "empty": "zero" if self.empty_zero else "nan",
            "loss_dtype": None if dtype == input.dtype else dtype,
        }


class RowsCall(NamedTuple):
    """What a call of `Rows` is about besides tensors."""

    name: str
    options: RowsOptions
    now: bool  # never while compiling
    inplace: bool
    want_stats: bool


class Rows(torch.autograd.Function):
    """Losses over rows of logits: ``(input, target, weight, mask, normalizer) -> (loss, stats)``."""

    @staticmethod
    def forward(
        ctx: Any,
        input: Tensor,
        target: Tensor,
        weight: Tensor | None,
        mask: Tensor | None,
        normalizer: Tensor | None,
        call: RowsCall,
    ) -> Tensor | tuple[Tensor, Tensor]:
        name, options, now, inplace, want_stats = ctx.call = call
        ops = _ops.ROWS[name]
        if now:
            if inplace:
                _refuse_other_uses(name, input)  # before the write, after which a view has another grad_fn
            ctx.grad = gradient = input.detach() if inplace else _memory.empty_like(input)
            loss, stats = ops.forward_out(input, target, weight, mask, normalizer, *options, want_stats, gradient)
            if inplace:
                torch.autograd.graph.increment_version(input)
                _refuse_later_uses(name, input)
            ctx.save_for_backward(None if inplace else input, target, weight, mask, normalizer, None)
        else:
            loss, state, stats = ops.forward(input, target, weight, mask, normalizer, *options, True, want_stats)
            ctx.save_for_backward(input, target, weight, mask, normalizer, state)
        ctx.set_materialize_grads(False)
        if not want_stats:
            return loss
        ctx.mark_non_differentiable(stats)
        return loss, stats

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor | None, *_: Any) -> tuple[Tensor | None, ...]:
        if grad_output is None:
            return None, None, None, None, None, None
        if torch.is_grad_enabled():
            return _reference_backward(ctx, grad_output)
        try:
            name, options, now, inplace, _stats = ctx.call
            if now and ctx.grad is not None:
                # On the CPU a look at the factor is cheaper than a call that would find nothing to do. (A fake tensor
                # has none, a device's would have to be waited for.)
                factor = float(grad_output) if grad_output.is_cpu and type(grad_output) is Tensor else 2.0
                if factor == 1.0:
                    grad, ctx.grad = ctx.grad, None
                    return grad, None, None, None, None, None
                if ctx.grad.is_cuda and ctx.grad.dtype == torch.bfloat16 and not inplace:
                    # The factor stays on the device, and scaling by it could round twice: the kernel starts from the
                    # logits, over the gradient that is there, unless the factor is 1.
                    input, target, weight, mask, normalizer, _ = ctx.saved_tensors
                    grad, ctx.grad = ctx.grad, None
                    rescale_ = _ops.ROWS[name].rescale_
                    assert rescale_ is not None
                    rescale_(grad, grad_output, input, target, weight, mask, normalizer, *options.for_backward())
                    return grad, None, None, None, None, None
                if inplace or _scales_exactly(ctx.grad, factor):
                    grad, ctx.grad = ctx.grad, None
                    if inplace and not grad.is_contiguous():  # a part of other memory, perhaps
                        grad.mul_(grad_output)
                    else:
                        _ops.scale_(grad, grad_output)
                    return grad, None, None, None, None, None
            if now and inplace:
                raise _gone("a second backward")
            input, target, weight, mask, normalizer, state = ctx.saved_tensors
            ops = _ops.ROWS[name]
            need_grad, need_target_grad = ctx.needs_input_grad[:2]
            arguments = (grad_output, input, target, weight, mask, normalizer, state, *options.for_backward())
            if torch.compiler.is_compiling():  # traced: outputs must come from the operator
                grad, target_grad = ops.backward(*arguments, need_grad, need_target_grad)
                return grad if need_grad else None, target_grad if need_target_grad else None, None, None, None, None
            grad = (input.detach() if inplace else _memory.empty_like(input)) if need_grad else None
            target_grad = _memory.empty_like(target) if need_target_grad else None
            ops.backward_out(*arguments, grad, target_grad)
            if inplace and need_grad:
                torch.autograd.graph.increment_version(input)
                ctx.call = RowsCall(name, options, True, True, False)
            ctx.grad = None
            return grad, target_grad, None, None, None, None
        except RuntimeError:
            if is_batched(grad_output):
                return _reference_backward(ctx, grad_output)
            raise


_apply_rows = past_python(Rows)


# Backwards that hand a gradient on in the memory that they are given.
_VIEWS = frozenset(
    f"{view}Backward" for view in ("View", "UnsafeView", "Transpose", "T", "Permute", "Unsqueeze", "Squeeze", "Alias")
)


def _refuse_other_uses(name: str, logits: Tensor) -> None:
    """Has backward raise if anything but the loss differentiates the logits that inplace=True wrote over.

    Autograd itself notices uses before the call, by the version counter. A use after the call saves the gradient, not
    the logits, with the right version. But if the loss is the only one to differentiate them, the whole gradient of
    the logits lies in their own memory, and a sum of two gradients does not: autograd adds up in place only in memory
    that nobody else refers to. The same holds for the tensor that the logits are a view of. A user's hook on the tensor
    may have made another gradient, so there nothing can be told.
    """
    memory = logits.untyped_storage().data_ptr()

    def check(total: Tensor) -> None:
        if total.untyped_storage().data_ptr() != memory:
            raise _used_elsewhere(name)

    def watch(t: Tensor) -> None:
        if not hooks_of(t):
            t.register_hook(check)

    watch(logits)
    base, node = base_of(logits), logits.grad_fn
    if base is not None and base.grad_fn is not None and base.numel() == logits.numel():
        while node is not None and node is not base.grad_fn and node.name().rstrip("012") in _VIEWS:
            node = node.next_functions[0][0]
        if node is base.grad_fn:
            watch(base)


def _refuse_later_uses(name: str, logits: Tensor) -> None:
    """Has backward raise if logits that are a view, perhaps of a part, are differentiated after the write.

    The gradient of the base is then made of padded parts, so its memory tells nothing. But autograd gives a view whose
    version has changed another node, and only uses after the write lead through that node.
    """
    if base_of(logits) is None:
        return
    try:
        node = logits.grad_fn
    except RuntimeError:  # one of several views of one call (chunk): autograd refuses later uses by itself
        return

    def refuse(_: Any) -> None:
        raise _used_elsewhere(name)

    if node is not None:
        node.register_prehook(refuse)


def _used_elsewhere(name: str) -> RuntimeError:
    return RuntimeError(
        f"fastloss.{name}: inplace=True wrote the gradient over logits that something else differentiates too; "
        "expected the loss to be their only use, remedy: inplace=False"
    )


def _scales_exactly(grad: Tensor, factor: float) -> bool:
    """Whether ``grad`` may be scaled in place: bfloat16 is rounded once, so only by a power of two."""
    return grad.dtype != torch.bfloat16 or math.frexp(factor)[0] in (0.5, -0.5)


def _gone(what: str) -> RuntimeError:
    return RuntimeError(
        f"fastloss: {what} needs the logits, but inplace=True wrote the gradient over them; "
        "expected one first-order backward, remedy: inplace=False"
    )


def _reference_backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
    """The gradient as a differentiable function of the saved tensors (for ``create_graph=True``)."""
    if ctx.call.inplace:
        raise _gone("a second derivative")
    input, target, weight, mask, normalizer, _ = ctx.saved_tensors
    name, options = ctx.call[:2]

    def loss(input: Tensor, target: Tensor) -> Tensor:
        if weight is not None and not target.is_floating_point():
            input = input.to(weight.dtype)  # a weight that we have combined is of the computing dtype
        keywords = options.keywords(name, input)
        return getattr(importlib.import_module("fastloss.reference"), name)(
            input, target, weight=weight, mask=mask, normalizer=normalizer, **keywords
        )

    return *gradients(loss, (input, target), ctx.needs_input_grad[:2], grad_output), None, None, None, None


def rows(
    call: RowsCall,
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: Tensor | None = None,
) -> Any:
    """Runs a rows-family kernel with the autograd it needs: the loss, or with ``want_stats`` (loss, statistics)."""
    if (input.requires_grad or target.requires_grad) and torch.is_grad_enabled():
        apply = _apply_rows if call.now or not torch.compiler.is_compiling() else Rows.apply
        return apply(input, target, weight, mask, normalizer, call)
    loss, _, stats = _ops.ROWS[call.name].forward(
        input, target, weight, mask, normalizer, *call.options, False, call.want_stats
    )
    return (loss, stats) if call.want_stats else loss


class PointwiseCall(NamedTuple):
    """What a call of `Pointwise` is about besides tensors."""

    loss: Loss
    ops: _ops.PointwiseOps
    # The operators' own: params, reduction, empty_zero, loss_dtype, want_stats.
    options: tuple[tuple[float, ...], int, bool, int, bool]
    now: bool


class Pointwise(torch.autograd.Function):
    """Losses of one element at a time: ``(call, weight, mask, divisor, *tensors) -> loss[, measurements]``.

    A fixed number of arguments, ``third`` None for losses of two: a thousand elements take the time of these lines.
    """

    @staticmethod
    def forward(
        ctx: Any,
        call: PointwiseCall,
        weight: Tensor | None,
        mask: Tensor | None,
        divisor: Tensor | None,
        input: Tensor,
        target: Tensor,
        third: Tensor | None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        ctx.call = call
        if call.now:
            ctx.grads = grads = _empty_gradients(ctx, input, target, third)
            loss, stats = call.ops.forward_out(
                input, target, third, weight, mask, divisor, *call.options, grads[0], grads[1], grads[2]
            )
        else:
            ctx.grads = None
            loss, stats = call.ops.forward(input, target, third, weight, mask, divisor, *call.options)
        ctx.save_for_backward(input, target, third, weight, mask, divisor)
        ctx.set_materialize_grads(False)
        if not call.options[4]:
            return loss
        ctx.mark_non_differentiable(stats)
        return loss, stats

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor | None, *_: Any) -> tuple[Tensor | None, ...]:
        if grad_output is None:
            return None, None, None, None, None, None, None
        if torch.is_grad_enabled():
            return None, None, None, None, *_pointwise_reference_backward(ctx, grad_output)
        try:
            grads = ctx.grads
            if grads is not None:
                ctx.grads = None
                # As in Rows.backward.
                factor = float(grad_output) if grad_output.is_cpu and type(grad_output) is Tensor else 2.0
                if factor == 1.0:
                    return None, None, None, None, *grads
                made = [grad for grad in grads if grad is not None]
                if made[0].is_cuda and any(grad.dtype == torch.bfloat16 for grad in made):
                    call = ctx.call
                    call.ops.rescale_(grad_output, *ctx.saved_tensors, *call.options[:2], *grads)
                    return None, None, None, None, *grads
                if all(_scales_exactly(grad, factor) for grad in made):
                    for grad in made:
                        _ops.scale_(grad, grad_output)
                    return None, None, None, None, *grads
            call, (input, target, third, *extras) = ctx.call, ctx.saved_tensors
            arguments = (grad_output, input, target, third, *extras, *call.options[:2])
            if torch.compiler.is_compiling():  # traced: outputs must come from the operator
                needed = ctx.needs_input_grad[4:]
                outputs = call.ops.backward(*arguments, *needed)
                traced = (grad if need else None for grad, need in zip(outputs, needed, strict=True))
                return None, None, None, None, *traced
            grads = _empty_gradients(ctx, input, target, third)
            call.ops.backward_out(*arguments, *grads)
            return None, None, None, None, *grads
        except RuntimeError:
            if is_batched(grad_output):
                return None, None, None, None, *_pointwise_reference_backward(ctx, grad_output)
            raise


_apply_pointwise = past_python(Pointwise)


def _empty_gradients(
    ctx: Any, input: Tensor, target: Tensor, third: Tensor | None
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    _, _, _, _, first, second, last = ctx.needs_input_grad
    return (
        _memory.empty_like(input) if first else None,
        _memory.empty_like(target) if second else None,
        _memory.empty_like(third) if last and third is not None else None,
    )


def _pointwise_reference_backward(ctx: Any, grad_output: Tensor) -> list[Tensor | None]:
    *tensors, weight, mask, divisor = ctx.saved_tensors
    call, needed = ctx.call, ctx.needs_input_grad[4:]
    params, reduction, empty_zero, loss_dtype, _ = call.options
    record = call.loss
    named: dict[str, Any] = dict(zip(record.params, params, strict=True))
    named.update({name: choices[int(named[name])] for name, choices in record.words.items()})
    for name, parameter in inspect.signature(record.reference).parameters.items():
        if isinstance(parameter.default, bool) and name in named:  # the operators are told a number
            named[name] = bool(named[name])

    def loss(*tensors: Tensor) -> Tensor:
        return record.reference(
            **dict(zip(record.tensors, tensors, strict=False)),
            **named,
            weight=weight,
            mask=mask,
            normalizer=divisor,
            reduction=_ops.REDUCTION_NAMES[reduction],
            empty="zero" if empty_zero else "nan",
            loss_dtype=_ops.DTYPE_OF_CODE[loss_dtype],
        )

    return gradients(loss, tensors, needed, grad_output)


def pointwise(
    call: PointwiseCall,
    tensors: tuple[Tensor, ...],
    weight: Tensor | None = None,
    mask: Tensor | None = None,
    divisor: Tensor | None = None,
) -> Any:
    """Runs a pointwise kernel with the autograd it needs: the loss, or with ``want_stats`` (loss, measurements)."""
    input, target = tensors[:2]
    third = tensors[2] if len(tensors) == 3 else None
    if (
        input.requires_grad or target.requires_grad or (third is not None and third.requires_grad)
    ) and torch.is_grad_enabled():
        apply = _apply_pointwise if call.now or not torch.compiler.is_compiling() else Pointwise.apply
        return apply(call, weight, mask, divisor, input, target, third)
    loss, stats = call.ops.forward(input, target, third, weight, mask, divisor, *call.options)
    return (loss, stats) if call.options[4] else loss
