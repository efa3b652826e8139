"""Losses of the catalogue against the formulas of their papers and of the libraries that people know, in float64."""

import math
from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F
from cases import DTYPES, HALF

import fastloss
from fastloss import functional

close = torch.testing.assert_close
C = 7
COUNTS = torch.tensor([500, 3, 80, 1, 0, 12, 7])
INF, NAN = math.inf, math.nan


def rows(spread=3.0, n=40):
    x = spread * torch.randn(n, C, dtype=torch.float64)
    return x.requires_grad_(), torch.randint(C, (n,))


def both(loss, x):
    return [loss.detach(), *torch.autograd.grad(loss.sum(), x)]


def likelihood(x, y):
    return x.softmax(1).gather(1, y.unsqueeze(1)).squeeze(1)


def one_hot(y):
    return F.one_hot(y, C).double()


def timm_single_label(x, y, gamma_pos, gamma_neg, eps):
    """Each class's weight is a power of what it lacks, and the smoothed target goes over all classes."""
    p, t = x.softmax(1), one_hot(y)
    lacks = torch.where(t == 1, 1 - p, p)
    factor = torch.where(t == 1, lacks**gamma_pos, lacks**gamma_neg)
    return -((t * (1 - eps) + eps / C) * factor * p.log()).sum(1)


def ldam_of_authors(x, y, max_margin, scale):
    n = COUNTS.clamp_min(1).double()
    margins = n**-0.25 * (max_margin / (n**-0.25).max())
    return F.cross_entropy(scale * (x - margins * one_hot(y)), y, reduction="none")


def crammer_singer(x, y):
    others = x.masked_fill(one_hot(y) == 1, -INF)
    return (1 + others.amax(1) - x.gather(1, y[:, None]).squeeze(1)).clamp_min(0)


WRITTEN = {
    "generalized_cross_entropy": (dict(q=0.7), lambda x, y: (1 - likelihood(x, y) ** 0.7) / 0.7),
    "truncated": (
        dict(q=0.7, k=0.3),
        lambda x, y: torch.where((p := likelihood(x, y)) > 0.3, (1 - p**0.7) / 0.7, (1 - 0.3**0.7) / 0.7),
    ),
    "symmetric_cross_entropy": (
        dict(alpha=0.5, beta=2.0, log_zero=math.log(1e-4)),
        lambda x, y: (
            0.5 * F.cross_entropy(x, y, reduction="none") - 2 * (x.softmax(1) * one_hot(y).clamp_min(1e-4).log()).sum(1)
        ),
    ),
    "asymmetric_cross_entropy": (
        dict(gamma_pos=1.5, gamma_neg=4.0),
        lambda x, y: timm_single_label(x, y, 1.5, 4.0, 0.1),
    ),
    "unsmoothed": (dict(gamma_pos=2, label_smoothing=0.0), lambda x, y: timm_single_label(x, y, 2.0, 4.0, 0.0)),
    "logit_adjusted_cross_entropy": (
        dict(log_prior=(COUNTS + 1).log(), tau=1.5),
        lambda x, y: F.cross_entropy(x + 1.5 * (COUNTS + 1).log().double(), y, reduction="none"),
    ),
    "balanced_softmax": (
        dict(log_prior=COUNTS[:4].double().log()),
        lambda x, y: ((COUNTS[:4] * x.exp()).sum(1) / (COUNTS[y] * x.gather(1, y[:, None]).squeeze(1).exp())).log(),
    ),
    "ldam_loss": (dict(counts=COUNTS, scale=10.0), lambda x, y: ldam_of_authors(x, y, 0.5, 10.0)),
    "multiclass_hinge_loss": ({}, crammer_singer),
    "weston_watkins": (dict(kind="weston_watkins"), lambda x, y: C * F.multi_margin_loss(x, y, reduction="none")),
}
NAMES = {
    "truncated": "generalized_cross_entropy", "unsmoothed": "asymmetric_cross_entropy",
    "balanced_softmax": "logit_adjusted_cross_entropy", "weston_watkins": "multiclass_hinge_loss",
}  # fmt: skip


@pytest.mark.parametrize("name", WRITTEN)
def test_as_written(name, isa):
    options, written = WRITTEN[name]
    x, y = rows()
    if name == "balanced_softmax":
        x, y = x[:, :4].detach().requires_grad_(), y % 4
    ours = getattr(functional, NAMES.get(name, name))(x, y, reduction="none", **options)
    close(both(ours, x), both(written(x, y), x), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("gap", [10.0, 30.0, 80.0])
def test_right_and_sure(gap, dtype, isa):
    """p -> 1, q = (C - 1) e^-gap: to first order in q each loss is a multiple of it."""
    x = torch.zeros(2, C, dtype=dtype)
    x[:, 2] = gap
    y, q = torch.tensor([2, 2]), (C - 1) * math.exp(-gap)
    first = {
        "generalized_cross_entropy": ({}, 1.0), "symmetric_cross_entropy": ({}, 0.1 + 4.0),
        "asymmetric_cross_entropy": (dict(label_smoothing=0.0, gamma_pos=0.0), 1.0),
        "ldam_loss": (dict(counts=COUNTS, scale=1.0, max_margin=2.0), math.exp(2 * (1 / 80) ** 0.25)),
    }  # fmt: skip
    for name, (options, factor) in first.items():
        leaf = x.clone().requires_grad_()
        loss, grad = both(getattr(functional, name)(leaf, y, reduction="none", **options), leaf)
        rtol = 2e-14 * gap + 4 * q if dtype == torch.float64 else 1e-5 + 4 * q * math.exp(2)
        close(loss, torch.full_like(loss, factor * q), rtol=rtol, atol=0)
        close(grad[:, 2], torch.full_like(loss, -factor * q), rtol=rtol, atol=0)
        close(grad[:, 0], torch.full_like(loss, factor * q / (C - 1)), rtol=rtol, atol=0)


# Of logits with -inf at class 1, for the targets 0 and 1: value, and whether the gradient is 0.
IMPOSSIBLE = {
    "generalized_cross_entropy": ({}, 1 / 0.7, True),
    "symmetric_cross_entropy": (dict(alpha=0.0), 4.0, True),
    "asymmetric_cross_entropy": ({}, INF, False),
    "ldam_loss": (dict(counts=COUNTS), INF, False),
    "logit_adjusted_cross_entropy": (dict(log_prior=COUNTS.log()), INF, False),
    "multiclass_hinge_loss": ({}, INF, False),
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_a_logit_of_minus_infinity(name, isa):
    options, value, flat = IMPOSSIBLE[name]
    x = torch.randn(2, C, dtype=torch.float64)
    x[:, 1] = -INF
    x.requires_grad_()
    loss, grad = both(getattr(functional, name)(x, torch.tensor([0, 1]), reduction="none", **options), x)
    assert loss[0].isfinite()
    assert grad[0].isfinite().all()
    assert loss[1] == value or loss[1].item() == pytest.approx(value, rel=1e-14)
    assert not flat or grad[1].count_nonzero() == 0


def test_margins_may_be_large(isa):
    """Scaled, far beyond what float32's exponential holds: the loss is the margin then."""
    x = torch.zeros(2, C, requires_grad=True)
    loss, grad = both(functional.ldam_loss(x, torch.tensor([3, 3]), COUNTS, 3.0, 100.0, reduction="none"), x)
    close(loss, torch.full((2,), 300 + math.log(C - 1)))
    close(grad[:, 3], torch.full((2,), -100.0))
    close(grad[:, :3], torch.full((2, 3), 100 / (C - 1)))


@pytest.mark.parametrize("name", [*IMPOSSIBLE, "hard_example_cross_entropy"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_dropped_rows_may_hold_anything(name, dtype, isa):
    if isa == "none" and dtype in HALF:
        pytest.skip("without kernels half precision is PyTorch's own")
    options = dict(k=3) if name.startswith("hard") else IMPOSSIBLE[name][0]
    x, y = (t.detach() for t in rows(n=12))
    function, mask = getattr(functional, name), torch.arange(12) % 3 > 0
    for rubbish in (NAN, INF, -INF):
        dirty = torch.where(mask[:, None], x, rubbish).to(dtype).requires_grad_()
        wanted = function(dirty[mask], y[mask], **options).detach()
        for dropped in (dict(mask=mask), dict(ignore_index=-3)):
            target = y if "mask" in dropped else torch.where(mask, y, -3)
            loss, grad = both(function(dirty, target, **options, **dropped), dirty)
            close(loss, wanted)
            assert grad.isfinite().all()
            assert grad[~mask].count_nonzero() == 0


@pytest.mark.parametrize("name", [*IMPOSSIBLE, "hard_example_cross_entropy"])
def test_errors(name):
    options = dict(k=3) if name.startswith("hard") else IMPOSSIBLE[name][0]
    x, y = rows()
    function = getattr(functional, name)
    for target, kind in (
        (y + 1 - y.min() + C, IndexError), (y.double(), RuntimeError), (y[:5], (RuntimeError, ValueError)),
        (y[:, None], RuntimeError),
    ):  # fmt: skip
        with pytest.raises(kind):
            function(x, target, **options)
    with pytest.raises(TypeError, match="nonsense"):
        function(x, y, nonsense=1, **options)
    with pytest.raises(RuntimeError, match="mask"):
        function(x, y, mask=torch.ones(3, dtype=torch.bool), **options)
    with pytest.raises(ValueError, match="reduction"):
        function(x, y, reduction="median", **options)
    with pytest.raises(ValueError, match="empty"):
        function(x, y, empty="no", **options)
    for what in ("counts", "log_prior"):
        if what in options:
            with pytest.raises(RuntimeError, match=f"{what} has shape"):
                function(x, y, options[what][:3])
    if "kind" in fastloss._core.signatures.of_function(function):
        with pytest.raises(ValueError, match="kind must be one of"):
            function(x, y, kind="weston")


def test_hard_examples(isa):
    x, y = rows()
    weight = torch.rand(C, dtype=torch.float64) + 0.5
    for options in ({}, dict(weight=weight), dict(label_smoothing=0.1)):
        for reduction in ("mean", "sum"):
            chosen = F.cross_entropy(x, y, reduction="none", **options).topk(5).values
            ours = functional.hard_example_cross_entropy(x, y, 5, reduction=reduction, **options)
            close(both(ours, x), both(getattr(chosen, reduction)(), x), rtol=1e-12, atol=1e-15)
            found = fastloss.HardExampleCrossEntropy(5, reduction=reduction, **options)(x, y)
            assert torch.equal(found, ours)
    few = torch.where(torch.arange(40) < 3, y, -100)
    close(functional.hard_example_cross_entropy(x, few, 5), F.cross_entropy(x, few))
    assert functional.hard_example_cross_entropy(x, few - 100 - few, 5, empty="zero") == 0
    assert functional.hard_example_cross_entropy(x, few - 100 - few, 5).isnan()
    pixels = x.detach().view(2, 20, C).transpose(1, 2)
    close(
        functional.hard_example_cross_entropy(pixels, y.view(2, 20), 5), functional.hard_example_cross_entropy(x, y, 5)
    )
    for k in (0, -1, 2.0, True):
        with pytest.raises(ValueError, match="k must be"):
            functional.hard_example_cross_entropy(x, y, k)


FEW = {
    "logit_adjusted_cross_entropy": [dict(log_prior=-torch.arange(1.0, C + 1), tau=t) for t in (1.0, 2.5)],
    "ldam_loss": [dict(counts=COUNTS), dict(counts=COUNTS.flip(0)), dict(counts=COUNTS, scale=4.0, max_margin=0.25)],
    "multiclass_hinge_loss": [dict(kind=kind, margin=0.5) for kind in ("crammer_singer", "weston_watkins")],
    "hard_example_cross_entropy": [dict(k=7), dict(k=1000), dict(k=7, label_smoothing=0.2)],
    "listnet_loss": [{}],
}


@pytest.mark.parametrize("name", FEW)
def test_few_rows_take_pytorchs_operators_and_are_the_same(name):
    """Whichever way the size of a call decides; a row that does not count, an option or a class too many decide too."""
    function = getattr(functional, name)
    x, y = rows()
    y = torch.randn_like(x) if name == "listnet_loss" else y
    mask = torch.ones((40, C) if name == "listnet_loss" else 40, dtype=torch.bool)
    reductions = ("mean", "sum") if name.startswith("hard") else ("none", "mean", "sum")
    for given in FEW[name]:
        if "log_prior" in given:
            given = {**given, "log_prior": given["log_prior"].double()}
        assert fastloss.explain(function, x, y, **given).path == "native"
        assert fastloss.explain(function, x, y, **given, mask=mask).path != "native"
        for reduction in reductions:
            few = both(function(x, y, **given, reduction=reduction), x)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("fastloss.engines.softmax.TINY", -1)
                assert fastloss.explain(function, x, y, **given).path != "native"
                for a, b in zip(few, both(function(x, y, **given, reduction=reduction), x), strict=True):
                    close(a, b, rtol=1e-12, atol=1e-14)
            for a, b in zip(few, both(function(x, y, **given, reduction=reduction, mask=mask), x), strict=True):
                close(a, b, rtol=1e-12, atol=1e-14)
    if y.is_floating_point():
        return
    for bad in (C, -1):
        with pytest.raises(IndexError):
            function(x, y.index_fill(0, torch.tensor(3), bad), **FEW[name][0])


def test_ldam_loss_sees_counts_that_have_changed():
    x, y = rows()
    counts = COUNTS.clone()
    before = functional.ldam_loss(x, y, counts)
    counts.numpy()[:] = COUNTS.flip(0).numpy()
    close(functional.ldam_loss(x, y, counts), functional.ldam_loss(x, y, COUNTS.flip(0)), rtol=0, atol=0)
    assert functional.ldam_loss(x, y, counts) != before


def test_listnet_lists_of_several_lengths(isa):
    x, r = torch.randn(4, 9, dtype=torch.float64), torch.randint(5, (4, 9))
    lengths = torch.tensor([9, 1, 4, 0])
    mask = torch.arange(9) < lengths[:, None]
    alone = [-(r[i, :n].double().softmax(0) * x[i, :n].log_softmax(0)).sum() for i, n in enumerate(lengths)]
    for rubbish in (0.0, NAN, INF, -INF, 1e300):
        dirty = torch.where(mask, x, rubbish).requires_grad_()
        loss, grad = both(functional.listnet_loss(dirty, r, "none", mask=mask), dirty)
        close(loss, torch.stack(alone), rtol=1e-12, atol=1e-14)
        assert grad[~mask].count_nonzero() == 0
        close(functional.listnet_loss(dirty, r, mask=mask).detach(), sum(alone) / 3)
    for bad in ((x, r[:3]), (r, r), (x[0, 0], r[0, 0])):
        with pytest.raises(RuntimeError, match="expected"):
            functional.listnet_loss(*bad)
    with pytest.raises(RuntimeError, match="mask"):
        functional.listnet_loss(x, r, mask=mask.any(1))


@pytest.mark.parametrize("beta", [0, 0.9, 0.999, 0.9999999, 1])
def test_class_balanced_weights(beta):
    weights = functional.class_balanced_weights(COUNTS.double(), beta)
    b = Fraction(beta)
    exact = [Fraction(0) if n == 0 else 1 / Fraction(n) if b == 1 else (1 - b) / (1 - b**n) for n in COUNTS.tolist()]
    wanted = torch.tensor([float(w * C / sum(exact)) for w in exact], dtype=torch.float64)
    close(weights, wanted, rtol=1e-9 if beta == 0.9999999 else 1e-13, atol=0)
    assert weights.sum().item() == pytest.approx(C, rel=1e-14)
    assert functional.class_balanced_weights(COUNTS, beta).dtype == torch.float32
    for bad in (-0.1, 1.5, NAN):
        with pytest.raises(ValueError, match="beta"):
            functional.class_balanced_weights(COUNTS, bad)
