"""open_clip: the contrastive losses of images and texts."""

from __future__ import annotations

from typing import Any

from fastloss import functional
from fastloss.integrations import Seam, plain

__all__ = ["SEAMS"]


def _clip(
    self: Any,
    image_features: Any,
    text_features: Any,
    logit_scale: Any,
    logit_bias: Any = None,
    output_dict: bool = False,
) -> Any:
    if self.world_size > 1 or not plain(image_features, text_features):
        return NotImplemented
    loss = functional.clip_loss(image_features, text_features, logit_scale, logit_bias)
    return {"contrastive_loss": loss} if output_dict else loss


def _siglip(
    self: Any,
    image_features: Any,
    text_features: Any,
    logit_scale: Any,
    logit_bias: Any,
    output_dict: bool = False,
) -> Any:
    if self.world_size > 1 or not plain(image_features, text_features):
        return NotImplemented
    loss = functional.siglip_loss(image_features, text_features, logit_scale, logit_bias)
    return {"contrastive_loss": loss} if output_dict else loss


_WHY = "the matrix of similarities is never stored; with a world of one, otherwise open_clip's own runs"
SEAMS = (
    Seam("open_clip.loss", "ClipLoss.forward", _clip, _WHY),
    Seam("open_clip.loss", "SigLipLoss.forward", _siglip, _WHY),
    Seam("open_clip.loss", "CoCaLoss.forward", None, "it calls ClipLoss.forward, and torch.nn.CrossEntropyLoss"),
    Seam("open_clip.loss", "DistillClipLoss.forward", None, "fastloss has no such loss"),
)
