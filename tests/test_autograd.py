"""What autograd may ask of any loss of any family: second derivatives, batched gradients, tensors that change."""

import functools
import gc
import itertools
import weakref

import pytest
import torch
from cases import EVERY, LINEAR, PRODUCTS, SIMILARITY, of

from fastloss.engines import elements as _points
from fastloss.engines import linear
from fastloss.engines.similarity import plan

pytestmark = pytest.mark.filterwarnings(
    "ignore:reduction. 'mean' divides", "ignore:Using a target size", "ignore:There is a performance drop"
)
close = torch.testing.assert_close
N = 6


def losses():
    """Each loss with each setting: it, what makes its arguments in float64, by name, and its extra tensors."""
    for case in EVERY:
        few = case.engine in ("softmax", "elements")
        for k, params in enumerate(case.settings[:2] if few else case.settings):
            make = functools.partial(case.make_smooth, (N, 5), params, torch.float64)
            yield case, f"{case}-{k}", make, case.extras((N, 5))
    info_nce = of("info_nce_loss")
    for k, shape in enumerate(((3, 5), (N, 3, 5))):
        make = lambda p=shape: {  # noqa: E731
            **info_nce.make((N, 5), info_nce.params[2], torch.float64),
            "negatives": torch.randn(p, dtype=torch.float64).requires_grad_(),
        }
        yield info_nce, f"{info_nce}-negatives-{k}", make, info_nce.extras((N, 5))


torch.manual_seed(0)
LOSSES = [pytest.param(case, make, extras, id=name) for case, name, make, extras in losses()]
every_loss = pytest.mark.parametrize(("case", "make", "extras"), LOSSES)


@pytest.fixture(autouse=True, params=["small", "large"])
def _kernels(request, monkeypatch, kernel):
    """No loss goes to PyTorch's own operator; those of similarities take either of their ways."""
    torch.set_num_threads(1)
    monkeypatch.setattr(_points, "NATIVE_WHEN_TINY", False)
    if request.param == "large":
        if "case" in request.fixturenames and request.getfixturevalue("case") not in (*SIMILARITY, *LINEAR):
            pytest.skip("one way")
        monkeypatch.setattr(plan, "is_small", lambda *_: False)
        monkeypatch.setattr(linear, "_as_it_is", lambda *_: None)
        monkeypatch.setattr(linear, "is_small", lambda *_: False)
        monkeypatch.setattr(linear.strips, "_MIN_STRIP_ROWS", 4)
        monkeypatch.setattr(linear.strips, "_STRIP_BYTES", 1)


def differentiable(arguments):
    return [name for name, t in arguments.items() if isinstance(t, torch.Tensor) and t.requires_grad]


def with_leaves(arguments):
    """The same arguments with new leaves, and these."""
    leaves = {name: arguments[name].detach().clone().requires_grad_() for name in differentiable(arguments)}
    return {**arguments, **leaves}, list(leaves.values())


def upstream(loss):
    return torch.linspace(0.5, 2, max(1, loss.numel()), dtype=loss.dtype)[: loss.numel()].reshape(loss.shape)


@pytest.mark.parametrize("reduction", ["mean", "none"])
@every_loss
def test_inputs_that_depend_on_each_other(case, make, extras, reduction):
    """Each path to a leaf counts once, whether a second derivative may follow or not."""
    arguments = make()
    names = differentiable(arguments)
    first = arguments[names[0]].detach()
    vectors = case in SIMILARITY or case in PRODUCTS

    def call(fn, x, how):
        made = {names[0]: x.clone() if how == "made of it" else x}
        for k, name in enumerate(names[1:]):
            t = arguments[name].detach()
            by = x if t.shape == x.shape else x.mean()
            made[name] = x if how == "the same" and k == 0 and t.shape == x.shape else t * (0.9 + 0.1 * by.sigmoid())
        return fn(**{**arguments, **made}, reduction=reduction)

    for how in ("made of it", "made of a leaf", *(["the same"] if vectors else [])):
        results = []
        for fn in (case.functional, case.reference):
            x = first.clone().requires_grad_()
            loss = call(fn, x, how)
            seed = upstream(loss)
            (plain,) = torch.autograd.grad(loss, x, seed, retain_graph=True)
            (grad,) = torch.autograd.grad(loss, x, seed, create_graph=True)
            close(grad, plain, rtol=1e-10, atol=1e-12)
            second = torch.zeros_like(x)
            if grad.requires_grad:
                (second,) = torch.autograd.grad((grad * x.detach().cos()).sum() + grad.square().sum(), x)
            results.append((grad.detach(), second))
        for a, b in zip(*results, strict=True):
            close(a, b, rtol=1e-9, atol=1e-11, equal_nan=True)


@every_loss
def test_hooks_run_once(case, make, extras):
    """Of leaves and of what is made of them; the gradient is what they make of it."""
    for reduction, create_graph in itertools.product(("mean", "none"), (False, True)):
        arguments, leaves = with_leaves(make())
        calls = []

        def double(grad, calls=calls):
            calls.append(grad)
            return 2 * grad

        inner = {name: arguments[name] * 1 for name in differentiable(arguments)}
        for t in (*leaves, *inner.values()):
            t.register_hook(double)
        loss = case.functional(**{**arguments, **inner}, reduction=reduction)
        grads = torch.autograd.grad(loss, leaves, upstream(loss), create_graph=create_graph)
        assert len(calls) == 2 * len(leaves)
        plain, leaves = with_leaves(arguments)
        loss = case.functional(**plain, reduction=reduction)
        for a, b in zip(grads, torch.autograd.grad(loss, leaves, upstream(loss)), strict=True):
            close(a.detach(), 4 * b)


@pytest.mark.parametrize("reduction", ["mean", "none"])
@every_loss
def test_many_upstream_gradients_at_once(case, make, extras, reduction):
    arguments, leaves = with_leaves(make())
    loss = case.functional(**arguments, reduction=reduction)
    batch = torch.randn(3, *loss.shape, dtype=loss.dtype)
    wanted = [torch.autograd.grad(loss, leaves, seed, retain_graph=True) for seed in batch]
    wanted = [torch.stack(grads) for grads in zip(*wanted, strict=True)]
    for create_graph in (False, True):
        options = dict(retain_graph=True, create_graph=create_graph)
        for again in (False, True):  # forward's gradients have been given away
            if not again:
                loss = case.functional(**arguments, reduction=reduction)
            at_once = torch.autograd.grad(loss, leaves, batch, is_grads_batched=True, **options)
            mapped = torch.func.vmap(lambda seed: torch.autograd.grad(loss, leaves, seed, **options))(batch)  # noqa: B023
            for a, b, w in zip(at_once, mapped, wanted, strict=True):
                close(a.detach(), w, rtol=1e-10, atol=1e-12)
                close(b.detach(), w, rtol=1e-10, atol=1e-12)

    def call(x):
        return case.functional(**{**arguments, differentiable(arguments)[0]: x}, reduction=reduction)

    x = leaves[0].detach()
    by_row, together = (torch.autograd.functional.jacobian(call, x, vectorize=way) for way in (False, True))
    close(together, by_row, rtol=1e-10, atol=1e-12)


def change(t):
    with torch.no_grad():
        if t.dtype == torch.bool:
            t.logical_not_()
        elif t.is_floating_point():
            t.mul_(2)
        else:
            t.copy_(t.roll(1, 0).clone())


def otherwise(case, t):
    """The same numbers, as kernels do not take them: what they read instead is a copy."""
    if t.is_floating_point() and case in SIMILARITY:
        return t.float()
    if t.dtype == torch.bool:
        return torch.stack((t, ~t), -1)[..., 0]
    return t


def given(case, make, extras, reduction):
    """The loss's arguments, the extras among them that go together, and which of all are not differentiated."""
    arguments = {k: t.clone() if isinstance(t, torch.Tensor) else t for k, t in with_leaves(make())[0].items()}
    arguments = {k: v for k, v in arguments.items() if v is not None}
    for k, t in extras.items():
        if k != "normalizer" or reduction == "mean":
            arguments[k] = t.clone()
    if arguments.get("symmetric"):
        arguments.pop("weight")
    fixed = [k for k, t in arguments.items() if isinstance(t, torch.Tensor) and not t.requires_grad]
    return arguments, fixed


@pytest.mark.parametrize("reduction", ["mean", "none"])
@every_loss
def test_tensors_that_change_before_backward(case, make, extras, reduction):
    """An error, as in PyTorch, or the right gradient."""
    noticed = 0
    for how, copied in itertools.product(("first", "second", "create_graph", "batched"), (False, True)):
        arguments, fixed = given(case, make, extras, reduction)
        for name in fixed:
            if "input" in arguments and name == "target" and copied:
                continue  # another target is another loss
            results = []
            for changed in (False, True):
                made, leaves = with_leaves(arguments)
                made.update({k: made[k].clone() for k in fixed})
                if copied:
                    made[name] = otherwise(case, made[name])
                loss = case.functional(**made, reduction=reduction)
                seed = upstream(loss)
                if how == "second":
                    torch.autograd.grad(loss, leaves, seed, retain_graph=True)
                if changed:
                    change(made[name])
                options = dict(create_graph=how == "create_graph")
                if how == "batched":
                    seed, options = torch.stack((seed, -seed)), dict(is_grads_batched=True)
                error = None
                try:
                    results.append(torch.autograd.grad(loss, leaves, seed, **options))
                except RuntimeError as caught:
                    error = caught
                if error is not None:
                    assert changed, (how, name)
                    assert "modified by an inplace operation" in str(error)
                    noticed += 1
            if len(results) == 2:
                for a, b in zip(*results, strict=True):
                    close(a, b, rtol=1e-10, atol=1e-12, msg=lambda m, k=(how, name): f"{k}: {m}")
    assert noticed or not fixed or getattr(case.record, "path", ""), "no change matters"  # those keep what they made


@pytest.mark.parametrize("reduction", ["mean", "none"])
@every_loss
def test_nothing_lives_longer_than_the_graph(case, make, extras, reduction, young_garbage):
    """Once backward is through, the loss keeps none of the tensors it was made of."""
    arguments, fixed = given(case, make, extras, reduction)
    inner = {name: arguments[name] * 1 for name in differentiable(arguments)}
    arguments.update(inner)
    alive = {name: weakref.ref(arguments[name]) for name in (*fixed, *inner)}
    loss = case.functional(**arguments, reduction=reduction)
    del arguments, inner
    loss.sum().backward()
    gc.collect()
    assert [name for name, t in alive.items() if t() is not None] == []


@every_loss
def test_second_derivatives_with_every_option(case, make, extras):
    """What backward kept of the options is what they were."""
    for reduction in ("mean", "none", "sum"):
        arguments, _ = given(case, make, extras, reduction)
        results = []
        for fn in (case.functional, case.reference):
            made, leaves = with_leaves(arguments)
            loss = fn(**made, reduction=reduction, empty="zero")
            first = torch.autograd.grad(loss, leaves, upstream(loss), create_graph=True)
            size = sum(g.square().sum() for g in first)
            second = (
                torch.autograd.grad(size, leaves, allow_unused=True, materialize_grads=True)
                if size.requires_grad
                else [torch.zeros_like(t) for t in leaves]
            )
            results.append([*first, *second])
        for a, b in zip(*results, strict=True):
            close(a, b, rtol=1e-9, atol=1e-11)
