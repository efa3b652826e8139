"""Random calls of every public function against float64: `make soak`, and a share of it in `test_soak.py`.

A call is drawn by Hypothesis as a `Call`, whose ``repr`` is the program that makes it again: a difference is shrunk and
printed as such. What is asked of every call:

- where PyTorch has the loss and takes the call, so do we, with its shape and dtype; where it raises, we raise its type;
  for our own losses the reference takes PyTorch's place;
- loss and gradients lie as near to the reference's in float64 as `limits` says; NaN and infinities are where the
  reference has them, or where PyTorch has them in the call's own dtype.

    python tests/soak.py --cases 200000 --workers 2 --seed 1 [--only huber_loss,mse_loss] [--survey]
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import functools
import inspect
import math
import os
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import inf, nan  # noqa: F401  # in the `repr` of a call
from pathlib import Path
from typing import Any
from unittest import mock

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
import cases
import numpy as np
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.internal.conjecture import providers
from torch import Tensor

import fastloss
import fastloss.functional
import fastloss.reference
from fastloss.engines.similarity import strips

# Hypothesis also draws numbers that it finds in the modules of this package that are loaded so far: the calls would
# depend on what else the process has imported, and on every number in the sources.
assert hasattr(providers, "is_local_module_file")
providers.is_local_module_file = lambda path: False  # type: ignore[attr-defined]

ROOT = Path(__file__).resolve().parent.parent
U = {"float64": 2.0**-53, "float32": 2.0**-24, "bfloat16": 2.0**-8, "float16": 2.0**-11}
# What a number may lose at least. An instruction of AVX512_BF16 makes subnormal bfloat16 numbers 0.
SMALLEST = {"float64": 2.0**-1074, "float32": 2.0**-149, "bfloat16": 2.0**-126, "float16": 2.0**-24}
HALVES = ("bfloat16", "float16")
FLOATS = tuple(U)


class Difference(AssertionError):  # noqa: N818
    """What is wrong with a call. Each kind has a class of its own, so that Hypothesis shrinks one call of each."""


@functools.cache
def difference(kind: str) -> type[Difference]:
    return type(kind, (Difference,), {})


# ---------------------------------------------------------------------------------------------------- a call


def name_of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


@dataclass(frozen=True)
class T:
    """A tensor: how its values are drawn, and how they lie in memory."""

    kind: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    layout: str = "dense"
    seed: int = 0
    grad: bool = False

    def make(self) -> Tensor:
        values = VALUES[self.kind](self.shape, torch.Generator().manual_seed(self.seed))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            t = lie(values.to(getattr(torch, self.dtype)), self.layout)
        return t.requires_grad_() if self.grad else t


def _choice(*values: float) -> Callable[..., Tensor]:
    table = torch.tensor(values, dtype=torch.float64)
    return lambda shape, g: table[torch.randint(len(values), shape, generator=g)]


def _among(share: float, usual: str, *values: float) -> Callable[..., Tensor]:
    """Some elements of these values among usual ones."""

    def draw(shape: tuple[int, ...], g: torch.Generator) -> Tensor:
        rare = _choice(*values)(shape, g)
        return torch.where(torch.rand(shape, generator=g) < share, rare, VALUES[usual](shape, g))

    return draw


def _uniform(low: float, high: float) -> Callable[..., Tensor]:
    return lambda shape, g: low + (high - low) * torch.rand(shape, generator=g, dtype=torch.float64)


VALUES: dict[str, Callable[..., Tensor]] = {
    "real": _uniform(-4, 4),
    "grid": _choice(0, 1, -1, 0.5, -0.5, 2, -2, 1.5),
    "large": _uniform(-60, 60),
    "unit": _uniform(0, 1),
    "sign": _choice(1, -1),
    "signs": _choice(1, -1, 0),
    "bits": _choice(0, 1),
    "soft": _choice(0, 1, 0, 1, 0.5, 0.25),
    "count": _choice(0, 1, 2, 3, 7, 40),
    "positive": _uniform(0.01, 4),
    "index": lambda shape, g: torch.randint(0, 3, shape, generator=g).double(),
    "normal": lambda shape, g: torch.randn(shape, generator=g, dtype=torch.float64),
    "wide": lambda shape, g: 20 * torch.randn(shape, generator=g, dtype=torch.float64),
    "ones": lambda shape, g: torch.ones(shape, dtype=torch.float64),
    "zeros": lambda shape, g: torch.zeros(shape, dtype=torch.float64),
    "boxes": lambda shape, g: (
        2 * torch.rand((*shape[:-1], 2, 2), generator=g, dtype=torch.float64).cumsum(-2).flatten(-2)
    ),
    "corners": _choice(0, 1, 2, 3),
}
VALUES |= {
    "ends": _among(0.5, "unit", 0, 1, 1e-30, 1e-9, 1 - 2**-24, 1 - 2**-11, 0.5),
    "special": _among(0.3, "real", math.nan, math.inf, -math.inf, 0.0, -0.0),
    "infinite": _among(0.3, "real", math.inf, -math.inf),
    "huge": _among(0.5, "real", 1e19, -1e19, 1e20, -1e20, 3e38, -3e38, 1e30),
    "tiny": _among(0.5, "real", 1e-40, -1e-40, 1e-20, 1e-45, -1e-30),
    "outside": _among(0.2, "unit", -0.5, 1.5),
    "far": _among(0.2, "index", -100, 7, -1),
}


def lie(t: Tensor, layout: str) -> Tensor:
    """The values of ``t`` (or, where elements share memory, some of them) in another layout."""
    if layout == "dense" or t.dim() == 0:
        return t
    if layout == "offset":
        room = t.new_zeros(t.numel() + 1)
        return room[1:].view(t.shape).copy_(t)
    if layout == "strided":
        room = t.new_zeros(*t.shape[:-1], 2 * t.shape[-1])
        return room[..., ::2].copy_(t)
    if layout == "part":
        room = t.new_zeros(*t.shape[:-1], t.shape[-1] + 3)
        return room[..., 1:-2].copy_(t)
    if layout == "transposed":
        return t.transpose(0, -1).contiguous().transpose(0, -1)
    if layout == "last":  # the second dimension innermost, as channels-last
        return t.movedim(1, -1).contiguous().movedim(-1, 1) if t.dim() > 1 else t
    if layout == "expanded":
        return t[:1].expand(t.shape) if t.shape[0] else t
    if layout == "expanded_last":
        return t[..., :1].expand(t.shape) if t.shape[-1] else t
    assert layout == "windows"
    if t.dim() != 2 or not t.numel():
        return t
    rows, width = t.shape
    return t.reshape(-1)[: rows + width - 1].unfold(0, width, 1)


LAYOUTS = ("dense", "transposed", "strided", "offset", "part", "last", "expanded", "expanded_last", "windows")


@dataclass(frozen=True)
class Call:
    """A call of a function with keyword arguments.

    Attributes:
        upstream: Factor of the gradient that comes from above; for a loss that is not a scalar each entry has its own.
        mode: ``train``, ``no_grad``, ``autocast`` (to bfloat16), ``inference`` (what needs no gradient is made under
            ``torch.inference_mode``), ``twice`` (a second backward must give the same bits), ``second`` (second
            derivatives).
    """

    name: str
    arguments: dict[str, Any]
    upstream: float = 1.0
    mode: str = "train"

    def tensors(self) -> dict[str, T]:
        return {k: v for k, v in self.arguments.items() if isinstance(v, T)}

    def make(self) -> dict[str, Any]:
        with torch.inference_mode(self.mode == "inference"):
            fixed = {k: v.make() for k, v in self.tensors().items() if not v.grad}
        free = {k: v.make() for k, v in self.tensors().items() if v.grad}
        return {**self.arguments, **fixed, **free}

    def program(self) -> str:
        return f"from soak import *; check({self!r})"


def widen(call: Call, arguments: dict[str, Any]) -> dict[str, Any]:
    """The call in float64, from the values as they are."""
    made = {}
    for k, v in arguments.items():
        if k in ("loss_dtype", "inplace", "return_stats"):
            continue
        if isinstance(v, Tensor):
            needed = v.requires_grad
            v = v.detach().clone(memory_format=torch.contiguous_format)
            v = v.double().requires_grad_(needed) if v.is_floating_point() else v
            classes = k == "targets" and v.dim() < arguments["inputs"].dim()
            if FAMILY[call.name] == "elements" and k in MAIN[call.name] and not v.is_floating_point() and not classes:
                v = v.double()
        made[k] = v
    return made


@dataclass
class Result:
    loss: Tensor
    grads: dict[str, Tensor | None]
    stats: Any = None

    def parts(self) -> Iterator[tuple[str, Tensor | None]]:
        yield "loss", self.loss
        yield from self.grads.items()


def upstream_like(loss: Tensor, factor: float) -> Tensor:
    if loss.dim() == 0:
        return torch.full_like(loss, factor)
    return factor * torch.linspace(1, 2, max(1, loss.numel()), dtype=loss.dtype)[: loss.numel()].view(loss.shape)


def outcome(
    fn: Callable[..., Any], arguments: dict[str, Any], call: Call, upstream: Tensor | None = None
) -> Result | Exception:
    leaves = {k: v for k, v in arguments.items() if isinstance(v, Tensor) and v.requires_grad}
    contexts: list[Any] = [warnings.catch_warnings()]
    if call.mode == "no_grad":
        contexts.append(torch.no_grad())
    if call.mode == "autocast":
        contexts.append(torch.autocast("cpu", torch.bfloat16))
    with contextlib.ExitStack() as stack:
        for context in contexts:
            stack.enter_context(context)
        warnings.simplefilter("ignore")
        try:
            if arguments.get("inplace") and arguments["input"].requires_grad:  # of no leaf
                arguments = {**arguments, "input": arguments["input"].clone()}
            result = fn(**arguments)
            loss, stats = result if type(result) is tuple else (result, None)
            if call.mode == "no_grad" or not leaves or not loss.requires_grad:
                return Result(loss, {}, stats)
            up = upstream_like(loss.detach(), call.upstream) if upstream is None else upstream.to(loss.dtype)
            again = call.mode in ("twice", "second")
            grads = torch.autograd.grad(
                loss,
                list(leaves.values()),
                up,
                allow_unused=True,
                retain_graph=again,
                create_graph=call.mode == "second",
            )
            if call.mode == "second":
                grads = second(grads, list(leaves.values()))
            if call.mode == "twice" and repeats(call):
                once_more = torch.autograd.grad(loss, list(leaves.values()), up, allow_unused=True)
                for a, b in zip(grads, once_more, strict=True):
                    if (a is None) != (b is None) or (a is not None and not nearly(a, b)):
                        raise difference(f"{call.name}_second_backward")("the second backward gives another gradient")
                grads = once_more
            return Result(loss.detach(), dict(zip(leaves, grads, strict=True)), stats)
        except Difference:
            raise
        except Exception as error:
            return error


def second(grads: tuple[Tensor | None, ...], leaves: list[Tensor]) -> tuple[Tensor | None, ...]:
    """The gradients of a sum of gradients, each entry with a factor of its own."""
    made = [g.double() for g in grads if g is not None and g.requires_grad]
    if not made:
        return (None,) * len(leaves)
    factors = [torch.linspace(1, 2, g.numel(), dtype=torch.float64).view(g.shape) for g in made]
    total = torch.stack([(g * factor).sum() for g, factor in zip(made, factors, strict=True)]).sum()
    return torch.autograd.grad(total, leaves, allow_unused=True)


def nearly(a: Tensor, b: Tensor) -> bool:
    """Equal but for the order of the factors of a gradient."""
    dtype = name_of(a.dtype)
    largest = a.double().abs().nan_to_num(0, 0, 0).amax().item() if a.numel() else 0.0  # of terms that cancel
    return torch.allclose(
        a.double(), b.double(), 8 * U[dtype], 8 * (U[dtype] * largest + SMALLEST[dtype]), equal_nan=True
    )


# -------------------------------------------------------------------------------------------- what must hold


UNUSED = {"z_loss": 0.0, "empty": "nan", "return_stats": False}


def native_of(call: Call) -> Callable[..., Any] | None:
    """PyTorch's own function, if it has one that knows these arguments; it is given numbers where these are tensors."""
    if call.name in COMPOSED:
        return COMPOSED[call.name]
    native = getattr(F, call.name, None)
    if native is None:
        return None
    known = inspect.signature(native).parameters
    given = {
        k: v
        for k, v in call.arguments.items()
        if k in known or (v is not None and k != "inplace" and (k not in UNUSED or v != UNUSED[k]))
    }
    hyper = HYPER[call.name]
    if any(k not in known or (k in hyper and isinstance(v, T) and v.grad) for k, v in given.items()):
        return None

    def run(**arguments: Any) -> Any:
        return native(**{k: number_of(v) if k in hyper else v for k, v in arguments.items() if k in given})

    return run


def number_of(value: Any) -> Any:
    """A hyperparameter as PyTorch's functions take it."""
    return (
        float(value.detach()) if isinstance(value, Tensor) else float(value) if isinstance(value, np.generic) else value
    )


def check(call: Call) -> None:
    """Raises a `Difference` if the call does not do what is wanted."""
    if call.name in OTHERS:
        return OTHERS[call.name][1](call)
    arguments = call.make()
    reference = getattr(fastloss.reference, call.name, None) or COMPOSED[call.name]
    native, wide = native_of(call), widen(call, arguments)
    ours = outcome(getattr(fastloss.functional, call.name), arguments, call)
    judged = replace(call, mode="train") if call.mode == "inference" else call  # PyTorch saves no inference tensor
    theirs = outcome(native, judged.make(), judged) if native else None
    plain = replace(call, mode=call.mode if call.mode in ("no_grad", "second") else "train")
    if isinstance(ours, Exception):
        judge = theirs if native else outcome(reference, judged.make(), judged)
        if isinstance(judge, Result):
            who = "torch" if native else "the reference"
            raise difference(f"{call.name}_raises")(f"{type(ours).__name__} where {who} "
                                                    f"works: {ours}")  # fmt: skip
        if type(judge) is not type(ours) and not explained(call, "type", ours, judge):
            raise difference(f"{call.name}_type")(
                f"{type(ours).__name__} ({ours}), expected {type(judge).__name__} ({judge})"
            )
        return None
    if isinstance(theirs, Exception) and isinstance(
        outcome(native, call.make(), replace(call, mode="no_grad")), Result
    ):
        theirs = None  # it fails in backward alone, of dtypes that forward took
    if isinstance(theirs, Exception) and not explained(call, "works", ours, theirs):
        raise difference(f"{call.name}_works")(f"no error where torch has {type(theirs).__name__}: {theirs}")
    upstream = upstream_like(ours.loss, call.upstream).double()
    exact = outcome(reference, wide, plain, upstream)
    if isinstance(exact, Exception):
        if not isinstance(theirs, Result) and not explained(call, "works", ours, exact):
            raise difference(f"{call.name}_works")(f"no error where the reference has {type(exact).__name__}: {exact}")
        return None
    if (
        isinstance(theirs, Result)
        and not ({"loss_dtype"} & set(call.arguments) or call.name in COMPOSED)
        and ours.loss.dtype != theirs.loss.dtype
        and not explained(call, "dtype", ours, theirs)
    ):
        raise difference(f"{call.name}_dtype")(f"the loss is {ours.loss.dtype}, torch's {theirs.loss.dtype}")
    lazy = Limits(call, reference, wide, exact, upstream)
    for what, wanted in exact.parts():
        got = ours.loss if what == "loss" else ours.grads.get(what)
        other = None
        if isinstance(theirs, Result):
            other = theirs.loss if what == "loss" else theirs.grads.get(what)
        if got is None:
            if (
                wanted is not None
                and bool(wanted.count_nonzero())
                and not (isinstance(theirs, Result) and other is None)
            ):
                raise difference(f"{call.name}_no_{what}")(f"no gradient to {what}, expected {wanted}")
            continue
        if wanted is None:
            wanted = torch.zeros(got.shape, dtype=torch.float64)
        if call.mode == "second" and what != "loss":
            compare_second(call, what, got, wanted)
        else:
            compare(call, what, got, wanted, other, lazy)
    if call.arguments.get("return_stats"):
        check_stats(call, reference, wide, ours)
    if not native and (call.mode == "autocast" or len({v.dtype for v in call.tensors().values()}) > 1):
        again = outcome(reference, judged.make(), judged)
        if isinstance(again, Result) and again.loss.dtype != ours.loss.dtype and call.name not in COMPOSED:
            raise difference(f"{call.name}_dtype")(f"the loss is {ours.loss.dtype}, the reference's {again.loss.dtype}")
    return None


def compare_second(call: Call, what: str, got: Tensor, wanted: Tensor) -> None:
    """Second derivatives are PyTorch's, of the formula in the call's dtypes: of their size, not to the last digit."""
    if got.shape != wanted.shape:
        raise difference(f"{call.name}_shape_of_second")(f"{tuple(got.shape)}, expected {tuple(wanted.shape)}")
    apart = len({v.seed for v in call.tensors().values()}) == len(call.tensors())  # no vector lies on another
    apart = apart and not (FAMILY[call.name] == "similarity" and call.tensors()[MAIN[call.name][0]].shape[-1] == 1)
    usual = (
        apart
        and not beyond(call)
        and not distances(call)
        and all(v.dtype in ("float32", "float64", "int64", "bool") for v in call.tensors().values())
        and all(
            v.kind in ("real", "normal", "unit", "positive", "soft", "bits", "index", "count", "ones")
            or "number" in v.kind
            for v in call.tensors().values()
        )
    )
    if usual and bool(wanted.isfinite().all()) and wanted.numel():
        off = float((got.double() - wanted).abs().max())
        steep = 1.0
        if FAMILY[call.name] == "similarity":  # a length in the denominator
            steep = shortest_of(T.make(call.tensors()[k]).double() for k in MAIN[call.name])
        if not off <= 1e-3 * float(wanted.abs().max()) + 1e-4 * max(1.0, abs(call.upstream)) / min(1.0, steep**2):
            raise difference(f"{call.name}_second")(f"{what} is off by {off:.3g} of {float(wanted.abs().max()):.3g}")


def check_stats(call: Call, reference: Callable[..., Any], wide: dict[str, Any], ours: Result) -> None:
    """What `return_stats` measures, to the precision of the call's dtypes."""
    if beyond(call):
        return
    detached = {k: v.detach() if isinstance(v, Tensor) else v for k, v in wide.items()}
    try:
        _, exact = reference(**detached, return_stats=True)
    except Exception:  # the formula of a learned hyperparameter, of no rows, ...
        return
    coarse = max([U["float32"], *(U[v.dtype] for v in call.tensors().values() if v.dtype in U)])
    for field in exact._fields:
        a, b = (float(getattr(stats, field)) for stats in (ours.stats, exact))
        if field == "count" and a != b:
            raise difference(f"{call.name}_count")(f"{a}, expected {b}")
        kinks = field == "grad_norm" and any(v.kind in ("grid", "zeros", "signs") for v in call.tensors().values())
        if not (math.isfinite(a) and math.isfinite(b)) or field in ("finite", "count") or kinks:
            continue
        equal = call.tensors()[MAIN[call.name][0]].kind not in ("real", "wide") or call.arguments.get("softcap")
        if field == "accuracy" and equal:  # logits, the first of which a rounding decides
            continue
        share = 1 / max(1.0, float(exact.count)) if field == "accuracy" else 0.0
        size = abs(b) * (1 + math.log(max(1.0, abs(b)))) if field == "perplexity" else abs(b)
        if not abs(a - b) <= 64 * coarse * (1 + size) + 2 * share:
            raise difference(f"{call.name}_{field}")(f"{a}, expected {b}")


def compare(call: Call, what: str, got: Tensor, wanted: Tensor, other: Tensor | None, lazy: Limits) -> None:
    if got.shape != wanted.shape:
        raise difference(f"{call.name}_shape")(f"{what} has shape {tuple(got.shape)}, expected {tuple(wanted.shape)}")
    if not got.numel():
        return
    dtype = name_of(got.dtype)
    a, w = got.double(), wanted
    largest = torch.finfo(got.dtype if lazy.u < 1e-10 or got.dtype.itemsize == 2 else torch.float32).max
    beyond = w.abs() > largest / 4096  # a step before the last, which makes it smaller, may pass the end
    w = torch.where(beyond & (a.isinf() | (w.abs() > largest * (1 + U[dtype]))), w.sign() * math.inf, w)
    good = (a == w) | (a.isnan() & w.isnan()) | ((wanted.abs() > largest) & ~a.isfinite())
    if (
        what != "loss"
        and bool(lazy.exact.loss.isnan().any())
        and any(v.kind in ("special", "infinite", "huge") for v in call.tensors().values())
    ):
        good = good | a.isnan()  # of a loss that is no number
    if math.isinf(call.upstream) and what != "loss":
        good = good | ~a.isfinite()  # infinity times a derivative, or times one that is none in this dtype
    if call.upstream == 0 and any(v.kind in ("huge", "infinite") for v in call.tensors().values()):
        good = good | a.isnan()  # 0 times a derivative that is infinite
    # From infinities, by the steps of the formula: what the limit is, is not known.
    good = good | (w.isnan() & ~lazy.unknown(w.shape))
    if bool(good.all()):
        return
    error = (a - w).abs()
    usual = w.isfinite() & a.isfinite()
    # A float32 gradient that forward has made is scaled by the upstream one: a second rounding.
    # So is one that lies where the logits were.
    scaled = dtype == "float32" or call.arguments.get("inplace")
    roundings = 2 if what != "loss" and scaled and call.upstream != 1 else 1
    quick = roundings * U[dtype] * w.abs() + max(1.0, abs(call.upstream)) * SMALLEST[dtype]
    good = good | (usual & (error <= quick * 1.001))
    if bool(good.all()):
        return
    limit = lazy.of(what)
    limit = limit + quick * 1.001
    good = good | (usual & (error <= limit)) | (limit >= largest)
    if other is None and not bool(good.all()):
        other = lazy.composed(what)
    if other is not None and not bool(good.all()):
        b = other.double()
        good = good | (usual & (error <= limit + 2 * (b - w).abs())) | (a == b) | (a.isnan() & b.isnan())
        # PyTorch has no number there and ours has: nearer than infinitely far.
        good = good | (~b.isfinite() & a.isfinite() & w.isfinite())
    if bool(good.all()):
        return
    k = int(torch.where(good, -1.0, torch.where(usual, error / limit.clamp_min(1e-300), math.inf)).reshape(-1).argmax())
    values = [t.reshape(-1)[k].item() for t in (a, w)]
    times = float((error / limit.clamp_min(1e-300)).reshape(-1)[k])
    seen = "" if other is None else f", torch {other.reshape(-1)[k].item():.9g}"
    text = f"{what}[{k}] is {values[0]:.9g}, expected {values[1]:.9g}{seen}; {times:.3g} times the limit"
    kind = "number" if math.isfinite(values[0]) and math.isfinite(values[1]) else "special"
    if explained(call, kind, got, wanted):
        return
    raise difference(f"{call.name}_{kind}_of_{'loss' if what == 'loss' else 'grad'}")(text)


def distances(call: Call) -> bool:
    """Whether the loss sees distances of all pairs of vectors."""
    return getattr(cases.of(call.name), "distances", False)


def shortest_of(tensors: Iterator[Tensor]) -> float:
    """Length of the shortest vector that is one of numbers."""
    lengths = [n for t in tensors for n in t.detach().double().norm(dim=-1).reshape(-1).tolist() if math.isfinite(n)]
    return min(lengths, default=1.0)


class Limits:
    r"""How far a result may be from the exact one.

    The unit u is that of the dtype that we compute in: float64 for float64 (then the oracle, with the same u, rounds as
    often: twice that), else float32. A result may be that of a computation exact but for a few relative errors u of
    its operands and its steps:

    - elements (points): :math:`K u (|f| + \sum_k |x_k \partial_k f|)`, for a derivative likewise with its derivatives,
      summed over what is summed. K = 16 roundings one after the other (`cases.ROUNDINGS`); u^gamma by way of its
      logarithm has 1 + 5 gamma times as much, as `cases.Elements.exponent` says; terms that cancel, their size.
    - rows, pairs, similarities: the derivatives of all operands are too many. Instead the exact computation is made
      again from operands that are off by u, with random signs, three times; K times the largest change, over all
      entries of a row (pairs, rows) or all entries (similarities), plus :math:`(8 + 2 \sqrt n) u` of the largest entry,
      for the n summands of a row, plus that of terms that cancel.
    """

    def __init__(
        self, call: Call, reference: Callable[..., Any], wide: dict[str, Any], exact: Result, upstream: Tensor
    ) -> None:
        self.call, self.reference, self.wide, self.exact, self.upstream = call, reference, wide, exact, upstream
        self.made: dict[str, Tensor] | None = None
        names = [v.dtype for k, v in call.tensors().items() if k in MAIN[call.name] and v.dtype in U]
        self.u = 2 * U["float64"] if "float64" in names else U["float32"]
        if FAMILY[call.name] == "similarity":
            halves = [*(name for name in names if name in HALVES), *(["bfloat16"] if call.mode == "autocast" else [])]
            self.u = max([self.u, *(U[name] for name in halves)])  # the products of half vectors are PyTorch's

    def of(self, what: str) -> Tensor:
        if self.made is None:
            family = FAMILY[self.call.name]
            self.made = (
                self.points() if family == "elements" else self.scores() if family == "gan" else self.perturbed()
            )
        limit = self.made.get(what)
        if limit is None:
            limit = torch.tensor(1e3 * self.u) * (1 + getattr(self.exact.grads.get(what), "abs", lambda: 0)())
        return limit.nan_to_num(0.0, math.inf)

    def unknown(self, shape: torch.Size) -> Tensor:
        """Where an operand is NaN, and so must be a result of this shape: of elements one by one, else anywhere."""
        operands = [v.detach() for v in self.wide.values() if isinstance(v, Tensor) and v.is_floating_point()]
        if FAMILY[self.call.name] == "elements":
            with contextlib.suppress(RuntimeError):
                found = functools.reduce(torch.logical_or, [v.isnan() for v in operands])
                return found.double().sum_to_size(shape) > 0
        return torch.tensor(any(bool(v.isnan().any()) for v in operands))

    def composed(self, what: str) -> Tensor | None:
        """The plain composition's result in the call's own dtypes; not of numbers beyond what its squares hold."""
        if any(v.kind in ("huge", "tiny") for v in self.call.tensors().values()):
            return None
        plain = outcome(self.reference, self.call.make(), self.call)
        if isinstance(plain, Exception):
            return None
        found = plain.loss if what == "loss" else plain.grads.get(what)
        exact = self.exact.loss if what == "loss" else self.exact.grads.get(what)
        return None if found is None or exact is None else torch.where(found.isfinite(), found.double(), exact)

    def points(self) -> dict[str, Tensor]:
        call, wide, case = self.call, dict(self.wide), cases.of(self.call.name)
        if call.name == "sigmoid_focal_loss" and not wide["targets"].is_floating_point():  # classes
            classes = torch.arange(wide["inputs"].shape[-1])
            wide["targets"] = (wide["targets"].unsqueeze(-1) == classes).double()
            if (ignored := wide.pop("ignore_index", None)) is not None:
                kept = (self.wide["targets"] != ignored).unsqueeze(-1).expand(wide["inputs"].shape)
                mask = wide.get("mask")
                wide["mask"] = kept if mask is None else kept & mask
        own = [k for k in MAIN[call.name] if isinstance(wide.get(k), Tensor)]
        floats = [k for k in own if wide[k].is_floating_point()]
        shape = torch.broadcast_shapes(*(wide[k].shape for k in own)) if "classes" not in call.arguments else None
        leaves = {}
        for k in floats:
            fixed = k in case.record.fixed
            leaves[k] = wide[k] = wide[k].detach().expand(shape).clone().requires_grad_(not fixed)
        hyper = [k for k, v in wide.items() if k not in own and isinstance(v, Tensor) and v.requires_grad]
        options = {k: v for k, v in wide.items() if k not in ("reduce_dims", "normalizer", "empty", "reduction")}
        if options.get("weight") is not None and shape is not None:
            options["weight"] = options["weight"].expand(shape)
        f = self.reference(**options, reduction="none")

        def moves(value: Tensor) -> Tensor:
            if not value.requires_grad:
                return value.detach().abs()
            free = [x for x in leaves.values() if x.requires_grad]
            grads = torch.autograd.grad(value.sum(), free, retain_graph=True, allow_unused=True)
            size = value.detach().abs()
            for x, g in zip(free, grads, strict=True):
                size = size + (0 if g is None else (x.detach() * g).abs().nan_to_num(0.0, 0.0))
            return size

        reduction = wide.get(
            "reduction", inspect.signature(getattr(fastloss.functional, call.name)).parameters["reduction"].default
        )
        kept = torch.ones(f.shape, dtype=torch.float64) * (wide["mask"] if wide.get("mask") is not None else 1)
        if wide.get("weight") is not None and call.name in ("mse_loss", "l1_loss"):
            kept = kept * wide["weight"].detach()
        dims = wide.get("reduce_dims")
        dims = tuple(range(f.dim())) if dims is None else dims
        if reduction == "mean":
            divisor = (
                torch.as_tensor(float(wide["normalizer"]))
                if wide.get("normalizer") is not None
                else kept.sum(dims, keepdim=True)
            )
        elif reduction == "batchmean":
            divisor = torch.as_tensor(float(f.shape[0] if f.dim() else 1))
        else:
            divisor = torch.tensor(1.0)
        up = self.upstream
        if reduction != "none" and f.dim():
            for d in sorted(d % f.dim() for d in ((dims,) if isinstance(dims, int) else dims)):
                up = up.unsqueeze(d)
        factor = (up / divisor).abs()
        params = {k: number_of(v) for k, v in wide.items() if k in HYPER[call.name] and np.size(v) == 1}
        power = case.power(params)
        extremes = any(v.kind in ("huge", "tiny", "infinite") for v in call.tensors().values())
        power = 1 + 20 * (power - 1) if extremes else power  # then the logarithm is up to 100
        if 0 < float(number_of(params.get("beta", 1.0))) < 1e-37:  # subnormal
            power = 8.0
        # Of p - clip, whose rounding the exponents multiply; of quotients by a variance, in the oracle too.
        if call.name in ("asymmetric_loss", "gaussian_nll_loss"):
            power *= 2
        if call.name == "robust_loss" and (self.u < 1e-10 or extremes):
            power = max(power, 100.0)  # the oracle takes every power that way
        K = 16 * self.u * power
        smallest = 2.0**-124 if self.u > 1e-10 else 2.0**-1020  # of steps in float32, with a factor 4
        cancels = wide["input"].detach().abs().nan_to_num(0.0, 0.0) if "cross_entropy" in call.name else 0.0
        spread = K * (moves(f) + cancels) + smallest
        if reduction == "none":
            limits = {"loss": spread}
        else:
            total = spread.sum(dims) if f.dim() else spread
            # A block of elements is summed in float32, and may pass its end.
            passes = (f.detach().abs().sum(dims) if f.dim() else f.detach().abs()) > torch.finfo(torch.float32).max / 2
            total = torch.where(passes & (self.u > 1e-10), math.inf, total)
            limits = {"loss": total / (divisor.squeeze(dims) if divisor.dim() else divisor).abs()}
        for position, k in enumerate(floats):
            if not call.tensors()[k].grad or not f.requires_grad:
                continue
            (g,) = torch.autograd.grad(f.sum(), leaves[k], create_graph=True, allow_unused=True)
            if g is None:
                continue
            extra: float | Tensor = 0.0
            if position < len(case.cancelling):
                extra = case.cancelling[position]
            if "pos_weight" in call.arguments and k == "target":  # of the weighed logarithm less the other
                extra = 4 + leaves["input"].detach().abs().nan_to_num(0, 0, 0)
            if call.arguments.get("label_smoothing"):  # p - y
                extra = 1 + leaves["inputs"].detach().abs().nan_to_num(0, 0, 0)
            if call.name == "poisson_nll_loss" and k == "target":  # log y - x, and more with Stirling's terms
                extra = 1 + (leaves["input"].abs() + leaves["target"].abs().log().abs()).detach().nan_to_num(0, 0, 0)
            # Autograd's derivative of sigmoid, p (1 - p) from p, in the oracle.
            rounded = 128 * U["float64"] if call.name in ("asymmetric_loss", "sigmoid_focal_loss") else 0.0
            size = factor * (K * (moves(g) + extra) + smallest + rounded)
            if self.wide[k].shape != f.shape:
                stored = getattr(torch, call.tensors()[k].dtype)  # rounded, and perhaps infinite, before it is summed
                each = factor * g.detach().abs()
                size = torch.where(each > torch.finfo(stored).max, math.inf, size + 4 * U[name_of(stored)] * each)
            limits[k] = size.expand(f.shape).sum_to_size(self.wide[k].shape)
        for k in hyper:
            # Of what the derivatives of the elements may be off by, only the sum is known.
            size = sum(
                (x.detach() * g).abs().nan_to_num(0.0, 0.0).sum()
                for x, g in (
                    (
                        leaves[n],
                        torch.autograd.grad((f * factor).sum(), leaves[n], retain_graph=True, allow_unused=True)[0],
                    )
                    for n in floats
                    if leaves[n].requires_grad
                )
                if g is not None
            )
            grad = self.exact.grads.get(k)
            own_size = (f.detach().abs() * factor).nan_to_num(0.0, 0.0).sum() / max(abs(float(wide[k].detach())), 1e-3)
            limits[k] = (
                4
                * K
                * (size / max(abs(float(wide[k].detach())), 1e-3) + own_size + (0 if grad is None else grad.abs()))
            )
        return limits

    def scores(self) -> dict[str, Tensor]:
        """Of GAN losses: K u of the sum of the sizes of their terms, and of each derivative."""
        call, wide = self.call, self.wide
        mode, up, limits = call.arguments["mode"], float(self.upstream.abs()), {"loss": torch.zeros(())}
        for k in GAN[call.name]:
            x = wide[k].detach().requires_grad_()
            high = k == "real" or call.name == "gan_generator_loss"
            f = (_high if high else _low)(x, "wasserstein" if mode == "hinge" and "generator" in call.name else mode)
            (g,) = torch.autograd.grad(f.sum(), x)
            share = 1 / max(1, f.numel()) if call.arguments["reduction"] == "mean" else 1.0
            coarse = 3 * U[call.tensors()[k].dtype]  # of a term and of the sum of two
            moves = (f.detach().abs() + (x.detach() * g).abs()).nan_to_num(0.0, math.inf)
            limits["loss"] = limits["loss"] + share * (16 * self.u * moves.sum() + coarse * f.detach().sum().abs())
            # A derivative of one of the two sigmoids, or of a square: it moves by at most its argument times u.
            limits[k] = 16 * self.u * up * share * (g.abs() * (1 + x.detach().abs()) + 1).nan_to_num(1.0, math.inf)
        return limits

    def perturbed(self) -> dict[str, Tensor]:
        call, family = self.call, FAMILY[self.call.name]
        step = max(self.u, 2.0**-44)
        moved: dict[str, Tensor] = {}
        for attempt in range(3):
            g = torch.Generator().manual_seed(attempt)
            wide = dict(self.wide)
            for k, v in wide.items():
                if isinstance(v, Tensor) and v.is_floating_point() and k not in ("target", "labels"):
                    signs = 1 + step * (2 * torch.randint(0, 2, v.shape, generator=g) - 1).double()
                    wide[k] = (v.detach() * signs).requires_grad_(v.requires_grad)
            for k in HYPER[call.name]:  # a hinge may lie where they put it
                v = wide.get(k, inspect.signature(self.reference).parameters[k].default)
                if type(v) in (int, float) and k not in ("p", "q"):
                    wide[k] = v * (1 + 16 * step * (attempt - 1))
            other = outcome(
                self.reference,
                wide,
                replace(call, mode="no_grad" if call.mode == "no_grad" else "train"),
                self.upstream,
            )
            if isinstance(other, Exception):
                continue
            for (what, a), (_, b) in zip(self.exact.parts(), other.parts(), strict=True):
                if a is not None and b is not None:
                    change = (a - b).abs() * (self.u / step)
                    moved[what] = torch.maximum(moved.get(what, change), change)
        limits = {}
        for what, w in self.exact.parts():
            if w is None:
                continue
            D = moved.get(what, torch.zeros_like(w)).nan_to_num(0.0, 0.0)
            size = w.abs().nan_to_num(0.0, 0.0, 0.0)
            terms, extra = self.cancelling(what, w)
            if what in HYPER[call.name]:
                D = 4 * D  # one direction of many is perturbed
            if what != "loss" and w.dim() and w.numel():
                if family == "similarity":
                    D, size = D.amax().expand_as(w), size.amax().expand_as(w)
                else:
                    dim = (1 if w.dim() > 1 else 0) if family == "softmax" else -1
                    D, size = D.amax(dim, keepdim=True).expand_as(w), size.amax(dim, keepdim=True).expand_as(w)
            elif family == "similarity" and w.numel():
                D = D.amax().expand_as(w)
            if family == "similarity" and call.tensors()[MAIN[call.name][0]].shape[-1] == 1:
                extra = 8 * extra + 8 * size  # vectors of length one have no gradient but what roundings leave
            if distances(call):
                extra = extra + self.near() * size
            if family == "softmax" and what != "loss":
                extra = extra + 8 * U["float64"] / self.u * self.cancelling(what, w, True)[1]  # p - 1 in the oracle
            limits[what] = (32 if family == "similarity" else 16) * D + self.u * (
                (8 + 2 * math.sqrt(terms)) * (size + extra)
            )
        return limits

    def near(self) -> float:
        """The error of an anchor's distances, in u: a product of the vectors has that of their squared lengths.

        It grows by 1 / d^2 as two of the vectors come near to each other.
        """
        x = self.wide["embeddings"].detach()
        if self.wide.get("normalize", cases.of(self.call.name).default("normalize")):
            x = F.normalize(x, dim=-1)
        squares = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist").square()
        length = x.square().sum(-1)
        share = ((length + length.unsqueeze(1)) / squares).clamp_max(1 / self.u).fill_diagonal_(0)
        return 4 * float(share.nan_to_num(0.0).sum(-1).max()) if x.numel() else 0.0

    def cancelling(self, what: str, w: Tensor, all_terms: bool = False) -> tuple[int, float | Tensor]:
        """Summands of a row, and the size of the terms that cancel: in ours, or in any computation."""
        call, wide, family = self.call, self.wide, FAMILY[self.call.name]
        first = wide[MAIN[call.name][0]].detach()
        width = first.shape[(1 if first.dim() > 1 else 0) if family == "softmax" else -1] if first.dim() else 1
        up = float(self.upstream.abs().max()) if self.upstream.numel() else 0.0
        values = [
            wide[k].detach().abs().nan_to_num(0, 0, 0).amax().item()
            for k in MAIN[call.name]
            if isinstance(wide.get(k), Tensor) and wide[k].numel() and wide[k].is_floating_point()
        ]
        longest = max(values, default=0.0)
        parameters = inspect.signature(getattr(fastloss.functional, call.name)).parameters
        numbers = [
            abs(v.detach()).max().item() if isinstance(v, Tensor) else abs(v)
            for k in HYPER[call.name]
            if isinstance(v := wide.get(k, parameters[k].default), Tensor | float | int) and not isinstance(v, bool)
        ]
        if family == "softmax":
            weight = wide.get("weight")
            heavy = float(weight.abs().max()) if isinstance(weight, Tensor) and weight.numel() else 1.0
            heavy *= max(1.0, *numbers) if numbers else 1.0
            target = wide.get("target")
            soft = isinstance(target, Tensor) and target.is_floating_point()
            if soft and target.numel():
                heavy *= max(1.0, target.detach().abs().sum(0 if target.dim() == 1 else 1).max().item())
            rows = max(1, first.numel() // max(1, width))
            share = rows
            if what == "loss":
                rated = heavy * (1 + longest)
                return width, rated * (rows if wide.get("reduction") == "sum" else 1) if call.arguments.get(
                    "normalizer"
                ) is None else rated * rows / abs(float(wide["normalizer"]) or 1)
            cancels = (
                all_terms
                or soft
                or "softcap" in wide
                or "z_loss" in wide
                or "label_smoothing" in wide
                or self.u < 1e-10
            )
            divisor = 1.0
            if wide.get("reduction", "mean") == "mean":
                divisor = abs(float(wide["normalizer"])) if wide.get("normalizer") is not None else share * heavy
            return width, up * heavy * (1 + longest * ("z_loss" in wide)) / max(divisor, 1e-30) if cancels else 0.0
        if family == "products":
            length = longest * math.sqrt(max(1, width))
            size = 1 + length + max(numbers, default=0.0) + (length**2 if call.name == "contrastive_loss" else 0)
            if what == "loss":
                return width, size * (w.numel() or 1)
            shortest = shortest_of(wide[k] for k in MAIN[call.name][:2])
            if call.name == "triplet_margin_loss":
                return width, up
            if call.name == "cosine_embedding_loss" or wide.get("distance") == "cosine":
                return width, up / max(shortest, 1e-12)
            return width, 0.0
        rows = first.shape[0] if first.dim() else 1
        length = (
            1.0
            if wide.get("normalize", cases.of(call.name).default("normalize"))
            else longest * math.sqrt(max(1, width))
        )
        steep = max([1.0, *numbers, *(1 / n for n in numbers if n)])
        if what == "loss":
            return width + rows, steep * (1 + length**2) * rows * (
                rows if wide.get("reduction") == "sum" or self.call.name == "siglip_loss" else 1
            )
        shortest = shortest_of(wide[k] for k in MAIN[call.name])
        scale = 1 / max(shortest, 1e-12) if length == 1.0 else length
        if call.name == "circle_loss":
            steep *= 1 + length**2
        return width + rows, steep * (
            up * max(scale, 1.0) + (1 + length**2) * w.abs().max().item() if w.numel() else 0.0
        )


# Differences that are wanted: loss (or "*"), kind, whether it is this one, and why. Each has a test elsewhere.
EXPLAINED: list[tuple[str, str, Callable[..., bool], str]] = [
    (
        "gan_generator_loss",
        "special",
        lambda call, got, wanted: any(v.kind in ("infinite", "special", "huge") for v in call.tensors().values()),
        "0 times an infinite score is NaN, as in binary_cross_entropy_with_logits (`cases.Elements.better`)",
    ),
    *(
        (
            name,
            "type",
            lambda call, got, wanted: call.tensors()["target"].kind == "far" and "dtype" in str(got),
            "of two errors, a class out of bounds and a weight of another dtype, either one",
        )
        for name in ("softmax_focal_loss", "generalized_cross_entropy", "symmetric_cross_entropy")
    ),
    *(
        (
            str(case),
            "type",
            lambda call, got, wanted: 0 in call.arguments["input"].shape and isinstance(got, IndexError),
            "rows without classes have no class: an IndexError as cross_entropy's, gather's is a RuntimeError",
        )
        for case in cases.SOFTMAX
        if not case.drop_in
    ),
]


def beyond(call: Call) -> bool:
    """Whether what such a loss multiplies a difference by passes float32's end."""
    return call.name in ("robust_loss", "mse_loss", "gaussian_nll_loss") and _beyond(call)


def repeats(call: Call) -> bool:
    """Whether a second backward, which makes the gradients with the upstream one in them, must give the same numbers.

    Not if the first one scales infinities, or derivatives that pass float32's end by 0; nor of rows of one class,
    vectors of one number, or a vector beside itself, where loss and cosine do not change: then gradients are what
    rounding leaves of terms that cancel.
    """
    kinds = {v.kind for v in call.tensors().values()}
    if beyond(call) or math.isinf(call.upstream) or (call.upstream == 0 and "huge" in kinds):
        return False
    if FAMILY[call.name] == "softmax" and call.tensors()["input"].shape[1:2] == (1,):
        return False
    if call.name != "cosine_embedding_loss" and call.arguments.get("distance") != "cosine":
        return True
    first, second = call.tensors()["input1"], call.tensors()["input2"]
    return first.shape[-1:] != (1,) and first.seed != second.seed


def _beyond(call: Call, *_: Any) -> bool:
    """Whether a difference, by the scale, passes float32's end: then it is infinite, as in PyTorch's subtraction."""
    made = call.make()
    first, second = (made[k].double() for k in MAIN[call.name][:2])
    if not first.numel() or not second.numel():
        return False
    by = made["var"].double().abs() if "var" in made else 0.5 if call.name == "mse_loss" else made.get("scale", 1.0)
    quotient = (first - second) / float(number_of(by if np.size(by) == 1 else by.min()))
    return bool((quotient.abs() * max(1.0, abs(call.upstream)) > torch.finfo(torch.float32).max).any())


def _sum_beyond(call: Call, *_: Any) -> bool:
    first, second = (call.make()[k].detach().double() for k in MAIN[call.name][:2])
    return float((first - second).abs().nan_to_num(0.0, 0.0).sum()) > torch.finfo(torch.float32).max / 4


def _logits_beyond(call: Call, *_: Any) -> bool:
    """Whether a step from the logits may pass float32's end: lse squared, z over a temperature, the derivative to it,
    a term whose factor is 0."""
    of = call.make().get
    heat = of("temperature", 1.0)
    cold = float(number_of(heat)) < 1 or (isinstance(heat, Tensor) and heat.requires_grad)
    squared = isinstance(of("z_loss"), Tensor) or bool(of("z_loss"))  # 0 times infinity, if a tensor is 0
    return call.tensors()["input"].kind == "huge" and (squared or cold or of("label_smoothing") == 1)


def _bytes(call: Call, *_: Any) -> bool:
    return call.tensors()["target"].dtype == "uint8"


EXPLAINED += [
    ("cross_entropy", "works", _bytes, "PyTorch takes uint8 classes of rows, not of pixels"),
    (
        "cross_entropy",
        "works",
        lambda call, got, wanted: call.mode == "autocast" and call.tensors()["weight"].dtype == "float64",
        "autocast casts everything but float64, so PyTorch refuses a weight of it",
    ),
    ("cross_entropy", "type", _bytes, "and has other errors for them, one of which is a UnicodeDecodeError"),
    (
        "binary_cross_entropy_with_logits",
        "special",
        lambda call, got, wanted: call.tensors()["input"].kind in ("infinite", "special"),
        "at x = -inf, y = 1 the loss is inf, PyTorch's NaN (the docstring says so)",
    ),
    (
        "hinge_loss",
        "special",
        lambda call, got, wanted: call.arguments.get("p") == 2 and "huge" in {v.kind for v in call.tensors().values()},
        "a square beyond float32",
    ),
    (
        "robust_loss",
        "special",
        lambda call, got, wanted: call.upstream == 0 and float(number_of(call.make().get("scale", 1.0))) < 1e-30,
        "0 times a derivative beyond float32",
    ),
    ("robust_loss", "number special", _beyond, "a quotient d / scale beyond float32 is infinite"),
    ("quantile_loss", "special", _sum_beyond, "a difference, or their sum, the derivative to q, beyond float32"),
    ("margin_ranking_loss", "special", _beyond, "a difference beyond float32 is infinite, and 0 times infinity NaN"),
    ("mse_loss", "special", _beyond, "2 d beyond float32 is infinite"),
]
EXPLAINED += [
    (str(case), "special", _logits_beyond, "logits beyond float32 on the way, where they meet others: no number")
    for case in cases.SOFTMAX
]
EXPLAINED += [(name, *EXPLAINED[0][1:]) for name in ("gan_discriminator_loss", "sigmoid_focal_loss")]


def explained(call: Call, kind: str, got: Any, wanted: Any) -> bool:
    return any(
        name in ("*", call.name) and kind in kinds and holds(call, got, wanted) for name, kinds, holds, _ in EXPLAINED
    )


# ------------------------------------------------------------------------------------------- what may be drawn

ANY = ("real", "real", "real", "grid", "large", "special", "infinite", "huge", "tiny", "zeros")
VECTORS = ("normal", "normal", "real", "grid", "wide", "special", "zeros")
# Values of tensors that hold what a record calls so (`Record.holds`).
KINDS = {
    "real": ANY, "log_probability": ("real", "grid", "special"), "log_rate": ("real", "positive", "grid", "special"),
    "probability": ("unit", "ends", "ends", "bits"), "distribution": ("unit", "bits", "ends"),
    "binary": ("bits", "soft", "unit"), "sign": ("sign", "sign", "signs"), "row_sign": ("sign", "sign", "signs"),
    "count": ("count", "positive"), "positive": ("positive", "positive", "unit", "zeros"), "box": ("boxes", "corners"),
}  # fmt: skip
GAN = {"gan_generator_loss": ("fake",), "gan_discriminator_loss": ("real", "fake")}
FAMILY = {**{case.name: case.engine for case in cases.EVERY}, **dict.fromkeys(GAN, "gan")}
# Of each loss: its tensors, and values of its hyperparameters.
MAIN: dict[str, tuple[str, ...]] = {**{case.name: case.tensor_names for case in cases.EVERY}, **GAN}
HYPER = {
    **{case.name: {name: case.candidates(name) for name in case.hyperparameters} for case in cases.EVERY},
    **{name: {} for name in GAN},
}


def kinds_of(name: str, argument: str) -> tuple[str, ...]:
    record = cases.of(name).functional.record
    return KINDS[record.holds.get(argument, "real")] if argument in record.holds or not record.pairs else VECTORS


@functools.lru_cache(maxsize=None, typed=True)  # 1, 1.0 and True are equal, and different calls
def among(*options: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(options)


_seeds = st.integers(0, 1000)


class Draw:
    def __init__(self, draw: Callable[..., Any]) -> None:
        self.draw = draw

    def one(self, *options: Any) -> Any:
        """One of these, by preference the first."""
        return self.draw(among(*options))

    def rarely(self, of: int = 6) -> bool:
        return bool(self.draw(among(*(False,) * (of - 1), True)))

    def tensor(self, kind: str, shape: tuple[int, ...], dtype: str, grad: bool = False) -> T:
        layout = self.one(*("dense",) * 6, *LAYOUTS[1:])
        return T(kind, shape, dtype, layout, self.draw(_seeds), grad and dtype in U)

    def number(self, value: Any, mode: str) -> Any:
        """A hyperparameter as a number or as a tensor, perhaps a learned one."""
        if not isinstance(value, float | int) or isinstance(value, bool) or not self.rarely(5):
            return value
        if self.rarely(4):
            return self.one(np.float32, np.float64)(value)
        kind = f"number {value!r}"
        VALUES.setdefault(kind, lambda shape, g, value=value: torch.full(shape, float(value), dtype=torch.float64))
        return T(kind, (), self.one("float32", "float64"), grad=self.rarely(3))

    def hyper(self, name: str, mode: str) -> dict[str, Any]:
        made = {}
        for k, values in HYPER[name].items():
            if self.rarely(3) or k in ("logit_scale",):
                made[k] = self.number(self.one(*values), mode)
        return made


class _Numbers(dict):  # values of a number's tensor, by its kind alone, for a program that makes a call again
    def __missing__(self, kind: str) -> Callable[..., Tensor]:
        value = float(kind.removeprefix("number "))
        return lambda shape, g: torch.full(shape, value, dtype=torch.float64)


VALUES = _Numbers(VALUES)
LENGTHS = (3, 1, 2, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 0)
WIDE = (64, 65, 127, 129, 511, 513)
MODES = ("train",) * 12 + ("no_grad", "autocast", "inference", "twice", "second")
UPSTREAM = (*(1.0, 1.0, -2.5, 0.0, 1024.0, 1 / 3) * 3, inf)


def shape_of(d: Draw, most: int = 4) -> tuple[int, ...]:
    dims = d.one(*(n for n in (2, 1, 1, 2, 3, 0, 4) if n <= most))
    shape = tuple(d.one(*(LENGTHS if k == 0 or dims < 3 else LENGTHS[:6])) for k in range(dims))
    if dims and math.prod(shape) < 40 and d.rarely(8):
        shape = (*shape[:-1], d.one(*WIDE))
    return shape


def shared(d: Draw, shape: tuple[int, ...], dtype: str, reductions: tuple[str, ...], **known: bool) -> dict[str, Any]:
    """Options that losses share; ``shape`` is that of the values before they are reduced."""
    made: dict[str, Any] = {}
    reduction = d.one(*reductions)
    if reduction != reductions[0] or d.rarely(2):
        made["reduction"] = reduction
    if d.rarely():
        made["weight"] = d.tensor("positive", known.get("weight", shape), dtype)  # type: ignore[arg-type]
    if known.get("mask") is not None and d.rarely():
        made["mask"] = d.tensor(d.one("bits", "bits", "zeros", "ones"), known["mask"], "bool")  # type: ignore[arg-type]
    if reduction == "mean" and d.rarely(8):
        made["normalizer"] = d.one(7.0, 3, T("ones", (), "float32"), T("count", (), "int64", seed=3))
    if d.rarely(8):
        made["empty"] = d.one("zero", "nan")
    if d.rarely(8):
        made["loss_dtype"] = torch.float32
    if known.get("stats") and d.rarely(10):
        made["return_stats"] = True
    if known.get("dims") and reduction in ("mean", "sum") and shape and d.rarely(6):
        made["reduce_dims"] = d.one(*range(len(shape)), tuple(range(1, len(shape))) or (0,))
    return made


def dtype_beside(d: Draw, dtype: str, integers: bool = False) -> str:
    """A dtype for a tensor beside one of ``dtype``: mostly the same."""
    return d.one(*(dtype,) * 6, "float32", "bfloat16", "float64", *(("int64", "bool") if integers else ()))


def beside(d: Draw, shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape for a tensor beside one of ``shape``: mostly the same, else one that broadcasts, or not."""
    if not d.rarely(8) or not shape:
        return shape
    k = d.one(*range(len(shape)))
    return d.one((*shape[:k], 1, *shape[k + 1 :]), shape[1:], (1, *shape), (*shape[:k], shape[k] + 1, *shape[k + 1 :]))


@st.composite
def points_calls(draw: Any, name: str) -> Call:
    d = Draw(draw)
    dtype, shape, mode = d.one("float32", "float32", *FLOATS), shape_of(d), d.one(*MODES)
    arguments: dict[str, Any] = {}
    for k, argument in enumerate(MAIN[name]):
        kind = d.one(*kinds_of(name, argument))
        fixed = argument in cases.of(name).record.fixed
        integers = k > 0 and kind in ("bits", "sign", "signs", "grid", "zeros")
        other = dtype if k == 0 else dtype_beside(d, dtype, integers)
        if other == "bool" and kind != "bits":
            other = dtype
        grad = mode != "inference" or k == 0
        arguments[argument] = d.tensor(
            kind,
            shape if k == 0 else beside(d, shape),
            other,
            grad and d.one(*(True, True, False) if k == 0 else (False, True)) and not fixed,
        )
    arguments |= d.hyper(name, mode)
    arguments |= shared(
        d,
        shape,
        dtype,
        ("mean", "none", "sum", *(("batchmean",) * cases.of(name).record.batchmean)),
        mask=shape,
        stats=True,
        dims=True,
    )
    if name == "binary_cross_entropy_with_logits" and d.rarely():
        arguments["pos_weight"] = d.tensor("positive", shape[-1:], dtype)
    if name == "sigmoid_focal_loss" and d.rarely(4):
        arguments["ignore_index"] = d.one(0, 1, -1, -100)
    if name == "sigmoid_focal_loss" and d.rarely(4):
        arguments["label_smoothing"] = d.one(0.1, 0.0, 1.0, 0)
    if name == "sigmoid_focal_loss" and shape and d.rarely(4):
        arguments["targets"] = d.tensor(d.one("index", "far"), shape[:-1], d.one("int64", "int64", "int32"))
        if "reduce_dims" in arguments or d.rarely(3):
            arguments["alpha"] = d.tensor("unit", shape[-1:], dtype)
    return Call(name, arguments, d.one(*UPSTREAM), mode)


@st.composite
def pairs_calls(draw: Any, name: str) -> Call:
    d = Draw(draw)
    dtype, mode = d.one("float32", "float32", *FLOATS), d.one(*MODES)
    rows = shape_of(d, 2) if name != "cosine_embedding_loss" else shape_of(d, 1)
    width = d.one(*LENGTHS)
    arguments: dict[str, Any] = {}
    for k, argument in enumerate(MAIN[name]):
        kind = d.one(*kinds_of(name, argument))
        if argument == "target":
            arguments[argument] = d.tensor(kind, beside(d, rows), d.one(dtype, "float32", "int64"))
        else:
            other = dtype if k == 0 else dtype_beside(d, dtype)
            full = (*rows, width)
            grad = mode != "inference" or k == 0
            arguments[argument] = d.tensor(
                kind, full if k == 0 else beside(d, full), other, grad and d.one(True, True, False)
            )
    arguments |= d.hyper(name, mode)
    arguments |= shared(d, rows, dtype, ("mean", "none", "sum"), mask=rows, stats=True, dims=True)
    return Call(name, arguments, d.one(*UPSTREAM), mode)


@st.composite
def rows_calls(draw: Any, name: str) -> Call:
    d = Draw(draw)
    dtype, mode = d.one("float32", "float32", *FLOATS), d.one(*MODES)
    dims = d.one(2, 2, 1, 3, 4)
    classes = d.one(3, 1, 2, 4, 5, 8, 9, 16, 17, 33, 100, 0)
    rows = tuple(d.one(*LENGTHS) if k == 0 else d.one(*LENGTHS[:4], 0) for k in range(dims - 1))
    shape = (classes,) if dims == 1 else (rows[0], classes, *rows[1:])
    grad = d.one(True, True, True, False)
    arguments: dict[str, Any] = {"input": d.tensor(d.one(*ANY, "wide"), shape, dtype, grad)}
    kind = d.one("index", "index", "soft", "far")
    if kind == "soft":
        arguments["target"] = d.tensor(
            "unit", beside(d, shape), dtype_beside(d, dtype), d.rarely(3) and mode != "inference"
        )
    else:
        arguments["target"] = d.tensor(
            kind if classes > 2 or kind == "far" else "zeros", beside(d, rows), d.one(*("int64",) * 8, "uint8", "int32")
        )
        if d.rarely(4):
            arguments["ignore_index"] = d.one(1, -1, -100)
    if name == "softmax_focal_loss" and d.rarely(8):
        arguments["alpha"] = d.tensor("positive", (classes,), dtype)
    hyper = d.hyper(name, mode)
    hyper.update({k: v for k, v in arguments.items() if k in hyper})
    arguments |= hyper
    arguments |= shared(d, rows, dtype, ("mean", "none", "sum"), weight=(classes,), mask=rows, stats=True)
    if d.rarely(8) and mode in ("train", "autocast", "no_grad"):
        arguments["inplace"] = True
    if isinstance(arguments.get("weight"), T):
        arguments["weight"] = replace(arguments["weight"], dtype=dtype_beside(d, dtype))
    return Call(name, arguments, d.one(*UPSTREAM), mode)


@st.composite
def similarity_calls(draw: Any, name: str) -> Call:
    d = Draw(draw)
    dtype, mode = d.one("float32", "float32", *FLOATS), d.one(*MODES)
    n, width = d.one(3, 1, 2, 4, 5, 8, 9, 17, 33, 40, 0), d.one(3, 1, 2, 5, 8, 17, 31, 64)
    m = n + d.one(0, 0, 5) if name == "info_nce_loss" else n
    # Distances of equal vectors, and the choice between equally hard ones, are those of rounding.
    apart = cases.of(name).distances
    kind = d.one("normal", "normal", "real", *(() if apart else ("grid",)), "wide")
    width = max(width, 2) if apart else width
    arguments: dict[str, Any] = {}
    for k, argument in enumerate(MAIN[name]):
        shape = (n if k == 0 else m, width)
        if name == "supcon_loss" and d.rarely(4):
            shape = (n, 2, width)
        arguments[argument] = d.tensor(
            kind, shape, dtype if k == 0 else dtype_beside(d, dtype), mode != "inference" or k == 0
        )
        if apart and arguments[argument].layout in ("expanded", "expanded_last", "windows"):
            arguments[argument] = replace(arguments[argument], layout="strided")
    if cases.of(name).labelled:
        arguments["labels"] = d.tensor("index", (n,), d.one("int64", "int64", "int32"))
    if name == "info_nce_loss":
        kind, extra = d.one("", "", "labels", "positives"), d.one("", "", "", "negatives")
        if kind == "labels":
            arguments["labels"] = d.tensor(d.one("index", "index", "far"), (n,), "int64")
        elif kind:
            arguments["positives"] = d.tensor("bits", (n, m), "bool")
        if extra:
            arguments["negatives"] = d.tensor("normal", d.one((4, width), (n, 2, width)), dtype, d.one(True, False))
    arguments |= d.hyper(name, mode)
    mask = (n, m) if name != "nt_xent_loss" else (2 * n, 2 * n)
    arguments |= shared(
        d,
        (n,) if name != "nt_xent_loss" else (2 * n,),
        dtype,
        ("mean", "none", "sum"),
        mask=mask if name != "supcon_loss" else None,
    )
    return Call(name, arguments, d.one(*UPSTREAM), mode)


@st.composite
def gan_calls(draw: Any, name: str) -> Call:
    d = Draw(draw)
    dtype = d.one("float32", *FLOATS)
    arguments: dict[str, Any] = {k: d.tensor(d.one(*ANY), shape_of(d, 2), dtype, True) for k in GAN[name]}
    arguments["mode"] = d.one("non_saturating", "hinge", "least_squares", "wasserstein")
    arguments["reduction"] = d.one("mean", "sum")
    return Call(name, arguments, d.one(*UPSTREAM), d.one("train", "no_grad", "autocast"))


@st.composite
def count_calls(draw: Any, name: str) -> Call:
    d = Draw(draw)
    targets = d.tensor(d.one("index", "bits", "signs"), shape_of(d, 2), d.one("int64", "uint8", "bool", "float32"))
    arguments: dict[str, Any] = {"targets": targets}
    if d.rarely(3):
        arguments["num_classes"] = d.one(3, 1, 5)
    if d.rarely(3):
        arguments["ignore_index"] = d.one(0, -1, 2)
    return Call(name, arguments)


def check_count(call: Call) -> None:
    """`count_positives` against a count by comparison."""
    made = call.make()
    targets, ignored = made["targets"], made.get("ignore_index")
    targets = targets.long() if targets.dtype == torch.uint8 else targets  # whose 255 is no -1
    try:
        got = fastloss.functional.count_positives(**made)
    except (ValueError, TypeError, RuntimeError):
        return
    kept = torch.ones_like(targets, dtype=torch.bool) if ignored is None else targets != ignored
    classes = made.get("num_classes")
    found = targets.double() if classes is None else ((targets >= 0) & (targets < classes)).double()
    wanted = max(1.0, float(found[kept].sum()))
    if got.shape != () or float(got) != wanted:
        raise difference("count_positives_number")(f"{got}, expected {wanted}")


TWO_BOXES = ("boxes1", "boxes2")
BOXES = {
    **dict.fromkeys(("box_iou_loss", "distribution_focal_loss"), ("input", "target")), "box_cost": ("boxes", "targets"),
    **dict.fromkeys(("generalized_box_iou_loss", "distance_box_iou_loss", "complete_box_iou_loss"), TWO_BOXES),
}  # fmt: skip


@st.composite
def box_calls(draw: Any, name: str) -> Call:
    d = Draw(draw)
    dtype, shape, (first, second) = d.one("float32", *FLOATS), shape_of(d, 2), BOXES[name]
    if name == "distribution_focal_loss":
        made = {first: d.tensor("real", (*shape, d.one(17, 2, 3)), dtype, True), second: d.tensor("unit", shape, dtype)}
    else:
        shapes = ((4, 4), (d.one(3, 1, 0), 4)) if name == "box_cost" else ((*shape, 4), (*shape, 4))
        kind = d.one("boxes", "boxes", "corners")
        made = {k: d.tensor(kind, s, dtype, k == first) for k, s in zip((first, second), shapes, strict=True)}
    arguments: dict[str, Any] = dict(made)
    if name != "box_cost":
        arguments["reduction"] = d.one("mean", "none", "sum")
    if name == "box_iou_loss":
        arguments |= {"kind": d.one("giou", "iou", "diou", "ciou", "eiou", "siou")}
    if name in ("box_iou_loss", "box_cost"):
        arguments |= {"format": d.one("xyxy", "xywh", "cxcywh")}
    return Call(name, arguments, d.one(1.0, -2.5))


def check_boxes(call: Call) -> None:
    """A function of boxes, and its gradient, against the formula in float64: relative to the largest number, to the
    inverse of a box's smallest side, which is the size of terms that cancel, and to the number of losses in a sum."""
    made = call.make()
    wide = {
        k: v.detach().double().requires_grad_(v.requires_grad) if isinstance(v, Tensor) else v for k, v in made.items()
    }
    if call.name == "box_cost":
        rows, columns = wide["boxes"].unsqueeze(1), wide["targets"].unsqueeze(0)
        loss = fastloss.reference.box_iou_loss(rows, columns, format=wide["format"], reduction="none")
        wanted = [2 * (loss - 1) + 5 * (rows - columns).abs().sum(-1)]
    else:
        wanted = [getattr(fastloss.reference, call.name)(**wide)]
    got = [getattr(fastloss.functional, call.name)(**made)]
    for results, arguments in ((got, made), (wanted, wide)):
        free = [v for v in arguments.values() if isinstance(v, Tensor) and v.requires_grad]
        upstream = torch.full_like(results[0], call.upstream)
        results += torch.autograd.grad(results[0], free, upstream) if results[0].requires_grad else []
    boxes = [v.detach() for k, v in wide.items() if k in BOXES[call.name] and v.shape[-1:] == (4,)]
    sides = torch.cat([torch.zeros(0), *(s.flatten() for b in boxes for s in (b[..., 2:] - b[..., :2], b[..., 2:]))])
    rate = 1 / float(min([1.0, *sides[sides > 0].tolist()]))
    for a, b in zip(got, wanted, strict=True):
        unit = U[name_of(a.dtype)] + 64 * U["float32" if a.dtype != torch.float64 else "float64"]
        added = boxes[0].numel() // 4 if a is got[0] and call.arguments.get("reduction") == "sum" else 1
        limit = unit * max([rate, added, *b.detach().abs().flatten().tolist()]) + 2.0**-24
        held = b.abs() <= torch.finfo(a.dtype).max  # what overflows a half is infinite there
        if a.shape != b.shape or (((a.double() - b).abs() > limit) & held).any():
            raise difference("boxes")(f"{call.name}: {a}, expected {b}")


HEADS = tuple(case.name for case in cases.LINEAR)


@st.composite
def case_calls(draw: Any, name: str) -> Call:
    """Sizes, settings and options of a case's own arguments; ``strip`` rows of logits at a time, 0: as used.

    Margins on angles get vectors of 5 numbers and more: of fewer, one of their classes may lie along any vector, where
    the loss is steeper than `cases.heads.arcface_steepness` says.
    """
    d = Draw(draw)
    widths = (5, 8, 17, 31, 64) if "arcface" in name else (1, 2, 5, 8, 17, 31, 64)
    arguments: dict[str, Any] = {
        "rows": d.one(*LENGTHS[:-1], 40), "width": d.one(*widths), "seed": d.one(0, 1, 2),
        "setting": d.one(*range(len(cases.of(name).settings))), "dtype": d.one("float32", "float32", *FLOATS),
        "strip": d.one(0, 1, 3, 8, 100) if name in HEADS else 0, "reduction": d.one("mean", "none", "sum"),
    }  # fmt: skip
    if d.rarely(3):
        arguments["masked"] = d.one(2, 3, 1)
    if name in HEADS and d.rarely(3):
        arguments["ignored"] = d.one(0, 4)
    if d.rarely(4) and arguments["reduction"] == "mean":
        arguments["normalizer"] = d.one(3.0, 7)
    if d.rarely(4):
        arguments["empty"] = d.one("zero", "nan")
    return Call(name, arguments, d.one(*UPSTREAM[:-1]), d.one("train", "train", "no_grad", "twice"))


def turns_back(made: dict[str, Any]) -> bool:
    """Whether a row's angle is within its rounding of where ArcFace's margin would turn back: there the logit jumps."""
    names = ("embeddings", "weight")
    vectors, classes = (F.normalize(made[k].detach().double(), dim=-1) for k in names)
    target = made["target"]
    cosines = (vectors @ classes.mT).unflatten(1, (cases.Linear.classes, -1)).amax(-1)
    margins = torch.as_tensor(made.get("margin", 0.5)).double().expand(cases.Linear.classes)[target]
    turn = torch.zeros_like(margins) if made.get("easy_margin") else -margins.cos()
    found = cosines.gather(1, target.unsqueeze(1)).squeeze(1)
    return bool(((found - turn).abs() < 4 * U[name_of(made[names[0]].dtype)]).any())


def check_case(call: Call) -> None:
    """A loss of hidden states and a classifier, or of two rows of logits, as its case judges it."""
    given, case = call.arguments, cases.of(call.name)
    made = case.make(
        (given["rows"], given["width"]), case.settings[given["setting"]], getattr(torch, given["dtype"]), given["seed"]
    )
    options: dict[str, Any] = {k: given[k] for k in ("reduction", "normalizer", "empty") if k in given}
    if "masked" in given:
        options["mask"] = torch.arange(given["rows"]) % given["masked"] != 0
    if "ignored" in given and not made["target"].is_floating_point():
        options["ignore_index"] = given["ignored"]
    budget = {"memory_budget": 1} if given["strip"] else {}
    with mock.patch.object(strips, "_MIN_STRIP_ROWS", given["strip"] or strips._MIN_STRIP_ROWS):
        if call.mode == "no_grad":
            with torch.no_grad():
                loss = case.functional(**made, **options, **budget)
            found = [loss, *cases.gradients(case.functional, made, call.upstream, **options, **budget)[1:]]
        else:
            found = cases.gradients(case.functional, made, call.upstream, **options, **budget)
        if call.mode == "twice":
            again = cases.gradients(case.functional, made, call.upstream, **options, **budget)
            if not all(torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in zip(found, again, strict=True)):
                raise difference("case twice")(f"{found}, then {again}")
    try:
        case.judge(made, call.upstream, **options).check(found)
    except AssertionError as error:
        if "arcface" in call.name and turns_back(made):
            return
        raise difference("case")(str(error)) from error


LANGUAGE: dict[str, dict[str, Any]] = {
    "token_logprobs": {"return_entropy": True, "return_lse": True},
    "flex_cross_entropy": {
        "row_loss": lambda row: 0.1 * row.lse.square() - row.logprob * row.others - 0.01 * row.entropy,
        "reduction": "none",
    },
    "perplexity": {}, "causal_lm_loss": {},
}  # fmt: skip
# Of hidden states, and of a layer that makes logits of them that are the same: every one of these takes strips.
LANGUAGE |= {
    "linear_token_logprobs": {**LANGUAGE["token_logprobs"], "memory_budget": 1},
    "linear_flex_cross_entropy": {**LANGUAGE["flex_cross_entropy"], "memory_budget": 1},
    "linear_divergence": {"kind": "js", "reduction": "none", "memory_budget": 1},
}


NOT_OF_LANGUAGE = {("causal_lm_loss", "masked"), ("linear_divergence", "softcap"), ("linear_divergence", "ignored")}


@st.composite
def language_calls(draw: Any, name: str) -> Call:
    d = Draw(draw)
    arguments: dict[str, Any] = {
        "rows": d.one(*LENGTHS[:-1]), "classes": d.one(3, 1, 2, 8, 17, 100, 300), "seed": d.one(0, 1, 2),
        "scale": d.one(1.0, 0.01, 8.0), "dtype": d.one("float32", "float32", *FLOATS), "transposed": d.rarely(3),
    }  # fmt: skip
    for option, values in (("temperature", (0.5, 2.0)), ("softcap", (5.0, 30.0)), ("ignored", (0,)), ("masked", (2,))):
        if d.rarely(3) and (name, option) not in NOT_OF_LANGUAGE:
            arguments[option] = d.one(*values)
    # Powers of two: the upstream gradient of a half output is half itself.
    return Call(name, arguments, d.one(1.0, -2.0, 0.5, 0.0))


def check_language(call: Call) -> None:
    """Outputs of rows of logits, and their gradient through all of them at once, against the formula in float64."""
    given, dtype = call.arguments, getattr(torch, call.arguments["dtype"])
    torch.manual_seed(given["seed"])
    shape = (given["classes"], given["rows"]) if given["transposed"] else (given["rows"], given["classes"])
    logits = (given["scale"] * torch.randn(shape)).to(dtype)
    target = torch.randint(given["classes"], (given["rows"],))
    if call.name == "linear_divergence":  # of a teacher's logits
        target = torch.randn(given["rows"], given["classes"]).to(dtype)
    options = {**LANGUAGE[call.name], **{k: given[k] for k in ("temperature", "softcap") if k in given}}
    if "masked" in given:
        options["mask"] = torch.arange(given["rows"]) % given["masked"] != 0
    if "ignored" in given:
        options["ignore_index"] = given["ignored"]

    def run(room: Any, x: Tensor) -> list[Tensor]:
        leaf = x.detach().clone().requires_grad_()
        moved = leaf.t() if given["transposed"] else leaf
        own = dict(options)
        layer = [torch.eye(given["classes"], dtype=x.dtype)] if call.name.startswith("linear_") else []
        teacher = target.to(x.dtype) if target.is_floating_point() else target
        made = getattr(room, call.name)(
            moved, *layer, teacher, *([own.pop("row_loss")] if "row_loss" in own else []), **own
        )
        made = list(made) if isinstance(made, tuple) else [made]
        loss = sum(2.0**k * call.upstream * value.double().sum() for k, value in enumerate(made))
        return [*(value.detach() for value in made), *torch.autograd.grad(loss, leaf)]

    unit = torch.finfo(dtype).eps
    for what, (ours, wanted) in enumerate(
        zip(run(fastloss.functional, logits), run(fastloss.reference, logits.double()), strict=True)
    ):
        # Half a unit for each rounding of an output or gradient, and of float32's arithmetic on sums of classes.
        size = wanted[wanted.isfinite()].abs().max() if wanted.numel() and wanted.isfinite().any() else 0.0
        bound = 2 * unit * wanted.abs() + float(32 * (unit if dtype == torch.float64 else 2**-23) * (1 + size))
        off = (ours.double() - wanted).abs() > bound
        same = ours.double().isnan() == wanted.isnan()
        if (off & (wanted.abs() <= torch.finfo(dtype).max)).any() or not same.all():
            raise difference("language")(f"{call.name}, output {what}: {ours}, expected {wanted}")


OTHERS: dict[str, tuple[Callable[[str], st.SearchStrategy[Call]], Callable[[Call], None]]] = {
    "count_positives": (count_calls, check_count), **dict.fromkeys(BOXES, (box_calls, check_boxes)),
    **dict.fromkeys((*HEADS, "divergence"), (case_calls, check_case)),
    **dict.fromkeys(LANGUAGE, (language_calls, check_language)),
}  # fmt: skip


def _high(scores: Tensor, mode: str) -> Tensor:
    return {
        "non_saturating": lambda x: -F.logsigmoid(x), "hinge": lambda x: F.relu(1 - x),
        "least_squares": lambda x: 0.5 * (x - 1).square(), "wasserstein": lambda x: -x,
    }[mode](scores)  # fmt: skip


def _low(scores: Tensor, mode: str) -> Tensor:
    return 0.5 * scores.square() if mode == "least_squares" else _high(-scores, mode)


def _score(fn: Callable[..., Tensor], scores: Tensor, mode: str, reduction: str) -> Tensor:
    if mode == "least_squares":  # as users write it, with the roundings of PyTorch's operator
        return 0.5 * F.mse_loss(scores, torch.full_like(scores, fn is _high), reduction=reduction)
    return getattr(torch, reduction)(fn(scores, mode))


def plain_generator(fake: Tensor, mode: str, reduction: str) -> Tensor:
    return _score(_high, fake, "wasserstein" if mode == "hinge" else mode, reduction)


def plain_discriminator(real: Tensor, fake: Tensor, mode: str, reduction: str) -> Tensor:
    return _score(_high, real, mode, reduction) + _score(_low, fake, mode, reduction)


# What users write for losses that have no other reference.
COMPOSED: dict[str, Callable[..., Any]] = {
    "gan_generator_loss": plain_generator, "gan_discriminator_loss": plain_discriminator,
}  # fmt: skip
CALLS: dict[str, Callable[[str], st.SearchStrategy[Call]]] = {
    "elements": points_calls, "products": pairs_calls, "softmax": rows_calls, "similarity": similarity_calls,
    "gan": gan_calls,
}  # fmt: skip


def calls_of(name: str) -> st.SearchStrategy[Call]:
    return OTHERS[name][0](name) if name in OTHERS else CALLS[FAMILY[name]](name)


def functions() -> list[str]:
    """Every public function: one that has no line above is an error here."""
    apart = fastloss.functional.composed, fastloss.functional.regions  # those of others' kernels; those of sums
    drawn = set(fastloss.functional.__all__).difference(*(family.__all__ for family in apart))
    missing = drawn - set(FAMILY) - set(OTHERS)
    assert not missing, f"there is no case for {', '.join(sorted(missing))}"
    return sorted(drawn)


# ---------------------------------------------------------------------------------------------------- running


def soak(
    name: str, cases: int, number: int | None, survey: Any = None, tick: Callable[[], None] = lambda: None
) -> list[str]:
    """Draws calls of a function; gives back what is wrong. Without a ``number`` always the same calls."""
    ran = 0

    @settings(
        max_examples=cases, derandomize=number is None, database=None, deadline=None, report_multiple_bugs=True,
        suppress_health_check=list(HealthCheck), phases=(Phase.generate, Phase.shrink), print_blob=False,
    )  # fmt: skip
    @given(call=calls_of(name))
    def run(call: Call) -> None:
        nonlocal ran
        ran += 1
        tick()
        try:
            check(call)
        except Exception as error:
            found = error if isinstance(error, Difference) else difference(f"{name}_oracle")(repr(error))
            if survey is None:
                found.args = (f"{found}\n    {call.program()}",)
                raise found from error
            survey(type(found).__name__, call, str(found))

    try:
        with contextlib.redirect_stdout(None):
            (run if number is None else seed(number)(run))()
    except Exception as error:  # one difference, or a group with one of each kind
        return [f"{type(one).__name__}: {one}" for one in getattr(error, "exceptions", [error])]
    return []


def work(arguments: argparse.Namespace, worker: int, names: list[str]) -> int:
    """The share of one process; says on its output what it finds, and how far it is."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    each, begun, ran, wrong = -(-arguments.cases // len(names) // arguments.workers), time.monotonic(), 0, 0
    kinds: collections.Counter[str] = collections.Counter()

    def tick() -> None:
        nonlocal ran
        ran += 1

    def count(kind: str, call: Call, text: str) -> None:
        kinds[kind] += 1
        if kinds[kind] == 1:
            print(f"{kind}: {text}\n    {call.program()}", file=sys.__stdout__, flush=True)

    for k, name in enumerate(names):
        found = soak(name, each, arguments.seed * 1000 + worker, count if arguments.survey else None, tick)
        wrong += len(found)
        seconds = time.monotonic() - begun
        print("\n".join([*found, f"[{k + 1}/{len(names)}] {name}: {ran} cases in {seconds:.0f} s"]), flush=True)
    wrong += len(kinds)
    print(f"\n{ran} {wrong}", flush=True)
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cases", type=int, default=200_000, help="in all")
    parser.add_argument("--seed", type=int, help="of the draws; default: another one each time, printed")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", default="", help="functions, separated by commas")
    parser.add_argument("--survey", action="store_true", help="go on after a difference, without shrinking")
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    names = [name for name in arguments.only.split(",") if name] or functions()
    if arguments.worker is not None:
        work(arguments, arguments.worker, names)
        return 0
    arguments.seed = int(time.time()) % 1_000_000 if arguments.seed is None else arguments.seed
    print(f"soak: {arguments.cases} cases of {len(names)} functions, seed {arguments.seed}", flush=True)
    begun = time.monotonic()
    command = [sys.executable, __file__, "--cases", str(arguments.cases), "--seed", str(arguments.seed)]
    command += [
        "--workers",
        str(arguments.workers),
        "--only",
        ",".join(names),
        *(["--survey"] if arguments.survey else []),
    ]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    environment = {**os.environ, "PYTHONPATH": path}
    children = [
        subprocess.Popen([*command, "--worker", str(k)], stdout=subprocess.PIPE, text=True, env=environment)
        for k in range(arguments.workers)
    ]  # fmt: skip
    lines: list[str] = [""] * len(children)

    def read(k: int) -> None:
        for line in children[k].stdout or ():
            lines[k] = line
            if not line[:1].isdigit() and line.strip():
                print(line if arguments.workers == 1 else f"{k}: {line}", end="", flush=True)

    threads = [threading.Thread(target=read, args=(k,)) for k in range(len(children))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    failed = [child.wait() for child in children]
    totals = [
        [int(number) for number in line.split()] for line, status in zip(lines, failed, strict=True) if not status
    ]
    ran, wrong = (sum(column) for column in zip(*totals, strict=True)) if totals else (0, 0)
    seconds = time.monotonic() - begun
    print(f"soak: {ran} cases, {wrong} unexplained differences, {seconds:.0f} s, seed {arguments.seed}")
    return int(bool(wrong or any(failed)))


if __name__ == "__main__":
    sys.exit(main())
