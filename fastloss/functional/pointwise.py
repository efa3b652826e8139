"""Losses of one element at a time."""

from fastloss.losses.classification import (
    asymmetric_loss,
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    count_positives,
    hinge_loss,
    sigmoid_focal_loss,
    soft_margin_loss,
)
from fastloss.losses.embedding import hinge_embedding_loss, margin_ranking_loss
from fastloss.losses.likelihood import gaussian_nll_loss, kl_div, poisson_nll_loss
from fastloss.losses.regression import (
    charbonnier_loss,
    huber_loss,
    l1_loss,
    log_cosh_loss,
    mse_loss,
    quantile_loss,
    robust_loss,
    smooth_l1_loss,
)

__all__ = [
    "asymmetric_loss",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "charbonnier_loss",
    "count_positives",
    "gaussian_nll_loss",
    "hinge_embedding_loss",
    "hinge_loss",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "log_cosh_loss",
    "margin_ranking_loss",
    "mse_loss",
    "poisson_nll_loss",
    "quantile_loss",
    "robust_loss",
    "sigmoid_focal_loss",
    "smooth_l1_loss",
    "soft_margin_loss",
]
