"""Losses of regions: sums over pixels, and what becomes of them."""

from fastloss import losses

_functions = losses.functions("regions")
globals().update(_functions)
__all__ = [*_functions]
