"""What Sphinx reads: the settings, and what it asks of us while it builds."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any

import latex2mathml.converter
from docutils import nodes
from sphinx.application import Sphinx

sys.path.append(str(Path(__file__).parent))  # `linkcheck` comes without make.py
from docstrings import restructured

import fastloss
from fastloss._core import signatures

project = "fastloss"
copyright = "fastloss contributors, MIT"
version = release = fastloss.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_markdown_builder"]
html_theme = "furo"
html_title = "fastloss"
html_copy_source = False  # the Markdown of every page lies beside the page
html_math_renderer = "mathml"
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4  # as on a forge, so that one link serves both
suppress_warnings = ["myst.header"]  # recorded tables begin at the second level
napoleon_use_param = False  # one entry for arguments that share a text
napoleon_custom_sections = [("Shape", "params_style"), "Calls"]
nitpicky = True
# Types in signatures that are described elsewhere.
nitpick_ignore_regex = [("py:.*", r"(?!fastloss\.).*|fastloss\.adopt\.M")]


def docstring(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    text = inspect.getdoc(obj) or ""
    if hasattr(obj, "_function"):  # a module: its introduction and its function's are one
        text = text[text.index("The module calls") :]
    lines[:] = restructured(text).splitlines()


def signature(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, shown: str | None, returns: str | None
) -> tuple[str, str | None] | None:
    """With each option by name."""
    if getattr(obj, "__name__", "") in fastloss.functional.__all__:
        parameters = signatures.of_function(obj)
    elif hasattr(obj, "_function"):
        parameters = signatures.of_constructor(obj)
    else:
        return None
    order = sorted(parameters.values(), key=lambda p: p.kind is p.KEYWORD_ONLY)
    bare = [p.replace(annotation=p.empty) for p in order]
    return str(inspect.Signature(bare)).replace("=Ellipsis", "=..."), None


def mathml(writer: Any, node: nodes.Element) -> None:
    """Formulas that a browser shows without a script."""
    display = "block" if isinstance(node, nodes.math_block) else "inline"
    writer.body.append(latex2mathml.converter.convert(node.astext(), display=display))
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    app.add_html_math_renderer("mathml", (mathml, None), (mathml, None))
    app.connect("autodoc-process-docstring", docstring, priority=100)
    app.connect("autodoc-process-signature", signature)
