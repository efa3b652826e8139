"""Which path a call takes, and why: `fastloss.explain` and FASTLOSS_LOG=1."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from torch import Tensor

from fastloss import _ops, isa

_Function = TypeVar("_Function", bound=Callable[..., Any])
Path = Literal["kernel", "native", "reference"]

_log = logging.getLogger("fastloss")
if _ops.LOG and not _log.handlers:
    _log.addHandler(logging.StreamHandler())
    _log.setLevel(logging.INFO)


@dataclass(frozen=True)
class Explanation:
    """How a call is computed.

    Attributes:
        path: ``"kernel"`` (our fused kernel), ``"native"`` (PyTorch's own operator, for tiny inputs where
            dispatch is all there is) or ``"reference"`` (`fastloss.reference`, plain PyTorch).
        reason: Why this path, in one sentence.
        isa: Instruction set of the CPU kernel, None on CUDA and off the kernel path.
    """

    path: Path
    reason: str
    isa: str | None


COVERED = "the kernel takes these arguments"


def path_of(reason: str) -> tuple[Path, str]:
    """Path and reason of a call that a kernel takes unless there is a ``reason`` against it."""
    return ("reference", reason) if reason else ("kernel", COVERED)


_planners: dict[Callable[..., Any], Callable[..., tuple[Path, str]]] = {}


def planned_by(planner: Callable[..., tuple[Path, str]]) -> Callable[[_Function], _Function]:
    """Registers ``planner`` (same arguments, returns path and reason) as the one that explains a function."""

    def register(function: _Function) -> _Function:
        _planners[function] = planner
        return function

    return register


def explain(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Explanation:
    """Says which path ``fn(*args, **kwargs)`` would take, without computing it.

    Args:
        fn: A function of `fastloss.functional` or a module of `fastloss.nn`.

    Raises:
        ValueError: ``fn`` is not one of ours.

    Example:
        >>> fastloss.explain(fastloss.functional.cross_entropy, logits, target)  # doctest: +SKIP
        Explanation(path='kernel', reason='...', isa='avx512')
    """
    planner = getattr(fn, "_plan", None) or _planners.get(fn)
    if planner is None:
        raise ValueError(f"fastloss.explain: expected a fastloss function or module, got {fn!r}")
    path, reason = planner(*args, **kwargs)
    on_cpu = not any(isinstance(value, Tensor) and value.is_cuda for value in (*args, *kwargs.values()))
    return Explanation(path, reason, isa.active() if path == "kernel" and on_cpu else None)


_logged: set[tuple[str, str, str]] = set()


def log(name: str, path: Path, reason: str) -> None:
    """Logs each distinct (function, path, reason) once."""
    if (name, path, reason) not in _logged:
        _logged.add((name, path, reason))
        _log.info("fastloss.%s: %s (%s)", name, path, reason)
