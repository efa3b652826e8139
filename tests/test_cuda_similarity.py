"""The similarity CUDA kernels on a device: losses and gradients against float64, and what only a device can show.

The same kernels run without one in test_cuda_emulation.py, and this file in test_cuda_operators.py.
"""

import cases
import pytest
import torch
from device import DEVICE, check_retained_graph, check_waits_for_nothing, needs_device, on_device

import fastloss
from fastloss import reference
from fastloss.engines.similarity import strips as engine
from fastloss.losses import contrastive

pytestmark = [pytest.mark.cuda, needs_device]
close = torch.testing.assert_close
F = fastloss.functional

# name: (loss, number of matrices, whether labels, arguments, the largest factor of a similarity)
LOSSES = {
    "clip": ("clip_loss", 2, False, {"logit_scale": 5.0, "normalize": True}, 5),
    "clip bias": ("clip_loss", 2, False, {"logit_scale": 0.2, "logit_bias": 1.5}, 3),
    "siglip": ("siglip_loss", 2, False, {"logit_scale": 4.0, "logit_bias": -2.0, "normalize": True}, 4),
    "info_nce": ("info_nce_loss", 2, False, {"temperature": 0.3}, 4),
    "info_nce symmetric": ("info_nce_loss", 2, False, {"temperature": 0.3, "symmetric": True}, 4),
    "nt_xent": ("nt_xent_loss", 2, False, {"temperature": 0.25}, 4),
    "nt_xent decoupled": ("nt_xent_loss", 2, False, {"decoupled": True}, 2),
    "supcon": ("supcon_loss", 1, True, {"temperature": 0.25}, 4),
    "supcon in": ("supcon_loss", 1, True, {"temperature": 0.5, "positives": "in"}, 2),
    "multi_similarity": ("multi_similarity_loss", 1, True, {"beta": 8.0}, 8),
    "circle": ("circle_loss", 1, True, {"gamma": 4.0}, 8),
    "contrastive": ("pairwise_contrastive_loss", 1, True, {"pos_margin": 0.1, "squared": True}, 2),
    "batch_hard": ("mined_triplet_margin_loss", 1, True, {"mining": "batch_hard"}, 2),
    "semi_hard": ("mined_triplet_margin_loss", 1, True, {"mining": "semi_hard", "normalize": True}, 2),
    "soft": ("mined_triplet_margin_loss", 1, True, {"mining": "semi_hard", "soft": True}, 2),
    "all": ("mined_triplet_margin_loss", 1, True, {"mining": "all", "margin": 0.2}, 2),
}
DISTANCES = ("contrastive", "batch_hard", "semi_hard", "soft", "all")


def problem(name, n=70, width=24, dtype=torch.float32, seed=0):
    """Matrices and the other arguments, on the CPU."""
    loss, matrices, labelled, arguments, _ = LOSSES[name]
    generator = torch.Generator().manual_seed(seed)
    vectors = [torch.randn(n, width, generator=generator, dtype=torch.float64).to(dtype) for _ in range(matrices)]
    rest = {"labels": torch.randint(0, 9, (n,), generator=generator)} if labelled else {}
    return loss, vectors, {**rest, **arguments}


def gradients(function, vectors, arguments, upstream=None):
    """Loss, then the gradients of the vectors and of the tensors among the arguments that want one."""
    leaves = [v.detach().requires_grad_() for v in vectors]
    arguments = {
        k: v.detach().requires_grad_(v.requires_grad) if isinstance(v, torch.Tensor) else v
        for k, v in arguments.items()
    }
    wanted = leaves + [v for v in arguments.values() if isinstance(v, torch.Tensor) and v.requires_grad]
    loss = function(*leaves, **arguments)
    upstream = torch.ones_like(loss) if upstream is None else upstream.to(loss)
    return [loss.detach(), *torch.autograd.grad(loss, wanted, upstream)]


def ours(loss, vectors, arguments, upstream=None):
    here = [v.to(DEVICE) for v in vectors]
    arguments = on_device(arguments)
    assert fastloss.explain(getattr(F, loss), *here, **arguments).path == "kernel"
    return [t.cpu() for t in gradients(getattr(F, loss), here, arguments, upstream)]


def exact(loss, vectors, arguments, upstream=None):
    wide = {
        k: v.double().detach().requires_grad_(v.requires_grad)
        if isinstance(v, torch.Tensor) and v.is_floating_point()
        else v
        for k, v in arguments.items()
    }
    wide.pop("memory_budget", None)
    return gradients(getattr(reference, loss), [v.double() for v in vectors], wide, upstream)


def check(name, got, wanted, dtype):
    """A similarity is rounded to the stored type and its error multiplied by the factor of the exponent; so is a
    vector of length one, and a derivative once more. In the norm, and three times that in all."""
    factor = LOSSES[name][4]
    if dtype.itemsize == 2 and name in DISTANCES:
        dtype, stored = torch.float32, cases.UNIT[dtype]
    else:
        stored = cases.UNIT[dtype]
    unit = 3 * (factor + 2) * cases.UNIT[dtype] * (8 if dtype == torch.float32 else 1) + stored
    if dtype == torch.float64:
        unit = 1e-11
    for a, w in zip(got, wanted, strict=True):
        difference, size = (a.double() - w).norm(), w.norm()
        assert difference <= unit * max(float(size), 1e-3), f"{float(difference / size)} for {unit}"


@pytest.mark.parametrize("dtype", cases.DTYPES, ids=str)
@pytest.mark.parametrize("name", LOSSES)
def test_against_reference(name, dtype):
    for n, width in ((70, 24), (33, 7)):
        loss, vectors, arguments = problem(name, n, width, dtype)
        if dtype.itemsize == 2 and name in DISTANCES and "normalize" not in arguments:
            vectors = [v * 0.2 for v in vectors]  # else margins find no hinge
        check(name, ours(loss, vectors, arguments), exact(loss, vectors, arguments), dtype)


@pytest.mark.parametrize("name", ["batch_hard", "semi_hard", "all"])
def test_nan_shows_in_triplets(name):
    """A vector that is no number makes the loss, and its own gradient, none: maxima and minima do not see it."""
    loss, vectors, arguments = problem(name)
    vectors[0][3, 5] = float("nan")
    value, gradient = ours(loss, vectors, arguments)
    assert value.isnan()
    assert gradient[3].isnan().all()


@pytest.mark.parametrize("reduction", ["sum", "none"])
@pytest.mark.parametrize("name", LOSSES)
def test_reductions(name, reduction):
    loss, vectors, arguments = problem(name)
    arguments["reduction"] = reduction
    anchors = (2 if loss == "nt_xent_loss" else 1) * 70
    upstream = torch.linspace(-1, 2, anchors) if reduction == "none" else torch.tensor(-2.5)
    got, wanted = ours(loss, vectors, arguments, upstream), exact(loss, vectors, arguments, upstream.double())
    check(name, got, wanted, torch.float32)


@pytest.mark.parametrize("strips", ["whole", "twice"])
@pytest.mark.parametrize("name", ["clip", "siglip", "nt_xent", "supcon", "circle", "contrastive", "semi_hard"])
def test_strips(name, strips, monkeypatch):
    """More than one strip, kept or made twice."""
    monkeypatch.setattr(engine, "_MIN_STRIP_ROWS", 16)
    monkeypatch.setattr(engine, "_STRIP_BYTES", 1)
    monkeypatch.setattr(engine, "_CUDA_STRIP_BYTES", 1)
    for dtype in (torch.float32, torch.bfloat16):
        loss, vectors, arguments = problem(name, 72, 24, dtype)
        wanted = exact(loss, vectors, arguments)
        if strips == "twice":
            arguments["memory_budget"] = 1
        check(name, ours(loss, vectors, arguments), wanted, dtype)


def test_options():
    loss, vectors, arguments = problem("clip")
    scale = torch.tensor([4.0], requires_grad=True)
    mask = torch.rand(70, 70) < 0.8
    mask.fill_diagonal_(True)
    for more in (
        {"logit_scale": scale},
        {"logit_scale": scale, "logit_bias": torch.tensor(-1.0, requires_grad=True)},
        {"mask": mask},
        {"weight": torch.rand(70)},
        {"normalizer": 9.0},
        {"normalizer": torch.tensor(9)},
        {"mask": mask & False},
        {"mask": mask & False, "empty": "nan"},
    ):
        options = {**arguments, **more}
        got, wanted = ours(loss, vectors, options), exact(loss, vectors, options)
        if more.get("empty") == "nan":
            assert got[0].isnan()
            got, wanted = got[1:], wanted[1:]
        check("clip", got, wanted, torch.float32)
    loss, vectors, arguments = problem("info_nce")
    several = torch.rand(70, 70) < 0.1
    for more in (
        {"positives": several},
        {"positives": several, "multi_positive": "in", "mask": mask},
        {"labels": torch.randint(0, 70, (70,))},
        {"negatives": torch.randn(11, 24)},
        {"negatives": torch.randn(70, 5, 24)},
    ):
        options = {**arguments, **more}
        check("info_nce", ours(loss, vectors, options), exact(loss, vectors, options), torch.float32)


@pytest.mark.parametrize("symmetric", [False, True])
def test_labels_out_of_range_none(symmetric, monkeypatch):
    """A row is NaN and has no gradient, the others are as they would be without it."""
    if DEVICE == "cpu":  # where they would be seen
        monkeypatch.setattr(contrastive, "any_outside", lambda labels, count: None)
    _, (x, y), arguments = problem("info_nce")
    labels = torch.randint(0, 70, (70,))
    labels[:3] = torch.tensor([70, -1, 2**40])
    bad, wanted = {"labels": labels}, {"positives": labels.unsqueeze(1) == torch.arange(70)}
    for reduction in ("none", "mean"):
        options = {**arguments, "symmetric": symmetric, "reduction": reduction}
        got = ours("info_nce_loss", (x, y), {**options, **bad})
        assert (got[0] if reduction == "mean" else got[0][:3]).isnan().all()
        wanted_here = exact("info_nce_loss", (x, y), {**options, **wanted})
        check("info_nce", got[1:], wanted_here[1:], torch.float32)
        if reduction == "none":
            check("info_nce", [got[0][3:]], [wanted_here[0][3:]], torch.float32)


@pytest.mark.parametrize("name", ["siglip", "supcon"])
def test_float16_small_gradients(name):
    """The mean's divisor is none of float16's business: derivatives over it would be subnormal, or zero."""
    loss, vectors, arguments = problem(name, 130, 16, torch.float16)
    arguments["normalizer"] = 2.0**28
    got, wanted = (
        ours(loss, vectors, {**arguments, "loss_dtype": torch.float32}, torch.tensor(2.0**20)),
        exact(loss, vectors, arguments, torch.tensor(2.0**20)),
    )
    check(name, got[1:], wanted[1:], torch.float16)


@pytest.mark.parametrize("name", LOSSES)
def test_same_bits(name):
    loss, vectors, arguments = problem(name, 70, 24, torch.bfloat16)
    for a, b in zip(ours(loss, vectors, arguments), ours(loss, vectors, arguments), strict=True):
        assert torch.equal(a, b)


def test_retained_graph():
    loss, vectors, arguments = problem("clip")
    leaves = [v.to(DEVICE).requires_grad_() for v in vectors]
    check_retained_graph(getattr(F, loss)(*leaves, **arguments), leaves)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("name", LOSSES)
def test_waits_for_nothing(name, dtype):
    loss, vectors, arguments = problem(name, dtype=dtype)
    other = problem(name, dtype=dtype, seed=1)[1][0].to(DEVICE)
    leaf, *rest = (v.to(DEVICE) for v in vectors)
    leaf.requires_grad_()
    arguments = on_device(arguments)
    if "logit_scale" in arguments:
        arguments["logit_scale"] = torch.full((), 5.0, device=DEVICE)
    for more in ({}, {"reduction": "none"}, {"normalizer": 8.0}, {"memory_budget": 1}):

        def step(more=more):
            value = getattr(F, loss)(leaf, *rest, **arguments, **more)
            return value, *torch.autograd.grad(value, leaf, torch.ones_like(value))

        check_waits_for_nothing(step, leaf, other)


@pytest.mark.slow
def test_more_than_2_31_similarities():
    n = 2**16 + 8
    if torch.cuda.mem_get_info()[0] < 3 * n * n:
        pytest.skip("not enough memory on the device")
    x, y = (torch.nn.functional.normalize(torch.randn(n, 64, device=DEVICE)).bfloat16() for _ in range(2))
    loss = F.clip_loss(x.requires_grad_(), y, 10.0, memory_budget=3 * n * n)
    loss.backward()
    strips = F.clip_loss(x.detach(), y, 10.0, memory_budget=2**26)
    close(loss, strips, rtol=1e-2, atol=0)
    close(loss.double(), reference.clip_loss(x.detach()[:4096], y[:4096], 10.0).double() + 2.77, rtol=0.05, atol=0)
    assert x.grad.isfinite().all()
