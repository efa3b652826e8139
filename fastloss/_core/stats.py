"""What a row loss can tell about its batch for free."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class RowStats(NamedTuple):
    r"""Metrics of one batch, made in the same pass as its loss (``return_stats=True``).

    A *row* is one sample or pixel, :math:`z` its logits (after ``softcap`` and ``temperature``), :math:`p` their
    softmax and :math:`y` its class. Means run over the kept rows (neither ignored nor masked out), each counted once:
    class weights and label smoothing do not enter. Without kept rows they are NaN and ``grad_norm`` is 0.

    Every field is a detached 0-d tensor on the input's device, so reading one is the only synchronisation.

    Attributes:
        accuracy: Fraction of rows whose largest logit, the first of equals, is at the target (for probability
            targets: at the largest probability). float64.
        entropy: Mean of :math:`-\sum_c p_c \log p_c`, in nats, from 0 to :math:`\log C`. float64.
        perplexity: :math:`\exp` of the mean of :math:`-\log p_y` (probability targets:
            :math:`-\sum_c t_c \log p_c`). float64.
        mean_lse: Mean of :math:`\log\sum_c e^{z_c}`, the quantity that ``z_loss`` keeps small. float64.
        grad_norm: Euclidean norm of the loss's gradient with respect to the input, for an upstream gradient
            of one (ones, for ``reduction="none"``), before it is rounded to the input's dtype. float64.
        finite: Whether the loss and its whole gradient are finite. bool.
        count: Number of kept rows. int64.
    """

    accuracy: Tensor
    entropy: Tensor
    perplexity: Tensor
    mean_lse: Tensor
    grad_norm: Tensor
    finite: Tensor
    count: Tensor  # type: ignore[assignment]

    @classmethod
    def from_vector(cls, vector: Tensor) -> RowStats:
        """The statistics from a kernel's float64 vector, which holds them in the order of the fields."""
        accuracy, entropy, perplexity, mean_lse, grad_norm, finite, count = vector.unbind()
        return cls(accuracy, entropy, perplexity, mean_lse, grad_norm, finite != 0, count.to(torch.int64))


class TokenLogprobs(NamedTuple):
    """Outputs of rows of logits, each differentiable; None where it was not asked for.

    Attributes:
        logprob: Log-probability of each target.
        entropy: Of each row's distribution, in nats.
        lse: Log-sum-exp of each row's logits, after cap and temperature.

    Example:
        >>> fastloss.functional.token_logprobs(torch.zeros(1, 2), torch.tensor([0]), return_lse=True).lse
        tensor([0.6931])
    """

    logprob: Tensor | None = None
    entropy: Tensor | None = None
    lse: Tensor | None = None


class TokenHits(NamedTuple):
    """`TokenLogprobs`, and which targets have the largest logit.

    Attributes:
        logprob, entropy, lse: As in `TokenLogprobs`.
        hit: Whether the largest logit of the row, the first of equals, is that of the target; False where the target is
            ignored. bool, shape of the targets.

    Example:
        >>> fastloss.functional.token_logprobs(torch.eye(2), torch.tensor([0, 0]), return_hits=True).hit
        tensor([ True, False])
    """

    logprob: Tensor | None
    entropy: Tensor | None
    lse: Tensor | None
    hit: Tensor


class PointStats(NamedTuple):
    """Metrics of one call of a pointwise loss, made in the same pass (``return_stats=True``).

    Of a loss over pairs of vectors likewise, with rows in the place of elements.

    Attributes:
        grad_norm: Euclidean norm of the loss's gradient with respect to its first argument, for an upstream gradient of
            one (ones, for ``reduction="none"``), before it is rounded to the argument's dtype. float64.
        finite: Whether the loss and that gradient are finite. bool.
        count: Number of elements that the mask keeps. int64.
    """

    grad_norm: Tensor
    finite: Tensor
    count: Tensor  # type: ignore[assignment]


class RegionStats(NamedTuple):
    r"""Metrics of the regions of one call, made in the same pass as its loss (``return_stats=True``).

    Each is detached, float64, and has a number for every term of the loss, sample and class, or class alone with
    ``batch=True``. With :math:`I = \sum p t` and :math:`D = \sum p (1 - t) + t (1 - p)`, or :math:`\sum (p - t)^2` with
    ``squared=True``:

    Attributes:
        dice: :math:`2 I / (2 I + D)`; NaN where nothing is there and nothing is found.
        iou: :math:`I / (I + D)`, likewise.
        mass: :math:`\sum t`, of classes as targets the number of pixels.
    """

    dice: Tensor
    iou: Tensor
    mass: Tensor
