#pragma once

// Triplets found in a tile of squared distances z that has all columns of its rows: each row's value, and in place of z the
// derivative in z. Which triplets: the docstring of `triplet_margin_loss`. A row costs as many looks at it as it has positives
// (batch hard: two), from the first level of cache.

#include "cpu/similarity.h"
#include "losses/similarity.h"

namespace fastloss::FASTLOSS_ISA {
namespace {

template <class T>
struct Mine : TileRows<T> {
  using V = Vec<T>;
  static constexpr int W = V::size;
  using TileRows<T>::a;
  const Triplet f;
  // Of one row, whole vectors: distances; distances of negatives, infinite for others; derivatives in the distance.
  T *const distance, *const far, *const slope;
  const int64_t padded;

  // Elements of scratch for rows of so many columns.
  static int64_t scratch(int64_t columns) { return 3 * ((columns + W - 1) / W * W); }

  FASTLOSS_FN Mine(const TileArgs& args, T* scratch)
      : TileRows<T>(args),
        f(args.params),
        distance(scratch),
        far(scratch + (args.columns + W - 1) / W * W),
        slope(scratch + 2 * ((args.columns + W - 1) / W * W)),
        padded((args.columns + W - 1) / W * W) {}

  // The extremes of a row, and where the first of them are.
  struct Row {
    T farthest_positive = -1, nearest_negative, farthest_negative = -1;
    bool has_negative, has_nan;
  };

  Row read(int64_t i) const {
    const V infinity((T)__builtin_inf()), none((T)-1);
    V far_positive = none, near_negative = infinity, far_negative = none, nans((T)0);
    this->along([&](int64_t j, int n) __attribute__((always_inline)) {
      const auto p = this->lanes(i, j, n);
      const V d = sqrt(max(V((T)0), p.z));
      const Mask<T> negative = p.kept & ~p.positive;
      store(distance + j, select(p.kept & p.positive, d, none));
      store(far + j, select(negative, d, infinity));
      store(slope + j, V((T)0));
      far_positive = max(far_positive, select(p.kept & p.positive, d, none));
      near_negative = min(near_negative, select(negative, d, infinity));
      far_negative = max(far_negative, select(negative, d, none));
      nans = add_where(p.kept & ~(p.z == p.z), nans, V((T)1));
    });
    Row r;
    r.farthest_positive = reduce_max(far_positive);
    r.nearest_negative = -reduce_max(-near_negative);
    r.farthest_negative = reduce_max(far_negative);
    r.has_negative = r.farthest_negative >= 0;
    r.has_nan = reduce_max(nans) > 0;
    return r;
  }

  int64_t first(const T* values, T value) const {
    int64_t j = 0;
    while (j + 1 < a.columns && values[j] != value) ++j;
    return j;
  }

  FASTLOSS_FN void add(double& value, T near, int64_t near_at, T distant, int64_t far_at) const {
    const PairScore<double> r = f(near, distant);
    value += r.value;
    slope[near_at] += (T)r.slope;
    slope[far_at] -= (T)r.slope;
  }

  // Value and count of row i; `slope` receives the derivatives in the distances.
  void batch_hard(const Row& r, double& value, double& count) const {
    if (r.farthest_positive < 0 || !r.has_negative) return;
    count = 1;
    add(value, r.farthest_positive, first(distance, r.farthest_positive), r.nearest_negative,
        first(far, r.nearest_negative));
  }

  void semi_hard(const Row& r, double& value, double& count) const {
    if (!r.has_negative) return;
    const V infinity((T)__builtin_inf());
    for (int64_t p = 0; p < a.columns; ++p) {
      if (distance[p] < 0) continue;
      count += 1;
      const V near(distance[p]);
      V nearest = infinity;
      for (int64_t j = 0; j < padded; j += W) {
        const V d = load(far + j);
        nearest = min(nearest, select(near < d, d, infinity));
      }
      T chosen = -reduce_max(-nearest);
      if (chosen == (T)__builtin_inf()) chosen = r.farthest_negative;
      add(value, distance[p], p, chosen, first(far, chosen));
    }
  }

  // Every hinge of one positive in one look at the negatives.
  void all(double& value, double& count) const {
    const V zero((T)0), one((T)1);
    for (int64_t p = 0; p < a.columns; ++p) {
      if (distance[p] < 0) continue;
      const V bound((T)(distance[p] + f.margin));
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
      slope[p] += (T)number;
    }
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

  static void run(const TileArgs& a, int mining, int64_t begin, int64_t end, void* scratch) {
    const Mine self(a, (T*)scratch);
    for (int64_t i = begin; i < end; ++i) {
      const Row r = self.read(i);
      double value = 0, count = 0;
      if (mining == kBatchHard) self.batch_hard(r, value, count);
      if (mining == kSemiHard) self.semi_hard(r, value, count);
      if (mining == kAllTriplets) self.all(value, count);
      double factor = a.factor ? a.factor[i] : 1;
      if (r.has_nan) {  // which maxima and minima do not see
        factor = __builtin_nan("");
        count = count > 1 ? count : 1;
      }
      a.triplets[2 * i] = value * factor;
      a.triplets[2 * i + 1] = count;
      if (a.derivative_sums) self.write(i, factor);
    }
  }
};

}  // namespace
}  // namespace fastloss::FASTLOSS_ISA
