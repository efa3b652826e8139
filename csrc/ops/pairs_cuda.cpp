// Operators of the pairs family for CUDA tensors: allocation, the current stream. Kernels are in cuda/.

#include "cuda/pairs.h"
#include "ops/pairs_call.h"
#include "ops/point_cuda.h"

namespace fastloss::ops {
namespace {

using torch::stable::new_empty;

// The views of a call and what the device knows of its factor.
struct Problem {
  const Device device;
  PairViews views;
  cuda::PairLaunch launch{};
  const DType dtype;
  const double divisor;  // where there is none on the device

  Problem(int id, const PointInputs& in, PointGradients const& gradients)
      : device(in.input),
        views(id, in, gradients),
        dtype(dtype_of(in.input)),
        divisor(set_divisor(in, views.args.rows, launch)) {
    views.args.scale = 1 / divisor;
  }

  void plan() {
    launch.args = views.args;
    cuda::plan_pairs(dtype, launch);
  }
  void run(int id) { check(cuda::run_pairs(id, dtype, launch, device.stream)); }
};

// Backend of PointwiseOperators.
struct CudaPairs : CudaMemory {
  static std::tuple<Tensor, Tensor> forward(int id, const PointInputs& in, bool empty_zero, int64_t loss_dtype,
                                            bool want_stats, PointGradients const& gradients) {
    Problem problem(id, in, gradients);
    PairViews& views = problem.views;
    const bool reduced = in.reduction != kNone;
    const ScalarType wanted = dtype_of_code("loss_dtype", loss_dtype);
    Tensor loss = reduced ? new_empty(in.input, {}, wanted) : new_empty(in.input, row_shape(in.input), views.compute);
    if (!reduced) views.args.loss = loss.mutable_data_ptr();
    views.args.want_stats = want_stats;
    problem.plan();
    Tensor stats = run_forward(problem.launch, problem.device, in.input, reduced ? &loss : nullptr, problem.divisor,
                               empty_zero, want_stats, [&] { problem.run(id); });
    if (!reduced && views.compute != wanted) loss = torch::stable::to(loss, wanted);
    return {loss, stats};
  }

  static void backward(int id, const Tensor& grad_output, const PointInputs& in, PointGradients const& gradients,
                       bool unless_one = false) {
    Problem problem(id, in, gradients);
    PairViews& views = problem.views;
    if (in.reduction == kNone) {
      views.args.upstream = views.per_row(grad_output, "grad_output", views.compute);
    } else {
      set_upstream(grad_output, in.input, unless_one, problem.launch);
    }
    problem.plan();
    problem.run(id);
  }
};

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(fastloss, m){
#define FASTLOSS_SCHEMA(name, Functor, params) FASTLOSS_RESCALE_SCHEMA(m, name)
    FASTLOSS_PAIRS_LOSSES(FASTLOSS_SCHEMA)
#undef FASTLOSS_SCHEMA
}

STABLE_TORCH_LIBRARY_IMPL(fastloss, CUDA, m) {
#define FASTLOSS_IMPLEMENT(name, Functor, params) FASTLOSS_IMPLEMENT_POINTWISE_CUDA(m, CudaPairs, name)
  FASTLOSS_PAIRS_LOSSES(FASTLOSS_IMPLEMENT)
#undef FASTLOSS_IMPLEMENT
}

}  // namespace fastloss::ops
