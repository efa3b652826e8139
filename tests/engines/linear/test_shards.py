"""Heads whose classes, and hidden states, lie on several processes: what one process gives for all."""

import functools

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
import worlds
from cases import UNIT
from test_strips import Watch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Replicate, Shard, distribute_tensor

import fastloss
from fastloss import functional, reference
from fastloss._core import operators as _ops
from fastloss.engines.similarity import strips

pytestmark = [
    pytest.mark.skipif(not _ops.AVAILABLE, reason="the extension is not built"),
    pytest.mark.skipif(not (dist.is_available() and dist.is_gloo_available()), reason="this PyTorch has no gloo"),
]

WORLDS = {2: (7, 12), 4: (5, 3, 8, 3)}  # classes of each process
N, D, C, K = 30, 6, 19, 3
KINDS = ("kl", "reverse_kl", "js", "tv", "alpha", "soft_cross_entropy")
MARGINS = torch.linspace(0.1, 0.6, C)
OPTIONS = (
    {"label_smoothing": 0.2, "z_loss": 0.01}, {"reduction": "none", "ignore_index": 3},
    {"mask": True, "reduction": "sum", "softcap": 4.0, "temperature": 0.7},
)  # fmt: skip


def formula(row):
    return 0.1 * row.lse.square() - row.logprob * row.others - 0.01 * row.entropy


# Of each function: its hyperparameters; those that have an entry for each class are cut like the weight.
HEADS = {
    "linear_softmax_focal_loss": ({"gamma": 1.5}, {"alpha": MARGINS, "weight": 1 + MARGINS}),
    "arcface_loss": ({"scale": 4.0}, {"scale": 4.0, "margin": MARGINS}, {"scale": 4.0, "easy_margin": True}),
    "cosface_loss": ({"scale": 4.0}, {"scale": 4.0, "margin": MARGINS}),
    "sphereface_loss": ({"m1": 1.35, "scale": 4.0},),
    "sub_center_arcface_loss": ({"scale": 4.0, "sub_centers": K}, {"sub_centers": K, "scale": 4.0, "margin": MARGINS}),
    "normalized_softmax_loss": ({},),
    "proxy_nca_loss": ({},),
}


class Split:
    """Hidden states and a classifier of float64, and the part of it that a process has."""

    def __init__(self, sizes, rank, dtype=torch.float64):
        torch.manual_seed(1)
        self.here, self.dtype = slice(sum(sizes[:rank]), sum(sizes[: rank + 1])), dtype
        self.hidden, self.bias = torch.randn(N, D), torch.randn(C)
        self.weight, self.centers = torch.randn(C, D), torch.randn(C * K, D)
        self.target = torch.randint(C, (N,))
        self.target[::5] = -100
        self.mask = torch.rand(N) < 0.8

    def both(self, name, vectors, target, cut=(), **options):
        """The outputs and gradients of one process, and those here of all."""
        found = []
        for group in (None, dist.group.WORLD):
            here = self.here if group else slice(None)
            leaves = []
            for what, t in vectors.items():
                t, each = t.to(self.dtype), t.shape[0] // C if what in ("weight", "linear_weight") else 1
                part = slice(here.start and here.start * each, here.stop and here.stop * each)
                is_hidden = what in ("input", "embeddings")
                leaves.append((t if is_hidden else t[part]).clone().requires_grad_())
            own = {k: v.to(self.dtype)[here] if k in cut else v for k, v in options.items()}
            y = target[..., here] if isinstance(target, torch.Tensor) and target.is_floating_point() else target
            if "target_weight" in own:
                y = target
            made = getattr(functional, name)(
                **dict(zip(vectors, leaves, strict=True)), target=y, group=group, memory_budget=1, **own
            )
            outs = [t for t in (made if isinstance(made, tuple) else (made,)) if t is not None]
            floats = [t for t in outs if t.is_floating_point()]
            torch.manual_seed(2)
            seeds = [torch.randn(t.shape).to(t.dtype) for t in floats]
            found.append((outs, torch.autograd.grad(floats, leaves, seeds)))
        outs, grads = found[0]
        cuts = []
        for what, g in zip(vectors, grads, strict=True):
            each = g.shape[0] // C if what in ("weight", "linear_weight") else 1
            hidden = what in ("input", "embeddings")
            cuts.append(g if hidden else g[self.here.start * each : self.here.stop * each])
        return [*outs, *cuts], [*found[1][0], *found[1][1]]

    def check(self, name, vectors, target, cut=(), **options):
        wanted, found = self.both(name, vectors, target, cut, **options)
        unit = UNIT[torch.float64 if self.dtype == torch.float64 else torch.float32]
        for a, b in zip(found, wanted, strict=True):
            assert a.dtype == b.dtype
            error = ((a.double() - b.double()).abs() / (1 + b.double().abs())).max()
            assert error <= 1024 * unit + 4 * UNIT[self.dtype], f"{name}, {options}: {float(error)}"

    @property
    def layer(self):
        return {"input": self.hidden, "linear_weight": self.weight, "linear_bias": self.bias}


def heads(split, name):
    hidden, weight = functional.__dict__[name].record.names[:2]
    vectors = {hidden: split.hidden, weight: split.centers if "sub" in name else split.weight}
    for params in HEADS[name]:
        for options in OPTIONS if split.dtype == torch.float64 else OPTIONS[:1]:
            options = {**options, **({"mask": split.mask} if "mask" in options else {})}
            target = split.target.clamp_min(0) if "ignore_index" in options else split.target
            cut = [k for k, v in params.items() if isinstance(v, torch.Tensor)]
            split.check(name, vectors, target, cut, **{**options, **params})


def outputs(split):
    for flags in ({}, {"return_entropy": True, "return_lse": True}, {"return_hits": True, "temperature": 0.7}):
        split.check("linear_token_logprobs", split.layer, split.target, mask=split.mask, **flags)
    split.check("linear_token_logprobs", split.layer, None, return_entropy=True, mask=split.mask)


def formulas(split):
    for reduction in ("none", "mean", "sum"):
        split.check("linear_flex_cross_entropy", split.layer, split.target, row_loss=formula, reduction=reduction)


def divergences(split, kind):
    given = {"kind": kind, "temperature": 0.8, "beta": 0.3, "alpha": 1.7}
    teacher, hidden, weight = torch.randn(N, C).to(split.dtype), torch.randn(N, 4), torch.randn(C, 4)
    hidden, mass = hidden.to(split.dtype), torch.rand(N).to(split.dtype)
    for options in ({}, {"mask": split.mask, "weight": mass, "reduction": "none"}, {"normalizer": 3.0}):
        split.check("linear_divergence", split.layer, teacher, **given, **options)
    split.check("linear_divergence", split.layer, hidden, ["target_weight"], target_weight=weight, **given)
    top = teacher.softmax(1).topk(4)
    split.check("linear_divergence", split.layer, tuple(top), target_is="probabilities", **given)


def small(split):
    """The same where all logits of the classes here are made."""
    for name, target, options in (
        ("linear_token_logprobs", split.target, {"return_entropy": True, "return_hits": True}),
        ("linear_divergence", torch.randn(N, C).double(), {"kind": "kl"}),
    ):
        original, strips._STRIP_BYTES = strips._STRIP_BYTES, 32 << 20
        split.check(name, split.layer, target, **options)
        strips._STRIP_BYTES = original


def held(split):
    """No tensor of the logits' size, 600 x 200; hidden states of rows that do not count may hold anything."""
    hidden = torch.randn(600, D, dtype=torch.float64)
    target = torch.randint(400, (600,))
    target[::3] = -100
    hidden[::3] = torch.nan
    group = dist.group.WORLD
    for name in ("linear_cross_entropy", "arcface_loss", "linear_token_logprobs"):
        x, w = hidden.clone().requires_grad_(), torch.randn(200, D, dtype=torch.float64).requires_grad_()
        with Watch() as watch:
            getattr(functional, name)(x, w, target, group=group, memory_budget=1).sum().backward()
        assert watch.largest <= 10 * 600 * dist.get_world_size(), (name, watch.largest)  # of numbers of rows
        assert (x.grad[::3] == 0).all()
        assert x.grad.isfinite().all()


def errors(split):
    group = dist.group.WORLD
    x, w, y = split.hidden.requires_grad_(), split.weight[split.here], split.target
    for kind, words, call in (
        (RuntimeError, "margin is a tensor that needs a gradient",
         lambda: functional.arcface_loss(x, w, y, torch.tensor(0.1, requires_grad=True), group=group)),
        (RuntimeError, "classes as targets", lambda: functional.linear_cross_entropy(x, w, x[:, :1], group=group)),
        (ValueError, "expected group=None", lambda: reference.arcface_loss(x, w, y, group=group)),
        (ValueError, "expected group=None", lambda: reference.linear_token_logprobs(x, w, y, group=group)),
        (ValueError, "expected group=None", lambda: reference.linear_divergence(x, w, x @ w.t(), group=group)),
        (ValueError, "expected group=None",
         lambda: reference.linear_flex_cross_entropy(x, w, y, formula, group=group)),
        (ValueError, "return_stats=False", lambda: functional.arcface_loss(x, w, y, group=group, return_stats=True)),
        (TypeError, "expected a torch.distributed.ProcessGroup",
         lambda: functional.linear_token_logprobs(x, w, y, group=1)),
        (TypeError, "expected a torch.distributed.ProcessGroup",
         lambda: functional.linear_divergence(x, w, x @ w.t(), group=1)),
        (IndexError, "^fastloss.linear_token_logprobs: target 19 at row 1",
         lambda: functional.linear_token_logprobs(x, w, y * 0 + 19 * (torch.arange(N) == 1), group=group,
                                                  memory_budget=1)),
    ):  # fmt: skip
        with pytest.raises(kind, match=words):
            call()
    loss = functional.arcface_loss(x, w, y, group=group)
    with pytest.raises(RuntimeError, match="first derivative"):
        torch.autograd.grad(loss, x, create_graph=True)
    if not dist.get_rank():  # nothing is sent for an explanation
        assert fastloss.explain(functional.arcface_loss, x, w, y, group=group).path == "kernel"
        more = {"group": group, "memory_budget": 1}
        assert fastloss.explain(functional.linear_token_logprobs, x, w, y, **more).path == "kernel"
        assert fastloss.explain(functional.linear_divergence, x, w, F.linear(x, w).detach(), **more).path == "kernel"


def placed(split):
    """DTensors: classes, rows, or both on several processes, hidden states by rows where the classes lie too."""
    world = dist.get_world_size()
    rest, first = Replicate(), Shard(0)
    line = init_device_mesh("cpu", (world,))
    lies = [(line, [rest], [first]), (line, [first], [first]), (line, [first], [rest]), (line, [rest], [rest])]
    if world == 4:
        square = init_device_mesh("cpu", (2, 2))
        lies += [(square, [first, rest], [rest, first]), (square, [first, first], [rest, first])]
    y, mask, mass, few = split.target, split.mask, 1 + MARGINS.double(), split.target.clamp_max(7)  # 8 classes
    calls = {
        "cross entropy": lambda f, x, w, b: f.linear_cross_entropy(
            x, w, y, linear_bias=b, weight=mass, mask=mask, label_smoothing=0.1, memory_budget=1
        ),
        "rows": lambda f, x, w, b: f.linear_cross_entropy(x, w, y, linear_bias=b, reduction="none", memory_budget=1),
        "margins": lambda f, x, w, b: f.arcface_loss(x, w, y, MARGINS.double(), 4.0, memory_budget=1),
        "centers": lambda f, x, w, b: f.sub_center_arcface_loss(x, w, few, 3, 0.3, 4.0, memory_budget=1),
        "outputs": lambda f, x, w, b: f.linear_token_logprobs(
            x, w, y, linear_bias=b, return_hits=True, return_entropy=True, mask=mask, memory_budget=1
        ),
    }
    for name, call in calls.items():
        columns = split.centers[:24] if name == "centers" else split.weight
        given = [t.double() for t in (split.hidden, columns, split.bias)]
        leaves = [t.clone().requires_grad_() for t in given]
        wanted = call(functional, *leaves)
        for mesh, of_hidden, of_weight in lies:
            lie = of_hidden, of_weight, of_weight
            own = [distribute_tensor(t, mesh, p).requires_grad_() for t, p in zip(given, lie, strict=True)]
            outs, exact = (
                [t for t in (made if isinstance(made, tuple) else (made,)) if t is not None]
                for made in (call(functional, *own), wanted)
            )
            sum(t.sum() for t in outs).mul(1.5).backward()
            grads = torch.autograd.grad(sum(t.sum() for t in exact) * 1.5, leaves, retain_graph=True, allow_unused=True)
            for a, b in zip((*outs, *(t.grad for t in own)), (*exact, *grads), strict=True):
                assert (a is None) == (b is None), (name, of_hidden, of_weight)
                if a is not None:
                    error = (a.full_tensor().double() - b.double()).abs().max()
                    assert error < 1e-12, f"{name}, {of_hidden}, {of_weight}: {float(error)}"
    x, w = split.hidden.double(), split.weight.double()
    lie = distribute_tensor(w, line, [first])
    for call in (
        functional.linear_cross_entropy, functional.linear_token_logprobs, functional.arcface_loss,
        lambda x, w, y: functional.linear_divergence(x, w, x @ split.weight.double().t()),
    ):  # fmt: skip
        with pytest.raises(RuntimeError, match=r"expected DTensors on one mesh, or none; remedy"):
            call(x, lie, y)
    lie = distribute_tensor(split.centers[:30].double(), line, [first])
    with pytest.raises(RuntimeError, match="all 10 centers of a class on one process"):
        functional.sub_center_arcface_loss(distribute_tensor(x, line, [rest]), lie, few.clamp_max(2), 10)


CHECKS = {
    **{f"head, {name}": lambda split, name=name: heads(split, name) for name in HEADS},
    "outputs": outputs,
    "formulas": formulas,
    **{f"divergence, {kind}": lambda split, kind=kind: divergences(split, kind) for kind in KINDS},
    "small": small,
    "held": held,
    "DTensor": placed,
    "errors": errors,
}
HALF = ("head, arcface_loss", "head, linear_softmax_focal_loss", "outputs", "divergence, kl")


def run_check(name, world, rank):
    for dtype in (torch.float64, *([torch.bfloat16] if name in HALF else [])):
        CHECKS[name](Split(WORLDS[world], rank, dtype))


def work(rank, world, folder):
    strips._MIN_STRIP_ROWS, strips._STRIP_BYTES = 4, 1
    jobs = {name: functools.partial(run_check, name, world, rank) for name in CHECKS}
    worlds.run(rank, world, folder, jobs)


@pytest.fixture(scope="module", params=sorted(WORLDS))
def outcome(request, tmp_path_factory):
    return worlds.outcome(work, request.param, tmp_path_factory.mktemp(f"world{request.param}"))


@pytest.mark.parametrize("name", CHECKS)
def test_group(name, outcome):
    worlds.check(name, outcome)
