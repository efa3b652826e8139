"""Losses of models that predict how sure they are of their evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fastloss._core.formula import Number, as_number, reduce
from fastloss._core.options import NOT_NEGATIVE, ComposedOptions, WeightedPointOptions, check_domain
from fastloss._core.record import Loss
from fastloss._core.row_formula import dtype_of_loss
from fastloss.engines.composition import loss, of_classes, reduce_rows, rows_of
from fastloss.losses.likelihood import student_t_nll_loss

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["evidential_classification_loss", "evidential_regression_loss"]

_EVIDENCE = {"nu": "positive", "alpha": "positive", "beta": "positive"}


def _normal_inverse_gamma(
    student: Any,
    input: Tensor,
    target: Tensor,
    nu: Tensor,
    alpha: Tensor,
    beta: Tensor,
    lam: Number,
    reduction: str,
    options: Any,
) -> Tensor:
    if options.get("return_stats"):
        raise ValueError(
            "fastloss.evidential_regression_loss: return_stats is of losses that are one kernel; leave it out"
        )
    check_domain("evidential_regression_loss", lam=lam)
    wide = torch.promote_types(input.dtype, torch.float32)
    mask = options.get("mask")
    made = torch.broadcast_tensors(*(t.to(wide) for t in (input, target, nu, alpha, beta)))
    x, y, nu, alpha, beta = made if mask is None else (torch.where(mask, t, 1.0) for t in made)
    given = {**options, "loss_dtype": options.get("loss_dtype") or dtype_of_loss(input, target, None)}

    def likelihood() -> Any:
        scale = (beta * (1 + nu) / (alpha * nu)).sqrt()
        return student(x, y, scale, 2 * alpha, eps=0.0, reduction=reduction, **given)

    def wrong() -> Any:
        penalty = Loss("evidential_regression_loss")
        factor = as_number(lam, x)
        return reduce(
            penalty, lambda x, y, v, a: factor * (x - y).abs() * (2 * v + a), (x, y, nu, alpha), reduction, **given
        )

    total: Tensor = likelihood() + wrong()
    return total


@loss(takes=WeightedPointOptions, holds=_EVIDENCE, domains={"lam": NOT_NEGATIVE})
def evidential_regression_loss(
    input: Tensor,
    target: Tensor,
    nu: Tensor,
    alpha: Tensor,
    beta: Tensor,
    lam: float | Tensor = 0.01,
    reduction: str = "mean",
    **options: Unpack[WeightedPointOptions],
) -> Tensor:
    r"""Deep evidential regression: a prior over mean and variance is predicted (Amini et al. 2020,
    https://arxiv.org/abs/1910.02600).

    With the mean :math:`\gamma` = ``input`` and :math:`\Omega = 2 \beta (1 + \nu)`,

    .. math::
        \ell = \tfrac12 \log \frac\pi\nu - \alpha \log \Omega
             + (\alpha + \tfrac12) \log(\nu (y - \gamma)^2 + \Omega)
             + \log \frac{\Gamma(\alpha)}{\Gamma(\alpha + \frac12)} + \lambda\, |y - \gamma|\, (2 \nu + \alpha).

    The likelihood is `student_t_nll_loss` with :math:`2 \alpha` degrees of freedom and squared scale
    :math:`\beta (1 + \nu) / (\alpha \nu)`, and comes from its kernel. Equivalent to the authors'
    ``EvidentialRegression(y, (gamma, nu, alpha, beta), coeff=lam)``.

    Args:
        input, target: Means and values.
        nu, alpha, beta: :math:`\nu, \alpha, \beta`, positive (the authors' alpha is above 1), of shapes that broadcast.
        lam: :math:`\lambda`, 0 or more, what evidence for a wrong mean costs; float or 0-d tensor.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.

    Keyword-only options: those of `laplace_nll_loss`, without ``return_stats``.

    Returns:
        The loss: the common shape for ``"none"``, otherwise ``()``.

    Raises: ValueError for a scale or degrees of freedom that are none, and for options.
    Gradient: with respect to every tensor; differentiable again.
    Memory: scale and degrees of freedom, what the kernel writes, and what PyTorch keeps of the penalty.
    Accuracy: that of `student_t_nll_loss`; half precision computes in float32.

    Example:
        >>> input, target = torch.randn(8, requires_grad=True), torch.randn(8)
        >>> nu, alpha, beta = torch.rand(8) + 0.1, torch.rand(8) + 1.0, torch.rand(8) + 0.1
        >>> fastloss.functional.evidential_regression_loss(input, target, nu, alpha, beta).backward()
    """
    return _normal_inverse_gamma(student_t_nll_loss, input, target, nu, alpha, beta, lam, reduction, options)


@evidential_regression_loss.formula
def _(
    input: Tensor,
    target: Tensor,
    nu: Tensor,
    alpha: Tensor,
    beta: Tensor,
    lam: Number = 0.01,
    reduction: str = "mean",
    **options: Any,
) -> Tensor:
    r"""Student's t with :math:`2 \alpha` degrees of freedom, and :math:`\lambda |y - \gamma| (2 \nu + \alpha)`."""
    made = student_t_nll_loss.record.reference
    return _normal_inverse_gamma(made, input, target, nu, alpha, beta, lam, reduction, options)


@loss(
    takes=ComposedOptions,
    inputs=("input", "target"),
    domains={"lam": NOT_NEGATIVE},
    holds={"input": "positive"},
    path="reference",
    why="no kernel of ours has the gamma functions of evidence",
)
def evidential_classification_loss(
    input: Tensor,
    target: Tensor,
    lam: float | Tensor = 1.0,
    ignore_index: int = -100,
    reduction: str = "mean",
    **options: Unpack[ComposedOptions],
) -> Tensor:
    r"""Evidential deep learning: evidence for C classes is predicted (Sensoy et al. 2018,
    https://arxiv.org/abs/1806.01768).

    With the evidence e = ``input``, :math:`a_c = e_c + 1`, :math:`S = \sum_c a_c`, :math:`p = a / S`, the target's
    one-hot t and :math:`\tilde a = t + (1 - t) a`,

    .. math::
        \ell = \sum_c (t_c - p_c)^2 + \frac{p_c (1 - p_c)}{S + 1}
             + \lambda\, KL\left(\operatorname{Dir}(\tilde a) \,\|\, \operatorname{Dir}(1)\right).

    Equivalent to the authors' ``mse_loss(p, alpha, global_step, annealing_step)``, in which :math:`\lambda` is
    ``min(1, global_step / annealing_step)``.

    Args:
        input: Evidence, 0 or more, shape :math:`(C)`, :math:`(N, C)` or :math:`(N, C, d_1, ..., d_K)`: ``softplus`` or
            ``relu`` of logits.
        target: Class indices, int64 or uint8, the shape of ``input`` without its class dimension.
        lam: :math:`\lambda`, 0 or more, usually raised from 0 to 1; float or 0-d tensor.
        ignore_index: Rows with this target contribute nothing.
        reduction: ``"none"``, ``"sum"`` or ``"mean"``.

    Returns:
        The loss: shape of ``target`` for ``"none"``, otherwise ``()``.

    Raises: IndexError for a class that does not exist; RuntimeError for other shapes and dtypes; ValueError for
        options.
    Gradient: with respect to ``input``; differentiable again.
    Memory: what PyTorch keeps of some thirty operations, the divergence in float64.
    Accuracy: logarithms of gamma functions, which cancel, are float64's.

    Example:
        >>> evidence, target = torch.rand(8, 5, requires_grad=True), torch.randint(5, (8,))
        >>> fastloss.functional.evidential_classification_loss(evidence, target, lam=0.5).backward()
    """
    name = "evidential_classification_loss"
    rows = rows_of(name, input, target, None, ignore_index, options.get("mask"))
    check_domain(name, lam=lam)
    dim = 0 if input.dim() == 1 else 1
    e = input.to(torch.promote_types(input.dtype, torch.float32))
    e = e if rows.kept is None else torch.where(rows.kept.unsqueeze(dim), e, 0.0)
    a = e + 1
    total = a.sum(dim, keepdim=True)
    p, index = a / total, rows.label.unsqueeze(dim)
    own = of_classes(name, lambda: torch.zeros_like(a).scatter(dim, index, 1.0))
    # (1 - p) of the target is the sum of the others, which does not cancel.
    others = (torch.where(own == 1, 0.0, a).sum(dim, keepdim=True) / total).expand_as(p)
    rest = torch.where(own == 1, others, 1 - p)
    fit = (torch.where(own == 1, rest, p).square() + p * rest / (total + 1)).sum(dim)
    wrong = torch.where(own == 1, 1.0, a).double()
    everything = wrong.sum(dim, keepdim=True)
    constant = (
        torch.lgamma(everything).squeeze(dim)
        - torch.lgamma(wrong).sum(dim)
        - torch.lgamma(wrong.new_tensor(float(input.shape[dim])))
    )
    divergence = constant + ((wrong - 1) * (torch.digamma(wrong) - torch.digamma(everything))).sum(dim)
    values = fit + as_number(lam, fit) * divergence.to(fit.dtype)
    return reduce_rows(values, rows, reduction, dtype_of_loss(input, target, None), **options)
