"""Shows a report as one HTML page: ``python -m benchmarks.harness report FILE.json -o page.html``.

The page holds its style and its figures itself, runs no script, and follows the reader's light or dark scheme.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path

from . import machine, table
from .results import Report, RowResult, Run, VariantResult
from .variants import COMPILE, COPY, EAGER, INPLACE, OURS, PRODUCTS, WARM_COPY

Value = Callable[[VariantResult, RowResult], float | None]

_STYLE = """
:root { color-scheme: light dark; --ink: #1f2328; --paper: #ffffff; --faint: #59636e; --line: #d1d9e0;
  --c0: #7d8590; --c1: #c9820e; --c2: #1f6feb; --c3: #12948a; --c4: #a04cc4; --c5: #cf3d5a; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --paper: #0d1117; --faint: #9198a1; --line: #30363d;
  --c0: #8b949e; --c1: #e3a33b; --c2: #58a6ff; --c3: #3fc9bd; --c4: #c98bea; --c5: #ff7b8f; } }
body { background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; margin: 2em auto;
  max-width: 1060px; padding: 0 1em; }
h1, h2, h3 { line-height: 1.2; } h2 { border-top: 1px solid var(--line); margin-top: 2em; padding-top: 1em; }
p, figcaption { color: var(--faint); } figure { margin: 1.5em 0; overflow-x: auto; }
code { font-size: 0.9em; } svg { font: 12px system-ui, sans-serif; max-width: 100%; } svg text { fill: var(--ink); }
svg .faint { fill: var(--faint); } svg line { stroke: var(--line); } svg .mark { stroke: var(--ink); }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: 13px; white-space: nowrap; }
td, th { border-bottom: 1px solid var(--line); padding: 2px 10px; text-align: right; }
td:first-child, th:first-child { text-align: left; } tr.row td { font-weight: 600; padding-top: 10px; }
""" + "".join(f".c{k} {{ fill: var(--c{k}); }}\n" for k in range(6))

_LABELS, _WIDTH, _BAR = 290, 1000, 13  # pixels


def _color(name: str) -> str:
    """A peer has one of the last two colors."""
    known = (EAGER, COMPILE, OURS, INPLACE)
    return f"c{known.index(name) if name in known else 4 + len(name) % 2}"


def _names(run: Run, value: Value, without: Sequence[str]) -> list[str]:
    found = (line.name for row in run.rows for line in row.variants if value(line, row) is not None)
    return [name for name in dict.fromkeys(found) if name not in (*without, COPY, WARM_COPY, PRODUCTS)]


def _legend(names: Sequence[str]) -> str:
    boxes = (f'<tspan class="{_color(name)}">\u25a0</tspan><tspan> {escape(name)}\u2003</tspan>' for name in names)
    return f'<text x="{_LABELS}" y="14">{"".join(boxes)}</text>'


def _bars(
    run: Run, value: Value, caption: str, shown: str, mark: float | None = None, without: str = "", linear: bool = False
) -> str:
    """A group of bars for each row, on a logarithmic scale unless ``linear``; a line at ``mark``."""
    names = _names(run, value, [without])
    every = [v for row in run.rows for line in row.variants if line.name in names and (v := value(line, row))]
    if not every:
        return ""
    ends = [*every, *([mark] if mark else [])]
    low, high = (0.0, max(ends)) if linear else (math.log(min(ends) / 1.3), math.log(max(ends)))

    def place(v: float) -> float:
        return _LABELS + (_WIDTH - _LABELS - 70) * max(0.0, (v if linear else math.log(v)) - low) / (high - low or 1.0)

    parts, y = [_legend(names)], 26
    for row in run.rows:
        lines = [(line, v) for line in row.variants if line.name in names and (v := value(line, row)) is not None]
        if not lines:
            continue
        middle = y + len(lines) * _BAR / 2 + 4
        parts.append(f'<text x="{_LABELS - 8}" y="{middle:.1f}" text-anchor="end">{escape(row.row.label)}</text>')
        for line, v in lines:
            end = place(v) if v > 0 else _LABELS
            parts.append(
                f'<rect class="{_color(line.name)}" x="{_LABELS}" y="{y}" width="{max(1.0, end - _LABELS):.1f}" '
                f'height="{_BAR - 2}"/><text class="faint" x="{max(end, _LABELS + 1) + 4:.1f}" y="{y + 10}">'
                f"{format(v, shown)}</text>"
            )
            y += _BAR
        y += 8
    if mark:
        x = place(mark)
        parts.insert(1, f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="22" y2="{y}"/>')
    return _figure(parts, y, caption)


def _figure(parts: Sequence[str], height: float, caption: str) -> str:
    return (
        f'<figure><svg viewBox="0 0 {_WIDTH} {height:.0f}" role="img" aria-label="{escape(caption)}">'
        f"{''.join(parts)}</svg><figcaption>{escape(caption)}</figcaption></figure>"
    )


def _roofline(run: Run) -> str:
    """Bytes that a row must move, by the rate at which each variant moves them; the roof is a warm copy's rate."""
    names = _names(run, lambda line, _: line.gb_per_s, [])
    points = [
        (row.minimal_bytes, line.gb_per_s, line.name, row.row.label)
        for row in run.rows
        for line in row.variants
        if line.gb_per_s and line.name in (*names, WARM_COPY)
    ]
    if not points:
        return ""
    xs, ys = [math.log10(p[0]) for p in points], [math.log10(p[1]) for p in points]
    left, top, bottom = _LABELS - 200, 30, 330
    x0, x1, y0, y1 = math.floor(min(xs)), math.ceil(max(xs)), math.floor(min(ys)), math.ceil(max(ys))

    def x(v: float) -> float:
        return left + (_WIDTH - 40 - left) * (math.log10(v) - x0) / ((x1 - x0) or 1)

    def y(v: float) -> float:
        return bottom - (bottom - top) * (math.log10(v) - y0) / ((y1 - y0) or 1)

    parts = [_legend(names)]
    for power in range(x0, x1 + 1):
        at = x(10.0**power)
        parts.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{top}" y2="{bottom}"/>')
        parts.append(f'<text class="faint" x="{at:.1f}" y="{bottom + 16}" text-anchor="middle">{_bytes(power)}</text>')
    for power in range(y0, y1 + 1):
        at = y(10.0**power)
        parts.append(f'<line x1="{left}" x2="{_WIDTH - 40}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(
            f'<text class="faint" x="{left - 8}" y="{at + 4:.1f}" text-anchor="end">{10.0**power:g} GB/s</text>'
        )
    for moved, rate, name, label in points:
        box = f'x="{x(moved) - 9:.1f}" y="{y(rate) - 1:.1f}" width="18" height="2"'
        title = f"<title>{escape(label)}, {escape(name)}: {rate:.3g} GB/s</title>"
        parts.append(
            f'<rect {box} style="fill: var(--ink)">{title}</rect>'
            if name == WARM_COPY
            else f'<circle class="{_color(name)}" cx="{x(moved):.1f}" cy="{y(rate):.1f}" r="4.5">{title}</circle>'
        )
    caption = "Bytes that a step must move, and the rate at which it does; a dash is a copy into warm memory, the roof."
    return _figure(parts, bottom + 24, caption)


def _bytes(power: int) -> str:
    unit = ("B", "kB", "MB", "GB", "TB")[power // 3]
    return f"{10 ** (power % 3)} {unit}"


def _table(run: Run) -> str:
    shown = table.columns(run)
    head = "".join(f"<th>{escape(table.HEADER[column])}</th>" for column in shown)
    rows = []
    for result in run.rows:
        rows.append(f'<tr class="row"><td colspan="{len(shown)}">{escape(table.title(result))}</td></tr>')
        for line in result.variants:
            cells = table.cells(line, result.gradient_bytes)
            rows.append(f"<tr>{''.join(f'<td>{escape(cells[column])}</td>' for column in shown)}</tr>")
    notes = "".join(f"<p>{escape(note)}</p>" for note in table.notes(run))
    return f'<div class="scroll"><table><tr>{head}</tr>{"".join(rows)}</table></div>{notes}'


def _run(run: Run) -> str:
    sections = {
        "Speed by shape": _bars(
            run,
            lambda line, _: line.vs_eager,
            "Times as fast as native eager, which is the line at 1; a logarithmic scale.",
            ".2f",
            1.0,
            EAGER,
        ),
        "Roofline": _roofline(run),
        "Memory": _bars(
            run,
            lambda line, row: None if line.extra_bytes is None else line.extra_bytes / row.gradient_bytes,
            "Peak memory above inputs and logits, in buffers of the gradient's size; the line is one gradient.",
            ".2f",
            1.0,
            linear=True,
        ),
        "Accuracy": _bars(
            run,
            lambda line, _: line.gradient_error,
            "Largest error of a gradient entry against float64, relative to the largest entry; a logarithmic scale.",
            ".1e",
        ),
    }
    figures = "".join(f"<h3>{name}</h3>{figure}" for name, figure in sections.items() if figure)
    return f"<h2>{escape(run.title[0].upper() + run.title[1:])}</h2>{figures}<h3>All figures</h3>{_table(run)}"


def html(report: Report) -> str:
    about = "<br>".join(map(escape, machine.summary(report.machine).splitlines()))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>fastloss: suite {escape(report.suite)}</title><style>{_STYLE}</style></head><body>"
        f"<h1>Suite {escape(report.suite)}</h1><p>{about}<br>{escape(report.date)}, "
        f"<code>{escape(report.command)}</code></p>{''.join(map(_run, report.runs))}</body></html>\n"
    )


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.harness report", description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, help="what --json has written")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="the page")
    options = parser.parse_args(arguments)
    options.output.write_text(html(Report.load(options.file)), encoding="utf-8")
    return 0
