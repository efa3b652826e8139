"""Modules of losses: what they share, and how one is made of a function."""

from __future__ import annotations

import inspect
import itertools
import operator
from collections.abc import Callable, Mapping
from types import MappingProxyType, ModuleType
from typing import Any, TypeVar

import torch
from torch import Tensor

from fastloss import functional
from fastloss._core import options as _options
from fastloss._core.guards import is_dynamo_compiling

_Function = TypeVar("_Function", bound=Callable[..., Any])


class _Document:
    """The ``__doc__`` of a class, made of its function's when it is read: importing need not wait for it."""

    def __get__(self, instance: Any, owner: type[Any]) -> str:
        from fastloss.nn._document import document

        return document(owner)


DOCUMENT: Any = _Document()


def call_loss(name: str, settings: dict[str, Any], tensors: Any, options: Any) -> Any:
    """Calls the function ``name``: one node for torch.fx, which may pass proxies of all tensors and all options."""
    if options:
        settings = {**settings, **options}
    return getattr(functional, name)(*tensors, **settings)


torch.fx.wrap("call_loss")


def recorded(forward: _Function) -> _Function:
    """Without annotations: torch.fx writes them into the code that it makes, where texts are no types."""
    forward.__annotations__ = {}
    return forward


class Base(torch.nn.Module):
    """Of all modules of losses."""

    def __prepare_scriptable__(self) -> torch.nn.Module:
        """`torch.jit.script` compiles the module that this gives it."""
        raise RuntimeError(
            f"fastloss.{type(self).__name__}: torch.jit.script cannot compile this module; expected PyTorch's module "
            "or ours that replaces it, without further options; torch.jit.trace, torch.export and torch.compile "
            "take every one"
        )


class LossModule(Base):
    """A subclass says which function it calls and which of its attributes are arguments.

    The function's options may be given when the module is made, and in a call, where they win.
    """

    _function: Callable[..., Any]
    _called: str  # its name: TorchDynamo of PyTorch 2.15 takes that of a wrapper's code for ``__name__``
    _arguments: tuple[str, ...] = ()
    _shown: tuple[str, ...] = ()  # of the arguments, those that `repr` shows; PyTorch's modules show none
    _held: tuple[str, ...] = ()  # arguments that the module has itself
    _options: Mapping[str, Any] = MappingProxyType({})  # of a module that PyTorch has made

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Of pickles of 0.1.0 too, where the options had another name."""
        if "_extras" in state:
            state = {**state, "_options": state["_extras"]}
            del state["_extras"]
        super().__setstate__(state)

    def call(self, tensors: Any, options: Any) -> Tensor | Any:
        settings = {name: getattr(self, name) for name in self._arguments}
        if self._options:
            settings.update(self._options)
        return call_loss(self._called, settings, tensors, options)

    def forward(self, *tensors: Any, **options: Any) -> Tensor | Any:
        return self.call(tensors, options)

    def extra_repr(self) -> str:
        shown = {name: getattr(self, name) for name in self._shown}
        return ", ".join(f"{name}={value}" for name, value in {**shown, **self._options}.items())


class DropIn(LossModule):
    """Of modules that PyTorch has: its constructor, ``state_dict`` and class, and the names of its arguments."""

    _native: type[torch.nn.Module]
    _absent = None  # a deprecated argument

    def __prepare_scriptable__(self) -> torch.nn.Module:
        native = type(self).__dict__.get("_native")  # a user's subclass computes what PyTorch's module does not
        if native is None or self._options:
            return super().__prepare_scriptable__()
        twin = native.__new__(native)
        twin.__dict__ = {name: value for name, value in self.__dict__.items() if name != "_options"}
        return twin


def drop_in(
    native: type[torch.nn.Module],
    function: Any,
    arguments: tuple[str, ...],
    forward: Callable[..., Any] | None = None,
) -> type[Any]:
    """A module that calls ``function``, of ``input`` and ``target`` unless ``forward`` names its tensors."""
    parameters = list(inspect.signature(native).parameters.values())
    taken: type = function.record.options
    further = _options.names(taken) - {parameter.name for parameter in parameters}

    names = [p.name for p in parameters]
    numbers = [p.name for p in parameters if type(p.default) in (int, float)]

    def known(name: str, value: Any) -> Any:
        """Of a hyperparameter as a tensor or NumPy's, which some of PyTorch's constructors refuse, its number."""
        if name not in numbers or isinstance(value, (int, float)) or not _options.is_real(value):
            return value
        if isinstance(value, Tensor):
            return float(value.detach()) if value.numel() == 1 else value
        return float(value)

    class Module(DropIn, native):  # type: ignore[misc, valid-type]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            given = {**dict(zip(names, args, strict=False)), **kwargs}
            _options.check_tensors(native.__name__, weight=given.get("weight"), pos_weight=given.get("pos_weight"))
            options = {name: kwargs.pop(name) for name in list(kwargs) if name in further}
            args = (*map(known, names, args), *args[len(names) :])
            native.__init__(self, *args, **{name: known(name, value) for name, value in kwargs.items()})
            for name in numbers:
                if isinstance(given.get(name), Tensor):
                    setattr(self, name, given[name])  # it may be learned
            self._options = options

    Module._native = native
    Module.forward = recorded(forward or _of_two(native, function))  # type: ignore[method-assign]
    return _finish(Module, native.__name__, function, arguments, parameters, taken)


def _of_two(native: type[torch.nn.Module], function: Callable[..., Any]) -> Callable[..., Any]:
    """The ``forward`` of a loss of two tensors. It passes the settings on by position: by name takes twice as long."""
    taken = inspect.signature(native).parameters
    names = itertools.takewhile(taken.__contains__, list(inspect.signature(function).parameters)[2:])
    settings = operator.attrgetter(*("_absent" if name in ("size_average", "reduce") else name for name in names))
    called = function.__name__

    def forward(self: LossModule, input: Tensor, target: Tensor, **options: Any) -> Tensor | Any:
        # torch.fx may pass a proxy of all options, and TorchDynamo does not know the getter.
        if type(options) is not dict or options or self._options or is_dynamo_compiling():
            return self.call((input, target), options)
        return getattr(functional, called)(input, target, *settings(self))

    return forward


def own(
    name: str,
    function: Any,
    defaults: dict[str, Any],
    options: type,
    check: Callable[..., None],
) -> type[Any]:
    """A module for a loss that torch.nn does not have; ``check`` refuses bad arguments of the constructor."""
    names, known = tuple(defaults), _options.names(options) - defaults.keys()
    buffers = function.record.buffers

    class Module(LossModule):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__()
            if len(args) > len(names):
                raise TypeError(f"fastloss.{name}: expected at most {len(names)} positional arguments, got {len(args)}")
            values = {**defaults, **dict(zip(names, args, strict=False))}
            values.update({key: kwargs.pop(key) for key in names if key in kwargs})
            _options.refuse_unknown(name, kwargs, known, names)
            missing = [key for key, value in values.items() if value is inspect.Parameter.empty]
            if missing:
                raise TypeError(f"fastloss.{name}: missing argument {', '.join(missing)}")
            check(name, **values)
            if "weight" in buffers:
                _options.check_tensors(name, weight=values["weight"])
            for key, value in values.items():
                if key in buffers and (key == "weight" or isinstance(value, Tensor)):
                    self.register_buffer(key, value)
                else:
                    setattr(self, key, value)
            self._options = kwargs

    Module._shown = names
    given = inspect.signature(function).parameters
    parameters = [
        inspect.Parameter(
            key,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            default=default,
            annotation=given[key].annotation if key in given else inspect.Parameter.empty,
        )
        for key, default in defaults.items()
    ]
    return _finish(Module, name, function, names, parameters, options)


# Modules of PyTorch whose tensors are not input and target.


def _of_pairs(self: LossModule, input1: Tensor, input2: Tensor, target: Tensor, **options: Any) -> Any:
    return self.call((input1, input2, target), options)


def _of_rates(self: LossModule, log_input: Tensor, target: Tensor, **options: Any) -> Any:
    return self.call((log_input, target), options)


def _of_gaussian(self: LossModule, input: Tensor, target: Tensor, var: Tensor | float, **options: Any) -> Any:
    return self.call((input, target, var), options)


def _of_triplets(
    self: LossModule, anchor: Tensor, positive: Tensor | None = None, negative: Tensor | None = None, **options: Any
) -> Any:
    return self.call((anchor, positive, negative), options)


def _of_sequences(
    self: LossModule, log_probs: Tensor, targets: Tensor, input_lengths: Any, target_lengths: Any, **options: Any
) -> Any:
    return self.call((log_probs, targets, input_lengths, target_lengths), options)


_FORWARDS: dict[tuple[str, ...], Callable[..., Any]] = {
    ("input1", "input2", "target"): _of_pairs,
    ("log_input", "target"): _of_rates,
    ("input", "target", "var"): _of_gaussian,
    ("anchor", "positive", "negative"): _of_triplets,
    ("log_probs", "targets", "input_lengths", "target_lengths"): _of_sequences,
}


def module_of(function: Any) -> type[Any]:
    """The module of a function that has a record: PyTorch's with our function underneath, or ours."""
    record, parameters = function.record, inspect.signature(function).parameters
    if record.module is not None:
        arguments = inspect.signature(record.module).parameters.keys() & parameters.keys()
        tensors = tuple(inspect.signature(record.module.forward).parameters)[1:]
        return drop_in(record.module, function, tuple(arguments - {"size_average", "reduce"}), _FORWARDS.get(tensors))
    settings = {name: parameters[name].default for name in record.names if name not in record.tensors}
    if "reduction" in parameters:
        settings["reduction"] = "mean"
    name = record.title or "".join(word.capitalize() for word in record.name.split("_"))
    return own(name, function, settings, record.options, record.check_words)


def modules_of(functions: ModuleType) -> dict[str, type[Any]]:
    """The modules of the functions of a file, by name."""
    criteria = (f for f in vars(functions).values() if hasattr(f, "record") and f.record.criterion)
    made = map(module_of, criteria)
    return {module.__name__: module for module in sorted(made, key=lambda module: module.__name__)}


def _finish(
    module: type[Any],
    name: str,
    function: Callable[..., Any],
    arguments: tuple[str, ...],
    parameters: list[inspect.Parameter],
    options: type,
) -> type[Any]:
    module.__name__ = module.__qualname__ = name
    module.__module__ = function.__module__.replace(".functional.", ".nn.")  # where pickle finds it
    module._function, module._called = staticmethod(function), function.__name__
    module._arguments = arguments
    # Of the constructor, not of the class: an instance would have it too, and is called otherwise.
    self = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    if _options.names(options):
        kind, unpacked = inspect.Parameter.VAR_KEYWORD, f"Unpack[{options.__name__}]"
        parameters = [*parameters, inspect.Parameter("options", kind, annotation=unpacked)]
    module.__init__.__signature__ = inspect.Signature([self, *parameters], return_annotation=None)
    module.__doc__ = DOCUMENT
    return module
