r"""Losses of all pairs of two sets of vectors: contrastive and metric learning, each from its formula.

Every loss first gives a value :math:`\ell_i` per anchor. What all of them share stands in `_reduce`: an anchor that
does not count (as a rule, one without a positive) has value and gradient zero; ``"mean"`` divides the weighted sum of
the values by the number of anchors that count, or by ``normalizer``. A divisor of 0 leaves no gradient, and with
``empty="zero"`` no value.

Similarities :math:`s_{ij}` are a product of matrices in the arguments' dtype, everything after it is at least float32.
Distances are taken in at least float32 from the start, since :math:`|x|^2 + |y|^2 - 2 x \cdot y` cancels.

How to get what other libraries give (tested in ``tests/test_similarity_reference.py``, but for those with a star):

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

from __future__ import annotations

import contextlib
import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fastloss import _ops, _options
from fastloss._core._torch import tracing_state
from fastloss._options import takes_tensors

__all__ = [
    "circle_loss",
    "clip_loss",
    "info_nce_loss",
    "mined_triplet_margin_loss",
    "multi_similarity_loss",
    "nt_xent_loss",
    "pairwise_contrastive_loss",
    "siglip_loss",
    "supcon_loss",
]

_Number = float | Tensor

# Values of one way to sum over anchors; what their mean divides by; 0 if the mean of all parts is over nothing.
_Part = tuple[Tensor, Tensor, Tensor]


@takes_tensors
def info_nce_loss(
    query: Tensor,
    key: Tensor,
    labels: Tensor | None = None,
    *,
    negatives: Tensor | None = None,
    positives: Tensor | None = None,
    mask: Tensor | None = None,
    temperature: _Number = 0.07,
    normalize: bool = True,
    symmetric: bool = False,
    multi_positive: str = "out",
    **options: Any,
) -> Tensor:
    r"""Each query against all keys, :math:`z_{ij} = q_i \cdot k_j / T` (van den Oord 2018).

    With P the positives of query i and lse the logsumexp of all its kept pairs, further negatives included,
    ``multi_positive="out"`` is :math:`\mathrm{mean}_{p \in P}(\mathrm{lse}_i - z_{ip})` and ``"in"`` is
    :math:`\mathrm{lse}_i - \log \mathrm{mean}_{p \in P} e^{z_{ip}}`. Anchors with a positive count.

    The positive of query i is key ``labels[i]`` (default i; one that is no key's index is an IndexError,
    where that cannot be seen without waiting a NaN, without gradient) or those of the bool
    matrix ``positives``; pairs where ``mask`` is False are not there. ``negatives`` are (K, D) for all queries or
    (N, K, D) for each. ``symmetric``: half the sum of this and the same with queries and keys exchanged.
    """
    name = "info_nce_loss"
    _check_choice(name, "multi_positive", multi_positive, ("out", "in"))
    _options.check_domain(name, temperature=temperature)
    dtype = _vectors(name, query=query, key=key, **({} if negatives is None else {"negatives": negatives}))
    (N, D), M = _shape(name, "query", query, 2), _shape(name, "key", key, 2)[0]
    _expect(name, "key", key, (M, D), "vectors as wide as query's")
    if labels is not None and positives is not None:
        raise ValueError(
            f"fastloss.{name}: expected labels or positives, got both; give all positives in positives (N, M)"
        )
    if symmetric and negatives is not None:
        raise ValueError(f"fastloss.{name}: negatives belong to the queries, so they need symmetric=False")
    outside: bool | None = False
    if positives is not None:
        _expect_bool(name, "positives", positives, (N, M))
    else:
        if labels is None:
            if M < N:
                raise ValueError(
                    f"fastloss.{name}: without labels the positive of query i is key i, expected at least {N} keys, "
                    f"got {M}; pass labels"
                )
            labels = torch.arange(N, device=query.device)
        else:
            _expect_labels(name, labels, N)
            labels = labels.long()  # int8 would compare with 200 as -56
            outside = any_outside(labels, M)
        if outside:
            row = int(((labels < 0) | (labels >= M)).nonzero()[0])
            raise IndexError(
                f"fastloss.{name}: labels[{row}] is {int(labels[row])}, {_ops.OUT_OF_BOUNDS}: expected the index of "
                f"one of {M} keys, from 0 on; positives=, bool (N, M), has rows without a positive"
            )
        positives = labels.unsqueeze(1) == torch.arange(M, device=query.device)
    kept = _kept(name, mask, positives)
    query, key = (_normalize(t.to(dtype), normalize) for t in (query, key))
    z = _similarities(query, key)
    if negatives is not None:
        further = _normalize(negatives.to(dtype), normalize)
        if negatives.dim() == 3:
            _expect(name, "negatives", negatives, (N, negatives.shape[1], D), "the further negatives of each query")
            s = _similarities(query.unsqueeze(1), further).squeeze(1)
        else:
            _expect(name, "negatives", negatives, (*negatives.shape[:1], D), "vectors as wide as query's")
            s = _similarities(query, further)
        z = _cat(z, s, dim=1)
        ones = torch.ones_like(s, dtype=torch.bool)
        kept, positives = torch.cat((kept, ones), 1), torch.cat((positives, ~ones), 1)
    z = z / _number(temperature, z)
    parts = [_softmax_part(z, positives, kept, multi_positive)]
    if symmetric:
        parts.append(_softmax_part(z.mT, positives.mT, kept.mT, multi_positive))
        loss = _reduce(name, parts, dtype, 0.5, N == M, **options)
    else:
        loss = _reduce(name, parts, dtype, **options)
    return nan_if_outside(loss, labels, M) if labels is not None and outside is None else loss


@takes_tensors
def clip_loss(
    image_features: Tensor,
    text_features: Tensor,
    logit_scale: _Number,
    logit_bias: _Number | None = None,
    *,
    normalize: bool = False,
    mask: Tensor | None = None,
    **options: Any,
) -> Tensor:
    r"""Cross entropy of :math:`z_{ij} = \text{scale}\; x_i \cdot y_j + \text{bias}` towards its diagonal, half of it by
    rows and half by columns (Radford 2021). Pairs where ``mask`` is False are not there."""
    name = "clip_loss"
    z, dtype = _logits(name, image_features, text_features, logit_scale, logit_bias, normalize)
    diagonal = torch.eye(z.shape[0], dtype=torch.bool, device=z.device)
    kept = _kept(name, mask, diagonal)
    parts = [_softmax_part(z, diagonal, kept, "out"), _softmax_part(z.mT, diagonal, kept.mT, "out")]
    return _reduce(name, parts, dtype, 0.5, **options)


@takes_tensors
def siglip_loss(
    image_features: Tensor,
    text_features: Tensor,
    logit_scale: _Number,
    logit_bias: _Number | None = None,
    *,
    normalize: bool = False,
    mask: Tensor | None = None,
    **options: Any,
) -> Tensor:
    r""":math:`\ell_i = \sum_j \mathrm{softplus}(-y_{ij} z_{ij})`, y = 1 on the diagonal, else -1 (Zhai 2023).

    z as in `clip_loss`. Pairs where ``mask`` is False are not there; every row counts.
    """
    name = "siglip_loss"
    z, dtype = _logits(name, image_features, text_features, logit_scale, logit_bias, normalize)
    diagonal = torch.eye(z.shape[0], dtype=torch.bool, device=z.device)
    kept = _kept(name, mask, diagonal)
    z = torch.where(kept, z, 0.0)
    loss = torch.where(kept, _softplus(torch.where(diagonal, -z, z)), 0.0).sum(-1)
    return _reduce(name, [_counted_part(loss, torch.ones_like(loss, dtype=torch.bool))], dtype, **options)


@takes_tensors
def nt_xent_loss(
    z0: Tensor,
    z1: Tensor,
    temperature: _Number = 0.5,
    *,
    normalize: bool = True,
    decoupled: bool = False,
    mask: Tensor | None = None,
    **options: Any,
) -> Tensor:
    r"""2N anchors (z0, then z1), each against all others, its positive the other view of its sample (Chen 2020).

    :math:`\ell_i = \mathrm{lse}_i - z_{ip}`. ``decoupled`` leaves the positive out of the logsumexp (Yeh 2021); then an
    anchor without a negative does not count. Pairs where ``mask`` (2N, 2N) is False are not there; nor does an anchor
    without its positive count.
    """
    name = "nt_xent_loss"
    _options.check_domain(name, temperature=temperature)
    dtype = _vectors(name, z0=z0, z1=z1)
    N = _shape(name, "z0", z0, 2)[0]
    _expect(name, "z1", z1, tuple(z0.shape), "the other view of each vector in z0")
    x = _normalize(_cat(z0.to(dtype), z1.to(dtype)), normalize)
    z = _similarities(x, x)
    z = z / _number(temperature, z)
    i = torch.arange(2 * N, device=z.device)
    positives = (i.unsqueeze(1) - i).abs() == N
    others = (i.unsqueeze(1) != i) & _kept(name, mask, positives)
    positives = positives & others
    if not decoupled:
        return _reduce(name, [_softmax_part(z, positives, others, "out")], dtype, **options)
    negatives = others & ~positives
    counted = negatives.any(-1) & positives.any(-1)
    loss = _lse(z, negatives) - torch.where(positives, z, 0.0).sum(-1)
    return _reduce(name, [_counted_part(loss, counted)], dtype, **options)


@takes_tensors
def supcon_loss(
    features: Tensor,
    labels: Tensor | None = None,
    *,
    mask: Tensor | None = None,
    temperature: _Number = 0.1,
    normalize: bool = True,
    positives: str = "out",
    **options: Any,
) -> Tensor:
    r"""Each vector against all others, its positives those of its label (Khosla 2020).

    ``positives`` is `info_nce_loss`'s ``multi_positive``. ``features`` are (N, D) or (N, V, D), V views of each sample,
    taken as view after view. Positives of a sample are the samples of its label, or those where ``mask`` (N, N) is not
    0, or only its other views; never the vector itself. Anchors with a positive count.
    """
    name = "supcon_loss"
    _check_choice(name, "positives", positives, ("out", "in"))
    _options.check_domain(name, temperature=temperature)
    dtype = _vectors(name, features=features)
    views = 1
    if features.dim() == 3:
        views = features.shape[1]
        x = features.transpose(0, 1).flatten(0, 1)
    elif features.dim() == 2:
        x = features
    else:
        raise ValueError(
            f"fastloss.{name}: features has shape {tuple(features.shape)}, expected (N, D), or (N, V, D) for V views "
            "of each sample; flatten what is more, features.flatten(2)"
        )
    N = features.shape[0]
    if features.dim() == 2 and labels is None and mask is None:
        raise ValueError(
            f"fastloss.{name}: features has shape {tuple(features.shape)}, one view of each sample, of which without "
            "labels and mask none is positive to another; expected labels, mask, or features (N, V, D)"
        )
    if labels is not None and mask is not None:
        raise ValueError(f"fastloss.{name}: expected labels or mask, got both; give all positives in mask (N, N)")
    if mask is not None:
        _expect(name, "mask", mask, (N, N), "for each sample, its positives")
        related = mask != 0
    elif labels is not None:
        _expect_labels(name, labels, N)
        related = labels.unsqueeze(1) == labels
    else:
        related = torch.eye(N, dtype=torch.bool, device=x.device)
    others = ~torch.eye(views * N, dtype=torch.bool, device=x.device)
    x = _normalize(x.to(dtype), normalize)
    z = _similarities(x, x)
    z = z / _number(temperature, z)
    return _reduce(name, [_softmax_part(z, related.repeat(views, views), others, positives)], dtype, **options)


@takes_tensors
def pairwise_contrastive_loss(
    embeddings: Tensor,
    labels: Tensor,
    pos_margin: _Number = 0.0,
    neg_margin: _Number = 1.0,
    *,
    normalize: bool = True,
    squared: bool = False,
    mask: Tensor | None = None,
    **options: Any,
) -> Tensor:
    r"""Over all ordered pairs: :math:`\max(0, d_{ij} - m_+)` of equal labels, :math:`\max(0, m_- - d_{ij})` of others.

    ``squared`` takes half the squares (Hadsell 2006). An anchor's value is the sum over its pairs. ``"mean"`` divides
    the positive pairs by the number of those with a value above 0, the negative ones likewise, and adds the two; if no
    pair has one, that is a mean over nothing.
    """
    name = "pairwise_contrastive_loss"
    _options.check_domain(name, pos_margin=pos_margin, neg_margin=neg_margin)
    dtype, positives, negatives = _labelled(name, embeddings, labels, mask)
    d = _distances(embeddings, normalize)
    near, far = F.relu(d - _number(pos_margin, d)), F.relu(_number(neg_margin, d) - d)
    if squared:
        near, far = near.square() / 2, far.square() / 2
    near, far = torch.where(positives, near, 0.0), torch.where(negatives, far, 0.0)
    counts = [(value > 0).sum() for value in (near, far)]
    parts = [(value.sum(-1), count, sum(counts)) for value, count in zip((near, far), counts, strict=True)]
    return _reduce(name, parts, dtype, **options)  # type: ignore[arg-type]


@takes_tensors
def multi_similarity_loss(
    embeddings: Tensor,
    labels: Tensor,
    alpha: _Number = 2.0,
    beta: _Number = 50.0,
    base: _Number = 0.5,
    *,
    normalize: bool = True,
    mask: Tensor | None = None,
    **options: Any,
) -> Tensor:
    r""":math:`\tfrac1\alpha \log(1 + \sum_P e^{-\alpha (s - b)}) + \tfrac1\beta \log(1 + \sum_N e^{\beta (s - b)})`
    (Wang 2019), all pairs. Every anchor counts."""
    name = "multi_similarity_loss"
    _options.check_domain(name, alpha=alpha, beta=beta, base=base)
    dtype, positives, negatives = _labelled(name, embeddings, labels, mask)
    x = _normalize(embeddings, normalize)
    s = _similarities(x, x)
    a, b, s = _number(alpha, s), _number(beta, s), s - _number(base, s)
    loss = _softplus(_lse(-a * s, positives)) / a + _softplus(_lse(b * s, negatives)) / b
    return _reduce(name, [_counted_part(loss, torch.ones_like(loss, dtype=torch.bool))], dtype, **options)


@takes_tensors
def circle_loss(
    embeddings: Tensor,
    labels: Tensor,
    m: _Number = 0.4,
    gamma: _Number = 80.0,
    *,
    normalize: bool = True,
    mask: Tensor | None = None,
    **options: Any,
) -> Tensor:
    r""":math:`\mathrm{softplus}(\mathrm{lse}_N\, \gamma [s + m]_+ (s - m) + \mathrm{lse}_P -\!\gamma [1 + m - s]_+
    (s - 1 + m))`, without derivative in the brackets (Sun 2020). Anchors with a positive and a negative count."""
    name = "circle_loss"
    _options.check_domain(name, m=m, gamma=gamma)
    dtype, positives, negatives = _labelled(name, embeddings, labels, mask)
    x = _normalize(embeddings, normalize)
    s = _similarities(x, x)
    m, gamma = _number(m, s), _number(gamma, s)
    far = gamma * (s.detach() + m).clamp_min(0) * (s - m)
    near = -gamma * (1 + m - s.detach()).clamp_min(0) * (s - 1 + m)
    loss = _softplus(_lse(far, negatives) + _lse(near, positives))
    return _reduce(name, [_counted_part(loss, positives.any(-1) & negatives.any(-1))], dtype, **options)


@takes_tensors
def mined_triplet_margin_loss(
    embeddings: Tensor,
    labels: Tensor,
    margin: _Number = 1.0,
    *,
    mining: str = "batch_hard",
    soft: bool = False,
    normalize: bool = False,
    mask: Tensor | None = None,
    **options: Any,
) -> Tensor:
    r""":math:`h = \max(0, m + d_{ap} - d_{an})`, or ``soft``: :math:`\mathrm{softplus}(d_{ap} - d_{an})`, of triplets
    found in the batch, d Euclidean:

    * ``"batch_hard"``: the farthest positive and the nearest negative of each anchor (Hermans 2017); anchors that have
      both count.
    * ``"semi_hard"``: of each anchor and positive the nearest negative with :math:`d_{an} > d_{ap}`, else the farthest
      negative (Schroff 2015). An anchor's value is the sum over its positives; pairs that have a negative count.
    * ``"all"``: every triplet; those with a value above 0 count. If none has one, a mean is over nothing.

    Of several equally far, the first.
    """
    name = "mined_triplet_margin_loss"
    _check_choice(name, "mining", mining, ("batch_hard", "semi_hard", "all"))
    _options.check_domain(name, margin=margin)
    if soft and mining == "all":
        raise ValueError(f"fastloss.{name}: soft has no value of 0 to leave out, so it needs batch_hard or semi_hard")
    dtype, positives, negatives = _labelled(name, embeddings, labels, mask)
    d = _distances(embeddings, normalize)
    fixed = d.detach()

    def h(near: Tensor, far: Tensor) -> Tensor:
        return _softplus(near - far) if soft else F.relu(_number(margin, d) + near - far)

    if mining == "all" or not len(d):
        kept = positives.unsqueeze(2) & negatives.unsqueeze(1)
        value = torch.where(kept, h(d.unsqueeze(2), d.unsqueeze(1)), 0.0)
        count = (value > 0).sum()
        part = (value.sum((1, 2)), count, count)
    elif mining == "batch_hard":
        farthest = torch.where(positives, fixed, -math.inf).argmax(-1, keepdim=True)
        nearest = torch.where(negatives, fixed, math.inf).argmin(-1, keepdim=True)
        loss = h(d.gather(-1, farthest), d.gather(-1, nearest)).squeeze(-1)
        part = _counted_part(loss, positives.any(-1) & negatives.any(-1))
    else:
        ordered, order = torch.where(negatives, fixed, math.inf).sort(dim=-1, stable=True)
        count = negatives.sum(-1, keepdim=True)
        place = torch.searchsorted(ordered, fixed, right=True)
        farthest = torch.where(negatives, fixed, -math.inf).argmax(-1, keepdim=True)
        index = torch.where(place < count, order.gather(-1, place.clamp_max(d.shape[0] - 1)), farthest)
        kept = positives & (count > 0)
        value = torch.where(kept, h(d, d.gather(-1, index)), 0.0)
        part = (value.sum(-1), kept.sum(), kept.sum())
    return _reduce(name, [part], dtype, **options)


def _softmax_part(z: Tensor, positives: Tensor, kept: Tensor, multi_positive: str) -> _Part:
    """Cross entropy of each row, as a sum of terms that are all exact where the positives' probability nears 1."""
    positives, negatives = positives & kept, ~positives & kept
    count = positives.sum(-1).clamp_min(1)
    counted = positives.any(-1)
    loss = _softplus(_lse(z, negatives) - torch.where(counted, _lse(z, positives), 0.0))
    if multi_positive == "out":
        # Exactly 0 if there is one positive, and so is its gradient, which meets in `chosen` before it meets the other.
        chosen = torch.where(positives, z, 0.0)
        loss = loss + (torch.where(counted, _lse(chosen, positives), 0.0) - chosen.sum(-1) / count)
    else:
        loss = loss + count.to(z.dtype).log()
    return _counted_part(loss, counted)


def _counted_part(loss: Tensor, counted: Tensor) -> _Part:
    count = counted.sum()
    return torch.where(counted, loss, 0.0), count, count


def _lse(z: Tensor, kept: Tensor) -> Tensor:
    """Logsumexp of the kept entries of each row; -inf with zero gradient if there are none."""
    if not z.shape[-1]:
        return z.new_full(z.shape[:-1], -math.inf)
    some = kept.any(-1)
    z = torch.where(kept, z, -math.inf)
    top = torch.where(some, z.detach().amax(-1), 0.0)
    total = torch.where(kept, z - top.unsqueeze(-1), -math.inf).exp().sum(-1)
    return torch.where(some, top + torch.where(some, total, 1.0).log(), -math.inf)


def _softplus(x: Tensor) -> Tensor:
    """log(1 + e^x) to the last digit; torch.nn.functional.softplus gives x from 20 on."""
    return -F.logsigmoid(-x)


def _normalize(x: Tensor, normalize: bool = True) -> Tensor:
    if x.dtype == torch.float16:  # whose range ends before that of a gradient times GradScaler's factor
        x = x.float()
    return F.normalize(x, dim=-1) if normalize else x


def _similarities(x: Tensor, y: Tensor) -> Tensor:
    s = x @ y.mT
    return s.to(torch.promote_types(x.dtype, torch.float32))


def _no_autocast(t: Tensor) -> contextlib.AbstractContextManager[Any]:
    """Some devices know no autocast."""
    device = t.device.type
    return torch.autocast(device, enabled=False) if _ops.autocasts(device) else contextlib.nullcontext()


def _cat(*tensors: Tensor, dim: int = 0) -> Tensor:
    with _no_autocast(tensors[0]):  # on the CPU it rejects all but float32 and bfloat16
        return torch.cat(tensors, dim)


def _distances(x: Tensor, normalize: bool) -> Tensor:
    """Euclidean distances, with gradient 0 where they are 0."""
    with _no_autocast(x):
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        length, x = x.norm(dim=-1), _normalize(x, normalize)
        s = x @ x.mT
        square = x.square().sum(-1)
        if normalize:  # exactly 1, but for vectors so short that they were divided by 1e-12
            square = torch.where(length > 1e-12, 1.0, square)
        d = square.unsqueeze(1) + square - 2 * s
        apart = ~(d <= 0)  # NaN too
        return torch.where(apart, torch.where(apart, d, 1.0).sqrt(), 0.0)


def _logits(
    name: str, x: Tensor, y: Tensor, scale: _Number, bias: _Number | None, normalize: bool
) -> tuple[Tensor, torch.dtype]:
    dtype = _vectors(name, image_features=x, text_features=y)
    _shape(name, "image_features", x, 2)
    _expect(name, "text_features", y, tuple(x.shape), "one text per image")
    given: dict[str, Any] = {"logit_scale": scale, "logit_bias": 0.0 if bias is None else bias}
    _options.check_numbers(name, **given)
    learned = {what for what, t in given.items() if isinstance(t, Tensor) and t.requires_grad}  # and may become NaN
    _options.check_domain(name, **{what: value for what, value in given.items() if what not in learned})
    s = _similarities(*(_normalize(t.to(dtype), normalize) for t in (x, y)))
    z = _number(scale, s) * s
    return z if bias is None else z + _number(bias, s), dtype


def _labelled(name: str, embeddings: Tensor, labels: Tensor, mask: Tensor | None) -> tuple[torch.dtype, Tensor, Tensor]:
    """The dtype of the loss, which pairs have equal labels and which different ones.

    No vector pairs with itself; pairs where ``mask`` (N, N) is False are not there.
    """
    dtype = _vectors(name, embeddings=embeddings)
    N = _shape(name, "embeddings", embeddings, 2)[0]
    _expect_labels(name, labels, N)
    same = labels.unsqueeze(1) == labels
    kept = _kept(name, mask, same)
    return dtype, same & kept & ~torch.eye(N, dtype=torch.bool, device=embeddings.device), ~same & kept


def _number(value: _Number, like: Tensor) -> Any:
    return value.reshape(()).to(like.dtype) if isinstance(value, Tensor) else float(value)


def _reduce(
    name: str,
    parts: list[_Part],
    dtype: torch.dtype,
    factor: float = 1.0,
    alike: bool = True,
    /,
    *,
    weight: Tensor | None = None,
    reduction: str = "mean",
    normalizer: _Number | None = None,
    empty: str = "zero",
    loss_dtype: torch.dtype | None = None,
    **unknown: Any,
) -> Tensor:
    """Weighs and reduces the values of each part and adds the parts, times ``factor``; ``dtype`` is the arguments'.

    Parts with another number of anchors each (not ``alike``) take no weights and need a reduction.
    """
    _options.refuse_unknown(name, unknown, _options.names(_options.AnchorOptions))
    _check_choice(name, "reduction", reduction, ("none", "mean", "sum"))
    _options.check(name, reduction, normalizer, empty, loss_dtype)
    _options.check_numbers(name, normalizer=1 if normalizer is None else normalizer)
    if not alike and (weight is not None or reduction == "none"):
        raise ValueError(
            f"fastloss.{name}: symmetric with {len(parts[0][0])} queries and {len(parts[1][0])} keys has no value per "
            "pair of them, so it takes no weight and reduction='mean' or 'sum'"
        )
    first = parts[0][0]
    if weight is not None:
        _expect(name, "weight", weight, tuple(first.shape), "one factor per anchor")
        if weight.is_complex():
            raise ValueError(f"fastloss.{name}: weight is {weight.dtype}, expected real factors")
        parts = [(loss * weight.to(loss.dtype), divisor, count) for loss, divisor, count in parts]
    nothing = 0.0 if empty == "zero" else math.nan
    total: Any = 0.0
    for loss, divisor, count in parts:
        if reduction == "none":
            total = total + loss
        elif reduction == "sum":
            total = total + loss.sum()
        elif normalizer is not None:
            by = torch.as_tensor(_number(normalizer, loss), dtype=loss.dtype, device=loss.device)
            over_zero = 0.0 if empty == "zero" else loss.sum().detach() / by
            total = total + torch.where(by == 0, over_zero, loss.sum() / torch.where(by == 0, 1.0, by))
        else:
            total = total + torch.where(count > 0, loss.sum() / divisor.clamp_min(1), nothing)
    device = first.device.type
    if dtype.itemsize < 4 and _ops.autocasts(device):
        loss_dtype = loss_dtype or torch.float32
    return (factor * total).to(loss_dtype or dtype)


def _vectors(name: str, **tensors: Tensor) -> torch.dtype:
    """The common dtype of tensors of vectors."""
    for what, t in tensors.items():
        if not t.is_floating_point():
            raise ValueError(f"fastloss.{name}: {what} is {t.dtype}, expected a floating point dtype")
    first = next(iter(tensors.values()))
    dtype = first.dtype
    for what, t in list(tensors.items())[1:]:
        if t.device != first.device:
            raise RuntimeError(
                f"fastloss.{name}: {what} is on {t.device}, expected all tensors on the same device, "
                f"{next(iter(tensors))}'s {first.device}; move it with .to()"
            )
        dtype = torch.promote_types(dtype, t.dtype)
    return dtype


def _shape(name: str, what: str, t: Tensor, dims: int) -> torch.Size:
    if t.dim() != dims:
        raise ValueError(
            f"fastloss.{name}: {what} has shape {tuple(t.shape)}, expected (N, D), one vector a row; flatten it"
        )
    return t.shape


def _expect(name: str, what: str, t: Tensor, shape: tuple[int, ...], meaning: str) -> None:
    if tuple(t.shape) != shape:
        raise ValueError(f"fastloss.{name}: {what} has shape {tuple(t.shape)}, expected {shape}, {meaning}")


def _expect_bool(name: str, what: str, t: Tensor, shape: tuple[int, ...]) -> None:
    _expect(name, what, t, shape, "one entry per pair")
    if t.dtype != torch.bool:
        raise ValueError(f"fastloss.{name}: {what} is {t.dtype}, expected torch.bool; convert it with .bool()")


def _expect_labels(name: str, labels: Tensor, N: int) -> None:
    _expect(name, "labels", labels, (N,), "one label per vector")
    if labels.is_floating_point() or labels.is_complex():
        raise ValueError(f"fastloss.{name}: labels is {labels.dtype}, expected integers; convert it with .long()")


def any_outside(labels: Tensor, count: int) -> bool | None:
    """Whether a label is outside [0, count); None if nobody may look: at a GPU's, unless debugging, or in a graph."""
    if torch.compiler.is_compiling() or type(labels) not in (Tensor, torch.nn.Parameter) or tracing_state() is not None:
        return None
    if not labels.is_cpu and (labels.device.type == "meta" or not _ops.debugging()):
        return None
    if not labels.numel():
        return False
    try:
        first, last = torch.aminmax(labels)
        return int(first) < 0 or int(last) >= count
    except RuntimeError:  # of a batch, under vmap
        return None


def nan_if_outside(loss: Tensor, labels: Tensor, count: int) -> Tensor:
    """The loss, NaN where a label is outside [0, count), or, of a sum, if one is; its gradient as it was."""
    outside = (labels < 0) | (labels >= count)
    return loss + torch.where(outside if loss.dim() else outside.any(), torch.nan, 0.0).to(loss.dtype)


def _kept(name: str, mask: Tensor | None, like: Tensor) -> Tensor:
    if mask is None:
        return torch.ones_like(like)
    _expect_bool(name, "mask", mask, tuple(like.shape))
    return mask


def _check_choice(name: str, what: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"fastloss.{name}: {what} must be one of {', '.join(map(repr, choices))}, got {value!r}")
