"""Modules of one element at a time: PyTorch's own, with our function underneath, and ours."""

from fastloss.functional import pointwise
from fastloss.nn._base import modules_of

_modules = modules_of(pointwise)
globals().update(_modules)
__all__ = [*_modules]
