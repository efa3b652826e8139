"""Distribution focal loss and the matchers' cost, which are made of others; plain expressions of the others."""

import math

import pytest
import torch
import torch.nn.functional as F
from cases import DTYPES, UNIT, gradients

import fastloss

f, reference = fastloss.functional, fastloss.reference
close = torch.testing.assert_close


def plain_dfl(x, y, reduction="none"):
    """mmdet's."""
    low = y.long().clamp_max(x.shape[-1] - 2)
    left, right = (F.cross_entropy(x.flatten(0, -2), k.flatten(), reduction="none") for k in (low, low + 1))
    loss = (left * (low + 1 - y).flatten() + right * (y - low).flatten()).reshape(y.shape)
    return loss if reduction == "none" else getattr(loss, reduction)()


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_distribution_focal(reduction, isa):
    y = torch.cat((torch.arange(17.0), 16 * torch.rand(22))).reshape(3, 13).double()
    for dtype in DTYPES:
        x = torch.randn(3, 13, 17).to(dtype).requires_grad_()
        target = y.to(dtype)
        wide = x.detach().double().requires_grad_()
        exact = gradients(plain_dfl, [wide, target.double()], reduction=reduction)
        unit = UNIT[dtype] + 64 * UNIT[torch.float64 if dtype == torch.float64 else torch.float32]
        for fn in (f.distribution_focal_loss, reference.distribution_focal_loss):
            got = gradients(fn, [x, target], reduction=reduction)
            assert [t.dtype for t in got] == [dtype, dtype]
            for a, b in zip(got, exact, strict=True):
                close(a.double(), b, rtol=unit, atol=unit * float(b.abs().max()))


def test_distribution_focal_options():
    x, y = torch.randn(5, 4, 9, dtype=torch.float64), 8 * torch.rand(5, 4, dtype=torch.float64)
    weight, mask = torch.rand(5, 1, dtype=torch.float64), torch.rand(5, 4) < 0.6
    values = plain_dfl(x, y) * weight
    broken = torch.where(mask, y, math.nan)
    for fn in (f.distribution_focal_loss, reference.distribution_focal_loss):
        close(fn(x, y, "none", weight=weight), values)
        close(fn(x, broken, weight=weight, mask=mask), (values * mask).sum() / mask.sum())
        close(fn(x, y, weight=weight, normalizer=7.0), values.sum() / 7)
        close(fn(x, y.requires_grad_()), plain_dfl(x, y, "mean"))
        (slope,) = torch.autograd.grad(fn(x, y), y)
        close(slope, torch.autograd.grad(plain_dfl(x, y, "mean"), y)[0])
        y = y.detach()
        assert fn(x[:0], y[:0]) == fn(x, y, mask=mask & False) == 0
        for bad in (-0.5, 8.5, math.nan):
            with pytest.raises(IndexError, match=f"position {bad}"):
                fn(x, torch.full_like(y, bad))
        for shapes in ((x, y[:4]), (x[..., :1], y), (torch.tensor(1.0), torch.tensor(1.0))):
            with pytest.raises(ValueError, match="expected logits"):
                fn(*shapes)
        with pytest.raises(ValueError, match="reduction"):
            fn(x, y, "median")


def plain_cost(boxes, targets, logits, labels, alpha, gamma):
    """Deformable DETR's, whose generalized_box_iou is torchvision's."""

    def corners(b):
        return torch.cat((b[:, :2] - b[:, 2:] / 2, b[:, :2] + b[:, 2:] / 2), 1)

    a, b = corners(boxes)[:, None], corners(targets)[None]
    area_a, area_b = ((t[..., 2:] - t[..., :2]).prod(-1) for t in (a, b))
    common = (torch.min(a[..., 2:], b[..., 2:]) - torch.max(a[..., :2], b[..., :2])).clamp(min=0).prod(-1)
    hull = (torch.max(a[..., 2:], b[..., 2:]) - torch.min(a[..., :2], b[..., :2])).prod(-1)
    union = area_a + area_b - common
    giou = common / union - (hull - union) / hull
    p = logits.sigmoid()
    negative, positive = -(1 - alpha) * p**gamma * (1 - p).log(), -alpha * (1 - p) ** gamma * p.log()
    return 5 * torch.cdist(boxes, targets, p=1) - 2 * giou + 2 * (positive - negative)[:, labels]


def test_box_cost():
    boxes, targets = torch.rand(30, 4, dtype=torch.float64) + 0.1, torch.rand(7, 4, dtype=torch.float64) + 0.1
    logits, labels = torch.randn(30, 11, dtype=torch.float64), torch.randint(11, (7,))
    cost = f.box_cost(boxes, targets, logits, labels, alpha=0.3, gamma=1.5)
    close(cost, plain_cost(boxes, targets, logits, labels, 0.3, 1.5), rtol=1e-6, atol=1e-6)  # which has no eps
    both = f.box_cost(*(t.expand(2, *t.shape) for t in (boxes, targets, logits, labels)))
    close(both[1], f.box_cost(boxes, targets, logits, labels))
    assert f.box_cost(boxes, targets[:0]).shape == (30, 0)
    close(f.box_cost(boxes, boxes, giou_weight=0.0).diagonal(), torch.zeros(30, dtype=torch.float64))
    with pytest.raises(ValueError, match="labels"):
        f.box_cost(boxes, targets, logits)
    with pytest.raises(ValueError, match=r"\(N, 4\)"):
        f.box_cost(boxes[0], targets)
    with pytest.raises(ValueError, match="format"):
        f.box_cost(boxes, targets, format="yxyx")


PLAIN = {
    "quality_focal_loss": lambda x, y, beta=2.0: (
        (x.sigmoid() - y).abs() ** beta * F.binary_cross_entropy_with_logits(x, y, reduction="none")
    ),
    "varifocal_loss": lambda x, y, alpha=0.75, gamma=2.0: (
        torch.where(y > 0, y, alpha * x.sigmoid() ** gamma)
        * F.binary_cross_entropy_with_logits(x, y, reduction="none")
    ),
    "gaussian_focal_loss": lambda x, y, alpha=2.0, gamma=4.0: (
        -(x.sigmoid() + 1e-12).log() * (1 - x.sigmoid()) ** alpha * (y == 1)
        - (1 - x.sigmoid() + 1e-12).log() * x.sigmoid() ** alpha * (1 - y) ** gamma
    ),
    "balanced_l1_loss": lambda x, y, alpha=0.5, gamma=1.5, beta=1.0: torch.where(
        (x - y).abs() < beta,
        alpha / math.expm1(gamma / alpha) * (math.expm1(gamma / alpha) * (x - y).abs() + 1)
        * (math.expm1(gamma / alpha) * (x - y).abs() / beta + 1).log() - alpha * (x - y).abs(),
        gamma * (x - y).abs() + gamma / math.expm1(gamma / alpha) - alpha * beta,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PLAIN)
def test_as_mmdet(name):
    x = torch.linspace(-6, 6, 1000, dtype=torch.float64).requires_grad_()
    y = torch.tensor([0, 0, 1, 1, 0.3, 0.9], dtype=torch.float64)[torch.randint(6, (1000,))]
    for fn in (getattr(f, name), getattr(reference, name)):
        for params in ({}, {"beta": 0.5} if name == "balanced_l1_loss" else {}):
            for a, b in zip(
                gradients(fn, [x, y], reduction="none", **params), gradients(PLAIN[name], [x, y], **params), strict=True
            ):
                close(a, b, rtol=1e-8, atol=1e-8)


def test_saturated_logits_have_finite_gradients(isa):
    x = torch.tensor([-1e4, -100.0, -30.0, 0.0, 30.0, 100.0, 1e4])
    for name, params in (
        ("quality_focal_loss", {"beta": 0.5}), ("quality_focal_loss", {}), ("varifocal_loss", {"gamma": 0.5}),
        ("gaussian_focal_loss", {"alpha": 0.5, "gamma": 0.5}),
    ):  # fmt: skip
        for y in (0.0, 0.5, 1.0):
            for fn in (getattr(f, name), getattr(reference, name)):
                results = gradients(fn, [x.clone().requires_grad_(), torch.full_like(x, y)], reduction="none", **params)
                assert all(t.isfinite().all() for t in results), (name, params, y)
