"""Modules of all pairs of two sets of vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastloss._options import SimilarityOptions
from fastloss.functional import similarity as functional
from fastloss.nn._base import own

__all__ = [
    "CircleLoss",
    "ClipLoss",
    "InfoNCELoss",
    "MinedTripletMarginLoss",
    "MultiSimilarityLoss",
    "NTXentLoss",
    "PairwiseContrastiveLoss",
    "SigLipLoss",
    "SupConLoss",
]


def _module(name: str, function: Callable[..., Any], **defaults: Any) -> type[Any]:
    return own(name, function, {**defaults, "reduction": "mean"}, SimilarityOptions)


InfoNCELoss = _module(
    "InfoNCELoss",
    functional.info_nce_loss,
    temperature=0.07,
    normalize=True,
    symmetric=False,
    multi_positive="out",
)
ClipLoss = _module("ClipLoss", functional.clip_loss, normalize=False)
SigLipLoss = _module("SigLipLoss", functional.siglip_loss, normalize=False)
NTXentLoss = _module("NTXentLoss", functional.nt_xent_loss, temperature=0.5, normalize=True, decoupled=False)
SupConLoss = _module("SupConLoss", functional.supcon_loss, temperature=0.1, normalize=True, positives="out")
PairwiseContrastiveLoss = _module(
    "PairwiseContrastiveLoss",
    functional.pairwise_contrastive_loss,
    pos_margin=0.0,
    neg_margin=1.0,
    normalize=True,
    squared=False,
)
MultiSimilarityLoss = _module(
    "MultiSimilarityLoss",
    functional.multi_similarity_loss,
    alpha=2.0,
    beta=50.0,
    base=0.5,
    normalize=True,
)
CircleLoss = _module("CircleLoss", functional.circle_loss, m=0.4, gamma=80.0, normalize=True)
MinedTripletMarginLoss = _module(
    "MinedTripletMarginLoss",
    functional.mined_triplet_margin_loss,
    margin=1.0,
    mining="batch_hard",
    soft=False,
    normalize=False,
)
