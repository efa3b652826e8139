#pragma once

// What the CUDA backends of the pointwise and the pairs family share: both have its operators and sums.

#include "cuda/pointwise.h"
#include "ops/cuda_call.h"
#include "ops/pointwise_call.h"

namespace fastloss::ops {

// Tells a launch of the divisor that is on the device; returns the one that the host knows, of a mean over `count` values.
inline double set_divisor(const PointInputs& in, int64_t count, cuda::DeviceFactor& launch) {
  if (in.reduction != kMean) return 1;
  if (!in.divisor) return (double)count;
  launch.divisor = (const double*)data_of(*in.divisor);
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

// Runs a planned forward and what sums its blocks: the loss, unless `loss` is null, and statistics, if they are wanted.
// `divisor` divides where there is none on the device.
template <class Launch, class Run>
Tensor run_forward(Launch& launch, const Device& device, const Tensor& input, const Tensor* loss, double divisor,
                   bool empty_zero, bool want_stats, const Run& run) {
  using torch::stable::new_empty;
  Tensor stats = new_empty(input, {want_stats ? cuda::kPointSums : 0}, ScalarType::Double);
  if (!loss && !want_stats) {
    run();
    return stats;
  }
  const int64_t planes = want_stats ? cuda::kPointSums : 1, parts = cuda::finish_blocks(launch.blocks);
  const Tensor scratch = new_empty(input, {planes * (launch.blocks + parts)}, ScalarType::Double);
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
  if (want_stats) l.stats = (double*)stats.mutable_data_ptr();
  check(cuda::run_finish_points(l, device.stream));
  return stats;
}

// The gradients again, over those that forward made: see op_rescale in rows_cuda.cpp.
template <class Backend, int id>
void op_rescale_points(const Tensor& grad_output, FASTLOSS_POINTWISE_TENSORS, FASTLOSS_POINTWISE_GRADIENTS) {
  STD_TORCH_CHECK(reduction != kNone, "fastloss: rescaling needs a reduction");
  PointGradients gradients = {pointer(grad_input), pointer(grad_target), pointer(grad_third)};
  check_upstream(grad_output, gradients);
  Backend::backward(id, grad_output, FASTLOSS_POINTWISE_INPUTS, gradients, true);
}

#define FASTLOSS_RESCALE_SCHEMA(m, name)                                                                            \
  m.def(#name "_rescale_(Tensor grad_output, " FASTLOSS_POINTWISE_SCHEMA_TENSORS ", " FASTLOSS_POINTWISE_SCHEMA_OUT \
              ") -> ()");

#define FASTLOSS_IMPLEMENT_POINTWISE_CUDA(m, Backend, name) \
  FASTLOSS_IMPLEMENT_POINTWISE(m, Backend, name)            \
  m.impl(#name "_rescale_", TORCH_BOX((&op_rescale_points<Backend, k_##name>)));

}  // namespace fastloss::ops
