"""The CUDA kernels on a device: numbers against float64 on every path, and what only a device can show.

The same kernels run without one in test_cuda_emulation.py, and part of this file in test_cuda_operators.py.
"""

import dataclasses
import itertools

import cases
import pytest
import torch
from cases import DTYPES, REDUCTIONS, SOFTMAX
from device import DEVICE, STRIDES, check_retained_graph, check_waits_for_nothing, needs_device, on_device

import fastloss
from fastloss._core import operators as _ops

pytestmark = [pytest.mark.cuda, needs_device]

# One of each path, and the widths around it: (N, C) by classes, then pixels, then odd strides.
SHAPES = {
    "tile": (301, 19),
    "tile of one": (1000, 1),
    "group of 128": (157, 80),
    "group of 128, odd": (157, 81),
    "group of 256": (37, 256),
    "group of 1024": (37, 1000),
    "group of 1024, odd": (37, 1009),
    "group of 4096": (11, 4096),
    "group of 16384": (5, 16384),
    "cluster of 2": (5, 32000),
    "cluster of 8": (5, 128256),
    "cluster of 8, odd": (5, 128257),
    "stream": (3, 300001),
    "pixels": (2, 21, 32, 32),
    "pixels, odd": (2, 21, 31, 33),
    "many planes": (1, 150, 64, 64),
    "one row": (50,),
}


def run(case, x, target, upstream=None, **options):
    """Loss and gradient on the device, brought back."""
    leaf = x.detach().to(DEVICE).requires_grad_()
    loss = case.functional(leaf, target.to(DEVICE), **on_device(options))
    upstream = torch.ones_like(loss) if upstream is None else torch.as_tensor(upstream, dtype=loss.dtype).to(DEVICE)
    (grad,) = torch.autograd.grad(loss, leaf, upstream.expand_as(loss))
    return loss.detach().cpu(), grad.cpu()


def check(case, x, target, on_device=None, upstream=None, **options):
    loss, grad = run(case, x if on_device is None else on_device, target, upstream, **options)
    wanted_loss, wanted_grad = cases.exact_rows(case, x, target, upstream, **options)
    reduction = options.get("reduction", "mean")
    rows = target.numel() if reduction == "sum" and not target.is_floating_point() else 1
    cases.check_loss(loss, wanted_loss, x, scale=2.0 * rows * case.enlarges({}))
    factor = 1.0 if upstream is None else float(torch.as_tensor(upstream).abs().max())
    cases.check_grad(grad, wanted_grad, x, extra=2.0 * factor)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_shapes(case, shape, dtype):
    x, target = cases.make_rows(shape, dtype)
    assert fastloss.explain(case.functional, x.to(DEVICE), target.to(DEVICE)).path == "kernel"
    for reduction in REDUCTIONS:
        check(case, x, target, reduction=reduction)
    if x.dim() == 2 and shape[0] > 1:
        check(case, x, target, ignore_index=int(target[0]))


@pytest.mark.parametrize("change", STRIDES.values(), ids=STRIDES)
@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_strides(case, change):
    for shape, dtype in itertools.product(((40, 21), (9, 1000), (3, 20000)), DTYPES):
        x, target = cases.make_rows(shape, dtype)
        check(case, x, target, on_device=change(x.to(DEVICE)))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_options(case, dtype):
    shapes = ((12, 5), (6, 300), (2, 20000), (2, 5, 3, 4))
    for shape, kind, weighted, extras in itertools.product(shapes, ("index", "probability"), (False, True), range(3)):
        x, target = cases.make_rows(shape, dtype, kind, seed=3)
        rows = cases.rows_of(shape)
        options = {"weight": torch.linspace(0.25, 2, cases.classes_of(shape)).to(dtype)} if weighted else {}
        if extras == 1:
            options |= {"label_smoothing": 0.2, "z_loss": 0.01, "softcap": 5.0}
        elif extras == 2:
            options |= {"mask": torch.arange(len(torch.empty(rows).flatten())).view(rows) % 3 != 1, "normalizer": 7.0}
        check(case, x, target, **options)


@pytest.mark.parametrize("upstream", cases.UPSTREAM)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_upstream(case, dtype, upstream):
    """Also that bfloat16 is rounded once: the slack of one rounding would not hold two."""
    for shape in ((64, 50), (4, 20000)):
        x, target = cases.make_rows(shape, dtype)
        wide = torch.promote_types(dtype, torch.float32)  # which holds the upstream gradients
        for reduction in ("mean", "none"):
            check(case, x, target, upstream=upstream, reduction=reduction, loss_dtype=wide)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 3.3])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_exponents(dtype, gamma):
    """Softmax focal loss with and without a power function, on every path that a width picks."""
    case = dataclasses.replace(cases.of("softmax_focal_loss"), gamma=0.0)
    for shape in ((300, 19), (37, 80), (9, 1009), (3, 4096), (2, 20000), (2, 21, 15, 17)):
        x, target = cases.make_rows(shape, dtype)
        weight = torch.linspace(0.25, 2, cases.classes_of(shape)).to(dtype)
        assert fastloss.explain(case.functional, x.to(DEVICE), target.to(DEVICE), gamma=gamma).path == "kernel"
        for reduction, options in itertools.product(REDUCTIONS, ({"alpha": 0.25}, {"weight": weight})):
            options |= {"reduction": reduction, "gamma": gamma}
            if dtype != torch.float64:
                check(case, x, target, **options)
                continue
            # There the reference, our measure, rounds as often.
            for ours, wanted in zip(
                run(case, x, target, **options), cases.exact_rows(case, x, target, **options), strict=True
            ):
                torch.testing.assert_close(ours, wanted, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_retained_graph(case):
    for dtype in DTYPES:
        x, target = cases.make_rows((64, 1000), dtype)
        leaf = x.detach().clone().to(DEVICE).requires_grad_()
        check_retained_graph(case.functional(leaf, target.to(DEVICE)), leaf)


@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_inplace(case):
    for shape in ((64, 1000), (3, 40000), (2, 21, 8, 8)):
        x, target = cases.make_rows(shape, torch.bfloat16)
        leaf = x.detach().clone().to(DEVICE).requires_grad_()
        logits = leaf.clone()
        case.functional(logits, target.to(DEVICE), inplace=True).backward()
        assert leaf.grad.data_ptr() == logits.data_ptr()
        cases.check_grad(leaf.grad.cpu(), cases.exact_rows(case, x, target)[1], x, extra=1e-3)


@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_stats(case):
    for shape in ((64, 50), (5, 20000)):
        x, target = cases.make_rows(shape, torch.float32)
        stats = case.functional(x.to(DEVICE), target.to(DEVICE), return_stats=True)[1]
        wanted = case.reference(x.double(), target, return_stats=True)[1]
        for name, a, b in zip(stats._fields, stats, wanted, strict=True):
            torch.testing.assert_close(a.cpu().double(), b.double(), rtol=1e-5, atol=1e-6, msg=name)


@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_same_bits(case):
    for shape in SHAPES.values():
        x, target = cases.make_rows(shape, torch.bfloat16)
        first, second = (run(case, x, target) for _ in range(2))
        assert torch.equal(first[0], second[0])
        assert torch.equal(first[1], second[1])


@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_waits_for_nothing(case):
    """No synchronisation, and a graph that replays on new logits."""
    for shape, dtype, options in (
        ((64, 1000), torch.bfloat16, {}),
        ((64, 50), torch.float32, {"label_smoothing": 0.1, "normalizer": 8.0}),
        ((4, 40000), torch.float16, {}),
    ):
        x, target = (t.to(DEVICE) for t in cases.make_rows(shape, dtype))
        other = cases.make_rows(shape, dtype, seed=1)[0].to(DEVICE)
        leaf = x.clone().requires_grad_()

        def step(leaf=leaf, target=target, options=options):
            loss = case.functional(leaf, target, **options)
            return loss, *torch.autograd.grad(loss, leaf)

        check_waits_for_nothing(step, leaf, other)


@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_bad_target(case):
    """NaN and a zero gradient in its row, an error when debugging; the context lives on."""
    for shape, bad in itertools.product(((5, 7), (5, 1000), (5, 20000)), (-1, 1 << 40)):
        x, target = (t.to(DEVICE) for t in cases.make_rows(shape))
        target[2] = bad
        leaf = x.requires_grad_()
        loss = case.functional(leaf, target, reduction="none")
        (grad,) = torch.autograd.grad(loss, leaf, torch.ones_like(loss))
        assert loss.isnan().tolist() == [False, False, True, False, False]
        assert not grad[2].any()
        assert grad[1].isfinite().all()
        assert case.functional(leaf, target).isnan()
        fastloss.debug(True)
        try:
            with pytest.raises(IndexError, match=f"target {bad} at row 2 is out of bounds"):
                case.functional(leaf, target)
        finally:
            fastloss.debug(False)
    torch.cuda.synchronize()


@pytest.mark.skipif(DEVICE == "cpu", reason="one device alone")
@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_operators_refuse_tensors_of_another_device(case):
    """A CPU upstream gradient, state or gradient would be read by the kernel."""
    x, target = (t.to(DEVICE) for t in cases.make_rows((6, 9)))
    ops = _ops.OPERATORS[case.name]
    numbers = [*[0.0] * len(case.functional.record.params), *_ops.ROWS_OPTIONS.values()]
    state = torch.zeros(2, 6, device=DEVICE)

    grad = torch.empty_like(x)

    def backward(upstream, state, grad=grad, unless_one=False):
        ops.backward(upstream, x, target, None, None, None, state, numbers, 1, unless_one, grad, None)

    one = torch.ones((), device=DEVICE)
    backward(one, state)
    for call in (
        lambda: backward(one.cpu(), None), lambda: backward(one, state.cpu()), lambda: _ops.scale_(x, one.cpu()),
        lambda: backward(one.cpu(), None, unless_one=True), lambda: backward(one, None, x.cpu(), unless_one=True),
    ):  # fmt: skip
        with pytest.raises(RuntimeError, match="fastloss: "):
            call()
    with pytest.raises(RuntimeError, match="without gaps"):
        _ops.scale_(x[:, :4], one)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="there is one CUDA device at most")
@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_other_device(case):
    """The tensors' device, not the current one."""
    x, target = cases.make_rows((64, 1000))
    leaf = x.to("cuda:1").requires_grad_()
    case.functional(leaf, target.to("cuda:1")).backward()
    cases.check_grad(leaf.grad.cpu(), cases.exact_rows(case, x, target)[1], x, extra=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_more_than_2_31_elements(case):
    rows, classes = 17000, 128256
    if torch.cuda.mem_get_info()[0] < 12 * rows * classes:
        pytest.skip("not enough memory on the device")
    x = torch.randn(rows, classes, device=DEVICE, dtype=torch.bfloat16)
    target = torch.randint(classes, (rows,), device=DEVICE)
    leaf = x.requires_grad_()
    case.functional(leaf, target, reduction="sum").backward()
    tail = slice(rows - 2, rows)
    wanted = cases.exact_rows(case, x.detach()[tail].cpu(), target[tail].cpu(), reduction="sum")[1]
    cases.check_grad(leaf.grad[tail].cpu(), wanted, x.detach()[tail].cpu(), extra=1e-3)
