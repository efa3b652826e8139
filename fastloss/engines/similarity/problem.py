"""What a call of a loss of all pairs is about: facts, no decision. And what poses of these losses share: checks."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fastloss._core import operators as _ops
from fastloss._core import options as _options
from fastloss._core._torch import tracing_state
from fastloss._core.formula import Number
from fastloss._core.options import SimilarityOptions
from fastloss._core.record import SimilarityLoss

MINING = ("batch_hard", "semi_hard", "all")  # in the order of the enumeration in csrc/engines/similarity/args.h


class Vectors(NamedTuple):
    """The differentiable tensors.

    Attributes:
        rows: (N, D).
        columns: (M, D); None: the rows.
        negatives: Further columns, (K, D) for all rows or (N, K, D) for each its own.
        scale: Of one element.
        bias: Of one element.
    """

    rows: Tensor
    columns: Tensor | None = None
    negatives: Tensor | None = None
    scale: Tensor | None = None
    bias: Tensor | None = None


class Relation(NamedTuple):
    """Which pairs are positive or left out, and the weight of anchors: nothing in which kernels differentiate.

    A pair is positive if its labels are equal (an absent label is the index), or where ``positives`` says so.
    ``mask`` and ``positives`` may lack the columns of negatives.
    """

    row_labels: Tensor | None = None
    column_labels: Tensor | None = None
    mask: Tensor | None = None
    positives: Tensor | None = None
    weight: Tensor | None = None
    normalizer: Any = None


class Problem(NamedTuple):
    """What a function written by hand makes of its arguments.

    Attributes:
        vectors: Without numbers.
        relation: Without options.
        options: Those that the losses share.
        params: Hyperparameters in the functor's order.
        normalize: Vectors are brought to length one first.
        temperature: The similarities' divisor.
        scale: Their factor, in the divisor's place.
        bias: Added to their product with the factor.
        both: Columns are anchors too, and each side is half the loss.
        mining: A way of finding triplets.
        unseen: Row labels are indices of columns, and nobody has seen whether they are within their number.
        why_not: Why no kernel may be asked.
    """

    vectors: Vectors
    relation: Relation
    options: SimilarityOptions
    params: tuple[Any, ...] = ()
    normalize: bool = False
    temperature: Number | None = None
    scale: Number = 1.0
    bias: Number | None = None
    both: bool = False
    mining: str = ""
    unseen: bool = False
    why_not: str = ""


class Call(NamedTuple):
    """What a loss is about besides its tensors.

    Attributes:
        loss: Name of the functor in ``csrc/losses/losses.h``, or a way of finding triplets (`MINING`).
        params: Its parameters.
        affine: Factor and summand of the similarities, besides the tensors ``scale`` and ``bias``.
        itself: The columns are the rows; no vector pairs with itself.
        both: Columns are anchors too, and each side is half the loss.
        normalize: Vectors are brought to length one first.
        distances: The functor takes squared distances, the formula distances.
        by_kind: A mean averages positive and negative pairs apart, each over those with a value.
        empty_zero: A mean over nothing is zero, not NaN.
        ddp: Gradients will be averaged over the processes of the group.
        unseen: As in `Problem`.
        reduction: 0, 1 or 2: none, mean, sum.
        loss_dtype: Of the result.
        memory_budget: Bytes; negative: `strips.kept_bytes` decides.
        formula: That of the loss; None where nobody asks for a second derivative.
        group: Processes that have the rest of the batch, see `fastloss.distributed`.
        divides: The factor is a temperature, which divides. Kernels multiply.
    """

    loss: str
    params: tuple[Any, ...]
    affine: tuple[float, float]
    itself: bool
    both: bool
    normalize: bool
    distances: bool
    by_kind: bool
    empty_zero: bool
    ddp: bool
    unseen: bool
    reduction: int
    loss_dtype: torch.dtype
    memory_budget: int
    formula: Callable[..., Any] | None
    group: Any = None
    divides: bool = False

    def processes(self) -> int:
        """What gradients are to be multiplied by, because others will divide them by it."""
        return torch.distributed.get_world_size(self.group) if self.ddp else 1


def call_of(
    record: SimilarityLoss, problem: Problem, dtype: torch.dtype, params: tuple[Any, ...], factor: Any, divides: bool
) -> tuple[Call, Tensor | None, Tensor | None]:
    """The call of a problem of vectors of this dtype, and the tensors among factor and summand."""
    vectors, _, options, _, normalize, _, _, bias, both, mining, unseen, _ = problem
    reduction, empty_zero, loss_dtype, budget, group, ddp = 1, True, None, None, None, False
    if options:
        of: Any = options.get
        reduction, empty_zero = _ops.REDUCTIONS[of("reduction", "mean")], of("empty", "zero") == "zero"
        loss_dtype, budget, group, ddp = of("loss_dtype"), of("memory_budget"), of("group"), of("ddp", False)
    if loss_dtype is None:
        half = dtype.itemsize < 4 and _ops.autocasts(vectors.rows.device.type)
        loss_dtype = torch.float32 if half else dtype
    scale = shift = None
    if isinstance(factor, Tensor):
        factor, scale = 1.0, factor
    if isinstance(bias, Tensor):
        bias, shift = None, bias
    call = Call(
        mining or record.functor, params, (float(factor), 0.0 if bias is None else float(bias)),
        vectors.columns is None, both, normalize, record.distances, record.by_kind, empty_zero, ddp, unseen,
        reduction, loss_dtype, -1 if budget is None else int(min(budget, 1 << 62)),
        functools.partial(record.formula, mining=mining) if mining else record.formula, group, divides,
    )  # fmt: skip
    return call, scale, shift


# Checks.


def check(record: SimilarityLoss, problem: Problem) -> None:
    """Refuses hyperparameters outside their domain, and options that the loss does not take of such vectors."""
    name, options = record.name, problem.options
    if "temperature" in record.domains:
        _options.check_domain(name, temperature=problem.temperature)
    for what, value in zip(record.params, problem.params, strict=False):
        if what in record.domains:
            _options.check_domain(name, **{what: value})
    if not options:
        return
    rows, columns = problem.vectors[:2]
    reduction, weight, normalizer = options.get("reduction", "mean"), options.get("weight"), options.get("normalizer")
    check_choice(name, "reduction", reduction, ("none", "mean", "sum"))
    if normalizer is not None:
        _options.check_numbers(name, normalizer=normalizer)
    n = rows.shape[0]
    if problem.both and (weight is not None or reduction == "none") and columns is not None and columns.shape[0] != n:
        raise ValueError(
            f"fastloss.{name}: symmetric with {n} queries and {columns.shape[0]} keys has no value per "
            "pair of them, so it takes no weight and reduction='mean' or 'sum'"
        )
    if weight is not None:
        expect(name, "weight", weight, (n,), "one factor per anchor")
        if weight.is_complex():
            raise ValueError(f"fastloss.{name}: weight is {weight.dtype}, expected real factors")


def check_vectors(name: str, **tensors: Tensor | None) -> None:
    """Refuses what is no floating point and what is on another device than the first."""
    device = None
    for what, t in tensors.items():
        if t is None:
            continue
        if not t.is_floating_point():
            raise ValueError(f"fastloss.{name}: {what} is {t.dtype}, expected a floating point dtype")
        if device is None:
            device = t.device
        elif t.device != device:
            raise RuntimeError(
                f"fastloss.{name}: {what} is on {t.device}, expected all tensors on the same device, "
                f"{next(iter(tensors))}'s {device}; move it with .to()"
            )


def size(name: str, what: str, t: Tensor) -> tuple[int, int]:
    """Number and width of the vectors."""
    if t.dim() != 2:
        raise ValueError(
            f"fastloss.{name}: {what} has shape {tuple(t.shape)}, expected (N, D), one vector a row; flatten it"
        )
    return t.shape  # type: ignore[return-value]


def expect(name: str, what: str, t: Tensor, shape: tuple[int, ...], meaning: str) -> None:
    if t.shape != shape:
        raise ValueError(f"fastloss.{name}: {what} has shape {tuple(t.shape)}, expected {(*shape,)}, {meaning}")


def flags(name: str, what: str, t: Tensor | None, shape: tuple[int, int], options: SimilarityOptions) -> Tensor | None:
    """A bool matrix. In a group it has a column for each vector of all processes, however many these are."""
    if t is None:
        return None
    if options.get("group") is None or t.dim() != 2 or t.shape[0] != shape[0]:
        expect(name, what, t, shape, "one entry per pair")
    if t.dtype != torch.bool:
        raise ValueError(f"fastloss.{name}: {what} is {t.dtype}, expected torch.bool; convert it with .bool()")
    return t


def labels_of(name: str, labels: Tensor, n: int) -> Tensor:
    """Labels in int64: int8 would compare with 200 as -56."""
    expect(name, "labels", labels, (n,), "one label per vector")
    if labels.is_floating_point() or labels.is_complex():
        raise ValueError(f"fastloss.{name}: labels is {labels.dtype}, expected integers; convert it with .long()")
    return labels.to(torch.int64)


def check_choice(name: str, what: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"fastloss.{name}: {what} must be one of {', '.join(map(repr, choices))}, got {value!r}")


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


# What poses and formula make alike.


def common_dtype(vectors: Vectors) -> torch.dtype:
    dtype = vectors.rows.dtype
    for t in vectors[1:3]:
        if t is not None and t.dtype != dtype:
            dtype = torch.promote_types(dtype, t.dtype)
    return dtype


def cat(*tensors: Tensor, dim: int = 0) -> Tensor:
    """Without autocast, which on the CPU rejects all but float32 and bfloat16 here."""
    device = tensors[0].device.type
    if not _ops.autocasts(device):  # some devices know no autocast
        return torch.cat(tensors, dim)
    with torch.autocast(device, enabled=False):
        return torch.cat(tensors, dim)


def widened(pairs: Tensor, width: int, value: bool) -> Tensor:
    """A bool matrix with further columns of one value."""
    lack = width - pairs.shape[1]
    return torch.cat((pairs, pairs.new_full((pairs.shape[0], lack), value)), 1) if lack else pairs
