"""Heads whose classes lie on several processes: strips of `layers`, rows of `parts`.

Note [Shards of a head]
Each process has the vectors of some classes, and the hidden states of all rows. It measures its part of each row strip
by strip; what travels between processes are the numbers of Note [Parts of a row]. Backward makes the strips again.
Every process then has its classes' part of the hidden states' gradient; these are added up.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from fastloss._core import operators as _ops
from fastloss._core.autograd import Kernel
from fastloss._core.guards import TORCH_ERRORS, why_no_kernel
from fastloss._core.record import HeadLoss
from fastloss.engines import linear, outputs, parts
from fastloss.engines.layers import Walk, without_autocast
from fastloss.engines.outputs import Plan, Posed
from fastloss.engines.sums import second_derivative


class Shard(NamedTuple):
    """What strips are about besides tensors.

    Attributes:
        dtype: Products are made in it.
        memory_budget: Bytes of a strip.
        hits: Whether the class with the largest logit is wanted.
        record: Of a loss with centers and margins.
        centers, margins: As in `linear.Call`.
    """

    dtype: torch.dtype
    memory_budget: int
    hits: bool = False
    record: HeadLoss | None = None
    centers: int = 1
    margins: tuple[Any, ...] = ()

    def logits(self, tile: Tensor, target: Any, by_class: Tensor | None) -> linear.Changed:
        if self.record is None:
            return linear.Changed(tile, tile)
        margins = linear.margins_of(self.margins, by_class)
        return linear.change(self.record, self.centers, margins, tile, target)


class _Summed:
    """For `Kernel`: ``((name, group), t) -> t``, whose gradient the processes make parts of."""

    fixed = (None,) * 2

    @staticmethod
    def forward(ctx: Any, call: tuple[str, Any], t: Tensor) -> Tensor:
        return t.view_as(t)

    @staticmethod
    def backward(ctx: Any, call: tuple[str, Any], upstream: Tensor) -> list[Tensor]:
        total = upstream.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total, group=call[1])
        return [total]

    @staticmethod
    def formula(ctx: Any, call: tuple[str, Any]) -> Any:
        raise second_derivative(call[0])


def shared(name: str, hidden: Tensor, group: Any) -> Tensor:
    """The hidden states that all processes have, in the computing dtype: their gradient is rounded once."""
    wide: Tensor = Kernel.apply(_Summed, (name, group), hidden.to(_ops.compute_dtype(hidden.dtype)))
    return wide


class _Rows:
    """For `Kernel`: ``(plan, group, given, shard, *vectors) -> outputs``, as `parts` has them, and the classes with the
    largest logits; given: target, mask, weight of the classes, weights of all processes, margins of the classes."""

    fixed = (None,) * 5

    @staticmethod
    def forward(ctx: Any, plan: Plan, group: Any, given: Any, shard: Shard, *vectors: Any) -> Any:
        target, mask, weight, weights, by_class = given
        walk, found = Walk(vectors, _kept(target, mask), shard.dtype, shard.memory_budget), []
        with without_autocast(vectors[0]):
            for _, tile, cut in walk:
                logits = shard.logits(tile, cut(target), by_class).logits
                largest = logits.max(1) if shard.hits else (None, None)
                state, *others = outputs.measure(plan, logits, cut(target), cut(mask), weight, part=True)
                found.append([state.t(), *others, *largest])
        planes: Any = [None if p[0] is None else walk.placed(torch.cat(p)) for p in zip(*found, strict=True)]
        made, state, ctx.weight_sum = parts.merged(group, weights, target, mask, (planes[0].t(), *planes[1:5]))
        value, index = planes[5:]
        ctx.group, ctx.shard = group, shard
        ctx.save_for_backward(target, mask, weight, by_class, state, made[1], *vectors)
        return *made, None if value is None else parts.largest(value, index, vectors[1].shape[0], group)

    @staticmethod
    def backward(ctx: Any, plan: Plan, of_logprob: Any, of_entropy: Any, of_lse: Any, of_spread: Any, _: Any) -> Any:
        target, mask, weight, by_class, state, entropy, *vectors = ctx.saved_tensors
        shard, want = ctx.shard, ctx.needs_input_grad[5:]
        of_lse = parts.with_spread(of_lse, of_spread, ctx.weight_sum)
        walk = Walk(vectors, _kept(target, mask), shard.dtype, shard.memory_budget)
        made = walk.memory(want)
        with without_autocast(vectors[0]):
            for begin, tile, cut in walk:
                changed = shard.logits(tile, cut(target), by_class)
                outputs.write_gradient(
                    plan, changed.logits, changed.logits, cut(target), cut(mask), cut(state.t()).t().contiguous(),
                    cut(entropy), cut(of_logprob), cut(of_entropy), cut(of_lse), weight, cut(of_spread), True,
                )  # fmt: skip
                linear.change_back(changed)
                walk.add(made, begin, tile, want)
        made[0] = None if made[0] is None else walk.placed(made[0])
        return [None if t is None else linear.scaled(g, None, t.dtype) for g, t in zip(made, vectors, strict=True)]

    @staticmethod
    def formula(ctx: Any, plan: Plan) -> Any:
        raise second_derivative(plan.name)


def _kept(target: Tensor | None, mask: Tensor | None) -> Tensor | None:
    return mask if target is None else linear.kept_of(target, parts.IGNORED, mask)


def rows(shard: Shard, name: str, hidden: Tensor, weight: Tensor, bias: Tensor | None, by_class: Any = None) -> Any:
    """What makes the outputs of rows, for `parts`, of a layer whose classes lie on several processes."""
    shape = hidden.shape[:-1]

    def of(plan: Plan, group: Any, weights: Tensor, target: Any, mask: Tensor | None, weight_of: Tensor | None) -> Any:
        target, mask = (None if t is None else t.reshape(-1) for t in (target, mask))
        flat = shared(name, hidden, group).reshape(-1, hidden.shape[-1]), weight, bias
        given = target, mask, weight_of, weights, by_class
        made = Kernel.apply(_Rows, plan._replace(dim=1), group, given, shard, *flat)
        return tuple(None if t is None else t.view(shape) for t in made)

    return of


def solve(record: HeadLoss, problem: linear.Problem) -> Tensor:
    """The loss of a head whose classes lie on several processes."""
    name, hidden, weight, bias = record.name, problem.hidden, problem.weight, problem.bias
    tensors = [t for t in (hidden, weight, bias) if t is not None]
    dtype, margins = linear.product_dtype(*tensors), linear.fixed_margins(problem.margins)
    reason = why_no_kernel(record.engine, tensors, ("cpu", "cuda"))
    if dtype is None or weight.dim() != 2 or not hidden.numel() or not weight.numel():
        reason = reason or f"input has shape {tuple(hidden.shape)} and the weight {tuple(weight.shape)}"
    if margins is None:
        reason = reason or "a margin is a tensor that needs a gradient or lies on a device"
    if reason or problem.target.is_floating_point() or dtype is None or margins is None:
        raise RuntimeError(
            f"fastloss.{name}: with group= expected vectors of one dtype that kernels take, a weight of two "
            f"dimensions, numbers as margins and classes as targets{f', but {reason}' if reason else ''}"
        )
    if record.cosine:
        hidden, weight = linear.unit_vectors(problem)
    budget, tiles = linear.bytes_of(problem.options.get("memory_budget")), linear.tiles_of(problem.centers)
    budget = linear.strip_bytes(budget, hidden, weight.shape[0], tiles)
    shard = Shard(dtype, budget, False, record, problem.centers, margins[0])
    of = rows(shard, name, hidden, weight, bias, margins[1])
    logits = problem.hidden.detach().new_empty(()).expand(*hidden.shape[:-1], weight.shape[0] // problem.centers)
    options = {key: value for key, value in problem.options.items() if key != "memory_budget"}
    try:
        return parts.solve(
            record.rows, False, logits, problem.target, problem.params, problem.class_weight, problem.ignore_index,
            problem.reduction, problem.label_smoothing, options, of,
        )  # fmt: skip
    except TORCH_ERRORS as error:
        raise linear.in_name(record, error) from error


def token_logprobs(record: Any, layer: Any, posed: Posed) -> Any:
    """The outputs of rows of logits whose classes lie on several processes; ``posed`` has the shape of those here."""
    dtype = linear.product_dtype(*layer.vectors())
    assert dtype is not None
    shard = Shard(
        dtype, linear.strip_bytes(linear.bytes_of(layer.memory_budget), layer.input, layer.weight.shape[0]), posed.hits
    )
    return parts.token_logprobs(record, posed, rows(shard, record.name, *layer.vectors()))
