#!/usr/bin/env bash
# Builds what benchmarks/gpu_check.sh can carry to a machine with a GPU, where every minute counts:
#
#     benchmarks/gpu_prepare.sh [FOLDER]        (default: build/gpu)
#
# FOLDER then holds the library of the CUDA kernels, the driver without torch (gpu/driver.cpp), and the extension for the
# Python of that machine, TARGET (default: python3.12), whose headers must be here; torch need not be.
#
# ARCHS (default 90) are the compute capabilities. PYTHON (default python3) must have torch, setuptools, ninja, pybind11.
set -eu
cd "$(dirname "$0")/.."
FOLDER=${1:-build/gpu} PYTHON=${PYTHON:-python3} TARGET=${TARGET:-python3.12} ARCHS=${ARCHS:-90} CXX=${CXX:-g++}
mkdir -p "$FOLDER"
FASTLOSS_CUDA=1 FASTLOSS_CUDA_ARCHS="$ARCHS" "$PYTHON" setup.py --quiet build_ext --inplace
cp fastloss/_C_cuda.so fastloss/libfastloss.so "$FOLDER/"

BUILD=$("$PYTHON" -c 'import sysconfig; print(f"build/{sysconfig.get_platform()}")')
# From the commands of the build: those that compile module.cpp and link, with another Python in the place of this one's.
commands() { "$PYTHON" -m ninja -C "$BUILD" -t commands | grep -- "$1"; }
HERE=$("$PYTHON" -c 'import sysconfig; print(sysconfig.get_paths()["include"])')
THERE=$("$TARGET" -c 'import sysconfig; print(sysconfig.get_paths()["include"])')
SUFFIX=$("$TARGET" -c 'import sysconfig; print(sysconfig.get_config_var("EXT_SUFFIX"))')
OUT=$(cd "$FOLDER" && pwd)
COMPILE=$(commands 'csrc/module\.cpp' | sed -E -e "s|$HERE|$THERE|g" -e "s|-o module[^ ]*\.o|-o '$OUT/module.o'|" -e 's|-MMD -MF [^ ]+||')
LINK=$(commands '/_C\.[^ ]*so' | sed -E -e "s| module[^ ]*\.o | '$OUT/module.o' |" -e "s|-o [^ ]+|-o '$OUT/_C$SUFFIX'|")
(
  cd "$BUILD"
  eval "$COMPILE"
  eval "$LINK"
)
rm "$OUT/module.o"

# The driver: kernels and the runtime, and no torch.
TOOLKIT=$(nvcc --dryrun -E x.cu 2>&1 | sed -n 's/^#\$ TOP=//p')
OBJECTS=$("$PYTHON" -m ninja -C "$BUILD" -t targets rule nvcc | sed "s|^|$BUILD/|")
# shellcheck disable=SC2086
"$CXX" -O2 -std=c++17 -Itests -Icsrc -isystem "$TOOLKIT/include" benchmarks/gpu/driver.cpp $OBJECTS -o "$OUT/driver" \
  "-L$TOOLKIT/lib64" "-L$TOOLKIT/lib" -lcudart_static -ldl -lrt -lpthread
ls -l "$FOLDER"
