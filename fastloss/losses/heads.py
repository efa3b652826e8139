"""Losses of hidden states and the weight of a classifier, whose logits never exist as a whole."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from fastloss._core import operators as _ops
from fastloss._core._torch import F
from fastloss._core.formula import Number
from fastloss._core.guards import loss_dtype_of
from fastloss._core.options import FINITE, POSITIVE, HeadOptions, LayerOptions, check_domain, known
from fastloss._core.record import Problem as Divergence
from fastloss._core.row_formula import logsumexp
from fastloss.engines import composition, layers
from fastloss.engines.flex import Flexible, Row
from fastloss.engines.layers import Layer, Teacher
from fastloss.engines.linear import Problem, loss
from fastloss.engines.outputs import Posed
from fastloss.engines.softmax import bad_target
from fastloss.losses.classification import (
    binary_cross_entropy_with_logits,
    cross_entropy,
    softmax_focal_loss,
)
from fastloss.losses.distillation import divergence
from fastloss.losses.language import flex_cross_entropy, token_logprobs

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = [
    "arcface_loss",
    "cosface_loss",
    "gbce_loss",
    "linear_cross_entropy",
    "linear_divergence",
    "linear_flex_cross_entropy",
    "linear_softmax_focal_loss",
    "linear_token_logprobs",
    "normalized_softmax_loss",
    "proxy_anchor_loss",
    "proxy_nca_loss",
    "sampled_softmax_loss",
    "sphereface_loss",
    "sub_center_arcface_loss",
]


def _ignored(name: str, ignore_index: int | None, hidden: Tensor, linear_weight: Tensor, target: Tensor) -> int:
    """PyTorch's default: -100, and of probabilities none at all."""
    if ignore_index is None:
        return -100
    shape = (*hidden.shape[:-1], linear_weight.shape[0], *linear_weight.shape[1:-1])
    if target.shape == shape:
        raise RuntimeError(
            f"fastloss.{name}: ignore_index is {ignore_index}, expected None with probabilities as target; use mask="
        )
    return ignore_index


@loss(of=cross_entropy, title="LinearCrossEntropyLoss")
def linear_cross_entropy(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    *,
    linear_bias: Tensor | None = None,
    weight: Tensor | None = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float | Tensor = 0.0,
    options: Any = None,
    **further: Unpack[HeadOptions],
) -> Problem:
    r"""Cross entropy of the logits of a linear layer, :math:`x = W h + b`, which never exist as a whole.

    Equivalent to ``torch.nn.functional.linear_cross_entropy(input, linear_weight, target, **kwargs)``, which is
    ``cross_entropy(linear(input, linear_weight, linear_bias), target, **kwargs)``, on every release of PyTorch.

    Args:
        input: Hidden states h, shape :math:`(N, D)` or :math:`(D)`.
        linear_weight: W, shape :math:`(C, D)`, a vector per class; or :math:`(C, d_1, ..., d_K, D)` for a
            K-dimensional loss.
        target: Class indices, int64 or uint8, shape :math:`(N)`, :math:`()` or :math:`(N, d_1, ..., d_K)`; or
            probabilities, in the shape of the logits.
        linear_bias: b, shape of ``linear_weight`` without its last dimension.
        weight: Factor of each class, shape :math:`(C)`.
        reduction: ``"none"``, ``"sum"``, or ``"mean"``, which divides by the sum of the weights of the kept rows (index
            targets) or by their number (probabilities).
        ignore_index: Rows with this target contribute nothing, and take part in no product. Index targets only.
            Default: -100.
        label_smoothing: Share of the loss that all classes have, in [0, 1].
        options: PyTorch's ``LinearCrossEntropyOptions``. They choose among its ways to save memory and change nothing
            here: strips need no choice, and ``memory_budget`` sets their size.

    Example:
        >>> hidden = torch.randn(8, 16, requires_grad=True)
        >>> linear_weight = torch.randn(100, 16, requires_grad=True)
        >>> target = torch.randint(100, (8,))
        >>> fastloss.functional.linear_cross_entropy(hidden, linear_weight, target).backward()
    """
    ignored = _ignored("linear_cross_entropy", ignore_index, input, linear_weight, target)
    return Problem(
        input, linear_weight, target, further, linear_bias, class_weight=weight, ignore_index=ignored,
        reduction=reduction, label_smoothing=label_smoothing,
    )  # fmt: skip


linear_cross_entropy.formula(cross_entropy.record.formula)


@loss(of=softmax_focal_loss, params=("alpha", "gamma"))
def linear_softmax_focal_loss(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    *,
    alpha: float | Tensor | None = None,
    gamma: float | Tensor = 2.0,
    linear_bias: Tensor | None = None,
    weight: Tensor | None = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float | Tensor = 0.0,
    **further: Unpack[HeadOptions],
) -> Problem:
    r"""Focal loss over classes (Lin et al. 2017) of the logits of a linear layer, which never exist as a whole.

    Equivalent to ``softmax_focal_loss(torch.nn.functional.linear(input, linear_weight, linear_bias), target, alpha,
    gamma, ...)``.

    Args:
        input, linear_weight, target, linear_bias, weight, reduction, ignore_index, label_smoothing: As in
            `linear_cross_entropy`. Probabilities need all logits.
        alpha: Factor of every row, or of each class, shape :math:`(C)`. None: 1.
        gamma: Exponent, at least 0. Float or 0-d tensor.

    Example:
        >>> hidden = torch.randn(8, 16, requires_grad=True)
        >>> linear_weight = torch.randn(100, 16, requires_grad=True)
        >>> target = torch.randint(100, (8,))
        >>> fastloss.functional.linear_softmax_focal_loss(hidden, linear_weight, target).backward()
    """
    ignored = _ignored("linear_softmax_focal_loss", ignore_index, input, linear_weight, target)
    return Problem(
        input, linear_weight, target, further, linear_bias, (1.0 if alpha is None else alpha, gamma),
        class_weight=weight, ignore_index=ignored, reduction=reduction, label_smoothing=label_smoothing,
    )  # fmt: skip


linear_softmax_focal_loss.formula(softmax_focal_loss.record.formula)


# Of each row of logits.


@layers.rows(of=token_logprobs)
def linear_token_logprobs(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor | None,
    *,
    linear_bias: Tensor | None = None,
    temperature: float | Tensor = 1.0,
    return_entropy: bool = False,
    return_lse: bool = False,
    return_hits: bool = False,
    softcap: float | Tensor | None = None,
    ignore_index: int = -100,
    mask: Tensor | None = None,
    loss_dtype: torch.dtype | None = None,
    memory_budget: int | None = None,
    group: Any = None,
) -> Any:
    r"""Log-probability of each row's target, and on request the row's entropy and log-normaliser, of the logits of a
    linear layer, :math:`x = W h + b`, which never exist as a whole: `token_logprobs` of hidden states.

    .. math::
        \log p_y = z_y - \operatorname{lse}(z), \qquad
        H = -\sum_c p_c \log p_c, \qquad
        \operatorname{lse}(z) = \log\sum_c e^{z_c}, \qquad
        z = x / \tau \ \text{or}\ s \tanh(x/s) / \tau.

    Equivalent to ``token_logprobs(torch.nn.functional.linear(input, linear_weight, linear_bias), target, ...)``.

    Args:
        input: Hidden states h, shape :math:`(*, D)`. float16, bfloat16, float32 or float64.
        linear_weight: W, shape :math:`(C, D)`, a vector per class.
        target: Class indices, shape :math:`(*)`, or :math:`(*, k)` for k targets of each row. None: no
            log-probability, only what is asked for otherwise.
        linear_bias: b, shape :math:`(C)`.
        temperature, return_entropy, return_lse, return_hits, softcap: As in `token_logprobs`.
        ignore_index: Targets with this index give 0. A row without other targets gives 0 in every output, and on the
            CPU takes part in no product.
        mask: Bool, shape :math:`(*)`; rows where it is False likewise.
        loss_dtype: dtype of the outputs. Default: ``input``'s; float32 under autocast.
        memory_budget: Bytes of logits that may exist at a time, at least 128 rows. Default and most: 32 MiB (CUDA:
            128, or 1024 rows). The result depends on it within rounding.
        group: As in `linear_cross_entropy`.

    Returns:
        The log-probabilities, of the shape of ``target``; with a flag the named tuple
        ``TokenLogprobs(logprob, entropy, lse)``, the last two of shape :math:`(*)`, or
        ``TokenHits(logprob, entropy, lse, hit)``.

    Raises:
        IndexError: As `token_logprobs`.
        ValueError, RuntimeError, TypeError: For hyperparameters, shapes and dtypes.

    Gradient: with respect to hidden states, weight and bias, through every output at once, each made only where it is
        needed: backward makes strips again, one product more than `linear_cross_entropy` has. Exactly zero in rows that
        give 0, whatever their hidden states. Differentiable again (through the reference, which needs all logits).
    Memory: two numbers per row, a strip of logits and the gradients (the weight's in float32). For learned
        hyperparameters all logits.
    Accuracy: the weight's gradient is added up in float32 over strips and rounded once.

    Example:
        >>> hidden = torch.randn(8, 16, requires_grad=True)
        >>> linear_weight = torch.randn(100, 16, requires_grad=True)
        >>> tokens = torch.randint(100, (8,))
        >>> fastloss.functional.linear_token_logprobs(hidden, linear_weight, tokens).backward(torch.ones(8))
    """
    flags = bool(return_entropy), bool(return_lse)
    layer = Layer(input, linear_weight, linear_bias, memory_budget)
    return layer, Posed(
        None, target, ignore_index, mask, temperature, softcap, flags, -1, loss_dtype, group=group, hits=return_hits
    )


@layers.formulas(of=flex_cross_entropy)
def linear_flex_cross_entropy(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    row_loss: Callable[[Row], Tensor],
    *,
    linear_bias: Tensor | None = None,
    temperature: float | Tensor = 1.0,
    softcap: float | Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    mask: Tensor | None = None,
    normalizer: float | Tensor | None = None,
    empty: str = "nan",
    loss_dtype: torch.dtype | None = None,
    memory_budget: int | None = None,
    group: Any = None,
) -> Any:
    r"""Any formula of a row on the softmax of the logits of a linear layer, which never exist as a whole:

    .. math::
        \ell = f(\log p_y, \operatorname{lse}, H, \dots).

    Equivalent to ``flex_cross_entropy(torch.nn.functional.linear(input, linear_weight, linear_bias), target, row_loss,
    ...)``.

    Args:
        input: Hidden states h, shape :math:`(N, D)` or :math:`(D)`. float16, bfloat16, float32 or float64.
        linear_weight: W, shape :math:`(C, D)`, a vector per class.
        target: Class indices, shape :math:`(N)` or :math:`()`.
        row_loss: As in `flex_cross_entropy`. It is called with the vectors of all rows, once in forward.
        linear_bias: b, shape :math:`(C)`.
        temperature, softcap, ignore_index, reduction, mask, normalizer, empty: As in `flex_cross_entropy`.
        loss_dtype: dtype of the loss. Default: ``input``'s; float32 under autocast.
        memory_budget: As in `linear_token_logprobs`.
        group: As in `linear_cross_entropy`. Each process calls ``row_loss`` with the rows' numbers of all classes.

    Returns:
        The loss: shape of ``target`` for ``"none"``, otherwise ``()``.

    Raises:
        IndexError: As `token_logprobs`.
        ValueError, RuntimeError, TypeError: As `flex_cross_entropy`.

    Gradient: with respect to hidden states, weight, bias and tensors that ``row_loss`` uses, as in
        `linear_token_logprobs`, whose outputs it takes.
    Memory, accuracy: those of `linear_token_logprobs`.

    Example:
        >>> hidden = torch.randn(8, 16, requires_grad=True)
        >>> linear_weight = torch.randn(100, 16, requires_grad=True)
        >>> tokens = torch.randint(100, (8,))
        >>> row_loss = lambda row: 1e-4 * row.lse.square() - row.logprob
        >>> fastloss.functional.linear_flex_cross_entropy(hidden, linear_weight, tokens, row_loss).backward()
    """
    layer = Layer(input, linear_weight, linear_bias, memory_budget)
    rows = Posed(None, target, ignore_index, mask, temperature, softcap, loss_dtype=loss_dtype, group=group)
    return layer, Flexible(rows, row_loss, reduction, normalizer, empty)


@layers.divergences(of=divergence)
def linear_divergence(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor | tuple[Tensor, Tensor],
    kind: Literal["kl", "reverse_kl", "js", "tv", "alpha", "soft_cross_entropy"] = "kl",
    *,
    linear_bias: Tensor | None = None,
    target_weight: Tensor | None = None,
    target_bias: Tensor | None = None,
    beta: float | Tensor = 0.5,
    alpha: float | Tensor = 0.5,
    temperature: float | Tensor = 1.0,
    target_temperature: float | Tensor | None = None,
    target_is: Literal["logits", "log_probabilities", "probabilities"] = "logits",
    tail: bool = False,
    reduction: str = "mean",
    **options: Unpack[LayerOptions],
) -> Any:
    r"""How far a student's distribution q is from a teacher's p, row by row, of the logits of a linear layer,
    :math:`x = W h + b`, which never exist as a whole; `divergence` has the table of kinds.

    .. math::
        \ell = D(p, q), \qquad q = \operatorname{softmax}((W h + b) / \tau).

    Equivalent to ``divergence(torch.nn.functional.linear(input, linear_weight, linear_bias), target, kind, ...)``; with
    ``target_weight`` the teacher's logits are ``torch.nn.functional.linear(target, target_weight, target_bias)``, which
    never exist as a whole either.

    Args:
        input: The student's hidden states h, shape :math:`(*, D)`.
        linear_weight: W, shape :math:`(C, D)`, a vector per class.
        target: The teacher's numbers, shape :math:`(*, C)`, or ``(values, indices)`` of k classes of each row,
            :math:`(*, k)` each, as in `divergence`. With ``target_weight`` the teacher's hidden states, :math:`(*, E)`.
        kind: Of divergence: one of the table in `divergence`.
        linear_bias: b, shape :math:`(C)`.
        target_weight: Weight of the teacher's linear layer, shape :math:`(C, E)`.
        target_bias: Bias of the teacher's linear layer, shape :math:`(C)`.
        beta, alpha, temperature, target_temperature, target_is, tail, reduction: As in `divergence`.

    Keyword-only options:
        weight: Factor of each row's value, shape :math:`(*)`. Does not enter the mean's divisor.
        mask: Bool, of that shape; rows where it is False count as if they were not there, and on the CPU take part in
            no product.
        normalizer: Replaces the mean's divisor, the number of rows that are kept; float or 0-d tensor.
        empty: Value of a mean over no rows: ``"nan"`` (default) or ``"zero"``. The gradient is zero either way.
        loss_dtype: dtype of the loss. Default: the common one of ``input`` and ``target``; float32 for half under
            autocast.
        memory_budget: Bytes of logits that may exist at a time, at least 128 rows. Default and most: 32 MiB (CUDA:
            128, or 1024 rows). The result depends on it within rounding.
        group: Processes on which the classes lie, as in `linear_cross_entropy`; the teacher's too, except for its k
            classes of each row. ``"js"``, ``"tv"`` and other teachers than logits need all logits of the classes here.

    Returns:
        The loss: shape :math:`(*)` for ``"none"``, otherwise ``()``.

    Raises: As `divergence`.
    Gradient: with respect to the student's hidden states, weight and bias, each made only where it is needed; made
        during forward, except for ``"none"`` and float16 on a device. Exactly zero in rows that are not kept.
        Differentiable again (through the reference). A gradient to the teacher needs all logits.
    Memory: the gradients (the weight's in float32) and a strip of logits.
    Accuracy: that of `divergence`; the weight's gradient is added up in float32 over strips and rounded once.

    Example:
        >>> hidden = torch.randn(8, 16, requires_grad=True)
        >>> linear_weight = torch.randn(100, 16, requires_grad=True)
        >>> teacher = torch.randn(8, 100)
        >>> fastloss.functional.linear_divergence(hidden, linear_weight, teacher, kind="js").backward()
    """
    arguments = {
        "target": target, "kind": kind, "beta": beta, "alpha": alpha, "temperature": temperature,
        "target_temperature": target_temperature, "target_is": target_is, "tail": tail,
    }  # fmt: skip
    teacher = None if target_weight is None else Teacher(target_weight, target_bias)
    return Layer(input, linear_weight, linear_bias), Divergence(arguments, reduction, options), teacher


# Of cosines. A formula takes the cosine of a row and its class, and returns what stands in its place, with the
# derivative.

_SCALE = {"scale": POSITIVE}


def _sine(c: Tensor) -> Tensor:
    """Of the angle with this cosine; at 0 and pi, and where rounding has left [-1, 1], 0 with derivative 0.

    The true derivative is infinite there, but no gradient of the vectors: the normalisation leaves of it what is
    perpendicular to them, and that is 0.
    """
    square = (1 - c) * (1 + c)
    inside = square > 0
    return torch.where(inside, torch.where(inside, square, 1.0).sqrt(), 0.0)


def _over_sine(numerator: Tensor, s: Tensor) -> Tensor:
    return torch.where(s > 0, numerator / torch.where(s > 0, s, 1.0), 0.0)


def _cosine(number: Number) -> Any:
    return number.cos() if isinstance(number, Tensor) else math.cos(number)


def _sine_of(number: Number) -> Any:
    return number.sin() if isinstance(number, Tensor) else math.sin(number)


@loss(
    of=cross_entropy,
    title="ArcFaceLoss",
    cosine=True,
    margins=("margin", "easy_margin"),
    domains={**_SCALE, "margin": FINITE},
)
def arcface_loss(
    embeddings: Tensor,
    weight: Tensor,
    target: Tensor,
    margin: float | Tensor = 0.5,
    scale: float | Tensor = 64.0,
    easy_margin: bool = False,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float | Tensor = 0.0,
    **options: Unpack[HeadOptions],
) -> Problem:
    r"""Cross entropy of scaled cosines, the target's angle widened by a margin (ArcFace, Deng et al. 2019).

    With :math:`\theta_c` the angle between the embedding and the vector of class c, the logits are
    :math:`s \cos\theta_c`, that of the target :math:`s\, \psi(\theta_y)` with

    .. math::
        \psi(\theta) = \cos(\theta + m) \ \text{up to}\ \theta = \pi - m, \qquad
        \cos\theta - m \sin m \ \text{beyond,}

    since :math:`\cos(\theta + m)` would rise again there. ``easy_margin`` has the margin where :math:`\cos\theta > 0`
    alone, and :math:`\cos\theta` elsewhere.

    =================================================  ==============================================================
    there                                              here
    =================================================  ==============================================================
    insightface ``ArcFace(s, margin)``                 ``arcface_loss(x, w, y, margin, s)``
    insightface ``CombinedMarginLoss(s, m1, m2, m3)``  ``sphereface_loss(x, w, y, m1, m2, m3, s)``, equal up to
                                                       :math:`m_1 \theta + m_2 = \pi`; there nothing is done beyond
    PML ``ArcFaceLoss(C, D, margin, scale)``           ``arcface_loss(x, W.t(), y, math.radians(margin), scale)``; there
                                                       W is (D, C) and margins are degrees
    PML ``CosFaceLoss(C, D, margin, scale)``           ``cosface_loss(x, W.t(), y, margin, scale)``
    PML ``SphereFaceLoss(C, D, margin, scale)``        ``sphereface_loss(x, W.t(), y, margin, scale=scale)`` for
                                                       embeddings of length one; there their lengths are factors
    PML ``SubCenterArcFaceLoss(sub_centers=K)``        ``sub_center_arcface_loss(x, W.t(), y, K, ...)``
    PML ``NormalizedSoftmaxLoss(temperature=T)``       ``normalized_softmax_loss(x, W.t(), y, scale=1 / T)``
    PML ``ProxyNCALoss(softmax_scale=s)``              ``proxy_nca_loss(x, proxies, y, scale=s)``
    =================================================  ==============================================================

    PML is pytorch-metric-learning.

    Equivalent to ``cross_entropy(scale * torch.where(one_hot(target, C).bool(), psi(cosine), cosine), target)`` with
    ``cosine = normalize(embeddings) @ normalize(weight).t()``.

    Args:
        embeddings: Shape :math:`(N, D)` or :math:`(D)`.
        weight: Shape :math:`(C, D)`, a vector per class.
        target: Class indices, int64 or uint8, shape :math:`(N)` or :math:`()`.
        margin: m in radians; float or 0-d tensor, or a tensor of one per class, shape :math:`(C)` (adaptive margins).
        scale: s, positive; float or 0-d tensor. Learned scales and margins need all logits.
        easy_margin: As above.
        ignore_index: Rows with this target contribute nothing, and take part in no product.
        reduction: ``"none"``, ``"mean"`` over the kept rows, or ``"sum"``.
        label_smoothing: Share of the loss that all classes have, in [0, 1].

    Gradient: finite for every angle; zero through an angle of 0 or pi.

    Example:
        >>> embeddings = torch.randn(8, 16, requires_grad=True)
        >>> weight = torch.randn(100, 16, requires_grad=True)
        >>> fastloss.functional.arcface_loss(embeddings, weight, torch.randint(100, (8,))).backward()
    """
    return Problem(
        embeddings, weight, target, options, margins=(margin, easy_margin), scale=scale, ignore_index=ignore_index,
        reduction=reduction, label_smoothing=label_smoothing,
    )  # fmt: skip


@arcface_loss.formula
def _arcface(c: Tensor, margin: Number, easy_margin: bool) -> tuple[Tensor, Tensor]:
    r""":math:`\cos(\theta + m)`, beyond the largest angle :math:`\cos\theta - m \sin m`."""
    s, cos_m, sin_m = _sine(c), _cosine(margin), _sine_of(margin)
    within = c > (0.0 if easy_margin else -cos_m)
    beyond = c if easy_margin else c - margin * sin_m
    value = torch.where(within, c * cos_m - s * sin_m, beyond)
    return value, torch.where(within, cos_m + _over_sine(c * sin_m, s), 1.0)


@loss(
    of=cross_entropy,
    title="CosFaceLoss",
    cosine=True,
    margins=("margin",),
    domains={**_SCALE, "margin": FINITE},
)
def cosface_loss(
    embeddings: Tensor,
    weight: Tensor,
    target: Tensor,
    margin: float | Tensor = 0.35,
    scale: float | Tensor = 64.0,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float | Tensor = 0.0,
    **options: Unpack[HeadOptions],
) -> Problem:
    r"""Cross entropy of scaled cosines, the target's lowered by a margin (CosFace, Wang et al. 2018; AM-softmax):
    :math:`\psi(\theta) = \cos\theta - m` in `arcface_loss`.

    Equivalent to ``cross_entropy(scale * (cosine - margin * one_hot(target, C)), target)`` with
    ``cosine = normalize(embeddings) @ normalize(weight).t()``.

    Args:
        embeddings, weight, target, scale, ignore_index, reduction, label_smoothing: As in `arcface_loss`.
        margin: m; float or 0-d tensor, or a tensor of one per class, shape :math:`(C)`.

    Example:
        >>> embeddings = torch.randn(8, 16, requires_grad=True)
        >>> weight = torch.randn(100, 16, requires_grad=True)
        >>> fastloss.functional.cosface_loss(embeddings, weight, torch.randint(100, (8,))).backward()
    """
    return Problem(
        embeddings, weight, target, options, margins=(margin,), scale=scale, ignore_index=ignore_index,
        reduction=reduction, label_smoothing=label_smoothing,
    )  # fmt: skip


@cosface_loss.formula
def _(c: Tensor, margin: Number) -> tuple[Tensor, Tensor]:
    r""":math:`\cos\theta - m`."""
    return c - margin, torch.ones_like(c)


@loss(
    of=cross_entropy,
    title="SphereFaceLoss",
    cosine=True,
    margins=("m1", "m2", "m3"),
    domains={**_SCALE, "m1": POSITIVE, "m2": FINITE, "m3": FINITE},
)
def sphereface_loss(
    embeddings: Tensor,
    weight: Tensor,
    target: Tensor,
    m1: float | Tensor = 4.0,
    m2: float | Tensor = 0.0,
    m3: float | Tensor = 0.0,
    scale: float | Tensor = 64.0,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float | Tensor = 0.0,
    **options: Unpack[HeadOptions],
) -> Problem:
    r"""Cross entropy of scaled cosines with three margins (SphereFace, Liu et al. 2017, and others).

    They are a factor of the target's angle, a summand of the angle and one of the cosine:

    .. math::
        \psi(\theta) = (-1)^k \cos(m_1 \theta + m_2) - 2 k - m_3, \qquad
        k = \lfloor (m_1 \theta + m_2) / \pi \rfloor,

    which falls with :math:`\theta` throughout, as SphereFace's. `arcface_loss` says what :math:`\psi` is and what
    other libraries have.

    Equivalent to `arcface_loss` at ``m1=1, m2=margin`` up to the largest angle, and to `cosface_loss` at ``m1=1,
    m3=margin``.

    Args:
        embeddings, weight, target, scale, ignore_index, reduction, label_smoothing: As in `arcface_loss`.
        m1: Factor of the angle, positive. Floats or 0-d tensors, or tensors of one per class, shape :math:`(C)`.
        m2, m3: Summands of the angle and of the cosine, likewise.

    Example:
        >>> embeddings = torch.randn(8, 16, requires_grad=True)
        >>> weight = torch.randn(100, 16, requires_grad=True)
        >>> fastloss.functional.sphereface_loss(embeddings, weight, torch.randint(100, (8,))).backward()
    """
    return Problem(
        embeddings, weight, target, options, margins=(m1, m2, m3), scale=scale, ignore_index=ignore_index,
        reduction=reduction, label_smoothing=label_smoothing,
    )  # fmt: skip


@sphereface_loss.formula
def _(c: Tensor, m1: Number, m2: Number, m3: Number) -> tuple[Tensor, Tensor]:
    r""":math:`(-1)^k \cos\phi - 2k - m_3`, :math:`\phi = m_1 \theta + m_2`, k the multiples of :math:`\pi` in it."""
    s = _sine(c)
    phi = m1 * torch.atan2(s, c) + m2
    k = (phi.detach() / math.pi).floor()
    sign = 1 - 2 * k.remainder(2)
    return sign * phi.cos() - 2 * k - m3, _over_sine(m1 * sign * phi.sin(), s)


@loss(
    of=cross_entropy,
    title="SubCenterArcFaceLoss",
    cosine=True,
    margins=("margin", "easy_margin"),
    domains={**_SCALE, "margin": FINITE},
)
def sub_center_arcface_loss(
    embeddings: Tensor,
    weight: Tensor,
    target: Tensor,
    sub_centers: int = 3,
    margin: float | Tensor = 0.5,
    scale: float | Tensor = 64.0,
    easy_margin: bool = False,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float | Tensor = 0.0,
    **options: Unpack[HeadOptions],
) -> Problem:
    r"""ArcFace with K vectors for each class, of which the nearest one counts (Deng et al. 2020): `arcface_loss` of the
    largest cosine of a class.

    In half precision cosines are compared as products have rounded them: of two centers that are equally near within a
    rounding either may count, here as in PyTorch.

    Equivalent to `arcface_loss` with ``cosine = (normalize(embeddings) @ normalize(weight).t()).unflatten(1, (C,
    K)).amax(2)``.

    Args:
        embeddings, target, margin, scale, easy_margin, ignore_index, reduction, label_smoothing: As in `arcface_loss`.
        weight: Shape :math:`(C K, D)`: the K vectors of the first class, then those of the second.
        sub_centers: K.

    Example:
        >>> embeddings = torch.randn(8, 16, requires_grad=True)
        >>> weight = torch.randn(300, 16, requires_grad=True)
        >>> fastloss.functional.sub_center_arcface_loss(embeddings, weight, torch.randint(100, (8,))).backward()
    """
    if isinstance(sub_centers, bool) or not isinstance(sub_centers, int):
        raise TypeError(f"fastloss.sub_center_arcface_loss: sub_centers is {sub_centers!r}, expected an integer")
    if sub_centers < 1:
        raise ValueError(f"fastloss.sub_center_arcface_loss: sub_centers must be 1 or more, got {sub_centers}")
    return Problem(
        embeddings, weight, target, options, margins=(margin, easy_margin), scale=scale, centers=sub_centers,
        ignore_index=ignore_index, reduction=reduction, label_smoothing=label_smoothing,
    )  # fmt: skip


sub_center_arcface_loss.formula(arcface_loss.record.formula)


@loss(of=cross_entropy, cosine=True, domains=_SCALE)
def normalized_softmax_loss(
    embeddings: Tensor,
    weight: Tensor,
    target: Tensor,
    scale: float | Tensor = 20.0,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float | Tensor = 0.0,
    **options: Unpack[HeadOptions],
) -> Problem:
    r"""Cross entropy of scaled cosines (NormFace, Wang et al. 2017; Zhai and Wu 2019): `arcface_loss` without a margin.

    Equivalent to ``cross_entropy(scale * normalize(embeddings) @ normalize(weight).t(), target)``.

    Args:
        embeddings, weight, target, scale, ignore_index, reduction, label_smoothing: As in `arcface_loss`.

    Example:
        >>> embeddings = torch.randn(8, 16, requires_grad=True)
        >>> weight = torch.randn(100, 16, requires_grad=True)
        >>> fastloss.functional.normalized_softmax_loss(embeddings, weight, torch.randint(100, (8,))).backward()
    """
    return Problem(
        embeddings, weight, target, options, scale=scale, ignore_index=ignore_index, reduction=reduction,
        label_smoothing=label_smoothing,
    )  # fmt: skip


normalized_softmax_loss.formula(cross_entropy.record.formula)


@loss(of=cross_entropy, title="ProxyNCALoss", cosine=True, domains=_SCALE)
def proxy_nca_loss(
    embeddings: Tensor,
    weight: Tensor,
    target: Tensor,
    scale: float | Tensor = 1.0,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float | Tensor = 0.0,
    **options: Unpack[HeadOptions],
) -> Problem:
    r"""Neighbourhood components analysis with a proxy for each class (Movshovitz-Attias et al. 2017).

    As ProxyNCA++ (Teh et al. 2020) and pytorch-metric-learning have it: with d the distance of vectors of length one,

    .. math::
        \ell = -\log \frac{e^{-s\, d(x, p_y)^2}}{\sum_c e^{-s\, d(x, p_c)^2}}.

    The denominator has the proxy of the target, too. (The first paper leaves it out, so its loss may be negative.) As
    :math:`d^2 = 2 - 2 \cos\theta`, this is `normalized_softmax_loss` with twice the scale.

    Equivalent to ``cross_entropy(-scale * torch.cdist(normalize(embeddings), normalize(weight)).square(), target)``.

    Args:
        embeddings, target, ignore_index, reduction, label_smoothing: As in `arcface_loss`.
        weight: The proxies p, shape :math:`(C, D)`.
        scale: s, positive; float or 0-d tensor.

    Example:
        >>> embeddings = torch.randn(8, 16, requires_grad=True)
        >>> weight = torch.randn(100, 16, requires_grad=True)
        >>> fastloss.functional.proxy_nca_loss(embeddings, weight, torch.randint(100, (8,))).backward()
    """
    return Problem(
        embeddings, weight, target, options, scale=2 * scale, ignore_index=ignore_index, reduction=reduction,
        label_smoothing=label_smoothing,
    )  # fmt: skip


proxy_nca_loss.formula(cross_entropy.record.formula)


# Of products that are made as a whole.


@composition.loss(path="reference", why="no kernel has the batch as a softmax's classes", domains={"alpha": POSITIVE})
def proxy_anchor_loss(
    embeddings: Tensor,
    weight: Tensor,
    target: Tensor,
    margin: float | Tensor = 0.1,
    alpha: float | Tensor = 32.0,
    ignore_index: int = -100,
) -> Tensor:
    r"""Each class's proxy compared with the whole batch (Kim et al. 2020).

    With s the cosine of an embedding and a proxy, C the number of classes and :math:`C^+` of those in the batch,

    .. math::
        \ell = \frac{1}{C^+} \sum_c \log\Bigl(1 + \sum_{i: y_i = c} e^{-\alpha (s_{ic} - m)}\Bigr)
        + \frac1C \sum_c \log\Bigl(1 + \sum_{i: y_i \neq c} e^{\alpha (s_{ic} + m)}\Bigr).

    Equivalent to pytorch-metric-learning's ``ProxyAnchorLoss(C, D, margin, alpha)`` with its proxies as ``weight``.

    Args:
        embeddings: Shape :math:`(N, D)`.
        weight: The proxies, shape :math:`(C, D)`.
        target: Class indices, int64 or uint8, shape :math:`(N)`.
        margin: m; float or 0-d tensor.
        alpha: Steepness, positive; float or 0-d tensor.
        ignore_index: Rows with this target contribute nothing.

    Returns:
        The loss, shape ``()``; a batch without a row that counts has 0.

    Raises: IndexError for a class outside [0, C) that is not ``ignore_index`` (on CUDA only under
        :func:`fastloss.debug`); RuntimeError for shapes and dtypes, ValueError for an ``alpha`` that is not positive.
    Gradient, memory, accuracy: plain PyTorch in float32 or float64 that holds all similarities. Rows that are ignored
        have exactly zero gradient.

    Example:
        >>> embeddings = torch.randn(8, 16, requires_grad=True)
        >>> weight = torch.randn(100, 16, requires_grad=True)
        >>> fastloss.functional.proxy_anchor_loss(embeddings, weight, torch.randint(100, (8,))).backward()
    """
    name = "proxy_anchor_loss"
    check_domain(name, alpha=alpha)
    kept = _kept_classes(name, embeddings, weight, target, ignore_index)
    wide = torch.promote_types(torch.promote_types(embeddings.dtype, weight.dtype), torch.float32)
    vectors = torch.where(kept.unsqueeze(1), embeddings, 0.0).to(wide)
    s = F.normalize(vectors) @ F.normalize(weight.to(wide)).t()
    positive = torch.arange(weight.shape[0], device=target.device) == target.unsqueeze(1)

    def added(z: Tensor, among: Tensor) -> tuple[Tensor, Tensor]:
        """log(1 + the sum of e^z) of each class, 0 of one with nothing among these, and which have something."""
        some = among.any(0) if among.shape[0] else among.new_zeros(among.shape[1])
        z = torch.where(some, torch.where(among, z, -torch.inf), 0.0)
        z = z if z.shape[0] else z.new_zeros(1, z.shape[1])
        return torch.where(some, torch.logaddexp(logsumexp(z, 0), z.new_zeros(())), 0.0), some

    near, some = added(-alpha * (s - margin), positive & kept.unsqueeze(1))
    far, _ = added(alpha * (s + margin), ~positive & kept.unsqueeze(1))
    return (near.sum() / some.sum().clamp(min=1) + far.mean()).to(embeddings.dtype)


def _kept_classes(name: str, vectors: Tensor, weight: Tensor, target: Tensor, ignore_index: int) -> Tensor:
    """Which rows of vectors count; refuses what is no class, and no matrices of vectors."""
    if vectors.dim() != 2 or weight.dim() != 2 or vectors.shape[1] != weight.shape[1]:
        raise RuntimeError(
            f"fastloss.{name}: expected vectors (N, D) and (C, D), got {tuple(vectors.shape)} and {tuple(weight.shape)}"
        )
    if target.shape != vectors.shape[:1] or target.dtype not in (torch.int64, torch.uint8):
        raise RuntimeError(
            f"fastloss.{name}: target is {target.dtype} of shape {tuple(target.shape)}, expected torch.int64 of shape "
            f"({vectors.shape[0]},), a class per row"
        )
    if _looks_at(target) and (bad := bad_target(target, weight.shape[0], ignore_index)):
        raise IndexError(f"fastloss.{name}: {bad}")
    return target != ignore_index


def _looks_at(classes: Tensor) -> bool:
    """Whether classes are looked at, for which a device would have to be waited for."""
    return known(classes.sum()) is not None if classes.is_cpu else _ops.debugging()


@composition.loss(words={"reduction": ("none", "mean", "sum")}, domains={"temperature": POSITIVE})
def sampled_softmax_loss(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    negatives: Tensor,
    *,
    linear_bias: Tensor | None = None,
    log_q: tuple[Tensor, Tensor] | None = None,
    temperature: float | Tensor = 1.0,
    ignore_index: int = -100,
    reduction: Literal["none", "mean", "sum"] = "mean",
) -> Tensor:
    r"""Cross entropy among the target and sampled classes (Jean et al. 2015; of recommenders Yi et al. 2019).

    With :math:`z_c = (w_c \cdot h + b_c) / \tau - \log q_c`, and S the negatives without the target,

    .. math::
        \ell = -\log \frac{e^{z_y}}{e^{z_y} + \sum_{c \in S} e^{z_c}}.

    With q the number of samples of a class that are expected, and 1 for the target, which is there once, the
    denominator is an unbiased estimate of that of all classes; `fastloss.sampling` draws such samples. Samples that are
    all alike need no q: the targets of a batch are negatives of each other with ``negatives=target``.

    Equivalent to TensorFlow's ``sampled_softmax_loss`` with ``remove_accidental_hits``, which lowers the target's logit
    by its class's expected number, too: ``log_q=(log_expected(target), log_expected(negatives))``.

    Args:
        input: Hidden states h, shape :math:`(N, D)`.
        linear_weight: W, shape :math:`(C, D)`, a vector per class.
        target: Class indices, int64 or uint8, shape :math:`(N)`.
        negatives: Sampled classes, int64, shape :math:`(K)` for all rows or :math:`(N, K)`. One that is the row's
            target does not count; one that is sampled twice counts twice.
        linear_bias: b, shape :math:`(C)`.
        log_q: Logarithms of q of the targets, shape :math:`(N)`, and of the negatives, in their shape. None: all alike.
        temperature: :math:`\tau`, positive; float or 0-d tensor.
        ignore_index: Rows with this target contribute nothing.
        reduction: ``"none"``, ``"mean"`` over the rows that count, or ``"sum"``.

    Returns:
        The loss: shape :math:`(N)` for ``"none"``, otherwise ``()``.

    Raises: As `cross_entropy`; IndexError for negatives outside [0, C).
    Gradient: with respect to hidden states, weight and bias: of the weight dense, zero but for the classes that are
        named. Rows that are ignored have exactly zero gradient.
    Memory: :math:`N (K + 1)` logits, and the vectors of the classes that are named.
    Accuracy: that of `cross_entropy`, whose kernel it calls.

    Example:
        >>> hidden = torch.randn(8, 16, requires_grad=True)
        >>> items = torch.randn(1000, 16, requires_grad=True)
        >>> bought, sampled = torch.randint(1000, (8,)), torch.randint(1000, (100,))
        >>> fastloss.functional.sampled_softmax_loss(hidden, items, bought, sampled).backward()
    """
    logits, labels = _among(input, linear_weight, target, negatives, linear_bias, log_q, temperature, ignore_index)
    made: Tensor = cross_entropy(logits, labels, reduction=reduction)
    return made


@sampled_softmax_loss.formula
def _(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    negatives: Tensor,
    *,
    linear_bias: Tensor | None = None,
    log_q: tuple[Tensor, Tensor] | None = None,
    temperature: float | Tensor = 1.0,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    r""":math:`-\log` of the target's share among it and the negatives."""
    logits, labels = _among(input, linear_weight, target, negatives, linear_bias, log_q, temperature, ignore_index)
    made: Tensor = cross_entropy.record.reference(logits, labels, reduction=reduction)
    return made


def _among(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    negatives: Tensor,
    linear_bias: Tensor | None,
    log_q: tuple[Tensor, Tensor] | None,
    temperature: float | Tensor,
    ignore_index: int,
) -> tuple[Tensor, Tensor]:
    """The logits of the softmax among target and negatives, and which of the rows count: class 0, or ignored."""
    name = "sampled_softmax_loss"
    check_domain(name, temperature=temperature)
    if log_q is not None and (log_q[0].shape != target.shape or log_q[1].shape != negatives.shape):
        raise RuntimeError(
            f"fastloss.{name}: log_q has shapes {tuple(log_q[0].shape)} and {tuple(log_q[1].shape)}, expected those of "
            f"target and negatives, {tuple(target.shape)} and {tuple(negatives.shape)}"
        )
    logits, hits, kept = _sampled(name, input, linear_weight, target, negatives, linear_bias, ignore_index)
    logits = logits / temperature
    if log_q is not None:
        logits = logits - _beside(*log_q, logits)
    return logits.masked_fill(hits, -torch.inf), torch.where(kept, 0, -100)


def _sampled(
    name: str,
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    negatives: Tensor,
    linear_bias: Tensor | None,
    ignore_index: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """The logits of each row's target and of its negatives, which of these are the target, and which rows count."""
    kept = _kept_classes(name, input, linear_weight, target, ignore_index)
    n = input.shape[0]
    shared = negatives.dim() == 1
    if negatives.dtype != torch.int64 or not (shared or (negatives.dim() == 2 and negatives.shape[0] == n)):
        raise RuntimeError(
            f"fastloss.{name}: negatives are {negatives.dtype} of shape {tuple(negatives.shape)}, expected torch.int64 "
            f"of shape (K) or ({n}, K)"
        )
    if _looks_at(negatives) and ((negatives < 0) | (negatives >= linear_weight.shape[0])).any():
        raise IndexError(f"fastloss.{name}: negatives has a class outside [0, {linear_weight.shape[0]})")
    hidden, y = torch.where(kept.unsqueeze(1), input, 0.0), torch.where(kept, target, 0).long()
    named = torch.cat((y, negatives.flatten()))  # once, for each look-up has a gradient of the weight's size
    vectors = F.embedding(named, linear_weight)
    own, others = vectors[:n], vectors[n:]
    first = (hidden.unsqueeze(1) @ own.unsqueeze(2)).view(n, 1)
    rest = hidden @ others.t() if shared else (others.view(n, -1, own.shape[1]) @ hidden.unsqueeze(2)).squeeze(2)
    logits = torch.cat((first, rest), 1)
    if linear_bias is not None:
        bias = linear_bias[named]
        logits = logits + _beside(bias[:n], bias[n:].view(negatives.shape), logits)
    hits = torch.cat((torch.zeros_like(y, dtype=torch.bool).unsqueeze(1), negatives == y.unsqueeze(1)), 1)
    return logits, hits, kept


def _beside(own: Tensor, others: Tensor, like: Tensor) -> Tensor:
    """Numbers of targets and of negatives as those of logits."""
    return torch.cat((own.unsqueeze(1), others.expand(like.shape[0], like.shape[1] - 1)), 1).to(like.dtype)


@composition.loss(title="GBCELoss", words={"reduction": ("none", "mean", "sum")}, domains={"calibration": FINITE})
def gbce_loss(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    negatives: Tensor,
    calibration: float | Tensor = 0.75,
    *,
    linear_bias: Tensor | None = None,
    ignore_index: int = -100,
    reduction: Literal["none", "mean", "sum"] = "mean",
) -> Tensor:
    r"""Binary cross entropy of the target and sampled classes, calibrated for their number (gBCE, Petrov and Macdonald
    2023).

    With :math:`z_c = w_c \cdot h + b_c`, K negatives of C classes, and S those without the target,

    .. math::
        \ell = -\frac{1}{K + 1} \Bigl(\beta \log \sigma(z_y) + \sum_{c \in S} \log (1 - \sigma(z_c))\Bigr), \qquad
        \beta = 1 - t + t\, \frac{K}{C - 1}.

    Sampled negatives make plain binary cross entropy overconfident; at :math:`t = 1` probabilities are those that all
    negatives would give, at :math:`t = 0` this is plain binary cross entropy.

    Equivalent to the loss of gSASRec where no negative is the target.

    Args:
        input, linear_weight, target, negatives, linear_bias, ignore_index: As in `sampled_softmax_loss`. Negatives are
            sampled uniformly.
        calibration: t; float or 0-d tensor.
        reduction: ``"none"``, ``"mean"`` over the rows that count, or ``"sum"``.

    Returns:
        The loss: shape :math:`(N)` for ``"none"``, otherwise ``()``.

    Raises, gradient, memory: As `sampled_softmax_loss`.
    Accuracy: that of `binary_cross_entropy_with_logits`, whose kernel it calls.

    Example:
        >>> hidden = torch.randn(8, 16, requires_grad=True)
        >>> items = torch.randn(1000, 16, requires_grad=True)
        >>> bought, sampled = torch.randint(1000, (8,)), torch.randint(1000, (8, 100))
        >>> fastloss.functional.gbce_loss(hidden, items, bought, sampled).backward()
    """
    of = binary_cross_entropy_with_logits
    return _gbce(of, input, linear_weight, target, negatives, calibration, linear_bias, ignore_index, reduction)


@gbce_loss.formula
def _(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    negatives: Tensor,
    calibration: float | Tensor = 0.75,
    *,
    linear_bias: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    r""":math:`-\beta \log \sigma(z_y) - \sum_c \log (1 - \sigma(z_c))`, over K + 1."""
    of = binary_cross_entropy_with_logits.record.reference
    return _gbce(of, input, linear_weight, target, negatives, calibration, linear_bias, ignore_index, reduction)


def _gbce(
    of: Callable[..., Tensor],
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    negatives: Tensor,
    calibration: float | Tensor,
    linear_bias: Tensor | None,
    ignore_index: int,
    reduction: str,
) -> Tensor:
    """The loss by way of ``of``, binary cross entropy."""
    name = "gbce_loss"
    check_domain(name, calibration=calibration)
    logits, hits, kept = _sampled(name, input, linear_weight, target, negatives, linear_bias, ignore_index)
    wide = torch.promote_types(logits.dtype, torch.float32)
    share = (logits.shape[1] - 1) / max(1, linear_weight.shape[0] - 1)
    beta = torch.ones((), dtype=wide, device=logits.device) * (1.0 - calibration * (1.0 - share))
    labels = torch.zeros_like(logits, dtype=wide)
    labels[:, 0] = 1.0
    counted = ~hits & kept.unsqueeze(1)
    each = of(logits, labels, reduction="none", pos_weight=beta, mask=counted, loss_dtype=wide)
    rows = composition.Rows(target, kept, None)
    return composition.reduce_rows(each.sum(1) / logits.shape[1], rows, reduction, loss_dtype_of(logits))
