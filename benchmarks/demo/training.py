"""One training run, a step at a time, so that two runs can be interleaved and share the machine's noise."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

import torch
from torch import Tensor, nn

import fastloss

from .model import Config, Transformer

Criterion = Callable[[Tensor, Tensor], Tensor]

CRITERIA: dict[str, Callable[[], nn.Module]] = {
    "native": nn.CrossEntropyLoss,
    "fastloss": fastloss.CrossEntropyLoss,
}
_WARMUP_STEPS = 3


def steady(times: Sequence[float]) -> float:
    """Median without the first steps, which pay for allocation and caches."""
    return median(times[_WARMUP_STEPS:] or times)


def build(config: Config, seed: int, learning_rate: float) -> tuple[Transformer, torch.optim.Optimizer]:
    torch.manual_seed(seed)
    model = Transformer(config)
    return model, torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0.01, fused=True)


@dataclass
class Run:
    """A model, its optimizer and criterion, and what each step measured: losses in nats, times in seconds."""

    model: Transformer
    optimizer: torch.optim.Optimizer
    criterion: Criterion
    losses: list[float] = field(default_factory=list)
    step_times: list[float] = field(default_factory=list)
    criterion_times: list[float] = field(default_factory=list)

    def step(self, ids: Tensor, target: Tensor) -> None:
        """Forward, backward, update. The graph is cut at the logits, to time the criterion alone."""
        start = time.perf_counter()
        self.optimizer.zero_grad(set_to_none=True)
        logits = self.model(ids)
        leaf = logits.detach().requires_grad_()
        criterion_start = time.perf_counter()
        loss = self.criterion(leaf, target)
        loss.backward()
        criterion_end = time.perf_counter()
        logits.backward(leaf.grad)
        self.optimizer.step()
        self.step_times.append(time.perf_counter() - start)
        self.criterion_times.append(criterion_end - criterion_start)
        self.losses.append(loss.item())
