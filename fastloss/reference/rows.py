"""Losses over rows of class scores: one row is one sample, or one pixel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fastloss import _ops, _options
from fastloss._options import takes_tensors
from fastloss._stats import RowStats

__all__ = [
    "cross_entropy",
    "softmax_focal_loss",
]


@takes_tensors
def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float | Tensor = 0.0,
    *,
    z_loss: float | Tensor = 0.0,
    softcap: float | Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: float | Tensor | None = None,
    empty: str = "nan",
    loss_dtype: torch.dtype | None = None,
    inplace: bool = False,
    return_stats: bool = False,
) -> Tensor | tuple[Tensor, RowStats]:
    r"""Cross entropy with its extras, written as its formula.

    With logits :math:`z` (``softcap * tanh(input / softcap)`` when capped), :math:`s = \log\sum_c e^{z_c}`,
    :math:`n_c = s - z_c`, class weights :math:`w`, smoothing :math:`\epsilon` and z-loss :math:`\zeta`, the
    loss of one row is

    .. math::
        w_y (1-\epsilon)\, n_y + \tfrac{\epsilon}{C} \sum_c w_c n_c + \zeta\, w_y s^2
            &\quad\text{for a class index } y, \\
        \sum_c w_c \left((1-\epsilon) t_c + \tfrac{\epsilon}{C}\right) n_c + \zeta\, s^2
            &\quad\text{for class probabilities } t,

    and zero, with zero gradient whatever the logits hold, for a row that is ignored or masked out. ``"mean"``
    divides the sum by :math:`\sum w_y` over the kept rows (probabilities: by their number), or by
    ``normalizer``.

    Without extras this is :func:`torch.nn.functional.cross_entropy` itself. Arguments, errors and result are
    those of :func:`fastloss.functional.cross_entropy`; ``inplace`` is accepted and has no effect.
    """
    reduction = _options.legacy_reduction(size_average, reduce, reduction, 4)
    return _rows(
        "cross_entropy", None, input, target, weight, ignore_index, reduction, label_smoothing, z_loss, softcap, mask,
        normalizer, empty, loss_dtype, return_stats,
    )  # fmt: skip


@takes_tensors
def softmax_focal_loss(
    input: Tensor,
    target: Tensor,
    alpha: float | Tensor | None = None,
    gamma: float | Tensor = 2.0,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float | Tensor = 0.0,
    *,
    z_loss: float | Tensor = 0.0,
    softcap: float | Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: float | Tensor | None = None,
    empty: str = "nan",
    loss_dtype: torch.dtype | None = None,
    inplace: bool = False,
    return_stats: bool = False,
) -> Tensor | tuple[Tensor, RowStats]:
    r"""Cross entropy whose terms are multiplied by :math:`\alpha_c\, q_c^\gamma`, :math:`q_c = 1 - p_c`.

    As in `cross_entropy`, except that :math:`(1-\epsilon)\, w_y n_y` becomes :math:`(1-\epsilon)\, w_y \alpha_y
    q_y^\gamma n_y`, and for probabilities :math:`w_c t'_c n_c` becomes :math:`w_c t'_c \alpha_c q_c^\gamma n_c`; the
    uniform part of smoothed indices stays as it is. :math:`q_y` is the sum of the other probabilities.
    """

    _options.check_domain(
        "softmax_focal_loss", gamma=gamma, **({} if alpha is None else _options.unless_per_class(alpha))
    )

    def modulate(log_p: Tensor, target: Tensor | None, dim: int) -> Tensor:
        if target is None:
            p, q = log_p.exp(), -torch.expm1(log_p)
        else:
            y = torch.where(target == ignore_index, 0, target).unsqueeze(dim)
            # The value of the sum of the others, which does not cancel as p -> 1, with the derivative of 1 - p, which
            # does not cancel as p -> 0.
            p = log_p.gather(dim, y).squeeze(dim).exp()
            q = log_p.detach().exp().scatter(dim, y, 0.0).sum(dim) + (p.detach() - p)
        tiny = torch.finfo(q.dtype).tiny
        factor = torch.exp(of_dtype(gamma, q.dtype) * q.clamp_min(tiny).log())
        # Where p is 0 its derivative is 0, and is multiplied by an nll that may be infinite.
        factor = torch.where(p == 0, factor.detach(), factor)
        if alpha is None:
            return factor
        if not isinstance(alpha, Tensor) or alpha.numel() == 1:
            return of_dtype(alpha, q.dtype) * factor
        per_class = alpha.to(factor.dtype)
        if target is None:
            return factor * per_class.view(-1, *[1] * (log_p.dim() - dim - 1))
        return factor * per_class[torch.where(target == ignore_index, 0, target)]

    return _rows(
        "softmax_focal_loss", modulate, input, target, weight, ignore_index, reduction, label_smoothing, z_loss,
        softcap, mask, normalizer, empty, loss_dtype, return_stats,
    )  # fmt: skip


def of_dtype(number: Any, dtype: torch.dtype) -> Any:
    """A hyperparameter in the computing dtype, as a number is by itself."""
    if isinstance(number, Tensor):
        return number.to(dtype).reshape(())
    return number if number is None else float(number)  # NumPy's would compute in their own precision


def _rows(
    name: str,
    modulate: Callable[[Tensor, Tensor | None, int], Tensor] | None,
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    ignore_index: int,
    reduction: str,
    label_smoothing: float | Tensor,
    z_loss: float | Tensor,
    softcap: float | Tensor | None,
    mask: Tensor | None,
    normalizer: float | Tensor | None,
    empty: str,
    loss_dtype: torch.dtype | None,
    return_stats: bool,
) -> Tensor | tuple[Tensor, RowStats]:
    """Cross entropy with its extras; ``modulate(log_p, target, dim)`` gives the factor of each term."""
    reduction = _ops.REDUCTION_NAMES[_options.reduction_code(reduction)]
    _options.check_rows(name, z_loss, softcap)
    _options.check(name, reduction, normalizer, empty, loss_dtype)

    label_smoothing, z_loss, softcap = map(_options.fixed, (label_smoothing, z_loss, softcap))
    smooth = isinstance(label_smoothing, Tensor) or label_smoothing > 0.0
    penalised = isinstance(z_loss, Tensor) or z_loss != 0.0
    extras = [option is not None for option in (mask, normalizer, softcap, loss_dtype)]
    extras += [modulate is not None, penalised, return_stats, empty == "zero", isinstance(label_smoothing, Tensor)]
    tensors = isinstance(input, Tensor) and isinstance(target, Tensor)
    if tensors and target.dtype == torch.uint8:  # of pixels PyTorch itself takes int64 alone
        target = target.long()
    if not (any(extras) and tensors):
        if tensors:
            input = _without_ignored(input, target, ignore_index)
        return F.cross_entropy(input, target, weight, None, ignore_index, None, reduction, label_smoothing)  # type: ignore[arg-type]

    dim = 0 if input.dim() == 1 else 1
    rows = input.shape[:dim] + input.shape[dim + 1 :]
    soft = target.shape == input.shape
    device = input.device.type
    autocast = _ops.autocasts(device)
    if _torch_rejects(input, target, weight, dim, ignore_index, label_smoothing, autocast):
        smoothing = _options.known(label_smoothing) or 0.0
        F.cross_entropy(input, target, weight, None, ignore_index, None, reduction, smoothing)
    if mask is not None and (mask.dtype != torch.bool or mask.shape != rows):
        raise RuntimeError(
            f"fastloss.{name}: mask is {mask.dtype} of shape {tuple(mask.shape)}, "
            f"expected torch.bool of shape {tuple(rows)}, one entry per row."
        )

    dtype = input.dtype
    if soft:
        dtype = torch.promote_types(dtype, target.dtype)
        dtype = dtype if weight is None else torch.promote_types(dtype, weight.dtype)
    if autocast and dtype != torch.float64:
        dtype = torch.float32
    compute = torch.promote_types(dtype, torch.float32)

    C = input.shape[dim]
    w = input.new_ones(C, dtype=compute) if weight is None else weight.to(compute)
    w_per_class = w.view(-1, *[1] * (input.dim() - dim - 1))
    if soft:
        target = target.to(compute)
        kept = input.new_ones(rows, dtype=torch.bool) if mask is None else mask
        w_per_row = w.new_ones(())
    else:
        target = target.reshape(rows)  # torch takes (1) for the one target of (C)
        target = target if mask is None else torch.where(mask, target, ignore_index)
        kept = target != ignore_index
        # A log-probability of -1 costs w_y, or nothing if ignored.
        w_per_row = F.nll_loss(w.new_full((), -1.0).expand_as(input), target, w, None, ignore_index, reduction="none")
    count = kept.sum()

    def loss_of(x: Tensor) -> tuple[Tensor, Tensor]:
        z = torch.where(kept.unsqueeze(dim), x, 0.0)
        if softcap is not None:
            z = softcap * torch.tanh(z / softcap)
        log_p = F.log_softmax(z, dim)
        factor = None if modulate is None else modulate(log_p, None if soft else target, dim)
        if soft:
            t = (1 - label_smoothing) * target + label_smoothing / C if smooth else target
            row = -(w_per_class * (t if factor is None else t * factor) * log_p).sum(dim)
        else:
            row = F.nll_loss(log_p, target, w, None, ignore_index, reduction="none")
            row = row if factor is None else factor * row
            if smooth:
                row = (1 - label_smoothing) * row - label_smoothing / C * (w_per_class * log_p).sum(dim)
        if penalised:
            row = row + z_loss * w_per_row * _logsumexp(z, dim).square()
        row = torch.where(kept, row, 0.0)
        if reduction == "none":
            return row, z
        if reduction == "sum":
            return row.sum(), z
        kept_weight = count.to(compute) if soft else w_per_row.sum()
        divisor = (
            torch.where(kept_weight == 0, torch.nan, kept_weight)
            if normalizer is None
            else of_dtype(normalizer, compute)
        )
        mean = row.sum() / divisor
        return (torch.where(count > 0, mean, 0.0) if empty == "zero" else mean), z

    label_smoothing, z_loss, softcap = (of_dtype(v, compute) for v in (label_smoothing, z_loss, softcap))
    if isinstance(label_smoothing, Tensor):  # what is not above 0 PyTorch takes for 0
        label_smoothing = torch.where(label_smoothing >= 0, label_smoothing, 0.0)
    x = input.to(compute)
    loss = loss_of(x)[0].to(loss_dtype or dtype)
    if not return_stats:
        return loss
    return loss, _stats(loss_of, x, target, kept, dim, soft)


def _logsumexp(z: Tensor, dim: int) -> Tensor:
    """Its derivative comes from exponents of numbers without the largest, not from those of large ones."""
    largest = z.detach().amax(dim, keepdim=True)
    largest = torch.where(largest.isfinite(), largest, 0.0)
    return largest.squeeze(dim) + (z - largest).logsumexp(dim)


def _stats(
    loss_of: Callable[[Tensor], tuple[Tensor, Tensor]],
    x: Tensor,
    target: Tensor,
    kept: Tensor,
    dim: int,
    soft: bool,
) -> RowStats:
    """The statistics of a batch, each from its definition."""

    def total(x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        loss, z = loss_of(x)
        return loss.sum(), (loss, z)

    count = kept.sum()

    def mean(value: Tensor) -> Tensor:
        return torch.where(kept, value, 0.0).sum(dtype=torch.float64) / count

    with torch.no_grad():
        grad, (loss, z) = torch.func.grad(total, has_aux=True)(x.detach())
        log_p = F.log_softmax(z, dim)
        if soft:
            best, nll = target.argmax(dim), -(target * log_p).sum(dim)
        else:
            best = torch.where(kept, target, 0)
            nll = -log_p.gather(dim, best.unsqueeze(dim)).squeeze(dim)
        return RowStats(
            accuracy=mean((z.argmax(dim) == best).double()),
            entropy=mean(torch.special.entr(log_p.exp()).sum(dim)),
            perplexity=mean(nll).exp(),
            mean_lse=mean(_logsumexp(z, dim)),
            grad_norm=torch.linalg.vector_norm(grad, dtype=torch.float64),
            finite=loss.isfinite().all() & grad.isfinite().all(),
            count=count,
        )


def _without_ignored(input: Tensor, target: Tensor, ignore_index: int) -> Tensor:
    """``input`` with zeros in ignored rows: PyTorch's own function multiplies their gradient by 0, which leaves NaN."""
    dim = 0 if input.dim() == 1 else 1
    rows = input.shape[:dim] + input.shape[dim + 1 :]
    alike = target.shape == rows or (dim == 0 and target.shape == (1,))
    if not input.dim() or not alike or target.dtype != torch.int64 or not isinstance(ignore_index, int):
        return input  # PyTorch's error, or probabilities
    kept = target != ignore_index
    if _options.known(kept.all()):
        return input
    return torch.where(kept.reshape(rows).unsqueeze(dim), input, 0.0)


def _torch_rejects(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    dim: int,
    ignore_index: int,
    label_smoothing: float | Tensor,
    autocast: bool,
) -> bool:
    """Whether torch raises on these arguments, whatever their values (class indices are checked on use)."""
    if not input.is_floating_point() or input.dim() == 0:
        return True
    if weight is not None and weight.shape != input.shape[dim : dim + 1]:
        return True
    if target.shape == input.shape:
        return not target.is_floating_point() or ignore_index >= 0
    return (
        target.shape != input.shape[:dim] + input.shape[dim + 1 :]
        or target.dtype != torch.int64
        or (weight is not None and weight.dtype != input.dtype and not autocast)
        or (_options.known(label_smoothing) or 0.0) > 1.0
    )
