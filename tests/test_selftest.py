"""`fastloss.selftest`, and what the first CUDA call of an engine asks: a CPU's kernels stand for a device's."""

import json
import subprocess
import sys
import time
import types
import warnings

import cases
import pytest
import torch

import fastloss
from fastloss import _selftest, isa
from fastloss._core import guards, verified
from fastloss._core import operators as _ops

pytestmark = pytest.mark.skipif(not _ops.AVAILABLE, reason="the extension is not built")
F = fastloss.functional
CPU = torch.device("cpu")


def wrong(monkeypatch, *names, factor=1.05):
    """Makes operators return losses that are 5 % too large."""
    for name in names:
        operators = _ops.OPERATORS[name]

        def forward(*args, right=operators.forward):
            return right(*args) * factor

        monkeypatch.setitem(_ops.OPERATORS, name, operators._replace(forward=forward))


def test_every_loss_has_calls():
    """Of every loss of a functor, and of every engine something brief."""
    for engine in _selftest.ENGINES:
        made = list(_selftest.cases(engine))
        wanted = {
            name for name in F.__all__ if getattr(getattr(getattr(F, name), "record", None), "engine", "") == engine
        }
        wanted -= {
            name
            for name in wanted
            if getattr(F, name).record.name.startswith("linear_") or getattr(F, name).record.family == "heads"
        }
        assert {case.loss for case in made} == wanted - {"flex_cross_entropy"}
        assert any(case.brief for case in made)


@pytest.mark.parametrize("dtype", cases.DTYPES, ids=str)
@pytest.mark.parametrize("engine", _selftest.ENGINES)
def test_brief(engine, dtype):
    assert _selftest.brief(engine, dtype, CPU) == ""


def test_table(monkeypatch):
    """A line for each engine and dtype; wrong calls of a planted kernel in words, and in the last line."""
    monkeypatch.setattr(isa, "available", lambda: [isa.active()])
    monkeypatch.setattr(_selftest, "ENGINES", ("products", "outputs"))
    right = fastloss.selftest("cpu")
    assert right.failures == ()
    assert [(line.where, line.engine, line.dtype) for line in right.lines] == [
        (isa.active(), engine, dtype) for engine in _selftest.ENGINES for dtype in _ops.DTYPE_CODES
    ]
    assert all(0 < line.worst < 1 and line.calls for line in right.lines)
    wrong(monkeypatch, "triplet_margin_loss")
    table = fastloss.selftest("cpu")
    bad = [case for case in _selftest.cases("products") if case.loss == "triplet_margin_loss"]
    assert len(table.failures) == len(bad) * len(_ops.DTYPE_CODES)
    assert f"{isa.active()}, triplet_margin_loss, float16, 16 wide: the error is " in str(table)
    assert " calls are WRONG, " in str(table).splitlines()[-1]
    assert len(str(table).splitlines()) == 1 + len(table.lines) + 20 + 1 + 1


@pytest.mark.parametrize("factor", [1.05, float("nan")])
@pytest.mark.parametrize(
    ("engine", "operator"),
    [("elements", "huber_loss"), ("products", "tversky_loss"), ("softmax", "poly1_cross_entropy"),
     ("divergence", "js_divergence")],
)  # fmt: skip
def test_wrong_kernels_are_found(monkeypatch, engine, operator, factor):
    wrong(monkeypatch, operator, factor=factor)
    for dtype in cases.DTYPES:
        assert " times its limit" in _selftest.brief(engine, dtype, CPU)


def test_a_call_without_kernel_is_no_proof(monkeypatch):
    monkeypatch.delitem(_ops.OPERATORS, "l1_loss")
    wrong = [case for case in _selftest.cases("elements") if case.loss == "l1_loss"]
    for case in wrong:
        error, said = _selftest._run(case, _selftest._expect(case), "here", torch.float32, CPU)
        assert error == float("inf")
        assert "no kernel: this build of the extension has no kernel of the loss" in said


def test_without_kernels():
    if _ops.CUDA:
        pytest.skip("there are CUDA kernels")
    with pytest.raises(RuntimeError, match=r"fastloss.selftest: expected CUDA kernels for cuda:3, but "):
        fastloss.selftest("cuda:3")


@pytest.mark.slow
@pytest.mark.parametrize("planted", [False, True])
def test_command(planted):
    program = "import runpy, sys, fastloss\nfrom fastloss._core import operators as o\n"
    if planted:
        program += "was = o.OPERATORS['mse_loss']\n"
        program += "o.OPERATORS['mse_loss'] = was._replace(forward=lambda *a: was.forward(*a) * 2)\n"
    program += "sys.argv[1:] = ['selftest', '--device', 'cpu']\nrunpy.run_module('fastloss', run_name='__main__')\n"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == planted, done.stderr
    said = done.stdout.splitlines()
    assert said[0].split()[:4] == ["where", "engine", "dtype", "calls"]
    assert all(name in done.stdout for name in isa.available())
    assert (" are WRONG, " if planted else " calls are right, ") in said[-1]


# --------------------------------------------------------------------------------------------------- the first call


@pytest.fixture
def device(monkeypatch, tmp_path):
    """The CPU as a device of which nothing is known yet, with a cache of its own; what is asked, in order."""
    monkeypatch.setattr(verified, "DEVICE", "cpu")
    monkeypatch.setattr(verified, "_identity", lambda index: "device")
    monkeypatch.setattr(verified, "_passed", set())
    monkeypatch.setattr(verified, "_refused", {})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("FASTLOSS_SELFTEST", raising=False)
    asked, brief = [], _selftest.brief

    def ask(engine, dtype, device):
        asked.append((engine, dtype))
        return brief(engine, dtype, device)

    monkeypatch.setattr(_selftest, "brief", ask)
    return asked


def forget():
    verified._passed.clear()
    verified._refused.clear()


X, Y = torch.linspace(-2, 2, 40).view(8, 5), torch.linspace(3, -1, 40).view(8, 5)
FILE = "fastloss/selftest/device/elements-float32.json"


def step(x=X, y=Y, **options):
    """A call that the gate does not answer, which knows CUDA alone."""
    return F.huber_loss(x, y, weight=torch.ones(8, 5), **options)


def test_first_call(device, tmp_path):
    """One question for an engine and a dtype, one file."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            step()
            step(X.bfloat16(), Y.bfloat16())
            F.mse_loss(X, Y, weight=torch.ones(8, 5))
            F.cross_entropy(X, torch.arange(8) % 5, label_smoothing=0.1, loss_dtype=torch.float64)
        forget()
        step()
    assert device == [("elements", torch.float32), ("elements", torch.bfloat16), ("softmax", torch.float32)]
    assert json.loads((tmp_path / FILE).read_text()) == {"wrong": ""}


def test_wrong_kernel_is_left(device, monkeypatch, tmp_path):
    """One warning, plain PyTorch for the engine and dtype, and the same in the next process, by the file."""
    wrong(monkeypatch, "huber_loss")
    with pytest.warns(RuntimeWarning, match=r"the elements kernels for float32 are wrong on this device: cpu, huber_"):
        assert step() == fastloss.reference.huber_loss(X, Y, weight=torch.ones(8, 5))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = fastloss.explain(F.mse_loss, X, Y, weight=torch.ones(8, 5))
        assert found.path == "reference"
        assert "kernels for float32 are wrong on this device: cpu, huber_loss, float32, plain" in found.reason
        assert fastloss.explain(F.cross_entropy, X, torch.arange(8) % 5, label_smoothing=0.1).path != "reference"
    assert "huber_loss" in json.loads((tmp_path / FILE).read_text())["wrong"]
    asked = list(device)
    forget()
    with pytest.warns(RuntimeWarning, match="the elements kernels for float32 are wrong"):
        step()
    assert device == asked
    verified.settle("elements", torch.float32, -1, "")  # as selftest does when all is right again
    assert fastloss.explain(step).path == "kernel"
    forget()
    assert fastloss.explain(step).path == "kernel"
    assert device == asked


def test_turned_off(device, monkeypatch, tmp_path):
    monkeypatch.setenv("FASTLOSS_SELFTEST", "0")
    wrong(monkeypatch, "huber_loss")
    assert step() != fastloss.reference.huber_loss(X, Y, weight=torch.ones(8, 5))
    (tmp_path / FILE).parent.mkdir(parents=True)
    (tmp_path / FILE).write_text('{"wrong": "all of it"}')
    forget()
    assert fastloss.explain(step).path == "kernel"
    assert device == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"wrong": 3}', '{"right": ""}', "\0\xff"])
def test_file_that_cannot_be_read(device, tmp_path, text):
    (tmp_path / FILE).parent.mkdir(parents=True)
    (tmp_path / FILE).write_bytes(text.encode("latin-1"))
    step()
    assert len(device) == 1
    assert json.loads((tmp_path / FILE).read_text()) == {"wrong": ""}


@pytest.mark.parametrize("home", ["a file", "no home"])
def test_nowhere_to_write(device, monkeypatch, tmp_path, home):
    """Asked once a process, and no error. (A file where the folder should be stops root too.)"""
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file") if home == "a file" else "")
    monkeypatch.setenv("HOME", str(tmp_path / "file") if home == "a file" else "")
    if home == "no home":

        def nobody():
            raise RuntimeError("Could not determine home directory.")

        monkeypatch.setattr(verified.Path, "home", nobody)
    for _ in range(2):
        step()
    assert len(device) == 1
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


@pytest.mark.parametrize(
    ("error", "used"),
    [
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
        (torch.OutOfMemoryError("CUDA out of memory"), True),
    ],
)
def test_check_that_fails(device, monkeypatch, tmp_path, error, used):
    """An error of the device is the kernels'; another one says nothing, and nothing is kept."""

    def fail(*_):
        device.append(error)
        raise error

    monkeypatch.setattr(_selftest, "brief", fail)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for _ in range(2):
            step()
    assert (fastloss.explain(step).path == "kernel") == used
    assert len(device) == 1
    assert len(said) == (not used)
    assert (tmp_path / FILE).exists() == (not used)


def test_nothing_is_asked_where_it_would_be_recorded(device, monkeypatch):
    """In a capture, in a backward that must not wait for another one, and in a trace, which goes by what is known."""
    monkeypatch.setattr(verified, "_capturing", lambda: True)
    step()
    monkeypatch.setattr(verified, "_capturing", lambda: False)

    class Again(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.clone()

        @staticmethod
        def backward(ctx, grad):
            (x,) = ctx.saved_tensors
            with torch.enable_grad():
                again = x.detach().requires_grad_()
                step(again).backward()
            return again.grad

    Again.apply(X.clone().requires_grad_()).sum().backward()
    torch._dynamo.reset()
    whole = torch.compile(step, backend="eager", fullgraph=True)
    assert torch.allclose(whole(X, Y), fastloss.reference.huber_loss(X, Y))
    assert device == []
    verified._refused["elements", torch.float32, -1] = "wrong"
    torch._dynamo.reset()
    wrong(monkeypatch, "huber_loss")
    assert torch.allclose(whole(X, Y), fastloss.reference.huber_loss(X, Y))
    assert device == []


def test_asked_under_modes(device):
    """What the calling thread has set is none of the check's business, and the check leaves it."""
    state = torch.random.get_rng_state()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        step()
        assert torch.is_inference_mode_enabled()
    forget()
    with torch.no_grad(), torch.device("meta"):
        F.huber_loss(X, Y, weight=torch.ones(8, 5, device="cpu"))
    assert device == [("elements", torch.float32)]  # the second time the file answers
    assert torch.equal(torch.random.get_rng_state(), state)


def test_device_that_cannot_run_them(monkeypatch):
    """One reason, also for a trace: why, of which device, and the remedy."""
    answers = {0: None, 1: b"no kernel image is available for execution on the device"}
    library = types.SimpleNamespace(fastloss_cuda_why_not=lambda index: answers[index])
    monkeypatch.setattr(verified, "_library", lambda: library)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: (6, 1))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "GTX 1080")
    why_not = verified.why_device_not.__wrapped__
    assert why_not(0) == ""
    said = why_not(1)
    assert said.startswith(
        "the CUDA kernels do not run on GTX 1080 (compute capability 6.1) with this driver: no kernel "
    )
    assert said.endswith("; remedy: build with FASTLOSS_CUDA_ARCHS=61, or update the driver")
    monkeypatch.setattr(verified, "why_device_not", why_not)
    assert verified._known("elements", torch.float32, 1) == said


@pytest.mark.parametrize(
    ("hip", "reason"), [(None, "torch is a CPU build"), ("6.4", "torch is a ROCm build, the kern")]
)
def test_torch_without_cuda(monkeypatch, hip, reason):
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.version, "hip", hip)
    assert _ops._load_cuda().startswith(reason)


def test_gates_ask_the_set(monkeypatch):
    """What has passed, and nothing else, goes to the kernels without the general way."""
    on_gpu = types.SimpleNamespace(is_cuda=True, dtype=torch.float16, get_device=lambda: 3)
    monkeypatch.setattr(verified, "_passed", {("softmax", torch.float16, 3)})
    assert guards.on_cuda("softmax", on_gpu)
    assert not guards.on_cuda("elements", on_gpu)
    assert not guards.on_cuda("softmax", torch.empty(1, dtype=torch.float16))
    monkeypatch.setattr(_ops, "_debug", True)
    assert not guards.on_cuda("softmax", on_gpu)


# ------------------------------------------------------------------------------------------------------ on a device


@pytest.mark.cuda
@pytest.mark.skipif(not (_ops.CUDA and torch.cuda.is_available()), reason="there is no device with CUDA kernels")
def test_device(monkeypatch, tmp_path):
    """All kernels in 20 seconds, and the first call of an engine and dtype in 0.3 beyond what loading kernels takes."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert verified.why_device_not(0) == ""
    table = fastloss.selftest("cuda")
    assert table.failures == ()
    assert table.seconds < 20
    for engine in _selftest.ENGINES:
        for dtype in cases.DTYPES:
            assert verified.passed(engine, torch.empty(1, dtype=dtype, device="cuda"))
            began = time.monotonic()
            assert _selftest.brief(engine, dtype, torch.device("cuda", 0)) == ""
            assert time.monotonic() - began < 0.3, (engine, dtype)
    forget()
    x, y = torch.randn(2, 300, device="cuda")
    F.huber_loss(x, y)
    assert verified.passed("elements", x)
