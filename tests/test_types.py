"""What type checkers see: the stubs are those of the signatures, the signatures hold, and errors are found."""

import ast
import inspect
import json
import re
import subprocess
import sys
import warnings
from importlib.util import find_spec
from inspect import Parameter
from pathlib import Path

import pytest
import stubs
import torch

import fastloss
from fastloss import functional, nn, reference

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("path", stubs.stubs(), ids=lambda path: path.parent.name)
def test_stubs_are_of_these_signatures(path):
    assert (ROOT / path).read_text() == stubs.stubs()[path], f"{path} differs from the signatures: run make stubs"


def test_packages_contain_the_stubs(tmp_path):
    if not (ROOT / "setup.py").exists():
        pytest.skip("not a source checkout")
    command = [sys.executable, "setup.py", "--quiet", "build_py", "--build-lib", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    for path in [*stubs.stubs(), Path("fastloss/py.typed"), Path("fastloss/_C.pyi")]:
        assert (tmp_path / path).read_text() == (ROOT / path).read_text()


# ------------------------------------------------------------------------------- the stubs against the calls themselves

LOSSES = [name for name in functional.__all__ if hasattr(getattr(functional, name), "record")]


def example(what):
    """The call in the last line of a docstring's example: what is called, and with which arguments."""
    lines = re.findall(r"^ *>>> (.*)", inspect.getdoc(what), re.MULTILINE)
    names = {"torch": torch, "fastloss": fastloss}
    exec("\n".join(lines[:-1]), names)
    call = ast.parse(lines[-1]).body[0].value.func.value  # of call.backward()
    value = lambda node: eval(ast.unparse(node), names)  # noqa: E731
    return value(call.func), [value(a) for a in call.args], {k.arg: value(k.value) for k in call.keywords}


def same(first, second):
    """Whether two paths may have given these."""
    return first.dtype == second.dtype and torch.allclose(first, second, rtol=1e-5, atol=1e-6)


def settings(parameters, given):
    """Each argument that a call leaves out, with the default that the stub says it has."""
    return {n: p.default for n, p in parameters.items() if n not in given and p.default not in (Parameter.empty, ...)}


def check(function, args, kwargs, parameters):
    """Every argument of the stub is taken, is what it is by default, and there is no other."""
    loss = function(*args, **kwargs)
    given = [*list(parameters)[: len(args)], *kwargs]
    if "mining" in parameters and "labels" not in kwargs:
        given += stubs.NOT_OF_REFERENCES  # of triplets that are found, not given
    for name, default in settings(parameters, given).items():
        assert same(function(*args, **kwargs, **{name: default}), loss), name
    with pytest.raises(TypeError, match="typo"):
        function(*args, **kwargs, typo=3)
    if (words := parameters.get("reduction")) is not None and words.annotation != "str":
        for word in ("none", "mean", "sum", "batchmean", "avg"):
            if f'"{word}"' in words.annotation:
                function(*args, **{**kwargs, "reduction": word})
            else:
                with pytest.raises(ValueError, match=word):
                    function(*args, **{**kwargs, "reduction": word})


@pytest.fixture(autouse=True)
def _ignore_warnings_of_torch():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # kl_div's of "mean", and of what is deprecated
        yield


@pytest.mark.parametrize("name", LOSSES)
def test_functions_take_what_their_stubs_say(name):
    function, args, kwargs = example(getattr(functional, name))
    assert function is getattr(functional, name)
    check(function, args, kwargs, stubs.function_parameters(name))
    check(getattr(reference, name), args, kwargs, stubs.reference_parameters(name))


@pytest.mark.parametrize(
    "function", [functional.triplet_margin_loss, nn.TripletMarginLoss()], ids=["function", "module"]
)
def test_triplets_that_are_found(function):
    embeddings, labels = torch.randn(6, 4), torch.tensor([0, 0, 1, 1, 2, 2])
    parameters = stubs.function_parameters("triplet_margin_loss")
    check(function, [embeddings], {"labels": labels}, {n: parameters[n] for n in stubs.NOT_OF_REFERENCES})


@pytest.mark.parametrize("name", [name for name in nn.__all__ if name != "AdaptiveLogSoftmaxWithLoss"])
def test_modules_take_what_their_stubs_say(name):
    module = getattr(nn, name)
    criterion, args, kwargs = example(module)
    assert type(criterion) is module
    check(criterion, args, kwargs, stubs.call(type(getattr(criterion, "criterion", criterion))))
    modes = getattr(module, "_modes", {None: module})
    for mode, parameters in zip(modes, stubs.constructors(module), strict=True):
        given = {} if mode is None else {"mode": mode}
        if mode == "sigmoid":
            args = [args[0], torch.rand_like(args[0])]
        if name == "KLDivLoss":
            given["reduction"] = "batchmean"
        if name == "LinearCrossEntropyLoss":
            given.update(in_features=16, num_classes=100)
        elif mode is None:
            given |= {key: getattr(criterion, key) for key, p in parameters.items() if p.default is p.empty}
        torch.manual_seed(0)  # of a module that has a layer
        loss = module(**given)(*args, **kwargs)
        for key, default in settings(parameters, given).items():
            torch.manual_seed(0)
            made = module(**given, **{key: default})
            assert same(made(*args, **kwargs), loss), key
            if key not in stubs.call(module) and key != "distance_function":  # for which PyTorch makes a module
                assert getattr(made if mode is None else made.criterion, key, default) == default
        with pytest.raises(TypeError, match="typo"):
            module(**given, typo=3)


# ------------------------------------------------------------------------------------------------------- type checkers

HEADER = """\
import torch
from torch import Tensor
from typing_extensions import assert_type

import fastloss
from fastloss import PointStats, RowStats, functional, nn, reference
"""
# Of ``x``, a tensor, and ``flag``, a bool.
RIGHT = (
    "assert_type(functional.huber_loss(x, x), Tensor)",
    "assert_type(functional.huber_loss(x, x, return_stats=True), tuple[Tensor, PointStats])",
    "assert_type(functional.huber_loss(x, x, return_stats=flag), Tensor | tuple[Tensor, PointStats])",
    "assert_type(functional.cross_entropy(x, x, return_stats=True)[1], RowStats)",
    "assert_type(functional.contrastive_loss(x, x, x, distance='cosine', mask=None), Tensor)",
    "assert_type(functional.info_nce_loss(x, x, temperature=x, multi_positive='in'), Tensor)",
    "assert_type(functional.gan_generator_loss(x, mode='hinge', reduction='sum'), Tensor)",
    "assert_type(functional.count_positives(x, 5, ignore_index=255), Tensor)",
    "functional.huber_loss(x, x, 'sum', x, x, mask=x > 0, normalizer=x, empty='zero', loss_dtype=torch.float64)",
    "functional.mse_loss(x, x, reduce_dims=(0, 1))",
    "functional.kl_div(x, x, reduction='batchmean')",
    "functional.triplet_margin_loss(x, labels=x, mining='all', normalize=True)",
    "assert_type(reference.huber_loss(x, x, return_stats=True), tuple[Tensor, PointStats])",
    "assert_type(reference.info_nce_loss(x, x, temperature=0.1), Tensor)",
    "fastloss.HuberLoss('none', 0.5)",
    "fastloss.HuberLoss(delta=x, mask=x > 0)",
    "assert_type(fastloss.HuberLoss(), fastloss.HuberLoss)",
    "assert_type(fastloss.HuberLoss()(x, x), Tensor)",
    "assert_type(nn.HuberLoss().forward(x, x, mask=None), Tensor)",
    "assert_type(fastloss.HuberLoss()(x, x, return_stats=True), tuple[Tensor, PointStats])",
    "assert_type(fastloss.HuberLoss(return_stats=True)(x, x), tuple[Tensor, PointStats])",
    "assert_type(fastloss.HuberLoss(return_stats=True)(x, x, return_stats=False), Tensor)",
    "assert_type(fastloss.HuberLoss(return_stats=flag)(x, x), Tensor | tuple[Tensor, PointStats])",
    "assert_type(fastloss.CrossEntropyLoss(z_loss=1e-4)(x, x, return_stats=True)[1], RowStats)",
    "assert_type(fastloss.FocalLoss(mode='sigmoid', return_stats=True)(x, x)[1], PointStats)",
    "assert_type(fastloss.FocalLoss(mode='softmax', return_stats=True)(x, x)[1], RowStats)",
    "assert_type(fastloss.InfoNCELoss(temperature=0.1)(x, x, negatives=x), Tensor)",
    "assert_type(fastloss.InfoNCELoss().temperature, float | Tensor)",
    "assert_type(fastloss.GANDiscriminatorLoss('hinge')(x, x), Tensor)",
    "assert_type(fastloss.HuberLoss().reduction, str)",
    "drop_in: torch.nn.HuberLoss = fastloss.HuberLoss()",
    "drop_in: torch.nn.CrossEntropyLoss = fastloss.CrossEntropyLoss(label_smoothing=0.1)",
    "module: torch.nn.Module = fastloss.SupConLoss()",
    "torch.nn.ModuleList([fastloss.HuberLoss(), fastloss.FocalLoss()])",
    "fastloss.HuberLoss(return_stats=True)(x, x)[1].grad_norm.item()",
    "fastloss.explain(functional.huber_loss, x, x).path",
    "functional.rows.__all__",
    "assert_type(fastloss.Objective(task=(fastloss.MSELoss(), 1.0))(task=(x, x)).total, Tensor)",
    "fastloss.Objective(task=(functional.huber_loss, fastloss.schedules.warmup(0.1, 5)), aux=(torch.sum, x))",
    "assert_type(fastloss.UncertaintyWeighting(2)([x, x]), Tensor)",
    "fastloss.backward([x, x], strategy='mgda', params=[x])",
    "fastloss.l1_penalty(torch.nn.Linear(1, 1).named_parameters(), 1e-4, exclude=('bias', x))",
    "assert_type(fastloss.LossTracker().means, dict[str, float])",
)
WRONG = (
    "fastloss.HuberLoss(typo=3)",
    "fastloss.HuberLoss(reduction='avg')",
    "fastloss.HuberLoss('mean', 1.0, 3)",
    "fastloss.HuberLoss(delta='wide')",
    "fastloss.HuberLoss(empty='none')",
    "fastloss.HuberLoss(z_loss=0.1)",
    "fastloss.HuberLoss()(x)",
    "fastloss.HuberLoss()(x, 1.0)",
    "fastloss.HuberLoss()(x, x, typo=3)",
    "fastloss.HuberLoss().forward(x, x, typo=3)",
    "fastloss.HuberLoss()(x, x)[1].grad_norm",
    "assert_type(fastloss.HuberLoss(return_stats=True)(x, x), Tensor)",
    "fastloss.MSELoss(reduction='batchmean')",
    "fastloss.GaussianNLLLoss(True)",
    "fastloss.CrossEntropyLoss(mask=3)",
    "fastloss.FocalLoss(mode='both')",
    "fastloss.FocalLoss(mode='sigmoid', z_loss=0.1)",
    "fastloss.InfoNCELoss(return_stats=True)",
    "fastloss.InfoNCELoss(negatives=x)",
    "fastloss.GANGeneratorLoss(mode='wgan')",
    "fastloss.GANGeneratorLoss(reduction='none')",
    "drop_in: torch.nn.MSELoss = fastloss.HuberLoss()",
    "functional.huber_loss(x, x, typo=3)",
    "functional.huber_loss(x, x, reduction='avg')",
    "functional.huber_loss(x, x, 'mean', 1.0, None, None)",
    "functional.l1_loss(x, x, reduction='batchmean')",
    "functional.contrastive_loss(x, x, x, distance='manhattan')",
    "functional.info_nce_loss(x, x, temperature='low')",
    "functional.cross_entropy(x, x, ignore_index=0.5)",
    "functional.huber_loss(x, x).grad_norm",
    "functional.no_such_loss",
    "reference.huber_loss(x, x, typo=3)",
    "reference.info_nce_loss(x, x, memory_budget=1)",
    "fastloss.NoSuchLoss()",
    "fastloss.Objective(task=fastloss.MSELoss())",
    "fastloss.schedules.linear(0.0, 1.0)",
    "fastloss.backward([x, x], params=[3.0])",
    "fastloss.LossTracker().update({'task': 'low'})",
)
SNIPPETS = (*RIGHT, *WRONG)
FIRST = len(HEADER.splitlines()) + 3  # the line of the first snippet; each takes three


def mypy(path):
    """Errors in the file, under the settings of the package."""
    command = [sys.executable, "-m", "mypy", "--no-error-summary", "--no-pretty", str(path)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 1, result.stdout + result.stderr  # 0: no error at all, 2: mypy's own
    # From its cache mypy repeats what it said of an equal file, with the folder of then.
    return re.findall(rf"^.*\b{re.escape(path.name)}:(\d+): (error: .*)", result.stdout, re.MULTILINE)


def basedpyright(path):
    """Errors in the file, and, as if they were of its first line, in the stubs."""
    files = [str(path), *(str(ROOT / stub) for stub in stubs.stubs())]
    config = {
        "typeCheckingMode": "standard",
        "extraPaths": [str(ROOT)],
        "include": files,
        "reportIncompatibleMethodOverride": False,  # a drop-in's forward may return a pair
    }
    (path.parent / "pyrightconfig.json").write_text(json.dumps(config))
    command = [sys.executable, "-m", "basedpyright", "--outputjson", "--pythonpath", sys.executable]
    result = subprocess.run([*command, "--project", str(path.parent)], capture_output=True, text=True, check=False)
    found = [d for d in json.loads(result.stdout)["generalDiagnostics"] if d["severity"] == "error"]
    return [(1 + d["range"]["start"]["line"] if d["file"] == str(path) else 1, d["message"]) for d in found]


@pytest.fixture(scope="module", params=[mypy, basedpyright], ids=lambda checker: checker.__name__)
def errors(request, tmp_path_factory):
    """What a checker says, by the number of the snippet, or by "elsewhere"."""
    if find_spec(request.param.__name__) is None:
        pytest.skip(f"{request.param.__name__} is not installed")
    path = tmp_path_factory.mktemp(request.param.__name__) / "snippets.py"
    functions = (f"\ndef f{i}(x: Tensor, flag: bool) -> None:\n    {code}" for i, code in enumerate(SNIPPETS))
    path.write_text(HEADER + "\n".join(functions) + "\n")
    found = {}
    for line, message in request.param(path):
        number, rest = divmod(int(line) - FIRST, 3)
        found.setdefault(number if number >= 0 and not rest else "elsewhere", []).append(message)
    return found


@pytest.mark.parametrize("number", range(len(SNIPPETS)), ids=SNIPPETS.__getitem__)
def test_checkers_find_errors_and_only_those(errors, number):
    assert (number in errors) == (SNIPPETS[number] in WRONG), errors.get(number)


def test_no_error_elsewhere(errors):
    assert "elsewhere" not in errors, errors["elsewhere"]
