"""Losses of scores of a list, of which some should be higher than others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from fastloss._core._torch import native_operator
from fastloss._core.operators import REDUCTIONS
from fastloss._core.options import FINITE, ComposedOptions, check_domain
from fastloss._core.row_formula import class_dim, dtype_of_loss, of_dtype
from fastloss.engines.composition import few_entropies, few_rows, loss, of_classes, reduce_rows, rows_of
from fastloss.losses.classification import cross_entropy

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["listnet_loss", "multiclass_hinge_loss"]

_KINDS = ("crammer_singer", "weston_watkins")


_native_hinge: Any = native_operator("multi_margin_loss")


def _few_hinges(
    input: Tensor,
    target: Tensor,
    margin: float | Tensor = 1.0,
    kind: str = "crammer_singer",
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    **options: Any,
) -> Tensor | None:
    if weight is not None or type(margin) is not float or not FINITE[1](margin) or kind not in _KINDS:
        return None
    if not few_rows("multiclass_hinge_loss", input, target, ignore_index, reduction, options):
        return None
    code = REDUCTIONS[reduction]
    if kind == "weston_watkins" and _native_hinge is not None:
        # A weight instead of a product: that would be a node of the graph. PyTorch's loss is divided by their number.
        classes = input.shape[1]
        made: Tensor = _native_hinge(input, target, 1, margin, input.new_full((classes,), classes), code)
        return made
    values = _hinges(input, target, margin, kind)
    return values.mean() if code == 1 else values.sum() if code else values


def _hinges(x: Tensor, label: Tensor, margin: float | Tensor, kind: str) -> Tensor:
    dim = class_dim(x)
    index = label.unsqueeze(dim)
    room = margin - x.gather(dim, index)
    if kind == "crammer_singer":
        return torch.relu(x.scatter(dim, index, -torch.inf).max(dim).values + room.squeeze(dim))
    return torch.relu((x + room).scatter(dim, index, -torch.inf)).sum(dim)  # in this order: room may be infinite


@loss(
    takes=ComposedOptions,
    inputs=("input", "target"),
    keeps=("weight",),
    domains={"margin": FINITE},
    words={"kind": _KINDS},
    path="reference",
    why="it reads the scores two or three times, and no kernel of ours does so faster",
    tiny=_few_hinges,
)
def multiclass_hinge_loss(
    input: Tensor,
    target: Tensor,
    margin: float | Tensor = 1.0,
    kind: Literal["crammer_singer", "weston_watkins"] = "crammer_singer",
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    **options: Unpack[ComposedOptions],
) -> Tensor:
    r"""Hinge of the scores of classes, m = ``margin``:

    ====================  ====================================================  ============================
    ``kind``              loss                                                  paper
    ====================  ====================================================  ============================
    ``crammer_singer``    :math:`w_y \max(0, m + \max_{c \ne y} x_c - x_y)`     Crammer and Singer 2001
    ``weston_watkins``    :math:`w_y \sum_{c \ne y} \max(0, m + x_c - x_y)`     Weston and Watkins 1999
    ====================  ====================================================  ============================

    Equivalent to ``C * F.multi_margin_loss(input, target, margin=margin)`` for ``"weston_watkins"``; neither is divided
    by C.

    Args:
        input: Scores, shape :math:`(C)`, :math:`(N, C)` or :math:`(N, C, d_1, ..., d_K)`.
        target: Class indices, int64 or uint8, the shape of ``input`` without its class dimension.
        margin: m, float or 0-d tensor.
        kind: As above.
        weight: Factor of each class, shape :math:`(C)`; the mean divides by the sum of :math:`w_y`.
        ignore_index: Rows with this target contribute nothing.
        reduction: ``"none"``, ``"sum"`` or ``"mean"``.

    Returns:
        The loss: shape of ``target`` for ``"none"``, otherwise ``()``.

    Raises: IndexError for a class that does not exist; RuntimeError for other shapes and dtypes; ValueError for
        options.
    Gradient: with respect to ``input``; 0 where the margin is just kept, as in PyTorch, and in rows that do not count.
    Memory: a copy of the scores, in which the target is -inf, and of them above the margin for ``"weston_watkins"``.
    Accuracy: half scores are compared and summed in float32.

    Example:
        >>> logits = torch.randn(8, 5, requires_grad=True)
        >>> target = torch.randint(5, (8,))
        >>> fastloss.functional.multiclass_hinge_loss(logits, target, kind="weston_watkins").backward()
    """
    rows = rows_of("multiclass_hinge_loss", input, target, weight, ignore_index, options.get("mask"))
    check_domain("multiclass_hinge_loss", margin=margin)
    x = input.to(torch.promote_types(input.dtype, torch.float32))
    number = of_dtype(margin, x.dtype)
    values = of_classes("multiclass_hinge_loss", lambda: _hinges(x, rows.label, number, kind))
    dtype = dtype_of_loss(input, target, None)
    return reduce_rows(rows.weighted(values), rows, reduction, dtype, **options)


def _of_lists(row_losses: Any, input: Tensor, target: Tensor, reduction: str, options: Any) -> Tensor:
    """Of scores and the distribution of their relevance, without items that the mask leaves out."""
    if input.shape != target.shape or not input.dim() or not input.is_floating_point():
        raise RuntimeError(
            f"fastloss.listnet_loss: input is {input.dtype} of shape {tuple(input.shape)}, target has shape "
            f"{tuple(target.shape)}; expected floating point scores and relevances of one shape (L) or (N, L)"
        )
    dim, mask = class_dim(input), options.get("mask")
    wide = torch.promote_types(input.dtype, torch.float32)
    relevance = target.to(torch.promote_types(wide, target.dtype) if target.is_floating_point() else wide)
    given = {name: value for name, value in options.items() if name != "mask"}
    if mask is not None:
        if mask.dtype != torch.bool or mask.shape != input.shape:
            raise RuntimeError(
                f"fastloss.listnet_loss: mask is {mask.dtype} of shape {tuple(mask.shape)}, expected torch.bool of "
                f"shape {tuple(input.shape)}, True for each item that counts"
            )
        given["mask"] = lists = mask.any(dim)
        relevance = relevance.masked_fill(~mask, -torch.inf).masked_fill(~lists.unsqueeze(dim), 0.0)
        # An item far below the others costs nothing: its relevance is 0, and finite.
        least = input.detach().masked_fill(~mask, torch.inf).amin(dim, keepdim=True).clamp_max(0)
        low = (least - least.abs().clamp_min(2000)).clamp_min(torch.finfo(input.dtype).min)
        input = torch.where(mask, input, low)
    if wide != input.dtype and given.get("loss_dtype") is None:
        given["loss_dtype"] = dtype_of_loss(input, input, None)
    made: Tensor = row_losses(input, relevance.softmax(dim).to(wide), None, None, -100, None, reduction, **given)
    return made


def _few_lists(input: Tensor, target: Tensor, reduction: str = "mean", **options: Any) -> Tensor | None:
    if target.dtype is not input.dtype or not few_rows(
        "listnet_loss", input, target, -100, reduction, options, classes=False
    ):
        return None
    return few_entropies(input, target.softmax(1), None, reduction)


@loss(title="ListNetLoss", takes=ComposedOptions, inputs=("input", "target"), tiny=_few_lists)
def listnet_loss(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    **options: Unpack[ComposedOptions],
) -> Tensor:
    r"""Cross entropy between the softmax of the relevances r of a list and that of its scores x (ListNet, Cao et al.
    2007).

    .. math::
        \ell = -\sum_j \frac{e^{r_j}}{\sum_k e^{r_k}} \log \frac{e^{x_j}}{\sum_k e^{x_k}}.

    Equivalent to ``-(target.softmax(1) * input.log_softmax(1)).sum(1).mean()``. allRank's ``listNet`` adds 1e-10 to the
    second softmax, and masks what it pads.

    Args:
        input: Scores, lists along dimension 1: :math:`(N, L)`, or one list :math:`(L)`.
        target: Relevances, the shape of ``input``; floating point or integers.
        reduction: ``"none"`` (one value per list), ``"sum"``, or ``"mean"`` over the lists that have an item.

    Keyword-only options:
        mask: Bool, shape of ``input``: True where an item counts. The others, padding, count as if they were not there;
            so do lists without an item.
        normalizer: Replaces the mean's divisor; float or 0-d tensor.
        empty: Value of a mean over no lists: ``"nan"``, or ``"zero"``. The gradient is zero either way.
        loss_dtype: dtype of the loss. Default: ``input``'s; float32 under autocast.

    Returns:
        The loss: shape :math:`(N)` for ``"none"``, otherwise ``()``.

    Raises: RuntimeError for other shapes and dtypes; ValueError for options.
    Gradient: with respect to ``input`` and, if it is of floating point, ``target``; differentiable again.
    Memory: the softmax of the relevances, in float32 at least, and the gradient; with a mask a copy of both.
    Accuracy: that of `cross_entropy` with probabilities.
    """
    return _of_lists(cross_entropy, input, target, reduction, options)


@listnet_loss.formula
def _(input: Tensor, target: Tensor, reduction: str = "mean", **options: Any) -> Tensor:
    """Cross entropy of the softmax of the relevances."""
    return _of_lists(cross_entropy.record.reference, input, target, reduction, options)
