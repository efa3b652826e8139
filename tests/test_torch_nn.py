"""Every loss of torch.nn is in fastloss.nn, with its arguments; those that PyTorch computes, at home in PyTorch."""

import inspect
import itertools
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from cases import PYTORCHS, REDUCTIONS

import fastloss

close = torch.testing.assert_close
CLASSES = sorted(name for name, kind in vars(torch.nn).items() if name.endswith("Loss") and isinstance(kind, type))
FUNCTIONS = sorted(
    name for name, function in vars(F).items()
    if inspect.isfunction(function) and name[0] != "_" and "reduction" in inspect.signature(function).parameters
)  # fmt: skip
# Of linear layers and their losses in one.
MISSING = {"LinearCrossEntropyLoss", "linear_cross_entropy"}


def of_pytorch(signature):
    """Names and defaults; options of ours follow, by keyword."""
    return [(p.name, p.default) for p in signature.parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]


@pytest.mark.parametrize("name", sorted({*CLASSES} - MISSING))
def test_modules(name):
    ours, native = getattr(fastloss.nn, name), getattr(torch.nn, name)
    assert issubclass(ours, native)
    assert of_pytorch(inspect.signature(ours)) == of_pytorch(inspect.signature(native))
    assert getattr(fastloss, name) is ours


@pytest.mark.parametrize("name", sorted({*FUNCTIONS} - MISSING))
def test_functions(name):
    ours, native = (inspect.signature(getattr(room, name)) for room in (fastloss.functional, F))
    wanted, found = of_pytorch(native), of_pytorch(ours)
    names = [name for name, _ in wanted]
    assert [name for name, _ in found if name in names] == names
    defaults = dict(found)
    for key, default in wanted:
        if key not in ("anchor", "positive", "negative", "distance_function"):  # those of triplets may be mined
            assert defaults[key] == default, key


def test_lists_are_pytorchs():
    """What is found by name is not nothing."""
    assert {"CTCLoss", "CrossEntropyLoss", "AdaptiveLogSoftmaxWithLoss", "TripletMarginWithDistanceLoss"} <= {*CLASSES}
    assert {"nll_loss", "ctc_loss", "kl_div", "triplet_margin_with_distance_loss"} <= {*FUNCTIONS}


def arguments_of(name, dtype=torch.float64):
    """Of a call that each of `PYTORCHS` takes."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(6, 5, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()
    classes = torch.randint(1, 5, (6,), generator=generator)
    if name == "nll_loss":
        return [x.log_softmax(1).detach().requires_grad_(), classes]
    if name == "multilabel_margin_loss":
        return [x, torch.tensor([[3, 0, -1, 1, 2]]).expand(6, 5).contiguous()]
    if name == "multilabel_soft_margin_loss":
        return [x, torch.rand(6, 5, generator=generator, dtype=torch.float64).to(dtype)]
    if name == "triplet_margin_with_distance_loss":
        return [x, x.detach().flip(0).requires_grad_(), x.detach().flip(1).requires_grad_()]
    if name == "ctc_loss":
        log_probs = torch.randn(12, 3, 5, generator=generator, dtype=torch.float64).to(dtype).log_softmax(2)
        return [log_probs.requires_grad_(), classes.view(3, 2), torch.full((3,), 12), torch.tensor([2, 1, 2])]
    return [x, classes]


def run(fn, arguments, **options):
    leaves = [t for t in arguments if t.requires_grad]
    loss = fn(*arguments, **options)
    return [loss.detach(), *torch.autograd.grad(loss.sum(), leaves)]


# Whatever the loss computes with, and of the rest a sample: the calls of PyTorch's tables are in test_inside_torch.py.
OPTIONS = {
    "nll_loss": dict(ignore_index=2, weight=torch.linspace(0.5, 2, 5, dtype=torch.float64)),
    "multi_margin_loss": dict(p=2, margin=0.5, weight=torch.linspace(0.5, 2, 5, dtype=torch.float64)),
    "multilabel_soft_margin_loss": dict(weight=torch.linspace(0.5, 2, 5, dtype=torch.float64)),
    "triplet_margin_with_distance_loss": dict(margin=0.5, swap=True),
    "ctc_loss": dict(blank=0, zero_infinity=True),
}


@pytest.mark.parametrize("case", PYTORCHS, ids=str)
def test_function_and_module(case, kernel):
    arguments = arguments_of(case.name)
    for options, reduction in itertools.product(({}, OPTIONS.get(case.name, {})), REDUCTIONS):
        given = {**options, "reduction": reduction}
        module, native = case.module(**given), case.native_module(**given)
        wanted = run(case.native, arguments, **given)
        for fn in (case.functional, case.reference):
            close(run(fn, arguments, **given), wanted, rtol=1e-12, atol=1e-14)
        close(run(module, arguments), wanted, rtol=1e-12, atol=1e-14)
        assert repr(module) == repr(native)
        assert module.state_dict().keys() == native.state_dict().keys()


@pytest.mark.parametrize("case", [c for c in PYTORCHS if "size_average" in c.parameters], ids=str)
def test_deprecated_arguments(case):
    arguments = arguments_of(case.name)
    for size_average, reduce in ((None, False), (False, None), (True, True)):
        with pytest.warns(UserWarning, match="size_average and reduce"):
            wanted = case.native(*arguments, size_average=size_average, reduce=reduce)
        with pytest.warns(UserWarning, match="size_average and reduce"):
            close(case.functional(*arguments, size_average=size_average, reduce=reduce), wanted, rtol=0, atol=0)


@pytest.mark.filterwarnings("ignore:There is a performance drop")
@pytest.mark.parametrize("case", [c for c in PYTORCHS if c.name != "ctc_loss"], ids=str)  # PyTorch's does neither
def test_transforms_and_compile(case):
    x, *others = (t.detach() for t in arguments_of(case.name, torch.float32))

    def total(fn):
        return lambda x: fn(x, *others, reduction="sum")

    batch = torch.stack((x, x.flip(0)))
    grads = (torch.func.vmap(torch.func.grad(total(fn)))(batch) for fn in (case.functional, case.native))
    close(*grads)
    torch._dynamo.reset()
    leaf = x.requires_grad_()
    for reduction in ("mean", "sum", "none"):
        compiled = torch.compile(partial(case.functional, reduction=reduction), fullgraph=True, backend="aot_eager")
        close(run(compiled, [leaf, *others]), run(partial(case.native, reduction=reduction), [leaf, *others]))


def path_of(name, *arguments, **options):
    return fastloss.explain(getattr(fastloss.functional, name), *arguments, **options).path


def test_paths(kernel):
    """PyTorch's operator where no kernel is faster, and said so."""
    for name in ("nll_loss", "multi_margin_loss", "multilabel_margin_loss", "ctc_loss"):
        assert path_of(name, *arguments_of(name)) == "native"
    for name in ("multilabel_soft_margin_loss", "triplet_margin_with_distance_loss"):
        arguments = arguments_of(name)
        assert path_of(name, *arguments) == "kernel"
        assert path_of(name, arguments[0], arguments[1].float(), *arguments[2:]) == "native"
    triplets = arguments_of("triplet_margin_with_distance_loss")
    euclidean, other = torch.nn.PairwiseDistance(), torch.nn.PairwiseDistance(p=1.0)
    assert path_of("triplet_margin_with_distance_loss", *triplets, distance_function=euclidean) == "kernel"
    assert path_of("triplet_margin_with_distance_loss", *triplets, distance_function=other) == "native"
    close(
        fastloss.functional.triplet_margin_with_distance_loss(*triplets, distance_function=other),
        F.triplet_margin_with_distance_loss(*triplets, distance_function=other),
    )


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@pytest.mark.parametrize("bias", [False, True])
def test_adaptive_softmax(bias):
    made = dict(in_features=6, n_classes=40, cutoffs=[4, 11, 30], div_value=2.0, head_bias=bias, dtype=torch.float64)
    native, ours = torch.nn.AdaptiveLogSoftmaxWithLoss(**made), fastloss.nn.AdaptiveLogSoftmaxWithLoss(**made)
    ours.load_state_dict(native.state_dict())
    x = torch.randn(50, 6, dtype=torch.float64, requires_grad=True)
    for target in (torch.randint(40, (50,)), torch.randint(4, (50,)), torch.randint(30, 40, (50,))):
        results = []
        for module in (ours, native):
            output, loss = module(x, target)
            grads = torch.autograd.grad(loss + output[0], [x, *module.parameters()], allow_unused=True)
            results.append([output.detach(), loss.detach(), *(g for g in grads if g is not None)])
            assert type(module(x, target)) is type(native(x, target))
        close(*results, rtol=1e-12, atol=1e-14)
    close(ours(x[0], torch.tensor(35)), native(x[0], torch.tensor(35)), rtol=1e-12, atol=0)
    close(ours.log_prob(x), native.log_prob(x))
    for bad in (
        (x, torch.full((50,), 40)),
        (x, torch.tensor(3)),
        (x[0], torch.tensor([3])),
        (x, torch.zeros(3).long()),
    ):
        with pytest.raises(RuntimeError) as error:
            native(*bad)
        with pytest.raises(RuntimeError) as found:
            ours(*bad)
        assert str(found.value) == str(error.value)
