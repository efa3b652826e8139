#pragma once

// A call of an operator of vectors as every backend sees it. The third tensor of a loss with labels is the label; weight,
// mask and unreduced losses have a value per row.

#include "engines/products/args.h"
#include "engines/elements/call.h"

namespace fastloss::ops {

#define FASTLOSS_LABELLED(name, Functor, params) Functor<double>::labelled,
constexpr bool kLabelled[] = {FASTLOSS_PAIRS_LOSSES(FASTLOSS_LABELLED)};
#undef FASTLOSS_LABELLED
#define FASTLOSS_OPERANDS(name, Functor, params) Functor<double>::arity,
constexpr int kOperands[] = {FASTLOSS_PAIRS_LOSSES(FASTLOSS_OPERANDS)};
#undef FASTLOSS_OPERANDS

// What the operators know of the losses.
struct PairsEngine {
  static constexpr size_t arity(int id) { return kOperands[id] + kLabelled[id]; }
  static constexpr size_t numbers(int id) { return kPairParams[id]; }
  static constexpr bool in_place = false, has_state = false;
};

// Checks the tensors and gathers what a kernel reads.
struct PairViews : RowViews<PairArgs> {
  bool mixed = false;  // an operand is not of input's dtype

  PairViews(const Call& call, const Written& written) : RowViews(call) {
    dtype_of(input);  // refuses integers
    STD_TORCH_CHECK(input.dim() > 0 && input.numel() > 0, "fastloss: expected non-empty rows of vectors");
    check_count(input);
    args.width = input.size(input.dim() - 1);
    args.rows = input.numel() / args.width;
    std::copy(call.numbers.begin(), call.numbers.end(), args.params);
    const int operands = kOperands[call.id];
    for (int k = 0; k < operands; ++k) {
      const Tensor &operand = *call.tensors[k], *const gradient = written.gradients[k];
      args.operand[k] = view(operand, "a tensor");
      if (operand.scalar_type() == ScalarType::Double) compute = ScalarType::Double;
      mixed = mixed || operand.scalar_type() != input.scalar_type();
      if (!gradient) continue;
      dtype_of(*gradient);
      STD_TORCH_CHECK(gradient->scalar_type() == operand.scalar_type(),
                      "fastloss: expected a gradient of the dtype of its tensor");
      args.gradient[k] = view(*gradient, "a gradient");
    }
    if (kLabelled[call.id]) {
      STD_TORCH_CHECK(!written.gradients[operands], "fastloss: the label has no gradient");
      args.label = per_row(*call.tensors[operands], "label", compute);
    }
    weight_and_mask(call);
  }

  DType kernel_dtype() const { return kernel_dtype_of(input, compute, mixed); }

 private:
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
