"""Losses of regions: sums over pixels, and what becomes of them."""

from fastloss import losses
from fastloss.losses import segmentation

_functions = {**losses.functions("regions"), "boundary_target": segmentation.boundary_target}
globals().update(_functions)
__all__ = sorted(_functions)
