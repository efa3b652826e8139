"""The benchmark harness and the demo: they run, and their documents name what they have."""

import json
import re
import shutil
import subprocess
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


def recorded(tmp_path):
    """A small run of two rows, with a variant that was not measured and one that needs no memory."""
    eager = results.VariantResult("eager", us=20.0, p10_us=19.0, p90_us=21.0, vs_eager=1.0, gb_per_s=2.0,
                                  extra_bytes=786432, gradient_error=6e-7)  # fmt: skip
    compiled = results.VariantResult("torch.compile", note="no <compiler>")
    ours = results.VariantResult("fastloss", "kernel", us=2.0, p10_us=1.9, p90_us=2.1, vs_eager=10.0, gb_per_s=20.0,
                                 extra_bytes=0, gradient_error=6e-8)  # fmt: skip
    roof = results.VariantResult("copy, warm output", us=1.0, p10_us=1.0, p90_us=1.0, gb_per_s=40.0)
    rows = [
        results.RowResult(suites.Row((64, 1024)), 524288, 262144, 0.0, [eager, compiled, ours, roof]),
        results.RowResult(suites.Row((4, 4), loss="huber"), 128, 64, 0.0, [], "ValueError: delta"),
    ]
    about = {"cpu": "a CPU", "cores": 2, "threads": 2, "caches": {}, "torch": "2.13", "torch_cpu_capability": "AVX2",
             "isa": "avx2"}  # fmt: skip
    report = results.Report("ce", "2026-11-26T05:00:28+00:00", "a command", about, [results.Run(False, rows)])
    report.save(tmp_path / "run.json")
    return report


def test_page_of_a_report(tmp_path):
    """What was saved is loaded again; the page has every row, reason and figure, and needs no other file."""
    report, page = recorded(tmp_path), tmp_path / "page.html"
    assert results.Report.load(tmp_path / "run.json") == report
    assert cli.main(["report", str(tmp_path / "run.json"), "-o", str(page)]) == 0
    text = page.read_text()
    for said in (
        "cross entropy float32 64x1024",
        "no &lt;compiler&gt;",
        "ValueError: delta",
        ">10.00<",
        "20 GB/s",
        ">3.00<",
        ">6.0e-08<",
    ):
        assert said in text, said
    assert re.findall(r"<h3>(.*?)</h3>", text) == ["Speed by shape", "Roofline", "Memory", "Accuracy", "All figures"]
    assert text.count("<svg") == text.count("</svg>") == 4
    assert not re.search(r"<script|<link|https?:|url\(", text)


def test_page_in_a_browser(tmp_path):
    """It is drawn, on white or on black as the reader prefers."""
    browser, image = shutil.which("chromium"), pytest.importorskip("matplotlib.image")
    if browser is None:
        pytest.skip("chromium is not installed")
    recorded(tmp_path)
    cli.main(["report", str(tmp_path / "run.json"), "-o", str(tmp_path / "page.html")])
    corners = []
    for scheme in (0, 1):  # dark, light
        picture = tmp_path / f"{scheme}.png"
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
                   f"--blink-settings=preferredColorScheme={scheme}", "--window-size=900,900",
                   f"--screenshot={picture}", (tmp_path / "page.html").as_uri()]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        pixels = image.imread(picture)[..., :3]
        assert pixels.std() > 0.05
        corners.append(float(pixels[0, 0].mean()))
    assert corners[0] < 0.2 < 0.8 < corners[1]


def test_one_row(tmp_path, capsys, monkeypatch):
    """Every output of a run, the same figures in each; a row that fails is named and makes the status 1."""
    pytest.importorskip("matplotlib")
    rows = (suites.Row((64, 16384)), suites.Row((4, 4), loss="huber", options=(("delta", -1.0),)))
    monkeypatch.setitem(suites.SUITES, "quick", rows)
    file, text, picture = (tmp_path / name for name in ("a.json", "a.md", "a.png"))
    outputs = ["--json", str(file), "--markdown", str(text), "--plot", str(picture)]
    assert cli.main(["--quick", "--no-compile", "--seconds", "0.05", *outputs]) == 1
    shown = capsys.readouterr()
    (run,) = results.Report.load(file).runs
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
