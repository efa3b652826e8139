"""Cases of `fastloss.losses.distillation`."""

import math

from cases.engines import Divergence

LN2, LN3 = math.log(2), math.log(3)
# The student's q is (1/4, 3/4), the teacher's p (1/2, 1/2), from logits; with beta = 1/2 m is (3/8, 5/8).
Q, P = [0.0, LN3], [1.0, 1.0]
KL = 0.5 * math.log(4 / 3)  # 1/2 log 2 + 1/2 log 2/3
REVERSE = 0.75 * LN3 - LN2  # 1/4 log 1/2 + 3/4 log 3/2
JS = 0.25 * (math.log(4 / 3) + math.log(4 / 5)) + 0.5 * (0.25 * math.log(2 / 3) + 0.75 * math.log(6 / 5))

CASES = (
    Divergence(
        "divergence",
        params=(
            {}, {"kind": "reverse_kl"}, {"kind": "js"}, {"kind": "js", "beta": 0.1}, {"kind": "tv"}, {"kind": "alpha"},
            {"kind": "alpha", "alpha": -0.5}, {"kind": "soft_cross_entropy"},
            {"kind": "kl", "temperature": 2.0}, {"kind": "js", "temperature": 0.5, "target_temperature": 1.5},
        ),
        points=(
            ((Q, P), {}, KL),
            ((Q, P), dict(kind="reverse_kl"), REVERSE),
            ((Q, P), dict(kind="js"), JS),
            ((Q, P), dict(kind="tv"), 0.25),
            # 4 (1 - (sqrt(1/8) + sqrt(3/8)))
            ((Q, P), dict(kind="alpha", alpha=0.5), 4 * (1 - math.sqrt(1 / 8) - math.sqrt(3 / 8))),
            ((Q, P), dict(kind="soft_cross_entropy"), 2 * LN2 - 0.5 * LN3),
            (([0.0, 2 * LN3], P), dict(kind="tv", temperature=2.0), 0.25),
            ((Q, [0.5, 0.5]), dict(kind="kl", target_is="probabilities"), KL),
            ((Q, [-LN2, -LN2]), dict(kind="kl", target_is="log_probabilities"), KL),
            (([Q, Q, P], [P, P, P]), {}, 2 * KL / 3),
            (([Q, Q, P], [P, P, P]), dict(reduction="none"), [KL, KL, 0.0]),
            (([Q, Q, P], [P, P, P]), dict(weight=[1.0, 2.0, 4.0], reduction="sum"), 3 * KL),
            (([Q, Q, P], [P, P, P]), dict(mask=[True, False, True]), KL / 2),
            # A class that the teacher, or the student, lacks: log 4/3 alone remains; infinitely far.
            ((Q, [-math.inf, 0.0]), {}, math.log(4 / 3)),
            (([-math.inf, 0.0], P), {}, math.inf),
            (([-math.inf, 0.0], P), dict(kind="reverse_kl"), LN2),
            (([-math.inf, 0.0], P), dict(kind="tv"), 0.5),
        ),
    ),
)  # fmt: skip
