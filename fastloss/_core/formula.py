"""The shell of a formula: what surrounds the values of elements, or of rows of vectors, in plain PyTorch."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from fastloss._core import operators as _ops
from fastloss._core import options as _options
from fastloss._core._torch import F, tracing_state, transforms_active
from fastloss._core.record import Loss
from fastloss._core.stats import PointStats

Number = float | Tensor


def evaluate(record: Loss, arguments: dict[str, Any], reduction: str, options: Any, why_not: str = "") -> Any:
    """The loss of a `Problem` from its formula; from PyTorch's own function if there are no options of ours."""
    params = {name: arguments[name] for name in record.params}
    native, values = record.torch, params.values()
    if native is not None and is_plain(options, *values) and (record.plain is None or record.plain(*values)):
        return native(**arguments, reduction=reduction)
    record.check_words(record.name, **params)
    _options.check_domain(record.name, **{name: value for name, value in params.items() if name not in record.words})
    if record.check is not None:
        record.check(arguments, options)
    if record.optional and arguments[record.optional] is not None:
        record = record.fuller
    tensors = tuple(arguments[name] for name in record.tensors)
    batch = reduction == "batchmean" and record.batchmean
    loss = reduce(
        record,
        functools.partial(record.formula, **params),
        tensors,
        "sum" if batch else reduction,
        **({"weight": arguments["weight"]} if "weight" in arguments else {}),
        **{"empty": record.empty, **options},
    )
    return loss / tensors[0].shape[0] if batch and tensors[0].dim() and tensors[0].shape[0] != 0 else loss


def dtype_of(record: Loss, tensors: Sequence[Tensor], weight: Tensor | None) -> torch.dtype:
    """That of the loss, by `Loss.dtype`, of these tensors, without those of rows."""
    if record.dtype == "promoted" or (record.weight_promotes and weight is not None):
        return _promoted(record, tensors, weight)
    return tensors[1 if record.dtype == "target" else 0].dtype


def _promoted(record: Loss, tensors: Sequence[Tensor], weight: Tensor | None) -> torch.dtype:
    given = tensors if weight is None or record.pairs else (*tensors, weight)
    return functools.reduce(torch.promote_types, [t.dtype for t in given])


def is_plain(options: dict[str, Any], *hyperparameters: Any) -> bool:
    """Whether PyTorch's own function takes the call as it is."""
    unused: dict[str, Any] = {"empty": "nan", "return_stats": False}
    if any(value is not None and not (name in unused and value == unused[name]) for name, value in options.items()):
        return False
    return not any(isinstance(value, Tensor) for value in hyperparameters)


def _refuse_as_torch(record: Loss, tensors: tuple[Tensor, ...], weight: Tensor | None, reduction: str) -> None:
    """Raises what PyTorch's own function, if there is one, raises for tensors of these sizes and kinds.

    It is asked with tensors that have no numbers, but not where those would become part of a graph, or meet a transform
    or another kind of tensor; and with these tensors if they have sizes that it may refuse and such tensors do not.
    """
    native = getattr(F, record.name, None)
    if native is None or record.name == "gaussian_nll_loss":
        return
    if (record.same_size or record.same_rank) and any(t.shape != tensors[0].shape for t in tensors):
        native(*(t.detach() for t in tensors))
    recorded = torch.compiler.is_compiling() or tracing_state() is not None or transforms_active()
    if recorded or not all(type(t) in (Tensor, torch.nn.Parameter) for t in tensors):
        return
    if weight is not None and record.weighs_whole and weight.shape != tensors[0].shape:
        native(*(t.detach() for t in tensors), weight=weight.detach())
    kinds = (torch.float32 if t.is_floating_point() else t.dtype for t in tensors)
    empty = (torch.empty(t.shape, dtype=kind, device="meta") for t, kind in zip(tensors, kinds, strict=True))
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        native(*empty, reduction="none")
        if tensors[0].is_complex() or len({t.dtype for t in tensors}) > 1 or not tensors[0].is_floating_point():
            # What has no numbers may have any dtype.
            native(*(torch.ones((1,) * t.dim(), dtype=t.dtype) for t in tensors), reduction=reduction)


def as_number(value: Number, like: Tensor) -> Tensor:
    """A hyperparameter as a 0-d tensor: a float and a tensor go the same way."""
    return torch.as_tensor(value, dtype=like.dtype, device=like.device)


def above_zero(t: Tensor) -> Tensor:
    """max(0, t) with slope 1 at 0, in every release of PyTorch (`_torch.CLAMPS_ALIKE`), and slope 0 at NaN."""
    return torch.where(t >= 0, t, t.detach().clamp_min(0))


def expm1(t: Tensor) -> Tensor:
    """e^t - 1, whose derivative PyTorch takes from its value, where the derivative vanishes beside 1."""
    far = t < -1
    return torch.where(far, torch.where(far, t, 0.0).exp() - 1, torch.expm1(torch.where(far, 0.0, t)))


def reduce(
    record: Loss,
    elementwise: Callable[..., Tensor],
    tensors: tuple[Tensor, ...],
    reduction: str,
    *,
    weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: Number | None = None,
    empty: str = "nan",
    reduce_dims: int | tuple[int, ...] | None = None,
    loss_dtype: torch.dtype | None = None,
    return_stats: bool = False,
    **unknown: Any,
) -> Any:
    r"""Weighs, masks and reduces the values of ``elementwise(*tensors)``.

    Of pairs tensors of the first one's shape hold vectors in their last dimension, which give one value a row; elements
    of several components are such vectors, too.
    A masked element is zero with zero gradient whatever it holds. ``"mean"`` divides by ``normalizer``; else by the sum
    of the kept weights (`Loss.weight_mean` and a weight is given) or by the number of kept elements. The loss has
    the dtype that `dtype_of` says; float32 if that is half and autocast is on, unless PyTorch does not cast for
    this loss (`Loss.casts`).
    """
    name, pairs = record.name, record.pairs
    _options.refuse_unknown(name, unknown, _options.names(_options.WeightedPointOptions))
    code = _options.reduction_code(reduction)
    _options.check(name, _ops.REDUCTION_NAMES[code], normalizer, empty, loss_dtype)
    _refuse_as_torch(record, tensors, weight, _ops.REDUCTION_NAMES[code])
    if reduce_dims is not None and code == 0:
        raise ValueError(f"fastloss.{name}: reduce_dims needs reduction='mean' or 'sum', got {reduction!r}")
    if record.components > 1 and any(t.shape[-1:] != (record.components,) for t in tensors):
        sizes = " and ".join(str(tuple(t.shape)) for t in tensors)
        raise ValueError(f"fastloss.{name}: expected tensors of shape (..., {record.components}), got {sizes}")
    if not pairs:
        tensors = torch.broadcast_tensors(*tensors)
    vectors = tensors[0].shape if record.along else None
    shape = tensors[0].shape[:-1] if record.along else tensors[0].shape
    known = [t for t in tensors if not pairs or t.shape != vectors[:-1]]  # type: ignore[index]
    dtype = dtype_of(record, known, weight)
    device = tensors[0].device.type
    if record.casts(weight, device) and dtype.itemsize < 4 and _ops.autocasts(device):
        loss_dtype = loss_dtype or torch.float32
    compute = torch.promote_types(_promoted(record, known, weight), torch.float32)
    kept = None
    if mask is not None:
        if mask.dtype != torch.bool:
            raise RuntimeError(f"fastloss.{name}: mask is {mask.dtype}, expected torch.bool; convert it with .bool()")
        kept = mask.expand(shape)
        weight = None if weight is None else torch.where(kept, weight, 0)
    dims = None if reduce_dims is None else (reduce_dims,) if isinstance(reduce_dims, int) else tuple(reduce_dims)

    def values(*tensors: Tensor) -> Tensor:
        made = [t.to(compute) for t in tensors]
        if kept is not None:
            # A value in every loss's domain; its result is dropped.
            made = [torch.where(kept.unsqueeze(-1) if t.shape == vectors else kept, t, 0.5) for t in made]
        loss = elementwise(*made)
        if weight is not None:
            loss = loss * weight.to(compute)
        return loss if kept is None else torch.where(kept, loss, 0.0)

    def total(t: Tensor) -> Tensor:
        return t.sum() if dims is None else t.sum(dims)

    def reduced(loss: Tensor) -> Tensor:
        if code == 0:
            return loss
        if code == 2:
            return total(loss)
        if normalizer is not None:
            return total(loss) / (normalizer.reshape(()) if isinstance(normalizer, Tensor) else normalizer)
        ones = loss.new_ones(()).expand(shape) if kept is None else kept.to(compute)
        divisor = total(ones * weight.to(compute)) if weight is not None and record.weight_mean else total(ones)
        mean = total(loss) / divisor
        return torch.where(divisor == 0, 0.0, mean) if empty == "zero" else mean

    loss = reduced(values(*tensors))
    result = loss.to(loss_dtype or dtype)
    if not return_stats:
        return result
    with torch.no_grad():
        first, *rest = (t.detach() for t in tensors)
        grad = torch.func.grad(lambda x: reduced(values(x, *rest)).sum())(first)
        norm = torch.linalg.vector_norm(grad, dtype=torch.float64)
        count = torch.tensor(shape.numel()) if kept is None else kept.sum()
        return result, PointStats(norm, loss.isfinite().all() & grad.isfinite().all(), count)
