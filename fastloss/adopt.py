"""fastloss in code that knows only PyTorch: `patch` for a process, `convert` for a module."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch.overrides import handle_torch_function, has_torch_function

from fastloss import functional, nn
from fastloss._core import _torch

__all__ = ["Patch", "convert", "patch", "unpatch"]

M = TypeVar("M", bound=torch.nn.Module)

_lock = threading.Lock()
if hasattr(os, "register_at_fork"):  # a child has no thread that would release it
    os.register_at_fork(after_in_child=lambda: globals().update(_lock=threading.Lock()))
_replaced: dict[str, Callable[..., Any]] = {}  # what stands in torch.nn.functional at present, by name


def _stand_in(name: str) -> Callable[..., Any]:
    """Our function as a function of `torch.nn.functional`.

    Subclasses of tensors, modes and proxies of torch.fx are asked first, as PyTorch's functions ask them. Pickles refer
    to it by PyTorch's name, so that they load in a process without fastloss. `torch.jit.script`, which reads sources,
    compiles PyTorch's own function.
    """
    ours: Any = getattr(functional, name)

    def function(*args: Any, **kwargs: Any) -> Any:
        given = (*args, *kwargs.values())
        if has_torch_function(given):
            return handle_torch_function(made, given, *args, **kwargs)
        return ours(*args, **kwargs)

    made: Any = functools.update_wrapper(function, ours)
    made.__module__, made.__qualname__ = "torch.nn.functional", name
    made.__prepare_scriptable__ = lambda: getattr(_torch.F, name)
    return made


def _why_left(name: str) -> str:
    """Why a loss of PyTorch stays; empty if ours takes its place."""
    if getattr(getattr(functional, name).record, "path", "") == "native":
        return "no kernel of fastloss is faster than PyTorch's own operator"
    return ""


@dataclass(frozen=True)
class Patch:
    """What a call of `patch` has done; as a context manager, at whose end it is undone.

    Attributes:
        replaced: Names in `torch.nn.functional` that this call has replaced.
        left: The other losses there, with the reason.
    """

    replaced: tuple[str, ...]
    left: dict[str, str] = field(default_factory=dict)

    def __enter__(self) -> Patch:
        return self

    def __exit__(self, *_: object) -> None:
        _restore(self.replaced)

    def __str__(self) -> str:
        rows = {name: "replaced" for name in self.replaced} | {name: f"left: {why}" for name, why in self.left.items()}
        return "\n".join(f"torch.nn.functional.{name:<36} {what}" for name, what in sorted(rows.items()))


def patch() -> Patch:
    """Puts our losses in the place of PyTorch's, in the whole process, until `unpatch`.

    Every loss of `torch.nn.functional` for which fastloss has a kernel is replaced there. The modules of `torch.nn`,
    and libraries that call ``torch.nn.functional.cross_entropy`` or ``F.cross_entropy``, look the function up at each
    call: they use ours, and so do modules that exist already. A name that was imported before (``from
    torch.nn.functional import cross_entropy``) keeps PyTorch's function. Calls that no kernel takes go to PyTorch's
    function as ever.

    The classes of `torch.nn` stay what they are, so checkpoints and pickles load without fastloss. `torch.compile`
    traces our losses; `torch.jit.script` compiles PyTorch's. A call costs 0.3 us more than one of
    `fastloss.functional`. A second `patch` changes nothing.

    Returns:
        `Patch`: its text is a table of the losses that were replaced and of those that were left. ``with
        fastloss.patch():`` undoes at the end what this call has replaced.

    Example:
        >>> with fastloss.patch() as patched:
        ...     "cross_entropy" in patched.replaced
        True
    """
    here, left, replaced = torch.nn.functional, {}, []
    with _lock:
        for name in sorted(name for name in functional.__all__ if hasattr(_torch.F, name)):
            if getattr(here, name) is _replaced.get(name):
                left[name] = "replaced before"
            elif why := _why_left(name):
                left[name] = why
            elif getattr(here, name) is not getattr(_torch.F, name):
                left[name] = "something else has replaced PyTorch's function since fastloss was imported"
            else:
                _replaced[name] = _stand_in(name)
                setattr(here, name, _replaced[name])
                replaced.append(name)
    return Patch(tuple(replaced), left)


def unpatch() -> None:
    """Puts PyTorch's own losses back. What something else has replaced since `patch` stays.

    Example:
        >>> patched = fastloss.patch()
        >>> fastloss.unpatch()
        >>> torch.nn.functional.cross_entropy.__code__.co_filename == torch.nn.functional.__file__
        True
    """
    _restore(tuple(_replaced))


def _restore(names: tuple[str, ...]) -> None:
    with _lock:
        for name in names:
            if (ours := _replaced.pop(name, None)) is getattr(torch.nn.functional, name) and ours is not None:
                setattr(torch.nn.functional, name, getattr(_torch.F, name))


def _ours(module: torch.nn.Module) -> type[Any] | None:
    """The class of `fastloss.nn` that stands for a module's class; None for subclasses, which may do anything."""
    made = getattr(nn, type(module).__name__, None)
    return made if getattr(made, "_native", None) is type(module) else None


def convert(module: M) -> M:
    """Replaces the losses of `torch.nn` in a tree of modules by ours, in place.

    Settings, buffers, hooks and names stay; ``state_dict`` has the same entries. Subclasses of PyTorch's losses are
    left.

    Returns:
        The module, or, if it is a loss itself, ours in its place.

    Example:
        >>> model = torch.nn.ModuleDict({"head": torch.nn.Linear(4, 3), "criterion": torch.nn.CrossEntropyLoss()})
        >>> type(fastloss.convert(model)["criterion"]).__module__
        'fastloss.nn.rows'
    """
    for part in module.modules():
        if (ours := _ours(part)) is not None:
            part.__class__ = ours
    return module
