"""Bytes that a loss must move, and the share of the roof that recorded runs reach (benchmarks/results)."""

from __future__ import annotations

import functools
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

sys.path.append(str(Path(__file__).parents[1]))
import fastloss
from benchmarks.harness.losses import LOSSES

ROOT = Path(__file__).parents[1]
SMALLEST = 10.0  # megabytes: what fits caches has no roof
ROW = re.compile(r"(?P<loss>[a-z0-9 ]+?) (?P<rest>(?:float|bfloat)\d+ .*) \((?P<megabytes>[\d.e+]+) MB\)")


class Rate(NamedTuple):
    """A row of a recorded table: what was run, and how the time compares with the roof's and with eager's."""

    row: str
    kernels: str
    megabytes: float
    microseconds: str
    roof: str  # percent
    eager: str  # times as fast


def function_of(loss: str) -> str:
    """Name of our function that the harness measures under this name."""
    ours: Any = LOSSES[loss].ours
    ours = getattr(ours, "function", getattr(ours, "_function", ours))
    return getattr(ours, "__name__", "")


def _read(file: Path) -> list[tuple[str, Rate]]:
    """Rows with torch's defaults, by function: the first section of a recorded table."""
    text = file.read_text()
    kernels = re.search(r"fastloss kernels: (\w+)", text)
    found, header, row = [], [], ""
    for line in text.split("\n## ")[1].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[:2] == ["row", "variant"]:
            header = cells
        if not header or len(cells) != len(header):
            continue
        values = dict(zip(header, cells, strict=True))
        row = values["row"] or row
        parts = ROW.fullmatch(row)
        name = parts["loss"].replace(" ", "_") if parts else ""
        if parts and name in LOSSES and values["variant"] == "fastloss" and float(parts["megabytes"]) >= SMALLEST:
            roof = values["% products" if LOSSES[name].products else "% warm"]
            rate = Rate(
                parts["rest"], kernels[1] if kernels else "", float(parts["megabytes"]), values["us"], roof,
                values["x eager"],
            )  # fmt: skip
            found.append((function_of(name), rate))
    return found


@functools.lru_cache(None)
def recorded() -> dict[str, list[Rate]]:
    """The newest record of each row and instruction set, by function."""
    newest: dict[tuple[str, str, str], Rate] = {}
    for file in sorted(ROOT.glob("benchmarks/results/*.md")):
        for name, rate in _read(file):
            newest[name, rate.row, rate.kernels] = rate
    found: dict[str, list[Rate]] = {}
    for (name, *_), rate in newest.items():
        found.setdefault(name, []).append(rate)
    return found


def traffic(name: str) -> str:
    """What forward and backward must move at least; empty for a loss whose record does not say."""
    record = getattr(getattr(fastloss.functional, name), "record", None)
    engine = getattr(record, "engine", "")
    if engine == "softmax":
        return "A step must read the logits once and write their gradient once: 8 bytes a logit in float32."
    if engine not in ("elements", "products"):
        return ""
    tensors = [tensor for tensor in record.tensors if tensor != record.label]
    read = tensors[0] if len(tensors) == 1 else f"{', '.join(tensors[:-1])} and {tensors[-1]}"
    of_what = "a position of the vectors" if record.pairs else "an element"
    more = ", and 4 more for each further gradient" if len(set(tensors) - set(record.fixed)) > 1 else ""
    moved = 4 * (len(tensors) + 1)
    gradient = f"the gradient of {tensors[0]}"
    return f"A step must read {read} once and write {gradient} once: {moved} bytes {of_what} in float32{more}."
