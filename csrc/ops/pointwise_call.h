#pragma once

// A call of a pointwise-family operator as every backend sees it: arguments, what they must be, and how they lie.

#include <tuple>
#include <utility>
#include <vector>

#include "core/pointwise_args.h"
#include "losses/functors.h"
#include "losses/losses.h"
#include "ops/tensors.h"

namespace fastloss::ops {

#define FASTLOSS_ARITY(name, Functor, params) Functor<double>::arity,
constexpr int kArity[] = {FASTLOSS_POINTWISE_LOSSES(FASTLOSS_ARITY)};
#undef FASTLOSS_ARITY
#define FASTLOSS_COUNT(name, Functor, params) count_names(params),
constexpr size_t kPointParams[] = {FASTLOSS_POINTWISE_LOSSES(FASTLOSS_COUNT)};
constexpr size_t kPairParams[] = {FASTLOSS_PAIRS_LOSSES(FASTLOSS_COUNT)};
#undef FASTLOSS_COUNT

// Arguments that forward and backward share.
struct PointInputs {
  const Tensor &input, &target;
  const MaybeTensor &third, &weight, &mask, &divisor;
  const std::vector<double>& params;
  int64_t reduction;
};

// Gradients to be written, in the order of the operands; null: not wanted.
using PointGradients = const Tensor* [kMaxOperands];

// What must hold besides the tensors' shapes.
inline void check_point_inputs(const PointInputs& in, size_t params) {
  STD_TORCH_CHECK(in.reduction >= kNone && in.reduction <= kSum, "fastloss: unknown reduction ", in.reduction);
  STD_TORCH_CHECK(in.params.size() == params, "fastloss: expected ", params, " parameters, got ", in.params.size());
  if (in.divisor) {
    STD_TORCH_CHECK(same_device(*in.divisor, in.input) && in.divisor->scalar_type() == ScalarType::Double &&
                        in.divisor->numel() == 1,
                    "fastloss: expected a float64 scalar as divisor, on the device of input");
  }
}

// Refuses gradients whose elements meet, or that share memory with what is read or with each other.
inline void check_gradients(const PointInputs& in, PointGradients const& gradients) {
  for (int k = 0; k < kMaxOperands; ++k) {
    if (!gradients[k]) continue;
    check_own_memory("a gradient", *gradients[k],
                     {&in.input, &in.target, pointer(in.third), pointer(in.weight), pointer(in.mask),
                      pointer(in.divisor), k > 0 ? gradients[0] : nullptr, k > 1 ? gradients[1] : nullptr});
  }
}

// Likewise of the upstream gradient.
inline void check_upstream(const Tensor& grad_output, PointGradients const& gradients) {
  for (const Tensor* gradient : gradients) {
    if (gradient) check_apart("a gradient", *gradient, {&grad_output});
  }
}

// Collects the tensors of a call, checks them and describes them as a kernel reads them.
struct PointViews {
  PointArgs args{};
  const Tensor& input;
  ScalarType compute;  // double if an operand or the weight is, else float
  bool mixed = false;  // an operand or the weight is not of input's dtype

  PointViews(int id, const PointInputs& in, PointGradients const& gradients) : input(in.input) {
    STD_TORCH_CHECK(input.numel() > 0, "fastloss: expected a non-empty input");
    check_count(input);
    STD_TORCH_CHECK(in.third.has_value() == (kArity[id] == 3), "fastloss: expected ", kArity[id], " tensors");
    check_point_inputs(in, kPointParams[id]);
    std::copy(in.params.begin(), in.params.end(), args.params);
    dtype_of(input);  // refuses integers
    compute = compute_type(input);
    const Tensor* const operands[] = {&input, &in.target, pointer(in.third)};
    const char* const names[] = {"input", "target", "the third tensor"};
    for (int k = 0; k < kArity[id]; ++k) add_operand(args.operand[k], *operands[k], names[k]);
    if (in.weight) add_operand(args.weight, *in.weight, "weight");
    if (in.mask) {
      STD_TORCH_CHECK(in.mask->scalar_type() == ScalarType::Bool, "fastloss: expected a bool mask");
      add(args.mask, *in.mask, "mask");
    }
    check_gradients(in, gradients);
    for (int k = 0; k < kMaxOperands; ++k) {
      if (!gradients[k]) continue;
      STD_TORCH_CHECK(k < kArity[id], "fastloss: a gradient without its tensor");
      dtype_of(*gradients[k]);
      STD_TORCH_CHECK(gradients[k]->scalar_type() == operands[k]->scalar_type(),
                      "fastloss: expected a gradient of the dtype of its tensor");
      add(args.gradient[k], *gradients[k], "a gradient");
    }
  }

  // Losses and upstream gradients of each element.
  void add_each(PointView& v, const Tensor& t, const char* what) {
    dtype_of(t);
    add(v, t, what);
    v.wide = t.scalar_type() == compute;
  }

  // Orders the dimensions as the input lies in memory and merges those that are adjacent in every tensor. Called when
  // every tensor is there.
  void finish() {
    std::vector<int64_t> order;
    for (int64_t d = 0; d < input.dim(); ++d) {
      if (input.size(d) == 1) continue;
      auto at = order.end();  // expanded dimensions stay where they are
      while (at != order.begin() && input.stride(d) != 0 && input.stride(*(at - 1)) != 0 &&
             input.stride(*(at - 1)) < input.stride(d)) {
        --at;
      }
      order.insert(at, d);
    }
    args.elements = input.numel();
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
      for (auto& [v, t] : views_) v->stride[0] = 1;
    }
    args.plain = !args.weight.data && !args.mask.data && !args.upstream.data && !args.loss.data && !args.want_stats;
    for (int k = 1; k < kMaxOperands; ++k) args.plain = args.plain && !args.gradient[k].data;
    for (auto& [v, t] : views_) {
      int64_t expected = 1;
      v->flat = true;
      for (int d = args.dims - 1; d >= 0; --d) {
        v->flat = v->flat && v->stride[d] == expected;
        expected *= args.size[d];
      }
      args.plain = args.plain && v->flat && v->type == args.operand[0].type;
    }
  }

 private:
  std::vector<std::pair<PointView*, const Tensor*>> views_;

  void add_operand(PointView& v, const Tensor& t, const char* what) {
    add(v, t, what);
    if (t.scalar_type() == ScalarType::Double) compute = ScalarType::Double;
    mixed = mixed || t.scalar_type() != input.scalar_type();
  }

  void add(PointView& v, const Tensor& t, const char* what) {
    STD_TORCH_CHECK(same_device(t, input), "fastloss: expected ", what, " on the device of input");
    v.type = element_of(t);
    bool same = t.dim() == input.dim();
    for (int64_t d = 0; same && d < input.dim(); ++d) same = t.size(d) == input.size(d);
    STD_TORCH_CHECK(same, "fastloss: expected ", what, " of input's shape");
    v.data = (void*)data_of(t);
    views_.push_back({&v, &t});
  }
};

// Memory for the loss of each element, with input's strides where it is dense.
inline Tensor unreduced_loss(const Tensor& input, ScalarType type) {
  if (type == input.scalar_type()) return torch::stable::empty_like(input);
  if (!input.is_contiguous()) return torch::stable::to(torch::stable::empty_like(input), type);
  std::vector<int64_t> sizes;
  for (int64_t d = 0; d < input.dim(); ++d) sizes.push_back(input.size(d));
  return torch::stable::new_empty(input, sizes, type);
}

#define FASTLOSS_POINTWISE_TENSORS                                                                    \
  const Tensor &input, const Tensor &target, MaybeTensor third, MaybeTensor weight, MaybeTensor mask, \
      MaybeTensor divisor, std::vector<double> params, int64_t reduction
#define FASTLOSS_POINTWISE_INPUTS \
  PointInputs { input, target, third, weight, mask, divisor, params, reduction }
#define FASTLOSS_POINTWISE_GRADIENTS MaybeTensor grad_input, MaybeTensor grad_target, MaybeTensor grad_third

// The operators of one loss, in the two forms of RowsOperators. A Backend has
//     static std::tuple<Tensor, Tensor> forward(int id, const PointInputs&, bool empty_zero, int64_t loss_dtype,
//                                               bool want_stats, PointGradients const&);        // loss, stats
//     static void backward(int id, const Tensor& grad_output, const PointInputs&, PointGradients const&);
//     static Tensor gradient_like(const Tensor&);     // memory for a gradient
//     static Tensor nothing(const Tensor& like);      // of no elements: what was not asked for
template <class Backend, int id>
struct PointwiseOperators {
  static std::tuple<Tensor, Tensor> forward(FASTLOSS_POINTWISE_TENSORS, bool empty_zero, int64_t loss_dtype,
                                            bool want_stats) {
    return Backend::forward(id, FASTLOSS_POINTWISE_INPUTS, empty_zero, loss_dtype, want_stats, {});
  }

  static std::tuple<Tensor, Tensor> forward_out(FASTLOSS_POINTWISE_TENSORS, bool empty_zero, int64_t loss_dtype,
                                                bool want_stats, FASTLOSS_POINTWISE_GRADIENTS) {
    STD_TORCH_CHECK(reduction != kNone, "fastloss: the gradient of unreduced losses is made in backward");
    return Backend::forward(id, FASTLOSS_POINTWISE_INPUTS, empty_zero, loss_dtype, want_stats,
                            {pointer(grad_input), pointer(grad_target), pointer(grad_third)});
  }

  static std::tuple<Tensor, Tensor, Tensor> backward(const Tensor& grad_output, FASTLOSS_POINTWISE_TENSORS,
                                                     bool want_input, bool want_target, bool want_third) {
    Tensor grads[] = {want_input ? Backend::gradient_like(input) : Backend::nothing(input),
                      want_target ? Backend::gradient_like(target) : Backend::nothing(input),
                      want_third && third ? Backend::gradient_like(*third) : Backend::nothing(input)};
    Backend::backward(
        id, grad_output, FASTLOSS_POINTWISE_INPUTS,
        {want_input ? &grads[0] : nullptr, want_target ? &grads[1] : nullptr, want_third ? &grads[2] : nullptr});
    return {grads[0], grads[1], grads[2]};
  }

  static void backward_out(const Tensor& grad_output, FASTLOSS_POINTWISE_TENSORS, FASTLOSS_POINTWISE_GRADIENTS) {
    PointGradients gradients = {pointer(grad_input), pointer(grad_target), pointer(grad_third)};
    check_upstream(grad_output, gradients);
    Backend::backward(id, grad_output, FASTLOSS_POINTWISE_INPUTS, gradients);
  }
};

#define FASTLOSS_IMPLEMENT_POINTWISE(m, Backend, name)                                      \
  m.impl(#name, TORCH_BOX((&PointwiseOperators<Backend, k_##name>::forward)));              \
  m.impl(#name "_out", TORCH_BOX((&PointwiseOperators<Backend, k_##name>::forward_out)));   \
  m.impl(#name "_backward", TORCH_BOX((&PointwiseOperators<Backend, k_##name>::backward))); \
  m.impl(#name "_backward_out", TORCH_BOX((&PointwiseOperators<Backend, k_##name>::backward_out)));

#define FASTLOSS_POINTWISE_SCHEMA_TENSORS                                                                           \
  "Tensor input, Tensor target, Tensor? third, Tensor? weight, Tensor? mask, Tensor? divisor, float[] params, int " \
  "reduction"
#define FASTLOSS_POINTWISE_SCHEMA_OUT "Tensor(a!)? grad_input, Tensor(b!)? grad_target, Tensor(c!)? grad_third"

#define FASTLOSS_POINTWISE_SCHEMA(m, name)                                                           \
  m.def(#name "(" FASTLOSS_POINTWISE_SCHEMA_TENSORS                                                  \
              ", bool empty_zero, int loss_dtype, bool want_stats) -> (Tensor loss, Tensor stats)"); \
  m.def(#name "_out(" FASTLOSS_POINTWISE_SCHEMA_TENSORS                                              \
              ", bool empty_zero, int loss_dtype, bool want_stats, " FASTLOSS_POINTWISE_SCHEMA_OUT   \
              ") -> (Tensor loss, Tensor stats)");                                                   \
  m.def(#name "_backward(Tensor grad_output, " FASTLOSS_POINTWISE_SCHEMA_TENSORS                     \
              ", bool want_input, bool want_target, bool want_third) -> (Tensor, Tensor, Tensor)");  \
  m.def(#name "_backward_out(Tensor grad_output, " FASTLOSS_POINTWISE_SCHEMA_TENSORS                 \
              ", " FASTLOSS_POINTWISE_SCHEMA_OUT ") -> ()");

}  // namespace fastloss::ops
