"""The plan of a process that has a part of the batch.

Note [Ring]
A process makes the similarities of its own rows alone, and keeps a strip of them, or what fits ``memory_budget``.
Vectors travel round the ring of processes, twice: on the first round anchors add up what they know of their pairs, on
the second derivatives become gradients. What belongs to columns (their sums where they are anchors too, their
gradients) travels along and is home when the round is over. Where columns and rows are the same set, a column's
coefficients travel instead, and every process makes the gradient of its own rows alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from fastloss.distributed import Ring
from fastloss.engines.similarity.plan import Block, Plan
from fastloss.engines.similarity.problem import Call, Relation, Vectors


class RingPlan(Plan):
    """`Plan` for one process of a group: Note [Ring]."""

    def __init__(self, call: Call, vectors: Vectors, relation: Relation, want: Sequence[bool], ring: Ring) -> None:
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
        if relation.positives is None and relation.column_labels is None:  # a label is the index of an own column
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

    def seen(self, owner: int, shown: list[Tensor]) -> Block:
        vectors, *rest = shown
        labels = None if self.column_labels is None else rest.pop(0)
        terms = None if self.column_terms is None else rest.pop(0)
        anchors = rest.pop().t().contiguous() if rest else None
        return Block(self.starts[owner], self.starts[owner + 1], vectors, labels, terms, anchors)

    def all_columns(self, anchors: Tensor | None = None) -> Block:
        """A triplet needs all columns of its row at once, so each process gathers the vectors, not the similarities."""
        gathering = self.ring.travel(self.shown(), [], self.heights)
        found = sorted((self.seen(owner, shown) for owner, shown, _ in gathering), key=lambda block: block.first)
        parts = zip(*(block[2:5] for block in found), strict=True)
        made: Any = (None if part[0] is None else torch.cat(part) for part in parts)
        return Block(0, self.m, *made)

    def blocks(self, home: list[Tensor], anchors: Tensor | None = None) -> Iterator[tuple[Block, list[Tensor]]]:
        shown = self.shown() + ([] if anchors is None else [anchors.t().contiguous()])
        for owner, visible, moving in self.ring.travel(shown, home, self.heights):
            yield self.seen(owner, visible), moving

    def returning(self) -> list[Tensor]:
        if self.want_rows:
            self.gradients[0], self.adds = self.memory(self.n).zero_(), True
        returns = not self.symmetric and (self.want_columns or (self.want_rows and self.call.itself))
        return [self.memory(self.shared).zero_()] if returns else []

    def weights(self, weight: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        if not self.call.unseen or self.known is None:
            return weight, weight
        # A row without a positive has no gradient.
        return torch.where(self.known, 1.0, torch.nan).double() * (1.0 if weight is None else weight), weight

    def kept(self, factor: Tensor | None) -> tuple[Tensor | None, ...]:
        if self.mines and self.gradients[1] is not None:
            own = self.ring.rank
            self.gradients[1] = self.ring.sum_(self.gradients[1])[self.starts[own] : self.starts[own + 1]]
        return super().kept(factor)


def plan_of(call: Call, vectors: Vectors, relation: Relation, want: Sequence[bool]) -> Plan:
    """The plan of a call, in a group or alone."""
    if call.group is None:
        return Plan(call, vectors, relation, want)
    return RingPlan(call, vectors, relation, want, Ring(call.group))
