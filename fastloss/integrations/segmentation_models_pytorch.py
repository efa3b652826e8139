"""segmentation_models_pytorch: the losses of pixels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fastloss import functional
from fastloss.integrations import NO_INDEX, Seam, plain, worth

__all__ = ["SEAMS"]


def _soft_bce(self: Any, y_pred: Any, y_true: Any) -> Any:
    if (
        (self.ignore_index is not None and not worth(y_pred, 2**14))
        or not plain(y_pred, y_true)
        or self.reduction not in ("mean", "sum", "none", None)
    ):
        return NotImplemented
    s = self.smooth_factor
    target = y_true if s is None else (1 - y_true) * s + y_true * (1 - s)
    options = {} if self.ignore_index is None else {"mask": y_true != self.ignore_index}
    if options and self.reduction == "mean":  # what is ignored counts there
        options["normalizer"] = y_pred.numel()
    return functional.binary_cross_entropy_with_logits(
        y_pred, target, self.weight, reduction=self.reduction or "none", pos_weight=self.pos_weight, **options
    )


def _soft_cross_entropy(self: Any, y_pred: Any, y_true: Any) -> Any:
    if (
        not isinstance(y_pred, Tensor)
        or not isinstance(y_true, Tensor)
        or y_true.is_floating_point()
        or y_pred.shape[:1] + y_pred.shape[2:] != y_true.shape
        or self.dim != 1
        or self.reduction not in ("mean", "sum")
        or self.smooth_factor is None
    ):
        return NotImplemented
    return functional.cross_entropy(
        y_pred, y_true, ignore_index=NO_INDEX if self.ignore_index is None else self.ignore_index,
        reduction=self.reduction, label_smoothing=self.smooth_factor,
        normalizer=y_true.numel() if self.reduction == "mean" else None,  # what is ignored counts there
    )  # fmt: skip


def _focal(self: Any, y_pred: Any, y_true: Any) -> Any:
    given = self.focal_loss_fn.keywords
    if (
        y_true.is_floating_point()  # soft targets have other numbers there
        or not self.from_logits
        or self.ignore_index is not None
        or self.class_weights is not None
        or given["normalized"]
        or given["reduced_threshold"] is not None
        or given["reduction"] != "mean"
    ):
        return NotImplemented
    if self.mode == "multiclass":
        numbers = torch.arange(y_pred.shape[1], device=y_true.device).view(-1, *[1] * (y_true.dim() - 1))
        y_true = y_true.unsqueeze(1) == numbers
    elif self.mode == "binary":
        y_pred, y_true = y_pred.reshape(-1), y_true.reshape(-1)
    alpha = -1.0 if given["alpha"] is None else given["alpha"]
    return functional.sigmoid_focal_loss(y_pred, y_true.to(y_pred.dtype), alpha, given["gamma"], "mean")


_HOME, _READ = "segmentation_models_pytorch.losses.", "one read and one write of the logits"
_REGIONS = "its many arguments have no seam; fastloss.functional.dice_loss and its kin have its numbers"
SEAMS = (
    Seam(_HOME + "soft_bce", "SoftBCEWithLogitsLoss.forward", _soft_bce, _READ),
    Seam(_HOME + "soft_ce", "SoftCrossEntropyLoss.forward", _soft_cross_entropy, _READ),
    Seam(_HOME + "focal", "FocalLoss.forward", _focal, _READ + ", for integer targets"),
    Seam(_HOME + "dice", "DiceLoss.forward", None, _REGIONS),
    Seam(_HOME + "jaccard", "JaccardLoss.forward", None, _REGIONS),
    Seam(_HOME + "tversky", "TverskyLoss.aggregate_loss", None, _REGIONS),
    Seam(_HOME + "lovasz", "LovaszLoss.forward", None, "fastloss has no such loss"),
    Seam(_HOME + "mcc", "MCCLoss.forward", None, "fastloss has no such loss"),
)
