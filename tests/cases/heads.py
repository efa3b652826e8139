"""Cases of `fastloss.losses.heads`."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from cases.engines import Linear

E1, E2 = [1.0, 0.0], [0.0, 1.0]
LN2 = math.log(2)


def plain_linear_cross_entropy(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    linear_bias: Tensor | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """What users write where PyTorch has no function."""
    logits = F.linear(input, linear_weight, linear_bias)
    return F.cross_entropy(logits, target, reduction=reduction, label_smoothing=label_smoothing)


def arcface_steepness(scale: float = 64.0, **_: float) -> float:
    """cos(theta + m) changes with the cosine by sin(theta + m) / sin(theta), which the vectors here keep below 4."""
    return 4 * scale


def two(first: float, second: float) -> float:
    """The loss of two logits, the first of which is the target's."""
    return math.log1p(math.exp(second - first))


CASES = (
    Linear(
        "linear_cross_entropy",
        params=({}, {"bias": True, "label_smoothing": 0.1}),
        written=plain_linear_cross_entropy,
        points=(
            (([[0.0, 0.0]], [E1, E2], [0]), {}, LN2),
            (([[LN2, 0.0]], [E1, E2], [0]), {}, math.log(1.5)),
            (([[LN2, 0.0]], [E1, E2], [0]), dict(linear_bias=[0.0, LN2]), LN2),
            (([[LN2, 0.0], [0.0, 0.0]], [E1, E2], [0, -100]), {}, math.log(1.5)),
            (([[LN2, 0.0], [0.0, 0.0]], [E1, E2], [0, 1]), dict(ignore_index=1), math.log(1.5)),
            (([[LN2, 0.0], [0.0, 0.0]], [E1, E2], [0, 1]), dict(weight=[1.0, 3.0]), (math.log(1.5) + 3 * LN2) / 4),
            (([[LN2, 0.0], [0.0, 0.0]], [E1, E2], [0, 1]), dict(normalizer=4.0), (math.log(1.5) + LN2) / 4),
            (([[0.0, 0.0]], [E1, E2], [[0.5, 0.5]]), {}, LN2),
        ),
    ),
    Linear(
        "linear_softmax_focal_loss",
        params=({}, {"gamma": 0.5, "alpha": 0.25}, {"bias": True, "gamma": 3}), further={"gamma": (0, 1)},
        points=((([[0.0, 0.0]], [E1, E2], [0]), {}, LN2 / 4), (([[LN2, 0.0]], [E1, E2], [0]), {}, math.log(1.5) / 9)),
    ),
    Linear(
        "arcface_loss", steepness=arcface_steepness,
        params=({"scale": 8.0}, {"margin": 0.3, "scale": 4.0, "easy_margin": True}, {"scale": 2.0},
                {"margin": torch.linspace(0.1, 0.7, Linear.classes), "scale": 3.0}),
        points=(
            # Along the first of two perpendicular classes; lengths do not matter.
            (([[3.0, 0.0]], [[2.0, 0.0], E2], [0]), dict(scale=2.0), two(2 * math.cos(0.5), 0.0)),
            (([E1], [E1, E2], [1]), dict(scale=2.0), two(2 * math.cos(math.pi / 2 + 0.5), 2.0)),
            # At the angle pi the margin would turn back.
            (([E1], [[-1.0, 0.0], E2], [0]), dict(scale=2.0), two(2 * (-1 - 0.5 * math.sin(0.5)), 0.0)),
            (([E1], [[-1.0, 0.0], E2], [0]), dict(scale=2.0, easy_margin=True), two(-2.0, 0.0)),
        ),
    ),
    Linear(
        "cosface_loss", steepness=lambda scale=64.0, **_: scale,
        params=({"scale": 8.0}, {"margin": 0.1, "scale": 4.0}), further={"margin": (0, 0.5)},
        points=((([E1], [E1, E2], [0]), dict(scale=2.0), two(1.3, 0.0)),),
    ),
    Linear(
        "sphereface_loss", steepness=lambda scale=64.0, m1=4.0, **_: (2 + 2 * m1) * scale,
        params=({"scale": 2.0}, {"m1": 1.0, "m2": 0.3, "m3": 0.2, "scale": 4.0}, {"m1": 1.35, "scale": 4.0}),
        points=(
            (([E1], [E1, E2], [0]), dict(scale=2.0), two(2.0, 0.0)),
            # phi = pi, where one branch ends and the next begins.
            (([E1], [E1, E2], [1]), dict(scale=2.0, m1=2.0), two(2 * -1.0, 2.0)),
            (([E1], [E1, E2], [0]), dict(scale=2.0, m1=1.0, m2=0.3, m3=0.2), two(2 * (math.cos(0.3) - 0.2), 0.0)),
        ),
    ),
    Linear(
        "sub_center_arcface_loss", steepness=arcface_steepness, centers=3,
        params=({"scale": 8.0}, {"margin": 0.3, "scale": 4.0}),
        points=((([E1], [E1, E2, [-1.0, 0.0], E2], [0]), dict(scale=2.0, sub_centers=2), two(2 * math.cos(0.5), 0.0)),),
    ),
    Linear(
        "normalized_softmax_loss", steepness=lambda scale=20.0, **_: scale, params=({}, {"scale": 4.0}),
        points=((([[5.0, 0.0]], [E1, E2], [0]), dict(scale=2.0), two(2.0, 0.0)),),
    ),
    Linear(
        "proxy_nca_loss", steepness=lambda scale=1.0, **_: 2 * scale, params=({}, {"scale": 4.0}),
        points=((([[5.0, 0.0]], [E1, E2], [0]), dict(scale=2.0), two(0.0, -4.0)),),
    ),
)  # fmt: skip
