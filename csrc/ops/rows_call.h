#pragma once

// A call of a rows-family operator as every backend sees it: arguments, what they must be, and the logits as rows.

#include <utility>
#include <vector>

#include "ops/tensors.h"

namespace fastloss::ops {

enum Reduction : int64_t { kNone, kMean, kSum };

struct Options {
  const std::vector<double>& params;
  int64_t ignore_index;
  int64_t reduction;
  double smoothing;
  double z_loss;
  double softcap;
};

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
inline void check_rows(const Tensor& input, const Tensor& target, const std::optional<Tensor>& weight,
                       const std::optional<Tensor>& mask, const std::optional<Tensor>& normalizer, const Options& o) {
  STD_TORCH_CHECK(input.dim() > 0 && input.numel() > 0, "fastloss: expected a non-empty input with classes");
  STD_TORCH_CHECK(o.reduction >= kNone && o.reduction <= kSum, "fastloss: unknown reduction ", o.reduction);
  STD_TORCH_CHECK(o.params.size() <= 8, "fastloss: at most 8 parameters, got ", o.params.size());
  const int64_t classes = input.size(class_dim(input)), rows = input.numel() / classes;
  if (target.scalar_type() != ScalarType::Long) {
    STD_TORCH_CHECK(target.scalar_type() == input.scalar_type() && target.dim() == input.dim(),
                    "fastloss: expected probability targets of input's shape and dtype");
    for (int64_t d = 0; d < input.dim(); ++d) {
      STD_TORCH_CHECK(target.size(d) == input.size(d), "fastloss: target size ", target.size(d), " at dimension ", d,
                      ", expected ", input.size(d));
    }
  } else {
    STD_TORCH_CHECK(target.numel() == rows, "fastloss: expected ", rows, " targets, got ", target.numel());
  }
  if (mask) {
    STD_TORCH_CHECK(mask->scalar_type() == ScalarType::Bool && mask->numel() == rows,
                    "fastloss: expected a bool mask of ", rows, " rows");
  }
  if (weight) {
    STD_TORCH_CHECK(weight->numel() == classes, "fastloss: expected ", classes, " class weights, got ",
                    weight->numel());
  }
  if (normalizer) {
    STD_TORCH_CHECK(normalizer->scalar_type() == ScalarType::Double && normalizer->numel() == 1,
                    "fastloss: expected a float64 scalar normalizer");
  }
}

inline void check_output(const char* name, const Tensor& output, const Tensor& like) {
  bool same = output.is_cpu() == like.is_cpu() && output.get_device_index() == like.get_device_index() &&
              output.scalar_type() == like.scalar_type() && output.dim() == like.dim();
  for (int64_t d = 0; same && d < like.dim(); ++d) same = output.size(d) == like.size(d);
  STD_TORCH_CHECK(same, "fastloss: expected memory of input's shape, dtype and device for ", name);
}

#define FASTLOSS_TENSORS                                                                               \
  const Tensor &input, const Tensor &target, std::optional<Tensor> weight, std::optional<Tensor> mask, \
      std::optional<Tensor> normalizer
#define FASTLOSS_OPTIONS                                                                                      \
  std::vector<double> params, int64_t ignore_index, int64_t reduction, double label_smoothing, double z_loss, \
      double softcap
#define FASTLOSS_OPTIONS_VALUE \
  Options { params, ignore_index, reduction, label_smoothing, z_loss, softcap }

#define FASTLOSS_INDEX(name, Functor, params) k_##name,
enum RowsLoss : int { FASTLOSS_ROWS_LOSSES(FASTLOSS_INDEX) };
#undef FASTLOSS_INDEX

}  // namespace fastloss::ops
