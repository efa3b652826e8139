"""Losses for PyTorch as fused forward+backward kernels: the same numbers, less time, less memory."""

from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from fastloss import functional, isa, nn, reference
from fastloss._build_info import build_info
from fastloss._core.memory import empty_cache, memory_usage
from fastloss._core.operators import debug
from fastloss._core.route import Explanation, explain
from fastloss._core.stats import PointStats, RowStats, TokenLogprobs
from fastloss._version import __version__
from fastloss.adopt import Patch, convert, patch, unpatch
from fastloss.engines.similarity.cache import grad_cache
from fastloss.nn.adversarial import *
from fastloss.nn.composed import *
from fastloss.nn.heads import *
from fastloss.nn.language import *
from fastloss.nn.pairs import *
from fastloss.nn.pointwise import *
from fastloss.nn.rows import *
from fastloss.nn.similarity import *

if _TYPE_CHECKING:
    from fastloss._selftest import SelfTest, selftest

__all__ = [
    "Explanation",
    "Patch",
    "PointStats",
    "RowStats",
    "SelfTest",
    "TokenLogprobs",
    "__version__",
    "build_info",
    "convert",
    "debug",
    "empty_cache",
    "explain",
    "functional",
    "grad_cache",
    "isa",
    "memory_usage",
    "nn",
    "patch",
    "reference",
    "selftest",
    "unpatch",
]
__all__ += nn.__all__


def __getattr__(name: str) -> _Any:
    """What few programs ask for, and takes 5 ms to import."""
    if name in ("SelfTest", "selftest"):
        from fastloss import _selftest

        return getattr(_selftest, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
