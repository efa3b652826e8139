"""Modules over rows of logits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor

from fastloss import _options, functional
from fastloss.nn import pointwise
from fastloss.nn._base import DOCUMENT, Base, DropIn, LossModule, recorded

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from fastloss._options import RowOptions

__all__ = [
    "CrossEntropyLoss",
    "FocalLoss",
    "SoftmaxFocalLoss",
]

_functional: Any = functional  # by name, as torch.fx replaces it; the stub wants words where PyTorch says str


class CrossEntropyLoss(DropIn, torch.nn.CrossEntropyLoss):
    __doc__ = DOCUMENT
    _native = torch.nn.CrossEntropyLoss
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
        _options.check_tensors("CrossEntropyLoss", weight=weight)
        super().__init__(weight, size_average, ignore_index, reduce, reduction, label_smoothing)
        self._options = dict(options)

    @recorded
    def forward(self, input: Tensor, target: Tensor, **options: Unpack[RowOptions]) -> Tensor | Any:
        if not self._options and type(options) is dict and not options:  # torch.fx passes one proxy of all options
            return _functional.cross_entropy(
                input, target, self.weight, None, self.ignore_index, None, self.reduction, self.label_smoothing
            )
        return self.call((input, target), options)


class SoftmaxFocalLoss(LossModule):
    # ``weight`` and a tensor ``alpha`` are buffers.
    __doc__ = DOCUMENT
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
        _options.check_tensors("SoftmaxFocalLoss", weight=weight)
        self.register_buffer("weight", weight)
        self.register_buffer("alpha", alpha) if isinstance(alpha, Tensor) else setattr(self, "alpha", alpha)
        self.gamma = gamma
        self.ignore_index = ignore_index
        self.reduction = reduction
        self.label_smoothing = label_smoothing
        self._options = dict(options)


class FocalLoss(Base):
    """The focal loss over exclusive classes or independent labels.

    Args:
        mode: Keyword-only. ``"softmax"``: classes exclude each other, the other arguments are those of
            `SoftmaxFocalLoss`. ``"sigmoid"``: each label by itself, the other arguments are those of
            `SigmoidFocalLoss`. Default: ``"softmax"``
        alpha, gamma, ignore_index, reduction, label_smoothing: Of both, with the defaults of the one that is chosen.
        weight: Of both: a factor of each class (softmax) or of each element (sigmoid).
        z_loss, softcap, inplace: Keyword-only, of `SoftmaxFocalLoss`.
        reduce_dims: Keyword-only, of `SigmoidFocalLoss`.
        mask, normalizer, empty, loss_dtype, return_stats: Keyword-only, of both.

    A call takes the keyword-only arguments of the chosen loss too, and there they win. The chosen module is the
    attribute ``criterion``.

    Shape:
        input: Logits, :math:`(N, C, d_1, ..., d_K)` for ``"softmax"``, any for ``"sigmoid"``.
        target: Class indices or probabilities for ``"softmax"``, labels in [0, 1] for ``"sigmoid"``.
        output: As of the chosen loss.

    Raises:
        ValueError: ``mode`` is neither.

    Example:
        >>> criterion = fastloss.FocalLoss(gamma=2.0, mode="softmax")
        >>> logits = torch.randn(8, 5, requires_grad=True)
        >>> criterion(logits, torch.randint(5, (8,))).backward()
    """

    _modes: ClassVar[dict[str, type[LossModule]]] = {
        "softmax": SoftmaxFocalLoss,
        "sigmoid": vars(pointwise)["SigmoidFocalLoss"],
    }

    def __init__(self, *args: Any, mode: Literal["softmax", "sigmoid"] = "softmax", **kwargs: Any) -> None:
        super().__init__()
        if mode not in self._modes:
            raise ValueError(f'fastloss.FocalLoss: mode must be "softmax" or "sigmoid", got {mode!r}')
        self.mode = mode
        self.criterion = self._modes[mode](*args, **kwargs)

    @recorded
    def forward(self, input: Tensor, target: Tensor, **options: Any) -> Tensor | Any:
        if type(options) is not dict:  # one proxy of all, of torch.fx
            return self.criterion.call((input, target), options)
        return self.criterion(input, target, **options)
