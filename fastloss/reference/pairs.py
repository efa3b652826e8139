"""Losses of vectors compared row by row, from their formulas."""

from fastloss.losses import embedding

__all__ = [
    "contrastive_loss",
    "cosine_embedding_loss",
    "triplet_margin_loss",
]

contrastive_loss = embedding.contrastive_loss.record.reference
cosine_embedding_loss = embedding.cosine_embedding_loss.record.reference
triplet_margin_loss = embedding.triplet_margin_loss.record.reference
