// What surrounds the rows kernels: the survey of the targets before them, the sums after them, and the scaling of a
// gradient.

#include "core/math.h"
#include "cuda/device.h"
#include "cuda/rows.h"

namespace fastloss::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kScaleThreads = 256;

// Sum of `v` over the block in a fixed order, in every thread. `scratch`: one double per warp, not in use.
FASTLOSS_DEVICE double block_sum(double v, double* scratch) {
  FASTLOSS_UNROLL
  for (int k = 16; k > 0; k /= 2) v += shuffle_xor(v, k);
  block_barrier();  // scratch may still be read from the sum before
  if (thread() % 32 == 0) scratch[thread() / 32] = v;
  block_barrier();
  double total = 0;
  for (int w = 0; w < kThreads / 32; ++w) total += scratch[w];
  return total;
}

FASTLOSS_DEVICE double weight_at(const SurveyLaunch& l, int64_t c) {
  return l.wide ? ((const double*)l.weight)[c] : (double)((const float*)l.weight)[c];
}

// Kept rows and the sum of their classes' weights, of rows [begin, end).
FASTLOSS_DEVICE void survey_range(const SurveyLaunch& l, int64_t begin, int64_t end, double& kept, double& weight) {
  for (int64_t i = begin + thread(); i < end; i += kThreads) {
    if (l.mask && !l.mask[i]) continue;
    const int64_t y = l.target ? l.target[i] : 0;
    if (l.target && y == l.ignore_index) continue;
    kept += 1;
    if (l.target && l.weight && (uint64_t)y < (uint64_t)l.classes) weight += weight_at(l, y);
  }
}

FASTLOSS_KERNEL(kThreads, 4) survey_parts(const SurveyLaunch l) {
  double* const scratch = (double*)shared_memory();
  const int64_t chunk = (l.rows + blocks() - 1) / blocks();
  const int64_t begin = block() * chunk, end = begin + chunk < l.rows ? begin + chunk : l.rows;
  double kept = 0, weight = 0;
  survey_range(l, begin, end, kept, weight);
  kept = block_sum(kept, scratch);
  weight = block_sum(weight, scratch);
  if (thread() == 0) l.parts[block()] = kept, l.parts[blocks() + block()] = weight;
}

// One block. With `parts` 0 it reads the targets itself.
FASTLOSS_KERNEL(kThreads, 1) survey_total(const SurveyLaunch l, const int64_t parts) {
  double* const scratch = (double*)shared_memory();
  double kept = 0, weight = 0, all = 0;
  if (parts) {
    for (int64_t i = thread(); i < parts; i += kThreads) kept += l.parts[i], weight += l.parts[parts + i];
  } else {
    survey_range(l, 0, l.rows, kept, weight);
  }
  for (int64_t c = thread(); l.weight && c < l.classes; c += kThreads) all += weight_at(l, c);
  kept = block_sum(kept, scratch);
  weight = block_sum(weight, scratch);
  all = block_sum(all, scratch);
  if (thread() != 0) return;
  const double divisor = l.target && l.weight ? weight : kept;
  // No weight at all is 0 / 0 in PyTorch even where smoothing leaves something to divide.
  l.out[kDivisor] = l.normalizer ? *l.normalizer : divisor == 0 ? (double)__builtin_nanf("") : divisor;
  l.out[kWeightSum] = l.weight ? all : (double)l.classes;
}

FASTLOSS_KERNEL(kThreads, 4) finish_parts(const FinishLaunch l, const int planes) {
  double* const scratch = (double*)shared_memory();
  const int64_t chunk = (l.blocks + blocks() - 1) / blocks();
  const int64_t begin = block() * chunk, end = begin + chunk < l.blocks ? begin + chunk : l.blocks;
  for (int k = 0; k < planes; ++k) {
    double sum = 0;
    for (int64_t i = begin + thread(); i < end; i += kThreads) sum += l.sums[k * l.blocks + i];
    sum = block_sum(sum, scratch);
    if (thread() == 0) l.parts[k * blocks() + block()] = sum;
  }
}

FASTLOSS_DEVICE void write_scalar(void* to, DType dtype, double value) {
  switch (dtype) {
    case DType::f32:
      *(float*)to = (float)value;
      break;
    case DType::f64:
      *(double*)to = value;
      break;
    case DType::bf16:
      *(BFloat16*)to = narrow<BFloat16>((float)value);
      break;
    default:
      *(Half*)to = narrow<Half>((float)value);
  }
}

FASTLOSS_DEVICE double read_scalar(const void* from, DType dtype) {
  switch (dtype) {
    case DType::f32:
      return *(const float*)from;
    case DType::f64:
      return *(const double*)from;
    case DType::bf16:
      return widen(*(const BFloat16*)from);
    default:
      return widen(*(const Half*)from);
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
    sums[k] = block_sum(sums[k], scratch);
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

}  // namespace

// Below this many rows one block surveys alone: a second launch would cost more.
int64_t survey_blocks(int64_t rows) { return rows <= 16 * 1024 ? 0 : rows >= 1024 * 1024 ? 256 : rows / 4096; }
int64_t finish_blocks(int64_t blocks) { return blocks <= 8 * 1024 ? 0 : 64; }

int run_survey(const SurveyLaunch& l, void* stream) {
  const int64_t parts = survey_blocks(l.rows);
  if (parts) {
    const int error = launch(&survey_parts, Grid{parts, kThreads, kScratch, 1}, (Stream)stream, l);
    if (error) return error;
  }
  return launch(&survey_total, Grid{1, kThreads, kScratch, 1}, (Stream)stream, l, parts);
}

int run_finish(const FinishLaunch& l, void* stream) {
  const int64_t parts = finish_blocks(l.blocks);
  if (parts) {
    const int error = launch(&finish_parts, Grid{parts, kThreads, kScratch, 1}, (Stream)stream, l, l.stats ? kSums : 2);
    if (error) return error;
  }
  return launch(&finish_total, Grid{1, kThreads, kScratch, 1}, (Stream)stream, l,
                parts ? (const double*)l.parts : l.sums, parts ? parts : l.blocks);
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
