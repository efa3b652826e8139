"""Losses of regions from their formulas."""

from fastloss import losses

_references = {name: function.record.reference for name, function in losses.functions("regions").items()}
globals().update(_references)
__all__ = [*_references]
