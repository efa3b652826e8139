"""Rows of the logits of a linear layer: any function of a row, strip by strip.

Note [Rows of a layer]
Strips are those of Note [Heads] in `fastloss.engines.linear`. What is made of a strip is a function in autograd, whose
kernels read the strip and write its gradient over it. A scalar is the sum of what strips contribute, so each strip is
differentiated when it is there, and backward scales. Numbers of rows have upstream gradients that only backward knows:
backward makes strips again. So do scalars of float16 on a device, whose gradients need the factor of GradScaler.

Graphs have one operator, as of Note [Traced heads]. So a call says what it makes of rows in numbers and words.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fastloss._core import operators as _ops
from fastloss._core import options as _options
from fastloss._core import route
from fastloss._core._torch import F, tracing_state
from fastloss._core.autograd import apply, savable
from fastloss._core.guards import (
    TENSORS,
    TORCH_ERRORS,
    divisor_of,
    is_compiling,
    is_dynamo_compiling,
    is_placed,
    loss_dtype_of,
    why_no_kernel,
    why_not_normalizer,
)
from fastloss._core.record import (
    DivergenceLoss,
    LayerDivergence,
    LayerOutputs,
    P,
    Problem,
    PublicLoss,
    publish,
)
from fastloss._core.stats import TokenHits, TokenLogprobs
from fastloss.engines import divergence, flex, linear, outputs
from fastloss.engines.outputs import Posed
from fastloss.engines.similarity import strips

Of = Callable[..., tuple[Tensor | None, ...]]
_RECORDS: dict[str, Any] = {}


class Layer(NamedTuple):
    """A linear layer and what it is given: hidden states (..., D), weight (C, D), bias (C)."""

    input: Tensor
    weight: Tensor
    bias: Tensor | None = None
    memory_budget: Any = None

    def vectors(self) -> tuple[Tensor, Tensor, Tensor | None]:
        return self[:3]


class Teacher(NamedTuple):
    """The layer that makes the teacher's logits of its hidden states, which are the target."""

    weight: Tensor
    bias: Tensor | None


# ---------------------------------------------------------------------------------------------------------- the strips


class What(NamedTuple):
    """What is made of the logits of some rows: numbers of each, or a scalar that strips contribute to.

    Attributes:
        kind: Key of `_KINDS`.
        loss: Name of the function.
        numbers, words: Its hyperparameters.
    """

    kind: str
    loss: str
    numbers: tuple[float, ...]
    words: tuple[str, ...] = ()

    def of(self) -> Of:
        """The function of logits, whether their memory may be written over, and what else is given of these rows."""
        return _KINDS[self.kind](self)


class Given(NamedTuple):
    """Tensors in which strips do not differentiate.

    Attributes:
        kept: Which rows count; None if all do.
        mask, weight: Those of rows.
        target: Classes of rows, or a teacher's numbers, perhaps with the classes that they are of, or hidden states.
        divisor: Of a mean.
        teacher, teacher_bias: The layer of the teacher's hidden states.
    """

    kept: Tensor | None
    target: Tensor | None
    mask: Tensor | None = None
    weight: Tensor | None = None
    classes: Tensor | None = None
    divisor: Tensor | None = None
    teacher: Tensor | None = None
    teacher_bias: Tensor | None = None

    def cut(self, cut: Callable[[Any], Any]) -> Given:
        """What belongs to some rows."""
        rows = {what: cut(t) for what, t in zip(self._fields[1:5], self[1:5], strict=True)}
        return self._replace(kept=None, **rows)


class Call(NamedTuple):
    """What strips are about besides tensors.

    Attributes:
        what: Is made of them.
        reduced: Whether it makes a scalar.
        dtype: Products are made in it.
        memory_budget: Bytes of a strip.
    """

    what: What
    reduced: bool
    dtype: torch.dtype
    memory_budget: int


class _Tile(torch.autograd.Function):
    """Logits that are no leaf, in the memory of one, which a gradient may be written over."""

    @staticmethod
    def forward(ctx: Any, leaf: Tensor) -> Tensor:
        return leaf.detach()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad


class Walk:
    """The strips of a layer's logits, without rows that do not count.

    Attributes:
        rows, columns, bias: The vectors, as products take them.
    """

    def __init__(self, vectors: Any, kept: Tensor | None, dtype: torch.dtype, memory_budget: int) -> None:
        hidden, self.columns = (t.detach().to(dtype) for t in vectors[:2])
        self.bias = None if vectors[2] is None else vectors[2].detach().to(dtype)
        self._count = hidden.shape[0]
        self.rows: Tensor = hidden
        self._index: Tensor | None = None
        if kept is not None:
            self.rows, self._index = linear.kept_rows(hidden, kept)
        self._strip = strips.Strips(self.rows, self.columns.shape[0], memory_budget, False, False, memory_budget)

    def __iter__(self) -> Iterator[tuple[int, Tensor, Callable[[Any], Any]]]:
        """Of each strip the first row, the logits, and what cuts a tensor with an entry per row."""
        for begin, end in self._strip.bounds:

            def cut(t: Tensor | None, begin: int = begin, end: int = end) -> Any:
                if t is None or self._index is None:
                    return self._strip.cut(t, begin, end)
                return t.index_select(0, self._index[begin:end])

            yield begin, linear.logits_of(self._strip, begin, end, self.columns, self.bias), cut

    def placed(self, t: Tensor) -> Tensor:
        """With zeros where rows do not count."""
        if self._index is None:
            return t
        return t.new_zeros(self._count, *t.shape[1:]).index_copy_(0, self._index, t)

    def memory(self, want: tuple[bool, ...]) -> list[Tensor | None]:
        return linear.memory_of_gradients(self.rows, self.columns, want)

    def add(self, made: list[Tensor | None], begin: int, grad: Tensor, want: tuple[bool, ...]) -> None:
        """Adds what the gradient of a strip's logits contributes."""
        linear.add_gradients(made, self.rows[begin : begin + grad.shape[0]], self.columns, grad, begin, want)


def _evaluate(call: Call, given: Given, vectors: Any, want: tuple[bool, ...], upstream: Any = None) -> tuple[Any, Any]:
    """What rows make, and the gradients: of a scalar for an upstream gradient of 1."""
    walk, of = Walk(vectors, given.kept, call.dtype, call.memory_budget), call.what.of()
    made, found = walk.memory(want), []
    for begin, tile, cut in walk:
        if not any(want):
            with torch.no_grad():
                found.append(of(tile, False, given.cut(cut)))
            continue
        with torch.enable_grad():
            leaf = tile.detach().requires_grad_()
            outcome = of(_Tile.apply(leaf), True, given.cut(cut))
        ones = [None if t is None else torch.ones_like(t) for t in outcome]
        seeds = ones if upstream is None else [cut(g) for g in upstream]
        both = [
            (t, g) for t, g in zip(outcome, seeds, strict=True) if t is not None and g is not None and t.requires_grad
        ]
        (grad,) = torch.autograd.grad([t for t, _ in both], leaf, [g for _, g in both])
        found.append(tuple(None if t is None else t.detach() for t in outcome))
        walk.add(made, begin, grad, want)
    made[0] = None if made[0] is None else walk.placed(made[0])
    each = zip(*found, strict=True)
    if call.reduced:
        return tuple(torch.stack(values).sum() for values in each), made
    return tuple(None if values[0] is None else walk.placed(torch.cat(values)) for values in each), made


def evaluate(call: Call, given: Given, vectors: Any, want: tuple[bool, ...], upstream: Any = None) -> tuple[Any, Any]:
    with without_autocast(vectors[0]):
        return _evaluate(call, given, vectors, want, upstream)


def without_autocast(like: Tensor) -> Any:
    device = like.device.type
    return torch.autocast(device, enabled=False) if _ops.autocasts(device) else contextlib.nullcontext()


class _Strips:
    """For `Kernel`: ``(call, given, hidden, weight, bias) -> outputs``."""

    fixed = (None,) * 3

    @staticmethod
    def forward(ctx: Any, call: Call, given: Given, *vectors: Tensor | None) -> Any:
        want = ctx.needs_input_grad[3:] if call.reduced else (False,) * 3
        found, made = evaluate(call, given, vectors, want)
        ctx.made = made if call.reduced else None
        ctx.save_for_backward(*vectors, *given)
        return found

    @staticmethod
    def backward(ctx: Any, call: Call, *upstream: Tensor | None) -> list[Tensor | None]:
        saved, want = ctx.saved_tensors, ctx.needs_input_grad[3:]  # once: a checkpoint hands its tensors out once
        vectors, given = saved[:3], Given(*saved[3:])
        made, ctx.made = ctx.made, None
        factor = None
        if call.reduced:
            factor = upstream[0]
            assert factor is not None
            factor = None if factor.is_cpu and float(factor) == 1.0 else factor.double()
        if made is None:
            made = evaluate(call, given, vectors, want, None if call.reduced else upstream)[1]
        return [None if t is None else linear.scaled(g, factor, t.dtype) for g, t in zip(made, vectors, strict=True)]

    @staticmethod
    def formula(ctx: Any, call: Call) -> tuple[Callable[..., Any], Any]:
        saved = ctx.saved_tensors
        given = Given(*saved[3:])

        def formula(*vectors: Any) -> Any:
            hidden, *layer = (None if t is None else t.to(call.dtype) for t in vectors)
            logits = F.linear(_cleaned(hidden, given.kept), *layer)  # type: ignore[arg-type]
            return call.what.of()(logits, False, given)

        return formula, saved[:3]


def _run(call: Call, vectors: tuple[Any, ...], given: Given) -> Any:
    if is_compiling():
        return _trace(call, vectors, given)
    if torch.is_grad_enabled() and any([t is not None and t.requires_grad for t in vectors]):
        return apply(_Strips, call, Given(*map(savable, given)), *map(savable, vectors))
    return evaluate(call, given, vectors, (False,) * 3)[0]


def _cleaned(hidden: Tensor, kept: Tensor | None) -> Tensor:
    """The hidden states, with zeros where a row is ignored: 0 * NaN would enter the classifier's gradient."""
    if kept is None or _options.known(kept.all()):
        return hidden
    return torch.where(kept.unsqueeze(-1), hidden, 0.0)


# ------------------------------------------------------------------------------------------------------------ the path


def _check(name: str, layer: Layer, group: Any = None) -> Tensor:
    """Refuses what is no layer; logits as checks look at them, without numbers."""
    input, weight, bias, budget = layer
    _options.require_tensors(name, input=input, linear_weight=weight)
    _options.check_tensors(name, linear_bias=bias)
    _options.check_sharing(name, budget, group)
    if is_placed(input) or is_placed(weight):
        from fastloss.engines import placed

        placed.check_layer(name, input, weight, bias)
    _check_shapes(name, ("input", input), ("linear_weight", weight), ("linear_bias", bias))
    return input.detach().new_empty(()).expand(*input.shape[:-1], weight.shape[0])


def _check_shapes(
    name: str, input: tuple[str, Tensor], weight: tuple[str, Tensor], bias: tuple[str, Tensor | None]
) -> None:
    what = ""
    if weight[1].dim() != 2 or not input[1].dim() or input[1].shape[-1] != weight[1].shape[1]:
        what = (
            f"{input[0]} has shape {tuple(input[1].shape)} and {weight[0]} {tuple(weight[1].shape)}, expected (..., D) "
            "and (C, D)"
        )
    elif bias[1] is not None and bias[1].shape != weight[1].shape[:1]:
        what = f"{bias[0]} has shape {tuple(bias[1].shape)}, expected ({weight[1].shape[0]},), one summand per class"
    if what:
        raise RuntimeError(f"fastloss.{name}: {what}")


def _why_not_strips(record: Any, layer: Layer, others: tuple[Any, ...], group: Any) -> str:
    """Why logits are made as a whole; empty if strips are due."""
    vectors, compiling = [t for t in layer.vectors() if t is not None], is_compiling()
    if compiling and group is not None:
        return "a graph is made"
    reason = why_no_kernel(record.engine, [*vectors, *(t for t in others if t is not None)], ("cpu", "cuda"))
    if reason or (type(layer.input) not in TENSORS and not compiling):
        return reason or "a fake tensor has no numbers"
    if not all([t.numel() for t in vectors]) or linear.product_dtype(*vectors) is None:
        return "there are no products of these vectors"
    if compiling:
        return ""
    rows = layer.input.detach().reshape(-1, layer.input.shape[-1])
    if linear.is_small(rows, layer.weight, linear.bytes_of(layer.memory_budget)):
        return "the logits fit a strip"
    return ""


def _few(layer: Layer, target: Tensor | None = None, ignored: Any = None) -> bool:
    """Whether a call without a mask should not be looked at before PyTorch's products and the function of logits."""
    return (
        layer.memory_budget is None
        and not is_dynamo_compiling()
        and tracing_state() is None
        and linear.few(layer.input, layer.weight)
        and (target is None or linear.every_row_counts(layer.input, target, ignored))
    )


def _shared(name: str, layer: Layer, group: Any) -> Layer:
    """The layer, with hidden states that the processes of a group have in common."""
    return layer if group is None else layer._replace(input=_wide(name, layer, group).to(layer.input.dtype))


def _wide(name: str, layer: Layer, group: Any) -> Tensor:
    from fastloss.engines import shards

    return shards.shared(name, layer.input, group)


def _logits(layer: Layer, kept: Tensor | None) -> Tensor:
    return F.linear(_cleaned(layer.input, kept), layer.weight, layer.bias)


def _call(layer: Layer, what: What, reduced: bool, tiles: int = 1) -> tuple[Call, tuple[Any, ...]]:
    """For these strips, of which each takes the memory of so many, and the vectors."""
    vectors = layer.vectors()
    dtype = linear.product_dtype(*vectors)
    assert dtype is not None
    budget = linear.strip_bytes(linear.bytes_of(layer.memory_budget), layer.input, layer.weight.shape[0], tiles)
    hidden = layer.input.reshape(-1, layer.input.shape[-1])
    return Call(what, reduced, dtype, budget), (hidden, *vectors[1:])


def _flat(t: Tensor | None, dims: int) -> Tensor | None:
    """With one dimension of rows in the place of ``dims``."""
    return t if t is None or dims == 1 else t.reshape(-1, *t.shape[dims:])


# --------------------------------------------------------------------------------------------------------- the outputs


def rows(of: Any, **facts: Any) -> Callable[[Callable[P, Any]], PublicLoss[P]]:
    """Makes of a function that poses a layer and what it wants of its rows the function that computes it."""

    def complete(pose: Callable[P, Any]) -> PublicLoss[P]:
        record = _RECORDS[pose.__name__] = LayerOutputs(pose.__name__, pose=pose, **facts)
        record.declare(of.record.formula)

        def function(*args: P.args, **kwargs: P.kwargs) -> Any:
            layer, posed = pose(*args, **kwargs)
            if posed.mask is None:
                try:
                    if posed.group is None and _few(layer, posed.target, posed.ignore_index):
                        return of(
                            F.linear(*layer.vectors()), posed.target, temperature=posed.temperature,
                            return_entropy=posed.flags[0], return_lse=posed.flags[1], return_hits=posed.hits,
                            softcap=posed.softcap, ignore_index=posed.ignore_index, loss_dtype=posed.loss_dtype,
                        )  # fmt: skip
                except TORCH_ERRORS:
                    pass  # the general way says what is wrong, or does it differently
            return outputs.named(outputs.converted(_outputs(record, layer, posed), posed._replace(input=layer.input)))

        def reference(*args: P.args, **kwargs: P.kwargs) -> Any:
            layer, posed = pose(*args, **kwargs)
            posed = outputs.check(record.name, posed._replace(input=_check(record.name, layer)))
            _refuse_group(record.name, posed.group)
            posed = posed._replace(input=_logits(layer, _kept(posed)))
            made = outputs.converted(outputs.computed(record, posed, outputs.plain), posed)
            return outputs.named(outputs.with_hits(made, posed))

        return publish(record, function, reference, pose.__doc__ or "")

    return complete


def _refuse_group(name: str, group: Any) -> None:
    if group is not None:
        raise ValueError(f"fastloss.{name}: expected group=None: the formula is that of whole rows")


def _kept(posed: Posed) -> Tensor | None:
    """Which rows count; None if all do."""
    mask: Tensor | None = posed.mask
    return mask if posed.target is None else outputs.kept_of(posed)


def _outputs(record: LayerOutputs, layer: Layer, posed: Posed) -> Any:
    name = record.name
    if is_placed(layer.input) or is_placed(layer.weight):
        return _placed_outputs(record, layer, posed)
    posed = outputs.check(name, posed._replace(input=_check(name, layer, posed.group)))
    kept, dims = _kept(posed), layer.input.dim() - 1
    reason = _why_not_strips(record, layer, (posed.target, posed.mask), posed.group) or outputs.why_not_kernel(posed)
    if reason:
        return outputs.solve(record, posed._replace(input=_logits(_shared(name, layer, posed.group), kept)))
    if posed.group is not None:
        from fastloss.engines import shards

        return shards.token_logprobs(record, layer, posed)
    route.kernel_unless(name, "")
    if not is_compiling():
        _refuse_bad_classes(name, posed)
    numbers = (posed.temperature, posed.softcap or 0, posed.ignore_index, *posed.flags, posed.hits)
    call, vectors = _call(layer, What("outputs", name, tuple([float(x) for x in numbers])), False)
    made = _run(call, vectors, Given(*[_flat(t, dims) for t in (kept, posed.target, posed.mask)]))
    shape = layer.input.shape[:-1]
    kind: Any = TokenHits if posed.hits else TokenLogprobs
    return kind(*(None if t is None else t.view((*shape, *t.shape[1:])) for t in made))


def _refuse_bad_classes(name: str, posed: Posed) -> None:
    if posed.target is not None and (posed.target.is_cpu or _ops.debugging()) and (bad := outputs.bad_class(posed)):
        raise IndexError(f"fastloss.{name}: {bad}")


def _rows_of(what: What, input: Any, given: Given) -> Posed:
    temperature, softcap, ignored, entropy, lse, hits = what.numbers
    flags = bool(entropy), bool(lse)
    return Posed(input, given.target, int(ignored), given.mask, temperature, softcap or None, flags, 1, hits=bool(hits))


def _outputs_of(what: What) -> Of:
    record = _RECORDS[what.loss]

    def of(logits: Tensor, inplace: bool, given: Given) -> Any:
        posed = _rows_of(what, logits, given)._replace(inplace=inplace)
        return tuple(outputs.with_hits(outputs.run(record, posed), posed))

    return of


def _placed_outputs(record: LayerOutputs, layer: Layer, posed: Posed) -> Any:
    """The same of a layer of DTensors."""
    from fastloss.engines import placed

    found = placed.layer(record.name, *layer.vectors())
    if found is None:
        return outputs.solve(record, posed._replace(input=F.linear(*layer.vectors())))
    here = Layer(*found.vectors, layer.memory_budget)
    posed = posed._replace(input=found.logits)
    return placed.outputs(lambda record, local: _outputs(record, here, local), record, posed)


# ------------------------------------------------------------------------------------------------- a formula of the row


def formulas(of: Any, **facts: Any) -> Callable[[Callable[P, Any]], PublicLoss[P]]:
    """Makes a loss of a function that poses a layer and a formula of a row."""

    def complete(pose: Callable[P, Any]) -> PublicLoss[P]:
        record = _RECORDS[pose.__name__] = LayerOutputs(pose.__name__, pose=pose, **facts)
        record.declare(of.record.formula)

        def computed(args: Any, kwargs: Any, outputs_of: Callable[[Layer, Posed, Tensor], TokenLogprobs]) -> Tensor:
            layer, posed = pose(*args, **kwargs)
            posed = flex.check(record, posed._replace(rows=posed.rows._replace(input=_check(record.name, layer))))
            rows: Posed = posed.rows._replace(flags=(True, True))
            made = outputs_of(layer, rows, outputs.kept_of(rows))
            dtype = rows.loss_dtype or loss_dtype_of(layer.input)
            return flex.whole(record.name, posed, lambda _: made).to(dtype)

        def function(*args: P.args, **kwargs: P.kwargs) -> Any:
            return computed(args, kwargs, lambda layer, rows, _: _outputs(record, layer, rows))

        def plain(layer: Layer, rows: Posed, kept: Tensor) -> TokenLogprobs:
            _refuse_group(record.name, rows.group)
            return outputs.computed(record, rows._replace(input=_logits(layer, kept)), outputs.plain)

        def reference(*args: P.args, **kwargs: P.kwargs) -> Any:
            return computed(args, kwargs, plain)

        return publish(record, function, reference, pose.__doc__ or "")

    return complete


# ------------------------------------------------------------------------------------------------------- the divergence


def divergences(of: Any, **facts: Any) -> Callable[[Callable[P, Any]], PublicLoss[P]]:
    """Makes a loss of a function that poses a layer, the problem of its logits, and perhaps a teacher's layer."""

    def complete(pose: Callable[P, Any]) -> PublicLoss[P]:
        record = _RECORDS[pose.__name__] = LayerDivergence(pose.__name__, pose=pose, of=of, **facts)
        record.declare(of.record.formula)

        def function(*args: P.args, **kwargs: P.kwargs) -> Any:
            layer, problem, teacher = pose(*args, **kwargs)
            if teacher is None and not problem.options:
                try:
                    if _few(layer):
                        given = {name: value for name, value in problem.arguments.items() if value is not None}
                        target, kind = given.pop("target"), given.pop("kind")
                        return of(F.linear(*layer.vectors()), target, kind, reduction=problem.reduction, **given)
                except TORCH_ERRORS:
                    pass  # as above
            return _divergence(record, *_checked(record, layer, problem, teacher))

        def reference(*args: P.args, **kwargs: P.kwargs) -> Any:
            layer, problem, teacher = _checked(record, *pose(*args, **kwargs))
            _refuse_group(record.name, problem.options.get("group"))
            return divergence.evaluate(
                of.record, _of_logits(layer, problem, teacher), problem.reduction, problem.options
            )

        return publish(record, function, reference, pose.__doc__ or "", by_name=True)

    return complete


def _checked(
    record: LayerDivergence, layer: Layer, problem: Problem, teacher: Teacher | None
) -> tuple[Layer, Problem, Teacher | None]:
    name, options = record.name, dict(problem.options)
    _options.refuse_unknown(name, options, _options.names(record.options), record.names)
    layer = layer._replace(memory_budget=options.pop("memory_budget", None))
    logits = _check(name, layer, options.get("group"))
    arguments = {**problem.arguments, "input": logits}
    if teacher is not None:
        target = arguments["target"]
        _options.require_tensors(name, target=target, target_weight=teacher.weight)
        _options.check_tensors(name, target_bias=teacher.bias)
        _check_shapes(name, ("target", target), ("target_weight", teacher.weight), ("target_bias", teacher.bias))
        if arguments["target_is"] != "logits":
            raise ValueError(
                f"fastloss.{name}: target_is is {arguments['target_is']!r}, expected 'logits' with target_weight"
            )
        arguments["target"] = target.detach().new_empty(()).expand(*target.shape[:-1], teacher.weight.shape[0])
    divergence.check(record, arguments, problem.reduction, options)
    return layer, problem._replace(options=options), teacher


def _of_logits(layer: Layer, problem: Problem, teacher: Teacher | None) -> dict[str, Any]:
    """The arguments with all logits."""
    target, mask = problem.arguments["target"], problem.options.get("mask")
    if teacher is not None:
        target = _logits(Layer(target, *teacher), mask)
    return {**problem.arguments, "input": _logits(layer, mask), "target": target}


def _divergence(record: LayerDivergence, layer: Layer, problem: Problem, teacher: Teacher | None) -> Tensor:
    arguments, reduction, options, _ = problem
    mask, weight, normalizer = (options.get(name) for name in ("mask", "weight", "normalizer"))
    target = arguments["target"]
    first, second = target if isinstance(target, tuple) else (target, None)
    arguments = {**arguments, **{what: _options.fixed(arguments[what]) for what in record.domains}}
    others = (first, second, mask, weight, *(teacher or ()))
    group = options.get("group")
    reason = _why_not_strips(record, layer, others, group) or why_not_normalizer(normalizer, layer.input.device)
    if any([t is not None and t.requires_grad for t in (first, weight, *(teacher or ()))]):
        reason = reason or "the teacher or a weight needs a gradient"
    if any([isinstance(arguments[what], Tensor) for what in record.domains]):
        reason = reason or "a hyperparameter is a tensor that needs a gradient or lies on a device"
    of_teacher = None if teacher is None else linear.product_dtype(first, *teacher)
    if group is not None and not divergence.has_shares(arguments):
        reason = reason or "others than shares of rows are added up of all logits of the classes here"
    if reason or (teacher is not None and of_teacher is None):
        if group is not None:
            layer = _shared(record.name, layer, group)
            if teacher is not None:
                arguments = {**problem.arguments, "target": _shared(record.name, Layer(target, *teacher), group).input}
                problem = problem._replace(arguments=arguments)
        return divergence.solve(record.of.record, _of_logits(layer, problem, teacher), reduction, options)
    route.kernel_unless(record.name, "the kernel takes no tail" if arguments["tail"] else "")
    dtype, rows = options.get("loss_dtype") or divergence.dtype_of_loss(layer.input, first), layer.input.shape[:-1]
    of_rows = [_flat(t, len(rows)) for t in (mask, first, mask, weight, second)]
    given = Given(*of_rows)
    if teacher is not None and of_teacher is not None:
        columns, bias = teacher
        bias = None if bias is None else bias.to(of_teacher)
        given = given._replace(teacher=columns.to(of_teacher), teacher_bias=bias)
    if group is not None:
        call, vectors = _call(layer, _what("shares", record, arguments), False, 4)
        vectors = _flat(_wide(record.name, layer, group), len(rows)), *vectors[1:]
        measured = _run(call, vectors, given._replace(weight=None))
        values = divergence.by_shares(record.of.record, arguments, options, tuple(t.view(rows) for t in measured))
        return divergence.reduced(values, arguments, reduction, {**options, "loss_dtype": dtype})
    reduced = reduction != "none" and linear.product_dtype(*layer.vectors()) is not torch.float16
    if reduced and reduction == "mean":
        given = given._replace(divisor=_divisor(normalizer, mask, math.prod(rows), layer.input))
    words = reduction if reduced else "none", options.get("empty", "nan")
    what = _what("divergence", record, arguments, *words)
    (made,) = _run(*_call(layer, what, reduced, 1 if teacher is None else 2), given)
    if not reduced:
        own = {key: value for key, value in options.items() if key != "weight"}
        made = divergence.reduced(made.view(rows), arguments, reduction, {**own, "loss_dtype": dtype})
    return made.to(dtype)


def _divisor(normalizer: Any, mask: Tensor | None, rows: int, like: Tensor) -> Tensor:
    if normalizer is None:
        normalizer = rows if mask is None else mask.sum(dtype=torch.float64)
    return divisor_of(normalizer, like.device)


def _of_teacher(given: Given) -> Any:
    """A strip of the teacher's logits, which are given, all or k of each row, or made of its hidden states."""
    target, weight = given.target, given.teacher
    assert target is not None
    if weight is None:
        return target if given.classes is None else (target, given.classes)
    hidden = target.to(weight.dtype)
    memory = strips.matrix(hidden.shape[0], weight.shape[0], hidden)
    return linear.product(hidden, weight, given.teacher_bias, memory)


_OWN_NUMBERS = "beta", "alpha", "temperature", "target_temperature", "tail"  # of a divergence


def _what(kind: str, record: LayerDivergence, arguments: dict[str, Any], *words: str) -> What:
    numbers = tuple([math.nan if arguments[name] is None else float(arguments[name]) for name in _OWN_NUMBERS])
    return What(kind, record.name, numbers, (arguments["kind"], arguments["target_is"], *words))


def _divergence_of_rows(what: What) -> tuple[DivergenceLoss, dict[str, Any]]:
    """The divergence of logits, and its arguments without tensors."""
    numbers: dict[str, Any] = dict(zip(_OWN_NUMBERS, what.numbers, strict=True))
    if math.isnan(numbers["target_temperature"]):
        numbers["target_temperature"] = None
    own = {"kind": what.words[0], "target_is": what.words[1], **numbers, "tail": bool(numbers["tail"])}
    return _RECORDS[what.loss].of.record, own


def _shares_of(what: What) -> Of:
    record, own = _divergence_of_rows(what)

    def of(logits: Tensor, inplace: bool, given: Given) -> tuple[Tensor, ...]:
        problem = {**own, "input": logits, "target": _of_teacher(given)}
        return divergence.shares_of(record, problem, given.mask)

    return of


def _divergence_of(what: What) -> Of:
    (record, own), (*_, reduction, empty) = _divergence_of_rows(what), what.words

    def of(logits: Tensor, inplace: bool, given: Given) -> tuple[Tensor]:
        wide = torch.float64 if reduction != "none" else _ops.compute_dtype(logits.dtype)
        options = {"mask": given.mask, "weight": given.weight, "normalizer": given.divisor, "empty": empty}
        problem = {**own, "input": logits, "target": _of_teacher(given)}
        return (divergence.solve(record, problem, reduction, {**options, "loss_dtype": wide, "inplace": inplace}),)

    return of


_KINDS: dict[str, Callable[[What], Of]] = {
    "outputs": _outputs_of, "divergence": _divergence_of, "shares": _shares_of,
}  # fmt: skip


# ------------------------------------------------------------------------------------------------------------ in graphs


@torch.library.custom_op("fastloss::linear_rows", mutates_args=())
def _traced(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    kept: Tensor | None,
    target: Tensor | None,
    mask: Tensor | None,
    row_weight: Tensor | None,
    classes: Tensor | None,
    divisor: Tensor | None,
    teacher: Tensor | None,
    teacher_bias: Tensor | None,
    of_first: Tensor | None,
    of_second: Tensor | None,
    of_third: Tensor | None,
    kind: str,
    loss: str,
    numbers: list[float],
    words: str,
    codes: list[int],
    want: list[bool],
) -> list[Tensor]:
    """Outputs and the vectors' gradients, given upstream gradients these alone. What is not wanted has no elements."""
    if kind not in ("outputs", "divergence") or loss not in _RECORDS or hidden.dim() != 2 or weight.dim() != 2:
        raise RuntimeError("fastloss::linear_rows: expected a loss of this release, and matrices of vectors")
    vectors, call = (hidden, weight, bias), _traced_call(kind, loss, numbers, words, codes)
    given = Given(kept, target, mask, row_weight, classes, divisor, teacher, teacher_bias)
    upstream = (of_first, of_second, of_third)
    again = any([g is not None for g in upstream])
    if kind == "outputs" and not again:
        logits = hidden.detach().new_empty(()).expand(hidden.shape[0], weight.shape[0])
        _refuse_bad_classes(loss, _rows_of(call.what, logits, given))
    now = tuple(want) if call.reduced or again else (False,) * 3
    count = 1 if kind != "outputs" else 4 if numbers[5] else 3
    seeds = (*upstream, None)[:count] if again else None
    found, grads = evaluate(call, given, vectors, now, seeds)
    made = [
        None if t is None else linear.scaled(g, None, linear.traced_dtype(t))
        for g, t in zip(grads, vectors, strict=True)
    ]
    return [hidden.new_empty(0) if t is None else t for t in (*(() if again else found), *made)]


def _traced_call(kind: str, loss: str, numbers: Any, words: str, codes: Any) -> Call:
    reduced, dtype, budget = codes
    what = What(kind, loss, tuple(numbers), tuple(words.split(",")))
    return Call(what, bool(reduced), _ops.DTYPE_OF_CODE[dtype], budget)


@_traced.register_fake
def _(*inputs: Any) -> list[Tensor]:
    hidden, weight, bias, _, target, *_, kind, loss, numbers, words, codes, want = inputs
    again = any([g is not None for g in inputs[11:14]])
    call, rows = _traced_call(kind, loss, numbers, words, codes), hidden.shape[:1]
    compute = _ops.compute_dtype(call.dtype)
    planes: list[Any] = []  # shape and dtype; None of what is not wanted
    if kind == "outputs":
        entropy, lse, hits = numbers[3:]
        of_targets = None if target is None else target.shape
        planes = [of_targets and (of_targets, compute), entropy and (rows, compute), lse and (rows, compute)]
        planes += [(of_targets, torch.bool)] if hits else []
    else:
        planes = [((), torch.float64) if call.reduced else (rows, compute)]
    now = call.reduced or again
    made = [
        hidden.new_empty(0) if not plane else hidden.new_empty(plane[0], dtype=plane[1])
        for plane in (() if again else planes)
    ]
    return made + [
        t.new_empty(t.shape, dtype=linear.traced_dtype(t)) if t is not None and needed and now else hidden.new_empty(0)
        for t, needed in zip((hidden, weight, bias), want, strict=True)
    ]


def _wanted(kind: str, numbers: Any, target: Tensor | None) -> tuple[bool, bool, bool]:
    """Which outputs with a gradient there are."""
    return (target is not None, bool(numbers[3]), bool(numbers[4])) if kind == "outputs" else (True, False, False)


def _traced_setup(ctx: Any, inputs: Any, output: Any) -> None:
    tensors, ctx.about = inputs[:11], inputs[14:]
    ctx.dtypes = [None if t is None else t.dtype for t in tensors[:3]]
    ctx.wanted, ctx.reduced, ctx.want = (
        _wanted(ctx.about[0], ctx.about[2], inputs[4]),
        bool(ctx.about[4][0]),
        ctx.about[5],
    )
    ctx.save_for_backward(*(output[-3:] if ctx.reduced else tensors))


def _traced_backward(ctx: Any, grads: list[Tensor | None]) -> Any:
    found: list[Tensor | None] = [None] * 3
    upstream = [g if wanted else None for g, wanted in zip([*grads[:-3], None, None], ctx.wanted, strict=False)]
    if any([g is not None for g in upstream]):
        factor = upstream[0] if ctx.reduced else None
        made = ctx.saved_tensors
        if not ctx.reduced:
            made = _traced(*made, *[None if g is None else g.contiguous() for g in upstream], *ctx.about)
        found = [
            (t if factor is None else t * factor).to(d) if w else None
            for t, w, d in zip(made, ctx.want, ctx.dtypes, strict=True)
        ]
    return *found, *([None] * 17)


_traced.register_autograd(_traced_backward, setup_context=_traced_setup)


def _trace(call: Call, vectors: tuple[Any, ...], given: Given) -> tuple[Tensor | None, ...]:
    want = [t is not None and t.requires_grad and torch.is_grad_enabled() for t in vectors]
    codes = [int(call.reduced), _ops.DTYPE_CODES[call.dtype], call.memory_budget]
    kind, loss, numbers, words = call.what
    about = kind, loss, [*numbers], ",".join(words), codes, want
    found = _traced(*vectors, *given, None, None, None, *about)[:-3]
    if kind != "outputs":
        return tuple(found)
    wanted = (*_wanted(kind, numbers, given.target), True)  # and hits
    return tuple([t if some else None for t, some in zip(found, wanted, strict=False)])
