"""What only losses of elements have: vectors in part, broadcasting, kinks, special values, PyTorch's errors."""

import itertools
import math
import warnings

import cases
import pytest
import torch
from cases import (
    DTYPES,
    ELEMENTS,
    REDUCTIONS,
    UNIT,
    gradients,
)

import fastloss
import fastloss.engines.elements as module
from fastloss._core._torch import CLAMPS_ALIKE

pytestmark = pytest.mark.filterwarnings(
    "ignore:reduction. 'mean' divides", "ignore:Using a target size", "ignore:There is a performance drop"
)
close = torch.testing.assert_close


NATIVE = [case for case in ELEMENTS if case.native is not None]
SEVERAL = [case for case in ELEMENTS if case.arity > 1]


@pytest.fixture(autouse=True)
def _kernel(kernel):
    pass


@pytest.mark.parametrize("case", ELEMENTS, ids=str)
def test_partial_vectors(case, isa):
    """Whatever the length, every element gets the bits it has in a longer tensor."""
    for dtype in DTYPES:
        longest = 1100
        tensors = case.tensors((longest,), dtype)
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


@pytest.mark.parametrize("case", SEVERAL, ids=str)
def test_broadcast(case, isa):
    """Expanded arguments are read where they lie and get summed gradients."""
    if case.native is not None and case.name.startswith("binary"):
        pytest.skip("PyTorch rejects different sizes")
    for small in ((1, 9), (4, 1), (1, 1)):
        tensors = case.tensors((4, 9), torch.float64)
        row = case.tensors(small, torch.float64, seed=1)[1]
        mixed = (tensors[0], row, *tensors[2:])
        for reduction in REDUCTIONS:
            for a, b in zip(
                gradients(case.functional, mixed, reduction=reduction),
                gradients(case.reference, mixed, reduction=reduction),
                strict=True,
            ):
                close(a, b, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("shapes", [((1, 6), (6,)), ((6, 1), (6,)), ((2, 3), (3, 2))], ids=str)
@pytest.mark.parametrize("case", SEVERAL, ids=str)
def test_as_many_elements_in_another_shape(case, shapes):
    """What the quick way lets through to the operator, which refuses it."""
    first, second, *more = case.tensors((6,), torch.float64)
    shapes = [(*shape, *first.shape[1:]) for shape in shapes]
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


@pytest.mark.parametrize("case", ELEMENTS, ids=str)
def test_lazily_negated_view(case):
    tensors = case.tensors((40,), torch.float64)
    negated = torch.complex(torch.zeros_like(tensors[0]), -tensors[0].detach()).conj().imag
    assert negated.is_neg()
    with torch.no_grad():
        close(case.functional(negated, *tensors[1:]), case.functional(*tensors), rtol=0, atol=0)


# PyTorch 2.15 has another slope at the margin than its releases before and than ours.
KINKS_ALIKE = [
    case for case in NATIVE if CLAMPS_ALIKE or case.name not in ("hinge_embedding_loss", "margin_ranking_loss")
]


@pytest.mark.parametrize("case", KINKS_ALIKE, ids=str)
def test_kinks(case, isa):
    for dtype, point in itertools.product((torch.float64, torch.float32), case.kinks):
        tensors = tuple(torch.tensor([v], dtype=dtype, requires_grad=k not in case.fixed) for k, v in enumerate(point))
        for a, b in zip(
            gradients(case.functional, tensors, reduction="sum"),
            gradients(case.native, tensors, reduction="sum"),
            strict=True,
        ):
            close(a, b, rtol=8 * UNIT[dtype], atol=UNIT[dtype], equal_nan=True)


@pytest.mark.parametrize("case", KINKS_ALIKE, ids=str)
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


FASTER_IN_PYTORCH = {
    "huber_loss", "smooth_l1_loss", "mse_loss", "l1_loss", "binary_cross_entropy_with_logits", "binary_cross_entropy",
    "soft_margin_loss", "kl_div",
}  # fmt: skip


@pytest.mark.parametrize("case", ELEMENTS, ids=str)
def test_small_inputs_go_where_they_are_fast(case, monkeypatch):
    monkeypatch.setattr(module, "NATIVE_WHEN_TINY", True)
    tensors = case.tensors((5, 4), torch.float32)
    path = fastloss.explain(case.functional, *tensors, reduction="mean").path
    assert path == ("native" if case.name in FASTER_IN_PYTORCH else "kernel")
    if case.native is not None:
        for reduction in REDUCTIONS:
            ours, native = (gradients(f, tensors, reduction=reduction) for f in (case.functional, case.native))
            for a, b in zip(ours, native, strict=True):
                close(a, b)


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
    case = cases.of("binary_cross_entropy_with_logits")
    x, y = case.tensors((50, 6), dtype)
    weight, pos_weight = torch.rand(50, 1).to(dtype), (torch.rand(6) * 3).to(dtype)
    for reduction in REDUCTIONS:
        options = dict(weight=weight, pos_weight=pos_weight, reduction=reduction)
        assert fastloss.explain(f, x, y, **options).path == "kernel"
        ours = gradients(f, (x, y), **options)
        wanted = cases.exact(case, case.named((x, y)), **options)
        for a, b in zip(ours, wanted, strict=True):
            cases.check_near(a, b, cases.ROUNDINGS * cases.compute_unit(a.dtype) * 40.0, "pos_weight")


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
