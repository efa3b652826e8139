"""Losses that are made of divergences."""

import pytest
import torch
import torch.nn.functional as F

import fastloss
from fastloss.functional import distillation_loss, jsd_cross_entropy

close = torch.testing.assert_close


def logits(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_distillation():
    """Hinton's, as its users write it."""
    x, y, target = logits(16, 10).requires_grad_(), logits(16, 10, seed=1), torch.arange(16) % 10
    for t, alpha in ((1.0, 1.0), (2.0, 0.7), (4.0, 0.1)):
        soft = F.kl_div((x / t).log_softmax(-1), (y / t).log_softmax(-1), log_target=True, reduction="batchmean")
        wanted = alpha * t**2 * soft + (1 - alpha) * F.cross_entropy(x, target)
        for loss in (
            distillation_loss(x, y, target, alpha=alpha, temperature=t),
            fastloss.reference.distillation_loss(x, y, target, alpha=alpha, temperature=t),
            fastloss.DistillationLoss(alpha=alpha, temperature=t)(x, y, target),
        ):
            close(loss, wanted)
            close(torch.autograd.grad(loss, x), torch.autograd.grad(wanted, x, retain_graph=True))
        close(distillation_loss(x, y, alpha=alpha, temperature=t), alpha * t**2 * soft)
        rows = distillation_loss(x, y, target, alpha=alpha, temperature=t, reduction="none")
        close(rows.mean(), wanted)
    assert fastloss.explain(distillation_loss, x, y).path == "kernel"


def timm(output, target, num_splits, alpha, smoothing):
    """What timm computes."""
    size = output.shape[0] // num_splits
    parts = output.split(size)
    loss = F.cross_entropy(parts[0], target[:size], label_smoothing=smoothing)
    probs = [part.softmax(1) for part in parts]
    mixture = torch.stack(probs).mean(0).clamp(1e-7, 1).log()
    return loss + alpha * sum(F.kl_div(mixture, p, reduction="batchmean") for p in probs) / len(probs)


@pytest.mark.parametrize("num_splits", [2, 3])
def test_jsd_cross_entropy(num_splits):
    x, target = (3 * logits(num_splits * 8, 10)).requires_grad_(), torch.arange(num_splits * 8) % 10
    for alpha, smoothing in ((12.0, 0.1), (1.0, 0.0)):
        wanted = timm(x, target, num_splits, alpha, smoothing)
        arguments = dict(num_splits=num_splits, alpha=alpha, smoothing=smoothing)
        for loss in (
            jsd_cross_entropy(x, target, **arguments),
            jsd_cross_entropy(x, target[:8], **arguments),
            fastloss.reference.jsd_cross_entropy(x, target, **arguments),
            fastloss.JSDCrossEntropy(**arguments)(x, target),
        ):
            close(loss, wanted)
            close(torch.autograd.grad(loss, x), torch.autograd.grad(wanted, x, retain_graph=True))
    with pytest.raises(ValueError, match="num_splits=5"):
        jsd_cross_entropy(x, target, num_splits=5)
