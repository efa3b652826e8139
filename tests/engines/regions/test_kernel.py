"""The kernel of regions: which calls it takes, and that it computes what the formula does, wherever tensors lie."""

import itertools

import pytest
import torch
from cases import DTYPES, HALF, UNIT, exact, gradients, of
from cases.engines import slack
from recorder import recorded_calls

import fastloss
from fastloss import functional
from fastloss._core import operators as _ops

pytestmark = pytest.mark.skipif(not _ops.AVAILABLE, reason="the extension is not built")
W = [0.5, 2.0, 1.5, 0.25, 1.0]
# Loss, options, what the targets are, and further arguments of the call.
CALLS = (
    ("dice_loss", {}, "index"),
    ("dice_loss", {"squared": True, "batch": True}, "index"),
    ("dice_loss", {"include_background": False}, "ignored"),
    ("dice_loss", {"absent": "skip"}, "masked"),
    ("dice_loss", {}, "dense"),
    ("dice_loss", {"squared": True}, "soft"),
    ("dice_loss", {"mode": "sigmoid"}, "index"),
    ("dice_loss", {"mode": "sigmoid", "squared": True}, "masked"),
    ("jaccard_loss", {"mode": "sigmoid", "batch": True}, "dense"),
    ("mcc_loss", {}, "index"),
    ("focal_tversky_loss", {}, "masked dense"),
    ("generalized_dice_loss", {}, "ignored"),
    ("dice_cross_entropy", {}, "index"),
    ("dice_cross_entropy", {"label_smoothing": 0.1, "weight": W}, "ignored"),
    ("dice_cross_entropy", {"squared": True}, "masked"),
    ("dice_cross_entropy", {"label_smoothing": 0.1, "weight": W}, "soft"),
    ("dice_cross_entropy", {}, "masked dense"),
    ("dice_cross_entropy", {"mode": "sigmoid", "label_smoothing": 0.1, "weight": W}, "ignored"),
    ("dice_cross_entropy", {"mode": "sigmoid"}, "soft"),
    ("dice_focal_loss", {}, "index"),
    ("dice_focal_loss", {"gamma": 1.5}, "masked"),
    ("dice_focal_loss", {"mode": "sigmoid"}, "ignored"),
    ("tversky_cross_entropy", {}, "index"),
)
IDS = [f"{name}-{kind}-{k}" for k, (name, _, kind) in enumerate(CALLS)]


def pose(shape, kind, dtype=torch.float32, seed=0):
    """Logits, exactly representable in ``dtype``, and keywords for their targets."""
    generator = torch.Generator().manual_seed(seed)
    x = (3 * torch.randn(shape, generator=generator, dtype=torch.float64)).to(dtype).requires_grad_()
    pixels = shape[:1] + shape[2:]
    y = torch.randint(shape[1], pixels, generator=generator)
    some = torch.rand(pixels, generator=generator) < 0.7
    if kind == "ignored":
        return x, torch.where(some, y, 255), {"ignore_index": 255}
    if kind == "soft":
        return x, torch.rand(shape, generator=generator, dtype=torch.float64).to(dtype), {}
    if "dense" in kind:
        y = torch.nn.functional.one_hot(y, shape[1]).movedim(-1, 1).to(dtype)
    return x, y, {"mask": some} if "masked" in kind else {}


def options_of(options, dtype):
    return {k: torch.tensor(v, dtype=dtype) if k == "weight" else v for k, v in options.items()}


def check(name, x, y, options, reduction="mean"):
    """Against the formula in float64."""
    function = getattr(functional, name)
    assert fastloss.explain(function, x, y, **options, reduction=reduction).path == "kernel"
    got = gradients(function, (x, y), reduction=reduction, **options)
    wanted = exact(of(name), {"input": x, "target": y, **options}, reduction=reduction)
    unit = slack(x) * of(name).steepness
    for k, (a, b) in enumerate(zip(got, wanted, strict=True)):
        limit = unit * (1 + float(b.abs().max()) if k == 0 else 2 * float(b.abs().max()))
        limit = limit + UNIT[a.dtype] * b.abs() + (2.0**-25 if a.dtype is torch.float16 else 0)
        assert ((a.double() - b).abs() <= limit).all(), (k, float(((a.double() - b).abs() / limit).max()))
    return got


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("name", "options", "kind"), CALLS, ids=IDS)
def test_against_the_formula(name, options, kind, dtype, isa):
    if isa == "none":
        pytest.skip("no kernel")
    for shape, reduction in itertools.product(((2, 5, 3), (3, 5, 7, 11), (1, 5, 1300)), ("mean", "none")):
        if reduction == "none" and options.get("batch") and name not in ("dice_loss", "jaccard_loss"):
            continue
        x, y, more = pose(shape, kind, dtype)
        check(name, x, y, {**options_of(options, dtype), **more}, reduction)


@pytest.mark.parametrize("name", ["dice_loss", "dice_cross_entropy"])
@pytest.mark.parametrize("kind", ["index", "soft"])
def test_many_and_few_classes(name, kind, isa):
    if isa == "none":
        pytest.skip("no kernel")
    for shape in ((2, 1, 70), (2, 2, 70), (1, 300, 130), (4, 19)):
        for mode in ("softmax", "sigmoid")[shape[1] == 1 :]:
            x, y, more = pose(shape, kind)
            check(name, x, y, {"mode": mode, **more})


def test_one_channel(isa):
    """1 marks it and 0 does not, as classes or dense, with a channel's dimension or without."""
    x, y = torch.randn(2, 1, 5, 9, requires_grad=True), torch.randint(2, (2, 5, 9))
    for name in ("dice_loss", "dice_cross_entropy", "dice_focal_loss"):
        made = [
            gradients(getattr(functional, name), (x, target), mode="sigmoid")
            for target in (y, y.bool(), y.unsqueeze(1), y.unsqueeze(1).float(), y.float(), y.int())
        ]
        for other in made[1:]:
            for a, b in zip(made[0], other, strict=True):
                torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)
    with pytest.raises(IndexError, match=r"dice_loss.*2"):
        functional.dice_loss(x, y + 1, mode="sigmoid")


LAYOUTS = {
    "channels last": lambda t: t.contiguous(memory_format=torch.channels_last),
    "cropped": lambda t: torch.nn.functional.pad(t, (1, 2, 1, 0))[..., 1:, 1:-2],
    "transposed": lambda t: t.mT.contiguous().mT,
    "strided": lambda t: t.repeat_interleave(2, -1)[..., ::2],
    "samples inside": lambda t: t.movedim(0, -1).contiguous().movedim(-1, 0),
    "offset": lambda t: torch.cat([t.new_zeros(1), t.reshape(-1)])[1:].view(t.shape),
}


@pytest.mark.parametrize("how", LAYOUTS)
@pytest.mark.parametrize("kind", ["index", "soft"])
def test_layouts(how, kind, isa):
    """The same bits."""
    if isa == "none":
        pytest.skip("no kernel")
    for dtype, mode in itertools.product((torch.float32, torch.bfloat16), ("softmax", "sigmoid")):
        x, y, _ = pose((2, 5, 33, 35), kind, dtype)
        moved = LAYOUTS[how](x.detach()).requires_grad_()
        for target in (y, LAYOUTS[how](y) if kind == "soft" else y.mT.contiguous().mT):
            got, wanted = (gradients(functional.dice_cross_entropy, (t, target), mode=mode) for t in (moved, x))
            for a, b in zip(got, wanted, strict=True):
                assert torch.equal(a, b)


def test_threads(isa):
    """The same bits for any number, of several pieces and samples."""
    for shape, kind in (((1, 3, 50_000), "index"), ((3, 2, 300, 200), "soft"), ((7, 40, 30, 30), "ignored")):
        x, y, more = pose(shape, kind)
        results = []
        for threads in (1, 2, 3, 2):
            torch.set_num_threads(threads)
            results.append(gradients(functional.dice_cross_entropy, (x, y), **more))
        for other in results[1:]:
            assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))
        if isa != "none":
            check("dice_cross_entropy", x, y, more)


@pytest.mark.parametrize("mode", ["softmax", "sigmoid"])
def test_ignored_pixels_may_hold_anything(mode, isa):
    for dtype, kind, rubbish in itertools.product((torch.float32, *HALF), ("ignored", "masked", "masked dense"),
                                                  (float("nan"), float("inf"), -float("inf"))):  # fmt: skip
        if isa == "none" and dtype in HALF:
            continue
        x, y, more = pose((2, 4, 50), kind, dtype)
        kept = more.get("mask", y != 255)
        dirty = torch.where(kept.unsqueeze(1), x.detach(), rubbish).requires_grad_()
        for name in ("dice_loss", "dice_cross_entropy"):
            got, wanted = (gradients(getattr(functional, name), (t, y), mode=mode, **more) for t in (dirty, x))
            for a, b in zip(got, wanted, strict=True):
                assert torch.equal(a, b)
            assert got[1].movedim(1, -1)[~kept].count_nonzero() == 0


def test_nearly_right(isa):
    """The loss of what is nearly right is exact, not the rounding of 1."""
    x = torch.zeros(1, 3, 40)
    y = torch.arange(40).unsqueeze(0) % 3
    x.scatter_(1, y.unsqueeze(1), 12.0)
    for name in ("dice_loss", "dice_cross_entropy"):
        x = x.detach().requires_grad_()
        got = gradients(getattr(functional, name), (x, y))
        wanted = exact(of(name), {"input": x, "target": y})
        for a, b in zip(got, wanted, strict=True):
            torch.testing.assert_close(a.double(), b, rtol=1e-4, atol=0)


def test_no_class(isa):
    x, y, _ = pose((2, 3, 40), "index")
    for bad in (3, -1, -100, 255):
        target = y.index_fill(1, torch.tensor(7), bad)
        for name in ("dice_loss", "dice_cross_entropy", "lovasz_softmax_loss"):
            with pytest.raises(IndexError, match=f"fastloss.{name}: target {bad} "):
                getattr(functional, name)(x, target)
            mask = torch.arange(40).expand(2, 40) != 7
            close = torch.testing.assert_close
            close(getattr(functional, name)(x, target, mask=mask), getattr(functional, name)(x, y, mask=mask))
            close(getattr(functional, name)(x, target, ignore_index=bad), getattr(functional, name)(x, y, mask=mask))


ELSEWHERE = {
    "sorted": ("lovasz_softmax_loss", {}, "index"),
    "summed in plain PyTorch": ("dice_loss", {"mode": "probabilities"}, "index"),
    "two reads": ("dice_focal_loss", {"focal": "sigmoid"}, "index"),
    "needs classes": ("dice_focal_loss", {}, "soft"),
    "elements may be ignored": ("dice_loss", {"ignore_index": 255}, "dense"),
    "tensor that needs a gradient": ("dice_focal_loss", {"gamma": torch.tensor(2.0, requires_grad=True)}, "index"),
}


@pytest.mark.parametrize("reason", ELSEWHERE)
def test_what_the_formula_computes(reason, isa):
    name, options, kind = ELSEWHERE[reason]
    x, y, more = pose((2, 3, 40), kind)
    explained = fastloss.explain(getattr(functional, name), x, y, **options, **more)
    assert explained.path == "reference"
    assert reason in explained.reason or isa == "none"


def test_statistics(isa):
    x, y, more = pose((3, 4, 60), "ignored")
    p, kept = x.double().softmax(1), (y != 255).unsqueeze(1)
    t = (y.unsqueeze(1) == torch.arange(4).view(-1, 1)).double()
    both, all_ = (p * t).sum(2), ((p + t) * kept).sum(2)
    loss, stats = functional.dice_cross_entropy(x, y, return_stats=True, **more)
    assert loss.requires_grad
    assert not any(s.requires_grad for s in stats)
    for got, wanted in zip(stats, (2 * both / all_, both / (all_ - both), t.sum(2)), strict=True):
        torch.testing.assert_close(got, wanted.detach(), rtol=1e-5, atol=1e-7)


def test_boundary_target():
    mask = torch.zeros(2, 6, 7, dtype=torch.int64)
    mask[0, 2:4, 3:] = 2
    edge = functional.boundary_target(mask)
    assert edge.dtype == mask.dtype
    wanted = torch.zeros_like(mask)
    wanted[0, 1:5, 3:] = 1  # rows on both sides; the image's border is none
    wanted[0, 2:4, 2:4] = 1
    wanted[0, 2:4, 4:] = 1
    assert torch.equal(edge, wanted)
    assert functional.boundary_target(mask, dims=3)[1].count_nonzero() == 8  # next to those of another slice
    with pytest.raises(ValueError, match="dims"):
        functional.boundary_target(mask, dims=4)


@pytest.mark.parametrize(("name", "options", "kind"), CALLS[::4], ids=IDS[::4])
def test_opcheck(name, options, kind):
    x, y, more = pose((2, 5, 4, 6), kind)
    options = {k: torch.tensor(v) if k == "weight" else v for k, v in options.items()}

    def step():
        getattr(functional, name)(x, y, **more, **options).backward()

    calls = recorded_calls(step)
    assert {op._schema.name for op, *_ in calls} >= {"fastloss::region_sums", "fastloss::region_gradient"}
    for op, arguments, keywords in calls:
        torch.library.opcheck(op, tuple(arguments), keywords)
