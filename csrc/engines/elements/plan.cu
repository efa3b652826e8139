// How a problem of elements is cut into blocks: Note [Points] in cuda.cu. Ordinary host code; the numbers in it are
// reasoned, not yet tuned on hardware.

#include "engines/elements/cuda.h"

namespace fastloss::cuda {
namespace {

constexpr int64_t kManyBlocks = 2048;  // several for each place on the largest GPU of today
constexpr int64_t kMostTiles = 8;

}  // namespace

void plan_points(DType dtype, PointLaunch& l) {
  const PointArgs& a = l.args;
  l.flat = true;
  bool aligned = true;
  const auto see = [&](const PointView& v) {
    if (!v.data) return;
    l.flat = l.flat && v.flat;
    aligned = aligned && (uintptr_t)v.data % 16 == 0;
  };
  for (int k = 0; k < kMaxOperands; ++k) see(a.operand[k]), see(a.gradient[k]);
  see(a.weight), see(a.mask), see(a.upstream), see(a.loss);
  // What args.plain asks for, but that losses and upstream gradients per element are welcome.
  l.vectors = !l.mixed && aligned && l.flat && !a.weight.data && !a.mask.data && !a.want_stats;
  for (int k = 1; k < kMaxOperands; ++k) l.vectors = l.vectors && !a.gradient[k].data;
  const int size = dtype == DType::f64 ? 8 : dtype == DType::f32 ? 4 : 2;
  const int64_t tile = kPointThreads * (int64_t)(l.vectors ? kPlainVectors * plain_elements(size, a.components)
                                                           : general_elements(a.components));
  // A block for every tile until there are enough to fill any GPU; then longer ones, whose sums cost less.
  const int64_t tiles = a.elements / (tile * kManyBlocks);
  l.block_elements = (int)(tile * (tiles < 1 ? 1 : tiles < kMostTiles ? tiles : kMostTiles));
  l.blocks = (a.elements + l.block_elements - 1) / l.block_elements;
}

int run_points(int loss, DType dtype, const PointLaunch& launch, void* stream) {
  return with_dtype(dtype, [&](auto d) { return run_points<decltype(d)::value>(loss, launch, stream); });
}

}  // namespace fastloss::cuda
