"""The pages of the site: their examples run, their links lead somewhere, and they follow from the losses."""

import functools
import re
import sys
from pathlib import Path

import cases
import pytest
import torch

from fastloss import functional

sys.path.append(str(Path(__file__).parents[1] / "docs"))
import accuracy
import docstrings

ROOT = Path(__file__).parents[1]

PAGES = sorted((ROOT / "docs").glob("*.md"))
LIBRARIES = ("lightning", "pytorch_metric_learning", "timm", "torchvision", "transformers")


def recipes():
    """Python under each heading, its blocks one after the other."""
    for page in PAGES:
        found, under = {}, ""
        for language, block, heading in re.findall(r"^```(\w*)\n(.*?)^```|^#+ ([^\n]*)", page.read_text(), re.M | re.S):
            under = heading or under
            if language == "python":
                found[under] = found.get(under, "") + block
        yield from (pytest.param(program, id=f"{page.stem}: {under}") for under, program in found.items())


@pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")  # lightning's
@pytest.mark.parametrize("program", list(recipes()))
def test_examples_of_pages_run(program, monkeypatch):
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))  # no C++ compiler
    try:
        exec(program, {})
    except ModuleNotFoundError as error:
        if error.name not in LIBRARIES:
            raise
        pytest.skip(f"{error.name} is not installed")


@pytest.mark.parametrize(
    "page",
    [*PAGES, ROOT / "docs/guides/objectives.md", ROOT / "README.md", ROOT / "CONTRIBUTING.md"],
    ids=lambda page: page.name,
)
def test_links_of_pages_lead_somewhere(page):
    """To a file of the repository, or to a page that is made of a loss."""
    made = {*functional.__all__, "index"}
    folder = ROOT if page.name == "index.md" else page.parent
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        target = folder / link
        is_loss = target.parent.name == "losses" and target.name in made
        assert is_loss or target.exists() or link in ("accuracy.rst", "conventions.rst"), link


def test_start_installs_as_the_readme_does():
    blocks = re.findall(r"^```sh\n.*?^```", (ROOT / "docs/index.md").read_text(), re.M | re.S)
    assert blocks
    assert all(block in (ROOT / "README.md").read_text() for block in blocks)


@pytest.mark.parametrize(
    "name", ["huber_loss", "box_iou_loss", "cross_entropy", "triplet_margin_loss", "arcface_loss", "clip_loss"]
)
def test_pictures(name, tmp_path):
    """One of each engine; of a loss that its engine does not draw there is none."""
    pytest.importorskip("matplotlib")
    import pictures

    assert pictures.draw(name, tmp_path / "a.svg")
    assert (tmp_path / "a.svg").read_text().count("<path") > 20
    assert not pictures.draw("ctc_loss", tmp_path / "b.svg")


def test_errors_of_the_accuracy_page():
    assert not accuracy.errors("count_positives")
    for name in ("l1_loss", "clip_loss"):  # the bias of clip_loss has no gradient
        for dtype, (ours, theirs) in accuracy.errors(name).items():
            assert 0 < ours.gradient < 8 * cases.UNIT[accuracy.DTYPES[dtype]] + 2e-6
            assert 0 <= ours.loss <= theirs.loss + 2 * cases.UNIT[accuracy.DTYPES[dtype]]


def test_docstrings_as_sphinx_reads_them():
    """Options under a heading of their own, facts as fields, names as links: in every docstring, and nothing lost."""
    for name in functional.__all__:
        text = getattr(functional, name).__doc__
        made = docstrings.restructured(text)
        assert not docstrings.OPTIONS.search(made)
        assert not docstrings.NAME.search(re.sub(r":[\w:]+:`[^`]*`", "", made)), name
        for word in ("Args:", "Example:"):
            assert made.count(f"\n{word}\n") == text.count(f"\n{word}\n")
    assert docstrings.restructured(
        "A `cross_entropy`.\n\nArgs:\n    x: |x|.\n\nReturns:\n    The loss: one.\n\nMemory: |x|.\n    More."
    ) == (
        "A :py:obj:`cross_entropy <fastloss.functional.cross_entropy>`.\n\nArgs:\n    x: \\|x\\|.\n\n"
        ":Returns:\n    The loss: one.\n\n:Memory: \\|x\\|.\n    More.\n"
    )
