"""The shell of a softmax loss's formula, in plain PyTorch: all that surrounds the numbers of one row or class."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from fastloss._core import operators as _ops
from fastloss._core import options as _options
from fastloss._core._torch import F
from fastloss._core.options import ROW_DEFAULTS, ROW_NUMBERS
from fastloss._core.record import SoftmaxLoss
from fastloss._core.stats import RowStats


def check(
    record: SoftmaxLoss,
    input: Tensor,
    params: tuple[Any, ...],
    weight: Any,
    reduction: str,
    label_smoothing: Any,
    options: dict[str, Any],
) -> None:
    """Refuses what neither a kernel nor the formula takes."""
    name = record.name
    _options.refuse_unknown(name, options, ROW_DEFAULTS, record.names)
    numbers = dict(zip(record.params, params, strict=True))
    factor = numbers.get(record.factor)
    if isinstance(factor, Tensor) and factor.dim():
        del numbers[record.factor]
        if input.dim() and factor.shape != (classes := input.shape[class_dim(input)],):
            raise RuntimeError(
                f"fastloss.{name}: {record.factor} has shape {tuple(factor.shape)}, expected () or ({classes},), one "
                "factor per class"
            )
    numbers["label_smoothing"] = label_smoothing
    for what in ROW_NUMBERS:
        value = options.get(what, ROW_DEFAULTS[what])
        if value is not None or ROW_DEFAULTS[what] is not None:
            numbers[what] = value
    _options.check_domain(name, **numbers)
    _options.check_tensors(name, weight=weight, mask=options.get("mask"))
    of = options.get
    _options.check(name, reduction, of("normalizer"), of("empty", "nan"), of("loss_dtype"))


def evaluate(
    record: SoftmaxLoss,
    input: Tensor,
    target: Tensor,
    params: tuple[Any, ...],
    weight: Tensor | None,
    ignore_index: int,
    reduction: str,
    label_smoothing: float | Tensor,
    options: dict[str, Any],
) -> Any:
    r"""The loss that a pose asks for, from its formula f; from PyTorch's own function if there are no options of ours.

    With logits :math:`z` (``input``, or ``softcap * tanh(input / softcap)``, over ``temperature``),
    :math:`s = \log\sum_c e^{z_c}`, :math:`n_c = s - z_c`, class weights :math:`w`, smoothing :math:`\epsilon` and
    z-loss :math:`\zeta`, the loss of one row is

    .. math::
        w_y (1-\epsilon)\, f(n_y) + \tfrac{\epsilon}{C} \sum_c w_c n_c + \zeta\, w_y s^2
            &\quad\text{for a class index } y, \\
        \sum_c w_c \left((1-\epsilon) t_c + \tfrac{\epsilon}{C}\right) f(n_c) + \zeta\, s^2
            &\quad\text{for class probabilities } t,

    and zero, with zero gradient whatever the logits hold, for a row that is ignored or masked out. ``"mean"`` divides
    the sum by :math:`\sum w_y` over the kept rows (probabilities: by their number), or by ``normalizer``.
    """
    reduction = _ops.REDUCTION_NAMES[_options.reduction_code(reduction)]
    check(record, input, params, weight, reduction, label_smoothing, options)
    if options.get("group") is not None:
        raise ValueError(f"fastloss.{record.name}: expected group=None: the formula is that of whole rows")
    label_smoothing = _options.fixed(label_smoothing)
    given = {**ROW_DEFAULTS, **options, "inplace": False}
    given.update({name: _options.fixed(given[name]) for name in ROW_NUMBERS})
    if target.dtype == torch.uint8:  # of pixels PyTorch itself takes int64 alone
        target = target.long()
    plain = record.torch is not None and not isinstance(label_smoothing, Tensor)
    if plain and not any(isinstance(v, Tensor) or v != ROW_DEFAULTS[name] for name, v in given.items()):
        input = _without_ignored(input, target, ignore_index)
        return record.torch(input, target, weight, None, ignore_index, None, reduction, label_smoothing)  # type: ignore[misc]

    dim = class_dim(input)
    rows = input.shape[:dim] + input.shape[dim + 1 :]
    soft = target.shape == input.shape
    if _torch_rejects(input, target, weight, dim, ignore_index, label_smoothing):
        smoothing = _options.known(label_smoothing) or 0.0
        F.cross_entropy(input, target, weight, None, ignore_index, None, reduction, smoothing)
    mask = given["mask"]
    _options.check_row_mask(record.name, mask, rows)

    dtype = dtype_of_loss(input, target, weight)
    compute = torch.promote_types(dtype, torch.float32)
    smooth = isinstance(label_smoothing, Tensor) or label_smoothing > 0.0
    penalised = isinstance(given["z_loss"], Tensor) or given["z_loss"] != 0.0
    label_smoothing = of_dtype(label_smoothing, compute)
    if isinstance(label_smoothing, Tensor):  # what is not above 0 PyTorch takes for 0
        label_smoothing = torch.where(label_smoothing >= 0, label_smoothing, 0.0)
    z_loss, softcap, temperature = (of_dtype(given[name], compute) for name in ("z_loss", "softcap", "temperature"))

    C = input.shape[dim]
    to_classes = (-1, *[1] * (input.dim() - dim - 1))
    w = input.new_ones(C, dtype=compute) if weight is None else weight.to(compute)
    if soft:
        target = target.to(compute)
        y = None
        kept = input.new_ones(rows, dtype=torch.bool) if mask is None else mask
        w_per_row = w.new_ones(())
    else:
        target = target.reshape(rows)  # torch takes (1) for the one target of (C)
        target = target if mask is None else torch.where(mask, target, ignore_index)
        kept = target != ignore_index
        y = torch.where(kept, target, 0)
        # A log-probability of -1 costs w_y, or nothing if ignored.
        w_per_row = F.nll_loss(w.new_full((), -1.0).expand_as(input), target, w, None, ignore_index, reduction="none")

    def value(log_p: Tensor) -> Tensor:
        """The formula's, of each class if the targets are probabilities, else of each row's."""
        row: dict[str, Any] = {}
        if y is None:
            row["nll"] = -log_p
            if record.reads & {"p", "q"}:
                row["p"], row["q"] = log_p.exp(), -torch.expm1(log_p)
        else:
            if record.reads & {"p", "q"}:
                # The value of the sum of the others, which does not cancel as p -> 1, with the derivative of 1 - p,
                # which does not cancel as p -> 0.
                index = y.unsqueeze(dim)
                row["p"] = p = log_p.gather(dim, index).squeeze(dim).exp()
                row["q"] = log_p.detach().exp().scatter(dim, index, 0.0).sum(dim) + (p.detach() - p)
            row["nll"] = F.nll_loss(log_p, target, None, None, ignore_index, reduction="none")
        for name, number in zip(record.params, params, strict=True):
            if isinstance(number, Tensor) and number.numel() != 1:
                per_class = number.to(compute)
                row[name] = per_class.view(to_classes) if y is None else per_class[y]
            else:
                row[name] = of_dtype(number, compute)
        return record.formula(**{name: row[name] for name in (*record.reads, *record.params)})

    def loss_of(x: Tensor) -> tuple[Tensor, Tensor]:
        z = tempered(x, kept, dim, softcap, temperature)
        log_p = F.log_softmax(z, dim)
        if soft:
            t = (1 - label_smoothing) * target + share(label_smoothing, C, log_p) if smooth else target
            row = (w.view(to_classes) * t * value(log_p)).sum(dim)
        else:
            row = w_per_row * value(log_p)
            if smooth:
                row = (1 - label_smoothing) * row - share(label_smoothing, C, log_p) * (w.view(to_classes) * log_p).sum(
                    dim
                )
        if penalised:
            row = row + z_loss * w_per_row * logsumexp(z, dim).square()
        divisor = of_dtype(given["normalizer"], compute)
        if divisor is None:
            kept_weight = kept.sum().to(compute) if soft else w_per_row.sum()
            divisor = torch.where(kept_weight == 0, torch.nan, kept_weight)
        return reduced(row, kept, reduction, divisor, given["empty"]), z

    x = input.to(compute)
    loss = loss_of(x)[0].to(given["loss_dtype"] or dtype)
    return (loss, _stats(loss_of, x, target, kept, dim, soft)) if given["return_stats"] else loss


def reduced(values: Tensor, kept: Tensor | None, reduction: str, divisor: Any, empty: str) -> Tensor:
    """Values of the rows that are kept (None: all), reduced; ``divisor`` is a mean's, ``empty`` its value over none."""
    if kept is not None:
        values = torch.where(kept, values, 0.0)
    if reduction == "none":
        return values
    if reduction == "sum":
        return values.sum()
    mean: Tensor = values.sum() / divisor
    return mean if kept is None or empty != "zero" else torch.where(kept.any(), mean, 0.0)


def dtype_of_loss(input: Tensor, target: Tensor, weight: Tensor | None) -> torch.dtype:
    """The one that PyTorch gives the loss, whichever path computes it."""
    dtype = input.dtype
    if target.is_floating_point():
        for t in (target,) if weight is None else (target, weight):
            dtype = torch.promote_types(dtype, t.dtype)
    return torch.float32 if dtype != torch.float64 and _ops.autocasts(input.device.type) else dtype


def tempered(x: Tensor, kept: Tensor, dim: int, softcap: Any, temperature: Any) -> Tensor:
    """The logits of a formula: capped, then tempered; zeros in rows that do not count, whatever those hold."""
    z = torch.where(kept.unsqueeze(dim), x, 0.0)
    if softcap is not None:
        z = softcap * torch.tanh(z / softcap)
    return z / temperature


def lowered(input: Tensor, label: Tensor, margin: Tensor) -> Tensor:
    """The logits, that of each row's class less its margin; there is one for each class."""
    dim = class_dim(input)
    return input.scatter_add(dim, label.unsqueeze(dim), -margin.to(input.dtype)[label].unsqueeze(dim))


def class_dim(input: Tensor) -> int:
    """The dimension of the classes."""
    return 0 if input.dim() == 1 else 1


def of_dtype(number: Any, dtype: torch.dtype) -> Any:
    """A hyperparameter in the computing dtype, as a number is by itself."""
    if isinstance(number, Tensor):
        return number.to(dtype).reshape(())
    return number if number is None else float(number)  # NumPy's would compute in their own precision


def share(label_smoothing: Any, classes: Any, like: Tensor) -> Any:
    """What smoothing gives each class. In a trace of torch.jit the number of classes is a tensor of integers, and the
    quotient of a number by it float32."""
    return label_smoothing / (classes.to(like.dtype) if isinstance(classes, Tensor) else classes)


def logsumexp(z: Tensor, dim: int) -> Tensor:
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
            mean_lse=mean(logsumexp(z, dim)),
            grad_norm=torch.linalg.vector_norm(grad, dtype=torch.float64),
            finite=loss.isfinite().all() & grad.isfinite().all(),
            count=count,
        )


def _without_ignored(input: Tensor, target: Tensor, ignore_index: int) -> Tensor:
    """``input`` with zeros in ignored rows: PyTorch's own function multiplies their gradient by 0, which leaves NaN."""
    dim = class_dim(input)
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
        or (weight is not None and weight.dtype != input.dtype and not _ops.autocasts(input.device.type))
        or (_options.known(label_smoothing) or 0.0) > 1.0
    )
