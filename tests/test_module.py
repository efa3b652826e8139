"""The module: `torch.nn`'s constructor, `repr`, `state_dict`, copies, and its own extras."""

import copy
import inspect
import itertools
import pickle
import warnings

import cases
import pytest
import torch
from cases import ELEMENTS, PRODUCTS, REDUCTIONS, SOFTMAX

import fastloss
from fastloss._core import options as _options

close = torch.testing.assert_close
DROP_INS = [case for case in SOFTMAX if case.drop_in]


@pytest.mark.parametrize("case", DROP_INS, ids=str)
def test_same_numbers(case, isa):
    x, target = cases.make_rows((6, 5), torch.float64)
    target[0] = 3
    weight = torch.rand(5, dtype=torch.float64)
    for w, ignore, reduction, smoothing in itertools.product((None, weight), (-100, 3), REDUCTIONS, (0.0, 0.2)):
        # weight, size_average, ignore_index, reduce, reduction, label_smoothing: torch's order.
        arguments = (w, None, ignore, None, reduction, smoothing)
        ours, native = case.module(*arguments), case.native_module(*arguments)
        for a, b in zip(cases.run(ours, x, target), cases.run(native, x, target), strict=True):
            close(a, b, rtol=1e-13, atol=1e-15)
        assert repr(ours) == repr(native)
        assert list(ours.state_dict()) == list(native.state_dict())
        ours.load_state_dict(native.state_dict())


@pytest.mark.parametrize("case", DROP_INS, ids=str)
def test_deprecated_arguments(case, isa):
    x, target = cases.make_rows((6, 5), torch.float64)
    for size_average, reduce in itertools.product((None, True, False), repeat=2):
        if size_average is None and reduce is None:
            continue
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            native = case.native_module(size_average=size_average, reduce=reduce)
            native_messages = [str(w.message) for w in caught]
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            ours = case.module(size_average=size_average, reduce=reduce)
            assert [str(w.message) for w in caught] == native_messages
        assert native_messages
        assert ours.reduction == native.reduction
        close(ours(x, target), native(x, target), rtol=1e-14, atol=0)
        with pytest.warns(UserWarning, match="size_average and reduce"):
            loss = case.functional(x, target, size_average=size_average, reduce=reduce)
        close(loss, native(x, target), rtol=1e-14, atol=0)


@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_extras(case, isa):
    x, target = cases.make_rows((6, 5), torch.float32)
    extras = dict(z_loss=0.1, softcap=5.0, empty="zero", loss_dtype=torch.float64, return_stats=True)
    mask = torch.tensor([True, False, True, True, False, True])
    module = case.module(label_smoothing=0.1, **extras)
    loss, stats = module(x, target, mask=mask, normalizer=3.0)
    wanted, wanted_stats = case.functional(x, target, label_smoothing=0.1, mask=mask, normalizer=3.0, **extras)
    assert torch.equal(loss, wanted)
    assert all(torch.equal(a, b) for a, b in zip(stats, wanted_stats, strict=True))
    assert isinstance(stats, fastloss.RowStats)
    for name, value in extras.items():
        assert f"{name}={value}" in repr(module)
    # All of them when it is made, or in the call, where they win.
    twin = case.module(label_smoothing=0.1, normalizer=3.0, mask=mask, empty="nan", return_stats=False)
    assert torch.equal(twin(x, target, **extras)[0], wanted)
    assert torch.equal(case.module(mask=mask)(x, target), case.functional(x, target, mask=mask))
    for call in (lambda: case.module(nonsense=1), lambda: case.module()(x, target, nonsense=1)):
        with pytest.raises(TypeError, match="nonsense"):
            call()
    logits = x.requires_grad_() * 1.0
    case.module(inplace=True)(logits, target).backward()
    cases.check_grad(x.grad, cases.exact_rows(case, x.detach(), target)[1], x.detach())


@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_copies(case, isa):
    x, target = cases.make_rows((6, 5), torch.float32)
    module = case.module(weight=torch.rand(5), ignore_index=2, label_smoothing=0.1, z_loss=0.1, softcap=5.0)
    wanted = module(x, target)
    for twin in (copy.deepcopy(module), copy.copy(module), pickle.loads(pickle.dumps(module))):
        assert repr(twin) == repr(module)
        assert torch.equal(twin(x, target), wanted)
    assert copy.deepcopy(module).weight is not module.weight
    assert module.double().weight.dtype == torch.float64
    assert module.to("meta").weight.device.type == "meta"


@pytest.mark.parametrize("case", DROP_INS, ids=str)
def test_is_a_loss_module(case):
    module = case.module()
    assert isinstance(module, case.native_module)
    assert isinstance(module, torch.nn.Module)
    assert not list(module.parameters())
    assert fastloss.explain(module, *cases.make_rows((400, 500))).path in ("kernel", "reference")


MODULES = [
    m for m in map(fastloss.__dict__.get, fastloss.__all__) if isinstance(m, type) and issubclass(m, torch.nn.Module)
]


def test_signatures():
    def names(what):
        return list(inspect.signature(what).parameters)

    for module in MODULES:
        native = getattr(torch.nn, module.__name__, None)
        if native is not None and module is not fastloss.AdaptiveLogSoftmaxWithLoss:  # which is all PyTorch's
            further = "options" if "options" not in names(native) else "further"
            takes = _options.names(module._function.record.options)  # those that PyTorch computes have none
            assert names(module) == [*names(native), *([further] if takes else [])]
    assert names(fastloss.HingeLoss) == ["margin", "p", "reduction", "options"]
    assert inspect.signature(fastloss.InfoNCELoss).parameters["temperature"].default == 0.07
    assert names(fastloss.HuberLoss()) == names(torch.nn.HuberLoss())  # of an instance: its call
    keywords = [
        p.name
        for p in inspect.signature(fastloss.functional.cross_entropy).parameters.values()
        if p.kind == p.KEYWORD_ONLY
    ]
    assert set(keywords) == _options.names(_options.RowOptions)


NATIVE = {module: native for module in MODULES if (native := getattr(torch.nn, module.__name__, None)) is not None}
del NATIVE[fastloss.AdaptiveLogSoftmaxWithLoss]  # it has no options
NEEDED = {  # arguments without a default
    "LinearCrossEntropyLoss": (5, 10), "AdaptiveLogSoftmaxWithLoss": (5, 10, [3]), "HardExampleCrossEntropy": (2,),
    "LDAMLoss": (torch.ones(5),), "LogitAdjustedCrossEntropy": (torch.zeros(5),), "SuperLoss": (1.0,),
}  # fmt: skip


@pytest.mark.parametrize("module", NATIVE, ids=lambda m: m.__name__)
def test_names_of_the_call(module):
    def parameters(what):
        return list(inspect.signature(what.forward).parameters)

    *ours, options = parameters(module)
    assert ours == parameters(NATIVE[module])
    assert options == "options"


NAMED = cases.settings(case for case in (*ELEMENTS, *PRODUCTS) if case.drop_in)


@pytest.mark.filterwarnings("ignore:reduction. 'mean'")  # of kl_div
@pytest.mark.parametrize(("case", "params"), NAMED)
def test_made_by_torch(case, params):
    """Called with names, converted in place, or unpickled as ours, a module of PyTorch's is ours."""
    tensors = case.tensors((6, 5), torch.float64)
    native, ours = case.native_module(**params), case.module(**params)
    names = list(inspect.signature(native.forward).parameters)
    wanted = native(*tensors)
    converted = copy.deepcopy(native)
    converted.__class__ = case.module
    assert converted._options == {}
    function, arguments, state = native.__reduce_ex__(2)[:3]
    unpickled = function(*[case.module if a is case.native_module else a for a in arguments])
    unpickled.__setstate__(state)
    for module in (ours, converted, unpickled, copy.deepcopy(converted), pickle.loads(pickle.dumps(converted))):
        assert type(module) is case.module
        assert repr(module) == repr(native)
        close(module(*tensors), wanted, rtol=1e-9, atol=1e-12)
        close(module(**dict(zip(names, tensors, strict=True))), wanted, rtol=1e-9, atol=1e-12)
        module.load_state_dict(native.state_dict())


def test_cross_entropy_made_by_torch():
    x, target = cases.make_rows((6, 5))
    module = torch.nn.CrossEntropyLoss(torch.rand(5), label_smoothing=0.1)
    wanted = module(x, target)
    module.__class__ = fastloss.CrossEntropyLoss
    close(module(x, target), wanted)
    close(module(x, target, mask=torch.ones(6, dtype=torch.bool)), wanted)


def test_pickles_of_the_first_release():
    """Its options had another name."""
    module = fastloss.CrossEntropyLoss(label_smoothing=0.1)
    module.__dict__["_extras"] = {"z_loss": 0.5}
    del module._options
    old = pickle.loads(pickle.dumps(module))
    x, target = cases.make_rows((6, 5))
    assert torch.equal(old(x, target), fastloss.CrossEntropyLoss(label_smoothing=0.1, z_loss=0.5)(x, target))


def test_modules_of_the_package():
    assert sorted(module.__name__ for module in MODULES) == sorted(fastloss.nn.__all__)


@pytest.mark.parametrize("module", MODULES, ids=lambda m: m.__name__)
def test_every_module_can_be_pickled(module):
    made = module(*NEEDED.get(module.__name__, ()))
    assert type(pickle.loads(pickle.dumps(made))) is module
