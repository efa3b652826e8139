// Operators of the engine on the CPU: allocation, threads.

#include "simd/isa.h"
#include "engines/products/call.h"
#include "engines/elements/tasks.h"

namespace fastloss::ops {
namespace {

// Tasks [begin, end) of vectors of several dtypes: the kernel of the computing type (`compute`) works on a task's rows in
// blocks that stay in a core's caches.
void run_mixed(const PairArgs& given, int64_t begin, int64_t end, Element compute, const Engine& engine,
               PairsKernel kernel) {
  const int64_t size = compute == Element::f64 ? 8 : 4, block = given.task_rows * given.width * size;
  const memory::Scratch scratch = memory::scratch((size_t)(2 * kMaxOperands * block));
  for (int64_t task = begin; task < end; ++task) {
    const int64_t first = task * given.task_rows, last = std::min(given.rows, first + given.task_rows);
    PairArgs args = given;
    const auto each_row = [&](int block_index, const PairView& from, PairView& to, const auto& copy) {
      if (!from.data || from.type == compute) return;
      char* const rows = (char*)scratch.get() + block_index * block;
      const int64_t bytes = bytes_of(from.type);
      for (int64_t row = first; row < last; ++row) {
        copy((char*)from.data + row * from.row_stride * bytes, rows + (row - first) * given.width * size);
      }
      to = {rows - first * given.width * size, given.width, compute};
    };
    for (int k = 0; k < kMaxOperands; ++k) {
      const PairView &x = given.operand[k], &g = given.gradient[k];
      each_row(k, x, args.operand[k], [&](void* from, void* to) { engine.read(x.type, from, given.width, to); });
      each_row(kMaxOperands + k, g, args.gradient[k], [](void*, void*) {});
    }
    kernel(args, task, task + 1);
    for (int k = 0; k < kMaxOperands; ++k) {
      const PairView& g = given.gradient[k];
      each_row(kMaxOperands + k, g, args.gradient[k],
               [&](void* to, void* from) { engine.write(g.type, to, given.width, from); });
    }
  }
}

PointSums run(int id, PairViews& views) {
  PairArgs& args = views.args;
  args.task_rows = std::max<int64_t>(1, kTaskElements / args.width);
  const DType dtype = views.kernel_dtype();
  const PairsKernel kernel = isa::kernels().pairs[id][(int)dtype];
  const Engine& engine = isa::kernels().engine[(int)dtype];
  return run_tasks(
      args, views.input.numel(), (args.rows + args.task_rows - 1) / args.task_rows, [&](int64_t begin, int64_t end) {
        views.mixed ? run_mixed(args, begin, end, (Element)dtype, engine, kernel) : kernel(args, begin, end);
      });
}

struct Backend : PairsEngine {
  static constexpr bool on_device = false;

  static Tensor forward(const Call& call, bool empty_zero, ScalarType wanted, const Written& written) {
    STD_TORCH_CHECK(call.input().is_cpu(), "fastloss: expected CPU tensors");
    PairViews views(call, written);
    PairArgs& args = views.args;
    double* const stats = written.stats ? statistics(*written.stats, call.input(), kPointStats) : nullptr;
    Tensor loss = call.reduced() ? empty({}, wanted) : empty(row_shape(call.input()), views.compute);
    if (!call.reduced()) args.loss = loss.mutable_data_ptr();
    const double divisor = divisor_of(call, args.rows);
    args.scale = 1 / divisor;
    args.want_stats = stats;
    const PointSums sums = run(call.id, views);
    write_stats(sums, stats);
    if (call.reduced()) {
      write_scalar(loss, empty_zero && divisor == 0 ? 0 : sums.loss / divisor);
    } else if (views.compute != wanted) {
      loss = torch::stable::to(loss, wanted);
    }
    return loss;
  }

  static void backward(const Call& call, const Tensor& grad_output, const Tensor*, const Written& written, bool) {
    STD_TORCH_CHECK(call.input().is_cpu(), "fastloss: expected CPU tensors");
    PairViews views(call, written);
    PairArgs& args = views.args;
    args.scale = 1 / divisor_of(call, args.rows);
    if (call.reduced()) {
      args.scale *= upstream_of(grad_output);
    } else {
      args.upstream = views.per_row(grad_output, "grad_output", views.compute);
    }
    run(call.id, views);
  }
};

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(fastloss, m){FASTLOSS_PAIRS_LOSSES(FASTLOSS_DEFINE)} STABLE_TORCH_LIBRARY_IMPL(fastloss,
                                                                                                             CPU, m) {
  FASTLOSS_PAIRS_LOSSES(FASTLOSS_IMPLEMENT)
}

}  // namespace fastloss::ops
