"""Which path a call takes, that it says so, and that every path is right."""

import shutil
from pathlib import Path

import cases
import pytest
import torch
from cases import SOFTMAX
from torch.autograd import forward_ad

import fastloss
from fastloss._core import operators as _ops

close = torch.testing.assert_close
needs_extension = pytest.mark.skipif(not _ops.AVAILABLE, reason="the extension is not built")


class Tagged(torch.Tensor):
    """A subclass with its own meaning: every operator passes through `__torch_function__`."""

    seen: list = []  # noqa: RUF012

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        cls.seen.append(func)
        return super().__torch_function__(func, types, args, kwargs or {})


@needs_extension
@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_paths(case):
    x, target = cases.make_rows((4000, 50), torch.float32)

    def path(*args, **options):
        explanation = fastloss.explain(case.functional, *args, **options)
        assert explanation.reason
        assert (explanation.isa is not None) == (explanation.path == "kernel")
        return explanation.path

    assert path(x, target) == "kernel"
    assert fastloss.explain(case.functional, x, target).isa == fastloss.isa.active()
    assert fastloss.explain(case.module(), x, target).path == "kernel"
    assert path(x[:4], target[:4]) == ("native" if case.drop_in else "kernel")
    assert path(x[:4], target[:4], z_loss=0.1) == "kernel"
    assert path(x.to("meta"), target.to("meta")) in ("kernel", "reference")
    assert path(x.as_subclass(Tagged), target) == "reference"
    assert path(x, target, z_loss=torch.tensor(0.1, requires_grad=True)) == "reference"
    assert path(x.to_sparse(), target) == "reference"
    assert path(x, target.to(torch.uint8)) == "kernel"
    with forward_ad.dual_level():
        assert path(x, target) == "reference"
    inside = []
    torch.func.vmap(lambda x: (inside.append(path(x, target)), x)[1])(torch.stack([x, x]))
    assert inside == ["reference"]
    with pytest.raises(ValueError, match="fastloss"):
        fastloss.explain(torch.nn.functional.cross_entropy, x, target)


@needs_extension
def test_families_give_one_reason():
    f, x, labels = fastloss.functional, torch.rand(4000, 50), torch.arange(4000) % 50
    for fn, args in (
        (f.cross_entropy, (x, labels)), (f.softmax_focal_loss, (x, labels)), (f.mse_loss, (x, x)),
        (f.cosine_embedding_loss, (x, x, labels)), (f.supcon_loss, (x, labels)), (f.gan_generator_loss, (x,)),
    ):  # fmt: skip
        found = fastloss.explain(fn, *args)
        assert (found.path, found.reason) == ("kernel", "the kernel takes these arguments")


@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_uncovered_calls_are_right(case, kernel):
    x, target = cases.make_rows((40, 50), torch.float32)
    wanted = case.native(x, target)
    Tagged.seen.clear()
    ours = case.functional(x.as_subclass(Tagged), target)
    assert isinstance(ours, Tagged)
    assert Tagged.seen
    close(ours.as_subclass(torch.Tensor), wanted)
    close(case.functional(x, target.to(torch.uint8)), wanted)
    # A weight that asks for a gradient, and targets wider than the logits, are PyTorch's own affair.
    _, soft = cases.make_rows((40, 50), torch.float64, "probability")
    weight = torch.rand(50).requires_grad_()
    for target, options in ((soft, {}), (soft.float(), {"weight": weight})):
        a, b = case.functional(x, target, **options), case.native(x, target, **options)
        assert a.dtype == b.dtype
        assert a.requires_grad == b.requires_grad
        close(a, b)


@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_negative_and_conjugate_views(case, kernel):
    x, target = cases.make_rows((40, 50), torch.float32)
    view = torch.complex(torch.zeros_like(x), x).conj().imag
    assert view.is_neg()
    close(case.functional(view, target), case.native(-x, target))
    assert fastloss.explain(case.functional, view, target).path != "kernel"  # which would be given a copy


USE = """
import torch, fastloss
for n in (4, 400):
    x = torch.arange(50.0 * n).reshape(n, 50).sin().requires_grad_()
    target = torch.arange(n) % 50
    loss, stats = fastloss.CrossEntropyLoss(z_loss=0.1, return_stats=True)(x, target)
    plain = fastloss.functional.cross_entropy(x, target)
    (loss + plain).backward()
    lse = x.logsumexp(1)
    native = torch.nn.functional.cross_entropy(x, target)
    assert torch.allclose(loss, native + 0.1 * lse.square().mean()), loss
    assert torch.allclose(plain, native)
    assert torch.allclose(stats.mean_lse.float(), lse.mean())
    assert x.grad.isfinite().all()
"""


def test_log():
    for value, expected in (("1", True), ("0", False), ("", False)):
        done = cases.python(USE, FASTLOSS_LOG=value)
        assert done.returncode == 0, done.stderr
        lines = [line for line in done.stderr.splitlines() if "fastloss.cross_entropy" in line]
        assert bool(lines) == expected, done.stderr
        if expected and _ops.AVAILABLE:
            assert any(line.endswith(": kernel (the kernel takes these arguments)") for line in lines)
            paths = {line.split()[1] for line in lines}
            assert {"native", "kernel"} <= paths, "each path once, the native one for tiny inputs too"
            assert len(lines) == len(set(lines))


def test_without_the_extension():
    """One warning that names the remedy, then every loss runs its reference."""
    program = (
        "import sys, warnings\n"
        "sys.modules['fastloss._C'] = None\n"
        "with warnings.catch_warnings(record=True) as caught:\n"
        "    warnings.simplefilter('always')\n"
        "    import fastloss\n"
        "assert len(caught) == 1, [str(w.message) for w in caught]\n"
        "assert caught[0].category is RuntimeWarning\n"
        "assert 'the compiled extension is not built in ' in str(caught[0].message)\n"
        "assert 'pip install' in str(caught[0].message)\n"
        "assert fastloss.isa.available() == [] and fastloss.isa.active() is None\n"
        "assert fastloss.build_info()\n"
        "import torch\n"
        "x, t = torch.zeros(4000, 50), torch.zeros(4000, dtype=torch.int64)\n"
        "assert fastloss.explain(fastloss.functional.cross_entropy, x, t).path == 'reference'\n"
    )
    done = cases.python(program + USE)
    assert done.returncode == 0, done.stderr


def test_unbuilt_checkout(tmp_path):
    """What Python's own message calls a circular import."""
    shutil.copytree(Path(fastloss.__file__).parent, tmp_path / "fastloss", ignore=shutil.ignore_patterns("*.so"))
    program = (
        "import sys\n"
        "sys.meta_path = [f for f in sys.meta_path if '__editable__' not in f.__module__]\n"  # finds another checkout's
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        "import fastloss\n"
    )
    absent = f"the compiled extension is not built in {tmp_path / 'fastloss'}"
    stderr = cases.python(program).stderr
    assert f"{absent}. Every loss still works" in stderr
    assert "Remedy: " in stderr
    assert "circular" not in stderr
    (tmp_path / "fastloss" / "_C.other-python.so").touch()
    stderr = cases.python(program).stderr
    assert f"{absent} for this Python, only _C.other-python.so. " in stderr
    assert "Remedy: `pip install --force-reinstall --no-deps fastloss`" in stderr
    (tmp_path / "setup.py").touch()
    assert "Remedy: in the checkout `pip install -e .`" in cases.python(program).stderr
    # Installed from a wheel that never had kernels, it says nothing until it is asked.
    (tmp_path / "fastloss-0.dist-info").mkdir()
    (tmp_path / "fastloss-0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: fastloss\nVersion: 0\n")
    (tmp_path / "fastloss-0.dist-info/WHEEL").write_text("Wheel-Version: 1.0\nRoot-Is-Purelib: true\n")
    asked = "print(fastloss.explain(fastloss.CrossEntropyLoss(), torch.zeros(400, 50), torch.zeros(400).long()))\n"
    done = cases.python(f"{program}import torch\n{asked}")
    assert not done.stderr
    assert "this package of fastloss has no kernels" in done.stdout


@needs_extension
@pytest.mark.parametrize(
    ("version", "said"), [("0", "the package fastloss-cuda is 0, expected "), (fastloss.__version__, "did not load: ")]
)
def test_package_of_the_cuda_kernels(tmp_path, version, said):
    """One of another version is not loaded; one of this version is, if it can be."""
    if _ops.CUDA_LIBRARY.exists():
        pytest.skip("the kernels lie in fastloss itself")
    (tmp_path / "fastloss_cuda").mkdir()
    (tmp_path / "fastloss_cuda/__init__.py").write_text(f"__version__ = {version!r}\n")
    (tmp_path / "fastloss_cuda/_C_cuda.so").write_text("no library")
    program = (
        f"import sys, torch\nsys.path.append({str(tmp_path)!r})\ntorch.version.cuda = '13.0'\n"
        "import fastloss\nprint(fastloss.build_info()['CUDA'])\n"
    )
    done = cases.python(program)
    assert said in done.stdout, done.stderr
