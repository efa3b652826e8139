"""``python docs/make.py``: the site, and the Markdown of every page beside it.

The tree that Sphinx reads is made first: the pages that lie here, the documents that lie beside the code, and what
follows from the losses themselves: a page for each, the list of all, what other libraries compute under the same name,
and the errors. Paths are those of the repository, so that one link serves both.
"""

from __future__ import annotations

import inspect
import re
import shutil
import sys
from pathlib import Path
from typing import Any

from sphinx.cmd.build import main as sphinx

sys.path.append(str(Path(__file__).parents[1]))
sys.path.append(str(Path(__file__).parents[1] / "tests"))
import accuracy
import docstrings
import pictures
import rates
import stubs

import fastloss
from fastloss import functional, nn

ROOT = Path(__file__).resolve().parents[1]
SOURCE, SITE = ROOT / "build/docs", ROOT / "site"
COPIED = [
    *(
        "docs/*.md",
        "docs/guides/*",
        "csrc/README.md",
        "csrc/notes/*.md",
        "benchmarks/README.md",
        "benchmarks/results/*.md",
    ),
    *("CONTRIBUTING.md", "SECURITY.md", "CODE_OF_CONDUCT.md", "fastloss/CHANGELOG.md"),
]
MODULES = {made._function.__name__: name for name, made in vars(nn).items() if hasattr(made, "_function")}
APART = [name for name in nn.__all__ if not hasattr(getattr(nn, name), "_function")]
TABLE = re.compile(r"^ *=+(?: +=+)+\n(?:.*\n)+? *=+(?: +=+)+$", re.MULTILINE)


def heading(text: str, under: str = "=") -> str:
    return f"{text}\n{under * len(text)}\n\n"


def listed(rows: list[list[str]], widths: str) -> str:
    """A table, its heading first."""
    lines = [f".. list-table::\n   :header-rows: 1\n   :widths: {widths}\n"]
    lines += ["   * - " + "\n     - ".join(row) for row in rows]
    return "\n".join(lines) + "\n\n"


def families() -> dict[str, list[str]]:
    """The functions of each family, by the title that the README has for it."""
    found: dict[str, list[str]] = {}
    for name in sorted(functional.__all__):
        family = getattr(functional, name).__module__.rpartition(".")[2]
        found.setdefault(stubs.FAMILIES.get(family, "Helpers"), []).append(name)
    return {title: found[title] for title in [*stubs.FAMILIES.values(), "Helpers"]}


def first_sentence(what: Any) -> str:
    paragraph = " ".join((inspect.getdoc(what) or "").partition("\n\n")[0].split())
    return re.split(r"(?<=[a-z)`])(?<!et al)[.:](?: |$)", paragraph)[0]


def numbers(name: str) -> str:
    rows = [["dtype", "loss, ours", "loss, theirs", "gradient, ours", "gradient, theirs"]]
    for dtype, (ours, theirs) in accuracy.errors(name).items():
        values = (ours.loss, theirs.loss, ours.gradient, theirs.gradient)
        rows.append([dtype, *(f"{value:.1e}" for value in values)])
    return listed(rows, "16 21 21 21 21")


def speed(name: str) -> str:
    """What the loss must move, and how near the roof recorded runs are: a copy into warm memory, or matrix products."""
    said = rates.traffic(name)
    found = rates.recorded().get(name, [])
    if not said and not found:
        return ""
    text = heading("Bytes and the roof", "-") + (f"{said}\n\n" if said else "")
    if found:
        text += (
            "Recorded runs, forward and backward (:doc:`/docs/measured`). The roof is the time of a copy of these "
            "bytes into warm memory, of losses of all pairs that of their matrix products alone.\n\n"
        )
        rows = [["what", "kernels", "MB", "us", "% of the roof", "x eager"]]
        rows += [[r.row, r.kernels, f"{r.megabytes:g}", r.microseconds, r.roof, r.eager] for r in found]
        text += listed(rows, "32 16 12 14 14 12")
    return text


def loss_page(name: str, folder: Path) -> str:
    text = heading(name)
    if what := pictures.draw(name, folder / f"{name}.svg"):
        text += f".. image:: {name}.svg\n   :alt: value and gradient of {name} against the {what}\n\n"
    text += f".. autofunction:: fastloss.functional.{name}\n\n"
    if accuracy.errors(name):
        text += heading("Error against float64", "-")
        text += f"Theirs is {accuracy.other(name)}, in the same dtype, of the same numbers: :doc:`/docs/accuracy`.\n\n"
        text += numbers(name)
    text += speed(name)
    if name in MODULES:
        text += heading("Module", "-") + f".. autoclass:: fastloss.{MODULES[name]}\n"
    return text


def loss_list() -> str:
    text = heading("All losses") + "Each is a function of ``fastloss.functional`` and, where named, a module.\n\n"
    for title, names in families().items():
        rows = [["function", "module", "what it is"]]
        for name in names:
            said = re.sub(r"(?<!`)`(\w+)`(?!`)", r"``\1``", first_sentence(getattr(functional, name)))
            rows.append([f":doc:`{name}`", f"``{MODULES[name]}``" if name in MODULES else "\\-", said])
        text += heading(title, "-") + listed(rows, "30 25 45")
    text += heading("Modules without a function", "-")
    text += "".join(f".. autoclass:: fastloss.{name}\n\n" for name in APART)
    return text + ".. toctree::\n   :hidden:\n\n" + "".join(f"   {name}\n" for name in sorted(functional.__all__))


def api() -> str:
    """What is no loss: classes and functions, and those of modules."""
    text = heading("Everything else in fastloss") + ".. py:module:: fastloss\n\n"
    names = {*fastloss.__all__} - {*nn.__all__, "functional", "nn", "reference"}
    for name in sorted(names):
        what = getattr(fastloss, name)
        if inspect.isclass(what):
            text += f".. autoclass:: fastloss.{name}\n\n"
        elif inspect.isfunction(what):
            text += f".. autofunction:: fastloss.{name}\n\n"
        elif inspect.ismodule(what):
            own = (key for key, value in vars(what).items() if getattr(value, "__module__", "") == what.__name__)
            members = ", ".join(key for key in own if key[0] != "_")
            text += f".. automodule:: fastloss.{name}\n   :members: {members}\n\n"
    return text


def conventions() -> str:
    """What docstrings say of other libraries: the paragraph "Equivalent to" and the tables."""
    text = heading("Same name, different numbers")
    text += (
        "Libraries give one name to different losses, and one loss different names, defaults and divisors. "
        "This page gathers what the docstrings say: which call of fastloss gives the numbers of which library.\n\n"
    )
    documented = [(name, inspect.getdoc(getattr(functional, name)) or "") for name in sorted(functional.__all__)]
    for name, doc in documented:
        same = re.search(r"^Equivalent to [^\n]*(?:\n(?! *\n).*)*", doc, re.MULTILINE)
        tables = [found[0] for found in TABLE.finditer(doc) if re.search(r"torch|smp|MONAI|mm[cd]|kornia", found[0])]
        if same or tables:
            text += heading(f":doc:`{name} <losses/{name}>`", "-")
            text += docstrings.restructured(inspect.cleandoc(same[0])) + "\n\n" if same else ""
            text += "".join(inspect.cleandoc("\n" + table) + "\n\n" for table in tables)
    doc = inspect.getdoc(sys.modules["fastloss.reference.similarity"]) or ""
    return text + heading("Losses of all pairs", "-") + docstrings.restructured(doc) + "\n"


def accuracy_page() -> str:
    size = " x ".join(map(str, accuracy.SIZE))
    text = heading("Accuracy") + (
        f"Largest errors against float64 of the mean and of its gradients, on {size} numbers that the tests draw, "
        f"measured when this page was built, on a CPU with the kernels of ``{fastloss.isa.active() or 'none'}``. An "
        "error of a gradient is relative to the gradient's largest entry. *Theirs* is PyTorch's function, else the "
        "expression that users write, else the plain formula in the same dtype. Rounding a number costs up to 3.9e-03 "
        "of it in bfloat16, 4.9e-04 in float16, 6.0e-08 in float32.\n\n"
    )
    rows = [["loss", "dtype", "loss, ours", "theirs", "gradient, ours", "theirs"]]
    for name in sorted(functional.__all__):
        for dtype, (ours, theirs) in accuracy.errors(name).items():
            values = (ours.loss, theirs.loss, ours.gradient, theirs.gradient)
            rows.append([f":doc:`losses/{name}`", dtype, *(f"{value:.1e}" for value in values)])
    return text + listed(rows, "30 14 14 14 14 14")


def write_sources() -> None:
    shutil.rmtree(SOURCE, ignore_errors=True)
    for pattern in COPIED:
        for file in ROOT.glob(pattern):
            copy = SOURCE / file.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, copy)
    (SOURCE / "docs/index.md").rename(SOURCE / "index.md")
    folder = SOURCE / "docs/losses"
    folder.mkdir()
    for name in functional.__all__:
        (folder / f"{name}.rst").write_text(loss_page(name, folder))
    (folder / "index.rst").write_text(loss_list())
    for page, text in {"api": api(), "conventions": conventions(), "accuracy": accuracy_page()}.items():
        (SOURCE / f"docs/{page}.rst").write_text(text)


def markdown_pages(made: Path) -> None:
    """Puts the Markdown of every page beside the page, and their list into llms.txt (https://llmstxt.org)."""
    sections: dict[str, list[str]] = {"Start": [], "Losses": [], "Source": [], "Benchmarks": []}
    for page in sorted(made.rglob("*.md")):
        place = page.relative_to(made)
        images = "../" * (len(place.parts) - 1) + "_images"
        text = re.sub(r"(!\[.*?\])\([^)]*?([^/)]+)\)", rf"\1({images}/\2)", page.read_text())
        text = re.sub(r", , (?=\w+=)", ", \\*, ", text)  # the star of a signature, which the writer leaves out
        (SITE / place).write_text(text)
        title = re.search(r"^#+ (.*)", text, re.MULTILINE)
        said = f": {first_sentence(getattr(functional, page.stem))}" if page.stem in functional.__all__ else ""
        section = {"csrc": "Source", "benchmarks": "Benchmarks"}.get(place.parts[0], "Losses" if said else "Start")
        sections[section].append(f"- [{title[1] if title else page.stem}]({place}){said}")
    text = f"# fastloss\n\n> {inspect.getdoc(fastloss)}\n\nEvery page is Markdown too.\n"
    text += "".join(f"\n## {name}\n\n" + "\n".join(pages) + "\n" for name, pages in sections.items())
    (SITE / "llms.txt").write_text(text)


def main() -> int:
    write_sources()
    shutil.rmtree(SITE, ignore_errors=True)
    common = ["-q", "-c", str(ROOT / "docs"), "-d", str(ROOT / "build/docs-trees"), str(SOURCE)]
    status = sphinx(["-n", "-W", "--keep-going", *common, str(SITE)])
    markdown = ROOT / "build/docs-markdown"
    shutil.rmtree(markdown, ignore_errors=True)
    status |= sphinx(["-Q", "-b", "markdown", *common, str(markdown)])
    markdown_pages(markdown)
    return status


if __name__ == "__main__":
    sys.exit(main())
