"""Means, alarms, gradients of terms, and how they are shown."""

import io
import math
import sys
import types

import pytest
import torch

import fastloss
from fastloss.monitor import _Table


def periods(tracker, *values, name="task", validation=False):
    for value in values:
        tracker.update({name: value}, validation=validation)
        tracker.step()
    return tracker


def kinds(tracker):
    return [(alarm.loss, alarm.kind) for alarm in tracker.alarms]


def test_means_of_periods():
    """Each loss over its own updates; numbers and tensors of any dtype; the host reads at the end alone."""
    tracker = fastloss.LossTracker()
    assert tracker.means == tracker.step() == {}
    tracker.update({"task": torch.tensor(1.0, requires_grad=True), "aux": torch.tensor(4.0, dtype=torch.bfloat16)})
    tracker.update({"task": torch.tensor([2.0])})
    tracker.update({"aux": 6, "task": 6.0})
    tracker.update({"task": 10.0}, validation=True)
    tracker.update({})
    assert tracker.means == tracker.step() == tracker.means == {"task": 3.0, "aux": 5.0, "validation/task": 10.0}
    tracker.update({"task": 7.0})
    assert tracker.means == {"task": 7.0}
    tracker.step()
    assert tracker.history == {"task": [3.0, 7.0], "aux": [5.0], "validation/task": [10.0]}
    with pytest.raises(ValueError, match=r"fastloss.LossTracker: expected one number for task, got shape \(2,\)"):
        tracker.update({"task": torch.ones(2)})


def test_means_of_many_small_losses():
    """Sums are of float64."""
    tracker = fastloss.LossTracker()
    tracker.update({"task": 2.0**30})
    for _ in range(100):
        tracker.update({"task": torch.tensor(1.0)})
    assert tracker.means["task"] == (2**30 + 100) / 101


def test_results_of_objectives():
    tracker = fastloss.LossTracker()
    objective = fastloss.Objective(a=(lambda v: v, 2.0), b=(lambda v: v, 0.5))
    tracker.update(objective(a=torch.tensor(1.0), b=torch.tensor(4.0)))
    assert tracker.means == {"total": 4.0, "a": 1.0, "b": 4.0}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_alarm_of_nan(value):
    tracker = fastloss.LossTracker()
    for number, aux in enumerate([1.0, value, 2.0, value]):
        tracker.update({"task": 1.0, "aux": aux})
        assert kinds(tracker) == ([("aux", "nan")] if number else [])
    tracker.step()
    periods(tracker, 1.0, 1.0)
    assert [alarm.text for alarm in tracker.alarms] == ["aux: NaN or infinite, first in update 2"]


# Means of periods, and whether three of them without a gain of a tenth are an alarm.
PLATEAUS = {
    "falling": ([5, 4, 3, 2, 1], False),
    "too short": ([5, 5, 5], False),
    "flat": ([5, 5, 5, 5], True),
    "slow": ([5, 4.9, 4.8, 4.7], True),
    "a jump": ([5, 5, 5, 4.4], False),
    "rising": ([1, 2, 3, 4], True),
    "before the best": ([5, 1, 4, 4, 4], True),
    "negative": ([-1, -1.05, -1.06, -1.09], True),
    "negative, falling": ([-1, -1.05, -1.06, -1.2], False),
    "with NaN": ([5, math.nan, 1, math.nan], False),
}


@pytest.mark.parametrize("name", PLATEAUS)
def test_alarm_of_plateaus(name):
    values, wanted = PLATEAUS[name]
    tracker = periods(fastloss.LossTracker(patience=3, tolerance=0.1), *values)
    assert (("task", "plateau") in kinds(tracker)) == wanted


@pytest.mark.parametrize(
    ("training", "validation", "wanted"),
    [(1.0, 1.4, False), (1.0, 1.6, True), (-2.0, -0.9, True), (-2.0, -1.5, False), (1.0, 0.1, False)],
)
def test_alarm_of_gaps(training, validation, wanted):
    tracker = fastloss.LossTracker(gap=0.5)
    tracker.update({"task": training})
    tracker.update({"task": validation}, validation=True)
    tracker.step()
    assert kinds(tracker) == [("task", "gap")] * wanted


# ----------------------------------------------------------------------------------------------------------- gradients


def network(dtype=torch.float64):
    model = torch.nn.Sequential(
        torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Linear(8, 8)), torch.nn.Linear(8, 3)
    ).to(dtype)
    model[0][0].bias.requires_grad_(False)
    y = model(torch.randn(16, 4, dtype=dtype))
    return model, {"a": y.square().mean(), "b": (y[:, 0] - 3).square().mean(), "c": model[0][1].weight.square().sum()}


@pytest.mark.parametrize(("depth", "modules"), [(1, ("0", "1")), (2, ("0.0", "0.1", "1.weight", "1.bias"))])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_norms_and_cosines(dtype, depth, modules):
    """Against gradients that autograd gives one by one."""
    model, losses = network(dtype)
    report = fastloss.GradientMonitor(model, depth=depth).measure(losses)
    assert (report.terms, report.modules) == (("a", "b", "c"), modules)
    params = {name: p for name, p in model.named_parameters() if p.requires_grad}
    rows = {}
    for k, loss in enumerate(losses.values()):
        grads = torch.autograd.grad(loss, params.values(), retain_graph=True, allow_unused=True)
        for (name, p), g in zip(params.items(), grads, strict=True):
            flat = torch.zeros(p.numel()) if g is None else g.flatten()
            for module in (*modules, "all"):
                if module == "all" or name == module or name.startswith(f"{module}."):
                    rows.setdefault((k, module), []).append(flat.double())
    rows = {key: torch.cat(parts) for key, parts in rows.items()}
    tolerance = {"rtol": 1e-5, "atol": 1e-6} if dtype == torch.bfloat16 else {"rtol": 1e-9, "atol": 1e-9}
    for k in range(3):
        for m, module in enumerate(modules):
            torch.testing.assert_close(report.norms[k, m].double(), rows[k, module].norm(), **tolerance)
        for j in range(3):
            for where, made in [("all", report.cosines), *zip(modules, report.cosines_of_modules, strict=True)]:
                u, v = rows[k, where], rows[j, where]
                torch.testing.assert_close(
                    made[k, j].double(), u @ v / u.norm() / v.norm(), equal_nan=True, **tolerance
                )
    assert all(p.grad is None for p in model.parameters())
    sum(losses.values()).backward()  # the graph is there


def test_the_host_does_not_wait():
    """Tensors without values, which raise where the host asks for one, pass."""
    model, losses = network(torch.float32)
    model.to("meta")
    y = model(torch.randn(16, 4, device="meta"))
    losses = {"a": y.square().mean(), "b": y.abs().mean()}
    report = fastloss.GradientMonitor(model).measure(losses)
    assert report.norms.shape == (2, 2)
    assert report.norms.is_meta
    tracker = fastloss.LossTracker()
    tracker.update(losses)
    tracker.update({**losses, "number": 1.0}, validation=True)
    with pytest.raises((RuntimeError, NotImplementedError), match="meta"):
        tracker.step()


def test_weighted_terms_now_and_then():
    model, losses = network()
    objective = fastloss.Objective(**{name: (lambda loss: loss, 10.0**k) for k, name in enumerate(losses)})
    monitor = fastloss.GradientMonitor(model, every=2)
    reports = [monitor.measure(what) for what in (losses, losses, objective(**losses), losses)]
    assert [report is None for report in reports] == [False, True, False, True]
    torch.testing.assert_close(reports[2].norms, reports[0].norms * torch.tensor([[1.0], [10.0], [100.0]]).double())
    torch.testing.assert_close(reports[2].cosines, reports[0].cosines)


ERRORS = {
    "depth": lambda: fastloss.GradientMonitor(torch.nn.Linear(1, 1), depth=0),
    "every": lambda: fastloss.GradientMonitor(torch.nn.Linear(1, 1), every=0),
    "no parameter": lambda: fastloss.GradientMonitor(torch.nn.ReLU()).measure({"a": torch.ones(())}),
    "no loss": lambda: fastloss.GradientMonitor(torch.nn.Linear(1, 1)).measure({}),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    with pytest.raises(ValueError, match=r"fastloss.GradientMonitor: expected .* got"):
        ERRORS[name]()


# ------------------------------------------------------------------------------------------------------------- pictures


def tracked():
    tracker = periods(fastloss.LossTracker(patience=1), 2.0, 2.0)
    return periods(tracker, 4.0, validation=True)


def report():
    cosines = torch.tensor([[1.0, -0.5], [-0.5, 1.0]])
    return fastloss.GradientReport(("a", "bb"), ("0",), torch.tensor([[3.0], [4.0]]), cosines, cosines[None])


TABLES = {
    "tracker": (
        tracked,
        "losses\nloss             mean  best  periods        alarms\n"
        "task                2     2        2  plateau, gap\nvalidation/task     4     4        1",
    ),
    "report": (
        report,
        "norms of gradients\nterm  0  all\na     3    3\nbb    4    4\n\n"
        "cosines between gradients\nterm      a     bb\na     +1.00  -0.50\nbb    -0.50  +1.00",
    ),
}


@pytest.mark.parametrize("name", TABLES)
def test_tables(name):
    make, text = TABLES[name]
    assert str(make()) == text


@pytest.mark.parametrize("name", TABLES)
def test_tables_of_rich(name):
    """The same cells."""
    console = pytest.importorskip("rich.console").Console(width=200, record=True, file=io.StringIO())
    make, text = TABLES[name]
    console.print(make())
    shown = console.export_text().split()
    assert [word for word in text.split() if word not in shown] == []


@pytest.mark.parametrize("name", TABLES)
def test_pictures(name, tmp_path):
    pytest.importorskip("matplotlib")
    figure = TABLES[name][0]().plot(tmp_path / "picture.svg")
    text = (tmp_path / "picture.svg").read_text()
    assert text.count("<svg") == 1
    if name == "tracker":
        (axes,) = figure.axes
        assert axes.get_yscale() == "log"
        assert [(list(line.get_xdata()), list(line.get_ydata()), line.get_linestyle()) for line in axes.lines] == [
            ([1, 2], [2.0, 2.0], "-"), ([1], [4.0], "--")
        ]  # fmt: skip
    else:
        assert [[t.get_text() for t in axes.texts] for axes in figure.axes] == [["3", "4"], ["1", "-0.5", "-0.5", "1"]]


def test_empty_tables_and_pictures():
    assert str(fastloss.LossTracker()) == "losses\nloss  mean  best  periods  alarms"
    assert str(_Table("t", ("a",), [("bcd",)])) == "t\na\nbcd"
    pytest.importorskip("matplotlib")
    assert fastloss.LossTracker().plot().axes[0].lines[:] == []
    assert periods(fastloss.LossTracker(), 1.0, -1.0).plot().axes[0].get_yscale() == "linear"


# ------------------------------------------------------------------------------------------------------------ Lightning


@pytest.fixture(params=["lightning.pytorch", "pytorch_lightning"])
def lightning(request, monkeypatch):
    """A stand-in for one of Lightning's two packages: what the callback uses of it."""
    monkeypatch.delitem(sys.modules, "fastloss.integrations.lightning", raising=False)
    for name in ("lightning", "lightning.pytorch", "lightning.pytorch.callbacks", "pytorch_lightning"):
        monkeypatch.setitem(sys.modules, name, None)
    module = types.ModuleType(f"{request.param}.callbacks")
    module.Callback = type("Callback", (), {})
    for name in (request.param.partition(".")[0], request.param):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    yield module.Callback
    sys.modules.pop("fastloss.integrations.lightning", None)  # made with the stand-in


class Logged(dict):
    log_dict = dict.update


def test_lightning(lightning):
    """The hooks in the order in which a Trainer calls them."""
    tracker = fastloss.LossTracker(gap=0.5)
    callback = fastloss.lightning_callback(tracker)
    assert isinstance(callback, lightning)
    trainer, module = types.SimpleNamespace(sanity_checking=True), Logged()
    callback.on_validation_batch_end(trainer, module, torch.tensor(100.0), None, 0, dataloader_idx=0)
    trainer.sanity_checking = False
    for epoch in range(2):
        callback.on_train_batch_end(
            trainer, module, {"loss": torch.tensor(1.0), "rows": torch.ones(2), "n": 3}, None, 0
        )
        callback.on_train_batch_end(trainer, module, {"loss": torch.tensor(3.0)}, None, 1)
        callback.on_train_batch_end(trainer, module, None, None, 2)
        callback.on_validation_batch_end(trainer, module, torch.tensor(5.0), None, 0)
        if epoch:  # the alarm was a warning before
            callback.on_train_epoch_end(trainer, module)
        else:
            with pytest.warns(UserWarning, match="fastloss: loss: 5 in validation, 2 in training"):
                callback.on_train_epoch_end(trainer, module)
    assert module == {"loss/loss": 2.0, "loss/validation/loss": 5.0}
    assert tracker.history == {"loss": [2.0, 2.0], "validation/loss": [5.0, 5.0]}
    assert isinstance(fastloss.lightning_callback().tracker, fastloss.LossTracker)


def test_without_lightning(monkeypatch):
    monkeypatch.delitem(sys.modules, "fastloss.integrations.lightning", raising=False)
    for name in ("lightning", "lightning.pytorch", "lightning.pytorch.callbacks", "pytorch_lightning"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ModuleNotFoundError, match=r"fastloss.lightning_callback: .*LossTracker.update in the loop"):
        fastloss.lightning_callback()
