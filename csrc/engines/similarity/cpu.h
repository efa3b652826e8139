#pragma once

// The similarity engine on the CPU: Note [Similarity] in contract.h. Work on a tile of similarities that the caller
// has made: sums of its rows (lanes along a row), sums of its columns (lanes across columns), derivatives in place, and
// what becomes of the sums of an anchor.
//
// Sums. Within a tile exponentials are added with their rounding errors kept apart, tiles are joined in double, in the
// order of the calls. A score is rounded before the maximum is subtracted: Note [One number for a pair] in engines/similarity/operators.cpp.

#include "simd/kernels.h"
#include "simd/lane_sum.h"
#include "simd/vec_math.h"

namespace fastloss::FASTLOSS_ISA {
namespace {

// A tile as vectors of a row see it: z, and what the pairs are to each other.
template <class S>
struct TileRows {
  using T = typename Compute<S>::type;
  using V = Vec<T>;
  using Int = typename V::NativeInt;
  static constexpr int W = V::size;

  const TileArgs& a;
  const V scale, bias;

  FASTLOSS_FN explicit TileRows(const TileArgs& args) : a(args), scale((T)args.scale), bias((T)args.bias) {}

  FASTLOSS_FN S* row(int64_t i) const { return (S*)a.tile + i * a.tile_stride; }

  // Lanes j .. j + n of row i.
  struct Lanes {
    V similarity, z;
    Mask<T> kept, positive;
  };
  FASTLOSS_FN Lanes lanes(int64_t i, int64_t j, int n) const {
    const PairRelation& r = a.relation;
    Lanes p;
    p.similarity = load_lanes(row(i) + j, n);
    p.kept = first_lanes<T>(n);
    if (FASTLOSS_UNLIKELY(r.mask)) p.kept = p.kept & load_flags(r.mask + i * r.mask_stride + j, n);
    const uint64_t lane = r.row_offset + i - r.column_offset - j;
    if (FASTLOSS_UNLIKELY(lane < (uint64_t)W) && r.skip_self) {
      p.kept = p.kept & lanes_differ<T>(lane_indices<T>(), broadcast_int<T>((typename V::Int)lane));
    }
    p.positive = FASTLOSS_UNLIKELY(r.positives) ? load_flags(r.positives + i * r.positives_stride + j, n)
                                                : equal_labels(i, j, n);
    p.z = fma(scale, p.similarity, bias);
    if (FASTLOSS_UNLIKELY(a.row_terms)) {
      p.z = p.z + (V(((const T*)a.row_terms)[i]) + load_lanes((const T*)a.column_terms + j, n));
    }
    return p;
  }

  // Calls body(j, n) for the vectors of a row.
  template <class Body>
  FASTLOSS_FN void along(const Body& body) const {
    for_vectors<S>(a.columns, body);
  }

 private:
  __attribute__((noinline)) static Mask<T> load_flags(const Flag* p, int n) {
    if (n == W) return load_mask<T>(p);
    Flag padded[W + 16] = {};
    for (int k = 0; k < n; ++k) padded[k] = p[k];
    return load_mask<T>(padded);
  }
  template <class Label>
  FASTLOSS_FN static Int load_labels(const Label* p, int n) {
    Int r;
    if (FASTLOSS_LIKELY(n == W)) {
      memcpy(&r, p, sizeof(r));
      return r;
    }
    return load_few_labels(p, n);
  }
  template <class Label>
  __attribute__((noinline)) static Int load_few_labels(const Label* p, int n) {
    Int r{};
    for (int k = 0; k < n; ++k) r[k] = p[k];
    return r;
  }
  FASTLOSS_FN Mask<T> equal_labels(int64_t i, int64_t j, int n) const {
    const PairRelation& r = a.relation;
    const LabelView &row = r.row_label, &column = r.column_label;
    if constexpr (sizeof(T) == 8) {
      const int64_t label = row.whole ? row.whole[i] : r.row_offset + i;
      const Int labels =
          column.whole ? load_labels(column.whole + j, n) : lane_indices<T>() + broadcast_int<T>(r.column_offset + j);
      return lanes_equal<T>(labels, broadcast_int<T>(label));
    } else {
      const Mask<T> equal = lanes_equal<T>(load_labels(column.low + j, n), broadcast_int<T>(row.low[i]));
      if (FASTLOSS_LIKELY(!row.high)) return equal;
      return equal & lanes_equal<T>(load_labels(column.high + j, n), broadcast_int<T>(row.high[i]));
    }
  }
};

// Moves the positives' share of the gradients out of a tile of derivatives: what each contributes is added to its row's
// gradient, and the derivative is 0 after that. Few of them weigh as much as all the rest. In one product with them,
// every later addition is rounded at their size: 1.3 times the mean error of two products (of both anchors apart), as
// PyTorch takes where a matrix is multiplied with itself. A row of many positives keeps them: each weighs little there.
template <class S>
void take_positives(const TileArgs& a, const PositiveArgs& b, int64_t begin, int64_t end) {
  using T = typename Compute<S>::type;
  using V = Vec<T>;
  constexpr int W = V::size, kMost = 64;
  const TileRows<S> tile(a);
  for (int64_t i = begin; i < end; ++i) {
    int64_t found[kMost + W];
    int count = 0;
    tile.along([&](int64_t j, int n) __attribute__((always_inline)) {
      const auto p = tile.lanes(i, j, n);
      const Mask<T> positive = p.kept & p.positive;
      if (FASTLOSS_LIKELY(!any(positive)) || count > kMost) return;
      for (int lane = 0; lane < n; ++lane) {
        if (is_true(positive, lane)) found[count++] = j + lane;
      }
    });
    if (count > kMost) continue;
    T* const to = (T*)b.gradients + i * b.gradient_stride;
    for (int k = 0; k < count; ++k) {
      S* const derivative = tile.row(i) + found[k];
      const V factor((T)load_one(derivative));
      store_one(derivative, (T)0);
      const S* const from = (const S*)b.vectors + found[k] * b.vector_stride;
      int64_t d = 0;
      for (; d + W <= b.width; d += W) store(to + d, fma(factor, load(from + d), load(to + d)));
      const int left = (int)(b.width - d);
      if (left > 0) {
        store_partial(to + d, left, fma(factor, load_partial(from + d, left, (T)0), load_partial(to + d, left, (T)0)));
      }
    }
  }
}

template <class S, template <class> class Loss>
struct Similarity : TileRows<S> {
  using Tile = TileRows<S>;
  using typename Tile::T;
  using typename Tile::V;
  using F = Loss<T>;
  static constexpr int W = V::size;
  static constexpr int kAhead = 16;  // rows to prefetch
  static constexpr int kSets = 4;    // vectors of columns taken at a time: whole lines of memory, and then some
  using Tile::a;
  const F f;

  FASTLOSS_FN explicit Similarity(const TileArgs& args) : Tile(args), f(args.params) {}

  // Positives are few: most vectors have none, and are spared what distinguishes the kinds.
  struct Pairs : Tile::Lanes {
    V score, slope;
    bool mixed;
  };
  FASTLOSS_FN Pairs pairs(int64_t i, int64_t j, int n) const {
    Pairs p{this->lanes(i, j, n), {}, {}, false};
    const PairScore<V> far = f.negative(p.z);
    p.score = far.value;
    p.slope = far.slope;
    p.positive = p.kept & p.positive;
    p.mixed = any(p.positive);
    if (FASTLOSS_UNLIKELY(p.mixed)) {
      const PairScore<V> near = f.positive(p.z);
      p.score = select(p.positive, near.value, far.value);
      p.slope = select(p.positive, near.slope, far.slope);
    }
    return p;
  }
  FASTLOSS_FN static V by_kind(const Pairs& p, V positive, V negative) {
    return FASTLOSS_UNLIKELY(p.mixed) ? select(p.positive, positive, negative) : negative;
  }

  // The sums of lanes: of vectors along a row, or of a vector of columns.
  struct LaneSums {
    LaneSum<T> sum[kPairKinds], total;
    V count[kPairKinds] = {V((T)0), V((T)0)};  // exact up to 2^24 in a lane

    FASTLOSS_FN void add(const Pairs& p, V value) {
      add(kNegative, FASTLOSS_UNLIKELY(p.mixed) ? p.kept & ~p.positive : p.kept, value);
      if (FASTLOSS_LIKELY(!p.mixed)) return;
      add(kPositive, p.positive, value);
      if (F::exponential) total.add(keep_where(p.positive, p.score));
    }

   private:
    FASTLOSS_FN void add(PairKind kind, Mask<T> where, V value) {
      sum[kind].add(keep_where(where, value));
      const Mask<T> counted = F::exponential ? where : where & ~(value == V((T)0));
      count[kind] = add_where(counted, count[kind], V((T)1));
    }
  };
  // The maxima of lanes.
  struct LaneMaxima {
    V max[kPairKinds] = {V(lowest<T>()), V(lowest<T>())};
    FASTLOSS_FN void add(const Pairs& p) {
      const V low(lowest<T>());
      const Mask<T> negative = FASTLOSS_UNLIKELY(p.mixed) ? p.kept & ~p.positive : p.kept;
      max[kNegative] = FASTLOSS_ISA::max(max[kNegative], select(negative, p.score, low));
      if (FASTLOSS_UNLIKELY(p.mixed))
        max[kPositive] = FASTLOSS_ISA::max(max[kPositive], select(p.positive, p.score, low));
    }
  };

  FASTLOSS_FN static V exponential(const Pairs& p, V max_positive, V max_negative) {
    return exp_negative(rounded(p.score) - by_kind(p, max_positive, max_negative));
  }

  static void rows(const TileArgs& a, int64_t begin, int64_t end) {
    const Similarity self(a);
    for (int64_t i = begin; i < end; ++i) {
      T max[kPairKinds] = {(T)0, (T)0};
      if (F::exponential) {
        LaneMaxima maxima;
        self.along([&](int64_t j, int n) __attribute__((always_inline)) { maxima.add(self.pairs(i, j, n)); });
        for (int k = 0; k < kPairKinds; ++k) max[k] = reduce_max(maxima.max[k]);
      }
      LaneSums sums;
      self.along([&](int64_t j, int n) __attribute__((always_inline)) {
        const Pairs p = self.pairs(i, j, n);
        sums.add(p, F::exponential ? exponential(p, V(max[kPositive]), V(max[kNegative])) : p.score);
      });
      AnchorSums more{};
      for (int k = 0; k < kPairKinds; ++k) {
        more.max[k] = max[k];
        more.sum[k] = reduce_add(sums.sum[k].wide());
        more.count[k] = reduce_add(widen(sums.count[k]));
      }
      more.total = reduce_add(sums.total.wide());
      join(a.row_sums[i], more, F::exponential);
    }
  }

  // begin and end are numbers of columns.
  static void columns(const TileArgs& a, int64_t begin, int64_t end) {
    const Similarity self(a);
    int64_t j = begin;
    for (; j + kSets * W <= end; j += kSets * W) self.template down<kSets>(j, W);
    for (; j < end; j += W) self.template down<1>(j, end - j < W ? (int)(end - j) : W);
  }

  template <int sets>
  void down(int64_t j, int n) const {
    LaneMaxima maxima[sets];
    LaneSums sums[sets];
    if (F::exponential) {
      for (int64_t i = 0; i < a.rows; ++i) {
        // Rows lie pages apart, where no hardware prefetches: 1.0 -> 0.75 ns per similarity in a strip of 16 MiB.
        if (i + kAhead < a.rows) {
#pragma GCC unroll 4
          for (int u = 0; u < sets; ++u) __builtin_prefetch(this->row(i + kAhead) + j + u * W);
        }
#pragma GCC unroll 4
        for (int u = 0; u < sets; ++u) maxima[u].add(pairs(i, j + u * W, n));
      }
    }
    for (int64_t i = 0; i < a.rows; ++i) {
#pragma GCC unroll 4
      for (int u = 0; u < sets; ++u) {
        const Pairs p = pairs(i, j + u * W, n);
        sums[u].add(p, F::exponential ? exponential(p, maxima[u].max[kPositive], maxima[u].max[kNegative]) : p.score);
      }
    }
    for (int u = 0; u < sets; ++u) {
      T max[kPairKinds][W];
      double sum[kPairKinds][W], total[W], count[kPairKinds][W];
      for (int k = 0; k < kPairKinds; ++k) {
        store(max[k], maxima[u].max[k]);
        store(sum[k], sums[u].sum[k].wide());
        store(count[k], widen(sums[u].count[k]));
      }
      store(total, sums[u].total.wide());
      for (int lane = 0; lane < n; ++lane) {
        AnchorSums more{};
        for (int k = 0; k < kPairKinds; ++k) {
          more.max[k] = max[k][lane];
          more.sum[k] = sum[k][lane];
          more.count[k] = count[k][lane];
        }
        more.total = total[lane];
        join(a.column_sums[j + u * W + lane], more, F::exponential);
      }
    }
  }

  // df/dz of a pair as one of its anchors sees it; c: that anchor's coefficients.
  FASTLOSS_FN static V derivative(const Pairs& p, const V (&c)[kCoefficients]) {
    if (!F::exponential) return p.slope * by_kind(p, c[kWeightPositive], c[kWeightNegative]);
    const V e = exponential(p, c[kMaxPositive], c[kMaxNegative]);
    if (FASTLOSS_LIKELY(!p.mixed)) return p.slope * (c[kWeightNegative] * e);
    return p.slope * select(p.positive, fma(c[kWeightPositive], e, c[kShift]), c[kWeightNegative] * e);
  }

  static void gradient(const TileArgs& a, int64_t begin, int64_t end) {
    const Similarity self(a);
    for (int64_t i = begin; i < end; ++i) {
      V row[kCoefficients], column[kCoefficients];
      for (int c = 0; a.row_anchors.data && c < kCoefficients; ++c) {
        row[c] = V(((const T*)a.row_anchors.data)[c * a.row_anchors.plane + i]);
      }
      auto with_similarity = widen(V((T)0)), alone = widen(V((T)0));
      self.along([&](int64_t j, int n) __attribute__((always_inline)) {
        const Pairs p = self.pairs(i, j, n);
        V d((T)0);
        if (a.row_anchors.data) d = derivative(p, row);
        if (a.column_anchors.data) {
          for (int c = 0; c < kCoefficients; ++c) {
            column[c] = load_lanes((const T*)a.column_anchors.data + c * a.column_anchors.plane + j, n);
          }
          d = d + derivative(p, column);
        }
        d = keep_where(p.kept, d);
        with_similarity = with_similarity + widen(keep_where(p.kept, d * p.similarity));
        alone = alone + widen(d);
        store_lanes(self.row(i) + j, n, d * self.scale);
      });
      a.derivative_sums[2 * i] = reduce_add(with_similarity);
      a.derivative_sums[2 * i + 1] = reduce_add(alone);
    }
  }
};

template <class S, template <class> class Loss>
constexpr SimilarityKernels similarity_kernels() {
  using K = Similarity<S, Loss>;
  if constexpr (Loss<float>::columns) {
    return {&K::rows, &K::columns, &K::gradient};
  } else {
    return {&K::rows, nullptr, &K::gradient};
  }
}

}  // namespace
}  // namespace fastloss::FASTLOSS_ISA
