"""Losses of adversarial training against their formulas."""

import math

import pytest
import torch
import torch.nn.functional as F
from cases import DTYPES, UNDERFLOW, UNIT

import fastloss
from fastloss.engines import elements as _points
from fastloss.losses.adversarial import MODES

close = torch.testing.assert_close
LN2, LN3 = math.log(2), math.log(3)
# Scores (0, ln 2): the generator's mean, and the discriminator's with the same scores for real and fake.
POINTS = {
    "non_saturating": ((LN2 + LN3 - LN2) / 2, (LN2 + LN3 - LN2) / 2 + (LN2 + LN3) / 2),
    "hinge": (-LN2 / 2, (1 + 1 - LN2) / 2 + (1 + 1 + LN2) / 2),
    "least_squares": ((1 + (LN2 - 1) ** 2) / 4, (1 + (LN2 - 1) ** 2) / 4 + LN2**2 / 4),
    "wasserstein": (-LN2 / 2, 0.0),
}


@pytest.mark.parametrize("mode", MODES)
def test_points(mode):
    scores = torch.tensor([0.0, LN2], dtype=torch.float64)
    generator, discriminator = POINTS[mode]
    assert fastloss.GANGeneratorLoss(mode)(scores).item() == pytest.approx(generator, abs=1e-15)
    assert fastloss.GANDiscriminatorLoss(mode)(scores, scores).item() == pytest.approx(discriminator, abs=1e-15)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("mode", MODES)
def test_against_reference(mode, reduction, isa, monkeypatch):
    monkeypatch.setattr(_points, "NATIVE_WHEN_TINY", False)  # Whose float16 gradients round more often.
    for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
        floor = UNDERFLOW[dtype] * 1.001
        for shape in ((7,), (30, 1000)):
            real = (3 * torch.randn(shape, dtype=torch.float64) + 1).to(dtype).requires_grad_()
            fake = (3 * torch.randn(5, 3, dtype=torch.float64) - 1).to(dtype).requires_grad_()
            for name, scores in (("gan_generator_loss", (fake,)), ("gan_discriminator_loss", (real, fake))):
                wide = tuple(s.detach().double().requires_grad_() for s in scores)
                ours = getattr(fastloss.functional, name)(*scores, mode=mode, reduction=reduction)
                exact = getattr(fastloss.reference, name)(*wide, mode=mode, reduction=reduction)
                size = sum(1 + s.detach().abs().sum().item() for s in wide)  # Of what a sum's terms may reach
                assert ours.dtype == dtype
                if math.isfinite(ours.item()):
                    close(ours.double(), exact, rtol=4 * UNIT[dtype], atol=8 * UNIT[dtype] * size)
                for a, b in zip(torch.autograd.grad(ours, scores), torch.autograd.grad(exact, wide), strict=True):
                    close(
                        a.double(),
                        b,
                        rtol=4 * UNIT[dtype],
                        atol=floor + 16 * UNIT[torch.float32] * b.abs().max().item(),
                    )


def test_far_scores_stay_finite():
    far = torch.tensor([-1e4, 1e4], requires_grad=True)
    loss = fastloss.functional.gan_discriminator_loss(far, far)
    (grad,) = torch.autograd.grad(loss, far)
    close(loss, torch.tensor(1e4))
    close(grad, torch.tensor([-0.5, 0.5]))


def test_second_derivative():
    """A gradient penalty through the discriminator's loss."""
    scores = torch.linspace(-2, 2, 6, dtype=torch.float64, requires_grad=True)

    def penalty(loss):
        (grad,) = torch.autograd.grad(loss, scores, create_graph=True)
        return torch.autograd.grad(grad.square().sum(), scores)[0]

    close(penalty(fastloss.functional.gan_generator_loss(scores)), penalty(F.softplus(-scores).mean()))


@pytest.mark.parametrize("module", [fastloss.GANGeneratorLoss, fastloss.GANDiscriminatorLoss])
def test_errors(module):
    with pytest.raises(ValueError, match="mode must be one of"):
        module("vanilla")
    scores = (torch.zeros(3),) * (1 if module is fastloss.GANGeneratorLoss else 2)
    with pytest.raises(ValueError, match="reduction must be"):
        module(reduction="none")(*scores)
    assert repr(module("hinge")) == f"{module.__name__}(mode=hinge, reduction=mean)"


def test_explains_its_terms():
    few, many = torch.zeros(3), torch.zeros(400_000)
    explain, generator = fastloss.explain, fastloss.functional.gan_generator_loss
    assert [explain(generator, few, mode).path for mode in MODES] == ["kernel", "native", "native", "native"]
    assert [explain(generator, many, mode).path for mode in MODES] == ["kernel", "native", "kernel", "native"]
    both = explain(fastloss.GANDiscriminatorLoss(mode="least_squares"), many, few)
    assert both.path == "kernel"
    assert "fake: native" in both.reason


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("count", [3, 4000])
def test_scores_of_any_number_and_dtype(count, dtype):
    """Few scores mean what many do, in half precision too: the derivative of softplus, rounded once."""
    x = torch.linspace(-9, 9, count, dtype=torch.float64).to(dtype).requires_grad_()
    fastloss.functional.gan_generator_loss(x, reduction="sum").backward()
    wanted = -torch.sigmoid(-x.detach().double())
    assert bool(((x.grad.double() - wanted).abs() <= (UNIT[dtype] + 16 * UNIT[torch.float32]) * wanted.abs()).all())
