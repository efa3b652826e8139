"""Losses of all pairs of two sets of vectors: contrastive and metric learning, without the matrix of similarities."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, ParamSpec

import torch
from torch import Tensor

from fastloss import _ops, _options, reference
from fastloss._autograd import savable
from fastloss._core import route
from fastloss._options import AnchorOptions, SimilarityOptions
from fastloss._similarity import MEMORY_BUDGET, MINING, Call, Relation, Vectors, similarity
from fastloss.functional._paths import KERNEL_DTYPES, TENSORS, divisor_of, is_compiling, why_no_kernel
from fastloss.reference.similarity import _cat, any_outside

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


_SHARED = """
    Keyword-only options, shared by every similarity loss:
        weight: Factor of each anchor's value, one per anchor. Does not enter the mean's divisor.
        reduction: ``"none"`` (a value per anchor), ``"mean"`` over the anchors that count, or ``"sum"``.
        normalizer: Replaces the mean's divisor.
        empty: Value of a mean over nothing (no anchor counts, no hinge is above 0 where only those count, the
            normalizer is 0): ``"zero"`` (default) or ``"nan"``. The gradient is zero either way.
        loss_dtype: dtype of the loss. Default: the vectors'; float32 for half vectors under autocast.
        memory_budget: Bytes of similarities that may be kept from forward's first to its second look at them; beyond it
            they are computed twice (a third more arithmetic). Default 256 MiB.
        group: A `torch.distributed` process group that shares the batch, each process with a part of its own (the parts
            may differ in size). Value and gradients are those of one process with the parts one after the other:
            `fastloss.distributed`. Every process must call. Default: this process has the whole batch.
        ddp: Gradients will be averaged over the group afterwards, as DistributedDataParallel does: multiply them by the
            number of processes, so that the average is the gradient of the whole batch.

    Returns:
        The loss: shape (anchors) for ``"none"``, else ``()``.

    Dtypes: float16, bfloat16, float32, float64, all vectors alike; others go to plain PyTorch. Similarities are a
        matrix product in the vectors' dtype (float16 on the CPU: float32), everything after it is float32 or float64.
    CUDA: kernels wait for nothing; a number of the loss (a scale, a temperature) that lies on the device is read there.
    Raises: ValueError or TypeError with argument, expected, got and remedy.
    Gradient: with respect to all vectors and scalars; differentiable again (through the reference, which needs the
        whole matrix). Made during forward, except for ``"none"``.
    Memory: the gradients in float32, a strip of similarities (32 MiB; CUDA: 128), or all of them if they fit
        ``memory_budget``.
    Accuracy: an anchor's positives and negatives are summed apart, so nothing cancels where a positive's probability
        nears 1. A distance is the root of |x|^2 + |y|^2 - 2 <x, y> in float32 or float64, as in `torch.cdist` beyond 25
        rows: one that is small beside the vectors' lengths (duplicates, a common offset) is off by up to about 2^-10 of
        these in float32, 2^-24 in float64. Of all steps only the matrix products, which are PyTorch's own, may give
        other bits with another number of threads.
"""

_P = ParamSpec("_P")
Problem = tuple[Call, Relation, Vectors]


def _similarity_loss(name: str) -> Callable[[Callable[_P, Problem | None]], Callable[_P, Tensor]]:
    """Makes a public loss of a function that says which problem the arguments pose.

    The function returns None where the reference must decide: about errors, and about what kernels do not cover.
    """

    def complete(problem: Callable[_P, Problem | None]) -> Callable[_P, Tensor]:
        signature = inspect.signature(problem)
        known = (signature.parameters.keys() - {"options"}) | _options.names(SimilarityOptions)

        def why_not(args: Any, kwargs: Any) -> tuple[str, Problem | None]:
            _options.refuse_unknown(name, kwargs.keys(), known)
            of = kwargs.get
            _options.check(name, of("reduction", "mean"), of("normalizer"), of("empty", "zero"), of("loss_dtype"))
            _options.check_sharing(name, of("memory_budget"), of("group"))
            tensors = [t for t in (*args, *kwargs.values()) if isinstance(t, Tensor)]
            reason = why_no_kernel(tensors, ("cpu", "cuda"))
            if reason:
                return reason, None
            posed = problem(*args, **kwargs)
            return ("" if posed else "plain PyTorch decides these arguments"), posed

        def loss(*args: _P.args, **kwargs: _P.kwargs) -> Tensor:
            reason, posed = why_not(args, kwargs)
            route.kernel_unless(name, reason)
            if posed is None:
                if kwargs.get("group") is not None:
                    _refuse_in_group(name, signature.bind(*args, **kwargs).arguments)
                return _by_reference(name, reason, args, kwargs)
            return similarity(*posed)

        loss.__name__ = loss.__qualname__ = name
        loss.__module__ = problem.__module__
        loss.__doc__ = (problem.__doc__ or "").rstrip() + "\n" + _SHARED
        loss.__signature__ = signature.replace(return_annotation="Tensor")  # type: ignore[attr-defined]
        return loss

    return complete


# Numbers and factors that kernels take as constants.
_FIXED = frozenset(
    ("weight", "normalizer", "pos_margin", "neg_margin", "alpha", "beta", "base", "m", "gamma", "margin")
)


def _refuse_in_group(name: str, arguments: dict[str, Any]) -> None:
    """Raises if these arguments of a call with group=, which kernels do not take, are such as none takes there."""
    given = {**arguments, **arguments.get("options", {})}
    if given.get("negatives") is not None:
        raise RuntimeError(
            f"fastloss.{name}: negatives are one process's own, expected none with group=; those for all queries can "
            "follow the keys, key=torch.cat((key, negatives)), with labels="
        )
    if name == "supcon_loss" and given.get("mask") is not None:
        raise RuntimeError(f"fastloss.{name}: mask is of one process's samples, expected labels instead with group=")
    for what, value in given.items():
        if what in _FIXED and isinstance(value, Tensor) and value.requires_grad:
            raise RuntimeError(
                f"fastloss.{name}: {what} needs a gradient, which plain PyTorch makes, with the whole batch in one "
                f"process; expected {what}.detach() with group="
            )


def _by_reference(name: str, reason: str, args: Any, kwargs: dict[str, Any]) -> Tensor:
    if not is_compiling():
        args, kwargs = map(savable, args), {key: savable(value) for key, value in kwargs.items()}
    result = getattr(reference, name)(*args, **_for_reference(kwargs))
    if kwargs.get("ddp") and kwargs.get("group") is None:
        raise ValueError(
            f"fastloss.{name}: ddp=True makes up for an average over the processes that share the batch, expected them "
            "as group=, got None; pass group (torch.distributed.group.WORLD: all), or leave ddp out: the loss of one "
            "process's own batch needs no factor"
        )
    if kwargs.get("group") is not None:
        raise RuntimeError(
            f"fastloss.{name}: {reason}, and plain PyTorch has no group=; expected one process with the whole batch, "
            "or arguments that the kernels take"
        )
    return result


def _same(*vectors: Tensor | None) -> bool:
    """Whether these are matrices of one width and a dtype with a kernel, and, but in a graph, have numbers."""
    first: Any = vectors[0]
    if type(first) not in TENSORS and not (isinstance(first, Tensor) and is_compiling()):
        return False  # a fake tensor, which a kernel cannot read; in a graph one operator stands for all kernels
    if first.dtype not in KERNEL_DTYPES:
        return False
    return all(
        isinstance(v, Tensor) and v.dim() == 2 and v.dtype == first.dtype and v.shape[1] == first.shape[1] > 0
        for v in vectors
    )


def _stacked(x: Tensor, y: Tensor) -> Tensor:
    if x.dtype is torch.float16 and x.is_cpu:  # refused under autocast
        return _cat(x, y)
    return torch.cat((x, y))


def _pair_flags(t: Tensor | None, shape: tuple[int, int], in_group: bool) -> Tensor | Literal[False] | None:
    """A bool matrix as kernels read it; False if the reference must decide."""
    if t is None:
        return None
    if not isinstance(t, Tensor) or t.dtype != torch.bool or t.dim() != 2:
        return False
    if t.shape[0] != shape[0] or (t.shape[1] != shape[1] and not in_group):
        return False
    return t if t.stride(1) == 1 else t.contiguous()


def _labels(labels: Any, n: int) -> Tensor | None:
    if not isinstance(labels, Tensor) or labels.shape != (n,) or labels.is_floating_point() or labels.is_complex():
        return None
    return labels.to(torch.int64).contiguous()


def _takes(value: Any, positive: bool = False) -> bool:
    """Whether kernels take this hyperparameter."""
    if isinstance(value, Tensor):
        if not (value.numel() == 1 and value.is_floating_point()):
            return False
        if value.requires_grad and not positive:  # a learned scale may become NaN
            return True
    number = _options.known(value) if _options.is_real(value) else math.nan
    return number is None or (0 if positive else -math.inf) < number < math.inf


def _fixed(value: Any) -> float | None:
    """A hyperparameter that kernels take as a number; None if it is none, needs a gradient or is the GPU's to know."""
    if isinstance(value, Tensor) and (value.numel() != 1 or not value.is_cpu or value.requires_grad or is_compiling()):
        return None
    return float(value) if _options.is_real(value) and -math.inf < value < math.inf else None


def _pose(
    loss: str,
    again: Callable[[Call, Vectors, Relation, Any], Tensor],
    rows: Tensor,
    columns: Tensor | None = None,
    negatives: Tensor | None = None,
    *,
    scale: float | Tensor = 1.0,
    bias: float | Tensor | None = None,
    temperature: float | Tensor | None = None,
    params: tuple[float, ...] = (),
    relation: dict[str, Tensor | None],
    options: SimilarityOptions,
    normalize: bool,
    both: bool = False,
    distances: bool = False,
    by_kind: bool = False,
    unseen: bool = False,
) -> Problem | None:
    """A problem with the shared options; None if the reference must decide."""
    reduction, empty = options.get("reduction", "mean"), options.get("empty", "zero")
    weight, normalizer = options.get("weight"), options.get("normalizer")
    if reduction not in _ops.REDUCTIONS:
        return None
    code = _ops.REDUCTIONS[reduction]
    group, ddp = options.get("group"), options.get("ddp", False)
    if ddp and group is None:
        return None
    alike = columns is None or columns.shape[0] == rows.shape[0]
    if normalizer is not None:
        if isinstance(normalizer, Tensor) and (normalizer.numel() != 1 or normalizer.requires_grad):
            return None
        normalizer = divisor_of(normalizer, rows.device).reshape(())
    if weight is not None:
        if (
            not isinstance(weight, Tensor)
            or weight.shape != rows.shape[:1]
            or weight.requires_grad
            or weight.is_complex()
        ):
            return None
        weight = weight.to(torch.float64).contiguous()
    if both and not alike and (weight is not None or code == 0):
        return None
    loss_dtype = rows.dtype
    if _ops.autocasts(rows.device.type) and rows.dtype != torch.float64:
        loss_dtype = torch.float32
        if not distances:
            dtype = torch.get_autocast_dtype(rows.device.type)
            rows, columns, negatives = (None if t is None else t.to(dtype) for t in (rows, columns, negatives))  # type: ignore[assignment]
    if distances and rows.dtype.itemsize == 2:  # |x|^2 + |y|^2 - 2 <x, y> cancels
        rows = rows.float()
    affine = (1.0, 0.0)
    if temperature is not None:
        if isinstance(temperature, Tensor):  # the quotient is to be as exact as what it is multiplied by
            compute = _ops.compute_dtype(rows.dtype)
            if temperature.dtype.itemsize < compute.itemsize:
                temperature = temperature.to(compute)
        scale = 1 / (temperature if isinstance(temperature, Tensor) else float(temperature))
    if not isinstance(scale, Tensor):
        affine = (float(scale), affine[1])
    if bias is not None and not isinstance(bias, Tensor):
        affine = (affine[0], float(bias))
    if distances:
        affine = (-2.0, 0.0)
    itself, budget = columns is None, options.get("memory_budget")
    call = Call(
        loss, params, affine, itself, both, normalize, distances, by_kind, code, empty == "zero",
        options.get("loss_dtype") or loss_dtype, MEMORY_BUDGET if budget is None else int(min(budget, 1 << 62)), again,
        group, ddp, unseen,
    )  # fmt: skip
    tensors = (t if isinstance(t, Tensor) else None for t in (scale, bias))
    return call, Relation(**relation, weight=weight, normalizer=normalizer), Vectors(rows, columns, negatives, *tensors)


@_similarity_loss("info_nce_loss")
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
) -> Problem | None:
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
    if not _same(query, key) or not _takes(temperature, positive=True) or multi_positive not in ("out", "in"):
        return None
    n, m = query.shape[0], key.shape[0]
    in_group = options.get("group") is not None
    kept, chosen = _pair_flags(mask, (n, m), in_group), _pair_flags(positives, (n, m), in_group)
    row_labels: Tensor | None = None
    outside: bool | None = False
    if labels is not None:
        row_labels = _labels(labels, n)
        if row_labels is None:
            return None
        outside = any_outside(row_labels, m)
        if outside:
            return None
    elif positives is None and m < n:
        return None
    if kept is False or chosen is False or (labels is not None and positives is not None):
        return None
    columns, own = key, None
    if negatives is not None and options.get("group") is not None:
        return None
    if negatives is not None:
        if not isinstance(negatives, Tensor) or negatives.dtype != key.dtype or symmetric:
            return None
        if negatives.dim() == 3 and (negatives.shape[0], negatives.shape[2]) == (n, key.shape[1]):
            own = negatives
        elif not _same(key, negatives):
            return None
        else:
            columns = _stacked(key, negatives)
        further = negatives.shape[-2]
        if kept is not None:
            kept = torch.cat((kept, kept.new_ones(n, further)), 1)
        if chosen is not None:
            chosen = torch.cat((chosen, chosen.new_zeros(n, further)), 1)
        if row_labels is not None:  # the index of a negative is no label
            row_labels = torch.where(row_labels < m, row_labels, -1)

    appended = negatives is not None and own is None

    def again(call: Call, vectors: Vectors, relation: Relation, options: Any) -> Tensor:
        rows, columns, further, _, _ = vectors
        assert columns is not None
        mask, chosen = (None if t is None else t[:, :m] for t in (relation.mask, relation.positives))
        return reference.info_nce_loss(
            rows, columns[:m], relation.row_labels, negatives=columns[m:] if appended else further, positives=chosen,
            mask=mask, temperature=_temperature(call, vectors), normalize=call.normalize, symmetric=call.both,
            multi_positive="in" if call.params[0] else "out", **options,
        )  # fmt: skip

    return _pose(
        "info_nce", again, query, columns, own,
        temperature=temperature, params=(multi_positive == "in", False), normalize=normalize, both=symmetric,
        relation={"row_labels": row_labels, "mask": kept, "positives": chosen}, options=options,
        unseen=outside is None,
    )  # fmt: skip


def _temperature(call: Call, vectors: Vectors) -> float | Tensor:
    return 1 / (call.affine[0] if vectors.scale is None else vectors.scale)


_NOT_OF_THE_REFERENCE = _options.names(SimilarityOptions) - _options.names(AnchorOptions)


def _for_reference(options: Any) -> dict[str, Any]:
    return {k: v for k, v in options.items() if k not in _NOT_OF_THE_REFERENCE}


@_similarity_loss("clip_loss")
def clip_loss(
    image_features: Tensor,
    text_features: Tensor,
    logit_scale: float | Tensor,
    logit_bias: float | Tensor | None = None,
    *,
    normalize: bool = False,
    mask: Tensor | None = None,
    **options: Unpack[SimilarityOptions],
) -> Problem | None:
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
    return _image_text("clip", image_features, text_features, logit_scale, logit_bias, normalize, mask, options)


@_similarity_loss("siglip_loss")
def siglip_loss(
    image_features: Tensor,
    text_features: Tensor,
    logit_scale: float | Tensor,
    logit_bias: float | Tensor | None = None,
    *,
    normalize: bool = False,
    mask: Tensor | None = None,
    **options: Unpack[SimilarityOptions],
) -> Problem | None:
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
    return _image_text("siglip", image_features, text_features, logit_scale, logit_bias, normalize, mask, options)


def _image_text(
    which: str,
    image_features: Tensor,
    text_features: Tensor,
    logit_scale: Any,
    logit_bias: Any,
    normalize: bool,
    mask: Tensor | None,
    options: SimilarityOptions,
) -> Problem | None:
    if not _same(image_features, text_features) or image_features.shape != text_features.shape:
        return None
    n = image_features.shape[0]
    kept = _pair_flags(mask, (n, n), options.get("group") is not None)
    if kept is False or not _takes(logit_scale) or not (logit_bias is None or _takes(logit_bias)):
        return None

    def again(call: Call, vectors: Vectors, relation: Relation, options: Any) -> Tensor:
        rows, columns, _, scale, bias = vectors
        return getattr(reference, f"{which}_loss")(
            rows, columns, call.affine[0] if scale is None else scale, call.affine[1] if bias is None else bias,
            normalize=call.normalize, mask=relation.mask, **options,
        )  # fmt: skip

    return _pose(
        "info_nce" if which == "clip" else "pairwise_sigmoid", again, image_features, text_features,
        scale=logit_scale, bias=logit_bias, params=(0, 0) if which == "clip" else (), normalize=normalize,
        both=which == "clip", relation={"mask": kept}, options=options,
    )  # fmt: skip


@_similarity_loss("nt_xent_loss")
def nt_xent_loss(
    z0: Tensor,
    z1: Tensor,
    temperature: float | Tensor = 0.5,
    *,
    normalize: bool = True,
    decoupled: bool = False,
    mask: Tensor | None = None,
    **options: Unpack[SimilarityOptions],
) -> Problem | None:
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
    if not _same(z0, z1) or z0.shape != z1.shape or not _takes(temperature, positive=True):
        return None
    n = z0.shape[0]
    kept = _pair_flags(mask, (2 * n, 2 * n), options.get("group") is not None)
    if kept is False:
        return None

    def again(call: Call, vectors: Vectors, relation: Relation, options: Any) -> Tensor:
        return reference.nt_xent_loss(
            vectors.rows[:n], vectors.rows[n:], _temperature(call, vectors), normalize=call.normalize,
            decoupled=decoupled, mask=relation.mask, **options,
        )  # fmt: skip

    partner = torch.arange(-n, n, device=z0.device).remainder_(2 * n) if n else None
    return _pose(
        "info_nce", again, _stacked(z0, z1), temperature=temperature, params=(0, decoupled), normalize=normalize,
        relation={"row_labels": partner, "mask": kept}, options=options,
    )  # fmt: skip


@_similarity_loss("supcon_loss")
def supcon_loss(
    features: Tensor,
    labels: Tensor | None = None,
    *,
    mask: Tensor | None = None,
    temperature: float | Tensor = 0.1,
    normalize: bool = True,
    positives: Literal["out", "in"] = "out",
    **options: Unpack[SimilarityOptions],
) -> Problem | None:
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
    if not isinstance(features, Tensor) or features.dim() not in (2, 3) or positives not in ("out", "in"):
        return None
    if features.dim() == 2 and labels is None and mask is None:
        return None
    n, views = features.shape[0], 1
    rows = features
    if features.dim() == 3:
        views = features.shape[1]
        rows = features.transpose(0, 1).flatten(0, 1)
    if not _same(rows) or not _takes(temperature, positive=True) or (labels is not None and mask is not None):
        return None
    relation: dict[str, Tensor | None] = {}
    if mask is not None:
        if not isinstance(mask, Tensor) or mask.shape != (n, n) or options.get("group") is not None:
            return None
        relation["positives"] = (mask != 0).repeat(views, views)
    else:
        label = torch.arange(n, device=features.device) if labels is None else _labels(labels, n)
        if label is None:
            return None
        if labels is None and options.get("group") is not None:  # a label of its own for each sample of the group
            label = label + (torch.distributed.get_rank(options["group"]) << 40)
        relation["row_labels"] = relation["column_labels"] = label.repeat(views)

    def again(call: Call, vectors: Vectors, relation: Relation, options: Any) -> Tensor:
        labels, related = relation.row_labels, relation.positives
        return reference.supcon_loss(
            vectors.rows.unflatten(0, (views, n)).transpose(0, 1), None if labels is None else labels[:n],
            mask=None if related is None else related[:n, :n], positives=positives, normalize=call.normalize,
            temperature=_temperature(call, vectors), **options,
        )  # fmt: skip

    return _pose(
        "info_nce", again, rows, temperature=temperature, params=(positives == "in", 0), normalize=normalize,
        relation=relation, options=options,
    )  # fmt: skip


def _labelled(
    name: str,
    loss: str,
    embeddings: Tensor,
    labels: Tensor,
    params: dict[str, float | Tensor],
    normalize: bool,
    mask: Tensor | None,
    options: SimilarityOptions,
    **more: Any,
) -> Problem | None:
    """A loss of vectors with labels against themselves, whose reference takes the parameters by these names."""
    numbers = tuple(_fixed(value) for value in params.values())
    relation = _labels_and_mask(embeddings, labels, mask, options) if _same(embeddings) else None
    if relation is None or None in numbers:
        return None

    names = tuple(params)

    def again(call: Call, vectors: Vectors, relation: Relation, options: Any) -> Tensor:
        given = dict(zip(names, call.params, strict=True))
        return getattr(reference, name)(
            vectors.rows, relation.row_labels, **given, normalize=call.normalize, mask=relation.mask, **options
        )

    return _pose(
        loss, again, embeddings, params=numbers, normalize=normalize,  # type: ignore[arg-type]
        relation=relation, options=options, **more,
    )  # fmt: skip


def _labels_and_mask(
    embeddings: Tensor, labels: Any, mask: Tensor | None, options: SimilarityOptions
) -> dict[str, Tensor | None] | None:
    """What vectors with labels are to each other; None if the reference must decide."""
    n = embeddings.shape[0]
    label, kept = _labels(labels, n), _pair_flags(mask, (n, n), options.get("group") is not None)
    if label is None or kept is False:
        return None
    return {"row_labels": label, "column_labels": label, "mask": kept}


@_similarity_loss("pairwise_contrastive_loss")
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
) -> Problem | None:
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
    margins = {"pos_margin": pos_margin, "neg_margin": neg_margin, "squared": squared}
    return _labelled(
        "pairwise_contrastive_loss", "pairwise_contrastive", embeddings, labels, margins, normalize, mask, options,
        distances=True, by_kind=True,
    )  # fmt: skip


@_similarity_loss("multi_similarity_loss")
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
) -> Problem | None:
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
    if not (_takes(alpha, positive=True) and _takes(beta, positive=True)):
        return None
    params = {"alpha": alpha, "beta": beta, "base": base}
    return _labelled("multi_similarity_loss", "multi_similarity", embeddings, labels, params, normalize, mask, options)


@_similarity_loss("circle_loss")
def circle_loss(
    embeddings: Tensor,
    labels: Tensor,
    m: float | Tensor = 0.4,
    gamma: float | Tensor = 80.0,
    *,
    normalize: bool = True,
    mask: Tensor | None = None,
    **options: Unpack[SimilarityOptions],
) -> Problem | None:
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
    if not _takes(gamma, positive=True):
        return None
    params = {"m": m, "gamma": gamma}
    return _labelled("circle_loss", "circle", embeddings, labels, params, normalize, mask, options)


@_similarity_loss("mined_triplet_margin_loss")
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
) -> Problem | None:
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
    number = _fixed(margin)
    if mining not in MINING or (soft and mining == "all") or number is None or not _same(embeddings):
        return None
    relation = _labels_and_mask(embeddings, labels, mask, options)
    if relation is None:
        return None

    def again(call: Call, vectors: Vectors, relation: Relation, options: Any) -> Tensor:
        assert relation.row_labels is not None
        return reference.mined_triplet_margin_loss(
            vectors.rows, relation.row_labels, call.params[0], mining=call.loss, soft=soft, normalize=call.normalize,
            mask=relation.mask, **options,
        )  # fmt: skip

    return _pose(
        mining, again, embeddings, params=(number, soft), normalize=normalize, distances=True,
        relation=relation, options=options,
    )  # fmt: skip
