"""Every loss inside PyTorch: transforms, torch.compile, autocast, operator checks, and PyTorch's own samples."""

import itertools

import cases
import pytest
import torch
import torch.utils.checkpoint
from cases import (
    ELEMENTS,
    EVERY,
    HALF,
    PRODUCTS,
    PYTORCHS,
    REDUCTIONS,
    UNIT,
    gradients,
    info_of,
    outcome,
    python,
    same_outcome,
)
from recorder import OPERATORS, recorded_calls
from torch._subclasses import FakeTensorMode
from torch.autograd import forward_ad
from torch.func import grad, hessian, jvp, vmap

import fastloss.engines.elements as elements
from fastloss._core import operators as _ops

pytestmark = pytest.mark.filterwarnings(
    "ignore:reduction. 'mean' divides", "ignore:Using a target size", "ignore:There is a performance drop"
)
close = torch.testing.assert_close
LOSSES = (*ELEMENTS, *PRODUCTS)
IN_PYTORCH = [case for case in LOSSES if case.drop_in]
SAMPLED = [*IN_PYTORCH, *PYTORCHS]


@pytest.fixture(params=["kernel", "as used"])
def small(request, monkeypatch):
    """Small inputs through our kernels, and where they go in use: to PyTorch's own operator."""
    monkeypatch.setattr(elements, "NATIVE_WHEN_TINY", request.param == "as used")


# Not soft_margin_loss, whose backward has no forward mode in PyTorch.
@pytest.mark.parametrize("case", [case for case in EVERY if case.name != "soft_margin_loss"], ids=str)
def test_functorch_and_forward_mode(case, kernel):
    arguments = {k: v.detach() if hasattr(v, "detach") else v for k, v in case.make((6, 4), {}, torch.float64).items()}
    name, x = next(iter(arguments.items()))
    if "var" in arguments:
        arguments["var"] = 1.5  # PyTorch's check of a tensor's values does not work under vmap

    def of_first(fn):
        return lambda x: fn(**{**arguments, name: x}, reduction="sum")

    batch = torch.stack((x, 2 * x.sigmoid(), x.flip(0))) if case.name != "binary_cross_entropy" else x.expand(3, 6, 4)
    for transform in (
        lambda f: grad(f)(x), lambda f: vmap(f)(batch), lambda f: vmap(grad(f))(batch), lambda f: hessian(f)(x),
        lambda f: jvp(f, (x,), (x.cos(),)),
    ):  # fmt: skip
        close(transform(of_first(case.functional)), transform(of_first(case.reference)), rtol=1e-9, atol=1e-11)
    leaf = x.clone().requires_grad_()
    close(grad(of_first(case.functional))(x), torch.autograd.grad(of_first(case.functional)(leaf), leaf)[0])
    tangents = []
    for fn in (case.functional, case.reference):
        with forward_ad.dual_level():
            tangents.append(forward_ad.unpack_dual(of_first(fn)(forward_ad.make_dual(x, x.cos()))).tangent)
    close(*tangents, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize("case", EVERY, ids=str)
def test_compile(case, reduction, kernel):
    """One graph, values and gradients."""
    function, (first, *_) = case.functional, case.make((6, 9))

    def call(**arguments):
        return function(**{**arguments, first: arguments[first] * 1.0}, reduction=reduction)

    for params, dtype in ((case.params[0], torch.float32), (case.params[-1], torch.bfloat16)):
        torch._dynamo.reset()
        arguments = case.make((6, 9), params, dtype)
        compiled = torch.compile(call, fullgraph=True, backend="aot_eager")
        for a, b in zip(gradients(compiled, arguments), gradients(call, arguments), strict=True):
            close(a, b)


FIRST = """
import sys, warnings
sys.path.insert(0, {tests!r})
import torch, cases
warnings.simplefilter("ignore")
for case in cases.EVERY:
    torch._dynamo.reset()
    arguments = case.make((6, 9))
    torch.compile(case.functional, fullgraph=True, backend="eager")(**arguments)
    if case.name == "binary_cross_entropy_with_logits":
        torch.compile(case.functional, fullgraph=True, backend="eager")(**arguments, pos_weight=torch.ones(9))
"""


def test_first_call_may_be_compiled(request):
    """In a process where no loss was called before: nothing that is made once may need what no graph can hold."""
    done = python(FIRST.format(tests=str(request.config.rootpath / "tests")))
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.skipif(not _ops.AVAILABLE, reason="the extension is not built")
@pytest.mark.parametrize("case", LOSSES, ids=str)
def test_opcheck(case, kernel):
    seen = set()
    for dtype, reduction in ((torch.float32, "mean"), (torch.bfloat16, "none"), (torch.float16, "sum")):
        arguments = case.make((6, 9), {}, dtype)
        mask = torch.rand(case.values((6, 9))) < 0.5

        def call(arguments=arguments, options=dict(reduction=reduction, mask=mask)):  # noqa: B006
            case.functional(**arguments, **options, return_stats=True)[0].sum().mul(3).backward()

        for op, args, kwargs in recorded_calls(call):
            seen.add(op._schema.name.removeprefix("fastloss::"))
            torch.library.opcheck(op, tuple(args), kwargs)
    assert {case.name + suffix for suffix in OPERATORS} <= seen


# Not these: several operators in PyTorch, each of which rounds.
@pytest.mark.parametrize("case", [c for c in IN_PYTORCH if c in ELEMENTS and c.name != "gaussian_nll_loss"], ids=str)
def test_autocast(case, isa):
    for dtype, reduction in itertools.product(HALF, REDUCTIONS):
        arguments = case.make((30,), {}, dtype)
        with torch.autocast("cpu", dtype=dtype):
            ours, native = (gradients(fn, arguments, reduction=reduction) for fn in (case.functional, case.native))
        for a, b in zip(ours, native, strict=True):
            assert a.dtype == b.dtype
            close(a, b, rtol=2 * UNIT[dtype], atol=1e-3)


@pytest.mark.parametrize(("case", "params"), cases.settings(EVERY))
def test_fake_tensors(case, params, kernel):
    """Shapes and dtypes without numbers, as in PyTorch."""
    for dtype, reduction in itertools.product((torch.float32, torch.bfloat16), REDUCTIONS):
        arguments = case.make((9, 6), params, dtype)
        wanted = gradients(case.functional, arguments, reduction=reduction)
        fakes = FakeTensorMode()
        given = {k: fakes.from_tensor(t) if isinstance(t, torch.Tensor) else t for k, t in arguments.items()}
        with fakes:
            found = gradients(case.functional, given, reduction=reduction)
        assert [(t.shape, t.dtype) for t in found] == [(t.shape, t.dtype) for t in wanted]


def windows(t):
    """Of a matrix, its first numbers as rows that overlap."""
    if t.dim() != 2:
        return t
    return t.reshape(-1)[: sum(t.shape) - 1].unfold(0, t.shape[1], 1)


@pytest.mark.parametrize(("case", "params"), cases.settings(EVERY))
def test_inference_mode(case, params):
    """The whole call; and tensors from there that need no gradient, in a step of training.

    Rows of masks and weights overlap: autograd keeps a copy, whose strides PyTorch chooses.
    """
    extras = [{}, *({k: t.float() if t.dtype == torch.float64 else t} for k, t in case.extras((40, 30)).items())]
    for size, extra in itertools.product(((4, 3), (40, 30)), extras):
        arguments = case.make(size, params)
        if (size == (4, 3) and extra) or ("weight" in extra and arguments.get("symmetric")):
            continue
        overlapping = {k: windows(t) for k, t in extra.items()}
        wanted = gradients(case.functional, arguments, reduction="mean", **overlapping)
        with torch.inference_mode():
            close(case.functional(**arguments, reduction="mean", **overlapping), wanted[0])
            made = {
                k: t.clone() if isinstance(t, torch.Tensor) and not t.requires_grad else t for k, t in arguments.items()
            } | {k: windows(t.clone()) for k, t in extra.items()}
        leaves = [t for t in made.values() if isinstance(t, torch.Tensor) and t.requires_grad]
        loss = case.functional(**made, reduction="mean")
        for a, b in zip((loss.detach(), *torch.autograd.grad(loss, leaves)), wanted, strict=True):
            close(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("case", EVERY, ids=str)
def test_anomaly_mode_and_multithreaded_backward(case, kernel):
    arguments = case.make((6, 9))
    wanted = gradients(case.functional, arguments, reduction="mean")
    with (
        pytest.warns(UserWarning, match="Anomaly Detection"),
        torch.autograd.detect_anomaly(check_nan=True),
        torch.autograd.set_multithreading_enabled(False),
    ):
        found = gradients(case.functional, arguments, reduction="mean")
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("case", EVERY, ids=str)
def test_checkpoint(case, reentrant, kernel, route):
    arguments = case.make((6, 9))
    (name, first), *_ = arguments.items()
    for way in case.ways:
        more = route(way)

        def step(x, more=more):
            return case.functional(**{**arguments, name: x * 1.0}, reduction="mean", **more)

        (wanted,) = torch.autograd.grad(step(first), first)
        first.grad = None
        torch.utils.checkpoint.checkpoint(step, first, use_reentrant=reentrant).backward()
        assert torch.equal(first.grad, wanted)


@pytest.mark.parametrize("case", [case for case in LOSSES if case.fixed], ids=str)
def test_gradients_that_pytorch_does_not_give(case, small):
    """To labels: what PyTorch makes of the call, an error or a gradient, we make of it."""
    tensors = [t.detach().requires_grad_() for t in case.tensors((3,) if case in ELEMENTS else (3, 4))]
    for reduction in REDUCTIONS:
        results = (outcome(fn, tensors, {"reduction": reduction}) for fn in (case.functional, case.reference))
        same_outcome(*results, reduction)


def tables(case, torch_tables):
    """PyTorch's entry for its operator, and those for its module: one, or none."""
    operators, modules = torch_tables
    operator = info_of(operators, lambda entry: entry.name == f"nn.functional.{case.name}")
    return operator, [entry for entry in modules if entry.module_cls is case.native_module]


@pytest.mark.parametrize("case", SAMPLED, ids=str)
def test_samples_of_pytorch(case, torch_tables, small):
    """PyTorch's own inputs for its operator, the odd ones of its reference tests too, and for its module."""
    operator, modules = tables(case, torch_tables)
    count = 0
    for dtype in (torch.float64, torch.float32):
        for sample in operator.reference_inputs("cpu", dtype, requires_grad=True):
            args = (sample.input, *sample.args)
            same_outcome(*(outcome(fn, args, sample.kwargs) for fn in (case.functional, case.native)), sample)
            count += 1
        for info in modules:
            for sample in info.module_inputs_func(info, device="cpu", dtype=dtype, requires_grad=True, training=True):
                made, called = sample.constructor_input, sample.forward_input
                criteria = (m(*made.args, **made.kwargs) for m in (case.module, case.native_module))
                same_outcome(*(outcome(c, called.args, called.kwargs) for c in criteria), sample)
                count += 1
    assert count >= 12


@pytest.mark.parametrize("case", SAMPLED, ids=str)
def test_error_inputs_of_pytorch(case, torch_tables, small):
    operator, modules = tables(case, torch_tables)
    for error in operator.error_inputs("cpu") if operator.error_inputs_func else ():
        sample = error.sample_input
        args = (sample.input, *sample.args)
        ours, native = (outcome(fn, args, sample.kwargs) for fn in (case.functional, case.native))
        assert isinstance(native, type)
        assert ours is native, sample
    for info in modules:
        errors = info.module_error_inputs_func or (lambda *args, **kwargs: ())
        for error in errors(info, "cpu", torch.float32, requires_grad=False, training=True):
            made, called = error.module_error_input.constructor_input, error.module_error_input.forward_input

            def call(module, made=made, called=called):
                criterion = module(*made.args, **made.kwargs)
                return criterion(*called.args, **called.kwargs) if called is not None else torch.zeros(())

            ours, native = (outcome(call, (kind,), {}) for kind in (case.module, case.native_module))
            assert isinstance(native, type)
            assert ours is native
