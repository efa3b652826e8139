// Operators of the pointwise family: checks, views, threads. Formulas and loops are in losses/ and cpu/.

#include <algorithm>
#include <vector>

#include "cpu/isa.h"
#include "ops/tensors.h"

namespace fastloss::ops {
namespace {

using torch::stable::new_empty;
using MaybeTensor = std::optional<Tensor>;

// A multiple of the kernel's block; the unit of summation, so the numbers depend on the shape alone.
constexpr int64_t kTaskElements = 16 * 1024;

#define FASTLOSS_INDEX(name, Functor, params) k_##name,
enum PointwiseLoss : int { FASTLOSS_POINTWISE_LOSSES(FASTLOSS_INDEX) };
#undef FASTLOSS_INDEX
#define FASTLOSS_ARITY(name, Functor, params) Functor<double>::arity,
constexpr int kArity[] = {FASTLOSS_POINTWISE_LOSSES(FASTLOSS_ARITY)};
#undef FASTLOSS_ARITY

// Everything a kernel reads, checked.
struct Problem {
  PointArgs args{};
  DType dtype;
  const Tensor& input;
  std::vector<std::pair<PointView*, const Tensor*>> views;
  std::vector<PointSums> sums;

  explicit Problem(const Tensor& input_) : dtype(dtype_of(input_)), input(input_) {
    STD_TORCH_CHECK(input.numel() > 0, "fastloss: expected a non-empty input");
  }

  void view(PointView& v, const Tensor& t, const char* what, ScalarType type) {
    STD_TORCH_CHECK(t.is_cpu(), "fastloss: expected ", what, " on the CPU");
    STD_TORCH_CHECK(t.scalar_type() == type, "fastloss: expected ", what, " of ScalarType ", (int)type, ", got ",
                    (int)t.scalar_type());
    bool same = t.dim() == input.dim();
    for (int64_t d = 0; same && d < input.dim(); ++d) same = t.size(d) == input.size(d);
    STD_TORCH_CHECK(same, "fastloss: expected ", what, " of input's shape");
    v.data = (void*)t.const_data_ptr();
    views.push_back({&v, &t});
  }

  // Orders the dimensions as the input lies in memory and merges those that are adjacent in every tensor.
  void describe() {
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
      for (auto& [v, t] : views) merge = merge && v->stride[args.dims - 1] == t->stride(d) * input.size(d);
      if (merge) {
        args.size[args.dims - 1] *= input.size(d);
      } else {
        STD_TORCH_CHECK(args.dims < kMaxPointDims, "fastloss: more than ", kMaxPointDims,
                        " dimensions; make the tensors contiguous");
        args.size[args.dims++] = input.size(d);
      }
      for (auto& [v, t] : views) v->stride[args.dims - 1] = t->stride(d);
    }
    if (args.dims == 0) {
      args.size[args.dims++] = 1;
      for (auto& [v, t] : views) v->stride[0] = 1;
    }
    for (auto& [v, t] : views) {
      int64_t expected = 1;
      v->flat = true;
      for (int d = args.dims - 1; d >= 0; --d) {
        v->flat = v->flat && v->stride[d] == expected;
        expected *= args.size[d];
      }
    }
  }

  void run(int id, PointSums* total) {
    const Kernels& kernels = isa::kernels();
    args.plain = !args.weight.data && !args.mask.data && !args.upstream.data && !args.loss.data && !args.want_stats;
    for (auto& [v, t] : views) args.plain = args.plain && v->flat;
    for (int k = 1; k < kMaxOperands; ++k) args.plain = args.plain && !args.gradient[k].data;
    args.stream = args.elements * (int64_t)input.element_size() >= kStreamBytes;
    args.task_elements = kTaskElements;
    const int64_t tasks = (args.elements + kTaskElements - 1) / kTaskElements;
    sums.assign(tasks, PointSums{});
    args.sums = sums.data();
    const PointwiseKernel kernel = kernels.pointwise[id][(int)dtype];
    parallel(args.elements, tasks, [&](int64_t begin, int64_t end) { kernel(args, begin, end); });
    for (const PointSums& part : sums) {
      total->loss += part.loss;
      total->gradient_square += part.gradient_square;
      total->outside = std::max(total->outside, part.outside);
    }
  }
};

// Arguments that forward and backward share.
struct Inputs {
  const Tensor &input, &target;
  const MaybeTensor &third, &weight, &mask, &divisor, &grad_input, &grad_target, &grad_third;
  const std::vector<double>& params;
  int64_t reduction;
};

double divisor_of(const Inputs& in) {
  if (in.reduction != kMean) return 1;
  if (!in.divisor) return (double)in.input.numel();
  STD_TORCH_CHECK(in.divisor->is_cpu() && in.divisor->scalar_type() == ScalarType::Double && in.divisor->numel() == 1,
                  "fastloss: expected a float64 CPU scalar as divisor");
  return *(const double*)in.divisor->const_data_ptr();
}

void prepare(int id, Problem& problem, const Inputs& in) {
  PointArgs& args = problem.args;
  const ScalarType type = in.input.scalar_type();
  STD_TORCH_CHECK(in.reduction >= kNone && in.reduction <= kSum, "fastloss: unknown reduction ", in.reduction);
  STD_TORCH_CHECK(in.third.has_value() == (kArity[id] == 3), "fastloss: expected ", kArity[id], " tensors");
  STD_TORCH_CHECK(in.params.size() <= 4, "fastloss: at most 4 parameters, got ", in.params.size());
  std::copy(in.params.begin(), in.params.end(), args.params);
  problem.view(args.operand[0], in.input, "input", type);
  problem.view(args.operand[1], in.target, "target", type);
  if (in.third) problem.view(args.operand[2], *in.third, "the third tensor", type);
  if (in.weight) problem.view(args.weight, *in.weight, "weight", type);
  if (in.mask) problem.view(args.mask, *in.mask, "mask", ScalarType::Bool);
  if (in.grad_input) problem.view(args.gradient[0], *in.grad_input, "grad_input", type);
  if (in.grad_target) problem.view(args.gradient[1], *in.grad_target, "grad_target", type);
  if (in.grad_third) {
    STD_TORCH_CHECK(in.third, "fastloss: a gradient without its tensor");
    problem.view(args.gradient[2], *in.grad_third, "grad_third", type);
  }
}

#define FASTLOSS_TENSORS                                                                              \
  const Tensor &input, const Tensor &target, MaybeTensor third, MaybeTensor weight, MaybeTensor mask, \
      MaybeTensor divisor, MaybeTensor grad_input, MaybeTensor grad_target, MaybeTensor grad_third,   \
      std::vector<double> params, int64_t reduction
#define FASTLOSS_INPUTS \
  Inputs { input, target, third, weight, mask, divisor, grad_input, grad_target, grad_third, params, reduction }

template <int id>
std::tuple<Tensor, Tensor> op_forward(FASTLOSS_TENSORS, bool empty_zero, int64_t loss_dtype, bool want_stats) {
  const Inputs in = FASTLOSS_INPUTS;
  Problem problem(input);
  PointArgs& args = problem.args;
  prepare(id, problem, in);
  const ScalarType wanted = (ScalarType)loss_dtype, compute = compute_type(input);
  const ScalarType type = wanted == input.scalar_type() ? wanted : compute;
  Tensor loss = reduction == kNone ? new_empty(input, {0}) : new_empty(input, {}, wanted);
  if (reduction == kNone) {
    // With input's strides; of another dtype by way of a conversion, which costs nothing yet.
    loss = torch::stable::empty_like(input);
    if (type != input.scalar_type()) loss = torch::stable::to(loss, type);
    problem.view(args.loss, loss, "loss", type);
    args.loss.wide = type == compute;
  }
  problem.describe();
  const double divisor_value = divisor_of(in);
  args.scale = 1 / divisor_value;
  args.want_stats = want_stats;
  PointSums sums{};
  problem.run(id, &sums);
  STD_TORCH_CHECK(sums.outside == 0, "fastloss: an element is outside the domain of the loss");
  double value = sums.loss / divisor_value;
  if (empty_zero && divisor_value == 0) value = 0;
  if (reduction != kNone) {
    write_scalar(loss, value);
  } else if (type != wanted) {
    loss = torch::stable::to(loss, wanted);
  }
  Tensor stats = new_empty(input, {want_stats ? 2 : 0}, ScalarType::Double);
  if (want_stats) {
    double* const out = (double*)stats.mutable_data_ptr();
    out[0] = sums.loss;
    out[1] = sums.gradient_square;
  }
  return {loss, stats};
}

template <int id>
void op_backward(const Tensor& grad_output, FASTLOSS_TENSORS) {
  const Inputs in = FASTLOSS_INPUTS;
  Problem problem(input);
  PointArgs& args = problem.args;
  prepare(id, problem, in);
  const ScalarType compute = compute_type(input);
  args.scale = 1 / divisor_of(in);
  Tensor upstream = grad_output;
  if (reduction == kNone) {
    if (upstream.scalar_type() != input.scalar_type()) upstream = torch::stable::to(upstream, compute);
    problem.view(args.upstream, upstream, "grad_output", upstream.scalar_type());
    args.upstream.wide = upstream.scalar_type() == compute;
  } else {
    STD_TORCH_CHECK(upstream.numel() == 1, "fastloss: expected one upstream gradient, got ", upstream.numel());
    upstream = as_compute(upstream, ScalarType::Double);
    args.scale *= *(const double*)upstream.const_data_ptr();
  }
  problem.describe();
  PointSums sums{};
  problem.run(id, &sums);
}

#undef FASTLOSS_TENSORS
#undef FASTLOSS_INPUTS

#define TENSORS                                                                                 \
  "Tensor input, Tensor target, Tensor? third, Tensor? weight, Tensor? mask, Tensor? divisor, " \
  "Tensor(a!)? grad_input, Tensor(b!)? grad_target, Tensor(c!)? grad_third, float[] params, int reduction"

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(fastloss, m) {
#define FASTLOSS_SCHEMA(name, Functor, params)                                                                   \
  m.def(#name "(" TENSORS ", bool empty_zero, int loss_dtype, bool want_stats) -> (Tensor loss, Tensor stats)"); \
  m.def(#name "_backward(Tensor grad_output, " TENSORS ") -> ()");
  FASTLOSS_POINTWISE_LOSSES(FASTLOSS_SCHEMA)
#undef FASTLOSS_SCHEMA
}

STABLE_TORCH_LIBRARY_IMPL(fastloss, CPU, m) {
#define FASTLOSS_IMPLEMENT(name, Functor, params)  \
  m.impl(#name, TORCH_BOX(&op_forward<k_##name>)); \
  m.impl(#name "_backward", TORCH_BOX(&op_backward<k_##name>));
  FASTLOSS_POINTWISE_LOSSES(FASTLOSS_IMPLEMENT)
#undef FASTLOSS_IMPLEMENT
}

}  // namespace fastloss::ops
