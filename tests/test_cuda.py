"""The CUDA kernels on a device: every loss against float64 on every path of its kernels, and what one alone can show.

The same kernels run without one in test_cuda_emulation.py, and part of this file in test_cuda_operators.py.
"""

import dataclasses
import itertools
import math
import os

import cases
import pytest
import torch
from cases import (
    DIVERGENCE,
    DTYPES,
    ELEMENTS,
    HALF,
    LINEAR,
    PRODUCTS,
    REDUCTIONS,
    SIMILARITY,
    SOFTMAX,
    UPSTREAM,
    Elements,
    Similarity,
    gradients,
    wide,
)

import fastloss
from fastloss._core import operators as _ops
from fastloss.engines.similarity import strips
from fastloss.losses import contrastive

# "cpu" where the operators for CUDA stand behind the CPU's dispatch key (emulation/plugin.py).
DEVICE = os.environ.get("FASTLOSS_CUDA_TEST_DEVICE", "cuda")
pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(
        not (DEVICE == "cpu" or (torch.cuda.is_available() and _ops.CUDA)),
        reason=_ops.missing_cuda_reason() or "there is no CUDA device",
    ),
    pytest.mark.filterwarnings("ignore:reduction. 'mean' divides", "ignore:Using a target size"),
]
close = torch.testing.assert_close
KERNELS = (*ELEMENTS, *PRODUCTS, *SOFTMAX, *DIVERGENCE, *LINEAR, *SIMILARITY)
SCALED = (*ELEMENTS, *PRODUCTS)  # whose operators scale the gradient that forward has made

# One size of each path, and the sizes around it.
ROWS = {
    "tile": (301, 19), "tile of one": (1000, 1), "group of 128": (157, 80), "group of 128, odd": (157, 81),
    "group of 256": (37, 256), "group of 1024": (37, 1000), "group of 1024, odd": (37, 1009),
    "group of 4096": (11, 4096), "group of 16384": (5, 16384), "cluster of 2": (5, 32000), "cluster of 8": (5, 128256),
    "cluster of 8, odd": (5, 128257), "stream": (3, 300001), "one row": (50,),
}  # fmt: skip
PLANES = {"pixels": (2, 21, 32, 32), "pixels, odd": (2, 21, 31, 33), "many planes": (1, 150, 64, 64)}
SIZES = {
    # Less than a vector, a few, and several blocks of the plain kernel.
    "elements": {str(size): size for size in ((), (7,), (3, 5, 7), (40, 1000), (70001,))},
    # (rows, width): a row for two threads, eight, a warp, 128, a block, a block twice; then element by element.
    "products": {
        "2": (1001, 16), "8": (301, 128), "32": (37, 512), "128": (11, 2048), "256": (5, 4096), "longer": (3, 20000),
        "2, elements": (1001, 3), "32, elements": (37, 1001), "256, elements": (5, 4099), "one row": (1, 768),
    },
    "softmax": {**ROWS, **PLANES},
    "divergence": ROWS,
    "linear": {"even": (70, 24), "odd": (33, 7)},
    "similarity": {"even": (70, 24), "odd": (33, 7)},
}  # fmt: skip
# What the other tests take: of several blocks, or paths, and small.
FEW = {
    "elements": ((3000,),), "products": ((64, 100),), "softmax": ((64, 50), (4, 20000)), "linear": ((70, 24),),
    "divergence": ((64, 50), (4, 20000)), "similarity": ((70, 24),),
}  # fmt: skip
LYING = {
    "elements": ((33, 70),), "products": ((33, 16), (33, 200), (33, 4104)), "linear": ((33, 24),),
    "softmax": ((40, 21), (9, 1000), (3, 20000)), "divergence": ((40, 21), (9, 1000)), "similarity": ((33, 24),),
}  # fmt: skip
# Ways for a matrix to lie.
STRIDES = {
    "transposed": lambda x: x.mT.contiguous().mT,
    "padded": lambda x: torch.nn.functional.pad(x, (0, 8))[..., : x.shape[-1]],
    "padded by one": lambda x: torch.nn.functional.pad(x, (0, 1))[..., : x.shape[-1]],
    "every second": lambda x: x.repeat_interleave(2, -1)[..., ::2],
    "every second row": lambda x: x.repeat_interleave(2, 0)[::2],
    "shifted": lambda x: torch.cat([x.new_zeros(1), x.flatten()])[1:].view_as(x),
}
# Every path with a loss's first setting, every setting with few of them.
SETTINGS = [
    pytest.param(case, params, size, id=f"{case}-{k}-{name}")
    for case in KERNELS
    for k, params in enumerate(case.settings)
    for name, size in (SIZES[case.engine].items() if k == 0 else zip("ab", FEW[case.engine], strict=False))
]
of = cases.of


@pytest.fixture(autouse=True)
def _halves(monkeypatch):
    """On a device the similarities of float16 vectors are stored as they are, of bfloat16 on the CPU alone; losses of
    half elements take the approximate functions of Note [Numbers] in csrc/device/number.h."""
    monkeypatch.setattr(Similarity, "stored", HALF)
    monkeypatch.setattr(Elements, "approximate", 16.0)


def here(given):
    """Tensors by name, moved to the device, as leaves."""
    return {
        k: v.detach().to(DEVICE).requires_grad_(v.requires_grad) if isinstance(v, torch.Tensor) else v
        for k, v in given.items()
    }


def run(case, arguments, upstream=None, **options):
    """Loss and gradients on the device, brought back."""
    if upstream is not None:
        upstream = torch.as_tensor(upstream, dtype=torch.float64).to(DEVICE)
    return [t.cpu() for t in gradients(case.functional, here(arguments), upstream, **here(options))]


def leaves_of(arguments):
    return [t for t in arguments.values() if isinstance(t, torch.Tensor) and t.requires_grad]


def takes_kernel(case, arguments):
    """But where a hyperparameter makes the loss another one (smooth_l1_loss with beta 0), for heads, and for
    probabilities as targets of losses whose kernel has none."""
    if arguments.get("beta") == 0.0 or case in LINEAR or not getattr(case.record, "probabilities", True):
        return True
    return fastloss.explain(case.functional, **here(arguments)).path == "kernel"


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("case", "params", "size"), SETTINGS)
def test_against_float64(case, params, size, dtype):
    arguments = case.make(size, params, dtype)
    assert takes_kernel(case, arguments)
    for reduction in REDUCTIONS:
        case.judge(arguments, reduction=reduction).check(run(case, arguments, reduction=reduction), reduction)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("change", STRIDES.values(), ids=STRIDES)
@pytest.mark.parametrize("case", KERNELS, ids=str)
def test_strides(case, change, dtype):
    """Every matrix lying differently, then the first one; moved before, for `to` keeps no gaps."""
    for size, reduction in itertools.product(LYING[case.engine], REDUCTIONS):
        arguments = case.make(size, {}, dtype)
        wanted = case.judge(arguments, reduction=reduction)
        matrices = [k for k, t in arguments.items() if isinstance(t, torch.Tensor) and t.dim() > 1]
        for chosen in (matrices, matrices[:1]):
            moved = here(arguments)
            for name in chosen:
                moved[name] = change(moved[name].detach()).requires_grad_(moved[name].requires_grad)
            got = gradients(case.functional, moved, reduction=reduction)
            wanted.check([t.cpu() for t in got], (size, reduction, chosen))


def options_of(case, size):
    """Options of a loss of float64 arguments, with each reduction they go with."""
    if case in (*ELEMENTS, *PRODUCTS):
        yield from case.options(case.values(size))
        return
    extras = case.extras(size)
    for count, reduction in itertools.product(range(len(extras) + 1), REDUCTIONS):
        for names in itertools.combinations(extras, count):
            if reduction == "mean" or "normalizer" not in names:
                yield {**{name: extras[name] for name in names}, "reduction": reduction}
    if case in SOFTMAX and case.smooths:
        for reduction in REDUCTIONS:
            yield {"label_smoothing": 0.2, "z_loss": 0.01, "softcap": 5.0, "reduction": reduction}


@pytest.mark.parametrize("case", KERNELS, ids=str)
def test_options(case):
    """Also where nothing counts."""
    sizes = {"elements": ((6, 5, 40),), "softmax": ((12, 5), (6, 300), (2, 20000), (2, 5, 3, 4))}
    for size in sizes.get(case.engine, ((12, 40),)):
        for params in case.settings[:2]:
            arguments = case.make(size, params, torch.float64)
            for options in options_of(case, size):
                if "mask" in arguments and "mask" in options:
                    continue
                ours = run(case, arguments, **options)
                for a, b in zip(ours, gradients(case.reference, arguments, **options), strict=True):
                    close(a, b, rtol=1e-6 if a.dtype == torch.float32 else 1e-9, atol=1e-11, equal_nan=True)


@pytest.mark.parametrize("case", [case for case in KERNELS if "return_stats" in case.parameters], ids=str)
def test_statistics(case):
    dtypes = (torch.float32,) if case in LINEAR else (torch.float32, torch.bfloat16)  # logits of heads are rounded too
    for size, dtype in itertools.product(FEW[case.engine], dtypes):
        arguments = case.make_smooth(size, {}, dtype)
        options = {"mask": case.extras(size)["mask"], "reduction": "mean", "return_stats": True}
        loss, stats = case.functional(**here(arguments), **here(options))
        _, expected = case.reference(**wide(arguments), **options)
        assert loss.isfinite()
        for name, a, b in zip(stats._fields, stats, expected, strict=True):
            rounded = name == "grad_norm" and dtype in HALF  # the norm is that of the gradient as it is stored
            close(a.cpu().double(), b.double(), rtol=1e-2 if rounded else 1e-5, atol=1e-6, msg=name)


@pytest.mark.parametrize("upstream", UPSTREAM)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", KERNELS, ids=str)
def test_upstream(case, dtype, upstream):
    """Also that bfloat16 is rounded once: the slack of one rounding would not hold two."""
    holds = torch.promote_types(dtype, torch.float32)  # the upstream gradients
    for size, reduction in itertools.product(FEW[case.engine], ("mean", "none")):
        arguments = case.make_smooth(size, {}, dtype)
        got = run(case, arguments, upstream, reduction=reduction, loss_dtype=holds)
        case.judge(arguments, upstream, reduction=reduction).check(got, reduction)


@pytest.mark.parametrize("case", KERNELS, ids=str)
def test_retained_graph(case):
    for size, dtype in itertools.product(FEW[case.engine], DTYPES):
        arguments = here(case.make(size, {}, dtype))
        loss = case.functional(**arguments, reduction="mean")
        first, second = (torch.autograd.grad(loss, leaves_of(arguments), retain_graph=True) for _ in range(2))
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("case", KERNELS, ids=str)
def test_same_bits(case):
    """Run to run."""
    for size, reduction in itertools.product(SIZES[case.engine].values(), REDUCTIONS):
        arguments = case.make(size, {}, torch.bfloat16)
        for a, b in zip(*(run(case, arguments, reduction=reduction) for _ in range(2)), strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize("case", SCALED, ids=str)
def test_rescale(case):
    """What a bfloat16 backward calls: nothing if the upstream gradient is 1, else the gradient, rounded once."""
    arguments = case.make(FEW[case.engine][0], {}, torch.bfloat16)
    tensors = [arguments[name].detach().to(DEVICE) for name in case.record.tensors]
    wants = [arguments[name].requires_grad for name in case.record.tensors]
    numbers = (case.needs.get(name, case.default(name)) for name in case.record.params)
    params = [float(value) for value in case.record.numbers(numbers)]
    rest = (*tensors, None, None, None, None, params, _ops.REDUCTIONS["mean"])
    backward = _ops.OPERATORS[case.record.operator].backward

    def filled():
        return [torch.full_like(t, 7) if want else None for t, want in zip(tensors, wants, strict=True)]

    made, wanted, untouched = filled(), filled(), filled()
    backward(torch.ones((), device=DEVICE), *rest, True, *made)
    same = lambda a, b: a is b is None or torch.equal(a, b)  # noqa: E731
    assert all(map(same, made, untouched))
    upstream = torch.tensor(3.3, device=DEVICE)
    backward(upstream, *rest, True, *made)
    backward(upstream, *rest, False, *wanted)
    assert all(map(same, made, wanted))


def check_waits_for_nothing(step, leaf, other):
    """No synchronisation in ``step``, and a graph of it that replays on the new values ``other`` of ``leaf``."""
    try:
        torch.cuda.set_sync_debug_mode("error")
        step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = step()
    with torch.no_grad():
        leaf.copy_(other)
    graph.replay()
    replayed = [t.clone() for t in captured]
    for a, b in zip(replayed, step(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("dtype", [torch.float32, *HALF], ids=str)
@pytest.mark.parametrize("case", KERNELS, ids=str)
def test_waits_for_nothing(case, dtype):
    for size in FEW[case.engine]:
        arguments = here(case.make(size, {}, dtype))
        for leaf in leaves_of(arguments):
            leaf.requires_grad_(False)
        name = case.tensor_names[0]
        leaf, other = arguments[name].requires_grad_(), case.make(size, {}, dtype, seed=1)[name].detach().to(DEVICE)
        mask = here({k: v for k, v in case.extras(size, dtype).items() if k == "mask"})
        for options in ({}, {"normalizer": 8.0}, mask, {**mask, "reduction": "none"}, {"memory_budget": 1}):
            if not options.keys() <= case.parameters.keys() | {"reduction", "normalizer"}:
                continue

            def step(options=options, arguments=arguments, leaf=leaf):
                loss = case.functional(**arguments, **{"reduction": "mean", **options})
                return loss, *torch.autograd.grad(loss, leaf, torch.ones_like(loss))

            check_waits_for_nothing(step, leaf, other)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="there is one CUDA device at most")
@pytest.mark.parametrize("case", KERNELS, ids=str)
def test_other_device(case):
    """The tensors' device, not the current one."""
    arguments = case.make(FEW[case.engine][0], {}, torch.float32)
    moved = {
        k: v.detach().to("cuda:1").requires_grad_(v.requires_grad) if isinstance(v, torch.Tensor) else v
        for k, v in arguments.items()
    }
    got = gradients(case.functional, moved, reduction="mean")
    case.judge(arguments, reduction="mean").check([t.cpu() for t in got])


# ------------------------------------------------------------------------------------------------- beyond 2^31


def many_logits(rows=17000, classes=128256):
    x = torch.randn(rows, classes, device=DEVICE, dtype=torch.bfloat16).requires_grad_()
    return {"input": x, "target": torch.randint(classes, (rows,), device=DEVICE)}


def many_vectors(rows=2**25 + 3, width=64):
    x, y = (torch.randn(rows, width, device=DEVICE, dtype=torch.bfloat16) for _ in range(2))
    return {"input1": x.requires_grad_(), "input2": y, "target": torch.ones(rows, device=DEVICE, dtype=torch.bfloat16)}


def many_elements(n=2**31 + 12345):
    x, y = (torch.randn(n, device=DEVICE, dtype=torch.bfloat16) for _ in range(2))
    return {"input": x.requires_grad_(), "target": y}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "make"),
    [
        *(pytest.param(case, many_logits, id=str(case)) for case in SOFTMAX),
        pytest.param(of("cosine_embedding_loss"), many_vectors, id="cosine_embedding_loss"),
        pytest.param(of("mse_loss"), many_elements, id="mse_loss"),
    ],
)
def test_more_than_2_31_elements(case, make):
    """The last rows, whose gradient depends on no other row."""
    if torch.cuda.mem_get_info()[0] < 30 << 30:
        pytest.skip("not enough memory on the device")
    arguments = make()
    (grad,) = torch.autograd.grad(case.functional(**arguments, reduction="sum"), leaves_of(arguments))
    last = {k: t.detach()[-50:].cpu().requires_grad_(t.requires_grad) for k, t in arguments.items()}
    wanted = case.judge(last, reduction="sum")
    wanted.tolerances[0] = math.inf
    wanted.check([wanted.results[0], grad[-50:].cpu()])


@pytest.mark.slow
def test_more_than_2_31_similarities():
    n = 2**16 + 8
    if torch.cuda.mem_get_info()[0] < 3 * n * n:
        pytest.skip("not enough memory on the device")
    x, y = (torch.nn.functional.normalize(torch.randn(n, 64, device=DEVICE)).bfloat16() for _ in range(2))
    clip, reference = fastloss.functional.clip_loss, fastloss.reference.clip_loss
    loss = clip(x.requires_grad_(), y, 10.0, memory_budget=3 * n * n)
    loss.backward()
    close(loss, clip(x.detach(), y, 10.0, memory_budget=2**26), rtol=1e-2, atol=0)
    close(loss.double(), reference(x.detach()[:4096], y[:4096], 10.0).double() + 2.77, rtol=0.05, atol=0)
    assert x.grad.isfinite().all()


# ------------------------------------------------------------------------------------------------ rows of logits


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 3.3])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_exponents(dtype, gamma):
    """Softmax focal loss with and without a power function, on every path that a width picks."""
    case = dataclasses.replace(of("softmax_focal_loss"), gamma=0.0)
    for shape in ((300, 19), (37, 80), (9, 1009), (3, 4096), (2, 20000), (2, 21, 15, 17)):
        arguments = case.make(shape, {"gamma": gamma}, dtype)
        weight = torch.linspace(0.25, 2, cases.classes_of(shape)).to(dtype)
        assert takes_kernel(case, arguments)
        for reduction, more in itertools.product(REDUCTIONS, ({"alpha": 0.25}, {"weight": weight})):
            options = {"reduction": reduction, **more}
            got, wanted = run(case, arguments, **options), case.judge(arguments, **options)
            if dtype != torch.float64:
                wanted.check(got, (shape, options))
                continue
            # There the reference, our measure, rounds as often.
            for a, b in zip(got, wanted.results, strict=True):
                close(a, b, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_inplace(case):
    for size in ((64, 1000), (3, 40000), (2, 21, 8, 8)):
        arguments = case.make(size, {}, torch.bfloat16)
        leaf, target = (here(arguments)[name] for name in ("input", "target"))
        logits = leaf.clone()
        case.functional(logits, target, inplace=True).backward()
        assert leaf.grad.data_ptr() == logits.data_ptr()
        cases.check_grad(leaf.grad.cpu(), case.judge(arguments).results[1], arguments["input"], extra=1e-3)


@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_bad_target(case):
    """NaN and a zero gradient in its row, an error when debugging; the context lives on."""
    for size, bad in itertools.product(((5, 7), (5, 1000), (5, 20000)), (-1, 1 << 40)):
        arguments = here(case.make(size))
        leaf, target = arguments["input"], arguments["target"]
        target[2] = bad
        loss = case.functional(leaf, target, reduction="none")
        (grad,) = torch.autograd.grad(loss, leaf, torch.ones_like(loss))
        assert loss.isnan().tolist() == [False, False, True, False, False]
        assert not grad[2].any()
        assert grad[1].isfinite().all()
        assert case.functional(leaf, target).isnan()
        if DEVICE == "cpu":  # of which debugging asks nothing
            continue
        fastloss.debug(True)
        try:
            with pytest.raises(IndexError, match=f"target {bad} at row 2 is out of bounds"):
                case.functional(leaf, target)
        finally:
            fastloss.debug(False)


@pytest.mark.skipif(DEVICE == "cpu", reason="one device alone")
@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_operators_refuse_tensors_of_another_device(case):
    """A CPU upstream gradient, state or gradient would be read by the kernel."""
    x, target = (t.to(DEVICE) for t in cases.make_rows((6, 9)))
    ops = _ops.OPERATORS[case.name]
    numbers = [*[0.0] * len(case.record.params), *_ops.ROWS_OPTIONS.values()]
    state, grad = torch.zeros(2, 6, device=DEVICE), torch.empty_like(x)

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


# ------------------------------------------------------------------------------------------------------ elements

# Arguments outside the domain, and what PyTorch raises for them on the CPU.
OUTSIDE = {
    "binary_cross_entropy": ((1.5, 0.5), RuntimeError, "between 0 and 1"),
    "gaussian_nll_loss": ((0.0, 0.0, -1.0), ValueError, "negative"),
}


@pytest.mark.parametrize("case", [of(name) for name in OUTSIDE], ids=str)
def test_outside_the_domain(case):
    """NaN and a zero gradient in its place, an error when debugging; the context lives on."""
    values, error, text = OUTSIDE[case.name]
    for n, dtype in itertools.product((5, 70001), DTYPES):
        arguments = case.make((n,), {}, dtype)
        for name, value in zip(case.record.tensors, values, strict=True):
            with torch.no_grad():
                arguments[name][2] = value
        loss, grad, *_ = run(case, arguments, reduction="none")
        assert loss.isnan().nonzero().flatten().tolist() == [2]
        assert grad[2] == 0
        assert grad.isfinite().all()
        assert run(case, arguments, reduction="mean")[0].isnan()
        mask = torch.arange(n) != 2
        assert run(case, arguments, reduction="mean", mask=mask)[0].isfinite()
        if DEVICE == "cpu":  # there the check of the CPU's operators would have raised
            continue
        fastloss.debug(True)
        try:
            with pytest.raises(error, match=text):
                run(case, arguments, reduction="mean")
            assert run(case, arguments, reduction="mean", mask=mask)[0].isfinite()
        finally:
            fastloss.debug(False)


# ---------------------------------------------------------------------------------------------------- similarity


@pytest.mark.parametrize("way", ["strips kept", "strips twice"])
@pytest.mark.parametrize("case", SIMILARITY, ids=str)
def test_strips(case, way, route, monkeypatch):
    """More than one strip."""
    monkeypatch.setattr(strips, "_CUDA_STRIP_BYTES", 1)
    more = route(way)
    for params, dtype in itertools.product(case.params, (torch.float32, torch.bfloat16)):
        arguments = case.make((72, 24), params, dtype)
        case.judge(arguments).check(run(case, arguments, **more), (params, dtype))


@pytest.mark.parametrize("mining", ["batch_hard", "semi_hard", "all"])
def test_nan_shows_in_triplets(mining):
    """A vector that is no number makes the loss, and its own gradient, none: maxima and minima do not see it."""
    case = of("mined_triplet_margin_loss")
    arguments = case.make((70, 24), {"mining": mining})
    with torch.no_grad():
        arguments[case.tensor_names[0]][3, 5] = math.nan
    loss, grad = run(case, arguments)
    assert loss.isnan()
    assert grad[3].isnan().all()


@pytest.mark.parametrize("symmetric", [False, True])
def test_labels_out_of_range_none(symmetric, monkeypatch):
    """A row is NaN and has no gradient, the others are as they would be without it."""
    if DEVICE == "cpu":  # where they would be seen
        monkeypatch.setattr(contrastive, "any_outside", lambda labels, count: None)
    case = of("info_nce_loss")
    arguments = case.make((70, 24), {"symmetric": True})
    labels = torch.randint(0, 70, (70,))
    labels[:3] = torch.tensor([70, -1, 2**40])
    bad = {**arguments, "symmetric": symmetric, "labels": labels}
    good = {**arguments, "symmetric": symmetric, "positives": labels.unsqueeze(1) == torch.arange(70)}
    for reduction in ("none", "mean"):
        wanted, got = case.judge(good, reduction=reduction), run(case, bad, reduction=reduction)
        assert (got[0] if reduction == "mean" else got[0][:3]).isnan().all()
        known = slice(3, None) if reduction == "none" else slice(0, 0)
        cut = [t if k else t.reshape(-1)[known] for k, t in enumerate(got)]
        cases.Judge([t if k else t.reshape(-1)[known] for k, t in enumerate(wanted.results)], wanted.tolerances).check(
            cut, reduction
        )


@pytest.mark.parametrize("name", ["siglip_loss", "supcon_loss"])
def test_float16_small_gradients(name):
    """The mean's divisor is none of float16's business: derivatives over it would be subnormal, or zero."""
    case = of(name)
    arguments = case.make((130, 16), {}, torch.float16)
    options = {"normalizer": 2.0**28}
    got = run(case, arguments, 2.0**20, loss_dtype=torch.float32, **options)
    case.judge(arguments, 2.0**20, **options).check(got)
