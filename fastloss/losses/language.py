"""What language models and their training by reinforcement take from logits, with the classes in the last dimension."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from fastloss._core._torch import F
from fastloss._core.row_formula import logsumexp
from fastloss._core.stats import TokenLogprobs
from fastloss.engines import flex
from fastloss.engines.composition import loss
from fastloss.engines.flex import Row
from fastloss.engines.outputs import Posed, outputs
from fastloss.losses.classification import cross_entropy

__all__ = ["causal_lm_loss", "flex_cross_entropy", "perplexity", "token_logprobs"]


@outputs()
def token_logprobs(
    input: Tensor,
    target: Tensor | None,
    *,
    temperature: float | Tensor = 1.0,
    return_entropy: bool = False,
    return_lse: bool = False,
    return_hits: bool = False,
    softcap: float | Tensor | None = None,
    ignore_index: int = -100,
    mask: Tensor | None = None,
    inplace: bool = False,
    loss_dtype: torch.dtype | None = None,
    group: Any = None,
) -> Any:
    r"""Log-probability of each row's target, and on request the row's entropy and log-normaliser, in one read:

    .. math::
        \log p_y = z_y - \operatorname{lse}(z), \qquad
        H = -\sum_c p_c \log p_c, \qquad
        \operatorname{lse}(z) = \log\sum_c e^{z_c}, \qquad
        z = x / \tau \ \text{or}\ s \tanh(x/s) / \tau,

    with :math:`\tau` = ``temperature`` and :math:`s` = ``softcap``.

    Equivalent to ``input.log_softmax(-1).gather(-1, target.unsqueeze(-1)).squeeze(-1)``, and to
    ``torch.distributions.Categorical(logits=input).entropy()``.

    Args:
        input: Logits, shape :math:`(*, C)`, any strides. float16, bfloat16, float32 or float64.
        target: Class indices, shape :math:`(*)`, or :math:`(*, k)` for k targets of each row. None: no
            log-probability, only what is asked for otherwise.
        temperature: Divides the logits, after the cap.
        return_entropy, return_lse: Whether to return `TokenLogprobs` with H, or with lse; what was not asked for is
            None.
        return_hits: Whether to return `TokenHits`, which says of each target whether its logit is the largest. The
            logits are read once more for that.
        softcap: Caps the logits to (-softcap, softcap). None: no cap.
        ignore_index: Targets with this index give 0. A row without other targets gives 0 in every output.
        mask: Bool, shape :math:`(*)`; rows where it is False give 0 in every output.
        inplace: Allows backward to write the gradient over the memory of ``input``. Nothing else may use the logits
            then.
        loss_dtype: dtype of the outputs. Default: ``input``'s; float32 under autocast.
        group: Processes on which the classes of each row lie, in the order of ranks. ``input`` has the logits of the
            classes here, ``target`` classes of all, one a row. A DTensor needs no ``group``: as in `cross_entropy`.

    Returns:
        The log-probabilities, of the shape of ``target``; with a flag the named tuple
        ``TokenLogprobs(logprob, entropy, lse)``, the last two of shape :math:`(*)`, or
        ``TokenHits(logprob, entropy, lse, hit)``.

    Raises:
        IndexError: A class index is outside [0, C) and is not ``ignore_index``. On CUDA only under
            :func:`fastloss.debug`; otherwise that row's outputs are NaN and its gradient zero.
        ValueError, RuntimeError, TypeError: For hyperparameters, shapes and dtypes.

    Gradient: with respect to ``input``, through every output at once: one read of the logits and one write. Zero in
        rows that give 0, whatever their logits. Differentiable again (through the reference).
    Memory: three numbers per row at most are kept; one gradient buffer, with ``inplace`` none.
    Accuracy: near p = 1 log-probability, entropy and the gradient at the target keep their relative accuracy.

    Example:
        >>> logits = torch.randn(4, 16, 1000, requires_grad=True)
        >>> tokens = torch.randint(1000, (4, 16))
        >>> row = fastloss.functional.token_logprobs(logits, tokens, return_entropy=True)
        >>> (-row.logprob - 0.01 * row.entropy).mean().backward()
        >>> fastloss.functional.token_logprobs(logits, tokens).backward(torch.ones(4, 16))
    """
    flags = bool(return_entropy), bool(return_lse)
    return Posed(
        input, target, ignore_index, mask, temperature, softcap, flags, -1, loss_dtype, inplace, group, return_hits
    )


@token_logprobs.formula
def _(z: Tensor, target: Tensor | None, return_entropy: bool, return_lse: bool) -> TokenLogprobs:
    r""":math:`z_y - \operatorname{lse}`, :math:`-\sum p \log p` and lse."""
    log_p = F.log_softmax(z, -1)
    p_log_p = log_p.exp() * torch.where(log_p == -torch.inf, 0.0, log_p)  # 0 log 0 is 0
    return TokenLogprobs(
        None if target is None else log_p.gather(-1, target),
        -p_log_p.sum(-1) if return_entropy else None,
        logsumexp(z, -1) if return_lse else None,
    )


@flex.loss(of=token_logprobs)
def flex_cross_entropy(
    input: Tensor,
    target: Tensor,
    row_loss: Callable[[Row], Tensor],
    *,
    temperature: float | Tensor = 1.0,
    softcap: float | Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    mask: Tensor | None = None,
    normalizer: float | Tensor | None = None,
    empty: str = "nan",
    loss_dtype: torch.dtype | None = None,
) -> Any:
    r"""Any formula of a row on one softmax, in plain PyTorch and without compilation:

    .. math::
        \ell = f(\log p_y, \operatorname{lse}, H, \dots).

    ``row_loss`` is called with vectors of a block of rows and returns the loss of each row. Its derivatives in those
    vectors become the gradient of the logits, in one pass: cross entropy, z-loss, focal factor, entropy bonus and a
    policy-gradient factor cost about what cross entropy costs. At ``lambda row: -row.logprob`` it is `cross_entropy`.

    Equivalent to ``row_loss`` of ``token_logprobs(input, target, return_entropy=True, return_lse=True)``, averaged over
    the kept rows.

    Args:
        input: Logits, shape :math:`(C)`, :math:`(N, C)` or :math:`(N, C, d_1, ..., d_K)`, any strides, as in
            `cross_entropy`. float16, bfloat16, float32 or float64.
        target: Class indices, the shape of ``input`` without its class dimension.
        row_loss: Of a `fastloss.engines.flex.Row`: ``row.logprob``, ``row.prob``, ``row.others`` (1 - p, without
            cancellation), ``row.lse``, ``row.entropy``, ``row.target`` and ``row.index``, the position among all rows,
            each a vector in the computing dtype. It may use any tensors, indexed by ``row.target`` or ``row.index``;
            their gradients are made too. The loss of a row may depend on that row alone. It is called several times,
            also in backward, so it must not draw random numbers.
        temperature: Divides the logits, after the cap.
        softcap: Caps the logits to (-softcap, softcap). None: no cap.
        ignore_index: Rows with this target contribute nothing.
        reduction: ``"none"``, ``"sum"``, or ``"mean"``, which divides by the number of kept rows.
        mask: Bool, shape of ``target``; rows where it is False are ignored.
        normalizer: Replaces the mean's divisor; float or 0-d tensor.
        empty: Value of a mean over no rows: ``"nan"``, or ``"zero"``.
        loss_dtype: dtype of the loss. Default: ``input``'s; float32 under autocast.

    Returns:
        The loss: shape of ``target`` for ``"none"``, otherwise ``()``.

    Raises:
        IndexError: As `token_logprobs`.
        ValueError, RuntimeError, TypeError: For hyperparameters, shapes and dtypes, and for a ``row_loss`` that returns
            something else than a loss for each row.

    Gradient: with respect to ``input`` and to tensors that ``row_loss`` uses; differentiable again (through the
        reference).
    Memory: one gradient buffer. On the CPU logits are read and their gradient is written once, block by block; logits
        of one block (24 MiB), ``"none"``, float16, `torch.compile` and CUDA read them again in backward.
    Accuracy: that of `token_logprobs`.

    Example:
        >>> logits, target = torch.randn(512, 32000, requires_grad=True), torch.randint(32000, (512,))
        >>> weight = torch.rand(512)
        >>> focal = lambda row: -weight[row.index] * row.others.square() * row.logprob
        >>> row_loss = lambda row: focal(row) + 1e-4 * row.lse.square() - 0.01 * row.entropy
        >>> fastloss.functional.flex_cross_entropy(logits, target, row_loss).backward()
    """
    rows = Posed(input, target, ignore_index, mask, temperature, softcap, loss_dtype=loss_dtype)
    return flex.Flexible(rows, row_loss, reduction, normalizer, empty)


def _classes_second(logits: Tensor) -> Tensor:
    return logits.movedim(-1, 1) if logits.dim() > 2 else logits


def _dtype_of_mean(input: Tensor) -> torch.dtype:
    return torch.promote_types(input.dtype, torch.float32)


@loss(room="language", inputs=("input", "target", "mask"))
def perplexity(
    input: Tensor,
    target: Tensor,
    *,
    ignore_index: int = -100,
    temperature: float | Tensor = 1.0,
    softcap: float | Tensor | None = None,
    mask: Tensor | None = None,
    loss_dtype: torch.dtype | None = None,
) -> Tensor:
    r"""Perplexity of a language model, with the classes in the last dimension:

    .. math::
        \exp\Bigl(\frac1n \sum_i -\log p_{y_i}\Bigr).

    Equivalent to ``F.cross_entropy(input.flatten(0, -2), target.flatten()).exp()``.

    Args:
        input: Logits, shape :math:`(*, C)`, any strides.
        target: Class indices, shape :math:`(*)`.
        ignore_index: Rows with this target contribute nothing.
        temperature: Divides the logits, after the cap.
        softcap: Caps the logits to (-softcap, softcap). None: no cap.
        mask: Bool, shape :math:`(*)`; rows where it is False contribute nothing.
        loss_dtype: dtype of the result. Default: ``input``'s, float32 for half precision, whose range ends early.

    Returns:
        The perplexity, shape ``()``; NaN of no rows.

    Raises: As `cross_entropy`.
    Gradient, memory, accuracy: those of `cross_entropy`, whose kernel it calls.

    Example:
        >>> logits = torch.randn(4, 16, 1000, requires_grad=True)
        >>> fastloss.functional.perplexity(logits, torch.randint(1000, (4, 16))).backward()
    """
    mean = cross_entropy(
        _classes_second(input), target, ignore_index=ignore_index, temperature=temperature, softcap=softcap, mask=mask,
        loss_dtype=loss_dtype or _dtype_of_mean(input),
    )  # fmt: skip
    return mean.exp()


@perplexity.formula
def _(
    input: Tensor,
    target: Tensor,
    *,
    ignore_index: int = -100,
    temperature: float | Tensor = 1.0,
    softcap: float | Tensor | None = None,
    mask: Tensor | None = None,
    loss_dtype: torch.dtype | None = None,
) -> Tensor:
    r""":math:`\exp` of the mean of :math:`-\log p_y`."""
    mean = cross_entropy.record.reference(
        _classes_second(input), target, ignore_index=ignore_index, temperature=temperature, softcap=softcap, mask=mask,
        loss_dtype=loss_dtype or _dtype_of_mean(input),
    )  # fmt: skip
    return mean.exp()


def _shifted(labels: Tensor, shift_labels: Tensor | None, ignore_index: int) -> Tensor:
    """The label of each position's next token. Labels move, not logits: those would be copied."""
    return F.pad(labels, (0, 1), value=ignore_index)[..., 1:].contiguous() if shift_labels is None else shift_labels


@loss(title="CausalLMLoss", room="language", inputs=("logits", "labels", "num_items_in_batch", "shift_labels"))
def causal_lm_loss(
    logits: Tensor,
    labels: Tensor,
    num_items_in_batch: float | Tensor | None = None,
    ignore_index: int = -100,
    shift_labels: Tensor | None = None,
    *,
    label_smoothing: float | Tensor = 0.0,
    z_loss: float | Tensor = 0.0,
    softcap: float | Tensor | None = None,
    temperature: float | Tensor = 1.0,
    inplace: bool = False,
    loss_dtype: torch.dtype | None = None,
) -> Tensor:
    r"""Cross entropy of each token given those before it, as Hugging Face transformers' ``ForCausalLMLoss``:

    .. math::
        \frac1n \sum_t -\log p_t(y_{t+1}).

    Equivalent to ``F.cross_entropy(logits[..., :-1, :].float().flatten(0, -2), labels[..., 1:].flatten())``. The labels
    are shifted, not the logits, of which nothing is copied.

    Args:
        logits: Shape :math:`(*, T, C)`, any strides.
        labels: Class indices, shape :math:`(*, T)`, not shifted.
        num_items_in_batch: :math:`n`, of a whole accumulated batch, say. None: the number of labels that count.
        ignore_index: Labels with this index contribute nothing, nor does the last position.
        shift_labels: Labels that are shifted already, instead of ``labels``.
        label_smoothing, z_loss, softcap, temperature, inplace: As in `cross_entropy`.
        loss_dtype: dtype of the loss. Default: ``logits``'s, float32 for half precision.

    Returns:
        The loss, shape ``()``.

    Raises: As `cross_entropy`.
    Gradient, memory, accuracy: those of `cross_entropy`, whose kernel it calls.

    Example:
        >>> logits = torch.randn(4, 16, 1000, requires_grad=True)
        >>> fastloss.functional.causal_lm_loss(logits, torch.randint(1000, (4, 16))).backward()
    """
    return cross_entropy(
        _classes_second(logits), _shifted(labels, shift_labels, ignore_index), ignore_index=ignore_index,
        label_smoothing=label_smoothing, z_loss=z_loss, softcap=softcap, temperature=temperature, inplace=inplace,
        normalizer=num_items_in_batch, loss_dtype=loss_dtype or _dtype_of_mean(logits),
    )  # fmt: skip


@causal_lm_loss.formula
def _(
    logits: Tensor,
    labels: Tensor,
    num_items_in_batch: float | Tensor | None = None,
    ignore_index: int = -100,
    shift_labels: Tensor | None = None,
    *,
    inplace: bool = False,
    loss_dtype: torch.dtype | None = None,
    **options: Any,
) -> Tensor:
    r"""The mean of :math:`-\log p_t(y_{t+1})`."""
    return cross_entropy.record.reference(
        _classes_second(logits), _shifted(labels, shift_labels, ignore_index), ignore_index=ignore_index,
        normalizer=num_items_in_batch, loss_dtype=loss_dtype or _dtype_of_mean(logits), **options,
    )  # fmt: skip
