"""Losses that compare the distributions of a teacher and a student."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from fastloss._core import route
from fastloss._core.formula import Number
from fastloss._core.options import POSITIVE, DivergenceOptions
from fastloss._core.record import Problem
from fastloss.engines import composition
from fastloss.engines.divergence import TEACHERS, expected, loss
from fastloss.losses.classification import cross_entropy
from fastloss.losses.language import token_logprobs

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = [
    "distillation_loss",
    "divergence",
    "jsd_cross_entropy",
]

_OPERATORS: dict[str, tuple[str, ...]] = {
    "kl": ("kl_divergence",),
    "reverse_kl": ("reverse_kl_divergence",),
    "js": ("js_divergence", "beta"),
    "tv": ("tv_divergence",),
    "alpha": ("alpha_divergence", "alpha"),
    "soft_cross_entropy": ("soft_cross_entropy_divergence",),
}


@loss(
    operators=_OPERATORS,
    chosen=token_logprobs,
    words={"kind": tuple(_OPERATORS), "target_is": TEACHERS},
    domains={
        "beta": ("between 0 and 1", lambda v: 0 < v < 1, ValueError),
        "alpha": ("finite, and neither 0 nor 1, where it is reverse_kl and kl",
                  lambda v: -math.inf < v < math.inf and v not in (0, 1), ValueError),
        "temperature": POSITIVE,
        "target_temperature": ("positive and finite, or None for temperature", *POSITIVE[1:]),
    },
)  # fmt: skip
def divergence(
    input: Tensor,
    target: Tensor | tuple[Tensor, Tensor],
    kind: Literal["kl", "reverse_kl", "js", "tv", "alpha", "soft_cross_entropy"] = "kl",
    *,
    beta: float | Tensor = 0.5,
    alpha: float | Tensor = 0.5,
    temperature: float | Tensor = 1.0,
    target_temperature: float | Tensor | None = None,
    target_is: Literal["logits", "log_probabilities", "probabilities"] = "logits",
    tail: bool = False,
    reduction: str = "mean",
    **options: Unpack[DivergenceOptions],
) -> Problem:
    r"""How far a student's distribution q is from a teacher's p, row by row, both from logits.

    ======================  ================================================================================
    ``kind``                value of a row
    ======================  ================================================================================
    ``kl``                  :math:`KL(p \| q) = \sum_c p_c \log (p_c / q_c)`
    ``reverse_kl``          :math:`KL(q \| p)`
    ``js``                  :math:`\beta KL(p \| m) + (1-\beta) KL(q \| m)`, :math:`m = \beta p + (1-\beta) q`
    ``tv``                  :math:`\tfrac12 \sum_c |p_c - q_c|`
    ``alpha``               :math:`(1 - \sum_c p_c^\alpha q_c^{1-\alpha}) / (\alpha (1-\alpha))`
    ``soft_cross_entropy``  :math:`-\sum_c p_c \log q_c`
    ======================  ================================================================================

    Equivalent, for logits, to ``F.kl_div(input.log_softmax(-1), target.log_softmax(-1), log_target=True,
    reduction="none").sum(-1).mean()`` and so on, but exact where p is near q. No factor of the squared temperature
    (`distillation_loss` has it).

    Args:
        input: The student's logits, classes last: (..., C).
        target: The teacher, of input's shape. Or ``(values, indices)`` of k classes of each row, (..., k) each: sums
            run over these classes, p and q are not renormalised (logits as values are normalised among the k). The
            student's logits are read by `token_logprobs`; with ``tail`` in plain PyTorch.
        kind: As above.
        beta: Of ``js``, between 0 and 1.
        alpha: Of ``alpha``; neither 0 nor 1.
        temperature: Divides the student's logits.
        target_temperature: Divides the teacher's logits; None: ``temperature``. Ignored for (log-)probabilities.
        target_is: What the teacher's numbers are.
        tail: Of a teacher of k classes, adds one class that holds what is left of p and of q.
        reduction: ``"none"``, ``"mean"`` (over the rows that are kept) or ``"sum"``.

    Example:
        >>> student, teacher = torch.randn(8, 5, requires_grad=True), torch.randn(8, 5)
        >>> fastloss.functional.divergence(student, teacher, kind="js", temperature=2.0).backward()
    """
    arguments = {
        "input": input, "target": target, "kind": kind, "beta": beta, "alpha": alpha, "temperature": temperature,
        "target_temperature": target_temperature, "target_is": target_is, "tail": tail,
    }  # fmt: skip
    return Problem(arguments, reduction, options)


@divergence.formula
def _(log_p: Tensor, log_q: Tensor, p: Tensor, kind: str, beta: Number, alpha: Number) -> Tensor:
    r"""The definitions; a class that p (or q) lacks adds nothing where p (or q) is a factor."""
    q = log_q.exp()
    if kind == "kl":
        return expected(p, log_p - log_q)
    if kind == "reverse_kl":
        return expected(q, log_q - log_p)
    if kind == "tv":
        sign = (log_p > log_q).to(p.dtype) - (log_p < log_q).to(p.dtype)
        return 0.5 * ((p - q) * sign).sum(-1)
    if kind == "soft_cross_entropy":
        return -expected(p, log_q)
    absent = (p == 0) & (q == 0)
    log_p, log_q = torch.where(absent, 0.0, log_p), torch.where(absent, 0.0, log_q)
    if kind == "js":
        of_p = p.new_ones(()) * beta
        log_m = torch.logaddexp(log_p + of_p.log(), log_q + (1.0 - of_p).log())
        return beta * expected(p, log_p - log_m) + (1.0 - beta) * expected(q, log_q - log_m)
    powers = torch.where(absent, 0.0, (alpha * log_p + (1.0 - alpha) * log_q).exp())
    return (1.0 - powers.sum(-1)) / (alpha * (1.0 - alpha))


@composition.loss()
def distillation_loss(
    student: Tensor,
    teacher: Tensor,
    target: Tensor | None = None,
    *,
    alpha: float = 1.0,
    temperature: float = 1.0,
    reduction: Literal["none", "mean", "sum"] = "mean",
) -> Tensor:
    r"""Knowledge distillation, :math:`\alpha T^2 KL(p^T \| q^T) + (1 - \alpha) CE(q, y)`.

    Hinton et al. 2015, https://arxiv.org/abs/1503.02531, with :math:`p^T` and :math:`q^T` the softmax of teacher and
    student at temperature T. Equivalent to ``alpha * T**2 * F.kl_div((student / T).log_softmax(-1),
    (teacher / T).log_softmax(-1), log_target=True, reduction="batchmean") + (1 - alpha) * F.cross_entropy(student,
    target)``, but exact where teacher and student agree.

    Args:
        student, teacher: Logits, (N, C) or (C).
        target: Classes, (N) or (); None leaves the second term out.
        alpha: Share of the first term.
        temperature: T.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.

    Returns:
        The loss, shape ``()``; one value per row for ``"none"``.

    Dtypes, gradient, memory, accuracy: those of `divergence` and `cross_entropy`.
    Raises: What `divergence` and `cross_entropy` raise.

    Example:
        >>> student, teacher = torch.randn(8, 5, requires_grad=True), torch.randn(8, 5)
        >>> labels = torch.randint(5, (8,))
        >>> fastloss.functional.distillation_loss(student, teacher, labels, alpha=0.7, temperature=2.0).backward()
    """

    def of_teacher() -> Tensor:
        soft: Tensor = divergence(student, teacher, temperature=temperature, reduction=reduction)
        return alpha * temperature**2 * soft

    if target is None:
        return of_teacher()
    return route.added(
        kl=of_teacher, cross_entropy=lambda: (1.0 - alpha) * cross_entropy(student, target, reduction=reduction)
    )


@distillation_loss.formula
def _(
    student: Tensor,
    teacher: Tensor,
    target: Tensor | None = None,
    *,
    alpha: float = 1.0,
    temperature: float = 1.0,
    reduction: str = "mean",
) -> Tensor:
    r""":math:`\alpha T^2 KL + (1 - \alpha) CE`."""
    soft = divergence.record.reference(student, teacher, temperature=temperature, reduction=reduction)
    made: Tensor = alpha * temperature**2 * soft
    if target is None:
        return made
    return made + (1.0 - alpha) * cross_entropy.record.reference(student, target, reduction=reduction)


def _consistency(parts: tuple[Tensor, ...]) -> Tensor:
    """The mean of KL(p || m) over the distributions, m their mean, clamped from below at 1e-7."""
    logs = [part.to(torch.promote_types(part.dtype, torch.float32)).log_softmax(1) for part in parts]
    mixture = (torch.logsumexp(torch.stack(logs), 0) - math.log(len(logs))).clamp(math.log(1e-7), 0.0)
    return sum((expected(log_p.exp(), log_p - mixture).mean() for log_p in logs), logs[0].new_zeros(())) / len(logs)


@composition.loss(title="JSDCrossEntropy")
def jsd_cross_entropy(
    input: Tensor, target: Tensor, num_splits: int = 3, alpha: float = 12.0, smoothing: float = 0.1
) -> Tensor:
    r"""Cross entropy of clean samples plus the divergence between them and their augmented copies (AugMix).

    Hendrycks et al. 2020, https://arxiv.org/abs/1912.02781. Equivalent to timm's ``JsdCrossEntropy``: the batch holds
    ``num_splits`` versions of each sample, one after the other, of which the first one is clean.

    Args:
        input: Logits, (num_splits N, C).
        target: Classes, (num_splits N) or (N); the first N are read.
        num_splits: Versions of each sample.
        alpha: Factor of the Jensen-Shannon divergence between the versions.
        smoothing: Label smoothing of the cross entropy.

    Returns:
        The loss, shape ``()``.

    Dtypes, gradient, memory, accuracy: the first term is `cross_entropy`; the second one is plain PyTorch in float32.
    Raises: ValueError for a batch that ``num_splits`` does not divide.

    Example:
        >>> logits, target = torch.randn(12, 5, requires_grad=True), torch.randint(5, (4,))
        >>> fastloss.functional.jsd_cross_entropy(logits, target).backward()
    """
    parts = _split(input, num_splits)
    clean = target[: parts[0].shape[0]]
    return route.added(
        cross_entropy=lambda: cross_entropy(parts[0], clean, label_smoothing=smoothing),
        consistency=lambda: alpha * _measured(parts).to(input.dtype),
    )


def _measured(parts: tuple[Tensor, ...]) -> Tensor:
    if route.watched:
        route.take("jsd_cross_entropy", "reference", "no kernel compares more than two distributions")
    return _consistency(parts)


def _split(input: Tensor, num_splits: int) -> tuple[Tensor, ...]:
    if input.dim() != 2 or num_splits < 1 or input.shape[0] % num_splits:
        raise ValueError(
            f"fastloss.jsd_cross_entropy: input has shape {tuple(input.shape)}, expected logits (num_splits N, C) with "
            f"num_splits={num_splits}"
        )
    return input.split(input.shape[0] // num_splits) if input.shape[0] else (input,) * num_splits


@jsd_cross_entropy.formula
def _(input: Tensor, target: Tensor, num_splits: int = 3, alpha: float = 12.0, smoothing: float = 0.1) -> Tensor:
    """Cross entropy of the first split, plus ``alpha`` times the divergence of all of them."""
    parts = _split(input, num_splits)
    first = cross_entropy.record.reference(parts[0], target[: parts[0].shape[0]], label_smoothing=smoothing)
    made: Tensor = first + alpha * _consistency(parts).to(input.dtype)
    return made
