"""Takes every number of a suite, row by row."""

from __future__ import annotations

import gc
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass

from . import accuracy, memory, timing, variants
from .inputs import Case, make_cases
from .losses import LOSSES
from .machine import OtherPrograms
from .progress import Progress
from .results import RowResult, VariantResult
from .suites import Row
from .timing import Timing
from .variants import COMPILE, COPY, EAGER, PRODUCTS, WARM_COPY, Variant

PHASES = ("first calls", "errors", "timing", "memory")


@dataclass(frozen=True)
class Plan:
    """What to measure and how long to take.

    Attributes:
        seconds: Timing budget of a row.
        compile_seconds: Budget of a whole run to compile in; rows after it has been spent go without
            torch.compile. None: no row has it.
    """

    rows: tuple[Row, ...]
    device: str
    seconds: float
    compile_seconds: float | None
    accuracy: bool
    memory: bool


def measure(plan: Plan, progress: Progress) -> Iterator[RowResult]:
    """One row after the other; one that fails says why and leaves the others theirs."""
    bench = _Bench(plan, progress)
    for row in plan.rows:
        try:
            yield bench.row(row)
        except Exception as error:
            traceback.print_exc()
            failure = f"{type(error).__name__}: {error}".splitlines()[0][:200]
            yield RowResult(row, LOSSES[row.loss].minimal_bytes(row), row.tensor_bytes, None, [], failure)
            progress.row_done()
        gc.collect()  # the frames of a failure hold its tensors


class _Bench:
    def __init__(self, plan: Plan, progress: Progress) -> None:
        self._plan = plan
        self._progress = progress
        self._compile_left = plan.compile_seconds

    def row(self, row: Row) -> RowResult:
        plan = self._plan
        self._progress.phase(row.label, PHASES[0])
        cases = make_cases(row, plan.device)
        lines, working = self._first_calls(row, cases[0])

        self._progress.phase(row.label, PHASES[1])
        if plan.accuracy:
            for name, error in accuracy.errors(row, cases[0], working).items():
                lines[name].loss_error, lines[name].gradient_error = error.loss, error.gradient

        self._progress.phase(row.label, PHASES[2])
        prepared = {variant.name: variants.steps(variant, cases) for variant in working}
        prepared |= variants.copies(row, plan.device)
        prepared |= variants.products(row, plan.device)
        others = OtherPrograms()
        timings = timing.interleave(prepared, timing.clock_for(plan.device), plan.seconds)
        others_cores = others.cores()
        minimal_bytes = LOSSES[row.loss].minimal_bytes(row)
        for name in timings:
            _fill_times(lines.setdefault(name, VariantResult(name)), timings, minimal_bytes)
        prepared.clear()
        gc.collect()

        self._progress.phase(row.label, PHASES[3])
        if plan.memory:
            for name, peak in memory.of_variants(row, cases[0], working, plan.device).items():
                lines[name].extra_bytes = peak
        self._progress.row_done()
        return RowResult(row, minimal_bytes, row.tensor_bytes, others_cores, list(lines.values()))

    def _first_calls(self, row: Row, case: Case) -> tuple[dict[str, VariantResult], list[Variant]]:
        """A line for each variant, and the variants that work."""
        lines = {EAGER: VariantResult(EAGER)}
        with_compile = self._compile_left is not None and self._compile_left > 0
        if self._compile_left is not None and not with_compile:
            lines[COMPILE] = VariantResult(COMPILE, note="compile budget spent")
        working = []
        for variant in variants.build(row, case, with_compile):
            start = time.perf_counter()
            note = _why_not(variant, case)
            if variant.name == COMPILE and self._compile_left is not None:
                self._compile_left -= time.perf_counter() - start
            lines[variant.name] = VariantResult(variant.name, variant.path, note)
            if note is None:
                working.append(variant)
        return lines, working


def _why_not(variant: Variant, case: Case) -> str | None:
    """Runs a first step, in which lazy things are compiled. None if it works, else the reason.

    Native eager and ours must work; a peer, or torch.compile without a compiler, may not.
    """
    try:
        variants.evaluate(variant, case)
    except Exception as error:
        if variant.name == EAGER or variant.path is not None:
            raise
        return f"{type(error).__name__}: {error}".splitlines()[0][:120]
    return None


def _fill_times(line: VariantResult, timings: dict[str, Timing], minimal_bytes: int) -> None:
    taken = timings[line.name]
    line.us, line.p10_us, line.p90_us = taken.median * 1e6, taken.p10 * 1e6, taken.p90 * 1e6
    line.rounds, line.repeats = taken.rounds, taken.repeats
    line.gb_per_s = minimal_bytes / taken.median * 1e-9
    line.copy_percent = 100 * timings[COPY].median / taken.median
    line.warm_copy_percent = 100 * timings[WARM_COPY].median / taken.median
    if PRODUCTS in timings and line.name not in (COPY, WARM_COPY):
        line.products_percent = 100 * timings[PRODUCTS].median / taken.median
    if line.name not in (COPY, WARM_COPY, PRODUCTS):
        line.vs_eager = timings[EAGER].median / taken.median
        if COMPILE in timings:
            line.vs_compile = timings[COMPILE].median / taken.median
