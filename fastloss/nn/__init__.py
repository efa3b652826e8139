"""Losses as modules, one file per kernel family. Constructors follow `torch.nn`."""

from fastloss.nn.pairs import CosineEmbeddingLoss, TripletMarginLoss
from fastloss.nn.pointwise import (
    BCELoss,
    BCEWithLogitsLoss,
    CharbonnierLoss,
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
)
from fastloss.nn.rows import CrossEntropyLoss, FocalLoss, SoftmaxFocalLoss

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "CharbonnierLoss",
    "CosineEmbeddingLoss",
    "CrossEntropyLoss",
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
    "PoissonNLLLoss",
    "QuantileLoss",
    "SigmoidFocalLoss",
    "SmoothL1Loss",
    "SoftMarginLoss",
    "SoftmaxFocalLoss",
    "TripletMarginLoss",
]
