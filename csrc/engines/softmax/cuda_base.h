#pragma once

// What all kernels over rows of logits share: where a row lies, what the formulas make of a logit, and sums.

#include "core/math.h"
#include "device/device.h"
#include "engines/softmax/logits.h"

namespace fastloss::cuda {
namespace {

template <class T>
FASTLOSS_FN constexpr T infinity() {
  return (T)__builtin_inff();
}
FASTLOSS_FN constexpr double not_a_number() { return (double)__builtin_nanf(""); }

FASTLOSS_DEVICE int64_t offset_of(const RowsArgs& a, const RowsView& view, int64_t row) {
  int64_t offset = 0;
  FASTLOSS_UNROLL_BY(1)
  for (int d = a.dims - 1; d > 0; --d) {
    offset += row % a.size[d] * view.row_stride[d];
    row /= a.size[d];
  }
  return offset + row * view.row_stride[0];
}

template <class T>
FASTLOSS_DEVICE T logit(const RowsArgs& a, T x) {
  T slope;
  return logit<T>(a, x, slope);
}

// A sum with its rounding errors kept apart (Dekker's fast two-sum). A peaked softmax adds many small terms to one
// near 1; plain sums would cost half an ULP of it each time.
template <class T>
struct Sum {
  T high = 0, low = 0;
  FASTLOSS_DEVICE void add(T v) {
    const T next = high + v;
    low += v - (next - high);
    high = next;
  }
  FASTLOSS_DEVICE void scale(T f) {
    high = f == 0 && high - high == 0 ? (T)0 : high * f;
    low *= f;
  }
  FASTLOSS_DEVICE double total() const {
    return high - high == 0 ? (double)high + (double)low : (double)high;  // an infinite sum has left NaN in its rest
  }
};

}  // namespace
}  // namespace fastloss::cuda
