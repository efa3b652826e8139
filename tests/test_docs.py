"""Documents against what they are about."""

import inspect
import itertools
import re
from pathlib import Path

import pytest

from fastloss import _options, functional
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


def options_of(name):
    """The names of a function's keyword arguments, those of its TypedDict too."""
    parameters = dict(inspect.signature(getattr(functional, name)).parameters)
    shared = parameters.pop("options", None)
    if shared is None:
        return set(parameters)
    return parameters.keys() | _options.names(getattr(_options, shared.annotation[len("Unpack[") : -1]))


def test_readme_has_the_options_of_each_family():
    """A cell is - where no loss has the option, names losses where only those have it, else all of them have it."""
    _, found, rest = (ROOT / "README.md").read_text().partition("| option | ")
    assert found
    heading, _, *rows = rest.partition("\n\n")[0].splitlines()
    assert heading == "rows | elements | pairs of vectors | all pairs |"
    families = (functional.rows, functional.pointwise, functional.pairs, functional.similarity)
    described = set()
    for row in rows:
        first, *cells = (cell.strip() for cell in row.strip("|").split("|"))
        options = set(re.findall(r"`(\w+)`", first.partition(":")[0]))
        described |= options
        for option, (family, cell) in itertools.product(options, zip(families, cells, strict=True)):
            having = {name for name in family.__all__ if name in LOSSES and option in options_of(name)}
            named = {name for name in re.findall(r"`(\w+)`", cell) if name in functional.__all__}
            assert having == (named or (set() if cell == "-" else set(family.__all__) & set(LOSSES))), (option, cell)
    typed = (_options.RowOptions, _options.WeightedPointOptions, _options.SimilarityOptions)
    assert described == set().union(*map(_options.names, typed)) - {"reduction"}
    for name in functional.adversarial.__all__:
        assert not described & options_of(name)


def test_first_example_of_the_readme_runs(capsys):
    example = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1]
    assert len(example.splitlines()) <= 10
    exec(example, {})
    assert "Explanation(path=" in capsys.readouterr().out


def test_readme_names_every_loss():
    text = (ROOT / "README.md").read_text()
    assert not [name for name in functional.__all__ if f"`{name}" not in text.replace("fastloss.functional.", "")]
