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
  const DType dtype = views.compute == ScalarType::Double ? DType::f64 : dtype_of(views.input);
  const PointwiseKernel kernel = kernels.engine[(int)dtype].pointwise;
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
    const ScalarType wanted = dtype_of_code("loss_dtype", loss_dtype);
    Tensor loss = in.reduction == kNone ? unreduced_loss(in.input, wanted) : empty({}, wanted);
    if (in.reduction == kNone) views.add_each(args.loss, loss, "loss");
    const double divisor = divisor_of(in, in.input.numel());
    args.scale = 1 / divisor;
    args.want_stats = want_stats;
    const PointSums sums = run(id, views);
    // fastloss/engines/elements.py has PyTorch say what is wrong where it reads "outside the domain".
    STD_TORCH_CHECK(!sums.outside, "an element is outside the domain of fastloss::", kNames[id]);
    if (in.reduction != kNone) {
      write_scalar(loss, empty_zero && divisor == 0 ? 0 : sums.loss / divisor);
    }
    return {loss, stats_vector(sums, want_stats)};
  }

  static void backward(int id, const Tensor& grad_output, const PointInputs& in, PointGradients const& gradients) {
    STD_TORCH_CHECK(in.input.is_cpu(), "fastloss: expected CPU tensors");
    PointViews views(id, in, gradients);
    PointArgs& args = views.args;
    args.scale = 1 / divisor_of(in, in.input.numel());
    if (in.reduction == kNone) {
      views.add_each(args.upstream, grad_output, "grad_output");
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
