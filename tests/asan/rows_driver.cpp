// Runs the rows kernels of every ISA of this CPU over the cases of rows_case.h. Built and run by tests/asan.py under the
// address and undefined-behaviour sanitizers.

#include "driver.h"
#include "rows_case.h"

namespace {

class CpuBackend : public Backend {
 public:
  CpuBackend(const Kernels& kernels, DType dtype) : kernels_(kernels), dtype_(dtype) {}

  void run(Memory& memory, Random& random, RowsArgs& a, bool summed, RowsSums& total) override {
    const int64_t sizes[] = {a.rows, 64, 3, 1};
    a.task_rows = sizes[random.below(4)];
    const int64_t tasks = (a.rows + a.task_rows - 1) / a.task_rows;
    RowsSums* const sums = summed ? memory.take<RowsSums>(tasks) : nullptr;
    for (int64_t k = 0; summed && k < tasks; ++k) sums[k] = RowsSums{};
    a.sums = sums;
    const int64_t middle = random.below(tasks + 1);
    const int64_t bytes = kernels_.engine[(int)dtype_].rows_scratch(a);
    for (const auto& [begin, end] : {std::pair(int64_t{0}, middle), std::pair(middle, tasks)}) {
      if (begin == end) continue;
      void* const scratch = memory.take(bytes, 16);
      kernels_.run_rows(0, dtype_, a, begin, end, scratch);
      ++calls;
    }
    for (int64_t k = 0; summed && k < tasks; ++k) {
      total.loss += sums[k].loss, total.count += sums[k].count, total.correct += sums[k].correct;
      total.entropy += sums[k].entropy, total.nll += sums[k].nll, total.lse += sums[k].lse;
      total.gradient_square += sums[k].gradient_square;
    }
  }

 private:
  const Kernels& kernels_;
  const DType dtype_;
};

std::vector<int64_t> class_counts() {
  std::vector<int64_t> all;
  for (int64_t c = 1; c <= 70; ++c) all.push_back(c);
  for (int64_t c : {1023, 1024, 1025, 4095, 4096, 4097, 9000}) all.push_back(c);
  return all;
}

std::vector<int64_t> row_counts(int64_t classes) {
  if (classes <= 4 || classes == 17 || classes == 32 || classes == 33) return {1, 301};
  if (classes <= 70) return {1, 19};
  return {classes > 1025 ? 2 : 3};
}

// Each shape runs every third option set, in turn: neighbouring shapes, other layouts and other types run the rest.
constexpr int kTurns = 3;

template <class S>
void run_all(const std::string& isa, DType dtype, const char* dtype_name) {
  CpuBackend backend(isa::kernels(isa), dtype);
  std::vector<Options> options = option_sets();
  for (size_t k = 0, count = options.size(); k < count; ++k) {
    if (!options[k].soft || options[k].inplace) continue;
    options.push_back(options[k]);
    options.back().mixed = true;
  }
  uint64_t seed = 1;
  int turn = (int)dtype;
  for (int l = 0; l < (int)Layout::count; ++l, ++turn) {
    for (int64_t classes : class_counts()) {
      for (int64_t rows : row_counts(classes)) {
        ++turn;
        for (size_t k = turn % kTurns; k < options.size(); k += kTurns) {
          if (options[k].real_ignore_index && classes < 2) continue;
          const Place place = seed % 2 ? Place::heap : Place::guard;
          current = isa + ", " + dtype_name + ", " + kLayoutNames[l] + ", " + std::to_string(rows) + " x " +
                    std::to_string(classes) + ", " + options[k].name + (options[k].mixed ? ", mixed, " : ", ") +
                    kPlaceNames[(int)place] + ", seed " + std::to_string(seed);
          Case<S>(backend, (Layout)l, rows, classes, options[k], place, seed).run();
          ++seed;
        }
      }
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  return drive(argc, argv, [](auto stored, const auto&... about) { run_all<decltype(stored)>(about...); });
}
