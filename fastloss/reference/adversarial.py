"""Losses of adversarial training from their formulas."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from fastloss._options import takes_tensors

__all__ = [
    "gan_discriminator_loss",
    "gan_generator_loss",
]

MODES = ("non_saturating", "hinge", "least_squares", "wasserstein")


def check_mode(name: str, mode: str) -> None:
    if mode not in MODES:
        raise ValueError(f"fastloss.{name}: mode must be one of {', '.join(MODES)}, got {mode!r}")


def _score(x: Tensor, sign: int, mode: str, reduction: str) -> Tensor:
    """What the discriminator pays for scores that should be high (``sign`` 1) or low (-1)."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    if mode == "non_saturating":
        loss = F.softplus(-sign * wide)
    elif mode == "hinge":
        loss = (1 - sign * wide).clamp_min(0)
    elif mode == "least_squares":
        loss = 0.5 * (wide - (1 if sign > 0 else 0)) ** 2
    else:
        loss = -sign * wide
    return (loss.sum() if reduction == "sum" else loss.mean()).to(x.dtype)


@takes_tensors
def gan_generator_loss(fake: Tensor, mode: str = "non_saturating", reduction: str = "mean") -> Tensor:
    r""":math:`\log(1 + e^{-D(G)})`, :math:`\tfrac12 (D(G) - 1)^2`, or for hinge and Wasserstein :math:`-D(G)`."""
    check_mode("gan_generator_loss", mode)
    return _score(fake, 1, "wasserstein" if mode == "hinge" else mode, reduction)


@takes_tensors
def gan_discriminator_loss(real: Tensor, fake: Tensor, mode: str = "non_saturating", reduction: str = "mean") -> Tensor:
    r"""The loss of real scores that should be high plus that of fake ones that should be low."""
    check_mode("gan_discriminator_loss", mode)
    return _score(real, 1, mode, reduction) + _score(fake, -1, mode, reduction)
