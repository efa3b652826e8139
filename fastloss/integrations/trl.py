"""TRL: log-probabilities and entropies of tokens."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from fastloss import functional
from fastloss.integrations import NO_INDEX, Seam, worth

__all__ = ["SEAMS"]


def _takes(logits: Any, index: Any, row_mask: Any) -> bool:
    """Whether these are logits on the CPU, classes of each row and a mask of rows."""
    return (
        isinstance(logits, Tensor)
        and logits.is_floating_point()
        and logits.device.type == "cpu"  # elsewhere TRL has a kernel of its own
        and (index is None or index.shape[: logits.dim() - 1] == logits.shape[:-1])
        and (row_mask is None or row_mask.shape == logits.shape[:-1])
    )


def _selective_log_softmax(logits: Any, index: Any, temperature: float = 1.0, row_mask: Any = None) -> Any:
    if temperature <= 0 or not _takes(logits, index, row_mask):
        return NotImplemented
    if index.dim() == logits.dim() and not worth(logits, 2**14):
        return NotImplemented
    return functional.token_logprobs(
        logits, index, temperature=temperature, ignore_index=NO_INDEX, mask=None if row_mask is None else row_mask != 0
    )


def _entropy_from_logits(logits: Any, chunk_size: int = 128) -> Any:
    if not _takes(logits, None, None) or not worth(logits, 2**14):
        return NotImplemented
    return functional.token_logprobs(logits, None, return_entropy=True).entropy


def _selective_log_softmax_and_entropy(
    logits: Any,
    index: Any,
    entropy_requires_grad: bool = True,
    temperature: float = 1.0,
    row_mask: Any = None,
) -> Any:
    if temperature <= 0 or not _takes(logits, index, row_mask):
        return NotImplemented
    made: Any = functional.token_logprobs(
        logits, index, temperature=temperature, return_entropy=True, ignore_index=NO_INDEX,
        mask=None if row_mask is None else row_mask != 0,
    )  # fmt: skip
    return made.logprob, made.entropy if entropy_requires_grad else made.entropy.detach()


_WHY = "one read of the logits, nothing of their size is kept; on the CPU, elsewhere TRL's own runs"
SEAMS = (
    Seam("trl.trainer.utils", "selective_log_softmax", _selective_log_softmax, _WHY),
    Seam("trl.trainer.utils", "entropy_from_logits", _entropy_from_logits, _WHY),
    Seam("trl.trainer.utils", "selective_log_softmax_and_entropy", _selective_log_softmax_and_entropy, _WHY),
)
