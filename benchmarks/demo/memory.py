"""Peak memory of an ordinary training step, in a fresh process for each criterion."""

from __future__ import annotations

import dataclasses
import json
import sys
from dataclasses import dataclass
from typing import Any

import torch

import fastloss
from benchmarks import process

from .model import Config
from .training import CRITERIA, build

_STEPS = 3


@dataclass(frozen=True)
class Peak:
    """In bytes: the process's high-water mark, and the memory that one forward and backward of the criterion add."""

    process: int | None
    criterion: int | None  # None where the mark cannot be reset


def measure(name: str, config: Config, batch_size: int, threads: int) -> Peak:
    """Trains with the criterion ``name`` for a few steps, in a process of its own."""
    request = {"name": name, "config": dataclasses.asdict(config), "batch_size": batch_size, "threads": threads}
    return Peak(**process.ask(__name__, request))


def _child(name: str, config: dict[str, Any], batch_size: int, threads: int) -> Peak:
    torch.set_num_threads(threads)
    criterion, shape = CRITERIA[name](), Config(**config)
    model, optimizer = build(shape, seed=0, learning_rate=1e-3)
    ids = torch.randint(shape.vocabulary, (batch_size, shape.length))
    target = torch.randint(shape.vocabulary, (batch_size * shape.length,))
    for _ in range(_STEPS):
        optimizer.zero_grad(set_to_none=True)
        logits = model(ids)
        loss = criterion(logits, target)
        loss.backward()
        optimizer.step()
    peak = process.peak() or None
    leaf = logits.detach().requires_grad_()
    del logits, loss
    fastloss.empty_cache()  # an idle block of the gradient pool would hide what the step needs
    if not process.reset_high_water_mark():
        return Peak(peak, None)
    before = process.status("VmRSS")
    criterion(leaf, target).backward()
    return Peak(peak, process.status("VmHWM") - before)


if __name__ == "__main__":
    print(json.dumps(dataclasses.asdict(_child(**json.loads(sys.argv[1])))))
