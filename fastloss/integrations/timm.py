"""timm: the criteria of `timm.loss`."""

from __future__ import annotations

from typing import Any

import torch

from fastloss import functional
from fastloss.integrations import NO_INDEX, Seam, classes, plain

__all__ = ["SEAMS"]


def _label_smoothing(self: Any, x: Any, target: Any) -> Any:
    if not classes(x, target) or not self.smoothing >= 0:
        return NotImplemented
    return functional.cross_entropy(x, target, ignore_index=NO_INDEX, label_smoothing=self.smoothing)


def _soft_target(self: Any, x: Any, target: Any) -> Any:
    if not plain(x, target) or x.dim() != 2:
        return NotImplemented
    return functional.cross_entropy(x, target)


def _asymmetric(self: Any, inputs: Any, target: Any, reduction: Any = None) -> Any:
    if not classes(inputs, target) or not 0 <= self.eps <= 1:
        return NotImplemented
    return functional.asymmetric_cross_entropy(
        inputs, target, self.gamma_pos, self.gamma_neg, None, NO_INDEX,
        "mean" if self.reduction == "mean" else "none", self.eps,
    )  # fmt: skip


def _poly(self: Any, x: Any, target: Any) -> Any:
    if not classes(x, target) or self.smoothing:  # the smoothed p there is an average
        return NotImplemented
    dtype: Any = {} if x.dtype == torch.float32 else {"loss_dtype": torch.float32}
    return functional.poly1_cross_entropy(
        x, target, self.epsilon, ignore_index=NO_INDEX, reduction=self.reduction, **dtype
    )


_ROWS = "one read and one write of the logits"
SEAMS = (
    Seam("timm.loss.cross_entropy", "LabelSmoothingCrossEntropy.forward", _label_smoothing, _ROWS),
    Seam("timm.loss.cross_entropy", "SoftTargetCrossEntropy.forward", _soft_target, _ROWS),
    Seam("timm.loss.asymmetric_loss", "AsymmetricLossSingleLabel.forward", _asymmetric,
         "exact for likely classes; one kernel where nothing is smoothed"),
    Seam("timm.loss.jsd", "JsdCrossEntropy.__call__", None,
         "it calls LabelSmoothingCrossEntropy; no kernel of fastloss compares more than two distributions"),
    Seam("timm.loss.poly_loss", "PolyCrossEntropy.forward", _poly, _ROWS + ", without smoothing and of classes"),
    Seam("timm.loss.binary_cross_entropy", "BinaryCrossEntropy.forward", None,
         'it calls torch.nn.functional.binary_cross_entropy_with_logits, which patch("torch") replaces'),
    Seam("timm.loss.asymmetric_loss", "AsymmetricLossMultiLabel.forward", None,
         "soft targets mix otherwise, and probabilities below eps have no gradient; for labels of 0 and 1 "
         "fastloss.functional.asymmetric_loss is the loss of the paper"),
    Seam("timm.loss.poly_loss", "PolyBinaryCrossEntropy.forward", None, "fastloss has no such loss"),
    Seam("timm.loss.two_way_loss", "TwoWayLoss.forward", None, "fastloss has no such loss"),
    Seam("timm.loss.zlpr_loss", "ZlprLoss.forward", None, "fastloss has no such loss"),
    Seam("timm.loss.distribution_balanced_loss", "DistributionBalancedLoss.forward", None,
         "fastloss has no such loss"),
)  # fmt: skip
