"""Objectives of several terms, their schedules, and weights that balance themselves."""

import copy
import itertools
import pickle
import re
from pathlib import Path

import pytest
import torch

import fastloss
from fastloss import functional, schedules


def data(dtype=torch.float64):
    x, y = torch.randn(2, 6, 5, dtype=dtype)
    return x.requires_grad_(), y


def test_total_parts_and_shares():
    x, y = data()
    objective = fastloss.Objective(
        task=(fastloss.MSELoss(), 2.0),
        aux=(functional.l1_loss, torch.tensor(0.5)),
        size=(lambda x: x.square().sum(), schedules.linear(1.0, 0.0, steps=4)),
    )
    objective.step()
    wanted = {"task": (2.0, (x - y).square().mean()), "aux": (0.5, (x - y).abs().mean()), "size": (0.75, (x * x).sum())}
    result = objective(task=(x, y), aux={"input": x, "target": y}, size=x)
    total = sum(weight * part for weight, part in wanted.values())
    torch.testing.assert_close(result.total, total)
    torch.testing.assert_close(torch.autograd.grad(result.total, x), torch.autograd.grad(total, x, retain_graph=True))
    for name, (weight, part) in wanted.items():
        torch.testing.assert_close(result.parts[name], part)
        torch.testing.assert_close(result.weighted[name], weight * part)
        torch.testing.assert_close(result.shares[name], (weight * part / total).detach())
        assert not result.shares[name].requires_grad
    assert [*result.parts] == [*wanted]


def test_learned_weights_and_criteria_are_registered():
    objective = fastloss.Objective(
        task=(fastloss.MSELoss(), torch.nn.Parameter(torch.tensor(2.0))),
        aux=(torch.nn.Bilinear(5, 5, 1), torch.tensor(3.0)),
    )
    assert {name for name, _ in objective.named_parameters()} == {
        "terms.task.weight", "terms.aux.criterion.weight", "terms.aux.criterion.bias"
    }  # fmt: skip
    assert objective.double().terms["aux"].weight.dtype == torch.float64


@pytest.mark.parametrize("copied", ["state_dict", "pickle", "deepcopy"])
def test_state(copied):
    def make():
        return fastloss.Objective(a=(torch.nn.MSELoss(), schedules.cosine(1.0, 0.0, 10)), b=(torch.nn.L1Loss(), 2.0))

    objective = make()
    for _ in range(5):
        objective.step()
    other = make()
    if copied == "state_dict":
        other.load_state_dict(objective.state_dict())
    else:
        other = pickle.loads(pickle.dumps(objective)) if copied == "pickle" else copy.deepcopy(objective)
    assert objective.weights == other.weights == {"a": pytest.approx(0.5), "b": 2.0}


# Schedule, and its values at steps 0, 1, 2, ...
SCHEDULES = {
    "linear": (schedules.linear(2.0, 4.0, 4), [2.0, 2.5, 3.0, 3.5, 4.0, 4.0]),
    "falling": (schedules.linear(1.0, 0.1, 3), [1.0, 0.7, 0.4, 0.1, 0.1]),
    "cosine": (schedules.cosine(1.0, 3.0, 4), [1.0, 2 - 0.5**0.5, 2.0, 2 + 0.5**0.5, 3.0, 3.0]),
    "warmup": (schedules.warmup(0.4, 2), [0.0, 0.2, 0.4, 0.4]),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules(name):
    schedule, values = SCHEDULES[name]
    assert [schedule(step) for step in range(len(values))] == pytest.approx(values, abs=1e-12)
    assert schedule(10**9) == values[-1]


def on_meta(n=3):
    x = torch.randn(n, device="meta", requires_grad=True)
    return [*x.square().unbind()], [x]


# Forward, backward and step of what never asks a device for a number.
WITHOUT_WAIT = {
    "Objective": lambda: fastloss.Objective(
        a=(torch.sum, schedules.warmup(1.0, 5)), b=(torch.sum, torch.ones((), device="meta"))
    ),
    "UncertaintyWeighting": lambda: fastloss.UncertaintyWeighting(3),
    "DynamicWeightAverage": lambda: fastloss.DynamicWeightAverage(3),
    "GradNorm": lambda: fastloss.GradNorm(3),
    "RandomWeighting": lambda: fastloss.RandomWeighting(3),
}


@pytest.mark.parametrize("name", WITHOUT_WAIT)
def test_the_host_does_not_wait(name):
    """Tensors without values, which raise where the host asks for one, pass."""
    module = WITHOUT_WAIT[name]().to("meta")
    losses, shared = on_meta()
    if name == "Objective":
        result = module(a=losses[0], b=losses[1])
        assert result.shares["a"].is_meta
        total = result.total
    else:
        total = module(losses, shared) if name == "GradNorm" else module(losses)
    total.backward()
    assert shared[0].grad.is_meta
    if hasattr(module, "step"):
        module.step()


MSE = torch.nn.MSELoss()
# What is wrong, the type of the error and words of its message.
ERRORS = {
    "no term": (lambda: fastloss.Objective(), ValueError, "at least one term"),
    "no weight": (lambda: fastloss.Objective(task=MSE), TypeError, r"task=\(criterion, weight\)"),
    "weight a word": (lambda: fastloss.Objective(task=(MSE, "1")), TypeError, "weight of task, got '1'"),
    "name of ModuleDict": (lambda: fastloss.Objective(items=(MSE, 1.0)), ValueError, "'items'.*rename"),
    "term missing": (lambda: fastloss.Objective(a=(MSE, 1), b=(MSE, 1))(a=data()), TypeError, "a, b, got those of a;"),
    "no such term": (lambda: fastloss.Objective(a=(MSE, 1))(a=data(), b=data()), TypeError, "of the terms a, got"),
    "not reduced": (
        lambda: fastloss.Objective(a=(torch.nn.MSELoss(reduction="none"), 1))(a=data()), ValueError, r"of a, got .*6, 5"
    ),
    "a pair": (
        lambda: fastloss.Objective(a=(fastloss.MSELoss(return_stats=True), 1))(a=data()), ValueError, "got tuple"
    ),
    "steps": (lambda: schedules.cosine(0, 1, 0), ValueError, "fastloss.schedules.cosine: expected steps"),
    "too many losses": (lambda: fastloss.UncertaintyWeighting(2)(torch.ones(3)), ValueError, "expected 2 losses"),
    "losses of rows": (lambda: fastloss.RandomWeighting(2)(torch.ones(2, 2)), ValueError, r"shapes \[\(2,\), \(2,\)\]"),
    "no loss": (lambda: fastloss.GradNorm(0), ValueError, "fastloss.GradNorm: .*n=0"),
    "not shared": (
        lambda: fastloss.GradNorm(1)([data()[0].sum()], [data()[0]]), ValueError, "depend on the shared tensors"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    call, error, words = ERRORS[name]
    with pytest.raises(error, match=words):
        call()


# ------------------------------------------------------------------------------------------------ weights by themselves


def test_uncertainty_weighting():
    """Kendall et al.: value and gradient by hand, and the optimum s = log L."""
    balancing = fastloss.UncertaintyWeighting(2).double()
    losses = torch.tensor([2.0, 5.0], dtype=torch.float64, requires_grad=True)
    with torch.no_grad():
        balancing.s.copy_(torch.tensor([0.3, -0.7]))
    total = balancing({"a": losses[0], "b": losses[1]})
    total.backward()
    s = balancing.s.detach()
    torch.testing.assert_close(total.detach(), 2 * torch.exp(-s[0]) + s[0] + 5 * torch.exp(-s[1]) + s[1])
    torch.testing.assert_close(losses.grad, torch.exp(-s))
    torch.testing.assert_close(balancing.s.grad, 1 - torch.exp(-s) * losses.detach())
    with torch.no_grad():
        balancing.s.copy_(losses.log())
    balancing.zero_grad()
    balancing(losses).backward()
    torch.testing.assert_close(balancing.s.grad, torch.zeros_like(s))


def test_dynamic_weight_average():
    """The weights of the paper's formula from the means of the two epochs before."""
    balancing = fastloss.DynamicWeightAverage(2, temperature=0.5)
    epochs = [[[1.0, 4.0], [3.0, 2.0]], [[1.0, 6.0]], [[0.5, 1.5]], []]
    means = torch.tensor([[2.0, 3.0], [1.0, 6.0], [0.5, 1.5]])
    wanted = [torch.ones(2)] * 2
    for before, after in itertools.pairwise(means):
        e = torch.exp(after / before / 0.5)
        wanted.append(2 * e / e.sum())
    for losses, weights in zip(epochs, wanted, strict=True):
        for pair in losses:
            vector = torch.tensor(pair, requires_grad=True)
            total = balancing(vector)
            torch.testing.assert_close(total, (weights * vector).sum())
            torch.testing.assert_close(torch.autograd.grad(total, vector)[0], weights)
        torch.testing.assert_close(balancing.weights, weights)
        with torch.no_grad():  # a validation, which does not count
            torch.testing.assert_close(balancing(torch.tensor([7.0, 1.0])), weights @ torch.tensor([7.0, 1.0]))
        restored = fastloss.DynamicWeightAverage(2, temperature=0.5)
        restored.load_state_dict(balancing.state_dict())
        balancing = restored
        balancing.step()
    assert torch.equal(balancing.weights, torch.ones(2))  # an epoch without losses


def test_random_weighting():
    """Weights are positive, sum to 1, differ from call to call, and have the mean 1 / n."""
    balancing = fastloss.RandomWeighting(2)
    drawn = torch.stack([balancing(torch.tensor([1.0, 0.0])) for _ in range(400)])
    assert ((drawn > 0) & (drawn < 1)).all()
    assert drawn.std() > 0.1
    assert abs(drawn.mean() - 0.5) < 5 * drawn.std() / 20
    torch.testing.assert_close(balancing(torch.full((2,), 3.0)), torch.tensor(3.0))


def test_gradnorm():
    """Against the paper's loss, differentiated through the gradients' norms; the model's has the weights held."""
    torch.manual_seed(1)
    body, head = torch.nn.Linear(4, 6).double(), torch.nn.Linear(6, 3).double()
    x = torch.randn(8, 4, dtype=torch.float64)
    balancing = fastloss.GradNorm(3, alpha=1.2).double()
    weights = torch.tensor([0.5, 1.5, 1.0], dtype=torch.float64)

    def losses():
        return head(body(x).tanh()).square().mean(0)

    first = losses().detach()
    balancing(losses(), body.parameters())
    with torch.no_grad():
        body.weight *= torch.linspace(0.5, 2, 6, dtype=torch.float64)[:, None]
        balancing.weights.copy_(weights)
    total = balancing({str(k): loss for k, loss in enumerate(losses())}, body.parameters())
    total.backward()

    weights.requires_grad_()
    parts = losses()
    grads = [torch.autograd.grad(part, body.parameters(), create_graph=True) for part in weights * parts]
    norms = torch.stack([torch.cat([g.flatten() for g in row]).norm() for row in grads])
    rates = (parts / first / (parts / first).mean()).detach()
    (norms - (norms.mean() * rates**1.2).detach()).abs().sum().backward(inputs=[weights], retain_graph=True)
    torch.testing.assert_close(balancing.weights.grad, weights.grad)
    plain = (weights.detach() * parts).sum()
    torch.testing.assert_close(total, plain)
    torch.testing.assert_close(head.weight.grad, torch.autograd.grad(plain, head.weight)[0])

    with torch.no_grad():
        balancing.weights.copy_(torch.tensor([1.0, 2.0, 3.0]))
        balancing.step()
        torch.testing.assert_close(balancing.weights.data, torch.tensor([0.5, 1.0, 1.5], dtype=torch.float64))
        assert balancing(losses(), body.parameters()).grad_fn is None  # no gradients are asked for


# ------------------------------------------------------------------------------------------------------------ the guide


def test_guide_runs(tmp_path, monkeypatch, capsys):
    """Its blocks, one after the other, with the shares, alarms and pictures that it speaks of."""
    pytest.importorskip("matplotlib")
    guide = Path(__file__).parents[1] / "docs/guides/objectives.md"
    monkeypatch.chdir(tmp_path)
    text = guide.read_text()
    names = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(block, names)
    assert {path.name for path in tmp_path.iterdir()} == set(re.findall(r"\]\((.*?\.svg)\)", text))
    said = capsys.readouterr().out
    assert re.match(r"{'task': tensor\(0.000\d\), 'aux': tensor\(0.999\d\)}", said)
    assert "cosines between gradients" in said
    history = names["tracker"].history
    assert history["task"][-1] < history["task"][0] / 2
    assert history["aux"][-1] < history["aux"][0] / 2
