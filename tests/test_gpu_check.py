"""benchmarks/gpu_check.sh with tools that only say what they are asked: order, limits, and that nothing is lost."""

import os
import shutil
import signal
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "gpu_check.sh"
pytestmark = [
    pytest.mark.skipif(not SCRIPT.exists(), reason="not a source checkout"),
    pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed"),
]
TOOLS = {
    "nvidia-smi": "echo a GPU",
    "ncu": 'echo ncu "$@"',
    "compute-sanitizer": 'echo sanitizer "$@"; case $* in *racecheck*) exit ${RACES:-0};; esac',
    "driver": """case $1 in
list) for k in 1 2 3 4 5 6 7 8; do echo case/$k/float32; done;;
run) case "$2" in *${BAD:-none}*) echo "got 1, expected 2"; exit 1;; esac; echo right: $#;;
*) echo copy at 4300 GB/s;;
esac""",
    "python3": """case $* in
*harness*) while [ $# -gt 0 ]; do case $1 in --markdown) echo "| a row |" > "$2";; esac; shift; done;;
"-m fastloss selftest"*) sleep ${SELFTEST:-0}; echo all 8048 calls are right;;
"-m pytest"*) for k in $(seq 3000); do echo "test number $k has passed, and says so at some length"; done;;
*) echo "CUDA: yes";;
esac""",
}
STEPS = [
    "canary", "selftest", "driver_run",
    *(f"sanitizer_{tool}" for tool in ("memcheck", "racecheck", "synccheck", "initcheck")),
    "tests", "ncu", "tune", *(f"bench_{suite}" for suite in ("gpu", "gpu_similarity", "gpu_pointwise", "gpu_pairs")),
]  # fmt: skip


@pytest.fixture
def check(tmp_path):
    """Starts the script; the results are in ``tmp_path/out``."""
    tools, out = tmp_path / "tools", tmp_path / "out"
    tools.mkdir()
    for name, script in TOOLS.items():
        (tools / name).write_text(f"#!/bin/bash\n{script}\n")
        (tools / name).chmod(0o755)

    def start(**environment):
        kept = {k: v for k, v in os.environ.items() if k not in ("DRY", "BUDGET", "PYTHON")}
        kept |= {"PATH": f"{tools}:{os.environ['PATH']}", "DRIVER": str(tools / "driver"), "TMPDIR": str(tmp_path)}
        kept |= {"WHEELS": str(tmp_path / "none"), **environment}
        command = ["bash", str(SCRIPT), str(out)]
        return subprocess.Popen(command, env=kept, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    return start


def results(tmp_path):
    """Steps in order with their exit statuses, the summary, the names in the archive."""
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir()) == ["results.tar.gz", "summary.txt"]
    summary = (out / "summary.txt").read_text()
    assert len(summary) <= 10_000
    with tarfile.open(out / "results.tar.gz") as archive:
        names = {Path(name).name for name in archive.getnames()}
    found = [line.split() for line in summary.splitlines() if line.startswith("== ")]
    return {words[1].rstrip(":"): " ".join(words[2:4]) for words in found}, summary, names


def test_all_right(check, tmp_path):
    done = check()
    said, _ = done.communicate()
    steps, summary, names = results(tmp_path)
    assert done.returncode == 0, said
    assert said == summary
    order = [name for name in steps if not name.startswith("sanitizer")]
    assert order == [name for name in STEPS if not name.startswith("sanitizer")]
    assert steps == dict.fromkeys(STEPS, "exit 0")
    assert {f"{name}.log" for name in STEPS} | {"hardware.txt", "summary.txt", "cases.txt", "gpu.md"} <= names
    assert "all 8048 calls are right" in summary


@pytest.mark.parametrize(("wrong", "step", "said"), [({"BAD": "case/3/"}, "canary", "WRONG: case/3/float32 (exit 1)"),
                                                     ({"RACES": "9"}, "sanitizer_racecheck", "exit 9")])  # fmt: skip
def test_failures(check, tmp_path, wrong, step, said):
    """The exit status tells of them, and every later step runs."""
    done = check(**wrong)
    done.communicate()
    steps, summary, _ = results(tmp_path)
    assert done.returncode == 1
    assert said in summary
    assert list(steps)[-1] == STEPS[-1]
    assert steps[step]


def test_step_that_hangs(check, tmp_path):
    """It ends with the budget."""
    begun = time.monotonic()
    done = check(SELFTEST="100", BUDGET="8")
    done.communicate()
    steps, summary, names = results(tmp_path)
    assert done.returncode == 1
    assert time.monotonic() - begun < 40
    assert steps["selftest"] == "exit 124"
    assert "== bench_gpu_pairs: no time left" in summary
    assert "selftest.log" in names


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_script_that_is_ended(check, tmp_path, end):
    """What the finished steps have said is there."""
    done = check(SELFTEST="5")
    summary = tmp_path / "out" / "summary.txt"
    while not summary.exists() or "== canary" not in summary.read_text():
        time.sleep(0.05)
    time.sleep(0.2)
    done.send_signal(end)
    done.communicate()
    steps, text, names = results(tmp_path)
    assert steps["canary"] == "exit 0"
    assert "canary.log" in names
    if end == signal.SIGTERM:
        assert done.returncode == 1
        assert "stopped by a signal" in text
