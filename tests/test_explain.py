"""`fastloss.explain` is the call's own decision: the path that it names is taken, its error is raised."""

import functools
import itertools
import threading
import warnings

import pytest
import torch
from cases import DTYPES, EVERY, REDUCTIONS, SOFTMAX, make_rows
from torch.utils._python_dispatch import TorchDispatchMode

import fastloss
from fastloss._core import operators as _ops
from fastloss._core import route
from fastloss.engines import softmax

pytestmark = pytest.mark.skipif(not _ops.AVAILABLE, reason="the extension is not built")
f = fastloss.functional


class Kernels(TorchDispatchMode):
    """Notes whether an operator of ours was asked, and whether one answered."""

    asked = answered = False

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        ours = function.namespace == "fastloss"
        self.asked |= ours
        result = function(*args, **(kwargs or {}))
        self.answered |= ours
        return result


def agrees(function, arguments):
    """Compares what `explain` says of a call with what the call does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            said = fastloss.explain(function, **arguments)
        except Exception as error:
            said = error
        with Kernels() as kernels:
            try:
                function(**arguments)
                raised = None
            except Exception as error:
                raised = error
    if isinstance(said, Exception):
        assert type(raised) is type(said), (said, raised)
        assert str(raised) == str(said)
    else:
        # The fast way may ask a kernel that refuses; the general way then takes the call, or says what is wrong.
        if raised is None:
            assert kernels.answered == (said.path == "kernel"), said
        else:
            assert kernels.asked or said.path != "kernel", (said, raised)
        assert said.reason
        assert (said.isa is not None) == (said.path == "kernel")


AWKWARD = {
    "plain": lambda a: {},
    "sum": lambda a: {"reduction": "sum"},
    "none": lambda a: {"reduction": "none"},
    "no such reduction": lambda a: {"reduction": "average"},
    "no such option": lambda a: {"nonsense": 1},
    "normalizer of a sum": lambda a: {"reduction": "sum", "normalizer": 2.0},
    "normalizer": lambda a: {"reduction": "mean", "normalizer": 3},
    "tensor normalizer": lambda a: {"reduction": "mean", "normalizer": torch.tensor(3.0, requires_grad=True)},
    "empty": lambda a: {"empty": "zero"},
    "wrong empty": lambda a: {"empty": "one"},
    "loss_dtype": lambda a: {"loss_dtype": torch.float64},
    "wrong loss_dtype": lambda a: {"loss_dtype": torch.int32},
    "statistics": lambda a: {"return_stats": True},
    "reduce_dims": lambda a: {"reduce_dims": 0, "reduction": "mean"},
    "reduce_dims of none": lambda a: {"reduce_dims": 0, "reduction": "none"},
    "mask of floats": lambda a: {"mask": torch.ones(len(first(a)))},
    "learned weight": lambda a: {"weight": torch.ones(len(first(a)), requires_grad=True)},
    "wide": lambda a: {name(a): first(a).detach().double()},
    "half": lambda a: {name(a): first(a).detach().bfloat16()},
    "integer": lambda a: {name(a): first(a).detach().long()},
    "complex": lambda a: {name(a): first(a).detach().cfloat()},
    "one dimension more": lambda a: {name(a): first(a).detach().unsqueeze(0)},
    "one dimension": lambda a: {name(a): first(a).detach()[0]},
    "nothing": lambda a: {k: v[:0] for k, v in a.items() if isinstance(v, torch.Tensor) and v.dim()},
    "strided": lambda a: {name(a): torch.stack((first(a).detach(),) * 2, -1)[..., 0]},
    "expanded": lambda a: {name(a): first(a).detach()[:1].expand_as(first(a))},
    "sparse": lambda a: {name(a): first(a).detach().to_sparse()},
    "no tensor": lambda a: {name(a): 1.0},
    "inplace": lambda a: {"inplace": True},
}


def name(arguments):
    return next(iter(arguments))


def first(arguments):
    return arguments[name(arguments)]


@pytest.mark.parametrize("shape", [(6, 5), (300, 257)], ids=["small", "large"])
@pytest.mark.parametrize("case", EVERY, ids=str)
def test_explains_what_runs(case, shape):
    for params in case.params:
        arguments = case.make(shape, params)
        for change in AWKWARD.values():
            agrees(case.functional, {**arguments, **change(arguments)})
        numbers = [k for k, v in arguments.items() if isinstance(v, float | int) and not isinstance(v, bool)]
        for number in numbers:
            for value in (torch.tensor(float(arguments[number])), torch.tensor(1.0, requires_grad=True), "1", -1.0):
                agrees(case.functional, {**arguments, number: value})


X, Y = torch.randn(2000, 100), torch.randn(2000, 100)
INDEX = torch.randint(100, (2000,))


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (f.smooth_l1_loss, dict(input=X, target=Y, beta=0.0)),
        (f.gaussian_nll_loss, dict(input=X, target=Y, var=1.0)),
        (f.gaussian_nll_loss, dict(input=X, target=Y, var=Y[:, 0].exp())),
        (f.gaussian_nll_loss, dict(input=X, target=Y, var=Y[0].exp())),
        (f.cross_entropy, dict(input=X[:4], target=INDEX[:4], z_loss=0)),
        (f.cross_entropy, dict(input=X[:4], target=INDEX[:4], z_loss=0.1)),
        (f.cross_entropy, dict(input=X, target=INDEX + 1)),
        (f.cross_entropy, dict(input=X, target=INDEX.to(torch.uint8))),
        (f.softmax_focal_loss, dict(input=X, target=INDEX, alpha=torch.rand(100))),
        (f.softmax_focal_loss, dict(input=X, target=INDEX, alpha=torch.rand(99))),
        (f.softmax_focal_loss, dict(input=X, target=INDEX, gamma=-1.0)),
        (f.sigmoid_focal_loss, dict(inputs=X, targets=INDEX)),
        (f.sigmoid_focal_loss, dict(inputs=X, targets=INDEX, alpha=torch.rand(100), ignore_index=3)),
        (
            f.binary_cross_entropy_with_logits,
            dict(input=X, target=Y.sigmoid(), pos_weight=torch.rand(100, requires_grad=True)),
        ),
        (f.binary_cross_entropy_with_logits, dict(input=X, target=Y.sigmoid(), pos_weight=torch.rand(100))),
        (f.binary_cross_entropy, dict(input=X, target=Y)),
        (f.margin_ranking_loss, dict(input1=X, input2=Y[0], target=Y.sign())),
        (f.cosine_embedding_loss, dict(input1=X.view(20, 100, 100), input2=Y.view(20, 100, 100), target=Y[0])),
        (f.triplet_margin_loss, dict(anchor=X, positive=Y, negative=Y, labels=INDEX)),
        (f.triplet_margin_loss, dict(anchor=X, labels=INDEX)),
        (f.triplet_margin_loss, dict(anchor=X, positive=Y, negative=X + 1, p=1)),
        (f.kl_div, dict(input=X, target=Y.softmax(1), reduction="batchmean")),
        (f.gan_generator_loss, dict(fake=X, mode="least_squares")),
        (f.gan_generator_loss, dict(fake=X, mode="wasserstein")),
        (f.gan_discriminator_loss, dict(real=X, fake=Y)),
        (f.gan_discriminator_loss, dict(real=X, fake=Y, mode="other")),
    ],
)
def test_explains_chosen_calls(function, arguments):
    agrees(function, arguments)


@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_fast_way_of_a_softmax_loss_has_the_bits_of_the_general_one(case, kernel, monkeypatch):
    settings = [p for p in case.params if not any(isinstance(v, torch.Tensor) for v in p.values())]
    further = ({}, {"label_smoothing": 0.1}, {"ignore_index": 0}, {"inplace": True}, {"empty": "nan", "mask": None})
    for dtype, reduction, params, given in itertools.product(DTYPES, REDUCTIONS, settings, further):
        x, target = make_rows((70, 33), dtype)
        x.requires_grad_()
        made = []
        for replaced, by in (("solve", None), ("_kernel_as_it_is", lambda *args: None)):
            with monkeypatch.context() as patched:
                patched.setattr(softmax, replaced, by)
                loss = case.functional(x * 1, target, reduction=reduction, **params, **given)
                made.append((loss.detach(), *torch.autograd.grad(loss.sum(), x)))
        assert all(map(torch.equal, *made)), (dtype, reduction, params, given)


def test_any_callable():
    """A module, a partial and a function of the user's are explained by the first loss that they call."""
    criterion = torch.nn.Sequential(fastloss.LogCoshLoss())[0]
    assert fastloss.explain(criterion, X, Y).path == "kernel"
    assert fastloss.explain(lambda: f.huber_loss(X, Y) + f.mse_loss(X[:1], Y[:1])).path == "kernel"
    said = fastloss.explain(functools.partial(f.huber_loss, X, delta=2.0), Y)
    assert str(said) == f"fastloss.huber_loss\n  path    kernel ({said.isa})\n  reason  {route.COVERED}"
    assert fastloss.explain(criterion, X, Y).loss == "log_cosh_loss"
    with pytest.raises(ValueError, match="expected a fastloss function"):
        fastloss.explain(torch.nn.functional.mse_loss, X, Y)
    assert not route.watched


def test_other_threads_go_on():
    """While one thread asks, the calls of another are made."""
    stop, results = threading.Event(), []

    def train():
        while not stop.is_set():
            results.append(f.huber_loss(X, Y))

    worker = threading.Thread(target=train)
    worker.start()
    for _ in range(200):
        assert fastloss.explain(f.huber_loss, X, Y).path == "kernel"
    stop.set()
    worker.join()
    assert results
    assert all(torch.equal(result, results[0]) for result in results)
