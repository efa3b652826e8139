"""What the demo shows: progress, table and picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from .memory import Peak
from .training import Run, steady

_COLOURS = {"native": "#9aa5b1", "fastloss": "#d1495b"}


def progress(steps: int, runs: dict[str, Run]) -> Iterator[int]:
    """Counts steps and shows both losses as they fall: a bar on a terminal, ten lines elsewhere."""
    console = Console()
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("loss", total=steps)
        for step in range(1, steps + 1):
            yield step - 1
            losses = "  ".join(f"{name} {run.losses[-1]:.4f}" for name, run in runs.items())
            bar.update(task, advance=1, description=f"loss  {losses}")
            if not console.is_terminal and step % max(1, steps // 10) == 0:
                print(f"step {step:4d}/{steps}  {losses}", flush=True)


def curve_difference(native: list[float], fused: list[float]) -> tuple[float, float]:
    """Largest difference of the two loss curves over the steps: absolute, and relative to native."""
    differences = [abs(a - b) for a, b in zip(native, fused, strict=True)]
    return max(differences), max(d / abs(a) for d, a in zip(differences, native, strict=True))


def print_table(title: str, runs: dict[str, Run], peaks: dict[str, Peak]) -> None:
    table = Table(title=title)
    for index, heading in enumerate(("", "native", "fastloss", "native / fastloss")):
        table.add_column(heading, justify="right" if index else "left")

    def compare(label: str, a: float | None, b: float | None, scale: float, unit: str, digits: int) -> None:
        if a is None or b is None:
            table.add_row(label, "not available here", "not available here", "")
            return
        ratio = f"{a / b:.2f}x" if b > 0 else ""
        table.add_row(label, f"{a * scale:.{digits}f} {unit}", f"{b * scale:.{digits}f} {unit}", ratio)

    native, fused = runs["native"], runs["fastloss"]
    a, b = peaks["native"], peaks["fastloss"]
    absolute, relative = curve_difference(native.losses, fused.losses)
    table.add_row("loss, first step", f"{native.losses[0]:.5f}", f"{fused.losses[0]:.5f}", "")
    table.add_row("loss, last step", f"{native.losses[-1]:.5f}", f"{fused.losses[-1]:.5f}", "")
    table.add_row("curves, at most apart", f"{absolute:.1e}", f"{relative:.1e} relative", "")
    compare("whole step", steady(native.step_times), steady(fused.step_times), 1e3, "ms", 1)
    compare("criterion, fwd + bwd", steady(native.criterion_times), steady(fused.criterion_times), 1e3, "ms", 1)
    compare("peak memory, process", a.process, b.process, 2**-20, "MiB", 0)
    compare("peak memory, criterion", a.criterion, b.criterion, 2**-20, "MiB", 0)
    Console().print(table)


def save_picture(path: Path, title: str, runs: dict[str, Run], peaks: dict[str, Peak]) -> None:
    """Both loss curves, and bars for step time and peak memory."""
    figure = Figure(figsize=(12, 4), layout="constrained")
    curves, times, memory = figure.subplots(1, 3, width_ratios=(2, 1, 1))
    figure.suptitle(title)
    for name, width in (("native", 5.0), ("fastloss", 1.5)):
        losses = runs[name].losses
        curves.plot(range(1, len(losses) + 1), losses, color=_COLOURS[name], label=name, linewidth=width)
    absolute, _ = curve_difference(runs["native"].losses, runs["fastloss"].losses)
    curves.set(xlabel="step", ylabel="loss (nats per token)", title=f"largest difference {absolute:.1e}")
    curves.legend()
    names = list(runs)
    for index, name in enumerate(names):
        criterion = 1e3 * steady(runs[name].criterion_times)
        step = 1e3 * steady(runs[name].step_times)
        peak = (peaks[name].process or 0) / 2**20
        times.bar(index, criterion, color=_COLOURS[name])
        times.bar(index, step - criterion, bottom=criterion, color=_COLOURS[name], alpha=0.35)
        times.text(index, criterion, f"criterion {criterion:.0f}", ha="center", va="bottom", fontsize=8)
        times.text(index, step, f"{step:.0f}", ha="center", va="bottom")
        memory.bar(index, peak, color=_COLOURS[name])
        memory.text(index, peak, f"{peak:.0f}", ha="center", va="bottom")
    times.set(title="step time (ms, median)", xticks=range(len(names)), xticklabels=names)
    memory.set(title="peak memory (MiB)", xticks=range(len(names)), xticklabels=names)
    for axes in (curves, times, memory):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
