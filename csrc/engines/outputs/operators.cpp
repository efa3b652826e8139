// Operators of row outputs: threads. Formulas are in contract.h, loops in cpu.h.

#include "engines/outputs/call.h"
#include "simd/isa.h"

namespace fastloss::ops {
namespace {

constexpr int64_t kTaskElements = 64 * 1024;

struct Backend {
  static void check_targets(const OutputsArgs& args) {
    const RowsArgs& rows = args.rows;
    for (int64_t i = 0; i < rows.rows; ++i) {
      if (rows.mask && !rows.mask[i]) continue;
      for (int64_t k = 0; k < args.targets; ++k) {
        const int64_t y = args.target[i * args.targets + k];
        // Of this Python makes an IndexError: it has "out of bounds" in it, and no "fastloss" in front.
        STD_TORCH_CHECK((uint64_t)y < (uint64_t)args.all_classes || y == rows.ignore_index, "target ", y, " at row ", i,
                        " is out of bounds for fastloss, expected [0, ", args.all_classes,
                        ") or ignore_index=", rows.ignore_index);
      }
    }
  }

  template <class A>
  static void run(const A& arguments) {
    OutputsProblem problem(arguments);
    STD_TORCH_CHECK(problem.input.is_cpu(), "fastloss: expected CPU tensors");
    OutputsArgs& args = problem.args;
    RowsArgs& rows = args.rows;
    check_targets(args);
    const DType dtype = dtype_of(problem.input);
    const int64_t elements = rows.rows * rows.classes, size = bytes_of((Element)dtype);
    const int64_t fit = kTaskElements / rows.classes;
    rows.task_rows = fit >= 64 ? fit / 64 * 64 : rows.logits.class_stride != 1 ? 64 : std::max<int64_t>(1, fit);
    rows.stream = rows.gradient.data && rows.gradient.data != rows.logits.data && elements * size >= kStreamBytes &&
                  (uintptr_t)rows.gradient.data % size == 0;  // else no element begins where streaming stores may
    if (rows.gradient.data) memory::advise_huge_pages(rows.gradient.data, elements * size);
    const Engine& engine = isa::kernels().engine[(int)dtype];
    const int64_t bytes = engine.outputs_scratch(args);
    parallel(elements, (rows.rows + rows.task_rows - 1) / rows.task_rows, [&](int64_t begin, int64_t end) {
      const memory::Scratch scratch = memory::scratch((size_t)bytes);
      engine.outputs(args, begin, end, scratch.get());
    });
  }
};

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(fastloss, m){
    FASTLOSS_OUTPUTS_OPERATORS(FASTLOSS_DEFINE_ARGUMENTS)} STABLE_TORCH_LIBRARY_IMPL(fastloss, CPU, m) {
  FASTLOSS_OUTPUTS_OPERATORS(FASTLOSS_IMPLEMENT_ARGUMENTS)
}

}  // namespace fastloss::ops
