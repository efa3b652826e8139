"""Penalties on the parameters of a model.

Parameters are tensors or pairs of a name and a tensor: ``model.parameters()``, ``model.named_parameters()``, a
dictionary. A penalty is one node of the graph for all of them, and its gradient is made in one pass over each.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fastloss._core import memory
from fastloss._core._torch import (
    FOREACH,
    foreach,
    forward_mode_active,
    is_batched,
    tracing_state,
    transforms_active,
)
from fastloss._core.autograd import gradients
from fastloss._core.guards import TENSORS

__all__ = [
    "elastic_net_penalty",
    "ewc_penalty",
    "fisher_diagonal",
    "group_lasso_penalty",
    "l1_penalty",
    "l2_penalty",
    "orthogonality_penalty",
    "proximal_penalty",
]

Params = Iterable[Tensor] | Iterable[tuple[str, Tensor]] | Mapping[str, Tensor]
Exclude = str | Tensor | Iterable[str | Tensor]

_WIDE = (torch.float32, torch.float64)
_FEW = 1 << 12  # elements, below which a call costs more than its work
_SMALL = 1 << 15  # elements, whose memory the C library keeps; that of larger gradients comes from the pool
_PIECE = 1 << 16  # elements that stay in a core's cache, temporaries too


class _Penalty(NamedTuple):
    """How a penalty is computed, of n parameters w and lists of n further tensors (anchors, importances).

    formula: Of one w and its further tensors: the value in plain PyTorch, shape ().
    value: Of the lists: the value, and further lists that backward needs.
    slopes: Of the lists, those that `value` has added too, and the upstream gradient: the gradients.
    """

    formula: Callable[..., Tensor]
    value: Callable[..., tuple[Tensor, list[Sequence[Tensor]]]]
    slopes: Callable[..., Sequence[Tensor]]


class _Sum(torch.autograd.Function):
    """``(penalty, n, *w, *others) -> value``."""

    @staticmethod
    def forward(ctx: Any, penalty: _Penalty, n: int, *tensors: Tensor) -> Tensor:
        value, kept = penalty.value(*_lists(tensors, n))
        ctx.penalty, ctx.n = penalty, n
        ctx.save_for_backward(*tensors, *(t for column in kept for t in column))
        return value.to(_dtype(tensors[:n]))

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Any, ...]:
        penalty, n, needed = ctx.penalty, ctx.n, ctx.needs_input_grad[2:]
        if torch.is_grad_enabled() or is_batched(upstream):
            tensors = ctx.saved_tensors[: len(needed)]
            return None, None, *gradients(lambda *t: _formula(penalty, t, n), tensors, needed, (upstream,))
        some = [i for i in range(n) if needed[i]]
        made = iter(penalty.slopes(*([column[i] for i in some] for column in _lists(ctx.saved_tensors, n)), upstream))
        return None, None, *[next(made) if need else None for need in needed]


def _lists(tensors: Sequence[Tensor], n: int) -> list[Sequence[Tensor]]:
    return [tensors[k : k + n] for k in range(0, len(tensors), n)]


def _split(ws: Sequence[Tensor], small: int) -> tuple[list[int], list[int]]:
    """Which tensors go in one call, and which one by one.

    On the CPU large ones go alone, in pieces that stay in the cache, and their gradients to memory of the pool. So do
    those of half precision, of which calls for many tensors round every step.
    """
    flags = [FOREACH and t.dtype in _WIDE and (t.numel() < small or not t.is_cpu) for t in ws]
    return [i for i, flag in enumerate(flags) if flag], [i for i, flag in enumerate(flags) if not flag]


def _assembled(
    ws: Sequence[Tensor], together: Callable[[list[int]], Sequence[Tensor]], alone: Callable[[int], Tensor]
) -> list[Tensor]:
    many, single = _split(ws, _SMALL)
    made = {i: alone(i) for i in single}
    if many:
        made.update(zip(many, together(many), strict=True))
    return [made[i] for i in range(len(ws))]


def _dtype(tensors: Iterable[Tensor]) -> torch.dtype:
    return functools.reduce(torch.promote_types, {t.dtype for t in tensors})


def _computing(t: Tensor) -> torch.dtype:
    return torch.promote_types(t.dtype, torch.float32)


def _added(values: Sequence[Tensor]) -> Tensor:
    """In float64 on the CPU, where it costs nothing."""
    return torch.stack([*values]).sum(dtype=torch.float64 if values[0].is_cpu else None)


def _norms(ws: list[Tensor], order: int) -> Tensor:
    """Of the CPU in float64: sums in float32 are less exact there than those of `torch.sum`."""
    return torch.stack(foreach.norm(ws, order, dtype=torch.float64 if ws[0].is_cpu else None))


def _formula(penalty: _Penalty, tensors: Sequence[Tensor], n: int) -> Tensor:
    values = [penalty.formula(*group) for group in zip(*_lists(tensors, n), strict=True)]
    return torch.stack([v.to(_computing(v)) for v in values]).sum().to(_dtype(tensors[:n]))


def _apply(penalty: _Penalty, lam: float | Tensor, params: list[Tensor], *others: list[Tensor]) -> Tensor:
    if not params:
        return torch.zeros(())
    tensors = [*params, *(t for other in others for t in other)]
    plain = (
        all([type(t) in TENSORS and t.layout is torch.strided for t in tensors])
        and not any([t.requires_grad for other in others for t in other])
        and not (torch.compiler.is_compiling() or transforms_active() or forward_mode_active())
        and tracing_state() is None
    )
    total = _Sum.apply(penalty, len(params), *tensors) if plain else _formula(penalty, tensors, len(params))
    return lam * total


def _pieces(*tensors: Tensor) -> Iterable[Sequence[Tensor]]:
    """The same parts of tensors of one shape, small enough for a core's cache; else the tensors as they are."""
    if tensors[0].numel() <= _PIECE or not all([t.is_cpu and t.is_contiguous() for t in tensors]):
        return (tensors,)
    return zip(*[t.view(-1).split(_PIECE) for t in tensors], strict=True)


# ----------------------------------------------------------------------------------------------- which parameters count


def _pairs(name: str, params: Params) -> list[tuple[str | None, Tensor]]:
    if isinstance(params, Tensor):
        raise TypeError(f"fastloss.{name}: expected a list of parameters, got a tensor; pass [tensor]")
    made: list[tuple[str | None, Tensor]] = []
    for entry in params.items() if isinstance(params, Mapping) else params:
        called, tensor = entry if isinstance(entry, tuple) and len(entry) == 2 else (None, entry)
        if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
            what = tensor.dtype if isinstance(tensor, Tensor) else type(tensor).__name__
            raise TypeError(f"fastloss.{name}: expected floating-point tensors or pairs (name, tensor), got {what}")
        made.append((called, tensor))
    return made


def _chosen(name: str, params: Params, exclude: Exclude, *others: Params) -> list[list[Tensor]]:
    """The parameters that count, and the other tensors that belong to them, by name or by position."""
    pairs = _pairs(name, params)
    columns = [[tensor for _, tensor in pairs]]
    for other in others:
        found = _pairs(name, other)
        if all(called is not None for called, _ in (*pairs, *found)):
            named = {called: tensor for called, tensor in found}
            missing = [called for called, _ in pairs if called not in named]
            found = [(called, named.get(called, tensor)) for called, tensor in pairs]
        else:
            missing = []
        kept = [tensor for _, tensor in found]
        if len(kept) == len(pairs):
            missing += [str(k) for k, (t, (_, w)) in enumerate(zip(kept, pairs, strict=True)) if t.shape != w.shape]
        if missing or len(kept) != len(pairs):
            raise ValueError(
                f"fastloss.{name}: expected a tensor of the same shape for each of {len(pairs)} parameters, got "
                f"{len(kept)}; those of {', '.join(map(str, missing)) or 'some'} do not fit"
            )
        columns.append(kept)
    if isinstance(exclude, tuple) and not exclude:
        return columns
    patterns = [exclude] if isinstance(exclude, (str, Tensor)) else [*exclude]
    left_out = {id(one) for one in patterns if isinstance(one, Tensor)}
    words = [one for one in patterns if isinstance(one, str)]
    if words and any(called is None for called, _ in pairs):
        raise ValueError(
            f"fastloss.{name}: expected pairs (name, tensor), for exclude has names {words}, got tensors; pass "
            "model.named_parameters()"
        )

    def counts(called: str | None, tensor: Tensor) -> bool:
        parts = [] if called is None else [called, *called.split(".")]
        return id(tensor) not in left_out and not any(fnmatchcase(part, word) for part in parts for word in words)

    places = [k for k, pair in enumerate(pairs) if counts(*pair)]
    return [[column[k] for k in places] for column in columns]


# ---------------------------------------------------------------------------------------------------- norms of elements


def _elastic(a: float, b: float) -> _Penalty:
    """a |w| + b w^2, summed; a + b = 1."""

    def formula(w: Tensor) -> Any:
        w = w if w.dtype in _WIDE else w.to(_computing(w))
        l1, l2 = w.abs().sum() if a else 0.0, w.square().sum() if b else 0.0
        return a * l1 + b * l2 if a and b else l1 if a else l2

    def value(ws: Sequence[Tensor]) -> tuple[Tensor, list[Any]]:
        many, single = _split(ws, _FEW)
        parts = [formula(piece) for i in single for (piece,) in _pieces(ws[i])]
        if some := [ws[i] for i in many]:
            parts += [a * _norms(some, 1).sum()] if a else []
            parts += [b * _norms(some, 2).square().sum()] if b else []
        return _added(parts), []

    def slopes(ws: Sequence[Tensor], upstream: Tensor) -> Sequence[Tensor]:
        up1, up2 = upstream * a, upstream * (2 * b)

        def together(places: list[int]) -> Sequence[Tensor]:
            some = [ws[i] for i in places]
            if not a:
                return foreach.mul(some, up2)
            made = foreach.sign(some)
            foreach.mul_(made, up1)
            if b:
                foreach.add_(made, foreach.mul(some, up2))
            return made

        def alone(i: int) -> Tensor:
            w = ws[i].detach()
            wide = w if a == 0 or b == 0 else w.to(_computing(w))  # several steps are rounded once
            made = memory.empty_like(wide)
            for g, x in _pieces(made, wide):
                torch.sign(x, out=g).mul_(up1) if a else torch.mul(x, up2, out=g)
                if a and b:
                    g.add_(x * up2)
            return made.to(w.dtype)

        return _assembled(ws, together, alone)

    return _Penalty(formula, value, slopes)


_L1, _L2 = _elastic(1, 0), _elastic(0, 1)


def l1_penalty(params: Params, lam: float | Tensor = 1.0, exclude: Exclude = ()) -> Tensor:
    r"""The sum of the absolute values of the parameters (Tibshirani 1996): it makes weights exactly 0.

    .. math:: \lambda \sum_i |w_i|

    Equivalent to ``lam * sum(w.abs().sum() for w in params)``.

    Args:
        params: Tensors, or pairs of a name and a tensor, of any shapes.
        lam: The weight, a number or a tensor of shape ``()``, which may be learned.
        exclude: Parameters that do not count: tensors, or patterns of names (of `fnmatch`), which are compared with the
            name and with each of its parts between dots: ``("bias", "norm*", "head.*")``.

    Returns:
        The penalty, shape ``()``, of the parameters' dtype; sums are of float32 or wider.

    Gradient: lam times the sign, 0 at 0; differentiable again.
    Cost: a read of the parameters forward, a read and a write of the gradient backward, without temporaries of their
        size; on CUDA a kernel for many float32 or float64 tensors at a time.

    Example:
        >>> model = torch.nn.Linear(4, 2)
        >>> fastloss.l1_penalty(model.named_parameters(), lam=1e-4, exclude="bias").backward()
        >>> model.bias.grad is None
        True
    """
    return _apply(_L1, lam, *_chosen("l1_penalty", params, exclude))


def l2_penalty(params: Params, lam: float | Tensor = 1.0, exclude: Exclude = ()) -> Tensor:
    r"""The sum of the squares of the parameters, without a factor 1/2 (ridge, Hoerl and Kennard 1970).

    .. math:: \lambda \sum_i w_i^2

    Equivalent to ``lam * sum(w.square().sum() for w in params)``. Where only weight decay is wanted, that of the
    optimizer costs nothing: ``weight_decay`` of `torch.optim.SGD` is 2 lam.

    Args:
        params, lam, exclude: As in `l1_penalty`.

    Returns:
        The penalty, shape ``()``, of the parameters' dtype.

    Gradient: 2 lam w; differentiable again.
    Cost: as `l1_penalty`.

    Example:
        >>> weight = torch.tensor([1.0, -2.0], requires_grad=True)
        >>> fastloss.l2_penalty([weight], lam=0.5)
        tensor(2.5000, grad_fn=<MulBackward0>)
    """
    return _apply(_L2, lam, *_chosen("l2_penalty", params, exclude))


def elastic_net_penalty(
    params: Params, lam: float | Tensor = 1.0, exclude: Exclude = (), *, l1_ratio: float = 0.5
) -> Tensor:
    r"""A mixture of `l1_penalty` and `l2_penalty` (Zou and Hastie 2005).

    .. math:: \lambda \Bigl( r \sum_i |w_i| + (1 - r) \sum_i w_i^2 \Bigr)

    Equivalent to ``l1_ratio * l1_penalty(params, lam) + (1 - l1_ratio) * l2_penalty(params, lam)``. scikit-learn's
    elastic net has half of the second term.

    Args:
        params, lam, exclude: As in `l1_penalty`.
        l1_ratio: r, from 0 to 1.

    Returns:
        The penalty, shape ``()``, of the parameters' dtype.

    Cost: as `l1_penalty`, in one call for both.

    Example:
        >>> weight = torch.tensor([1.0, -2.0], requires_grad=True)
        >>> fastloss.elastic_net_penalty([weight], l1_ratio=0.5)
        tensor(4., grad_fn=<MulBackward0>)
    """
    if isinstance(l1_ratio, Tensor) or not 0 <= l1_ratio <= 1:
        raise ValueError(f"fastloss.elastic_net_penalty: expected a number l1_ratio from 0 to 1, got {l1_ratio}")
    return _apply(_elastic(l1_ratio, 1 - l1_ratio), lam, *_chosen("elastic_net_penalty", params, exclude))


# -------------------------------------------------------------------------------------------------- distance to anchors


def _half_square(w: Tensor, anchor: Tensor, importance: Tensor | None = None) -> Tensor:
    d = w.to(_computing(w)) - anchor.to(_computing(w))
    return (d.square() if importance is None else d.square() * importance).sum() / 2


def _near_value(ws: Sequence[Tensor], *others: Sequence[Tensor]) -> tuple[Tensor, list[Any]]:
    many, single = _split(ws, _FEW)
    groups = ([column[i] for column in (ws, *others)] for i in single)
    parts = [_half_square(*pieces) for group in groups for pieces in _pieces(*group)]
    if many:
        some, anchors, *importances = [[column[i] for i in many] for column in (ws, *others)]
        apart = foreach.sub(some, anchors)
        if importances:
            made = foreach.mul(apart, apart)
            foreach.mul_(made, importances[0])
            parts.append(_added([t.sum() for t in made]) / 2)
        else:
            parts.append(_norms(apart, 2).square().sum() / 2)
    return _added(parts), []


def _near_slopes(ws: Sequence[Tensor], anchors: Sequence[Tensor], *rest: Any) -> Sequence[Tensor]:
    *importances, upstream = rest

    def together(places: list[int]) -> Sequence[Tensor]:
        made = foreach.sub([ws[i] for i in places], [anchors[i] for i in places])
        for factors in importances:
            foreach.mul_(made, [factors[i] for i in places])
        foreach.mul_(made, upstream)
        return made

    def alone(i: int) -> Tensor:
        wide, *others = (column[i].detach().to(_computing(ws[i])) for column in (ws, anchors, *importances))
        made = memory.empty_like(wide)
        for g, x, anchor, *factors in _pieces(made, wide, *others):
            torch.sub(x, anchor, out=g)
            for factor in factors:
                g.mul_(factor)
            g.mul_(upstream)
        return made.to(ws[i].dtype)

    return _assembled(ws, together, alone)


_NEAR = _Penalty(_half_square, _near_value, _near_slopes)


def proximal_penalty(params: Params, anchors: Params, lam: float | Tensor = 1.0, exclude: Exclude = ()) -> Tensor:
    r"""Half the squared distance of the parameters to others (FedProx, Li et al. 2020,
    https://arxiv.org/abs/1812.06127).

    .. math:: \frac \lambda 2 \sum_i (w_i - a_i)^2

    Equivalent to ``lam / 2 * sum((w - a).square().sum() for w, a in zip(params, anchors))``.

    Args:
        params, lam, exclude: As in `l1_penalty`.
        anchors: A tensor for each parameter; by name where both have names (a ``state_dict`` does), else in order.

    Returns:
        The penalty, shape ``()``, of the parameters' dtype.

    Gradient: lam (w - a), to anchors that need one too; differentiable again.
    Cost: a read of parameters and anchors forward, another and a write of the gradient backward.

    Example:
        >>> model = torch.nn.Linear(4, 2)
        >>> start = {name: w.detach().clone() for name, w in model.named_parameters()}
        >>> fastloss.proximal_penalty(model.named_parameters(), start, lam=0.01).item()
        0.0
    """
    return _apply(_NEAR, lam, *_chosen("proximal_penalty", params, exclude, anchors))


def ewc_penalty(
    params: Params, anchors: Params, fisher: Params, lam: float | Tensor = 1.0, exclude: Exclude = ()
) -> Tensor:
    r"""Elastic weight consolidation: keeps what mattered to an earlier task (Kirkpatrick et al. 2017,
    https://arxiv.org/abs/1612.00796).

    .. math:: \frac \lambda 2 \sum_i F_i (w_i - a_i)^2

    Equivalent to ``lam / 2 * sum((F * (w - a).square()).sum() for w, a, F in zip(params, anchors, fisher))``.

    Args:
        params, lam, exclude: As in `l1_penalty`.
        anchors: The parameters after the earlier task, as in `proximal_penalty`.
        fisher: The importance of each element, as `fisher_diagonal` returns it; likewise by name or in order.

    Returns:
        The penalty, shape ``()``, of the parameters' dtype.

    Gradient: lam F (w - a); differentiable again.
    Cost: a read of the three forward, another and a write of the gradient backward.

    Example:
        >>> model, data = torch.nn.Linear(4, 2), [(torch.randn(8, 4), torch.randint(2, (8,)))]
        >>> fisher = fastloss.fisher_diagonal(model, data, fastloss.CrossEntropyLoss())
        >>> anchors = {name: w.detach().clone() for name, w in model.named_parameters()}
        >>> fastloss.ewc_penalty(model.named_parameters(), anchors, fisher, lam=100.0).item()
        0.0
    """
    return _apply(_NEAR, lam, *_chosen("ewc_penalty", params, exclude, anchors, fisher))


def fisher_diagonal(
    model: torch.nn.Module, data: Iterable[tuple[Any, Any]], loss: Callable[[Any, Any], Tensor]
) -> dict[str, Tensor]:
    r"""The mean of the squared gradients of single samples: the diagonal of the empirical Fisher information.

    .. math:: F_i = \frac 1N \sum_n \Bigl( \frac{\partial\, \ell(f(x_n), y_n)}{\partial w_i} \Bigr)^2

    The squares are those of each sample's gradient, not of a batch's. For the Fisher information itself ``loss`` is a
    negative log-likelihood and the targets are drawn from the model.

    The model is left as it was: parameters, gradients, buffers, and the modes of its modules. It computes in evaluation
    mode, for statistics of a batch mean nothing in batches of one.

    Args:
        model: Its parameters that need gradients are measured.
        data: Batches, pairs of inputs and targets with the samples along the first dimension; inputs are a tensor or a
            tuple of tensors, the model's arguments.
        loss: Of the model's output and the target of a batch of one: a scalar.

    Returns:
        A tensor for each parameter, by name.

    Cost: a forward and a backward per sample, and the memory of one more gradient.

    Example:
        >>> model = torch.nn.Linear(4, 2)
        >>> data = [(torch.randn(8, 4), torch.randint(2, (8,))) for _ in range(3)]
        >>> sorted(fastloss.fisher_diagonal(model, data, fastloss.CrossEntropyLoss()))
        ['bias', 'weight']
    """
    params = {name: p for name, p in model.named_parameters() if p.requires_grad}
    # Copies, for the forward of a model may write to its buffers. Modules that share one share its copy.
    buffers = copy.deepcopy(dict(model.named_buffers(remove_duplicate=False)))
    sums = {name: torch.zeros_like(p) for name, p in params.items()}
    modes = [(module, module.training) for module in model.modules()]
    count = 0
    model.eval()
    try:
        with torch.enable_grad():
            for inputs, targets in data:
                given = inputs if isinstance(inputs, tuple) else (inputs,)
                for k in range(len(targets)):
                    one = tuple(t[k : k + 1] for t in given)
                    value = loss(torch.func.functional_call(model, buffers, one), targets[k : k + 1])
                    found = torch.autograd.grad(value, list(params.values()), allow_unused=True)
                    for total, gradient in zip(sums.values(), found, strict=True):
                        if gradient is not None:
                            total.addcmul_(gradient, gradient)
                    count += 1
    finally:
        for module, mode in modes:
            module.training = mode
    if not count:
        raise ValueError("fastloss.fisher_diagonal: expected at least one sample, got no data")
    return {name: total / count for name, total in sums.items()}


# -------------------------------------------------------------------------------------------------- groups and matrices


def _rows(w: Tensor) -> Tensor:
    return w.flatten(1) if w.dim() > 1 else w.reshape(-1, 1)


def _group_lasso(by_size: bool) -> _Penalty:
    def factor(w: Tensor) -> float:
        return _rows(w).shape[1] ** 0.5 if by_size else 1.0

    def norms(w: Tensor) -> Tensor:
        return torch.linalg.vector_norm(_rows(w), dim=1, dtype=_computing(w))

    def formula(w: Tensor) -> Tensor:
        return norms(w).sum() * factor(w)

    def value(ws: Sequence[Tensor]) -> tuple[Tensor, list[Sequence[Tensor]]]:
        found = [norms(w) for w in ws]
        return torch.cat([norm * factor(w) for norm, w in zip(found, ws, strict=True)] if by_size else found).sum(), [
            found
        ]

    def slopes(ws: Sequence[Tensor], norms: Sequence[Tensor], upstream: Tensor) -> Sequence[Tensor]:
        all_norms = torch.cat([*norms]).unsqueeze(1)
        scales = torch.where(all_norms > 0, upstream / all_norms, 0).split([len(norm) for norm in norms])
        if by_size:
            scales = [scale * factor(w) for scale, w in zip(scales, ws, strict=True)]
        made = []
        for w, scale in zip(ws, scales, strict=True):
            w = w.detach().contiguous()
            made.append(memory.empty_like(w))
            torch.mul(_rows(w), scale, out=_rows(made[-1]))
        return made

    return _Penalty(formula, value, slopes)


_GROUP_LASSO = {by_size: _group_lasso(by_size) for by_size in (False, True)}


def group_lasso_penalty(
    params: Params, lam: float | Tensor = 1.0, exclude: Exclude = (), *, size_factor: bool = False
) -> Tensor:
    r"""The sum of the norms of the rows of the parameters: it makes whole rows 0 (Yuan and Lin 2006).

    .. math:: \lambda \sum_g c_g \lVert w_g \rVert_2

    A group is what leads to one output: an index of the first dimension, a unit of a linear layer or a filter of a
    convolution. Of a bias each element is one; ``exclude="bias"`` leaves biases out.

    Equivalent to ``lam * sum(w.flatten(1).norm(dim=1).sum() for w in params)``.

    Args:
        params, lam, exclude: As in `l1_penalty`.
        size_factor: Whether :math:`c_g` is the root of the number of elements of the group, as in the paper, or 1.

    Returns:
        The penalty, shape ``()``, of the parameters' dtype.

    Gradient: lam c w divided by the norm of its row, 0 for rows of zeros; differentiable again.
    Cost: a read forward, a read and a write backward, and a number per row.

    Example:
        >>> model = torch.nn.Conv2d(3, 8, 3)
        >>> fastloss.group_lasso_penalty(model.named_parameters(), lam=1e-3, exclude="bias").backward()
    """
    return _apply(_GROUP_LASSO[bool(size_factor)], lam, *_chosen("group_lasso_penalty", params, exclude))


def _excess(w: Tensor) -> Tensor:
    """W W' - I, or W' W - I if there are fewer columns."""
    rows = _rows(w)
    rows = rows.to(_computing(w)) if rows.shape[0] <= rows.shape[1] else rows.to(_computing(w)).T
    return rows @ rows.T - torch.eye(rows.shape[0], dtype=rows.dtype, device=rows.device)


def _orthogonality_value(ws: Sequence[Tensor]) -> tuple[Tensor, list[Sequence[Tensor]]]:
    excesses = [_excess(w) for w in ws]
    return _added([excess.square().sum() for excess in excesses]), [excesses]


def _orthogonality_slopes(ws: Sequence[Tensor], excesses: Sequence[Tensor], upstream: Tensor) -> Sequence[Tensor]:
    made, factor = [], 4 * upstream
    for w, excess in zip(ws, excesses, strict=True):
        rows = _rows(w).to(excess.dtype)
        product = excess @ rows if rows.shape[0] <= rows.shape[1] else rows @ excess
        made.append(product.mul_(factor).to(w.dtype).view(w.shape))
    return made


_ORTHOGONALITY = _Penalty(lambda w: _excess(w).square().sum(), _orthogonality_value, _orthogonality_slopes)


def orthogonality_penalty(params: Params, lam: float | Tensor = 1.0, exclude: Exclude = ()) -> Tensor:
    r"""How far the rows of each matrix are from orthonormal ones (soft orthogonality, Bansal et al. 2018,
    https://arxiv.org/abs/1810.09102).

    .. math:: \lambda \sum_W \lVert W W^\top - I \rVert_F^2

    A matrix is a parameter with its dimensions from the second on as one. With more rows than columns the columns are
    meant, :math:`W^\top W`, which has the same gradient and is 0 where they are orthonormal. Parameters of fewer than
    two dimensions do not count.

    Equivalent to ``lam * sum((W @ W.T - torch.eye(len(W))).square().sum() for W in params)`` for wide matrices.

    Args:
        params, lam, exclude: As in `l1_penalty`.

    Returns:
        The penalty, shape ``()``, of the parameters' dtype.

    Gradient: 4 lam (W W' - I) W; differentiable again.
    Cost: a matrix product forward and one backward (autograd of the expression makes three), and a small square matrix.

    Example:
        >>> model = torch.nn.Linear(8, 4)
        >>> torch.nn.init.orthogonal_(model.weight).shape
        torch.Size([4, 8])
        >>> fastloss.orthogonality_penalty(model.parameters()).item() < 1e-9
        True
    """
    (chosen,) = _chosen("orthogonality_penalty", params, exclude)
    return _apply(_ORTHOGONALITY, lam, [w for w in chosen if w.dim() > 1])
