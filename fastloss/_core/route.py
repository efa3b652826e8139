"""Which path a call takes, and why: every loss says so in one place, and `explain` and FASTLOSS_LOG=1 read it there.

A loss calls `take` when it has decided and before it computes. `explain` makes the very call that it is asked about;
`take` then ends that call. So no second copy of the decision exists that could disagree with the first.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

Path = Literal["kernel", "native", "reference"]

COVERED = "the kernel takes these arguments"
WHY_NATIVE = "the input is so small that calling PyTorch's own operator is faster"

# Whether anybody reads what `take` is told. Fast ways of a call, which do not tell, ask this first.
watched = False

_LOG = os.environ.get("FASTLOSS_LOG", "") not in ("", "0")
_log = logging.getLogger("fastloss")
if _LOG:
    watched = True
    if not _log.handlers:
        _log.addHandler(logging.StreamHandler())
        _log.setLevel(logging.INFO)

_lock = threading.Lock()
_readers = int(_LOG)
_here = threading.local()  # explaining: whether this thread's calls end where they have decided
_logged: set[tuple[str, Path, str]] = set()


@dataclass(frozen=True)
class Explanation:
    """How a call is computed; printed, a block of three lines.

    Attributes:
        path: ``"kernel"`` (our fused kernel), ``"native"`` (PyTorch's own operator, which is faster for tiny inputs) or
            ``"reference"`` (`fastloss.reference`, plain PyTorch).
        reason: Why this path, in one sentence.
        isa: Instruction set of the CPU kernel, None on CUDA and off the kernel path.
        loss: Name of the function that has decided.
    """

    path: Path
    reason: str
    isa: str | None
    loss: str = ""

    def __str__(self) -> str:
        where = f" ({self.isa})" if self.isa else ""
        return f"fastloss.{self.loss}\n  path    {self.path}{where}\n  reason  {self.reason}"


class _Decided(BaseException):
    """Ends a call that `explain` makes. No ``except Exception`` on the way may catch it."""

    def __init__(self, name: str, path: Path, reason: str) -> None:
        super().__init__(name, path, reason)
        self.name, self.path, self.reason = name, path, reason


def take(name: str, path: Path, reason: str) -> None:
    """Says that a call of the loss ``name`` takes this path. Call it where ``watched``; it may not return."""
    if explaining():
        raise _Decided(name, path, reason)
    if _LOG and (name, path, reason) not in _logged:
        _logged.add((name, path, reason))
        _log.info("fastloss.%s: %s (%s)", name, path, reason)


def explaining() -> bool:
    """Whether this thread's call ends where it has decided."""
    return getattr(_here, "explaining", False)


def kernel_unless(name: str, reason: str) -> None:
    """Says that the kernel takes the call, or, if there is a ``reason`` against that, plain PyTorch."""
    if watched:
        take(name, "reference", reason) if reason else take(name, "kernel", COVERED)


def _decision(call: Callable[[], Any]) -> _Decided | None:
    try:
        call()
    except _Decided as decided:
        return decided
    return None


def added(**terms: Callable[[], Tensor]) -> Tensor:
    """The sum of the terms of a loss, each of which takes a path of its own."""
    if not explaining():
        first, *rest = (term() for term in terms.values())
        return sum(rest, first)
    found = {name: decided for name, term in terms.items() if (decided := _decision(term))}
    paths = {decided.path for decided in found.values()}
    if len(paths) == 1:
        raise next(iter(found.values()))
    reasons = (f"{name}: {term.path}, {term.reason}" for name, term in found.items())
    raise _Decided(" + ".join(term.name for term in found.values()), "kernel", "; ".join(reasons))


def explain(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Explanation:
    """Says which path ``fn(*args, **kwargs)`` would take, without computing the loss.

    The call is made, and stopped where it has decided. A call that raises before that raises here too, the same error.
    Only what a kernel finds while it computes, such as a class that does not exist, is not seen here.

    Args:
        fn: A function of `fastloss.functional`, a module of `fastloss.nn`, or any callable (a partial, a function of
            yours), of which the first loss that it calls is explained.

    Raises:
        ValueError: ``fn`` has returned without calling one of ours.

    Example:
        >>> logits, target = torch.randn(8, 5), torch.randint(5, (8,))
        >>> print(fastloss.explain(fastloss.functional.cross_entropy, logits, target))
        fastloss.cross_entropy
          path    native
          reason  the input is so small that calling PyTorch's own operator is faster
    """
    from fastloss import isa

    global watched, _readers
    with _lock:
        _readers += 1
        watched = True
    outside = explaining()
    _here.explaining = True
    try:
        decided = _decision(lambda: fn(*args, **kwargs))
    finally:
        _here.explaining = outside
        with _lock:
            _readers -= 1
            watched = _readers > 0
    if decided is None:
        raise ValueError(f"fastloss.explain: expected a fastloss function or module, got {fn!r}")
    on_cpu = not any(isinstance(value, Tensor) and value.is_cuda for value in (*args, *kwargs.values()))
    active = isa.active() if decided.path == "kernel" and on_cpu else None
    return Explanation(decided.path, decided.reason, active, decided.name)
