"""The command line of ``python -m benchmarks.harness``."""

from __future__ import annotations

import argparse
import datetime
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from benchmarks import process

from . import machine, page, table
from .measure import PHASES, Plan, measure
from .progress import Progress
from .results import Report, RowResult, Run
from .suites import SUITES

# torch's own switch for huge pages in its CPU allocator, read once at the first allocation.
THP = "THP_MEM_ALLOC_ENABLE"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.harness",
        description="Times fastloss against native eager, torch.compile and a plain copy of the same bytes.",
        epilog="report FILE.json -o page.html shows what --json has written as one HTML page.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--suite", choices=SUITES, default=None, help="what to measure (default: ce)")
    add("--quick", action="store_true", help="suite quick with small budgets: under a minute")
    add("--only", metavar="TEXT", default="", help="only rows whose label contains TEXT")
    add("--device", choices=("cpu", "cuda"), default="cpu")
    add("--threads", type=int, default=2, metavar="N", help="CPU threads (default: 2)")
    add("--seconds", type=float, metavar="S", help="timing budget of a row (default: 8; quick: 1)")
    add(
        "--compile-seconds",
        type=float,
        metavar="S",
        help="budget of a run to compile in (default: 180; quick: 20)",
    )
    add("--no-compile", action="store_true", help="leave torch.compile out")
    add("--no-errors", action="store_true", help="do not compare with float64")
    add("--no-memory", action="store_true", help="do not measure peak memory (quick: never measured on CPU)")
    add(
        "--thp",
        choices=("off", "on", "both"),
        help=f"run without {THP}=1, with it, or both (default: both; quick or cuda: off)",
    )
    add("--json", type=Path, metavar="FILE", help="write all numbers and the machine")
    add("--markdown", type=Path, metavar="FILE", help="write the tables")
    add("--plot", type=Path, metavar="FILE", help="write a picture of the speed-ups")
    add("--quiet", action="store_true", help="no table on standard output")
    return parser


def _plan(options: argparse.Namespace) -> Plan:
    quick = options.quick
    rows = tuple(row for row in SUITES[options.suite] if options.only in row.label)
    if not rows:
        raise SystemExit(f"--only {options.only!r}: no such row in suite {options.suite}.")
    compile_seconds = options.compile_seconds or (20.0 if quick else 180.0)
    return Plan(
        rows,
        options.device,
        options.seconds or (1.0 if quick else 8.0),
        None if options.no_compile else compile_seconds,
        not options.no_errors,
        not options.no_memory and not (quick and options.device == "cpu"),
    )


def _environments(options: argparse.Namespace) -> list[bool]:
    default = "off" if options.quick or options.device != "cpu" else "both"
    return {"off": [False], "on": [True], "both": [False, True]}[options.thp or default]


def _rows(options: argparse.Namespace, arguments: Sequence[str], huge_pages: bool) -> Iterator[RowResult]:
    """Runs the suite here if this process has the wanted allocator, else in a child started with it."""
    if (os.environ.get(THP) == "1") == huge_pages:
        plan = _plan(options)
        title = f"{options.suite}{', THP' if huge_pages else ''}"
        with Progress(title, len(plan.rows), len(PHASES)) as progress:
            yield from measure(plan, progress)
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "run.json"
        # The last value of an option counts.
        own = ["--thp", "on" if huge_pages else "off", "--json", str(file), "--quiet"]
        command = [sys.executable, "-m", "benchmarks.harness", *_without_outputs(arguments), *own]
        done = subprocess.run(command, check=False, env=process.environment(**{THP: "1" if huge_pages else "0"}))
        (run,) = Report.load(file).runs
    if not any(row.failure for row in run.rows):
        done.check_returncode()
    yield from run.rows


def _without_outputs(arguments: Sequence[str]) -> list[str]:
    """The same measurement, with a table on standard output and nothing else."""
    outputs = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name in ("--json", "--markdown", "--plot"):
        outputs.add_argument(name)
    outputs.add_argument("--quiet", action="store_true")
    return outputs.parse_known_args(arguments)[1]


def _write(options: argparse.Namespace, report: Report) -> None:
    if options.json:
        report.save(options.json)
    if options.markdown:
        options.markdown.write_text(table.markdown(report))


def main(arguments: Sequence[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["report"]:
        return page.main(arguments[1:])
    options = _parser().parse_args(arguments)
    options.suite = options.suite or ("quick" if options.quick else "ce")
    if options.plot:
        from . import plot  # before anything is measured: matplotlib may be missing
    if options.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("--device cuda: torch sees no CUDA device.")
    torch.set_num_threads(options.threads)
    report = Report(
        options.suite,
        datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        shlex.join(["python", "-m", "benchmarks.harness", *_without_outputs(arguments)]),
        machine.describe(options.device),
    )
    for huge_pages in _environments(options):
        run = Run(huge_pages)
        report.runs.append(run)
        for row in _rows(options, arguments, huge_pages):
            run.rows.append(row)
            _write(options, report)  # after each row: a run that is cut off leaves what it has
    if not options.quiet:
        table.show(report)
    if options.plot:
        plot.save(report, options.plot)
    return int(any(row.failure for run in report.runs for row in run.rows))
