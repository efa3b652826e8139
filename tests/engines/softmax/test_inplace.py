"""Other uses of logits that inplace=True writes over: backward is right, or raises."""

import cases
import pytest
import torch
from cases import SOFTMAX

from fastloss._core import operators as _ops

pytestmark = pytest.mark.skipif(not _ops.AVAILABLE, reason="inplace=True has no effect without the extension")
SHAPE = (2000, 50)  # too large for the native operator


# Scores of the logits w, to be added to a loss of x: what is differentiated besides the loss.
USES = {
    "square": lambda w: w.square().mean(),
    "mean": lambda w: w.mean(),
    "logsumexp": lambda w: w.logsumexp(1).mean(),
    "one column": lambda w: w[:, 0].exp().sum(),
    "view": lambda w: w.view(-1, 25).tanh().sum(),
}
# How the loss sees logits.
WAYS = {
    "itself": lambda w: w,
    "view": lambda w: w.view(20, 100, 50).flatten(0, 1),
    "unsqueezed": lambda w: w.unsqueeze(0).squeeze(0),
    "transposed twice": lambda w: w.t().t(),
}
every_case = pytest.mark.parametrize("case", SOFTMAX, ids=str)


def gradient(loss_of, inplace):
    leaf, target = cases.make_rows(SHAPE)
    leaf.requires_grad_()
    loss_of(leaf * 1.0, target, inplace).backward()
    return leaf.grad


@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("use", USES)
@every_case
def test_differentiated_uses_raise(case, use, way, order):
    def loss_of(w, target, inplace):
        if order == "before":
            other = USES[use](w)
            return other + case.functional(WAYS[way](w), target, inplace=inplace)
        loss = case.functional(WAYS[way](w), target, inplace=inplace)
        return loss + USES[use](w)

    gradient(loss_of, False)
    with pytest.raises(RuntimeError, match="inplace"):
        gradient(loss_of, True)


@pytest.mark.parametrize("upstream", [1.0, 3.0, 1 / 3])
@pytest.mark.parametrize("way", WAYS)
@every_case
def test_a_single_use_is_right(case, way, upstream):
    def loss_of(w, target, inplace):
        return upstream * case.functional(WAYS[way](w), target, inplace=inplace)

    torch.testing.assert_close(gradient(loss_of, True), gradient(loss_of, False))


def hooked(w):
    w.register_hook(lambda g: 2 * g)
    return w


SINGLE = {
    "a hook of the user's": hooked,
    "retained gradient": lambda w: (w.retain_grad(), w)[1],
    "a part of it": lambda w: w[10:],
    "pixels": lambda w: w.view(20, 100, 50).transpose(1, 2),
    "a view of another stride": lambda w: w.as_strided(SHAPE, (50, 1)),
}


@pytest.mark.parametrize("what", SINGLE)
@every_case
def test_nothing_is_refused_without_another_use(case, what):
    def loss_of(w, target, inplace):
        logits = SINGLE[what](w)
        rows = cases.rows_of(tuple(logits.shape))
        target = target.view(rows) if len(rows) > 1 else target[: rows[0]]
        return case.functional(logits, target, inplace=inplace)

    torch.testing.assert_close(gradient(loss_of, True), gradient(loss_of, False))


PARTS = {
    "rows": lambda w: w[10:],
    "one of two views": lambda w: w.split(1500)[0],
    "rows of samples": lambda w: w.view(20, 100, 50)[1:].flatten(0, 1),
}


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("use", USES)
@every_case
def test_uses_of_a_part_after_the_call_raise(case, use, part):
    def loss_of(w, target, inplace):
        logits = PARTS[part](w)
        loss = case.functional(logits, target[: len(logits)], inplace=inplace)
        return loss + USES[use](logits)

    gradient(loss_of, False)
    with pytest.raises(RuntimeError, match=r"inplace|views"):
        gradient(loss_of, True)


@pytest.mark.parametrize("view", {**WAYS, **PARTS})
@every_case
def test_a_leaf_keeps_its_numbers(case, view):
    leaf, target = cases.make_rows(SHAPE)
    leaf.requires_grad_()
    before = leaf.detach().clone()
    logits = {**WAYS, **PARTS}[view](leaf)
    with pytest.raises(RuntimeError, match="leaf"):
        case.functional(logits, target[: len(logits)], inplace=True)
    assert torch.equal(leaf.detach(), before)


@every_case
def test_twice(case):
    """Two losses over the same logits: the second one would read the first one's gradient."""

    def loss_of(w, target, inplace):
        return case.functional(w, target, inplace=inplace) + case.functional(w, target, inplace=inplace)

    with pytest.raises(RuntimeError, match="inplace"):
        gradient(loss_of, True)
