"""Modules of vectors compared row by row: PyTorch's own, with our function underneath, and ours."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fastloss.functional import pairs as functional
from fastloss.nn._base import LossModule, drop_in, own

__all__ = [
    "ContrastiveLoss",
    "CosineEmbeddingLoss",
    "TripletMarginLoss",
]


def _of_two(self: LossModule, input1: Tensor, input2: Tensor, target: Tensor, **options: Any) -> Any:
    return self.call((input1, input2, target), options)


def _of_triplets(
    self: LossModule, anchor: Tensor, positive: Tensor | None = None, negative: Tensor | None = None, **options: Any
) -> Any:
    return self.call((anchor, positive, negative), options)


CosineEmbeddingLoss = drop_in(
    torch.nn.CosineEmbeddingLoss,
    functional.cosine_embedding_loss,
    ("margin", "reduction"),
    _of_two,
)
ContrastiveLoss = own(
    "ContrastiveLoss",
    functional.contrastive_loss,
    {"margin": 1.0, "distance": "euclidean", "squared": True, "reduction": "mean"},
)
TripletMarginLoss = drop_in(
    torch.nn.TripletMarginLoss,
    functional.triplet_margin_loss,
    ("margin", "p", "eps", "swap", "reduction"),
    _of_triplets,
)
