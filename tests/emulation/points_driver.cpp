// Runs the pointwise CUDA kernels on the host (cuda/device.h here) over every functor: layouts, options, lengths around
// every width, places; each number against a plain loop. Built and run by test_cuda_emulation.py.
//
// Note [Expected]
// The functors are checked elsewhere (dual numbers, PyTorch), so the loop evaluates the same functor in the computing
// type. What remains is the engine's: a few roundings of factors (kRoundings units), one to the stored type, and in a sum
// at most 16 additions in the computing type before double takes over.

#include "../asan/case.h"
#include "core/compute.h"
#include "core/pointwise.h"
#include "cuda/device.h"
#include "cuda/pointwise.h"
#include "losses/functors.h"

namespace {

using cuda::PointFinish;
using cuda::PointLaunch;
namespace emulation = cuda::emulation;

constexpr double kRoundings = 10, kTileSum = 16;  // of the five products in a factor, in the kernel and here
constexpr double kDoubleSum = 64 * 0x1p-53;       // a thread's tiles and the tree over the block
constexpr double kParams[4] = {0.3, 1, 1e-3, 0};  // of any loss: its thresholds lie among the values
int64_t plain_runs = 0, general_runs = 0;

struct Expected {
  double loss, grad[kMaxOperands];
};

template <class T, template <class> class Loss>
Expected evaluate(const double (&x)[kMaxOperands]) {
  using F = Loss<T>;
  const F f(kParams);
  const T a = (T)x[0], b = (T)x[1], c = (T)x[2];
  Expected e{};
  bool outside = false;
  const auto take = [&](const auto& r) {
    e.loss = (double)r.loss;
    for (int k = 0; k < F::arity; ++k) e.grad[k] = (double)r.grad[k];
  };
  if constexpr (F::arity == 2) {
    take(f(a, b));
    if constexpr (F::checked) outside = f.outside(a, b) != 0;
  } else {
    take(f(a, b, c));
    if constexpr (F::checked) outside = f.outside(a, b, c) != 0;
  }
  return outside ? Expected{NAN, {}} : e;
}

struct LossEntry {
  const char* name;
  int arity;
  bool checked;
  Expected (*in_float)(const double (&)[kMaxOperands]);
  Expected (*in_double)(const double (&)[kMaxOperands]);
};
#define FASTLOSS_ENTRY(name, Functor, params) \
  {#name, Functor<double>::arity, Functor<double>::checked, &evaluate<float, Functor>, &evaluate<double, Functor>},
const LossEntry kLosses[] = {FASTLOSS_POINTWISE_LOSSES(FASTLOSS_ENTRY)};
#undef FASTLOSS_ENTRY

// --------------------------------------------------------------------------------------------------------- tensors

// How a tensor lies: dense; its dimensions in reverse; every second element; one value along a dimension.
enum class Lay { dense, reversed, spread, expanded, count };

struct Shape {
  int dims;
  int64_t size[3];
  int64_t elements() const { return size[0] * size[1] * size[2]; }
};

struct Tensor {
  PointView view{};
  int64_t extent = 0;  // elements of memory

  Tensor() = default;
  Tensor(const Shape& s, Lay lay) {
    int64_t step = lay == Lay::spread ? 2 : 1;
    for (int i = 0; i < s.dims; ++i) {
      const int d = lay == Lay::reversed ? i : s.dims - 1 - i;
      view.stride[d] = step;
      step *= s.size[d];
    }
    if (lay == Lay::expanded) view.stride[s.dims - 1] = 0;
    extent = 1;
    int64_t dense = 1;
    view.flat = true;
    for (int d = s.dims - 1; d >= 0; --d) {
      extent += (s.size[d] - 1) * view.stride[d];
      view.flat = view.flat && view.stride[d] == dense;
      dense *= s.size[d];
    }
  }

  int64_t at(const Shape& s, int64_t e) const {
    int64_t offset = 0;
    for (int d = s.dims - 1; d >= 0; --d) {
      offset += e % s.size[d] * view.stride[d];
      e /= s.size[d];
    }
    return offset;
  }
};

template <class S>
void fill(Random& random, Memory& memory, Tensor& t, double low, double high) {
  S* const p = memory.take<S>(t.extent);
  for (int64_t i = 0; i < t.extent; ++i) assign(p[i], low + (high - low) * random.uniform());
  t.view.data = p;
}

// ----------------------------------------------------------------------------------------------------------- a case

struct Options {
  bool gradients[kMaxOperands];
  bool weight, mask, upstream, wide, unreduced, stats, scalars, strided, outside;
};

template <class S>
class Case {
 public:
  using T = typename Stored<S>::Compute;

  Case(DType dtype, int loss, const Shape& shape, const Options& o, Place place, uint64_t seed)
      : dtype_(dtype), loss_(kLosses[loss]), id_(loss), shape_(shape), o_(o), random_{seed}, memory_(place) {}

  void run() {
    PointLaunch l{};
    describe(l.args);
    evaluate_all();
    set_scalars(l);
    cuda::plan_points(dtype_, l);
    if (random_.chance(50)) {  // runs of several tiles, which real plans have from millions of elements on
      l.block_elements *= 1 + (int)random_.below(3);
      l.blocks = (l.args.elements + l.block_elements - 1) / l.block_elements;
    }
    ++(l.vectors ? plain_runs : general_runs);
    const int64_t planes = o_.stats ? 2 : 1;
    l.sums = memory_.take<double>(planes * l.blocks);
    emulation::schedule = random_.below(5);
    emulation::watch(l.sums, planes * l.blocks * 8, 8);
    for (int k = 0; k < kMaxOperands; ++k) {
      if (o_.gradients[k]) emulation::watch(l.args.gradient[k].data, gradient_[k].extent * sizeof(S), sizeof(S));
    }
    if (o_.unreduced) emulation::watch(loss_values_.view.data, loss_values_.extent * loss_size(), loss_size());
    if (cuda::run_points(id_, dtype_, l, nullptr) != 0) fail("launch", -1, -1, 1, 0, 0);
    check_written(l);
    check_values(l);
  }

 private:
  const DType dtype_;
  const LossEntry& loss_;
  const int id_;
  const Shape shape_;
  const Options o_;
  Random random_;
  Memory memory_;
  Tensor operand_[kMaxOperands], gradient_[kMaxOperands], weight_, mask_, upstream_, loss_values_;
  std::vector<Expected> expected_;
  double scale_ = 1;

  int64_t loss_size() const { return o_.wide ? sizeof(T) : sizeof(S); }
  Lay lay(bool writes) { return !o_.strided ? Lay::dense : (Lay)random_.below((int)Lay::count - (writes ? 1 : 0)); }

  void describe(PointArgs& a) {
    a.elements = shape_.elements();
    a.dims = shape_.dims;
    for (int d = 0; d < a.dims; ++d) a.size[d] = shape_.size[d];
    std::copy(kParams, kParams + 4, a.params);
    a.plain = !o_.weight && !o_.mask && !o_.upstream && !o_.unreduced && !o_.stats;
    const auto add = [&](PointView& view, const Tensor& t) {
      view = t.view;
      a.plain = a.plain && view.flat;
    };
    for (int k = 0; k < loss_.arity; ++k) {
      operand_[k] = Tensor(shape_, lay(false));
      fill<S>(random_, memory_, operand_[k], 0.05, 0.95);
      add(a.operand[k], operand_[k]);
    }
    for (int k = 0; k < kMaxOperands; ++k) {
      if (!o_.gradients[k]) continue;
      gradient_[k] = Tensor(shape_, lay(true));
      gradient_[k].view.data = memory_.take<S>(gradient_[k].extent);
      a.plain = a.plain && k == 0;
      add(a.gradient[k], gradient_[k]);
    }
    if (o_.weight) {
      weight_ = Tensor(shape_, lay(false));
      fill<S>(random_, memory_, weight_, 0.5, 2);
      add(a.weight, weight_);
    }
    if (o_.mask) {
      mask_ = Tensor(shape_, lay(false));
      bool* const p = memory_.take<bool>(mask_.extent);
      for (int64_t i = 0; i < mask_.extent; ++i) p[i] = random_.chance(70);
      mask_.view.data = p;
      add(a.mask, mask_);
    }
    if (o_.upstream) {
      upstream_ = Tensor(shape_, lay(false));
      o_.wide ? fill<T>(random_, memory_, upstream_, -2, 2) : fill<S>(random_, memory_, upstream_, -2, 2);
      upstream_.view.wide = o_.wide;
      add(a.upstream, upstream_);
    }
    if (o_.unreduced) {
      loss_values_ = Tensor(shape_, lay(true));
      loss_values_.view.data = memory_.take(loss_values_.extent * loss_size(), loss_size());
      loss_values_.view.wide = o_.wide;
      add(a.loss, loss_values_);
    }
    a.want_stats = o_.stats;
    a.scale = scale_ = random_.chance(50) ? 1 : 0.25;
  }

  void set_scalars(PointLaunch& l) {
    if (!o_.scalars) return;
    double* const divisor = memory_.take<double>(1);
    float* const upstream = memory_.take<float>(1);
    *divisor = 3, *upstream = -2.5f;
    l.divisor = divisor, l.upstream = upstream, l.upstream_dtype = DType::f32;
    l.unless_one = random_.chance(50);
    scale_ *= -2.5 / 3;
  }

  bool kept(int64_t e) const { return !o_.mask || ((const bool*)mask_.view.data)[mask_.at(shape_, e)]; }
  double weight(int64_t e) const {
    return o_.weight ? value_of(((const S*)weight_.view.data)[weight_.at(shape_, e)]) : 1.0;
  }
  double upstream(int64_t e) const {
    if (!o_.upstream) return 1;
    const int64_t at = upstream_.at(shape_, e);
    return o_.wide ? (double)((const T*)upstream_.view.data)[at] : value_of(((const S*)upstream_.view.data)[at]);
  }

  void evaluate_all() {
    if (o_.outside) {
      const int64_t e = random_.below(shape_.elements());
      for (int k = 0; k < loss_.arity; ++k) assign(((S*)operand_[k].view.data)[operand_[k].at(shape_, e)], -1);
    }
    expected_.resize(shape_.elements());
    for (int64_t e = 0; e < shape_.elements(); ++e) {
      double x[kMaxOperands] = {};
      for (int k = 0; k < loss_.arity; ++k)
        x[k] = value_of(((const S*)operand_[k].view.data)[operand_[k].at(shape_, e)]);
      expected_[e] = sizeof(T) == 4 ? loss_.in_float(x) : loss_.in_double(x);
    }
  }

  void check_written(const PointLaunch& l) {
    const int64_t n = shape_.elements();
    if (emulation::unwatch(l.sums) != 0) fail("sums not written", -1, -1, 0, 0, 0);
    const auto all = [&](const void* p, int64_t extent, const char* what) {
      const int64_t missing = emulation::unwatch(p);
      if (missing != extent - n) fail(what, -1, -1, (double)missing, (double)(extent - n), 0);
    };
    for (int k = 0; k < kMaxOperands; ++k) {
      if (o_.gradients[k]) all(gradient_[k].view.data, gradient_[k].extent, "gradients not written");
    }
    if (o_.unreduced) all(loss_values_.view.data, loss_values_.extent, "losses not written");
  }

  void same(const char* what, int64_t e, double got, double wanted, double tolerance) {
    if (std::isnan(got) && std::isnan(wanted)) return;
    if (std::isnan(got)) fail(what, -1, e, got, wanted, tolerance);
    check(what, -1, e, got, wanted, tolerance);
  }

  void check_values(const PointLaunch& l) {
    const double u = storage_unit<T>();
    long double sum = 0, size = 0, square = 0;
    for (int64_t e = 0; e < shape_.elements(); ++e) {
      const double w = weight(e), c = scale_ * w * upstream(e);
      const double loss = kept(e) ? expected_[e].loss * w : 0.0;
      sum += loss, size += std::fabs(loss);
      if (o_.unreduced) {
        const int64_t at = loss_values_.at(shape_, e);
        const double got =
            o_.wide ? (double)((const T*)loss_values_.view.data)[at] : value_of(((const S*)loss_values_.view.data)[at]);
        const double unit = kRoundings * u + (o_.wide ? u : storage_unit<S>());
        same("loss", e, got, loss, unit * std::fabs(loss) + storage_underflow<S>());
      }
      for (int k = 0; k < loss_.arity; ++k) {
        const double slope = kept(e) ? expected_[e].grad[k] * c : 0.0;
        if (k == 0) square += slope * slope;
        if (!o_.gradients[k]) continue;
        ++gradients;
        same("gradient", e, value_of(((const S*)gradient_[k].view.data)[gradient_[k].at(shape_, e)]), slope,
             (kRoundings * u + storage_unit<S>()) * std::fabs(slope) + storage_underflow<S>());
      }
    }
    long double got = 0, got_square = 0;
    for (int64_t b = 0; b < l.blocks; ++b) {
      got += l.sums[b];
      if (o_.stats) got_square += l.sums[l.blocks + b];
    }
    same("sum", -1, (double)got, (double)sum, ((kTileSum + kRoundings) * u + kDoubleSum) * (double)size);
    if (o_.stats) {
      same("square", -1, (double)got_square, (double)square, (2 * kRoundings * u + kDoubleSum) * (double)square);
    }
  }
};

// --------------------------------------------------------------------------------------------------------- the sweep

Options options_of(Random& random, int arity, int turn) {
  Options o{};
  o.gradients[0] = turn % 4 != 0;
  if (turn % 3 == 0) {  // what the plain kernel takes
    o.scalars = random.chance(30);
    return o;
  }
  for (int k = 0; k < arity; ++k) o.gradients[k] = random.chance(60);
  o.weight = random.chance(40), o.mask = random.chance(40), o.upstream = random.chance(40);
  o.unreduced = random.chance(40), o.stats = random.chance(40), o.scalars = random.chance(40);
  o.wide = random.chance(50), o.strided = random.chance(50);
  return o;
}

Shape shape_of(Random& random, int64_t n, bool strided) {
  if (!strided) return {1, {n, 1, 1}};
  if (random.chance(30)) return {1, {n, 1, 1}};
  if (random.chance(50)) return {2, {3, (n + 2) / 3, 1}};
  return {3, {2, (n + 9) / 10, 5}};
}

template <class S>
void sweep(DType dtype, const char* dtype_name, bool quick) {
  Random random{(uint64_t)dtype + 5};
  const int64_t lane = 16 / sizeof(S), tile = cuda::kPointThreads * cuda::kPlainVectors * lane;
  std::vector<int64_t> lengths = {1, 2, 3, lane - 1, lane, lane + 1, 31, 33, 255, 256, 257, 1023, 1024, 1025, 4097};
  for (int64_t n : {tile - 1, tile, tile + 1, 2 * tile + 3, 3 * tile - lane - 1}) lengths.push_back(n);
  int turn = 0;
  for (int id = 0; id < (int)(sizeof(kLosses) / sizeof(kLosses[0])); ++id) {
    for (int64_t n : lengths) {
      if (n == 0 || (quick && n > tile + 1)) continue;
      for (int repeat = 0; repeat < 3; ++repeat, ++turn) {
        Options o = options_of(random, kLosses[id].arity, turn);
        o.outside = kLosses[id].checked && random.chance(20);
        const Place place = turn % 3 == 0 && random.chance(75) ? Place::aligned : (Place)random.below(3);
        const Shape shape = shape_of(random, n, o.strided);
        const uint64_t seed = (uint64_t)turn + 1;
        current = std::string("emulated, ") + dtype_name + ", " + kLosses[id].name + ", " + std::to_string(n) +
                  " elements, " + kPlaceNames[(int)place] + (o.strided ? ", strided" : "") + ", seed " +
                  std::to_string(seed);
        Case<S>(dtype, id, shape, o, place, seed).run();
      }
    }
  }
}

// The last block of so many elements that 32 bits do not count them: its part of every tensor is there, what comes before
// is not. And strides that 32 bits do not hold, over memory that is never touched in between.
template <class S>
void check_far(DType dtype) {
  for (const bool plain : {true, false}) {
    current = std::string("elements beyond 2^33, ") + (plain ? "plain" : "general");
    Memory memory(Place::aligned);
    PointLaunch l{};
    l.args.elements = (1LL << 33) + 5;
    l.args.dims = 1, l.args.size[0] = l.args.elements, l.args.plain = plain, l.args.scale = 1;
    // Aligned as far as plan_points can see.
    for (int k = 0; k < 2; ++k) l.args.operand[k] = {(void*)4096, {1}, true, false};
    l.args.gradient[0] = {(void*)4096, {1}, true, false};
    cuda::plan_points(dtype, l);
    const int64_t begin = (l.blocks - 1) * l.block_elements, n = l.args.elements - begin;
    S* const data[3] = {memory.take<S>(n), memory.take<S>(n), memory.take<S>(n)};
    for (int64_t i = 0; i < n; ++i) assign(data[0][i], 3), assign(data[1][i], 1);
    l.args.operand[0].data = (void*)((uintptr_t)data[0] - begin * sizeof(S));
    l.args.operand[1].data = (void*)((uintptr_t)data[1] - begin * sizeof(S));
    l.args.gradient[0].data = (void*)((uintptr_t)data[2] - begin * sizeof(S));
    double sum = NAN;
    l.sums = (double*)((uintptr_t)&sum - (l.blocks - 1) * sizeof(double));
    emulation::first_block = l.blocks - 1;
    cuda::run_points(k_mse_loss, dtype, l, nullptr);
    emulation::first_block = 0;
    check("sum", -1, -1, sum, 4.0 * (double)n, 0);
    for (int64_t i = 0; i < n; ++i) check("gradient", -1, i, value_of(data[2][i]), 4, 0);
  }
  current = "strides beyond 2^31";
  const int64_t stride = (1LL << 31) + 7, bytes = (2 * stride + 5) * (int64_t)sizeof(S);
  void* const region = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (region == MAP_FAILED) perror("emulation: mmap"), _exit(1);
  S* const far = (S*)region;
  std::vector<S> near(15), gradient(15);
  for (int64_t i = 0; i < 15; ++i) assign(far[i / 5 * stride + i % 5], (double)i), assign(near[i], 1);
  PointLaunch l{};
  l.args.elements = 15, l.args.dims = 2, l.args.size[0] = 3, l.args.size[1] = 5, l.args.scale = 1;
  l.args.operand[0] = {far, {stride, 1}, false, false};
  l.args.operand[1] = {near.data(), {5, 1}, true, false};
  l.args.gradient[0] = {gradient.data(), {5, 1}, true, false};
  cuda::plan_points(dtype, l);
  cuda::run_points(k_mse_loss, dtype, l, nullptr);
  for (int64_t i = 0; i < 15; ++i) check("gradient", -1, i, value_of(gradient[i]), 2 * (double)(i - 1), 0);
  munmap(region, bytes);
}

// Nothing is read or written where the upstream gradient is 1 and forward's gradient stands.
template <class S>
void check_unless_one(DType dtype) {
  current = "unless one";
  PointLaunch l{};
  l.args.elements = 5000, l.args.dims = 1, l.args.size[0] = 5000, l.args.plain = true, l.args.scale = 1;
  for (int k = 0; k < 2; ++k) l.args.operand[k] = {(void*)4096, {1}, true, false};
  l.args.gradient[0] = {(void*)4096, {1}, true, false};
  const float one = 1;
  l.upstream = &one, l.upstream_dtype = DType::f32, l.unless_one = true;
  for (const bool plain : {true, false}) {
    l.args.plain = plain;
    cuda::plan_points(dtype, l);
    cuda::run_points(k_mse_loss, dtype, l, nullptr);
  }
}

void check_finish(Random& random) {
  for (int64_t blocks : {1, 2, 255, 257, 5000, 8192, 8193, 20000}) {
    for (int option = 0; option < 8; ++option) {
      current = "finish of " + std::to_string(blocks) + " blocks, option " + std::to_string(option);
      Memory memory(Place::heap);
      const bool stats = option & 1, on_device = option & 2, empty = option & 4;
      const int64_t planes = stats ? 2 : 1;
      double* const sums = memory.take<double>(planes * blocks);
      double total[2] = {};
      for (int64_t i = 0; i < planes * blocks; ++i) total[i / blocks] += sums[i] = random.uniform();
      PointFinish l{};
      l.sums = sums, l.blocks = blocks;
      l.parts = memory.take<double>(planes * cuda::finish_blocks(blocks));
      double* const divisor = memory.take<double>(1);
      *divisor = empty ? 0 : 3;
      if (on_device) l.divisor = divisor;
      l.count = on_device ? NAN : *divisor;
      l.empty_zero = empty;
      double* const loss = memory.take<double>(1);
      l.loss = loss, l.dtype = DType::f64;
      if (stats) l.stats = memory.take<double>(2);
      emulation::schedule = random.below(5);
      cuda::run_finish_points(l, nullptr);
      check("loss", -1, -1, *loss, empty ? 0 : total[0] / 3, 1e-9 * (double)blocks);
      for (int k = 0; stats && k < 2; ++k) check("stats", -1, k, l.stats[k], total[k], 1e-9 * (double)blocks);
    }
  }
}

template <class S>
void run_all(DType dtype, const char* name, bool quick) {
  Random random{7};
  check_finish(random);
  check_unless_one<S>(dtype);
  sweep<S>(dtype, name, quick);
  check_far<S>(dtype);
}

}  // namespace

// points_driver DTYPE [quick]: prints how many launches each kernel had, and the number of gradients checked.
int main(int argc, char** argv) {
  if (argc < 2) return fprintf(stderr, "usage: points_driver DTYPE [quick]\n"), 2;
  __sanitizer_set_death_callback(print_case);
  const std::string dtype = argv[1];
  const bool quick = argc > 2;
  if (dtype == "float32") {
    run_all<float>(DType::f32, argv[1], quick);
  } else if (dtype == "float64") {
    run_all<double>(DType::f64, argv[1], quick);
  } else if (dtype == "bfloat16") {
    run_all<BFloat16>(DType::bf16, argv[1], quick);
  } else if (dtype == "float16") {
    run_all<Half>(DType::f16, argv[1], quick);
  } else {
    return fprintf(stderr, "points_driver: unknown dtype %s\n", argv[1]), 2;
  }
  printf("plain %lld\ngeneral %lld\ngradients %lld\n", (long long)plain_runs, (long long)general_runs,
         (long long)gradients);
  return 0;
}

void fastloss::cuda::emulation::fail(const char* what) {
  fprintf(stderr, "emulation: %s: %s", case_name(), what);
  if (emulation::current) {
    fprintf(stderr, " (block %lld, thread %d)", (long long)emulation::current->block->index,
            emulation::current->thread);
  }
  fprintf(stderr, "\n");
  _exit(1);
}
