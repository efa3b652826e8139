"""The specification itself: against PyTorch where they overlap, against loops over the formula where not."""

import itertools
import math

import cases
import pytest
import torch
import torch.nn.functional as F
from cases import REDUCTIONS

from fastloss.reference import cross_entropy

close = torch.testing.assert_close
WEIGHT = [0.5, 0.0, 2.0, 1.0, 0.25]


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(5,), (6, 5), (2, 5, 3)], ids=str)
@pytest.mark.parametrize("kind", ["index", "probability"])
def test_native_without_extras(kind, shape, reduction):
    for dtype in cases.DTYPES:
        x, target = cases.make_rows(shape, dtype, kind)
        for weight, smoothing in itertools.product((None, torch.tensor(WEIGHT, dtype=dtype)), (0.0, 0.3)):
            options = dict(weight=weight, label_smoothing=smoothing, reduction=reduction)
            ours, native = (
                cases.run(cross_entropy, x, target, **options),
                cases.run(F.cross_entropy, x, target, **options),
            )
            for a, b in zip(ours, native, strict=True):
                close(a, b, rtol=0, atol=0, equal_nan=True)  # one class weighs nothing: 0 / 0, alone in its batch


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(5,), (6, 5), (2, 5, 3), (2, 5, 3, 2)], ids=str)
@pytest.mark.parametrize("kind", ["index", "probability"])
def test_native_through_the_formula(kind, shape, reduction):
    """A mask that keeps every row is an extra that changes nothing."""
    x, target = cases.make_rows(shape, torch.float64, kind)
    everything = torch.ones(cases.rows_of(shape), dtype=torch.bool)
    if kind == "index" and target.dim():
        target.view(-1)[1] = 2
    for weight, smoothing, ignore in itertools.product(
        (None, torch.tensor(WEIGHT, dtype=torch.float64)),
        (0.0, 0.3),
        (-100,) if kind == "probability" else (-100, 2),
    ):
        options = dict(weight=weight, label_smoothing=smoothing, reduction=reduction, ignore_index=ignore)
        ours = cases.run(cross_entropy, x, target, mask=everything, **options)
        native = cases.run(F.cross_entropy, x, target, **options)
        for a, b in zip(ours, native, strict=True):
            close(a, b, rtol=1e-13, atol=1e-15, equal_nan=True)


def by_hand(x, target, weight, ignore_index, reduction, eps, z_loss, softcap, temperature, mask, normalizer, empty):
    """The formula with Python floats, one row of an (N, C) batch at a time."""
    n, c = x.shape
    w = [1.0] * c if weight is None else weight.tolist()
    total, divisor, losses, kept = 0.0, 0.0, [], 0
    for i in range(n):
        soft = target.is_floating_point()
        if (mask is not None and not mask[i]) or (not soft and target[i] == ignore_index):
            losses.append(0.0)
            continue
        z = [(softcap * math.tanh(v / softcap) if softcap else v) / temperature for v in x[i].tolist()]
        lse = math.log(sum(math.exp(v) for v in z))
        if soft:
            t = [(1 - eps) * v + eps / c for v in target[i].tolist()]
            row = sum(w[k] * t[k] * (lse - z[k]) for k in range(c)) + z_loss * lse**2
            divisor += 1
        else:
            y = int(target[i])
            row = w[y] * (1 - eps) * (lse - z[y]) + z_loss * w[y] * lse**2
            row += eps / c * sum(w[k] * (lse - z[k]) for k in range(c))
            divisor += w[y]
        losses.append(row)
        kept += 1
        total += row
    if reduction == "none":
        return losses
    if reduction == "sum":
        return total
    if kept == 0 and empty == "zero":
        return 0.0
    divisor = normalizer if normalizer is not None else divisor
    return total / divisor if divisor else math.nan


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("kind", ["index", "probability"])
def test_formula(kind, reduction):
    generator = torch.Generator().manual_seed(5)
    masks = (None, torch.rand(6, generator=generator) < 0.6, torch.zeros(6, dtype=torch.bool))
    for weighted, eps, z_loss, (softcap, temperature), mask, normalizer, empty in itertools.product(
        (False, True), (0.0, 0.2), (0.0, 0.1), ((None, 1.0), (3.0, 0.7)), masks, (None, 2.5), ("nan", "zero")
    ):
        if normalizer is not None and reduction != "mean":
            continue
        x, target = cases.make_rows((6, 5), torch.float64, kind)
        if kind == "index":
            target[3] = -100
        weight = torch.tensor([0.5, 0.1, 2.0, 1.0, 0.25], dtype=torch.float64) if weighted else None
        shared = (z_loss, softcap, temperature, mask, normalizer, empty)
        wanted = by_hand(x, target, weight, -100, reduction, eps, *shared)
        options = dict(zip(("z_loss", "softcap", "temperature", "mask", "normalizer", "empty"), shared, strict=True))
        ours = cross_entropy(x, target, weight, reduction=reduction, label_smoothing=eps, **options)
        close(ours, torch.tensor(wanted, dtype=torch.float64), rtol=1e-12, atol=1e-14, equal_nan=True)


def test_stats_formula():
    x, target = cases.make_rows((6, 5), torch.float64)
    target[3] = -100
    _, stats = cross_entropy(x, target, return_stats=True, reduction="sum", z_loss=0.1)
    kept = [0, 1, 2, 4, 5]
    p = [[math.exp(v) / sum(map(math.exp, row)) for v in row] for row in x.tolist()]
    lse = [math.log(sum(map(math.exp, row))) for row in x.tolist()]
    y = target.tolist()
    squares = 0.0
    for i in kept:
        for c in range(5):
            squares += (p[i][c] - (c == y[i]) + 2 * 0.1 * lse[i] * p[i][c]) ** 2
    wanted = [
        sum(p[i][y[i]] == max(p[i]) for i in kept) / 5,
        -sum(q * math.log(q) for i in kept for q in p[i]) / 5,
        math.exp(-sum(math.log(p[i][y[i]]) for i in kept) / 5),
        sum(lse[i] for i in kept) / 5,
        math.sqrt(squares),
    ]
    close(torch.stack(stats[:5]), torch.tensor(wanted, dtype=torch.float64), rtol=1e-12, atol=0)
    assert stats.finite
    assert stats.count == 5


def test_second_derivatives_of_the_extras():
    x, target = cases.make_rows((4, 5), torch.float64)
    mask = torch.tensor([True, False, True, True])
    options = dict(z_loss=0.1, softcap=3.0, label_smoothing=0.1, mask=mask, weight=torch.rand(5, dtype=torch.float64))
    assert torch.autograd.gradcheck(lambda x: cross_entropy(x, target, **options), x.requires_grad_())
    assert torch.autograd.gradgradcheck(lambda x: cross_entropy(x, target, **options), x)


def test_dropped_rows_are_clean():
    """NaN logits in a row that does not count reach neither the loss nor any derivative of it."""
    x, target = cases.make_rows((4, 5), torch.float64)
    x[1] = math.nan
    mask = torch.tensor([True, False, True, True])
    hessian = torch.func.hessian(lambda x: cross_entropy(x, target, mask=mask, z_loss=0.1, softcap=3.0))(x)
    assert hessian.isfinite().all()
    assert hessian[1].count_nonzero() == 0
    assert hessian[0].count_nonzero() > 0


def test_half_is_computed_in_float32():
    for dtype in cases.HALF:
        x, target = cases.make_rows((50, 40), dtype)
        loss, grad = cases.run(cross_entropy, x, target, z_loss=0.1)
        wanted_loss, wanted_grad = cases.run(cross_entropy, x.double(), target, z_loss=0.1)
        cases.check_loss(loss, wanted_loss, x, scale=4.0)
        cases.check_grad(grad, wanted_grad, x, extra=1 / 50)
