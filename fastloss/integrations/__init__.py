"""What other libraries need to train with fastloss; no library is imported before its own module here is.

Each module is named like its library. ``SEAMS``, if it has them, are the functions and methods of the library that
``fastloss.patch("<library>")`` asks about; what else stands in the module is for users to import.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

__all__ = ["LIBRARIES", "Seam"]

LIBRARIES = (
    "monai", "open_clip", "pytorch_metric_learning", "segmentation_models_pytorch", "sentence_transformers", "timm",
    "torchtitan", "torchvision", "transformers", "trl",
)  # fmt: skip


@dataclass(frozen=True)
class Seam:
    """A place in a library where a loss is computed.

    Attributes:
        module: The library's module that defines the function or the class.
        name: Name of the function, or ``Class.method``.
        ours: What takes its place: a function of the same arguments, in their order. It gives ``NotImplemented`` where
            its numbers would differ, and the library's own is called. None: the library's own stays.
        why: What is gained, or why the library's own stays.
    """

    module: str
    name: str
    ours: Callable[..., Any] | None
    why: str


NO_INDEX = -(2**53)  # for ``ignore_index``, where the library ignores no class


def worth(input: Tensor, least: int) -> bool:
    """Whether ours is faster: on the CPU with so many elements, for the more options of a kernel are used, the more of
    a short call is Python."""
    return input.device.type != "cpu" or input.numel() >= least


def plain(first: Any, *others: Any) -> bool:
    """Whether all are floating point tensors of one shape and dtype."""
    if not isinstance(first, Tensor) or not first.is_floating_point():
        return False
    for t in others:  # noqa: SIM110, which is slower
        if not isinstance(t, Tensor) or t.dtype != first.dtype or t.shape != first.shape:
            return False
    return True


def classes(logits: Any, target: Any) -> bool:
    """Whether these are rows of logits and a class index for each."""
    return (
        isinstance(logits, Tensor)
        and isinstance(target, Tensor)
        and not target.is_floating_point()
        and logits.dim() == 2
        and logits.shape[:1] == target.shape
    )
