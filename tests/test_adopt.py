"""fastloss in the place of PyTorch's losses: `patch`, `unpatch`, `convert`."""

import collections
import copy
import pickle
import threading

import cases
import pytest
import torch
import torch.nn.functional as F
from cases import EVERY, gradients, outcome, same_outcome

import fastloss
from fastloss._core import _torch

pytestmark = pytest.mark.filterwarnings("ignore:reduction. .mean. divides")
OWN = vars(_torch.F)  # PyTorch's functions
DROP_IN = [case for case in EVERY if case.drop_in]
# Whatever a call does, the same happens: values, gradients, shapes, types of errors.
CALLS = {
    "uint8 target": lambda f: f.cross_entropy(x(), torch.tensor([1, 2], dtype=torch.uint8)),
    "subclass": lambda f: f.cross_entropy(x().as_subclass(Part), torch.tensor([1, 2])),
    "vmap": lambda f: torch.func.vmap(lambda t: f.mse_loss(t, 2 * t))(x()),
    "grad": lambda f: torch.func.grad(lambda t: f.cross_entropy(t, torch.tensor([1, 2])))(x().detach()),
    "twice differentiated": lambda f: torch.autograd.grad(
        torch.autograd.grad(f.cross_entropy(leaf := x(), torch.tensor([1, 2])), leaf, create_graph=True)[0].norm(), leaf
    )[0],
    "no such class": lambda f: f.cross_entropy(x(), torch.tensor([1, 9])),
    "other shape": lambda f: f.cross_entropy(x(), torch.tensor([1, 2, 0])),
    "no reduction": lambda f: f.mse_loss(x(), x(), reduction="many"),
    "deprecated": lambda f: f.l1_loss(x(), x().detach() + 1, size_average=False),
    "empty": lambda f: f.cross_entropy(torch.empty(0, 5), torch.empty(0, dtype=torch.int64)),
    "integers": lambda f: f.mse_loss(torch.ones(3, dtype=torch.int64), torch.ones(3, dtype=torch.int64)),
}


class Part(torch.Tensor):
    """A subclass with the meaning of its base."""


def x():
    return torch.linspace(-1, 2, 10).reshape(2, 5).requires_grad_()


@pytest.fixture
def patched():
    with fastloss.patch() as made:
        yield made
    assert all(getattr(F, name) is OWN[name] for name in made.replaced)


def test_every_loss_is_replaced_or_left_for_a_reason(patched):
    losses = {name for name in OWN if name in fastloss.functional.__all__}
    assert {"cross_entropy", "nll_loss", "kl_div", "huber_loss", "ctc_loss"} <= losses
    assert {*patched.replaced} | {*patched.left} == losses
    assert not {*patched.replaced} & {*patched.left}
    assert set(patched.left.values()) == {"no kernel of fastloss is faster than PyTorch's own operator"}
    assert {case.name for case in DROP_IN} <= {*patched.replaced}
    for name, line in zip(sorted(losses), str(patched).splitlines(), strict=True):
        assert name in line
        assert ("left: no kernel" in line) == (name in patched.left)


@pytest.mark.parametrize("case", DROP_IN, ids=str)
def test_numbers_and_kernels(case, patched):
    """Called as PyTorch's function, also through a module of torch.nn that has been made before."""
    for params in case.settings:
        arguments = case.make(case.sizes[-1], params)
        case.judge(arguments).check(gradients(getattr(F, case.name), arguments))
    arguments = case.make((300, 1000), case.settings[0])
    assert fastloss.explain(getattr(F, case.name), **arguments).path == "kernel"
    if case.native_module is not None and case.bare:
        tensors = [t for t in arguments.values() if isinstance(t, torch.Tensor)]
        assert fastloss.explain(case.native_module(), *tensors).path == "kernel"


@pytest.mark.parametrize("call", CALLS)
def test_what_no_kernel_takes(call, patched):
    same_outcome(outcome(CALLS[call], (F,), {}), outcome(CALLS[call], (_torch.F,), {}), call)


def test_once_nested_and_undone():
    fastloss.patch()
    ours = F.cross_entropy
    again = fastloss.patch()
    assert again.replaced == ()
    assert again.left["cross_entropy"] == "replaced before"
    with fastloss.patch():
        pass
    assert F.cross_entropy is ours is not OWN["cross_entropy"]
    fastloss.unpatch()
    fastloss.unpatch()
    assert all(getattr(F, name) is OWN[name] for name in fastloss.functional.__all__ if name in OWN)


def test_what_others_replaced_stays(monkeypatch):
    """Before `patch` and after."""
    theirs = lambda *args: None  # noqa: E731
    for name in ("mse_loss", "l1_loss"):
        monkeypatch.setattr(F, name, OWN[name])  # whose end puts PyTorch's back
    F.mse_loss = theirs
    with fastloss.patch() as before:
        assert F.mse_loss is theirs
        assert "something else" in before.left["mse_loss"]
        F.l1_loss = theirs
    assert F.mse_loss is F.l1_loss is theirs


def test_threads():
    """PyTorch's functions stand there in the end, never a stand-in of a stand-in."""

    def work():
        for _ in range(50):
            with fastloss.patch():
                F.mse_loss(x(), x())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(getattr(F, name) is OWN[name] for name in fastloss.functional.__all__ if name in OWN)


def test_pickles_know_nothing_of_it(patched):
    made = pickle.dumps((F.cross_entropy, torch.nn.CrossEntropyLoss(label_smoothing=0.1)))
    program = f"""
import pickle, sys, torch
loss, module = pickle.loads({made!r})
assert loss is torch.nn.functional.cross_entropy and module.label_smoothing == 0.1
assert not any(name.startswith("fastloss") for name in sys.modules)
"""
    found = cases.python(program)
    assert found.returncode == 0, found.stderr


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.criterion = torch.nn.CrossEntropyLoss(label_smoothing=0.1)

    def forward(self, logits, target):
        return self.criterion(logits, target) + F.cross_entropy(2 * logits, target)


def test_script_and_fx(patched):
    logits, target, model = torch.randn(60, 50), torch.randint(50, (60,)), Model()
    wanted = model(logits, target)
    torch.testing.assert_close(torch.jit.script(model)(logits, target), wanted)
    graph = torch.fx.symbolic_trace(model)
    torch.testing.assert_close(graph(logits, target), wanted)
    assert F.cross_entropy in [node.target for node in graph.graph.nodes]


@pytest.mark.parametrize("first", ["patched", "compiled"])
def test_compile(first):
    """Dynamo looks at torch.nn.functional when it is loaded: before `patch`, or after."""
    program = """
import sys, torch, torch.nn.functional as F, fastloss
logits, target = torch.randn(300, 50, requires_grad=True), torch.randint(50, (300,))
fn = lambda x: torch.nn.CrossEntropyLoss()(2 * x, target) + F.huber_loss(x, x.detach() * 2)
compiled = lambda: torch.compile(fn, fullgraph=True, backend="aot_eager")(logits)
wanted, = torch.autograd.grad(fn(logits), logits)
if sys.argv[1:] == ["compiled"]:
    compiled()
    torch._dynamo.reset()
with fastloss.patch():
    found, = torch.autograd.grad(compiled(), logits)
torch.testing.assert_close(found, wanted)
print("done")
"""
    found = cases.python(f"import sys; sys.argv.append({first!r})\n{program}")
    assert found.stdout == "done\n", found.stderr


def test_convert():
    class Own(torch.nn.CrossEntropyLoss):
        pass

    weight = torch.rand(5)
    parts = {"linear": torch.nn.Linear(4, 5), "mse": torch.nn.MSELoss("sum"), "own": Own(),
             "ce": torch.nn.CrossEntropyLoss(weight, label_smoothing=0.1), "ctc": torch.nn.CTCLoss()}  # fmt: skip
    model = torch.nn.Sequential(collections.OrderedDict(parts))
    called = []
    model.ce.register_forward_hook(lambda *_: called.append(1))
    before, state = copy.deepcopy(model), model.state_dict()
    assert fastloss.convert(model) is model
    assert type(model.mse) is fastloss.MSELoss
    assert type(model.ce) is fastloss.CrossEntropyLoss
    assert [type(part) for part in (model.linear, model.own)] == [torch.nn.Linear, Own]
    assert model.state_dict().keys() == state.keys()
    logits, target = torch.randn(300, 5), torch.randint(5, (300,))
    torch.testing.assert_close(model.ce(logits, target), before.ce(logits, target))
    torch.testing.assert_close(model.mse(logits, logits + 1), before.mse(logits, logits + 1))
    assert called
    assert type(fastloss.convert(torch.nn.HuberLoss(delta=0.5))) is fastloss.HuberLoss
    assert fastloss.convert(torch.nn.HuberLoss(delta=0.5)).delta == 0.5
    assert fastloss.convert(model) is model


def test_originals_are_frozen():
    """Nothing of fastloss asks torch.nn.functional for a loss when it is called."""
    spoiled = {
        name: lambda *args, **kwargs: pytest.fail("asked") for name in fastloss.functional.__all__ if name in OWN
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in spoiled.items():
            patch.setattr(F, name, value)
        for case in DROP_IN:
            arguments = case.make_smooth(case.sizes[1], {}, torch.float64)
            gradients(case.reference, arguments)
            gradients(case.functional, arguments)
