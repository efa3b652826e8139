"""Modules of the softmax over classes: PyTorch's own, with our function underneath, and ours."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from torch import Tensor

from fastloss.functional import rows
from fastloss.nn import pointwise
from fastloss.nn._base import Base, LossModule, modules_of, recorded

_modules = modules_of(rows)
globals().update(_modules)
__all__ = sorted([*_modules, "FocalLoss"])


class FocalLoss(Base):
    """The focal loss over exclusive classes or independent labels.

    Args:
        mode: Keyword-only. ``"softmax"``: classes exclude each other, the other arguments are those of
            `SoftmaxFocalLoss`. ``"sigmoid"``: each label by itself, the other arguments are those of
            `SigmoidFocalLoss`. Default: ``"softmax"``
        alpha, gamma, ignore_index, reduction, label_smoothing: Of both, with the defaults of the one that is chosen.
        weight: Of both: a factor of each class (softmax) or of each element (sigmoid).
        z_loss, softcap, temperature, inplace, group: Keyword-only, of `SoftmaxFocalLoss`.
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
        "softmax": _modules["SoftmaxFocalLoss"],
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
