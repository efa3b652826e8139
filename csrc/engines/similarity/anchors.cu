// What surrounds the tile kernels of the similarity engine, whatever the tile's type: how a tile is cut, what the sums of
// anchors mean, vectors of length one.

#include "device/block.h"
#include "engines/similarity/cuda.h"
#include "losses/functors.h"

namespace fastloss::cuda {
namespace {

int64_t bytes_of(DType dtype) { return dtype == DType::f64 ? 8 : dtype == DType::f32 ? 4 : 2; }
int64_t parts_of(int64_t n, int64_t part) { return (n + part - 1) / part; }

// --------------------------------------------------------------------------------------------------------- anchors

FASTLOSS_DEVICE AnchorEval evaluate(const AnchorLaunch& l, int64_t i) {
  AnchorSums own = l.sums[i];
  for (int k = 0; l.weight && k < kPairKinds; ++k) own.sum[k] *= l.weight[k];
  switch (l.loss) {
#define FASTLOSS_EVALUATE(name, Functor, names) \
  case k_##name:                                \
    return Functor<double>(l.params).anchor(own);
    FASTLOSS_SIMILARITY_LOSSES(FASTLOSS_EVALUATE)
#undef FASTLOSS_EVALUATE
  }
  return {};
}

// Each anchor's loss, and each block's sums.
FASTLOSS_KERNEL(kAnchorThreads, 4) anchor_losses(const AnchorLaunch l) {
  double* const scratch = (double*)shared_memory();
  const int64_t i = block() * kAnchorThreads + thread();
  double loss = 0, count = 0;
  if (i < l.anchors) {
    const AnchorEval r = evaluate(l, i);
    loss = r.loss * (l.factor ? l.factor[i] : 1.0) * l.share;
    count = r.counts;
    store_one(l.losses + i, loss);
  }
  loss = block_sum<kAnchorThreads>(loss, scratch);
  count = block_sum<kAnchorThreads>(count, scratch);
  if (thread() != 0) return;
  store_one(l.scratch + block(), loss);
  store_one(l.scratch + blocks() + block(), count);
}

// Every block adds up the sums of all for itself, in one order: the divisor is in what a derivative needs of its anchor.
template <class T>
FASTLOSS_KERNEL(kAnchorThreads, 4)
anchor_coefficients(const AnchorLaunch l) {
  double* const scratch = (double*)shared_memory();
  double total = 0, count = 0;
  for (int64_t b = thread(); b < blocks(); b += kAnchorThreads) total += l.scratch[b], count += l.scratch[blocks() + b];
  total = block_sum<kAnchorThreads>(total, scratch);
  count = block_sum<kAnchorThreads>(count, scratch);
  const double divisor = !l.mean ? 1.0 : l.normalizer ? *l.normalizer : count;
  if (block() == 0 && thread() == 0) {
    store_one(l.totals, total);
    store_one(l.totals + 1, count);
    store_one(l.reduced, l.empty_zero && divisor == 0 ? 0.0 : total / divisor);
  }
  const int64_t i = block() * kAnchorThreads + thread(), plane = l.plane;
  if (i >= l.anchors) return;
  const AnchorEval r = evaluate(l, i);
  // Nothing counts, or it does not: no gradient.
  const double by = divisor == 0 || !r.counts ? 0.0 : l.share / divisor * (l.factor ? l.factor[i] : 1.0);
  T* const to = (T*)l.coefficients + i;
  FASTLOSS_UNROLL
  for (int k = 0; k < kPairKinds; ++k) {
    store_one(to + (kMaxPositive + k) * plane, (T)l.sums[i].max[k]);
    store_one(to + (kWeightPositive + k) * plane, (T)(r.weight[k] * (l.weight ? l.weight[k] : 1.0) * by));
  }
  store_one(to + kShift * plane, (T)(r.shift * by));
}

// ----------------------------------------------------------------------------------------------- vectors of length one

constexpr int kUnitThreads = 256;
constexpr int kUnitColumns = 16;  // of a row, for a thread, before a row gets more warps

// Which row a thread works on, with `threads` others.
struct UnitPlace {
  int64_t row;
  int threads, rank;
  bool exists;

  FASTLOSS_DEVICE UnitPlace(const UnitLaunch& l, int warps) {
    threads = warps * 32;
    rank = thread() % threads;
    row = block() * (kUnitThreads / threads) + thread() / threads;
    exists = row < l.rows;
  }

  // Sum over them, in a fixed order.
  FASTLOSS_DEVICE double sum(double v) const {
    double* const scratch = (double*)shared_memory();
    FASTLOSS_UNROLL
    for (int lanes = 16; lanes > 0; lanes /= 2) v += shuffle_xor(v, lanes);
    if (thread() % 32 == 0) scratch[thread() / 32] = v;
    block_barrier();
    double total = 0;
    for (int w = 0; w < threads / 32; ++w) total += scratch[(thread() - rank) / 32 + w];
    return total;
  }
};

// unit = x / max(|x|, kSmallestLength), length = that divisor.
template <class S>
FASTLOSS_KERNEL(kUnitThreads, 4)
unit_rows(const UnitLaunch l, const int warps) {
  using T = decltype(widen(S()));
  const UnitPlace at(l, warps);
  const int64_t width = at.exists ? l.args.width : 0;
  const S* const x = (const S*)l.args.input + at.row * l.args.input_stride;
  double square = 0;
  for (int64_t j = at.rank; j < width; j += at.threads) {
    const double v = widen(x[j]);
    square += v * v;
  }
  const double norm = sqrt(at.sum(square)), length = norm > kSmallestLength || norm != norm ? norm : kSmallestLength;
  if (at.exists && at.rank == 0) store_one(l.args.length + at.row, length);
  const double inverse = 1 / length;
  S* const unit = (S*)l.args.unit + at.row * l.args.width;
  for (int64_t j = at.rank; j < width; j += at.threads) store_one(unit + j, narrow<S>((T)(widen(x[j]) * inverse)));
}

// gradient = factor / length (g - unit <unit, g>), or factor g without `unit`; as in engines/similarity/unit_rows.h.
template <class S, class Unit>
FASTLOSS_KERNEL(kUnitThreads, 4)
unit_rows_backward(const UnitLaunch l, const int warps) {
  using T = decltype(widen(S()));
  const UnitPlace at(l, warps);
  const int64_t width = at.exists ? l.args.width : 0, first = at.row * l.args.width;
  const T* const g = (const T*)l.args.upstream + first;
  const Unit* const unit = l.args.unit ? (const Unit*)l.args.unit + first : nullptr;
  const double length = unit && at.exists ? l.args.length[at.row] : 1.0;
  double along = 0;
  if (unit) {
    const int64_t projected = length != kSmallestLength ? width : 0;
    for (int64_t j = at.rank; j < projected; j += at.threads) along += (double)g[j] * (double)widen(unit[j]);
    along = at.sum(along);
  }
  const double factor = read_scalar(l.factor.data, l.factor.dtype) / length;
  S* const to = (S*)l.args.gradient + first;
  for (int64_t j = at.rank; j < width; j += at.threads) {
    const double v = unit ? (double)g[j] - along * (double)widen(unit[j]) : (double)g[j];
    store_one(to + j, narrow<S>((T)(factor * v)));
  }
}

int run_unit_rows(void (*kernel)(UnitLaunch, int), const UnitLaunch& l, void* stream) {
  int warps = 1;
  while (warps < kUnitThreads / 32 && warps * 32 * kUnitColumns < l.args.width) warps *= 2;
  if (l.rows == 0) return 0;
  const Grid grid{parts_of(l.rows, kUnitThreads / 32 / warps), kUnitThreads, kUnitThreads / 32 * (int)sizeof(double),
                  1};
  return launch(kernel, grid, (Stream)stream, l, warps);
}

// Parts of each row's sums of derivatives, in their order.
FASTLOSS_KERNEL(kTileThreads, 4) join_derivatives(const TileLaunch l) {
  const int64_t i = block() * kTileThreads + thread(), n = 2 * l.args.rows;
  if (i >= n) return;
  double sum = 0;
  for (int64_t s = 0; s < l.stripes; ++s) sum += l.parts[s * n + i];
  store_one(l.args.derivative_sums + i, sum);
}

}  // namespace

void plan_tile(DType dtype, TileLaunch& l) {
  const TileArgs& a = l.args;
  const PairRelation& r = a.relation;
  const int64_t size = bytes_of(dtype), lanes = 16 / size, flags = lanes < 4 ? 2 : lanes;
  const int64_t compute = dtype == DType::f64 ? 8 : 4;
  const auto lies = [](const void* p, int64_t bytes) { return (uintptr_t)p % bytes == 0; };
  const auto strides = [&](int64_t stride, int64_t by) { return a.rows == 1 || stride % by == 0; };
  l.vectors = lies(a.tile, 16) && strides(a.tile_stride, lanes) && lies(r.column_label.whole, 16) &&
              lies(a.column_terms, 16) && lies(a.column_anchors.data, 16) &&
              a.column_anchors.plane % (16 / compute) == 0 && lies(r.mask, flags) && strides(r.mask_stride, flags) &&
              lies(r.positives, flags) && strides(r.positives_stride, flags);
  const auto across = [&] { return (int64_t)(32 << l.log_warps) * kThreadColumns; };
  l.log_warps = 0;
  while (1 << l.log_warps < kTileWarps && across() < a.columns) ++l.log_warps;
  l.stripes = parts_of(a.columns, across());
  l.chunks = parts_of(a.rows, kColumnRows);
  l.row_blocks = parts_of(a.rows, (kTileWarps >> l.log_warps) * kTileRows);
}

int run_statistics(int loss, DType dtype, const TileLaunch& l, void* stream) {
  return with_dtype(dtype, [&](auto d) { return run_statistics<decltype(d)::value>(loss, l, stream); });
}

int run_derivatives(int loss, DType dtype, const TileLaunch& l, void* stream) {
  const int error = with_dtype(dtype, [&](auto d) { return run_derivatives<decltype(d)::value>(loss, l, stream); });
  if (error || !l.parts) return error;
  return launch(&join_derivatives, Grid{parts_of(2 * l.args.rows, kTileThreads), kTileThreads, 0, 1}, (Stream)stream,
                l);
}

int64_t anchor_blocks(int64_t anchors) { return anchors > 0 ? parts_of(anchors, kAnchorThreads) : 1; }

int run_anchors(const AnchorLaunch& l, void* stream) {
  const Grid grid{anchor_blocks(l.anchors), kAnchorThreads, kAnchorThreads / 32 * (int)sizeof(double), 1};
  const int error = launch(&anchor_losses, grid, (Stream)stream, l);
  if (error) return error;
  return launch(l.is_double ? &anchor_coefficients<double> : &anchor_coefficients<float>, grid, (Stream)stream, l);
}

int run_unit(DType dtype, const UnitLaunch& l, void* stream) {
  const auto kernel = dtype == DType::f32    ? &unit_rows<float>
                      : dtype == DType::f64  ? &unit_rows<double>
                      : dtype == DType::bf16 ? &unit_rows<BFloat16>
                                             : &unit_rows<Half>;
  return run_unit_rows(kernel, l, stream);
}

int run_unit_backward(DType dtype, const UnitLaunch& l, void* stream) {
  const auto kernel = dtype == DType::f64          ? &unit_rows_backward<double, double>
                      : dtype == DType::bf16       ? &unit_rows_backward<BFloat16, BFloat16>
                      : dtype == DType::f16        ? &unit_rows_backward<Half, Half>
                      : l.unit_dtype == DType::f16 ? &unit_rows_backward<float, Half>
                                                   : &unit_rows_backward<float, float>;
  return run_unit_rows(kernel, l, stream);
}

}  // namespace fastloss::cuda
