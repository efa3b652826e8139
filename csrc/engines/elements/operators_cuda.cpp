// Operators of the engine for CUDA tensors: allocation, the current stream. Kernels are in cuda.cu.

#include "engines/elements/launch.h"

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

  Problem(const Call& call, const Written& written)
      : device(call.input()),
        views(call, written),
        dtype(views.kernel_dtype()),
        divisor(set_divisor(call, views.args.elements, launch)) {
    launch.mixed = views.mixed;
    views.args.scale = 1 / divisor;
  }

  void plan() {
    views.finish();
    launch.args = views.args;
    cuda::plan_points(dtype, launch);
  }
  void run(int id) { check(cuda::run_points(id, dtype, launch, device.stream)); }

  // The dtype of losses or upstream gradients that the kernel takes in the place of `wanted`: that, or the computing type.
  ScalarType each_type(ScalarType wanted) const {
    return views.mixed || wanted == views.input.scalar_type() ? wanted : views.compute;
  }
};

struct Backend : PointsEngine {
  static constexpr bool on_device = true;

  static Tensor forward(const Call& call, bool empty_zero, ScalarType wanted, const Written& written) {
    const Tensor& input = call.input();
    Problem problem(call, written);
    PointArgs& args = problem.views.args;
    double* const stats = written.stats ? statistics(*written.stats, input, kPointStats) : nullptr;
    const ScalarType type = problem.each_type(wanted);
    Tensor loss = call.reduced() ? new_empty(input, {}, wanted) : unreduced_loss(input, args.components, type);
    if (!call.reduced()) problem.views.add_each(args.loss, loss, "loss");
    args.want_stats = stats;
    problem.plan();
    run_forward(problem.launch, problem.device, input, call.reduced() ? &loss : nullptr, problem.divisor, empty_zero,
                stats, [&] { problem.run(call.id); });
    return call.reduced() || type == wanted ? loss : torch::stable::to(loss, wanted);
  }

  static void backward(const Call& call, const Tensor& grad_output, const Tensor*, const Written& written,
                       bool unless_one) {
    Problem problem(call, written);
    Tensor upstream = grad_output;
    if (call.reduced()) {
      set_upstream(upstream, call.input(), unless_one, problem.launch);
    } else {
      const ScalarType type = problem.each_type(upstream.scalar_type());
      if (upstream.scalar_type() != type) upstream = torch::stable::to(upstream, type);
      problem.views.add_each(problem.views.args.upstream, upstream, "grad_output");
    }
    problem.plan();
    problem.run(call.id);
  }
};

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(fastloss, CUDA, m) { FASTLOSS_POINTWISE_LOSSES(FASTLOSS_IMPLEMENT) }

}  // namespace fastloss::ops
