"""Every loss again in plain torch: the specification, and the fallback wherever no kernel applies.

The functions here take the arguments of their namesakes in :mod:`fastloss.functional`. They are ordinary
compositions of torch operators: any device and dtype, differentiable to any order and in both modes, and at
home under ``torch.func`` and ``torch.compile``.
"""

from .adversarial import gan_discriminator_loss, gan_generator_loss
from .pairs import contrastive_loss, cosine_embedding_loss, triplet_margin_loss
from .pointwise import (
    asymmetric_loss,
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
    robust_loss,
    sigmoid_focal_loss,
    smooth_l1_loss,
    soft_margin_loss,
)
from .rows import cross_entropy, softmax_focal_loss
from .similarity import (
    circle_loss,
    clip_loss,
    info_nce_loss,
    mined_triplet_margin_loss,
    multi_similarity_loss,
    nt_xent_loss,
    pairwise_contrastive_loss,
    siglip_loss,
    supcon_loss,
)

__all__ = [
    "asymmetric_loss",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "charbonnier_loss",
    "circle_loss",
    "clip_loss",
    "contrastive_loss",
    "cosine_embedding_loss",
    "cross_entropy",
    "gan_discriminator_loss",
    "gan_generator_loss",
    "gaussian_nll_loss",
    "hinge_embedding_loss",
    "hinge_loss",
    "huber_loss",
    "info_nce_loss",
    "kl_div",
    "l1_loss",
    "log_cosh_loss",
    "margin_ranking_loss",
    "mined_triplet_margin_loss",
    "mse_loss",
    "multi_similarity_loss",
    "nt_xent_loss",
    "pairwise_contrastive_loss",
    "poisson_nll_loss",
    "quantile_loss",
    "robust_loss",
    "siglip_loss",
    "sigmoid_focal_loss",
    "smooth_l1_loss",
    "soft_margin_loss",
    "softmax_focal_loss",
    "supcon_loss",
    "triplet_margin_loss",
]
