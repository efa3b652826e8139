"""Losses of hidden states and a classifier: the path that a call takes, and the strips of logits.

Note [Heads]
The logits are the product of N hidden states and C vectors, one for each class. Of these N x C numbers only a strip of
whole rows exists at a time. A strip is one product into memory that all strips share; the softmax engine reads the
strip once and writes the gradient over it (as ``inplace=True`` does); two more products make of it the gradient of the
strip's hidden states and a part of the classifier's, which is added up in float32. So all gradients of a scalar loss
are there when forward ends, for an upstream gradient of 1, and backward scales them. With ``reduction="none"``, and in
a second backward, strips are made again with the upstream gradients inside.

On the CPU rows that are ignored take part in no product. On a device nobody knows how many there are; there zeros stand
in the place of their hidden states, since 0 * NaN would enter the classifier's gradient.

A margin changes one logit of a row: gather, formula, scatter, once before the kernel and once, with the derivative,
after it. Vectors of length one are made before, by autograd's own operators: the gradient of the normalisation is
theirs.

The mean's divisor is known before the first strip, so a strip's gradients are final. But float16 holds no probability
over a batch's size: on a device its strips have the gradient of the sum, and the divisor waits until backward, where
the sums, which are float32, are multiplied by the upstream gradient anyway. On the CPU products of float16 are made in
float32, which is a hundred times faster; so are those of bfloat16 where the CPU has no instructions for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fastloss._core import memory as _memory
from fastloss._core import operators as _ops
from fastloss._core import options as _options
from fastloss._core import route, row_formula
from fastloss._core._torch import F, tracing_state
from fastloss._core.autograd import apply, savable
from fastloss._core.guards import (
    KERNEL_DTYPES,
    REDUCTIONS,
    TENSORS,
    TORCH_ERRORS,
    is_compiling,
    is_dynamo_compiling,
    is_placed,
    scalar,
    why_no_kernel,
)
from fastloss._core.record import HeadLoss, P, PublicLoss, publish
from fastloss._core.stats import RowStats
from fastloss.engines import softmax
from fastloss.engines.similarity import strips

_SHARED = """
    Keyword-only options, shared by every loss of hidden states and a classifier:
        z_loss: Weight of the squared log-normaliser (PaLM, Chowdhery et al. 2022).
        softcap: Caps the logits to (-softcap, softcap) (Gemma 2, 2024). None: no cap.
        temperature: Divides the logits, after the cap (Hinton et al. 2015).
        mask: Bool, shape of index targets; rows where it is False are ignored.
        normalizer: Replaces the mean's divisor (tokens of a whole accumulated batch, say); float or 0-d tensor.
        empty: Value of a mean over no rows: ``"nan"`` as PyTorch, or ``"zero"``. The gradient is zero either way.
        loss_dtype: dtype of the loss. Default: that of the logits; float32 under autocast.
        memory_budget: Bytes of logits that may exist at a time, at least 128 rows. Default and most: 32 MiB (CUDA:
            128, or 1024 rows). The result depends on it within rounding.
        return_stats: Also return `RowStats`, measured in the same pass; ``grad_norm`` is that of the logits' gradient.
        group: Processes on which the classes lie, in the order of ranks (vocabulary parallelism). The classifier's
            vectors, its bias and numbers per class are those of the classes here, as are their gradients. Hidden states
            and targets, classes of all, are the same on every process, and so is the gradient of the hidden states.
            Backward makes strips again, and adds that gradient up over the processes. DTensors on one mesh as hidden
            states and classifier need no ``group``: classes, rows or both may lie on several processes.

    Returns:
        The loss: shape of index targets for ``"none"``, otherwise ``()``. With ``return_stats`` the pair
        ``(loss, RowStats)``.

    Dtypes: float16, bfloat16, float32, float64, vectors alike; mixed under autocast, in whose dtype products are made
        (on the CPU those of float16 in float32). Everything after the product is float32 or float64.
    Raises: IndexError for a class outside [0, C) that is not ``ignore_index`` (on CUDA only under
        :func:`fastloss.debug`; otherwise the row's loss is NaN and its gradient zero). ValueError, RuntimeError,
        TypeError as PyTorch for shapes, dtypes, devices and options.
    Gradient: with respect to the vectors of both sides and the bias, each made only where it is needed; differentiable
        again (through the reference, which needs all logits). Made during forward, except for ``"none"``. Rows that are
        ignored get exactly zero, and on the CPU take part in no product. A gradient to probabilities, a learned
        hyperparameter, or a K-dimensional classifier needs all logits.
    Memory: the gradients (the classifier's in float32) and a strip of logits. Where logits and their gradient fit a
        strip, they are made as a whole.
    Accuracy: the classifier's gradient is added up in float32 over strips and rounded once. Of all steps only the
        matrix products, which are PyTorch's own, may give other bits with another number of threads.
"""

_OPTIONS = _options.names(_options.HeadOptions)
_WIDE = (torch.float32, torch.float64, torch.bfloat16)  # in range
# Of dtypes whose products take a CPU longer than those of float32: some hundred times, without instructions for them.
_SLOW_ON_CPUS = frozenset(
    (torch.float16, *(() if torch.backends.cpu.get_cpu_capability().startswith("AVX512") else (torch.bfloat16,)))
)
_ANY = 1 << 62
_BY_CLASS = math.nan  # stands among the margins of a call for one that classes have of their own
_RECORDS: dict[str, HeadLoss] = {}


class Problem(NamedTuple):
    """What a function written by hand makes of its arguments.

    Attributes:
        hidden: Shape (N, D), or (D).
        weight: Of the linear layer, (C, D) or (C, d1, ..., dK, D); with ``centers`` (C K, D), class by class.
        target: Classes or probabilities.
        options: Those that the losses share.
        bias: Of the linear layer.
        params: Hyperparameters of the loss of logits.
        margins: Hyperparameters of the formula; one that is a tensor of one dimension has an entry for each class.
        scale: Factor of the logits.
        centers: Vectors of a class, the nearest of which counts.
        class_weight, ignore_index, reduction, label_smoothing: Of the loss of logits.
    """

    hidden: Tensor
    weight: Tensor
    target: Tensor
    options: Any
    bias: Tensor | None = None
    params: tuple[Any, ...] = ()
    margins: tuple[Any, ...] = ()
    scale: float | Tensor = 1.0
    centers: int = 1
    class_weight: Tensor | None = None
    ignore_index: int = -100
    reduction: str = "mean"
    label_smoothing: float | Tensor = 0.0


def loss(**facts: Any) -> Callable[[Callable[P, Any]], PublicLoss[P]]:
    """Makes a loss of a function that poses its problem; ``facts`` are attributes of its `HeadLoss`."""

    def complete(pose: Callable[P, Any]) -> PublicLoss[P]:
        record = _RECORDS[pose.__name__] = HeadLoss(pose.__name__, pose=pose, **facts)
        posed, known = _options.takes_tensors(pose), {*record.names} | _OPTIONS

        plain = not record.cosine

        def problem(*args: P.args, **kwargs: P.kwargs) -> Problem:
            if kwargs:
                _options.refuse_unknown(record.name, kwargs, known, record.names)
            return _checked(record, posed(*args, **kwargs))

        def function(*args: P.args, **kwargs: P.kwargs) -> Any:
            if plain and not is_dynamo_compiling() and tracing_state() is None:
                try:
                    if not kwargs and len(args) == 3:  # a tuple of all defaults would take 3 % of a small step
                        hidden, weight, target = args  # type: Any, Any, Any
                        if few(hidden, weight) and every_row_counts(hidden, target, -100):
                            return record.of(F.linear(hidden, weight), target)
                    elif (made := _as_it_is(record, pose(*args, **kwargs))) is not None:
                        return made
                except TORCH_ERRORS:
                    pass  # the general way says what is wrong, or does it differently
            return solve(record, problem(*args, **kwargs))

        def reference(*args: P.args, **kwargs: P.kwargs) -> Any:
            return _of_logits(record, record.rows.reference, problem(*args, **kwargs))

        own, example, rest = (pose.__doc__ or "").rstrip().partition("\n    Example:")
        return publish(record, function, reference, f"{own}{_SHARED}{example}{rest}\n", by_name=True)

    return complete


def _as_it_is(record: HeadLoss, problem: Problem) -> Any:
    """The loss of few logits without options; None sends them to `solve`, whose checks take as long as the products."""
    hidden, weight, target, options, bias, params, _, _, _, classes, ignored, reduction, smoothing = problem
    if options or not (few(hidden, weight) and every_row_counts(hidden, target, ignored)):
        return None
    logits = F.linear(hidden, weight, bias)
    if record.rows.native is not None:
        return record.of(logits, target, classes, None, ignored, None, reduction, smoothing)
    return record.of(
        logits, target, *params, weight=classes, ignore_index=ignored, reduction=reduction, label_smoothing=smoothing
    )


def few(hidden: Tensor, weight: Tensor) -> bool:
    """Whether matrices make so few logits that the checks of `solve` take as long as the products."""
    return (
        type(hidden) in TENSORS
        and type(weight) in TENSORS
        and hidden.dim() == 2
        and weight.dim() == 2
        and hidden.dtype in _WIDE
        and hidden.shape[0] * weight.shape[0] * 16 <= strips._STRIP_BYTES  # of float64 and its gradient
        and not _ops.autocasts("cpu")
    )


def every_row_counts(hidden: Tensor, target: Tensor, ignored: Any) -> bool:
    """Whether classes are known to be those of rows that all count."""
    return softmax.is_tiny(hidden, target, ignored, _ANY)


# ------------------------------------------------------------------------------------------------ all logits at a time


def _checked(record: HeadLoss, problem: Problem) -> Problem:
    """Refuses what no path takes. A factor of the logits becomes a part of ``temperature`` and ``softcap``."""
    name, options, margins = record.name, problem.options, dict(zip(record.margins, problem.margins, strict=True))
    classes = problem.weight.shape[0] // problem.centers if problem.weight.dim() else 0
    for what, value in margins.items():
        if isinstance(value, Tensor) and value.dim():
            if value.shape not in ((1,), (classes,)):
                raise ValueError(
                    f"fastloss.{name}: {what} has shape {tuple(value.shape)}, expected () or ({classes},), one a class"
                )
            if value.numel() > 1:
                margins[what] = 0.0
    _options.check_domain(name, **margins)
    options = dict(options)
    _options.check_sharing(name, options.pop("memory_budget", None), None)
    if record.cosine:
        _options.check_domain(name, scale=problem.scale)
        if problem.target.is_floating_point():
            raise ValueError(
                f"fastloss.{name}: target is {problem.target.dtype}, expected one class per row (torch.int64): margins "
                "belong to a class"
            )
        temperature, softcap = options.get("temperature", 1.0), options.get("softcap")
        _options.check_domain(name, temperature=temperature, **({} if softcap is None else {"softcap": softcap}))
        options["temperature"] = _over(temperature, problem.scale)
        if softcap is not None:
            options["softcap"] = _over(softcap, problem.scale)
    _check_shapes(name, problem)
    return problem._replace(options={**problem.options, **options})


def _over(number: Any, scale: Any) -> Any:
    if isinstance(number, Tensor) or isinstance(scale, Tensor):
        return number / scale
    return float(number) / float(scale)


def _check_shapes(name: str, problem: Problem) -> None:
    """As PyTorch's `linear_cross_entropy`."""
    hidden, weight, bias = problem.hidden, problem.weight, problem.bias
    what = ""
    if hidden.dim() not in (1, 2):
        what = f"input has shape {tuple(hidden.shape)}, expected (N, D) or (D); flatten it with .flatten(0, -2)"
    elif weight.dim() < 2:
        what = f"linear_weight has shape {tuple(weight.shape)}, expected (C, D), one vector per class"
    elif hidden.shape[-1] != weight.shape[-1]:
        what = (
            f"input has shape {tuple(hidden.shape)} and linear_weight {tuple(weight.shape)}, expected the same last "
            "dimension"
        )
    elif bias is not None and bias.shape != weight.shape[:-1]:
        what = f"linear_bias has shape {tuple(bias.shape)}, expected {tuple(weight.shape[:-1])}, one summand per class"
    elif weight.dim() > 2 and hidden.dim() == 1:
        what = f"linear_weight has shape {tuple(weight.shape)}, which needs input (N, D), got {tuple(hidden.shape)}"
    elif weight.shape[0] % problem.centers:
        what = f"weight has {weight.shape[0]} rows, expected a multiple of {problem.centers}, the centers of a class"
    if what:
        raise RuntimeError(f"fastloss.{name}: {what}")


def _of_logits(record: HeadLoss, of: Callable[..., Any], problem: Problem) -> Any:
    """The loss ``of`` all logits, in the name of this one."""
    hidden, weight, bias, target = _cleaned(problem), problem.weight, problem.bias, problem.target
    if record.cosine:
        hidden, weight = _unit(hidden).to(hidden.dtype), _unit(weight).to(weight.dtype)
    options = {key: value for key, value in problem.options.items() if key != "memory_budget"}
    logits = _logits(record, problem, hidden, weight, bias, target)
    params = dict(zip(record.rows.params, problem.params, strict=True))
    try:
        return of(
            logits, target, **params, weight=problem.class_weight, ignore_index=problem.ignore_index,
            reduction=problem.reduction, label_smoothing=problem.label_smoothing, **options,
        )  # fmt: skip
    except TORCH_ERRORS as error:
        raise in_name(record, error) from error


def in_name(record: HeadLoss, error: Exception) -> Exception:
    said = str(error).removeprefix(f"fastloss.{record.rows.name}: ").removeprefix(f"fastloss.{record.name}: ")
    return type(error)(f"fastloss.{record.name}: {said}")


def _logits(
    record: HeadLoss, problem: Problem, hidden: Tensor, weight: Tensor, bias: Tensor | None, target: Tensor
) -> Tensor:
    """In plain PyTorch. Of losses of cosines the vectors have length one already."""
    outer = weight.shape[1:-1]
    if outer:
        bias = None if bias is None else bias.flatten()
        return F.linear(hidden, weight.flatten(0, -2), bias).reshape(*hidden.shape[:-1], weight.shape[0], *outer)
    logits = F.linear(hidden, weight, bias)
    if problem.centers > 1:
        logits = logits.unflatten(-1, (-1, problem.centers)).max(-1).values
    classes = logits.shape[-1]
    if not record.margins or target.shape != logits.shape[:-1] or target.is_floating_point() or not classes:
        return logits
    y = _classes(target, classes)
    own = logits.gather(-1, y).to(_ops.compute_dtype(logits.dtype))
    value, _ = record.formula(own, *(_at(number, y, own) for number in problem.margins))
    return logits.scatter(-1, y, value.to(logits.dtype))


def _cleaned(problem: Problem) -> Tensor:
    """The hidden states, with zeros where a row is ignored: 0 * NaN would enter the classifier's gradient."""
    hidden = problem.hidden
    kept = kept_of(problem.target, problem.ignore_index, problem.options.get("mask"))
    if kept is None or kept.shape != hidden.shape[:-1] or _options.known(kept.all()):
        return hidden
    return torch.where(kept.unsqueeze(-1), hidden, 0.0)


def kept_of(target: Tensor, ignore_index: Any, mask: Tensor | None) -> Tensor | None:
    """Which rows are not ignored; None if none can be."""
    if target.is_floating_point() or target.is_complex() or not isinstance(ignore_index, int):
        return mask
    kept = target != ignore_index
    return kept & mask if mask is not None and mask.shape == kept.shape and mask.dtype == torch.bool else kept


def _classes(target: Tensor, classes: int) -> Tensor:
    """The class of each row as an index of its logits; 0 where there is no such class."""
    return torch.where((target >= 0) & (target < classes), target, 0).long().unsqueeze(-1)


def _at(number: Any, y: Tensor, like: Tensor) -> Any:
    """A hyperparameter of rows of the classes ``y``."""
    if not isinstance(number, Tensor):
        return float(number)
    number = number.to(like.dtype)
    return number[y] if number.numel() > 1 else number.reshape(())


def _unit(x: Tensor) -> Tensor:
    """In float32 at least, also for products of halves: the gradient of the normalisation cancels."""
    return F.normalize(x.to(torch.promote_types(x.dtype, torch.float32)), dim=-1)


# ------------------------------------------------------------------------------------------------------------ the path


class Call(NamedTuple):
    """What strips are about besides tensors.

    Attributes:
        name: Of the loss.
        options: The operators' own: numbers, reduction, empty_zero, dtype of the loss.
        ignore_index: Among those numbers, too.
        dtype: Products are made in it.
        memory_budget: Bytes.
        centers: Vectors of a class.
        margins: As in `Problem`; `_BY_CLASS` for one that is among those of `Fixed`.
        want_stats: Whether statistics are measured.
    """

    name: str
    options: tuple[tuple[float, ...], int, bool, int]
    ignore_index: int
    dtype: torch.dtype
    memory_budget: int
    centers: int
    margins: tuple[Any, ...]
    want_stats: bool


class Fixed(NamedTuple):
    """Tensors in which strips do not differentiate.

    Attributes:
        target, weight, mask: As in `Problem`.
        divisor: Of a mean; None where the targets say it.
        margins: Those that classes have of their own, shape (margins, C).
    """

    target: Tensor
    weight: Tensor | None
    mask: Tensor | None
    divisor: Tensor | None
    margins: Tensor | None


def solve(record: HeadLoss, problem: Problem) -> Any:
    """The loss on strips, or, where those are not due, of all logits, whose loss says which path it takes."""
    if is_placed(problem.hidden) or is_placed(problem.weight):
        from fastloss.engines import placed

        try:
            made = placed.head(solve, record, problem)
        except TORCH_ERRORS as error:
            raise in_name(record, error) from error
        return _of_logits(record, record.of, problem) if made is None else made
    if problem.options.get("group") is not None:
        from fastloss.engines import shards

        return shards.solve(record, problem)
    if not is_compiling() and is_small(problem.hidden, problem.weight, _budget(problem)):
        return _of_logits(record, record.of, problem)
    try:
        found = _posed(record, problem)
    except TORCH_ERRORS as error:
        raise in_name(record, error) from error
    if found is None:
        return _of_logits(record, record.of, problem)
    if route.watched:
        route.take(record.name, "kernel", route.COVERED)
    hidden, weight = unit_vectors(problem) if record.cosine else (problem.hidden, problem.weight)
    try:
        loss, stats = _run(*found, hidden, weight, problem.bias)
    except TORCH_ERRORS as error:
        raise in_name(record, error) from error
    return loss if stats is None else (loss, RowStats.from_vector(stats))


def unit_vectors(problem: Problem) -> tuple[Tensor, Tensor]:
    return _unit(_cleaned(problem)), _unit(problem.weight)


def is_small(hidden: Tensor, weight: Tensor, budget: int) -> bool:
    """Whether the logits and their gradient fit a strip; then autograd's own products need no strips.

    Not those of float16: gradients of the logits would have its range.
    """
    if hidden.dim() != 2 or not hidden.shape[1]:
        return True
    dtype, device = hidden.dtype, hidden.device.type
    if _ops.autocasts(device) and dtype != torch.float64:
        dtype = torch.get_autocast_dtype(device)
    if dtype not in _WIDE:
        return False
    logits = hidden.shape[0] * (weight.numel() // hidden.shape[1]) * hidden.element_size()
    return 2 * logits <= min(strips.strip_bytes(hidden), budget)


def _budget(problem: Problem) -> int:
    return bytes_of(problem.options.get("memory_budget"))


def bytes_of(budget: float | None) -> int:
    """Of logits that may exist at a time: of no budget more than a strip has."""
    return 1 << 62 if budget is None else int(min(budget, 1 << 62))


def strip_bytes(budget: int, like: Tensor, classes: int, tiles: int = 1) -> int:
    """Bytes of a strip, of which each takes the memory of so many."""
    return min(budget, strips.strip_bytes(like, classes)) // tiles


def _posed(record: HeadLoss, problem: Problem) -> tuple[Call, Fixed] | None:
    """What strips take; None if they do not take this problem."""
    hidden, weight, target, options, bias, params, margins, _, centers, classes, ignored, reduction, smoothing = problem
    rows, dtype = record.rows, product_dtype(hidden, weight, bias)
    tensors = [t for t in (hidden, weight, target, bias, *margins) if isinstance(t, Tensor) and t.dim()]
    if (
        dtype is None
        or target.requires_grad
        or why_no_kernel(record.engine, tensors, ("cpu", "cuda"))
        or (type(hidden) not in TENSORS and not is_compiling())
        or weight.dim() != 2
        or not hidden.numel()
        or not weight.numel()
        or reduction not in REDUCTIONS
    ):
        return None
    options = {key: value for key, value in options.items() if key != "memory_budget"}
    if target.dtype is torch.uint8:
        target = target.long()
    logits = hidden.detach()[:, :1].expand(-1, weight.shape[0] // centers)  # their shape, dtype and device
    row_formula.check(rows, logits, params, classes, reduction, smoothing, options)
    numbers, factor = softmax.numbers_of(rows, params, smoothing, options)
    if softmax.why_not_kernel(rows, logits, target, classes, factor, ignored, numbers, options):
        return None
    numbers_of_margins = fixed_margins(margins)
    if numbers_of_margins is None:
        return None
    margins, by_class = numbers_of_margins
    loss_dtype = options.get("loss_dtype") or row_formula.dtype_of_loss(logits, target, classes)
    divisor, classes = softmax.divisor_and_weight(logits, target, classes, factor, ignored, reduction, options)
    posed = softmax.call_of(
        rows, numbers, ignored, REDUCTIONS[reduction], loss_dtype, False, False, options.get("empty") == "zero"
    )
    call = Call(
        record.name, posed.options, ignored, dtype, _budget(problem), centers, margins,
        bool(options.get("return_stats", False)),
    )  # fmt: skip
    return call, Fixed(target, classes, options.get("mask"), divisor, by_class)


def fixed_margins(margins: tuple[Any, ...]) -> tuple[tuple[float, ...], Tensor | None] | None:
    """The margins as strips take them: numbers, and in a tensor those that classes have of their own. None if one is
    learned, or lies on a device."""
    own = [number for number in margins if isinstance(number, Tensor) and number.numel() > 1]
    numbers: list[Any] = [_BY_CLASS if isinstance(m, Tensor) and m.numel() > 1 else scalar(m) for m in margins]
    if any([number is None for number in numbers]) or any([t.requires_grad for t in own]):
        return None
    return tuple(numbers), torch.stack(own) if own else None


def product_dtype(*given: Tensor | None) -> torch.dtype | None:
    """That of the products; None if these vectors have none."""
    vectors = [t for t in given if t is not None]
    dtype, device = vectors[0].dtype, vectors[0].device
    if not all([t.dtype in KERNEL_DTYPES for t in vectors]):
        return None
    if _ops.autocasts(device.type) and not any([t.dtype == torch.float64 for t in vectors]):
        dtype = torch.get_autocast_dtype(device.type)
    elif any([t.dtype != dtype for t in vectors]):
        return None
    return torch.float32 if device.type == "cpu" and dtype in _SLOW_ON_CPUS else dtype


def _run(call: Call, fixed: Fixed, hidden: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
    vectors = hidden, weight, bias
    if is_compiling():
        return _trace(call, fixed, vectors)
    if torch.is_grad_enabled() and any([t is not None and t.requires_grad for t in vectors]):
        return apply(_Strips, call, Fixed(*map(savable, fixed)), *map(savable, vectors))
    outcome = evaluate(call, fixed, vectors, (False,) * 3)
    return outcome.loss, outcome.stats


# ---------------------------------------------------------------------------------------------------------- the strips


class Outcome(NamedTuple):
    """Of strips.

    Attributes:
        loss: In its dtype; None where only gradients were asked for.
        stats: The vector of `RowStats`, if wanted.
        grads: Of hidden states, weight and bias, those wanted; in the dtype that they were added up in.
        factor: What these are yet to be multiplied by, None: 1.
    """

    loss: Any
    stats: Tensor | None
    grads: list[Tensor | None]
    factor: Tensor | None


def evaluate(call: Call, fixed: Fixed, vectors: Any, want: tuple[bool, ...], upstream: Tensor | None = None) -> Outcome:
    """Loss, statistics, and gradients for an upstream gradient of 1; or, given ``upstream``, gradients alone."""
    device = fixed.target.device.type
    if _ops.autocasts(device):
        with torch.autocast(device, enabled=False):
            return _evaluate(call, fixed, vectors, want, upstream)
    return _evaluate(call, fixed, vectors, want, upstream)


def _evaluate(call: Call, fixed: Fixed, vectors: Any, want: tuple[bool, ...], upstream: Tensor | None) -> Outcome:
    numbers, code, empty_zero, loss_dtype = call.options
    rows, columns = (t.detach().to(call.dtype) for t in vectors[:2])
    bias = None if vectors[2] is None else vectors[2].detach().to(call.dtype)
    target, class_weight, mask, divisor, by_class = fixed
    width, margins = columns.shape[0], margins_of(call.margins, by_class)
    operators = _ops.OPERATORS[_RECORDS[call.name].rows.name]
    index, kept = None, kept_of(target, call.ignore_index, mask)
    if kept is not None:
        if kept.is_cpu and not target.is_floating_point():
            bad = softmax.bad_target(target, width // call.centers, call.ignore_index, mask)
            if bad:
                raise IndexError(f"fastloss.{call.name}: {bad}")
        rows, index = kept_rows(rows, kept)
    if code == 1 and divisor is None:
        divisor = _divisor(target, class_weight, kept)
    factor = None
    if code == 1 and call.dtype == torch.float16 and upstream is None:
        assert divisor is not None
        factor, divisor = 1 / divisor, torch.ones_like(divisor)

    most = strip_bytes(call.memory_budget, rows, width, tiles_of(call.centers))
    strip = strips.Strips(rows, width, most, False, False, most)

    def cut(t: Tensor | None, begin: int, end: int) -> Any:
        return strip.cut(t, begin, end) if t is None or index is None else t.index_select(0, index[begin:end])

    made = memory_of_gradients(rows, columns, want)
    losses, stats = [], []
    for begin, end in strip.bounds:
        tile, y = logits_of(strip, begin, end, columns, bias), cut(target, begin, end)
        given = y, class_weight, cut(mask, begin, end), divisor
        changed = change(_RECORDS[call.name], call.centers, margins, tile, y)
        logits = changed.logits
        grads = (logits, None) if any(want) else operators.no_gradients
        if upstream is None:
            if call.want_stats:
                stats.append(torch.empty(operators.stats, dtype=torch.float64, device=tile.device))
            # Of unreduced losses operators make gradients in backward alone.
            grads = grads if code else operators.no_gradients
            kind = _ops.DTYPE_CODES[torch.float64] if code else loss_dtype
            losses.append(
                operators.forward(
                    logits, *given, numbers, code, empty_zero, kind, None, stats[-1] if stats else None, *grads
                )
            )
        elif any(want):
            seed = upstream if code else cut(upstream, begin, end)
            operators.backward(seed, logits, *given, None, numbers, code, False, *grads)
        if grads[0] is None:
            continue
        change_back(changed)
        add_gradients(made, strip.cut(rows, begin, end), columns, tile, begin, want)
    if index is not None and made[0] is not None:
        made[0] = made[0].new_zeros(target.shape[0], rows.shape[1]).index_copy_(0, index, made[0])
    if upstream is not None:
        return Outcome(None, None, made, None)
    if code:
        loss = torch.stack(losses).sum()
        loss = (loss if factor is None else loss * factor).to(_ops.DTYPE_OF_CODE[loss_dtype])
    else:
        loss = torch.cat(losses) if len(losses) > 1 else losses[0]
        if index is not None:
            loss = loss.new_zeros(target.shape[0]).index_copy_(0, index, loss)
    return Outcome(loss, _joined(stats, factor), made, factor)


def kept_rows(rows: Tensor, kept: Tensor) -> tuple[Tensor, Tensor | None]:
    """Hidden states without those of ignored rows, and where the others are; on a device with zeros in their place."""
    if not kept.is_cpu:
        return torch.where(kept.unsqueeze(1), rows, 0.0), None
    if kept.all():
        return rows, None
    index = kept.nonzero().squeeze(1)
    if index.numel():
        return rows.index_select(0, index), index
    # Operators take no empty strip; of one row that is ignored they say what a loss of none is.
    return rows.new_zeros(1, rows.shape[1]), index.new_zeros(1)


def memory_of_gradients(rows: Tensor, columns: Tensor, want: tuple[bool, ...]) -> list[Tensor | None]:
    """Of hidden states and weight; the bias's is made by the first strip."""
    compute = _ops.compute_dtype(rows.dtype)
    to_hidden = (
        _memory.empty((rows.shape[0], rows.shape[1]), rows, compute if strips.wide(rows) else None) if want[0] else None
    )
    return [to_hidden, _memory.empty((columns.shape[0], rows.shape[1]), rows, compute) if want[1] else None, None]


def logits_of(strip: strips.Strips, begin: int, end: int, columns: Tensor, bias: Tensor | None) -> Tensor:
    return product(strip.cut(strip.rows, begin, end), columns, bias, strip.tile(begin, end, 0, strip.width))


def product(rows: Tensor, columns: Tensor, bias: Tensor | None, out: Tensor) -> Tensor:
    if bias is None:
        return torch.mm(rows, columns.t(), out=out)
    return torch.addmm(bias, rows, columns.t(), out=out)


def _divisor(target: Tensor, class_weight: Tensor | None, kept: Tensor | None) -> Tensor:
    """Of a mean: the sum of the weights of the kept rows, of probabilities their number; NaN for 0, as in PyTorch."""
    if kept is None:
        return torch.full((), target.shape[0], dtype=torch.float64, device=target.device)
    if class_weight is None or target.is_floating_point():
        total = kept.sum(dtype=torch.float64)
    else:
        chosen = class_weight[target.clamp(0, class_weight.shape[0] - 1)]
        total = torch.where(kept, chosen, 0).sum(dtype=torch.float64)
    return torch.where(total == 0, torch.nan, total)


def margins_of(margins: tuple[Any, ...], by_class: Tensor | None) -> tuple[Any, ...]:
    """The margins, as `Problem` has them, of numbers and those that classes have of their own."""
    if by_class is None:
        return margins
    own = iter(by_class.unbind())
    return tuple(next(own) if math.isnan(number) else number for number in margins)


def tiles_of(centers: int) -> int:
    """Of how many strips' memory a strip is: the largest product of a class, and which that is, take two more."""
    return 1 if centers == 1 else 3


class Changed(NamedTuple):
    """A strip's logits as the loss of logits has them.

    Attributes:
        tile: The products.
        logits: Of the nearest centers, with the formula's in the place of each target's; in the memory of ``tile``, if
            each class has one center.
        nearest: Which center each class has; None of one alone.
        own: Of each row the place of the target's logit; None without margins.
        slope: The formula's derivative.
    """

    tile: Tensor
    logits: Tensor
    nearest: Tensor | None = None
    own: Tensor | None = None
    slope: Tensor | None = None


def change(record: HeadLoss, centers: int, margins: tuple[Any, ...], tile: Tensor, target: Tensor) -> Changed:
    """Makes logits of products. Rows whose class is not among these keep theirs."""
    logits, nearest = (tile, None) if centers == 1 else tile.unflatten(1, (-1, centers)).max(2)
    if not record.margins:
        return Changed(tile, logits, nearest)
    here, y = (target >= 0) & (target < logits.shape[1]), _classes(target, logits.shape[1])
    own = logits.gather(1, y).to(_ops.compute_dtype(logits.dtype))
    value, slope = record.formula(own, *(_at(number, y, own) for number in margins))
    logits.scatter_(1, y, torch.where(here.unsqueeze(1), value, own).to(logits.dtype))
    return Changed(tile, logits, nearest, y, torch.where(here.unsqueeze(1), slope, 1.0))


def change_back(changed: Changed) -> None:
    """Writes over the products their gradient, given that of the logits over the logits."""
    tile, logits, nearest, own, slope = changed
    if own is not None and slope is not None:
        logits.scatter_(1, own, (logits.gather(1, own).to(slope.dtype) * slope).to(logits.dtype))
    if nearest is not None:
        tile.zero_().unflatten(1, (*nearest.shape[1:], -1)).scatter_(2, nearest.unsqueeze(2), logits.unsqueeze(2))


def add_gradients(
    made: list[Tensor | None], rows: Tensor, columns: Tensor, tile: Tensor, begin: int, want: tuple[bool, ...]
) -> None:
    """Adds what the gradient of a strip's products contributes to those of the vectors and the bias."""
    to_hidden, to_weight, _ = made
    if to_hidden is not None:
        torch.mm(tile, columns, **strips.wide(tile), out=to_hidden[begin : begin + rows.shape[0]])
    if to_weight is not None:
        strips.add_product(to_weight, tile.t(), rows, begin == 0)
    if want[2]:
        total = tile.sum(0, dtype=_ops.compute_dtype(tile.dtype))
        made[2] = total if made[2] is None else made[2].add_(total)


def _joined(stats: list[Tensor], factor: Tensor | None) -> Tensor | None:
    """The statistics of all rows from those of strips, in the order of `RowStats`."""
    if not stats:
        return None
    accuracy, entropy, perplexity, lse, norm, finite, count = torch.stack(stats, 1)
    total = count.sum()

    def mean(of_strip: Tensor) -> Tensor:
        return torch.where(count > 0, of_strip * count, 0).sum() / total

    norm = norm.square().sum().sqrt()
    norm = norm if factor is None else norm * factor
    return torch.stack(
        (mean(accuracy), mean(entropy), mean(perplexity.log()).exp(), mean(lse), norm, finite.amin(), total)
    )


# -------------------------------------------------------------------------------------------------------- the autograd


class _Strips:
    """For `Kernel`: ``(call, fixed, hidden, weight, bias) -> loss, statistics``."""

    fixed = (None,) * 3

    @staticmethod
    def forward(ctx: Any, call: Call, fixed: Fixed, *vectors: Tensor | None) -> tuple[Tensor, Tensor | None]:
        reduced = call.options[1] != 0
        outcome = evaluate(call, fixed, vectors, ctx.needs_input_grad[3:] if reduced else (False,) * 3)
        ctx.made = (outcome.grads, outcome.factor) if reduced else None
        ctx.save_for_backward(*vectors, *fixed)
        if outcome.stats is not None:
            ctx.mark_non_differentiable(outcome.stats)
        return outcome.loss, outcome.stats

    @staticmethod
    def backward(ctx: Any, call: Call, grad_output: Tensor, *_: Any) -> list[Tensor | None]:
        made, ctx.made = ctx.made, None
        vectors, fixed = _Strips.saved(ctx)
        if made is None:
            grads = evaluate(call, fixed, vectors, ctx.needs_input_grad[3:], grad_output.contiguous()).grads
            factor = None
        else:
            grads, factor = made
            if factor is not None:
                factor = grad_output * factor
            elif not grad_output.is_cpu or float(grad_output) != 1.0:
                factor = grad_output.double()
        return [None if t is None else scaled(g, factor, t.dtype) for g, t in zip(grads, vectors, strict=True)]

    @staticmethod
    def formula(ctx: Any, call: Call) -> tuple[Callable[..., Tensor], Any]:
        vectors, fixed = _Strips.saved(ctx)
        return lambda *vectors: _formula(call, vectors, fixed), vectors

    @staticmethod
    def saved(ctx: Any) -> tuple[Any, Fixed]:
        """Asks once: a checkpoint hands its tensors out once."""
        saved = ctx.saved_tensors
        return saved[:3], Fixed(*saved[3:])


def scaled(grad: Tensor | None, factor: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    """A gradient of strips, times the factor, in the dtype of what it is the gradient of: rounded once."""
    if grad is None or factor is None:
        return None if grad is None else grad.to(dtype)
    factor = factor.to(_ops.compute_dtype(grad.dtype))
    return (
        grad.mul_(factor) if grad.dtype == dtype else torch.mul(grad, factor, out=torch.empty_like(grad, dtype=dtype))
    )


def _formula(call: Call, vectors: Any, fixed: Fixed) -> Tensor:
    """The loss of a call in plain PyTorch, for second derivatives."""
    record, (hidden, weight, bias) = _RECORDS[call.name], vectors
    options: dict[str, Any] = {"mask": fixed.mask}
    problem = Problem(
        hidden, weight, fixed.target, options, bias, margins=margins_of(call.margins, fixed.margins),
        centers=call.centers,
        ignore_index=call.ignore_index,
    )  # fmt: skip
    hidden = _cleaned(problem).to(call.dtype)
    bias = None if bias is None else bias.to(call.dtype)
    logits = _logits(record, problem, hidden, weight.to(call.dtype), bias, fixed.target)
    return softmax.formula_of(record.rows, call, (logits, fixed.target), fixed.weight, fixed.mask, fixed.divisor)


# Note [Traced heads]
# As Note [Traced problems] in `fastloss.engines.similarity.traced`: torch.compile and torch.export see one operator, of
# whatever size. With reduction="none" its backward runs the strips with the upstream gradients inside.


def traced_dtype(t: Tensor) -> torch.dtype:
    return torch.float32 if t.dtype == torch.float16 else t.dtype


@torch.library.custom_op("fastloss::linear", mutates_args=())
def _traced(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    target: Tensor,
    class_weight: Tensor | None,
    mask: Tensor | None,
    divisor: Tensor | None,
    margins: Tensor | None,
    upstream: Tensor | None,
    loss: str,
    numbers: list[float],
    codes: list[int],
    want: list[bool],
) -> list[Tensor]:
    code, empty_zero, loss_dtype, dtype, memory_budget, centers, ignore_index, want_stats = codes
    if loss not in _RECORDS or hidden.dim() != 2 or weight.dim() != 2 or not 0 <= code <= 2 or centers < 1:
        raise RuntimeError("fastloss::linear: expected a loss of this release, and matrices of vectors")
    own = len(numbers) - len(_RECORDS[loss].margins)
    call = Call(
        loss, (tuple(numbers[:own]), code, bool(empty_zero), loss_dtype), ignore_index, _ops.DTYPE_OF_CODE[dtype],
        memory_budget, centers, tuple(numbers[own:]), bool(want_stats),
    )  # fmt: skip
    vectors, fixed = (hidden, weight, bias), Fixed(target, class_weight, mask, divisor, margins)
    made = code != 0 or upstream is not None
    outcome = evaluate(call, fixed, vectors, tuple(want) if made else (False,) * 3, upstream)
    nothing = hidden.new_empty(0)
    grads = [
        None if t is None else scaled(g, outcome.factor, traced_dtype(t))
        for g, t in zip(outcome.grads, vectors, strict=True)
    ]
    found = (outcome.loss, outcome.stats, *grads)
    return [nothing.clone() if t is None else t for t in found]


@_traced.register_fake
def _(*inputs: Any) -> list[Tensor]:
    hidden, weight, bias, _, _, _, _, _, upstream, _, _, codes, want = inputs
    made = codes[0] != 0 or upstream is not None
    rows = [hidden.shape[0]] if codes[0] == 0 else []
    dtype = _ops.DTYPE_OF_CODE[codes[2]]
    return [
        hidden.new_empty(rows, dtype=dtype) if upstream is None else hidden.new_empty(0),
        hidden.new_empty(_ops.STATS, dtype=torch.float64) if codes[7] and upstream is None else hidden.new_empty(0),
        *(
            t.new_empty(t.shape, dtype=traced_dtype(t)) if t is not None and needed and made else hidden.new_empty(0)
            for t, needed in zip((hidden, weight, bias), want, strict=True)
        ),
    ]


def _traced_setup(ctx: Any, inputs: Any, output: Any) -> None:
    *tensors, _, ctx.loss, ctx.numbers, ctx.codes, ctx.want = inputs
    ctx.reduced = ctx.codes[0] != 0
    ctx.dtypes = [None if t is None else t.dtype for t in tensors[:3]]
    ctx.save_for_backward(*(output[2:] if ctx.reduced else tensors))


def _traced_backward(ctx: Any, grads: list[Tensor | None]) -> Any:
    grad = grads[0]
    found: list[Tensor | None] = [None] * 3
    if grad is not None and ctx.reduced:
        made = ctx.saved_tensors
        found = [(t * grad).to(d) if w else None for t, w, d in zip(made, ctx.want, ctx.dtypes, strict=True)]
    elif grad is not None:
        about = (ctx.loss, ctx.numbers, ctx.codes, ctx.want)
        made = _traced(*ctx.saved_tensors, grad.contiguous(), *about)[2:]
        found = [t.to(d) if w else None for t, w, d in zip(made, ctx.want, ctx.dtypes, strict=True)]
    return *found, *([None] * 10)


_traced.register_autograd(_traced_backward, setup_context=_traced_setup)


def _trace(call: Call, fixed: Fixed, vectors: Any) -> tuple[Tensor, Tensor | None]:
    want = [t is not None and t.requires_grad and torch.is_grad_enabled() for t in vectors]
    numbers, code, empty_zero, loss_dtype = call.options
    codes = [
        code, int(empty_zero), loss_dtype, _ops.DTYPE_CODES[call.dtype], call.memory_budget, call.centers,
        call.ignore_index, int(call.want_stats),
    ]  # fmt: skip
    found = _traced(*vectors, *fixed, None, call.name, [*numbers, *call.margins], codes, want)
    return found[0], found[1].detach() if call.want_stats else None
