"""Functional losses, one module per kernel family. Signatures follow `torch.nn.functional`."""

from fastloss.functional.pairs import cosine_embedding_loss, triplet_margin_loss
from fastloss.functional.pointwise import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    charbonnier_loss,
    gaussian_nll_loss,
    hinge_embedding_loss,
    hinge_loss,
    huber_loss,
    kl_div,
    l1_loss,
    log_cosh_loss,
    margin_ranking_loss,
    mse_loss,
    poisson_nll_loss,
    quantile_loss,
    sigmoid_focal_loss,
    smooth_l1_loss,
    soft_margin_loss,
)
from fastloss.functional.rows import cross_entropy, softmax_focal_loss

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "charbonnier_loss",
    "cosine_embedding_loss",
    "cross_entropy",
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
    "sigmoid_focal_loss",
    "smooth_l1_loss",
    "soft_margin_loss",
    "softmax_focal_loss",
    "triplet_margin_loss",
]
