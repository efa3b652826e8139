// Operators of the pointwise family for CUDA tensors: allocation, the current stream. Kernels are in cuda/.

#include "ops/point_cuda.h"

namespace fastloss::ops {
namespace {

using cuda::PointLaunch;
using torch::stable::new_empty;

// The views of a call and what the device knows of its factor.
struct Problem {
  const Device device;
  PointViews views;
  PointLaunch launch{};
  const DType dtype;
  const double divisor;  // where there is none on the device

  Problem(int id, const PointInputs& in, PointGradients const& gradients)
      : device(in.input),
        views(id, in, gradients),
        dtype(dtype_of(in.input)),
        divisor(set_divisor(in, in.input.numel(), launch)) {
    views.args.scale = 1 / divisor;
  }

  void plan() {
    views.finish();
    launch.args = views.args;
    cuda::plan_points(dtype, launch);
  }
  void run(int id) { check(cuda::run_points(id, dtype, launch, device.stream)); }
};

// Memory for the loss of each element, with input's strides.
Tensor unreduced_loss(const Tensor& input, ScalarType type) {
  if (type == input.scalar_type()) return torch::stable::empty_like(input);
  if (!input.is_contiguous()) return torch::stable::to(torch::stable::empty_like(input), type);
  std::vector<int64_t> sizes;
  for (int64_t d = 0; d < input.dim(); ++d) sizes.push_back(input.size(d));
  return new_empty(input, sizes, type);
}

// Backend of PointwiseOperators.
struct Cuda : CudaMemory {
  static std::tuple<Tensor, Tensor> forward(int id, const PointInputs& in, bool empty_zero, int64_t loss_dtype,
                                            bool want_stats, PointGradients const& gradients) {
    Problem problem(id, in, gradients);
    PointArgs& args = problem.views.args;
    const bool reduced = in.reduction != kNone;
    const ScalarType wanted = dtype_of_code("loss_dtype", loss_dtype), type = loss_type(in.input, wanted);
    Tensor loss = reduced ? new_empty(in.input, {}, wanted) : unreduced_loss(in.input, type);
    if (!reduced) problem.views.add_wide(args.loss, loss, "loss");
    args.want_stats = want_stats;
    problem.plan();
    Tensor stats = run_forward(problem.launch, problem.device, in.input, reduced ? &loss : nullptr, problem.divisor,
                               empty_zero, want_stats, [&] { problem.run(id); });
    if (!reduced && type != wanted) loss = torch::stable::to(loss, wanted);
    return {loss, stats};
  }

  static void backward(int id, const Tensor& grad_output, const PointInputs& in, PointGradients const& gradients,
                       bool unless_one = false) {
    Problem problem(id, in, gradients);
    Tensor upstream = grad_output;
    if (in.reduction == kNone) {
      const ScalarType type = loss_type(in.input, upstream.scalar_type());
      if (upstream.scalar_type() != type) upstream = torch::stable::to(upstream, type);
      problem.views.add_wide(problem.views.args.upstream, upstream, "grad_output");
    } else {
      set_upstream(upstream, in.input, unless_one, problem.launch);
    }
    problem.plan();
    problem.run(id);
  }
};

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(fastloss, m){
#define FASTLOSS_SCHEMA(name, Functor, params) FASTLOSS_RESCALE_SCHEMA(m, name)
    FASTLOSS_POINTWISE_LOSSES(FASTLOSS_SCHEMA)
#undef FASTLOSS_SCHEMA
}

STABLE_TORCH_LIBRARY_IMPL(fastloss, CUDA, m) {
#define FASTLOSS_IMPLEMENT(name, Functor, params) FASTLOSS_IMPLEMENT_POINTWISE_CUDA(m, Cuda, name)
  FASTLOSS_POINTWISE_LOSSES(FASTLOSS_IMPLEMENT)
#undef FASTLOSS_IMPLEMENT
}

}  // namespace fastloss::ops
