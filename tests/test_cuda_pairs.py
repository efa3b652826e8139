"""The pairs CUDA kernels on a device: numbers against float64 on every path, and what only a device can show.

The same kernels run without one in test_cuda_emulation.py; this file and part of what is for all losses in
test_cuda_operators.py.
"""

import inspect
import itertools

import cases
import pytest
import torch
from cases import DTYPES, PRODUCTS, REDUCTIONS, UPSTREAM, settings
from device import DEVICE, check_losses_wait_for_nothing, check_retained_graph, leaves_on_device, needs_device, run

import fastloss
from fastloss._core import operators as _ops

pytestmark = [pytest.mark.cuda, needs_device]
close = torch.testing.assert_close
SETTINGS = settings(PRODUCTS)
# (rows, width): a row for two threads, eight, a warp, 128, a block, a block twice; then the same element by element.
SHAPES = {
    "2": (1001, 16),
    "8": (301, 128),
    "32": (37, 512),
    "128": (11, 2048),
    "256": (5, 4096),
    "longer": (3, 20000),
    "2, elements": (1001, 3),
    "32, elements": (37, 1001),
    "256, elements": (5, 4099),
    "one row": (1, 768),
}
STRIDES = {
    "padded": lambda x: torch.nn.functional.pad(x, (0, 8))[:, : x.shape[1]],
    "padded by one": lambda x: torch.nn.functional.pad(x, (0, 1))[:, : x.shape[1]],
    "shifted": lambda x: torch.cat([x.new_zeros(1), x.flatten()])[1:].view_as(x),
    "transposed": lambda x: x.mT.contiguous().mT,
    "every second row": lambda x: x.repeat_interleave(2, 0)[::2],
}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize(("case", "params"), SETTINGS)
def test_against_reference(case, params, shape, dtype):
    rows, width = shape
    tensors = case.tensors((rows, width), dtype)
    here = tuple(t.detach().to(DEVICE) for t in tensors)
    assert fastloss.explain(case.functional, *here, **params).path == "kernel"
    for reduction in REDUCTIONS:
        ours = run(case, tensors, reduction=reduction, **params)
        case.judge(case.named(tensors, **params), reduction=reduction).check(ours, reduction)


@pytest.mark.parametrize("change", STRIDES.values(), ids=STRIDES)
@pytest.mark.parametrize("case", PRODUCTS, ids=str)
def test_strides(case, change):
    """Every vector lying differently, then the first alone; other kernels add in another order."""
    for dtype, width, reduction in itertools.product(DTYPES, (16, 200, 4104), REDUCTIONS):
        tensors = case.tensors((33, width), dtype)
        wanted = case.judge(case.named(tensors), reduction=reduction)
        vectors = [k for k, t in enumerate(tensors) if t.requires_grad]
        for chosen in (vectors, vectors[:1]):
            here = tuple(
                (change(t) if k in chosen else t).detach().requires_grad_(t.requires_grad)
                for k, t in enumerate(tensors)
            )
            wanted.check(run(case, here, reduction=reduction), (dtype, width, reduction))


@pytest.mark.parametrize("case", PRODUCTS, ids=str)
def test_options(case):
    tensors = case.tensors((120, 40), torch.float64)
    for options in case.options((120,)):
        ours = run(case, tensors, **options)
        wanted = cases.gradients(case.reference, tensors, **options)
        for a, b in zip(ours, wanted, strict=True):
            close(a, b, rtol=1e-6 if a.dtype == torch.float32 else 1e-10, atol=1e-13, equal_nan=True)


@pytest.mark.parametrize("case", PRODUCTS, ids=str)
def test_statistics(case):
    for dtype, width in itertools.product((torch.float32, torch.bfloat16), (24, 25, 3000)):
        tensors = case.tensors((70, width), dtype)
        mask = torch.rand(70) < 0.5
        here = tuple(t.detach().to(DEVICE) for t in tensors)
        loss, stats = case.functional(*here, reduction="mean", mask=mask.to(DEVICE), return_stats=True)
        wide = tuple(t.detach().double() for t in tensors)
        expected_loss, expected = case.reference(*wide, reduction="mean", mask=mask, return_stats=True)
        close(stats.grad_norm.cpu().double(), expected.grad_norm.double(), rtol=1e-5, atol=0)
        close(loss.cpu().double(), expected_loss, rtol=2 * cases.UNIT[dtype], atol=1e-5)
        assert bool(stats.finite)
        assert stats.count == mask.sum()


@pytest.mark.parametrize("upstream", UPSTREAM)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", PRODUCTS, ids=str)
def test_upstream(case, dtype, upstream):
    """Also that bfloat16 is rounded once: the slack of one rounding would not hold two."""
    tensors = case.tensors((50, 72), dtype)
    wide = torch.promote_types(dtype, torch.float32)  # which holds the upstream gradients
    for reduction in ("mean", "none"):
        ours = run(case, tensors, upstream, reduction=reduction, loss_dtype=wide)
        case.judge(case.named(tensors), upstream, reduction=reduction).check(ours, reduction)


@pytest.mark.parametrize("case", PRODUCTS, ids=str)
def test_retained_graph(case):
    for dtype in DTYPES:
        leaves = leaves_on_device(case.tensors((64, 100), dtype))
        check_retained_graph(case.functional(*leaves, reduction="mean"), [t for t in leaves if t.requires_grad])


@pytest.mark.parametrize("case", PRODUCTS, ids=str)
def test_rescale(case):
    """What a bfloat16 backward calls: nothing if the upstream gradient is 1, else the gradient, rounded once."""
    tensors = [t.detach().to(DEVICE) for t in case.tensors((300, 40), torch.bfloat16)]
    others = (None,) * (len(tensors) - 2)
    backward = getattr(torch.ops.fastloss, f"{case.name}_backward")
    names = dict(_ops.extension().pairs_losses())[case.name].split(",")
    defaults = inspect.signature(case.functional).parameters
    values = [defaults[name].default for name in filter(None, names)]
    params = [0.0 if isinstance(value, str) else float(value) for value in values]  # of words the first
    arguments = (*tensors, None, None, None, None, params, _ops.REDUCTIONS["mean"])
    grads, wanted = ([torch.full_like(tensors[0], 7) for _ in range(2)] for _ in range(2))
    backward(torch.ones((), device=DEVICE), *arguments, True, *grads, *others)
    assert all(torch.equal(grad, torch.full_like(grad, 7)) for grad in grads)
    upstream = torch.tensor(3.3, device=DEVICE)
    backward(upstream, *arguments, True, *grads, *others)
    backward(upstream, *arguments, False, *wanted, *others)
    for grad, w in zip(grads, wanted, strict=True):
        assert torch.equal(grad, w)


@pytest.mark.parametrize("case", PRODUCTS, ids=str)
def test_same_bits(case):
    for (rows, width), reduction in itertools.product(((5001, 16), (300, 1001), (40, 8192)), REDUCTIONS):
        tensors = case.tensors((rows, width), torch.bfloat16)
        for a, b in zip(run(case, tensors, reduction=reduction), run(case, tensors, reduction=reduction), strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize("case", PRODUCTS, ids=str)
def test_waits_for_nothing(case):
    check_losses_wait_for_nothing(case, 300, lambda dtype, seed: case.tensors((300, 72), dtype, seed=seed))


@pytest.mark.slow
def test_more_than_2_31_elements():
    rows, width = 2**25 + 3, 64
    if torch.cuda.mem_get_info()[0] < 10 * rows * width:
        pytest.skip("not enough memory on the device")
    x = torch.randn(rows, width, device=DEVICE, dtype=torch.bfloat16).requires_grad_()
    y = torch.randn(rows, width, device=DEVICE, dtype=torch.bfloat16)
    label = torch.ones(rows, device=DEVICE, dtype=torch.bfloat16)
    fastloss.functional.cosine_embedding_loss(x, y, label, reduction="sum").backward()
    tail = slice(rows - 50, rows)
    a, b = (t.detach()[tail].double() for t in (x, y))
    root = a.norm(dim=1, keepdim=True) * b.norm(dim=1, keepdim=True)
    cosine = (a * b).sum(1, keepdim=True) / root
    wanted = cosine * a / a.square().sum(1, keepdim=True) - b / root
    close(x.grad[tail].double(), wanted, rtol=2**-8, atol=1e-6)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="there is one CUDA device at most")
def test_other_device():
    """The tensors' device, not the current one."""
    x, y, z = (torch.randn(30, 64, device="cuda:1") for _ in range(3))
    fastloss.functional.triplet_margin_loss(x.requires_grad_(), y, z).backward()
    wide = x.detach().double().requires_grad_()
    torch.nn.functional.triplet_margin_loss(wide, y.double(), z.double()).backward()
    close(x.grad.double(), wide.grad, rtol=1e-5, atol=1e-7)
