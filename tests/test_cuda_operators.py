"""The CUDA operators from Python down to the kernels, without a GPU.

ops/rows_cuda.cpp is compiled with the emulated kernels and three changes: tensors are to be on the CPU, there is no
device to select, and it registers for the CPU. Then part of test_cuda.py runs on CPU tensors.
"""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from asan import CSRC, find_compiler, setup_constants

from fastloss import _ops

HERE = Path(__file__).resolve().parent
CHANGES = (
    ("t.is_cuda()", "t.is_cpu()"),
    ("t->is_cuda()", "t->is_cpu()"),
    ("grad.is_cuda()", "grad.is_cpu()"),
    ("scale.is_cuda()", "scale.is_cpu()"),
    ("  torch::stable::accelerator::DeviceGuard guard;\n", "  int guard;\n"),
    ("guard((check_cuda(t), t.get_device_index()))", "guard((check_cuda(t), 0))"),
    ("TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(t.get_device_index(), &stream));", ""),
    ("STABLE_TORCH_LIBRARY_IMPL(fastloss, CUDA, m)", "STABLE_TORCH_LIBRARY_IMPL(fastloss, CPU, m)"),
)
# What no CPU tensor can show is left out, and the large shapes, which take the emulation long.
SELECTED = "upstream or retained or inplace or stats or (options and (float32 or bfloat16))"


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    if not _ops.AVAILABLE:
        pytest.skip("the extension is not built")
    out = tmp_path_factory.mktemp("operators")
    text = (CSRC / "ops" / "rows_cuda.cpp").read_text()
    for old, new in CHANGES:
        assert old in text, f"rows_cuda.cpp has changed: {old}"
        text = text.replace(old, new)
    operators = out / "rows_cuda.cpp"
    operators.write_text(text)
    (flags,) = setup_constants("FLAGS")
    torch_root = Path(torch.__file__).parent
    compiler = [*find_compiler(), *flags.split(), "-O1", f"-I{HERE / 'emulation'}", f"-I{CSRC}"]

    def build(source):
        target = out / f"{source.parent.name}_{source.stem}.o"
        command = [
            *compiler,
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

    sources = [
        operators,
        *(CSRC / "cuda").glob("*.cu"),
        *(HERE / "emulation" / f"{n}.cpp" for n in ("emulation", "library")),
    ]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(build, sources))
    made = out / "libemulated.so"
    link = [*find_compiler(), "-shared", *objects, "-o", str(made), f"-L{torch_root / 'lib'}", "-ltorch_cpu"]
    subprocess.run(link, check=True)
    return made


@pytest.mark.slow
def test_operators(library):
    environment = {
        **os.environ,
        "FASTLOSS_CUDA_TEST_DEVICE": "cpu",
        "FASTLOSS_EMULATED_CUDA": str(library),
        "PYTHONPATH": os.pathsep.join([str(HERE / "emulation"), str(HERE.parent), os.environ.get("PYTHONPATH", "")]),
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "plugin", "-k", SELECTED, str(HERE / "test_cuda.py")]
    done = subprocess.run(command, check=False, text=True, capture_output=True, env=environment, cwd=HERE.parent)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    assert " passed" in done.stdout
