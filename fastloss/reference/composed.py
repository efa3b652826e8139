"""Losses made of others, from their formulas, and those that PyTorch computes."""

from fastloss import losses

_references = {name: function.record.reference for name, function in losses.functions("composed").items()}
globals().update(_references)
__all__ = [*_references]
