// Runs the pointwise and the pairs kernels of an ISA of this CPU over every functor: layouts, options, lengths around every
// width, places; each number against a plain loop. Built and run by tests/asan.py under the sanitizers.

#include <cstring>

#include "points_case.h"

#include "cpu/isa.h"

namespace {

int64_t calls = 0;

// Cuts the tasks in two calls, as threads would.
template <class Args, class Kernel>
PointTotals run_tasks(Memory& memory, Random& random, Args& args, int64_t tasks, const Kernel& kernel) {
  args.sums = memory.take<PointSums>(tasks);
  const int64_t middle = random.below(tasks + 1);
  if (middle > 0) kernel(0, middle), ++calls;
  if (middle < tasks) kernel(middle, tasks), ++calls;
  PointTotals total{};
  for (int64_t t = 0; t < tasks; ++t) {
    total.loss += args.sums[t].loss, total.gradient_square += args.sums[t].gradient_square;
    if (args.sums[t].outside) fail("inside the domain", -1, -1, 1, 0, 0);
  }
  return total;
}

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

class CpuPoints : public PointBackend {
 public:
  CpuPoints(const Kernels& kernels, DType dtype) : kernels_(kernels), dtype_(dtype) {}

  PointTotals run(Memory& memory, Random& random, int id, PointArgs& args, const std::vector<Output>& outputs, bool,
                  double*) override {
    for (const Output& o : outputs) memset(o.data, kUntouched, o.bytes);
    args.stream = random.chance(50);
    args.task_elements = 512 * (1 + random.below(3));
    const PointTotals total =
        run_tasks(memory, random, args, (args.elements + args.task_elements - 1) / args.task_elements,
                  [&](int64_t begin, int64_t end) {
                    kernels_.engine[(int)dtype_].pointwise(args, begin, end, kernels_.pointwise[id]);
                  });
    for (const Output& o : outputs) {
      if (untouched(o) != o.gaps) fail(o.what, -1, -1, (double)untouched(o), (double)o.gaps, 0);
    }
    return total;
  }

  // exp and log of vectors are not the C library's: a few units of the terms of a value, which lie around 1 here (logarithms
  // of 0.05 to 0.95 up to 3, quotients by them larger, but as large as their value) and may cancel, p - y say.
  double roundings() const override { return 64; }
  double terms() const override { return 1; }
  double sum_roundings() const override { return 64; }

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
        const Place place = (Place)random.below(3);
        const Shape shape = shape_of(random, n, o.strided);
        const uint64_t seed = (uint64_t)turn + 1;
        current = isa + ", " + dtype_name + ", " + kLosses[id].name + ", " + std::to_string(n) + " elements, " +
                  kPlaceNames[(int)place] + (o.strided ? ", strided" : "") + ", seed " + std::to_string(seed);
        Case<S>(backend, id, shape, o, place, seed).run();
      }
    }
  }
}

// ------------------------------------------------------------------------------------------------------------ pairs

// Value and gradients of one row, from the functor's own parts one element at a time in double.
template <template <class> class Loss>
struct PairRow {
  using F = Loss<double>;
  double loss, square = 0;
  std::vector<double> grad[kMaxOperands];

  PairRow(const std::vector<double> (&x)[kMaxOperands], const double* params, double label, double factor) {
    const F f(params);
    const int64_t width = (int64_t)x[0].size();
    double s[F::products] = {};
    const auto atoms = [&](int64_t i, double (&z)[F::atoms]) {
      double v[F::arity];
      for (int k = 0; k < F::arity; ++k) v[k] = x[k][i];
      f.combine(v, z);
    };
    double z[F::atoms];
    for (int64_t i = 0; i < width; ++i) {
      atoms(i, z);
      for (int k = 0; k < F::products; ++k) s[k] += z[F::left[k]] * z[F::right[k]];
    }
    const PairEval<F::products> r = f(s, label);
    loss = r.loss;
    for (int64_t i = 0; i < width; ++i) {
      double h[F::atoms] = {}, g[F::arity];
      atoms(i, z);
      for (int k = 0; k < F::products; ++k) {
        h[F::left[k]] += r.grad[k] * z[F::right[k]];
        h[F::right[k]] += r.grad[k] * z[F::left[k]];
      }
      f.transpose(h, g);
      for (int k = 0; k < F::arity; ++k) grad[k].push_back(g[k] * factor);
      square += g[0] * factor * g[0] * factor;
    }
  }
};

template <class S, template <class> class Loss>
void pair_case(const Kernels& kernels, DType dtype, int id, int64_t rows, int64_t width, Place place, uint64_t seed) {
  using T = typename Compute<S>::type;
  using F = Loss<double>;
  Random random{seed};
  Memory memory(place);
  PairArgs a{};
  a.rows = rows, a.width = width, a.task_rows = 1 + random.below(4), a.scale = 0.25;
  std::copy(kParams, kParams + 4, a.params);
  if (random.chance(50)) a.params[2] = 0;  // a switch: triplet margin's swap, contrastive's distance
  for (int k = 0; k < F::arity; ++k) {
    const int64_t stride = random.chance(80) ? width + random.below(3) : 0;  // 0: one row for all
    const int64_t extent = (rows - 1) * stride + width;
    S* const p = memory.take<S>(extent);
    for (int64_t i = 0; i < extent; ++i) assign(p[i], random.normal());
    a.operand[k] = {p, stride};
    if (random.chance(30)) continue;
    a.gradient[k] = {memory.take<S>((rows - 1) * (width + 1) + width), width + 1};
    memset(a.gradient[k].data, kUntouched, ((rows - 1) * (width + 1) + width) * sizeof(S));
  }
  const auto values = [&](int percent, double low, double high) -> T* {
    if (!random.chance(percent)) return nullptr;
    T* const p = memory.take<T>(rows);
    for (int64_t i = 0; i < rows; ++i) p[i] = (T)(low + (high - low) * random.uniform());
    return p;
  };
  T* const label = F::labelled ? values(100, 0, 1) : nullptr;
  for (int64_t i = 0; label && i < rows; ++i) label[i] = (T)(random.below(2) * 2 - 1);
  T *const weight = values(40, 0.5, 2), *const upstream = values(40, -2, 2), *const loss = values(50, 0, 0);
  a.label = label, a.weight = weight, a.upstream = upstream, a.loss = loss;
  bool* const mask = random.chance(40) ? memory.take<bool>(rows) : nullptr;
  for (int64_t i = 0; mask && i < rows; ++i) mask[i] = random.chance(70);
  a.mask = mask, a.want_stats = random.chance(40);
  const PointTotals total =
      run_tasks(memory, random, a, (rows + a.task_rows - 1) / a.task_rows,
                [&](int64_t begin, int64_t end) { kernels.pairs[id][(int)dtype](a, begin, end); });

  const double unit = 64 * storage_unit<T>();
  double sum = 0, square = 0, size = 0;
  for (int64_t row = 0; row < rows; ++row) {
    const bool kept = !mask || mask[row];
    const double w = weight ? (double)weight[row] : 1;
    std::vector<double> x[kMaxOperands];
    for (int k = 0; k < F::arity; ++k) {
      const S* const p = (const S*)a.operand[k].data + row * a.operand[k].row_stride;
      for (int64_t i = 0; i < width; ++i) x[k].push_back(value_of(p[i]));
    }
    const PairRow<Loss> r(x, a.params, label ? (double)label[row] : 1,
                          kept ? w * a.scale * (upstream ? (double)upstream[row] : 1) : 0);
    const double expected = kept ? r.loss * w : 0;
    sum += expected, size += std::fabs(expected) + 1, square += r.square;
    // Distances, about sqrt(2 width) long, cancel in a loss.
    const double terms = std::fabs(expected) + 8 + 2 * std::sqrt(2.0 * width);
    if (loss) check("loss", row, -1, (double)loss[row], expected, unit * terms);
    for (int k = 0; k < F::arity; ++k) {
      if (!a.gradient[k].data) continue;
      const S* const p = (const S*)a.gradient[k].data + row * (width + 1);
      for (int64_t i = 0; i < width; ++i, ++gradients) {
        const double wanted = kept ? r.grad[k][i] : 0;
        // Terms up to 1 / |x| cancel in a gradient; |x| may be 1e-2 at width 1.
        check("gradient", row, i, value_of(p[i]), wanted, 200 * unit + storage_unit<S>() * std::fabs(wanted));
      }
      const Output gap{"between the rows", (void*)(p + width), sizeof(S), sizeof(S), 1};
      if (row + 1 < rows && untouched(gap) != 1) fail(gap.what, row, width, 0, 1, 0);
    }
  }
  check("sum", -1, -1, total.loss, sum, 8 * unit * size);
  if (a.want_stats) check("square", -1, -1, total.gradient_square, square, 400 * unit * (square + 1));
}

template <class S>
void pairs(const std::string& isa, DType dtype, const char* dtype_name) {
  const Kernels& kernels = isa::kernels(isa);
  Random random{(uint64_t)dtype + 3};
  uint64_t seed = 1;
  std::vector<int64_t> widths;
  for (int64_t w = 1; w <= 70; ++w) widths.push_back(w);
  for (int64_t w : {127, 128, 129, 1000}) widths.push_back(w);
  int id = 0;
  const auto sweep = [&](const char* name, auto run) {
    for (int64_t width : widths) {
      for (int64_t rows : {1, 2, 7, 33}) {
        const Place place = (Place)random.below(3);
        current = isa + ", " + dtype_name + ", " + name + ", " + std::to_string(rows) + " x " + std::to_string(width) +
                  ", " + kPlaceNames[(int)place] + ", seed " + std::to_string(seed);
        run(kernels, dtype, id, rows, width, place, seed++);
      }
    }
    ++id;
  };
#define FASTLOSS_SWEEP(name, Functor, params) sweep(#name, &pair_case<S, Functor>);
  FASTLOSS_PAIRS_LOSSES(FASTLOSS_SWEEP)
#undef FASTLOSS_SWEEP
}

template <class S>
void run_all(const std::string& isa, DType dtype, const char* dtype_name) {
  points<S>(isa, dtype, dtype_name);
  pairs<S>(isa, dtype, dtype_name);
}

}  // namespace

// points_driver ISA DTYPE: prints the numbers of kernel calls and of gradient elements checked.
int main(int argc, char** argv) {
  if (argc != 3) return fprintf(stderr, "usage: points_driver ISA DTYPE\n"), 2;
  __sanitizer_set_death_callback(print_case);
  const std::string isa = argv[1];
  const std::vector<std::string> available = isa::available();
  if (std::find(available.begin(), available.end(), isa) == available.end()) return 0;
  const int unknown =
      with_stored(argv[2], [&](auto stored, DType dtype) { run_all<decltype(stored)>(isa, dtype, argv[2]); });
  if (unknown) return unknown;
  printf("%lld %lld\n", (long long)calls, (long long)gradients);
  return 0;
}
