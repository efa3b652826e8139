"""super_loss: a minimum over a weight, by way of Lambert's function."""

import math

import pytest
import torch

import fastloss
from fastloss.functional import super_loss

close = torch.testing.assert_close


def both(loss, x):
    return [loss.detach(), *torch.autograd.grad(loss.sum(), x)]


@pytest.mark.parametrize("lam", [0.1, 1.0, 30.0])
def test_minimum(lam):
    """Its slope is the sigma at which (l - tau) sigma + lam log^2 sigma is least, up to e."""
    least = -2 * lam / math.e
    x = torch.cat([
        torch.linspace(-2, 60, 200), torch.tensor([least, least - 1e-9, least + 1e-9, 0.0, 1e-12, 1e6]),
    ]).double().requires_grad_()  # fmt: skip
    value, sigma = both(super_loss(x, 0.0, lam, reduction="none"), x)
    given = x.detach()
    inside = given > least + 1e-6 * lam
    close((2 * lam * sigma.log() / sigma)[inside], -given[inside], rtol=1e-9, atol=1e-12)
    close(sigma[given <= least], torch.full_like(sigma[given <= least], math.e), rtol=1e-12, atol=0)
    assert (sigma <= math.e * (1 + 1e-15)).all()
    close(value, given * sigma + lam * sigma.log() ** 2, rtol=1e-10, atol=1e-10)
    for factor in (0.99, 1.01):
        other = (sigma * factor).clamp_max(math.e)
        assert (given * other + lam * other.log() ** 2 >= value - 1e-12 * value.abs()).all()


def test_infinite_and_masked_losses():
    x = torch.tensor([1.0, math.inf, math.nan, math.nan, 1e300], dtype=torch.float64, requires_grad=True)
    mask = torch.tensor([True, True, False, True, True])
    value, sigma = both(super_loss(x, 0.5, reduction="none", mask=mask), x)
    assert value[1] == math.inf
    assert value[3].isnan()
    assert sigma[1] == 0
    assert value[2] == sigma[2] == 0
    assert value[4].isfinite()
    assert 0 < sigma[4] < 1e-290


def test_curvature():
    x = torch.linspace(-0.5, 20, 50, dtype=torch.float64, requires_grad=True)
    tau, lam = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (0.3, 1.7))
    assert torch.autograd.gradcheck(super_loss, (x, tau, lam))
    assert torch.autograd.gradgradcheck(lambda x: super_loss(x, 0.3, 1.7), (x,))


@pytest.mark.parametrize("lam", [1e-40, 1e-30, 1e-3, 1.0, 1e30], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_numbers_beyond_the_scale(dtype, lam, isa):
    """The quotient by lam, from which Lambert's function is taken, need not be a number of the dtype."""
    x = torch.tensor([3.4e38, 1e38, 1e20, 7.0, 3.0, 2.0, -1e30, math.inf, -math.inf], dtype=dtype, requires_grad=True)
    loss = super_loss(x, tau=3.0, lam=lam, reduction="none")
    (grad,) = torch.autograd.grad(loss.sum(), x)
    wide = x.detach().double().requires_grad_()
    exact = fastloss.reference.super_loss(wide, tau=3.0, lam=lam, reduction="none")
    (slope,) = torch.autograd.grad(exact.sum(), wide)
    torch.testing.assert_close(loss.detach().double(), exact.detach(), rtol=1e-4 if lam < 1e-37 else 1e-6, atol=1e-37)
    torch.testing.assert_close(grad.double(), slope, rtol=1e-2 if lam < 1e-37 else 1e-6, atol=1e-37)
