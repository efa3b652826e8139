"""Losses of hidden states and a classifier."""

from fastloss import losses

_functions = losses.functions("heads")
globals().update(_functions)
__all__ = [*_functions]
