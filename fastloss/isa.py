"""The CPU instruction sets (ISAs) the kernels were compiled for, and which one is in force.

The best one this CPU can run is chosen at first use. ``FASTLOSS_ISA=avx2`` in the environment forces one;
`use` forces one for a block of code, which is how the tests run every kernel on every ISA of a machine.
Case, hyphens and underscores of a name do not matter (AVX-512), and on x86-64 ``sse2`` is the ``baseline``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fastloss._core import operators as _ops


def compiled() -> list[str]:
    """Names of the ISAs in this build, best first; empty without the extension.

    Example:
        >>> set(fastloss.isa.available()) <= set(fastloss.isa.compiled())
        True
    """
    return list(_ops.extension().isa_compiled()) if _ops.AVAILABLE else []


def available() -> list[str]:
    """Those of `compiled` that this CPU can run, best first.

    Example:
        >>> isinstance(fastloss.isa.available(), list)
        True
    """
    return list(_ops.extension().isa_available()) if _ops.AVAILABLE else []


def active() -> str | None:
    """The ISA in force, or None without the extension.

    Raises:
        ValueError: ``FASTLOSS_ISA`` names an ISA that is unknown or that this CPU cannot run.

    Example:
        >>> fastloss.isa.active() in [*fastloss.isa.available(), None]
        True
    """
    return str(_ops.extension().isa_active()) if _ops.AVAILABLE else None


def force(name: str) -> None:
    """Puts ``name`` in force for the whole process.

    Raises:
        ValueError: ``name`` is unknown or this CPU cannot run it; the message lists the possible ones.
        RuntimeError: The extension is absent.

    Example:
        >>> if fastloss.isa.available():
        ...     fastloss.isa.force(fastloss.isa.available()[0])
    """
    _ops.extension().isa_force(name)


@contextmanager
def use(name: str) -> Iterator[None]:
    """Puts ``name`` in force within a ``with`` block. Process-wide, so not for concurrent threads.

    Example:
        >>> for name in fastloss.isa.available():
        ...     with fastloss.isa.use(name):
        ...         assert fastloss.isa.active() == name
    """
    previous = active()
    force(name)
    try:
        yield
    finally:
        force(str(previous))
