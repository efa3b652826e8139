"""Cases of `fastloss.losses.segmentation`."""

import math

from torch import Tensor

from cases.engines import Products, Regions

LN2 = math.log(2)
# Two pixels, of which the first is of class 0 for sure and the second of either class.
X, Y = [[[200.0, 0.0], [0.0, 0.0]]], [[0, 1]]
EXACT = {"smooth_nr": 0.0, "smooth_dr": 0.0}


def _of_overlaps(p: Tensor, t: Tensor, eps: float = 1.0, alpha: float = 0.3, beta: float = 0.7) -> list[float]:
    """A value in [0, 1], and slopes of the denominator's size, which nothing cancels."""
    least = float((p * t).sum(-1).min()) + eps
    return [1.0, *[(1 + alpha + beta) / least] * 2]


CASES = (
    Products(
        "tversky_loss", terms=_of_overlaps,
        params=({}, {"alpha": 0.5, "beta": 0.5}, {"alpha": 1, "beta": 1, "eps": 1e-6}), further={"eps": (0.5, 2)},
        points=(
            (([[1.0, 0.0]], [[1.0, 1.0]]), {"eps": 0.0}, 0.7 / 1.7),
            (([[1.0, 1.0]], [[1.0, 0.0]]), {"eps": 0.0}, 0.3 / 1.3),
            (([[0.5, 0.5]], [[1.0, 0.0]]), {"alpha": 0.5, "beta": 0.5, "eps": 0.0}, 0.5),
            (([[[1.0, 0.0], [0.0, 0.0]]], [[[1.0, 0.0], [0.0, 0.0]]]), {}, 0.0),
        ),
    ),
    Regions(
        "dice_loss", params=({}, {"mode": "sigmoid"}, {"mode": "probabilities"}, {"squared": True}),
        further={"smooth_nr": (0, 1), "smooth_dr": (1,)},
        points=(
            ((X, Y), EXACT, 1 - (2 / 2.5 + 1 / 1.5) / 2),  # I, P, T: 1, 1.5, 1 and 1/2, 1/2, 1
            ((X, Y), dict(EXACT, reduction="none"), [[0.2, 1 / 3]]),
            ((X, Y), dict(EXACT, squared=True, include_background=False), 1 - 1 / 1.25),
            ((X, Y), dict(EXACT, log=True, average="micro"), -math.log(3 / 4)),
            ((X, Y), dict(EXACT, weight=[3.0, 0.0]), 0.3),
            ((X, Y), dict(EXACT, weight=[3.0, 0.0], class_mean="weighted"), 0.2),
            ((X, [[0, 0]]), dict(EXACT, absent="zero"), (1 - 3 / 3.5) / 2),
            ((X, [[0, 0]]), dict(EXACT, absent="skip"), 1 - 3 / 3.5),
            ((X, [[0, 9]]), dict(EXACT, ignore_index=9, absent="skip"), 0.0),
        ),
    ),
    Regions("jaccard_loss", params=({}, {"squared": True}), points=(((X, Y), EXACT, 1 - (1 / 1.5 + 0.5) / 2),)),
    Regions(
        "generalized_dice_loss", per_sample=True, params=({}, {"weighting": "simple"}, {"weighting": "uniform"}),
        points=(((X, Y), {"smooth_nr": 0.0, "smooth_dr": 0.0}, 1 - 3 / 4),),
    ),
    Regions(
        "focal_tversky_loss", params=({}, {"gamma": 1.0, "alpha": 0.5, "beta": 0.5}, {"gamma": 2.0, "mode": "sigmoid"}),
        steepness=2.0, further={"gamma": (1, 0.5)},
        points=(((X, Y), dict(EXACT, gamma=1.0), (0.15 / 1.15 + 0.35 / 0.85) / 2),
                ((X, Y), dict(EXACT, gamma=2.0), ((0.15 / 1.15) ** 2 + (0.35 / 0.85) ** 2) / 2)),
    ),
    # TP, FP, FN, TN: 1, 1/2, 0, 1/2 and the same the other way round.
    Regions("mcc_loss", params=({"eps": 1.0}, {}), points=(((X, Y), {"eps": 0.0}, 1 - 0.5 / math.sqrt(0.75)),)),
    Regions(
        "dice_cross_entropy", per_sample=True,
        params=({}, {"mode": "sigmoid"}, {"label_smoothing": 0.1, "dice_weight": 0.5}),
        further={"label_smoothing": (0, 1)}, steepness=2.0,
        points=(((X, Y), EXACT, 1 - (2 / 2.5 + 1 / 1.5) / 2 + LN2 / 2),
                ((X, Y), dict(EXACT, dice_weight=0.0, ce_weight=2.0), LN2),
                ((X, [[0, 9]]), dict(EXACT, ignore_index=9, absent="skip"), 0.0)),
    ),
    Regions(
        "dice_focal_loss", per_sample=True,
        params=({}, {"mode": "sigmoid"}, {"gamma": 0.0}, {"focal": "sigmoid", "gamma": 1.5}), steepness=4.0,
        further={"gamma": (1, 0.5)},
        points=(((X, Y), dict(EXACT, dice_weight=0.0), LN2 / 8),
                ((X, Y), dict(EXACT, dice_weight=0.0, gamma=0.0), LN2 / 2)),
    ),
    Regions("tversky_cross_entropy", per_sample=True, steepness=2.0, params=({}, {"alpha": 0.5, "mode": "sigmoid"})),
    # Errors that float32 cannot tell apart may be sorted otherwise.
    # The error is 1/2 in each class, J there 1/2 and 1.
    Regions("lovasz_softmax_loss", steepness=64.0, points=(((X, Y), {}, 0.375),)),
    Regions("lovasz_hinge_loss", steepness=4.0),
)  # fmt: skip
