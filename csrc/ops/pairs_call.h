#pragma once

// A call of a pairs-family operator as every backend sees it. The operators have the form of the pointwise family's; the
// third tensor of a loss with labels is the label, weight, mask and unreduced losses have a value per row.

#include "core/pairs_args.h"
#include "ops/pointwise_call.h"

namespace fastloss::ops {

#define FASTLOSS_LABELLED(name, Functor, params) Functor<double>::labelled,
constexpr bool kLabelled[] = {FASTLOSS_PAIRS_LOSSES(FASTLOSS_LABELLED)};
#undef FASTLOSS_LABELLED
#define FASTLOSS_OPERANDS(name, Functor, params) Functor<double>::arity,
constexpr int kOperands[] = {FASTLOSS_PAIRS_LOSSES(FASTLOSS_OPERANDS)};
#undef FASTLOSS_OPERANDS

inline std::vector<int64_t> row_shape(const Tensor& input) {
  std::vector<int64_t> shape;
  for (int64_t d = 0; d + 1 < input.dim(); ++d) shape.push_back(input.size(d));
  return shape;
}

// Checks the tensors and gathers what a kernel reads. Owns what it had to convert.
struct PairViews {
  PairArgs args{};
  const Tensor& input;
  ScalarType compute;  // double if an operand is, else float
  bool mixed = false;  // an operand is not of input's dtype

  PairViews(int id, const PointInputs& in, PointGradients const& gradients)
      : input(in.input), compute(compute_type(in.input)) {
    dtype_of(input);  // refuses integers
    STD_TORCH_CHECK(input.dim() > 0 && input.numel() > 0, "fastloss: expected non-empty rows of vectors");
    check_count(input);
    STD_TORCH_CHECK(in.third.has_value(), "fastloss: expected 3 tensors");
    check_point_inputs(in, kPairParams[id]);
    args.width = input.size(input.dim() - 1);
    args.rows = input.numel() / args.width;
    std::copy(in.params.begin(), in.params.end(), args.params);
    check_gradients(in, gradients);
    const Tensor* const operands[] = {&input, &in.target, &*in.third};
    for (int k = 0; k < kOperands[id]; ++k) {
      args.operand[k] = view(*operands[k], "a tensor");
      if (operands[k]->scalar_type() == ScalarType::Double) compute = ScalarType::Double;
      mixed = mixed || operands[k]->scalar_type() != input.scalar_type();
      if (!gradients[k]) continue;
      dtype_of(*gradients[k]);
      STD_TORCH_CHECK(gradients[k]->scalar_type() == operands[k]->scalar_type(),
                      "fastloss: expected a gradient of the dtype of its tensor");
      args.gradient[k] = view(*gradients[k], "a gradient");
    }
    for (int k = kOperands[id]; k < kMaxOperands; ++k) {
      STD_TORCH_CHECK(!gradients[k], "fastloss: the label has no gradient");
    }
    if (kLabelled[id]) args.label = per_row(*in.third, "label", compute);
    if (in.weight) args.weight = per_row(*in.weight, "weight", compute);
    if (in.mask) {
      STD_TORCH_CHECK(in.mask->scalar_type() == ScalarType::Bool, "fastloss: expected a bool mask");
      args.mask = (const Flag*)per_row(*in.mask, "mask", ScalarType::Bool);
    }
  }

  // One value per row, dense.
  const void* per_row(const Tensor& t, const char* what, ScalarType type) {
    STD_TORCH_CHECK(same_device(t, input) && t.numel() == args.rows, "fastloss: expected ", what, " of ", args.rows,
                    " rows on the device of input, got ", t.numel());
    owned_.push_back(as_compute(t, type));
    return owned_.back().const_data_ptr();
  }

 private:
  std::vector<Tensor> owned_;  // handles: moving them leaves the memory where it is

  PairView view(const Tensor& t, const char* what) {
    bool same = same_device(t, input) && t.dim() == input.dim();
    for (int64_t d = 0; same && d < input.dim(); ++d) same = t.size(d) == input.size(d);
    STD_TORCH_CHECK(same, "fastloss: expected ", what, " of input's shape and device");
    const Element type = element_of(t);
    if (t.is_contiguous()) return {(void*)data_of(t), args.width, type};
    STD_TORCH_CHECK(t.dim() == 2 && t.stride(1) == 1, "fastloss: expected vectors that are adjacent in memory");
    return {(void*)data_of(t), t.stride(0), type};
  }
};

}  // namespace fastloss::ops
