"""Losses of one element at a time, from their formulas."""

from fastloss.losses import classification, embedding, likelihood, regression

__all__ = [
    "asymmetric_loss",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "charbonnier_loss",
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

asymmetric_loss = classification.asymmetric_loss.record.reference
binary_cross_entropy = classification.binary_cross_entropy.record.reference
binary_cross_entropy_with_logits = classification.binary_cross_entropy_with_logits.record.reference
charbonnier_loss = regression.charbonnier_loss.record.reference
gaussian_nll_loss = likelihood.gaussian_nll_loss.record.reference
hinge_embedding_loss = embedding.hinge_embedding_loss.record.reference
hinge_loss = classification.hinge_loss.record.reference
huber_loss = regression.huber_loss.record.reference
kl_div = likelihood.kl_div.record.reference
l1_loss = regression.l1_loss.record.reference
log_cosh_loss = regression.log_cosh_loss.record.reference
margin_ranking_loss = embedding.margin_ranking_loss.record.reference
mse_loss = regression.mse_loss.record.reference
poisson_nll_loss = likelihood.poisson_nll_loss.record.reference
quantile_loss = regression.quantile_loss.record.reference
robust_loss = regression.robust_loss.record.reference
sigmoid_focal_loss = classification.sigmoid_focal_loss.record.reference
smooth_l1_loss = regression.smooth_l1_loss.record.reference
soft_margin_loss = classification.soft_margin_loss.record.reference
