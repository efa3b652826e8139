// Operators of the rows family for CUDA tensors: checks, allocation, the current stream. Kernels are in cuda/.

#include "ops/cuda_call.h"
#include "ops/rows_call.h"

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
  std::optional<Tensor> target, mask, weight, normalizer, upstream, survey, scratch;

  Problem(int id, const Tensor& input, const Tensor& target_, const std::optional<Tensor>& weight_,
          const std::optional<Tensor>& mask_, const std::optional<Tensor>& normalizer_, const Options& o)
      : device(input), dtype(dtype_of(input)), soft(target_.scalar_type() != ScalarType::Long) {
    check_rows(id, input, target_, weight_, mask_, normalizer_, o);
    STD_TORCH_CHECK(target_.scalar_type() == ScalarType::Long || target_.scalar_type() == input.scalar_type(),
                    "fastloss: expected CUDA tensors of one dtype");
    for (const Tensor* t :
         {&target_, weight_ ? &*weight_ : nullptr, mask_ ? &*mask_ : nullptr, normalizer_ ? &*normalizer_ : nullptr}) {
      STD_TORCH_CHECK(!t || same_device(*t, input), "fastloss: expected every tensor on the device of input");
    }
    args.classes = input.size(class_dim(input));
    args.rows = input.numel() / args.classes;
    target = soft ? target_ : as_dense(target_);
    if (!soft) args.target = (const int64_t*)target->const_data_ptr();
    if (mask_) {
      mask = as_dense(*mask_);
      args.mask = (const Flag*)mask->const_data_ptr();
    }
    if (weight_) {
      weight = as_compute(*weight_, compute_type(input));
      args.weight = weight->const_data_ptr();
    }
    args.weight_sum = (double)args.classes;
    set_options(args, o);
    normalizer = normalizer_;
    if (normalizer) launch.divisor = (const double*)data_of(*normalizer);
    if ((o.reduction == kMean && !normalizer) || (weight && args.label_smoothing != 0 && !soft)) run_survey(input, o);
  }

  void run_survey(const Tensor& input, const Options& o) {
    const int64_t parts = 2 * cuda::survey_blocks(args.rows);
    survey = new_empty(input, {cuda::kSurvey + parts}, ScalarType::Double);
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
    if (o.reduction == kMean && !normalizer) launch.divisor = l.out + cuda::kDivisor;
    launch.weight_sum = l.out + cuda::kWeightSum;
  }

  void set_upstream(const Tensor& grad_output, const Tensor& input, const Options& o) {
    STD_TORCH_CHECK(same_device(grad_output, input), "fastloss: expected upstream gradients on the device of input");
    const int64_t expected = o.reduction == kNone ? args.rows : 1;
    STD_TORCH_CHECK(grad_output.numel() == expected, "fastloss: expected ", expected, " upstream gradients, got ",
                    grad_output.numel());
    upstream = as_compute(grad_output, dtype == DType::f64 ? ScalarType::Double : ScalarType::Float);
    args.upstream = upstream->const_data_ptr();
    launch.upstream_stride = o.reduction == kNone;
  }

  void run(int id) { check(cuda::run_rows(id, dtype, launch, cuda::plan_rows(dtype, launch), device.stream)); }

  // Runs the kernel and makes loss and statistics of its sums.
  void run_summed(int id, const Tensor& input, Tensor* loss, Tensor* stats, bool empty_zero) {
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
    if (stats) l.stats = (double*)stats->mutable_data_ptr();
    check(cuda::run_finish(l, device.stream));
  }
};

// Backend of RowsOperators.
struct Cuda : CudaMemory {
  static Forward forward(int id, const Tensor& input, const Tensor& target, const std::optional<Tensor>& weight,
                         const std::optional<Tensor>& mask, const std::optional<Tensor>& normalizer, const Options& o,
                         bool empty_zero, int64_t loss_dtype, const Tensor* gradient, bool save_state,
                         bool want_stats) {
    Problem problem(id, input, target, weight, mask, normalizer, o);
    RowsArgs& args = problem.args;
    const ScalarType compute = compute_type(input), type = dtype_of_code("loss_dtype", loss_dtype);
    const Tensor state = new_empty(input, state_shape(input, problem.soft, save_state), compute);
    if (save_state) args.state = state.mutable_data_ptr();
    view_rows(args, input, problem.soft ? &target : nullptr, gradient, nullptr,
              {&target, pointer(weight), pointer(mask), pointer(normalizer)});
    args.want_stats = want_stats;

    const bool reduced = o.reduction != kNone;
    Tensor loss = reduced ? new_empty(input, {}, type) : new_empty(input, rows_shape(input), compute);
    Tensor stats = new_empty(input, {want_stats ? 7 : 0}, ScalarType::Double);
    if (!reduced) args.row_loss = loss.mutable_data_ptr();
    if (reduced || want_stats) {
      problem.run_summed(id, input, reduced ? &loss : nullptr, want_stats ? &stats : nullptr, empty_zero);
    } else {
      problem.run(id);
    }
    if (!reduced && compute != type) loss = torch::stable::to(loss, type);
    return {loss, state, stats};
  }

  static void backward(int id, const Tensor& grad_output, const Tensor& input, const Tensor& target,
                       const std::optional<Tensor>& weight, const std::optional<Tensor>& mask,
                       const std::optional<Tensor>& normalizer, const std::optional<Tensor>& state, const Options& o,
                       const Tensor* grad, const Tensor* target_grad, bool unless_one = false) {
    Problem problem(id, input, target, weight, mask, normalizer, o);
    view_rows(problem.args, input, problem.soft ? &target : nullptr, grad, target_grad,
              {&grad_output, &target, pointer(weight), pointer(mask), pointer(normalizer), pointer(state)});
    use_state(problem.args, state, input, problem.soft);
    problem.set_upstream(grad_output, input, o);
    problem.launch.unless_one = unless_one;
    problem.run(id);
  }
};

// ------------------------------------------------------------------------------------------------ operators

// The gradient again, for another upstream gradient than 1, over the one that forward made: scaling that in bfloat16
// would round twice. Moves the same bytes as scaling, and none if the upstream gradient is 1.
template <int id>
void op_rescale(const Tensor& grad, const Tensor& grad_output, FASTLOSS_TENSORS, FASTLOSS_OPTIONS) {
  STD_TORCH_CHECK(
      same_device(grad, input) && grad.numel() == input.numel() && grad.scalar_type() == input.scalar_type(),
      "fastloss: expected the gradient that forward returned");
  STD_TORCH_CHECK(reduction != kNone, "fastloss: rescaling needs a reduction");
  Cuda::backward(id, grad_output, input, target, weight, mask, normalizer, std::nullopt, FASTLOSS_OPTIONS_VALUE, &grad,
                 nullptr, true);
}

void op_scale(const Tensor& grad, const Tensor& scale) {
  STD_TORCH_CHECK(scale.numel() == 1 && same_device(scale, grad), "fastloss: expected a scalar on grad's device");
  STD_TORCH_CHECK(fills_block(grad), "fastloss: expected a gradient without gaps in memory; multiply it with mul_");
  const Device device(grad);
  check(cuda::run_scale(mutable_data_of(grad), dtype_of(grad), grad.numel(), data_of(scale), dtype_of(scale),
                        device.stream));
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(fastloss, m) {
#define FASTLOSS_SCHEMA(name, Functor, params)                                                                       \
  m.def(#name                                                                                                        \
        "_rescale_(Tensor(a!) grad, Tensor grad_output, Tensor input, Tensor target, Tensor? weight, Tensor? mask, " \
        "Tensor? normalizer, " FASTLOSS_OPTIONS_SCHEMA ") -> ()");
  FASTLOSS_ROWS_LOSSES(FASTLOSS_SCHEMA)
#undef FASTLOSS_SCHEMA
}

STABLE_TORCH_LIBRARY_IMPL(fastloss, CUDA, m) {
#define FASTLOSS_IMPLEMENT(name, Functor, params) \
  FASTLOSS_IMPLEMENT_ROWS(m, Cuda, name)          \
  m.impl(#name "_rescale_", TORCH_BOX(&op_rescale<k_##name>));
  FASTLOSS_ROWS_LOSSES(FASTLOSS_IMPLEMENT)
#undef FASTLOSS_IMPLEMENT
  m.impl("scale_", TORCH_BOX(&op_scale));
}

}  // namespace fastloss::ops
