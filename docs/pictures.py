"""Value and gradient of a loss as one number of its arguments moves: computed by the loss, drawn by matplotlib."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor

import fastloss

POINTS = 401
GRAY, COLORS = "#808080", ("#3b82f6", "#f97316")  # legible on white and on black

ANGLES = (0.01, math.pi - 0.01)
# Of what a tensor of elements holds: where the first one moves, and which values others take, a curve for each.
RANGES = {
    "real": (-5.0, 5.0), "probability": (0.02, 0.98), "positive": (0.02, 5.0), "log_probability": (-5.0, 0.0),
    "log_rate": (-3.0, 3.0),
}  # fmt: skip
VALUES = {
    "real": (0.0,), "probability": (1.0, 0.0), "binary": (1.0, 0.0), "sign": (1.0, -1.0), "row_sign": (1.0, -1.0),
    "count": (0.0, 4.0), "positive": (1.0,), "distribution": (0.5,),
}  # fmt: skip


class Sweep(NamedTuple):
    """What moves, over which values, and for each curve the arguments of a call from all these values."""

    what: str
    moves: tuple[float, float]
    curves: dict[str, Callable[[Tensor], dict[str, Any]]]


def _required(function: Any) -> list[str]:
    parameters = inspect.signature(function).parameters.values()
    return [p.name for p in parameters if p.default is p.empty and p.kind is not p.VAR_KEYWORD]


def _elements(function: Any, record: Any) -> Sweep:
    first, *others = _required(function)
    holds = {name: record.holds.get(name, "real") for name in (first, *others)}
    if record.components > 1:

        def moved(t: Tensor) -> dict[str, Any]:
            return {first: torch.stack([t, t * 0, t + 2, t * 0 + 2], -1), others[0]: torch.tensor([0.0, 0, 2, 2])}

        return Sweep("shift of a box of size 2, in the direction x", (-4.0, 4.0), {"": moved})
    *fixed, last = others or [first]
    constants = {name: torch.tensor(VALUES[holds[name]][0]) for name in fixed if name != first}
    values = VALUES[holds[last]] if last != first else (None,)

    def with_value(value: float | None) -> Callable[[Tensor], dict[str, Any]]:
        given = constants if value is None else {**constants, last: torch.tensor(value)}
        return lambda t: {first: t, **{name: v.expand_as(t) for name, v in given.items()}}

    if last in record.params:  # a hyperparameter without a default
        return Sweep(first, RANGES[holds[first]], {f"{last} = 1": lambda t: {first: t, last: 1.0}})
    names = {value: f"{last} = {value:g}" if len(values) > 1 else "" for value in values}
    return Sweep(first, RANGES[holds[first]], {name: with_value(value) for value, name in names.items()})


def _rows(function: Any, record: Any) -> Sweep:
    x, y = _required(function)

    def five(t: Tensor) -> dict[str, Any]:
        logits = torch.cat([t[:, None], torch.zeros(len(t), 4)], 1)
        return {x: logits, y: torch.zeros(len(t), dtype=torch.long)}

    return Sweep("logit of the target, those of four other classes 0", (-8.0, 8.0), {"": five})


def _at(angle: Tensor) -> Tensor:
    return torch.stack([angle.cos(), angle.sin()], -1)


def _heads(function: Any, record: Any) -> Sweep | None:
    x, w, y = _required(function)
    if not record.cosine or "sub_centers" in inspect.signature(function).parameters:
        return None
    weight = torch.eye(2)
    return Sweep(
        "angle between an embedding and its class, the other class at a right angle",
        ANGLES,
        {"": lambda t: {x: _at(t), w: weight, y: torch.zeros(len(t), dtype=torch.long)}},
    )


def _products(function: Any, record: Any) -> Sweep | None:
    if function.__name__ == "tversky_loss":
        return None
    if record.label:
        a, b, label = record.tensors

        def turned(y: float) -> Callable[[Tensor], dict[str, Any]]:
            return lambda t: {a: _at(t), b: _at(t * 0), label: torch.full((len(t),), y)}

        return Sweep("angle between two vectors of length 1", ANGLES, {f"y = {y:g}": turned(y) for y in (1.0, -1.0)})
    a, p, n = record.tensors

    def line(t: Tensor) -> Tensor:
        return torch.stack([t, t * 0], -1)

    return Sweep(
        "distance to the positive, the negative at 2",
        (0.01, 3.0),
        {"": lambda t: {p: line(t), a: line(t * 0), n: line(t * 0 + 2)}},
    )


def _similarity(function: Any, record: Any) -> Sweep:
    """A batch per value, one call each."""
    names = _required(function)

    def batch(angle: Tensor) -> dict[str, Any]:
        pair = _at(torch.stack([angle, torch.tensor(math.pi / 2)]))
        fixed = torch.eye(2)
        if names[0] in ("embeddings", "features"):
            return {names[0]: torch.cat([pair, fixed]), "labels": torch.tensor([0, 1, 0, 1])}
        return {names[0]: pair, names[1]: fixed, **({"logit_scale": 5.0} if "logit_scale" in names else {})}

    return Sweep("angle between a vector and its positive, the other pair at a right angle", ANGLES, {"": batch})


SWEEPS = {"elements": _elements, "products": _products, "softmax": _rows, "similarity": _similarity}


def _curve(
    function: Any, record: Any, arguments: Callable[[Tensor], dict[str, Any]], t: Tensor
) -> tuple[Tensor, Tensor]:
    """The values of the loss, and its derivatives by t."""
    t = t.clone().requires_grad_()
    if record.engine == "similarity":
        value = torch.stack([function(**arguments(each)) for each in t])
    else:
        value = function(**arguments(t), reduction="none")
    (slope,) = torch.autograd.grad(value.sum(), t)
    return value.detach(), slope


def draw(name: str, file: Path) -> str:
    """Draws the loss, if its engine has a picture of it; returns what moves, empty if there is none."""
    function: Any = getattr(fastloss.functional, name)
    record = getattr(function, "record", None)
    make = _heads if hasattr(record, "cosine") else SWEEPS.get(getattr(record, "engine", ""))
    sweep = make(function, record) if make else None
    if sweep is None:
        return ""
    t = torch.linspace(*sweep.moves, POINTS)
    figure = Figure(figsize=(7.2, 2.6), layout="constrained")
    panels = figure.subplots(1, 2)
    for color, (label, arguments) in zip(COLORS, sweep.curves.items(), strict=False):
        for panel, values in zip(panels, _curve(function, record, arguments, t), strict=True):
            panel.plot(t, values.broadcast_to(t.shape), color=color, label=label, linewidth=1.8)
    for panel, title in zip(panels, ("value", "gradient"), strict=True):
        low, high = panel.get_ylim()
        if high - low < 1e-3 * abs(high):  # a constant but for roundings
            panel.set_ylim(low - 1, high + 1)
        panel.set_title(title, fontsize=10, color=GRAY)
        panel.tick_params(colors=GRAY, labelsize=8)
        panel.grid(color=GRAY, alpha=0.25, linewidth=0.5)
        panel.spines[:].set_visible(False)
    if len(sweep.curves) > 1:
        panels[0].legend(fontsize=8, frameon=False, labelcolor=GRAY)
    figure.supxlabel(sweep.what, fontsize=9, color=GRAY)
    figure.savefig(file, transparent=True, metadata={"Date": None})
    return sweep.what
