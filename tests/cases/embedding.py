"""Cases of `fastloss.losses.embedding`."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cases.engines import Elements, Products


def plain_contrastive(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 1.0,
    distance: str = "euclidean",
    squared: bool = True,
    reduction: str = "mean",
) -> Tensor:
    if distance == "cosine":
        norms = ((input1.square().sum(-1) + 1e-12) * (input2.square().sum(-1) + 1e-12)).sqrt()
        d = 1 - (input1 * input2).sum(-1) / norms
        square = d.square()
    else:
        d = (input1 - input2).norm(dim=-1)
        square = (input1 - input2).square().sum(-1)
    lack = F.relu(margin - d)
    near, far = (square / 2, lack.square() / 2) if squared else (d, lack)
    loss = torch.where(target == 1, near, torch.where((target == 0) | (target == -1), far, 0.0))
    return loss if reduction == "none" else loss.mean() if reduction == "mean" else loss.sum()


def _between(x: Tensor, y: Tensor) -> float:
    return float((x - y).norm(dim=-1).max())


def _of_cosines(x: Tensor, y: Tensor, **params: Any) -> list[float]:
    """c = s12 / (|x| |y|), dc/dx = y / (|x| |y|) - c x / |x|^2."""
    return [1.0, *(float(1 / v.norm(dim=-1).min()) for v in (x, y))]


def _of_contrasts(
    x: Tensor, y: Tensor, margin: float = 1.0, distance: str = "euclidean", squared: bool = True
) -> list[float]:
    """margin - d, or its square, or that of d, and the derivative of the latter."""
    if distance == "cosine":
        return _of_cosines(x, y)
    longest = max(_between(x, y), margin)
    return [longest**2, longest, longest] if squared else [2 * longest, 1.0, 1.0]


def _of_triplets(a: Tensor, p: Tensor, n: Tensor, **params: Any) -> list[float]:
    """margin + |u| - |v|; differences of unit vectors."""
    return [1 + 2 * max(_between(a, p), _between(a, n), _between(p, n)), 1.0, 1.0, 1.0]


CASES = (
    Elements(
        "hinge_embedding_loss", params=({}, {"margin": 0.5}), further={"margin": (2, 0, -1.0)},
        ranges={"target": (-1, 1, 0)},
        points=(((0.25, -1.0), {}, 0.75), ((0.25, 1.0), {}, 0.25), ((3.0, -1.0), {}, 0.0)),
        kinks=((1.0, -1.0), (1.0, 1.0), (1.0, 0.0)),
    ),
    Elements(
        "margin_ranking_loss", params=({}, {"margin": 0.5}), further={"margin": (1, -0.5)},
        points=(((1.0, 3.0, 1.0), {}, 2.0), ((1.0, 3.0, -1.0), {"margin": 2.5}, 0.5)),
        kinks=((1.0, 1.0, 1.0), (1.0, 1.0, -1.0)),
    ),
    Products(
        "cosine_embedding_loss", terms=_of_cosines, params=({}, {"margin": 0.2}), further={"margin": (1, -0.5)},
        points=(
            (([[3.0, 4.0]], [[4.0, 3.0]], [1.0]), {}, 0.04),
            (([[3.0, 4.0]], [[4.0, 3.0]], [-1.0]), {"margin": 0.5}, 0.46),
            (([[3.0, 4.0]], [[4.0, 3.0]], [0.0]), {}, 0.0),
        ),
    ),
    Products(
        "contrastive_loss", terms=_of_contrasts, written=plain_contrastive,
        params=(
            {}, {"margin": 6.0}, {"margin": 6.0, "squared": False}, {"distance": "cosine"},
            {"distance": "cosine", "squared": False, "margin": 1.1},
        ),
        further={"margin": (6, 0.5)},
        points=(
            (([[0.0, 0.0]], [[3.0, 4.0]], [1.0]), {}, 12.5),
            (([[0.0, 0.0]], [[3.0, 4.0]], [-1.0]), {}, 0.0),
            (([[0.0, 0.0]], [[3.0, 4.0]], [-1.0]), {"margin": 7.0}, 2.0),
            (([[0.0, 0.0]], [[3.0, 4.0]], [0.0]), {"margin": 7.0}, 2.0),
            (([[0.0, 0.0]], [[3.0, 4.0]], [2.0]), {"margin": 7.0}, 0.0),
            (([[0.0, 0.0], [1.0, 1.0]], [[3.0, 4.0], [1.0, 1.0]], [1.0, 0.0]), {"squared": False}, 3.0),
            (([[0.0, 0.0]], [[3.0, 4.0]], [0.0]), {"margin": 7.0, "squared": False}, 2.0),
            (([[3.0, 4.0]], [[4.0, 3.0]], [1.0]), {"distance": "cosine"}, 0.0008),
            (([[3.0, 4.0]], [[4.0, 3.0]], [0.0]), {"distance": "cosine"}, 0.4608),
            (([[3.0, 4.0]], [[4.0, 3.0]], [-1.0]), {"distance": "cosine", "squared": False}, 0.96),
            (([[3.0, 4.0]], [[-4.0, -3.0]], [0.0]), {"distance": "cosine"}, 0.0),
        ),
    ),
    Products(
        "triplet_margin_loss", terms=_of_triplets,
        params=({}, {"margin": 0.3}, {"swap": True}, {"eps": 0.1, "swap": True}),
        further={"margin": (2, 0.0), "p": (2, 1, 3.5)},
        points=(
            (([[0.0, 0.0]], [[3.0, 4.0]], [[0.0, 3.0]]), {}, 3.0),
            (([[0.0, 0.0]], [[3.0, 4.0]], [[0.0, 30.0]]), {}, 0.0),
            (([[0.0, 0.0]], [[3.0, 4.0]], [[0.0, 4.0]]), {"swap": True}, 3.0),
        ),
    ),
)  # fmt: skip
