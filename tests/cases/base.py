"""What all cases share: numbers, how a loss is run, and what is asked of its results."""

from __future__ import annotations

import functools
import inspect
import itertools
import math
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, ParamSpec, TypeVar

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import fastloss
from fastloss._core import signatures as _signatures

P = ParamSpec("P")
R = TypeVar("R")

HALF = (torch.bfloat16, torch.float16)
DTYPES = (torch.float64, torch.float32, *HALF)
REDUCTIONS = ("none", "mean", "sum")
UPSTREAM = (0.0, 1.0, -2.5, 65536.0, 1.0 / 3.0)

# Unit roundoff (half the gap above 1), and half the smallest subnormal.
UNIT = {torch.float64: 2.0**-53, torch.float32: 2.0**-24, torch.bfloat16: 2.0**-8, torch.float16: 2.0**-11}
UNDERFLOW = {torch.float64: 0.0, torch.float32: 2.0**-150, torch.bfloat16: 2.0**-134, torch.float16: 2.0**-25}


Setting = dict[str, Any]
# Arguments of all losses.
_SHARED = {
    "reduction", "size_average", "reduce", "ignore_index", "normalizer", "empty", "inplace", "return_stats", "ddp",
}  # fmt: skip
_MODULES = {made._function.__name__: made for made in vars(fastloss.nn).values() if hasattr(made, "_function")}


@dataclass(frozen=True, eq=False, kw_only=True)
class Case:
    """One loss: what tests need to know of it that neither its record nor its signature says.

    Its engine's class makes arguments (`make`: by name, for a size of two dimensions or more) and knows what its
    results may be off by (`judge`).

    Attributes:
        params: Settings of the loss's own hyperparameters, each run through every property.
        points: Values worked out by hand: tensors as lists or numbers, keywords, the loss.
        written: The plain expression that its users write, where PyTorch has no function.
        written_module: Likewise a module.
        engine: Of `fastloss.engines`.
        sizes: That show every part of a kernel.
        ways: In which the engine may solve a problem; see the fixture `route`.
        shared: As ``further``, of what all losses of the engine take.
        further: Values of hyperparameters that random calls (soak.py) take besides those of ``params``.
    """

    engine: ClassVar[str]
    sizes: ClassVar[tuple[tuple[int, ...], ...]]
    ways: ClassVar[tuple[str, ...]] = ("as used",)
    shared: ClassVar[dict[str, tuple[Any, ...]]] = {}

    name: str = field(kw_only=False)
    params: tuple[Setting, ...] = ({},)
    points: tuple[tuple[tuple[Any, ...], Setting, Any], ...] = ()
    written: Callable[..., Tensor] | None = None
    written_module: type[torch.nn.Module] | None = None
    further: dict[str, tuple[Any, ...]] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name

    @property
    def functional(self) -> Callable[..., Any]:
        return getattr(fastloss.functional, self.name)

    @property
    def reference(self) -> Callable[..., Any]:
        return getattr(fastloss.reference, self.name)

    @property
    def record(self) -> Any:
        return self.functional.record

    @property
    def module(self) -> type[Any]:
        return _MODULES[self.name]

    @property
    def bare(self) -> bool:
        """Whether its module has nothing but settings, all with defaults, and is given every tensor in a call."""
        return not self.module._held

    @property
    def drop_in(self) -> bool:
        """Whether it is PyTorch's own loss, with its constructor and its tiny calls."""
        return hasattr(F, self.name)

    @property
    def native(self) -> Callable[..., Any] | None:
        """PyTorch's own function, or what users write."""
        return getattr(F, self.name, self.written)

    @property
    def native_module(self) -> type[Any] | None:
        return getattr(torch.nn, self.module.__name__, self.written_module)

    def needed(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Those that the constructor of the module cannot do without."""
        parameters = inspect.signature(self.module).parameters.values()
        required = [p.name for p in parameters if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
        return {name: arguments[name] for name in required}

    @property
    def parameters(self) -> dict[str, inspect.Parameter]:
        """Of the function, options by name."""
        return _signatures.of_function(self.functional)

    def default(self, name: str) -> Any:
        """Of an argument; None for one that has none."""
        found = self.parameters[name].default
        return None if found is inspect.Parameter.empty else found

    @property
    def tensor_names(self) -> tuple[str, ...]:
        """Of what is like the first one: drawn from one distribution, of one dtype."""
        raise NotImplementedError

    @property
    def hyperparameters(self) -> tuple[str, ...]:
        """Names of arguments that are numbers, flags or words of the loss's own."""
        parameters = self.parameters.items()
        return tuple(
            name for name, p in parameters if re.search("float|bool|Literal", str(p.annotation)) and name not in _SHARED
        )

    def candidates(self, name: str) -> tuple[Any, ...]:
        """Values of a hyperparameter: its default, those of the settings and further ones, or every flag and word."""
        annotation, default = str(self.parameters[name].annotation), self.default(name)
        words = re.findall(r"'(\w+)'", annotation)
        if words or isinstance(default, bool):
            return tuple(words) or (default, not default)
        given = [p[name] for p in self.params if name in p and not callable(p[name])]
        needed = () if default is None and "None" not in annotation else (default,)
        every = [*needed, *given, *self.shared.get(name, ()), *self.further.get(name, ())]
        return tuple({(type(v), v): v for v in every}.values())  # 1 and 1.0 are different calls

    @property
    def settings(self) -> tuple[Setting, ...]:
        """Keywords of `make`, one for each way to pose the loss."""
        return self.params

    def make(
        self, size: tuple[int, ...], params: Setting | None = None, dtype: torch.dtype = torch.float32, seed: int = 0
    ) -> dict[str, Any]:
        """Arguments by name, exactly representable in ``dtype``; what is differentiable requires a gradient."""
        raise NotImplementedError

    def make_smooth(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Likewise, away from where a second derivative is unbounded."""
        return self.make(*args, **kwargs)

    def values(self, size: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the unreduced loss."""
        raise NotImplementedError

    def extras(self, size: tuple[int, ...], dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
        """A weight, a divisor and, where it is one of the values, a mask, for arguments of this size."""
        raise NotImplementedError

    def judge(self, arguments: dict[str, Any], upstream: Any = None, **options: Any) -> Judge:
        """What a call must give."""
        raise NotImplementedError


@dataclass
class Judge:
    """Loss and gradients in float64 from the values as they are, and what ours may differ from each by."""

    results: list[Tensor]
    tolerances: list[Any]

    def check(self, got: list[Tensor], what: Any = "") -> None:
        for k, (actual, wanted, tolerance) in enumerate(zip(got, self.results, self.tolerances, strict=True)):
            check_near(actual, wanted, tolerance, f"{what} {'gradient' if k else 'loss'} {k}")


def settings(table: Any) -> list[Any]:
    """Each loss of a table with each setting of its hyperparameters, to parametrize with."""
    return [pytest.param(case, params, id=f"{case}-{i}") for case in table for i, params in enumerate(case.params)]


def _fingerprint(value: Any) -> Any:
    if isinstance(value, Tensor):
        flat = value.detach().contiguous().reshape(-1)
        data = flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""
        return value.dtype, value.shape, value.requires_grad, hash(data)
    if isinstance(value, dict):
        return tuple((name, _fingerprint(v)) for name, v in sorted(value.items()))
    if isinstance(value, tuple | list):
        return tuple(map(_fingerprint, value))
    return value if isinstance(value, int | float | str | None) else id(value)


REMEMBERED: dict[Any, Any] = {}  # emptied by conftest.py between tests that differ in more than `isa`


def remembered(fn: Callable[P, R]) -> Callable[P, R]:
    """Of arguments it has seen, the result it gave: the references of a test serve all instruction sets."""

    @functools.wraps(fn)
    def known(*args: P.args, **kwargs: P.kwargs) -> R:
        key = (fn, _fingerprint(args), _fingerprint(kwargs))
        if key not in REMEMBERED:
            REMEMBERED[key] = fn(*args, **kwargs)
        return REMEMBERED[key]

    return known


def check_near(actual: Tensor, wanted: Tensor, tolerance: float | Tensor, what: str) -> None:
    assert actual.shape == wanted.shape
    a, w = actual.double(), wanted.double()
    assert torch.equal(a.isnan(), w.isnan()), f"{what}: NaN in different places"
    overflow = torch.finfo(actual.dtype).max * (1 + UNIT[actual.dtype] / 2)
    w = torch.where(w.abs() >= overflow, w.sign() * math.inf, w)
    infinite = w.isinf() | a.isinf()
    assert torch.equal(a[infinite], w[infinite]), f"{what}: infinities differ"
    ordinary = ~(infinite | w.isnan())
    limit = tolerance + UNIT[actual.dtype] * w.abs() + UNDERFLOW[actual.dtype]
    limit = limit.expand_as(w) if isinstance(limit, Tensor) else torch.full_like(w, limit)
    excess = ((a - w).abs() / limit.clamp_min(1e-300))[ordinary]
    worst = float(excess.max()) if excess.numel() else 0.0
    assert worst <= 1.0, f"{what}: error is {worst:.2f} times its bound"


def by_place(fn: Callable[..., Any], arguments: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """The first tensors as people give them, by position (a call that the engine's gate may answer), others by name."""
    parameters = inspect.signature(fn).parameters.values()
    names = [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]
    count = 0
    for (name, value), place in zip(arguments.items(), names, strict=False):
        if name != place or not isinstance(value, Tensor):
            break
        count += 1
    values = list(arguments.values())
    return values[:count], dict(list(arguments.items())[count:])


def gradients(fn: Callable[..., Any], tensors: Any, upstream: Any = None, **options: Any) -> list[Tensor]:
    """The loss and its gradient to every tensor that requires one; tensors, by place or name, are read as they lie."""

    def leaf(t: Any) -> Any:
        return t.detach().requires_grad_(t.requires_grad) if isinstance(t, Tensor) else t

    if isinstance(tensors, dict):
        made = {name: leaf(t) for name, t in tensors.items()}
        placed, named = by_place(fn, made)
        wanted = [t for t in made.values() if isinstance(t, Tensor) and t.requires_grad]
    else:
        placed, named = [leaf(t) for t in tensors], {}
        wanted = [t for t in placed if t.requires_grad]
    loss = fn(*placed, **named, **options)
    if not loss.requires_grad:  # the formula of no rows, of constants
        return [loss, *map(torch.zeros_like, wanted)]
    upstream = torch.ones_like(loss) if upstream is None else upstream
    upstream = torch.as_tensor(upstream, dtype=loss.dtype).expand_as(loss)
    return [loss.detach(), *torch.autograd.grad(loss, wanted, upstream)]


def wide(arguments: dict[str, Any]) -> dict[str, Any]:
    """Arguments in float64, from the values as they are."""

    def widened(t: Any) -> Any:
        if not isinstance(t, Tensor) or not t.is_floating_point():
            return t
        return t.detach().double().requires_grad_(t.requires_grad)

    return {name: widened(value) for name, value in arguments.items()}


def exact(case: Case, arguments: dict[str, Any], upstream: Any = None, **options: Any) -> list[Tensor]:
    """Loss and gradients by the reference in float64."""
    options = {k: v for k, v in options.items() if k not in ("inplace", "loss_dtype")}
    return gradients(case.reference, wide(arguments), upstream, **wide(options))


def python(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a program in a process of its own, with these variables in its environment."""
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )


def info_of(entries: Any, matches: Callable[[Any], bool]) -> Any:
    """The one entry of a table of PyTorch's own tests that ``matches``."""
    (info,) = [entry for entry in entries if matches(entry)]
    return info


def with_reductions(every: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Options of the pointwise and the pairs family, with each reduction that they go with."""
    for options, reduction in itertools.product(every, REDUCTIONS):
        if (reduction == "none" and "reduce_dims" in options) or (reduction != "mean" and "normalizer" in options):
            continue
        yield dict(options, reduction=reduction)


def outcome(fn: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> list[Tensor] | type[Exception]:
    """Loss and gradients of a call, or the type of its error."""
    leaves = [t for t in (*args, *kwargs.values()) if isinstance(t, torch.Tensor) and t.requires_grad]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loss = fn(*args, **kwargs)
            return [loss, *torch.autograd.grad(loss.sum(), leaves, allow_unused=True)] if leaves else [loss]
    except Exception as error:  # whatever it is, ours must be the same
        return type(error)


def same_outcome(ours: Any, native: Any, what: Any) -> None:
    if isinstance(native, type) or isinstance(ours, type):
        assert ours is native, what
        return
    for a, b in zip(ours, native, strict=True):
        if b is None:
            assert a is None or not a.count_nonzero(), what  # ours may know that it is zero
        else:
            tight = b.dtype == torch.float64
            torch.testing.assert_close(
                a, b, rtol=1e-9 if tight else 2e-5, atol=1e-9 if tight else 1e-6, equal_nan=True, msg=str
            )
