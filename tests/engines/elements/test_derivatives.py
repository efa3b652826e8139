"""Each functor's derivative is its value's derivative, checked mechanically: by dual numbers."""

import itertools
import os
import subprocess
from pathlib import Path

import pytest
import torch
from cases import ELEMENTS, RANGES

from fastloss._core import operators as _ops

POINTS = 100  # of each loss with each of its settings
VALUES = 8  # that the driver reads of each point


def points():
    """Lines for dual_driver.cpp, of every operator."""
    for case, more in itertools.product(ELEMENTS, (False, True)):
        record = case.record.fuller if more else case.record
        if record is None:
            continue
        fixed = sum(1 << record.tensors.index(name) for name in case.record.fixed)
        settings = dict.fromkeys(
            record.numbers(params.get(name, case.default(name)) for name in record.params)
            for given in (*case.params, *combinations(case))
            for params in ({**case.needs, **given},)
        )
        for number, setting in enumerate(settings):
            if case.name == "gaussian_nll_loss" and setting[1] > RANGES["positive"][0]:
                continue  # its clamp is hidden from the gradient, as in PyTorch
            columns = [t.detach() for t in case.tensors((POINTS,), torch.float64, number)]
            if more:
                low, high = RANGES["positive"]
                columns.append(low + (high - low) * torch.rand(POINTS, dtype=torch.float64))
            numbers = " ".join(repr(float(v)) for v in (*setting, *(0,) * (4 - len(setting))))
            for values in torch.stack([c for t in columns for c in t.reshape(POINTS, -1).unbind(1)], 1).tolist():
                yield f"{record.operator} {numbers} {' '.join(map(repr, (values + VALUES * [0.0])[:VALUES]))} {fixed}"


def combinations(case):
    """Each value of a hyperparameter that random calls take, with each of the others'."""
    names = case.hyperparameters
    return [dict(zip(names, v, strict=True)) for v in itertools.product(*(case.candidates(name) for name in names))]


@pytest.mark.skipif(os.name == "nt", reason="needs a C++ compiler on the path")
def test_derivatives_by_dual_numbers(tmp_path):
    root, program, lines = Path(__file__).resolve().parent, tmp_path / "dual", list(points())
    compiler = os.environ.get("CXX", "g++").split()
    command = [*compiler, "-std=c++17", "-O1", f"-I{root.parents[2] / 'csrc'}", root / "dual_driver.cpp", "-o", program]
    subprocess.run(command, check=True)
    done = subprocess.run([program], input="\n".join(lines), check=True, capture_output=True, text=True)
    assert not done.stdout, done.stdout[:2000]
    built = {name for name, _ in _ops.extension().pointwise_losses()} if _ops.AVAILABLE else set()
    assert built <= {line.split()[0] for line in lines}
