"""Every kernel against its formula in float64: `selftest`, and what the first CUDA call of an engine asks.

Note [Limits]
Arguments are numbers that every dtype holds, so one formula in float64 serves all dtypes. What a result may be off by
is known from how it is made:

- It is computed in float32 or float64 with unit roundoff u. Some dozens of roundings make a value, an exponential of
  what is below 4 in size among them, and a sum over a row, whose roundings add up as their root: (96 + 8 sqrt(width))
  u, relative to the largest of the tensor, since terms cancel. (In float64 the formula rounds as often.)
- It is rounded to its dtype, a gradient twice: where forward writes it, and where the upstream gradient multiplies
  it. Below the smallest normal number that rounding is absolute.
- A similarity of bfloat16 (on a GPU of float16 too) is rounded before it is used: by p / 2 of at most 1. With a score
  that changes ``rate`` times as fast, derivatives change by 2 rate times that, are rounded themselves, and so is what
  a product makes of them: (2 rate + 4) p.

A kernel that leaves out, repeats or swaps anything is off by its results' own size.
"""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fastloss import functional, isa, reference
from fastloss._core import operators as _ops
from fastloss._core import verified
from fastloss._core.record import DivergenceLoss, Loss, RowOutputs, SimilarityLoss, SoftmaxLoss
from fastloss._core.route import explain

_UNIT = {torch.float64: 2.0**-53, torch.float32: 2.0**-24, torch.bfloat16: 2.0**-8, torch.float16: 2.0**-11}
_UNDERFLOW = {torch.float64: 0.0, torch.float32: 2.0**-149, torch.bfloat16: 2.0**-133, torch.float16: 2.0**-24}
_UPSTREAM = 64.0  # of a reduced loss: not 1, so that scaling runs too

# Of what tensors hold (`Record.holds`): from where to where, or one of these values.
_RANGES: dict[str, tuple[float, ...]] = {
    "real": (-3.0, 3.0),
    "log_probability": (-3.0, 0.0),
    "log_rate": (0.125, 2.0),
    "probability": (0.125, 0.875),
    "distribution": (0.125, 1.0),
    "positive": (0.25, 3.0),
    "count": (0, 1, 2, 3, 4, 5),
    "binary": (0, 1),
    "sign": (-1, 1),
    "row_sign": (-1, 1),
}
# What losses of all pairs are given besides vectors, where they take it.
_PAIRS = {"logit_scale": 4.0, "logit_bias": -2.0, "temperature": 0.25, "beta": 4.0, "gamma": 4.0, "normalize": True}


class Case(NamedTuple):
    """A call that runs one kernel or several.

    Attributes:
        make: The arguments in float64, by name.
        options: Further arguments.
        path: What the call is to show, in words.
        brief: Whether the first call of an engine asks it.
        lies: How the first tensor lies in memory.
        mixed: All tensors but the first one are float32 where that is half.
        rate: Note [Limits].
    """

    engine: str
    loss: str
    path: str
    make: Callable[[], dict[str, Any]]
    options: dict[str, Any] = {}  # noqa: RUF012
    brief: bool = False
    lies: Callable[[Tensor], Tensor] = torch.clone
    mixed: bool = False
    rate: float = 0.0


class Line(NamedTuple):
    """What calls of one engine and dtype gave.

    Attributes:
        where: The device, or the instruction set of the CPU.
        calls: How many there were.
        worst: The largest error, as a share of its limit (Note [Limits] in ``fastloss/_selftest.py``).
        loss: Whose it is.
        path: Of which call.
        failures: Each wrong call, in words.
    """

    where: str
    engine: str
    dtype: torch.dtype
    calls: int = 0
    worst: float = 0.0
    loss: str = ""
    path: str = ""
    failures: tuple[str, ...] = ()


class SelfTest(NamedTuple):
    """The table that `selftest` returns; `str` makes text of it.

    Example:
        >>> fastloss.SelfTest(lines=(), seconds=0.0).failures
        ()
    """

    lines: tuple[Line, ...]
    seconds: float

    @property
    def failures(self) -> tuple[str, ...]:
        """Each wrong call, in words."""
        return tuple(failure for line in self.lines for failure in line.failures)

    def __str__(self) -> str:
        head = ("where", "engine", "dtype", "calls", "error / limit", "of")
        rows = [head] + [
            (t.where, t.engine, str(t.dtype)[6:], str(t.calls), f"{t.worst:.3f}", f"{t.loss}, {t.path}")
            for t in self.lines
        ]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        text = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        failures, calls, shown = self.failures, sum(line.calls for line in self.lines), 20
        said = f"{len(failures)} of {calls} calls are WRONG" if failures else f"all {calls} calls are right"
        more = [f"... and {len(failures) - shown} more"] if len(failures) > shown else []
        return "\n".join([*text, *failures[:shown], *more, f"fastloss.selftest: {said}, {self.seconds:.1f} s"])


# ------------------------------------------------------------------------------------------------------------ cases


def _drawn(shape: tuple[int, ...], holds: str, seed: int) -> Tensor:
    """Numbers that every dtype holds."""
    generator = torch.Generator().manual_seed(seed)
    if holds == "box":  # a corner, and another one behind it: good in every format
        corner, size = torch.rand((2, *shape, 2), generator=generator, dtype=torch.float64)
        return _held(torch.cat((corner * 2, corner * 2 + size + 0.25), -1))
    values = _RANGES[holds]
    if len(values) == 2 and isinstance(values[0], float):
        low, high = values
        return _held(low + (high - low) * torch.rand(shape, generator=generator, dtype=torch.float64))
    return torch.tensor(values, dtype=torch.float64)[torch.randint(len(values), shape, generator=generator)]


def _held(t: Tensor) -> Tensor:
    return t.bfloat16().half().double()


def _normal(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return _held(torch.randn(shape, generator=generator, dtype=torch.float64))


def _below(bound: int, shape: tuple[int, ...], seed: int = 9) -> Tensor:
    return torch.randint(bound, shape, generator=torch.Generator().manual_seed(seed))


def _transposed(t: Tensor) -> Tensor:
    return t.transpose(0, 1).contiguous().transpose(0, 1)


def _shifted(t: Tensor) -> Tensor:
    """Off the grid of 16 bytes."""
    return torch.cat([t.new_zeros(1), t.flatten()])[1:].view_as(t)


def _of_elements(record: Loss, first: bool) -> Iterator[Case]:
    def make(count: int, every: bool, **more: Callable[[], Any]) -> Callable[[], dict[str, Any]]:
        def made() -> dict[str, Any]:
            given: dict[str, Any] = {}
            for k, name in enumerate(record.tensors):
                t = _drawn((count,), record.holds.get(name, "real"), k)
                given[name] = t.requires_grad_((not k or every) and name not in record.fixed)
            if record.optional and every:
                given[record.optional] = _drawn((count,), "positive", 5)
            return {**given, **{name: value() for name, value in more.items()}}

        return made

    options = {
        "weight": lambda: _drawn((3001,), "positive", 6),
        "mask": lambda: torch.arange(3001) % 3 != 0,
    }
    whole = {"reduction": "sum"} if record.batchmean else {}  # its mean warns
    yield Case("elements", record.name, "plain", make(9001, False), whole, brief=True)
    yield Case("elements", record.name, "plain, each value", make(9001, False), {"reduction": "none"}, brief=first)
    yield Case("elements", record.name, "general", make(3001, True, **options), whole, brief=first, lies=_shifted)
    if record.dtype != "equal":
        yield Case("elements", record.name, "general, two dtypes", make(3001, True), whole, brief=first, mixed=True)
    for name, words in record.words.items():
        for word in words:
            yield Case("elements", record.name, f"{name} {word}", make(3001, True), {**whole, name: word})


_WIDTHS = (3, 16, 100, 512, 2048, 4099, 20000)


def _of_products(record: Loss, first: bool) -> Iterator[Case]:
    def make(width: int) -> Callable[[], dict[str, Any]]:
        def made() -> dict[str, Any]:
            given = {}
            for k, name in enumerate(record.tensors):
                fixed = name in record.fixed
                shape = (13,) if name == record.label else (13, width)
                given[name] = _drawn(shape, record.holds.get(name, "real"), k).requires_grad_(not fixed)
            return given

        return made

    for width in _WIDTHS:
        wide = f"{width} wide"
        yield Case("products", record.name, wide, make(width), brief=first or width == 100)
        yield Case("products", record.name, f"{wide}, each row", make(width), {"reduction": "none"})
        yield Case("products", record.name, f"{wide}, off 16 bytes", make(width), brief=first, lies=_shifted)
        yield Case("products", record.name, f"{wide}, two dtypes", make(width), mixed=True)


# Logits by the path that they take on CUDA (csrc/engines/softmax/plan.cu), and how they lie.
_LOGITS: dict[str, tuple[tuple[int, ...], Callable[[Tensor], Tensor]]] = {
    "tile": ((150, 19), torch.clone),
    "group128": ((37, 80), torch.clone),
    "group256": ((9, 256), torch.clone),
    "group1024": ((9, 1000), torch.clone),
    "group1024, odd": ((9, 1009), torch.clone),
    "group4096": ((5, 4096), torch.clone),
    "group16384": ((3, 16384), torch.clone),
    "cluster of 2": ((2, 32000), torch.clone),
    "columns_wide": ((2, 21, 16, 16), torch.clone),
    "columns": ((2, 21, 15, 17), torch.clone),
    "strided": ((13, 1000), _transposed),
    "cluster of 8": ((2, 128256), torch.clone),
    "stream": ((2, 300001), torch.clone),
}
_ONLY_CUDA = {"cluster of 8", "stream"}  # to the CPU a long row is like another


def _of_softmax(record: SoftmaxLoss, first: bool) -> Iterator[Case]:
    def make(shape: tuple[int, ...], kind: str) -> Callable[[], dict[str, Any]]:
        def made() -> dict[str, Any]:
            rows, classes = shape[:1] + shape[2:], shape[1]
            given: dict[str, Any] = {"input": _normal(*shape).requires_grad_(), "target": _below(classes, rows)}
            if kind == "probabilities":
                given["target"] = _drawn(shape, "probability", 4) * 2.0 ** -math.ceil(math.log2(classes))
            if kind == "options":
                given["weight"] = _drawn((classes,), "positive", 5)
                given["mask"] = (torch.arange(math.prod(rows)) % 3 != 0).view(rows)
            return given

        return made

    for path, (shape, lies) in _LOGITS.items():
        brief = (first and path not in _ONLY_CUDA) or path == "group128"
        engine, name = "softmax", record.name
        yield Case(engine, name, path, make(shape, "classes"), brief=brief, lies=lies)
        yield Case(engine, name, f"{path}, each row", make(shape, "classes"), {"reduction": "none"}, lies=lies)
        yield Case(engine, name, f"{path}, options", make(shape, "options"), {"label_smoothing": 0.125}, brief, lies)
        if record.probabilities:
            yield Case(engine, name, f"{path}, probabilities", make(shape, "probabilities"), lies=lies)


_ROWS = {"few": (70, 10), "warp": (9, 1000), "block": (3, 20000)}


def _of_outputs(record: RowOutputs, first: bool) -> Iterator[Case]:
    def make(rows: int, classes: int) -> Callable[[], dict[str, Any]]:
        return lambda: {"input": _normal(rows, classes).requires_grad_(), "target": _below(classes, (rows,))}

    options = {"return_entropy": True, "return_lse": True}
    for path, shape in _ROWS.items():
        yield Case("outputs", record.name, path, make(*shape), options, brief=True)
        yield Case("outputs", record.name, f"{path}, transposed", make(*shape), options, brief=True, lies=_transposed)


def _of_divergence(record: DivergenceLoss, first: bool) -> Iterator[Case]:
    def make(rows: int, classes: int) -> Callable[[], dict[str, Any]]:
        return lambda: {
            "input": _normal(rows, classes).requires_grad_(),
            "target": _normal(rows, classes, seed=1).requires_grad_(),
        }

    for kind in record.operators:
        for path, shape in _ROWS.items():
            for reduction in ("mean", "none"):
                options = {"kind": kind, "reduction": reduction}
                what = f"{kind}, {path}" + (", each row" if reduction == "none" else "")
                yield Case("divergence", record.name, what, make(*shape), options, brief=reduction == "mean")


def _of_similarity(record: SimilarityLoss, first: bool) -> Iterator[Case]:
    parameters = inspect.signature(record.pose).parameters
    options = {name: value for name, value in _PAIRS.items() if name in parameters}
    vectors = [n for n, p in parameters.items() if "Tensor" in str(p.annotation) and p.default is p.empty]
    vectors = [name for name in vectors if name not in ("labels", *options)]
    mining = (("batch_hard",), ("semi_hard",), ("all",)) if "mining" in parameters else ((),)
    rate = max([1.0, *(abs(v) if n != "temperature" else 1 / v for n, v in options.items() if n != "normalize")])

    def make(n: int, width: int) -> Callable[[], dict[str, Any]]:
        def made() -> dict[str, Any]:
            given: dict[str, Any] = {name: _normal(n, width, seed=k).requires_grad_() for k, name in enumerate(vectors)}
            return {**given, "labels": _below(9, (n,))} if len(vectors) == 1 else given

        return made

    for kind in mining:
        more = dict(zip(("mining",), kind, strict=False))
        for n, width in ((70, 24), (67, 7), (300, 64)):
            what = " ".join([f"{n} of {width}", *kind])
            given = {**options, **more}
            yield Case("similarity", record.name, what, make(n, width), given, brief=n == 70, rate=rate)
            if n == 300:  # strips of 128 rows, whose products are added to each other
                strips = {**given, "memory_budget": 1}
                yield Case("similarity", record.name, f"{what}, strips", make(n, width), strips, brief=first, rate=rate)
            each = {**given, "reduction": "none"}
            yield Case("similarity", record.name, f"{what}, each row", make(n, width), each, rate=rate)


_OF: dict[type, Callable[..., Iterator[Case]]] = {
    SoftmaxLoss: _of_softmax,
    RowOutputs: _of_outputs,
    DivergenceLoss: _of_divergence,
    SimilarityLoss: _of_similarity,
}
ENGINES = ("elements", "products", "softmax", "outputs", "divergence", "similarity")


def cases(engine: str) -> Iterator[Case]:
    """Calls of every loss of an engine."""
    first = True
    for name in functional.__all__:
        record = getattr(getattr(functional, name), "record", None)
        if record is None or record.engine != engine or name == "flex_cross_entropy":  # the rows of token_logprobs
            continue
        of = (_of_products if record.pairs else _of_elements) if type(record) is Loss else _OF.get(type(record))
        if of is not None:
            parameters = inspect.signature(record.pose).parameters
            needed = {name: 0.5 for name in record.params if parameters[name].default is inspect.Parameter.empty}
            for case in of(record, first):
                yield case._replace(options={**needed, **case.options}) if needed else case
            first = False


# ------------------------------------------------------------------------------------------------------------- runs


def _results(function: Callable[..., Any], given: dict[str, Any]) -> list[Tensor]:
    """What is returned, then the gradients."""
    leaves = [t for t in given.values() if isinstance(t, Tensor) and t.requires_grad]
    made = function(**given)
    made = [t for t in (made if isinstance(made, tuple) else (made,)) if t is not None]
    return [*(t.detach() for t in made), *torch.autograd.grad(made, leaves, [_upstream(t) for t in made])]


def _upstream(of: Tensor) -> Tensor:
    if of.dim() == 0:
        return torch.full_like(of, _UPSTREAM)
    return ((torch.arange(of.numel(), device=of.device) % 7 - 2) / 4).to(of.dtype).view(of.shape)


class _Expected(NamedTuple):
    given: dict[str, Any]
    results: list[Tensor]
    scales: list[float]
    width: int


def _expect(case: Case) -> _Expected:
    """Arguments, and what float64 makes of them."""
    given, function = case.make(), getattr(reference, case.loss)
    options = {name: value for name, value in case.options.items() if name != "memory_budget"}  # kernels' alone
    results = _results(function, {**given, **options})
    scales = [float(t.abs().max()) if t.numel() else 0.0 for t in results]
    if results[0].dim() == 0:  # its terms may cancel
        leafless = {name: t.detach() if isinstance(t, Tensor) else t for name, t in given.items()}
        values = function(**{**leafless, **options, "reduction": "none"}).abs()
        scales[0] = float(values.sum() if case.options.get("reduction") == "sum" else values.max())
    shape = next(iter(given.values())).shape
    return _Expected(given, results, scales, shape[min(1, len(shape) - 1)] if case.engine != "elements" else 1)


def _moved(case: Case, given: dict[str, Any], dtype: torch.dtype, device: torch.device) -> dict[str, Any]:
    """The arguments of a call; with an option on the CPU, where a tiny call without any is PyTorch's own."""
    made: dict[str, Any] = {}
    for name, t in given.items():
        if isinstance(t, Tensor):
            here = t.detach().to(device)
            if t.is_floating_point():
                wide = case.mixed and made and dtype.itemsize == 2
                here = here.to(torch.float32 if wide else dtype)
            made[name] = (here if made else case.lies(here)).requires_grad_(t.requires_grad)
    return {**made, **case.options, **({"loss_dtype": dtype} if device.type == "cpu" else {})}


def _error(case: Case, expected: _Expected, dtype: torch.dtype, device: torch.device) -> float:
    """The largest error of a call, as a share of its limit."""
    results = _results(getattr(functional, case.loss), _moved(case, expected.given, dtype, device))
    unit = 2 * _UNIT[dtype] if dtype == torch.float64 else _UNIT[torch.float32]
    relative = (96 + 8 * math.sqrt(expected.width)) * unit
    if case.engine == "similarity" and dtype.itemsize == 2:
        relative += (2 * case.rate + 4) * _UNIT[dtype]
    worst = 0.0
    for got, exact, scale in zip(results, expected.results, expected.scales, strict=True):
        limit = relative * scale + 2 * _UNIT[got.dtype] * exact.abs() + 2 * _UNDERFLOW[got.dtype] + 1e-300
        share = (got.detach().cpu().double() - exact).abs() / limit
        worst = max(worst, float(share.nan_to_num(nan=math.inf).max()))
    return worst


def _run(case: Case, expected: _Expected, where: str, dtype: torch.dtype, device: torch.device) -> tuple[float, str]:
    """The error of a call, and what is wrong with the call, in words; empty if it is right."""
    what = f"{where}, {case.loss}, {str(dtype)[6:]}, {case.path}"
    route = explain(getattr(functional, case.loss), **_moved(case, expected.given, dtype, device))
    if route.path != "kernel":
        return math.inf, f"{what}: no kernel: {route.reason}"
    error = _error(case, expected, dtype, device)
    return error, "" if error <= 1 else f"{what}: the error is {error:.3g} times its limit"


def brief(engine: str, dtype: torch.dtype, device: torch.device) -> str:
    """What is wrong with an engine on a device, by its shortest calls; empty if nothing is."""
    for case in cases(engine):
        if case.brief:
            _, wrong = _run(case, _expect(case), str(device), dtype, device)
            if wrong:
                return wrong
    return ""


def selftest(device: str | torch.device | None = None) -> SelfTest:
    """Runs every kernel of every engine, dtype and path, and compares with the formulas in float64.

    Takes seconds, and needs none of PyTorch's random numbers. On the CPU each instruction set runs that this CPU has.
    The first CUDA call of an engine and dtype asks a few of these calls, once for a device, driver and build
    (``FASTLOSS_SELFTEST=0`` turns that off); where they are wrong the engine's calls run in plain PyTorch, with a
    warning. This function asks all of them, and what it finds replaces what the first call found.

    Args:
        device: ``"cpu"``, ``"cuda"`` or ``"cuda:1"``. Default: the CPU, and the current CUDA device if there are
            kernels for it.

    Returns:
        A table of the largest errors, each as a share of its derived limit; ``print`` shows it, and its ``failures``
        are empty if all is right. ``python -m fastloss selftest`` does both.

    Raises:
        RuntimeError: The extension, or the kernels for this device, are absent.

    Example:
        >>> fastloss.selftest("cpu").failures  # doctest: +SKIP
        ()
    """
    _ops.extension()
    started = time.monotonic()
    devices = [torch.device("cpu")] if device is None else [torch.device(device)]
    if device is None and _ops.CUDA and torch.cuda.is_available():
        devices.append(torch.device("cuda"))
    lines: list[Line] = []
    for each in devices:
        if each.type == "cuda":
            reason = _ops.missing_cuda_reason() or verified.why_device_not(each.index or 0)
            if reason:
                raise RuntimeError(f"fastloss.selftest: expected CUDA kernels for {each}, but {reason}")
            each = torch.device("cuda", torch.cuda.current_device() if each.index is None else each.index)
        with verified.unchecked():
            found = [line for engine in ENGINES for line in _lines(engine, each)]
        if each.type == "cuda":
            for line in found:
                verified.settle(line.engine, line.dtype, each.index, line.failures[0] if line.failures else "")
        lines += found
    return SelfTest(tuple(lines), time.monotonic() - started)


def _lines(engine: str, device: torch.device) -> list[Line]:
    places = [str(device)] if device.type == "cuda" else isa.available()
    lines: dict[tuple[str, torch.dtype], Line] = {}
    for case in cases(engine):
        if device.type != "cuda" and case.path.split(",")[0] in _ONLY_CUDA:
            continue
        expected = _expect(case)
        for where in places:
            with nullcontext() if device.type == "cuda" else isa.use(where):
                for dtype in _ops.DTYPE_CODES:
                    line = lines.setdefault((where, dtype), Line(where, engine, dtype))
                    error, wrong = _run(case, expected, where, dtype, device)
                    if error >= line.worst:
                        line = line._replace(worst=error, loss=case.loss, path=case.path)
                    failures = (*line.failures, wrong) if wrong else line.failures
                    lines[where, dtype] = line._replace(calls=line.calls + 1, failures=failures)
    return sorted(lines.values(), key=lambda line: line.where)
