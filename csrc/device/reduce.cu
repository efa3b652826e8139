// What surrounds the kernels: the survey of the targets before the rows kernels, the sums after any, and
// the scaling of a gradient.

#include "core/math.h"
#include "device/block.h"
#include "engines/elements/cuda.h"

namespace fastloss::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kSurveyThreads = 1024;
constexpr int kScaleThreads = 256;

FASTLOSS_DEVICE double weight_at(const SurveyLaunch& l, int64_t c) {
  return l.wide ? ((const double*)l.weight)[c] : (double)((const float*)l.weight)[c];
}

// Kept rows and the sum of their classes' weights, of rows [begin, end). Loads of some rows are on their way together: one after
// the other, the survey of 16384 rows would take as long as the rows themselves.
FASTLOSS_DEVICE void survey_range(const SurveyLaunch& l, int64_t begin, int64_t end, double& kept, double& weight) {
  constexpr int B = 8;
  for (int64_t first = begin + thread(); first < end; first += B * kSurveyThreads) {
    int64_t y[B];
    bool there[B];
    FASTLOSS_UNROLL
    for (int b = 0; b < B; ++b) {
      const int64_t i = first + b * kSurveyThreads;
      there[b] = i < end && (!l.mask || l.mask[i]);
      y[b] = i < end && l.target ? l.target[i] : 0;
    }
    FASTLOSS_UNROLL
    for (int b = 0; b < B; ++b) {
      if (!there[b] || (l.target && y[b] == l.ignore_index)) continue;
      kept += 1;
      if (l.target && l.weight && (uint64_t)y[b] < (uint64_t)l.classes) weight += weight_at(l, y[b]);
    }
  }
}

FASTLOSS_KERNEL(kSurveyThreads, 1) survey_parts(const SurveyLaunch l) {
  double* const scratch = (double*)shared_memory();
  const int64_t chunk = (l.rows + blocks() - 1) / blocks();
  const int64_t begin = block() * chunk, end = begin + chunk < l.rows ? begin + chunk : l.rows;
  double kept = 0, weight = 0;
  survey_range(l, begin, end, kept, weight);
  kept = block_sum<kSurveyThreads>(kept, scratch);
  weight = block_sum<kSurveyThreads>(weight, scratch);
  if (thread() == 0) l.parts[block()] = kept, l.parts[blocks() + block()] = weight;
}

// One block. With `parts` 0 it reads the targets itself.
FASTLOSS_KERNEL(kSurveyThreads, 1) survey_total(const SurveyLaunch l, const int64_t parts) {
  double* const scratch = (double*)shared_memory();
  double kept = 0, weight = 0, all = 0;
  if (parts) {
    for (int64_t i = thread(); i < parts; i += kSurveyThreads) kept += l.parts[i], weight += l.parts[parts + i];
  } else {
    survey_range(l, 0, l.rows, kept, weight);
  }
  for (int64_t c = thread(); l.weight && c < l.classes; c += kSurveyThreads) all += weight_at(l, c);
  kept = block_sum<kSurveyThreads>(kept, scratch);
  weight = block_sum<kSurveyThreads>(weight, scratch);
  all = block_sum<kSurveyThreads>(all, scratch);
  if (thread() != 0) return;
  const double divisor = l.target && l.weight ? weight : kept;
  // No weight at all is 0 / 0 in PyTorch even where smoothing leaves something to divide.
  l.out[kDivisor] = divisor == 0 ? (double)__builtin_nanf("") : divisor;
  l.out[kWeightSum] = l.weight ? all : (double)l.classes;
}

FASTLOSS_KERNEL(kThreads, 4)
finish_parts(const double* sums, const int64_t n, double* parts, const int planes) {
  double* const scratch = (double*)shared_memory();
  const int64_t chunk = (n + blocks() - 1) / blocks();
  const int64_t begin = block() * chunk, end = begin + chunk < n ? begin + chunk : n;
  for (int k = 0; k < planes; ++k) {
    double sum = 0;
    for (int64_t i = begin + thread(); i < end; i += kThreads) sum += sums[k * n + i];
    sum = block_sum<kThreads>(sum, scratch);
    if (thread() == 0) parts[k * blocks() + block()] = sum;
  }
}

FASTLOSS_DEVICE bool finite(double x) { return x - x == 0; }

// One block: the loss, and RowStats in its order.
FASTLOSS_KERNEL(kThreads, 1) finish_total(const FinishLaunch l, const double* from, const int64_t n) {
  double* const scratch = (double*)shared_memory();
  double sums[kSums] = {};
  FASTLOSS_UNROLL
  for (int k = 0; k < kSums; ++k) {
    if (k >= 2 && !l.stats) continue;
    for (int64_t i = thread(); i < n; i += kThreads) sums[k] += from[k * n + i];
    sums[k] = block_sum<kThreads>(sums[k], scratch);
  }
  if (thread() != 0) return;
  double loss = sums[0];
  if (l.loss) {
    if (l.divisor) loss /= *l.divisor;
    if (l.empty_zero && sums[1] == 0) loss = 0;
    write_scalar(l.loss, l.dtype, loss);
  }
  if (!l.stats) return;
  const double count = sums[1];
  l.stats[0] = sums[2] / count;
  l.stats[1] = sums[3] / count;
  l.stats[2] = exp(sums[4] / count);
  l.stats[3] = sums[5] / count;
  l.stats[4] = sqrt(sums[6]);
  l.stats[5] = finite(loss) && finite(sums[6]);
  l.stats[6] = count;
}

// One block: the loss of a pointwise call, and what it measured.
FASTLOSS_KERNEL(kThreads, 1) finish_points(const PointFinish l, const double* from, const int64_t n) {
  double* const scratch = (double*)shared_memory();
  double sums[kPointSums] = {};
  FASTLOSS_UNROLL
  for (int k = 0; k < kPointSums; ++k) {
    if (k >= 1 && !l.stats) continue;
    for (int64_t i = thread(); i < n; i += kThreads) sums[k] += from[k * n + i];
    sums[k] = block_sum<kThreads>(sums[k], scratch);
  }
  if (thread() != 0) return;
  const double divisor = l.divisor ? *l.divisor : l.count;
  if (l.loss) write_scalar(l.loss, l.dtype, l.empty_zero && divisor == 0 ? 0.0 : sums[0] / divisor);
  for (int k = 0; l.stats && k < kPointSums; ++k) l.stats[k] = sums[k];
}

template <class S>
FASTLOSS_KERNEL(kScaleThreads, 4)
scale(S* data, const int64_t n, const void* factor, const DType factor_dtype) {
  using T = decltype(widen(S()));
  constexpr int V = 16 / sizeof(S);
  const double wide = read_scalar(factor, factor_dtype);
  if (wide == 1) return;
  const T f = (T)wide;
  const int64_t head = (int64_t)((16 - (uintptr_t)data % 16) % 16 / sizeof(S));
  const int64_t first = block() * kScaleThreads + thread(), stride = blocks() * kScaleThreads;
  const int64_t body = n > head ? (n - head) / V : 0, rest = n > head ? head + body * V : 0;
  S* const vectors = data + head;
  for (int64_t i = first; i < body; i += stride) {
    Pack<S, V> pack = load_pack<V>(vectors + i * V);
    FASTLOSS_UNROLL
    for (int k = 0; k < V; ++k) pack.v[k] = narrow<S>(widen(pack.v[k]) * f);
    store_pack<V>(vectors + i * V, pack);
  }
  if (first < head && first < n) store_one(data + first, narrow<S>(widen(data[first]) * f));
  if (first < n - rest && rest >= head) {
    store_one(data + rest + first, narrow<S>(widen(data[rest + first]) * f));
  }
}

constexpr int kScratch = kThreads / 32 * (int)sizeof(double);
constexpr int kSurveyScratch = kSurveyThreads / 32 * (int)sizeof(double);

}  // namespace

// Below this many rows one block surveys alone: a second launch would cost more.
int64_t survey_blocks(int64_t rows) { return rows <= 16 * 1024 ? 0 : rows >= 1024 * 1024 ? 128 : rows / 8192; }
int64_t finish_blocks(int64_t blocks) { return blocks <= 8 * 1024 ? 0 : 64; }

int run_survey(const SurveyLaunch& l, void* stream) {
  const int64_t parts = survey_blocks(l.rows);
  if (parts) {
    const int error = launch(&survey_parts, Grid{parts, kSurveyThreads, kSurveyScratch, 1}, (Stream)stream, l);
    if (error) return error;
  }
  return launch(&survey_total, Grid{1, kSurveyThreads, kSurveyScratch, 1}, (Stream)stream, l, parts);
}

// Sums many blocks in two steps. Launch is FinishLaunch or PointFinish.
template <class Launch>
int finish(void (*total)(Launch, const double*, int64_t), const Launch& l, int planes, void* stream) {
  const double* from = l.sums;
  int64_t n = l.blocks;
  const int64_t parts = finish_blocks(n);
  if (parts) {
    const int error =
        launch(&finish_parts, Grid{parts, kThreads, kScratch, 1}, (Stream)stream, from, n, l.parts, planes);
    if (error) return error;
    from = l.parts, n = parts;
  }
  return launch(total, Grid{1, kThreads, kScratch, 1}, (Stream)stream, l, from, n);
}
int run_finish(const FinishLaunch& l, void* stream) { return finish(&finish_total, l, l.stats ? kSums : 2, stream); }
int run_finish_points(const PointFinish& l, void* stream) {
  return finish(&finish_points, l, l.stats ? kPointSums : 1, stream);
}

int run_scale(void* data, DType dtype, int64_t n, const void* factor, DType factor_dtype, void* stream) {
  const int64_t bytes = n * (dtype == DType::f64 ? 8 : dtype == DType::f32 ? 4 : 2);
  const int64_t wanted = bytes / (16 * kScaleThreads) + 1, most = (int64_t)limits().multiprocessors * 16;
  const Grid grid{wanted < most ? wanted : most, kScaleThreads, 0, 1};
  const Stream s = (Stream)stream;
  switch (dtype) {
    case DType::f32:
      return launch(&scale<float>, grid, s, (float*)data, n, factor, factor_dtype);
    case DType::f64:
      return launch(&scale<double>, grid, s, (double*)data, n, factor, factor_dtype);
    case DType::bf16:
      return launch(&scale<BFloat16>, grid, s, (BFloat16*)data, n, factor, factor_dtype);
    default:
      return launch(&scale<Half>, grid, s, (Half*)data, n, factor, factor_dtype);
  }
}

const char* error_message(int error) { return error_text(error); }

}  // namespace fastloss::cuda

// What Python asks before the first call: why no kernel of the library runs on a device (null: all do; one was compiled like
// another), and CUDA's version of the driver.
extern "C" __attribute__((visibility("default"))) const char* fastloss_cuda_why_not(int device) {
  using namespace fastloss::cuda;
  const int error = runs_on(device, (const void*)&finish_parts);
  return error ? error_text(error) : nullptr;
}
extern "C" __attribute__((visibility("default"))) int fastloss_cuda_driver() {
  return fastloss::cuda::driver_version();
}
