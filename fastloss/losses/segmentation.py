"""Losses of regions: overlaps of masks, summed over pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from fastloss._core.formula import Number, as_number
from fastloss._core.options import NOT_NEGATIVE
from fastloss._core.record import Problem
from fastloss.engines.elements import loss

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from fastloss._core.options import WeightedPointOptions

__all__ = [
    "tversky_loss",
]


@loss(
    params=("alpha", "beta", "eps"),
    holds={"input": "probability", "target": "probability"},
    domains={"alpha": NOT_NEGATIVE, "beta": NOT_NEGATIVE, "eps": NOT_NEGATIVE},
    pairs=True,
)
def tversky_loss(
    input: Tensor,
    target: Tensor,
    alpha: float | Tensor = 0.3,
    beta: float | Tensor = 0.7,
    eps: float | Tensor = 1.0,
    reduction: str = "mean",
    **options: Unpack[WeightedPointOptions],
) -> Problem:
    r"""One minus the Tversky index of every class of every sample (Salehi et al. 2017), of probabilities p and masks t:

    .. math::
        \ell = 1 - \frac{\sum p t + e}
                        {\sum p t + \alpha \sum p (1 - t) + \beta \sum t (1 - p) + e}.

    ``alpha=0.5, beta=0.5`` is the soft Dice loss with e / 2 beside each product, ``alpha=1, beta=1`` the Jaccard loss.

    The same loss elsewhere, of probabilities and with a reduction over samples and classes:

    ======================================  ==================================================================
    there                                   here
    ======================================  ==================================================================
    MONAI ``TverskyLoss(alpha, beta)``      ``tversky_loss(p, t, alpha, beta, eps=1e-5)``
    smp ``TverskyLoss(alpha=, beta=)``      sums over the batch too: ``p.transpose(0, 1).flatten(1)``, ``eps=smooth``
    ======================================  ==================================================================

    Args:
        input, target: Probabilities and masks in [0, 1], shape :math:`(N, C, d_1, ..., d_K)`; of fewer than three
            dimensions the last one holds the pixels.
        alpha: Weight of what is marked and should not be, 0 or more; float or 0-d tensor.
        beta: Weight of what should be marked and is not.
        eps: e. With 0 a class that neither has gives NaN.
        reduction: ``"none"`` (a value for every sample and class), ``"mean"`` or ``"sum"``.
    """
    if isinstance(input, Tensor) and isinstance(target, Tensor) and input.dim() > 3 and target.dim() > 3:
        input, target = input.flatten(2), target.flatten(2)
    arguments = {"input": input, "target": target, "alpha": alpha, "beta": beta, "eps": eps}
    return Problem(arguments, reduction, options)


@tversky_loss.formula
def _(p: Tensor, t: Tensor, alpha: Number, beta: Number, eps: Number) -> Tensor:
    r""":math:`w / (\sum p t + w + e)`, w what is wrong, :math:`\alpha \sum p (1 - t) + \beta \sum t (1 - p)`."""
    p, t = p.double(), t.double()
    wrong = as_number(alpha, p) * (p * (1 - t)).sum(-1) + as_number(beta, p) * (t * (1 - p)).sum(-1)
    return wrong / ((p * t).sum(-1) + wrong + as_number(eps, p))
