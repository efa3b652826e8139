"""Any formula of a row on one softmax.

Note [Blocks of rows]
A user's formula gets vectors of row quantities, and its derivatives in them are all that the gradient of the logits
needs (Note [Row outputs] in csrc/engines/outputs/contract.h). So forward takes the logits in blocks that stay in the
last cache: it measures a block, has the formula make the losses and PyTorch's autograd the derivatives, and writes the
block's gradient from the logits that are still there. Memory is read once and written once, whatever the formula. Where
the formula differentiates something else too, tensors that it captures, its graph stays that of the losses. The logits
are in that graph for derivatives of those gradients alone: until one is asked for, nothing goes that way, since the
gradient of the logits is there. Most formulas capture no such tensor, so a block's vectors are leaves at first.

The formula takes 0.05 ms a block and, with a cache full of logits instead of code, up to five times that. So logits of
one block at most make their gradient in backward, as do float16, ``reduction="none"``, compiled graphs, and CUDA, where
the formula's many small launches for each block would take longer than reading the logits again.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fastloss._core import memory as _memory
from fastloss._core import operators as _ops
from fastloss._core import options as _options
from fastloss._core import route
from fastloss._core._torch import tracing_state
from fastloss._core.autograd import apply, makes_gradient_now, scales_exactly
from fastloss._core.formula import expm1
from fastloss._core.guards import TORCH_ERRORS, is_compiling, is_dynamo_compiling, loss_dtype_of, why_not_normalizer
from fastloss._core.record import P, PublicLoss, RowOutputs, publish
from fastloss._core.row_formula import reduced
from fastloss.engines import outputs, softmax
from fastloss.engines.outputs import Plan, Posed

BLOCK_BYTES = 24 << 20  # of logits: most of a usual last cache; the gradient goes past it
TINY = 2 * softmax.TINY  # logits of which PyTorch's own operators are faster than a formula's graph on a kernel
_PLACE = -0.6931471805599453  # log 1/2: no formula that is finite inside (0, 1) has an infinite slope there


class Row:
    """Quantities of some rows, a vector each, as a formula of `flex_cross_entropy` sees them.

    Rows that are ignored hold numbers too, those of two equal logits; what the formula makes of them is dropped.

    Attributes:
        logprob: Log-probability of the target.
        lse: Log-sum-exp of the logits, after cap and temperature.
        entropy: Of the softmax, in nats. Measured when it is first read.
        prob: Probability of the target.
        others: 1 - prob, without cancellation.
        target: Class indices.
        index: Positions of the rows among all, in the order of the flattened targets.
    """

    def __init__(self, logprob: Tensor, target: Tensor, **make: Callable[[], Tensor]) -> None:
        self.logprob, self.target = logprob, target
        self._make: dict[str, Callable[[], Tensor]] = {
            "prob": logprob.exp, "others": lambda: -expm1(logprob), **make
        }  # fmt: skip
        self._made: dict[str, Tensor] = {}

    def _once(self, name: str) -> Tensor:
        if name not in self._made:
            self._made[name] = self._make[name]()
        return self._made[name]

    @property
    def lse(self) -> Tensor:
        return self._once("lse")

    @property
    def entropy(self) -> Tensor:
        return self._once("entropy")

    @property
    def prob(self) -> Tensor:
        return self._once("prob")

    @property
    def others(self) -> Tensor:
        return self._once("others")

    @property
    def index(self) -> Tensor:
        return self._once("index")


RowLoss = Callable[[Row], Tensor]


class Flexible(NamedTuple):
    """What is posed: rows, the formula, and how its values are reduced."""

    rows: Posed
    row_loss: RowLoss
    reduction: str
    normalizer: Any
    empty: str


def loss(of: Any, **facts: Any) -> Callable[[Callable[P, Any]], PublicLoss[P]]:
    """Makes a loss of a function that poses a formula of a row; ``of`` is the function of the rows' quantities."""

    def complete(pose: Callable[P, Any]) -> PublicLoss[P]:
        record = RowOutputs(pose.__name__, pose=pose, **facts)
        record.declare(of.record.formula)

        def function(*args: P.args, **kwargs: P.kwargs) -> Any:
            posed = pose(*args, **kwargs)
            made = _few(record.name, posed)
            return solve(record, posed) if made is None else made

        def reference(*args: P.args, **kwargs: P.kwargs) -> Any:
            posed = check(record, pose(*args, **kwargs))
            return plain(record, posed, posed.rows.input).to(_dtype(posed))

        return publish(record, function, reference, pose.__doc__ or "")

    return complete


def _dtype(posed: Flexible) -> torch.dtype:
    return posed.rows.loss_dtype or loss_dtype_of(posed.rows.input)


def check(record: RowOutputs, posed: Flexible) -> Flexible:
    """Refuses what neither way takes."""
    name, given = record.name, posed.rows
    _options.require_tensors(name, input=given.input, target=given.target)
    if not callable(posed.row_loss):
        raise TypeError(
            f"fastloss.{name}: row_loss is {type(posed.row_loss).__name__}, expected a function of a `Row` that "
            "returns a loss for each row"
        )
    reduction = _ops.REDUCTION_NAMES[_options.reduction_code(posed.reduction)]
    _options.check(name, reduction, posed.normalizer, posed.empty, given.loss_dtype)
    rows = outputs.check(name, given._replace(dim=1 if given.input.dim() > 1 else 0))
    if rows.target.dim() == rows.input.dim():
        raise RuntimeError(
            f"fastloss.{name}: target has shape {tuple(rows.target.shape)}, expected one class for each row of input "
            f"{tuple(rows.input.shape)}, whose classes are dimension {rows.dim}"
        )
    return posed._replace(rows=rows, reduction=reduction)


def _values(name: str, row_loss: RowLoss, row: Row) -> Tensor:
    made = row_loss(row)
    if not isinstance(made, Tensor) or made.shape != row.logprob.shape:
        got = tuple(made.shape) if isinstance(made, Tensor) else type(made).__name__
        raise ValueError(
            f"fastloss.{name}: row_loss returned {got}, expected a tensor of shape {tuple(row.logprob.shape)}, the "
            "loss of each row"
        )
    return made.to(row.logprob.dtype)


def _divisor(posed: Flexible, kept: Tensor) -> Tensor | float:
    if posed.reduction != "mean":
        return 1.0
    if posed.normalizer is not None:
        normalizer = posed.normalizer
        return normalizer.reshape(()) if isinstance(normalizer, Tensor) else float(normalizer)
    return kept.sum()


def _reduced(posed: Flexible, values: Tensor, kept: Tensor) -> Tensor:
    return reduced(values, kept, posed.reduction, _divisor(posed, kept), posed.empty)


def _in_graph(name: str, row_loss: RowLoss, row: Row) -> Tensor:
    """The values of rows whose log-probabilities may be in a graph: a formula of no row has a gradient too, zero."""
    values = _values(name, row_loss, row)
    if not values.requires_grad and row.logprob.requires_grad:
        values = torch.where(torch.ones_like(values, dtype=torch.bool), values, row.logprob)
    return values


def _few(name: str, posed: Flexible) -> Tensor | None:
    """The loss of a small matrix whose rows all count, from PyTorch's own operators; None for other calls."""
    rows, row_loss, reduction, normalizer, empty = posed
    input, target = rows.input, rows.target
    if (
        is_dynamo_compiling()
        or rows.mask is not None
        or rows.softcap is not None
        or rows.loss_dtype is not None
        or normalizer is not None
        or empty != "nan"
        or type(rows.temperature) is not float
        or rows.temperature != 1.0
        or not softmax.is_tiny_matrix(input, target, rows.ignore_index, TINY)
        or target.is_floating_point()
        or reduction not in _ops.REDUCTIONS
        or not callable(row_loss)
        or tracing_state() is not None
    ):
        return None
    if route.watched:
        route.take(name, "native", route.WHY_NATIVE)
    at = target.unsqueeze(1)
    try:
        log_p = input.log_softmax(1)
        logprob = log_p.gather(1, at).squeeze(1)
    except TORCH_ERRORS:
        return None  # the general way says what is wrong

    def entropy() -> Tensor:
        p = log_p.exp()
        made = -(p * log_p).sum(1)
        if made.isnan().any():  # 0 log 0 is 0
            made = -(p * log_p.clamp_min(torch.finfo(log_p.dtype).min)).sum(1)
        return made

    def others() -> Tensor:
        if (logprob < -0.1).all():
            return 1.0 - row.prob
        return log_p.scatter(1, at, -torch.inf).exp().sum(1)

    row = Row(
        logprob, target, lse=lambda: input.logsumexp(1), entropy=entropy, others=others,
        index=lambda: torch.arange(len(target)),
    )  # fmt: skip
    values = _in_graph(name, row_loss, row)
    made = values.mean() if reduction == "mean" else values.sum() if reduction == "sum" else values
    return made.to(_dtype(posed))


def whole(
    name: str,
    posed: Flexible,
    read: Callable[[tuple[bool, bool]], Any],
    kept: Tensor | None = None,
    every: bool = False,
) -> Tensor:
    """The loss from outputs of all rows at once; ``read`` makes those that the flags say.

    ``kept``: which rows count, if known; ``every``: whether all are known to.
    """
    target = posed.rows.target
    kept = outputs.kept_of(posed.rows) if kept is None else kept

    def of(value: Tensor, otherwise: float) -> Tensor:
        return value.reshape(-1) if every else torch.where(kept, value, otherwise).reshape(-1)

    made = read((False, True))
    row = Row(
        of(made.logprob, _PLACE),
        of(target, 0),
        lse=lambda: of(made.lse, -_PLACE),
        entropy=lambda: of(read((True, False)).entropy, -_PLACE),
        index=lambda: torch.arange(target.numel(), device=target.device),
    )
    values = _in_graph(name, posed.row_loss, row).reshape(target.shape)
    if every and posed.normalizer is None:
        return values.mean() if posed.reduction == "mean" else reduced(values, None, posed.reduction, 1.0, posed.empty)
    return _reduced(posed, values, kept)


def plain(record: RowOutputs, posed: Flexible, input: Tensor) -> Tensor:
    """The loss in plain PyTorch, in the computing dtype."""
    return _from_rows(record, posed, input, outputs.plain)


def _from_rows(record: RowOutputs, posed: Flexible, input: Tensor, way: Callable[..., Any], *kept: Any) -> Tensor:
    rows = posed.rows._replace(input=input)
    return whole(record.name, posed, lambda flags: outputs.computed(record, rows._replace(flags=flags), way), *kept)


def solve(record: RowOutputs, posed: Flexible) -> Tensor:
    """Checks what is posed, and runs the kernel, or the formula where that is due."""
    posed = check(record, posed)
    input = posed.rows.input
    reason = outputs.why_not_kernel(posed.rows) or why_not_normalizer(posed.normalizer, input.device)
    route.kernel_unless(record.name, reason)
    if reason:
        return plain(record, posed, input).to(_dtype(posed))
    now = input.is_cpu and makes_gradient_now(_ops.REDUCTIONS[posed.reduction], input.dtype)
    if now and input.nbytes > BLOCK_BYTES and torch.is_grad_enabled() and input.requires_grad:
        return _in_blocks(record, posed).to(_dtype(posed))
    kept = outputs.kept_of(posed.rows)
    every = input.is_cpu and not is_compiling() and bool(kept.all())
    # The kernel reads the logits again for the entropy, if the formula reads that.
    return _from_rows(record, posed, input, outputs.run, kept, every).to(_dtype(posed))


class _Block(NamedTuple):
    """Some of the rows: of logits and gradient a view, of each row's vectors a part."""

    logits: Tensor
    grad: Tensor
    target: Tensor
    mask: Tensor | None
    ignored: Tensor | None  # None: no row
    places: Tensor
    dim: int


def _blocks(rows: Posed, grad: Tensor, kept: Tensor) -> Iterator[_Block]:
    """The blocks: of a matrix if the rows can be seen as one, else along dimension 0."""
    logits, target, mask, dim = rows.input, rows.target, rows.mask, rows.dim
    ignored = None if kept.all() else ~kept
    index = torch.arange(kept.numel(), device=kept.device).view(kept.shape)
    if logits.dim() == 1:
        yield _Block(logits, grad, target, mask, ignored, index, dim)
        return
    if logits.dim() > 2:
        try:
            flat = [t.movedim(dim, -1).view(-1, t.shape[dim]) for t in (logits, grad)]
        except RuntimeError:
            pass
        else:
            (logits, grad), dim = flat, 1
            target, index = target.reshape(-1), index.reshape(-1)
            mask, ignored = (None if t is None else t.reshape(-1) for t in (mask, ignored))
    step = max(1, BLOCK_BYTES * logits.shape[0] // logits.nbytes)
    parts = [itertools.repeat(None) if t is None else t.split(step) for t in (target, mask, ignored, index)]
    for of_logits, of_grad, *others in zip(logits.split(step), grad.split(step), *parts):  # noqa: B905  # endless ones
        yield _Block(of_logits, of_grad, *others, dim)  # type: ignore[call-arg]


class _Whether:
    """Whether derivatives of a loss's gradient have been asked for."""

    twice = False


class _Leaves(outputs.Rows):
    """For `Kernel`: what was measured, with the logits behind it where second derivatives are asked for."""

    fixed = (None,) * 6

    @staticmethod
    def forward(ctx: Any, plan: Plan, whether: _Whether, measured: Any, *given: Any) -> Any:  # type: ignore[override]
        ctx.whether = whether
        return outputs.keep(ctx, measured, *given)

    @staticmethod
    def backward(ctx: Any, plan: Plan, *upstream: Tensor | None) -> Any:
        return outputs.Rows.backward(ctx, plan, *upstream) if ctx.whether.twice else [None]


def _in_blocks(record: RowOutputs, posed: Flexible) -> Tensor:
    """The loss with the gradient of the logits, of Note [Blocks of rows]."""
    rows, kept, whether = posed.rows, outputs.kept_of(posed.rows), _Whether()
    scale = kept.to(_ops.compute_dtype(rows.input.dtype)) / _divisor(posed, kept)
    values, grad = _by_block(record, posed, scale, whether)
    total = _reduced(posed, values, kept.reshape(-1))
    given = rows.input, rows.target, rows.mask
    call = _Attached(record, posed._replace(rows=rows._replace(input=None, target=None, mask=None)), scale, whether)
    return apply(_Attach, call, grad, total, *given)


def _by_block(record: RowOutputs, posed: Flexible, scale: Tensor, whether: _Whether) -> tuple[Tensor, Tensor]:
    """The values of all rows, in a graph if something else than the logits is, and the gradient of the logits."""
    rows = posed.rows
    grad = _memory.empty_like(rows.input)
    plan = outputs.plan_of(record.name, record.formula, rows)._replace(flags=(False, True))
    scale, made = scale.reshape(-1), []
    first, captures = 0, False
    for block in _blocks(rows, grad, outputs.kept_of(rows)):
        evaluated = _evaluate(record, posed, plan, block, whether if captures else None)
        if not captures and not _alone(evaluated):
            captures = True
            evaluated = _evaluate(record, posed, plan, block, whether)
        values, leaves, plan, state = evaluated
        last = first + values.shape[0]
        found: Iterator[Tensor | None] = itertools.repeat(None)
        if values.requires_grad:
            given = [t for t in leaves if t is not None]
            slopes = torch.autograd.grad(values, given, scale[first:last], retain_graph=captures, allow_unused=True)
            found = iter(slopes)
        of_logprob, of_entropy, of_lse = [None if t is None else next(found) for t in leaves]
        with torch.no_grad():
            outputs.write_gradient(
                plan, block.grad, block.logits, block.target, block.mask, state,
                None if of_entropy is None else leaves[1], of_logprob, of_entropy, of_lse,
            )  # fmt: skip
        made.append(values if captures else values.detach())
        first = last
    return torch.cat(made), grad


class _Evaluated(NamedTuple):
    """A formula of a block: its values, the row outputs that it may differentiate, and what these were measured with.

    Attributes:
        leaves: Log-probability, entropy (None: not read) and log-normaliser.
        plan: With the entropy, if that was read: the blocks that follow measure it at once.
        state: What the gradient starts from.
    """

    values: Tensor
    leaves: list[Tensor | None]
    plan: Plan
    state: Tensor


def _evaluate(record: RowOutputs, posed: Flexible, plan: Plan, block: _Block, whether: _Whether | None) -> _Evaluated:
    """``whether``: keeps the logits behind the values' graph; None: that ends at the row outputs."""
    about = block.target, block.mask

    def read(plan: Plan) -> tuple[Tensor, list[Tensor | None]]:
        with torch.no_grad():
            measured = outputs.computed(record, posed.rows, lambda *_: outputs.measure(plan, block.logits, *about))
            for value, place in zip(measured[1:4], (_PLACE, -_PLACE, -_PLACE), strict=True):
                if value is not None and block.ignored is not None:
                    value.masked_fill_(block.ignored, place)
        if whether is not None:
            return measured[0], [*apply(_Leaves, plan, whether, measured, *about, block.logits)]
        return measured[0], [None if t is None else t.requires_grad_() for t in measured[1:4]]

    with torch.enable_grad():
        plan = plan._replace(dim=block.dim)
        state, leaves = read(plan)

        def entropy() -> Tensor:
            nonlocal plan
            if leaves[1] is None:
                leaves[1] = read(plan._replace(flags=(True, False)))[1][1]
                plan = plan._replace(flags=(True, True))
            of_rows: Tensor = leaves[1].reshape(-1)  # type: ignore[union-attr]
            return of_rows

        logprob, _, lse = leaves
        target = block.target if block.ignored is None else block.target.masked_fill(block.ignored, 0)
        row = Row(
            logprob.reshape(-1),  # type: ignore[union-attr]
            target.reshape(-1),
            lse=lambda: lse.reshape(-1),  # type: ignore[union-attr]
            entropy=entropy,
            index=lambda: block.places.reshape(-1),
        )
        return _Evaluated(_values(record.name, posed.row_loss, row), leaves, plan, state)


def _alone(evaluated: _Evaluated) -> bool:
    """Whether the values depend on nothing that needs a gradient besides their leaves."""
    if evaluated.values.is_leaf:
        return not evaluated.values.requires_grad
    seen, waiting = set(), [evaluated.values.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable") and not any(node.variable is leaf for leaf in evaluated.leaves):
            return False
        waiting += [following for following, _ in node.next_functions]
    return True


class _Attached(NamedTuple):
    """Of a loss: what makes the gradient of the logits once more, with the tensors that the context has saved."""

    record: RowOutputs
    posed: Flexible
    scale: Tensor
    whether: _Whether

    def again(self, ctx: Any) -> Flexible:
        _, input, target, mask = ctx.saved_tensors
        return self.posed._replace(rows=self.posed.rows._replace(input=input, target=target, mask=mask))


class _Attach:
    """For `Kernel`: ``(call, grad, loss, *given) -> loss``, whose gradient in the input is ``grad`` times upstream."""

    fixed = (None,) * 3

    @staticmethod
    def forward(ctx: Any, call: _Attached, grad: Tensor, loss: Tensor, *given: Any) -> Tensor:
        ctx.grad = grad
        ctx.save_for_backward(loss, *given)
        return loss.clone()

    @staticmethod
    def backward(ctx: Any, call: _Attached, upstream: Tensor) -> list[Tensor | None]:
        if call.whether.twice:  # by way of the graph of the losses
            return [upstream, None, None, None]
        grad, ctx.grad = ctx.grad, None
        if grad is not None and scales_exactly(grad, float(upstream)):
            _ops.scale_(grad, upstream)
        else:
            scale = call.scale * upstream.to(call.scale.dtype)
            grad = _by_block(call.record, call.again(ctx), scale, _Whether())[1]
        return [upstream, grad, None, None]

    @staticmethod
    def formula(ctx: Any, call: _Attached) -> tuple[Callable[..., Tensor], Any]:
        call.whether.twice = call.whether.twice or ctx.needs_input_grad[3]
        if call.whether.twice:
            return lambda loss, *_: loss, ctx.saved_tensors
        posed = call.again(ctx)
        return lambda _, input, *fixed: plain(call.record, posed, input), ctx.saved_tensors
