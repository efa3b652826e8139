"""Value and gradient: against the reference in float64, against native's error, and worked out by hand."""

import cases
import pytest
import torch
from cases import CASES, DTYPES, HALF, REDUCTIONS, UNIT, settings

SHAPES = ((7,), (5, 3), (33, 17), (9, 1000), (3, 21, 5, 7))
POINTS = [pytest.param(case, point, id=f"{case}-{i}") for case in CASES for i, point in enumerate(case.points)]
SETTINGS = settings(CASES)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(("case", "point"), POINTS)
def test_point(case, point, dtype, isa):
    x = torch.tensor(point.logits, dtype=dtype)
    target = torch.tensor(point.target)
    target = target.to(dtype) if target.is_floating_point() else target
    loss, _ = cases.run(case.functional, x, target, **cases.tensors(point.options, dtype))
    # Rounding the given logits to dtype moves the loss by at most their size in units of roundoff: in slack.
    cases.check_loss(loss, torch.tensor(point.loss, dtype=torch.float64), x, scale=4.0)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("kind", ["index", "probability"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("case", "params"), SETTINGS)
def test_against_reference(case, params, dtype, kind, reduction, shape, isa):
    x, target = cases.make(shape, dtype, kind)
    options = dict(params, reduction=reduction)
    loss, grad = cases.run(case.functional, x, target, **options)
    native_loss, native_grad = cases.run(case.native, x, target, **options)
    wanted_loss, wanted_grad = cases.exact(case, x, target, **options)
    assert (loss.dtype, loss.shape) == (native_loss.dtype, native_loss.shape)
    assert (grad.dtype, grad.shape) == (native_grad.dtype, native_grad.shape)

    if isa == "none" and dtype in HALF:
        assert torch.equal(loss, native_loss)
        return
    rows = max(1, wanted_loss.numel() if reduction == "none" else target.numel())
    cases.check_loss(loss, wanted_loss, x, scale=case.enlarges(params) * (rows if reduction == "sum" else 1.0))
    cases.check_grad(grad, wanted_grad, x, cases.cancelling(target, reduction))
    if dtype == torch.float64:
        return  # PyTorch's own float64 is the measure
    # At least as exact as native, up to one rounding of the largest entry (which the better of two results
    # that both round correctly may win by luck) and two units of float32 for its own luck in between.
    for ours, native, wanted in ((loss, native_loss, wanted_loss), (grad, native_grad, wanted_grad)):
        largest = float(wanted.abs().max())
        luck = (UNIT[dtype] + 2 * UNIT[torch.float32]) * largest
        error, native_error = ((r.double() - wanted).abs().max() for r in (ours, native))
        assert error <= native_error + luck


@pytest.mark.parametrize("shape", [(4096, 10), (4096, 300), (8, 21, 512)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, *HALF], ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_mean_error_not_above_native(case, dtype, shape, isa):
    """Over many rows luck averages out: the mean error of rows and gradients is at most native's.

    The mean of 4096 independent absolute errors has a relative standard deviation of about 0.75 / 64; three
    of those for the difference of two are 5 percent.
    """
    x, target = cases.make(shape, dtype)
    ours = cases.run(case.functional, x, target, reduction="none")
    native = cases.run(case.native, x, target, reduction="none")
    wanted = cases.exact(case, x, target, reduction="none")
    for a, b, w in zip(ours, native, wanted, strict=True):
        assert (a.double() - w).abs().mean() <= 1.05 * (b.double() - w).abs().mean()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_reductions_agree(case, isa):
    x, target = cases.make((40, 11), torch.float64)
    none, mean, total = (case.functional(x, target, reduction=r) for r in ("none", "mean", "sum"))
    # Sums of 40 terms: 40 units.
    torch.testing.assert_close(none.sum(), total, rtol=40 * UNIT[torch.float64], atol=0)
    torch.testing.assert_close(mean * 40, total, rtol=2 * UNIT[torch.float64], atol=0)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_no_gradient_same_value(case, isa):
    for dtype in DTYPES:
        for reduction in REDUCTIONS:
            x, target = cases.make((19, 37), dtype)
            with_grad = case.functional(x.clone().requires_grad_(), target, reduction=reduction)
            with torch.no_grad():
                without = case.functional(x, target, reduction=reduction)
            assert with_grad.requires_grad
            assert not without.requires_grad
            assert torch.equal(with_grad.detach(), without)


@pytest.mark.parametrize("dtype", [torch.float32, *HALF], ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_arguments_are_not_written(case, dtype, isa):
    x, target = cases.make((19, 37), dtype, "probability")
    weight, mask = torch.rand(37).to(dtype), torch.rand(19) < 0.7
    kept = [t.clone() for t in (x, target, weight, mask)]
    cases.run(case.functional, x, target, 3.0, weight=weight, mask=mask, label_smoothing=0.1)
    assert all(torch.equal(a, b) for a, b in zip(kept, (x, target, weight, mask), strict=True))
