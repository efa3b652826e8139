#pragma once

// A call of a rows-family operator as every backend sees it: arguments, what they must be, and the logits as rows.

#include <tuple>
#include <utility>
#include <vector>

#include "losses/losses.h"
#include "ops/tensors.h"

namespace fastloss::ops {

#define FASTLOSS_COUNT(name, Functor, params) count_names(params),
constexpr size_t kRowsParams[] = {FASTLOSS_ROWS_LOSSES(FASTLOSS_COUNT)};
#undef FASTLOSS_COUNT

#define FASTLOSS_ONE(name, value) +1
constexpr size_t kRowsOptions = 0 FASTLOSS_ROWS_OPTIONS(FASTLOSS_ONE);
#undef FASTLOSS_ONE

struct Options {
  const std::vector<double>&params, &options;
  int64_t ignore_index;
  int64_t reduction;
};

inline void set_options(RowsArgs& args, const Options& o) {
  args.ignore_index = o.ignore_index;
  std::copy(o.params.begin(), o.params.end(), args.params);
  const double* next = o.options.data();
#define FASTLOSS_READ(name, value) args.name = *next++;
  FASTLOSS_ROWS_OPTIONS(FASTLOSS_READ)
#undef FASTLOSS_READ
}

// Class dimension of logits (C), (N, C) or (N, C, d1, ...).
inline int64_t class_dim(const Tensor& input) { return input.dim() == 1 ? 0 : 1; }

inline std::vector<int64_t> rows_shape(const Tensor& input) {
  std::vector<int64_t> shape;
  for (int64_t d = 0; d < input.dim(); ++d) {
    if (d != class_dim(input)) shape.push_back(input.size(d));
  }
  return shape;
}

// Describes up to four tensors of logits' shape as rows x classes, merging row dimensions that are adjacent in all.
inline void describe(const std::vector<std::pair<RowsView*, const Tensor*>>& views, RowsArgs& args) {
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

// What must hold on every backend; `torch.ops` is reachable without our Python.
inline void check_rows(int id, const Tensor& input, const Tensor& target, const std::optional<Tensor>& weight,
                       const std::optional<Tensor>& mask, const std::optional<Tensor>& normalizer, const Options& o) {
  STD_TORCH_CHECK(input.dim() > 0 && input.numel() > 0, "fastloss: expected a non-empty input with classes");
  check_count(input);
  STD_TORCH_CHECK(o.reduction >= kNone && o.reduction <= kSum, "fastloss: unknown reduction ", o.reduction);
  STD_TORCH_CHECK(o.params.size() == kRowsParams[id], "fastloss: expected ", kRowsParams[id], " parameters, got ",
                  o.params.size());
  STD_TORCH_CHECK(o.options.size() == kRowsOptions, "fastloss: expected ", kRowsOptions, " options, got ",
                  o.options.size());
  dtype_of(input);  // refuses integers
  STD_TORCH_CHECK(same_device(target, input) && (!mask || same_device(*mask, input)) &&
                      (!weight || same_device(*weight, input)) && (!normalizer || same_device(*normalizer, input)),
                  "fastloss: expected all tensors on the device of input");
  const int64_t classes = input.size(class_dim(input)), rows = input.numel() / classes;
  STD_TORCH_CHECK(classes < int64_t{1} << 31, "fastloss: expected fewer than 2^31 classes, got ", classes);
  if (target.scalar_type() != ScalarType::Long) {
    dtype_of(target);  // refuses integers
    STD_TORCH_CHECK(target.dim() == input.dim(), "fastloss: expected probability targets of input's shape");
    STD_TORCH_CHECK(target.scalar_type() != ScalarType::Double || input.scalar_type() == ScalarType::Double,
                    "fastloss: expected probability targets of at most float32, since the logits are no wider");
    for (int64_t d = 0; d < input.dim(); ++d) {
      STD_TORCH_CHECK(target.size(d) == input.size(d), "fastloss: target size ", target.size(d), " at dimension ", d,
                      ", expected ", input.size(d));
    }
  } else {
    const std::vector<int64_t> expected = rows_shape(input);
    STD_TORCH_CHECK(target.dim() == (int64_t)expected.size(), "fastloss: target has ", target.dim(),
                    " dimensions, expected ", expected.size());
    for (int64_t d = 0; d < target.dim(); ++d) {
      STD_TORCH_CHECK(target.size(d) == expected[d], "fastloss: target size ", target.size(d), " at dimension ", d,
                      ", expected ", expected[d]);
    }
  }
  if (mask) {
    STD_TORCH_CHECK(mask->scalar_type() == ScalarType::Bool && mask->numel() == rows,
                    "fastloss: expected a bool mask of ", rows, " rows");
  }
  if (weight) {
    STD_TORCH_CHECK(weight->dim() == 1 && weight->numel() == classes, "fastloss: expected ", classes,
                    " class weights, got ", weight->numel());
  }
  if (normalizer) {
    STD_TORCH_CHECK(normalizer->scalar_type() == ScalarType::Double && normalizer->numel() == 1,
                    "fastloss: expected a float64 scalar normalizer");
  }
}

// Describes the tensors of logits' shape that a kernel reads and writes; outputs may be null, or the logits themselves.
// `read`: what else a kernel reads.
inline void view_rows(RowsArgs& args, const Tensor& input, const Tensor* probability, const Tensor* grad,
                      const Tensor* target_grad, std::initializer_list<const Tensor*> read) {
  std::vector<std::pair<RowsView*, const Tensor*>> views{{&args.logits, &input}};
  args.logits.data = (void*)data_of(input);
  if (grad) {
    check_output("grad", *grad, input);
    bool in_place = grad->const_data_ptr() == input.const_data_ptr();
    for (int64_t d = 0; d < input.dim(); ++d) {
      in_place = in_place && (input.size(d) == 1 || grad->stride(d) == input.stride(d));
    }
    check_own_memory("grad", *grad, {in_place ? nullptr : &input});
    check_apart("grad", *grad, read);
    views.push_back({&args.gradient, grad});
    args.gradient.data = mutable_data_of(*grad);
  }
  if (probability) {
    views.push_back({&args.probability, probability});
    args.probability.data = (void*)data_of(*probability);
    args.probability_type = element_of(*probability);
  }
  STD_TORCH_CHECK(probability || !target_grad, "fastloss: class indices have no gradient");
  if (target_grad) {
    check_output("target_grad", *target_grad, *probability);
    check_own_memory("target_grad", *target_grad, {&input, grad});
    check_apart("target_grad", *target_grad, read);
    views.push_back({&args.probability_gradient, target_grad});
    args.probability_gradient.data = mutable_data_of(*target_grad);
  }
  describe(views, args);
}

// Numbers that forward keeps per row: maximum and sum, of probabilities the mass too.
inline int64_t state_planes(bool soft) { return soft ? 3 : 2; }

inline std::vector<int64_t> state_shape(const Tensor& input, bool soft, bool wanted) {
  if (!wanted) return {0};
  std::vector<int64_t> shape = rows_shape(input);
  shape.insert(shape.begin(), state_planes(soft));
  return shape;
}

// Backward of a call that kept its state.
inline void use_state(RowsArgs& args, const std::optional<Tensor>& state, const Tensor& input, bool soft) {
  STD_TORCH_CHECK(state || !args.probability_gradient.data, "fastloss: the gradient to the target needs the state");
  if (!state) return;
  STD_TORCH_CHECK(state->numel() == state_planes(soft) * args.rows && state->scalar_type() == compute_type(input) &&
                      state->is_contiguous() && same_device(*state, input),
                  "fastloss: expected the state that forward returned");
  args.state = (void*)data_of(*state);
  args.from_state = true;
}

#define FASTLOSS_TENSORS                                                                               \
  const Tensor &input, const Tensor &target, std::optional<Tensor> weight, std::optional<Tensor> mask, \
      std::optional<Tensor> normalizer
#define FASTLOSS_OPTIONS std::vector<double> params, std::vector<double> options, int64_t ignore_index, int64_t reduction
#define FASTLOSS_OPTIONS_VALUE \
  Options { params, options, ignore_index, reduction }
#define FASTLOSS_OPTIONS_SCHEMA "float[] params, float[] options, int ignore_index, int reduction"

struct Forward {
  Tensor loss, state, stats;
};

// The operators of one loss. Each comes in two forms: one that allocates its results, which torch.compile can trace as
// a pure function, and one (_out) that writes into memory from outside: the logits themselves, or a block of the
// gradient pool. A Backend has
//     static Forward forward(int id, input .. normalizer, const Options&, bool empty_zero, int64_t loss_dtype,
//                            const Tensor* gradient, bool save_state, bool want_stats);
//     static void backward(int id, const Tensor& grad_output, input .. normalizer, state, const Options&,
//                          const Tensor* grad, const Tensor* target_grad);
//     static Tensor gradient_like(const Tensor&);     // memory for a gradient
//     static Tensor nothing(const Tensor& like);      // of no elements: what was not asked for
template <class Backend, int id>
struct RowsOperators {
  static std::tuple<Tensor, Tensor, Tensor> forward(FASTLOSS_TENSORS, FASTLOSS_OPTIONS, bool empty_zero,
                                                    int64_t loss_dtype, bool save_state, bool want_stats) {
    Forward r = Backend::forward(id, input, target, weight, mask, normalizer, FASTLOSS_OPTIONS_VALUE, empty_zero,
                                 loss_dtype, nullptr, save_state, want_stats);
    return {r.loss, r.state, r.stats};
  }

  static std::tuple<Tensor, Tensor> forward_out(FASTLOSS_TENSORS, FASTLOSS_OPTIONS, bool empty_zero, int64_t loss_dtype,
                                                bool want_stats, Tensor gradient) {
    STD_TORCH_CHECK(reduction != kNone, "fastloss: the gradient of unreduced losses is made in backward");
    Forward r = Backend::forward(id, input, target, weight, mask, normalizer, FASTLOSS_OPTIONS_VALUE, empty_zero,
                                 loss_dtype, &gradient, false, want_stats);
    return {r.loss, r.stats};
  }

  static std::tuple<Tensor, Tensor> backward(const Tensor& grad_output, FASTLOSS_TENSORS, std::optional<Tensor> state,
                                             FASTLOSS_OPTIONS, bool want_grad, bool want_target_grad) {
    Tensor grad = want_grad ? Backend::gradient_like(input) : Backend::nothing(input);
    Tensor target_grad = want_target_grad ? Backend::gradient_like(target) : Backend::nothing(input);
    Backend::backward(id, grad_output, input, target, weight, mask, normalizer, state, FASTLOSS_OPTIONS_VALUE,
                      want_grad ? &grad : nullptr, want_target_grad ? &target_grad : nullptr);
    return {grad, target_grad};
  }

  static void backward_out(const Tensor& grad_output, FASTLOSS_TENSORS, std::optional<Tensor> state, FASTLOSS_OPTIONS,
                           std::optional<Tensor> grad, std::optional<Tensor> target_grad) {
    Backend::backward(id, grad_output, input, target, weight, mask, normalizer, state, FASTLOSS_OPTIONS_VALUE,
                      grad ? &*grad : nullptr, target_grad ? &*target_grad : nullptr);
  }
};

#define FASTLOSS_IMPLEMENT_ROWS(m, Backend, name)                                      \
  m.impl(#name, TORCH_BOX((&RowsOperators<Backend, k_##name>::forward)));              \
  m.impl(#name "_out", TORCH_BOX((&RowsOperators<Backend, k_##name>::forward_out)));   \
  m.impl(#name "_backward", TORCH_BOX((&RowsOperators<Backend, k_##name>::backward))); \
  m.impl(#name "_backward_out", TORCH_BOX((&RowsOperators<Backend, k_##name>::backward_out)));

}  // namespace fastloss::ops
