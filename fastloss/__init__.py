"""Losses for PyTorch as fused forward+backward kernels: the same numbers, less time, less memory."""

from fastloss import functional, isa, nn, reference
from fastloss._build_info import build_info
from fastloss._explain import Explanation, explain
from fastloss._memory import empty_cache, memory_usage
from fastloss._ops import debug
from fastloss._stats import PointStats, RowStats
from fastloss._version import __version__
from fastloss.nn import (
    BCELoss,
    BCEWithLogitsLoss,
    CharbonnierLoss,
    CosineEmbeddingLoss,
    CrossEntropyLoss,
    FocalLoss,
    GaussianNLLLoss,
    HingeEmbeddingLoss,
    HingeLoss,
    HuberLoss,
    KLDivLoss,
    L1Loss,
    LogCoshLoss,
    MarginRankingLoss,
    MSELoss,
    PoissonNLLLoss,
    QuantileLoss,
    SigmoidFocalLoss,
    SmoothL1Loss,
    SoftMarginLoss,
    SoftmaxFocalLoss,
    TripletMarginLoss,
)

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "CharbonnierLoss",
    "CosineEmbeddingLoss",
    "CrossEntropyLoss",
    "Explanation",
    "FocalLoss",
    "GaussianNLLLoss",
    "HingeEmbeddingLoss",
    "HingeLoss",
    "HuberLoss",
    "KLDivLoss",
    "L1Loss",
    "LogCoshLoss",
    "MSELoss",
    "MarginRankingLoss",
    "PointStats",
    "PoissonNLLLoss",
    "QuantileLoss",
    "RowStats",
    "SigmoidFocalLoss",
    "SmoothL1Loss",
    "SoftMarginLoss",
    "SoftmaxFocalLoss",
    "TripletMarginLoss",
    "__version__",
    "build_info",
    "debug",
    "empty_cache",
    "explain",
    "functional",
    "isa",
    "memory_usage",
    "nn",
    "reference",
]
