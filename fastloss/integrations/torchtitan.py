"""torchtitan: the loss of its trainer, and log-probabilities for reinforcement learning."""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from fastloss import functional
from fastloss.integrations import Seam, worth

__all__ = ["SEAMS"]


def _whole(*tensors: Any) -> bool:
    """Whether every process has all classes of its rows."""
    if any(not isinstance(t, Tensor) or isinstance(t, DTensor) for t in tensors):
        return False
    room = vars(sys.modules["torchtitan.components.loss"])
    return not (room["get_spmd_backend"]() == "spmd_types" and room["spmd_mesh_size"]("tp") > 1)


def _cross_entropy(pred: Any, labels: Any, *, global_vocab_size: int | None = None) -> Any:
    if not _whole(pred, labels):
        return NotImplemented
    if pred.dtype == torch.float32:
        return functional.cross_entropy(pred.flatten(0, 1), labels.flatten(0, 1), reduction="sum")
    if not worth(pred, 2**17):
        return NotImplemented
    return functional.cross_entropy(pred.flatten(0, 1), labels.flatten(0, 1), reduction="sum", loss_dtype=torch.float32)


def _logprobs(logits: Any, labels: Any, *, return_entropy: bool = False) -> Any:
    if not _whole(logits, labels) or logits.dim() != 3 or not worth(logits, 2**14):
        return NotImplemented
    if not return_entropy:
        return functional.token_logprobs(logits, labels, ignore_index=-100, loss_dtype=torch.float32)
    kept = labels != -100  # the entropy of other rows counts there
    made: Any = functional.token_logprobs(
        logits, labels.masked_fill(~kept, 0), return_entropy=True, loss_dtype=torch.float32
    )
    return torch.where(kept, made.logprob, 0.0), made.entropy.detach()


_WHY = "one read of the logits, of which no copy in float32 is made; where each process has all classes"
SEAMS = (
    Seam("torchtitan.components.loss", "cross_entropy_loss", _cross_entropy, _WHY),
    Seam("torchtitan.components.loss", "compute_logprobs", _logprobs, _WHY),
    Seam("torchtitan.components.loss", "mse_loss", None,
         'it calls torch.nn.functional.mse_loss, which patch("torch") replaces'),
)  # fmt: skip
