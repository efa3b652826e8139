"""Logits that are a DTensor: each process computes with what it has, and the loss is that of the whole.

Note [Placed rows]
Where the classes lie on several processes, these are the group of Note [Parts of a row]. Where the rows do, a mean
divides by what the divisors of all processes add up to, so that weighted means and ragged batches are right, and the
parts of the loss are added up. The loss is a DTensor like the rows; the gradient is one like the logits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from fastloss._core import operators as _ops
from fastloss._core import options as _options
from fastloss._core import route
from fastloss._core.autograd import Kernel
from fastloss._core.guards import is_dynamo_compiling, is_placed
from fastloss._core.record import DivergenceLoss, HeadLoss, RowOutputs, SoftmaxLoss
from fastloss._core.row_formula import class_dim


class _Total:
    """For `Kernel`: ``(groups, part) -> total`` of scalars; the upstream gradient is the same on every process."""

    fixed = (None,) * 2

    @staticmethod
    def forward(ctx: Any, groups: list[Any], part: Tensor) -> Tensor:
        ctx.save_for_backward(part)
        return _add_up(part.clone(), groups)

    @staticmethod
    def backward(ctx: Any, groups: list[Any], upstream: Tensor) -> list[Tensor]:
        return [upstream]

    @staticmethod
    def formula(ctx: Any, groups: list[Any]) -> tuple[Callable[[Tensor], Tensor], Any]:
        return lambda part: part, ctx.saved_tensors


def _add_up(t: Tensor, groups: list[Any]) -> Tensor:
    for group in groups:
        dist.all_reduce(t, group=group)
    return t


def _laid_out_as(whole: Any) -> Callable[[Any], Any]:
    """For the gradient of a DTensor: its strides are those of the tensor. PyTorch guesses them from what is here. Where
    its guess is wrong, on some of the processes perhaps, it gathers the gradient there, and the others know nothing of
    it.
    """
    from torch.distributed.tensor import DTensor

    mesh, placements = whole.device_mesh, whole.placements
    lie: dict[str, Any] = {"run_check": False, "shape": whole.shape, "stride": whole.stride()}
    return lambda grad: DTensor.from_local(grad.to_local(), mesh, placements, **lie)


class Placed:
    """Logits, and how they lie on a mesh of processes.

    Attributes:
        local: The logits that are here.
        group: The processes that share the classes of each row; None if every process has all.
        others: The groups that share the rows.
    """

    def __init__(self, name: str, input: Any, dim: int, group: Any = None) -> None:
        from torch.distributed.tensor import Replicate, Shard

        if is_dynamo_compiling():  # which leaves such a call to Python, or hands this to the user
            raise RuntimeError(f"fastloss.{name}: expected torch.compile without fullgraph=True for a DTensor")
        if group is not None:
            raise ValueError(f"fastloss.{name}: expected group=None: input, a DTensor, says where its classes lie")
        self.name, self.mesh, self.shape, self.dim = name, input.device_mesh, input.shape, dim % max(1, input.dim())
        self.placements = [Replicate() if p.is_partial() else p for p in input.placements]
        if not all(type(p) in (Shard, Replicate) for p in self.placements):
            raise RuntimeError(f"fastloss.{name}: input lies as {input.placements}, expected Shard and Replicate")
        whole = input.redistribute(self.mesh, self.placements)
        self.local = whole.to_local()
        if whole.requires_grad:
            whole.register_hook(_laid_out_as(whole))
        self.sharded = {k: p.dim % input.dim() for k, p in enumerate(self.placements) if isinstance(p, Shard)}
        classes = [k for k, d in self.sharded.items() if d == self.dim]
        self.others = [self.mesh.get_group(k) for k, d in self.sharded.items() if d != self.dim]
        self.group = self.mesh.get_group(classes[0]) if classes else None
        if len(classes) > 1 or (classes and self._shares_nothing(classes[0])):
            raise RuntimeError(
                f"fastloss.{name}: input of shape {tuple(self.shape)} lies as {input.placements} on {self.mesh}, "
                "expected classes on one dimension of the mesh, and one of them at least on every process"
            )

    def _shares_nothing(self, k: int) -> bool:
        processes, classes = self.mesh.size(k), self.shape[self.dim]
        return -(-classes // processes) * (processes - 1) >= classes

    def _dims(self, kind: str) -> list[int | None]:
        """Where the dimensions of the logits lie in a tensor of a kind."""
        dims: list[int | None] = []
        for d in range(len(self.shape)):
            own = d == self.dim
            dims.append({"logits": d, "rows": None if own else d - (d > self.dim), "classes": 0 if own else None}[kind])
        return dims

    def of(self, what: str, t: Any, kind: str) -> Any:
        """What is here of a tensor with an entry for each logit, row or class; given as a whole, or as what is here."""
        if not isinstance(t, Tensor):
            return t
        from torch.distributed.tensor import DTensor, Replicate, Shard

        dims = self._dims(kind)
        whole, local = ([s[d] for d, at in enumerate(dims) if at is not None] for s in (self.shape, self.local.shape))
        more = [*t.shape[len(whole) :]] if kind == "rows" else []  # of several targets a row
        if isinstance(t, DTensor) or [*t.shape] == whole + more:
            if [*t.shape] != whole + more or (isinstance(t, DTensor) and t.device_mesh != self.mesh):
                raise self._unlike(what, t, whole, local)
            placements = [
                Replicate() if (d := self.sharded.get(k)) is None or dims[d] is None else Shard(dims[d])
                for k in range(self.mesh.ndim)
            ]
            if not isinstance(t, DTensor):
                t = DTensor.from_local(t, self.mesh, [Replicate()] * self.mesh.ndim, run_check=False)
            return t.redistribute(self.mesh, placements).to_local()
        if [*t.shape] != local + more:
            raise self._unlike(what, t, whole, local)
        return t

    def _unlike(self, what: str, t: Tensor, whole: list[int], local: list[int]) -> RuntimeError:
        return RuntimeError(
            f"fastloss.{self.name}: {what} has shape {tuple(t.shape)}, expected {tuple(whole)} as a whole or as a "
            f"DTensor on the mesh of input, or {tuple(local)}, what is here"
        )

    def whole_classes(self, t: Tensor) -> Tensor:
        """The numbers of all classes from those of the classes that are here."""
        if self.group is None:
            return t
        from torch.distributed.tensor import DTensor, Replicate, Shard

        own = [Shard(0) if self.sharded.get(k) == self.dim else Replicate() for k in range(self.mesh.ndim)]
        shape = torch.Size((self.shape[self.dim],))
        return DTensor.from_local(t.detach(), self.mesh, own, run_check=False, shape=shape, stride=(1,)).full_tensor()

    @staticmethod
    def number(value: Any) -> Any:
        """An option that is a number, which every process has."""
        return value.full_tensor() if is_placed(value) else value

    def total(self, mass: Tensor) -> Tensor:
        """What the rows of all processes count, from what those here do. Nothing is sent for an explanation."""
        mass = mass.sum(dtype=torch.float64)
        return mass if route.explaining() else _add_up(mass, self.others)

    def result(self, made: Tensor, reduced: bool) -> Any:
        """The DTensor of a loss, or of values of rows, of which some are here."""
        from torch.distributed.tensor import DTensor, Replicate, Shard

        if reduced:
            made = Kernel.apply(_Total, self.others, made) if self.others else made
            return DTensor.from_local(made, self.mesh, [Replicate()] * self.mesh.ndim, run_check=False)
        at, several = self._dims("rows"), made.dim() >= len(self.shape)
        shape = [s for d, s in enumerate(self.shape) if d != self.dim] + [*made.shape[-1:]] * several
        dims = [at[self.sharded.get(k, self.dim)] for k in range(self.mesh.ndim)]
        lie = [Replicate() if d is None else Shard(d) for d in dims]
        stride = torch.empty(shape, device="meta").stride()
        more: Any = {"run_check": False, "shape": torch.Size(shape), "stride": stride}
        return DTensor.from_local(made.contiguous(), self.mesh, lie, **more)


def softmax_loss(
    solve: Callable[..., Tensor],
    record: SoftmaxLoss,
    input: Any,
    target: Any,
    params: tuple[Any, ...],
    weight: Any,
    ignore_index: int,
    reduction: str,
    label_smoothing: Any,
    options: dict[str, Any],
) -> Any:
    """`softmax.solve` of a DTensor, by way of itself."""
    name, reduction = record.name, _ops.REDUCTION_NAMES[_options.reduction_code(reduction)]
    _options.require_tensors(name, target=target)
    if options.get("return_stats"):
        raise ValueError(f"fastloss.{name}: expected return_stats=False for a DTensor")
    placed = Placed(name, input, class_dim(input), options.get("group"))
    soft = target.is_floating_point()
    y = placed.of("target", target, "logits" if soft else "rows")
    mask, weight = placed.of("mask", options.get("mask"), "rows"), placed.of("weight", weight, "classes")
    numbers = {what: placed.number(value) for what, value in options.items()}
    options = {**numbers, "mask": mask, "group": placed.group}
    if placed.others and reduction == "mean" and options.get("normalizer") is None:
        mass = torch.ones_like(y.select(placed.dim, 0), dtype=torch.bool) if soft else y != ignore_index
        mass = mass if mask is None else mass & mask
        if weight is not None and not soft and not route.explaining():
            every = placed.whole_classes(weight)
            mass = torch.where(mass, every[y.clamp(0, every.shape[0] - 1).long()], 0)
        total = placed.total(mass)
        options["normalizer"] = torch.where(total == 0, torch.nan, total)
    params = tuple(placed.of(what, v, "classes") if isinstance(v, Tensor) and v.dim() else placed.number(v)
                   for what, v in zip(record.params, params, strict=True))  # fmt: skip
    loss = solve(record, False, placed.local, y, params, weight, ignore_index, reduction, label_smoothing, options)
    return placed.result(loss, reduction != "none")


class PlacedLayer(NamedTuple):
    """A linear layer of DTensors.

    Attributes:
        logits: A DTensor that lies as the logits do, without numbers.
        vectors: Hidden states, weight and bias that are here.
    """

    logits: Any
    vectors: tuple[Tensor, Tensor, Tensor | None]


def check_layer(name: str, hidden: Any, weight: Any, bias: Any) -> None:
    """Refuses a layer of which a part is placed, and another is not."""
    vectors = [t for t in (hidden, weight, bias) if t is not None]
    if not all([is_placed(t) for t in vectors]) or any([t.device_mesh != hidden.device_mesh for t in vectors]):
        raise RuntimeError(
            f"fastloss.{name}: hidden states are {type(hidden).__name__} and the classifier {type(weight).__name__}, "
            "expected DTensors on one mesh, or none; remedy: of a sharded parameter outside its module .full_tensor(), "
            "or group= with .to_local()"
        )


def layer(name: str, hidden: Any, weight: Any, bias: Any, centers: int = 1) -> PlacedLayer | None:
    """A layer whose rows, or whose classes, lie on several processes; None of one that lies otherwise.

    Where the classes do, hidden states that lie there by rows (sequence parallelism) are brought together. Of a class
    all centers must lie on one process.
    """
    from torch.distributed.tensor import DTensor, Partial, Replicate, Shard

    check_layer(name, hidden, weight, bias)
    mesh, lie, to_hidden, to_weight, rows = hidden.device_mesh, [], [], [], []
    for k, (of_hidden, of_weight) in enumerate(zip(hidden.placements, weight.placements, strict=True)):
        by_class, by_row = isinstance(of_weight, Shard), isinstance(of_hidden, Shard)
        if (by_class and of_weight.dim) or (by_row and of_hidden.dim) or of_weight.is_partial():
            return None
        if by_class and -(-weight.shape[0] // mesh.size(k)) % centers:
            raise RuntimeError(
                f"fastloss.{name}: weight of shape {tuple(weight.shape)} lies as {weight.placements}, expected all "
                f"{centers} centers of a class on one process"
            )
        rows.append(Shard(0) if by_row and not by_class else Replicate())
        lie.append(Shard(1) if by_class else rows[-1])
        to_hidden.append(rows[-1])
        to_weight.append(of_weight if by_class else Partial() if by_row else Replicate())
    if hidden.dim() != 2 or weight.dim() != 2 or (bias is not None and bias.placements != weight.placements):
        return None
    h = hidden.redistribute(mesh, rows).to_local(grad_placements=to_hidden)
    w, b = weight.to_local(grad_placements=to_weight), None
    if bias is not None:
        b = bias.to_local(grad_placements=to_weight)
    shape = torch.Size((hidden.shape[0], weight.shape[0] // centers))
    here = h.detach().new_empty(()).expand(h.shape[0], w.shape[0] // centers)
    more: Any = {"run_check": False, "shape": shape, "stride": (shape[1], 1)}
    return PlacedLayer(DTensor.from_local(here, mesh, lie, **more), (h, w, b))


def head(solve: Callable[..., Any], record: HeadLoss, problem: Any) -> Any:
    """`linear.solve` of a layer of DTensors, by way of itself; None if it lies in no way that this knows."""
    name, options = record.name, dict(problem.options)
    found = layer(name, problem.hidden, problem.weight, problem.bias, problem.centers)
    if found is None:
        return None
    logits, (hidden, weight, bias) = found
    budget = options.pop("memory_budget", None)
    placed = Placed(name, logits, 1, options.get("group"))
    margins = tuple(placed.of("margin", m, "classes") if isinstance(m, Tensor) and m.dim() and m.numel() > 1 else
                    placed.number(m) for m in problem.margins)  # fmt: skip

    def here(_: Any, inplace: bool, logits: Tensor, target: Tensor, params: Any, classes: Any, *given: Any) -> Tensor:
        ignore_index, reduction, smoothing, options = given
        own = problem._replace(
            hidden=hidden, weight=weight, bias=bias, target=target, margins=margins, params=params,
            class_weight=classes, ignore_index=ignore_index, reduction=reduction, label_smoothing=smoothing,
            options={**options, "memory_budget": budget},
        )  # fmt: skip
        made: Tensor = solve(record, own)
        return made

    return softmax_loss(
        here, record.rows, logits, problem.target, problem.params, problem.class_weight, problem.ignore_index,
        problem.reduction, problem.label_smoothing, options,
    )  # fmt: skip


def outputs(solve: Callable[..., Any], record: RowOutputs, posed: Any) -> Any:
    """`outputs.solve` of a DTensor, by way of itself."""
    placed = Placed(record.name, posed.input, posed.dim, posed.group)
    target, mask = placed.of("target", posed.target, "rows"), placed.of("mask", posed.mask, "rows")
    numbers = {what: placed.number(getattr(posed, what)) for what in ("temperature", "softcap")}
    local = posed._replace(input=placed.local, target=target, mask=mask, group=placed.group, inplace=False, **numbers)
    made = solve(record, local)
    return type(made)(*(None if t is None else placed.result(t, False) for t in made))


def divergence(
    solve: Callable[..., Tensor], record: DivergenceLoss, arguments: dict[str, Any], reduction: str, options: Any
) -> Any:
    """`divergence.solve` of DTensors, by way of itself."""
    placed = Placed(record.name, arguments["input"], -1, options.get("group"))
    target = arguments["target"]
    if isinstance(target, tuple):
        target = tuple(placed.of(f"target[{k}]", t, "rows") for k, t in enumerate(target))
    else:
        target = placed.of("target", target, "logits")
    given = {what: placed.of(what, options.get(what), "rows") for what in ("weight", "mask")}
    numbers = {what: placed.number(value) for what, value in options.items()}
    options = {**numbers, **given, "group": placed.group, "inplace": False}
    if placed.others and reduction == "mean" and options.get("normalizer") is None:
        kept = given["mask"]
        options["normalizer"] = placed.total(torch.ones_like(placed.local[..., 0]) if kept is None else kept)
    loss = solve(record, {**arguments, "input": placed.local, "target": target}, reduction, options)
    return placed.result(loss, reduction != "none")
