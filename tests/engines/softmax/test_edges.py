"""Nothing to do, nothing finite, nothing left of the loss, and too many rows to count in float32."""

import itertools
import math

import cases
import pytest
import torch
from cases import DTYPES, HALF, REDUCTIONS, SOFTMAX, UNIT

import fastloss

INF, NAN = math.inf, math.nan


@pytest.mark.parametrize("shape", [(0, 5), (0, 5, 3), (2, 5, 0), (0, 5, 2, 2)], ids=str)
@pytest.mark.parametrize("kind", ["index", "probability"])
@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_no_rows(case, kind, shape, isa):
    x, target = cases.make_rows(shape, torch.float32, kind)
    for reduction in REDUCTIONS:
        ours = cases.run(case.functional, x, target, reduction=reduction)
        native = cases.run(case.native, x, target, reduction=reduction)
        for a, b in zip(ours, native, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)
    loss, grad = cases.run(case.functional, x, target, empty="zero")
    assert loss == 0
    assert grad.shape == x.shape


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_all_ignored(case, dtype, smoothing, isa):
    x, target = cases.make_rows((6, 40), dtype)
    target.fill_(-100)
    for reduction in REDUCTIONS:
        options = dict(reduction=reduction, label_smoothing=smoothing)
        loss, grad = cases.run(case.functional, x, target, **options)
        native, _ = cases.run(case.native, x, target, **options)
        torch.testing.assert_close(loss, native, rtol=0, atol=0, equal_nan=True)
        assert grad.count_nonzero() == 0


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_kept_rows_of_no_weight(case, smoothing, isa):
    """0 / 0 is NaN in value and gradient, also where smoothing leaves something to divide."""
    x, target = cases.make_rows((3, 5), torch.float32)
    target[:] = torch.tensor([1, 1, -100])
    options = dict(weight=torch.tensor([1.0, 0.0, 2.0, 1.0, 1.0]), label_smoothing=smoothing)
    for ours, native in zip(
        cases.run(case.functional, x, target, **options),
        cases.run(case.native, x, target, **options),
        strict=True,
    ):
        torch.testing.assert_close(ours, native, rtol=0, atol=0, equal_nan=True)


# Logits of one row, spread over a few positions of a longer row of zeros; and the target.
SPECIAL = {
    "-inf beside the target": ({3: -INF}, 1),
    "-inf at the target": ({3: -INF}, 3),
    "two -inf": ({0: -INF, 39: -INF}, 39),
    "all but one -inf": (dict.fromkeys(range(1, 40), -INF), 0),
    "all -inf": (dict.fromkeys(range(40), -INF), 0),
    "+inf beside": ({3: INF}, 1),
    "+inf at the target": ({3: INF}, 3),
    "nan beside": ({38: NAN}, 1),
    "nan at the target": ({38: NAN}, 38),
    "nan and +inf": ({0: NAN, 39: INF}, 5),
    "nan and -inf": ({0: -INF, 39: NAN}, 5),
    "all equal": ({}, 7),
    "all equal, large": (dict.fromkeys(range(40), 30000.0), 7),
    "lowest fill": (dict.fromkeys(range(20), "min"), 25),
    "lowest fill at the target": (dict.fromkeys(range(20), "min"), 5),
    "all lowest": (dict.fromkeys(range(40), "min"), 5),
    "all highest": (dict.fromkeys(range(40), "max"), 5),
    "lowest and highest": ({0: "min", 1: "max"}, 1),
    "highest, lowest at the target": ({0: "min", 1: "max"}, 0),
    "far apart": ({0: 1000.0, 1: -1000.0}, 2),
    "very far apart": ({0: 60000.0, 1: -60000.0}, 0),
}


@pytest.mark.parametrize("layout", ["rows", "pixels"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("values", "target"), SPECIAL.values(), ids=SPECIAL)
@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_special_logits(case, values, target, dtype, layout, isa):
    """NaN and infinities exactly where the reference has them, and right numbers everywhere else."""
    info = torch.finfo(dtype)
    x = torch.zeros(3, 40, dtype=dtype)
    for position, value in values.items():
        x[1, position] = {"min": info.min, "max": info.max}.get(value, value)
    targets = torch.tensor([0, target, 1])
    if layout == "pixels":
        x, targets = x.t().unsqueeze(0).contiguous(), targets.unsqueeze(0)
    for reduction in REDUCTIONS:
        loss, grad = cases.run(case.functional, x, targets, reduction=reduction, loss_dtype=None)
        if case.gamma and x.dtype != torch.float16 and list(values.values()).count("min") > 1:
            # A loss at the end of the range: 2 n p overflows in the plain expression, not in ours.
            assert grad.isfinite().all()
            continue
        # In the compute dtype itself: where it overflows, so should we.
        wider = x if dtype == torch.float64 else x.float()
        wanted_loss, wanted_grad = cases.run(case.native, wider, targets, reduction=reduction)
        if isa == "none" and dtype in HALF:
            torch.testing.assert_close(loss, case.native(x, targets, reduction=reduction), equal_nan=True)
            continue
        # The wanted numbers carry errors of their own, from the same float32: 8 units each, and one rounding.
        unit = UNIT[torch.float64 if dtype == torch.float64 else torch.float32]
        for ours, wanted in ((loss, wanted_loss), (grad, wanted_grad)):
            torch.testing.assert_close(
                ours,
                wanted.to(dtype),
                rtol=16 * unit + 2 * UNIT[dtype] * (dtype in HALF),
                atol=unit,
                equal_nan=True,
            )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("shape", [(129, 3), (40, 1000)], ids=str)
@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_impossible_targets(case, shape, dtype, isa):
    """Their gradient is that of targets next to impossible, also where the others' sum is rounded to less than 1."""
    x, target = cases.make_rows(shape, dtype)
    grads = []
    for logit in (-INF, -600.0):
        y = x.clone()
        y[torch.arange(shape[0]), target] = logit
        grads.append(cases.run(case.functional, y, target, reduction="none")[1])
    torch.testing.assert_close(*grads, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(4, 40), (1, 40, 4), (4, 40, 1)], ids=str)
@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_dropped_rows_may_hold_anything(case, shape, dtype, isa):
    """A masked or ignored row is exactly zero in loss and gradient, and leaves the others alone."""
    x, target = cases.make_rows(shape, dtype)
    dropped = torch.zeros(cases.rows_of(shape), dtype=torch.bool)
    dropped.view(-1)[1] = True
    clean = cases.run(case.functional, x, target, mask=~dropped)
    for rubbish in (NAN, INF, -INF):
        dirty = torch.where(dropped.unsqueeze(1), rubbish, x)
        ways = [dict(mask=~dropped), dict(ignore_index=-3)]
        for options in ways:
            labels = target.masked_fill(dropped, -3) if "ignore_index" in options else target
            for extra in ({}, dict(label_smoothing=0.1), dict(z_loss=0.1, softcap=5.0)):
                for reduction in REDUCTIONS:
                    loss, grad = cases.run(case.functional, dirty, labels, reduction=reduction, **options, **extra)
                    assert loss.isfinite().all()
                    assert grad.isfinite().all()
                    assert grad.movedim(1, -1)[dropped].count_nonzero() == 0
                    assert reduction != "none" or loss[dropped].count_nonzero() == 0
            loss, grad = cases.run(case.functional, dirty, labels, **options)
            assert torch.equal(loss, clean[0])
            assert torch.equal(grad, clean[1])


@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_dropped_probability_rows_may_hold_anything(case, isa):
    x, target = cases.make_rows((4, 40), torch.float32, "probability")
    mask = torch.tensor([True, False, True, True])
    x, target = (torch.where(mask[:, None], t, NAN).requires_grad_() for t in (x, target))
    loss = case.functional(x, target, mask=mask)
    loss.backward()
    assert loss.isfinite()
    for grad in (x.grad, target.grad):
        assert grad.isfinite().all()
        assert grad[1].count_nonzero() == 0


def transformed(fn):
    """Loss and gradient by `torch.func`."""

    def run(x, target, **options):
        def total(x):
            loss = fn(x, target, **options)
            return loss.sum(), loss

        grad, loss = torch.func.grad(total, has_aux=True)(x)
        return loss, grad

    return run


def twice(fn):
    """Likewise by a graph of the gradient, whose own gradient must be as clean."""

    def run(x, target, **options):
        leaf = x.clone().requires_grad_()
        loss = fn(leaf, target, **options)
        (grad,) = torch.autograd.grad(loss.sum(), leaf, create_graph=True)
        (second,) = torch.autograd.grad(grad.square().sum(), leaf)
        return loss.detach(), torch.where(second.isfinite(), grad.detach(), NAN)

    return run


WAYS = {
    "as used": lambda case: lambda *a, **k: cases.run(case.functional, *a, **k),
    "reference": lambda case: lambda *a, **k: cases.run(case.reference, *a, **k),
    "transform": lambda case: transformed(case.functional),
    "second derivative": lambda case: twice(case.functional),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, *DTYPES], ids=str)
@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_dropped_rows_on_every_path(case, dtype, way):
    """Targets of every dtype, from one row of few classes to logits that no native operator gets."""
    run = WAYS[way](case)
    for shape in ((5,), (4, 5), (2, 5, 3), (300, 400)):
        dim = 1 if len(shape) > 1 else 0
        x, target = cases.make_rows(shape, kind="probability" if dtype.is_floating_point else "index")
        dropped = torch.zeros(cases.rows_of(shape), dtype=torch.bool)
        dropped.view(-1)[0] = True
        for rubbish in (NAN, INF, -INF):
            dirty = torch.where(dropped.unsqueeze(dim), rubbish, x)
            if dtype.is_floating_point:
                labels = torch.where(dropped.unsqueeze(dim), rubbish, target).to(dtype)
                given = [(labels, dict(mask=~dropped))]
            else:
                labels = target.to(dtype).masked_fill(dropped, 200)
                given = [(labels, dict(ignore_index=200)), (labels, dict(mask=~dropped))]
            for (labels, options), smoothing, reduction in itertools.product(given, (0.0, 0.1), REDUCTIONS):
                loss, grad = run(dirty, labels, label_smoothing=smoothing, reduction=reduction, **options)
                assert grad.isfinite().all()
                assert grad.movedim(dim, -1)[dropped].count_nonzero() == 0
                if reduction == "none":
                    assert loss[dropped].count_nonzero() == 0
                assert loss.isfinite().all() or (reduction == "mean" and not dim)  # over no row at all


@pytest.mark.parametrize("c", [33, 80, 1000])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_rows_stand_alone(case, dtype, c, isa):
    """Whatever the size of its logits, a row is right, and has the bits that it would have without its neighbours."""
    offsets = torch.tensor([0.0, 10, 30, 33, 33.3, 34, 39, 41, 87, 90, 1e3, -1e4, -10, -33, -34, -60, -104, -1e3])
    x, target = cases.make_rows((offsets.numel() * 3, c), torch.float32)
    x = (x + offsets.repeat(3)[:, None]).to(dtype)
    x[5::7, 1::2] = -INF
    target[5::7] = target[5::7] // 2 * 2
    loss, grad = cases.run(case.functional, x, target, reduction="none")
    summed, summed_grad = cases.run(case.functional, x, target, reduction="sum")
    for i in range(len(x)):
        row, label = x[i : i + 1], target[i : i + 1]
        wanted = cases.exact_rows(case, row, label, reduction="sum")
        cases.check_loss(loss[i], wanted[0], row, scale=case.enlarges({}))
        for made in (grad, summed_grad):
            cases.check_grad(made[i : i + 1], wanted[1], row)
        if isa != "none":
            alone, alone_grad = cases.run(case.functional, row, label, reduction="sum")
            assert torch.equal(loss[i], alone)
            assert torch.equal(summed_grad[i : i + 1], alone_grad)
    if isa != "none":
        total, stats = case.functional(x, target, reduction="sum", return_stats=True)
        assert torch.equal(total, summed)
        assert stats.finite


# p_y = 1 / (1 + k e^-gap): loss log1p(k e^-gap), and the target's gradient minus the sum of the others.
@pytest.mark.parametrize("shift", [0.0, 25.0, -32.0, 1000.0, -1000.0])
@pytest.mark.parametrize("c", [2, 3, 17, 1000])
@pytest.mark.parametrize("gap", [1.0, 10.0, 17.0, 30.0, 80.0])
@pytest.mark.parametrize("layout", ["rows", "pixels", "channels_last"])
@pytest.mark.parametrize("case", SOFTMAX[:1], ids=str)
def test_confident_rows_keep_their_digits(case, layout, gap, c, shift, isa):
    """Native float32 gives 0 from a gap of 17 on; e^-30 and e^-80 are ordinary float32 numbers."""
    if isa == "none":
        pytest.skip("a promise of the kernels; PyTorch rounds these to zero")
    x = torch.full((3, c), shift)
    target = torch.tensor([0, c // 2, c - 1])
    x[torch.arange(3), target] += gap
    # In closed form: float64's own log_softmax has three digits left of e^-30 and none of e^-80.
    rest = (c - 1) * math.exp(-gap)
    wanted_loss = torch.full((3,), math.log1p(rest), dtype=torch.float64)
    wanted_grad = torch.full((3, c), math.exp(-gap) / (1 + rest), dtype=torch.float64)
    wanted_grad[torch.arange(3), target] = -rest / (1 + rest)
    labels = target
    if layout != "rows":
        x, labels = x.t()[None], target[None]
        x = x.contiguous() if layout == "pixels" else x.movedim(1, -1).contiguous().movedim(-1, 1)
        wanted_loss, wanted_grad = wanted_loss[None], wanted_grad.t()[None]
    # The exponent's rounding (gap units), exp, and a sum of c terms: about 5e-6 at 80, below 1e-5 at 30.
    u = UNIT[torch.float32]
    rtol = u * (gap + 8 + 2 * math.sqrt(c))
    loss, grad = cases.run(case.functional, x, labels, reduction="none")
    torch.testing.assert_close(loss.double(), wanted_loss, rtol=rtol, atol=0)
    torch.testing.assert_close(grad.double(), wanted_grad, rtol=rtol, atol=0)
    mean, grad = cases.run(case.functional, x, labels)
    torch.testing.assert_close(mean.double(), wanted_loss.mean(), rtol=rtol, atol=0)
    torch.testing.assert_close(grad.double(), wanted_grad / 3, rtol=rtol, atol=0)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 2.5])
@pytest.mark.parametrize("gap", [1.0, 10.0, 17.0, 30.0])
def test_confident_rows_of_focal_loss_keep_their_digits(gap, gamma, isa):
    r"""With q = k e^-gap / (1 + k e^-gap): q^gamma n, and its derivative q^gamma (q + gamma p n) on each side."""
    if isa == "none":
        pytest.skip("a promise of the kernels; PyTorch rounds these to zero")
    for c in (2, 17, 1000):
        x = torch.zeros(3, c)
        target = torch.tensor([0, c // 2, c - 1])
        x[torch.arange(3), target] += gap
        rest = (c - 1) * math.exp(-gap)
        n, q = math.log1p(rest), rest / (1 + rest)
        slope = q**gamma * (q + gamma * (1 - q) * n)
        wanted_grad = torch.full((3, c), slope / (c - 1), dtype=torch.float64)
        wanted_grad[torch.arange(3), target] = -slope
        loss, grad = cases.run(fastloss.functional.softmax_focal_loss, x, target, gamma=gamma, reduction="none")
        rtol = UNIT[torch.float32] * (1 + gamma) * (gap + 8 + 2 * math.sqrt(c))
        torch.testing.assert_close(loss.double(), torch.full((3,), q**gamma * n).double(), rtol=rtol, atol=1e-37)
        torch.testing.assert_close(grad.double(), wanted_grad, rtol=rtol, atol=1e-37)


@pytest.mark.parametrize("case", SOFTMAX[:1], ids=str)
def test_more_rows_than_float32_can_count(case, isa):
    """2^24 + 1 equal losses: adding ones in float32 would stop at 2^24."""
    if isa == "none":
        pytest.skip("a promise of the kernels")
    n = 2**24 + 1
    x = torch.zeros(1, 2).expand(n, 2)
    target = torch.zeros(1, dtype=torch.int64).expand(n)
    u = UNIT[torch.float32]
    with torch.no_grad():
        # One row's ln 2 may be off by 2 units, its sum by 1 more.
        assert float(case.functional(x, target, reduction="sum")) == pytest.approx(n * math.log(2), rel=3 * u)
        assert float(case.functional(x, target)) == pytest.approx(math.log(2), rel=3 * u)
        _, stats = case.functional(x, target, return_stats=True)
        assert stats.count == n
        assert stats.accuracy == 1


@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_as_many_classes_as_float32_can_count(case, isa):
    c = 2**24 + 1
    x = torch.zeros(1, c)
    loss, grad = cases.run(case.functional, x, torch.tensor([c - 1]))
    u = UNIT[torch.float32]
    # What matters is not stopping at 2^24: the logarithm of a sum short by half would be off by 4 percent.
    nll = torch.tensor(math.log(c), dtype=torch.float64, requires_grad=True)
    values = {"nll": nll, "p": (-nll).exp(), "q": -torch.expm1(-nll)}
    defaults = {name: case.default(name) for name in case.record.params}
    params = {k: float(k == case.record.factor) if v is None else v for k, v in defaults.items()}
    wanted = case.record.formula(**{name: values[name] for name in case.record.reads}, **params)
    (slope,) = torch.autograd.grad(wanted, nll)
    assert float(loss) == pytest.approx(float(wanted.detach()), rel=16 * u)
    torch.testing.assert_close(grad[0, :-1], torch.full((c - 1,), float(slope) / c), rtol=64 * u, atol=0)


@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_bad_targets_write_nothing(case, isa):
    """An index outside [0, C) is an IndexError that names it, wherever it stands."""
    for shape in ((5,), (6, 5), (2, 5, 3), (4000, 5)):
        x, target = cases.make_rows(shape, torch.float32)
        for bad in (5, -1, 2**40, -(2**63)):
            labels = target.clone()
            labels.view(-1)[-1] = bad
            for reduction in REDUCTIONS:
                with pytest.raises(IndexError, match=str(bad)):
                    case.functional(x.clone().requires_grad_(), labels, reduction=reduction)
    x, target = cases.make_rows((6, 5), torch.float32)
    target[4] = 9
    logits = x.requires_grad_() * 1.0
    before = logits.detach().clone()
    with pytest.raises(IndexError):
        case.functional(logits, target, inplace=True)
    assert torch.equal(logits.detach(), before)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_ignored_rows_whatever_comes_from_above(case, reduction, isa):
    for dtype, upstream in itertools.product(DTYPES, (float("nan"), float("inf"))):
        x, target = torch.randn(40, 9, dtype=dtype), torch.arange(40) % 9
        _, grad = cases.run(case.functional, x, target, upstream, reduction=reduction, ignore_index=3)
        assert grad[target == 3].count_nonzero() == 0
