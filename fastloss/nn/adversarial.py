"""Losses of adversarial training as modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from fastloss.functional import adversarial
from fastloss.nn._base import DOCUMENT
from fastloss.reference.adversarial import check_mode

__all__ = [
    "GANDiscriminatorLoss",
    "GANGeneratorLoss",
]


class _GANLoss(torch.nn.Module):
    _function: Callable[..., Any]

    def __init__(self, mode: str = "non_saturating", reduction: str = "mean") -> None:
        super().__init__()
        check_mode(type(self).__name__, mode)
        self.mode, self.reduction = mode, reduction

    def extra_repr(self) -> str:
        return f"mode={self.mode}, reduction={self.reduction}"


class GANGeneratorLoss(_GANLoss):
    __doc__ = DOCUMENT
    _function = staticmethod(adversarial.gan_generator_loss)

    def forward(self, fake: Tensor) -> Tensor:
        return adversarial.gan_generator_loss(fake, self.mode, self.reduction)


class GANDiscriminatorLoss(_GANLoss):
    __doc__ = DOCUMENT
    _function = staticmethod(adversarial.gan_discriminator_loss)

    def forward(self, real: Tensor, fake: Tensor) -> Tensor:
        return adversarial.gan_discriminator_loss(real, fake, self.mode, self.reduction)
