"""Losses of heads whose classes lie on several processes: strips of `layers`, rows of `parts`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fastloss._core import operators as _ops
from fastloss._core.autograd import Kernel
from fastloss._core.guards import TORCH_ERRORS, why_no_kernel
from fastloss._core.record import HeadLoss
from fastloss.engines import linear, outputs, parts
from fastloss.engines.layers import Walk, without_autocast
from fastloss.engines.outputs import Plan
from fastloss.engines.similarity import strips
from fastloss.engines.sums import second_derivative


class _Shard:
    """For `Kernel`: ``(plan, group, (target, mask, weight, weights), layer, *vectors) -> outputs``, as `parts` has.

    Each process has the vectors of some classes, and the hidden states of all rows, whose gradients are added up.
    """

    fixed = (None,) * 5

    @staticmethod
    def forward(ctx: Any, plan: Plan, group: Any, given: Any, layer: tuple[torch.dtype, int], *vectors: Any) -> Any:
        target, mask, weight, weights = given
        walk, found = Walk(vectors, linear.kept_of(target, parts.IGNORED, mask), *layer), []
        with without_autocast(target):
            for _, tile, cut in walk:
                state, *others = outputs.measure(plan, tile, cut(target), cut(mask), weight, part=True)
                found.append([state.t(), *others])
        planes = [None if p[0] is None else walk.placed(torch.cat(p)) for p in zip(*found, strict=True)]
        assert planes[0] is not None
        measured = planes[0].t(), *planes[1:]
        made, state, ctx.weight_sum = parts.merged(group, weights, target, mask, measured)
        ctx.group, ctx.layer = group, layer
        ctx.save_for_backward(target, mask, weight, state, *vectors)
        return made

    @staticmethod
    def backward(ctx: Any, plan: Plan, of_logprob: Any, _: Any, of_lse: Any, of_spread: Any) -> Any:
        target, mask, weight, state, *vectors = ctx.saved_tensors
        want = ctx.needs_input_grad[5:]
        of_lse = parts.with_spread(of_lse, of_spread, ctx.weight_sum)
        walk = Walk(vectors, linear.kept_of(target, parts.IGNORED, mask), *ctx.layer)
        made = walk.memory(want)
        with without_autocast(target):
            for begin, tile, cut in walk:
                own = cut(state.t()).t().contiguous()
                outputs.write_gradient(
                    plan, tile, tile, cut(target), cut(mask), own, None, cut(of_logprob), None, cut(of_lse), weight,
                    cut(of_spread), True,
                )  # fmt: skip
                walk.add(made, begin, tile, want)
        if made[0] is not None:
            made[0] = walk.placed(made[0]).to(_ops.compute_dtype(made[0].dtype))
            torch.distributed.all_reduce(made[0], group=ctx.group)
        return [None if t is None else linear.scaled(g, None, t.dtype) for g, t in zip(made, vectors, strict=True)]

    @staticmethod
    def formula(ctx: Any, plan: Plan) -> Any:
        raise second_derivative(plan.name)


def solve(record: HeadLoss, problem: linear.Problem) -> Tensor:
    """The loss of a head whose classes lie on several processes."""
    name, hidden, vectors = record.name, problem.hidden, (problem.hidden, problem.weight, problem.bias)
    dtype = linear.product_dtype(*vectors)
    reason = why_no_kernel(record.engine, [t for t in vectors if t is not None], ("cpu", "cuda"))
    if reason or dtype is None or problem.weight.dim() != 2 or not hidden.numel() or problem.target.is_floating_point():
        raise RuntimeError(
            f"fastloss.{name}: with group= expected vectors of one dtype that kernels take, linear_weight of two "
            f"dimensions and classes as targets{f', but {reason}' if reason else ''}"
        )
    budget = min(linear.bytes_of(problem.options.get("memory_budget")), strips.strip_bytes(hidden))
    shape = hidden.shape[:-1]

    def of(plan: Plan, group: Any, weights: Tensor, target: Tensor, mask: Tensor | None, weight: Tensor | None) -> Any:
        given = target.reshape(-1), None if mask is None else mask.reshape(-1), weight, weights
        flat = hidden.reshape(-1, hidden.shape[-1]), *vectors[1:]
        made = Kernel.apply(_Shard, plan._replace(dim=1), group, given, (dtype, budget), *flat)
        return tuple(None if t is None else t.view(shape) for t in made)

    logits = hidden.detach().new_empty(()).expand(*shape, problem.weight.shape[0])
    options = {key: value for key, value in problem.options.items() if key != "memory_budget"}
    try:
        return parts.solve(
            record.rows, False, logits, problem.target, problem.params, problem.class_weight, problem.ignore_index,
            problem.reduction, problem.label_smoothing, options, of,
        )  # fmt: skip
    except TORCH_ERRORS as error:
        raise linear.in_name(record, error) from error
