"""Modules of losses of regions."""

from fastloss.functional import regions
from fastloss.nn._base import modules_of

_modules = modules_of(regions)
globals().update(_modules)
__all__ = [*_modules]
