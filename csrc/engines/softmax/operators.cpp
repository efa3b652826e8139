// Operators of the engine: checks, allocation, threads. Formulas are in losses/, loops in cpu.h.

#include <cmath>
#include <cstdlib>
#include <memory>
#include <vector>

#include "simd/isa.h"
#include "engines/softmax/call.h"

namespace fastloss::ops {
namespace {

// Threads get whole tasks, and a task is the unit of summation, so the numbers depend on the shape alone.
constexpr int64_t kTaskElements = 64 * 1024;

int64_t tasks_of(const RowsArgs& args) { return (args.rows + args.task_rows - 1) / args.task_rows; }

struct Targets {
  double kept = 0;
  double weight = 0;
  int64_t bad = -1;  // first row whose class index is out of bounds
};

// Counts and weighs the kept rows, and checks every class index, before anything is written.
Targets survey(const int64_t* target, const Flag* mask, const double* weight, int64_t rows, int64_t classes,
               int64_t ignore_index) {
  constexpr int64_t block = 16 * 1024;
  const int64_t blocks = (rows + block - 1) / block;
  std::vector<Targets> parts(blocks);
  parallel(rows, blocks, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      const int64_t last = std::min(rows, (b + 1) * block);
      int64_t kept = 0, bad = 0;
      double sum = 0;
      for (int64_t i = b * block; i < last; ++i) {
        const int64_t y = target ? target[i] : 0;
        const bool keep = (!target || y != ignore_index) && (!mask || mask[i]);
        const bool fits = (uint64_t)y < (uint64_t)classes;
        kept += keep;
        bad += !fits && keep;
        if (weight && keep && fits) sum += weight[y];
      }
      parts[b] = {(double)kept, sum};
      for (int64_t i = b * block; bad > 0 && parts[b].bad < 0; ++i) {
        const bool keep = target[i] != ignore_index && (!mask || mask[i]);
        if (keep && (uint64_t)target[i] >= (uint64_t)classes) parts[b].bad = i;
      }
    }
  });
  Targets all;
  for (const Targets& part : parts) {
    all.kept += part.kept;
    all.weight += part.weight;
    if (all.bad < 0) all.bad = part.bad;
  }
  if (!weight || !target) all.weight = all.kept;
  return all;
}

// Checks the tensors and gathers everything a kernel reads. Owns what it had to convert.
struct Problem {
  RowsArgs args{};
  DType dtype;
  bool soft;
  Targets targets;
  double divisor = 1;
  std::optional<Tensor> target, mask, weight;
  std::vector<double> weight64;
  const Kernels& kernels = isa::kernels();

  explicit Problem(const Call& call) : dtype(dtype_of(call.input())), soft(has_probabilities(call)) {
    const Tensor& input = call.input();
    check_rows(call);
    STD_TORCH_CHECK(input.is_cpu() && call.tensors[1]->is_cpu(), "fastloss: expected CPU tensors");
    const int64_t classes = input.size(class_dim(input)), rows = input.numel() / classes;
    target = soft ? *call.tensors[1] : as_dense(*call.tensors[1]);
    if (call.mask) {
      mask = as_dense(*call.mask);
      args.mask = (const Flag*)mask->const_data_ptr();
    }
    set_numbers(args, call);
    prepare_weight(input, call.weight, classes);
    if (!soft) args.target = (const int64_t*)target->const_data_ptr();
    targets =
        survey(args.target, args.mask, weight64.empty() ? nullptr : weight64.data(), rows, classes, args.ignore_index);
    // Of this fastloss/engines/softmax.py makes an IndexError: it has "out of bounds" in it, and no "fastloss" in front.
    STD_TORCH_CHECK(targets.bad < 0, "target ", args.target[targets.bad], " at row ", targets.bad,
                    " is out of bounds for fastloss, expected [0, ", classes, ") or ignore_index=", args.ignore_index);
    // No weight at all is 0 / 0 in PyTorch even where smoothing leaves something to divide.
    if (call.reduction == kMean) divisor = targets.weight == 0 ? std::nan("") : targets.weight;
    if (call.divisor) divisor = *(const double*)data_of(*call.divisor);
  }

  void prepare_weight(const Tensor& input, const Tensor* given, int64_t classes) {
    const ScalarType type = compute_type(input);
    if (given) {
      weight = as_compute(*given, type);
    } else if (args.label_smoothing != 0 || soft) {
      Tensor ones = empty({classes}, type);
      torch::stable::fill_(ones, 1.0);
      weight = ones;
    } else {
      return;
    }
    set_weight(args, *weight);
    weight64.resize(classes);
    for (int64_t c = 0; c < classes; ++c) {
      weight64[c] = type == ScalarType::Double ? ((const double*)args.weight)[c] : ((const float*)args.weight)[c];
      args.weight_sum += weight64[c];
    }
    if (!given) weight64.clear();
  }

  // Splits the rows into tasks and runs the kernel over them.
  void run(int id, bool summed, RowsSums* total) {
    const int64_t elements = args.rows * args.classes;
    args.task_rows = std::max<int64_t>(1, kTaskElements / args.classes / 64 * 64);
    if (args.classes > kTaskElements / 64) args.task_rows = std::max<int64_t>(1, kTaskElements / args.classes);
    const int64_t tasks = tasks_of(args);
    std::vector<RowsSums> sums(summed ? tasks : 0, RowsSums{});
    args.sums = summed ? sums.data() : nullptr;
    const int64_t size = bytes_of((Element)dtype);
    args.stream = args.gradient.data && args.gradient.data != args.logits.data && elements * size >= kStreamBytes &&
                  (uintptr_t)args.gradient.data % size == 0;  // else no element begins where streaming stores may
    const int64_t bytes = kernels.engine[(int)dtype].rows_scratch(args);
    parallel(elements, tasks, [&](int64_t begin, int64_t end) {
      const memory::Scratch scratch = memory::scratch((size_t)bytes);
      kernels.run_rows(id, dtype, args, begin, end, scratch.get());
    });
    for (const RowsSums& part : sums) {
      total->loss += part.loss;
      total->count += part.count;
      total->correct += part.correct;
      total->entropy += part.entropy;
      total->nll += part.nll;
      total->lse += part.lse;
      total->gradient_square += part.gradient_square;
    }
  }
};

// RowStats, in its order.
void write_stats(const RowsSums& s, double loss, double* out) {
  out[0] = s.correct / s.count;
  out[1] = s.entropy / s.count;
  out[2] = std::exp(s.nll / s.count);
  out[3] = s.lse / s.count;
  out[4] = std::sqrt(s.gradient_square);
  out[5] = std::isfinite(loss) && std::isfinite(s.gradient_square);
  out[6] = s.count;
}

struct Backend : RowsEngine {
  static constexpr bool on_device = false;

  static Tensor forward(const Call& call, bool empty_zero, ScalarType type, const Written& written) {
    Problem problem(call);
    RowsArgs& args = problem.args;
    const ScalarType compute = compute_type(call.input());
    view_rows(args, call, written, nullptr);
    double* const stats = written.stats ? statistics(*written.stats, call.input(), kRowStats) : nullptr;

    Tensor loss = call.reduced() ? empty({}, type) : empty(rows_shape(call.input()), compute);
    if (!call.reduced()) args.row_loss = loss.mutable_data_ptr();
    args.scale = 1 / problem.divisor;
    args.want_stats = stats;

    RowsSums sums{};
    problem.run(call.id, call.reduced() || stats, &sums);
    double value = sums.loss / problem.divisor;
    if (empty_zero && problem.targets.kept == 0) value = 0;
    if (stats) write_stats(sums, call.reduced() ? value : sums.loss, stats);
    if (call.reduced()) {
      write_scalar(loss, value);
    } else if (compute != type) {
      loss = torch::stable::to(loss, type);
    }
    return loss;
  }

  static void backward(const Call& call, const Tensor& grad_output, const Tensor* state, const Written& written, bool) {
    Problem problem(call);
    RowsArgs& args = problem.args;
    const ScalarType compute = compute_type(call.input());
    view_rows(args, call, written, state);

    args.scale = 1 / problem.divisor;
    const int64_t expected = call.reduced() ? 1 : args.rows;
    STD_TORCH_CHECK(grad_output.numel() == expected, "fastloss: expected ", expected, " upstream gradients, got ",
                    grad_output.numel());
    const Tensor upstream = as_compute(grad_output, compute);
    const void* const p = upstream.const_data_ptr();
    if (!call.reduced()) {
      args.upstream = p;
    } else {
      args.scale *= compute == ScalarType::Double ? *(const double*)p : *(const float*)p;
    }
    problem.run(call.id, false, nullptr);
  }
};

void op_scale(const Tensor& grad, const Tensor& scale) {
  STD_TORCH_CHECK(grad.is_cpu() && scale.is_cpu() && scale.numel() == 1, "fastloss: expected a CPU scalar");
  STD_TORCH_CHECK(fills_block(grad), "fastloss: expected a gradient without gaps in memory; multiply it with mul_");
  const DType dtype = dtype_of(grad);
  const Tensor wide = as_compute(scale, ScalarType::Double);
  const double factor = *(const double*)wide.const_data_ptr();
  if (factor == 1) return;
  const ScaleKernel kernel = isa::kernels().engine[(int)dtype].scale;
  void* const data = mutable_data_of(grad);
  torch::stable::parallel_for(0, grad.numel(), kParallelElements,
                              [&](int64_t begin, int64_t end) { kernel(data, begin, end, factor); });
}

}  // namespace

STABLE_TORCH_LIBRARY(fastloss, m) {
  FASTLOSS_ROWS_LOSSES(FASTLOSS_DEFINE)
  m.def("scale_(Tensor(a!) grad, Tensor scale) -> ()");
}

STABLE_TORCH_LIBRARY_IMPL(fastloss, CPU, m) {
  FASTLOSS_ROWS_LOSSES(FASTLOSS_IMPLEMENT)
  m.impl("scale_", TORCH_BOX(&op_scale));
}

}  // namespace fastloss::ops
