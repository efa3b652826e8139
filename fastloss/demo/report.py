"""What the demo shows: progress bar, table and picture; plain text without rich or without matplotlib."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

from .memory import Peak
from .training import Run, steady

Row = tuple[str, str, str, str]
_HEADER: Row = ("", "native", "fastloss", "native / fastloss")


def _has(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def progress(steps: int, runs: dict[str, Run]) -> Iterator[int]:
    """Count steps, showing both losses as they fall."""

    def losses() -> str:
        return "  ".join(f"{name} {run.losses[-1]:.4f}" if run.losses else name for name, run in runs.items())

    if not (_has("rich") and sys.stdout.isatty()):
        for step in range(steps):
            yield step
            if (step + 1) % max(1, steps // 10) == 0:
                print(f"step {step + 1:4d}/{steps}  {losses()}", flush=True)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    with Progress(*columns) as bar:
        task = bar.add_task("loss", total=steps)
        for step in range(steps):
            yield step
            bar.update(task, advance=1, description=f"loss  {losses()}")


def curve_difference(native: list[float], fused: list[float]) -> tuple[float, float]:
    """Largest difference of the two loss curves over the steps: absolute, and relative to native."""
    differences = [abs(a - b) for a, b in zip(native, fused, strict=True)]
    return max(differences), max(d / abs(a) for d, a in zip(differences, native, strict=True))


def rows(runs: dict[str, Run], peaks: dict[str, Peak]) -> list[Row]:
    native, fused = runs["native"], runs["fastloss"]

    def compare(label: str, a: float | None, b: float | None, unit: str, digits: int) -> Row:
        if a is None or b is None:
            return (label, "not available here", "not available here", "")
        ratio = f"{a / b:.2f}x" if b > 0 else ""
        return (label, f"{a:.{digits}f} {unit}", f"{b:.{digits}f} {unit}", ratio)

    def ms(times: list[float]) -> float:
        return 1e3 * steady(times)

    a, b = peaks["native"], peaks["fastloss"]
    absolute, relative = curve_difference(native.losses, fused.losses)
    return [
        ("loss, first step", f"{native.losses[0]:.5f}", f"{fused.losses[0]:.5f}", ""),
        ("loss, last step", f"{native.losses[-1]:.5f}", f"{fused.losses[-1]:.5f}", ""),
        ("curves, largest difference", f"{absolute:.1e}", f"{relative:.1e} relative", ""),
        compare("whole step", ms(native.step_times), ms(fused.step_times), "ms", 1),
        compare("criterion, fwd + bwd", ms(native.criterion_times), ms(fused.criterion_times), "ms", 1),
        compare("peak memory, process", a.process, b.process, "MiB", 0),
        compare("peak memory, criterion", a.criterion, b.criterion, "MiB", 0),
    ]


def print_table(title: str, table: list[Row]) -> None:
    if _has("rich"):
        from rich.console import Console
        from rich.table import Table

        shown = Table(title=title)
        for index, heading in enumerate(_HEADER):
            shown.add_column(heading, justify="left" if index == 0 else "right")
        for row in table:
            shown.add_row(*row)
        Console().print(shown)
        return
    widths = [max(len(row[column]) for row in (_HEADER, *table)) for column in range(4)]
    print(title)
    for row in (_HEADER, *table):
        figures = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        print("  ".join([row[0].ljust(widths[0]), *figures]))


def save_picture(path: Path, title: str, runs: dict[str, Run], peaks: dict[str, Peak]) -> bool:
    """Both loss curves, and bars for step time and peak memory. False if matplotlib is missing."""
    if not _has("matplotlib"):
        return False
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    colours = {"native": "#9aa5b1", "fastloss": "#d1495b"}
    figure, (curves, times, memory) = plt.subplots(1, 3, figsize=(12, 4), width_ratios=(2, 1, 1), layout="constrained")
    figure.suptitle(title)
    for name, line in (("native", {"linewidth": 5.0}), ("fastloss", {"linewidth": 1.5})):
        losses = runs[name].losses
        curves.plot(range(1, len(losses) + 1), losses, color=colours[name], label=name, **line)
    absolute, _ = curve_difference(runs["native"].losses, runs["fastloss"].losses)
    curves.set(xlabel="step", ylabel="loss (nats per token)", title=f"largest difference {absolute:.1e}")
    curves.legend()
    names = list(runs)
    for index, name in enumerate(names):
        criterion = 1e3 * steady(runs[name].criterion_times)
        step = 1e3 * steady(runs[name].step_times)
        times.bar(index, criterion, color=colours[name])
        times.bar(index, step - criterion, bottom=criterion, color=colours[name], alpha=0.35)
        times.text(index, criterion, f"criterion {criterion:.0f}", ha="center", va="bottom", fontsize=8)
        times.text(index, step, f"{step:.0f}", ha="center", va="bottom")
        memory.bar(index, peaks[name].process, color=colours[name])
        memory.text(index, peaks[name].process, f"{peaks[name].process:.0f}", ha="center", va="bottom")
    times.set(title="step time (ms, median)", xticks=range(len(names)), xticklabels=names)
    memory.set(title="peak memory (MiB)", xticks=range(len(names)), xticklabels=names)
    for axes in (curves, times, memory):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return True
