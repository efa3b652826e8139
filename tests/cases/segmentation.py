"""Cases of `fastloss.losses.segmentation`."""

from torch import Tensor

from cases.engines import Products


def _of_overlaps(p: Tensor, t: Tensor, eps: float = 1.0, alpha: float = 0.3, beta: float = 0.7) -> list[float]:
    """A value in [0, 1], and slopes of the denominator's size, which nothing cancels."""
    least = float((p * t).sum(-1).min()) + eps
    return [1.0, *[(1 + alpha + beta) / least] * 2]


CASES = (
    Products(
        "tversky_loss", terms=_of_overlaps,
        params=({}, {"alpha": 0.5, "beta": 0.5}, {"alpha": 1, "beta": 1, "eps": 1e-6}), further={"eps": (0.5, 2)},
        points=(
            (([[1.0, 0.0]], [[1.0, 1.0]]), {"eps": 0.0}, 0.7 / 1.7),
            (([[1.0, 1.0]], [[1.0, 0.0]]), {"eps": 0.0}, 0.3 / 1.3),
            (([[0.5, 0.5]], [[1.0, 0.0]]), {"alpha": 0.5, "beta": 0.5, "eps": 0.0}, 0.5),
            (([[[1.0, 0.0], [0.0, 0.0]]], [[[1.0, 0.0], [0.0, 0.0]]]), {}, 0.0),
        ),
    ),
)  # fmt: skip
