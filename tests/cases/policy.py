"""Cases of `fastloss.losses.policy`."""

import math

from cases.engines import Elements

LN2, LN3 = math.log(2), math.log(3)
LOW = (-4.0, -0.1)  # log-probabilities of what is not sure
# Within a factor of 2 of each other, differences are exact: of what has no gradient no error counts in a tolerance.
NEAR = (-2.0, -1.0)
TOKENS = {"input": NEAR, "old_log_probs": NEAR, "ref_log_probs": NEAR}
ANSWERS = dict.fromkeys(("chosen", "rejected", "ref_chosen", "ref_rejected"), NEAR)

CASES = (
    Elements(
        "ppo_clip_loss",
        ranges=TOKENS, params=({}, {"clip_low": 0.5, "clip_high": 1, "delta": 4.0}), further={"delta": (1.1,)},
        points=(
            # Ratios 2, 1/2 and 8.
            ((LN2, 3.0, 0.0), {}, -3.6), ((LN2, -3.0, 0.0), {}, 6.0), ((-LN2, 3.0, 0.0), {}, -1.5),
            ((-LN2, -3.0, 0.0), {}, 2.4), ((3 * LN2, -3.0, 0.0), {"delta": 4.0}, 12.0), ((200.0, 0.0, 0.0), {}, 0.0),
            (([[0.0, LN2], [0.0, 0.0]], [[1.0], [2.0]], [[0.0, 0.0], [0.0, 0.0]]), {}, -(1 + 1.2 + 2 + 2) / 4),
            (([[0.0, LN2], [0.0, 0.0]], [1.0, 2.0], [[0.0, 0.0], [0.0, 0.0]]),
             {"mask": [[True, False], [True, True]], "average": "sequences"}, -(1 + 2) / 2),
            (([[0.0, LN2], [0.0, 0.0]], [1.0, 2.0], [[0.0, 0.0], [0.0, 0.0]]),
             {"mask": [[True, False], [True, True]]}, -(1 + 2 + 2) / 3),
            (([[0.0, LN2], [0.0, 0.0]], [1.0, 2.0], [[0.0, 0.0], [0.0, 0.0]]),
             {"mask": [[True, False], [False, False]], "average": "sequences"}, -1 / 2),
        ),
    ),
    Elements(
        "grpo_loss",
        ranges=TOKENS, params=({}, {"beta": 0.5, "clip_high": 0.28, "average": "tokens"}),
        points=(
            # e^u - u - 1 at u = ln 2 and -ln 2.
            ((0.0, 1.0, 0.0, LN2), {"beta": 2.0}, -1 + 2 * (1 - LN2)),
            ((LN2, 1.0, LN2, 0.0), {"beta": 2.0}, -2 + 2 * LN2),
        ),
    ),
    Elements(
        "cispo_loss",
        ranges=TOKENS, params=({}, {"clip_high": 2}),
        points=(((LN2, 3.0, 0.0), {}, -6 * LN2), ((LN2, 3.0, 0.0), {"clip_high": 1.5}, -4.5 * LN2)),
    ),
    Elements(
        "dpo_loss",
        ranges=ANSWERS,
        params=({}, {"kind": "sigmoid", "beta": 1.5, "label_smoothing": 0.1, "margin": 0.5},
                {"kind": "hinge", "beta": 1}, {"kind": "ipo"}, {"kind": "robust", "label_smoothing": 0.25}),
        points=(
            ((-1.0, -1.0 - LN2, -3.0, -3.0), {"beta": 1.0}, LN3 - LN2),
            ((-1.0, -1.0 - LN2, -3.0, -3.0), {"beta": 1.0, "label_smoothing": 0.25}, LN3 - 0.75 * LN2),
            ((-1.0, -1.0 - LN2, -3.0, -3.0), {"beta": 1.0, "label_smoothing": 0.25, "kind": "robust"}, LN3 - 1.5 * LN2),
            ((-1.0, -1.5, 0.0, 0.0), {"beta": 1.0, "kind": "hinge"}, 0.5),
            ((-1.0, -3.0, 0.0, 0.0), {"beta": 0.5, "kind": "ipo"}, 1.0),
            ((-1.0, -1.0 - LN2, -3.0, -3.0), {"beta": 1.0, "margin": LN2}, LN2),
        ),
    ),
    Elements(
        "kto_loss",
        ranges=TOKENS, params=({}, {"beta": 1.0, "desirable_weight": 2, "undesirable_weight": 0.5}),
        points=(((LN2 - 1.0, 1.0, -2.0, 1.0), {"beta": 1.0}, 1 / 3),
                ((LN2 - 1.0, -1.0, -2.0, 1.0), {"beta": 1.0}, 2 / 3)),
    ),
    Elements(
        "orpo_loss", params=({}, {"beta": 1}), ranges={"chosen": LOW, "rejected": LOW},
        points=(((-LN2, -LN2), {"beta": 1.0}, LN2), ((-LN2, -LN3), {"beta": 2.0}, 2 * math.log(1.5)),
                ((0.0, -LN2), {}, 0.0)),
    ),
)  # fmt: skip
