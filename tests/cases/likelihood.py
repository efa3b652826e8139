"""Cases of `fastloss.losses.likelihood`."""

import math

from cases.engines import Elements

LN2, LN2PI = math.log(2), math.log(2 * math.pi)

# Of Student's t and the negative binomial derivatives of gamma functions cancel in the formula, of which our measure in
# float64 is made: for dispersions below 0.5 more than here.
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
    Elements(
        "beta_nll_loss", params=({}, {"beta": 1.5, "full": False}), further={"beta": (0, 1)},
        points=(
            ((1.0, 3.0, 2.0), {"beta": 1.0}, LN2 + 2.0 + LN2PI), ((1.0, 3.0, 4.0), {"full": False}, 2 * LN2 + 1.0),
            ((1.0, 3.0, 4.0), {"beta": 0.0, "eps": 4.5}, 0.5 * (math.log(4.5) + 4 / 4.5 + LN2PI)),
        ),
        exponent=lambda beta=0.5: beta,
    ),
    Elements(
        "laplace_nll_loss",
        points=(((1.0, 3.0, 0.5), {}, 4.0), ((1.0, 1.0, 1.0), {}, LN2), ((1.0, 3.0, 0.0), {"eps": 0.5}, 4.0)),
        kinks=((1.0, 1.0, 2.0),),
    ),
    Elements(
        "student_t_nll_loss", cancelling=(0.0, 0.0, 0.0, 0.2),
        points=(
            # Cauchy, two degrees of freedom (density (2 + z^2)^(-3/2)), and the Gaussian.
            ((1.0, 3.0, 2.0, 1.0), {}, math.log(4 * math.pi)), ((2.0, 0.0, math.sqrt(2), 2.0), {}, 3.5 * LN2),
            ((1.0, 3.0, 2.0, math.inf), {}, LN2 + 0.5 * LN2PI + 0.5),
        ),
    ),
    Elements(
        "negative_binomial_nll_loss", ranges={"dispersion": (0.5, 4.0)}, cancelling=(1.0, 4.0),
        points=(
            # Geometric, r = 1: 1 / (1 + x) for 0, and r = 2; Poisson.
            ((3.0, 0.0, 1.0), {}, 2 * LN2), ((1.0, 3.0, 1.0), {}, 4 * LN2), ((2.0, 2.0, 0.5), {}, math.log(16 / 3)),
            ((3.0, 0.0, 0.0), {}, 3.0), ((2.0, 1.0, 0.0), {}, 2.0 - LN2), ((0.0, 0.0, 0.5), {}, 0.0),
        ),
    ),
    Elements(
        "tweedie_loss", params=({}, {"power": 1}, {"power": 3.0}), further={"power": (0, 2, 1.9)},
        ranges={"target": (0.1, 6.0)}, exponent=lambda power=1.5: abs(1 - power) + 1,
        points=(
            ((1.0, 3.0), {"power": 0.0}, 2.0), ((4.0, 0.0), {}, 4.0), ((4.0, 1.0), {}, 1.0),
            ((1.0, 2.0), {"power": 1.0}, 2 * LN2 - 1), ((1.0, 2.0), {"power": 2.0}, 1 - LN2),
            ((3.0, 0.0), {"power": 1.0}, 3.0), ((3.0, 3.0), {}, 0.0), ((2.0, 1.0), {"power": 3.0}, 0.125),
            ((2.0, 0.0), {"power": 2.0}, math.inf),
        ),
    ),
)  # fmt: skip
