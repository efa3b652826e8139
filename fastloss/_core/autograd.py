"""The autograd of the kernels.

Note [Shape of the autograd functions]
``forward(ctx, ...)`` without ``setup_context`` (which costs 15 us a call in `inspect.signature`), behind guards
that live in the callers (`fastloss.functional`): functorch transforms and forward-mode AD never reach this file,
and a call that needs no gradient calls the operator directly. ``backward`` with grad mode on (``create_graph``)
differentiates the formula instead, so second derivatives are right (`gradients`); so does one that is given many
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

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fastloss._core import memory as _memory
from fastloss._core import operators as _ops
from fastloss._core._torch import base_of, hooks_of, is_batched, past_python


def makes_gradient_now(reduction: int, dtype: torch.dtype) -> bool:
    """Whether forward may write gradients (Note [When the gradient is made])."""
    return reduction != 0 and dtype is not torch.float16 and not torch.compiler.is_compiling()


def savable(value: Any) -> Any:
    """A copy of a tensor made under ``torch.inference_mode()``, which autograd cannot save; anything else as it is."""
    return value.clone() if isinstance(value, Tensor) and value.is_inference() else value


def gradients(
    formula: Callable[..., Any], tensors: Sequence[Tensor | None], needed: Sequence[bool], upstream: Sequence[Any]
) -> list[Tensor | None]:
    """The gradients of ``formula(*tensors)`` in plain PyTorch, differentiable again if grad mode is on.

    Taken to views of the tensors. Of the tensors themselves autograd would ask for the whole gradient: what reaches one
    of them by way of another, which the caller adds up as well, and what their hooks make of it.
    """
    differentiable = torch.is_grad_enabled()
    with torch.enable_grad():
        views = [t.view_as(t) if need and t is not None else t for t, need in zip(tensors, needed, strict=True)]
        outputs = formula(*views)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        wanted = [t for t, need in zip(views, needed, strict=True) if need and t is not None]
        of = [k for k, g in enumerate(upstream) if g is not None and outputs[k].requires_grad]
        made: Iterator[Tensor]
        if of:
            options: Any = {"create_graph": differentiable, "allow_unused": True, "materialize_grads": True}
            made = iter(torch.autograd.grad([outputs[k] for k in of], wanted, [upstream[k] for k in of], **options))
        else:  # of no rows
            made = map(torch.zeros_like, wanted)
    return [next(made) if need else None for need in needed]


class Kernel(torch.autograd.Function):
    """``(engine, call, *others, *tensors) -> outputs``, of which an engine knows:

    fixed: None for engine, call, and each of the others, which have no gradient.
    forward: Of context, call, others and tensors: the outputs. Saves what backward needs.
    backward: Of context, call and the outputs' upstream gradients: the gradients of the tensors.
    formula: Of context and call: the outputs in plain PyTorch as a function of these tensors, and the tensors.
    """

    @staticmethod
    def forward(ctx: Any, engine: Any, call: Any, *given: Any) -> Any:
        ctx.engine, ctx.call = engine, call
        ctx.set_materialize_grads(False)
        return engine.forward(ctx, call, *given)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor | None) -> tuple[Tensor | None, ...]:
        engine, call = ctx.engine, ctx.call
        if upstream[0] is None and all([g is None for g in upstream]):
            return (None,) * len(ctx.needs_input_grad)
        if not torch.is_grad_enabled():
            try:
                return *engine.fixed, *engine.backward(ctx, call, *upstream)
            except RuntimeError:
                if not any([g is not None and is_batched(g) for g in upstream]):
                    raise
        formula, tensors = engine.formula(ctx, call)
        return *engine.fixed, *gradients(formula, tensors, ctx.needs_input_grad[len(engine.fixed) :], upstream)


# Not for dynamo, which knows `Kernel.apply` alone.
apply = past_python(Kernel)


class _Overwritten:
    """For `Kernel`: once backward has written the gradient over a tensor that it would need again."""

    fixed = ()

    @staticmethod
    def backward(*_: Any) -> Any:
        raise gone("a second backward")

    formula = backward


def overwrite(ctx: Any, tensor: Tensor) -> None:
    """Says that backward has written over the tensor."""
    torch.autograd.graph.increment_version(tensor)
    ctx.engine = _Overwritten


class Call(NamedTuple):
    """What a call of `OnePass` is about besides tensors."""

    name: str
    operators: _ops.Operators
    options: tuple[tuple[float, ...], int, bool, int]  # the operators' own: numbers, reduction, empty_zero, loss_dtype
    # The loss in plain PyTorch: of the call, its tensors, weight, mask and divisor.
    formula: Callable[..., Tensor]
    now: bool  # never while compiling
    want_stats: bool = False
    inplace: bool = False
    state: Callable[..., Tensor] | None = None  # memory for it, from the tensors


class OnePass:
    """For `Kernel`: engines whose operator makes loss and gradients in one pass; of weight, mask, divisor, tensors."""

    fixed = (None,) * 5

    @staticmethod
    def forward(
        ctx: Any, call: Call, weight: Tensor | None, mask: Tensor | None, divisor: Tensor | None, *tensors: Tensor
    ) -> Tensor | tuple[Tensor, Tensor]:
        operators, inplace = call.operators, call.inplace
        grads: Sequence[Tensor | None] = operators.no_gradients
        state = None
        if call.now:
            if inplace:
                _refuse_other_uses(call.name, tensors[0])  # before the write, after which a view has another grad_fn
            ctx.grads = grads = _gradient_memory(ctx, call, tensors)
        else:
            ctx.grads = None
            state = None if call.state is None else call.state(*tensors)
        stats = _stats_memory(call, tensors[0]) if call.want_stats else None
        loss = operators.forward(*tensors, weight, mask, divisor, *call.options, state, stats, *grads)
        if inplace and call.now:
            torch.autograd.graph.increment_version(tensors[0])
            _refuse_later_uses(call.name, tensors[0])
            ctx.save_for_backward(None, *tensors[1:], weight, mask, divisor, state)
        else:
            ctx.save_for_backward(*tensors, weight, mask, divisor, state)
        if stats is None:
            return loss
        ctx.mark_non_differentiable(stats)
        return loss, stats

    @staticmethod
    def backward(ctx: Any, call: Call, grad_output: Tensor, *_: Any) -> Sequence[Tensor | None]:
        grads = ctx.grads
        if grads is not None:
            ctx.grads = None
            # On the CPU a look at the factor is cheaper than a call that would find nothing to do. (A fake tensor has
            # none, a device's would have to be waited for.)
            factor = float(grad_output) if grad_output.is_cpu and type(grad_output) is Tensor else 2.0
            if factor == 1.0:
                return grads
            made = [grad for grad in grads if grad is not None]
            if made[0].is_cuda and not call.inplace and any(grad.dtype == torch.bfloat16 for grad in made):
                # The factor stays on the device, and scaling by it could round twice: the kernel starts from the
                # tensors, over the gradients that are there, unless the factor is 1.
                *saved, _state = ctx.saved_tensors
                call.operators.backward(grad_output, *saved, None, *call.options[:2], True, *grads)
                return grads
            if call.inplace or all(scales_exactly(grad, factor) for grad in made):
                for grad in made:
                    if call.inplace and not grad.is_contiguous():  # a part of other memory, perhaps
                        grad.mul_(grad_output)
                    else:
                        _ops.scale_(grad, grad_output)
                return grads
        if call.inplace and call.now:
            raise gone("a second backward")
        saved = ctx.saved_tensors
        grads = _gradient_memory(ctx, call, saved[: len(call.operators.no_gradients)])
        call.operators.backward(grad_output, *saved, *call.options[:2], False, *grads)
        if call.inplace and ctx.needs_input_grad[5]:
            overwrite(ctx, saved[0])
        return grads

    @staticmethod
    def formula(ctx: Any, call: Call) -> tuple[Callable[..., Tensor], list[Tensor]]:
        if call.inplace:
            raise gone("a second derivative")
        *tensors, weight, mask, divisor, _state = ctx.saved_tensors
        return lambda *tensors: call.formula(call, tensors, weight, mask, divisor), tensors


def _gradient_memory(ctx: Any, call: Call, tensors: Sequence[Tensor]) -> list[Tensor | None]:
    needed = ctx.needs_input_grad
    if call.inplace:
        first = tensors[0].detach() if needed[5] else None
        return [first, *(_memory.empty_like(t) if needed[k] else None for k, t in enumerate(tensors[1:], 6))]
    return [_memory.empty_like(t) if needed[k] else None for k, t in enumerate(tensors, 5)]


def _stats_memory(call: Call, input: Tensor) -> Tensor:
    return torch.empty(call.operators.stats, dtype=torch.float64, device=input.device)


def run_kernel(
    call: Call,
    tensors: tuple[Tensor, ...],
    weight: Tensor | None = None,
    mask: Tensor | None = None,
    divisor: Tensor | None = None,
) -> Any:
    """Runs a kernel with the autograd it needs: the loss, or with ``want_stats`` (loss, statistics)."""
    if torch.is_grad_enabled():
        for t in tensors:
            if t.requires_grad:
                run = apply if call.now or not torch.compiler.is_compiling() else Kernel.apply
                return run(OnePass, call, weight, mask, divisor, *tensors)
    stats = _stats_memory(call, tensors[0]) if call.want_stats else None
    operators = call.operators
    loss = operators.forward(*tensors, weight, mask, divisor, *call.options, None, stats, *operators.no_gradients)
    return loss if stats is None else (loss, stats)


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


def scales_exactly(grad: Tensor, factor: float) -> bool:
    """Whether ``grad`` may be scaled in place.

    bfloat16 is rounded once, so only by a power of two. Of what is ignored the gradient is 0, and no factor times it.
    """
    return math.isfinite(factor) and (grad.dtype != torch.bfloat16 or math.frexp(factor)[0] in (0.5, -0.5))


def gone(what: str) -> RuntimeError:
    return RuntimeError(
        f"fastloss: {what} needs the logits, but inplace=True wrote the gradient over them; "
        "expected one first-order backward, remedy: inplace=False"
    )
