"""Weights of the terms of a `fastloss.Objective` over the steps of a training.

A schedule is any function of the step, a number from 0. Those made here can be pickled.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

__all__ = ["cosine", "linear", "warmup"]


def _check(name: str, steps: int) -> None:
    if steps < 1:
        raise ValueError(f"fastloss.schedules.{name}: expected steps of at least 1, got {steps}")


def _linear(start: float, end: float, steps: int, step: int) -> float:
    return end if step >= steps else start + (end - start) * (step / steps)


def _cosine(start: float, end: float, steps: int, step: int) -> float:
    return end if step >= steps else end + (start - end) * (1 + math.cos(math.pi * step / steps)) / 2


def linear(start: float, end: float, steps: int) -> Callable[[int], float]:
    """A straight line from ``start`` at step 0 to ``end`` at step ``steps``, and ``end`` from there on.

    Example:
        >>> weight = fastloss.schedules.linear(1.0, 0.0, steps=4)
        >>> [weight(step) for step in range(6)]
        [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]
    """
    _check("linear", steps)
    return partial(_linear, start, end, steps)


def cosine(start: float, end: float, steps: int) -> Callable[[int], float]:
    """Half a period of the cosine from ``start`` at step 0 to ``end`` at step ``steps``, and ``end`` from there on.

    Example:
        >>> weight = fastloss.schedules.cosine(1.0, 0.0, steps=2)
        >>> [round(weight(step), 3) for step in range(4)]
        [1.0, 0.5, 0.0, 0.0]
    """
    _check("cosine", steps)
    return partial(_cosine, start, end, steps)


def warmup(value: float, steps: int) -> Callable[[int], float]:
    """A straight line from 0 at step 0 to ``value`` at step ``steps``, and ``value`` from there on.

    Example:
        >>> weight = fastloss.schedules.warmup(0.1, steps=2)
        >>> [weight(step) for step in range(4)]
        [0.0, 0.05, 0.1, 0.1]
    """
    _check("warmup", steps)
    return partial(_linear, 0.0, value, steps)
