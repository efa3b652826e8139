"""Bars of the speed-up over native eager."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from . import machine
from .results import Report, Run
from .variants import COPY, EAGER, PRODUCTS, WARM_COPY

_BAR = 0.22  # inches


def save(report: Report, file: Path) -> None:
    """One panel per environment, one group of bars per row; the line at 1 is native eager."""
    names = _bar_names(report)
    rows = max(len(run.rows) for run in report.runs)
    height = 1.6 + rows * (len(names) + 1) * _BAR
    figure = Figure(figsize=(2.5 + 5 * len(report.runs), height), layout="constrained")
    panels = figure.subplots(1, len(report.runs), squeeze=False, sharey=True)[0]
    for panel, run in zip(panels, report.runs, strict=True):
        for offset, name in enumerate(names):
            places, speedups = _bars(run, name, offset, len(names))
            bars = panel.barh(places, speedups, height=0.9 / (len(names) + 1), label=name)
            panel.bar_label(bars, fmt="%.1f", padding=2, fontsize=7)
        panel.axvline(1, color="black", linewidth=0.8)
        panel.set_yticks(range(len(run.rows)), [result.row.label for result in run.rows], fontsize=8)
        panel.set_xlabel("times faster than native eager (forward + backward)")
        panel.set_title(run.title, fontsize=9)
        panel.margins(x=0.12)
    panels[0].invert_yaxis()
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(names), fontsize=8)
    figure.suptitle(machine.summary(report.machine), fontsize=8)
    figure.savefig(file, dpi=150)


def _bar_names(report: Report) -> list[str]:
    """Every variant with a time, in the order of the tables."""
    names: dict[str, None] = {}
    for run in report.runs:
        for result in run.rows:
            names |= dict.fromkeys(line.name for line in result.variants if line.us is not None)
    return [name for name in names if name not in (EAGER, COPY, WARM_COPY, PRODUCTS)]


def _bars(run: Run, name: str, offset: int, count: int) -> tuple[list[float], list[float]]:
    places, speedups = [], []
    for index, result in enumerate(run.rows):
        line = result.variant(name)
        if line is not None and line.vs_eager is not None:
            places.append(index + (offset - (count - 1) / 2) / (count + 1))
            speedups.append(line.vs_eager)
    return places, speedups
