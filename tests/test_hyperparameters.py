"""What a hyperparameter may be is the same for every type of number, at every size, for every loss."""

import inspect
import math

import numpy as np
import pytest
import torch
from cases import CASES, PAIRS, POINTWISE, SIMILARITY, make, make_pairs, make_points, make_similarity

from fastloss import _options

pytestmark = pytest.mark.filterwarnings("ignore:reduction. 'mean' divides", "ignore:Using a target size")
EVERY = (*CASES, *POINTWISE, *PAIRS, *SIMILARITY)
SMALL, LARGE = "small", "large"


def arguments(case, size):
    """Of a call of about 10 or 100,000 elements, none of which requires a gradient."""
    few = size == SMALL
    if case in CASES:
        made = dict(zip(("input", "target"), make((2, 5) if few else (250, 400)), strict=True))
    elif case in SIMILARITY:
        n, width = (4, 3) if few else (256, 200)  # the longer ones beyond one operator
        made = make_similarity(case, case.params[0], n, width)
    else:
        shape = (2,) if few else (100_000,)
        tensors = make_points(case, shape) if case in POINTWISE else make_pairs(case, shape, 4)
        made = dict(zip(inspect.signature(case.functional).parameters, tensors, strict=False))
    return {k: v.detach() if isinstance(v, torch.Tensor) else v for k, v in made.items()}


def names_of(case):
    """Of arguments that are numbers; those of PyTorch's that take no tensor there are its own matter."""
    parameters = inspect.signature(case.functional).parameters.values()
    names = [p.name for p in parameters if "float" in str(p.annotation) and p.name not in ("var", "p", "normalizer")]
    return names + (["p"] if case.name == "hinge_loss" else [])


HYPERPARAMETERS = [pytest.param(case, name, id=f"{case}-{name}") for case in EVERY for name in names_of(case)]
# PyTorch 2.10 takes a variance below NaN as it is.
CLAMPS_TO_NAN = bool(torch.nn.functional.gaussian_nll_loss(*torch.ones(3, 2), eps=math.nan).isnan())
VALUES = (0.5, 1.0, 0.0, -1.0, -0.5, 2.0, 7.0, math.inf, -math.inf, math.nan)


def forms(value):
    """The number as everything that holds it."""
    yield np.float64(value)
    yield np.float32(value)
    yield torch.tensor(value)
    yield torch.tensor(value, dtype=torch.float64)
    yield torch.tensor(value, dtype=torch.bfloat16)
    yield torch.tensor(value, requires_grad=True)
    if value == value and abs(value) < math.inf and value == int(value):
        yield int(value)
        yield np.int64(value)
        yield torch.tensor(int(value))
        if value in (0, 1):
            yield bool(value)


def outcome(fn, given):
    """The type of the error, or whether the loss is a number."""
    try:
        loss = fn(**given)
    except Exception as error:
        return type(error)
    return bool(loss.isnan().all())


@pytest.mark.parametrize("size", [SMALL, LARGE])
@pytest.mark.parametrize(("case", "name"), HYPERPARAMETERS)
def test_every_type_of_number_is_taken_or_refused_alike(case, name, size):
    given = arguments(case, size)
    for value in VALUES if size == SMALL else (0.5, -1.0, math.inf, math.nan):
        if name == "eps" and math.isnan(value) and not CLAMPS_TO_NAN:
            continue
        wanted = outcome(case.functional, {**given, name: value})
        assert outcome(case.reference, {**given, name: value}) == wanted, (value, "reference")
        for form in forms(value):
            learned = isinstance(form, torch.Tensor) and form.requires_grad
            if learned and name in ("logit_scale", "logit_bias") and not math.isfinite(value):
                continue  # a scale that has become infinite in training makes a loss that is none, as in PyTorch
            for fn in (case.functional, case.reference):
                assert outcome(fn, {**given, name: form}) == wanted, (value, form, fn)


@pytest.mark.parametrize(("case", "name"), HYPERPARAMETERS)
def test_what_makes_every_loss_nan_is_refused(case, name):
    """Unless PyTorch has the loss, and takes it."""
    given = arguments(case, SMALL)
    takes_more = getattr(case, "native_module", None) is not None and case.name != "softmax_focal_loss"
    extra = name in ("z_loss", "softcap") or name in _options.names(_options.RowOptions)
    for value in (*VALUES, 1e30, -1e30):
        found = outcome(case.functional, {**given, name: value})
        if takes_more and not extra:
            native = outcome(lambda **kw: case.native(**kw), {**given, name: value})
            assert found == native or (native is True and found is False), value
        else:
            assert found is not True, value
