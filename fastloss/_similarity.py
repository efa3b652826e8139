"""The engine of the similarity family: which tiles of the matrix of similarities are made, when, and what from.

Note [Plan]
Rows x (N, D) against columns y (M, D), or against themselves. The matrix is cut into strips of whole rows. A strip is
one matrix product; operators turn it into sums of anchors, and, in place, into derivatives, from which two more products
make gradients. Flops count N M D:

- The matrix fits ``memory_budget``: strips are views of it, made once. 2 for the similarities, 2 for each gradient: 6;
  4 if the columns are the rows, since the pair (i, j) then carries the derivative of both its anchors and one product
  serves.
- It does not, and only rows are anchors: a strip has all that its rows need, so it goes through both steps at once: 6.
- It does not, and an anchor needs what other strips know (columns are anchors, or the columns are the rows): strips are
  made a second time when all sums are there. 8; 6 if the columns are the rows.

Memory: gradients in the computing type, 8 doubles per anchor, a strip or the matrix.

Note [When gradients are made]
In forward, for an upstream gradient of one: they are O(N D), what they were made from is O(N M). Backward multiplies them by
the upstream gradient, takes the normalisation back and rounds once, as often as it is asked. With ``reduction="none"``
the upstream gradient belongs inside the sums: backward runs the plan again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fastloss import _memory, _ops

# Bytes of similarities that may be kept instead of made twice, and of a strip otherwise. A strip near the caches' size
# saves little: products read it from memory at a fraction of their time. Thin strips make slow products.
MEMORY_BUDGET = 256 << 20
_STRIP_BYTES = 16 << 20
_MIN_STRIP_ROWS = 128

_STATE = 8  # doubles of AnchorSums in csrc/core/similarity.h
_COUNTS = slice(5, 7)  # of them, the numbers of positive and negative pairs


class Call(NamedTuple):
    """What a loss is about besides its tensors.

    Attributes:
        loss: Name of the functor in ``csrc/losses/losses.h``.
        params: Its parameters.
        affine: Factor and summand of the similarities, besides the tensors ``scale`` and ``bias``.
        itself: The columns are the rows; no vector pairs with itself.
        both: Columns are anchors too, and each side is half the loss.
        normalize: Vectors are brought to length one first.
        distances: The functor takes squared distances.
        by_kind: A mean averages positive and negative pairs apart, each over those with a value.
        reduction: 0, 1 or 2: none, mean, sum.
        empty_zero: A mean over nothing is zero, not NaN.
        loss_dtype: Of the result.
        memory_budget: Bytes.
        again: The loss in plain PyTorch from the same differentiable tensors, for second derivatives.
    """

    loss: str
    params: tuple[float, ...]
    affine: tuple[float, float]
    itself: bool
    both: bool
    normalize: bool
    distances: bool
    by_kind: bool
    reduction: int
    empty_zero: bool
    loss_dtype: torch.dtype
    memory_budget: int
    again: Callable[..., Tensor]


class Relation(NamedTuple):
    """Which pairs are positive or left out, and the weight of anchors: nothing in which to differentiate.

    A pair is positive if its labels are equal (an absent label is the index), or where ``positives`` says so.
    """

    row_labels: Tensor | None = None
    column_labels: Tensor | None = None
    mask: Tensor | None = None
    positives: Tensor | None = None
    weight: Tensor | None = None  # float64
    normalizer: Tensor | None = None  # float64


class Vectors(NamedTuple):
    """The differentiable tensors: ``negatives`` (N, K, D) are further columns of each row."""

    rows: Tensor
    columns: Tensor | None
    negatives: Tensor | None
    scale: Tensor | None
    bias: Tensor | None


class Unit(NamedTuple):
    """Vectors as the products take them. ``length`` is what they were divided by, None if they were not."""

    vectors: Tensor
    length: Tensor | None


class Outcome(NamedTuple):
    """``gradients`` of rows, columns and negatives lack ``factor`` and the normalisation's part; so do ``sums``, of the
    derivatives times the similarities and of the derivatives alone, the factor."""

    loss: Tensor
    gradients: tuple[Tensor | None, Tensor | None, Tensor | None]
    sums: Tensor | None
    factor: Tensor | None
    units: tuple[Unit | None, Unit | None, Unit | None]


def _unit(vectors: Tensor | None, normalize: bool) -> Unit | None:
    if vectors is None:
        return None
    if normalize:
        flat = vectors.reshape(-1, vectors.shape[-1]) if vectors.dim() > 2 else vectors
        unit, length = _ops.SIMILARITY.normalize(flat if flat.stride(1) == 1 else flat.contiguous())
        return Unit(unit.view(vectors.shape), length)
    # A CPU multiplies float16 a hundred times slower than float32.
    return Unit(vectors.float() if vectors.is_cpu and vectors.dtype == torch.float16 else vectors, None)


def _cut(t: Tensor | None, begin: int, end: int) -> Tensor | None:
    return t if t is None or (begin == 0 and end == t.shape[0]) else t[begin:end]


class Plan:
    """One call: Note [Plan]."""

    def __init__(self, call: Call, vectors: Vectors, relation: Relation, want: tuple[bool, bool, bool, bool]) -> None:
        self.call, self.relation = call, relation
        self.scale, self.bias = vectors.scale, vectors.bias
        self.x, self.y, self.negatives = units = (
            _unit(vectors.rows, call.normalize),
            _unit(vectors.columns, call.normalize),
            _unit(vectors.negatives, call.normalize),
        )
        self.units = units
        rows = self.rows = units[0].vectors  # type: ignore[union-attr]
        columns = self.columns = rows if call.itself else units[1].vectors  # type: ignore[union-attr]
        self.further = None if self.negatives is None else self.negatives.vectors
        self.n, self.shared = rows.shape[0], columns.shape[0]
        self.m = self.shared + (0 if self.further is None else self.further.shape[1])
        self.want_rows, self.want_columns, self.want_negatives, self.want_sums = want
        self.want = any(want)
        # One product serves both anchors of a pair if what is positive to i is so to j.
        self.symmetric = call.itself and relation.mask is None and relation.positives is None
        self.waits = call.both or self.symmetric or call.by_kind
        row_bytes = self.m * rows.element_size()
        budget = call.memory_budget if self.waits else min(call.memory_budget, _STRIP_BYTES)
        self.whole = self.n * row_bytes <= budget
        strip_rows = max(_MIN_STRIP_ROWS, min(_STRIP_BYTES, call.memory_budget) // max(1, row_bytes))
        self.strips = [(b, min(b + strip_rows, self.n)) for b in range(0, self.n, strip_rows)] or [(0, 0)]
        keeps = self.n if self.whole and self.want else min(strip_rows, self.n)
        self.matrix = _memory.empty((keeps, self.m), rows)
        self.terms = None
        if call.distances and not call.normalize:
            self.terms = rows.square().sum(-1)
        self.index = _ops.SIMILARITY.losses[call.loss]
        self.dtype = _ops.DTYPE_CODES[_ops.compute_dtype(rows.dtype)]
        self.gradients: list[Tensor | None] = [None, None, None]
        self.sums: Tensor | None = None

    def similarities(self, begin: int, end: int) -> Tensor:
        tile = _cut(self.matrix, begin, end) if self.whole and self.want else self.matrix[: end - begin]
        assert tile is not None
        rows = _cut(self.rows, begin, end)
        assert rows is not None
        if self.further is None:
            return torch.mm(rows, self.columns.t(), out=tile)
        torch.mm(rows, self.columns.t(), out=tile[:, : self.shared])
        tile[:, self.shared :] = torch.bmm(self.further[begin:end], rows.unsqueeze(2)).squeeze(2)
        return tile

    def about(self, begin: int, end: int, tile: Tensor) -> tuple[Any, ...]:
        """What the operators are told about the pairs of a strip."""
        relation, call = self.relation, self.call
        return (
            self.index, tile, _cut(relation.mask, begin, end), _cut(relation.positives, begin, end),
            _cut(relation.row_labels, begin, end), relation.column_labels, begin, 0, call.itself, self.scale, self.bias,
            _cut(self.terms, begin, end), self.terms, call.affine, call.params,
        )  # fmt: skip

    def evaluate(self, upstream: Tensor | None = None) -> Outcome:
        """``upstream``: float64 per anchor, with ``reduction="none"``."""
        call, relation, ops = self.call, self.relation, _ops.SIMILARITY
        state = torch.zeros(self.n, _STATE, dtype=torch.float64, device=self.rows.device)
        column_state = torch.zeros(self.m, _STATE, dtype=torch.float64, device=self.rows.device) if call.both else None
        weight = relation.weight
        if upstream is not None:
            weight = upstream if weight is None else weight * upstream
        mean = call.reduction == 1
        if self.waits or self.whole:
            for begin, end in self.strips:
                tile = self.similarities(begin, end)
                ops.statistics_(*self.about(begin, end, tile), _cut(state, begin, end), column_state)
            parts = None
            if call.by_kind and mean and relation.normalizer is None:
                parts = state[:, _COUNTS].sum(0).clamp_min(1).reciprocal()
            share = 0.5 if call.both else 1.0
            finish = (
                parts, relation.normalizer, call.params, share, mean and parts is None, call.empty_zero, self.dtype
            )  # fmt: skip
            losses, _, loss, anchors = ops.anchors(self.index, state, weight, *finish)
            column_anchors = None
            if column_state is not None:
                more, _, loss_of_columns, column_anchors = ops.anchors(self.index, column_state, weight, *finish)
                losses, loss = (losses + more, loss) if call.reduction == 0 else (losses, loss + loss_of_columns)
            if self.want:
                if self.symmetric:
                    column_anchors = anchors
                for begin, end in self.strips:
                    tile = self.matrix[begin:end] if self.whole else self.similarities(begin, end)
                    self.derive(begin, end, tile, anchors[:, begin:end], column_anchors)
            if parts is not None and not call.empty_zero:
                loss = torch.where(state[:, _COUNTS].sum() == 0, torch.nan, loss)
            return self.outcome(losses if call.reduction == 0 else loss, None)
        kept = []
        totals = torch.zeros(2, dtype=torch.float64, device=self.rows.device)
        finish = (None, None, call.params, 1.0, False, False, self.dtype)
        for begin, end in self.strips:
            tile = self.similarities(begin, end)
            part = state[begin:end]
            ops.statistics_(*self.about(begin, end, tile), part, None)
            losses, more, _, anchors = ops.anchors(self.index, part, _cut(weight, begin, end), *finish)
            kept.append(losses)
            totals += more
            if self.want:
                self.derive(begin, end, tile, anchors, None)
        if call.reduction == 0:
            return self.outcome(torch.cat(kept), None)
        if not mean:
            return self.outcome(totals[0], None)
        divisor = totals[1] if relation.normalizer is None else relation.normalizer
        loss = totals[0] / divisor
        if call.empty_zero:
            loss = torch.where(divisor == 0, 0.0, loss)
        return self.outcome(loss, torch.where(divisor == 0, 0.0, 1 / divisor))

    def derive(self, begin: int, end: int, tile: Tensor, anchors: Tensor, column_anchors: Tensor | None) -> None:
        """Turns a strip of similarities into derivatives, and these into their part of the gradients."""
        sums = _ops.SIMILARITY.gradient_(*self.about(begin, end, tile), anchors, column_anchors)
        if self.want_sums:
            part = sums.sum(0)
            self.sums = part if self.sums is None else self.sums + part
        rows = _cut(self.rows, begin, end)
        shared = tile if self.further is None else tile[:, : self.shared]
        if self.want_rows:
            gradient = self.accumulate(0, begin, end, shared, self.columns)
            if self.terms is not None:  # z = |x_i|^2 + |x_j|^2 - 2 <x_i, x_j>, both of whose anchors are in the sums
                gradient.addcmul_(rows, sums[:, 1:].to(gradient.dtype), value=2)
            if self.further is not None:
                own = tile[:, self.shared :].unsqueeze(1)
                gradient += torch.bmm(own, self.further[begin:end]).squeeze(1)
        if self.want_columns or (self.want_rows and self.call.itself and not self.symmetric):
            assert rows is not None
            self.accumulate(1, 0, self.shared, shared.t(), rows)
        if self.want_negatives:
            assert self.further is not None
            assert rows is not None
            if self.gradients[2] is None:
                self.gradients[2] = torch.empty(
                    self.further.shape, dtype=_ops.compute_dtype(rows.dtype), device=rows.device
                )
            torch.mul(tile[:, self.shared :].unsqueeze(2), rows.unsqueeze(1), out=self.gradients[2][begin:end])

    def accumulate(self, which: int, begin: int, end: int, derivatives: Tensor, vectors: Tensor) -> Tensor:
        """Adds a product to rows of a gradient; the first to reach them writes them. Returns those rows."""
        first = self.gradients[which] is None or which == 0
        if self.gradients[which] is None:
            height = self.n if which == 0 else self.shared
            compute = _ops.compute_dtype(vectors.dtype)
            self.gradients[which] = _memory.empty((height, vectors.shape[1]), vectors, compute)
        to = _cut(self.gradients[which], begin, end)
        assert to is not None
        if to.dtype != vectors.dtype:
            product = torch.mm(derivatives, vectors)
            return to.copy_(product) if first else to.add_(product)
        return torch.mm(derivatives, vectors, out=to) if first else to.addmm_(derivatives, vectors)

    def outcome(self, loss: Tensor, factor: Tensor | None) -> Outcome:
        rows, columns, negatives = self.gradients
        if self.call.itself and columns is not None:
            assert rows is not None
            rows, columns = rows.add_(columns), None
        if self.symmetric and self.sums is not None:  # every pair was there twice, once with each of its anchors
            self.sums = self.sums / 2
        return Outcome(loss, (rows, columns, negatives), self.sums, factor, self.units)


class Similarity(torch.autograd.Function):
    """``(call, relation, rows, columns, negatives, scale, bias) -> loss``; Note [Shape of the autograd functions]."""

    @staticmethod
    def forward(ctx: Any, call: Call, relation: Relation, *tensors: Tensor | None) -> Tensor:
        ctx.call, ctx.relation = call, relation
        need = ctx.needs_input_grad[2:]
        want = (need[0], need[1], need[2], need[3] or need[4])
        vectors = Vectors(*tensors)  # type: ignore[arg-type]
        now = call.reduction != 0
        plan = Plan(call, vectors, relation, want if now else (False,) * 4)
        outcome = plan.evaluate()
        ctx.set_materialize_grads(False)
        kept: list[Tensor | None] = []
        if now:
            for gradient, unit in zip(outcome.gradients, outcome.units, strict=True):
                made = gradient is not None and unit is not None and unit.length is not None
                kept += [gradient, unit.vectors, unit.length] if made else [gradient, None, None]  # type: ignore[union-attr]
            kept += [outcome.sums, outcome.factor]
        ctx.save_for_backward(*tensors, *kept)
        return outcome.loss.to(call.loss_dtype)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor | None) -> tuple[Tensor | None, ...]:
        if grad_output is None:
            return (None,) * 7
        call: Call = ctx.call
        tensors, kept = ctx.saved_tensors[:5], ctx.saved_tensors[5:]
        need = ctx.needs_input_grad[2:]
        if torch.is_grad_enabled():
            wanted = [t for t, needed in zip(tensors, need, strict=True) if needed]
            grads = iter(torch.autograd.grad(call.again(*tensors), wanted, grad_output, create_graph=True))
            return None, None, *(next(grads) if needed else None for needed in need)
        factor = grad_output
        if call.reduction == 0:
            want = (need[0], need[1], need[2], need[3] or need[4])
            outcome = Plan(call, Vectors(*tensors), ctx.relation, want).evaluate(grad_output.double())
            kept = [
                part
                for gradient, unit in zip(outcome.gradients, outcome.units, strict=True)
                for part in (gradient, *(unit if unit and unit.length is not None else (None, None)))
            ]
            kept += [outcome.sums, None]
            factor = grad_output.new_ones((), dtype=torch.float64)
        sums, missing = kept[9:]
        if missing is not None:
            factor = factor.double() * missing
        result: list[Tensor | None] = []
        for k, tensor in enumerate(tensors[:3]):
            gradient, unit, length = kept[3 * k : 3 * k + 3]
            if gradient is None or tensor is None:
                result.append(None)
                continue
            shape = (-1, tensor.shape[-1])
            grad = _ops.SIMILARITY.finish(
                gradient.view(shape), None if unit is None else unit.view(shape), length, factor,
                _ops.DTYPE_CODES[tensor.dtype],
            )  # fmt: skip
            result.append(grad.view(tensor.shape))
        for k, by in ((3, call.affine[0]), (4, 1.0)):
            if not need[k]:
                result.append(None)
                continue
            result.append((factor.double() * sums[k - 3] * by).to(tensors[k].dtype).view(tensors[k].shape))
        return None, None, *result


def similarity(call: Call, relation: Relation, vectors: Vectors) -> Tensor:
    """Runs a similarity loss's kernels with the autograd they need."""
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in vectors):
        return Similarity.apply(call, relation, *vectors)  # type: ignore[no-any-return]
    return Plan(call, vectors, relation, (False,) * 4).evaluate().loss.to(call.loss_dtype)
