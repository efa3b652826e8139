"""Written by `make stubs` from the signatures at run time; not to be edited."""

from fastloss import functional as functional, isa as isa, nn as nn, reference as reference
from fastloss.nn import *
from fastloss._core.route import Explanation as Explanation
from fastloss.adopt import Patch as Patch
from fastloss._core.stats import PointStats as PointStats
from fastloss._core.stats import RowStats as RowStats
from fastloss._selftest import SelfTest as SelfTest
from fastloss._core.stats import TokenLogprobs as TokenLogprobs
from fastloss._build_info import build_info as build_info
from fastloss.adopt import convert as convert
from fastloss._core.operators import debug as debug
from fastloss._core.memory import empty_cache as empty_cache
from fastloss._core.route import explain as explain
from fastloss.engines.similarity.cache import grad_cache as grad_cache
from fastloss._core.memory import memory_usage as memory_usage
from fastloss.adopt import patch as patch
from fastloss._selftest import selftest as selftest
from fastloss.adopt import unpatch as unpatch
__version__: str

__all__ = [
    "AdaptiveLogSoftmaxWithLoss", "ArcFaceLoss", "AsymmetricCrossEntropy", "AsymmetricLoss", "BCELoss",
    "BCEWithLogitsLoss", "BalancedL1Loss", "BoxIoULoss", "CTCLoss", "CausalLMLoss", "CharbonnierLoss", "CircleLoss",
    "ClipLoss", "CompleteBoxIoULoss", "ContrastiveLoss", "CosFaceLoss", "CosineEmbeddingLoss", "CrossEntropyLoss",
    "DistanceBoxIoULoss", "DistillationLoss", "DistributionFocalLoss", "Divergence", "Explanation", "FocalLoss",
    "GANDiscriminatorLoss", "GANGeneratorLoss", "GaussianFocalLoss", "GaussianNLLLoss", "GeneralizedBoxIoULoss",
    "GeneralizedCrossEntropy", "HardExampleCrossEntropy", "HingeEmbeddingLoss", "HingeLoss", "HuberLoss",
    "InfoNCELoss", "JSDCrossEntropy", "KLDivLoss", "L1Loss", "LDAMLoss", "LinearCrossEntropyLoss",
    "LinearDivergence", "LinearSoftmaxFocalLoss", "ListNetLoss", "LogCoshLoss", "LogitAdjustedCrossEntropy",
    "MSELoss", "MarginRankingLoss", "MinedTripletMarginLoss", "MultiLabelMarginLoss", "MultiLabelSoftMarginLoss",
    "MultiMarginLoss", "MultiSimilarityLoss", "MulticlassHingeLoss", "NLLLoss", "NTXentLoss",
    "NormalizedSoftmaxLoss", "PairwiseContrastiveLoss", "Patch", "Perplexity", "PointStats", "PoissonNLLLoss",
    "Poly1CrossEntropy", "ProxyAnchorLoss", "ProxyNCALoss", "QualityFocalLoss", "QuantileLoss", "RobustLoss",
    "RowStats", "SampledSoftmaxLoss", "SelfTest", "SigLipLoss", "SigmoidFocalLoss", "SmoothL1Loss",
    "SoftMarginLoss", "SoftmaxFocalLoss", "SphereFaceLoss", "SquaredLogLoss", "SubCenterArcFaceLoss", "SupConLoss",
    "SuperLoss", "SymmetricCrossEntropy", "TokenLogprobs", "TripletMarginLoss", "TripletMarginWithDistanceLoss",
    "TverskyLoss", "VarifocalLoss", "__version__", "build_info", "convert", "debug", "empty_cache", "explain",
    "functional", "grad_cache", "isa", "memory_usage", "nn", "patch", "reference", "selftest", "unpatch",
]
