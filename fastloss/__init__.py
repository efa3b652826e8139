"""Losses for PyTorch as fused forward+backward kernels: the same numbers, less time, less memory."""

from importlib import import_module as _import_module
from typing import Any as _Any

from fastloss import functional, isa, nn, reference
from fastloss._build_info import build_info
from fastloss._core.memory import empty_cache, memory_usage
from fastloss._core.operators import debug
from fastloss._core.route import Explanation, explain
from fastloss._core.stats import PointStats, RegionStats, RowStats, TokenHits, TokenLogprobs
from fastloss._version import __version__
from fastloss.adopt import Patch, convert, patch, unpatch
from fastloss.engines.similarity.cache import grad_cache
from fastloss.nn.adversarial import *
from fastloss.nn.composed import *
from fastloss.nn.heads import *
from fastloss.nn.language import *
from fastloss.nn.pairs import *
from fastloss.nn.pointwise import *
from fastloss.nn.regions import *
from fastloss.nn.rows import *
from fastloss.nn.similarity import *

# What few programs ask for, and takes milliseconds to import: modules, and the names that they have.
_LATER = {
    "_selftest": ("SelfTest", "selftest"),
    "balancing": ("DynamicWeightAverage", "GradNorm", "RandomWeighting", "UncertaintyWeighting"),
    "conflicts": ("aligned_mtl", "backward", "cagrad", "mgda", "pcgrad"),
    "monitor": ("GradientMonitor", "GradientReport", "LossTracker", "lightning_callback"),
    "objective": ("Objective", "ObjectiveResult"),
    "regularizers": (
        "elastic_net_penalty",
        "ewc_penalty",
        "fisher_diagonal",
        "group_lasso_penalty",
        "l1_penalty",
        "l2_penalty",
        "orthogonality_penalty",
        "proximal_penalty",
    ),
    "sampling": (),
    "schedules": (),
}

__all__ = [
    "Explanation",
    "Patch",
    "PointStats",
    "RegionStats",
    "RowStats",
    "TokenHits",
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
    "unpatch",
]
__all__ += [name for module, names in _LATER.items() for name in names or (module,)]
__all__ += nn.__all__


def __getattr__(name: str) -> _Any:
    for module, names in _LATER.items():
        if name == module or name in names:
            found = _import_module(f"fastloss.{module}")
            return found if name == module else getattr(found, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
