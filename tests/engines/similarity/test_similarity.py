"""The similarity family: every kernel against the reference in float64, and what a user does to a loss."""

import functools
import itertools
import math
import subprocess
import sys

import pytest
import test_similarity_reference
import torch
from cases import DTYPES, HALF, REDUCTIONS, SIMILARITY, UNDERFLOW, UNIT, Similarity, gradients, settings
from conftest import ALWAYS_PAIRS, NEVER_PAIRS
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

import fastloss
from benchmarks import process
from fastloss._core import operators as _ops
from fastloss.engines import similarity
from fastloss.engines.similarity import plan, strips
from fastloss.losses import contrastive

pytestmark = pytest.mark.skipif(not _ops.AVAILABLE, reason="the extension is not built")
close = torch.testing.assert_close
SETTINGS = settings(SIMILARITY)
ROUTES = Similarity.ways


@pytest.fixture(autouse=True)
def _threads():
    """One: for problems this small a second costs more than it brings. `test_threads` has more."""
    torch.set_num_threads(1)


# ------------------------------------------------------------------------------------------- values and gradients


@functools.cache
def posed(case_index, setting, n, width, dtype, reduction):
    """Arguments and what they must give: the same for all instruction sets and routes."""
    case = SIMILARITY[case_index]
    params = case.params[setting]
    arguments = case.make((n, width), params, dtype)
    return arguments, case.judge(arguments, reduction=reduction)


def default(case):
    return case.params[0]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("case", SIMILARITY, ids=str)
def test_widths_and_columns(case, dtype, isa, route):
    sizes = [(n, 41 - n) for n in range(1, 41)] + [(64, 2), (65, 64), (7, 65), (130, 3), (33, 130)]
    part = {torch.float64: slice(0, None, 2), torch.float32: slice(None), torch.bfloat16: slice(1, None, 2)}[dtype]
    for turn, (n, width) in enumerate(sizes[part]):
        if width == 1 and case.distances and case.default("normalize"):
            continue  # vectors are 1 and -1, distances 0 but for roundings, of which a root makes much
        arguments, wanted = posed(SIMILARITY.index(case), 0, n, width, dtype, REDUCTIONS[turn % 3])
        more = route(ROUTES[turn % 4])
        wanted.check(gradients(case.functional, arguments, reduction=REDUCTIONS[turn % 3], **more), (n, width))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(("case", "params"), SETTINGS)
def test_mean_error_not_above_plain_pytorch(case, params, dtype):
    """The reference in the arguments' dtype is what users write; float64 knows."""
    ours, plain = [0.0] * 3, [0.0] * 3
    for seed in range(10):
        arguments = case.make((60, 40), params, dtype, seed)
        wide = {k: t.detach().double().requires_grad_() if getattr(t, "requires_grad", False) else t
                for k, t in arguments.items()}  # fmt: skip
        options = dict(reduction="none", loss_dtype=torch.float64)
        wanted = gradients(case.reference, wide, **options)
        for sums, fn in ((ours, case.functional), (plain, case.reference)):
            got = gradients(fn, arguments, **options)
            for k in range(1 + len(case.vectors)):
                sums[k] += float((got[k].double() - wanted[k]).abs().mean() / wanted[k].abs().mean())
    for k, (a, b) in enumerate(zip(ours, plain, strict=True)):
        assert a <= 1.05 * b, (k, a / b)


# ----------------------------------------------------------------------------------------- relations and their edges


def check(case, arguments, params=None, upstream=None, dtype=None, what=None, more=(), **options):
    """The engine's outcome against the reference's, one way and with strips."""
    wanted = case.judge(arguments, upstream, **options)
    results = gradients(case.functional, arguments, upstream, **options, **dict(more))
    wanted.check(results, what)
    return results


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_negatives(dtype, isa, route):
    case, generator = SIMILARITY[0], torch.Generator().manual_seed(1)
    for turn, (n, k, width) in enumerate([(9, 1, 7), (21, 4, 16), (17, 33, 5)]):
        for shape in ((k, width), (n, k, width), (0, width), (n, 0, width)):
            for setting in (0, 2, 3, 4):
                arguments = case.make((n, width), case.params[setting], dtype)
                arguments["negatives"] = torch.randn(shape, generator=generator).to(dtype).requires_grad_()
                for reduction in REDUCTIONS:
                    more = route(ROUTES[(turn + setting) % 4])
                    check(case, arguments, reduction=reduction, more=more, what=(n, shape, setting, reduction))


class WideProducts(TorchFunctionMode):
    """Products as a GPU makes them: of half matrices in float32 if asked (`strips.wide`). Counts them by name."""

    def __init__(self, adds):
        super().__init__()
        self.adds, self.seen = adds, []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if kwargs.pop("out_dtype", None) is None:
            return func(*args, **kwargs)
        if func is torch.addmm and not self.adds and args[0].dtype != args[1].dtype:
            raise RuntimeError("self and mat2 must have the same dtype, but got Float and BFloat16")
        self.seen.append(func.__name__)
        return func(*(a.float() for a in args), **kwargs)


@pytest.mark.parametrize("adds", [True, False])
def test_half_products_in_float32(adds, monkeypatch):
    """Gradients of half vectors stay float32, those of negatives per row too; they grow in place where torch can."""
    strips._adds_wide.cache_clear()
    monkeypatch.setattr(strips, "wide", lambda t: {"out_dtype": torch.float32})
    monkeypatch.setattr(strips, "_MIN_STRIP_ROWS", 8)
    monkeypatch.setattr(strips, "_STRIP_BYTES", 1)
    generator = torch.Generator().manual_seed(0)
    x, y, far = (torch.randn(*shape, 16, generator=generator).bfloat16() for shape in ((24,), (24,), (24, 5)))
    case, options = SIMILARITY[0], dict(negatives=far, temperature=2.0, normalize=False, reduction="sum")
    monkeypatch.setattr(similarity, "similarity", lambda *posed: posed)
    call, relation, vectors = case.functional(x, y, **options)
    with WideProducts(adds) as products:
        kept = plan.Plan(call, vectors, relation, (True, True, True, False, False)).evaluate()[1]
    strips._adds_wide.cache_clear()
    assert products.seen.count("addmm") == (3 if adds else 0)  # the columns' second and third strip; and asking
    assert {"mm", "bmm"} <= set(products.seen)
    leaves = [t.double().requires_grad_() for t in (x, y, far)]
    loss = case.reference(leaves[0], leaves[1], **{**options, "negatives": leaves[2]})
    for gradient, exact in zip(kept[:9:3], torch.autograd.grad(loss, leaves), strict=True):
        assert gradient.dtype == torch.float32
        assert (gradient != gradient.bfloat16()).float().mean() > 0.9
        assert (gradient / exact - 1).abs().median() < 2**-8


def test_more_keys_than_queries_and_symmetric(route):
    case = SIMILARITY[0]
    for name, reduction, dtype in itertools.product(ROUTES, ("mean", "sum"), (torch.float64, torch.float32)):
        for n, m in ((12, 20), (20, 33), (1, 9)):
            arguments = case.make((n, 8), {}, dtype)
            arguments["key"] = torch.randn(m, 8).to(dtype).requires_grad_()
            arguments["symmetric"] = True
            check(case, arguments, reduction=reduction, more=route(name))
            arguments["labels"] = torch.randint(0, m, (n,))
            check(case, arguments, reduction=reduction, more=route(name))
        arguments = case.make((20, 8), {}, dtype)
        arguments["key"] = torch.randn(9, 8).to(dtype).requires_grad_()
        arguments["labels"] = torch.randint(0, 9, (20,))
        for symmetric in (True, False):
            arguments["symmetric"] = symmetric
            check(case, arguments, reduction=reduction, more=route(name))


def without_positives(case, arguments):
    """The same with no pair positive that need not be; of the losses of two views every pair is left out instead."""
    if case.name == "info_nce_loss":
        return {**arguments, "positives": torch.zeros(len(arguments["query"]), len(arguments["key"]), dtype=torch.bool)}
    if case.labelled:
        return {**arguments, "labels": torch.arange(len(arguments["labels"]))}
    if "image_features" in arguments:
        n = len(arguments["image_features"])
        return {**arguments, "mask": torch.zeros(n, n, dtype=torch.bool)}
    return arguments


@pytest.mark.parametrize("case", SIMILARITY, ids=str)
def test_nothing_counts(case, route):
    """No positives, one row, no rows: value and gradients of the reference, ``empty``, no NaN in a gradient."""
    for dtype, empty, reduction in itertools.product((torch.float64, torch.float32), ("zero", "nan"), REDUCTIONS):
        for name in ("small", "strips twice"):
            more = route(name)
            for n, params in itertools.product((0, 1, 11), case.params[:3]):
                arguments = case.make((n, 6), {}, dtype)
                for kind in ("as is", "none"):
                    if n == 11 and (kind == "as is" or case.name == "nt_xent_loss"):
                        continue  # there each has a positive
                    if kind == "none":
                        arguments = without_positives(case, arguments)
                    given = {**params, **arguments} if not any(map(callable, params.values())) else arguments
                    assert fastloss.explain(case.functional, **given, empty=empty).path == "kernel"
                    ours = gradients(case.functional, given, reduction=reduction, empty=empty, **more)
                    plain = gradients(case.reference, given, reduction=reduction, empty=empty)
                    for a, b in zip(ours, plain, strict=True):
                        close(a, b, rtol=1e-4, atol=1e-5, equal_nan=True)
                    assert all(g.isfinite().all() for g in ours[1:])


@pytest.mark.parametrize("case", SIMILARITY, ids=str)
def test_normalizer_of_zero(case, route):
    """No gradient, and no value with ``empty="zero"``."""
    for params, name, normalizer in itertools.product(case.params, ROUTES, (0, 0.0, torch.tensor(0.0))):
        arguments = case.make((11, 6), params, torch.float64)
        for empty in ("zero", "nan"):
            for fn, more in ((case.functional, route(name)), (case.reference, {})):
                loss, *grads = gradients(fn, arguments, normalizer=normalizer, empty=empty, **more)
                assert loss == (0.0 if empty == "zero" else math.inf), (params, name, fn)
                assert not any(g.count_nonzero() for g in grads), (params, name, fn)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("pairwise_contrastive_loss", {"pos_margin": 0.5, "normalize": False}),
        ("pairwise_contrastive_loss", {"squared": True, "normalize": False}),
        ("mined_triplet_margin_loss", {"mining": "all"}),
    ],
)
def test_no_hinge_above_zero(name, params, route):
    """Where only values above 0 count, and none is, a mean is over nothing: pytorch-metric-learning's 0, or NaN."""
    case = next(c for c in SIMILARITY if c.name == name)
    x = torch.tensor([[0.0, 0.0], [0.0, 0.0], [9.0, 9.0], [9.0, 9.0]]).requires_grad_()
    arguments = {"embeddings": x, "labels": torch.tensor([0, 0, 1, 1]), **params}
    for empty, how in itertools.product(("zero", "nan"), ROUTES):
        for fn, more in ((case.functional, route(how)), (case.reference, {})):
            loss, grad = gradients(fn, arguments, empty=empty, **more)
            assert loss == 0 if empty == "zero" else loss.isnan(), (empty, how, fn)
            assert not grad.any()


def directly(kind, x, labels, **params):
    """Losses of distances, summed over anchors, from differences of vectors; labels are equal in pairs."""
    unit = torch.nn.functional.normalize(x)
    square = (unit.unsqueeze(1) - unit).square().sum(-1)
    d = torch.where(square > 0, torch.where(square > 0, square, 1.0).sqrt(), 0.0)
    same = labels.unsqueeze(1) == labels
    positive, negative = same & ~torch.eye(len(x), dtype=torch.bool), ~same
    if kind == "pairwise_contrastive_loss":
        return (d * positive).sum() + ((params["neg_margin"] - d).relu() * negative).sum()
    near = d[positive]  # one of each anchor
    h = (params["margin"] + near.unsqueeze(1) - d).relu()
    return (h * negative).sum() if params["mining"] == "all" else torch.where(negative, h, 0.0).amax(1).sum()


@pytest.mark.parametrize("short", [0.0, 1e-25, 3e-13], ids=str)
@pytest.mark.parametrize("case", [c for c in SIMILARITY if c.distances], ids=str)
def test_distances_of_vectors_shorter_than_one(case, short, route):
    """Zero, or divided by 1e-12 instead of their length: one's own length counts, and so does its derivative."""
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(24, 5, generator=generator, dtype=torch.float64)
    x[3:9] *= short / x[3:9].norm(dim=-1, keepdim=True)
    labels = (torch.arange(24) % 12) * 2**33
    # All are equally far from zero: which is nearest is up to roundings, or is the first.
    minings = [{"mining": m, "margin": 0.317} for m in ("batch_hard", "all")[short < 1e-13 :]]
    for params in minings if "triplet" in case.name else [{"neg_margin": 1.317}]:
        leaf = x.clone().requires_grad_()
        wanted = directly(case.name, leaf, labels, **params)
        wanted = [wanted.detach(), torch.autograd.grad(wanted, leaf)[0]]
        for dtype, name in itertools.product((torch.float64, torch.float32), ROUTES):
            given = {"embeddings": x.to(dtype).requires_grad_(), "labels": labels, "normalize": True, **params}
            for fn, more in ((case.functional, route(name)), (case.reference, {})):
                got = gradients(fn, given, reduction="sum", **more)
                for a, b in zip(got, wanted, strict=True):
                    size = b.abs().amax(-1, keepdim=True)
                    assert bool(((a - b).abs() <= 2**12 * UNIT[dtype] * size).all()), (params, dtype, name, fn, a, b)


@pytest.mark.parametrize("name", ["supcon_loss", "multi_similarity_loss", "circle_loss", "mined_triplet_margin_loss"])
def test_labels_of_any_integers(name):
    case = next(c for c in SIMILARITY if c.name == name)
    x = torch.randn(23, 6)
    for dtype in (torch.int64, torch.int32, torch.int8, torch.bool):
        labels = torch.randint(0, 2, (23,)).to(dtype)
        assert torch.equal(case.functional(x, labels), case.functional(x, labels.long()))
        spread = torch.stack((labels, labels), 1)[:, 0]
        assert torch.equal(case.functional(x, spread), case.functional(x, labels))


def test_labels_need_all_their_bits(isa):
    """Equal low halves, equal high halves, the sign."""
    x = torch.randn(8, 5)
    values = [[0, 2**32, 2**33, 5, 5 + 2**32, -1, 2**32 - 1, 2**31], [3, 3, 4, 4, 5, 5, 6, 6]]
    for dtype in (torch.float32, torch.float64):
        for labels in map(torch.tensor, values):
            dense = labels.unique(return_inverse=True)[1]
            for fn in (fastloss.functional.supcon_loss, fastloss.functional.multi_similarity_loss):
                assert torch.equal(fn(x.to(dtype), labels), fn(x.to(dtype), dense))
        twice = torch.tensor(values[0] + [2**32])
        fn = fastloss.functional.supcon_loss
        loss = fn(torch.cat((x, x[:1])).to(dtype), twice, reduction="none")
        assert loss.count_nonzero() == 2  # 2^32 alone is there twice


def laid(t, how):
    """The values of a matrix in another layout, and whether its gradient is the sum over expanded rows."""
    if how == "strided":
        return torch.stack((t, t.roll(1)), -1).flatten(-2)[:, ::2]
    if how == "transposed":
        return t.t().contiguous().t()
    if how == "cropped":
        return torch.cat((t, t), 1)[:, : t.shape[1]]
    return t[:1].expand(t.shape)


@pytest.mark.parametrize("how", ["strided", "transposed", "cropped", "expanded"])
@pytest.mark.parametrize("case", SIMILARITY, ids=str)
def test_layouts(case, how, route):
    for params, dtype in itertools.product(case.params, (torch.float32, torch.bfloat16)):
        made = case.make((21, 10), params, dtype)
        if how == "expanded" and case.distances:
            made["labels"] = torch.zeros_like(made["labels"])  # distances of 0, no slope
        arguments = {
            k: laid(t.detach(), how).requires_grad_(t.requires_grad)
            if isinstance(t, torch.Tensor) and t.dim() == 2
            else t
            for k, t in made.items()
        }
        for k, t in arguments.items():
            if k in case.vectors:
                assert t.stride() != (10, 1)
        if how == "expanded" and len(case.vectors) == 1:
            arguments[case.vectors[0]] = made[case.vectors[0]]
        for name in ("small", "strips twice"):
            check(case, arguments, params, reduction="mean", more=route(name), what=(how, params))


# ------------------------------------------------------------------------------------------------------- options


@pytest.mark.parametrize("case", SIMILARITY, ids=str)
def test_weight_normalizer_and_dtype(case, route):
    for params, name in itertools.product(case.params, ROUTES):
        more = route(name)
        arguments = case.make((19, 7), params, torch.float64)
        anchors = len(case.functional(**arguments, reduction="none"))
        weight = torch.rand(anchors, dtype=torch.float64) + 0.5
        weight[::3] = 0
        for reduction in REDUCTIONS:
            check(case, arguments, params, reduction=reduction, weight=weight, more=more)
            check(case, arguments, params, reduction=reduction, weight=weight.float(), more=more)
        for normalizer in (3.0, torch.tensor(3.0), torch.tensor([3.0], dtype=torch.float64), 7):
            check(case, arguments, params, normalizer=normalizer, weight=weight, more=more)
        halves = case.make((19, 7), params, torch.bfloat16)
        for dtype in (torch.float32, torch.float64, torch.float16):
            loss = case.functional(**halves, loss_dtype=dtype, **more)
            assert loss.dtype == dtype
            close(
                loss.double(), case.functional(**halves, loss_dtype=torch.float64, **more), rtol=UNIT[dtype], atol=1e-7
            )


SCALARS = [(case, name) for case in SIMILARITY for name in (case.scalars or ())]


@pytest.mark.parametrize(("case", "name"), SCALARS, ids=str)
def test_scalars(case, name, route):
    """Numbers and tensors of any shape, with and without gradient: one value, gradients of the tensor's shape."""
    arguments = case.make((17, 6), case.params[0], torch.float64)
    value = case.scalars[name]
    for how, reduction in itertools.product(ROUTES, ("mean", "none")):
        more = route(how)
        results = []
        for given in (value, *(torch.tensor(v, dtype=torch.float64) for v in (value, [value], [[value]]))):
            for needs in (False, True) if isinstance(given, torch.Tensor) else (False,):
                t = given.clone().requires_grad_(needs) if isinstance(given, torch.Tensor) else given
                made = {k: v.detach() if k in case.scalars else v for k, v in {**arguments, name: t}.items()
                        if k != name} | {name: t}  # fmt: skip
                check(case, made, case.params[0], reduction=reduction, more=more)
                loss, *grads = gradients(case.functional, made, reduction=reduction, **more)
                results.append((loss, grads[: len(case.vectors)]))
                if needs:
                    assert grads[-1].shape == t.shape
        for loss, grads in results[1:]:
            close(loss, results[0][0].double(), rtol=1e-12, atol=1e-12)
            for a, b in zip(grads, results[0][1], strict=True):
                close(a, b, rtol=1e-12, atol=1e-12)


LEARNED = torch.tensor(0.5, requires_grad=True)


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("info_nce_loss", {"key": torch.randn(6, 4).double()}, "vectors are torch.float32 and torch.float64"),
        ("info_nce_loss", {"query": torch.randn(6, 0), "key": torch.randn(6, 0)}, "vectors have no elements"),
        ("info_nce_loss", {"normalizer": LEARNED}, "normalizer needs a gradient"),
        ("clip_loss", {"logit_scale": torch.tensor(2)}, "scale, bias or temperature is torch.int64"),
        ("siglip_loss", {"weight": LEARNED.expand(6)}, "weight needs a gradient"),
        ("nt_xent_loss", {"z1": torch.randn(6, 4).half()}, "z0 is torch.float32 and z1 torch.float16"),
        ("circle_loss", {"m": LEARNED}, "m needs a gradient"),
        ("pairwise_contrastive_loss", {"squared": "yes"}, "squared is no number"),
    ],
)
def test_reasons(name, change, reason):
    """Why plain PyTorch runs, in words that name what to change."""
    case = next(case for case in SIMILARITY if case.name == name)
    arguments = {**case.make((6, 4)), **change}
    explained = fastloss.explain(case.functional, **arguments)
    assert explained.path == "reference"
    assert reason in explained.reason
    close(case.functional(**arguments), case.reference(**arguments))


# ------------------------------------------------------------------------------------------------------ autograd


@pytest.mark.parametrize("case", SIMILARITY, ids=str)
def test_sum_of_losses(case, route):
    """Anchors see one number as their upstream gradient (stride 0), and losses of float64 see it as it comes."""

    def losses_of(arguments):
        return case.functional(**arguments, reduction="none", loss_dtype=torch.float64, **more)

    torch._dynamo.reset()
    compiled = torch.compile(lambda arguments: losses_of(arguments).sum(), fullgraph=True, backend="aot_eager")
    for dtype in (torch.float64, torch.bfloat16):
        arguments = case.make((13, 6), case.params[0], dtype)
        wanted = case.judge(arguments, reduction="none")
        leaves = [t for t in arguments.values() if getattr(t, "requires_grad", False)]
        for name in ROUTES:
            more = route(name)
            losses = losses_of(arguments)
            wanted.check([losses.detach(), *torch.autograd.grad(losses.sum(), leaves)], (dtype, name))
        grads = torch.autograd.grad(compiled(arguments), leaves)
        wanted.check([losses.detach(), *grads], (dtype, "compiled"))


# ------------------------------------------------------------------------------------------- precision and its limits


@pytest.mark.parametrize(("case", "name"), SCALARS, ids=str)
def test_half_scalars(case, name, route):
    """The number that a half tensor holds, not what half precision makes of its inverse."""
    for dtype, half, how in itertools.product((torch.float32, torch.float64), HALF, ROUTES):
        more = route(how)
        made = case.make((17, 6), case.params[0], dtype)
        value = torch.tensor(0.07, dtype=half)
        results = []
        for given in (value.double(), value, value.float()):
            arguments = {**made, name: given.clone().requires_grad_()}
            results.append(gradients(case.functional, arguments, **more))
        for other in results[1:]:
            for a, b in zip(other, results[0], strict=True):
                unit = max(UNIT[dtype], UNIT[a.dtype])
                close(
                    a.double(), b.double(), rtol=64 * unit if a.dtype not in HALF else 2 * unit, atol=64 * UNIT[dtype]
                )


@pytest.mark.parametrize("case", SIMILARITY, ids=str)
def test_autocast(case):
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        arguments = case.make((21, 12), case.params[0], dtype)
        outside = gradients(case.functional, arguments)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert fastloss.explain(case.functional, **arguments).path == "kernel"
            inside = gradients(case.functional, arguments)
            plain = gradients(case.reference, arguments)
        assert inside[0].dtype == plain[0].dtype == torch.float32
        for a, b, c in zip(inside[1:], plain[1:], outside[1:], strict=True):
            assert (a.dtype, a.shape) == (b.dtype, b.shape) == (c.dtype, c.shape)
            close(a.double(), c.double(), rtol=0.1, atol=0.1 * float(c.abs().max()) + 1e-6)
    wide = case.make((21, 12), case.params[0], torch.float64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for a, b in zip(gradients(case.functional, wide), gradients(case.reference, wide), strict=True):
            assert a.dtype == b.dtype == torch.float64
            close(a, b)


@pytest.mark.parametrize("case", SIMILARITY, ids=str)
def test_gradient_scaler(case, route):
    """Gradients that float16 cannot hold until they are multiplied by 65536: nothing may be rounded to it before."""
    for name, params in itertools.product(ROUTES, case.params):
        more = route(name)
        arguments = case.make((41, 6), params, torch.float16)
        vectors = [arguments[v] for v in case.vectors]
        largest = max(float(g.abs().max()) for g in case.judge(arguments, reduction="sum").results[1:][: len(vectors)])
        weight = torch.full((len(case.functional(**arguments, reduction="none")),), 2.0**-26 / largest)
        for options in (
            dict(normalizer=largest * 2.0**26),
            dict(reduction="sum", weight=weight),
            dict(reduction="none", weight=weight),
        ):
            wanted = case.judge(arguments, 65536.0, **options)
            loss = case.functional(**arguments, **options, loss_dtype=torch.float32, **more)
            leaves = [t for t in arguments.values() if getattr(t, "requires_grad", False)]
            lost = torch.autograd.grad(loss, vectors, torch.ones_like(loss), retain_graph=True)
            assert not any(g.count_nonzero() for g in lost), "the scale is not needed, so nothing is tested"
            grads = torch.autograd.grad(loss, leaves, torch.full_like(loss, 65536.0))
            wanted.check([wanted.results[0], *grads], (name, options))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf], ids=str)
@pytest.mark.parametrize("case", SIMILARITY, ids=str)
def test_nan_and_infinity(case, value, route):
    """NaN where the reference has it. An infinite similarity may have a limit instead; an anchor that looks for
    triplets and meets NaN is all NaN."""
    for params, name in itertools.product(case.params, ("small", "one strip", "strips twice")):
        more = route(name)
        for dtype, reduction in itertools.product((torch.float64, torch.float32, torch.bfloat16), ("mean", "none")):
            arguments = case.make((9, 4), params, dtype)
            with torch.no_grad():
                arguments[case.vectors[0]][3, 1] = value
            ours = gradients(case.functional, arguments, reduction=reduction, **more)
            plain = gradients(case.reference, arguments, reduction=reduction)
            for k, (a, b) in enumerate(zip(ours, plain, strict=True)):
                only_ours, only_plain = a.isnan() & ~b.isnan(), b.isnan() & ~a.isnan()
                what = (params, name, dtype, reduction, k, a, b)
                if math.isnan(value):
                    assert not only_plain.any(), what
                    assert not only_ours.any() or "triplet" in case.name, what
                else:
                    assert not only_ours.any() or "triplet" in case.name, what


@pytest.mark.parametrize("case", [c for c in SIMILARITY if c.scalars], ids=str)
def test_saturated(case, isa):
    """Each row all but certain (logits of 1000): the small rest must be right, not 0 or what is left of 1 - p."""
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(8, 16, generator=generator, dtype=torch.float64)
    x, y = (base + 0.05 * torch.randn(8, 16, generator=generator, dtype=torch.float64) for _ in range(2))
    for scale in (5.0, 20.0, 60.0, 1000.0):
        for dtype in (torch.float64, torch.float32):
            if len(case.vectors) == 2:
                arguments = dict(
                    zip(case.vectors, (x.to(dtype).requires_grad_(), y.to(dtype).requires_grad_()), strict=True)
                )
            else:
                both = torch.cat((x, y)).to(dtype).requires_grad_()
                arguments = {"features": both, "labels": torch.arange(8).repeat(2)}
            arguments["normalize"] = True
            for name in case.scalars:
                value = {"temperature": 1 / scale, "logit_scale": scale, "logit_bias": 0.0}[name]
                arguments[name] = torch.tensor(value, dtype=dtype)
            wide = {k: t.detach().double().requires_grad_(t.requires_grad) if isinstance(t, torch.Tensor) and
                    t.is_floating_point() else t for k, t in arguments.items()}  # fmt: skip
            wanted = gradients(case.reference, wide, reduction="sum")
            got = gradients(case.functional, arguments, reduction="sum", loss_dtype=torch.float64)
            unit = UNIT[dtype] * (2 if dtype == torch.float64 else 1)
            # Logits are off by (6 + 4) u scale, relative in what is e^-logits; see Similarity.judge.
            limit = 4 * (6 + 4) * unit * scale + 8 * unit
            for a, w in zip(got, wanted, strict=True):
                a = a.double()
                tiny = 1e-37 if dtype == torch.float32 else 1e-300
                scale_of = w.abs().amax(-1, keepdim=True) if w.dim() else w.abs()
                if len(case.vectors) == 1 or case.name == "nt_xent_loss":
                    scale_of = w.abs().max()
                assert bool(((a - w).abs() <= 4 * limit * scale_of + tiny).all()), (scale, dtype, a, w)
                assert a.count_nonzero() or not bool((w.abs() > 1e-30).any())


# ------------------------------------------------------------------------------------------------- threads, torch


class OneThreadProducts(TorchDispatchMode):
    """The platform's matrix products with one thread: theirs may give other bits with another number."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        threads = torch.get_num_threads()
        if func._schema.name.removeprefix("aten::") in ("mm", "addmm", "addmm_", "bmm"):
            torch.set_num_threads(1)
        result = func(*args, **(kwargs or {}))
        torch.set_num_threads(threads)
        return result


@pytest.mark.parametrize("case", SIMILARITY, ids=str)
def test_threads(case, route):
    """Same bits. (The mode does not see the products of small problems; route "one strip" stands for them.)"""
    kinds = itertools.product((torch.float64, torch.float32, torch.bfloat16), ROUTES[1:])
    for params, (dtype, name) in zip(itertools.cycle(case.params), kinds, strict=False):
        arguments = case.make((203, 33), params, dtype)
        more = route(name)
        results = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            with OneThreadProducts():
                results.append(gradients(case.functional, arguments, reduction="mean", **more))
                results[-1] += gradients(case.functional, arguments, reduction="none", **more)
        for other in results[1:]:
            assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))
        torch.set_num_threads(3)
        for a, b in zip(gradients(case.functional, arguments, reduction="mean", **more), results[0], strict=False):
            close(a, b, rtol=0.05, atol=1e-3)


def bad_labels(arguments, bad):
    """The same call with these labels of the first queries, and the call in which those have no positive key."""
    n, m = len(arguments["query"]), len(arguments["key"])
    labels = torch.randint(0, m, (n,), generator=torch.Generator().manual_seed(1))
    labels[: len(bad)] = torch.tensor(bad)
    return {**arguments, "labels": labels}, {**arguments, "positives": labels.unsqueeze(1) == torch.arange(m)}


def check_bad_labels(got, wanted, bad):
    """NaN for these queries, or for a sum with them; gradients of the others, none of these."""
    if got[0].dim():
        assert got[0][:bad].isnan().all()
        close(got[0][bad:], wanted[0][bad:])
    else:
        assert got[0].isnan()
    for a, b in zip(got[1:], wanted[1:], strict=True):
        close(a, b)


BAD_LABELS = (11, -1, 2**40, -(2**63), 2**63 - 1)


@pytest.mark.parametrize("how", [*ROUTES, "reference", "compiled"])
@pytest.mark.parametrize("more", [{}, {"symmetric": True}, {"negatives": 3}, {"negatives": (11, 3)}], ids=str)
def test_labels_out_of_range_that_nobody_may_look_at(more, how, route, monkeypatch):
    """As on a GPU, and in a graph."""
    fn = fastloss.reference.info_nce_loss if how == "reference" else fastloss.functional.info_nce_loss
    plain, options = fn, route(how) if how in ROUTES else {}
    if how == "compiled":
        torch._dynamo.reset()
        fn = torch.compile(fn, fullgraph=True, backend="aot_eager")
    else:
        monkeypatch.setattr(contrastive, "any_outside", lambda labels, count: None)
    arguments = SIMILARITY[0].make((11, 6), {"symmetric": True}, torch.float64)
    if "negatives" in more:
        shape = more["negatives"]
        more = {"negatives": torch.randn(*(shape if isinstance(shape, tuple) else (shape,)), 6, dtype=torch.float64)}
    for reduction, weighted in itertools.product(REDUCTIONS, (False, True)):
        given = {"reduction": reduction, **options}
        if weighted:
            given["weight"] = torch.linspace(0.5, 2, 11, dtype=torch.float64)
        labelled, wanted = bad_labels({**arguments, "symmetric": False, **more}, BAD_LABELS)
        check_bad_labels(gradients(fn, labelled, **given), gradients(plain, wanted, **given), len(BAD_LABELS))


@pytest.mark.parametrize("size", [(3, 2), (2000, 8)])
@pytest.mark.parametrize("where", ["functional", "reference", "module"])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int32, torch.int64], ids=str)
def test_labels_out_of_range(where, dtype, size):
    """An IndexError that names row and value, at the ends of the labels' range too."""
    x, y = torch.randn(size, requires_grad=True), torch.randn(size)
    loss = fastloss.InfoNCELoss() if where == "module" else getattr(fastloss, where).info_nce_loss
    info = torch.iinfo(dtype)
    for value in {info.max, info.min, -1, size[0]}:
        if 0 <= value < size[0] or not info.min <= value <= info.max:
            continue
        labels = (torch.arange(size[0]) % 2).to(dtype)
        labels[-1] = value
        for options in ({}, {"symmetric": True}, {"reduction": "none"}, {"negatives": y}):
            if where == "module" and options.get("negatives") is None and options:
                continue  # of its constructor
            with pytest.raises(IndexError, match=rf"labels\[{size[0] - 1}\] is {value}, .*{size[0]} keys"):
                loss(x, y, labels, **options)


@pytest.mark.parametrize(
    ("reduction", "how", "dynamic"),
    [("mean", "small", True), ("none", "one strip", False), ("sum", "strips twice", False)],
)
@pytest.mark.parametrize("case", SIMILARITY, ids=str)
def test_compile(case, reduction, how, dynamic, route):
    """One graph, values and gradients, those of scalars too; ``dynamic``: with other numbers of rows."""
    if reduction == "sum" and case not in SIMILARITY[1::4]:
        pytest.skip("as reduction mean")
    torch._dynamo.reset()
    params = case.params[-1] if reduction == "none" else case.params[0]
    options = {"reduction": reduction, **route(how)}

    def call(arguments):
        return case.functional(**arguments, **options) * 2

    compiled = torch.compile(call, fullgraph=True, dynamic=dynamic, backend="aot_eager")
    for n in (9, 14) if dynamic else (9,):
        arguments = case.make((n, 6), params)
        ours, plain = (gradients(lambda fn=fn, **given: fn(given), arguments) for fn in (compiled, call))
        for a, b in zip(ours, plain, strict=True):
            assert a.dtype == b.dtype
            close(a, b)
        if reduction == "mean" and n == 9:
            with torch.no_grad():
                close(compiled(arguments), call(arguments))
    torch._dynamo.reset()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_compile_halves_and_scalars(dtype):
    torch._dynamo.reset()
    for case in SIMILARITY[:2]:
        arguments = case.make((12, 6), case.params[0], dtype)
        compiled = torch.compile(case.functional, fullgraph=True, backend="aot_eager")
        for a, b in zip(gradients(compiled, arguments), gradients(case.functional, arguments), strict=True):
            assert a.dtype == b.dtype
            close(a, b, rtol=2 * UNIT[dtype], atol=1e-7)
    torch._dynamo.reset()


@pytest.mark.parametrize("case", SIMILARITY, ids=str)
def test_opcheck(case, route):
    from recorder import recorded_calls

    seen = set()
    for name, dtype, reduction in (
        ("small", torch.float32, "mean"), ("strips twice", torch.float32, "none"), ("one strip", torch.bfloat16, "sum"),
    ):  # fmt: skip
        arguments = case.make((10, 5), case.params[-1], dtype)
        more = route(name)
        for op, args, kwargs in recorded_calls(
            lambda arguments=arguments, reduction=reduction, more=more: gradients(
                case.functional, arguments, reduction=reduction, **more
            )
        ):
            if op._schema.name in seen:
                continue
            seen.add(op._schema.name)
            torch.library.opcheck(op, tuple(args), kwargs, test_utils=("test_schema",))
    assert "fastloss::similarity_finish" in seen


# ------------------------------------------------------------------------------------- errors, modules, memory


def raised(call):
    try:
        call()
    except Exception as error:
        return type(error), str(error)
    return None


@pytest.mark.parametrize("call", [row[0] for row in test_similarity_reference.ERRORS])
def test_errors(call, monkeypatch):
    """What the reference refuses, in its words; only that the functions have more options."""
    wanted = raised(call)
    assert wanted is not None
    monkeypatch.setattr(test_similarity_reference, "reference", fastloss.functional)
    ours = raised(call)
    if "unexpected argument" in wanted[1]:
        ours, wanted = ((kind, text.partition(", expected")[0]) for kind, text in (ours, wanted))
    assert ours == wanted


@pytest.mark.parametrize("case", SIMILARITY, ids=str)
def test_errors_of_options(case):
    arguments = case.make((6, 4), {})
    first = case.vectors[0]
    bad = [
        {"reduction": "average"}, {"reduction": None}, {"empty": "one"}, {"normalizer": 2.0, "reduction": "sum"},
        {"normalizer": 2.0, "reduction": "none"}, {"weight": torch.ones(5)}, {"weight": [1.0] * 6},
        {"weight": torch.ones(6, 1)}, {"loss_dtype": torch.int32}, {first: arguments[first][0]},
        {first: arguments[first].long()}, {first: None}, {first: arguments[first].detach().numpy()},
    ]  # fmt: skip
    for name in case.scalars:
        bad += [{name: torch.ones(2)}, {name: "1"}] + [{name: 0.0}, {name: -1.0}] * (name == "temperature")
    if case.labelled:
        bad += [{"labels": t} for t in (torch.zeros(5).long(), torch.zeros(6), torch.zeros(6, 1).long(), [0] * 6)]
    for change in bad:
        wanted = raised(lambda change=change: case.reference(**{**arguments, **change}))
        assert wanted is not None, change
        assert raised(lambda change=change: case.functional(**{**arguments, **change})) == wanted, change
    for name, fn in itertools.product(("nonsense", "return_stats"), (case.functional, case.reference)):
        with pytest.raises(TypeError, match=f"^fastloss.{case.name}: unexpected argument {name}, expected .*weight"):
            fn(**arguments, **{name: True})


@pytest.mark.parametrize("case", SIMILARITY, ids=str)
def test_errors_of_sharing(case):
    arguments = case.make((6, 4), {})
    for options, kind, text in (
        ({"memory_budget": "1G"}, TypeError, "memory_budget is str, expected a number of bytes"),
        ({"memory_budget": -1}, ValueError, "memory_budget must be 0 or more bytes, got -1"),
        ({"memory_budget": math.nan}, ValueError, "memory_budget must be 0 or more bytes, got nan"),
        ({"group": "world"}, TypeError, "group is str, expected a torch.distributed.ProcessGroup; .*WORLD"),
    ):
        with pytest.raises(kind, match=f"^fastloss.{case.name}: {text}"):
            case.functional(**arguments, **options)
    for budget in (0, 1e6, math.inf):
        close(case.functional(**arguments, memory_budget=budget), case.functional(**arguments))


@pytest.mark.parametrize("case", SIMILARITY, ids=str)
def test_ddp_needs_a_group(case):
    """Whatever runs the loss: an average over processes that have nothing to do with each other needs no factor."""
    for dtype in (torch.float32, torch.float64):
        arguments = case.make((6, 4), {}, dtype)
        with pytest.raises(ValueError, match=f"fastloss.{case.name}: ddp=True .*expected .* as group=, got None; pass"):
            case.functional(**arguments, ddp=True)
        plain = {k: t.detach() if isinstance(t, torch.Tensor) else t for k, t in arguments.items()}
        name = case.vectors[0]
        rest = {k: t for k, t in plain.items() if k != name}
        with pytest.raises(ValueError, match="group="):
            torch.func.grad(lambda x, rest=rest, name=name: case.functional(**{name: x}, **rest, ddp=True))(plain[name])
        case.functional(**arguments, ddp=False)


def test_triplet_margin_loss_with_labels():
    fn, module = fastloss.functional.triplet_margin_loss, fastloss.TripletMarginLoss
    x, labels = torch.randn(17, 6, requires_grad=True), torch.randint(0, 4, (17,))
    for mining in (None, "batch_hard", "semi_hard", "all"):
        for reduction in REDUCTIONS:
            plain = fastloss.functional.mined_triplet_margin_loss(
                x, labels, 0.7, mining=mining or "batch_hard", reduction=reduction
            )
            chosen = {} if mining is None else {"mining": mining}
            assert torch.equal(fn(x, labels=labels, margin=0.7, reduction=reduction, **chosen), plain)
    assert torch.equal(
        fn(x, labels=labels, soft=True, normalize=True),
        fastloss.functional.mined_triplet_margin_loss(x, labels, soft=True, normalize=True),
    )
    seen = torch.rand(17, 17) < 0.7
    for call in (fn, module()):
        assert torch.equal(
            call(x, labels=labels, mask=seen), fastloss.functional.mined_triplet_margin_loss(x, labels, mask=seen)
        )
    assert fastloss.explain(fn, x, labels=labels).path == "kernel"
    assert torch.equal(
        module(margin=0.7)(x, labels=labels, mining="all"), fn(x, labels=labels, margin=0.7, mining="all")
    )
    assert fastloss.explain(module(), x, labels=labels).path == "kernel"
    assert fastloss.explain(module(), x, x, x).path == "kernel"
    for arguments, options in (((x, x, x), {"labels": labels}), ((x,), {"mining": "all"}), ((x,), {})):
        with pytest.raises((ValueError, TypeError)):
            fn(*arguments, **options)
    for own in ({"eps": 1.0}, {"eps": torch.tensor(1e-6)}, {"p": 1.0}, {"swap": True}):
        with pytest.raises(
            ValueError, match=r"expected labels or positive and negative .with p, eps and swap., got both"
        ):
            fn(x, labels=labels, **own)
    with pytest.raises(ValueError, match="mining"):
        fn(x, labels=labels, mining="hardest")


# ------------------------------------------------------------------------------------- gradients of triplets by pairs


def lattice(kind, width, generator):
    """Vectors of small integers and labels: squared distances are exact, and many are equal."""
    labels = torch.randint(0, 5, (45,), generator=generator)
    x = torch.randint(-3, 4, (45, width), generator=generator).double()
    if kind == "duplicates":  # of one label and of others
        x = x[torch.randint(0, 12, (45,), generator=generator)]
    elif kind == "ties":
        x.clamp_(0, 1)
    elif kind == "hub":  # nearest to all; alone
        x[17], labels[17] = 0, 77
        x[x.abs().sum(-1) == 0, 0] = 3
        x[17] = 0
    elif kind == "alone":  # anchors without positives
        labels[::2] = torch.arange(100, 123)
    elif kind == "one label":  # and without negatives
        labels[:] = 3
    return x, labels


KINDS = ("any", "duplicates", "ties", "hub", "alone", "one label")


@pytest.fixture
def by_pairs(monkeypatch):
    """How many strips have taken the pairs, and how many the products."""
    counts, operator = [0, 0], _ops.SIMILARITY.triplets_

    def counted(*args):
        added, vectors = operator(*args), args[-3]
        counts[not added] += vectors is not None
        return added

    monkeypatch.setattr(_ops, "SIMILARITY", _ops.SIMILARITY._replace(triplets_=counted))
    return counts


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("mining", ["batch_hard", "semi_hard"])
def test_gradients_by_pairs(mining, dtype, isa, by_pairs, monkeypatch):
    """By pairs a gradient is exact to units of double until it is rounded: when kept, and over the mean's divisor.

    The products round each pair, to a unit of the computing dtype.
    """
    generator, fn = torch.Generator().manual_seed(3), fastloss.functional.mined_triplet_margin_loss
    compute = torch.float64 if dtype == torch.float64 else torch.float32
    for width, kind in itertools.product((1, 7, 16, 33, 70, 131), KINDS):
        x, labels = lattice(kind, width, generator)
        weight = torch.rand(45, generator=generator, dtype=torch.float64)
        weight[::4] = 0
        for margin, more in itertools.product((0.5, 4.0), ({}, {"weight": weight}, {"reduction": "sum"})):
            wide = x.clone().requires_grad_()
            wanted = torch.autograd.grad(
                fastloss.reference.mined_triplet_margin_loss(wide, labels, margin, mining=mining, **more), wide
            )[0]
            leaf = x.to(dtype).requires_grad_()
            for way, pairs in enumerate((ALWAYS_PAIRS, NEVER_PAIRS)):
                monkeypatch.setattr(plan, "_PRODUCT_PAIRS", pairs)
                before = by_pairs[way]
                got = torch.autograd.grad(fn(leaf, labels, margin, mining=mining, **more), leaf)[0].double()
                nothing = kind == "one label"
                assert by_pairs[way] == before + 1 or (nothing and way), "the other way"
                # A pair's share is below 1, a difference below 7; an anchor's pairs are 90 at most, of 45 anchors.
                limit = 45 * 90 * 7 * UNIT[torch.float64 if way == 0 else compute] / (11 if "weight" in more else 1)
                rounding = 1.01 * (UNIT[dtype] + UNIT[compute])
                what = (width, kind, margin, list(more), way)
                assert not nothing or not got.any()
                assert bool(((got - wanted).abs() <= rounding * wanted.abs() + limit + UNDERFLOW[dtype]).all()), what


@pytest.mark.parametrize("normalize", [False, True])
def test_strips_of_few_and_of_many_triplets(normalize, by_pairs, route):
    """All anchors of some strips have one label: products make their gradients, pairs those of others; same bits."""
    generator = torch.Generator().manual_seed(4)
    labels = torch.cat((torch.arange(16).repeat_interleave(2), torch.full((32,), 99), torch.arange(16) // 2 + 200))
    x = torch.randn(80, 19, generator=generator, dtype=torch.float64).requires_grad_()
    arguments = {"embeddings": x, "labels": labels, "mining": "semi_hard", "normalize": normalize}
    case = next(c for c in SIMILARITY if c.name == "mined_triplet_margin_loss")
    for layout, reduction in itertools.product(("rows", "strided", "transposed"), REDUCTIONS):
        route("strips by rule")
        results = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            by_pairs[:] = 0, 0
            given = {**arguments, "embeddings": laid(x.detach(), layout).requires_grad_() if layout != "rows" else x}
            with OneThreadProducts():
                results.append(check(case, given, {}, reduction=reduction, what=(layout, reduction)))
            assert by_pairs == [6, 4], by_pairs
        for other in results[1:]:
            assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_threads_and_pairs(isa, by_pairs, monkeypatch):
    """Enough work for several threads, a vector that nearly all anchors choose: same bits."""
    generator, fn = torch.Generator().manual_seed(5), fastloss.functional.mined_triplet_margin_loss
    monkeypatch.setattr(plan, "_PRODUCT_PAIRS", ALWAYS_PAIRS)
    for dtype, mining in itertools.product((torch.float32, torch.float64), ("batch_hard", "semi_hard")):
        x = torch.randn(517, 37, generator=generator).to(dtype)
        x[100] = 0.0
        x.requires_grad_()
        labels = torch.arange(517) % 100
        labels[100] = 1000
        results = []
        for threads in (1, 2, 3, 7):
            torch.set_num_threads(threads)
            with OneThreadProducts():
                loss = fn(x, labels, 0.3, mining=mining)
                results.append((loss, torch.autograd.grad(loss, x)[0]))
        for loss, grad in results[1:]:
            assert torch.equal(loss, results[0][0])
            assert torch.equal(grad, results[0][1])
    assert by_pairs == [16, 0]


def test_operator_of_few_triplets():
    """Its schema; and what it refuses, since anybody can call it."""
    x = torch.randn(12, 5)
    labels, gradients = torch.arange(12) // 3, torch.zeros(12, 5)

    def call(mining=0, tile=None, vectors=x, to=gradients, offset=0):
        tile = x @ x.t() if tile is None else tile
        rows = labels[offset : offset + len(tile)] if offset + len(tile) <= 12 else labels[: len(tile)]
        memory = (torch.empty(len(tile), 2, dtype=torch.float64) for _ in range(2))
        return (mining, None, None, rows, labels, offset, 0, True, None, None, None, None, (-2.0, 2.0), (0.5, 0.0),
                tile, None, *memory, vectors, to, 100)  # fmt: skip

    operator = _ops.SIMILARITY.triplets_
    for mining in (0, 1):
        torch.library.opcheck(operator, call(mining), test_utils=("test_schema",))
    for bad in (
        call(2), call(vectors=x[:11]), call(vectors=x.double()), call(vectors=x[0]), call(to=gradients[:11]),
        call(to=gradients.double()), call(to=gradients[:, :4]), call(to=torch.zeros(5, 12).t()),
        call(tile=(x @ x.t())[:4], offset=9), call(tile=(x @ x.t())[:4], offset=-1),
        call(tile=(x @ x.t()).bfloat16()),
    ):  # fmt: skip
        with pytest.raises(RuntimeError, match="fastloss: "):
            operator(*bad)
    assert not gradients.isnan().any()


MEASURE = """
import torch
from cases import SIMILARITY
from benchmarks import process
torch.set_num_threads(1)
for case in SIMILARITY:
    arguments = case.make((2048 if case.name != "nt_xent_loss" else 1024, 32))
    for reduction in ("mean", "none"):
        def step():
            loss = case.functional(**arguments, reduction=reduction, memory_budget=1 << 20)
            torch.autograd.grad(loss.sum(), [t for t in arguments.values() if getattr(t, "requires_grad", False)])
        step()
        process.return_free_pages()
        assert process.reset_high_water_mark()
        before = process.status("VmRSS")
        step()
        print(case.name, reduction, process.status("VmHWM") - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory():
    """With a small budget a step adds a strip and gradients, less than a quarter of the matrix."""
    child = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", MEASURE],
        env=process.environment(MALLOC_MMAP_THRESHOLD_=str(64 * 1024)), capture_output=True, text=True,
    )  # fmt: skip
    assert child.returncode == 0, child.stderr
    measured = [line.split() for line in child.stdout.splitlines()]
    assert len(measured) == 2 * len(SIMILARITY)
    for name, reduction, added in measured:
        assert int(added) < 2048 * 2048 * 4 / 4, (name, reduction, added)
        assert int(added) > 2048 * 32 * 4, "nothing was measured"


class OnGpu:
    """What `strips.kept_bytes` asks of vectors that lie on a GPU."""

    shape, device, is_cuda = (32768, 1024), "cuda:0", True

    @staticmethod
    def element_size():
        return 2


@pytest.mark.parametrize(
    ("free", "asked", "alone", "capturing", "kept"),
    [
        (120 << 30, -1, True, False, (120 << 30) // 4 + (1 << 28)),  # 2 GiB of CLIP's matrix are kept
        (1 << 20, -1, True, False, (1 << 18) + (1 << 28)),
        (0, -1, True, False, 256 << 20),
        (120 << 30, 5, True, False, 5),
        (120 << 30, -1, False, False, 256 << 20),
        (120 << 30, -1, True, True, 256 << 20),
    ],
)
def test_default_memory_budget(monkeypatch, free, asked, alone, capturing, kept):
    """A quarter of what is free on the device, 1 GiB of the allocator's cache included; nobody asks without need."""
    cuda = torch.cuda
    monkeypatch.setattr(cuda, "mem_get_info", lambda device: (free, 141 << 30))
    monkeypatch.setattr(cuda, "memory_reserved", lambda device: 3 << 30 if free else 0)
    monkeypatch.setattr(cuda, "memory_allocated", lambda device: 2 << 30 if free else 0)
    monkeypatch.setattr(cuda, "is_current_stream_capturing", lambda: capturing)
    assert strips.kept_bytes(asked, OnGpu, 32768, alone) == kept
    monkeypatch.setattr(cuda, "mem_get_info", None)
    assert strips.kept_bytes(-1, OnGpu, 4096, True) == 256 << 20
    assert strips.kept_bytes(-1, torch.empty(2, 3).expand(2, 3), 1 << 40, True) == 256 << 20
