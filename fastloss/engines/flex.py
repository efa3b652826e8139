"""Any formula of a row on one softmax.

Note [Blocks of rows]
A user's formula gets vectors of row quantities, and its derivatives in them are all that the gradient of the logits
needs (Note [Row outputs] in csrc/engines/outputs/contract.h). So forward takes the logits in blocks that stay in the
last cache: it measures a block, has the formula make the losses and PyTorch's autograd the derivatives, and writes the
block's gradient from the logits that are still there. Memory is read once and written once, whatever the formula. Where
the formula differentiates something else too, tensors that it captures, its graph stays that of the losses. The logits
are in that graph for derivatives of those gradients alone: until one is asked for, nothing goes that way, since the
gradient of the logits is there.

Where the gradient is not made in forward (few logits, float16, ``reduction="none"``, compiled graphs), and on CUDA,
where the formula's many small launches for each block would take longer than reading the logits again, the block is all
rows.
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
from fastloss._core.autograd import apply, makes_gradient_now, scales_exactly
from fastloss._core.formula import expm1
from fastloss._core.guards import loss_dtype_of, why_not_normalizer
from fastloss._core.record import P, PublicLoss, RowOutputs, publish
from fastloss._core.row_formula import reduced
from fastloss.engines import outputs
from fastloss.engines.outputs import Plan, Posed

BLOCK_BYTES = 16 << 20  # of logits: half a usual last cache; the gradient goes past it
SMALL_BYTES = (
    1 << 20
)  # logits that are in a cache anyway: to read them again costs less than a graph of the block's own
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

    def __init__(
        self, logprob: Tensor, lse: Tensor, entropy: Callable[[], Tensor], target: Tensor, index: Tensor
    ) -> None:
        self.logprob, self.lse, self.target, self.index = logprob, lse, target, index
        self._entropy, self._made = entropy, {}  # type: ignore[var-annotated]

    def _once(self, name: str, make: Callable[[], Tensor]) -> Tensor:
        if name not in self._made:
            self._made[name] = make()
        made: Tensor = self._made[name]
        return made

    @property
    def entropy(self) -> Tensor:
        return self._once("entropy", self._entropy)

    @property
    def prob(self) -> Tensor:
        return self._once("prob", self.logprob.exp)

    @property
    def others(self) -> Tensor:
        return self._once("others", lambda: -expm1(self.logprob))


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
            return solve(record, pose(*args, **kwargs))

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


def whole(name: str, posed: Flexible, read: Callable[[tuple[bool, bool]], Any]) -> Tensor:
    """The loss from outputs of all rows at once; ``read`` makes those that the flags say."""
    target, kept = posed.rows.target, outputs.kept_of(posed.rows)
    flat = kept.reshape(-1)
    logprob, _, lse = read((False, True))
    row = Row(
        torch.where(flat, logprob.reshape(-1), _PLACE),
        torch.where(flat, lse.reshape(-1), -_PLACE),
        lambda: torch.where(flat, read((True, False)).entropy.reshape(-1), -_PLACE),
        torch.where(kept, target, 0).reshape(-1),
        torch.arange(flat.shape[0], device=flat.device),
    )
    values = _values(name, posed.row_loss, row)
    if not values.requires_grad and logprob.requires_grad:  # a formula of no row has a gradient too, zero
        values = torch.where(torch.ones_like(flat), values, row.logprob)
    return _reduced(posed, values.reshape(kept.shape), kept)


def plain(record: RowOutputs, posed: Flexible, input: Tensor) -> Tensor:
    """The loss in plain PyTorch, in the computing dtype."""
    return _from_rows(record, posed, input, outputs.plain)


def _from_rows(record: RowOutputs, posed: Flexible, input: Tensor, way: Callable[..., Any]) -> Tensor:
    rows = posed.rows._replace(input=input)
    return whole(record.name, posed, lambda flags: outputs.computed(record, rows._replace(flags=flags), way))


def solve(record: RowOutputs, posed: Flexible) -> Tensor:
    """Checks what is posed, and runs the kernel, or the formula where that is due."""
    posed = check(record, posed)
    input = posed.rows.input
    reason = outputs.why_not_kernel(posed.rows) or why_not_normalizer(posed.normalizer, input.device)
    route.kernel_unless(record.name, reason)
    if reason:
        return plain(record, posed, input).to(_dtype(posed))
    now = input.is_cpu and makes_gradient_now(_ops.REDUCTIONS[posed.reduction], input.dtype)
    if now and input.nbytes >= SMALL_BYTES and torch.is_grad_enabled() and input.requires_grad:
        return _in_blocks(record, posed).to(_dtype(posed))
    # The kernel reads the logits again for the entropy, if the formula reads that.
    return _from_rows(record, posed, input, outputs.run).to(_dtype(posed))


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
    rows, name = posed.rows, record.name
    grad = _memory.empty_like(rows.input)
    scale, made = scale.reshape(-1), []
    first, wants_entropy = 0, False
    whole = outputs.plan_of(name, record.formula, rows)
    for block in _blocks(rows, grad, outputs.kept_of(rows)):
        plan = whole._replace(flags=(wants_entropy, True), dim=block.dim)

        def read(plan: Plan, block: _Block = block) -> Any:
            with torch.no_grad():
                about = block.target, block.mask
                measured = outputs.computed(record, rows, lambda *_: outputs.measure(plan, block.logits, *about))
                for value, place in zip(measured[1:4], (_PLACE, -_PLACE, -_PLACE), strict=True):
                    if value is not None and block.ignored is not None:
                        value.masked_fill_(block.ignored, place)
            return measured[0], apply(_Leaves, plan, whether, measured, block.target, block.mask, block.logits)

        with torch.enable_grad():
            state, (logprob, entropy, lse) = read(plan)

            def of_entropy(plan: Plan = plan, read: Any = read) -> Tensor:
                nonlocal entropy, wants_entropy
                if entropy is None:  # in the first block that reads it; those that follow measure it at once
                    wants_entropy = True
                    entropy = read(plan._replace(flags=(True, False)))[1][1]
                return entropy.reshape(-1)

            target = block.target if block.ignored is None else block.target.masked_fill(block.ignored, 0)
            target = target.reshape(-1)
            row = Row(logprob.reshape(-1), lse.reshape(-1), of_entropy, target, block.places.reshape(-1))
            values = _values(name, posed.row_loss, row)
        last = first + values.shape[0]
        found: list[Tensor | None] = [None, None, None]
        leaves = [t for t in (logprob, lse, entropy) if t is not None]
        if values.requires_grad:
            alone = _alone(values, leaves)
            found = [
                *torch.autograd.grad(values, leaves, scale[first:last], retain_graph=not alone, allow_unused=True),
                None,
            ]
            values = values.detach() if alone else values
        of_logprob, of_lse, of_h = found[:3]
        with torch.no_grad():
            outputs.write_gradient(
                plan, block.grad, block.logits, block.target, block.mask, state,
                None if of_h is None else entropy, of_logprob, of_h, of_lse,
            )  # fmt: skip
        made.append(values)
        first = last
    return torch.cat(made), grad


def _alone(values: Tensor, leaves: list[Tensor]) -> bool:
    """Whether the values depend on nothing that needs a gradient besides these leaves."""
    seen, waiting = {leaf.grad_fn for leaf in leaves}, [values.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
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
