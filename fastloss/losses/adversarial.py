"""Losses of adversarial training: sums of pointwise losses of the discriminator's scores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from fastloss._core import route
from fastloss._core._torch import F
from fastloss._core.formula import above_zero
from fastloss.engines.composition import loss
from fastloss.engines.elements import run
from fastloss.losses.classification import binary_cross_entropy_with_logits, hinge_loss
from fastloss.losses.regression import mse_loss

__all__ = [
    "gan_discriminator_loss",
    "gan_generator_loss",
]

MODES = ("non_saturating", "hinge", "least_squares", "wasserstein")
_WORDS = {"mode": MODES, "reduction": ("mean", "sum")}


def _term(scores: Tensor, sign: int, mode: str) -> tuple[Callable[..., Tensor], tuple[Tensor, ...]]:
    """The pointwise loss of scores that should be high (``sign`` 1) or low (-1), and its arguments."""
    if mode == "wasserstein":
        return _negative_score if sign == 1 else _plain_score, (scores,)
    # One number for all elements; nothing of the size of the scores is made.
    label = sign if mode == "hinge" else max(sign, 0)
    target = torch.full((), label, dtype=scores.dtype, device=scores.device).expand(scores.shape)
    return _LOSSES[mode], (scores, target)


def _plain_score(scores: Tensor, reduction: str) -> Tensor:
    if route.watched:
        route.take("gan_loss", "native", "a mean of scores is PyTorch's")
    return scores.sum() if reduction == "sum" else scores.mean()


def _negative_score(scores: Tensor, reduction: str) -> Tensor:
    return -_plain_score(scores, reduction)


def _half_square(scores: Tensor, target: Tensor, reduction: str) -> Tensor:
    return 0.5 * mse_loss(scores, target, reduction=reduction)


def _softplus(scores: Tensor, target: Tensor, reduction: str) -> Tensor:
    """Binary cross entropy, but never PyTorch's operator, which rounds p - y of half scores to their precision."""
    arguments = {"input": scores, "target": target, "weight": None, "pos_weight": None}
    return run(binary_cross_entropy_with_logits.record, arguments, reduction, {})


_LOSSES: dict[str, Callable[..., Tensor]] = {
    "non_saturating": _softplus,
    "hinge": hinge_loss,
    "least_squares": _half_square,
}


def _score(scores: Tensor, sign: int, mode: str, reduction: str) -> Tensor:
    term, arguments = _term(scores, sign, mode)
    return term(*arguments, reduction=reduction)


def _plain(x: Tensor, sign: int, mode: str, reduction: str) -> Tensor:
    """The same in plain PyTorch."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    if mode == "non_saturating":
        value = F.softplus(-sign * wide)
    elif mode == "hinge":
        value = above_zero(1 - sign * wide)
    elif mode == "least_squares":
        value = 0.5 * (wide - (1 if sign > 0 else 0)) ** 2
    else:
        value = -sign * wide
    return (value.sum() if reduction == "sum" else value.mean()).to(x.dtype)


def _of_generator(mode: str) -> str:
    return "wasserstein" if mode == "hinge" else mode


@loss(room="adversarial", title="GANGeneratorLoss", words=_WORDS)
def gan_generator_loss(
    fake: Tensor,
    mode: Literal["non_saturating", "hinge", "least_squares", "wasserstein"] = "non_saturating",
    reduction: Literal["mean", "sum"] = "mean",
) -> Tensor:
    r"""What a generator pays for the scores d that the discriminator gives its samples.

    ===================  ==========================  =====================================================
    ``mode``             loss                        paper
    ===================  ==========================  =====================================================
    ``non_saturating``   :math:`\log(1 + e^{-d})`    Goodfellow et al. 2014, https://arxiv.org/abs/1406.2661
    ``hinge``            :math:`-d`                  Lim and Ye 2017, https://arxiv.org/abs/1705.02894
    ``least_squares``    :math:`\tfrac12 (d - 1)^2`  Mao et al. 2017, https://arxiv.org/abs/1611.04076
    ``wasserstein``      :math:`-d`                  Arjovsky et al. 2017, https://arxiv.org/abs/1701.07875
    ===================  ==========================  =====================================================

    Equivalent to ``F.softplus(-fake).mean()``, ``-fake.mean()`` or ``0.5 * (fake - 1).square().mean()``.

    Args:
        fake: Scores (logits), any shape.
        mode: As above.
        reduction: ``"mean"`` or ``"sum"``.

    Returns:
        The loss, shape ``()``.

    Dtypes, gradient, memory, accuracy: those of `binary_cross_entropy_with_logits` and `mse_loss`;
        ``-fake.mean()`` is PyTorch's.
    Raises: ValueError for another mode or reduction.
    """
    return _score(fake, 1, _of_generator(mode), reduction)


@gan_generator_loss.formula
def _(fake: Tensor, mode: str = "non_saturating", reduction: str = "mean") -> Tensor:
    r""":math:`\log(1 + e^{-D(G)})`, :math:`\tfrac12 (D(G) - 1)^2`, or for hinge and Wasserstein :math:`-D(G)`."""
    return _plain(fake, 1, _of_generator(mode), reduction)


@loss(room="adversarial", title="GANDiscriminatorLoss", words=_WORDS)
def gan_discriminator_loss(
    real: Tensor,
    fake: Tensor,
    mode: Literal["non_saturating", "hinge", "least_squares", "wasserstein"] = "non_saturating",
    reduction: Literal["mean", "sum"] = "mean",
) -> Tensor:
    r"""What a discriminator pays for its scores r of real samples and d of generated ones.

    ===================  ============================================================
    ``mode``             loss, each term reduced by itself
    ===================  ============================================================
    ``non_saturating``   :math:`\log(1 + e^{-r}) + \log(1 + e^d)`
    ``hinge``            :math:`\max(0, 1 - r) + \max(0, 1 + d)`
    ``least_squares``    :math:`\tfrac12 (r - 1)^2 + \tfrac12 d^2`
    ``wasserstein``      :math:`d - r`
    ===================  ============================================================

    Equivalent to ``F.softplus(-real).mean() + F.softplus(fake).mean()`` and so on; papers as in `gan_generator_loss`.

    Args:
        real, fake: Scores (logits); each of any shape, they need not match.
        mode: As above.
        reduction: ``"mean"`` or ``"sum"``.

    Returns:
        The loss, shape ``()``.

    Dtypes, gradient, memory, accuracy: those of `binary_cross_entropy_with_logits`, `hinge_loss` and `mse_loss`.
    Raises: ValueError for another mode or reduction.
    """
    return route.added(real=lambda: _score(real, 1, mode, reduction), fake=lambda: _score(fake, -1, mode, reduction))


@gan_discriminator_loss.formula
def _(real: Tensor, fake: Tensor, mode: str = "non_saturating", reduction: str = "mean") -> Tensor:
    r"""The loss of real scores that should be high plus that of fake ones that should be low."""
    return _plain(real, 1, mode, reduction) + _plain(fake, -1, mode, reduction)
