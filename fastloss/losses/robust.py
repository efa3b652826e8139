"""Cross entropy for labels some of which are wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fastloss._core.formula import Number, as_number, expm1
from fastloss._core.options import FINITE, NOT_NEGATIVE, RowOptions
from fastloss.engines import softmax

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["generalized_cross_entropy", "symmetric_cross_entropy"]


@softmax.loss(
    params=("q", "k"),
    domains={
        "q": ("in [0, 1]", lambda v: 0 <= v <= 1, ValueError),
        "k": ("in [0, 1)", lambda v: 0 <= v < 1, ValueError),
    },
)
def generalized_cross_entropy(
    input: Tensor,
    target: Tensor,
    q: float | Tensor = 0.7,
    k: float | Tensor | None = None,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float | Tensor = 0.0,
    **options: Unpack[RowOptions],
) -> softmax.Posed:
    r"""Cross entropy that weighs down rows which the model finds unlikely, whose labels may be wrong (generalized cross
    entropy, Zhang and Sabuncu 2018, https://arxiv.org/abs/1805.07836).

    .. math::
        \ell = w_y\, \frac{1 - p_y^q}{q}, \qquad
        \text{with}\ k:\ \ell = w_y\, \frac{1 - k^q}{q}\ \text{and no gradient where}\ p_y \le k.

    The limit q = 0 is cross entropy, q = 1 half of the mean absolute error of the probabilities. The share
    :math:`\varepsilon` = ``label_smoothing`` that all classes have is cross entropy's. Of probability targets t the
    loss is the sum of :math:`w_c t'_c` times the value at :math:`p_c`, :math:`t' = (1-\varepsilon) t + \varepsilon /
    C`.

    Equivalent to ``w * (1 - p ** q) / q`` with ``p = input.softmax(1).gather(1, target[:, None])`` where nothing is
    rounded. The authors' truncated loss is this one less the constant at k, which it prunes rows by.

    Args:
        input, target, weight, ignore_index, reduction, label_smoothing: As in `cross_entropy`.
        q: Exponent in [0, 1]; the paper takes 0.7. Float or 0-d tensor.
        k: Truncation in [0, 1); the paper takes 0.5. None or 0: none. Float or 0-d tensor.

    Gradient: :math:`-p_y^q (\delta_{jy} - p_j)`, 0 where :math:`p_y` is 0. Probability targets and learned
        hyperparameters run in plain PyTorch.
    Accuracy: formed as :math:`-\mathrm{expm1}(q \log p_y) / q`, so it keeps its relative accuracy as p nears 1 and as q
        nears 0.

    Example:
        >>> logits = torch.randn(8, 5, requires_grad=True)
        >>> target = torch.randint(5, (8,))
        >>> fastloss.functional.generalized_cross_entropy(logits, target, q=0.7).backward()
    """
    return input, target, (q, 0.0 if k is None else k), weight, ignore_index, reduction, label_smoothing, options


@generalized_cross_entropy.formula
def _(nll: Tensor, q: Number, k: Number) -> Tensor:
    r""":math:`(1 - p^q) / q`, constant for p up to k; -log p where q is 0."""
    q, k = as_number(q, nll), as_number(k, nll)
    plain, least = q == 0, torch.where(k > 0, -k.log(), torch.inf)
    some = torch.where(plain, 1.0, q)

    def value(n: Tensor) -> Tensor:
        return torch.where(plain, n, -expm1(-some * n) / some)

    kept = ~(nll >= least) | (k == 0)
    most = value(torch.where(k > 0, least, 1.0))
    return torch.where(kept, value(torch.where(kept, nll, 1.0)), most)


@softmax.loss(
    params=("alpha", "beta", "log_zero"),
    domains={
        "alpha": NOT_NEGATIVE,
        "beta": NOT_NEGATIVE,
        "log_zero": ("finite, and not positive", lambda v: FINITE[1](v) and v <= 0, ValueError),
    },
)
def symmetric_cross_entropy(
    input: Tensor,
    target: Tensor,
    alpha: float | Tensor = 0.1,
    beta: float | Tensor = 1.0,
    log_zero: float | Tensor = -4.0,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float | Tensor = 0.0,
    **options: Unpack[RowOptions],
) -> softmax.Posed:
    r"""Cross entropy, and that with the roles of model and label exchanged (Wang et al. 2019,
    https://arxiv.org/abs/1908.06112).

    There :math:`A` = ``log_zero`` stands for the label's logarithm of 0:

    .. math::
        \ell = w_y\, (-\alpha \log p_y - \beta A\, (1 - p_y)).

    The share :math:`\varepsilon` = ``label_smoothing`` that all classes have is cross entropy's. Of probability targets
    t the loss is the sum of :math:`w_c t'_c` times the value at :math:`p_c`, :math:`t' = (1-\varepsilon) t +
    \varepsilon / C`.

    Equivalent to ``alpha * cross_entropy(input, target) - beta * log_zero * (1 - p).mean()`` with
    ``p = input.softmax(1).gather(1, target[:, None])``. The authors' code clamps labels at 1e-4: ``log_zero=-9.21``.

    Args:
        input, target, weight, ignore_index, reduction, label_smoothing: As in `cross_entropy`.
        alpha, beta: Factors of the two terms, not negative; the paper takes 0.1 and 1 (CIFAR-10), 6 and 0.1
            (CIFAR-100). Floats or 0-d tensors.
        log_zero: A, at most 0. Float or 0-d tensor.

    Gradient: as `cross_entropy`'s. Probability targets and learned hyperparameters run in plain PyTorch.
    Accuracy: 1 - p is the sum of the other probabilities, so it keeps its relative accuracy as p nears 1.

    Example:
        >>> logits = torch.randn(8, 5, requires_grad=True)
        >>> target = torch.randint(5, (8,))
        >>> fastloss.functional.symmetric_cross_entropy(logits, target, alpha=0.1).backward()
    """
    return input, target, (alpha, beta, log_zero), weight, ignore_index, reduction, label_smoothing, options


@symmetric_cross_entropy.formula
def _(nll: Tensor, q: Tensor, alpha: Number, beta: Number, log_zero: Number) -> Tensor:
    r""":math:`-\alpha \log p - \beta A q`; an infinite -log p times 0 is 0."""
    alpha = as_number(alpha, nll)
    forward = torch.where((alpha == 0) & nll.isinf(), 0.0, nll)
    return alpha * forward - beta * log_zero * q
