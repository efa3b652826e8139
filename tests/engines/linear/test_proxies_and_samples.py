"""`proxy_anchor_loss`, and losses of sampled classes: against definitions in float64, by hand, and against peers."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from cases import DTYPES, UNIT

import fastloss
from fastloss import functional, reference, sampling

close = torch.testing.assert_close
N, D, C, K = 40, 12, 9, 5


def made(dtype):
    hidden, weight, bias = torch.randn(N, D), torch.randn(C, D) / math.sqrt(D), torch.randn(C)
    target = torch.randint(C - 1, (N,))  # the last class is absent
    target[::5] = -100
    return [t.to(dtype) for t in (hidden, weight, bias)], target


def gradients(loss, leaves, upstream=-2.5):
    return [loss.detach(), *torch.autograd.grad(loss, leaves, torch.full_like(loss, upstream))]


def plain_proxy_anchor(x, w, target, margin=0.1, alpha=32.0):
    """Class by class."""
    s, near, far = F.normalize(x) @ F.normalize(w).t(), [], []
    for c in range(w.shape[0]):
        own, other = s[target == c, c], s[(target != c) & (target != -100), c]
        near += [(1 + (-alpha * (own - margin)).exp().sum()).log()] if len(own) else []
        far.append((1 + (alpha * (other + margin)).exp().sum()).log())
    return sum(near) / max(1, len(near)) + sum(far) / len(far)


def plain_sampled(x, w, b, target, negatives, log_q, temperature):
    """Row by row."""
    losses = []
    for i, y in enumerate(target.tolist()):
        own = negatives if negatives.dim() == 1 else negatives[i]
        q = log_q[1] if negatives.dim() == 1 else log_q[1][i]
        z = (w @ x[i] + b) / temperature
        others = (z[own] - q)[own != y]
        losses.append(
            torch.cat((z[y : y + 1] - log_q[0][i], others)).logsumexp(0) - z[y] + log_q[0][i] if y >= 0 else 0 * b[0]
        )
    return torch.stack(losses)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_proxy_anchor(dtype):
    (x, w, _), target = made(dtype)
    for options in ({}, {"margin": 0.3, "alpha": 4.0}):
        leaves, wide = ([t.detach().to(kind).requires_grad_() for t in (x, w)] for kind in (dtype, torch.float64))
        ours = gradients(functional.proxy_anchor_loss(*leaves, target, **options), leaves)
        exact = gradients(plain_proxy_anchor(*wide, target, **options), wide)
        # A cosine is off by a few units, an exponent by alpha times that; a gradient is rounded once.
        unit = 64 * options.get("alpha", 32.0) * (UNIT[dtype] if dtype == torch.float64 else UNIT[torch.float32])
        for a, b in zip(ours, exact, strict=True):
            assert a.dtype == dtype
            assert ((a.double() - b).abs() <= (unit + UNIT[dtype]) * b.abs().max()).all()
        assert (ours[1][::5] == 0).all()
    x = x.clone()
    x[::5] = math.nan
    assert functional.proxy_anchor_loss(x, w, target).isfinite()
    nothing = functional.proxy_anchor_loss(leaves[0], leaves[1], torch.full_like(target, -100))
    assert [float(t.abs().max()) for t in gradients(nothing, leaves)] == [0, 0, 0]
    close(functional.proxy_anchor_loss(x[:0], w, target[:0]), torch.zeros((), dtype=dtype))


def test_proxy_anchor_by_hand():
    """Two perpendicular proxies and one embedding along the first: log(1 + e^-0.9 alpha), log 2 of no pair is 0."""
    axes = torch.eye(2, dtype=torch.float64)
    wanted = math.log1p(math.exp(-1.8)) + math.log1p(math.exp(0.2)) / 2
    close(functional.proxy_anchor_loss(axes[:1], axes, torch.tensor([0]), alpha=2.0), torch.tensor(wanted).double())


@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")
def test_metric_learning():
    import peers

    (x, _, _), target = made(torch.float64)
    x, target = x[target >= 0], target[target >= 0]
    theirs = peers.metric_learning().ProxyAnchorLoss(num_classes=C, embedding_size=D, margin=0.2, alpha=16).double()
    found = functional.proxy_anchor_loss(x, theirs.proxies, target, 0.2, 16.0)
    close(found, theirs(x, target), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(K,), (N, K)], ids=str)
def test_sampled_softmax(shape, dtype):
    vectors, target = made(dtype)
    negatives = torch.randint(C, shape)
    log_q = torch.randn(N).to(dtype), torch.randn(shape).to(dtype)
    leaves, wide = ([t.detach().to(kind).requires_grad_() for t in vectors] for kind in (dtype, torch.float64))
    plain = {"none": lambda t: t, "sum": torch.sum, "mean": lambda t: t.sum() / (target >= 0).sum()}
    for reduction, reduced in plain.items():
        each = plain_sampled(*wide, target, negatives, [t.double() for t in log_q], 0.7)
        exact = gradients(reduced(each), wide)
        for room in (functional, reference):
            loss = room.sampled_softmax_loss(
                leaves[0], leaves[1], target, negatives, linear_bias=leaves[2], log_q=log_q, temperature=0.7,
                reduction=reduction,
            )  # fmt: skip
            ours = gradients(loss, leaves)
            for a, b in zip(ours, exact, strict=True):
                assert a.dtype == dtype
                assert ((a.double() - b).abs() <= 64 * UNIT[dtype] * (1 + b.abs().max())).all(), reduction
            assert (ours[1][::5] == 0).all()


def test_sampling_every_class_is_cross_entropy():
    (x, w, b), target = made(torch.float64)
    found = functional.sampled_softmax_loss(x, w, target, torch.arange(C), linear_bias=b)
    close(found, F.cross_entropy(F.linear(x, w, b), target))
    close(
        fastloss.SampledSoftmaxLoss(reduction="sum")(x, w, target, torch.arange(C)),
        F.cross_entropy(x @ w.t(), target, reduction="sum"),
    )
    assert functional.sampled_softmax_loss(x, w, target, torch.arange(0)) == 0


def plain_gbce(x, w, b, target, negatives, calibration):
    """As gSASRec computes it: the positive's logit is changed, so that its sigmoid is the old one's power."""
    losses, alpha = [], negatives.shape[-1] / (w.shape[0] - 1)
    beta = alpha * (calibration * (1 - 1 / alpha) + 1 / alpha)
    for i, y in enumerate(target.tolist()):
        own, z = negatives if negatives.dim() == 1 else negatives[i], w @ x[i] + b
        if y < 0:
            losses.append(0 * b[0])
            continue
        positive = -(z[y].sigmoid().pow(-beta) - 1).log()
        made = torch.cat((F.softplus(-positive)[None], F.softplus(z[own[own != y]])))
        losses.append(made.sum() / (1 + len(own)))
    return torch.stack(losses)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(K,), (N, K)], ids=str)
def test_gbce(shape, dtype):
    vectors, target = made(dtype)
    negatives = torch.randint(C, shape)
    leaves, wide = ([t.detach().to(kind).requires_grad_() for t in vectors] for kind in (dtype, torch.float64))
    plain = {"none": lambda t: t, "sum": torch.sum, "mean": lambda t: t.sum() / (target >= 0).sum()}
    for (reduction, reduced), t in itertools.product(plain.items(), (0.0, 0.75, 1.0)):
        exact = gradients(reduced(plain_gbce(*wide, target, negatives, t)), wide)
        for room in (functional, reference):
            loss = room.gbce_loss(*leaves[:2], target, negatives, t, linear_bias=leaves[2], reduction=reduction)
            ours = gradients(loss, leaves)
            for a, b in zip(ours, exact, strict=True):
                assert a.dtype == dtype
                assert ((a.double() - b).abs() <= 64 * UNIT[dtype] * (1 + b.abs().max())).all(), reduction
            assert (ours[1][::5] == 0).all()


def test_negatives_are_drawn_as_said():
    """Frequencies within five standard deviations of q, and the expected numbers of K samples."""
    target, count = torch.tensor([0, 3, -100]), 200_000
    by_name = {
        "uniform": torch.full((C,), 1 / C, dtype=torch.float64),
        "log_uniform": torch.tensor([math.log((c + 2) / (c + 1)) / math.log(C + 1) for c in range(C)]).double(),
    }
    for name, q in by_name.items():
        draw = getattr(sampling, name)
        classes, (own, others) = draw(target, C, (2, count), torch.Generator().manual_seed(0))
        assert torch.equal(classes, draw(target, C, (2, count), torch.Generator().manual_seed(0)).classes)
        found = torch.bincount(classes[0], minlength=C) / count
        assert ((found - q).abs() <= 5 * (q * (1 - q) / count).sqrt()).all()
        assert torch.equal(own, torch.zeros(3))
        close(others.double(), (count * q[classes]).log(), rtol=1e-6, atol=1e-6)
        for bad, kind in (((target, 0, 3), ValueError), ((target, 3, ()), ValueError), ((3, 3, 3), TypeError)):
            with pytest.raises(kind, match=f"^fastloss.sampling.{name}: "):
                draw(*bad)


def test_log_q_leads_to_all_classes():
    """The sampled softmax with logQ, of many samples, is the softmax of all classes."""
    (x, w, _), _ = made(torch.float64)
    target = torch.randint(C, (N,))
    negatives, log_q = sampling.log_uniform(target, C, 100_000, torch.Generator().manual_seed(0))
    found = functional.sampled_softmax_loss(x, w, target, negatives, log_q=log_q, reduction="none")
    close(found, F.cross_entropy(x @ w.t(), target, reduction="none"), rtol=0.02, atol=0.02)


def test_errors():
    (x, w, _), target = made(torch.float32)
    negatives = torch.arange(K)
    for change, kind, words in (
        ({"target": torch.full((N,), C)}, IndexError, "target 9 at row 0 is out of bounds"),
        ({"target": target.float()}, RuntimeError, "target is torch.float32"),
        ({"linear_weight": w[:, 1:]}, RuntimeError, r"expected vectors \(N, D\) and \(C, D\)"),
        ({"negatives": negatives + C}, IndexError, r"negatives has a class outside \[0, 9\)"),
        ({"negatives": negatives.view(1, -1)}, RuntimeError, r"expected torch.int64 of shape \(K\) or \(40, K\)"),
        ({"log_q": (negatives, negatives)}, RuntimeError, "log_q has shapes"),
        ({"temperature": 0.0}, ValueError, "temperature must be positive"),
        ({"reduction": "avg"}, ValueError, "reduction must be one of"),
    ):
        for room in (functional, reference):
            given = {"input": x, "linear_weight": w, "target": target, "negatives": negatives, **change}
            with pytest.raises(kind, match=f"^fastloss.sampled_softmax_loss: .*{words}"):
                room.sampled_softmax_loss(**given)
    with pytest.raises(ValueError, match=r"^fastloss.proxy_anchor_loss: alpha must be positive"):
        functional.proxy_anchor_loss(x, w, target, alpha=-1.0)
