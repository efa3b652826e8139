#!/usr/bin/env bash
# Everything that only a GPU can say, in one run of BUDGET (default 530) seconds that cannot be lost:
#
#     benchmarks/gpu_check.sh OUT_DIR
#
# In the order of what it is worth: each kernel once, in a process of its own; fastloss.selftest; the kernels without torch,
# plain and under compute-sanitizer; the tests of the device; ncu; rates of every plan; the benchmarks against eager,
# torch.compile and every peer that imports. A step that fails, or a tool that is missing, stops no other step. After each
# step OUT_DIR holds all there is: summary.txt (10,000 characters at most, which standard output repeats at the end),
# results.tar.gz (logs, JSON, tables). Nothing of the card's settings is changed. The exit status is 1 if anything is wrong.
#
# CARRIED (default build/gpu) is what benchmarks/gpu_prepare.sh made on another machine; what is not there, or does not
# load, is built here. Wheels in WHEELS (default .whl; Liger, say) are installed for this run.
# PYTHON (default python3) must have torch with CUDA, numpy, pytest and rich; to build also setuptools >= 77, ninja, pybind11.
# DRY=1 runs all of it without a GPU, as far as a CPU can stand for one: with the driver of the emulation as DRIVER.
set -u
if [ $# -ne 1 ]; then
  echo "usage: $0 OUT_DIR" >&2
  exit 2
fi
mkdir -p "$1"
OUT=$(cd "$1" && pwd)
cd "$(dirname "$0")/.." || exit 2
START=$(date +%s)
PYTHON=${PYTHON:-python3} BUDGET=${BUDGET:-530} DRY=${DRY:-} CARRIED=${CARRIED:-build/gpu} WHEELS=${WHEELS:-.whl}
DRIVER=${DRIVER:-$CARRIED/driver}
DEVICE=${DRY:+cpu} DEVICE=${DEVICE:-cuda}
WORK=$(mktemp -d)
STATUS=0

left() { echo $((BUDGET - ($(date +%s) - START))); }
have() { command -v "$1" > /dev/null 2>&1; }
say() { echo "$*" >> "$WORK/summary.txt"; }
save() {
  head -c 10000 "$WORK/summary.txt" > "$OUT/summary.txt"
  local part=$WORK.$BASHPID.tar.gz  # steps that run at once save at once
  tar -czf "$part" -C "$WORK" --exclude=site . 2> /dev/null
  mv "$part" "$OUT/results.tar.gz"
}
finish() {
  trap - EXIT
  save
  cat "$OUT/summary.txt"
  rm -rf "$WORK"
  exit $STATUS
}
trap finish EXIT
trap 'say "stopped by a signal"; STATUS=1; exit' INT TERM HUP

# step NAME SECONDS COMMAND...: runs it within its share of what is left, with its output in NAME.log. The summary gets its
# exit status and the last lines.
step() {
  local name=$1 seconds=$2 code=0 begun
  shift 2
  begun=$(date +%s)
  [ "$seconds" -lt "$(left)" ] || seconds=$(left)
  if [ "$seconds" -le 5 ]; then
    say "== $name: no time left"
    return 1
  fi
  # In the background and waited for, so that a signal ends this script at once; timeout then ends the step.
  timeout -s INT --kill-after=5 "$seconds" "$@" > "$WORK/$name.log" 2>&1 &
  wait $! || code=$?
  say "== $name: exit $code after $(($(date +%s) - begun)) s"
  tail -n "${LINES_SHOWN:-4}" "$WORK/$name.log" | cut -c1-160 | tail -c 700 >> "$WORK/summary.txt"
  save
  return $code
}
must() { step "$@" || STATUS=1; }

: > "$WORK/summary.txt"
{
  nvidia-smi
  nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.sm,clocks.mem,clocks.max.sm,clocks.max.mem,power.limit \
    --format=csv
} > "$WORK/hardware.txt" 2>&1
tail -n 1 "$WORK/hardware.txt" >> "$WORK/summary.txt"
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1 XDG_CACHE_HOME="$WORK/cache"

# What was carried, if it loads here; else a build for the card.
loads() {
  "$PYTHON" -c "import fastloss
from fastloss._core import operators as o
assert o.AVAILABLE, o.missing_reason()
assert o.CUDA or '$DEVICE' == 'cpu', o.missing_cuda_reason()" > "$WORK/loads.txt" 2>&1
}
if ! loads && [ -z "$DRY" ]; then
  cp "$CARRIED"/*.so fastloss/ 2> /dev/null
  if ! loads; then
    rm -f fastloss/_C.*.so fastloss/_C_cuda.so fastloss/libfastloss.so
    ARCH=$("$PYTHON" -c 'import torch; print("%d%d" % torch.cuda.get_device_capability())' 2>> "$WORK/loads.txt")
    must build 200 env FASTLOSS_CUDA=1 FASTLOSS_CUDA_ARCHS="$ARCH" "$PYTHON" setup.py build_ext --inplace
    loads || say "the kernels do not load: $(tail -n 1 "$WORK/loads.txt")"
  fi
fi
if [ -d "$WHEELS" ]; then
  step wheels 30 "$PYTHON" -m pip install -q --no-index --no-deps --no-compile --target "$WORK/site" "$WHEELS"/*.whl
  export PYTHONPATH="$PYTHONPATH:$WORK/site"
fi
if ! "$DRIVER" list > "$WORK/cases.txt" 2> "$WORK/driver.txt" && [ -z "$DRY" ]; then
  step driver 90 env CXX="${CXX:-g++}" TARGET="$PYTHON" benchmarks/gpu_prepare.sh "$WORK/gpu"
  DRIVER=$WORK/gpu/driver
  "$DRIVER" list > "$WORK/cases.txt" 2> "$WORK/driver.txt"
fi
"$PYTHON" -m fastloss > "$WORK/build_info.txt" 2>&1
grep "CUDA:" "$WORK/build_info.txt" >> "$WORK/summary.txt"

# A kernel that hangs or kills its context costs itself alone.
canary() {
  local failed
  # shellcheck disable=SC2016
  xargs -P 4 -I '{}' sh -c 'timeout -s INT --kill-after=2 15 "$0" run "$1" > "$2/canary.$$" 2>&1 || {
    echo "WRONG: $1 (exit $?)"; tail -n 2 "$2/canary.$$"; }; rm -f "$2/canary.$$"' "$DRIVER" '{}' "$WORK" < "$WORK/cases.txt"
  echo "each of $(wc -l < "$WORK/cases.txt") cases in a process of its own"
}
export -f canary
export DRIVER WORK
if [ -s "$WORK/cases.txt" ]; then
  CUDA_LAUNCH_BLOCKING=1 LINES_SHOWN=12 must canary 60 bash -c canary
  ! grep -q "^WRONG" "$WORK/canary.log" || STATUS=1
else
  say "the driver without torch does not start: $(tail -n 1 "$WORK/driver.txt")"
  STATUS=1
fi

LINES_SHOWN=8 must selftest 60 "$PYTHON" -m fastloss selftest --device "$DEVICE"

must driver_run 20 "$DRIVER" run
if have compute-sanitizer; then
  # All four at once: each waits for its own host most of the time.
  names=$(grep -E "/(bfloat16|float32)$" "$WORK/cases.txt" | tr '\n' ' ')
  jobs=()
  for tool in memcheck racecheck synccheck initcheck; do
    # shellcheck disable=SC2086
    step "sanitizer_$tool" 60 compute-sanitizer --tool $tool --kernel-regex kns=fastloss --error-exitcode 9 "$DRIVER" run $names &
    jobs+=($!)
  done
  for job in "${jobs[@]}"; do
    wait "$job"
    [ $? -ne 9 ] || STATUS=1
  done
else
  say "compute-sanitizer: not installed"
fi

# A warning of a new PyTorch fails no test here, and no other plugin of pytest has a say.
workers=()
! "$PYTHON" -c 'import xdist' > /dev/null 2>&1 || workers=(-p xdist -n 4)
export PYTEST_DISABLE_PLUGIN_AUTOLOAD=1
LINES_SHOWN=12 must tests 110 "$PYTHON" -m pytest -q --tb=short -W default -p no:cacheprovider "${workers[@]}" \
  -m "cuda and not slow" tests/test_cuda.py tests/test_selftest.py

if have ncu; then
  sections=()
  for name in SpeedOfLight WarpStateStats Occupancy LaunchStats MemoryWorkloadAnalysis; do sections+=(--section "$name"); done
  step ncu 60 ncu --clock-control none --kernel-name-base mangled --kernel-name regex:fastloss "${sections[@]}" "$DRIVER" profile
else
  say "ncu: not installed"
fi

LINES_SHOWN=1 step tune 60 "$DRIVER" tune "$([ -n "$DRY" ] && echo 0 || echo 50)"
grep -E "the plan|^copy" "$WORK/tune.log" 2> /dev/null | tail -n 24 | cut -c1-120 >> "$WORK/summary.txt"
save

bench() {
  local suite=$1 seconds=$2
  shift 2
  LINES_SHOWN=0 must "bench_$suite" "$seconds" "$PYTHON" -m benchmarks.harness --suite "$suite" --device "$DEVICE" --quiet "$@" \
    --json "$WORK/$suite.json" --markdown "$WORK/$suite.md"
  grep "^|" "$WORK/$suite.md" 2> /dev/null | cut -c1-140 | head -n 14 >> "$WORK/summary.txt"
  save
}
if [ -n "$DRY" ]; then
  bench small 30 --only 1x1 --seconds 0.02 --no-compile --no-errors --no-memory
else
  bench gpu 100 --seconds 1 --compile-seconds 40
  bench gpu_similarity 50 --seconds 1 --compile-seconds 25
  bench gpu_pointwise 50 --seconds 1 --compile-seconds 25
  bench gpu_pairs 50 --seconds 1 --compile-seconds 25
fi
