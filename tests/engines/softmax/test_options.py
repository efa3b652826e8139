"""Options: torch's own, combined, exactly as torch defines them; ours against the reference."""

import itertools
import math

import cases
import pytest
import torch
import torch.nn.functional as F
from cases import HALF, REDUCTIONS, SOFTMAX, UNIT

import fastloss

SHAPES = {"rows": (12, 5), "one": (5,), "pixels": (3, 5, 2, 4)}
WEIGHT = [0.5, 0.0, 2.0, 1.0, 0.25]


def sample(shape, kind, ignore_index, dtype=torch.float64):
    """A batch in which the first and every fourth row is ignored, when there is more than one."""
    x, target = cases.make_rows(shape, dtype, kind, seed=3)
    if kind == "index" and target.dim():
        target.view(-1)[::4] = ignore_index
    return x, target


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_torch_options_combined(case, reduction, shape, isa):
    for dtype, kind, weighted, smoothing, ignore_index in itertools.product(
        (torch.float64, torch.float32),
        ("index", "probability"),
        (False, True),
        (0.0, 0.3, 1.0),
        (-100, -1, 2),
    ):
        if kind == "probability" and ignore_index != -100:
            continue
        x, target = sample(shape, kind, ignore_index, dtype)
        options = dict(
            weight=torch.tensor(WEIGHT, dtype=dtype) if weighted else None,
            reduction=reduction,
            label_smoothing=smoothing,
            ignore_index=ignore_index,
        )
        loss, grad = cases.run(case.functional, x, target, **options)
        native = cases.wide(options)
        target = target.double() if kind == "probability" else target
        wanted_loss, wanted_grad = cases.run(case.native, x.double(), target, **native)
        rows = target.numel() if reduction == "sum" else 1
        cases.check_loss(loss, wanted_loss, x, scale=2.0 * rows)
        # Smoothing's uniform part and weights up to 2 cancel in the gradient.
        cases.check_grad(grad, wanted_grad, x, extra=2.0 / (1 if reduction != "mean" else 4))


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_extras_combined(case, reduction, isa):
    """z_loss, softcap, mask, normalizer and empty with torch's options, against the reference."""
    for shape, kind, weighted, smoothing, z_loss, softcap, masked, normalizer in itertools.product(
        SHAPES.values(),
        ("index", "probability"),
        (False, True),
        (0.0, 0.2),
        (0.0, 0.05),
        (None, 5.0),
        (False, True),
        (None, 7.0),
    ):
        if normalizer is not None and reduction != "mean":
            continue
        x, target = sample(shape, kind, -100, torch.float32)
        mask = torch.rand(cases.rows_of(shape), generator=torch.Generator().manual_seed(1)) < 0.6
        options = dict(
            weight=torch.tensor(WEIGHT) if weighted else None,
            reduction=reduction,
            label_smoothing=smoothing,
            z_loss=z_loss,
            softcap=softcap,
            mask=mask if masked else None,
            normalizer=normalizer,
            empty="zero",
        )
        loss, grad = cases.run(case.functional, x, target, **options)
        wanted_loss, wanted_grad = cases.exact_rows(case, x, target, **options)
        # A row's loss is at most weight 2 times (1 + z_loss * lse^2 with lse <= 12) times its unit.
        cases.check_loss(
            loss, wanted_loss, x, scale=2 * (1 + z_loss * 144) * (mask.numel() if reduction == "sum" else 1)
        )
        cases.check_grad(grad, wanted_grad, x, extra=4.0)


@pytest.mark.parametrize("dtype", HALF, ids=str)
@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_extras_in_half_precision(case, dtype, isa):
    x, target = cases.make_rows((12, 5), dtype)
    mask = torch.arange(12) % 3 > 0
    weight = torch.tensor(WEIGHT, dtype=dtype)
    options = dict(weight=weight, label_smoothing=0.2, z_loss=0.05, softcap=5.0, temperature=0.8, mask=mask)
    for reduction in REDUCTIONS:
        loss, grad = cases.run(case.functional, x, target, reduction=reduction, **options)
        wanted_loss, wanted_grad = cases.exact_rows(case, x, target, reduction=reduction, **options)
        assert loss.dtype == dtype
        cases.check_loss(loss, wanted_loss, x, scale=12 * 8.0)
        cases.check_grad(grad, wanted_grad, x, extra=4.0)


@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_mask_is_ignore_index(case, isa):
    x, target = cases.make_rows((4, 5, 3), torch.float32)
    mask = torch.rand(4, 3) < 0.5
    for reduction in REDUCTIONS:
        for smoothing in (0.0, 0.1):
            options = dict(reduction=reduction, label_smoothing=smoothing)
            masked = cases.run(case.functional, x, target, mask=mask, **options)
            ignored = cases.run(case.functional, x, target.masked_fill(~mask, -7), ignore_index=-7, **options)
            for a, b in zip(masked, ignored, strict=True):
                torch.testing.assert_close(a, b, rtol=8 * UNIT[torch.float32], atol=UNIT[torch.float32])


@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_masked_rows_may_hold_any_target(case, isa):
    """A masked row's class index is not even read as one, so padding may hold rubbish."""
    x, target = cases.make_rows((4, 5), torch.float32)
    mask = torch.tensor([True, False, True, False])
    rubbish = target.masked_fill(~mask, 10**12)
    assert torch.equal(case.functional(x, rubbish, mask=mask), case.functional(x, target, mask=mask))
    with pytest.raises(IndexError):
        case.functional(x, rubbish, mask=~mask)


@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_normalizer(case, isa):
    x, target = cases.make_rows((6, 5), torch.float64)
    target[0] = -100
    total, _ = cases.run(case.functional, x, target, reduction="sum")
    for normalizer in (4.0, 4, torch.tensor(4.0), torch.tensor(4), torch.tensor(4.0, dtype=torch.float64)):
        mean, grad = cases.run(case.functional, x, target, normalizer=normalizer)
        assert mean.dtype == torch.float64
        torch.testing.assert_close(mean, total / 4, rtol=2 * UNIT[torch.float64], atol=0)
        cases.check_grad(grad, cases.exact_rows(case, x, target, normalizer=4.0)[1], x)


@pytest.mark.parametrize("kind", ["index", "probability"])
@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_empty(case, kind, isa):
    x, target = cases.make_rows((6, 5), torch.float32, kind)
    nothing = torch.zeros(6, dtype=torch.bool)
    for empty, wanted in (("nan", math.nan), ("zero", 0.0)):
        loss, grad = cases.run(case.functional, x, target, mask=nothing, empty=empty)
        assert torch.equal(loss.isnan(), torch.tensor(math.isnan(wanted)))
        assert empty == "nan" or loss == 0
        assert grad.count_nonzero() == 0
    for reduction in ("none", "sum"):
        loss, grad = cases.run(case.functional, x, target, mask=nothing, reduction=reduction)
        assert loss.count_nonzero() == 0
        assert grad.count_nonzero() == 0
    x, target = x.double(), target.double() if kind == "probability" else target
    kept = case.functional(x, target, empty="zero")
    torch.testing.assert_close(kept, case.native(x, target), rtol=1e-14, atol=0)


@pytest.mark.parametrize("loss_dtype", [torch.float64, torch.float32, *HALF], ids=str)
@pytest.mark.parametrize("dtype", cases.DTYPES, ids=str)
@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_loss_dtype(case, dtype, loss_dtype, isa):
    x, target = cases.make_rows((6, 9), dtype)
    for reduction in REDUCTIONS:
        loss, grad = cases.run(case.functional, x, target, reduction=reduction, loss_dtype=loss_dtype)
        wanted_loss, wanted_grad = cases.exact_rows(case, x, target, reduction=reduction)
        assert loss.dtype == loss_dtype
        assert grad.dtype == dtype
        cases.check_loss(loss, wanted_loss, x, scale=6.0)
        cases.check_grad(grad, wanted_grad, x)


@pytest.mark.parametrize("dtype", cases.DTYPES, ids=str)
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_inplace_same_numbers(case, reduction, dtype, isa):
    x, target = cases.make_rows((24, 50), dtype)
    for upstream in (1.0, -2.5, 0.0):
        for options in ({}, dict(label_smoothing=0.1, z_loss=0.01, mask=torch.arange(24) % 2 == 0)):
            options = dict(options, reduction=reduction, loss_dtype=torch.float32)
            wanted_loss, wanted_grad = cases.exact_rows(case, x, target, upstream, **options)
            leaf = x.clone().requires_grad_()
            logits = leaf.clone()
            version, address = logits._version, logits.data_ptr()
            seen = []
            logits.register_hook(seen.append)
            loss = case.functional(logits, target, inplace=True, **options)
            loss.backward(torch.full_like(loss, upstream))
            cases.check_loss(loss.detach(), wanted_loss, x.float() if dtype == torch.float64 else x, scale=24 * 4.0)
            # A half gradient made in forward is rounded, and rounded again when upstream scales it.
            slack = UNIT[dtype] * wanted_grad.abs() if upstream not in (0.0, 1.0) else 0.0
            cases.check_grad(leaf.grad, wanted_grad, x, extra=0.2) if dtype not in HALF else _near(
                leaf.grad, wanted_grad, slack, x
            )
            if isa != "none":
                assert logits._version > version
                assert seen[0].data_ptr() == address


def _near(actual, wanted, slack, x):
    limit = slack + UNIT[actual.dtype] * wanted.abs() + cases.slack(x) + cases.UNDERFLOW[actual.dtype]
    assert ((actual.double() - wanted).abs() <= limit).all()


@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_inplace_refusals(case, isa):
    if isa == "none":
        pytest.skip("the reference has no use for inplace")
    x, target = cases.make_rows((24, 50), torch.float32)
    leaf = x.requires_grad_()
    before = leaf.detach().clone()
    with pytest.raises(RuntimeError, match="leaf"):
        case.functional(leaf, target, inplace=True)
    assert torch.equal(leaf.detach(), before)

    logits = leaf * 1.0
    loss = case.functional(logits, target, inplace=True)
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="inplace"):
        loss.backward()

    logits = leaf * 1.0
    with pytest.raises(RuntimeError, match="inplace"):
        torch.autograd.grad(case.functional(logits, target, inplace=True), leaf, create_graph=True)

    # Another operator that saved the logits notices that they are gone.
    logits = leaf * 1.0
    used = logits.square().sum()
    case.functional(logits, target, inplace=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        used.backward()


@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_inplace_without_gradient(case, isa):
    """Nothing to write, so nothing is written."""
    x, target = cases.make_rows((24, 50), torch.float32)
    before = x.clone()
    assert torch.equal(case.functional(x, target, inplace=True), case.functional(before, target))
    with torch.no_grad():
        case.functional((x * 1.0).requires_grad_(), target, inplace=True)
    assert torch.equal(x, before)


@pytest.mark.parametrize("kind", ["index", "probability"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("dtype", cases.DTYPES, ids=str)
@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_stats(case, dtype, shape, kind, isa):
    for reduction, gradient in itertools.product(REDUCTIONS, (True, False)):
        for options in (
            {},
            dict(weight=WEIGHT, label_smoothing=0.2, z_loss=0.05, softcap=5.0, temperature=0.8),
            dict(mask=torch.rand(cases.rows_of(shape)) < 0.7),
        ):
            x, target = sample(shape, kind, -100, dtype)
            options = cases.tensors(dict(options, reduction=reduction, return_stats=True), dtype)
            loss, stats = case.functional(x.clone().requires_grad_(gradient), target, **options)
            double = target.double() if kind == "probability" else target
            wanted_loss, wanted = case.reference(x.double(), double, **cases.wide(options))
            cases.check_loss(loss.detach(), wanted_loss, x, scale=64.0)
            assert isinstance(stats, type(wanted))
            for name, value, right in zip(stats._fields, stats, wanted, strict=True):
                assert value.dim() == 0, name
                assert not value.requires_grad, name
                assert value.dtype == {"finite": torch.bool, "count": torch.int64}.get(name, torch.float64), name
                if name in ("accuracy", "finite", "count"):
                    torch.testing.assert_close(value, right, rtol=1e-15, atol=0, equal_nan=True, msg=name)
                else:  # sizes up to 12 (lse); the perplexity's relative error is its logarithm's absolute one
                    torch.testing.assert_close(
                        value,
                        right,
                        rtol=4 * cases.slack(x),
                        atol=4 * cases.slack(x),
                        equal_nan=True,
                        msg=name,
                    )


@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_stats_corners(case, isa):
    same = torch.zeros(3, 70)
    _, stats = case.functional(same, torch.tensor([0, 1, 0]), return_stats=True)
    assert stats.accuracy == pytest.approx(2 / 3, rel=1e-15), "the first of equal logits wins"
    assert stats.entropy == pytest.approx(math.log(70), rel=1e-6)
    assert stats.perplexity == pytest.approx(70, rel=1e-5)

    _, stats = case.functional(same, torch.full((3,), -100), return_stats=True)
    assert stats.count == 0
    assert all(value.isnan() for value in stats[:4])
    assert stats.grad_norm == 0

    for bad in (math.nan, math.inf):
        logits = torch.zeros(3, 70)
        logits[1, 5] = bad
        _, stats = case.functional(logits, torch.tensor([0, 1, 0]), return_stats=True)
        assert not stats.finite
        assert stats.count == 3
        _, stats = case.functional(logits, torch.tensor([0, -100, 0]), return_stats=True)
        assert stats.finite

    # -inf closes a class without making anything infinite or NaN: 0 log 0 = 0.
    logits = torch.zeros(2, 4)
    logits[:, 3] = -math.inf
    _, stats = case.functional(logits, torch.tensor([0, 1]), return_stats=True)
    assert stats.finite
    assert stats.entropy == pytest.approx(math.log(3), rel=1e-6)


def test_stats_are_their_definitions():
    """Independent of the reference: plain loops over one batch."""
    x, target = cases.make_rows((6, 5), torch.float64)
    target[2] = -100
    _, stats = SOFTMAX[0].functional(x, target, return_stats=True)
    p, kept = x.softmax(1), [i for i in range(6) if i != 2]
    mean = lambda values: sum(values) / len(kept)  # noqa: E731
    assert stats.count == 5
    assert stats.accuracy == pytest.approx(mean(float(x[i].argmax() == target[i]) for i in kept))
    assert stats.entropy == pytest.approx(mean(-sum(q * math.log(q) for q in p[i].tolist()) for i in kept))
    assert stats.perplexity == pytest.approx(math.exp(mean(-math.log(p[i, target[i]]) for i in kept)))
    assert stats.mean_lse == pytest.approx(mean(math.log(sum(map(math.exp, x[i].tolist()))) for i in kept))
    grad = torch.stack([p[i] - F.one_hot(target[i], 5) for i in kept]) / 5
    assert stats.grad_norm == pytest.approx(float(grad.norm()))


@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_stats_of_a_row_whose_maximum_comes_late(case, isa):
    """The target holds most of the first chunk of classes, the maximum stands in the last one."""
    x = torch.zeros(2, 9000, dtype=torch.float64)
    x[:, 5], x[:, 8999] = 9.0, 10.0
    target = torch.tensor([5, 8999])
    _, stats = case.functional(x, target, return_stats=True)
    _, wanted = case.reference(x, target, return_stats=True)
    for value, right in zip(stats[:5], wanted[:5], strict=True):
        assert value == pytest.approx(float(right), rel=1e-13)


@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_inplace_leaves_repeated_memory_alone(case, isa):
    """Rows that are one in memory cannot each hold their gradient there: it goes to a buffer of its own."""
    leaf = torch.randn(1, 40, dtype=torch.float64, requires_grad=True)
    target = torch.arange(7)
    case.functional((leaf * 1.0).expand(7, 40), target, inplace=True).backward()
    (wanted,) = torch.autograd.grad(case.native(leaf.expand(7, 40), target), leaf)
    torch.testing.assert_close(leaf.grad, wanted)


def test_alpha_of_focal_loss(isa):
    """A factor for every row or one for each class, also as tensors; the divisor is the weight's own."""
    f, exact = fastloss.functional.softmax_focal_loss, fastloss.reference.softmax_focal_loss
    for shape in ((33, 5), (4, 5, 6)):
        x, target = cases.make_rows(shape, torch.float64)
        target.view(-1)[::7] = -100
        mask = torch.rand(cases.rows_of(shape)) < 0.7
        weight = torch.rand(5, dtype=torch.float64)
        for alpha in (0.3, torch.tensor(0.3), torch.rand(5, dtype=torch.float64)):
            for reduction in REDUCTIONS:
                for extra in ({}, dict(weight=weight), dict(weight=weight, mask=mask), dict(label_smoothing=0.1)):
                    options = dict(alpha=alpha, gamma=1.5, reduction=reduction, **extra)
                    per_class = isinstance(alpha, torch.Tensor) and alpha.dim() and "label_smoothing" in extra
                    if isa != "none":
                        path = fastloss.explain(f, x, target, **options).path
                        assert path == ("reference" if per_class else "kernel")
                    for a, b in zip(
                        cases.run(f, x, target, **options), cases.run(exact, x, target, **options), strict=True
                    ):
                        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-13)
    x, target = cases.make_rows((6, 5))
    for bad in (torch.rand(4), torch.rand(1, 5)):
        with pytest.raises(RuntimeError, match="alpha has shape"):
            f(x, target, alpha=bad)
    with pytest.raises(ValueError, match="gamma must be 0 or more"):
        f(x, target, gamma=-1.0)


def test_focal_loss_of_either_mode(kernel):
    x, target = cases.make_rows((40, 5))
    softmax = fastloss.FocalLoss(gamma=1.5, reduction="sum")
    assert torch.equal(
        softmax(x, target), fastloss.functional.softmax_focal_loss(x, target, gamma=1.5, reduction="sum")
    )
    labels = torch.nn.functional.one_hot(target, 5).float()
    sigmoid = fastloss.FocalLoss(0.3, mode="sigmoid")
    assert torch.equal(sigmoid(x, labels), fastloss.functional.sigmoid_focal_loss(x, labels, 0.3, reduction="mean"))
    assert isinstance(softmax, fastloss.FocalLoss)
    with pytest.raises(ValueError, match="softmax"):
        fastloss.FocalLoss(mode="both")
