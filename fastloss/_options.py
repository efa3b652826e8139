"""Options that losses share: their names, by family, and their checks, for the functions and their references alike.

``empty``, the value of a mean over nothing, is ``"nan"`` by default, as PyTorch's; for losses of all pairs ``"zero"``,
since there a batch without a positive pair is nothing unusual.
"""

from __future__ import annotations

import numbers
import warnings
from collections.abc import Collection
from typing import Any, Literal, TypedDict

import torch
from torch import Tensor

from fastloss import _ops

# What a number may be; the first ones are those that torch.compile knows.
_REAL = (Tensor, int, float, numbers.Real)


class SharedOptions(TypedDict, total=False):
    """Of every loss, but those of adversarial training."""

    normalizer: float | Tensor | None
    empty: Literal["nan", "zero"]
    loss_dtype: torch.dtype | None


class RowOptions(SharedOptions, total=False):
    """Keyword-only options of the losses over rows of logits; see `cross_entropy`."""

    z_loss: float | Tensor
    softcap: float | Tensor | None
    mask: Tensor | None
    inplace: bool
    return_stats: bool


class PointOptions(SharedOptions, total=False):
    """Keyword-only options of every pointwise loss and loss over pairs of vectors; see `mse_loss`."""

    mask: Tensor | None
    reduce_dims: int | tuple[int, ...] | None
    return_stats: bool


class WeightedPointOptions(PointOptions, total=False):
    """Likewise, for losses that have no ``weight`` among PyTorch's arguments."""

    weight: Tensor | None


class TripletOptions(WeightedPointOptions, total=False):
    """Of `triplet_margin_loss`: those of its two forms, of which the last ones need ``labels``."""

    soft: bool
    normalize: bool
    memory_budget: int | None
    group: Any
    ddp: bool


class AnchorOptions(SharedOptions, total=False):
    """What the references of the similarity losses take."""

    weight: Tensor | None
    reduction: Literal["none", "mean", "sum"]


class SimilarityOptions(AnchorOptions, total=False):
    """Keyword-only options of every similarity loss; see `info_nce_loss`."""

    memory_budget: int | None
    group: Any
    ddp: bool


def names(options: type) -> frozenset[str]:
    return frozenset(options.__annotations__)


def legacy_reduction(size_average: bool | None, reduce: bool | None, reduction: str) -> str:
    """The reduction that PyTorch's deprecated arguments stand for, if one is given."""
    if size_average is None and reduce is None:
        return reduction
    reduction = "none" if reduce is False else "sum" if size_average is False else "mean"
    warnings.warn(
        f"size_average and reduce args will be deprecated, please use reduction='{reduction}' instead.", stacklevel=3
    )
    return reduction


def reduction_code(reduction: str) -> int:
    """0, 1 or 2 for ``"none"``, ``"mean"`` (or its old name) or ``"sum"``; PyTorch's ValueError for any other."""
    if reduction == "elementwise_mean":
        warnings.warn("reduction='elementwise_mean' is deprecated. Please use reduction='mean' instead.", stacklevel=3)
        reduction = "mean"
    if reduction not in _ops.REDUCTIONS:
        raise ValueError(f"{reduction} is not a valid value for reduction")
    return _ops.REDUCTIONS[reduction]


def check(
    name: str,
    reduction: str,
    normalizer: float | Tensor | None,
    empty: str,
    loss_dtype: torch.dtype | None,
) -> None:
    """Refuses values that no loss takes. Which reductions there are, PyTorch or the family says."""
    if empty not in ("nan", "zero"):
        raise ValueError(f'fastloss.{name}: empty must be "nan" or "zero", got {empty!r}')
    if normalizer is not None and not isinstance(normalizer, _REAL):
        raise TypeError(
            f"fastloss.{name}: normalizer is {type(normalizer).__name__}, expected a number or a tensor; "
            "it is what a mean divides by"
        )
    if normalizer is not None and reduction != "mean":
        raise ValueError(
            f"fastloss.{name}: normalizer replaces the mean's divisor, so it needs reduction='mean', got {reduction!r}"
        )
    if loss_dtype is not None and loss_dtype not in _ops.DTYPE_CODES:
        raise TypeError(f"fastloss.{name}: loss_dtype must be a floating point dtype, got {loss_dtype}")


def check_numbers(name: str, **values: Any) -> None:
    """Refuses what is no hyperparameter: neither a real number nor a tensor of one."""
    for what, value in values.items():
        if not isinstance(value, _REAL):
            raise TypeError(
                f"fastloss.{name}: {what} is {type(value).__name__}, expected a number or a tensor of one element"
            )
        if isinstance(value, Tensor) and (value.numel() != 1 or value.is_complex()):
            got = value.dtype if value.is_complex() else f"shape {tuple(value.shape)}"
            raise ValueError(f"fastloss.{name}: {what} has {got}, expected a number or a tensor of one element")


def is_real(value: Any) -> bool:
    return isinstance(value, _REAL)


def in_domain(value: Any, positive: bool = False) -> bool:
    """Whether a number is one, and positive where it must be. Of tensors on a GPU and in a graph nobody knows."""
    if isinstance(value, Tensor):
        if torch.compiler.is_compiling() or not value.is_cpu or type(value) not in (Tensor, torch.nn.Parameter):
            return True
        value = value.item()
    return value > 0 if positive else value == value


def check_domain(name: str, positive: Collection[str] = (), **values: Any) -> None:
    """Refuses what is no hyperparameter, no number, or not positive if it is named so."""
    check_numbers(name, **values)
    for what, value in values.items():
        if not in_domain(value, what in positive):
            number = value.item() if isinstance(value, Tensor) else value
            expected = "positive" if what in positive else "a number"
            raise ValueError(f"fastloss.{name}: {what} must be {expected}, got {number}")


def check_sharing(name: str, memory_budget: Any, group: Any) -> None:
    """Refuses what is no number of bytes, and no process group."""
    if memory_budget is not None:
        if not isinstance(memory_budget, int | float):
            raise TypeError(
                f"fastloss.{name}: memory_budget is {type(memory_budget).__name__}, expected a number of bytes, "
                "1 << 30 for a GiB"
            )
        if not memory_budget >= 0:
            raise ValueError(f"fastloss.{name}: memory_budget must be 0 or more bytes, got {memory_budget}")
    if group is not None and not isinstance(group, getattr(torch.distributed, "ProcessGroup", ())):
        raise TypeError(
            f"fastloss.{name}: group is {type(group).__name__}, expected a torch.distributed.ProcessGroup; "
            "torch.distributed.group.WORLD, once initialized, is that of all processes"
        )


def refuse_unknown(name: str, given: Collection[str], known: Collection[str]) -> None:
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise TypeError(
            f"fastloss.{name}: unexpected argument {', '.join(unknown)}, expected {', '.join(sorted(known))}"
        )
