"""fastloss in code that does not know it: `patch` for a process, `convert` for a module."""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch.overrides import handle_torch_function, has_torch_function

from fastloss import functional, nn
from fastloss._core import _torch

if TYPE_CHECKING:
    from fastloss.integrations import Seam

__all__ = ["Patch", "convert", "patch", "unpatch"]

M = TypeVar("M", bound=torch.nn.Module)

_lock = threading.Lock()
if hasattr(os, "register_at_fork"):  # a child has no thread that would release it
    os.register_at_fork(after_in_child=lambda: globals().update(_lock=threading.Lock()))
_replaced: dict[str, _Place] = {}  # where ours stand at present, by the names of `Patch`


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


def _library_stand_in(theirs: Callable[..., Any], ours: Callable[..., Any]) -> Callable[..., Any]:
    """Our function as a library's, whose name pickles read, and whose source and globals `torch.jit.script` reads."""

    def function(*args: Any, **kwargs: Any) -> Any:
        made = ours(*args, **kwargs)
        return theirs(*args, **kwargs) if made is NotImplemented else made

    there = FunctionType(function.__code__, theirs.__globals__, closure=function.__closure__)
    made: Any = functools.update_wrapper(there, theirs)
    made.__prepare_scriptable__ = lambda: theirs
    return made


@dataclass(frozen=True)
class _Place:
    """A function of PyTorch or of a library, in the module or the class that has it, and ours."""

    library: str
    room: Any
    name: str
    theirs: Callable[..., Any]
    ours: Callable[..., Any]
    why: str

    def put(self, old: Callable[..., Any], new: Callable[..., Any]) -> None:
        """Puts one of the two wherever the other one stands."""
        if isinstance(self.room, type):
            if getattr(self.room, self.name) is old:
                setattr(self.room, self.name, new)
                if new is getattr(super(self.room, self.room), self.name, None):  # theirs is inherited
                    delattr(self.room, self.name)
            return
        for names in self._tables():
            for name, value in list(names.items()):
                if value is old:
                    names[name] = new

    def _tables(self) -> Iterator[dict[Any, Any]]:
        """The names of the module; of a library those of all its modules, which import from one another, and tables of
        functions there."""
        if self.library == "torch":
            yield vars(self.room)
            return
        for name, module in list(sys.modules.items()):
            if (name + ".").startswith(self.library + ".") and isinstance(module, ModuleType):
                yield vars(module)
                yield from [v for k, v in list(vars(module).items()) if type(v) is dict and not k.startswith("__")]


_Rows = Iterator[tuple[str, "_Place | str"]]  # names in `Patch`, and where each stands or why it is left


def _of_torch() -> _Rows:
    here = torch.nn.functional
    for name in sorted(name for name in functional.__all__ if hasattr(_torch.F, name)):
        theirs, there = getattr(_torch.F, name), getattr(here, name)
        if getattr(getattr(functional, name).record, "path", "") == "native":
            yield name, "no kernel of fastloss is faster than PyTorch's own operator"
        elif there is not theirs and name not in _replaced:
            yield name, "something else has replaced PyTorch's function since fastloss was imported"
        else:
            yield name, _replaced.get(name) or _Place("torch", here, name, theirs, _stand_in(name), "")


def _of_library(library: str) -> Callable[[], _Rows]:
    """Imports a library and the modules in question, and gives what looks at them.

    The lock is not held while modules are imported, for one of them may call `patch`.
    """
    from fastloss.integrations import LIBRARIES

    if library not in LIBRARIES:
        known = ", ".join(("torch", *LIBRARIES))
        raise ValueError(f"fastloss.patch: no library {library!r} is known, expected some of {known}")
    try:
        importlib.import_module(library)
    except Exception as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == library
        kind = ModuleNotFoundError if missing else ImportError
        what = "is not installed" if missing else f"cannot be imported ({error})"
        raise kind(f"fastloss.patch: {library} {what}; install it, or leave it out", name=library) from error
    modules: list[tuple[Seam, Any]] = []
    for seam in importlib.import_module(f"fastloss.integrations.{library}").SEAMS:
        try:
            modules.append((seam, seam.ours and importlib.import_module(seam.module)))
        except Exception as error:
            modules.append((seam, f"the installed version cannot import its module ({error})"))
    return lambda: ((f"{seam.module}.{seam.name}", _found(library, seam, module)) for seam, module in modules)


def _found(library: str, seam: Seam, module: Any) -> _Place | str:
    """Where a function of a library stands; or why it is left."""
    if seam.ours is None:
        return seam.why
    if isinstance(module, str):
        return module
    *outer, name = seam.name.split(".")
    room = module
    for part in outer:
        room = getattr(room, part, None)
    if (theirs := getattr(room, name, None)) is None:
        return "the installed version has no such name"
    if place := _replaced.get(f"{seam.module}.{seam.name}"):
        return place
    if not isinstance(theirs, FunctionType) or theirs.__module__.partition(".")[0] != library:
        return "something else stands there than the library's own"
    taken, given = [*inspect.signature(seam.ours).parameters], [*inspect.signature(theirs).parameters]
    if taken[: len(given)] != given:
        return f"the installed version takes other arguments: {', '.join(given)}"
    return _Place(library, room, name, theirs, _library_stand_in(theirs, seam.ours), seam.why)


@dataclass(frozen=True)
class Patch:
    """What a call of `patch` has done; as a context manager, at whose end it is undone.

    Attributes:
        replaced: Names that this call has replaced: in `torch.nn.functional`, or of functions and methods of libraries,
            with their modules.
        left: The other losses there, with the reason.
        why: Of functions of libraries that are replaced, what is gained.
    """

    replaced: tuple[str, ...]
    left: dict[str, str] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)

    def __enter__(self) -> Patch:
        return self

    def __exit__(self, *_: object) -> None:
        _restore(self.replaced)

    def __str__(self) -> str:
        rows = {name: f"replaced: {why}" if (why := self.why.get(name)) else "replaced" for name in self.replaced}
        rows |= {name: f"left: {why}" for name, why in self.left.items()}
        whole = {name if "." in name else f"torch.nn.functional.{name}": what for name, what in rows.items()}
        width = max(map(len, whole), default=0)
        return "\n".join(f"{name:<{width}} {what}" for name, what in sorted(whole.items()))


def patch(*libraries: str) -> Patch:
    """Puts our losses in the place of PyTorch's or a library's, in the whole process, until `unpatch`.

    Every loss of `torch.nn.functional` for which fastloss has a kernel is replaced there. The modules of `torch.nn`,
    and libraries that call ``torch.nn.functional.cross_entropy`` or ``F.cross_entropy``, look the function up at each
    call: they use ours, and so do modules that exist already. A name that was imported before (``from
    torch.nn.functional import cross_entropy``) keeps PyTorch's function. Calls that no kernel takes go to PyTorch's
    function as ever.

    ``patch("timm", "trl")`` imports these libraries and replaces the losses that they compute themselves, where ours
    has the same numbers; in every module of the library, and in objects that exist already. A call whose numbers would
    differ goes to the library's own function. ``print(fastloss.patch("timm"))`` shows what is replaced, what is left,
    and why. `torch.nn.functional` stays then, unless ``"torch"`` is named too.

    The classes stay what they are, so checkpoints and pickles load without fastloss. `torch.compile` traces our
    losses; `torch.jit.script` compiles PyTorch's. A call costs 0.3 us more than one of `fastloss.functional`, one that
    goes on to a library's own function 1 us. A second `patch` changes nothing.

    Args:
        *libraries: Some of ``"torch"`` (the default), ``"monai"``, ``"open_clip"``, ``"pytorch_metric_learning"``,
            ``"segmentation_models_pytorch"``, ``"sentence_transformers"``, ``"timm"``, ``"torchtitan"``,
            ``"torchvision"``, ``"transformers"``, ``"trl"``. ImportError for one that is not installed, ValueError for
            another; then nothing is replaced.

    Returns:
        `Patch`: its text is a table of the losses that were replaced and of those that were left. ``with
        fastloss.patch():`` undoes at the end what this call has replaced.

    Example:
        >>> with fastloss.patch() as patched:
        ...     "cross_entropy" in patched.replaced
        True
    """
    left: dict[str, str] = {}
    why: dict[str, str] = {}
    sources = [_of_torch if name == "torch" else _of_library(name) for name in dict.fromkeys(libraries or ("torch",))]
    with _lock:
        for name, place in (row for source in sources for row in source()):
            if isinstance(place, str):
                left[name] = place
            elif getattr(place.room, place.name) is place.ours:
                left[name] = "replaced before"
            else:
                place.put(place.theirs, place.ours)
                _replaced[name], why[name] = place, place.why
    return Patch(tuple(why), left, {name: gain for name, gain in why.items() if gain})


def unpatch() -> None:
    """Puts PyTorch's own losses back, and the libraries'. What something else has replaced since `patch` stays.

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
            if place := _replaced.pop(name, None):
                place.put(place.ours, place.theirs)


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
