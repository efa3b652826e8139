"""The autograd of losses of all pairs: Note [Shape of the autograd functions] in `fastloss._core.autograd`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from fastloss._core.autograd import apply
from fastloss.engines.similarity import formula, plan
from fastloss.engines.similarity.problem import Call, Relation, Vectors
from fastloss.engines.similarity.ring import plan_of
from fastloss.engines.similarity.traced import trace

_NOTHING = (False,) * len(Vectors._fields)


class AllPairs:
    """The engine for `Kernel`: of a relation, vectors, and these one by one.

    Of a small problem (`plan.is_small`) backward hands out the gradients once, and then makes them again. Else backward
    keeps, with the tensors of the call, what `plan.Plan.evaluate` says.
    """

    fixed = (None,) * 4

    @staticmethod
    def forward(ctx: Any, call: Call, relation: Relation, vectors: Vectors, *_: Any) -> Tensor:
        want = ctx.needs_input_grad[4:]
        ctx.made = None
        kept: tuple[Tensor | None, ...] = ()
        if plan.is_small(call, vectors):
            loss, ctx.made = plan.at_once(call, vectors, relation, want)
        elif call.reduction == 0:
            loss, _ = plan_of(call, vectors, relation, _NOTHING).evaluate()
        else:
            loss, kept = plan_of(call, vectors, relation, want).evaluate()
        ctx.save_for_backward(*vectors, *relation, *kept)
        ctx.half = vectors.rows.dtype.itemsize == 2
        return loss

    @staticmethod
    def backward(ctx: Any, call: Call, grad_output: Tensor) -> list[Tensor | None]:
        made, ctx.made = ctx.made, None
        if made is not None and not ctx.half and float(grad_output) == 1.0:
            return made
        saved, want = ctx.saved_tensors, ctx.needs_input_grad[4:]
        vectors, relation, kept = Vectors(*saved[:5]), Relation(*saved[5:11]), saved[11:]
        if call.ddp:
            grad_output = grad_output * call.processes()
        if kept:
            return plan.gradients_of(vectors, want, call.affine, kept, grad_output)
        if call.reduction == 0:
            _, kept = plan_of(call, vectors, relation, want).evaluate(grad_output.double().contiguous())
            return plan.gradients_of(vectors, want, call.affine, kept, grad_output.new_ones((), dtype=torch.float64))
        if made is None:
            _, made = plan.at_once(call, vectors, relation, want)
        return plan.scaled(vectors, made, grad_output)

    @staticmethod
    def formula(ctx: Any, call: Call) -> tuple[Callable[..., Tensor], tuple[Tensor | None, ...]]:
        if call.group is not None:
            raise RuntimeError(
                "fastloss: a second derivative, or many upstream gradients at once, need the whole batch in one "
                "process; expected create_graph=False and is_grads_batched=False with group="
            )
        saved = ctx.saved_tensors
        return lambda *t: formula.loss(call, Relation(*saved[5:11]), Vectors(*t)), saved[:5]


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
        return apply(AllPairs, call, relation, vectors, *vectors)
    if plan.is_small(call, vectors):
        return plan.at_once(call, vectors, relation, _NOTHING)[0]
    return plan_of(call, vectors, relation, _NOTHING).evaluate()[0]
