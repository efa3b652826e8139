"""Losses of hidden states and a classifier, from their formulas."""

from fastloss import losses

_references = {name: function.record.reference for name, function in losses.functions("heads").items()}
globals().update(_references)
__all__ = [*_references]
