"""Losses of one element at a time."""

from fastloss import losses

_functions = losses.functions(pairs=False)
globals().update(_functions)
__all__ = sorted([*_functions, "count_positives"])
