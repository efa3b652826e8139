"""The pointwise CUDA kernels on a device: numbers against float64, and what only a device can show.

The same kernels run without one in test_cuda_emulation.py; this file and part of what is for all losses in
test_cuda_operators.py.
"""

import itertools

import cases
import pytest
import torch
from cases import (
    DTYPES,
    ELEMENTS,
    HALF,
    REDUCTIONS,
    UPSTREAM,
    settings,
)
from device import (
    DEVICE,
    STRIDES,
    check_losses_wait_for_nothing,
    check_retained_graph,
    leaves_on_device,
    needs_device,
    run,
)

import fastloss
from fastloss._core import operators as _ops

pytestmark = [
    pytest.mark.cuda,
    needs_device,
    pytest.mark.filterwarnings("ignore:reduction. 'mean' divides", "ignore:Using a target size"),
]
close = torch.testing.assert_close


SETTINGS = settings(ELEMENTS)
# Less than a vector, a few, and several blocks of the plain kernel.
SHAPES = ((), (7,), (3, 5, 7), (40, 1000), (70001,))


def make(case, shape, dtype, seed=0):
    """Tensors in whose neighbourhood half precision resolves a probability."""
    return tuple(case.make(shape, {}, dtype, seed).values())


def check(case, tensors, params, upstream=None, **options):
    got = run(case, tensors, upstream, **params, **options)
    case.judge(case.named(tensors, **params), upstream, **options).check(got, options)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("case", "params"), SETTINGS)
def test_against_reference(case, params, dtype):
    for shape, reduction in itertools.product(SHAPES, REDUCTIONS):
        tensors = make(case, shape, dtype)
        here = tuple(t.detach().to(DEVICE) for t in tensors)
        if params.get("beta") != 0.0:
            assert fastloss.explain(case.functional, *here, **params).path == "kernel"
        check(case, tensors, params, reduction=reduction)


@pytest.mark.parametrize("change", STRIDES.values(), ids=STRIDES)
@pytest.mark.parametrize("case", [case for case in ELEMENTS if case.record.components == 1], ids=str)
def test_strides(case, change):
    """Every tensor lying differently, then the first alone."""
    for dtype, reduction in itertools.product(DTYPES, REDUCTIONS):
        tensors = make(case, (33, 70), dtype)
        wanted = run(case, tensors, reduction=reduction)
        for moved in (tuple(map(change, tensors)), (change(tensors[0]), *tensors[1:])):
            here = tuple(m.detach().requires_grad_(t.requires_grad) for m, t in zip(moved, tensors, strict=True))
            got = run(case, here, reduction=reduction)
            close(got[0], wanted[0], rtol=64 * cases.UNIT[dtype], atol=1e-6)  # another order of the sum
            for a, b in zip(got[1:], wanted[1:], strict=True):
                assert torch.equal(a, b)


@pytest.mark.parametrize("case", ELEMENTS, ids=str)
def test_options(case):
    tensors = case.tensors((6, 5, 40), torch.float64)
    for options in case.options((6, 5, 40)):
        ours = run(case, tensors, **options)
        wanted = cases.gradients(case.reference, tensors, **options)
        for a, b in zip(ours, wanted, strict=True):
            close(a, b, rtol=1e-6 if a.dtype == torch.float32 else 1e-11, atol=1e-13, equal_nan=True)


@pytest.mark.parametrize("case", ELEMENTS, ids=str)
def test_statistics(case):
    for dtype in (torch.float32, torch.bfloat16):
        tensors = make(case, (3000,), dtype)
        here = tuple(t.detach().to(DEVICE) for t in tensors)
        mask = torch.rand(3000, device=DEVICE) < 0.5
        loss, stats = case.functional(*here, reduction="mean", mask=mask, return_stats=True)
        (wanted,) = torch.autograd.grad(
            case.reference(*(t.double() for t in tensors), reduction="mean", mask=mask.cpu()), tensors[0]
        )
        close(stats.grad_norm.cpu().double(), wanted.double().norm(), rtol=1e-2 if dtype in HALF else 1e-5, atol=0)
        assert loss.isfinite()
        assert bool(stats.finite)
        assert stats.count == mask.sum()


@pytest.mark.parametrize("upstream", UPSTREAM)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", ELEMENTS, ids=str)
def test_upstream(case, dtype, upstream):
    """Also that bfloat16 is rounded once: the slack of one rounding would not hold two."""
    tensors = make(case, (30, 500), dtype)
    wide = torch.promote_types(dtype, torch.float32)  # which holds the upstream gradients
    for reduction in ("mean", "none"):
        check(case, tensors, {}, upstream, reduction=reduction, loss_dtype=wide)


@pytest.mark.parametrize("case", ELEMENTS, ids=str)
def test_retained_graph(case):
    for dtype in DTYPES:
        leaves = leaves_on_device(make(case, (64, 100), dtype))
        check_retained_graph(case.functional(*leaves, reduction="mean"), [t for t in leaves if t.requires_grad])


@pytest.mark.parametrize("case", ELEMENTS, ids=str)
def test_rescale(case):
    """What a bfloat16 backward calls: nothing if the upstream gradient is 1, else the gradient, rounded once."""
    tensors = [t.detach().to(DEVICE) for t in make(case, (3000,), torch.bfloat16)]
    backward = getattr(torch.ops.fastloss, f"{case.name}_backward")
    params = [float(value) for value in case.record.numbers(map(case.default, case.record.params))]
    arguments = (*tensors, None, None, None, None, params, _ops.REDUCTIONS["mean"])
    grad, wanted = torch.full_like(tensors[0], 7), torch.empty_like(tensors[0])
    others = (None,) * (len(tensors) - 1)
    backward(torch.ones((), device=DEVICE), *arguments, True, grad, *others)
    assert torch.equal(grad, torch.full_like(grad, 7))
    upstream = torch.tensor(3.3, device=DEVICE)
    backward(upstream, *arguments, True, grad, *others)
    backward(upstream, *arguments, False, wanted, *others)
    assert torch.equal(grad, wanted)


# Arguments outside the domain, and what PyTorch raises for them on the CPU.
OUTSIDE = {
    "binary_cross_entropy": ((1.5, 0.5), RuntimeError, "between 0 and 1"),
    "gaussian_nll_loss": ((0.0, 0.0, -1.0), ValueError, "negative"),
}


@pytest.mark.parametrize("case", [c for c in ELEMENTS if c.name in OUTSIDE], ids=str)
def test_outside_the_domain(case):
    """NaN and a zero gradient in its place, an error when debugging; the context lives on."""
    values, error, text = OUTSIDE[case.name]
    for n, dtype in itertools.product((5, 70001), DTYPES):
        tensors = make(case, (n,), dtype)
        for t, value in zip(tensors, values, strict=True):
            with torch.no_grad():
                t[2] = value
        loss, grad, *_ = run(case, tensors, reduction="none")
        assert loss.isnan().nonzero().flatten().tolist() == [2]
        assert grad[2] == 0
        assert grad.isfinite().all()
        assert run(case, tensors, reduction="mean")[0].isnan()
        mask = torch.arange(n) != 2
        assert run(case, tensors, reduction="mean", mask=mask)[0].isfinite()
        if DEVICE == "cpu":  # there the check of the CPU's operators would have raised
            continue
        fastloss.debug(True)
        try:
            with pytest.raises(error, match=text):
                run(case, tensors, reduction="mean")
            assert run(case, tensors, reduction="mean", mask=mask)[0].isfinite()
        finally:
            fastloss.debug(False)


@pytest.mark.parametrize("case", ELEMENTS, ids=str)
def test_same_bits(case):
    for shape, reduction in itertools.product(((70001,), (300, 1001)), REDUCTIONS):
        tensors = make(case, shape, torch.bfloat16)
        for a, b in zip(run(case, tensors, reduction=reduction), run(case, tensors, reduction=reduction), strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize("case", ELEMENTS, ids=str)
def test_waits_for_nothing(case):
    check_losses_wait_for_nothing(case, 3000, lambda dtype, seed: make(case, (3000,), dtype, seed))


@pytest.mark.slow
def test_more_than_2_31_elements():
    n = 2**31 + 12345
    if torch.cuda.mem_get_info()[0] < 8 * n:
        pytest.skip("not enough memory on the device")
    x = torch.randn(n, device=DEVICE, dtype=torch.bfloat16).requires_grad_()
    y = torch.randn(n, device=DEVICE, dtype=torch.bfloat16)
    fastloss.functional.mse_loss(x, y, reduction="sum").backward()
    tail = slice(n - 5000, n)
    wanted = 2 * (x.detach()[tail].double() - y[tail].double())
    close(x.grad[tail].double(), wanted, rtol=2**-8, atol=0)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="there is one CUDA device at most")
def test_other_device():
    """The tensors' device, not the current one."""
    x, y = (torch.randn(3000, device="cuda:1") for _ in range(2))
    fastloss.functional.mse_loss(x.requires_grad_(), y).backward()
    close(x.grad, 2 * (x.detach() - y) / 3000)
