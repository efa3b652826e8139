"""One `autograd.Function` per kernel family.

Note [Shape of the autograd functions]
``forward(ctx, ...)`` without ``setup_context`` (which costs 15 us a call in `inspect.signature`), behind guards
that live in the callers (`fastloss.functional`): functorch transforms and forward-mode AD never reach this file,
and a call that needs no gradient calls the operator directly. ``backward`` with grad mode on (``create_graph``)
differentiates the reference instead, so second derivatives are right. Never ``once_differentiable``: with the loss
at the root of the graph a gradient penalty would silently add nothing.

Note [When the gradient is made]
"now": forward writes the gradient for upstream 1 (the logits are read once); backward hands it out, scaled in
place if the upstream gradient is not 1. A second backward through a retained graph recomputes it, because the
first one was given away. "later": forward keeps two numbers per row and backward writes the gradient with the
upstream factor folded in; for ``reduction="none"``, for float16 (whose small gradients survive only after
GradScaler's factor), for gradients to the target, and under torch.compile (backward may not depend on what an
earlier backward did).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fastloss import _ops, reference


class RowsOptions(NamedTuple):
    """What a rows-family operator takes besides tensors, in the operator's order."""

    params: tuple[float, ...]
    ignore_index: int
    reduction: int
    label_smoothing: float
    z_loss: float
    softcap: float
    empty_zero: bool
    loss_dtype: int

    def for_backward(self) -> tuple[Any, ...]:
        return self[:6]

    def keywords(self, name: str, input: Tensor) -> dict[str, Any]:
        """The same options as keyword arguments of ``fastloss.reference.<name>``."""
        dtype = _ops.DTYPE_OF_CODE[self.loss_dtype]
        return {
            **dict(zip(_ops.ROWS_LOSSES[name], self.params, strict=True)),
            "ignore_index": self.ignore_index,
            "reduction": _ops.REDUCTION_NAMES[self.reduction],
            "label_smoothing": self.label_smoothing,
            "z_loss": self.z_loss,
            "softcap": self.softcap or None,
            "empty": "zero" if self.empty_zero else "nan",
            "loss_dtype": None if dtype == input.dtype else dtype,
        }


def _is_power_of_two(value: float) -> bool:
    return math.isfinite(value) and math.frexp(value)[0] in (0.5, -0.5)


class Rows(torch.autograd.Function):
    """Losses over rows of logits: ``(input, target, weight, mask, normalizer) -> (loss, stats)``."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any,
        input: Tensor,
        target: Tensor,
        weight: Tensor | None,
        mask: Tensor | None,
        normalizer: Tensor | None,
        name: str,
        options: RowsOptions,
        now: bool,
        inplace: bool,
        want_stats: bool,
    ) -> tuple[Tensor, Tensor]:
        ctx.name, ctx.options, ctx.now, ctx.inplace = name, options, now, inplace
        ops = torch.ops.fastloss
        tensors = (input, target, weight, mask, normalizer)
        if now and inplace:
            loss, stats = getattr(ops, name + "_").default(*tensors, *options, want_stats)
            torch.autograd.graph.increment_version(input)
            ctx.grad, state = input.detach(), None
            tensors = (None, target, weight, mask, normalizer)
        else:
            loss, grad, state, stats = getattr(ops, name).default(
                *tensors, *options, now, not now, want_stats
            )
            if now:
                ctx.grad, state = grad, None
        ctx.save_for_backward(*tensors, state)
        ctx.mark_non_differentiable(stats)
        return loss, stats

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor, _: Any) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        if torch.is_grad_enabled():
            return _reference_backward(ctx, grad_output)
        ops = torch.ops.fastloss
        if ctx.now and ctx.grad is not None:
            grad, ctx.grad = ctx.grad, None
            if ctx.inplace or grad.dtype in (torch.float32, torch.float64):
                ops.scale_.default(grad, grad_output)
                return grad, *_NO_GRADS
            # bfloat16 is rounded once: only a power of two scales it exactly.
            factor = float(grad_output)
            if factor == 1.0:
                return grad, *_NO_GRADS
            if _is_power_of_two(factor):
                ops.scale_.default(grad, grad_output)
                return grad, *_NO_GRADS
        if ctx.inplace and ctx.now:
            raise _gone("a second backward")
        input, target, weight, mask, normalizer, state = ctx.saved_tensors
        options = ctx.options.for_backward()
        if ctx.inplace:
            getattr(ops, ctx.name + "_backward_").default(
                input, grad_output, target, weight, mask, normalizer, state, *options
            )
            torch.autograd.graph.increment_version(input)
            ctx.now, ctx.grad = True, None
            return input.detach(), *_NO_GRADS
        grad, target_grad = getattr(ops, ctx.name + "_backward").default(
            grad_output, input, target, weight, mask, normalizer, state, *options,
            ctx.needs_input_grad[0], ctx.needs_input_grad[1],
        )  # fmt: skip
        return (
            grad if ctx.needs_input_grad[0] else None,
            target_grad if ctx.needs_input_grad[1] else None,
            *_NO_GRADS[1:],
        )


_NO_GRADS = (None,) * 9


def _gone(what: str) -> RuntimeError:
    return RuntimeError(
        f"fastloss: {what} needs the logits, but inplace=True wrote the gradient over them; "
        "expected one first-order backward, remedy: inplace=False"
    )


def _reference_backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
    """The gradient as a differentiable function of the saved tensors (for ``create_graph=True``)."""
    if ctx.inplace:
        raise _gone("a second derivative")
    input, target, weight, mask, normalizer, _ = ctx.saved_tensors
    keywords = ctx.options.keywords(ctx.name, input)
    loss = getattr(reference, ctx.name)(input, target, weight, mask=mask, normalizer=normalizer, **keywords)
    wanted = [t for t, needed in zip((input, target), ctx.needs_input_grad, strict=False) if needed]
    grads = iter(torch.autograd.grad(loss, wanted, grad_output, create_graph=True))
    return tuple(next(grads) if needed else None for needed in ctx.needs_input_grad[:2]) + _NO_GRADS[1:]


def rows(
    name: str,
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    mask: Tensor | None,
    normalizer: Tensor | None,
    options: RowsOptions,
    inplace: bool,
    want_stats: bool,
) -> tuple[Tensor, Tensor]:
    """Runs a rows-family kernel with the autograd it needs."""
    tensors = (input, target, weight, mask, normalizer)
    target_grad = target.requires_grad
    if torch.is_grad_enabled() and (input.requires_grad or target_grad):
        now = not (
            options.reduction == 0
            or input.dtype == torch.float16
            or target_grad
            or torch.compiler.is_compiling()
        )
        return Rows.apply(*tensors, name, options, now, inplace, want_stats)
    loss, _, _, stats = getattr(torch.ops.fastloss, name).default(*tensors, *options, False, False, want_stats)
    return loss, stats
