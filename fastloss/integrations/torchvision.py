"""torchvision: the losses of `torchvision.ops`, and of its detectors, which call them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastloss import functional
from fastloss.integrations import Seam, plain

__all__ = ["SEAMS"]


def _sigmoid_focal_loss(
    inputs: Any,
    targets: Any,
    alpha: float = 0.25,
    gamma: float = 2,
    reduction: Any = "none",
) -> Any:
    if not plain(inputs, targets):
        return NotImplemented
    return functional.sigmoid_focal_loss(inputs, targets, alpha, gamma, reduction)


def _box_loss(loss: Callable[..., Any], some_eps: bool = True) -> Callable[..., Any]:
    def ours(boxes1: Any, boxes2: Any, reduction: str = "none", eps: float = 1e-7) -> Any:
        if not plain(boxes1, boxes2) or not (some_eps or eps == 1e-7):
            return NotImplemented
        return loss(boxes1, boxes2, reduction, eps)

    return ours


_BOXES = "one read of the boxes; finite where boxes have no area"
SEAMS = (
    Seam("torchvision.ops.focal_loss", "sigmoid_focal_loss", _sigmoid_focal_loss,
         "one read and one write of the logits; exact for confident logits"),
    Seam("torchvision.ops.giou_loss", "generalized_box_iou_loss", _box_loss(functional.generalized_box_iou_loss),
         _BOXES),
    Seam("torchvision.ops.diou_loss", "distance_box_iou_loss", _box_loss(functional.distance_box_iou_loss), _BOXES),
    # There another eps does not reach the term of the distance.
    Seam("torchvision.ops.ciou_loss", "complete_box_iou_loss", _box_loss(functional.complete_box_iou_loss, False),
         _BOXES),
)  # fmt: skip
