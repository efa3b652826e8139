"""Hugging Face transformers: the losses of its models, and a causal language model's loss for its ``Trainer``."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fastloss import functional
from fastloss.integrations import Seam, classes, plain, worth

__all__ = ["SEAMS", "causal_lm_loss"]


def causal_lm_loss(
    outputs: Any, labels: Tensor, num_items_in_batch: float | Tensor | None = None, **options: Any
) -> Tensor:
    """`fastloss.functional.causal_lm_loss` for ``Trainer(compute_loss_func=causal_lm_loss)``.

    It equals the loss of transformers' causal language models, gradient accumulation included; of the logits no copy is
    made, neither in float32 nor shifted.

    Args:
        outputs: What the model returns: with ``logits``, as attribute or entry.
        labels: Class indices, not shifted.
        num_items_in_batch: What the sum is divided by. None: the number of labels that count.
        **options: Of `fastloss.functional.causal_lm_loss`: ``functools.partial(causal_lm_loss, z_loss=1e-4)``.

    Example:
        >>> from fastloss.integrations.transformers import causal_lm_loss
        >>> outputs = {"logits": torch.randn(2, 8, 50, requires_grad=True)}
        >>> causal_lm_loss(outputs, torch.randint(50, (2, 8)), num_items_in_batch=28).backward()
    """
    logits = outputs["logits"] if isinstance(outputs, dict) else outputs.logits
    count = _near(num_items_in_batch, logits)
    return functional.causal_lm_loss(logits, labels.to(logits.device), count, **options)


def _near(count: Any, logits: Tensor) -> Any:
    return count.to(logits.device) if isinstance(count, Tensor) else count


def _counts(count: Any) -> bool:
    """Whether it is one number, or None."""
    return not isinstance(count, Tensor) or count.dim() == 0


def _fixed_cross_entropy(
    source: Tensor,
    target: Tensor,
    num_items_in_batch: Tensor | None = None,
    ignore_index: int = -100,
    **kwargs: Any,
) -> Any:
    if not worth(source, 2**14 if num_items_in_batch is None else 2**17) or not _counts(num_items_in_batch):
        return NotImplemented
    return functional.cross_entropy(
        source, target, ignore_index=ignore_index, normalizer=_near(num_items_in_batch, source)
    )


def _worth(logits: Tensor, count: Any) -> bool:
    """Whether ours is faster than theirs, which calls ``fixed_cross_entropy``, and ``count`` is a number or None."""
    return worth(logits, 2**14 if count is None and logits.dtype == torch.float32 else 2**17) and _counts(count)


def _of_tokens(logits: Tensor, labels: Tensor, count: Any, ignore_index: int) -> Any:
    """Cross entropy of flattened tokens. Half precision gives a loss of float32, as if the logits were float32."""
    labels = labels.to(logits.device)
    if count is None and logits.dtype == torch.float32:
        return functional.cross_entropy(logits, labels, None, None, ignore_index)
    return functional.cross_entropy(
        logits, labels, ignore_index=ignore_index, normalizer=_near(count, logits), loss_dtype=torch.float32
    )


def _causal_lm(
    logits: Any,
    labels: Any,
    vocab_size: int,
    num_items_in_batch: Any = None,
    ignore_index: int = -100,
    shift_labels: Any = None,
    **kwargs: Any,
) -> Any:
    if not _worth(logits, num_items_in_batch):
        return NotImplemented
    following = labels if shift_labels is None else shift_labels
    if logits.shape != (*following.shape, vocab_size) or not following.dim():
        return NotImplemented
    if shift_labels is None:
        following = torch.nn.functional.pad(labels, (0, 1), value=ignore_index)[..., 1:]
    return _of_tokens(logits.view(-1, vocab_size), following.reshape(-1), num_items_in_batch, ignore_index)


def _masked_lm(
    logits: Any,
    labels: Any,
    vocab_size: int,
    num_items_in_batch: Any = None,
    ignore_index: int = -100,
    **kwargs: Any,
) -> Any:
    if not _worth(logits, num_items_in_batch):
        return NotImplemented
    return _of_tokens(logits.view(-1, vocab_size), labels.view(-1), num_items_in_batch, ignore_index)


def _token_classification(logits: Any, labels: Any, config: Any, **kwargs: Any) -> Any:
    rows, flat, count = logits.view(-1, config.num_labels), labels.view(-1), kwargs.get("num_items_in_batch")
    if not _worth(logits, count) or not classes(rows, flat):
        return NotImplemented
    return _of_tokens(rows, flat, count, kwargs.get("ignore_index", -100))


def _sigmoid_focal_loss(inputs: Any, targets: Any, num_boxes: Any, alpha: float = 0.25, gamma: float = 2) -> Any:
    if not plain(inputs, targets) or inputs.dim() < 2 or not _counts(num_boxes) or alpha > 1:
        return NotImplemented
    return functional.sigmoid_focal_loss(
        inputs, targets, alpha if alpha >= 0 else -1, gamma, "mean",
        normalizer=_near(num_boxes, inputs) * inputs.shape[1],
    )  # fmt: skip


_NO_COPY = "one read and one write of the logits, of which no copy in float32 is made"
_LOSSES, _DETECTION = "transformers.loss.loss_utils", "transformers.loss.loss_for_object_detection"
SEAMS = (
    Seam(_LOSSES, "ForCausalLMLoss", _causal_lm, _NO_COPY),
    Seam(_LOSSES, "ForMaskedLMLoss", _masked_lm, _NO_COPY),
    Seam(_LOSSES, "ForTokenClassification", _token_classification, _NO_COPY),
    Seam(_LOSSES, "fixed_cross_entropy", _fixed_cross_entropy, "one read and one write of the logits"),
    Seam(_DETECTION, "sigmoid_focal_loss", _sigmoid_focal_loss, "one read and one write of the logits"),
    Seam(_DETECTION, "dice_loss", None, "no kernel of fastloss takes the sigmoid and sums in one read"),
    Seam("transformers.loss.loss_ctc", "ForCTCLoss", None,
         "no kernel of fastloss is faster than torch.nn.functional.ctc_loss, which it calls"),
)  # fmt: skip
