"""Interleaved timing: every round runs each variant once, in a new random order; medians over the rounds."""

from __future__ import annotations

import gc
import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch

# Untimed preparation of a sample of `repeats` steps; what it returns is timed.
Prepare = Callable[[int], Callable[[], None]]
Clock = Callable[[Callable[[], None]], float]

SHORTEST_SAMPLE = 200e-6  # seconds: keeps the clock's own cost and resolution below a tenth of a percent
MOST_REPEATS = 4096
FEWEST_ROUNDS = 5
MOST_ROUNDS = 1000


@dataclass(frozen=True)
class Timing:
    """Seconds per step over the rounds, and steps per sample."""

    median: float
    p10: float
    p90: float
    rounds: int
    repeats: int


def wall(go: Callable[[], None]) -> float:
    start = time.perf_counter_ns()
    go()
    return (time.perf_counter_ns() - start) * 1e-9


def cuda_events(go: Callable[[], None]) -> float:
    """Time on the GPU, gaps in which it waits for the launching thread included."""
    start, stop = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize()
    start.record()
    go()
    stop.record()
    torch.cuda.synchronize()
    return start.elapsed_time(stop) * 1e-3


def clock_for(device: str) -> Clock:
    return wall if device == "cpu" else cuda_events


@contextmanager
def _no_collection() -> Iterator[None]:
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _repeats(prepare: Prepare, clock: Clock) -> int:
    """Warms up and finds the steps that make a sample long enough."""
    prepare(1)()
    repeats = 1
    while repeats < MOST_REPEATS:
        taken = clock(prepare(repeats))
        if taken >= SHORTEST_SAMPLE:
            break
        repeats = min(MOST_REPEATS, max(repeats + 1, int(repeats * 1.2 * SHORTEST_SAMPLE / taken)))
    return repeats


def interleave(variants: Mapping[str, Prepare], clock: Clock, budget: float) -> dict[str, Timing]:
    """Times all variants for about ``budget`` seconds of wall time, preparation included."""
    with _no_collection():
        deadline = time.perf_counter() + budget
        repeats = {name: _repeats(prepare, clock) for name, prepare in variants.items()}
        samples: dict[str, list[float]] = {name: [] for name in variants}
        order = list(variants)
        shuffle = random.Random(0).shuffle
        for done in range(MOST_ROUNDS):
            if done >= FEWEST_ROUNDS and time.perf_counter() > deadline:
                break
            shuffle(order)
            for name in order:
                samples[name].append(clock(variants[name](repeats[name])) / repeats[name])
    return {name: _summary(taken, repeats[name]) for name, taken in samples.items()}


def _summary(taken: list[float], repeats: int) -> Timing:
    deciles = statistics.quantiles(taken, n=10, method="inclusive")
    return Timing(statistics.median(taken), deciles[0], deciles[-1], len(taken), repeats)
