"""The engine as one operator, which torch.compile and torch.export see."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fastloss._core import operators as _ops
from fastloss._core._torch import process_group
from fastloss.engines.similarity import plan
from fastloss.engines.similarity.problem import Call, Relation, Vectors
from fastloss.engines.similarity.ring import plan_of

# Note [Traced problems]
# torch.compile sees one opaque operator, written in Python over the engine above: loss and gradients for an upstream
# gradient of one (that of float16 in float32: it may be small). With reduction="none" its backward runs the engine with
# the upstream gradients inside, as the eager one does. A process group comes by its name; what is sent is sent inside.


def _traced_dtype(t: Any) -> torch.dtype:
    return torch.float32 if t.dtype == torch.float16 else t.dtype


def _outputs(
    call: Call, relation: Relation, vectors: Vectors, want: tuple[bool, ...], upstream: Tensor | None
) -> list[Tensor]:
    """Loss and the five gradients; what is not wanted has no elements."""
    rows = vectors.rows
    nothing = rows.new_empty(0)
    if plan.is_small(call, vectors):
        loss, *made = plan.at_once(call, vectors, relation, (want[0], want[1], want[3] or want[4]))
        found: list[Tensor | None] = [made[0], made[1], None, made[2], made[3]]
        one = rows.new_ones((), dtype=torch.float64)
        for k in range(2):
            if want[k]:
                code = _ops.DTYPE_CODES[_traced_dtype(vectors[k])]
                found[k] = _ops.SIMILARITY.finish(made[k], None, None, one, code)
    else:
        now = call.reduction != 0 or upstream is not None
        planned = plan_of(
            call, vectors, relation, (want[0], want[1], want[2], want[3] or want[4]) if now else (False,) * 4
        )
        outcome = planned.evaluate(upstream)
        loss, found = outcome.loss.to(call.loss_dtype), [None] * 5
        if now:
            dtypes = [None if t is None else _traced_dtype(t) for t in vectors]
            factor = rows.new_full((), call.processes(), dtype=torch.float64)
            found = plan.gradients_of(call, vectors, want, outcome.kept(), factor, dtypes)
    return [loss, *(t if t is not None and needed else nothing.clone() for t, needed in zip(found, want, strict=True))]


@torch.library.custom_op("fastloss::similarity", mutates_args=())
def _traced(
    rows: Tensor,
    columns: Tensor | None,
    negatives: Tensor | None,
    scale: Tensor | None,
    bias: Tensor | None,
    row_labels: Tensor | None,
    column_labels: Tensor | None,
    mask: Tensor | None,
    positives: Tensor | None,
    weight: Tensor | None,
    normalizer: Tensor | None,
    upstream: Tensor | None,
    loss: str,
    group: str,
    numbers: list[float],
    flags: list[bool],
    codes: list[int],
    want: list[bool],
) -> list[Tensor]:
    processes = process_group(group) if group else None
    call = Call(
        loss, tuple(numbers[2:]), (numbers[0], numbers[1]), flags[0], flags[1], flags[2], flags[3], flags[4], codes[0],
        flags[5], _ops.DTYPE_OF_CODE[codes[1]], codes[2], None, processes, flags[6], flags[7],
    )  # fmt: skip
    vectors = Vectors(rows, columns, negatives, scale, bias)
    # As every operator. Strips of expanded rows without number would be cut one by one.
    dims = zip(vectors[:3], (2, 2, 3), strict=True)
    if not all(t is None or (t.dim() == n and t.numel() <= 1 << 40) for t, n in dims):
        raise RuntimeError(
            "fastloss::similarity: expected matrices of vectors (negatives: one a row), of at most 2^40 elements"
        )
    relation = Relation(row_labels, column_labels, mask, positives, weight, normalizer)
    return _outputs(call, relation, vectors, tuple(want), upstream)


@_traced.register_fake
def _(*inputs: Any) -> list[Tensor]:
    rows, columns, negatives, scale, bias, *_, upstream, _, _, _, _, codes, want = inputs
    dtype = _ops.DTYPE_OF_CODE[codes[1]]
    anchors = [rows.shape[0]] if codes[0] == 0 else []
    made = codes[0] != 0 or upstream is not None
    tensors = (rows, columns, negatives, scale, bias)
    return [
        rows.new_empty(anchors, dtype=dtype),
        *(
            torch.empty_like(t, dtype=_traced_dtype(t)) if needed and made else rows.new_empty(0)
            for t, needed in zip(tensors, want, strict=True)
        ),
    ]


def _traced_setup(ctx: Any, inputs: Any, output: Any) -> None:
    *tensors, _, ctx.loss, ctx.group, ctx.numbers, ctx.flags, ctx.codes, ctx.want = inputs
    ctx.reduced = ctx.codes[0] != 0
    ctx.dtypes = [None if t is None else t.dtype for t in tensors[:5]]
    ctx.save_for_backward(*(output[1:] if ctx.reduced else tensors))


def _traced_backward(ctx: Any, grads: list[Tensor | None]) -> Any:
    grad = grads[0]
    found: list[Tensor | None] = [None] * 5
    if grad is not None and ctx.reduced:
        made = ctx.saved_tensors
        found = [(t * grad).to(d) if w else None for t, w, d in zip(made, ctx.want, ctx.dtypes, strict=True)]
    elif grad is not None:
        about = (ctx.loss, ctx.group, ctx.numbers, ctx.flags, ctx.codes, ctx.want)
        made = _traced(*ctx.saved_tensors, grad.double().contiguous(), *about)[1:]
        found = [t.to(d) if w else None for t, w, d in zip(made, ctx.want, ctx.dtypes, strict=True)]
    return *found, *([None] * 13)


_traced.register_autograd(_traced_backward, setup_context=_traced_setup)


def trace(call: Call, relation: Relation, vectors: Vectors) -> Tensor:
    want = [t is not None and t.requires_grad and torch.is_grad_enabled() for t in vectors]
    group = "" if call.group is None else call.group.group_name
    return _traced(
        *vectors, *relation, None, call.loss, group, [*call.affine, *map(float, call.params)],
        [call.itself, call.both, call.normalize, call.distances, call.by_kind, call.empty_zero, call.ddp,
         call.unseen],
        [call.reduction, _ops.DTYPE_CODES[call.loss_dtype], call.memory_budget], want,
    )[0]  # fmt: skip
