#pragma once

// A call of a softmax operator as every backend sees it: arguments, what they must be, and the logits as rows.

#include <cmath>
#include <utility>
#include <vector>

#include "losses/losses.h"
#include "torch/operators.h"

namespace fastloss::ops {

#define FASTLOSS_COUNT(name, Functor, params) count_names(params),
constexpr size_t kRowsParams[] = {FASTLOSS_ROWS_LOSSES(FASTLOSS_COUNT)};
#undef FASTLOSS_COUNT

#define FASTLOSS_ONE(type, name, value) +1
constexpr size_t kRowsOptions = 0 FASTLOSS_ROWS_OPTIONS(FASTLOSS_ONE);
#undef FASTLOSS_ONE

constexpr int64_t kRowStats = 7;  // numbers: those of RowStats in Python

// What the operators know of the losses.
struct RowsEngine {
  static constexpr size_t arity(int) { return 2; }
  static constexpr size_t numbers(int id) { return kRowsParams[id] + kRowsOptions; }
  static constexpr bool in_place = true, has_state = true;
};

inline void read_number(double from, double& to) { to = from; }
inline void read_number(double from, int64_t& to) {
  STD_TORCH_CHECK(std::fabs(from) <= 0x1p53 && from == std::floor(from), "fastloss: expected a whole number, got ",
                  from);
  to = (int64_t)from;
}

inline void set_numbers(RowsArgs& args, const Call& call) {
  const double* next = call.numbers.data();
  for (size_t k = 0; k < kRowsParams[call.id]; ++k) args.params[k] = *next++;
#define FASTLOSS_READ(type, name, value) read_number(*next++, args.name);
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

inline bool has_probabilities(const Call& call) { return call.tensors[1]->scalar_type() != ScalarType::Long; }

// What must hold on every backend.
inline void check_rows(const Call& call) {
  const Tensor &input = call.input(), &target = *call.tensors[1];
  STD_TORCH_CHECK(input.dim() > 0 && input.numel() > 0, "fastloss: expected a non-empty input with classes");
  check_count(input);
  dtype_of(input);  // refuses integers
  for (const Tensor* t : {&target, call.weight, call.mask}) {
    STD_TORCH_CHECK(!t || same_device(*t, input), "fastloss: expected all tensors on the device of input");
  }
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
  if (call.mask) {
    STD_TORCH_CHECK(call.mask->scalar_type() == ScalarType::Bool && call.mask->numel() == rows,
                    "fastloss: expected a bool mask of ", rows, " rows");
  }
  if (call.weight) {
    const Tensor& weight = *call.weight;
    const bool fits = weight.dim() == 1 || (weight.dim() == 2 && weight.size(0) == 2 && !has_probabilities(call));
    STD_TORCH_CHECK(fits && weight.size(weight.dim() - 1) == classes, "fastloss: expected ", classes,
                    " class weights, or of classes as targets two rows, weights and margins, got ", weight.numel());
  }
}

// Of a weight in the computing type, whose second row, if there is one, holds margins.
inline void set_weight(RowsArgs& args, const Tensor& weight) {
  args.weight = weight.const_data_ptr();
  if (weight.dim() == 2) args.margin = (const char*)args.weight + weight.numel() / 2 * weight.element_size();
}

// What forward keeps per row for backward: maximum and sum, of probabilities the mass too.
inline void* state_of(const Tensor& state, const Call& call, const RowsArgs& args) {
  STD_TORCH_CHECK(state.numel() == (has_probabilities(call) ? 3 : 2) * args.rows &&
                      state.scalar_type() == compute_type(call.input()) && state.is_contiguous() &&
                      same_device(state, call.input()),
                  "fastloss: expected memory for two numbers per row as state, three with probabilities");
  return (void*)data_of(state);
}

// Describes the tensors that a kernel reads and writes. `state`: that of forward, from which backward starts.
inline void view_rows(RowsArgs& args, const Call& call, const Written& written, const Tensor* state) {
  const Tensor &input = call.input(), *const probability = has_probabilities(call) ? call.tensors[1] : nullptr;
  const Tensor *const grad = written.gradients[0], *const target_grad = written.gradients[1];
  std::vector<std::pair<RowsView*, const Tensor*>> views{{&args.logits, &input}};
  args.logits.data = (void*)data_of(input);
  if (grad) {
    check_output("grad_input", *grad, input);
    views.push_back({&args.gradient, grad});
    args.gradient.data = mutable_data_of(*grad);
  }
  if (probability) {
    views.push_back({&args.probability, probability});
    args.probability.data = (void*)data_of(*probability);
    args.probability_type = element_of(*probability);
  }
  STD_TORCH_CHECK(probability || !target_grad, "fastloss: class indices have no gradient");
  STD_TORCH_CHECK(state || !target_grad, "fastloss: the gradient to the target needs the state of forward");
  if (target_grad) {
    check_output("grad_target", *target_grad, *probability);
    views.push_back({&args.probability_gradient, target_grad});
    args.probability_gradient.data = mutable_data_of(*target_grad);
  }
  describe(views, args);
  args.from_state = state;
  if (state) args.state = state_of(*state, call, args);
  if (written.state) args.state = state_of(*written.state, call, args);
}

}  // namespace fastloss::ops
