"""The operators themselves, called past our Python: they refuse what they cannot read."""

import pytest
import torch

from fastloss._core import operators as _ops

pytestmark = pytest.mark.skipif(not _ops.AVAILABLE, reason="without the extension there are no operators")

X = torch.rand(4, 6) * 0.8 + 0.1


def losses(kind):
    """But those of elements of several components: engines/elements/test_boxes.py."""
    several = {name for name, n in _ops.extension().components().items() if n > 1} if _ops.AVAILABLE else ()
    every = getattr(_ops.extension(), f"{kind}_losses")() if _ops.AVAILABLE else []
    return [loss for loss in every if loss[0] not in several]


def parameters(names):
    """Allowed values."""
    return [{"clip": 0.1, "p": 2.0}.get(name, 1.0) for name in filter(None, names.split(","))]


def tensors_of(name):
    """Tensors that a loss of elements or of pairs takes."""
    names = [argument.name for argument in _ops.OPERATORS[name].forward._schema.arguments]
    label = name in ("cosine_embedding_loss", "contrastive_loss")  # one per row
    third = torch.ones(4) if label else X.clone()
    every = {"input": X, "target": X.clone(), "third": third}
    return {tensor: t for tensor, t in every.items() if tensor in names}


def arguments_of(tensors, **changed):
    """Of the operator, which writes a gradient; every argument allowed, but for those that are given."""
    gradients = {f"grad_{tensor}": None for tensor in tensors}
    return {
        **tensors, "weight": None, "mask": None, "divisor": None, "numbers": [], "reduction": 1,
        "empty_zero": False, "loss_dtype": 6, "state": None, "stats": None, **gradients,
        "grad_input": torch.empty(4, 6), **changed,
    }  # fmt: skip


def points_arguments(name, names, **changed):
    return arguments_of(tensors_of(name), **{"numbers": parameters(names), **changed})


def points(name, names, **changed):
    return _ops.OPERATORS[name].forward(*points_arguments(name, names, **changed).values())


SHARED = torch.rand(4, 6)
F64 = torch.float64
# Of every loss.
BAD = [
    {"loss_dtype": 6 + 2**32}, {"loss_dtype": 3}, {"loss_dtype": -1}, {"reduction": 0}, {"reduction": 3},
    {"reduction": 1 + 2**32}, {"numbers": [1.0] * 19}, {"input": X.long()}, {"input": X.to(torch.complex64)},
    {"mask": X}, {"weight": X[:1, :1]}, {"divisor": torch.ones(())}, {"divisor": torch.ones(2, dtype=F64)},
    {"grad_input": torch.empty(4, 6, dtype=F64)}, {"grad_input": torch.empty(4, 5)},
    {"grad_input": torch.empty(1, 6).expand(4, 6)}, {"target": SHARED, "grad_input": SHARED},
    {"stats": torch.empty(7)}, {"stats": torch.empty(3, dtype=F64)}, {"stats": torch.empty(1, dtype=F64).expand(7)},
    {"input": torch.rand(0, 6)},
]  # fmt: skip
BAD_POINTS = [
    *BAD, {"target": X.to(torch.complex64)}, {"target": X[:3]}, {"target": X[0]}, {"weight": X.to(torch.complex64)},
    {"weight": X[:, 0].to(torch.complex64)}, {"grad_input": X}, {"grad_input": SHARED, "grad_target": SHARED},
    {"state": torch.empty(2, 4)},
]  # fmt: skip


@pytest.mark.parametrize(("name", "names"), [*losses("pointwise"), *losses("pairs")])
@pytest.mark.parametrize("changed", BAD_POINTS, ids="-".join)
def test_points_refuse(name, names, changed):
    points(name, names)
    if not changed.keys() <= points_arguments(name, names).keys():
        return  # a loss of fewer tensors
    with pytest.raises((RuntimeError, NotImplementedError, ValueError)):
        points(name, names, **changed)


def rows_arguments(name, names, options=None, **changed):
    numbers = [*parameters(names), *{**_ops.ROWS_OPTIONS, **(options or {})}.values()]
    return arguments_of({"input": X, "target": torch.arange(4)}, **{"numbers": numbers, **changed})


def rows(name, names, **changed):
    return _ops.OPERATORS[name].forward(*rows_arguments(name, names, **changed).values())


STATE = torch.empty(2, 4)
BAD_ROWS = [
    *BAD, {"numbers": []}, {"options": {"ignore_index": 0.5}}, {"options": {"ignore_index": 2.0**60}},
    {"options": {"ignore_index": float("nan")}}, {"input": torch.tensor(1.0)}, {"target": torch.arange(3)},
    {"target": torch.arange(4).int()}, {"target": torch.full((4,), 6)}, {"target": X.double()}, {"target": X[:3]},
    {"target": X > 0}, {"weight": torch.ones(5)}, {"weight": torch.ones(2, 3)},
    {"weight": torch.ones(6, dtype=torch.complex64)}, {"mask": torch.ones(4)},
    {"mask": torch.ones(3, dtype=torch.bool)}, {"state": STATE[:1]}, {"state": STATE.double()}, {"state": STATE.mT},
    {"state": SHARED.flatten()[:8].view(2, 4), "grad_input": SHARED}, {"grad_target": torch.empty(4, 6)},
    {"state": STATE, "grad_input": torch.empty(4, 6), "grad_target": torch.empty(4, 6)},
    {"target": X.softmax(1), "grad_target": torch.empty(4, 6)},
]  # fmt: skip


@pytest.mark.parametrize(("name", "names"), losses("rows"))
@pytest.mark.parametrize("changed", BAD_ROWS, ids="-".join)
def test_rows_refuse(name, names, changed):
    rows(name, names)
    with pytest.raises((RuntimeError, NotImplementedError, ValueError)):
        rows(name, names, **changed)


def within(memory, t):
    """A copy of a tensor in a block of memory."""
    return torch.empty(0, dtype=t.dtype).set_(memory.untyped_storage(), 1, t.shape).copy_(t)


def backward(arguments):
    """The arguments of backward: those of forward that it shares, after an upstream gradient."""
    shared = {k: v for k, v in arguments.items() if k not in ("empty_zero", "loss_dtype", "state", "stats")}
    tensors, gradients = ({k: v for k, v in shared.items() if is_output(k) == output} for output in (False, True))
    numbers, reduction = tensors.pop("numbers"), tensors.pop("reduction")
    about = {"state": None, "numbers": numbers, "reduction": reduction, "unless_one": False}
    return {"grad_output": torch.ones(()), **tensors, **about, **gradients}


def calls():
    """Every loss: its operators, and the arguments of forward with every tensor it may have."""
    for name, names in [*losses("pointwise"), *losses("pairs")]:
        per_row = (name, names) in losses("pairs")
        yield name, _ops.OPERATORS[name], points_arguments(
            name, names, weight=torch.ones(4) if per_row else torch.ones(4, 6),
            mask=torch.ones(4 if per_row else (4, 6), dtype=torch.bool), divisor=torch.tensor(2.0, dtype=F64),
        )  # fmt: skip
    for name, names in losses("rows"):
        more = {
            "weight": torch.ones(6), "mask": torch.ones(4, dtype=torch.bool), "divisor": torch.tensor(2.0, dtype=F64),
        }  # fmt: skip
        yield name, _ops.OPERATORS[name], rows_arguments(name, names, **more)
        yield f"{name}, probabilities", _ops.OPERATORS[name], rows_arguments(name, names, target=X.softmax(1), **more)


CALLS = list(calls())
every_call = pytest.mark.parametrize(("ops", "arguments"), [c[1:] for c in CALLS], ids=[c[0] for c in CALLS])


def forms(ops, arguments):
    yield ops.forward, arguments
    yield ops.backward, backward(arguments)


def is_output(name):
    return name.startswith("grad") and name != "grad_output"


@every_call
def test_gradients_share_no_memory_with_what_is_read(ops, arguments):
    """Least of all with class indices, which lead into memory."""
    for operator, given in forms(ops, arguments):
        operator(*given.values())
        for name, t in given.items():
            if not isinstance(t, torch.Tensor) or is_output(name):
                continue
            memory = torch.zeros(64, dtype=torch.float64)
            output = next(k for k, v in given.items() if is_output(k) and v is not None)
            shared = {**given, name: within(memory, t), output: memory.view(torch.float32)[:24].view(4, 6)}
            with pytest.raises(RuntimeError, match="memory"):
                operator(*shared.values())


@every_call
def test_memory_that_is_shared_until_it_is_written(ops, arguments):
    for operator, given in forms(ops, arguments):
        output = next(k for k, v in given.items() if is_output(k) and v is not None)
        original = torch.full((4, 6), 7.0)
        operator(*{**given, output: torch._lazy_clone(original)}.values())
        assert torch.equal(original, torch.full((4, 6), 7.0))


@every_call
def test_tensors_that_lost_their_memory(ops, arguments):
    for operator, given in forms(ops, arguments):
        for name, t in given.items():
            if isinstance(t, torch.Tensor):
                lost = t.clone()
                lost.untyped_storage().resize_(0)
                with pytest.raises(RuntimeError, match="memory"):
                    operator(*{**given, name: lost}.values())


@every_call
def test_expanded_tensors_of_more_elements_than_memory_holds(ops, arguments):
    """They would keep a call busy for years."""
    for size in ((1 << 41, 6), (1 << 62, 1), (1, 1 << 41)):
        for operator, given in forms(ops, arguments):
            huge = {
                k: v[:1, :1].expand(size) if isinstance(v, torch.Tensor) and v.shape == (4, 6) else v
                for k, v in given.items()
            }
            if "target" in huge and huge["target"].dim() == 1:
                huge["target"] = huge["target"][:1].expand(size[:1])
            with pytest.raises(RuntimeError):
                operator(*{**huge, "weight": None, "mask": None}.values())


def test_classes_that_no_lane_counts():
    given = rows_arguments(*losses("rows")[0], input=torch.ones(1, 1).expand(1, 1 << 31), target=torch.tensor([0]))
    with pytest.raises(RuntimeError, match="classes"):
        _ops.OPERATORS[losses("rows")[0][0]].forward(*given.values())


@every_call
def test_whatever_byte_is_not_0_is_true(ops, arguments, isa):
    """Bools that are views of bytes, as files and other libraries hand them over."""
    shape = arguments["mask"].shape
    flags = torch.arange(arguments["mask"].numel()).reshape(shape) % 4
    odd = torch.tensor([0, 2, 128, 255], dtype=torch.uint8)[flags].view(torch.bool)
    wanted, got = ({**arguments, "mask": mask} for mask in (flags > 0, odd))
    output = next(k for k in arguments if is_output(k))
    for given in (wanted, got):
        given[output] = torch.empty(4, 6)
    assert torch.equal(ops.forward(*wanted.values()), ops.forward(*got.values()))
    assert torch.equal(wanted[output], got[output])


@pytest.mark.parametrize(("name", "names"), losses("pointwise"))
def test_targets_of_such_bools(name, names, isa):
    if "target" not in tensors_of(name):
        return
    flags = torch.arange(24).reshape(4, 6) % 4
    odd = torch.tensor([0, 2, 128, 255], dtype=torch.uint8)[flags].view(torch.bool)
    wanted, got = (points_arguments(name, names, target=target) for target in (flags > 0, odd))
    loss = [_ops.OPERATORS[name].forward(*given.values()) for given in (wanted, got)]
    assert torch.equal(*loss)
    assert torch.equal(wanted["grad_input"], got["grad_input"])


def off_alignment(t):
    memory = torch.frombuffer(bytearray(t.nbytes + 1), dtype=t.dtype, offset=1)
    return memory.view(t.shape).copy_(t)


@every_call
def test_tensors_off_their_alignment(ops, arguments, isa):
    """Views of a file's bytes. Here gradients are large enough to be written past the caches."""
    rows = (8 << 20) // 6 // 4 + 3

    def large(t):
        if not isinstance(t, torch.Tensor) or t.dim() == 0 or t.shape[0] != 4:
            return t
        return t.repeat(rows // 4 + 1, *(1,) * (t.dim() - 1))[:rows]

    aligned = {k: large(v) for k, v in arguments.items()}
    odd = {k: off_alignment(v) if isinstance(v, torch.Tensor) else v for k, v in aligned.items()}
    output = next(k for k in arguments if is_output(k))
    assert torch.equal(ops.forward(*aligned.values()), ops.forward(*odd.values()))
    assert torch.equal(aligned[output], odd[output].clone())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("classes", [40, 1000, 5000])
def test_rows_off_their_alignment(classes, dtype, isa):
    """Every engine of the rows family, with a gradient that is written past the caches."""
    name, names = losses("rows")[0]
    x = torch.randn((8 << 20) // dtype.itemsize // classes + 2, classes).to(dtype)
    targets = torch.arange(len(x)) % classes
    outputs = torch.empty_like(x), off_alignment(torch.zeros_like(x))
    for gradient in outputs:
        rows(name, names, input=x, target=targets, grad_input=gradient)
    assert torch.equal(outputs[0], outputs[1].clone())
