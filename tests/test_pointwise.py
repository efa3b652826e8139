"""The pointwise family: value, gradient, options, layouts, determinism and PyTorch's machinery."""

import inspect
import itertools
import math
import os
import subprocess
import warnings
from pathlib import Path

import cases
import pytest
import torch
from cases import (
    DTYPES,
    HALF,
    POINTWISE,
    REDUCTIONS,
    UNIT,
    UPSTREAM,
    check_points,
    exact_points,
    gradients,
    info_of,
    make_points,
    outcome,
    same_outcome,
    settings,
)
from torch.autograd import forward_ad

import fastloss
import fastloss.engines.elements as module
from fastloss import _ops

pytestmark = pytest.mark.filterwarnings(
    "ignore:reduction. 'mean' divides", "ignore:Using a target size", "ignore:There is a performance drop"
)
close = torch.testing.assert_close
NATIVE = [case for case in POINTWISE if case.native is not None]
SETTINGS = settings(POINTWISE)
OPERATORS_OF = [name for name, _ in _ops.extension().pointwise_losses()] if _ops.AVAILABLE else []
SHAPES = ((), (1,), (7,), (515,), (3, 5, 7), (40, 1000))


@pytest.fixture(autouse=True)
def _kernel(monkeypatch):
    monkeypatch.setattr(module, "NATIVE_WHEN_TINY", False)


@pytest.fixture(params=["kernel", "as used"])
def small(request, monkeypatch):
    """Small inputs through our kernels, and where they go in use: to PyTorch's own operator."""
    if request.param == "as used":
        monkeypatch.undo()


def test_every_loss_has_a_case():
    assert {c.name for c in POINTWISE} == {n.removesuffix("_pos_weight") for n in OPERATORS_OF}


@pytest.mark.skipif(os.name == "nt", reason="needs a C++ compiler on the path")
def test_derivatives_by_dual_numbers(tmp_path):
    """Each functor's derivative is its value's derivative, checked mechanically."""
    root = Path(__file__).resolve().parent
    program = tmp_path / "dual"
    compiler = os.environ.get("CXX", "g++").split()
    command = [*compiler, "-std=c++17", "-O1", f"-I{root.parent / 'csrc'}", root / "dual_driver.cpp", "-o", program]
    subprocess.run(command, check=True)
    lines = subprocess.run([program], check=True, capture_output=True, text=True).stdout.splitlines()
    assert [line for line in lines if not line.startswith("ok ")] == []
    assert {line[3:] for line in lines} == set(OPERATORS_OF)


@pytest.mark.parametrize("case", POINTWISE, ids=str)
def test_points(case, isa):
    for dtype, (arguments, params, loss) in itertools.product((torch.float64, torch.float32), case.points):
        tensors = [torch.tensor([v], dtype=dtype) for v in arguments]
        close(
            case.functional(*tensors, reduction="mean", **params), torch.tensor(loss, dtype=dtype),
            rtol=16 * UNIT[dtype], atol=4 * UNIT[dtype],
        )  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("case", "params"), SETTINGS)
def test_against_reference(case, params, dtype, isa):
    for shape, reduction in itertools.product(SHAPES, REDUCTIONS):
        tensors = make_points(case, shape, dtype)
        if case.name == "binary_cross_entropy" and dtype in HALF:
            tensors = (tensors[0].detach().clamp(0.1, 0.9).requires_grad_(), tensors[1])
        options = dict(params, reduction=reduction)
        ours = gradients(case.functional, tensors, **options)
        wanted = exact_points(case, tensors, **options)
        scales = cases.point_scales(case, tensors, **params)
        n = tensors[0].numel()
        divisor = n if reduction == "mean" else 1
        loss_scale = scales[0] if reduction == "none" else scales[0].sum() / divisor
        check_points(ours[0], wanted[0], loss_scale)
        for actual, exact, scale in zip(ours[1:], wanted[1:], scales[1:], strict=True):
            check_points(actual, exact, scale / divisor)
        if case.native is not None:
            native = gradients(case.native, tensors, **options)
            for a, b in zip(ours, native, strict=True):
                assert (a.dtype, a.shape) == (b.dtype, b.shape)


@pytest.mark.parametrize("dtype", [torch.float32, *HALF], ids=str)
@pytest.mark.parametrize(("case", "params"), settings(NATIVE))
def test_errors_not_above_native(case, params, dtype, isa):
    """Over 20000 elements luck averages out (as in test_value.py); where both are exact, one rounding in a thousand.

    The largest error, in units of what an element's arguments are uncertain by, is that of one element: half a unit is
    its luck, one without fused multiply-adds. (In units of the element itself the one nearest to zero would decide.)
    """
    tensors = make_points(case, (200, 100), dtype)
    if case.name == "binary_cross_entropy":
        tensors = (tensors[0].detach().clamp(0.02, 0.98).requires_grad_(), tensors[1])
    options = dict(params, reduction="none")
    ours = gradients(case.functional, tensors, **options)
    native = gradients(case.native, tensors, **options)
    wanted = exact_points(case, tensors, **options)
    scales = cases.point_scales(case, tensors, **params)
    for a, b, w, scale in zip(ours, native, wanted, scales, strict=True):
        error, native_error = (a.double() - w).abs(), (b.double() - w).abs()
        assert error.mean() <= 1.05 * native_error.mean() + 1e-3 * UNIT[dtype] * w.abs().mean()
        unit = UNIT[dtype] * (scale + torch.zeros_like(w))
        assert error[unit == 0].count_nonzero() == 0
        largest, native_largest = ((e / unit)[unit > 0].max() for e in (error, native_error))
        assert largest <= native_largest + (1 if isa == "baseline" else 0.5)


@pytest.mark.parametrize("case", POINTWISE, ids=str)
def test_partial_vectors(case, isa):
    """Whatever the length, every element gets the bits it has in a longer tensor."""
    for dtype in DTYPES:
        longest = 1100
        tensors = make_points(case, (longest,), dtype)
        whole = gradients(case.functional, tensors, reduction="none")
        total = gradients(case.functional, tensors, reduction="sum", loss_dtype=torch.float64)
        for a, b in zip(whole[1:], total[1:], strict=True):
            assert torch.equal(a, b)
        for n in [*range(1, 70), *range(505, 520), 1023, 1025]:
            part = tuple(t.detach()[:n].requires_grad_(t.requires_grad) for t in tensors)
            for a, b in zip(gradients(case.functional, part, reduction="none"), whole, strict=True):
                assert torch.equal(a, b[:n])
            for a, b in zip(gradients(case.functional, part, reduction="sum")[1:], total[1:], strict=True):
                assert torch.equal(a, b[:n])


LAYOUTS = {
    "transposed": lambda t: t.mT.contiguous().mT,
    "strided": lambda t: t.repeat_interleave(2, -1)[..., ::2],
    "cropped": lambda t: torch.nn.functional.pad(t, (1, 2, 1, 0))[..., 1:, 1:-2],
    "channels last": lambda t: t.contiguous(memory_format=torch.channels_last),
    "offset": lambda t: torch.cat([t.new_zeros(1), t.reshape(-1)])[1:].view(t.shape),
}


@pytest.mark.parametrize("how", [*LAYOUTS, "first only", "others only"])
@pytest.mark.parametrize("case", POINTWISE, ids=str)
def test_layouts(case, how, isa):
    for dtype in (torch.float32, torch.bfloat16):
        tensors = make_points(case, (3, 5, 9, 35), dtype)
        lay = LAYOUTS.get(how, LAYOUTS["transposed"])
        moved = tuple(
            lay(t.detach()).requires_grad_(t.requires_grad)
            if how in LAYOUTS or (k == 0) == (how == "first only") else t
            for k, t in enumerate(tensors)
        )  # fmt: skip
        for reduction in REDUCTIONS:
            wanted = gradients(case.functional, tensors, reduction=reduction)
            got = gradients(case.functional, moved, reduction=reduction)
            close(got[0], wanted[0], rtol=64 * UNIT[dtype], atol=1e-6)  # another order of the sum
            for a, b in zip(got[1:], wanted[1:], strict=True):
                assert torch.equal(a, b)


@pytest.mark.parametrize("case", POINTWISE, ids=str)
def test_broadcast(case, isa):
    """Expanded arguments are read where they lie and get summed gradients."""
    if case.native is not None and case.name.startswith("binary"):
        pytest.skip("PyTorch rejects different sizes")
    for small in ((1, 9), (4, 1), (1, 1)):
        tensors = make_points(case, (4, 9), torch.float64)
        row = make_points(case, small, torch.float64, seed=1)[1]
        mixed = (tensors[0], row, *tensors[2:])
        for reduction in REDUCTIONS:
            for a, b in zip(
                gradients(case.functional, mixed, reduction=reduction),
                gradients(case.reference, mixed, reduction=reduction),
                strict=True,
            ):
                close(a, b, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("shapes", [((1, 6), (6,)), ((6, 1), (6,)), ((2, 3), (3, 2))], ids=str)
@pytest.mark.parametrize("case", POINTWISE, ids=str)
def test_as_many_elements_in_another_shape(case, shapes):
    """What the quick way lets through to the operator, which refuses it."""
    first, second, *more = make_points(case, (6,), torch.float64)
    tensors = (first.reshape(shapes[0]), second.reshape(shapes[1]), *(t.reshape(shapes[0]) for t in more))

    def outcome(function):
        try:
            return gradients(function, tuple(t.detach().requires_grad_(t.requires_grad) for t in tensors))
        except (RuntimeError, ValueError) as error:
            return type(error)

    wanted, ours = outcome(case.reference), outcome(case.functional)
    if not isinstance(wanted, type):
        for a, b in zip(ours, wanted, strict=True):
            close(a, b, rtol=1e-12, atol=1e-13)
    elif case.name != "soft_margin_loss":  # broadcast, its backward in PyTorch fails
        assert ours is wanted


@pytest.mark.parametrize("case", POINTWISE, ids=str)
def test_lazily_negated_view(case):
    tensors = make_points(case, (40,), torch.float64)
    negated = torch.complex(torch.zeros_like(tensors[0]), -tensors[0].detach()).conj().imag
    assert negated.is_neg()
    with torch.no_grad():
        close(case.functional(negated, *tensors[1:]), case.functional(*tensors), rtol=0, atol=0)


@pytest.mark.parametrize("case", NATIVE, ids=str)
def test_kinks(case, isa):
    for dtype, point in itertools.product((torch.float64, torch.float32), case.kinks):
        tensors = tuple(torch.tensor([v], dtype=dtype, requires_grad=k not in case.fixed) for k, v in enumerate(point))
        for a, b in zip(
            gradients(case.functional, tensors, reduction="sum"),
            gradients(case.native, tensors, reduction="sum"),
            strict=True,
        ):
            close(a, b, rtol=8 * UNIT[dtype], atol=UNIT[dtype], equal_nan=True)


@pytest.mark.parametrize("case", NATIVE, ids=str)
def test_nan_and_infinity(case, isa):
    """NaN and infinities come out where PyTorch's do, in the value and the gradient to the first argument."""
    odd = [math.nan, math.inf, -math.inf, 0.0, 1.0, -1.0, 2.0]
    second = [v for v in odd if v not in (math.inf, -math.inf)] if case.name.startswith("kl") else odd
    grids = [odd, second, [0.0, 1.0, math.nan, math.inf]][: case.arity]
    combos = torch.tensor(list(itertools.product(*grids)), dtype=torch.float32).T
    if case.name == "binary_cross_entropy":
        combos = combos[:, ((combos >= 0) & (combos <= 1)).all(0)]
    tensors = tuple(t.clone().requires_grad_(k == 0) for k, t in enumerate(combos))
    plain = ~case.better(*(t.detach() for t in tensors))
    ours = gradients(case.functional, tensors, reduction="none")
    native = gradients(case.native, tensors, reduction="none")
    for a, b in zip(ours, native, strict=True):
        a, b = a[plain], b[plain]
        wrong = ~((a == b) | (a.isnan() & b.isnan()) | ((a - b).abs() <= 1e-5 * b.abs()))
        assert not wrong.any(), [(tuple(t[plain][wrong].tolist() for t in tensors)), a[wrong], b[wrong]]


@pytest.mark.parametrize("case", POINTWISE, ids=str)
def test_options(case, isa):
    tensors = make_points(case, (6, 5, 4), torch.float64)
    for options in cases.point_options((6, 5, 4)):
        assert fastloss.explain(case.functional, *tensors, **options).path == "kernel"
        ours = gradients(case.functional, tensors, **options)
        wanted = gradients(case.reference, tensors, **options)
        for a, b in zip(ours, wanted, strict=True):
            close(a, b, rtol=1e-6 if a.dtype == torch.float32 else 1e-11, atol=1e-13, equal_nan=True)


@pytest.mark.parametrize("case", POINTWISE, ids=str)
def test_masked_elements_are_not_there(case, isa):
    for dtype in DTYPES:
        tensors = make_points(case, (50,), dtype)
        mask = torch.rand(50) < 0.5
        broken = tuple(torch.where(mask, t.detach(), math.nan).requires_grad_(t.requires_grad) for t in tensors)
        for reduction in REDUCTIONS:
            got = gradients(case.functional, broken, reduction=reduction, mask=mask)
            kept = tuple(t.detach()[mask].requires_grad_(t.requires_grad) for t in tensors)
            wanted = gradients(case.functional, kept, reduction=reduction)
            for k, (a, b) in enumerate(zip(got, wanted, strict=True)):
                if k == 0 and reduction != "none":
                    close(a, b, rtol=32 * UNIT[dtype], atol=0)
                else:
                    assert torch.equal(a[mask], b)
                    assert a[~mask].count_nonzero() == 0
        none = torch.zeros(50, dtype=torch.bool)
        loss, *grads = gradients(case.functional, broken, reduction="mean", mask=none)
        assert loss.isnan()
        assert all(g.count_nonzero() == 0 for g in grads)
        assert case.functional(*broken, reduction="mean", mask=none, empty="zero") == 0


@pytest.mark.parametrize("case", POINTWISE, ids=str)
def test_statistics(case, isa):
    tensors = make_points(case, (300, 7), torch.float64)
    mask = torch.rand(300, 7) < 0.8
    weight = torch.rand(300, 7, dtype=torch.float64)
    for options in ({}, dict(mask=mask), dict(weight=weight, reduction="sum"), dict(reduce_dims=1, mask=mask)):
        options.setdefault("reduction", "mean")
        loss, stats = case.functional(*tensors, return_stats=True, **options)
        _, wanted = case.reference(*(t.detach() for t in tensors), return_stats=True, **options)
        close(loss, case.functional(*tensors, **options))
        for a, b in zip(stats, wanted, strict=True):
            close(a, b, rtol=1e-12, atol=0)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", POINTWISE, ids=str)
def test_upstream_and_retained_graph(case, dtype, isa):
    tensors = make_points(case, (40,), dtype)
    if case.name == "binary_cross_entropy":
        tensors = (tensors[0].detach().clamp(0.1, 0.9).requires_grad_(), tensors[1])
    scales = cases.point_scales(case, tensors)
    for reduction in REDUCTIONS:
        loss_dtype = torch.float32 if dtype in HALF else None
        loss = case.functional(*tensors, reduction=reduction, loss_dtype=loss_dtype).sum()
        leaves = [t for t in tensors if t.requires_grad]
        n = 40 if reduction == "mean" else 1
        for upstream in (*UPSTREAM, 1.0, 1.0):
            factor = torch.tensor(upstream, dtype=loss.dtype)
            grads = torch.autograd.grad(loss, leaves, factor, retain_graph=True)
            wanted = exact_points(case, tensors, float(factor), reduction=reduction)[1:]
            for a, b, s in zip(grads, wanted, scales[1:], strict=True):
                check_points(a, b, s * abs(upstream) / n)


@pytest.mark.parametrize("case", POINTWISE, ids=str)
def test_threads(case, isa):
    """Same bits for any number of threads, with and without a gradient, and run to run."""
    for dtype, options in itertools.product((torch.float32, torch.bfloat16), ({}, dict(reduction="none"))):
        tensors = make_points(case, (300, 1001), dtype)
        options = {"reduction": "mean", **options}
        results = []
        for threads in (1, 2, 3, 2):
            torch.set_num_threads(threads)
            results.append(gradients(case.functional, tensors, **options))
            with torch.no_grad():
                results[-1].append(case.functional(*tensors, **options))
        assert torch.equal(results[0][0], results[0][-1])
        for other in results[1:]:
            assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize("case", POINTWISE, ids=str)
def test_second_derivatives(case, isa):
    for params in case.params:
        tensors = make_points(case, (7,), torch.float64)
        if case.name == "binary_cross_entropy":
            tensors = (tensors[0].detach().clamp(0.1, 0.9).requires_grad_(), tensors[1])

        def penalty(fn, tensors=tensors, params=params):
            leaves = [t.detach().requires_grad_(t.requires_grad) for t in tensors]
            wanted = [t for t in leaves if t.requires_grad]
            loss = fn(*leaves, reduction="mean", **params)
            grads = torch.autograd.grad(loss, wanted, create_graph=True)
            total = loss + 3 * sum(g.square().sum() for g in grads)
            return torch.autograd.grad(total, wanted, allow_unused=True)

        for a, b in zip(penalty(case.functional), penalty(case.reference), strict=True):
            close(a, b, rtol=1e-10, atol=1e-12)


# Not gaussian_nll_loss: as PyTorch's, its loss is float16 under autocast, and 65536 is infinity there.
@pytest.mark.parametrize("case", [c for c in POINTWISE if c.name != "gaussian_nll_loss"], ids=str)
def test_float16_gradient_survives_the_scaler(case, isa):
    tensors = make_points(case, (70, 1000), torch.float16)
    if case.name == "binary_cross_entropy":
        tensors = (tensors[0].detach().clamp(0.1, 0.9).requires_grad_(), tensors[1])
    with torch.autocast("cpu", dtype=torch.float16):
        loss = case.functional(*tensors, reduction="mean")
    assert loss.dtype == torch.float32
    leaves = [t for t in tensors if t.requires_grad]
    grads = torch.autograd.grad(loss * 65536.0, leaves)
    wanted = exact_points(case, tensors, 65536.0, reduction="mean")[1:]
    for a, b, s in zip(grads, wanted, cases.point_scales(case, tensors)[1:], strict=True):
        check_points(a, b, s * 65536.0 / tensors[0].numel())


@pytest.mark.parametrize("case", [c for c in NATIVE if c.name != "soft_margin_loss"], ids=str)
def test_functorch_and_forward_mode(case):
    """Not for soft_margin_loss, whose backward has no forward mode in PyTorch."""
    from torch.func import grad, hessian, jvp, vmap

    tensors = tuple(t.detach() for t in make_points(case, (4, 3), torch.float64))
    x, rest = tensors[0], tensors[1:]
    if case.name == "gaussian_nll_loss":
        rest = (rest[0], 1.5)  # PyTorch's check of a tensor's values does not work under vmap

    def scalar(fn):
        return lambda x: fn(x, *(r[0] if isinstance(r, torch.Tensor) else r for r in rest), reduction="sum")

    for transform in (
        lambda f: grad(f)(x[0]), lambda f: vmap(f)(x), lambda f: vmap(grad(f))(x), lambda f: hessian(f)(x[0]),
        lambda f: jvp(f, (x[0],), (x[1],)),
    ):  # fmt: skip
        close(transform(scalar(case.functional)), transform(scalar(case.native)), rtol=1e-10, atol=1e-12)
    tangents = []
    for fn in (case.functional, case.native):
        with forward_ad.dual_level():
            out = scalar(fn)(forward_ad.make_dual(x[0], x[1]))
            tangents.append(forward_ad.unpack_dual(out).tangent)
    close(*tangents, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("case", POINTWISE, ids=str)
def test_compile(case):
    for options in ({"reduction": "mean"}, {"reduction": "none"}):
        torch._dynamo.reset()
        compiled = torch.compile(
            lambda *t, options=options: case.functional(t[0] * 1.0, *t[1:], **options),
            fullgraph=True,
            backend="aot_eager",
        )
        tensors = make_points(case, (6, 9), torch.float32)
        for a, b in zip(gradients(compiled, tensors), gradients(case.functional, tensors, **options), strict=True):
            close(a, b)


@pytest.mark.skipif(not _ops.AVAILABLE, reason="the extension is not built")
@pytest.mark.parametrize("case", POINTWISE, ids=str)
def test_opcheck(case):
    from test_torch import OPERATORS, recorded_calls

    def call(dtype, reduction, **options):
        tensors = make_points(case, (6, 9), dtype)
        result = case.functional(*tensors, reduction=reduction, return_stats=True, **options)[0]
        result.sum().mul(3).backward()

    seen = set()
    for dtype, reduction in ((torch.float32, "mean"), (torch.bfloat16, "none"), (torch.float16, "sum")):
        mask = torch.rand(6, 9) < 0.5
        for op, args, kwargs in recorded_calls(lambda d=dtype, r=reduction, m=mask: call(d, r, mask=m)):
            seen.add(op._schema.name.removeprefix("fastloss::"))
            torch.library.opcheck(op, tuple(args), kwargs)
    assert {case.name + suffix for suffix in OPERATORS} <= seen


@pytest.mark.parametrize("case", NATIVE, ids=str)
def test_autocast(case, isa):
    if case.name in ("gaussian_nll_loss", "sigmoid_focal_loss"):
        pytest.skip("several operators in PyTorch, each of which rounds")
    for dtype in HALF:
        tensors = make_points(case, (30,), dtype)
        if case.name == "binary_cross_entropy":
            tensors = (tensors[0].detach().clamp(0.1, 0.9).requires_grad_(), tensors[1])
        for reduction in REDUCTIONS:
            with torch.autocast("cpu", dtype=dtype):
                ours = gradients(case.functional, tensors, reduction=reduction)
                native = gradients(case.native, tensors, reduction=reduction)
            for a, b in zip(ours, native, strict=True):
                assert a.dtype == b.dtype
                close(a, b, rtol=2 * UNIT[dtype], atol=1e-3)


@pytest.mark.parametrize("case", POINTWISE, ids=str)
def test_learned_hyperparameters(case):
    parameters = inspect.signature(case.functional).parameters.values()
    names = [p.name for p in parameters if p.annotation == "float | Tensor"]
    if not names or case.name == "poisson_nll_loss":  # has eps, which does nothing unless log_input is False
        pytest.skip("none")
    tensors = tuple(t.detach() for t in make_points(case, (20,), torch.float64))
    for name in names:
        value = 0.6
        fixed = case.functional(*tensors, reduction="mean", **{name: value})
        constant = case.functional(*tensors, reduction="mean", **{name: torch.tensor(value, dtype=torch.float64)})
        close(constant, fixed, rtol=1e-12, atol=0)
        if case.name == "gaussian_nll_loss":
            continue  # its clamp hides eps from the gradient
        learned = torch.tensor(value, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(
            lambda v, name=name: case.functional(*tensors, reduction="mean", **{name: v}), (learned,)
        )


@pytest.mark.skipif(not _ops.AVAILABLE, reason="the extension is not built")
def test_records_name_the_parameters_of_their_functors():
    built = dict(_ops.extension().pointwise_losses() + _ops.extension().pairs_losses())
    public = {**vars(fastloss.functional.pointwise), **vars(fastloss.functional.pairs)}.values()
    records = [function.record for function in public if hasattr(function, "record")]
    records += [record.fuller for record in records if record.optional]
    assert {record.operator: ",".join(record.params) for record in records} == built


FASTER_IN_PYTORCH = {
    "huber_loss", "smooth_l1_loss", "mse_loss", "l1_loss", "binary_cross_entropy_with_logits", "binary_cross_entropy",
    "soft_margin_loss", "kl_div",
}  # fmt: skip


@pytest.mark.parametrize("case", POINTWISE, ids=str)
def test_small_inputs_go_where_they_are_fast(case, monkeypatch):
    monkeypatch.setattr(module, "NATIVE_WHEN_TINY", True)
    tensors = make_points(case, (5, 4), torch.float32)
    path = fastloss.explain(case.functional, *tensors, reduction="mean").path
    assert path == ("native" if case.name in FASTER_IN_PYTORCH else "kernel")
    if case.native is not None:
        for reduction in REDUCTIONS:
            ours, native = (gradients(f, tensors, reduction=reduction) for f in (case.functional, case.native))
            for a, b in zip(ours, native, strict=True):
                close(a, b)


@pytest.mark.parametrize("case", POINTWISE, ids=str)
def test_module(case):
    tensors = make_points(case, (5, 4), torch.float32)
    criterion = case.module(reduction="sum")
    close(criterion(*tensors), case.functional(*tensors, reduction="sum"))
    mask = torch.rand(5, 4) < 0.5
    close(criterion(*tensors, mask=mask), case.functional(*tensors, reduction="sum", mask=mask))
    close(case.module(empty="zero")(*tensors, mask=mask & False), torch.tensor(0.0))
    assert fastloss.explain(criterion, *tensors).path == "kernel"
    assert case.module.__name__ in repr(criterion)
    if case.native_module is not None:
        assert isinstance(criterion, case.native_module)
        assert criterion.state_dict().keys() == case.native_module().state_dict().keys()
        assert repr(case.module()) == repr(case.native_module())
    with pytest.raises(TypeError):
        case.module(nonsense=1)


def of_pytorch(case):
    """PyTorch's name of the function, as its operator table has it."""
    return f"nn.functional.{case.native.__name__}"


IN_PYTORCH = [c for c in NATIVE if c.native_module]


@pytest.mark.parametrize("case", IN_PYTORCH, ids=str)
def test_samples_of_pytorch(case, torch_tables, small):
    """PyTorch's own inputs for its operator, the odd ones of its reference tests too, and for its module."""
    operators, modules = torch_tables
    info = info_of(operators, lambda entry: entry.name == of_pytorch(case))
    count = 0
    for dtype in (torch.float64, torch.float32):
        for sample in info.reference_inputs("cpu", dtype, requires_grad=True):
            args = (sample.input, *sample.args)
            results = (outcome(fn, args, sample.kwargs) for fn in (case.functional, case.native))
            same_outcome(*results, sample)
            count += 1
        info_m = info_of(modules, lambda entry: entry.module_cls is case.native_module)
        for sample in info_m.module_inputs_func(info_m, device="cpu", dtype=dtype, requires_grad=True, training=True):
            made, called = sample.constructor_input, sample.forward_input
            criteria = (m(*made.args, **made.kwargs) for m in (case.module, case.native_module))
            same_outcome(*(outcome(c, called.args, called.kwargs) for c in criteria), sample)
            count += 1
    assert count >= 12


@pytest.mark.parametrize("case", IN_PYTORCH, ids=str)
def test_error_inputs_of_pytorch(case, torch_tables, small):
    operators, modules = torch_tables
    info = info_of(operators, lambda entry: entry.name == of_pytorch(case))
    errors = info.error_inputs("cpu") if info.error_inputs_func else ()
    for error in errors:
        sample = error.sample_input
        args = (sample.input, *sample.args)
        ours, native = (outcome(fn, args, sample.kwargs) for fn in (case.functional, case.native))
        assert isinstance(native, type)
        assert ours is native, sample
    info = info_of(modules, lambda entry: entry.module_cls is case.native_module)
    if info.module_error_inputs_func:
        for error in info.module_error_inputs_func(info, "cpu", torch.float32, requires_grad=False, training=True):
            made, called = error.module_error_input.constructor_input, error.module_error_input.forward_input

            def call(module, made=made, called=called):
                criterion = module(*made.args, **made.kwargs)
                return criterion(*called.args, **called.kwargs) if called is not None else torch.zeros(())

            ours, native = (outcome(call, (module,), {}) for module in (case.module, case.native_module))
            assert isinstance(native, type)
            assert ours is native


@pytest.mark.parametrize("case", NATIVE, ids=str)
def test_errors_are_pytorchs(case):
    x = torch.rand(4, 3)
    third = (torch.rand(4, 3),) if case.arity == 3 else ()
    more = {"loss_dtype": torch.float64}  # which leaves what is refused as it is
    calls = [
        ((x, torch.rand(5, 3), *third), {}), ((x, torch.rand(4), *third), {}),
        ((x, x, *third), dict(reduction="median")), ((x, x.int(), *third), {}), ((x.int(), x.int(), *third), {}),
        ((torch.rand(0, 3), torch.rand(0, 3), *(t[:0] for t in third)), {}), ((x, None, *third), {}),
        ((x, x.to(torch.float64), *third), {}), ((x, x * 3 - 1, *third), {}), ((x * 3 - 1, x, *third), {}),
        ((x, x, *(t * -1 for t in third)), {}), ((x.to(torch.complex64), x, *third), {}),
    ]  # fmt: skip
    if case.name in ("huber_loss", "smooth_l1_loss"):
        calls += [((x, x), {"delta" if case.name[0] == "h" else "beta": -1.0})]
    if case.name in ("huber_loss", "mse_loss", "l1_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits"):
        calls += [((x, x), dict(weight=torch.rand(4, 7))), ((x, x), dict(weight=torch.rand(4, 1)))]
    for arguments, options in calls:
        options = {"reduction": "mean", **options}
        results = []
        for fn, extra in ((case.native, {}), (case.functional, {}), (case.functional, more), (case.reference, more)):
            try:
                results.append(fn(*arguments, **options, **extra))
            except Exception as error:  # whatever it is, ours must be the same
                results.append(type(error))
        native, *ours = results
        if isinstance(native, type):
            if case.name == "sigmoid_focal_loss":
                continue  # no function of PyTorch's
            wanted = TypeError if native is AttributeError else native  # of what is no tensor
            assert ours == [wanted] * 3, (arguments, options)
        else:
            close(ours[0], native, equal_nan=True, rtol=1e-5, atol=1e-6)


def test_option_errors():
    x = torch.rand(4, 3)
    for options, kind in (
        (dict(empty="none"), ValueError), (dict(normalizer=2.0, reduction="sum"), ValueError),
        (dict(reduce_dims=1, reduction="none"), ValueError), (dict(mask=torch.ones(4, 3)), RuntimeError),
        (dict(mask=torch.ones(7, dtype=torch.bool)), RuntimeError), (dict(nonsense=1), TypeError),
    ):  # fmt: skip
        with pytest.raises(kind, match=r"fastloss|expand|broadcast|size"):
            fastloss.functional.mse_loss(x, x, **options)


@pytest.mark.parametrize("name", ["huber_loss", "smooth_l1_loss", "mse_loss", "l1_loss"])
def test_broadcasting_warns_as_pytorch(name):
    x, y = torch.rand(4, 3), torch.rand(3)
    for fn in (getattr(fastloss.functional, name), getattr(torch.nn.functional, name)):
        with pytest.warns(UserWarning, match="Using a target size") as caught:
            fn(x, y)
        assert len(caught) == 1
        assert caught[0].filename == __file__


def test_deprecated_arguments():
    x, y = torch.rand(4, 3), torch.rand(4, 3)
    for name in ("mse_loss", "l1_loss", "smooth_l1_loss", "soft_margin_loss", "binary_cross_entropy_with_logits"):
        ours, native = getattr(fastloss.functional, name), getattr(torch.nn.functional, name)
        for size_average, reduce in ((False, None), (True, None), (None, False)):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                a, b = (f(x, y, size_average=size_average, reduce=reduce) for f in (ours, native))
            close(a, b)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        log_p, p = x.log_softmax(1), y.softmax(1)
        close(
            fastloss.functional.kl_div(log_p, p, reduction="batchmean"),
            torch.nn.functional.kl_div(log_p, p, reduction="batchmean"),
        )


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_pos_weight(dtype, isa):
    f = fastloss.functional.binary_cross_entropy_with_logits
    case = next(c for c in POINTWISE if c.name == "binary_cross_entropy_with_logits")
    x, y = make_points(case, (50, 6), dtype)
    weight, pos_weight = torch.rand(50, 1).to(dtype), (torch.rand(6) * 3).to(dtype)
    for reduction in REDUCTIONS:
        options = dict(weight=weight, pos_weight=pos_weight, reduction=reduction)
        assert fastloss.explain(f, x, y, **options).path == "kernel"
        ours = gradients(f, (x, y), **options)
        wanted = exact_points(case, (x, y), **options)
        for a, b in zip(ours, wanted, strict=True):
            check_points(a, b, 40.0)


def test_focal_tail():
    """Where torchvision's 1 - p_t is 12 % off or zero, relative accuracy; finite gradients at every gamma."""
    f, exact = fastloss.functional.sigmoid_focal_loss, fastloss.reference.sigmoid_focal_loss
    for dtype in DTYPES:
        x = torch.tensor([-30.0, -16.0, -8.0, 0.5, 8.0, 16.0, 30.0], dtype=dtype)
        for y, gamma in itertools.product((0.0, 1.0), (0.0, 0.5, 1.0, 2.0)):
            got = f(x, torch.full_like(x, y), gamma=gamma, loss_dtype=torch.float64)
            wanted = exact(x.double(), torch.full_like(x, y).double(), gamma=gamma)
            u = UNIT[torch.float64 if dtype == torch.float64 else torch.float32]
            close(got, wanted, rtol=200 * u, atol=1e-38)  # x enters exponents: |gamma x| units
    x = torch.tensor([-100.0, -88.0, -20.0, 0.0, 20.0, 88.0, 100.0], requires_grad=True)
    for dtype, y, gamma in itertools.product(DTYPES, (0.0, 0.3, 1.0), (0.0, 0.1, 0.5, 1.0, 1.5, 2.0, 5.0)):
        leaf = x.detach().to(dtype).requires_grad_()
        f(leaf, torch.full_like(leaf, y), gamma=gamma, reduction="sum").backward()
        assert leaf.grad.isfinite().all()


def test_explains_what_is_taken_from_the_small_route(monkeypatch):
    """A broadcast, a weight or a pos_weight is no call for PyTorch's operator as it is."""
    monkeypatch.setattr(module, "NATIVE_WHEN_TINY", True)
    column, row = torch.zeros(3, 1), torch.zeros(1, 4)
    bce = fastloss.functional.binary_cross_entropy_with_logits
    assert fastloss.explain(bce, column, column).path == "native"
    assert fastloss.explain(fastloss.functional.mse_loss, column, row).path == "kernel"
    for name in ("weight", "pos_weight"):
        assert fastloss.explain(bce, column, column, **{name: torch.ones(1)}).path == "kernel"
