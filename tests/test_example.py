"""The loss to copy: what its two files give before a list names it. `make plants` adds it to a copy of the package."""

import os
import subprocess

import plants
import pytest
import torch

import fastloss
from fastloss.losses.example import example_loss


@pytest.mark.parametrize("function", [example_loss, example_loss.record.reference], ids=["function", "reference"])
def test_function_and_reference(function):
    x, y = torch.tensor([1.0, -2.0, 0.05, 3.0], requires_grad=True), torch.zeros(4)
    loss = function(x, y, eps=0.5, reduction="none", mask=torch.tensor([True, True, True, False]))
    assert loss.tolist() == [0.5, 1.5, 0.0, 0.0]
    (grad,) = torch.autograd.grad(function(x, y, torch.tensor(0.5), reduction="sum"), x)
    assert grad.tolist() == [1.0, -1.0, 0.0, 1.0]
    with pytest.raises(ValueError, match=r"fastloss\.example_loss: eps must be 0 or more"):
        function(x, y, eps=-1.0)


def test_what_is_derived():
    assert "example_loss" not in fastloss.functional.__all__
    assert "Keyword-only options" in example_loss.__doc__
    explanation = fastloss.explain(example_loss, torch.ones(3), torch.zeros(3))
    assert explanation.path == "reference"
    assert "no kernel of the loss" in explanation.reason or not fastloss._core.operators.AVAILABLE


@pytest.mark.skipif(os.name == "nt", reason="needs a C++ compiler on the path")
@pytest.mark.parametrize("right", [True, False])
def test_functor(tmp_path, right):
    """Value and derivatives, by the program that checks those of every functor; it sees a derivative that is wrong."""
    changes = [(file, old, new) for file, old, new in plants.EXAMPLE if file.startswith("csrc")]
    if not right:
        changes.append(("csrc/losses/example.h", "{slope, -slope}", "{slope, slope}"))
    for file, old, new in changes:
        text = (plants.ROOT / file).read_text()
        assert text.count(old) == 1, f"{file} has another text"
        path = tmp_path / file.removeprefix("csrc/")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text.replace(old, new))
    driver, program = plants.ROOT / "tests/engines/elements/dual_driver.cpp", tmp_path / "dual"
    compiler = os.environ.get("CXX", "g++").split()
    command = [*compiler, "-std=c++17", "-O1", f"-I{tmp_path}", f"-I{plants.ROOT / 'csrc'}", driver, "-o", program]
    subprocess.run(command, check=True)
    points = [f"example_loss 0.5 0 0 0 {x}{7 * ' 0.0'} 0" for x in (-2.0, -0.7, 0.1, 0.4, 3.0)]
    done = subprocess.run([program], input="\n".join(points), check=True, capture_output=True, text=True)
    assert done.stdout.count("d/dx1") == (0 if right else 3), done.stdout
