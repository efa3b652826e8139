"""Losses of all pairs of two sets of vectors: the path that a call takes, and the call of the kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from fastloss._core import operators as _ops
from fastloss._core import options as _options
from fastloss._core import route
from fastloss._core.autograd import savable
from fastloss._core.guards import KERNEL_DTYPES, TENSORS, divisor_of, is_compiling, why_no_kernel
from fastloss._core.record import P, PublicLoss, SimilarityLoss, publish
from fastloss.engines.similarity import formula
from fastloss.engines.similarity.autograd import similarity
from fastloss.engines.similarity.problem import Call, Problem, Relation, Vectors, call_of, cat, check, widened

_SHARED = """
    Keyword-only options, shared by every similarity loss:
        weight: Factor of each anchor's value, one per anchor. Does not enter the mean's divisor.
        reduction: ``"none"`` (a value per anchor), ``"mean"`` over the anchors that count, or ``"sum"``.
        normalizer: Replaces the mean's divisor.
        empty: Value of a mean over nothing (no anchor counts, no hinge is above 0 where only those count, the
            normalizer is 0): ``"zero"`` (default) or ``"nan"``. The gradient is zero either way.
        loss_dtype: dtype of the loss. Default: the vectors'; float32 for half vectors under autocast.
        memory_budget: Bytes of similarities that may be kept from forward's first to its second look at them; beyond it
            they are computed twice (a third more arithmetic). Default 256 MiB; on CUDA, without ``group``, a quarter of
            the memory that is free, if that is more.
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

_OPTIONS = _options.names(_options.SimilarityOptions)
_OF_REFERENCES = _options.names(_options.AnchorOptions)  # the others matter to kernels alone


def loss(**facts: Any) -> Callable[[Callable[P, Any]], PublicLoss[P]]:
    """Makes a loss of a function that poses its problem; ``facts`` are attributes of its `SimilarityLoss`."""

    def complete(pose: Callable[P, Any]) -> PublicLoss[P]:
        record = SimilarityLoss(pose.__name__, pose=pose, **facts)
        name, posed = record.name, _options.takes_tensors(pose)
        known, known_of_reference = ({*record.names} | more for more in (_OPTIONS, _OF_REFERENCES))

        def function(*args: P.args, **kwargs: P.kwargs) -> Any:
            if kwargs:
                _check(name, kwargs, known)
            tensors = [t for t in (*args, *kwargs.values()) if isinstance(t, Tensor)]
            ask = posed if kwargs or len(tensors) < len(args) else pose  # tensors alone need not be asked what they are
            reason, problem = why_no_kernel(record.engine, tensors, ("cpu", "cuda")), ask(*args, **kwargs)
            if not is_compiling() and torch.is_grad_enabled() and any([t.is_inference() for t in tensors]):
                problem = _savable(problem)
            return solve(record, reason, problem)

        def reference(*args: P.args, **kwargs: P.kwargs) -> Any:
            _check(name, kwargs, known_of_reference)
            problem = pose(*args, **kwargs)
            check(record, problem)
            return formula.evaluate(record, problem)

        return publish(record, function, reference, (pose.__doc__ or "").rstrip() + "\n" + _SHARED)

    return complete


def _check(name: str, given: dict[str, Any], known: set[str]) -> None:
    """Refuses options that no loss takes."""
    _options.refuse_unknown(name, given, known)
    of = given.get
    _options.check(name, of("reduction", "mean"), of("normalizer"), of("empty", "zero"), of("loss_dtype"))
    _options.check_sharing(name, of("memory_budget"), of("group"))
    if of("ddp") and of("group") is None:
        raise ValueError(
            f"fastloss.{name}: ddp=True makes up for an average over the processes that share the batch, expected them "
            "as group=, got None; pass group (torch.distributed.group.WORLD: all), or leave ddp out: the loss of one "
            "process's own batch needs no factor"
        )


def solve(record: SimilarityLoss, reason: str, problem: Problem) -> Tensor:
    """The loss by kernels, or, if there is a ``reason`` against that, from its formula."""
    check(record, problem)
    reason = reason or problem.why_not or why_not(record, problem)
    route.kernel_unless(record.name, reason)
    if not reason:
        return similarity(*as_kernels_read(record, problem))
    if problem.options.get("group") is not None:
        raise RuntimeError(
            f"fastloss.{record.name}: {reason}, and plain PyTorch has no group=; expected one process with the whole "
            "batch, or arguments that the kernels take, of a learned number its .detach()"
        )
    return formula.evaluate(record, problem)


def _savable(problem: Problem) -> Problem:
    """With copies of what autograd cannot save, before the kernels' layouts are made: a copy has strides of its own."""
    vectors, relation, options, params, *rest = problem
    copies: Any = {key: savable(value) for key, value in options.items()}
    vectors, relation = Vectors(*map(savable, vectors)), Relation(*map(savable, relation))
    return Problem(vectors, relation, copies, tuple(map(savable, params)), *map(savable, rest))


def why_not(record: SimilarityLoss, problem: Problem) -> str:
    """What keeps this problem from the kernels; empty if nothing does."""
    rows, columns, negatives = problem.vectors[:3]
    dtype = rows.dtype
    if type(rows) not in TENSORS and not is_compiling():  # in a graph one operator stands for all kernels
        return "a fake tensor has no numbers"
    if dtype not in KERNEL_DTYPES:
        return f"there is no kernel for {dtype}"
    for t in (columns, negatives):
        if t is not None and t.dtype != dtype:
            return f"the vectors are {dtype} and {t.dtype}, and kernels take one dtype"
    if not rows.shape[1]:
        return "the vectors have no elements"
    for factor in (problem.temperature, problem.scale, problem.bias):
        if isinstance(factor, Tensor) and not factor.is_floating_point():
            return f"a scale, bias or temperature is {factor.dtype}"
    for name, value in zip(record.params, problem.params, strict=False):
        if type(value) is float or type(value) is bool:
            continue
        if isinstance(value, Tensor):
            if value.requires_grad:
                return f"{name} needs a gradient"
            if not value.is_cpu or is_compiling():
                return f"{name} is a tensor {'in a graph' if value.is_cpu else 'on the device'}, and its value unknown"
        elif not _options.is_real(value):
            return f"{name} is no number"
    for name in ("weight", "normalizer") if problem.options else ():
        value = problem.options.get(name)
        if isinstance(value, Tensor) and value.requires_grad:
            return f"{name} needs a gradient"
    return ""


def as_kernels_read(record: SimilarityLoss, problem: Problem) -> tuple[Call, Relation, Vectors]:
    """The problem with dtypes and layouts that the operators take."""
    (rows, columns, negatives, _, _), (row_labels, column_labels, mask, positives, _, _), options = problem[:3]
    dtype = rows.dtype
    if negatives is not None:
        assert columns is not None
        m, width = columns.shape[0], columns.shape[0] + negatives.shape[-2]
        if negatives.dim() == 2:
            columns, negatives = cat(columns, negatives), None
        if row_labels is not None:  # the index of a negative is no label
            row_labels = torch.where(row_labels < m, row_labels, -1)
        mask = None if mask is None else widened(mask, width, True)
        positives = None if positives is None else widened(positives, width, False)
    if record.distances:
        if dtype.itemsize == 2:  # |x|^2 + |y|^2 - 2 <x, y> cancels
            rows = rows.float()
    elif dtype != torch.float64 and _ops.autocasts(rows.device.type):
        cast = torch.get_autocast_dtype(rows.device.type)
        rows, columns, negatives = (None if t is None else t.to(cast) for t in (rows, columns, negatives))  # type: ignore[assignment]
    factor: Any = -2.0 if record.distances else problem.scale
    temperature = problem.temperature
    if isinstance(temperature, Tensor):  # the quotient is to be as exact as what it is multiplied by
        compute = _ops.compute_dtype(rows.dtype)
        factor = 1 / (temperature.to(compute) if temperature.dtype.itemsize < compute.itemsize else temperature)
    elif temperature is not None:
        factor = 1 / float(temperature)
    params = tuple(map(float, problem.params)) if record.params else problem.params
    call, scale, bias = call_of(record, problem, dtype, params, factor, False)
    weight, normalizer = (options.get("weight"), options.get("normalizer")) if options else (None, None)
    relation = Relation(
        None if row_labels is None else row_labels.contiguous(),
        None if column_labels is None else column_labels.contiguous(),
        mask if mask is None or mask.stride(1) == 1 else mask.contiguous(),
        positives if positives is None or positives.stride(1) == 1 else positives.contiguous(),
        None if weight is None else weight.to(torch.float64).contiguous(),
        None if normalizer is None else divisor_of(normalizer, rows.device),
    )
    return call, relation, Vectors(rows, columns, negatives, scale, bias)
