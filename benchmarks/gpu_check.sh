#!/usr/bin/env bash
# Everything that only a GPU can say, in one call of ten minutes at most:
#
#     benchmarks/gpu_check.sh OUT_DIR
#
# Builds for the card, runs the CUDA tests and beside them compute-sanitizer on a short run, then alone the benchmark
# suites gpu, gpu_similarity, gpu_pointwise and gpu_pairs against eager, torch.compile and every peer that imports, and
# ncu for the bytes that DRAM really moved. Writes logs, JSON and tables to OUT_DIR, after every row of a suite, and a
# summary to standard output. A tool that is missing or refuses the device is reported and skipped; a failed test or
# row makes the exit status 1. Nothing of the card's settings is changed.
#
# PYTHON (default python3) must have torch with CUDA, setuptools >= 77, ninja, pybind11, numpy, pytest and rich; pytest-xdist
# makes the tests faster. To a machine without network carry their wheels: `pip download rich` brings the wheels that rich
# needs (markdown-it-py, mdurl, pygments).
set -u
if [ $# -ne 1 ]; then
  echo "usage: $0 OUT_DIR" >&2
  exit 2
fi
mkdir -p "$1"
OUT=$(cd "$1" && pwd)
cd "$(dirname "$0")/.." || exit 2
PYTHON=${PYTHON:-python3}
START=$(date +%s)
BUDGET=${BUDGET:-570}
STATUS=0

left() { echo $((BUDGET - ($(date +%s) - START))); }
have() { command -v "$1" > /dev/null 2>&1; }

# step NAME SECONDS COMMAND...: runs it within its share of what is left; its output goes to OUT_DIR/NAME.log.
step() {
  local name=$1 seconds=$2 code=0 begun
  shift 2
  begun=$(date +%s)
  [ "$seconds" -lt "$(left)" ] || seconds=$(left)
  if [ "$seconds" -le 5 ]; then
    echo "$name: no time left" | tee -a "$OUT/summary.txt"
    return 1
  fi
  timeout --kill-after=10 "$seconds" "$@" > "$OUT/$name.log" 2>&1 || code=$?
  echo "$name: exit $code after $(($(date +%s) - begun)) s" | tee -a "$OUT/summary.txt"
  return $code
}

: > "$OUT/summary.txt"
{
  nvidia-smi
  nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.sm,clocks.mem,clocks.max.sm,clocks.max.mem,power.limit \
    --format=csv
} > "$OUT/hardware.txt" 2>&1
ARCH=$("$PYTHON" -c 'import torch; print("%d%d" % torch.cuda.get_device_capability())' 2>> "$OUT/hardware.txt") || {
  echo "gpu_check: torch sees no CUDA device" | tee -a "$OUT/summary.txt" >&2
  exit 1
}

if ! "$PYTHON" -c 'import rich' 2>> "$OUT/hardware.txt"; then
  echo "gpu_check: $PYTHON has no rich, which the benchmarks need" | tee -a "$OUT/summary.txt" >&2
  exit 1
fi

if ! FASTLOSS_CUDA=1 FASTLOSS_CUDA_ARCHS="$ARCH" step build 200 "$PYTHON" setup.py build_ext --inplace; then
  tail -30 "$OUT/build.log"
  exit 1
fi
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
"$PYTHON" -m fastloss > "$OUT/build_info.txt" 2>&1
cat "$OUT/build_info.txt"
if ! grep -q "CUDA: yes" "$OUT/build_info.txt"; then
  echo "gpu_check: the CUDA kernels did not load" | tee -a "$OUT/summary.txt" >&2
  exit 1
fi

# Every path once, forward and backward, small enough for tools that slow a program a hundredfold.
cat > "$OUT/short.py" << 'PYTHON_END'
import torch
import fastloss

for shape in ((300, 19), (40, 80), (9, 1000), (5, 4096), (3, 16384), (2, 40000), (2, 21, 16, 16), (2, 21, 15, 17)):
    for dtype in (torch.float32, torch.bfloat16):
        x = torch.randn(shape, device="cuda", dtype=dtype, requires_grad=True)
        y = torch.randint(shape[1], shape[:1] + shape[2:], device="cuda")
        fastloss.functional.cross_entropy(x, y).backward()
        fastloss.functional.cross_entropy(x, y, label_smoothing=0.1, return_stats=True)[0].backward()
for n in (5, 70001):
    for dtype in (torch.float32, torch.bfloat16):
        x, y = (torch.rand(n, device="cuda", dtype=dtype) for _ in range(2))
        x.requires_grad_()
        fastloss.functional.huber_loss(x, y).backward()
        fastloss.functional.huber_loss(x[1:], y[1:], reduction="none").sum().backward()
        fastloss.functional.mse_loss(x, y, mask=y < 0.5, return_stats=True)[0].backward()
for shape in ((301, 3), (301, 16), (37, 100), (37, 512), (11, 2048), (5, 4096), (5, 4099), (3, 20000)):
    for dtype in (torch.float32, torch.bfloat16):
        x, y, z = (torch.randn(shape, device="cuda", dtype=dtype, requires_grad=True) for _ in range(3))
        label = torch.ones(len(x), device="cuda", dtype=dtype)
        fastloss.functional.cosine_embedding_loss(x, y, label).backward()
        fastloss.functional.triplet_margin_loss(x, y, z, reduction="none").sum().backward()
        fastloss.functional.triplet_margin_loss(x, y, z, mask=label > 0, return_stats=True)[0].backward()
for n, width in ((301, 24), (64, 7), (40, 5000)):
    for dtype in (torch.float32, torch.bfloat16):
        x, y = (torch.randn(n, width, device="cuda", dtype=dtype, requires_grad=True) for _ in range(2))
        label = torch.arange(n, device="cuda") % 7
        fastloss.functional.clip_loss(x, y, torch.full((), 5.0, device="cuda"), normalize=True).backward()
        fastloss.functional.siglip_loss(x, y, 5.0, -1.0, reduction="none").sum().backward()
        fastloss.functional.supcon_loss(x, label).backward()
        fastloss.functional.mined_triplet_margin_loss(x, label, mining="semi_hard").backward()
torch.cuda.synchronize()
PYTHON_END

# What no clock watches, all at once. A warning of a new PyTorch fails no test here, and no other plugin of pytest has a
# say. Without PyTorch's cache of memory every tensor is an allocation of its own, whose ends memcheck knows.
workers=()
! "$PYTHON" -c 'import xdist' 2> /dev/null || workers=(-p xdist -n 4)
PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 step tests 150 "$PYTHON" -m pytest -q --tb=short -W default -p no:cacheprovider \
  "${workers[@]}" -m "cuda and not slow" \
  tests/test_cuda.py &
tests=$!
sanitizers=()
if have compute-sanitizer; then
  PYTORCH_NO_CUDA_MEMORY_CACHING=1 step sanitizer_memcheck 100 \
    compute-sanitizer --tool memcheck --error-exitcode 9 "$PYTHON" "$OUT/short.py" &
  sanitizers+=($!)
  step sanitizer_racecheck 100 compute-sanitizer --tool racecheck --error-exitcode 9 "$PYTHON" "$OUT/short.py" &
  sanitizers+=($!)
else
  echo "compute-sanitizer: not installed" | tee -a "$OUT/summary.txt"
fi
wait "$tests" || STATUS=1
tail -15 "$OUT/tests.log"
for job in "${sanitizers[@]}"; do
  wait "$job"
  [ $? -ne 9 ] || STATUS=1
done
[ ${#sanitizers[@]} -eq 0 ] || tail -n 3 "$OUT"/sanitizer_*.log

bench() {
  local suite=$1 seconds=$2
  shift 2
  if ! step "bench_$suite" "$seconds" "$PYTHON" -m benchmarks.harness --suite "$suite" --device cuda "$@" \
    --json "$OUT/$suite.json" --markdown "$OUT/$suite.md"; then
    STATUS=1
    tail -20 "$OUT/bench_$suite.log" 2> /dev/null
  fi
  [ ! -f "$OUT/$suite.md" ] || cat "$OUT/$suite.md"
}
bench gpu 230 --seconds 2 --compile-seconds 60
bench gpu_similarity 75 --seconds 1 --compile-seconds 25

# Bytes that DRAM moved in our kernels, next to those that they must.
cat > "$OUT/one.py" << 'PYTHON_END'
import torch
import fastloss

for shape, dtype in (((8192, 128256), torch.bfloat16), ((32768, 1000), torch.bfloat16)):
    x = torch.randn(shape, device="cuda", dtype=dtype, requires_grad=True)
    y = torch.randint(shape[1], shape[:1], device="cuda")
    fastloss.functional.cross_entropy(x, y).backward()
    print(shape, dtype, "must move", 2 * x.numel() * x.element_size(), "bytes")
for dtype in (torch.float32, torch.bfloat16):
    x, y = (torch.randn(100_000_000, device="cuda", dtype=dtype) for _ in range(2))
    fastloss.functional.huber_loss(x.requires_grad_(), y).backward()
    print(len(x), dtype, "must move", 3 * x.numel() * x.element_size(), "bytes")
for width in (64, 1024, 16384):
    x, y, z = (torch.randn(2**26 // width, width, device="cuda", dtype=torch.bfloat16) for _ in range(3))
    fastloss.functional.triplet_margin_loss(x.requires_grad_(), y, z).backward()
    print(tuple(x.shape), "triplet margin, must move", 4 * x.numel() * x.element_size(), "bytes")
x, y = (torch.nn.functional.normalize(torch.randn(32768, 1024, device="cuda")).bfloat16() for _ in range(2))
fastloss.functional.clip_loss(x.requires_grad_(), y.requires_grad_(), 20.0).backward()
print("clip 32768, tiles of", 2 * 2048 * 32768, "bytes: read by rows and columns, read and written by the gradient")
torch.cuda.synchronize()
PYTHON_END
if have ncu; then
  step ncu 60 ncu --clock-control none --kernel-name regex:'rows_by|points_|pairs_|similarity_' --metrics \
    dram__bytes_read.sum,dram__bytes_write.sum,gpu__time_duration.sum,sm__warps_active.avg.pct_of_peak_sustained_active \
    "$PYTHON" "$OUT/one.py"
  grep -E "must move|tiles of|rows_by|points_|pairs_|similarity_|dram__|gpu__time|sm__warps" "$OUT/ncu.log" | head -80
else
  echo "ncu: not installed" | tee -a "$OUT/summary.txt"
fi

bench gpu_pointwise 85 --seconds 1 --compile-seconds 30
bench gpu_pairs 85 --seconds 1 --compile-seconds 25

echo
cat "$OUT/summary.txt"
exit $STATUS
