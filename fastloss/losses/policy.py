"""Losses of policies: reinforcement and preferences, from log-probabilities (`token_logprobs`)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from fastloss._core._torch import F
from fastloss._core.formula import Number, above_zero, as_number, expm1
from fastloss._core.options import FINITE, NOT_NEGATIVE, POSITIVE, ComposedOptions, WeightedPointOptions, known
from fastloss._core.record import Other, Problem
from fastloss.engines import composition
from fastloss.engines.elements import loss

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = [
    "cispo_loss",
    "dpo_loss",
    "grpo_loss",
    "gspo_loss",
    "kto_loss",
    "orpo_loss",
    "ppo_clip_loss",
    "simpo_loss",
]

_CLIPS: Any = {"clip_low": NOT_NEGATIVE, "clip_high": NOT_NEGATIVE, "delta": NOT_NEGATIVE}


def _averaged(name: str, input: Any, average: str, reduction: str, options: Any) -> tuple[str, Any]:
    """Reduction and options that take the mean over the tokens of each sequence, and then over the sequences."""
    if average not in ("tokens", "sequences"):
        raise ValueError(f'fastloss.{name}: average must be "tokens" or "sequences", got {average!r}')
    if average == "tokens" or reduction != "mean" or not isinstance(input, Tensor) or not input.numel():
        return reduction, options
    if not input.dim() or options.get("reduce_dims") is not None:
        return reduction, options
    mask, weight, normalizer = (options.get(what) for what in ("mask", "weight", "normalizer"))
    dtype = torch.promote_types(input.dtype, torch.float32)
    tokens: Any = input.shape[-1] if mask is None else mask.expand(input.shape).sum(-1, keepdim=True).clamp_min(1)
    sequences = input.numel() // input.shape[-1] if normalizer is None else normalizer
    share = (input.new_ones((), dtype=dtype) / (tokens * sequences)).to(dtype)
    share = share if weight is None else share * weight.to(dtype)
    return "sum", {**options, "normalizer": None, "weight": share.expand(input.shape)}


def _per_token(advantages: Any, input: Any) -> Any:
    """Advantages of sequences as those of their tokens."""
    if (
        isinstance(advantages, Tensor)
        and isinstance(input, Tensor)
        and advantages.shape == input.shape[:-1]
        and input.dim()
    ):
        return advantages.unsqueeze(-1)
    return advantages


def _before(old_log_probs: Any, input: Any) -> Any:
    """Those of the policy itself where it has made the samples."""
    return input.detach() if old_log_probs is None and isinstance(input, Tensor) else old_log_probs


def _clipped(x: Tensor, advantage: Tensor, old: Tensor, clip_low: Number, clip_high: Number, delta: Number) -> Tensor:
    ratio, bound, high = (x - old).exp(), as_number(delta, x), 1 + as_number(clip_high, x)
    bound = torch.where(bound == 0, torch.inf, bound)
    up = torch.minimum(ratio, torch.minimum(bound, high))
    down = torch.maximum(torch.minimum(ratio, torch.maximum(bound, high)), 1 - as_number(clip_low, x))
    # At a bound the slope is that of the ratio.
    up, down = (torch.where(kept == ratio, ratio, kept) for kept in (up, down))
    return -advantage * torch.where(advantage > 0, up, torch.where(advantage < 0, down, 0.0))


@loss(
    tensors=("input", "advantages", "old_log_probs"),
    params=("clip_low", "clip_high", "delta"),
    fixed=("advantages", "old_log_probs"),
    domains=_CLIPS,
    dtype="input",
    empty="zero",
    title="PPOClipLoss",
    holds={"input": "log_probability", "old_log_probs": "log_probability"},
)
def ppo_clip_loss(
    input: Tensor,
    advantages: Tensor,
    old_log_probs: Tensor | None = None,
    clip_low: float | Tensor = 0.2,
    clip_high: float | Tensor = 0.2,
    delta: float | Tensor = 0.0,
    average: Literal["tokens", "sequences"] = "tokens",
    reduction: str = "mean",
    **options: Unpack[WeightedPointOptions],
) -> Problem:
    r"""The clipped objective of PPO, of tokens' log-probabilities (Schulman et al. 2017,
    https://arxiv.org/abs/1707.06347).

    With r = exp(x - x_old),

    .. math::
        \ell = -\min\left(\min(r, \delta) A,\ \operatorname{clip}(r, 1 - \epsilon_-, 1 + \epsilon_+) A\right).

    Equivalent to ``-torch.minimum(r * advantages, r.clamp(1 - clip_low, 1 + clip_high) * advantages).mean()`` with
    ``r = (input - old_log_probs).exp()``. TRL's PPO is this one with a mask; its GRPO is `grpo_loss`.

    Args:
        input: Log-probabilities x of the tokens that were sampled, the last dimension runs along a sequence.
        advantages: A, of the shape of ``input``, or without its last dimension: one for each sequence.
        old_log_probs: x_old, of the policy that made the samples; None: this policy, so that r is 1.
        clip_low, clip_high: :math:`\epsilon_-, \epsilon_+`, 0 or more; floats or 0-d tensors.
        delta: :math:`\delta`, the bound of r where A is negative (dual clip, Ye et al. 2020), above
            :math:`1 + \epsilon_+`; 0: none. Float or 0-d tensor.
        average: What a mean is of: ``"tokens"`` that count, or ``"sequences"``, of each of which the mean over its
            tokens is taken first (0 if none counts). With ``"sequences"`` ``normalizer`` replaces the number of
            sequences; with ``reduce_dims`` the word means nothing.
        reduction: ``"none"`` (a value per token), ``"mean"`` or ``"sum"``.

    The gradient is :math:`-r A`, 0 beyond the bounds and where A is 0, also where r is infinite. It is taken to
    ``input`` alone by the kernel.

    Example:
        >>> log_probs = torch.randn(4, 7, requires_grad=True)
        >>> fastloss.functional.ppo_clip_loss(log_probs, torch.randn(4), log_probs.detach() + 0.1).backward()
    """
    reduction, options = _averaged("ppo_clip_loss", input, average, reduction, options)
    arguments = {
        "input": input, "advantages": _per_token(advantages, input), "old_log_probs": _before(old_log_probs, input),
        "clip_low": clip_low, "clip_high": clip_high, "delta": delta,
    }  # fmt: skip
    return Problem(arguments, reduction, options)


@ppo_clip_loss.formula
def _(x: Tensor, advantage: Tensor, old: Tensor, clip_low: Number, clip_high: Number, delta: Number) -> Tensor:
    r"""The smaller of the two objectives by the sign of the advantage, negative."""
    return _clipped(x, advantage, old, clip_low, clip_high, delta)


@loss(
    tensors=("input", "advantages", "old_log_probs", "ref_log_probs"),
    params=("beta", "clip_low", "clip_high", "delta"),
    fixed=("advantages", "old_log_probs", "ref_log_probs"),
    domains={"beta": NOT_NEGATIVE, **_CLIPS},
    dtype="input",
    empty="zero",
    title="GRPOLoss",
    holds={
        "input": "log_probability", "old_log_probs": "log_probability", "ref_log_probs": "log_probability",
    },
)  # fmt: skip
def grpo_loss(
    input: Tensor,
    advantages: Tensor,
    old_log_probs: Tensor | None = None,
    ref_log_probs: Tensor | None = None,
    beta: float | Tensor = 0.04,
    clip_low: float | Tensor = 0.2,
    clip_high: float | Tensor = 0.2,
    delta: float | Tensor = 0.0,
    average: Literal["tokens", "sequences"] = "tokens",
    reduction: str = "mean",
    **options: Unpack[WeightedPointOptions],
) -> Problem | Other:
    r"""Group relative policy optimisation (Shao et al. 2024, https://arxiv.org/abs/2402.03300).

    It is `ppo_clip_loss` plus how far the policy is from a reference model, u = x_ref - x:

    .. math::
        \ell = -\min\left(\min(r, \delta) A,\ \operatorname{clip}(r, 1 - \epsilon_-, 1 + \epsilon_+) A\right)
               + \beta\, (e^u - u - 1).

    TRL's ``GRPOTrainer`` (1.x) with ``importance_sampling_level="token"``; its ``epsilon`` is ``clip_low``, its
    ``epsilon_high`` ``clip_high``:

    ==================================  ==========================================================================
    ``loss_type``                       here
    ==================================  ==========================================================================
    ``"grpo"``                          ``average="sequences"``
    ``"bnpo"``                          ``average="tokens"``
    ``"dapo"``                          ``average="tokens", normalizer=num_items_in_batch / num_processes``
    ``"dr_grpo"``                       ``average="tokens", normalizer=batch * max_completion_length``
    ==================================  ==========================================================================

    Equivalent to ``ppo + beta * ((ref - input).exp() - (ref - input) - 1)``, averaged so. ``beta=0`` and no reference
    are TRL's default.

    Args:
        input, advantages, old_log_probs: As in `ppo_clip_loss`. Advantages of the group are the caller's.
        ref_log_probs: x_ref, log-probabilities of the reference model; None: the loss is `ppo_clip_loss`.
        beta: :math:`\beta`, 0 or more; float or 0-d tensor.
        clip_low, clip_high, delta, average, reduction: As in `ppo_clip_loss`.

    Example:
        >>> log_probs = torch.randn(4, 7, requires_grad=True)
        >>> advantages, ref = torch.randn(4), torch.randn(4, 7)
        >>> fastloss.functional.grpo_loss(log_probs, advantages, ref_log_probs=ref, beta=0.1).backward()
    """
    own = {"clip_low": clip_low, "clip_high": clip_high, "delta": delta}
    if ref_log_probs is None:
        given = {**own, "average": average, "reduction": reduction, **options}
        return Other("ppo_clip_loss", (input, advantages, old_log_probs), given)
    reduction, options = _averaged("grpo_loss", input, average, reduction, options)
    arguments = {
        "input": input, "advantages": _per_token(advantages, input), "old_log_probs": _before(old_log_probs, input),
        "ref_log_probs": ref_log_probs, "beta": beta, **own,
    }  # fmt: skip
    return Problem(arguments, reduction, options)


@grpo_loss.formula
def _(
    x: Tensor,
    advantage: Tensor,
    old: Tensor,
    ref: Tensor,
    beta: Number,
    clip_low: Number,
    clip_high: Number,
    delta: Number,
) -> Tensor:
    r"""The clipped objective, negative, plus :math:`\beta (e^u - 1 - u)`."""
    return _clipped(x, advantage, old, clip_low, clip_high, delta) + beta * (expm1(ref - x) - (ref - x))


@loss(
    tensors=("input", "advantages", "old_log_probs"),
    params=("clip_high",),
    fixed=("advantages", "old_log_probs"),
    domains={"clip_high": ("positive", lambda v: v > 0, ValueError)},
    dtype="input",
    empty="zero",
    title="CISPOLoss",
    holds={"input": "log_probability", "old_log_probs": "log_probability"},
)
def cispo_loss(
    input: Tensor,
    advantages: Tensor,
    old_log_probs: Tensor | None = None,
    clip_high: float | Tensor = 5.0,
    average: Literal["tokens", "sequences"] = "tokens",
    reduction: str = "mean",
    **options: Unpack[WeightedPointOptions],
) -> Problem:
    r"""CISPO (MiniMax 2025, https://arxiv.org/abs/2506.13585): every token keeps a gradient, and only its weight, the
    ratio r = exp(x - x_old), is bounded.

    .. math::
        \ell = -\lfloor \min(r, c) \rfloor\, A\, x,

    where no gradient is taken of :math:`\lfloor \min(r, c) \rfloor`.

    Equivalent to ``-(r.clamp(max=clip_high).detach() * advantages * input).mean()`` with
    ``r = (input - old_log_probs).exp()``: TRL's ``loss_type="cispo"`` with ``epsilon_high=clip_high`` and, as there,
    ``normalizer=num_items_in_batch / num_processes``.

    Args:
        input, advantages, old_log_probs: As in `ppo_clip_loss`.
        clip_high: c, the bound itself and not what it exceeds 1 by; positive. Float or 0-d tensor.
        average, reduction: As in `ppo_clip_loss`.

    Example:
        >>> log_probs = torch.randn(4, 7, requires_grad=True)
        >>> fastloss.functional.cispo_loss(log_probs, torch.randn(4)).backward()
    """
    reduction, options = _averaged("cispo_loss", input, average, reduction, options)
    arguments = {
        "input": input, "advantages": _per_token(advantages, input), "old_log_probs": _before(old_log_probs, input),
        "clip_high": clip_high,
    }  # fmt: skip
    return Problem(arguments, reduction, options)


@cispo_loss.formula
def _(x: Tensor, advantage: Tensor, old: Tensor, clip_high: Number) -> Tensor:
    r""":math:`-\min(r, c) A x`, in which the ratio is a constant."""
    return -torch.minimum((x - old).exp(), as_number(clip_high, x)).detach() * advantage * x


def _check_smoothing(arguments: dict[str, Any], options: Any) -> None:
    share = known(arguments["label_smoothing"])
    if arguments["kind"] == "robust" and share is not None and share >= 0.5:
        raise ValueError(
            f"fastloss.dpo_loss: label_smoothing must be below 0.5 for kind='robust', which divides by 1 - 2 "
            f"label_smoothing, got {share!r}"
        )


@loss(
    tensors=("chosen", "rejected", "ref_chosen", "ref_rejected"),
    params=("kind", "beta", "label_smoothing", "margin"),
    fixed=("ref_chosen", "ref_rejected"),
    words={"kind": ("sigmoid", "hinge", "ipo", "robust")},
    domains={
        "beta": POSITIVE,
        "label_smoothing": ("between 0 and 1", lambda v: 0 <= v <= 1, ValueError),
        "margin": FINITE,
    },
    takes=lambda kind, beta, label_smoothing, margin: kind != 3 or label_smoothing < 0.5,
    check=_check_smoothing,
    title="DPOLoss",
    holds={name: "log_probability" for name in ("chosen", "rejected", "ref_chosen", "ref_rejected")},
)
def dpo_loss(
    chosen: Tensor,
    rejected: Tensor,
    ref_chosen: Tensor | None = None,
    ref_rejected: Tensor | None = None,
    kind: Literal["sigmoid", "hinge", "ipo", "robust"] = "sigmoid",
    beta: float | Tensor = 0.1,
    label_smoothing: float | Tensor = 0.0,
    margin: float | Tensor = 0.0,
    reduction: str = "mean",
    **options: Unpack[WeightedPointOptions],
) -> Problem:
    r"""Direct preference optimisation, of chosen and rejected answers (Rafailov et al. 2023,
    https://arxiv.org/abs/2305.18290).

    With the answers' log-probabilities c and r, :math:`h = (c - c_{ref}) - (r - r_{ref})`, :math:`z = \beta h - m` and
    :math:`\epsilon` = ``label_smoothing``

    ============  ====================================================================  ============================
    ``kind``      loss                                                                  paper
    ============  ====================================================================  ============================
    ``sigmoid``   :math:`-(1 - \epsilon) \log \sigma(z) - \epsilon \log \sigma(-z)`     DPO; its conservative form
    ``robust``    :math:`(-(1 - \epsilon) \log \sigma(z) + \epsilon \log \sigma(-z))`   Chowdhury et al. 2024
                  by :math:`1 - 2 \epsilon`
    ``hinge``     :math:`\max(0, 1 - z)`                                                SLiC, Zhao et al. 2023
    ``ipo``       :math:`(h - 1 / 2 \beta)^2`                                           Azar et al. 2023
    ============  ====================================================================  ============================

    Equivalent to ``-F.logsigmoid(beta * ((chosen - ref_chosen) - (rejected - ref_rejected))).mean()``, TRL's
    ``loss_type="sigmoid"``. TRL 1.x smooths labels under ``"robust"`` alone, older releases under ``"sigmoid"`` too, as
    here. Its ``"ipo"`` takes log-probabilities averaged over tokens, ``"hinge"`` and the others their sums.

    Args:
        chosen, rejected: Log-probabilities of the answers by the policy, one each, any shape.
        ref_chosen, ref_rejected: Those by the reference model; None: 0, which needs no model.
        kind: As above.
        beta: :math:`\beta`, positive; float or 0-d tensor.
        label_smoothing: :math:`\epsilon` in [0, 1], how often the preference is wrong, below 0.5 for ``"robust"``;
            float or 0-d tensor.
        margin: m, by how much z should exceed 0; float or 0-d tensor.
        reduction: ``"none"`` (a value per pair), ``"mean"`` or ``"sum"``.

    Example:
        >>> chosen, rejected = (-5 * torch.rand(8)).requires_grad_(), -5 * torch.rand(8)
        >>> fastloss.functional.dpo_loss(chosen, rejected, chosen.detach(), rejected).backward()
    """
    arguments = {
        "chosen": chosen, "rejected": rejected, "ref_chosen": _nothing(ref_chosen, chosen),
        "ref_rejected": _nothing(ref_rejected, rejected),
        "kind": kind, "beta": beta, "label_smoothing": label_smoothing, "margin": margin,
    }  # fmt: skip
    return Problem(arguments, reduction, options)


def _nothing(given: Any, like: Any) -> Any:
    return like.new_zeros(()).expand(like.shape) if given is None and isinstance(like, Tensor) else given


@dpo_loss.formula
def _(
    chosen: Tensor,
    rejected: Tensor,
    ref_chosen: Tensor,
    ref_rejected: Tensor,
    kind: str,
    beta: Number,
    label_smoothing: Number,
    margin: Number,
) -> Tensor:
    r"""Of :math:`z = \beta h - m`, h what the policy prefers the chosen answer by, more than the reference does."""
    h = (chosen - ref_chosen) - (rejected - ref_rejected)
    z = beta * h - as_number(margin, h)
    if kind == "ipo":
        return (h - 0.5 / as_number(beta, h)) ** 2
    if kind == "hinge":
        return above_zero(1 - z)
    right, wrong = -F.logsigmoid(z), -F.logsigmoid(-z)
    if kind == "robust":
        return ((1 - label_smoothing) * right - label_smoothing * wrong) / (1 - 2 * label_smoothing)
    return (1 - label_smoothing) * right + label_smoothing * wrong


@loss(
    tensors=("input", "label", "ref_log_probs", "divergence"),
    params=("beta", "desirable_weight", "undesirable_weight"),
    fixed=("label", "ref_log_probs", "divergence"),
    domains=dict.fromkeys(("beta", "desirable_weight", "undesirable_weight"), NOT_NEGATIVE),
    title="KTOLoss",
    holds={"input": "log_probability", "label": "sign", "ref_log_probs": "log_probability", "divergence": "positive"},
)
def kto_loss(
    input: Tensor,
    label: Tensor,
    ref_log_probs: Tensor | None = None,
    divergence: Tensor | None = None,
    beta: float | Tensor = 0.1,
    desirable_weight: float | Tensor = 1.0,
    undesirable_weight: float | Tensor = 1.0,
    reduction: str = "mean",
    **options: Unpack[WeightedPointOptions],
) -> Problem:
    r"""Kahneman-Tversky optimisation, of answers each of which is wanted or not (Ethayarajh et al. 2024,
    https://arxiv.org/abs/2402.01306).

    With k = max(0, divergence),

    .. math::
        \ell = w_+\, \sigma(-\beta (x - x_{ref} - k)) \quad\text{if wanted, else}\quad
        w_-\, \sigma(\beta (x - x_{ref} - k)).

    Equivalent to TRL's ``1 - sigmoid(beta * (chosen_logratios - kl))`` and ``1 - sigmoid(beta * (kl -
    rejected_logratios))``, of ``loss_type="kto"``.

    Args:
        input: Log-probabilities x of the answers by the policy, one each, any shape.
        label: Whether an answer is wanted: bool, or numbers that are positive if so.
        ref_log_probs: Those by the reference model; None: 0.
        divergence: The estimate of the divergence of the policy from the reference model, a tensor that broadcasts, say
            ``(kl_log_probs - ref_kl_log_probs).mean()``; below 0 it counts as 0, and has no gradient. None: 0.
        beta: :math:`\beta`, 0 or more; float or 0-d tensor.
        desirable_weight, undesirable_weight: :math:`w_+, w_-`, 0 or more; floats or 0-d tensors.
        reduction: ``"none"`` (a value per answer), ``"mean"`` or ``"sum"``.

    Example:
        >>> log_probs, ref = (-5 * torch.rand(8)).requires_grad_(), -5 * torch.rand(8)
        >>> fastloss.functional.kto_loss(log_probs, torch.rand(8) < 0.5, ref, torch.tensor(0.2)).backward()
    """
    if isinstance(divergence, Tensor):
        divergence = divergence.detach().clamp_min(0)
        if isinstance(input, Tensor) and divergence.numel() == 1:
            divergence = divergence.to(input.dtype).reshape(()).expand(input.shape)
    arguments = {
        "input": input, "label": label, "ref_log_probs": _nothing(ref_log_probs, input),
        "divergence": _nothing(divergence, input), "beta": beta,
        "desirable_weight": desirable_weight, "undesirable_weight": undesirable_weight,
    }  # fmt: skip
    return Problem(arguments, reduction, options)


@kto_loss.formula
def _(
    x: Tensor,
    label: Tensor,
    ref: Tensor,
    divergence: Tensor,
    beta: Number,
    desirable_weight: Number,
    undesirable_weight: Number,
) -> Tensor:
    r""":math:`w \sigma(-t)`, :math:`t = \pm \beta (x - x_{ref} - k)`."""
    gain = beta * (x - ref - divergence)
    weight = torch.where(label > 0, as_number(desirable_weight, x), as_number(undesirable_weight, x))
    t = torch.where(label > 0, gain, -gain)
    small = torch.sigmoid(torch.where(t > 0, -t, t))  # whose derivative keeps its digits
    return weight * torch.where(t > 0, small, 1 - small)


@loss(
    tensors=("chosen", "rejected"),
    params=("beta",),
    domains={"beta": NOT_NEGATIVE},
    title="ORPOLoss",
    holds={"chosen": "log_probability", "rejected": "log_probability"},
)
def orpo_loss(
    chosen: Tensor,
    rejected: Tensor,
    beta: float | Tensor = 0.1,
    reduction: str = "mean",
    **options: Unpack[WeightedPointOptions],
) -> Problem:
    r"""The odds ratio term of ORPO, to be added to the chosen answer's cross entropy (Hong et al. 2024,
    https://arxiv.org/abs/2403.07691).

    With odds(x) = :math:`e^x / (1 - e^x)`

    .. math::
        \ell = -\beta \log \sigma\left(\log \frac{\operatorname{odds}(c)}{\operatorname{odds}(r)}\right).

    Equivalent to ``-beta * F.logsigmoid((chosen - rejected) - (log1mexp(chosen) - log1mexp(rejected))).mean()``, TRL's
    ``cross_entropy - losses.mean()`` without the cross entropy.

    Args:
        chosen, rejected: Log-probabilities of the answers, averaged over their tokens, at most 0, any shape.
        beta: :math:`\beta` (:math:`\lambda` in the paper), 0 or more; float or 0-d tensor.
        reduction: ``"none"`` (a value per pair), ``"mean"`` or ``"sum"``.

    The gradient is finite where the chosen answer has probability 1, too, and keeps its digits near it.

    Example:
        >>> chosen, rejected = (-5 * torch.rand(8)).requires_grad_(), -5 * torch.rand(8)
        >>> fastloss.functional.orpo_loss(chosen, rejected).backward()
    """
    return Problem({"chosen": chosen, "rejected": rejected, "beta": beta}, reduction, options)


@orpo_loss.formula
def _(chosen: Tensor, rejected: Tensor, beta: Number) -> Tensor:
    r""":math:`\beta \log(1 + e^{r - c} (1 - e^c) / (1 - e^r))`."""
    rest, other, apart = -expm1(chosen), -expm1(rejected), rejected - chosen
    far = apart > 60
    near = torch.log1p(torch.where(far, 0.0, apart).exp() * rest / other)
    return beta * torch.where(far, apart + (torch.where(far, rest, 1.0) / other).log(), near)


@composition.loss(title="SimPOLoss", takes=WeightedPointOptions, inputs=("chosen", "rejected"))
def simpo_loss(
    chosen: Tensor,
    rejected: Tensor,
    beta: float | Tensor = 2.0,
    gamma: float | Tensor = 1.0,
    label_smoothing: float | Tensor = 0.0,
    reduction: str = "mean",
    **options: Unpack[WeightedPointOptions],
) -> Tensor:
    r"""Preference optimisation without a reference model (SimPO, Meng et al. 2024, https://arxiv.org/abs/2405.14734):
    with log-probabilities averaged over tokens

    .. math::
        \ell = -\log \sigma(\beta (c - r) - \gamma).

    Equivalent to ``-F.logsigmoid(beta * (chosen - rejected) - gamma).mean()``; that is `dpo_loss` without a reference
    and with ``margin=gamma``. TRL's ``CPOTrainer(loss_type="simpo")`` has ``simpo_gamma=0.5`` and ``beta=0.1``; these
    are the paper's.

    Args:
        chosen, rejected: Log-probabilities of the answers, averaged over their tokens, any shape.
        beta: :math:`\beta`, positive; float or 0-d tensor.
        gamma: :math:`\gamma`, by how much the chosen answer's reward should be larger; float or 0-d tensor.
        label_smoothing: In [0, 1], as in TRL; float or 0-d tensor.
        reduction: ``"none"`` (a value per pair), ``"mean"`` or ``"sum"``.

    Keyword-only options: those of `dpo_loss`.

    Returns:
        The loss: shape of ``chosen`` for ``"none"``, otherwise ``()``.

    Dtypes, gradient, memory, accuracy: those of `dpo_loss`.
    Raises: ValueError for options.

    Example:
        >>> chosen, rejected = (-5 * torch.rand(8)).requires_grad_(), -5 * torch.rand(8)
        >>> fastloss.functional.simpo_loss(chosen, rejected).backward()
    """
    made: Tensor = dpo_loss(
        chosen, rejected, None, None, "sigmoid", beta, label_smoothing, gamma, reduction=reduction, **options
    )
    return made


@simpo_loss.formula
def _(
    chosen: Tensor,
    rejected: Tensor,
    beta: Number = 2.0,
    gamma: Number = 1.0,
    label_smoothing: Number = 0.0,
    reduction: str = "mean",
    **options: Any,
) -> Tensor:
    r""":math:`-\log \sigma(\beta (c - r) - \gamma)`."""
    made: Tensor = dpo_loss.record.reference(
        chosen, rejected, None, None, "sigmoid", beta, label_smoothing, gamma, reduction=reduction, **options
    )
    return made


@composition.loss(title="GSPOLoss", takes=ComposedOptions, inputs=("input", "advantages", "old_log_probs"))
def gspo_loss(
    input: Tensor,
    advantages: Tensor,
    old_log_probs: Tensor | None = None,
    clip_low: float | Tensor = 3e-4,
    clip_high: float | Tensor = 4e-4,
    delta: float | Tensor = 0.0,
    reduction: str = "mean",
    **options: Unpack[ComposedOptions],
) -> Tensor:
    r"""Group sequence policy optimisation (Zheng et al. 2025, https://arxiv.org/abs/2507.18071).

    It is `ppo_clip_loss` of whole sequences, whose ratio is the geometric mean of their tokens',

    .. math::
        r = \exp \frac1T \sum_t (x_t - x_{old, t}).

    The paper takes 3e-4 and 4e-4 for the bounds.

    Equivalent to ``-torch.minimum(r * advantages, r.clamp(1 - clip_low, 1 + clip_high) * advantages).mean()`` with
    ``r = ((input - old_log_probs) * mask).sum(-1).div(mask.sum(-1).clamp(min=1)).exp()``: TRL's ``loss_type="grpo"``
    with ``importance_sampling_level="sequence"``.

    Args:
        input, old_log_probs: As in `ppo_clip_loss`.
        advantages: A, one for each sequence: the shape of ``input`` without its last dimension.
        clip_low, clip_high, delta: As in `ppo_clip_loss`.
        reduction: ``"none"`` (a value per sequence), ``"sum"``, or ``"mean"`` over all sequences.

    Keyword-only options:
        mask: Bool, shape of ``input``: which tokens count. A sequence without one costs nothing.
        normalizer: Replaces the mean's divisor, the number of sequences; float or 0-d tensor.
        empty: Value of a mean over no sequences: ``"nan"``, or ``"zero"``.
        loss_dtype: dtype of the loss. Default: ``input``'s; float32 under autocast.

    Returns:
        The loss: the shape of ``advantages`` for ``"none"``, otherwise ``()``.

    Raises: RuntimeError for other shapes; ValueError for options.
    Gradient: with respect to ``input``, exactly 0 where the mask is False whatever stands there; differentiable again.
    Memory: a copy of the log-probabilities, in float32 at least.
    Accuracy: half log-probabilities are subtracted and averaged in float32.

    Example:
        >>> log_probs = torch.randn(4, 7, requires_grad=True)
        >>> fastloss.functional.gspo_loss(log_probs, torch.randn(4), log_probs.detach() + 1e-4).backward()
    """
    return _of_sequences(
        ppo_clip_loss, input, advantages, old_log_probs, clip_low, clip_high, delta, reduction, options
    )


@gspo_loss.formula
def _(
    input: Tensor,
    advantages: Tensor,
    old_log_probs: Tensor | None = None,
    clip_low: Number = 3e-4,
    clip_high: Number = 4e-4,
    delta: Number = 0.0,
    reduction: str = "mean",
    **options: Any,
) -> Tensor:
    """The clipped objective of the sequences' ratios."""
    made = ppo_clip_loss.record.reference
    return _of_sequences(made, input, advantages, old_log_probs, clip_low, clip_high, delta, reduction, options)


def _of_sequences(
    tokens_loss: Any,
    input: Tensor,
    advantages: Tensor,
    old_log_probs: Tensor | None,
    clip_low: Number,
    clip_high: Number,
    delta: Number,
    reduction: str,
    options: Any,
) -> Tensor:
    name, mask = "gspo_loss", options.get("mask")
    if not input.dim() or advantages.shape != input.shape[:-1] or (mask is not None and mask.dtype != torch.bool):
        got = "no mask" if mask is None else f"mask {mask.dtype}"
        raise RuntimeError(
            f"fastloss.{name}: input has shape {tuple(input.shape)}, advantages {tuple(advantages.shape)}, {got}; "
            "expected log-probabilities of tokens, the last dimension along a sequence, one advantage per sequence, a "
            "bool mask"
        )
    dtype = torch.promote_types(input.dtype, torch.float32)
    old = input.detach() if old_log_probs is None else old_log_probs
    apart = input.to(dtype) - old.to(dtype)
    given = {what: value for what, value in options.items() if what not in ("mask", "loss_dtype")}
    if mask is None:
        ratio = apart.mean(-1)
    else:
        kept = mask.expand(input.shape)
        tokens = kept.sum(-1)
        ratio = torch.where(kept, apart, 0.0).sum(-1) / tokens.clamp_min(1)
        given["mask"] = tokens > 0
    if reduction == "mean":
        given.setdefault("empty", "nan")
        if given.get("normalizer") is None:
            given["normalizer"] = math.prod(advantages.shape) or None
    made: Tensor = tokens_loss(
        ratio, advantages, torch.zeros_like(ratio), clip_low, clip_high, delta, reduction=reduction, **given
    )
    return made.to(options.get("loss_dtype") or _loss_dtype(input))


def _loss_dtype(input: Tensor) -> torch.dtype:
    """That of a loss of tensors like this one: float32 for half ones under autocast."""
    autocasts = input.dtype.itemsize < 4 and torch.is_autocast_enabled(input.device.type)
    return torch.float32 if autocasts else input.dtype
