"""Errors against float64 of every loss in the tests' table of cases, ours beside PyTorch's or what its users write."""

from __future__ import annotations

import functools
import sys
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import torch

sys.path.append(str(Path(__file__).parents[1] / "tests"))
import cases

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
SIZE = (256, 96)


class Error(NamedTuple):
    """Of the loss, relative; of the gradients, of an entry relative to the largest entry."""

    loss: float
    gradient: float


NONE = 2.0**-40  # of the largest gradient: one that is zero but for roundings of float64


def _error(got: list[Any], wanted: list[Any]) -> Error:
    scales = [float(w.abs().max()) for w in wanted]
    loss, *gradients = (
        float((a.double() - w).abs().max()) / scale if scale > NONE * max(scales[1:]) else 0.0
        for a, w, scale in zip(got, wanted, scales, strict=True)
    )
    return Error(loss, max(gradients))


@functools.lru_cache(None)
def errors(name: str) -> dict[str, tuple[Error, Error]]:
    """For each dtype, ours and the other's, on the arguments that the tests draw; empty for what has no case."""
    case: Any = cases.BY_NAME.get(name)
    if case is None:
        return {}
    torch.manual_seed(0)
    found = {}
    for label, dtype in DTYPES.items():
        arguments = case.make(SIZE, case.settings[0], dtype)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of PyTorch, about means
            wanted = cases.exact(case, arguments, reduction="mean")
            ours, plain = (
                _error(cases.gradients(fn, arguments, reduction="mean"), wanted)
                for fn in (case.functional, case.native or case.reference)
            )
        found[label] = ours, plain
    return found


def other(name: str) -> str:
    """With what `errors` compares."""
    case: Any = cases.BY_NAME[name]
    return "PyTorch's" if case.drop_in else "what users write" if case.native else "the plain formula"
