r"""Losses of all pairs of two sets of vectors, from their formulas.

How to get what other libraries give (tested in ``tests/engines/similarity``, but for those with a star):

=============================================  =====================================================================
there                                          here
=============================================  =====================================================================
open_clip ``ClipLoss()(x, y, scale, bias)``    ``clip_loss(x, y, scale, bias)``
open_clip ``SigLipLoss()(x, y, scale, bias)``  ``siglip_loss(x, y, scale, bias)``
lightly ``NTXentLoss(t)(x, y)``                ``nt_xent_loss(x, y, t)``
lightly ``DCLLoss(t)(x, y)``                   ``nt_xent_loss(x, y, t, decoupled=True)``
SBERT* ``MultipleNegativesRankingLoss(s)``     ``info_nce_loss(anchors, candidates, temperature=1 / s)``, where
                                               candidates are the positives, then the negatives
SupContrast* ``SupConLoss(t, "all", b)``       ``t / b * supcon_loss(features, temperature=t, normalizer=n)`` for n
                                               vectors in all, of length one; older versions are NaN if an anchor
                                               has no positive
TF Addons* ``triplet_semihard_loss``           ``mined_triplet_margin_loss(mining="semi_hard")``; there pairs
                                               without a negative count too
PML ``SupConLoss(t)``                          ``supcon_loss(temperature=t)``; there 0 if no anchor has a negative
PML ``NTXentLoss(t)``                          ``nt_xent_loss(view, other, t)`` if each has one positive, else a
                                               term per positive, without the other positives in its sum
PML ``ContrastiveLoss(p, n)``                  ``pairwise_contrastive_loss(pos_margin=p, neg_margin=n)``
PML ``MultiSimilarityLoss(a, b, base)``        ``multi_similarity_loss(alpha=a, beta=b, base=base)``
PML ``CircleLoss(m, g)``                       ``circle_loss(m=m, gamma=g)``; a value that is 0 does not count there
PML ``TripletMarginLoss(m)``                   ``mined_triplet_margin_loss(margin=m, mining="all", normalize=True)``
the same, ``BatchHardMiner``, ``MeanReducer``  ``mined_triplet_margin_loss(margin=m, normalize=True)``
the same, ``smooth_loss=True``, ``margin=0``   the same with ``soft=True``
=============================================  =====================================================================

PML is pytorch-metric-learning at (embeddings, labels), SBERT sentence-transformers.
"""

from fastloss import losses

_references = {name: function.record.reference for name, function in losses.functions("similarity").items()}
globals().update(_references)
__all__ = [*_references]
