"""MONAI: the focal loss of voxels."""

from __future__ import annotations

from typing import Any

import torch

from fastloss import functional
from fastloss.integrations import Seam

__all__ = ["SEAMS"]


def _focal(self: Any, input: Any, target: Any) -> Any:
    one_hot = self.to_onehot_y and input.shape[1] > 1
    wanted = (input.shape[0], 1, *input.shape[2:]) if one_hot else input.shape
    if (
        (target.is_floating_point() and not one_hot)  # soft targets have other numbers there
        or target.shape != wanted
        or (self.to_onehot_y and not one_hot)  # it warns
        or self.use_softmax
        or not self.include_background
        or self.class_weight is not None
        or self.ignore_index is not None
        or isinstance(self.alpha, torch.Tensor)
        or self.reduction not in ("mean", "none")
    ):  # fmt: skip
        return NotImplemented
    if one_hot:
        target = target == torch.arange(input.shape[1], device=target.device).view(-1, *[1] * (input.dim() - 2))
    return functional.sigmoid_focal_loss(
        input, target.to(input.dtype), -1.0 if self.alpha is None else self.alpha, self.gamma, self.reduction,
        loss_dtype=torch.float32,
    )  # fmt: skip


_HOME, _REGIONS = (
    "monai.losses.",
    "its many arguments have no seam; `fastloss.functional.dice_loss` and its kin have its numbers",
)
SEAMS = (
    Seam(_HOME + "focal_loss", "FocalLoss.forward", _focal,
         "one read and one write of the logits; of the sigmoid, for labels that are 0 or 1 by their type"),
    Seam(_HOME + "dice", "DiceLoss.forward", None, _REGIONS),
    Seam(_HOME + "dice", "DiceCELoss.forward", None,
         'its cross entropy is torch.nn.CrossEntropyLoss, which patch("torch") replaces; ' + _REGIONS),
    Seam(_HOME + "tversky", "TverskyLoss.forward", None,
         "of probabilities fastloss.functional.tversky_loss(p, t, alpha, beta, eps=1e-5) has its numbers"),
    Seam(_HOME + "giou_loss", "BoxGIoULoss.forward", None, "its boxes have three dimensions as well"),
)  # fmt: skip
