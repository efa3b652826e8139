"""Losses of torch.nn for which no kernel of ours is faster than PyTorch's operators, or only in part."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from fastloss._core import route
from fastloss._core._torch import F
from fastloss._core.guards import REDUCTIONS
from fastloss.engines.composition import loss
from fastloss.losses.classification import binary_cross_entropy_with_logits
from fastloss.losses.embedding import triplet_margin_loss

__all__ = [
    "ctc_loss",
    "multi_margin_loss",
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
    "nll_loss",
    "triplet_margin_with_distance_loss",
]

_WHY = "no kernel of ours is faster than PyTorch's operator"


@loss(module=torch.nn.NLLLoss, inputs=("input", "target"), path="native", why=_WHY)
def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    r"""Negative log-likelihood of a class, given log-probabilities: :math:`\ell = -w_y\, x_y`.

    Equivalent to ``torch.nn.functional.nll_loss(input, target, weight, ignore_index=ignore_index,
    reduction=reduction)``, which it calls: PyTorch's operator reads one number per row. `cross_entropy` takes logits,
    and need not store their log-softmax.

    Args:
        input: Log-probabilities, shape :math:`(C)`, :math:`(N, C)` or :math:`(N, C, d_1, ..., d_K)`.
        target: Class indices, the shape of ``input`` without its class dimension.
        weight: Factor of each class, shape :math:`(C)`.
        size_average, reduce: Deprecated as in PyTorch; ``reduction`` says it all.
        ignore_index: Rows with this target contribute nothing.
        reduction: ``"none"``, ``"sum"``, or ``"mean"``, which divides by the sum of :math:`w_y` over the kept rows.

    Returns:
        The loss: shape of ``target`` for ``"none"``, otherwise ``()``.

    Dtypes, errors, gradient, memory, accuracy: PyTorch's.

    Example:
        >>> input = torch.randn(8, 5, requires_grad=True)
        >>> fastloss.functional.nll_loss(input.log_softmax(1), torch.randint(5, (8,))).backward()
    """
    return F.nll_loss(input, target, weight, size_average, ignore_index, reduce, reduction)


@loss(module=torch.nn.MultiMarginLoss, inputs=("input", "target"), path="native", why=_WHY)
def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    r"""Hinge of each other class's score, :math:`\ell = \frac1C \sum_{c \ne y} w_y \max(0, m + x_c - x_y)^p`.

    Equivalent to ``torch.nn.functional.multi_margin_loss(input, target, p, margin, weight, reduction=reduction)``,
    which it calls. `multiclass_hinge_loss` has ``kind``, ``ignore_index`` and ``mask``, half precision and more
    dimensions.

    Args:
        input: Scores, shape :math:`(C)` or :math:`(N, C)`.
        target: Class indices, shape ``()`` or :math:`(N)`.
        p: 1 or 2.
        margin: m.
        weight: Factor of each class, shape :math:`(C)`; does not enter the mean's divisor.
        size_average, reduce: Deprecated as in PyTorch; ``reduction`` says it all.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.

    Returns:
        The loss: shape of ``target`` for ``"none"``, otherwise ``()``.

    Dtypes, errors, gradient, memory, accuracy: PyTorch's.

    Example:
        >>> input = torch.randn(8, 5, requires_grad=True)
        >>> fastloss.functional.multi_margin_loss(input, torch.randint(5, (8,))).backward()
    """
    return F.multi_margin_loss(input, target, p, margin, weight, size_average, reduce, reduction)


@loss(module=torch.nn.MultiLabelMarginLoss, inputs=("input", "target"), path="native", why=_WHY)
def multilabel_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    r"""Hinge of each pair of a class that is a target and one that is not,
    :math:`\ell = \frac1C \sum_{y \in t} \sum_{c \notin t} \max(0, 1 + x_c - x_y)`.

    Equivalent to ``torch.nn.functional.multilabel_margin_loss(input, target, reduction=reduction)``, which it calls;
    in a graph of `torch.compile` PyTorch's has other values (2.10 to 2.13), so a composition takes its place.

    Args:
        input: Scores, shape :math:`(C)` or :math:`(N, C)`.
        target: The targets' classes of each row, ended by -1, the shape of ``input``.
        size_average, reduce: Deprecated as in PyTorch; ``reduction`` says it all.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.

    Returns:
        The loss: one number per row for ``"none"``, otherwise ``()``.

    Dtypes, errors, gradient, memory, accuracy: PyTorch's.

    Example:
        >>> input = torch.randn(2, 4, requires_grad=True)
        >>> fastloss.functional.multilabel_margin_loss(input, torch.tensor([[3, 0, -1, 1], [2, -1, 0, 0]])).backward()
    """
    if torch.compiler.is_compiling() and size_average is None and reduce is None:
        return _multilabel_margins(input, target, reduction)
    return F.multilabel_margin_loss(input, target, size_average, reduce, reduction)


def _multilabel_margins(input: Tensor, target: Tensor, reduction: str) -> Tensor:
    """The hinges of all pairs of a place among the targets and a class."""
    counts = (target >= 0).long().cumprod(-1).bool()  # up to the first -1
    classes = torch.where(counts, target, 0)
    is_target = torch.zeros_like(target).scatter_add(-1, classes, counts.long()) > 0
    hinges = (1 - input.gather(-1, classes).unsqueeze(-1) + input.unsqueeze(-2)).relu()
    pairs = counts.unsqueeze(-1) & ~is_target.unsqueeze(-2)
    rows = torch.where(pairs, hinges, 0.0).sum((-2, -1)) / input.shape[-1]
    return rows if reduction == "none" else rows.mean() if reduction == "mean" else rows.sum()


def _alike(input: Tensor, *others: Tensor | None) -> bool:
    """Whether these are tensors of one floating dtype, none of which but the first one needs a gradient."""
    return input.is_floating_point() and all(
        t is None or (t.dtype == input.dtype and not t.requires_grad) for t in others
    )


@loss(module=torch.nn.MultiLabelSoftMarginLoss, inputs=("input", "target"))
def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    r"""Mean of the binary cross entropies of a row's logits, :math:`\ell = -\frac1C \sum_c w_c\,
    (y_c \log \sigma(x_c) + (1 - y_c) \log \sigma(-x_c))`.

    Equivalent to ``torch.nn.functional.multilabel_soft_margin_loss(input, target, weight, reduction=reduction)``, by
    way of `binary_cross_entropy_with_logits` where ``input`` and ``target`` have one shape and dtype; else PyTorch
    computes it.

    Args:
        input: Logits, shape :math:`(*, C)`.
        target: Labels in [0, 1], the shape of ``input``.
        weight: Factor of each class, shape :math:`(C)`; does not enter the mean's divisor.
        size_average, reduce: Deprecated as in PyTorch; ``reduction`` says it all.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.

    Returns:
        The loss: the shape of ``input`` without its last dimension for ``"none"``, otherwise ``()``.

    Dtypes, errors: PyTorch's.
    Gradient, memory, accuracy: those of `binary_cross_entropy_with_logits`.
    """
    if (
        size_average is None
        and reduce is None
        and input.dim()
        and input.numel()
        and input.shape == target.shape
        and _alike(input, target, weight)
        and reduction in REDUCTIONS
    ):
        options: dict[str, Any] = {"none": {"reduce_dims": input.dim() - 1}, "sum": {"normalizer": input.shape[-1]}}
        return binary_cross_entropy_with_logits(input, target, weight, **options.get(reduction, {}))
    return _of_pytorch(
        "multilabel_soft_margin_loss", F.multilabel_soft_margin_loss, input, target, weight,
        size_average, reduce, reduction,
    )  # fmt: skip


def _of_pytorch(name: str, function: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
    if route.watched:
        route.take(name, "native", "PyTorch decides about these arguments")
    return function(*args, **kwargs)


@multilabel_soft_margin_loss.formula
def _(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """PyTorch's."""
    return F.multilabel_soft_margin_loss(input, target, weight, size_average, reduce, reduction)


@loss(module=torch.nn.TripletMarginWithDistanceLoss, inputs=("anchor", "positive", "negative"))
def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    r"""Triplet loss of a distance d of one's own, :math:`\ell = \max(0, m + d(a, p) - d(a, n))`.

    Equivalent to ``torch.nn.functional.triplet_margin_with_distance_loss(anchor, positive, negative,
    distance_function=distance_function, margin=margin, swap=swap, reduction=reduction)``. Of the default distance it is
    `triplet_margin_loss`; of another one PyTorch computes it.

    Args:
        anchor, positive, negative: What the distance takes, of as many dimensions each.
        distance_function: d, of two tensors. None, or ``torch.nn.PairwiseDistance()``: Euclidean.
        margin: m, positive.
        swap: Whether :math:`d(p, n)` takes the place of :math:`d(a, n)` where it is smaller.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.

    Returns:
        The loss: the shape of a distance for ``"none"``, otherwise ``()``.

    Dtypes, errors: PyTorch's.
    Gradient, memory, accuracy: those of `triplet_margin_loss`, or of the distance.
    """
    d = distance_function
    default = d is None or (type(d) is torch.nn.PairwiseDistance and (d.norm, d.eps, d.keepdim) == (2.0, 1e-6, False))
    if (
        default
        and anchor.shape == positive.shape == negative.shape
        and anchor.dtype == positive.dtype == negative.dtype
    ):
        return triplet_margin_loss(anchor, positive, negative, margin=margin, swap=swap, reduction=reduction)
    return _of_pytorch(
        "triplet_margin_with_distance_loss", F.triplet_margin_with_distance_loss, anchor, positive, negative,
        distance_function=distance_function, margin=margin, swap=swap, reduction=reduction,
    )  # fmt: skip


@triplet_margin_with_distance_loss.formula
def _(anchor: Tensor, positive: Tensor, negative: Tensor, **settings: Any) -> Tensor:
    """PyTorch's."""
    return F.triplet_margin_with_distance_loss(anchor, positive, negative, **settings)


@loss(
    module=torch.nn.CTCLoss,
    inputs=("log_probs", "targets", "input_lengths", "target_lengths"),
    path="native",
    why=_WHY,
)
def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Tensor | tuple[int, ...],
    target_lengths: Tensor | tuple[int, ...],
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    r"""Connectionist temporal classification (Graves et al. 2006): the negative log-likelihood of a sequence of labels,
    over all its alignments with the input.

    Equivalent to ``torch.nn.functional.ctc_loss(log_probs, targets, input_lengths, target_lengths, blank, reduction,
    zero_infinity)``, which it calls.

    Args:
        log_probs: Log-probabilities, shape :math:`(T, N, C)` or :math:`(T, C)`.
        targets: Labels, shape :math:`(N, S)`, or all one after the other.
        input_lengths, target_lengths: Of each sequence.
        blank: The label of no label.
        reduction: ``"none"``, ``"sum"``, or ``"mean"``, which divides by the targets' lengths first.
        zero_infinity: Whether infinite losses, of inputs shorter than their targets, count as 0.

    Returns:
        The loss: shape :math:`(N)` for ``"none"``, otherwise ``()``.

    Dtypes, errors, gradient, memory, accuracy: PyTorch's.

    Example:
        >>> log_probs = torch.randn(50, 4, 20, requires_grad=True).log_softmax(2)
        >>> targets = torch.randint(1, 20, (4, 10))
        >>> input_lengths, target_lengths = torch.full((4,), 50), torch.full((4,), 10)
        >>> fastloss.functional.ctc_loss(log_probs, targets, input_lengths, target_lengths).backward()
    """
    native: Callable[..., Tensor] = F.ctc_loss  # whose annotation knows lengths in tensors alone
    return native(log_probs, targets, input_lengths, target_lengths, blank, reduction, zero_infinity)
