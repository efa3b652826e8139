"""Cases of `fastloss.losses.ranking`."""

import math

from cases.engines import Rows

CASES = (
    Rows(
        "multiclass_hinge_loss",
        params=({}, {"kind": "weston_watkins"}, {"margin": 0.25}), further={"margin": (2, -1.0)},
        spread=lambda classes: 2.0 + 4.0 * classes,  # what is added, of twice the largest score
        points=(
            (([1.0, 3.0, 2.5], 1), {}, 0.5), (([1.0, 3.0, 2.5], 0), {}, 3.0),
            (([1.0, 3.0, 2.5], 0), dict(kind="weston_watkins"), 3.0 + 2.5),
            (([[1.0, 3.0, 2.5], [0.0, 9.0, 0.0]], [0, 1]), dict(weight=[1.0, 2.0, 4.0]), 3.0 / 3),
            (([1.0, 3.0, 2.5], -100), {}, math.nan), (([1.0], 0), {}, 0.0),
        ),
    ),
    Rows(
        "listnet_loss", items=True,
        points=(
            (([0.0, 0.0], [0.0, 5.0]), {}, math.log(2)),
            (([0.0, 0.0, 9.0], [0.0, 5.0, 1.0]), dict(mask=[True, True, False]), math.log(2)),
            (([[0.0, 0.0], [1.0, 2.0]], [[0.0, 5.0], [0.0, 0.0]]), dict(mask=[[True, True], [False, False]]),
             math.log(2)),
        ),
    ),
)  # fmt: skip
