"""A loss of elements to copy, with `csrc/losses/example.h`. It is no public loss: `fastloss.losses` leaves it out."""

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
    "example_loss",
]


# Facts that set the loss apart; those that it has in common with most are the defaults of `Loss`.
@loss(params=("eps",), domains={"eps": NOT_NEGATIVE})
def example_loss(
    input: Tensor,
    target: Tensor,
    eps: float | Tensor = 0.1,
    reduction: str = "mean",
    **options: Unpack[WeightedPointOptions],
) -> Problem:
    r"""Absolute error beyond a tolerance (Vapnik 1995), :math:`\ell = \max(0, |x - y| - \epsilon)`.

    Equivalent to ``((input - target).abs() - eps).clamp_min(0).mean()``.

    Args:
        input, target: Predictions and values.
        eps: :math:`\epsilon`, what costs nothing, 0 or more; float or 0-d tensor.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.
    """
    return Problem({"input": input, "target": target, "eps": eps}, reduction, options)


# The specification, in plain PyTorch and without weight, mask and reduction: of the tensors and the hyperparameters.
@example_loss.formula
def _(x: Tensor, y: Tensor, eps: Number) -> Tensor:
    r""":math:`\max(0, |x - y| - \epsilon)`."""
    return ((x - y).abs() - as_number(eps, x)).clamp_min(0)
