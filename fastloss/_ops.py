"""Loads the compiled extension and tells PyTorch what its operators return (fake kernels for tracing)."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor

REDUCTION_NAMES = ("none", "mean", "sum")
REDUCTIONS = {name: code for code, name in enumerate(REDUCTION_NAMES)}

_C: ModuleType | None = None
_reason = ""


def _why_absent(error: ImportError) -> str:
    if not isinstance(error, ModuleNotFoundError) or error.name != "fastloss._C":
        return f"the compiled extension did not load: {error}"
    folder = Path(__file__).parent
    others = ", ".join(sorted(path.name for path in folder.glob("_C.*.so")))
    return f"the compiled extension is not built in {folder}" + (f" for this Python, only {others}" if others else "")


try:
    import fastloss._C as _C  # not "from fastloss import", whose error blames a circular import
except ImportError as error:
    _reason = _why_absent(error)
    warnings.warn(
        f"fastloss: {_reason}. Every loss still works, in plain PyTorch. Remedy: in the checkout "
        "`pip install --no-build-isolation -e .`; or, where fastloss is installed, start Python outside the checkout.",
        RuntimeWarning,
        stacklevel=3,
    )

AVAILABLE: bool = _C is not None


def extension() -> ModuleType:
    """The compiled module, or a RuntimeError that says why there is none."""
    if _C is None:
        raise RuntimeError(f"fastloss: {_reason}")
    return _C


def missing_reason() -> str:
    """Why the extension is absent; empty when it is there."""
    return _reason


def _load_cuda() -> str:
    """Loads the CUDA kernels, a library of their own that needs a CUDA torch; says why it could not."""
    if _C is None:
        return _reason
    if torch.version.cuda is None:
        return "torch is a CPU build"
    library = Path(__file__).with_name("_C_cuda.so")
    if not library.exists():
        return (
            "fastloss was built without them; remedy: build it again with FASTLOSS_CUDA=1, which says what is missing"
        )
    try:
        torch.ops.load_library(str(library))
    except OSError as error:
        return f"{library.name} did not load: {error}"
    return ""


_cuda_reason = _load_cuda()
CUDA: bool = not _cuda_reason


def missing_cuda_reason() -> str:
    """Why there are no CUDA kernels; empty when there are."""
    return _cuda_reason


# Whether the values of CUDA tensors are checked, which waits for the device.
_debug = False


def debug(enabled: bool = True) -> None:
    """Checks the class indices of CUDA tensors, and elements outside a loss's domain, which waits for the device.

    On the CPU they are always checked. On CUDA a kernel cannot raise without a synchronisation, so a class index out
    of range makes its row's loss NaN and its gradient zero, and so does an element outside the domain of a pointwise
    loss (a probability above 1, a negative variance). With ``debug(True)`` such a call raises instead.

    Args:
        enabled: Whether to check from now on, in the whole process.

    Raises:
        IndexError: Not here but from a later call, naming row and value; for an element outside a domain what PyTorch
            raises on the CPU.

    Example:
        >>> fastloss.debug(True)
        >>> fastloss.debug(False)
    """
    global _debug
    _debug = enabled


def debugging() -> bool:
    return _debug


def compute_dtype(dtype: torch.dtype) -> torch.dtype:
    """float64 computes in float64, everything else in float32."""
    return torch.float64 if dtype == torch.float64 else torch.float32


# Asked here, not in a call: torch.compile of torch 2.10 and 2.11 cannot trace the question.
_WITHOUT_AUTOCAST = frozenset(
    device for device in ("meta", "lazy", "vulkan", "ve", "fpga") if not torch.amp.is_autocast_available(device)
)


def autocasts(device: str) -> bool:
    """Whether autocast is on for a type of device; there are some that know no autocast."""
    return device not in _WITHOUT_AUTOCAST and torch.is_autocast_enabled(device)


# An operator's error is a RuntimeError whatever it is about, so what it is about is told by its text.
OUT_OF_BOUNDS = "out of bounds"  # a class index: csrc/ops/rows.cpp, and PyTorch's own operator
OUTSIDE_DOMAIN = "outside the domain"  # an element: csrc/ops/pointwise.cpp


def names_its_loss(error: Exception) -> bool:
    """Whether an error is from our Python, with loss, argument, expected and got; C++ does not know the loss."""
    return str(error).startswith("fastloss.")


# Dtypes travel to the operators as these numbers (ScalarType's own, stable in PyTorch's ABI).
DTYPE_CODES: dict[torch.dtype, int] = {torch.float16: 5, torch.float32: 6, torch.float64: 7, torch.bfloat16: 15}
DTYPE_OF_CODE = {code: dtype for dtype, code in DTYPE_CODES.items()}
STATS = 7  # entries of the statistics vector: RowStats without its container
POINT_STATS = 2  # of a pointwise loss: sum of the values, sum of the squared gradient


def _rows_shape(input: Tensor) -> list[int]:
    return [*input.shape[:1], *input.shape[2:]] if input.dim() > 1 else []


class RowsOps(NamedTuple):
    """The operators of one rows-family loss (looked up once: `torch.ops` attributes cost a microsecond each)."""

    forward: Callable[..., Any]
    forward_out: Callable[..., Any]
    backward: Callable[..., Any]
    backward_out: Callable[..., Any]
    rescale_: Callable[..., Any] | None  # CUDA only


def _register_rows_fakes(name: str) -> None:
    """Shapes and dtypes of one rows-family loss, for FakeTensor, meta tensors and torch.compile."""

    def forward(  # type: ignore[no-untyped-def]
        input, target, weight, mask, normalizer, params, options, ignore_index, reduction, empty_zero, loss_dtype,
        save_state, want_stats,
    ):  # fmt: skip
        rows = _rows_shape(input)
        loss = input.new_empty(rows if reduction == 0 else [], dtype=DTYPE_OF_CODE[loss_dtype])
        planes = 3 if target.is_floating_point() else 2
        state = input.new_empty([planes, *rows] if save_state else [0], dtype=compute_dtype(input.dtype))
        return loss, state, input.new_empty([STATS if want_stats else 0], dtype=torch.float64)

    def forward_out(  # type: ignore[no-untyped-def]
        input, target, weight, mask, normalizer, params, options, ignore_index, reduction, empty_zero, loss_dtype,
        want_stats, gradient,
    ):  # fmt: skip
        loss = input.new_empty([], dtype=DTYPE_OF_CODE[loss_dtype])
        return loss, input.new_empty([STATS if want_stats else 0], dtype=torch.float64)

    def backward(  # type: ignore[no-untyped-def]
        grad_output, input, target, weight, mask, normalizer, state, params, options, ignore_index, reduction,
        want_grad, want_target_grad,
    ):  # fmt: skip
        grad = torch.empty_like(input) if want_grad else input.new_empty([0])
        target_grad = torch.empty_like(target) if want_target_grad else input.new_empty([0])
        return grad, target_grad

    def backward_out(*args: Any, **kwargs: Any) -> None:
        return None

    torch.library.register_fake(f"fastloss::{name}", forward)
    torch.library.register_fake(f"fastloss::{name}_out", forward_out)
    torch.library.register_fake(f"fastloss::{name}_backward", backward)
    torch.library.register_fake(f"fastloss::{name}_backward_out", backward_out)
    if CUDA:
        torch.library.register_fake(f"fastloss::{name}_rescale_", backward_out)


def _rows_ops(name: str) -> RowsOps:
    def find(suffix: str) -> Callable[..., Any]:
        return getattr(torch.ops.fastloss, name + suffix).default

    rescale_ = find("_rescale_") if CUDA else None
    return RowsOps(find(""), find("_out"), find("_backward"), find("_backward_out"), rescale_)


class PointwiseOps(NamedTuple):
    """The operators of one loss of the pointwise family, or of the pairs family, which has the same ones."""

    forward: Callable[..., Any]
    forward_out: Callable[..., Any]
    backward: Callable[..., Any]
    backward_out: Callable[..., Any]
    rescale_: Callable[..., Any] | None  # CUDA only


def _register_pointwise_fakes(name: str, pairs: bool) -> None:
    def forward(  # type: ignore[no-untyped-def]
        input, target, third, weight, mask, divisor, params, reduction, empty_zero, loss_dtype, want_stats, *gradients
    ):
        dtype = DTYPE_OF_CODE[loss_dtype]
        if reduction != 0:
            loss = input.new_empty([], dtype=dtype)
        else:
            loss = input.new_empty(input.shape[:-1], dtype=dtype) if pairs else torch.empty_like(input, dtype=dtype)
        return loss, input.new_empty([POINT_STATS if want_stats else 0], dtype=torch.float64)

    def backward(  # type: ignore[no-untyped-def]
        grad_output, input, target, third, weight, mask, divisor, params, reduction, want_input, want_target, want_third
    ):
        wanted = ((input, want_input), (target, want_target), (third, want_third))
        return tuple(torch.empty_like(t) if want else input.new_empty([0]) for t, want in wanted)

    torch.library.register_fake(f"fastloss::{name}", forward)
    torch.library.register_fake(f"fastloss::{name}_out", forward)
    torch.library.register_fake(f"fastloss::{name}_backward", backward)
    torch.library.register_fake(f"fastloss::{name}_backward_out", lambda *args: None)
    if CUDA:
        torch.library.register_fake(f"fastloss::{name}_rescale_", lambda *args: None)


def _pointwise_ops(name: str) -> PointwiseOps:
    def find(suffix: str) -> Callable[..., Any]:
        return getattr(torch.ops.fastloss, name + suffix).default

    rescale_ = find("_rescale_") if CUDA else None
    return PointwiseOps(find(""), find("_out"), find("_backward"), find("_backward_out"), rescale_)


class SimilarityOps(NamedTuple):
    """The operators of the similarity family, which all its losses share, and the numbers they know the losses by."""

    losses: dict[str, int]
    whole: Callable[..., Any]
    normalize: Callable[..., Any]
    statistics_: Callable[..., Any]
    anchors: Callable[..., Any]
    gradient_: Callable[..., Any]
    positives_: Callable[..., Any]  # CPU only
    mirror_: Callable[..., Any]  # CPU only
    triplets_: Callable[..., Any]
    few_triplets_: Callable[..., Any]  # CPU only
    finish: Callable[..., Any]


def _similarity_ops(losses: list[tuple[str, str]]) -> SimilarityOps:
    names = (
        "whole", "normalize", "statistics_", "anchors", "gradient_", "positives_", "mirror_", "triplets_",
        "few_triplets_", "finish",
    )  # fmt: skip
    found = (getattr(torch.ops.fastloss, f"similarity_{name}").default for name in names)
    return SimilarityOps({name: k for k, (name, _) in enumerate(losses)}, *found)


# Losses of the pointwise and of the pairs family in this build, by operator name.
POINTWISE: dict[str, PointwiseOps] = {}

# Rows-family losses of this build: their operators, and the names of their parameters.
ROWS: dict[str, RowsOps] = {}
ROWS_PARAMS: dict[str, tuple[str, ...]] = {}
# Numbers that all of them take, in the operators' order, with the values that change nothing.
ROWS_OPTIONS: dict[str, float] = {} if _C is None else dict(_C.rows_options())
if _C is not None:
    for _name, _params in _C.rows_losses():
        _register_rows_fakes(_name)
        ROWS[_name] = _rows_ops(_name)
        ROWS_PARAMS[_name] = tuple(filter(None, _params.split(",")))
    for _name, _ in _C.pointwise_losses():
        _register_pointwise_fakes(_name, pairs=False)
        POINTWISE[_name] = _pointwise_ops(_name)
    for _name, _ in _C.pairs_losses():
        _register_pointwise_fakes(_name, pairs=True)
        POINTWISE[_name] = _pointwise_ops(_name)
    SIMILARITY = _similarity_ops(_C.similarity_losses())
    torch.library.register_fake("fastloss::scale_", lambda grad, scale: None)
    scale_ = torch.ops.fastloss.scale_.default
