"""Losses of all pairs of a batch whose activations do not fit (GradCache, Gao et al. 2021)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils import checkpoint


def _split(batch: Any, chunks: int) -> list[Any]:
    """The parts of a batch: a tensor, or a tuple, list or dict with tensors."""
    if isinstance(batch, Tensor):
        return [*batch.tensor_split(chunks)]
    if isinstance(batch, dict):
        parts = [_split(value, chunks) for value in batch.values()]
        return [dict(zip(batch, values, strict=True)) for values in zip(*parts, strict=True)]
    if isinstance(batch, tuple | list):
        return [*zip(*(_split(value, chunks) for value in batch), strict=True)]
    return [batch] * chunks


def _apply(encoder: Callable[..., Tensor], part: Any) -> Tensor:
    """The encoder of a part that is its only argument, its arguments, or its keywords."""
    if isinstance(part, dict):
        return encoder(**part)
    return encoder(*part) if isinstance(part, tuple) else encoder(part)


def _again_later(encoder: Callable[..., Tensor], part: Any) -> Tensor:
    """The encoder's output without its activations, which backward makes again with the random numbers of forward."""
    if not torch.is_grad_enabled():
        return _apply(encoder, part)
    made: Tensor = checkpoint.checkpoint(_apply, encoder, part, use_reentrant=False)
    return made


def grad_cache(
    loss: Callable[..., Tensor], encoders: Sequence[Callable[..., Tensor]], chunks: int
) -> Callable[..., Tensor]:
    """A loss of a whole batch of which only one part's activations exist at a time (GradCache, Gao et al. 2021).

    The parts are encoded one after the other, and their activations are dropped. The loss sees the vectors of the whole
    batch, so every pair counts. Backward encodes part after part again, with the random numbers of forward (dropout).
    Value and gradients are those of one pass, but for layers that mix samples (batch normalisation sees a part, twice).
    The price is a second forward of the encoders.

    Args:
        loss: Of the vectors that the encoders make, one tensor from each: `info_nce_loss`, `clip_loss`, any other.
        encoders: Modules or functions, each of a part of its batch. DistributedDataParallel works; such modules average
            gradients, so losses with ``group=`` need ``ddp=True``.
        chunks: Number of parts.

    Returns:
        A function of the batches, one for each encoder, and of the loss's keyword arguments. A batch is a tensor, a
        tuple of arguments or a dict of keywords, whose tensors are split along their first dimension.

    Raises:
        ValueError: ``chunks`` is below 1, or there are not as many batches as encoders.

    Example:
        >>> left, right = torch.nn.Linear(16, 8), torch.nn.Sequential(torch.nn.Linear(32, 8), torch.nn.Dropout(0.1))
        >>> step = fastloss.grad_cache(fastloss.functional.info_nce_loss, [left, right], chunks=4)
        >>> step(torch.randn(64, 16), torch.randn(64, 32), temperature=0.1).backward()
    """
    if chunks < 1:
        raise ValueError(f"fastloss.grad_cache: chunks must be 1 or more, got {chunks}")

    def step(*batches: Any, **options: Any) -> Tensor:
        if len(batches) != len(encoders):
            raise ValueError(
                f"fastloss.grad_cache: got {len(batches)} batches, expected one for each of {len(encoders)}"
            )
        vectors = []
        for encoder, batch in zip(encoders, batches, strict=True):
            vectors.append(torch.cat([_again_later(encoder, part) for part in _split(batch, chunks)]))
        return loss(*vectors, **options)

    return step
