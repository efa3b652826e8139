"""The autograd of losses of all pairs: Note [Shape of the autograd functions] in `fastloss._core.autograd`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fastloss._core import operators as _ops
from fastloss._core._torch import is_batched, past_python
from fastloss._core.autograd import gradients, savable
from fastloss.engines.similarity import formula, plan
from fastloss.engines.similarity.problem import Call, Relation, Vectors
from fastloss.engines.similarity.ring import plan_of
from fastloss.engines.similarity.traced import trace


class Similarity(torch.autograd.Function):
    """``(call, relation, rows, columns, negatives, scale, bias) -> loss``; Note [Shape of the autograd functions].

    Of a small problem (`plan.is_small`) backward hands out the gradients once, and then makes them again. Else it
    keeps, with the tensors of the call: of rows, columns and negatives the gradient, the vectors of length one and
    what they were divided by; the sums; a factor that is still missing. See `plan.Outcome`.
    """

    @staticmethod
    def forward(ctx: Any, call: Call, relation: Relation, *tensors: Tensor | None) -> Tensor:
        ctx.call = call
        ctx.set_materialize_grads(False)
        _, _, rows, columns, negatives, scale, bias = ctx.needs_input_grad
        vectors = Vectors(*tensors)  # type: ignore[arg-type]
        ctx.small = plan.is_small(call, vectors)
        if ctx.small:
            loss, *ctx.made = plan.at_once(call, vectors, relation, (rows, columns, scale or bias))
            ctx.save_for_backward(*tensors, *relation)
            return loss
        now = call.reduction != 0
        want = (rows, columns, negatives, scale or bias)
        outcome = plan_of(call, vectors, relation, want if now else (False,) * 4).evaluate()
        ctx.save_for_backward(*tensors, *relation, *(outcome.kept() if now else ()))
        return outcome.loss.to(call.loss_dtype)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor | None) -> tuple[Tensor | None, ...]:
        if grad_output is None:
            return (None,) * 7
        saved, need = ctx.saved_tensors, ctx.needs_input_grad[2:]
        if ctx.call.ddp:
            grad_output = grad_output * ctx.call.processes()
        if torch.is_grad_enabled():
            return None, None, *_formula_gradients(ctx.call, saved, need, grad_output)
        try:
            if ctx.small:
                return None, None, *_small_backward(ctx, saved, need, grad_output)
            tensors, factor, kept = saved[:5], grad_output, saved[11:]
            if not kept:
                want = (need[0], need[1], need[2], need[3] or need[4])
                planned = plan_of(ctx.call, Vectors(*tensors), Relation(*saved[5:11]), want)
                kept = planned.evaluate(grad_output.double().contiguous()).kept()
                factor = grad_output.new_ones((), dtype=torch.float64)
            return None, None, *plan.gradients_of(ctx.call, tensors, need, kept, factor)
        except RuntimeError:
            if is_batched(grad_output):
                return None, None, *_formula_gradients(ctx.call, saved, need, grad_output)
            raise


def _formula_gradients(call: Call, saved: Any, need: tuple[bool, ...], grad_output: Tensor) -> list[Tensor | None]:
    if call.group is not None:
        raise RuntimeError(
            "fastloss: a second derivative, or many upstream gradients at once, need the whole batch in one process; "
            "expected create_graph=False and is_grads_batched=False with group="
        )
    relation = Relation(*saved[5:11])
    return gradients(lambda *t: formula.loss(call, relation, Vectors(*t)), saved[:5], need, grad_output)


def _small_backward(ctx: Any, saved: tuple[Any, ...], need: tuple[bool, ...], factor: Tensor) -> list[Tensor | None]:
    rows, columns, _, scale, bias = need
    made, ctx.made = ctx.made, None
    if made is None:
        relation = Relation(*saved[5:11])
        made = plan.at_once(ctx.call, Vectors(*saved[:5]), relation, (rows, columns, scale or bias))[1:]
    result: list[Tensor | None] = [made[0], made[1], None, made[2], made[3]]
    exact = float(factor) == 1.0
    for k, needed in enumerate(need):
        if not needed:
            result[k] = None
        elif k < 2 and not (exact and made[k].dtype == saved[k].dtype):
            result[k] = _ops.SIMILARITY.finish(made[k], None, None, factor, _ops.DTYPE_CODES[saved[k].dtype])
        elif k >= 3 and not exact:
            result[k] = (made[k - 1] * factor).to(saved[k].dtype)
    return result


_apply = past_python(Similarity)


def similarity(call: Call, relation: Relation, vectors: Vectors) -> Tensor:
    """Runs a similarity loss's kernels with the autograd they need."""
    if call.unseen and call.group is None:  # a group sees to that itself: all of its processes have the NaN
        assert relation.row_labels is not None
        assert vectors.columns is not None
        return formula.nan_if_outside(_solve(call, relation, vectors), relation.row_labels, vectors.columns.shape[0])
    return _solve(call, relation, vectors)


def _solve(call: Call, relation: Relation, vectors: Vectors) -> Tensor:
    if torch.compiler.is_compiling():
        return trace(call, relation, vectors)
    if torch.is_grad_enabled() and any([t is not None and t.requires_grad for t in vectors]):
        return _apply(call, Relation(*map(savable, relation)), *map(savable, vectors))
    if plan.is_small(call, vectors):
        return plan.at_once(call, vectors, relation, (False,) * 3)[0]
    return plan_of(call, vectors, relation, (False,) * 4).evaluate().loss.to(call.loss_dtype)
