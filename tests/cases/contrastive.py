"""Cases of `fastloss.losses.contrastive`."""

from collections.abc import Callable

import torch
from torch import Tensor

from cases.engines import Similarity


def pair_flags(share: float, seed: int = 3) -> Callable[[int, int], Tensor]:
    return lambda n, m: torch.rand(n, m, generator=torch.Generator().manual_seed(seed)) < share


def key_labels(n: int, m: int) -> Tensor:
    """The index of a key."""
    return torch.randint(0, m, (n,), generator=torch.Generator().manual_seed(4))


CASES = (
    Similarity(
        "info_nce_loss", further={"temperature": (0.5, 0.07, 1, 2.0)},
        params=(
            {}, {"symmetric": True, "mask": pair_flags(0.8)}, {"labels": key_labels, "mask": pair_flags(0.7)},
            {"positives": pair_flags(0.2), "multi_positive": "in"},
            {"positives": pair_flags(0.2), "mask": pair_flags(0.7, 5), "normalize": False},
            {"positives": pair_flags(0.1), "symmetric": True},
        ),
        steepness=lambda temperature, **_: 1 / temperature,
        scalars={"temperature": 0.3},
    ),
    Similarity(
        "clip_loss", further={"logit_scale": (10.0, 1, 0.7), "logit_bias": (-4.0, 1)},
        params=({}, {"normalize": True, "mask": pair_flags(0.8)}), steepness=lambda logit_scale, **_: logit_scale,
        scalars={"logit_scale": 0.7, "logit_bias": -0.4},
    ),
    Similarity(
        "siglip_loss", further={"logit_scale": (10.0, 1, 0.7), "logit_bias": (-10.0, 1)},
        params=({}, {"normalize": True, "mask": pair_flags(0.8)}), steepness=lambda logit_scale, **_: logit_scale,
        scalars={"logit_scale": 0.7, "logit_bias": -0.4},
    ),
    Similarity(
        "nt_xent_loss", further={"temperature": (0.5, 0.07, 1, 2.0)},
        params=(
            {}, {"decoupled": True}, {"normalize": False},
            {"decoupled": True, "mask": lambda n, _: pair_flags(0.7)(2 * n, 2 * n)},
            {"mask": lambda n, _: pair_flags(0.7)(2 * n, 2 * n)},
        ),
        steepness=lambda temperature, **_: 1 / temperature, scalars={"temperature": 0.4},
    ),
    Similarity(
        "supcon_loss", further={"temperature": (0.5, 0.07, 1, 2.0)},
        params=({}, {"positives": "in"}, {"labels": None, "mask": lambda n, _: pair_flags(0.2)(n, n)},
                {"normalize": False}),
        steepness=lambda temperature, **_: 1 / temperature, scalars={"temperature": 0.4},
    ),
    Similarity(
        "pairwise_contrastive_loss", further={"pos_margin": (1,), "neg_margin": (5,)},
        params=(
            {"neg_margin": 1.3}, {"pos_margin": 0.4, "squared": True, "neg_margin": 1.4},
            {"normalize": False, "neg_margin": 5.0}, {"normalize": False, "neg_margin": 5.0, "squared": True},
            {"neg_margin": 1.3, "mask": pair_flags(0.7)},
            {"normalize": False, "neg_margin": 5.0, "mask": pair_flags(0.7)},
        ),
        steepness=lambda **_: 1.0,
    ),
    Similarity(
        "multi_similarity_loss", further={"alpha": (1,), "beta": (2, 1.0), "base": (0,)},
        params=({}, {"alpha": 1.0, "beta": 2.0, "base": 0.1, "normalize": False}, {"mask": pair_flags(0.7)}),
        steepness=lambda alpha=2.0, beta=50.0, **_: max(alpha, beta),
    ),
    Similarity(
        "circle_loss", further={"m": (0,), "gamma": (8, 1.0, 256.0)},
        params=({}, {"m": 0.25, "gamma": 8.0}, {"mask": pair_flags(0.7)}),
        steepness=lambda m=0.4, gamma=80.0, longest=1.0, **_: 2 * gamma * (1 + m + longest**2),
    ),
    Similarity(
        "mined_triplet_margin_loss", further={"margin": (0,)},
        params=(
            {}, {"soft": True}, {"normalize": True, "margin": 0.3}, {"mining": "semi_hard"},
            {"mining": "semi_hard", "soft": True, "normalize": True}, {"mining": "all"},
            {"mining": "all", "margin": 0.2, "normalize": True}, {"mask": pair_flags(0.7), "normalize": True},
            {"mining": "semi_hard", "mask": pair_flags(0.7)}, {"mining": "all", "mask": pair_flags(0.7), "margin": 2.0},
        ),
        steepness=lambda **_: 1.0,
    ),
)  # fmt: skip
