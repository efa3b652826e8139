"""The gradient as autograd uses it: checked, scaled, repeated, accumulated and differentiated again."""

import math

import cases
import pytest
import torch
from cases import CASES, HALF, REDUCTIONS, UNIT, UPSTREAM

C = 6
WEIGHT = [0.5, 2.0, 1.0, 0.25, 3.0, 1.5]
MASK = [True, True, False, True]
OPTIONS = {
    "plain": {},
    "weight": dict(weight=WEIGHT),
    "smoothing": dict(label_smoothing=0.2),
    "both": dict(weight=WEIGHT, label_smoothing=0.2),
    "z_loss": dict(z_loss=0.1, weight=WEIGHT),
    "softcap": dict(softcap=4.0),
    "temperature": dict(temperature=0.7),
    "everything": dict(weight=WEIGHT, label_smoothing=0.2, z_loss=0.1, softcap=4.0, temperature=1.6, mask=MASK),
}


@pytest.fixture(params=["index", "probability"])
def kind(request):
    return request.param


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradcheck(case, options, reduction, kind, isa):
    x, target = cases.make((4, C), torch.float64, kind)
    x.requires_grad_()
    target.requires_grad_(kind == "probability")
    options = cases.tensors(options, torch.float64)
    assert torch.autograd.gradcheck(
        lambda x, t: case.functional(x, t, reduction=reduction, **options), (x, target), fast_mode=True
    )


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradcheck_pixels(case, kind, isa):
    x, target = cases.make((2, 3, 2, 5), torch.float64, kind)
    x.requires_grad_()
    target.requires_grad_(kind == "probability")
    assert torch.autograd.gradcheck(lambda x, t: case.functional(x, t, label_smoothing=0.1), (x, target))


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("dtype", [torch.float32, *HALF], ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradient_to_probabilities(case, dtype, options, reduction, isa):
    if isa == "none" and dtype in HALF:
        pytest.skip("without kernels half precision is PyTorch's own")
    x, target = cases.make((4, C), dtype, "probability")
    options = cases.tensors(options, dtype)

    def grads(fn, x, target, options):
        x, target = x.detach().requires_grad_(), target.detach().requires_grad_()
        return torch.autograd.grad(fn(x, target, reduction=reduction, **options).sum(), (x, target))

    ours = grads(case.functional, x, target, options)
    wanted = grads(case.reference, x.double(), target.double(), cases.to_double(options))
    # Terms up to max(w) = 3 and the z-loss's 2 * 0.1 * lse cancel in the input's gradient.
    cases.check_grad(ours[0], wanted[0], x, extra=4.0 / (4 if reduction == "mean" else 1))
    cases.check_grad(ours[1], wanted[1], x)
    only_target = target.detach().requires_grad_()
    case.functional(x, only_target, reduction=reduction, **options).sum().backward()
    assert torch.equal(only_target.grad, ours[1])


@pytest.mark.parametrize("upstream", UPSTREAM)
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("dtype", cases.DTYPES, ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_upstream(case, dtype, reduction, upstream, isa):
    """The factor is folded in before the one rounding to the gradient's dtype."""
    if isa == "none" and dtype in HALF:
        pytest.skip("without kernels half precision is PyTorch's own")
    x, target = cases.make((24, 50), dtype)
    loss_dtype = None if dtype not in HALF else torch.float32
    _, grad = cases.run(case.functional, x, target, upstream, reduction=reduction, loss_dtype=loss_dtype)
    compute = torch.float64 if dtype == torch.float64 else torch.float32
    factor = float(torch.tensor(upstream, dtype=compute))
    _, wanted = cases.exact(case, x, target, factor, reduction=reduction)
    cases.check_grad(grad, wanted, x)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_upstream_per_row(case, isa):
    x, target = cases.make((6, 9), torch.float32)
    upstream = torch.tensor([0.0, 1.0, -2.5, 65536.0, 1 / 3, math.pi])
    _, grad = cases.run(case.functional, x, target, upstream, reduction="none")
    _, wanted = cases.exact(case, x, target, upstream.double(), reduction="none")
    cases.check_grad(grad, wanted, x)
    assert grad[0].count_nonzero() == 0


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("dtype", cases.DTYPES, ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_retained_graph(case, dtype, reduction, isa):
    x, target = cases.make((24, 50), dtype)
    x.requires_grad_()
    loss = case.functional(x, target, reduction=reduction).sum()
    fresh = [
        cases.run(lambda *a, **k: case.functional(*a, **k).sum(), x, target, g, reduction=reduction)[1]
        for g in (1.0, -2.5, 1.0)
    ]
    grads = []
    for g in (1.0, -2.5, 1.0):
        (grad,) = torch.autograd.grad(loss, x, torch.tensor(g, dtype=dtype), retain_graph=True)
        grads.append(grad)
    # All three still hold their own values: none shares memory with another.
    for grad, wanted in zip(grads, fresh, strict=True):
        torch.testing.assert_close(grad, wanted, rtol=4 * UNIT[dtype], atol=0)
    assert torch.equal(grads[0], grads[2])
    torch.autograd.grad(loss, x)
    with pytest.raises(RuntimeError, match="second time"):
        torch.autograd.grad(loss, x)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_accumulation(case, reduction, isa):
    x, target = cases.make((24, 50), torch.float32)
    _, once = cases.run(case.functional, x, target, reduction=reduction)
    x.requires_grad_()
    for k in (1, 2, 3):
        case.functional(x, target, reduction=reduction).sum().backward()
        torch.testing.assert_close(x.grad, k * once, rtol=2 * UNIT[torch.float32], atol=0)
    x.grad = None
    loss = case.functional(x, target, reduction=reduction).sum()
    loss.backward(retain_graph=True)
    x.grad.mul_(10)
    loss.backward()
    torch.testing.assert_close(x.grad, 11 * once, rtol=4 * UNIT[torch.float32], atol=0)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradient_can_be_changed_in_place(case, isa):
    """A gradient handed to a hook or to a non-leaf belongs to its receiver."""
    x, target = cases.make((8, 40), torch.float32)
    x.requires_grad_()
    logits = x * 1.0
    logits.register_hook(lambda g: g.mul_(2))
    loss = case.functional(logits, target)
    loss.backward(retain_graph=True)
    first = x.grad.clone()
    x.grad = None
    loss.backward()
    assert torch.equal(x.grad, first)


SECOND = {k: v for k, v in OPTIONS.items() if k in ("plain", "weight", "smoothing", "both")}


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("options", SECOND.values(), ids=SECOND)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_second_derivative(case, options, reduction, kind, isa):
    """A gradient penalty through create_graph, with respect to logits, probabilities and upstream."""
    options = cases.tensors(options, torch.float64)

    def penalty(fn):
        x, target = cases.make((4, C), torch.float64, kind)
        x.requires_grad_()
        target.requires_grad_(kind == "probability")
        loss = fn(x, target, reduction=reduction, **options)
        upstream = torch.linspace(0.5, 2, loss.numel(), dtype=torch.float64).reshape(loss.shape).requires_grad_()
        inputs = [x, target, upstream] if kind == "probability" else [x, upstream]
        grads = torch.autograd.grad(loss, inputs[:-1], upstream, create_graph=True)
        return torch.autograd.grad(sum(g.square().sum() for g in grads), inputs)

    for ours, native in zip(penalty(case.functional), penalty(case.native), strict=True):
        torch.testing.assert_close(ours, native, rtol=1e-12, atol=1e-14)
        assert ours.count_nonzero() > 0


@pytest.mark.parametrize("case", CASES, ids=str)
def test_penalty_with_the_loss_at_the_root(case, isa):
    """The first backward must leave a gradient that the second one can go through."""

    def total(fn):
        x, target = cases.make((4, C), torch.float64)
        x.requires_grad_()
        loss = fn(x, target)
        (grad,) = torch.autograd.grad(loss, x, create_graph=True)
        (loss + 3 * grad.square().sum()).backward()
        return x.grad

    torch.testing.assert_close(total(case.functional), total(case.native), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradgradcheck(case, isa):
    x, target = cases.make((3, 4), torch.float64)
    options = cases.tensors(dict(weight=WEIGHT[:4], z_loss=0.1, softcap=4.0, label_smoothing=0.1), torch.float64)
    assert torch.autograd.gradgradcheck(lambda x: case.functional(x, target, **options), x.requires_grad_())


@pytest.mark.parametrize("case", CASES, ids=str)
def test_float16_gradient_survives_the_scaler(case, isa):
    """Gradients below float16's smallest number (6e-8) are there once GradScaler's 65536 is in them."""
    n, c = 4096, 16
    x, target = cases.make((n, c), torch.float16)
    leaf = x.detach().requires_grad_()
    with torch.autocast("cpu", dtype=torch.float16):
        loss = case.functional(leaf, target)
    assert loss.dtype == torch.float32
    (grad,) = torch.autograd.grad(loss * 65536.0, leaf)
    _, wanted = cases.exact(case, x, target, 65536.0)
    assert (wanted.abs() / 65536 < 2.0**-25).any(), "no gradient here would be lost without care"
    assert grad.dtype == torch.float16
    cases.check_grad(grad, wanted, x)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_hyperparameters_can_be_learned(case, isa):
    """0-d tensors are accepted, and get gradients when they ask for them."""
    x, target = cases.make((5, 7), torch.float64)
    names = ("z_loss", "softcap", "temperature", "label_smoothing", "normalizer")
    values = (0.1, 4.0, 0.7, 0.2, 3.0)
    fixed = case.functional(x, target, **dict(zip(names, values, strict=True)))
    constant = case.functional(
        x, target, **{k: torch.tensor(v, dtype=torch.float64) for k, v in zip(names, values, strict=True)}
    )
    torch.testing.assert_close(constant, fixed, rtol=1e-14, atol=0)
    learned = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in values]
    assert torch.autograd.gradcheck(lambda *v: case.functional(x, target, **dict(zip(names, v, strict=True))), learned)
