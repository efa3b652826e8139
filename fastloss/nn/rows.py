"""Modules over rows of logits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor

from fastloss._explain import Path
from fastloss.functional import rows as functional
from fastloss.nn.pointwise import SigmoidFocalLoss

__all__ = [
    "CrossEntropyLoss",
    "FocalLoss",
    "SoftmaxFocalLoss",
]


class CrossEntropyLoss(torch.nn.CrossEntropyLoss):
    r"""`fastloss.functional.cross_entropy` as a module; a drop-in for `torch.nn.CrossEntropyLoss`.

    Equivalent to ``torch.nn.CrossEntropyLoss(weight, ignore_index=ignore_index, reduction=reduction,
    label_smoothing=label_smoothing)`` when no keyword-only argument is used; ``state_dict`` and ``repr`` agree too,
    and instances of this class are instances of PyTorch's.

    Args:
        weight, size_average, ignore_index, reduce, reduction, label_smoothing: As in `torch.nn.CrossEntropyLoss`.
        z_loss, softcap, empty, loss_dtype, inplace, return_stats: As in `fastloss.functional.cross_entropy`.

    Shape:
        ``forward(input, target, *, mask=None, normalizer=None)``, see `fastloss.functional.cross_entropy`.

    Example:
        >>> criterion = fastloss.CrossEntropyLoss(label_smoothing=0.1)
        >>> criterion(torch.randn(8, 100, requires_grad=True), torch.randint(100, (8,))).backward()
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
        *,
        z_loss: float | Tensor = 0.0,
        softcap: float | Tensor | None = None,
        empty: Literal["nan", "zero"] = "nan",
        loss_dtype: torch.dtype | None = None,
        inplace: bool = False,
        return_stats: bool = False,
    ) -> None:
        super().__init__(weight, size_average, ignore_index, reduce, reduction, label_smoothing)
        self._extras = {
            name: value
            for name, value, default in (
                ("z_loss", z_loss, 0.0),
                ("softcap", softcap, None),
                ("empty", empty, "nan"),
                ("loss_dtype", loss_dtype, None),
                ("inplace", inplace, False),
                ("return_stats", return_stats, False),
            )
            if value is not default
        }

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in self._extras.items())

    def _arguments(self, mask: Tensor | None, normalizer: float | Tensor | None) -> dict[str, Any]:
        return {
            **self._extras,
            "ignore_index": self.ignore_index,
            "reduction": self.reduction,
            "label_smoothing": self.label_smoothing,
            "mask": mask,
            "normalizer": normalizer,
        }

    def _plan(
        self, input: Tensor, target: Tensor, *, mask: Tensor | None = None, normalizer: float | Tensor | None = None
    ) -> tuple[Path, str]:
        return functional._plan_cross_entropy(input, target, self.weight, **self._arguments(mask, normalizer))

    def forward(
        self, input: Tensor, target: Tensor, *, mask: Tensor | None = None, normalizer: float | Tensor | None = None
    ) -> Any:
        if mask is normalizer is None and not self._extras:
            return functional.cross_entropy(
                input, target, self.weight, None, self.ignore_index, None, self.reduction, self.label_smoothing
            )
        return functional.cross_entropy(input, target, self.weight, **self._arguments(mask, normalizer))


class SoftmaxFocalLoss(torch.nn.Module):
    r"""`fastloss.functional.softmax_focal_loss` as a module.

    Args:
        alpha, gamma, weight, ignore_index, reduction, label_smoothing: As in `fastloss.functional.softmax_focal_loss`;
            ``weight`` and a tensor ``alpha`` are buffers.
        extras: ``z_loss``, ``softcap``, ``empty``, ``loss_dtype``, ``inplace`` and ``return_stats``, likewise.

    Shape:
        ``forward(input, target, *, mask=None, normalizer=None)``, see `fastloss.functional.softmax_focal_loss`.
    """

    weight: Tensor | None

    def __init__(
        self,
        alpha: float | Tensor | None = None,
        gamma: float | Tensor = 2.0,
        weight: Tensor | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
        **extras: Any,
    ) -> None:
        super().__init__()
        unknown = extras.keys() - {"z_loss", "softcap", "empty", "loss_dtype", "inplace", "return_stats"}
        if unknown:
            raise TypeError(f"{type(self).__name__}: unexpected argument {', '.join(sorted(unknown))}")
        self.register_buffer("weight", weight)
        self.register_buffer("alpha", alpha) if isinstance(alpha, Tensor) else setattr(self, "alpha", alpha)
        self.gamma = gamma
        self.ignore_index = ignore_index
        self.reduction = reduction
        self.label_smoothing = label_smoothing
        self._extras = extras

    def extra_repr(self) -> str:
        shown = {"alpha": self.alpha, "gamma": self.gamma, "reduction": self.reduction, **self._extras}
        return ", ".join(f"{name}={value}" for name, value in shown.items())

    def _arguments(self) -> dict[str, Any]:
        names = ("alpha", "gamma", "weight", "ignore_index", "reduction", "label_smoothing")
        return {**{name: getattr(self, name) for name in names}, **self._extras}

    def _plan(self, input: Tensor, target: Tensor, **options: Any) -> tuple[Path, str]:
        return functional._plan_softmax_focal(input, target, **self._arguments(), **options)

    def forward(
        self, input: Tensor, target: Tensor, *, mask: Tensor | None = None, normalizer: float | Tensor | None = None
    ) -> Any:
        return functional.softmax_focal_loss(input, target, **self._arguments(), mask=mask, normalizer=normalizer)


class FocalLoss(torch.nn.Module):
    """The focal loss over exclusive classes or independent labels.

    Args:
        mode: ``"softmax"`` (`SoftmaxFocalLoss`) or ``"sigmoid"`` (`SigmoidFocalLoss`); the other arguments are
            that module's, which is the attribute ``criterion``.

    Shape:
        ``forward(input, target, *, mask=None, normalizer=None)``, see the functions of the two.

    Raises:
        ValueError: ``mode`` is neither.
    """

    def __init__(self, *args: Any, mode: Literal["softmax", "sigmoid"] = "softmax", **kwargs: Any) -> None:
        super().__init__()
        modules: dict[str, Callable[..., torch.nn.Module]] = {"softmax": SoftmaxFocalLoss, "sigmoid": SigmoidFocalLoss}
        if mode not in modules:
            raise ValueError(f'fastloss.FocalLoss: mode must be "softmax" or "sigmoid", got {mode!r}')
        self.mode = mode
        self.criterion = modules[mode](*args, **kwargs)

    def _plan(self, input: Tensor, target: Tensor, **options: Any) -> tuple[Path, str]:
        plan: tuple[Path, str] = self.criterion._plan(input, target, **options)  # type: ignore[operator]
        return plan

    def forward(self, input: Tensor, target: Tensor, **options: Any) -> Any:
        return self.criterion(input, target, **options)
