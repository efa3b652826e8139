// Operators of the pairs family on the CPU: allocation, threads.

#include "cpu/isa.h"
#include "ops/pairs_call.h"
#include "ops/point_tasks.h"

namespace fastloss::ops {
namespace {

PointSums run(int id, PairViews& views) {
  PairArgs& args = views.args;
  args.task_rows = std::max<int64_t>(1, kTaskElements / args.width);
  const PairsKernel kernel = isa::kernels().pairs[id][(int)dtype_of(views.input)];
  return run_tasks(args, views.input.numel(), (args.rows + args.task_rows - 1) / args.task_rows,
                   [&](int64_t begin, int64_t end) { kernel(args, begin, end); });
}

// Backend of PointwiseOperators.
struct CpuPairs : CpuMemory {
  static std::tuple<Tensor, Tensor> forward(int id, const PointInputs& in, bool empty_zero, int64_t loss_dtype,
                                            bool want_stats, PointGradients const& gradients) {
    STD_TORCH_CHECK(in.input.is_cpu(), "fastloss: expected CPU tensors");
    PairViews views(id, in, gradients);
    PairArgs& args = views.args;
    const ScalarType wanted = dtype_of_code("loss_dtype", loss_dtype);
    const bool reduced = in.reduction != kNone;
    Tensor loss = reduced ? empty({}, wanted) : empty(row_shape(in.input), views.compute);
    if (!reduced) args.loss = loss.mutable_data_ptr();
    const double divisor = divisor_of(in, args.rows);
    args.scale = 1 / divisor;
    args.want_stats = want_stats;
    const PointSums sums = run(id, views);
    if (reduced) {
      write_scalar(loss, empty_zero && divisor == 0 ? 0 : sums.loss / divisor);
    } else if (views.compute != wanted) {
      loss = torch::stable::to(loss, wanted);
    }
    return {loss, stats_vector(sums, want_stats)};
  }

  static void backward(int id, const Tensor& grad_output, const PointInputs& in, PointGradients const& gradients) {
    STD_TORCH_CHECK(in.input.is_cpu(), "fastloss: expected CPU tensors");
    PairViews views(id, in, gradients);
    PairArgs& args = views.args;
    args.scale = 1 / divisor_of(in, args.rows);
    if (in.reduction == kNone) {
      args.upstream = views.per_row(grad_output, "grad_output", views.compute);
    } else {
      args.scale *= upstream_of(grad_output);
    }
    run(id, views);
  }
};

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(fastloss, m){
#define FASTLOSS_SCHEMA(name, Functor, params) FASTLOSS_POINTWISE_SCHEMA(m, name)
    FASTLOSS_PAIRS_LOSSES(FASTLOSS_SCHEMA)
#undef FASTLOSS_SCHEMA
}

STABLE_TORCH_LIBRARY_IMPL(fastloss, CPU, m) {
#define FASTLOSS_IMPLEMENT(name, Functor, params) FASTLOSS_IMPLEMENT_POINTWISE(m, CpuPairs, name)
  FASTLOSS_PAIRS_LOSSES(FASTLOSS_IMPLEMENT)
#undef FASTLOSS_IMPLEMENT
}

}  // namespace fastloss::ops
