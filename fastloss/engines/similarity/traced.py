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
# torch.compile sees one opaque operator, written in Python over the engine: loss and gradients for an upstream gradient
# of one (that of float16 in float32: it may be small). With reduction="none" its backward runs the engine with the
# upstream gradients inside, as the eager one does. A process group comes by its name; what is sent is sent inside.
# Autograd is the operator's own: dynamo refuses an autograd function that is given a tensor twice (labels, or vectors).


def _traced_dtype(t: Any) -> torch.dtype:
    return torch.float32 if t.dtype == torch.float16 else t.dtype


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
    """Loss and the five gradients; what is not wanted has no elements."""
    relation = Relation(row_labels, column_labels, mask, positives, weight, normalizer)
    vectors = Vectors(rows, columns, negatives, scale, bias)
    # As every operator. Strips of expanded rows without number would be cut one by one.
    dims = zip(vectors[:3], (2, 2, 3), strict=True)
    if not all(t is None or (t.dim() == n and t.numel() <= 1 << 40) for t, n in dims):
        raise RuntimeError(
            "fastloss::similarity: expected matrices of vectors (negatives: one a row), of at most 2^40 elements"
        )
    reduction, dtype, budget = codes
    call = Call(  # type: ignore[call-arg]
        loss, tuple(numbers[2:]), (numbers[0], numbers[1]), *flags, reduction, _ops.DTYPE_OF_CODE[dtype], budget, None,  # type: ignore[arg-type]
        process_group(group) if group else None,
    )  # fmt: skip
    dtypes = [None if t is None else _traced_dtype(t) for t in vectors]
    factor = rows.new_full((), call.processes(), dtype=torch.float64)
    found: list[Tensor | None] = [None] * 5
    if plan.is_small(call, vectors):
        value, made = plan.at_once(call, vectors, relation, want)
        found = plan.scaled(vectors, made, factor, dtypes)
    elif reduction == 0 and upstream is None:
        value, _ = plan_of(call, vectors, relation, [False] * 5).evaluate()
    else:
        value, kept = plan_of(call, vectors, relation, want).evaluate(upstream)
        found = plan.gradients_of(vectors, want, call.affine, kept, factor, dtypes)
    return [value, *(rows.new_empty(0) if t is None else t for t in found)]


@_traced.register_fake
def _(*inputs: Any) -> list[Tensor]:
    *tensors, upstream, _, _, _, _, (reduction, dtype, _), want = inputs
    rows, *_ = vectors = tensors[:5]
    made = reduction != 0 or upstream is not None
    return [
        rows.new_empty([] if reduction else [rows.shape[0]], dtype=_ops.DTYPE_OF_CODE[dtype]),
        *(
            torch.empty_like(t, dtype=_traced_dtype(t)) if needed and made else rows.new_empty(0)
            for t, needed in zip(vectors, want, strict=True)
        ),
    ]


def _traced_setup(ctx: Any, inputs: Any, output: Any) -> None:
    *tensors, _, ctx.loss, ctx.group, ctx.numbers, ctx.flags, ctx.codes, ctx.want = inputs
    ctx.dtypes = [None if t is None else t.dtype for t in tensors[:5]]
    ctx.save_for_backward(*(tensors if ctx.codes[0] == 0 else output[1:]))


def _traced_backward(ctx: Any, grads: list[Tensor | None]) -> Any:
    found: list[Tensor | None] = [None] * 5
    if grads[0] is not None:
        made, by = ctx.saved_tensors, grads[0]  # type: Any, Any
        if ctx.codes[0] == 0:
            about = (ctx.loss, ctx.group, ctx.numbers, ctx.flags, ctx.codes, ctx.want)
            (_, *made), by = _traced(*made, by.double().contiguous(), *about), 1
        found = [(t * by).to(dtype) if w else None for t, w, dtype in zip(made, ctx.want, ctx.dtypes, strict=True)]
    return *found, *[None] * 13


_traced.register_autograd(_traced_backward, setup_context=_traced_setup)


def trace(call: Call, relation: Relation, vectors: Vectors) -> Tensor:
    want = [t is not None and t.requires_grad and torch.is_grad_enabled() for t in vectors]
    group = "" if call.group is None else call.group.group_name
    codes = [call.reduction, _ops.DTYPE_CODES[call.loss_dtype], call.memory_budget]
    numbers = [*call.affine, *map(float, call.params)]
    return _traced(*vectors, *relation, None, call.loss, group, numbers, [*call[3:11]], codes, want)[0]
