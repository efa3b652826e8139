#pragma once

// What the CPU backends of the elements and products engines share: both have its operators and sums.

#include "engines/elements/call.h"

namespace fastloss::ops {

// Elements per task (of pairs: whole rows, about): the unit of summation, so the numbers depend on the shape alone. A
// multiple of the pointwise kernel's block.
constexpr int64_t kTaskElements = 4 * 1024;

// Runs a kernel over the tasks and adds up what they sum to, in their order.
template <class Args, class Kernel>
PointSums run_tasks(Args& args, int64_t elements, int64_t tasks, const Kernel& kernel) {
  PointSums total{};
  std::vector<PointSums> sums;
  if (tasks > 1) sums.resize(tasks);
  args.sums = tasks > 1 ? sums.data() : &total;
  parallel(elements, tasks, kernel);
  for (const PointSums& part : sums) {
    total.loss += part.loss;
    total.gradient_square += part.gradient_square;
    total.outside = total.outside || part.outside;
  }
  return total;
}

// The divisor of a mean over `count` values, 1 for other reductions.
inline double divisor_of(const Call& call, int64_t count) {
  if (call.reduction != kMean) return 1;
  return call.divisor ? *(const double*)data_of(*call.divisor) : (double)count;
}

// The upstream gradient of a reduced loss.
inline double upstream_of(const Tensor& grad_output) {
  STD_TORCH_CHECK(grad_output.numel() == 1, "fastloss: expected one upstream gradient, got ", grad_output.numel());
  return *(const double*)as_compute(grad_output, ScalarType::Double).const_data_ptr();
}

inline void write_stats(const PointSums& sums, double* stats) {
  if (stats) stats[0] = sums.loss, stats[1] = sums.gradient_square;
}

}  // namespace fastloss::ops
