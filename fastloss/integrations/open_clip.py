"""open_clip: the contrastive losses of images and texts."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from fastloss import functional
from fastloss.integrations import Seam, plain

__all__ = ["SEAMS", "ClipLoss"]


class ClipLoss(torch.nn.Module):
    """open_clip's ``ClipLoss``, also of a batch that lies on several processes: none of them stores a matrix.

    The gradients of parameters are those of open_clip after DistributedDataParallel has averaged them. With
    ``gather_with_grad`` they are the gradients of one process with the whole batch; without it those that come through
    the features are smaller by the factor ``world_size``, for open_clip leaves out what other processes make of a
    feature. The loss is that of the whole batch on every process, with ``local_loss`` too.

    Args:
        local_loss: Allowed with ``gather_with_grad``. Otherwise open_clip's gradient is that of no loss: ValueError.
        gather_with_grad: As above.
        cache_labels: Without meaning, for there are no labels.
        rank: Read from `torch.distributed`.
        world_size: Number of processes of `torch.distributed.group.WORLD`, if it is more than 1.
        use_horovod: ValueError if it is True.

    Example:
        >>> from fastloss.integrations.open_clip import ClipLoss
        >>> images, texts = torch.randn(2, 8, 16).requires_grad_().unbind()
        >>> ClipLoss()(images, texts, logit_scale=10.0).backward()
    """

    def __init__(
        self,
        local_loss: bool = False,
        gather_with_grad: bool = False,
        cache_labels: bool = False,
        rank: int = 0,
        world_size: int = 1,
        use_horovod: bool = False,
    ) -> None:
        super().__init__()
        if use_horovod:
            raise ValueError("fastloss.ClipLoss: use_horovod is True, expected False: processes of torch.distributed")
        if world_size > 1 and local_loss and not gather_with_grad:
            raise ValueError("fastloss.ClipLoss: local_loss needs gather_with_grad=True, got False")
        self.local_loss, self.gather_with_grad, self.world_size = local_loss, gather_with_grad, world_size

    def forward(
        self,
        image_features: Tensor,
        text_features: Tensor,
        logit_scale: float | Tensor,
        logit_bias: float | Tensor | None = None,
        output_dict: bool = False,
    ) -> Any:
        features, options = (image_features, text_features), {}
        if self.world_size > 1:
            options = {"group": dist.group.WORLD, "ddp": True}
            if not self.gather_with_grad:
                features = tuple(self._shrunk(t) for t in features)  # type: ignore[assignment]
        loss: Tensor = functional.clip_loss(*features, logit_scale, logit_bias, **options)  # type: ignore[arg-type]
        return {"contrastive_loss": loss} if output_dict else loss

    def _shrunk(self, features: Tensor) -> Tensor:
        """The features, with a gradient that is smaller by the number of processes."""
        features = features.view_as(features)
        if features.requires_grad:
            features.register_hook(lambda gradient: gradient / self.world_size)
        return features


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


_WHY = (
    "the matrix of similarities is never stored; with a world of one (of several processes see "
    "fastloss.integrations.open_clip.ClipLoss)"
)
SEAMS = (
    Seam("open_clip.loss", "ClipLoss.forward", _clip, _WHY),
    Seam("open_clip.loss", "SigLipLoss.forward", _siglip, _WHY),
    Seam("open_clip.loss", "CoCaLoss.forward", None, "it calls ClipLoss.forward, and torch.nn.CrossEntropyLoss"),
    Seam("open_clip.loss", "DistillClipLoss.forward", None, "fastloss has no such loss"),
)
