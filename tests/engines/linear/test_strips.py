"""Strips of a classifier's logits: the same loss as of all logits, what they hold, multiply and leave out."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from cases import LINEAR, REDUCTIONS, UNIT, gradients, of, wide
from recorder import recorded_calls
from torch.utils._python_dispatch import TorchDispatchMode

import fastloss
from fastloss._core import operators as _ops
from fastloss.engines import linear

close = torch.testing.assert_close
needs_kernels = pytest.mark.skipif(not _ops.AVAILABLE, reason="the extension is not built")
N, D, C = 150, 20, 13


class Watch(TorchDispatchMode):
    """Notes the largest tensor that is made, and the shapes of products."""

    def __init__(self):
        super().__init__()
        self.largest, self.products = 0, []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if function.overloadpacket in (torch.ops.aten.mm, torch.ops.aten.addmm, torch.ops.aten.addmm_):
            a, b = [t for t in args if isinstance(t, torch.Tensor)][-2:]
            self.products.append((a.shape[0], a.shape[1], b.shape[1]))
        for t in result if isinstance(result, tuple | list) else (result,):
            if isinstance(t, torch.Tensor):
                self.largest = max(self.largest, t.untyped_storage().nbytes() // t.element_size())
        return result


def made(case, dtype=torch.float64, **params):
    return case.make((N, D), {**case.params[0], **params}, dtype)


OPTIONS = (
    {}, {"label_smoothing": 0.1}, {"z_loss": 0.01}, {"softcap": 5.0}, {"temperature": 2.0}, {"normalizer": 7.0},
    {"normalizer": torch.tensor(3)}, {"mask": torch.arange(N) % 3 != 0}, {"mask": torch.zeros(N, dtype=torch.bool)},
    {"mask": torch.zeros(N, dtype=torch.bool), "empty": "zero"}, {"ignore_index": 4}, {"loss_dtype": torch.float32},
    {"z_loss": 0.01, "softcap": 5.0, "temperature": 2.0, "mask": torch.arange(N) % 2 == 0, "label_smoothing": 0.2},
)  # fmt: skip
OF_LAYERS = (
    {"weight": torch.linspace(0, 2, C, dtype=torch.float64)}, {"bias": True},
    {"weight": torch.linspace(0, 2, C, dtype=torch.float64), "mask": torch.arange(N) % 3 != 0, "bias": True},
)  # fmt: skip


@needs_kernels
@pytest.mark.parametrize("case", LINEAR, ids=str)
def test_options(case, isa, route):
    more = route("strips")
    every = [*OPTIONS, *([] if case.cosine else OF_LAYERS)]
    if case.name == "linear_cross_entropy":
        every += [{**options, "kind": "probability"} for options in every if "ignore_index" not in options]
    if case.name == "linear_softmax_focal_loss":
        every += [{"alpha": torch.linspace(0.1, 1, C, dtype=torch.float64)}]
    for options, reduction in itertools.product(every, REDUCTIONS):
        if "normalizer" in options and reduction != "mean":
            continue
        own = {k: v for k, v in options.items() if k in ("bias", "kind")}
        given = {**{k: v for k, v in options.items() if k not in own}, "reduction": reduction}
        arguments = made(case, **own)
        assert fastloss.explain(case.functional, **arguments, **given, **more).path == "kernel"
        ours, wanted = (gradients(fn, arguments, -2.5, **given) for fn in (case.functional, case.reference))
        for a, b in zip(ours, wanted, strict=True):
            close(a, b, rtol=1e-6 if a.dtype == torch.float32 else 1e-10, atol=1e-12, equal_nan=True, msg=str(options))
        loss, stats = case.functional(**arguments, **given, return_stats=True)
        _, expected = case.reference(**wide(arguments), **given, return_stats=True)
        close(loss.detach(), ours[0], equal_nan=True)
        for name, a, b in zip(stats._fields, stats, expected, strict=True):
            close(a, b, rtol=1e-9, atol=1e-12, check_dtype=False, equal_nan=True, msg=f"{name} {options}")


@needs_kernels
@pytest.mark.parametrize("budget", [1, 10_000, 1 << 40])
@pytest.mark.parametrize("case", LINEAR, ids=str)
def test_memory_budget_changes_nothing(case, budget, monkeypatch):
    monkeypatch.setattr("fastloss.engines.similarity.strips._MIN_STRIP_ROWS", 7)
    arguments = made(case)
    for reduction in REDUCTIONS:
        wanted = gradients(case.functional, arguments, reduction=reduction)
        for a, b in zip(
            gradients(case.functional, arguments, reduction=reduction, memory_budget=budget), wanted, strict=True
        ):
            close(a, b, rtol=1e-11, atol=1e-13)


@needs_kernels
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("case", LINEAR, ids=str)
def test_no_tensor_is_as_large_as_the_logits(case, reduction, route):
    """Nor are the bool and the index tensors of a margin or of the nearest centers."""
    n, width = 700, 5
    more = route("strips")
    arguments = case.make((n, width), case.params[0])
    with Watch() as watch:
        gradients(case.functional, arguments, 3.0, reduction=reduction, **more)
    assert watch.largest <= max(n * width, 13 * case.centers * width)


@needs_kernels
def test_rows_that_are_ignored_take_part_in_no_product(route):
    case, more = of("linear_cross_entropy"), route("strips")
    arguments = made(case, torch.float32)
    ignored = torch.arange(N) % 3 != 0
    for how, reduction in itertools.product(("ignore_index", "mask"), REDUCTIONS):
        given = dict(arguments)
        if how == "mask":
            given["mask"] = ~ignored
        else:
            given["target"] = torch.where(ignored, -100, arguments["target"])
        broken = arguments["input"].detach().masked_fill(ignored.unsqueeze(1), math.nan).requires_grad_()
        with Watch() as watch:
            found = gradients(case.functional, {**given, "input": broken}, reduction=reduction, **more)
        kept = int((~ignored).sum())
        passes = 2 if reduction == "none" else 1
        assert sum(a for a, b, c in watch.products if (b, c) == (D, C)) == passes * kept
        assert sum(a for a, b, c in watch.products if (b, c) == (C, D)) == kept
        assert sum(b for a, b, c in watch.products if (a, c) == (C, D)) == kept
        wanted = gradients(case.reference, given, reduction=reduction)
        for a, b in zip(found, wanted, strict=True):
            close(a, b, rtol=1e-4, atol=1e-6)
        assert found[1][ignored].count_nonzero() == 0


@needs_kernels
@pytest.mark.parametrize("frozen", ["input", "linear_weight"])
def test_what_is_frozen_takes_no_product(frozen, route):
    case, more = of("linear_cross_entropy"), route("strips")
    arguments = made(case, torch.float32)
    arguments[frozen] = arguments[frozen].detach()
    shape = (C, D) if frozen == "input" else (N, D)
    for reduction in REDUCTIONS:
        with Watch() as watch:
            gradients(case.functional, arguments, reduction=reduction, **more)
        made_for_hidden = [p for p in watch.products if p[1:] == (C, D)]
        made_for_weight = [p for p in watch.products if (p[0], p[2]) == (C, D)]
        assert bool(made_for_hidden) == (frozen != "input")
        assert bool(made_for_weight) == (frozen != "linear_weight"), shape
    with torch.no_grad(), Watch() as watch:
        case.functional(**arguments, **more)
    assert sum(p[0] for p in watch.products) == N


@needs_kernels
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_the_classifiers_gradient_is_added_up_in_float32(dtype, monkeypatch):
    """Of 512 strips, each of which is rounded to what the whole has lost if sums are halves: 2^-8 of the total."""
    monkeypatch.setattr("fastloss.engines.similarity.strips._MIN_STRIP_ROWS", 8)
    hidden, weight = torch.ones(4096, 4).to(dtype), torch.zeros(3, 4).to(dtype).requires_grad_()
    target = torch.arange(4096) % 3
    hidden += (torch.arange(4096) % 7).unsqueeze(1).to(dtype) / 8
    loss = fastloss.functional.linear_cross_entropy(hidden, weight, target, reduction="sum", memory_budget=1)
    (grad,) = torch.autograd.grad(loss, weight)
    p = torch.full((4096, 3), 1 / 3, dtype=torch.float64) - F.one_hot(target, 3)
    # Each of the products' terms is off by at most a rounding of p, and so is the strip's product.
    limit = 2 * UNIT[dtype] * (p.abs().mT @ hidden.double().abs()) / math.sqrt(512) + UNIT[dtype]
    wanted = p.to(dtype).double().mT @ hidden.double()
    assert ((grad.double() - wanted).abs() <= 4 * limit + UNIT[dtype] * wanted.abs()).all()


@needs_kernels
def test_bad_targets(route):
    more = route("strips")
    for case in LINEAR:
        arguments = made(case, torch.float32)
        arguments["target"][70] = 99
        for fn in (case.functional, torch.compile(case.functional, backend="eager")):
            with pytest.raises(IndexError, match=rf"^fastloss\.{case.name}: target 99 at row 70 is out of bounds"):
                fn(**arguments, **more)
        torch._dynamo.reset()


@pytest.mark.parametrize("case", LINEAR, ids=str)
def test_errors_name_the_loss(case, route):
    hidden, weight, _ = case.record.names[:3]
    arguments = made(case, torch.float32)
    for budget, (change, kind, words) in itertools.product(
        (None, 1),
        (
            ({hidden: torch.zeros(N, D + 1)}, RuntimeError, "the same last dimension"),
            ({hidden: torch.zeros(2, N, D)}, RuntimeError, r"\(N, D\)"),
            ({weight: torch.zeros(D)}, RuntimeError, "one vector per class"),
            ({"target": torch.zeros(N, 2, dtype=torch.long)}, (RuntimeError, ValueError), "target"),
            ({"mask": torch.ones(3, dtype=torch.bool)}, RuntimeError, "mask is"),
            ({"memory_budget": "1"}, TypeError, "memory_budget is str"),
            ({"inplace": True}, TypeError, "unexpected argument inplace"),
            ({"z_loss": math.inf}, ValueError, "z_loss must be finite"),
            ({"reduction": "avg"}, ValueError, "avg"),
        ),
    ):
        for fn in (case.functional, case.reference):
            with pytest.raises(kind, match=rf"^fastloss\.{case.name}: .*{words}|{words}"):
                fn(**{**arguments, "memory_budget": budget, **change})


@needs_kernels
def test_tied_embeddings(route):
    """The classifier is the table of embeddings: gradients of both uses add up."""
    more = route("strips")
    results = []
    for fn in (fastloss.functional.linear_cross_entropy, fastloss.reference.linear_cross_entropy):
        table = torch.randn(C, D, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
        hidden = F.embedding(torch.arange(N) % C, table).tanh()
        loss = fn(hidden, table, torch.arange(N) * 7 % C, **more)
        results.append((loss.detach(), *torch.autograd.grad(3 * loss + table.square().sum(), table)))
    for a, b in zip(*results, strict=True):
        close(a, b, rtol=1e-11, atol=1e-13)


@needs_kernels
@pytest.mark.parametrize("case", LINEAR, ids=str)
def test_autocast(case, route):
    """Mixed dtypes too: gradients have each tensor's own, rounded once."""
    more, (hidden, weight) = route("strips"), case.tensor_names
    arguments = made(case, torch.float32)
    for kinds in ((torch.float32, torch.float32), (torch.bfloat16, torch.float32), (torch.float32, torch.bfloat16)):
        given = dict(arguments)
        for name, kind in zip((hidden, weight), kinds, strict=True):
            given[name] = given[name].detach().to(kind).requires_grad_()
        for reduction in REDUCTIONS:
            with torch.autocast("cpu", torch.bfloat16):
                ours, plain = (
                    gradients(fn, given, reduction=reduction, **m)
                    for fn, m in ((case.functional, more), (case.reference, {}))
                )
            assert [t.dtype for t in ours] == [torch.float32, *kinds] == [t.dtype for t in plain]
            half = {k: t.detach().bfloat16().requires_grad_(t.requires_grad) if k in (hidden, weight) else t
                    for k, t in given.items()}  # fmt: skip
            case.judge(half, reduction=reduction).check([t.bfloat16() for t in ours], kinds)


@needs_kernels
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("case", LINEAR, ids=str)
def test_opcheck(case, reduction, route, monkeypatch):
    """The operator that torch.compile sees, called as in a graph."""
    more = route("strips")
    monkeypatch.setattr(linear, "is_compiling", lambda: True)
    for dtype in (torch.float32, torch.float16):
        arguments = made(case, dtype)

        def step(arguments=arguments):
            loss, _ = case.functional(**arguments, reduction=reduction, return_stats=True, **more)
            loss.sum().backward()

        calls = [c for c in recorded_calls(step) if c[0]._schema.name == "fastloss::linear"]
        assert len(calls) == (2 if reduction == "none" else 1)
        for op, args, kwargs in calls:
            torch.library.opcheck(op, tuple(args), kwargs, test_utils=("test_schema", "test_faketensor"))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("case", [case for case in LINEAR if case.cosine], ids=str)
def test_angles_of_zero_and_pi(case, dtype, route):
    """Where the derivative of the angle has no limit, gradients are numbers."""
    for way in case.ways:
        more = route(way)
        arguments = made(case, dtype)
        hidden, weight = case.tensor_names
        same = arguments[weight].detach()[:: case.centers][arguments["target"]]
        for sign in (1.0, -1.0):
            arguments[hidden] = (sign * same).requires_grad_()
            for found in gradients(case.functional, arguments, **more), gradients(case.reference, arguments):
                assert all(g.isfinite().all() for g in found)


def test_sphereface_has_the_others_as_special_cases():
    arguments = {k: t for k, t in made(of("arcface_loss")).items() if k != "scale"}
    f = fastloss.functional
    for a, b in (
        (f.sphereface_loss(**arguments, m1=1.0, m3=0.3, scale=8.0), f.cosface_loss(**arguments, margin=0.3, scale=8.0)),
        (f.cosface_loss(**arguments, margin=0.0, scale=8.0), f.normalized_softmax_loss(**arguments, scale=8.0)),
        (f.proxy_nca_loss(**arguments, scale=4.0), f.normalized_softmax_loss(**arguments, scale=8.0)),
        (f.sub_center_arcface_loss(**arguments, sub_centers=1), f.arcface_loss(**arguments)),
    ):
        close(a, b, rtol=1e-12, atol=1e-12)
    angle = torch.linspace(0, math.pi - 0.51, 50, dtype=torch.float64)
    rows = torch.stack((angle.cos(), angle.sin()), 1)
    axes, target = torch.eye(2, dtype=torch.float64), torch.zeros(50, dtype=torch.long)
    plain = F.cross_entropy(torch.stack((3 * (angle + 0.5).cos(), 3 * angle.sin()), 1), target, reduction="none")
    for found in (
        f.arcface_loss(rows, axes, target, 0.5, 3.0, reduction="none"),
        f.sphereface_loss(rows, axes, target, 1.0, 0.5, scale=3.0, reduction="none"),
    ):
        close(found, plain, rtol=1e-10, atol=1e-12)


@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")
def test_metric_learning():
    """pytorch-metric-learning's losses at their own weights: the table in the docstring of `arcface_loss`."""
    import peers

    library, f = peers.metric_learning(), fastloss.functional
    arguments = made(of("arcface_loss"))
    x, y = F.normalize(arguments["embeddings"].detach()), arguments["target"]
    for name, options, ours in (
        ("ArcFaceLoss", dict(margin=20, scale=8), lambda w: f.arcface_loss(x, w, y, math.radians(20), 8.0)),
        ("CosFaceLoss", dict(margin=0.2, scale=8), lambda w: f.cosface_loss(x, w, y, 0.2, 8.0)),
        ("SphereFaceLoss", dict(margin=2, scale=8), lambda w: f.sphereface_loss(x, w, y, 2.0, scale=8.0)),
        ("SubCenterArcFaceLoss", dict(margin=20, scale=8, sub_centers=3),
         lambda w: f.sub_center_arcface_loss(x, w, y, 3, math.radians(20), 8.0)),
        ("NormalizedSoftmaxLoss", dict(temperature=0.1), lambda w: f.normalized_softmax_loss(x, w, y, 10.0)),
        ("ProxyNCALoss", dict(softmax_scale=3), lambda w: f.proxy_nca_loss(x, w, y, 3.0)),
    ):  # fmt: skip
        theirs = getattr(library, name)(num_classes=C, embedding_size=D, **options).double()
        held = theirs.proxies if hasattr(theirs, "proxies") else theirs.W
        w = held.detach() if name == "ProxyNCALoss" else held.detach().t()
        close(ours(w), theirs(x, y).detach(), rtol=1e-6, atol=1e-6)
