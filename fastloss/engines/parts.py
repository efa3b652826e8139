"""Rows whose classes lie on several processes (vocabulary parallelism).

Note [Parts of a row]
Each process of a group has the logits of some classes, those of lower ranks first, and all targets. It measures its
part; what travels is the part's maximum and sum, the target's logit relative to that maximum, from the process that has
it, and where they are wanted entropy and spread. From these every process makes the outputs of the row, and the row's
maximum and sum, from which its own kernel makes the gradient of its own logits. Backward sends nothing: the loss and
its upstream gradient are the same on every process. Probabilities as targets go another way, that of
`fastloss.engines.sums`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from fastloss._core import operators as _ops
from fastloss._core import options as _options
from fastloss._core import route, row_formula
from fastloss._core.autograd import Kernel
from fastloss._core.formula import expm1
from fastloss._core.record import Record, SoftmaxLoss
from fastloss._core.stats import TokenHits, TokenLogprobs
from fastloss.distributed import gather
from fastloss.engines import outputs, softmax, sums
from fastloss.engines.outputs import Plan, Posed, gradient, measure
from fastloss.engines.softmax import bad_target
from fastloss.engines.sums import second_derivative

IGNORED = -100


class Classes(NamedTuple):
    """Of all processes.

    Attributes:
        first: The first class that is here.
        total: The number of classes.
        weights: What the weights of each process's classes add up to; their numbers, where there are no weights.
    """

    first: Tensor
    total: Tensor
    weights: Tensor


def classes_of(count: int, weight: Tensor | None, like: Tensor, group: Any) -> Classes:
    here = like.new_full((), count, dtype=torch.float64)
    total = here if weight is None else weight.detach().sum(dtype=torch.float64)
    counts, weights = gather(torch.stack([here, total]), group).unbind(1)
    return Classes(counts[: dist.get_rank(group)].sum().long(), counts.sum().long(), weights)


def _local(target: Tensor, classes: Classes, here: int, ignore_index: int) -> Tensor:
    """The targets as the operators take them: those of other processes one past the classes that are here."""
    y = target - classes.first
    y = torch.where((y >= 0) & (y < here), y, here)
    return torch.where(target == ignore_index, IGNORED, y)


class _Rows:
    """For `Kernel`: ``(plan, group, weights, target, mask, weight, input) -> logprob, entropy, lse, spread``."""

    fixed = (None,) * 7

    @staticmethod
    def forward(
        ctx: Any, plan: Plan, group: Any, weights: Tensor, target: Tensor | None, mask: Tensor | None,
        weight: Tensor | None, input: Tensor,
    ) -> Any:  # fmt: skip
        measured = measure(plan, input, target, mask, weight, part=True)
        result, state, ctx.weight_sum = merged(group, weights, target, mask, measured)
        ctx.save_for_backward(input, target, mask, state, result[1], weight)
        return result

    @staticmethod
    def backward(
        ctx: Any, plan: Plan, of_logprob: Any, of_entropy: Any, of_lse: Any, of_spread: Tensor | None
    ) -> list[Tensor]:
        of_lse = with_spread(of_lse, of_spread, ctx.weight_sum)
        *saved, weight = ctx.saved_tensors
        return gradient(ctx, plan, *saved, of_logprob, of_entropy, of_lse, weight, of_spread, True)

    @staticmethod
    def formula(ctx: Any, plan: Plan) -> Any:
        raise second_derivative(plan.name)


def with_spread(of_lse: Tensor | None, of_spread: Tensor | None, weight_sum: Tensor) -> Tensor | None:
    """The upstream gradient of the log-normaliser, with what reaches it by way of the spread."""
    if of_spread is None:
        return of_lse
    through = of_spread * weight_sum
    return through if of_lse is None else of_lse + through


def merged(
    group: Any, weights: Tensor, target: Tensor | None, mask: Tensor | None, measured: Any
) -> tuple[tuple[Tensor | None, ...], Tensor, Tensor]:
    """Of what processes have measured of their parts: the outputs of whole rows, what backward starts from, and the sum
    of all classes' weights."""
    state, relative, entropy, _, spread = measured
    here = torch.full_like(state[0], -torch.inf) if relative is None else relative
    planes = [state[0], state[1], here, *(t for t in (entropy, spread) if t is not None)]
    m, others, t, *more = gather(torch.stack(planes), group).double().unbind(1)
    top = m.amax(0)
    shift = (m - top).exp()
    sums = others + t.exp()  # of each part, relative to its own maximum
    rest, at = (others * shift).sum(0), (t + (m - top)).amax(0)
    e = at.exp()
    likely, total = rest < e, rest + e
    nll = torch.where(likely, -torch.log1p(-rest / total), total.log() - at)
    log_sum = torch.where(likely, at + nll, total.log())
    kept = torch.ones_like(top, dtype=torch.bool) if target is None else target != IGNORED
    kept = kept if mask is None else kept & mask
    log_share = (m - top) + sums.log() - log_sum
    share = log_share.exp()
    made: list[Tensor | None] = [None if target is None else -nll, None, top + log_sum, None]
    if entropy is not None:
        each = share * (more[0] - log_share)
        made[1] = torch.where(share == 0, 0.0, each).sum(0)
    if spread is not None:
        made[3] = (more[-1] - weights.view(-1, *[1] * top.dim()) * log_share).sum(0)
    result = [None if t is None else torch.where(kept, t, 0.0).to(state.dtype) for t in made]
    state = torch.stack([top, torch.where(here == -torch.inf, total, rest)]).to(state.dtype)
    return tuple(result), state, weights.sum().to(state.dtype)


def rows(
    record: Record, posed: Posed, classes: Classes, weight: Tensor | None = None, of: Callable[..., Any] | None = None
) -> tuple[Tensor | None, ...]:
    """Log-probability, entropy, log-normaliser, with weights the spread, of whole rows in the computing dtype; last,
    where ``of`` has looked for it, the class with the largest logit.

    ``of``: makes them of plan, group, weights, target, mask and weight, where ``posed`` has no logits.
    """
    name, input, target = record.name, posed.input, posed.target
    reason = outputs.why_not_kernel(posed)
    if reason:
        raise RuntimeError(f"fastloss.{name}: group= needs the kernel, but {reason}")
    if target is not None and target.dim() == input.dim():
        raise RuntimeError(
            f"fastloss.{name}: target has shape {tuple(target.shape)}, expected one class for each row with group="
        )
    here = input.shape[posed.dim]
    if target is not None:
        if target.is_cpu or _ops.debugging():
            mask, all_ = posed.mask, int(classes.total)
            if bad := bad_target(target, all_, posed.ignore_index, mask):
                raise IndexError(f"fastloss.{name}: {bad}")
        target = _local(target, classes, here, posed.ignore_index)
    plan = outputs.plan_of(name, record.formula, posed._replace(ignore_index=IGNORED))
    if of is not None:
        made: tuple[Tensor | None, ...] = of(plan, posed.group, classes.weights, target, posed.mask, weight)
        return made
    return *Kernel.apply(_Rows, plan, posed.group, classes.weights, target, posed.mask, weight, input), None


def largest(value: Tensor, index: Tensor, here: int, group: Any) -> Tensor:
    """The class of each row with the largest logit, the first of equals, from what ``max`` finds on each process."""
    values, classes = gather(value, group), gather(index + classes_of(here, None, value, group).first, group)
    return classes.gather(0, values.max(0, keepdim=True).indices).squeeze(0)


def token_logprobs(record: Record, posed: Posed, of: Callable[..., Any] | None = None) -> TokenLogprobs | TokenHits:
    """`outputs.solve` of rows in parts; ``of``: as in `rows`."""
    _options.check_sharing(record.name, None, posed.group)
    route.kernel_unless(record.name, outputs.why_not_kernel(posed))
    here = posed.input.shape[posed.dim]
    classes = classes_of(here, None, posed.input, posed.group)
    logprob, entropy, lse, _, top = rows(record, posed, classes, None, of)
    made = TokenLogprobs(logprob, entropy if posed.flags[0] else None, lse if posed.flags[1] else None)
    if not posed.hits:
        return made
    if top is None:
        value, index = posed.input.detach().max(posed.dim)
        top = largest(value, index, here, posed.group)
    return TokenHits(*made, hit=outputs.hits_of(posed, top))


def solve(
    record: SoftmaxLoss,
    inplace: bool,
    input: Tensor,
    target: Tensor,
    params: tuple[Any, ...],
    weight: Tensor | None,
    ignore_index: int,
    reduction: str,
    label_smoothing: Any,
    options: dict[str, Any],
    of: Callable[..., Any] | None = None,
) -> Tensor:
    """The loss of `softmax.solve` from its formula; weights and factors per class are those of the classes here.

    ``of``: as in `rows`.
    """
    name, group = record.name, options["group"]
    _options.require_tensors(name, input=input, target=target)
    _options.check_sharing(name, None, group)
    row_formula.check(record, input, params, weight, reduction, label_smoothing, options)
    if options.get("return_stats"):
        raise ValueError(f"fastloss.{name}: expected return_stats=False with group=")
    if any(isinstance(t, Tensor) and t.dim() and t.requires_grad for t in (weight, *params)):
        raise RuntimeError(f"fastloss.{name}: expected factors of classes that need no gradient with group=")
    reduction = _ops.REDUCTION_NAMES[_options.reduction_code(reduction)]
    soft = target.is_floating_point()
    mask, temperature, softcap = options.get("mask"), options.get("temperature", 1.0), options.get("softcap")
    posed = Posed(input, None if soft else target, ignore_index, mask, temperature, softcap, (False, True))
    posed = posed._replace(dim=row_formula.class_dim(input), inplace=inplace, group=group)
    posed = outputs.check(name, posed)
    if soft:
        way = _by_shares if record.probabilities else _of_probabilities
        return way(record, posed, target, params, weight, reduction, label_smoothing, options)
    route.kernel_unless(name, outputs.why_not_kernel(posed))
    compute, here = _ops.compute_dtype(input.dtype), input.shape[posed.dim]
    smooth = isinstance(label_smoothing, Tensor) or label_smoothing != 0
    ones = torch.ones(here, dtype=compute, device=input.device) if smooth else None
    _check_weight(name, weight, here)
    weight = None if weight is None else weight.to(compute)
    classes = classes_of(here, weight, input, group)
    spreads = (ones if weight is None else weight) if smooth else None
    logprob, _, lse, spread, _ = rows(record, posed, classes, spreads, of)
    assert logprob is not None
    assert lse is not None
    kept = outputs.kept_of(posed)
    local = _local(posed.target, classes, here, ignore_index)
    mine = kept & (local >= 0) & (local < here)

    def of_target(values: Tensor) -> Tensor:
        """The value of each row's class, from the process that has it."""
        found = torch.where(mine, values.to(compute)[local.clamp(0, here - 1)], 0.0)
        dist.all_reduce(found, group=group)
        return found

    # An ignored row holds numbers at which no formula has an infinite slope.
    safe = torch.where(kept, logprob, -1.0)
    known: dict[str, Any] = {"nll": -safe}
    if record.reads & {"p", "q"}:
        known |= {"p": safe.exp(), "q": -expm1(safe)}
    for what, number in zip(record.params, params, strict=True):
        per_class = isinstance(number, Tensor) and number.dim() > 0
        known[what] = of_target(number.detach()) if per_class else number
    w = 1.0 if weight is None else of_target(weight.detach())
    value = w * record.formula(**{what: known[what] for what in (*record.reads, *record.params)})
    if spread is not None:
        value = (1 - label_smoothing) * value + label_smoothing * spread / classes.total
    z_loss = options.get("z_loss", 0.0)
    if isinstance(z_loss, Tensor) or z_loss != 0:
        value = value + z_loss * w * lse.square()
    return _reduced(value, kept, kept * w, input, target, None, reduction, options)


def _check_weight(name: str, weight: Tensor | None, here: int) -> None:
    if weight is not None and weight.shape != (here,):
        raise RuntimeError(
            f"fastloss.{name}: weight has shape {tuple(weight.shape)}, expected ({here},), of the classes here"
        )


def _reduced(
    value: Tensor, kept: Tensor, mass: Tensor, input: Tensor, target: Tensor, weight: Tensor | None, reduction: str,
    options: dict[str, Any],
) -> Tensor:  # fmt: skip
    divisor = options.get("normalizer")
    if divisor is None:
        divisor = mass.sum(dtype=torch.float64)
        divisor = torch.where(divisor == 0, torch.nan, divisor)
    value = value if reduction == "none" else value.double()
    loss = row_formula.reduced(value, kept, reduction, divisor, options.get("empty", "nan"))
    return loss.to(options.get("loss_dtype") or row_formula.dtype_of_loss(input, target, weight))


def _by_shares(
    record: SoftmaxLoss, posed: Posed, target: Tensor, params: tuple[Any, ...], weight: Tensor | None, reduction: str,
    label_smoothing: Any, options: dict[str, Any],
) -> Tensor:  # fmt: skip
    """Cross entropy with probabilities as targets, by way of Note [Shares]."""
    name, input, dim = record.name, posed.input, posed.dim
    if reason := outputs.why_not_kernel(posed):
        raise RuntimeError(f"fastloss.{name}: group= needs the kernel, but {reason}")
    compute = torch.promote_types(row_formula.dtype_of_loss(input, target, weight), torch.float32)
    (here, none), t = sums.found(input, posed.mask, dim), target
    given: dict[str, Any] = {"mask": here, "loss_dtype": compute, "softcap": posed.softcap}
    given["temperature"] = posed.temperature
    if isinstance(label_smoothing, Tensor) or label_smoothing != 0:
        total = _total_of(input, dim, posed.group) if not route.explaining() else 1
        t = (1 - label_smoothing) * target + label_smoothing / total
    own = softmax.solve(record, False, input, t, params, weight, posed.ignore_index, "none", 0.0, given)
    lse = outputs.run(record, posed._replace(mask=here, inplace=False)).lse
    assert lse is not None
    each = t.movedim(dim, -1).to(compute)
    mass = each.sum(-1) if weight is None else each @ weight.to(compute)
    each, logs, mass = sums.shares(name, posed.group, own, lse.masked_fill(none, -torch.inf), mass)
    value = (each - mass * logs.log_softmax(-1)).sum(-1)
    z_loss = options.get("z_loss", 0.0)
    if isinstance(z_loss, Tensor) or z_loss != 0:
        value = value + z_loss * logs.logsumexp(-1).square()
    kept = torch.ones_like(here) if posed.mask is None else posed.mask
    return _reduced(value, kept, kept, input, target, weight, reduction, options)


def _total_of(input: Tensor, dim: int, group: Any) -> Tensor:
    return classes_of(input.shape[dim], None, input, group).total.double()


def _of_probabilities(
    record: SoftmaxLoss, posed: Posed, target: Tensor, params: tuple[Any, ...], weight: Tensor | None, reduction: str,
    label_smoothing: Any, options: dict[str, Any],
) -> Tensor:  # fmt: skip
    """Another loss of probabilities as targets, by way of Note [Sums of parts]."""
    name, input, dim, mask, group = record.name, posed.input, posed.dim, posed.mask, posed.group
    numbers, factor = softmax.numbers_of(record, params, label_smoothing, options)
    _check_weight(name, weight, input.shape[dim])
    if target.shape != input.shape or posed.ignore_index >= 0:
        raise RuntimeError(
            f"fastloss.{name}: input has shape {tuple(input.shape)}, target {tuple(target.shape)} and {target.dtype}, "
            f"ignore_index={posed.ignore_index}; expected probabilities of the classes of input and no ignore_index"
        )
    if unknown := [what for what, value in numbers.items() if value is None]:
        raise RuntimeError(
            f"fastloss.{name}: {unknown[0]} is a tensor that needs a gradient or lies on a device, expected a number "
            "with group= and probabilities as target"
        )
    route.kernel_unless(name, sums.WHY)
    first, total = dist.get_rank(group) == 0, _total_of(input, dim, group)
    smoothing, z_loss = numbers["label_smoothing"], numbers["z_loss"]
    given = {what: numbers[what] for what in record.params}
    given |= {} if factor is None else {record.factor: factor.double()}
    w = 1.0 if weight is None else weight.double()

    def logits(block: list[Tensor]) -> list[Tensor]:
        every = block[0].new_ones(1, dtype=torch.bool)
        return [row_formula.tempered(block[0], every, 1, numbers["softcap"] or None, numbers["temperature"])]

    def value(block: list[Tensor], logits: list[Tensor], s: list[Tensor]) -> Tensor:
        log_p, t = logits[0] - s[0].unsqueeze(1), block[1]
        known = {**given, "nll": -log_p}
        if record.reads & {"p", "q"}:
            known |= {"p": log_p.exp(), "q": -torch.expm1(log_p)}
        t = (1 - smoothing) * t + smoothing / total if smoothing else t
        row: Tensor = w * t * record.formula(**{what: known[what] for what in (*record.reads, *record.params)})
        return row.sum(1) + z_loss * s[0].square() if first and z_loss else row.sum(1)

    values = sums.values(sums.Sum(name, group, logits, value), (input, target), mask, dim)
    kept = torch.ones_like(values, dtype=torch.bool) if mask is None else mask
    return _reduced(values, kept, kept, input, target, weight, reduction, options)
