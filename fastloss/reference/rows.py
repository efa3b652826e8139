"""Losses of the softmax over classes, from their formulas."""

from fastloss import losses

_references = {name: function.record.reference for name, function in losses.functions("rows").items()}
globals().update(_references)
__all__ = [*_references]
