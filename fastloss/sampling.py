"""Negatives for losses of sampled classes, `sampled_softmax_loss` and `gbce_loss`, drawn with replacement."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Negatives", "log_uniform", "uniform"]


class Negatives(NamedTuple):
    """Sampled classes.

    Attributes:
        classes: int64, of the shape that was asked for.
        log_q: For `sampled_softmax_loss`, float32: of the targets, which are there once, 0; of these classes the
            logarithm of how often each is expected among a row's samples.
    """

    classes: Tensor
    log_q: tuple[Tensor, Tensor]


def _check(name: str, target: Tensor, num_classes: int, shape: int | tuple[int, ...]) -> tuple[int, ...]:
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    if num_classes < 1 or not shape or min(shape) < 0:
        raise ValueError(
            f"fastloss.sampling.{name}: expected num_classes of 1 or more and shape (K) or (N, K), got {num_classes} "
            f"and {shape}"
        )
    if not isinstance(target, Tensor):
        raise TypeError(f"fastloss.sampling.{name}: target is {type(target).__name__}, expected a Tensor of classes")
    return shape


def _made(target: Tensor, classes: Tensor, log_q: Tensor) -> Negatives:
    return Negatives(classes, (log_q.new_zeros(target.shape), log_q))


def uniform(
    target: Tensor, num_classes: int, shape: int | tuple[int, ...], generator: torch.Generator | None = None
) -> Negatives:
    """Negatives, each class as likely as any other.

    Args:
        target: Classes of the rows.
        num_classes: C.
        shape: K, for all rows alike, or (N, K).
        generator: Of random numbers, on the device. None: PyTorch's own.

    Example:
        >>> target = torch.tensor([3, 7])
        >>> negatives, log_q = fastloss.sampling.uniform(target, 1000, 100)
        >>> negatives.shape, log_q[1].exp().unique()
        (torch.Size([100]), tensor([0.1000]))
    """
    shape = _check("uniform", target, num_classes, shape)
    classes = torch.randint(num_classes, shape, generator=generator, device=target.device)
    return _made(target, classes, torch.full(shape, math.log(max(shape[-1], 1) / num_classes), device=target.device))


def log_uniform(
    target: Tensor, num_classes: int, shape: int | tuple[int, ...], generator: torch.Generator | None = None
) -> Negatives:
    r"""Negatives by Zipf's law, as TensorFlow's ``log_uniform_candidate_sampler`` has it:

    .. math::
        q_c = \log\frac{c + 2}{c + 1} \Big/ \log (C + 1),

    for classes in the order of falling frequency.

    Args:
        target, num_classes, shape, generator: As in `uniform`.

    Example:
        >>> hidden, items = torch.randn(8, 16, requires_grad=True), torch.randn(1000, 16, requires_grad=True)
        >>> target = torch.randint(1000, (8,))
        >>> negatives, log_q = fastloss.sampling.log_uniform(target, 1000, 100)
        >>> fastloss.functional.sampled_softmax_loss(hidden, items, target, negatives, log_q=log_q).backward()
    """
    shape = _check("log_uniform", target, num_classes, shape)
    whole = math.log(num_classes + 1)
    u = torch.rand(shape, generator=generator, dtype=torch.float64, device=target.device)
    classes = ((u * whole).exp().long() - 1).clamp(0, num_classes - 1)
    log_q = torch.log1p(1 / (classes + 1).double()).log() + math.log(max(shape[-1], 1) / whole)
    return _made(target, classes, log_q.float())
