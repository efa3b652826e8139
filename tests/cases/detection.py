"""Cases of `fastloss.losses.detection`."""

import math

from cases.engines import Elements

# Two squares of area 4 that share a corner of area 1, and two apart. C = 9, d = (1, 1).
A, B, FAR = [0.0, 0.0, 2.0, 2.0], [1.0, 1.0, 3.0, 3.0], [4.0, 0.0, 5.0, 1.0]
IOU = 6 / 7
LN2, LN3 = math.log(2), math.log(3)


def _exponent(*exponents: float) -> float:
    """Of the powers that are not products."""
    return max(0.0 if exponent in (0, 1, 2, 3, 4) else exponent for exponent in exponents)


CASES = (
    Elements(
        "box_iou_loss",
        params=(
            {}, {"kind": "iou", "format": "xywh"}, {"kind": "diou", "format": "cxcywh"}, {"kind": "ciou"},
            {"kind": "eiou", "format": "xywh"}, {"kind": "siou"}, {"kind": "ciou", "format": "cxcywh", "eps": 0.5},
        ),
        further={"eps": (0, 1e-3)}, cancelling=(1.0, 1.0),  # terms as large as the inverse of a size
        points=(
            ((A, B), {"eps": 0.0}, IOU + 2 / 9), ((A, A), {"eps": 0.0}, 0.0), ((A, FAR), {"eps": 0.0}, 1 + 5 / 10),
            ((A, B), {"kind": "iou", "eps": 0.0}, IOU), ((A, FAR), {"kind": "iou"}, 1.0),
            ((A, B), {"kind": "diou", "eps": 0.0}, IOU + 2 / 18),
            ((A, B), {"kind": "ciou", "eps": 0.0}, IOU + 2 / 18),
            ((A, [0.0, 0.0, 2.0, 0.0]), {"kind": "ciou", "eps": 0.0}, 1 + 1 / 8 + (1 / 4) ** 2 / (1 + 1 / 4)),
            ((A, B), {"kind": "eiou", "eps": 0.0}, IOU + 2 / 18),
            ((A, [0.0, 0.0, 2.0, 1.0]), {"kind": "eiou", "eps": 0.0}, 0.5 + 0.25 / 8 + 1 / 4),
            ((A, B), {"kind": "siou", "eps": 0.0}, IOU + 1 - math.exp(-1 / 9)),
            ((A, [0.0, 0.0, 2.0, 1.0]), {"kind": "siou", "eps": 0.0},
             0.5 + (1 - math.exp(-2 / 16)) / 2 + (1 - math.exp(-1 / 2)) ** 4 / 2),
            (([0.0, 0.0, 2.0, 2.0], [1.0, 1.0, 2.0, 2.0]), {"format": "xywh", "eps": 0.0}, IOU + 2 / 9),
            (([1.0, 1.0, 2.0, 2.0], [2.0, 2.0, 2.0, 2.0]), {"format": "cxcywh", "eps": 0.0}, IOU + 2 / 9),
            *(((a, a), {"kind": kind}, 1.0) for a in ([1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 2.0, 1.0])
              for kind in ("iou", "giou", "diou", "ciou", "eiou", "siou")),
        ),
    ),
    Elements(
        "quality_focal_loss", params=({}, {"beta": 0.0}, {"beta": 1.0}, {"beta": 0.5}, {"beta": 3.3}),
        further={"beta": (0, 3, 4)},
        points=(((0.0, 1.0), {}, LN2 / 4), ((LN2, 0.0), {"beta": 1.0}, 2 / 3 * LN3), ((0.0, 0.5), {}, 0.0)),
        exponent=lambda beta=2.0: _exponent(beta), cancelling=(1.0, 1.0),
    ),
    Elements(
        "varifocal_loss", params=({}, {"gamma": 0.0}, {"gamma": 0.5, "alpha": 2.0}), further={"gamma": (1, 3, 3.3)},
        points=(((0.0, 0.0), {}, 0.75 * LN2 / 4), ((LN2, 0.5), {}, 0.5 * (LN3 - LN2 / 2)), ((0.0, 1.0), {}, LN2)),
        exponent=lambda gamma=2.0: _exponent(gamma), cancelling=(1.0,),  # p and y, which is fixed
    ),
    Elements(
        "gaussian_focal_loss", params=({}, {"alpha": 0.0, "gamma": 0.0}, {"alpha": 3.3, "gamma": 2.5}),
        further={"alpha": (1, 0.5), "gamma": (2, 0.5)},
        points=(((0.0, 1.0), {}, LN2 / 4), ((LN2, 0.5), {"gamma": 2.0}, LN3 / 9),
                ((0.0, 0.0), {"alpha": 1.0}, LN2 / 2)),
        exponent=lambda alpha=2.0, gamma=4.0: _exponent(alpha, gamma),
    ),
    Elements(
        "balanced_l1_loss", params=({}, {"alpha": 1.0, "gamma": 1.0}, {"beta": 0.5, "gamma": 2.0}),
        further={"beta": (2, 1e-3), "alpha": (2,)},
        points=(
            ((2.0, 0.0), {"alpha": 1.0, "gamma": LN2}, 3 * LN2 - 1), ((0.5, 0.0), {"alpha": 1.0, "gamma": LN2},
             1.5 * math.log(1.5) - 0.5), ((0.0, 4.0), {"alpha": 1.0, "gamma": LN2, "beta": 2.0}, 5 * LN2 - 2),
        ),
    ),
)  # fmt: skip
