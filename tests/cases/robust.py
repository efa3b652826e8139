"""Cases of `fastloss.losses.robust`."""

import math

import fastloss
from cases.classification import LN2, LN3, LN6, Z
from cases.engines import Softmax

# Probabilities 1/6, 1/3, 1/2 at Z.
CASES = (
    Softmax(
        "generalized_cross_entropy",
        params=({}, {"q": 1}, {"q": 0.0}, {"q": 0.3, "k": 0.2}, {"q": 0, "k": 0.05}),
        further={"q": (1.0,), "k": (0.5, 0)},
        written=fastloss.reference.generalized_cross_entropy,
        points=(
            (([0.0, 0.0], 0), dict(q=1.0), 0.5),
            ((Z, 0), dict(q=0.5), 2 * (1 - math.sqrt(1 / 6))),
            ((Z, 0), dict(q=0.0), LN6),
            # Truncated: 1/3 is below 0.4, 1/2 is not; nor is 1/2 above 1/2.
            ((Z, 1), dict(q=1.0, k=0.4), 0.6),
            ((Z, 2), dict(q=1.0, k=0.4), 0.5),
            ((Z, 0), dict(q=0.0, k=1 / 3), LN3),
            (([Z, Z], [0, 2]), dict(q=1.0, weight=[1.0, 2.0, 4.0]), (5 / 6 + 4 / 2) / 5),
            ((Z, 0), dict(q=1.0, label_smoothing=0.3), 0.7 * 5 / 6 + 0.1 * (LN6 + LN3 + LN2)),
            ((Z, [0.5, 0.25, 0.25]), dict(q=1.0), 0.5 * 5 / 6 + 0.25 * 2 / 3 + 0.25 / 2),
            # 1 - p = 1 - 1 / (1 + e^-40) to first order.
            (([40.0, 0.0], 0), dict(q=1.0), math.exp(-40)),
        ),
    ),
    Softmax(
        "symmetric_cross_entropy",
        params=({}, {"alpha": 6.0, "beta": 0.1}, {"alpha": 0.0, "log_zero": -1}, {"beta": 0}),
        further={"alpha": (1,), "beta": (1.0,), "log_zero": (-9.2, 0.0)},
        written=fastloss.reference.symmetric_cross_entropy, spread=lambda classes: 10.0,  # alpha and 4 beta
        points=(
            (([0.0, 0.0], 0), {}, 0.1 * LN2 + 4 * 0.5),
            ((Z, 0), dict(alpha=2.0, beta=0.5, log_zero=-1.0), 2 * LN6 + 0.5 * 5 / 6),
            (([Z, Z], [0, 2]), dict(weight=[1.0, 2.0, 4.0]),
             (0.1 * LN6 + 4 * 5 / 6 + 4 * (0.1 * LN2 + 4 * 1 / 2)) / 5),
            ((Z, 0), dict(label_smoothing=0.3), 0.7 * (0.1 * LN6 + 4 * 5 / 6) + 0.1 * (LN6 + LN3 + LN2)),
            ((Z, [0.5, 0.25, 0.25]), {}, 0.1 * 0.75 * LN6 + 4 * (0.5 * 5 / 6 + 0.25 * 2 / 3 + 0.25 / 2)),
            # A logit of -inf: without cross entropy the loss is -A.
            (([-math.inf, 0.0], 0), dict(alpha=0.0), 4.0),
        ),
    ),
)  # fmt: skip
