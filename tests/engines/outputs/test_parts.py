"""Rows whose classes lie on several processes: what one process gives for whole rows."""

import functools
import itertools

import pytest
import torch
import torch.distributed as dist
import worlds
from cases import UNIT
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor

import fastloss
from fastloss import functional, reference
from fastloss._core import operators as _ops
from fastloss.engines import sums
from fastloss.engines.similarity import strips

pytestmark = [
    pytest.mark.skipif(not _ops.AVAILABLE, reason="the extension is not built"),
    pytest.mark.skipif(not (dist.is_available() and dist.is_gloo_available()), reason="this PyTorch has no gloo"),
]

WORLDS = {2: (7, 12), 4: (5, 3, 8, 3)}  # classes of each process
CLASSES = 19
DTYPES = (torch.float64, torch.float32, torch.bfloat16)
SHAPES = ((11, CLASSES), (3, CLASSES, 4))
LOSSES = {
    "cross_entropy": {},
    "softmax_focal_loss": {"gamma": 1.5},
    "poly1_cross_entropy": {"epsilon": 2.0},
}
OPTIONS = {
    "plain": {},
    "weight": {"weight": True},
    "smoothing": {"label_smoothing": 0.1},
    "weight, smoothing, z-loss": {"weight": True, "label_smoothing": 0.2, "z_loss": 0.01},
    "mask, cap, temperature, sum": {"mask": True, "softcap": 4.0, "temperature": 0.7, "reduction": "sum"},
    "rows": {"reduction": "none", "z_loss": 0.1},
    "another index ignored": {"ignore_index": 3},
    "normalizer": {"normalizer": 5.0},
    "no row": {"ignore_index": 3, "empty": "zero", "target": 3},
}
KINDS = ("kl", "reverse_kl", "js", "tv", "alpha", "soft_cross_entropy")
SHARES = ("kl", "reverse_kl", "alpha", "soft_cross_entropy")  # of those that parts make by kernels
TEACHERS = ("logits", "log_probabilities", "probabilities", "top")
CHECKS = [
    *(f"{loss}, {options}" for loss in LOSSES for options in OPTIONS),
    *(
        f"probabilities, {loss}, {options}"
        for loss in LOSSES
        for options in OPTIONS
        if "ignore_index" not in OPTIONS[options]
    ),
    "alpha of each class",
    *(f"head, {options}" for options in OPTIONS),
    "token_logprobs",
    *(f"divergence, {kind}" for kind in KINDS),
    "near rows",
    "DTensor on a line",
    "DTensor on a square",
    "DTensor compiled",
    "errors",
]


class Split:
    """A problem, and the part of it that a process has."""

    def __init__(self, shape, dtype, sizes, rank):
        torch.manual_seed(1)
        self.here = slice(sum(sizes[:rank]), sum(sizes[: rank + 1]))
        self.x = (torch.randn(shape) * 3).to(dtype)
        rows = shape[:1] + shape[2:]
        self.target = torch.randint(CLASSES, rows)
        self.target[torch.rand(rows) < 0.2] = -100
        self.mask, self.weight = torch.rand(rows) < 0.9, torch.rand(CLASSES).to(dtype)
        unit = UNIT[torch.float64 if dtype == torch.float64 else torch.float32]
        self.tolerance = 256 * unit + 2 * UNIT[dtype]

    def near(self, got, wanted, what):
        error = ((got.double() - wanted.double()).abs() / (1 + wanted.double().abs())).max()
        assert error <= self.tolerance, f"{what}: {float(error)}"

    def loss(self, name, params, options):
        options, target = {**options}, self.target
        if "target" in options:
            target = torch.full_like(target, options.pop("target"))
        elif "ignore_index" in options:
            target = target.clamp_min(0)
        options |= {k: getattr(self, k) for k in ("mask", "weight") if k in options}
        dtype = torch.promote_types(self.x.dtype, torch.float32)
        made = []
        for cut, group in ((slice(None), None), (self.here, dist.group.WORLD)):
            given = {k: v[cut] if k in ("weight", "alpha") else v for k, v in {**params, **options}.items()}
            leaf = self.x[:, cut].clone().requires_grad_()
            loss = getattr(functional, name)(leaf, target, loss_dtype=dtype, group=group, **given)
            made.append((loss, torch.autograd.grad(loss, leaf, torch.full_like(loss, 1.5))[0]))
        self.near(made[1][0], made[0][0], "loss")
        self.near(made[1][1], made[0][1][:, self.here], "gradient")

    def head(self, options):
        """Of hidden states that all processes have; some are NaN where the row is ignored."""
        options, target = {**options}, self.target
        if "target" in options:
            target = torch.full_like(target, options.pop("target"))
        options |= {k: getattr(self, k) for k in ("mask", "weight") if k in options}
        hidden, columns, bias = (torch.randn(s).to(self.x.dtype) for s in ((len(target), 6), (CLASSES, 6), CLASSES))
        hidden = hidden.masked_fill((target == -100).unsqueeze(1) & ("ignore_index" not in options), torch.nan)
        target = target if "ignore_index" not in options else target.clamp_min(0)
        made, dtype = [], torch.promote_types(self.x.dtype, torch.float32)
        for cut, group in ((slice(None), None), (self.here, dist.group.WORLD)):
            given = {k: v[cut] if k == "weight" else v for k, v in options.items()}
            leaves = [t.clone().requires_grad_() for t in (hidden, columns[cut], bias[cut])]
            loss = functional.linear_cross_entropy(
                leaves[0], leaves[1], target, linear_bias=leaves[2], loss_dtype=dtype, group=group, memory_budget=1,
                **given,
            )  # fmt: skip
            made.append((loss, *torch.autograd.grad(loss, leaves, torch.full_like(loss, 1.5))))
        whole = made[0][:2] + tuple(t[self.here] for t in made[0][2:])
        for got, wanted, what in zip(made[1], whole, ("loss", "hidden", "weight", "bias"), strict=True):
            self.near(got, wanted, what)
        assert (made[1][1][hidden.isnan()] == 0).all()

    def probabilities(self, name, params, options):
        """Where sums are made in float64, the loss is the formula's there, and gradients are rounded once."""
        tolerance = self.tolerance if name == "cross_entropy" else 1e-13
        t = torch.rand(self.x.shape).double().pow(3)
        t = t / t.sum(1, keepdim=True)
        made = []
        for cut, group in ((slice(None), None), (self.here, dist.group.WORLD)):
            wide = torch.float64 if group is None else self.x.dtype
            given = {k: getattr(self, k) if v is True else v for k, v in {**params, **options}.items()}
            given = {k: v.to(wide)[cut] if k in ("weight", "alpha") else v for k, v in given.items()}
            x, p = (v[:, cut].to(self.x.dtype).to(wide).clone().requires_grad_() for v in (self.x, t))
            function = getattr(functional if group else reference, name)
            more = {"group": group} if group else {}
            loss = function(x, p, loss_dtype=torch.float64, **given, **more)
            made.append((loss, *torch.autograd.grad(loss, (x, p), torch.full_like(loss, 1.5))))
        for got, wanted, what in zip(made[1], made[0], ("loss", "gradient", "gradient of the target"), strict=True):
            wanted = wanted if what == "loss" else wanted[:, self.here]
            error = (got.detach().double() - wanted).abs() - UNIT[got.dtype] * wanted.abs()
            assert error.max() <= tolerance * (1 + wanted.abs().max()), f"{what}: {float(error.max())}"

    def divergence(self, kind):
        x, y = self.x.movedim(1, -1), (self.x.double() * 0.5 + torch.randn(self.x.shape)).movedim(1, -1)
        rows, group = self.target.shape, dist.group.WORLD
        weight, mask = torch.rand(rows, dtype=torch.float64), torch.rand(rows) < 0.8
        every = (
            {}, {"weight": weight, "mask": mask}, {"reduction": "sum"}, {"normalizer": 3.0},
            {"reduction": "none", "mask": mask},
        )  # fmt: skip
        every = every if self.x.dtype == torch.float64 and self.x.dim() == 2 else every[-1:]
        for options, target_is in itertools.product(every, TEACHERS):
            p = y.softmax(-1)
            given = {"logits": y, "log_probabilities": p.log(), "probabilities": 0.9 * p, "top": p.topk(4)[0]}[
                target_is
            ]
            options = {"temperature": 0.8, "target_temperature": 1.5, "beta": 0.3, "alpha": 1.7, **options}
            options["target_is"] = "probabilities" if target_is == "top" else target_is
            made = []
            for cut in (None, self.here):
                a = (x.double() if cut is None else x[..., cut]).clone()
                b = given.double() if cut is None else given if target_is == "top" else given[..., cut]
                if "mask" in options:  # whatever those rows hold
                    a[~mask] = torch.nan
                leaves = [a.requires_grad_(), *([] if target_is == "top" else [b.clone().requires_grad_()])]
                target = (b, p.topk(4)[1]) if target_is == "top" else leaves[1]
                more = {} if cut is None else {"group": group}
                function = reference.divergence if cut is None else functional.divergence
                loss = function(leaves[0], target, kind, loss_dtype=torch.float64, **options, **more)
                grads = torch.autograd.grad(loss, leaves, torch.full_like(loss, -2.5))
                made.append((loss, *(g if cut is not None else g[..., self.here] for g in grads)))
            for got, wanted in zip(made[1], made[0], strict=True):
                tolerance = self.tolerance if target_is == "logits" and kind in SHARES else 1e-13
                error = (got.detach().double() - wanted).abs() - UNIT[got.dtype] * wanted.abs()
                assert error.max() <= tolerance * (1 + wanted.abs().max()), (
                    f"{target_is}, {options}: {float(error.max())}"
                )

    def rows(self):
        x, made = self.x.movedim(1, -1), []
        for flags in ({}, {"return_entropy": True}, {"return_entropy": True, "return_lse": True}):
            made = []
            for cut, group in ((slice(None), None), (self.here, dist.group.WORLD)):
                leaf = x[..., cut].clone().requires_grad_()
                outputs = functional.token_logprobs(
                    leaf, self.target, mask=self.mask, temperature=0.8, group=group, **flags
                )
                outputs = [o for o in (outputs if flags else (outputs,)) if o is not None]
                torch.manual_seed(2)
                upstream = [torch.randn(o.shape).to(o.dtype) for o in outputs]
                made.append((outputs, torch.autograd.grad(outputs, leaf, upstream)[0]))
            for got, wanted in zip(made[1][0], made[0][0], strict=True):
                self.near(got, wanted, str(flags))
            self.near(made[1][1], made[0][1][..., self.here], f"gradient, {flags}")
        for y in (x, x.round()):  # where rows have equal logits on several processes
            hits = (
                functional.token_logprobs(y[..., cut], self.target, return_hits=True, group=group).hit
                for cut, group in ((slice(None), None), (self.here, dist.group.WORLD))
            )
            assert torch.equal(*hits)
        # Near p = 1 nothing cancels, wherever the target is.
        sure = torch.full((CLASSES, CLASSES), -30.0).fill_diagonal_(0.0)
        found = functional.token_logprobs(sure[:, self.here], torch.arange(CLASSES), group=dist.group.WORLD)
        torch.testing.assert_close(
            found.double(), -torch.tensor(-30.0).double().exp().mul(18).expand(19), rtol=1e-5, atol=0
        )


def check_errors(sizes, rank):
    x, group = torch.randn(3, sizes[rank], requires_grad=True), dist.group.WORLD
    target, h, w = torch.tensor([0, 1, 2]), torch.randn(3, 6), torch.randn(sizes[rank], 6)
    for error, words, call in (
        (IndexError, "target 19 at row 1", lambda: functional.cross_entropy(x, target + 18, group=group)),
        (ValueError, "return_stats=False", lambda: functional.cross_entropy(x, target, group=group, return_stats=True)),
        (RuntimeError, "expected .* like input", lambda: functional.cross_entropy(x, torch.rand(3, 19), group=group)),
        (RuntimeError, "no ignore_index", lambda: functional.softmax_focal_loss(x, x, ignore_index=1, group=group)),
        (RuntimeError, "ignore_index=1 needs", lambda: functional.cross_entropy(x, x, ignore_index=1, group=group)),
        (RuntimeError, "need no gradient", lambda: functional.cross_entropy(x, target, x[0], group=group)),
        (TypeError, "unexpected argument gruop", lambda: functional.cross_entropy(x, target, group=group, gruop=1)),
        (ValueError, "without tail", lambda: functional.divergence(x, (x[:, :1], target[:, None]), group=group)),
        (TypeError, "expected a torch.distributed.ProcessGroup", lambda: functional.divergence(x, x, group=1)),
        (RuntimeError, "weight has shape", lambda: functional.cross_entropy(x, target, torch.ones(19), group=group)),
        (TypeError, "expected a torch.distributed.ProcessGroup", lambda: functional.token_logprobs(x, target, group=1)),
        (RuntimeError, "one class for each row", lambda: functional.token_logprobs(x, target[:, None], group=group)),
        (IndexError, "^fastloss.linear_cross_entropy: target 19 at row 1",
         lambda: functional.linear_cross_entropy(h, w, target + 18, group=group)),
        (RuntimeError, "classes as targets", lambda: functional.linear_cross_entropy(h, w, x.detach(), group=group)),
        (ValueError, "^fastloss.linear_cross_entropy: expected return_stats=False",
         lambda: functional.linear_cross_entropy(h, w, target, group=group, return_stats=True)),
        (TypeError, "expected a torch.distributed.ProcessGroup",
         lambda: functional.linear_cross_entropy(h, w, target, group=1)),
        (ValueError, "expected group=None", lambda: reference.linear_cross_entropy(h, w, target, group=group)),
    ):  # fmt: skip
        with pytest.raises(error, match=words):
            call()
    for loss in (
        functional.cross_entropy(x, target, group=group), functional.divergence(x, x.detach(), group=group),
        functional.linear_cross_entropy(x.t()[: len(target), :1] * h, w, target, group=group),
    ):  # fmt: skip
        with pytest.raises(RuntimeError, match="first derivative"):
            torch.autograd.grad(loss, x, create_graph=True)
    grads = []
    for inplace in (False, True):
        loss = functional.cross_entropy(x * 1.0, x.detach().softmax(1), group=group, inplace=inplace)
        grads.append(torch.autograd.grad(loss, x)[0])
    assert torch.equal(*grads)
    # Nothing is sent for an explanation, so one process alone may ask.
    if rank == 0:
        assert fastloss.explain(functional.cross_entropy, x, target, group=group).path == "kernel"
        assert "several processes" in fastloss.explain(functional.divergence, x, x, "js", group=group).reason
        assert fastloss.explain(functional.softmax_focal_loss, x, x.detach(), group=group).path == "reference"
        smooth = {"label_smoothing": 0.1, "group": group}
        assert fastloss.explain(functional.cross_entropy, x, x.detach(), **smooth).path == "kernel"
        assert fastloss.explain(functional.divergence, x, x, group=group).path == "kernel"
        assert fastloss.explain(functional.linear_cross_entropy, h, w, target, group=group).path == "kernel"


def check_near(sizes, rank):
    """Rows that agree almost, of bfloat16 logits: gradients lose no more than three roundings to bfloat16."""
    torch.manual_seed(3)
    here, group = slice(sum(sizes[:rank]), sum(sizes[: rank + 1])), dist.group.WORLD
    y = (3 * torch.randn(16, CLASSES)).bfloat16()
    x = torch.where(torch.rand(y.shape) < 0.3, (y.double() * (1 + 2.0**-7)).bfloat16(), y)
    x[0, : sizes[0]] = y[0, : sizes[0]] = -torch.inf  # a process without any class of this row
    for kind in KINDS:
        wide, leaf = x.double().requires_grad_(), x[:, here].clone().requires_grad_()
        wanted = functional.divergence(wide, y.double(), kind)
        loss = functional.divergence(leaf, y[:, here], kind, group=group, loss_dtype=torch.float64)
        (grad,), (exact,) = torch.autograd.grad(loss, leaf), torch.autograd.grad(wanted, wide)
        error = (grad.double() - exact[:, here]).norm() / exact[:, here].norm()
        assert error < 0.005, f"{kind}: {float(error)}"
        torch.testing.assert_close(loss, wanted, rtol=2e-5 if kind in SHARES else 1e-9, atol=0)


def check_placed(mesh, placements, shape):
    """Each loss of a DTensor is that of the whole, whichever way its other tensors are given."""
    torch.manual_seed(4)
    rows = shape[:1] + shape[2:]
    x, y, weight = torch.randn(shape).double(), torch.randn(shape).double(), torch.rand(CLASSES).double() + 0.1
    target, mask, mass = torch.randint(CLASSES, rows), torch.rand(rows) < 0.8, torch.rand(rows).double()
    target[torch.rand(rows) < 0.2] = -100
    t, top = y.softmax(1), y.topk(2, 1)

    def lie(t, dims):
        """As the logits, of which dimension d is the tensor's dims[d]."""
        made = [dims[p.dim] if isinstance(p, Shard) else None for p in placements]
        return distribute_tensor(t, mesh, [Replicate() if d is None else Shard(d) for d in made])

    of_rows, of_classes, every = [0, None, *range(1, x.dim())], [None, 0] + [None] * x.dim(), [*range(x.dim())]
    ways = {
        "whole": lambda t, dims: t,
        "here": lambda t, dims: lie(t, dims).to_local(),
        "DTensor": lie,
        "elsewhere": lambda t, dims: distribute_tensor(t, mesh, [Shard(0)] + [Replicate()] * (mesh.ndim - 1)),
    }
    if x.dim() > 2:
        ways = {way: ways[way] for way in ("here", "DTensor")}
    calls = {
        "weight": lambda f, x, g: f.cross_entropy(x, g(target, of_rows), g(weight, of_classes)),
        "focal": lambda f, x, g: f.softmax_focal_loss(
            x, g(target, of_rows), g(weight, of_classes), weight=g(weight.square(), of_classes), mask=g(mask, of_rows)
        ),
        "rows": lambda f, x, g: f.cross_entropy(x, g(target, of_rows), label_smoothing=0.1, reduction="none"),
        "sum": lambda f, x, g: f.cross_entropy(x, g(target, of_rows), z_loss=0.1, softcap=5.0, reduction="sum"),
        "own divisor": lambda f, x, g: f.poly1_cross_entropy(x, g(target, of_rows), 1.0, normalizer=7.0),
        "no row": lambda f, x, g: f.cross_entropy(x, g(target * 0 - 100, of_rows), empty="zero"),
        "probabilities": lambda f, x, g: f.cross_entropy(x, g(t, every), g(weight, of_classes), mask=g(mask, of_rows)),
        "token_logprobs": lambda f, x, g: f.token_logprobs(
            x.movedim(1, -1), g(target, of_rows), temperature=2.0, return_entropy=True
        ),
    }
    if x.dim() == 2:
        calls |= {
            "kl": lambda f, x, g: f.divergence(x, g(y, every), temperature=2.0, mask=g(mask, of_rows)),
            "js": lambda f, x, g: f.divergence(
                x, g(t, every), "js", target_is="probabilities", weight=g(mass, of_rows)
            ),
            "top k": lambda f, x, g: f.divergence(x, (g(top.values, of_rows), g(top.indices, of_rows)), "tv"),
        }
    for name, call in calls.items():
        leaf = x.clone().requires_grad_()
        wanted = call(functional, leaf, lambda t, _: t)
        wanted = sum(wanted[:2]) if isinstance(wanted, tuple) else wanted
        wanted.sum().mul(1.5).backward()
        for way, given in ways.items():
            placed = distribute_tensor(x, mesh, placements).requires_grad_()
            loss = call(functional, placed, given)
            loss = loss[0] + loss[1] if isinstance(loss, tuple) else loss
            loss.sum().mul(1.5).backward()
            assert placed.grad.placements == tuple(placements)
            for got, exact, what in ((loss, wanted, "loss"), (placed.grad, leaf.grad, "gradient")):
                error = (got.full_tensor() - exact).abs().max()
                assert error < 1e-12, f"{name}, {way}, {placements}, {shape}, {what}: {float(error)}"


def local_twice_differentiable(placed):
    """Whether PyTorch has second derivatives of `DTensor.to_local`, which 2.10 has not."""
    leaf = placed.detach().requires_grad_()
    (grad,) = torch.autograd.grad(leaf.to_local().square().sum(), leaf, create_graph=True)
    return (
        grad.requires_grad
        and grad.grad_fn is not None
        and torch.autograd.grad(grad.to_local().sum(), leaf, allow_unused=True)[0] is not None
    )


def check_line(sizes, rank):
    mesh = init_device_mesh("cpu", (len(sizes),))
    for placement, shape in itertools.product((Shard(0), Shard(1), Replicate()), SHAPES):
        check_placed(mesh, [placement], shape)
    check_placed(mesh, [Shard(2)], SHAPES[1])
    x, target, group = torch.randn(8, CLASSES), torch.randint(CLASSES, (8,)), dist.group.WORLD
    placed = distribute_tensor(x, mesh, [Shard(0)])
    for lie in (placed, distribute_tensor(x, mesh, [Shard(1)])):
        hit = functional.token_logprobs(lie, target, return_hits=True).hit
        assert torch.equal(hit.full_tensor(), x.argmax(1) == target)
    halves = DTensor.from_local(x / len(sizes), mesh, [Partial()])
    close = torch.testing.assert_close
    close(functional.cross_entropy(halves, target).full_tensor(), functional.cross_entropy(x, target))
    # Losses that others are made of, and second derivatives.
    for f in (functional.perplexity, lambda x, y: functional.causal_lm_loss(x[None], y[None])):
        close(f(placed, target).full_tensor(), f(x, target))
    found = []
    for t in (x, placed) if local_twice_differentiable(placed) else ():
        leaf = t.detach().requires_grad_()
        (grad,) = torch.autograd.grad(functional.cross_entropy(leaf, target), leaf, create_graph=True)
        found.append(torch.autograd.grad(grad.square().sum(), leaf)[0])
    if found:
        close(found[1].full_tensor(), found[0])
    for error, words, call in (
        (ValueError, "group=None", lambda: functional.cross_entropy(placed, target, group=group)),
        (ValueError, "return_stats=False", lambda: functional.cross_entropy(placed, target, return_stats=True)),
        (RuntimeError, r"target has shape \(3,\), expected", lambda: functional.cross_entropy(placed, target[:3])),
        (RuntimeError, "every process", lambda: functional.cross_entropy(
            distribute_tensor(x[:, :1], mesh, [Shard(1)]), target)),
    ):  # fmt: skip
        with pytest.raises(error, match=words):
            call()
    if rank == 0:
        assert fastloss.explain(functional.cross_entropy, placed, target, torch.ones(CLASSES)).path == "kernel"


def check_square(sizes, rank):
    mesh = init_device_mesh("cpu", (2, len(sizes) // 2))
    for placements in ([Shard(0), Shard(1)], [Shard(1), Replicate()], [Shard(0), Shard(0)]):
        for shape in ((11, CLASSES), (4, CLASSES, 3)):
            check_placed(mesh, placements, shape)


def check_compiled(sizes, rank):
    """A compiled function leaves the call to Python; one that must be a whole graph says why it is none."""
    torch.manual_seed(1)
    x, y = torch.randn(8, CLASSES), torch.randint(CLASSES, (8,))
    mesh = init_device_mesh("cpu", (len(sizes),))
    logits = distribute_tensor(x, mesh, [Shard(1)]).requires_grad_()

    def step(logits):
        return functional.cross_entropy(logits, y)

    loss = torch.compile(step, backend="eager")(logits)
    leaf = x.clone().requires_grad_()
    for got, wanted in zip(
        (loss, *torch.autograd.grad(loss, logits)), (step(leaf), *torch.autograd.grad(step(leaf), leaf)), strict=True
    ):
        torch.testing.assert_close(got.full_tensor(), wanted)
    torch._dynamo.reset()
    with pytest.raises(RuntimeError, match=r"expected torch\.compile without fullgraph=True for a DTensor"):
        torch.compile(step, backend="eager", fullgraph=True)(logits)


WHOLE = {
    "errors": check_errors,
    "near rows": check_near,
    "DTensor on a line": check_line,
    "DTensor on a square": check_square,
    "DTensor compiled": check_compiled,
}


def check(name, sizes, rank):
    if name in WHOLE:
        WHOLE[name](sizes, rank)
    for shape in SHAPES if name not in WHOLE else ():
        for dtype in DTYPES:
            split = Split(shape, dtype, sizes, rank)
            if name.startswith("divergence"):
                split.divergence(name.partition(", ")[2])
            elif name.startswith("probabilities"):
                _, loss, options = name.split(", ", 2)
                split.probabilities(loss, LOSSES[loss], OPTIONS[options])
            elif name.startswith("head"):
                if len(shape) == 2:
                    split.head(OPTIONS[name.partition(", ")[2]])
            elif name == "token_logprobs":
                split.rows()
            elif name == "alpha of each class":
                split.loss("softmax_focal_loss", {"alpha": split.weight.clone()}, {"weight": True})
                split.probabilities("softmax_focal_loss", {"alpha": split.weight.clone()}, {"weight": True})
            else:
                loss, _, options = name.partition(", ")
                split.loss(loss, LOSSES[loss], OPTIONS[options])


def work(rank, world, folder):
    strips._MIN_STRIP_ROWS = 4
    if world == 4:  # several blocks
        sums.BLOCK_NUMBERS["cpu"] = 24
    jobs = {name: functools.partial(check, name, WORLDS[world], rank) for name in CHECKS}
    worlds.run(rank, world, folder, jobs)


@pytest.fixture(scope="module", params=sorted(WORLDS))
def outcome(request, tmp_path_factory):
    return worlds.outcome(work, request.param, tmp_path_factory.mktemp(f"world{request.param}"))


@pytest.mark.parametrize("name", CHECKS)
def test_group(name, outcome):
    worlds.check(name, outcome)
