"""Losses of adversarial training as modules."""

from __future__ import annotations

from torch import Tensor

from fastloss.functional import adversarial
from fastloss.nn._base import DOCUMENT, LossModule, recorded
from fastloss.reference.adversarial import check_mode

__all__ = [
    "GANDiscriminatorLoss",
    "GANGeneratorLoss",
]


class _GANLoss(LossModule):
    _arguments = _shown = ("mode", "reduction")

    def __init__(self, mode: str = "non_saturating", reduction: str = "mean") -> None:
        super().__init__()
        check_mode(type(self).__name__, mode)
        self.mode, self.reduction = mode, reduction


class GANGeneratorLoss(_GANLoss):
    __doc__ = DOCUMENT
    _function = staticmethod(adversarial.gan_generator_loss)

    @recorded
    def forward(self, fake: Tensor) -> Tensor:
        return self.call((fake,), {})


class GANDiscriminatorLoss(_GANLoss):
    __doc__ = DOCUMENT
    _function = staticmethod(adversarial.gan_discriminator_loss)

    @recorded
    def forward(self, real: Tensor, fake: Tensor) -> Tensor:
        return self.call((real, fake), {})
