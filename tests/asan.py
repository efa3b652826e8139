"""Builds the CPU kernels with the address and undefined-behaviour sanitizers and runs the drivers of asan/ on them.

No torch: the ISA files are plain C++ behind plain structs. Their flags are those of setup.py but for -O1: the
sanitizers' checks make -O3 slow to compile. Each ISA of this CPU and each dtype runs in a process of its own.

Then every bug of test_cuda_emulation.py is planted, of which the ordinary tests take a few, the PTX of all kernels
runs, and float16's machine code is looked at.
"""

from __future__ import annotations

import ast
import itertools
import os
import platform
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CSRC = ROOT / "csrc"
DRIVERS = [ROOT / "tests" / "asan" / f"{family}_driver.cpp" for family in ("rows", "points", "similarity")]
OUT = ROOT / "build" / "asan"
DTYPES = ("float32", "float64", "bfloat16", "float16")
# "undefined" leaves out floats that are no integers of the type they become.
SANITIZE = ["-O1", "-g1", "-fno-omit-frame-pointer", "-fsanitize=address,undefined,float-cast-overflow"]
SANITIZE += ["-fno-sanitize-recover=all"]
# Checks as calls instead of inline code, and none of what GCC expands at every reference: a third of the compile time.
# Stray and misaligned pointers are what the address sanitizer and the driver's placement of tensors find.
GCC_ONLY = [
    "--param",
    "asan-instrumentation-with-call-threshold=0",
    "-fno-sanitize=null,object-size,alignment,pointer-overflow",
]
ENVIRONMENT = {
    "ASAN_OPTIONS": "detect_leaks=0:quarantine_size_mb=32",  # the kernels allocate nothing
    "UBSAN_OPTIONS": "print_stacktrace=1",
}


def setup_constants(*names: str) -> list:
    """String constants of setup.py, which cannot be imported: it would build."""
    tree = ast.parse((ROOT / "setup.py").read_text())
    plain = (ast.Constant, ast.JoinedStr, ast.Dict, ast.Tuple)
    tree.body = [node for node in tree.body if isinstance(node, ast.Assign) and isinstance(node.value, plain)]
    values: dict = {}
    exec(compile(tree, "setup.py", "exec"), values)
    return [values[name] for name in names]


def cuda_sources() -> dict[str, tuple[Path, list[str]]]:
    """What setup.py gives to nvcc: of each object its name, source and macros."""
    (stored,) = setup_constants("CUDA_DTYPES")
    found: dict[str, tuple[Path, list[str]]] = {}
    for path in sorted(CSRC.rglob("*.cu")):
        part = f"{path.parent.name}_{path.stem}"
        if "FASTLOSS_DTYPE" not in path.read_text():
            found[part] = path, []
            continue
        for dtype, name in stored.items():
            found[f"{part}_{dtype}"] = path, [f"-DFASTLOSS_DTYPE={dtype}", f"-DFASTLOSS_STORED={name}"]
    return found


def find_nvcc() -> str | None:
    return shutil.which("nvcc") or shutil.which("nvcc", path="/usr/local/cuda/bin")


def find_compiler() -> list[str]:
    compiler = os.environ.get("CXX", "g++" if shutil.which("g++") else "clang++").split()
    if shutil.which(compiler[0]) is None:
        sys.exit(f"asan: compiler {compiler[0]!r} was not found; remedy: install g++ or set CXX")
    return compiler


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **ENVIRONMENT}
    return subprocess.run(command, check=False, text=True, capture_output=True, env=environment)


def main() -> int:
    start = time.monotonic()
    flags, isa_flags = setup_constants("FLAGS", "ISA_FLAGS")
    machine = platform.machine().lower().replace("amd64", "x86_64").replace("arm64", "aarch64")
    isas = isa_flags.get(machine, isa_flags[""])
    compiler = find_compiler()
    is_clang = "clang" in run([*compiler, "--version"]).stdout
    sanitize = SANITIZE if is_clang else SANITIZE + GCC_ONLY
    sources = {
        OUT / f"{part}_{isa}.o": (CSRC / "simd" / f"{part}.cpp", [*extra.split(), f"-DFASTLOSS_ISA={isa}", *sanitize])
        for isa, extra in isas.items()
        for part in ("kernels", "losses")
    }
    # The drivers' own arithmetic is most of the run: it goes without checks, its allocations are guarded all the same.
    sources |= {OUT / f"{driver.stem}.o": (driver, ["-O2"]) for driver in DRIVERS}
    sources |= {OUT / "isa.o": (CSRC / "simd" / "isa.cpp", sanitize)}
    OUT.mkdir(parents=True, exist_ok=True)
    commands = [
        [*compiler, *flags.split(), f"-I{CSRC}", *extra, "-c", str(source), "-o", str(target)]
        for target, (source, extra) in sources.items()
    ]
    mains = {driver: OUT / driver.stem for driver in DRIVERS}
    shared = [str(target) for target, (source, _) in sources.items() if source not in mains]
    links = [[*compiler, *SANITIZE, str(main.with_suffix(".o")), *shared, "-o", str(main)] for main in mains.values()]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for result in itertools.chain(pool.map(run, commands), map(run, links)):
            if result.returncode != 0:
                print(result.stderr, file=sys.stderr)
                print("asan: the build failed; the compiler's message is above", file=sys.stderr)
                return 1
        built = time.monotonic()
        jobs = [(main, isa, dtype) for main in mains.values() for isa in isas for dtype in DTYPES]
        results = dict(zip(jobs, pool.map(lambda job: run([str(part) for part in job]), jobs), strict=True))
    failed, total = 0, 0
    for isa in isas:
        runs = [results[main, isa, dtype] for main in mains.values() for dtype in DTYPES]
        failures = [run.stderr for run in runs if run.returncode != 0]
        counts = [[int(number) for number in run.stdout.split()] for run in runs if run.stdout]
        for text in failures:
            print(text, end="", file=sys.stderr, flush=True)
        if failures:
            print(f"{isa}: {len(failures)} of {len(runs)} runs FAILED")
        elif not counts:
            print(f"{isa}: not run, this CPU does not support it")
        else:
            calls, gradients = map(sum, zip(*counts, strict=True))
            print(f"{isa}: {calls} kernel calls, {gradients} gradients checked")
            total += calls
        failed += len(failures)
    files = [str(ROOT / "tests" / f"test_cuda_{name}.py") for name in ("emulation", "operators", "build")]
    which = "planted or ptx or test_mixed or test_flex or test_resources or test_machine_code"
    planted = [sys.executable, "-m", "pytest", "-q", "-k", which, *files]
    failed += subprocess.run(planted, check=False, env={**os.environ, "FASTLOSS_EVERY_PLANT": "1"}).returncode != 0
    verdict = f"{failed} runs FAILED" if failed else f"{total} kernel calls clean"
    print(f"asan: {verdict}; build {built - start:.0f} s, run {time.monotonic() - built:.0f} s")
    return 1 if failed or not total else 0


if __name__ == "__main__":
    sys.exit(main())
