"""Losses of one element at a time."""

from fastloss import losses
from fastloss.losses import classification

_functions = {**losses.functions("pointwise"), "count_positives": classification.count_positives}
globals().update(_functions)
__all__ = sorted(_functions)
