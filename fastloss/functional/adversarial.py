"""Losses of adversarial training: sums of losses of the discriminator's scores."""

from fastloss import losses

_functions = losses.functions("adversarial")
globals().update(_functions)
__all__ = [*_functions]
