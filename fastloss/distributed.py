"""Contrastive losses over a batch that lies on several processes.

Note [Distributed contract]
Each process has a part of the batch, parts may differ in size. The loss, the same on every process, is that of one
process with the parts one after the other, and so is the gradient that a process gets for its own vectors. A scalar
that all share (a temperature) gets on each process the share of that process's anchors; the shares add up to the
gradient. Data parallelism that *averages* the gradients of parameters afterwards, as DistributedDataParallel does,
makes of that a gradient too small by the number of processes: ``ddp=True`` multiplies by it.

Note [Ring]
A process makes the similarities of its own rows alone, and keeps a strip of them, or what fits ``memory_budget``.
Vectors travel round the ring of processes, twice: on the first round anchors add up what they know of their pairs, on
the second derivatives become gradients. What belongs to columns (their sums where they are anchors too, their
gradients) travels along and is home when the round is over. Where columns and rows are the same set, a column's
coefficients travel instead, and every process makes the gradient of its own rows alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from fastloss import _ops
from fastloss._similarity import _COUNTS, _STATE, Outcome, Plan, add_product
from fastloss.engines.similarity.problem import Call, Relation, Vectors


class Ring:
    """The processes of a group, each sending to the next."""

    def __init__(self, group: Any) -> None:
        self.group = group
        self.rank, self.size = dist.get_rank(group), dist.get_world_size(group)
        self.next, self.previous = (dist.get_global_rank(group, (self.rank + k) % self.size) for k in (1, -1))

    def sizes(self, *own: int, device: torch.device) -> list[tuple[int, ...]]:
        """These numbers of each process. On a GPU the host waits for them: shapes depend on them."""
        mine = torch.tensor(own, device=device)
        all_ = [torch.empty_like(mine) for _ in range(self.size)]
        dist.all_gather(all_, mine, self.group)
        return [tuple(t.tolist()) for t in all_]

    def sum_(self, t: Tensor) -> Tensor:
        dist.all_reduce(t, group=self.group)
        return t

    def start(self, sent: list[Tensor], received: list[Tensor]) -> list[Any]:
        """Begins to pass tensors on; returns what to wait for."""
        operations = []
        for tag, (out, into) in enumerate(zip(sent, received, strict=True)):
            operations.append(dist.P2POp(dist.isend, out, self.next, self.group, tag))
            operations.append(dist.P2POp(dist.irecv, into, self.previous, self.group, tag))
        return dist.batch_isend_irecv(operations) if operations else []

    def travel(
        self, fixed: list[Tensor], moving: list[Tensor], heights: list[int]
    ) -> Iterator[tuple[int, list[Tensor], list[Tensor]]]:
        """Yields each process's tensors, its own first: who they belong to, those to read, those to add to.

        The first dimension of a tensor is the number that ``heights`` has for its owner. What is to be read is on its
        way while the caller works. After the last step ``moving`` are home again, in the list that was passed.
        """
        home = moving
        for step in range(self.size):
            owner, coming = (self.rank - step) % self.size, (self.rank - step - 1) % self.size
            last = step == self.size - 1
            arriving = [] if last else [t.new_empty(heights[coming], *t.shape[1:]) for t in fixed]
            waits = [] if last else self.start(fixed, arriving)
            yield owner, fixed, moving
            if self.size > 1:
                moved = [t.new_empty(heights[coming], *t.shape[1:]) for t in moving]
                for wait in self.start(moving, moved):
                    wait.wait()
                moving = moved
            for wait in waits:
                wait.wait()
            fixed = arriving
        home[:] = moving


class _Columns(NamedTuple):
    """The columns of one process."""

    first: int  # among all columns
    last: int
    vectors: Tensor
    labels: Tensor | None
    terms: Tensor | None


class RingPlan(Plan):
    """`fastloss._similarity.Plan` for one process of a group: Note [Ring]."""

    def __init__(
        self, call: Call, vectors: Vectors, relation: Relation, want: tuple[bool, bool, bool, bool], ring: Ring
    ) -> None:
        self.ring = ring
        own = vectors.rows if vectors.columns is None else vectors.columns
        sizes = ring.sizes(vectors.rows.shape[0], own.shape[0], device=own.device)
        self.heights = [height for _, height in sizes]
        self.starts = [sum(self.heights[:k]) for k in range(ring.size + 1)]
        for name, pairs in (("mask", relation.mask), ("positives", relation.positives)):
            if pairs is not None and pairs.shape[1] != self.starts[-1]:
                raise ValueError(
                    f"fastloss: {name} has shape {tuple(pairs.shape)}, expected ({pairs.shape[0]}, {self.starts[-1]}), "
                    "one column for each vector of all processes"
                )
        self.known: Tensor | None = None  # which rows' labels are indices
        if (
            relation.positives is None and relation.column_labels is None
        ):  # a row's label is the index of its own column
            own_labels = relation.row_labels
            if own_labels is None:
                own_labels = torch.arange(vectors.rows.shape[0], device=own.device)
            self.known = (own_labels >= 0) & (own_labels < own.shape[0])
            relation = relation._replace(row_labels=torch.where(self.known, own_labels + self.starts[ring.rank], -1))
        super().__init__(call, vectors, relation, want)
        self.row_offset = sum(n for n, _ in sizes[: ring.rank])

    def width(self) -> int:
        return self.starts[-1]

    def total(self, t: Tensor) -> Tensor:
        return self.ring.sum_(t)

    def shown(self) -> list[Tensor]:
        """What other processes must see of this one's columns."""
        return [t.contiguous() for t in (self.columns, self.column_labels, self.column_terms) if t is not None]

    def seen(self, owner: int, shown: list[Tensor]) -> _Columns:
        vectors, *rest = shown
        labels = None if self.column_labels is None else rest.pop(0)
        terms = None if self.column_terms is None else rest.pop(0)
        return _Columns(self.starts[owner], self.starts[owner + 1], vectors, labels, terms)

    def run(self, weight: Tensor | None) -> Outcome:
        if self.mines:
            return self.of_all_columns(weight)
        call, relation, ops, ring = self.call, self.relation, _ops.SIMILARITY, self.ring
        device, mean = self.rows.device, call.reduction == 1
        state = torch.zeros(self.n, _STATE, dtype=torch.float64, device=device)
        home = [torch.zeros(self.shared, _STATE, dtype=torch.float64, device=device)] if self.down else []
        for owner, shown, moving in ring.travel(self.shown(), home, self.heights):
            columns = self.seen(owner, shown)
            for begin, end in self.strips:
                tile = self.tile(begin, end, columns)
                torch.mm(self.rows[begin:end], columns.vectors.t(), out=tile)
                column_state = moving[0] if self.down else None
                ops.statistics_(*self.about_block(begin, end, tile, columns), state[begin:end], column_state)
        parts = None
        if call.by_kind and mean and relation.normalizer is None:
            counts = ring.sum_(state[:, _COUNTS].sum(0))
            parts = counts.clamp_min(1).reciprocal()
        share = 0.5 if call.both else 1.0
        finish = (parts, None, call.params, share, False, False, self.dtype)
        row_weight = weight
        if call.unseen and self.known is not None:  # a row without a positive has no gradient
            row_weight = torch.where(self.known, 1.0, torch.nan).double() * (1.0 if weight is None else weight)
        weights = (row_weight, weight)
        sides = [ops.anchors(self.index, side, of, *finish) for side, of in zip((state, *home), weights, strict=False)]
        anchors = [side[3] for side in sides]
        counted = sides if call.both else sides[:1]
        losses = sum(side[0] for side in counted)
        totals = ring.sum_(torch.stack([side[1] for side in counted]))
        loss, factor = totals[:, 0].sum(), None
        if parts is not None:
            if not call.empty_zero:
                loss = torch.where(counts.sum() == 0, torch.nan, loss)
        elif mean:
            divisor = totals[:, 1] if relation.normalizer is None else relation.normalizer.expand(len(counted))
            means = totals[:, 0] / divisor
            loss = (torch.where(divisor == 0, 0.0, means) if call.empty_zero else means).sum()
            shares = torch.where(divisor == 0, 0.0, 1 / divisor)
            if self.rows.dtype == torch.float16:  # as in Plan.in_two_looks
                factor = shares[0]
                shares = torch.where(factor == 0, 0.0, shares / factor)
            for coefficients, by in zip(anchors, shares.expand(len(anchors)), strict=True):
                coefficients[2:] *= by  # all but the maxima
        if self.want:
            self.second_round(anchors[0], anchors[-1])
        return self.outcome(losses if call.reduction == 0 else loss, factor)

    def second_round(self, anchors: Tensor, column_anchors: Tensor) -> None:
        call, ops = self.call, _ops.SIMILARITY
        shown = self.shown()
        if call.both or self.symmetric:
            shown.append(column_anchors.t().contiguous())
        compute, width = _ops.compute_dtype(self.rows.dtype), self.rows.shape[1]
        returns = not self.symmetric and (self.want_columns or (self.want_rows and call.itself))
        home = [torch.zeros(self.shared, width, dtype=compute, device=self.rows.device)] if returns else []
        gradient = self.gradients[0] = torch.zeros(self.n, width, dtype=compute, device=self.rows.device)
        for owner, visible, moving in self.ring.travel(shown, home, self.heights):
            columns = self.seen(owner, visible)
            others = visible[-1].t().contiguous() if call.both or self.symmetric else None
            for begin, end in self.strips:
                tile, rows = self.tile(begin, end, columns), self.rows[begin:end]
                if not self.whole:
                    torch.mm(rows, columns.vectors.t(), out=tile)
                own = anchors[:, begin:end]
                about = self.about_block(begin, end, tile, columns)
                sums = ops.gradient_(*about, own, others)
                part = sums.sum(0)
                self.sums = part if self.sums is None else self.sums + part
                if self.want_rows:
                    if self.symmetric and rows.is_cpu:
                        self.take_positives(begin, end, about, columns.vectors)
                    to = add_product(gradient[begin:end], tile, columns.vectors)
                    if self.terms is not None:
                        to.addcmul_(rows, sums[:, 1:].to(compute), value=2)
                if returns:
                    add_product(moving[0], tile.t(), rows)
                    if self.terms is not None:  # as in Plan.multiply
                        moving[0].addcmul_(columns.vectors, tile.sum(0).unsqueeze(1), value=-1)
        if not self.want_rows:
            self.gradients[0] = None
        if returns:
            self.gradients[1] = home[0]

    def tile(self, begin: int, end: int, columns: _Columns) -> Tensor:
        if self.whole and self.want:
            return self.matrix[begin:end, columns.first : columns.last]
        return self.matrix[: end - begin, : columns.last - columns.first]

    def about_block(self, begin: int, end: int, tile: Tensor, columns: _Columns) -> tuple[Any, ...]:
        relation, first, last = self.relation, columns.first, columns.last
        mask, positives = (None if t is None else t[:, first:last] for t in (relation.mask, relation.positives))
        return self.about_columns(begin, end, tile, mask, positives, columns.labels, first, columns.terms)

    def of_all_columns(self, weight: Tensor | None) -> Outcome:
        """A triplet needs all columns of its row at once, so each process gathers the vectors, not the similarities."""
        gathering = self.ring.travel(self.shown(), [], self.heights)
        parts = [(owner, self.seen(owner, shown)) for owner, shown, _ in gathering]
        vectors, labels, terms = zip(*(part[2:] for _, part in sorted(parts, key=lambda part: part[0])), strict=True)
        self.columns, self.column_labels = torch.cat(vectors), torch.cat(labels)
        if self.column_terms is not None:
            self.column_terms = torch.cat(terms)
        self.shared = self.m
        return self.in_one_look(weight)

    def outcome(self, loss: Tensor, factor: Tensor | None) -> Outcome:
        if self.mines and self.gradients[1] is not None:
            own = self.ring.rank
            self.gradients[1] = self.ring.sum_(self.gradients[1])[self.starts[own] : self.starts[own + 1]]
        return super().outcome(loss, factor)
