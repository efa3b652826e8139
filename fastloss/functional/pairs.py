"""Losses of vectors compared row by row."""

from fastloss import losses

_functions = losses.functions("pairs")
globals().update(_functions)
__all__ = [*_functions]
