"""Directions from conflicting gradients, against other ways of computing them."""

import functools
import itertools
import math

import numpy as np
import pytest
import torch

import fastloss

# Matrices of gradients: two and three losses that conflict or agree, of different lengths, parallel, and with a zero.
MATRICES = {
    "conflict": [[1.0, 0.0, 0.3], [-1.0, 1.0, 0.2]],
    "agreement": [[1.0, 0.5, 0.3], [1.0, 1.0, 0.2]],
    "opposite": [[1.0, 2.0, -1.0], [-2.0, -4.0, 2.0]],
    "scales": [[100.0, 0.0, 3.0], [-0.01, 0.02, 0.0]],
    "three": [[1.0, 0.0, 0.0, 0.4], [-0.5, 1.0, 0.0, 0.4], [-0.6, -0.7, 1.0, 0.4]],
    "parallel": [[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [-0.2, 1.0, 0.0]],
    "zero": [[1.0, 2.0, 0.0], [0.0, 0.0, 0.0], [-1.0, 1.0, 0.5]],
    "one": [[1.0, 2.0, 0.5]],
}
every_matrix = pytest.mark.parametrize("name", MATRICES)


def matrix(name):
    return torch.tensor(MATRICES[name], dtype=torch.float64)


def simplex(T, n=60):
    """Weights on a grid."""
    grid = [w for w in itertools.product(range(n + 1), repeat=T) if sum(w) == n]
    return torch.tensor(grid, dtype=torch.float64) / n


def refined(function, T, rounds=25):
    """The minimum of a convex function on the simplex: grids, each around the best of the last, half as wide."""
    center, width = torch.full((T,), 1 / T, dtype=torch.float64), 1.0
    for _ in range(rounds):
        candidates = torch.cat((center[None], (1 - width) * center + width * simplex(T, 20)))
        center = min(candidates, key=function)
        width *= 0.6
    return center


@every_matrix
def test_pcgrad(name):
    """One of the results of the paper's loop, over every order of the projections; with seeds, each of them."""
    G = matrix(name)
    T = len(G)
    others = [[j for j in range(T) if j != i] for i in range(T)]
    wanted = []
    for orders in itertools.product(*[list(itertools.permutations(o)) for o in others]):
        total = torch.zeros_like(G[0])
        for i, order in enumerate(orders):
            g = G[i].clone()
            for j in order:
                if g @ G[j] < 0:
                    g = g - (g @ G[j]) / (G[j] @ G[j]) * G[j]
            total += g
        wanted.append(total)
    wanted = torch.stack(wanted)
    made = torch.stack([fastloss.pcgrad(G, torch.Generator().manual_seed(k)) for k in range(60)])
    near = (made[:, None] - wanted).norm(dim=-1) < 1e-12 * (1 + wanted.norm())
    assert near.any(1).all()
    assert near.any(0).all()
    assert torch.equal(fastloss.pcgrad(G, torch.Generator().manual_seed(7)), made[7])


@every_matrix
def test_mgda(name):
    """Shorter than any vector of a fine grid of the simplex, equal to the best of them."""
    G = matrix(name)
    made = fastloss.mgda(G)
    found = refined(lambda w: float((w @ G).square().sum()), len(G)) @ G
    assert made.norm() <= found.norm() + 1e-9
    torch.testing.assert_close(made, found, atol=2e-4 * float(G.norm()), rtol=0)
    # No loss rises: the condition of the optimum.
    assert (G @ made >= made @ made - 1e-9 * (1 + G.norm() ** 2)).all()


@every_matrix
@pytest.mark.parametrize("c", [0.0, 0.4, 0.9])
def test_cagrad(name, c):
    """The value of the paper's problem, max over d in a ball of min_i g_i . d, that a search over its dual finds."""
    G = matrix(name)
    g0 = G.mean(0)
    radius = c * g0.norm()

    def dual(w):
        return float((w @ G) @ g0 + radius * (w @ G).norm())

    made = fastloss.cagrad(G, c=c)
    assert (made - g0).norm() <= radius * (1 + 1e-9) + 1e-12
    best = dual(refined(dual, len(G)))
    scale = float(G.norm() * g0.norm()) + 1e-300
    assert float((G @ made).min()) == pytest.approx(best, abs=1e-5 * scale)
    assert float((G @ made).min()) <= best + 1e-12 * scale  # weak duality: the search is no better than the optimum


@every_matrix
@pytest.mark.parametrize("weights", [None, [0.5, 2.0, 1.0]])
def test_aligned_mtl(name, weights):
    """The singular value decomposition of the gradients themselves, in numpy."""
    G = matrix(name)
    w = np.ones(len(G)) if weights is None else np.array(weights[: len(G)])
    U, s, Vh = np.linalg.svd(G.numpy(), full_matrices=False)
    kept = s > 1e-7 * s[0]
    wanted = s[kept].min() * w @ (U[:, kept] @ Vh[kept])
    given = None if weights is None else torch.tensor(weights[: len(G)])
    torch.testing.assert_close(fastloss.aligned_mtl(G, given).numpy(), wanted, atol=1e-7 * s[0], rtol=1e-7)


FUNCTIONS = ("pcgrad", "mgda", "cagrad", "aligned_mtl")


@every_matrix
@pytest.mark.parametrize("function", FUNCTIONS)
def test_dtypes_and_scale(name, function):
    """Half precision is that of the rounded gradients, rounded once; a common factor passes through."""
    f = getattr(fastloss, function)
    G = matrix(name)
    made = {}
    for dtype in (torch.float32, torch.bfloat16):
        torch.manual_seed(0)
        made[dtype] = f(G.to(dtype))
        assert made[dtype].dtype == dtype
        torch.manual_seed(0)
        torch.testing.assert_close(made[dtype], f(G.to(dtype).float()).to(dtype), rtol=0, atol=0)
    torch.manual_seed(0)
    scaled = f(1024 * G.float())
    torch.testing.assert_close(scaled, 1024 * made[torch.float32], rtol=1e-5, atol=1e-3 * math.sqrt(G.numel()))


@every_matrix
@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_overflow_stays_visible(name, function, value):
    """What a GradScaler looks for."""
    G = matrix(name)
    G[0, 0] = value
    assert not getattr(fastloss, function)(G).isfinite().all()


@every_matrix
@pytest.mark.parametrize("function", FUNCTIONS)
def test_all_zero(name, function):
    made = getattr(fastloss, function)(torch.zeros_like(matrix(name)))
    assert torch.equal(made, torch.zeros_like(made))


# ----------------------------------------------------------------------------------------------------------- backward


def network():
    torch.manual_seed(3)
    body = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 6)).double()
    heads = torch.nn.ModuleList([torch.nn.Linear(6, 1) for _ in range(3)]).double()
    unused = torch.nn.Parameter(torch.ones(2, dtype=torch.float64))
    return body, heads, unused, torch.randn(16, 4, dtype=torch.float64)


def losses_of(body, heads, x):
    hidden = body(x)
    return [(head(hidden) - k).square().mean() for k, head in enumerate(heads)]


def gradients_of(loss, params):
    return torch.autograd.grad(loss, params, retain_graph=True)


STRATEGIES = {
    **{name: name for name in FUNCTIONS},
    "partial": functools.partial(fastloss.cagrad, c=0.9),
}


@pytest.mark.parametrize("grad", ["none", "some"])
@pytest.mark.parametrize("given", ["result", "mapping", "list"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_backward(strategy, given, grad):
    body, heads, unused, x = network()
    shared = [*body.parameters(), unused]
    if grad == "some":
        for p in [*shared, *heads.parameters()]:
            p.grad = torch.full_like(p, 0.25)
    weights = (1.0, 0.5, 2.0) if given == "result" else (1.0, 1.0, 1.0)
    losses = losses_of(body, heads, x)
    parts = [w * loss for w, loss in zip(weights, losses, strict=True)]
    G = torch.stack([torch.cat([g.flatten() for g in gradients_of(part, shared[:-1])]) for part in parts])
    torch.manual_seed(0)
    function = STRATEGIES[strategy]
    wanted = (getattr(fastloss, function) if isinstance(function, str) else function)(G)
    of_heads = gradients_of(sum(parts), [*heads.parameters()])

    terms = {f"t{k}": (lambda loss: loss, w) for k, w in enumerate(weights)}
    named = {f"t{k}": loss for k, loss in enumerate(losses)}
    what = {"result": lambda: fastloss.Objective(**terms)(**named), "mapping": lambda: named, "list": lambda: losses}
    torch.manual_seed(0)
    fastloss.backward(what[given](), STRATEGIES[strategy], params=iter(shared))
    before = 0.25 if grad == "some" else 0.0
    made = torch.cat([p.grad.flatten() for p in shared[:-1]])
    torch.testing.assert_close(made, wanted + before)
    for p, g in zip(heads.parameters(), of_heads, strict=True):
        torch.testing.assert_close(p.grad, g + before)
    assert unused.grad is None if grad == "none" else torch.equal(unused.grad, torch.full_like(unused, 0.25))


def test_backward_keeps_what_was_there_after_an_error():
    body, heads, _, x = network()
    for p in body.parameters():
        p.grad = torch.ones_like(p)
    before = [p.grad for p in body.parameters()]
    with pytest.raises(RuntimeError, match="does not require grad"):
        fastloss.backward([losses_of(body, heads, x)[0], torch.ones(())], params=body.parameters())
    assert all(p.grad is g for p, g in zip(body.parameters(), before, strict=True))
    with pytest.raises(ValueError, match=r"fastloss.backward: expected strategy .*'pcgrad'.* got 'sum'"):
        fastloss.backward([torch.ones(())], "sum", params=[])
    for losses, params in (([], [torch.ones(2)]), ([torch.ones(())], []), ([torch.ones(())], [("a", torch.ones(2))])):
        with pytest.raises(ValueError, match=r"fastloss.backward: expected losses and params=model.parameters\(\)"):
            fastloss.backward(losses, params=params)


def test_backward_of_mixed_precision_and_retained_graphs():
    """Parameters of two dtypes get gradients of their own; a retained graph can be used again."""
    a = torch.randn(5, dtype=torch.bfloat16, requires_grad=True)
    b = torch.randn(3, 2, requires_grad=True)
    losses = [a.sum() * 2.0 + b.square().sum(), -a.sum().float()]
    fastloss.backward(losses, lambda G: G.sum(0), params=[a, b], retain_graph=True)
    assert (a.grad.dtype, b.grad.dtype) == (torch.bfloat16, torch.float32)
    assert torch.equal(a.grad, torch.ones_like(a))
    torch.testing.assert_close(b.grad, 2 * b.detach())
    losses[0].backward()
    torch.testing.assert_close(b.grad, 4 * b.detach())


@pytest.mark.parametrize("wrong", [torch.ones(3), torch.ones(2, 3, dtype=torch.int64), torch.ones(0, 3)])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_errors(function, wrong):
    with pytest.raises(ValueError, match=rf"fastloss.{function}: expected a floating-point tensor \(T, P\)"):
        getattr(fastloss, function)(wrong)


@pytest.mark.parametrize("c", [-0.1, 1.0, math.nan])
def test_cagrad_needs_a_ball_without_zero(c):
    with pytest.raises(ValueError, match=f"fastloss.cagrad: expected c .* got {c}"):
        fastloss.cagrad(torch.ones(2, 3), c=c)


def test_pcgrad_does_not_wait():
    """Tensors without values, which raise where the host asks for one, pass."""
    assert fastloss.pcgrad(torch.ones(3, 5, device="meta")).shape == (5,)
    x = torch.randn(4, device="meta", requires_grad=True)
    fastloss.backward([x.sum(), x.square().sum()], "pcgrad", params=[x])
    assert x.grad.is_meta
