"""Two rows of logits: where they agree, where a class is missing, layouts, teachers of every kind."""

import itertools
import math

import cases
import pytest
import torch
import torch.nn.functional as F
from cases import HALF, REDUCTIONS, gradients

import fastloss
from fastloss import reference
from fastloss._core import operators as _ops
from fastloss.functional import divergence

KINDS = ("kl", "reverse_kl", "js", "tv", "alpha", "soft_cross_entropy")
close = torch.testing.assert_close


def both(shape, dtype=torch.float64, seed=0):
    case = cases.of("divergence")
    return case.make(shape, {}, dtype, seed)


def check(arguments, tolerance, **options):
    """Loss and gradients near those of the formula in float64, by the kernel."""
    assert fastloss.explain(divergence, **arguments, **options).path == "kernel"
    got = gradients(divergence, arguments, **options)
    wanted = gradients(reference.divergence, cases.wide(arguments), **cases.wide(options))
    for a, b in zip(got, wanted, strict=True):
        close(a.double(), b, rtol=tolerance, atol=tolerance, equal_nan=True)


def acceptance(x, y):
    return float(torch.minimum(x.double().softmax(-1), y.double().softmax(-1)).sum(-1).mean())


def near_rows(dtype, wanted, classes=4096):
    """Logits of a dtype and others so close to them that the acceptance is about what is wanted."""
    generator = torch.Generator().manual_seed(3)
    y = (3 * torch.randn(16, classes, generator=generator)).to(dtype)
    steps = torch.randint(-2, 3, y.shape, generator=generator)
    moved = torch.rand(y.shape, generator=generator) < (0.6 if wanted < 0.99 else 0.032)
    x = torch.where(moved, (y.double() * (1 + steps * 2.0**-7)).to(dtype), y)
    assert abs(acceptance(x, y) - wanted) < 0.3 * (1 - wanted)
    return x, y


@pytest.mark.parametrize("wanted", [0.98, 0.999])
@pytest.mark.parametrize("dtype", [torch.float32, *HALF], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_near(kind, dtype, wanted, isa):
    """Rounding the gradient to bfloat16 costs up to 2^-8 of each entry, of float32 2^-24 a few times over.

    Of total variation, where 1/2 and a sum of p / 2 over nearly all classes cancel, that sum's rounding is added.
    """
    if isa == "none":
        pytest.skip("the formula subtracts")
    x, y = near_rows(dtype, wanted)
    arguments = {"input": x.requires_grad_(), "target": y.requires_grad_()}
    got = gradients(divergence, arguments, kind=kind)
    exact = gradients(reference.divergence, cases.wide(arguments), kind=kind)
    limit = {torch.bfloat16: 0.003, torch.float16: 0.001, torch.float32: 1e-6 if kind == "tv" else 4e-7}[dtype]
    if dtype == torch.float16:  # the gradients of a mean are subnormal there
        got, exact = (
            gradients(fn, given, kind=kind, reduction="sum", upstream=64.0)
            for fn, given in ((divergence, arguments), (reference.divergence, cases.wide(arguments)))
        )
    for a, b in zip(got[1:], exact[1:], strict=True):
        assert (a.double() - b).norm() <= limit * b.norm()
    if kind != "soft_cross_entropy":
        close(got[0].double(), exact[0], rtol=2 * cases.UNIT[dtype] + 1e-6, atol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_equal_rows(kind, isa):
    """Nothing at all, in whatever units the teacher's logits are off by a constant."""
    for dtype in (torch.float32, torch.bfloat16):
        x = both((5, 77), dtype)["input"].detach()
        loss, *grads = gradients(
            divergence, {"input": x.requires_grad_(), "target": x.clone().requires_grad_()}, kind=kind
        )
        if isa != "none":
            assert kind == "soft_cross_entropy" or loss == 0
            assert grads[0].count_nonzero() == 0


@pytest.mark.parametrize("kind", KINDS)
def test_never_negative(kind, isa):
    x = both((200, 33), torch.float32)["input"].detach()
    for step in (0.0, 1e-7, 1e-5, 1e-3, 0.1, 10.0):
        if isa != "none":
            assert divergence(x, x + step * torch.randn_like(x), kind, reduction="none").min() >= 0


@pytest.mark.parametrize("kind", KINDS)
def test_missing_classes(kind, isa):
    """-inf as either logit or both, whole rows of it, and infinity: numbers and NaN where the formula has them."""
    inf = math.inf
    x = torch.tensor([[1.0, -inf, 0.5, 2.0], [0.0, 1.0, 2.0, -1.0], [0.5, -inf, 0.0, -inf], [1.0, 2.0, 0.0, 1.0]])
    y = torch.tensor([[0.0, -inf, 1.0, 1.5], [-inf, 1.0, 2.0, 0.0], [0.0, -inf, -inf, 1.0], [-inf, 2.0, -inf, -inf]])
    whole = torch.full((1, 4), -inf)
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        for a, b in ((x, y), (y, x), (torch.cat((x, whole)), torch.cat((y, y[:1]))), (x, whole.expand(4, 4))):
            for row in range(len(a)):
                arguments = {"input": a[row].to(dtype).requires_grad_(), "target": b[row].to(dtype).requires_grad_()}
                got = gradients(divergence, arguments, kind=kind)[:2]  # to the student; a teacher's may be inf - inf
                wanted = gradients(reference.divergence, cases.wide(arguments), kind=kind)[:2]
                for k, (s, t) in enumerate(zip(got, wanted, strict=True)):
                    if k and not wanted[0].isfinite():
                        continue
                    close(s.double(), t, rtol=4 * cases.UNIT[dtype], atol=1e-6, equal_nan=True)


def test_far_logits(isa):
    """A teacher's logits of 1e8 beside a student's of 0.1: softmax (1, 0), and q is softmax(0.1, 0.2)."""
    x, y = torch.tensor([0.1, 0.2]), torch.tensor([1e8, 3.0])
    close(divergence(x, y), torch.tensor(0.1).exp().log1p(), rtol=1e-6, atol=0)
    lowest = torch.finfo(torch.float32).min
    close(divergence(torch.full((4,), lowest), torch.tensor([3.0, 3, 3, 3])), torch.tensor(0.0))
    masked = torch.tensor([lowest, 0.0, 0.0])
    close(divergence(masked, masked, "js"), torch.tensor(0.0))


OPTIONS = (
    dict(temperature=2.0), dict(temperature=0.7, target_temperature=3.0), dict(target_temperature=0.5),
    dict(beta=0.05, alpha=0.3), dict(beta=0.9, alpha=1.5), dict(alpha=-2.0), dict(temperature=torch.tensor(1.5)),
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_options(kind, isa):
    if isa == "none":
        pytest.skip("kernels")
    arguments = both((6, 5, 37))
    weight, mask = torch.rand(6, 5, dtype=torch.float64), torch.rand(6, 5) < 0.6
    rows = (
        {}, dict(weight=weight), dict(mask=mask), dict(weight=weight.float(), mask=mask),
        dict(mask=mask & False, empty="zero"),
        dict(mask=mask & False),
    )  # fmt: skip
    for reduction, options in itertools.product(REDUCTIONS, (*OPTIONS, *rows)):
        check(arguments, 1e-10, kind=kind, reduction=reduction, **options)
    for normalizer in (7.0, torch.tensor(7)):
        check(arguments, 1e-10, kind=kind, normalizer=normalizer, mask=mask)
    assert divergence(**arguments, kind=kind, loss_dtype=torch.float32).dtype == torch.float32


@pytest.mark.parametrize("target_is", ["log_probabilities", "probabilities"])
@pytest.mark.parametrize("kind", KINDS)
def test_probabilities(kind, target_is, isa):
    """Also such that do not add up to 1, and zeros."""
    if isa == "none":
        pytest.skip("kernels")
    arguments = both((6, 37))
    p = arguments["target"].detach().softmax(-1)
    for given in (p, 0.7 * p):
        target = given.log().requires_grad_() if target_is == "log_probabilities" else given
        for reduction in REDUCTIONS:
            check(
                {**arguments, "target": target},
                1e-10,
                kind=kind,
                reduction=reduction,
                target_is=target_is,
                temperature=2.0,
            )
    if kind not in ("reverse_kl", "alpha"):  # infinite there
        sparse = torch.where(p > p.median(), p, 0.0)
        target = sparse.log() if target_is == "log_probabilities" else sparse
        check({**arguments, "target": target}, 1e-10, kind=kind, target_is=target_is)
    exact = {"input": arguments["input"], "target": p}
    assert fastloss.explain(divergence, **exact, target_is="probabilities").path == "kernel"
    exact["target"] = p.clone().requires_grad_()
    assert fastloss.explain(divergence, **exact, target_is="probabilities").path == "reference"
    if kind != "tv":
        for a, b in zip(
            *(gradients(fn, exact, kind=kind, target_is="probabilities") for fn in (divergence, reference.divergence)),
            strict=True,
        ):
            close(a, b)


DTYPES = (torch.float64, torch.float32, *HALF)


@pytest.mark.parametrize("kind", ["kl", "js", "soft_cross_entropy"])
def test_mixed_dtypes(kind, isa):
    if isa == "none":
        pytest.skip("kernels")
    for one, other in itertools.product(DTYPES, DTYPES):
        arguments = {"input": both((4, 45), one)["input"], "target": both((4, 45), other)["target"]}
        check(
            arguments,
            64 * max(cases.compute_unit(one), cases.compute_unit(other)) + 4 * max(cases.UNIT[one], cases.UNIT[other]),
            kind=kind,
            reduction="sum",
        )
        loss, *grads = gradients(divergence, arguments, kind=kind)
        assert [g.dtype for g in grads] == [one, other]
        assert loss.dtype == torch.promote_types(one, other)


@pytest.mark.parametrize("kind", ["reverse_kl", "soft_cross_entropy"])
def test_layouts(kind, isa):
    """The same bits wherever classes and rows lie."""
    for dtype in (torch.float32, torch.bfloat16):
        dense = both((6, 5, 70), dtype)
        wanted = gradients(divergence, dense, kind=kind)

        def laid(t, how):
            if how == "transposed":
                return t.transpose(0, 1).contiguous().transpose(0, 1)
            if how == "classes":
                return t.transpose(-1, -2).contiguous().transpose(-1, -2)
            if how == "apart":
                return F.pad(t, (3, 2))[..., 3:73]
            return t.clone()

        for ours, theirs in itertools.product(("dense", "transposed", "classes", "apart"), repeat=2):
            arguments = {
                "input": laid(dense["input"].detach(), ours).requires_grad_(),
                "target": laid(dense["target"].detach(), theirs).requires_grad_(),
            }
            for a, b in zip(gradients(divergence, arguments, kind=kind), wanted, strict=True):
                assert torch.equal(a, b)
        row = dense["target"].detach()[:1, :1].expand(6, 5, 70)
        close(divergence(dense["input"], row), divergence(dense["input"], row.contiguous()), rtol=0, atol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_one_side(kind, isa):
    """A gradient is the same whether the other one is wanted too, but for what sums of q F_q leave."""
    for dtype, reduction in itertools.product((torch.float32, torch.bfloat16), REDUCTIONS):
        arguments = both((7, 130), dtype)
        _, student, teacher = gradients(divergence, arguments, kind=kind, reduction=reduction)
        for name, wanted in (("input", student), ("target", teacher)):
            alone = {k: t if k == name else t.detach() for k, t in arguments.items()}
            _, got = gradients(divergence, alone, kind=kind, reduction=reduction)
            close(got, wanted, rtol=2 * cases.UNIT[dtype], atol=1e-6)


def test_masked_rows_are_not_there(isa):
    for kind, dtype in itertools.product(KINDS, (torch.float32, torch.bfloat16)):
        arguments, mask = both((50, 18), dtype), torch.rand(50) < 0.5
        broken = {k: torch.where(mask[:, None], t.detach(), math.nan).requires_grad_() for k, t in arguments.items()}
        kept = {k: t.detach()[mask].requires_grad_() for k, t in arguments.items()}
        got, wanted = (
            gradients(divergence, given, kind=kind, reduction="none", **options)
            for given, options in ((broken, dict(mask=mask)), (kept, {}))
        )
        for a, b in zip(got, wanted, strict=True):
            assert torch.equal(a[mask], b)
            assert a[~mask].count_nonzero() == 0


def test_inplace(isa):
    if isa == "none":
        pytest.skip("kernels")
    for kind, dtype, reduction in itertools.product(KINDS, (torch.float32, torch.bfloat16, torch.float16), REDUCTIONS):
        arguments = both((9, 200), dtype)
        leaf = arguments["input"]
        wanted = gradients(divergence, arguments, kind=kind, reduction=reduction)[1]
        logits = leaf * 1.0
        loss = divergence(logits, arguments["target"].detach(), kind, reduction=reduction, inplace=True)
        loss.sum().backward()
        if reduction != "none" and dtype != torch.float16:
            close(logits.detach(), wanted, rtol=2 * cases.UNIT[dtype], atol=1e-7)
        close(leaf.grad, wanted, rtol=2 * cases.UNIT[dtype], atol=1e-7)
    with pytest.raises(RuntimeError, match="leaf"):
        divergence(leaf, leaf.detach().clone(), inplace=True)


@pytest.mark.parametrize("target_is", ["logits", "log_probabilities", "probabilities"])
@pytest.mark.parametrize("kind", KINDS)
def test_top_k(kind, target_is):
    """Sums over k classes as they are, with a tail as one more class."""
    x, y = both((5, 40))["input"], both((5, 40))["target"].detach()
    k, p = 7, y.softmax(-1)
    values, indices = p.topk(k)
    if target_is == "logits":
        given, values = y.gather(-1, indices), y.gather(-1, indices).softmax(-1)
    else:
        given = values.log() if target_is == "log_probabilities" else values
    q = x.softmax(-1)
    others = torch.ones_like(q).scatter(-1, indices, 0.0)
    for tail in (False, True):
        bins_p, bins_q = values, q.gather(-1, indices)
        if tail:
            bins_p = torch.cat((bins_p, 1 - bins_p.sum(-1, keepdim=True)), -1)
            bins_q = torch.cat((bins_q, (q * others).sum(-1, keepdim=True)), -1)
        if tail and target_is == "logits":
            bins_p[:, -1] = 0.0
        m = 0.5 * (bins_p + bins_q)
        wanted = {
            "kl": torch.special.xlogy(bins_p, bins_p / bins_q), "reverse_kl": bins_q * (bins_q / bins_p).log(),
            "js": 0.5 * torch.special.xlogy(bins_p, bins_p / m) + 0.5 * bins_q * (bins_q / m).log(),
            "tv": 0.5 * (bins_p - bins_q).abs(), "soft_cross_entropy": -torch.special.xlogy(bins_p, bins_q),
            "alpha": -4 * (bins_p * bins_q).sqrt(),
        }[kind].sum(-1) + (4.0 if kind == "alpha" else 0.0)  # fmt: skip
        got = divergence(x, (given, indices), kind, target_is=target_is, tail=tail, reduction="none")
        close(got, wanted)
        if wanted.isfinite().all() and not (tail and target_is == "logits"):  # there xlogy has no slope at 0 / q
            a, b = (torch.autograd.grad(v.sum(), x, retain_graph=True)[0] for v in (got, wanted))
            close(a, b)
        mask = torch.rand(5) < 0.6
        broken = torch.where(mask[:, None], x.detach(), math.nan).requires_grad_()
        loss = divergence(broken, (given, indices), kind, target_is=target_is, tail=tail, mask=mask, reduction="none")
        close(loss, torch.where(mask, got, 0.0))
        if got.isfinite().all():
            assert torch.autograd.grad(loss.sum(), broken)[0][~mask].count_nonzero() == 0
        half = divergence(x.bfloat16(), (given.bfloat16(), indices), kind, target_is=target_is, tail=tail)
        assert half.dtype == torch.bfloat16
    if _ops.AVAILABLE:
        assert fastloss.explain(divergence, x, (given, indices)).path == "kernel"
    assert fastloss.explain(divergence, x, (given, indices), tail=True).path == "reference"


def test_second_derivatives(isa):
    arguments = both((4, 9))
    for kind, reduction in itertools.product(
        ("kl", "reverse_kl", "js", "alpha", "soft_cross_entropy"), ("mean", "none")
    ):
        tensors = tuple(arguments.values())
        assert torch.autograd.gradgradcheck(lambda x, y, k=kind, r=reduction: divergence(x, y, k, reduction=r), tensors)
        assert torch.autograd.gradcheck(lambda x, y, k=kind, r=reduction: divergence(x, y, k, reduction=r), tensors)


ERRORS = (
    (TypeError, "target is float", lambda x: divergence(x, 1.0)),
    (TypeError, "input is list", lambda x: divergence([x], x)),
    (ValueError, "kind must be one of kl, reverse_kl", lambda x: divergence(x, x, "hellinger")),
    (ValueError, "target_is must be one of", lambda x: divergence(x, x, target_is="odds")),
    (ValueError, "beta must be between 0 and 1", lambda x: divergence(x, x, "js", beta=1.0)),
    (ValueError, "neither 0 nor 1", lambda x: divergence(x, x, "alpha", alpha=1.0)),
    (ValueError, "temperature must be positive", lambda x: divergence(x, x, temperature=0.0)),
    (ValueError, "target_temperature must be positive", lambda x: divergence(x, x, target_temperature=-1.0)),
    (ValueError, "tail=True needs", lambda x: divergence(x, x, tail=True)),
    (ValueError, "valid value for reduction", lambda x: divergence(x, x, reduction="average")),
    (ValueError, "3 parts", lambda x: divergence(x, (x, x, x))),
    (RuntimeError, "expected a target of input's shape", lambda x: divergence(x, x[:, :3])),
    (RuntimeError, "floating point", lambda x: divergence(x, x.long())),
    (RuntimeError, "indices are", lambda x: divergence(x, (x[:, :2], x[:, :2]))),
    (RuntimeError, "mask is", lambda x: divergence(x, x, mask=torch.ones(3))),
    (RuntimeError, "weight has shape", lambda x: divergence(x, x, weight=torch.ones(5))),
    (TypeError, "unexpected argument masks", lambda x: divergence(x, x, masks=None)),
)


@pytest.mark.parametrize(("kind", "text", "call"), ERRORS)
def test_errors(kind, text, call):
    with pytest.raises(kind, match=text) as caught:
        call(torch.randn(3, 5))
    if "valid value" not in text:
        assert str(caught.value).startswith("fastloss.divergence: ")
