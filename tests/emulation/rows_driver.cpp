// Runs the CUDA kernels on the host (device/device.h here) over the cases of ../asan/rows_case.h, on every path that takes a
// case: the planned one and those that could take its place. Built and run by test_cuda_emulation.py.

#include "../asan/rows_case.h"
#include "engines/softmax/cuda.h"
#include "driver.h"

namespace {

using cuda::FinishLaunch;
using cuda::RowsLaunch;
using cuda::RowsPath;
using cuda::RowsPlan;
using cuda::SurveyLaunch;

template <class S>
class CudaBackend : public Backend {
 public:
  using T = typename Compute<S>::type;
  explicit CudaBackend(DType dtype) : dtype_(dtype) {}

  bool takes_bad_targets() const override { return true; }

  void run(Memory& memory, Random& random, RowsArgs& a, bool summed, RowsSums& total) override {
    emulation::schedule = random.below(6);
    emulation::largest_cluster = random.chance(50) ? 16 : 1;
    const int limits[] = {64 * 1024, 99 * 1024, 227 * 1024};  // sm_75, sm_86, sm_90
    emulation::shared_limit = limits[random.below(3)];
    RowsLaunch l{};
    l.rows = a;
    // scale = upstream / divisor, as the device finds them
    const double divisor = random.chance(50) ? 2.0 : 1.0;
    double* const divisor_at = memory.take<double>(1);
    *divisor_at = divisor;
    if (divisor != 1 || random.chance(50)) l.divisor = divisor_at;
    T* const upstream = memory.take<T>(a.upstream ? a.rows : 1);
    for (int64_t i = 0; i < (a.upstream ? a.rows : 1); ++i) {
      upstream[i] = (T)(a.scale * divisor * (a.upstream ? ((const T*)a.upstream)[i] : (T)1));
    }
    l.rows.upstream = upstream;
    l.upstream_stride = a.upstream ? 1 : 0;
    l.rows.scale = NAN;
    if (a.label_smoothing != 0 && random.chance(50)) {
      double* const sum = memory.take<double>(1);
      *sum = a.weight_sum;
      l.weight_sum = sum;
      l.rows.weight_sum = NAN;
    }
    RowsPlan plan = choose(random, l);
    plan.grid = plan.blocks;
    if (random.chance(50)) plan.grid = (1 + random.below(plan.blocks / plan.cluster)) * plan.cluster;
    if (plan.grid < plan.blocks && random.chance(50)) emulation::schedule = 3;
    if (plan.cluster > 1 && random.chance(50)) emulation::schedule = 2;
    double* const sums = summed ? memory.take<double>(cuda::kSums * plan.blocks) : nullptr;
    l.sums = sums;
    const int64_t planes = a.want_stats ? cuda::kSums : 2;
    if (summed) emulation::watch(sums, planes * plan.blocks * 8, 8);
    current += std::string(", ") + cuda::kRowsPathNames[(int)plan.path] + " x " + std::to_string(plan.cluster) +
               (plan.on_chip ? " on chip" : "") + ", schedule " + std::to_string(emulation::schedule);
    const bool mixed = a.probability.data && a.probability_type != (Element)dtype_;
    ++counts[std::string(mixed ? "mixed_" : "") + cuda::kRowsPathNames[(int)plan.path]];
    if (plan.cluster > 1) ++counts["clusters"];
    // Losses that are cross entropy with these parameters.
    const struct {
      int loss;
      double params[2];
    } alike[] = {{k_cross_entropy, {}}, {k_softmax_focal_loss, {1, 0}}, {k_poly1_cross_entropy, {0}}};
    const auto& [loss, params] = alike[random.below(3)];
    std::copy(params, params + 2, l.rows.params);
    emulation::reads_over_ends = a.gradient.data == a.logits.data;
    const int error = cuda::run_rows(loss, dtype_, l, plan, nullptr);
    emulation::reads_over_ends = false;
    if (error) fail("refused", -1, -1, error, 0, 0);
    if (!summed) return;
    if (emulation::unwatch(sums) != 0) fail("sums not written", -1, -1, 0, 0, 0);
    double* fields[] = {&total.loss, &total.count, &total.correct,        &total.entropy,
                        &total.nll,  &total.lse,   &total.gradient_square};
    for (int64_t k = 0; k < planes; ++k) {
      for (int64_t b = 0; b < plan.blocks; ++b) *fields[k] += sums[k * plan.blocks + b];
    }
  }

  void expect(const void* p, int64_t bytes, int64_t element) override { emulation::watch(p, bytes, element); }
  void expected(const void* p, int64_t left) override {
    const int64_t missing = emulation::unwatch(p);
    if (missing != left) fail("elements not written", -1, -1, (double)missing, (double)left, 0);
  }

 private:
  const DType dtype_;

  RowsPlan choose(Random& random, const RowsLaunch& l) {
    RowsPlan plan = cuda::plan_rows(dtype_, l);
    const RowsArgs& a = l.rows;
    const bool vectors = plan.path >= RowsPath::group128 && plan.path <= RowsPath::stream;
    constexpr int size = sizeof(S), threads = cuda::group_threads(16384);
    switch (random.below(4)) {
      case 0:
        if (!vectors || a.rows > 9) break;
        plan.path = RowsPath::stream, plan.blocks = a.rows, plan.cluster = 1;
        plan.shared_bytes = cuda::kGroupMemory;
        break;
      case 1:
        if (a.classes < 60 && !random.chance(25)) break;  // no more than the wide blocks deserve
        if (!vectors || a.from_state || a.rows > 9) break;
        for (int cluster = 1; cluster <= 8; cluster *= 2) {
          const int64_t lanes = 16 / sizeof(S), most = (a.classes + 2 * (lanes - 1)) / lanes;
          plan.slice = (most + cluster - 1) / cluster;
          if (plan.slice > threads * cuda::group_vectors(size) || random.chance(40)) continue;
          if (cluster > 1) emulation::largest_cluster = 16;
          plan.path = RowsPath::group16384, plan.cluster = cluster, plan.blocks = a.rows * cluster;
          plan.turns = (int)((plan.slice + threads - 1) / threads);
          plan.shared_bytes = cuda::group_bytes(size, threads);
          if (plan.shared_bytes > emulation::shared_limit) break;
          return plan;
        }
        return cuda::plan_rows(dtype_, l);
      case 2:
        if (plan.path == RowsPath::tile || (a.rows > 4 && !random.chance(10)) || a.rows > 20) break;
        plan.path = RowsPath::strided, plan.blocks = a.rows, plan.cluster = 1;
        plan.shared_bytes = cuda::kGroupMemory;
        break;
      default:
        if (plan.path == RowsPath::columns || plan.path == RowsPath::columns_wide) plan.on_chip = false;
    }
    return plan;
  }
};

// ------------------------------------------------------------------------------------------ survey, finish, scale

void check_survey(Random& random) {
  for (int64_t rows : {1, 2, 31, 255, 256, 257, 1000, 16384, 16385, 40000}) {
    for (int option = 0; option < 8; ++option) {
      current = "survey of " + std::to_string(rows) + " rows, option " + std::to_string(option);
      Memory memory(Place::heap);
      const int64_t classes = 1 + random.below(600);
      const bool soft = option & 4;
      SurveyLaunch l{};
      int64_t* const target = memory.take<int64_t>(rows);
      Flag* const mask = memory.take<Flag>(rows);
      float* const weight = memory.take<float>(classes);
      double sum = 0, kept = 0, all = 0;
      for (int64_t c = 0; c < classes; ++c) all += weight[c] = (float)random.uniform();
      for (int64_t i = 0; i < rows; ++i) {
        target[i] = random.chance(20) ? kIgnore : random.chance(5) ? kFarOut : random.below(classes);
        mask[i] = random.chance(70);
        if ((option & 1) && !mask[i]) continue;
        if (!soft && target[i] == kIgnore) continue;
        kept += 1;
        if (!soft && (uint64_t)target[i] < (uint64_t)classes) sum += weight[target[i]];
      }
      l.target = soft ? nullptr : target;
      l.mask = option & 1 ? mask : nullptr;
      l.weight = option & 2 ? weight : nullptr;
      l.rows = rows, l.classes = classes, l.ignore_index = kIgnore;
      l.parts = memory.take<double>(2 * cuda::survey_blocks(rows));
      l.out = memory.take<double>(cuda::kSurvey);
      emulation::schedule = random.below(6);
      cuda::run_survey(l, nullptr);
      double expected = (option & 2) && !soft ? sum : kept;
      if (expected == 0) expected = NAN;
      const double got = l.out[cuda::kDivisor];
      if (!(std::isnan(expected) && std::isnan(got))) check("divisor", -1, -1, got, expected, 1e-9 * (double)rows);
      check("weight sum", -1, -1, l.out[cuda::kWeightSum], option & 2 ? all : (double)classes, 1e-9);
    }
  }
}

void check_finish(Random& random) {
  for (int64_t blocks : {1, 2, 255, 257, 5000, 8192, 8193, 20000}) {
    for (int stats = 0; stats < 2; ++stats) {
      current = "finish of " + std::to_string(blocks) + " blocks";
      Memory memory(Place::heap);
      const int64_t planes = stats ? cuda::kSums : 2;
      double* const sums = memory.take<double>(planes * blocks);
      double total[cuda::kSums] = {};
      for (int64_t k = 0; k < planes; ++k) {
        for (int64_t b = 0; b < blocks; ++b) total[k] += sums[k * blocks + b] = random.uniform();
      }
      FinishLaunch l{};
      l.sums = sums, l.blocks = blocks;
      l.parts = memory.take<double>(planes * cuda::finish_blocks(blocks));
      double* const divisor = memory.take<double>(1);
      *divisor = 3;
      l.divisor = divisor;
      double* const loss = memory.take<double>(1);
      l.loss = loss, l.dtype = DType::f64;
      if (stats) l.stats = memory.take<double>(7);
      emulation::schedule = random.below(6);
      cuda::run_finish(l, nullptr);
      const double tolerance = 1e-9 * (double)blocks;
      check("loss", -1, -1, *loss, total[0] / 3, tolerance);
      if (!stats) continue;
      check("accuracy", -1, -1, l.stats[0], total[2] / total[1], tolerance);
      check("entropy", -1, -1, l.stats[1], total[3] / total[1], tolerance);
      check("perplexity", -1, -1, l.stats[2], std::exp(total[4] / total[1]), tolerance);
      check("lse", -1, -1, l.stats[3], total[5] / total[1], tolerance);
      check("norm", -1, -1, l.stats[4], std::sqrt(total[6]), tolerance);
      check("finite", -1, -1, l.stats[5], 1, 0);
      check("count", -1, -1, l.stats[6], total[1], tolerance);
    }
  }
}

template <class S>
void check_scale(Random& random, DType dtype) {
  for (int64_t n : {0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 2047, 2048, 2049, 70001}) {
    for (int shift = 0; shift < 3; ++shift) {
      for (double factor : {1.0, -2.5}) {
        current = "scale of " + std::to_string(n) + " elements, shift " + std::to_string(shift);
        std::vector<S> data(n + shift), before;
        for (S& v : data) assign(v, random.normal());
        before = data;
        S* const p = data.data() + shift;
        emulation::schedule = random.below(6);
        emulation::watch(p, n * (int64_t)sizeof(S), sizeof(S));
        cuda::run_scale(p, dtype, n, &factor, DType::f64, nullptr);
        const int64_t missing = emulation::unwatch(p);
        if (missing != (factor == 1 ? n : 0)) fail("elements not scaled", -1, -1, (double)missing, 0, 0);
        for (int64_t i = 0; i < n; ++i) {
          const double expected = factor * value_of(before[i + shift]);
          check("scaled", -1, i, value_of(p[i]), expected,
                storage_unit<S>() * std::fabs(expected) + storage_underflow<S>());
        }
      }
    }
  }
}

// A target out of range: loss NaN, gradient zero, every other row untouched by it.
template <class S>
void check_bad_target(DType dtype, Random& random) {
  using T = typename Compute<S>::type;
  for (int64_t classes : {3, 40, 700, 1500, 9000}) {
    for (int64_t bad : {classes, (int64_t)-1, kFarOut}) {
      current = "bad target " + std::to_string(bad) + " of " + std::to_string(classes) + " classes";
      Memory memory(Place::heap);
      const int64_t rows = 3;
      S* const x = memory.take<S>(rows * classes);
      S* const g = memory.take<S>(rows * classes);
      for (int64_t i = 0; i < rows * classes; ++i) assign(x[i], random.normal());
      int64_t target[] = {1, bad, 2};
      T* const row_loss = memory.take<T>(rows);
      RowsLaunch l{};
      l.rows.rows = rows, l.rows.classes = classes, l.rows.dims = 1, l.rows.size[0] = rows;
      l.rows.logits = {x, 1, {classes}}, l.rows.gradient = {g, 1, {classes}};
      l.rows.target = target, l.rows.ignore_index = kIgnore, l.rows.row_loss = row_loss;
      const RowsPlan plan = cuda::plan_rows(dtype, l);
      l.sums = memory.take<double>(cuda::kSums * plan.blocks);
      cuda::run_rows(0, dtype, l, plan, nullptr);
      double loss = 0;
      for (int64_t b = 0; b < plan.blocks; ++b) loss += l.sums[b];
      if (!std::isnan(loss) || !std::isnan(row_loss[1])) fail("loss is a number", 1, -1, row_loss[1], NAN, 0);
      if (!(row_loss[0] > 0) || !(row_loss[2] > 0)) fail("loss of a good row", 0, -1, row_loss[0], 1, 0);
      for (int64_t c = 0; c < classes; ++c) {
        check("gradient of a bad row", 1, c, value_of(g[classes + c]), 0, 0);
        if (std::isnan(value_of(g[c]))) fail("gradient of a good row", 0, c, NAN, 0, 0);
      }
    }
  }
}

// -------------------------------------------------------------------------------------------------------- the sweep

std::vector<int64_t> class_counts() {
  std::vector<int64_t> all;
  for (int64_t c : {1,   2,   3,   4,    7,    8,    9,    15,   16,   17,   31,   32,   33,   34,
                    40,  63,  64,  65,   80,   127,  128,  129,  241,  248,  249,  255,  256,  257,
                    509, 512, 513, 1000, 1009, 1016, 1017, 1024, 1025, 2049, 4089, 4096, 4097, 8193})
    all.push_back(c);
  return all;
}

std::vector<int64_t> row_counts(Layout layout, int64_t classes) {
  if (classes == 3 || classes == 17 || classes == 32) return {1, 301, 304};
  if (classes == 40) return {16, 150};  // more than two blocks of any group
  if (classes <= 64) return {16, 19};
  if (layout != Layout::class_adjacent) return {classes <= 260 ? 5 : 2};
  if (classes <= 260) return {1, 7, 18};
  return {classes > 600 ? 2 : 5};
}

constexpr int kTurns = 5;

template <class S>
void run_all(DType dtype, const char* dtype_name, bool quick) {
  CudaBackend<S> backend(dtype);
  std::vector<Options> options = option_sets();
  for (size_t k = 0, count = options.size(); k < count; ++k) {
    if (!options[k].soft || options[k].inplace) continue;
    options.push_back(options[k]);
    options.back().mixed = true;
  }
  Random random{(uint64_t)dtype + 17};
  check_scale<S>(random, dtype);
  check_bad_target<S>(dtype, random);
  check_survey(random);
  check_finish(random);
  uint64_t seed = 1;
  int turn = (int)dtype;
  const auto run_case = [&](Layout layout, int64_t rows, int64_t classes, const Options& o) {
    if (o.real_ignore_index && classes < 2) return;
    const Place place = (Place)(seed % 3);
    current = std::string("emulated, ") + dtype_name + ", " + kLayoutNames[(int)layout] + ", " + std::to_string(rows) +
              " x " + std::to_string(classes) + ", " + o.name + ", " + kPlaceNames[(int)place] + ", seed " +
              std::to_string(seed);
    Case<S>(backend, layout, rows, classes, o, place, seed).run();
    ++seed;
  };
  for (int layout = 0; layout < (int)Layout::count; ++layout, ++turn) {
    for (int64_t classes : class_counts()) {
      if (quick && classes > 600) continue;
      for (int64_t rows : row_counts((Layout)layout, classes)) {
        ++turn;
        for (size_t k = turn % kTurns; k < options.size(); k += kTurns)
          run_case((Layout)layout, rows, classes, options[k]);
      }
    }
  }
  if (quick) return;
  // Rows that outgrow a block, up to the largest cluster.
  for (int64_t classes : {16385, 40001, 140000}) {
    for (size_t k : {0, 8}) run_case(Layout::class_adjacent, 1, classes, options[k]);
  }
}

}  // namespace

int main(int argc, char** argv) {
  return drive(argc, argv, [](auto stored, const auto&... about) { run_all<decltype(stored)>(about...); });
}
