"""Options that losses share: as the formula has them, whatever lies where a mask is False."""

import itertools
import math

import pytest
import torch
from cases import DTYPES, ELEMENTS, PRODUCTS, REDUCTIONS, UNIT, gradients, wide

import fastloss

pytestmark = pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")
close = torch.testing.assert_close
# Rows of logits: engines/softmax/test_options.py; anchors: engines/similarity.
LOSSES = (*ELEMENTS, *PRODUCTS)


@pytest.mark.parametrize("case", LOSSES, ids=str)
def test_options(case, isa):
    size = (6, 5, 4) if case in ELEMENTS else (12, 20)
    arguments = case.make(size, {}, torch.float64)
    for options in case.options(case.values(size)):
        assert fastloss.explain(case.functional, **arguments, **options).path == "kernel"
        ours, wanted = (gradients(fn, arguments, **options) for fn in (case.functional, case.reference))
        for a, b in zip(ours, wanted, strict=True):
            close(a, b, rtol=1e-6 if a.dtype == torch.float32 else 1e-10, atol=1e-13, equal_nan=True)
        if options["reduction"] != "none":
            loss, stats = case.functional(**arguments, return_stats=True, **options)
            _, expected = case.reference(**wide(arguments), return_stats=True, **options)
            close(loss.detach(), ours[0], equal_nan=True)
            for a, b in zip(stats, expected, strict=True):
                close(a, b, rtol=1e-10, atol=0, check_dtype=False)


def where_kept(mask, t, other):
    """The tensor with something else in rows, or elements, that the mask leaves out."""
    kept = mask.reshape(mask.shape + (1,) * (t.dim() - mask.dim()))
    return torch.where(kept, t.detach(), other).requires_grad_(t.requires_grad)


@pytest.mark.parametrize("case", LOSSES, ids=str)
def test_masked_values_are_not_there(case, isa):
    for dtype in DTYPES:
        size = (50,) if case in ELEMENTS else (50, 18)
        arguments = case.make(size, {}, dtype)
        mask = torch.rand(50) < 0.5
        broken = {k: where_kept(mask, t, math.nan) for k, t in arguments.items()}
        kept = {k: t.detach()[mask].requires_grad_(t.requires_grad) for k, t in arguments.items()}
        for reduction in REDUCTIONS:
            got = gradients(case.functional, broken, reduction=reduction, mask=mask)
            wanted = gradients(case.functional, kept, reduction=reduction)
            for k, (a, b) in enumerate(zip(got, wanted, strict=True)):
                if k == 0 and reduction != "none":
                    close(a, b, rtol=32 * UNIT[dtype], atol=0)
                else:
                    assert torch.equal(a[mask], b)
                    assert a[~mask].count_nonzero() == 0
        loss, *grads = gradients(case.functional, broken, reduction="mean", mask=mask & False)
        assert loss.isnan() if case.record.empty == "nan" else loss == 0
        assert all(g.count_nonzero() == 0 for g in grads)
        assert case.functional(**broken, reduction="mean", mask=mask & False, empty="zero") == 0


@pytest.mark.parametrize("rubbish", [math.nan, math.inf, 3e38], ids=str)
@pytest.mark.parametrize("path", ["functional", "reference"])
@pytest.mark.parametrize("case", LOSSES, ids=str)
def test_what_is_masked_may_be_anything(case, path, rubbish):
    """Arguments and weights where the mask is False: zeros in value and gradients, the rest as without them."""
    fn = getattr(case, path)
    for n in (2, 3000):
        arguments = case.make((n,) if case in ELEMENTS else (n, 4), {}, torch.float64)
        weight, mask = torch.rand(n, dtype=torch.float64), torch.arange(n) % 2 == 0
        broken = {k: where_kept(mask, t, rubbish) for k, t in arguments.items()}
        for reduction in REDUCTIONS:
            options = {"reduction": reduction, "mask": mask}
            wanted = gradients(fn, arguments, weight=weight, **options)
            found = gradients(fn, broken, weight=where_kept(mask, weight, rubbish), **options)
            for k, (a, b) in enumerate(zip(found, wanted, strict=True)):
                assert torch.equal(a, b)
                assert (k == 0 and reduction != "none") or a[~mask].count_nonzero() == 0
            for upstream in (math.nan, math.inf):
                _, *grads = gradients(fn, arguments, upstream, weight=weight, **options)
                assert all(g[~mask].count_nonzero() == 0 for g in grads)


@pytest.mark.parametrize("case", LOSSES, ids=str)
def test_statistics(case, isa):
    size = (300, 7) if case in ELEMENTS else (300, 24)
    shape = case.values(size)
    mask, weight = torch.rand(shape) < 0.8, torch.rand(shape, dtype=torch.float64)
    arguments = case.make(size, {}, torch.float64)
    for options, k in itertools.product(
        ({}, dict(mask=mask), dict(weight=weight, reduction="sum"), dict(reduce_dims=len(shape) - 1, mask=mask)),
        (0, -1),
    ):
        options = {"reduction": "mean", **options, **case.params[k]}
        loss, stats = case.functional(**arguments, return_stats=True, **options)
        _, wanted = case.reference(**wide(arguments), return_stats=True, **options)
        close(loss, case.functional(**arguments, **options))
        for a, b in zip(stats, wanted, strict=True):
            close(a, b, rtol=1e-10, atol=0, check_dtype=False)
