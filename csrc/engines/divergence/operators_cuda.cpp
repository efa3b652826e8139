// Operators of the engine for CUDA tensors: allocation, the current stream. Kernels are in cuda.cu.

#include "engines/divergence/cuda.h"
#include "engines/divergence/call.h"
#include "engines/elements/launch.h"

namespace fastloss::ops {
namespace {

using torch::stable::new_empty;

// The views of a call and what the device knows of its factor.
struct Problem {
  const Device device;
  DivergenceViews views;
  cuda::DivergenceLaunch launch{};
  const double divisor;  // where there is none on the device

  Problem(const Call& call, const Written& written)
      : device(call.input()), views(call, written), divisor(set_divisor(call, views.args.rows, launch)) {
    launch.mixed = views.args.student.type != views.args.teacher.type;
    views.args.scale = 1 / divisor;
    launch.blocks = views.args.rows;
  }

  void run(int id) {
    const DType dtype = views.compute == ScalarType::Double ? DType::f64
                        : launch.mixed                      ? DType::f32
                                                            : dtype_of(views.input);
    launch.args = views.args;
    check(
        with_dtype(dtype, [&](auto d) { return cuda::run_divergence<decltype(d)::value>(id, launch, device.stream); }));
  }
};

struct Backend : DivergenceEngine {
  static constexpr bool on_device = true;

  static Tensor forward(const Call& call, bool empty_zero, ScalarType wanted, const Written& written) {
    const Tensor& input = call.input();
    STD_TORCH_CHECK(!written.stats, "fastloss: divergences have no statistics");
    Problem problem(call, written);
    DivergenceViews& views = problem.views;
    Tensor loss = call.reduced() ? new_empty(input, {}, wanted) : new_empty(input, row_shape(input), views.compute);
    if (!call.reduced()) views.args.loss = loss.mutable_data_ptr();
    run_forward(problem.launch, problem.device, input, call.reduced() ? &loss : nullptr, problem.divisor, empty_zero,
                nullptr, [&] { problem.run(call.id); });
    return call.reduced() || views.compute == wanted ? loss : torch::stable::to(loss, wanted);
  }

  static void backward(const Call& call, const Tensor& grad_output, const Tensor*, const Written& written,
                       bool unless_one) {
    Problem problem(call, written);
    if (call.reduced()) {
      set_upstream(grad_output, call.input(), unless_one, problem.launch);
    } else {
      problem.views.args.upstream = problem.views.per_row(grad_output, "grad_output", problem.views.compute);
    }
    problem.run(call.id);
  }
};

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(fastloss, CUDA, m) { FASTLOSS_DIVERGENCE_LOSSES(FASTLOSS_IMPLEMENT) }

}  // namespace fastloss::ops
