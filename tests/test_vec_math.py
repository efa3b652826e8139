"""The vector functions within the bounds csrc/simd/vec_math.h states; half conversions."""

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from fastloss import isa
from fastloss._core import operators as _ops

pytestmark = pytest.mark.skipif(not _ops.AVAILABLE, reason="the extension is not built")


def stated_bounds():
    """Of each type and function: the largest error in units of the last place, and what it grows by with |x|."""
    header = Path(__file__).resolve().parent.parent / "csrc" / "simd" / "vec_math.h"
    lines = re.findall(
        r"^// +(float|double): ((?:.+,\n//)*.+)$", header.read_text() if header.exists() else "", re.MULTILINE
    )
    bounds = {}
    for name, line in lines:
        for function, bound, _, slope in re.findall(r"(\w+) ([\d.]+)( \+ ([\d.]+) \|x\|)?", line):
            bounds[{"float": np.float32, "double": np.float64}[name], function] = float(bound), float(slope or 0)
    return bounds


BOUNDS = stated_bounds()
FUNCTIONS = {
    "expm1_negative": np.expm1,
    "exp_negative": np.exp,
    "exp_logit": np.exp,
    "log1p_unit": np.log1p,
    "over_one_plus": lambda x: x / (1 + x),
    "atan": np.arctan,
}
UNIT = ("log1p_unit", "over_one_plus")  # of x in [0, 1]


def patterns(dtype):
    """Both signs and every exponent alike: 2^21 evenly spaced bit patterns, shifted off round numbers, the
    neighbourhoods of the places where the functions change branch, and the special values."""
    bits = {np.float32: np.uint32, np.float64: np.uint64}[dtype]
    width = np.dtype(bits).itemsize * 8
    step = 2 ** (width - 21)
    spread = np.arange(2**21, dtype=np.uint64) * np.uint64(step) + np.uint64(12345 % step)
    info = np.finfo(dtype)
    centres = [0.0, 0.125, 0.5, np.sqrt(0.5), 1.0, np.sqrt(2), 2.0, 9.0, 20.0, np.log(float(info.max))]
    centres += [
        np.log(float(info.tiny)),
        np.log(float(info.smallest_subnormal)),
        float(info.tiny),
        1e8,
        *np.log(2) * np.arange(-8, 8),
    ]
    near = [
        np.nextafter(dtype(c), dtype(np.inf)).view(bits).astype(np.uint64) + np.arange(512, dtype=np.uint64) - 256
        for c in np.abs(centres)
    ]
    x = np.concatenate([spread, *near]).astype(bits).view(dtype)
    special = np.array([0.0, np.inf, np.nan, info.max, info.tiny, info.smallest_subnormal, info.eps], dtype)
    dense = np.linspace(-30, 30, 2**18).astype(dtype)
    return np.concatenate([x, -x, special, -special, dense])


def test_every_function_has_a_bound():
    if not BOUNDS:
        pytest.skip("not a source checkout")
    functions = {
        "atan",
        "exp",
        "exp_negative",
        "exp_logit",
        "expm1_negative",
        "log",
        "log1p",
        "log1p_unit",
        "over_one_plus",
        "tanh",
    }
    assert set(BOUNDS) == set(itertools.product([np.float32, np.float64], functions))


@pytest.mark.parametrize("name", isa.available())
@pytest.mark.parametrize(("dtype", "function"), BOUNDS, ids=lambda v: getattr(v, "__name__", v))
def test_bound(dtype, function, name):
    wide = {np.float32: np.float64, np.float64: np.longdouble}[dtype]
    if np.finfo(wide).nmant <= np.finfo(dtype).nmant:
        pytest.skip("no wider floating point type on this machine to measure with")
    x = patterns(dtype)
    if function.endswith("_negative"):
        x = -np.abs(x)
    if function in UNIT:
        x = np.abs(x)
        x = x[~(x > 1)]
    if function == "exp_logit":
        x = x[x <= 40]
    raw = _ops.extension().apply(name, function, x.tobytes(), dtype is np.float64)
    y = np.frombuffer(raw, dtype)
    with np.errstate(all="ignore"):
        exact = FUNCTIONS.get(function, getattr(np, function, None))(x.astype(wide))
        rounded = exact.astype(dtype)
        same = (y == rounded) | (np.isnan(y) & np.isnan(rounded))
        if function == "exp_logit":
            same |= (y == 0) & (exact < np.finfo(dtype).tiny)
        unit = np.spacing(np.abs(rounded)).astype(wide)
        error = np.where(same, 0, np.abs(y.astype(wide) - exact) / unit)
    error = np.where(np.isnan(error) | np.isinf(rounded) & ~same, np.inf, error)
    bound, slope = BOUNDS[dtype, function]
    error = error - slope * np.where(np.isfinite(x), np.abs(x), 0)
    worst = int(np.argmax(error))
    assert error[worst] <= bound, f"{function}({x[worst]!r}) = {y[worst]!r}, exactly {exact[worst]!r}"


@pytest.mark.parametrize("name", isa.available())
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_exp_logit_beyond_its_range(dtype, name):
    x = patterns(dtype)
    x = x[~(x <= 40)]
    y = np.frombuffer(_ops.extension().apply(name, "exp_logit", x.tobytes(), dtype is np.float64), dtype)
    assert np.isnan(x).any()
    assert np.isinf(x).any()
    assert (np.isnan(y) == np.isnan(x)).all()
    assert (~(y < np.exp(40) * (1 - 1e-5))).all()


def halfway(bits, shift):
    """Each half-precision number as a float, the points half way to the next, and the neighbours of both."""
    base = bits.astype(np.uint64) << np.uint64(shift)
    steps = np.array([0, 1, 2 ** (shift - 1) - 1, 2 ** (shift - 1), 2 ** (shift - 1) + 1, 2**shift - 1], np.uint64)
    return (base[:, None] + steps).ravel().astype(np.uint32).view(np.float32)


@pytest.mark.parametrize("name", isa.available())
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_rounding_to_half(dtype, name):
    """Round to nearest, ties to even, overflow to infinity, subnormals: bit for bit as PyTorch."""
    every = torch.arange(2**16, dtype=torch.int32).to(torch.int16).view(dtype).float().numpy()
    shift = 16 if dtype == torch.bfloat16 else 13
    floats = np.concatenate([halfway(every.view(np.uint32) >> np.uint32(shift), shift), patterns(np.float32)])
    with np.errstate(all="ignore"):
        floats = np.concatenate(
            [floats, floats * np.float32(2**-26)]
        )  # float16's subnormals are float32's normal numbers
    function = {torch.float16: "float_to_half", torch.bfloat16: "float_to_bfloat16"}[dtype]
    raw = _ops.extension().apply(name, function, floats.tobytes(), False)
    ours = torch.frombuffer(bytearray(raw), dtype=dtype)
    wanted = torch.from_numpy(floats).to(dtype)
    if (dtype, name) == (torch.bfloat16, "avx512_bf16"):  # the instruction has no subnormals, as documented
        wanted = torch.where(torch.from_numpy(floats).abs() < 2.0**-126, wanted * 0, wanted)
    nan = wanted.isnan()
    assert torch.equal(ours.isnan(), nan)
    assert torch.equal(ours.view(torch.int16)[~nan], wanted.view(torch.int16)[~nan])


@pytest.mark.parametrize("name", isa.available())
def test_every_half_as_float(name):
    every = torch.arange(2**16, dtype=torch.int32).to(torch.int16)
    raw = _ops.extension().apply(name, "half_to_float", every.numpy().tobytes(), False)
    ours, wanted = torch.frombuffer(bytearray(raw), dtype=torch.float32), every.view(torch.float16).float()
    nan = wanted.isnan()
    assert torch.equal(ours.isnan(), nan)
    assert torch.equal(ours.view(torch.int32)[~nan], wanted.view(torch.int32)[~nan])
