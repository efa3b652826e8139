"""Options that losses share: their names, by family, and their checks, for the functions and their references alike.

``empty``, the value of a mean over nothing, is ``"nan"`` by default, as PyTorch's; for losses of all pairs ``"zero"``,
since there a batch without a positive pair is nothing unusual.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import math
import numbers
import warnings
from collections.abc import Callable, Collection, Sequence
from typing import Any, Literal, TypedDict, TypeVar

import torch
from torch import Tensor

from fastloss._core import operators as _ops
from fastloss._core._torch import tracing_state

# What a number may be; the first ones are those that torch.compile knows.
_REAL = (Tensor, int, float, numbers.Real)


_Function = TypeVar("_Function", bound=Callable[..., Any])


class SharedOptions(TypedDict, total=False):
    """Of every loss, but those of adversarial training."""

    normalizer: float | Tensor | None
    empty: Literal["nan", "zero"]
    loss_dtype: torch.dtype | None


class RowOptions(TypedDict, total=False):
    """Keyword-only options of every softmax loss, in the order of its signature; see `cross_entropy`."""

    z_loss: float | Tensor
    softcap: float | Tensor | None
    temperature: float | Tensor
    mask: Tensor | None
    normalizer: float | Tensor | None
    empty: Literal["nan", "zero"]
    loss_dtype: torch.dtype | None
    inplace: bool
    return_stats: bool
    group: Any


class HeadOptions(TypedDict, total=False):
    """Keyword-only options of every loss of hidden states and a classifier; see `linear_cross_entropy`."""

    z_loss: float | Tensor
    softcap: float | Tensor | None
    temperature: float | Tensor
    mask: Tensor | None
    normalizer: float | Tensor | None
    empty: Literal["nan", "zero"]
    loss_dtype: torch.dtype | None
    memory_budget: int | None
    return_stats: bool
    group: Any


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


class ComposedOptions(SharedOptions, total=False):
    """Keyword-only options of losses whose rows are reduced in plain PyTorch; see `ldam_loss`."""

    mask: Tensor | None


class AnchorOptions(SharedOptions, total=False):
    """What the references of the similarity losses take."""

    weight: Tensor | None
    reduction: Literal["none", "mean", "sum"]


class SimilarityOptions(AnchorOptions, total=False):
    """Keyword-only options of every similarity loss; see `info_nce_loss`."""

    memory_budget: int | None
    group: Any
    ddp: bool


class DivergenceOptions(SharedOptions, total=False):
    """Keyword-only options of `divergence`."""

    weight: Tensor | None
    mask: Tensor | None
    inplace: bool
    group: Any


class LayerOptions(SharedOptions, total=False):
    """Keyword-only options of `linear_divergence`."""

    weight: Tensor | None
    mask: Tensor | None
    memory_budget: int | None
    group: Any


class RegionOptions(SharedOptions, total=False):
    """Keyword-only options of every loss of regions; see `dice_loss`."""

    batch: bool
    include_background: bool
    ignore_index: int | None
    mask: Tensor | None


class SortedOptions(RegionOptions, total=False):
    """Likewise, of those that sort the pixels of each class."""

    absent: Literal["keep", "zero", "skip"]
    class_mean: Literal["count", "weighted"]


class SumOptions(RegionOptions, total=False):
    """Likewise, of those that are formulas of sums."""

    return_stats: bool


class TermOptions(SumOptions, total=False):
    """Likewise, of those with a term for each class."""

    absent: Literal["keep", "zero", "skip"]
    average: Literal["macro", "micro"]
    class_mean: Literal["count", "weighted"]


class RatioOptions(TermOptions, total=False):
    """Likewise, of those whose terms are ratios."""

    smooth_nr: float | Tensor
    smooth_dr: float | Tensor
    log: bool


class NoOptions(TypedDict):
    """Of losses that have none."""


# Of options that are not given, where that is not None: a TypedDict has no defaults.
DEFAULTS: dict[str, Any] = {
    "empty": "nan", "reduction": "mean", "z_loss": 0.0, "temperature": 1.0,
    **dict.fromkeys(("inplace", "return_stats", "soft", "normalize", "ddp", "batch", "log"), False),
    "include_background": True, "absent": "keep", "average": "macro", "class_mean": "count",
    "smooth_nr": 1e-5, "smooth_dr": 1e-5,
}  # fmt: skip
ROW_DEFAULTS = {name: DEFAULTS.get(name) for name in RowOptions.__annotations__}


def names(options: type) -> frozenset[str]:
    return frozenset(options.__annotations__)


def legacy_reduction(size_average: bool | None, reduce: bool | None, reduction: str, frames: int = 4) -> str:
    """The reduction that PyTorch's deprecated arguments stand for, if one is given.

    The caller is ``frames`` away: one more than of a plain function from a pose, which its loss calls.
    """
    if size_average is None and reduce is None:
        return reduction
    reduction = "none" if reduce is False else "sum" if size_average is False else "mean"
    warnings.warn(
        f"size_average and reduce args will be deprecated, please use reduction='{reduction}' instead.",
        stacklevel=frames,
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
    if isinstance(normalizer, Tensor) and normalizer.numel() != 1:
        raise ValueError(
            f"fastloss.{name}: normalizer has shape {tuple(normalizer.shape)}, expected a number or a tensor of "
            "one element"
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


Domain = tuple[str, Callable[[float], bool], type[Exception]]
FINITE: Domain = ("finite", lambda v: -math.inf < v < math.inf, ValueError)  # math.isfinite does not compile
NOT_NEGATIVE: Domain = ("0 or more, and finite", lambda v: 0 <= v < math.inf, ValueError)
POSITIVE: Domain = ("positive and finite", lambda v: 0 < v < math.inf, ValueError)
# Those options of every softmax loss that are numbers.
ROW_NUMBERS: dict[str, Domain] = {
    "z_loss": FINITE,
    "softcap": ("positive and finite, or None for no cap", *POSITIVE[1:]),
    "temperature": POSITIVE,
}

_ALL: Domain = ("", lambda v: True, ValueError)
# Of each loss: which values its hyperparameters may have, in words, and the exception otherwise. Where PyTorch has the
# loss, those that PyTorch takes, with its exception: margins of any sign, infinite and NaN ones too. Else those that
# leave a loss. `publish` puts them here (`Record.domains`).
DOMAINS: dict[str, dict[str, Domain]] = {}


def is_real(value: Any) -> bool:
    return isinstance(value, _REAL)


def known(value: Any) -> Any:
    """The number that a tensor of one element is; None if it lies on a device, in a graph or under a transform."""
    if not isinstance(value, Tensor):
        return value
    if not value.is_cpu or type(value) not in (Tensor, torch.nn.Parameter) or torch.compiler.is_compiling():
        return None
    if tracing_state() is not None:  # other calls of what it records have other numbers
        return None
    try:
        return value.item()
    except RuntimeError:  # of a batch, under vmap
        return None


def fixed(value: Any) -> Any:
    """A hyperparameter as a number if it is a tensor that is `known` and needs no gradient, else as it is."""
    if not isinstance(value, Tensor) or value.requires_grad:
        return value
    number = known(value)
    return value if number is None else number


def in_domain(name: str, **values: float) -> bool:
    """Whether a loss takes these hyperparameters."""
    domains = DOMAINS.get(name, {})
    return all(what not in domains or (v is not None and domains[what][1](v)) for what, v in values.items())


def check_domain(name: str, **values: Any) -> None:
    """Refuses hyperparameters outside `DOMAINS`, and what is none.

    A value that is not `known` is not checked: a device would have to be waited for.
    """
    domains = DOMAINS.get(name, {})
    for what, value in values.items():
        words, holds, kind = domains.get(what, _ALL)
        if type(value) is float and holds(value):
            continue
        check_numbers(name, **{what: value})
        number = known(value)
        if number is not None and not holds(number):
            raise kind(f"fastloss.{name}: {what} must be {words}, got {number!r}")


def check_tensors(name: str, **values: Any) -> None:
    """Refuses an option that is given and no tensor."""
    require_tensors(name, **{what: value for what, value in values.items() if value is not None})


def require_tensors(name: str, **values: Any) -> None:
    for what, value in values.items():
        if not isinstance(value, Tensor):
            raise TypeError(
                f"fastloss.{name}: {what} is {type(value).__name__}, expected a Tensor; make one with torch.tensor(...)"
            )


def check_row_mask(name: str, mask: Tensor | None, rows: Sequence[int]) -> None:
    """Refuses a mask that is not one bool per row."""
    if mask is not None and (mask.dtype != torch.bool or mask.shape != rows):
        raise RuntimeError(
            f"fastloss.{name}: mask is {mask.dtype} of shape {tuple(mask.shape)}, expected torch.bool of shape "
            f"{tuple(rows)}, one entry per row"
        )


def takes_tensors(function: _Function) -> _Function:
    """The function, which refuses what is no tensor where its annotations say ``Tensor``, and as weight and mask."""
    signature = inspect.signature(function)
    kinds = {name: p.annotation for name, p in signature.parameters.items()}
    places = [(k, name) for k, (name, kind) in enumerate(kinds.items()) if kind in ("Tensor", "Tensor | None")]
    places += [(len(kinds), name) for name in ("weight", "mask") if name not in kinds]
    needed = {name for name, kind in kinds.items() if kind == "Tensor"}

    @functools.wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        for place, name in places:
            if place < len(args):
                value = args[place]
            elif name in kwargs:
                value = kwargs[name]
            else:
                continue
            if not isinstance(value, Tensor) and (value is not None or name in needed):
                require_tensors(function.__name__, **{name: value})
        return function(*args, **kwargs)

    return checked  # type: ignore[return-value]


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


def refuse_unknown(name: str, given: Collection[str], known: Collection[str], own: Collection[str] = ()) -> None:
    """Refuses arguments that are neither options nor, of the loss's ``own``, arguments."""
    unknown = [word for word in given if word not in known]  # sets of them torch.compile of torch 2.10 cannot trace
    if unknown:
        unknown.sort()
        every = [*own, *sorted(set(known) - set(own))]
        near = [match for word in unknown for match in difflib.get_close_matches(word, every, 1)]
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        raise TypeError(f"fastloss.{name}: unexpected argument {', '.join(unknown)}, expected {', '.join(every)}{hint}")
