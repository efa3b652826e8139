"""Inside PyTorch: operator checks, fake tensors, torch.compile, autocast, functorch, forward mode, hooks."""

import cases
import pytest
import torch
import torch.utils.checkpoint
from cases import HALF, REDUCTIONS, SOFTMAX
from recorder import OPERATORS, recorded_calls
from torch.func import grad, grad_and_value, hessian, jacfwd, jacrev, jvp, vjp, vmap

from fastloss._core import operators as _ops

needs_extension = pytest.mark.skipif(not _ops.AVAILABLE, reason="the extension is not built")
close = torch.testing.assert_close
OPTIONS = {"plain": {}, "smooth": dict(label_smoothing=0.1, ignore_index=1), "sum": dict(reduction="sum")}


def all_calls():
    calls = []
    for shape, dtype, kind in [
        ((6, 9), torch.float32, "index"),
        ((2, 5, 3), torch.bfloat16, "probability"),
        ((6, 9), torch.float16, "index"),
        ((7,), torch.float64, "index"),
    ]:
        for reduction in REDUCTIONS:
            for inplace in (False, True):

                def call(shape=shape, dtype=dtype, kind=kind, reduction=reduction, inplace=inplace):
                    x, target = cases.make_rows(shape, dtype, kind)
                    logits = x.requires_grad_() * 1.0
                    weight = torch.ones(cases.classes_of(shape), dtype=dtype)
                    mask = torch.ones(cases.rows_of(shape), dtype=torch.bool)
                    options = dict(weight=weight, mask=mask, reduction=reduction, inplace=inplace)
                    loss, _ = SOFTMAX[0].functional(logits, target, return_stats=True, **options)
                    loss.sum().mul(3).backward()
                    for case in SOFTMAX[1:]:
                        case.functional(x.detach().requires_grad_() * 1.0, target, **options).sum().mul(3).backward()

                calls += recorded_calls(call)
    return calls


@needs_extension
def test_opcheck():
    """Schemas (what is written and aliased), fake kernels and dispatch of every operator a loss calls."""
    seen = set()
    for op, args, kwargs in all_calls():
        seen.add(op._schema.name.removeprefix("fastloss::"))
        torch.library.opcheck(op, tuple(args), kwargs)
    defined = {
        schema.name.removeprefix("fastloss::")
        for schema in torch._C._jit_get_all_schemas()
        if schema.name.startswith("fastloss::")
    }
    assert defined, "no operators registered"
    defined -= {name + suffix for name in set(_ops.OPERATORS) - {str(case) for case in SOFTMAX} for suffix in OPERATORS}
    defined -= {name for name in defined if name.startswith("similarity")}  # in test_similarity.py
    # In engines/outputs, engines/linear and engines/regions.
    defined -= {"row_outputs", "row_outputs_backward", "linear", "linear_rows", "region_sums", "region_gradient"}
    assert seen == defined, "an operator that no loss calls, or that this test does not reach"


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_compile(case, dtype, options, dynamic, kernel):
    """One graph, forward and backward, static and with the batch size free."""
    torch._dynamo.reset()
    compiled = torch.compile(
        lambda x, t: case.functional(x * 1.5, t, **options),
        fullgraph=True,
        dynamic=dynamic,
        backend="aot_eager",
    )
    for n in (6, 11) if dynamic else (6,):
        x, target = cases.make_rows((n, 9), dtype)
        got = cases.run(compiled, x, target)
        wanted = cases.run(lambda x, t: case.functional(x * 1.5, t, **options), x, target)
        for a, b in zip(got, wanted, strict=True):
            close(a, b)
        with torch.no_grad():
            close(compiled(x, target), wanted[0])


@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_compile_extras(case, kernel):
    torch._dynamo.reset()
    options = dict(label_smoothing=0.1, z_loss=1e-2, softcap=5.0, normalizer=7.0, return_stats=True)

    def step(x, t, w, m):
        loss, stats = case.functional(x, t, weight=w, mask=m, **options)
        return loss, stats.accuracy, stats.grad_norm

    compiled = torch.compile(step, fullgraph=True, backend="aot_eager")
    x, target = cases.make_rows((6, 9), torch.float32)
    weight, mask = torch.rand(9), torch.rand(6) < 0.8
    results = []
    for fn in (compiled, step):
        leaf = x.clone().requires_grad_()
        loss, *stats = fn(leaf, target, weight, mask)
        loss.backward()
        results.append((loss, leaf.grad, *stats))
    for a, b in zip(*results, strict=True):
        close(a, b)


@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_compile_inductor(case, kernel):
    torch._dynamo.reset()
    compiled = torch.compile(lambda x, t: case.functional(x.sin(), t).exp(), fullgraph=True)
    x, target = cases.make_rows((6, 9), torch.float32)
    wanted = cases.run(lambda x, t: case.native(x.sin(), t).exp(), x, target)
    for a, b in zip(cases.run(compiled, x, target), wanted, strict=True):
        close(a, b)


@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_compiled_graph_holds_our_operators(case, kernel):
    if not _ops.AVAILABLE:
        pytest.skip("the extension is not built")
    torch._dynamo.reset()
    seen = []

    def record(graph, _):
        # An operator that writes into what it is given is an argument of the node that says so.
        seen.extend(str(part) for node in graph.graph.nodes for part in (node.target, *node.args))
        return make_boxed_func(graph)

    from functorch.compile import make_boxed_func
    from torch._dynamo.backends.common import aot_autograd

    compiled = torch.compile(
        case.functional, fullgraph=True, backend=aot_autograd(fw_compiler=record, bw_compiler=record)
    )
    x, target = cases.make_rows((6, 9), torch.float32)
    cases.run(compiled, x, target)
    assert {f"fastloss.{case.name}.default", f"fastloss.{case.name}_backward.default"} <= set(seen)


@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_compiled_autograd(case, kernel):
    """PyTorch traces an eager backward, which calls ours by another way than its engine does."""
    compiled_autograd = pytest.importorskip("torch._dynamo.compiled_autograd")
    torch._dynamo.reset()
    x, target = cases.make_rows((6, 9), torch.float32)
    wanted = cases.run(case.functional, x, target)
    with compiled_autograd._enable(torch.compile(backend="eager")):
        got = cases.run(case.functional, x, target)
    assert all(torch.equal(a, b) for a, b in zip(got, wanted, strict=True))


@pytest.mark.parametrize("dtype", HALF, ids=str)
@pytest.mark.parametrize("kind", ["index", "probability"])
@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_autocast(case, kind, dtype, isa):
    """float32 loss, gradient in the logits' half dtype, weight in either."""
    x, target = cases.make_rows((8, 33), dtype, kind)
    for weight in (None, torch.rand(33), torch.rand(33).to(dtype)):
        for reduction in REDUCTIONS:
            with torch.autocast("cpu", dtype=dtype):
                native, _ = cases.run(case.native, x, target, reduction=reduction, weight=weight)
                leaf = x.clone().requires_grad_()
                loss = case.functional(leaf, target, reduction=reduction, weight=weight)
            loss.sum().backward()
            assert loss.dtype == native.dtype == torch.float32
            assert leaf.grad.dtype == dtype
            wanted_loss, wanted_grad = cases.exact_rows(case, x, target, reduction=reduction, weight=weight)
            cases.check_loss(loss.detach(), wanted_loss, x, scale=8.0)
            cases.check_grad(leaf.grad, wanted_grad, x, extra=1.0)


@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_autocast_keeps_float64(case, isa):
    x, target = cases.make_rows((8, 33), torch.float64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = case.functional(x, target)
    assert loss.dtype == torch.float64


TRANSFORMS = {
    "grad": lambda f, x, t: grad(f)(x, t),
    "grad_and_value": lambda f, x, t: grad_and_value(f)(x, t),
    "vmap": lambda f, x, t: vmap(f)(x, t),
    "vmap over one": lambda f, x, t: vmap(f, in_dims=(0, None))(x, t[0]),
    "vmap(grad)": lambda f, x, t: vmap(grad(f))(x, t),
    "vjp": lambda f, x, t: vjp(lambda x: f(x, t), x)[1](torch.tensor(2.0, dtype=x.dtype)),
    "jvp": lambda f, x, t: jvp(lambda x: f(x, t), (x,), (x.sin(),)),
    "vmap(jvp)": lambda f, x, t: vmap(lambda x, t: jvp(lambda x: f(x, t), (x,), (x.sin(),)))(x, t),
    "hessian": lambda f, x, t: hessian(f)(x, t),
    "jacfwd": lambda f, x, t: jacfwd(f)(x, t),
    "jacrev": lambda f, x, t: jacrev(f)(x, t),
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("kind", ["index", "probability"])
@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_functorch(case, transform, kind, options, kernel):
    if kind == "probability":
        options = {k: v for k, v in options.items() if k != "ignore_index"}
    x, target = cases.make_rows((5, 3, 3), torch.float64, kind)  # a batch of pixels, or for vmap five batches of rows
    ours = transform(lambda x, t: case.functional(x, t, **options), x, target)
    native = transform(lambda x, t: case.native(x, t, **options), x, target)
    close(ours, native, rtol=1e-12, atol=1e-14, equal_nan=True)  # NaN: all of a sample ignored


@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_functorch_with_extras(case, kernel):
    """The same transforms reach the extras, where there is nothing native to compare with but a loop."""
    x, target = cases.make_rows((5, 3, 3), torch.float64)
    mask = torch.rand(5, 3) < 0.6
    mask[:, 0] = True
    options = dict(z_loss=0.1, softcap=4.0, label_smoothing=0.1, weight=torch.rand(3, dtype=torch.float64))

    def fn(x, t, m):
        return case.functional(x, t, mask=m, **options)

    batched = vmap(grad(fn))(x, target, mask)
    for i in range(5):
        leaf = x[i].clone().requires_grad_()
        fn(leaf, target[i], mask[i]).backward()
        close(batched[i], leaf.grad, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_compile_of_transforms(case, kernel):
    torch._dynamo.reset()
    x, target = cases.make_rows((5, 3, 3), torch.float64)
    for transform in (grad, lambda f: vmap(grad(f))):
        ours = torch.compile(transform(case.functional), fullgraph=True, backend="aot_eager")(x, target)
        close(ours, transform(case.native)(x, target), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_saved_tensor_hooks(case, kernel):
    """What is kept for backward goes through the hooks, and may come back as a copy."""
    x, target = cases.make_rows((60, 90), torch.float32)
    for reduction in REDUCTIONS:
        wanted = cases.run(case.functional, x, target, reduction=reduction)
        sizes: list[int] = []

        def pack(tensor, sizes=sizes):
            sizes.append(tensor.numel())
            return tensor.clone()

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            got = cases.run(case.functional, x, target, reduction=reduction)
        assert max(sizes) == x.numel()
        for a, b in zip(got, wanted, strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_changed_logits_are_noticed(case, kernel):
    """Logits written to between forward and backward: an error as in PyTorch, never a wrong gradient."""
    for reduction in REDUCTIONS:
        x, target = cases.make_rows((6, 9), torch.float32)
        logits = x.requires_grad_() * 1.0
        loss = case.functional(logits, target, reduction=reduction).sum()
        with torch.no_grad():
            logits.mul_(2)
        wanted = cases.run(case.functional, x.detach(), target, reduction=reduction)[1]
        error = None
        try:
            loss.backward()
        except RuntimeError as caught:
            error = caught
        if error is None:
            close(x.grad, wanted)
        else:
            assert "modified by an inplace operation" in str(error)


@pytest.mark.parametrize("shape", [(6, 9), (2000, 50)], ids=str)
@pytest.mark.parametrize("soft", [False, True], ids=["indices", "probabilities"])
@pytest.mark.parametrize(
    ("case", "extra"),
    [(case, extra) for case in SOFTMAX for extra in ("plain", "weight", "mask")]
    + [(cases.of("softmax_focal_loss"), "alpha")],
    ids=str,
)
def test_tensors_of_inference_mode(case, extra, soft, shape):
    """A tensor that needs no gradient may come from ``torch.inference_mode()``."""
    rows, classes = shape
    make_extra = {"weight": torch.rand(classes), "mask": torch.rand(rows) < 0.5, "alpha": torch.rand(classes)}
    x, target = cases.make_rows(shape, torch.float32)
    target = torch.rand(shape).softmax(1) if soft else target
    options = {} if extra == "plain" else {extra: make_extra[extra]}
    for reduction in ("mean", "none"):
        wanted = cases.run(case.functional, x, target, reduction=reduction, **options)
        with torch.inference_mode():
            made = target.clone(), {name: t.clone() for name, t in options.items()}
        found = cases.run(case.functional, x, made[0], reduction=reduction, **made[1])
        torch.testing.assert_close(found, wanted)
