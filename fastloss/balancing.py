"""Weights of several losses that balance themselves.

A balancing takes the losses as a dictionary (``ObjectiveResult.parts``), a sequence, or one tensor, always in the same
order, and returns the total. Its tensors are in its ``state_dict``. The host never waits for the device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

__all__ = ["DynamicWeightAverage", "GradNorm", "RandomWeighting", "UncertaintyWeighting"]

Losses = Mapping[str, Tensor] | Iterable[Tensor]


class _Balancing(torch.nn.Module):
    __call__: Callable[..., Tensor]

    def __init__(self, n: int) -> None:
        super().__init__()
        if n < 1:
            raise ValueError(f"fastloss.{type(self).__name__}: expected at least one loss, got n={n}")
        self.n = n

    def _vector(self, losses: Losses) -> Tensor:
        """The losses as one tensor, (n,)."""
        values = list(losses.values() if isinstance(losses, Mapping) else losses)
        if len(values) != self.n or any(value.dim() for value in values):
            shapes = [tuple(value.shape) for value in values]
            raise ValueError(
                f"fastloss.{type(self).__name__}: expected {self.n} losses of shape (), got the shapes {shapes}"
            )
        return torch.stack(values)

    def extra_repr(self) -> str:
        return f"n={self.n}"


class UncertaintyWeighting(_Balancing):
    r"""Weights by learned uncertainties (Kendall et al. 2018, https://arxiv.org/abs/1705.07115):

    .. math:: L = \sum_k e^{-s_k} L_k + s_k

    Equivalent to ``((-s).exp() * losses + s).sum()``. ``s`` is a parameter, 0 at first; give it to the optimizer,
    without weight decay. The total becomes negative where losses fall far below 1: at the optimum
    :math:`s_k = \log L_k`.

    Args:
        n: Number of losses.

    Shape: n losses of shape ``()``; returns shape ``()``.

    Example:
        >>> balancing = fastloss.UncertaintyWeighting(2)
        >>> x = torch.randn(8, requires_grad=True)
        >>> balancing([x.square().mean(), x.abs().mean()]).backward()
        >>> balancing.s.grad.shape
        torch.Size([2])
    """

    def __init__(self, n: int) -> None:
        super().__init__(n)
        self.s = torch.nn.Parameter(torch.zeros(n))

    def forward(self, losses: Losses) -> Tensor:
        return ((-self.s).exp() * self._vector(losses) + self.s).sum()


class DynamicWeightAverage(_Balancing):
    r"""Larger weights for the losses that fall more slowly (Liu et al. 2019, https://arxiv.org/abs/1803.10704):

    .. math:: L = \sum_k w_k L_k, \quad
        w_k = n \frac{\exp(r_k / T)}{\sum_i \exp(r_i / T)}, \quad r_k = \frac{\bar L_k(t-1)}{\bar L_k(t-2)}

    with the means :math:`\bar L` of the last two epochs, over the calls in grad mode. A ratio is 1 before there are two
    epochs, and where it is NaN.

    Equivalent to ``(n * (r / temperature).softmax(0) * losses).sum()``.

    Args:
        n: Number of losses.
        temperature: T; the larger, the more equal are the weights.

    Shape: n losses of shape ``()``; returns shape ``()``.

    Example:
        >>> balancing = fastloss.DynamicWeightAverage(2)
        >>> for epoch in range(3):
        ...     total = balancing([torch.tensor(1.0), torch.tensor(0.5**epoch)])
        ...     balancing.step()
        >>> balancing.weights[0] > balancing.weights[1]
        tensor(True)
    """

    sums: Tensor
    count: Tensor
    means: Tensor
    weights: Tensor

    def __init__(self, n: int, temperature: float = 2.0) -> None:
        super().__init__(n)
        self.temperature = temperature
        self.register_buffer("sums", torch.zeros(n))
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("means", torch.full((n,), torch.nan))  # of the last epoch
        self.register_buffer("weights", torch.ones(n))

    def forward(self, losses: Losses) -> Tensor:
        vector = self._vector(losses)
        if torch.is_grad_enabled():  # else a validation
            self.sums += vector.detach()
            self.count += 1
        return (self.weights * vector).sum()

    def step(self) -> None:
        """Ends an epoch."""
        means = self.sums / self.count
        ratios = (means / self.means).nan_to_num(nan=1.0)
        self.weights.copy_(self.n * (ratios / self.temperature).softmax(0))
        self.means.copy_(means)
        self.sums.zero_()
        self.count.zero_()


class RandomWeighting(_Balancing):
    r"""Random weights, drawn for every call (Lin et al. 2022, https://arxiv.org/abs/2111.10603):

    .. math:: L = \sum_k w_k L_k, \quad w = \mathrm{softmax}(z), \quad z_k \sim N(0, 1)

    Equivalent to ``(torch.randn(n).softmax(0) * losses).sum()``. A baseline that other balancings have to beat.

    Args:
        n: Number of losses.

    Shape: n losses of shape ``()``; returns shape ``()``.

    Example:
        >>> balancing = fastloss.RandomWeighting(2)
        >>> x = torch.randn(8, requires_grad=True)
        >>> balancing([x.square().mean(), x.abs().mean()]).backward()
    """

    def forward(self, losses: Losses) -> Tensor:
        vector = self._vector(losses)
        return (torch.randn_like(vector, requires_grad=False).softmax(0) * vector).sum()


class GradNorm(_Balancing):
    r"""Weights that make the losses train at similar rates (Chen et al. 2018, https://arxiv.org/abs/1711.02257):

    .. math:: L = \sum_k w_k L_k, \quad
        L_{grad} = \sum_k \left| G_k - \bar G\, r_k^\alpha \right|, \quad
        G_k = \lVert \nabla_W w_k L_k \rVert

    with :math:`r_k = \frac{L_k / L_k(0)}{\frac 1n \sum_i L_i / L_i(0)}`, the mean :math:`\bar G` of :math:`G_k`, and
    shared parameters W. Gradients to the model are those of L with w held; the gradient to w is that of
    :math:`L_{grad}` with :math:`\bar G\, r_k^\alpha` held. One ``backward`` makes both.

    ``weights`` is a parameter, 1 at first. Give it to the optimizer (the paper: a learning rate of 0.025), and call
    `step` after the optimizer's step: it scales the weights so that they sum to n. The losses of the first call are
    :math:`L_k(0)`. Without grad mode a call returns L alone.

    Args:
        n: Number of losses.
        alpha: How strongly losses that train slowly are favoured. 0 makes all gradients equally large.

    Shape: n losses of shape ``()`` that share a graph, and the tensors W, of the last shared layer for instance;
        returns shape ``()``.

    Cost: one backward per loss, from the loss to W.

    Example:
        >>> shared, heads = torch.nn.Linear(4, 8), torch.nn.Linear(8, 2)
        >>> balancing = fastloss.GradNorm(2)
        >>> losses = heads(shared(torch.randn(16, 4))).square().mean(0).unbind()
        >>> balancing(losses, shared.parameters()).backward()
        >>> balancing.step()
    """

    initial: Tensor

    def __init__(self, n: int, alpha: float = 1.5) -> None:
        super().__init__(n)
        self.alpha = alpha
        self.weights = torch.nn.Parameter(torch.ones(n))
        self.register_buffer("initial", torch.full((n,), torch.nan))

    def forward(self, losses: Losses, shared: Tensor | Iterable[Tensor]) -> Tensor:
        vector = self._vector(losses)
        held, now = self.weights.detach(), vector.detach()
        if not torch.is_grad_enabled():  # a validation
            return (held * vector).sum()
        self.initial.copy_(torch.where(self.initial.isnan(), now, self.initial))
        tensors = [shared] if isinstance(shared, Tensor) else list(shared)
        # The gradient of w L is w times that of L: no graph of the gradients is needed.
        made = [torch.autograd.grad(loss, tensors, retain_graph=True, allow_unused=True) for loss in vector]
        slopes = torch.stack([*map(_norm, made)])
        norms = self.weights.abs() * slopes
        rates = now / self.initial
        goal = norms.detach().mean() * (rates / rates.mean()) ** self.alpha
        balance = (norms - goal).abs().sum()
        return (held * vector).sum() + (balance - balance.detach())

    def step(self) -> None:
        """Scales the weights, so that they sum to n."""
        with torch.no_grad():
            self.weights.abs_().mul_(self.n / self.weights.sum())


def _norm(gradients: tuple[Any, ...]) -> Tensor:
    reached = [g.to(torch.promote_types(g.dtype, torch.float32)) for g in gradients if g is not None]
    if not reached:
        raise ValueError("fastloss.GradNorm: expected losses that depend on the shared tensors, got one that does not")
    return torch.stack([g.square().sum() for g in reached]).sum().sqrt()
