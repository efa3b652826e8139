# ruff: noqa: F401
"""The table of losses: a row each, in a file for each topic as in `fastloss.losses`; every property joins it.

A row says what neither the loss's record nor its signature says: settings, values worked out by hand, where PyTorch is
left on purpose. What tensors hold is in the record (`Record.holds`), the domain of a hyperparameter in
`fastloss._core.options.DOMAINS`.
"""

import torch

import fastloss
from cases import (
    classification,
    contrastive,
    curriculum,
    detection,
    distillation,
    embedding,
    heads,
    imbalance,
    likelihood,
    ranking,
    regression,
    robust,
    segmentation,
)
from cases.base import (
    DTYPES,
    HALF,
    REDUCTIONS,
    REMEMBERED,
    UNDERFLOW,
    UNIT,
    UPSTREAM,
    Case,
    Judge,
    check_near,
    exact,
    gradients,
    info_of,
    outcome,
    python,
    same_outcome,
    settings,
    wide,
)
from cases.engines import (
    RANGES,
    ROUNDINGS,
    Divergence,
    Elements,
    Linear,
    Products,
    Regions,
    Rows,
    Similarity,
    Softmax,
    cancelling,
    check_grad,
    check_loss,
    classes_of,
    compute_unit,
    exact_rows,
    make_rows,
    rows_of,
    run,
    slack,
    tensors,
)

TOPICS = (
    classification, regression, likelihood, embedding, segmentation, detection, contrastive,
    robust, imbalance, ranking, curriculum, distillation, heads,
)  # fmt: skip
EVERY = tuple(case for topic in TOPICS for case in topic.CASES)
ELEMENTS, PRODUCTS, SOFTMAX, DIVERGENCE, SIMILARITY, COMPOSED, LINEAR, REGIONS = (
    tuple(case for case in EVERY if case.engine == engine)
    for engine in ("elements", "products", "softmax", "divergence", "similarity", "composition", "linear", "regions")
)
BY_NAME = {case.name: case for case in EVERY}
# Losses that PyTorch computes, in whole or in part.
PYTORCHS = tuple(Case(name) for name in fastloss.functional.composed.__all__ if hasattr(torch.nn.functional, name))


def of(name: str) -> Case:
    return BY_NAME[name]
