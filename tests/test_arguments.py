"""What is no tensor, and tensors of no rows: the same for every loss of every family."""

import inspect
import warnings

import numpy as np
import pytest
import torch
from cases import COMPOSED, EVERY, LINEAR, REDUCTIONS, SIMILARITY, SOFTMAX

import fastloss

pytestmark = pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")
GAN = ("gan_generator_loss", "gan_discriminator_loss")


def arguments(case, rows, width=5):
    """Of a call, by name; a tensor requires a gradient where the loss has one to give."""
    size = (rows,) if case.engine == "elements" else (rows, width)
    made = case.make(size, {"symmetric": True} if case.name == "info_nce_loss" else {})
    return {k: v for k, v in made.items() if k not in ("symmetric", "temperature")}


def strided(t, step):
    """The same numbers in memory with gaps: every dimension's stride is odd."""
    leaf = t.detach()
    sizes = [2 * n + 3 for n in leaf.shape]
    room = torch.zeros(step * max(1, int(np.prod(sizes))) + 7, dtype=leaf.dtype)
    strides, stride = [], 1
    for n in reversed(leaf.shape):
        stride = stride * step
        strides.insert(0, stride)
        stride = max(1, stride * n) + (1 if stride * n % 2 == 0 else 0)
    made = room.as_strided(leaf.shape, strides, 3)
    return made.copy_(leaf).requires_grad_(t.requires_grad)


def solved(fn, given, **options):
    """Loss and gradients, or the type of the error."""
    leaves = [t for t in given.values() if isinstance(t, torch.Tensor) and t.requires_grad]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loss = fn(**given, **options)
            if not loss.requires_grad:
                return [loss]
            return [loss, *torch.autograd.grad(loss.sum(), leaves, allow_unused=True)]
    except Exception as error:
        return [type(error)]


@pytest.mark.parametrize("rows", [0, 1, 4])
@pytest.mark.parametrize("where", ["functional", "reference"])
@pytest.mark.parametrize("case", EVERY, ids=str)
def test_odd_strides(case, where, rows):
    """Of no rows, too: the loss, and gradients of the arguments' shapes, as for dense tensors."""
    fn = getattr(case, where)
    given = arguments(case, rows)
    by_class = {**dict.fromkeys((*SOFTMAX, *COMPOSED), 5), **dict.fromkeys(LINEAR, 13)}.get(case)
    weight = torch.ones(by_class or case.values((rows,) if case.engine == "elements" else (rows, 5)))
    for step in (1, 3):
        odd = {k: strided(t, step) if isinstance(t, torch.Tensor) else t for k, t in given.items()}
        for reduction in REDUCTIONS:
            for extra in ({}, {"weight": weight})[: 1 + ("weight" in case.parameters.keys() - given.keys())]:
                there = {k: strided(t, step) for k, t in extra.items()}
                wanted = solved(fn, given, reduction=reduction, **extra)
                found = solved(fn, odd, reduction=reduction, **there)
                assert len(found) == len(wanted)
                for a, b in zip(found, wanted, strict=True):
                    if not isinstance(b, torch.Tensor):
                        assert a is b
                        continue
                    torch.testing.assert_close(a, b, equal_nan=True)


NO_TENSORS = {"list": [1.0, 2.0], "number": 1.0, "ndarray": np.ones(4), "word": "mean"}
NO_NUMBERS = {"list": [1.0], "ndarray": np.ones(2), "word": "4", "dict": {}}


def tensor_arguments(case):
    """Every argument that must be a tensor, or nothing, by name."""
    parameters = inspect.signature(case.functional).parameters
    names = [n for n, p in parameters.items() if "Tensor" in str(p.annotation) and "float" not in str(p.annotation)]
    options = ["weight", *(["mask"] if case not in SIMILARITY else [])]
    return [*dict.fromkeys([*names, *(name for name in options if name in case.parameters)])]


TENSOR_ARGUMENTS = [
    pytest.param(case, where, name, id=f"{case}-{name}-{where}")
    for case in EVERY
    for name in tensor_arguments(case)
    for where in ("functional", "reference", *(["module"] if case.bare else []))
    if (str(case), name, where) != ("triplet_margin_loss", "labels", "reference")  # which is another function there
]


def call(case, where, given, name, value):
    """The loss with ``value`` as the argument ``name``, which a module takes when it is made or in a call."""
    if where != "module":
        return getattr(case, where)(**{**given, name: value})
    needed = case.needed(given)
    given = {key: value for key, value in given.items() if key not in needed}
    if name in inspect.signature(case.module).parameters:
        return case.module(**{**needed, name: value})(*given.values())
    if name in given:
        return case.module(**needed)(*{**given, name: value}.values())
    return case.module(**needed)(*given.values(), **{name: value})


@pytest.mark.parametrize(("case", "where", "name"), TENSOR_ARGUMENTS)
def test_what_is_no_tensor(case, where, name):
    """A TypeError that names the argument and its type."""
    for rows in (4, 600):
        given = arguments(case, rows)
        if (case.name, name) in (("supcon_loss", "mask"), ("triplet_margin_loss", "labels")):
            given = dict([next(iter(given.items()))])  # what goes with it
        for value in NO_TENSORS.values():
            with pytest.raises(
                TypeError, match=rf"^fastloss\.\w+: {name} is {type(value).__name__}, expected a Tensor"
            ):
                call(case, where, given, name, value)


@pytest.mark.parametrize("where", ["functional", "reference"])
@pytest.mark.parametrize("case", EVERY, ids=str)
def test_what_is_no_normalizer(case, where):
    for rows in (4, 600):
        given = arguments(case, rows)
        for value in NO_NUMBERS.values():
            with pytest.raises(TypeError, match=rf"^fastloss\.{case.name}: normalizer is {type(value).__name__}, "):
                getattr(case, where)(**given, reduction="mean", normalizer=value)
        for value in (torch.ones(2), torch.ones(0)):
            with pytest.raises(ValueError, match=rf"^fastloss\.{case.name}: normalizer has shape"):
                getattr(case, where)(**given, reduction="mean", normalizer=value)


@pytest.mark.parametrize("name", GAN)
def test_scores_that_are_no_tensors(name):
    for where in (fastloss.functional, fastloss.reference):
        arity = len([p for p in inspect.signature(getattr(where, name)).parameters if p in ("real", "fake")])
        for value in NO_TENSORS.values():
            for mode in ("non_saturating", "hinge", "least_squares", "wasserstein"):
                with pytest.raises(TypeError, match=rf"^fastloss\.{name}: (real|fake) is {type(value).__name__}, "):
                    getattr(where, name)(*[value] * arity, mode)
