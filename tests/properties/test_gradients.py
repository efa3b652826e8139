"""The gradient as autograd uses it: scaled, repeated, accumulated, handed to hooks, differentiated again."""

import itertools

import pytest
import torch
from cases import DTYPES, EVERY, HALF, LINEAR, REDUCTIONS, SIMILARITY, UNIT, UPSTREAM, gradients

pytestmark = pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")
close = torch.testing.assert_close
LOSSES = [case for case in EVERY if case not in SIMILARITY]  # whose values and scaler test_similarity.py has


@pytest.fixture(autouse=True)
def _half(request, isa):
    if isa == "none" and getattr(request.node, "callspec", None) and request.node.callspec.params.get("dtype") in HALF:
        pytest.skip("without kernels half precision is PyTorch's own")


def leaves_of(arguments):
    return [t for t in arguments.values() if isinstance(t, torch.Tensor) and t.requires_grad]


def posed(case, dtype, params=None):
    """Arguments, and options: a loss in a dtype that holds every upstream gradient."""
    size = (13, 6) if case in SIMILARITY else (24, 50)
    arguments = case.make_smooth(size, params or case.params[0], dtype)
    return arguments, {"loss_dtype": torch.float32} if dtype in HALF else {}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", EVERY, ids=str)
def test_upstream(case, dtype, isa, route):
    """The factor is folded in before the one rounding to the gradient's dtype."""
    arguments, wide = posed(case, dtype)
    compute = torch.float64 if dtype == torch.float64 else torch.float32
    for reduction, upstream, way in itertools.product(REDUCTIONS, UPSTREAM, case.ways):
        factor = float(torch.tensor(upstream, dtype=compute))
        got = gradients(case.functional, arguments, upstream, reduction=reduction, **wide, **route(way))
        case.judge(arguments, factor, reduction=reduction).check(got, (reduction, upstream))


@pytest.mark.parametrize("case", EVERY, ids=str)
def test_upstream_per_value(case, isa, route):
    """Also one number for all, with strides of 0."""
    arguments, _ = posed(case, torch.float32)
    shape = case.functional(**arguments, reduction="none").shape
    upstream = torch.linspace(-2, 3, shape.numel()).reshape(shape)
    upstream[0] = 0
    for way, given in itertools.product(case.ways, (upstream, torch.tensor(-2.5))):
        got = gradients(case.functional, arguments, given, reduction="none", **route(way))
        case.judge(arguments, given, reduction="none").check(got, way)
        if given is upstream and case not in SIMILARITY:
            by_row = got[1:2] if case in LINEAR else got[1:]
            assert all(g[0].count_nonzero() == 0 for g in by_row)


@pytest.mark.parametrize("case", EVERY, ids=str)
def test_only_some_gradients(case, isa, route):
    """What needs no gradient gets none, and the others stay what they were."""
    for params, reduction, way in itertools.product(case.settings[:2], ("mean", "none"), case.ways):
        arguments, more = posed(case, torch.float64, params)[0], route(way)
        names = [k for k, t in arguments.items() if getattr(t, "requires_grad", False)]
        loss, *grads = gradients(case.functional, arguments, reduction=reduction, **more)
        plain = {k: t.detach() if isinstance(t, torch.Tensor) else t for k, t in arguments.items()}
        for name, grad in zip(names, grads, strict=True):
            alone = {**plain, name: arguments[name]}
            close(gradients(case.functional, alone, reduction=reduction, **more)[1], grad, rtol=1e-12, atol=1e-14)
        without = case.functional(**plain, reduction=reduction, **more)
        assert not without.requires_grad
        close(without, loss)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", EVERY, ids=str)
def test_retained_graph(case, dtype, isa, route):
    arguments, wide = posed(case, dtype)
    leaves = leaves_of(arguments)
    for reduction, way in itertools.product(REDUCTIONS, case.ways):
        loss = case.functional(**arguments, reduction=reduction, **wide, **route(way))
        grads = {}
        for turn, upstream in enumerate((1.0, -2.5, 1.0, 0.0, 65536.0)):
            factor = torch.full_like(loss, upstream)
            grads[turn, upstream] = torch.autograd.grad(loss, leaves, factor, retain_graph=True)
        # All still hold their own values: none shares memory with another.
        for (_, upstream), found in grads.items():
            wanted = case.judge(arguments, upstream, reduction=reduction)
            wanted.check([loss.detach(), *found], (reduction, upstream, way))
        for a, b in zip(grads[0, 1.0], grads[2, 1.0], strict=True):
            assert torch.equal(a, b)
        assert all(t.grad is None for t in leaves)
        torch.autograd.grad(loss, leaves, torch.ones_like(loss))
        with pytest.raises(RuntimeError, match="second time"):
            torch.autograd.grad(loss, leaves, torch.ones_like(loss))


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("case", EVERY, ids=str)
def test_accumulation(case, reduction, isa, route):
    """Of several losses, of one loss twice, and of a sum of losses of the same tensors."""
    near = dict(rtol=4 * UNIT[torch.float32], atol=1e-30)
    for way in case.ways:
        arguments, options = posed(case, torch.float32)[0], {"reduction": reduction, **route(way)}
        leaves, once = leaves_of(arguments), gradients(case.functional, arguments, **options)[1:]
        if case in LINEAR:  # in the gradient of a normalisation terms cancel
            near["atol"] = near["rtol"] * max(float(g.abs().max()) for g in once)
        for k in (1, 2, 3):
            case.functional(**arguments, **options).sum().backward()
            for t, g in zip(leaves, once, strict=True):
                close(t.grad, k * g, **near)
        for t in leaves:
            t.grad = None
        loss = case.functional(**arguments, **options).sum()
        loss.backward(retain_graph=True)
        for t in leaves:
            t.grad.mul_(10)
        loss.backward()
        for t, g in zip(leaves, once, strict=True):
            close(t.grad, 11 * g, **near)
        total = case.functional(**arguments, **options).sum() + 2 * case.functional(**arguments, **options).sum()
        for g, o in zip(torch.autograd.grad(total, leaves), once, strict=True):
            close(g, 3 * o, **near)


@pytest.mark.parametrize("case", EVERY, ids=str)
def test_gradient_can_be_changed_in_place(case, isa):
    """A gradient handed to a hook or to a non-leaf belongs to its receiver."""
    arguments, _ = posed(case, torch.float32)
    leaves = leaves_of(arguments)
    inner = {k: t * 1.0 for k, t in arguments.items() if isinstance(t, torch.Tensor) and t.requires_grad}
    for t in inner.values():
        t.register_hook(lambda g: g.mul_(2))
    loss = case.functional(**{**arguments, **inner}, reduction="mean")
    loss.backward(retain_graph=True)
    first = [t.grad.clone() for t in leaves]
    for t in leaves:
        t.grad = None
    loss.backward()
    assert all(torch.equal(t.grad, g) for t, g in zip(leaves, first, strict=True))


@pytest.mark.parametrize(
    ("case", "params"),
    [pytest.param(case, s, id=f"{case}-{k}") for case in EVERY for k, s in enumerate(case.settings)],
)
def test_second_derivatives(case, params, isa):
    """A gradient penalty, with the loss at its root, also with respect to the upstream gradient."""
    for reduction, more in itertools.product(REDUCTIONS, (False, True)):
        arguments = case.make_smooth((9, 6), params, torch.float64)
        leaves = leaves_of(arguments)
        extras = {k: t for k, t in case.extras((9, 6)).items() if more and (k != "normalizer" or reduction == "mean")}
        if arguments.get("symmetric") or "mask" in arguments:
            extras = {k: t for k, t in extras.items() if k == "normalizer" or not arguments.get("symmetric")}
        results = []
        for fn in (case.functional, case.reference):
            loss = fn(**{**arguments, **extras}, reduction=reduction)
            upstream = torch.linspace(0.5, 2, loss.numel(), dtype=torch.float64).reshape(loss.shape).requires_grad_()
            first = torch.autograd.grad(loss, leaves, upstream, create_graph=True)
            total = loss.sum() + 3 * sum(g.square().sum() for g in first)
            results.append(torch.autograd.grad(total, [*leaves, upstream]))
        for a, b in zip(*results, strict=True):
            close(a, b, rtol=1e-9, atol=1e-11)
        assert any(g.count_nonzero() for g in results[0])


# Not gaussian_nll_loss: as PyTorch's, its loss is float16 under autocast, and 65536 is infinity there.
@pytest.mark.parametrize("case", [case for case in LOSSES if case.name != "gaussian_nll_loss"], ids=str)
def test_float16_gradient_survives_the_scaler(case, isa):
    """Gradients below float16's smallest number (6e-8) are there once GradScaler's 65536 is in them."""
    arguments = case.make_smooth((4096, 16), case.params[0], torch.float16)
    with torch.autocast("cpu", dtype=torch.float16):
        loss = case.functional(**arguments, reduction="mean")
    assert loss.dtype == torch.float32
    grads = torch.autograd.grad(loss * 65536.0, leaves_of(arguments))
    assert all(g.dtype == torch.float16 for g in grads)
    wanted = case.judge(arguments, 65536.0, reduction="mean")
    wanted.check([loss.detach(), *grads])
    if case.engine == "softmax":
        assert (wanted.results[1].abs() / 65536 < 2.0**-25).any(), "no gradient here would be lost without care"
