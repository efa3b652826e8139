"""Modules of losses made of others, and of those that PyTorch computes."""

from fastloss.functional import composed
from fastloss.nn._base import modules_of

_modules = modules_of(composed)
globals().update(_modules)
__all__ = [*_modules]
