// Operators of the pointwise family for CUDA tensors: allocation, the current stream. Kernels are in cuda/.

#include "cuda/pointwise.h"
#include "ops/cuda_call.h"
#include "ops/pointwise_call.h"

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

  Problem(int id, const PointInputs& in, PointGradients const& gradients)
      : device(in.input), views(id, in, gradients), dtype(dtype_of(in.input)) {
    const bool given = in.reduction == kMean && in.divisor;
    if (given) launch.divisor = (const double*)in.divisor->const_data_ptr();
    count = in.reduction == kMean && !given ? (double)in.input.numel() : 1;
    views.args.scale = 1 / count;
  }

  double count;  // divides where there is no divisor on the device

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
    const ScalarType wanted = (ScalarType)loss_dtype, type = loss_type(in.input, wanted);
    Tensor loss = reduced ? new_empty(in.input, {}, wanted) : unreduced_loss(in.input, type);
    Tensor stats = new_empty(in.input, {want_stats ? cuda::kPointSums : 0}, ScalarType::Double);
    if (!reduced) problem.views.add_wide(args.loss, loss, "loss");
    args.want_stats = want_stats;
    problem.plan();
    PointLaunch& launch = problem.launch;
    if (!reduced && !want_stats) {
      problem.run(id);
    } else {
      const int64_t planes = want_stats ? cuda::kPointSums : 1, parts = cuda::finish_blocks(launch.blocks);
      const Tensor scratch = new_empty(in.input, {planes * (launch.blocks + parts)}, ScalarType::Double);
      launch.sums = (double*)scratch.mutable_data_ptr();
      problem.run(id);
      cuda::PointFinish l{};
      l.sums = launch.sums;
      l.blocks = launch.blocks;
      l.parts = launch.sums + planes * launch.blocks;
      l.divisor = launch.divisor;
      l.count = problem.count;
      l.empty_zero = empty_zero;
      if (reduced) {
        l.loss = loss.mutable_data_ptr();
        l.dtype = dtype_of(loss);
      }
      if (want_stats) l.stats = (double*)stats.mutable_data_ptr();
      check(cuda::run_finish_points(l, problem.device.stream));
    }
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
      STD_TORCH_CHECK(
          upstream.numel() == 1 && upstream.is_cuda() && upstream.get_device_index() == in.input.get_device_index(),
          "fastloss: expected one upstream gradient on the device of input");
      problem.launch.upstream = upstream.const_data_ptr();
      problem.launch.upstream_dtype = dtype_of(upstream);
      problem.launch.unless_one = unless_one;
    }
    problem.plan();
    problem.run(id);
  }
};

// The gradients again, over those that forward made: see op_rescale in rows_cuda.cpp.
template <int id>
void op_rescale(const Tensor& grad_output, FASTLOSS_POINTWISE_TENSORS, FASTLOSS_POINTWISE_GRADIENTS) {
  STD_TORCH_CHECK(reduction != kNone, "fastloss: rescaling needs a reduction");
  Cuda::backward(id, grad_output, FASTLOSS_POINTWISE_INPUTS,
                 {pointer(grad_input), pointer(grad_target), pointer(grad_third)}, true);
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(fastloss, m) {
#define FASTLOSS_SCHEMA(name, Functor, params)                                                                     \
  m.def(#name                                                                                                      \
        "_rescale_(Tensor grad_output, Tensor input, Tensor target, Tensor? third, Tensor? weight, Tensor? mask, " \
        "Tensor? divisor, float[] params, int reduction, Tensor(a!)? grad_input, Tensor(b!)? grad_target, "        \
        "Tensor(c!)? grad_third) -> ()");
  FASTLOSS_POINTWISE_LOSSES(FASTLOSS_SCHEMA)
#undef FASTLOSS_SCHEMA
}

STABLE_TORCH_LIBRARY_IMPL(fastloss, CUDA, m) {
#define FASTLOSS_IMPLEMENT(name, Functor, params) \
  FASTLOSS_IMPLEMENT_POINTWISE(m, Cuda, name)     \
  m.impl(#name "_rescale_", TORCH_BOX(&op_rescale<k_##name>));
  FASTLOSS_POINTWISE_LOSSES(FASTLOSS_IMPLEMENT)
#undef FASTLOSS_IMPLEMENT
}

}  // namespace fastloss::ops
