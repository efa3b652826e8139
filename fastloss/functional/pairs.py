"""Losses of vectors compared row by row."""

from fastloss.losses.embedding import contrastive_loss, cosine_embedding_loss, triplet_margin_loss

__all__ = [
    "contrastive_loss",
    "cosine_embedding_loss",
    "triplet_margin_loss",
]
