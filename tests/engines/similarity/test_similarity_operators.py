"""The similarity family's operators as anybody may call them: they compute, or refuse in words; they never crash."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from fastloss._core import operators as _ops

pytestmark = pytest.mark.skipif(not _ops.AVAILABLE, reason="the extension is not built")
F64 = torch.float64


TOLD = {
    "mask": None, "positives": None, "row_labels": None, "column_labels": None, "row_offset": 0, "column_offset": 0,
    "skip_self": True, "scale": None, "bias": None, "row_terms": None, "column_terms": None, "affine": [1.0, 0.0],
    "params": [0.0, 0.0],
}  # fmt: skip


def tile_arguments(tile, **other):
    given = {**TOLD, **other}
    return [*given.values(), tile]


def doubles(*shape):
    return torch.zeros(shape, dtype=F64)


def anchors_arguments(sums, **other):
    given = {
        "factor": None, "parts": None, "normalizer": None, "params": [0.0, 0.0], "share": 1.0, "mean": True,
        "empty_zero": True, "losses": doubles(4), "totals": doubles(3), "coefficients": torch.zeros(5, 4), **other,
    }  # fmt: skip
    return (0, sums, *given.values())


def whole_arguments(rows, columns=None, **other):
    about = tile_arguments(None, **{k: other.pop(k) for k in [*other] if k in TOLD})[:-1]
    made = [torch.empty(t.shape) if t is not None else None for t in (rows, columns)]
    given = {
        "weight": None, "normalizer": None, "normalized": True, "both": False, "mean": True, "empty_zero": True,
        "loss_dtype": 6, "grad_rows": made[0], "grad_columns": made[1], "grad_scale": None, "grad_bias": None, **other,
    }  # fmt: skip
    return (0, *about, rows, columns, *given.values())


def refused():
    """Calls that name what is wrong with them."""
    ops = _ops.SIMILARITY
    one, matrix, state, result = torch.ones((), dtype=F64), torch.randn(4, 4), doubles(4, 8), torch.empty(4, 4)
    anchors, sums = torch.zeros(5, 4), doubles(4, 2)
    vectors = torch.randn(4, 3)
    for code in (-2, 0, 100, (1 << 32) + 6, -(1 << 63)):
        yield "code", ops.whole, whole_arguments(matrix, loss_dtype=code)
    for loss in (-1, 99, 1 << 32):
        yield "loss", ops.statistics_, (loss, *tile_arguments(matrix), state, None)
        yield "loss", ops.gradient_, (loss, *tile_arguments(matrix), anchors, None, sums, None, None)
        yield "mining", ops.triplets_, (loss, *tile_arguments(matrix), None, sums, None, None, None, 0)
    yield "dense matrix", ops.finish, (torch.randn(4), None, None, one, result)
    yield "result", ops.finish, (matrix, None, None, one, torch.empty(4, 5))
    yield "computing type", ops.finish, (matrix, None, None, one, result.double())
    yield "one factor", ops.finish, (matrix, None, None, torch.ones(2), result)
    yield "unit", ops.finish, (matrix, torch.randn(17), torch.ones(4, dtype=F64), one, result)
    yield "unit", ops.finish, (matrix, matrix.double(), torch.ones(4, dtype=F64), one, result)
    yield "matrix", ops.normalize, (torch.randn(4), torch.empty(4), doubles(4))
    yield "unit", ops.normalize, (matrix, torch.empty(4, 5), doubles(4))
    yield "length", ops.normalize, (matrix, result, doubles(5))
    yield "float16", ops.normalize, (torch.ones(4, 4, dtype=torch.int64), result, doubles(4))
    yield "float16", ops.statistics_, (0, *tile_arguments(torch.ones(4, 4, dtype=torch.int64)), state, None)
    yield "sums", ops.anchors, anchors_arguments(doubles())
    yield "losses", ops.anchors, anchors_arguments(state, losses=doubles(5))
    yield "totals", ops.anchors, anchors_arguments(state, totals=doubles(2))
    yield "coefficients", ops.anchors, anchors_arguments(state, coefficients=torch.zeros(5, 3))
    yield "coefficients", ops.anchors, anchors_arguments(state, coefficients=torch.zeros(5, 4).bfloat16())
    yield "parameters", ops.statistics_, (0, *tile_arguments(matrix, params=[0.0] * 9), state, None)
    yield "summand", ops.statistics_, (0, *tile_arguments(matrix, affine=[1.0]), state, None)
    for offset in (-(1 << 62), (1 << 62) + 1, (1 << 63) - 1):
        yield "offsets", ops.statistics_, (0, *tile_arguments(matrix, row_offset=offset), state, None)
        told = tile_arguments(matrix, column_offset=offset)
        yield "offsets", ops.gradient_, (0, *told, anchors, None, sums, None, None)
    yield "one scale", ops.statistics_, (0, *tile_arguments(matrix, scale=torch.ones(0)), state, None)
    yield "share no memory", ops.gradient_, (
        0, *tile_arguments(torch.randn(1, 4).expand(4, 4)), anchors, None, sums, None, None,
    )  # fmt: skip
    memory = torch.randn(9, 4)
    yield "memory of its own", ops.gradient_, (0, *tile_arguments(memory[:4]), memory[2:7], None, sums, None, None)
    yield "memory of its own", ops.statistics_, (0, *tile_arguments(matrix), state, state)
    mined = sums, doubles(4, 2)
    yield "pairs", ops.triplets_, (0, *tile_arguments(matrix), None, *mined, vectors, torch.zeros(4, 3), -1)
    yield "rows among them", ops.triplets_, (
        0, *tile_arguments(matrix, row_offset=1 << 62), None, *mined, vectors, torch.zeros(4, 3), 4,
    )  # fmt: skip
    yield "for sums", ops.triplets_, (0, *tile_arguments(matrix), None, sums, None, vectors, torch.zeros(4, 3), 4)
    yield "or neither", ops.triplets_, (0, *tile_arguments(matrix), None, *mined, vectors, None, 4)
    yield "memory of its own", ops.triplets_, (0, *tile_arguments(matrix), None, *mined, vectors, vectors, 4)
    yield "memory of its own", ops.gradient_, (0, *tile_arguments(matrix), anchors, None, sums, vectors, vectors)
    yield "width", ops.whole, whole_arguments(matrix, torch.randn(4, 3), skip_self=False)
    yield "skip_self", ops.whole, whole_arguments(matrix, matrix.clone())
    yield "share the weights", ops.whole, whole_arguments(
        matrix, torch.randn(9, 4), skip_self=False, weight=torch.ones(4, dtype=F64), both=True,
    )  # fmt: skip
    yield "square", ops.mirror_, (torch.randn(4, 5), 0, 4)
    yield "square", ops.mirror_, (matrix, -1, 4)
    yield "square", ops.mirror_, (matrix, 0, 5)
    yield "share no memory", ops.mirror_, (torch.randn(4).expand(4, 4), 0, 4)


@pytest.mark.parametrize("number", range(sum(1 for _ in refused()) if _ops.AVAILABLE else 0))
def test_an_operator_refuses_what_it_cannot_read(number):
    part, operator, arguments = list(refused())[number]
    with pytest.raises(RuntimeError, match=part) as error:
        operator(*arguments)
    assert "fastloss" in str(error.value)


def valid():
    """Calls of every operator with every tensor that it may have."""
    ops = _ops.SIMILARITY
    one, labels = torch.ones((), dtype=F64), torch.arange(4) // 2
    weight, vectors = torch.ones(4, dtype=F64), torch.randn(4, 3)
    told = dict(
        mask=torch.rand(4, 4) < 0.7, row_labels=labels, column_labels=labels.clone(), scale=torch.ones(()),
        bias=torch.ones(()), row_terms=torch.ones(4), column_terms=torch.ones(4),
    )  # fmt: skip

    def tile(**other):
        return tile_arguments(torch.randn(4, 4), **{**told, **other})

    by_mask = dict(row_labels=None, column_labels=None, positives=torch.eye(4) > 0)
    for more in ({}, by_mask):
        yield ops.statistics_, (0, *tile(**more), doubles(4, 8), doubles(4, 8))
        yield ops.gradient_, (
            0, *tile(**more), torch.zeros(5, 4), torch.zeros(5, 4), doubles(4, 2), vectors, torch.zeros(4, 3),
        )  # fmt: skip
        yield ops.triplets_, (0, *tile(**more), weight, doubles(4, 2), doubles(4, 2), None, None, 0)
        yield ops.triplets_, (
            0, *tile(**more), weight, doubles(4, 2), doubles(4, 2), vectors, torch.zeros(4, 3), 16,
        )  # fmt: skip
        yield ops.whole, whole_arguments(
            torch.randn(4, 4), torch.randn(4, 4), **{**told, **more, "row_terms": None, "column_terms": None},
            skip_self=False, weight=weight, normalizer=one, both=True, grad_scale=torch.ones(()),
            grad_bias=torch.ones(()),
        )  # fmt: skip
    yield ops.anchors, anchors_arguments(doubles(4, 8), factor=weight, parts=torch.ones(2, dtype=F64), normalizer=one)
    yield ops.normalize, (vectors, torch.empty(4, 3), doubles(4))
    yield ops.finish, (vectors, vectors.clone(), weight, one, torch.empty(4, 3))
    yield ops.mirror_, (torch.randn(4, 4), 0, 4)


every_call = pytest.mark.parametrize("number", range(sum(1 for _ in valid()) if _ops.AVAILABLE else 0))


def copies(arguments):
    return [a.clone() if isinstance(a, torch.Tensor) else a for a in arguments]


def written(operator, given):
    """The positions of tensors that are written."""
    declared = enumerate(operator._schema.arguments)
    return [k for k, a in declared if a.alias_info and a.alias_info.is_write and given[k] is not None]


@every_call
def test_tensors_that_lost_their_memory(number):
    operator, arguments = list(valid())[number]
    operator(*copies(arguments))
    for k, t in enumerate(arguments):
        if isinstance(t, torch.Tensor):
            given = copies(arguments)
            given[k].untyped_storage().resize_(0)
            with pytest.raises(RuntimeError, match="memory"):
                operator(*given)


@every_call
def test_memory_that_is_shared_until_it_is_written(number):
    operator, arguments = list(valid())[number]
    for k in written(operator, arguments):
        given = copies(arguments)
        original = given[k]
        given[k] = torch._lazy_clone(original)
        operator(*given)
        assert torch.equal(original, arguments[k])


@every_call
def test_what_is_written_shares_no_memory_with_what_is_read(number):
    operator, arguments = list(valid())[number]
    for out in written(operator, arguments):
        for k, t in enumerate(arguments):
            if not isinstance(t, torch.Tensor) or k == out:
                continue
            given = copies(arguments)
            memory = torch.zeros(64, dtype=F64)
            for at in (out, k):
                one = given[at]
                there = torch.empty(0, dtype=one.dtype).set_(
                    memory.untyped_storage(), int(at == k and given[out].numel() > 1), one.shape
                )
                given[at] = there.copy_(one)
            with pytest.raises(RuntimeError, match="memory"):
                operator(*given)


@every_call
def test_whatever_byte_is_not_0_is_true(number, isa):
    operator, arguments = list(valid())[number]
    plain, odd = copies(arguments), copies(arguments)
    for k, t in enumerate(arguments):
        if isinstance(t, torch.Tensor) and t.dtype == torch.bool:
            odd[k] = (t.byte() * torch.tensor([2, 128, 255, 1], dtype=torch.uint8)).view(torch.bool)
    results = [operator(*given) for given in (plain, odd)]
    assert all(torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b for a, b in [results])
    assert all(torch.equal(plain[k], odd[k]) for k in written(operator, plain))


def test_sizes_of_nothing_take_no_time():
    """No element, and more rows or columns than could be looked at."""
    ops, many = _ops.SIMILARITY, 1 << 40
    one = torch.ones((), dtype=F64)
    ops.finish(torch.empty(many, 0), None, None, one, torch.empty(many, 0))
    no_rows, nothing = doubles(0, 8), doubles(0, 2)
    ops.statistics_(0, *tile_arguments(torch.empty(0, many)), no_rows, None)
    ops.gradient_(0, *tile_arguments(torch.empty(0, many)), torch.zeros(5, 0), None, nothing, None, None)
    ops.triplets_(0, *tile_arguments(torch.empty(0, many)), None, nothing, None, None, None, 0)
    for refused in (
        lambda: ops.normalize(torch.empty(many, 0), torch.empty(many, 0), doubles(0)),
        lambda: ops.triplets_(0, *tile_arguments(torch.empty(many, 0)), None, nothing, None, None, None, 0),
        lambda: ops.statistics_(0, *tile_arguments(torch.ones(1, 1).expand(2 * many, 1)), no_rows, None),
    ):
        with pytest.raises(RuntimeError):
            refused()


RANDOM = """
import random, sys, torch
from fastloss._core import operators as _ops
generator = random.Random(int(sys.argv[1]))
torch.manual_seed(0)
pick = generator.choice
sizes = (0, 1, 2, 3, 8, 17)
dtypes = (torch.float32, torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.int64, torch.bool)
codes = (-2, -1, 0, 1, 2, 3, 5, 6, 6, 7, 15, 99, 1 << 32, (1 << 63) - 1, -(1 << 63))
likely = [None]

def tensor():
    if likely[0] is not None and generator.random() < 0.5:
        return likely[0]
    rank = pick((0, 1, 2, 2, 2, 3))
    dtype = pick(dtypes)
    shape = [pick(sizes) for _ in range(rank)]
    t = torch.randint(0, 2, shape).to(dtype) if not dtype.is_floating_point else torch.randn(shape).to(dtype)
    layout = pick(("dense", "dense", "dense", "transposed", "expanded", "sliced", "meta"))
    if layout == "transposed" and rank > 1:
        t = t.transpose(0, 1)
    if layout == "expanded" and rank and t.shape[0]:
        t = t[:1].expand(t.shape)
    if layout == "sliced" and rank:
        t = t[..., ::2]
    if layout == "meta":
        t = t.to("meta")
    likely[0] = t
    return t

def value(kind):
    if kind == "Tensor":
        return tensor()
    if kind == "Optional[Tensor]":
        return tensor() if generator.random() < 0.3 else None
    return {
        "int": lambda: pick(codes), "bool": lambda: pick((True, False)), "float": lambda: pick((0.0, 1.0, -1.0, 1e38)),
        "List[float]": lambda: [pick((0.0, 1.0, -2.0))] * pick((2, 2, 0, 3, 4, 5)),
    }[kind]()

# Half of the calls are nearly right: a square tile, what belongs to it, and one argument that is anything.
n = 8
right = {
    "tile": lambda: torch.randn(n, n), "matrix": lambda: torch.randn(n, n), "rows": lambda: torch.randn(n, n),
    "vectors": lambda: torch.randn(n, 3), "gradients": lambda: torch.zeros(n, 3), "x": lambda: torch.randn(n, 3),
    "gradient": lambda: torch.randn(n, 3), "sums": lambda: torch.rand(n, 8, dtype=torch.float64),
    "row_sums": lambda: torch.zeros(n, 8, dtype=torch.float64), "row_anchors": lambda: torch.rand(5, n),
    "factor": lambda: torch.ones(n, dtype=torch.float64), "loss": lambda: generator.randrange(5),
    "affine": lambda: [1.0, 0.0], "params": lambda: [1.0, 2.0, 0.0],
    "row_labels": lambda: torch.arange(n) % 3, "column_labels": lambda: torch.arange(n) % 3,
    "found": lambda: torch.zeros(n, 2, dtype=torch.float64), "losses": lambda: torch.zeros(n, dtype=torch.float64),
    "derivative_sums": lambda: torch.zeros(n, 2, dtype=torch.float64), "skip_self": lambda: True,
    "totals": lambda: torch.zeros(3, dtype=torch.float64), "coefficients": lambda: torch.zeros(5, n),
    "unit": lambda: torch.randn(n, 3), "length": lambda: torch.ones(n, dtype=torch.float64),
    "result": lambda: torch.zeros(n, 3), "grad_rows": lambda: torch.zeros(n, n),
    "loss_dtype": lambda: 6, "begin": lambda: 0, "end": lambda: n, "most": lambda: 64, "row_offset": lambda: 0,
    "column_offset": lambda: 0, "share": lambda: 1.0,
}
answers = refusals = 0
for call in range(int(sys.argv[2])):
    name, operator = pick([(k, f) for k, f in _ops.SIMILARITY._asdict().items() if k != "losses"])
    arguments = operator._schema.arguments
    nearly = generator.random() < 0.5
    wrong = generator.randrange(len(arguments) + 1)
    given = []
    for k, argument in enumerate(arguments):
        kind = str(argument.type)
        if nearly and k != wrong:
            if argument.name in right and not (name == "finish" and argument.name == "factor"):
                given.append(right[argument.name]())
                continue
            if kind.startswith("Optional"):
                given.append(None)
                continue
            if kind == "Tensor":
                given.append(torch.ones((), dtype=torch.float64))
                continue
        given.append(value(kind))
    print(name, [(g.shape, g.dtype, g.device.type) if isinstance(g, torch.Tensor) else g for g in given], flush=True)
    try:
        operator(*given)
        answers += 1
    except (RuntimeError, NotImplementedError):
        refusals += 1
print("END", answers, refusals)
"""


@pytest.mark.parametrize("seed", range(2))
def test_random_arguments(seed):
    """In a process of its own, so that a crash is a failure that shows the call."""
    run = subprocess.run(
        [sys.executable, "-c", RANDOM, str(seed), "1500"],
        capture_output=True, text=True, timeout=120, cwd=Path(__file__).parents[3], check=False,
    )  # fmt: skip
    last = run.stdout.splitlines()[-1] if run.stdout else ""
    assert run.returncode == 0, (run.returncode, last, run.stderr[-2000:])
    answers, refusals = map(int, last.split()[1:])
    assert min(answers, refusals) > 100
