"""Losses of the softmax over classes."""

from fastloss import losses

_functions = losses.functions("rows")
globals().update(_functions)
__all__ = [*_functions]
