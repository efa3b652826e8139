"""Writes the type stubs of what users import, from the signatures of the functions and modules themselves.

Modules are made at run time and options are passed on as ``**options``, which type checkers cannot follow: a stub has
every argument by name. ``python tests/stubs.py`` (`make stubs`) writes the files; a test compares them.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from inspect import Parameter, signature
from pathlib import Path
from types import ModuleType
from typing import Any

import fastloss
from fastloss import functional, nn, reference
from fastloss._core import options as _options
from fastloss._core import signatures as _signatures

ROOT = Path(__file__).resolve().parents[1]

HEAD = '"""Written by `make stubs` from the signatures at run time; not to be edited."""\n\n'
IMPORTS = """\
from collections.abc import Callable
from typing import Any, Literal, overload

import torch
from torch import Tensor

from fastloss._core.stats import PointStats, RegionStats, RowStats, TokenHits, TokenLogprobs
from fastloss.engines.flex import Row
"""
MODULE_IMPORTS = """\
from collections.abc import Callable
from typing import Any, Generic, Literal, overload

import torch
from torch import Tensor
from typing_extensions import TypeVar

from fastloss._core.stats import PointStats, RegionStats, RowStats

_Result = TypeVar("_Result", default=Tensor)  # of a call that does not say return_stats
"""

# Words that one argument takes, where its annotation says ``str``: of all losses, and of some.
WORDS = {"reduction": ("none", "mean", "sum")}
OWN_WORDS = {
    ("kl_div", "reduction"): ("none", "mean", "sum", "batchmean"),
}
# Options that matter to kernels alone.
NOT_OF_REFERENCES = (_options.names(_options.SimilarityOptions) - _options.names(_options.AnchorOptions)) | (
    _options.names(_options.TripletOptions) - _options.names(_options.WeightedPointOptions)
)

NO_BREAK = "\0"  # a space within an argument

Parameters = dict[str, Parameter]


def quoted(value: Any) -> str:
    return "..." if value is ... else f'"{value}"' if isinstance(value, str) else repr(value)


def literal(*words: str) -> str:
    return f"Literal[{', '.join(map(quoted, words))}]"


def typed(parameters: Parameters, loss: str) -> Parameters:
    """The parameters with words instead of ``str``, and with None in the type where it is the default."""
    made = {}
    for name, p in parameters.items():
        annotation = str(p.annotation).replace("'", '"')
        if annotation == "str" and name in WORDS:
            annotation = literal(*OWN_WORDS.get((loss, name), WORDS[name]))
        if p.default is None and annotation != "Any" and "None" not in annotation:
            annotation += " | None"
        made[name] = p.replace(annotation=annotation)
    return made


def statistics(parameters: Parameters) -> str:
    """The type of the statistics of a loss with these arguments; empty if it has none."""
    if "return_stats" not in parameters:
        return ""
    if "include_background" in parameters:
        return "RegionStats"
    return "RowStats" if "z_loss" in parameters else "PointStats"


def definition(name: str, parameters: Parameters, returned: str, self_: str = "") -> str:
    """One ``def``, its arguments in lines of at most 120 columns, none of them broken."""
    made = [self_] if self_ else []
    for p in sorted(parameters.values(), key=lambda p: p.kind is Parameter.KEYWORD_ONLY):
        if p.kind is Parameter.KEYWORD_ONLY and "*" not in made:
            made.append("*")
        made.append(f"{p.name}: {p.annotation}" + ("" if p.default is p.empty else f" = {quoted(p.default)}"))
    text = ", ".join(argument.replace(" ", NO_BREAK) for argument in made)
    lines = textwrap.wrap(text, 112, break_long_words=False, break_on_hyphens=False)
    arguments = textwrap.indent("\n".join(lines), "    ").replace(NO_BREAK, " ")
    return f"def {name}(\n{arguments},\n) -> {returned}: ..."


def variants(parameters: Parameters, stats: str) -> list[tuple[Parameters, str]]:
    """The parameters once for each type that ``return_stats`` or other flags may have, and what is returned then."""
    flags = [name for name in parameters if name in ("return_entropy", "return_lse", "return_hits")]
    if flags:
        on = {name: parameters[name].replace(annotation="Literal[True]", default=Parameter.empty) for name in flags}
        off = {name: parameters[name].replace(annotation="Literal[False]") for name in flags}
        return [
            ({**parameters, **off}, "Tensor"),
            *(
                ({**parameters, "return_hits": off["return_hits"], name: on[name]}, "TokenLogprobs")
                for name in flags
                if name != "return_hits"
            ),
            ({**parameters, "return_hits": on["return_hits"]}, "TokenHits"),
            (parameters, "Tensor | TokenLogprobs | TokenHits"),
        ]
    if not stats:
        return [(parameters, "Tensor")]
    option, pair = parameters["return_stats"], f"tuple[Tensor, {stats}]"
    return [
        ({**parameters, "return_stats": option.replace(annotation=annotation, default=default)}, returned)
        for annotation, default, returned in (
            ("Literal[False]", False, "Tensor"),
            ("Literal[True]", Parameter.empty, pair),
            ("bool", False, f"Tensor | {pair}"),
        )
    ]


def overloads(definitions: list[str], remark: str = "") -> str:
    """One definition as it is, several under a decorator each, the first of which carries the remark."""
    if len(definitions) == 1:
        return definitions[0]
    return f"@overload{remark}\n" + "\n@overload\n".join(definitions)


def function_stub(name: str, parameters: Parameters) -> str:
    return overloads([definition(name, *variant) for variant in variants(parameters, statistics(parameters))])


def function_parameters(name: str) -> Parameters:
    return typed(_signatures.of_function(getattr(functional, name)), name)


def reference_parameters(name: str) -> Parameters:
    """Those of the namesake in `fastloss.functional` that the reference takes; a word is any ``str`` there."""
    own, known = signature(getattr(reference, name)).parameters, function_parameters(name)
    through = {p.name for p in own.values()} | (known.keys() - NOT_OF_REFERENCES if "options" in own else set())
    made = {key: p for key, p in known.items() if key in through}
    for key in made.keys() & own.keys():
        annotation = "str" if own[key].annotation == "str" else made[key].annotation
        made[key] = own[key].replace(annotation=annotation)
    return made


def constructors(module: type[Any]) -> list[Parameters]:
    """The arguments of a module; of one that has modes, once for each of them."""
    if not hasattr(module, "_modes"):
        return [typed(_signatures.of_constructor(module), module._function.__name__)]
    made = []
    default = signature(module).parameters["mode"].default
    for mode, chosen in module._modes.items():
        mode_ = Parameter("mode", Parameter.KEYWORD_ONLY, annotation=literal(mode), default=mode)
        mode_ = mode_ if mode == default else mode_.replace(default=Parameter.empty)
        made += [{**parameters, "mode": mode_} for parameters in constructors(chosen)]
    return made


def call(module: type[Any]) -> Parameters:
    """The arguments of a call; of a module that has modes, those of any of them."""
    if not hasattr(module, "_modes"):
        return typed(_signatures.of_call(module), module._function.__name__)
    first, *others = (call(chosen) for chosen in module._modes.values())
    options = {name: p for other in others for name, p in other.items() if p.kind is Parameter.KEYWORD_ONLY}
    return {**options, **first}


def module_stub(name: str) -> str:
    module = getattr(nn, name)
    if not hasattr(module, "_function") and not hasattr(module, "_modes"):  # PyTorch's, and its arguments
        return f"class {name}(torch.nn.{name}): ..."
    native = next((base.__name__ for base in module.__mro__ if base.__module__ == "torch.nn.modules.loss"), "")
    made, takes = constructors(module), call(module)
    stats = " | ".join(dict.fromkeys(map(statistics, made)))
    calls = variants(takes, stats)
    if stats:  # what was said when the module was made holds for a call that says nothing
        silent = {key: p for key, p in takes.items() if key != "return_stats"}
        for given, _ in calls:
            given["return_stats"] = given["return_stats"].replace(default=Parameter.empty)
        calls.insert(0, (silent, "_Result"))

    body = [f'r"""{(module.__doc__ or "").partition(chr(10) * 2)[0]}"""']
    if hasattr(module, "_modes"):
        chosen = " | ".join(f"{one.__name__}[Any]" for one in module._modes.values())
        body += [f"mode: {literal(*module._modes)}", f"criterion: {chosen}"]
    elif not native:
        body += [f"{key}: {p.annotation}" for key, p in made[0].items() if key not in takes]
    inits = [
        definition("__init__", parameters, "None", f"self: {name}[{result}]" if stats else "self")
        for given in made
        for parameters, result in variants(given, statistics(given))
    ]
    remark = "  # type: ignore[override]" if native else ""  # PyTorch's returns a tensor alone
    body.append(overloads(inits))
    body.append(overloads([definition("forward", *variant, "self") for variant in calls], remark))
    body.append(overloads([definition("__call__", *variant, "self") for variant in calls]))
    bases = f"torch.nn.{native or 'Module'}" + (", Generic[_Result]" if stats else "")
    return f"class {name}({bases}):\n" + textwrap.indent("\n".join(body), "    ")


def names(module: ModuleType) -> str:
    listed = textwrap.fill(", ".join(map(quoted, sorted(module.__all__))), 112)
    return f"__all__ = [\n{textwrap.indent(listed, '    ')},\n]\n"


def submodules(package: ModuleType, among: Iterable[str]) -> str:
    found = [name for name in sorted(among) if name[0] != "_" and isinstance(getattr(package, name), ModuleType)]
    own = [name for name in found if getattr(package, name).__name__ == f"{package.__name__}.{name}"]
    return f"from {package.__name__} import {', '.join(f'{name} as {name}' for name in own)}\n"


def package_stub() -> str:
    """What `fastloss` itself has: modules, what it imports from where it is defined, and numbers."""
    lines = ["from fastloss.nn import *\n"]
    for name in sorted(set(fastloss.__all__) - set(nn.__all__)):
        what = getattr(fastloss, name)
        if hasattr(what, "__module__"):
            lines.append(f"from {what.__module__} import {name} as {name}\n")
        elif not isinstance(what, ModuleType):
            lines.append(f"{name}: {type(what).__name__}\n")
    return "".join(
        [
            HEAD,
            submodules(fastloss, fastloss.__all__),
            *sorted(lines, key=lambda line: line[0] != "f"),
            "\n",
            names(fastloss),
        ]
    )


def stubs() -> dict[Path, str]:
    """The files, by path in the repository."""

    def file(module: ModuleType, imports: str, parts: Iterable[str]) -> str:
        return "\n".join([HEAD + imports + submodules(module, vars(module)), names(module), "\n\n".join(parts) + "\n"])

    functions = (function_stub(name, function_parameters(name)) for name in functional.__all__)
    references = (function_stub(name, reference_parameters(name)) for name in reference.__all__)
    made = {
        "": package_stub(),
        "functional/": file(functional, IMPORTS, functions),
        "nn/": file(nn, MODULE_IMPORTS, map(module_stub, nn.__all__)),
        "reference/": file(reference, IMPORTS, references),
    }
    return {Path(f"fastloss/{where}__init__.pyi"): text for where, text in made.items()}


FAMILIES = {
    "rows": "Rows of logits",
    "pointwise": "Elements",
    "pairs": "Pairs of vectors",
    "similarity": "All pairs",
    "heads": "Hidden states and a classifier",
    "regions": "Regions",
    "adversarial": "Adversarial training",
    "composed": "Composed, and PyTorch's own",
    "language": "Language models",
}


def readme() -> str:
    """The README with its list of losses."""
    text, by_family = (ROOT / "README.md").read_text(), dict[str, list[str]]()
    for name in sorted(functional.__all__):
        by_family.setdefault(getattr(functional, name).__module__.rpartition(".")[2], []).append(f"`{name}`")
    lines = [
        textwrap.fill(f"- {title}: {', '.join(by_family[family])}.", 120, subsequent_indent="  ")
        for family, title in FAMILIES.items()
    ]
    before, start, rest = text.partition("<!-- losses (make stubs) -->\n")
    _, end, after = rest.partition("<!-- -->\n")
    return "".join([before, start, "\n".join(lines), "\n", end, after])


if __name__ == "__main__":
    for path, text in {**stubs(), Path("README.md"): readme()}.items():
        (ROOT / path).write_text(text)
