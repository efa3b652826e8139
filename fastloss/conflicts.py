"""One direction from the gradients of several losses that pull in different ones.

Each function takes the gradients of T losses as the rows of a matrix (T, P), and returns one of shape (P,), a weighted
sum of the rows. The weights follow from the T x T products of the rows: the matrix is read twice, for the products and
for the sum.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from fastloss.objective import ObjectiveResult

__all__ = ["aligned_mtl", "backward", "cagrad", "mgda", "pcgrad"]


def _combine(name: str, gradients: Tensor, weights_of: Callable[[Tensor], Tensor]) -> Tensor:
    """The rows' sum with the weights that follow from their products. Half precision computes in float32."""
    if gradients.dim() != 2 or not len(gradients) or not gradients.is_floating_point():
        raise ValueError(
            f"fastloss.{name}: expected a floating-point tensor (T, P), the gradients of T losses, got "
            f"{gradients.dtype} of shape {tuple(gradients.shape)}"
        )
    rows = gradients.detach().to(torch.promote_types(gradients.dtype, torch.float32))
    return (weights_of(rows @ rows.T).to(rows) @ rows).to(gradients.dtype)


def _on_host(weights_of: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Weights from the products on the CPU in float64. Gradients that overflowed (AMP) give NaN, no error."""

    def function(products: Tensor) -> Tensor:
        made = products.to("cpu", torch.float64)
        return weights_of(made) if made.isfinite().all() else torch.full((len(made),), torch.nan)

    return function


def _scaled(products: Tensor) -> Tensor:
    """The products divided by their mean square."""
    mean = products.diagonal().mean()
    return products / torch.where(mean > 0, mean, 1)


def pcgrad(gradients: Tensor, generator: torch.Generator | None = None) -> Tensor:
    r"""Projects each gradient onto the normal planes of those it conflicts with, and sums them (Yu et al. 2020,
    https://arxiv.org/abs/2001.06782).

    .. math:: \sum_i g'_i, \quad g'_i \leftarrow g'_i - \frac{\min(g'_i \cdot g_j, 0)}{\lVert g_j \rVert^2} g_j
        \text{ for the others } j \text{ in random order}

    Equivalent to, for T = 2 gradients that conflict, ``g0 + g1 - (g0 @ g1) * (g1 / (g1 @ g1) + g0 / (g0 @ g0))``.

    Args:
        gradients: Shape (T, P).
        generator: Draws the orders, which matter from three gradients on; on the device of the gradients.

    Returns:
        The combined gradient, shape (P,). Without conflicts: the sum.

    Cost: 2 T^2 P + 2 T P operations; the host never waits for the device.

    Example:
        >>> fastloss.pcgrad(torch.tensor([[1.0, 0.0], [-1.0, 1.0]]))
        tensor([0.5000, 1.5000])
    """

    def weights_of(products: Tensor) -> Tensor:
        T = len(products)
        orders = torch.rand(T, T, generator=generator, device=products.device).argsort(1)
        projected = torch.eye(T, dtype=products.dtype, device=products.device)  # g'_i as sums of the rows
        own, squares = torch.arange(T, device=products.device), products.diagonal()
        for j in orders.unbind(1):
            dots = (projected * products[j]).sum(1)
            applies = (j != own) & (squares[j] > 0)
            lengths = torch.where(applies, dots.clamp(max=0) / squares[j], 0)
            projected = projected.scatter_add(1, j[:, None], -lengths[:, None])
        return projected.sum(0)

    return _combine("pcgrad", gradients, weights_of)


def mgda(gradients: Tensor) -> Tensor:
    r"""The shortest vector in the convex hull of the gradients (Désidéri 2012; Sener and Koltun 2018,
    https://arxiv.org/abs/1810.04650).

    .. math:: \sum_i w_i g_i, \quad w = \arg\min_{w \ge 0,\ \sum_i w_i = 1} \Bigl\lVert \sum_i w_i g_i \Bigr\rVert^2

    Equivalent to, for T = 2, ``w * g0 + (1 - w) * g1`` with
    ``w = (((g1 - g0) @ g1) / ((g1 - g0) @ (g1 - g0))).clamp(0, 1)``.

    No loss rises along it, and it is 0 where the losses cannot fall together. Short gradients weigh most: scale the
    rows beforehand if the losses have different units.

    Args:
        gradients: Shape (T, P).

    Returns:
        The combined gradient, shape (P,).

    Cost: 2 T^2 P + 2 T P operations, and a quadratic problem of T unknowns, solved exactly on the CPU in float64: on
        CUDA the host waits for T x T numbers.

    Example:
        >>> fastloss.mgda(torch.tensor([[2.0, 0.0], [0.0, 1.0]]))
        tensor([0.4000, 0.8000])
    """

    def weights_of(products: Tensor) -> Tensor:
        return _on_simplex(_scaled(products), products.new_zeros(len(products)))

    return _combine("mgda", gradients, _on_host(weights_of))


def cagrad(gradients: Tensor, c: float = 0.5) -> Tensor:
    r"""The direction near the mean gradient along which the worst loss falls most (Liu et al. 2021,
    https://arxiv.org/abs/2110.14048).

    .. math:: \arg\max_d \min_i g_i \cdot d \quad \text{with } \lVert d - g_0 \rVert \le c \lVert g_0 \rVert,
        \quad g_0 = \frac 1T \sum_i g_i

    which is :math:`g_0 + c \lVert g_0 \rVert\, g_w / \lVert g_w \rVert` for the :math:`g_w = \sum_i w_i g_i` of the
    convex hull that minimises :math:`g_w \cdot g_0 + c \lVert g_0 \rVert \lVert g_w \rVert`. It is not rescaled. Where
    :math:`g_w` is 0 the result is :math:`g_0`.

    Equivalent to ``gradients.mean(0)`` for c = 0.

    Args:
        gradients: Shape (T, P).
        c: How far from the mean, at least 0 and below 1.

    Returns:
        The combined gradient, shape (P,).

    Cost: as `mgda`, with some ten such problems.

    Example:
        >>> fastloss.cagrad(torch.tensor([[2.0, 0.0], [0.0, 1.0]]), c=0.0)
        tensor([1.0000, 0.5000])
    """
    if not 0 <= c < 1:
        raise ValueError(f"fastloss.cagrad: expected c of at least 0 and below 1, got {c}")

    def weights_of(products: Tensor) -> Tensor:
        products = _scaled(products)
        T, slopes = len(products), products.mean(1)  # of g_w . g0
        radius = c * math.sqrt(max(float(slopes.mean()), 0.0))
        even = torch.full_like(slopes, 1 / T)
        if radius == 0:
            return even
        # With s = |g_w|, w minimises |g_w|^2 / 2 + (s / radius) g_w . g0. |g_w| / s falls with s, to 1 at the solution.
        w, shortest = even, 1e-5  # below it the products of the rows are rounding

        def excess(s: float) -> float:
            nonlocal w
            w = _on_simplex(products, slopes * (s / radius), w)
            return math.sqrt(max(float(w @ products @ w), 0.0)) - s

        norm = _root(excess, max(excess(0.0), shortest), float(products.diagonal().max().sqrt()))
        if norm <= shortest:
            return even
        excess(norm)
        return even + w * (radius / norm)

    return _combine("cagrad", gradients, _on_host(weights_of))


def aligned_mtl(gradients: Tensor, weights: Tensor | None = None) -> Tensor:
    r"""Sums the gradients after the nearest change that makes them orthogonal and equally long (Senushkin et al. 2023,
    https://arxiv.org/abs/2305.19000).

    .. math:: \sum_i w_i \hat g_i, \quad \hat G = \sigma_{\min}\, U V^\top \text{ of } G = U \Sigma V^\top

    with the least singular value that is not 0: smaller ones than rounding makes are left out, as in the authors' code.

    Equivalent to, for a matrix of full rank, ``weights @ (S.min() * U @ Vh)`` with
    ``U, S, Vh = torch.linalg.svd(gradients, full_matrices=False)``.

    Args:
        gradients: Shape (T, P).
        weights: Importance of the losses, shape (T,); None is 1 for each, as in the authors' code. Factors on the
            gradients themselves have little effect, for the rows are made equally long.

    Returns:
        The combined gradient, shape (P,).

    Cost: 2 T^2 P + 2 T P operations, and the eigenvalues of a T x T matrix on the CPU in float64: on CUDA the host
        waits for T x T numbers.

    Example:
        >>> fastloss.aligned_mtl(torch.tensor([[2.0, 0.0], [0.0, 1.0]]))
        tensor([1., 1.])
    """

    def weights_of(products: Tensor) -> Tensor:
        rounding = len(products) * torch.finfo(torch.promote_types(gradients.dtype, torch.float32)).eps
        given = torch.ones(len(products)) if weights is None else weights.detach()
        squares, basis = torch.linalg.eigh(products)
        kept = squares > squares[-1] * rounding
        squares, basis = squares[kept], basis[:, kept]
        scales = (squares[:1] / squares).sqrt()  # empty if all gradients are 0
        return basis @ (scales * (basis.T @ given.to(basis)))

    return _combine("aligned_mtl", gradients, _on_host(weights_of))


STRATEGIES: dict[str, Callable[[Tensor], Tensor]] = {
    "pcgrad": pcgrad,
    "mgda": mgda,
    "cagrad": cagrad,
    "aligned_mtl": aligned_mtl,
}


def backward(
    result: ObjectiveResult | Mapping[str, Tensor] | Iterable[Tensor],
    strategy: str | Callable[[Tensor], Tensor] = "pcgrad",
    *,
    params: Tensor | Iterable[Tensor],
    retain_graph: bool = False,
) -> None:
    """Backward of several losses, whose gradients to ``params`` are combined where they conflict.

    Adds to ``grad`` as `torch.Tensor.backward` does. All other leaves, such as the heads of single tasks, get the
    gradient of the sum.

    Equivalent to ``strategy(G)`` added to the gradients of ``params``, with the gradients of the losses, flattened, as
    the rows of G.

    Args:
        result: What a `fastloss.Objective` returned, of which the weighted terms are taken, or the losses themselves.
        strategy: ``"pcgrad"``, ``"mgda"``, ``"cagrad"``, ``"aligned_mtl"``, or a function from (T, P) to (P,), for
            instance ``functools.partial(fastloss.cagrad, c=0.4)``.
        params: The parameters that the losses share.
        retain_graph: As in `torch.Tensor.backward`.

    Cost: one backward per loss, and T + 1 times the memory of the gradients of ``params``. Hooks of parameters run once
        per loss, so gradients that `torch.nn.parallel.DistributedDataParallel` exchanges are not those combined. With a
        `torch.amp.GradScaler` scale the losses: every strategy keeps a common factor.

    Example:
        >>> body, head = torch.nn.Linear(4, 8), torch.nn.Linear(8, 2)
        >>> losses = head(body(torch.randn(16, 4))).square().mean(0).unbind()
        >>> fastloss.backward(losses, strategy="pcgrad", params=body.parameters())
        >>> body.weight.grad.shape
        torch.Size([8, 4])
    """
    if isinstance(strategy, str):
        if strategy not in STRATEGIES:
            raise ValueError(f"fastloss.backward: expected strategy to be one of {[*STRATEGIES]}, got {strategy!r}")
        strategy = STRATEGIES[strategy]
    if isinstance(result, ObjectiveResult):
        result = result.weighted
    losses = [*(result.values() if isinstance(result, Mapping) else result)]
    shared = [params] if isinstance(params, Tensor) else [*params]
    if not losses or not shared or not all(isinstance(p, Tensor) for p in shared):
        raise ValueError(
            f"fastloss.backward: expected losses and params=model.parameters(), got {len(losses)} losses and "
            f"{[type(p).__name__ for p in shared[:1]]}"
        )
    before = [p.grad for p in shared]
    dtype: Any = torch.float32
    for p in shared:
        dtype = torch.promote_types(dtype, p.dtype)
    sizes = [p.numel() for p in shared]
    rows = torch.zeros(len(losses), sum(sizes), dtype=dtype, device=shared[0].device)
    reached = [False] * len(shared)
    try:
        for k, (loss, row) in enumerate(zip(losses, rows, strict=True)):
            for p in shared:
                p.grad = None
            loss.backward(retain_graph=retain_graph or k + 1 < len(losses))
            for i, (p, part) in enumerate(zip(shared, row.split(sizes), strict=True)):
                if p.grad is not None:
                    part.copy_(p.grad.reshape(-1))
                    reached[i] = True
    finally:
        for p, grad in zip(shared, before, strict=True):
            p.grad = grad
    for p, part, is_reached in zip(shared, strategy(rows).split(sizes), reached, strict=True):
        if not is_reached:
            continue
        made = part.view_as(p).to(p.dtype)
        if p.grad is None:
            p.grad = made
        else:
            p.grad.add_(made)


def _on_simplex(products: Tensor, slopes: Tensor, start: Tensor | None = None) -> Tensor:
    """The w >= 0 of sum 1 that minimises w' products w / 2 + slopes . w.

    An active-set method: the minimum on the face of the free w_i; the first that would become negative is held at 0;
    once none does, the held w_i that has the most to gain is freed.
    """
    T = len(products)
    H = products + 1e-13 * torch.eye(T, dtype=products.dtype)  # a single minimum on a face, also of parallel rows
    w = start
    if w is None:
        w = torch.zeros_like(slopes)
        w[(H.diagonal() / 2 + slopes).argmin()] = 1
    free = w > 0
    for _ in range(50 * T):  # more than are ever needed: each face is left for a lower one
        (inside,) = free.nonzero(as_tuple=True)
        n = len(inside)
        system = torch.ones(n + 1, n + 1, dtype=H.dtype)
        system[:n, :n], system[n, n] = H[inside][:, inside], 0
        solved = torch.linalg.solve(system, torch.cat((-slopes[inside], slopes.new_ones(1))))
        goal = torch.zeros_like(w).index_copy(0, inside, solved[:n])
        leaving = free & (goal <= 0)
        if leaving.any():
            way = torch.where(leaving, w / (w - goal), torch.inf)
            w = w + way.min() * (goal - w)
            free = free & ~(leaving & (way <= way.min()))
            w = torch.where(free, w, 0)
            continue
        w = goal
        gain = torch.where(free, torch.inf, H @ w + slopes + solved[n])
        if gain.min() >= -1e-12 * (1 + slopes.abs().max()):
            break
        free = free.index_fill(0, gain.argmin(), True)
    return w


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a function is 0, between a number where it is positive and one where it is not; ``low`` if it is not there.

    The Illinois method: regula falsi that halves the value of an end that stays.
    """
    at_low, at_high, side = function(low), function(high), 0
    for _ in range(100):
        if at_low <= 0 or high - low <= 1e-13 * high:
            return low
        if at_high >= 0:
            return high
        middle = (low * at_high - high * at_low) / (at_high - at_low)
        value = function(middle)
        if abs(value) <= 1e-13 * high:
            return middle
        if value > 0:
            low, at_low, at_high = middle, value, at_high / 2 if side > 0 else at_high
            side = 1
        else:
            high, at_high, at_low = middle, value, at_low / 2 if side < 0 else at_low
            side = -1
    return middle
