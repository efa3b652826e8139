"""What a user calls, a file for each topic: every function with its formula in plain PyTorch right below."""

from __future__ import annotations

from typing import Any

from fastloss.losses import classification, embedding, likelihood, regression

TOPICS = (classification, embedding, likelihood, regression)


def functions(pairs: bool) -> dict[str, Any]:
    """The losses of pairs of vectors, or those of elements, by name."""
    found = {name: value for topic in TOPICS for name, value in vars(topic).items() if hasattr(value, "record")}
    return {name: found[name] for name in sorted(found) if found[name].record.pairs == pairs}
