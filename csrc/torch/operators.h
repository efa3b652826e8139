#pragma once

// The operators of a loss, one template for every engine and backend. Of a loss of two tensors:
//     <loss>(Tensor input, Tensor target, Tensor? weight, Tensor? mask, Tensor? divisor, float[] numbers, int reduction,
//            bool empty_zero, int loss_dtype, Tensor(a!)? state, Tensor(b!)? stats, Tensor(c!)? grad_input,
//            Tensor(d!)? grad_target) -> Tensor
//     <loss>_backward(Tensor grad_output, <tensors>, weight, mask, divisor, Tensor? state, numbers, reduction,
//                     bool unless_one, <gradients>) -> ()
// An operator returns the loss and writes everything else into memory that it is given, if it is given any: the gradients
// of a reduced loss (for an upstream gradient of 1), the state that backward may start from, the statistics. So PyTorch
// needs to be told the loss's shape alone (fastloss/_core/operators.py), and a caller may give the logits themselves or a block of
// the gradient pool. `numbers` are the loss's parameters, then the options of its engine: no new one changes a schema.
// `unless_one` (CUDA): the gradients are there, for 1; nothing is to be done if that is the upstream gradient.

#include <string>
#include <utility>
#include <vector>

#include "engines/elements/args.h"
#include "torch/tensors.h"

namespace fastloss::ops {

// What forward and backward are told.
struct Call {
  int id;
  const Tensor* tensors[kMaxOperands];  // null: the loss has fewer
  const Tensor *weight, *mask, *divisor;
  const std::vector<double>& numbers;
  int64_t reduction;

  const Tensor& input() const { return *tensors[0]; }
  bool reduced() const { return reduction != kNone; }
};

// Memory to write to; null: not wanted.
struct Written {
  const Tensor* gradients[kMaxOperands];
  const Tensor *state, *stats;
};

// `in_place`: the first gradient may lie over its own tensor.
inline void check_memory(const Call& call, const Written& written, const Tensor* upstream, const Tensor* state,
                         bool in_place) {
  Given all[2 * kMaxOperands + 7] = {{"state", written.state, true},   {"stats", written.stats, true},
                                     {"weight", call.weight, false},   {"mask", call.mask, false},
                                     {"divisor", call.divisor, false}, {"grad_output", upstream, false},
                                     {"state", state, false}};
  for (int k = 0; k < kMaxOperands; ++k) {
    all[7 + 2 * k] = {"a tensor", call.tensors[k], false};
    all[8 + 2 * k] = {"a gradient", written.gradients[k], true};
  }
  check_memory(all, 2 * kMaxOperands + 7, in_place ? written.gradients[0] : nullptr, call.tensors[0]);
}

// What must hold for every engine; `torch.ops` is reachable without our Python.
inline void check_call(const Call& call, size_t numbers) {
  STD_TORCH_CHECK(call.reduction >= kNone && call.reduction <= kSum, "fastloss: unknown reduction ", call.reduction);
  STD_TORCH_CHECK(call.numbers.size() == numbers, "fastloss: expected ", numbers, " parameters and options, got ",
                  call.numbers.size());
  STD_TORCH_CHECK(!call.divisor || (same_device(*call.divisor, call.input()) && call.divisor->numel() == 1 &&
                                    call.divisor->scalar_type() == ScalarType::Double),
                  "fastloss: expected a float64 scalar as divisor, on the device of input");
}

// Where statistics go.
inline double* statistics(const Tensor& stats, const Tensor& input, int64_t count) {
  STD_TORCH_CHECK(stats.scalar_type() == ScalarType::Double && stats.dim() == 1 && stats.numel() == count &&
                      stats.is_contiguous() && same_device(stats, input),
                  "fastloss: expected ", count, " adjacent float64 numbers for statistics, on the device of input");
  return (double*)mutable_data_of(stats);
}

template <size_t>
using Operand = const Tensor&;
template <size_t>
using Gradient = const MaybeTensor&;

// A Backend has, besides what its engine says of its losses,
//     static constexpr size_t arity(int id), numbers(int id);
//     static constexpr bool in_place, has_state;      // whether a gradient may lie over the logits; whether a state is kept
//     static constexpr bool on_device;                // CUDA
//     static Tensor forward(const Call&, bool empty_zero, ScalarType loss_dtype, const Written&);
//     static void backward(const Call&, const Tensor& upstream, const Tensor* state, const Written&, bool unless_one);
template <class Backend, int id, class = std::make_index_sequence<Backend::arity(id)>>
struct Operators;

template <class Backend, int id, size_t... k>
struct Operators<Backend, id, std::index_sequence<k...>> {
  static Tensor forward(Operand<k>... tensors, const MaybeTensor& weight, const MaybeTensor& mask,
                        const MaybeTensor& divisor, const std::vector<double>& numbers, int64_t reduction,
                        bool empty_zero, int64_t loss_dtype, const MaybeTensor& state, const MaybeTensor& stats,
                        Gradient<k>... gradients) {
    const Call call{id, {&tensors...}, pointer(weight), pointer(mask), pointer(divisor), numbers, reduction};
    const Written written{{pointer(gradients)...}, pointer(state), pointer(stats)};
    STD_TORCH_CHECK(call.reduced() || !(gradients || ...),
                    "fastloss: the gradient of unreduced losses is made in backward");
    STD_TORCH_CHECK(Backend::has_state || !state, "fastloss: this loss keeps no state");
    check_call(call, Backend::numbers(id));
    check_memory(call, written, nullptr, nullptr, Backend::in_place);
    return Backend::forward(call, empty_zero, dtype_of_code("loss_dtype", loss_dtype), written);
  }

  static void backward(const Tensor& upstream, Operand<k>... tensors, const MaybeTensor& weight,
                       const MaybeTensor& mask, const MaybeTensor& divisor, const MaybeTensor& state,
                       const std::vector<double>& numbers, int64_t reduction, bool unless_one,
                       Gradient<k>... gradients) {
    const Call call{id, {&tensors...}, pointer(weight), pointer(mask), pointer(divisor), numbers, reduction};
    const Written written{{pointer(gradients)...}, nullptr, nullptr};
    STD_TORCH_CHECK(!unless_one || (Backend::on_device && call.reduced()),
                    "fastloss: unless_one is for one upstream gradient on a CUDA device");
    STD_TORCH_CHECK(Backend::has_state || !state, "fastloss: this loss keeps no state");
    check_call(call, Backend::numbers(id));
    check_memory(call, written, &upstream, pointer(state), Backend::in_place);
    for (const Tensor* gradient : written.gradients) {  // fresh ones, where torch.compile allocates them
      if (Backend::on_device || !gradient) continue;
      memory::advise_huge_pages(gradient->mutable_data_ptr(), gradient->numel() * (int64_t)gradient->element_size());
    }
    Backend::backward(call, upstream, pointer(state), written, unless_one);
  }

  template <class Library>
  static void define(Library& m, const std::string& name) {
    static const char* const names[] = {"input", "target", "third", "fourth"};
    std::string tensors, gradients;
    ((tensors += std::string("Tensor ") + names[k] + ", "), ...);
    ((gradients += std::string(", Tensor(") + (char)('c' + k) + "!)? grad_" + names[k]), ...);
    const std::string about = tensors + "Tensor? weight, Tensor? mask, Tensor? divisor, ";
    m.def((name + "(" + about +
           "float[] numbers, int reduction, bool empty_zero, int loss_dtype, Tensor(a!)? state, Tensor(b!)? stats" +
           gradients + ") -> Tensor")
              .c_str());
    m.def((name + "_backward(Tensor grad_output, " + about +
           "Tensor? state, float[] numbers, int reduction, bool unless_one" + gradients + ") -> ()")
              .c_str());
  }

  template <class Library>
  static void implement(Library& m, const std::string& name) {
    m.impl(name.c_str(), TORCH_BOX((&Operators::forward)));
    m.impl((name + "_backward").c_str(), TORCH_BOX((&Operators::backward)));
  }
};

// The shape of what there is one of for each row: without the last dimension.
inline std::vector<int64_t> row_shape(const Tensor& input) {
  std::vector<int64_t> shape;
  for (int64_t d = 0; d + 1 < input.dim(); ++d) shape.push_back(input.size(d));
  return shape;
}

// What a kernel reads of a call whose rows lie along the last dimension. Owns what it had to convert.
template <class Args>
struct RowViews {
  Args args{};
  const Tensor& input;
  ScalarType compute;  // double if an operand is, else float

  // One value per row, dense.
  const void* per_row(const Tensor& t, const char* what, ScalarType type) {
    STD_TORCH_CHECK(same_device(t, input) && t.numel() == args.rows, "fastloss: expected ", what, " of ", args.rows,
                    " rows on the device of input, got ", t.numel());
    owned_.push_back(as_compute(t, type));
    return owned_.back().const_data_ptr();
  }

 protected:
  explicit RowViews(const Call& call) : input(call.input()), compute(compute_type(input)) {}

  // Once the number of rows and the computing type are known.
  void weight_and_mask(const Call& call) {
    if (call.weight) args.weight = per_row(*call.weight, "weight", compute);
    if (call.mask) {
      STD_TORCH_CHECK(call.mask->scalar_type() == ScalarType::Bool, "fastloss: expected a bool mask");
      args.mask = (const Flag*)per_row(*call.mask, "mask", ScalarType::Bool);
    }
  }

 private:
  std::vector<Tensor> owned_;  // handles: moving them leaves the memory where it is
};

#define FASTLOSS_DEFINE(name, Functor, params) Operators<Backend, k_##name>::define(m, #name);
#define FASTLOSS_IMPLEMENT(name, Functor, params) Operators<Backend, k_##name>::implement(m, #name);

}  // namespace fastloss::ops
