"""What only losses of vectors compared row by row have: kinks, conventions, rows beyond their squares."""

import itertools
import math

import cases
import pytest
import torch
import torch.nn.functional as F
from cases import (
    PRODUCTS,
    UNDERFLOW,
    UNIT,
    gradients,
    settings,
)

import fastloss
from fastloss._core._torch import CLAMPS_ALIKE

close = torch.testing.assert_close
OF_ANY_NUMBERS = [case for case in PRODUCTS if not case.record.holds.keys() - {case.record.label}]
SETTINGS = settings(OF_ANY_NUMBERS)


@pytest.fixture(autouse=True)
def _kernel(kernel):
    pass


@pytest.mark.parametrize("case", OF_ANY_NUMBERS, ids=str)
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
        native = gradients(
            case.native if case.drop_in and CLAMPS_ALIKE else case.reference, tensors, reduction="none", **params
        )
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
    a, b, label = (t.detach() for t in cases.of("contrastive_loss").tensors((40, 7), torch.float64))
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
    a, b, label = (t.detach() for t in cases.of("contrastive_loss").tensors((4, 7)))
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


@pytest.mark.parametrize("path", ["functional", "reference"])
@pytest.mark.parametrize("width", [1, 3, 40, 300])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(("case", "params"), SETTINGS)
def test_rows_beyond_their_squares(case, params, dtype, width, path, isa):
    """Values of every size that the dtype holds, one size a row: loss and gradients are those of float64."""
    sizes = [10.0**k for k in (0, 8, 14, 16, 18, 19, 20, 25, 30, 36, 37.5)]
    vectors = [t.detach() for t in case.tensors((2 * len(sizes), width), torch.float64)]
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


def test_other_norms_are_pytorchs():
    tensors = cases.of("triplet_margin_loss").tensors((4, 5))
    assert fastloss.explain(fastloss.functional.triplet_margin_loss, *tensors, p=1).path == "reference"
