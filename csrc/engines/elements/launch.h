#pragma once

// What the CUDA backends of the elements and products engines share: both have its operators and sums.

#include "engines/elements/cuda.h"
#include "torch/cuda_call.h"
#include "engines/elements/call.h"

namespace fastloss::ops {

// Tells a launch of the divisor that is on the device; returns the one that the host knows, of a mean over `count` values.
inline double set_divisor(const Call& call, int64_t count, cuda::DeviceFactor& launch) {
  if (call.reduction != kMean) return 1;
  if (!call.divisor) return (double)count;
  launch.divisor = (const double*)data_of(*call.divisor);
  return 1;
}

// Likewise of the upstream gradient of a reduced loss.
inline void set_upstream(const Tensor& upstream, const Tensor& input, bool unless_one, cuda::DeviceFactor& launch) {
  STD_TORCH_CHECK(upstream.numel() == 1 && upstream.is_cuda() && same_device(upstream, input),
                  "fastloss: expected one upstream gradient on the device of input");
  launch.upstream = data_of(upstream);
  launch.upstream_dtype = dtype_of(upstream);
  launch.unless_one = unless_one;
}

// Runs a planned forward and what sums its blocks: the loss and the statistics, unless they are null. `divisor` divides where
// there is none on the device.
template <class Launch, class Run>
void run_forward(Launch& launch, const Device& device, const Tensor& input, const Tensor* loss, double divisor,
                 bool empty_zero, double* stats, const Run& run) {
  if (!loss && !stats) return run();
  const int64_t planes = stats ? kPointStats : 1, parts = cuda::finish_blocks(launch.blocks);
  const Tensor scratch = torch::stable::new_empty(input, {planes * (launch.blocks + parts)}, ScalarType::Double);
  launch.sums = (double*)scratch.mutable_data_ptr();
  run();
  cuda::PointFinish l{};
  l.sums = launch.sums;
  l.blocks = launch.blocks;
  l.parts = launch.sums + planes * launch.blocks;
  l.divisor = launch.divisor;
  l.count = divisor;
  l.empty_zero = empty_zero;
  if (loss) {
    l.loss = loss->mutable_data_ptr();
    l.dtype = dtype_of(*loss);
  }
  l.stats = stats;
  check(cuda::run_finish_points(l, device.stream));
}

}  // namespace fastloss::ops
