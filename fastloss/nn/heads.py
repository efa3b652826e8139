"""Modules of hidden states and a classifier: PyTorch's own, which has the classifier, and ours, which are given it."""

from __future__ import annotations

import inspect
import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fastloss._core import options as _options
from fastloss._core.options import HeadOptions
from fastloss.functional import heads
from fastloss.nn._base import DropIn, module_of, recorded

if TYPE_CHECKING:
    from typing_extensions import Unpack

_modules = {
    module.__name__: module
    for name in heads.__all__
    if name != "linear_cross_entropy"
    for module in (module_of(vars(heads)[name]),)
}
globals().update(_modules)
__all__ = sorted([*_modules, "LinearCrossEntropyLoss"])

_Native: Any = getattr(torch.nn, "LinearCrossEntropyLoss", torch.nn.Module)  # since PyTorch 2.13


class LinearCrossEntropyLoss(DropIn, _Native):
    """Cross entropy of the logits of a linear layer that the module has; the logits never exist as a whole.

    Drop-in for `torch.nn.LinearCrossEntropyLoss`: where PyTorch has it,
    ``isinstance(criterion, torch.nn.LinearCrossEntropyLoss)`` holds. The layer is the attribute ``linear``.

    The module calls `fastloss.functional.linear_cross_entropy`.
    The function's docstring says more: dtypes, gradient, memory, accuracy.

    Args:
        in_features (int): Width D of the hidden states.
        num_classes (int): C.
        out_features (tuple[int, ...], optional): Dimensions of a K-dimensional loss. Default: ``()``
        bias (bool, optional): Whether the layer has a bias. Default: ``False``
        device (torch.device, optional): Of the layer. Default: ``None``
        dtype (torch.dtype, optional): Of the layer. Default: ``None``
        reduction (str, optional): ``"none"``, ``"mean"`` or ``"sum"``. Default: ``"mean"``
        weight (Tensor, optional): Factor of each class, shape :math:`(C)`. Default: ``None``
        ignore_index (int, optional): Rows with this target contribute nothing. Default: ``None``, which is -100.
        label_smoothing (float, optional): Share of the loss that all classes have. Default: ``0.0``
        options (optional): PyTorch's ``LinearCrossEntropyOptions``, which change nothing here. Default: ``None``
        z_loss (float, optional): Weight of the squared log-normaliser. Default: ``0.0``
        softcap (float, optional): Caps the logits to (-softcap, softcap). Default: ``None``
        temperature (float, optional): Divides the logits, after the cap. Default: ``1.0``
        mask (Tensor, optional): Rows where it is False are ignored. Default: ``None``
        normalizer (float, optional): Replaces the mean's divisor. Default: ``None``
        empty (str, optional): Value of a mean over no rows, ``"nan"`` or ``"zero"``. Default: ``"nan"``
        loss_dtype (torch.dtype, optional): dtype of the loss. Default: ``None``, that of the logits.
        memory_budget (int, optional): Bytes of logits that may exist at a time. Default: ``None``
        return_stats (bool, optional): Also return `RowStats`. Default: ``False``
        group (optional): Processes on which the classes lie, each with a module of some of them. Default: ``None``

    Those from ``z_loss`` on are keyword-only, and a call takes them too; there they win.

    Shape:
        input: Hidden states, :math:`(N, D)` or :math:`(D)`.
        target: Class indices, :math:`(N)`, :math:`()` or :math:`(N, d_1, ..., d_K)`, or probabilities in the shape of
            the logits.
        output: The loss: shape of index targets for ``"none"``, otherwise ``()``.

    Example:
        >>> criterion = fastloss.LinearCrossEntropyLoss(16, 100)
        >>> hidden = torch.randn(8, 16, requires_grad=True)
        >>> criterion(hidden, torch.randint(100, (8,))).backward()
    """

    _native = _Native
    _called = "linear_cross_entropy"
    _function = staticmethod(vars(heads)[_called])
    _arguments = ("linear_bias", "weight", "reduction", "ignore_index", "label_smoothing", "options")
    _held = ("linear_weight", "linear_bias")

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        *,
        out_features: tuple[int, ...] = (),
        bias: bool = False,
        device: Any = None,
        dtype: torch.dtype | None = None,
        reduction: str = "mean",
        weight: Tensor | None = None,
        ignore_index: int | None = None,
        label_smoothing: float = 0.0,
        options: Any = None,
        **further: Unpack[HeadOptions],
    ) -> None:
        name = "LinearCrossEntropyLoss"
        _options.check_tensors(name, weight=weight)
        own = set(inspect.signature(type(self)).parameters)
        _options.refuse_unknown(name, further, _options.names(HeadOptions), sorted(own))
        if weight is not None and weight.shape != (num_classes,):
            raise RuntimeError(
                f"fastloss.{name}: weight has shape {tuple(weight.shape)}, expected ({num_classes},): one per class"
            )
        if label_smoothing < 0 or label_smoothing > 1.0:
            raise RuntimeError(f"fastloss.{name}: label_smoothing must be in [0, 1], got {label_smoothing}")
        torch.nn.Module.__init__(self)
        self.register_buffer("weight", weight)
        self.reduction = reduction
        self.num_classes = num_classes
        self.out_features = out_features
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing
        self.linear = torch.nn.Linear(
            in_features, math.prod(out_features, start=num_classes), bias=bias, device=device, dtype=dtype
        )
        self.options = options
        self._options = further

    @property
    def linear_weight(self) -> Tensor:
        return self.linear.weight.reshape(self.num_classes, *self.out_features, self.linear.in_features)

    @property
    def linear_bias(self) -> Tensor | None:
        bias = self.linear.bias
        return None if bias is None else bias.reshape(self.num_classes, *self.out_features)

    @recorded
    def forward(self, input: Tensor, target: Tensor, **options: Any) -> Tensor | Any:
        return self.call((input, self.linear_weight, target), options)

    def extra_repr(self) -> str:
        shown = {
            "in_features": self.linear.in_features, "num_classes": self.num_classes, "out_features": self.out_features,
            "bias": self.linear.bias is not None, "reduction": self.reduction, "ignore_index": self.ignore_index,
            "label_smoothing": self.label_smoothing, "options": self.options, **self._options,
        }  # fmt: skip
        return ", ".join(f"{name}={value}" for name, value in shown.items())
