"""Documents against what they are about."""

import re
from pathlib import Path

import pytest

from fastloss import functional
from fastloss.bench import cli, suites
from fastloss.bench.table import HEADER

ROOT = Path(__file__).parents[1]


def first_column(file, heading):
    """The first column of the table whose first heading is this, without marks."""
    _, found, rest = (ROOT / file).read_text().partition(f"| {heading} |")
    assert found, heading
    rows = rest.partition("\n\n")[0].splitlines()[2:]
    return [row.split("|")[1].strip() for row in rows]


def test_benchmarks_readme_has_every_suite_and_column():
    named = [re.match(r"`(\w+)`", cell)[1] for cell in first_column("benchmarks/README.md", "suite")]
    assert sorted(named) == sorted(suites.SUITES)
    columns = ", ".join(first_column("benchmarks/README.md", "column")).split(", ")
    assert columns == list(HEADER[1:])


@pytest.mark.parametrize("outputs", [["--quiet"], ["--json", "a", "--markdown", "b", "--plot", "c", "--quiet"]])
def test_recorded_command_shows_what_it_measures(outputs):
    measured = ["--suite", "small", "--seconds", "2"]
    assert cli._without_outputs([*measured, *outputs]) == measured


LOSSES = [name for name in functional.__all__ if name != "count_positives"]


@pytest.mark.parametrize("name", LOSSES)
def test_docstrings(name):
    """What it returns, each argument once, and of vectors what is true of vectors."""
    text = getattr(functional, name).__doc__
    assert "Returns" in text
    assert len(re.findall(r"^ +(?:\w+, )*weight(?:, \w+)*: ", text, re.MULTILINE)) <= 1
    if name in functional.pairs.__all__:
        assert "the rows' shape" in text
        assert "common shape" not in text
