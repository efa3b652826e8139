#pragma once

// A call of an operator of elements as every backend sees it: arguments, what they must be, and how they lie.

#include <utility>
#include <vector>

#include "losses/functors.h"
#include "losses/losses.h"
#include "torch/operators.h"

namespace fastloss::ops {

#define FASTLOSS_ARITY(name, Functor, params) Functor<double>::arity,
constexpr int kArity[] = {FASTLOSS_POINTWISE_LOSSES(FASTLOSS_ARITY)};
#undef FASTLOSS_ARITY
#define FASTLOSS_COMPONENTS(name, Functor, params) kComponents<Functor<double>>,
constexpr int kComponentsOf[] = {FASTLOSS_POINTWISE_LOSSES(FASTLOSS_COMPONENTS)};
#undef FASTLOSS_COMPONENTS
#define FASTLOSS_COUNT(name, Functor, params) count_names(params),
constexpr size_t kPointParams[] = {FASTLOSS_POINTWISE_LOSSES(FASTLOSS_COUNT)};
constexpr size_t kPairParams[] = {FASTLOSS_PAIRS_LOSSES(FASTLOSS_COUNT)};
#undef FASTLOSS_COUNT

constexpr int64_t kPointStats = 2;  // numbers: sum of the values, sum of the squared gradient

// What the operators know of the losses.
struct PointsEngine {
  static constexpr size_t arity(int id) { return kArity[id]; }
  static constexpr size_t numbers(int id) { return kPointParams[id]; }
  static constexpr bool in_place = false, has_state = false;
};

// Of the kernel that takes tensors of input's dtype, or `mixed` ones that compute in `compute`.
inline DType kernel_dtype_of(const Tensor& input, ScalarType compute, bool mixed) {
  return compute == ScalarType::Double ? DType::f64 : mixed ? DType::f32 : dtype_of(input);
}

// Collects the tensors of a call, checks them and describes them as a kernel reads them.
struct PointViews {
  PointArgs args{};
  const Tensor& input;
  ScalarType compute;  // double if an operand or the weight is, else float
  bool mixed = false;  // an operand or the weight is not of input's dtype

  PointViews(const Call& call, const Written& written) : input(call.input()) {
    STD_TORCH_CHECK(input.numel() > 0, "fastloss: expected a non-empty input");
    check_count(input);
    const int components = args.components = kComponentsOf[call.id];
    STD_TORCH_CHECK(components == 1 || (input.dim() > 0 && input.size(input.dim() - 1) == components),
                    "fastloss: expected a last dimension of size ", components);
    dims_ = input.dim() - (components > 1);
    args.elements = input.numel() / components;
    std::copy(call.numbers.begin(), call.numbers.end(), args.params);
    dtype_of(input);  // refuses integers
    compute = compute_type(input);
    const char* const names[] = {"input", "target", "the third tensor", "the fourth tensor"};
    for (int k = 0; k < kArity[call.id]; ++k) add_operand(args.operand[k], *call.tensors[k], names[k], input.dim());
    if (call.weight) add_operand(args.weight, *call.weight, "weight", dims_);
    if (call.mask) {
      STD_TORCH_CHECK(call.mask->scalar_type() == ScalarType::Bool, "fastloss: expected a bool mask");
      add(args.mask, *call.mask, "mask", dims_);
    }
    for (int k = 0; k < kMaxOperands; ++k) {
      const Tensor* const gradient = written.gradients[k];
      if (!gradient) continue;
      dtype_of(*gradient);
      STD_TORCH_CHECK(gradient->scalar_type() == call.tensors[k]->scalar_type(),
                      "fastloss: expected a gradient of the dtype of its tensor");
      add(args.gradient[k], *gradient, "a gradient", input.dim());
    }
  }

  DType kernel_dtype() const { return kernel_dtype_of(input, compute, mixed); }

  // Losses and upstream gradients of each element.
  void add_each(PointView& v, const Tensor& t, const char* what) {
    dtype_of(t);
    add(v, t, what, dims_);
    v.wide = t.scalar_type() == compute;
  }

  // Orders the dimensions as the input lies in memory and merges those that are adjacent in every tensor. Called when
  // every tensor is there.
  void finish() {
    std::vector<int64_t> order;
    for (int64_t d = 0; d < dims_; ++d) {
      if (input.size(d) == 1) continue;
      auto at = order.end();  // expanded dimensions stay where they are
      while (at != order.begin() && input.stride(d) != 0 && input.stride(*(at - 1)) != 0 &&
             input.stride(*(at - 1)) < input.stride(d)) {
        --at;
      }
      order.insert(at, d);
    }
    for (const int64_t d : order) {
      bool merge = args.dims > 0;
      for (auto& [v, t] : views_) merge = merge && v->stride[args.dims - 1] == t->stride(d) * input.size(d);
      if (merge) {
        args.size[args.dims - 1] *= input.size(d);
      } else {
        STD_TORCH_CHECK(args.dims < kMaxPointDims, "fastloss: more than ", kMaxPointDims,
                        " dimensions; make the tensors contiguous");
        args.size[args.dims++] = input.size(d);
      }
      for (auto& [v, t] : views_) v->stride[args.dims - 1] = t->stride(d);
    }
    if (args.dims == 0) {
      args.size[args.dims++] = 1;
      for (auto& [v, t] : views_) v->stride[0] = components_of(*t);
    }
    args.plain = !args.weight.data && !args.mask.data && !args.upstream.data && !args.loss.data && !args.want_stats;
    for (int k = 1; k < kMaxOperands; ++k) args.plain = args.plain && !args.gradient[k].data;
    for (auto& [v, t] : views_) {
      int64_t expected = components_of(*t);
      v->flat = v->component == 1;
      for (int d = args.dims - 1; d >= 0; --d) {
        v->flat = v->flat && v->stride[d] == expected;
        expected *= args.size[d];
      }
      args.plain = args.plain && v->flat && v->type == args.operand[0].type;
    }
  }

 private:
  std::vector<std::pair<PointView*, const Tensor*>> views_;
  int64_t dims_;  // without that of components

  int64_t components_of(const Tensor& t) const { return t.dim() > dims_ ? args.components : 1; }

  void add_operand(PointView& v, const Tensor& t, const char* what, int64_t dims) {
    add(v, t, what, dims);
    if (t.scalar_type() == ScalarType::Double) compute = ScalarType::Double;
    mixed = mixed || t.scalar_type() != input.scalar_type();
  }

  // A tensor of the first `dims` sizes of input.
  void add(PointView& v, const Tensor& t, const char* what, int64_t dims) {
    STD_TORCH_CHECK(same_device(t, input), "fastloss: expected ", what, " on the device of input");
    v.type = element_of(t);
    bool same = t.dim() == dims;
    for (int64_t d = 0; same && d < dims; ++d) same = t.size(d) == input.size(d);
    STD_TORCH_CHECK(same, "fastloss: expected ", what, " of input's shape");
    v.data = (void*)data_of(t);
    v.component = dims > dims_ ? t.stride(dims - 1) : 1;
    views_.push_back({&v, &t});
  }
};

// Memory for the loss of each element, with input's strides where it is dense and has no components.
inline Tensor unreduced_loss(const Tensor& input, int components, ScalarType type) {
  if (components == 1 && type == input.scalar_type()) return torch::stable::empty_like(input);
  if (components == 1 && !input.is_contiguous()) return torch::stable::to(torch::stable::empty_like(input), type);
  std::vector<int64_t> sizes;
  for (int64_t d = 0; d < input.dim() - (components > 1); ++d) sizes.push_back(input.size(d));
  return torch::stable::new_empty(input, sizes, type);
}

}  // namespace fastloss::ops
