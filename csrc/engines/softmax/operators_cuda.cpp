// Operators of the engine for CUDA tensors: checks, allocation, the current stream. Kernels are in cuda.cu.

#include "torch/cuda_call.h"
#include "engines/softmax/call.h"

namespace fastloss::ops {
namespace {

using cuda::RowsLaunch;
using torch::stable::new_empty;

// Checks the tensors and gathers everything a kernel reads. Owns what it had to convert.
struct Problem {
  RowsLaunch launch{};
  RowsArgs& args = launch.rows;
  const Device device;
  const DType dtype;
  const bool soft;
  std::optional<Tensor> target, mask, weight, upstream, survey, scratch;

  explicit Problem(const Call& call)
      : device(call.input()), dtype(dtype_of(call.input())), soft(has_probabilities(call)) {
    const Tensor& input = call.input();
    check_rows(call);
    args.classes = input.size(class_dim(input));
    args.rows = input.numel() / args.classes;
    target = soft ? *call.tensors[1] : as_dense(*call.tensors[1]);
    if (!soft) args.target = (const int64_t*)target->const_data_ptr();
    if (call.mask) {
      mask = as_dense(*call.mask);
      args.mask = (const Flag*)mask->const_data_ptr();
    }
    if (call.weight) {
      weight = as_compute(*call.weight, compute_type(input));
      set_weight(args, *weight);
    }
    args.weight_sum = (double)args.classes;
    set_numbers(args, call);
    if (call.divisor) launch.divisor = (const double*)data_of(*call.divisor);
    if ((call.reduction == kMean && !call.divisor) || (weight && args.label_smoothing != 0 && !soft)) run_survey(call);
  }

  void run_survey(const Call& call) {
    const int64_t parts = 2 * cuda::survey_blocks(args.rows);
    survey = new_empty(call.input(), {cuda::kSurvey + parts}, ScalarType::Double);
    cuda::SurveyLaunch l{};
    l.target = args.target;
    l.mask = args.mask;
    l.weight = args.weight;
    l.wide = dtype == DType::f64;
    l.rows = args.rows;
    l.classes = args.classes;
    l.ignore_index = args.ignore_index;
    l.out = (double*)survey->mutable_data_ptr();
    l.parts = l.out + cuda::kSurvey;
    check(cuda::run_survey(l, device.stream));
    if (call.reduction == kMean && !call.divisor) launch.divisor = l.out + cuda::kDivisor;
    launch.weight_sum = l.out + cuda::kWeightSum;
  }

  void set_upstream(const Tensor& grad_output, const Call& call) {
    STD_TORCH_CHECK(same_device(grad_output, call.input()),
                    "fastloss: expected upstream gradients on the device of input");
    const int64_t expected = call.reduced() ? 1 : args.rows;
    STD_TORCH_CHECK(grad_output.numel() == expected, "fastloss: expected ", expected, " upstream gradients, got ",
                    grad_output.numel());
    upstream = as_compute(grad_output, dtype == DType::f64 ? ScalarType::Double : ScalarType::Float);
    args.upstream = upstream->const_data_ptr();
    launch.upstream_stride = !call.reduced();
  }

  void run(int id) { check(cuda::run_rows(id, dtype, launch, cuda::plan_rows(dtype, launch), device.stream)); }

  // Runs the kernel and makes loss and statistics of its sums.
  void run_summed(int id, const Tensor& input, Tensor* loss, double* stats, bool empty_zero) {
    const cuda::RowsPlan plan = cuda::plan_rows(dtype, launch);
    const int64_t planes = stats ? cuda::kSums : 2, parts = cuda::finish_blocks(plan.blocks);
    scratch = new_empty(input, {planes * (plan.blocks + parts)}, ScalarType::Double);
    launch.sums = (double*)scratch->mutable_data_ptr();
    check(cuda::run_rows(id, dtype, launch, plan, device.stream));
    cuda::FinishLaunch l{};
    l.sums = launch.sums;
    l.blocks = plan.blocks;
    l.parts = launch.sums + planes * plan.blocks;
    l.divisor = launch.divisor;
    l.empty_zero = empty_zero;
    if (loss) {
      l.loss = loss->mutable_data_ptr();
      l.dtype = dtype_of(*loss);
    }
    l.stats = stats;
    check(cuda::run_finish(l, device.stream));
  }
};

struct Backend : RowsEngine {
  static constexpr bool on_device = true;

  static Tensor forward(const Call& call, bool empty_zero, ScalarType type, const Written& written) {
    Problem problem(call);
    RowsArgs& args = problem.args;
    const Tensor& input = call.input();
    const ScalarType compute = compute_type(input);
    view_rows(args, call, written, nullptr);
    double* const stats = written.stats ? statistics(*written.stats, input, kRowStats) : nullptr;
    args.want_stats = stats;

    Tensor loss = call.reduced() ? new_empty(input, {}, type) : new_empty(input, rows_shape(input), compute);
    if (!call.reduced()) args.row_loss = loss.mutable_data_ptr();
    if (call.reduced() || stats) {
      problem.run_summed(call.id, input, call.reduced() ? &loss : nullptr, stats, empty_zero);
    } else {
      problem.run(call.id);
    }
    return call.reduced() || compute == type ? loss : torch::stable::to(loss, type);
  }

  // With `unless_one` the gradient again, for another upstream gradient than 1, over the one that forward made: scaling that
  // in bfloat16 would round twice. Moves the same bytes as scaling, and none if the upstream gradient is 1.
  static void backward(const Call& call, const Tensor& grad_output, const Tensor* state, const Written& written,
                       bool unless_one) {
    Problem problem(call);
    view_rows(problem.args, call, written, state);
    problem.set_upstream(grad_output, call);
    problem.launch.unless_one = unless_one;
    problem.run(call.id);
  }
};

void op_scale(const Tensor& grad, const Tensor& scale) {
  STD_TORCH_CHECK(scale.numel() == 1 && same_device(scale, grad), "fastloss: expected a scalar on grad's device");
  STD_TORCH_CHECK(fills_block(grad), "fastloss: expected a gradient without gaps in memory; multiply it with mul_");
  const Device device(grad);
  check(cuda::run_scale(mutable_data_of(grad), dtype_of(grad), grad.numel(), data_of(scale), dtype_of(scale),
                        device.stream));
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(fastloss, CUDA, m) {
  FASTLOSS_ROWS_LOSSES(FASTLOSS_IMPLEMENT)
  m.impl("scale_", TORCH_BOX(&op_scale));
}

}  // namespace fastloss::ops
