"""What only losses of boxes have: edges that tie, boxes without area or turned inside out, torchvision's names."""

import itertools
import math

import cases
import pytest
import torch
from cases import DTYPES, REDUCTIONS, UNIT, gradients

import fastloss
from fastloss._core import operators as _ops
from fastloss.losses.detection import box_iou_loss

KINDS, FORMATS = box_iou_loss.record.words["kind"], box_iou_loss.record.words["format"]
CASE = cases.of("box_iou_loss")
f, reference = fastloss.functional.box_iou_loss, fastloss.reference.box_iou_loss
close = torch.testing.assert_close


def every_box(dtype):
    """All boxes with edges of 0, 1, 2: points, lines, boxes turned inside out; each against each."""
    boxes = torch.tensor(list(itertools.product(range(3), repeat=4)), dtype=dtype)
    return boxes[:, None].expand(-1, len(boxes), -1).reshape(-1, 4), boxes.repeat(len(boxes), 1)


def in_order(boxes):
    return (boxes[:, 2:] >= boxes[:, :2]).all(1)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("kind", KINDS)
def test_ties_and_boxes_without_area(kind, format, isa, kernel):
    """As the formula, gradients at ties too; finite values, and gradients that eps bounds."""
    for dtype in (torch.float64, torch.float32):
        pair = [t.clone().requires_grad_() for t in every_box(dtype)]
        for eps in (1e-7, 1e-3):
            options = dict(kind=kind, format=format, eps=eps, reduction="none")
            ours, wanted = (gradients(fn, pair, **options) for fn in (f, reference))
            assert all(t.isfinite().all() for t in ours)
            for a, b in zip(ours, wanted, strict=True):
                # A sum of terms as large as 1 / eps may cancel.
                close(a, b, rtol=64 * UNIT[dtype], atol=64 * UNIT[dtype] * max(1.0, float(b.abs().max())))


@pytest.mark.parametrize("kind", KINDS)
def test_eps_may_be_zero(kind, isa, kernel):
    """0 / 0 is 0."""
    pair = [t[in_order(t)].requires_grad_() for t in every_box(torch.float32)]
    pair = [pair[0][: min(map(len, pair))], pair[1][: min(map(len, pair))]]
    for fn in (f, reference):
        loss, *grads = gradients(fn, pair, kind=kind, eps=0, reduction="none")
        assert all(t.isfinite().all() for t in (loss, *grads))
        assert (loss >= 0).all()
    point = torch.ones(1, 4)
    assert f(point, point, kind, eps=0) == 1


def plain(x, y, kind, eps=1e-7):
    """The expression that users write, after torchvision 0.29.1."""
    (x1, y1, x2, y2), (u1, v1, u2, v2) = x.unbind(-1), y.unbind(-1)
    w, h = torch.min(x2, u2) - torch.max(x1, u1), torch.min(y2, v2) - torch.max(y1, v1)
    common = torch.where((w > 0) & (h > 0), w * h, 0)
    union = (x2 - x1) * (y2 - y1) + (u2 - u1) * (v2 - v1) - common
    iou = common / (union + eps)
    cw, ch = torch.max(x2, u2) - torch.min(x1, u1), torch.max(y2, v2) - torch.min(y1, v1)
    if kind == "giou":
        return 1 - iou + (cw * ch - union) / (cw * ch + eps)
    shift = ((x1 + x2) / 2 - (u1 + u2) / 2) ** 2 + ((y1 + y2) / 2 - (v1 + v2) / 2) ** 2
    loss = 1 - iou + shift / (cw**2 + ch**2 + eps)
    if kind == "ciou":
        v = 4 / math.pi**2 * (((u2 - u1) / (v2 - v1)).atan() - ((x2 - x1) / (y2 - y1)).atan()) ** 2
        loss = loss + (v / (1 - iou + v + eps)).detach() * v
    return loss


TORCHVISION = {"generalized": "giou", "distance": "diou", "complete": "ciou"}


@pytest.mark.parametrize("name", TORCHVISION)
def test_as_torchvision(name, isa):
    """Values, gradients, dtypes; errors not above those of the plain expression, on average."""
    kind = TORCHVISION[name]
    for fn in (getattr(room, f"{name}_box_iou_loss") for room in (fastloss.functional, fastloss.reference)):
        boxes = CASE.tensors((20000,), torch.float32)
        exact = gradients(lambda x, y: plain(x.double(), y.double(), kind), boxes)
        ours, native = gradients(fn, boxes), gradients(lambda x, y: plain(x, y, kind), boxes)
        for a, b, w in zip(ours, native, exact, strict=True):
            assert (a - w).abs().mean() <= 1.05 * (b - w).abs().mean()
        for dtype, reduction in itertools.product(DTYPES, REDUCTIONS):
            x, y = (t.to(dtype).detach().requires_grad_() for t in boxes)
            loss = fn(x, y, reduction, 1e-3)
            assert loss.dtype == (dtype if dtype == torch.float64 else torch.float32)
            wanted = plain(x.double(), y.double(), kind, 1e-3)
            wanted = wanted if reduction == "none" else getattr(wanted, reduction)()
            close(loss, wanted.to(loss.dtype), rtol=1e-6, atol=1e-6)
            loss.sum().backward()
            assert x.grad.dtype == y.grad.dtype == dtype
        integers = [(10 * t).long() for t in boxes]
        close(fn(*integers), plain(*(t.float() for t in integers), kind).detach())
        nothing = torch.zeros(0, 4, requires_grad=True)
        assert fn(nothing, nothing).shape == (0,)
        (gradient,) = torch.autograd.grad(fn(nothing, nothing, "mean"), nothing)
        assert gradient.shape == (0, 4)
        assert fn(nothing, nothing, "mean") == fn(nothing, nothing, "sum") == 0
        with pytest.raises(ValueError, match="reduction"):
            fn(*boxes, reduction="median")
        with pytest.raises(ValueError, match="4"):
            fn(torch.ones(3, 5), torch.ones(3, 5))


def test_nothing_is_zero(kernel):
    boxes = CASE.tensors((5,), torch.float32)
    loss, *grads = gradients(f, boxes, mask=torch.zeros(5, dtype=torch.bool))
    assert loss == 0
    assert all(g.count_nonzero() == 0 for g in grads)
    assert f(*boxes, mask=torch.zeros(5, dtype=torch.bool), empty="nan").isnan()
    assert f(torch.zeros(2, 0, 4), torch.zeros(2, 0, 4)) == 0


def test_not_a_number_shows(isa, kernel):
    boxes, target = (t.detach() for t in CASE.tensors((4,), torch.float32))
    for kind, k, which in itertools.product(KINDS, range(4), (0, 1)):
        pair = [boxes.clone(), target.clone()]
        pair[which][k, k] = math.nan
        assert f(*pair, kind, reduction="none").isnan().tolist() == [j == k for j in range(4)]


def test_layouts_of_components(isa, kernel):
    """Planes of coordinates, steps between them, and a component of stride 0."""
    for dtype in DTYPES:
        pair = [t.detach() for t in CASE.tensors((600,), dtype)]
        wanted = gradients(f, [t.clone().requires_grad_() for t in pair], reduction="none")
        for lay in (
            lambda t: t.T.contiguous().T, lambda t: torch.stack((t, t), -1)[..., 0],
            lambda t: torch.cat((t, t), 1)[:, 4:],
        ):  # fmt: skip
            for which in ((True, True), (True, False), (False, True)):
                moved = [lay(t) if move else t for t, move in zip(pair, which, strict=True)]
                got = gradients(f, [t.requires_grad_() for t in moved], reduction="none")
                assert all(torch.equal(a, b) for a, b in zip(got, wanted, strict=True))
        one = torch.tensor([[1.0], [2.0]], dtype=dtype).expand(2, 4)
        close(f(one, one + 1, "ciou", reduction="none"), f(one.clone(), one + 1, "ciou", reduction="none"))


X = torch.rand(6, 4)
BAD = [
    {"input": X[:, :3]}, {"input": X[:, :3], "target": X[:, :3], "grad_input": X[:, :3].clone()}, {"target": X[:5]},
    {"target": X[:, :1]}, {"target": X[0]}, {"input": X[:0]}, {"input": X.long()}, {"weight": X}, {"weight": X[:5, 0]},
    {"mask": torch.ones(6, 4, dtype=torch.bool)}, {"mask": torch.ones(5, dtype=torch.bool)}, {"mask": X[:, 0]},
    {"grad_input": X}, {"grad_input": torch.empty(6, 3)}, {"grad_input": torch.empty(6, 1).expand(6, 4)},
    {"grad_input": torch.empty(6, 4).double()}, {"stats": torch.empty(3).double()}, {"numbers": [0.0] * 2},
    {"input": torch.tensor(1.0), "target": torch.tensor(1.0), "grad_input": torch.tensor(1.0)},
]  # fmt: skip


@pytest.mark.skipif(not _ops.AVAILABLE, reason="without the extension there are no operators")
@pytest.mark.parametrize("changed", BAD, ids="-".join)
def test_the_operator_refuses(changed):
    arguments = {
        "input": X, "target": X.flip(0), "weight": torch.ones(6), "mask": torch.ones(6, dtype=torch.bool),
        "divisor": None, "numbers": [1.0, 0.0, 1e-7], "reduction": 1, "empty_zero": False, "loss_dtype": 6,
        "state": None, "stats": None, "grad_input": torch.empty(6, 4), "grad_target": None,
    }  # fmt: skip
    forward = _ops.OPERATORS["box_iou_loss"].forward
    forward(*arguments.values())
    with pytest.raises(RuntimeError):
        forward(*{**arguments, **changed}.values())


def test_refusals():
    boxes = torch.ones(3, 4)
    for arguments, options in (
        ((boxes, boxes, "oiu"), {}), ((boxes, boxes, 1), {}), ((boxes, boxes), dict(kind=1)),
        ((boxes, boxes), dict(format="yxyx")), ((boxes, boxes), dict(eps=-1.0)), ((boxes, boxes[:, :1]), {}),
        ((boxes[:, :3], boxes[:, :3]), {}), ((torch.tensor(1.0), torch.tensor(1.0)), {}),
    ):  # fmt: skip
        for fn in (f, reference):
            with pytest.raises(ValueError, match=r"^fastloss\.box_iou_loss: "):
                fn(*arguments, **options)
    with pytest.raises(ValueError, match="format"):
        fastloss.BoxIoULoss(format="yxyx")
