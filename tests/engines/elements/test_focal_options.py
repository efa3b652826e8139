"""Sigmoid focal loss: classes as targets, ignored targets, smoothing, alpha per class, tails."""

import math

import pytest
import torch
from cases import UNDERFLOW, UNIT

import fastloss
import fastloss.functional as f
from fastloss.engines import elements as _points

close = torch.testing.assert_close
N, C = 40, 7


@pytest.fixture(autouse=True)
def _kernel(monkeypatch):
    monkeypatch.setattr(_points, "NATIVE_WHEN_TINY", False)


def make(dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    x = (3 * torch.randn(N, C, generator=generator, dtype=torch.float64)).to(dtype).requires_grad_()
    return x, torch.randint(-1, C + 1, (N,), generator=generator)


def dense(classes, dtype=torch.float64):
    """One row each, by hand."""
    made = torch.zeros(N, C, dtype=dtype)
    for row, c in enumerate(classes.tolist()):
        if 0 <= c < C:
            made[row, c] = 1
    return made


def both(x, loss, wanted):
    close(loss, wanted)
    (ours,), (theirs,) = torch.autograd.grad(loss.sum(), x), torch.autograd.grad(wanted.sum(), x, retain_graph=True)
    close(ours, theirs)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_classes(reduction, isa):
    x, classes = make()
    for dtype in (torch.int64, torch.int32, torch.uint8):
        kept = classes.clamp_min(0).to(dtype)
        assert fastloss.explain(f.sigmoid_focal_loss, x, kept, reduction=reduction).path == "kernel"
        both(
            x,
            f.sigmoid_focal_loss(x, kept, reduction=reduction),
            f.sigmoid_focal_loss(x, dense(kept), reduction=reduction),
        )
    wanted = f.sigmoid_focal_loss(x, dense(classes), reduction=reduction)
    both(x, f.sigmoid_focal_loss(x, classes, reduction=reduction), wanted)
    both(x, fastloss.reference.sigmoid_focal_loss(x, classes, reduction=reduction), wanted)


@pytest.mark.parametrize("function", [f.sigmoid_focal_loss, fastloss.reference.sigmoid_focal_loss])
@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32], ids=str)
def test_numbers_beyond_the_targets_dtype(dtype, function):
    """Narrow targets mean what they mean as int64, beside any number of classes and any ignored one."""
    columns = 300
    x = torch.randn(64, columns, dtype=torch.float64)
    alpha = torch.linspace(0.1, 0.9, columns, dtype=torch.float64)
    low, high = (0, 2) if dtype == torch.bool else (torch.iinfo(dtype).min, min(torch.iinfo(dtype).max, 400) + 1)
    classes = torch.cat([torch.tensor([low, high - 1]), torch.randint(low, high, (62,))]).to(dtype)
    labels = torch.randint(0, 2, x.shape).to(dtype)
    for targets in (classes, labels):
        for ignore_index in (None, -1, -100, 0, 1, 255, 2**31):
            options = {"ignore_index": ignore_index}
            if targets is classes:
                found, wanted = (f.count_positives(t, columns, **options) for t in (targets, targets.long()))
                assert found == wanted
            for more in ({}, {"alpha": alpha}):
                found, wanted = (function(x, t, **options, **more) for t in (targets, targets.long()))
                assert torch.equal(found, wanted)


@pytest.mark.parametrize("function", [f.sigmoid_focal_loss, fastloss.reference.sigmoid_focal_loss])
def test_ignored(function, isa):
    x, classes = make()
    kept = classes != 3
    wanted = f.sigmoid_focal_loss(x[kept], dense(classes)[kept], reduction="mean")
    with torch.no_grad():
        x[~kept] = math.nan
    loss = function(x, classes, reduction="mean", ignore_index=3)
    both(x, loss, wanted)
    rows = torch.rand(N) < 0.5
    some = rows & kept
    both(
        x,
        function(x, classes, reduction="mean", ignore_index=3, mask=rows),
        f.sigmoid_focal_loss(x[some], dense(classes)[some], reduction="mean"),
    )
    # Dense targets are ignored one by one.
    y = dense(classes)
    y[::3, ::2] = -100
    plain = y != -100
    with torch.no_grad():
        x[~kept] = 0.0
        x[~plain] = math.nan
    wanted = f.sigmoid_focal_loss(x[plain], y[plain], reduction="mean")
    both(x, function(x, y, reduction="mean", ignore_index=-100), wanted)


@pytest.mark.parametrize("function", [f.sigmoid_focal_loss, fastloss.reference.sigmoid_focal_loss])
def test_smoothing_and_alpha_per_class(function, isa):
    x, classes = make()
    y = dense(classes)
    both(
        x,
        function(x, classes, label_smoothing=0.2, reduction="sum"),
        f.sigmoid_focal_loss(x, 0.8 * y + 0.1, reduction="sum"),
    )
    alpha = torch.linspace(0.1, 0.9, C, dtype=torch.float64)
    weight = torch.rand(N, 1, dtype=torch.float64)
    by_column = torch.stack([f.sigmoid_focal_loss(x[:, c], y[:, c], float(alpha[c])) for c in range(C)], 1)
    both(x, function(x, classes, alpha), by_column)
    both(x, function(x, y, alpha, weight=weight), by_column * weight)
    smoothed = torch.stack(
        [
            (alpha[c] * y[:, c] + (1 - alpha[c]) * (1 - y[:, c]))
            * f.sigmoid_focal_loss(x[:, c], y[:, c] * 0.8 + 0.1, -1)
            for c in range(C)
        ],
        1,
    )
    both(x, function(x, classes, alpha, label_smoothing=0.2), smoothed)


def test_learned_alpha_per_class(isa):
    x, classes = make()
    alpha = torch.linspace(0.1, 0.9, C, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a: f.sigmoid_focal_loss(x.detach(), classes, a, reduction="mean"), alpha)


def test_bad_smoothing():
    x, classes = make()
    for function in (f.sigmoid_focal_loss, fastloss.reference.sigmoid_focal_loss):
        with pytest.raises(ValueError, match=r"label_smoothing must be between 0 and 1, got 1\.5"):
            function(x, classes, label_smoothing=1.5)


def test_count_positives():
    _, classes = make()
    wanted = sum(0 <= c < C for c in classes.tolist())
    assert f.count_positives(classes, C).item() == wanted
    assert f.count_positives(dense(classes)).item() == wanted
    assert f.count_positives(classes, C, ignore_index=3).item() == wanted - classes.tolist().count(3)
    half = torch.arange(N) < N // 2
    assert f.count_positives(classes, C, mask=half).item() == sum(0 <= c < C for c in classes.tolist()[: N // 2])
    assert f.count_positives(torch.full((5,), C), C).item() == 1
    x, _ = make()
    total = f.sigmoid_focal_loss(x, classes, reduction="sum")
    close(f.sigmoid_focal_loss(x, classes, reduction="mean", normalizer=f.count_positives(classes, C)), total / wanted)


def test_module():
    x, classes = make()
    module = fastloss.SigmoidFocalLoss(ignore_index=2, label_smoothing=0.1)
    wanted = f.sigmoid_focal_loss(x, classes, reduction="mean", ignore_index=2, label_smoothing=0.1)
    assert torch.equal(module(x, classes), wanted)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 3.3])
def test_tails(gamma, dtype, isa):
    """Finite, and exact relative to their own size, however small that is."""
    x = torch.tensor([0, 1, 5, 8, 16, 20, 40, 60, 80, 87, 88, 95, 100.0], dtype=dtype)
    x = torch.cat([x, -x]).requires_grad_()
    for label in (0.0, 1.0):
        y = torch.full_like(x, label, requires_grad=False)
        loss = f.sigmoid_focal_loss(x, y, 0.25, gamma)
        (grad,) = torch.autograd.grad(loss.sum(), x)
        wide = x.detach().double().requires_grad_()
        wanted = fastloss.reference.sigmoid_focal_loss(wide, y.double(), 0.25, gamma)
        (slope,) = torch.autograd.grad(wanted.sum(), wide)
        compute = torch.float64 if dtype == torch.float64 else torch.float32
        # 16 roundings; in a power by way of its logarithm (in the reference, our measure in float64, each) that of
        # gamma times it, at most 100 gamma. Below the normal numbers their spacing counts; AVX512_BF16 stores 0 there.
        by_logarithm = dtype == torch.float64 or gamma not in (0, 1, 2)
        relative = UNIT[compute] * (16 + 100 * gamma * by_logarithm) + UNIT[dtype]
        least = UNDERFLOW[dtype] + (2.0**-126 if compute == torch.float32 else 0)
        for a, b in ((loss, wanted), (grad, slope)):
            assert a.isfinite().all()
            big = b.abs() > torch.finfo(dtype).max
            error = (a.double() - b).abs()
            assert bool((error <= relative * b.abs() + 4 * least)[~big].all()), (error / b.abs()).max()
