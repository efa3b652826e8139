// Runs the pointwise and the pairs kernels of an ISA of this CPU over every functor: layouts, options, lengths around every
// width, places; each number against a plain loop. Built and run by tests/asan.py under the sanitizers.

#include <cstring>

#include "driver.h"
#include "pairs_case.h"
#include "points_case.h"

namespace {

constexpr unsigned char kUntouched = 0xff;  // NaN in every stored type

int64_t untouched(const Output& o) {
  int64_t count = 0;
  for (int64_t i = 0; i < o.bytes / o.element; ++i) {
    bool same = true;
    for (int64_t b = 0; b < o.element; ++b) same = same && ((unsigned char*)o.data)[i * o.element + b] == kUntouched;
    count += same;
  }
  return count;
}

// Cuts the tasks in two calls, as threads would; all of an output but its gaps must be written.
template <class Args, class Kernel>
PointTotals run_tasks(Memory& memory, Random& random, Args& args, const std::vector<Output>& outputs, int64_t tasks,
                      const Kernel& kernel) {
  for (const Output& o : outputs) memset(o.data, kUntouched, o.bytes);
  args.sums = memory.take<PointSums>(tasks);
  const int64_t middle = random.below(tasks + 1);
  if (middle > 0) kernel(0, middle), ++calls;
  if (middle < tasks) kernel(middle, tasks), ++calls;
  PointTotals total{};
  for (int64_t t = 0; t < tasks; ++t) {
    total.loss += args.sums[t].loss, total.gradient_square += args.sums[t].gradient_square;
    if (args.sums[t].outside) fail("inside the domain", -1, -1, 1, 0, 0);
  }
  for (const Output& o : outputs) {
    if (untouched(o) != o.gaps) fail(o.what, -1, -1, (double)untouched(o), (double)o.gaps, 0);
  }
  return total;
}

class CpuPoints : public PointBackend {
 public:
  CpuPoints(const Kernels& kernels, DType dtype) : kernels_(kernels), dtype_(dtype) {}

  PointTotals run(Memory& memory, Random& random, int id, PointArgs& args, const std::vector<Output>& outputs, bool,
                  double*) override {
    args.stream = random.chance(50);
    args.task_elements = 512 * (1 + random.below(3));
    return run_tasks(memory, random, args, outputs, (args.elements + args.task_elements - 1) / args.task_elements,
                     [&](int64_t begin, int64_t end) {
                       kernels_.engine[(int)dtype_].pointwise(args, begin, end, kernels_.pointwise[id]);
                     });
  }

 private:
  const Kernels& kernels_;
  const DType dtype_;
};

template <class S>
void points(const std::string& isa, DType dtype, const char* dtype_name) {
  CpuPoints backend(isa::kernels(isa), dtype);
  Random random{(uint64_t)dtype + 11};
  std::vector<int64_t> lengths;
  for (int64_t n = 1; n <= 70; ++n) lengths.push_back(n);
  for (int64_t n : {511, 512, 513, 575, 1023, 1024, 1025, 1553, 4099}) lengths.push_back(n);
  int turn = 0;
  for (int id = 0; id < kPointwiseLosses; ++id) {
    for (int64_t n : lengths) {
      for (int repeat = 0; repeat < 2; ++repeat, ++turn) {
        Options o = options_of(random, kLosses[id].arity, turn);
        o.scalars = false;
        o.mixed = turn % 5 == 4;
        const Place place = (Place)random.below(3);
        const Shape shape = shape_of(random, n, o.strided);
        const uint64_t seed = (uint64_t)turn + 1;
        current = isa + ", " + dtype_name + ", " + kLosses[id].name + ", " + std::to_string(n) + " elements, " +
                  kPlaceNames[(int)place] + (o.strided ? ", strided" : "") + (o.mixed ? ", mixed" : "") + ", seed " +
                  std::to_string(seed);
        Case<S>(backend, id, shape, o, place, seed).run();
      }
    }
  }
}

// ------------------------------------------------------------------------------------------------------------ pairs

class CpuPairs : public PairBackend {
 public:
  CpuPairs(const Kernels& kernels, DType dtype) : kernels_(kernels), dtype_(dtype) {}

  PointTotals run(Memory& memory, Random& random, int id, PairArgs& args, const std::vector<Output>& outputs, bool,
                  double*) override {
    args.task_rows = 1 + random.below(4);
    return run_tasks(memory, random, args, outputs, (args.rows + args.task_rows - 1) / args.task_rows,
                     [&](int64_t begin, int64_t end) { kernels_.pairs[id][(int)dtype_](args, begin, end); });
  }

  // What a lane adds: of four vectors of two lanes or more, one takes the rest of the row. A product is rounded too where
  // there is no fused addition.
  double product_roundings(int64_t width) const override { return (double)(width / 8 + 6); }

 private:
  const Kernels& kernels_;
  const DType dtype_;
};

template <class S>
void pairs(const std::string& isa, DType dtype, const char* dtype_name) {
  CpuPairs backend(isa::kernels(isa), dtype);
  Random random{(uint64_t)dtype + 3};
  uint64_t seed = 1;
  std::vector<int64_t> widths;
  for (int64_t w = 1; w <= 70; ++w) widths.push_back(w);
  for (int64_t w : {127, 128, 129, 1000}) widths.push_back(w);
  int id = 0;
  for (const PairEntry& loss : pair_entries<S>()) {
    for (int64_t width : widths) {
      for (int64_t rows : {1, 2, 7, 33}) {
        const Place place = (Place)random.below(3);
        current = isa + ", " + dtype_name + ", " + loss.name + ", " + std::to_string(rows) + " x " +
                  std::to_string(width) + ", " + kPlaceNames[(int)place] + ", seed " + std::to_string(seed);
        loss.run(backend, id, rows, width, place, seed++, {});
      }
    }
    ++id;
  }
}

// ---------------------------------------------------------------------------------------------------------- elements

// What vectors of several types are brought to, and the way back.
template <class T>
void elements(const std::string& isa, DType dtype, const char* dtype_name) {
  const Engine& engine = isa::kernels(isa).engine[(int)dtype];
  Random random{(uint64_t)dtype + 29};
  for (int e = 0; e < (int)Element::count; ++e) {
    const Element type = (Element)e;
    if (type == Element::f64 && sizeof(T) == sizeof(float)) continue;
    for (int64_t n = 1; n <= 70; ++n) {
      for (const Place place : {Place::heap, Place::guard, Place::aligned}) {
        current = isa + ", " + dtype_name + ", elements of type " + std::to_string(e) + ", " + std::to_string(n) +
                  ", " + kPlaceNames[(int)place];
        Memory memory(place);
        void *const from = memory.take(n * bytes_of(type), bytes_of(type)), *const back = memory.take(
                                                                                n * bytes_of(type), bytes_of(type));
        T* const to = memory.take<T>(n);
        for (int64_t i = 0; i < n; ++i) write_as(type, from, i, 10 * random.uniform());
        engine.read(type, from, n, to), ++calls;
        for (int64_t i = 0; i < n; ++i) check("element", -1, i, (double)to[i], read_as(type, from, i), 0);
        if (!is_floating(type)) continue;
        engine.write(type, back, n, to), ++calls;
        for (int64_t i = 0; i < n; ++i) check("element written", -1, i, read_as(type, back, i), (double)to[i], 0);
      }
    }
  }
}

template <class S>
void run_all(const std::string& isa, DType dtype, const char* dtype_name) {
  points<S>(isa, dtype, dtype_name);
  pairs<S>(isa, dtype, dtype_name);
  if constexpr (std::is_same_v<S, typename Compute<S>::type>) elements<S>(isa, dtype, dtype_name);
}

}  // namespace

int main(int argc, char** argv) {
  return drive(argc, argv, [](auto stored, const auto&... about) { run_all<decltype(stored)>(about...); });
}
