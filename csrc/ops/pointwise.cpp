// Operators of the pointwise family: allocation, threads. Formulas and loops are in losses/ and cpu/.

#include "cpu/isa.h"
#include "ops/point_tasks.h"

namespace fastloss::ops {
namespace {

#define FASTLOSS_NAME(name, Functor, params) #name,
constexpr const char* kNames[] = {FASTLOSS_POINTWISE_LOSSES(FASTLOSS_NAME)};
#undef FASTLOSS_NAME

PointSums run(int id, PointViews& views) {
  PointArgs& args = views.args;
  views.finish();
  args.stream = args.elements * (int64_t)views.input.element_size() >= kStreamBytes;
  args.task_elements = kTaskElements;
  const Kernels& kernels = isa::kernels();
  const PointwiseKernel kernel = kernels.engine[(int)dtype_of(views.input)].pointwise;
  return run_tasks(args, args.elements, (args.elements + kTaskElements - 1) / kTaskElements,
                   [&](int64_t begin, int64_t end) { kernel(args, begin, end, kernels.pointwise[id]); });
}

// Backend of PointwiseOperators.
struct Cpu : CpuMemory {
  static std::tuple<Tensor, Tensor> forward(int id, const PointInputs& in, bool empty_zero, int64_t loss_dtype,
                                            bool want_stats, PointGradients const& gradients) {
    STD_TORCH_CHECK(in.input.is_cpu(), "fastloss: expected CPU tensors");
    PointViews views(id, in, gradients);
    PointArgs& args = views.args;
    const ScalarType wanted = dtype_of_code("loss_dtype", loss_dtype), type = loss_type(in.input, wanted);
    Tensor loss = in.reduction == kNone ? torch::stable::empty_like(in.input) : empty({}, wanted);
    if (in.reduction == kNone) {
      // empty_like keeps input's strides but has no dtype; the conversion of nothing costs little.
      if (type != in.input.scalar_type()) loss = torch::stable::to(loss, type);
      views.add_wide(args.loss, loss, "loss");
    }
    const double divisor = divisor_of(in, in.input.numel());
    args.scale = 1 / divisor;
    args.want_stats = want_stats;
    const PointSums sums = run(id, views);
    // fastloss/functional/pointwise.py has PyTorch say what is wrong where it reads "outside the domain".
    STD_TORCH_CHECK(!sums.outside, "an element is outside the domain of fastloss::", kNames[id]);
    if (in.reduction != kNone) {
      write_scalar(loss, empty_zero && divisor == 0 ? 0 : sums.loss / divisor);
    } else if (type != wanted) {
      loss = torch::stable::to(loss, wanted);
    }
    return {loss, stats_vector(sums, want_stats)};
  }

  static void backward(int id, const Tensor& grad_output, const PointInputs& in, PointGradients const& gradients) {
    STD_TORCH_CHECK(in.input.is_cpu(), "fastloss: expected CPU tensors");
    PointViews views(id, in, gradients);
    PointArgs& args = views.args;
    args.scale = 1 / divisor_of(in, in.input.numel());
    Tensor upstream;  // a view refers to it
    if (in.reduction == kNone) {
      const ScalarType type = loss_type(in.input, grad_output.scalar_type());
      upstream = grad_output.scalar_type() == type ? grad_output : torch::stable::to(grad_output, type);
      views.add_wide(args.upstream, upstream, "grad_output");
    } else {
      args.scale *= upstream_of(grad_output);
    }
    run(id, views);
  }
};

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(fastloss, m){
#define FASTLOSS_SCHEMA(name, Functor, params) FASTLOSS_POINTWISE_SCHEMA(m, name)
    FASTLOSS_POINTWISE_LOSSES(FASTLOSS_SCHEMA)
#undef FASTLOSS_SCHEMA
}

STABLE_TORCH_LIBRARY_IMPL(fastloss, CPU, m) {
#define FASTLOSS_IMPLEMENT(name, Functor, params) FASTLOSS_IMPLEMENT_POINTWISE(m, Cpu, name)
  FASTLOSS_POINTWISE_LOSSES(FASTLOSS_IMPLEMENT)
#undef FASTLOSS_IMPLEMENT
}

}  // namespace fastloss::ops
