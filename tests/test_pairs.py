"""The pairs family: vectors compared row by row. What it shares with the pointwise family is proved there."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from cases import (
    DTYPES,
    HALF,
    PAIRS,
    REDUCTIONS,
    UNDERFLOW,
    UNIT,
    gradients,
    info_of,
    make_pairs,
    outcome,
    pair_options,
    same_outcome,
    settings,
)

import fastloss
import fastloss.engines.elements as module
from fastloss import _ops

close = torch.testing.assert_close
SETTINGS = settings(PAIRS)
WIDTHS = (1, 3, 16, 31, 64, 130, 1000)


@pytest.fixture(autouse=True)
def _kernel(monkeypatch):
    monkeypatch.setattr(module, "NATIVE_WHEN_TINY", False)


def exact(case, tensors, upstream=None, **options):
    wide = tuple(t.detach().double().requires_grad_(t.requires_grad) for t in tensors)
    return gradients(case.reference, wide, upstream, **options)


def scales(case, tensors, params):
    """The size of the terms that the value and each gradient of a row are made of, and in which they may cancel."""
    vectors = [t.detach().double() for t in tensors if t.requires_grad]
    if case.name == "contrastive_loss" and params.get("distance") != "cosine":
        # margin - d, or its square, or that of d, and the derivative of the latter
        longest = max(float((vectors[0] - vectors[1]).norm(dim=-1).max()), params.get("margin", 1.0))
        return [longest**2, longest, longest] if params.get("squared", True) else [2 * longest, 1.0, 1.0]
    if case.labelled:  # c = s12 / (|x1| |x2|), dc/dx1 = x2 / (|x1| |x2|) - c x1 / |x1|^2
        return [1.0, *(float(1 / v.norm(dim=-1).min()) for v in vectors)]
    longest = max(float((v - w).norm(dim=-1).max()) for v, w in itertools.combinations(vectors, 2))
    return [1 + 2 * longest, 1.0, 1.0, 1.0]  # margin + |u| - |v|; differences of unit vectors


def check(actual, wanted, dtype, scale, upstream=1.0, roundings=2):
    """A lane adds D / 16 products or fewer, then a handful of operations: 16 units of the terms, and in float64 the
    reference's own; the result is rounded once to the stored dtype."""
    double = dtype == torch.float64
    unit = UNIT[torch.float64 if double else torch.float32] * (2 if double else 1)
    wanted = torch.where(
        wanted.abs() > torch.finfo(dtype).max * (1 + UNIT[dtype] / 2), wanted.sign() * math.inf, wanted
    )
    terms = 16 * unit * scale * abs(upstream)
    close(actual.double(), wanted, rtol=roundings * UNIT[dtype], atol=terms + UNDERFLOW[actual.dtype])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("case", "params"), SETTINGS)
def test_against_reference(case, params, dtype, isa):
    for width, rows, reduction in itertools.product(WIDTHS, (1, 37), REDUCTIONS):
        tensors = make_pairs(case, (rows,), width, dtype)
        options = dict(params, reduction=reduction)
        assert fastloss.explain(case.functional, *tensors, **options).path == "kernel"
        ours = gradients(case.functional, tensors, **options)
        rows_summed = rows if reduction == "sum" else 1
        wanted = exact(case, tensors, **options)
        for k, (a, w, scale) in enumerate(zip(ours, wanted, scales(case, tensors, params), strict=True)):
            check(a, w, dtype, scale * (rows_summed if k == 0 else 1))
        for a, b in zip(ours, gradients(case.native, tensors, **options), strict=True):
            assert (a.dtype, a.shape) == (b.dtype, b.shape)


@pytest.mark.parametrize("dtype", [torch.float32, *HALF], ids=str)
@pytest.mark.parametrize("case", PAIRS, ids=str)
def test_mean_error_not_above_native(case, dtype, isa):
    tensors = make_pairs(case, (300,), 200, dtype)
    ours, native, wanted = (
        gradients(case.functional, tensors, reduction="none"), gradients(case.native, tensors, reduction="none"),
        exact(case, tensors, reduction="none"),
    )  # fmt: skip
    for a, b, w in zip(ours, native, wanted, strict=True):
        luck = 1e-3 * UNIT[dtype] * w.abs().mean()
        assert (a.double() - w).abs().mean() <= 1.05 * (b.double() - w).abs().mean() + luck


@pytest.mark.parametrize("case", PAIRS, ids=str)
def test_points(case, isa):
    for dtype, (arguments, params, loss) in itertools.product((torch.float64, torch.float32), case.points):
        tensors = [torch.tensor(v, dtype=dtype) for v in arguments]
        close(case.functional(*tensors, **params), torch.tensor(loss, dtype=dtype), rtol=1e-6, atol=3e-6)


@pytest.mark.parametrize("case", PAIRS, ids=str)
def test_kinks_nan_and_infinity(case, isa):
    """Equal and opposite vectors, zero vectors, NaN and infinity: as in PyTorch, or in the reference."""
    rows = torch.tensor([[0.0, 0.0], [1.0, 2.0], [-1.0, -2.0], [1.0, math.nan], [math.inf, 1.0], [2.0, 4.0]])
    combos = [torch.stack(t) for t in zip(*itertools.product(rows, repeat=3), strict=True)]
    if case.labelled:
        labels = torch.tensor([1.0, -1.0, 0.0]).repeat(len(combos[0]) // 3)
        combos = [combos[0], combos[1], labels]
    for params in case.params:
        tensors = tuple(t.clone().requires_grad_(k not in case.fixed) for k, t in enumerate(combos))
        ours = gradients(case.functional, tensors, reduction="none", **params)
        native = gradients(case.native if case.native_module else case.reference, tensors, reduction="none", **params)
        for a, b in zip(ours, native, strict=True):
            close(a, b, rtol=1e-5, atol=2e-6, equal_nan=True)


def test_contrastive_at_distance_zero_and_margin(isa):
    """Where the slope is undefined it is 0: equal vectors, except that half a square has slope d, and d = margin."""
    first = torch.tensor([[1.0, 2.0], [1.0, 2.0], [4.0, 6.0]], requires_grad=True)
    second = torch.tensor([[1.0, 2.0]] * 3, requires_grad=True)
    for squared in (True, False):
        loss, *grads = gradients(
            fastloss.functional.contrastive_loss, (first, second, torch.tensor([1, 0, 0])),
            margin=5.0, squared=squared, reduction="none",
        )  # fmt: skip
        assert loss.tolist() == [0.0, 12.5 if squared else 5.0, 0.0]
        assert all(g.count_nonzero() == 0 for g in grads)


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_contrastive_conventions(distance, isa):
    """Label types, and what the docstring says of others: Hadsell's labels, sentence-transformers, torch."""
    fn = fastloss.functional.contrastive_loss
    a, b, label = (t.detach() for t in make_pairs(PAIRS[1], (40,), 7, torch.float64))
    for made in (label.long(), label == 1, (label == 1).float()):
        assert torch.equal(fn(a, b, made, distance=distance), fn(a, b, label, distance=distance))
    d = 1 - F.cosine_similarity(a, b) if distance == "cosine" else F.pairwise_distance(a, b, eps=0)
    y = 1 - (label == 1).double()
    hadsell = (1 - y) / 2 * d**2 + y / 2 * F.relu(1.5 - d) ** 2
    close(fn(a, b, 1 - y, 1.5, distance=distance, reduction="sum"), hadsell.sum())
    if distance == "cosine":
        similar = 1 - y
        theirs = 0.5 * (similar * d.pow(2) + (1 - similar) * F.relu(0.5 - d).pow(2))
        close(fn(a, b, similar, 0.5, distance="cosine"), theirs.mean())
        close(fn(a, b, label, 1 - 0.2, distance="cosine", squared=False), F.cosine_embedding_loss(a, b, label, 0.2))


def test_contrastive_errors():
    a, b, label = (t.detach() for t in make_pairs(PAIRS[1], (4,), 7))
    fn = fastloss.functional.contrastive_loss
    for arguments, options in (((a, b[:3], label), {}), ((a, b, label[:3]), {}), ((a, b, label), {"distance": "l1"})):
        with pytest.raises(ValueError, match=r"fastloss.contrastive_loss: .*(expected vectors|distance must be)"):
            fn(*arguments, **options)
    for where in (fastloss.functional, fastloss.reference):
        for k, what in enumerate(("input1", "input2", "target")):
            given = [a, b, label]
            given[k] = given[k].tolist()
            with pytest.raises(TypeError, match=f"^fastloss.contrastive_loss: {what} is list, expected a Tensor"):
                where.contrastive_loss(*given)
        for margin in (None, "1", [1.0]):
            with pytest.raises(
                TypeError, match=r"^fastloss.contrastive_loss: margin is .*, expected a number or a tensor"
            ):
                where.contrastive_loss(a, b, label, margin)


@pytest.mark.parametrize(
    ("name", "parameter"),
    [("cosine_embedding_loss", "margin"), ("triplet_margin_loss", "margin"), ("triplet_margin_loss", "eps")],
)
def test_no_number_is_as_in_torch(name, parameter):
    """Not 0, which a kernel would make of None."""
    a, b = torch.randn(2, 4, 7)
    third = torch.ones(4) if name == "cosine_embedding_loss" else a + b
    for value in (None, "1"):
        for where in (F, fastloss.functional):
            with pytest.raises(TypeError):
                getattr(where, name)(a, b, third, **{parameter: value})


def layouts(t):
    yield t.mT.contiguous().mT
    yield torch.nn.functional.pad(t, (1, 2))[..., 1:-2]
    yield t[:1].expand(t.shape)
    yield t.repeat_interleave(2, -1)[..., ::2]


@pytest.mark.parametrize("case", PAIRS, ids=str)
def test_layouts(case, isa):
    tensors = make_pairs(case, (9,), 35)
    for k in range(2):
        for moved in layouts(tensors[k].detach()):
            mixed = tuple(moved.requires_grad_() if i == k else t for i, t in enumerate(tensors))
            dense = tuple(t.detach().contiguous().requires_grad_(t.requires_grad) for t in mixed)
            for reduction in REDUCTIONS:
                for a, b in zip(
                    gradients(case.functional, mixed, reduction=reduction),
                    gradients(case.functional, dense, reduction=reduction),
                    strict=True,
                ):
                    assert torch.equal(a, b)


@pytest.mark.parametrize("case", PAIRS, ids=str)
def test_options(case, isa):
    tensors = make_pairs(case, (12,), 20, torch.float64)
    for options in pair_options(12):
        assert fastloss.explain(case.functional, *tensors, **options).path == "kernel"
        ours = gradients(case.functional, tensors, **options)
        wanted = gradients(case.reference, tensors, **options)
        for a, b in zip(ours, wanted, strict=True):
            close(a, b, rtol=1e-6 if a.dtype == torch.float32 else 1e-10, atol=1e-13, equal_nan=True)
        if options["reduction"] != "none":
            loss, stats = case.functional(*tensors, return_stats=True, **options)
            _, expected = case.reference(*(t.detach() for t in tensors), return_stats=True, **options)
            close(loss.detach(), ours[0], equal_nan=True)
            for a, b in zip(stats, expected, strict=True):
                close(a, b, rtol=1e-10, atol=0, check_dtype=False)


@pytest.mark.parametrize("case", PAIRS, ids=str)
def test_masked_rows_are_not_there(case, isa):
    for dtype in DTYPES:
        tensors = make_pairs(case, (30,), 18, dtype)
        mask = torch.rand(30) < 0.5
        broken = tuple(
            torch.where(mask if t.dim() == 1 else mask[:, None], t.detach(), math.nan).requires_grad_(t.requires_grad)
            for t in tensors
        )
        for reduction in REDUCTIONS:
            got = gradients(case.functional, broken, reduction=reduction, mask=mask)
            kept = tuple(t.detach()[mask].requires_grad_(t.requires_grad) for t in tensors)
            wanted = gradients(case.functional, kept, reduction=reduction)
            for a, b in zip(got[1:], wanted[1:], strict=True):
                assert torch.equal(a[mask], b)
                assert a[~mask].count_nonzero() == 0


@pytest.mark.parametrize("path", ["functional", "reference"])
@pytest.mark.parametrize("width", [1, 3, 40, 300])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(("case", "params"), SETTINGS)
def test_rows_beyond_their_squares(case, params, dtype, width, path, isa):
    """Values of every size that the dtype holds, one size a row: loss and gradients are those of float64."""
    sizes = [10.0**k for k in (0, 8, 14, 16, 18, 19, 20, 25, 30, 36, 37.5)]
    vectors = [t.detach() for t in make_pairs(case, (2 * len(sizes),), width, torch.float64)]
    scale = torch.tensor(sizes, dtype=torch.float64).repeat_interleave(2)[:, None]
    tensors = tuple(
        (t * scale / t.abs().max()).to(dtype).requires_grad_() if t.dim() == 2 else t.to(dtype) for t in vectors
    )
    fn, angles = getattr(case, path), "cosine" in (case.name[:6], params.get("distance"))
    weight = torch.linspace(0.5, 2, 2 * len(sizes))  # also sends the reference past PyTorch's function
    for options in (dict(reduction="none"), dict(reduction="mean", normalizer=1e6)):
        wide = tuple(t.detach().double().requires_grad_(t.requires_grad) for t in tensors)
        wanted = gradients(case.reference, wide, weight=weight.double(), **params, **options)
        for kind in (torch.float32, dtype):
            found = gradients(fn, tensors, weight=weight, loss_dtype=kind, **params, **options)
            for k, (a, b) in enumerate(zip(found, wanted, strict=True)):
                b = b.to(a.dtype).double()  # an overflow is one of the result
                rows = b.abs().amax(-1, keepdim=True) if k else b.abs()
                if angles or not case.labelled:  # where two terms of about these sizes cancel
                    length = wide[max(k - 1, 0)].detach().norm(dim=-1)
                    size = 1 / length[:, None] if k and angles else 1.0 if k else torch.ones(()) if angles else length
                    size = size.sum() if not k and options["reduction"] == "mean" else size
                    rows = rows + 2 * size / options.get("normalizer", 1.0)
                rtol = 4 * (8 + 2 * width**0.5) * UNIT[torch.float32] + 2 * UNIT[a.dtype]
                flushed = 2.0**-126 if (isa, a.dtype) == ("avx512_bf16", torch.bfloat16) else UNDERFLOW[a.dtype]
                near = (a.double() - b).abs() <= rtol * rows + 4 * flushed
                assert (near | (a.double() == b)).all(), (options, kind, k)


@pytest.mark.parametrize("case", PAIRS, ids=str)
def test_upstream_retained_graph_and_second_derivatives(case, isa):
    for dtype in DTYPES:
        tensors = make_pairs(case, (11,), 40, dtype)
        leaves = [t for t in tensors if t.requires_grad]
        for reduction in REDUCTIONS:
            loss = case.functional(*tensors, reduction=reduction, loss_dtype=torch.float64)
            for upstream in (1.0, 1.0, 0.0, -2.5, 65536.0):
                grads = torch.autograd.grad(
                    loss.sum(), leaves, torch.tensor(upstream, dtype=loss.dtype), retain_graph=True
                )
                for a, w in zip(grads, exact(case, tensors, upstream, reduction=reduction)[1:], strict=True):
                    check(a, w, dtype, scale=max(1.0, abs(upstream)))
    for params in case.params:
        tensors = make_pairs(case, (5,), 6, torch.float64)
        leaves = [t for t in tensors if t.requires_grad]
        second = []
        for fn in (case.functional, case.native):
            first = torch.autograd.grad(fn(*tensors, **params), leaves, create_graph=True)
            second.append(torch.autograd.grad(sum(g.square().sum() for g in first), leaves))
        close(*second)


@pytest.mark.parametrize("case", PAIRS, ids=str)
def test_threads(case, isa):
    tensors = make_pairs(case, (700,), 129)
    results = []
    for threads in (1, 2, 3, 2):
        torch.set_num_threads(threads)
        results.append(gradients(case.functional, tensors, reduction="mean"))
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize("case", PAIRS, ids=str)
def test_opcheck_compile_and_fake(case):
    from test_torch import OPERATORS, recorded_calls

    seen = set()
    for dtype, reduction in ((torch.float32, "mean"), (torch.bfloat16, "none"), (torch.float16, "sum")):
        tensors = make_pairs(case, (6,), 9, dtype)

        def call(tensors=tensors, reduction=reduction):
            case.functional(*tensors, reduction=reduction, return_stats=True)[0].sum().mul(3).backward()

        for op, args, kwargs in recorded_calls(call):
            seen.add(op._schema.name.removeprefix("fastloss::"))
            torch.library.opcheck(op, tuple(args), kwargs)
        compiled = torch.compile(case.functional, fullgraph=True, backend="aot_eager")
        for a, b in zip(
            gradients(compiled, tensors, reduction=reduction), gradients(case.functional, tensors, reduction=reduction),
            strict=True,
        ):  # fmt: skip
            close(a, b)
        torch.compiler.reset()
    assert {case.name + suffix for suffix in OPERATORS} <= seen


@pytest.mark.parametrize("case", [c for c in PAIRS if c.native_module], ids=str)
def test_pytorchs_samples_and_errors(case, torch_tables):
    operators, modules = torch_tables
    info = info_of(operators, lambda entry: entry.name == f"nn.functional.{case.name}")
    count = 0
    for dtype in (torch.float64, torch.float32):
        for sample in info.reference_inputs("cpu", dtype, requires_grad=True):
            args = (sample.input, *sample.args)
            same_outcome(*(outcome(fn, args, sample.kwargs) for fn in (case.functional, case.native)), sample)
            count += 1
    for error in info.error_inputs("cpu") if info.error_inputs_func else ():
        sample = error.sample_input
        args = (sample.input, *sample.args)
        ours, native = (outcome(fn, args, sample.kwargs) for fn in (case.functional, case.native))
        assert isinstance(native, type)
        assert ours is native, sample
    for info in (entry for entry in modules if entry.module_cls is case.native_module):
        for sample in info.module_inputs_func(info, "cpu", torch.float64, requires_grad=True, training=True):
            made, called = sample.constructor_input, sample.forward_input
            criteria = (m(*made.args, **made.kwargs) for m in (case.module, case.native_module))
            same_outcome(*(outcome(c, called.args, called.kwargs) for c in criteria), sample)
    assert count >= 12


@pytest.mark.parametrize("case", PAIRS, ids=str)
def test_module_and_transforms(case):
    tensors = make_pairs(case, (6,), 5)
    criterion = case.module(margin=0.4, reduction="sum")
    close(criterion(*tensors), case.native(*tensors, margin=0.4, reduction="sum"))
    if case.native_module:
        assert isinstance(criterion, case.native_module)
        assert repr(case.module()) == repr(case.native_module())
    detached = tuple(t.detach() for t in tensors)
    for transform in (torch.func.grad, lambda f: torch.func.jvp(f, detached[:1], detached[:1])[1]):
        results = []
        for fn in (case.functional, case.native):
            made = transform(lambda x, fn=fn: fn(x, *detached[1:]))
            results.append(made(detached[0]) if callable(made) else made)
        close(*results)
    learned = torch.tensor(0.4, requires_grad=True)
    case.functional(*detached, margin=learned).backward()
    assert learned.grad.isfinite()


def test_every_loss_has_a_case():
    assert {c.name for c in PAIRS} == {name for name, _ in _ops.extension().pairs_losses()}
    assert F.triplet_margin_loss  # other norms are PyTorch's
    tensors = make_pairs(PAIRS[-1], (4,), 5)
    assert fastloss.explain(fastloss.functional.triplet_margin_loss, *tensors, p=1).path == "reference"
