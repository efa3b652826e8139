"""Written by `make stubs` from the signatures at run time; not to be edited."""

from collections.abc import Callable
from typing import Any, Generic, Literal, overload

import torch
from torch import Tensor
from typing_extensions import TypeVar

from fastloss._core.stats import PointStats, RegionStats, RowStats

_Result = TypeVar("_Result", default=Tensor)  # of a call that does not say return_stats
from fastloss.nn import adversarial as adversarial, composed as composed, heads as heads, language as language, pairs as pairs, pointwise as pointwise, regions as regions, rows as rows, similarity as similarity

__all__ = [
    "AdaptiveLogSoftmaxWithLoss", "ArcFaceLoss", "AsymmetricCrossEntropy", "AsymmetricLoss", "BCELoss",
    "BCEWithLogitsLoss", "BalancedL1Loss", "BoxIoULoss", "CTCLoss", "CausalLMLoss", "CharbonnierLoss", "CircleLoss",
    "ClipLoss", "CompleteBoxIoULoss", "ContrastiveLoss", "CosFaceLoss", "CosineEmbeddingLoss", "CrossEntropyLoss",
    "DiceCrossEntropyLoss", "DiceFocalLoss", "DiceLoss", "DistanceBoxIoULoss", "DistillationLoss",
    "DistributionFocalLoss", "Divergence", "FocalLoss", "FocalTverskyLoss", "GANDiscriminatorLoss",
    "GANGeneratorLoss", "GBCELoss", "GaussianFocalLoss", "GaussianNLLLoss", "GeneralizedBoxIoULoss",
    "GeneralizedCrossEntropy", "GeneralizedDiceLoss", "HardExampleCrossEntropy", "HingeEmbeddingLoss", "HingeLoss",
    "HuberLoss", "InfoNCELoss", "JSDCrossEntropy", "JaccardLoss", "KLDivLoss", "L1Loss", "LDAMLoss",
    "LinearCrossEntropyLoss", "LinearDivergence", "LinearSoftmaxFocalLoss", "ListNetLoss", "LogCoshLoss",
    "LogitAdjustedCrossEntropy", "LovaszHingeLoss", "LovaszSoftmaxLoss", "MCCLoss", "MSELoss", "MarginRankingLoss",
    "MinedTripletMarginLoss", "MultiLabelMarginLoss", "MultiLabelSoftMarginLoss", "MultiMarginLoss",
    "MultiSimilarityLoss", "MulticlassHingeLoss", "NLLLoss", "NTXentLoss", "NormalizedSoftmaxLoss",
    "PairwiseContrastiveLoss", "Perplexity", "PoissonNLLLoss", "Poly1CrossEntropy", "ProxyAnchorLoss",
    "ProxyNCALoss", "QualityFocalLoss", "QuantileLoss", "RobustLoss", "SampledSoftmaxLoss", "SigLipLoss",
    "SigmoidFocalLoss", "SmoothL1Loss", "SoftMarginLoss", "SoftmaxFocalLoss", "SphereFaceLoss", "SquaredLogLoss",
    "SubCenterArcFaceLoss", "SupConLoss", "SuperLoss", "SymmetricCrossEntropy", "TripletMarginLoss",
    "TripletMarginWithDistanceLoss", "TverskyCrossEntropyLoss", "TverskyLoss", "VarifocalLoss",
]

class GANDiscriminatorLoss(torch.nn.Module):
    r"""What a discriminator pays for its scores r of real samples and d of generated ones."""
    mode: Literal["non_saturating", "hinge", "least_squares", "wasserstein"]
    reduction: Literal["mean", "sum"]
    def __init__(
        self, mode: Literal["non_saturating", "hinge", "least_squares", "wasserstein"] = "non_saturating",
        reduction: Literal["mean", "sum"] = "mean",
    ) -> None: ...
    def forward(
        self, real: Tensor, fake: Tensor,
    ) -> Tensor: ...
    def __call__(
        self, real: Tensor, fake: Tensor,
    ) -> Tensor: ...

class GANGeneratorLoss(torch.nn.Module):
    r"""What a generator pays for the scores d that the discriminator gives its samples."""
    mode: Literal["non_saturating", "hinge", "least_squares", "wasserstein"]
    reduction: Literal["mean", "sum"]
    def __init__(
        self, mode: Literal["non_saturating", "hinge", "least_squares", "wasserstein"] = "non_saturating",
        reduction: Literal["mean", "sum"] = "mean",
    ) -> None: ...
    def forward(
        self, fake: Tensor,
    ) -> Tensor: ...
    def __call__(
        self, fake: Tensor,
    ) -> Tensor: ...

class AdaptiveLogSoftmaxWithLoss(torch.nn.AdaptiveLogSoftmaxWithLoss): ...

class AsymmetricCrossEntropy(torch.nn.Module):
    r"""The asymmetric loss (Ridnik et al. 2021, https://arxiv.org/abs/2009.14119) of classes that exclude each other:
    the share that smoothing gives to unlikely classes is weighed down by :math:`\gamma_-`, a likely row by
    :math:`\gamma_+`."""
    gamma_pos: float | Tensor
    gamma_neg: float | Tensor
    weight: Tensor | None
    ignore_index: int
    reduction: Literal["none", "mean", "sum"]
    label_smoothing: float | Tensor
    def __init__(
        self, gamma_pos: float | Tensor = 1.0, gamma_neg: float | Tensor = 4.0, weight: Tensor | None = None,
        ignore_index: int = -100, reduction: Literal["none", "mean", "sum"] = "mean",
        label_smoothing: float | Tensor = 0.1, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    ) -> None: ...
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    ) -> Tensor: ...
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    ) -> Tensor: ...

class CTCLoss(torch.nn.CTCLoss):
    r"""Connectionist temporal classification (Graves et al. 2006): the negative log-likelihood of a sequence of labels,
    over all its alignments with the input."""
    def __init__(
        self, blank: int = 0, reduction: Literal["none", "mean", "sum"] = "mean", zero_infinity: bool = False,
    ) -> None: ...
    def forward(
        self, log_probs: Tensor, targets: Tensor, input_lengths: Tensor | tuple[int, ...],
        target_lengths: Tensor | tuple[int, ...],
    ) -> Tensor: ...
    def __call__(
        self, log_probs: Tensor, targets: Tensor, input_lengths: Tensor | tuple[int, ...],
        target_lengths: Tensor | tuple[int, ...],
    ) -> Tensor: ...

class CompleteBoxIoULoss(torch.nn.Module):
    r"""Complete intersection over union of boxes, as torchvision has it; `box_iou_loss` has further options."""
    reduction: Literal["none", "mean", "sum"]
    eps: float | Tensor
    def __init__(
        self, reduction: Literal["none", "mean", "sum"] = "mean", eps: float | Tensor = 1e-07,
    ) -> None: ...
    def forward(
        self, boxes1: Tensor, boxes2: Tensor,
    ) -> Tensor: ...
    def __call__(
        self, boxes1: Tensor, boxes2: Tensor,
    ) -> Tensor: ...

class DistanceBoxIoULoss(torch.nn.Module):
    r"""Distance intersection over union of boxes, as torchvision has it; `box_iou_loss` has further options."""
    reduction: Literal["none", "mean", "sum"]
    eps: float | Tensor
    def __init__(
        self, reduction: Literal["none", "mean", "sum"] = "mean", eps: float | Tensor = 1e-07,
    ) -> None: ...
    def forward(
        self, boxes1: Tensor, boxes2: Tensor,
    ) -> Tensor: ...
    def __call__(
        self, boxes1: Tensor, boxes2: Tensor,
    ) -> Tensor: ...

class DistillationLoss(torch.nn.Module):
    r"""Knowledge distillation, :math:`\alpha T^2 KL(p^T \| q^T) + (1 - \alpha) CE(q, y)`."""
    alpha: float
    temperature: float
    reduction: Literal["none", "mean", "sum"]
    def __init__(
        self, alpha: float = 1.0, temperature: float = 1.0, reduction: Literal["none", "mean", "sum"] = "mean",
    ) -> None: ...
    def forward(
        self, student: Tensor, teacher: Tensor, target: Tensor | None = None,
    ) -> Tensor: ...
    def __call__(
        self, student: Tensor, teacher: Tensor, target: Tensor | None = None,
    ) -> Tensor: ...

class DistributionFocalLoss(torch.nn.Module):
    r"""Cross entropy of the two bins that a position lies between (Li et al. 2020, arXiv:2006.04388), y in [0, K - 1]:"""
    reduction: Literal["none", "mean", "sum"]
    def __init__(
        self, reduction: Literal["none", "mean", "sum"] = "mean",
    ) -> None: ...
    def forward(
        self, input: Tensor, target: Tensor, *, weight: Tensor | None = None, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None,
    ) -> Tensor: ...
    def __call__(
        self, input: Tensor, target: Tensor, *, weight: Tensor | None = None, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None,
    ) -> Tensor: ...

class GBCELoss(torch.nn.Module):
    r"""Binary cross entropy of the target and sampled classes, calibrated for their number (gBCE, Petrov and Macdonald
    2023)."""
    calibration: float | Tensor
    ignore_index: int
    reduction: Literal["none", "mean", "sum"]
    def __init__(
        self, calibration: float | Tensor = 0.75, ignore_index: int = -100,
        reduction: Literal["none", "mean", "sum"] = "mean",
    ) -> None: ...
    def forward(
        self, input: Tensor, linear_weight: Tensor, target: Tensor, negatives: Tensor, *,
        linear_bias: Tensor | None = None,
    ) -> Tensor: ...
    def __call__(
        self, input: Tensor, linear_weight: Tensor, target: Tensor, negatives: Tensor, *,
        linear_bias: Tensor | None = None,
    ) -> Tensor: ...

class GeneralizedBoxIoULoss(torch.nn.Module):
    r"""Generalized intersection over union of boxes, as torchvision has it; `box_iou_loss` has further options."""
    reduction: Literal["none", "mean", "sum"]
    eps: float | Tensor
    def __init__(
        self, reduction: Literal["none", "mean", "sum"] = "mean", eps: float | Tensor = 1e-07,
    ) -> None: ...
    def forward(
        self, boxes1: Tensor, boxes2: Tensor,
    ) -> Tensor: ...
    def __call__(
        self, boxes1: Tensor, boxes2: Tensor,
    ) -> Tensor: ...

class HardExampleCrossEntropy(torch.nn.Module):
    r"""Cross entropy of the k rows that have the largest (online hard example mining, Shrivastava et al. 2016,
    https://arxiv.org/abs/1604.03540)."""
    k: int
    weight: Tensor | None
    ignore_index: int
    reduction: Literal["mean", "sum"]
    label_smoothing: float | Tensor
    def __init__(
        self, k: int, weight: Tensor | None = None, ignore_index: int = -100,
        reduction: Literal["mean", "sum"] = "mean", label_smoothing: float | Tensor = 0.0, *,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    ) -> None: ...
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    ) -> Tensor: ...
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    ) -> Tensor: ...

class JSDCrossEntropy(torch.nn.Module):
    r"""Cross entropy of clean samples plus the divergence between them and their augmented copies (AugMix)."""
    num_splits: int
    alpha: float
    smoothing: float
    def __init__(
        self, num_splits: int = 3, alpha: float = 12.0, smoothing: float = 0.1,
    ) -> None: ...
    def forward(
        self, input: Tensor, target: Tensor,
    ) -> Tensor: ...
    def __call__(
        self, input: Tensor, target: Tensor,
    ) -> Tensor: ...

class LDAMLoss(torch.nn.Module):
    r"""Label-distribution-aware margin loss (Cao et al. 2019, https://arxiv.org/abs/1906.07413): cross entropy of
    scaled logits with a margin below the target's, larger for rare classes."""
    counts: Tensor
    max_margin: float | Tensor
    scale: float | Tensor
    weight: Tensor | None
    ignore_index: int
    reduction: Literal["none", "mean", "sum"]
    def __init__(
        self, counts: Tensor, max_margin: float | Tensor = 0.5, scale: float | Tensor = 30.0,
        weight: Tensor | None = None, ignore_index: int = -100, reduction: Literal["none", "mean", "sum"] = "mean", *,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    ) -> None: ...
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    ) -> Tensor: ...
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    ) -> Tensor: ...

class ListNetLoss(torch.nn.Module):
    r"""Cross entropy between the softmax of the relevances r of a list and that of its scores x (ListNet, Cao et al.
    2007)."""
    reduction: Literal["none", "mean", "sum"]
    def __init__(
        self, reduction: Literal["none", "mean", "sum"] = "mean", *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    ) -> None: ...
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    ) -> Tensor: ...
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    ) -> Tensor: ...

class LogitAdjustedCrossEntropy(torch.nn.Module, Generic[_Result]):
    r"""Cross entropy of logits that are shifted by the classes' prior, which asks for larger logits of rare classes
    (Menon et al. 2021, https://arxiv.org/abs/2007.07314)."""
    log_prior: Tensor
    tau: float | Tensor
    weight: Tensor | None
    ignore_index: int
    reduction: Literal["none", "mean", "sum"]
    label_smoothing: float | Tensor
    @overload
    def __init__(
        self: LogitAdjustedCrossEntropy[Tensor], log_prior: Tensor, tau: float | Tensor = 1.0,
        weight: Tensor | None = None, ignore_index: int = -100, reduction: Literal["none", "mean", "sum"] = "mean",
        label_smoothing: float | Tensor = 0.0, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
        return_stats: Literal[False] = False, group: Any = None,
    ) -> None: ...
    @overload
    def __init__(
        self: LogitAdjustedCrossEntropy[tuple[Tensor, RowStats]], log_prior: Tensor, tau: float | Tensor = 1.0,
        weight: Tensor | None = None, ignore_index: int = -100, reduction: Literal["none", "mean", "sum"] = "mean",
        label_smoothing: float | Tensor = 0.0, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
        return_stats: Literal[True], group: Any = None,
    ) -> None: ...
    @overload
    def __init__(
        self: LogitAdjustedCrossEntropy[Tensor | tuple[Tensor, RowStats]], log_prior: Tensor, tau: float | Tensor = 1.0,
        weight: Tensor | None = None, ignore_index: int = -100, reduction: Literal["none", "mean", "sum"] = "mean",
        label_smoothing: float | Tensor = 0.0, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
        return_stats: bool = False, group: Any = None,
    ) -> None: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
        group: Any = None,
    ) -> _Result: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
        return_stats: Literal[False], group: Any = None,
    ) -> Tensor: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
        return_stats: Literal[True], group: Any = None,
    ) -> tuple[Tensor, RowStats]: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
        return_stats: bool, group: Any = None,
    ) -> Tensor | tuple[Tensor, RowStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
        group: Any = None,
    ) -> _Result: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
        return_stats: Literal[False], group: Any = None,
    ) -> Tensor: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
        return_stats: Literal[True], group: Any = None,
    ) -> tuple[Tensor, RowStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
        return_stats: bool, group: Any = None,
    ) -> Tensor | tuple[Tensor, RowStats]: ...

class MultiLabelMarginLoss(torch.nn.MultiLabelMarginLoss):
    r"""Hinge of each pair of a class that is a target and one that is not,
    :math:`\ell = \frac1C \sum_{y \in t} \sum_{c \notin t} \max(0, 1 + x_c - x_y)`."""
    def __init__(
        self, size_average: bool | None = None, reduce: bool | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean",
    ) -> None: ...
    def forward(
        self, input: Tensor, target: Tensor,
    ) -> Tensor: ...
    def __call__(
        self, input: Tensor, target: Tensor,
    ) -> Tensor: ...

class MultiLabelSoftMarginLoss(torch.nn.MultiLabelSoftMarginLoss):
    r"""Mean of the binary cross entropies of a row's logits, :math:`\ell = -\frac1C \sum_c w_c\,
    (y_c \log \sigma(x_c) + (1 - y_c) \log \sigma(-x_c))`."""
    def __init__(
        self, weight: Tensor | None = None, size_average: bool | None = None, reduce: bool | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean",
    ) -> None: ...
    def forward(
        self, input: Tensor, target: Tensor,
    ) -> Tensor: ...
    def __call__(
        self, input: Tensor, target: Tensor,
    ) -> Tensor: ...

class MultiMarginLoss(torch.nn.MultiMarginLoss):
    r"""Hinge of each other class's score, :math:`\ell = \frac1C \sum_{c \ne y} w_y \max(0, m + x_c - x_y)^p`."""
    def __init__(
        self, p: int = 1, margin: float = 1.0, weight: Tensor | None = None, size_average: bool | None = None,
        reduce: bool | None = None, reduction: Literal["none", "mean", "sum"] = "mean",
    ) -> None: ...
    def forward(
        self, input: Tensor, target: Tensor,
    ) -> Tensor: ...
    def __call__(
        self, input: Tensor, target: Tensor,
    ) -> Tensor: ...

class MulticlassHingeLoss(torch.nn.Module):
    r"""Hinge of the scores of classes, m = ``margin``:"""
    margin: float | Tensor
    kind: Literal["crammer_singer", "weston_watkins"]
    weight: Tensor | None
    ignore_index: int
    reduction: Literal["none", "mean", "sum"]
    def __init__(
        self, margin: float | Tensor = 1.0, kind: Literal["crammer_singer", "weston_watkins"] = "crammer_singer",
        weight: Tensor | None = None, ignore_index: int = -100, reduction: Literal["none", "mean", "sum"] = "mean", *,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    ) -> None: ...
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    ) -> Tensor: ...
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
    ) -> Tensor: ...

class NLLLoss(torch.nn.NLLLoss):
    r"""Negative log-likelihood of a class, given log-probabilities: :math:`\ell = -w_y\, x_y`."""
    def __init__(
        self, weight: Tensor | None = None, size_average: bool | None = None, ignore_index: int = -100,
        reduce: bool | None = None, reduction: Literal["none", "mean", "sum"] = "mean",
    ) -> None: ...
    def forward(
        self, input: Tensor, target: Tensor,
    ) -> Tensor: ...
    def __call__(
        self, input: Tensor, target: Tensor,
    ) -> Tensor: ...

class ProxyAnchorLoss(torch.nn.Module):
    r"""Each class's proxy compared with the whole batch (Kim et al. 2020)."""
    margin: float | Tensor
    alpha: float | Tensor
    ignore_index: int
    def __init__(
        self, margin: float | Tensor = 0.1, alpha: float | Tensor = 32.0, ignore_index: int = -100,
    ) -> None: ...
    def forward(
        self, embeddings: Tensor, weight: Tensor, target: Tensor,
    ) -> Tensor: ...
    def __call__(
        self, embeddings: Tensor, weight: Tensor, target: Tensor,
    ) -> Tensor: ...

class SampledSoftmaxLoss(torch.nn.Module):
    r"""Cross entropy among the target and sampled classes (Jean et al. 2015; of recommenders Yi et al. 2019)."""
    temperature: float | Tensor
    ignore_index: int
    reduction: Literal["none", "mean", "sum"]
    def __init__(
        self, temperature: float | Tensor = 1.0, ignore_index: int = -100,
        reduction: Literal["none", "mean", "sum"] = "mean",
    ) -> None: ...
    def forward(
        self, input: Tensor, linear_weight: Tensor, target: Tensor, negatives: Tensor, *,
        linear_bias: Tensor | None = None, log_q: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor: ...
    def __call__(
        self, input: Tensor, linear_weight: Tensor, target: Tensor, negatives: Tensor, *,
        linear_bias: Tensor | None = None, log_q: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor: ...

class TripletMarginWithDistanceLoss(torch.nn.TripletMarginWithDistanceLoss):
    r"""Triplet loss of a distance d of one's own, :math:`\ell = \max(0, m + d(a, p) - d(a, n))`."""
    def __init__(
        self, *, distance_function: Callable[[Tensor, Tensor], Tensor] | None = None, margin: float = 1.0,
        swap: bool = False, reduction: Literal["none", "mean", "sum"] = "mean",
    ) -> None: ...
    def forward(
        self, anchor: Tensor, positive: Tensor, negative: Tensor,
    ) -> Tensor: ...
    def __call__(
        self, anchor: Tensor, positive: Tensor, negative: Tensor,
    ) -> Tensor: ...

class ArcFaceLoss(torch.nn.Module, Generic[_Result]):
    r"""Cross entropy of scaled cosines, the target's angle widened by a margin (ArcFace, Deng et al. 2019)."""
    margin: float | Tensor
    scale: float | Tensor
    easy_margin: bool
    ignore_index: int
    reduction: Literal["none", "mean", "sum"]
    label_smoothing: float | Tensor
    @overload
    def __init__(
        self: ArcFaceLoss[Tensor], margin: float | Tensor = 0.5, scale: float | Tensor = 64.0,
        easy_margin: bool = False, ignore_index: int = -100, reduction: Literal["none", "mean", "sum"] = "mean",
        label_smoothing: float | Tensor = 0.0, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, memory_budget: int | None = None,
        return_stats: Literal[False] = False, group: Any = None,
    ) -> None: ...
    @overload
    def __init__(
        self: ArcFaceLoss[tuple[Tensor, RowStats]], margin: float | Tensor = 0.5, scale: float | Tensor = 64.0,
        easy_margin: bool = False, ignore_index: int = -100, reduction: Literal["none", "mean", "sum"] = "mean",
        label_smoothing: float | Tensor = 0.0, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, memory_budget: int | None = None,
        return_stats: Literal[True], group: Any = None,
    ) -> None: ...
    @overload
    def __init__(
        self: ArcFaceLoss[Tensor | tuple[Tensor, RowStats]], margin: float | Tensor = 0.5, scale: float | Tensor = 64.0,
        easy_margin: bool = False, ignore_index: int = -100, reduction: Literal["none", "mean", "sum"] = "mean",
        label_smoothing: float | Tensor = 0.0, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, memory_budget: int | None = None,
        return_stats: bool = False, group: Any = None,
    ) -> None: ...
    @overload
    def forward(
        self, embeddings: Tensor, weight: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0,
        softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, group: Any = None,
    ) -> _Result: ...
    @overload
    def forward(
        self, embeddings: Tensor, weight: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0,
        softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: Literal[False],
        group: Any = None,
    ) -> Tensor: ...
    @overload
    def forward(
        self, embeddings: Tensor, weight: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0,
        softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: Literal[True],
        group: Any = None,
    ) -> tuple[Tensor, RowStats]: ...
    @overload
    def forward(
        self, embeddings: Tensor, weight: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0,
        softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: bool, group: Any = None,
    ) -> Tensor | tuple[Tensor, RowStats]: ...
    @overload
    def __call__(
        self, embeddings: Tensor, weight: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0,
        softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, group: Any = None,
    ) -> _Result: ...
    @overload
    def __call__(
        self, embeddings: Tensor, weight: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0,
        softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: Literal[False],
        group: Any = None,
    ) -> Tensor: ...
    @overload
    def __call__(
        self, embeddings: Tensor, weight: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0,
        softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: Literal[True],
        group: Any = None,
    ) -> tuple[Tensor, RowStats]: ...
    @overload
    def __call__(
        self, embeddings: Tensor, weight: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0,
        softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: bool, group: Any = None,
    ) -> Tensor | tuple[Tensor, RowStats]: ...

class CosFaceLoss(torch.nn.Module, Generic[_Result]):
    r"""Cross entropy of scaled cosines, the target's lowered by a margin (CosFace, Wang et al. 2018; AM-softmax):
    :math:`\psi(\theta) = \cos\theta - m` in `arcface_loss`."""
    margin: float | Tensor
    scale: float | Tensor
    ignore_index: int
    reduction: Literal["none", "mean", "sum"]
    label_smoothing: float | Tensor
    @overload
    def __init__(
        self: CosFaceLoss[Tensor], margin: float | Tensor = 0.35, scale: float | Tensor = 64.0,
        ignore_index: int = -100, reduction: Literal["none", "mean", "sum"] = "mean",
        label_smoothing: float | Tensor = 0.0, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, memory_budget: int | None = None,
        return_stats: Literal[False] = False, group: Any = None,
    ) -> None: ...
    @overload
    def __init__(
        self: CosFaceLoss[tuple[Tensor, RowStats]], margin: float | Tensor = 0.35, scale: float | Tensor = 64.0,
        ignore_index: int = -100, reduction: Literal["none", "mean", "sum"] = "mean",
        label_smoothing: float | Tensor = 0.0, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, memory_budget: int | None = None,
        return_stats: Literal[True], group: Any = None,
    ) -> None: ...
    @overload
    def __init__(
        self: CosFaceLoss[Tensor | tuple[Tensor, RowStats]], margin: float | Tensor = 0.35,
        scale: float | Tensor = 64.0, ignore_index: int = -100, reduction: Literal["none", "mean", "sum"] = "mean",
        label_smoothing: float | Tensor = 0.0, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, memory_budget: int | None = None,
        return_stats: bool = False, group: Any = None,
    ) -> None: ...
    @overload
    def forward(
        self, embeddings: Tensor, weight: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0,
        softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, group: Any = None,
    ) -> _Result: ...
    @overload
    def forward(
        self, embeddings: Tensor, weight: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0,
        softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: Literal[False],
        group: Any = None,
    ) -> Tensor: ...
    @overload
    def forward(
        self, embeddings: Tensor, weight: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0,
        softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: Literal[True],
        group: Any = None,
    ) -> tuple[Tensor, RowStats]: ...
    @overload
    def forward(
        self, embeddings: Tensor, weight: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0,
        softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: bool, group: Any = None,
    ) -> Tensor | tuple[Tensor, RowStats]: ...
    @overload
    def __call__(
        self, embeddings: Tensor, weight: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0,
        softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, group: Any = None,
    ) -> _Result: ...
    @overload
    def __call__(
        self, embeddings: Tensor, weight: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0,
        softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: Literal[False],
        group: Any = None,
    ) -> Tensor: ...
    @overload
    def __call__(
        self, embeddings: Tensor, weight: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0,
        softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: Literal[True],
        group: Any = None,
    ) -> tuple[Tensor, RowStats]: ...
    @overload
    def __call__(
        self, embeddings: Tensor, weight: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0,
        softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: bool, group: Any = None,
    ) -> Tensor | tuple[Tensor, RowStats]: ...

class LinearCrossEntropyLoss(torch.nn.LinearCrossEntropyLoss, Generic[_Result]):
    r"""Cross entropy of the logits of a linear layer that the module has; the logits never exist as a whole."""
    @overload
    def __init__(
        self: LinearCrossEntropyLoss[Tensor], in_features: int, num_classes: int, *, out_features: tuple[int, ...] = (),
        bias: bool = False, device: Any = None, dtype: torch.dtype | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean", weight: Tensor | None = None,
        ignore_index: int | None = None, label_smoothing: float | Tensor = 0.0, options: Any = None,
        z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0,
        mask: Tensor | None = None, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: Literal[False] = False,
        group: Any = None,
    ) -> None: ...
    @overload
    def __init__(
        self: LinearCrossEntropyLoss[tuple[Tensor, RowStats]], in_features: int, num_classes: int, *,
        out_features: tuple[int, ...] = (), bias: bool = False, device: Any = None, dtype: torch.dtype | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean", weight: Tensor | None = None,
        ignore_index: int | None = None, label_smoothing: float | Tensor = 0.0, options: Any = None,
        z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0,
        mask: Tensor | None = None, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: Literal[True],
        group: Any = None,
    ) -> None: ...
    @overload
    def __init__(
        self: LinearCrossEntropyLoss[Tensor | tuple[Tensor, RowStats]], in_features: int, num_classes: int, *,
        out_features: tuple[int, ...] = (), bias: bool = False, device: Any = None, dtype: torch.dtype | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean", weight: Tensor | None = None,
        ignore_index: int | None = None, label_smoothing: float | Tensor = 0.0, options: Any = None,
        z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0,
        mask: Tensor | None = None, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: bool = False,
        group: Any = None,
    ) -> None: ...
    @overload  # type: ignore[override]
    def forward(
        self, input: Tensor, *, target: Tensor, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, memory_budget: int | None = None,
        group: Any = None,
    ) -> _Result: ...
    @overload
    def forward(
        self, input: Tensor, *, target: Tensor, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, memory_budget: int | None = None,
        return_stats: Literal[False], group: Any = None,
    ) -> Tensor: ...
    @overload
    def forward(
        self, input: Tensor, *, target: Tensor, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, memory_budget: int | None = None,
        return_stats: Literal[True], group: Any = None,
    ) -> tuple[Tensor, RowStats]: ...
    @overload
    def forward(
        self, input: Tensor, *, target: Tensor, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, memory_budget: int | None = None,
        return_stats: bool, group: Any = None,
    ) -> Tensor | tuple[Tensor, RowStats]: ...
    @overload
    def __call__(
        self, input: Tensor, *, target: Tensor, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, memory_budget: int | None = None,
        group: Any = None,
    ) -> _Result: ...
    @overload
    def __call__(
        self, input: Tensor, *, target: Tensor, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, memory_budget: int | None = None,
        return_stats: Literal[False], group: Any = None,
    ) -> Tensor: ...
    @overload
    def __call__(
        self, input: Tensor, *, target: Tensor, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, memory_budget: int | None = None,
        return_stats: Literal[True], group: Any = None,
    ) -> tuple[Tensor, RowStats]: ...
    @overload
    def __call__(
        self, input: Tensor, *, target: Tensor, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, memory_budget: int | None = None,
        return_stats: bool, group: Any = None,
    ) -> Tensor | tuple[Tensor, RowStats]: ...

class LinearSoftmaxFocalLoss(torch.nn.Module, Generic[_Result]):
    r"""Focal loss over classes (Lin et al. 2017) of the logits of a linear layer, which never exist as a whole."""
    alpha: float | Tensor | None
    gamma: float | Tensor
    weight: Tensor | None
    reduction: Literal["none", "mean", "sum"]
    ignore_index: int | None
    label_smoothing: float | Tensor
    @overload
    def __init__(
        self: LinearSoftmaxFocalLoss[Tensor], alpha: float | Tensor | None = None, gamma: float | Tensor = 2.0,
        weight: Tensor | None = None, reduction: Literal["none", "mean", "sum"] = "mean",
        ignore_index: int | None = None, label_smoothing: float | Tensor = 0.0, *, z_loss: float | Tensor = 0.0,
        softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: Literal[False] = False,
        group: Any = None,
    ) -> None: ...
    @overload
    def __init__(
        self: LinearSoftmaxFocalLoss[tuple[Tensor, RowStats]], alpha: float | Tensor | None = None,
        gamma: float | Tensor = 2.0, weight: Tensor | None = None, reduction: Literal["none", "mean", "sum"] = "mean",
        ignore_index: int | None = None, label_smoothing: float | Tensor = 0.0, *, z_loss: float | Tensor = 0.0,
        softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: Literal[True],
        group: Any = None,
    ) -> None: ...
    @overload
    def __init__(
        self: LinearSoftmaxFocalLoss[Tensor | tuple[Tensor, RowStats]], alpha: float | Tensor | None = None,
        gamma: float | Tensor = 2.0, weight: Tensor | None = None, reduction: Literal["none", "mean", "sum"] = "mean",
        ignore_index: int | None = None, label_smoothing: float | Tensor = 0.0, *, z_loss: float | Tensor = 0.0,
        softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: bool = False,
        group: Any = None,
    ) -> None: ...
    @overload
    def forward(
        self, input: Tensor, linear_weight: Tensor, target: Tensor, *, linear_bias: Tensor | None = None,
        z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0,
        mask: Tensor | None = None, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, group: Any = None,
    ) -> _Result: ...
    @overload
    def forward(
        self, input: Tensor, linear_weight: Tensor, target: Tensor, *, linear_bias: Tensor | None = None,
        z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0,
        mask: Tensor | None = None, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: Literal[False],
        group: Any = None,
    ) -> Tensor: ...
    @overload
    def forward(
        self, input: Tensor, linear_weight: Tensor, target: Tensor, *, linear_bias: Tensor | None = None,
        z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0,
        mask: Tensor | None = None, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: Literal[True],
        group: Any = None,
    ) -> tuple[Tensor, RowStats]: ...
    @overload
    def forward(
        self, input: Tensor, linear_weight: Tensor, target: Tensor, *, linear_bias: Tensor | None = None,
        z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0,
        mask: Tensor | None = None, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: bool, group: Any = None,
    ) -> Tensor | tuple[Tensor, RowStats]: ...
    @overload
    def __call__(
        self, input: Tensor, linear_weight: Tensor, target: Tensor, *, linear_bias: Tensor | None = None,
        z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0,
        mask: Tensor | None = None, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, group: Any = None,
    ) -> _Result: ...
    @overload
    def __call__(
        self, input: Tensor, linear_weight: Tensor, target: Tensor, *, linear_bias: Tensor | None = None,
        z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0,
        mask: Tensor | None = None, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: Literal[False],
        group: Any = None,
    ) -> Tensor: ...
    @overload
    def __call__(
        self, input: Tensor, linear_weight: Tensor, target: Tensor, *, linear_bias: Tensor | None = None,
        z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0,
        mask: Tensor | None = None, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: Literal[True],
        group: Any = None,
    ) -> tuple[Tensor, RowStats]: ...
    @overload
    def __call__(
        self, input: Tensor, linear_weight: Tensor, target: Tensor, *, linear_bias: Tensor | None = None,
        z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0,
        mask: Tensor | None = None, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: bool, group: Any = None,
    ) -> Tensor | tuple[Tensor, RowStats]: ...

class NormalizedSoftmaxLoss(torch.nn.Module, Generic[_Result]):
    r"""Cross entropy of scaled cosines (NormFace, Wang et al. 2017; Zhai and Wu 2019): `arcface_loss` without a margin."""
    scale: float | Tensor
    ignore_index: int
    reduction: Literal["none", "mean", "sum"]
    label_smoothing: float | Tensor
    @overload
    def __init__(
        self: NormalizedSoftmaxLoss[Tensor], scale: float | Tensor = 20.0, ignore_index: int = -100,
        reduction: Literal["none", "mean", "sum"] = "mean", label_smoothing: float | Tensor = 0.0, *,
        z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0,
        mask: Tensor | None = None, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: Literal[False] = False,
        group: Any = None,
    ) -> None: ...
    @overload
    def __init__(
        self: NormalizedSoftmaxLoss[tuple[Tensor, RowStats]], scale: float | Tensor = 20.0, ignore_index: int = -100,
        reduction: Literal["none", "mean", "sum"] = "mean", label_smoothing: float | Tensor = 0.0, *,
        z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0,
        mask: Tensor | None = None, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: Literal[True],
        group: Any = None,
    ) -> None: ...
    @overload
    def __init__(
        self: NormalizedSoftmaxLoss[Tensor | tuple[Tensor, RowStats]], scale: float | Tensor = 20.0,
        ignore_index: int = -100, reduction: Literal["none", "mean", "sum"] = "mean",
        label_smoothing: float | Tensor = 0.0, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, memory_budget: int | None = None,
        return_stats: bool = False, group: Any = None,
    ) -> None: ...
    @overload
    def forward(
        self, embeddings: Tensor, weight: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0,
        softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, group: Any = None,
    ) -> _Result: ...
    @overload
    def forward(
        self, embeddings: Tensor, weight: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0,
        softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: Literal[False],
        group: Any = None,
    ) -> Tensor: ...
    @overload
    def forward(
        self, embeddings: Tensor, weight: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0,
        softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: Literal[True],
        group: Any = None,
    ) -> tuple[Tensor, RowStats]: ...
    @overload
    def forward(
        self, embeddings: Tensor, weight: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0,
        softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: bool, group: Any = None,
    ) -> Tensor | tuple[Tensor, RowStats]: ...
    @overload
    def __call__(
        self, embeddings: Tensor, weight: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0,
        softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, group: Any = None,
    ) -> _Result: ...
    @overload
    def __call__(
        self, embeddings: Tensor, weight: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0,
        softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: Literal[False],
        group: Any = None,
    ) -> Tensor: ...
    @overload
    def __call__(
        self, embeddings: Tensor, weight: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0,
        softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: Literal[True],
        group: Any = None,
    ) -> tuple[Tensor, RowStats]: ...
    @overload
    def __call__(
        self, embeddings: Tensor, weight: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0,
        softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: bool, group: Any = None,
    ) -> Tensor | tuple[Tensor, RowStats]: ...

class ProxyNCALoss(torch.nn.Module, Generic[_Result]):
    r"""Neighbourhood components analysis with a proxy for each class (Movshovitz-Attias et al. 2017)."""
    scale: float | Tensor
    ignore_index: int
    reduction: Literal["none", "mean", "sum"]
    label_smoothing: float | Tensor
    @overload
    def __init__(
        self: ProxyNCALoss[Tensor], scale: float | Tensor = 1.0, ignore_index: int = -100,
        reduction: Literal["none", "mean", "sum"] = "mean", label_smoothing: float | Tensor = 0.0, *,
        z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0,
        mask: Tensor | None = None, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: Literal[False] = False,
        group: Any = None,
    ) -> None: ...
    @overload
    def __init__(
        self: ProxyNCALoss[tuple[Tensor, RowStats]], scale: float | Tensor = 1.0, ignore_index: int = -100,
        reduction: Literal["none", "mean", "sum"] = "mean", label_smoothing: float | Tensor = 0.0, *,
        z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0,
        mask: Tensor | None = None, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: Literal[True],
        group: Any = None,
    ) -> None: ...
    @overload
    def __init__(
        self: ProxyNCALoss[Tensor | tuple[Tensor, RowStats]], scale: float | Tensor = 1.0, ignore_index: int = -100,
        reduction: Literal["none", "mean", "sum"] = "mean", label_smoothing: float | Tensor = 0.0, *,
        z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0,
        mask: Tensor | None = None, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: bool = False,
        group: Any = None,
    ) -> None: ...
    @overload
    def forward(
        self, embeddings: Tensor, weight: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0,
        softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, group: Any = None,
    ) -> _Result: ...
    @overload
    def forward(
        self, embeddings: Tensor, weight: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0,
        softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: Literal[False],
        group: Any = None,
    ) -> Tensor: ...
    @overload
    def forward(
        self, embeddings: Tensor, weight: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0,
        softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: Literal[True],
        group: Any = None,
    ) -> tuple[Tensor, RowStats]: ...
    @overload
    def forward(
        self, embeddings: Tensor, weight: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0,
        softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: bool, group: Any = None,
    ) -> Tensor | tuple[Tensor, RowStats]: ...
    @overload
    def __call__(
        self, embeddings: Tensor, weight: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0,
        softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, group: Any = None,
    ) -> _Result: ...
    @overload
    def __call__(
        self, embeddings: Tensor, weight: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0,
        softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: Literal[False],
        group: Any = None,
    ) -> Tensor: ...
    @overload
    def __call__(
        self, embeddings: Tensor, weight: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0,
        softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: Literal[True],
        group: Any = None,
    ) -> tuple[Tensor, RowStats]: ...
    @overload
    def __call__(
        self, embeddings: Tensor, weight: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0,
        softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: bool, group: Any = None,
    ) -> Tensor | tuple[Tensor, RowStats]: ...

class SphereFaceLoss(torch.nn.Module, Generic[_Result]):
    r"""Cross entropy of scaled cosines with three margins (SphereFace, Liu et al. 2017, and others)."""
    m1: float | Tensor
    m2: float | Tensor
    m3: float | Tensor
    scale: float | Tensor
    ignore_index: int
    reduction: Literal["none", "mean", "sum"]
    label_smoothing: float | Tensor
    @overload
    def __init__(
        self: SphereFaceLoss[Tensor], m1: float | Tensor = 4.0, m2: float | Tensor = 0.0, m3: float | Tensor = 0.0,
        scale: float | Tensor = 64.0, ignore_index: int = -100, reduction: Literal["none", "mean", "sum"] = "mean",
        label_smoothing: float | Tensor = 0.0, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, memory_budget: int | None = None,
        return_stats: Literal[False] = False, group: Any = None,
    ) -> None: ...
    @overload
    def __init__(
        self: SphereFaceLoss[tuple[Tensor, RowStats]], m1: float | Tensor = 4.0, m2: float | Tensor = 0.0,
        m3: float | Tensor = 0.0, scale: float | Tensor = 64.0, ignore_index: int = -100,
        reduction: Literal["none", "mean", "sum"] = "mean", label_smoothing: float | Tensor = 0.0, *,
        z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0,
        mask: Tensor | None = None, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: Literal[True],
        group: Any = None,
    ) -> None: ...
    @overload
    def __init__(
        self: SphereFaceLoss[Tensor | tuple[Tensor, RowStats]], m1: float | Tensor = 4.0, m2: float | Tensor = 0.0,
        m3: float | Tensor = 0.0, scale: float | Tensor = 64.0, ignore_index: int = -100,
        reduction: Literal["none", "mean", "sum"] = "mean", label_smoothing: float | Tensor = 0.0, *,
        z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0,
        mask: Tensor | None = None, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: bool = False,
        group: Any = None,
    ) -> None: ...
    @overload
    def forward(
        self, embeddings: Tensor, weight: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0,
        softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, group: Any = None,
    ) -> _Result: ...
    @overload
    def forward(
        self, embeddings: Tensor, weight: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0,
        softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: Literal[False],
        group: Any = None,
    ) -> Tensor: ...
    @overload
    def forward(
        self, embeddings: Tensor, weight: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0,
        softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: Literal[True],
        group: Any = None,
    ) -> tuple[Tensor, RowStats]: ...
    @overload
    def forward(
        self, embeddings: Tensor, weight: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0,
        softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: bool, group: Any = None,
    ) -> Tensor | tuple[Tensor, RowStats]: ...
    @overload
    def __call__(
        self, embeddings: Tensor, weight: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0,
        softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, group: Any = None,
    ) -> _Result: ...
    @overload
    def __call__(
        self, embeddings: Tensor, weight: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0,
        softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: Literal[False],
        group: Any = None,
    ) -> Tensor: ...
    @overload
    def __call__(
        self, embeddings: Tensor, weight: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0,
        softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: Literal[True],
        group: Any = None,
    ) -> tuple[Tensor, RowStats]: ...
    @overload
    def __call__(
        self, embeddings: Tensor, weight: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0,
        softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: bool, group: Any = None,
    ) -> Tensor | tuple[Tensor, RowStats]: ...

class SubCenterArcFaceLoss(torch.nn.Module, Generic[_Result]):
    r"""ArcFace with K vectors for each class, of which the nearest one counts (Deng et al. 2020): `arcface_loss` of the
    largest cosine of a class."""
    sub_centers: int
    margin: float | Tensor
    scale: float | Tensor
    easy_margin: bool
    ignore_index: int
    reduction: Literal["none", "mean", "sum"]
    label_smoothing: float | Tensor
    @overload
    def __init__(
        self: SubCenterArcFaceLoss[Tensor], sub_centers: int = 3, margin: float | Tensor = 0.5,
        scale: float | Tensor = 64.0, easy_margin: bool = False, ignore_index: int = -100,
        reduction: Literal["none", "mean", "sum"] = "mean", label_smoothing: float | Tensor = 0.0, *,
        z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0,
        mask: Tensor | None = None, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: Literal[False] = False,
        group: Any = None,
    ) -> None: ...
    @overload
    def __init__(
        self: SubCenterArcFaceLoss[tuple[Tensor, RowStats]], sub_centers: int = 3, margin: float | Tensor = 0.5,
        scale: float | Tensor = 64.0, easy_margin: bool = False, ignore_index: int = -100,
        reduction: Literal["none", "mean", "sum"] = "mean", label_smoothing: float | Tensor = 0.0, *,
        z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0,
        mask: Tensor | None = None, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: Literal[True],
        group: Any = None,
    ) -> None: ...
    @overload
    def __init__(
        self: SubCenterArcFaceLoss[Tensor | tuple[Tensor, RowStats]], sub_centers: int = 3,
        margin: float | Tensor = 0.5, scale: float | Tensor = 64.0, easy_margin: bool = False, ignore_index: int = -100,
        reduction: Literal["none", "mean", "sum"] = "mean", label_smoothing: float | Tensor = 0.0, *,
        z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0,
        mask: Tensor | None = None, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: bool = False,
        group: Any = None,
    ) -> None: ...
    @overload
    def forward(
        self, embeddings: Tensor, weight: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0,
        softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, group: Any = None,
    ) -> _Result: ...
    @overload
    def forward(
        self, embeddings: Tensor, weight: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0,
        softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: Literal[False],
        group: Any = None,
    ) -> Tensor: ...
    @overload
    def forward(
        self, embeddings: Tensor, weight: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0,
        softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: Literal[True],
        group: Any = None,
    ) -> tuple[Tensor, RowStats]: ...
    @overload
    def forward(
        self, embeddings: Tensor, weight: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0,
        softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: bool, group: Any = None,
    ) -> Tensor | tuple[Tensor, RowStats]: ...
    @overload
    def __call__(
        self, embeddings: Tensor, weight: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0,
        softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, group: Any = None,
    ) -> _Result: ...
    @overload
    def __call__(
        self, embeddings: Tensor, weight: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0,
        softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: Literal[False],
        group: Any = None,
    ) -> Tensor: ...
    @overload
    def __call__(
        self, embeddings: Tensor, weight: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0,
        softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: Literal[True],
        group: Any = None,
    ) -> tuple[Tensor, RowStats]: ...
    @overload
    def __call__(
        self, embeddings: Tensor, weight: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0,
        softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, memory_budget: int | None = None, return_stats: bool, group: Any = None,
    ) -> Tensor | tuple[Tensor, RowStats]: ...

class CausalLMLoss(torch.nn.Module):
    r"""Cross entropy of each token given those before it, as Hugging Face transformers' ``ForCausalLMLoss``:"""
    ignore_index: int
    label_smoothing: float | Tensor
    z_loss: float | Tensor
    softcap: float | Tensor | None
    temperature: float | Tensor
    inplace: bool
    loss_dtype: torch.dtype | None
    def __init__(
        self, ignore_index: int = -100, label_smoothing: float | Tensor = 0.0, z_loss: float | Tensor = 0.0,
        softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, inplace: bool = False,
        loss_dtype: torch.dtype | None = None,
    ) -> None: ...
    def forward(
        self, logits: Tensor, labels: Tensor, num_items_in_batch: float | Tensor | None = None, *,
        shift_labels: Tensor | None = None,
    ) -> Tensor: ...
    def __call__(
        self, logits: Tensor, labels: Tensor, num_items_in_batch: float | Tensor | None = None, *,
        shift_labels: Tensor | None = None,
    ) -> Tensor: ...

class Divergence(torch.nn.Module):
    r"""How far a student's distribution q is from a teacher's p, row by row, both from logits."""
    kind: Literal["kl", "reverse_kl", "js", "tv", "alpha", "soft_cross_entropy"]
    beta: float | Tensor
    alpha: float | Tensor
    temperature: float | Tensor
    target_temperature: float | Tensor | None
    target_is: Literal["logits", "log_probabilities", "probabilities"]
    tail: bool
    reduction: Literal["none", "mean", "sum"]
    def __init__(
        self, kind: Literal["kl", "reverse_kl", "js", "tv", "alpha", "soft_cross_entropy"] = "kl",
        beta: float | Tensor = 0.5, alpha: float | Tensor = 0.5, temperature: float | Tensor = 1.0,
        target_temperature: float | Tensor | None = None,
        target_is: Literal["logits", "log_probabilities", "probabilities"] = "logits", tail: bool = False,
        reduction: Literal["none", "mean", "sum"] = "mean", *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, weight: Tensor | None = None,
        mask: Tensor | None = None, inplace: bool = False, group: Any = None,
    ) -> None: ...
    def forward(
        self, input: Tensor, target: Tensor | tuple[Tensor, Tensor], *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, weight: Tensor | None = None,
        mask: Tensor | None = None, inplace: bool = False, group: Any = None,
    ) -> Tensor: ...
    def __call__(
        self, input: Tensor, target: Tensor | tuple[Tensor, Tensor], *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, weight: Tensor | None = None,
        mask: Tensor | None = None, inplace: bool = False, group: Any = None,
    ) -> Tensor: ...

class LinearDivergence(torch.nn.Module):
    r"""How far a student's distribution q is from a teacher's p, row by row, of the logits of a linear layer,
    :math:`x = W h + b`, which never exist as a whole; `divergence` has the table of kinds."""
    kind: Literal["kl", "reverse_kl", "js", "tv", "alpha", "soft_cross_entropy"]
    beta: float | Tensor
    alpha: float | Tensor
    temperature: float | Tensor
    target_temperature: float | Tensor | None
    target_is: Literal["logits", "log_probabilities", "probabilities"]
    tail: bool
    reduction: Literal["none", "mean", "sum"]
    def __init__(
        self, kind: Literal["kl", "reverse_kl", "js", "tv", "alpha", "soft_cross_entropy"] = "kl",
        beta: float | Tensor = 0.5, alpha: float | Tensor = 0.5, temperature: float | Tensor = 1.0,
        target_temperature: float | Tensor | None = None,
        target_is: Literal["logits", "log_probabilities", "probabilities"] = "logits", tail: bool = False,
        reduction: Literal["none", "mean", "sum"] = "mean", *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, weight: Tensor | None = None,
        mask: Tensor | None = None, memory_budget: int | None = None, group: Any = None,
    ) -> None: ...
    def forward(
        self, input: Tensor, linear_weight: Tensor, target: Tensor | tuple[Tensor, Tensor], *,
        linear_bias: Tensor | None = None, target_weight: Tensor | None = None, target_bias: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, weight: Tensor | None = None, mask: Tensor | None = None,
        memory_budget: int | None = None, group: Any = None,
    ) -> Tensor: ...
    def __call__(
        self, input: Tensor, linear_weight: Tensor, target: Tensor | tuple[Tensor, Tensor], *,
        linear_bias: Tensor | None = None, target_weight: Tensor | None = None, target_bias: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, weight: Tensor | None = None, mask: Tensor | None = None,
        memory_budget: int | None = None, group: Any = None,
    ) -> Tensor: ...

class Perplexity(torch.nn.Module):
    r"""Perplexity of a language model, with the classes in the last dimension:"""
    ignore_index: int
    temperature: float | Tensor
    softcap: float | Tensor | None
    loss_dtype: torch.dtype | None
    def __init__(
        self, ignore_index: int = -100, temperature: float | Tensor = 1.0, softcap: float | Tensor | None = None,
        loss_dtype: torch.dtype | None = None,
    ) -> None: ...
    def forward(
        self, input: Tensor, target: Tensor, *, mask: Tensor | None = None,
    ) -> Tensor: ...
    def __call__(
        self, input: Tensor, target: Tensor, *, mask: Tensor | None = None,
    ) -> Tensor: ...

class ContrastiveLoss(torch.nn.Module, Generic[_Result]):
    r"""Vectors pulled together (y = 1) or pushed apart (y = 0 or -1) to a distance m (Hadsell et al. 2006), d theirs:"""
    margin: float | Tensor
    distance: Literal["euclidean", "cosine"]
    squared: bool
    reduction: Literal["none", "mean", "sum"]
    @overload
    def __init__(
        self: ContrastiveLoss[Tensor], margin: float | Tensor = 1.0,
        distance: Literal["euclidean", "cosine"] = "euclidean", squared: bool = True,
        reduction: Literal["none", "mean", "sum"] = "mean", *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False] = False,
        weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: ContrastiveLoss[tuple[Tensor, PointStats]], margin: float | Tensor = 1.0,
        distance: Literal["euclidean", "cosine"] = "euclidean", squared: bool = True,
        reduction: Literal["none", "mean", "sum"] = "mean", *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: ContrastiveLoss[Tensor | tuple[Tensor, PointStats]], margin: float | Tensor = 1.0,
        distance: Literal["euclidean", "cosine"] = "euclidean", squared: bool = True,
        reduction: Literal["none", "mean", "sum"] = "mean", *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool = False, weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def forward(
        self, input1: Tensor, input2: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, weight: Tensor | None = None,
    ) -> _Result: ...
    @overload
    def forward(
        self, input1: Tensor, input2: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False], weight: Tensor | None = None,
    ) -> Tensor: ...
    @overload
    def forward(
        self, input1: Tensor, input2: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> tuple[Tensor, PointStats]: ...
    @overload
    def forward(
        self, input1: Tensor, input2: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool, weight: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, PointStats]: ...
    @overload
    def __call__(
        self, input1: Tensor, input2: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, weight: Tensor | None = None,
    ) -> _Result: ...
    @overload
    def __call__(
        self, input1: Tensor, input2: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False], weight: Tensor | None = None,
    ) -> Tensor: ...
    @overload
    def __call__(
        self, input1: Tensor, input2: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> tuple[Tensor, PointStats]: ...
    @overload
    def __call__(
        self, input1: Tensor, input2: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool, weight: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, PointStats]: ...

class CosineEmbeddingLoss(torch.nn.CosineEmbeddingLoss, Generic[_Result]):
    r"""Vectors pulled together (y = 1) or apart (y = -1) by the cosine c of their angle:"""
    @overload
    def __init__(
        self: CosineEmbeddingLoss[Tensor], margin: float | Tensor = 0.0, size_average: bool | None = None,
        reduce: bool | None = None, reduction: Literal["none", "mean", "sum"] = "mean", *,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False] = False,
        weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: CosineEmbeddingLoss[tuple[Tensor, PointStats]], margin: float | Tensor = 0.0,
        size_average: bool | None = None, reduce: bool | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean", *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: CosineEmbeddingLoss[Tensor | tuple[Tensor, PointStats]], margin: float | Tensor = 0.0,
        size_average: bool | None = None, reduce: bool | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean", *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool = False, weight: Tensor | None = None,
    ) -> None: ...
    @overload  # type: ignore[override]
    def forward(
        self, input1: Tensor, input2: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, weight: Tensor | None = None,
    ) -> _Result: ...
    @overload
    def forward(
        self, input1: Tensor, input2: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False], weight: Tensor | None = None,
    ) -> Tensor: ...
    @overload
    def forward(
        self, input1: Tensor, input2: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> tuple[Tensor, PointStats]: ...
    @overload
    def forward(
        self, input1: Tensor, input2: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool, weight: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, PointStats]: ...
    @overload
    def __call__(
        self, input1: Tensor, input2: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, weight: Tensor | None = None,
    ) -> _Result: ...
    @overload
    def __call__(
        self, input1: Tensor, input2: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False], weight: Tensor | None = None,
    ) -> Tensor: ...
    @overload
    def __call__(
        self, input1: Tensor, input2: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> tuple[Tensor, PointStats]: ...
    @overload
    def __call__(
        self, input1: Tensor, input2: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool, weight: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, PointStats]: ...

class TripletMarginLoss(torch.nn.TripletMarginLoss, Generic[_Result]):
    r"""An anchor closer to its positive than to its negative by a margin (Balntas et al. 2016):"""
    @overload
    def __init__(
        self: TripletMarginLoss[Tensor], margin: float | Tensor = 1.0, p: float = 2.0, eps: float | Tensor = 1e-06,
        swap: bool = False, size_average: bool | None = None, reduce: bool | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean", *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = ..., loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False] = False,
        weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: TripletMarginLoss[tuple[Tensor, PointStats]], margin: float | Tensor = 1.0, p: float = 2.0,
        eps: float | Tensor = 1e-06, swap: bool = False, size_average: bool | None = None, reduce: bool | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean", *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = ..., loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: TripletMarginLoss[Tensor | tuple[Tensor, PointStats]], margin: float | Tensor = 1.0, p: float = 2.0,
        eps: float | Tensor = 1e-06, swap: bool = False, size_average: bool | None = None, reduce: bool | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean", *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = ..., loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool = False, weight: Tensor | None = None,
    ) -> None: ...
    @overload  # type: ignore[override]
    def forward(
        self, anchor: Tensor, positive: Tensor | None = None, negative: Tensor | None = None, *,
        labels: Tensor | None = None, mining: Literal["batch_hard", "semi_hard", "all"] | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = ...,
        loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, weight: Tensor | None = None, soft: bool = False,
        normalize: bool = False, memory_budget: int | None = None, group: Any = None, ddp: bool = False,
    ) -> _Result: ...
    @overload
    def forward(
        self, anchor: Tensor, positive: Tensor | None = None, negative: Tensor | None = None, *,
        labels: Tensor | None = None, mining: Literal["batch_hard", "semi_hard", "all"] | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = ...,
        loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False], weight: Tensor | None = None,
        soft: bool = False, normalize: bool = False, memory_budget: int | None = None, group: Any = None,
        ddp: bool = False,
    ) -> Tensor: ...
    @overload
    def forward(
        self, anchor: Tensor, positive: Tensor | None = None, negative: Tensor | None = None, *,
        labels: Tensor | None = None, mining: Literal["batch_hard", "semi_hard", "all"] | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = ...,
        loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
        soft: bool = False, normalize: bool = False, memory_budget: int | None = None, group: Any = None,
        ddp: bool = False,
    ) -> tuple[Tensor, PointStats]: ...
    @overload
    def forward(
        self, anchor: Tensor, positive: Tensor | None = None, negative: Tensor | None = None, *,
        labels: Tensor | None = None, mining: Literal["batch_hard", "semi_hard", "all"] | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = ...,
        loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool, weight: Tensor | None = None,
        soft: bool = False, normalize: bool = False, memory_budget: int | None = None, group: Any = None,
        ddp: bool = False,
    ) -> Tensor | tuple[Tensor, PointStats]: ...
    @overload
    def __call__(
        self, anchor: Tensor, positive: Tensor | None = None, negative: Tensor | None = None, *,
        labels: Tensor | None = None, mining: Literal["batch_hard", "semi_hard", "all"] | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = ...,
        loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, weight: Tensor | None = None, soft: bool = False,
        normalize: bool = False, memory_budget: int | None = None, group: Any = None, ddp: bool = False,
    ) -> _Result: ...
    @overload
    def __call__(
        self, anchor: Tensor, positive: Tensor | None = None, negative: Tensor | None = None, *,
        labels: Tensor | None = None, mining: Literal["batch_hard", "semi_hard", "all"] | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = ...,
        loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False], weight: Tensor | None = None,
        soft: bool = False, normalize: bool = False, memory_budget: int | None = None, group: Any = None,
        ddp: bool = False,
    ) -> Tensor: ...
    @overload
    def __call__(
        self, anchor: Tensor, positive: Tensor | None = None, negative: Tensor | None = None, *,
        labels: Tensor | None = None, mining: Literal["batch_hard", "semi_hard", "all"] | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = ...,
        loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
        soft: bool = False, normalize: bool = False, memory_budget: int | None = None, group: Any = None,
        ddp: bool = False,
    ) -> tuple[Tensor, PointStats]: ...
    @overload
    def __call__(
        self, anchor: Tensor, positive: Tensor | None = None, negative: Tensor | None = None, *,
        labels: Tensor | None = None, mining: Literal["batch_hard", "semi_hard", "all"] | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = ...,
        loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool, weight: Tensor | None = None,
        soft: bool = False, normalize: bool = False, memory_budget: int | None = None, group: Any = None,
        ddp: bool = False,
    ) -> Tensor | tuple[Tensor, PointStats]: ...

class TverskyLoss(torch.nn.Module, Generic[_Result]):
    r"""One minus the Tversky index of every class of every sample (Salehi et al. 2017), of probabilities p and masks t:"""
    alpha: float | Tensor
    beta: float | Tensor
    eps: float | Tensor
    reduction: Literal["none", "mean", "sum"]
    @overload
    def __init__(
        self: TverskyLoss[Tensor], alpha: float | Tensor = 0.3, beta: float | Tensor = 0.7, eps: float | Tensor = 1.0,
        reduction: Literal["none", "mean", "sum"] = "mean", *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False] = False,
        weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: TverskyLoss[tuple[Tensor, PointStats]], alpha: float | Tensor = 0.3, beta: float | Tensor = 0.7,
        eps: float | Tensor = 1.0, reduction: Literal["none", "mean", "sum"] = "mean", *,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: TverskyLoss[Tensor | tuple[Tensor, PointStats]], alpha: float | Tensor = 0.3, beta: float | Tensor = 0.7,
        eps: float | Tensor = 1.0, reduction: Literal["none", "mean", "sum"] = "mean", *,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool = False, weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, weight: Tensor | None = None,
    ) -> _Result: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False], weight: Tensor | None = None,
    ) -> Tensor: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> tuple[Tensor, PointStats]: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool, weight: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, PointStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, weight: Tensor | None = None,
    ) -> _Result: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False], weight: Tensor | None = None,
    ) -> Tensor: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> tuple[Tensor, PointStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool, weight: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, PointStats]: ...

class AsymmetricLoss(torch.nn.Module, Generic[_Result]):
    r"""Asymmetric loss for labels most of which are 0 (Ridnik et al. 2021, https://arxiv.org/abs/2009.14119):
    :math:`\ell = -y\, (1 - p)^{\gamma_+} \log p - (1 - y)\, m^{\gamma_-} \log(1 - m)`, :math:`p = \sigma(x)`,
    :math:`m = \max(0, p - \mathrm{clip})`."""
    gamma_neg: float | Tensor
    gamma_pos: float | Tensor
    clip: float | Tensor
    reduction: Literal["none", "mean", "sum"]
    @overload
    def __init__(
        self: AsymmetricLoss[Tensor], gamma_neg: float | Tensor = 4.0, gamma_pos: float | Tensor = 1.0,
        clip: float | Tensor = 0.05, reduction: Literal["none", "mean", "sum"] = "mean", *,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False] = False,
        weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: AsymmetricLoss[tuple[Tensor, PointStats]], gamma_neg: float | Tensor = 4.0,
        gamma_pos: float | Tensor = 1.0, clip: float | Tensor = 0.05,
        reduction: Literal["none", "mean", "sum"] = "mean", *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: AsymmetricLoss[Tensor | tuple[Tensor, PointStats]], gamma_neg: float | Tensor = 4.0,
        gamma_pos: float | Tensor = 1.0, clip: float | Tensor = 0.05,
        reduction: Literal["none", "mean", "sum"] = "mean", *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool = False, weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, weight: Tensor | None = None,
    ) -> _Result: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False], weight: Tensor | None = None,
    ) -> Tensor: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> tuple[Tensor, PointStats]: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool, weight: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, PointStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, weight: Tensor | None = None,
    ) -> _Result: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False], weight: Tensor | None = None,
    ) -> Tensor: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> tuple[Tensor, PointStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool, weight: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, PointStats]: ...

class BCELoss(torch.nn.BCELoss, Generic[_Result]):
    r"""Binary cross entropy of a probability, :math:`\ell = -y \log x - (1 - y) \log(1 - x)`, log clamped at -100."""
    @overload
    def __init__(
        self: BCELoss[Tensor], weight: Tensor | None = None, size_average: bool | None = None,
        reduce: bool | None = None, reduction: Literal["none", "mean", "sum"] = "mean", *,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False] = False,
    ) -> None: ...
    @overload
    def __init__(
        self: BCELoss[tuple[Tensor, PointStats]], weight: Tensor | None = None, size_average: bool | None = None,
        reduce: bool | None = None, reduction: Literal["none", "mean", "sum"] = "mean", *,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True],
    ) -> None: ...
    @overload
    def __init__(
        self: BCELoss[Tensor | tuple[Tensor, PointStats]], weight: Tensor | None = None,
        size_average: bool | None = None, reduce: bool | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean", *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool = False,
    ) -> None: ...
    @overload  # type: ignore[override]
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None,
    ) -> _Result: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False],
    ) -> Tensor: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True],
    ) -> tuple[Tensor, PointStats]: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool,
    ) -> Tensor | tuple[Tensor, PointStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None,
    ) -> _Result: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False],
    ) -> Tensor: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True],
    ) -> tuple[Tensor, PointStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool,
    ) -> Tensor | tuple[Tensor, PointStats]: ...

class BCEWithLogitsLoss(torch.nn.BCEWithLogitsLoss, Generic[_Result]):
    r"""Binary cross entropy of a logit, w = ``pos_weight``:"""
    @overload
    def __init__(
        self: BCEWithLogitsLoss[Tensor], weight: Tensor | None = None, size_average: bool | None = None,
        reduce: bool | None = None, reduction: Literal["none", "mean", "sum"] = "mean",
        pos_weight: Tensor | None = None, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False] = False,
    ) -> None: ...
    @overload
    def __init__(
        self: BCEWithLogitsLoss[tuple[Tensor, PointStats]], weight: Tensor | None = None,
        size_average: bool | None = None, reduce: bool | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean", pos_weight: Tensor | None = None, *,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True],
    ) -> None: ...
    @overload
    def __init__(
        self: BCEWithLogitsLoss[Tensor | tuple[Tensor, PointStats]], weight: Tensor | None = None,
        size_average: bool | None = None, reduce: bool | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean", pos_weight: Tensor | None = None, *,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool = False,
    ) -> None: ...
    @overload  # type: ignore[override]
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None,
    ) -> _Result: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False],
    ) -> Tensor: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True],
    ) -> tuple[Tensor, PointStats]: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool,
    ) -> Tensor | tuple[Tensor, PointStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None,
    ) -> _Result: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False],
    ) -> Tensor: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True],
    ) -> tuple[Tensor, PointStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool,
    ) -> Tensor | tuple[Tensor, PointStats]: ...

class BalancedL1Loss(torch.nn.Module, Generic[_Result]):
    r"""Balanced L1 (Libra R-CNN, Pang et al. 2019, arXiv:1904.02701): a slope that rises to that of an outlier."""
    alpha: float | Tensor
    gamma: float | Tensor
    beta: float | Tensor
    reduction: Literal["none", "mean", "sum"]
    @overload
    def __init__(
        self: BalancedL1Loss[Tensor], alpha: float | Tensor = 0.5, gamma: float | Tensor = 1.5,
        beta: float | Tensor = 1.0, reduction: Literal["none", "mean", "sum"] = "mean", *,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False] = False,
        weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: BalancedL1Loss[tuple[Tensor, PointStats]], alpha: float | Tensor = 0.5, gamma: float | Tensor = 1.5,
        beta: float | Tensor = 1.0, reduction: Literal["none", "mean", "sum"] = "mean", *,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: BalancedL1Loss[Tensor | tuple[Tensor, PointStats]], alpha: float | Tensor = 0.5,
        gamma: float | Tensor = 1.5, beta: float | Tensor = 1.0, reduction: Literal["none", "mean", "sum"] = "mean", *,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool = False, weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, weight: Tensor | None = None,
    ) -> _Result: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False], weight: Tensor | None = None,
    ) -> Tensor: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> tuple[Tensor, PointStats]: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool, weight: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, PointStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, weight: Tensor | None = None,
    ) -> _Result: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False], weight: Tensor | None = None,
    ) -> Tensor: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> tuple[Tensor, PointStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool, weight: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, PointStats]: ...

class BoxIoULoss(torch.nn.Module, Generic[_Result]):
    r"""How little two boxes overlap, :math:`\ell = 1 - q` plus a penalty; q = I / (U + eps), intersection by union."""
    kind: Literal["iou", "giou", "diou", "ciou", "eiou", "siou"]
    format: Literal["xyxy", "xywh", "cxcywh"]
    eps: float | Tensor
    reduction: Literal["none", "mean", "sum"]
    @overload
    def __init__(
        self: BoxIoULoss[Tensor], kind: Literal["iou", "giou", "diou", "ciou", "eiou", "siou"] = "giou",
        format: Literal["xyxy", "xywh", "cxcywh"] = "xyxy", eps: float | Tensor = 1e-07,
        reduction: Literal["none", "mean", "sum"] = "mean", *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "zero", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False] = False,
        weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: BoxIoULoss[tuple[Tensor, PointStats]],
        kind: Literal["iou", "giou", "diou", "ciou", "eiou", "siou"] = "giou",
        format: Literal["xyxy", "xywh", "cxcywh"] = "xyxy", eps: float | Tensor = 1e-07,
        reduction: Literal["none", "mean", "sum"] = "mean", *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "zero", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: BoxIoULoss[Tensor | tuple[Tensor, PointStats]],
        kind: Literal["iou", "giou", "diou", "ciou", "eiou", "siou"] = "giou",
        format: Literal["xyxy", "xywh", "cxcywh"] = "xyxy", eps: float | Tensor = 1e-07,
        reduction: Literal["none", "mean", "sum"] = "mean", *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "zero", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool = False, weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "zero", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, weight: Tensor | None = None,
    ) -> _Result: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "zero", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False], weight: Tensor | None = None,
    ) -> Tensor: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "zero", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> tuple[Tensor, PointStats]: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "zero", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool, weight: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, PointStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "zero", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, weight: Tensor | None = None,
    ) -> _Result: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "zero", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False], weight: Tensor | None = None,
    ) -> Tensor: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "zero", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> tuple[Tensor, PointStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "zero", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool, weight: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, PointStats]: ...

class CharbonnierLoss(torch.nn.Module, Generic[_Result]):
    r"""Differentiable absolute error (Charbonnier et al. 1994), :math:`\ell = \sqrt{(x - y)^2 + \epsilon^2}`."""
    eps: float | Tensor
    reduction: Literal["none", "mean", "sum"]
    @overload
    def __init__(
        self: CharbonnierLoss[Tensor], eps: float | Tensor = 0.001, reduction: Literal["none", "mean", "sum"] = "mean",
        *, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False] = False,
        weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: CharbonnierLoss[tuple[Tensor, PointStats]], eps: float | Tensor = 0.001,
        reduction: Literal["none", "mean", "sum"] = "mean", *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: CharbonnierLoss[Tensor | tuple[Tensor, PointStats]], eps: float | Tensor = 0.001,
        reduction: Literal["none", "mean", "sum"] = "mean", *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool = False, weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, weight: Tensor | None = None,
    ) -> _Result: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False], weight: Tensor | None = None,
    ) -> Tensor: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> tuple[Tensor, PointStats]: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool, weight: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, PointStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, weight: Tensor | None = None,
    ) -> _Result: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False], weight: Tensor | None = None,
    ) -> Tensor: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> tuple[Tensor, PointStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool, weight: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, PointStats]: ...

class GaussianFocalLoss(torch.nn.Module, Generic[_Result]):
    r"""Focal loss of a heat map (CornerNet, Law and Deng 2018, arXiv:1808.01244; CenterNet), :math:`p = \sigma(x)`:"""
    alpha: float | Tensor
    gamma: float | Tensor
    reduction: Literal["none", "mean", "sum"]
    @overload
    def __init__(
        self: GaussianFocalLoss[Tensor], alpha: float | Tensor = 2.0, gamma: float | Tensor = 4.0,
        reduction: Literal["none", "mean", "sum"] = "mean", *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False] = False,
        weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: GaussianFocalLoss[tuple[Tensor, PointStats]], alpha: float | Tensor = 2.0, gamma: float | Tensor = 4.0,
        reduction: Literal["none", "mean", "sum"] = "mean", *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: GaussianFocalLoss[Tensor | tuple[Tensor, PointStats]], alpha: float | Tensor = 2.0,
        gamma: float | Tensor = 4.0, reduction: Literal["none", "mean", "sum"] = "mean", *,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool = False, weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, weight: Tensor | None = None,
    ) -> _Result: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False], weight: Tensor | None = None,
    ) -> Tensor: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> tuple[Tensor, PointStats]: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool, weight: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, PointStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, weight: Tensor | None = None,
    ) -> _Result: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False], weight: Tensor | None = None,
    ) -> Tensor: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> tuple[Tensor, PointStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool, weight: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, PointStats]: ...

class GaussianNLLLoss(torch.nn.GaussianNLLLoss, Generic[_Result]):
    r"""Gaussian negative log-likelihood, :math:`\ell = \tfrac12 (\log v + (x - y)^2 / v)`, v = max(var, eps)."""
    @overload
    def __init__(
        self: GaussianNLLLoss[Tensor], *, full: bool = False, eps: float | Tensor = 1e-06,
        reduction: Literal["none", "mean", "sum"] = "mean", normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False] = False,
        weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: GaussianNLLLoss[tuple[Tensor, PointStats]], *, full: bool = False, eps: float | Tensor = 1e-06,
        reduction: Literal["none", "mean", "sum"] = "mean", normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: GaussianNLLLoss[Tensor | tuple[Tensor, PointStats]], *, full: bool = False, eps: float | Tensor = 1e-06,
        reduction: Literal["none", "mean", "sum"] = "mean", normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool = False, weight: Tensor | None = None,
    ) -> None: ...
    @overload  # type: ignore[override]
    def forward(
        self, input: Tensor, target: Tensor, var: Tensor | float, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, weight: Tensor | None = None,
    ) -> _Result: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, var: Tensor | float, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False], weight: Tensor | None = None,
    ) -> Tensor: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, var: Tensor | float, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> tuple[Tensor, PointStats]: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, var: Tensor | float, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool, weight: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, PointStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, var: Tensor | float, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, weight: Tensor | None = None,
    ) -> _Result: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, var: Tensor | float, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False], weight: Tensor | None = None,
    ) -> Tensor: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, var: Tensor | float, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> tuple[Tensor, PointStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, var: Tensor | float, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool, weight: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, PointStats]: ...

class HingeEmbeddingLoss(torch.nn.HingeEmbeddingLoss, Generic[_Result]):
    r"""Distances pulled to zero (y = 1: :math:`\ell = x`) or beyond a margin (y = -1: :math:`\max(0, m - x)`)."""
    @overload
    def __init__(
        self: HingeEmbeddingLoss[Tensor], margin: float | Tensor = 1.0, size_average: bool | None = None,
        reduce: bool | None = None, reduction: Literal["none", "mean", "sum"] = "mean", *,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False] = False,
        weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: HingeEmbeddingLoss[tuple[Tensor, PointStats]], margin: float | Tensor = 1.0,
        size_average: bool | None = None, reduce: bool | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean", *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: HingeEmbeddingLoss[Tensor | tuple[Tensor, PointStats]], margin: float | Tensor = 1.0,
        size_average: bool | None = None, reduce: bool | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean", *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool = False, weight: Tensor | None = None,
    ) -> None: ...
    @overload  # type: ignore[override]
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, weight: Tensor | None = None,
    ) -> _Result: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False], weight: Tensor | None = None,
    ) -> Tensor: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> tuple[Tensor, PointStats]: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool, weight: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, PointStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, weight: Tensor | None = None,
    ) -> _Result: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False], weight: Tensor | None = None,
    ) -> Tensor: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> tuple[Tensor, PointStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool, weight: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, PointStats]: ...

class HingeLoss(torch.nn.Module, Generic[_Result]):
    r"""Hinge of a score for a label in {-1, 1} (Cortes and Vapnik 1995), :math:`\ell = \max(0, m - y x)^p`."""
    margin: float | Tensor
    p: int
    reduction: Literal["none", "mean", "sum"]
    @overload
    def __init__(
        self: HingeLoss[Tensor], margin: float | Tensor = 1.0, p: int = 1,
        reduction: Literal["none", "mean", "sum"] = "mean", *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False] = False,
        weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: HingeLoss[tuple[Tensor, PointStats]], margin: float | Tensor = 1.0, p: int = 1,
        reduction: Literal["none", "mean", "sum"] = "mean", *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: HingeLoss[Tensor | tuple[Tensor, PointStats]], margin: float | Tensor = 1.0, p: int = 1,
        reduction: Literal["none", "mean", "sum"] = "mean", *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool = False, weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, weight: Tensor | None = None,
    ) -> _Result: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False], weight: Tensor | None = None,
    ) -> Tensor: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> tuple[Tensor, PointStats]: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool, weight: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, PointStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, weight: Tensor | None = None,
    ) -> _Result: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False], weight: Tensor | None = None,
    ) -> Tensor: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> tuple[Tensor, PointStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool, weight: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, PointStats]: ...

class HuberLoss(torch.nn.HuberLoss, Generic[_Result]):
    r"""Huber loss (Huber 1964), :math:`d = x - y`:"""
    @overload
    def __init__(
        self: HuberLoss[Tensor], reduction: Literal["none", "mean", "sum"] = "mean", delta: float | Tensor = 1.0, *,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False] = False,
        weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: HuberLoss[tuple[Tensor, PointStats]], reduction: Literal["none", "mean", "sum"] = "mean",
        delta: float | Tensor = 1.0, *, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: HuberLoss[Tensor | tuple[Tensor, PointStats]], reduction: Literal["none", "mean", "sum"] = "mean",
        delta: float | Tensor = 1.0, *, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool = False, weight: Tensor | None = None,
    ) -> None: ...
    @overload  # type: ignore[override]
    def forward(
        self, input: Tensor, target: Tensor, *, weight: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None,
    ) -> _Result: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, weight: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False],
    ) -> Tensor: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, weight: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True],
    ) -> tuple[Tensor, PointStats]: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, weight: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool,
    ) -> Tensor | tuple[Tensor, PointStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, weight: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None,
    ) -> _Result: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, weight: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False],
    ) -> Tensor: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, weight: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True],
    ) -> tuple[Tensor, PointStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, weight: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool,
    ) -> Tensor | tuple[Tensor, PointStats]: ...

class KLDivLoss(torch.nn.KLDivLoss, Generic[_Result]):
    r"""Kullback-Leibler divergence from log-probabilities x to a target y, :math:`\ell = y (\log y - x)`."""
    @overload
    def __init__(
        self: KLDivLoss[Tensor], size_average: bool | None = None, reduce: bool | None = None,
        reduction: Literal["none", "mean", "sum", "batchmean"] = "mean", log_target: bool = False, *,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False] = False,
        weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: KLDivLoss[tuple[Tensor, PointStats]], size_average: bool | None = None, reduce: bool | None = None,
        reduction: Literal["none", "mean", "sum", "batchmean"] = "mean", log_target: bool = False, *,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: KLDivLoss[Tensor | tuple[Tensor, PointStats]], size_average: bool | None = None,
        reduce: bool | None = None, reduction: Literal["none", "mean", "sum", "batchmean"] = "mean",
        log_target: bool = False, *, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool = False, weight: Tensor | None = None,
    ) -> None: ...
    @overload  # type: ignore[override]
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, weight: Tensor | None = None,
    ) -> _Result: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False], weight: Tensor | None = None,
    ) -> Tensor: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> tuple[Tensor, PointStats]: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool, weight: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, PointStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, weight: Tensor | None = None,
    ) -> _Result: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False], weight: Tensor | None = None,
    ) -> Tensor: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> tuple[Tensor, PointStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool, weight: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, PointStats]: ...

class L1Loss(torch.nn.L1Loss, Generic[_Result]):
    r"""Absolute error, :math:`\ell = |x - y|`; the gradient at 0 is 0."""
    @overload
    def __init__(
        self: L1Loss[Tensor], size_average: bool | None = None, reduce: bool | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean", *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False] = False,
        weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: L1Loss[tuple[Tensor, PointStats]], size_average: bool | None = None, reduce: bool | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean", *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: L1Loss[Tensor | tuple[Tensor, PointStats]], size_average: bool | None = None, reduce: bool | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean", *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool = False, weight: Tensor | None = None,
    ) -> None: ...
    @overload  # type: ignore[override]
    def forward(
        self, input: Tensor, target: Tensor, *, weight: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None,
    ) -> _Result: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, weight: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False],
    ) -> Tensor: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, weight: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True],
    ) -> tuple[Tensor, PointStats]: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, weight: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool,
    ) -> Tensor | tuple[Tensor, PointStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, weight: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None,
    ) -> _Result: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, weight: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False],
    ) -> Tensor: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, weight: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True],
    ) -> tuple[Tensor, PointStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, weight: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool,
    ) -> Tensor | tuple[Tensor, PointStats]: ...

class LogCoshLoss(torch.nn.Module, Generic[_Result]):
    r"""A smooth absolute error, :math:`\ell = \log \cosh(x - y)`, gradient :math:`\tanh(x - y)`."""
    reduction: Literal["none", "mean", "sum"]
    @overload
    def __init__(
        self: LogCoshLoss[Tensor], reduction: Literal["none", "mean", "sum"] = "mean", *,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False] = False,
        weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: LogCoshLoss[tuple[Tensor, PointStats]], reduction: Literal["none", "mean", "sum"] = "mean", *,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: LogCoshLoss[Tensor | tuple[Tensor, PointStats]], reduction: Literal["none", "mean", "sum"] = "mean", *,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool = False, weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, weight: Tensor | None = None,
    ) -> _Result: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False], weight: Tensor | None = None,
    ) -> Tensor: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> tuple[Tensor, PointStats]: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool, weight: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, PointStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, weight: Tensor | None = None,
    ) -> _Result: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False], weight: Tensor | None = None,
    ) -> Tensor: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> tuple[Tensor, PointStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool, weight: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, PointStats]: ...

class MSELoss(torch.nn.MSELoss, Generic[_Result]):
    r"""Squared error, :math:`\ell = (x - y)^2`."""
    @overload
    def __init__(
        self: MSELoss[Tensor], size_average: bool | None = None, reduce: bool | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean", *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False] = False,
        weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: MSELoss[tuple[Tensor, PointStats]], size_average: bool | None = None, reduce: bool | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean", *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: MSELoss[Tensor | tuple[Tensor, PointStats]], size_average: bool | None = None, reduce: bool | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean", *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool = False, weight: Tensor | None = None,
    ) -> None: ...
    @overload  # type: ignore[override]
    def forward(
        self, input: Tensor, target: Tensor, *, weight: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None,
    ) -> _Result: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, weight: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False],
    ) -> Tensor: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, weight: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True],
    ) -> tuple[Tensor, PointStats]: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, weight: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool,
    ) -> Tensor | tuple[Tensor, PointStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, weight: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None,
    ) -> _Result: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, weight: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False],
    ) -> Tensor: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, weight: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True],
    ) -> tuple[Tensor, PointStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, weight: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool,
    ) -> Tensor | tuple[Tensor, PointStats]: ...

class MarginRankingLoss(torch.nn.MarginRankingLoss, Generic[_Result]):
    r"""Two scores that should be ordered (y = 1: first larger), :math:`\ell = \max(0, m - y (x_1 - x_2))`."""
    @overload
    def __init__(
        self: MarginRankingLoss[Tensor], margin: float | Tensor = 0.0, size_average: bool | None = None,
        reduce: bool | None = None, reduction: Literal["none", "mean", "sum"] = "mean", *,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False] = False,
        weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: MarginRankingLoss[tuple[Tensor, PointStats]], margin: float | Tensor = 0.0,
        size_average: bool | None = None, reduce: bool | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean", *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: MarginRankingLoss[Tensor | tuple[Tensor, PointStats]], margin: float | Tensor = 0.0,
        size_average: bool | None = None, reduce: bool | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean", *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool = False, weight: Tensor | None = None,
    ) -> None: ...
    @overload  # type: ignore[override]
    def forward(
        self, input1: Tensor, input2: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, weight: Tensor | None = None,
    ) -> _Result: ...
    @overload
    def forward(
        self, input1: Tensor, input2: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False], weight: Tensor | None = None,
    ) -> Tensor: ...
    @overload
    def forward(
        self, input1: Tensor, input2: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> tuple[Tensor, PointStats]: ...
    @overload
    def forward(
        self, input1: Tensor, input2: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool, weight: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, PointStats]: ...
    @overload
    def __call__(
        self, input1: Tensor, input2: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, weight: Tensor | None = None,
    ) -> _Result: ...
    @overload
    def __call__(
        self, input1: Tensor, input2: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False], weight: Tensor | None = None,
    ) -> Tensor: ...
    @overload
    def __call__(
        self, input1: Tensor, input2: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> tuple[Tensor, PointStats]: ...
    @overload
    def __call__(
        self, input1: Tensor, input2: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool, weight: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, PointStats]: ...

class PoissonNLLLoss(torch.nn.PoissonNLLLoss, Generic[_Result]):
    r"""Poisson negative log-likelihood of counts, :math:`\ell = e^x - y x` or :math:`x - y \log(x + \epsilon)`."""
    @overload
    def __init__(
        self: PoissonNLLLoss[Tensor], log_input: bool = True, full: bool = False, size_average: bool | None = None,
        eps: float | Tensor = 1e-08, reduce: bool | None = None, reduction: Literal["none", "mean", "sum"] = "mean", *,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False] = False,
        weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: PoissonNLLLoss[tuple[Tensor, PointStats]], log_input: bool = True, full: bool = False,
        size_average: bool | None = None, eps: float | Tensor = 1e-08, reduce: bool | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean", *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: PoissonNLLLoss[Tensor | tuple[Tensor, PointStats]], log_input: bool = True, full: bool = False,
        size_average: bool | None = None, eps: float | Tensor = 1e-08, reduce: bool | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean", *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool = False, weight: Tensor | None = None,
    ) -> None: ...
    @overload  # type: ignore[override]
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, weight: Tensor | None = None,
    ) -> _Result: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False], weight: Tensor | None = None,
    ) -> Tensor: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> tuple[Tensor, PointStats]: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool, weight: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, PointStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, weight: Tensor | None = None,
    ) -> _Result: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False], weight: Tensor | None = None,
    ) -> Tensor: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> tuple[Tensor, PointStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool, weight: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, PointStats]: ...

class QualityFocalLoss(torch.nn.Module, Generic[_Result]):
    r"""Focal loss of a quality y in [0, 1] (Li et al. 2020, arXiv:2006.04388),
    :math:`\ell = |\sigma(x) - y|^\beta\, \mathrm{BCE}(x, y)`."""
    beta: float | Tensor
    reduction: Literal["none", "mean", "sum"]
    @overload
    def __init__(
        self: QualityFocalLoss[Tensor], beta: float | Tensor = 2.0, reduction: Literal["none", "mean", "sum"] = "mean",
        *, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False] = False,
        weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: QualityFocalLoss[tuple[Tensor, PointStats]], beta: float | Tensor = 2.0,
        reduction: Literal["none", "mean", "sum"] = "mean", *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: QualityFocalLoss[Tensor | tuple[Tensor, PointStats]], beta: float | Tensor = 2.0,
        reduction: Literal["none", "mean", "sum"] = "mean", *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool = False, weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, weight: Tensor | None = None,
    ) -> _Result: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False], weight: Tensor | None = None,
    ) -> Tensor: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> tuple[Tensor, PointStats]: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool, weight: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, PointStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, weight: Tensor | None = None,
    ) -> _Result: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False], weight: Tensor | None = None,
    ) -> Tensor: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> tuple[Tensor, PointStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool, weight: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, PointStats]: ...

class QuantileLoss(torch.nn.Module, Generic[_Result]):
    r"""Quantile (pinball) loss (Koenker and Bassett 1978), :math:`\ell = \max(q r, (q - 1) r)`, :math:`r = y - x`."""
    q: float | Tensor
    reduction: Literal["none", "mean", "sum"]
    @overload
    def __init__(
        self: QuantileLoss[Tensor], q: float | Tensor = 0.5, reduction: Literal["none", "mean", "sum"] = "mean", *,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False] = False,
        weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: QuantileLoss[tuple[Tensor, PointStats]], q: float | Tensor = 0.5,
        reduction: Literal["none", "mean", "sum"] = "mean", *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: QuantileLoss[Tensor | tuple[Tensor, PointStats]], q: float | Tensor = 0.5,
        reduction: Literal["none", "mean", "sum"] = "mean", *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool = False, weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, weight: Tensor | None = None,
    ) -> _Result: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False], weight: Tensor | None = None,
    ) -> Tensor: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> tuple[Tensor, PointStats]: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool, weight: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, PointStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, weight: Tensor | None = None,
    ) -> _Result: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False], weight: Tensor | None = None,
    ) -> Tensor: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> tuple[Tensor, PointStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool, weight: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, PointStats]: ...

class RobustLoss(torch.nn.Module, Generic[_Result]):
    r"""General robust loss (Barron 2019, https://arxiv.org/abs/1701.03077) of :math:`r = (x - y) / c`,
    :math:`\ell = \tfrac{b}{\alpha} \left(\left(1 + r^2 / b\right)^{\alpha / 2} - 1\right)`, :math:`b = |\alpha - 2|`."""
    alpha: float | Tensor
    scale: float | Tensor
    reduction: Literal["none", "mean", "sum"]
    @overload
    def __init__(
        self: RobustLoss[Tensor], alpha: float | Tensor = 1.0, scale: float | Tensor = 1.0,
        reduction: Literal["none", "mean", "sum"] = "mean", *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False] = False,
        weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: RobustLoss[tuple[Tensor, PointStats]], alpha: float | Tensor = 1.0, scale: float | Tensor = 1.0,
        reduction: Literal["none", "mean", "sum"] = "mean", *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: RobustLoss[Tensor | tuple[Tensor, PointStats]], alpha: float | Tensor = 1.0, scale: float | Tensor = 1.0,
        reduction: Literal["none", "mean", "sum"] = "mean", *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool = False, weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, weight: Tensor | None = None,
    ) -> _Result: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False], weight: Tensor | None = None,
    ) -> Tensor: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> tuple[Tensor, PointStats]: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool, weight: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, PointStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, weight: Tensor | None = None,
    ) -> _Result: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False], weight: Tensor | None = None,
    ) -> Tensor: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> tuple[Tensor, PointStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool, weight: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, PointStats]: ...

class SigmoidFocalLoss(torch.nn.Module, Generic[_Result]):
    r"""Focal loss of a logit (Lin et al. 2017), :math:`p = \sigma(x)`:"""
    alpha: float | Tensor
    gamma: float | Tensor
    reduction: Literal["none", "mean", "sum"]
    ignore_index: int | None
    label_smoothing: float
    @overload
    def __init__(
        self: SigmoidFocalLoss[Tensor], alpha: float | Tensor = 0.25, gamma: float | Tensor = 2.0,
        reduction: Literal["none", "mean", "sum"] = "mean", ignore_index: int | None = None,
        label_smoothing: float = 0.0, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False] = False,
        weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: SigmoidFocalLoss[tuple[Tensor, PointStats]], alpha: float | Tensor = 0.25, gamma: float | Tensor = 2.0,
        reduction: Literal["none", "mean", "sum"] = "mean", ignore_index: int | None = None,
        label_smoothing: float = 0.0, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: SigmoidFocalLoss[Tensor | tuple[Tensor, PointStats]], alpha: float | Tensor = 0.25,
        gamma: float | Tensor = 2.0, reduction: Literal["none", "mean", "sum"] = "mean",
        ignore_index: int | None = None, label_smoothing: float = 0.0, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool = False, weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def forward(
        self, inputs: Tensor, targets: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, weight: Tensor | None = None,
    ) -> _Result: ...
    @overload
    def forward(
        self, inputs: Tensor, targets: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False], weight: Tensor | None = None,
    ) -> Tensor: ...
    @overload
    def forward(
        self, inputs: Tensor, targets: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> tuple[Tensor, PointStats]: ...
    @overload
    def forward(
        self, inputs: Tensor, targets: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool, weight: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, PointStats]: ...
    @overload
    def __call__(
        self, inputs: Tensor, targets: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, weight: Tensor | None = None,
    ) -> _Result: ...
    @overload
    def __call__(
        self, inputs: Tensor, targets: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False], weight: Tensor | None = None,
    ) -> Tensor: ...
    @overload
    def __call__(
        self, inputs: Tensor, targets: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> tuple[Tensor, PointStats]: ...
    @overload
    def __call__(
        self, inputs: Tensor, targets: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool, weight: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, PointStats]: ...

class SmoothL1Loss(torch.nn.SmoothL1Loss, Generic[_Result]):
    r"""Smooth L1 loss (Girshick 2015), the Huber loss divided by its threshold, :math:`d = x - y`:"""
    @overload
    def __init__(
        self: SmoothL1Loss[Tensor], size_average: bool | None = None, reduce: bool | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean", beta: float | Tensor = 1.0, *,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False] = False,
        weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: SmoothL1Loss[tuple[Tensor, PointStats]], size_average: bool | None = None, reduce: bool | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean", beta: float | Tensor = 1.0, *,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: SmoothL1Loss[Tensor | tuple[Tensor, PointStats]], size_average: bool | None = None,
        reduce: bool | None = None, reduction: Literal["none", "mean", "sum"] = "mean", beta: float | Tensor = 1.0, *,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool = False, weight: Tensor | None = None,
    ) -> None: ...
    @overload  # type: ignore[override]
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, weight: Tensor | None = None,
    ) -> _Result: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False], weight: Tensor | None = None,
    ) -> Tensor: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> tuple[Tensor, PointStats]: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool, weight: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, PointStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, weight: Tensor | None = None,
    ) -> _Result: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False], weight: Tensor | None = None,
    ) -> Tensor: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> tuple[Tensor, PointStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool, weight: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, PointStats]: ...

class SoftMarginLoss(torch.nn.SoftMarginLoss, Generic[_Result]):
    r"""Logistic loss of a score for a label in {-1, 1}, :math:`\ell = \log(1 + e^{-y x})`."""
    @overload
    def __init__(
        self: SoftMarginLoss[Tensor], size_average: bool | None = None, reduce: bool | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean", *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False] = False,
        weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: SoftMarginLoss[tuple[Tensor, PointStats]], size_average: bool | None = None, reduce: bool | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean", *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: SoftMarginLoss[Tensor | tuple[Tensor, PointStats]], size_average: bool | None = None,
        reduce: bool | None = None, reduction: Literal["none", "mean", "sum"] = "mean", *,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool = False, weight: Tensor | None = None,
    ) -> None: ...
    @overload  # type: ignore[override]
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, weight: Tensor | None = None,
    ) -> _Result: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False], weight: Tensor | None = None,
    ) -> Tensor: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> tuple[Tensor, PointStats]: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool, weight: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, PointStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, weight: Tensor | None = None,
    ) -> _Result: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False], weight: Tensor | None = None,
    ) -> Tensor: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> tuple[Tensor, PointStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool, weight: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, PointStats]: ...

class SquaredLogLoss(torch.nn.Module, Generic[_Result]):
    r"""Squared logarithmic error (MSLE), :math:`\ell = (\log(1 + x) - \log(1 + y))^2`: of ratios, not of differences."""
    reduction: Literal["none", "mean", "sum"]
    @overload
    def __init__(
        self: SquaredLogLoss[Tensor], reduction: Literal["none", "mean", "sum"] = "mean", *,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False] = False,
        weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: SquaredLogLoss[tuple[Tensor, PointStats]], reduction: Literal["none", "mean", "sum"] = "mean", *,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: SquaredLogLoss[Tensor | tuple[Tensor, PointStats]], reduction: Literal["none", "mean", "sum"] = "mean", *,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool = False, weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, weight: Tensor | None = None,
    ) -> _Result: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False], weight: Tensor | None = None,
    ) -> Tensor: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> tuple[Tensor, PointStats]: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool, weight: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, PointStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, weight: Tensor | None = None,
    ) -> _Result: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False], weight: Tensor | None = None,
    ) -> Tensor: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> tuple[Tensor, PointStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool, weight: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, PointStats]: ...

class SuperLoss(torch.nn.Module, Generic[_Result]):
    r"""SuperLoss (Castells et al. 2020): losses :math:`\ell` of samples, large ones weighed down and small ones up, as
    in a curriculum."""
    tau: float | Tensor
    lam: float | Tensor
    reduction: Literal["none", "mean", "sum"]
    @overload
    def __init__(
        self: SuperLoss[Tensor], tau: float | Tensor, lam: float | Tensor = 1.0,
        reduction: Literal["none", "mean", "sum"] = "mean", *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False] = False,
        weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: SuperLoss[tuple[Tensor, PointStats]], tau: float | Tensor, lam: float | Tensor = 1.0,
        reduction: Literal["none", "mean", "sum"] = "mean", *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: SuperLoss[Tensor | tuple[Tensor, PointStats]], tau: float | Tensor, lam: float | Tensor = 1.0,
        reduction: Literal["none", "mean", "sum"] = "mean", *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool = False, weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def forward(
        self, input: Tensor, *, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, weight: Tensor | None = None,
    ) -> _Result: ...
    @overload
    def forward(
        self, input: Tensor, *, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False], weight: Tensor | None = None,
    ) -> Tensor: ...
    @overload
    def forward(
        self, input: Tensor, *, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> tuple[Tensor, PointStats]: ...
    @overload
    def forward(
        self, input: Tensor, *, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool, weight: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, PointStats]: ...
    @overload
    def __call__(
        self, input: Tensor, *, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, weight: Tensor | None = None,
    ) -> _Result: ...
    @overload
    def __call__(
        self, input: Tensor, *, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False], weight: Tensor | None = None,
    ) -> Tensor: ...
    @overload
    def __call__(
        self, input: Tensor, *, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> tuple[Tensor, PointStats]: ...
    @overload
    def __call__(
        self, input: Tensor, *, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool, weight: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, PointStats]: ...

class VarifocalLoss(torch.nn.Module, Generic[_Result]):
    r"""Varifocal loss (Zhang et al. 2021, arXiv:2008.13367), :math:`p = \sigma(x)`, of a quality y, 0 for negatives:"""
    alpha: float | Tensor
    gamma: float | Tensor
    reduction: Literal["none", "mean", "sum"]
    @overload
    def __init__(
        self: VarifocalLoss[Tensor], alpha: float | Tensor = 0.75, gamma: float | Tensor = 2.0,
        reduction: Literal["none", "mean", "sum"] = "mean", *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False] = False,
        weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: VarifocalLoss[tuple[Tensor, PointStats]], alpha: float | Tensor = 0.75, gamma: float | Tensor = 2.0,
        reduction: Literal["none", "mean", "sum"] = "mean", *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: VarifocalLoss[Tensor | tuple[Tensor, PointStats]], alpha: float | Tensor = 0.75,
        gamma: float | Tensor = 2.0, reduction: Literal["none", "mean", "sum"] = "mean", *,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool = False, weight: Tensor | None = None,
    ) -> None: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, weight: Tensor | None = None,
    ) -> _Result: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False], weight: Tensor | None = None,
    ) -> Tensor: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> tuple[Tensor, PointStats]: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool, weight: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, PointStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, weight: Tensor | None = None,
    ) -> _Result: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False], weight: Tensor | None = None,
    ) -> Tensor: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
    ) -> tuple[Tensor, PointStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool, weight: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, PointStats]: ...

class DiceCrossEntropyLoss(torch.nn.Module, Generic[_Result]):
    r"""Dice loss and cross entropy of the same logits, in one read:"""
    mode: Literal["softmax", "sigmoid"]
    dice_weight: float | Tensor
    ce_weight: float | Tensor
    label_smoothing: float | Tensor
    weight: Tensor | None
    squared: bool
    reduction: Literal["none", "mean", "sum"]
    @overload
    def __init__(
        self: DiceCrossEntropyLoss[Tensor], mode: Literal["softmax", "sigmoid"] = "softmax",
        dice_weight: float | Tensor = 1.0, ce_weight: float | Tensor = 1.0, label_smoothing: float | Tensor = 0.0,
        weight: Tensor | None = None, squared: bool = False, reduction: Literal["none", "mean", "sum"] = "mean", *,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, batch: bool = False, include_background: bool = True,
        ignore_index: int | None = None, mask: Tensor | None = None, return_stats: Literal[False] = False,
        absent: Literal["keep", "zero", "skip"] = "keep", average: Literal["macro", "micro"] = "macro",
        class_mean: Literal["count", "weighted"] = "count", smooth_nr: float | Tensor = 1e-05,
        smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> None: ...
    @overload
    def __init__(
        self: DiceCrossEntropyLoss[tuple[Tensor, RegionStats]], mode: Literal["softmax", "sigmoid"] = "softmax",
        dice_weight: float | Tensor = 1.0, ce_weight: float | Tensor = 1.0, label_smoothing: float | Tensor = 0.0,
        weight: Tensor | None = None, squared: bool = False, reduction: Literal["none", "mean", "sum"] = "mean", *,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, batch: bool = False, include_background: bool = True,
        ignore_index: int | None = None, mask: Tensor | None = None, return_stats: Literal[True],
        absent: Literal["keep", "zero", "skip"] = "keep", average: Literal["macro", "micro"] = "macro",
        class_mean: Literal["count", "weighted"] = "count", smooth_nr: float | Tensor = 1e-05,
        smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> None: ...
    @overload
    def __init__(
        self: DiceCrossEntropyLoss[Tensor | tuple[Tensor, RegionStats]],
        mode: Literal["softmax", "sigmoid"] = "softmax", dice_weight: float | Tensor = 1.0,
        ce_weight: float | Tensor = 1.0, label_smoothing: float | Tensor = 0.0, weight: Tensor | None = None,
        squared: bool = False, reduction: Literal["none", "mean", "sum"] = "mean", *,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, batch: bool = False, include_background: bool = True,
        ignore_index: int | None = None, mask: Tensor | None = None, return_stats: bool = False,
        absent: Literal["keep", "zero", "skip"] = "keep", average: Literal["macro", "micro"] = "macro",
        class_mean: Literal["count", "weighted"] = "count", smooth_nr: float | Tensor = 1e-05,
        smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> None: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        absent: Literal["keep", "zero", "skip"] = "keep", average: Literal["macro", "micro"] = "macro",
        class_mean: Literal["count", "weighted"] = "count", smooth_nr: float | Tensor = 1e-05,
        smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> _Result: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        return_stats: Literal[False], absent: Literal["keep", "zero", "skip"] = "keep",
        average: Literal["macro", "micro"] = "macro", class_mean: Literal["count", "weighted"] = "count",
        smooth_nr: float | Tensor = 1e-05, smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> Tensor: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        return_stats: Literal[True], absent: Literal["keep", "zero", "skip"] = "keep",
        average: Literal["macro", "micro"] = "macro", class_mean: Literal["count", "weighted"] = "count",
        smooth_nr: float | Tensor = 1e-05, smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> tuple[Tensor, RegionStats]: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        return_stats: bool, absent: Literal["keep", "zero", "skip"] = "keep",
        average: Literal["macro", "micro"] = "macro", class_mean: Literal["count", "weighted"] = "count",
        smooth_nr: float | Tensor = 1e-05, smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> Tensor | tuple[Tensor, RegionStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        absent: Literal["keep", "zero", "skip"] = "keep", average: Literal["macro", "micro"] = "macro",
        class_mean: Literal["count", "weighted"] = "count", smooth_nr: float | Tensor = 1e-05,
        smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> _Result: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        return_stats: Literal[False], absent: Literal["keep", "zero", "skip"] = "keep",
        average: Literal["macro", "micro"] = "macro", class_mean: Literal["count", "weighted"] = "count",
        smooth_nr: float | Tensor = 1e-05, smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> Tensor: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        return_stats: Literal[True], absent: Literal["keep", "zero", "skip"] = "keep",
        average: Literal["macro", "micro"] = "macro", class_mean: Literal["count", "weighted"] = "count",
        smooth_nr: float | Tensor = 1e-05, smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> tuple[Tensor, RegionStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        return_stats: bool, absent: Literal["keep", "zero", "skip"] = "keep",
        average: Literal["macro", "micro"] = "macro", class_mean: Literal["count", "weighted"] = "count",
        smooth_nr: float | Tensor = 1e-05, smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> Tensor | tuple[Tensor, RegionStats]: ...

class DiceFocalLoss(torch.nn.Module, Generic[_Result]):
    r"""Dice loss and focal loss (Lin et al. 2017) of the same logits:"""
    mode: Literal["softmax", "sigmoid"]
    dice_weight: float | Tensor
    focal_weight: float | Tensor
    gamma: float | Tensor
    focal: Literal["softmax", "sigmoid"]
    weight: Tensor | None
    squared: bool
    reduction: Literal["none", "mean", "sum"]
    @overload
    def __init__(
        self: DiceFocalLoss[Tensor], mode: Literal["softmax", "sigmoid"] = "softmax", dice_weight: float | Tensor = 1.0,
        focal_weight: float | Tensor = 1.0, gamma: float | Tensor = 2.0,
        focal: Literal["softmax", "sigmoid"] = "softmax", weight: Tensor | None = None, squared: bool = False,
        reduction: Literal["none", "mean", "sum"] = "mean", *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        return_stats: Literal[False] = False, absent: Literal["keep", "zero", "skip"] = "keep",
        average: Literal["macro", "micro"] = "macro", class_mean: Literal["count", "weighted"] = "count",
        smooth_nr: float | Tensor = 1e-05, smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> None: ...
    @overload
    def __init__(
        self: DiceFocalLoss[tuple[Tensor, RegionStats]], mode: Literal["softmax", "sigmoid"] = "softmax",
        dice_weight: float | Tensor = 1.0, focal_weight: float | Tensor = 1.0, gamma: float | Tensor = 2.0,
        focal: Literal["softmax", "sigmoid"] = "softmax", weight: Tensor | None = None, squared: bool = False,
        reduction: Literal["none", "mean", "sum"] = "mean", *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        return_stats: Literal[True], absent: Literal["keep", "zero", "skip"] = "keep",
        average: Literal["macro", "micro"] = "macro", class_mean: Literal["count", "weighted"] = "count",
        smooth_nr: float | Tensor = 1e-05, smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> None: ...
    @overload
    def __init__(
        self: DiceFocalLoss[Tensor | tuple[Tensor, RegionStats]], mode: Literal["softmax", "sigmoid"] = "softmax",
        dice_weight: float | Tensor = 1.0, focal_weight: float | Tensor = 1.0, gamma: float | Tensor = 2.0,
        focal: Literal["softmax", "sigmoid"] = "softmax", weight: Tensor | None = None, squared: bool = False,
        reduction: Literal["none", "mean", "sum"] = "mean", *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        return_stats: bool = False, absent: Literal["keep", "zero", "skip"] = "keep",
        average: Literal["macro", "micro"] = "macro", class_mean: Literal["count", "weighted"] = "count",
        smooth_nr: float | Tensor = 1e-05, smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> None: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        absent: Literal["keep", "zero", "skip"] = "keep", average: Literal["macro", "micro"] = "macro",
        class_mean: Literal["count", "weighted"] = "count", smooth_nr: float | Tensor = 1e-05,
        smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> _Result: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        return_stats: Literal[False], absent: Literal["keep", "zero", "skip"] = "keep",
        average: Literal["macro", "micro"] = "macro", class_mean: Literal["count", "weighted"] = "count",
        smooth_nr: float | Tensor = 1e-05, smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> Tensor: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        return_stats: Literal[True], absent: Literal["keep", "zero", "skip"] = "keep",
        average: Literal["macro", "micro"] = "macro", class_mean: Literal["count", "weighted"] = "count",
        smooth_nr: float | Tensor = 1e-05, smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> tuple[Tensor, RegionStats]: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        return_stats: bool, absent: Literal["keep", "zero", "skip"] = "keep",
        average: Literal["macro", "micro"] = "macro", class_mean: Literal["count", "weighted"] = "count",
        smooth_nr: float | Tensor = 1e-05, smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> Tensor | tuple[Tensor, RegionStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        absent: Literal["keep", "zero", "skip"] = "keep", average: Literal["macro", "micro"] = "macro",
        class_mean: Literal["count", "weighted"] = "count", smooth_nr: float | Tensor = 1e-05,
        smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> _Result: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        return_stats: Literal[False], absent: Literal["keep", "zero", "skip"] = "keep",
        average: Literal["macro", "micro"] = "macro", class_mean: Literal["count", "weighted"] = "count",
        smooth_nr: float | Tensor = 1e-05, smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> Tensor: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        return_stats: Literal[True], absent: Literal["keep", "zero", "skip"] = "keep",
        average: Literal["macro", "micro"] = "macro", class_mean: Literal["count", "weighted"] = "count",
        smooth_nr: float | Tensor = 1e-05, smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> tuple[Tensor, RegionStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        return_stats: bool, absent: Literal["keep", "zero", "skip"] = "keep",
        average: Literal["macro", "micro"] = "macro", class_mean: Literal["count", "weighted"] = "count",
        smooth_nr: float | Tensor = 1e-05, smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> Tensor | tuple[Tensor, RegionStats]: ...

class DiceLoss(torch.nn.Module, Generic[_Result]):
    r"""One minus the soft Dice index of each class (Milletari et al. 2016), from logits:"""
    mode: Literal["softmax", "sigmoid", "probabilities"]
    weight: Tensor | None
    squared: bool
    reduction: Literal["none", "mean", "sum"]
    @overload
    def __init__(
        self: DiceLoss[Tensor], mode: Literal["softmax", "sigmoid", "probabilities"] = "softmax",
        weight: Tensor | None = None, squared: bool = False, reduction: Literal["none", "mean", "sum"] = "mean", *,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, batch: bool = False, include_background: bool = True,
        ignore_index: int | None = None, mask: Tensor | None = None, return_stats: Literal[False] = False,
        absent: Literal["keep", "zero", "skip"] = "keep", average: Literal["macro", "micro"] = "macro",
        class_mean: Literal["count", "weighted"] = "count", smooth_nr: float | Tensor = 1e-05,
        smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> None: ...
    @overload
    def __init__(
        self: DiceLoss[tuple[Tensor, RegionStats]], mode: Literal["softmax", "sigmoid", "probabilities"] = "softmax",
        weight: Tensor | None = None, squared: bool = False, reduction: Literal["none", "mean", "sum"] = "mean", *,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, batch: bool = False, include_background: bool = True,
        ignore_index: int | None = None, mask: Tensor | None = None, return_stats: Literal[True],
        absent: Literal["keep", "zero", "skip"] = "keep", average: Literal["macro", "micro"] = "macro",
        class_mean: Literal["count", "weighted"] = "count", smooth_nr: float | Tensor = 1e-05,
        smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> None: ...
    @overload
    def __init__(
        self: DiceLoss[Tensor | tuple[Tensor, RegionStats]],
        mode: Literal["softmax", "sigmoid", "probabilities"] = "softmax", weight: Tensor | None = None,
        squared: bool = False, reduction: Literal["none", "mean", "sum"] = "mean", *,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, batch: bool = False, include_background: bool = True,
        ignore_index: int | None = None, mask: Tensor | None = None, return_stats: bool = False,
        absent: Literal["keep", "zero", "skip"] = "keep", average: Literal["macro", "micro"] = "macro",
        class_mean: Literal["count", "weighted"] = "count", smooth_nr: float | Tensor = 1e-05,
        smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> None: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        absent: Literal["keep", "zero", "skip"] = "keep", average: Literal["macro", "micro"] = "macro",
        class_mean: Literal["count", "weighted"] = "count", smooth_nr: float | Tensor = 1e-05,
        smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> _Result: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        return_stats: Literal[False], absent: Literal["keep", "zero", "skip"] = "keep",
        average: Literal["macro", "micro"] = "macro", class_mean: Literal["count", "weighted"] = "count",
        smooth_nr: float | Tensor = 1e-05, smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> Tensor: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        return_stats: Literal[True], absent: Literal["keep", "zero", "skip"] = "keep",
        average: Literal["macro", "micro"] = "macro", class_mean: Literal["count", "weighted"] = "count",
        smooth_nr: float | Tensor = 1e-05, smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> tuple[Tensor, RegionStats]: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        return_stats: bool, absent: Literal["keep", "zero", "skip"] = "keep",
        average: Literal["macro", "micro"] = "macro", class_mean: Literal["count", "weighted"] = "count",
        smooth_nr: float | Tensor = 1e-05, smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> Tensor | tuple[Tensor, RegionStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        absent: Literal["keep", "zero", "skip"] = "keep", average: Literal["macro", "micro"] = "macro",
        class_mean: Literal["count", "weighted"] = "count", smooth_nr: float | Tensor = 1e-05,
        smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> _Result: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        return_stats: Literal[False], absent: Literal["keep", "zero", "skip"] = "keep",
        average: Literal["macro", "micro"] = "macro", class_mean: Literal["count", "weighted"] = "count",
        smooth_nr: float | Tensor = 1e-05, smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> Tensor: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        return_stats: Literal[True], absent: Literal["keep", "zero", "skip"] = "keep",
        average: Literal["macro", "micro"] = "macro", class_mean: Literal["count", "weighted"] = "count",
        smooth_nr: float | Tensor = 1e-05, smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> tuple[Tensor, RegionStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        return_stats: bool, absent: Literal["keep", "zero", "skip"] = "keep",
        average: Literal["macro", "micro"] = "macro", class_mean: Literal["count", "weighted"] = "count",
        smooth_nr: float | Tensor = 1e-05, smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> Tensor | tuple[Tensor, RegionStats]: ...

class FocalTverskyLoss(torch.nn.Module, Generic[_Result]):
    r"""One minus the Tversky index of each class, to a power (Abraham and Khan 2019), from logits:"""
    alpha: float | Tensor
    beta: float | Tensor
    gamma: float | Tensor
    mode: Literal["softmax", "sigmoid", "probabilities"]
    weight: Tensor | None
    reduction: Literal["none", "mean", "sum"]
    @overload
    def __init__(
        self: FocalTverskyLoss[Tensor], alpha: float | Tensor = 0.3, beta: float | Tensor = 0.7,
        gamma: float | Tensor = 0.75, mode: Literal["softmax", "sigmoid", "probabilities"] = "softmax",
        weight: Tensor | None = None, reduction: Literal["none", "mean", "sum"] = "mean", *,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, batch: bool = False, include_background: bool = True,
        ignore_index: int | None = None, mask: Tensor | None = None, return_stats: Literal[False] = False,
        absent: Literal["keep", "zero", "skip"] = "keep", average: Literal["macro", "micro"] = "macro",
        class_mean: Literal["count", "weighted"] = "count", smooth_nr: float | Tensor = 1e-05,
        smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> None: ...
    @overload
    def __init__(
        self: FocalTverskyLoss[tuple[Tensor, RegionStats]], alpha: float | Tensor = 0.3, beta: float | Tensor = 0.7,
        gamma: float | Tensor = 0.75, mode: Literal["softmax", "sigmoid", "probabilities"] = "softmax",
        weight: Tensor | None = None, reduction: Literal["none", "mean", "sum"] = "mean", *,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, batch: bool = False, include_background: bool = True,
        ignore_index: int | None = None, mask: Tensor | None = None, return_stats: Literal[True],
        absent: Literal["keep", "zero", "skip"] = "keep", average: Literal["macro", "micro"] = "macro",
        class_mean: Literal["count", "weighted"] = "count", smooth_nr: float | Tensor = 1e-05,
        smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> None: ...
    @overload
    def __init__(
        self: FocalTverskyLoss[Tensor | tuple[Tensor, RegionStats]], alpha: float | Tensor = 0.3,
        beta: float | Tensor = 0.7, gamma: float | Tensor = 0.75,
        mode: Literal["softmax", "sigmoid", "probabilities"] = "softmax", weight: Tensor | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean", *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        return_stats: bool = False, absent: Literal["keep", "zero", "skip"] = "keep",
        average: Literal["macro", "micro"] = "macro", class_mean: Literal["count", "weighted"] = "count",
        smooth_nr: float | Tensor = 1e-05, smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> None: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        absent: Literal["keep", "zero", "skip"] = "keep", average: Literal["macro", "micro"] = "macro",
        class_mean: Literal["count", "weighted"] = "count", smooth_nr: float | Tensor = 1e-05,
        smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> _Result: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        return_stats: Literal[False], absent: Literal["keep", "zero", "skip"] = "keep",
        average: Literal["macro", "micro"] = "macro", class_mean: Literal["count", "weighted"] = "count",
        smooth_nr: float | Tensor = 1e-05, smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> Tensor: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        return_stats: Literal[True], absent: Literal["keep", "zero", "skip"] = "keep",
        average: Literal["macro", "micro"] = "macro", class_mean: Literal["count", "weighted"] = "count",
        smooth_nr: float | Tensor = 1e-05, smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> tuple[Tensor, RegionStats]: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        return_stats: bool, absent: Literal["keep", "zero", "skip"] = "keep",
        average: Literal["macro", "micro"] = "macro", class_mean: Literal["count", "weighted"] = "count",
        smooth_nr: float | Tensor = 1e-05, smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> Tensor | tuple[Tensor, RegionStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        absent: Literal["keep", "zero", "skip"] = "keep", average: Literal["macro", "micro"] = "macro",
        class_mean: Literal["count", "weighted"] = "count", smooth_nr: float | Tensor = 1e-05,
        smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> _Result: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        return_stats: Literal[False], absent: Literal["keep", "zero", "skip"] = "keep",
        average: Literal["macro", "micro"] = "macro", class_mean: Literal["count", "weighted"] = "count",
        smooth_nr: float | Tensor = 1e-05, smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> Tensor: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        return_stats: Literal[True], absent: Literal["keep", "zero", "skip"] = "keep",
        average: Literal["macro", "micro"] = "macro", class_mean: Literal["count", "weighted"] = "count",
        smooth_nr: float | Tensor = 1e-05, smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> tuple[Tensor, RegionStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        return_stats: bool, absent: Literal["keep", "zero", "skip"] = "keep",
        average: Literal["macro", "micro"] = "macro", class_mean: Literal["count", "weighted"] = "count",
        smooth_nr: float | Tensor = 1e-05, smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> Tensor | tuple[Tensor, RegionStats]: ...

class GeneralizedDiceLoss(torch.nn.Module, Generic[_Result]):
    r"""The generalized Dice loss of each sample, in which rare classes weigh as much as others (Sudre et al. 2017):"""
    mode: Literal["softmax", "sigmoid", "probabilities"]
    weighting: Literal["square", "simple", "uniform"]
    weight: Tensor | None
    smooth_nr: float | Tensor
    smooth_dr: float | Tensor
    reduction: Literal["none", "mean", "sum"]
    @overload
    def __init__(
        self: GeneralizedDiceLoss[Tensor], mode: Literal["softmax", "sigmoid", "probabilities"] = "softmax",
        weighting: Literal["square", "simple", "uniform"] = "square", weight: Tensor | None = None,
        smooth_nr: float | Tensor = 1e-05, smooth_dr: float | Tensor = 1e-05,
        reduction: Literal["none", "mean", "sum"] = "mean", *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        return_stats: Literal[False] = False,
    ) -> None: ...
    @overload
    def __init__(
        self: GeneralizedDiceLoss[tuple[Tensor, RegionStats]],
        mode: Literal["softmax", "sigmoid", "probabilities"] = "softmax",
        weighting: Literal["square", "simple", "uniform"] = "square", weight: Tensor | None = None,
        smooth_nr: float | Tensor = 1e-05, smooth_dr: float | Tensor = 1e-05,
        reduction: Literal["none", "mean", "sum"] = "mean", *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        return_stats: Literal[True],
    ) -> None: ...
    @overload
    def __init__(
        self: GeneralizedDiceLoss[Tensor | tuple[Tensor, RegionStats]],
        mode: Literal["softmax", "sigmoid", "probabilities"] = "softmax",
        weighting: Literal["square", "simple", "uniform"] = "square", weight: Tensor | None = None,
        smooth_nr: float | Tensor = 1e-05, smooth_dr: float | Tensor = 1e-05,
        reduction: Literal["none", "mean", "sum"] = "mean", *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        return_stats: bool = False,
    ) -> None: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
    ) -> _Result: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        return_stats: Literal[False],
    ) -> Tensor: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        return_stats: Literal[True],
    ) -> tuple[Tensor, RegionStats]: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None, return_stats: bool,
    ) -> Tensor | tuple[Tensor, RegionStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
    ) -> _Result: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        return_stats: Literal[False],
    ) -> Tensor: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        return_stats: Literal[True],
    ) -> tuple[Tensor, RegionStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None, return_stats: bool,
    ) -> Tensor | tuple[Tensor, RegionStats]: ...

class JaccardLoss(torch.nn.Module, Generic[_Result]):
    r"""One minus the soft Jaccard index (intersection over union) of each class, from logits:"""
    mode: Literal["softmax", "sigmoid", "probabilities"]
    weight: Tensor | None
    squared: bool
    reduction: Literal["none", "mean", "sum"]
    @overload
    def __init__(
        self: JaccardLoss[Tensor], mode: Literal["softmax", "sigmoid", "probabilities"] = "softmax",
        weight: Tensor | None = None, squared: bool = False, reduction: Literal["none", "mean", "sum"] = "mean", *,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, batch: bool = False, include_background: bool = True,
        ignore_index: int | None = None, mask: Tensor | None = None, return_stats: Literal[False] = False,
        absent: Literal["keep", "zero", "skip"] = "keep", average: Literal["macro", "micro"] = "macro",
        class_mean: Literal["count", "weighted"] = "count", smooth_nr: float | Tensor = 1e-05,
        smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> None: ...
    @overload
    def __init__(
        self: JaccardLoss[tuple[Tensor, RegionStats]], mode: Literal["softmax", "sigmoid", "probabilities"] = "softmax",
        weight: Tensor | None = None, squared: bool = False, reduction: Literal["none", "mean", "sum"] = "mean", *,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, batch: bool = False, include_background: bool = True,
        ignore_index: int | None = None, mask: Tensor | None = None, return_stats: Literal[True],
        absent: Literal["keep", "zero", "skip"] = "keep", average: Literal["macro", "micro"] = "macro",
        class_mean: Literal["count", "weighted"] = "count", smooth_nr: float | Tensor = 1e-05,
        smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> None: ...
    @overload
    def __init__(
        self: JaccardLoss[Tensor | tuple[Tensor, RegionStats]],
        mode: Literal["softmax", "sigmoid", "probabilities"] = "softmax", weight: Tensor | None = None,
        squared: bool = False, reduction: Literal["none", "mean", "sum"] = "mean", *,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, batch: bool = False, include_background: bool = True,
        ignore_index: int | None = None, mask: Tensor | None = None, return_stats: bool = False,
        absent: Literal["keep", "zero", "skip"] = "keep", average: Literal["macro", "micro"] = "macro",
        class_mean: Literal["count", "weighted"] = "count", smooth_nr: float | Tensor = 1e-05,
        smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> None: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        absent: Literal["keep", "zero", "skip"] = "keep", average: Literal["macro", "micro"] = "macro",
        class_mean: Literal["count", "weighted"] = "count", smooth_nr: float | Tensor = 1e-05,
        smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> _Result: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        return_stats: Literal[False], absent: Literal["keep", "zero", "skip"] = "keep",
        average: Literal["macro", "micro"] = "macro", class_mean: Literal["count", "weighted"] = "count",
        smooth_nr: float | Tensor = 1e-05, smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> Tensor: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        return_stats: Literal[True], absent: Literal["keep", "zero", "skip"] = "keep",
        average: Literal["macro", "micro"] = "macro", class_mean: Literal["count", "weighted"] = "count",
        smooth_nr: float | Tensor = 1e-05, smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> tuple[Tensor, RegionStats]: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        return_stats: bool, absent: Literal["keep", "zero", "skip"] = "keep",
        average: Literal["macro", "micro"] = "macro", class_mean: Literal["count", "weighted"] = "count",
        smooth_nr: float | Tensor = 1e-05, smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> Tensor | tuple[Tensor, RegionStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        absent: Literal["keep", "zero", "skip"] = "keep", average: Literal["macro", "micro"] = "macro",
        class_mean: Literal["count", "weighted"] = "count", smooth_nr: float | Tensor = 1e-05,
        smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> _Result: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        return_stats: Literal[False], absent: Literal["keep", "zero", "skip"] = "keep",
        average: Literal["macro", "micro"] = "macro", class_mean: Literal["count", "weighted"] = "count",
        smooth_nr: float | Tensor = 1e-05, smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> Tensor: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        return_stats: Literal[True], absent: Literal["keep", "zero", "skip"] = "keep",
        average: Literal["macro", "micro"] = "macro", class_mean: Literal["count", "weighted"] = "count",
        smooth_nr: float | Tensor = 1e-05, smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> tuple[Tensor, RegionStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        return_stats: bool, absent: Literal["keep", "zero", "skip"] = "keep",
        average: Literal["macro", "micro"] = "macro", class_mean: Literal["count", "weighted"] = "count",
        smooth_nr: float | Tensor = 1e-05, smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> Tensor | tuple[Tensor, RegionStats]: ...

class LovaszHingeLoss(torch.nn.Module):
    r"""The Lovász extension of the Jaccard loss, at the hinge losses :math:`1 - (2 t - 1) x` of each channel's logits
    (Berman et al. 2018)."""
    weight: Tensor | None
    reduction: Literal["none", "mean", "sum"]
    def __init__(
        self, weight: Tensor | None = None, reduction: Literal["none", "mean", "sum"] = "mean", *,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, batch: bool = False, include_background: bool = True,
        ignore_index: int | None = None, mask: Tensor | None = None, absent: Literal["keep", "zero", "skip"] = "keep",
        class_mean: Literal["count", "weighted"] = "count",
    ) -> None: ...
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        absent: Literal["keep", "zero", "skip"] = "keep", class_mean: Literal["count", "weighted"] = "count",
    ) -> Tensor: ...
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        absent: Literal["keep", "zero", "skip"] = "keep", class_mean: Literal["count", "weighted"] = "count",
    ) -> Tensor: ...

class LovaszSoftmaxLoss(torch.nn.Module):
    r"""The Lovász extension of the Jaccard loss, at the errors :math:`|t - p|` of each class (Berman et al. 2018)."""
    mode: Literal["softmax", "sigmoid", "probabilities"]
    weight: Tensor | None
    reduction: Literal["none", "mean", "sum"]
    def __init__(
        self, mode: Literal["softmax", "sigmoid", "probabilities"] = "softmax", weight: Tensor | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean", *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        absent: Literal["keep", "zero", "skip"] = "keep", class_mean: Literal["count", "weighted"] = "count",
    ) -> None: ...
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        absent: Literal["keep", "zero", "skip"] = "keep", class_mean: Literal["count", "weighted"] = "count",
    ) -> Tensor: ...
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        absent: Literal["keep", "zero", "skip"] = "keep", class_mean: Literal["count", "weighted"] = "count",
    ) -> Tensor: ...

class MCCLoss(torch.nn.Module, Generic[_Result]):
    r"""One minus Matthews' correlation coefficient of each class against the rest (Abhishek and Hamarneh 2021):"""
    mode: Literal["softmax", "sigmoid", "probabilities"]
    eps: float | Tensor
    weight: Tensor | None
    reduction: Literal["none", "mean", "sum"]
    @overload
    def __init__(
        self: MCCLoss[Tensor], mode: Literal["softmax", "sigmoid", "probabilities"] = "softmax",
        eps: float | Tensor = 1e-05, weight: Tensor | None = None, reduction: Literal["none", "mean", "sum"] = "mean",
        *, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, batch: bool = False, include_background: bool = True,
        ignore_index: int | None = None, mask: Tensor | None = None, return_stats: Literal[False] = False,
        absent: Literal["keep", "zero", "skip"] = "keep", average: Literal["macro", "micro"] = "macro",
        class_mean: Literal["count", "weighted"] = "count",
    ) -> None: ...
    @overload
    def __init__(
        self: MCCLoss[tuple[Tensor, RegionStats]], mode: Literal["softmax", "sigmoid", "probabilities"] = "softmax",
        eps: float | Tensor = 1e-05, weight: Tensor | None = None, reduction: Literal["none", "mean", "sum"] = "mean",
        *, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, batch: bool = False, include_background: bool = True,
        ignore_index: int | None = None, mask: Tensor | None = None, return_stats: Literal[True],
        absent: Literal["keep", "zero", "skip"] = "keep", average: Literal["macro", "micro"] = "macro",
        class_mean: Literal["count", "weighted"] = "count",
    ) -> None: ...
    @overload
    def __init__(
        self: MCCLoss[Tensor | tuple[Tensor, RegionStats]],
        mode: Literal["softmax", "sigmoid", "probabilities"] = "softmax", eps: float | Tensor = 1e-05,
        weight: Tensor | None = None, reduction: Literal["none", "mean", "sum"] = "mean", *,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, batch: bool = False, include_background: bool = True,
        ignore_index: int | None = None, mask: Tensor | None = None, return_stats: bool = False,
        absent: Literal["keep", "zero", "skip"] = "keep", average: Literal["macro", "micro"] = "macro",
        class_mean: Literal["count", "weighted"] = "count",
    ) -> None: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        absent: Literal["keep", "zero", "skip"] = "keep", average: Literal["macro", "micro"] = "macro",
        class_mean: Literal["count", "weighted"] = "count",
    ) -> _Result: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        return_stats: Literal[False], absent: Literal["keep", "zero", "skip"] = "keep",
        average: Literal["macro", "micro"] = "macro", class_mean: Literal["count", "weighted"] = "count",
    ) -> Tensor: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        return_stats: Literal[True], absent: Literal["keep", "zero", "skip"] = "keep",
        average: Literal["macro", "micro"] = "macro", class_mean: Literal["count", "weighted"] = "count",
    ) -> tuple[Tensor, RegionStats]: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        return_stats: bool, absent: Literal["keep", "zero", "skip"] = "keep",
        average: Literal["macro", "micro"] = "macro", class_mean: Literal["count", "weighted"] = "count",
    ) -> Tensor | tuple[Tensor, RegionStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        absent: Literal["keep", "zero", "skip"] = "keep", average: Literal["macro", "micro"] = "macro",
        class_mean: Literal["count", "weighted"] = "count",
    ) -> _Result: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        return_stats: Literal[False], absent: Literal["keep", "zero", "skip"] = "keep",
        average: Literal["macro", "micro"] = "macro", class_mean: Literal["count", "weighted"] = "count",
    ) -> Tensor: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        return_stats: Literal[True], absent: Literal["keep", "zero", "skip"] = "keep",
        average: Literal["macro", "micro"] = "macro", class_mean: Literal["count", "weighted"] = "count",
    ) -> tuple[Tensor, RegionStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        return_stats: bool, absent: Literal["keep", "zero", "skip"] = "keep",
        average: Literal["macro", "micro"] = "macro", class_mean: Literal["count", "weighted"] = "count",
    ) -> Tensor | tuple[Tensor, RegionStats]: ...

class TverskyCrossEntropyLoss(torch.nn.Module, Generic[_Result]):
    r"""Tversky loss and cross entropy of the same logits, in one read:"""
    alpha: float | Tensor
    beta: float | Tensor
    mode: Literal["softmax", "sigmoid"]
    tversky_weight: float | Tensor
    ce_weight: float | Tensor
    label_smoothing: float | Tensor
    weight: Tensor | None
    reduction: Literal["none", "mean", "sum"]
    @overload
    def __init__(
        self: TverskyCrossEntropyLoss[Tensor], alpha: float | Tensor = 0.3, beta: float | Tensor = 0.7,
        mode: Literal["softmax", "sigmoid"] = "softmax", tversky_weight: float | Tensor = 1.0,
        ce_weight: float | Tensor = 1.0, label_smoothing: float | Tensor = 0.0, weight: Tensor | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean", *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        return_stats: Literal[False] = False, absent: Literal["keep", "zero", "skip"] = "keep",
        average: Literal["macro", "micro"] = "macro", class_mean: Literal["count", "weighted"] = "count",
        smooth_nr: float | Tensor = 1e-05, smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> None: ...
    @overload
    def __init__(
        self: TverskyCrossEntropyLoss[tuple[Tensor, RegionStats]], alpha: float | Tensor = 0.3,
        beta: float | Tensor = 0.7, mode: Literal["softmax", "sigmoid"] = "softmax",
        tversky_weight: float | Tensor = 1.0, ce_weight: float | Tensor = 1.0, label_smoothing: float | Tensor = 0.0,
        weight: Tensor | None = None, reduction: Literal["none", "mean", "sum"] = "mean", *,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, batch: bool = False, include_background: bool = True,
        ignore_index: int | None = None, mask: Tensor | None = None, return_stats: Literal[True],
        absent: Literal["keep", "zero", "skip"] = "keep", average: Literal["macro", "micro"] = "macro",
        class_mean: Literal["count", "weighted"] = "count", smooth_nr: float | Tensor = 1e-05,
        smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> None: ...
    @overload
    def __init__(
        self: TverskyCrossEntropyLoss[Tensor | tuple[Tensor, RegionStats]], alpha: float | Tensor = 0.3,
        beta: float | Tensor = 0.7, mode: Literal["softmax", "sigmoid"] = "softmax",
        tversky_weight: float | Tensor = 1.0, ce_weight: float | Tensor = 1.0, label_smoothing: float | Tensor = 0.0,
        weight: Tensor | None = None, reduction: Literal["none", "mean", "sum"] = "mean", *,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, batch: bool = False, include_background: bool = True,
        ignore_index: int | None = None, mask: Tensor | None = None, return_stats: bool = False,
        absent: Literal["keep", "zero", "skip"] = "keep", average: Literal["macro", "micro"] = "macro",
        class_mean: Literal["count", "weighted"] = "count", smooth_nr: float | Tensor = 1e-05,
        smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> None: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        absent: Literal["keep", "zero", "skip"] = "keep", average: Literal["macro", "micro"] = "macro",
        class_mean: Literal["count", "weighted"] = "count", smooth_nr: float | Tensor = 1e-05,
        smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> _Result: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        return_stats: Literal[False], absent: Literal["keep", "zero", "skip"] = "keep",
        average: Literal["macro", "micro"] = "macro", class_mean: Literal["count", "weighted"] = "count",
        smooth_nr: float | Tensor = 1e-05, smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> Tensor: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        return_stats: Literal[True], absent: Literal["keep", "zero", "skip"] = "keep",
        average: Literal["macro", "micro"] = "macro", class_mean: Literal["count", "weighted"] = "count",
        smooth_nr: float | Tensor = 1e-05, smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> tuple[Tensor, RegionStats]: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        return_stats: bool, absent: Literal["keep", "zero", "skip"] = "keep",
        average: Literal["macro", "micro"] = "macro", class_mean: Literal["count", "weighted"] = "count",
        smooth_nr: float | Tensor = 1e-05, smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> Tensor | tuple[Tensor, RegionStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        absent: Literal["keep", "zero", "skip"] = "keep", average: Literal["macro", "micro"] = "macro",
        class_mean: Literal["count", "weighted"] = "count", smooth_nr: float | Tensor = 1e-05,
        smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> _Result: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        return_stats: Literal[False], absent: Literal["keep", "zero", "skip"] = "keep",
        average: Literal["macro", "micro"] = "macro", class_mean: Literal["count", "weighted"] = "count",
        smooth_nr: float | Tensor = 1e-05, smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> Tensor: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        return_stats: Literal[True], absent: Literal["keep", "zero", "skip"] = "keep",
        average: Literal["macro", "micro"] = "macro", class_mean: Literal["count", "weighted"] = "count",
        smooth_nr: float | Tensor = 1e-05, smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> tuple[Tensor, RegionStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, batch: bool = False,
        include_background: bool = True, ignore_index: int | None = None, mask: Tensor | None = None,
        return_stats: bool, absent: Literal["keep", "zero", "skip"] = "keep",
        average: Literal["macro", "micro"] = "macro", class_mean: Literal["count", "weighted"] = "count",
        smooth_nr: float | Tensor = 1e-05, smooth_dr: float | Tensor = 1e-05, log: bool = False,
    ) -> Tensor | tuple[Tensor, RegionStats]: ...

class CrossEntropyLoss(torch.nn.CrossEntropyLoss, Generic[_Result]):
    r"""Cross entropy between logits and class indices or class probabilities."""
    @overload
    def __init__(
        self: CrossEntropyLoss[Tensor], weight: Tensor | None = None, size_average: bool | None = None,
        ignore_index: int = -100, reduce: bool | None = None, reduction: Literal["none", "mean", "sum"] = "mean",
        label_smoothing: float | Tensor = 0.0, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
        return_stats: Literal[False] = False, group: Any = None,
    ) -> None: ...
    @overload
    def __init__(
        self: CrossEntropyLoss[tuple[Tensor, RowStats]], weight: Tensor | None = None, size_average: bool | None = None,
        ignore_index: int = -100, reduce: bool | None = None, reduction: Literal["none", "mean", "sum"] = "mean",
        label_smoothing: float | Tensor = 0.0, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
        return_stats: Literal[True], group: Any = None,
    ) -> None: ...
    @overload
    def __init__(
        self: CrossEntropyLoss[Tensor | tuple[Tensor, RowStats]], weight: Tensor | None = None,
        size_average: bool | None = None, ignore_index: int = -100, reduce: bool | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean", label_smoothing: float | Tensor = 0.0, *,
        z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0,
        mask: Tensor | None = None, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, inplace: bool = False, return_stats: bool = False, group: Any = None,
    ) -> None: ...
    @overload  # type: ignore[override]
    def forward(
        self, input: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
        group: Any = None,
    ) -> _Result: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
        return_stats: Literal[False], group: Any = None,
    ) -> Tensor: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
        return_stats: Literal[True], group: Any = None,
    ) -> tuple[Tensor, RowStats]: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
        return_stats: bool, group: Any = None,
    ) -> Tensor | tuple[Tensor, RowStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
        group: Any = None,
    ) -> _Result: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
        return_stats: Literal[False], group: Any = None,
    ) -> Tensor: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
        return_stats: Literal[True], group: Any = None,
    ) -> tuple[Tensor, RowStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
        return_stats: bool, group: Any = None,
    ) -> Tensor | tuple[Tensor, RowStats]: ...

class FocalLoss(torch.nn.Module, Generic[_Result]):
    r"""The focal loss over exclusive classes or independent labels."""
    mode: Literal["softmax", "sigmoid"]
    criterion: SoftmaxFocalLoss[Any] | SigmoidFocalLoss[Any]
    @overload
    def __init__(
        self: FocalLoss[Tensor], alpha: float | Tensor | None = None, gamma: float | Tensor = 2.0,
        weight: Tensor | None = None, ignore_index: int = -100, reduction: Literal["none", "mean", "sum"] = "mean",
        label_smoothing: float | Tensor = 0.0, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
        return_stats: Literal[False] = False, group: Any = None, mode: Literal["softmax"] = "softmax",
    ) -> None: ...
    @overload
    def __init__(
        self: FocalLoss[tuple[Tensor, RowStats]], alpha: float | Tensor | None = None, gamma: float | Tensor = 2.0,
        weight: Tensor | None = None, ignore_index: int = -100, reduction: Literal["none", "mean", "sum"] = "mean",
        label_smoothing: float | Tensor = 0.0, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
        return_stats: Literal[True], group: Any = None, mode: Literal["softmax"] = "softmax",
    ) -> None: ...
    @overload
    def __init__(
        self: FocalLoss[Tensor | tuple[Tensor, RowStats]], alpha: float | Tensor | None = None,
        gamma: float | Tensor = 2.0, weight: Tensor | None = None, ignore_index: int = -100,
        reduction: Literal["none", "mean", "sum"] = "mean", label_smoothing: float | Tensor = 0.0, *,
        z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0,
        mask: Tensor | None = None, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, inplace: bool = False, return_stats: bool = False, group: Any = None,
        mode: Literal["softmax"] = "softmax",
    ) -> None: ...
    @overload
    def __init__(
        self: FocalLoss[Tensor], alpha: float | Tensor = 0.25, gamma: float | Tensor = 2.0,
        reduction: Literal["none", "mean", "sum"] = "mean", ignore_index: int | None = None,
        label_smoothing: float = 0.0, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False] = False,
        weight: Tensor | None = None, mode: Literal["sigmoid"],
    ) -> None: ...
    @overload
    def __init__(
        self: FocalLoss[tuple[Tensor, PointStats]], alpha: float | Tensor = 0.25, gamma: float | Tensor = 2.0,
        reduction: Literal["none", "mean", "sum"] = "mean", ignore_index: int | None = None,
        label_smoothing: float = 0.0, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
        mode: Literal["sigmoid"],
    ) -> None: ...
    @overload
    def __init__(
        self: FocalLoss[Tensor | tuple[Tensor, PointStats]], alpha: float | Tensor = 0.25, gamma: float | Tensor = 2.0,
        reduction: Literal["none", "mean", "sum"] = "mean", ignore_index: int | None = None,
        label_smoothing: float = 0.0, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool = False, weight: Tensor | None = None,
        mode: Literal["sigmoid"],
    ) -> None: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, weight: Tensor | None = None, z_loss: float | Tensor = 0.0,
        softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, inplace: bool = False,
        group: Any = None,
    ) -> _Result: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False], weight: Tensor | None = None,
        z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0,
        inplace: bool = False, group: Any = None,
    ) -> Tensor: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
        z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0,
        inplace: bool = False, group: Any = None,
    ) -> tuple[Tensor, RowStats | PointStats]: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool, weight: Tensor | None = None,
        z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0,
        inplace: bool = False, group: Any = None,
    ) -> Tensor | tuple[Tensor, RowStats | PointStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, weight: Tensor | None = None, z_loss: float | Tensor = 0.0,
        softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0, inplace: bool = False,
        group: Any = None,
    ) -> _Result: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[False], weight: Tensor | None = None,
        z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0,
        inplace: bool = False, group: Any = None,
    ) -> Tensor: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: Literal[True], weight: Tensor | None = None,
        z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0,
        inplace: bool = False, group: Any = None,
    ) -> tuple[Tensor, RowStats | PointStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, mask: Tensor | None = None,
        reduce_dims: int | tuple[int, ...] | None = None, return_stats: bool, weight: Tensor | None = None,
        z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0,
        inplace: bool = False, group: Any = None,
    ) -> Tensor | tuple[Tensor, RowStats | PointStats]: ...

class GeneralizedCrossEntropy(torch.nn.Module, Generic[_Result]):
    r"""Cross entropy that weighs down rows which the model finds unlikely, whose labels may be wrong (generalized cross
    entropy, Zhang and Sabuncu 2018, https://arxiv.org/abs/1805.07836)."""
    q: float | Tensor
    k: float | Tensor | None
    weight: Tensor | None
    ignore_index: int
    reduction: Literal["none", "mean", "sum"]
    label_smoothing: float | Tensor
    @overload
    def __init__(
        self: GeneralizedCrossEntropy[Tensor], q: float | Tensor = 0.7, k: float | Tensor | None = None,
        weight: Tensor | None = None, ignore_index: int = -100, reduction: Literal["none", "mean", "sum"] = "mean",
        label_smoothing: float | Tensor = 0.0, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
        return_stats: Literal[False] = False, group: Any = None,
    ) -> None: ...
    @overload
    def __init__(
        self: GeneralizedCrossEntropy[tuple[Tensor, RowStats]], q: float | Tensor = 0.7,
        k: float | Tensor | None = None, weight: Tensor | None = None, ignore_index: int = -100,
        reduction: Literal["none", "mean", "sum"] = "mean", label_smoothing: float | Tensor = 0.0, *,
        z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0,
        mask: Tensor | None = None, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, inplace: bool = False, return_stats: Literal[True], group: Any = None,
    ) -> None: ...
    @overload
    def __init__(
        self: GeneralizedCrossEntropy[Tensor | tuple[Tensor, RowStats]], q: float | Tensor = 0.7,
        k: float | Tensor | None = None, weight: Tensor | None = None, ignore_index: int = -100,
        reduction: Literal["none", "mean", "sum"] = "mean", label_smoothing: float | Tensor = 0.0, *,
        z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0,
        mask: Tensor | None = None, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, inplace: bool = False, return_stats: bool = False, group: Any = None,
    ) -> None: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
        group: Any = None,
    ) -> _Result: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
        return_stats: Literal[False], group: Any = None,
    ) -> Tensor: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
        return_stats: Literal[True], group: Any = None,
    ) -> tuple[Tensor, RowStats]: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
        return_stats: bool, group: Any = None,
    ) -> Tensor | tuple[Tensor, RowStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
        group: Any = None,
    ) -> _Result: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
        return_stats: Literal[False], group: Any = None,
    ) -> Tensor: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
        return_stats: Literal[True], group: Any = None,
    ) -> tuple[Tensor, RowStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
        return_stats: bool, group: Any = None,
    ) -> Tensor | tuple[Tensor, RowStats]: ...

class Poly1CrossEntropy(torch.nn.Module, Generic[_Result]):
    r"""Cross entropy with another first coefficient of its series in 1 - p (Poly-1, Leng et al. 2022):"""
    epsilon: float | Tensor
    weight: Tensor | None
    ignore_index: int
    reduction: Literal["none", "mean", "sum"]
    label_smoothing: float | Tensor
    @overload
    def __init__(
        self: Poly1CrossEntropy[Tensor], epsilon: float | Tensor = 1.0, weight: Tensor | None = None,
        ignore_index: int = -100, reduction: Literal["none", "mean", "sum"] = "mean",
        label_smoothing: float | Tensor = 0.0, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
        return_stats: Literal[False] = False, group: Any = None,
    ) -> None: ...
    @overload
    def __init__(
        self: Poly1CrossEntropy[tuple[Tensor, RowStats]], epsilon: float | Tensor = 1.0, weight: Tensor | None = None,
        ignore_index: int = -100, reduction: Literal["none", "mean", "sum"] = "mean",
        label_smoothing: float | Tensor = 0.0, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
        return_stats: Literal[True], group: Any = None,
    ) -> None: ...
    @overload
    def __init__(
        self: Poly1CrossEntropy[Tensor | tuple[Tensor, RowStats]], epsilon: float | Tensor = 1.0,
        weight: Tensor | None = None, ignore_index: int = -100, reduction: Literal["none", "mean", "sum"] = "mean",
        label_smoothing: float | Tensor = 0.0, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
        return_stats: bool = False, group: Any = None,
    ) -> None: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
        group: Any = None,
    ) -> _Result: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
        return_stats: Literal[False], group: Any = None,
    ) -> Tensor: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
        return_stats: Literal[True], group: Any = None,
    ) -> tuple[Tensor, RowStats]: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
        return_stats: bool, group: Any = None,
    ) -> Tensor | tuple[Tensor, RowStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
        group: Any = None,
    ) -> _Result: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
        return_stats: Literal[False], group: Any = None,
    ) -> Tensor: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
        return_stats: Literal[True], group: Any = None,
    ) -> tuple[Tensor, RowStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
        return_stats: bool, group: Any = None,
    ) -> Tensor | tuple[Tensor, RowStats]: ...

class SoftmaxFocalLoss(torch.nn.Module, Generic[_Result]):
    r"""Focal loss over classes (Lin et al. 2017): cross entropy with confident rows weighed down."""
    alpha: float | Tensor | None
    gamma: float | Tensor
    weight: Tensor | None
    ignore_index: int
    reduction: Literal["none", "mean", "sum"]
    label_smoothing: float | Tensor
    @overload
    def __init__(
        self: SoftmaxFocalLoss[Tensor], alpha: float | Tensor | None = None, gamma: float | Tensor = 2.0,
        weight: Tensor | None = None, ignore_index: int = -100, reduction: Literal["none", "mean", "sum"] = "mean",
        label_smoothing: float | Tensor = 0.0, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
        return_stats: Literal[False] = False, group: Any = None,
    ) -> None: ...
    @overload
    def __init__(
        self: SoftmaxFocalLoss[tuple[Tensor, RowStats]], alpha: float | Tensor | None = None,
        gamma: float | Tensor = 2.0, weight: Tensor | None = None, ignore_index: int = -100,
        reduction: Literal["none", "mean", "sum"] = "mean", label_smoothing: float | Tensor = 0.0, *,
        z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0,
        mask: Tensor | None = None, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, inplace: bool = False, return_stats: Literal[True], group: Any = None,
    ) -> None: ...
    @overload
    def __init__(
        self: SoftmaxFocalLoss[Tensor | tuple[Tensor, RowStats]], alpha: float | Tensor | None = None,
        gamma: float | Tensor = 2.0, weight: Tensor | None = None, ignore_index: int = -100,
        reduction: Literal["none", "mean", "sum"] = "mean", label_smoothing: float | Tensor = 0.0, *,
        z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0,
        mask: Tensor | None = None, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, inplace: bool = False, return_stats: bool = False, group: Any = None,
    ) -> None: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
        group: Any = None,
    ) -> _Result: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
        return_stats: Literal[False], group: Any = None,
    ) -> Tensor: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
        return_stats: Literal[True], group: Any = None,
    ) -> tuple[Tensor, RowStats]: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
        return_stats: bool, group: Any = None,
    ) -> Tensor | tuple[Tensor, RowStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
        group: Any = None,
    ) -> _Result: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
        return_stats: Literal[False], group: Any = None,
    ) -> Tensor: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
        return_stats: Literal[True], group: Any = None,
    ) -> tuple[Tensor, RowStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
        return_stats: bool, group: Any = None,
    ) -> Tensor | tuple[Tensor, RowStats]: ...

class SymmetricCrossEntropy(torch.nn.Module, Generic[_Result]):
    r"""Cross entropy, and that with the roles of model and label exchanged (Wang et al. 2019,
    https://arxiv.org/abs/1908.06112)."""
    alpha: float | Tensor
    beta: float | Tensor
    log_zero: float | Tensor
    weight: Tensor | None
    ignore_index: int
    reduction: Literal["none", "mean", "sum"]
    label_smoothing: float | Tensor
    @overload
    def __init__(
        self: SymmetricCrossEntropy[Tensor], alpha: float | Tensor = 0.1, beta: float | Tensor = 1.0,
        log_zero: float | Tensor = -4.0, weight: Tensor | None = None, ignore_index: int = -100,
        reduction: Literal["none", "mean", "sum"] = "mean", label_smoothing: float | Tensor = 0.0, *,
        z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0,
        mask: Tensor | None = None, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, inplace: bool = False, return_stats: Literal[False] = False,
        group: Any = None,
    ) -> None: ...
    @overload
    def __init__(
        self: SymmetricCrossEntropy[tuple[Tensor, RowStats]], alpha: float | Tensor = 0.1, beta: float | Tensor = 1.0,
        log_zero: float | Tensor = -4.0, weight: Tensor | None = None, ignore_index: int = -100,
        reduction: Literal["none", "mean", "sum"] = "mean", label_smoothing: float | Tensor = 0.0, *,
        z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None, temperature: float | Tensor = 1.0,
        mask: Tensor | None = None, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None, inplace: bool = False, return_stats: Literal[True], group: Any = None,
    ) -> None: ...
    @overload
    def __init__(
        self: SymmetricCrossEntropy[Tensor | tuple[Tensor, RowStats]], alpha: float | Tensor = 0.1,
        beta: float | Tensor = 1.0, log_zero: float | Tensor = -4.0, weight: Tensor | None = None,
        ignore_index: int = -100, reduction: Literal["none", "mean", "sum"] = "mean",
        label_smoothing: float | Tensor = 0.0, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
        return_stats: bool = False, group: Any = None,
    ) -> None: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
        group: Any = None,
    ) -> _Result: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
        return_stats: Literal[False], group: Any = None,
    ) -> Tensor: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
        return_stats: Literal[True], group: Any = None,
    ) -> tuple[Tensor, RowStats]: ...
    @overload
    def forward(
        self, input: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
        return_stats: bool, group: Any = None,
    ) -> Tensor | tuple[Tensor, RowStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
        group: Any = None,
    ) -> _Result: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
        return_stats: Literal[False], group: Any = None,
    ) -> Tensor: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
        return_stats: Literal[True], group: Any = None,
    ) -> tuple[Tensor, RowStats]: ...
    @overload
    def __call__(
        self, input: Tensor, target: Tensor, *, z_loss: float | Tensor = 0.0, softcap: float | Tensor | None = None,
        temperature: float | Tensor = 1.0, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan", loss_dtype: torch.dtype | None = None, inplace: bool = False,
        return_stats: bool, group: Any = None,
    ) -> Tensor | tuple[Tensor, RowStats]: ...

class CircleLoss(torch.nn.Module):
    r"""Similarities weighed by how far they are from where they should be (circle loss, Sun et al. 2020):"""
    m: float | Tensor
    gamma: float | Tensor
    normalize: bool
    def __init__(
        self, m: float | Tensor = 0.4, gamma: float | Tensor = 80.0, normalize: bool = True, *,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "zero",
        loss_dtype: torch.dtype | None = None, weight: Tensor | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean", memory_budget: int | None = None, group: Any = None,
        ddp: bool = False,
    ) -> None: ...
    def forward(
        self, embeddings: Tensor, labels: Tensor, *, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "zero",
        loss_dtype: torch.dtype | None = None, weight: Tensor | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean", memory_budget: int | None = None, group: Any = None,
        ddp: bool = False,
    ) -> Tensor: ...
    def __call__(
        self, embeddings: Tensor, labels: Tensor, *, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "zero",
        loss_dtype: torch.dtype | None = None, weight: Tensor | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean", memory_budget: int | None = None, group: Any = None,
        ddp: bool = False,
    ) -> Tensor: ...

class ClipLoss(torch.nn.Module):
    r"""Images and texts find each other (CLIP, Radford et al. 2021), both directions from one matrix product."""
    normalize: bool
    def __init__(
        self, normalize: bool = False, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "zero", loss_dtype: torch.dtype | None = None, weight: Tensor | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean", memory_budget: int | None = None, group: Any = None,
        ddp: bool = False,
    ) -> None: ...
    def forward(
        self, image_features: Tensor, text_features: Tensor, logit_scale: float | Tensor,
        logit_bias: float | Tensor | None = None, *, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "zero",
        loss_dtype: torch.dtype | None = None, weight: Tensor | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean", memory_budget: int | None = None, group: Any = None,
        ddp: bool = False,
    ) -> Tensor: ...
    def __call__(
        self, image_features: Tensor, text_features: Tensor, logit_scale: float | Tensor,
        logit_bias: float | Tensor | None = None, *, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "zero",
        loss_dtype: torch.dtype | None = None, weight: Tensor | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean", memory_budget: int | None = None, group: Any = None,
        ddp: bool = False,
    ) -> Tensor: ...

class InfoNCELoss(torch.nn.Module):
    r"""Each query tells its positive keys from all others (InfoNCE, van den Oord et al. 2018)."""
    temperature: float | Tensor
    normalize: bool
    symmetric: bool
    multi_positive: Literal["out", "in"]
    def __init__(
        self, temperature: float | Tensor = 0.07, normalize: bool = True, symmetric: bool = False,
        multi_positive: Literal["out", "in"] = "out", *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "zero", loss_dtype: torch.dtype | None = None, weight: Tensor | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean", memory_budget: int | None = None, group: Any = None,
        ddp: bool = False,
    ) -> None: ...
    def forward(
        self, query: Tensor, key: Tensor, labels: Tensor | None = None, *, negatives: Tensor | None = None,
        positives: Tensor | None = None, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "zero", loss_dtype: torch.dtype | None = None, weight: Tensor | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean", memory_budget: int | None = None, group: Any = None,
        ddp: bool = False,
    ) -> Tensor: ...
    def __call__(
        self, query: Tensor, key: Tensor, labels: Tensor | None = None, *, negatives: Tensor | None = None,
        positives: Tensor | None = None, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "zero", loss_dtype: torch.dtype | None = None, weight: Tensor | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean", memory_budget: int | None = None, group: Any = None,
        ddp: bool = False,
    ) -> Tensor: ...

class MinedTripletMarginLoss(torch.nn.Module):
    r"""Triplets found in the batch: an anchor a closer to a positive p than to a negative n by a margin."""
    margin: float | Tensor
    mining: Literal["batch_hard", "semi_hard", "all"]
    soft: bool
    normalize: bool
    def __init__(
        self, margin: float | Tensor = 1.0, mining: Literal["batch_hard", "semi_hard", "all"] = "batch_hard",
        soft: bool = False, normalize: bool = False, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "zero", loss_dtype: torch.dtype | None = None, weight: Tensor | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean", memory_budget: int | None = None, group: Any = None,
        ddp: bool = False,
    ) -> None: ...
    def forward(
        self, embeddings: Tensor, labels: Tensor, *, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "zero",
        loss_dtype: torch.dtype | None = None, weight: Tensor | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean", memory_budget: int | None = None, group: Any = None,
        ddp: bool = False,
    ) -> Tensor: ...
    def __call__(
        self, embeddings: Tensor, labels: Tensor, *, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "zero",
        loss_dtype: torch.dtype | None = None, weight: Tensor | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean", memory_budget: int | None = None, group: Any = None,
        ddp: bool = False,
    ) -> Tensor: ...

class MultiSimilarityLoss(torch.nn.Module):
    r"""Similarities of one label above a base, others below (multi-similarity, Wang et al. 2019), all pairs:"""
    alpha: float | Tensor
    beta: float | Tensor
    base: float | Tensor
    normalize: bool
    def __init__(
        self, alpha: float | Tensor = 2.0, beta: float | Tensor = 50.0, base: float | Tensor = 0.5,
        normalize: bool = True, *, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "zero",
        loss_dtype: torch.dtype | None = None, weight: Tensor | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean", memory_budget: int | None = None, group: Any = None,
        ddp: bool = False,
    ) -> None: ...
    def forward(
        self, embeddings: Tensor, labels: Tensor, *, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "zero",
        loss_dtype: torch.dtype | None = None, weight: Tensor | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean", memory_budget: int | None = None, group: Any = None,
        ddp: bool = False,
    ) -> Tensor: ...
    def __call__(
        self, embeddings: Tensor, labels: Tensor, *, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "zero",
        loss_dtype: torch.dtype | None = None, weight: Tensor | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean", memory_budget: int | None = None, group: Any = None,
        ddp: bool = False,
    ) -> Tensor: ...

class NTXentLoss(torch.nn.Module):
    r"""Two views of each sample find each other among all 2N (NT-Xent, SimCLR, Chen et al. 2020)."""
    temperature: float | Tensor
    normalize: bool
    decoupled: bool
    def __init__(
        self, temperature: float | Tensor = 0.5, normalize: bool = True, decoupled: bool = False, *,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "zero",
        loss_dtype: torch.dtype | None = None, weight: Tensor | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean", memory_budget: int | None = None, group: Any = None,
        ddp: bool = False,
    ) -> None: ...
    def forward(
        self, z0: Tensor, z1: Tensor, *, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "zero", loss_dtype: torch.dtype | None = None, weight: Tensor | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean", memory_budget: int | None = None, group: Any = None,
        ddp: bool = False,
    ) -> Tensor: ...
    def __call__(
        self, z0: Tensor, z1: Tensor, *, mask: Tensor | None = None, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "zero", loss_dtype: torch.dtype | None = None, weight: Tensor | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean", memory_budget: int | None = None, group: Any = None,
        ddp: bool = False,
    ) -> Tensor: ...

class PairwiseContrastiveLoss(torch.nn.Module):
    r"""Pairs of one label closer than a margin, other pairs farther apart than another (Hadsell et al. 2006)."""
    pos_margin: float | Tensor
    neg_margin: float | Tensor
    normalize: bool
    squared: bool
    def __init__(
        self, pos_margin: float | Tensor = 0.0, neg_margin: float | Tensor = 1.0, normalize: bool = True,
        squared: bool = False, *, normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "zero",
        loss_dtype: torch.dtype | None = None, weight: Tensor | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean", memory_budget: int | None = None, group: Any = None,
        ddp: bool = False,
    ) -> None: ...
    def forward(
        self, embeddings: Tensor, labels: Tensor, *, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "zero",
        loss_dtype: torch.dtype | None = None, weight: Tensor | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean", memory_budget: int | None = None, group: Any = None,
        ddp: bool = False,
    ) -> Tensor: ...
    def __call__(
        self, embeddings: Tensor, labels: Tensor, *, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "zero",
        loss_dtype: torch.dtype | None = None, weight: Tensor | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean", memory_budget: int | None = None, group: Any = None,
        ddp: bool = False,
    ) -> Tensor: ...

class SigLipLoss(torch.nn.Module):
    r"""A yes or no for each pair of an image and a text (SigLIP, Zhai et al. 2023)."""
    normalize: bool
    def __init__(
        self, normalize: bool = False, *, normalizer: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "zero", loss_dtype: torch.dtype | None = None, weight: Tensor | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean", memory_budget: int | None = None, group: Any = None,
        ddp: bool = False,
    ) -> None: ...
    def forward(
        self, image_features: Tensor, text_features: Tensor, logit_scale: float | Tensor,
        logit_bias: float | Tensor | None = None, *, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "zero",
        loss_dtype: torch.dtype | None = None, weight: Tensor | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean", memory_budget: int | None = None, group: Any = None,
        ddp: bool = False,
    ) -> Tensor: ...
    def __call__(
        self, image_features: Tensor, text_features: Tensor, logit_scale: float | Tensor,
        logit_bias: float | Tensor | None = None, *, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "zero",
        loss_dtype: torch.dtype | None = None, weight: Tensor | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean", memory_budget: int | None = None, group: Any = None,
        ddp: bool = False,
    ) -> Tensor: ...

class SupConLoss(torch.nn.Module):
    r"""Vectors of one label find each other (supervised contrastive, Khosla et al. 2020)."""
    temperature: float | Tensor
    normalize: bool
    positives: Literal["out", "in"]
    def __init__(
        self, temperature: float | Tensor = 0.1, normalize: bool = True, positives: Literal["out", "in"] = "out", *,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "zero",
        loss_dtype: torch.dtype | None = None, weight: Tensor | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean", memory_budget: int | None = None, group: Any = None,
        ddp: bool = False,
    ) -> None: ...
    def forward(
        self, features: Tensor, labels: Tensor | None = None, *, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "zero",
        loss_dtype: torch.dtype | None = None, weight: Tensor | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean", memory_budget: int | None = None, group: Any = None,
        ddp: bool = False,
    ) -> Tensor: ...
    def __call__(
        self, features: Tensor, labels: Tensor | None = None, *, mask: Tensor | None = None,
        normalizer: float | Tensor | None = None, empty: Literal["nan", "zero"] = "zero",
        loss_dtype: torch.dtype | None = None, weight: Tensor | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean", memory_budget: int | None = None, group: Any = None,
        ddp: bool = False,
    ) -> Tensor: ...
