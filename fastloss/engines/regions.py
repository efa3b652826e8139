"""Losses of regions: sums over pixels for every class of every sample, and a formula of these few numbers.

Note [Regions]
With p the probabilities of the classes at a pixel and t the target there, the sums of a class of a sample are
    under = sum t (1 - p),   over = sum p (1 - t)   (squared: apart = sum (p - t)^2 in its place),
    mass = sum t,
and of a loss that has a point term (cross entropy, focal) besides its region term
    point = sum of what the pixels' term has of the class,   spread = sum -log p, which label smoothing needs.
All else is a formula of these numbers in float64 and plain PyTorch, whose autograd has the derivatives in them:
    sum p t = mass - under,   sum p + t = over + under + 2 sum p t.
That nothing is a difference of large sums keeps small losses exact: of what is nearly right 1 - p is small, and no
difference of a mass and a sum of p. Kernels: Note [Regions] in csrc/engines/regions/contract.h.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fastloss._core import memory as _memory
from fastloss._core import operators as _ops
from fastloss._core import options as _options
from fastloss._core import route
from fastloss._core._torch import F, tracing_state, transforms_active
from fastloss._core.autograd import apply, savable
from fastloss._core.guards import KERNEL_DTYPES, is_compiling, loss_dtype_of, scalar, why_no_kernel
from fastloss._core.options import NOT_NEGATIVE
from fastloss._core.record import P, PublicLoss, RegionLoss, publish
from fastloss._core.row_formula import of_dtype
from fastloss._core.stats import RegionStats

_SUMMED = torch.float64

_SHARED = """
    Keyword-only options, shared by losses of regions:
        batch: Whether the sums run over the samples too: a term for each class, not for each sample and class.
        include_background: Whether class 0 has a term.
        ignore_index: Pixels with this target count nowhere; of dense targets elements.
        mask: Bool, one entry per pixel, or for dense targets one per element; where it is False nothing counts.
        normalizer: Replaces the number that the mean divides by; float or 0-d tensor.
        empty: Value of a mean over nothing: ``"nan"``, or ``"zero"``.
        loss_dtype: dtype of the loss. Default: ``input``'s; float32 under autocast.
{more}
    Returns:
        {returned}

    Shapes: input :math:`(N, C, d_1, ..., d_K)`, K from 0, any strides.
    Dtypes: float16, bfloat16, float32, float64; probabilities are made in float32 (float64 for float64), sums are
        float64.
    Raises: IndexError for a class that does not exist (on CUDA that sample's terms are NaN instead); RuntimeError for
        shapes and dtypes; ValueError for bad options.
    Gradient: with respect to ``input``, exactly 0 where a pixel is ignored; differentiable again.
"""
# What some have besides, in the order of the docstrings.
_FURTHER = {
    "absent": """\
        absent: What a term without any target counts as: ``"keep"``, the term; ``"zero"``, 0 in the mean; ``"skip"``,
            nothing.
""",
    "average": """\
        average: ``"micro"`` adds up the sums of the classes before the formula: a term for each sample.
""",
    "class_mean": """\
        class_mean: By what a mean divides: the ``"count"`` of the terms, or with ``"weighted"`` their weights' sum.
""",
    "log": """\
        smooth_nr, smooth_dr: Added to numerator and denominator, 0 or more; float or 0-d tensor.
        log: :math:`-\\log` of the index instead of one minus the index.
""",
    "return_stats": """\
        return_stats: Also return `RegionStats`.
""",
}


class Sums(NamedTuple):
    """Of the pixels of a term, as a formula sees them; see Note [Regions].

    Attributes:
        both: sum p t.
        apart: over + under, or sum (p - t)^2.
        over: sum p (1 - t). Not with ``squared``.
        under: sum t (1 - p).
        mass: sum t.
        pixels: Their number.
        weight: One number per class, or None.
    """

    both: Tensor
    apart: Tensor
    over: Tensor
    under: Tensor
    mass: Tensor
    pixels: Tensor
    weight: Tensor | None


class Point(NamedTuple):
    """The term of a pixel that is added to that of the regions.

    Attributes:
        kind: ``"cross_entropy"``, of the softmax or of every channel's sigmoid, or ``"focal"``.
        factors: Of the regions' term and of this one.
        softmax: Whether it is that of a softmax.
        gamma: Of focal.
        label_smoothing: Of cross entropy.
    """

    kind: str
    factors: tuple[Any, ...]
    softmax: bool
    gamma: Any = 0.0
    label_smoothing: Any = 0.0


class Posed(NamedTuple):
    """What a function written by hand makes of its arguments; ``numbers`` are those of its formula."""

    input: Any
    target: Any
    mode: str
    weight: Any
    reduction: str
    options: dict[str, Any]
    numbers: Any = MappingProxyType({})
    squared: bool = False
    point: Point | None = None


class Measured(NamedTuple):
    """The sums of Note [Regions], a matrix of samples and classes each; ``first`` is over, or apart."""

    first: Tensor
    under: Tensor
    mass: Tensor
    point: Tensor | None
    spread: Tensor | None
    pixels: Tensor


def loss(**facts: Any) -> Callable[[Callable[P, Any]], PublicLoss[P]]:
    """Makes a loss of a function that poses its problem; ``facts`` are attributes of its `RegionLoss`."""

    def complete(pose: Callable[P, Any]) -> PublicLoss[P]:
        record = RegionLoss(pose.__name__, pose=pose, **facts)
        for what, words in _WORDS.items():
            record.words.setdefault(what, words)
        record.domains = {"smooth_nr": NOT_NEGATIVE, "smooth_dr": NOT_NEGATIVE, **record.domains}

        def function(*args: P.args, **kwargs: P.kwargs) -> Any:
            return solve(record, pose(*args, **kwargs))

        def reference(*args: P.args, **kwargs: P.kwargs) -> Any:
            return evaluate(record, check(record, pose(*args, **kwargs)))

        return publish(record, function, reference, _documented(record, pose.__doc__ or ""))

    return complete


_WORDS = {
    "absent": ("keep", "zero", "skip"),
    "average": ("macro", "micro"),
    "class_mean": ("count", "weighted"),
}


def _documented(record: RegionLoss, text: str) -> str:
    own, example, rest = text.rstrip().partition("\n    Example:")
    own, _, returned = own.partition("\n    Returns:")
    known = _options.names(record.options)
    more = "".join(said for option, said in _FURTHER.items() if option in known)
    said = " ".join(returned.split()) or (
        "The loss: :math:`(N, C')`, or :math:`(C')` with ``batch``, for ``reduction=\"none\"``, otherwise ``()``. "
        "C' is C, or C - 1 without background."
    )
    if "return_stats" in known:
        said += " With ``return_stats`` the pair ``(loss, RegionStats)``."
    return f"{own}\n{_SHARED.format(more=more, returned=said)}{example}{rest}\n"


def check(record: RegionLoss, posed: Posed) -> Posed:
    """Refuses what neither way takes; options that are not given get their defaults."""
    name, known = record.name, _options.names(record.options)
    input, target, options, point = posed.input, posed.target, posed.options, posed.point
    _options.require_tensors(name, input=input, target=target)
    _options.check_tensors(name, weight=posed.weight, mask=options.get("mask"))
    reduction = _ops.REDUCTION_NAMES[_options.reduction_code(posed.reduction)]
    _options.refuse_unknown(name, options, known, record.names)
    record.check_words(name, mode=posed.mode, **posed.numbers, **options)
    given = {**record.defaults, **options}
    numbers = {what: given[what] if what in given else posed.numbers[what] for what in record.reads}
    every = {**posed.numbers, **options}
    if point is not None:
        every.update(zip(record.params[-2:], point.factors, strict=True))
        every.update(label_smoothing=point.label_smoothing, gamma=point.gamma)
    _options.check_domain(name, **{what: value for what, value in every.items() if what in record.domains})
    _options.check(name, reduction, given["normalizer"], given["empty"], given["loss_dtype"])
    if point is not None and reduction != "mean" and given["batch"]:
        raise ValueError(
            f"fastloss.{name}: reduction={reduction!r} is of samples by themselves, so it needs batch=False, got True"
        )
    _check_shapes(name, posed, given)
    return posed._replace(reduction=reduction, options=given, numbers=numbers)


def _check_shapes(name: str, posed: Posed, given: dict[str, Any]) -> None:
    input, target, weight, mask = posed.input, posed.target, posed.weight, given["mask"]
    if not input.is_floating_point() or input.dim() < 2:
        raise RuntimeError(
            f"fastloss.{name}: input is {input.dtype} of shape {tuple(input.shape)}, expected floating point "
            "(N, C) or (N, C, d1, ...)"
        )
    pixels = _ops.rows_shape(input.shape)
    indices = target.shape == pixels
    if not indices and target.shape != input.shape:
        raise RuntimeError(
            f"fastloss.{name}: target has shape {tuple(target.shape)}, expected classes {tuple(pixels)}, or dense "
            f"targets {tuple(input.shape)}"
        )
    if indices and not _whole(target) and input.shape[1] != 1:
        raise RuntimeError(
            f"fastloss.{name}: target of shape {tuple(target.shape)} is {target.dtype}, expected integers, which are "
            "classes; dense targets have the input's shape"
        )
    if mask is not None and (mask.dtype != torch.bool or mask.shape not in (pixels, target.shape)):
        raise RuntimeError(
            f"fastloss.{name}: mask is {mask.dtype} of shape {tuple(mask.shape)}, expected torch.bool of shape "
            f"{tuple(pixels)}, one entry per pixel, or the target's shape"
        )
    if given["ignore_index"] is not None and not isinstance(given["ignore_index"], int):
        raise TypeError(
            f"fastloss.{name}: ignore_index is {type(given['ignore_index']).__name__}, expected an int or None"
        )
    classes = input.shape[1] - int(not given["include_background"] and posed.point is None)
    if weight is not None and weight.shape != (classes,):
        raise RuntimeError(
            f"fastloss.{name}: weight has shape {tuple(weight.shape)}, expected ({classes},), one number per class"
        )


class Pixels(NamedTuple):
    """What a call says of every element: logits or probabilities, 0 where nothing counts; the targets; what counts, or
    None if all does; and which samples have a class that does not exist, or None where that has raised."""

    x: Tensor
    t: Tensor
    kept: Tensor | None
    bad: Tensor | None


def pixels_of(name: str, posed: Posed) -> Pixels:
    input, target = posed.input, posed.target
    mask, ignored, mode = posed.options["mask"], posed.options["ignore_index"], posed.mode
    compute = torch.promote_types(input.dtype, torch.float32)
    x, classes, bad = input.to(compute), input.shape[1], None
    indices = target.shape == _ops.rows_shape(input.shape)
    if indices and classes == 1 and mode != "softmax" and target.is_floating_point():
        target, indices = target.unsqueeze(1), False
        mask = mask if mask is None else mask.unsqueeze(1)
    kept = None if ignored is None else target != ignored
    if mask is not None:
        if not indices and mask.dim() < target.dim():
            mask = mask.unsqueeze(1)
        kept = mask if kept is None else mask & kept
    if indices:
        target = target.to(torch.int64)
        one = classes == 1 and mode != "softmax"  # a channel that is marked, or not
        known = (target >= 0) & (target < (2 if one else classes))
        wrong = ~known if kept is None else kept & ~known
        bad = _refuse(name, wrong, target, 2 if one else classes, ignored)
        index = torch.arange(1, 2, device=target.device) if one else torch.arange(classes, device=target.device)
        t = target.unsqueeze(1) == index.view(-1, *[1] * (input.dim() - 2))
        kept = None if kept is None else kept.unsqueeze(1)
    else:
        t = target.to(compute)
    if kept is not None:
        x, t = torch.where(kept, x, 0.0), torch.where(kept, t, torch.zeros_like(t))
    t = t.to(compute)
    if x.dim() == 2:
        x, t, kept = x.unsqueeze(2), t.unsqueeze(2), None if kept is None else kept.unsqueeze(2)
    return Pixels(x, t, kept, bad)


def _refuse(name: str, wrong: Tensor, target: Tensor, classes: int, ignored: int | None) -> Tensor | None:
    """Raises where a class does not exist; of what must not be waited for, the samples that have one."""
    per_sample = wrong.flatten(1).any(1) if wrong.dim() > 1 else wrong
    known = wrong.is_cpu and type(wrong) is Tensor and not is_compiling() and not transforms_active()
    if (not known and not (wrong.is_cuda and _ops.debugging())) or tracing_state() is not None:
        return per_sample
    if per_sample.any():
        place = wrong.nonzero()[0].tolist()
        raise IndexError(
            f"fastloss.{name}: target {int(target[tuple(place)])} at {tuple(place)} is {_ops.OUT_OF_BOUNDS}, expected "
            f"[0, {classes}) or ignore_index={ignored}"
        )
    return None


def _total(t: Tensor) -> Tensor:
    return t.sum(tuple(range(2, t.dim())), dtype=_SUMMED)


def _power(t: Tensor, exponent: Any) -> Tensor:
    """Of numbers in [0, 1]; at 0 the slope is 0."""
    return (of_dtype(exponent, t.dtype) * t.clamp_min(torch.finfo(t.dtype).tiny).log()).exp()


def plain(record: RegionLoss, posed: Posed) -> Measured:
    """The sums in plain PyTorch."""
    x, t, kept, bad = pixels_of(record.name, posed)
    mode, point = posed.mode, posed.point
    if mode == "softmax":
        p = x.softmax(1)
        q = 1 - p
        if posed.target.shape != posed.input.shape:
            # The value of the sum of the others, which does not cancel as p -> 1.
            others = (p.detach() * (1 - t)).sum(1, keepdim=True)
            q = torch.where(t > 0, others + (p.detach() - p), q)
    elif mode == "sigmoid":
        p, q = x.sigmoid(), (-x).sigmoid()
    else:
        p, q = x, 1 - x

    def counted(values: Tensor) -> Tensor:
        return _total(values if kept is None else torch.where(kept, values, 0.0))

    first = counted((p - t).square() if posed.squared else p * (1 - t))
    of_point = spread = None
    if point is not None:
        if point.softmax:
            log_p = x.log_softmax(1)
            nll = torch.where(t != 0, -log_p, 0.0)
            if point.kind == "focal":
                nll = nll * _power(torch.where(t != 0, -torch.expm1(log_p), 1.0), point.gamma)
            of_point, spread = counted(t * nll), counted(-log_p) if _smooths(point) else None
        else:
            y = t
            if point.kind == "cross_entropy":
                share = of_dtype(point.label_smoothing, x.dtype)
                y = t * (1 - share) + share / 2
            bce = F.softplus(-x) + x * (1 - y)
            if point.kind == "focal":
                bce = bce * _power(x.sigmoid() * (1 - t) + (-x).sigmoid() * t, point.gamma)
            of_point = counted(bce)
    pixels = torch.ones_like(t) if kept is None else kept.expand_as(t)
    made = Measured(first, _total(t * q), _total(t), of_point, spread, _total(pixels))
    if bad is None:
        return made
    bad = bad.unsqueeze(1)
    return made._replace(
        first=torch.where(bad, torch.nan, made.first),
        point=None if of_point is None else torch.where(bad, torch.nan, of_point),
    )


def _whole(t: Tensor) -> bool:
    return not (t.is_floating_point() or t.is_complex())


def _smooths(point: Point) -> bool:
    return isinstance(point.label_smoothing, Tensor) or point.label_smoothing != 0


def solve(record: RegionLoss, posed: Posed) -> Any:
    """Checks what is posed, and runs the kernel, or the formula where that is due."""
    posed = check(record, posed)
    if torch.is_grad_enabled() and not is_compiling():
        posed = posed._replace(
            input=savable(posed.input), target=savable(posed.target), weight=savable(posed.weight),
            options={**posed.options, "mask": savable(posed.options["mask"])},
        )  # fmt: skip
    reason = _why_not_kernel(record, posed)
    route.kernel_unless(record.name, reason)
    return evaluate(record, posed, plain if reason else run)


def _why_not_kernel(record: RegionLoss, posed: Posed) -> str:
    """Why the kernel does not take this call; empty when it does."""
    input, target, point, options = posed.input, posed.target, posed.point, posed.options
    mask, ignored = options["mask"], options["ignore_index"]
    if record.sorts:
        return "its pixels are sorted, which PyTorch does"
    reason = why_no_kernel(record.engine, [t for t in (input, target, mask) if t is not None], ("cpu",))
    if reason:
        return reason
    if is_compiling():
        return "torch.compile fuses the formula"
    if posed.mode == "probabilities":
        return "probabilities are summed in plain PyTorch"
    if input.dtype not in KERNEL_DTYPES:
        return f"{input.dtype} has no kernel"
    if input.numel() == 0:
        return "the input is empty"
    if target.requires_grad:
        return "the target needs a gradient"
    indices = target.shape == _ops.rows_shape(input.shape)
    if indices and not _whole(target):
        return "classes are no integers"
    if not indices and target.dtype not in _ELEMENTS:
        return f"{target.dtype} has no kernel"
    if not indices and ignored is not None:
        return "of dense targets elements may be ignored"
    if mask is not None and mask.dim() == input.dim():
        return "the mask is one of elements"
    if ignored is not None and abs(ignored) > 2**53:
        return "the ignore_index is no number that the operators take"
    if point is not None:
        if point.softmax != (posed.mode == "softmax"):
            return "softmax and sigmoid of the same logits are two reads"
        if point.softmax and point.kind == "focal" and not indices:
            return "a focal term of the softmax needs classes as targets"
        if None in (scalar(point.gamma), scalar(point.label_smoothing)):
            return "a hyperparameter of the pixels' term is a tensor that needs a gradient"
    return ""


_ELEMENTS = KERNEL_DTYPES | {torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64}


class Plan(NamedTuple):
    """A call of the operators besides tensors, with what makes the formula of it."""

    record: RegionLoss
    posed: Posed  # what `plain` reads, without tensors
    numbers: tuple[float, ...]


class Pass:
    """For `Kernel`: ``(plan, target, mask, input) -> Measured``, all of it."""

    fixed: tuple[None, ...] = (None,) * 4

    @staticmethod
    def forward(ctx: Any, plan: Plan, target: Tensor, mask: Tensor | None, input: Tensor) -> tuple[Tensor, ...]:
        ctx.save_for_backward(input, target, mask)
        made = _sums_of(plan, target, mask, input)
        ctx.mark_non_differentiable(made[2], made[5])  # mass and pixels
        return made

    @staticmethod
    def backward(ctx: Any, plan: Plan, *slopes: Tensor | None) -> list[Tensor]:
        input, target, mask = ctx.saved_tensors
        grad, given = _memory.empty_like(input), next(g for g in slopes if g is not None)
        every = [torch.zeros_like(given) if g is None else g for g in slopes]
        _ops.region_gradient(input, target, mask, plan.numbers, torch.stack(every, 1), grad)
        return [grad]

    @staticmethod
    def formula(ctx: Any, plan: Plan) -> tuple[Callable[[Tensor], tuple[Tensor, ...]], tuple[Tensor]]:
        input, target, mask = ctx.saved_tensors

        def of_input(input: Tensor) -> tuple[Tensor, ...]:
            options = {**plan.posed.options, "mask": mask}
            made = plain(plan.record, plan.posed._replace(input=input, target=target, options=options))
            return tuple(torch.zeros_like(made.mass) if t is None else t for t in made)

        return of_input, (input,)


def _sums_of(plan: Plan, target: Tensor, mask: Tensor | None, input: Tensor) -> tuple[Tensor, ...]:
    sums = torch.empty((input.shape[0], len(Measured._fields), input.shape[1]), dtype=_SUMMED, device=input.device)
    _ops.region_sums(input, target, mask, plan.numbers, sums)
    return sums.unbind(1)


def run(record: RegionLoss, posed: Posed) -> Measured:
    """The sums from the kernel."""
    input, target, point, options = posed.input, posed.target, posed.point, posed.options
    if target.shape == _ops.rows_shape(input.shape):
        target = target.to(torch.int64)
    mask, ignored = options["mask"], options["ignore_index"]
    numbers = (
        float(posed.mode == "sigmoid"), float(posed.squared), float(point is not None),
        *((0.0, 0.0) if point is None else (scalar(point.gamma), scalar(point.label_smoothing))),
        float(ignored is not None), float(ignored or 0),
    )  # fmt: skip
    bare = Posed(
        None, None, posed.mode, None, "none", {"ignore_index": ignored, "mask": None}, squared=posed.squared,
        point=None if point is None else point._replace(factors=(), gamma=numbers[3], label_smoothing=numbers[4]),
    )  # fmt: skip
    plan = Plan(record, bare, numbers)  # type: ignore[arg-type]
    try:
        if torch.is_grad_enabled() and input.requires_grad:
            sums = apply(Pass, plan, target, mask, input)
        else:
            sums = _sums_of(plan, target, mask, input)
    except RuntimeError as error:
        if _ops.OUT_OF_BOUNDS not in str(error) or _ops.names_its_loss(error):
            raise
        pixels_of(record.name, posed)  # says where
        raise IndexError(f"fastloss.{record.name}: {error}") from error
    first, under, mass, of_point, spread, pixels = sums
    smooths = point is not None and point.softmax and _smooths(point)
    return Measured(first, under, mass, None if point is None else of_point, spread if smooths else None, pixels)


def evaluate(record: RegionLoss, posed: Posed, measure: Callable[..., Measured] = plain) -> Any:
    """The loss of what is posed, and the statistics if they are wanted."""
    options, point = posed.options, posed.point
    weight = None if posed.weight is None else posed.weight.to(_SUMMED)
    micro = options.get("average") == "micro"
    numbers = {k: v if isinstance(v, str | bool) else of_dtype(v, _SUMMED) for k, v in posed.numbers.items()}
    if record.sorts:
        sums, terms = _sorted(record, posed, numbers)
    else:
        measured = measure(record, posed)
        region, of_region = measured, weight
        if not options["include_background"]:
            region = Measured(*(t if t is None else t[:, 1:] for t in measured))  # type: ignore[arg-type]
            of_region = weight if weight is None or point is None else weight[1:]
        sums = _sums(region, of_region, options["batch"], micro, posed.squared)
        terms, weight = record.formula(sums, **numbers), of_region
    terms, counted = _weighted(terms, sums, None if micro else weight, options)
    if point is not None:
        made = _with_point(posed, point, terms, counted, measured)
    else:
        made = _reduced(terms, counted, posed.reduction, options["normalizer"], options["empty"])
    made = made.to(options["loss_dtype"] or loss_dtype_of(posed.input))
    return (made, _stats(sums)) if options.get("return_stats") else made


def _sums(measured: Measured, weight: Tensor | None, batch: bool, micro: bool, squared: bool) -> Sums:
    made = [measured.first, measured.under, measured.mass, measured.pixels]
    if batch:
        made = [t.sum(0) for t in made]
    if micro:
        made = [(t if weight is None else t * weight).sum(-1) for t in made]
    first, under, mass, pixels = made
    return Sums(mass - under, first if squared else first + under, first, under, mass, pixels, weight)


def _weighted(
    terms: Tensor, sums: Sums, weight: Tensor | None, options: dict[str, Any]
) -> tuple[Tensor, Tensor | None]:
    """The terms times their weights, 0 where nothing is there if that is asked for, and what each counts; None: 1."""
    counted, absent = None, options.get("absent", "keep")
    if absent != "keep":
        there = sums.mass > 0
        terms = torch.where(there, terms, 0.0)
        counted = there.to(terms.dtype) if absent == "skip" else None
    if weight is not None and "absent" in options:  # else the formula has used them
        terms = terms * weight
        if options["class_mean"] == "weighted":
            counted = (torch.ones_like(terms) if counted is None else counted) * weight
    return terms, counted


def _quotient(total: Tensor, divisor: Tensor, empty: str) -> Tensor:
    if empty == "nan":
        return total / divisor
    nothing = divisor == 0
    return torch.where(nothing, 0.0, total / torch.where(nothing, 1.0, divisor))


def _reduced(values: Tensor, counted: Tensor | None, reduction: str, normalizer: Any, empty: str) -> Tensor:
    if reduction == "none":
        return values
    if reduction == "sum":
        return values.sum()
    if normalizer is not None:
        return _quotient(values.sum(), values.new_ones(()) * of_dtype(normalizer, _SUMMED), empty)
    if counted is None:
        return values.mean() if values.numel() or empty == "nan" else values.sum()
    return _quotient(values.sum(), counted.sum(), empty)


def _with_point(posed: Posed, point: Point, terms: Tensor, counted: Tensor | None, measured: Measured) -> Tensor:
    """The regions' term and the pixels', each with its factor: of all, or of each sample by itself."""
    options, classes, values = posed.options, posed.input.shape[1], measured.point
    normalizer, empty = options["normalizer"], options["empty"]
    assert values is not None
    if measured.spread is not None:
        share = of_dtype(point.label_smoothing, _SUMMED)
        values = values * (1 - share) + measured.spread * share / classes
    indices = posed.target.shape != posed.input.shape
    count = measured.mass if point.softmax and indices else measured.pixels
    if posed.weight is not None:
        w = posed.weight.to(_SUMMED)
        values, count = values * w, count * w if count is measured.mass else count
    if point.softmax and not indices:
        count = count / classes
    if posed.reduction == "mean":
        of_regions = _reduced(terms, counted, "mean", None, empty)
        of_pixels = _reduced(values, count, "mean", normalizer, empty)
    else:
        of_regions = terms
        if terms.dim() > 1:
            total = terms.sum(1)
            of_regions = total / terms.shape[1] if counted is None else _quotient(total, counted.sum(1), empty)
        of_pixels = _quotient(values.sum(1), count.sum(1), "zero")  # of no pixels
    made = _times(point.factors[0], of_regions) + _times(point.factors[1], of_pixels)
    return made.sum() if posed.reduction == "sum" else made


def _times(factor: Any, value: Tensor) -> Tensor:
    return value if type(factor) is float and factor == 1.0 else of_dtype(factor, _SUMMED) * value


def _stats(sums: Sums) -> RegionStats:
    both, apart, mass = (t.detach() for t in (sums.both, sums.apart, sums.mass))
    return RegionStats(2 * both / (2 * both + apart), both / (both + apart), mass)


def _sorted(record: RegionLoss, posed: Posed, numbers: dict[str, Any]) -> tuple[Sums, Tensor]:
    """The terms of a formula that sorts, of all pixels of each class in the last dimension."""
    x, t, kept, bad = pixels_of(record.name, posed)
    if posed.mode != "probabilities":
        x = x.softmax(1) if posed.mode == "softmax" else x.sigmoid()
    kept = torch.ones_like(t, dtype=torch.bool) if kept is None else kept.expand_as(t)
    first = 0 if posed.options["include_background"] else 1
    # (N, C', pixels), or (C', pixels of all)
    values, targets, counts = (
        v[:, first:].flatten(2) if not posed.options["batch"] else v[:, first:].transpose(0, 1).flatten(1)
        for v in (x, t, kept)
    )
    terms = record.formula(values, targets, counts, **numbers).to(_SUMMED)
    if bad is not None:
        terms = torch.where(bad.any() if posed.options["batch"] else bad.unsqueeze(1), torch.nan, terms)
    nothing = terms.new_zeros(())
    mass = targets.sum(-1, dtype=_SUMMED)
    return Sums(nothing, nothing, nothing, nothing, mass, nothing, None), terms
