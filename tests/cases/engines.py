"""The engines: how a case of each makes its arguments, and how exact its results must be."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from cases.base import (
    HALF,
    UNIT,
    Case,
    Judge,
    Setting,
    check_near,
    exact,
    gradients,
    remembered,
    wide,
    with_reductions,
)
from fastloss._core import operators as _ops

# What tests draw of tensors that hold what a record calls so (`Record.holds`): from an interval, or among these values.
RANGES: dict[str, tuple[float, ...]] = {
    "real": (-4.0, 4.0),
    "log_probability": (-4.0, 4.0),
    "log_rate": (0.01, 4.0),
    "probability": (0.0, 1.0),
    "distribution": (0.01, 1.0),
    "positive": (0.1, 4.0),
    "count": (0.0, 6.0),
    "binary": (0, 0, 1, 1, 0.5, 0.25),
    "sign": (-1, 1),
    "box": (0.0, 2.0),  # the first corner; the second one is as far from it
}


def compute_unit(dtype: torch.dtype) -> float:
    """The unit roundoff of the dtype that we compute in; in float64 the reference rounds as often: twice that."""
    return 2 * UNIT[torch.float64] if dtype == torch.float64 else UNIT[torch.float32]


def largest_of(upstream: Any) -> float:
    return float(torch.as_tensor(1.0 if upstream is None else upstream, dtype=torch.float64).abs().max())


# ------------------------------------------------------------------------------------------------ elements

ROUNDINGS = 16  # of a functor one after the other; a power repeats those of its base: m^4 has the three of m four times


@dataclass(frozen=True, eq=False, kw_only=True)
class Elements(Case):
    """A loss of elements. A size is the shape of its tensors.

    Attributes:
        ranges: Of tensors that tests draw otherwise than `RANGES` says.
        kinks: Arguments where the derivative jumps: there the convention must be PyTorch's.
        cancelling: Size of the terms that cancel in each derivative, to which its error is relative: near x = 0 those
            in a target, a difference of two losses of one size (focal, asymmetric; so do torch's own formulas).
        approximate: What a result of half arguments may be off by more, where functions are approximated for them.
        exponent: Of a power that is taken by way of its logarithm, which the inputs keep below 5: its largest value,
            for given params.
        better: Arguments (as in ``kinks``) where PyTorch gives NaN or inf and ours a number or a limit, on purpose.
        needs: Hyperparameters that have no default.
    """

    engine = "elements"
    sizes = ((), (1,), (7,), (515,), (3, 5, 7), (40, 1000))

    approximate: ClassVar = 1.0

    ranges: dict[str, tuple[float, ...]] = field(default_factory=dict)
    kinks: tuple[tuple[float, ...], ...] = ()
    cancelling: tuple[float, ...] = (0.0, 0.0, 0.0)
    exponent: Callable[..., float] = lambda **params: 0.0
    better: Callable[..., Tensor] = lambda *tensors: torch.zeros_like(tensors[0], dtype=torch.bool)
    needs: dict[str, float] = field(default_factory=dict)

    @property
    def functional(self) -> Callable[..., Any]:
        return self._bound(super().functional)

    @property
    def reference(self) -> Callable[..., Any]:
        return self._bound(super().reference)

    def needed(self, arguments: dict[str, Any]) -> dict[str, Any]:
        return super().needed({**self.needs, **arguments})

    def _bound(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return functools.wraps(function)(functools.partial(function, **self.needs)) if self.needs else function

    @property
    def fixed(self) -> tuple[int, ...]:
        """Places of the tensors in which nothing is differentiated."""
        return self.record.fixed_positions

    @property
    def tensor_names(self) -> tuple[str, ...]:
        return self.record.tensors

    @property
    def hyperparameters(self) -> tuple[str, ...]:
        return self.record.params

    @property
    def arity(self) -> int:
        return len(self.record.tensors)

    def values(self, size: tuple[int, ...]) -> tuple[int, ...]:
        return size

    def tensors(self, shape: tuple[int, ...], dtype: torch.dtype = torch.float32, seed: int = 0) -> tuple[Tensor, ...]:
        generator = torch.Generator().manual_seed(seed)
        made = []
        for name in self.record.tensors:
            holds = self.record.holds.get(name, "real")
            drawn = self.ranges.get(name, RANGES[holds])
            if holds == "box":  # in every format
                corner, size = drawn[1] * torch.rand((2, *shape, 2), generator=generator, dtype=torch.float64)
                t = torch.cat((corner, corner + size + 0.1), -1)
            elif len(drawn) == 2 and all(isinstance(v, float) for v in drawn):
                low, high = drawn
                t = low + (high - low) * torch.rand(shape, generator=generator, dtype=torch.float64)
            else:
                t = torch.tensor(drawn, dtype=torch.float64)[torch.randint(len(drawn), shape, generator=generator)]
            made.append(t.to(dtype).requires_grad_(name not in self.record.fixed))
        return tuple(made)

    def named(self, tensors: Iterable[Tensor], **params: Any) -> dict[str, Any]:
        return {**dict(zip(self.record.tensors, tensors, strict=True)), **params}

    def make(
        self, size: tuple[int, ...], params: Setting | None = None, dtype: torch.dtype = torch.float32, seed: int = 0
    ) -> dict[str, Any]:
        """In half precision a probability as input keeps off its ends, where derivatives are unbounded."""
        made = self.named(self.tensors(size, dtype, seed), **(params or {}))
        return self._off_ends(made, 0.1) if dtype in HALF else made

    def make_smooth(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return self._off_ends(self.make(*args, **kwargs), 0.1)

    def _off_ends(self, made: dict[str, Any], margin: float) -> dict[str, Any]:
        name = self.record.tensors[0]
        if self.record.holds.get(name) == "probability":
            made[name] = made[name].detach().clamp(margin, 1 - margin).requires_grad_()
        return made

    def extras(self, size: tuple[int, ...], dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
        generator, shape = torch.Generator().manual_seed(7), self.values(size)
        rows = torch.arange(shape[0]).reshape(-1, *(1,) * (len(shape) - 1))
        return {
            "mask": (rows % 3 != 0).expand(shape).contiguous(),
            "weight": (torch.rand(shape, generator=generator, dtype=torch.float64) + 0.5).to(dtype),
            "normalizer": torch.tensor(3.0, dtype=dtype),
        }

    def options(self, shape: tuple[int, ...]) -> Iterator[dict[str, Any]]:
        """What losses share, for float64 arguments of values of this shape of three dimensions, with each reduction."""
        weight, mask = torch.rand(shape, dtype=torch.float64) + 0.1, torch.rand(shape) < 0.6
        mask[2] = False
        return with_reductions([
            dict(weight=weight), dict(mask=mask), dict(mask=mask[:1]), dict(weight=weight, mask=mask),
            dict(normalizer=7.0), dict(normalizer=torch.tensor(7), mask=mask), dict(reduce_dims=(1, 2)),
            dict(reduce_dims=1, mask=mask, weight=weight),
            dict(reduce_dims=(1, 2), mask=mask, empty="zero"), dict(reduce_dims=(1, 2), normalizer=5.0),
            dict(loss_dtype=torch.float32), dict(mask=torch.zeros_like(mask), empty="zero"),
        ])  # fmt: skip

    @remembered
    def judge(self, arguments: dict[str, Any], upstream: Any = None, **options: Any) -> Judge:
        tensors = [arguments[name] for name in self.record.tensors]
        scales = self.scales(arguments, **options)
        results = exact(self, arguments, upstream, **options)
        n = 1
        if options.get("reduction", self.default("reduction")) == "mean":
            n = max(1, torch.broadcast_shapes(*(t.shape for t in tensors)).numel() // self.record.components)
        unit = ROUNDINGS * compute_unit(tensors[0].dtype) / n * (self.approximate if tensors[0].dtype in HALF else 1)
        summed = scales[0] if results[0].dim() else scales[0].sum()
        return Judge(results, [unit * summed, *(unit * largest_of(upstream) * s for s in scales[1:])])

    def power(self, params: Setting) -> float:
        """What u^gamma by way of its logarithm costs: rounding gamma log u, at most 5 gamma here, shifts it so much."""
        known = inspect.signature(self.exponent).parameters
        return 1 + 5 * self.exponent(**{k: v for k, v in params.items() if k in known})

    def scales(self, arguments: dict[str, Any], **options: Any) -> list[Any]:
        r"""How much the value and each derivative of an element may move when its arguments move by one unit, relative.

        :math:`|f| + \sum_k |x_k \partial_k f|` for the loss, likewise for each derivative: what a computation that is
        exact for arguments off by a rounding may be wrong by. Ours does a handful of roundings more.
        """
        names, params = self.record.tensors, {k: v for k, v in arguments.items() if k not in self.record.tensors}
        given = {
            name: arguments[name].detach().double().requires_grad_(name not in self.record.fixed) for name in names
        }
        free = [t for t in given.values() if t.requires_grad]

        several = self.record.components > 1

        def moves(value: Tensor) -> Tensor:
            grads = torch.autograd.grad(value.sum(), free, create_graph=True, allow_unused=True)
            parts = [(x * g).abs() for x, g in zip(free, grads, strict=True) if g is not None]
            return value.abs() + sum((p.sum(-1) if several else p for p in parts), torch.zeros_like(value))

        def each(gradient: Tensor) -> Tensor:
            return torch.stack([moves(g) for g in gradient.unbind(-1)], -1) if several else moves(gradient)

        options = {k: v for k, v in options.items() if k not in ("reduction", "loss_dtype")}
        loss = self.reference(**given, **params, **wide(options), reduction="none")
        wanted = [given[name] for name in names if arguments[name].requires_grad]
        scales = [moves(loss)]
        for g in torch.autograd.grad(loss.sum(), wanted, create_graph=True):
            scales.append(each(g) if g.requires_grad else g.abs())
        power = self.power(params)
        return [power * (s.detach() + c) for s, c in zip(scales, (0.0, *self.cancelling), strict=False)]


# ------------------------------------------------------------------------------------------------ products


@dataclass(frozen=True, eq=False, kw_only=True)
class Products(Elements):
    """A loss of vectors compared row by row. A size is the shape of its vectors.

    Attributes:
        terms: For given vectors, in float64, and params: the size of what the value and each gradient of a row are made
            of, and in which they may cancel.
    """

    engine = "products"
    sizes = tuple((rows, width) for width in (1, 3, 16, 31, 64, 130, 1000) for rows in (1, 37))

    terms: Callable[..., list[float]]

    @property
    def labelled(self) -> bool:
        """Whether its last tensor has one label per row."""
        return bool(self.record.label)

    def values(self, size: tuple[int, ...]) -> tuple[int, ...]:
        return size[:-1]

    def tensors(self, shape: tuple[int, ...], dtype: torch.dtype = torch.float32, seed: int = 0) -> tuple[Tensor, ...]:
        generator = torch.Generator().manual_seed(seed)
        made = []
        for name in self.record.tensors:
            if name == self.record.label:
                made.append(torch.randint(0, 2, shape[:-1], generator=generator).to(dtype) * 2 - 1)
            elif name in self.record.holds:
                low, high = RANGES[self.record.holds[name]]
                t = low + (high - low) * torch.rand(shape, generator=generator)
                made.append(t.to(dtype).requires_grad_())
            else:
                made.append(torch.randn(shape, generator=generator).to(dtype).requires_grad_())
        return tuple(made)

    def options(self, shape: tuple[int, ...]) -> Iterator[dict[str, Any]]:
        weight, mask = torch.rand(shape, dtype=torch.float64) + 0.1, torch.rand(shape) < 0.6
        return with_reductions([
            dict(weight=weight), dict(mask=mask), dict(weight=weight, mask=mask), dict(normalizer=7.0),
            dict(normalizer=torch.tensor(7), mask=mask), dict(reduce_dims=0),
            dict(reduce_dims=0, mask=mask, weight=weight), dict(mask=mask & False, empty="zero"),
            dict(mask=mask & False), dict(loss_dtype=torch.float32),
        ])  # fmt: skip

    def scales(self, arguments: dict[str, Any], **options: Any) -> list[Any]:
        vectors = [arguments[name].detach().double() for name in self.record.tensors if name not in self.record.fixed]
        return self.terms(*vectors, **{k: v for k, v in arguments.items() if k in self.record.params})

    @remembered
    def judge(self, arguments: dict[str, Any], upstream: Any = None, **options: Any) -> Judge:
        """A lane adds D / 16 products or fewer, then a handful of operations: 16 units of the terms.

        A gradient that is not half is rounded again when it is scaled.
        """
        results = exact(self, arguments, upstream, **options)
        first = arguments[self.record.tensors[0]]
        factor = largest_of(upstream)
        rows = first.shape[:-1].numel() if options.get("reduction") == "sum" else 1
        unit = ROUNDINGS * compute_unit(first.dtype)
        again = 0.01 if first.dtype in HALF else 1.0
        limits = [
            unit * scale * (rows if k == 0 else factor) + again * UNIT[first.dtype] * result.abs()
            for k, (scale, result) in enumerate(zip(self.scales(arguments), results, strict=True))
        ]
        return Judge(results, limits)


# ------------------------------------------------------------------------------------------------- softmax


def rows_of(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of one value per row: without the class dimension."""
    return shape[:1] + shape[2:] if len(shape) > 1 else ()


def classes_of(shape: tuple[int, ...]) -> int:
    return shape[1] if len(shape) > 1 else shape[0]


@dataclass(frozen=True, eq=False, kw_only=True)
class Softmax(Case):
    """A loss of rows of logits. A size is the shape of the logits.

    Attributes:
        gamma: Default exponent of q, the target's missing probability.
        spread: What the slack of a row is multiplied with, made of the number of classes: its logits are scaled by so
            much, or as many of them are added.
    """

    engine = "softmax"
    sizes = ((7,), (5, 3), (33, 17), (9, 1000), (3, 21, 5, 7))
    shared: ClassVar = {
        "label_smoothing": (0.1, 0.5, 1), "z_loss": (1e-3, 1), "softcap": (30.0, 2), "temperature": (2, 0.5)
    }  # fmt: skip

    gamma: float = 0.0
    spread: Callable[[int], float] = lambda classes: 1.0

    @property
    def tensor_names(self) -> tuple[str, ...]:
        return ("input",)

    @property
    def smooths(self) -> bool:
        return "label_smoothing" in self.parameters

    @property
    def settings(self) -> tuple[Setting, ...]:
        return tuple({**params, "kind": kind} for params in self.params for kind in ("index", "probability"))

    def values(self, size: tuple[int, ...]) -> tuple[int, ...]:
        return rows_of(size)

    def make(
        self, size: tuple[int, ...], params: Setting | None = None, dtype: torch.dtype = torch.float32, seed: int = 0
    ) -> dict[str, Any]:
        params = dict(params or {})
        x, target = make_rows(size, dtype, params.pop("kind", "index"), seed)
        return {"input": x.requires_grad_(), "target": target.requires_grad_(target.is_floating_point()), **params}

    def extras(self, size: tuple[int, ...], dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
        generator, rows = torch.Generator().manual_seed(7), rows_of(size)
        return {
            "mask": (torch.arange(math.prod(rows)) % 3 != 0).reshape(rows),
            "weight": (torch.rand(classes_of(size), generator=generator, dtype=torch.float64) + 0.5).to(dtype),
            "normalizer": torch.tensor(3.0, dtype=dtype),
        }

    @remembered
    def judge(self, arguments: dict[str, Any], upstream: Any = None, **options: Any) -> Judge:
        results = exact(self, arguments, upstream, **options)
        x, target = arguments["input"], arguments.get("target")
        given = {**arguments, **options}
        reduction = given.get("reduction", "mean")
        rows = max(1, math.prod(rows_of(tuple(x.shape)))) if reduction == "sum" else 1
        factor = largest_of(upstream)
        unit = slack(x) * self.spread(classes_of(tuple(x.shape)))
        limits: list[Any] = [unit * self.enlarges(given) * rows]
        names = [name for name in ("input", "target") if getattr(arguments.get(name), "requires_grad", False)]
        for name, wanted in zip(names, results[1:], strict=True):
            extra = 0.0
            if name == "input" and target is not None:
                uniform = given.get("label_smoothing", self.default("label_smoothing") if self.smooths else 0.0)
                count = max(1, math.prod(rows_of(tuple(x.shape)))) if reduction == "mean" else 1
                extra = (cancelling(target, reduction) + uniform / count) * factor
            limits.append(unit * grad_scale(wanted, x.dtype, extra))
        return Judge(results, limits)

    def enlarges(self, params: dict[str, Any]) -> float:
        r""":math:`q^\gamma` has :math:`\gamma` times the relative error of q, on top of the logarithm's own."""
        return 1.0 + params.get("gamma", self.gamma)


def make_rows(
    shape: tuple[int, ...], dtype: torch.dtype = torch.float32, kind: str = "index", seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Logits of spread 3 and a target of either kind, exactly representable in ``dtype``."""
    generator = torch.Generator().manual_seed(seed)
    x = (3 * torch.randn(shape, generator=generator, dtype=torch.float64)).to(dtype)
    if kind == "index":
        return x, torch.randint(classes_of(shape), rows_of(shape), generator=generator)
    t = torch.randn(shape, generator=generator, dtype=torch.float64).softmax(0 if len(shape) == 1 else 1)
    return x, t.to(dtype)


def tensors(options: dict[str, Any], dtype: torch.dtype) -> dict[str, Any]:
    """Options with their lists made tensors: ``weight`` and ``linear_bias`` of ``dtype``, ``mask`` of bool."""
    made = dict(options)
    for name in ("weight", "linear_bias"):
        if isinstance(made.get(name), list):
            made[name] = torch.tensor(made[name], dtype=dtype)
    if isinstance(made.get("mask"), list):
        made["mask"] = torch.tensor(made["mask"])
    return made


def run(
    fn: Callable[..., Any], x: Tensor, target: Tensor, upstream: Any = None, **options: Any
) -> tuple[Tensor, Tensor]:
    """Loss and gradient of ``fn`` at ``x``, whose strides and storage offset the kernel sees as they are."""
    loss, grad = gradients(fn, (x.detach().requires_grad_(), target.detach()), upstream, **options)
    return loss, grad


@remembered
def exact_rows(case: Softmax, x: Tensor, target: Tensor, upstream: Any = None, **options: Any) -> list[Tensor]:
    given = {"input": x.detach().requires_grad_(), "target": target.detach()}
    return exact(case, given, upstream, **options)


def slack(x: Tensor) -> float:
    r"""Relative error that computing a row in ``x``'s compute precision may cause, in units of its scale.

    With :math:`u` the unit roundoff of the compute dtype (float64 for float64, else float32), per row:
    8 for exp, log and the last few operations; :math:`2\sqrt C` for the sum of C positive terms
    (probabilistic bound, Higham and Mary 2019); and :math:`4 \max|x|` because rounding the logarithm of the
    sum and the differences of logits, each at most that large, shifts every exponent by :math:`u` times
    their size.
    """
    u = UNIT[torch.float64 if x.dtype == torch.float64 else torch.float32]
    finite = x.double()[x.isfinite()]
    largest = float(finite.detach().abs().max()) if finite.numel() else 0.0
    return u * (8 + 2 * math.sqrt(classes_of(tuple(x.shape))) + 4 * largest)


def check_loss(actual: Tensor, wanted: Tensor, x: Tensor, scale: float | Tensor = 1.0) -> None:
    """``actual`` within ``slack`` of ``wanted`` in units of ``scale`` (largest factor of a row times the rows
    summed), plus one rounding to its dtype. NaN and infinities must agree."""
    check_near(actual, wanted, slack(x) * scale, "loss")


def cancelling(target: Tensor, reduction: str) -> float:
    """The ``extra`` of `check_grad` for probabilities: p and t, up to 1 (a mean: over the rows), cancel."""
    if not target.is_floating_point():
        return 0.0
    rows = target.numel() // classes_of(tuple(target.shape))
    return 1.0 / rows if reduction == "mean" else 1.0


def check_grad(actual: Tensor, wanted: Tensor, x: Tensor, extra: float = 0.0) -> None:
    """Each entry within ``slack`` of ``wanted`` in units of its row's largest entry, plus one rounding.

    In a row whose target has probability near one every entry is tiny, so this asks for the small difference
    1 - p_y to be right, not only its rounding to zero. ``extra`` is added to the scale of a row where terms
    of that size cancel (smoothing's uniform part, probabilities).
    """
    check_near(actual, wanted, slack(x) * grad_scale(wanted, actual.dtype, extra), "gradient")


def grad_scale(wanted: Tensor, dtype: torch.dtype, extra: float) -> Tensor:
    sizes = wanted.abs().nan_to_num(0.0, 0.0, 0.0)
    scale = sizes.amax(0 if wanted.dim() == 1 else 1, keepdim=True) if sizes.numel() else sizes
    if sizes.numel() and (dtype == torch.float64 or not _ops.AVAILABLE):
        extra = extra + float(sizes.max())  # PyTorch's own float64, our measure, rounds p_y - 1 at the size of 1
    return scale + extra


# ---------------------------------------------------------------------------------------------- divergence


@dataclass(frozen=True, eq=False, kw_only=True)
class Divergence(Case):
    """A loss of two rows of logits, classes last. A size is their shape."""

    engine = "divergence"
    sizes = ((7,), (5, 3), (33, 17), (9, 1000), (3, 4, 5, 21))
    shared: ClassVar = {"temperature": (2, 0.5), "target_temperature": (1.0, 3)}

    @property
    def tensor_names(self) -> tuple[str, ...]:
        return ("input", "target")

    def candidates(self, name: str) -> tuple[Any, ...]:
        return {"target_is": ("logits",), "tail": (False,)}.get(name) or super().candidates(name)

    def values(self, size: tuple[int, ...]) -> tuple[int, ...]:
        return size[:-1]

    def make(
        self, size: tuple[int, ...], params: Setting | None = None, dtype: torch.dtype = torch.float32, seed: int = 0
    ) -> dict[str, Any]:
        generator = torch.Generator().manual_seed(seed)
        made = (2 * torch.randn((2, *size), generator=generator, dtype=torch.float64)).to(dtype).unbind()
        return {"input": made[0].requires_grad_(), "target": made[1].requires_grad_(), **(params or {})}

    def extras(self, size: tuple[int, ...], dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
        generator, shape = torch.Generator().manual_seed(7), self.values(size)
        return {
            "mask": (torch.arange(math.prod(shape)) % 3 != 0).reshape(shape),
            "weight": (torch.rand(shape, generator=generator, dtype=torch.float64) + 0.5).to(dtype),
            "normalizer": torch.tensor(3.0, dtype=dtype),
        }

    @remembered
    def judge(self, arguments: dict[str, Any], upstream: Any = None, **options: Any) -> Judge:
        """A logarithm of p / q, of the size of the logits at most, is off by the rounding of theirs and of the sums
        (`slack`), and so are p and q relative to themselves. Value and gradients are sums of products of these, which
        an alpha outside 0 and 1 makes larger than 1.
        """
        results = exact(self, arguments, upstream, **options)
        x, y = (arguments[name].detach().double() for name in self.tensor_names)
        largest = float(torch.stack((x, y)).abs().max()) / min(1.0, float(arguments.get("temperature", 1.0)))
        unit = compute_unit(arguments["input"].dtype) * (8 + 2 * math.sqrt(x.shape[-1]) + 4 * largest)
        reduction = {**arguments, **options}.get("reduction", "mean")
        rows = max(1, x[..., 0].numel())
        unit *= 1 + largest
        value = unit * ((rows if reduction == "sum" else 1) + results[0].abs())
        slope = unit * largest_of(upstream) / (rows if reduction == "mean" else 1)
        again = UNIT[arguments["input"].dtype]  # a gradient that is not half is rounded again when it is scaled
        return Judge(
            results,
            [value, *(slope + unit * g.abs().amax(-1, keepdim=True) + again * g.abs() for g in results[1:])],
        )


# ---------------------------------------------------------------------------------------------- composed


@dataclass(frozen=True, eq=False, kw_only=True)
class Rows(Softmax):
    """A loss that is composed of row losses. A size is the shape of the logits, or of what stands for them.

    Attributes:
        given: Further arguments that are needed, made of the number of classes.
        items: Whether targets and masks are of the size of the input.
        vectors: Whether the input has classes, and a target; else it is one number per sample.
        scaled: Of the input.
    """

    engine = "composition"
    shared: ClassVar = {}

    given: dict[str, Callable[[int], Any]] = field(default_factory=dict)
    items: bool = False
    vectors: bool = True
    scaled: float = 1.0

    @property
    def settings(self) -> tuple[Setting, ...]:
        return self.params

    def values(self, size: tuple[int, ...]) -> tuple[int, ...]:
        return rows_of(size) if self.vectors else size

    def make(
        self, size: tuple[int, ...], params: Setting | None = None, dtype: torch.dtype = torch.float32, seed: int = 0
    ) -> dict[str, Any]:
        x, target = make_rows(size, dtype, "probability" if self.items else "index", seed)
        made: dict[str, Any] = {"input": (x * self.scaled).requires_grad_()}
        if self.vectors:
            made["target"] = target.requires_grad_(self.items)
        return {**made, **{name: value(classes_of(size)) for name, value in self.given.items()}, **(params or {})}

    def extras(self, size: tuple[int, ...], dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
        made = super().extras(size, dtype)
        if self.items or not self.vectors:
            rows = torch.arange(size[0]).reshape(-1, *[1] * (len(size) - 1))
            made["mask"] = (rows % 3 != 0).expand(size).contiguous()
        return {name: t for name, t in made.items() if name in self.parameters}


# ------------------------------------------------------------------------------------------------- regions


@dataclass(frozen=True, eq=False, kw_only=True)
class Regions(Case):
    """A loss of sums over the pixels of each class. A size is the shape of the logits.

    Attributes:
        per_sample: Whether its value is one number per sample, not per sample and class.
        steepness: What multiplies the relative errors of probabilities and sums.
    """

    engine = "regions"
    sizes = ((4, 3, 5), (3, 4, 9), (2, 21, 7, 5), (2, 2, 40, 33), (1, 3, 2, 3000))

    per_sample: bool = False
    steepness: float = 1.0

    @property
    def tensor_names(self) -> tuple[str, ...]:
        return ("input",)

    @property
    def settings(self) -> tuple[Setting, ...]:
        return tuple({**params, "kind": kind} for params in self.params for kind in ("index", "dense"))

    def values(self, size: tuple[int, ...]) -> tuple[int, ...]:
        return size[:1] if self.per_sample else size[:2]

    def make(
        self, size: tuple[int, ...], params: Setting | None = None, dtype: torch.dtype = torch.float32, seed: int = 0
    ) -> dict[str, Any]:
        params = dict(params or {})
        x, target = make_rows(size, dtype, "index", seed)
        if params.pop("kind", "index") == "dense":
            target = F.one_hot(target, classes_of(size)).movedim(-1, 1).to(dtype)
        if params.get("mode") == "probabilities":
            x = x.double().softmax(1).to(dtype)
        return {"input": x.requires_grad_(), "target": target, **params}

    def extras(self, size: tuple[int, ...], dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
        generator, rows = torch.Generator().manual_seed(7), rows_of(size)
        made = {
            "mask": (torch.arange(math.prod(rows)) % 3 != 0).reshape(rows),
            "weight": (torch.rand(size[1], generator=generator, dtype=torch.float64) + 0.5).to(dtype),
            "normalizer": torch.tensor(3.0, dtype=dtype),
        }
        return {name: t for name, t in made.items() if name in self.parameters}

    @remembered
    def judge(self, arguments: dict[str, Any], upstream: Any = None, **options: Any) -> Judge:
        """Probabilities, sums and logarithms are off by `slack`, and ratios of sums by that at most.

        In the gradient of a pixel terms cancel that are as large as the largest gradient of a pixel.
        """
        results = exact(self, arguments, upstream, **options)
        x = arguments["input"]
        count = math.prod(self.values(tuple(x.shape))) if options.get("reduction") == "sum" else 1
        unit = slack(x) * self.steepness
        limits: list[Any] = [unit * (count + results[0].abs())]
        for wanted in results[1:]:
            limits.append(2 * unit * float(wanted.abs().max()))
        return Judge(results, limits)


# ---------------------------------------------------------------------------------------------- similarity


@dataclass(frozen=True, eq=False, kw_only=True)
class Similarity(Case):
    """A loss of all pairs of vectors. A size is a number of rows and their width.

    A callable among the values of a setting makes a tensor of the numbers of rows and of columns.

    Attributes:
        stored: Halves in which the similarities of vectors are kept.
        scalars: Values of further tensors that are differentiable: of an argument in its place, or by keyword.
        steepness: For given keywords and the longest vector's length, the largest derivative of a score in its
            similarity.
    """

    engine = "similarity"
    sizes = ((37, 19),)
    ways = ("small", "one strip", "strips kept", "strips twice")
    stored: ClassVar = (torch.bfloat16,)

    steepness: Callable[..., float]
    scalars: dict[str, float] = field(default_factory=dict)

    @property
    def vectors(self) -> tuple[str, ...]:
        """Names of the arguments that are vectors."""
        parameters = inspect.signature(self.functional).parameters.values()
        needed = (p.name for p in parameters if p.annotation == "Tensor" and p.default is p.empty)
        return tuple(name for name in needed if name != "labels")

    tensor_names = vectors

    @property
    def labelled(self) -> bool:
        """Whether integer labels follow the vectors."""
        return len(self.vectors) == 1

    @property
    def distances(self) -> bool:
        """Whether it sees distances, which are made in float32 at least."""
        return self.record.distances

    def normalizes(self, arguments: dict[str, Any]) -> bool:
        return bool(arguments.get("normalize", self.default("normalize")))

    def values(self, size: tuple[int, ...]) -> tuple[int, ...]:
        return (size[0] * (2 if self.name == "nt_xent_loss" else 1),)

    def make(
        self, size: tuple[int, ...], params: Setting | None = None, dtype: torch.dtype = torch.float32, seed: int = 0
    ) -> dict[str, Any]:
        """InfoNCE has 5 more keys than queries unless it is symmetric.

        Labels are negative, small and beyond 32 bits (two of them equal in their low halves), one of every seven is
        alone.
        """
        (n, width), params = size, params or {}
        generator = torch.Generator().manual_seed(seed)
        m = n + 5 if self.name == "info_nce_loss" and not params.get("symmetric") else n
        made: dict[str, Any] = {}
        for k, name in enumerate(self.vectors):
            made[name] = torch.randn(m if k else n, width, generator=generator).to(dtype).requires_grad_()
        if self.labelled:
            few = torch.tensor([-7, 0, 3, 5 + 2**33, 3 + 2**32])
            made["labels"] = few[torch.randint(len(few), (n,), generator=generator)]
            made["labels"][6::7] = torch.arange(100, 100 + len(made["labels"][6::7]))
        for name, value in self.scalars.items():
            made[name] = torch.tensor(value, dtype=torch.float64 if dtype == torch.float64 else torch.float32)
            made[name].requires_grad_()
        return {**made, **{k: v(n, m) if callable(v) else v for k, v in params.items()}}

    def extras(self, size: tuple[int, ...], dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(7)
        weight = torch.rand(self.values(size), generator=generator, dtype=torch.float64) + 0.5
        return {"weight": weight.to(dtype), "normalizer": torch.tensor(3.0, dtype=dtype)}

    @remembered
    def judge(self, arguments: dict[str, Any], upstream: Any = None, **options: Any) -> Judge:
        """What the engine's results may differ by.

        u is the unit roundoff of the computing dtype, p that of the products' (bfloat16; else u), r the longest vector
        as the products take it. Errors of pairs are independent: a sum has the root of the sum of their squares.

        - A similarity, a sum of D terms, is off by (6 + sqrt(D)) u r^2 =: e. In halves it is rounded, which is done
          here likewise; near the middle of two numbers the engine takes the other one (once or twice among thousands
          of pairs).
        - A score changes by K e for K its steepness; an exponential, its sum and the share of the positives with it, so
          a derivative g by 4 K e, relative; of a distance d by e / d^2.
        - Derivatives are rounded to p, and so is what the product makes of them: 4 p. All else is a handful of
          roundings u.
        - The normalisation divides by the length and subtracts what is at most as large.
        - A value changes by |g| e, and rounds what cancels in it: scores (K r^2), or margins and distances.
        """
        vectors = [v for k, v in arguments.items() if k in self.vectors or (k == "negatives" and v is not None)]
        dtype, width = vectors[0].dtype, vectors[0].shape[-1]
        u = UNIT[torch.float64] * 2 if dtype == torch.float64 else UNIT[torch.float32]
        halves = dtype in self.stored and not self.distances
        p = UNIT[dtype] if halves else u
        with Watched(dtype if halves else None) as products:
            results = solve_wide(self.reference, wide(arguments), upstream, **wide(options))
        normalizes = self.normalizes(arguments)
        lengths = torch.cat([v.detach().double().reshape(-1, width).norm(dim=-1) for v in vectors])
        longest, shortest = (1.0, float(lengths.min())) if normalizes else (float(lengths.max()), 1.0)
        scalars = {
            k: abs(float(v.detach())) for k, v in arguments.items() if k in self.scalars and hasattr(v, "detach")
        }
        numbers = {k: v for k, v in arguments.items() if isinstance(v, (int, float)) and not isinstance(v, bool)}
        rate = self.steepness(**{**self.scalars, **numbers, **scalars}, longest=longest)
        terms = rate * longest**2
        e = (6 + math.sqrt(width)) * u * longest**2
        spread, values, by_similarity, largest = 0.0, 0.0, 0.0, 0.0
        for x, y, s in products.seen:
            if s.grad is None or not s.numel():
                continue
            g = s.grad.square()
            spread += float((g @ y.mT.square()).max().sqrt() + (x.mT.square() @ g).max().sqrt())
            values, by_similarity = values + float(g.sum()), by_similarity + float((g * s.detach().square()).sum())
            largest = max(largest, float((s.grad * s.detach()).abs().max()))
        component = max((float(x.abs().max()) for x, _, _ in products.seen if x.numel()), default=0.0)
        sizes = max((max(s.shape) for _, _, s in products.seen), default=0)
        if self.distances:
            x = products.seen[0][0]
            d = (x.unsqueeze(1) - x).norm(dim=-1)
            rate = 1 / float(d[d > 0].min()) ** 2 if (d > 0).any() else 0.0
            margin = max([1.0, *(abs(v) for k, v in numbers.items() if "margin" in k)])
            terms = (margin + 2 * longest) * math.sqrt(sizes ** (2 if arguments.get("mining") == "all" else 1))
            if arguments.get("squared"):
                terms *= margin + 2 * longest
        factor = largest_of(upstream)
        if options.get("reduction") == "sum" or "normalizer" in options:
            terms *= math.sqrt(sizes)
        if options.get("weight") is not None:
            terms *= float(options["weight"].abs().max())
        flip = 4 * p * largest if halves else 0.0  # in a value; a derivative changes K times as much
        relative = 4 * rate * e + 4 * p + 8 * u
        size = float(results[0].abs().nan_to_num(0, 0, 0).max()) if results[0].numel() else 0.0
        tolerances = [(math.sqrt(values) * e + flip) / (factor or 1) + 8 * u * (size + terms)]
        wanted = [(k, t) for k, t in arguments.items() if getattr(t, "requires_grad", False)]
        for (name, t), result in zip(wanted, results[1:], strict=True):
            if name in self.scalars:  # the sum of g s, or of g, by the scalar itself
                bias = name == "logit_bias"
                per = relative * math.sqrt(values if bias else by_similarity) + 8 * u * float(
                    result.abs() * scalars[name]
                )
                turned = 4 * rate * flip * (1.0 if bias else longest**2)
                tolerances.append((per + turned) / scalars["logit_scale" if bias else name])
            else:
                both = (2 if self.distances else 1) * (2 if normalizes else 1) / shortest
                after = 4 * p * float(result.abs().nan_to_num(0, 0, 0).max()) if t.numel() else 0.0
                tolerances.append(both * (relative * spread + rate * flip * component) + after)
        return Judge(results, tolerances)


class Watched(TorchFunctionMode):
    """Watches the matrix products of the reference, and rounds what the engine keeps in ``dtype``, if any.

    These are the vectors of length one and the similarities; the derivative passes straight through.
    """

    def __init__(self, dtype: torch.dtype | None) -> None:
        super().__init__()
        self.dtype = dtype
        self.seen: list[tuple[Tensor, Tensor, Tensor]] = []

    def rounded(self, t: Tensor) -> Tensor:
        return t if self.dtype is None else t + (t.to(self.dtype).to(t.dtype) - t).detach()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.__name__
        if name == "normalize":
            return self.rounded(result)
        if name not in ("matmul", "__matmul__"):
            return result
        similarity = self.rounded(result)
        if similarity.requires_grad:
            similarity.retain_grad()
        self.seen.append((args[0].detach(), args[1].detach(), similarity))
        return similarity


def solve_wide(fn: Callable[..., Any], arguments: dict[str, Any], upstream: Any, **options: Any) -> list[Tensor]:
    """As `gradients`, but backward goes through the whole graph, which keeps the similarities' gradients."""
    loss = fn(**arguments, **options)
    if upstream is None:
        upstream = torch.ones_like(loss)
    if loss.requires_grad:
        loss.backward(torch.as_tensor(upstream, dtype=loss.dtype).expand_as(loss))
    wanted = [t for t in arguments.values() if isinstance(t, torch.Tensor) and t.requires_grad]
    return [loss.detach(), *(torch.zeros_like(t) if t.grad is None else t.grad for t in wanted)]


# -------------------------------------------------------------------------------------------------- linear


@dataclass(frozen=True, eq=False, kw_only=True)
class Linear(Case):
    """A loss of hidden states and a classifier of 13 classes. A size is a number of rows and the vectors' width.

    Attributes:
        steepness: For given keywords, the largest derivative of a logit in the product.
        centers: Vectors of a class.
    """

    engine = "linear"
    sizes = ((1, 3), (37, 19), (150, 33))
    ways = ("as used", "strips")
    shared = Softmax.shared
    classes: ClassVar = 13

    steepness: Callable[..., float] = lambda **_: 1.0
    centers: int = 1

    @property
    def tensor_names(self) -> tuple[str, ...]:
        return self.record.names[:2]

    @property
    def cosine(self) -> bool:
        return self.record.cosine

    @property
    def settings(self) -> tuple[Setting, ...]:
        kinds = ("index",) if self.cosine else ("index", "probability")
        return tuple({**params, "kind": kind} for params in self.params for kind in kinds)

    def values(self, size: tuple[int, ...]) -> tuple[int, ...]:
        return size[:1]

    def make(
        self, size: tuple[int, ...], params: Setting | None = None, dtype: torch.dtype = torch.float32, seed: int = 0
    ) -> dict[str, Any]:
        """Logits of linear layers have spread 2."""
        (n, width), params = size, dict(params or {})
        generator = torch.Generator().manual_seed(seed)
        hidden, weight = self.tensor_names
        target = make_rows((n, self.classes), dtype, params.pop("kind", "index"), seed)[1]
        spread = 1.0 if self.cosine else 2 / math.sqrt(width)
        made = {
            hidden: torch.randn(n, width, generator=generator).to(dtype).requires_grad_(),
            weight: (spread * torch.randn(self.classes * self.centers, width, generator=generator)).to(dtype),
            "target": target,
        }
        made[weight].requires_grad_()
        if params.pop("bias", False):
            params["linear_bias"] = torch.randn(self.classes, generator=generator).to(dtype).requires_grad_()
        return {**made, **{k: v.to(dtype) if isinstance(v, Tensor) else v for k, v in params.items()}}

    def extras(self, size: tuple[int, ...], dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
        made = {"mask": torch.arange(size[0]) % 3 != 0, "normalizer": torch.tensor(3.0, dtype=dtype)}
        if not self.cosine:  # which call the classifier so
            generator = torch.Generator().manual_seed(7)
            made["weight"] = (torch.rand(self.classes, generator=generator, dtype=torch.float64) + 0.5).to(dtype)
        return made

    @remembered
    def judge(self, arguments: dict[str, Any], upstream: Any = None, **options: Any) -> Judge:
        """What the engine's results may differ by.

        u is the unit roundoff of the computing dtype, p that of the products' (of halves; else u), r and w the longest
        vectors of both sides, s how steep a logit is in its product.

        - A product, a sum of D terms, is off by (6 + sqrt(D)) u r w, and rounded to p of at most r w. A logit changes
          by s times that: e. A probability changes by 2 e, relative; so does a loss's derivative in a logit, in units
          of that derivative and of the target's probability. A focal factor has gamma times that.
        - Derivatives in the logits are rounded to p, or scaled in between, and so is what products make of them: 4 p.
        - The normalisation divides by the length and subtracts what is at most as large: twice.
        - A value changes by 2 e.
        """
        hidden = arguments[self.tensor_names[0]]
        dtype, width = hidden.dtype, hidden.shape[1]
        u = UNIT[torch.float64] * 2 if dtype == torch.float64 else UNIT[torch.float32]
        p = UNIT[dtype] if dtype in HALF else u
        with WatchedLayer() as products:
            results = solve_wide(self.reference, wide(arguments), upstream, **wide(options))
        (x, columns, z), *_ = products.seen or [(torch.zeros(1, 1),) * 3]
        numbers = {k: v for k, v in {**arguments, **options}.items() if isinstance(v, (int, float))}
        r, w = (float(t.norm(dim=-1).max()) for t in (x, columns))
        e = self.steepness(**numbers) * ((6 + math.sqrt(width)) * u + 2 * p) * r * w
        relative = 2 * (1 + numbers.get("gamma", 2.0)) * e + 4 * p + 16 * u
        rows = hidden.shape[0] if options.get("reduction", "mean") == "sum" else 1.0
        if options.get("normalizer") is not None:
            rows = hidden.shape[0] / float(options["normalizer"])
        largest = float(results[0].detach().abs().nan_to_num(0, 0, 0).max()) if results[0].numel() else 0.0
        values = rows * 3 * e + 16 * u * (largest + rows * self.steepness(**numbers) * r * w)
        tolerances: list[Any] = [values]
        if z.grad is None:
            return Judge(results, [values] * len(results))
        z, g = z.detach(), z.grad.abs()
        g = g + g.amax(1, keepdim=True) * (z - z.amax(1, keepdim=True)).exp()
        bounds = dict(zip(self.tensor_names, (g @ columns.abs(), g.mT @ x.abs()), strict=True)) | {
            "linear_bias": g.sum(0)
        }
        for name, t in arguments.items():
            if getattr(t, "requires_grad", False):
                bound = relative * bounds[name]
                if self.cosine:
                    bound = 2 * bound.norm(dim=-1, keepdim=True) / t.detach().double().norm(dim=-1, keepdim=True)
                tolerances.append(bound)
        return Judge(results, tolerances)


class WatchedLayer(TorchFunctionMode):
    """Watches the products of the reference."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[Tensor, Tensor, Tensor]] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func.__name__ == "linear":
            if result.requires_grad:
                result.retain_grad()
            self.seen.append((args[0].detach(), args[1].detach(), result))
        return result
