"""Losses of forecasts, evidence and representations against what their papers and libraries write, in float64."""

import math

import pytest
import torch
import torch.nn.functional as F
from cases import DTYPES, HALF, UNIT
from torch.distributions import Dirichlet, Normal, kl_divergence

import fastloss
from fastloss import functional

close = torch.testing.assert_close
N, K = 12, 5


def draw(*shape, seed=0, low=None):
    generator = torch.Generator().manual_seed(seed)
    if low is None:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()
    return (low + 2 * torch.rand(*shape, generator=generator, dtype=torch.float64)).requires_grad_()


def evidence_of_authors(e, y, lam):
    """Sensoy et al.: squared error under the Dirichlet, and its divergence without the target's evidence."""
    alpha, t = e + 1, F.one_hot(y, K)
    s = alpha.sum(1, keepdim=True)
    m = alpha / s
    fit = (t - m).square().sum(1) + (alpha * (s - alpha) / (s * s * (s + 1))).sum(1)
    return fit + lam * kl_divergence(Dirichlet(e * (1 - t) + 1), Dirichlet(torch.ones_like(e)))


def evidential_of_authors(g, y, v, a, b, lam):
    """Amini et al.: NIG_NLL and NIG_Reg."""
    omega = 2 * b * (1 + v)
    nll = 0.5 * (math.pi / v).log() - a * omega.log() + (a + 0.5) * (v * (y - g) ** 2 + omega).log()
    return nll + torch.lgamma(a) - torch.lgamma(a + 0.5) + lam * (y - g).abs() * (2 * v + a)


def crps_by_integration(x, y, s):
    u = torch.linspace(0, 40, 8001, dtype=torch.float64)
    below, above = (Normal(0.0, 1.0).cdf(((y - x)[:, None] + u * sign) / s[:, None]) for sign in (-1, 1))
    return torch.trapezoid(below.square() + (1 - above).square(), u, dim=-1)


def crps_of_pairs(x, y, fair):
    m = x.shape[-1]
    apart = (x[..., None] - x[..., None, :]).abs().sum((-1, -2)) / (2 * m * (m - 1 if fair else m))
    return (x - y[..., None]).abs().mean(-1) - apart


def pinball(x, y, q):
    r = y[..., None] - x
    return torch.maximum(q * r, (q - 1) * r).mean(-1)


def barlow_of_authors(a, b, lam):
    bn = torch.nn.BatchNorm1d(a.shape[1], affine=False).double()
    c = bn(a).T @ bn(b) / len(a)
    diagonal = torch.eye(len(c), dtype=torch.bool)
    return (c[diagonal] - 1).square().sum() + lam * c[~diagonal].square().sum()


def vicreg_of_authors(a, b):
    made = 25.0 * F.mse_loss(a, b)
    for z in (a, b):
        made = made + 25.0 * torch.relu(1 - (z.var(0) + 1e-4).sqrt()).mean() / 2
        c = torch.cov(z.T)
        made = made + (c.square().sum() - c.diagonal().square().sum()) / z.shape[1]
    return made


def koleo_of_authors(x):
    x = F.normalize(x, dim=-1, eps=1e-8)
    dots = x @ x.T - 3 * torch.eye(len(x), dtype=x.dtype)
    return -(torch.nn.PairwiseDistance(2, eps=0)(x, x[dots.argmax(1)]) + 1e-8).log().mean()


QS = torch.tensor([0.1, 0.5, 0.75, 0.8, 0.9], dtype=torch.float64)
LABELS = torch.arange(N) % K
# Of each loss: positional arguments, keywords, and the values as they are written elsewhere.
LOSSES = {
    "crps_gaussian": ((draw(N), draw(N, seed=1), draw(N, seed=2, low=0.5)), {}, crps_by_integration),
    "crps_ensemble": ((draw(N, K), draw(N, seed=1)), {}, lambda x, y: crps_of_pairs(x, y, False)),
    "crps_ensemble fair": ((draw(N, K), draw(N, seed=1)), dict(fair=True), lambda x, y: crps_of_pairs(x, y, True)),
    "multi_quantile_loss": ((draw(N, K), draw(N, seed=1)), dict(quantiles=QS.tolist()), lambda x, y: pinball(x, y, QS)),
    "multi_quantile_loss crossing": (
        (draw(N, K), draw(N, seed=1)), dict(quantiles=QS, crossing=0.3),
        lambda x, y: pinball(x, y, QS) + 0.3 * torch.relu(x[:, :-1] - x[:, 1:]).mean(-1),
    ),
    "mape_loss": ((draw(N), draw(N, seed=1)), {}, lambda x, y: (x - y).abs() / y.abs()),
    "smape_loss": ((draw(N), draw(N, seed=1)), {}, lambda x, y: 2 * (x - y).abs() / (x.abs() + y.abs())),
    "mase_loss": (
        (draw(N, K), draw(N, K, seed=1), draw(N, 20, seed=2).detach()), dict(season=4),
        lambda x, y, h: (x - y).abs().mean(1) * 16 / sum((h[:, t] - h[:, t - 4]).abs() for t in range(4, 20)),
    ),
    "rmsse_loss": (
        (draw(N, K), draw(N, K, seed=1), draw(N, 20, seed=2).detach()), {},
        lambda x, y, h: ((x - y).square().mean(1) / h.diff().square().mean(1)).sqrt(),
    ),
    "evidential_regression_loss": (
        (draw(N), draw(N, seed=1), draw(N, seed=2, low=0.5), draw(N, seed=3, low=1.1), draw(N, seed=4, low=0.2)),
        dict(lam=0.3), lambda *tensors: evidential_of_authors(*tensors, 0.3),
    ),
    "evidential_classification_loss": (
        (draw(N, K, low=0.1), LABELS), dict(lam=0.7), lambda e, y: evidence_of_authors(e, y, 0.7),
    ),
    "kl_standard_normal": (
        (draw(N, K), draw(N, K, seed=1)), dict(beta=2.0),
        lambda m, v: 2 * kl_divergence(Normal(m, (0.5 * v).exp()), Normal(0.0, 1.0)).sum(-1),
    ),
    "kl_standard_normal free": (
        (draw(N, K), draw(N, K, seed=1)), dict(free_bits=0.5),
        lambda m, v: kl_divergence(Normal(m, (0.5 * v).exp()), Normal(0.0, 1.0)).clamp_min(0.5).sum(-1),
    ),
}  # fmt: skip
WHOLE = {
    "barlow_twins_loss": ((draw(N, K), draw(N, K, seed=1)), dict(lam=0.02), lambda a, b: barlow_of_authors(a, b, 0.02)),
    "vicreg_loss": ((draw(N, K), draw(N, K, seed=1)), {}, vicreg_of_authors),
    "koleo_loss": ((draw(N, K),), {}, koleo_of_authors),
}


def of(name):
    return [getattr(room, name.partition(" ")[0]) for room in (functional, fastloss.reference)]


def both(loss, leaves):
    leaves = [t for t in leaves if t.requires_grad]
    return [loss.detach(), *torch.autograd.grad(loss.sum(), leaves)]


@pytest.mark.parametrize("name", [*LOSSES, *WHOLE])
def test_as_written(name):
    arguments, options, written = {**LOSSES, **WHOLE}[name]
    tight = dict(rtol=1e-4, atol=1e-5) if name == "crps_gaussian" else dict(rtol=1e-9, atol=1e-12)
    wanted = both(written(*arguments), arguments)
    for fn in of(name):
        if name in WHOLE:
            close(both(fn(*arguments, **options), arguments), wanted, **tight)
            continue
        close(both(fn(*arguments, **options, reduction="none"), arguments), wanted, **tight)
        close(fn(*arguments, **options), wanted[0].mean(), **tight)
        close(fn(*arguments, **options, reduction="sum"), wanted[0].sum(), **tight)
        close(fn(*arguments, **options, normalizer=5.0), wanted[0].sum() / 5, **tight)


@pytest.mark.parametrize("name", LOSSES)
def test_masks(name):
    """What is masked may be anything; the others are as without it; nothing at all is NaN or 0."""
    arguments, options, _ = LOSSES[name]
    mask = torch.arange(N) % 3 != 0
    where = [mask.reshape(-1, *[1] * (t.dim() - 1)) for t in arguments]
    given = [
        torch.where(m, t, math.nan).detach().requires_grad_(t.requires_grad) if t.is_floating_point() else t
        for m, t in zip(where, arguments, strict=True)
    ]
    kept = [t[mask].detach().requires_grad_(t.requires_grad) for t in arguments]
    for fn in of(name):
        for reduction in ("mean", "sum"):
            found = both(fn(*given, **options, reduction=reduction, mask=mask), given)
            wanted = both(fn(*kept, **options, reduction=reduction), kept)
            close(found[0], wanted[0], rtol=1e-12, atol=1e-14)
            for a, b in zip(found[1:], wanted[1:], strict=True):
                assert a[~mask].count_nonzero() == 0
                close(a[mask], b, rtol=1e-12, atol=1e-14)
        assert fn(*given, **options, mask=mask & False).isnan()
        assert fn(*given, **options, mask=mask & False, empty="zero") == 0
        none = [t[:0] for t in arguments]
        assert fn(*none, **options).isnan()
        assert fn(*none, **options, empty="zero") == 0
        assert fn(*none, **options, reduction="none").numel() == 0


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", [*LOSSES, *WHOLE])
def test_dtypes(name, dtype):
    """Computed in float32 at least, and rounded once."""
    arguments, options, _ = {**LOSSES, **WHOLE}[name]
    given = [t.detach().to(dtype).requires_grad_(t.requires_grad) if t.is_floating_point() else t for t in arguments]
    wide = [t.detach().double().requires_grad_(t.requires_grad) if t.is_floating_point() else t for t in given]
    wanted = both(of(name)[0](*wide, **options), wide)
    for fn in of(name):
        found = both(fn(*given, **options), given)
        assert [t.dtype for t in found] == [dtype] * len(found)
        for a, b in zip(found, wanted, strict=True):
            # The last rounding, and some of float32 in which terms of the largest size cancel.
            atol = 64 * UNIT[torch.float64 if dtype == torch.float64 else torch.float32] * (1 + float(b.abs().max()))
            close(a.double(), b, rtol=2 * UNIT[dtype], atol=atol)
    if dtype in HALF:
        with torch.autocast("cpu", dtype=dtype):
            loss = of(name)[0](*given, **options)
        assert loss.dtype == (dtype if name in WHOLE else torch.float32)


@pytest.mark.parametrize("name", [*LOSSES, *WHOLE])
def test_second_derivatives(name):
    arguments, options, _ = {**LOSSES, **WHOLE}[name]
    few = [t[:6].detach().requires_grad_(t.requires_grad) for t in arguments]

    def loss(*leaves):
        rest = iter(leaves)
        return of(name)[0](*(next(rest) if t.requires_grad else t for t in few), **options)

    leaves = [t for t in few if t.requires_grad]
    assert torch.autograd.gradcheck(loss, leaves)
    assert torch.autograd.gradgradcheck(loss, leaves)


def test_limits():
    """A sure forecast, one member, a perfect forecast, a history that repeats itself, zeros, a constant dimension."""
    x, y = torch.tensor([1.0, 2.0], requires_grad=True), torch.tensor([3.0, 2.0])
    value, grad = both(functional.crps_gaussian(x, y, torch.zeros(2), reduction="none"), (x,))
    close(value, torch.tensor([2.0, 0.0]))
    assert grad.isfinite().all()
    for fair in (False, True):
        close(functional.crps_ensemble(x[:, None], y, fair, reduction="none"), (x - y).abs())
    close(functional.crps_gaussian(y, y, torch.ones(2)), torch.tensor((math.sqrt(2) - 1) / math.sqrt(math.pi)))
    series = torch.ones(2, 4, requires_grad=True)
    history = torch.tensor([[1.0, 2.0, 1.0, 2.0], [3.0, 3.0, 3.0, 3.0]])
    for fn in (functional.mase_loss, functional.rmsse_loss):
        value, grad = both(fn(series, torch.zeros(2, 4), history), (series,))
        close(value, torch.tensor(1.0))
        assert grad[1].count_nonzero() == 0
        value, grad = both(fn(series, torch.ones(2, 4), history), (series,))
        assert value == 0
        assert grad.isfinite().all()
    zeros = torch.zeros(2, requires_grad=True)
    value, grad = both(functional.smape_loss(zeros, torch.zeros(2)), (zeros,))
    assert value == 0
    assert grad.count_nonzero() == 0
    close(functional.smape_loss(torch.tensor([1.5e38]), torch.tensor([-1.5e38])), torch.tensor(2.0))
    flat = torch.ones(6, 3, requires_grad=True)
    for fn in (functional.barlow_twins_loss, functional.vicreg_loss):
        value, grad = both(fn(flat, torch.ones(6, 3)), (flat,))
        assert value.isfinite()
        assert grad.isfinite().all()
    value, grad = both(functional.koleo_loss(flat), (flat,))
    close(value, torch.tensor(-math.log(1e-8)))
    assert grad.isfinite().all()


def test_near_the_prior():
    """(mu^2 + v^2 / 2) / 2 to third order."""
    v = torch.tensor([[1e-4, -1e-5]], requires_grad=True)
    value, grad = both(functional.kl_standard_normal(torch.zeros(1, 2), v), (v,))
    close(value, (v.double() ** 2 / 4 + v.double() ** 3 / 12).sum().float().detach(), rtol=1e-3, atol=0)
    close(grad, torch.expm1(v.detach().double()).float() / 2, rtol=1e-6, atol=UNIT[torch.float32])


def test_free_bits_of_dimensions():
    mu, logvar = draw(N, K), draw(N, K, seed=1)
    mean = kl_divergence(Normal(mu, (0.5 * logvar).exp()), Normal(0.0, 1.0)).mean(0)
    given = dict(free_bits=1.2, free_bits_of="dimension")
    close(functional.kl_standard_normal(mu, logvar, **given, reduction="none"), mean.clamp_min(1.2))
    close(functional.kl_standard_normal(mu, logvar, **given), mean.clamp_min(1.2).sum())


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_quantiles_by_kernels(reduction, dtype, monkeypatch, isa):
    """A kernel for each level and PyTorch's operators, the same loss; ties have no gradient on either way."""
    from fastloss.losses import forecasting

    x, y = draw(400, K).detach().to(dtype).requires_grad_(), draw(400, seed=1).detach().to(dtype)
    with torch.no_grad():
        x[:50] = y[:50, None]
    found = []
    for few in (0, 1 << 20):
        monkeypatch.setattr(forecasting, "_PLAIN", few)
        found.append(both(functional.multi_quantile_loss(x, y, QS.tolist(), reduction=reduction), (x,)))
    (a, b), (c, d) = found
    close(a, c, rtol=8 * UNIT[dtype], atol=0)
    close(b, d, rtol=4 * UNIT[dtype], atol=UNIT[torch.float16] * 2**-13 if dtype == torch.float16 else 0)


def test_errors():
    x, y = draw(N, K), draw(N)
    for fn, args, kind, text in (
        (functional.crps_ensemble, (x, x), RuntimeError, "members along the last dimension"),
        (functional.multi_quantile_loss, (x, y), RuntimeError, "one quantile for each"),
        (functional.multi_quantile_loss, (x[:, :1], y, [1.5]), ValueError, "must be in"),
        (functional.mase_loss, (x, x, x, 5), ValueError, "more than the season"),
        (functional.mase_loss, (x, x, x[:3]), RuntimeError, "the same series"),
        (functional.kl_standard_normal, (x, y), RuntimeError, "one shape"),
        (functional.kl_standard_normal, (x, x, -1.0), ValueError, "beta must be 0 or more"),
        (functional.barlow_twins_loss, (x, y), RuntimeError, "one shape"),
        (functional.koleo_loss, (x[:1],), RuntimeError, "2 or more"),
        (functional.evidential_regression_loss, (y, y, y.abs(), y.abs(), y.abs(), -1.0), ValueError, "lam must be"),
        (functional.evidential_classification_loss, (x.abs(), LABELS + K), IndexError, "evidential"),
    ):
        with pytest.raises(kind, match=text):
            fn(*args)
