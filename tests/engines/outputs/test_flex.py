"""`flex_cross_entropy`: any formula of a row gives what autograd gives, and the built-in losses where it is theirs."""

import itertools

import pytest
import torch
from cases import UNIT

import fastloss
from fastloss import functional, reference
from fastloss.engines import flex

close = torch.testing.assert_close
DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
SHAPES = ((300,), (37, 50), (3, 50, 11), (2, 7, 3, 5))
TOLERANCE = {torch.float64: 2.0**-42, torch.float32: 2.0**-16, torch.bfloat16: 2.0**-6, torch.float16: 2.0**-8}


@pytest.fixture(params=["tiny", "whole", "blocks"])
def blocks(request, monkeypatch, kernel):
    if request.param != "tiny":
        monkeypatch.setattr(flex, "TINY", -1)
    if request.param == "blocks":
        monkeypatch.setattr(flex, "BLOCK_BYTES", 300)


def make(shape, dtype, last=False):
    x = torch.randn(shape).to(dtype)
    if last and len(shape) > 2:  # classes lie last in memory
        x = x.movedim(1, -1).contiguous().movedim(-1, 1)
    rows, classes = (shape[:1] + shape[2:], shape[1]) if len(shape) > 1 else ((), shape[0])
    target = torch.randint(classes, rows)
    if rows:
        target[torch.rand(rows) < 0.2] = -100
    return x, target


def draw(generator):
    """A formula of three to six random terms, of captured tensors too, as a function of the row and those."""
    terms = {
        "nll": lambda r, w, t: -r.logprob,
        "focal": lambda r, w, t: -r.others.square() * r.logprob,
        "power": lambda r, w, t: (1 - r.prob.pow(0.7)) / 0.7,
        "z": lambda r, w, t: 0.01 * r.lse.square(),
        "entropy": lambda r, w, t: -0.3 * r.entropy,
        "weighed": lambda r, w, t: -w[r.index] * r.logprob,
        "by class": lambda r, w, t: r.prob * r.target,
        "learned": lambda r, w, t: r.others**t * r.entropy,
        "odds": lambda r, w, t: torch.tanh(r.logprob - r.others.log()),
        "ratio": lambda r, w, t: -torch.minimum((r.logprob - w[r.index]).exp(), t * w[r.index]),
    }
    names = [*terms]
    count = 3 + int(torch.randint(4, (), generator=generator))
    chosen = [names[k] for k in torch.randperm(len(names), generator=generator)[:count]]
    factors = torch.rand(count, generator=generator) + 0.5
    return chosen, lambda r, w, t: sum(float(f) * terms[n](r, w, t) for f, n in zip(factors, chosen, strict=True))


def solve(function, x, target, formula, w, t, upstream, **options):
    leaves = [v.detach().clone(memory_format=torch.preserve_format).requires_grad_() for v in (x, w, t)]
    loss = function(leaves[0], target, lambda row: formula(row, leaves[1], leaves[2]), **options)
    grads = torch.autograd.grad(loss, leaves, torch.full_like(loss, upstream), allow_unused=True)
    return [loss.detach(), *(torch.zeros_like(v) if g is None else g for v, g in zip(leaves, grads, strict=True))]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("seed", range(12))
def test_random_formulas(seed, dtype, blocks):
    """Value and gradients, of captured tensors too, against autograd in float64."""
    generator = torch.Generator().manual_seed(seed)
    chosen, formula = draw(generator)
    shape, reduction = SHAPES[seed % len(SHAPES)], ("mean", "sum", "none")[seed % 3]
    x, target = make(shape, dtype, last=seed % 2 == 1)
    wide = torch.promote_types(dtype, torch.float32)
    w, t = torch.rand(max(1, target.numel())).to(wide) + 0.5, torch.tensor(2.0, dtype=wide)
    options = {"reduction": reduction, **({"softcap": 5.0, "temperature": 0.8} if seed % 4 == 0 else {})}
    upstream = 1.5 if seed % 5 else 1.0
    ours = solve(functional.flex_cross_entropy, x, target, formula, w, t, upstream, **options)
    exact = solve(
        reference.flex_cross_entropy, x.double(), target, formula, w.double(), t.double(), upstream, **options
    )
    for got, wanted in zip(ours, exact, strict=True):
        error = (got.double() - wanted).abs() / (1 + wanted.abs())
        assert error.max() < TOLERANCE[dtype], (chosen, float(error.max()))


BUILT_IN = {
    "cross_entropy": (lambda r: -r.logprob, {}),
    "cross_entropy, z": (lambda r: -r.logprob + 0.1 * r.lse.square(), {"z_loss": 0.1}),
    "softmax_focal_loss": (lambda r: -r.others.pow(1.5) * r.logprob, {"gamma": 1.5}),
    "poly1_cross_entropy": (lambda r: r.others * 2 - r.logprob, {"epsilon": 2.0}),
}


@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_built_in_losses(name, reduction, blocks):
    formula, options = BUILT_IN[name]
    built_in = getattr(functional, name.partition(",")[0])
    for shape, mask in itertools.product(((70, 300), (3, 50, 40)), (False, True)):
        x, target = make(shape, torch.float32)
        more = {"mask": torch.rand(target.shape) < 0.8} if mask else {}
        found = []
        for function, given in (
            (lambda x, target, **o: functional.flex_cross_entropy(x, target, formula, **o), {}),
            (built_in, options),
        ):
            leaf = x.clone().requires_grad_()
            loss = function(leaf, target, reduction=reduction, softcap=4.0, **more, **given)
            found.append((loss, *torch.autograd.grad(loss.sum(), leaf)))
        for a, b in zip(*found, strict=True):
            close(a, b, rtol=64 * UNIT[torch.float32], atol=64 * UNIT[torch.float32])


def test_twice_differentiable(blocks):
    """Mixed derivatives in logits and captured tensors too, which go another way than the gradient."""
    x, target = make((9, 5), torch.float64)
    x, w = x.requires_grad_(), torch.rand(9, dtype=torch.float64, requires_grad=True)

    def alone(x):
        return functional.flex_cross_entropy(x, target, lambda r: r.others.square() * r.entropy - r.lse * r.logprob)

    def together(x, w):
        return functional.flex_cross_entropy(
            x, target, lambda r: w[r.index] * r.others.square() * r.entropy - r.logprob
        )

    for function, leaves in ((alone, (x,)), (together, (x, w))):
        assert torch.autograd.gradcheck(function, leaves)
        assert torch.autograd.gradgradcheck(function, leaves)
    loss = together(x, w)
    first, second = (torch.autograd.grad(loss, x, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)
    loss = alone(x)
    rows = torch.autograd.grad(loss, x, torch.tensor([1.0, -2.0]).double(), is_grads_batched=True, retain_graph=True)[0]
    (wanted,) = torch.autograd.grad(loss, x, retain_graph=True)
    close(rows, torch.stack((wanted, -2 * wanted)))
    # The gradient and a derivative of it in one graph.
    loss = together(x, w)
    (grad,) = torch.autograd.grad(loss, x, create_graph=True)
    (total,) = torch.autograd.grad(loss + grad.square().sum(), x, retain_graph=True)
    (of_grad,) = torch.autograd.grad(grad.square().sum(), x)
    close(total, first + of_grad)


def test_logits_that_change_before_a_second_backward(blocks):
    x, target = make((9, 5), torch.float32)
    logits = x.requires_grad_() * 1
    for changed in (logits, target):
        loss = functional.flex_cross_entropy(logits, target, lambda r: -r.logprob)
        loss.backward(retain_graph=True)
        with torch.no_grad():
            changed.mul_(1)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            loss.backward()


def test_likely_and_impossible_classes(blocks):
    """1 - p keeps its relative accuracy, and 0 log 0 is 0, in value and gradient."""
    dtype = torch.float32  # float64's formula is exact to 1e-7 of what is left there
    x, target = make((9, 30), dtype)
    target = target.clamp_min(0)
    x[:4].scatter_add_(1, target[:4, None], torch.full((4, 1), 25.0).to(dtype))
    x[5:, -3:] = -torch.inf
    target[5:] %= 20
    formulas = (lambda r, w, t: r.others, lambda r, w, t: r.entropy - r.logprob, lambda r, w, t: r.lse + r.prob)
    empty = torch.zeros((), dtype=torch.float64)
    for formula in formulas:
        ours = solve(functional.flex_cross_entropy, x, target, formula, empty, empty, 1.0, reduction="none")
        exact = solve(reference.flex_cross_entropy, x.double(), target, formula, empty, empty, 1.0, reduction="none")
        relative = 64 * UNIT[dtype]
        close(ours[0].double(), exact[0], rtol=relative, atol=0 if formula is formulas[0] else relative)
        close(ours[1].double(), exact[1], rtol=relative, atol=relative)


def test_a_captured_tensor_alone(blocks):
    """Values that are a part of a learned tensor, or the tensor itself, and of no row: its gradient is there."""
    x, target = make((9, 30), torch.float64)
    target, x, w = target.clamp_min(0), x.requires_grad_(), torch.rand(9).double().requires_grad_()
    for formula in (lambda r: w[r.index], lambda r: w[r.index] - 0 * r.logprob):
        grads = torch.autograd.grad(functional.flex_cross_entropy(x, target, formula), (x, w), allow_unused=True)
        assert grads[0] is None or not grads[0].any()
        close(grads[1], torch.full_like(w, 1 / 9))


def test_no_rows_and_no_gradient(kernel):
    x, target = make((6, 9), torch.float32)
    ignored = torch.full_like(target, -100)
    leaf = x.clone().requires_grad_()
    for empty, value in (("nan", torch.nan), ("zero", 0.0)):
        loss = functional.flex_cross_entropy(leaf, ignored, lambda r: -r.logprob, empty=empty)
        close(loss, torch.tensor(value), equal_nan=True)
        assert (torch.autograd.grad(loss, leaf)[0] == 0).all()
    with torch.no_grad():
        assert not functional.flex_cross_entropy(leaf, target, lambda r: -r.logprob).requires_grad
    constant = functional.flex_cross_entropy(leaf, target, lambda r: torch.ones_like(r.logprob))
    assert (torch.autograd.grad(constant, leaf)[0] == 0).all()
    loss = functional.flex_cross_entropy(leaf, target, lambda r: -r.logprob, normalizer=3.0)
    close(loss, functional.cross_entropy(leaf, target, normalizer=3.0))


@pytest.mark.filterwarnings("ignore")
def test_inside_torch(kernel):
    x, target = make((9, 30), torch.float32)
    leaf = x.requires_grad_()

    def step(x):
        return functional.flex_cross_entropy(x, target, lambda r: -r.logprob * r.others + r.entropy)

    compiled = torch.compile(step, fullgraph=True, backend="aot_eager")
    close(torch.autograd.grad(compiled(leaf), leaf), torch.autograd.grad(step(leaf), leaf))
    close(torch.func.grad(step)(x.detach()), torch.autograd.grad(step(leaf), leaf)[0])
    path = "kernel" if fastloss._core.operators.AVAILABLE else "reference"
    assert fastloss.explain(step, leaf).path == path


BAD = (
    ({"row_loss": lambda r: 1.0}, ValueError, r"row_loss returned float, expected a tensor of shape \(3,\)"),
    ({"row_loss": lambda r: r.logprob.sum()}, ValueError, r"row_loss returned \(\)"),
    ({"row_loss": None}, TypeError, "row_loss is NoneType, expected a function"),
    ({"target": torch.tensor([0, 5, 1])}, IndexError, "target 5 at row 1 is out of bounds"),
    ({"target": torch.zeros(3, 2, dtype=torch.int64)}, RuntimeError, "expected one class for each row"),
    ({"normalizer": 2.0, "reduction": "sum"}, ValueError, "needs reduction='mean'"),
    ({"temperature": -1.0}, ValueError, "temperature must be positive"),
)


@pytest.mark.parametrize(("change", "kind", "words"), BAD, ids=lambda value: value if isinstance(value, str) else "")
def test_errors(change, kind, words):
    arguments = {"input": torch.randn(3, 5), "target": torch.tensor([0, 1, 2]), "row_loss": lambda r: -r.logprob}
    for function in (functional.flex_cross_entropy, reference.flex_cross_entropy):
        with pytest.raises(kind, match=f"^fastloss.flex_cross_entropy: .*{words}"):
            function(**{**arguments, **change})
