// How many threads share a row of vectors: Note [Rows of vectors] in cuda.cu. Ordinary host code; the numbers in it are
// reasoned, not yet tuned on hardware.

#include "engines/products/cuda.h"

namespace fastloss::cuda {
namespace {

// Rows off 16 bytes: from how many elements on a row has the next larger group.
constexpr int64_t kPairWidth = 2 * kPairElements;
constexpr int64_t kWarpWidth = 1024;

}  // namespace

void plan_pairs(DType dtype, PairLaunch& l) {
  const PairArgs& a = l.args;
  const int64_t size = dtype == DType::f64 ? 8 : dtype == DType::f32 ? 4 : 2, lanes = 16 / size;
  l.vectors = !l.mixed && a.width % lanes == 0;
  const auto see = [&](const PairView& v) {
    if (!v.data) return;
    l.vectors = l.vectors && (uintptr_t)v.data % 16 == 0 && (a.rows == 1 || v.row_stride % lanes == 0);
  };
  for (int k = 0; k < kMaxOperands; ++k) see(a.operand[k]), see(a.gradient[k]);
  l.held = false;
  if (l.vectors) {
    for (const int group : kPairGroups) {
      l.group = group;
      l.held = a.width <= group * kPairVectors * lanes;
      if (l.held) break;
    }
  } else {
    l.group = a.width <= kPairWidth ? 2 : a.width <= kWarpWidth ? 32 : 256;
  }
  const int64_t rows = pair_threads(l.group) / l.group;
  l.blocks = (a.rows + rows - 1) / rows;
}

int run_pairs(int loss, DType dtype, const PairLaunch& launch, void* stream) {
  return with_dtype(dtype, [&](auto d) { return run_pairs<decltype(d)::value>(loss, launch, stream); });
}

}  // namespace fastloss::cuda
