"""Losses over rows of logits: softmax over the classes, then something per row."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, Literal, NoReturn

import torch
import torch.nn.functional as F
from torch import Tensor

from fastloss import _ops, _options, reference
from fastloss._autograd import RowsCall, RowsOptions, makes_gradient_now, rows, savable
from fastloss._core import route
from fastloss._core._torch import base_of, forward_mode_active, native_operator, tracing_state, transforms_active
from fastloss._stats import RowStats
from fastloss.functional import _paths
from fastloss.functional._paths import (
    KERNEL_DTYPES,
    REDUCTIONS,
    TENSORS,
    TORCH_ERRORS,
    divisor_of,
    is_compiling,
    is_dynamo_compiling,
    loss_dtype_of,
    scalar,
    why_no_kernel,
    why_not_normalizer,
)

__all__ = [
    "cross_entropy",
    "softmax_focal_loss",
]

# Up to this many logits a call without extras goes to PyTorch's own operator: its C++ autograd costs about 15 us less
# than a Python autograd.Function, more than our kernel can win back. Rows of 16 classes and more, where native is
# vectorised too, break even later. Measured on 2 cores (`python -m benchmarks.harness --suite small`).
_native_operator: Any = native_operator("cross_entropy_loss")
TINY = 2560 if _native_operator else -1
_TINY_WIDE = 28  # times TINY
_contains: Any = _ops._C.contains if _ops._C is not None else None
_NO_Z_LOSS = 0.0  # the default itself, so that identity says it was not given


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
    z_loss: float | Tensor = _NO_Z_LOSS,
    softcap: float | Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: float | Tensor | None = None,
    empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None,
    inplace: bool = False,
    return_stats: bool = False,
) -> Tensor | Any:
    r"""Cross entropy between logits and class indices or class probabilities.

    For a row of logits :math:`x \in \mathbb{R}^C` with target class :math:`y`, class weights :math:`w` (ones if
    ``weight`` is None) and label smoothing :math:`\varepsilon`,

    .. math::
        \ell = (1-\varepsilon)\, w_y \,(\operatorname{lse}(z) - z_y)
             + \frac{\varepsilon}{C} \sum_c w_c\,(\operatorname{lse}(z) - z_c)
             + \lambda\, w_y \operatorname{lse}(z)^2,
        \qquad z = x \ \text{or}\ s \tanh(x/s),

    with :math:`\lambda` = ``z_loss`` and :math:`s` = ``softcap``. Probability targets :math:`t` replace the first
    two terms by :math:`\sum_c w_c t'_c (\operatorname{lse}(z) - z_c)` with
    :math:`t' = (1-\varepsilon) t + \varepsilon / C`, and :math:`w_y` in the last one by 1.

    Equivalent to ``torch.nn.functional.cross_entropy(input, target, weight, ignore_index=ignore_index,
    reduction=reduction, label_smoothing=label_smoothing)`` when no keyword-only argument is used.

    Args:
        input: Logits, shape :math:`(C)`, :math:`(N, C)` or :math:`(N, C, d_1, ..., d_K)`, any strides.
            float16, bfloat16, float32 or float64.
        target: Class indices, int64 or uint8, the shape of ``input`` without its class dimension; or probabilities,
            shape and dtype of ``input``.
        weight: Factor of each class, shape :math:`(C)`.
        size_average, reduce: Deprecated as in PyTorch; ``reduction`` says it all.
        ignore_index: Rows with this target contribute nothing; may be a real class. Index targets only.
        reduction: ``"none"``, ``"sum"``, or ``"mean"``, which divides by the sum of :math:`w_y` over the kept rows
            (index targets) or by the number of kept rows (probabilities).
        label_smoothing: :math:`\varepsilon` in [0, 1].
        z_loss: Weight of the squared log-normaliser (PaLM, Chowdhery et al. 2022).
        softcap: Caps the logits to (-softcap, softcap) (Gemma 2, 2024). None: no cap.
        mask: Bool, shape of index targets; rows where it is False are ignored.
        normalizer: Replaces the mean's divisor (tokens of a whole accumulated batch, say); float or 0-d tensor.
        empty: Value of a mean over no rows: ``"nan"`` as PyTorch, or ``"zero"``. The gradient is zero either way.
        loss_dtype: dtype of the loss. Default: ``input``'s; float32 under autocast.
        inplace: Allows the gradient to be written over the memory of ``input``, which halves peak memory. Nothing else
            may use the logits then. Backward raises if something else differentiates them, or a tensor that they are a
            view of, before or after this call. A use that is not differentiated (an accuracy computed after this call,
            say) reads the gradient without notice. So does a use of a tensor that ``input`` is only a part of, through
            anything but ``input`` itself.
        return_stats: Also return `RowStats`, measured in the same pass.

    Returns:
        The loss: shape of index targets for ``"none"``, otherwise ``()``. With ``return_stats`` the pair
        ``(loss, RowStats)``.

    Raises:
        IndexError: A class index is outside [0, C) and is not ``ignore_index``. On CUDA only under
            :func:`fastloss.debug`, as raising would mean waiting for the device: otherwise that row's loss is NaN and
            its gradient zero.
        ValueError, RuntimeError, TypeError: As PyTorch for shapes, dtypes, devices and options.

    Gradient: with respect to ``input`` and to probability targets; differentiable again (through the reference).
        Rows that are ignored get exactly zero, whatever their logits. (PyTorch gives NaN where those are NaN or
        infinite.)
    Memory: one gradient buffer, written during forward; with ``inplace`` none. ``"none"``, float16 and
        ``torch.compile`` keep two numbers per row instead and write the gradient in backward; there the logits
        must not be modified in between (autograd raises if they are).
    Accuracy: half and single precision compute in float32 with float64 sums over rows; the target's own
        probability is left out of the sum it is compared with, so p near 1 keeps its relative accuracy in the loss
        and in the target's gradient. Results do not depend on the number of threads.

    Example:
        >>> logits = torch.randn(512, 32000, requires_grad=True)
        >>> target = torch.randint(32000, (512,))
        >>> fastloss.functional.cross_entropy(logits, target).backward()
    """
    if size_average is not None or reduce is not None:
        reduction = _options.legacy_reduction(size_average, reduce, reduction, 3)
    # Inline, and what is asked first in as few steps as there are: PyTorch's own layer over its operator takes 0.3 us.
    if (
        not is_dynamo_compiling()
        and tracing_state() is None  # to which numbers of sizes would be unknown
        and mask is None
        and softcap is None
        and normalizer is None
        and loss_dtype is None
        and not return_stats
        and (z_loss is _NO_Z_LOSS or (type(z_loss) is float and z_loss == 0.0))
        and empty == "nan"
    ):
        compiling = True
        try:
            if (
                type(input) is Tensor
                and type(target) is Tensor
                and reduction in REDUCTIONS
                and (
                    (count := input.numel()) <= TINY
                    or (count <= _TINY_WIDE * TINY and input.dim() == 2 and input.shape[1] >= 16)
                )
                and not input.is_cuda
                and not route.watched
                # `_ignores`, inline where it is cheap.
                and target.dtype is torch.int64
                and target.is_cpu
                and target.is_contiguous()
                and not _contains(target.data_ptr(), target.numel(), ignore_index)
            ):
                return _native_operator(input, target, weight, REDUCTIONS[reduction], ignore_index, label_smoothing)
            compiling = is_compiling()
            tensors = isinstance(input, Tensor) and isinstance(target, Tensor)
            if tensors and not compiling and _is_tiny(input) and not _ignores(target, ignore_index):
                if route.watched:
                    route.take("cross_entropy", "native", route.WHY_NATIVE)
                return _native_cross_entropy(input, target, weight, ignore_index, reduction, label_smoothing)
        except TORCH_ERRORS:
            pass  # the general way says what is wrong, or does it differently
        if not compiling:
            loss = _plain_loss(
                "cross_entropy", (), input, target, weight, ignore_index, reduction, label_smoothing, inplace
            )
            if loss is not None:
                return loss
    return _rows_loss(
        "cross_entropy", {}, input, target, weight, ignore_index, reduction, label_smoothing, z_loss, softcap, mask,
        normalizer, empty, loss_dtype, inplace, return_stats,
    )  # fmt: skip


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
    empty: Literal["nan", "zero"] = "nan",
    loss_dtype: torch.dtype | None = None,
    inplace: bool = False,
    return_stats: bool = False,
) -> Tensor | Any:
    r"""Focal loss over classes (Lin et al. 2017): cross entropy with confident rows weighed down.

    With p the softmax of ``input``, :math:`q_y = \sum_{j \ne y} p_j` and :math:`\varepsilon` = ``label_smoothing``,

    .. math::
        \ell = (1-\varepsilon)\, w_y\, \alpha_y\, q_y^\gamma\, (-\log p_y)
             + \frac{\varepsilon}{C} \sum_c w_c\,(-\log p_c).

    Probability targets t replace it by :math:`\sum_c w_c t'_c \alpha_c (1 - p_c)^\gamma (-\log p_c)` with
    :math:`t' = (1-\varepsilon) t + \varepsilon / C`.

    Equivalent to ``cross_entropy(input, target, weight, ...)`` at ``gamma=0`` without ``alpha``. For what other
    libraries call softmax focal loss see the table in `sigmoid_focal_loss`.

    Args:
        input, target, weight, ignore_index, reduction, label_smoothing: As in `cross_entropy`. The mean divides by the
            sum of :math:`w_y`; neither ``alpha`` nor the focal factor enters the divisor.
        alpha: Factor of every row, or of each class, shape :math:`(C)`. None: 1.
        gamma: Exponent, at least 0; 0 to 4 in whole numbers need no power function. Float or 0-d tensor.
        z_loss, softcap, mask, normalizer, empty, loss_dtype, inplace, return_stats: As in `cross_entropy`.

    Returns, Raises, Memory: As `cross_entropy`.

    Gradient: finite for every ``gamma``, also below 1 and for saturated logits: no power of gamma - 1 is formed.
        Probability targets, ``alpha`` per class with smoothing or ``z_loss``, and learned hyperparameters run in plain
        PyTorch.
    Accuracy: q is summed without the target, never 1 - p, so the tail keeps its relative accuracy.

    Example:
        >>> logits = torch.randn(512, 80, requires_grad=True)
        >>> fastloss.functional.softmax_focal_loss(logits, torch.randint(80, (512,)), gamma=2.0).backward()
    """
    if (
        not is_compiling()
        and tracing_state() is None
        and mask is None
        and softcap is None
        and normalizer is None
        and loss_dtype is None
        and not return_stats
        and empty == "nan"
        and (type(z_loss) is float and z_loss == 0.0)
        and (type(gamma) is float and 0.0 <= gamma < math.inf)
        and (alpha is None or (type(alpha) is float and -math.inf < alpha < math.inf))
    ):
        params = (1.0 if alpha is None else alpha, gamma)
        loss = _plain_loss(
            "softmax_focal_loss", params, input, target, weight, ignore_index, reduction, label_smoothing, inplace
        )
        if loss is not None:
            return loss
    target = _as_indices(target)
    _options.check_domain(
        "softmax_focal_loss", gamma=gamma, **({} if alpha is None else _options.unless_per_class(alpha))
    )
    fixed = scalar(gamma)
    if isinstance(alpha, Tensor) and isinstance(input, Tensor) and input.dim() and alpha.dim():
        classes = input.shape[0 if input.dim() == 1 else 1]
        if alpha.shape != (classes,):
            raise RuntimeError(
                f"fastloss.softmax_focal_loss: alpha has shape {tuple(alpha.shape)}, expected () or ({classes},), one "
                "factor per class"
            )
    per_class = alpha if isinstance(alpha, Tensor) and alpha.dim() == 1 else None
    reason = _why_not_focal_kernel(target, alpha, gamma, label_smoothing, z_loss)
    if per_class is not None:
        _options.check_tensors("softmax_focal_loss", weight=weight, mask=mask)
    if per_class is not None and not reason and isinstance(input, Tensor) and isinstance(target, Tensor):
        reason = _why_not_kernel(input, target, weight, mask, normalizer, ignore_index, (0.0, 0.0, scalar(softcap)))
        reason = reason or why_no_kernel((per_class,))
    if reason:
        route.kernel_unless("softmax_focal_loss", reason)
        if torch.is_grad_enabled() and not is_compiling():
            input, target, weight, mask, alpha, normalizer = map(
                savable, (input, target, weight, mask, alpha, normalizer)
            )
        try:
            return reference.softmax_focal_loss(
                input, target, alpha, gamma, weight, ignore_index, reduction, label_smoothing, z_loss=z_loss,
                softcap=softcap, mask=mask, normalizer=normalizer, empty=empty, loss_dtype=loss_dtype,
                return_stats=return_stats,
            )  # fmt: skip
        except Exception as error:
            _explain_error("softmax_focal_loss", error, input, target, weight, ignore_index)
    if per_class is not None:
        # The engine's weight stands for both factors; the divisor is still the weight's own.
        if reduction == "mean" and normalizer is None:
            kept = target != ignore_index if mask is None else mask & (target != ignore_index)
            ones = torch.ones_like(per_class) if weight is None else weight
            chosen = ones[target.clamp(0, ones.numel() - 1)]
            normalizer = torch.where(kept, chosen, 0).sum(dtype=torch.float64)
        product = per_class.to(_ops.compute_dtype(input.dtype))
        alpha, weight = None, product if weight is None else product * weight
    scale = 1.0 if alpha is None else scalar(alpha)
    return _rows_loss(
        "softmax_focal_loss", {"alpha": scale, "gamma": fixed}, input, target, weight, ignore_index, reduction,  # type: ignore[dict-item]
        label_smoothing, z_loss, softcap, mask, normalizer, empty, loss_dtype, inplace, return_stats,
        combined=per_class is not None,
    )  # fmt: skip


def _why_not_focal_kernel(
    target: Tensor,
    alpha: float | Tensor | None,
    gamma: float | Tensor,
    label_smoothing: float | Tensor,
    z_loss: float | Tensor,
) -> str:
    if isinstance(target, Tensor) and target.is_floating_point():
        return "the kernel's factor is that of one class per row"
    if scalar(gamma) is None:
        return "gamma is a tensor that needs a gradient or lives on another device"
    if isinstance(alpha, Tensor) and alpha.dim() == 1:
        if alpha.requires_grad or any(isinstance(v, Tensor) or v != 0.0 for v in (label_smoothing, z_loss)):
            return "alpha per class with smoothing or z_loss, or with a gradient"
        return ""
    return "alpha is a tensor that needs a gradient" if alpha is not None and scalar(alpha) is None else ""


def _plain_loss(
    name: str,
    params: tuple[float, ...],
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    ignore_index: int,
    reduction: str,
    label_smoothing: float | Tensor,
    inplace: bool,
) -> Tensor | None:
    """The kernel's loss if it takes these arguments, as it does most; None sends them the general way, `_rows_loss`.

    In a training step Python is cold, and every object that is looked at a cache miss: the general way takes 5 us at
    256x1000, in a loop, and 100 after a step of 8192x1000 logits. So this asks what the operator cannot know, or would
    do something else for, and leaves it to refuse the rest.
    """
    if not (
        type(input) in TENSORS
        and type(target) is Tensor
        and weight is None
        and (target.is_cpu if input.is_cpu else _on_cuda(input, target))
        and input.dtype in KERNEL_DTYPES
        and target.dtype is torch.int64
        and not target.is_inference()
        and type(label_smoothing) is float
        and 0.0 <= label_smoothing <= 1.0
        and type(ignore_index) is int
        and reduction in REDUCTIONS
        and (not inplace or (not _of_leaf(input) and input.is_contiguous()))
        and _ops.AVAILABLE
        and not route.watched
        and not transforms_active()
        and not forward_mode_active()
    ):
        return None
    code = REDUCTIONS[reduction]
    call = _call(name, params, ignore_index, code, label_smoothing, input.dtype, loss_dtype_of(input), inplace)
    try:
        return rows(call, input, target)
    except TORCH_ERRORS:
        return None  # the general way says what is wrong, or does it differently


def _on_cuda(input: Tensor, target: Tensor) -> bool:
    return input.is_cuda and _ops.CUDA and target.device == input.device and not _ops.debugging()


@lru_cache(maxsize=64)
def _call(
    name: str,
    params: tuple[float, ...],
    ignore_index: int,
    reduction: int,
    smoothing: float,
    dtype: torch.dtype,
    loss_dtype: torch.dtype,
    inplace: bool,
) -> RowsCall:
    numbers = tuple({**_ops.ROWS_OPTIONS, "label_smoothing": smoothing}.values())
    options = RowsOptions(params, numbers, ignore_index, reduction, False, _ops.DTYPE_CODES[loss_dtype])
    return RowsCall(name, options, makes_gradient_now(reduction, dtype), inplace, False)


def _of_leaf(input: Tensor) -> bool:
    """Whether the memory is that of a leaf, a parameter perhaps, which must keep its numbers."""
    base = base_of(input)
    return input.is_leaf or (base is not None and base.is_leaf and base.requires_grad)


def _ignores(target: Tensor, ignore_index: int) -> bool:
    """Whether a row may be ignored. The native operator makes its gradient NaN if its logits are NaN.

    Likewise of pixels with uint8 classes, which that operator does not take.
    """
    if target.dtype is not torch.int64:
        return target.dtype is torch.uint8 and (target.dim() > 1 or ignore_index in range(256))
    if _contains is None or not target.is_cpu or not target.is_contiguous():
        return True
    return _contains(target.data_ptr(), target.numel(), ignore_index)


def _as_indices(target: Any) -> Any:
    """Class indices of uint8, which PyTorch takes too, as those that a kernel takes; anything else as it is."""
    return target.long() if isinstance(target, Tensor) and target.dtype is torch.uint8 else target


def _native_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    ignore_index: int,
    reduction: str,
    label_smoothing: float | Tensor,
) -> Tensor:
    """`torch.nn.functional.cross_entropy`, past its Python layer where no subclass asks for that."""
    if type(input) in TENSORS and type(target) in TENSORS and reduction in REDUCTIONS:
        code = REDUCTIONS[reduction]
        return _native_operator(input, target, weight, code, ignore_index, label_smoothing)
    return F.cross_entropy(
        input,
        target,
        weight,
        ignore_index=ignore_index,
        reduction=reduction,
        label_smoothing=label_smoothing,  # type: ignore[arg-type]
    )


def _rows_loss(
    name: str,
    params: dict[str, float],
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
    inplace: bool,
    return_stats: bool,
    combined: bool = False,
) -> Any:
    """Checks a call of the rows-family loss ``name`` and runs its kernel, or its reference where that is due.

    ``params`` are the functor's parameters by name, in the order of ``csrc/losses/losses.h``. A ``combined`` weight is
    ours, of the computing dtype.
    """
    for what, value in (("input", input), ("target", target)):
        if not isinstance(value, Tensor):
            raise TypeError(
                f"fastloss.{name}: {what} is {type(value).__name__}, expected a Tensor: logits as input, class indices "
                "(torch.int64) or probabilities as target"
            )
    target = _as_indices(target)
    _options.check_tensors(name, weight=weight, mask=mask)
    _options.check_numbers(name, label_smoothing=label_smoothing)
    _options.check_rows(name, z_loss, softcap)
    _options.check(name, reduction, normalizer, empty, loss_dtype)
    if torch.is_grad_enabled() and not is_compiling():
        input, target, weight, mask, normalizer = map(savable, (input, target, weight, mask, normalizer))
    if inplace and input.requires_grad and _of_leaf(input) and torch.is_grad_enabled():
        raise RuntimeError(
            f"fastloss.{name}: inplace=True would overwrite a leaf tensor that requires grad, or a view of one, with "
            "its gradient; expected logits computed by the model, remedy: inplace=False"
        )
    scalars = (scalar(label_smoothing), scalar(z_loss), scalar(softcap))
    reason = _why_not_kernel(input, target, weight, mask, normalizer, ignore_index, scalars, combined)
    if not reason and reduction not in REDUCTIONS:
        reason = "PyTorch decides this reduction"
    route.kernel_unless(name, reason)
    try:
        if reason:
            return getattr(reference, name)(
                input, target, **params, weight=weight, ignore_index=ignore_index, reduction=reduction,
                label_smoothing=label_smoothing, z_loss=z_loss, softcap=softcap, mask=mask, normalizer=normalizer,
                empty=empty, loss_dtype=loss_dtype, return_stats=return_stats,
            )  # fmt: skip
        dtype, soft = loss_dtype or _dtype_of_loss(input, target, weight), target.is_floating_point()
        divisor = None if normalizer is None else divisor_of(normalizer, input.device)
        given = zip(("label_smoothing", "z_loss", "softcap"), (float(value or 0.0) for value in scalars), strict=True)
        options = RowsOptions(
            tuple(params.values()), tuple({**_ops.ROWS_OPTIONS, **dict(given)}.values()), ignore_index,
            REDUCTIONS[reduction], empty == "zero", _ops.DTYPE_CODES[dtype],
        )  # fmt: skip
        if input.is_cuda and _ops.debugging() and not soft:
            bad = _bad_target(target, input.shape[0 if input.dim() == 1 else 1], ignore_index, mask)
            if bad:
                raise IndexError(f"fastloss.{name}: {bad}")
        if soft and target.dtype != input.dtype and _paths.takes_one_dtype(input):
            wide, inplace = _ops.compute_dtype(input.dtype), False
            input, target = input.to(wide), target.to(wide)
        overwrite = inplace and not is_compiling() and not _repeats_memory(input)
        now = makes_gradient_now(options.reduction, input.dtype) and not target.requires_grad
        call = RowsCall(name, options, now, overwrite, return_stats)
        result = rows(call, input, target, weight, mask, divisor)
    except Exception as error:
        _explain_error(name, error, input, target, None if combined else weight, ignore_index)
    return (result[0], RowStats.from_vector(result[1])) if return_stats else result


def _dtype_of_loss(input: Tensor, target: Tensor, weight: Tensor | None) -> torch.dtype:
    dtype = loss_dtype_of(input)
    if target.is_floating_point():
        for t in (target,) if weight is None else (target, weight):
            dtype = torch.promote_types(dtype, t.dtype)
    return _paths.cast(dtype, _ops.autocasts(input.device.type))


def _repeats_memory(tensor: Tensor) -> bool:
    """Whether several elements are one in memory (expanded tensors), so that each cannot have a gradient there."""
    return any(stride == 0 and size > 1 for stride, size in zip(tensor.stride(), tensor.shape, strict=True))


def _why_not_kernel(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    mask: Tensor | None,
    normalizer: float | Tensor | None,
    ignore_index: int,
    scalars: tuple[float | None, ...],
    combined: bool = False,
) -> str:
    """Why the kernel does not take this call; empty when it does."""
    reason = why_no_kernel((input, target, *(t for t in (weight, mask) if t is not None)))
    if reason:
        return reason
    if input.dtype not in KERNEL_DTYPES:
        return f"{input.dtype} has no kernel"
    dim = input.dim()
    if dim == 0 or input.numel() == 0:
        return "PyTorch decides empty arguments"
    shape, classes = input.shape, input.shape[0 if dim == 1 else 1]
    rows_shape = shape[:1] + shape[2:] if dim > 1 else shape[:0]
    soft = target.is_floating_point()
    if soft:
        if target.shape != shape or ignore_index >= 0:
            return "PyTorch decides this combination of probability targets"
        kinds = {target.dtype} if weight is None else {target.dtype, weight.dtype}
        if not kinds <= KERNEL_DTYPES or (torch.float64 in kinds and input.dtype != torch.float64):
            return "probabilities or weights that are wider than the logits and float32, or of other dtypes"
    elif target.dtype != torch.int64 or target.shape != rows_shape:
        return "PyTorch decides this target's shape and dtype"
    if weight is not None and (
        weight.dim() != 1
        or weight.shape[0] != classes
        or weight.requires_grad
        or (weight.dtype != input.dtype and not combined and not soft and not _ops.autocasts(input.device.type))
    ):
        return "PyTorch decides this weight's shape, dtype or gradient"
    if mask is not None and (mask.dtype != torch.bool or mask.shape != rows_shape):
        return "the reference checks this mask"
    reason = why_not_normalizer(normalizer, input.device)
    if reason:
        return reason
    if None in scalars:
        return "a hyperparameter is a tensor that needs a gradient or lives on another device, or no number"
    if not isinstance(ignore_index, int):
        return "PyTorch decides this ignore_index"
    if not 0.0 <= scalars[0] <= 1.0:  # type: ignore[operator]
        return "PyTorch decides this label_smoothing"
    return ""


def _is_tiny(input: Tensor) -> bool:
    if input.is_cuda:  # a bad target kills the context there, and where the kernels overtake is not yet measured
        return False
    count = input.numel()
    return count <= TINY or (count <= _TINY_WIDE * TINY and input.dim() == 2 and input.shape[1] >= 16)


def _diagnose(input: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int) -> str:
    """What is wrong with the arguments, with expected, got and remedy; empty when nothing stands out."""
    shape, given = tuple(input.shape), tuple(target.shape)
    if not shape:
        return "input is 0-dimensional, expected (C), (N, C) or (N, C, d1, ...)"
    classes = shape[0] if len(shape) == 1 else shape[1]
    rows_shape = shape[:1] + shape[2:] if len(shape) > 1 else ()
    if target.device != input.device:
        return f"target is on {target.device}, expected {input.device} like input; move it with .to(input.device)"
    if target.is_floating_point():
        if target.shape != input.shape:
            return (
                f"target holds probabilities ({target.dtype}) of shape {given}, expected {shape} like "
                f"input; for class indices pass int64 of shape {rows_shape}"
            )
        if ignore_index >= 0:
            return f"ignore_index={ignore_index} needs class-index targets, got probabilities; use mask= instead"
    else:
        if given != rows_shape:
            remedy = "reshape one of them"
            if given[:1] + given[2:] == rows_shape and given[1:2] == (1,):
                remedy = "remove the dimension of size 1 with target.squeeze(1)"
            elif len(shape) > 2 and given == shape[:-1]:
                last = "transpose(1, 2)" if len(shape) == 3 else "movedim(-1, 1)"
                remedy = (
                    "if the classes are the last dimension, pass input.flatten(0, -2) and target.flatten(), or "
                    f"input.{last}"
                )
            return (
                f"target has shape {given}, expected {rows_shape}: input {shape} without its class dimension; {remedy}"
            )
        if target.dtype != torch.int64:
            return f"target has dtype {target.dtype}, expected torch.int64; convert it with .long()"
    if weight is not None and (weight.dim() != 1 or weight.shape[0] != classes):
        return f"weight has shape {tuple(weight.shape)}, expected ({classes},): one factor per class"
    if weight is not None and weight.dtype != input.dtype:
        return f"weight has dtype {weight.dtype}, expected {input.dtype} like input"
    if classes and not target.is_floating_point() and target.device.type == "cpu":
        return _bad_target(target, classes, ignore_index)
    return ""


def _bad_target(target: Tensor, classes: int, ignore_index: int, mask: Tensor | None = None) -> str:
    """The first class index out of range, with row, value and remedy; empty if there is none. Waits for a device."""
    flat = target.reshape(-1)
    bad = ((flat < 0) | (flat >= classes)) & (flat != ignore_index)
    if mask is not None:
        bad &= mask.reshape(-1)
    if not bad.any():
        return ""
    row = int(bad.nonzero()[0])
    return (
        f"target {int(flat[row])} at row {row} is {_ops.OUT_OF_BOUNDS}, expected [0, {classes}) or "
        f"ignore_index={ignore_index}; map it to a class or set ignore_index"
    )


def _explain_error(
    name: str, error: Exception, input: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int
) -> NoReturn:
    """Raises ``error`` again, as its own type, with a diagnosis; a bad target always as IndexError."""
    if type(error) not in TORCH_ERRORS or _ops.names_its_loss(error):
        raise error
    tensors = isinstance(input, Tensor) and isinstance(target, Tensor)
    of_smoothing = "label_smoothing" in str(error)  # which PyTorch looks at first
    diagnosis = (_diagnose(input, target, weight, ignore_index) if tensors and not of_smoothing else "") or str(error)
    kind = IndexError if _ops.OUT_OF_BOUNDS in diagnosis else type(error)
    raise kind(f"fastloss.{name}: {diagnosis}") from error
