"""Written by `make stubs` from the signatures at run time; not to be edited."""

from fastloss import functional as functional, isa as isa, nn as nn, reference as reference, sampling as sampling, schedules as schedules
from fastloss.nn import *
from fastloss.balancing import DynamicWeightAverage as DynamicWeightAverage
from fastloss._core.route import Explanation as Explanation
from fastloss.balancing import GradNorm as GradNorm
from fastloss.monitor import GradientMonitor as GradientMonitor
from fastloss.monitor import GradientReport as GradientReport
from fastloss.monitor import LossTracker as LossTracker
from fastloss.objective import Objective as Objective
from fastloss.objective import ObjectiveResult as ObjectiveResult
from fastloss.adopt import Patch as Patch
from fastloss._core.stats import PointStats as PointStats
from fastloss.balancing import RandomWeighting as RandomWeighting
from fastloss._core.stats import RegionStats as RegionStats
from fastloss._core.stats import RowStats as RowStats
from fastloss._selftest import SelfTest as SelfTest
from fastloss._core.stats import TokenHits as TokenHits
from fastloss._core.stats import TokenLogprobs as TokenLogprobs
from fastloss.balancing import UncertaintyWeighting as UncertaintyWeighting
from fastloss.conflicts import aligned_mtl as aligned_mtl
from fastloss.conflicts import backward as backward
from fastloss._build_info import build_info as build_info
from fastloss.conflicts import cagrad as cagrad
from fastloss.adopt import convert as convert
from fastloss._core.operators import debug as debug
from fastloss.regularizers import elastic_net_penalty as elastic_net_penalty
from fastloss._core.memory import empty_cache as empty_cache
from fastloss.regularizers import ewc_penalty as ewc_penalty
from fastloss._core.route import explain as explain
from fastloss.regularizers import fisher_diagonal as fisher_diagonal
from fastloss.engines.similarity.cache import grad_cache as grad_cache
from fastloss.regularizers import group_lasso_penalty as group_lasso_penalty
from fastloss.regularizers import l1_penalty as l1_penalty
from fastloss.regularizers import l2_penalty as l2_penalty
from fastloss.monitor import lightning_callback as lightning_callback
from fastloss._core.memory import memory_usage as memory_usage
from fastloss.conflicts import mgda as mgda
from fastloss.regularizers import orthogonality_penalty as orthogonality_penalty
from fastloss.adopt import patch as patch
from fastloss.conflicts import pcgrad as pcgrad
from fastloss.regularizers import proximal_penalty as proximal_penalty
from fastloss._selftest import selftest as selftest
from fastloss.adopt import unpatch as unpatch
__version__: str

__all__ = [
    "AdaptiveLogSoftmaxWithLoss", "ArcFaceLoss", "AsymmetricCrossEntropy", "AsymmetricLoss", "BCELoss",
    "BCEWithLogitsLoss", "BalancedL1Loss", "BoxIoULoss", "CTCLoss", "CausalLMLoss", "CharbonnierLoss", "CircleLoss",
    "ClipLoss", "CompleteBoxIoULoss", "ContrastiveLoss", "CosFaceLoss", "CosineEmbeddingLoss", "CrossEntropyLoss",
    "DiceCrossEntropyLoss", "DiceFocalLoss", "DiceLoss", "DistanceBoxIoULoss", "DistillationLoss",
    "DistributionFocalLoss", "Divergence", "DynamicWeightAverage", "Explanation", "FocalLoss", "FocalTverskyLoss",
    "GANDiscriminatorLoss", "GANGeneratorLoss", "GBCELoss", "GaussianFocalLoss", "GaussianNLLLoss",
    "GeneralizedBoxIoULoss", "GeneralizedCrossEntropy", "GeneralizedDiceLoss", "GradNorm", "GradientMonitor",
    "GradientReport", "HardExampleCrossEntropy", "HingeEmbeddingLoss", "HingeLoss", "HuberLoss", "InfoNCELoss",
    "JSDCrossEntropy", "JaccardLoss", "KLDivLoss", "L1Loss", "LDAMLoss", "LinearCrossEntropyLoss",
    "LinearDivergence", "LinearSoftmaxFocalLoss", "ListNetLoss", "LogCoshLoss", "LogitAdjustedCrossEntropy",
    "LossTracker", "LovaszHingeLoss", "LovaszSoftmaxLoss", "MCCLoss", "MSELoss", "MarginRankingLoss",
    "MinedTripletMarginLoss", "MultiLabelMarginLoss", "MultiLabelSoftMarginLoss", "MultiMarginLoss",
    "MultiSimilarityLoss", "MulticlassHingeLoss", "NLLLoss", "NTXentLoss", "NormalizedSoftmaxLoss", "Objective",
    "ObjectiveResult", "PairwiseContrastiveLoss", "Patch", "Perplexity", "PointStats", "PoissonNLLLoss",
    "Poly1CrossEntropy", "ProxyAnchorLoss", "ProxyNCALoss", "QualityFocalLoss", "QuantileLoss", "RandomWeighting",
    "RegionStats", "RobustLoss", "RowStats", "SampledSoftmaxLoss", "SelfTest", "SigLipLoss", "SigmoidFocalLoss",
    "SmoothL1Loss", "SoftMarginLoss", "SoftmaxFocalLoss", "SphereFaceLoss", "SquaredLogLoss",
    "SubCenterArcFaceLoss", "SupConLoss", "SuperLoss", "SymmetricCrossEntropy", "TokenHits", "TokenLogprobs",
    "TripletMarginLoss", "TripletMarginWithDistanceLoss", "TverskyCrossEntropyLoss", "TverskyLoss",
    "UncertaintyWeighting", "VarifocalLoss", "__version__", "aligned_mtl", "backward", "build_info", "cagrad",
    "convert", "debug", "elastic_net_penalty", "empty_cache", "ewc_penalty", "explain", "fisher_diagonal",
    "functional", "grad_cache", "group_lasso_penalty", "isa", "l1_penalty", "l2_penalty", "lightning_callback",
    "memory_usage", "mgda", "nn", "orthogonality_penalty", "patch", "pcgrad", "proximal_penalty", "reference",
    "sampling", "schedules", "selftest", "unpatch",
]
