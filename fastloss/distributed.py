"""Contrastive losses over a batch that lies on several processes.

Note [Distributed contract]
Each process has a part of the batch, parts may differ in size. The loss, the same on every process, is that of one
process with the parts one after the other, and so is the gradient that a process gets for its own vectors. A scalar
that all share (a temperature) gets on each process the share of that process's anchors; the shares add up to the
gradient. Data parallelism that *averages* the gradients of parameters afterwards, as DistributedDataParallel does,
makes of that a gradient too small by the number of processes: ``ddp=True`` multiplies by it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def gather(t: Tensor, group: Any) -> Tensor:
    """The tensors of all processes, by rank."""
    made = [torch.empty_like(t) for _ in range(dist.get_world_size(group))]
    dist.all_gather(made, t.contiguous(), group)
    return torch.stack(made)


class Ring:
    """The processes of a group, each sending to the next."""

    def __init__(self, group: Any) -> None:
        self.group = group
        self.rank, self.size = dist.get_rank(group), dist.get_world_size(group)
        self.next, self.previous = (dist.get_global_rank(group, (self.rank + k) % self.size) for k in (1, -1))

    def sizes(self, *own: int, device: torch.device) -> list[tuple[int, ...]]:
        """These numbers of each process. On a GPU the host waits for them: shapes depend on them."""
        return [tuple(each) for each in gather(torch.tensor(own, device=device), self.group).tolist()]

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
