"""What a user calls, a file for each topic: every function with its formula in plain PyTorch right below."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

TOPICS = tuple(
    importlib.import_module(f"{__name__}.{topic.name}")
    for topic in pkgutil.iter_modules(__path__)
    if topic.name != "example"
)


def functions(family: str) -> dict[str, Any]:
    """The losses of a family, by name."""
    found = {name: value for topic in TOPICS for name, value in vars(topic).items() if hasattr(value, "record")}
    return {name: found[name] for name in sorted(found) if found[name].record.family == family}
