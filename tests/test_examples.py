"""The scripts in examples/: each asserts that its loss curve is the library's own."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted(path.name for path in (ROOT / "examples").glob("*.py") if path.name != "curves.py")


@pytest.mark.parametrize("script", SCRIPTS)
def test_example(script):
    libraries = set(re.findall(r"^(?:import|from) (\w+)", (ROOT / "examples" / script).read_text(), re.MULTILINE))
    for library in libraries - {"curves"}:
        if importlib.util.find_spec(library) is None:
            pytest.skip(f"{library} is not installed")
    found = subprocess.run(
        [sys.executable, "-W", "ignore", script],
        cwd=ROOT / "examples",
        env={**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if missing := re.search(r"ModuleNotFoundError: (No module named '(?!fastloss).*)", found.stderr):
        pytest.skip(f"{script}: {missing[1]}")
    assert found.returncode == 0, found.stderr
    assert re.search(r"step +\d+  native -?\d", found.stdout)


def test_all_are_listed():
    text = (ROOT / "examples" / "README.md").read_text()
    assert sorted(re.findall(r"\]\((\w+\.py)\)", text)) == SCRIPTS
