"""Cases of `fastloss.losses.regression`."""

import math

from cases.engines import Elements

LN2, LN3 = math.log(2), math.log(3)

CASES = (
    Elements(
        "huber_loss", params=({}, {"delta": 0.3}, {"delta": 2}), further={"delta": (0.5, 1e-3, 1e20)},
        points=(((3.0, 0.0), {}, 2.5), ((0.5, 0.0), {}, 0.125), ((1.0, 3.0), {"delta": 0.5}, 0.875)),
        kinks=((1.0, 0.0), (-1.0, 0.0), (0.0, 0.0), (2.5, 1.5)),
    ),
    Elements(
        "smooth_l1_loss", params=({}, {"beta": 0.3}, {"beta": 0.0}, {"beta": 2}),
        further={"beta": (0, 1e-6, 1e-39, 1e-45, 1e20)},
        points=(((3.0, 0.0), {}, 2.5), ((0.5, 0.0), {}, 0.125), ((1.0, 3.0), {"beta": 0.5}, 1.75)),
        kinks=((1.0, 0.0), (-1.0, 0.0), (0.0, 0.0), (2.5, 1.5)),
    ),
    Elements("mse_loss", points=(((3.0, 1.0), {}, 4.0),)),
    Elements("l1_loss", points=(((3.0, 1.0), {}, 2.0),), kinks=((1.0, 1.0), (-0.0, 0.0))),
    Elements(
        "squared_log_loss",
        points=(((math.e - 1, 0.0), {}, 1.0), ((1.0, 3.0), {}, LN2**2), ((0.5, 2.0), {}, LN2**2)),
    ),
    Elements("log_cosh_loss", points=(((LN2, 0.0), {}, math.log(1.25)),)),
    Elements(
        "quantile_loss", params=({}, {"q": 0.9}), further={"q": (0.1,)},
        points=(((1.0, 3.0), {"q": 0.9}, 1.8), ((3.0, 1.0), {"q": 0.75}, 0.5)),
    ),
    Elements(
        "robust_loss",
        params=tuple({"alpha": a, "scale": c} for a, c in (
            (1.0, 1.0), (2, 0.5), (0, 2.0), (-2.0, 1.0), (-math.inf, 3.0), (1.5, 0.5), (3.0, 2.0), (-0.5, 1.0),
            (1e-9, 1.0), (-20.0, 4.0),
        )),
        further={"scale": (1e-3, 1e-39)},
        points=(((3.0, 0.0), {"alpha": 2.0}, 4.5), ((math.sqrt(3), 0.0), {}, 1.0), ((4.0, 0.0), {"alpha": -2.0}, 1.6),
                ((2.0, 0.0), {"alpha": 0.0}, LN3), ((2.0, 0.0), {"alpha": 4.0}, 4.0),
                ((1.0, 0.0), {"alpha": -math.inf, "scale": 0.5}, 1 - math.exp(-2.0))),
        exponent=lambda alpha=1.0, scale=1.0: 0.0 if alpha in (2, 1, 0, -2, -math.inf) else abs(alpha / 2 - 1),
    ),
    Elements("charbonnier_loss", params=({}, {"eps": 0.5}), further={"eps": (1, 1e-20)},
             points=(((3.0, 0.0), {"eps": 4.0}, 5.0),)),
)  # fmt: skip
