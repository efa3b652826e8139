"""Cases of `fastloss.losses.likelihood`."""

import math

from cases.engines import Elements

LN2 = math.log(2)

CASES = (
    Elements(
        "poisson_nll_loss",
        params=({}, {"full": True}, {"log_input": False}, {"log_input": False, "full": True, "eps": 1e-3}),
        points=(((0.0, 3.0), {}, 1.0), ((1.0, 3.0), {"log_input": False, "eps": 0.0}, 1.0)), kinks=((1.0, 1.0),),
    ),
    Elements(
        "gaussian_nll_loss", params=({}, {"full": True}, {"eps": 0.5}), further={"eps": (1,)},
        points=(((1.0, 3.0, 2.0), {}, 0.5 * (LN2 + 2.0)),), kinks=((1.0, 2.0, 0.0), (1.0, 2.0, 1e-6)),
    ),
    Elements(
        "kl_div", params=({}, {"log_target": True}), kinks=((0.5, 0.0),),
        points=(((0.0, 0.5), {}, -0.5 * LN2), ((0.0, LN2), {"log_target": True}, 2 * LN2)),
    ),
)  # fmt: skip
