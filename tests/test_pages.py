"""The pages of the site: their examples run, their links lead somewhere, and they follow from the losses."""

import functools
import re
from pathlib import Path

import pytest
import torch

from fastloss import functional

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))
LIBRARIES = ("lightning", "timm", "transformers")


def recipes():
    """Python under each heading, its blocks one after the other."""
    for page in PAGES:
        for part in re.split(r"^#+ ", page.read_text(), flags=re.MULTILINE):
            if blocks := re.findall(r"^```python\n(.*?)^```", part, re.DOTALL | re.MULTILINE):
                yield pytest.param("\n".join(blocks), id=f"{page.stem}: {part.splitlines()[0]}")


@pytest.mark.parametrize("program", list(recipes()))
def test_examples_of_pages_run(program, monkeypatch):
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))  # no C++ compiler
    try:
        exec(program, {})
    except ModuleNotFoundError as error:
        if error.name not in LIBRARIES:
            raise
        pytest.skip(f"{error.name} is not installed")


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_links_of_pages_lead_somewhere(page):
    """To a file of the repository, or to a page that is made of a loss."""
    made = {*functional.__all__, "index"}
    folder = ROOT if page.name == "index.md" else page.parent
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        target = folder / link
        is_loss = target.parent.name == "losses" and target.name in made
        assert is_loss or target.exists() or link in ("accuracy.rst", "conventions.rst"), link


def test_what_sphinx_is_told_of_docstrings():
    """Options under a heading of their own, facts as fields, names as links: in every docstring, and nothing lost."""
    pytest.importorskip("sphinx")
    pytest.importorskip("latex2mathml")
    import sys

    sys.path.append(str(ROOT / "docs"))
    import conf

    for name in functional.__all__:
        text = getattr(functional, name).__doc__
        made = conf.restructured(text)
        assert not conf.OPTIONS.search(made)
        assert not conf.NAME.search(re.sub(r":[\w:]+:`[^`]*`", "", made)), name
        for word in ("Args:", "Example:"):
            assert made.count(f"\n{word}\n") == text.count(f"\n{word}\n")
    assert conf.restructured(
        "A `cross_entropy`.\n\nArgs:\n    x: |x|.\n\nReturns:\n    The loss: one.\n\nMemory: |x|.\n    More."
    ) == (
        "A :py:obj:`cross_entropy <fastloss.functional.cross_entropy>`.\n\nArgs:\n    x: \\|x\\|.\n\n"
        ":Returns:\n    The loss: one.\n\n:Memory: \\|x\\|.\n    More.\n"
    )
