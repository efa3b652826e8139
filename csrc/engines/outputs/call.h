#pragma once

// A call of the operators of row outputs as every backend sees it. `numbers`: see Numbers. All but logits, targets, mask and
// the gradient is of the computing type. Classes are dimension 1, or 0 of a vector, as everywhere in the softmax engine;
// targets have the shape of the rows, and one more dimension if there are several a row.

#include "engines/outputs/args.h"
#include "engines/softmax/call.h"
#include "torch/arguments.h"

namespace fastloss::ops {

enum Numbers { kSoftcap, kTemperature, kIgnoreIndex, kAllClasses, kNumbers };

#define FASTLOSS_LOGITS(X) \
  X(Tensor, input) X(MaybeTensor, target) X(MaybeTensor, mask) X(MaybeTensor, weight) X(std::vector<double>, numbers)
FASTLOSS_ARGUMENTS(Logits, Arguments, FASTLOSS_LOGITS)

#define FASTLOSS_ROW_OUTPUTS(X)   \
  X(bool, part)                   \
  X(Output<Tensor>, state)        \
  X(Output<MaybeTensor>, logprob) \
  X(Output<MaybeTensor>, entropy) X(Output<MaybeTensor>, lse) X(Output<MaybeTensor>, spread)
FASTLOSS_ARGUMENTS(RowOutputs, Logits, FASTLOSS_ROW_OUTPUTS)

#define FASTLOSS_ROW_OUTPUTS_BACKWARD(X) \
  X(Tensor, state)                       \
  X(MaybeTensor, entropy)                \
  X(MaybeTensor, of_logprob)             \
  X(MaybeTensor, of_entropy)             \
  X(MaybeTensor, of_lse) X(MaybeTensor, of_spread) X(Output<Tensor>, grad_input)
struct LogitsInPlace : Logits {
  using Logits::Logits;
  static constexpr bool in_place = true;
};
FASTLOSS_ARGUMENTS(RowOutputsBackward, LogitsInPlace, FASTLOSS_ROW_OUTPUTS_BACKWARD)

#define FASTLOSS_OUTPUTS_OPERATORS(X) X(row_outputs, RowOutputs) X(row_outputs_backward, RowOutputsBackward)

// Checks the tensors and gathers what a kernel reads. Owns what it had to convert.
struct OutputsProblem {
  OutputsArgs args{};
  const Tensor& input;
  const ScalarType compute;
  std::vector<Tensor> owned;

  explicit OutputsProblem(const Logits& a) : input(a.input), compute(compute_type(a.input)) {
    const Tensor *const target = pointer(a.target), *const mask = pointer(a.mask), *const weight = pointer(a.weight);
    const std::vector<double>& numbers = a.numbers;
    owned.reserve(8);
    STD_TORCH_CHECK(input.dim() > 0 && input.numel() > 0, "fastloss: expected a non-empty input with classes");
    check_count(input);
    dtype_of(input);  // refuses integers
    RowsArgs& rows = args.rows;
    rows.classes = input.size(class_dim(input));
    rows.rows = input.numel() / rows.classes;
    STD_TORCH_CHECK(rows.classes < int64_t{1} << 31, "fastloss: expected fewer than 2^31 classes, got ", rows.classes);
    STD_TORCH_CHECK(numbers.size() == kNumbers, "fastloss: expected ", (int)kNumbers, " numbers, got ", numbers.size());
    rows.softcap = numbers[kSoftcap];
    rows.temperature = numbers[kTemperature];
    read_number(numbers[kIgnoreIndex], rows.ignore_index);
    read_number(numbers[kAllClasses], args.all_classes);
    STD_TORCH_CHECK(args.all_classes == rows.classes || args.all_classes == rows.classes + 1,
                    "fastloss: expected logits of ", args.all_classes, " classes, or one less, got ", rows.classes);
    if (target) {
      const std::vector<int64_t> shape = rows_shape(input);
      const int64_t dims = (int64_t)shape.size();
      bool fits = target->scalar_type() == ScalarType::Long && (target->dim() == dims || target->dim() == dims + 1);
      for (int64_t d = 0; fits && d < dims; ++d) fits = target->size(d) == shape[d];
      STD_TORCH_CHECK(fits, "fastloss: expected int64 targets of the rows' shape, or with one more dimension");
      args.targets = target->dim() == dims ? 1 : target->size(dims);
      STD_TORCH_CHECK(args.targets > 0, "fastloss: expected a target of each row");
      args.target = (const int64_t*)dense(*target).const_data_ptr();
      rows.target = args.targets == 1 ? args.target : nullptr;
    }
    if (mask) {
      STD_TORCH_CHECK(mask->scalar_type() == ScalarType::Bool && mask->numel() == rows.rows,
                      "fastloss: expected a bool mask of ", rows.rows, " rows");
      rows.mask = (const Flag*)dense(*mask).const_data_ptr();
    }
    if (weight) {
      STD_TORCH_CHECK(weight->dim() == 1 && weight->numel() == rows.classes, "fastloss: expected ", rows.classes,
                      " class weights, got ", weight->numel());
      owned.push_back(as_compute(*weight, compute));
      rows.weight = owned.back().const_data_ptr();
    }
  }

  const Tensor& dense(const Tensor& t) {
    owned.push_back(as_dense(t));
    return owned.back();
  }

  // Numbers of rows, or of their targets, in the computing type.
  void* numbers_of(const char* name, const Tensor* t, int64_t each) {
    if (!t) return nullptr;
    STD_TORCH_CHECK(t->numel() == each * args.rows.rows && t->scalar_type() == compute, "fastloss: expected ",
                    each * args.rows.rows, " numbers of the computing dtype as ", name);
    return (void*)data_of(dense(*t));
  }
  void* output(const char* name, const Tensor* t, int64_t each) {
    STD_TORCH_CHECK(!t || t->is_contiguous(), "fastloss: expected adjacent memory for ", name);
    return numbers_of(name, t, each);
  }

  explicit OutputsProblem(const RowOutputs& a) : OutputsProblem((const Logits&)a) {
    RowsArgs& rows = args.rows;
    args.part = a.part;
    args.state = output("state", &a.state.tensor, 2);
    args.logprob = output("logprob", pointer(a.logprob.tensor), args.targets);
    args.entropy = output("entropy", pointer(a.entropy.tensor), 1);
    args.lse = output("lse", pointer(a.lse.tensor), 1);
    args.spread = output("spread", pointer(a.spread.tensor), 1);
    STD_TORCH_CHECK(!args.spread || rows.weight, "fastloss: expected weights of the classes, for the spread");
    rows.want_stats = args.entropy;
    rows.label_smoothing = args.spread ? 1 : 0;  // the spread is what smoothing measures
    rows.logits.data = (void*)data_of(input);
    describe({{&rows.logits, &input}}, rows);
  }

  explicit OutputsProblem(const RowOutputsBackward& a) : OutputsProblem((const Logits&)a) {
    RowsArgs& rows = args.rows;
    const Tensor& grad = a.grad_input.tensor;
    args.state = numbers_of("state", &a.state, 2);
    args.entropy = numbers_of("entropy", pointer(a.entropy), 1);
    args.of_logprob = numbers_of("gradient of logprob", pointer(a.of_logprob), args.targets);
    args.of_entropy = numbers_of("gradient of entropy", pointer(a.of_entropy), 1);
    args.of_lse = numbers_of("gradient of lse", pointer(a.of_lse), 1);
    args.of_spread = numbers_of("gradient of spread", pointer(a.of_spread), 1);
    STD_TORCH_CHECK(!a.of_entropy || a.entropy, "fastloss: expected the entropy, for its gradient");
    STD_TORCH_CHECK(!a.of_spread || rows.weight, "fastloss: expected weights of the classes, for the spread");
    check_output("grad_input", grad, input);
    rows.logits.data = (void*)data_of(input);
    rows.gradient.data = mutable_data_of(grad);
    rows.from_state = true;
    describe({{&rows.logits, &input}, {&rows.gradient, &grad}}, rows);
  }
};

}  // namespace fastloss::ops
