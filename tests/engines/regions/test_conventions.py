"""Arguments that give the region losses of other libraries, whose formulas stand here in a few lines, in float64."""

import pytest
import torch
import torch.nn.functional as F
from cases import gradients

from fastloss import functional as ours

N, C, SIZE = 3, 4, (5, 6)
DIMS = (2, 3)


def batch(absent=True):
    """Logits, and classes of which one is absent from a sample."""
    torch.manual_seed(0)
    x = 2 * torch.randn(N, C, *SIZE, dtype=torch.float64)
    y = torch.randint(C, (N, *SIZE))
    if absent:
        y[0][y[0] == 2] = 1
    return x.requires_grad_(), y


def one_hot(y):
    return F.one_hot(y.clamp_min(0), C).movedim(-1, 1).double()


# ------------------------------------------------------------------------------------------------- MONAI 1.6.1


def counts(p, t, squared=False, batch=False):
    """True positives, false positives and false negatives, of squares if they are wanted."""
    dims = (0, *DIMS) if batch else DIMS
    tp, power = (p * t).sum(dims), 2 if squared else 1
    return tp, (p**power).sum(dims) - tp, (t**power).sum(dims) - tp


def monai_dice(p, t, squared=False, jaccard=False, batch=False, weight=1.0, nr=1e-5, dr=1e-5):
    tp, fp, fn = counts(p, t, squared, batch)
    wrong = (fp + fn) * (1 if jaccard else 0.5)
    return ((1 - (2 * tp + nr) / (2 * (tp + wrong) + dr)) * weight).mean()


def monai_tversky(p, t, alpha, beta):
    tp, fp, fn = counts(p, t)
    return (1 - (tp + 1e-5) / (tp + alpha * fp + beta * fn + 1e-5)).mean()


def monai_generalized(p, t, kind, batch=False):
    tp, fp, fn = counts(p, t, batch=batch)
    mass = t.sum((0, *DIMS) if batch else DIMS)
    w = {"square": 1 / mass**2, "simple": 1 / mass, "uniform": torch.ones_like(mass)}[kind]
    none = w.isinf()
    w = w.masked_fill(none, 0)
    w = torch.where(none, w.amax(-1, keepdim=True), w)
    return (1 - (2 * (tp * w).sum(-1) + 1e-5) / ((2 * tp + fp + fn) * w).sum(-1).add(1e-5)).mean()


def monai_focal(x, t, gamma=2.0, weight=1.0):
    bce = F.binary_cross_entropy_with_logits(x, t, reduction="none")
    return (bce * (gamma * F.logsigmoid(-x * (2 * t - 1))).exp() * weight).mean()


# ---------------------------------------------------------------------- segmentation_models_pytorch 0.6.0


def smp_mean(score, t, log=False):
    loss = -score.log() if log else 1 - score
    return (loss * (t.sum((0, *DIMS)) > 0)).mean()


def smp_tversky(p, t, alpha, beta, smooth, log=False):
    tp, fp, fn = ((a * b).sum((0, *DIMS)) for a, b in ((p, t), (p, 1 - t), (1 - p, t)))
    return smp_mean((tp + smooth) / (tp + alpha * fp + beta * fn + smooth), t, log)


def smp_jaccard(p, t, smooth):
    tp, all_ = (p * t).sum((0, *DIMS)), (p + t).sum((0, *DIMS))
    return smp_mean((tp + smooth) / (all_ - tp + smooth), t)


def smp_mcc(p, t, eps=1e-5):
    tp, tn, fp, fn = ((a * b).sum() + eps for a, b in ((p, t), (1 - p, 1 - t), (p, 1 - t), (1 - p, t)))
    return 1 - (tp * tn - fp * fn) / ((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)).sqrt()


# ------------------------------------------------------------------------------------- kornia 0.9.0, nnU-Net


def kornia_dice(p, t, average, eps):
    dims = (1, *DIMS) if average == "micro" else DIMS
    return (1 - 2 * (p * t).sum(dims) / ((p + t).sum(dims) + eps)).mean()


def nnunet(x, y, smooth=1e-5, kept=None):
    p, t = x.softmax(1)[:, 1:], one_hot(y)[:, 1:]
    if kept is not None:
        p, t = p * kept.unsqueeze(1), t * kept.unsqueeze(1)
    both, all_ = (p * t).sum((0, *DIMS)), (p + t).sum((0, *DIMS))
    ce = F.cross_entropy(x, y if kept is None else torch.where(kept, y, -100))
    return ce - ((2 * both + smooth) / (all_ + smooth)).mean()


# -------------------------------------------------------------------------------------------- the authors'


def lovasz_gradient(t):
    mass = t.sum()
    jaccard = 1 - (mass - t.cumsum(0)) / (mass + (1 - t).cumsum(0))
    return torch.cat((jaccard[:1], jaccard[1:] - jaccard[:-1]))


def lovasz_softmax(p, t, present=True):
    """Of the pixels of a batch, class by class."""
    losses = []
    for c in range(C):
        fg = t[:, c].flatten()
        if present and not fg.sum():
            continue
        errors, order = (fg - p[:, c].flatten()).abs().sort(descending=True)
        losses.append(errors @ lovasz_gradient(fg[order]))
    return sum(losses) / len(losses)


def lovasz_hinge(x, t):
    errors, order = (1 - x * (2 * t - 1)).sort(descending=True)
    return F.relu(errors) @ lovasz_gradient(t[order])


W = torch.tensor([0.5, 2.0, 1.0, 3.0], dtype=torch.float64)
SMP = dict(batch=True, absent="zero")
# What is compared: our loss with these arguments, theirs of logits x, classes y and one-hot targets t.
TABLE = {
    "MONAI DiceLoss(softmax=True)": ("dice_loss", {}, lambda x, y, t: monai_dice(x.softmax(1), t)),
    "MONAI DiceLoss(sigmoid=True)":
        ("dice_loss", dict(mode="sigmoid"), lambda x, y, t: monai_dice(x.sigmoid(), t)),
    "MONAI DiceLoss(include_background=False)":
        ("dice_loss", dict(include_background=False), lambda x, y, t: monai_dice(x.softmax(1)[:, 1:], t[:, 1:])),
    "MONAI DiceLoss(squared_pred=True)":
        ("dice_loss", dict(squared=True), lambda x, y, t: monai_dice(x.softmax(1), t, squared=True)),
    "MONAI DiceLoss(jaccard=True)":
        ("jaccard_loss", dict(smooth_nr=5e-6, smooth_dr=5e-6),
         lambda x, y, t: monai_dice(x.softmax(1), t, jaccard=True)),
    "MONAI DiceLoss(jaccard=True, squared_pred=True, smooth_nr=0.1, smooth_dr=0.3)":
        ("jaccard_loss", dict(squared=True, smooth_nr=0.05, smooth_dr=0.15),
         lambda x, y, t: monai_dice(x.softmax(1), t, squared=True, jaccard=True, nr=0.1, dr=0.3)),
    "MONAI DiceLoss(batch=True)":
        ("dice_loss", dict(batch=True), lambda x, y, t: monai_dice(x.softmax(1), t, batch=True)),
    "MONAI DiceLoss(weight=w)":
        ("dice_loss", dict(weight=W), lambda x, y, t: monai_dice(x.softmax(1), t, weight=W)),
    "MONAI TverskyLoss(alpha=0.3, beta=0.7)":
        ("focal_tversky_loss", dict(gamma=1), lambda x, y, t: monai_tversky(x.softmax(1), t, 0.3, 0.7)),
    **{f"MONAI GeneralizedDiceLoss(w_type={kind})":
        ("generalized_dice_loss", dict(weighting=kind),
         lambda x, y, t, kind=kind: monai_generalized(x.softmax(1), t, kind))
       for kind in ("square", "simple", "uniform")},
    "MONAI GeneralizedDiceLoss(batch=True)":
        ("generalized_dice_loss", dict(batch=True), lambda x, y, t: monai_generalized(x.softmax(1), t, "square", True)),
    "MONAI DiceCELoss(lambda_dice=0.4, lambda_ce=0.6)":
        ("dice_cross_entropy", dict(dice_weight=0.4, ce_weight=0.6),
         lambda x, y, t: 0.4 * monai_dice(x.softmax(1), t) + 0.6 * F.cross_entropy(x, y)),
    "MONAI DiceCELoss(weight=w, include_background=False)":
        ("dice_cross_entropy", dict(weight=W, include_background=False),
         lambda x, y, t: monai_dice(x.softmax(1)[:, 1:], t[:, 1:], weight=W[1:]) + F.cross_entropy(x, y, W)),
    "MONAI DiceCELoss(label_smoothing=0.1)":
        ("dice_cross_entropy", dict(label_smoothing=0.1, weight=W),
         lambda x, y, t: monai_dice(x.softmax(1), t, weight=W) + F.cross_entropy(x, y, W, label_smoothing=0.1)),
    "MONAI DiceCELoss(sigmoid=True)":
        ("dice_cross_entropy", dict(mode="sigmoid"),
         lambda x, y, t: monai_dice(x.sigmoid(), t) + F.binary_cross_entropy_with_logits(x, t)),
    "MONAI DiceFocalLoss(softmax=True)":
        ("dice_focal_loss", dict(focal="sigmoid"), lambda x, y, t: monai_dice(x.softmax(1), t) + monai_focal(x, t)),
    "MONAI DiceFocalLoss(softmax=True, weight=w, gamma=1.5)":
        ("dice_focal_loss", dict(focal="sigmoid", weight=W, gamma=1.5),
         lambda x, y, t: monai_dice(x.softmax(1), t, weight=W) + monai_focal(x, t, 1.5, W.view(-1, 1, 1))),
    "MONAI DiceFocalLoss(sigmoid=True)":
        ("dice_focal_loss", dict(mode="sigmoid"), lambda x, y, t: monai_dice(x.sigmoid(), t) + monai_focal(x, t)),
    "smp DiceLoss(multiclass, smooth=0.5)":
        ("dice_loss", dict(SMP, smooth_nr=1.0, smooth_dr=1.0),
         lambda x, y, t: smp_tversky(x.softmax(1), t, 0.5, 0.5, 0.5)),
    "smp DiceLoss(multilabel, log_loss=True)":
        ("dice_loss", dict(SMP, mode="sigmoid", smooth_nr=0.0, smooth_dr=0.0, log=True),
         lambda x, y, t: smp_tversky(x.sigmoid(), t, 0.5, 0.5, 0.0, log=True)),
    "smp JaccardLoss(multiclass, smooth=0.5)":
        ("jaccard_loss", dict(SMP, smooth_nr=0.5, smooth_dr=0.5), lambda x, y, t: smp_jaccard(x.softmax(1), t, 0.5)),
    "smp TverskyLoss(multiclass, smooth=0.5, alpha=0.3, beta=0.6)":
        ("focal_tversky_loss", dict(SMP, alpha=0.3, beta=0.6, gamma=1, smooth_nr=0.5, smooth_dr=0.5),
         lambda x, y, t: smp_tversky(x.softmax(1), t, 0.3, 0.6, 0.5)),
    "smp MCCLoss": ("mcc_loss", dict(mode="sigmoid", batch=True, average="micro"),
                    lambda x, y, t: smp_mcc(x.sigmoid(), t, 1e-5)),
    "smp SoftCrossEntropyLoss(smooth_factor=0.1)":
        ("dice_cross_entropy", dict(dice_weight=0.0, label_smoothing=0.1),
         lambda x, y, t: F.cross_entropy(x, y, label_smoothing=0.1)),
    "smp FocalLoss(multiclass, alpha=None)":
        ("dice_focal_loss", dict(dice_weight=0.0, focal="sigmoid", focal_weight=C),  # theirs adds up the classes' means
         lambda x, y, t: sum(monai_focal(x[:, c], t[:, c]) for c in range(C))),
    "kornia dice_loss(average=micro)":
        ("dice_loss", dict(average="micro", smooth_nr=0.0, smooth_dr=1e-8),
         lambda x, y, t: kornia_dice(x.softmax(1), t, "micro", 1e-8)),
    "kornia dice_loss(average=macro)":
        ("dice_loss", dict(smooth_nr=0.0, smooth_dr=1e-8), lambda x, y, t: kornia_dice(x.softmax(1), t, "macro", 1e-8)),
    "kornia tversky_loss(alpha=0.4, beta=0.6)":
        ("focal_tversky_loss", dict(average="micro", alpha=0.4, beta=0.6, gamma=1, smooth_nr=0.0, smooth_dr=1e-8),
         lambda x, y, t: (1 - (k := counts(x.softmax(1), t))[0].sum(1)
                          / (k[0] + 0.4 * k[1] + 0.6 * k[2]).sum(1).add(1e-8)).mean()),
    "nnU-Net DC_and_CE_loss, plus 1":
        ("dice_cross_entropy", dict(batch=True, include_background=False), lambda x, y, t: 1 + nnunet(x, y)),
    "lovasz_softmax(classes=all)":
        ("lovasz_softmax_loss", dict(batch=True), lambda x, y, t: lovasz_softmax(x.softmax(1), t, False)),
    "lovasz_softmax(per_image=True)":
        ("lovasz_softmax_loss", dict(absent="skip"),
         lambda x, y, t: sum(lovasz_softmax(x.softmax(1)[n:n + 1], t[n:n + 1]) for n in range(N)) / N),
    "lovasz_hinge(per_image=True), class by class":
        ("lovasz_hinge_loss", {},
         lambda x, y, t: sum(lovasz_hinge(x[n, c].flatten(), t[n, c].flatten()) for n in range(N) for c in range(C))
         / (N * C)),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLE)
def test_as_elsewhere(name, isa):
    loss, options, theirs = TABLE[name]
    x, y = batch(absent=name != "lovasz_softmax(per_image=True)")
    t = one_hot(y)
    wanted = theirs(x, y, t)
    wanted = [wanted.detach(), torch.autograd.grad(wanted, x)[0]]
    dense = options.get("weight") is not None and loss == "dice_cross_entropy"  # PyTorch divides by other weights then
    for target in (y,) if dense else (y, t, t.bool()):
        got = gradients(getattr(ours, loss), (x, target), **options)
        for a, b in zip(got, wanted, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


def test_nnunet_with_ignored_pixels(isa):
    x, y = batch()
    kept = torch.rand(N, *SIZE) < 0.7
    for ignored in (-100, 255, 1):
        target = torch.where(kept, y, ignored)
        mine = gradients(
            ours.dice_cross_entropy, (x, target), batch=True, include_background=False, ignore_index=ignored
        )
        wanted = 1 + nnunet(x, y, kept=kept & (y != ignored))
        torch.testing.assert_close(mine[0], wanted.detach(), rtol=1e-10, atol=0)
        torch.testing.assert_close(mine[1], torch.autograd.grad(wanted, x)[0], rtol=1e-9, atol=1e-12)
        assert mine[1].movedim(1, -1)[target == ignored].count_nonzero() == 0
