"""Shows a report as tables: in colour on a terminal, or as Markdown."""

from __future__ import annotations

import sys

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from . import machine
from .results import Report, RowResult, Run, VariantResult
from .variants import COPY, EAGER, PRODUCTS, WARM_COPY

HEADER = (
    "variant",
    "us",
    "p10..p90",
    "x eager",
    "x compile",
    "GB/s",
    "% copy",
    "% warm",
    "% products",
    "extra MiB",
    "loss err",
    "grad err",
)
# What a narrow terminal goes without, first to go first.
_DISPENSABLE = ("p10..p90", "% copy", "GB/s")
_FULL_WIDTH = 150  # where the output is not a terminal

_QUIET_ENOUGH = 0.15  # cores used by other programs


def _number(value: float | None, digits: str) -> str:
    return "-" if value is None else format(value, digits)


def _us(value: float | None) -> str:
    return _number(value, ".2f" if not value or value < 100 else ".1f" if value < 1000 else ",.0f")


def _gb(value: float | None) -> str:
    return _number(value, ".4f" if not value or value < 1 else ".1f" if value < 100 else ",.0f")


def _extra(line: VariantResult, gradient_bytes: int) -> str:
    """Also in gradients: 1.0 g is one buffer of the gradient's size."""
    if line.extra_bytes is None:
        return "-"
    return f"{line.extra_bytes / 2**20:,.0f} ({line.extra_bytes / gradient_bytes:.1f} g)"


def cells(line: VariantResult, gradient_bytes: int) -> list[str]:
    return [
        line.name if line.path in (None, "kernel") else f"{line.name} ({line.path})",
        _us(line.us),
        "-" if line.us is None else f"{_us(line.p10_us)}..{_us(line.p90_us)}",
        _number(line.vs_eager, ".2f"),
        _number(line.vs_compile, ".2f"),
        _gb(line.gb_per_s),
        _number(line.copy_percent, ".0f"),
        _number(line.warm_copy_percent, ".0f"),
        _number(line.products_percent, ".0f"),
        _extra(line, gradient_bytes),
        _number(line.loss_error, ".1e"),
        _number(line.gradient_error, ".1e"),
    ]


def title(result: RowResult) -> str:
    return f"{result.row.label} ({result.minimal_bytes / 1e6:.3g} MB)"


def notes(run: Run) -> list[str]:
    found = []
    for result in run.rows:
        if result.failure:
            found.append(f"{result.row.label}: failed: {result.failure}")
        found += [f"{result.row.label}, {line.name}: {line.note}" for line in result.variants if line.note]
        if result.others_cores is not None and result.others_cores > _QUIET_ENOUGH:
            found.append(f"{result.row.label}: disturbed, other programs used {result.others_cores:.1f} cores")
    return found


def columns(run: Run, width: int = sys.maxsize) -> list[int]:
    """The columns in which something was measured, as many as fit."""
    lines = [cells(line, result.gradient_bytes) for result in run.rows for line in result.variants]
    chosen = [column for column in range(len(HEADER)) if column == 0 or any(line[column] != "-" for line in lines)]
    widths = [max(len(line[column]) for line in [HEADER, *lines]) for column in range(len(HEADER))]
    for name in _DISPENSABLE:
        if sum(widths[column] + 2 for column in chosen) > width:
            chosen = [column for column in chosen if HEADER[column] != name]
    return chosen


def show(report: Report) -> None:
    """Prints the tables."""
    console = Console(markup=False, highlight=False)
    if not console.is_terminal:
        console.width = _FULL_WIDTH
    console.print(machine.summary(report.machine))
    for run in report.runs:
        console.print(f"\nsuite {report.suite}, {run.title}", style="bold")
        console.print(_table(run, console.width))
        for note in notes(run):
            console.print(note, style="dim")


def _table(run: Run, width: int) -> Table:
    shown = columns(run, width)
    table = Table(box=box.SIMPLE, show_edge=False, pad_edge=False, padding=(0, 1))
    table.add_column(HEADER[0])
    for column in shown[1:]:
        table.add_column(HEADER[column], justify="right", no_wrap=True)
    for result in run.rows:
        table.add_section()
        table.add_row(Text(title(result), style="bold"))
        for line in result.variants:
            texts, styles = cells(line, result.gradient_bytes), _styles(line, result)
            table.add_row(
                *(Text(texts[column], styles.get(HEADER[column], "")) for column in shown),
                style="dim" if line.name in (COPY, WARM_COPY, PRODUCTS) else "",
            )
    return table


def _styles(line: VariantResult, result: RowResult) -> dict[str, str]:
    """By column, for our lines: green where not behind native eager or torch.compile, red where behind."""
    native = result.variant(EAGER)
    if line.path is None or native is None:
        return {}
    pairs = {
        "x eager": (1.0, line.vs_eager),
        "x compile": (1.0, line.vs_compile),
        "loss err": (line.loss_error, native.loss_error),
        "grad err": (line.gradient_error, native.gradient_error),
    }
    return {
        name: "green" if least <= value else "red"
        for name, (least, value) in pairs.items()
        if least is not None and value is not None
    }


def markdown(report: Report) -> str:
    parts = [f"# Suite `{report.suite}`, {report.date[:10]}", ""]
    parts += [f"- {line}" for line in machine.summary(report.machine).splitlines()]
    parts += [f"- `{report.command}`", ""]
    for run in report.runs:
        shown = columns(run)
        parts += [f"## {run.title[0].upper()}{run.title[1:]}", ""]
        parts += [
            f"| row | {' | '.join(HEADER[column] for column in shown)} |",
            "|---|---|" + "--:|" * (len(shown) - 1),
        ]
        for result in run.rows:
            first = title(result)
            for line in result.variants:
                texts = cells(line, result.gradient_bytes)
                parts.append(f"| {first} | {' | '.join(texts[column] for column in shown)} |")
                first = ""
        parts.append("")
        if said := notes(run):
            parts += [*(f"- {note}" for note in said), ""]
    return "\n".join(parts)
