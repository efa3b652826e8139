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
copied; elsewhere the sums of columns are made too. Note [One number for a pair] in csrc/ops/similarity.cpp says why.

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

import functools
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fastloss import _memory, _ops
from fastloss._autograd import gradients, savable
from fastloss._core._torch import is_batched, past_python, process_group
from fastloss.engines.similarity import formula
from fastloss.engines.similarity.formula import nan_if_outside
from fastloss.engines.similarity.problem import MINING, Call, Relation, Vectors

# Bytes of a strip. One near the caches' size saves little: products read it from memory at a fraction of their time.
# Thin strips make slow products.
_STRIP_BYTES = 32 << 20
_CUDA_STRIP_BYTES = 128 << 20  # a strip costs launches, and the columns' gradient is read and written once more
_MIN_STRIP_ROWS = 128
# Rows of a symmetric matrix multiplied with what is not left of the diagonal alone: 2048 x 128 takes 5.7 ms (128 rows
# 5.5, 512 6.5, all columns 10.2); what is left of it then costs 1.5.
_MIRRORED_ROWS = 256
# Up to so many bytes one operator does it all. More comes from the pool, where the operator's would be fresh memory.
_SMALL_BYTES = 4 << 20

# Note [Few triplets]. Pairs take as long as products at one of 8 (2048 x 512), 7 (2048 x 128), 5 (512 x 64); their
# lists take 48 bytes a pair.
_PRODUCT_PAIRS = 16

_SMALLEST_LENGTH = 1e-12  # as in csrc/core/similarity_args.h: a shorter vector is divided by this
_STATE = 8  # doubles of AnchorSums in csrc/core/similarity.h
_COUNTS = slice(5, 7)  # of them, the numbers of positive and negative pairs


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

    def kept(self) -> tuple[Tensor | None, ...]:
        """What backward needs, in its order."""
        kept: list[Tensor | None] = []
        for gradient, unit in zip(self.gradients, self.units, strict=True):
            if gradient is None or unit is None or unit.length is None:
                kept += [gradient, None, None]
            else:
                kept += [gradient, *unit]
        return *kept, self.sums, self.factor


def _unit(vectors: Tensor | None, normalize: bool) -> Unit | None:
    if vectors is None:
        return None
    if normalize:
        flat = vectors.reshape(-1, vectors.shape[-1]) if vectors.dim() > 2 else vectors
        unit, length = _ops.SIMILARITY.normalize(flat if flat.stride(1) == 1 else flat.contiguous())
        return Unit(unit.view(vectors.shape), length)
    # A CPU multiplies float16 a hundred times slower than float32.
    return Unit(vectors.float() if vectors.is_cpu and vectors.dtype == torch.float16 else vectors, None)


def _pads(t: Tensor) -> bool:
    return t.is_cuda


def _matrix(height: int, width: int, like: Tensor) -> Tensor:
    """Memory for similarities. On a GPU rows begin on 16 bytes, or products and kernels would read fewer at a time."""
    lanes = 16 // like.element_size() if _pads(like) else 1
    return _memory.empty((height, -(-width // lanes) * lanes), like)[:, :width]


class Plan:
    """One call: Note [Plan]."""

    def __init__(self, call: Call, vectors: Vectors, relation: Relation, want: tuple[bool, bool, bool, bool]) -> None:
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
        self.want_rows, self.want_columns, self.want_negatives, self.want_sums = want
        self.want = any(want)
        # One product serves both anchors of a pair if what is positive to i is so to j. A triplet is no pair.
        mines = call.loss in MINING
        self.symmetric = call.itself and relation.mask is None and relation.positives is None and not mines
        self.waits = call.both or self.symmetric or call.by_kind
        row_bytes = self.m * rows.element_size()
        strip_bytes = min(_STRIP_BYTES if rows.is_cpu else _CUDA_STRIP_BYTES, call.memory_budget)
        budget = call.memory_budget if self.waits else strip_bytes
        self.whole = self.n * row_bytes <= budget
        # Note [One number for a pair] in csrc/ops/similarity.cpp. Hinges know nothing of sums.
        exact = self.symmetric and self.want and not call.distances
        self.mirrors = exact and self.whole and rows.is_cpu and call.group is None
        self.down = call.both or (exact and not self.mirrors)  # columns have sums of their own
        strip_rows = max(_MIN_STRIP_ROWS, strip_bytes // max(1, row_bytes))
        self.single = self.n <= strip_rows
        self.strips = [(0, self.n)]
        if not self.single:
            self.strips = [(b, min(b + strip_rows, self.n)) for b in range(0, self.n, strip_rows)]
        keeps = self.n if self.whole and self.want else min(strip_rows, self.n)
        self.matrix = _matrix(keeps, self.m, rows)
        self.affine = call.affine
        self.terms = self.square_terms() if call.distances else None
        self.column_terms, self.column_labels = self.terms, relation.column_labels
        self.index = MINING.index(call.loss) if mines else _ops.SIMILARITY.losses[call.loss]
        self.mines = mines
        self.few = mines and call.loss != "all" and self.want and rows.is_cpu
        self.dtype = _ops.DTYPE_CODES[_ops.compute_dtype(rows.dtype)]
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

    def width(self) -> int:
        """How many columns the matrix has."""
        return self.shared + (0 if self.further is None else self.further.shape[1])

    def total(self, t: Tensor) -> Tensor:
        """What a sum over anchors comes to."""
        return t

    def cut(self, t: Any, begin: int, end: int) -> Any:
        """A strip's part of a tensor with an entry per row. (Every view costs a microsecond of a small problem.)"""
        return t if t is None or self.single else t[begin:end]

    def mirrored(self) -> None:
        """Makes the matrix, from what is right of its diagonal."""
        for begin in range(0, self.n, _MIRRORED_ROWS):
            end = min(begin + _MIRRORED_ROWS, self.n)
            torch.mm(self.rows[begin:end], self.rows[begin:].t(), out=self.matrix[begin:end, begin:])
            _ops.SIMILARITY.mirror_(self.matrix, begin, end)

    def similarities(self, begin: int, end: int) -> Tensor:
        rows, tile = self.cut(self.rows, begin, end), self.matrix
        if not self.single:
            tile = tile[begin:end] if self.whole and self.want else tile[: end - begin]
        if self.further is None:
            return torch.mm(rows, self.columns.t(), out=tile)
        torch.mm(rows, self.columns.t(), out=tile[:, : self.shared])
        tile[:, self.shared :] = torch.bmm(self.further[begin:end], rows.unsqueeze(2)).squeeze(2)
        return tile

    def about(self, begin: int, end: int, tile: Tensor) -> tuple[Any, ...]:
        """What the operators are told about the pairs of a strip."""
        relation = self.relation
        return self.about_columns(
            begin, end, tile, relation.mask, relation.positives, self.column_labels, 0, self.column_terms
        )

    def about_columns(
        self,
        begin: int,
        end: int,
        tile: Tensor,
        mask: Tensor | None,
        positives: Tensor | None,
        labels: Tensor | None,
        offset: int,
        terms: Tensor | None,
    ) -> tuple[Any, ...]:
        """Likewise for some of the columns: theirs of mask and positives, their labels, index and terms."""
        call = self.call
        return (
            self.index, tile, self.cut(mask, begin, end), self.cut(positives, begin, end),
            self.cut(self.relation.row_labels, begin, end), labels, self.row_offset + begin, offset, call.itself,
            self.scale, self.bias, self.cut(self.terms, begin, end), terms, self.affine, call.params,
        )  # fmt: skip

    def evaluate(self, upstream: Tensor | None = None) -> Outcome:
        """``upstream``: float64 per anchor, with ``reduction="none"``."""
        weight = self.relation.weight
        if upstream is not None:
            weight = upstream if weight is None else weight * upstream
        return self.run(weight)

    def run(self, weight: Tensor | None) -> Outcome:
        """``weight``: float64, the factor of each anchor's value."""
        return self.in_two_looks(weight) if (self.waits or self.whole) and not self.mines else self.in_one_look(weight)

    def in_two_looks(self, weight: Tensor | None) -> Outcome:
        """Sums of all strips first, then derivatives of all strips."""
        call, relation, ops = self.call, self.relation, _ops.SIMILARITY
        device, mean = self.rows.device, call.reduction == 1
        state = torch.zeros(self.n, _STATE, dtype=torch.float64, device=device)
        column_state = torch.zeros(self.m, _STATE, dtype=torch.float64, device=device) if self.down else None
        if self.mirrors:
            self.mirrored()
        for begin, end in self.strips:
            tile = self.cut(self.matrix, begin, end) if self.mirrors else self.similarities(begin, end)
            ops.statistics_(*self.about(begin, end, tile), self.cut(state, begin, end), column_state)
        parts = None
        if call.by_kind and mean and relation.normalizer is None:
            parts = state[:, _COUNTS].sum(0).clamp_min(1).reciprocal()
        share = 0.5 if call.both else 1.0
        finish = (
            parts, relation.normalizer, call.params, share, mean and parts is None, call.empty_zero, self.dtype
        )  # fmt: skip
        losses, totals, loss, anchors = ops.anchors(self.index, state, weight, *finish)
        column_anchors = anchors if self.symmetric else None
        if column_state is not None:
            more, _, loss_of_columns, column_anchors = ops.anchors(self.index, column_state, weight, *finish)
            if call.both:
                losses, loss = (losses + more, loss) if call.reduction == 0 else (losses, loss + loss_of_columns)
        factor = None
        if self.want and mean and self.rows.dtype == torch.float16:  # which holds no probability over the batch's size
            divisor = totals[1] if relation.normalizer is None else relation.normalizer
            divisor = torch.where(divisor == 0, 1.0, divisor)
            anchors[2:] *= divisor  # all but the maxima
            if column_state is not None:
                column_anchors[2:] *= divisor  # type: ignore[index]
            factor = 1 / divisor
        if self.want:
            for begin, end in self.strips:
                tile = self.cut(self.matrix, begin, end) if self.whole else self.similarities(begin, end)
                own = anchors if self.single else anchors[:, begin:end]
                sums = ops.gradient_(*self.about(begin, end, tile), own, column_anchors)
                self.multiply(begin, end, tile, sums)
        if parts is not None and not call.empty_zero:
            loss = torch.where(state[:, _COUNTS].sum() == 0, torch.nan, loss)
        return self.outcome(losses if call.reduction == 0 else loss, factor)

    def in_one_look(self, weight: Tensor | None) -> Outcome:
        """Both steps of a strip, then the next; the mean's divisor is known at the end."""
        call, relation, ops = self.call, self.relation, _ops.SIMILARITY
        kept = []
        totals = torch.zeros(2, dtype=torch.float64, device=self.rows.device)
        finish = (None, None, call.params, 1.0, False, False, self.dtype)
        for begin, end in self.strips:
            tile = self.similarities(begin, end)
            factor = self.cut(weight, begin, end)
            if self.mines:
                found = self.mine(begin, end, tile, factor)
                losses, more = found[:, 0], found.sum(0)
            else:
                state = torch.zeros(end - begin, _STATE, dtype=torch.float64, device=self.rows.device)
                ops.statistics_(*self.about(begin, end, tile), state, None)
                losses, more, _, anchors = ops.anchors(self.index, state, factor, *finish)
                if self.want:
                    self.multiply(begin, end, tile, ops.gradient_(*self.about(begin, end, tile), anchors, None))
            kept.append(losses)
            totals += more
        if call.reduction == 0:
            return self.outcome(torch.cat(kept), None)
        totals = self.total(totals)
        if call.reduction == 2:
            return self.outcome(totals[0], None)
        divisor = totals[1] if relation.normalizer is None else relation.normalizer
        loss = totals[0] / divisor
        if call.empty_zero:
            loss = torch.where(divisor == 0, 0.0, loss)
        return self.outcome(loss, torch.where(divisor == 0, 0.0, 1 / divisor))

    def mine(self, begin: int, end: int, tile: Tensor, factor: Tensor | None) -> Tensor:
        """Value and count per row of a strip's triplets; adds to gradients what they mean: Note [Few triplets]."""
        about, ops = self.about(begin, end, tile), _ops.SIMILARITY
        if self.few:
            if self.gradients[1] is None:
                self.gradients[1] = _memory.empty((self.shared, self.columns.shape[1]), self.columns).zero_()
            most = tile.numel() // _PRODUCT_PAIRS
            found, sums = ops.few_triplets_(*about, factor, self.columns, self.gradients[1], most)
        else:
            found, sums = ops.triplets_(*about, factor, self.want)
        if self.want and not (self.few and len(sums) == 0):
            self.multiply(begin, end, tile, sums)
        return found

    def multiply(self, begin: int, end: int, tile: Tensor, sums: Tensor) -> None:
        """Adds what the derivatives of a strip, and their sums per row, mean for the gradients.

        Where z = |x_i|^2 + |x_j|^2 - 2 <x_i, x_j>, a derivative g_ij also gives 2 g_ij x_i to row i, and 2 g_ij x_j to
        column j: the sums see to the one, and the other is the same if the tile is symmetric. The tile holds -2 g_ij.
        """
        if self.want_sums:
            part = sums.sum(0)
            self.sums = part if self.sums is None else self.sums + part
        rows = self.cut(self.rows, begin, end)
        shared = tile if self.further is None else tile[:, : self.shared]
        if self.want_rows:
            if self.symmetric and rows.is_cpu:
                self.take_positives(begin, end, self.about(begin, end, tile), self.columns)
            gradient = self.accumulate(0, begin, end, shared, self.columns)
            if self.terms is not None:
                gradient.addcmul_(rows, sums[:, 1:].to(gradient.dtype), value=2)
            if self.further is not None:
                own = tile[:, self.shared :].unsqueeze(1)
                gradient += torch.bmm(own, self.further[begin:end], **_wide(tile)).squeeze(1)
        if self.want_columns or (self.want_rows and self.call.itself and not self.symmetric):
            gradient = self.accumulate(1, 0, self.shared, shared.t(), rows)
            if self.terms is not None:
                gradient.addcmul_(self.columns, shared.sum(0).unsqueeze(1), value=-1)
        if self.want_negatives:
            assert self.further is not None
            if self.gradients[2] is None:
                self.gradients[2] = torch.empty(
                    self.further.shape, dtype=_ops.compute_dtype(rows.dtype), device=rows.device
                )
            further: Any = self.gradients[2]
            own = tile[:, self.shared :].unsqueeze(2)
            torch.mul(own.to(further.dtype), rows.unsqueeze(1), out=further[begin:end])

    def take_positives(self, begin: int, end: int, about: tuple[Any, ...], columns: Tensor) -> None:
        """Starts rows of the gradient with what the positives contribute, which are no part of the product then."""
        if self.gradients[0] is None:
            compute = _ops.compute_dtype(columns.dtype)
            self.gradients[0] = _memory.empty((self.n, columns.shape[1]), columns, compute).zero_()
        _ops.SIMILARITY.positives_(*about, columns, self.cut(self.gradients[0], begin, end))

    def accumulate(self, which: int, begin: int, end: int, derivatives: Tensor, vectors: Tensor) -> Tensor:
        """Adds a product to rows of a gradient; the first to reach them writes them. Returns those rows."""
        first = self.gradients[which] is None or (which == 0 and not (self.symmetric and vectors.is_cpu))
        if self.gradients[which] is None:
            height = self.n if which == 0 else self.shared
            compute = _ops.compute_dtype(vectors.dtype)
            made = self.gradients[which] = _memory.empty((height, vectors.shape[1]), vectors, compute)
            if self.few:  # strips of few triplets leave their rows to the columns' gradient
                made.zero_()
        to: Any = self.gradients[which]
        if which == 0:
            to = self.cut(to, begin, end)
        return add_product(to, derivatives, vectors, first)

    def outcome(self, loss: Tensor, factor: Tensor | None) -> Outcome:
        rows, columns, negatives = self.gradients
        if self.call.itself and columns is not None:
            rows, columns = columns if rows is None else rows.add_(columns), None
        if self.symmetric and self.sums is not None:  # every pair was there twice, once with each of its anchors
            self.sums = self.sums / 2
        return Outcome(loss, (rows, columns, negatives), self.sums, factor, self.units)


@functools.cache
def _multiplies_bfloat16(device: torch.device) -> bool:
    return torch.cuda.get_device_capability(device) >= (8, 0)


def _wide(t: Tensor) -> dict[str, Any]:
    """Asks the product of half matrices on a GPU for the float32 that it was added up in, where that can be had."""
    able = t.is_cuda and (
        (t.dtype == torch.bfloat16 and _multiplies_bfloat16(t.device))
        or (t.dtype == torch.float16 and not torch.backends.cuda.matmul.allow_fp16_accumulation)
    )
    return {"out_dtype": torch.float32} if able else {}


@functools.cache
def _adds_wide(dtype: torch.dtype, device: torch.device) -> bool:
    """Whether this torch adds such a product to a float32 matrix (PyTorch's pull request 167931). Launches nothing."""
    empty = torch.empty(0, 0, dtype=dtype, device=device)
    try:
        torch.addmm(empty.float(), empty, empty, out_dtype=torch.float32)
    except RuntimeError:
        return False
    return True


def add_product(to: Tensor, a: Any, b: Tensor, first: bool = False) -> Tensor:
    """Adds a matrix product to ``to``, which is of the computing type; ``first``: writes it there."""
    if to.dtype == b.dtype:
        return torch.mm(a, b, out=to) if first else to.addmm_(a, b)
    wide = _wide(b)
    if wide and first:
        return torch.mm(a, b, **wide, out=to)
    if wide and _adds_wide(b.dtype, b.device):
        return torch.addmm(to, a, b, **wide, out=to)
    product = torch.mm(a, b, **wide)
    return to.copy_(product) if first else to.add_(product)


def _is_small(call: Call, vectors: Vectors) -> bool:
    """Whether one operator does it all: Note [Small problems] in csrc/ops/similarity.cpp."""
    rows, columns, negatives, _, _ = vectors
    return (
        rows.is_cpu
        and call.reduction != 0
        and negatives is None
        and call.group is None
        and not call.by_kind
        and not call.distances
        and rows.shape[0] * (rows if columns is None else columns).shape[0] * rows.element_size()
        <= min(_SMALL_BYTES, call.memory_budget)
    )


def _plan(call: Call, vectors: Vectors, relation: Relation, want: tuple[bool, bool, bool, bool]) -> Plan:
    if call.group is None:
        return Plan(call, vectors, relation, want)
    from fastloss.distributed import Ring, RingPlan  # which builds on this module

    return RingPlan(call, vectors, relation, want, Ring(call.group))


def _at_once(call: Call, vectors: Vectors, relation: Relation, want: tuple[bool, ...]) -> tuple[Tensor, ...]:
    """Loss; gradients of rows and columns (in the computing type), scale and bias for an upstream gradient of one."""
    rows, columns, _, scale, bias = vectors
    row_labels, column_labels, mask, positives, weight, normalizer = relation
    return _ops.SIMILARITY.whole(
        _ops.SIMILARITY.losses[call.loss], rows, columns, mask, positives, row_labels, column_labels, weight,
        normalizer, scale, bias, call.affine, call.params, call.normalize, call.both, call.reduction == 1,
        call.empty_zero, _ops.DTYPE_CODES[call.loss_dtype], *want,
    )  # fmt: skip


class Similarity(torch.autograd.Function):
    """``(call, relation, rows, columns, negatives, scale, bias) -> loss``; Note [Shape of the autograd functions].

    Of a small problem (`_is_small`) backward hands out the gradients once, and then makes them again. Else it keeps,
    with the tensors of the call: of rows, columns and negatives the gradient, the vectors of length one and what they
    were divided by; the sums; a factor that is still missing. See `Outcome`.
    """

    @staticmethod
    def forward(ctx: Any, call: Call, relation: Relation, *tensors: Tensor | None) -> Tensor:
        ctx.call = call
        ctx.set_materialize_grads(False)
        _, _, rows, columns, negatives, scale, bias = ctx.needs_input_grad
        vectors = Vectors(*tensors)  # type: ignore[arg-type]
        ctx.small = _is_small(call, vectors)
        if ctx.small:
            loss, *ctx.made = _at_once(call, vectors, relation, (rows, columns, scale or bias))
            ctx.save_for_backward(*tensors, *relation)
            return loss
        now = call.reduction != 0
        want = (rows, columns, negatives, scale or bias)
        outcome = _plan(call, vectors, relation, want if now else (False,) * 4).evaluate()
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
            return None, None, *_reference_backward(ctx.call, saved, need, grad_output)
        try:
            if ctx.small:
                return None, None, *_small_backward(ctx, saved, need, grad_output)
            tensors, factor, kept = saved[:5], grad_output, saved[11:]
            if not kept:
                want = (need[0], need[1], need[2], need[3] or need[4])
                plan = _plan(ctx.call, Vectors(*tensors), Relation(*saved[5:11]), want)
                kept = plan.evaluate(grad_output.double().contiguous()).kept()
                factor = grad_output.new_ones((), dtype=torch.float64)
            return None, None, *_large_backward(ctx.call, tensors, need, kept, factor)
        except RuntimeError:
            if is_batched(grad_output):
                return None, None, *_reference_backward(ctx.call, saved, need, grad_output)
            raise


def _reference_backward(call: Call, saved: Any, need: tuple[bool, ...], grad_output: Tensor) -> list[Tensor | None]:
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
        made = _at_once(ctx.call, Vectors(*saved[:5]), relation, (rows, columns, scale or bias))[1:]
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


def _large_backward(
    call: Call,
    tensors: tuple[Any, ...],
    need: tuple[bool, ...],
    kept: tuple[Any, ...],
    factor: Tensor,
    dtypes: list[torch.dtype | None] | None = None,
) -> list[Tensor | None]:
    """The gradients, of the tensors' dtypes unless others are given."""
    dtypes = dtypes or [None if t is None else t.dtype for t in tensors]
    sums, missing = kept[9:]
    if missing is not None:
        factor = factor.double() * missing
    result: list[Tensor | None] = [None] * 5
    for k, tensor in enumerate(tensors[:3]):
        gradient, unit, length = kept[3 * k : 3 * k + 3]
        if gradient is None:
            continue
        if k == 2:
            flat = (-1, tensor.shape[-1])
            gradient, unit = gradient.view(flat), None if unit is None else unit.view(flat)
        grad = _ops.SIMILARITY.finish(gradient, unit, length, factor, _ops.DTYPE_CODES[dtypes[k]])  # type: ignore[index]
        result[k] = grad.view(tensor.shape) if k == 2 else grad
    for k, by in ((3, call.affine[0]), (4, 1.0)):
        if need[k]:
            result[k] = (factor * sums[k - 3] * by).to(dtypes[k]).view(tensors[k].shape)
    return result


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
    if _is_small(call, vectors):
        loss, *made = _at_once(call, vectors, relation, (want[0], want[1], want[3] or want[4]))
        found: list[Tensor | None] = [made[0], made[1], None, made[2], made[3]]
        one = rows.new_ones((), dtype=torch.float64)
        for k in range(2):
            if want[k]:
                found[k] = _ops.SIMILARITY.finish(made[k], None, None, one, _ops.DTYPE_CODES[_traced_dtype(vectors[k])])
    else:
        now = call.reduction != 0 or upstream is not None
        plan = _plan(call, vectors, relation, (want[0], want[1], want[2], want[3] or want[4]) if now else (False,) * 4)
        outcome = plan.evaluate(upstream)
        loss, found = outcome.loss.to(call.loss_dtype), [None] * 5
        if now:
            dtypes = [None if t is None else _traced_dtype(t) for t in vectors]
            factor = rows.new_full((), call.processes(), dtype=torch.float64)
            found = _large_backward(call, vectors, want, outcome.kept(), factor, dtypes)
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


_apply = past_python(Similarity)


def _trace(call: Call, relation: Relation, vectors: Vectors) -> Tensor:
    want = [t is not None and t.requires_grad and torch.is_grad_enabled() for t in vectors]
    group = "" if call.group is None else call.group.group_name
    return _traced(
        *vectors, *relation, None, call.loss, group, [*call.affine, *map(float, call.params)],
        [call.itself, call.both, call.normalize, call.distances, call.by_kind, call.empty_zero, call.ddp,
         call.unseen],
        [call.reduction, _ops.DTYPE_CODES[call.loss_dtype], call.memory_budget], want,
    )[0]  # fmt: skip


def similarity(call: Call, relation: Relation, vectors: Vectors) -> Tensor:
    """Runs a similarity loss's kernels with the autograd they need."""
    if call.unseen and call.group is None:  # a group sees to that itself: all of its processes have the NaN
        assert relation.row_labels is not None
        assert vectors.columns is not None
        return nan_if_outside(_solve(call, relation, vectors), relation.row_labels, vectors.columns.shape[0])
    return _solve(call, relation, vectors)


def _solve(call: Call, relation: Relation, vectors: Vectors) -> Tensor:
    if torch.compiler.is_compiling():
        return _trace(call, relation, vectors)
    if torch.is_grad_enabled() and any([t is not None and t.requires_grad for t in vectors]):
        return _apply(call, Relation(*map(savable, relation)), *map(savable, vectors))
    if _is_small(call, vectors):
        return _at_once(call, vectors, relation, (False,) * 3)[0]
    return _plan(call, vectors, relation, (False,) * 4).evaluate().loss.to(call.loss_dtype)
