"""The CUDA kernels, executed on the host: the same .cu files against emulation/device/device.h, under the sanitizers.

Each dtype runs the driver of a family (emulation/{rows,points,pairs,similarity}_driver.cpp) in a process of its own.
Then bugs are planted in a copy of the kernels, one at a time, and the driver must fail on each, or its silence would
mean nothing.

The same drivers run what nvcc makes of the kernels and of csrc/device/device.h (emulation/ptx.cpp); bugs are planted
there too.
"""

import inspect
import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import pytest
from asan import CSRC, ENVIRONMENT, GCC_ONLY, SANITIZE, cuda_sources, find_compiler, find_nvcc, setup_constants

import fastloss

HERE = Path(__file__).resolve().parent / "emulation"
DTYPES = {"float32": "f32", "float64": "f64", "bfloat16": "bf16", "float16": "f16"}
# A family's driver and its part of the kernels.
ROWS = ("rows_driver", "softmax_plan", *(f"softmax_cuda_{short}" for short in DTYPES.values()))
POINTS = ("points_driver", "elements_plan", *(f"elements_cuda_{short}" for short in DTYPES.values()))
PAIRS = ("pairs_driver", "products_plan", *(f"products_cuda_{short}" for short in DTYPES.values()))
SIMILARITY = (
    "similarity_driver",
    *("similarity_anchors", "similarity_mining"),
    *(f"similarity_cuda_{short}" for short in DTYPES.values()),
)
FAMILIES = (ROWS, POINTS, PAIRS, SIMILARITY)
PATHS = {
    "columns_wide",
    "columns",
    "tile",
    "group128",
    "group256",
    "group1024",
    "group4096",
    "group16384",
    "stream",
    "strided",
    "clusters",
    *(f"mixed_{path}" for path in ("columns", "tile", "group128", "group1024", "group16384", "stream", "strided")),
}

# name: (a pattern of what the driver says, old text, new text, ...). Each old text stands once in the file.
ROWS_PLANTS = {
    "margin left out": ("got", "target - (T)p.max - margin;", "target - (T)p.max;"),
    "off-by-one tail": (
        "overflow",
        "const auto has = [&](int c) { return c >= 0 && c < end; };",
        "const auto has = [&](int c) { return c >= 0 && c <= end; };",
    ),
    "missing barrier": (
        "got",
        "    if (self % 32 == 0) put_part<kFields>(memory.warps[self / 32], part);\n    block_barrier();",
        "    if (self % 32 == 0) put_part<kFields>(memory.warps[self / 32], part);",
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
        "cluster",
        "      cluster_arrive_relaxed();  // nothing was written yet\n",
        "",
        "      cluster_wait();  // every block of the cluster runs: its shared memory may be written\n",
        "",
    ),
    "vectors off their alignment": (
        "off its alignment",
        "  const int head = (int)((uintptr_t)x % 16 / sizeof(S));\n  const int slice",
        "  const int head = 0;\n  const int slice",
    ),
    "columns shared by two threads": (
        "got",
        "T* const own = tiled ? tile + thread() * l.plan.pitch : tile + thread() * P;",
        "T* const own = tiled ? tile + thread() / 2 * l.plan.pitch : tile + thread() / 2 * P;",
    ),
    "last vector left out": (
        "before it is written",
        "return end - origin >= u * kTurn + V && (u > 0 || origin >= 0);",
        "return end - origin > u * kTurn + V && (u > 0 || origin >= 0);",
    ),
    "row's end written twice": (
        "written twice",
        "ragged < V && !(first && last_turn == 0);",
        "ragged < V;",
    ),
    "neighbour's logits in the sum": (
        "got",
        "if (!has(c)) slot(u)[k] = narrow<S>(-infinity<T>());",
        "",
    ),
    "target in the sum of the others": (
        "got",
        "if (near) slot(its_turn)[its_place] = narrow<S>(-infinity<T>());",
        "",
    ),
    "gradient of another than the target": (
        "replaced before",
        "if (near) store_again(g + y, narrow<S>(f.at_target));",
        "if (kept) store_again(g + y, narrow<S>(f.at_target));",
    ),
    "probabilities of the logits' type": (
        "AddressSanitizer",
        "kIsMixed<Loss> ? bytes_of(a.probability_type) : (int)sizeof(S);",
        "(int)sizeof(S);",
    ),
    "next rows over these": (
        "got",
        "    block_barrier();  // shared memory may still be read\n",
        "",
    ),
}

POINTS_PLANTS = {
    "off-by-one tail": (
        "AddressSanitizer",
        "kept[u] = i < n;",
        "kept[u] = i <= n;",
        "if (i >= n) continue;",
        "if (i > n) continue;",
    ),
    "partial tile taken as whole": (
        "AddressSanitizer",
        "const bool whole = tile + kTile <= n;",
        "const bool whole = tile + kTile <= n + 1;",
    ),
    "last lane left out": (
        "not written",
        "if (v + i < there) store_one",
        "if (v + i < there - 1) store_one",
    ),
    "lanes behind the end counted": (
        "sum",
        "part += j < there ? losses[j] : (T)0;",
        "part += losses[j];",
    ),
    "wrong stride": (
        "got|AddressSanitizer",
        "at[k] += index * views[k]->stride[d];",
        "at[k] += index * views[0]->stride[d];",
    ),
    "offsets of 32 bits": (
        "AddressSanitizer",
        "const int64_t begin = block() * l.block_elements;\n  const int n = length(l, begin);\n  const S* x[A];",
        "const int64_t begin = (int)((uint64_t)block() * l.block_elements);\n  const int n = length(l, begin);\n"
        "  const S* x[A];",
    ),
    "vectors off their alignment": (
        "off its alignment",
        "if (l.vectors) {",
        "if (l.args.plain) {",
    ),
    "vectors overlap": (
        "written twice",
        "const int start = first + u * kPointThreads * E;",
        "const int start = first + u * kPointThreads;",
    ),
    "upstream gradients of the vector before": (
        "gradient",
        "scale * factors[u][v]",
        "scale * factors[0][v]",
    ),
    "mask forgotten in the gradient": (
        "gradient",
        "const T slope = kept[u] ? h.grad[u][k * K + j] * c : (T)0;",
        "const T slope = h.grad[u][k * K + j] * c;",
    ),
    "components next to each other": (
        "got",
        "const int64_t there = at[k] + c * (K > 1 ? a.operand[k].component : 0);\n          h.value",
        "const int64_t there = at[k] + c;\n          h.value",
    ),
    "components of the element before": (
        "got",
        "const int at = v * K + j % K;",
        "const int at = j % K;",
    ),
    "outside its domain, with a gradient": (
        "gradient",
        "for (T& g : r.grad) g = 0;",
        "",
    ),
}

PAIRS_PLANTS = {
    "off-by-one tail": (
        "AddressSanitizer",
        "if (i < width) to[u][k] =",
        "if (i <= width) to[u][k] =",
    ),
    "constant atoms behind the end": (
        "got",
        "if (tile + first + u * (G * V) >= read) continue;",
        "",
    ),
    "last vector left out": (
        "gradients not written",
        "if (i >= width) continue;",
        "if (i + V >= width) continue;",
    ),
    "row behind the last": (
        "AddressSanitizer",
        "exists = row < a.rows,",
        "exists = row <= a.rows,",
    ),
    "first tile alone": (
        "got",
        "held ? tile == 0 : tile < read;",
        "held ? tile == 0 : tile == 0 && read;",
    ),
    "wrong stride": (
        "got|AddressSanitizer",
        "x[k] = (const S*)a.operand[k].data + row * a.operand[k].row_stride;",
        "x[k] = (const S*)a.operand[k].data + row * a.operand[0].row_stride;",
    ),
    "gradient's stride": (
        "gradient",
        "row * a.gradient[k].row_stride : nullptr;",
        "row * a.width : nullptr;",
    ),
    "offsets of 32 bits": (
        "AddressSanitizer",
        "a.operand[k].data + row * a.operand[k].row_stride;",
        "a.operand[k].data + (int)(row * a.operand[k].row_stride);",
    ),
    "rows of 32 bits": (
        "AddressSanitizer",
        "const int64_t row = block() * (pair_threads(G) / G) + thread() / G;",
        "const int64_t row = (int)(block() * (pair_threads(G) / G)) + thread() / G;",
    ),
    "vectors off their alignment": (
        "off its alignment",
        "if (!l.vectors) return",
        "if (l.args.width % V) return",
    ),
    "vectors overlap": (
        "written twice",
        "const int first = thread() % G * V;",
        "const int first = thread() % G * V / 2;",
    ),
    "missing barrier": (
        "got",
        "    block_barrier();\n",
        "",
    ),
    "barrier that some threads skip": (
        "barrier",
        "    block_barrier();\n",
        "    block_barrier();\n    if (thread() < 64) block_barrier();\n",
    ),
    "wrong shuffle mask": (
        "mask leaves",
        "s[k] += shuffle_xor(s[k], lanes);",
        "s[k] += shuffle_xor(s[k], lanes, 0xffffu);",
    ),
    "shuffle that stops short": (
        "got",
        "int lanes = (G < 32 ? G : 32) / 2;",
        "int lanes = (G < 32 ? G : 32) / 4;",
    ),
    "shuffle beyond the group": (
        "got",
        "int lanes = (G < 32 ? G : 32) / 2;",
        "int lanes = 16;",
    ),
    "a warp left out": (
        "got",
        "w < G / 32;",
        "w < G / 32 - 1;",
    ),
    "masked rows read": (
        "gradient",
        "read = kept ? width : 0;",
        "read = width;",
    ),
    "masked rows not written": (
        "gradients not written",
        "const int64_t width = exists ? a.width : 0,",
        "const int64_t width = kept ? a.width : 0,",
    ),
    "weight forgotten in the gradient": (
        "gradient",
        "const double factor = writes ? weight * (kept",
        "const double factor = writes ? (kept",
    ),
    "upstream gradient of another row": (
        "gradient",
        "value_at<T>(a.upstream, row)",
        "value_at<T>(a.upstream, 0)",
    ),
    "every thread's loss in the sum": (
        "sum",
        "first == 0 ? loss : 0.0, square",
        "loss, square",
    ),
    "every thread writes the loss": (
        "written twice",
        "if (exists && first == 0 && a.loss)",
        "if (exists && a.loss)",
    ),
    "far rows in float": (
        "got",
        "far || !(fabs(s[k]) < kFar);",
        "far || s[k] == kFar;",
    ),
    "far row's gradient in float": (
        "gradient",
        "if (kHasFarRows<S> && FASTLOSS_UNLIKELY(far && writes)) {",
        "if (kHasFarRows<S> && FASTLOSS_UNLIKELY(far && !a.rows)) {",
    ),
    "the next row's products": (
        "got",
        "s[k] = far ? wide[k] : s[k];",
        "s[k] = wide[k];",
    ),
    "slopes a few millionths off": (
        "gradient",
        "(T)(r.grad[k] * factor)",
        "(T)(r.grad[k] * factor * (1 + 8e-6))",
    ),
}

SIMILARITY_PLANTS = {
    "off-by-one tail": (
        "AddressSanitizer",
        "if (first + v < n) p[v] = pair(first + v);",
        "if (first + v <= n) p[v] = pair(first + v);",
    ),
    "pairs behind the end counted": (
        "got",
        "p[v] = {};",
        "p[v] = {true};",
    ),
    "partial vector taken as whole": (
        "AddressSanitizer",
        "    return last;\n",
        "    return last + 1;\n",
    ),
    "last element not written": (
        "derivatives not written",
        "if (first + v >= n) continue;",
        "if (first + v >= n - 1) continue;",
    ),
    "row behind the last": (
        "written twice",
        "if (r < at.rows) store_pack",
        "store_pack",
    ),
    "a vector next to itself": (
        "got",
        "return distance >= 0 &&",
        "return distance > 0 &&",
    ),
    "itself without the offsets": (
        "got",
        "!(r.skip_self && of_row == of_column)",
        "!(r.skip_self && i == j)",
    ),
    "wrong stride of the mask": (
        "got",
        "r.mask[i * r.mask_stride + j])",
        "r.mask[i * a.columns + j])",
    ),
    "vectors do not ask the mask": (
        "got",
        "if (r.mask) others |= flags(",
        "if (r.mask && !r.mask) others |= flags(",
    ),
    "columns do not ask the mask": (
        "got",
        "if (r.mask) others |= !r.mask[",
        "if (r.mask && !r.mask) others |= !r.mask[",
    ),
    "positives taken for negatives": (
        "got",
        "|| (unsigned)(positive - first) < (unsigned)n;",
        ";",
    ),
    "every second label": (
        "got",
        "(int)labels.v[0] == row.low || (int)labels.v[1] == row.low;",
        "(int)labels.v[0] == row.low;",
    ),
    "labels of 32 bits": (
        "got",
        "(r.row_label.whole ? r.row_label.whole[i] : of_row) ==",
        "(int)(r.row_label.whole ? r.row_label.whole[i] : of_row) ==",
    ),
    "offsets of 32 bits": (
        "AddressSanitizer",
        "return (S*)a.tile + i * a.tile_stride;",
        "return (S*)a.tile + (int)(i * a.tile_stride);",
    ),
    "missing barrier": (
        "got",
        "    block_barrier();\n    if (at.rank >= 32) return;",
        "    if (at.rank >= 32) return;",
    ),
    "missing barrier, derivatives": (
        "sum",
        "  block_barrier();\n  if (at.rank >= 2 * at.rows) return;",
        "  if (at.rank >= 2 * at.rows) return;",
    ),
    "wrong shuffle mask": (
        "mask leaves",
        "top = maximum(top, shuffle_xor(top, lanes));",
        "top = maximum(top, shuffle_xor(top, lanes, 0xffffu));",
    ),
    "shuffle that stops short": (
        "got",
        "for (int lanes = first; lanes >= last; lanes /= 2) {\n      sum[k]",
        "for (int lanes = first; lanes > last; lanes /= 2) {\n      sum[k]",
    ),
    "positives of a warp left out": (
        "got",
        "if (!any_lane(count[kPositive] != 0)) return;",
        "if (!any_lane(count[kPositive] > 1)) return;",
    ),
    "sums of another maximum": (
        "got",
        "    sum[k] *= exp_of<S>(max[k] - to);\n",
        "",
    ),
    "a warp left out": (
        "got",
        "warp >> l.log_warps == 0)",
        "warp >> l.log_warps == 0 && warp != 1)",
    ),
    "one stripe over another": (
        "written twice",
        "(T*)l.row_parts + at.stripe * kPartPlanes * l.args.rows",
        "(T*)l.row_parts",
    ),
    "chunks overlap": (
        "sums of a column",
        "const int64_t begin = chunk * kColumnRows,",
        "const int64_t begin = chunk * (kColumnRows - 1),",
    ),
    "last part left out": (
        "order",
        "for (int64_t part = 0; part < parts; ++part) {",
        "for (int64_t part = 0; part < (parts > 1 ? parts - 1 : 1); ++part) {",
    ),
    "coefficients of another row": (
        "derivative",
        "which * of_rows.plane + i]",
        "which * of_rows.plane + at.row]",
    ),
    "left out, with a derivative": (
        "derivative",
        "if (p.kept) {",
        "if (p.kept || !p.positive) {",
    ),
    "derivatives without the scale": (
        "derivative",
        "d[v] *= view.scale;",
        "",
    ),
}
# What half precision alone has.
LINE_PLANTS = {
    "smallest score of a falling line": (
        "got",
        "!a.row_terms && factor >= 0;",
        "!a.row_terms;",
    ),
    "line without the terms": (
        "got",
        "is_line = !a.row_terms && factor",
        "is_line = factor",
    ),
    "line without the summand": (
        "got",
        "return summand - max * kLog2E;",
        "return -max * kLog2E;",
    ),
    "the neighbour's column": (
        "sums of a column",
        "own[k] = s[p];",
        "own[k] = s[0];",
    ),
    "the neighbour's maximum": (
        "sums of a column",
        "part[p].add_line(view, own, s[p]);",
        "part[p].add_line(view, own, s[0]);",
    ),
}
# In a planted copy one loss is compiled, the one that a quick run takes.
ONE_LOSS = ("FASTLOSS_SIMILARITY_LOSSES(FASTLOSS_RUN)", 'FASTLOSS_RUN(info_nce, InfoNce, "")')

AROUND_TILES_PLANTS = {
    "vectors off their alignment": (
        "off its alignment",
        "l.vectors = lies(a.tile, 16) &&",
        "l.vectors =",
    ),
    "a block's own divisor": (
        "total",
        "for (int64_t b = thread(); b < blocks(); b += kAnchorThreads) total",
        "for (int64_t b = thread(); b < 1; b += kAnchorThreads) total",
    ),
    "the first warp's length": (
        "length",
        "for (int w = 0; w < threads / 32; ++w) total",
        "for (int w = 0; w < 1; ++w) total",
    ),
    "last stripe left out": (
        "order",
        "for (int64_t s = 0; s < l.stripes; ++s) sum",
        "for (int64_t s = 0; s < l.stripes - 1; ++s) sum",
    ),
}

MINING_PLANTS = {
    "missing barrier": (
        "got",
        "    block_barrier();  // slopes are from other threads\n",
        "",
    ),
    "the last of several": (
        "derivative",
        "return (int64_t)-block_maximum(-at, scratch);\n  }\n  // The first positive",
        "return (int64_t)block_maximum(at, scratch);\n  }\n  // The first positive",
    ),
    "first positive alone": (
        "got",
        "for (; j < a.columns; j += kMineThreads) {\n      const int64_t own",
        "for (; j < 1; j += kMineThreads) {\n      const int64_t own",
    ),
}

# In block.h, which the kernels of all families share.
BLOCK_PLANTS = {
    "one block's sum over another's": (
        "sums not written",
        "store_one(sums + block(), loss);",
        "if (block() != 1) store_one(sums + block(), loss);",
    ),
    "missing barrier": (
        "sum",
        "scratch[thread() / 32] = v;\n  block_barrier();",
        "scratch[thread() / 32] = v;",
    ),
    "barrier that some threads skip": (
        "barrier",
        "scratch[thread() / 32] = v;\n  block_barrier();",
        "scratch[thread() / 32] = v;\n  if (thread() < 64) block_barrier();",
    ),
    "wrong shuffle mask": (
        "mask leaves",
        "v += shuffle_xor(v, k);",
        "v += shuffle_xor(v, k, 0xffffu);",
    ),
    "shuffle that stops short": (
        "sum",
        "for (int k = 16; k > 0; k /= 2)",
        "for (int k = 8; k > 0; k /= 2)",
    ),
}


# In stored.h, which reads and writes tensors of several types.
STORED_PLANTS = {
    "another type's code": (
        "got",
        "return each(BFloat16{});",
        "return each(Half{});",
    ),
    "gradient of another type": (
        "got",
        "store_one((BFloat16*)data + at, narrow<BFloat16>((float)value));",
        "store_one((Half*)data + at, narrow<Half>((float)value));",
    ),
    "bytes of a bool": (
        "got",
        "return (T)(stored.byte != 0);",
        "return (T)stored.byte;",
    ),
    "int64 without room": (
        "got",
        "return sizeof(T) == 4 && type == Element::i64;",
        "return false;",
    ),
    "signed bytes without a sign": (
        "got",
        "return each(int8_t{});",
        "return each(uint8_t{});",
    ),
    "half of an element": (
        "got",
        "bits = ((const uint16_t*)data)[at];",
        "bits = ((const uint8_t*)data)[2 * at];",
    ),
}

PLANTS = None if os.environ.get("FASTLOSS_EVERY_PLANT") else 3  # of each table


def run(command, **variables):
    environment = {**os.environ, **ENVIRONMENT, **variables}
    return subprocess.run([str(part) for part in command], check=False, text=True, capture_output=True, env=environment)


class Builder:
    """Compiles the drivers and the kernels; `link` makes a program from some of them."""

    def __init__(self, out):
        self.out, self.ptx = out, {}
        self.compiler = find_compiler()
        (flags,) = setup_constants("FLAGS")
        is_clang = "clang" in run([*self.compiler, "--version"]).stdout
        self.sanitize = ["-O1", *SANITIZE[1:]] if is_clang else ["-O1", *SANITIZE[1:], *GCC_ONLY]
        self.flags = [flag for flag in flags.split() if flag != "-O3"]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            # The drivers' own arithmetic goes without checks; their allocations are guarded all the same.
            jobs = [
                *(pool.submit(self.compile, HERE / f"{family[0]}.cpp", ["-O1"]) for family in FAMILIES),
                *(
                    pool.submit(self.compile, path, [*self.sanitize, *macros], name=name)
                    for name, (path, macros) in cuda_sources().items()
                ),
                pool.submit(self.compile, HERE / "emulation.cpp", ["-O2"]),
                pool.submit(self.compile, HERE / "ptx.cpp", ["-O2", "-fwrapv", "-march=native"]),
                pool.submit(self.compile, HERE / "count_driver.cpp", ["-O1"]),
            ]
            self.objects = {path.stem: path for path in (job.result() for job in jobs)}

    def compile(self, source, extra, first=(), name=None):
        target = self.out / f"{name or source.stem}.o"
        includes = [f"-I{path}" for path in (*first, HERE, CSRC)]
        command = [*self.compiler, *self.flags, *extra, *includes, "-x", "c++", "-c", source, "-o", target]
        done = run(command)
        assert done.returncode == 0, done.stderr
        return target

    def compile_ptx(self, name, first=(), planted=""):
        """What nvcc makes of a source, where `first` comes before csrc."""
        if (name, planted) not in self.ptx:
            source, macros = cuda_sources()[name]
            (flags,) = setup_constants("CUDA_FLAGS")
            includes = [f"-I{path}" for path in (*first, CSRC)]
            target = self.out / f"{name}{planted}.ptx"
            done = run([NVCC, *flags.split(), "-ptx", "-arch=sm_90", *includes, *macros, source, "-o", target])
            assert done.returncode == 0, done.stderr
            self.ptx[name, planted] = target
        return self.ptx[name, planted]

    def link(self, name, parts, runner="emulation", **replaced):
        program = self.out / name
        objects = [{**self.objects, **replaced}[part] for part in (*parts, "device_reduce", runner)]
        done = run([*self.compiler, *SANITIZE, *objects, "-o", program])
        assert done.returncode == 0, done.stderr
        return program

    def run_each_dtype(self, parts):
        """What the driver counted, by dtype."""
        program = self.link(parts[0], parts)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            results = dict(zip(DTYPES, pool.map(lambda dtype: run([program, dtype]), DTYPES), strict=True))
        for dtype, result in results.items():
            assert result.returncode == 0, f"{dtype}: {result.stderr[-4000:]}"
        return {
            dtype: {name: int(number) for name, number in map(str.split, result.stdout.splitlines())}
            for dtype, result in results.items()
        }

    def run_planted(self, parts, file, plants, source=None, slim=("", ""), dtype="float32"):
        """Each plant in a copy of ``file`` that the include path finds first, for ``dtype``, or in that of ``source``.

        A compilation each: the first few of a table, and all of them under `make asan`.
        """
        text = (CSRC / file).read_text().replace(*slim) if slim[0] else (CSRC / file).read_text()
        source = source or next(part for part in parts if part.endswith(f"_{DTYPES[dtype]}"))
        compiled, macros = cuda_sources()[source]

        def plant(item):
            name, (message, *changes) = item
            planted_text = text
            for old, new in zip(changes[::2], changes[1::2], strict=True):
                assert text.count(old) == 1, f"{name}: its place in {file} has changed"
                planted_text = planted_text.replace(old, new)
            slug = f"{file}_{name}".translate(str.maketrans("/. -,'", "______"))
            changed = self.out / f"{slug}_source"
            (changed / file).parent.mkdir(parents=True)
            (changed / file).write_text(planted_text)
            path = changed / file if CSRC / file == compiled else compiled
            planted = self.compile(path, [*self.sanitize, *macros], first=(changed,), name=f"{slug}_planted")
            return name, message, run([self.link(slug, parts, **{source: planted}), dtype, "quick"])

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for name, message, result in pool.map(plant, islice(plants.items(), PLANTS)):
                assert result.returncode != 0, f"{name}: went unnoticed"
                assert re.search(message, result.stderr), f"{name}: {result.stderr[-2000:]}"


@pytest.fixture(scope="module")
def builder(tmp_path_factory):
    if shutil.which(find_compiler()[0]) is None:
        pytest.skip("no C++ compiler")
    return Builder(tmp_path_factory.mktemp("emulation"))


def test_rows(builder):
    for dtype, counts in builder.run_each_dtype(ROWS).items():
        assert counts.pop("gradients") > 1_000_000
        missing = PATHS - counts.keys()
        assert missing == ({"columns_wide"} if dtype == "float64" else set()), f"{dtype}: paths that never ran"


def test_points(builder):
    for counts in builder.run_each_dtype(POINTS).values():
        assert counts["plain"] > 300
        assert counts["general"] > 500
        assert counts["mixed"] > 200
        assert counts["gradients"] > 500_000


def test_pairs(builder):
    kernels = {
        *(f"held{threads}" for threads in (2, 8, 32, 128, 256)),
        *(f"{how}{threads}" for how in ("elements", "mixed") for threads in (2, 32, 256)),
        "vectors256",
        "gradients",
    }
    for counts in builder.run_each_dtype(PAIRS).values():
        assert counts.keys() == kernels
        assert counts["gradients"] > 2_000_000


def test_similarity(builder):
    kernels = {
        f"{what}_{how}{warps}"
        for what in ("rows", "gradient")
        for how in ("vectors", "elements")
        for warps in (*"1248", "8_stripes")
    }
    for dtype, counts in builder.run_each_dtype(SIMILARITY).items():
        assert counts.pop("sums") > 50_000
        assert counts.pop("gradients") > 500_000
        mines = {"mine_shared", "mine_scratch"} if dtype in ("float32", "float64") else set()
        assert counts.keys() == kernels | mines | {"columns"}


def test_bugs_planted_in_rows(builder):
    builder.run_planted(ROWS, "engines/softmax/cuda.cu", ROWS_PLANTS)


def test_bugs_planted_in_points(builder):
    builder.run_planted(POINTS, "engines/elements/cuda.cu", POINTS_PLANTS)


def test_bugs_planted_in_pairs(builder):
    builder.run_planted(PAIRS, "engines/products/cuda.cu", PAIRS_PLANTS)


def test_bugs_planted_in_similarity(builder):
    builder.run_planted(SIMILARITY, "engines/similarity/cuda.cu", SIMILARITY_PLANTS, slim=ONE_LOSS)
    builder.run_planted(SIMILARITY, "engines/similarity/cuda.cu", LINE_PLANTS, slim=ONE_LOSS, dtype="bfloat16")
    builder.run_planted(SIMILARITY, "engines/similarity/anchors.cu", AROUND_TILES_PLANTS, source="similarity_anchors")
    builder.run_planted(SIMILARITY, "engines/similarity/mining.cu", MINING_PLANTS, source="similarity_mining")


def test_bugs_planted_in_block(builder):
    builder.run_planted(POINTS, "device/block.h", BLOCK_PLANTS)


def test_bugs_planted_in_stored(builder):
    builder.run_planted(PAIRS, "device/stored.h", STORED_PLANTS)


# --------------------------------------------------------------------------------------------------------------- PTX

EVERY = bool(os.environ.get("FASTLOSS_EVERY_PLANT"))
NVCC = find_nvcc()
needs_nvcc = pytest.mark.skipif(NVCC is None, reason="nvcc is not installed")

# In PTX: what the executor says, a pattern, what takes its place everywhere.
POINTS_PTX_PLANTS = {
    "no barriers": ("race|nobody wrote", r"bar\.sync\s+0;", ""),
    "vectors off their alignment": ("off its alignment", r"(ld\.global\.cs\.v4\.u32.*\[%rd\d+)\];", r"\1+2];"),
    "off-by-one tails": ("outside of|got|wrote", r"setp\.lt\.s32", "setp.le.s32"),
    "swapped halves": ("got", r"shl\.b32\s+(%r\d+), (%r\d+), 16;", r"and.b32 \1, \2, -65536;"),
    "shuffles that stop short": ("got|sum", r"mov\.u32\s+(%r\d+), 16;", r"mov.u32 \1, 8;"),
}
ROWS_PTX_PLANTS = {
    "release made relaxed": ("race", r"arrive\.release", "arrive.relaxed"),
    "no cluster barriers": ("race|may not|nobody wrote", r"barrier\.cluster\.[a-z.]+;", ""),
    "no block barriers": ("race|nobody wrote", r"bar\.sync\s+0;", ""),
    "vectors off their alignment": ("off its alignment", r"(st\.global\.wb\.v4\.u32 \[%rd\d+)\]", r"\1+8]"),
}
# In device/device.h.
DEVICE_PLANTS = {
    "swapped halves": ("got", "a = __uint_as_float(word << 16);\n    b =", "b = __uint_as_float(word << 16);\n    a ="),
    "halves narrowed the other way": ("got", "__floats2bfloat162_rn(a, b)", "__floats2bfloat162_rn(b, a)"),
    "release made relaxed": (
        "race",
        'void cluster_arrive() { asm volatile("barrier.cluster.arrive.release',
        'void cluster_arrive() { asm volatile("barrier.cluster.arrive.relaxed',
    ),
    "no barrier": ("race|nobody wrote", "__syncthreads();", ""),
}
# Instructions per element of bfloat16 and of float32, where these are more than 40 and 75; a box is eight numbers.
INSTRUCTIONS = {
    "squared_log_loss": (49, 75),
    "sigmoid_focal_loss": (43, 75),
    "binary_cross_entropy": (62, 101),
    "log_cosh_loss": (52, 93),
    "robust_loss": (45, 75),
    "asymmetric_loss": (108, 162),
    "box_iou_loss": (180, 192),
    "super_loss": (180, 253),
    "varifocal_loss": (52, 75),
    "quality_focal_loss": (41, 75),
    "gaussian_focal_loss": (42, 75),
    "balanced_l1_loss": (75, 105),
}


def ptx_of(parts, dtype):
    """The kernels that the driver of a family launches for a dtype: mixed types run in those of float32."""
    types = {"", DTYPES[dtype], "f32"}
    names = [name for name in (*parts, "device_reduce") if name in cuda_sources()]
    return [name for name in names if name.partition("cuda_")[2] in types]


def run_ptx(builder, parts, files, *words):
    program = builder.link(f"{parts[0]}_ptx", parts, "ptx")
    return run([program, *words], FASTLOSS_PTX=":".join(map(str, files)))


@needs_nvcc
@pytest.mark.parametrize("parts", FAMILIES if EVERY else [POINTS], ids=lambda parts: parts[0])
@pytest.mark.parametrize("dtype", DTYPES if EVERY else ["bfloat16"])
def test_ptx(builder, parts, dtype):
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        files = list(pool.map(builder.compile_ptx, ptx_of(parts, dtype)))
    result = run_ptx(builder, parts, files, dtype, *([] if EVERY else ["quick"]))
    assert result.returncode == 0, result.stderr[-4000:]
    assert int(re.search(r"gradients (\d+)", result.stdout)[1]) > 500_000


@needs_nvcc
@pytest.mark.parametrize(
    ("parts", "plants"),
    [(POINTS, POINTS_PTX_PLANTS), *([(ROWS, ROWS_PTX_PLANTS)] if EVERY else [])],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_bugs_planted_in_ptx(builder, parts, plants):
    files = [builder.compile_ptx(name) for name in ptx_of(parts, "bfloat16")]
    for name, (message, pattern, replacement) in plants.items():
        planted = []
        for file in files:
            text, changes = re.subn(pattern, replacement, file.read_text())
            planted.append(builder.out / f"planted_{file.name}")
            planted[-1].write_text(text)
            assert changes or "bf16" not in file.name, f"{name}: its place has changed"
        result = run_ptx(builder, parts, planted, "bfloat16", "quick")
        assert result.returncode != 0, f"{name}: went unnoticed"
        assert re.search(message, result.stderr), f"{name}: {result.stderr[-2000:]}"


@needs_nvcc
@pytest.mark.skipif(not EVERY, reason="half a minute a plant: `make asan` runs them")
@pytest.mark.parametrize("name", DEVICE_PLANTS)
def test_bugs_planted_in_device(builder, name):
    message, old, new = DEVICE_PLANTS[name]
    text = (CSRC / "device/device.h").read_text()
    assert text.count(old) == 1, f"{name}: its place has changed"
    changed = builder.out / f"device_{name.replace(' ', '_')}"
    (changed / "device").mkdir(parents=True)
    (changed / "device/device.h").write_text(text.replace(old, new))
    files = [
        builder.compile_ptx(part, (changed,), changed.name) if part.endswith("bf16") else builder.compile_ptx(part)
        for part in ptx_of(ROWS, "bfloat16")
    ]
    result = run_ptx(builder, ROWS, files, "bfloat16", "quick")
    assert result.returncode != 0, f"{name}: went unnoticed"
    assert re.search(message, result.stderr), f"{name}: {result.stderr[-2000:]}"


@needs_nvcc
def test_instructions(builder):
    """What a multiprocessor must issue for an element: half precision and float leave it 40 and 80."""
    words = {"giou": 1, "xyxy": 0, inspect.Parameter.empty: 1}  # what has no default is 1
    losses = re.search(r"FASTLOSS_POINTWISE_LOSSES\(X\)(.*?)\n\n", (CSRC / "losses/losses.h").read_text(), re.DOTALL)[1]
    defaults = []
    for name, names in re.findall(r'X\((\w+), \w+, "([^"]*)"\)', losses):
        function = getattr(fastloss.functional, name, None)
        values = [inspect.signature(function).parameters[p].default for p in filter(None, names.split(","))]
        defaults.append(",".join(str(float(words.get(value, value))) for value in values))
    above = {}
    for at, dtype in enumerate(("bfloat16", "float32")):
        file = builder.compile_ptx(f"elements_cuda_{DTYPES[dtype]}")
        result = run_ptx(builder, ("count_driver", *POINTS[1:], *ROWS[1:]), [file], dtype, "points", ";".join(defaults))
        assert result.returncode == 0, result.stderr
        counts = {name: float(count) for name, count in map(str.split, result.stdout.splitlines())}
        assert len(counts) == len(defaults)
        above |= {(name, dtype): n for name, n in counts.items() if n > INSTRUCTIONS.get(name, (40, 75))[at]}
    assert not above
