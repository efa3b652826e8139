"""Modules of losses of adversarial training."""

from fastloss.functional import adversarial
from fastloss.nn._base import modules_of

_modules = modules_of(adversarial)
globals().update(_modules)
__all__ = [*_modules]
