"""The table of losses, one row each, and what the properties share: inputs, options, tolerances.

A loss of the rows family joins every property test by a line in `CASES`.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import math
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import fastloss
import fastloss.reference
from fastloss import _ops

P = ParamSpec("P")
R = TypeVar("R")

HALF = (torch.bfloat16, torch.float16)
DTYPES = (torch.float64, torch.float32, *HALF)
REDUCTIONS = ("none", "mean", "sum")
UPSTREAM = (0.0, 1.0, -2.5, 65536.0, 1.0 / 3.0)

# Unit roundoff (half the gap above 1), and half the smallest subnormal.
UNIT = {torch.float64: 2.0**-53, torch.float32: 2.0**-24, torch.bfloat16: 2.0**-8, torch.float16: 2.0**-11}
UNDERFLOW = {torch.float64: 0.0, torch.float32: 2.0**-150, torch.bfloat16: 2.0**-134, torch.float16: 2.0**-25}


@dataclass(frozen=True)
class Point:
    """A value worked out by hand: ``loss`` for these logits, target and options."""

    logits: list
    target: Any
    loss: Any
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """One loss.

    Attributes:
        functional, module: Ours.
        reference: The specification, `fastloss.reference`.
        native: PyTorch's own operator, or the plain expression its users write.
        native_module: Likewise.
        params: Settings of the loss's own hyperparameters, each run through every property.
        points: Values worked out by hand.
        gamma: Default exponent of q, the target's missing probability.
        soft_kernel: Whether the kernel takes probability targets.
        drop_in: Whether it is PyTorch's own loss, with its constructor and its tiny calls.
    """

    name: str
    functional: Callable[..., Any]
    reference: Callable[..., Any]
    module: type[torch.nn.Module]
    native: Callable[..., Tensor]
    native_module: type[torch.nn.Module]
    params: tuple[dict[str, Any], ...]
    points: tuple[Point, ...]
    gamma: float = 0.0
    soft_kernel: bool = True
    drop_in: bool = True

    def __str__(self) -> str:
        return self.name

    def enlarges(self, params: dict[str, Any]) -> float:
        r""":math:`q^\gamma` has :math:`\gamma` times the relative error of q, on top of the logarithm's own."""
        return 1.0 + params.get("gamma", self.gamma)


# Logits (0, ln 2, ln 3): the exponentials 1, 2, 3 sum to 6, so n_c = (ln 6, ln 3, ln 2).
LN2, LN3, LN6 = math.log(2), math.log(3), math.log(6)
Z = [0.0, LN2, LN3]

CROSS_ENTROPY = Case(
    name="cross_entropy",
    functional=fastloss.functional.cross_entropy,
    reference=fastloss.reference.cross_entropy,
    module=fastloss.CrossEntropyLoss,
    native=F.cross_entropy,
    native_module=torch.nn.CrossEntropyLoss,
    params=({},),
    points=(
        Point([0.0, 0.0], 0, LN2),
        Point(Z, 0, LN6),
        Point(Z, 2, LN2),
        Point([Z, Z, Z], [0, 1, 2], (LN6 + LN3 + LN2) / 3),
        Point([Z, Z, Z], [0, 1, 2], LN6 + LN3 + LN2, dict(reduction="sum")),
        Point([Z, Z, Z], [0, 1, 2], [LN6, LN3, LN2], dict(reduction="none")),
        # 0.7 ln 6 + 0.3 / 3 (ln 6 + ln 3 + ln 2), and ln 3 + ln 2 = ln 6.
        Point(Z, 0, 0.9 * LN6, dict(label_smoothing=0.3)),
        # Weights 1, 2, 4: (ln 6 + 4 ln 2) / (1 + 4).
        Point([Z, Z], [0, 2], (LN6 + 4 * LN2) / 5, dict(weight=[1.0, 2.0, 4.0])),
        # Smoothing weighs each class, the divisor stays w_y:
        # ((1 - e) 4 ln 2 + e / 3 (ln 6 + 2 ln 3 + 4 ln 2)) / 4.
        Point(
            [Z],
            [2],
            (0.7 * 4 * LN2 + 0.1 * (LN6 + 2 * LN3 + 4 * LN2)) / 4,
            dict(weight=[1.0, 2.0, 4.0], label_smoothing=0.3),
        ),
        Point([Z, Z], [0, -100], LN6),
        Point([Z, Z, Z], [0, 1, 2], (LN6 + LN2) / 2, dict(ignore_index=1)),
        # Probabilities (1/2, 1/4, 1/4): ln 6 / 2 + (ln 3 + ln 2) / 4.
        Point(Z, [0.5, 0.25, 0.25], 0.75 * LN6),
        # Smoothed by 0.4: 0.6 t + 0.4 / 3.
        Point(Z, [0.5, 0.25, 0.25], 0.6 * 0.75 * LN6 + 0.4 / 3 * 2 * LN6, dict(label_smoothing=0.4)),
        Point(Z, [0.5, 0.25, 0.25], 0.5 * LN6 + 0.5 * LN3 + LN2, dict(weight=[1.0, 2.0, 4.0])),
        Point(Z, 1, LN3 + 0.5 * LN6**2, dict(z_loss=0.5)),
        Point([Z], [1], [2 * (LN3 + 0.5 * LN6**2)], dict(z_loss=0.5, weight=[1.0, 2.0, 4.0], reduction="none")),
        Point(Z, [0.5, 0.25, 0.25], 0.75 * LN6 + 0.5 * LN6**2, dict(z_loss=0.5)),
        # softcap 2 turns 2 atanh(z / 2) back into z.
        Point([2 * math.atanh(z / 2) for z in Z], 1, LN3, dict(softcap=2.0)),
        Point([2 * math.atanh(z / 4) for z in Z], 1, LN3, dict(softcap=2.0, temperature=0.5)),
        Point([Z, Z, Z], [0, 1, 2], (LN6 + LN2) / 2, dict(mask=[True, False, True])),
        Point([Z, Z, Z], [0, 1, 2], (LN6 + LN3 + LN2) / 8, dict(normalizer=8.0)),
        Point([Z, Z], [-100, -100], 0.0, dict(empty="zero")),
        Point([Z, Z], [-100, -100], math.nan),
    ),
)


class PlainSoftmaxFocalLoss(torch.nn.Module):
    """What users write: the plain expression as a module."""

    def __init__(
        self, alpha=None, gamma=2.0, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0
    ) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.options = dict(
            alpha=alpha, gamma=gamma, ignore_index=ignore_index, reduction=reduction, label_smoothing=label_smoothing
        )

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return fastloss.reference.softmax_focal_loss(input, target, weight=self.weight, **self.options)


# Probabilities 1/6, 1/3, 1/2 at Z, so q = 5/6, 2/3, 1/2.
SOFTMAX_FOCAL = Case(
    name="softmax_focal_loss",
    functional=fastloss.functional.softmax_focal_loss,
    reference=fastloss.reference.softmax_focal_loss,
    module=fastloss.SoftmaxFocalLoss,
    native=fastloss.reference.softmax_focal_loss,
    native_module=PlainSoftmaxFocalLoss,
    params=({}, {"gamma": 0.0}, {"gamma": 0.5}, {"gamma": 1.0, "alpha": 0.25}, {"gamma": 3}, {"gamma": 2.7}),
    points=(
        Point([0.0, 0.0], 0, LN2 / 4),
        Point(Z, 0, 25 / 36 * LN6),
        Point(Z, 2, 0.25 * 0.5 * LN2, dict(gamma=1.0, alpha=0.25)),
        Point(Z, 1, LN3, dict(gamma=0.0)),
        Point([Z, Z, Z], [0, 1, 2], [(5 / 6) ** 3 * LN6, (2 / 3) ** 3 * LN3, LN2 / 8], dict(gamma=3, reduction="none")),
        Point([Z, Z, Z], [0, -100, 2], (25 / 36 * LN6 + LN2 / 4) / 2),
        # The mean divides by the weights, whatever alpha and the focal factor do.
        Point([Z, Z], [0, 2], (25 / 36 * LN6 + 4 * LN2 / 4) / 5, dict(weight=[1.0, 2.0, 4.0])),
        # Smoothing's uniform part is not modulated.
        Point(Z, 0, 0.7 * 25 / 36 * LN6 + 0.1 * (LN6 + LN3 + LN2), dict(label_smoothing=0.3)),
        # Probabilities: each term has its own factor.
        Point(Z, [0.5, 0.25, 0.25], 0.5 * 25 / 36 * LN6 + 0.25 * 4 / 9 * LN3 + 0.25 / 4 * LN2),
        Point(Z, 1, 4 / 9 * LN3 + 0.5 * LN6**2, dict(z_loss=0.5)),
        Point([Z, Z], [-100, -100], 0.0, dict(empty="zero")),
    ),
    gamma=2.0,
    soft_kernel=False,
    drop_in=False,
)

CASES = (CROSS_ENTROPY, SOFTMAX_FOCAL)
DROP_INS = tuple(case for case in CASES if case.drop_in)


def settings(table: Any) -> list[Any]:
    """Each loss of a table with each setting of its hyperparameters, to parametrize with."""
    return [pytest.param(case, params, id=f"{case}-{i}") for case in table for i, params in enumerate(case.params)]


def tensors(options: dict[str, Any], dtype: torch.dtype) -> dict[str, Any]:
    """Options with their lists made tensors: ``weight`` of ``dtype``, ``mask`` of bool."""
    made = dict(options)
    if isinstance(made.get("weight"), list):
        made["weight"] = torch.tensor(made["weight"], dtype=dtype)
    if isinstance(made.get("mask"), list):
        made["mask"] = torch.tensor(made["mask"])
    return made


def rows_of(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of one value per row: without the class dimension."""
    return shape[:1] + shape[2:] if len(shape) > 1 else ()


def classes_of(shape: tuple[int, ...]) -> int:
    return shape[1] if len(shape) > 1 else shape[0]


def make(
    shape: tuple[int, ...], dtype: torch.dtype = torch.float32, kind: str = "index", seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Logits of spread 3 and a target of either kind, exactly representable in ``dtype``."""
    generator = torch.Generator().manual_seed(seed)
    x = (3 * torch.randn(shape, generator=generator, dtype=torch.float64)).to(dtype)
    if kind == "index":
        return x, torch.randint(classes_of(shape), rows_of(shape), generator=generator)
    t = torch.randn(shape, generator=generator, dtype=torch.float64).softmax(0 if len(shape) == 1 else 1)
    return x, t.to(dtype)


def run(
    fn: Callable[..., Any], x: Tensor, target: Tensor, upstream: Any = None, **options: Any
) -> tuple[Tensor, Tensor]:
    """Loss and gradient of ``fn`` at ``x``, whose strides and storage offset the kernel sees as they are."""
    leaf = x.detach().requires_grad_()
    loss = fn(leaf, target, **options)
    if upstream is None:
        upstream = torch.ones_like(loss)
    (grad,) = torch.autograd.grad(loss, leaf, torch.as_tensor(upstream, dtype=loss.dtype).expand_as(loss))
    return loss.detach(), grad


def to_double(options: dict[str, Any]) -> dict[str, Any]:
    return {k: v.double() if isinstance(v, Tensor) and v.is_floating_point() else v for k, v in options.items()}


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


@remembered
def exact(case: Case, x: Tensor, target: Tensor, upstream: Any = None, **options: Any) -> tuple[Tensor, Tensor]:
    """Loss and gradient by the reference in float64, from the values as they are in ``x``'s dtype."""
    target = target.double() if target.is_floating_point() else target
    options = {k: v for k, v in options.items() if k not in ("inplace", "loss_dtype")}
    return run(case.reference, x.double(), target, upstream, **to_double(options))


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
    largest = float(finite.abs().max()) if finite.numel() else 0.0
    return u * (8 + 2 * math.sqrt(classes_of(tuple(x.shape))) + 4 * largest)


def check_loss(actual: Tensor, wanted: Tensor, x: Tensor, scale: float | Tensor = 1.0) -> None:
    """``actual`` within ``slack`` of ``wanted`` in units of ``scale`` (largest factor of a row times the rows
    summed), plus one rounding to its dtype. NaN and infinities must agree."""
    _check(actual, wanted, slack(x) * scale, "loss")


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
    dim = 0 if x.dim() == 1 else 1
    sizes = wanted.abs().nan_to_num(0.0, 0.0, 0.0)
    scale = sizes.amax(dim, keepdim=True) if sizes.numel() else sizes
    if sizes.numel() and (actual.dtype == torch.float64 or not _ops.AVAILABLE):
        extra = extra + float(sizes.max())  # PyTorch's own float64, our measure, rounds p_y - 1 at the size of 1
    _check(actual, wanted, slack(x) * (scale + extra), "gradient")


def _check(actual: Tensor, wanted: Tensor, tolerance: float | Tensor, what: str) -> None:
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


# ------------------------------------------------------------------------------------------------ pointwise


def argument_names(case: Any) -> tuple[str, ...]:
    return tuple(inspect.signature(case.reference).parameters)


class Named:
    """What a case finds by the name of its loss."""

    name: str

    def __str__(self) -> str:
        return self.name

    @property
    def functional(self) -> Callable[..., Any]:
        return getattr(fastloss.functional, self.name)

    @property
    def reference(self) -> Callable[..., Any]:
        return getattr(fastloss.reference, self.name)


@dataclass(frozen=True)
class PointCase(Named):
    """One pointwise loss.

    Attributes:
        native: PyTorch's own function, or None.
        native_module: Likewise.
        ranges: Of each tensor argument; a tuple of values is drawn from, a pair of floats is an interval.
        fixed: Indices of the tensors in which nothing is differentiated.
        points: Values worked out by hand: arguments, keywords, loss (mean).
        kinks: Arguments where the derivative jumps: there the convention must be PyTorch's.
        cancelling: Size of the terms that cancel in each derivative, to which its error is relative: near x = 0 those
            in a target, a difference of two losses of one size (focal, asymmetric; so do torch's own formulas).
        exponent: Of a power that is taken by way of its logarithm, which the inputs keep below 5: its largest value,
            for given params.
        better: Arguments (as in ``specials``) where PyTorch gives NaN or inf and ours a number or a limit, on purpose.
    """

    name: str
    module: type[torch.nn.Module] | None
    native: Callable[..., Tensor] | None
    native_module: type[torch.nn.Module] | None
    ranges: tuple[Any, ...]
    params: tuple[dict[str, Any], ...] = ({},)
    fixed: tuple[int, ...] = ()
    points: tuple[tuple[tuple[float, ...], dict[str, Any], float], ...] = ()
    kinks: tuple[tuple[float, ...], ...] = ()
    cancelling: tuple[float, ...] = (0.0, 0.0, 0.0)
    exponent: Callable[..., float] = lambda **params: 0.0
    better: Callable[..., Tensor] = lambda *tensors: torch.zeros_like(tensors[0], dtype=torch.bool)

    @property
    def arity(self) -> int:
        return len(self.ranges)


REAL = (-4.0, 4.0)
UNIT_RANGE = (0.0, 1.0)
SIGN = (-1, 1)


def plain_sigmoid_focal(x, y, alpha=0.25, gamma=2.0, reduction="none"):
    """What torchvision computes."""
    p = torch.sigmoid(x)
    ce = F.binary_cross_entropy_with_logits(x, y, reduction="none")
    loss = ce * (1 - (p * y + (1 - p) * (1 - y))) ** gamma
    if alpha >= 0:
        loss = (alpha * y + (1 - alpha) * (1 - y)) * loss
    return {"none": lambda v: v, "mean": Tensor.mean, "sum": Tensor.sum}[reduction](loss)


POINTWISE = (
    PointCase(
        "huber_loss", fastloss.HuberLoss, F.huber_loss, torch.nn.HuberLoss, (REAL, REAL),
        ({}, {"delta": 0.3}, {"delta": 2}),
        points=(((3.0, 0.0), {}, 2.5), ((0.5, 0.0), {}, 0.125), ((1.0, 3.0), {"delta": 0.5}, 0.875)),
        kinks=((1.0, 0.0), (-1.0, 0.0), (0.0, 0.0), (2.5, 1.5)),
    ),
    PointCase(
        "smooth_l1_loss", fastloss.SmoothL1Loss, F.smooth_l1_loss, torch.nn.SmoothL1Loss, (REAL, REAL),
        ({}, {"beta": 0.3}, {"beta": 0.0}, {"beta": 2}),
        points=(((3.0, 0.0), {}, 2.5), ((0.5, 0.0), {}, 0.125), ((1.0, 3.0), {"beta": 0.5}, 1.75)),
        kinks=((1.0, 0.0), (-1.0, 0.0), (0.0, 0.0), (2.5, 1.5)),
    ),
    PointCase(
        "mse_loss", fastloss.MSELoss, F.mse_loss, torch.nn.MSELoss, (REAL, REAL), points=(((3.0, 1.0), {}, 4.0),)
    ),
    PointCase(
        "l1_loss", fastloss.L1Loss, F.l1_loss, torch.nn.L1Loss, (REAL, REAL),
        points=(((3.0, 1.0), {}, 2.0),), kinks=((1.0, 1.0), (-0.0, 0.0)),
    ),
    PointCase(
        "binary_cross_entropy_with_logits", fastloss.BCEWithLogitsLoss, F.binary_cross_entropy_with_logits,
        torch.nn.BCEWithLogitsLoss, (REAL, UNIT_RANGE),
        points=(((0.0, 1.0), {}, LN2), ((LN2, 0.0), {}, LN3), ((LN2, 1.0), {}, LN3 - LN2)),
        kinks=((0.0, 0.0), (0.0, 1.0), (0.0, 0.3)),
        better=lambda x, y: (x == -math.inf) & ((y == 1) | (y < 0)),
    ),
    PointCase(
        "sigmoid_focal_loss", fastloss.SigmoidFocalLoss, plain_sigmoid_focal, None, (REAL, (0, 0, 1, 1, 0.5, 0.25)),
        ({}, {"gamma": 0.0}, {"gamma": 0.5}, {"gamma": 1.0}, {"gamma": 3},
         {"gamma": 3.3, "alpha": -1.0}, {"alpha": 0.6}),
        points=(((0.0, 1.0), {}, 0.25 * 0.25 * LN2), ((LN2, 0.0), {"alpha": -1.0, "gamma": 1.0}, 2 / 3 * LN3)),
        kinks=((0.0, 0.0), (0.0, 1.0), (0.0, 0.3)),
        exponent=lambda alpha=0.25, gamma=2.0: 0.0 if gamma in (0, 1, 2, 3, 4) else gamma,
        cancelling=(0.0, 1.0), better=lambda x, y: x.isinf() | y.isinf(),
    ),
    PointCase(
        "binary_cross_entropy", fastloss.BCELoss, F.binary_cross_entropy, torch.nn.BCELoss, (UNIT_RANGE, UNIT_RANGE),
        points=(((0.5, 1.0), {}, LN2), ((0.75, 0.0), {}, 2 * LN2)),
        kinks=((0.0, 0.0), (1.0, 1.0), (0.0, 1.0), (1.0, 0.0), (1e-30, 0.3)),
    ),
    PointCase(
        "soft_margin_loss", fastloss.SoftMarginLoss, F.soft_margin_loss, torch.nn.SoftMarginLoss, (REAL, SIGN),
        fixed=(1,),
        points=(((0.0, 1.0), {}, LN2), ((LN2, -1.0), {}, LN3)), kinks=((0.0, 1.0),),
        better=lambda x, y: (x * y < -80) | (x * y).isnan(),
    ),
    PointCase(
        "hinge_embedding_loss", fastloss.HingeEmbeddingLoss, F.hinge_embedding_loss, torch.nn.HingeEmbeddingLoss,
        (REAL, (-1, 1, 0)), ({}, {"margin": 0.5}), fixed=(1,),
        points=(((0.25, -1.0), {}, 0.75), ((0.25, 1.0), {}, 0.25), ((3.0, -1.0), {}, 0.0)),
        kinks=((1.0, -1.0), (1.0, 1.0), (1.0, 0.0)),
    ),
    PointCase(
        "margin_ranking_loss", fastloss.MarginRankingLoss, F.margin_ranking_loss, torch.nn.MarginRankingLoss,
        (REAL, REAL, SIGN), ({}, {"margin": 0.5}),
        points=(((1.0, 3.0, 1.0), {}, 2.0), ((1.0, 3.0, -1.0), {"margin": 2.5}, 0.5)),
        kinks=((1.0, 1.0, 1.0), (1.0, 1.0, -1.0)),
    ),
    PointCase(
        "poisson_nll_loss", fastloss.PoissonNLLLoss, F.poisson_nll_loss, torch.nn.PoissonNLLLoss,
        ((0.01, 4.0), (0.0, 6.0)),
        ({}, {"full": True}, {"log_input": False}, {"log_input": False, "full": True, "eps": 1e-3}),
        points=(((0.0, 3.0), {}, 1.0), ((1.0, 3.0), {"log_input": False, "eps": 0.0}, 1.0)),
        kinks=((1.0, 1.0),),
    ),
    PointCase(
        "gaussian_nll_loss", fastloss.GaussianNLLLoss, F.gaussian_nll_loss, torch.nn.GaussianNLLLoss,
        (REAL, REAL, (0.1, 4.0)), ({}, {"full": True}, {"eps": 0.5}),
        points=(((1.0, 3.0, 2.0), {}, 0.5 * (LN2 + 2.0)),), kinks=((1.0, 2.0, 0.0), (1.0, 2.0, 1e-6)),
    ),
    PointCase(
        "kl_div", fastloss.KLDivLoss, F.kl_div, torch.nn.KLDivLoss, (REAL, (0.01, 1.0)), ({}, {"log_target": True}),
        points=(((0.0, 0.5), {}, -0.5 * LN2), ((0.0, LN2), {"log_target": True}, 2 * LN2)), kinks=((0.5, 0.0),),
    ),
    PointCase(
        "hinge_loss", fastloss.HingeLoss, None, None, (REAL, SIGN), ({}, {"p": 2}, {"margin": 0.5}),
        points=(((0.5, 1.0), {}, 0.5), ((0.5, -1.0), {"p": 2}, 2.25)),
    ),
    PointCase(
        "log_cosh_loss", fastloss.LogCoshLoss, None, None, (REAL, REAL), points=(((LN2, 0.0), {}, math.log(1.25)),)
    ),
    PointCase(
        "quantile_loss", fastloss.QuantileLoss, None, None, (REAL, REAL), ({}, {"q": 0.9}),
        points=(((1.0, 3.0), {"q": 0.9}, 1.8), ((3.0, 1.0), {"q": 0.75}, 0.5)),
    ),
    PointCase(
        "robust_loss", fastloss.RobustLoss, None, None, (REAL, REAL),
        tuple({"alpha": a, "scale": c} for a, c in ((1.0, 1.0), (2, 0.5), (0, 2.0), (-2.0, 1.0), (-math.inf, 3.0),
                                                    (1.5, 0.5), (3.0, 2.0), (-0.5, 1.0), (1e-9, 1.0), (-20.0, 4.0))),
        points=(((3.0, 0.0), {"alpha": 2.0}, 4.5), ((math.sqrt(3), 0.0), {}, 1.0), ((4.0, 0.0), {"alpha": -2.0}, 1.6),
                ((2.0, 0.0), {"alpha": 0.0}, LN3), ((2.0, 0.0), {"alpha": 4.0}, 4.0),
                ((1.0, 0.0), {"alpha": -math.inf, "scale": 0.5}, 1 - math.exp(-2.0))),
        exponent=lambda alpha=1.0, scale=1.0: 0.0 if alpha in (2, 1, 0, -2, -math.inf) else abs(alpha / 2 - 1),
    ),
    PointCase(
        "asymmetric_loss", fastloss.AsymmetricLoss, None, None, (REAL, (0, 0, 1, 1, 0.5, 0.25)),
        ({}, {"clip": 0.0}, {"gamma_neg": 0.0, "gamma_pos": 0.0, "clip": 0.0}, {"gamma_neg": 2.5, "gamma_pos": 0.5},
         {"gamma_neg": 0.5, "gamma_pos": 3, "clip": 0.3}),
        points=(((0.0, 1.0), {}, 0.5 * LN2), ((0.0, 0.0), {"gamma_neg": 2.0, "clip": 0.25}, 0.0625 * math.log(4 / 3)),
                ((0.0, 0.0), {"clip": 0.5}, 0.0), ((LN2, 0.0), {"gamma_neg": 1.0, "clip": 0.0}, 2 / 3 * LN3)),
        exponent=lambda gamma_neg=4.0, gamma_pos=1.0, clip=0.05: max(
            0 if g in (0, 1, 2, 3, 4) else g for g in (gamma_neg, gamma_pos)
        ),
        cancelling=(0.0, 1.0),
    ),
    PointCase(
        "charbonnier_loss", fastloss.CharbonnierLoss, None, None, (REAL, REAL), ({}, {"eps": 0.5}),
        points=(((3.0, 0.0), {"eps": 4.0}, 5.0),),
    ),
)  # fmt: skip


def make_points(
    case: PointCase, shape: tuple[int, ...], dtype: torch.dtype = torch.float32, seed: int = 0
) -> tuple[Tensor, ...]:
    """Arguments of a pointwise loss, exactly representable in ``dtype``; differentiable ones require a gradient."""
    generator = torch.Generator().manual_seed(seed)
    made = []
    for k, wanted in enumerate(case.ranges):
        if len(wanted) == 2 and all(isinstance(v, float) for v in wanted):
            low, high = wanted
            t = low + (high - low) * torch.rand(shape, generator=generator, dtype=torch.float64)
        else:
            t = torch.tensor(wanted, dtype=torch.float64)[torch.randint(len(wanted), shape, generator=generator)]
        made.append(t.to(dtype).requires_grad_(k not in case.fixed))
    return tuple(made)


def gradients(
    fn: Callable[..., Any], tensors: tuple[Tensor, ...], upstream: Any = None, **options: Any
) -> list[Tensor]:
    """The loss and its gradient to every tensor that requires one; the tensors are read as they lie."""
    leaves = [t.detach().requires_grad_(t.requires_grad) for t in tensors]
    loss = fn(*leaves, **options)
    if upstream is None:
        upstream = torch.ones_like(loss)
    upstream = torch.as_tensor(upstream, dtype=loss.dtype).expand_as(loss)
    wanted = [t for t in leaves if t.requires_grad]
    return [loss.detach(), *torch.autograd.grad(loss, wanted, upstream)]


def with_reductions(every: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Options of the pointwise and the pairs family, with each reduction that they go with."""
    for options, reduction in itertools.product(every, REDUCTIONS):
        if (reduction == "none" and "reduce_dims" in options) or (reduction != "mean" and "normalizer" in options):
            continue
        yield dict(options, reduction=reduction)


def point_options(shape: tuple[int, int, int]) -> Iterator[dict[str, Any]]:
    """For float64 arguments of a pointwise loss."""
    weight, mask = torch.rand(shape, dtype=torch.float64) + 0.1, torch.rand(shape) < 0.6
    mask[2] = False
    return with_reductions([
        dict(weight=weight), dict(mask=mask), dict(mask=mask[:1]), dict(weight=weight, mask=mask), dict(normalizer=7.0),
        dict(normalizer=torch.tensor(7), mask=mask), dict(reduce_dims=(1, 2)),
        dict(reduce_dims=1, mask=mask, weight=weight),
        dict(reduce_dims=(1, 2), mask=mask, empty="zero"), dict(reduce_dims=(1, 2), normalizer=5.0),
        dict(loss_dtype=torch.float32), dict(mask=torch.zeros_like(mask), empty="zero"),
    ])  # fmt: skip


@remembered
def exact_points(case: PointCase, tensors: tuple[Tensor, ...], upstream: Any = None, **options: Any) -> list[Tensor]:
    """Loss and gradients by the reference in float64, from the values as they are."""
    options = {k: v for k, v in options.items() if k != "loss_dtype"}
    wide = tuple(t.detach().double().requires_grad_(t.requires_grad) for t in tensors)
    return gradients(case.reference, wide, upstream, **to_double(options))


@remembered
def point_scales(case: PointCase, tensors: tuple[Tensor, ...], **options: Any) -> list[Tensor]:
    r"""How much the value and each derivative of an element may move when its arguments move by one unit, relative.

    :math:`|f| + \sum_k |x_k \partial_k f|` for the loss, likewise for each derivative: what a computation that is exact
    for arguments off by a rounding may be wrong by. Ours does a handful of roundings more.
    """
    wide = [t.detach().double().requires_grad_(k not in case.fixed) for k, t in enumerate(tensors)]
    free = [w for w in wide if w.requires_grad]

    def moves(value: Tensor) -> Tensor:
        grads = torch.autograd.grad(value.sum(), free, create_graph=True, allow_unused=True)
        parts = [(x * g).abs() for x, g in zip(free, grads, strict=True) if g is not None]
        return value.abs() + sum(parts, torch.zeros_like(value))

    options.pop("reduction", None)
    loss = case.reference(*wide, reduction="none", **options)
    wanted = [w for w, t in zip(wide, tensors, strict=True) if t.requires_grad]
    grads = torch.autograd.grad(loss.sum(), wanted, create_graph=True)
    scales = [moves(loss)]
    for g in grads:
        scales.append(moves(g) if g.requires_grad else g.abs())
    # u^gamma by way of its logarithm: rounding gamma log u, at most 5 gamma here, shifts the result by that much.
    power = 1 + 5 * case.exponent(**options)
    cancelling = (0.0, *case.cancelling)
    return [power * (s.detach() + c) for s, c in zip(scales, cancelling, strict=False)]


ROUNDINGS = 16  # of a functor one after the other; a power repeats those of its base: m^4 has the three of m four times


def check_points(actual: Tensor, wanted: Tensor, scale: Tensor | float) -> None:
    """Within `ROUNDINGS` units of ``scale``, plus one rounding. In float64 the reference rounds as often."""
    u = 2 * UNIT[torch.float64] if actual.dtype == torch.float64 else UNIT[torch.float32]
    _check(actual, wanted, ROUNDINGS * u * scale, "pointwise")


# ---------------------------------------------------------------------------------------------------- pairs


@dataclass(frozen=True)
class PairCase(Named):
    """One loss of the pairs family; attributes as a `PointCase`'s.

    ``labelled``: the third tensor has one label per row. Without a ``native_module`` the loss is not PyTorch's, and
    ``native`` the plain expression its users write.
    """

    name: str
    module: type[torch.nn.Module]
    native: Callable[..., Tensor]
    native_module: type[torch.nn.Module] | None
    params: tuple[dict[str, Any], ...]
    points: tuple[tuple[tuple[Any, ...], dict[str, Any], float], ...]
    labelled: bool = False

    @property
    def fixed(self) -> tuple[int, ...]:
        return (2,) if self.labelled else ()


def plain_contrastive(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 1.0,
    distance: str = "euclidean",
    squared: bool = True,
    reduction: str = "mean",
) -> Tensor:
    if distance == "cosine":
        norms = ((input1.square().sum(-1) + 1e-12) * (input2.square().sum(-1) + 1e-12)).sqrt()
        d = 1 - (input1 * input2).sum(-1) / norms
        square = d.square()
    else:
        d = (input1 - input2).norm(dim=-1)
        square = (input1 - input2).square().sum(-1)
    lack = F.relu(margin - d)
    near, far = (square / 2, lack.square() / 2) if squared else (d, lack)
    loss = torch.where(target == 1, near, torch.where((target == 0) | (target == -1), far, 0.0))
    return loss if reduction == "none" else loss.mean() if reduction == "mean" else loss.sum()


PAIRS = (
    PairCase(
        "cosine_embedding_loss", fastloss.CosineEmbeddingLoss, F.cosine_embedding_loss, torch.nn.CosineEmbeddingLoss,
        ({}, {"margin": 0.2}),
        points=(
            (([[3.0, 4.0]], [[4.0, 3.0]], [1.0]), {}, 0.04),
            (([[3.0, 4.0]], [[4.0, 3.0]], [-1.0]), {"margin": 0.5}, 0.46),
            (([[3.0, 4.0]], [[4.0, 3.0]], [0.0]), {}, 0.0),
        ),
        labelled=True,
    ),
    PairCase(
        "contrastive_loss", fastloss.ContrastiveLoss, plain_contrastive, None,
        (
            {}, {"margin": 6.0}, {"margin": 6.0, "squared": False}, {"distance": "cosine"},
            {"distance": "cosine", "squared": False, "margin": 1.1},
        ),
        points=(
            (([[0.0, 0.0]], [[3.0, 4.0]], [1.0]), {}, 12.5),
            (([[0.0, 0.0]], [[3.0, 4.0]], [-1.0]), {}, 0.0),
            (([[0.0, 0.0]], [[3.0, 4.0]], [-1.0]), {"margin": 7.0}, 2.0),
            (([[0.0, 0.0]], [[3.0, 4.0]], [0.0]), {"margin": 7.0}, 2.0),
            (([[0.0, 0.0]], [[3.0, 4.0]], [2.0]), {"margin": 7.0}, 0.0),
            (([[0.0, 0.0], [1.0, 1.0]], [[3.0, 4.0], [1.0, 1.0]], [1.0, 0.0]), {"squared": False}, 3.0),
            (([[0.0, 0.0]], [[3.0, 4.0]], [0.0]), {"margin": 7.0, "squared": False}, 2.0),
            (([[3.0, 4.0]], [[4.0, 3.0]], [1.0]), {"distance": "cosine"}, 0.0008),
            (([[3.0, 4.0]], [[4.0, 3.0]], [0.0]), {"distance": "cosine"}, 0.4608),
            (([[3.0, 4.0]], [[4.0, 3.0]], [-1.0]), {"distance": "cosine", "squared": False}, 0.96),
            (([[3.0, 4.0]], [[-4.0, -3.0]], [0.0]), {"distance": "cosine"}, 0.0),
        ),
        labelled=True,
    ),
    PairCase(
        "triplet_margin_loss", fastloss.TripletMarginLoss, F.triplet_margin_loss, torch.nn.TripletMarginLoss,
        ({}, {"margin": 0.3}, {"swap": True}, {"eps": 0.1, "swap": True}),
        points=(
            (([[0.0, 0.0]], [[3.0, 4.0]], [[0.0, 3.0]]), {}, 3.0),
            (([[0.0, 0.0]], [[3.0, 4.0]], [[0.0, 30.0]]), {}, 0.0),
            (([[0.0, 0.0]], [[3.0, 4.0]], [[0.0, 4.0]]), {"swap": True}, 3.0),
        ),
    ),
)  # fmt: skip


def make_pairs(
    case: PairCase, shape: tuple[int, ...], width: int, dtype: torch.dtype = torch.float32, seed: int = 0
) -> tuple[Tensor, ...]:
    """Vectors of a pairs loss, exactly representable in ``dtype``, and its labels; vectors require a gradient."""
    generator = torch.Generator().manual_seed(seed)
    vectors = [torch.randn(*shape, width, generator=generator).to(dtype) for _ in range(3)]
    if not case.labelled:
        return tuple(v.requires_grad_() for v in vectors)
    label = torch.randint(0, 2, shape, generator=generator).to(dtype) * 2 - 1
    return vectors[0].requires_grad_(), vectors[1].requires_grad_(), label


# ------------------------------------------------------------------------------------- comparing with PyTorch


def pair_options(rows: int) -> Iterator[dict[str, Any]]:
    """For float64 arguments of a pairs loss."""
    weight, mask = torch.rand(rows, dtype=torch.float64) + 0.1, torch.rand(rows) < 0.6
    return with_reductions([
        dict(weight=weight), dict(mask=mask), dict(weight=weight, mask=mask), dict(normalizer=7.0),
        dict(normalizer=torch.tensor(7), mask=mask), dict(reduce_dims=0), dict(reduce_dims=0, mask=mask, weight=weight),
        dict(mask=mask & False, empty="zero"), dict(mask=mask & False), dict(loss_dtype=torch.float32),
    ])  # fmt: skip


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


# ---------------------------------------------------------------------------------------------- similarity


@dataclass(frozen=True)
class SimilarityCase(Named):
    """One loss of the similarity family.

    Attributes:
        vectors: Names of the arguments that are vectors.
        labelled: Whether integer labels come next.
        scalars: Values of further tensors that are differentiable: of an argument in its place, or by keyword.
        params: Settings; a callable among the values makes a tensor of (rows, columns).
        steepness: For given keywords and the longest vector's length, the largest derivative of a score in its
            similarity.
        distances: Whether it sees distances, which are made in float32 at least.
    """

    name: str
    module: type[torch.nn.Module]
    vectors: tuple[str, ...]
    params: tuple[dict[str, Any], ...]
    steepness: Callable[..., float]
    labelled: bool = False
    scalars: dict[str, float] = field(default_factory=dict)
    distances: bool = False
    normalize: bool = True

    def normalizes(self, params: dict[str, Any]) -> bool:
        return bool(params.get("normalize", self.normalize))


def pair_flags(share: float, seed: int = 3) -> Callable[[int, int], Tensor]:
    return lambda n, m: torch.rand(n, m, generator=torch.Generator().manual_seed(seed)) < share


def key_labels(n: int, m: int) -> Tensor:
    """The index of a key."""
    return torch.randint(0, m, (n,), generator=torch.Generator().manual_seed(4))


SIMILARITY = (
    SimilarityCase(
        "info_nce_loss", fastloss.InfoNCELoss, ("query", "key"),
        (
            {}, {"symmetric": True, "mask": pair_flags(0.8)}, {"labels": key_labels, "mask": pair_flags(0.7)},
            {"positives": pair_flags(0.2), "multi_positive": "in"},
            {"positives": pair_flags(0.2), "mask": pair_flags(0.7, 5), "normalize": False},
            {"positives": pair_flags(0.1), "symmetric": True},
        ),
        lambda temperature, **_: 1 / temperature,
        scalars={"temperature": 0.3},
    ),
    SimilarityCase(
        "clip_loss", fastloss.ClipLoss, ("image_features", "text_features"),
        ({}, {"normalize": True, "mask": pair_flags(0.8)}), lambda logit_scale, **_: logit_scale,
        scalars={"logit_scale": 0.7, "logit_bias": -0.4}, normalize=False,
    ),
    SimilarityCase(
        "siglip_loss", fastloss.SigLipLoss, ("image_features", "text_features"),
        ({}, {"normalize": True, "mask": pair_flags(0.8)}), lambda logit_scale, **_: logit_scale,
        scalars={"logit_scale": 0.7, "logit_bias": -0.4}, normalize=False,
    ),
    SimilarityCase(
        "nt_xent_loss", fastloss.NTXentLoss, ("z0", "z1"),
        (
            {}, {"decoupled": True}, {"normalize": False},
            {"decoupled": True, "mask": lambda n, _: pair_flags(0.7)(2 * n, 2 * n)},
            {"mask": lambda n, _: pair_flags(0.7)(2 * n, 2 * n)},
        ),
        lambda temperature, **_: 1 / temperature, scalars={"temperature": 0.4},
    ),
    SimilarityCase(
        "supcon_loss", fastloss.SupConLoss, ("features",),
        ({}, {"positives": "in"}, {"labels": None, "mask": lambda n, _: pair_flags(0.2)(n, n)}, {"normalize": False}),
        lambda temperature, **_: 1 / temperature, labelled=True, scalars={"temperature": 0.4},
    ),
    SimilarityCase(
        "pairwise_contrastive_loss", fastloss.PairwiseContrastiveLoss, ("embeddings",),
        (
            {"neg_margin": 1.3}, {"pos_margin": 0.4, "squared": True, "neg_margin": 1.4},
            {"normalize": False, "neg_margin": 5.0}, {"normalize": False, "neg_margin": 5.0, "squared": True},
            {"neg_margin": 1.3, "mask": pair_flags(0.7)},
            {"normalize": False, "neg_margin": 5.0, "mask": pair_flags(0.7)},
        ),
        lambda **_: 1.0, labelled=True, distances=True,
    ),
    SimilarityCase(
        "multi_similarity_loss", fastloss.MultiSimilarityLoss, ("embeddings",),
        ({}, {"alpha": 1.0, "beta": 2.0, "base": 0.1, "normalize": False}, {"mask": pair_flags(0.7)}),
        lambda alpha=2.0, beta=50.0, **_: max(alpha, beta), labelled=True,
    ),
    SimilarityCase(
        "circle_loss", fastloss.CircleLoss, ("embeddings",), ({}, {"m": 0.25, "gamma": 8.0}, {"mask": pair_flags(0.7)}),
        lambda m=0.4, gamma=80.0, longest=1.0, **_: 2 * gamma * (1 + m + longest**2), labelled=True,
    ),
    SimilarityCase(
        "mined_triplet_margin_loss", fastloss.MinedTripletMarginLoss, ("embeddings",),
        (
            {}, {"soft": True}, {"normalize": True, "margin": 0.3}, {"mining": "semi_hard"},
            {"mining": "semi_hard", "soft": True, "normalize": True}, {"mining": "all"},
            {"mining": "all", "margin": 0.2, "normalize": True}, {"mask": pair_flags(0.7), "normalize": True},
            {"mining": "semi_hard", "mask": pair_flags(0.7)}, {"mining": "all", "mask": pair_flags(0.7), "margin": 2.0},
        ),
        lambda **_: 1.0, labelled=True, distances=True, normalize=False,
    ),
)  # fmt: skip


def make_similarity(
    case: SimilarityCase,
    params: dict[str, Any],
    n: int,
    width: int,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
) -> dict[str, Any]:
    """Keyword arguments of a loss with n rows: vectors exactly representable in ``dtype``, scalars, labels, setting.

    InfoNCE has 5 more keys than queries unless it is symmetric. Labels are negative, small and beyond 32 bits (two
    of them equal in their low halves), one of every seven is alone.
    """
    generator = torch.Generator().manual_seed(seed)
    m = n + 5 if case.name == "info_nce_loss" and not params.get("symmetric") else n
    made: dict[str, Any] = {}
    for k, name in enumerate(case.vectors):
        made[name] = torch.randn(m if k else n, width, generator=generator).to(dtype).requires_grad_()
    if case.labelled:
        few = torch.tensor([-7, 0, 3, 5 + 2**33, 3 + 2**32])
        made["labels"] = few[torch.randint(len(few), (n,), generator=generator)]
        made["labels"][6::7] = torch.arange(100, 100 + len(made["labels"][6::7]))
    for name, value in case.scalars.items():
        made[name] = torch.tensor(value, dtype=torch.float64 if dtype == torch.float64 else torch.float32)
        made[name].requires_grad_()
    return {**made, **{k: v(n, m) if callable(v) else v for k, v in params.items()}}
