"""Which calls the gate of tiny calls (csrc/module.cpp) sends to PyTorch's own operator, and that it sees no others."""

from contextlib import nullcontext

import pytest
import torch

import fastloss
from fastloss._core import operators as _ops
from fastloss.engines import softmax

pytestmark = pytest.mark.skipif(not _ops.AVAILABLE, reason="the extension is not built")

X, Y = torch.randn(6, 5), torch.arange(6) % 5


class Subclass(torch.Tensor):
    pass


TABLE = {
    "plain": (X, Y, -100, True),
    "a parameter": (torch.nn.Parameter(X), Y, -100, True),
    "probabilities": (X, X.softmax(1), -100, True),
    "half probabilities": (X, X.softmax(1).bfloat16(), -100, True),
    "columns of logits": (X.t().contiguous().t(), Y, -100, True),
    "the largest": (torch.zeros(softmax.TINY // 4, 4), torch.zeros(softmax.TINY // 4, dtype=torch.int64), -100, True),
    "too large": (torch.zeros(1 + softmax.TINY // 4, 4), torch.zeros(641, dtype=torch.int64), -100, False),
    "wide rows": (torch.zeros(1 + softmax.TINY // 16, 16), torch.zeros(161, dtype=torch.int64), -100, True),
    "wide and too large": (torch.zeros(4481, 16), torch.zeros(4481, dtype=torch.int64), -100, False),
    "wide pixels": (torch.zeros(1, 16, 161), torch.zeros(1, 161, dtype=torch.int64), -100, False),
    "an ignored row": (X, Y, 4, False),
    "no such row": (X, Y, 5, True),
    "an ignored row, strided": (X, torch.stack([Y, Y], 1)[:, 0], 4, False),
    "no number": (X, Y, 4.0, False),
    "a large number": (X, Y, 2**70, False),
    "int32 classes": (X, Y.int(), -100, False),
    "uint8 classes": (X, Y.byte(), -100, False),
    "a subclass": (X.as_subclass(Subclass), Y, -100, False),
    "a subclass as target": (X, Y.as_subclass(Subclass), -100, False),
    "meta": (X.to("meta"), Y.to("meta"), -100, False),
    "sparse": (X.to_sparse(), Y, -100, False),
    "no tensor": (X.tolist(), Y, -100, False),
    "no target": (X, None, -100, False),
    "one row": (X[0], Y[0], -100, True),
    "an ignored single row": (X[0], Y[0], 0, False),
    "no rows": (X[:0], Y[:0], -100, True),
}


@pytest.mark.parametrize("name", TABLE)
def test_gate(name):
    input, target, ignore_index, tiny = TABLE[name]
    assert softmax.is_tiny(input, target, ignore_index, softmax.TINY) is tiny
    if tiny:
        assert fastloss.explain(fastloss.functional.cross_entropy, input, target, ignore_index=ignore_index).path == (
            "native"
        )


@pytest.mark.parametrize("transform", [torch.func.vmap, torch.func.grad], ids=lambda f: f.__name__)
def test_gate_under_transforms(transform):
    """A wrapped tensor may have no memory of its own; the call is right whatever the gate answers."""
    x = torch.randn(3, 6, 5)
    loss = lambda x: fastloss.functional.cross_entropy(x, Y)  # noqa: E731
    native = lambda x: torch.nn.functional.cross_entropy(x, Y)  # noqa: E731
    given = x if transform is torch.func.vmap else x[0]
    torch.testing.assert_close(transform(loss)(given), transform(native)(given))


def test_gate_refuses_other_arguments():
    with pytest.raises(TypeError, match="is_tiny: expected input, target, ignore_index and a count"):
        softmax.is_tiny(X, Y)
    with pytest.raises(TypeError):
        softmax.is_tiny(X, Y, -100, "many")


@pytest.mark.parametrize("context", [nullcontext, torch.no_grad, torch.inference_mode], ids=lambda c: c.__name__)
def test_gate_keeps_references(context):
    """The table describes a tensor without owning it: nothing is freed early, and nothing stays."""
    import sys

    x, y = torch.randn(6, 5), torch.arange(6) % 5
    before = sys.getrefcount(x), sys.getrefcount(y)
    with context():
        for _ in range(100):
            softmax.is_tiny(x, y, -100, 100)
            softmax.is_tiny(x.to("meta"), y, -100, 100)
    assert (sys.getrefcount(x), sys.getrefcount(y)) == before
