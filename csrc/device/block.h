#pragma once

// What several kernels need: a block's sum, scalars of any dtype, and the elements and products engines' factor and sums.

#include "engines/softmax/args.h"
#include "device/device.h"
#include "engines/elements/cuda.h"

namespace fastloss::cuda {
namespace {

// Sum of `v` over the block in a fixed order, in every thread. `scratch`: one double per warp, not in use.
template <int threads>
FASTLOSS_DEVICE double block_sum(double v, double* scratch) {
  FASTLOSS_UNROLL
  for (int k = 16; k > 0; k /= 2) v += shuffle_xor(v, k);
  block_barrier();  // scratch may still be read from the sum before
  if (thread() % 32 == 0) scratch[thread() / 32] = v;
  block_barrier();
  double total = 0;
  for (int w = 0; w < threads / 32; ++w) total += scratch[w];
  return total;
}

FASTLOSS_DEVICE void write_scalar(void* to, DType dtype, double value) {
  switch (dtype) {
    case DType::f32:
      *(float*)to = (float)value;
      break;
    case DType::f64:
      *(double*)to = value;
      break;
    case DType::bf16:
      *(BFloat16*)to = narrow<BFloat16>((float)value);
      break;
    default:
      *(Half*)to = narrow<Half>((float)value);
  }
}

FASTLOSS_DEVICE double read_scalar(const void* from, DType dtype) {
  switch (dtype) {
    case DType::f32:
      return *(const float*)from;
    case DType::f64:
      return *(const double*)from;
    case DType::bf16:
      return widen(*(const BFloat16*)from);
    default:
      return widen(*(const Half*)from);
  }
}

// The factor of every gradient; false if there is nothing to do.
FASTLOSS_DEVICE bool find_factor(const DeviceFactor& l, double scale, double& factor) {
  factor = l.divisor ? scale / *l.divisor : scale;
  if (!l.upstream) return true;
  const double upstream = read_scalar(l.upstream, l.upstream_dtype);
  factor *= upstream;
  return !(l.unless_one && upstream == 1);
}

// What a block adds up to, for run_finish_points. Nothing if `sums` is null.
template <int threads>
FASTLOSS_DEVICE void write_sums(double* sums, bool want_stats, double loss, double square) {
  if (!sums) return;
  double* const scratch = (double*)shared_memory();
  loss = block_sum<threads>(loss, scratch);
  if (thread() == 0) store_one(sums + block(), loss);
  if (!want_stats) return;
  square = block_sum<threads>(square, scratch);
  if (thread() == 0) store_one(sums + blocks() + block(), square);
}

}  // namespace
}  // namespace fastloss::cuda
