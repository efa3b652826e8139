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
  int64_t label[N];
  T term[N];
};

template <class T>
struct Pair {
  bool kept, positive;
  T similarity, score, slope;
};

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
  template <bool vectors, int N>
  FASTLOSS_DEVICE void column_sides(int64_t j, Sides<T, N>& to) const {
    const LabelView& label = a.relation.column_label;
    const int64_t n = a.columns - j;
    if (label.whole) {
      load_values<vectors>(label.whole + j, n, to.label);
    } else {
      FASTLOSS_UNROLL
      for (int v = 0; v < N; ++v) to.label[v] = a.relation.column_offset + j + v;
    }
    if (a.row_terms) {
      load_values<vectors>((const T*)a.column_terms + j, n, to.term);
    } else {
      FASTLOSS_UNROLL
      for (int v = 0; v < N; ++v) to.term[v] = 0;
    }
  }

  // Flags of N pairs from column j on, as bits: which are kept, and which are positive if that has flags.
  template <bool vectors, int N>
  FASTLOSS_DEVICE void flags(int64_t i, int64_t j, unsigned& kept, unsigned& positive) const {
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
    kept = (1u << N) - 1;
    if (n < N) kept = n > 0 ? (1u << n) - 1 : 0;
    if (r.mask) kept &= read(r.mask + i * r.mask_stride + j);
    if (r.skip_self) {
      const int64_t self = r.row_offset + i - r.column_offset - j;
      if (self >= 0 && self < N) kept &= ~(1u << self);
    }
    positive = r.positives ? read(r.positives + i * r.positives_stride + j) : 0;
  }

  FASTLOSS_DEVICE Pair<T> pair(S stored, bool kept, bool flag, const Side<T>& row, int64_t column_label,
                               T column_term) const {
    Pair<T> p;
    p.kept = kept;
    p.positive = a.relation.positives ? flag : row.label == column_label;
    p.similarity = widen(stored);
    T z = scale * p.similarity + bias;
    if (a.row_terms) z += row.term + column_term;
    const PairScore<T> near = f.positive(z), far = f.negative(z);
    p.score = p.positive ? near.value : far.value;
    p.slope = p.positive ? near.slope : far.slope;
    return p;
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

  template <int N>
  FASTLOSS_DEVICE void add(const Pair<T> (&pairs)[N]) {
    if constexpr (exponential) {
      T top[kPairKinds] = {max[kPositive], max[kNegative]};
      FASTLOSS_UNROLL
      for (int v = 0; v < N; ++v) {
        const T score = pairs[v].kept ? pairs[v].score : lowest<T>();
        if (pairs[v].positive) {
          top[kPositive] = maximum(top[kPositive], score);
        } else {
          top[kNegative] = maximum(top[kNegative], score);
        }
      }
      FASTLOSS_UNROLL
      for (int k = 0; k < kPairKinds; ++k) move(k, top[k]);
    }
    FASTLOSS_UNROLL
    for (int v = 0; v < N; ++v) {
      const Pair<T>& p = pairs[v];
      const T value = exponential ? exp_negative(p.score - (p.positive ? max[kPositive] : max[kNegative])) : p.score;
      const bool counts = p.kept && (exponential || value != 0);
      FASTLOSS_UNROLL
      for (int k = 0; k < kPairKinds; ++k) {
        const bool own = p.positive == (k == kPositive);
        sum[k] += p.kept && own ? value : (T)0;
        count[k] += counts && own;
      }
      if (exponential) total += p.kept && p.positive ? p.score : (T)0;
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
      unsigned kept, positive;
      view.template flags<(V > 1), V>(at.row + r, j, kept, positive);
      Pair<T> pairs[V];
      FASTLOSS_UNROLL
      for (int v = 0; v < V; ++v) {
        pairs[v] = view.pair(in[r][v], kept >> v & 1, positive >> v & 1, row[r], column.label[v], column.term[v]);
      }
      part[r].add(pairs);
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
FASTLOSS_KERNEL(kTileThreads, 4)
similarity_columns(const TileLaunch l, const Loss<typename Compute<S>::type> f) {
  using T = typename Compute<S>::type;
  const TileView<S, Loss> view(l, f);
  const int64_t across = (l.args.columns + kTileThreads - 1) / kTileThreads, chunk = block() / across;
  const int64_t j = block() % across * kTileThreads + thread();
  if (j >= l.args.columns) return;
  const int64_t begin = chunk * kColumnRows, left = l.args.rows - begin;
  const int rows = left < kColumnRows ? (int)left : kColumnRows;
  Sides<T, 1> column;
  view.template column_sides<false>(j, column);
  Part<T, Loss<T>::exponential> part;
  for (int first = 0; first < rows; first += kColumnBatch) {
    S in[kColumnBatch];
    FASTLOSS_UNROLL
    for (int k = 0; k < kColumnBatch; ++k) {
      in[k] = S{};
      if (first + k < rows) in[k] = view.row(begin + first + k)[j];
    }
    Pair<T> pairs[kColumnBatch];
    FASTLOSS_UNROLL
    for (int k = 0; k < kColumnBatch; ++k) {
      const int64_t i = begin + first + k;
      pairs[k] = {};
      if (first + k >= rows) continue;
      unsigned kept, positive;
      view.template flags<false, 1>(i, j, kept, positive);
      pairs[k] = view.pair(in[k], kept, positive, view.row_side(i), column.label[0], column.term[0]);
    }
    part.add(pairs);
  }
  const int64_t columns = l.args.columns;
  store_part((T*)l.column_parts + chunk * kPartPlanes * columns + j, columns, part.wide());
}

// df/dz of a pair as one of its anchors sees it.
template <bool exponential, class T>
FASTLOSS_DEVICE T derivative(const Pair<T>& p, const T (&c)[kCoefficients]) {
  if (!exponential) return p.slope * (p.positive ? c[kWeightPositive] : c[kWeightNegative]);
  const T e = exp_negative(p.score - (p.positive ? c[kMaxPositive] : c[kMaxNegative]));
  return p.slope * (p.positive ? c[kWeightPositive] * e + c[kShift] : c[kWeightNegative] * e);
}

template <class S, template <class> class Loss, int V>
FASTLOSS_KERNEL(kTileThreads, 2)
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
        unsigned kept, positive;
        view.template flags<(V > 1), N>(at.row + r, j + v, kept, positive);
        FASTLOSS_UNROLL
        for (int k = 0; k < N; ++k) {
          const Pair<T> p =
              view.pair(in[r][v + k], kept >> k & 1, positive >> k & 1, row[r], column.label[k], column.term[k]);
          T d = 0;
          if (row_anchors.data) d = derivative<exponential>(p, own[r]);
          if (column_anchors.data) {
            T c[kCoefficients];
            FASTLOSS_UNROLL
            for (int q = kFirst; q < kLast; ++q) c[q] = other[q][k];
            d += derivative<exponential>(p, c);
          }
          d = p.kept ? d : (T)0;
          with_similarity[r] += p.kept ? d * p.similarity : (T)0;
          alone[r] += d;
          in[r][v + k] = narrow<S>(d * view.scale);
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
