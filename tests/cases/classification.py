"""Cases of `fastloss.losses.classification`."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

import fastloss
from cases.engines import Elements, Softmax

# Logits (0, ln 2, ln 3): the exponentials 1, 2, 3 sum to 6, so n_c = (ln 6, ln 3, ln 2).
LN2, LN3, LN6 = math.log(2), math.log(3), math.log(6)
Z = [0.0, LN2, LN3]


class PlainSoftmaxFocalLoss(torch.nn.Module):
    """What users write: the plain expression as a module."""

    def __init__(self, weight: Tensor | None = None, **options: Any) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.options = options

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return fastloss.reference.softmax_focal_loss(input, target, weight=self.weight, **self.options)


def plain_sigmoid_focal(
    inputs: Tensor, targets: Tensor, alpha: float = 0.25, gamma: float = 2.0, reduction: str = "none"
) -> Tensor:
    """What torchvision computes."""
    p = torch.sigmoid(inputs)
    ce = F.binary_cross_entropy_with_logits(inputs, targets, reduction="none")
    loss = ce * (1 - (p * targets + (1 - p) * (1 - targets))) ** gamma
    if alpha >= 0:
        loss = (alpha * targets + (1 - alpha) * (1 - targets)) * loss
    return {"none": lambda v: v, "mean": Tensor.mean, "sum": Tensor.sum}[reduction](loss)


def _exponent(*gammas: float) -> float:
    """Of the powers that are not products."""
    return max(0.0 if gamma in (0, 1, 2, 3, 4) else gamma for gamma in gammas)


CASES = (
    Softmax(
        "cross_entropy",
        points=(
            (([0.0, 0.0], 0), {}, LN2),
            ((Z, 0), {}, LN6),
            ((Z, 2), {}, LN2),
            (([Z, Z, Z], [0, 1, 2]), {}, (LN6 + LN3 + LN2) / 3),
            (([Z, Z, Z], [0, 1, 2]), dict(reduction="sum"), LN6 + LN3 + LN2),
            (([Z, Z, Z], [0, 1, 2]), dict(reduction="none"), [LN6, LN3, LN2]),
            # 0.7 ln 6 + 0.3 / 3 (ln 6 + ln 3 + ln 2), and ln 3 + ln 2 = ln 6.
            ((Z, 0), dict(label_smoothing=0.3), 0.9 * LN6),
            # Weights 1, 2, 4: (ln 6 + 4 ln 2) / (1 + 4).
            (([Z, Z], [0, 2]), dict(weight=[1.0, 2.0, 4.0]), (LN6 + 4 * LN2) / 5),
            # Smoothing weighs each class, the divisor stays w_y:
            # ((1 - e) 4 ln 2 + e / 3 (ln 6 + 2 ln 3 + 4 ln 2)) / 4.
            (([Z], [2]), dict(weight=[1.0, 2.0, 4.0], label_smoothing=0.3),
             (0.7 * 4 * LN2 + 0.1 * (LN6 + 2 * LN3 + 4 * LN2)) / 4),
            (([Z, Z], [0, -100]), {}, LN6),
            (([Z, Z, Z], [0, 1, 2]), dict(ignore_index=1), (LN6 + LN2) / 2),
            # Probabilities (1/2, 1/4, 1/4): ln 6 / 2 + (ln 3 + ln 2) / 4.
            ((Z, [0.5, 0.25, 0.25]), {}, 0.75 * LN6),
            # Smoothed by 0.4: 0.6 t + 0.4 / 3.
            ((Z, [0.5, 0.25, 0.25]), dict(label_smoothing=0.4), 0.6 * 0.75 * LN6 + 0.4 / 3 * 2 * LN6),
            ((Z, [0.5, 0.25, 0.25]), dict(weight=[1.0, 2.0, 4.0]), 0.5 * LN6 + 0.5 * LN3 + LN2),
            ((Z, 1), dict(z_loss=0.5), LN3 + 0.5 * LN6**2),
            (([Z], [1]), dict(z_loss=0.5, weight=[1.0, 2.0, 4.0], reduction="none"), [2 * (LN3 + 0.5 * LN6**2)]),
            ((Z, [0.5, 0.25, 0.25]), dict(z_loss=0.5), 0.75 * LN6 + 0.5 * LN6**2),
            # softcap 2 turns 2 atanh(z / 2) back into z.
            (([2 * math.atanh(z / 2) for z in Z], 1), dict(softcap=2.0), LN3),
            (([2 * math.atanh(z / 4) for z in Z], 1), dict(softcap=2.0, temperature=0.5), LN3),
            (([Z, Z, Z], [0, 1, 2]), dict(mask=[True, False, True]), (LN6 + LN2) / 2),
            (([Z, Z, Z], [0, 1, 2]), dict(normalizer=8.0), (LN6 + LN3 + LN2) / 8),
            (([Z, Z], [-100, -100]), dict(empty="zero"), 0.0),
            (([Z, Z], [-100, -100]), {}, math.nan),
        ),
    ),
    # Probabilities 1/6, 1/3, 1/2 at Z, so q = 5/6, 2/3, 1/2.
    Softmax(
        "softmax_focal_loss",
        params=({}, {"gamma": 0.0}, {"gamma": 0.5}, {"gamma": 1.0, "alpha": 0.25}, {"gamma": 3}, {"gamma": 2.7}),
        further={"alpha": (1, 2.0), "gamma": (0, 1, 4)},
        written=fastloss.reference.softmax_focal_loss, written_module=PlainSoftmaxFocalLoss,
        points=(
            (([0.0, 0.0], 0), {}, LN2 / 4),
            ((Z, 0), {}, 25 / 36 * LN6),
            ((Z, 2), dict(gamma=1.0, alpha=0.25), 0.25 * 0.5 * LN2),
            ((Z, 1), dict(gamma=0.0), LN3),
            (([Z, Z, Z], [0, 1, 2]), dict(gamma=3, reduction="none"),
             [(5 / 6) ** 3 * LN6, (2 / 3) ** 3 * LN3, LN2 / 8]),
            (([Z, Z, Z], [0, -100, 2]), {}, (25 / 36 * LN6 + LN2 / 4) / 2),
            # The mean divides by the weights, whatever alpha and the focal factor do.
            (([Z, Z], [0, 2]), dict(weight=[1.0, 2.0, 4.0]), (25 / 36 * LN6 + 4 * LN2 / 4) / 5),
            # Smoothing's uniform part is not modulated.
            ((Z, 0), dict(label_smoothing=0.3), 0.7 * 25 / 36 * LN6 + 0.1 * (LN6 + LN3 + LN2)),
            # Probabilities: each term has its own factor.
            ((Z, [0.5, 0.25, 0.25]), {}, 0.5 * 25 / 36 * LN6 + 0.25 * 4 / 9 * LN3 + 0.25 / 4 * LN2),
            ((Z, 1), dict(z_loss=0.5), 4 / 9 * LN3 + 0.5 * LN6**2),
            (([Z, Z], [-100, -100]), dict(empty="zero"), 0.0),
        ),
        gamma=2.0,
    ),
    Softmax(
        "poly1_cross_entropy", params=({}, {"epsilon": -1}, {"epsilon": 0.5}), further={"epsilon": (0, 2.0)},
        written=fastloss.reference.poly1_cross_entropy,
        points=(
            (([0.0, 0.0], 0), {}, LN2 + 0.5),
            ((Z, 0), dict(epsilon=2.0), LN6 + 2 * 5 / 6),
            (([Z, Z], [0, 2]), dict(weight=[1.0, 2.0, 4.0]), (LN6 + 5 / 6 + 4 * (LN2 + 1 / 2)) / 5),
            # The share of all classes is cross entropy's.
            ((Z, 0), dict(label_smoothing=0.3), 0.7 * (LN6 + 5 / 6) + 0.1 * (LN6 + LN3 + LN2)),
            ((Z, [0.5, 0.25, 0.25]), {}, 0.75 * LN6 + 0.5 * 5 / 6 + 0.25 * 2 / 3 + 0.25 / 2),
        ),
    ),
    Elements(
        "binary_cross_entropy_with_logits",
        points=(((0.0, 1.0), {}, LN2), ((LN2, 0.0), {}, LN3), ((LN2, 1.0), {}, LN3 - LN2)),
        kinks=((0.0, 0.0), (0.0, 1.0), (0.0, 0.3)),
        better=lambda x, y: (x == -math.inf) & ((y == 1) | (y < 0)),
    ),
    Elements(
        "sigmoid_focal_loss", written=plain_sigmoid_focal,
        params=({}, {"gamma": 0.0}, {"gamma": 0.5}, {"gamma": 1.0}, {"gamma": 3}, {"gamma": 3.3, "alpha": -1.0},
                {"alpha": 0.6}),
        further={"alpha": (-1, 1, 0.0), "gamma": (0, 1, 4)},
        points=(((0.0, 1.0), {}, 0.25 * 0.25 * LN2), ((LN2, 0.0), {"alpha": -1.0, "gamma": 1.0}, 2 / 3 * LN3)),
        kinks=((0.0, 0.0), (0.0, 1.0), (0.0, 0.3)),
        exponent=lambda gamma=2.0: _exponent(gamma),
        cancelling=(0.0, 1.0), better=lambda x, y: x.isinf() | y.isinf(),
    ),
    Elements(
        "binary_cross_entropy", points=(((0.5, 1.0), {}, LN2), ((0.75, 0.0), {}, 2 * LN2)),
        kinks=((0.0, 0.0), (1.0, 1.0), (0.0, 1.0), (1.0, 0.0), (1e-30, 0.3)),
    ),
    Elements(
        "soft_margin_loss", points=(((0.0, 1.0), {}, LN2), ((LN2, -1.0), {}, LN3)), kinks=((0.0, 1.0),),
        better=lambda x, y: (x * y < -80) | (x * y).isnan(),
    ),
    Elements(
        "hinge_loss", params=({}, {"p": 2}, {"margin": 0.5}), further={"margin": (2,)},
        points=(((0.5, 1.0), {}, 0.5), ((0.5, -1.0), {"p": 2}, 2.25)),
    ),
    Elements(
        "asymmetric_loss",
        params=({}, {"clip": 0.0}, {"gamma_neg": 0.0, "gamma_pos": 0.0, "clip": 0.0},
                {"gamma_neg": 2.5, "gamma_pos": 0.5}, {"gamma_neg": 0.5, "gamma_pos": 3, "clip": 0.3}),
        further={"gamma_neg": (0, 1), "gamma_pos": (0,), "clip": (0,)},
        points=(((0.0, 1.0), {}, 0.5 * LN2), ((0.0, 0.0), {"gamma_neg": 2.0, "clip": 0.25}, 0.0625 * math.log(4 / 3)),
                ((0.0, 0.0), {"clip": 0.5}, 0.0), ((LN2, 0.0), {"gamma_neg": 1.0, "clip": 0.0}, 2 / 3 * LN3)),
        exponent=lambda gamma_neg=4.0, gamma_pos=1.0: _exponent(gamma_neg, gamma_pos),
        cancelling=(0.0, 1.0),
    ),
)  # fmt: skip
