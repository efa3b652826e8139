"""Losses of policies against TRL's expressions, written out, in float64."""

import math

import pytest
import torch
import torch.nn.functional as F
from cases import DTYPES, UNIT

import fastloss
from fastloss import functional

close = torch.testing.assert_close
N, T = 6, 9


def tokens(seed=0):
    generator = torch.Generator().manual_seed(seed)
    x, old, ref = 0.5 * torch.randn(3, N, T, generator=generator, dtype=torch.float64)
    mask = torch.rand(N, T, generator=generator) < 0.7
    mask[3] = False
    return x.requires_grad_(), old, ref, torch.randn(N, generator=generator, dtype=torch.float64), mask


def both(loss, *leaves):
    return [loss.detach(), *torch.autograd.grad(loss.sum(), leaves)]


def trl_tokens(x, old, ref, advantages, mask, *, loss_type, beta=0.0, low=0.2, high=0.2, delta=None, level="token"):
    """What ``GRPOTrainer._compute_loss`` does, before it divides by accumulation steps."""
    advantages, log_ratio = advantages.unsqueeze(1), x - old
    if level == "sequence":
        log_ratio = ((log_ratio * mask).sum(-1) / mask.sum(-1).clamp(min=1.0)).unsqueeze(-1)
    ratio = log_ratio.exp()
    if loss_type == "cispo":
        value = -ratio.clamp(max=high).detach() * advantages * x
    else:
        clipped = ratio.clamp(1 - low, 1 + high)
        ratio = ratio if delta is None else ratio.clamp(max=delta)
        value = -torch.min(ratio * advantages, clipped * advantages)
    if beta:
        value = value + beta * ((ref - x).exp() - (ref - x) - 1)
    if loss_type == "grpo":
        return ((value * mask).sum(-1) / mask.sum(-1).clamp(min=1.0)).mean()
    return (value * mask).sum() / (mask.sum().clamp(min=1.0) if loss_type in ("bnpo", "cispo") else N * 20)


AS_TRL = {
    "grpo": ("grpo_loss", dict(average="sequences"), dict(loss_type="grpo")),
    "bnpo": ("grpo_loss", dict(average="tokens", clip_high=0.28), dict(loss_type="bnpo", high=0.28)),
    "dr_grpo": ("grpo_loss", dict(average="tokens", normalizer=N * 20.0), dict(loss_type="dr_grpo")),
    "reference": ("grpo_loss", dict(beta=0.3, average="sequences"), dict(loss_type="grpo", beta=0.3)),
    "delta": ("ppo_clip_loss", dict(delta=1.5, average="sequences"), dict(loss_type="grpo", delta=1.5)),
    "cispo": ("cispo_loss", dict(clip_high=1.3), dict(loss_type="cispo", high=1.3)),
    "gspo": ("gspo_loss", dict(clip_low=0.05, clip_high=0.1),
             dict(loss_type="grpo", level="sequence", low=0.05, high=0.1)),
}  # fmt: skip


@pytest.mark.parametrize("name", AS_TRL)
def test_as_trl(name, isa):
    loss, ours, theirs = AS_TRL[name]
    x, old, ref, advantages, mask = tokens()
    given = {"ref_log_probs": ref} if "beta" in ours else {}
    for fn in (getattr(functional, loss), getattr(fastloss.reference, loss)):
        got = both(fn(x, advantages, old, **given, **ours, mask=mask), x)
        close(got, both(trl_tokens(x, old, ref, advantages, mask, **theirs), x), rtol=1e-11, atol=1e-14)


def log1mexp(x):
    return torch.log(-torch.expm1(x))


PAIRS = {
    "sigmoid": ("dpo_loss", dict(beta=0.7), lambda h, e: -F.logsigmoid(0.7 * h)),
    "smooth": ("dpo_loss", dict(beta=0.7, label_smoothing=0.2),
               lambda h, e: -0.8 * F.logsigmoid(0.7 * h) - 0.2 * F.logsigmoid(-0.7 * h)),
    "robust": ("dpo_loss", dict(beta=0.7, label_smoothing=0.2, kind="robust"),
               lambda h, e: (-0.8 * F.logsigmoid(0.7 * h) + 0.2 * F.logsigmoid(-0.7 * h)) / (1 - 2 * 0.2)),
    "hinge": ("dpo_loss", dict(beta=0.7, kind="hinge"), lambda h, e: torch.relu(1 - 0.7 * h)),
    "ipo": ("dpo_loss", dict(beta=0.7, kind="ipo"), lambda h, e: (h - 1 / (2 * 0.7)) ** 2),
    "simpo": ("simpo_loss", dict(beta=2.5, gamma=0.6), lambda h, e: -F.logsigmoid(2.5 * (h - 0.6 / 2.5))),
    "orpo": ("orpo_loss", dict(beta=0.3), lambda h, e: -0.3 * F.logsigmoid(h - e)),
}  # fmt: skip


@pytest.mark.parametrize("name", PAIRS)
def test_pairs_as_trl(name, isa):
    loss, options, theirs = PAIRS[name]
    chosen, rejected, a, b = -3 * torch.rand(4, 40, dtype=torch.float64) - 0.01
    leaves = chosen.requires_grad_(), rejected.requires_grad_()
    before = (a, b) if loss == "dpo_loss" else ()
    h = (chosen - a) - (rejected - b) if before else chosen - rejected
    wanted = both(theirs(h, log1mexp(chosen) - log1mexp(rejected)), *leaves)
    for fn in (getattr(functional, loss), getattr(fastloss.reference, loss)):
        close(both(fn(*leaves, *before, reduction="none", **options).sum(), *leaves),
              [wanted[0].sum(), *wanted[1:]], rtol=1e-10, atol=1e-13)  # fmt: skip


def test_kto_as_trl(isa):
    x, ref = -5 * torch.rand(2, 30, dtype=torch.float64)
    label, kl = torch.rand(30) < 0.5, torch.tensor(0.3)
    x.requires_grad_()
    gain = x - ref
    theirs = torch.where(label, 2 * (1 - torch.sigmoid(0.5 * (gain - kl))), 3 * (1 - torch.sigmoid(0.5 * (kl - gain))))
    options = dict(beta=0.5, desirable_weight=2.0, undesirable_weight=3.0)
    ours = functional.kto_loss(x, label, ref, kl, **options)
    close(both(ours, x), both(theirs.mean(), x), rtol=1e-7, atol=1e-9)  # kl is float32
    below = functional.kto_loss(x, label, ref, torch.tensor(-4.0), **options)
    close(below, functional.kto_loss(x, label, ref, **options))


def test_nothing_counts(isa):
    x, old, _, advantages, mask = tokens()
    for loss in (functional.ppo_clip_loss, functional.grpo_loss, functional.cispo_loss, functional.gspo_loss):
        for average in ("tokens", "sequences"):
            given = {} if loss is functional.gspo_loss else {"average": average}
            value, grad = both(loss(x, advantages, old, mask=mask & False, **given), x)
            assert value == 0
            assert grad.count_nonzero() == 0
    broken = torch.where(mask, x, math.nan).detach().requires_grad_()
    for fn in (functional.gspo_loss, fastloss.reference.gspo_loss, functional.ppo_clip_loss):
        value, grad = both(fn(broken, advantages, old, mask=mask), broken)
        assert value.isfinite()
        assert grad[~mask].count_nonzero() == 0


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_far_ratios(dtype, isa):
    """A ratio that is no number costs what its bound does, and nothing without an advantage."""
    far = {torch.float64: 800.0, torch.float32: 100.0, torch.bfloat16: 100.0, torch.float16: 100.0}[dtype]
    x = torch.tensor([far, far, -far], dtype=dtype, requires_grad=True)
    value, grad = both(
        functional.ppo_clip_loss(x, torch.tensor([2.0, 0.0, -2.0], dtype=dtype), torch.zeros_like(x), reduction="none"),
        x,
    )
    close(value, torch.tensor([-2.4, 0.0, 1.6], dtype=dtype), rtol=2 * UNIT[dtype], atol=0)
    assert grad.count_nonzero() == 0


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_a_sure_answer_has_a_gradient(dtype, isa):
    """ORPO's is odds(r) (1 - p) to first order in 1 - p, p the chosen answer's probability."""
    chosen = torch.tensor([0.0, -1e-30, -1e-9], dtype=dtype, requires_grad=True)
    rejected = torch.full_like(chosen, -math.log(2)).requires_grad_()
    value, by_chosen, by_rejected = both(
        functional.orpo_loss(chosen, rejected, beta=1.0, reduction="none"), chosen, rejected
    )
    rest = -chosen.detach()
    close(value, rest, rtol=1e-6, atol=0)
    close(by_chosen, -torch.ones_like(rest), rtol=1e-6, atol=0)
    close(by_rejected, 2 * rest, rtol=1e-6, atol=0)


def test_errors():
    x, old, _, advantages, _ = tokens()
    with pytest.raises(ValueError, match="average must be"):
        functional.ppo_clip_loss(x, advantages, average="rows")
    with pytest.raises(RuntimeError, match="one advantage per sequence"):
        functional.gspo_loss(x, x.detach(), old)
    for share in (0.5, torch.tensor(0.5)):
        with pytest.raises(ValueError, match="label_smoothing must be below"):
            functional.dpo_loss(x, old, kind="robust", label_smoothing=share)
