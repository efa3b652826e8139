"""Losses of all pairs of two sets of vectors."""

from fastloss import losses

_functions = losses.functions("similarity")
globals().update(_functions)
__all__ = [*_functions]
