"""`token_logprobs`: every output and its gradient against float64, on every path, and what surrounds the numbers."""

import itertools

import pytest
import torch
from cases import DTYPES, UNDERFLOW, UNIT

import fastloss
from fastloss import functional, reference
from fastloss._core import operators as _ops

close = torch.testing.assert_close
OUTPUTS = ("logprob", "entropy", "lse")
# Rows and classes around vectors, chunks (4096) and tiles (256 of 16 rows) of the CPU, and groups of threads on CUDA.
SHAPES = ((3, 1), (70, 3), (5, 17), (33, 255), (17, 257), (3, 1000), (2, 1025), (3, 4097), (2, 8200))
LAYOUTS = {
    "flat": lambda x: x,
    "padded": lambda x: torch.nn.functional.pad(x, (1, 2))[:, 1 : 1 + x.shape[1]],
    "transposed": lambda x: x.mT.contiguous().mT,
    "every second": lambda x: x.repeat_interleave(2, 1)[:, ::2],
    "three dimensions": lambda x: x.unsqueeze(0),
    "classes before": lambda x: x.unsqueeze(0).mT.contiguous().mT,
}
OPTIONS = (
    {},
    {"temperature": 0.7},
    {"softcap": 5.0, "temperature": 2.0},
)
TARGETS = ("one", "three", "none")


def make(shape, dtype, targets="one", scale=3.0):
    """Logits, targets of which some are ignored, and a mask."""
    x = (torch.randn(shape, dtype=torch.float64) * scale).to(dtype)
    if targets == "none":
        return x, None, torch.rand(shape[0]) < 0.8
    target = torch.randint(shape[1], shape[:1] if targets == "one" else (shape[0], 3))
    target[torch.rand(target.shape) < 0.2] = -100
    return x, target, torch.rand(shape[0]) < 0.8


def outputs(function, x, target, upstream, **options):
    """The outputs, and the gradient for these upstream gradients."""
    leaf = x.detach().requires_grad_()
    made = function(leaf, target, return_entropy=True, return_lse=True, **options)
    total = sum((o.double() * u).sum() for o, u in zip(made, upstream, strict=True) if o is not None)
    (grad,) = torch.autograd.grad(total, leaf)
    return [None if o is None else o.detach().cpu() for o in made], grad.cpu()


def check(x, target, mask, **options):
    rows = x.shape[:-1]
    if mask is not None:
        options["mask"] = mask.reshape(rows)
    if target is not None:
        target = target.reshape(*rows, *target.shape[1:])
    # Numbers of the outputs' dtype, which upstream gradients have.
    shapes = (() if target is None else target.shape, rows, rows)
    upstream = [torch.randn(shape).to(x.dtype).double() for shape in shapes]
    ours, grad = outputs(functional.token_logprobs, x, target, upstream, **options)
    exact, exact_grad = outputs(reference.token_logprobs, x.double(), target, upstream, **options)
    # A logit is rounded where it is tempered and where the maximum is taken away, an exponential by a few units more;
    # then the result once.
    size = 1 + x.double().abs().max() / options.get("temperature", 1.0)
    unit = 16 * UNIT[torch.float64 if x.dtype == torch.float64 else torch.float32] * size

    def near(got, wanted, factor=1.0):
        error, rounding = (got.double() - wanted).abs(), 2 * UNIT[x.dtype] * wanted.abs() + UNDERFLOW[x.dtype]
        assert (error <= unit * factor + rounding).all(), float((error - rounding).max() / unit)

    for got, wanted in zip(ours, exact, strict=True):
        assert (got is None) == (wanted is None)
        if got is not None:
            assert got.dtype == x.dtype
            near(got, wanted)
    near(grad, exact_grad, 4 * sum(u.abs().max() for u in upstream) / options.get("temperature", 1.0))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_against_float64(isa, layout, shape, dtype):
    for targets, options in itertools.product(TARGETS, OPTIONS):
        x, target, mask = make(shape, dtype, targets)
        check(LAYOUTS[layout](x), target, mask, **options)


def test_many_dimensions_and_rows(isa):
    x, target, mask = make((2 * 3 * 50, 40), torch.float32)
    check(x.view(2, 3, 50, 40), target, mask)
    check(x.view(2, 3, 50, 40).transpose(0, 2).contiguous().transpose(0, 2), target, mask)
    check(x.view(2, 3, 50, 40).permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1), target, mask)


def test_near_one(isa):
    """Log-probability, entropy and the target's gradient keep their relative accuracy as p nears 1."""
    for margin, shift in itertools.product((5.0, 20.0, 40.0), (0.0, 60.0)):
        x = torch.randn(50, 300)
        target = torch.randint(300, (50,))
        x[range(50), target] = margin
        x = (x + shift).float()
        ours, exact = (
            outputs(f, y, target, [torch.ones(50), torch.zeros(50), torch.zeros(50)])
            for f, y in ((functional.token_logprobs, x), (reference.token_logprobs, x.double()))
        )
        rest = x.double().clone()
        rest[range(50), target] = -torch.inf
        q = (rest.logsumexp(1) - x.double().logsumexp(1)).exp()
        close(ours[0][0].double(), torch.log1p(-q), rtol=2e-5, atol=0)
        close(ours[1][range(50), target].double(), q, rtol=2e-5, atol=0)
        close(ours[0][1].double(), exact[0][1], rtol=5e-5 if margin < 30 else 1.0, atol=0)


def test_extreme_logits(kernel):
    inf = torch.inf
    x = torch.tensor(
        [[-inf, 0.0, 1.0], [-inf, -inf, 2.0], [-inf, -inf, -inf], [1e30, -1e30, 0.0], [torch.nan, 0.0, 1.0]],
        dtype=torch.float64,
    )
    target = torch.tensor([1, 2, 0, 0, 1])
    upstream = [torch.ones(5), torch.ones(5), torch.ones(5)]
    ours, exact = (outputs(f, x, target, upstream) for f in (functional.token_logprobs, reference.token_logprobs))
    for got, wanted in zip((*ours[0], ours[1]), (*exact[0], exact[1]), strict=True):
        close(got[:2], wanted[:2])
        close(got[3], wanted[3])
        close(got[4], wanted[4], equal_nan=True)
    assert ours[0][0][2].isnan()
    assert ours[0][2][2] == -inf
    assert ours[1][2].isnan().all()
    ours = functional.token_logprobs(x, torch.tensor([0, 2, 2, 0, 1]))
    assert ours[0] == -inf


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_rows_that_do_not_count(isa, dtype):
    """Zeros, and a zero gradient, whatever the logits."""
    for bad, shape, inplace in itertools.product((torch.nan, torch.inf), ((40, 7), (40, 1500)), (False, True)):
        x = torch.randn(shape).to(dtype)
        target, mask = torch.randint(shape[1], (40,)), torch.arange(40) % 3 != 0
        target[1] = 0
        x[::3], x[1] = bad, bad
        leaf = x.clone().requires_grad_()
        made = functional.token_logprobs(
            leaf * 1, target, return_entropy=True, return_lse=True, mask=mask, ignore_index=0, inplace=inplace
        )
        sum(o.float().sum() for o in made).backward()
        off = ~mask | (target == 0)
        for o in made:
            assert (o[off] == 0).all()
            assert o.isfinite().all()
        assert (leaf.grad[off] == 0).all()
        assert leaf.grad.isfinite().all()


def test_is_minus_cross_entropy(isa):
    x, target, mask = make((37, 1000), torch.float32)
    options = {"softcap": 3.0, "temperature": 1.5, "mask": mask}
    wanted = -functional.cross_entropy(x, target, reduction="none", **options)
    close(functional.token_logprobs(x, target, **options), wanted)


def test_what_is_returned():
    x, target, _ = make((6, 9), torch.float32)
    assert isinstance(functional.token_logprobs(x, target), torch.Tensor)
    both = functional.token_logprobs(x, target, return_entropy=True)
    assert isinstance(both, fastloss.TokenLogprobs)
    assert both.lse is None
    only = functional.token_logprobs(x, None, return_entropy=True, return_lse=True)
    assert only.logprob is None
    close(only.entropy, torch.distributions.Categorical(logits=x).entropy())
    close(only.lse, x.logsumexp(-1))
    # The shapes of TRL's selective_log_softmax and entropy_from_logits.
    logits, index = torch.randn(2, 5, 11), torch.randint(11, (2, 5, 3))
    close(functional.token_logprobs(logits, index), logits.log_softmax(-1).gather(-1, index))
    close(functional.token_logprobs(logits, index[..., 0]), logits.log_softmax(-1).gather(-1, index[..., :1])[..., 0])
    assert functional.token_logprobs(logits, None, return_entropy=True).entropy.shape == (2, 5)
    half = functional.token_logprobs(x.bfloat16(), target, loss_dtype=torch.float32)
    assert half.dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        assert functional.token_logprobs(x.bfloat16(), target).dtype == torch.float32
    assert functional.token_logprobs(torch.randn(0, 4), torch.zeros(0, dtype=torch.int64)).shape == (0,)
    vector = torch.randn(9)
    close(functional.token_logprobs(vector, torch.tensor(3)), vector.log_softmax(0)[3])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_hits(dtype):
    """Of equal logits the first one counts, as `argmax` has it; what is ignored is no hit."""
    x = torch.randint(8, (60, 5)).to(dtype)
    mask = torch.arange(60) % 3 != 0
    for target in (torch.randint(5, (60,)), torch.randint(5, (60, 2))):
        top = torch.tensor([row.index(max(row)) for row in x.tolist()])
        keep = mask
        if target.dim() == 2:
            top, keep = top.unsqueeze(1), mask.unsqueeze(1)
        for room, options in itertools.product((functional, reference), ({}, {"return_entropy": True, "softcap": 1.0})):
            plain = room.token_logprobs(x, target, mask=mask, ignore_index=0, **options)
            made = room.token_logprobs(x, target, mask=mask, ignore_index=0, return_hits=True, **options)
            assert isinstance(made, fastloss.TokenHits)
            assert torch.equal(made.hit, (target == top) & keep & (target != 0))
            assert made.hit.any()
            for a, b in zip(plain if options else (plain,), made, strict=False):
                assert (a is None and b is None) or torch.equal(a, b)
    with pytest.raises(ValueError, match=r"^fastloss.token_logprobs: return_hits=True needs a target"):
        functional.token_logprobs(x, None, return_hits=True)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_same_bits_for_any_threads(isa, threads):
    x, target, _ = make((300, 1000), torch.float32)
    upstream = [torch.randn(300, dtype=torch.float64) for _ in OUTPUTS]
    torch.set_num_threads(1)
    one, one_grad = outputs(functional.token_logprobs, x, target, upstream)
    torch.set_num_threads(threads)
    more, grad = outputs(functional.token_logprobs, x, target, upstream)
    assert all(map(torch.equal, (*one, one_grad), (*more, grad)))


def test_inplace(kernel):
    x, target, mask = make((64, 300), torch.float32)
    grads = []
    for inplace in (False, True):
        leaf = x.clone().requires_grad_()
        logits = leaf * 1.0
        address = logits.data_ptr()
        made = functional.token_logprobs(logits, target, return_entropy=True, mask=mask, inplace=inplace)
        seen = []
        logits.register_hook(lambda g, seen=seen: seen.append(g.data_ptr()))
        (made.logprob + made.entropy).sum().backward(retain_graph=True)
        assert (seen[0] == address) == (inplace and _ops.AVAILABLE)
        grads.append(leaf.grad)
    assert torch.equal(*grads)
    if _ops.AVAILABLE:
        with pytest.raises(RuntimeError, match="second backward"):
            made.logprob.sum().backward()
    with pytest.raises(RuntimeError, match="leaf"):
        functional.token_logprobs(leaf, target, inplace=True)


def test_twice_differentiable(kernel):
    x, target, mask = make((5, 7), torch.float64, "three")
    leaf = x.requires_grad_()

    def made(x):
        return tuple(
            functional.token_logprobs(
                x, target, return_entropy=True, return_lse=True, softcap=3.0, temperature=0.8, mask=mask
            )
        )

    assert torch.autograd.gradcheck(made, leaf)
    assert torch.autograd.gradgradcheck(made, leaf)
    # A retained graph, and many upstream gradients at once.
    entropy = made(leaf)[1]
    first, second = (torch.autograd.grad(entropy.sum(), leaf, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)
    rows = torch.autograd.grad(entropy, leaf, torch.eye(5, dtype=torch.float64), is_grads_batched=True)[0]
    close(rows.sum(0), first)


def test_learned_temperature():
    x, target, _ = make((5, 7), torch.float64)
    temperature = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: functional.token_logprobs(x, target, temperature=t), temperature)
    assert fastloss.explain(functional.token_logprobs, x, target, temperature=temperature).path == "reference"


@pytest.mark.filterwarnings("ignore")
def test_inside_torch():
    x, target, mask = make((64, 300), torch.float32)
    leaf = x.requires_grad_()

    def step(x, target):
        made = functional.token_logprobs(x, target, return_entropy=True, mask=mask)
        return (made.logprob - made.entropy).sum()

    compiled = torch.compile(step, fullgraph=True, backend="aot_eager")
    for function in (step, compiled):
        close(torch.autograd.grad(function(leaf, target), leaf), torch.autograd.grad(step(leaf, target), leaf))

    class Module(torch.nn.Module):
        def forward(self, x, target):
            return functional.token_logprobs(x, target, return_lse=True).lse

    exported = torch.export.export(Module(), (leaf, target)).module()
    close(exported(leaf, target), Module()(leaf, target))
    x, target = torch.randn(3, 4, 5), torch.randint(5, (3, 4))
    close(torch.func.vmap(functional.token_logprobs)(x, target), functional.token_logprobs(x, target))
    grad = torch.func.grad(lambda x: functional.token_logprobs(x, target).sum())(x)
    close(grad, torch.nn.functional.one_hot(target, 5) - x.softmax(-1))


BAD = (
    ({"target": torch.tensor([0, 5, 1])}, IndexError, r"target 5 at row 1 is out of bounds, expected \[0, 5\)"),
    ({"target": torch.tensor([[0, 1], [1, 1], [2, -7]])}, IndexError, "target -7 at row 2"),
    ({"target": torch.zeros(3)}, RuntimeError, "target is torch.float32, expected class indices"),
    ({"target": torch.tensor([0, 1])}, RuntimeError, r"target has shape \(2,\), expected \(3,\)"),
    ({"target": [0, 1, 2]}, TypeError, "target is list, expected a Tensor"),
    ({"input": torch.zeros(3, 5, dtype=torch.int64)}, RuntimeError, "expected floating point logits"),
    ({"input": None}, TypeError, "input is NoneType, expected a Tensor"),
    ({"temperature": 0.0}, ValueError, "temperature must be positive"),
    ({"softcap": -1.0}, ValueError, "softcap must be positive"),
    ({"temperature": "hot"}, TypeError, "temperature is str, expected a number"),
    ({"mask": torch.ones(3)}, RuntimeError, "mask is torch.float32 of shape"),
    ({"loss_dtype": torch.int64}, TypeError, "loss_dtype must be a floating point dtype"),
)


@pytest.mark.parametrize(("change", "kind", "words"), BAD, ids=lambda value: value if isinstance(value, str) else "")
def test_errors(change, kind, words):
    arguments = {"input": torch.randn(3, 5), "target": torch.tensor([0, 1, 2]), **change}
    for function in (functional.token_logprobs, reference.token_logprobs):
        with pytest.raises(kind, match=f"^fastloss.token_logprobs: .*{words}"):
            function(**arguments)


def test_explain():
    x, target, _ = make((64, 300), torch.float32)
    path = "kernel" if _ops.AVAILABLE else "reference"
    assert fastloss.explain(functional.token_logprobs, x, target).path == path
    assert fastloss.explain(functional.token_logprobs, x.to_sparse(), target).path == "reference"


@pytest.mark.skipif(not _ops.AVAILABLE, reason="the extension is not built")
def test_operators():
    x, target, numbers = torch.randn(6, 9), torch.randint(9, (6,)), (0.0, 1.0, -100, 9)
    state, logprob = torch.empty(2, 6), torch.empty(6)
    forward, backward = torch.ops.fastloss.row_outputs.default, torch.ops.fastloss.row_outputs_backward.default
    good = (x, target, None, None, numbers, False, state, logprob, None, None, None)
    torch.library.opcheck(forward, good)
    forward(*good)
    grad = (x, target, None, None, numbers, state, None, torch.ones(6), None, None, None, torch.empty(6, 9))
    torch.library.opcheck(backward, grad)

    def refuses(operator, arguments, words, **changes):
        changed = [changes.get(f"a{k}", a) for k, a in enumerate(arguments)]
        with pytest.raises(RuntimeError, match=words):
            operator(*changed)

    refuses(forward, good, "memory of its own", a7=state[0])
    refuses(forward, good, "memory of its own", a6=x.view(-1)[:12].view(2, 6))
    refuses(forward, good, "12 numbers", a6=torch.empty(3, 6))
    refuses(forward, good, "adjacent", a6=torch.empty(6, 2).t())
    refuses(forward, good, "int64 targets", a1=target.int())
    refuses(forward, good, "out of bounds", a1=target + 9)
    refuses(forward, good, "classes, or one less", a4=(0.0, 1.0, -100, 8))
    refuses(forward, good, "4 numbers", a4=(0.0, 1.0))
    refuses(forward, good, "weights of the classes", a10=torch.empty(6))
    refuses(backward, grad, "shape, dtype and device", a11=torch.empty(6, 8))
    refuses(backward, grad, "expected the entropy", a8=torch.ones(6))
    refuses(backward, grad, "share no memory", a11=torch.empty(9).expand(6, 9))


def test_perplexity_and_causal_lm_loss():
    logits = torch.randn(3, 7, 11, requires_grad=True)
    labels = torch.randint(11, (3, 7))
    labels[0, 3] = -100
    flat = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), reduction="sum")
    count = (labels[:, 1:] != -100).sum()
    for room in (functional, reference):
        close(room.causal_lm_loss(logits, labels), flat / count)
        close(room.causal_lm_loss(logits, labels, 5), flat / 5)
        close(room.causal_lm_loss(logits, labels, torch.tensor(5)), flat / 5)
        shifted = torch.nn.functional.pad(labels, (0, 1), value=-100)[:, 1:]
        close(room.causal_lm_loss(logits, labels * 0, shift_labels=shifted), flat / count)
        plain = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten()).exp()
        close(room.perplexity(logits, labels), plain)
        assert room.causal_lm_loss(logits.bfloat16(), labels).dtype == torch.float32
        assert room.perplexity(logits.bfloat16(), labels).dtype == torch.float32
    (ours,) = torch.autograd.grad(fastloss.CausalLMLoss()(logits, labels), logits)
    close(ours, torch.autograd.grad(flat / count, logits)[0])
    close(fastloss.Perplexity(temperature=2.0)(logits, labels), functional.perplexity(logits / 2, labels))
