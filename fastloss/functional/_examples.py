"""Examples for the docstrings of functions that have none, made of what their tensors hold."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Any

# Values of a tensor that holds what a record calls so (`Record.holds`); what stands at ``{}`` makes a leaf of it.
SAMPLES = {
    "real": "torch.randn(8, 5{})",
    "probability": "torch.rand(8, 5{})",
    "distribution": "torch.rand(8, 5{}).softmax(1)",
    "log_probability": "torch.randn(8, 5{}).log_softmax(1)",
    "log_rate": "torch.randn(8, 5{})",
    "positive": "torch.rand(8, 5{})",
    "count": "torch.randint(9, (8, 5)).float()",
    "binary": "torch.randint(2, (8, 5)).float()",
    "sign": "torch.randint(2, (8, 5)) * 2.0 - 1.0",
    "row_sign": "torch.tensor([1, -1, 1, 1, -1, 1, -1, -1])",
    "vector": "torch.randn(8, 16{})",
    "label": "torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])",
    "scale": "torch.tensor(10.0{})",
}
# What arguments of a name hold in every loss.
_NAMED = {
    **dict.fromkeys(("anchor", "positive", "negative", "query", "key", "z0", "z1", "features", "embeddings"), "vector"),
    **dict.fromkeys(("input1", "input2", "image_features", "text_features"), "vector"),
    "labels": "label", "logit_scale": "scale",
}  # fmt: skip


def _lines(function: Callable[..., Any]) -> list[str]:
    record, parameters = getattr(function, "record", None), inspect.signature(function).parameters
    needed = [name for name, p in parameters.items() if p.default is p.empty and "Tensor" in str(p.annotation)]
    if needed == ["anchor"]:
        needed += ["positive", "negative"]
    elif len(needed) == 1 and "labels" in parameters:
        needed.append("labels")
    lines: list[str] = []
    given: list[str] = []
    for name in needed:
        what = getattr(record, "holds", {}).get(name) or _NAMED.get(name, "real")
        leaf = not given or what in ("vector", "scale")
        lines.append(f"{name} = {SAMPLES[what].format(', requires_grad=True' if leaf else '')}")
        given.append(name)
    if getattr(record, "batchmean", False):
        given.append("reduction='batchmean'")
    elif "reduction" in parameters and parameters["reduction"].default != "mean":
        given.append("reduction='mean'")
    return [*lines, f"fastloss.functional.{function.__name__}({', '.join(given)}).backward()"]


def complete(function: Callable[..., Any]) -> None:
    """Adds an example to the function's docstring, whose parts are brought to one indentation."""
    own, shared, rest = (function.__doc__ or "").partition("    Keyword-only options, shared by")
    if sys.version_info < (3, 13):  # from then on Python does so itself, with docstrings that are literals
        own = own.replace("\n    ", "\n")
    text = own + (shared + rest).replace("\n    ", "\n").removeprefix("    ")
    if "Example:" not in text:
        text = f"{text.rstrip()}\n\nExample:\n" + "".join(f"    >>> {line}\n" for line in _lines(function))
    function.__doc__ = text
