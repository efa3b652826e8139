"""Rows of a linear layer's logits on strips: what all logits give in float64, and what strips hold and multiply."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
import torch.utils.checkpoint
from cases import DTYPES, UNIT
from recorder import recorded_calls
from test_strips import Watch

import fastloss
from fastloss import functional, reference
from fastloss._core import operators as _ops

pytestmark = pytest.mark.skipif(not _ops.AVAILABLE, reason="the extension is not built")
close = torch.testing.assert_close
N, D, C = 100, 20, 13
KINDS = ("kl", "reverse_kl", "js", "tv", "alpha", "soft_cross_entropy")


def formula(row):
    return 0.1 * row.lse.square() - row.logprob * row.others - 0.01 * row.entropy


def layer(dtype, bias=True):
    made = {"input": torch.randn(N, D), "linear_weight": 2 / math.sqrt(D) * torch.randn(C, D)}
    if bias:
        made["linear_bias"] = torch.randn(C)
    return {name: t.to(dtype) for name, t in made.items()}


def classes(*more):
    target = torch.randint(C, (N, *more))
    target[::5] = -100
    return target


def wide(value):
    if isinstance(value, tuple):
        return tuple(map(wide, value))
    return value.detach().double() if isinstance(value, torch.Tensor) and value.is_floating_point() else value


def run(function, vectors, upstream=2.5, **options):
    """What is returned, then the gradients of vectors."""
    leaves = {name: t.detach().requires_grad_() for name, t in vectors.items()}
    made = function(**leaves, **options)
    made = [t for t in (made if isinstance(made, tuple) else (made,)) if t is not None]
    seeds = [torch.full_like(t, upstream * (k + 1)) for k, t in enumerate(made)]
    return [*(t.detach() for t in made), *torch.autograd.grad(made, [*leaves.values()], seeds)]


def check(name, vectors, dtype, what, **options):
    """A logit, a sum of D terms, is off by sqrt(D) units of the products' dtype, and a gradient by N of these."""
    ours = run(getattr(functional, name), vectors, **options, memory_budget=1)
    doubles = [{k: wide(v) for k, v in given.items()} for given in (vectors, options)]
    exact = run(getattr(reference, name), doubles[0], **doubles[1])
    compute = UNIT[dtype] if dtype in (torch.float64, torch.bfloat16, torch.float16) else UNIT[torch.float32]
    for a, b in zip(ours, exact, strict=True):
        assert a.dtype == dtype
        size = b.nan_to_num(0, 0, 0).abs().max()
        bound = 64 * compute * (1 + size)
        off = (a.double() - b).abs() > bound
        assert not (off & b.isfinite()).any(), (what, float((a.double() - b).abs().max() / bound))
        assert torch.equal(a.isnan(), b.isnan()), what
    return ours


@pytest.fixture
def strips(route):
    route("strips")


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_outputs(dtype, strips, kernel):
    mask = torch.rand(N) < 0.8
    for target, options in itertools.product(
        (classes(), classes(3), None),
        ({}, {"mask": mask}, {"softcap": 5.0, "temperature": 0.7, "mask": mask}),
    ):
        flags = {"return_entropy": True, "return_lse": True}
        check("linear_token_logprobs", layer(dtype), dtype, options.keys(), target=target, **flags, **options)
    alone = check("linear_token_logprobs", layer(dtype, bias=False), dtype, "alone", target=classes())
    assert (alone[0][::5] == 0).all()


def test_hits(strips):
    vectors = layer(torch.float64)
    logits, mask = F.linear(*vectors.values()), torch.rand(N) < 0.8
    best = logits.argmax(1)
    for target in (torch.where(torch.rand(N) < 0.5, best, classes()), classes(3)):
        made = functional.linear_token_logprobs(
            **vectors, target=target, mask=mask, return_hits=True, return_lse=True, memory_budget=1
        )
        wanted = functional.token_logprobs(logits, target, mask=mask, return_hits=True, return_lse=True)
        for a, b in zip(made, wanted, strict=True):
            assert (a is None and b is None) or a.dtype == b.dtype
            close(a, b)
        assert made.hit.any()
    leaf = vectors["input"].requires_grad_()
    made = functional.linear_token_logprobs(**vectors, target=best, return_hits=True, memory_budget=1)
    assert made.hit.all()
    assert not made.hit.requires_grad
    plain = functional.linear_token_logprobs(**vectors, target=best, memory_budget=1)
    assert torch.equal(*(torch.autograd.grad(t.sum(), leaf)[0] for t in (made.logprob, plain)))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_formulas(reduction, dtype, strips, kernel):
    given = {"target": classes(), "row_loss": formula, "reduction": reduction}
    every = {"mask": torch.rand(N) < 0.8, "temperature": 2.0}, {"ignore_index": 4, "target": classes().abs() % 48}
    for options in ({}, *every):
        check("linear_flex_cross_entropy", layer(dtype), dtype, options.keys(), **{**given, **options})
    factor = torch.rand(N, dtype=torch.float64, requires_grad=True)

    def weighed(row):
        return -factor[row.index] * row.logprob

    made = functional.linear_flex_cross_entropy(
        **layer(torch.float64), target=classes(), row_loss=weighed, memory_budget=1
    )
    assert torch.autograd.grad(made, factor)[0].count_nonzero() == N - N // 5


def teachers(dtype):
    hidden, weight = torch.randn(N, 5).to(dtype), torch.randn(C, 5).to(dtype)
    logits = F.linear(hidden.double(), weight.double()).to(dtype)
    top = logits.topk(3)
    return {
        "logits": {"target": logits}, "probabilities": {"target": logits.softmax(1), "target_is": "probabilities"},
        "hidden states": {"target": hidden, "target_weight": weight, "target_bias": torch.randn(C).to(dtype)},
        "top 3": {"target": tuple(top)}, "top 3 and the rest": {"target": tuple(top), "tail": True},
    }  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_divergences(reduction, dtype, strips, kernel):
    mask = torch.rand(N) < 0.7
    every = ({}, {"mask": mask, "weight": torch.rand(N).to(dtype)}, {"mask": mask & False, "empty": "zero"})
    more = ({"normalizer": 7.0}, {"mask": mask & False}) if reduction == "mean" else ()
    for kind, (how, teacher) in itertools.product(KINDS, teachers(dtype).items()):
        for options in (*every, *more) if kind == "js" else every[1:2]:
            what = kind, how, options.keys()
            given = {"reduction": reduction, "temperature": 0.8, **teacher, **options}
            check("linear_divergence", layer(dtype), dtype, what, kind=kind, **given)


CALLS = {
    "linear_token_logprobs": lambda: {"target": classes(), "return_entropy": True},
    "linear_flex_cross_entropy": lambda: {"target": classes(), "row_loss": formula},
    "linear_divergence": lambda: {"target": torch.randn(N, C, dtype=torch.float64), "mask": torch.arange(N) % 5 != 0},
}


@pytest.mark.parametrize("name", CALLS)
def test_what_strips_hold_and_multiply(name, strips):
    """No tensor of the logits' size; no product of what is frozen, nor of ignored rows, whatever they hold."""
    vectors, options = layer(torch.float64), CALLS[name]()
    function, kept = getattr(functional, name), N - N // 5
    wanted = run(function, vectors, **options)
    vectors["input"][::5] = math.nan
    held = max(t.numel() for t in options.values() if isinstance(t, torch.Tensor))  # a teacher's logits are given
    with Watch() as watch:
        found = run(function, vectors, **options)
    assert watch.largest <= max(N * D, held)
    makes = [p for p in watch.products if p[1:] == (D, C)]
    assert sum(p[0] for p in makes) == kept * (1 if name == "linear_divergence" else 2)
    assert sum(p[0] for p in watch.products if p[1:] == (C, D)) == kept
    assert sum(p[1] for p in watch.products if (p[0], p[2]) == (C, D)) == kept
    grad = found[-3]
    assert (grad[::5] == 0).all()
    for a, b in zip(found, wanted, strict=True):
        close(a, b, rtol=1e-11, atol=1e-13)
    for frozen, shape in (("input", (C, D)), ("linear_weight", (N, D))):
        leaves = {k: t.requires_grad_(k != frozen) for k, t in layer(torch.float64).items()}
        with Watch() as watch:
            made = function(**leaves, **options)
            (made[0] if isinstance(made, tuple) else made).sum().backward()
        assert bool([p for p in watch.products if p[1:] == (C, D)]) == (frozen != "input"), shape
        assert bool([p for p in watch.products if (p[0], p[2]) == (C, D)]) == (frozen != "linear_weight"), shape
    with torch.no_grad(), Watch() as watch:
        function(**layer(torch.float64), **options)
    assert sum(p[0] for p in watch.products) == kept


@pytest.mark.parametrize("name", CALLS)
def test_graphs_that_are_kept(name, strips):
    """A second backward, derivatives of the gradient, many upstream gradients at once, a checkpoint, tensors changed in
    between."""
    vectors, options = layer(torch.float64), CALLS[name]()
    leaves = [t.requires_grad_() for t in vectors.values()]
    found = []
    for function in (getattr(functional, name), getattr(reference, name)):
        made = function(**vectors, **options)
        loss = made.logprob.sum() + made.entropy.sum() if isinstance(made, tuple) else made
        first, again = (torch.autograd.grad(loss, leaves, retain_graph=True) for _ in range(2))
        assert all(map(torch.equal, first, again))
        batch = torch.tensor([1.0, -2.0], dtype=torch.float64)
        rows = torch.autograd.grad(loss, leaves, batch, is_grads_batched=True, retain_graph=True)
        once = torch.autograd.grad(loss, leaves, create_graph=True)
        found.append([*first, *rows, *torch.autograd.grad(sum(g.square().sum() for g in once), leaves)])
    for a, b in zip(*found, strict=True):
        close(a, b, rtol=1e-9, atol=1e-11)
    again = torch.utils.checkpoint.checkpoint(
        lambda *given: getattr(functional, name)(**dict(zip(vectors, given, strict=True)), **options),
        *leaves, use_reentrant=False,
    )  # fmt: skip
    loss = again.logprob.sum() + again.entropy.sum() if isinstance(again, tuple) else again
    assert all(map(torch.equal, torch.autograd.grad(loss, leaves), found[0]))
    made = getattr(functional, name)(**vectors, **options)
    with torch.no_grad():
        vectors["linear_weight"].mul_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        (made[0] if isinstance(made, tuple) else made).sum().backward(retain_graph=True)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.filterwarnings("ignore")
def test_inside_torch(name, strips):
    """More dimensions, autocast, graphs, transforms, vectors of no numbers, and one vector."""
    vectors, options = layer(torch.float64), CALLS[name]()
    function = getattr(functional, name)
    wanted = run(function, vectors, **options)
    assert fastloss.explain(function, **vectors, **options).path == "kernel"
    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
    for a, b in zip(run(compiled, vectors, **options), wanted, strict=True):
        close(a, b, rtol=1e-9, atol=1e-11)
    torch._dynamo.reset()
    if name != "linear_flex_cross_entropy":
        cube = {k: t.view(4, 25, *t.shape[1:]) if isinstance(t, torch.Tensor) else t for k, t in options.items()}
        for a, b in zip(
            run(function, {**vectors, "input": vectors["input"].view(4, 25, D)}, **cube), wanted, strict=True
        ):
            close(a.view(b.shape), b, rtol=1e-11, atol=1e-13)
    single = {k: t.float() for k, t in vectors.items()}
    with torch.autocast("cpu", torch.bfloat16):
        ours, plain = (run(room, single, **options) for room in (function, getattr(reference, name)))
    for a, b in zip(ours, plain, strict=True):
        assert a.dtype == b.dtype
        assert (a - b).abs().max() <= 64 * UNIT[torch.bfloat16] * (1 + b.abs().max())
    nothing = {k: t if t.dim() < 2 else t[:, :0] for k, t in vectors.items()}
    for a, b in zip(*(run(room, nothing, **options) for room in (function, getattr(reference, name))), strict=True):
        close(a, b)
    given = {k: v[0] if isinstance(v, torch.Tensor) else v for k, v in options.items()}
    alone = function(**{**vectors, "input": vectors["input"][0]}, **given)
    assert (alone[0] if isinstance(alone, tuple) else alone).dim() == 0


def largest_of(graph, key):
    """The most numbers that a node has in memory: dynamo's and export's graphs."""
    made = [node.meta.get(key) for node in graph.nodes if node.op in ("call_function", "call_method")]
    flat = [t for value in made for t in (value if isinstance(value, tuple | list) else (value,))]
    return max(t.untyped_storage().nbytes() // t.element_size() for t in flat if isinstance(t, torch.Tensor))


HEADS = {
    **CALLS,
    "linear_cross_entropy": lambda: {"target": classes()},
    "arcface_loss": lambda: {"target": classes()},
    "sub_center_arcface_loss": lambda: {"target": classes(), "sub_centers": 1},
}


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.filterwarnings("ignore")
def test_graphs_hold_no_logits(name):
    """Of 100 rows and more, of a dynamic number, in compiled and exported graphs alike."""
    function, width, wide, options = getattr(functional, name), 4, 500, HEADS[name]()
    seen, given = [], {k: v for k, v in options.items() if not isinstance(v, torch.Tensor)}

    class Head(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.randn(wide, width))

        def forward(self, hidden, target):
            made = function(hidden, self.weight, target, **given)
            return made[0] if isinstance(made, tuple) else made

    def backend(graph, _):
        seen.append(graph.graph)
        return graph.forward

    def problem(n):
        target = torch.randint(C, (n,)).masked_fill(torch.arange(n) % 5 == 0, -100)
        if name == "linear_divergence":  # in the memory of one row, so that strips and logits can be told apart
            target = torch.randn(wide).expand(n, wide)
        return torch.randn(n, width, requires_grad=True), target

    head = Head()
    compiled = torch.compile(head, backend=backend, fullgraph=True, dynamic=True)
    for n in (100, 77):
        hidden, target = problem(n)
        wanted, found = head(hidden, target), compiled(hidden, target)
        close(found, wanted)
        leaves = hidden, head.weight
        seed = torch.randn_like(wanted)
        for a, b in zip(*(torch.autograd.grad(t, leaves, seed) for t in (found, wanted)), strict=True):
            close(a, b, rtol=1e-4, atol=1e-5)
    assert len(seen) == 1
    assert largest_of(seen[0], "example_value") <= wide * width
    hidden, target = problem(100)
    rows = torch.export.Dim("rows", min=2, max=1 << 20)
    exported = torch.export.export(head, (hidden, target), dynamic_shapes=({0: rows}, {0: rows}))
    assert largest_of(exported.graph, "val") <= wide * width
    hidden, target = problem(77)
    close(exported.module()(hidden, target), head(hidden, target))
    torch._dynamo.reset()


@pytest.mark.parametrize("name", ["linear_token_logprobs", "linear_divergence"])
def test_opcheck(name, strips, monkeypatch):
    """The operator that graphs see, called as in a graph."""
    monkeypatch.setattr("fastloss.engines.layers.is_compiling", lambda: True)
    options = CALLS[name]()
    for dtype, more in itertools.product((torch.float32, torch.float16), ({}, OF_GRAPHS[name])):

        def step(dtype=dtype, more=more):
            given = {**options, **more}
            if dtype.itemsize == 2 and name == "linear_divergence":
                given["target"] = given["target"].to(dtype)
            made = getattr(functional, name)(
                **{k: t.requires_grad_() for k, t in layer(dtype, bias=bool(more)).items()}, **given
            )
            (made[0] if isinstance(made, tuple) else made).sum().backward()

        calls = [c for c in recorded_calls(step) if c[0]._schema.name == "fastloss::linear_rows"]
        assert calls
        for op, args, kwargs in calls:
            torch.library.opcheck(op, tuple(args), kwargs, test_utils=("test_schema", "test_faketensor"))


OF_GRAPHS = {
    "linear_token_logprobs": {"return_lse": True, "return_hits": True},
    "linear_divergence": {"reduction": "none", "weight": torch.rand(N)},
}


def test_gradient_of_the_teacher(strips):
    vectors, hidden, weight = layer(torch.float64), torch.randn(N, 5).double(), torch.randn(C, 5).double()
    teacher = [hidden.requires_grad_(), weight.requires_grad_()]
    found = []
    for function in (functional.linear_divergence, reference.linear_divergence):
        loss = function(**vectors, target=hidden, target_weight=weight, kind="js")
        found.append(torch.autograd.grad(loss, teacher))
    for a, b in zip(*found, strict=True):
        close(a, b, rtol=1e-10, atol=1e-13)


BAD = (
    ({"linear_weight": torch.zeros(C, D + 1)}, RuntimeError, r"expected \(..., D\) and \(C, D\)"),
    ({"linear_bias": torch.zeros(3)}, RuntimeError, "linear_bias has shape"),
    ({"linear_weight": None}, TypeError, "linear_weight is NoneType"),
    ({"memory_budget": "1"}, TypeError, "memory_budget is str"),
    ({"mask": torch.ones(3, dtype=torch.bool)}, RuntimeError, "mask is"),
    ({"temperature": 0.0}, ValueError, "temperature must be positive"),
    ({"loss_dtype": torch.int64}, TypeError, "loss_dtype must be"),
)
OF_CLASSES = (
    ({"target": torch.full((N,), C)}, IndexError, "target 13 at row 0"),
    ({"target": torch.zeros(N, dtype=torch.float64)}, RuntimeError, "expected class indices"),
)
OF_TEACHERS = (
    ({"kind": "l2"}, ValueError, "kind must be one of"),
    ({"target": torch.zeros(N, 4)}, RuntimeError, "input has shape"),
    ({"target": torch.zeros(N, 4), "target_weight": torch.zeros(C, 5)}, RuntimeError, "target has shape"),
    ({"target": torch.zeros(N, 4), "target_weight": torch.zeros(C, 4), "target_is": "probabilities"}, ValueError,
     "expected 'logits' with target_weight"),
    ({"inplace": True}, TypeError, "unexpected argument inplace"),
)  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_errors(name, strips):
    own = OF_TEACHERS if name == "linear_divergence" else OF_CLASSES
    for (change, kind, words), room in itertools.product((*BAD, *own), (functional, reference)):
        with pytest.raises(kind, match=f"^fastloss.{name}: .*{words}"):
            getattr(room, name)(**{**layer(torch.float32), **CALLS[name](), **change})
