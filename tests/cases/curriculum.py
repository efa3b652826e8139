"""Cases of `fastloss.losses.curriculum`."""

import math

from cases.engines import Elements

CASES = (
    Elements(
        "super_loss", needs={"tau": 1.5}, params=({}, {"tau": 3, "lam": 0.25}, {"lam": 2}),
        points=(
            # At the threshold sigma is 1; at tau + 2 lam e it is 1 / e, as W(e) = 1; far below it is e.
            ((2.0,), dict(tau=2.0), 0.0), ((1.0 + 2 * math.e,), dict(tau=1.0), 3.0),
            ((0.0,), dict(tau=4.0), -4 * math.e + 1), ((0.0,), dict(tau=4.0, lam=0.5), -4 * math.e + 0.5),
        ),
    ),
)  # fmt: skip
