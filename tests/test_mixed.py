"""Tensors of several dtypes in one call: kernels make of them what they make of copies of the computing type.

test_cuda_operators.py runs this file on the CUDA kernels.
"""

import contextlib
import itertools
import os

import pytest
import torch
from cases import ELEMENTS, PRODUCTS, REDUCTIONS, SOFTMAX, UNDERFLOW, UNIT, make_rows

import fastloss
from fastloss._core import operators as _ops

pytestmark = [
    pytest.mark.skipif(not _ops.AVAILABLE, reason="compares kernels with themselves"),
    pytest.mark.filterwarnings("ignore:reduction. 'mean' divides"),
]

ON_CUDA = "FASTLOSS_EMULATED_CUDA" in os.environ
B, H, S, D = torch.bfloat16, torch.float16, torch.float32, torch.float64
FLOATS = list(itertools.permutations((B, H, S, D), 2))
INTEGERS = list(
    zip((B, H, S, D, B, S), (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64), strict=True)
)


def autocasts(isa):
    """Without and with; the dtypes that it brings do not depend on the instruction set."""
    return (None, B) if isa == fastloss.isa.available()[0] else (None,)


@pytest.fixture(autouse=True)
def _kernel(kernel):
    pass


def of_dtypes(tensors, dtypes):
    """Copies of these dtypes, of integers without a gradient."""
    made = []
    for t, dtype in zip(tensors, dtypes, strict=True):
        plain = t.detach() if dtype.is_floating_point else t.detach().round()
        made.append(plain.to(dtype).requires_grad_(t.requires_grad and dtype.is_floating_point))
    return made


def mean_square_mixes():
    """Whether PyTorch differentiates a mean square of two dtypes; 2.10 does not."""
    x, y = torch.ones(2, requires_grad=True), torch.ones(2, dtype=D)
    try:
        torch.nn.functional.mse_loss(x, y).backward()
    except RuntimeError:
        return False
    return True


MEAN_SQUARE_MIXES = mean_square_mixes()


def outcome(fn, tensors, autocast, **options):
    """Loss and gradients, or the type of the error."""
    leaves = [t.detach().requires_grad_(t.requires_grad) for t in tensors]
    with contextlib.nullcontext() if autocast is None else torch.autocast("cpu", autocast):
        try:
            loss = fn(*leaves, **options)
            loss.sum().backward()
        except Exception as error:  # ours is to be of the same type
            return type(error)
    return [loss.detach(), *(t.grad for t in leaves if t.requires_grad)]


def check(case, tensors, autocast, rejected="", **options):
    """The kernel takes what PyTorch takes, save what is ``rejected``, which goes to the reference; same dtypes, and
    values of the same kernel on copies."""
    what = f"{case} {[t.dtype for t in tensors]} autocast {autocast} {options}"
    expected = outcome(case.reference, tensors, autocast, **options)
    actual = outcome(case.functional, tensors, autocast, **options)
    with contextlib.nullcontext() if autocast is None else torch.autocast("cpu", autocast):
        path = fastloss.explain(case.functional, *tensors, **options).path
    if case.name == "mse_loss" and not MEAN_SQUARE_MIXES and isinstance(expected, type):
        assert not isinstance(actual, type), what  # ours does
        return
    if isinstance(expected, type):
        assert actual is expected, what
        assert path == "reference", what
        return
    assert not isinstance(actual, type), what
    assert [t.dtype for t in actual] == [t.dtype for t in expected], what
    assert path == ("reference" if rejected else "kernel"), what
    if rejected:
        return
    floating = {k: v for k, v in options.items() if isinstance(v, torch.Tensor) and v.is_floating_point()}
    counting = tensors[:2] if case in PRODUCTS and case.labelled else (*tensors, *floating.values())
    compute = D if any(t.dtype == D for t in counting) else S
    copies = [t.detach().to(compute) for t in tensors]
    # On CUDA a thread has more elements of half rows and adds them in another order; rows of several dtypes are added
    # as rows off 16 bytes.
    several = len({t.dtype for t in counting}) > 1
    same_order = not ON_CUDA or case in ELEMENTS or (case in PRODUCTS and several)
    if case in PRODUCTS and several:
        copies = [torch.nn.functional.pad(t, (0, 1))[:, :-1] if t.dim() > 1 else t for t in copies]
    copies = [a.requires_grad_(t.requires_grad) for a, t in zip(copies, tensors, strict=True)]
    copied = {**options, **{k: v.to(compute) for k, v in floating.items()}}
    if case in ELEMENTS and "mask" not in options:  # the loop of dense float tensors may contract other products
        shape = tensors[0].shape[:-1] if case.record.along else tensors[0].shape
        copied["mask"] = torch.ones(shape, dtype=torch.bool)
    same = outcome(case.functional, copies, None, **copied)
    for a, b in zip(actual, same, strict=True):
        if same_order:
            assert torch.equal(a, b.to(a.dtype)), what
        else:
            near = 16 * UNIT[compute] * b.abs().max() + UNIT[a.dtype] * b.abs() + UNDERFLOW[a.dtype]
            assert ((a.to(compute) - b).abs() <= near).all(), what


@pytest.mark.parametrize("case", ELEMENTS, ids=str)
def test_elements_of_any_dtypes(case, isa):
    tensors = case.tensors((7, 150), D)
    rest = case.arity - 1
    for (first, other), autocast in itertools.product(FLOATS + INTEGERS, autocasts(isa)):
        # (With full=True PyTorch refuses bool.)
        rejected = "bool counts" if case.name == "poisson_nll_loss" and other == torch.bool else ""
        for position in range(rest):
            dtypes = [first] + [other if k == position else first for k in range(rest)]
            check(case, of_dtypes(tensors, dtypes), autocast, rejected, **case.params[0])
        for reduction in REDUCTIONS:
            check(
                case,
                of_dtypes(tensors, [first] + [other] * rest),
                autocast,
                rejected,
                reduction=reduction,
                **case.params[-1],
            )


@pytest.mark.parametrize("case", ELEMENTS, ids=str)
def test_weights_and_masks_beside_other_dtypes(case, isa):
    tensors, shape = case.tensors((7, 150), D), (7, 150)
    weight, mask = torch.rand(shape) + 0.1, torch.rand(shape) < 0.6
    for (first, other), autocast in itertools.product(((B, S), (S, B), (H, D), (D, H)), autocasts(isa)):
        same = of_dtypes(tensors, [first] * case.arity)
        check(case, same, autocast, weight=weight.to(other))
        check(case, same, autocast, weight=weight.to(other), mask=mask)
        check(case, of_dtypes(tensors, [first] + [other] * (case.arity - 1)), autocast, weight=weight.to(first))


@pytest.mark.parametrize("case", ELEMENTS, ids=str)
def test_layouts_of_other_dtypes(case, isa):
    for (first, other), shape in itertools.product(((B, S), (S, H), (S, D), (B, torch.int16)), ((6, 600), (600, 6))):
        tensors = of_dtypes(case.tensors(shape, D), [first] + [other] * (case.arity - 1))
        laid = [
            t.detach().transpose(0, 1).contiguous().transpose(0, 1) if k else t.detach()[:, ::2]
            for k, t in enumerate(tensors)
        ]
        laid[1:] = [t[:, ::2] for t in laid[1:]]
        laid = [a.requires_grad_(t.requires_grad) for a, t in zip(laid, tensors, strict=True)]
        check(case, laid, B)


@pytest.mark.parametrize("width", [5, 64, 5000])
@pytest.mark.parametrize("case", PRODUCTS, ids=str)
def test_vectors_of_any_dtypes(case, width, isa):
    tensors = case.tensors((9, width), D)
    for (first, other), autocast in itertools.product(FLOATS, autocasts(isa)):
        for dtypes in ((first, other, first), (first, first, other), (first, other, other)):
            for params, reduction in zip(case.params, itertools.cycle(REDUCTIONS)):
                check(case, of_dtypes(tensors, dtypes[: len(tensors)]), autocast, reduction=reduction, **params)
    if case.labelled:
        check(case, of_dtypes(tensors, (B, S, torch.int64)), B, mask=torch.arange(9) % 3 > 0)


# Lanes over the classes in one chunk and several, and over the rows, adjacent or not.
@pytest.mark.parametrize("shape", [(7,), (5, 300), (3, 9000), (70, 9), (2, 40, 3, 5)], ids=str)
@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_probabilities_of_any_dtype(case, shape, isa):
    logits, target = make_rows(shape, D, "probabilities")
    tensors = logits.requires_grad_(), target.requires_grad_()
    weight = torch.rand(shape[0] if len(shape) == 1 else shape[1], dtype=D) + 0.1
    for (first, other), autocast in itertools.product(FLOATS, autocasts(isa)):
        mixed = of_dtypes(tensors, (first, other))
        rejected = "wider than the logits" if other == D else ""
        rejected = rejected if case.record.probabilities else "no kernel for probabilities"
        for reduction in REDUCTIONS:
            check(case, mixed, autocast, rejected, reduction=reduction)
        check(case, mixed, autocast, rejected, weight=weight.to(first), label_smoothing=0.1)
        check(case, of_dtypes(tensors, (first, first)), autocast, rejected, weight=weight.to(other))


def test_statistics_of_probabilities_of_another_dtype(isa):
    for shape in ((5, 300), (70, 9)):
        x, t = make_rows(shape, S, "probabilities")
        for first, other in itertools.permutations((B, H, S), 2):
            a, b = x.to(first), t.to(other)
            wide = fastloss.functional.cross_entropy(a.float(), b.float(), return_stats=True)
            ours = fastloss.functional.cross_entropy(a, b, return_stats=True, loss_dtype=S)
            torch.testing.assert_close(ours, wide, rtol=1e-6, atol=0)


@pytest.mark.parametrize("case", [*ELEMENTS, *PRODUCTS], ids=str)
@pytest.mark.parametrize("dtype", [B, H, S, D], ids=str)
def test_dtype_under_autocast(case, dtype):
    tensors = case.tensors((6, 5), dtype)
    check(case, tensors, B)


@pytest.mark.parametrize("case", [*ELEMENTS, *PRODUCTS], ids=str)
def test_second_derivatives_of_mixed_dtypes(case):
    tensors = case.tensors((6, 3), D)
    tensors = of_dtypes(tensors, [S] + [D] * (len(tensors) - 1))
    with torch.no_grad():
        explained = fastloss.explain(case.functional, *tensors)
    if explained.path != "kernel" or (case.name == "mse_loss" and not MEAN_SQUARE_MIXES):
        return
    found = []
    for fn in (case.functional, case.reference):
        found += torch.autograd.grad(fn(*tensors).sum(), tensors[0], create_graph=True)
        assert found[-1].dtype == S
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["sigmoid_focal_loss", "mse_loss", "triplet_margin_loss", "cross_entropy"])
def test_compiled(name):
    fn = getattr(fastloss.functional, name)
    x = torch.randn(20, 30, dtype=B, requires_grad=True)
    y = torch.rand(20, 30, requires_grad=name != "sigmoid_focal_loss")
    y = y.detach().softmax(1).requires_grad_() if name == "cross_entropy" else y
    more = (torch.randn(20, 30, requires_grad=True),) if name == "triplet_margin_loss" else ()

    def step(*tensors):
        with torch.autocast("cpu", B):
            return fn(*tensors, reduction="mean")

    torch._dynamo.reset()
    leaves = [t for t in (x, y, *more) if t.requires_grad]
    eager = step(x, y, *more)
    traced = torch.compile(step, fullgraph=True, backend="aot_eager")(x, y, *more)
    assert torch.equal(eager, traced)
    for a, b in zip(torch.autograd.grad(eager, leaves), torch.autograd.grad(traced, leaves), strict=True):
        assert a.dtype == b.dtype
        assert torch.equal(a, b)
