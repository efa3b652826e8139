"""Loads the compiled extension and tells PyTorch what its operators return (fake kernels for tracing)."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fastloss._version import __version__

REDUCTION_NAMES = ("none", "mean", "sum")
REDUCTIONS = {name: code for code, name in enumerate(REDUCTION_NAMES)}

_PACKAGE = Path(__file__).parents[1]  # where the build puts its libraries
CUDA_LIBRARY = _PACKAGE / "_C_cuda.so"  # or that of the package fastloss-cuda
_C: ModuleType | None = None
_reason = ""


def _without_kernels() -> bool:
    """Whether this is the package for any platform, as it is meant to be."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        installed = distribution("fastloss")
    except PackageNotFoundError:
        return False
    here = Path(str(installed.locate_file("fastloss"))) == _PACKAGE
    return here and "Root-Is-Purelib: true" in (installed.read_text("WHEEL") or "")


def _why_absent(error: ImportError) -> str:
    if not isinstance(error, ModuleNotFoundError) or error.name != "fastloss._C":
        return f"the compiled extension did not load: {error}"
    folder = _PACKAGE
    others = ", ".join(sorted(path.name for path in folder.glob("_C.*.so")))
    return f"the compiled extension is not built in {folder}" + (f" for this Python, only {others}" if others else "")


try:
    import fastloss._C as _C  # not "from fastloss import", whose error blames a circular import
except ImportError as error:
    if _without_kernels():
        _reason = "this package of fastloss has no kernels (py3-none-any)"
    else:
        _reason = _why_absent(error)
        warnings.warn(
            f"fastloss: {_reason}. Every loss still works, in plain PyTorch. Remedy: "
            + (
                "in the checkout `pip install -e .`; or, where fastloss is installed, start Python outside the "
                "checkout."
                if (_PACKAGE.parent / "setup.py").exists()
                else "`pip install --force-reinstall --no-deps fastloss` with this Python and a torch from 2.10 on."
            ),
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
    global CUDA_LIBRARY
    if _C is None:
        return _reason
    if torch.version.cuda is None:
        return "torch is a CPU build" if torch.version.hip is None else "torch is a ROCm build, the kernels are CUDA's"
    if not CUDA_LIBRARY.exists():
        try:
            import fastloss_cuda
        except ImportError:
            return (
                "fastloss was built without them; remedy: install the package fastloss-cuda, or build fastloss again "
                "with FASTLOSS_CUDA=1, which says what is missing"
            )
        if fastloss_cuda.__version__ != __version__:
            return (
                f"the package fastloss-cuda is {fastloss_cuda.__version__}, expected {__version__}; remedy: "
                f"pip install fastloss-cuda=={__version__}"
            )
        CUDA_LIBRARY = Path(fastloss_cuda.__file__).with_name(CUDA_LIBRARY.name)
    try:
        torch.ops.load_library(str(CUDA_LIBRARY))
    except OSError as error:
        return f"{CUDA_LIBRARY.name} did not load: {error}"
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
OUT_OF_BOUNDS = "out of bounds"  # a class index: csrc/engines/softmax/operators.cpp, and PyTorch's own operator
OUTSIDE_DOMAIN = "outside the domain"  # an element: csrc/engines/elements/operators.cpp


def names_its_loss(error: Exception) -> bool:
    """Whether an error is from our Python, with loss, argument, expected and got; C++ does not know the loss."""
    return str(error).startswith("fastloss.")


# Dtypes travel to the operators as these numbers (ScalarType's own, stable in PyTorch's ABI).
DTYPE_CODES: dict[torch.dtype, int] = {torch.float16: 5, torch.float32: 6, torch.float64: 7, torch.bfloat16: 15}
DTYPE_OF_CODE = {code: dtype for dtype, code in DTYPE_CODES.items()}
STATS = 7  # entries of the statistics vector: RowStats without its container
POINT_STATS = 2  # of a pointwise loss: sum of the values, sum of the squared gradient


def rows_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """The shape of logits without their classes."""
    return (*shape[:1], *shape[2:]) if len(shape) > 1 else ()


class Operators(NamedTuple):
    """The operators of one loss (looked up once: `torch.ops` attributes cost a microsecond each)."""

    forward: Callable[..., Any]
    backward: Callable[..., Any]
    stats: int  # entries of the statistics vector
    no_gradients: tuple[None, ...]  # one for each tensor


def rows_state(input: Tensor, target: Tensor) -> Tensor:
    """Memory for what forward keeps of each row for backward: two numbers, three if targets are probabilities."""
    shape = (3, *rows_shape(input.shape)) if target.is_floating_point() else (2, *target.shape)
    return input.new_empty(shape, dtype=compute_dtype(input.dtype))


# The loss of each row, pair or element, as the operators return it: without numbers.
_UNREDUCED: dict[str, Callable[[Tensor, torch.dtype], Tensor]] = {
    "rows": lambda input, dtype: input.new_empty(rows_shape(input.shape), dtype=dtype),
    "pointwise": lambda input, dtype: torch.empty_like(input, dtype=dtype),
    "pairs": lambda input, dtype: input.new_empty(input.shape[:-1], dtype=dtype),
    "divergence": lambda input, dtype: input.new_empty(input.shape[:-1], dtype=dtype),
}


def _operators(name: str, family: str) -> Operators:
    """Finds the operators of a loss, and tells PyTorch the shape of the loss; they write all else into given memory."""
    forward, backward = (getattr(torch.ops.fastloss, name + suffix).default for suffix in ("", "_backward"))
    tensors = sum(argument.name.startswith("grad_") for argument in forward._schema.arguments)

    def shape(*arguments: Any) -> Tensor:
        input, (reduction, _, loss_dtype) = arguments[0], arguments[tensors + 4 : tensors + 7]
        dtype = DTYPE_OF_CODE[loss_dtype]
        return _UNREDUCED[family](input, dtype) if reduction == 0 else input.new_empty([], dtype=dtype)

    torch.library.register_fake(f"fastloss::{name}", shape)
    torch.library.register_fake(f"fastloss::{name}_backward", lambda *arguments: None)
    return Operators(forward, backward, STATS if family == "rows" else POINT_STATS, (None,) * tensors)


def missing_kernel(operator: str) -> str:
    """Why there is no kernel of a loss; empty when there is."""
    return "" if operator in OPERATORS else "this build of the extension has no kernel of the loss"


class SimilarityOps(NamedTuple):
    """The operators of the similarity family, which all its losses share, and the numbers they know the losses by.

    What they take stands in csrc/engines/similarity/call.h.
    """

    losses: dict[str, int]
    statistics_: Callable[..., Any]
    gradient_: Callable[..., Any]
    triplets_: Callable[..., Any]
    anchors: Callable[..., Any]
    normalize: Callable[..., Any]
    finish: Callable[..., Any]
    whole: Callable[..., Any]  # CPU only
    mirror_: Callable[..., Any]  # CPU only


def _similarity_ops(losses: list[tuple[str, str]]) -> SimilarityOps:
    _, *names = SimilarityOps._fields
    found = (getattr(torch.ops.fastloss, f"similarity_{name}").default for name in names)
    return SimilarityOps({name: k for k, (name, _) in enumerate(losses)}, *found)


# Losses of this build, by operator name.
OPERATORS: dict[str, Operators] = {}
# What those over rows take besides their parameters, in the operators' order, with the values that change nothing.
ROWS_OPTIONS: dict[str, float] = {} if _C is None else dict(_C.rows_options())
if _C is not None:
    _components = _C.components()
    for _family in ("rows", "pointwise", "pairs", "divergence"):
        for _name, _ in getattr(_C, f"{_family}_losses")():
            # A value of elements of several components is made of what lies along the last dimension, as that of pairs.
            OPERATORS[_name] = _operators(_name, "pairs" if _components.get(_name, 1) > 1 else _family)
    SIMILARITY = _similarity_ops(_C.similarity_losses())
    for _name in ("scale_", "row_outputs", "row_outputs_backward", "region_sums", "region_gradient"):
        torch.library.register_fake(f"fastloss::{_name}", lambda *arguments: None)
    row_outputs = torch.ops.fastloss.row_outputs.default
    row_outputs_backward = torch.ops.fastloss.row_outputs_backward.default
    region_sums = torch.ops.fastloss.region_sums.default
    region_gradient = torch.ops.fastloss.region_gradient.default
    scale_ = torch.ops.fastloss.scale_.default
