"""Builds ``fastloss._C``: one build.ninja with per-file ISA flags. Everything else is in pyproject.toml.

Honours CXX, CXXFLAGS, MAX_JOBS and VERBOSE. Not torch.utils.cpp_extension: it has no per-file flags. Nothing here
depends on the machine that builds (no -march=native), and no -ffast-math: it breaks NaN and infinity.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
MINIMUM_TORCH = (2, 10)

FLAGS = (
    "-O3 -std=c++17 -fPIC -fvisibility=hidden -fno-math-errno -fno-trapping-math -Wall -Wextra -Wno-psabi "
    "-Wno-uninitialized -Wno-maybe-uninitialized -DTORCH_TARGET_VERSION=0x020a000000000000"
)
# -Wno-[maybe-]uninitialized: GCC 12's own AVX-512 intrinsics trip it.
ISA_FLAGS = {
    "x86_64": {
        "baseline": "",
        "avx2": "-mavx2 -mfma -mf16c",
        "avx512": "-mavx512f -mavx512dq -mavx512bw -mavx512vl -mfma -mf16c -mprefer-vector-width=512",
    },
    "aarch64": {"neon": "-ffp-contract=fast"},
}


def stop(message: str) -> None:
    sys.exit(f"fastloss: {message}")


def find_torch() -> Path:
    """Directory of the installed torch, without importing it (which takes seconds)."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        stop('building needs torch >= 2.10, none is installed; remedy: pip install "torch>=2.10", then '
             "pip install --no-build-isolation .")  # fmt: skip
    assert spec is not None
    assert spec.origin is not None
    directory = Path(spec.origin).parent
    found = re.search(r"__version__\s*=\s*'([^']+)'", (directory / "version.py").read_text())
    version = found.group(1) if found else "0.0"
    if tuple(map(int, re.findall(r"\d+", version)[:2])) < MINIMUM_TORCH:
        stop(f'building needs torch >= 2.10, found {version}; remedy: pip install -U "torch>=2.10"')
    return directory


def find_compiler() -> str:
    compiler = os.environ.get("CXX", "g++" if shutil.which("g++") else "clang++")
    if shutil.which(compiler.split()[0]) is None:
        stop(f"building needs a C++17 compiler, {compiler!r} was not found; remedy: install g++ or set CXX")
    return compiler


class BuildExt(build_ext):
    """Compiles through ninja, incrementally, in build/<platform tag>."""

    def build_extension(self, ext: Extension) -> None:
        machine = platform.machine().lower().replace("amd64", "x86_64").replace("arm64", "aarch64")
        isas = ISA_FLAGS.get(machine, {"baseline": ""})
        torch, compiler = find_torch(), find_compiler()
        output = Path(self.get_ext_fullpath(ext.name)).resolve()
        work = ROOT / "build" / f"{sysconfig.get_platform()}-{sys.implementation.cache_tag}"
        work.mkdir(parents=True, exist_ok=True)
        output.parent.mkdir(parents=True, exist_ok=True)
        script = work / "build.ninja"
        text = self.ninja(compiler, torch, isas, output)
        if not script.exists() or script.read_text() != text:
            script.write_text(text)
        command = ["ninja", "-C", str(work)]
        if "MAX_JOBS" in os.environ:
            command += ["-j", os.environ["MAX_JOBS"]]
        if os.environ.get("VERBOSE", "0") not in ("", "0"):
            command.append("-v")
        if shutil.which("ninja") is None:
            command[:1] = [sys.executable, "-m", "ninja"]
        if subprocess.run(command, check=False).returncode != 0:
            stop("the build failed; the compiler's message is above")

    def ninja(self, compiler: str, torch: Path, isas: dict[str, str], output: Path) -> str:
        import pybind11

        include = torch / "include"
        system = f"-isystem {pybind11.get_include()} -isystem {include} -isystem {sysconfig.get_paths()['include']}"
        sources = {
            "module.cpp": system,
            "cpu/isa.cpp": "",
            "ops/memory.cpp": system,
            "ops/pointwise.cpp": system,
            "ops/rows.cpp": system,
            **{f"cpu/kernels_{isa}.cpp": flags for isa, flags in isas.items()},
        }
        link = "-Wl,-undefined,dynamic_lookup" if sys.platform == "darwin" else "-Wl,--as-needed"
        lines = [
            "ninja_required_version = 1.5",
            f"flags = {FLAGS} -I{ROOT / 'csrc'} {os.environ.get('CXXFLAGS', '')}",
            "rule compile",
            f"  command = {compiler} $flags $extra -MMD -MF $out.d -c $in -o $out",
            "  depfile = $out.d",
            "  deps = gcc",
            "  description = compile $in",
            "rule link",
            f"  command = {compiler} -shared $in -o $out -L{torch / 'lib'} {link} -ltorch_cpu -lc10 "
            f"{os.environ.get('LDFLAGS', '')}",
            "  description = link $out",
        ]
        objects = []
        for source, extra in sources.items():
            target = source.replace("/", "_").replace(".cpp", ".o")
            objects.append(target)
            lines += [f"build {target}: compile {ROOT / 'csrc' / source}", f"  extra = {extra}"]
        lines += [f"build {output}: link {' '.join(objects)}", f"default {output}"]
        return "\n".join(lines) + "\n"


setup(ext_modules=[Extension("fastloss._C", sources=[])], cmdclass={"build_ext": BuildExt})
