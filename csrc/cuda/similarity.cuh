#pragma once

// The similarity family on CUDA: Note [Similarity] in core/similarity.h. A tile of similarities, fresh from the matrix
// product, becomes sums of its rows and of its columns, or derivatives in place. See csrc/README.md, "CUDA", for traffic.
//
// Note [Tiles]
// Rows: the threads of one to eight warps take kTileRows rows together, kThreadColumns columns of each at most, 16 bytes of
// each row at a time; what a thread knows of its columns (labels, terms, coefficients: up to 40 bytes each) serves all of its
// rows. Longer rows are cut into stripes, a block's work each. Columns: a thread has one, neighbouring threads neighbouring
// ones, and kColumnRows rows of it. Tiles off 16 bytes go element by element.
//
// Nearly all pairs of a batch are kept negatives. Which are not is a set of bits, so that vectors without any go a way of
// their own, a fifth of the other's instructions.
//
// Sums. A tile is read once. A thread holds some scores at a time (a row's 16 bytes, kColumnBatch of a column): finds their
// maxima, brings its sums to a greater one, and adds. It adds at most 16 numbers of a row in the computing type, 64 of a column;
// the lanes of a warp are a tree in that type (derivatives: in double), everything after them is double: the warps in their
// order, stripes and chunks in theirs, tiles in the order of the calls. The cut follows from the shape alone.

#include "core/compute.h"
#include "cuda/block.h"
#include "cuda/similarity.h"
#include "losses/functors.h"

namespace fastloss::cuda {
namespace {

// N values at `p`, of which `n` exist; what does not is zero. 16 bytes at a time where all do.
template <bool vectors, int N, class X>
FASTLOSS_DEVICE void load_values(const X* p, int64_t n, X (&to)[N]) {
  if constexpr (vectors) {
    constexpr int kPack = N * sizeof(X) < 16 ? N : 16 / (int)sizeof(X);
    if (n >= N) {
      FASTLOSS_UNROLL
      for (int k = 0; k < N; k += kPack) {
        const Pack<X, kPack> pack = load_pack<kPack>(p + k);
        FASTLOSS_UNROLL
        for (int v = 0; v < kPack; ++v) to[k + v] = pack.v[v];
      }
      return;
    }
  }
  FASTLOSS_UNROLL
  for (int k = 0; k < N; ++k) {
    to[k] = X{};
    if (k < n) to[k] = p[k];
  }
}

// What a pair needs to know of its row, and of its column.
template <class T>
struct Side {
  int64_t label;
  T term;
};
template <class T, int N>
struct Sides {
  int64_t label[N];  // if they have labels of their own
  T term[N];
};

// What pairs of one row, or of one column, are to each other: a bit each.
struct Relation {
  unsigned kept, positive;
};
template <int N>
constexpr unsigned kAll = (1u << N) - 1;
template <int N>
FASTLOSS_DEVICE unsigned bit_at(int64_t at) {
  return at >= 0 && at < N ? 1u << at : 0;
}
template <int N>
FASTLOSS_DEVICE unsigned first_bits(int64_t n) {
  return n >= N ? kAll<N> : n > 0 ? (1u << n) - 1 : 0;
}

template <class S, template <class> class Loss>
struct TileView {
  using T = typename Compute<S>::type;
  const TileArgs& a;
  const Loss<T>& f;
  T scale, bias;

  FASTLOSS_DEVICE TileView(const TileLaunch& l, const Loss<T>& functor) : a(l.args), f(functor) {
    scale = (T)(l.scale.data ? a.scale * read_scalar(l.scale.data, l.scale.dtype) : a.scale);
    bias = (T)(l.bias.data ? a.bias + read_scalar(l.bias.data, l.bias.dtype) : a.bias);
  }

  FASTLOSS_DEVICE S* row(int64_t i) const { return (S*)a.tile + i * a.tile_stride; }

  FASTLOSS_DEVICE Side<T> row_side(int64_t i) const {
    const LabelView& label = a.relation.row_label;
    return {label.whole ? label.whole[i] : a.relation.row_offset + i, a.row_terms ? ((const T*)a.row_terms)[i] : (T)0};
  }
  FASTLOSS_DEVICE Side<T> column_side(int64_t j) const {
    const LabelView& label = a.relation.column_label;
    return {label.whole ? label.whole[j] : a.relation.column_offset + j,
            a.row_terms ? ((const T*)a.column_terms)[j] : (T)0};
  }

  // N columns from j on; N rows from i on.
  template <bool vectors, int N>
  FASTLOSS_DEVICE void column_sides(int64_t j, Sides<T, N>& to) const {
    sides<vectors>(a.relation.column_label.whole, (const T*)a.column_terms, j, a.columns - j, to);
  }
  template <int N>
  FASTLOSS_DEVICE void row_sides(int64_t i, Sides<T, N>& to) const {
    sides<false>(a.relation.row_label.whole, (const T*)a.row_terms, i, a.rows - i, to);
  }

  // Row i and N columns from j on.
  template <bool vectors, int N>
  FASTLOSS_DEVICE Relation along(int64_t i, int64_t j, const Side<T>& row, const Sides<T, N>& columns) const {
    const PairRelation& r = a.relation;
    const int64_t n = a.columns - j;
    const auto read = [&](const bool* p) {
      bool flag[N];
      load_values<vectors>(p, n, flag);
      unsigned bits = 0;
      FASTLOSS_UNROLL
      for (int v = 0; v < N; ++v) bits |= (unsigned)flag[v] << v;
      return bits;
    };
    Relation to{first_bits<N>(n), 0};
    if (r.mask) to.kept &= read(r.mask + i * r.mask_stride + j);
    if (r.skip_self) to.kept &= ~bit_at<N>(r.row_offset + i - r.column_offset - j);
    to.positive = r.positives ? read(r.positives + i * r.positives_stride + j)
                              : equal(r.column_label, columns.label, r.column_offset + j, row.label);
    return to;
  }
  // Column j and N rows from i on.
  template <int N>
  FASTLOSS_DEVICE Relation down(int64_t i, int64_t j, const Sides<T, N>& rows, const Side<T>& column) const {
    const PairRelation& r = a.relation;
    const int64_t n = a.rows - i;
    const auto read = [&](const bool* p, int64_t stride) {
      unsigned bits = 0;
      FASTLOSS_UNROLL
      for (int v = 0; v < N; ++v) {
        if (v < n) bits |= (unsigned)p[(i + v) * stride + j] << v;
      }
      return bits;
    };
    Relation to{first_bits<N>(n), 0};
    if (r.mask) to.kept &= read(r.mask, r.mask_stride);
    if (r.skip_self) to.kept &= ~bit_at<N>(r.column_offset + j - r.row_offset - i);
    to.positive = r.positives ? read(r.positives, r.positives_stride)
                              : equal(r.row_label, rows.label, r.row_offset + i, column.label);
    return to;
  }

  FASTLOSS_DEVICE T score_of(T similarity, T row_term, T column_term) const {
    const T z = scale * similarity + bias;
    return a.row_terms ? z + (row_term + column_term) : z;
  }

 private:
  template <bool vectors, int N>
  FASTLOSS_DEVICE void sides(const int64_t* label, const T* term, int64_t at, int64_t n, Sides<T, N>& to) const {
    if (label) load_values<vectors>(label + at, n, to.label);
    if (a.row_terms) {
      load_values<vectors>(term + at, n, to.term);
    } else {
      FASTLOSS_UNROLL
      for (int v = 0; v < N; ++v) to.term[v] = 0;
    }
  }
  // Which of N labels, or of N indices from `first` on if there are none, are `wanted`.
  template <int N>
  FASTLOSS_DEVICE static unsigned equal(const LabelView& view, const int64_t (&labels)[N], int64_t first,
                                        int64_t wanted) {
    if (!view.whole) return bit_at<N>(wanted - first);
    unsigned bits = 0;
    FASTLOSS_UNROLL
    for (int v = 0; v < N; ++v) bits |= (unsigned)(labels[v] == wanted) << v;
    return bits;
  }
};

// What some pairs of an anchor add up to.
template <class T, bool exponential>
struct Part {
  T max[kPairKinds] = {lowest<T>(), lowest<T>()}, sum[kPairKinds] = {0, 0}, total = 0;
  int count[kPairKinds] = {0, 0};

  // The same sums, relative to other maxima.
  FASTLOSS_DEVICE void move(int k, T to) {
    if (to == max[k]) return;
    sum[k] *= exp_negative(max[k] - to);
    max[k] = to;
  }

  template <int N, class F>
  FASTLOSS_DEVICE void add(const F& f, const T (&z)[N], Relation relation) {
    if (relation.kept == kAll<N> && relation.positive == 0) {
      add_negatives(f, z);
    } else {
      add_any(f, z, relation);
    }
  }
  template <int N, class F>
  FASTLOSS_DEVICE void add_negatives(const F& f, const T (&z)[N]) {
    T score[N], top = max[kNegative];
    FASTLOSS_UNROLL
    for (int v = 0; v < N; ++v) {
      score[v] = f.negative(z[v]).value;
      if (exponential) top = maximum(top, score[v]);
    }
    if (exponential) move(kNegative, top), count[kNegative] += N;
    FASTLOSS_UNROLL
    for (int v = 0; v < N; ++v) {
      sum[kNegative] += exponential ? exp_negative(score[v] - top) : score[v];
      if (!exponential) count[kNegative] += score[v] != 0;
    }
  }
  template <int N, class F>
  FASTLOSS_DEVICE void add_any(const F& f, const T (&z)[N], Relation relation) {
    T score[N], top[kPairKinds] = {max[kPositive], max[kNegative]};
    FASTLOSS_UNROLL
    for (int v = 0; v < N; ++v) {
      const bool kept = relation.kept >> v & 1, positive = relation.positive >> v & 1;
      score[v] = positive ? f.positive(z[v]).value : f.negative(z[v]).value;
      FASTLOSS_UNROLL
      for (int k = 0; exponential && k < kPairKinds; ++k) {
        if (kept && positive == (k == kPositive)) top[k] = maximum(top[k], score[v]);
      }
    }
    FASTLOSS_UNROLL
    for (int k = 0; exponential && k < kPairKinds; ++k) move(k, top[k]);
    FASTLOSS_UNROLL
    for (int v = 0; v < N; ++v) {
      const bool kept = relation.kept >> v & 1, positive = relation.positive >> v & 1;
      const T value = exponential ? exp_negative(score[v] - (positive ? max[kPositive] : max[kNegative])) : score[v];
      FASTLOSS_UNROLL
      for (int k = 0; k < kPairKinds; ++k) {
        const bool own = kept && positive == (k == kPositive);
        sum[k] += own ? value : (T)0;
        count[k] += own && (exponential || value != 0);
      }
      if (exponential) total += kept && positive ? score[v] : (T)0;
    }
  }

  // Over the lanes of a warp.
  FASTLOSS_DEVICE void gather() {
    if (exponential) {
      FASTLOSS_UNROLL
      for (int k = 0; k < kPairKinds; ++k) {
        T top = max[k];
        FASTLOSS_UNROLL
        for (int lanes = 16; lanes > 0; lanes /= 2) top = maximum(top, shuffle_xor(top, lanes));
        move(k, top);
      }
    }
    FASTLOSS_UNROLL
    for (int lanes = 16; lanes > 0; lanes /= 2) {
      FASTLOSS_UNROLL
      for (int k = 0; k < kPairKinds; ++k) {
        sum[k] += shuffle_xor(sum[k], lanes);
        count[k] += shuffle_xor(count[k], lanes);
      }
      if (exponential) total += shuffle_xor(total, lanes);
    }
  }

  FASTLOSS_DEVICE AnchorSums wide() const {
    AnchorSums s{};
    FASTLOSS_UNROLL
    for (int k = 0; k < kPairKinds; ++k) {
      s.max[k] = exponential ? (double)max[k] : 0.0;
      s.sum[k] = (double)sum[k];
      s.count[k] = count[k];
    }
    s.total = (double)total;
    return s;
  }
};

// Writes a part of an anchor: `plane` elements between its numbers.
template <class T>
FASTLOSS_DEVICE void store_part(T* to, int64_t plane, const AnchorSums& s) {
  FASTLOSS_UNROLL
  for (int k = 0; k < kPairKinds; ++k) {
    store_one(to + (kPartMax + k) * plane, (T)s.max[k]);
    store_one(to + (kPartSum + k) * plane, (T)s.sum[k]);
    store_one(to + (kPartCount + k) * plane, (T)s.count[k]);
  }
  store_one(to + kPartTotal * plane, (T)s.total);
}

// Which rows and columns a thread of a kernel that takes rows has.
struct Place {
  int64_t row, stripe, begin, end;  // first row; columns of the stripe
  int rows;                         // how many rows there are
  int threads, rank;                // that share the rows; of this one among them

  FASTLOSS_DEVICE explicit Place(const TileLaunch& l) {
    threads = l.warps * 32;
    rank = thread() % threads;
    const int64_t group = block() % l.row_blocks * (kTileThreads / threads) + thread() / threads;
    row = group * kTileRows;
    const int64_t left = l.args.rows - row;
    rows = left < kTileRows ? left < 0 ? 0 : (int)left : kTileRows;
    stripe = block() / l.row_blocks;
    begin = stripe * (threads * kThreadColumns);
    end = begin + threads * kThreadColumns;
    if (end > l.args.columns) end = l.args.columns;
  }
};

template <int V, class S, template <class> class Loss>
FASTLOSS_DEVICE void load_rows(const TileView<S, Loss>& view, const Place& at, int64_t j, S (&to)[kTileRows][V]) {
  FASTLOSS_UNROLL
  for (int r = 0; r < kTileRows; ++r) {
    if (r < at.rows) load_values<(V > 1)>(view.row(at.row + r) + j, view.a.columns - j, to[r]);
  }
}

template <class S, template <class> class Loss, int V>
FASTLOSS_KERNEL(kTileThreads, 2)
similarity_rows(const TileLaunch l, const Loss<typename Compute<S>::type> f) {
  using T = typename Compute<S>::type;
  constexpr bool exponential = Loss<T>::exponential;
  const TileView<S, Loss> view(l, f);
  const Place at(l);
  Side<T> row[kTileRows];
  Part<T, exponential> part[kTileRows];
  FASTLOSS_UNROLL
  for (int r = 0; r < kTileRows; ++r) {
    if (r < at.rows) row[r] = view.row_side(at.row + r);
  }
  for (int64_t j = at.begin + at.rank * V; j < at.end; j += at.threads * V) {
    S in[kTileRows][V];
    load_rows<V>(view, at, j, in);
    Sides<T, V> column;
    view.template column_sides<(V > 1)>(j, column);
    FASTLOSS_UNROLL
    for (int r = 0; r < kTileRows; ++r) {
      if (r >= at.rows) continue;
      T z[V];
      FASTLOSS_UNROLL
      for (int v = 0; v < V; ++v) z[v] = view.score_of(widen(in[r][v]), row[r].term, column.term[v]);
      part[r].add(f, z, view.template along<(V > 1)>(at.row + r, j, row[r], column));
    }
  }
  AnchorSums* const warps = (AnchorSums*)shared_memory();  // [warps of the block][kTileRows]
  FASTLOSS_UNROLL
  for (int r = 0; r < kTileRows; ++r) {
    part[r].gather();
    if (thread() % 32 == 0) warps[thread() / 32 * kTileRows + r] = part[r].wide();
  }
  block_barrier();
  const int r = at.rank;
  if (r >= at.rows) return;
  AnchorSums sums{};
  for (int w = 0; w < l.warps; ++w) join(sums, warps[(thread() / 32 + w) * kTileRows + r], exponential);
  const int64_t rows = l.args.rows;
  store_part((T*)l.row_parts + at.stripe * kPartPlanes * rows + at.row + r, rows, sums);
}

template <class S, template <class> class Loss>
FASTLOSS_KERNEL(kTileThreads, (sizeof(S) == 8 ? 2 : 3))
similarity_columns(const TileLaunch l, const Loss<typename Compute<S>::type> f) {
  using T = typename Compute<S>::type;
  const TileView<S, Loss> view(l, f);
  const int64_t across = (l.args.columns + kTileThreads - 1) / kTileThreads, chunk = block() / across;
  const int64_t j = block() % across * kTileThreads + thread();
  if (j >= l.args.columns) return;
  const int64_t begin = chunk * kColumnRows, left = l.args.rows - begin;
  const int rows = left < kColumnRows ? (int)left : kColumnRows;
  const Side<T> column = view.column_side(j);
  Part<T, Loss<T>::exponential> part;
  for (int first = 0; first < rows; first += kColumnBatch) {
    const int64_t i = begin + first;
    T z[kColumnBatch];
    FASTLOSS_UNROLL
    for (int k = 0; k < kColumnBatch; ++k) {
      S in{};
      if (first + k < rows) in = view.row(i + k)[j];
      z[k] = widen(in);
    }
    Sides<T, kColumnBatch> row;
    view.row_sides(i, row);
    FASTLOSS_UNROLL
    for (int k = 0; k < kColumnBatch; ++k) z[k] = view.score_of(z[k], row.term[k], column.term);
    part.add(f, z, view.down(i, j, row, column));
  }
  const int64_t columns = l.args.columns;
  store_part((T*)l.column_parts + chunk * kPartPlanes * columns + j, columns, part.wide());
}

// df/dz of a pair as one of its anchors sees it.
template <bool exponential, class T>
FASTLOSS_DEVICE T derivative(const PairScore<T>& p, bool positive, const T (&c)[kCoefficients]) {
  if (!exponential) return p.slope * (positive ? c[kWeightPositive] : c[kWeightNegative]);
  const T e = exp_negative(p.value - (positive ? c[kMaxPositive] : c[kMaxNegative]));
  return p.slope * (positive ? c[kWeightPositive] * e + c[kShift] : c[kWeightNegative] * e);
}

template <class S, template <class> class Loss, int V>
FASTLOSS_KERNEL(kTileThreads, (sizeof(S) == 8 ? 1 : 2))
similarity_gradient(const TileLaunch l, const Loss<typename Compute<S>::type> f) {
  using T = typename Compute<S>::type;
  constexpr bool exponential = Loss<T>::exponential;
  constexpr int N = V == 1 ? 1 : 16 / (int)sizeof(T);  // columns whose coefficients a thread has at a time
  constexpr int kFirst = exponential ? 0 : kWeightPositive, kLast = exponential ? kCoefficients : kShift;
  const TileView<S, Loss> view(l, f);
  const Place at(l);
  const AnchorView &row_anchors = l.args.row_anchors, &column_anchors = l.args.column_anchors;
  Side<T> row[kTileRows];
  T own[kTileRows][kCoefficients], with_similarity[kTileRows] = {}, alone[kTileRows] = {};
  FASTLOSS_UNROLL
  for (int r = 0; r < kTileRows; ++r) {
    if (r >= at.rows) continue;
    row[r] = view.row_side(at.row + r);
    FASTLOSS_UNROLL
    for (int c = kFirst; c < kLast; ++c) {
      own[r][c] = row_anchors.data ? ((const T*)row_anchors.data)[c * row_anchors.plane + at.row + r] : (T)0;
    }
  }
  for (int64_t j = at.begin + at.rank * V; j < at.end; j += at.threads * V) {
    S in[kTileRows][V];
    load_rows<V>(view, at, j, in);
    FASTLOSS_UNROLL
    for (int v = 0; v < V; v += N) {
      Sides<T, N> column;
      view.template column_sides<(V > 1)>(j + v, column);
      T other[kCoefficients][N];
      if (column_anchors.data) {
        FASTLOSS_UNROLL
        for (int c = kFirst; c < kLast; ++c) {
          load_values<(V > 1)>((const T*)column_anchors.data + c * column_anchors.plane + j + v, view.a.columns - j - v,
                               other[c]);
        }
      }
      FASTLOSS_UNROLL
      for (int r = 0; r < kTileRows; ++r) {
        if (r >= at.rows) continue;
        const Relation relation = view.template along<(V > 1)>(at.row + r, j + v, row[r], column);
        T d[N] = {};
        const auto derive = [&](auto positive) {  // of the k-th pair
          PairScore<T> p[N];
          FASTLOSS_UNROLL
          for (int k = 0; k < N; ++k) {
            const T z = view.score_of(widen(in[r][v + k]), row[r].term, column.term[k]);
            p[k] = positive(k) ? f.positive(z) : f.negative(z);
          }
          if (row_anchors.data) {
            FASTLOSS_UNROLL
            for (int k = 0; k < N; ++k) d[k] = derivative<exponential>(p[k], positive(k), own[r]);
          }
          if (column_anchors.data) {
            FASTLOSS_UNROLL
            for (int k = 0; k < N; ++k) {
              T c[kCoefficients];
              FASTLOSS_UNROLL
              for (int q = kFirst; q < kLast; ++q) c[q] = other[q][k];
              d[k] += derivative<exponential>(p[k], positive(k), c);
            }
          }
        };
        if (relation.kept == kAll<N> && relation.positive == 0) {
          derive([](int) { return false; });
          FASTLOSS_UNROLL
          for (int k = 0; k < N; ++k) with_similarity[r] += d[k] * widen(in[r][v + k]);
        } else {
          derive([&](int k) { return (bool)(relation.positive >> k & 1); });
          FASTLOSS_UNROLL
          for (int k = 0; k < N; ++k) {
            if (relation.kept >> k & 1) {
              with_similarity[r] += d[k] * widen(in[r][v + k]);
            } else {
              d[k] = 0;
            }
          }
        }
        FASTLOSS_UNROLL
        for (int k = 0; k < N; ++k) {
          alone[r] += d[k];
          in[r][v + k] = narrow<S>(d[k] * view.scale);
        }
      }
    }
    FASTLOSS_UNROLL
    for (int r = 0; r < kTileRows; ++r) {
      if (r >= at.rows) continue;
      S* const to = view.row(at.row + r) + j;
      if (V > 1 && j + V <= view.a.columns) {
        Pack<S, V> pack;
        FASTLOSS_UNROLL
        for (int v = 0; v < V; ++v) pack.v[v] = in[r][v];
        store_pack<V>(to, pack);
        continue;
      }
      FASTLOSS_UNROLL
      for (int v = 0; v < V; ++v) {
        if (j + v < view.a.columns) store_one(to + v, in[r][v]);
      }
    }
  }
  double* const warps = (double*)shared_memory();  // [warps of the block][kTileRows][2]
  FASTLOSS_UNROLL
  for (int r = 0; r < kTileRows; ++r) {
    double sums[2] = {(double)with_similarity[r], (double)alone[r]};
    FASTLOSS_UNROLL
    for (int lanes = 16; lanes > 0; lanes /= 2) {
      FASTLOSS_UNROLL
      for (int k = 0; k < 2; ++k) sums[k] += shuffle_xor(sums[k], lanes);
    }
    if (thread() % 32 != 0) continue;
    FASTLOSS_UNROLL
    for (int k = 0; k < 2; ++k) warps[(thread() / 32 * kTileRows + r) * 2 + k] = sums[k];
  }
  block_barrier();
  if (at.rank >= 2 * at.rows) return;
  const int r = at.rank / 2, k = at.rank % 2;
  double sum = 0;
  for (int w = 0; w < l.warps; ++w) sum += warps[((thread() / 32 + w) * kTileRows + r) * 2 + k];
  double* const to = l.parts ? l.parts + at.stripe * l.args.rows * 2 : l.args.derivative_sums;
  store_one(to + 2 * (at.row + r) + k, sum);
}

// Parts of an anchor, in their order. Rows first, then columns.
template <class T>
FASTLOSS_KERNEL(kTileThreads, 4)
join_parts(const TileLaunch l, const bool exponential) {
  int64_t i = block() * kTileThreads + thread(), n = l.args.rows, parts = l.stripes;
  const T* from = (const T*)l.row_parts;
  AnchorSums* to = l.args.row_sums;
  if (i >= n) {
    i -= n, n = l.args.columns, parts = l.chunks;
    from = (const T*)l.column_parts;
    to = l.args.column_sums;
    if (!from || i >= n) return;
  }
  AnchorSums sums = to[i];
  for (int64_t part = 0; part < parts; ++part) {
    const T* const p = from + part * kPartPlanes * n + i;
    AnchorSums more{};
    FASTLOSS_UNROLL
    for (int k = 0; k < kPairKinds; ++k) {
      more.max[k] = (double)p[(kPartMax + k) * n];
      more.sum[k] = (double)p[(kPartSum + k) * n];
      more.count[k] = (double)p[(kPartCount + k) * n];
    }
    more.total = (double)p[kPartTotal * n];
    join(sums, more, exponential);
  }
  to[i] = sums;
}

// --------------------------------------------------------------------------------------------------------- dispatch

template <class S, template <class> class Loss>
int run_statistics_of(const TileLaunch& l, Stream stream) {
  using T = typename Compute<S>::type;
  const Loss<T> f(l.args.params);
  const auto kernel = l.vectors ? &similarity_rows<S, Loss, 16 / (int)sizeof(S)> : &similarity_rows<S, Loss, 1>;
  constexpr int kShared = kTileWarps * kTileRows * (int)sizeof(AnchorSums);
  int error = launch(kernel, Grid{l.row_blocks * l.stripes, kTileThreads, kShared, 1}, stream, l, f);
  if (error) return error;
  if constexpr (Loss<T>::columns) {
    const int64_t across = (l.args.columns + kTileThreads - 1) / kTileThreads;
    if (l.column_parts) {
      error = launch(&similarity_columns<S, Loss>, Grid{across * l.chunks, kTileThreads, 0, 1}, stream, l, f);
    }
    if (error) return error;
  }
  const int64_t anchors = l.args.rows + (l.column_parts ? l.args.columns : 0);
  return launch(&join_parts<T>, Grid{(anchors + kTileThreads - 1) / kTileThreads, kTileThreads, 0, 1}, stream, l,
                Loss<T>::exponential);
}

template <class S, template <class> class Loss>
int run_derivatives_of(const TileLaunch& l, Stream stream) {
  const Loss<typename Compute<S>::type> f(l.args.params);
  const auto kernel = l.vectors ? &similarity_gradient<S, Loss, 16 / (int)sizeof(S)> : &similarity_gradient<S, Loss, 1>;
  constexpr int kShared = kTileWarps * kTileRows * 2 * (int)sizeof(double);
  return launch(kernel, Grid{l.row_blocks * l.stripes, kTileThreads, kShared, 1}, stream, l, f);
}

template <class S>
int run_each_statistics(int loss, const TileLaunch& l, void* stream) {
  switch (loss) {
#define FASTLOSS_RUN(name, Functor, params) \
  case k_##name:                            \
    return run_statistics_of<S, Functor>(l, (Stream)stream);
    FASTLOSS_SIMILARITY_LOSSES(FASTLOSS_RUN)
#undef FASTLOSS_RUN
  }
  return 1;
}

template <class S>
int run_each_derivatives(int loss, const TileLaunch& l, void* stream) {
  switch (loss) {
#define FASTLOSS_RUN(name, Functor, params) \
  case k_##name:                            \
    return run_derivatives_of<S, Functor>(l, (Stream)stream);
    FASTLOSS_SIMILARITY_LOSSES(FASTLOSS_RUN)
#undef FASTLOSS_RUN
  }
  return 1;
}

}  // namespace
}  // namespace fastloss::cuda
