"""Every way logits may lie in memory, and every size around the vector widths."""

import math

import cases
import pytest
import torch
from cases import DTYPES, REDUCTIONS, SOFTMAX, of
from torch.utils._python_dispatch import TorchDispatchMode

import fastloss
from fastloss._core import operators as _ops


def lay(x, how):
    """The values of ``x`` in another layout."""
    if how == "contiguous":
        return x.contiguous()
    if how == "classes last":
        return x.movedim(1, -1).contiguous().movedim(-1, 1)
    if how == "channels_last":
        return x.contiguous(memory_format=torch.channels_last)
    if how == "batch last":
        return x.movedim(0, -1).contiguous().movedim(-1, 0)
    if how == "sliced batch":
        return x.repeat_interleave(3, 0)[1::3]
    if how == "cropped":
        wide = torch.nn.functional.pad(x, (2, 3), value=float("nan"))
        return wide[..., 2:-3]
    if how == "strided classes":
        return x.repeat_interleave(2, 1)[:, ::2]
    if how == "strided pixels":
        return x.repeat_interleave(3, -1)[..., ::3]
    if how == "expanded batch":
        return x[:1].expand_as(x)
    if how == "expanded classes":
        return x[:, :1].expand_as(x)
    if how.startswith("offset"):
        offset = int(how.split()[1])
        return torch.cat([x.new_full((offset,), float("nan")), x.reshape(-1)])[offset:].view(x.shape)
    raise AssertionError(how)


TWO = (
    "contiguous",
    "batch last",
    "sliced batch",
    "cropped",
    "strided classes",
    "expanded batch",
    "expanded classes",
)
TWO += ("offset 1", "offset 3", "offset 7")
MORE = (*TWO, "classes last", "strided pixels")
LAYOUTS = [
    *[((9, 37), how) for how in TWO],
    *[((4, 7, 13), how) for how in MORE],
    *[((3, 21, 5, 9), how) for how in (*MORE, "channels_last")],
    *[((2, 5, 3, 4, 6), how) for how in MORE],
]


def check(case, x, target, **options):
    for reduction in REDUCTIONS:
        loss, grad = cases.run(case.functional, x, target, reduction=reduction, **options)
        wanted_loss, wanted_grad = cases.exact_rows(case, x, target, reduction=reduction, **options)
        assert grad.shape == x.shape
        rows = max(1, x.numel() // cases.classes_of(tuple(x.shape)))
        cases.check_loss(loss, wanted_loss, x, scale=case.enlarges({}) * (rows if reduction == "sum" else 1.0))
        cases.check_grad(grad, wanted_grad, x, cases.cancelling(target, reduction))


def on_kernel(case, isa, *args, **options):
    return isa == "none" or fastloss.explain(case.functional, *args, **options).path == "kernel"


@pytest.mark.parametrize("kind", ["index", "probability"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(("shape", "how"), LAYOUTS, ids=lambda v: str(v).replace(" ", ""))
@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_layout(case, shape, how, dtype, kind, isa):
    if isa == "none" and dtype == torch.bfloat16:
        pytest.skip("without kernels half precision is PyTorch's own")
    x, target = cases.make_rows(shape, dtype, kind)
    x = lay(x, how)
    assert on_kernel(case, isa, x, target) or (kind == "probability" and not case.record.probabilities)
    check(case, x, target)


@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_target_weight_and_mask_layouts(case, isa):
    """Strides of the smaller arguments are free too."""
    x, index = cases.make_rows((6, 7, 5), torch.float32)
    _, soft = cases.make_rows((6, 7, 5), torch.float32, "probability")
    weight = torch.rand(14)[::2]
    mask = (torch.rand(5, 6) < 0.7).t()
    strided = index.t().contiguous().t()
    expanded = index[:1].expand(6, 5)
    for target in (index, strided, expanded, soft, lay(soft, "classes last"), lay(soft, "expanded batch")):
        loss, grad = cases.run(case.functional, x, target, weight=weight, mask=mask)
        wanted_loss, wanted_grad = cases.exact_rows(case, x, target, weight=weight, mask=mask)
        cases.check_loss(loss, wanted_loss, x, case.enlarges({}))
        cases.check_grad(grad, wanted_grad, x, cases.cancelling(target, "mean"))


@pytest.mark.parametrize("upstream", [1.0, -2.5])
@pytest.mark.parametrize(
    "how", ["classes last", "batch last", "sliced batch", "channels_last", "offset 1", "cropped", "strided classes"]
)
@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_inplace_layout(case, how, upstream, isa):
    """In place the gradient takes exactly the logits' places: what lies between them stays."""
    x, target = cases.make_rows((3, 21, 5, 8), torch.float32)
    _, wanted = cases.exact_rows(case, x, target, upstream)
    leaf = torch.zeros_like(x).requires_grad_()
    base = torch.full((40_000,), 7.0)
    view = lay(x, how)
    holder = base.as_strided(view.size(), view.stride(), 100)
    holder.copy_(view)
    before = base.clone()
    with torch.no_grad():
        inside = torch.zeros(40_000, dtype=torch.bool)
        inside.as_strided(view.size(), view.stride(), 100).fill_(True)
    logits = torch.empty(0).set_(base.untyped_storage(), 100, view.size(), view.stride())
    logits = _AsNonLeaf.apply(leaf, logits)
    case.functional(logits, target, inplace=True).backward(torch.tensor(upstream))
    cases.check_grad(leaf.grad, wanted, x)
    assert torch.equal(base[~inside], before[~inside])


@pytest.mark.skipif(not _ops.AVAILABLE, reason="the extension is not built")
def test_operator_scales_whole_memory_only():
    """Its elements are those of one block, in any order; others it refuses, since anybody can call it."""
    x = torch.randn(3, 4, 5)
    for t in (x, x.mT, x.permute(2, 0, 1), x[1:2], x[:, :1, :1][:1], x[:0], x[0, 0, 0]):
        copy = torch.empty_strided(t.size(), t.stride()).copy_(t)
        _ops.scale_(copy, torch.tensor(3.0))
        torch.testing.assert_close(copy, 3 * t)
    before = x.clone()
    for t in (x[:, :, :4], x[:, ::2], x[..., 0], x[:1].expand(3, 4, 5), x.as_strided((2, 2, 2), (1, 1, 5))):
        with pytest.raises(RuntimeError, match="without gaps"):
            _ops.scale_(t, torch.tensor(3.0))
    assert torch.equal(x, before)


class _AsNonLeaf(torch.autograd.Function):
    @staticmethod
    def forward(ctx, leaf, logits):
        ctx.mark_dirty(logits)
        return logits

    @staticmethod
    def backward(ctx, grad):
        return grad.clone(), None


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_every_class_count(case, dtype, isa):
    if isa == "none" and dtype in cases.HALF:
        pytest.skip("without kernels half precision is PyTorch's own")
    for c in range(1, 71):
        x, target = cases.make_rows((5, c), dtype, seed=c)
        for reduction in ("mean", "none"):
            loss, grad = cases.run(case.functional, x, target, reduction=reduction)
            wanted_loss, wanted_grad = cases.exact_rows(case, x, target, reduction=reduction)
            cases.check_loss(loss, wanted_loss, x, case.enlarges({}))
            cases.check_grad(grad, wanted_grad, x)


@pytest.mark.parametrize("kind", ["index", "probability"])
@pytest.mark.parametrize("c", [1, 2, 5, 19])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16], ids=str)
@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_every_pixel_count(case, dtype, c, kind, isa):
    if isa == "none" and dtype in cases.HALF:
        pytest.skip("without kernels half precision is PyTorch's own")
    for pixels in (*range(1, 36), 47, 48, 49, 63, 64, 65, 127, 128, 129):
        x, target = cases.make_rows((2, c, pixels), dtype, kind, seed=pixels)
        for reduction in ("mean", "none"):
            loss, grad = cases.run(case.functional, x, target, reduction=reduction)
            wanted_loss, wanted_grad = cases.exact_rows(case, x, target, reduction=reduction)
            cases.check_loss(loss, wanted_loss, x, case.enlarges({}))
            cases.check_grad(grad, wanted_grad, x, cases.cancelling(target, reduction))


@pytest.mark.parametrize("kind", ["index", "probability"])
@pytest.mark.parametrize("shape", [(3, 1000), (3, 32000), (2, 262144), (1, 65537), (32000,), (2, 300, 3)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_many_classes(case, dtype, shape, kind, isa):
    if isa == "none" and dtype in cases.HALF:
        pytest.skip("without kernels half precision is PyTorch's own")
    x, target = cases.make_rows(shape, dtype, kind)
    check(case, x, target, label_smoothing=0.1)


# Classes and what follows them; the batch makes up for the rest of 8 MiB. Odd classes begin rows anywhere in a line.
STREAMED = [
    ((19,), {}),
    ((1001,), {}),
    ((1003,), {"label_smoothing": 0.1}),
    ((5003,), {}),
    ((21, 32, 32), {}),
    ((5, 7, 9), {}),
]


@pytest.mark.parametrize("how", ["contiguous", "offset 1"])
@pytest.mark.parametrize(("inner", "options"), STREAMED, ids=lambda v: str(v).replace(" ", ""))
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_large_gradient(dtype, inner, options, how, isa):
    """A gradient of 8 MiB goes past the caches, and has the bits of the same one made in eight parts, which do not."""
    if isa == "none":
        pytest.skip("a promise of the kernels")
    batch = 8 * math.ceil((1 << 20) / dtype.itemsize / math.prod(inner))
    x, target = cases.make_rows((batch, *inner), dtype)
    x = lay(x, how)
    _, grad = cases.run(of("cross_entropy").functional, x, target, reduction="sum", **options)
    assert grad.nbytes >= 8 << 20
    for rows in torch.arange(batch).chunk(8):
        part = slice(int(rows[0]), int(rows[-1]) + 1)
        _, wanted = cases.run(of("cross_entropy").functional, x[part], target[part], reduction="sum", **options)
        assert torch.equal(grad[part], wanted)


@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_last_class_and_first_class_are_targets(case, isa):
    """The target in the first lane, in the last, and in the tail."""
    for c in (1, 2, 15, 16, 17, 33, 67):
        x, _ = cases.make_rows((c, c), torch.float32, seed=c)
        target = torch.arange(c)
        loss, grad = cases.run(case.functional, x, target, reduction="none")
        wanted_loss, wanted_grad = cases.exact_rows(case, x, target, reduction="none")
        cases.check_loss(loss, wanted_loss, x, case.enlarges({}))
        cases.check_grad(grad, wanted_grad, x)


class _Traffic(TorchDispatchMode):
    """Operators of ours that are called, and those of PyTorch that make a tensor as large as the logits."""

    def __init__(self, elements):
        super().__init__()
        self.elements, self.called, self.large = elements, [], []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        name = func.name()
        if name.startswith("fastloss::"):
            self.called.append(name)
        if isinstance(result, torch.Tensor) and not func.is_view and "detach" not in name and not result.is_meta:
            self.large += [name] * (result.numel() >= self.elements)
        return result


@pytest.mark.skipif(not _ops.AVAILABLE, reason="the extension is not built")
@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_a_transposed_view_costs_what_the_flat_one_does(case):
    """The same operators, and nothing of the logits' size but the gradient from the pool, which lies as they do."""
    x, target = torch.randn(4, 64, 400), torch.randint(400, (4, 64))
    traffic = {}
    for how, see in {"flat": lambda x: x.flatten(0, 1), "transposed": lambda x: x.transpose(1, 2)}.items():
        leaf = x.clone().requires_grad_()
        with _Traffic(x.numel()) as seen:
            case.functional(see(leaf), target.flatten() if how == "flat" else target).backward()
        traffic[how] = seen.called
        assert not seen.large
        assert leaf.grad.is_contiguous()
    assert traffic["flat"] == traffic["transposed"]
