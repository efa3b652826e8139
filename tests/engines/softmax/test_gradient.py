"""The gradient as autograd uses it: checked, scaled, repeated, accumulated and differentiated again."""

import cases
import pytest
import torch
from cases import HALF, REDUCTIONS, SOFTMAX

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
@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_gradcheck(case, options, reduction, kind, isa):
    x, target = cases.make_rows((4, C), torch.float64, kind)
    x.requires_grad_()
    target.requires_grad_(kind == "probability")
    options = cases.tensors(options, torch.float64)
    assert torch.autograd.gradcheck(
        lambda x, t: case.functional(x, t, reduction=reduction, **options), (x, target), fast_mode=True
    )


@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_gradcheck_pixels(case, kind, isa):
    x, target = cases.make_rows((2, 3, 2, 5), torch.float64, kind)
    x.requires_grad_()
    target.requires_grad_(kind == "probability")
    assert torch.autograd.gradcheck(lambda x, t: case.functional(x, t, label_smoothing=0.1), (x, target))


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("dtype", [torch.float32, *HALF], ids=str)
@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_gradient_to_probabilities(case, dtype, options, reduction, isa):
    if isa == "none" and dtype in HALF:
        pytest.skip("without kernels half precision is PyTorch's own")
    x, target = cases.make_rows((4, C), dtype, "probability")
    options = cases.tensors(options, dtype)

    def grads(fn, x, target, options):
        x, target = x.detach().requires_grad_(), target.detach().requires_grad_()
        return torch.autograd.grad(fn(x, target, reduction=reduction, **options).sum(), (x, target))

    ours = grads(case.functional, x, target, options)
    wanted = grads(case.reference, x.double(), target.double(), cases.wide(options))
    # Terms up to max(w) = 3 and the z-loss's 2 * 0.1 * lse cancel in the input's gradient.
    cases.check_grad(ours[0], wanted[0], x, extra=4.0 / (4 if reduction == "mean" else 1))
    cases.check_grad(ours[1], wanted[1], x)
    only_target = target.detach().requires_grad_()
    case.functional(x, only_target, reduction=reduction, **options).sum().backward()
    assert torch.equal(only_target.grad, ours[1])


SECOND = {k: v for k, v in OPTIONS.items() if k in ("plain", "weight", "smoothing", "both")}


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("options", SECOND.values(), ids=SECOND)
@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_second_derivative(case, options, reduction, kind, isa):
    """A gradient penalty through create_graph, with respect to logits, probabilities and upstream."""
    options = cases.tensors(options, torch.float64)

    def penalty(fn):
        x, target = cases.make_rows((4, C), torch.float64, kind)
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


@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_gradgradcheck(case, isa):
    x, target = cases.make_rows((3, 4), torch.float64)
    options = cases.tensors(dict(weight=WEIGHT[:4], z_loss=0.1, softcap=4.0, label_smoothing=0.1), torch.float64)
    assert torch.autograd.gradgradcheck(lambda x: case.functional(x, target, **options), x.requires_grad_())
