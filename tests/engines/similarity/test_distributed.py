"""The similarity family over several processes: what one process gives for the parts one after the other."""

import functools
import itertools

import pytest
import torch
import torch.distributed as dist
import worlds
from cases import SIMILARITY, UNIT

import fastloss
from fastloss._core import operators as _ops
from fastloss.engines.similarity import plan, strips
from fastloss.losses import contrastive

pytestmark = [
    pytest.mark.skipif(not _ops.AVAILABLE, reason="the extension is not built"),
    pytest.mark.skipif(not (dist.is_available() and dist.is_gloo_available()), reason="this PyTorch has no gloo"),
]

WORLDS = {2: [(5, 8), (7, 0)], 4: [(5, 0, 8, 3)]}  # rows of each process
WIDTH = 6
DTYPES = (torch.float64, torch.float32, torch.bfloat16)
SETTINGS = {
    f"{case}-{k}": (case, params)
    for case in SIMILARITY
    for k, params in enumerate(case.params)
    if not (case.name == "supcon_loss" and "mask" in params)  # which a group does not take
}
CHECKS = {
    f"{name}-{str(dtype).removeprefix('torch.')}": (*setting, dtype)
    for name, setting in SETTINGS.items()
    for dtype in DTYPES
    if dtype == torch.float64 or name.endswith("-0")
}
# Reduction, memory budget, and whether there are weights and a divisor of one's own.
VARIANTS = [("mean", None, False), ("mean", 1, True), ("sum", 1, False), ("none", None, True), ("none", 1, False)]


class Split:
    """A problem as one process sees it, and as rank ``rank`` does; where its anchors are in the whole."""

    def __init__(self, case, params, rows, rank, dtype):
        made = case.make((sum(rows), WIDTH), params, dtype)
        made = {k: t.detach() if isinstance(t, torch.Tensor) else t for k, t in made.items()}
        keys = [n + (2 if case.name == "info_nce_loss" and not params.get("symmetric") else 0) for n in rows]
        generator = torch.Generator().manual_seed(9)
        first, first_key = sum(rows[:rank]), sum(keys[:rank])
        mine, mine_keys = slice(first, first + rows[rank]), slice(first_key, first_key + keys[rank])
        views = 2 if case.name == "nt_xent_loss" else 1
        anchors = [self.anchors_of(rows, r, views) for r in range(len(rows))]
        self.anchors, self.all_anchors = anchors[rank], views * sum(rows)
        self.whole, self.part = {}, {}
        for k, t in made.items():
            if k == "labels" and not case.labelled:  # indices of a process's own keys
                own = [torch.randint(0, m, (n,), generator=generator) for n, m in zip(rows, keys, strict=True)]
                starts = itertools.accumulate([0, *keys])
                self.whole[k] = torch.cat([o + s for o, s in zip(own, starts, strict=False)])
                self.part[k] = own[rank]
            elif k in case.vectors:
                height, cut = (sum(keys), mine_keys) if k == "key" else (sum(rows), mine)
                t = torch.randn(height, WIDTH, generator=generator).to(dtype) if k == "key" else t
                self.whole[k], self.part[k] = t, t[cut]
            elif k == "mask" and views > 1:  # columns are those of one process after the other
                self.whole[k] = torch.rand(views * sum(rows), views * sum(rows), generator=generator) < 0.7
                self.part[k] = self.whole[k][self.anchors][:, torch.cat(anchors)]
            elif k in ("mask", "positives") and isinstance(t, torch.Tensor):
                t = torch.rand(sum(rows), sum(keys), generator=generator) < (0.7 if k == "mask" else 0.3)
                self.whole[k], self.part[k] = t, t[mine]
            elif k == "labels" and t is not None:
                self.whole[k], self.part[k] = t, t[mine]
            else:
                self.whole[k] = self.part[k] = t
        if case.name == "info_nce_loss" and not {"labels", "positives"} & made.keys():
            starts = itertools.accumulate([0, *keys])
            self.whole["labels"] = torch.cat([torch.arange(n) + s for n, s in zip(rows, starts, strict=False)])
        self.cuts = {k: mine_keys if k == "key" else mine for k in case.vectors}

    @staticmethod
    def anchors_of(rows, rank, views):
        first = sum(rows[:rank])
        return torch.cat([torch.arange(first, first + rows[rank]) + v * sum(rows) for v in range(views)])


def solve(fn, arguments, free, upstream, **options):
    leaves = {k: arguments[k].clone().requires_grad_() for k in free}
    loss = fn(**{**arguments, **leaves}, **options)
    return loss.detach(), dict(zip(free, torch.autograd.grad(loss, list(leaves.values()), upstream), strict=True))


def check(case, params, dtype, rows, rank):
    """Value on all processes, gradients of vectors by slices, of scalars in total; strips kept and made twice."""
    split = Split(case, params, rows, rank, dtype)
    scalars = [k for k in case.scalars if k in split.part]
    free = [*case.vectors, *scalars]
    generator = torch.Generator().manual_seed(5)
    each = torch.rand(split.all_anchors, generator=generator, dtype=torch.float64) + 0.5
    unit, wrong = UNIT[dtype], []
    for reduction, budget, extra in VARIANTS if dtype == torch.float64 else VARIANTS[:2]:
        options = dict(reduction=reduction, loss_dtype=torch.float64)
        weights = [{}, {}]
        if extra:  # weights, and a divisor of one's own
            weights = [{"weight": each}, {"weight": each[split.anchors]}]
            options |= {"normalizer": 3.5} if reduction == "mean" else {}
        up = [each.square(), each[split.anchors].square()] if reduction == "none" else [torch.tensor(-2.5).double()] * 2
        loss, grads = solve(case.functional, split.whole, free, up[0], **options, **weights[0])
        own, own_grads = solve(
            case.functional,
            split.part,
            free,
            up[1],
            **options,
            **weights[1],
            memory_budget=budget,
            group=dist.group.WORLD,
        )
        what = (case.name, params, dtype, rows, reduction, budget, extra)
        # Both are off by some 100 units (see `cases.Similarity.judge`), in bfloat16 by few of the stored dtype's.
        tolerance = 8 * unit if dtype == torch.bfloat16 else 400 * unit

        def same(a, b, size, name, what=what, tolerance=tolerance):
            error = float((a.double() - b.double()).abs().max()) if a.numel() else 0.0
            if a.shape != b.shape or not error <= tolerance * size:
                wrong.append((what, name, a.shape, b.shape, error, size))

        largest = float(loss.abs().max())
        same(own, loss[split.anchors] if reduction == "none" else loss, largest, "loss")
        for k in case.vectors:
            same(own_grads[k], grads[k][split.cuts[k]], float(grads[k].abs().max()), k)
        size = max([float(grads[k].abs().max()) for k in case.vectors])
        for k in scalars:
            total = own_grads[k].double()
            dist.all_reduce(total)
            same(total, grads[k], float(grads[k].abs()) + size * sum(rows), k)
    assert not wrong, wrong[0]  # after all messages are sent


class Towers(torch.nn.Module):
    """Two encoders and the scalars, as users train them."""

    def __init__(self, scalars):
        super().__init__()
        torch.manual_seed(1)
        self.left, self.right = (torch.nn.Linear(WIDTH, 5, dtype=torch.float64) for _ in range(2))
        self.scalars = torch.nn.ParameterDict({k: torch.tensor(v, dtype=torch.float64) for k, v in scalars.items()})

    def forward(self, *vectors):
        encoded = [encode(v) for encode, v in zip((self.left, self.right), vectors, strict=False)]
        return encoded, {k: v * 1.0 for k, v in self.scalars.items()}


def check_data_parallel(case, rows, rank):
    """Parameters' gradients under DistributedDataParallel are those of one process; ``ddp=False`` is too small."""
    split = Split(case, case.params[0], rows, rank, torch.float64)

    def backward(model, arguments, **options):
        vectors, scalars = model(*(arguments[k] for k in case.vectors))
        case.functional(
            **{**arguments, **dict(zip(case.vectors, vectors, strict=True)), **scalars}, **options
        ).backward()

    alone = Towers(case.scalars)
    backward(alone, split.whole)
    for ddp in (True, False):
        model = Towers(case.scalars)
        parallel = torch.nn.parallel.DistributedDataParallel(model, find_unused_parameters=len(case.vectors) == 1)
        backward(parallel, split.part, group=dist.group.WORLD, ddp=ddp)
        for (name, p), q in zip(model.named_parameters(), alone.parameters(), strict=True):
            if q.grad is None:
                continue
            wanted = q.grad if ddp else q.grad / len(rows)
            torch.testing.assert_close(p.grad, wanted, rtol=1e-9, atol=1e-12, msg=lambda m, n=name: f"{n}: {m}")


def check_grad_cache(case, rows, rank):
    """Encoders under DistributedDataParallel, part by part: their gradients are those of one pass of one process."""
    split = Split(case, case.params[0], rows, rank, torch.float64)
    alone, model = Towers(case.scalars), Towers(case.scalars)
    vectors = alone.left(split.whole["query"]), alone.right(split.whole["key"])
    case.functional(*vectors, labels=split.whole["labels"]).backward()
    encoders = [torch.nn.parallel.DistributedDataParallel(tower) for tower in (model.left, model.right)]
    step = fastloss.grad_cache(case.functional, encoders, chunks=3)
    for _ in range(2):
        model.zero_grad()
        step(split.part["query"], split.part["key"], group=dist.group.WORLD, ddp=True).backward()
        for p, q in zip(encoders, (alone.left, alone.right), strict=True):
            torch.testing.assert_close([*(t.grad for t in p.parameters())], [*(t.grad for t in q.parameters())])


def check_compiled(case, rows, rank):
    """Under torch.compile the same numbers, in one graph."""
    split = Split(case, case.params[0], rows, rank, torch.float64)
    free = [*case.vectors, *(k for k in case.scalars if k in split.part)]
    upstream = torch.rand(len(split.anchors), generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    for reduction in ("mean", "none") if case.name == "clip_loss" else ("mean",):
        up = upstream if reduction == "none" else torch.tensor(-2.5).double()
        options = dict(reduction=reduction, group=dist.group.WORLD, ddp=True)
        torch._dynamo.reset()
        compiled = torch.compile(case.functional, fullgraph=True, backend="aot_eager")
        loss, grads = solve(case.functional, split.part, free, up, **options)
        traced, traced_grads = solve(compiled, split.part, free, up, **options)
        torch.testing.assert_close(traced, loss, rtol=1e-12, atol=0)
        for k in free:
            torch.testing.assert_close(traced_grads[k], grads[k], rtol=1e-12, atol=1e-15)


def check_errors(rows, rank):
    """What a group cannot do is said on every process, before anything is sent."""
    x, y = torch.randn(3, WIDTH, requires_grad=True), torch.randn(3, WIDTH)
    group, f = dist.group.WORLD, fastloss.functional
    learned = torch.tensor(0.3, requires_grad=True)
    for text, call in (
        ("negatives are .* follow the keys", lambda: f.info_nce_loss(x, y, negatives=y, group=group)),
        ("negatives are .*", lambda: f.info_nce_loss(x, y, negatives=torch.randn(3, 2, WIDTH), group=group)),
        ("mask is .* expected labels", lambda: f.supcon_loss(x, mask=torch.ones(3, 3), group=group)),
        ("weight needs a gradient.*", lambda: f.clip_loss(x, y, 1.0, weight=learned.expand(3), group=group)),
        ("normalizer needs a gradient.*", lambda: f.clip_loss(x, y, 1.0, normalizer=learned, group=group)),
        ("m needs a gradient.*detach", lambda: f.circle_loss(x, torch.arange(3), learned, group=group)),
        (".* no group=", lambda: f.clip_loss(x, y.double(), 1.0, group=group)),
    ):
        with pytest.raises(RuntimeError, match=f"^fastloss.[a-z_]*: {text}.*"):
            call()
    with pytest.raises(ValueError, match="must be one of"):
        f.clip_loss(x, y, 1.0, group=group, reduction="average")
    for columns in (3, 3 * len(rows) + 1):
        with pytest.raises(ValueError, match=rf"mask has shape \(3, {columns}\), expected \(3, {3 * len(rows)}\)"):
            f.clip_loss(x, y, 1.0, mask=torch.ones(3, columns, dtype=torch.bool), group=group)
    loss = f.clip_loss(x, y, 1.0, group=group)
    with pytest.raises(RuntimeError, match="second derivative"):
        torch.autograd.grad(loss, x, create_graph=True)
    torch.autograd.grad(loss, x)  # the same graph still works


def check_unseen_labels(rows, rank):
    """A label of one process that is no key's index, where nobody may look: NaN on all, its query without gradient."""
    looks, contrastive.any_outside = contrastive.any_outside, lambda labels, count: None
    try:
        for symmetric, reduction in itertools.product((False, True), ("mean", "sum", "none")):
            split = Split(SIMILARITY[0], {"symmetric": True}, rows, rank, torch.float64)
            options = {"symmetric": symmetric, "reduction": reduction}
            positives = torch.eye(sum(rows), dtype=torch.bool)
            positives[0] = False  # of the first process
            labels = torch.arange(rows[rank])
            if rank == 0:
                labels[0] = rows[0]
            arguments = [{k: s[k] for k in ("query", "key")} for s in (split.whole, split.part)]
            up = torch.linspace(0.5, 2, sum(rows), dtype=torch.float64)
            ups = (up, up[split.anchors]) if reduction == "none" else (torch.tensor(2.0).double(),) * 2
            own, grads = solve(
                fastloss.functional.info_nce_loss, {**arguments[1], "labels": labels}, ["query", "key"], ups[1],
                group=dist.group.WORLD, **options,
            )  # fmt: skip
            _, wanted = solve(
                fastloss.functional.info_nce_loss, {**arguments[0], "positives": positives}, ["query", "key"], ups[0],
                **options,
            )  # fmt: skip
            assert own.isnan().all() if reduction != "none" else own.isnan().sum() == (rank == 0)
            for k in grads:
                torch.testing.assert_close(grads[k], wanted[k][split.cuts[k]])
    finally:
        contrastive.any_outside = looks


def run_calls(calls):
    for fn, arguments in calls:
        fn(*arguments)


def work(rank, world, folder):
    strips._MIN_STRIP_ROWS, strips._STRIP_BYTES = 3, 64
    plan._PRODUCT_PAIRS = 4  # some strips of semi-hard triplets are few, some many
    jobs = {name: [(check, (*what, rows, rank)) for rows in WORLDS[world]] for name, what in CHECKS.items()}
    if world > 2:
        jobs = {name: calls for name, calls in jobs.items() if name.endswith("float64")}
    jobs |= {f"{c}-ddp": [(check_data_parallel, (c, rows, rank)) for rows in WORLDS[world]] for c in SIMILARITY}
    if world == 2:
        jobs |= {f"{c}-compiled": [(check_compiled, (c, WORLDS[world][0], rank))] for c in SIMILARITY}
    jobs["grad cache"] = [(check_grad_cache, (SIMILARITY[0], rows, rank)) for rows in WORLDS[world]]
    jobs["unseen labels"] = [(check_unseen_labels, (rows, rank)) for rows in WORLDS[world]]
    jobs["errors"] = [(check_errors, (rows, rank)) for rows in WORLDS[world]]
    worlds.run(rank, world, folder, {name: functools.partial(run_calls, calls) for name, calls in jobs.items()})


@pytest.fixture(scope="module", params=sorted(WORLDS))
def outcome(request, tmp_path_factory):
    return worlds.outcome(work, request.param, tmp_path_factory.mktemp(f"world{request.param}"))


@pytest.mark.parametrize(
    "name",
    [
        *CHECKS,
        *(f"{c}-{how}" for how in ("ddp", "compiled") for c in SIMILARITY),
        "grad cache",
        "unseen labels",
        "errors",
    ],
)
def test_group(name, outcome):
    if name not in outcome[2]:
        pytest.skip("for two processes")
    worlds.check(name, outcome)
