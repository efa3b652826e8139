"""Builds ``fastloss/libfastloss.so`` (kernels and operators, the same for every Python), ``fastloss._C`` (a small
module for this Python) and, where there is CUDA, ``fastloss/_C_cuda.so``: one build.ninja with per-file ISA flags and a
rule for nvcc. pip calls this file as the build backend too: setuptools', which asks for torch only where none is
installed. Everything else is in pyproject.toml; ``wheels/cuda`` makes a package of the CUDA library alone.

Honours CXX, CXXFLAGS, LDFLAGS, MAX_JOBS and VERBOSE, and

- FASTLOSS_TORCH: the folder of the torch to build with, where it is not the one installed;
- FASTLOSS_KERNELS: ``0`` for a package without kernels, which any platform runs in plain PyTorch (py3-none-any).

For CUDA also

- FASTLOSS_CUDA: ``auto`` (default: kernels for the GPUs of this machine, if the torch that will run them is a CUDA
  build and nvcc is found; if their build fails, a package for the CPU), ``1`` (for every GPU, on any machine with nvcc)
  or ``0``;
- FASTLOSS_CUDA_ARCHS: compute capabilities to build for instead, say ``90`` or ``80;90+PTX``;
- CUDA_HOME: the toolkit, where the nvcc on the PATH, in /usr/local/cuda or of pip is not the one to use.

Not torch.utils.cpp_extension: it has no per-file flags, and no CUDA under a CPU torch. Nothing here depends on the
machine that builds (no -march=native), and no -ffast-math: it breaks NaN and infinity.
"""

from __future__ import annotations

import ctypes
import importlib.machinery
import os
import platform
import re
import shlex
import shutil
import site
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import NamedTuple, NoReturn

from setuptools import Extension, setup
from setuptools.build_meta import *  # noqa: F403
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
WITHOUT_KERNELS = os.environ.get("FASTLOSS_KERNELS") == "0"
MINIMUM_TORCH = (2, 10)
MINIMUM_CUDA = (12, 0)
LIBRARY, CUDA_LIBRARY = "libfastloss.so", "_C_cuda.so"

FLAGS = (
    "-O3 -std=c++17 -fPIC -fvisibility=hidden -fno-math-errno -fno-trapping-math -Wall -Wextra -Wno-psabi "
    "-Wno-uninitialized -Wno-maybe-uninitialized -DTORCH_TARGET_VERSION=0x020a000000000000"
)
# -Wno-[maybe-]uninitialized: GCC 12's own AVX-512 intrinsics trip it.
AVX512 = "-mavx512f -mavx512dq -mavx512bw -mavx512vl -mfma -mf16c -mprefer-vector-width=512"
# baseline is for CPUs without AVX2, where a third of its compile time is worth more than speed. Other engines lose up
# to 15 % at -O2.
ISA_FLAGS = {
    "x86_64": {
        "baseline": "-O2 -DFASTLOSS_VEC_BYTES=16",
        "avx2": "-mavx2 -mfma -mf16c -DFASTLOSS_VEC_BYTES=32",
        "avx512": f"{AVX512} -DFASTLOSS_VEC_BYTES=64",
        "avx512_bf16": f"{AVX512} -mavx512bf16 -DFASTLOSS_VEC_BYTES=64 -DFASTLOSS_ONLY_BFLOAT16",
    },
    "aarch64": {"neon": "-ffp-contract=fast -DFASTLOSS_VEC_BYTES=16"},
    "": {"baseline": "-DFASTLOSS_VEC_BYTES=16"},
}
# Of the .cu files that name FASTLOSS_DTYPE, which are compiled for each.
CUDA_DTYPES = {"f32": "float", "f64": "double", "bf16": "BFloat16", "f16": "Half"}
ENGINES = ("elements", "products", "softmax", "outputs", "divergence", "similarity")
CPU_ENGINES = ("regions",)  # which have no CUDA kernels
# The runtime is a part of the library, and nobody else sees its names: one library for torches of CUDA 12 and 13.
CUDA_RUNTIME = "-Wl,--exclude-libs,libcudart_static.a -lcudart_static -ldl -lrt -lpthread"
CUDA_FLAGS = "-O3 -std=c++17 --expt-relaxed-constexpr -Xcompiler=-fPIC,-fvisibility=hidden -Xfatbin -compress-all"
# What PyTorch's own CUDA 13 builds have, as far as nvcc knows them; PTX of the last for what comes later.
CUDA_ARCHS = (75, 80, 86, 90, 100, 120)
# Seconds that a core takes for a file, on average: for the estimate that the build begins with.
COMPILE_SECONDS = 6
NVCC_SECONDS, CUDA_MEGABYTES = 8, 10  # for each compute capability; the megabytes are those of all kernels


def stop(message: str) -> NoReturn:
    sys.exit(f"fastloss: {message}")


def find_package(name: str) -> importlib.machinery.ModuleSpec | None:
    """Also where pip hides what is installed from a build: another torch, for its headers alone, is 3 GB."""
    hidden = [*site.getsitepackages([sys.prefix, sys.base_prefix]), site.getusersitepackages()]
    return importlib.machinery.PathFinder.find_spec(name, [*sys.path, *hidden])


def installed_torch() -> tuple[Path | None, str]:
    """Directory and version of the installed torch, without importing it (which takes seconds)."""
    spec = find_package("torch")
    named = os.environ.get("FASTLOSS_TORCH")
    if not named and (spec is None or spec.origin is None):
        return None, "none is installed"
    directory = Path(named) if named else Path(spec.origin).parent
    found = re.search(r"__version__\s*=\s*'([^']+)'", (directory / "version.py").read_text())
    version = found.group(1) if found else "0.0"
    new = tuple(map(int, re.findall(r"\d+", version)[:2])) >= MINIMUM_TORCH
    return directory if new else None, f"found {version}"


def find_torch() -> Path:
    directory, found = installed_torch()
    if directory is None:
        stop(f'building needs torch >= 2.10, {found}; remedy: pip install -U "torch>=2.10", and build again')
    return directory


def find_compiler() -> str:
    compiler = os.environ.get("CXX", "g++" if shutil.which("g++") else "clang++")
    if shutil.which(compiler.split()[0]) is None:
        stop(f"building needs a C++17 compiler, {compiler!r} was not found; remedy: install g++ or set CXX")
    return compiler


class Cuda(NamedTuple):
    """What the CUDA kernels are built with."""

    nvcc: Path
    includes: list[Path]
    libraries: list[Path]
    archs: str  # as FASTLOSS_CUDA_ARCHS


def find_gpus() -> tuple[list[int], int]:
    """Compute capabilities of the GPUs that programs see here, say [90], and the driver's release of CUDA, say 13: from
    the driver, for torch takes seconds."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return [], 0
    count, device, value = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return [], 0
    found = set()
    for ordinal in range(count.value):
        driver.cuDeviceGet(ctypes.byref(device), ordinal)
        digits = []
        for attribute in (75, 76):  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR
            driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
            digits.append(value.value)
        found.add(10 * digits[0] + digits[1])
    driver.cuDriverGetVersion(ctypes.byref(value))
    return sorted(found), value.value // 1000


def folders_of_pip() -> list[Path]:
    """Of NVIDIA's packages, those in which nvcc may lie."""
    spec = find_package("nvidia")
    tops = [Path(top) for top in (spec.submodule_search_locations if spec else None) or ()]
    return [folder for top in tops for name in ("cu[0-9]*", "cuda_nvcc") for folder in sorted(top.glob(name))]


def find_nvcc() -> Path | None:
    home = os.environ.get("CUDA_HOME")
    places = [f"{home}/bin"] if home else [None, "/usr/local/cuda/bin", *(f"{path}/bin" for path in folders_of_pip())]
    return next((Path(found) for place in places if (found := shutil.which("nvcc", path=place))), None)


def said_by(nvcc: Path, *options: str) -> str:
    done = subprocess.run([nvcc, *options], check=False, text=True, capture_output=True)
    return done.stdout + done.stderr


def archs_for(gpus: list[int], known: list[int]) -> str:
    """What nvcc, which knows ``known``, compiles for these GPUs: code of the same generation, else PTX; or nothing."""
    archs = set()
    for gpu in gpus:
        older = [arch for arch in known if CUDA_ARCHS[0] <= arch <= gpu]
        if older:
            archs.add(f"{older[-1]}" if older[-1] // 10 == gpu // 10 else f"{older[-1]}+PTX")
    return ";".join(sorted(archs))


def archs_of(known: list[int]) -> str:
    """What nvcc compiles for every GPU; or nothing."""
    archs = ";".join(str(arch) for arch in CUDA_ARCHS if arch in known)
    return archs and f"{archs}+PTX"


def find_cuda(torch: Path) -> tuple[Cuda | None, str]:
    """What to build the CUDA kernels with, or None; and the reason, with the remedy."""
    wanted, archs = os.environ.get("FASTLOSS_CUDA", "auto"), os.environ.get("FASTLOSS_CUDA_ARCHS", "")
    if wanted not in ("auto", "0", "1"):
        stop(f"FASTLOSS_CUDA is {wanted!r}, expected auto, 0 or 1")
    if wanted == "0":
        return None, "FASTLOSS_CUDA=0"

    def without(reason: str) -> tuple[None, str]:
        return stop(f"FASTLOSS_CUDA=1, but {reason}") if wanted == "1" else (None, reason)

    found = re.search(r"^cuda\b.*=\s*'([^']+)'", (torch / "version.py").read_text(), re.MULTILINE)
    if wanted == "auto" and re.search(r"/(pip-build-env-|build-env-|builds-v\d)", torch.as_posix()):
        return without("torch is that of an isolated build, and another one will run; remedy: install torch first")
    if wanted == "auto" and not found:
        return without("torch is a CPU build; remedy: install a CUDA build of torch and build again")
    gpus, driver = find_gpus() if wanted == "auto" and not archs else ([], 0)
    if wanted == "auto" and not archs and not gpus:
        return without("no GPU here; for a GPU elsewhere build with FASTLOSS_CUDA=1, or FASTLOSS_CUDA_ARCHS=90, say")
    nvcc = find_nvcc()
    if nvcc is None:
        home = os.environ.get("CUDA_HOME")
        place = f"in {home}/bin" if home else "on the PATH, and CUDA_HOME is not set"
        return without(f"no nvcc {place}; remedy: install the CUDA toolkit or set CUDA_HOME, and build again")
    said = re.search(r"release (\d+)\.(\d+)", said_by(nvcc, "--version"))
    release = tuple(map(int, said.groups())) if said else (0, 0)
    known = sorted(map(int, re.findall(r"sm_(\d+)$", said_by(nvcc, "--list-gpu-code"), re.MULTILINE)))
    if release < MINIMUM_CUDA or (driver and release[0] > driver):
        needed = f"the driver takes CUDA {driver} at most" if release >= MINIMUM_CUDA else "12.0 is needed"
        return without(f"{nvcc} is that of CUDA {release[0]}.{release[1]}, and {needed}; remedy: set CUDA_HOME to "
                       "another CUDA toolkit, or update the driver")  # fmt: skip
    unknown = {number for number in re.findall(r"\d+", archs.replace(".", "")) if int(number) not in known}
    if unknown:
        return without(f"FASTLOSS_CUDA_ARCHS={archs} names what {nvcc} does not know, expected some of {known}")
    if not archs:
        archs = archs_for(gpus, known) if wanted == "auto" else archs_of(known)
        if not archs:
            return without(
                f"{nvcc} has none of the compute capabilities {gpus or list(CUDA_ARCHS)}, kernels begin with "
                f"{CUDA_ARCHS[0]}; remedy: set CUDA_HOME to another CUDA toolkit"
            )
    # nvcc may be a wrapper somewhere else, so it says itself where it lives.
    top = re.search(r"^#\$ TOP=(.+)$", said_by(nvcc, "--dryrun", "-E", "x.cu"), re.MULTILINE)
    toolkit = Path(top.group(1)).resolve() if top else Path(nvcc).resolve().parent.parent
    parts = toolkit, toolkit.parent / "cuda_runtime"  # pip's packages for CUDA 12 lie apart
    includes = [path for part in parts if (path := part / "include").is_dir()]
    libraries = [path for part in parts for name in ("lib64", "lib") if (path := part / name).is_dir()]
    cuda = Cuda(toolkit / "bin" / "nvcc", includes, libraries, archs)
    return cuda, f"{toolkit}, torch is {'a CUDA ' + found.group(1) if found else 'a CPU'} build"


def in_path(path: Path | str) -> str:
    """A path in a build line of ninja."""
    return re.sub(r"([$: ])", r"$\1", str(path))


def in_command(option: Path | str) -> str:
    """A word of a shell command in a variable of ninja."""
    return shlex.quote(str(option)).replace("$", "$$")


def gencode(archs: str) -> str:
    """nvcc's options for a list like ``80;90+PTX``."""
    options = []
    for arch in filter(None, archs.replace(",", ";").replace(".", "").split(";")):
        number = arch.removesuffix("+PTX").strip()
        options.append(f"-gencode=arch=compute_{number},code=sm_{number}")
        if arch.endswith("+PTX"):
            options.append(f"-gencode=arch=compute_{number},code=compute_{number}")
    return " ".join(options)


class BuildExt(build_ext):
    """Compiles through ninja, incrementally, in build/<platform>."""

    def get_source_files(self) -> list[str]:
        """What a source distribution holds besides the package: it builds, tests and measures like a checkout."""
        tops = ("csrc", "tests", "benchmarks", "docs", "examples", "wheels")
        files = [path for top in tops for path in sorted((ROOT / top).rglob("*"))]
        kept = [path for path in files if path.is_file() and "__pycache__" not in path.parts]
        return [str(path.relative_to(ROOT)) for path in [*kept, *sorted(ROOT.glob("*.md")), ROOT / "Makefile"]]

    def build_extension(self, ext: Extension) -> None:
        machine = platform.machine().lower().replace("amd64", "x86_64").replace("arm64", "aarch64")
        isas = ISA_FLAGS.get(machine, ISA_FLAGS[""])
        torch, compiler = find_torch(), find_compiler()
        output = Path(self.get_ext_fullpath(ext.name)).resolve()
        work = ROOT / "build" / sysconfig.get_platform()
        work.mkdir(parents=True, exist_ok=True)
        output.parent.mkdir(parents=True, exist_ok=True)
        script = work / "build.ninja"
        library = output.with_name(CUDA_LIBRARY)
        cuda, reason = find_cuda(torch)
        targets = [str(output)]
        text = self.ninja(compiler, torch, isas, output if output != library else None)
        if cuda:
            text += self.ninja_cuda(compiler, torch, cuda, library)
            targets.append(str(library))
        else:
            library.unlink(missing_ok=True)  # of an earlier build, with other structures
        if not script.exists() or script.read_text() != text:
            script.write_text(text)
        command = ["ninja", "-C", str(work), *targets]
        if shutil.which("ninja") is None:
            command[:1] = [sys.executable, "-m", "ninja"]
        environment = {**os.environ, "NINJA_STATUS": "[%f/%t, %es] "}
        plan = subprocess.run([*command, "-n"], check=False, text=True, capture_output=True, env=environment).stdout
        if "no work to do" in plan:
            return
        files, kernels = (len(re.findall(rf"^\[.*\] {rule} ", plan, re.MULTILINE)) for rule in ("compile", "nvcc"))
        cores = int(os.environ.get("MAX_JOBS") or os.cpu_count() or 1)
        archs = cuda.archs.count(";") + 1 if cuda else 0
        nvcc_minutes, minutes = NVCC_SECONDS * kernels * archs / cores / 60, COMPILE_SECONDS * files / cores / 60
        cost = f"for {cuda.archs}, {nvcc_minutes:.1f} minutes and {CUDA_MEGABYTES * archs} MB" if cuda else "not built"
        print(f"fastloss: CUDA kernels: {cost} ({reason})", flush=True)
        minutes += nvcc_minutes
        print(
            f"fastloss: compiling {files + kernels} files: {minutes:.1f} minutes if {cores} cores are free", flush=True
        )
        if "MAX_JOBS" in os.environ:
            command += ["-j", os.environ["MAX_JOBS"]]
        if os.environ.get("VERBOSE", "0") not in ("", "0"):
            command.append("-v")
        if subprocess.run(command, check=False, env=environment).returncode == 0:
            return
        if cuda is None or os.environ.get("FASTLOSS_CUDA", "auto") != "auto":
            stop("the build failed; the compiler's message is above")
        library.unlink(missing_ok=True)
        command.remove(str(library))
        if subprocess.run(command, check=False, env=environment).returncode != 0:
            stop("the build failed; the compiler's message is above")
        print(
            "fastloss: WARNING: the CUDA kernels did not build (the compiler's message is above), so CUDA tensors run "
            "in plain PyTorch; remedy: set CUDA_HOME to another CUDA toolkit, or FASTLOSS_CUDA=0",
            flush=True,
        )

    def ninja(self, compiler: str, torch: Path, isas: dict[str, str], output: Path | None) -> str:
        """Rules for the library of kernels and operators, and for the module unless CUDA's library is wanted alone."""
        # The compiler writes names of files into messages: the same ones, wherever torch and this checkout lie.
        renamed = [f"-fmacro-prefix-map={folder}/=" for folder in (torch / "include", ROOT)]
        with_torch = f"-O2 -isystem {in_command(torch / 'include')} {in_command(renamed[0])}"
        sources = {
            "simd/isa.cpp": "",
            "torch/memory.cpp": "-O2",
            "core/glibc.cpp": "",
            **{f"engines/{engine}/operators.cpp": with_torch for engine in (*ENGINES, *CPU_ENGINES)},
        }
        if sys.platform == "darwin":
            lazy, named = "-Wl,-undefined,dynamic_lookup", f"-Wl,-install_name,@rpath/{LIBRARY}"
            beside = "-Wl,-rpath,@loader_path"
        else:
            lazy, named = "-Wl,--as-needed", f"-Wl,-soname,{LIBRARY}"
            beside = f"-Wl,-rpath,{in_command('$ORIGIN')}"
        lines = [
            "ninja_required_version = 1.5",
            f"flags = {FLAGS} -I{in_command(ROOT / 'csrc')} {in_command(renamed[1])} {os.environ.get('CXXFLAGS', '')}",
            "rule compile",
            f"  command = {compiler} $flags $extra -MMD -MF $out.d -c $in -o $out",
            "  depfile = $out.d",
            "  deps = gcc",
            "  description = compile $in",
            "rule link",
            f"  command = {compiler} -shared $in -o $out $extra {os.environ.get('LDFLAGS', '')}",
            "  description = link $out",
            "rule copy",
            "  command = cp $in $out",
            "  description = copy $out",
        ]
        builds = {source.replace("/", "_").replace(".cpp", ".o"): (source, extra) for source, extra in sources.items()}
        for isa, extra in isas.items():
            for part in ("kernels", "losses"):
                builds[f"simd_{part}_{isa}.o"] = f"simd/{part}.cpp", f"{extra} -DFASTLOSS_ISA={isa}"
        for target, (source, extra) in builds.items():
            lines += [f"build {target}: compile {in_path(ROOT / 'csrc' / source)}", f"  extra = {extra}"]
        # PyTorch brings what its libraries use of a newer libstdc++, and so ours find it there on an older system.
        of_torch = f"-L{in_command(torch / 'lib')} {lazy} -ltorch_cpu -lc10"
        lines += [f"build {LIBRARY}: link {' '.join(builds)}", f"  extra = {named} {of_torch}"]
        if output:
            import pybind11

            folders = (pybind11.get_include(), sysconfig.get_paths()["include"])
            with_python = " ".join(f"-isystem {in_command(folder)}" for folder in folders)
            module, copy = f"module{sysconfig.get_config_var('EXT_SUFFIX')}.o", in_path(output.with_name(LIBRARY))
            lines += [
                f"build {copy}: copy {LIBRARY}",
                f"build {module}: compile {in_path(ROOT / 'csrc/module.cpp')}",
                f"  extra = {with_python} {with_torch}",
                f"build {in_path(output)}: link {module} core_glibc.o {LIBRARY} || {copy}",
                f"  extra = {beside} {of_torch}",
            ]
        return "\n".join(lines) + "\n"

    def copy_extensions_to_source(self) -> None:
        super().copy_extensions_to_source()
        for ext in self.extensions:
            for library in (LIBRARY, CUDA_LIBRARY):
                built = Path(self.build_lib, *ext.name.split(".")).with_name(library).resolve()
                source = ROOT / "fastloss" / library
                source.unlink(missing_ok=True)  # a process that has loaded it keeps what it has
                if built.exists():
                    shutil.copy2(built, source)

    def ninja_cuda(self, compiler: str, torch: Path, cuda: Cuda, output: Path) -> str:
        apart = "".join(f" -isystem {in_command(folder)}" for folder in cuda.includes[1:])
        flags = f"{CUDA_FLAGS} {gencode(cuda.archs)} -I{in_command(ROOT / 'csrc')}{apart}"
        include = " ".join(f"-isystem {in_command(folder)}" for folder in (torch / "include", *cuda.includes))
        folders = " ".join(f"-L{in_command(folder)}" for folder in (torch / "lib", *cuda.libraries))
        # NEEDED libtorch.so pulls in libtorch_cuda under a CUDA torch and exists under a CPU torch too, so the
        # library can be linked there.
        torch_libraries = "-Wl,--no-as-needed -ltorch -Wl,--as-needed -ltorch_cpu"
        lines = [
            "rule nvcc",
            f"  command = {in_command(cuda.nvcc)} -ccbin {compiler} {flags} $extra -MMD -MF $out.d -c $in -o $out",
            "  depfile = $out.d",
            "  deps = gcc",
            "  description = nvcc $in",
            "rule link_cuda",
            f"  command = {compiler} -shared $in -o $out {folders} {torch_libraries} {CUDA_RUNTIME} "
            f"{os.environ.get('LDFLAGS', '')}",
            "  description = link $out",
        ]
        objects = []
        for source in sorted((ROOT / "csrc").rglob("*.cu")):
            each = CUDA_DTYPES if "FASTLOSS_DTYPE" in source.read_text() else {"": ""}
            for dtype, stored in each.items():
                objects.append(f"{source.parent.name}_{source.stem}{dtype and '_'}{dtype}.o")
                extra = f"-DFASTLOSS_DTYPE={dtype} -DFASTLOSS_STORED={stored}" if dtype else ""
                lines += [f"build {objects[-1]}: nvcc {in_path(source)}", f"  extra = {extra}"]
        for engine in ENGINES:
            objects.append(f"{engine}_operators.o")
            source = ROOT / "csrc" / "engines" / engine / "operators_cuda.cpp"
            lines += [
                f"build {objects[-1]}: compile {in_path(source)}",
                f"  extra = -DUSE_CUDA {include}",
            ]
        objects.append("core_glibc.o")
        lines.append(f"build {in_path(output)}: link_cuda {' '.join(objects)}")
        return "\n".join(lines) + "\n"


# pip's hooks: those of setuptools that are imported above, with other answers to what a build needs. setuptools runs
# this file as __main__, pip imports it.


def get_requires_for_build_sdist(settings: object = None) -> list[str]:
    return []


def get_requires_for_build_wheel(settings: object = None) -> list[str]:
    if WITHOUT_KERNELS:
        return []
    torch, _ = installed_torch()
    return ["ninja", "pybind11>=2.13", *([] if torch else ["torch>=2.10"])]


get_requires_for_build_editable = get_requires_for_build_wheel

if __name__ == "__main__":
    extensions = [] if WITHOUT_KERNELS else [Extension("fastloss._C", sources=[])]
    setup(ext_modules=extensions, cmdclass={"build_ext": BuildExt})
