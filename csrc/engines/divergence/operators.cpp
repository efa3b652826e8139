// Operators of the engine on the CPU: allocation, threads.

#include "simd/isa.h"
#include "engines/divergence/call.h"
#include "engines/elements/tasks.h"

namespace fastloss::ops {
namespace {

PointSums run(int id, DivergenceViews& views) {
  DivergenceArgs& args = views.args;
  args.task_rows = std::max<int64_t>(1, kTaskElements / args.classes);
  const DivergenceKernels& kernels = isa::kernels().divergence[id];
  const DivergenceKernel kernel = views.compute == ScalarType::Double ? kernels.f64 : kernels.f32;
  const int64_t size = views.compute == ScalarType::Double ? 8 : 4, elements = args.rows * args.classes;
  args.stream = elements * size >= kStreamBytes && args.student_gradient.data != args.student.data;
  // Six rows of whole vectors, one of whatever is stored, alignment.
  const size_t bytes = (size_t)(6 * (args.classes * size + 64) + args.classes * 8 + 64);
  return run_tasks(args, elements, (args.rows + args.task_rows - 1) / args.task_rows, [&](int64_t begin, int64_t end) {
    const memory::Scratch scratch = memory::scratch(bytes);
    kernel(args, begin, end, scratch.get());
  });
}

struct Backend : DivergenceEngine {
  static constexpr bool on_device = false;

  static Tensor forward(const Call& call, bool empty_zero, ScalarType wanted, const Written& written) {
    STD_TORCH_CHECK(call.input().is_cpu(), "fastloss: expected CPU tensors");
    STD_TORCH_CHECK(!written.stats, "fastloss: divergences have no statistics");
    DivergenceViews views(call, written);
    DivergenceArgs& args = views.args;
    Tensor loss = call.reduced() ? empty({}, wanted) : empty(row_shape(call.input()), views.compute);
    if (!call.reduced()) args.loss = loss.mutable_data_ptr();
    const double divisor = divisor_of(call, args.rows);
    args.scale = 1 / divisor;
    const PointSums sums = run(call.id, views);
    if (call.reduced()) {
      write_scalar(loss, empty_zero && divisor == 0 ? 0 : sums.loss / divisor);
    } else if (views.compute != wanted) {
      loss = torch::stable::to(loss, wanted);
    }
    return loss;
  }

  static void backward(const Call& call, const Tensor& grad_output, const Tensor*, const Written& written, bool) {
    STD_TORCH_CHECK(call.input().is_cpu(), "fastloss: expected CPU tensors");
    DivergenceViews views(call, written);
    DivergenceArgs& args = views.args;
    args.scale = 1 / divisor_of(call, args.rows);
    if (call.reduced()) {
      args.scale *= upstream_of(grad_output);
    } else {
      args.upstream = views.per_row(grad_output, "grad_output", views.compute);
    }
    run(call.id, views);
  }
};

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(fastloss, m){
    FASTLOSS_DIVERGENCE_LOSSES(FASTLOSS_DEFINE)} STABLE_TORCH_LIBRARY_IMPL(fastloss, CPU, m) {
  FASTLOSS_DIVERGENCE_LOSSES(FASTLOSS_IMPLEMENT)
}

}  // namespace fastloss::ops
