"""Examples for the docstrings of functions that have none, by what their arguments are."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

_REAL = "torch.randn(8, 5, requires_grad=True)"
_SIGNS = "torch.randint(2, (8, 5)) * 2.0 - 1.0"
_ROWS = "torch.randn(8, 16, requires_grad=True)"
_ROW_SIGNS = "torch.tensor([1, -1, 1, 1, -1, 1, -1, -1])"
_LABELS = "torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])"
_SCALE = "torch.tensor(10.0, requires_grad=True)"

_PAIR = {"image_features": _ROWS, "text_features": _ROWS, "logit_scale": _SCALE}
_LABELLED = {"embeddings": _ROWS, "labels": _LABELS}

# Tensors, further arguments, and the losses that take them.
_KINDS: tuple[tuple[dict[str, str], str, str], ...] = (
    ({"input": _REAL, "target": "torch.randn(8, 5)"}, "", "mse_loss l1_loss log_cosh_loss charbonnier_loss"),
    ({"input": _REAL, "target": "torch.randn(8, 5)"}, "delta=0.5", "huber_loss"),
    ({"input": _REAL, "target": "torch.randn(8, 5)"}, "beta=0.5", "smooth_l1_loss"),
    ({"input": _REAL, "target": "torch.randn(8, 5)"}, "q=0.9", "quantile_loss"),
    ({"input": _REAL, "target": "torch.randn(8, 5)"}, "alpha=0.0", "robust_loss"),
    ({"input": _REAL, "target": "torch.rand(8, 5)"}, "", "binary_cross_entropy_with_logits"),
    ({"input": _REAL, "target": "torch.randint(2, (8, 5)).float()"}, "gamma_neg=2.0", "asymmetric_loss"),
    ({"inputs": _REAL, "targets": "torch.rand(8, 5)"}, "reduction='mean'", "sigmoid_focal_loss"),
    ({"input": "torch.rand(8, 5, requires_grad=True)", "target": "torch.rand(8, 5)"}, "", "binary_cross_entropy"),
    ({"input": _REAL, "target": _SIGNS}, "", "soft_margin_loss hinge_embedding_loss"),
    ({"input": _REAL, "target": _SIGNS}, "p=2", "hinge_loss"),
    ({"input": _REAL, "target": "torch.randint(9, (8, 5)).float()"}, "", "poisson_nll_loss"),
    ({"input": _REAL, "target": "torch.randn(8, 5)", "var": "torch.rand(8, 5)"}, "full=True", "gaussian_nll_loss"),
    (
        {"input": f"{_REAL}.log_softmax(1)", "target": "torch.rand(8, 5).softmax(1)"},
        "reduction='batchmean'",
        "kl_div",
    ),
    ({"input1": _REAL, "input2": _REAL, "target": _SIGNS}, "margin=0.1", "margin_ranking_loss"),
    ({"input1": _ROWS, "input2": _ROWS, "target": _ROW_SIGNS}, "margin=0.2", "cosine_embedding_loss contrastive_loss"),
    ({"anchor": _ROWS, "positive": _ROWS, "negative": _ROWS}, "margin=0.5", "triplet_margin_loss"),
    ({"query": _ROWS, "key": _ROWS}, "temperature=0.1", "info_nce_loss"),
    (_PAIR, "normalize=True", "clip_loss"),
    ({**_PAIR, "logit_bias": "torch.tensor(-10.0, requires_grad=True)"}, "normalize=True", "siglip_loss"),
    ({"z0": _ROWS, "z1": _ROWS}, "temperature=0.1", "nt_xent_loss"),
    ({"features": _ROWS, "labels": _LABELS}, "temperature=0.2", "supcon_loss"),
    (_LABELLED, "", "pairwise_contrastive_loss multi_similarity_loss circle_loss"),
    (_LABELLED, "mining='semi_hard'", "mined_triplet_margin_loss"),
    ({"fake": _REAL}, "mode='hinge'", "gan_generator_loss"),
    ({"real": _REAL, "fake": _REAL}, "mode='hinge'", "gan_discriminator_loss"),
)


def _lines(name: str, tensors: dict[str, str], further: str) -> list[str]:
    arguments = ", ".join([*tensors, *filter(None, [further])])
    return [
        *(f"{tensor} = {made}" for tensor, made in tensors.items()),
        f"fastloss.functional.{name}({arguments}).backward()",
    ]


_EXAMPLES = {name: _lines(name, tensors, further) for tensors, further, names in _KINDS for name in names.split()}
_EXAMPLES["count_positives"] = [
    "inputs = torch.randn(8, 5, requires_grad=True)",
    "targets = torch.randint(6, (8,))  # 5: background",
    "count = fastloss.functional.count_positives(targets, 5)",
    "fastloss.functional.sigmoid_focal_loss(inputs, targets, reduction='mean', normalizer=count).backward()",
]


def complete(function: Callable[..., Any]) -> None:
    """Adds an example to the function's docstring, whose parts are brought to one indentation."""
    own, shared, rest = (function.__doc__ or "").partition("    Keyword-only options, shared by")
    if sys.version_info < (3, 13):  # from then on Python does so itself, with docstrings that are literals
        own = own.replace("\n    ", "\n")
    text = own + (shared + rest).replace("\n    ", "\n").removeprefix("    ")
    if function.__name__ in _EXAMPLES:
        text = f"{text.rstrip()}\n\nExample:\n" + "".join(f"    >>> {line}\n" for line in _EXAMPLES[function.__name__])
    function.__doc__ = text
