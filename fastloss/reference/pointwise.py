"""Losses of one element at a time, from their formulas."""

from fastloss import losses

_references = {name: function.record.reference for name, function in losses.functions("pointwise").items()}
globals().update(_references)
__all__ = [*_references]
