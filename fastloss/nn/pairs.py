"""Modules of vectors compared row by row: PyTorch's own, with our function underneath, and ours."""

from __future__ import annotations

import torch

from fastloss.functional import pairs as functional
from fastloss.nn._base import drop_in, own

__all__ = [
    "ContrastiveLoss",
    "CosineEmbeddingLoss",
    "TripletMarginLoss",
]

CosineEmbeddingLoss = drop_in(
    torch.nn.CosineEmbeddingLoss,
    functional.cosine_embedding_loss,
    ("margin", "reduction"),
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
)
