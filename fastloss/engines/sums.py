"""Rows whose classes lie on several processes, and whose value is made of the parts' values.

Note [Shares]
With P_r and Q_r the shares of process r in a teacher's and a student's distribution, and p', q' what softmax makes of
the logits of r alone, KL(p || q) = KL(P || Q) + sum_r P_r KL(p' || q'), and likewise cross entropy and alpha
divergence. So kernels of whole rows do the work, and three numbers a row travel: the value of each part and the
logarithms of both sums. Every process makes the row's value of all of them, and differentiates it in its own.

Note [Sums of parts]
Of other values each process adds up f(z, s) of its classes, of the logits z that are here and of the logarithm s of the
sum of exp z over all classes. So with p = exp(z - s)
    d value / d z_c = f_z,c + p_c g,    g the sum of df/ds over all processes.
Two messages of a few numbers a row make s, and then the values and g. Backward sends nothing: the upstream gradient is
the same on every process. This is plain PyTorch in float64, on blocks of rows that stay in a cache: where a teacher and
a student agree, f is a small difference of large numbers, and no kernel knows the s of others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from fastloss._core import memory as _memory
from fastloss._core.autograd import Kernel
from fastloss.distributed import gather

WHY = "the classes lie on several processes: each adds up its own, block by block in float64"
# Of each tensor in a block: 2 MiB of float64, and on devices, where launches take longer than reading again, 128.
BLOCK_NUMBERS = {"cpu": 1 << 18, "": 1 << 24}


class Sum(NamedTuple):
    """A value of each row.

    Attributes:
        name: Of the loss.
        group: The processes.
        logits: Of tensors: those logits whose softmax runs over all classes, as they enter it.
        value: Of tensors, these logits, and the logarithms of their sums: what the classes here contribute.
    """

    name: str
    group: Any
    logits: Callable[..., list[Tensor]]
    value: Callable[..., Tensor]


class _Gathered:
    """For `Kernel`: ``(call, t) -> tensors of all processes``, of which this one differentiates its own."""

    fixed = (None,) * 2

    @staticmethod
    def forward(ctx: Any, call: tuple[str, Any], t: Tensor) -> Tensor:
        return gather(t, call[1])

    @staticmethod
    def backward(ctx: Any, call: tuple[str, Any], upstream: Tensor) -> list[Tensor]:
        return [upstream[dist.get_rank(call[1])]]

    @staticmethod
    def formula(ctx: Any, call: tuple[str, Any]) -> Any:
        raise second_derivative(call[0])


def shares(name: str, group: Any, *given: Tensor) -> tuple[Tensor, ...]:
    """These numbers of each row from all processes, which are the last dimension; float64."""
    made: Tensor = Kernel.apply(_Gathered, (name, group), torch.stack(given).double())
    return made.movedim(0, -1).unbind()


def found(logits: Tensor, mask: Tensor | None, dim: int = -1) -> tuple[Tensor, Tensor]:
    """Of rows that are kept: which have a class here that is possible, and which have none."""
    none = logits.detach().amax(dim) == -torch.inf
    return (~none, none) if mask is None else (mask & ~none, mask & none)


def second_derivative(name: str) -> RuntimeError:
    return RuntimeError(
        f"fastloss.{name}: expected a first derivative of rows whose classes lie on several processes; "
        "remedy for a second one: gather the logits"
    )


def _blocks(tensors: Sequence[Tensor]) -> Iterator[tuple[slice, list[Tensor]]]:
    """Some rows at a time, in float64."""
    rows, widest = tensors[0].shape[0], max(t.shape[1] for t in tensors)
    numbers = BLOCK_NUMBERS.get(tensors[0].device.type, BLOCK_NUMBERS[""])
    step = max(1, numbers // max(1, widest))
    for first in range(0, max(rows, 1), step):
        part = slice(first, first + step)
        yield part, [t[part].detach().double() if t.is_floating_point() else t[part] for t in tensors]


class _Sums:
    """For `Kernel`: ``(call, mask, *tensors) -> values``, of matrices with the classes that are here, row by row."""

    fixed = (None,) * 3

    @staticmethod
    def forward(ctx: Any, call: Sum, mask: Tensor | None, *tensors: Tensor) -> Tensor:
        own = [torch.stack([z.logsumexp(1) for z in call.logits(block)]) for _, block in _blocks(tensors)]
        sums, made = gather(torch.cat(own, 1), call.group).logsumexp(0), []
        for part, block in _blocks(tensors):
            with torch.enable_grad():
                s = [t[part].requires_grad_() for t in sums]
                value = call.value(block, call.logits(block), s)
            slopes = torch.autograd.grad(value, s, torch.ones_like(value), allow_unused=True, materialize_grads=True)
            made.append(torch.stack([value.detach(), *slopes]))
        total = torch.cat(made, 1)
        dist.all_reduce(total, group=call.group)
        ctx.save_for_backward(mask, sums, total[1:], *tensors)
        return total[0]

    @staticmethod
    def backward(ctx: Any, call: Sum, upstream: Tensor) -> list[Tensor | None]:
        mask, sums, slopes, *tensors = ctx.saved_tensors
        needed = [k for k, need in enumerate(ctx.needs_input_grad[3:]) if need]
        grads = {k: _memory.empty_like(tensors[k]) for k in needed}
        for part, block in _blocks(tensors):
            leaves = [block[k].requires_grad_() for k in needed]
            with torch.enable_grad():
                logits = call.logits(block)
                value = call.value(block, logits, [*sums[:, part]])
                for z, s, slope in zip(logits, sums[:, part], slopes[:, part], strict=True):
                    value = value + slope * (z - s.unsqueeze(1)).exp().sum(1)
            for k, grad in zip(needed, torch.autograd.grad(value, leaves, upstream[part]), strict=True):
                grads[k][part] = grad if mask is None else torch.where(mask[part].unsqueeze(1), grad, 0.0)
        return [grads.get(k) for k in range(len(tensors))]

    @staticmethod
    def formula(ctx: Any, call: Sum) -> Any:
        raise second_derivative(call.name)


def values(call: Sum, tensors: Sequence[Tensor], mask: Tensor | None, dim: int = -1) -> Tensor:
    """The values of all rows, float64, zero in those that are not kept; ``dim``: of the classes."""
    moved = [t.movedim(dim, -1) for t in tensors]
    matrices = [t.reshape(-1, t.shape[-1]) for t in moved]
    flat = None if mask is None else mask.reshape(-1)
    made: Tensor = Kernel.apply(_Sums, call, flat, *matrices)
    made = made.view(moved[0].shape[:-1])
    return made if mask is None else torch.where(mask, made, 0.0)
