"""What is refused, how, and that it is what PyTorch refuses: (call, exception, fragments of the message)."""

import warnings

import cases
import pytest
import torch
from cases import SOFTMAX, info_of

import fastloss
from fastloss._core import operators as _ops

N, C = 6, 5
X = torch.zeros(N, C)
Y = torch.zeros(N, dtype=torch.int64)
T = torch.full((N, C), 1 / C)
MASK = torch.ones(N, dtype=torch.bool)

# Refused by PyTorch, so by us with the same type of exception: arguments, keyword arguments.
AS_TORCH = {
    "batch sizes differ": ((X, Y[:4]), {}),
    "target has a dimension too many": ((X, Y[:, None]), {}),
    "pixels differ": ((torch.zeros(2, 3, 4), torch.zeros(2, 5, dtype=torch.int64)), {}),
    "target is one number for a batch": ((X, Y[0]), {}),
    "target is a batch for one row": ((X[0], Y[:2]), {}),
    "int32 target": ((X, Y.int()), {}),
    "bool target": ((X, Y.bool()), {}),
    "float target of index shape": ((X, Y.float()), {}),
    "integer probabilities": ((X, torch.zeros(N, C, dtype=torch.int64)), {}),
    "ignore_index with probabilities": ((X, T), dict(ignore_index=2)),
    "weight too short": ((X, Y), dict(weight=torch.ones(C - 1))),
    "weight too long for probabilities": ((X, T), dict(weight=torch.ones(C + 1))),
    "weight of one for probabilities": ((X, T), dict(weight=torch.ones(1))),
    "weight is a matrix": ((X, Y), dict(weight=torch.ones(1, C))),
    "weight of another dtype": ((X, Y), dict(weight=torch.ones(C, dtype=torch.float64))),
    "smoothing above one": ((X, Y), dict(label_smoothing=1.1)),
    "unknown reduction": ((X, Y), dict(reduction="average")),
    "reduction None": ((X, Y), dict(reduction=None)),
    "class above": ((X, Y + C), {}),
    "class below": ((X, Y - 1), {}),
    "integer logits": ((X.long(), Y), {}),
    "bool logits": ((X.bool(), Y), {}),
    "number for logits": ((torch.tensor(1.0), torch.tensor(0)), {}),
    "list for logits": (([[0.0, 1.0]], Y[:1]), {}),
    "list for target": ((X, [0] * N), {}),
    "targets in a column": ((X, Y[:, None]), {}),
    "target on another device": ((X, Y.to("meta")), {}),
    "no target": ((X, None), {}),
    "unknown option": ((X, Y), dict(nonsense=2.0)),
    "smoothing is a word": ((X, Y), dict(label_smoothing="0.1")),
    "smoothing above one and a wrong target": ((X, Y[:3]), dict(label_smoothing=1.1)),
    "list for weight": ((X, Y), dict(weight=[1.0] * C)),
    "number for weight": ((X, Y), dict(weight=1.0)),
    "uint8 class above": ((X, (Y + 200).to(torch.uint8)), {}),
    "no classes": ((torch.zeros(N, 0), Y), {}),
    "no classes of pixels": ((torch.zeros(3, 0, 5), torch.zeros(3, 5, dtype=torch.int64)), {}),
    "ignore_index is a word": ((X, Y), dict(ignore_index="0")),
}

# Ours alone: arguments, keyword arguments, exception, fragments of the message.
OURS = {
    "empty is unknown": ((X, Y), dict(empty="one"), ValueError, ["empty", "nan", "zero", "one"]),
    "normalizer with sum": (
        (X, Y),
        dict(normalizer=2.0, reduction="sum"),
        ValueError,
        ["normalizer", "mean", "sum"],
    ),
    "normalizer with none": (
        (X, Y),
        dict(normalizer=2.0, reduction="none"),
        ValueError,
        ["normalizer", "mean"],
    ),
    "mask of numbers": ((X, Y), dict(mask=torch.ones(N)), RuntimeError, ["mask", "bool", "float32"]),
    "mask of another shape": ((X, Y), dict(mask=MASK[:3]), RuntimeError, ["mask", "(3,)", "(6,)"]),
    "mask like the logits": (
        (X, Y),
        dict(mask=torch.ones(N, C, dtype=torch.bool)),
        RuntimeError,
        ["mask", "(6,)"],
    ),
    "softcap is negative": ((X, Y), dict(softcap=-1.0), ValueError, ["softcap", "positive", "-1"]),
    "list for mask": ((X, Y), dict(mask=[True] * N), TypeError, ["mask", "list", "Tensor"]),
    "number for mask": ((X, Y), dict(mask=1.0), TypeError, ["mask", "float", "Tensor"]),
    "list for weight": ((X, Y), dict(weight=[1.0] * C), TypeError, ["weight", "list", "Tensor"]),
    "no target": ((X, None), {}, TypeError, ["target", "NoneType", "class indices"]),
    "list for logits": (([[0.0]], Y), {}, TypeError, ["input", "list"]),
    "z_loss is a word": ((X, Y), dict(z_loss="x"), TypeError, ["z_loss", "str", "number"]),
    "softcap is a word": ((X, Y), dict(softcap="30"), TypeError, ["softcap", "str", "number"]),
    "smoothing is a word": ((X, Y), dict(label_smoothing="0.1"), TypeError, ["label_smoothing", "str", "number"]),
    "normalizer of two": ((X, Y), dict(normalizer=torch.ones(2)), ValueError, ["normalizer", "(2,)", "one element"]),
    "smoothing above one and a wrong target": (
        (X, Y[:3]),
        dict(label_smoothing=1.2),
        RuntimeError,
        ["label_smoothing", "1.2"],
    ),
    "uint8 class out of range": ((X, (Y + 200).to(torch.uint8)), {}, IndexError, ["target 200", "row 0", "[0, 5)"]),
    "targets with a channel": (
        (torch.zeros(2, C, 4, 4), torch.zeros(2, 1, 4, 4, dtype=torch.int64)),
        {},
        RuntimeError,
        ["(2, 1, 4, 4)", "(2, 4, 4)", "squeeze(1)"],
    ),
    "classes last": (
        (torch.zeros(2, 7, C), torch.zeros(2, 7, dtype=torch.int64)),
        {},
        RuntimeError,
        ["(2, 7)", "flatten(0, -2)", "transpose(1, 2)"],
    ),
    "temperature is zero": ((X, Y), dict(temperature=0.0), ValueError, ["temperature", "positive"]),
    "no temperature": ((X, Y), dict(temperature=None), TypeError, ["temperature", "NoneType", "number"]),
    "softcap is zero": ((X, Y), dict(softcap=0.0), ValueError, ["softcap", "positive"]),
    "loss_dtype is an integer": ((X, Y), dict(loss_dtype=torch.int32), TypeError, ["loss_dtype", "int32"]),
    "class out of range": ((X, Y + 7), {}, IndexError, ["target 7", "row 0", "5"]),
    "class out of range, late": ((X, torch.tensor([0, 1, 2, -3, 9, 0])), {}, IndexError, ["-3", "row 3"]),
    "class out of range, tiny": ((X[0], Y[0] + 7), {}, IndexError, ["7", "5"]),
}


# Options that all families share: a call of each family, wrong options, exception, fragments of the message.
FAMILIES = {
    "cross_entropy": (X, Y), "softmax_focal_loss": (X, Y), "mse_loss": (X, T), "log_cosh_loss": (X, T),
    "cosine_embedding_loss": (X, T, Y), "contrastive_loss": (X, T, Y), "clip_loss": (X, T, 1.0),
    "supcon_loss": (X, Y),
}  # fmt: skip
SHARED = {
    "empty": (dict(empty="one"), ValueError, ["empty", '"nan"', '"zero"', "'one'"]),
    "normalizer": (dict(normalizer=2.0, reduction="sum"), ValueError, ["normalizer", "reduction='mean'", "'sum'"]),
    "loss_dtype": (dict(loss_dtype=torch.int32), TypeError, ["loss_dtype", "floating point", "int32"]),
}


def raised(fn, *args, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            fn(*args, **options)
        except Exception as error:
            return error
    return None


@pytest.fixture(params=["kernel", "as used"])
def path(request):
    """With tiny inputs sent to the kernels, and as in use to PyTorch's operator."""
    if request.param == "kernel":
        request.getfixturevalue("kernel")
    return request.param


@pytest.mark.parametrize(("args", "options"), AS_TORCH.values(), ids=AS_TORCH)
@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_as_torch(case, args, options, path):
    native = raised(case.native, *args, **options)
    assert native is not None, "the table claims PyTorch refuses this"
    assert type(raised(case.functional, *args, **options)) is type(native)
    # An extra that changes nothing must not open a back door.
    assert type(raised(case.functional, *args, **options, empty="zero")) is type(native)
    assert type(raised(case.reference, *args, **options, empty="zero")) is type(native)


@pytest.mark.parametrize(("args", "options", "exception", "fragments"), OURS.values(), ids=OURS)
@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_ours(case, args, options, exception, fragments, path):
    error = raised(case.functional, *args, **options)
    assert type(error) is exception
    message = str(error)
    assert message.startswith(f"fastloss.{case.name}: ")
    for fragment in fragments:
        assert fragment in message


@pytest.mark.parametrize(("options", "exception", "fragments"), SHARED.values(), ids=SHARED)
@pytest.mark.parametrize("name", FAMILIES)
def test_shared_options(name, options, exception, fragments):
    """Every family and its reference refuse the same in the same words."""
    error, specified = (
        raised(getattr(where, name), *FAMILIES[name], **options) for where in (fastloss.functional, fastloss.reference)
    )
    assert (type(error), str(error)) == (type(specified), str(specified))
    assert type(error) is exception
    assert str(error).startswith(f"fastloss.{name}: ")
    assert all(fragment in str(error) for fragment in fragments)


@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_messages_say_what_was_got(case, path):
    """PyTorch's refusals come with our prefix, and with what PyTorch said as their cause."""
    for args, options in AS_TORCH.values():
        native = raised(case.native, *args, **options)
        error = raised(case.functional, *args, **options)
        if isinstance(native, (ValueError, RuntimeError)) and isinstance(args[0], torch.Tensor):
            assert str(error).startswith(f"fastloss.{case.name}: "), (native, error)
            assert str(error.__cause__) == str(native)


@pytest.mark.parametrize("case", [case for case in SOFTMAX if case.native_module], ids=str)
def test_module_refuses_the_same(case, path):
    for args, options in AS_TORCH.values():
        *tensors, weight = args if len(args) == 3 else (*args, None)
        native = raised(lambda *a, w=weight, o=options: case.native_module(weight=w, **o)(*a), *tensors)
        ours = raised(lambda *a, w=weight, o=options: case.module(weight=w, **o)(*a), *tensors)
        assert type(ours) is type(native)


@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_one_row_takes_a_target_of_shape_one(case, path):
    """What PyTorch accepts on the fringe, we accept."""
    x = torch.randn(C)
    for options in ({}, dict(reduction="none"), dict(reduction="sum")):
        native = case.native(x, Y[:1], **options)
        for extra in ({}, dict(mask=torch.tensor(True))):
            torch.testing.assert_close(case.functional(x, Y[:1], **options, **extra), native)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_torch_sample_inputs(torch_tables, dtype, path):
    case = SOFTMAX[0]
    op = info_of(torch_tables[0], lambda entry: entry.name == "nn.functional.cross_entropy")
    samples = list(op.sample_inputs("cpu", dtype, requires_grad=True))
    assert len(samples) >= 20
    for sample in samples:
        x, target = sample.input.detach(), sample.args[0].detach()
        ours = cases.run(case.functional, x, target, **sample.kwargs)
        native = cases.run(case.native, x, target, **sample.kwargs)
        if dtype == torch.bfloat16:  # native's own rounding of every step is worse than any tolerance for one
            assert [(t.dtype, t.shape) for t in ours] == [(t.dtype, t.shape) for t in native]
            native = cases.exact_rows(case, x, target, **sample.kwargs)
            if not _ops.AVAILABLE or path == "as used":
                continue
        for a, b in zip(ours, native, strict=True):
            torch.testing.assert_close(a, b.to(a.dtype), equal_nan=True)


def test_torch_module_inputs(torch_tables, path):
    case = SOFTMAX[0]
    info = info_of(torch_tables[1], lambda entry: entry.module_cls is case.native_module)
    samples = info.module_inputs_func(info, "cpu", torch.float64, requires_grad=True, training=True)
    assert len(samples) >= 100
    for sample in samples:
        build, call = sample.constructor_input, sample.forward_input
        x, target = (t.detach() for t in call.args)
        ours = cases.run(case.module(*build.args, **build.kwargs), x, target)
        native = cases.run(case.native_module(*build.args, **build.kwargs), x, target)
        for a, b in zip(ours, native, strict=True):
            torch.testing.assert_close(a, b, equal_nan=True)


def test_torch_error_inputs(torch_tables, path):
    case = SOFTMAX[0]
    info = info_of(torch_tables[1], lambda entry: entry.module_cls is case.native_module)
    if info.module_error_inputs_func is None:
        pytest.skip("this torch has no table of errors for it")
    samples = info.module_error_inputs_func(info, "cpu", torch.float32, requires_grad=False, training=True)
    assert samples
    for sample in samples:
        build, call = sample.module_error_input.constructor_input, sample.module_error_input.forward_input
        native = raised(lambda b=build, c=call: case.native_module(*b.args, **b.kwargs)(*c.args, **c.kwargs))
        ours = raised(lambda b=build, c=call: case.module(*b.args, **b.kwargs)(*c.args, **c.kwargs))
        assert native is not None
        assert type(ours) is type(native)


@pytest.mark.parametrize("options", [dict(alpha=[0.5]), dict(alpha="x"), dict(gamma="2"), dict(gamma=None)], ids=str)
def test_words_as_numbers_of_focal(options):
    with pytest.raises(
        TypeError, match=rf"fastloss.softmax_focal_loss: {next(iter(options))} is .*, expected a number"
    ):
        fastloss.functional.softmax_focal_loss(X, Y, **options)
