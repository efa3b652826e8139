"""Written by `make stubs` from the signatures at run time; not to be edited."""

from collections.abc import Callable
from typing import Any, Literal, overload

import torch
from torch import Tensor

from fastloss._core.stats import PointStats, RegionStats, RowStats, TokenHits, TokenLogprobs
from fastloss.engines.flex import Row
from fastloss.reference import adversarial as adversarial, composed as composed, heads as heads, language as language, pairs as pairs, pointwise as pointwise, regions as regions, rows as rows, similarity as similarity

__all__ = [
    "arcface_loss", "asymmetric_cross_entropy", "asymmetric_loss", "balanced_l1_loss", "binary_cross_entropy",
    "binary_cross_entropy_with_logits", "box_iou_loss", "causal_lm_loss", "charbonnier_loss", "circle_loss",
    "clip_loss", "complete_box_iou_loss", "contrastive_loss", "cosface_loss", "cosine_embedding_loss",
    "cross_entropy", "ctc_loss", "dice_cross_entropy", "dice_focal_loss", "dice_loss", "distance_box_iou_loss",
    "distillation_loss", "distribution_focal_loss", "divergence", "flex_cross_entropy", "focal_tversky_loss",
    "gan_discriminator_loss", "gan_generator_loss", "gaussian_focal_loss", "gaussian_nll_loss", "gbce_loss",
    "generalized_box_iou_loss", "generalized_cross_entropy", "generalized_dice_loss", "hard_example_cross_entropy",
    "hinge_embedding_loss", "hinge_loss", "huber_loss", "info_nce_loss", "jaccard_loss", "jsd_cross_entropy",
    "kl_div", "l1_loss", "ldam_loss", "linear_cross_entropy", "linear_divergence", "linear_flex_cross_entropy",
    "linear_softmax_focal_loss", "linear_token_logprobs", "listnet_loss", "log_cosh_loss",
    "logit_adjusted_cross_entropy", "lovasz_hinge_loss", "lovasz_softmax_loss", "margin_ranking_loss", "mcc_loss",
    "mined_triplet_margin_loss", "mse_loss", "multi_margin_loss", "multi_similarity_loss", "multiclass_hinge_loss",
    "multilabel_margin_loss", "multilabel_soft_margin_loss", "nll_loss", "normalized_softmax_loss", "nt_xent_loss",
    "pairwise_contrastive_loss", "perplexity", "poisson_nll_loss", "poly1_cross_entropy", "proxy_anchor_loss",
    "proxy_nca_loss", "quality_focal_loss", "quantile_loss", "robust_loss", "sampled_softmax_loss", "siglip_loss",
    "sigmoid_focal_loss", "smooth_l1_loss", "soft_margin_loss", "softmax_focal_loss", "sphereface_loss",
    "squared_log_loss", "sub_center_arcface_loss", "supcon_loss", "super_loss", "symmetric_cross_entropy",
    "token_logprobs", "triplet_margin_loss", "triplet_margin_with_distance_loss", "tversky_cross_entropy",
    "tversky_loss", "varifocal_loss",
]

def gan_discriminator_loss(
    real: Tensor, fake: Tensor,
    mode: Literal["non_saturating", "hinge", "least_squares", "wasserstein"] = "non_saturating",
    reduction: Literal["mean", "sum"] = "mean",
) -> Tensor: ...

def gan_generator_loss(
    fake: Tensor, mode: Literal["non_saturating", "hinge", "least_squares", "wasserstein"] = "non_saturating",
    reduction: Literal["mean", "sum"] = "mean",
) -> Tensor: ...

def asymmetric_cross_entropy(
    input: Tensor, target: Tensor, gamma_pos: float | Tensor = 1.0, gamma_neg: float | Tensor = 4.0,
    weight: Tensor | None = None, ignore_index: int = -100, reduction: str = "mean",
    label_smoothing: float | Tensor = 0.1, *, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
) -> Tensor: ...

def complete_box_iou_loss(
    boxes1: Tensor, boxes2: Tensor, reduction: Literal["none", "mean", "sum"] = "none", eps: float | Tensor = 1e-07,
) -> Tensor: ...

def ctc_loss(
    log_probs: Tensor, targets: Tensor, input_lengths: Tensor | tuple[int, ...],
    target_lengths: Tensor | tuple[int, ...], blank: int = 0, reduction: str = "mean", zero_infinity: bool = False,
) -> Tensor: ...

def distance_box_iou_loss(
    boxes1: Tensor, boxes2: Tensor, reduction: Literal["none", "mean", "sum"] = "none", eps: float | Tensor = 1e-07,
) -> Tensor: ...

def distillation_loss(
    student: Tensor, teacher: Tensor, target: Tensor | None = None, *, alpha: float = 1.0, temperature: float = 1.0,
    reduction: Literal["none", "mean", "sum"] = "mean",
) -> Tensor: ...

def distribution_focal_loss(
    input: Tensor, target: Tensor, reduction: Literal["none", "mean", "sum"] = "mean", *,
    weight: Tensor | None = None, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
) -> Tensor: ...

def gbce_loss(
    input: Tensor, linear_weight: Tensor, target: Tensor, negatives: Tensor, calibration: float | Tensor = 0.75, *,
    linear_bias: Tensor | None = None, ignore_index: int = -100, reduction: Literal["none", "mean", "sum"] = "mean",
) -> Tensor: ...

def generalized_box_iou_loss(
    boxes1: Tensor, boxes2: Tensor, reduction: Literal["none", "mean", "sum"] = "none", eps: float | Tensor = 1e-07,
) -> Tensor: ...

def hard_example_cross_entropy(
    input: Tensor, target: Tensor, k: int, weight: Tensor | None = None, ignore_index: int = -100,
    reduction: Literal["mean", "sum"] = "mean", label_smoothing: float | Tensor = 0.0, *,
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
) -> Tensor: ...

def jsd_cross_entropy(
    input: Tensor, target: Tensor, num_splits: int = 3, alpha: float = 12.0, smoothing: float = 0.1,
) -> Tensor: ...

def ldam_loss(
    input: Tensor, target: Tensor, counts: Tensor, max_margin: float | Tensor = 0.5, scale: float | Tensor = 30.0,
    weight: Tensor | None = None, ignore_index: int = -100, reduction: str = "mean", *,
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
) -> Tensor: ...

def listnet_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", *, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
) -> Tensor: ...

@overload
def logit_adjusted_cross_entropy(
    input: Tensor, target: Tensor, log_prior: Tensor, tau: float | Tensor = 1.0, weight: Tensor | None = None,
    ignore_index: int = -100, reduction: str = "mean", label_smoothing: float | Tensor = 0.0, *,
    z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0,
    mask: Tensor | None = None, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, inplace: bool = False, return_stats: Literal[False] = False,
) -> Tensor: ...
@overload
def logit_adjusted_cross_entropy(
    input: Tensor, target: Tensor, log_prior: Tensor, tau: float | Tensor = 1.0, weight: Tensor | None = None,
    ignore_index: int = -100, reduction: str = "mean", label_smoothing: float | Tensor = 0.0, *,
    z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0,
    mask: Tensor | None = None, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, inplace: bool = False, return_stats: Literal[True],
) -> tuple[Tensor, RowStats]: ...
@overload
def logit_adjusted_cross_entropy(
    input: Tensor, target: Tensor, log_prior: Tensor, tau: float | Tensor = 1.0, weight: Tensor | None = None,
    ignore_index: int = -100, reduction: str = "mean", label_smoothing: float | Tensor = 0.0, *,
    z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0,
    mask: Tensor | None = None, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, inplace: bool = False, return_stats: bool = False,
) -> Tensor | tuple[Tensor, RowStats]: ...

def multi_margin_loss(
    input: Tensor, target: Tensor, p: int = 1, margin: float = 1.0, weight: Tensor | None = None,
    size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean",
) -> Tensor: ...

def multiclass_hinge_loss(
    input: Tensor, target: Tensor, margin: float | Tensor = 1.0,
    kind: Literal["crammer_singer", "weston_watkins"] = "crammer_singer", weight: Tensor | None = None,
    ignore_index: int = -100, reduction: str = "mean", *, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
) -> Tensor: ...

def multilabel_margin_loss(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor: ...

def multilabel_soft_margin_loss(
    input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: bool | None = None,
    reduce: bool | None = None, reduction: str = "mean",
) -> Tensor: ...

def nll_loss(
    input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: bool | None = None,
    ignore_index: int = -100, reduce: bool | None = None, reduction: str = "mean",
) -> Tensor: ...

def proxy_anchor_loss(
    embeddings: Tensor, weight: Tensor, target: Tensor, margin: float | Tensor = 0.1, alpha: float | Tensor = 32.0,
    ignore_index: int = -100,
) -> Tensor: ...

def sampled_softmax_loss(
    input: Tensor, linear_weight: Tensor, target: Tensor, negatives: Tensor, *, linear_bias: Tensor | None = None,
    log_q: tuple[Tensor, Tensor] | None = None, temperature: float | Tensor = 1.0, ignore_index: int = -100,
    reduction: Literal["none", "mean", "sum"] = "mean",
) -> Tensor: ...

def triplet_margin_with_distance_loss(
    anchor: Tensor, positive: Tensor, negative: Tensor, *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None, margin: float = 1.0, swap: bool = False,
    reduction: str = "mean",
) -> Tensor: ...

@overload
def arcface_loss(
    embeddings: Tensor, weight: Tensor, target: Tensor, margin: float | Tensor = 0.5, scale: float | Tensor = 64.0,
    easy_margin: bool = False, ignore_index: int = -100, reduction: str = "mean",
    label_smoothing: float | Tensor = 0.0, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
    temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, memory_budget: int | None = None,
    return_stats: Literal[False] = False, group: Any = None,
) -> Tensor: ...
@overload
def arcface_loss(
    embeddings: Tensor, weight: Tensor, target: Tensor, margin: float | Tensor = 0.5, scale: float | Tensor = 64.0,
    easy_margin: bool = False, ignore_index: int = -100, reduction: str = "mean",
    label_smoothing: float | Tensor = 0.0, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
    temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, memory_budget: int | None = None,
    return_stats: Literal[True], group: Any = None,
) -> tuple[Tensor, RowStats]: ...
@overload
def arcface_loss(
    embeddings: Tensor, weight: Tensor, target: Tensor, margin: float | Tensor = 0.5, scale: float | Tensor = 64.0,
    easy_margin: bool = False, ignore_index: int = -100, reduction: str = "mean",
    label_smoothing: float | Tensor = 0.0, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
    temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, memory_budget: int | None = None,
    return_stats: bool = False, group: Any = None,
) -> Tensor | tuple[Tensor, RowStats]: ...

@overload
def cosface_loss(
    embeddings: Tensor, weight: Tensor, target: Tensor, margin: float | Tensor = 0.35, scale: float | Tensor = 64.0,
    ignore_index: int = -100, reduction: str = "mean", label_smoothing: float | Tensor = 0.0, *,
    z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0,
    mask: Tensor | None = None, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: Literal[False] = False,
    group: Any = None,
) -> Tensor: ...
@overload
def cosface_loss(
    embeddings: Tensor, weight: Tensor, target: Tensor, margin: float | Tensor = 0.35, scale: float | Tensor = 64.0,
    ignore_index: int = -100, reduction: str = "mean", label_smoothing: float | Tensor = 0.0, *,
    z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0,
    mask: Tensor | None = None, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: Literal[True],
    group: Any = None,
) -> tuple[Tensor, RowStats]: ...
@overload
def cosface_loss(
    embeddings: Tensor, weight: Tensor, target: Tensor, margin: float | Tensor = 0.35, scale: float | Tensor = 64.0,
    ignore_index: int = -100, reduction: str = "mean", label_smoothing: float | Tensor = 0.0, *,
    z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0,
    mask: Tensor | None = None, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: bool = False,
    group: Any = None,
) -> Tensor | tuple[Tensor, RowStats]: ...

@overload
def linear_cross_entropy(
    input: Tensor, linear_weight: Tensor, target: Tensor, *, linear_bias: Tensor | None = None,
    weight: Tensor | None = None, reduction: str = "mean", ignore_index: int | None = None,
    label_smoothing: float | Tensor = 0.0, options: Any = None, z_loss: float | Tensor = 0.0,
    softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: Literal[False] = False,
    group: Any = None,
) -> Tensor: ...
@overload
def linear_cross_entropy(
    input: Tensor, linear_weight: Tensor, target: Tensor, *, linear_bias: Tensor | None = None,
    weight: Tensor | None = None, reduction: str = "mean", ignore_index: int | None = None,
    label_smoothing: float | Tensor = 0.0, options: Any = None, z_loss: float | Tensor = 0.0,
    softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: Literal[True],
    group: Any = None,
) -> tuple[Tensor, RowStats]: ...
@overload
def linear_cross_entropy(
    input: Tensor, linear_weight: Tensor, target: Tensor, *, linear_bias: Tensor | None = None,
    weight: Tensor | None = None, reduction: str = "mean", ignore_index: int | None = None,
    label_smoothing: float | Tensor = 0.0, options: Any = None, z_loss: float | Tensor = 0.0,
    softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: bool = False,
    group: Any = None,
) -> Tensor | tuple[Tensor, RowStats]: ...

@overload
def linear_softmax_focal_loss(
    input: Tensor, linear_weight: Tensor, target: Tensor, *, alpha: float | Tensor | None = None,
    gamma: float | Tensor = 2.0, linear_bias: Tensor | None = None, weight: Tensor | None = None,
    reduction: str = "mean", ignore_index: int | None = None, label_smoothing: float | Tensor = 0.0,
    z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0,
    mask: Tensor | None = None, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: Literal[False] = False,
    group: Any = None,
) -> Tensor: ...
@overload
def linear_softmax_focal_loss(
    input: Tensor, linear_weight: Tensor, target: Tensor, *, alpha: float | Tensor | None = None,
    gamma: float | Tensor = 2.0, linear_bias: Tensor | None = None, weight: Tensor | None = None,
    reduction: str = "mean", ignore_index: int | None = None, label_smoothing: float | Tensor = 0.0,
    z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0,
    mask: Tensor | None = None, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: Literal[True],
    group: Any = None,
) -> tuple[Tensor, RowStats]: ...
@overload
def linear_softmax_focal_loss(
    input: Tensor, linear_weight: Tensor, target: Tensor, *, alpha: float | Tensor | None = None,
    gamma: float | Tensor = 2.0, linear_bias: Tensor | None = None, weight: Tensor | None = None,
    reduction: str = "mean", ignore_index: int | None = None, label_smoothing: float | Tensor = 0.0,
    z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0,
    mask: Tensor | None = None, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: bool = False,
    group: Any = None,
) -> Tensor | tuple[Tensor, RowStats]: ...

@overload
def normalized_softmax_loss(
    embeddings: Tensor, weight: Tensor, target: Tensor, scale: float | Tensor = 20.0, ignore_index: int = -100,
    reduction: str = "mean", label_smoothing: float | Tensor = 0.0, *, z_loss: float | Tensor = 0.0,
    softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: Literal[False] = False,
    group: Any = None,
) -> Tensor: ...
@overload
def normalized_softmax_loss(
    embeddings: Tensor, weight: Tensor, target: Tensor, scale: float | Tensor = 20.0, ignore_index: int = -100,
    reduction: str = "mean", label_smoothing: float | Tensor = 0.0, *, z_loss: float | Tensor = 0.0,
    softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: Literal[True],
    group: Any = None,
) -> tuple[Tensor, RowStats]: ...
@overload
def normalized_softmax_loss(
    embeddings: Tensor, weight: Tensor, target: Tensor, scale: float | Tensor = 20.0, ignore_index: int = -100,
    reduction: str = "mean", label_smoothing: float | Tensor = 0.0, *, z_loss: float | Tensor = 0.0,
    softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: bool = False,
    group: Any = None,
) -> Tensor | tuple[Tensor, RowStats]: ...

@overload
def proxy_nca_loss(
    embeddings: Tensor, weight: Tensor, target: Tensor, scale: float | Tensor = 1.0, ignore_index: int = -100,
    reduction: str = "mean", label_smoothing: float | Tensor = 0.0, *, z_loss: float | Tensor = 0.0,
    softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: Literal[False] = False,
    group: Any = None,
) -> Tensor: ...
@overload
def proxy_nca_loss(
    embeddings: Tensor, weight: Tensor, target: Tensor, scale: float | Tensor = 1.0, ignore_index: int = -100,
    reduction: str = "mean", label_smoothing: float | Tensor = 0.0, *, z_loss: float | Tensor = 0.0,
    softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: Literal[True],
    group: Any = None,
) -> tuple[Tensor, RowStats]: ...
@overload
def proxy_nca_loss(
    embeddings: Tensor, weight: Tensor, target: Tensor, scale: float | Tensor = 1.0, ignore_index: int = -100,
    reduction: str = "mean", label_smoothing: float | Tensor = 0.0, *, z_loss: float | Tensor = 0.0,
    softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: bool = False,
    group: Any = None,
) -> Tensor | tuple[Tensor, RowStats]: ...

@overload
def sphereface_loss(
    embeddings: Tensor, weight: Tensor, target: Tensor, m1: float | Tensor = 4.0, m2: float | Tensor = 0.0,
    m3: float | Tensor = 0.0, scale: float | Tensor = 64.0, ignore_index: int = -100, reduction: str = "mean",
    label_smoothing: float | Tensor = 0.0, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
    temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, memory_budget: int | None = None,
    return_stats: Literal[False] = False, group: Any = None,
) -> Tensor: ...
@overload
def sphereface_loss(
    embeddings: Tensor, weight: Tensor, target: Tensor, m1: float | Tensor = 4.0, m2: float | Tensor = 0.0,
    m3: float | Tensor = 0.0, scale: float | Tensor = 64.0, ignore_index: int = -100, reduction: str = "mean",
    label_smoothing: float | Tensor = 0.0, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
    temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, memory_budget: int | None = None,
    return_stats: Literal[True], group: Any = None,
) -> tuple[Tensor, RowStats]: ...
@overload
def sphereface_loss(
    embeddings: Tensor, weight: Tensor, target: Tensor, m1: float | Tensor = 4.0, m2: float | Tensor = 0.0,
    m3: float | Tensor = 0.0, scale: float | Tensor = 64.0, ignore_index: int = -100, reduction: str = "mean",
    label_smoothing: float | Tensor = 0.0, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
    temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, memory_budget: int | None = None,
    return_stats: bool = False, group: Any = None,
) -> Tensor | tuple[Tensor, RowStats]: ...

@overload
def sub_center_arcface_loss(
    embeddings: Tensor, weight: Tensor, target: Tensor, sub_centers: int = 3, margin: float | Tensor = 0.5,
    scale: float | Tensor = 64.0, easy_margin: bool = False, ignore_index: int = -100, reduction: str = "mean",
    label_smoothing: float | Tensor = 0.0, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
    temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, memory_budget: int | None = None,
    return_stats: Literal[False] = False, group: Any = None,
) -> Tensor: ...
@overload
def sub_center_arcface_loss(
    embeddings: Tensor, weight: Tensor, target: Tensor, sub_centers: int = 3, margin: float | Tensor = 0.5,
    scale: float | Tensor = 64.0, easy_margin: bool = False, ignore_index: int = -100, reduction: str = "mean",
    label_smoothing: float | Tensor = 0.0, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
    temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, memory_budget: int | None = None,
    return_stats: Literal[True], group: Any = None,
) -> tuple[Tensor, RowStats]: ...
@overload
def sub_center_arcface_loss(
    embeddings: Tensor, weight: Tensor, target: Tensor, sub_centers: int = 3, margin: float | Tensor = 0.5,
    scale: float | Tensor = 64.0, easy_margin: bool = False, ignore_index: int = -100, reduction: str = "mean",
    label_smoothing: float | Tensor = 0.0, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
    temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, memory_budget: int | None = None,
    return_stats: bool = False, group: Any = None,
) -> Tensor | tuple[Tensor, RowStats]: ...

def causal_lm_loss(
    logits: Tensor, labels: Tensor, num_items_in_batch: float | Tensor | None = None, ignore_index: int = -100,
    shift_labels: Tensor | None = None, *, label_smoothing: float | Tensor = 0.0, z_loss: float | Tensor = 0.0,
    softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, inplace: bool = False,
    loss_dtype: torch.dtype | None = None,
) -> Tensor: ...

def divergence(
    input: Tensor, target: Tensor | tuple[Tensor, Tensor],
    kind: Literal["kl", "reverse_kl", "js", "tv", "alpha", "soft_cross_entropy"] = "kl", *,
    beta: float | Tensor = 0.5, alpha: float | Tensor = 0.5, temperature: float | Tensor = 1.0,
    target_temperature: float | Tensor | None = None,
    target_is: Literal["logits", "log_probabilities", "probabilities"] = "logits", tail: bool = False,
    reduction: str = "mean", normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, weight: Tensor | None = None, mask: Tensor | None = None,
    inplace: bool = False, group: Any = None,
) -> Tensor: ...

def flex_cross_entropy(
    input: Tensor, target: Tensor, row_loss: Callable[[Row], Tensor], *, temperature: float | Tensor = 1.0,
    softcap: float | Tensor | None = None, ignore_index: int = -100, reduction: str = "mean",
    mask: Tensor | None = None, normalizer: float | Tensor | None = None, empty: str = "nan",
    loss_dtype: torch.dtype | None = None,
) -> Tensor: ...

def linear_divergence(
    input: Tensor, linear_weight: Tensor, target: Tensor | tuple[Tensor, Tensor],
    kind: Literal["kl", "reverse_kl", "js", "tv", "alpha", "soft_cross_entropy"] = "kl", *,
    linear_bias: Tensor | None = None, target_weight: Tensor | None = None, target_bias: Tensor | None = None,
    beta: float | Tensor = 0.5, alpha: float | Tensor = 0.5, temperature: float | Tensor = 1.0,
    target_temperature: float | Tensor | None = None,
    target_is: Literal["logits", "log_probabilities", "probabilities"] = "logits", tail: bool = False,
    reduction: str = "mean", normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, weight: Tensor | None = None, mask: Tensor | None = None,
    memory_budget: int | None = None, group: Any = None,
) -> Tensor: ...

def linear_flex_cross_entropy(
    input: Tensor, linear_weight: Tensor, target: Tensor, row_loss: Callable[[Row], Tensor], *,
    linear_bias: Tensor | None = None, temperature: float | Tensor = 1.0, softcap: float | Tensor | None = None,
    ignore_index: int = -100, reduction: str = "mean", mask: Tensor | None = None,
    normalizer: float | Tensor | None = None, empty: str = "nan", loss_dtype: torch.dtype | None = None,
    memory_budget: int | None = None, group: Any = None,
) -> Tensor: ...

@overload
def linear_token_logprobs(
    input: Tensor, linear_weight: Tensor, target: Tensor | None, *, linear_bias: Tensor | None = None,
    temperature: float | Tensor = 1.0, return_entropy: Literal[False] = False, return_lse: Literal[False] = False,
    return_hits: Literal[False] = False, softcap: float | Tensor | None = None, ignore_index: int = -100,
    mask: Tensor | None = None, loss_dtype: torch.dtype | None = None, memory_budget: int | None = None,
    group: Any = None,
) -> Tensor: ...
@overload
def linear_token_logprobs(
    input: Tensor, linear_weight: Tensor, target: Tensor | None, *, linear_bias: Tensor | None = None,
    temperature: float | Tensor = 1.0, return_entropy: Literal[True], return_lse: bool = False,
    return_hits: Literal[False] = False, softcap: float | Tensor | None = None, ignore_index: int = -100,
    mask: Tensor | None = None, loss_dtype: torch.dtype | None = None, memory_budget: int | None = None,
    group: Any = None,
) -> TokenLogprobs: ...
@overload
def linear_token_logprobs(
    input: Tensor, linear_weight: Tensor, target: Tensor | None, *, linear_bias: Tensor | None = None,
    temperature: float | Tensor = 1.0, return_entropy: bool = False, return_lse: Literal[True],
    return_hits: Literal[False] = False, softcap: float | Tensor | None = None, ignore_index: int = -100,
    mask: Tensor | None = None, loss_dtype: torch.dtype | None = None, memory_budget: int | None = None,
    group: Any = None,
) -> TokenLogprobs: ...
@overload
def linear_token_logprobs(
    input: Tensor, linear_weight: Tensor, target: Tensor | None, *, linear_bias: Tensor | None = None,
    temperature: float | Tensor = 1.0, return_entropy: bool = False, return_lse: bool = False,
    return_hits: Literal[True], softcap: float | Tensor | None = None, ignore_index: int = -100,
    mask: Tensor | None = None, loss_dtype: torch.dtype | None = None, memory_budget: int | None = None,
    group: Any = None,
) -> TokenHits: ...
@overload
def linear_token_logprobs(
    input: Tensor, linear_weight: Tensor, target: Tensor | None, *, linear_bias: Tensor | None = None,
    temperature: float | Tensor = 1.0, return_entropy: bool = False, return_lse: bool = False,
    return_hits: bool = False, softcap: float | Tensor | None = None, ignore_index: int = -100,
    mask: Tensor | None = None, loss_dtype: torch.dtype | None = None, memory_budget: int | None = None,
    group: Any = None,
) -> Tensor | TokenLogprobs | TokenHits: ...

def perplexity(
    input: Tensor, target: Tensor, *, ignore_index: int = -100, temperature: float | Tensor = 1.0,
    softcap: float | Tensor | None = None, mask: Tensor | None = None, loss_dtype: torch.dtype | None = None,
) -> Tensor: ...

@overload
def token_logprobs(
    input: Tensor, target: Tensor | None, *, temperature: float | Tensor = 1.0,
    return_entropy: Literal[False] = False, return_lse: Literal[False] = False, return_hits: Literal[False] = False,
    softcap: float | Tensor | None = None, ignore_index: int = -100, mask: Tensor | None = None,
    inplace: bool = False, loss_dtype: torch.dtype | None = None, group: Any = None,
) -> Tensor: ...
@overload
def token_logprobs(
    input: Tensor, target: Tensor | None, *, temperature: float | Tensor = 1.0, return_entropy: Literal[True],
    return_lse: bool = False, return_hits: Literal[False] = False, softcap: float | Tensor | None = None,
    ignore_index: int = -100, mask: Tensor | None = None, inplace: bool = False,
    loss_dtype: torch.dtype | None = None, group: Any = None,
) -> TokenLogprobs: ...
@overload
def token_logprobs(
    input: Tensor, target: Tensor | None, *, temperature: float | Tensor = 1.0, return_entropy: bool = False,
    return_lse: Literal[True], return_hits: Literal[False] = False, softcap: float | Tensor | None = None,
    ignore_index: int = -100, mask: Tensor | None = None, inplace: bool = False,
    loss_dtype: torch.dtype | None = None, group: Any = None,
) -> TokenLogprobs: ...
@overload
def token_logprobs(
    input: Tensor, target: Tensor | None, *, temperature: float | Tensor = 1.0, return_entropy: bool = False,
    return_lse: bool = False, return_hits: Literal[True], softcap: float | Tensor | None = None,
    ignore_index: int = -100, mask: Tensor | None = None, inplace: bool = False,
    loss_dtype: torch.dtype | None = None, group: Any = None,
) -> TokenHits: ...
@overload
def token_logprobs(
    input: Tensor, target: Tensor | None, *, temperature: float | Tensor = 1.0, return_entropy: bool = False,
    return_lse: bool = False, return_hits: bool = False, softcap: float | Tensor | None = None,
    ignore_index: int = -100, mask: Tensor | None = None, inplace: bool = False,
    loss_dtype: torch.dtype | None = None, group: Any = None,
) -> Tensor | TokenLogprobs | TokenHits: ...

@overload
def contrastive_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float | Tensor = 1.0, *,
    distance: Literal["euclidean", "cosine"] = "euclidean", squared: bool = True, reduction: str = "mean",
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False] = False,
    weight: Tensor | None = None,
) -> Tensor: ...
@overload
def contrastive_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float | Tensor = 1.0, *,
    distance: Literal["euclidean", "cosine"] = "euclidean", squared: bool = True, reduction: str = "mean",
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
) -> tuple[Tensor, PointStats]: ...
@overload
def contrastive_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float | Tensor = 1.0, *,
    distance: Literal["euclidean", "cosine"] = "euclidean", squared: bool = True, reduction: str = "mean",
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool = False, weight: Tensor | None = None,
) -> Tensor | tuple[Tensor, PointStats]: ...

@overload
def cosine_embedding_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float | Tensor = 0.0, size_average: bool | None = None,
    reduce: bool | None = None, reduction: str = "mean", *, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False] = False,
    weight: Tensor | None = None,
) -> Tensor: ...
@overload
def cosine_embedding_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float | Tensor = 0.0, size_average: bool | None = None,
    reduce: bool | None = None, reduction: str = "mean", *, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
) -> tuple[Tensor, PointStats]: ...
@overload
def cosine_embedding_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float | Tensor = 0.0, size_average: bool | None = None,
    reduce: bool | None = None, reduction: str = "mean", *, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool = False, weight: Tensor | None = None,
) -> Tensor | tuple[Tensor, PointStats]: ...

@overload
def triplet_margin_loss(
    anchor: Tensor, positive: Tensor | None = None, negative: Tensor | None = None, margin: float | Tensor = 1.0,
    p: float = 2, eps: float | Tensor = 1e-06, swap: bool = False, size_average: bool | None = None,
    reduce: bool | None = None, reduction: str = "mean", *, labels: Tensor | None = None,
    mining: Literal["batch_hard", "semi_hard", "all"] | None = None, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = ..., loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False] = False,
    weight: Tensor | None = None,
) -> Tensor: ...
@overload
def triplet_margin_loss(
    anchor: Tensor, positive: Tensor | None = None, negative: Tensor | None = None, margin: float | Tensor = 1.0,
    p: float = 2, eps: float | Tensor = 1e-06, swap: bool = False, size_average: bool | None = None,
    reduce: bool | None = None, reduction: str = "mean", *, labels: Tensor | None = None,
    mining: Literal["batch_hard", "semi_hard", "all"] | None = None, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = ..., loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
) -> tuple[Tensor, PointStats]: ...
@overload
def triplet_margin_loss(
    anchor: Tensor, positive: Tensor | None = None, negative: Tensor | None = None, margin: float | Tensor = 1.0,
    p: float = 2, eps: float | Tensor = 1e-06, swap: bool = False, size_average: bool | None = None,
    reduce: bool | None = None, reduction: str = "mean", *, labels: Tensor | None = None,
    mining: Literal["batch_hard", "semi_hard", "all"] | None = None, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = ..., loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool = False, weight: Tensor | None = None,
) -> Tensor | tuple[Tensor, PointStats]: ...

@overload
def tversky_loss(
    input: Tensor, target: Tensor, alpha: float | Tensor = 0.3, beta: float | Tensor = 0.7,
    eps: float | Tensor = 1.0, reduction: str = "mean", *, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False] = False,
    weight: Tensor | None = None,
) -> Tensor: ...
@overload
def tversky_loss(
    input: Tensor, target: Tensor, alpha: float | Tensor = 0.3, beta: float | Tensor = 0.7,
    eps: float | Tensor = 1.0, reduction: str = "mean", *, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
) -> tuple[Tensor, PointStats]: ...
@overload
def tversky_loss(
    input: Tensor, target: Tensor, alpha: float | Tensor = 0.3, beta: float | Tensor = 0.7,
    eps: float | Tensor = 1.0, reduction: str = "mean", *, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool = False, weight: Tensor | None = None,
) -> Tensor | tuple[Tensor, PointStats]: ...

@overload
def asymmetric_loss(
    input: Tensor, target: Tensor, gamma_neg: float | Tensor = 4.0, gamma_pos: float | Tensor = 1.0,
    clip: float | Tensor = 0.05, reduction: str = "mean", *, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False] = False,
    weight: Tensor | None = None,
) -> Tensor: ...
@overload
def asymmetric_loss(
    input: Tensor, target: Tensor, gamma_neg: float | Tensor = 4.0, gamma_pos: float | Tensor = 1.0,
    clip: float | Tensor = 0.05, reduction: str = "mean", *, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
) -> tuple[Tensor, PointStats]: ...
@overload
def asymmetric_loss(
    input: Tensor, target: Tensor, gamma_neg: float | Tensor = 4.0, gamma_pos: float | Tensor = 1.0,
    clip: float | Tensor = 0.05, reduction: str = "mean", *, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool = False, weight: Tensor | None = None,
) -> Tensor | tuple[Tensor, PointStats]: ...

@overload
def balanced_l1_loss(
    input: Tensor, target: Tensor, alpha: float | Tensor = 0.5, gamma: float | Tensor = 1.5,
    beta: float | Tensor = 1.0, reduction: str = "mean", *, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False] = False,
    weight: Tensor | None = None,
) -> Tensor: ...
@overload
def balanced_l1_loss(
    input: Tensor, target: Tensor, alpha: float | Tensor = 0.5, gamma: float | Tensor = 1.5,
    beta: float | Tensor = 1.0, reduction: str = "mean", *, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
) -> tuple[Tensor, PointStats]: ...
@overload
def balanced_l1_loss(
    input: Tensor, target: Tensor, alpha: float | Tensor = 0.5, gamma: float | Tensor = 1.5,
    beta: float | Tensor = 1.0, reduction: str = "mean", *, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool = False, weight: Tensor | None = None,
) -> Tensor | tuple[Tensor, PointStats]: ...

@overload
def binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: bool | None = None,
    reduce: bool | None = None, reduction: str = "mean", *, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False] = False,
) -> Tensor: ...
@overload
def binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: bool | None = None,
    reduce: bool | None = None, reduction: str = "mean", *, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True],
) -> tuple[Tensor, PointStats]: ...
@overload
def binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: bool | None = None,
    reduce: bool | None = None, reduction: str = "mean", *, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool = False,
) -> Tensor | tuple[Tensor, PointStats]: ...

@overload
def binary_cross_entropy_with_logits(
    input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: bool | None = None,
    reduce: bool | None = None, reduction: str = "mean", pos_weight: Tensor | None = None, *,
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False] = False,
) -> Tensor: ...
@overload
def binary_cross_entropy_with_logits(
    input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: bool | None = None,
    reduce: bool | None = None, reduction: str = "mean", pos_weight: Tensor | None = None, *,
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True],
) -> tuple[Tensor, PointStats]: ...
@overload
def binary_cross_entropy_with_logits(
    input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: bool | None = None,
    reduce: bool | None = None, reduction: str = "mean", pos_weight: Tensor | None = None, *,
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool = False,
) -> Tensor | tuple[Tensor, PointStats]: ...

@overload
def box_iou_loss(
    input: Tensor, target: Tensor, kind: Literal["iou", "giou", "diou", "ciou", "eiou", "siou"] = "giou", *,
    format: Literal["xyxy", "xywh", "cxcywh"] = "xyxy", eps: float | Tensor = 1e-07, reduction: str = "mean",
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "zero",
    loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False] = False,
    weight: Tensor | None = None,
) -> Tensor: ...
@overload
def box_iou_loss(
    input: Tensor, target: Tensor, kind: Literal["iou", "giou", "diou", "ciou", "eiou", "siou"] = "giou", *,
    format: Literal["xyxy", "xywh", "cxcywh"] = "xyxy", eps: float | Tensor = 1e-07, reduction: str = "mean",
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "zero",
    loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
) -> tuple[Tensor, PointStats]: ...
@overload
def box_iou_loss(
    input: Tensor, target: Tensor, kind: Literal["iou", "giou", "diou", "ciou", "eiou", "siou"] = "giou", *,
    format: Literal["xyxy", "xywh", "cxcywh"] = "xyxy", eps: float | Tensor = 1e-07, reduction: str = "mean",
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "zero",
    loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool = False, weight: Tensor | None = None,
) -> Tensor | tuple[Tensor, PointStats]: ...

@overload
def charbonnier_loss(
    input: Tensor, target: Tensor, eps: float | Tensor = 0.001, reduction: str = "mean", *,
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False] = False,
    weight: Tensor | None = None,
) -> Tensor: ...
@overload
def charbonnier_loss(
    input: Tensor, target: Tensor, eps: float | Tensor = 0.001, reduction: str = "mean", *,
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
) -> tuple[Tensor, PointStats]: ...
@overload
def charbonnier_loss(
    input: Tensor, target: Tensor, eps: float | Tensor = 0.001, reduction: str = "mean", *,
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool = False, weight: Tensor | None = None,
) -> Tensor | tuple[Tensor, PointStats]: ...

@overload
def gaussian_focal_loss(
    input: Tensor, target: Tensor, alpha: float | Tensor = 2.0, gamma: float | Tensor = 4.0,
    reduction: str = "mean", *, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False] = False,
    weight: Tensor | None = None,
) -> Tensor: ...
@overload
def gaussian_focal_loss(
    input: Tensor, target: Tensor, alpha: float | Tensor = 2.0, gamma: float | Tensor = 4.0,
    reduction: str = "mean", *, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
) -> tuple[Tensor, PointStats]: ...
@overload
def gaussian_focal_loss(
    input: Tensor, target: Tensor, alpha: float | Tensor = 2.0, gamma: float | Tensor = 4.0,
    reduction: str = "mean", *, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool = False, weight: Tensor | None = None,
) -> Tensor | tuple[Tensor, PointStats]: ...

@overload
def gaussian_nll_loss(
    input: Tensor, target: Tensor, var: Tensor | float, full: bool = False, eps: float | Tensor = 1e-06,
    reduction: str = "mean", *, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False] = False,
    weight: Tensor | None = None,
) -> Tensor: ...
@overload
def gaussian_nll_loss(
    input: Tensor, target: Tensor, var: Tensor | float, full: bool = False, eps: float | Tensor = 1e-06,
    reduction: str = "mean", *, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
) -> tuple[Tensor, PointStats]: ...
@overload
def gaussian_nll_loss(
    input: Tensor, target: Tensor, var: Tensor | float, full: bool = False, eps: float | Tensor = 1e-06,
    reduction: str = "mean", *, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool = False, weight: Tensor | None = None,
) -> Tensor | tuple[Tensor, PointStats]: ...

@overload
def hinge_embedding_loss(
    input: Tensor, target: Tensor, margin: float | Tensor = 1.0, size_average: bool | None = None,
    reduce: bool | None = None, reduction: str = "mean", *, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False] = False,
    weight: Tensor | None = None,
) -> Tensor: ...
@overload
def hinge_embedding_loss(
    input: Tensor, target: Tensor, margin: float | Tensor = 1.0, size_average: bool | None = None,
    reduce: bool | None = None, reduction: str = "mean", *, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
) -> tuple[Tensor, PointStats]: ...
@overload
def hinge_embedding_loss(
    input: Tensor, target: Tensor, margin: float | Tensor = 1.0, size_average: bool | None = None,
    reduce: bool | None = None, reduction: str = "mean", *, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool = False, weight: Tensor | None = None,
) -> Tensor | tuple[Tensor, PointStats]: ...

@overload
def hinge_loss(
    input: Tensor, target: Tensor, margin: float | Tensor = 1.0, p: int = 1, reduction: str = "mean", *,
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False] = False,
    weight: Tensor | None = None,
) -> Tensor: ...
@overload
def hinge_loss(
    input: Tensor, target: Tensor, margin: float | Tensor = 1.0, p: int = 1, reduction: str = "mean", *,
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
) -> tuple[Tensor, PointStats]: ...
@overload
def hinge_loss(
    input: Tensor, target: Tensor, margin: float | Tensor = 1.0, p: int = 1, reduction: str = "mean", *,
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool = False, weight: Tensor | None = None,
) -> Tensor | tuple[Tensor, PointStats]: ...

@overload
def huber_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", delta: float | Tensor = 1.0,
    weight: Tensor | None = None, *, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False] = False,
) -> Tensor: ...
@overload
def huber_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", delta: float | Tensor = 1.0,
    weight: Tensor | None = None, *, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True],
) -> tuple[Tensor, PointStats]: ...
@overload
def huber_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", delta: float | Tensor = 1.0,
    weight: Tensor | None = None, *, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool = False,
) -> Tensor | tuple[Tensor, PointStats]: ...

@overload
def kl_div(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean", log_target: bool = False, *, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False] = False,
    weight: Tensor | None = None,
) -> Tensor: ...
@overload
def kl_div(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean", log_target: bool = False, *, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
) -> tuple[Tensor, PointStats]: ...
@overload
def kl_div(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean", log_target: bool = False, *, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool = False, weight: Tensor | None = None,
) -> Tensor | tuple[Tensor, PointStats]: ...

@overload
def l1_loss(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean", weight: Tensor | None = None, *, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False] = False,
) -> Tensor: ...
@overload
def l1_loss(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean", weight: Tensor | None = None, *, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True],
) -> tuple[Tensor, PointStats]: ...
@overload
def l1_loss(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean", weight: Tensor | None = None, *, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool = False,
) -> Tensor | tuple[Tensor, PointStats]: ...

@overload
def log_cosh_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", *, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False] = False,
    weight: Tensor | None = None,
) -> Tensor: ...
@overload
def log_cosh_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", *, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
) -> tuple[Tensor, PointStats]: ...
@overload
def log_cosh_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", *, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool = False, weight: Tensor | None = None,
) -> Tensor | tuple[Tensor, PointStats]: ...

@overload
def margin_ranking_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float | Tensor = 0.0, size_average: bool | None = None,
    reduce: bool | None = None, reduction: str = "mean", *, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False] = False,
    weight: Tensor | None = None,
) -> Tensor: ...
@overload
def margin_ranking_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float | Tensor = 0.0, size_average: bool | None = None,
    reduce: bool | None = None, reduction: str = "mean", *, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
) -> tuple[Tensor, PointStats]: ...
@overload
def margin_ranking_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float | Tensor = 0.0, size_average: bool | None = None,
    reduce: bool | None = None, reduction: str = "mean", *, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool = False, weight: Tensor | None = None,
) -> Tensor | tuple[Tensor, PointStats]: ...

@overload
def mse_loss(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean", weight: Tensor | None = None, *, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False] = False,
) -> Tensor: ...
@overload
def mse_loss(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean", weight: Tensor | None = None, *, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True],
) -> tuple[Tensor, PointStats]: ...
@overload
def mse_loss(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean", weight: Tensor | None = None, *, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool = False,
) -> Tensor | tuple[Tensor, PointStats]: ...

@overload
def poisson_nll_loss(
    input: Tensor, target: Tensor, log_input: bool = True, full: bool = False, size_average: bool | None = None,
    eps: float | Tensor = 1e-08, reduce: bool | None = None, reduction: str = "mean", *,
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False] = False,
    weight: Tensor | None = None,
) -> Tensor: ...
@overload
def poisson_nll_loss(
    input: Tensor, target: Tensor, log_input: bool = True, full: bool = False, size_average: bool | None = None,
    eps: float | Tensor = 1e-08, reduce: bool | None = None, reduction: str = "mean", *,
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
) -> tuple[Tensor, PointStats]: ...
@overload
def poisson_nll_loss(
    input: Tensor, target: Tensor, log_input: bool = True, full: bool = False, size_average: bool | None = None,
    eps: float | Tensor = 1e-08, reduce: bool | None = None, reduction: str = "mean", *,
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool = False, weight: Tensor | None = None,
) -> Tensor | tuple[Tensor, PointStats]: ...

@overload
def quality_focal_loss(
    input: Tensor, target: Tensor, beta: float | Tensor = 2.0, reduction: str = "mean", *,
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False] = False,
    weight: Tensor | None = None,
) -> Tensor: ...
@overload
def quality_focal_loss(
    input: Tensor, target: Tensor, beta: float | Tensor = 2.0, reduction: str = "mean", *,
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
) -> tuple[Tensor, PointStats]: ...
@overload
def quality_focal_loss(
    input: Tensor, target: Tensor, beta: float | Tensor = 2.0, reduction: str = "mean", *,
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool = False, weight: Tensor | None = None,
) -> Tensor | tuple[Tensor, PointStats]: ...

@overload
def quantile_loss(
    input: Tensor, target: Tensor, q: float | Tensor = 0.5, reduction: str = "mean", *,
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False] = False,
    weight: Tensor | None = None,
) -> Tensor: ...
@overload
def quantile_loss(
    input: Tensor, target: Tensor, q: float | Tensor = 0.5, reduction: str = "mean", *,
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
) -> tuple[Tensor, PointStats]: ...
@overload
def quantile_loss(
    input: Tensor, target: Tensor, q: float | Tensor = 0.5, reduction: str = "mean", *,
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool = False, weight: Tensor | None = None,
) -> Tensor | tuple[Tensor, PointStats]: ...

@overload
def robust_loss(
    input: Tensor, target: Tensor, alpha: float | Tensor = 1.0, scale: float | Tensor = 1.0,
    reduction: str = "mean", *, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False] = False,
    weight: Tensor | None = None,
) -> Tensor: ...
@overload
def robust_loss(
    input: Tensor, target: Tensor, alpha: float | Tensor = 1.0, scale: float | Tensor = 1.0,
    reduction: str = "mean", *, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
) -> tuple[Tensor, PointStats]: ...
@overload
def robust_loss(
    input: Tensor, target: Tensor, alpha: float | Tensor = 1.0, scale: float | Tensor = 1.0,
    reduction: str = "mean", *, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool = False, weight: Tensor | None = None,
) -> Tensor | tuple[Tensor, PointStats]: ...

@overload
def sigmoid_focal_loss(
    inputs: Tensor, targets: Tensor, alpha: float | Tensor = 0.25, gamma: float | Tensor = 2.0,
    reduction: str = "none", *, ignore_index: int | None = None, label_smoothing: float = 0.0,
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False] = False,
    weight: Tensor | None = None,
) -> Tensor: ...
@overload
def sigmoid_focal_loss(
    inputs: Tensor, targets: Tensor, alpha: float | Tensor = 0.25, gamma: float | Tensor = 2.0,
    reduction: str = "none", *, ignore_index: int | None = None, label_smoothing: float = 0.0,
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
) -> tuple[Tensor, PointStats]: ...
@overload
def sigmoid_focal_loss(
    inputs: Tensor, targets: Tensor, alpha: float | Tensor = 0.25, gamma: float | Tensor = 2.0,
    reduction: str = "none", *, ignore_index: int | None = None, label_smoothing: float = 0.0,
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool = False, weight: Tensor | None = None,
) -> Tensor | tuple[Tensor, PointStats]: ...

@overload
def smooth_l1_loss(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean", beta: float | Tensor = 1.0, *, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False] = False,
    weight: Tensor | None = None,
) -> Tensor: ...
@overload
def smooth_l1_loss(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean", beta: float | Tensor = 1.0, *, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
) -> tuple[Tensor, PointStats]: ...
@overload
def smooth_l1_loss(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean", beta: float | Tensor = 1.0, *, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool = False, weight: Tensor | None = None,
) -> Tensor | tuple[Tensor, PointStats]: ...

@overload
def soft_margin_loss(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean", *, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False] = False,
    weight: Tensor | None = None,
) -> Tensor: ...
@overload
def soft_margin_loss(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean", *, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
) -> tuple[Tensor, PointStats]: ...
@overload
def soft_margin_loss(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean", *, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool = False, weight: Tensor | None = None,
) -> Tensor | tuple[Tensor, PointStats]: ...

@overload
def squared_log_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", *, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False] = False,
    weight: Tensor | None = None,
) -> Tensor: ...
@overload
def squared_log_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", *, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
) -> tuple[Tensor, PointStats]: ...
@overload
def squared_log_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", *, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool = False, weight: Tensor | None = None,
) -> Tensor | tuple[Tensor, PointStats]: ...

@overload
def super_loss(
    input: Tensor, tau: float | Tensor, lam: float | Tensor = 1.0, reduction: str = "mean", *,
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False] = False,
    weight: Tensor | None = None,
) -> Tensor: ...
@overload
def super_loss(
    input: Tensor, tau: float | Tensor, lam: float | Tensor = 1.0, reduction: str = "mean", *,
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
) -> tuple[Tensor, PointStats]: ...
@overload
def super_loss(
    input: Tensor, tau: float | Tensor, lam: float | Tensor = 1.0, reduction: str = "mean", *,
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool = False, weight: Tensor | None = None,
) -> Tensor | tuple[Tensor, PointStats]: ...

@overload
def varifocal_loss(
    input: Tensor, target: Tensor, alpha: float | Tensor = 0.75, gamma: float | Tensor = 2.0,
    reduction: str = "mean", *, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False] = False,
    weight: Tensor | None = None,
) -> Tensor: ...
@overload
def varifocal_loss(
    input: Tensor, target: Tensor, alpha: float | Tensor = 0.75, gamma: float | Tensor = 2.0,
    reduction: str = "mean", *, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
) -> tuple[Tensor, PointStats]: ...
@overload
def varifocal_loss(
    input: Tensor, target: Tensor, alpha: float | Tensor = 0.75, gamma: float | Tensor = 2.0,
    reduction: str = "mean", *, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool = False, weight: Tensor | None = None,
) -> Tensor | tuple[Tensor, PointStats]: ...

@overload
def dice_cross_entropy(
    input: Tensor, target: Tensor, *, mode: Literal["softmax", "sigmoid"] = "softmax",
    dice_weight: float | Tensor = 1.0, ce_weight: float | Tensor = 1.0, label_smoothing: float | Tensor = 0.0,
    weight: Tensor | None = None, squared: bool = False, reduction: str = "mean",
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, batch: bool = False, include_background: bool = True,
    ignore_index: int | None = None, mask: Tensor | None = None, return_stats: Literal[False] = False,
    absent: Literal["keep", "zero", "skip"] = "keep", average: Literal["macro", "micro"] = "macro",
    class_mean: Literal["count", "weighted"] = "count", smooth_nr: float | Tensor = 1e-05,
    smooth_dr: float | Tensor = 1e-05, log: bool = False,
) -> Tensor: ...
@overload
def dice_cross_entropy(
    input: Tensor, target: Tensor, *, mode: Literal["softmax", "sigmoid"] = "softmax",
    dice_weight: float | Tensor = 1.0, ce_weight: float | Tensor = 1.0, label_smoothing: float | Tensor = 0.0,
    weight: Tensor | None = None, squared: bool = False, reduction: str = "mean",
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, batch: bool = False, include_background: bool = True,
    ignore_index: int | None = None, mask: Tensor | None = None, return_stats: Literal[True],
    absent: Literal["keep", "zero", "skip"] = "keep", average: Literal["macro", "micro"] = "macro",
    class_mean: Literal["count", "weighted"] = "count", smooth_nr: float | Tensor = 1e-05,
    smooth_dr: float | Tensor = 1e-05, log: bool = False,
) -> tuple[Tensor, RegionStats]: ...
@overload
def dice_cross_entropy(
    input: Tensor, target: Tensor, *, mode: Literal["softmax", "sigmoid"] = "softmax",
    dice_weight: float | Tensor = 1.0, ce_weight: float | Tensor = 1.0, label_smoothing: float | Tensor = 0.0,
    weight: Tensor | None = None, squared: bool = False, reduction: str = "mean",
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, batch: bool = False, include_background: bool = True,
    ignore_index: int | None = None, mask: Tensor | None = None, return_stats: bool = False,
    absent: Literal["keep", "zero", "skip"] = "keep", average: Literal["macro", "micro"] = "macro",
    class_mean: Literal["count", "weighted"] = "count", smooth_nr: float | Tensor = 1e-05,
    smooth_dr: float | Tensor = 1e-05, log: bool = False,
) -> Tensor | tuple[Tensor, RegionStats]: ...

@overload
def dice_focal_loss(
    input: Tensor, target: Tensor, *, mode: Literal["softmax", "sigmoid"] = "softmax",
    dice_weight: float | Tensor = 1.0, focal_weight: float | Tensor = 1.0, gamma: float | Tensor = 2.0,
    focal: Literal["softmax", "sigmoid"] = "softmax", weight: Tensor | None = None, squared: bool = False,
    reduction: str = "mean", normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, batch: bool = False, include_background: bool = True,
    ignore_index: int | None = None, mask: Tensor | None = None, return_stats: Literal[False] = False,
    absent: Literal["keep", "zero", "skip"] = "keep", average: Literal["macro", "micro"] = "macro",
    class_mean: Literal["count", "weighted"] = "count", smooth_nr: float | Tensor = 1e-05,
    smooth_dr: float | Tensor = 1e-05, log: bool = False,
) -> Tensor: ...
@overload
def dice_focal_loss(
    input: Tensor, target: Tensor, *, mode: Literal["softmax", "sigmoid"] = "softmax",
    dice_weight: float | Tensor = 1.0, focal_weight: float | Tensor = 1.0, gamma: float | Tensor = 2.0,
    focal: Literal["softmax", "sigmoid"] = "softmax", weight: Tensor | None = None, squared: bool = False,
    reduction: str = "mean", normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, batch: bool = False, include_background: bool = True,
    ignore_index: int | None = None, mask: Tensor | None = None, return_stats: Literal[True],
    absent: Literal["keep", "zero", "skip"] = "keep", average: Literal["macro", "micro"] = "macro",
    class_mean: Literal["count", "weighted"] = "count", smooth_nr: float | Tensor = 1e-05,
    smooth_dr: float | Tensor = 1e-05, log: bool = False,
) -> tuple[Tensor, RegionStats]: ...
@overload
def dice_focal_loss(
    input: Tensor, target: Tensor, *, mode: Literal["softmax", "sigmoid"] = "softmax",
    dice_weight: float | Tensor = 1.0, focal_weight: float | Tensor = 1.0, gamma: float | Tensor = 2.0,
    focal: Literal["softmax", "sigmoid"] = "softmax", weight: Tensor | None = None, squared: bool = False,
    reduction: str = "mean", normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, batch: bool = False, include_background: bool = True,
    ignore_index: int | None = None, mask: Tensor | None = None, return_stats: bool = False,
    absent: Literal["keep", "zero", "skip"] = "keep", average: Literal["macro", "micro"] = "macro",
    class_mean: Literal["count", "weighted"] = "count", smooth_nr: float | Tensor = 1e-05,
    smooth_dr: float | Tensor = 1e-05, log: bool = False,
) -> Tensor | tuple[Tensor, RegionStats]: ...

@overload
def dice_loss(
    input: Tensor, target: Tensor, *, mode: Literal["softmax", "sigmoid", "probabilities"] = "softmax",
    weight: Tensor | None = None, squared: bool = False, reduction: str = "mean",
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, batch: bool = False, include_background: bool = True,
    ignore_index: int | None = None, mask: Tensor | None = None, return_stats: Literal[False] = False,
    absent: Literal["keep", "zero", "skip"] = "keep", average: Literal["macro", "micro"] = "macro",
    class_mean: Literal["count", "weighted"] = "count", smooth_nr: float | Tensor = 1e-05,
    smooth_dr: float | Tensor = 1e-05, log: bool = False,
) -> Tensor: ...
@overload
def dice_loss(
    input: Tensor, target: Tensor, *, mode: Literal["softmax", "sigmoid", "probabilities"] = "softmax",
    weight: Tensor | None = None, squared: bool = False, reduction: str = "mean",
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, batch: bool = False, include_background: bool = True,
    ignore_index: int | None = None, mask: Tensor | None = None, return_stats: Literal[True],
    absent: Literal["keep", "zero", "skip"] = "keep", average: Literal["macro", "micro"] = "macro",
    class_mean: Literal["count", "weighted"] = "count", smooth_nr: float | Tensor = 1e-05,
    smooth_dr: float | Tensor = 1e-05, log: bool = False,
) -> tuple[Tensor, RegionStats]: ...
@overload
def dice_loss(
    input: Tensor, target: Tensor, *, mode: Literal["softmax", "sigmoid", "probabilities"] = "softmax",
    weight: Tensor | None = None, squared: bool = False, reduction: str = "mean",
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, batch: bool = False, include_background: bool = True,
    ignore_index: int | None = None, mask: Tensor | None = None, return_stats: bool = False,
    absent: Literal["keep", "zero", "skip"] = "keep", average: Literal["macro", "micro"] = "macro",
    class_mean: Literal["count", "weighted"] = "count", smooth_nr: float | Tensor = 1e-05,
    smooth_dr: float | Tensor = 1e-05, log: bool = False,
) -> Tensor | tuple[Tensor, RegionStats]: ...

@overload
def focal_tversky_loss(
    input: Tensor, target: Tensor, *, alpha: float | Tensor = 0.3, beta: float | Tensor = 0.7,
    gamma: float | Tensor = 0.75, mode: Literal["softmax", "sigmoid", "probabilities"] = "softmax",
    weight: Tensor | None = None, reduction: str = "mean", normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
    include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
    return_stats: Literal[False] = False, absent: Literal["keep", "zero", "skip"] = "keep",
    average: Literal["macro", "micro"] = "macro", class_mean: Literal["count", "weighted"] = "count",
    smooth_nr: float | Tensor = 1e-05, smooth_dr: float | Tensor = 1e-05, log: bool = False,
) -> Tensor: ...
@overload
def focal_tversky_loss(
    input: Tensor, target: Tensor, *, alpha: float | Tensor = 0.3, beta: float | Tensor = 0.7,
    gamma: float | Tensor = 0.75, mode: Literal["softmax", "sigmoid", "probabilities"] = "softmax",
    weight: Tensor | None = None, reduction: str = "mean", normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
    include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
    return_stats: Literal[True], absent: Literal["keep", "zero", "skip"] = "keep",
    average: Literal["macro", "micro"] = "macro", class_mean: Literal["count", "weighted"] = "count",
    smooth_nr: float | Tensor = 1e-05, smooth_dr: float | Tensor = 1e-05, log: bool = False,
) -> tuple[Tensor, RegionStats]: ...
@overload
def focal_tversky_loss(
    input: Tensor, target: Tensor, *, alpha: float | Tensor = 0.3, beta: float | Tensor = 0.7,
    gamma: float | Tensor = 0.75, mode: Literal["softmax", "sigmoid", "probabilities"] = "softmax",
    weight: Tensor | None = None, reduction: str = "mean", normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
    include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
    return_stats: bool = False, absent: Literal["keep", "zero", "skip"] = "keep",
    average: Literal["macro", "micro"] = "macro", class_mean: Literal["count", "weighted"] = "count",
    smooth_nr: float | Tensor = 1e-05, smooth_dr: float | Tensor = 1e-05, log: bool = False,
) -> Tensor | tuple[Tensor, RegionStats]: ...

@overload
def generalized_dice_loss(
    input: Tensor, target: Tensor, *, mode: Literal["softmax", "sigmoid", "probabilities"] = "softmax",
    weighting: Literal["square", "simple", "uniform"] = "square", weight: Tensor | None = None,
    smooth_nr: float | Tensor = 1e-05, smooth_dr: float | Tensor = 1e-05, reduction: str = "mean",
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, batch: bool = False, include_background: bool = True,
    ignore_index: int | None = None, mask: Tensor | None = None, return_stats: Literal[False] = False,
) -> Tensor: ...
@overload
def generalized_dice_loss(
    input: Tensor, target: Tensor, *, mode: Literal["softmax", "sigmoid", "probabilities"] = "softmax",
    weighting: Literal["square", "simple", "uniform"] = "square", weight: Tensor | None = None,
    smooth_nr: float | Tensor = 1e-05, smooth_dr: float | Tensor = 1e-05, reduction: str = "mean",
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, batch: bool = False, include_background: bool = True,
    ignore_index: int | None = None, mask: Tensor | None = None, return_stats: Literal[True],
) -> tuple[Tensor, RegionStats]: ...
@overload
def generalized_dice_loss(
    input: Tensor, target: Tensor, *, mode: Literal["softmax", "sigmoid", "probabilities"] = "softmax",
    weighting: Literal["square", "simple", "uniform"] = "square", weight: Tensor | None = None,
    smooth_nr: float | Tensor = 1e-05, smooth_dr: float | Tensor = 1e-05, reduction: str = "mean",
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, batch: bool = False, include_background: bool = True,
    ignore_index: int | None = None, mask: Tensor | None = None, return_stats: bool = False,
) -> Tensor | tuple[Tensor, RegionStats]: ...

@overload
def jaccard_loss(
    input: Tensor, target: Tensor, *, mode: Literal["softmax", "sigmoid", "probabilities"] = "softmax",
    weight: Tensor | None = None, squared: bool = False, reduction: str = "mean",
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, batch: bool = False, include_background: bool = True,
    ignore_index: int | None = None, mask: Tensor | None = None, return_stats: Literal[False] = False,
    absent: Literal["keep", "zero", "skip"] = "keep", average: Literal["macro", "micro"] = "macro",
    class_mean: Literal["count", "weighted"] = "count", smooth_nr: float | Tensor = 1e-05,
    smooth_dr: float | Tensor = 1e-05, log: bool = False,
) -> Tensor: ...
@overload
def jaccard_loss(
    input: Tensor, target: Tensor, *, mode: Literal["softmax", "sigmoid", "probabilities"] = "softmax",
    weight: Tensor | None = None, squared: bool = False, reduction: str = "mean",
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, batch: bool = False, include_background: bool = True,
    ignore_index: int | None = None, mask: Tensor | None = None, return_stats: Literal[True],
    absent: Literal["keep", "zero", "skip"] = "keep", average: Literal["macro", "micro"] = "macro",
    class_mean: Literal["count", "weighted"] = "count", smooth_nr: float | Tensor = 1e-05,
    smooth_dr: float | Tensor = 1e-05, log: bool = False,
) -> tuple[Tensor, RegionStats]: ...
@overload
def jaccard_loss(
    input: Tensor, target: Tensor, *, mode: Literal["softmax", "sigmoid", "probabilities"] = "softmax",
    weight: Tensor | None = None, squared: bool = False, reduction: str = "mean",
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, batch: bool = False, include_background: bool = True,
    ignore_index: int | None = None, mask: Tensor | None = None, return_stats: bool = False,
    absent: Literal["keep", "zero", "skip"] = "keep", average: Literal["macro", "micro"] = "macro",
    class_mean: Literal["count", "weighted"] = "count", smooth_nr: float | Tensor = 1e-05,
    smooth_dr: float | Tensor = 1e-05, log: bool = False,
) -> Tensor | tuple[Tensor, RegionStats]: ...

def lovasz_hinge_loss(
    input: Tensor, target: Tensor, *, weight: Tensor | None = None, reduction: str = "mean",
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, batch: bool = False, include_background: bool = True,
    ignore_index: int | None = None, mask: Tensor | None = None, absent: Literal["keep", "zero", "skip"] = "keep",
    class_mean: Literal["count", "weighted"] = "count",
) -> Tensor: ...

def lovasz_softmax_loss(
    input: Tensor, target: Tensor, *, mode: Literal["softmax", "sigmoid", "probabilities"] = "softmax",
    weight: Tensor | None = None, reduction: str = "mean", normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
    include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
    absent: Literal["keep", "zero", "skip"] = "keep", class_mean: Literal["count", "weighted"] = "count",
) -> Tensor: ...

@overload
def mcc_loss(
    input: Tensor, target: Tensor, *, mode: Literal["softmax", "sigmoid", "probabilities"] = "softmax",
    eps: float | Tensor = 1e-05, weight: Tensor | None = None, reduction: str = "mean",
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, batch: bool = False, include_background: bool = True,
    ignore_index: int | None = None, mask: Tensor | None = None, return_stats: Literal[False] = False,
    absent: Literal["keep", "zero", "skip"] = "keep", average: Literal["macro", "micro"] = "macro",
    class_mean: Literal["count", "weighted"] = "count",
) -> Tensor: ...
@overload
def mcc_loss(
    input: Tensor, target: Tensor, *, mode: Literal["softmax", "sigmoid", "probabilities"] = "softmax",
    eps: float | Tensor = 1e-05, weight: Tensor | None = None, reduction: str = "mean",
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, batch: bool = False, include_background: bool = True,
    ignore_index: int | None = None, mask: Tensor | None = None, return_stats: Literal[True],
    absent: Literal["keep", "zero", "skip"] = "keep", average: Literal["macro", "micro"] = "macro",
    class_mean: Literal["count", "weighted"] = "count",
) -> tuple[Tensor, RegionStats]: ...
@overload
def mcc_loss(
    input: Tensor, target: Tensor, *, mode: Literal["softmax", "sigmoid", "probabilities"] = "softmax",
    eps: float | Tensor = 1e-05, weight: Tensor | None = None, reduction: str = "mean",
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, batch: bool = False, include_background: bool = True,
    ignore_index: int | None = None, mask: Tensor | None = None, return_stats: bool = False,
    absent: Literal["keep", "zero", "skip"] = "keep", average: Literal["macro", "micro"] = "macro",
    class_mean: Literal["count", "weighted"] = "count",
) -> Tensor | tuple[Tensor, RegionStats]: ...

@overload
def tversky_cross_entropy(
    input: Tensor, target: Tensor, *, alpha: float | Tensor = 0.3, beta: float | Tensor = 0.7,
    mode: Literal["softmax", "sigmoid"] = "softmax", tversky_weight: float | Tensor = 1.0,
    ce_weight: float | Tensor = 1.0, label_smoothing: float | Tensor = 0.0, weight: Tensor | None = None,
    reduction: str = "mean", normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, batch: bool = False, include_background: bool = True,
    ignore_index: int | None = None, mask: Tensor | None = None, return_stats: Literal[False] = False,
    absent: Literal["keep", "zero", "skip"] = "keep", average: Literal["macro", "micro"] = "macro",
    class_mean: Literal["count", "weighted"] = "count", smooth_nr: float | Tensor = 1e-05,
    smooth_dr: float | Tensor = 1e-05, log: bool = False,
) -> Tensor: ...
@overload
def tversky_cross_entropy(
    input: Tensor, target: Tensor, *, alpha: float | Tensor = 0.3, beta: float | Tensor = 0.7,
    mode: Literal["softmax", "sigmoid"] = "softmax", tversky_weight: float | Tensor = 1.0,
    ce_weight: float | Tensor = 1.0, label_smoothing: float | Tensor = 0.0, weight: Tensor | None = None,
    reduction: str = "mean", normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, batch: bool = False, include_background: bool = True,
    ignore_index: int | None = None, mask: Tensor | None = None, return_stats: Literal[True],
    absent: Literal["keep", "zero", "skip"] = "keep", average: Literal["macro", "micro"] = "macro",
    class_mean: Literal["count", "weighted"] = "count", smooth_nr: float | Tensor = 1e-05,
    smooth_dr: float | Tensor = 1e-05, log: bool = False,
) -> tuple[Tensor, RegionStats]: ...
@overload
def tversky_cross_entropy(
    input: Tensor, target: Tensor, *, alpha: float | Tensor = 0.3, beta: float | Tensor = 0.7,
    mode: Literal["softmax", "sigmoid"] = "softmax", tversky_weight: float | Tensor = 1.0,
    ce_weight: float | Tensor = 1.0, label_smoothing: float | Tensor = 0.0, weight: Tensor | None = None,
    reduction: str = "mean", normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, batch: bool = False, include_background: bool = True,
    ignore_index: int | None = None, mask: Tensor | None = None, return_stats: bool = False,
    absent: Literal["keep", "zero", "skip"] = "keep", average: Literal["macro", "micro"] = "macro",
    class_mean: Literal["count", "weighted"] = "count", smooth_nr: float | Tensor = 1e-05,
    smooth_dr: float | Tensor = 1e-05, log: bool = False,
) -> Tensor | tuple[Tensor, RegionStats]: ...

@overload
def cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: bool | None = None,
    ignore_index: int = -100, reduce: bool | None = None, reduction: str = "mean",
    label_smoothing: float | Tensor = 0.0, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
    temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
    return_stats: Literal[False] = False, group: Any = None,
) -> Tensor: ...
@overload
def cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: bool | None = None,
    ignore_index: int = -100, reduce: bool | None = None, reduction: str = "mean",
    label_smoothing: float | Tensor = 0.0, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
    temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
    return_stats: Literal[True], group: Any = None,
) -> tuple[Tensor, RowStats]: ...
@overload
def cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: bool | None = None,
    ignore_index: int = -100, reduce: bool | None = None, reduction: str = "mean",
    label_smoothing: float | Tensor = 0.0, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
    temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
    return_stats: bool = False, group: Any = None,
) -> Tensor | tuple[Tensor, RowStats]: ...

@overload
def generalized_cross_entropy(
    input: Tensor, target: Tensor, q: float | Tensor = 0.7, k: float | Tensor | None = None,
    weight: Tensor | None = None, ignore_index: int = -100, reduction: str = "mean",
    label_smoothing: float | Tensor = 0.0, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
    temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
    return_stats: Literal[False] = False, group: Any = None,
) -> Tensor: ...
@overload
def generalized_cross_entropy(
    input: Tensor, target: Tensor, q: float | Tensor = 0.7, k: float | Tensor | None = None,
    weight: Tensor | None = None, ignore_index: int = -100, reduction: str = "mean",
    label_smoothing: float | Tensor = 0.0, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
    temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
    return_stats: Literal[True], group: Any = None,
) -> tuple[Tensor, RowStats]: ...
@overload
def generalized_cross_entropy(
    input: Tensor, target: Tensor, q: float | Tensor = 0.7, k: float | Tensor | None = None,
    weight: Tensor | None = None, ignore_index: int = -100, reduction: str = "mean",
    label_smoothing: float | Tensor = 0.0, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
    temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
    return_stats: bool = False, group: Any = None,
) -> Tensor | tuple[Tensor, RowStats]: ...

@overload
def poly1_cross_entropy(
    input: Tensor, target: Tensor, epsilon: float | Tensor = 1.0, weight: Tensor | None = None,
    ignore_index: int = -100, reduction: str = "mean", label_smoothing: float | Tensor = 0.0, *,
    z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0,
    mask: Tensor | None = None, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, inplace: bool = False, return_stats: Literal[False] = False,
    group: Any = None,
) -> Tensor: ...
@overload
def poly1_cross_entropy(
    input: Tensor, target: Tensor, epsilon: float | Tensor = 1.0, weight: Tensor | None = None,
    ignore_index: int = -100, reduction: str = "mean", label_smoothing: float | Tensor = 0.0, *,
    z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0,
    mask: Tensor | None = None, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, inplace: bool = False, return_stats: Literal[True], group: Any = None,
) -> tuple[Tensor, RowStats]: ...
@overload
def poly1_cross_entropy(
    input: Tensor, target: Tensor, epsilon: float | Tensor = 1.0, weight: Tensor | None = None,
    ignore_index: int = -100, reduction: str = "mean", label_smoothing: float | Tensor = 0.0, *,
    z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0,
    mask: Tensor | None = None, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, inplace: bool = False, return_stats: bool = False, group: Any = None,
) -> Tensor | tuple[Tensor, RowStats]: ...

@overload
def softmax_focal_loss(
    input: Tensor, target: Tensor, alpha: float | Tensor | None = None, gamma: float | Tensor = 2.0,
    weight: Tensor | None = None, ignore_index: int = -100, reduction: str = "mean",
    label_smoothing: float | Tensor = 0.0, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
    temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
    return_stats: Literal[False] = False, group: Any = None,
) -> Tensor: ...
@overload
def softmax_focal_loss(
    input: Tensor, target: Tensor, alpha: float | Tensor | None = None, gamma: float | Tensor = 2.0,
    weight: Tensor | None = None, ignore_index: int = -100, reduction: str = "mean",
    label_smoothing: float | Tensor = 0.0, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
    temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
    return_stats: Literal[True], group: Any = None,
) -> tuple[Tensor, RowStats]: ...
@overload
def softmax_focal_loss(
    input: Tensor, target: Tensor, alpha: float | Tensor | None = None, gamma: float | Tensor = 2.0,
    weight: Tensor | None = None, ignore_index: int = -100, reduction: str = "mean",
    label_smoothing: float | Tensor = 0.0, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
    temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
    return_stats: bool = False, group: Any = None,
) -> Tensor | tuple[Tensor, RowStats]: ...

@overload
def symmetric_cross_entropy(
    input: Tensor, target: Tensor, alpha: float | Tensor = 0.1, beta: float | Tensor = 1.0,
    log_zero: float | Tensor = -4.0, weight: Tensor | None = None, ignore_index: int = -100,
    reduction: str = "mean", label_smoothing: float | Tensor = 0.0, *, z_loss: float | Tensor = 0.0,
    softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, inplace: bool = False, return_stats: Literal[False] = False,
    group: Any = None,
) -> Tensor: ...
@overload
def symmetric_cross_entropy(
    input: Tensor, target: Tensor, alpha: float | Tensor = 0.1, beta: float | Tensor = 1.0,
    log_zero: float | Tensor = -4.0, weight: Tensor | None = None, ignore_index: int = -100,
    reduction: str = "mean", label_smoothing: float | Tensor = 0.0, *, z_loss: float | Tensor = 0.0,
    softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, inplace: bool = False, return_stats: Literal[True], group: Any = None,
) -> tuple[Tensor, RowStats]: ...
@overload
def symmetric_cross_entropy(
    input: Tensor, target: Tensor, alpha: float | Tensor = 0.1, beta: float | Tensor = 1.0,
    log_zero: float | Tensor = -4.0, weight: Tensor | None = None, ignore_index: int = -100,
    reduction: str = "mean", label_smoothing: float | Tensor = 0.0, *, z_loss: float | Tensor = 0.0,
    softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None, inplace: bool = False, return_stats: bool = False, group: Any = None,
) -> Tensor | tuple[Tensor, RowStats]: ...

def circle_loss(
    embeddings: Tensor, labels: Tensor, m: float | Tensor = 0.4, gamma: float | Tensor = 80.0, *,
    normalize: bool = True, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "zero", loss_dtype: torch.dtype | None = None, weight: Tensor | None = None,
    reduction: Literal["none", "mean", "sum"] = "mean",
) -> Tensor: ...

def clip_loss(
    image_features: Tensor, text_features: Tensor, logit_scale: float | Tensor,
    logit_bias: float | Tensor | None = None, *, normalize: bool = False, mask: Tensor | None = None,
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "zero",
    loss_dtype: torch.dtype | None = None, weight: Tensor | None = None,
    reduction: Literal["none", "mean", "sum"] = "mean",
) -> Tensor: ...

def info_nce_loss(
    query: Tensor, key: Tensor, labels: Tensor | None = None, *, negatives: Tensor | None = None,
    positives: Tensor | None = None, mask: Tensor | None = None, temperature: float | Tensor = 0.07,
    normalize: bool = True, symmetric: bool = False, multi_positive: Literal["out", "in"] = "out",
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "zero",
    loss_dtype: torch.dtype | None = None, weight: Tensor | None = None,
    reduction: Literal["none", "mean", "sum"] = "mean",
) -> Tensor: ...

def mined_triplet_margin_loss(
    embeddings: Tensor, labels: Tensor, margin: float | Tensor = 1.0, *,
    mining: Literal["batch_hard", "semi_hard", "all"] = "batch_hard", soft: bool = False, normalize: bool = False,
    mask: Tensor | None = None, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "zero",
    loss_dtype: torch.dtype | None = None, weight: Tensor | None = None,
    reduction: Literal["none", "mean", "sum"] = "mean",
) -> Tensor: ...

def multi_similarity_loss(
    embeddings: Tensor, labels: Tensor, alpha: float | Tensor = 2.0, beta: float | Tensor = 50.0,
    base: float | Tensor = 0.5, *, normalize: bool = True, mask: Tensor | None = None,
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "zero",
    loss_dtype: torch.dtype | None = None, weight: Tensor | None = None,
    reduction: Literal["none", "mean", "sum"] = "mean",
) -> Tensor: ...

def nt_xent_loss(
    z0: Tensor, z1: Tensor, temperature: float | Tensor = 0.5, *, normalize: bool = True, decoupled: bool = False,
    mask: Tensor | None = None, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "zero",
    loss_dtype: torch.dtype | None = None, weight: Tensor | None = None,
    reduction: Literal["none", "mean", "sum"] = "mean",
) -> Tensor: ...

def pairwise_contrastive_loss(
    embeddings: Tensor, labels: Tensor, pos_margin: float | Tensor = 0.0, neg_margin: float | Tensor = 1.0, *,
    normalize: bool = True, squared: bool = False, mask: Tensor | None = None,
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "zero",
    loss_dtype: torch.dtype | None = None, weight: Tensor | None = None,
    reduction: Literal["none", "mean", "sum"] = "mean",
) -> Tensor: ...

def siglip_loss(
    image_features: Tensor, text_features: Tensor, logit_scale: float | Tensor,
    logit_bias: float | Tensor | None = None, *, normalize: bool = False, mask: Tensor | None = None,
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "zero",
    loss_dtype: torch.dtype | None = None, weight: Tensor | None = None,
    reduction: Literal["none", "mean", "sum"] = "mean",
) -> Tensor: ...

def supcon_loss(
    features: Tensor, labels: Tensor | None = None, *, mask: Tensor | None = None,
    temperature: float | Tensor = 0.1, normalize: bool = True, positives: Literal["out", "in"] = "out",
    normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "zero",
    loss_dtype: torch.dtype | None = None, weight: Tensor | None = None,
    reduction: Literal["none", "mean", "sum"] = "mean",
) -> Tensor: ...
