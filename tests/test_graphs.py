"""Modules recorded by PyTorch: torch.jit.trace, torch.jit.script, torch.fx. What was recorded computes what they do."""

import copy
import inspect
import io
import pickle

import pytest
import torch
from cases import EVERY, SIMILARITY, make_rows

import fastloss
from fastloss.losses.adversarial import MODES

pytestmark = [
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),  # PyTorch's own losses ask for sizes
    pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning"),
    pytest.mark.filterwarnings("ignore:reduction. 'mean'"),  # of kl_div
]


def arguments_of(case, params, n):
    """Of a call: tensors by position and by name."""
    made = case.make((n, 6), params, torch.float64)
    if case not in SIMILARITY:
        made = {name: value for name, value in made.items() if name not in case.needed(made)}
        tensors = {name: made[name] for name in made if name not in params and name != "linear_bias"}
        return tuple(tensors.values()), {k: t for k, t in made.items() if k == "linear_bias"}
    positional = case.vectors + ("labels",) * (case.labelled and made["labels"] is not None)
    settings = inspect.signature(case.module).parameters
    return tuple(made.pop(name) for name in positional), {
        name: value
        for name, value in made.items()
        if isinstance(value, torch.Tensor) or (value is not None and name not in settings)
    }


def constructed(case, params):
    settings = inspect.signature(case.module).parameters
    given = {name: v for name, v in params.items() if name in settings and not callable(v)}
    return case.module(**{**case.needed(case.make((9, 6), {})), **given})


def gan(module, mode):
    def arguments(n):
        scores = 1 + (module is fastloss.GANDiscriminatorLoss)
        return tuple(torch.randn(n, 3, dtype=torch.float64, requires_grad=True) for _ in range(scores)), {}

    return pytest.param(lambda: module(mode), arguments, id=f"{module.__name__}-{mode}")


MODULES = [
    *(
        pytest.param(
            lambda case=case, params=params: constructed(case, params),
            lambda n, case=case, params=params: arguments_of(case, params, n),
            id=f"{case}-{i}",
        )
        for case in EVERY
        if case.bare
        for i, params in enumerate(case.params)
    ),
    pytest.param(
        lambda: fastloss.LinearCrossEntropyLoss(6, 20, dtype=torch.float64),
        lambda n: ((torch.randn(n, 6, dtype=torch.float64), torch.randint(20, (n,))), {}),
        id="LinearCrossEntropyLoss",
    ),
    *(gan(m, mode) for m in (fastloss.GANGeneratorLoss, fastloss.GANDiscriminatorLoss) for mode in MODES),
    pytest.param(fastloss.FocalLoss, lambda n: (make_rows((n, 20), torch.float64), {}), id="FocalLoss"),
    pytest.param(
        lambda: fastloss.CrossEntropyLoss(torch.rand(20, dtype=torch.float64), z_loss=0.1, softcap=5.0),
        lambda n: (make_rows((n, 20), torch.float64), {}),
        id="options",
    ),
]
EVERY_MODULE = pytest.mark.parametrize(("module", "arguments"), MODULES)


class Model(torch.nn.Module):
    """Holds a module, with whatever tensors and names of them its call needs."""

    def __init__(self, criterion, names=()):
        super().__init__()
        self.criterion, self.names = criterion, names

    def forward(self, tensors):
        named = len(tensors) - len(self.names)
        options = {name: tensors[named + k] for k, name in enumerate(self.names)}
        return self.criterion(*[tensors[k] * 1 for k in range(named)], **options)


def outcome(call, tensors):
    loss = call(tensors)
    leaves = [t for t in tensors if t.requires_grad]
    return [loss, *torch.autograd.grad(loss.sum(), leaves, allow_unused=True)] if leaves else [loss]


def same(recorded, model, tensors):
    if getattr(model.criterion, "eps", 0) == 0.5 and isinstance(model.criterion, torch.nn.GaussianNLLLoss):
        tensors = [t.detach() for t in tensors]  # a trace of PyTorch's formula differentiates the clamp
    for a, b in zip(outcome(recorded, tensors), outcome(model, tensors), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


@EVERY_MODULE
def test_trace(module, arguments):
    """For other sizes than those it has seen, and without any operator of ours."""
    positional, named = arguments(9)
    model = Model(module(), tuple(named))
    traced = torch.jit.trace(model, ((*positional, *named.values()),))
    assert "fastloss::" not in str(traced.inlined_graph)
    file = io.BytesIO()
    torch.jit.save(traced, file)
    file.seek(0)
    loaded = torch.jit.load(file)
    for n in (9, 50):
        positional, named = arguments(n)
        same(loaded, model, (*positional, *named.values()))


def test_trace_of_all_sizes():
    """Whether a kernel or PyTorch's operator would take the call. Above 32768 elements none is tiny."""
    x, target = make_rows((2000, 50))
    y = torch.randn_like(x)
    for criterion, against in (
        (fastloss.CrossEntropyLoss(), target), (fastloss.SoftmaxFocalLoss(), target), (fastloss.HuberLoss(), y),
        (fastloss.HingeLoss(), y.sign()), (fastloss.CosineEmbeddingLoss(), None),
    ):  # fmt: skip
        tensors = (x, against) if against is not None else (x, y, y[:, 0].sign())
        traced = torch.jit.trace(criterion, tensors)
        assert "fastloss::" not in str(traced.inlined_graph)
        assert "PythonOp" not in str(traced.inlined_graph)
        torch.testing.assert_close(traced(*tensors), criterion(*tensors))


DROP_INS = [
    pytest.param(case, params, id=f"{case}-{i}")
    for case in EVERY
    if case.drop_in and case.bare
    for i, params in enumerate(case.params)
]


NOT_SCRIPTED = (RuntimeError, torch.jit.frontend.NotSupportedError)


class Pair(torch.nn.Module):
    def __init__(self, criterion):
        super().__init__()
        self.criterion = criterion

    def forward(self, a, b):
        return self.criterion(a, b)


class Triple(Pair):
    def forward(self, a, b, c):
        return self.criterion(a, b, c)


@pytest.mark.parametrize(("case", "params"), DROP_INS)
def test_script(case, params):
    tensors, _ = arguments_of(case, params, 9)
    criterion = case.module(**params)
    model = (Pair if len(tensors) == 2 else Triple)(criterion)
    wanted = model(*tensors)
    try:
        torch.jit.script(case.native_module(**params))
    except NOT_SCRIPTED:  # an integer where TorchScript wants a float, or what it does not know yet
        with pytest.raises(NOT_SCRIPTED):
            torch.jit.script(model)
        return
    scripted = torch.jit.script(model)
    assert type(criterion) is case.module
    assert type(model.criterion) is case.native_module
    torch.testing.assert_close(scripted(*tensors), wanted, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(torch.jit.script(criterion)(*tensors), wanted, rtol=1e-9, atol=1e-12)


def test_script_keeps_buffers():
    criterion = fastloss.CrossEntropyLoss(weight=torch.rand(20))
    scripted = torch.jit.script(criterion)
    assert list(scripted.state_dict()) == ["weight"]
    tensors = make_rows((9, 20))
    torch.testing.assert_close(scripted(*tensors), criterion(*tensors))


class Doubled(fastloss.HuberLoss):
    def forward(self, input, target):
        return 2 * super().forward(input, target)


@pytest.mark.parametrize(
    "module",
    [
        *(
            pytest.param(lambda case=case: constructed(case, {}), id=str(case))
            for case in EVERY
            if not case.drop_in and case.name != "linear_cross_entropy"  # a drop-in from PyTorch 2.13 on
        ),
        fastloss.FocalLoss, fastloss.GANGeneratorLoss, fastloss.GANDiscriminatorLoss,
        pytest.param(lambda: fastloss.HuberLoss(empty="zero"), id="options"), Doubled,
    ],
)  # fmt: skip
def test_script_says_what_it_cannot(module):
    for model in (module(), Pair(module())):
        with pytest.raises(RuntimeError, match=r"^fastloss\.\w+: torch.jit.script cannot .*torch.jit.trace"):
            torch.jit.script(model)


@EVERY_MODULE
def test_fx(module, arguments):
    positional, named = arguments(9)
    criterion = module()

    class Named(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.criterion = criterion

        def forward(self, tensors):
            made = [tensors[k] * 1 for k in range(len(positional))]
            options = {name: tensors[len(made) + k] for k, name in enumerate(named)}
            return self.criterion(*made, **options)

    alone = torch.fx.symbolic_trace(criterion)
    for graph in (alone, copy.deepcopy(alone), pickle.loads(pickle.dumps(alone))):
        assert torch.equal(graph(*positional, **named), criterion(*positional, **named))
    held = torch.fx.symbolic_trace(Named())
    same(held, Named(), (*positional, *named.values()))
    for graph in (alone, held):
        called = [node.target for node in graph.graph.nodes if node.op == "call_function"]
        assert [target.__module__.split(".")[0] for target in called].count("fastloss") == 1


def test_fx_passes_options_of_the_call():
    x, target = make_rows((9, 20))
    mask = torch.arange(9) % 2 == 0
    for criterion in (fastloss.CrossEntropyLoss(), fastloss.FocalLoss(), fastloss.SoftmaxFocalLoss()):
        graph = torch.fx.symbolic_trace(criterion)
        assert torch.equal(graph(x, target, mask=mask), criterion(x, target, mask=mask))


@pytest.mark.parametrize("name", sorted(fastloss.functional.__all__))
def test_fx_makes_a_node_of_a_function(name):
    graph = torch.fx.symbolic_trace(lambda x, y: getattr(fastloss.functional, name)(x, y))
    (node,) = (node for node in graph.graph.nodes if node.op == "call_function")
    assert node.target is getattr(fastloss.functional, name)
