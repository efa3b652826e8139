"""Of language models: outputs of rows of logits, and losses made of them."""

from fastloss import losses

_functions = losses.functions("language")
globals().update(_functions)
__all__ = [*_functions]
