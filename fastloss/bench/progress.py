"""Progress on standard error: a rich bar on a terminal, a line per row elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Progress(Protocol):
    def phase(self, row: str, name: str) -> None:
        """Work on ``row`` has reached the phase ``name``."""

    def row_done(self) -> None:
        """The row is complete."""


class _Lines:
    def __init__(self, title: str, rows: int) -> None:
        self._title, self._rows, self._row = title, rows, ""
        self._done = 0

    def phase(self, row: str, name: str) -> None:
        if row != self._row:
            self._row = row
            print(f"{self._title} [{self._done + 1}/{self._rows}] {row}", file=sys.stderr, flush=True)

    def row_done(self) -> None:
        self._done += 1


@contextmanager
def progress_bar(title: str, rows: int, phases: int) -> Iterator[Progress]:
    try:
        import rich.console
        import rich.progress
    except ImportError:
        rich_there = False
    else:
        rich_there = sys.stderr.isatty()
    if not rich_there:
        yield _Lines(title, rows)
        return

    bar = rich.progress.Progress(
        rich.progress.TextColumn("{task.fields[title]}"),
        rich.progress.BarColumn(),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TimeElapsedColumn(),
        rich.progress.TextColumn("{task.description}"),
        console=rich.console.Console(stderr=True),
        transient=True,
    )

    class Bar:
        def __init__(self) -> None:
            self._task = bar.add_task("", total=rows, title=title)
            self._done, self._phase = 0, 0

        def phase(self, row: str, name: str) -> None:
            bar.update(
                self._task,
                completed=round(self._done + self._phase / phases, 2),
                description=f"{row}: {name}",
            )
            self._phase += 1

        def row_done(self) -> None:
            self._done, self._phase = self._done + 1, 0
            bar.update(self._task, completed=self._done)

    with bar:
        yield Bar()
