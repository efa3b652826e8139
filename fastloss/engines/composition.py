"""Losses made of others, each of which takes its own path, and losses that PyTorch computes."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fastloss._core import operators as _ops
from fastloss._core import options as _options
from fastloss._core import route
from fastloss._core._torch import F, native_operator, tracing_state
from fastloss._core.autograd import savable
from fastloss._core.guards import is_compiling, is_dynamo_compiling
from fastloss._core.record import Composition, P, PublicLoss, publish
from fastloss._core.row_formula import class_dim, reduced
from fastloss.engines import softmax

NATIVE_ENTROPY = native_operator("cross_entropy_loss")

_SHARED = """
    Keyword-only options:
        mask: Bool, one entry per row; rows where it is False are ignored.
        normalizer: Replaces the mean's divisor; float or 0-d tensor.
        empty: Value of a mean over no rows: ``"nan"`` as PyTorch, or ``"zero"``. The gradient is zero either way.
        loss_dtype: dtype of the loss. Default: ``input``'s; float32 under autocast.
"""


def loss(**facts: Any) -> Callable[[Callable[P, Any]], PublicLoss[P]]:
    """Makes a loss of a function that calls others; ``facts`` are attributes of its `Composition`."""

    def complete(written: Callable[P, Any]) -> PublicLoss[P]:
        record = Composition(written.__name__, pose=written, **facts)
        parameters = inspect.signature(written).parameters
        places = [(k, name, parameters[name].default) for k, name in enumerate(parameters) if name in record.words]
        made, tiny = _options.takes_tensors(written), record.tiny

        known, names = _options.names(record.options), dict.fromkeys(record.names)
        place = [*parameters].index("reduction") if known else -1

        def check(args: Any, kwargs: Any) -> None:
            given = {name: args[k] if k < len(args) else kwargs.get(name, default) for k, name, default in places}
            record.check_words(record.name, **given)
            if known:
                of = kwargs.get
                reduction = args[place] if place < len(args) else of("reduction", "mean")
                if reduction in _ops.REDUCTIONS and kwargs.keys() <= names.keys():
                    return
                reduction = _ops.REDUCTION_NAMES[_options.reduction_code(reduction)]
                own = [name for name in kwargs if name not in names]
                _options.refuse_unknown(record.name, own, known, record.names)
                _options.check(record.name, reduction, of("normalizer"), of("empty", "nan"), of("loss_dtype"))

        def function(*args: P.args, **kwargs: P.kwargs) -> Any:
            if tiny is not None and not is_dynamo_compiling():
                try:
                    few = tiny(*args, **kwargs)
                except Exception:
                    few = None  # the general way says what is wrong, or does it differently
                if few is not None:
                    return few
            check(args, kwargs)
            if record.path and route.watched:
                route.take(record.name, record.path, record.why)
            if record.path != "native" and torch.is_grad_enabled() and not is_compiling():
                return made(*map(savable, args), **{name: savable(value) for name, value in kwargs.items()})
            return made(*args, **kwargs)

        def reference(*args: P.args, **kwargs: P.kwargs) -> Any:
            check(args, kwargs)
            return record.formula(*args, **kwargs)

        own, example, rest = (written.__doc__ or "").rstrip().partition("\n    Returns:")
        shared = _SHARED if record.options is _options.ComposedOptions and "options:" not in own else ""
        public = publish(record, function, reference, f"{own}{shared}{example}{rest}\n")
        if record.path:
            record.declare(made)
        return public

    return complete


def few_rows(
    name: str,
    input: Tensor,
    target: Tensor,
    ignore_index: int,
    reduction: str,
    options: Any,
    share: int = 1,
    classes: bool = True,
) -> bool:
    """Whether PyTorch's own operators are fastest for a call: of a small matrix whose rows all count.

    ``share``: one in how many of the logits that cross entropy leaves to them. ``classes``: whether targets are.
    """
    if (
        options
        or not softmax.is_tiny_matrix(input, target, ignore_index, softmax.TINY // share)
        or reduction not in _ops.REDUCTIONS
        or target.is_floating_point() == classes
        or tracing_state() is not None
    ):
        return False
    if route.watched:
        route.take(name, "native", route.WHY_NATIVE)
    return True


def few_entropies(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    reduction: str,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> Tensor:
    """PyTorch's own cross entropy, without its Python layer where there is such an operator."""
    if NATIVE_ENTROPY is None:
        return F.cross_entropy(input, target, weight, None, ignore_index, None, reduction, label_smoothing)
    return NATIVE_ENTROPY(input, target, weight, _ops.REDUCTIONS[reduction], ignore_index, label_smoothing)


class Rows(NamedTuple):
    """What classes as targets say of each row.

    Attributes:
        label: The class, 0 where the row does not count.
        kept: Whether the row counts. None if all do, which is known of few rows.
        weight: Of its class, 0 where it does not count. None if all count alike.
    """

    label: Tensor
    kept: Tensor | None
    weight: Tensor | None

    def every_kept(self) -> Tensor:
        return torch.ones_like(self.label, dtype=torch.bool) if self.kept is None else self.kept

    def weighted(self, values: Tensor) -> Tensor:
        return values if self.weight is None else values * self.weight


def check_labels(name: str, input: Tensor, target: Tensor, mask: Tensor | None) -> Tensor:
    """Classes as targets of rows of logits; not checked is whether they exist, which what uses them does."""
    shape = _ops.rows_shape(input.shape)
    target = target.long() if target.dtype is torch.uint8 else target
    if not input.is_floating_point() or not input.dim() or target.dtype != torch.int64 or target.shape != shape:
        raise RuntimeError(
            f"fastloss.{name}: input is {input.dtype} of shape {tuple(input.shape)}, target {target.dtype} of shape "
            f"{tuple(target.shape)}; expected floating point (C), (N, C) or (N, C, d1, ...), and torch.int64 of the "
            "same shape without C"
        )
    _options.check_row_mask(name, mask, shape)
    return target


def of_classes(name: str, values: Callable[[], Tensor]) -> Tensor:
    """What is computed with classes as indices: an IndexError for one that does not exist."""
    try:
        return values()
    except RuntimeError as error:
        if _ops.OUT_OF_BOUNDS not in str(error):
            raise
        raise IndexError(f"fastloss.{name}: {error}") from error


def rows_of(
    name: str, input: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int, mask: Tensor | None
) -> Rows:
    """Checks targets as `check_labels` does, and reads them."""
    target = check_labels(name, input, target, mask)
    if (
        mask is weight is None
        and target.numel()
        and not is_compiling()
        and softmax.is_tiny(input, target, ignore_index, softmax.TINY)
    ):
        return Rows(target, None, None)
    if mask is not None:
        target = torch.where(mask, target, ignore_index)
    kept = target != ignore_index
    if weight is not None:
        weight = weight.to(torch.promote_types(input.dtype, torch.float32))
        ones = weight.new_full((), -1.0).expand_as(input)  # a log-probability of -1 costs the weight
        weight = F.nll_loss(ones, target, weight, None, ignore_index, reduction="none")
    return Rows(torch.where(kept, target, 0), kept, weight)


def reduce_rows(
    values: Tensor,
    rows: Rows,
    reduction: str,
    dtype: torch.dtype,
    normalizer: float | Tensor | None = None,
    empty: str = "nan",
    loss_dtype: torch.dtype | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """Reduces weighted values of rows as `cross_entropy` does; ``rows`` knows the mask."""
    reduction = _ops.REDUCTION_NAMES[_options.reduction_code(reduction)]
    if normalizer is None and reduction == "mean":
        if rows.kept is None:
            return values.mean().to(loss_dtype or dtype)
        normalizer = (rows.kept if rows.weight is None else rows.weight).sum()
    return reduced(values, rows.kept, reduction, normalizer, empty).to(loss_dtype or dtype)


def along_classes(values: Tensor, input: Tensor) -> Tensor:
    """One number per class in the place of the classes of ``input``."""
    return values.view(-1, *[1] * (input.dim() - class_dim(input) - 1))


def check_classes(name: str, input: Tensor, **values: Tensor | None) -> None:
    """Refuses what is not one number for each class of ``input``."""
    for what, value in values.items():
        classes = input.shape[class_dim(input)] if input.dim() else 0
        if value is not None and value.shape != (classes,):
            raise RuntimeError(
                f"fastloss.{name}: {what} has shape {tuple(value.shape)}, expected ({classes},), one number per class"
            )
