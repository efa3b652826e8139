"""Modules of one element at a time: PyTorch's own, with our function underneath, and ours."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fastloss.functional import pointwise as functional
from fastloss.nn._base import LossModule, drop_in, own

__all__ = [
    "AsymmetricLoss",
    "BCELoss",
    "BCEWithLogitsLoss",
    "CharbonnierLoss",
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
    "RobustLoss",
    "SigmoidFocalLoss",
    "SmoothL1Loss",
    "SoftMarginLoss",
]


def _of_two(self: LossModule, input1: Tensor, input2: Tensor, target: Tensor, **options: Any) -> Any:
    return self.call((input1, input2, target), options)


def _of_rates(self: LossModule, log_input: Tensor, target: Tensor, **options: Any) -> Any:
    return self.call((log_input, target), options)


def _of_gaussian(self: LossModule, input: Tensor, target: Tensor, var: Tensor | float, **options: Any) -> Any:
    return self.call((input, target, var), options)


_nn = torch.nn
_f = functional
HuberLoss = drop_in(_nn.HuberLoss, _f.huber_loss, ("reduction", "delta"))
SmoothL1Loss = drop_in(_nn.SmoothL1Loss, _f.smooth_l1_loss, ("reduction", "beta"))
MSELoss = drop_in(_nn.MSELoss, _f.mse_loss, ("reduction",))
L1Loss = drop_in(_nn.L1Loss, _f.l1_loss, ("reduction",))
BCEWithLogitsLoss = drop_in(
    _nn.BCEWithLogitsLoss,
    _f.binary_cross_entropy_with_logits,
    ("weight", "reduction", "pos_weight"),
)
BCELoss = drop_in(_nn.BCELoss, _f.binary_cross_entropy, ("weight", "reduction"))
SoftMarginLoss = drop_in(_nn.SoftMarginLoss, _f.soft_margin_loss, ("reduction",))
HingeEmbeddingLoss = drop_in(_nn.HingeEmbeddingLoss, _f.hinge_embedding_loss, ("margin", "reduction"))
MarginRankingLoss = drop_in(_nn.MarginRankingLoss, _f.margin_ranking_loss, ("margin", "reduction"), _of_two)
PoissonNLLLoss = drop_in(_nn.PoissonNLLLoss, _f.poisson_nll_loss, ("log_input", "full", "eps", "reduction"), _of_rates)
GaussianNLLLoss = drop_in(_nn.GaussianNLLLoss, _f.gaussian_nll_loss, ("full", "eps", "reduction"), _of_gaussian)
KLDivLoss = drop_in(_nn.KLDivLoss, _f.kl_div, ("reduction", "log_target"))

SigmoidFocalLoss = own(
    "SigmoidFocalLoss",
    _f.sigmoid_focal_loss,
    {"alpha": 0.25, "gamma": 2.0, "reduction": "mean", "ignore_index": None, "label_smoothing": 0.0},
)
HingeLoss = own("HingeLoss", _f.hinge_loss, {"margin": 1.0, "p": 1, "reduction": "mean"})
LogCoshLoss = own("LogCoshLoss", _f.log_cosh_loss, {"reduction": "mean"})
QuantileLoss = own("QuantileLoss", _f.quantile_loss, {"q": 0.5, "reduction": "mean"})
CharbonnierLoss = own("CharbonnierLoss", _f.charbonnier_loss, {"eps": 1e-3, "reduction": "mean"})
RobustLoss = own("RobustLoss", _f.robust_loss, {"alpha": 1.0, "scale": 1.0, "reduction": "mean"})
AsymmetricLoss = own(
    "AsymmetricLoss", _f.asymmetric_loss, {"gamma_neg": 4.0, "gamma_pos": 1.0, "clip": 0.05, "reduction": "mean"}
)
