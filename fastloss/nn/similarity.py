"""Modules of all pairs of two sets of vectors."""

from fastloss.functional import similarity
from fastloss.nn._base import modules_of

_modules = modules_of(similarity)
globals().update(_modules)
__all__ = [*_modules]
