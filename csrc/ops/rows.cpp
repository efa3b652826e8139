// Operators of the rows family: checks, allocation, threads. Formulas and loops are in losses/ and cpu/.

#include <cmath>
#include <cstdlib>
#include <memory>
#include <vector>

#include "cpu/isa.h"
#include "ops/tensors.h"

namespace fastloss::ops {
namespace {

using torch::stable::new_empty;

// What forward keeps for backward: nothing, the gradient for upstream 1, or the state of each row.
enum Save : int64_t { kNothing, kGradient, kState };

// Threads get whole tasks, and a task is the unit of summation, so the numbers depend on the shape alone.
constexpr int64_t kTaskElements = 64 * 1024;

struct Options {
  const std::vector<double>& params;
  int64_t ignore_index;
  int64_t reduction;
  double smoothing;
  double z_loss;
  double softcap;
};

// Class dimension of logits (C), (N, C) or (N, C, d1, ...).
int64_t class_dim(const Tensor& input) { return input.dim() == 1 ? 0 : 1; }

std::vector<int64_t> rows_shape(const Tensor& input) {
  std::vector<int64_t> shape;
  for (int64_t d = 0; d < input.dim(); ++d) {
    if (d != class_dim(input)) shape.push_back(input.size(d));
  }
  return shape;
}

// Describes up to four tensors of logits' shape as rows x classes, merging row dimensions that are adjacent in all.
void describe(const std::vector<std::pair<RowsView*, const Tensor*>>& views, RowsArgs& args) {
  const Tensor& input = *views[0].second;
  const int64_t classes = class_dim(input);
  args.classes = input.size(classes);
  args.rows = input.numel() / args.classes;
  args.dims = 0;
  for (auto& [view, tensor] : views) view->class_stride = tensor->stride(classes);
  for (int64_t d = 0; d < input.dim(); ++d) {
    if (d == classes || input.size(d) == 1) continue;
    bool merge = args.dims > 0;
    for (auto& [view, tensor] : views) {
      merge = merge && view->row_stride[args.dims - 1] == tensor->stride(d) * input.size(d);
    }
    if (merge) {
      args.size[args.dims - 1] *= input.size(d);
    } else {
      STD_TORCH_CHECK(args.dims < kMaxRowDims, "fastloss: more than ", kMaxRowDims,
                      " row dimensions; make input contiguous");
      args.size[args.dims++] = input.size(d);
    }
    for (auto& [view, tensor] : views) view->row_stride[args.dims - 1] = tensor->stride(d);
  }
  if (args.dims == 0) {
    args.size[args.dims++] = 1;
    for (auto& [view, tensor] : views) view->row_stride[0] = args.classes;
  }
}

int64_t tasks_of(const RowsArgs& args) { return (args.rows + args.task_rows - 1) / args.task_rows; }

struct Targets {
  double kept = 0;
  double weight = 0;
  bool in_range = true;
};

// Counts and weighs the kept rows, and checks every class index, before anything is written.
Targets survey(const int64_t* target, const bool* mask, const double* weight, int64_t rows, int64_t classes,
               int64_t ignore_index) {
  constexpr int64_t block = 16 * 1024;
  const int64_t blocks = (rows + block - 1) / block;
  std::vector<Targets> parts(blocks);
  parallel(rows, blocks, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      const int64_t last = std::min(rows, (b + 1) * block);
      int64_t kept = 0, bad = 0;
      double sum = 0;
      for (int64_t i = b * block; i < last; ++i) {
        const int64_t y = target ? target[i] : 0;
        const bool keep = (!target || y != ignore_index) && (!mask || mask[i]);
        const bool fits = (uint64_t)y < (uint64_t)classes;
        kept += keep;
        bad += !fits && keep;
        if (weight && keep && fits) sum += weight[y];
      }
      parts[b] = {(double)kept, sum, bad == 0};
    }
  });
  Targets all;
  for (const Targets& part : parts) {
    all.kept += part.kept;
    all.weight += part.weight;
    all.in_range = all.in_range && part.in_range;
  }
  if (!weight || !target) all.weight = all.kept;
  return all;
}

// Checks the tensors and gathers everything a kernel reads. Owns what it had to convert.
struct Problem {
  RowsArgs args{};
  DType dtype;
  bool soft;
  Targets targets;
  double divisor = 1;
  std::optional<Tensor> target, mask, weight;
  std::vector<double> weight64;
  const Kernels& kernels = isa::kernels();

  Problem(const Tensor& input, const Tensor& target_, const std::optional<Tensor>& weight_,
          const std::optional<Tensor>& mask_, const std::optional<Tensor>& normalizer, const Options& o)
      : dtype(dtype_of(input)), soft(target_.scalar_type() != ScalarType::Long) {
    STD_TORCH_CHECK(input.dim() > 0 && input.numel() > 0, "fastloss: expected a non-empty input with classes");
    STD_TORCH_CHECK(input.is_cpu() && target_.is_cpu(), "fastloss: expected CPU tensors");
    STD_TORCH_CHECK(o.reduction >= kNone && o.reduction <= kSum, "fastloss: unknown reduction ", o.reduction);
    const int64_t classes = input.size(class_dim(input)), rows = input.numel() / classes;
    if (soft) {
      STD_TORCH_CHECK(target_.scalar_type() == input.scalar_type() && target_.dim() == input.dim(),
                      "fastloss: expected probability targets of input's shape and dtype");
      for (int64_t d = 0; d < input.dim(); ++d) {
        STD_TORCH_CHECK(target_.size(d) == input.size(d), "fastloss: target size ", target_.size(d), " at dimension ",
                        d, ", expected ", input.size(d));
      }
      target = target_;
    } else {
      STD_TORCH_CHECK(target_.numel() == rows, "fastloss: expected ", rows, " targets, got ", target_.numel());
      target = torch::stable::contiguous(target_);
    }
    if (mask_) {
      STD_TORCH_CHECK(mask_->scalar_type() == ScalarType::Bool && mask_->numel() == rows,
                      "fastloss: expected a bool mask of ", rows, " rows");
      mask = torch::stable::contiguous(*mask_);
      args.mask = (const bool*)mask->const_data_ptr();
    }
    prepare_weight(input, weight_, o, classes);
    args.ignore_index = o.ignore_index;
    STD_TORCH_CHECK(o.params.size() <= 8, "fastloss: at most 8 parameters, got ", o.params.size());
    std::copy(o.params.begin(), o.params.end(), args.params);
    args.smoothing = o.smoothing;
    args.z_loss = o.z_loss;
    args.softcap = o.softcap;
    if (!soft) args.target = (const int64_t*)target->const_data_ptr();
    targets =
        survey(args.target, args.mask, weight64.empty() ? nullptr : weight64.data(), rows, classes, o.ignore_index);
    STD_TORCH_CHECK(targets.in_range, "a target is out of bounds");
    // No weight at all is 0 / 0 in PyTorch even where smoothing leaves something to divide.
    if (o.reduction == kMean) divisor = targets.weight == 0 ? std::nan("") : targets.weight;
    if (normalizer) {
      STD_TORCH_CHECK(normalizer->scalar_type() == ScalarType::Double && normalizer->numel() == 1,
                      "fastloss: expected a float64 scalar normalizer");
      divisor = *(const double*)normalizer->const_data_ptr();
    }
  }

  void prepare_weight(const Tensor& input, const std::optional<Tensor>& given, const Options& o, int64_t classes) {
    const ScalarType type = compute_type(input);
    if (given) {
      STD_TORCH_CHECK(given->numel() == classes, "fastloss: expected ", classes, " class weights, got ",
                      given->numel());
      weight = as_compute(*given, type);
    } else if (o.smoothing != 0 || soft) {
      Tensor ones = new_empty(input, {classes}, type);
      torch::stable::fill_(ones, 1.0);
      weight = ones;
    } else {
      return;
    }
    args.weight = weight->const_data_ptr();
    weight64.resize(classes);
    for (int64_t c = 0; c < classes; ++c) {
      weight64[c] = type == ScalarType::Double ? ((const double*)args.weight)[c] : ((const float*)args.weight)[c];
      args.weight_sum += weight64[c];
    }
    if (!given) weight64.clear();
  }

  // Splits the rows into tasks and runs the kernel over them.
  void run(RowsKernel const (&kernel)[kDTypes], bool summed, RowsSums* total) {
    const int64_t elements = args.rows * args.classes;
    args.task_rows = std::max<int64_t>(1, kTaskElements / args.classes / 64 * 64);
    if (args.classes > kTaskElements / 64) args.task_rows = std::max<int64_t>(1, kTaskElements / args.classes);
    const int64_t tasks = tasks_of(args);
    std::vector<RowsSums> sums(summed ? tasks : 0, RowsSums{});
    args.sums = summed ? sums.data() : nullptr;
    args.stream = args.gradient.data && args.gradient.data != args.logits.data &&
                  elements * (dtype == DType::f64   ? 8
                              : dtype == DType::f32 ? 4
                                                    : 2) >=
                      kStreamBytes;
    const int64_t bytes = kernels.rows_scratch[(int)dtype](args);
    parallel(elements, tasks, [&](int64_t begin, int64_t end) {
      const std::unique_ptr<void, void (*)(void*)> scratch(std::malloc(bytes), std::free);
      kernel[(int)dtype](args, begin, end, scratch.get());
    });
    for (const RowsSums& part : sums) {
      total->loss += part.loss;
      total->count += part.count;
      total->correct += part.correct;
      total->entropy += part.entropy;
      total->nll += part.nll;
      total->lse += part.lse;
      total->gradient_square += part.gradient_square;
    }
  }
};

// RowStats, in its order.
Tensor stats_vector(const Tensor& input, const RowsSums& s, double loss) {
  Tensor stats = new_empty(input, {7}, ScalarType::Double);
  double* out = (double*)stats.mutable_data_ptr();
  out[0] = s.correct / s.count;
  out[1] = s.entropy / s.count;
  out[2] = std::exp(s.nll / s.count);
  out[3] = s.lse / s.count;
  out[4] = std::sqrt(s.gradient_square);
  out[5] = std::isfinite(loss) && std::isfinite(s.gradient_square);
  out[6] = s.count;
  return stats;
}

struct Forward {
  Tensor loss, saved, stats;
};

Forward forward(int id, const Tensor& input, const Tensor& target, const std::optional<Tensor>& weight,
                const std::optional<Tensor>& mask, const std::optional<Tensor>& normalizer, const Options& o,
                bool empty_zero, int64_t loss_dtype, int64_t save, bool want_stats, bool inplace) {
  Problem problem(input, target, weight, mask, normalizer, o);
  RowsArgs& args = problem.args;
  const ScalarType compute = compute_type(input);
  const std::vector<int64_t> rows = rows_shape(input);

  const ScalarType type = (ScalarType)loss_dtype;
  std::vector<int64_t> saved_shape{0};
  if (save == kState) {
    saved_shape = rows;
    saved_shape.insert(saved_shape.begin(), problem.soft ? 3 : 2);
  }
  Tensor saved = inplace             ? input
                 : save == kGradient ? fresh_like(input)
                                     : new_empty(input, saved_shape, save == kState ? compute : input.scalar_type());
  if (save == kState) args.state = saved.mutable_data_ptr();
  std::vector<std::pair<RowsView*, const Tensor*>> views{{&args.logits, &input}};
  args.logits.data = (void*)input.const_data_ptr();
  if (inplace || save == kGradient) {
    views.push_back({&args.gradient, &saved});
    args.gradient.data = saved.mutable_data_ptr();
  }
  if (problem.soft) {
    views.push_back({&args.probability, &target});
    args.probability.data = (void*)target.const_data_ptr();
  }
  describe(views, args);

  const bool reduced = o.reduction != kNone;
  Tensor loss = reduced ? new_empty(input, {}, type) : new_empty(input, rows, compute);
  if (!reduced) args.row_loss = loss.mutable_data_ptr();
  args.scale = 1 / problem.divisor;
  args.want_stats = want_stats;

  RowsSums sums{};
  problem.run(problem.kernels.rows[id], reduced || want_stats, &sums);
  double value = sums.loss / problem.divisor;
  if (empty_zero && problem.targets.kept == 0) value = 0;
  if (reduced) {
    write_scalar(loss, value);
  } else if (compute != type) {
    loss = torch::stable::to(loss, type);
  }
  Tensor stats =
      want_stats ? stats_vector(input, sums, reduced ? value : sums.loss) : new_empty(input, {0}, ScalarType::Double);
  return {loss, saved, stats};
}

void backward(int id, const Tensor& grad_output, const Tensor& input, const Tensor& target,
              const std::optional<Tensor>& weight, const std::optional<Tensor>& mask,
              const std::optional<Tensor>& normalizer, const std::optional<Tensor>& state, const Options& o,
              const Tensor* grad, const Tensor* target_grad) {
  Problem problem(input, target, weight, mask, normalizer, o);
  RowsArgs& args = problem.args;
  const ScalarType compute = compute_type(input);
  std::vector<std::pair<RowsView*, const Tensor*>> views{{&args.logits, &input}};
  args.logits.data = (void*)input.const_data_ptr();
  if (grad) {
    views.push_back({&args.gradient, grad});
    args.gradient.data = grad->mutable_data_ptr();
  }
  if (problem.soft) {
    views.push_back({&args.probability, &target});
    args.probability.data = (void*)target.const_data_ptr();
  }
  if (target_grad) {
    STD_TORCH_CHECK(problem.soft, "fastloss: class indices have no gradient");
    views.push_back({&args.probability_gradient, target_grad});
    args.probability_gradient.data = target_grad->mutable_data_ptr();
  }
  describe(views, args);

  args.scale = 1 / problem.divisor;
  const Tensor upstream = as_compute(grad_output, compute);
  if (o.reduction == kNone) {
    STD_TORCH_CHECK(upstream.numel() == args.rows, "fastloss: expected ", args.rows, " upstream gradients, got ",
                    upstream.numel());
    args.upstream = upstream.const_data_ptr();
  } else {
    STD_TORCH_CHECK(upstream.numel() == 1, "fastloss: expected one upstream gradient, got ", upstream.numel());
    const void* p = upstream.const_data_ptr();
    args.scale *= compute == ScalarType::Double ? *(const double*)p : *(const float*)p;
  }
  if (state) {
    STD_TORCH_CHECK(state->numel() == (problem.soft ? 3 : 2) * args.rows && state->scalar_type() == compute &&
                        state->is_contiguous(),
                    "fastloss: expected the state that forward returned");
    args.state = (void*)state->const_data_ptr();
    args.from_state = true;
  }
  STD_TORCH_CHECK(state || !target_grad, "fastloss: the gradient to the target needs the state");
  problem.run(problem.kernels.rows[id], false, nullptr);
}

// ------------------------------------------------------------------------------------------------ operators

#define FASTLOSS_TENSORS                                                                               \
  const Tensor &input, const Tensor &target, std::optional<Tensor> weight, std::optional<Tensor> mask, \
      std::optional<Tensor> normalizer
#define FASTLOSS_OPTIONS                                                                                      \
  std::vector<double> params, int64_t ignore_index, int64_t reduction, double label_smoothing, double z_loss, \
      double softcap
#define FASTLOSS_OPTIONS_VALUE \
  Options { params, ignore_index, reduction, label_smoothing, z_loss, softcap }

template <int id>
std::tuple<Tensor, Tensor, Tensor> op_forward(FASTLOSS_TENSORS, FASTLOSS_OPTIONS, bool empty_zero, int64_t loss_dtype,
                                              int64_t save, bool want_stats) {
  Forward r = forward(id, input, target, weight, mask, normalizer, FASTLOSS_OPTIONS_VALUE, empty_zero, loss_dtype, save,
                      want_stats, false);
  return {r.loss, r.saved, r.stats};
}

template <int id>
std::tuple<Tensor, Tensor> op_forward_inplace(FASTLOSS_TENSORS, FASTLOSS_OPTIONS, bool empty_zero, int64_t loss_dtype,
                                              bool want_stats) {
  STD_TORCH_CHECK(reduction != kNone, "fastloss: in place needs a reduction");
  Forward r = forward(id, input, target, weight, mask, normalizer, FASTLOSS_OPTIONS_VALUE, empty_zero, loss_dtype,
                      kNothing, want_stats, true);
  return {r.loss, r.stats};
}

template <int id>
std::tuple<Tensor, Tensor> op_backward(const Tensor& grad_output, FASTLOSS_TENSORS, std::optional<Tensor> state,
                                       FASTLOSS_OPTIONS, bool want_grad, bool want_target_grad) {
  Tensor grad = want_grad ? fresh_like(input) : new_empty(input, {0});
  Tensor target_grad = want_target_grad ? fresh_like(target) : new_empty(input, {0});
  backward(id, grad_output, input, target, weight, mask, normalizer, state, FASTLOSS_OPTIONS_VALUE,
           want_grad ? &grad : nullptr, want_target_grad ? &target_grad : nullptr);
  return {grad, target_grad};
}

template <int id>
void op_backward_inplace(const Tensor& input, const Tensor& grad_output, const Tensor& target,
                         std::optional<Tensor> weight, std::optional<Tensor> mask, std::optional<Tensor> normalizer,
                         std::optional<Tensor> state, FASTLOSS_OPTIONS) {
  backward(id, grad_output, input, target, weight, mask, normalizer, state, FASTLOSS_OPTIONS_VALUE, &input, nullptr);
}

void op_scale(const Tensor& grad, const Tensor& scale) {
  STD_TORCH_CHECK(grad.is_cpu() && scale.is_cpu() && scale.numel() == 1, "fastloss: expected a CPU scalar");
  const Tensor wide = as_compute(scale, ScalarType::Double);
  const double factor = *(const double*)wide.const_data_ptr();
  if (factor == 1) return;
  const DType dtype = dtype_of(grad);
  const ScaleKernel kernel = isa::kernels().scale[(int)dtype];
  void* const data = grad.mutable_data_ptr();
  torch::stable::parallel_for(0, grad.numel(), kParallelElements,
                              [&](int64_t begin, int64_t end) { kernel(data, begin, end, factor); });
}

#undef FASTLOSS_TENSORS
#undef FASTLOSS_OPTIONS
#undef FASTLOSS_OPTIONS_VALUE

#define FASTLOSS_INDEX(name, Functor, params) k_##name,
enum RowsLoss : int { FASTLOSS_ROWS_LOSSES(FASTLOSS_INDEX) };
#undef FASTLOSS_INDEX

#define TENSORS "Tensor target, Tensor? weight, Tensor? mask, Tensor? normalizer, "
#define OPTIONS "float[] params, int ignore_index, int reduction, float label_smoothing, float z_loss, float softcap"

}  // namespace

STABLE_TORCH_LIBRARY(fastloss, m) {
#define FASTLOSS_SCHEMA(name, Functor, params)                                                  \
  m.def(#name "(Tensor input, " TENSORS OPTIONS                                                 \
              ", bool empty_zero, int loss_dtype, int save, bool want_stats)"                   \
              " -> (Tensor loss, Tensor saved, Tensor stats)");                                 \
  m.def(#name "_(Tensor(a!) input, " TENSORS OPTIONS                                            \
              ", bool empty_zero, int loss_dtype, bool want_stats)"                             \
              " -> (Tensor loss, Tensor stats)");                                               \
  m.def(#name "_backward(Tensor grad_output, Tensor input, " TENSORS "Tensor? state, " OPTIONS  \
              ", bool want_grad, bool want_target_grad) -> (Tensor grad, Tensor target_grad)"); \
  m.def(#name "_backward_(Tensor(a!) input, Tensor grad_output, " TENSORS "Tensor? state, " OPTIONS ") -> ()");
  FASTLOSS_ROWS_LOSSES(FASTLOSS_SCHEMA)
#undef FASTLOSS_SCHEMA
  m.def("scale_(Tensor(a!) grad, Tensor scale) -> ()");
}

STABLE_TORCH_LIBRARY_IMPL(fastloss, CPU, m) {
#define FASTLOSS_IMPLEMENT(name, Functor, params)               \
  m.impl(#name, TORCH_BOX(&op_forward<k_##name>));              \
  m.impl(#name "_", TORCH_BOX(&op_forward_inplace<k_##name>));  \
  m.impl(#name "_backward", TORCH_BOX(&op_backward<k_##name>)); \
  m.impl(#name "_backward_", TORCH_BOX(&op_backward_inplace<k_##name>));
  FASTLOSS_ROWS_LOSSES(FASTLOSS_IMPLEMENT)
#undef FASTLOSS_IMPLEMENT
  m.impl("scale_", TORCH_BOX(&op_scale));
}

}  // namespace fastloss::ops
