"""Modules over rows of logits."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from fastloss import _options
from fastloss.functional import rows as functional
from fastloss.nn._base import LossModule
from fastloss.nn.pointwise import SigmoidFocalLoss

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from fastloss._options import RowOptions

__all__ = [
    "CrossEntropyLoss",
    "FocalLoss",
    "SoftmaxFocalLoss",
]


class CrossEntropyLoss(LossModule, torch.nn.CrossEntropyLoss):
    r"""`fastloss.functional.cross_entropy` as a module; a drop-in for `torch.nn.CrossEntropyLoss`.

    Equivalent to ``torch.nn.CrossEntropyLoss(weight, ignore_index=ignore_index, reduction=reduction,
    label_smoothing=label_smoothing)`` when no keyword-only argument is used; ``state_dict`` and ``repr`` agree too,
    and instances of this class are instances of PyTorch's.

    Args:
        weight, size_average, ignore_index, reduce, reduction, label_smoothing: As in `torch.nn.CrossEntropyLoss`.
        options: Keyword-only, those of `fastloss.functional.cross_entropy`. Tensors among them usually change from call
            to call: ``forward`` takes all of them too, and there they win.

    Shape:
        ``forward(input, target, **options)``, see `fastloss.functional.cross_entropy`.

    Example:
        >>> criterion = fastloss.CrossEntropyLoss(label_smoothing=0.1)
        >>> criterion(torch.randn(8, 100, requires_grad=True), torch.randint(100, (8,))).backward()
    """

    _function = staticmethod(functional.cross_entropy)
    _arguments = ("weight", "ignore_index", "reduction", "label_smoothing")

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
        **options: Unpack[RowOptions],
    ) -> None:
        _options.refuse_unknown("CrossEntropyLoss", options, _options.names(_options.RowOptions))
        super().__init__(weight, size_average, ignore_index, reduce, reduction, label_smoothing)
        self._options = dict(options)

    def forward(self, input: Tensor, target: Tensor, **options: Unpack[RowOptions]) -> Tensor | Any:
        if not options and not self._options:
            return functional.cross_entropy(
                input, target, self.weight, None, self.ignore_index, None, self.reduction, self.label_smoothing
            )
        return super().forward(input, target, **options)


class SoftmaxFocalLoss(LossModule):
    r"""`fastloss.functional.softmax_focal_loss` as a module.

    Args:
        alpha, gamma, weight, ignore_index, reduction, label_smoothing: As in `fastloss.functional.softmax_focal_loss`;
            ``weight`` and a tensor ``alpha`` are buffers.
        options: Keyword-only, as in `CrossEntropyLoss`.

    Shape:
        ``forward(input, target, **options)``, see `fastloss.functional.softmax_focal_loss`.
    """

    _function = staticmethod(functional.softmax_focal_loss)
    _arguments = _shown = ("alpha", "gamma", "weight", "ignore_index", "reduction", "label_smoothing")

    def __init__(
        self,
        alpha: float | Tensor | None = None,
        gamma: float | Tensor = 2.0,
        weight: Tensor | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
        **options: Unpack[RowOptions],
    ) -> None:
        super().__init__()
        _options.refuse_unknown("SoftmaxFocalLoss", options, _options.names(_options.RowOptions))
        self.register_buffer("weight", weight)
        self.register_buffer("alpha", alpha) if isinstance(alpha, Tensor) else setattr(self, "alpha", alpha)
        self.gamma = gamma
        self.ignore_index = ignore_index
        self.reduction = reduction
        self.label_smoothing = label_smoothing
        self._options = dict(options)


class FocalLoss(torch.nn.Module):
    """The focal loss over exclusive classes or independent labels.

    Args:
        mode: ``"softmax"`` (`SoftmaxFocalLoss`) or ``"sigmoid"`` (`SigmoidFocalLoss`); the other arguments are
            that module's, which is the attribute ``criterion``.

    Shape:
        ``forward(input, target, **options)``, see the functions of the two.

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

    def forward(self, input: Tensor, target: Tensor, **options: Any) -> Tensor | Any:
        return self.criterion(input, target, **options)
