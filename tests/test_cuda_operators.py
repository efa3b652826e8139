"""The CUDA operators from Python down to the kernels, without a GPU.

The files of ops/ that are about CUDA are compiled with the emulated kernels and three changes: tensors are to be on the
CPU, there is no device to select, and they register for the CPU. Then the tests of the kernels run on CPU tensors.
"""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from asan import CSRC, cuda_sources, find_compiler, find_nvcc, setup_constants
from cases import PRODUCTS

import fastloss
from fastloss._core import operators as _ops

HERE = Path(__file__).resolve().parent
(ENGINES,) = setup_constants("ENGINES")
DISPATCH = ("STABLE_TORCH_LIBRARY_IMPL(fastloss, CUDA, m)", "STABLE_TORCH_LIBRARY_IMPL(fastloss, CPU, m)")
CHANGES = {
    "torch/cuda_call.h": (
        ("t.is_cuda()", "t.is_cpu()"),
        ("  torch::stable::accelerator::DeviceGuard guard;\n", "  int guard;\n"),
        ("guard((check_cuda(t), t.get_device_index()))", "guard((check_cuda(t), 0))"),
        ("TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(t.get_device_index(), &stream));", ""),
    ),
    "engines/elements/launch.h": (("upstream.is_cuda()", "upstream.is_cpu()"),),
    "engines/similarity/call.h": (("ScalarType::Half || !tile.is_cpu()", "ScalarType::Half || tile.is_cpu()"),),
    **{f"engines/{engine}/operators_cuda.cpp": (DISPATCH,) for engine in ENGINES},
}
# What no CPU tensor can show is left out, large shapes that take the emulation long, and all but one ISA.
SELECTED = {
    "test_cuda.py": "(against_float64 and not (tile or group or cluster or stream or pixels or planes))"
    " or (test_strides and (float32 or bfloat16)) or (upstream and (2.5 or 0.333)) or test_strips or options"
    " or statistics or retained or rescale or exponents or inplace or target or domain or nan or labels or small",
    "engines/elements/test_points.py": "(kinks or nan_and_infinity or broadcast) and {isa}",
    "engines/outputs/test_row_outputs.py": "{isa} or inplace or extreme or twice",
    "engines/outputs/test_flex.py": "seed0 or built_in or (random and (0 or 5))",
    "engines/products/test_vectors.py": "(kinks or (beyond and functional)) and {isa}",
    "engines/divergence/test_divergence.py": "{isa} and not near and not top_k and not second",
    "test_mixed.py": "{isa}",
    "test_selftest.py": "brief",
    "properties/test_shared_options.py": "(masked_values or (test_options and ({products}))) and {isa}",
    "properties/test_gradients.py": "upstream and {isa} and ({products}) and not pairwise",
    "properties/test_inside_torch.py": "samples or (functorch and ({products}) and not pairwise)",
}
# What runs as PTX too (emulation/ptx.cpp): the engines that have no driver of their own.
PTX = {"engines/outputs/test_row_outputs.py": "outputs", "engines/divergence/test_divergence.py": "divergence"}
OTHER_ENGINES = "is_minus_cross_entropy"  # tests of these files that launch kernels of another engine
if not os.environ.get("FASTLOSS_EVERY_PLANT"):  # minutes each; `make asan` runs them
    del SELECTED["test_mixed.py"], SELECTED["engines/outputs/test_flex.py"]
if not os.environ.get("FASTLOSS_EVERY_PLANT") or find_nvcc() is None:
    PTX.clear()


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    if not _ops.AVAILABLE:
        pytest.skip("the extension is not built")
    out = tmp_path_factory.mktemp("operators")
    for name, changes in CHANGES.items():
        text = (CSRC / name).read_text()
        for old, new in changes:
            assert old in text, f"{name} has changed: {old}"
            text = text.replace(old, new)
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text(text)
    (flags,) = setup_constants("FLAGS")
    torch_root = Path(torch.__file__).parent
    compiler = [*find_compiler(), *flags.split(), "-O1", f"-I{out}", f"-I{HERE / 'emulation'}", f"-I{CSRC}"]

    def build(item):
        name, (source, macros) = item
        target = out / f"{name}.o"
        command = [
            *compiler,
            *macros,
            "-isystem",
            str(torch_root / "include"),
            "-x",
            "c++",
            "-c",
            str(source),
            "-o",
            str(target),
        ]
        subprocess.run(command, check=True)
        return str(target)

    runners = ("emulation", "ptx") if PTX else ("emulation",)
    others = [*out.rglob("*.cpp"), *(HERE / "emulation" / f"{n}.cpp" for n in (*runners, "library"))]
    sources = {**cuda_sources(), **{f"{path.parent.name}_{path.stem}": (path, []) for path in others}}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = dict(zip(sources, pool.map(build, sources.items()), strict=True))
    made = {}
    for runner in runners:
        made[runner] = out / f"lib{runner}.so"
        parts = [
            path for name, path in objects.items() if name not in {f"emulation_{r}" for r in runners if r != runner}
        ]
        link = [*find_compiler(), "-shared", *parts, "-o", str(made[runner]), f"-L{torch_root / 'lib'}", "-ltorch_cpu"]
        subprocess.run(link, check=True)
    return made


def compile_ptx(out, engine):
    """The PTX of an engine and of what all engines share, separated by colons."""
    (flags,) = setup_constants("CUDA_FLAGS")
    files = []
    for name, (source, macros) in cuda_sources().items():
        if name.startswith(f"{engine}_") or name == "device_reduce":
            files.append(str(out / f"{name}.ptx"))
            command = [
                find_nvcc(),
                *flags.split(),
                "-ptx",
                "-arch=sm_90",
                f"-I{CSRC}",
                *macros,
                source,
                "-o",
                files[-1],
            ]
            subprocess.run([str(part) for part in command], check=True)
    return ":".join(files)


@pytest.fixture(scope="module")
def driver(library):
    """The kernels without torch, as gpu_check.sh runs them."""
    made = library["emulation"].with_name("driver")
    objects = [o for o in made.parent.glob("*.o") if "operators_cuda" not in o.name and o.stem != "emulation_ptx"]
    include = [f"-I{path}" for path in (HERE, CSRC)]
    source = HERE.parent / "benchmarks" / "gpu" / "driver.cpp"
    command = [*find_compiler(), "-std=c++17", "-O1", "-DFASTLOSS_EMULATED", *include, str(source), "-o", str(made)]
    subprocess.run([*command, *map(str, objects)], check=True)
    return made


@pytest.mark.slow
def test_driver(driver):
    """Every case right; a path that is wished for is taken, where a problem can take it."""

    def run(*arguments, **environment):
        command, environment = [str(driver), *arguments], {**os.environ, **environment}
        return subprocess.run(command, check=True, text=True, capture_output=True, env=environment).stdout.splitlines()

    names = run("list")
    assert len(names) == len(set(names)) > 200
    assert run("run")[-1] == f"right: {len(names)}"
    assert run("run", names[0]) == [names[0], "right: 1"]
    assert sum(line.startswith("copy of") or "no time left" in line for line in run("tune", "0")) == 2
    assert "8 x 300: group1024 x 1 must move 9600 bytes" in run("profile")
    for wish, taken in {"stream": "stream x 1", "group16384x4": "group16384 x 4", "tile": "group1024 x 1"}.items():
        assert f"8 x 300: {taken} must move 9600 bytes" in run("profile", FASTLOSS_CUDA_PLAN=wish)


@pytest.fixture(scope="module")
def runs(library):
    """One process a file, as many at a time as there are cores."""
    base = {
        **os.environ,
        "FASTLOSS_CUDA_TEST_DEVICE": "cpu",
        "FASTLOSS_EMULATED_CUDA": str(library["emulation"]),
        "PYTHONPATH": os.pathsep.join([str(HERE / "emulation"), str(HERE.parent), os.environ.get("PYTHONPATH", "")]),
    }

    def start(file, ptx=False):
        environment = dict(base)
        if ptx:
            environment["FASTLOSS_EMULATED_CUDA"] = str(library["ptx"])
            environment["FASTLOSS_PTX"] = compile_ptx(library["ptx"].parent, PTX[file])
        selected = SELECTED[file].format(isa=fastloss.isa.available()[-1], products=" or ".join(map(str, PRODUCTS)))
        if ptx:
            selected = f"({selected}) and not {OTHER_ENGINES}"
        # What the emulation says before it aborts is the end of stderr.
        options = ["-q", "--capture=sys", "-p", "no:faulthandler", "-p", "plugin", "-k", selected]
        command = [sys.executable, "-m", "pytest", *options, str(HERE / file)]
        return subprocess.run(command, check=False, text=True, capture_output=True, env=environment, cwd=HERE.parent)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield {
            **{file: pool.submit(start, file) for file in SELECTED},
            **{f"{file} as PTX": pool.submit(start, file, True) for file in PTX},
        }


@pytest.mark.slow
@pytest.mark.parametrize("file", [*SELECTED, *(f"{file} as PTX" for file in PTX)])
def test_operators(runs, file):
    done = runs[file].result()
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    assert " passed" in done.stdout
