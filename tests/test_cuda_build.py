"""The CUDA library without a GPU: what nvcc's resource report and the machine code say, and that torch can load it."""

import ctypes
import itertools
import os
import re
import shlex
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from asan import CSRC, cuda_sources, find_nvcc, setup_constants

import fastloss

ROOT = CSRC.parent
ARCH = "sm_90"
NVCC = find_nvcc()
needs_nvcc = pytest.mark.skipif(NVCC is None, reason="nvcc is not installed")

# Registers a thread may have, so many that the multiprocessors' registers hold the blocks that csrc/notes count
# on; of a rows kernel by bytes of an element and whether it has extras, of a pointwise one by tensors and whether it
# takes upstream gradients per element (float64: one block fewer; of components: two blocks), of a pairs kernel by
# tensors and by what reads a row (float64: by elements), of a similarity kernel by what it does (derivatives of
# float64: one block fewer).
ROWS_REGISTERS = {
    ("rows_by_group", 2, False): 96,
    ("rows_by_group", 4, False): 96,
    ("rows_by_group", 8, True): 128,
    ("rows_by_group", 2, True): 128,
    ("rows_by_group", 4, True): 128,
    ("rows_by_column", 2, False): 112,
    ("rows_by_column", 4, False): 112,
    ("rows_by_column", 2, True): 112,
    ("rows_by_column", 4, True): 112,
    ("rows_by_column", 8, True): 128,
    ("rows_by_stream", 2, False): 128,
    ("rows_by_stream", 4, False): 128,
    ("rows_by_stream", 2, True): 128,
    ("rows_by_stream", 4, True): 128,
    ("rows_by_stream", 8, True): 128,
}
TILE_REGISTERS = {"f": 112, "13__nv_bfloat16": 96, "6__half": 96}
POINTS_REGISTERS = {(1, "0"): 64, (1, "1"): 80, (2, "0"): 64, (2, "1"): 80, (3, "0"): 80, (3, "1"): 128}
GENERAL_REGISTERS = 128
PAIRS_REGISTERS = {(2, "1"): 80, (3, "1"): 96, (2, "0"): 96, (3, "0"): 128}  # 256 threads on a row: 128
MIXED = "MixedProbabilities"  # a functor of the rows kernels with extras
SIMILARITY_REGISTERS = {"rows": 80, "gradient": 128, "columns": 80}
SIZES = {"f": 4, "d": 8, "13__nv_bfloat16": 2, "6__half": 2}
ALL_DTYPES = bool(os.environ.get("FASTLOSS_EVERY_PLANT"))  # else without float16, which compiles as bfloat16 does
if not ALL_DTYPES:
    del SIZES["6__half"], TILE_REGISTERS["6__half"]
SIZE = f"({'|'.join(SIZES)})"
ROWS = re.compile(rf"(rows_by_[a-z]+?)I{SIZE}N\w+?\d+([A-Za-z]\w*?)ELb([01])EL([ib])(\d+)EEE")
TILE = re.compile(rf"rows_by_tileI{SIZE}N\w*?_\d+([A-Za-z]\w*?)EEE")
POINTS = re.compile(rf"points_plainI{SIZE}N\w*?_\d+([A-Za-z]\w*?)ELb([01])EE")
GENERAL = re.compile(rf"points_generalI{SIZE}Li(\d)ELi(\d)ELb([01])EE")
PAIRS = re.compile(rf"pairs_rowsI{SIZE}N\w*?_\d+([A-Za-z]\w*?)ELi(\d+)ELi(\d+)ELb([01])ELb([01])EE")
SIMILARITY = re.compile(rf"similarity_(rows|gradient|columns)I{SIZE}N\w*?_\d+([A-Za-z]\w*?)E(?:Li(\d)E)?E")
DIVERGENCE = re.compile(rf"divergence_rowsI{SIZE}N\w*?_\d+([A-Za-z]\w*?)ELb([01])EE")
LOSSES = (CSRC / "losses" / "losses.h").read_text()
ROWS_FUNCTORS, POINTS_FUNCTORS, PAIRS_FUNCTORS, SIMILARITY_FUNCTORS, DIVERGENCE_FUNCTORS = (
    set(re.findall(r"X\(\w+, (\w+), ", re.search(rf"FASTLOSS_{family}_LOSSES\(X\)(.*?)\n\n", LOSSES, re.DOTALL)[1]))
    for family in ("ROWS", "POINTWISE", "PAIRS", "SIMILARITY", "DIVERGENCE")
)


COMPONENTS = {  # pointwise functors of elements that have several
    functor
    for path in (CSRC / "losses").glob("*.h")
    for functor in re.findall(r"struct (\w+) {\s+static constexpr int arity = \d, components = ", path.read_text())
}


def tensors_of(functor):
    """How many tensors a functor of the pointwise or the pairs family reads."""
    for path in (CSRC / "losses").glob("*.h"):
        found = re.search(rf"struct {functor} {{\s+static constexpr int arity = (\d)[,;]", path.read_text())
        if found:
            return int(found[1])
    raise AssertionError(functor)


def pairs_kernels(size):
    """Elements of a vector, threads on a row, whether they hold it, whether types are mixed: all kernels of a loss."""
    vector = str(16 // SIZES[size])
    return (
        *((vector, threads, "1", "0") for threads in ("2", "8", "32", "128", "256")),
        (vector, "256", "0", "0"),
        *(("1", threads, "0", mixed) for threads in ("2", "32", "256") for mixed in ("01" if size in "fd" else "0")),
    )


def run(*command, **options):
    command = [str(part) for part in command]
    return subprocess.run(command, **{"check": True, "text": True, "capture_output": True, **options})


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """The object of each .cu for one architecture, and what ptxas reports."""
    out = tmp_path_factory.mktemp("cuda")
    (flags,) = setup_constants("CUDA_FLAGS")

    def build(item):
        name, (source, macros) = item
        target, extra = out / f"{name}.o", (*flags.split(), *macros, f"-arch={ARCH}", "-Xptxas=-v", f"-I{CSRC}")
        done = run(NVCC, *extra, "-c", source, "-o", target)
        assert "warning" not in done.stderr, done.stderr
        return target, done.stderr

    items = [item for item in cuda_sources().items() if ALL_DTYPES or not item[0].endswith("_f16")]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(pool.map(build, items))


@needs_nvcc
def test_resources(compiled):
    entry = re.compile(
        r"Compiling entry function '(\S+)' for .*\n.*\n\s*(\d+) bytes stack frame, (\d+) bytes spill stores, "
        r"(\d+) bytes spill loads\n.*?Used (\d+) registers"
    )
    seen, above = set(), []
    for path, report in compiled.items():
        found = entry.findall(report)
        assert len(found) == report.count("Compiling entry function"), path.stem
        for symbol, *numbers in found:
            stack, stores, loads, registers = map(int, numbers)
            assert stack == stores == loads == 0, f"{symbol}: spills or uses a stack"
            limit = 96
            if rows := ROWS.search(symbol):
                name, size, functor, extras, _, last = rows.groups()
                limit = ROWS_REGISTERS[name, SIZES[size], extras == "1"]
                if name == "rows_by_group" and extras == "0":
                    limit = {(2, "256"): 80, (4, "256"): 128, (4, "64"): 112}.get((SIZES[size], last), limit)
                seen.add((name, SIZES[size], extras == "1", functor))
            elif tile := TILE.search(symbol):
                limit = TILE_REGISTERS[tile[1]]
                seen.add(tile.groups())
            elif points := POINTS.search(symbol):
                size, functor, each = points.groups()
                limit = 80 if size == "d" and each == "0" else POINTS_REGISTERS[tensors_of(functor), each]
                if functor in COMPONENTS:
                    limit = 128
                seen.add((size, functor, each))
            elif pairs := PAIRS.search(symbol):
                size, functor, elements, threads, held, mixed = pairs.groups()
                few = held if size != "d" else "0"
                limit = 128 if threads == "256" else PAIRS_REGISTERS[tensors_of(functor), few]
                seen.add((size, functor, elements, threads, held, mixed))
            elif similarity := SIMILARITY.search(symbol):
                what, size, functor, elements = similarity.groups()
                limit = {"gradient": 176}.get(what, 128) if size == "d" else SIMILARITY_REGISTERS[what]
                seen.add((what, size, functor, elements))
            elif divergence := DIVERGENCE.search(symbol):
                limit = 128  # two blocks of 256 threads
                seen.add(divergence.groups())
            elif general := GENERAL.search(symbol):
                limit = GENERAL_REGISTERS
                seen.add(general.groups())
            if registers > limit:
                above.append(f"{symbol}: {registers} registers, {limit} expected")
    assert not above
    assert seen == {
        *(
            (*kernel, functor)
            for kernel in ROWS_REGISTERS
            for functor in (ROWS_FUNCTORS | {MIXED} if kernel[2] else ROWS_FUNCTORS)
        ),
        *itertools.product(TILE_REGISTERS, ROWS_FUNCTORS),
        *((size, functor, each) for size in SIZES for functor in POINTS_FUNCTORS for each in "01"),
        *((size, functor, *kernel) for size in SIZES for functor in PAIRS_FUNCTORS for kernel in pairs_kernels(size)),
        *(
            (what, size, functor, elements)
            for what in ("rows", "gradient")
            for size in SIZES
            for functor in SIMILARITY_FUNCTORS
            for elements in (str(16 // SIZES[size]), "1")
        ),
        *(  # those whose columns have sums of their own
            ("columns", size, functor, columns)
            for functor in ("InfoNce", "MultiSimilarity", "Circle")
            for size in SIZES
            for columns in ("12" if SIZES[size] == 2 else "1")
        ),
        *(
            (size, *kernel, mixed)
            for size in SIZES
            for kernel in (("3", "1"), ("2", "4"))  # tensors, components
            for mixed in ("01" if size in "fd" else "0")
        ),
        *(
            (size, functor, mixed)
            for size in SIZES
            for functor in DIVERGENCE_FUNCTORS
            for mixed in ("01" if size in "fd" else "0")
        ),
    }


def disassembler():
    """cuobjdump of the toolkit, or of its package (which has nvdisasm beside it)."""
    packaged = str(Path(torch.__file__).parent.parent / "nvidia/cu13/bin")
    for path in (packaged, None, "/usr/local/cuda/bin"):
        found = shutil.which("cuobjdump", path=path)
        if found:
            return found
    pytest.skip('no cuobjdump; it comes with pip install -e ".[dev]" on Linux')


@needs_nvcc
def test_machine_code(compiled):
    """Tensors go 16 bytes at a time, all loads of a tile before its first result; nothing lives in local memory."""
    tool = disassembler()
    environment = {**os.environ, "PATH": f"{Path(tool).parent}{os.pathsep}{os.environ['PATH']}"}  # it calls nvdisasm
    wide = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        codes = list(pool.map(lambda path: run(tool, "-sass", path, env=environment).stdout, compiled))
    for code in codes:
        for function in code.split("Function : ")[1:]:
            symbol = function.split(maxsplit=1)[0]
            assert not re.search(r"\b(LDL|STL)\b", function), f"{symbol}: local memory"
            if points := POINTS.search(symbol):
                loads = [found.start() for found in re.finditer(r"LDG\.E\.EF\.128", function)]
                _, functor, each = points.groups()
                assert len(loads) >= 2 * tensors_of(functor), symbol
                store = re.search(r"STG\.E\.128", function)
                assert store, symbol
                assert each == "1" or loads[-1] < store.start(), symbol
                wide += 1
                continue
            if pairs := PAIRS.search(symbol):
                _, functor, elements, _, held, _ = pairs.groups()
                if elements != "1":
                    loads = [found.start() for found in re.finditer(r"LDG\.E\.EF\.128|LDG\.E\.128", function)]
                    tensors, sums = tensors_of(functor), function.index("SHFL")
                    stores = len(re.findall(r"STG\.E\.128", function))
                    if held == "1":  # a row is read before its sums leave the thread, and not again
                        assert len(loads) == stores == 4 * tensors, symbol
                        assert loads[-1] < sums, symbol
                    else:  # twice, in loops that may be unrolled
                        assert min(sum(at < sums for at in loads), sum(at > sums for at in loads)) >= 2 * tensors, (
                            symbol
                        )
                        assert stores >= 2 * tensors, symbol
                    wide += 1
                continue
            if similarity := SIMILARITY.search(symbol):
                what, size, _, elements = similarity.groups()
                if what != "columns" and elements != "1":  # two rows of the tile, loaded one right after the other
                    code = [line for line in function.splitlines() if ";" in line]
                    loads = [at for at, line in enumerate(code) if "LDG.E.128" in line]
                    between = code[loads[0] : loads[1]]
                    assert not any(re.search("MUFU|STG|BRA|F(FMA|ADD|MUL)", line) for line in between), symbol
                    if what == "gradient":  # and stored whole
                        assert len(re.findall(r"STG\.E\.128", function)) == 2, symbol
                        assert SIZES[size] != 2 or not re.search(r"STG\.E(\.EF)? desc", function), symbol
                    wide += 1
                continue
            rows = ROWS.search(symbol)
            if not rows or rows[1] == "rows_by_column":
                continue
            name, size, _, extras, _, last = rows.groups()
            if name == "rows_by_group":  # all that a thread reads of its row is on its way before it looks at any
                loads = [found.start() for found in re.finditer(r"LDG\.E\.128", function)]
                vectors = 8 if SIZES[size] == 2 else 16
                assert len(loads) == vectors, symbol
                assert extras == "1" or size == "d" or loads[-1] < re.search(r"\bH?F?MNMX", function).start(), symbol
                stores = len(re.findall(r"STG\.E\.128", function))
                assert stores == 1 if extras == "1" or size == "d" else stores >= vectors, symbol
                if SIZES[size] == 2 and extras == "0":  # Note [Instructions] in softmax/cuda.cu, cold ways included
                    assert function.count("MUFU.EX2") >= 64, symbol
                    assert len(re.findall(r"/\*[0-9a-f]{4,5}\*/", function)) < 40 * 64, symbol
                wide += 1
            elif last == "1" and extras == "0":
                assert re.search(r"LDG\.E\.128", function), symbol
                assert re.search(r"STG\.E\.128", function), symbol
                wide += 1
    assert wide > 80


LIBRARY = Path(fastloss.__file__).with_name("_C_cuda.so")


def check_needs(library):
    """Of CUDA it needs nothing, and shows nothing of the runtime that is a part of it."""
    if shutil.which("readelf") is None:
        pytest.skip("readelf is not installed")
    needed = re.findall(r"\(NEEDED\).*\[(.+)\]", run("readelf", "--dynamic", "--wide", library).stdout)
    assert needed
    assert not [name for name in needed if re.search("cuda|cudart|nvrtc", name)], needed
    symbols = run("readelf", "--dyn-syms", "--wide", library).stdout
    assert re.search(r"FUNC +GLOBAL DEFAULT +\d+ fastloss_cuda_why_not\b", symbols)
    assert not re.search(r"\bcuda[A-Z]\w+", symbols)


@needs_nvcc
def test_runtime_is_a_part(compiled, tmp_path):
    """Linked as setup.py does it; without a driver the library says what keeps its kernels from a device."""
    flags, top = setup_constants("CUDA_RUNTIME")[0], re.search(r"TOP=(.+)", run(NVCC, "--dryrun", "-E", "x.cu").stderr)
    library = tmp_path / "part.so"
    folders = [f"-L{top[1]}/{name}" for name in ("lib64", "lib")]
    (part,) = (path for path in compiled if path.stem == "device_reduce")
    run("g++", "-shared", part, "-o", library, *folders, "-Wl,--as-needed", *flags.split())
    check_needs(library)
    if not torch.cuda.is_available():
        why_not = ctypes.CDLL(str(library)).fastloss_cuda_why_not
        why_not.restype = ctypes.c_char_p
        assert re.search(b"driver|device", why_not(0))


@pytest.mark.skipif(not LIBRARY.exists(), reason="built without CUDA kernels (FASTLOSS_CUDA=1 builds them)")
def test_library_needs_no_cuda():
    check_needs(LIBRARY)


@pytest.mark.skipif(not LIBRARY.exists(), reason="built without CUDA kernels (FASTLOSS_CUDA=1 builds them)")
@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
@pytest.mark.skipif(torch.version.cuda is not None, reason="this torch has the function itself")
def test_library_registers(tmp_path):
    """Under a CPU torch it lacks one function of libtorch_cuda; with that supplied, every operator registers."""
    code = (
        "import torch, fastloss\n"
        f"torch.ops.load_library({str(LIBRARY)!r})\n"
        "has = torch._C._dispatch_has_kernel_for_dispatch_key\n"
        "for name, _ in fastloss._C.rows_losses() + fastloss._C.pointwise_losses() + fastloss._C.pairs_losses():\n"
        "    for form in ('', '_backward'):\n"
        "        assert has(f'fastloss::{name}{form}', 'CUDA'), name + form\n"
        "for name in ('statistics_', 'anchors', 'gradient_', 'triplets_', 'normalize', 'finish'):\n"
        "    assert has(f'fastloss::similarity_{name}', 'CUDA'), name\n"
        "assert torch._C._dispatch_has_kernel_for_dispatch_key('fastloss::scale_', 'CUDA')\n"
    )
    bare = run(sys.executable, "-c", code, check=False)
    assert "OSError" in bare.stderr, bare.stderr
    source = tmp_path / "stream.c"
    source.write_text("int aoti_torch_get_current_cuda_stream(int device, void** stream) { return *stream = 0, 0; }\n")
    library = tmp_path / "stream.so"
    run("gcc", "-shared", "-fPIC", source, "-o", library)
    run(sys.executable, "-c", code, env={**os.environ, "LD_PRELOAD": str(library)})


# ---------------------------------------------------------------------------------------------- setup.py's decision

DRIVER = """
#include <stdlib.h>
static int gpus[8], count = 0;
int cuInit(unsigned flags) {
  for (char* rest = getenv("GPUS"); *rest; rest += *rest == ',') gpus[count++] = (int)strtol(rest, &rest, 10);
  return count ? 0 : 100;  // CUDA_ERROR_NO_DEVICE
}
int cuDeviceGetCount(int* n) { return *n = count, 0; }
int cuDeviceGet(int* device, int ordinal) { return *device = ordinal, 0; }
int cuDeviceGetAttribute(int* value, int attribute, int device) {
  return *value = attribute == 75 ? gpus[device] / 10 : gpus[device] % 10, 0;
}
int cuDriverGetVersion(int* version) { return *version = 1000 * atoi(getenv("DRIVER")), 0; }
"""
EVERY = "75;80;86;90;100;120+PTX"


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """A checkout where ninja does nothing, in a folder of a name that shells and ninja read otherwise, and a driver,
    an nvcc and a torch that say what the environment has them say."""
    if not (ROOT / "setup.py").exists():
        pytest.skip("not a source checkout")
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    top = tmp_path_factory.mktemp("machine") / "a b$c"
    checkout, bin, torch = (top / name for name in ("checkout", "toolkit/bin", "torch"))
    pip = top / "nvidia"
    for folder in (checkout / "fastloss", bin, torch, pip / "cuda_nvcc/bin", pip / "cuda_runtime/include"):
        folder.mkdir(parents=True)
    (checkout / "csrc").symlink_to(CSRC)
    for name in ("setup.py", "pyproject.toml", "LICENSE", "README.md", "fastloss/__init__.py", "fastloss/_version.py"):
        shutil.copy(ROOT / name, checkout / name)
    shutil.copytree(ROOT / "wheels", checkout / "wheels")
    for tool, script in {
        "ninja": """case "$*" in *-n) exit;; *_C_cuda*) exit ${BOTH:-1};; *) exit ${CPU:-1};; esac""",
        "nvcc": """case $1 in
--list-gpu-code) for arch in $KNOWN; do echo sm_$arch; done;;
--version) echo "Cuda compilation tools, release $RELEASE, V$RELEASE.1";;
esac""",
    }.items():
        (bin / tool).write_text(f"#!/bin/sh\n{script}\n")
        (bin / tool).chmod(0o755)
    (top / "driver.c").write_text(DRIVER)
    run("gcc", "-shared", "-fPIC", top / "driver.c", "-o", bin / "libcuda.so.1")
    shutil.copy(bin / "nvcc", pip / "cuda_nvcc/bin/nvcc")
    (torch / "__init__.py").touch()

    def decide(cuda=None, gpus="", known="75 80 86 90 100 120", release="13.0", isolated="", folder=".", **environment):
        """What setup.py says, and its ninja file. ``{top}`` in a value of the environment is the folder of it all."""
        environment = {name: value.replace("{top}", str(top)) for name, value in environment.items()}
        (torch / "version.py").write_text(f"__version__ = '2.13.0'\ncuda = {cuda!r}\n")
        if isolated:
            shutil.copytree(torch, top / isolated / "torch", dirs_exist_ok=True)
            environment["PYTHONPATH"] = f"{top / isolated}"
        shutil.rmtree(checkout / "build", ignore_errors=True)
        kept = {k: v for k, v in os.environ.items() if k not in ("CUDA_HOME", "CXX") and not k.startswith("FASTLOSS_")}
        kept |= {"PATH": f"{bin}:{os.environ['PATH']}", "PYTHONPATH": str(top), "LD_LIBRARY_PATH": str(bin)}
        kept |= {"GPUS": gpus, "KNOWN": known, "RELEASE": release, "DRIVER": "13", **environment}
        assert shutil.which("ninja", path=kept["PATH"]) == str(bin / "ninja")
        done = run(sys.executable, "setup.py", "--quiet", "build_ext", cwd=checkout / folder, check=False, env=kept)
        script = next(checkout.glob("build/*/build.ninja"), None)
        return done.stdout + done.stderr, script

    return decide


@pytest.mark.parametrize(
    ("settings", "archs", "said"),
    [
        ({}, "", "CUDA kernels: not built (torch is a CPU build; remedy: "),
        (
            {"cuda": "13.0"},
            "",
            "not built (no GPU here; for a GPU elsewhere build with FASTLOSS_CUDA=1, ",
        ),
        ({"gpus": "90"}, "", "CUDA kernels: not built (torch is a CPU build; remedy: "),
        ({"cuda": "13.0", "gpus": "90"}, "90", "CUDA kernels: for 90, 0.0 minutes and "),
        ({"cuda": "13.0", "gpus": "90,90,86"}, "86;90", "CUDA kernels: for 86;90, 0.0 minutes and "),
        (
            {"cuda": "13.0", "gpus": "89"},
            "86",
            "CUDA kernels: for 86, 0.0 minutes and ",
        ),  # runs code of its own generation
        ({"cuda": "12.6", "gpus": "120", "known": "75 90"}, "90+PTX", "CUDA kernels: for 90+PTX, 0.0 minutes and "),
        (
            {"cuda": "12.6", "gpus": "61", "known": "61 75"},
            "",
            "none of the compute capabilities [61], kernels ",
        ),
        ({"cuda": "13.0", "gpus": "90", "CUDA_HOME": "/nowhere"}, "", "not built (no nvcc in /nowhere/bin; remedy: "),
        (
            {"cuda": "12.6", "gpus": "90", "release": "11.8"},
            "",
            "nvcc is that of CUDA 11.8, and 12.0 is needed; remedy: ",
        ),
        (
            {"cuda": "12.6", "gpus": "90", "DRIVER": "12"},
            "",
            "nvcc is that of CUDA 13.0, and the driver takes CUDA 12 at most; remedy: ",
        ),
        ({"cuda": "13.0", "FASTLOSS_CUDA_ARCHS": "90;130"}, "", "FASTLOSS_CUDA_ARCHS=90;130 names what "),
        ({"FASTLOSS_CUDA": "1", "FASTLOSS_CUDA_ARCHS": "90;130"}, None, "FASTLOSS_CUDA=1, but FASTLOSS_CUDA_ARCHS=90"),
        ({"FASTLOSS_CUDA": "1", "release": "11.8"}, None, "nvcc is that of CUDA 11.8, and 12.0 is needed; remedy: "),
        ({"cuda": "13.0", "gpus": "90", "FASTLOSS_CUDA": "0"}, "", "CUDA kernels: not built (FASTLOSS_CUDA=0)"),
        (
            {"cuda": "13.0", "FASTLOSS_CUDA_ARCHS": "8.0;90+PTX"},
            "80;90+PTX",
            "CUDA kernels: for 8.0;90+PTX, 0.0 minutes and ",
        ),
        ({"FASTLOSS_CUDA": "1"}, EVERY, f"CUDA kernels: for {EVERY}, 0.0 minutes and "),
        (
            {"FASTLOSS_CUDA": "1", "known": "75 80 86 90"},
            "75;80;86;90+PTX",
            "CUDA kernels: for 75;80;86;90+PTX, 0.0 minutes and ",
        ),
        ({"FASTLOSS_CUDA": "1", "FASTLOSS_CUDA_ARCHS": "90"}, "90", "CUDA kernels: for 90, 0.0 minutes and "),
        (
            {"FASTLOSS_CUDA": "1", "CUDA_HOME": "/nowhere"},
            None,
            "FASTLOSS_CUDA=1, but no nvcc in /nowhere/bin; remedy: ",
        ),
        ({"FASTLOSS_CUDA": "1", "known": "50"}, None, "FASTLOSS_CUDA=1, but "),
        ({"FASTLOSS_CUDA": "maybe"}, None, "FASTLOSS_CUDA is 'maybe', expected auto, 0 or 1"),
    ],
    ids=str,
)
def test_decision(machine, settings, archs, said):
    """One line says it; no .cu is compiled that no GPU here would run, unless the environment asks for it."""
    output, script = machine(**settings)
    assert said in output
    assert len([line for line in output.splitlines() if "CUDA" in line]) == 1, output
    if archs is None:
        assert script is None
        return
    text = script.read_text()
    assert (".cu\n" in text) == ("nvcc" in text) == bool(archs)
    codes = re.findall(r"-gencode=arch=compute_\d+,code=(\w+)", text)
    wanted = [number for part in filter(None, archs.split(";")) for number in part.replace("+PTX", ";PTX").split(";")]
    wanted = [
        f"sm_{n}" if n != "PTX" else f"compute_{before}" for n, before in zip(wanted, ["", *wanted], strict=False)
    ]
    assert codes == wanted


def test_toolkit_of_pip(machine):
    """The packages for CUDA 12 have the runtime's headers in another folder than the compiler."""
    output, script = machine(FASTLOSS_CUDA="1", CUDA_HOME="{top}/nvidia/cuda_nvcc")
    assert "nvidia/cuda_nvcc, torch is a CPU build)" in output
    assert "/nvidia/cuda_nvcc/bin/nvcc" in script.read_text()
    assert "/nvidia/cuda_runtime/include" in script.read_text()


@pytest.mark.parametrize(("wanted", "cpu", "said"), [("auto", "0", "WARNING"), ("auto", "1", ""), ("1", "0", "")])
def test_build_that_fails(machine, wanted, cpu, said):
    """Without the kernels the package for the CPU is there, unless somebody asked for them."""
    output, _ = machine(cuda="13.0", gpus="90", FASTLOSS_CUDA=wanted, CPU=cpu)
    if said:
        (line,) = [line for line in output.splitlines() if "did not build" in line]
        assert re.fullmatch(r"fastloss: WARNING: the CUDA kernels did not build .*; remedy: .*", line)
        assert "the build failed" not in output
    else:
        assert "fastloss: the build failed; the compiler's message is above" in output


@pytest.mark.parametrize("folder", ["pip-build-env-x1/overlay/lib", "builds-v0/.tmpx1/lib"])
def test_isolated_build(machine, folder):
    """The torch that pip installs for a build is not the one that will run."""
    output, script = machine(cuda="13.0", gpus="90", isolated=folder)
    assert "not built (torch is that of an isolated build, and another one will run; remedy: " in output
    assert ".cu\n" not in script.read_text()


def test_package_of_its_own(machine):
    """The CUDA library alone, for every GPU, under a CPU torch too; no module of a Python is compiled."""
    output, script = machine(folder="wheels/cuda")
    assert f"CUDA kernels: for {EVERY}, " in output
    text = script.read_text()
    assert re.search(r"^build \S.*/fastloss_cuda/_C_cuda\.so: link_cuda ", text, re.MULTILINE)
    assert "module.cpp" not in text


def test_paths_are_kept_whole(machine):
    """A checkout, a torch and a toolkit in a folder with a space and a dollar in its name."""
    _, script = machine(FASTLOSS_CUDA="1")
    checkout = script.parents[2]
    ninja = [shutil.which("ninja") or Path(sys.executable).with_name("ninja"), "-C", script.parent]
    commands = [shlex.split(line) for line in run(*ninja, "-t", "commands").stdout.splitlines() if line[0] != "n"]
    assert len(commands) > 30
    for command in commands:
        places = [part for part in command if str(checkout.parent) in part]
        assert places, command
        assert {re.sub(r"^-([IL]|fmacro-prefix-map=)", "", place).partition("/a b")[0] for place in places} <= {
            str(checkout.parent.parent)
        }
    run(*ninja, "simd_isa.o")
    assert "ninja: no work to do" in run(*ninja, "simd_isa.o").stdout
