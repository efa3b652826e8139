"""Losses made of others, and those that PyTorch computes."""

from fastloss import losses
from fastloss.losses import detection, imbalance

_functions = {
    **losses.functions("composed"),
    "box_cost": detection.box_cost,
    "class_balanced_weights": imbalance.class_balanced_weights,
}
globals().update(_functions)
__all__ = sorted(_functions)
