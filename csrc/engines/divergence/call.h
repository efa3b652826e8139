#pragma once

// A call of an operator of two rows of logits as every backend sees it: classes are the last dimension; weight, mask and
// unreduced losses have a value per row.

#include <vector>

#include "engines/divergence/args.h"
#include "losses/losses.h"
#include "torch/operators.h"

namespace fastloss::ops {

#define FASTLOSS_COUNT(name, Functor, params) count_names(params),
constexpr size_t kDivergenceParams[] = {FASTLOSS_DIVERGENCE_LOSSES(FASTLOSS_COUNT)};
#undef FASTLOSS_COUNT

// What the operators know of the losses.
struct DivergenceEngine {
  static constexpr size_t arity(int) { return 2; }
  static constexpr size_t numbers(int id) { return kDivergenceParams[id] + kDivergenceOptions; }
  static constexpr bool in_place = true, has_state = false;
};

// Checks the tensors and gathers what a kernel reads.
struct DivergenceViews : RowViews<DivergenceArgs> {
  DivergenceViews(const Call& call, const Written& written) : RowViews(call) {
    const Tensor& target = *call.tensors[1];
    dtype_of(input), dtype_of(target);  // refuse integers
    STD_TORCH_CHECK(input.dim() > 0 && input.numel() > 0, "fastloss: expected non-empty rows of logits");
    check_count(input);
    if (target.scalar_type() == ScalarType::Double) compute = ScalarType::Double;
    args.classes = input.size(input.dim() - 1);
    args.rows = input.numel() / args.classes;
    const double* next = call.numbers.data();
    for (size_t k = 0; k < kDivergenceParams[call.id]; ++k) args.params[k] = *next++;
    args.options.temperature = *next++;
    args.options.target_temperature = *next++;
    STD_TORCH_CHECK(*next == 0 || *next == 1 || *next == 2, "fastloss: unknown kind of teacher ", *next);
    args.options.teacher = (Teacher)(int)*next;
    STD_TORCH_CHECK(args.options.teacher != Teacher::probabilities || !written.gradients[1],
                    "fastloss: probabilities have no gradient here");
    add(args.student, input, input);
    add(args.teacher, target, target);
    if (written.gradients[0]) add(args.student_gradient, *written.gradients[0], input);
    if (written.gradients[1]) add(args.teacher_gradient, *written.gradients[1], target);
    describe();
    weight_and_mask(call);
  }

 private:
  std::vector<std::pair<DivergenceView*, const Tensor*>> views_;

  void add(DivergenceView& view, const Tensor& t, const Tensor& like) {
    bool same = same_device(t, input) && t.dim() == input.dim() && t.scalar_type() == like.scalar_type();
    for (int64_t d = 0; same && d < input.dim(); ++d) same = t.size(d) == input.size(d);
    STD_TORCH_CHECK(same, "fastloss: expected both logits of one shape and device, and gradients like their logits");
    view.data = (void*)data_of(t);
    view.type = element_of(t);
    view.class_stride = t.stride(t.dim() - 1);
    views_.push_back({&view, &t});
  }

  // Merges row dimensions that are adjacent in all tensors.
  void describe() {
    for (int64_t d = 0; d + 1 < input.dim(); ++d) {
      if (input.size(d) == 1) continue;
      bool merge = args.dims > 0;
      for (auto& [view, t] : views_) merge = merge && view->row_stride[args.dims - 1] == t->stride(d) * input.size(d);
      if (merge) {
        args.size[args.dims - 1] *= input.size(d);
      } else {
        STD_TORCH_CHECK(args.dims < kMaxRowDims, "fastloss: more than ", kMaxRowDims,
                        " row dimensions; make input contiguous");
        args.size[args.dims++] = input.size(d);
      }
      for (auto& [view, t] : views_) view->row_stride[args.dims - 1] = t->stride(d);
    }
    if (args.dims == 0) args.size[args.dims++] = 1;
  }
};

}  // namespace fastloss::ops
