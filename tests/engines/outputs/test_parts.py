"""Rows whose classes lie on several processes: what one process gives for whole rows.

Processes cost seconds to start, so those of a world run everything at once and leave behind what failed.
"""

import datetime
import os
import pickle

import pytest
import torch
import torch.distributed as dist
from cases import UNIT

from fastloss import functional
from fastloss._core import operators as _ops

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
CHECKS = [
    *(f"{loss}, {options}" for loss in LOSSES for options in OPTIONS),
    "alpha of each class",
    "token_logprobs",
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
        # Near p = 1 nothing cancels, wherever the target is.
        sure = torch.full((CLASSES, CLASSES), -30.0).fill_diagonal_(0.0)
        found = functional.token_logprobs(sure[:, self.here], torch.arange(CLASSES), group=dist.group.WORLD)
        torch.testing.assert_close(
            found.double(), -torch.tensor(-30.0).double().exp().mul(18).expand(19), rtol=1e-5, atol=0
        )


def check_errors(sizes, rank):
    x, group = torch.randn(3, sizes[rank], requires_grad=True), dist.group.WORLD
    target = torch.tensor([0, 1, 2])
    for error, words, call in (
        (IndexError, "target 19 at row 1", lambda: functional.cross_entropy(x, target + 18, group=group)),
        (ValueError, "return_stats=False", lambda: functional.cross_entropy(x, target, group=group, return_stats=True)),
        (RuntimeError, "class indices", lambda: functional.cross_entropy(x, x.detach().softmax(1), group=group)),
        (RuntimeError, "weight has shape", lambda: functional.cross_entropy(x, target, torch.ones(19), group=group)),
        (TypeError, "expected a torch.distributed.ProcessGroup", lambda: functional.token_logprobs(x, target, group=1)),
        (RuntimeError, "one class for each row", lambda: functional.token_logprobs(x, target[:, None], group=group)),
    ):
        with pytest.raises(error, match=words):
            call()
    loss = functional.cross_entropy(x, target, group=group)
    with pytest.raises(RuntimeError, match="first derivative"):
        torch.autograd.grad(loss, x, create_graph=True)


def work(rank, world, folder):
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        timeout=datetime.timedelta(seconds=60),
        init_method=f"file://{folder}/rendezvous",
        rank=rank,
        world_size=world,
    )
    sizes, failed = WORLDS[world], {}
    for name in CHECKS:
        try:
            if name == "errors":
                check_errors(sizes, rank)
            for shape in SHAPES if name != "errors" else ():
                for dtype in DTYPES:
                    split = Split(shape, dtype, sizes, rank)
                    if name == "token_logprobs":
                        split.rows()
                    elif name == "alpha of each class":
                        split.loss("softmax_focal_loss", {"alpha": split.weight.clone()}, {"weight": True})
                    else:
                        loss, _, options = name.partition(", ")
                        split.loss(loss, LOSSES[loss], OPTIONS[options])
        except Exception as error:  # reported by the test of that name
            failed[name] = f"rank {rank}: {type(error).__name__}: {error}"
        count = torch.tensor([int(name in failed)])  # a process that failed has missed messages: all stop together
        dist.all_reduce(count)
        if count:
            break
    dist.barrier()
    with open(f"{folder}/{rank}.pickle", "wb") as file:
        pickle.dump((failed, name), file)
    os._exit(0)  # gloo's threads race with its teardown


@pytest.fixture(scope="module", params=sorted(WORLDS))
def outcome(request, tmp_path_factory):
    """What failed, by test; the last test that ran."""
    folder = tmp_path_factory.mktemp(f"world{request.param}")
    torch.multiprocessing.spawn(work, (request.param, str(folder)), request.param)
    failed = {}
    for rank in range(request.param):
        more, last = pickle.loads((folder / f"{rank}.pickle").read_bytes())
        failed.update({name: failed.get(name, "") + text for name, text in more.items()})
    return failed, last


@pytest.mark.parametrize("name", CHECKS)
def test_group(name, outcome):
    failed, last = outcome
    assert name not in failed, failed[name]
    assert CHECKS.index(name) <= CHECKS.index(last), f"not run, since {last} failed"
