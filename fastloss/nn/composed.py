"""Modules of losses made of others, and of those that PyTorch computes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fastloss._core._torch import AdaptiveOutput
from fastloss.functional import composed
from fastloss.losses.classification import cross_entropy
from fastloss.nn._base import modules_of

_modules = modules_of(composed)
globals().update(_modules)
__all__ = sorted([*_modules, "AdaptiveLogSoftmaxWithLoss"])


class AdaptiveLogSoftmaxWithLoss(torch.nn.AdaptiveLogSoftmaxWithLoss):
    r"""Efficient softmax of many classes, of which few are frequent (Grave et al. 2017,
    https://arxiv.org/abs/1609.04309).

    Drop-in for `torch.nn.AdaptiveLogSoftmaxWithLoss`:
    ``isinstance(criterion, torch.nn.AdaptiveLogSoftmaxWithLoss)`` holds. The log-probabilities of the targets come from
    `cross_entropy`, which stores no log-softmax of the head and of the clusters; ``log_prob`` and ``predict`` are
    PyTorch's.

    Args:
        in_features (int): Number of features of a sample.
        n_classes (int): Number of classes, sorted from frequent to rare.
        cutoffs (Sequence): The classes at which a new cluster begins.
        div_value (float, optional): By which the width of a cluster's projection is divided for the next one.
            Default: ``4.0``
        head_bias (bool, optional): Whether the head has a bias. Default: ``False``
        device, dtype (optional): Of the parameters. Default: ``None``

    Shape:
        input: :math:`(N, F)` or :math:`(F)`.
        target: :math:`(N)` or ``()``, classes.
        output: A pair, the targets' log-probabilities of the shape of ``target`` and their negative mean.

    Example:
        >>> criterion = fastloss.AdaptiveLogSoftmaxWithLoss(16, 1000, cutoffs=[10, 100])
        >>> criterion(torch.randn(8, 16), torch.randint(1000, (8,))).loss.backward()
    """

    def forward(self, input_: Tensor, target_: Tensor) -> Any:
        batched = target_.dim() == 1 and input_.dim() == 2 and input_.shape[:1] == target_.shape
        if not batched and (target_.dim() or input_.dim() != 1):
            return super().forward(input_, target_)  # PyTorch's error
        input, target = (input_, target_) if batched else (input_.unsqueeze(0), target_.unsqueeze(0))
        found = [((target >= low) & (target < high)).nonzero().squeeze(1) for low, high in self._clusters()]
        if sum(map(len, found)) != len(target):
            return super().forward(input_, target_)  # likewise
        head, nll = target.clone(), None
        for k, ((low, _), rows) in enumerate(zip(self._clusters(), found, strict=True)):
            if k and len(rows):
                head[rows] = self.shortlist_size + k - 1
                loss = cross_entropy(self.tail[k - 1](input[rows]), target[rows] - low, reduction="none")
                nll = loss.new_zeros(len(target)) if nll is None else nll
                nll = nll.index_add(0, rows, loss)
        loss = cross_entropy(self.head(input), head, reduction="none")
        nll = loss if nll is None else nll + loss
        return AdaptiveOutput(-nll if batched else -nll.squeeze(0), nll.mean())

    def _clusters(self) -> list[tuple[int, int]]:
        """The classes from which and up to which the shortlist and each cluster reach."""
        return list(zip([0, *self.cutoffs[:-1]], self.cutoffs, strict=True))
