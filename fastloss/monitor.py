"""What the terms of an objective do: their values over a training, and how their gradients pull.

Tables are text; `rich.print` shows them as tables of rich. Pictures are figures of matplotlib. Both packages, and
Lightning, are imported by what needs them alone.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from fastloss.objective import ObjectiveResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import RenderableType

__all__ = ["GradientMonitor", "GradientReport", "LossTracker", "lightning_callback"]

_VALIDATION = "validation/"


class Alarm(NamedTuple):
    """What a `LossTracker` has noticed: the loss, ``"nan"``, ``"plateau"`` or ``"gap"``, and a sentence."""

    loss: str
    kind: str
    text: str


class _Table(NamedTuple):
    title: str
    heads: tuple[str, ...]
    rows: list[tuple[str, ...]]

    def __str__(self) -> str:
        lines = [self.heads, *self.rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        text = [
            "  ".join(
                cell.rjust(width) if k else cell.ljust(width)
                for k, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        ]
        return "\n".join([self.title, *text])


class _Printed:
    """Has tables."""

    def _tables(self) -> Iterator[_Table]:
        raise NotImplementedError

    def __str__(self) -> str:
        return "\n\n".join(map(str, self._tables()))

    def __rich__(self) -> RenderableType:
        from rich.console import Group
        from rich.table import Table

        made = []
        for table in self._tables():
            shown = Table(title=table.title)
            for k, head in enumerate(table.heads):
                shown.add_column(head, justify="right" if k else "left")
            for row in table.rows:
                shown.add_row(*row)
            made.append(shown)
        return Group(*made)


def _figure(width: float, height: float, path: str | os.PathLike[str] | None, draw: Any) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    draw(figure)
    if path is not None:
        figure.savefig(path)
    return figure


@dataclass(eq=False)
class _Running:
    """Some losses since the last period ended."""

    sums: Tensor
    first_bad: Tensor  # the number of the first update that was not finite
    count: int


class LossTracker(_Printed):
    """Means of named losses over periods, such as epochs, and alarms about them.

    `update` is called with the losses of a batch, `step` at the end of a period. Losses of a validation have names of
    their own, with ``validation/`` before them.

    Alarms, as a loss, a kind and a sentence each:

    - ``"nan"``: the loss was NaN or infinite; the sentence names the first such update.
    - ``"plateau"``: the best mean of the last ``patience`` periods is not below the best one before them by
      ``tolerance`` of it.
    - ``"gap"``: the last mean in validation exceeds that in training by more than ``gap`` of it.

    Args:
        patience: Periods.
        tolerance, gap: Relative to the loss's absolute value.

    Attributes:
        history: The means of the periods that have ended, a list by name.

    Cost: `update` takes five operations of the size of the number of losses; the host does not wait for the device.
        `means`, `alarms`, `step` and the table wait for it.

    Example:
        >>> tracker = fastloss.LossTracker()
        >>> for epoch in range(2):
        ...     for batch in range(3):
        ...         tracker.update({"task": torch.tensor(3.0 - epoch), "aux": torch.tensor(0.5)})
        ...     tracker.update({"task": torch.tensor(5.0)}, validation=True)
        ...     means = tracker.step()
        >>> means
        {'task': 2.0, 'aux': 0.5, 'validation/task': 5.0}
        >>> [alarm.text for alarm in tracker.alarms]
        ['task: 5 in validation, 2 in training']
    """

    def __init__(self, patience: int = 5, tolerance: float = 1e-3, gap: float = 0.5) -> None:
        self.patience, self.tolerance, self.gap = patience, tolerance, gap
        self.history: dict[str, list[float]] = {}
        self._running: dict[tuple[str, ...], _Running] = {}
        self._first_bad: dict[str, int] = {}  # of the periods that have ended
        self._updates = 0

    def update(self, losses: Mapping[str, Tensor | float] | ObjectiveResult, *, validation: bool = False) -> None:
        """Adds the losses of a batch, by name, or the total and the parts of an `ObjectiveResult`."""
        if isinstance(losses, ObjectiveResult):
            losses = {"total": losses.total, **losses.parts}
        if not losses:
            return
        device = next((value.device for value in losses.values() if isinstance(value, Tensor)), torch.device("cpu"))
        values = []
        for name, value in losses.items():
            if not isinstance(value, Tensor):
                value = torch.full((), value, device=device)
            elif value.numel() != 1:
                raise ValueError(
                    f"fastloss.LossTracker: expected one number for {name}, got shape {tuple(value.shape)}; reduce it"
                )
            values.append(value.detach().reshape(()))
        vector = torch.stack(values).to(torch.float32 if device.type == "mps" else torch.float64)
        names = tuple(_VALIDATION + name if validation else name for name in losses)
        running = self._running.get(names)
        if running is None:
            never = torch.full_like(vector, torch.inf)
            self._running[names] = running = _Running(torch.zeros_like(vector), never, 0)
        running.sums += vector
        running.count += 1
        self._updates += 1
        first_bad = running.first_bad
        running.first_bad = torch.where(vector.isfinite(), first_bad, first_bad.clamp(max=self._updates))

    def _read(self) -> tuple[dict[str, float], dict[str, int]]:
        """The means since the last period ended, and the first updates that were not finite."""
        sums: dict[str, float] = {}
        counts: dict[str, int] = {}
        first_bad = dict(self._first_bad)
        for names, running in self._running.items():
            values = torch.stack((running.sums, running.first_bad)).tolist()
            for name, value, bad in zip(names, *values, strict=True):
                sums[name] = sums.get(name, 0.0) + value
                counts[name] = counts.get(name, 0) + running.count
                if bad < math.inf:
                    first_bad[name] = min(first_bad.get(name, int(bad)), int(bad))
        return {name: sums[name] / counts[name] for name in sums}, first_bad

    @property
    def means(self) -> dict[str, float]:
        """The mean of each loss since the last `step`; right after it, those of the period that it ended."""
        return self._read()[0] if self._running else {name: values[-1] for name, values in self.history.items()}

    def step(self) -> dict[str, float]:
        """Ends a period; returns its means."""
        means, self._first_bad = self._read()
        for name, mean in means.items():
            self.history.setdefault(name, []).append(mean)
        self._running.clear()
        return means

    @property
    def alarms(self) -> list[Alarm]:
        """What is wrong at present."""
        _, first_bad = self._read()
        found = [
            Alarm(name, "nan", f"{name}: NaN or infinite, first in update {bad}") for name, bad in first_bad.items()
        ]
        for name, values in self.history.items():
            before, last = values[: -self.patience], values[-self.patience :]
            best = min(filter(math.isfinite, before), default=math.nan)
            if min(filter(math.isfinite, last), default=math.nan) > best - self.tolerance * abs(best):
                text = f"{name}: no better than {best:.4g} for {self.patience} periods"
                found.append(Alarm(name, "plateau", text))
        for name, values in self.history.items():
            if other := self.history.get(_VALIDATION + name):
                there, here = other[-1], values[-1]
                if there - here > self.gap * abs(here):
                    found.append(Alarm(name, "gap", f"{name}: {there:.4g} in validation, {here:.4g} in training"))
        return found

    def _tables(self) -> Iterator[_Table]:
        means, alarms = self.means, self.alarms
        rows: list[tuple[str, ...]] = []
        for name, mean in means.items():
            values = self.history.get(name, [])
            best = min(filter(math.isfinite, values), default=math.nan)
            kinds = ", ".join(alarm.kind for alarm in alarms if alarm.loss == name)
            rows.append((name, f"{mean:.4g}", f"{best:.4g}", str(len(values)), kinds))
        yield _Table("losses", ("loss", "mean", "best", "periods", "alarms"), rows)

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """A figure of matplotlib with the means over the periods, validation dashed; also saved to a path."""

        def draw(figure: Figure) -> None:
            axes = figure.add_subplot()
            colors: dict[str, str] = {}
            for name, values in self.history.items():
                validates = name.startswith(_VALIDATION)
                color = colors.setdefault(name.removeprefix(_VALIDATION), f"C{len(colors)}")
                axes.plot(range(1, len(values) + 1), values, "--" if validates else "-", color=color, label=name)
            axes.set_xlabel("period")
            axes.set_ylabel("mean loss")
            if self.history:
                axes.legend()
            if all(value > 0 for values in self.history.values() for value in values):
                axes.set_yscale("log")

        return _figure(6, 4, path, draw)


@dataclass(frozen=True, eq=False)
class GradientReport(_Printed):
    """How strongly each term pulls at each module, and where two terms pull against each other.

    Attributes:
        terms: Names of the T terms.
        modules: Names of the M modules.
        norms: Norms of the terms' gradients to each module, (T, M).
        cosines: Cosines between the terms' gradients to all modules together, (T, T); NaN where a gradient is 0.
        cosines_of_modules: Those to each module alone, (M, T, T).

    Reading the attributes makes no host wait; `str` and `plot` do.

    Example:
        >>> body = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Linear(8, 1))
        >>> x = body(torch.randn(16, 4)).mean()
        >>> report = fastloss.GradientMonitor(body).measure({"up": -x, "down": x})
        >>> report.cosines[0, 1] < -0.99
        tensor(True)
    """

    terms: tuple[str, ...]
    modules: tuple[str, ...]
    norms: Tensor
    cosines: Tensor
    cosines_of_modules: Tensor

    def _tables(self) -> Iterator[_Table]:
        norms = torch.cat((self.norms, self.norms.square().sum(1, keepdim=True).sqrt()), 1).tolist()
        rows = [(name, *(f"{norm:.3g}" for norm in row)) for name, row in zip(self.terms, norms, strict=True)]
        yield _Table("norms of gradients", ("term", *self.modules, "all"), rows)
        cosines = [[f"{c:+.2f}" for c in row] for row in self.cosines.tolist()]
        rows = [(name, *row) for name, row in zip(self.terms, cosines, strict=True)]
        yield _Table("cosines between gradients", ("term", *self.terms), rows)

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """A figure of matplotlib with norms and cosines as coloured squares; also saved to a path."""

        def squares(axes: Any, values: Tensor, columns: tuple[str, ...], title: str, **options: Any) -> None:
            axes.imshow(values.tolist(), aspect="auto", alpha=0.6, **options)  # pale: black numbers lie on it
            axes.set_xticks(range(len(columns)), columns, rotation=45, ha="right")
            axes.set_yticks(range(len(self.terms)), self.terms)
            axes.set_title(title)
            for i, row in enumerate(values.tolist()):
                for j, value in enumerate(row):
                    axes.text(j, i, f"{value:.2g}", ha="center", va="center")

        def draw(figure: Figure) -> None:
            left, right = figure.subplots(1, 2, width_ratios=(len(self.modules) + 1, len(self.terms) + 1))
            squares(left, self.norms, self.modules, "norms of gradients", cmap="Blues")
            squares(right, self.cosines, self.terms, "cosines", cmap="RdYlGn", vmin=-1, vmax=1)

        return _figure(3 + 0.8 * (len(self.modules) + len(self.terms)), 2 + 0.5 * len(self.terms), path, draw)


class GradientMonitor:
    r"""Measures the gradients of each term of an objective: norms :math:`\lVert \nabla_m L_k \rVert` to each module m,
    and cosines :math:`\frac{\nabla L_k \cdot \nabla L_l}{\lVert \nabla L_k \rVert \lVert \nabla L_l \rVert}`.

    Args:
        model: Its parameters that need gradients are measured.
        depth: How many parts of a parameter's dotted name say to which module the parameter belongs.
        every: Measures in the first of so many calls; the others return None and cost nothing.

    Cost of a measurement: a backward per term, which keeps the graph, and the memory of T gradients of the model. The
        ``grad`` of the parameters and their hooks are left alone; of models on several processes each measures its own
        batch. The host does not wait for the device.

    Example:
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Linear(8, 2))
        >>> monitor = fastloss.GradientMonitor(model)
        >>> y = model(torch.randn(16, 4))
        >>> report = monitor.measure({"task": y.square().mean(), "aux": y.abs().mean()})
        >>> report.norms.shape  # terms and modules
        torch.Size([2, 2])
    """

    def __init__(self, model: torch.nn.Module, depth: int = 1, every: int = 1) -> None:
        if depth < 1 or every < 1:
            raise ValueError(f"fastloss.GradientMonitor: expected depth and every of at least 1, got {depth}, {every}")
        self.model, self.depth, self.every = model, depth, every
        self._calls = 0

    def measure(self, losses: Mapping[str, Tensor] | ObjectiveResult) -> GradientReport | None:
        """A report of the losses by name, or of the weighted terms of an `ObjectiveResult`; before their backward."""
        self._calls += 1
        if (self._calls - 1) % self.every:
            return None
        if isinstance(losses, ObjectiveResult):
            losses = losses.weighted
        params, places = [], []
        modules: dict[str, int] = {}
        for name, parameter in self.model.named_parameters():
            if parameter.requires_grad:
                module = ".".join(name.split(".")[: self.depth])
                params.append(parameter)
                places.append(modules.setdefault(module, len(modules)))
        if not params or not losses:
            raise ValueError(
                f"fastloss.GradientMonitor: expected losses and parameters that need gradients, got {len(losses)} and "
                f"{len(params)}"
            )
        gradients = [
            torch.autograd.grad(loss, params, retain_graph=True, materialize_grads=True) for loss in losses.values()
        ]
        T = len(losses)
        products = torch.zeros(len(modules), T, T, device=params[0].device)
        for place, parts in zip(places, zip(*gradients, strict=True), strict=True):
            rows = torch.stack([part.flatten() for part in parts])
            rows = rows.to(torch.promote_types(rows.dtype, torch.float32))
            products = products.to(torch.promote_types(rows.dtype, products.dtype))
            products[place] += rows @ rows.T
        norms = products.diagonal(dim1=1, dim2=2).sqrt()
        return GradientReport(tuple(losses), tuple(modules), norms.T, _cosines(products.sum(0)), _cosines(products))


def _cosines(products: Tensor) -> Tensor:
    norms = products.diagonal(dim1=-2, dim2=-1).sqrt()
    return (products / norms[..., None, :] / norms[..., :, None]).clamp(-1, 1)


def lightning_callback(tracker: LossTracker | None = None) -> Any:
    """A callback for the Trainer of Lightning that keeps a `LossTracker`.

    After each batch the tracker gets the scalars that ``training_step`` and ``validation_step`` return, the only one or
    those of a dictionary. At the end of an epoch the means are logged as ``loss/<name>``, and a new alarm is a warning.

    Args:
        tracker: None makes one; ``callback.tracker`` has it.

    Cost: that of `LossTracker.update` per batch, and of one wait for the device per epoch. Needs the package
        ``lightning`` or ``pytorch_lightning``. For gradients call `GradientMonitor.measure` in ``training_step``.

    Example:
        >>> def train(model, data):
        ...     import lightning
        ...
        ...     lightning.Trainer(callbacks=[fastloss.lightning_callback()]).fit(model, data)
    """
    try:
        from fastloss.integrations.lightning import Tracking
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "fastloss.lightning_callback: expected the package lightning or pytorch_lightning, got neither; "
            "install one, or call LossTracker.update in the loop"
        ) from error
    return Tracking(LossTracker() if tracker is None else tracker)
