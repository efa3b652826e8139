"""Losses for classes of which some are rare."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fastloss._core import autograd, route
from fastloss._core._torch import forward_mode_active, tracing_state, transforms_active
from fastloss._core.formula import Number, as_number
from fastloss._core.guards import is_compiling
from fastloss._core.options import (
    FINITE,
    NOT_NEGATIVE,
    POSITIVE,
    ComposedOptions,
    RowOptions,
    check_domain,
    check_numbers,
    fixed,
)
from fastloss._core.row_formula import class_dim, dtype_of_loss, lowered, of_dtype, share
from fastloss.engines import softmax
from fastloss.engines.composition import (
    along_classes,
    check_classes,
    check_labels,
    few_entropies,
    few_rows,
    loss,
    of_classes,
    reduce_rows,
    rows_of,
)
from fastloss.losses.classification import cross_entropy, softmax_focal_loss

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["asymmetric_cross_entropy", "class_balanced_weights", "ldam_loss", "logit_adjusted_cross_entropy"]


def _power(u: Tensor, gamma: Number) -> Tensor:
    """u^gamma, with a finite derivative at 0."""
    if not isinstance(gamma, Tensor) and gamma == 1:
        return u
    return (u.clamp_min(torch.finfo(u.dtype).tiny).log() * gamma).exp()


def _values(
    log_p: Tensor,
    index: Tensor,
    weight: Tensor | None,
    gamma_pos: Number,
    gamma_neg: Number,
    label_smoothing: Number,
) -> Tensor:
    """Of each row of log-probabilities, -p^gamma log p of every class by its share, and the focal loss of its own."""
    dim, least = class_dim(log_p), torch.finfo(log_p.dtype).min
    own = log_p.gather(dim, index)
    # The value of the sum of the others, which does not cancel as p -> 1, with the derivative of 1 - p, 0 where p is.
    p = own.clamp_min(least).exp()
    q = (log_p.detach().exp().scatter(dim, index, 0.0).sum(dim, keepdim=True) + p.detach()) - p
    rest = share(label_smoothing, log_p.shape[dim], log_p)
    some = log_p.clamp_min(least)  # p^gamma log p is 0 where p is, unless gamma is
    plain = as_number(gamma_neg, log_p) == 0
    every = (some * gamma_neg).exp() * (torch.where(plain, log_p, some) * -rest)
    every = every.scatter(dim, index, _power(q, gamma_pos) * own * (label_smoothing - 1 - rest))
    return (every if weight is None else every * weight).sum(dim)


class _Slopes:
    """For `autograd.Kernel`: `_values` with the derivatives, in half of the operations that autograd takes for them."""

    fixed = (None,) * 4

    @staticmethod
    def takes(*numbers: Any) -> bool:
        _, gamma_neg, label_smoothing = numbers
        return (
            not is_compiling()
            and not any(isinstance(value, Tensor) for value in numbers)
            and gamma_neg > 0
            and label_smoothing > 1e-6  # that 1 / label_smoothing is a number of every dtype
            and not transforms_active()
            and not forward_mode_active()
            and tracing_state() is None
        )

    @staticmethod
    def forward(ctx: Any, call: Any, index: Tensor, weight: Tensor | None, log_p: Tensor) -> Tensor:
        gamma_pos, gamma_neg, label_smoothing = call
        dim, least = class_dim(log_p), torch.finfo(log_p.dtype).min
        rest = label_smoothing / log_p.shape[dim]
        p, some = log_p.exp(), log_p.clamp_min(least)
        own, chance = log_p.gather(dim, index), p.gather(dim, index)
        q = p.scatter_(dim, index, 0.0).sum(dim, keepdim=True)
        slope = (some * gamma_neg).exp_()
        every = slope * some
        slope.add_(every, alpha=gamma_neg)
        near, rate = _power(q, gamma_pos), chance * own.clamp_min(least)
        if gamma_pos != 1:
            rate = rate * near * gamma_pos / q.clamp_min(torch.finfo(q.dtype).tiny)
        large = (1 - label_smoothing) / rest + 1
        every.scatter_(dim, index, near * own * large)
        slope.scatter_(dim, index, (near - rate) * large)
        if weight is not None:
            every, slope = every * weight, slope * weight
        ctx.save_for_backward(log_p, index, weight)
        ctx.slope, ctx.rest = slope, rest
        return every.sum(dim) * -rest

    @staticmethod
    def backward(ctx: Any, call: Any, upstream: Tensor) -> tuple[Tensor]:
        return ((upstream * -ctx.rest).unsqueeze(class_dim(ctx.slope)) * ctx.slope,)

    @staticmethod
    def formula(ctx: Any, call: Any) -> tuple[Any, list[Tensor]]:
        log_p, index, weight = ctx.saved_tensors
        return lambda log_p: _values(log_p, index, weight, *call), [log_p]


@loss(
    takes=ComposedOptions,
    inputs=("input", "target"),
    keeps=("weight",),
    domains={
        "gamma_pos": NOT_NEGATIVE,
        "gamma_neg": NOT_NEGATIVE,
        "label_smoothing": ("between 0 and 1", lambda v: 0 <= v <= 1, ValueError),
    },
)
def asymmetric_cross_entropy(
    input: Tensor,
    target: Tensor,
    gamma_pos: float | Tensor = 1.0,
    gamma_neg: float | Tensor = 4.0,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float | Tensor = 0.1,
    **options: Unpack[ComposedOptions],
) -> Tensor:
    r"""The asymmetric loss (Ridnik et al. 2021, https://arxiv.org/abs/2009.14119) of classes that exclude each other:
    the share that smoothing gives to unlikely classes is weighed down by :math:`\gamma_-`, a likely row by
    :math:`\gamma_+`.

    With p the softmax of ``input`` and :math:`\varepsilon` = ``label_smoothing``,

    .. math::
        \ell = -\left(1 - \varepsilon + \tfrac{\varepsilon}{C}\right) w_y\, (1 - p_y)^{\gamma_+} \log p_y
             - \frac{\varepsilon}{C} \sum_{c \ne y} w_c\, p_c^{\gamma_-} \log p_c.

    Equivalent to timm's ``AsymmetricLossSingleLabel(gamma_pos, gamma_neg, eps=label_smoothing)(input, target)``.
    Without smoothing it is ``softmax_focal_loss(input, target, gamma=gamma_pos)``, from that kernel.

    Args:
        input, target, ignore_index, reduction: As in `cross_entropy`. Classes only.
        gamma_pos, gamma_neg: Exponents, not negative; floats or 0-d tensors.
        weight: Factor of each class, shape :math:`(C)`; the mean divides by the sum of :math:`w_y`.
        label_smoothing: :math:`\varepsilon` in [0, 1]; float or 0-d tensor.

    Returns:
        The loss: shape of index targets for ``"none"``, otherwise ``()``.

    Raises: IndexError for a class that does not exist; RuntimeError for other shapes and dtypes; ValueError for
        options.
    Gradient: with respect to ``input``, finite for every exponent; differentiable again (through the reference).
    Memory: without smoothing one gradient buffer; with smoothing, in float32 at least, the log-softmax and what
        PyTorch makes of it.
    Accuracy: 1 - p is the sum of the other probabilities, so it keeps its relative accuracy as p nears 1.

    Example:
        >>> logits = torch.randn(8, 5, requires_grad=True)
        >>> target = torch.randint(5, (8,))
        >>> fastloss.functional.asymmetric_cross_entropy(logits, target, gamma_neg=4.0).backward()
    """
    if not isinstance(label_smoothing, Tensor) and label_smoothing == 0:
        check_domain("asymmetric_cross_entropy", gamma_pos=gamma_pos, gamma_neg=gamma_neg)
        made: Tensor = softmax_focal_loss(input, target, None, gamma_pos, weight, ignore_index, reduction, **options)
        return made
    if route.watched:
        route.take("asymmetric_cross_entropy", "reference", "smoothing weighs every class by a power of its own")
    numbers = fixed(gamma_pos), fixed(gamma_neg), fixed(label_smoothing)
    return _asymmetric(True, input, target, *numbers, weight, ignore_index, reduction, options)


@asymmetric_cross_entropy.formula
def _(
    input: Tensor,
    target: Tensor,
    gamma_pos: Number = 1.0,
    gamma_neg: Number = 4.0,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: Number = 0.1,
    **options: Any,
) -> Tensor:
    r"""The focal loss of the row's class, and :math:`-p^{\gamma_-} \log p` of each other one by its share."""
    numbers = gamma_pos, gamma_neg, label_smoothing
    return _asymmetric(False, input, target, *numbers, weight, ignore_index, reduction, options)


def _asymmetric(
    derived: bool,
    input: Tensor,
    target: Tensor,
    gamma_pos: Number,
    gamma_neg: Number,
    label_smoothing: Number,
    weight: Tensor | None,
    ignore_index: int,
    reduction: str,
    options: Any,
) -> Tensor:
    name = "asymmetric_cross_entropy"
    check_domain(name, gamma_pos=gamma_pos, gamma_neg=gamma_neg, label_smoothing=label_smoothing)
    rows = rows_of(name, input, target, weight, ignore_index, options.get("mask"))
    dim = class_dim(input)
    x = input.to(torch.promote_types(input.dtype, torch.float32))
    x = x if rows.kept is None else torch.where(rows.kept.unsqueeze(dim), x, 0.0)
    log_p, index = x.log_softmax(dim), rows.label.unsqueeze(dim)
    if weight is not None:
        check_classes(name, input, weight=weight)
        weight = along_classes(weight.to(x.dtype), input)
    call = tuple(of_dtype(value, x.dtype) for value in (gamma_pos, gamma_neg, label_smoothing))
    if derived and (weight is None or not weight.requires_grad) and _Slopes.takes(*call):
        values = of_classes(name, lambda: autograd.apply(_Slopes, call, index, weight, log_p))
    else:
        values = of_classes(name, lambda: _values(log_p, index, weight, *call))
    return reduce_rows(values, rows, reduction, dtype_of_loss(input, target, None), **options)


def _after_shift(
    row_losses: Any,
    input: Tensor,
    target: Tensor,
    log_prior: Tensor,
    tau: Number,
    weight: Tensor | None,
    ignore_index: int,
    reduction: str,
    label_smoothing: Number,
    options: Any,
) -> Tensor:
    name = "logit_adjusted_cross_entropy"
    check_classes(name, input, log_prior=log_prior)
    check_domain(name, tau=tau)
    prior = log_prior.to(torch.promote_types(input.dtype, torch.float32))
    z = input + along_classes(as_number(tau, prior) * prior if isinstance(tau, Tensor) else prior * tau, input)
    weight = None if weight is None else weight.to(z.dtype)
    if options.get("loss_dtype") is None and z.dtype != input.dtype:
        options = {**options, "loss_dtype": dtype_of_loss(input, target, weight)}
    made: Tensor = row_losses(z, target, weight, None, ignore_index, None, reduction, label_smoothing, **options)
    return made


def _few_shifted(
    input: Tensor,
    target: Tensor,
    log_prior: Tensor,
    tau: float | Tensor = 1.0,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float | Tensor = 0.0,
    **options: Any,
) -> Tensor | None:
    if type(tau) is not float or not FINITE[1](tau) or type(label_smoothing) is not float:
        return None
    if log_prior.dtype is not input.dtype or log_prior.shape != input.shape[1:]:
        return None
    if not few_rows("logit_adjusted_cross_entropy", input, target, ignore_index, reduction, options):
        return None
    shift = log_prior if tau == 1 else tau * log_prior
    return few_entropies(input + shift, target, weight, reduction, ignore_index, label_smoothing)


@loss(
    takes=RowOptions,
    inputs=("input", "target"),
    keeps=("log_prior", "weight"),
    domains={"tau": FINITE},
    tiny=_few_shifted,
)
def logit_adjusted_cross_entropy(
    input: Tensor,
    target: Tensor,
    log_prior: Tensor,
    tau: float | Tensor = 1.0,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float | Tensor = 0.0,
    **options: Unpack[RowOptions],
) -> Tensor:
    r"""Cross entropy of logits that are shifted by the classes' prior, which asks for larger logits of rare classes
    (Menon et al. 2021, https://arxiv.org/abs/2007.07314).

    .. math::
        \ell = w_y\, (\operatorname{lse}(z) - z_y), \qquad z_c = x_c + \tau \log \pi_c.

    Equivalent to ``cross_entropy(input + tau * log_prior, target)``. Balanced softmax (Ren et al. 2020,
    https://arxiv.org/abs/2007.10740) is ``log_prior=counts.log()``: a constant in all classes changes nothing. The
    options of `cross_entropy` are about the shifted logits z.

    Args:
        input, target, weight, ignore_index, reduction, label_smoothing: As in `cross_entropy`.
        log_prior: :math:`\log \pi_c`, shape :math:`(C)`; -inf for a class that does not occur.
        tau: Factor of the shift; 0 is cross entropy. Float or 0-d tensor.

    Keyword-only options: those of `cross_entropy`, of the shifted logits z. ``inplace`` writes the gradient over them,
        not over ``input``, and halves the memory likewise.

    Returns:
        The loss: shape of index targets for ``"none"``, otherwise ``()``. With ``return_stats`` the pair
        ``(loss, RowStats)``.

    Raises: As `cross_entropy`; RuntimeError for a prior that is not one number per class.
    Gradient: with respect to ``input``, ``log_prior`` and ``tau``; differentiable again.
    Memory: the shifted logits, in float32 for half ones, and cross entropy's.
    Accuracy: that of `cross_entropy`; half logits are shifted in float32.

    Example:
        >>> logits = torch.randn(8, 5, requires_grad=True)
        >>> target = torch.randint(5, (8,))
        >>> fastloss.functional.logit_adjusted_cross_entropy(logits, target, log_prior=-torch.arange(5.0)).backward()
    """
    return _after_shift(
        cross_entropy, input, target, log_prior, tau, weight, ignore_index, reduction, label_smoothing, options
    )


@logit_adjusted_cross_entropy.formula
def _(
    input: Tensor,
    target: Tensor,
    log_prior: Tensor,
    tau: Number = 1.0,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: Number = 0.0,
    **options: Any,
) -> Tensor:
    r"""Cross entropy of :math:`x_c + \tau \log \pi_c`."""
    made = cross_entropy.record.reference
    return _after_shift(made, input, target, log_prior, tau, weight, ignore_index, reduction, label_smoothing, options)


def _margins(counts: Tensor, largest: Number) -> Tensor:
    """The margin of each class, in float64."""
    n = counts.double()
    least = torch.where(n > 0, n, torch.inf).amin()
    return (least / n.maximum(least)).sqrt().sqrt() * largest


_known: tuple[Any, ...] = ()  # counts, largest margin and dtype of the last few rows, and the margins


def _few_lowered(
    input: Tensor,
    target: Tensor,
    counts: Tensor,
    max_margin: float | Tensor = 0.5,
    scale: float | Tensor = 30.0,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    **options: Any,
) -> Tensor | None:
    global _known
    if type(max_margin) is not float or type(scale) is not float or not (0 <= max_margin < 1e30 and 0 < scale < 1e30):
        return None
    if counts.shape != input.shape[1:] or not few_rows("ldam_loss", input, target, ignore_index, reduction, options, 4):
        return None
    known, largest = _known, max_margin * scale
    if not (known and known[1:3] == (largest, input.dtype) and torch.equal(known[0], counts)):
        known = _known = counts.clone(), largest, input.dtype, _margins(counts, -largest).to(input.dtype)
    index = target.unsqueeze(1)
    z = (input * scale).scatter_add(1, index, known[3][index])
    return few_entropies(z, target, weight, reduction, ignore_index)


@loss(
    title="LDAMLoss",
    takes=ComposedOptions,
    inputs=("input", "target"),
    keeps=("counts", "weight"),
    domains={"max_margin": NOT_NEGATIVE, "scale": POSITIVE},
    tiny=_few_lowered,
)
def ldam_loss(
    input: Tensor,
    target: Tensor,
    counts: Tensor,
    max_margin: float | Tensor = 0.5,
    scale: float | Tensor = 30.0,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    **options: Unpack[ComposedOptions],
) -> Tensor:
    r"""Label-distribution-aware margin loss (Cao et al. 2019, https://arxiv.org/abs/1906.07413): cross entropy of
    scaled logits with a margin below the target's, larger for rare classes.

    .. math::
        \ell = -w_y \log \frac{e^{s (x_y - m_y)}}{e^{s (x_y - m_y)} + \sum_{c \ne y} e^{s x_c}}, \qquad
        m_c = m_{\max} \left(\frac{\min_j n_j}{n_c}\right)^{1/4}.

    Equivalent to ``F.cross_entropy(scale * (input - m * F.one_hot(target, C)), target, weight)``, the authors' code.
    They defer ``weight`` (`class_balanced_weights`) to the last epochs. With equal counts it is the additive margin
    softmax.

    Args:
        input, target, ignore_index, reduction: As in `cross_entropy`. Classes only; logits are cosines in the paper.
        counts: :math:`n_c`, the number of samples of each class, shape :math:`(C)`. A class without samples has the
            largest margin.
        max_margin: :math:`m_{\max}`, the margin of the rarest class, not negative; float or 0-d tensor.
        scale: s, positive; float or 0-d tensor.
        weight: Factor of each class, shape :math:`(C)`; the mean divides by the sum of :math:`w_y`.

    Returns:
        The loss: shape of index targets for ``"none"``, otherwise ``()``.

    Raises: IndexError for a class that does not exist; RuntimeError for other shapes and dtypes; ValueError for
        options.
    Gradient: with respect to ``input``; differentiable again (through the reference).
    Memory: one gradient buffer, as `cross_entropy`.
    Accuracy: that of `cross_entropy`; in float32 where no scaled logit is more than 87 below the target's.

    Example:
        >>> logits = torch.randn(8, 5, requires_grad=True)
        >>> target = torch.randint(5, (8,))
        >>> fastloss.functional.ldam_loss(logits, target, counts=torch.tensor([90, 5, 2, 2, 1]), scale=10.0).backward()
    """
    target = check_labels("ldam_loss", input, target, options.get("mask"))
    check_domain("ldam_loss", max_margin=max_margin, scale=scale)
    scale = fixed(scale)
    check_classes("ldam_loss", input, counts=counts)
    margins = _margins(counts, max_margin * scale)
    given: dict[str, Any] = {"temperature": 1 / scale, **options}

    def plainly() -> Tensor:
        made: Tensor = ldam_loss.record.reference(
            input, target, counts, max_margin, scale, weight, ignore_index, reduction, **options
        )
        return made

    return softmax.solve_lowered(_LOWERED, input, target, margins, weight, ignore_index, reduction, given, plainly)


_LOWERED = replace(cross_entropy.record, name="ldam_loss", operator="cross_entropy")


@ldam_loss.formula
def _(
    input: Tensor,
    target: Tensor,
    counts: Tensor,
    max_margin: Number = 0.5,
    scale: Number = 30.0,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    **options: Any,
) -> Tensor:
    """Cross entropy of the scaled logits less the scaled margin of the target."""
    rows = rows_of("ldam_loss", input, target, weight, ignore_index, options.get("mask"))
    check_classes("ldam_loss", input, counts=counts)
    check_domain("ldam_loss", max_margin=max_margin, scale=scale)
    z = lowered(input.double(), rows.label, _margins(counts, max_margin)) * scale
    options["loss_dtype"] = options.get("loss_dtype") or dtype_of_loss(input, target, None)
    weight = None if weight is None else weight.to(z.dtype)
    made: Tensor = cross_entropy.record.reference(z, target, weight, None, ignore_index, None, reduction, **options)
    return made


def class_balanced_weights(counts: Tensor, beta: float = 0.999) -> Tensor:
    r"""Weights of classes by their effective number of samples (Cui et al. 2019, https://arxiv.org/abs/1901.05555):
    :math:`w_c \propto (1 - \beta) / (1 - \beta^{n_c})`, and they sum to C.

    Args:
        counts: :math:`n_c`, the number of samples of each class, shape :math:`(C)`. A class without samples has weight
            0.
        beta: In [0, 1]: 0 weighs all classes alike, 1 by the inverse of their counts; the paper takes 0.9 to 0.9999.

    Returns:
        Weights for the ``weight`` of a loss, shape :math:`(C)`, of the dtype of ``counts`` or, of integers, PyTorch's
        default. Computed in float64.

    Example:
        >>> weight = fastloss.functional.class_balanced_weights(torch.tensor([1000, 100, 10]))
        >>> logits = torch.randn(8, 3, requires_grad=True)
        >>> fastloss.functional.cross_entropy(logits, torch.randint(3, (8,)), weight).backward()
    """
    check_numbers("class_balanced_weights", beta=beta)
    if not 0 <= beta <= 1:
        raise ValueError(f"fastloss.class_balanced_weights: beta must be in [0, 1], got {beta!r}")
    n = counts.double()
    if beta == 1:
        effective = n
    elif beta == 0:
        effective = torch.ones_like(n)
    else:
        effective = -torch.expm1(n * torch.log1p(n.new_tensor(beta) - 1))
    weights = torch.where(n > 0, 1 / effective, 0.0)
    dtype = counts.dtype if counts.is_floating_point() else torch.get_default_dtype()
    return (weights * (n.numel() / weights.sum())).to(dtype)
