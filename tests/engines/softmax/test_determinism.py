"""Same inputs, same bits: run to run and for any number of threads."""

import cases
import pytest
import torch
from cases import REDUCTIONS, SOFTMAX
from test_layouts import lay

SHAPES = [
    ((300, 1000), "contiguous"),
    ((5001, 7), "contiguous"),
    ((3, 40001), "contiguous"),
    ((1, 262144), "contiguous"),
    ((700, 129), "batch last"),
    ((2, 21, 65, 63), "contiguous"),
    ((2, 21, 65, 63), "channels_last"),
    ((2, 21, 65, 63), "cropped"),
]


def bits(case, x, target, **options):
    leaf = x.detach().requires_grad_()
    loss, stats = case.functional(leaf, target, return_stats=True, **options)
    (grad,) = torch.autograd.grad(loss.sum(), leaf)
    plain, plain_grad = cases.run(case.functional, x, target, **options)
    with torch.no_grad():
        value = case.functional(x, target, **options)
    return (loss.detach(), grad, plain, plain_grad, value, *stats)


@pytest.mark.parametrize("kind", ["index", "probability"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("shape", "how"), SHAPES, ids=lambda v: str(v).replace(" ", ""))
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_threads(case, dtype, shape, how, reduction, kind, isa):
    if isa == "none" or (kind == "probability" and not case.record.probabilities):
        pytest.skip("a promise of the kernels")
    if not isa.startswith("avx512") and (dtype, kind) == (torch.bfloat16, "probability"):
        dtype = torch.float16
    x, target = cases.make_rows(shape, dtype, kind)
    if kind == "index":
        target.view(-1)[1::5] = -100
    x = lay(x, how)
    options = dict(reduction=reduction, label_smoothing=0.1, weight=torch.rand(shape[1]).to(dtype))
    results = []
    for threads in (1, 2, 3, 2):
        torch.set_num_threads(threads)
        results.append(bits(case, x, target, **options))
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_value_does_not_depend_on_what_else_is_asked(case, isa):
    """Statistics, the gradient and the place it is written to leave the loss's bits alone."""
    if isa == "none":
        pytest.skip("a promise of the kernels")
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        x, target = cases.make_rows((300, 257), dtype)
        loss, grad = cases.run(case.functional, x, target)
        stats_loss, stats_grad = cases.run(lambda *a: case.functional(*a, return_stats=True)[0], x, target)
        leaf = x.clone().requires_grad_()
        inplace = case.functional(leaf * 1.0, target, inplace=True)
        inplace.backward()
        assert torch.equal(loss, stats_loss)
        assert torch.equal(grad, stats_grad)
        assert torch.equal(loss, inplace.detach())
        assert torch.equal(grad, leaf.grad)
