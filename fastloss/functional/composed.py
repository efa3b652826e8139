"""Losses made of others, and those that PyTorch computes."""

from fastloss import losses
from fastloss.losses import detection, imbalance, segmentation

_functions = {
    **losses.functions("composed"),
    "boundary_target": segmentation.boundary_target,
    "box_cost": detection.box_cost,
    "class_balanced_weights": imbalance.class_balanced_weights,
}
globals().update(_functions)
__all__ = sorted(_functions)
