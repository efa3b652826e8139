"""Losses of all pairs of two sets of vectors: contrastive and metric learning, without the matrix of similarities."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from fastloss._core import operators as _ops
from fastloss._core._torch import F
from fastloss._core.formula import Number
from fastloss._core.options import FINITE, POSITIVE, SimilarityOptions, check_domain, check_numbers
from fastloss.engines.similarity import loss
from fastloss.engines.similarity.formula import Part, counted, lse, number, softplus
from fastloss.engines.similarity.problem import (
    MINING,
    Problem,
    Relation,
    Vectors,
    any_outside,
    cat,
    check_choice,
    check_vectors,
    expect,
    flags,
    labels_of,
    size,
)

if TYPE_CHECKING:
    from typing_extensions import Unpack

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

_LOGITS = {"logit_scale": FINITE, "logit_bias": FINITE}


@loss(title="InfoNCELoss", domains={"temperature": POSITIVE})
def info_nce_loss(
    query: Tensor,
    key: Tensor,
    labels: Tensor | None = None,
    *,
    negatives: Tensor | None = None,
    positives: Tensor | None = None,
    mask: Tensor | None = None,
    temperature: float | Tensor = 0.07,
    normalize: bool = True,
    symmetric: bool = False,
    multi_positive: Literal["out", "in"] = "out",
    **options: Unpack[SimilarityOptions],
) -> Problem:
    r"""Each query tells its positive keys from all others (InfoNCE, van den Oord et al. 2018).

    With :math:`z_{ij} = q_i \cdot k_j / T`, P the positives of query i and lse over all its kept pairs:

    .. math::
        \ell_i = \frac{1}{|P|} \sum_{p \in P} (\operatorname{lse}_i - z_{ip}) \quad (\texttt{"out"}), \qquad
        \operatorname{lse}_i - \log \frac{1}{|P|} \sum_{p \in P} e^{z_{ip}} \quad (\texttt{"in"}).

    Queries with a positive count.

    Equivalent to ``cross_entropy(normalize(query) @ normalize(key).T / temperature, labels)`` of `torch.nn.functional`
    without further options.

    Args:
        query: Shape :math:`(N, D)`.
        key: Shape :math:`(M, D)`.
        labels: Index of each query's positive key, shape :math:`(N)`. Default: its own index; needs :math:`M \ge N`.
            One that is no key's index is an IndexError; on CUDA its query's value is NaN and has no gradient, and
            ``fastloss.debug()`` raises.
        negatives: Further negatives, :math:`(K, D)` for all queries or :math:`(N, K, D)` for each its own.
        positives: Bool :math:`(N, M)`, instead of labels: any number of positives per query.
        mask: Bool :math:`(N, M)`; pairs where it is False are left out (false negatives, say). With ``group``, M is the
            number of keys of all processes, here and in ``positives``; ``labels`` index this process's own.
        temperature: T, positive; float or tensor of one element, differentiable.
        normalize: Bring all vectors to length one, as `torch.nn.functional.normalize` does.
        symmetric: Half the sum of this and the same with queries and keys exchanged.
        multi_positive: Where the mean over positives stands: outside of the logarithm or inside.
    """
    name = "info_nce_loss"
    check_choice(name, "multi_positive", multi_positive, ("out", "in"))
    check_vectors(name, query=query, key=key, negatives=negatives)
    (n, width), m = size(name, "query", query), size(name, "key", key)[0]
    expect(name, "key", key, (m, width), "vectors as wide as query's")
    if labels is not None and positives is not None:
        raise ValueError(
            f"fastloss.{name}: expected labels or positives, got both; give all positives in positives (N, M)"
        )
    if negatives is not None:
        if symmetric:
            raise ValueError(f"fastloss.{name}: negatives belong to the queries, so they need symmetric=False")
        if options.get("group") is not None:
            raise RuntimeError(
                f"fastloss.{name}: negatives are one process's own, expected none with group=; those for all queries "
                "can follow the keys, key=torch.cat((key, negatives)), with labels="
            )
        each = negatives.dim() == 3
        shape = (n, negatives.shape[1], width) if each else (*negatives.shape[:1], width)
        expect(
            name,
            "negatives",
            negatives,
            shape,
            "the further negatives of each query" if each else "vectors as wide as query's",
        )
    outside: bool | None = False
    if labels is not None:
        labels = labels_of(name, labels, n)
        outside = any_outside(labels, m)
        if outside:
            row = int(((labels < 0) | (labels >= m)).nonzero()[0])
            raise IndexError(
                f"fastloss.{name}: labels[{row}] is {int(labels[row])}, {_ops.OUT_OF_BOUNDS}: expected the index of "
                f"one of {m} keys, from 0 on; positives=, bool (N, M), has rows without a positive"
            )
    elif positives is None and m < n:
        raise ValueError(
            f"fastloss.{name}: without labels the positive of query i is key i, expected at least {n} keys, "
            f"got {m}; pass labels"
        )
    chosen = flags(name, "positives", positives, (n, m), options)
    relation = Relation(labels, None, flags(name, "mask", mask, (n, m), options), chosen)
    vectors, params = Vectors(query, key, negatives), (multi_positive == "in", False)
    return Problem(vectors, relation, options, params, normalize, temperature, both=symmetric, unseen=outside is None)


@info_nce_loss.formula
def _(z: Tensor, positives: Tensor, negatives: Tensor, inside: bool, _: bool) -> list[Part]:
    r""":math:`\mathrm{mean}_P (\mathrm{lse} - z_p)`, ``inside`` :math:`\mathrm{lse} - \log \mathrm{mean}_P e^{z_p}`."""
    return _cross_entropy(z, positives, negatives, inside)


def _cross_entropy(z: Tensor, positives: Tensor, negatives: Tensor, inside: bool) -> list[Part]:
    """Of each row, as a sum of terms that are all exact where the positives' probability nears 1."""
    count = positives.sum(-1).clamp_min(1)
    counts = positives.any(-1)
    value = softplus(lse(z, negatives) - torch.where(counts, lse(z, positives), 0.0))
    if inside:
        return counted(value + count.to(z.dtype).log(), counts)
    # Exactly 0 if there is one positive, and so is its gradient, which meets in `chosen` before it meets the other.
    chosen = torch.where(positives, z, 0.0)
    return counted(value + (torch.where(counts, lse(chosen, positives), 0.0) - chosen.sum(-1) / count), counts)


@loss(functor="info_nce", domains=_LOGITS)
def clip_loss(
    image_features: Tensor,
    text_features: Tensor,
    logit_scale: float | Tensor,
    logit_bias: float | Tensor | None = None,
    *,
    normalize: bool = False,
    mask: Tensor | None = None,
    **options: Unpack[SimilarityOptions],
) -> Problem:
    r"""Images and texts find each other (CLIP, Radford et al. 2021), both directions from one matrix product.

    .. math::
        z_{ij} = s\, x_i \cdot y_j + b, \qquad
        \ell_i = \tfrac12 (\operatorname{lse}_j z_{ij} - z_{ii}) + \tfrac12 (\operatorname{lse}_j z_{ji} - z_{ii}).

    Equivalent to ``(cross_entropy(z, arange(N)) + cross_entropy(z.T, arange(N))) / 2`` of `torch.nn.functional` with
    ``z = logit_scale * image_features @ text_features.T``, and to open_clip's
    ``ClipLoss()(image_features, text_features, logit_scale)``.

    Args:
        image_features, text_features: x and y, shape :math:`(N, D)`, of length one (or see ``normalize``).
        logit_scale: s, the inverse temperature (already exponentiated); float or tensor of one element, differentiable.
        logit_bias: b, likewise. Softmax does not see it.
        normalize: Bring vectors to length one first.
        mask: Bool :math:`(N, N)`; pairs where it is False are left out (false negatives, say).
    """
    return _image_text(
        "clip_loss", image_features, text_features, logit_scale, logit_bias, normalize, mask, options,
        params=(False, False), both=True,
    )  # fmt: skip


@clip_loss.formula
def _(z: Tensor, positives: Tensor, negatives: Tensor, *_: bool) -> list[Part]:
    r""":math:`\mathrm{lse} - z_p`, of rows and of columns."""
    return _cross_entropy(z, positives, negatives, False)


@loss(functor="pairwise_sigmoid", title="SigLipLoss", domains=_LOGITS)
def siglip_loss(
    image_features: Tensor,
    text_features: Tensor,
    logit_scale: float | Tensor,
    logit_bias: float | Tensor | None = None,
    *,
    normalize: bool = False,
    mask: Tensor | None = None,
    **options: Unpack[SimilarityOptions],
) -> Problem:
    r"""A yes or no for each pair of an image and a text (SigLIP, Zhai et al. 2023).

    .. math::
        z_{ij} = s\, x_i \cdot y_j + b, \qquad \ell_i = \sum_j \log(1 + e^{-t_{ij} z_{ij}}), \qquad
        t_{ii} = 1,\ t_{ij} = -1.

    Equivalent to ``-logsigmoid(t * z).sum() / N`` of `torch.nn.functional` with
    ``z = logit_scale * image_features @ text_features.T + logit_bias`` and ``t = 2 * eye(N) - 1``, and to open_clip's
    ``SigLipLoss()(image_features, text_features, logit_scale, logit_bias)``.

    Args:
        image_features, text_features: x and y, shape :math:`(N, D)`, of length one (or see ``normalize``).
        logit_scale: s, float or tensor of one element, differentiable.
        logit_bias: b, likewise; the paper starts at -10.
        normalize: Bring vectors to length one first.
        mask: Bool :math:`(N, N)`; pairs where it is False are left out.
    """
    return _image_text("siglip_loss", image_features, text_features, logit_scale, logit_bias, normalize, mask, options)


@siglip_loss.formula
def _(z: Tensor, positives: Tensor, negatives: Tensor) -> list[Part]:
    r""":math:`\sum \mathrm{softplus}(-y z)`, y = 1 of positives, -1 of negatives. Every row counts."""
    kept = positives | negatives
    z = torch.where(kept, z, 0.0)
    return counted(torch.where(kept, softplus(torch.where(positives, -z, z)), 0.0).sum(-1))


def _image_text(
    name: str,
    image_features: Tensor,
    text_features: Tensor,
    logit_scale: Number,
    logit_bias: Number | None,
    normalize: bool,
    mask: Tensor | None,
    options: SimilarityOptions,
    **more: Any,
) -> Problem:
    check_vectors(name, image_features=image_features, text_features=text_features)
    shape = size(name, "image_features", image_features)
    expect(name, "text_features", text_features, shape, "one text per image")
    for what, value in (("logit_scale", logit_scale), ("logit_bias", 0.0 if logit_bias is None else logit_bias)):
        learned = isinstance(value, Tensor) and value.requires_grad  # which may become NaN
        (check_numbers if learned else check_domain)(name, **{what: value})
    kept = flags(name, "mask", mask, (shape[0], shape[0]), options)
    return Problem(
        Vectors(image_features, text_features), Relation(mask=kept), options, normalize=normalize,
        scale=logit_scale, bias=logit_bias, **more,
    )  # fmt: skip


@loss(functor="info_nce", title="NTXentLoss", domains={"temperature": POSITIVE})
def nt_xent_loss(
    z0: Tensor,
    z1: Tensor,
    temperature: float | Tensor = 0.5,
    *,
    normalize: bool = True,
    decoupled: bool = False,
    mask: Tensor | None = None,
    **options: Unpack[SimilarityOptions],
) -> Problem:
    r"""Two views of each sample find each other among all 2N (NT-Xent, SimCLR, Chen et al. 2020).

    .. math::
        \ell_i = \operatorname{lse}_{j \ne i} z_{ij} - z_{ip}, \qquad z_{ij} = x_i \cdot x_j / T,

    p the other view. 2N anchors, those of ``z0`` first.

    Equivalent to ``cross_entropy(z.masked_fill(eye(2 * N).bool(), -inf), p)`` of `torch.nn.functional` with
    ``x = normalize(cat((z0, z1)))``, ``z = x @ x.T / temperature`` and ``p = arange(2 * N).roll(N)``.

    Args:
        z0, z1: The views, shape :math:`(N, D)`.
        temperature: T, positive; float or tensor of one element, differentiable.
        normalize: Bring vectors to length one first.
        decoupled: Leave the positive out of the denominator (DCL, Yeh et al. 2022).
        mask: Bool :math:`(2N, 2N)`, in the order of the anchors; an anchor (row) does not see the vectors for which it
            is False (false negatives, say). Of a matrix between samples: ``mask.repeat(2, 2)``. With ``group``, columns
            are those of all processes: of each its ``z0``, then its ``z1``.
    """
    name = "nt_xent_loss"
    check_vectors(name, z0=z0, z1=z1)
    n = size(name, "z0", z0)[0]
    expect(name, "z1", z1, z0.shape, "the other view of each vector in z0")
    why_not = ""
    if z0.dtype != z1.dtype:
        why_not, dtype = f"z0 is {z0.dtype} and z1 {z1.dtype}", torch.promote_types(z0.dtype, z1.dtype)
        z0, z1 = z0.to(dtype), z1.to(dtype)
    partner = torch.arange(-n, n, device=z0.device).remainder_(2 * n) if n else None
    relation = Relation(partner, None, flags(name, "mask", mask, (2 * n, 2 * n), options))
    return Problem(Vectors(cat(z0, z1)), relation, options, (False, decoupled), normalize, temperature, why_not=why_not)


@nt_xent_loss.formula
def _(z: Tensor, positives: Tensor, negatives: Tensor, _: bool, decoupled: bool) -> list[Part]:
    r""":math:`\mathrm{lse} - z_p`. ``decoupled`` leaves the positive out of the logsumexp; an anchor without a negative
    does not count then."""
    if not decoupled:
        return _cross_entropy(z, positives, negatives, False)
    value = lse(z, negatives) - torch.where(positives, z, 0.0).sum(-1)
    return counted(value, negatives.any(-1) & positives.any(-1))


@loss(functor="info_nce", title="SupConLoss", domains={"temperature": POSITIVE})
def supcon_loss(
    features: Tensor,
    labels: Tensor | None = None,
    *,
    mask: Tensor | None = None,
    temperature: float | Tensor = 0.1,
    normalize: bool = True,
    positives: Literal["out", "in"] = "out",
    **options: Unpack[SimilarityOptions],
) -> Problem:
    r"""Vectors of one label find each other (supervised contrastive, Khosla et al. 2020).

    `info_nce_loss` of all vectors against all others, positives those of the same label; ``positives`` is its
    ``multi_positive``. Anchors with a positive count.

    Equivalent to the authors' ``SupConLoss(T, base_temperature=T)``, which needs vectors of length one (``normalize``
    sees to that here) and averages over all N V anchors, those without positives as 0: ``normalizer=N * V`` does so
    here. (Until December 2023 it was NaN if an anchor had none.)

    Args:
        features: Shape :math:`(N, D)`, or :math:`(N, V, D)` for V views of each sample. Anchors are all first views,
            then all second ones, and so on.
        labels: Integers, shape :math:`(N)`.
        mask: :math:`(N, N)`, bool or 0 and 1, instead of labels: which samples are a sample's positives. Without labels
            and mask these are its other views.
        temperature: T, positive; float or tensor of one element, differentiable.
        normalize: Bring vectors to length one first.
        positives: Where the mean over positives stands: outside of the logarithm (``"out"``) or inside.
    """
    name = "supcon_loss"
    check_choice(name, "positives", positives, ("out", "in"))
    check_vectors(name, features=features)
    views, rows = 1, features
    if features.dim() == 3:
        views = features.shape[1]
        rows = features.transpose(0, 1).flatten(0, 1)
    elif features.dim() != 2:
        raise ValueError(
            f"fastloss.{name}: features has shape {tuple(features.shape)}, expected (N, D), or (N, V, D) for V views "
            "of each sample; flatten what is more, features.flatten(2)"
        )
    n = features.shape[0]
    if features.dim() == 2 and labels is None and mask is None:
        raise ValueError(
            f"fastloss.{name}: features has shape {tuple(features.shape)}, one view of each sample, of which without "
            "labels and mask none is positive to another; expected labels, mask, or features (N, V, D)"
        )
    if labels is not None and mask is not None:
        raise ValueError(f"fastloss.{name}: expected labels or mask, got both; give all positives in mask (N, N)")
    group = options.get("group")
    if mask is not None:
        expect(name, "mask", mask, (n, n), "for each sample, its positives")
        if group is not None:
            raise RuntimeError(
                f"fastloss.{name}: mask is of one process's samples, expected labels instead with group="
            )
        relation = Relation(positives=(mask != 0).repeat(views, views))
    else:
        label = torch.arange(n, device=features.device) if labels is None else labels_of(name, labels, n)
        if labels is None and group is not None:  # a label of its own for each sample of the group
            label = label + (torch.distributed.get_rank(group) << 40)
        label = label.repeat(views)
        relation = Relation(label, label)
    return Problem(Vectors(rows), relation, options, (positives == "in", False), normalize, temperature)


@supcon_loss.formula
def _(z: Tensor, positives: Tensor, negatives: Tensor, inside: bool, _: bool) -> list[Part]:
    """That of `info_nce_loss`."""
    return _cross_entropy(z, positives, negatives, inside)


def _labelled(
    name: str,
    embeddings: Tensor,
    labels: Tensor,
    mask: Tensor | None,
    options: SimilarityOptions,
    params: tuple[Any, ...],
    normalize: bool,
    mining: str = "",
) -> Problem:
    """A loss of vectors with labels against themselves."""
    check_vectors(name, embeddings=embeddings)
    n = size(name, "embeddings", embeddings)[0]
    label = labels_of(name, labels, n)
    relation = Relation(label, label, flags(name, "mask", mask, (n, n), options))
    return Problem(Vectors(embeddings), relation, options, params, normalize, mining=mining)


@loss(
    params=("pos_margin", "neg_margin", "squared"),
    domains={"pos_margin": FINITE, "neg_margin": FINITE},
    distances=True,
    by_kind=True,
)
def pairwise_contrastive_loss(
    embeddings: Tensor,
    labels: Tensor,
    pos_margin: float | Tensor = 0.0,
    neg_margin: float | Tensor = 1.0,
    *,
    normalize: bool = True,
    squared: bool = False,
    mask: Tensor | None = None,
    **options: Unpack[SimilarityOptions],
) -> Problem:
    r"""Pairs of one label closer than a margin, other pairs farther apart than another (Hadsell et al. 2006).

    With d the Euclidean distance, for all ordered pairs: :math:`\max(0, d_{ij} - m_+)` of equal labels,
    :math:`\max(0, m_- - d_{ij})` of others. An anchor's value is the sum over its pairs; ``"mean"`` averages the
    positive pairs with a value above 0, the negative ones likewise, and adds the two.

    Equivalent to pytorch-metric-learning's ``ContrastiveLoss(pos_margin, neg_margin)(embeddings, labels)``.

    Args:
        embeddings: Shape :math:`(N, D)`.
        labels: Integers, shape :math:`(N)`.
        pos_margin, neg_margin: :math:`m_+` and :math:`m_-`. Floats or tensors of one element. A tensor that needs a
            gradient, is on a GPU, or meets ``torch.compile``, runs in plain PyTorch, with the whole matrix.
        normalize: Bring vectors to length one first.
        squared: Half the squares of the hinges, as in the paper.
        mask: Bool :math:`(N, N)`; an anchor (row) does not see the vectors for which it is False. With ``group``,
            columns are the vectors of all processes.
    """
    name = "pairwise_contrastive_loss"
    return _labelled(name, embeddings, labels, mask, options, (pos_margin, neg_margin, squared), normalize)


@pairwise_contrastive_loss.formula
def _(
    d: Tensor, positives: Tensor, negatives: Tensor, pos_margin: Number, neg_margin: Number, squared: bool
) -> list[Part]:
    r""":math:`\sum_P \max(0, d - m_+)` and :math:`\sum_N \max(0, m_- - d)`, or ``squared``: half the squares. A mean
    divides each by the number of its values above 0; if no pair has one, it is over nothing."""
    near, far = F.relu(d - number(pos_margin, d)), F.relu(number(neg_margin, d) - d)
    if squared:
        near, far = near.square() / 2, far.square() / 2
    near, far = torch.where(positives, near, 0.0), torch.where(negatives, far, 0.0)
    counts = [(value > 0).sum() for value in (near, far)]
    return [(value.sum(-1), count, counts[0] + counts[1]) for value, count in zip((near, far), counts, strict=True)]


@loss(
    params=("alpha", "beta", "base"),
    domains={"alpha": POSITIVE, "beta": POSITIVE, "base": FINITE},
)
def multi_similarity_loss(
    embeddings: Tensor,
    labels: Tensor,
    alpha: float | Tensor = 2.0,
    beta: float | Tensor = 50.0,
    base: float | Tensor = 0.5,
    *,
    normalize: bool = True,
    mask: Tensor | None = None,
    **options: Unpack[SimilarityOptions],
) -> Problem:
    r"""Similarities of one label above a base, others below (multi-similarity, Wang et al. 2019), all pairs:

    .. math::
        \ell_i = \tfrac1\alpha \log\bigl(1 + \sum_{p} e^{-\alpha (s_{ip} - \lambda)}\bigr)
               + \tfrac1\beta \log\bigl(1 + \sum_{n} e^{\beta (s_{in} - \lambda)}\bigr).

    Every anchor counts.

    Equivalent to pytorch-metric-learning's ``MultiSimilarityLoss(alpha, beta, base)(embeddings, labels)``.

    Args:
        embeddings: Shape :math:`(N, D)`.
        labels: Integers, shape :math:`(N)`.
        alpha, beta, base: :math:`\alpha`, :math:`\beta` (positive) and :math:`\lambda`. Floats or tensors of one
            element. A tensor that needs a gradient, is on a GPU, or meets ``torch.compile``, runs in plain PyTorch,
            with the whole matrix.
        normalize: Bring vectors to length one first.
        mask: Bool :math:`(N, N)`; an anchor (row) does not see the vectors for which it is False. With ``group``,
            columns are the vectors of all processes.
    """
    name = "multi_similarity_loss"
    return _labelled(name, embeddings, labels, mask, options, (alpha, beta, base), normalize)


@multi_similarity_loss.formula
def _(s: Tensor, positives: Tensor, negatives: Tensor, alpha: Number, beta: Number, base: Number) -> list[Part]:
    r""":math:`\tfrac1\alpha \log(1 + \sum_P e^{-\alpha (s - b)}) + \tfrac1\beta \log(1 + \sum_N e^{\beta (s - b)})`.
    Every anchor counts."""
    a, b, s = number(alpha, s), number(beta, s), s - number(base, s)
    return counted(softplus(lse(-a * s, positives)) / a + softplus(lse(b * s, negatives)) / b)


@loss(params=("m", "gamma"), domains={"m": FINITE, "gamma": POSITIVE})
def circle_loss(
    embeddings: Tensor,
    labels: Tensor,
    m: float | Tensor = 0.4,
    gamma: float | Tensor = 80.0,
    *,
    normalize: bool = True,
    mask: Tensor | None = None,
    **options: Unpack[SimilarityOptions],
) -> Problem:
    r"""Similarities weighed by how far they are from where they should be (circle loss, Sun et al. 2020):

    .. math::
        \ell_i = \log\bigl(1 + \sum_n e^{\gamma [s_{in} + m]_+ (s_{in} - m)}
                               \sum_p e^{-\gamma [1 + m - s_{ip}]_+ (s_{ip} - 1 + m)}\bigr),

    brackets taken as constants. Anchors with a positive and a negative count.

    Equivalent to pytorch-metric-learning's ``CircleLoss(m, gamma)(embeddings, labels)``, where anchors of value 0 do
    not count.

    Args:
        embeddings: Shape :math:`(N, D)`.
        labels: Integers, shape :math:`(N)`.
        m, gamma: The margin and the scale (positive). Floats or tensors of one element. A tensor that needs a
            gradient, is on a GPU, or meets ``torch.compile``, runs in plain PyTorch, with the whole matrix.
        normalize: Bring vectors to length one first.
        mask: Bool :math:`(N, N)`; an anchor (row) does not see the vectors for which it is False. With ``group``,
            columns are the vectors of all processes.
    """
    name = "circle_loss"
    return _labelled(name, embeddings, labels, mask, options, (m, gamma), normalize)


@circle_loss.formula
def _(s: Tensor, positives: Tensor, negatives: Tensor, m: Number, gamma: Number) -> list[Part]:
    r""":math:`\mathrm{softplus}(\mathrm{lse}_N\, \gamma [s + m]_+ (s - m) + \mathrm{lse}_P -\!\gamma [1 + m - s]_+
    (s - 1 + m))`, without derivative in the brackets. Anchors with a positive and a negative count."""
    m, gamma = number(m, s), number(gamma, s)
    far = gamma * (s.detach() + m).clamp_min(0) * (s - m)
    near = -gamma * (1 + m - s.detach()).clamp_min(0) * (s - 1 + m)
    return counted(softplus(lse(far, negatives) + lse(near, positives)), positives.any(-1) & negatives.any(-1))


@loss(params=("margin", "soft"), domains={"margin": FINITE}, distances=True)
def mined_triplet_margin_loss(
    embeddings: Tensor,
    labels: Tensor,
    margin: float | Tensor = 1.0,
    *,
    mining: Literal["batch_hard", "semi_hard", "all"] = "batch_hard",
    soft: bool = False,
    normalize: bool = False,
    mask: Tensor | None = None,
    **options: Unpack[SimilarityOptions],
) -> Problem:
    r"""Triplets found in the batch: an anchor a closer to a positive p than to a negative n by a margin.

    With d the Euclidean distance, :math:`\max(0,\ m + d_{ap} - d_{an})`, or :math:`\log(1 + e^{d_{ap} - d_{an}})` if
    ``soft``. Triplets, and what a mean divides by:

    * ``"batch_hard"``: each anchor's farthest positive and nearest negative (Hermans et al. 2017); anchors with both.
    * ``"semi_hard"``: for each anchor and positive the nearest negative farther than the positive, else the farthest
      one (FaceNet, Schroff et al. 2015); pairs of anchor and positive that have a negative.
    * ``"all"``: every triplet; those with a value above 0.

    Of several equally far, the first. An anchor's value is the sum over its triplets. The work is the matrix of
    distances (:math:`2 N^2 D` flops) and, for each pair of anchor and positive, a look at the anchor's row of it;
    nothing cubic is stored. Gradients come from the pairs chosen, :math:`O(D)` for each; those of ``"all"``, of
    semi-hard triplets where one pair of sixteen or more is chosen, and on GPUs from products, :math:`4 N^2 D` more.

    Equivalent to pytorch-metric-learning's ``TripletMarginLoss(margin)(embeddings, labels)`` with ``mining="all"`` and
    ``normalize=True``; see the table in `fastloss.reference.similarity` for its miners.

    Args:
        embeddings: Shape :math:`(N, D)`.
        labels: Integers, shape :math:`(N)`.
        margin: m. Float or tensor of one element. A tensor that needs a
            gradient, is on a GPU, or meets ``torch.compile``, runs in plain PyTorch, with the whole matrix.
        mining: Which triplets.
        soft: Without margin, and smooth; not for ``"all"``.
        normalize: Bring vectors to length one first.
        mask: Bool :math:`(N, N)`; an anchor (row) does not see the vectors for which it is False. With ``group``,
            columns are the vectors of all processes.
    """
    name = "mined_triplet_margin_loss"
    check_choice(name, "mining", mining, MINING)
    if soft and mining == "all":
        raise ValueError(f"fastloss.{name}: soft has no value of 0 to leave out, so it needs batch_hard or semi_hard")
    return _labelled(name, embeddings, labels, mask, options, (margin, soft), normalize, mining)


@mined_triplet_margin_loss.formula
def _(d: Tensor, positives: Tensor, negatives: Tensor, margin: Number, soft: bool, mining: str) -> list[Part]:
    r""":math:`h = \max(0, m + d_{ap} - d_{an})`, or ``soft``: :math:`\mathrm{softplus}(d_{ap} - d_{an})`. If no value
    of all triplets is above 0, a mean is over nothing."""
    fixed = d.detach()

    def h(near: Tensor, far: Tensor) -> Tensor:
        return softplus(near - far) if soft else F.relu(number(margin, d) + near - far)

    if mining == "all" or not len(d):
        kept = positives.unsqueeze(2) & negatives.unsqueeze(1)
        value = torch.where(kept, h(d.unsqueeze(2), d.unsqueeze(1)), 0.0)
        count = (value > 0).sum()
        return [(value.sum((1, 2)), count, count)]
    if mining == "batch_hard":
        farthest = torch.where(positives, fixed, -math.inf).argmax(-1, keepdim=True)
        nearest = torch.where(negatives, fixed, math.inf).argmin(-1, keepdim=True)
        value = h(d.gather(-1, farthest), d.gather(-1, nearest)).squeeze(-1)
        return counted(value, positives.any(-1) & negatives.any(-1))
    ordered, order = torch.where(negatives, fixed, math.inf).sort(dim=-1, stable=True)
    some = negatives.sum(-1, keepdim=True)
    place = torch.searchsorted(ordered, fixed, right=True)
    farthest = torch.where(negatives, fixed, -math.inf).argmax(-1, keepdim=True)
    index = torch.where(place < some, order.gather(-1, place.clamp_max(d.shape[0] - 1)), farthest)
    kept = positives & (some > 0)
    value = torch.where(kept, h(d, d.gather(-1, index)), 0.0)
    return [(value.sum(-1), kept.sum(), kept.sum())]
