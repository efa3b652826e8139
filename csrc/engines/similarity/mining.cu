// Triplets found in a tile of squared distances, on CUDA: what mining.h does, a block per row.
//
// Note [Rows of distances]
// A row waits in shared memory, or in scratch memory of the block's where it does not fit, while its triplets are found: a
// look of the whole block at it for each positive. Positives come in their order, so every slope is added in one order.

#include "core/compute.h"
#include "device/block.h"
#include "engines/similarity/cuda.h"
#include "losses/similarity.h"

namespace fastloss::cuda {
namespace {

constexpr int kReduceBytes = kMineThreads / 32 * (int)sizeof(double);

// Maximum over the block, in every thread; NaN does not count.
FASTLOSS_DEVICE double block_maximum(double v, double* scratch) {
  FASTLOSS_UNROLL
  for (int lanes = 16; lanes > 0; lanes /= 2) v = maximum(v, shuffle_xor(v, lanes));
  block_barrier();  // scratch may still be read from the reduction before
  if (thread() % 32 == 0) scratch[thread() / 32] = v;
  block_barrier();
  for (int w = 0; w < kMineThreads / 32; ++w) v = maximum(v, scratch[w]);
  return v;
}

template <class T>
struct MineRow {
  const TileArgs& a;
  const Triplet f;
  double* const scratch;
  // Distances of positives, -1 for others; distances of negatives, infinite for others; derivatives in the distance.
  T *const distance, *const far, *const slope;
  T scale, bias;
  double value = 0, count = 0;

  FASTLOSS_DEVICE MineRow(const TileLaunch& l, double* reduce, T* memory)
      : a(l.args),
        f(l.args.params),
        scratch(reduce),
        distance(memory),
        far(memory + l.args.columns),
        slope(memory + 2 * l.args.columns) {
    scale = (T)(l.scale.data ? a.scale * read_scalar(l.scale.data, l.scale.dtype) : a.scale);
    bias = (T)(l.bias.data ? a.bias + read_scalar(l.bias.data, l.bias.dtype) : a.bias);
  }

  FASTLOSS_DEVICE T* row(int64_t i) const { return (T*)a.tile + i * a.tile_stride; }
  FASTLOSS_DEVICE T distance_at(int64_t i, int64_t j) const {
    T z = scale * row(i)[j] + bias;
    if (a.row_terms) z += ((const T*)a.row_terms)[i] + ((const T*)a.column_terms)[j];
    return sqrt(max((T)0, z));
  }
  FASTLOSS_DEVICE bool kept_at(int64_t i, int64_t j) const {
    const PairRelation& r = a.relation;
    return !(r.mask && !r.mask[i * r.mask_stride + j]) && !(r.skip_self && r.row_offset + i == r.column_offset + j);
  }
  FASTLOSS_DEVICE bool positive_at(int64_t i, int64_t j) const {
    const PairRelation& r = a.relation;
    if (r.positives) return r.positives[i * r.positives_stride + j];
    const int64_t label = r.row_label.whole ? r.row_label.whole[i] : r.row_offset + i;
    return label == (r.column_label.whole ? r.column_label.whole[j] : r.column_offset + j);
  }

  T farthest_positive, nearest_negative, farthest_negative;
  bool has_nan;  // which maxima and minima do not see

  FASTLOSS_DEVICE void read(int64_t i) {
    const T infinity = (T)__builtin_inf();
    T near = -1, close = infinity, distant = -1, nan = 0;
    for (int64_t j = thread(); j < a.columns; j += kMineThreads) {
      const T d = distance_at(i, j);
      const bool kept = kept_at(i, j), positive = positive_at(i, j);
      distance[j] = kept && positive ? d : (T)-1;
      far[j] = kept && !positive ? d : infinity;
      slope[j] = 0;
      if (!kept) continue;
      if (d != d) nan = 1;
      if (positive) {
        near = maximum(near, d);
      } else {
        close = -maximum(-close, -d);
        distant = maximum(distant, d);
      }
    }
    farthest_positive = (T)block_maximum(near, scratch);
    nearest_negative = (T)-block_maximum(-close, scratch);
    has_nan = block_maximum(nan, scratch) > 0;
    farthest_negative = (T)block_maximum(distant, scratch);  // its barriers: the row is there for every thread
  }

  // The first column with that value; the last one if there is none.
  FASTLOSS_DEVICE int64_t first(const T* values, T wanted) const {
    double at = (double)(a.columns - 1);
    for (int64_t j = thread(); j < a.columns; j += kMineThreads) {
      if (values[j] != wanted) continue;
      at = (double)j;
      break;
    }
    return (int64_t)-block_maximum(-at, scratch);
  }
  // The first positive from column j on, or `columns`.
  FASTLOSS_DEVICE int64_t next_positive(int64_t j) const {
    for (; j < a.columns; j += kMineThreads) {
      const int64_t own = j + thread();
      const bool found = own < a.columns && !(distance[own] < 0);
      const int64_t at = (int64_t)-block_maximum(-(double)(found ? own : a.columns), scratch);
      if (at < a.columns) return at;
    }
    return a.columns;
  }

  FASTLOSS_DEVICE void add(T near, int64_t near_at, T distant, int64_t far_at) {
    const PairScore<double> r = f(near, distant);
    value += r.value;
    if (thread() != 0) return;
    slope[near_at] += (T)r.slope;
    slope[far_at] -= (T)r.slope;
  }

  FASTLOSS_DEVICE void batch_hard() {
    if (farthest_positive < 0 || farthest_negative < 0) return;
    count = 1;
    const int64_t near_at = first(distance, farthest_positive), far_at = first(far, nearest_negative);
    add(farthest_positive, near_at, nearest_negative, far_at);
  }

  FASTLOSS_DEVICE void semi_hard() {
    const T infinity = (T)__builtin_inf();
    if (farthest_negative < 0) return;
    for (int64_t p = next_positive(0); p < a.columns; p = next_positive(p + 1)) {
      count += 1;
      const T near = distance[p];
      T nearest = infinity;
      for (int64_t j = thread(); j < a.columns; j += kMineThreads) {
        if (near < far[j]) nearest = min(nearest, far[j]);
      }
      T chosen = (T)-block_maximum(-nearest, scratch);
      if (chosen == infinity) chosen = farthest_negative;
      add(near, p, chosen, first(far, chosen));
    }
  }

  // Every hinge of one positive in one look at the negatives.
  FASTLOSS_DEVICE void all() {
    for (int64_t p = next_positive(0); p < a.columns; p = next_positive(p + 1)) {
      const T bound = (T)(distance[p] + f.margin);
      double sum = 0, active = 0;
      for (int64_t j = thread(); j < a.columns; j += kMineThreads) {
        const T h = bound - far[j];
        if (!(h > 0)) continue;
        sum += (double)h;
        active += 1;
        slope[j] -= 1;
      }
      value += block_sum<kMineThreads>(sum, scratch);
      active = block_sum<kMineThreads>(active, scratch);
      count += active;
      if (thread() == p % kMineThreads) slope[p] += (T)active;
    }
  }

  // df/dz = df/dd / (2 d), none where d is 0.
  FASTLOSS_DEVICE void write(int64_t i, double factor) {
    const T half = (T)(factor / 2);
    double with_similarity = 0, alone = 0;
    block_barrier();  // slopes are from other threads
    for (int64_t j = thread(); j < a.columns; j += kMineThreads) {
      const T d = distance_at(i, j), similarity = row(i)[j];
      const T g = !kept_at(i, j) || d == 0 ? (T)0 : half * slope[j] / d;
      with_similarity += g == 0 ? 0.0 : (double)(g * similarity);
      alone += (double)g;
      store_one(row(i) + j, g * scale);
    }
    with_similarity = block_sum<kMineThreads>(with_similarity, scratch);
    alone = block_sum<kMineThreads>(alone, scratch);
    if (thread() != 0) return;
    store_one(a.derivative_sums + 2 * i, with_similarity);
    store_one(a.derivative_sums + 2 * i + 1, alone);
  }
};

template <class T>
FASTLOSS_KERNEL(kMineThreads, 2)
mine_rows(const MineLaunch l) {
  const TileArgs& a = l.tile.args;
  double* const reduce = (double*)shared_memory();
  T* const memory = l.scratch ? (T*)l.scratch + block() * 3 * a.columns : (T*)(shared_memory() + kReduceBytes);
  for (int64_t i = block(); i < a.rows; i += blocks()) {
    block_barrier();  // the row before may still be read
    MineRow<T> row(l.tile, reduce, memory);
    row.read(i);
    if (l.mining == kBatchHard) row.batch_hard();
    if (l.mining == kSemiHard) row.semi_hard();
    if (l.mining == kAllTriplets) row.all();
    double factor = a.factor ? a.factor[i] : 1.0;
    if (row.has_nan) {
      factor = __builtin_nan("");
      row.count = row.count > 1 ? row.count : 1.0;
    }
    if (thread() == 0) {
      store_one(a.triplets + 2 * i, row.value * factor);
      store_one(a.triplets + 2 * i + 1, row.count);
    }
    if (a.derivative_sums) row.write(i, factor);
  }
}

}  // namespace

int64_t mine_bytes(DType dtype, int64_t columns) { return 3 * columns * (dtype == DType::f64 ? 8 : 4); }

bool plan_mine(DType dtype, MineLaunch& l) {
  const int64_t bytes = mine_bytes(dtype, l.tile.args.columns) + kReduceBytes;
  const Limits device = limits();
  const bool fits = bytes <= device.shared_bytes;
  const int64_t rows = l.tile.args.rows, most = 2 * (int64_t)device.multiprocessors;
  l.shared_bytes = fits ? (int)bytes : kReduceBytes;
  l.blocks = fits || rows < most ? rows : most;
  return fits;
}

int run_mine(DType dtype, const MineLaunch& l, void* stream) {
  return launch(dtype == DType::f64 ? &mine_rows<double> : &mine_rows<float>,
                Grid{l.blocks, kMineThreads, l.shared_bytes, 1}, (Stream)stream, l);
}

}  // namespace fastloss::cuda
