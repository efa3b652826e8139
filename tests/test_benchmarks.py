"""The benchmark harness and the demo: they run, and their documents name what they have."""

import json
import re
from pathlib import Path

import pytest

pytest.importorskip("rich")
from benchmarks.harness import cli, results, suites, table

ROOT = Path(__file__).parents[1]


def first_column(heading):
    """The first column of the table whose first heading is this, without marks."""
    _, found, rest = (ROOT / "benchmarks/README.md").read_text().partition(f"| {heading} |")
    assert found, heading
    rows = rest.partition("\n\n")[0].splitlines()[2:]
    return [row.split("|")[1].strip() for row in rows]


def test_readme_has_every_suite_and_column():
    named = [re.match(r"`(\w+)`", cell)[1] for cell in first_column("suite")]
    assert sorted(named) == sorted(suites.SUITES)
    assert ", ".join(first_column("column")).split(", ") == list(table.HEADER[1:])


@pytest.mark.parametrize("outputs", [["--quiet"], ["--json", "a", "--markdown", "b", "--plot", "c", "--quiet"]])
def test_recorded_command_shows_what_it_measures(outputs):
    measured = ["--suite", "small", "--seconds", "2"]
    assert cli._without_outputs([*measured, *outputs]) == measured


def test_one_row(tmp_path, capsys, monkeypatch):
    """Every output of a run, the same figures in each; a row that fails is named and makes the status 1."""
    pytest.importorskip("matplotlib")
    rows = (suites.Row((64, 16384)), suites.Row((4, 4), loss="huber", options=(("delta", -1.0),)))
    monkeypatch.setitem(suites.SUITES, "quick", rows)
    file, text, picture = (tmp_path / name for name in ("a.json", "a.md", "a.png"))
    outputs = ["--json", str(file), "--markdown", str(text), "--plot", str(picture)]
    assert cli.main(["--quick", "--no-compile", "--seconds", "0.05", *outputs]) == 1
    shown = capsys.readouterr()
    (run,) = results.load_runs(file)
    measured, failed = run.rows
    assert [line.name for line in measured.variants][:2] == ["eager", "fastloss"]
    assert "delta" in failed.failure
    assert json.loads(file.read_text())["command"] in text.read_text()
    for row in rows:
        assert row.label in shown.err
        assert row.label in shown.out
        assert row.label in text.read_text()
    for line in measured.variants:
        assert line.p10_us <= line.us <= line.p90_us
        assert table._us(line.us) in shown.out
        assert table._us(line.us) in text.read_text()
    assert picture.read_bytes().startswith(b"\x89PNG")
