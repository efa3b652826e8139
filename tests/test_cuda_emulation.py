"""The CUDA kernels, executed on the host: the same .cu files against emulation/cuda/device.h, under the sanitizers.

Each dtype runs emulation/rows_driver.cpp in a process of its own. Then bugs are planted in a copy of the kernels, one
at a time, and the driver must fail on each, or its silence would mean nothing.
"""

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from asan import CSRC, ENVIRONMENT, GCC_ONLY, SANITIZE, find_compiler, setup_constants

HERE = Path(__file__).resolve().parent / "emulation"
KERNELS = CSRC / "cuda"
DTYPES = {"float32": "f32", "float64": "f64", "bfloat16": "bf16", "float16": "f16"}
PATHS = {
    "columns_wide",
    "columns",
    "tile",
    "group8",
    "group32",
    "group128",
    "group512",
    "stream",
    "strided",
    "clusters",
}

# name: (what the driver says, old text, new text, ...). Each old text stands once in rows.cuh.
PLANTS = {
    "off-by-one tail": (
        "overflow",
        "const auto has = [&](int c) { return c >= 0 && c < classes; };",
        "const auto has = [&](int c) { return c >= 0 && c <= classes; };",
    ),
    "missing barrier": (
        "got",
        "    if (thread() % 32 == 0) put_part<kFields>(memory.warps[thread() / 32], part);\n    block_barrier();",
        "    if (thread() % 32 == 0) put_part<kFields>(memory.warps[thread() / 32], part);",
    ),
    "barrier that some threads skip": (
        "barrier",
        "    f = get_factors<T>(memory);\n  }",
        "    f = get_factors<T>(memory);\n    if (thread() < 64) block_barrier();\n  }",
    ),
    "wrong shuffle mask": (
        "mask leaves",
        "for (int k = kLanes / 2; k > 0; k /= 2) warp_max = maximum(warp_max, shuffle_xor(warp_max, k));",
        "for (int k = kLanes / 2; k > 0; k /= 2) warp_max = maximum(warp_max, shuffle_xor(warp_max, k, 0xffffu));",
    ),
    "shuffle that stops short": (
        "got",
        "for (int k = lanes / 2; k > 0; k /= 2) {\n    p.others",
        "for (int k = lanes / 4; k > 0; k /= 2) {\n    p.others",
    ),
    "missing cluster barrier": (
        "may not have started",
        "  if (clustered) cluster_arrive();\n",
        "",
        "      cluster_wait();  // every block of the cluster runs: its shared memory may be written\n",
        "",
    ),
    "vectors off their alignment": (
        "off its alignment",
        "  const int head = (int)((uintptr_t)x % 16 / sizeof(S));\n  const int classes",
        "  const int head = 0;\n  const int classes",
    ),
    "columns shared by two threads": (
        "got",
        "T* const own = tiled ? tile + thread() * l.plan.pitch : tile + thread() * P;",
        "T* const own = tiled ? tile + thread() / 2 * l.plan.pitch : tile + thread() / 2 * P;",
    ),
    "last vector left out": (
        "got",
        "return u * G + lane < slice && start(u) < classes",
        "return u * G + lane < slice && start(u) + V < classes",
    ),
    "target's element written twice": (
        "written twice",
        "        store_pack<V>(g + c, pack);\n      } else {\n        FASTLOSS_UNROLL",
        "        store_pack<V>(g + c, pack);\n        if (near && c == y) store_one(g + c, narrow<S>(f.at_target));\n"
        "      } else {\n        FASTLOSS_UNROLL",
    ),
}


def run(command):
    environment = {**os.environ, **ENVIRONMENT}
    return subprocess.run([str(part) for part in command], check=False, text=True, capture_output=True, env=environment)


class Builder:
    """Compiles the driver and the kernels; `link` makes the program from them."""

    def __init__(self, out):
        self.out = out
        self.compiler = find_compiler()
        (flags,) = setup_constants("FLAGS")
        is_clang = "clang" in run([*self.compiler, "--version"]).stdout
        self.sanitize = ["-O1", *SANITIZE[1:]] if is_clang else ["-O1", *SANITIZE[1:], *GCC_ONLY]
        self.flags = [flag for flag in flags.split() if flag != "-O3"]
        sources = {path.stem: path for path in KERNELS.glob("*.cu")}
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            # The driver's own arithmetic goes without checks; its allocations are guarded all the same.
            jobs = [
                pool.submit(self.compile, HERE / "rows_driver.cpp", ["-O1"]),
                *(pool.submit(self.compile, path, self.sanitize) for path in sources.values()),
                pool.submit(self.compile, HERE / "emulation.cpp", ["-O2"]),
            ]
            self.objects = {path.stem: path for path in (job.result() for job in jobs)}

    def compile(self, source, extra, first=(), name=None):
        target = self.out / f"{name or source.stem}.o"
        includes = [f"-I{path}" for path in (*first, HERE, CSRC)]
        command = [*self.compiler, *self.flags, *extra, *includes, "-x", "c++", "-c", source, "-o", target]
        done = run(command)
        assert done.returncode == 0, done.stderr
        return target

    def link(self, name, **replaced):
        program = self.out / name
        done = run([*self.compiler, *SANITIZE, *{**self.objects, **replaced}.values(), "-o", program])
        assert done.returncode == 0, done.stderr
        return program


@pytest.fixture(scope="module")
def builder(tmp_path_factory):
    if shutil.which(find_compiler()[0]) is None:
        pytest.skip("no C++ compiler")
    return Builder(tmp_path_factory.mktemp("emulation"))


def test_kernels(builder):
    program = builder.link("rows_driver")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = dict(zip(DTYPES, pool.map(lambda dtype: run([program, dtype]), DTYPES), strict=True))
    for dtype, result in results.items():
        assert result.returncode == 0, f"{dtype}: {result.stderr[-4000:]}"
        counts = {name: int(number) for name, number in map(str.split, result.stdout.splitlines())}
        assert counts.pop("gradients") > 1_000_000
        missing = {name for name in PATHS if not counts[name]}
        assert missing == ({"columns_wide"} if dtype == "float64" else set()), f"{dtype}: paths that never ran"


def test_planted_bugs(builder):
    """Each in a copy of rows.cuh that the include path finds first, for float32."""
    text = (KERNELS / "rows.cuh").read_text()

    def plant(item):
        name, (message, *changes) = item
        planted_text = text
        for old, new in zip(changes[::2], changes[1::2], strict=True):
            assert text.count(old) == 1, f"{name}: its place in rows.cuh has changed"
            planted_text = planted_text.replace(old, new)
        slug = name.replace(" ", "_").replace("-", "_")
        changed = builder.out / f"{slug}_source"
        (changed / "cuda").mkdir(parents=True)
        (changed / "cuda" / "rows.cuh").write_text(planted_text)
        shutil.copy(KERNELS / "rows_f32.cu", changed)
        source = changed / "rows_f32.cu"
        planted = builder.compile(source, builder.sanitize, first=(changed,), name=f"{slug}_f32")
        result = run([builder.link(slug, rows_f32=planted), "float32", "quick"])
        return name, message, result

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for name, message, result in pool.map(plant, PLANTS.items()):
            assert result.returncode != 0, f"{name}: went unnoticed"
            assert message in result.stderr, f"{name}: {result.stderr[-2000:]}"
