"""pytorch-metric-learning: losses of all pairs and all triplets of a batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastloss import functional
from fastloss.integrations import Seam

__all__ = ["SEAMS"]


def _is_default(made: Any, distance: str, reducer: str) -> bool:
    """Whether a loss has this distance and this reducer, with their default settings, and nothing is recorded."""
    d, reducers = made.distance, getattr(made.reducer, "reducers", {"": made.reducer}).values()
    return (
        type(d).__name__ == distance
        and (d.p, d.power, d.normalize_embeddings) == (2, 1, True)
        and not made.collect_stats
        and all(type(part).__name__ == reducer and not part.collect_stats for part in reducers)
    )


def _of_batch(
    loss: Callable[..., Any], settings: tuple[str, ...], distance: str, reducer: str, **options: Any
) -> Callable[..., Any]:
    def ours(self: Any, embeddings: Any, labels: Any, indices_tuple: Any, ref_emb: Any, ref_labels: Any) -> Any:
        if (
            labels is None
            or labels.is_floating_point()
            or indices_tuple is not None
            or ref_emb is not embeddings
            or ref_labels is not labels
            or not _is_default(self, distance, reducer)
            or any(getattr(self, name, default) != default for name, default in _OTHERWISE.items())
        ):
            return NotImplemented
        value = loss(embeddings, labels, *(getattr(self, name) for name in settings), **options)
        reduced = {"losses": value, "indices": None, "reduction_type": "already_reduced"}
        first, *others = self._sub_loss_names()
        return {first: reduced, **{name: self.zero_loss() for name in others}}

    return ours


_OTHERWISE = {"swap": False, "smooth_loss": False, "triplets_per_anchor": "all"}  # settings that we lack
_COSINE, _EUCLIDEAN, _ALL, _NOT_ZERO = "CosineSimilarity", "LpDistance", "MeanReducer", "AvgNonZeroReducer"
_PAIRS = "the matrix of similarities is never stored; of a batch and its labels, with the default distance and reducer"
_HOME, _METHOD = "pytorch_metric_learning.losses.", ".compute_loss"
SEAMS = (
    Seam(_HOME + "contrastive_loss", "ContrastiveLoss" + _METHOD,
         _of_batch(functional.pairwise_contrastive_loss, ("pos_margin", "neg_margin"), _EUCLIDEAN, _NOT_ZERO), _PAIRS),
    Seam(_HOME + "multi_similarity_loss", "MultiSimilarityLoss" + _METHOD,
         _of_batch(functional.multi_similarity_loss, ("alpha", "beta", "base"), _COSINE, _ALL), _PAIRS),
    Seam(_HOME + "circle_loss", "CircleLoss" + _METHOD,
         _of_batch(functional.circle_loss, ("m", "gamma"), _COSINE, _NOT_ZERO), _PAIRS),
    Seam(_HOME + "triplet_margin_loss", "TripletMarginLoss" + _METHOD,
         _of_batch(functional.mined_triplet_margin_loss, ("margin",), _EUCLIDEAN, _NOT_ZERO, mining="all",
                   normalize=True), _PAIRS),
    Seam(_HOME + "supcon_loss", "SupConLoss" + _METHOD, None,
         "a batch without negatives is 0 there; fastloss.functional.supcon_loss otherwise has its numbers"),
    Seam(_HOME + "ntxent_loss", "NTXentLoss" + _METHOD, None,
         "a term per pair, without the other positives; fastloss.functional.nt_xent_loss is SimCLR's"),
)  # fmt: skip
