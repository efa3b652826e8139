"""Losses of adversarial training, from their formulas."""

from fastloss import losses

_references = {name: function.record.reference for name, function in losses.functions("adversarial").items()}
globals().update(_references)
__all__ = [*_references]
