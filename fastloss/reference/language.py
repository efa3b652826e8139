"""Of language models, from their formulas."""

from fastloss import losses

_references = {name: function.record.reference for name, function in losses.functions("language").items()}
globals().update(_references)
__all__ = [*_references]
