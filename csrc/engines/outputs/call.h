#pragma once

// A call of the operators of row outputs as every backend sees it:
//     row_outputs(Tensor input, Tensor? target, Tensor? mask, Tensor? weight, float[] numbers, bool part,
//                 Tensor(a!) state, Tensor(b!)? logprob, Tensor(c!)? entropy, Tensor(d!)? lse, Tensor(e!)? spread) -> ()
//     row_outputs_backward(Tensor input, Tensor? target, Tensor? mask, Tensor? weight, float[] numbers, Tensor state,
//                          Tensor? entropy, Tensor? of_logprob, Tensor? of_entropy, Tensor? of_lse, Tensor? of_spread,
//                          Tensor(a!) grad_input) -> ()
// `numbers`: see Numbers. All but logits, targets, mask and the gradient is of the computing type. Classes are dimension 1, or 0
// of a vector, as everywhere in the softmax engine; targets have the shape of the rows, and one more dimension if there are
// several a row.

#include "engines/outputs/args.h"
#include "engines/softmax/call.h"

namespace fastloss::ops {

enum Numbers { kSoftcap, kTemperature, kIgnoreIndex, kAllClasses, kNumbers };

constexpr const char* kOutputsSchema =
    "row_outputs(Tensor input, Tensor? target, Tensor? mask, Tensor? weight, float[] numbers, bool part, "
    "Tensor(a!) state, Tensor(b!)? logprob, Tensor(c!)? entropy, Tensor(d!)? lse, Tensor(e!)? spread) -> ()";
constexpr const char* kOutputsBackwardSchema =
    "row_outputs_backward(Tensor input, Tensor? target, Tensor? mask, Tensor? weight, float[] numbers, Tensor state, "
    "Tensor? entropy, Tensor? of_logprob, Tensor? of_entropy, Tensor? of_lse, Tensor? of_spread, "
    "Tensor(a!) grad_input) -> ()";

// Checks the tensors and gathers what a kernel reads. Owns what it had to convert.
struct OutputsProblem {
  OutputsArgs args{};
  const Tensor& input;
  const ScalarType compute;
  std::vector<const Tensor*> read;
  std::vector<Tensor> owned;

  OutputsProblem(const Tensor& input, const Tensor* target, const Tensor* mask, const Tensor* weight,
                 const std::vector<double>& numbers)
      : input(input), compute(compute_type(input)), read{&input, target, mask, weight} {
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
    for (const Tensor* t : {target, mask, weight}) {
      STD_TORCH_CHECK(!t || same_device(*t, input), "fastloss: expected all tensors on the device of input");
    }
    if (target) {
      const std::vector<int64_t> shape = rows_shape(input);
      const int64_t dims = (int64_t)shape.size();
      bool fits = target->scalar_type() == ScalarType::Long && (target->dim() == dims || target->dim() == dims + 1);
      for (int64_t d = 0; fits && d < dims; ++d) fits = target->size(d) == shape[d];
      STD_TORCH_CHECK(fits, "fastloss: expected int64 targets of the rows' shape, or with one more dimension");
      args.targets = target->dim() == dims ? 1 : target->size(dims);
      STD_TORCH_CHECK(args.targets > 0, "fastloss: expected a target of each row");
      args.target = (const int64_t*)dense(*target).const_data_ptr();
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
  const void* numbers_of(const char* name, const Tensor* t, int64_t each) {
    if (!t) return nullptr;
    STD_TORCH_CHECK(t->numel() == each * args.rows.rows && t->scalar_type() == compute && same_device(*t, input),
                    "fastloss: expected ", each * args.rows.rows, " numbers of the computing dtype as ", name);
    read.push_back(t);
    return data_of(dense(*t));
  }
  void* output(const char* name, const Tensor* t, int64_t each) {
    if (!t) return nullptr;
    STD_TORCH_CHECK(t->is_contiguous(), "fastloss: expected adjacent memory for ", name);
    numbers_of(name, t, each);
    read.pop_back();
    check_own_memory(name, *t);
    for (const Tensor* other : read) {
      STD_TORCH_CHECK(!other || !overlaps(*t, *other), "fastloss: expected ", name, " in memory of its own");
    }
    read.push_back(t);
    return mutable_data_of(*t);
  }

  void view_forward(bool part, const Tensor& state, const Tensor* logprob, const Tensor* entropy, const Tensor* lse,
                    const Tensor* spread) {
    RowsArgs& rows = args.rows;
    args.part = part;
    args.state = output("state", &state, 2);
    args.logprob = output("logprob", logprob, args.targets);
    args.entropy = output("entropy", entropy, 1);
    args.lse = output("lse", lse, 1);
    args.spread = output("spread", spread, 1);
    STD_TORCH_CHECK(!spread || rows.weight, "fastloss: expected weights of the classes, for the spread");
    rows.want_stats = entropy;
    rows.label_smoothing = spread ? 1 : 0;  // the spread is what smoothing measures
    rows.logits.data = (void*)data_of(input);
    describe({{&rows.logits, &input}}, rows);
  }

  void view_backward(const Tensor& state, const Tensor* entropy, const Tensor* of_logprob, const Tensor* of_entropy,
                     const Tensor* of_lse, const Tensor* of_spread, const Tensor& grad) {
    RowsArgs& rows = args.rows;
    args.state = (void*)numbers_of("state", &state, 2);
    args.entropy = (void*)numbers_of("entropy", entropy, 1);
    args.of_logprob = numbers_of("gradient of logprob", of_logprob, args.targets);
    args.of_entropy = numbers_of("gradient of entropy", of_entropy, 1);
    args.of_lse = numbers_of("gradient of lse", of_lse, 1);
    args.of_spread = numbers_of("gradient of spread", of_spread, 1);
    STD_TORCH_CHECK(!of_entropy || entropy, "fastloss: expected the entropy, for its gradient");
    STD_TORCH_CHECK(!of_spread || rows.weight, "fastloss: expected weights of the classes, for the spread");
    check_output("grad_input", grad, input);
    check_own_memory("grad_input", grad);
    bool over_itself = grad.const_data_ptr() == input.const_data_ptr();
    for (int64_t d = 0; over_itself && d < input.dim(); ++d) {
      over_itself = input.size(d) == 1 || grad.stride(d) == input.stride(d);
    }
    for (const Tensor* other : read) {
      STD_TORCH_CHECK(!other || (other == &input && over_itself) || !overlaps(grad, *other),
                      "fastloss: expected grad_input in memory of its own");
    }
    rows.logits.data = (void*)data_of(input);
    rows.gradient.data = mutable_data_of(grad);
    describe({{&rows.logits, &input}, {&rows.gradient, &grad}}, rows);
  }
};

template <class Backend>
void row_outputs(const Tensor& input, const MaybeTensor& target, const MaybeTensor& mask, const MaybeTensor& weight,
                 const std::vector<double>& numbers, bool part, const Tensor& state, const MaybeTensor& logprob,
                 const MaybeTensor& entropy, const MaybeTensor& lse, const MaybeTensor& spread) {
  OutputsProblem problem(input, pointer(target), pointer(mask), pointer(weight), numbers);
  problem.view_forward(part, state, pointer(logprob), pointer(entropy), pointer(lse), pointer(spread));
  Backend::run(problem);
}

template <class Backend>
void row_outputs_backward(const Tensor& input, const MaybeTensor& target, const MaybeTensor& mask,
                          const MaybeTensor& weight, const std::vector<double>& numbers, const Tensor& state,
                          const MaybeTensor& entropy, const MaybeTensor& of_logprob, const MaybeTensor& of_entropy,
                          const MaybeTensor& of_lse, const MaybeTensor& of_spread, const Tensor& grad) {
  OutputsProblem problem(input, pointer(target), pointer(mask), pointer(weight), numbers);
  problem.view_backward(state, pointer(entropy), pointer(of_logprob), pointer(of_entropy), pointer(of_lse),
                        pointer(of_spread), grad);
  Backend::run(problem);
}

}  // namespace fastloss::ops
