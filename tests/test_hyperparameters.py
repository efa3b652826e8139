"""What a hyperparameter may be is the same for every type of number, at every size, for every loss."""

import inspect
import math

import cases
import numpy as np
import pytest
import torch
from cases import EVERY, LINEAR, SIMILARITY

from fastloss._core import options as _options

pytestmark = pytest.mark.filterwarnings("ignore:reduction. 'mean' divides", "ignore:Using a target size")
SMALL, LARGE = "small", "large"


def arguments(case, size):
    """Of a call of about 10 or 100,000 elements, none of which requires a gradient."""
    sizes = {
        "elements": ((2,), (100_000,)), "products": ((2, 4), (100_000, 4)), "softmax": ((2, 5), (250, 400)),
        "composition": ((2, 5), (250, 400)), "divergence": ((2, 5), (250, 400)),
        "regions": ((2, 5), (2, 5, 10_000)),
        "similarity": ((4, 3), (256, 200)),  # the longer ones beyond one operator
        "linear": ((2, 5), (100, 5)),  # the longer ones in strips
    }  # fmt: skip
    made = case.make(sizes[case.engine][size == LARGE], case.params[0] if case in SIMILARITY else {})
    if case in LINEAR and size == LARGE:
        made["memory_budget"] = 1
    return {k: v.detach() if isinstance(v, torch.Tensor) else v for k, v in made.items()}


def names_of(case):
    """Of arguments that are numbers; those of PyTorch's that take no tensor there are its own matter."""
    parameters = case.parameters.values()
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


# poisson_nll_loss has eps, which does nothing unless log_input is False; the clamp of gaussian_nll_loss hides its eps
# from the gradient; the brackets of circle_loss are constants.
LEARNED = [p for p in HYPERPARAMETERS if p.values[1] != "p" and str(p.values[0]) not in
           ("poisson_nll_loss", "gaussian_nll_loss", "circle_loss")]  # fmt: skip


@pytest.mark.parametrize(("case", "name"), LEARNED)
def test_learned(case, name):
    """A number or a tensor of it, the same loss; a tensor that needs a gradient gets one."""
    given = {k: v for k, v in cases.wide(arguments(case, SMALL)).items() if k != name}
    value = {"softcap": 4.0, "log_zero": -0.6}.get(name, 0.6)

    def loss(value):
        return case.functional(**given, **{name: value}, reduction="mean")

    learned = torch.tensor(value, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(loss(learned.detach()), loss(value).double(), rtol=1e-12, atol=1e-15)
    assert torch.autograd.gradcheck(loss, learned)


@pytest.mark.parametrize(("case", "name"), [p for p in LEARNED if p.values[0].bare and "logit" not in p.values[1]])
def test_modules_take_what_functions_take(case, name):
    """A number of any type, and a tensor, which may be learned."""
    given = arguments(case, LARGE) | ({"tau": 1.0} if case.name == "super_loss" else {})
    takes = inspect.signature(case.module).parameters
    kept = case.record.buffers
    own = {
        k: v for k, v in given.items() if k in takes and (k in kept or not isinstance(v, torch.Tensor)) and k != name
    }
    tensors = {k: v for k, v in given.items() if k not in own and k != name and v is not None}
    value = {"softcap": 4.0, "log_zero": -0.6}.get(name, 0.5)
    wanted = case.functional(**tensors, **own, **{name: value}, reduction="sum")
    for form in (np.float32(value), torch.tensor(value), torch.nn.Parameter(torch.tensor(value))):
        module = case.module(**own, **{name: form}, reduction="sum")
        loss = module(**tensors) if case in (*SIMILARITY, *LINEAR) else module(*tensors.values())
        torch.testing.assert_close(loss, wanted)
        if isinstance(form, torch.Tensor):
            assert (getattr(module, name) if name in takes else module._options[name]) is form


@pytest.mark.parametrize(("case", "name"), HYPERPARAMETERS)
def test_what_makes_every_loss_nan_is_refused(case, name):
    """Unless PyTorch has the loss, and takes it."""
    given = arguments(case, SMALL)
    takes_more = case.drop_in
    extra = name in ("z_loss", "softcap") or name in _options.names(_options.RowOptions)
    for value in (*VALUES, 1e30, -1e30):
        found = outcome(case.functional, {**given, name: value})
        if takes_more and not extra:
            native = outcome(lambda **kw: case.native(**kw), {**given, name: value})
            assert found == native or (native is True and found is False), value
        else:
            assert found is not True, value
