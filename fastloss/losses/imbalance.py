"""Losses for classes of which some are rare."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fastloss._core.formula import Number, as_number
from fastloss._core.options import (
    FINITE,
    NOT_NEGATIVE,
    POSITIVE,
    ComposedOptions,
    RowOptions,
    check_domain,
    check_numbers,
)
from fastloss._core.row_formula import class_dim, dtype_of_loss
from fastloss.engines.composition import along_classes, check_classes, loss, reduce_rows, rows_of
from fastloss.losses.classification import cross_entropy, softmax_focal_loss

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["asymmetric_cross_entropy", "class_balanced_weights", "ldam_loss", "logit_adjusted_cross_entropy"]


def _asymmetric(
    focal: Any,
    input: Tensor,
    target: Tensor,
    gamma_pos: Number,
    gamma_neg: Number,
    weight: Tensor | None,
    ignore_index: int,
    reduction: str,
    label_smoothing: Number,
    options: Any,
) -> Tensor:
    name = "asymmetric_cross_entropy"
    check_domain(name, gamma_pos=gamma_pos, gamma_neg=gamma_neg, label_smoothing=label_smoothing)
    if not isinstance(label_smoothing, Tensor) and label_smoothing == 0:
        alone: Tensor = focal(input, target, None, gamma_pos, weight, ignore_index, reduction, **options)
        return alone
    mask = options.get("mask")
    rows = rows_of(name, input, target, weight, ignore_index, mask)
    wide, dim = torch.promote_types(input.dtype, torch.float32), class_dim(input)
    x = input.to(wide)  # so that the two gradients are added before they are rounded
    near = focal(x, target, None, gamma_pos, None, ignore_index, "none", mask=mask, loss_dtype=wide)
    n = -torch.where(rows.kept.unsqueeze(dim), x, 0.0).log_softmax(dim)
    gamma = as_number(gamma_neg, n)
    n = torch.where(n.isinf() & (gamma > 0), 0.0, n)  # p^gamma log p is 0 where p is
    every = (torch.exp(-gamma * n) * n).scatter(dim, rows.label.unsqueeze(dim), near.unsqueeze(dim))
    if weight is not None:
        check_classes(name, input, weight=weight)
        every = every * along_classes(weight.to(wide), input)
    values = (1 - label_smoothing) * rows.weighted(near) + label_smoothing * every.mean(dim)
    return reduce_rows(values, rows, reduction, dtype_of_loss(input, target, None), **options)


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
    Time: with smoothing, of few logits (64 x 100) twice that of timm's; of many less.
    Accuracy: 1 - p is the sum of the other probabilities, so it keeps its relative accuracy as p nears 1.

    Example:
        >>> logits = torch.randn(8, 5, requires_grad=True)
        >>> target = torch.randint(5, (8,))
        >>> fastloss.functional.asymmetric_cross_entropy(logits, target, gamma_neg=4.0).backward()
    """
    return _asymmetric(
        softmax_focal_loss,
        input,
        target,
        gamma_pos,
        gamma_neg,
        weight,
        ignore_index,
        reduction,
        label_smoothing,
        options,
    )


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
    focal = softmax_focal_loss.record.reference
    return _asymmetric(
        focal, input, target, gamma_pos, gamma_neg, weight, ignore_index, reduction, label_smoothing, options
    )


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


@loss(
    takes=RowOptions,
    inputs=("input", "target"),
    keeps=("log_prior", "weight"),
    domains={"tau": FINITE},
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
    Time: of few logits (64 x 100) up to 1.5 times that of the expression above.
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


def _margins(input: Tensor, counts: Tensor, max_margin: Number, scale: Number) -> Tensor:
    """The margin of each class, times the scale, in float64."""
    check_classes("ldam_loss", input, counts=counts)
    check_domain("ldam_loss", max_margin=max_margin, scale=scale)
    n = counts.double()
    least = torch.where(n > 0, n, torch.inf).amin()
    return as_number(max_margin, n) * as_number(scale, n) * (least / n.maximum(least)).sqrt().sqrt()


@loss(
    title="LDAMLoss",
    takes=ComposedOptions,
    inputs=("input", "target"),
    keeps=("counts", "weight"),
    domains={"max_margin": NOT_NEGATIVE, "scale": POSITIVE},
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
    Memory: one gradient buffer and a few numbers per row: the margin enters as a function of the row's probability,
        :math:`\ell = -\log p_y + \log(1 + (1 - p_y)(e^{s m_y} - 1))`, so no copy of the logits is made. Forward reads
        the logits, backward reads them and writes the gradient.
    Time: of few logits (64 x 100) twice that of the authors' code, of many (1024 x 1000) a fraction.
    Accuracy: keeps its relative accuracy as p nears 1, up to :math:`s m_y = 700`; in float32 where
        no scaled logit is more than 87 below the target's.

    Example:
        >>> logits = torch.randn(8, 5, requires_grad=True)
        >>> target = torch.randint(5, (8,))
        >>> fastloss.functional.ldam_loss(logits, target, counts=torch.tensor([90, 5, 2, 2, 1]), scale=10.0).backward()
    """
    rows = rows_of("ldam_loss", input, target, weight, ignore_index, options.get("mask"))
    wide = torch.promote_types(input.dtype, torch.float32)
    rise = torch.expm1(_margins(input, counts, max_margin, scale))[rows.label]
    nll = cross_entropy(
        input, target, None, None, ignore_index, None, "none",
        temperature=1 / scale, mask=options.get("mask"), loss_dtype=wide,
    )  # fmt: skip
    nll = nll.double()
    values = nll + torch.log1p(-torch.expm1(-nll) * rise)
    return reduce_rows(rows.weighted(values), rows, reduction, dtype_of_loss(input, target, None), **options)


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
    margins, index = _margins(input, counts, max_margin, scale), rows.label.unsqueeze(class_dim(input))
    z = input.double() * as_number(scale, margins)
    z = z.scatter_add(class_dim(input), index, -margins[index])
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
