"""Docstrings of modules, made of those of their functions when someone reads them."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Collection, Iterable
from typing import Any

WIDTH = 116  # of a line; `help` indents it by four


def entries(text: str) -> list[tuple[list[str], str]]:
    """The arguments that a docstring describes: names that share a text, and this text."""
    found = re.findall(r"^    (\w+(?:, \w+)*): (.*(?:\n {5,}.*)*)", text, re.MULTILINE)
    return [(names.split(", "), " ".join(said.split())) for names, said in found]


def _texts(function: Callable[..., Any], names: Collection[str]) -> dict[str, str]:
    """What the function's docstring says of each of these arguments.

    A text "As in `other`" becomes the other function's, and what follows belongs to the last name that shares it. Of an
    argument that is passed on to another function, which the introduction names, the other one's docstring tells.
    """
    import fastloss.functional

    text = inspect.getdoc(function) or ""
    made = {}
    for sharing, said in entries(text):
        other, more = re.fullmatch(r"(?:As in `(\w+)`\. ?)?(.*)", said, re.DOTALL).groups()  # type: ignore[union-attr]
        elsewhere = _texts(getattr(fastloss.functional, other), sharing) if other else dict.fromkeys(sharing, "")
        for name in sharing:
            last = "reduction" if "reduction" in sharing else sharing[-1]
            made[name] = f"{elsewhere[name]} {more if not other or name == last else ''}".strip()
    for named in re.findall(r"`(\w+)`", text.partition("\nArgs:\n")[0]):
        missing = set(names) - made.keys()
        if missing and hasattr(fastloss.functional, named):
            further = _texts(getattr(fastloss.functional, named), ())
            made.update({name: further[name] for name in missing & further.keys()})
    return made


def _shown(value: Any) -> str:
    return f'``"{value}"``' if isinstance(value, str) else f"``{value!r}``"


def _filled(text: str) -> str:
    """An entry of an argument list, in lines."""
    return textwrap.fill(
        text, WIDTH, initial_indent=" " * 4, subsequent_indent=" " * 8, break_long_words=False, break_on_hyphens=False
    )


def _described(parameters: Iterable[inspect.Parameter], texts: dict[str, str]) -> str:
    """An argument list in PyTorch's manner; neighbours of one type and text share an entry."""
    groups: list[list[inspect.Parameter]] = []
    for p in parameters:
        before = groups[-1][0] if groups else p
        if groups and (before.annotation, texts.get(before.name)) == (p.annotation, texts.get(p.name)):
            groups[-1].append(p)
        else:
            groups.append([p])
    lines = []
    for group in groups:
        defaults = dict.fromkeys(_shown(p.default) for p in group if p.default not in (p.empty, ...))
        kind = str(group[0].annotation).replace("'", '"') + (", optional" if defaults else "")
        # The default of a module may be another than that of the function, of which the text speaks.
        said = re.sub(r" \([^()]*\bdefault\b[^()]*\)", "", texts.get(group[0].name, ""))
        if defaults and not re.search(r"\bDefault\b", said):
            said += f" Default: {', '.join(defaults)}"
        lines.append(_filled(f"{', '.join(p.name for p in group)} ({kind}): {said}"))
    return "\n".join(lines)


def _output(function: Callable[..., Any]) -> str:
    import fastloss.functional

    text = inspect.getdoc(function) or ""
    if other := re.search(r"^Returns.*: As `(\w+)`", text, re.MULTILINE):
        return _output(getattr(fastloss.functional, other[1]))
    returned = re.search(r"^Returns:\n((?: +.*\n?)+)", text, re.MULTILINE)
    return " ".join(returned[1].split()) if returned else ""


def _example(module: type[Any], settings: Collection[str]) -> str:
    """The function's example with a module in its place, which takes those arguments that are the constructor's."""
    first, lines = [], []
    example = (inspect.getdoc(module._function) or "").rpartition("Example:\n")[2]
    for line in re.findall(r"^ *>>> (.*)", example, re.MULTILINE):
        tree = ast.parse(line)
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or ast.unparse(node.func) != f"fastloss.functional.{_name(module)}":
                continue
            own = [k for k in node.keywords if k.arg in settings]
            node.func, node.keywords = ast.Name("criterion"), [k for k in node.keywords if k not in own]
            first.append(ast.Assign([node.func], ast.Call(ast.Name(f"fastloss.{module.__name__}"), [], own), lineno=0))
        lines.append(tree)
    return "\n".join(f"    >>> {ast.unparse(line)}" for line in [*first, *lines]).replace("'", '"')


def _name(module: type[Any]) -> str:
    return str(module._function.__name__)


def document(module: type[Any]) -> str:
    """The docstring of a module."""
    from fastloss._core import signatures as _signatures

    function = module._function
    constructor, call = _signatures.of_constructor(module), _signatures.of_call(module)
    options = [p for name, p in constructor.items() if name in call]
    settings = [p for name, p in constructor.items() if name not in call]
    inputs = [p for name, p in call.items() if name not in constructor]
    texts = _texts(function, {*constructor, *call})

    parts = [(inspect.getdoc(function) or "").partition("\nArgs:\n")[0].rstrip()]
    native = next((base for base in module.__mro__ if base.__module__ == "torch.nn.modules.loss"), None)
    if native:
        name = f"torch.nn.{native.__name__}"
        parts.append(f"Drop-in for `{name}`:\n``isinstance(criterion, {name})`` holds.")
    parts.append(
        f"The module calls `fastloss.functional.{_name(module)}`.\n"
        "The function's docstring says more: dtypes, gradient, memory, accuracy."
    )
    parts.append("Args:\n" + _described(settings, texts))
    if options:
        heading = "Keyword-only options, of the constructor or of a call, where they win:\n"
        parts.append(heading + _described(options, texts))
    parts.append(f"Shape:\n{_described(inputs, texts)}\n{_filled('output: ' + _output(function))}")
    parts.append("Example:\n" + _example(module, constructor))
    return "\n\n".join(parts) + "\n"
