"""Peak memory of one step above what inputs (and a model's logits) already hold.

On CUDA the caching allocator counts. On the CPU the operating system does, in a fresh process per variant: the child
warms up at full size (thread pools, compiled code), gives free heap pages and fastloss's idle blocks back, resets the
high-water mark and runs one step. malloc is told to map every block of 64 KiB or more by itself, so that a freed one is
really gone and a new one really counted.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import torch

from benchmarks import process

from . import results, variants
from .inputs import Case, make_case
from .suites import Row
from .variants import Variant

# Resident memory is counted in pages and per-thread batches: below this gradient size it is noise.
SMALLEST = 4 * 2**20


def of_variants(row: Row, case: Case, candidates: list[Variant], device: str) -> dict[str, int | None]:
    """Bytes by variant; None where it cannot be told."""
    if device != "cpu":
        return {variant.name: _cuda(variant, case) for variant in candidates}
    logits = row.shape[0] * row.classes * row.torch_dtype.itemsize
    if max(row.tensor_bytes, logits) < SMALLEST:
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
    request = {"row": asdict(row), "variant": name, "threads": torch.get_num_threads()}
    return process.ask(__name__, request, MALLOC_MMAP_THRESHOLD_=str(64 * 1024))


def _child(row: Row, name: str) -> int | None:
    case = make_case(row, "cpu")
    prepare = variants.steps(variants.build_one(row, case, name), [case])
    if process.reset_high_water_mark():
        prepare(1)()
        go = prepare(1)
        process.return_free_pages()
        process.reset_high_water_mark()
        before = process.status("VmRSS")
        go()
        return process.status("VmHWM") - before
    # A mark that cannot be lowered: a warm-up would hide the step, and compiling would count as part of it.
    if name == variants.COMPILE:
        return None
    go = prepare(1)
    before = process.peak()
    go()
    return (process.peak() - before) or None


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    torch.set_num_threads(asked["threads"])
    print(json.dumps(_child(results.row_from(asked["row"]), asked["variant"])))
