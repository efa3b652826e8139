"""What every loss of elements and of pairs keeps to, whatever its hyperparameters and values."""

import inspect
import math

import pytest
import torch
from cases import ELEMENTS, PRODUCTS, UNIT, gradients

import fastloss
import fastloss.engines.elements as module
from fastloss._core import options as _options

pytestmark = pytest.mark.filterwarnings("ignore:reduction. 'mean' divides", "ignore:Using a target size")
EVERY = (*ELEMENTS, *PRODUCTS)
NATIVE = [case for case in EVERY if case.drop_in]
SIZES = (2, 100, 100_000)


def make(case, size, dtype=torch.float32):
    return case.tensors((size, 4), dtype) if case in PRODUCTS else case.tensors((size,), dtype)


def names_of(case):
    return [p.name for p in inspect.signature(case.functional).parameters.values() if "float" in str(p.annotation)]


HYPERPARAMETERS = [
    pytest.param(case, name, id=f"{case}-{name}")
    for case in EVERY
    for name in names_of(case)
    if name not in ("var", "p", "label_smoothing")
]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("case", "name"), HYPERPARAMETERS)
def test_type_of_a_hyperparameter(case, name, size):
    """Float, integer and tensor agree to some roundings (small floats go to PyTorch's operator); learned ones too."""
    tensors = make(case, size)
    for value in (0.5, 1.0):
        if not _options.in_domain(
            case.name, **{**dict.fromkeys(_options.DOMAINS.get(case.name, {}), 0.5), "p": 1, name: value}
        ):
            continue
        wanted = gradients(case.functional, tensors, reduction="mean", **{name: value})
        kinds = [
            torch.tensor(value),
            torch.tensor(value, dtype=torch.float64),
            torch.tensor(value, dtype=torch.float16),
        ]
        kinds += [int(value), torch.tensor(int(value))] if value == 1 else []
        for other in kinds:
            made = gradients(case.functional, tensors, reduction="mean", **{name: other})
            for a, b in zip(made, wanted, strict=True):
                torch.testing.assert_close(a, b, rtol=4 * UNIT[torch.float32], atol=1e-7)
        learned = torch.tensor(value, requires_grad=True)
        loss = case.functional(*(t.detach() for t in tensors), reduction="mean", **{name: learned})
        torch.testing.assert_close(loss.detach(), wanted[0], rtol=1e-5, atol=1e-6)
        if not loss.requires_grad:
            continue  # a hyperparameter that the default call does not read
        wide = learned.detach().double().requires_grad_()
        exact = case.reference(*(t.detach().double() for t in tensors), reduction="mean", **{name: wide})
        pair = [torch.autograd.grad(v, p)[0] for v, p in ((loss, learned), (exact, wide))]
        torch.testing.assert_close(pair[0].double(), pair[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("as_tensor", [False, True, "learned"], ids=str)
@pytest.mark.parametrize("options", [{}, {"normalizer": 2.0}], ids=str)
@pytest.mark.parametrize(("name", "what"), [(str(c), w) for c in EVERY for w in _options.DOMAINS.get(str(c), {})])
def test_domains(name, what, options, as_tensor):
    case = next(case for case in EVERY if case.name == name)
    _, holds, kind = _options.DOMAINS[name][what]
    outside = [v for v in (-1.0, 0.0, 2.0, 3.0, math.inf, -math.inf, math.nan) if not holds(v)]
    assert outside
    for size in (2, 100_000):
        for wrong in outside:
            given = torch.tensor(wrong, requires_grad=as_tensor == "learned") if as_tensor else wrong
            for fn in (case.functional, case.reference):
                with pytest.raises(kind):
                    fn(*make(case, size), reduction="mean", **{what: given}, **options)


def formulas():
    """Value and derivative in x by exact rational or logarithmic means, of d = x - y in float64 (y = 0)."""
    return {
        "charbonnier_loss": lambda d: (abs(d), math.copysign(1, d)),
        "robust_loss": lambda d: (abs(d) - 1, math.copysign(1, d)),
        "log_cosh_loss": lambda d: (abs(d), math.copysign(1, d)),
        "huber_loss": lambda d: (abs(d) - 0.5, math.copysign(1, d)),
        "smooth_l1_loss": lambda d: (abs(d) - 0.5, math.copysign(1, d)),
        "l1_loss": lambda d: (abs(d), math.copysign(1, d)),
        "quantile_loss": lambda d: (abs(d) / 2, math.copysign(0.5, d)),
        "asymmetric_loss": lambda d: (0.0 if d < 0 else 0.95**4 * -math.log(0.05), 0.0),
        "sigmoid_focal_loss": lambda d: (0.75 * max(d, 0), 0.75 * (d > 0)),
        "quality_focal_loss": lambda d: (max(d, 0), 1.0 * (d > 0)),
        "varifocal_loss": lambda d: (0.75 * max(d, 0), 0.75 * (d > 0)),
        "gaussian_focal_loss": lambda d: (max(d, 0), 1.0 * (d > 0)),
        "binary_cross_entropy_with_logits": lambda d: (max(d, 0), 1.0 * (d > 0)),
    }


@pytest.mark.parametrize("path", ["kernel", "reference"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", formulas())
def test_huge_values(name, dtype, path, isa):
    top = torch.finfo(dtype).max
    sizes = (1e19, 1e20, 1e30, 1.7e38, 3.4e38) if dtype == torch.float32 else (1e20, 1e160, 1e300, top / 2, top)
    if path == "reference" and "focal" in name:
        sizes = sizes[:3]  # at the very end of float64 torch's product rule has infinity times 0
    values = [sign * v for v in sizes for sign in (1.0, -1.0)]
    x = torch.tensor(values, dtype=dtype, requires_grad=True)
    fn = getattr(fastloss.functional if path == "kernel" else fastloss.reference, name)
    loss = fn(x, torch.zeros_like(x), reduction="none", weight=torch.ones_like(x))
    (grad,) = torch.autograd.grad(loss.sum(), x)
    wanted = torch.tensor([formulas()[name](v) for v in x.tolist()], dtype=torch.float64)
    torch.testing.assert_close(loss.detach().double(), wanted[:, 0], rtol=1e-5, atol=1e-30)
    torch.testing.assert_close(grad.double(), wanted[:, 1], rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize("path", ["kernel", "reference"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("alpha", [1.0, 0.5, 0.0, -2.0, -math.inf], ids=str)
def test_differences_beyond_their_dtype(alpha, dtype, path, isa):
    """By their scale they are numbers again: as numbers a power of two smaller by a smaller scale."""
    fn = (fastloss.functional if path == "kernel" else fastloss.reference).robust_loss
    found = []
    for shrink in (1.0, 2.0**-30):
        x = torch.full((2, 3), torch.finfo(dtype).max * shrink, dtype=dtype).mul_(0.75).requires_grad_()
        loss = fn(x, -x.detach(), alpha, 8.0 * shrink, reduction="none")
        found.append((loss.detach(), torch.autograd.grad(loss.sum(), x)[0] * shrink))
    assert found[1][0].isfinite().all()
    torch.testing.assert_close(
        found[0], found[1], rtol=1e-5 if dtype == torch.float32 else 1e-12, atol=torch.finfo(dtype).tiny
    )


@pytest.mark.parametrize("gamma", [0.0, 2.0, 2.5], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(
    ("name", "what", "share"),
    [("quality_focal_loss", "beta", 1.0), ("varifocal_loss", "gamma", 0.75),
     ("gaussian_focal_loss", "alpha", 1.0), ("binary_cross_entropy_with_logits", None, 1.0)],
)  # fmt: skip
def test_infinite_logits_have_the_slope_of_large_ones(name, what, share, dtype, gamma, isa):
    """A logit of +inf that should be -inf, and large ones; PyTorch has NaN for the first of them."""
    x = torch.tensor([math.inf, 1e30, -1e30], dtype=dtype, requires_grad=True)
    options = {} if what is None else {what: gamma}
    loss = getattr(fastloss.functional, name)(x, torch.zeros_like(x), reduction="none", **options)
    (grad,) = torch.autograd.grad(loss.sum(), x)
    assert loss[0] == math.inf
    torch.testing.assert_close(grad.tolist(), [share, share, 0.0], rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("path", ["kernel", "reference"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("width", [0.0, 1e-40, 1e-30, 1e-3, 1e30], ids=str)
@pytest.mark.parametrize(("name", "what"), [("smooth_l1_loss", "beta"), ("charbonnier_loss", "eps")])
def test_width_of_a_rounding(name, what, width, dtype, path, isa):
    """Down to 0, where the loss is the absolute error, and at ties."""
    sizes = [0.0, *(w * f for w in (width, 1.0, 1e25) for f in (0.5, 1.0, 3.0))]
    x = torch.tensor(sizes + [-v for v in sizes], dtype=dtype, requires_grad=True)
    w = float(torch.tensor(width, dtype=dtype))
    wanted = []
    for d in x.tolist():
        a, s = abs(d), float(d > 0) - float(d < 0)
        if what == "eps":
            f = math.hypot(d, w)
            wanted.append((f, d / f if f else 0.0))
        else:
            wanted.append((0.5 * a * (a / w), d / w) if a < w else (a - 0.5 * w, s))
    wanted = torch.tensor(wanted, dtype=torch.float64)
    fn = getattr(fastloss.functional if path == "kernel" else fastloss.reference, name)
    for given in (width, torch.tensor(width, dtype=dtype)):
        loss = fn(x, torch.zeros_like(x), reduction="none", **{what: given})
        (grad,) = torch.autograd.grad(loss.sum(), x)
        tiny = 4 * torch.finfo(dtype).smallest_normal * 2 * UNIT[dtype]
        torch.testing.assert_close(loss.detach().double(), wanted[:, 0], rtol=1e-5, atol=tiny)
        torch.testing.assert_close(grad.double(), wanted[:, 1], rtol=1e-4, atol=1e-30)
    weight = torch.full_like(x, 2.0)
    mean = fn(x.detach(), torch.zeros_like(x), weight=weight, **{what: width})
    torch.testing.assert_close(mean.double(), 2 * wanted[:, 0].mean(), rtol=1e-5, atol=1e-30)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
@pytest.mark.parametrize("path", ["kernel", "reference"])
def test_reduced_dimensions_round_once(path, dtype, isa):
    fn = fastloss.functional.mse_loss if path == "kernel" else fastloss.reference.mse_loss
    x = torch.full((3, 100), 300.0, dtype=dtype)
    made = fn(x, torch.zeros_like(x), reduction="mean", reduce_dims=1, normalizer=1000.0)
    assert made.dtype == dtype
    torch.testing.assert_close(made, torch.full((3,), 9000.0, dtype=dtype), rtol=0, atol=0)


@pytest.mark.parametrize("path", ["kernel", "as used", "reference"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("case", NATIVE, ids=str)
def test_dtype_under_autocast(case, dtype, path, monkeypatch):
    monkeypatch.setattr(module, "NATIVE_WHEN_TINY", path == "as used")
    tensors = tuple(t.detach() for t in make(case, 6, dtype))
    options = {"normalizer": 6.0} if path == "reference" else {}
    fn = case.reference if path == "reference" else case.functional
    for reduction in ("mean",) if options else ("none", "mean", "sum"):
        with torch.autocast("cpu", dtype=dtype):
            wanted = case.native(*tensors, reduction=reduction).dtype
            assert fn(*tensors, reduction=reduction, **options).dtype == wanted
            if "weight" in inspect.signature(case.native).parameters:
                for weight in (tensors[0].abs(), tensors[0].abs().float()):
                    wanted = case.native(*tensors, reduction=reduction, weight=weight).dtype
                    assert fn(*tensors, reduction=reduction, weight=weight, **options).dtype == wanted


@pytest.mark.parametrize("options", [{}, {"empty": "zero"}], ids=str)
@pytest.mark.parametrize("small", [True, False])
@pytest.mark.parametrize("case", [c for c in ELEMENTS if c.drop_in], ids=str)
def test_shapes_as_torch(case, small, options, monkeypatch):
    """The shape, or the type of the error, is PyTorch's; also with an option, which PyTorch does not have."""
    monkeypatch.setattr(module, "NATIVE_WHEN_TINY", small)
    for shapes in (((4, 1), (4,)), ((4,), (4, 1)), ((), (1,)), ((1,), ()), ((), ()), ((3, 4), (4,)), ((4,), (3, 4))):
        x, y = (torch.full(shape, 0.25) for shape in shapes)
        third = [torch.ones(shapes[0])] if case.arity == 3 else []
        found = []
        for fn, given in ((case.native, {}), (case.functional, options), (case.reference, options)):
            try:
                found.append(fn(x, y, *third, reduction="none", **given).shape)
            except Exception as error:
                found.append(type(error))
        assert found[0] == found[1] == found[2], (shapes, found)


def test_unknown_arguments_name_the_nearest():
    with pytest.raises(TypeError, match=r"unexpected argument alphaa, expected alpha, .*did you mean alpha\?"):
        fastloss.SigmoidFocalLoss(alphaa=0.2)
    with pytest.raises(TypeError, match=r"did you mean delta\?"):
        fastloss.functional.huber_loss(torch.ones(2), torch.ones(2), deltaa=1.0)
    y = torch.ones(2, dtype=torch.long)
    with pytest.raises(RuntimeError, match=r"\.float\(\)"):
        fastloss.functional.binary_cross_entropy_with_logits(torch.ones(2), y)
