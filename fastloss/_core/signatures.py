"""What losses take, read from their signatures: each option by name, for docstrings and type stubs."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from inspect import Parameter
from typing import Any

from fastloss._core import options as _options

# Of losses of all pairs another one; of triplets, which may be given or found among all pairs, both.
_DEFAULT_EMPTY = {"SimilarityOptions": "zero", "TripletOptions": ...}


def _spelled(signature: inspect.Signature, function: Callable[..., Any]) -> dict[str, Parameter]:
    """The parameters, with keyword-only ones in the place of ``**options: Unpack[SomeOptions]``, of a function."""
    empty = getattr(getattr(function, "record", None), "empty", "nan")
    made: dict[str, Parameter] = {}
    for parameter in signature.parameters.values():
        unpacked = re.fullmatch(r"Unpack\[(\w+)\]", str(parameter.annotation))
        if unpacked is None:
            made[parameter.name] = parameter
            continue
        options = unpacked[1]
        for name, type_ in getattr(_options, options).__annotations__.items():
            default = _DEFAULT_EMPTY.get(options, empty) if name == "empty" else _options.DEFAULTS.get(name)
            option = Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=type_.__forward_arg__)
            made.setdefault(name, option)
    return made


def of_function(function: Callable[..., Any]) -> dict[str, Parameter]:
    """What a function of `fastloss.functional` takes."""
    return _spelled(inspect.signature(function), function)


def of_constructor(module: type[Any]) -> dict[str, Parameter]:
    """What the constructor of a module of `fastloss.nn` takes, annotated as the function's arguments are."""
    known = of_function(module._function)
    signature = inspect.signature(module)
    settings = signature.parameters
    made = _spelled(signature, module._function)
    for name in made.keys() & known.keys():
        if name in settings:
            made[name] = made[name].replace(annotation=known[name].annotation)
        else:
            made[name] = known[name].replace(kind=Parameter.KEYWORD_ONLY)
    return made


def of_call(module: type[Any]) -> dict[str, Parameter]:
    """What a call of a module takes: the function's tensors, and by name what the constructor's arguments leave."""
    function = of_function(module._function)
    settings = {p.name for p in inspect.signature(module).parameters.values()} | set(module._held)
    made, positional = {}, True
    for name, parameter in function.items():
        if name in settings:
            positional = False
        elif positional or parameter.kind is Parameter.KEYWORD_ONLY:
            made[name] = parameter
        else:
            made[name] = parameter.replace(kind=Parameter.KEYWORD_ONLY)
    return made
