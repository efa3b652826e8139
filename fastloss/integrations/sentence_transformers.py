"""sentence-transformers: the losses of embeddings that are in the batch."""

from __future__ import annotations

from typing import Any

import torch

from fastloss import functional
from fastloss.integrations import Seam, plain

__all__ = ["SEAMS"]


def _ranking(self: Any, embeddings: Any, labels: Any) -> Any:
    """The first of the columns finds its own in the second one, among all others."""
    symmetric = self.directions == ("query_to_doc", "doc_to_query") and self.partition_mode == "per_direction"
    if (
        len(embeddings) < 2
        or self.similarity_fct.__name__ != "cos_sim"
        or self.gather_across_devices
        or self.hardness_mode is not None
        or not ((symmetric and len(embeddings) == 2) or self.directions == ("query_to_doc",))
        or not plain(*embeddings)
    ):
        return NotImplemented
    keys = embeddings[1] if len(embeddings) == 2 else torch.cat(list(embeddings[1:]))
    return functional.info_nce_loss(embeddings[0], keys, temperature=1 / self.scale, symmetric=symmetric)


def _batch_all(self: Any, embeddings: Any, labels: Any) -> Any:
    (vectors,) = embeddings
    if (
        self.distance_metric.__name__ != "euclidean_distance"
        or labels.is_floating_point()
        or labels.numel() != vectors.shape[0]
        or vectors.dtype not in (torch.float32, torch.float64)  # others give a loss of float32
    ):
        return NotImplemented
    return functional.mined_triplet_margin_loss(vectors, labels.view(-1), self.triplet_margin, mining="all")


_LOSSES = "sentence_transformers.sentence_transformer.losses."
SEAMS = (
    Seam(_LOSSES + "multiple_negatives_ranking", "MultipleNegativesRankingLoss.compute_loss_from_embeddings", _ranking,
         "the matrix of similarities is never stored; of cosines, in one direction or in both"),
    Seam(_LOSSES + "contrastive", "ContrastiveLoss.compute_loss_from_embeddings", None,
         "labels between 0 and 1 weigh both terms there"),
    Seam(_LOSSES + "cosent", "CoSENTLoss.compute_loss_from_embeddings", None, "fastloss has no such loss"),
    Seam(_LOSSES + "batch_hard_triplet", "BatchHardTripletLoss.compute_loss_from_embeddings", None,
         "the mean is over all anchors there, also those without a positive or a negative"),
    Seam(_LOSSES + "batch_all_triplet", "BatchAllTripletLoss.compute_loss_from_embeddings", _batch_all,
         "no cube of triplets is stored; of Euclidean distances"),
)  # fmt: skip
