// The CUDA kernels without torch, whose start and memory sanitizers and profilers slow down: a process that begins in half
// a second. gpu_check.sh runs it on a GPU; built with FASTLOSS_EMULATED it runs on the emulation of the kernels
// (tests/emulation), which is how tests run it.
//
//     driver list                  names of the cases, each of which runs a path of an engine
//     driver run [NAME]...         runs them, or all, and compares loss and gradient with double
//     driver profile               launches each path once, at the size of a GPU
//     driver tune [SECONDS]        rates of copies, and of cross entropy with every plan that a shape can take
//
// Losses here are those with a formula of one line. `fastloss.selftest` runs all of them.

#ifdef FASTLOSS_EMULATED
#include <stdlib.h>
#else
#include <cuda_runtime_api.h>
#endif

#include <string.h>

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "asan/case.h"
#include "engines/divergence/cuda.h"
#include "engines/outputs/cuda.h"
#include "engines/products/cuda.h"
#include "engines/similarity/cuda.h"
#include "engines/softmax/cuda.h"

namespace {

using namespace fastloss::cuda;

// ------------------------------------------------------------------------------------------------------- the device

#ifdef FASTLOSS_EMULATED
constexpr bool kEmulated = true;
void* take_bytes(size_t bytes) { return malloc(bytes); }
void release(void* p) { free(p); }
void copy(void* to, const void* from, size_t bytes) { memcpy(to, from, bytes); }
void wait() {}
#else
constexpr bool kEmulated = false;
void must(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  fprintf(stderr, "%s: %s: %s\n", case_name(), what, cudaGetErrorString(error));
  _exit(3);
}
void* take_bytes(size_t bytes) {
  void* p = nullptr;
  must(cudaMalloc(&p, bytes), "cudaMalloc");
  return p;
}
void release(void* p) { must(cudaFree(p), "cudaFree"); }
void copy(void* to, const void* from, size_t bytes) { must(cudaMemcpy(to, from, bytes, cudaMemcpyDefault), "copy"); }
void wait() { must(cudaDeviceSynchronize(), "the kernel"); }
#endif

// Memory of the device, of which each piece is an allocation of its own, so that memcheck knows its ends.
class Device {
 public:
  Device() = default;
  Device(const Device&) = delete;
  ~Device() {
    for (void* p : taken_) release(p);
  }
  template <class T>
  T* take(int64_t n) {
    taken_.push_back(take_bytes((size_t)(n > 0 ? n : 1) * sizeof(T)));
    return (T*)taken_.back();
  }
  template <class T>
  T* put(const std::vector<T>& values) {
    T* const p = take<T>((int64_t)values.size());
    copy(p, values.data(), values.size() * sizeof(T));
    return p;
  }

 private:
  std::vector<void*> taken_;
};

template <class T>
std::vector<T> get(const T* p, int64_t n) {
  std::vector<T> values((size_t)n);
  copy(values.data(), p, (size_t)n * sizeof(T));
  return values;
}

void must_launch(int error) {
  if (error) fprintf(stderr, "%s: launch: %s\n", case_name(), error_message(error)), _exit(3);
}

// Numbers that every type holds.
double number(int64_t i, int64_t salt) { return (double)((i * 37 + salt * 11 + i / 61) % 61 - 30) / 16; }

template <class S>
std::vector<S> numbers(int64_t n, int64_t salt) {
  std::vector<S> made((size_t)n);
  for (int64_t i = 0; i < n; ++i) assign(made[(size_t)i], number(i, salt));
  return made;
}

// What a gradient and a loss may be off by: roundings of the computing type (half types may take approximate exponentials),
// of a sum of so many terms, relative to `scale`; and of the stored type.
template <class S>
double slack(double scale, double exact, int64_t terms) {
  const double unit = sizeof(S) == 8 ? 0x1p-52 : 0x1p-24;
  return (64 + 8 * std::sqrt((double)terms)) * unit * scale + 2 * storage_unit<S>() * std::fabs(exact) +
         2 * storage_underflow<S>();
}

// ------------------------------------------------------------------------------------------------------------- rows

struct RowsShape {
  int64_t rows, classes, pixels;  // pixels: 0, or of each image, with the classes before them
  int shift;                      // elements that logits and gradient begin off 16 bytes
};

template <class S>
struct RowsProblem {
  using T = typename Compute<S>::type;
  RowsShape shape;
  Device device;
  RowsLaunch launch{};
  S* gradient;
  T* each = nullptr;

  explicit RowsProblem(const RowsShape& s, bool filled) : shape(s) {
    const int64_t n = s.rows * s.classes;
    S* const x = filled ? device.put(numbers<S>(n + s.shift, 0)) : device.take<S>(n + s.shift);
    gradient = device.take<S>(n + s.shift) + s.shift;
    RowsArgs& a = launch.rows;
    a.rows = s.rows, a.classes = s.classes, a.dims = s.pixels ? 2 : 1;
    const int64_t image = s.classes * s.pixels;
    const auto view = [&](void* data) {
      return s.pixels ? RowsView{data, s.pixels, {image, 1}} : RowsView{data, 1, {s.classes}};
    };
    a.size[0] = s.pixels ? s.rows / s.pixels : s.rows, a.size[1] = s.pixels;
    a.logits = view(x + s.shift), a.gradient = view(gradient);
    std::vector<int64_t> target((size_t)s.rows);
    for (int64_t r = 0; r < s.rows; ++r) target[(size_t)r] = r * 7 % s.classes;
    a.target = device.put(target);
    a.scale = 1.0 / 8;  // which kernels read as its reciprocal, on the device
    launch.divisor = device.put(std::vector<double>{8});
    a.weight_sum = (double)s.classes;
    launch.upstream_stride = 0;
  }

  int64_t at(int64_t r, int64_t c) const {
    const int64_t pixels = shape.pixels;
    return pixels ? r / pixels * shape.classes * pixels + c * pixels + r % pixels : r * shape.classes + c;
  }
  double x(int64_t r, int64_t c) const { return number(at(r, c) + shape.shift, 0); }
  double lse(int64_t r) const {
    double sum = 0;
    for (int64_t c = 0; c < shape.classes; ++c) sum += std::exp(x(r, c));
    return std::log(sum);
  }
};

// Cross entropy with gradient; `smoothing` takes the kernels with every option.
template <class S>
void run_cross_entropy(DType dtype, const RowsShape& shape, double smoothing, const RowsWish& wish) {
  RowsProblem<S> p(shape, true);
  Device& device = p.device;
  using T = typename RowsProblem<S>::T;
  RowsArgs& a = p.launch.rows;
  if (smoothing != 0) a.label_smoothing = smoothing, a.weight = device.put(std::vector<T>((size_t)a.classes, T(1)));
  RowsPlan plan = plan_rows(dtype, p.launch, wish);
  if (wish.path >= 0 && (int)plan.path != wish.path) return (void)printf("  (another path is taken)\n");
  p.launch.sums = device.take<double>(kSums * plan.blocks);
  must_launch(run_rows(k_cross_entropy, dtype, p.launch, plan, nullptr));
  float* const loss = device.take<float>(1);
  FinishLaunch f{};
  f.sums = p.launch.sums, f.blocks = plan.blocks;
  f.parts = device.take<double>(kSums * (finish_blocks(plan.blocks) + 1));
  f.loss = loss, f.dtype = DType::f32;
  must_launch(run_finish(f, nullptr));
  wait();
  const std::vector<S> gradient = get(p.gradient, a.rows * a.classes);
  double total = 0, largest = 0;
  for (int64_t r = 0; r < a.rows; ++r) {
    const double lse = p.lse(r);
    double mean = 0;
    const int64_t y = r * 7 % a.classes;
    for (int64_t c = 0; c < a.classes; ++c) {
      const double probability = std::exp(p.x(r, c) - lse), share = smoothing / (double)a.classes;
      const double wanted = (probability - (c == y ? 1 - smoothing : 0) - share) * a.scale;
      check("gradient", r, c, value_of(gradient[(size_t)p.at(r, c)]), wanted, slack<S>(a.scale, wanted, a.classes));
      mean += p.x(r, c) / (double)a.classes;
    }
    const double value = lse - (1 - smoothing) * p.x(r, y) - smoothing * mean;
    total += value, largest += std::fabs(lse) + 2;
  }
  check("loss", -1, -1, get(loss, 1)[0], total, slack<float>(largest, total, a.classes));
}

template <class S>
void run_lse(DType dtype, const RowsShape& shape) {
  RowsProblem<S> p(shape, true);
  Device& device = p.device;
  using T = typename RowsProblem<S>::T;
  OutputsLaunch l{};
  l.args.rows = p.launch.rows;
  l.args.rows.gradient.data = nullptr;
  l.args.targets = 1, l.args.target = l.args.rows.target, l.args.all_classes = shape.classes;
  l.args.state = device.take<T>(2 * shape.rows);
  T* const lse = device.take<T>(shape.rows);
  T* const logprob = device.take<T>(shape.rows);
  l.args.lse = lse, l.args.logprob = logprob;
  plan_outputs(dtype, l);
  must_launch(run_outputs(dtype, l, nullptr));
  wait();
  const std::vector<T> got = get(lse, shape.rows), log = get(logprob, shape.rows);
  for (int64_t r = 0; r < shape.rows; ++r) {
    const double wanted = p.lse(r), nll = p.x(r, r * 7 % shape.classes) - wanted;
    check("lse", r, -1, (double)got[(size_t)r], wanted, slack<T>(wanted + 2, wanted, shape.classes));
    check("logprob", r, -1, (double)log[(size_t)r], nll, slack<T>(wanted + 4, nll, shape.classes));
  }
}

// ------------------------------------------------------------------------------------------- elements and products

template <class L, class S>
void finish(Device& device, const L& l, double count, double wanted, double scale) {
  float* const loss = device.take<float>(1);
  PointFinish f{};
  f.sums = l.sums, f.blocks = l.blocks, f.count = count;
  f.parts = device.take<double>(finish_blocks(l.blocks) + 1);
  f.loss = loss, f.dtype = DType::f32;
  must_launch(run_finish_points(f, nullptr));
  wait();
  check("loss", -1, -1, get(loss, 1)[0], wanted, slack<float>(scale, wanted, 1));
}

template <class S>
void run_squares(DType dtype, int64_t n, int shift) {
  Device device;
  S* const x = device.put(numbers<S>(n + shift, 1)) + shift;
  S* const y = device.put(numbers<S>(n + shift, 2)) + shift;
  S* const g = device.take<S>(n + shift) + shift;
  PointLaunch l{};
  PointArgs& a = l.args;
  a.elements = n, a.dims = 1, a.size[0] = n, a.scale = 1.0 / 8, a.plain = shift == 0;
  a.operand[0] = {x, {1}, true, element_of<S>(), false, 1}, a.operand[1] = {y, {1}, true, element_of<S>(), false, 1};
  a.gradient[0] = {g, {1}, true, element_of<S>(), false, 1};
  plan_points(dtype, l);
  l.sums = device.take<double>(l.blocks);
  must_launch(run_points(k_mse_loss, dtype, l, nullptr));
  double total = 0;
  wait();
  const std::vector<S> gradient = get(g, n);
  for (int64_t i = 0; i < n; ++i) {
    const double d = number(i + shift, 1) - number(i + shift, 2), wanted = 2 * d * a.scale;
    check("gradient", -1, i, value_of(gradient[(size_t)i]), wanted, slack<S>(a.scale, wanted, 1));
    total += d * d;
  }
  finish<PointLaunch, S>(device, l, (double)n, total / (double)n, 16);
}

template <class S>
void run_cosines(DType dtype, int64_t rows, int64_t width, int shift) {
  using T = typename Compute<S>::type;
  Device device;
  S* const x = device.put(numbers<S>(rows * width + shift, 3)) + shift;
  S* const y = device.put(numbers<S>(rows * width + shift, 4)) + shift;
  S* const g = device.take<S>(rows * width + shift) + shift;
  PairLaunch l{};
  PairArgs& a = l.args;
  a.rows = rows, a.width = width, a.scale = 1.0 / 8;
  a.operand[0] = {x, width, element_of<S>()}, a.operand[1] = {y, width, element_of<S>()};
  a.gradient[0] = {g, width, element_of<S>()};
  a.label = device.put(std::vector<T>((size_t)rows, T(1)));
  plan_pairs(dtype, l);
  l.sums = device.take<double>(l.blocks);
  must_launch(run_pairs(k_cosine_embedding_loss, dtype, l, nullptr));
  wait();
  const std::vector<S> gradient = get(g, rows * width);
  double total = 0;
  for (int64_t r = 0; r < rows; ++r) {
    double xx = 1e-12, yy = 1e-12, xy = 0;
    const auto of = [&](int64_t c, int salt) { return number(r * width + c + shift, salt); };
    for (int64_t c = 0; c < width; ++c) xx += of(c, 3) * of(c, 3), yy += of(c, 4) * of(c, 4), xy += of(c, 3) * of(c, 4);
    const double root = std::sqrt(xx * yy), cosine = xy / root;
    for (int64_t c = 0; c < width; ++c) {
      const double wanted = -(of(c, 4) / root - cosine * of(c, 3) / xx) * a.scale;
      check("gradient", r, c, value_of(gradient[(size_t)(r * width + c)]), wanted,
            slack<S>(a.scale * 4 / std::sqrt(xx), wanted, width));
    }
    total += 1 - cosine;
  }
  finish<PairLaunch, S>(device, l, (double)rows, total / (double)rows, 2);
}

template <class S>
void run_scaling(DType dtype, int64_t n, int shift) {
  Device device;
  S* const data = device.put(numbers<S>(n + shift, 5)) + shift;
  must_launch(run_scale(data, dtype, n, device.put(std::vector<double>{-2.5}), DType::f64, nullptr));
  wait();
  const std::vector<S> got = get(data, n);
  for (int64_t i = 0; i < n; ++i) {
    const double wanted = -2.5 * number(i + shift, 5);
    check("scaled", -1, i, value_of(got[(size_t)i]), wanted, storage_unit<S>() * std::fabs(wanted));
  }
}

// -------------------------------------------------------------------------------------- divergence and similarity

// KL of a teacher's and a student's row.
template <class S>
void run_kl(DType dtype, int64_t rows, int64_t classes) {
  Device device;
  const int64_t n = rows * classes;
  S* const gradient = device.take<S>(n);
  DivergenceLaunch l{};
  DivergenceArgs& a = l.args;
  a.rows = rows, a.classes = classes, a.dims = 1, a.size[0] = rows, a.scale = 1.0 / 8;
  const auto view = [&](void* data) { return DivergenceView{{data, 1, {classes}}, element_of<S>()}; };
  a.student = view(device.put(numbers<S>(n, 6))), a.teacher = view(device.put(numbers<S>(n, 7)));
  a.student_gradient = view(gradient);
  a.options = {1, 1, Teacher::logits};
  l.blocks = rows;
  l.sums = device.take<double>(rows);
  must_launch(
      with_dtype(dtype, [&](auto d) { return run_divergence<decltype(d)::value>(k_kl_divergence, l, nullptr); }));
  wait();
  const std::vector<S> got = get(gradient, n);
  double total = 0;
  for (int64_t r = 0; r < rows; ++r) {
    double sum[2] = {0, 0};
    for (int64_t c = 0; c < classes; ++c) {
      for (int k = 0; k < 2; ++k) sum[k] += std::exp(number(r * classes + c, 6 + k));
    }
    for (int64_t c = 0; c < classes; ++c) {
      const double p = std::exp(number(r * classes + c, 6)) / sum[0], q = std::exp(number(r * classes + c, 7)) / sum[1];
      const double wanted = (p - q) * a.scale;
      check("gradient", r, c, value_of(got[(size_t)(r * classes + c)]), wanted,
            slack<S>(a.scale * (p + q), wanted, classes));
      total += q * std::log(q / p);
    }
  }
  finish<DivergenceLaunch, S>(device, l, (double)rows, total / (double)rows, 4);
}

// InfoNCE of a matrix of one number, whose sums and derivatives need no pencil; `shift` reads it element by element.
template <class S>
void run_tile(DType dtype, int64_t rows, int64_t columns, int shift) {
  using T = typename Compute<S>::type;
  Device device;
  std::vector<S> halves((size_t)(rows * columns + shift));
  for (S& half : halves) assign(half, 0.5);
  S* const tile = device.put(halves) + shift;
  TileLaunch l{};
  l.args.tile = tile, l.args.tile_stride = columns, l.args.rows = rows, l.args.columns = columns, l.args.scale = 1;
  plan_tile(dtype, l);
  AnchorSums* const of_rows = device.put(std::vector<AnchorSums>((size_t)rows));
  AnchorSums* const of_columns = device.put(std::vector<AnchorSums>((size_t)columns));
  l.args.row_sums = of_rows, l.args.column_sums = of_columns;
  l.row_parts = device.take<T>(l.stripes * kPartPlanes * rows);
  l.column_parts = device.take<T>(l.chunks * kPartPlanes * columns);
  must_launch(run_statistics(k_info_nce, dtype, l, nullptr));
  wait();
  for (const AnchorSums& s : get(of_rows, rows)) check("sum", -1, -1, s.sum[kNegative], (double)columns - 1, 1e-3);
  for (const AnchorSums& s : get(of_columns, columns)) check("count", -1, -1, s.count[0] + s.count[1], (double)rows, 0);
  l.parts = l.stripes > 1 ? device.take<double>(l.stripes * rows * 2) : nullptr;
  l.args.row_anchors = {device.put(std::vector<T>((size_t)(kCoefficients * rows), T(0.5))), rows};
  l.args.derivative_sums = device.take<double>(2 * rows);
  must_launch(run_derivatives(k_info_nce, dtype, l, nullptr));
  wait();
  const std::vector<S> got = get(tile, rows * columns);
  for (int64_t i = 0; i < rows * columns; ++i) {
    check("derivative", i / columns, i % columns, value_of(got[(size_t)i]), i / columns == i % columns ? 1 : 0.5,
          storage_unit<S>());
  }
}

// ------------------------------------------------------------------------------------------------------------ cases

struct Named {
  std::string name;
  std::function<void()> run;
};

template <class S>
void add_cases(std::vector<Named>& all, DType dtype, const std::string& type) {
  const auto add = [&](const std::string& name, std::function<void()> run) { all.push_back({name + "/" + type, run}); };
  const struct {
    const char* name;
    RowsShape shape;
    const char* wish;
  } rows[] = {{"tile", {150, 19, 0, 0}, "tile"},
              {"tile1", {300, 1, 0, 0}, "tile"},
              {"group128", {37, 60, 0, 0}, "group128"},
              {"group256", {9, 120, 0, 0}, "group256"},
              {"group1024", {9, 500, 0, 0}, "group1024"},
              {"group1024_odd", {9, 501, 0, 1}, "group1024"},
              {"group4096", {5, 2048, 0, 0}, "group4096"},
              {"group16384", {3, 8192, 0, 0}, "group16384"},
              {"cluster2", {2, 8192, 0, 0}, "group16384x2"},
              {"cluster4", {2, 8192, 0, 0}, "group16384x4"},
              {"cluster8", {2, 20000, 0, 1}, "group16384x8"},
              {"cluster16", {2, 40000, 0, 0}, "group16384x16"},
              {"stream", {2, 20001, 0, 1}, "stream"},
              {"columns_wide", {512, 21, 256, 0}, "columns_wide"},
              {"columns", {255, 21, 255, 0}, "columns"},
              {"strided", {60, 150, 30, 0}, "strided"}};
  for (const auto& r : rows) {
    const RowsShape shape = r.shape;
    const RowsWish wish = wish_of(r.wish);
    add(std::string("rows/") + r.name, [=] { run_cross_entropy<S>(dtype, shape, 0, wish); });
    add(std::string("rows/") + r.name + "/options", [=] { run_cross_entropy<S>(dtype, shape, 0.125, wish); });
  }
  for (const int64_t classes : {10, 1000, 20000}) {
    add("divergence/" + std::to_string(classes), [=] { run_kl<S>(dtype, classes < 100 ? 200 : 5, classes); });
    add("outputs/" + std::to_string(classes), [=] { run_lse<S>(dtype, {classes < 100 ? 200 : 5, classes, 0, 0}); });
  }
  add("elements/plain", [=] { run_squares<S>(dtype, 70001, 0); });
  add("elements/general", [=] { run_squares<S>(dtype, 20001, 1); });
  for (const int64_t width : {4, 16, 128, 512, 2048, 4096, 20000}) {
    for (const int shift : {0, 1}) {
      const std::string name = "products/" + std::to_string(width) + (shift ? "/by_element" : "");
      add(name, [=] { run_cosines<S>(dtype, 13, width, shift); });
    }
  }
  for (const int64_t columns : {64, 5000}) {
    for (const int shift : {0, 1}) {
      const std::string name = "similarity/" + std::to_string(columns) + (shift ? "/by_element" : "");
      add(name, [=] { run_tile<S>(dtype, 60, columns, shift); });
    }
  }
  add("scale", [=] { run_scaling<S>(dtype, 70001, 1); });
}

std::vector<Named> every_case() {
  std::vector<Named> all;
  for (const char* type : {"bfloat16", "float32", "float16", "float64"}) {
    with_stored(type, [&](auto stored, DType dtype) { add_cases<decltype(stored)>(all, dtype, type); });
  }
  return all;
}

// ------------------------------------------------------------------------------------------------------------- tune

// Seconds of a launch: the least of three batches.
double seconds_of(const std::function<void()>& launch) {
  const auto clock = [] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
  };
  launch(), wait();
  double least = INFINITY;
  for (int batch = 0; batch < (kEmulated ? 1 : 3); ++batch) {
    int n = 0;
    const double begin = clock();
    for (; n < (kEmulated ? 1 : 10); ++n) launch();
    wait();
    least = std::min(least, (clock() - begin) / n);
  }
  return least;
}

template <class S>
void tune(DType dtype, const char* type, const RowsShape& shape) {
  RowsProblem<S> p(shape, kEmulated);
  const int64_t bytes = 2 * shape.rows * shape.classes * (int64_t)sizeof(S);
  const RowsPlan usual = plan_rows(dtype, p.launch, {});
  double best = 0;
  for (int path = 0; path <= (int)RowsPath::strided; ++path) {
    for (int cluster = 1; cluster <= 16; cluster *= 2) {
      if (cluster > 1 && path != (int)RowsPath::group16384) break;
      const RowsPlan plan = plan_rows(dtype, p.launch, {path, cluster});
      if ((int)plan.path != path || plan.cluster < cluster || (cluster == 1 && plan.cluster > 1)) continue;
      Device sums;
      p.launch.sums = sums.take<double>(2 * plan.blocks);
      if (run_rows(k_cross_entropy, dtype, p.launch, plan, nullptr)) continue;
      const double seconds =
          seconds_of([&] { must_launch(run_rows(k_cross_entropy, dtype, p.launch, plan, nullptr)); });
      const bool chosen = plan.path == usual.path && plan.cluster == usual.cluster;
      best = std::max(best, (double)bytes / seconds);
      printf("tune %s %lld x %lld%s: %s x %d: %.1f us, %.0f GB/s%s\n", type, (long long)shape.rows,
             (long long)shape.classes, shape.pixels ? " pixels" : "", kRowsPathNames[path], plan.cluster, seconds * 1e6,
             (double)bytes / seconds * 1e-9, chosen ? " (the plan)" : "");
      fflush(stdout);
    }
  }
}

// One launch of each path at a size that fills a GPU, for a profiler; FASTLOSS_CUDA_PLAN may wish for another path.
void profile() {
  const int64_t less = kEmulated ? 1000 : 1;
  const auto rows = [&](const RowsShape& shape, double smoothing) {
    RowsProblem<BFloat16> p(shape, kEmulated);
    RowsArgs& a = p.launch.rows;
    a.label_smoothing = smoothing;
    if (smoothing != 0) a.weight = p.device.put(std::vector<float>((size_t)a.classes, 1));
    const RowsPlan plan = plan_rows(DType::bf16, p.launch);
    p.launch.sums = p.device.take<double>(2 * plan.blocks);
    printf("%lld x %lld: %s x %d must move %lld bytes\n", (long long)shape.rows, (long long)shape.classes,
           kRowsPathNames[(int)plan.path], plan.cluster, (long long)(4 * shape.rows * shape.classes));
    must_launch(run_rows(k_cross_entropy, DType::bf16, p.launch, plan, nullptr));
    wait();
  };
  const RowsShape shapes[] = {{8192, 128256, 0, 0}, {32768, 4096, 0, 0}, {32768, 1000, 0, 0},   {65536, 256, 0, 0},
                              {262144, 80, 0, 0},   {524288, 19, 0, 0},  {524288, 21, 4096, 0}, {1024, 300001, 0, 0}};
  for (RowsShape shape : shapes) {
    shape.rows = std::max(shape.rows / less, shape.pixels / less);
    if (less > 1) shape.classes = std::min<int64_t>(shape.classes, 300), shape.pixels = shape.pixels ? shape.rows : 0;
    rows(shape, 0), rows(shape, 0.125);
  }
  run_squares<BFloat16>(DType::bf16, 16000000 / less, 0);
  run_squares<BFloat16>(DType::bf16, 16000000 / less, 1);
  for (const int64_t width : {64, 1024, 16384})
    run_cosines<BFloat16>(DType::bf16, 4194304 / less / width + 1, width, 0);
}

void tune_all(double budget) {
  const auto begin = std::chrono::steady_clock::now();
  const auto late = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() > budget;
  };
  {
    Device device;
    const int64_t n = kEmulated ? 1 << 16 : 1LL << 31;
    char* const from = device.take<char>(n);
    char* const to = device.take<char>(n);
    const double seconds = seconds_of([&] { copy(to, from, (size_t)n); });
    printf("copy of %lld bytes: %.0f GB/s\n", (long long)n, 2 * (double)n / seconds * 1e-9);
  }
  std::vector<RowsShape> shapes = {
      {8192, 128256, 0, 0}, {32768, 1000, 0, 0},   {32768, 4096, 0, 0},  {8192, 32000, 0, 0}, {65536, 80, 0, 0},
      {524288, 19, 0, 0},   {524288, 21, 4096, 0}, {16384, 50257, 0, 0}, {65536, 256, 0, 0},  {1024, 128256, 0, 0}};
  if (kEmulated) shapes = {{20, 200, 0, 0}, {128, 19, 0, 0}};
  for (const RowsShape& shape : shapes) {
    if (late()) return (void)printf("tune: no time left\n");
    tune<BFloat16>(DType::bf16, "bfloat16", shape);
    if (!late()) tune<float>(DType::f32, "float32", shape);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  if (what == "profile") return profile(), 0;
  if (what == "tune") return tune_all(argc > 2 ? atof(argv[2]) : 60), 0;
  if (what != "list" && what != "run")
    return fprintf(stderr, "usage: %s list | run [NAME]... | profile | tune [SECONDS]\n", argv[0]), 2;
  int ran = 0;
  for (const Named& named : every_case()) {
    bool wanted = argc == 2;
    for (int k = 2; k < argc; ++k) wanted = wanted || named.name == argv[k];
    if (!wanted) continue;
    current = named.name;
    printf("%s\n", named.name.c_str());
    fflush(stdout);
    if (what == "run") named.run(), ++ran;
  }
  if (what == "run") printf("right: %d\n", ran);
  return what == "run" && ran == 0;
}
