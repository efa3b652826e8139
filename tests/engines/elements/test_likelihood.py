"""Likelihoods where their formulas lose all digits: many degrees of freedom, little dispersion, large counts."""

import math

import pytest
import torch
from cases import UNIT

import fastloss
from fastloss import functional

mpmath = pytest.importorskip("mpmath")  # which torch needs, for sympy
close = torch.testing.assert_close
DTYPES = [torch.float64, torch.float32]


def exact(value, at):
    """Value and derivatives of a function of some numbers, in 60 digits."""
    with mpmath.workdps(60):
        at = [mpmath.mpf(v) for v in at]
        made = [value(*at)]
        for k in range(len(at)):
            made.append(
                mpmath.diff(lambda t, k=k: value(*at[:k], t, *at[k + 1 :]), at[k], h=at[k] * mpmath.mpf(10) ** -20)
            )
        return [float(v) for v in made]


def student(z, n):
    constant = mpmath.loggamma(n / 2) - mpmath.loggamma((n + 1) / 2) + mpmath.log(n * mpmath.pi) / 2
    return constant + (n + 1) / 2 * mpmath.log1p(z * z / n)


def negative_binomial(x, a, y):
    r = 1 / a
    counted = mpmath.loggamma(y + 1) + mpmath.loggamma(r) - mpmath.loggamma(y + r)
    return counted + (y + r) * mpmath.log1p(a * x) - y * mpmath.log(a * x)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_many_degrees_of_freedom(dtype, isa):
    if isa == "none":
        pytest.skip("the formula loses them")
    for z, n in ((0.5, 2.0**-10), (3.0, 7.0), (3.0, 9.0), (0.25, 2.0**12), (2.0, 2.0**20), (-5.0, 2.0**30)):
        x, df = (torch.tensor([v], dtype=dtype, requires_grad=True) for v in (z, n))
        loss = functional.student_t_nll_loss(x, torch.zeros_like(x), torch.ones_like(x), df)
        found = [loss, *torch.autograd.grad(loss, (x, df))]
        for a, b in zip(found, exact(student, (z, n)), strict=True):
            close(a.detach().reshape(()), torch.tensor(b, dtype=dtype), rtol=64 * UNIT[dtype], atol=0)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_little_and_large_dispersion(dtype, isa):
    if isa == "none":
        pytest.skip("the formula loses them")
    for y in (0.0, 1.0, 7.0, 100.0, 65536.0):
        for x, a in ((3.0, 2.0**-20), (0.125, 0.375), (1000.0, 2.0**-12), (y + 1, 0.25), (2.0 * y + 3, 512.0)):
            mean, dispersion = (torch.tensor([v], dtype=dtype, requires_grad=True) for v in (x, a))
            loss = functional.negative_binomial_nll_loss(mean, torch.tensor([y], dtype=dtype), dispersion)
            found = [loss, *torch.autograd.grad(loss, (mean, dispersion))]
            wanted = exact(lambda x, a, y=y: negative_binomial(x, a, mpmath.mpf(y)), (x, a))
            for k, (got, b) in enumerate(zip(found, wanted, strict=True)):
                # The derivative in the dispersion has terms of both signs, y / (2 (1 + a y)) the largest.
                atol = 64 * UNIT[dtype] * (y / (2 + 2 * a * y) + 1 / 12 if k == 2 else 0)
                close(got.detach().reshape(()), torch.tensor(b, dtype=dtype), rtol=64 * UNIT[dtype], atol=atol)


def test_no_dispersion_is_poisson(isa):
    """Value and gradient, and the derivative in the dispersion: (y - (y - x)^2) / 2."""
    x, y = torch.tensor([3.0, 0.5, 1000.0], requires_grad=True), torch.tensor([2.0, 0.0, 1010.0])
    a = torch.zeros(3, requires_grad=True)
    for fn in (functional.negative_binomial_nll_loss, fastloss.reference.negative_binomial_nll_loss):
        loss = fn(x, y, a, reduction="none")
        by_mean, by_dispersion = torch.autograd.grad(loss.sum(), (x, a))
        close(loss, x - y * x.log() + torch.lgamma(y + 1), rtol=1e-6, atol=1e-3)
        close(by_mean, 1 - y / x)
        close(by_dispersion, 0.5 * (y - (y - x) ** 2).detach())


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_far_values(dtype, isa):
    """Squares of them are no numbers."""
    far = 1e30 if dtype == torch.float32 else 1e200
    x = torch.tensor([far, -far], dtype=dtype, requires_grad=True)
    loss = functional.student_t_nll_loss(x, torch.zeros_like(x), 1.0, 4.0, reduction="none")
    (grad,) = torch.autograd.grad(loss.sum(), x)
    wanted = 5 * math.log(far) - 2.5 * math.log(4) + math.lgamma(2) - math.lgamma(2.5) + 0.5 * math.log(4 * math.pi)
    close(loss, torch.full_like(loss, wanted), rtol=1e-5, atol=0)
    close(grad, 5 / x.detach(), rtol=1e-5, atol=0)


def test_errors():
    x, negative = torch.ones(3), torch.tensor([1.0, -1.0, 1.0])
    for name, args, what in (
        ("laplace_nll_loss", (negative,), "scale"), ("student_t_nll_loss", (negative, 2.0), "scale"),
        ("student_t_nll_loss", (1.0, x - 1), "df"), ("negative_binomial_nll_loss", (negative,), "dispersion"),
        ("beta_nll_loss", (negative,), "var"),
    ):  # fmt: skip
        for fn in (getattr(functional, name), getattr(fastloss.reference, name)):
            with pytest.raises(ValueError, match=f"fastloss.{name}: {what} must be"):
                fn(x, x, *args)
            keeps = torch.tensor([True, False, True])
            if what != "df":
                assert fn(x, x, *args, mask=keeps).isfinite()
