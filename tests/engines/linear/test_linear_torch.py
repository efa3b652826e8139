"""`linear_cross_entropy` and its module against PyTorch's, whose signature, values and errors they have."""

import copy
import inspect
import itertools
import pickle

import pytest
import torch
import torch.nn.functional as F
from cases import gradients, info_of, outcome, same_outcome

import fastloss

f = fastloss.functional
close = torch.testing.assert_close
needs_native = pytest.mark.skipif(not hasattr(F, "linear_cross_entropy"), reason="PyTorch has it from 2.13 on")


@needs_native
def test_signature():
    ours, native = (inspect.signature(fn).parameters for fn in (f.linear_cross_entropy, F.linear_cross_entropy))
    assert list(ours)[: len(native)] == list(native)
    for name, p in native.items():
        assert (ours[name].kind, ours[name].default) == (p.kind, p.default)


@needs_native
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.filterwarnings("ignore:.*linear_cross_entropy")
def test_samples_of_pytorch(dtype, torch_tables, kernel):
    for variant in ("", "chunked", "chunked_no_reduction"):
        names = "nn.functional.linear_cross_entropy", variant
        for info in (e for e in torch_tables[0] if e.name == names[0] and (e.variant_test_name or "") == variant):
            for sample in info.sample_inputs("cpu", dtype, requires_grad=True):
                args, kwargs = (sample.input, *sample.args), sample.kwargs
                ours, native = (outcome(fn, args, kwargs) for fn in (f.linear_cross_entropy, F.linear_cross_entropy))
                same_outcome(ours, native, sample)
                small = outcome(f.linear_cross_entropy, args, {**kwargs, "memory_budget": 1})
                same_outcome(small, native, sample)


@needs_native
def test_error_inputs_of_pytorch(torch_tables):
    info = info_of(
        torch_tables[0], lambda e: e.name == "nn.functional.linear_cross_entropy" and not e.variant_test_name
    )
    count = 0
    for error in info.error_inputs("cpu"):
        args, kwargs = (error.sample_input.input, *error.sample_input.args), error.sample_input.kwargs
        ours, native = (outcome(fn, args, kwargs) for fn in (f.linear_cross_entropy, F.linear_cross_entropy))
        assert isinstance(native, type)
        assert ours is native, error
        count += 1
    assert count


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("outer", [(), (4, 3)], ids=str)
def test_module(bias, outer):
    """PyTorch's constructor, layer, `state_dict` and `repr`, and our options."""
    torch.manual_seed(0)
    module = fastloss.LinearCrossEntropyLoss(5, 10, out_features=outer, bias=bias, label_smoothing=0.1)
    x, y = torch.randn(7, 5), torch.randint(10, (7, *outer))
    logits = module.linear(x).reshape(7, 10, *outer)
    wanted = F.cross_entropy(logits, y, label_smoothing=0.1)
    for twin in (module, copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        close(twin(x, y), wanted)
        assert repr(twin) == repr(module)
    grads = torch.autograd.grad(module(x, y), list(module.parameters()))
    for a, b in zip(grads, torch.autograd.grad(wanted, list(module.parameters())), strict=True):
        close(a, b)
    native = getattr(torch.nn, "LinearCrossEntropyLoss", None)
    if native is not None:
        theirs = native(5, 10, out_features=outer, bias=bias, label_smoothing=0.1)
        assert isinstance(module, native)
        assert repr(module) == repr(theirs)
        theirs.load_state_dict(module.state_dict())
        close(module(x, y), theirs(x, y))
    assert list(module.state_dict()) == ["linear.weight", *(["linear.bias"] if bias else [])]


def test_options_of_the_module():
    mask = torch.arange(7) % 2 == 0
    x, y, weight = torch.randn(7, 5), torch.randint(10, (7,)), torch.rand(10)
    module = fastloss.LinearCrossEntropyLoss(5, 10, bias=True, weight=weight, z_loss=0.1, mask=mask, ignore_index=3)
    held = dict(linear_bias=module.linear.bias, weight=weight, ignore_index=3)
    wanted = f.linear_cross_entropy(x, module.linear.weight, y, **held, z_loss=0.1, mask=mask)
    assert torch.equal(module(x, y), wanted)
    wanted = f.linear_cross_entropy(x, module.linear.weight, y, **held, z_loss=0.2, mask=mask)
    assert torch.equal(module(x, y, z_loss=0.2), wanted)
    _, stats = module(x, y, return_stats=True)
    assert int(stats.count) == int((mask & (y != 3)).sum())
    assert "z_loss=0.1" in repr(module)
    assert list(module.state_dict()) == ["weight", "linear.weight", "linear.bias"]


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"weight": torch.ones(3)}, RuntimeError), ({"label_smoothing": 1.5}, RuntimeError),
        ({"nonsense": 1}, TypeError), ({"weight": [1.0]}, TypeError),
    ],
    ids=str,
)  # fmt: skip
def test_constructor_refuses(options, kind):
    with pytest.raises(kind, match=r"^fastloss\.LinearCrossEntropyLoss"):
        fastloss.LinearCrossEntropyLoss(5, 10, **options)


@needs_native
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_errors_not_above_native(dtype, route):
    """Against PyTorch's whole logits: mean errors of loss and gradients, up to the luck of 500 rows."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(500, 64, generator=generator).to(dtype).requires_grad_()
    w = (torch.randn(700, 64, generator=generator) / 4).to(dtype).requires_grad_()
    y = torch.randint(700, (500,), generator=generator)
    more = route("strips")
    arguments = {"input": x, "linear_weight": w, "target": y}
    double = {k: t.detach().double().requires_grad_() if t.is_floating_point() else t for k, t in arguments.items()}
    for reduction in ("mean", "none"):
        exact = gradients(F.linear_cross_entropy, double, reduction=reduction)
        ours, native = (
            gradients(fn, arguments, reduction=reduction, **m)
            for fn, m in ((f.linear_cross_entropy, more), (F.linear_cross_entropy, {}))
        )
        for a, b, e in zip(ours, native, exact, strict=True):
            error, theirs = ((t.double() - e).abs().mean() for t in (a, b))
            unit = torch.finfo(dtype).eps / 2
            assert error <= 1.15 * theirs + 0.5 * unit * e.abs().mean()


def test_odd_shapes():
    """K-dimensional losses, single rows and empty batches are PyTorch's; they agree at any budget."""
    for shape, outer, target in (
        ((5,), (), torch.tensor(3)), ((0, 5), (), torch.zeros(0, dtype=torch.long)),
        ((4, 5), (2,), torch.randint(10, (4, 2))),
    ):  # fmt: skip
        x, w = torch.randn(shape), torch.randn(10, *outer, 5)
        for reduction, budget in itertools.product(("mean", "sum", "none"), (None, 1)):
            found = f.linear_cross_entropy(x, w, target, reduction=reduction, memory_budget=budget)
            logits = F.linear(x, w.flatten(0, -2)).reshape(*shape[:-1], 10, *outer)
            close(found, F.cross_entropy(logits, target, reduction=reduction), equal_nan=True)
