"""Value and gradient of every loss: worked out by hand, against float64, against native's error."""

import itertools

import cases
import pytest
import torch
from cases import DTYPES, ELEMENTS, EVERY, HALF, PRODUCTS, REDUCTIONS, SOFTMAX, UNIT, gradients

import fastloss
from fastloss._core import operators as _ops

pytestmark = pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")
# Tested by themselves.
APART = {
    "count_positives", "class_balanced_weights", "gan_generator_loss", "gan_discriminator_loss",
    "hard_example_cross_entropy", "generalized_box_iou_loss", "distance_box_iou_loss", "complete_box_iou_loss",
    "distribution_focal_loss", "box_cost", "boundary_target", "distillation_loss", "jsd_cross_entropy",
    "token_logprobs", "flex_cross_entropy", "perplexity", "causal_lm_loss",
    "linear_token_logprobs", "linear_flex_cross_entropy", "linear_divergence",
    "proxy_anchor_loss", "sampled_softmax_loss", "gbce_loss",
    *(name for name in fastloss.functional.composed.__all__ if hasattr(torch.nn.functional, name)),
}  # fmt: skip
SETTINGS = [pytest.param(case, s, id=f"{case}-{k}") for case in EVERY for k, s in enumerate(case.settings)]


def test_every_loss_has_a_case():
    assert {case.name for case in EVERY} == set(fastloss.functional.__all__) - APART
    if _ops.AVAILABLE:
        records = [case.record for case in (*ELEMENTS, *PRODUCTS)]
        records += [record.fuller for record in records if record.optional]
        built = dict(_ops.extension().pointwise_losses() + _ops.extension().pairs_losses())
        assert {record.operator: ",".join(record.params) for record in records} == built
        components = {record.operator: record.components for record in records if not record.pairs}
        assert components == _ops.extension().components()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("case", [case for case in EVERY if case.points], ids=str)
def test_points(case, dtype, isa):
    # Rounding the logits to ``dtype`` moves the loss by some units; PyTorch adds 1e-6 to the vectors of triplets.
    rtol, atol = {
        "elements": (16 * UNIT[dtype], 4 * UNIT[dtype]), "softmax": (16 * UNIT[dtype], 64 * UNIT[dtype]),
        "composition": (16 * UNIT[dtype], 64 * UNIT[dtype]), "divergence": (64 * UNIT[dtype], 64 * UNIT[dtype]),
        "linear": (16 * UNIT[dtype], 64 * UNIT[dtype]), "regions": (16 * UNIT[dtype], 64 * UNIT[dtype]),
        "products": (1e-6, 3e-6),
    }[case.engine]  # fmt: skip
    for arguments, options, loss in case.points:
        tensors = [torch.tensor(v) for v in arguments]
        floats = [dtype if t.is_floating_point() else None for t in tensors]
        tensors = [torch.tensor(v, dtype=kind) for v, kind in zip(arguments, floats, strict=True)]
        got = case.functional(*tensors, **cases.tensors({"reduction": "mean", **options}, dtype))
        torch.testing.assert_close(got, torch.tensor(loss, dtype=dtype), rtol=rtol, atol=atol, equal_nan=True)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("case", "params"), SETTINGS)
def test_against_float64(case, params, dtype, isa, route):
    for size, reduction, way in itertools.product(case.sizes, REDUCTIONS, case.ways):
        arguments, more = case.make(size, params, dtype), route(way)
        got = gradients(case.functional, arguments, reduction=reduction, **more)
        leaves = [t for t in arguments.values() if getattr(t, "requires_grad", False)]
        assert [t.dtype for t in got] == [dtype, *(t.dtype for t in leaves)]
        if case.engine in ("products", "divergence", "similarity"):
            assert fastloss.explain(case.functional, **arguments, reduction=reduction, **more).path == "kernel"
        if isa == "none" and dtype in HALF:
            continue  # without kernels half precision is PyTorch's own
        case.judge(arguments, reduction=reduction).check(got, (size, reduction, way))
        if case.native is not None:
            native = gradients(case.native, arguments, reduction=reduction)
            assert [(t.dtype, t.shape) for t in got] == [(t.dtype, t.shape) for t in native]


LARGE = {"elements": ((200, 100),), "products": ((300, 200),), "softmax": ((4096, 10), (4096, 300), (8, 21, 512))}


@pytest.mark.parametrize("dtype", [torch.float32, *HALF], ids=str)
@pytest.mark.parametrize(
    ("case", "params"), [p for p in SETTINGS if p.values[0].native and p.values[0].engine in LARGE]
)
def test_errors_not_above_native(case, params, dtype, isa):
    """Over many elements luck averages out; where both are exact, one rounding in a thousand.

    The mean of 4096 independent absolute errors has a relative standard deviation of about 0.75 / 64; three of those
    for the difference of two are 5 percent. The largest error of an element, in units of what its arguments are
    uncertain by, is its luck: half a unit, one without fused multiply-adds. (In units of the element itself the one
    nearest to zero would decide.)
    """
    if isa == "none" and dtype in HALF:
        pytest.skip("without kernels half precision is PyTorch's own")
    if isa == "baseline" and params.get("kind") == "probability":
        pytest.skip("a lane of four adds a quarter of the classes one after the other")
    for size in LARGE[case.engine]:
        arguments = case.make_smooth(size, params, dtype)
        ours, native = (gradients(fn, arguments, reduction="none") for fn in (case.functional, case.native))
        wanted = cases.exact(case, arguments, reduction="none")
        scales = case.scales(arguments) if case in ELEMENTS else [None] * len(ours)
        for a, b, w, scale in zip(ours, native, wanted, scales, strict=True):
            error, native_error = (a.double() - w).abs(), (b.double() - w).abs()
            assert error.mean() <= 1.05 * native_error.mean() + 1e-3 * UNIT[dtype] * w.abs().mean()
            if scale is not None:
                unit = UNIT[dtype] * (scale + torch.zeros_like(w))
                assert error[unit == 0].count_nonzero() == 0
                largest, native_largest = ((e / unit)[unit > 0].max() for e in (error, native_error))
                assert largest <= native_largest + (1 if isa == "baseline" else 0.5)


@pytest.mark.parametrize("dtype", [torch.float32, *HALF], ids=str)
@pytest.mark.parametrize(("case", "params"), [p for p in SETTINGS if p.values[0] in SOFTMAX])
def test_largest_error_not_above_native(case, params, dtype, isa):
    """Up to one rounding of the largest entry (which the better of two results that both round correctly may win by
    luck) and two units of float32 for its own luck in between."""
    for size, reduction in itertools.product(case.sizes, REDUCTIONS):
        arguments = case.make(size, params, dtype)
        results = (gradients(fn, arguments, reduction=reduction) for fn in (case.functional, case.native))
        for ours, native, wanted in zip(*results, cases.exact(case, arguments, reduction=reduction), strict=True):
            luck = (UNIT[dtype] + 2 * UNIT[torch.float32]) * float(wanted.abs().max())
            assert (ours.double() - wanted).abs().max() <= (native.double() - wanted).abs().max() + luck


@pytest.mark.parametrize("case", EVERY, ids=str)
def test_reductions_agree(case, isa):
    """Of the values that are kept: a mean of a similarity loss leaves anchors without pairs out."""
    arguments = {k: v.detach() if isinstance(v, torch.Tensor) else v for k, v in case.make((40, 11)).items()}
    arguments = cases.wide(arguments)
    none, mean, total = (case.functional(**arguments, reduction=r) for r in ("none", "mean", "sum"))
    torch.testing.assert_close(none.sum(), total, rtol=1e-12, atol=1e-12)
    if case.engine != "similarity":
        torch.testing.assert_close(mean * none.numel(), total, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("case", EVERY, ids=str)
def test_no_gradient_same_value(case, isa):
    """The same bits, whether a gradient is made or not."""
    for dtype, reduction in itertools.product(DTYPES, REDUCTIONS):
        arguments = case.make((19, 37), {}, dtype)
        loss = case.functional(**arguments, reduction=reduction)
        with torch.no_grad():
            plain = case.functional(**arguments, reduction=reduction)
        assert loss.requires_grad
        assert not plain.requires_grad
        assert torch.equal(loss.detach(), plain)


@pytest.mark.parametrize("case", EVERY, ids=str)
def test_arguments_are_not_written(case, isa, route):
    for params, dtype, way in itertools.product(case.settings, (torch.float32, *HALF), case.ways):
        arguments = {**case.make((19, 37), params, dtype), **case.extras((19, 37), dtype)}
        if arguments.get("symmetric"):
            arguments.pop("weight")
        before = {k: (t.detach().clone(), t._version) for k, t in arguments.items() if isinstance(t, torch.Tensor)}
        gradients(case.functional, arguments, 3.0, reduction="mean", **route(way))
        for name, (t, version) in before.items():
            assert torch.equal(t, arguments[name].detach())
            assert arguments[name]._version == version
