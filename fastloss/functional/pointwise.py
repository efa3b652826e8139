"""Losses of one element at a time."""

from fastloss import losses
from fastloss.losses.classification import count_positives

_functions = losses.functions(pairs=False)
globals().update(_functions)
__all__ = sorted([*_functions, "count_positives"])
