"""Cases of `fastloss.losses.imbalance`."""

import torch

from cases.classification import LN2, LN3, LN6, Z
from cases.engines import Rows

FEW = 1 / 30  # of a smoothing of 0.1, for each of three classes
ANTI = (LN6 / 6**4, LN3 / 3**4, LN2 / 2**4)  # p^4 (-log p) at Z

CASES = (
    Rows(
        "asymmetric_cross_entropy",
        params=({"label_smoothing": 0.0}, {}, {"gamma_pos": 0, "gamma_neg": 0.0}, {"gamma_pos": 0.5, "gamma_neg": 2.5}),
        further={"gamma_pos": (2,), "gamma_neg": (1,), "label_smoothing": (0,)},
        gamma=1.0,
        points=(
            ((Z, 0), dict(label_smoothing=0.0), 5 / 6 * LN6),
            ((Z, 0), {}, (0.9 + FEW) * 5 / 6 * LN6 + FEW * (ANTI[1] + ANTI[2])),
            ((Z, 2), dict(gamma_pos=0.0, gamma_neg=0.0), (0.9 + FEW) * LN2 + FEW * (LN6 + LN3)),
            (([Z], [2]), dict(weight=[1.0, 2.0, 4.0]), ((0.9 + FEW) * 4 * LN2 / 2 + FEW * (ANTI[0] + 2 * ANTI[1])) / 4),
            # Neither pays for a class that cannot be.
            (([0.0, 0.0, -torch.inf], 0), dict(gamma_neg=1.0), (0.9 + FEW) / 2 * LN2 + FEW / 2 * LN2),
        ),
    ),
    Rows(
        "logit_adjusted_cross_entropy", given={"log_prior": lambda c: -torch.arange(1.0, c + 1).sqrt() - 2},
        params=({}, {"tau": 0}, {"tau": 2.5}), further={"tau": (1,)},
        spread=lambda classes: 3.0,
    ),
    Rows(
        "ldam_loss", given={"counts": lambda c: (torch.arange(c) * 37) % 101},
        params=({}, {"scale": 10, "max_margin": 0.0}, {"scale": 5.0, "max_margin": 1}), further={"scale": (1,)},
        spread=lambda classes: 30.0, scaled=1 / 64,  # cosines
    ),
)  # fmt: skip
