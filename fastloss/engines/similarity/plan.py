"""The engine of the similarity family: which tiles of the matrix of similarities are made, when, and what from.

Note [Plan]
Rows x (N, D) against columns y (M, D), or against themselves. The matrix is cut into strips of whole rows. A strip is
one matrix product; operators turn it into sums of anchors, and, in place, into derivatives, from which two more
products make gradients. Flops count N M D:

- The matrix fits ``memory_budget``: strips are views of it, made once. 2 for the similarities, 2 for each gradient: 6;
  4 if the columns are the rows, since the pair (i, j) then carries the derivative of both its anchors and one product
  serves.
- Only rows are anchors, and the matrix is more than a strip: a strip has all that its rows need, so it goes through
  both steps at once: 6.
- It does not fit, and an anchor needs what other strips know (columns are anchors, or the columns are the rows): strips
  are made a second time when all sums are there. 8; 6 if the columns are the rows.

Columns that are the rows: of a matrix that is kept on the CPU half of the similarities are multiplied, the other half
copied; elsewhere the sums of columns are made too. Note [One number for a pair] in
csrc/engines/similarity/operators.cpp says why.

Memory: gradients in the computing type, 8 doubles per anchor, a strip or the matrix.

Nothing here waits for a GPU, nothing branches on what only it knows.

Note [Few triplets]
Triplets found in the batch count 2 for the distances and 4 for the gradients of rows and columns, which one product
does not serve: a triplet has one anchor. But batch hard triplets are one per anchor, semi hard ones as many as
positives, so few pairs have a derivative. On the CPU the operator lists those of a strip and adds each to the gradients
of its two vectors: 6 D flops a pair, and 2 N M D in all. Vectors gathered from memory are slower than a product: where
one pair of ``_PRODUCT_PAIRS`` or more has a derivative (semi hard, few labels), and for all triplets, strips are
multiplied. On a GPU they always are: the host would have to wait to know.

Note [When gradients are made]
In forward, for an upstream gradient of one: they are O(N D), what they were made from is O(N M). Backward multiplies
them by the upstream gradient, takes the normalisation back and rounds once, as often as it is asked. With
``reduction="none"`` the upstream gradient belongs inside the sums: backward runs the plan again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fastloss._core import memory as _memory
from fastloss._core import operators as _ops
from fastloss.engines.similarity import strips
from fastloss.engines.similarity.problem import MINING, Call, Relation, Vectors
from fastloss.engines.similarity.strips import Strips, add_product

# Rows of a symmetric matrix multiplied with what is not left of the diagonal alone: 2048 x 128 takes 5.7 ms (128 rows
# 5.5, 512 6.5, all columns 10.2); what is left of it then costs 1.5.
_MIRRORED_ROWS = 256
# Up to so many bytes one operator does it all. More comes from the pool, where the operator's would be fresh memory.
_SMALL_BYTES = 4 << 20

# Note [Few triplets]. Pairs take as long as products at one of 8 (2048 x 512), 7 (2048 x 128), 5 (512 x 64); their
# lists take 48 bytes a pair.
_PRODUCT_PAIRS = 16

_SMALLEST_LENGTH = 1e-12  # as in csrc/engines/similarity/args.h: a shorter vector is divided by this
_STATE = 8  # doubles of AnchorSums in csrc/engines/similarity/contract.h
_COUNTS = slice(5, 7)  # of them, the numbers of positive and negative pairs
_COEFFICIENTS = 5  # numbers per anchor that the derivative of a pair takes, in the same file


_DENSE = torch.contiguous_format


class Unit(NamedTuple):
    """Vectors as the products take them. ``length`` is what they were divided by, None if they were not."""

    vectors: Tensor
    length: Tensor | None


def _unit(vectors: Tensor | None, normalize: bool) -> Unit | None:
    if vectors is None:
        return None
    # A CPU multiplies float16 a hundred times slower than float32.
    dtype = torch.float32 if vectors.dtype == torch.float16 and not strips.on_gpu(vectors) else vectors.dtype
    if not normalize:
        return Unit(vectors.to(dtype), None)
    flat = vectors.reshape(-1, vectors.shape[-1]) if vectors.dim() > 2 else vectors
    flat = flat if flat.stride(1) == 1 else flat.contiguous()
    unit = vectors.new_empty(vectors.shape, dtype=dtype)
    length = vectors.new_empty(flat.shape[0], dtype=torch.float64)
    _ops.SIMILARITY.normalize(flat, unit, length)
    return Unit(unit, length)


class Block(NamedTuple):
    """Columns whose vectors are here together: all of them, or those of one process."""

    first: int  # among all columns
    last: int
    vectors: Tensor
    labels: Tensor | None
    terms: Tensor | None
    anchors: Tensor | None = None  # their coefficients


class Strip(NamedTuple):
    """Some rows of the matrix, and of the columns those of a block."""

    begin: int
    end: int
    block: Block
    tile: Tensor  # similarities, or what has taken their place


def _divided(total: Tensor, divisor: Tensor, empty_zero: bool) -> tuple[Tensor, Tensor]:
    """A mean, and what derivatives are to be multiplied by for it."""
    nothing, mean = divisor == 0, total / divisor
    return torch.where(nothing, 0.0, mean) if empty_zero else mean, torch.where(nothing, 0.0, 1 / divisor)


class Plan:
    """One call: Note [Plan]."""

    def __init__(self, call: Call, vectors: Vectors, relation: Relation, want: Sequence[bool]) -> None:
        """``want``: of which vectors, and whether of scale and bias, a gradient is wanted."""
        self.call, self.relation = call, relation
        self.scale, self.bias = vectors.scale, vectors.bias
        self.units = units = (
            _unit(vectors.rows, call.normalize),
            _unit(vectors.columns, call.normalize),
            _unit(vectors.negatives, call.normalize),
        )
        rows = self.rows = units[0].vectors  # type: ignore[union-attr]
        columns = self.columns = rows if call.itself else units[1].vectors  # type: ignore[union-attr]
        self.further = None if units[2] is None else units[2].vectors
        self.n, self.shared = rows.shape[0], columns.shape[0]
        self.row_offset = 0  # of row 0 among the columns
        self.m = self.width()
        self.want_rows, self.want_columns, self.want_negatives, *sums = want
        self.want_sums = any(sums)
        self.want = any(want)
        # One product serves both anchors of a pair if what is positive to i is so to j. A triplet is no pair.
        mines = call.loss in MINING
        self.symmetric = call.itself and relation.mask is None and relation.positives is None and not mines
        self.waits = call.both or self.symmetric or call.by_kind
        budget = strips.kept_bytes(call.memory_budget, rows, self.m, self.waits and call.group is None)
        self.strips = Strips(rows, self.m, budget, self.waits, self.want)
        # Note [One number for a pair] in csrc/engines/similarity/operators.cpp. Hinges know nothing of sums.
        on_cpu, exact = not strips.on_gpu(rows), self.symmetric and self.want and not call.distances
        self.mirrors = exact and self.strips.whole and on_cpu and call.group is None
        self.down = call.both or (exact and not self.mirrors)  # columns have sums of their own
        self.takes_positives = self.symmetric and on_cpu  # which then are no part of the products
        self.adds = self.takes_positives  # to rows of the gradient: something is there before the products are
        self.affine = call.affine
        self.terms = self.square_terms() if call.distances else None
        self.column_terms, self.column_labels = self.terms, relation.column_labels
        self.index = MINING.index(call.loss) if mines else _ops.SIMILARITY.losses[call.loss]
        self.mines = mines
        self.few = mines and call.loss != "all" and self.want and on_cpu
        self.compute = _ops.compute_dtype(rows.dtype)
        self.gradients: list[Tensor | None] = [None, None, None]
        self.sums: Tensor | None = None

    def square_terms(self) -> Tensor | None:
        """|x|^2 of each vector, a part of squared distances; None if all are 1 and `affine` has two of them.

        Normalisation leaves shorter than that what is zero, or nearly. Most batches have no such vector; a CPU sees it.
        """
        length = self.units[0].length  # type: ignore[union-attr]
        if length is None:
            return self.rows.square().sum(-1)
        one = length > _SMALLEST_LENGTH
        if self.rows.is_cpu and self.call.group is None and one.all():
            self.affine = (self.affine[0], 2.0)
            return None
        return torch.where(one, 1.0, self.rows.square().sum(-1))

    # A process alone is a ring of one. What differs in a ring (`fastloss.engines.similarity.ring`):

    def width(self) -> int:
        """How many columns the matrix has."""
        return self.shared + (0 if self.further is None else self.further.shape[1])

    def total(self, t: Tensor) -> Tensor:
        """What a sum over anchors comes to."""
        return t

    def weights(self, weight: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        """Those of rows and of columns that are anchors."""
        return weight, weight

    def all_columns(self, anchors: Tensor | None = None) -> Block:
        return Block(0, self.m, self.columns, self.column_labels, self.column_terms, anchors)

    def blocks(self, home: list[Tensor], anchors: Tensor | None = None) -> Iterator[tuple[Block, list[Tensor]]]:
        """The columns, and what belongs to them, to be added to: in the end all of it is in ``home``.

        ``anchors``: their coefficients, for derivatives.
        """
        yield self.all_columns(anchors), home

    def returning(self) -> list[Tensor]:
        """The gradients that are added to by way of `blocks`."""
        return []

    def mirrored(self) -> None:
        """Makes the matrix, from what is right of its diagonal."""
        matrix = self.strips.matrix
        for begin in range(0, self.n, _MIRRORED_ROWS):
            end = min(begin + _MIRRORED_ROWS, self.n)
            torch.mm(self.rows[begin:end], self.rows[begin:].t(), out=matrix[begin:end, begin:])
            _ops.SIMILARITY.mirror_(matrix, begin, end)

    def look(self, block: Block, made: bool = False) -> Iterator[Strip]:
        """Strip after strip. They are there if they were ``made`` before."""
        for begin, end in self.strips.bounds:
            strip = Strip(begin, end, block, self.strips.tile(begin, end, block.first, block.last))
            if not made:
                self.multiply_vectors(strip)
            yield strip

    def multiply_vectors(self, strip: Strip) -> None:
        begin, end, block, tile = strip
        if self.further is None:
            self.strips.product(begin, end, block.vectors, tile)
            return
        self.strips.product(begin, end, block.vectors, tile[:, : self.shared])
        rows = self.cut(self.rows, strip)
        tile[:, self.shared :] = torch.bmm(self.further[begin:end], rows.unsqueeze(2)).squeeze(2)

    def cut(self, t: Any, strip: Strip) -> Any:
        return self.strips.cut(t, strip.begin, strip.end)

    def about(self, strip: Strip) -> tuple[Any, ...]:
        """What the operators are told about the pairs of a strip."""
        call, relation, cut, block = self.call, self.relation, self.cut, strip.block
        mask, positives = cut(relation.mask, strip), cut(relation.positives, strip)
        if block.last - block.first != self.m:
            mask, positives = (None if t is None else t[:, block.first : block.last] for t in (mask, positives))
        return (
            self.index, mask, positives, cut(relation.row_labels, strip), block.labels, self.row_offset + strip.begin,
            block.first, call.itself, self.scale, self.bias, cut(self.terms, strip), block.terms, self.affine,
            call.params,
        )  # fmt: skip

    def evaluate(self, upstream: Tensor | None = None) -> tuple[Tensor, tuple[Tensor | None, ...]]:
        """The loss; and what its gradients are made of by `gradients_of`.

        ``upstream``: float64 per anchor, with ``reduction="none"``.
        """
        weight = self.relation.weight
        if upstream is not None:
            weight = upstream if weight is None else weight * upstream
        two = not self.mines and (self.waits or self.strips.whole or self.call.group is not None)
        loss, factor = self.in_two_looks(weight) if two else self.in_one_look(weight)
        return loss.to(self.call.loss_dtype), self.kept(factor)

    def in_two_looks(self, weight: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Sums of all strips first, then derivatives of all strips.

        ``weight``: float64, the factor of each anchor's value. Returns the loss and what the gradients lack.
        """
        state = torch.zeros(self.n, _STATE, dtype=torch.float64, device=self.rows.device)
        home = [state.new_zeros(self.shared, _STATE)] if self.down else []
        if self.mirrors:
            self.mirrored()
        for block, moving in self.blocks(home):
            for strip in self.look(block, made=self.mirrors):
                sums = self.cut(state, strip), moving[0] if moving else None
                _ops.SIMILARITY.statistics_(*self.about(strip), strip.tile, *sums)
        loss, factor, anchors, column_anchors = self.weigh(state, home, weight)
        if self.want:
            home = self.returning()
            for block, moving in self.blocks(home, column_anchors):
                for strip in self.look(block, made=self.strips.whole):
                    own = anchors if self.strips.single else anchors[:, strip.begin : strip.end]
                    self.differentiate(strip, own, moving)
            if home:
                self.gradients[1] = home[0]
        return loss, factor

    def anchors(self, state: Tensor, weight: Tensor | None, *how: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Of the anchors of one side: values; their sum, the number that counts and the reduced loss; coefficients.

        ``how``: parts, normalizer, mean and empty_zero, as the operator takes them.
        """
        n, share = state.shape[0], 0.5 if self.call.both else 1.0
        made = state.new_empty(n), state.new_empty(3), strips.matrix(_COEFFICIENTS, n, state, self.compute)
        parts, normalizer, *means = how or (None, None, False, False)
        _ops.SIMILARITY.anchors(self.index, state, weight, parts, normalizer, self.call.params, share, *means, *made)
        return made

    def weigh(
        self, state: Tensor, home: list[Tensor], weight: Tensor | None
    ) -> tuple[Tensor, Tensor | None, Tensor, Tensor | None]:
        """What sums mean: the loss, a factor that the derivatives lack, the coefficients of rows and of columns."""
        call, normalizer, sides = self.call, self.relation.normalizer, (state, *home)
        mean = call.reduction == 1
        parts = None
        if call.by_kind and mean and normalizer is None:
            counts = self.total(state[:, _COUNTS].sum(0))
            parts, mean = counts.clamp_min(1).reciprocal(), False
        half = self.rows.dtype == torch.float16  # which holds no probability over the batch's size
        divided = mean and call.group is None and not (half and self.want)
        how = parts, normalizer, divided, call.empty_zero
        made = [self.anchors(side, of, *how) for side, of in zip(sides, self.weights(weight), strict=False)]
        coefficients = [side[2] for side in made]
        others = coefficients[-1] if call.both or self.symmetric else None
        counted = made if call.both else made[:1]
        if call.reduction == 0:
            return sum(side[0] for side in counted), None, coefficients[0], others  # type: ignore[return-value]
        totals, factor = self.total(torch.stack([side[1] for side in counted])), None
        loss = totals[:, 2].sum()
        if mean and not divided:
            divisor = totals[:, 1] if normalizer is None else normalizer.expand(len(counted))
            means, shares = _divided(totals[:, 0], divisor, call.empty_zero)
            loss = means.sum()
            if half:
                factor = shares[0]
                shares = torch.where(factor == 0, 0.0, shares / factor)
            for one, by in zip(coefficients, shares.expand(len(coefficients)), strict=True):
                one[2:] *= by  # all but the maxima
        if parts is not None and not call.empty_zero:
            loss = torch.where(counts.sum() == 0, torch.nan, loss)
        return loss, factor, coefficients[0], others

    def in_one_look(self, weight: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Both steps of a strip, then the next; the mean's divisor is known at the end."""
        call, relation = self.call, self.relation
        kept = []
        totals = torch.zeros(2, dtype=torch.float64, device=self.rows.device)
        for strip in self.look(self.all_columns()):
            factor = self.cut(weight, strip)
            if self.mines:
                found = self.mine(strip, factor)
                losses, more = found[:, 0], found.sum(0)
            else:
                state = totals.new_zeros(strip.end - strip.begin, _STATE)
                _ops.SIMILARITY.statistics_(*self.about(strip), strip.tile, state, None)
                losses, more, anchors = self.anchors(state, factor)
                if self.want:
                    self.differentiate(strip, anchors, [])
            kept.append(losses)
            totals += more[:2]
        if call.reduction == 0:
            return torch.cat(kept), None
        totals = self.total(totals)
        if call.reduction == 2:
            return totals[0], None
        divisor = totals[1] if relation.normalizer is None else relation.normalizer
        return _divided(totals[0], divisor, call.empty_zero)

    def mine(self, strip: Strip, factor: Tensor | None) -> Tensor:
        """Value and count per row of a strip's triplets; adds to gradients what they mean: Note [Few triplets]."""
        found = torch.empty(strip.end - strip.begin, 2, dtype=torch.float64, device=self.rows.device)
        sums = torch.empty_like(found) if self.want else None
        by_pairs: tuple[Any, ...] = None, None, 0
        if self.few:
            if self.gradients[1] is None:
                self.gradients[1] = self.memory(self.m).zero_()
            by_pairs = strip.block.vectors, self.gradients[1], strip.tile.numel() // _PRODUCT_PAIRS
        added = _ops.SIMILARITY.triplets_(*self.about(strip), strip.tile, factor, found, sums, *by_pairs)
        if sums is not None and not added:
            self.multiply(strip, sums, [])
        return found

    def differentiate(self, strip: Strip, anchors: Tensor, moving: list[Tensor]) -> None:
        """Turns a strip into derivatives, and adds to gradients what they mean."""
        sums = torch.empty(strip.end - strip.begin, 2, dtype=torch.float64, device=self.rows.device)
        taken: tuple[Any, ...] = None, None
        if self.takes_positives and self.want_rows:  # positives start rows of the gradient
            if self.gradients[0] is None:
                self.gradients[0] = self.memory(self.n).zero_()
            taken = strip.block.vectors, self.cut(self.gradients[0], strip)
        _ops.SIMILARITY.gradient_(*self.about(strip), strip.tile, anchors, strip.block.anchors, sums, *taken)
        self.multiply(strip, sums, moving)

    def multiply(self, strip: Strip, sums: Tensor, moving: list[Tensor]) -> None:
        """Adds what the derivatives of a strip, and their sums per row, mean for the gradients.

        Where z = |x_i|^2 + |x_j|^2 - 2 <x_i, x_j>, a derivative g_ij also gives 2 g_ij x_i to row i, and 2 g_ij x_j to
        column j: the sums see to the one, and the other is the same if the tile is symmetric. The tile holds -2 g_ij.
        """
        begin, end, block, tile = strip
        if self.want_sums:
            part = sums.sum(0)
            self.sums = part if self.sums is None else self.sums + part
        rows = self.cut(self.rows, strip)
        shared = tile if self.further is None else tile[:, : self.shared]
        if self.want_rows:
            gradient = self.rows_gradient(strip, shared)
            if self.terms is not None:
                gradient.addcmul_(rows, sums[:, 1:].to(gradient.dtype), value=2)
            if self.further is not None:
                own = tile[:, self.shared :].unsqueeze(1)
                gradient += torch.bmm(own, self.further[begin:end], **strips.wide(tile)).squeeze(1)
        if self.want_columns or (self.want_rows and self.call.itself and not self.symmetric):
            to, first = moving[0] if moving else self.gradients[1], False
            if to is None:
                to, first = self.memory(block.vectors.shape[0]), True
                self.gradients[1] = to
            gradient = add_product(to, shared.t(), rows, first)
            if self.terms is not None:
                gradient.addcmul_(block.vectors, shared.sum(0).unsqueeze(1), value=-1)
        if self.want_negatives:
            assert self.further is not None
            if self.gradients[2] is None:
                self.gradients[2] = torch.empty(self.further.shape, dtype=self.compute, device=rows.device)
            further: Any = self.gradients[2]
            own = tile[:, self.shared :].unsqueeze(2)
            torch.mul(own.to(further.dtype), rows.unsqueeze(1), out=further[begin:end])

    def memory(self, height: int) -> Tensor:
        """For a gradient, in the computing type."""
        return _memory.empty((height, self.rows.shape[1]), self.rows, self.compute)

    def rows_gradient(self, strip: Strip, derivatives: Tensor) -> Tensor:
        """Adds a product to a strip's rows of the gradient; the first to reach them writes them. Returns those rows."""
        if self.gradients[0] is None:
            made = self.gradients[0] = self.memory(self.n)
            if self.few:  # strips of few triplets leave their rows to the columns' gradient
                made.zero_()
        return add_product(self.cut(self.gradients[0], strip), derivatives, strip.block.vectors, first=not self.adds)

    def kept(self, factor: Tensor | None) -> tuple[Tensor | None, ...]:
        """What gradients are made of: those of rows, columns and negatives, which lack ``factor`` and the
        normalisation's part, each with the vectors of length one and what they were divided by; the sums of the
        derivatives times the similarities and of the derivatives alone, which lack the factor too; the factor."""
        rows, columns, negatives = self.gradients
        if self.call.itself and columns is not None:
            rows, columns = columns if rows is None else rows.add_(columns), None
        if self.symmetric and self.sums is not None:  # every pair was there twice, once with each of its anchors
            self.sums = self.sums / 2
        kept: list[Tensor | None] = []
        for gradient, unit in zip((rows, columns, negatives), self.units, strict=True):
            normalized = gradient is not None and unit is not None and unit.length is not None
            kept += [gradient, *(unit if normalized else (None, None))]  # type: ignore[misc]
        return *kept, self.sums, factor


def is_small(call: Call, vectors: Vectors) -> bool:
    """Whether one operator does it all: Note [Small problems] in csrc/engines/similarity/operators.cpp."""
    rows, columns, negatives, _, _ = vectors
    return (
        not strips.on_gpu(rows)
        and call.reduction != 0
        and negatives is None
        and call.group is None
        and not call.by_kind
        and not call.distances
        and rows.shape[0] * (rows if columns is None else columns).shape[0] * rows.element_size()
        <= (_SMALL_BYTES if call.memory_budget < 0 else min(_SMALL_BYTES, call.memory_budget))
    )


def at_once(
    call: Call, vectors: Vectors, relation: Relation, want: Sequence[bool]
) -> tuple[Tensor, list[Tensor | None]]:
    """Loss; the wanted gradients for an upstream gradient of one, those of vectors in the computing type."""
    rows, columns, _, scale, bias = vectors
    row_labels, column_labels, mask, positives, weight, normalizer = relation
    dtype = _ops.compute_dtype(rows.dtype)
    made: list[Any] = [None] * 5
    for k, needed in enumerate(want):
        if needed:
            made[k] = torch.empty_like(vectors[k], dtype=dtype if k < 2 else None, memory_format=_DENSE)  # type: ignore[arg-type]
    loss = _ops.SIMILARITY.whole(
        _ops.SIMILARITY.losses[call.loss], mask, positives, row_labels, column_labels, 0, 0, call.itself, scale, bias,
        None, None, call.affine, call.params, rows, columns, weight, normalizer, call.normalize, call.both,
        call.reduction == 1, call.empty_zero, _ops.DTYPE_CODES[call.loss_dtype], made[0], made[1], made[3], made[4],
    )  # fmt: skip
    return loss, made


def scaled(
    tensors: Sequence[Any], made: list[Any], factor: Tensor, dtypes: Sequence[Any] | None = None
) -> list[Tensor | None]:
    """The gradients of which `at_once` has made those for one, of the tensors' dtypes unless others are given."""
    dtypes = dtypes or [None if t is None else t.dtype for t in tensors]
    result: list[Tensor | None] = [None if t is None else _finish(t, None, None, factor, dtypes[0]) for t in made[:3]]
    return result + [
        None if t is None else (t * factor).to(dtype) for t, dtype in zip(made[3:], dtypes[3:], strict=True)
    ]


def gradients_of(
    tensors: Sequence[Any],
    want: Sequence[bool],
    affine: tuple[float, float],
    kept: Sequence[Any],
    factor: Tensor,
    dtypes: Sequence[Any] | None = None,
) -> list[Tensor | None]:
    """The gradients of which `Plan.evaluate` has kept the parts, likewise."""
    dtypes = dtypes or [None if t is None else t.dtype for t in tensors]
    sums, missing = kept[9:]
    if missing is not None:
        factor = factor.double() * missing
    result: list[Tensor | None] = [None] * 5
    for k, tensor in enumerate(tensors[:3]):
        gradient, unit, length = kept[3 * k : 3 * k + 3]
        if gradient is not None:
            flat = (-1, tensor.shape[-1])
            unit = None if unit is None else unit.view(flat)
            result[k] = _finish(gradient.view(flat), unit, length, factor, dtypes[k]).view(tensor.shape)
    for k, by in ((3, affine[0]), (4, 1.0)):
        if want[k]:
            result[k] = (factor * sums[k - 3] * by).to(dtypes[k]).view(tensors[k].shape)
    return result


def _finish(gradient: Tensor, unit: Any, length: Any, factor: Tensor, dtype: torch.dtype) -> Tensor:
    result = torch.empty_like(gradient, dtype=dtype)
    _ops.SIMILARITY.finish(gradient, unit, length, factor, result)
    return result
