"""Modules of vectors compared row by row: PyTorch's own, with our function underneath, and ours."""

from fastloss.functional import pairs
from fastloss.nn._base import modules_of

_modules = modules_of(pairs)
globals().update(_modules)
__all__ = [*_modules]
