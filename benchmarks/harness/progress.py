"""Progress on standard error: a bar with the time left on a terminal, a line per row elsewhere."""

from __future__ import annotations

import sys

import rich.progress as rp
from rich.console import Console


class Progress:
    def __init__(self, title: str, rows: int, phases: int) -> None:
        self._title, self._rows, self._phases = title, rows, phases
        self._done = self._phase = 0
        console = Console(stderr=True)
        columns = (
            rp.TextColumn("{task.fields[title]}"),
            rp.BarColumn(),
            rp.MofNCompleteColumn(),
            rp.TimeElapsedColumn(),
            rp.TextColumn("left"),
            rp.TimeRemainingColumn(),
            rp.TextColumn("{task.description}"),
        )
        self._lines = not console.is_terminal
        self._bar = rp.Progress(*columns, console=console, transient=True, disable=self._lines)
        self._task = self._bar.add_task("", total=rows, title=title)

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def phase(self, row: str, name: str) -> None:
        """Work on ``row`` has reached the phase ``name``."""
        if self._lines and self._phase == 0:
            print(f"{self._title} [{self._done + 1}/{self._rows}] {row}", file=sys.stderr, flush=True)
        completed = round(self._done + self._phase / self._phases, 2)
        self._bar.update(self._task, completed=completed, description=f"{row}: {name}")
        self._phase += 1

    def row_done(self) -> None:
        self._done, self._phase = self._done + 1, 0
        self._bar.update(self._task, completed=self._done)
