"""Peak memory of one step above what inputs (and a model's logits) already hold.

On CUDA the caching allocator counts. On the CPU the operating system does, in a fresh process per variant: the child
warms up at full size (thread pools, compiled code), gives free heap pages and fastloss's idle blocks back, resets the
high-water mark and runs one step. malloc is told to map every block of 64 KiB or more by itself, so that a freed one is
really gone and a new one really counted.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import torch

import fastloss
from fastloss.bench import results, variants
from fastloss.bench.inputs import Case, make_case
from fastloss.bench.suites import Row
from fastloss.bench.variants import Variant

# Resident memory is counted in pages and per-thread batches: below this gradient size it is noise.
SMALLEST = 4 * 2**20


def of_variants(row: Row, case: Case, candidates: list[Variant], device: str) -> dict[str, int | None]:
    """Bytes by variant; None where it cannot be told."""
    if device != "cpu":
        return {variant.name: _cuda(variant, case) for variant in candidates}
    if row.tensor_bytes < SMALLEST:
        return {}
    return {variant.name: _in_child(row, variant.name) for variant in candidates}


def _cuda(variant: Variant, case: Case) -> int:
    go = variants.steps(variant, [case])(1)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    go()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def _in_child(row: Row, name: str) -> int | None:
    request = json.dumps({"row": asdict(row), "variant": name, "threads": torch.get_num_threads()})
    child = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "fastloss.bench.memory", request],
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": str(64 * 1024)},
        capture_output=True,
        text=True,
    )
    if child.returncode != 0:
        raise RuntimeError(f"measuring the memory of {name} failed:\n{child.stderr}")
    return json.loads(child.stdout.splitlines()[-1])


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {field}")


def _reset_high_water_mark() -> bool:
    """Linux only: VmHWM becomes VmRSS."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return _status("VmHWM") - _status("VmRSS") < 2**20
    except OSError:
        return False


def _return_free_pages() -> None:
    fastloss.empty_cache()
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


def _peak_by_rusage() -> int:
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _child(row: Row, name: str) -> int | None:
    case = make_case(row, "cpu")
    prepare = variants.steps(variants.build_one(row, case, name), [case])
    if _reset_high_water_mark():
        prepare(1)()
        go = prepare(1)
        _return_free_pages()
        _reset_high_water_mark()
        before = _status("VmRSS")
        go()
        return _status("VmHWM") - before
    # A mark that cannot be lowered: a warm-up would hide the step, and compiling would count as part of it.
    if name == variants.COMPILE or sys.platform == "win32":
        return None
    go = prepare(1)
    before = _peak_by_rusage()
    go()
    return (_peak_by_rusage() - before) or None


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    torch.set_num_threads(asked["threads"])
    print(json.dumps(_child(results.row_from(asked["row"]), asked["variant"])))
