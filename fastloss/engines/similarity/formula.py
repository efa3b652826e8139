"""The shell of a formula: similarities, pairs, weights and reduction around the values of anchors, in plain PyTorch.

An anchor that does not count (as a rule, one without a positive) has value and gradient zero; ``"mean"`` divides the
weighted sum of the values by the number of anchors that count, or by ``normalizer``. A divisor of 0 leaves no gradient,
and with ``empty="zero"`` no value.

Similarities are a product of matrices in the vectors' dtype, everything after it is at least float32. Distances are
taken in at least float32 from the start, since |x|^2 + |y|^2 - 2 <x, y> cancels.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from fastloss._core import operators as _ops
from fastloss._core._torch import F
from fastloss._core.record import SimilarityLoss
from fastloss.engines.similarity.problem import (
    Call,
    Problem,
    Relation,
    Vectors,
    call_of,
    cat,
    common_dtype,
    widened,
)

# Values of one way to sum over anchors; what their mean divides by; 0 if the mean of all parts is over nothing.
Part = tuple[Tensor, Any, Any]


def evaluate(record: SimilarityLoss, problem: Problem) -> Tensor:
    """The loss of a problem from its formula."""
    vectors, options = problem.vectors, problem.options
    divides = problem.temperature is not None
    factor: Any = problem.temperature if divides else problem.scale
    call, scale, bias = call_of(record, problem, common_dtype(vectors), problem.params, factor, divides)
    relation = problem.relation._replace(weight=options.get("weight"), normalizer=options.get("normalizer"))
    return loss(call, relation, vectors._replace(scale=scale, bias=bias))


def loss(call: Call, relation: Relation, vectors: Vectors) -> Tensor:
    """The same of a call, which a kernel may have taken before: for its second derivatives."""
    assert call.formula is not None
    columns = vectors.rows if vectors.columns is None else vectors.columns
    z = _distances(vectors.rows, call.normalize) if call.distances else _logits(call, vectors)
    positives, negatives = _pairs(call, relation, z, columns.shape[0])
    parts = call.formula(z, positives, negatives, *call.params)
    if call.both:
        parts += call.formula(z.mT, positives.mT, negatives.mT, *call.params)
    result = _reduced(call, relation, parts)
    if call.unseen:
        assert relation.row_labels is not None
        return nan_if_outside(result, relation.row_labels, columns.shape[0])
    return result


def nan_if_outside(result: Tensor, labels: Tensor, count: int) -> Tensor:
    """The loss, NaN where a label is outside [0, count), or, of a sum, if one is; its gradient as it was."""
    outside = (labels < 0) | (labels >= count)
    return result + torch.where(outside if result.dim() else outside.any(), torch.nan, 0.0).to(result.dtype)


def _logits(call: Call, vectors: Vectors) -> Tensor:
    dtype = common_dtype(vectors)
    x = _normalized(vectors.rows.to(dtype), call.normalize)
    y = x if vectors.columns is None else _normalized(vectors.columns.to(dtype), call.normalize)
    s = _similarities(x, y)
    if vectors.negatives is not None:
        further = _normalized(vectors.negatives.to(dtype), call.normalize)
        own = further.dim() == 3
        s = cat(s, _similarities(x.unsqueeze(1), further).squeeze(1) if own else _similarities(x, further), dim=1)
    factor, summand = (
        number if t is None else t for t, number in zip((vectors.scale, vectors.bias), call.affine, strict=True)
    )
    if isinstance(factor, Tensor) or factor != 1.0:
        s = s / number(factor, s) if call.divides else number(factor, s) * s
    return s + number(summand, s) if isinstance(summand, Tensor) or summand != 0.0 else s


def _pairs(call: Call, relation: Relation, z: Tensor, columns: int) -> tuple[Tensor, Tensor]:
    """Which pairs are positive and which negative; the others are left out."""
    rows, width = z.shape
    row_labels, column_labels, kept, positives, _, _ = relation
    if positives is None:
        own = torch.arange(rows, device=z.device) if row_labels is None else row_labels
        theirs = torch.arange(columns, device=z.device) if column_labels is None else column_labels
        positives = own.unsqueeze(1) == theirs
    positives = widened(positives, width, False)
    negatives = ~positives
    if call.itself:
        others = ~torch.eye(rows, dtype=torch.bool, device=z.device)
        kept = others if kept is None else others & kept
    if kept is None:
        return positives, negatives
    kept = widened(kept, width, True)
    return positives & kept, negatives & kept


def _reduced(call: Call, relation: Relation, parts: list[Part]) -> Tensor:
    """Weighs and reduces the values of each part and adds the parts."""
    weight, normalizer = relation.weight, relation.normalizer
    total: Any = 0.0
    for value, divisor, count in parts:
        if weight is not None:
            value = value * weight.to(value.dtype)
        if call.reduction == 0:
            total = total + value
        elif call.reduction == 2:
            total = total + value.sum()
        elif normalizer is not None:
            by = torch.as_tensor(number(normalizer, value), dtype=value.dtype, device=value.device)
            over_zero = 0.0 if call.empty_zero else value.sum().detach() / by
            total = total + torch.where(by == 0, over_zero, value.sum() / torch.where(by == 0, 1.0, by))
        else:
            nothing = 0.0 if call.empty_zero else math.nan
            total = total + torch.where(count > 0, value.sum() / divisor.clamp_min(1), nothing)
    return ((0.5 if call.both else 1.0) * total).to(call.loss_dtype)


def _normalized(x: Tensor, normalize: bool) -> Tensor:
    if x.dtype == torch.float16:  # whose range ends before that of a gradient times GradScaler's factor
        x = x.float()
    return F.normalize(x, dim=-1) if normalize else x


def _similarities(x: Tensor, y: Tensor) -> Tensor:
    s = x @ y.mT
    return s.to(torch.promote_types(x.dtype, torch.float32))


def _distances(x: Tensor, normalize: bool) -> Tensor:
    """Euclidean distances, with gradient 0 where they are 0."""
    device = x.device.type
    if _ops.autocasts(device):
        with torch.autocast(device, enabled=False):
            return _distances(x, normalize)
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    length, x = x.norm(dim=-1), _normalized(x, normalize)
    s = x @ x.mT
    square = x.square().sum(-1)
    if normalize:  # exactly 1, but for vectors so short that they were divided by 1e-12
        square = torch.where(length > 1e-12, 1.0, square)
    d = square.unsqueeze(1) + square - 2 * s
    apart = ~(d <= 0)  # NaN too
    return torch.where(apart, torch.where(apart, d, 1.0).sqrt(), 0.0)


# What formulas share.


def number(value: Any, like: Tensor) -> Any:
    """A hyperparameter as an operand; a tensor in the dtype of what it meets."""
    return value.reshape(()).to(like.dtype) if isinstance(value, Tensor) else float(value)


def counted(value: Tensor, counts: Tensor | None = None) -> list[Part]:
    """The values of those anchors that count (default: all), of which a mean is made."""
    if counts is None:
        counts = torch.ones_like(value, dtype=torch.bool)
    count = counts.sum()
    return [(torch.where(counts, value, 0.0), count, count)]


def lse(z: Tensor, kept: Tensor) -> Tensor:
    """Logsumexp of the kept entries of each row; -inf with zero gradient if there are none."""
    if not z.shape[-1]:
        return z.new_full(z.shape[:-1], -math.inf)
    some = kept.any(-1)
    z = torch.where(kept, z, -math.inf)
    top = torch.where(some, z.detach().amax(-1), 0.0)
    total = torch.where(kept, z - top.unsqueeze(-1), -math.inf).exp().sum(-1)
    return torch.where(some, top + torch.where(some, total, 1.0).log(), -math.inf)


def softplus(x: Tensor) -> Tensor:
    """log(1 + e^x) to the last digit; torch.nn.functional.softplus gives x from 20 on."""
    return -F.logsigmoid(-x)
