"""Losses of a batch paired with itself are as exact as the formula in plain PyTorch, in every shape and at every scale.

A similarity stands twice in x x^T, and need not have the same bits there. Whatever takes it from one place, and the
maximum of an exponential from the other, is off by a factor: largest where similarities are large.
"""

import math

import numpy as np
import pytest
import torch
import torch.distributed as dist

import fastloss
from fastloss._core import operators as _ops
from fastloss.engines.similarity import plan, strips

pytestmark = pytest.mark.skipif(not _ops.AVAILABLE, reason="the extension is not built")

SIZES, WIDTHS, SCALES = range(2, 71), range(1, 71), (1, 5, 20)
EXPONENTIAL = {
    "nt_xent_loss": ({}, {"temperature": 0.05}, {"decoupled": True}),
    "supcon_loss": ({}, {"positives": "in", "temperature": 0.05}),
    "multi_similarity_loss": ({}, {"alpha": 64.0, "beta": 1024.0}),
    "circle_loss": ({}, {"gamma": 1024.0}, {"gamma": 1.0}),
}
HINGES = {
    "pairwise_contrastive_loss": ({}, {"squared": True}),
    "mined_triplet_margin_loss": ({}, {"mining": "semi_hard", "soft": True}, {"mining": "all"}),
}
CASES = [
    (name, options, dtype)
    for losses, dtypes in ((EXPONENTIAL, (torch.float32, torch.float64)), (HINGES, (torch.float32,)))
    for name, each in losses.items()
    for options in each
    for dtype in dtypes
]


def exact(name, x, labels, options):
    """The gradient in numpy's long double, by hand: G = dloss/ds, (G + G^T) x, and the normalisation's derivative."""
    x = x.numpy().astype(np.longdouble)
    n, labels = len(x), labels.numpy()
    length = np.sqrt((x * x).sum(1, keepdims=True)) if options["normalize"] else np.ones((n, 1), x.dtype)
    u = x / length
    s = (u[:, None, :] * u[None, :, :]).sum(-1)
    other = ~np.eye(n, dtype=bool)
    near, far = other & (labels[:, None] == labels), labels[:, None] != labels

    def softmax(z, kept):
        top = np.where(kept, z, -np.inf).max(1, keepdims=True)
        top = np.where(np.isfinite(top), top, 0)
        e = np.where(kept, np.exp(np.where(kept, z - top, 0)), 0)
        total = e.sum(1, keepdims=True)
        some = np.where(total == 0, 1, total)
        return e / some, np.where(total == 0, -np.inf, top + np.log(some))

    def sigmoid(z):
        return np.where(z > 0, 1 / (1 + np.exp(-abs(z))), np.exp(-abs(z)) / (1 + np.exp(-abs(z))))

    counts = near.any(1, keepdims=True)
    if name in ("nt_xent_loss", "supcon_loss"):
        temperature = np.longdouble(options.get("temperature", 0.5 if name == "nt_xent_loss" else 0.1))
        z = s / temperature
        if options.get("decoupled"):
            counts = counts & far.any(1, keepdims=True)
        chosen = (
            softmax(z, near)[0]
            if options.get("positives") == "in"
            else near / np.maximum(near.sum(1, keepdims=True), 1)
        )
        g = (softmax(z, far if options.get("decoupled") else other)[0] - chosen) / temperature
    elif name == "multi_similarity_loss":
        a, b = np.longdouble(options.get("alpha", 2.0)), np.longdouble(options.get("beta", 50.0))
        (p, positive), (q, negative) = softmax(-a * (s - 0.5), near), softmax(b * (s - 0.5), far)
        g, counts = q * sigmoid(negative) - p * sigmoid(positive), np.ones((n, 1), bool)
    else:
        m, gamma = np.longdouble(0.4), np.longdouble(options.get("gamma", 80.0))
        of_far, of_near = gamma * np.maximum(s + m, 0), -gamma * np.maximum(1 + m - s, 0)
        (q, negative), (p, positive) = softmax(of_far * (s - m), far), softmax(of_near * (s - 1 + m), near)
        counts = counts & far.any(1, keepdims=True)
        g = (q * of_far + p * of_near) * sigmoid(np.where(counts, negative, 0) + np.where(counts, positive, 0))
    g = np.where(counts, g, 0) / max(int(counts.sum()), 1)
    gradient = (g + g.T) @ u
    if options["normalize"]:
        gradient = (gradient - u * (u * gradient).sum(1, keepdims=True)) / length
    return torch.from_numpy(gradient.astype(np.float64))


@pytest.fixture(scope="module")
def group(tmp_path_factory):
    """A ring of one process."""
    store = dist.FileStore(str(tmp_path_factory.mktemp("ring") / "store"), 1)
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield dist.group.WORLD
    dist.destroy_process_group()


@pytest.fixture(params=["small", "kept", "twice", "ring", "compiled"])
def way(request, monkeypatch, group):
    """Options and the function's wrapper of one way that a problem may go."""
    if request.param not in ("small", "compiled"):
        monkeypatch.setattr(plan, "is_small", lambda *_: False)
        monkeypatch.setattr(strips, "_MIN_STRIP_ROWS", 8)
        monkeypatch.setattr(strips, "_STRIP_BYTES", 1)
        monkeypatch.setattr(plan, "_MIRRORED_ROWS", 16)
    options = {"twice": {"memory_budget": 1}, "ring": {"group": group}}.get(request.param, {})
    wrap = (lambda f: torch.compile(f, backend="eager", dynamic=True)) if request.param == "compiled" else (lambda f: f)
    return options, wrap, 1 if request.param == "compiled" else 4


def gradient(fn, name, x, labels, options):
    """In float64. The two views of NT-Xent are the halves of x."""
    leaves = [v.detach().requires_grad_() for v in (x.chunk(2) if name == "nt_xent_loss" else (x,))]
    loss = fn(*leaves, *(() if name == "nt_xent_loss" else (labels,)), **options)
    return torch.cat(torch.autograd.grad(loss, leaves)).double()


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize(("name", "options", "dtype"), CASES)
def test_a_batch_paired_with_itself(name, options, dtype, normalize, way):
    """The error is at most that of the formula, of which the order of the features and the way to a length
    of one make some variants, and is so on average."""
    torch.manual_seed(len(name) + 7 * normalize)
    more, wrap, shapes = way
    options = {**options, "normalize": normalize}
    fn, formula = wrap(getattr(fastloss.functional, name)), getattr(fastloss.reference, name)

    def reciprocal(*vectors, normalize, **rest):  # the normalisation's other rounding
        vectors = [v * v.norm(dim=-1, keepdim=True).reciprocal() if v.is_floating_point() else v for v in vectors]
        return formula(*vectors, normalize=False, **rest)

    ratios = []
    for scale in SCALES:
        for _ in range(shapes):
            n, width = (int(torch.randint(r.start, r.stop, ())) for r in (SIZES, WIDTHS))
            n += name == "nt_xent_loss" and n % 2
            x = (torch.randn(n, width, dtype=torch.float64) * scale).to(dtype)
            labels = torch.arange(n) % (n // 2 if name == "nt_xent_loss" else 3)
            if name in EXPONENTIAL:
                truth = exact(name, x, labels, options)
            else:
                truth = gradient(formula, name, x.double(), labels, options)
            top = float(truth.abs().max())
            if not 1e-6 < top < math.inf:
                continue
            errors = []
            for variant in range(6):
                order = torch.randperm(width)
                of = reciprocal if variant % 2 and normalize and name in EXPONENTIAL else formula
                g = gradient(of, name, x[:, order], labels, options)[:, order.argsort()]
                errors.append(float((g - truth).abs().max()))
            found = gradient(fn, name, x, labels, {**options, **more})
            unit, error = 4 * torch.finfo(dtype).eps * top, float((found - truth).abs().max())
            assert error <= 8 * max(errors) + unit, (n, width, scale, error, errors)
            ratios.append(math.log((error + unit) / (sum(errors) / len(errors) + unit)))
    assert sum(ratios) / len(ratios) <= math.log(1.6)
