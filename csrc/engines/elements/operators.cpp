// Operators of the engine: allocation, threads. Formulas are in losses/, loops in cpu.h.

#include "simd/isa.h"
#include "engines/elements/tasks.h"

namespace fastloss::ops {
namespace {

#define FASTLOSS_NAME(name, Functor, params) #name,
constexpr const char* kNames[] = {FASTLOSS_POINTWISE_LOSSES(FASTLOSS_NAME)};
#undef FASTLOSS_NAME

PointSums run(int id, PointViews& views) {
  PointArgs& args = views.args;
  views.finish();
  args.stream = views.input.numel() * (int64_t)views.input.element_size() >= kStreamBytes;
  args.task_elements = kTaskElements;
  const Kernels& kernels = isa::kernels();
  const DType dtype = views.kernel_dtype();
  const PointwiseKernel kernel = kernels.engine[(int)dtype].pointwise;
  return run_tasks(args, views.input.numel(), (args.elements + kTaskElements - 1) / kTaskElements,
                   [&](int64_t begin, int64_t end) { kernel(args, begin, end, kernels.pointwise[id]); });
}

struct Backend : PointsEngine {
  static constexpr bool on_device = false;

  static Tensor forward(const Call& call, bool empty_zero, ScalarType wanted, const Written& written) {
    const Tensor& input = call.input();
    STD_TORCH_CHECK(input.is_cpu(), "fastloss: expected CPU tensors");
    PointViews views(call, written);
    PointArgs& args = views.args;
    double* const stats = written.stats ? statistics(*written.stats, input, kPointStats) : nullptr;
    Tensor loss = call.reduced() ? empty({}, wanted) : unreduced_loss(input, args.components, wanted);
    if (!call.reduced()) views.add_each(args.loss, loss, "loss");
    const double divisor = divisor_of(call, args.elements);
    args.scale = 1 / divisor;
    args.want_stats = stats;
    const PointSums sums = run(call.id, views);
    // fastloss/engines/elements.py has PyTorch say what is wrong where it reads "outside the domain".
    STD_TORCH_CHECK(!sums.outside, "an element is outside the domain of fastloss::", kNames[call.id]);
    if (call.reduced()) write_scalar(loss, empty_zero && divisor == 0 ? 0 : sums.loss / divisor);
    write_stats(sums, stats);
    return loss;
  }

  static void backward(const Call& call, const Tensor& grad_output, const Tensor*, const Written& written, bool) {
    STD_TORCH_CHECK(call.input().is_cpu(), "fastloss: expected CPU tensors");
    PointViews views(call, written);
    PointArgs& args = views.args;
    args.scale = 1 / divisor_of(call, args.elements);
    if (call.reduced()) {
      args.scale *= upstream_of(grad_output);
    } else {
      views.add_each(args.upstream, grad_output, "grad_output");
    }
    run(call.id, views);
  }
};

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(fastloss, m){
    FASTLOSS_POINTWISE_LOSSES(FASTLOSS_DEFINE)} STABLE_TORCH_LIBRARY_IMPL(fastloss, CPU, m) {
  FASTLOSS_POINTWISE_LOSSES(FASTLOSS_IMPLEMENT)
}

}  // namespace fastloss::ops
