// Operators of the pairs family on the CPU: rows, allocation, threads. They have the form of the pointwise family's; the
// third tensor of a loss with labels is the label, weight, mask and unreduced losses have a value per row.

#include "cpu/isa.h"
#include "ops/point_tasks.h"

namespace fastloss::ops {
namespace {

#define FASTLOSS_INDEX(name, Functor, params) k_##name,
enum PairsLoss : int { FASTLOSS_PAIRS_LOSSES(FASTLOSS_INDEX) };
#undef FASTLOSS_INDEX
#define FASTLOSS_LABELLED(name, Functor, params) Functor<double>::labelled,
constexpr bool kLabelled[] = {FASTLOSS_PAIRS_LOSSES(FASTLOSS_LABELLED)};
#undef FASTLOSS_LABELLED
#define FASTLOSS_OPERANDS(name, Functor, params) Functor<double>::arity,
constexpr int kOperands[] = {FASTLOSS_PAIRS_LOSSES(FASTLOSS_OPERANDS)};
#undef FASTLOSS_OPERANDS

std::vector<int64_t> row_shape(const Tensor& input) {
  std::vector<int64_t> shape;
  for (int64_t d = 0; d + 1 < input.dim(); ++d) shape.push_back(input.size(d));
  return shape;
}

// Checks the tensors and gathers what a kernel reads. Owns what it had to convert.
struct PairProblem {
  PairArgs args{};
  const Tensor& input;
  const ScalarType compute;
  std::vector<Tensor> owned;  // handles: moving them leaves the memory where it is

  PairProblem(int id, const PointInputs& in, PointGradients const& gradients)
      : input(in.input), compute(compute_type(in.input)) {
    STD_TORCH_CHECK(input.is_cpu(), "fastloss: expected CPU tensors");
    STD_TORCH_CHECK(input.dim() > 0 && input.numel() > 0, "fastloss: expected non-empty rows of vectors");
    STD_TORCH_CHECK(in.third.has_value(), "fastloss: expected 3 tensors");
    check_point_inputs(in);
    args.width = input.size(input.dim() - 1);
    args.rows = input.numel() / args.width;
    std::copy(in.params.begin(), in.params.end(), args.params);
    const Tensor* const operands[] = {&input, &in.target, &*in.third};
    for (int k = 0; k < kOperands[id]; ++k) {
      args.operand[k] = view(*operands[k], "a tensor");
      if (gradients[k]) args.gradient[k] = view(*gradients[k], "a gradient");
    }
    for (int k = kOperands[id]; k < kMaxOperands; ++k) {
      STD_TORCH_CHECK(!gradients[k], "fastloss: the label has no gradient");
    }
    if (kLabelled[id]) args.label = per_row(*in.third, "label", compute);
    if (in.weight) args.weight = per_row(*in.weight, "weight", compute);
    if (in.mask) {
      STD_TORCH_CHECK(in.mask->scalar_type() == ScalarType::Bool, "fastloss: expected a bool mask");
      args.mask = (const bool*)per_row(*in.mask, "mask", ScalarType::Bool);
    }
  }

  // One value per row, dense.
  const void* per_row(const Tensor& t, const char* what, ScalarType type) {
    STD_TORCH_CHECK(t.is_cpu() && t.numel() == args.rows, "fastloss: expected ", what, " of ", args.rows, " rows, got ",
                    t.numel());
    owned.push_back(as_compute(t, type));
    return owned.back().const_data_ptr();
  }

  PointSums run(int id) {
    args.task_rows = std::max<int64_t>(1, kTaskElements / args.width);
    const PairsKernel kernel = isa::kernels().pairs[id][(int)dtype_of(input)];
    return run_tasks(args, input.numel(), (args.rows + args.task_rows - 1) / args.task_rows,
                     [&](int64_t begin, int64_t end) { kernel(args, begin, end); });
  }

 private:
  PairView view(const Tensor& t, const char* what) {
    bool same = t.is_cpu() && t.dim() == input.dim() && t.scalar_type() == input.scalar_type();
    for (int64_t d = 0; same && d < input.dim(); ++d) same = t.size(d) == input.size(d);
    STD_TORCH_CHECK(same, "fastloss: expected ", what, " of input's shape, dtype and device");
    if (t.is_contiguous()) return {(void*)t.const_data_ptr(), args.width};
    STD_TORCH_CHECK(t.dim() == 2 && t.stride(1) == 1, "fastloss: expected vectors that are adjacent in memory");
    return {(void*)t.const_data_ptr(), t.stride(0)};
  }
};

// Backend of PointwiseOperators.
struct CpuPairs : CpuMemory {
  static std::tuple<Tensor, Tensor> forward(int id, const PointInputs& in, bool empty_zero, int64_t loss_dtype,
                                            bool want_stats, PointGradients const& gradients) {
    PairProblem problem(id, in, gradients);
    PairArgs& args = problem.args;
    const ScalarType wanted = (ScalarType)loss_dtype;
    const bool reduced = in.reduction != kNone;
    Tensor loss = reduced ? empty({}, wanted) : empty(row_shape(in.input), problem.compute);
    if (!reduced) args.loss = loss.mutable_data_ptr();
    const double divisor = divisor_of(in, args.rows);
    args.scale = 1 / divisor;
    args.want_stats = want_stats;
    const PointSums sums = problem.run(id);
    if (reduced) {
      write_scalar(loss, empty_zero && divisor == 0 ? 0 : sums.loss / divisor);
    } else if (problem.compute != wanted) {
      loss = torch::stable::to(loss, wanted);
    }
    return {loss, stats_vector(sums, want_stats)};
  }

  static void backward(int id, const Tensor& grad_output, const PointInputs& in, PointGradients const& gradients) {
    PairProblem problem(id, in, gradients);
    PairArgs& args = problem.args;
    args.scale = 1 / divisor_of(in, args.rows);
    if (in.reduction == kNone) {
      args.upstream = problem.per_row(grad_output, "grad_output", problem.compute);
    } else {
      args.scale *= upstream_of(grad_output);
    }
    problem.run(id);
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
