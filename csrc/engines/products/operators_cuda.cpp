// Operators of the engine for CUDA tensors: allocation, the current stream. Kernels are in cuda.cu.

#include "engines/products/cuda.h"
#include "engines/products/call.h"
#include "engines/elements/launch.h"

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

  Problem(const Call& call, const Written& written)
      : device(call.input()),
        views(call, written),
        dtype(views.kernel_dtype()),
        divisor(set_divisor(call, views.args.rows, launch)) {
    launch.mixed = views.mixed;
    views.args.scale = 1 / divisor;
  }

  void plan() {
    launch.args = views.args;
    cuda::plan_pairs(dtype, launch);
  }
  void run(int id) { check(cuda::run_pairs(id, dtype, launch, device.stream)); }
};

struct Backend : PairsEngine {
  static constexpr bool on_device = true;

  static Tensor forward(const Call& call, bool empty_zero, ScalarType wanted, const Written& written) {
    const Tensor& input = call.input();
    Problem problem(call, written);
    PairViews& views = problem.views;
    double* const stats = written.stats ? statistics(*written.stats, input, kPointStats) : nullptr;
    Tensor loss = call.reduced() ? new_empty(input, {}, wanted) : new_empty(input, row_shape(input), views.compute);
    if (!call.reduced()) views.args.loss = loss.mutable_data_ptr();
    views.args.want_stats = stats;
    problem.plan();
    run_forward(problem.launch, problem.device, input, call.reduced() ? &loss : nullptr, problem.divisor, empty_zero,
                stats, [&] { problem.run(call.id); });
    return call.reduced() || views.compute == wanted ? loss : torch::stable::to(loss, wanted);
  }

  static void backward(const Call& call, const Tensor& grad_output, const Tensor*, const Written& written,
                       bool unless_one) {
    Problem problem(call, written);
    PairViews& views = problem.views;
    if (call.reduced()) {
      set_upstream(grad_output, call.input(), unless_one, problem.launch);
    } else {
      views.args.upstream = views.per_row(grad_output, "grad_output", views.compute);
    }
    problem.plan();
    problem.run(call.id);
  }
};

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(fastloss, CUDA, m) { FASTLOSS_PAIRS_LOSSES(FASTLOSS_IMPLEMENT) }

}  // namespace fastloss::ops
