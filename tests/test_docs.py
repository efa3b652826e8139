"""Documents against what they are about."""

import doctest
import inspect
import itertools
import math
import pydoc
import re
from pathlib import Path

import peers
import pytest
import stubs
import torch

import fastloss
from fastloss import functional, isa, nn
from fastloss._core import options as _options
from fastloss._core import signatures as _signatures

ROOT = Path(__file__).parents[1]


LOSSES = [name for name in functional.__all__ if name not in ("box_cost", "class_balanced_weights", "count_positives")]


@pytest.mark.parametrize("name", LOSSES)
def test_docstrings(name):
    """What it returns, each argument once, and of vectors what is true of vectors."""
    text = getattr(functional, name).__doc__
    assert "Returns" in text
    assert len(re.findall(r"^ +(?:\w+, )*weight(?:, \w+)*: ", text, re.MULTILINE)) <= 1
    if name in functional.pairs.__all__:
        assert "the rows' shape" in text
        assert "common shape" not in text


def described(text):
    """Arguments and their texts, from all the lists of a docstring."""
    found = re.findall(r"^    (\w+(?:, \w+)*)(?: \(.*?\))?: +(\S.*(?:\n {5,}.*)*)", text, re.MULTILINE)
    return {name: said for names, said in found for name in names.split(", ")}


@pytest.mark.parametrize("name", LOSSES)
def test_signatures_promise_a_tensor(name):
    """Not the problem that a function written by hand poses."""
    for room in (functional, fastloss.reference):
        if fn := getattr(room, name, None):
            assert "Tensor" in str(inspect.signature(fn).return_annotation), room


@pytest.mark.parametrize("name", nn.__all__)
def test_docstrings_of_modules(name):
    """Each argument with a text of its own, what goes in and comes out, an example, and of drop-ins that they are."""
    module = getattr(nn, name)
    text = inspect.getdoc(module)
    assert re.match(r"[A-Z].*\.\n|[A-Z].*:\n|[A-Z].*\n.*\.\n", text)
    said = described(text)
    parts = getattr(module, "_modes", {"": module}).values()
    if hasattr(module, "_function") or len(parts) > 1:
        wanted = set().union(*map(_signatures.of_constructor, parts), *map(_signatures.of_call, parts), ["output"])
    else:
        wanted = {*inspect.signature(module).parameters, "input", "target", "output"}
    if len(parts) > 1:
        wanted -= {"inputs", "targets"}  # `FocalLoss` has input and target
    assert not wanted - said.keys()
    assert not [argument for argument, words in said.items() if re.match(r"As in|Default", words)]
    headings = [line for line in text.splitlines() if line in ("Args:", "Shape:", "Example:")]
    assert headings == ["Args:", "Shape:", "Example:"]
    assert f"criterion = fastloss.{name}(" in text
    native = getattr(torch.nn, name, None)
    assert (f"``isinstance(criterion, torch.nn.{name})`` holds" in text) == (
        native is not None or "where PyTorch has it" in text
    )
    assert max(map(len, text.splitlines())) <= 116
    assert text.splitlines()[0] in pydoc.render_doc(module, renderer=pydoc.plaintext)


PUBLIC = {
    f"{module.__name__}.{name}": getattr(module, name)
    for module in (fastloss, functional, nn, isa)
    for name in getattr(module, "__all__", ("compiled", "available", "active", "force", "use"))
    if callable(getattr(module, name)) and not name.endswith(("Stats", "Explanation", "Patch"))
}


@pytest.mark.parametrize("name", PUBLIC)
def test_examples_of_docstrings_run(name):
    names = {"torch": torch, "fastloss": fastloss}
    test = doctest.DocTestParser().get_doctest(inspect.getdoc(PUBLIC[name]), names, name, None, 0)
    assert test.examples
    said = []
    assert not doctest.DocTestRunner().run(test, out=said.append).failed, "".join(said)


N, D = 6, 4
Z0, Z1 = torch.randn(2, N, D, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
ARGUMENTS = {
    **dict.fromkeys(("query", "image_features", "z0", "embeddings"), Z0),
    **dict.fromkeys(("key", "text_features", "z1"), Z1),
    "labels": torch.tensor([0, 1, 0, 2, 2, 1]), "temperature": 0.3, "logit_scale": 2.5, "logit_bias": -1.5,
    "pos_margin": 0.1, "neg_margin": 1.2, "alpha": 1.5, "beta": 8.0, "base": 0.4, "m": 0.3, "gamma": 6.0, "margin": 0.4,
}  # fmt: skip
FURTHER = {"mined_triplet_margin_loss": {"mining": "all", "normalize": True}}


def equivalents(name):
    """The expressions after "Equivalent to" in a docstring, and the assignments that they need."""
    text = re.search(r"Equivalent to .*?\n\n", getattr(functional, name).__doc__, re.DOTALL)[0]
    code = [" ".join(found.split()) for found in re.findall("``(.*?)``", text, re.DOTALL)]
    given = [line for line in code if re.match(r"\w+ = ", line)]
    return given, [line for line in code if "(" in line and line not in given]


# The authors' code of supcon_loss is no package.
@pytest.mark.parametrize("name", [name for name in functional.similarity.__all__ if name != "supcon_loss"])
def test_what_docstrings_call_equivalent(name):
    """Each line runs as it stands, and gives the same."""
    function = getattr(functional, name)
    arguments = {k: ARGUMENTS[k] for k in inspect.signature(function).parameters if k in ARGUMENTS}
    names = {**vars(torch), **vars(torch.nn.functional), "inf": math.inf, "N": N, **arguments}
    given, expressions = equivalents(name)
    assert expressions
    first = {re.search(r"\w+", line)[0] for line in expressions}
    classes = {word for word in first - names.keys() if word[0].isupper()}
    for library in (peers.metric_learning, peers.open_clip) if classes else ():
        names.update(vars(library()))
    exec("\n".join(given), names)
    wanted = function(**arguments, **FURTHER.get(name, {}))
    for line in expressions:
        torch.testing.assert_close(eval(line, names), wanted, rtol=1e-6, atol=1e-9)


def options_of(name):
    """The names of a function's keyword arguments, those of its TypedDict too."""
    return _signatures.of_function(getattr(functional, name)).keys()


def test_readme_has_the_options_of_each_family():
    """A cell is - where no loss has the option, names losses where only those have it, else all of them have it."""
    _, found, rest = (ROOT / "README.md").read_text().partition("| option | ")
    assert found
    heading, _, *rows = rest.partition("\n\n")[0].splitlines()
    assert heading == "rows | elements | pairs of vectors | all pairs | heads |"
    families = (functional.rows, functional.pointwise, functional.pairs, functional.similarity, functional.heads)
    described = set()
    for row in rows:
        first, *cells = (cell.strip() for cell in row.strip("|").split("|"))
        options = set(re.findall(r"`(\w+)`", first.partition(":")[0]))
        described |= options
        for option, (family, cell) in itertools.product(options, zip(families, cells, strict=True)):
            having = {name for name in family.__all__ if name in LOSSES and option in options_of(name)}
            named = {name for name in re.findall(r"`(\w+)`", cell) if name in functional.__all__}
            assert having == (named or (set() if cell == "-" else set(family.__all__) & set(LOSSES))), (option, cell)
    typed = (_options.RowOptions, _options.WeightedPointOptions, _options.SimilarityOptions, _options.HeadOptions)
    assert described == set().union(*map(_options.names, typed)) - {"reduction"}
    for name in functional.adversarial.__all__:
        assert not described & options_of(name)


def test_first_example_of_the_readme_runs(capsys):
    example = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1]
    assert len(example.splitlines()) <= 10
    exec(example, {})
    assert "fastloss.cross_entropy\n  path    kernel" in capsys.readouterr().out


def test_readme_names_every_loss():
    assert (ROOT / "README.md").read_text() == stubs.readme(), "run make stubs"


def test_set_up_of_the_readme_is_what_the_workflow_runs():
    workflow = (ROOT / ".github/workflows/weekly.yml").read_text()
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    commands = [line.partition("  #")[0].strip() for block in blocks for line in block.splitlines()]
    assert len(commands) == 4
    assert re.findall(r"- run: ((?:pip|make) .*)", workflow) == commands
