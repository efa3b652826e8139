"""Peak memory of an ordinary training step, in a fresh process for each criterion."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

import fastloss

from .model import Config
from .training import CRITERIA, build

_STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Peak:
    """In MiB: the process's high-water mark, and what one forward and backward of the criterion add."""

    process: float
    criterion: float | None  # None where the mark cannot be reset


def _status(field: str) -> float:
    match = re.search(rf"^{field}:\s*(\d+) kB", _STATUS.read_text(), re.MULTILINE)
    if match is None:
        raise RuntimeError(f"fastloss.demo: no {field} in {_STATUS}")
    return int(match[1]) / 1024


def _process_peak() -> float:
    if _STATUS.exists():
        return _status("VmHWM")
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def _reset_peak() -> bool:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _measure(name: str, config: Config, batch_size: int, threads: int, steps: int = 3) -> Peak:
    torch.set_num_threads(threads)
    criterion = CRITERIA[name]()
    model, optimizer = build(config, seed=0, learning_rate=1e-3)
    ids = torch.randint(config.vocabulary, (batch_size, config.length))
    target = torch.randint(config.vocabulary, (batch_size * config.length,))
    for _ in range(steps):
        optimizer.zero_grad(set_to_none=True)
        logits = model(ids)
        loss = criterion(logits, target)
        loss.backward()
        optimizer.step()
    process = _process_peak()
    leaf = logits.detach().requires_grad_()
    del logits, loss
    fastloss.empty_cache()  # an idle block of the gradient pool would hide what the step needs
    if not _reset_peak():
        return Peak(process, None)
    before = _status("VmRSS")
    criterion(leaf, target).backward()
    return Peak(process, _status("VmHWM") - before)


def measure(name: str, config: Config, batch_size: int, threads: int) -> Peak:
    """Train ``name`` for a few steps in a fresh process and return its peaks.

    Raises:
        RuntimeError: the process failed; the message ends with what it printed.
    """
    options = dataclasses.asdict(config) | {"batch": batch_size, "threads": threads}
    command = [sys.executable, "-m", "fastloss.demo.memory", name]
    command += [f"--{key}={value}" for key, value in options.items()]
    # The process must find the same package, also when it is run from a source tree.
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": path})
    if done.returncode != 0:
        raise RuntimeError(f"fastloss.demo: measuring {name} failed:\n{done.stderr}")
    return Peak(**json.loads(done.stdout.splitlines()[-1]))


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m fastloss.demo.memory", description=__doc__)
    parser.add_argument("criterion", choices=sorted(CRITERIA))
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    for entry in dataclasses.fields(Config):
        parser.add_argument(f"--{entry.name}", type=int, required=True)
    args = parser.parse_args()
    config = Config(**{entry.name: getattr(args, entry.name) for entry in dataclasses.fields(Config)})
    peak = _measure(args.criterion, config, args.batch, args.threads)
    print(json.dumps(dataclasses.asdict(peak)))


if __name__ == "__main__":
    _main()
