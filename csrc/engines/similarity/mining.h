#pragma once

// Triplets found in a tile of squared distances z that has all columns of its rows: each row's value, and derivatives
// in z, in its place or as a list of the pairs that have one. Which triplets: the docstring of
// `mined_triplet_margin_loss`. A row is looked at once; its negatives, in the first level of cache, once for four
// positives (all triplets: for each).

#include "engines/similarity/cpu.h"
#include "engines/similarity/unit_rows.h"
#include "losses/similarity.h"

namespace fastloss::FASTLOSS_ISA {
namespace {

template <class T>
struct Mine : TileRows<T> {
  using V = Vec<T>;
  static constexpr int W = V::size;
  using TileRows<T>::a;
  struct Positive {
    int64_t at;
    T near;
  };
  const Triplet f;
  const int64_t padded;
  // Of one row, whole vectors: how far negatives are (z; for all triplets its root), infinite for others; derivatives
  // in the distance.
  T *const far, *const slope;
  Positive* const positives;

  static int64_t whole_vectors(int64_t columns) { return (columns + W - 1) / W * W; }
  // Elements of scratch for rows of so many columns.
  static int64_t scratch(int64_t columns) {
    return 2 * whole_vectors(columns) + (columns + W) * (int64_t)(sizeof(Positive) / sizeof(T));
  }

  FASTLOSS_FN Mine(const TileArgs& args, T* scratch)
      : TileRows<T>(args),
        f(args.params),
        padded(whole_vectors(args.columns)),
        far(scratch),
        slope(scratch + padded),
        positives((Positive*)(scratch + 2 * padded)) {}

  struct Row {
    int64_t positives;
    T nearest_negative, farthest_negative;
    bool has_negative, has_nan;
  };

  template <bool root>
  Row read(int64_t i) const {
    const V infinity((T)__builtin_inf()), none((T)-1), zero((T)0);
    V near_negative = infinity, far_negative = none, nans = zero;
    int64_t count = 0;
    this->along([&](int64_t j, int n) __attribute__((always_inline)) {
      const auto p = this->lanes(i, j, n);
      V d = max(zero, p.z);
      if (root) d = sqrt(d);
      const Mask<T> negative = p.kept & ~p.positive, positive = p.kept & p.positive;
      const V distant = select(negative, d, infinity);
      store(far + j, distant);
      store(slope + j, zero);
      near_negative = min(near_negative, distant);
      far_negative = max(far_negative, select(negative, d, none));
      nans = add_where(p.kept & ~(p.z == p.z), nans, V((T)1));
      if (FASTLOSS_LIKELY(!any(positive))) return;
      T near[W];
      store(near, d);
      for (int lane = 0; lane < n; ++lane) {
        if (is_true(positive, lane)) positives[count++] = {j + lane, near[lane]};
      }
    });
    Row r;
    r.positives = count;
    r.nearest_negative = -reduce_max(-near_negative);
    r.farthest_negative = reduce_max(far_negative);
    r.has_negative = r.farthest_negative >= 0;
    r.has_nan = reduce_max(nans) > 0;
    return r;
  }

  // Where the first negative of this nearness is.
  int64_t first(T near) const {
    const V wanted(near);
    int64_t j = 0;
    while (j + W < padded && !any(load(far + j) == wanted)) j += W;
    const int64_t last = a.columns - 1;
    while (j < last && far[j] != near) ++j;
    return j;
  }

  // Adds triplets to a row's value, and keeps which pairs they give a derivative, with the pair's squared distance.
  struct Sum {
    double value = 0;
    PairShare* pairs;  // or null
    int64_t count = 0;
  };
  FASTLOSS_FN void touch(Sum& sum, int64_t at, T near, double by) const {
    const T step = (T)by;  // may be 0 where `by` is not: a pair must be listed once
    if (step == 0) return;
    if (sum.pairs && slope[at] == 0) sum.pairs[sum.count++] = {at, (double)near};
    slope[at] += step;
  }
  FASTLOSS_FN void add(Sum& sum, const Positive& p, T distant) const {
    const PairScore<double> r = f(__builtin_sqrt((double)p.near), __builtin_sqrt((double)distant));
    sum.value += r.value;
    touch(sum, p.at, p.near, r.slope);
    touch(sum, first(distant), distant, -r.slope);
  }

  // How many values a mean counts.
  double batch_hard(const Row& r, Sum& sum) const {
    if (r.positives == 0 || !r.has_negative) return 0;
    Positive farthest = positives[0];
    for (int64_t k = 1; k < r.positives; ++k) {
      if (positives[k].near > farthest.near) farthest = positives[k];
    }
    add(sum, farthest, r.nearest_negative);
    return 1;
  }

  double semi_hard(const Row& r, Sum& sum) const {
    if (!r.has_negative) return 0;
    constexpr int kAtOnce = 4;
    const V infinity((T)__builtin_inf());
    for (int64_t begin = 0; begin < r.positives; begin += kAtOnce) {
      const int count = r.positives - begin < kAtOnce ? (int)(r.positives - begin) : kAtOnce;
      V near[kAtOnce], nearest[kAtOnce];
      for (int k = 0; k < kAtOnce; ++k) {
        near[k] = V(positives[begin + (k < count ? k : 0)].near);
        nearest[k] = infinity;
      }
      for (int64_t j = 0; j < padded; j += W) {
        const V d = load(far + j);
#pragma GCC unroll 4
        for (int k = 0; k < kAtOnce; ++k) nearest[k] = min(nearest[k], select(near[k] < d, d, infinity));
      }
      for (int k = 0; k < count; ++k) {
        const T chosen = -reduce_max(-nearest[k]);
        add(sum, positives[begin + k], chosen == (T)__builtin_inf() ? r.farthest_negative : chosen);
      }
    }
    return (double)r.positives;
  }

  // Every hinge of one positive in one look at the negatives.
  double all(const Row& r, double& value) const {
    const V zero((T)0), one((T)1);
    double count = 0;
    for (int64_t k = 0; k < r.positives; ++k) {
      const V bound((T)(positives[k].near + f.margin));
      V sum = zero, active = zero;
      for (int64_t j = 0; j < padded; j += W) {
        const V h = bound - load(far + j);
        const Mask<T> above = zero < h;
        sum = add_where(above, sum, h);
        active = add_where(above, active, one);
        store(slope + j, load(slope + j) - keep_where(above, one));
      }
      const double number = reduce_add(widen(active));
      value += reduce_add(widen(sum));
      count += number;
      slope[positives[k].at] += (T)number;
    }
    return count;
  }

  // df/dz = df/dd / (2 d), none where d is 0.
  void write(int64_t i, double factor) const {
    const V half((T)(factor / 2)), zero((T)0);
    double with_similarity = 0, alone = 0;
    this->along([&](int64_t j, int n) __attribute__((always_inline)) {
      const auto p = this->lanes(i, j, n);
      const V d = sqrt(max(zero, p.z));
      const V g = select(d == zero, zero, half * load(slope + j) / d);
      const V scaled = keep_where(p.kept, g) * this->scale;
      with_similarity += reduce_add(widen(keep_where(p.kept, g * p.similarity)));
      alone += reduce_add(widen(keep_where(p.kept, g)));
      store_lanes(this->row(i) + j, n, scaled);
    });
    a.derivative_sums[2 * i] = with_similarity;
    a.derivative_sums[2 * i + 1] = alone;
  }

  // Value and count of row i, into `triplets`; returns what derivatives are to be multiplied with. `sum` has the pairs.
  double find(int mining, int64_t i, Sum& sum) const {
    const Row r = mining == kAllTriplets ? read<true>(i) : read<false>(i);
    double count = 0;
    if (mining == kBatchHard) count = batch_hard(r, sum);
    if (mining == kSemiHard) count = semi_hard(r, sum);
    if (mining == kAllTriplets) count = all(r, sum.value);
    double factor = a.factor ? a.factor[i] : 1;
    if (r.has_nan) {  // which maxima and minima do not see
      factor = __builtin_nan("");
      count = count > 1 ? count : 1;
    }
    a.triplets[2 * i] = sum.value * factor;
    a.triplets[2 * i + 1] = count;
    return factor;
  }

  static void run(const TileArgs& a, int mining, int64_t begin, int64_t end, void* scratch) {
    const Mine self(a, (T*)scratch);
    for (int64_t i = begin; i < end; ++i) {
      Sum sum{0, nullptr, 0};
      const double factor = self.find(mining, i, sum);
      if (a.derivative_sums) self.write(i, factor);
    }
  }

  // The pairs of row i that have a derivative, at most a.columns of them; returns how many. Not for all triplets.
  static int64_t list(const TileArgs& a, int mining, int64_t i, void* scratch, PairShare* pairs) {
    const Mine self(a, (T*)scratch);
    Sum sum{0, pairs, 0};
    const double factor = self.find(mining, i, sum);
    if (factor != factor) return self.list_all(i, factor, pairs);
    int64_t count = 0;
    for (int64_t k = 0; k < sum.count; ++k) {
      const PairShare p = pairs[k];
      const double distance = __builtin_sqrt(p.by);
      if (distance > 0) pairs[count++] = {p.other, factor * self.slope[p.other] / distance};
    }
    return count;
  }

  int64_t list_all(int64_t i, double by, PairShare* pairs) const {
    int64_t count = 0;
    this->along([&](int64_t j, int n) __attribute__((always_inline)) {
      const auto p = this->lanes(i, j, n);
      const Mask<T> apart = p.kept & ~(max(V((T)0), p.z) == V((T)0));
      for (int lane = 0; lane < n; ++lane) {
        if (is_true(apart, lane)) pairs[count++] = {j + lane, by};
      }
    });
    return count;
  }
};

// Adds to each vector's gradient what its pairs say, in their order, and rounds once.
template <class T>
struct Shares {
  using V = Vec<T>;
  static constexpr int W = V::size;
  static constexpr int kSets = 4;  // vectors that stay in registers while the pairs pass by

  static void run(const ShareArgs& a, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      if (a.begins[i] == a.begins[i + 1]) continue;
      int64_t d = 0;
      for (; d + kSets * W <= a.width; d += kSets * W) piece<kSets>(a, i, d, W);
      for (; d < a.width; d += W) piece<1>(a, i, d, a.width - d < W ? (int)(a.width - d) : W);
    }
  }

  template <int sets>
  FASTLOSS_FN static void piece(const ShareArgs& a, int64_t i, int64_t d, int n) {
    using Wide = decltype(widen(V((T)0)));
    const T* const vectors = (const T*)a.vectors + d;
    T* const to = (T*)a.gradients + i * a.gradient_stride + d;
    Wide own[sets], sum[sets];
    for (int u = 0; u < sets; ++u) {
      own[u] = a.differences ? widen(load_lanes(vectors + i * a.vector_stride + u * W, n)) : wide_constant<T>(0);
      sum[u] = widen(load_lanes(to + u * W, n));
    }
    for (int64_t k = a.begins[i]; k < a.begins[i + 1]; ++k) {
      const T* const other = vectors + a.pairs[k].other * a.vector_stride;
      const Wide by = wide_constant<T>(a.pairs[k].by);
#pragma GCC unroll 4
      for (int u = 0; u < sets; ++u) sum[u] = sum[u] + by * (own[u] - widen(load_lanes(other + u * W, n)));
    }
    for (int u = 0; u < sets; ++u) store_lanes(to + u * W, n, narrow(sum[u]));
  }
};

}  // namespace
}  // namespace fastloss::FASTLOSS_ISA
