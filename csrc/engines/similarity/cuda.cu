// The similarity engine on CUDA: Note [Similarity] in contract.h. A tile of similarities, fresh from the matrix
// product, becomes sums of its rows and of its columns, or derivatives in place. See csrc/README.md, "CUDA", for traffic.
//
// Note [Tiles]
// Rows: the threads of one to eight warps take kTileRows rows together, kThreadColumns columns of each at most, 16 bytes of
// each row at a time; what a thread loads of its columns serves all of its rows. Longer rows are cut into stripes, a block's
// work each. Columns: a thread has one, or two of half precision, neighbouring threads neighbouring ones, and kColumnRows rows
// of them. Tiles off 16 bytes go element by element.
//
// Nearly all pairs of a batch are kept negatives. Vectors of nothing else go a way of their own, in registers; all others, and
// what is left at the ends, pair by pair from memory (`pair`), so that the fast way holds nothing of what only they need.
// Whether a vector is one of the former is asked cautiously: labels are equal where their low halves are.
//
// Lines. Where the score of a negative is affine in z, and so in the similarity, its exponential in half precision is one
// multiplication with addition and one instruction for 2^x. It is off by the digits that float loses at the score's size, as
// the similarity itself is by those that half precision loses there, some thousand times as many.
//
// A score is rounded before the maximum is subtracted: Note [One number for a pair] in engines/similarity/operators.cpp.
//
// Sums. A tile is read once. A thread finds the maximum of some scores (a row's 16 bytes, kColumnBatch of a column), brings its
// sums to it, and adds. It adds at most 64 numbers of a row or column, the lanes of a warp are a tree, and so are the warps, all
// of it in the computing type. Sums of derivatives cancel: their lanes are a tree in double, but of half precision in float
// (double takes most GPUs as long as all else), their warps are added in order in double. Stripes and chunks are added in
// their order in double, and so are tiles, in the order of the calls. The cut follows from the shape alone.

#include <type_traits>

#include "core/compute.h"
#include "device/block.h"
#include "engines/similarity/cuda.h"
#include "losses/functors.h"

namespace fastloss::cuda {
namespace {

constexpr float kLog2E = 1.4426950408889634f;

// Whether kept negatives go by their line.
template <class S, template <class> class Loss>
constexpr bool kHasLine = sizeof(S) == 2 && Loss<float>::exponential && Loss<float>::affine;

// Where maxima start: finite, and so is its product with log2 e.
template <class T>
constexpr T kLowest = lowest<T>() / 2;

// N values at `p`, 16 bytes at a time.
template <int N, class T>
FASTLOSS_DEVICE void load_values(const T* p, T (&to)[N]) {
  constexpr int kPack = N * sizeof(T) < 16 ? N : 16 / (int)sizeof(T);
  FASTLOSS_UNROLL
  for (int k = 0; k < N; k += kPack) {
    const Pack<T, kPack> pack = load_pack<kPack>(p + k);
    FASTLOSS_UNROLL
    for (int v = 0; v < kPack; ++v) to[k + v] = pack.v[v];
  }
}

// What one of the two anchors of a pair is to the kernels that go along it: the other side's places, counted from where
// the thread's block begins, that are left out and that are positive (far from all if there is no such place), and its label.
struct Special {
  int left_out, positive, low;

  // Whether it is one of `n` places from `first` on.
  FASTLOSS_DEVICE bool among(int first, int n) const {
    return (unsigned)(left_out - first) < (unsigned)n || (unsigned)(positive - first) < (unsigned)n;
  }
};

template <class T>
struct Pair {
  bool kept, positive;
  T similarity, z;
};

template <class S, template <class> class Loss>
struct TileView {
  using T = typename Compute<S>::type;
  const TileArgs& a;
  const Loss<T>& f;
  T scale, bias;
  bool only_places;          // pairs are something else than kept negatives by their places alone
  bool is_line;              // whether there is one here, and it does not fall
  T factor, summand, slope;  // score times log2 e = factor similarity + summand; slope: over z

  FASTLOSS_DEVICE TileView(const TileLaunch& l, const Loss<T>& functor) : a(l.args), f(functor) {
    scale = (T)(l.scale.data ? a.scale * read_scalar(l.scale.data, l.scale.dtype) : a.scale);
    bias = (T)(l.bias.data ? a.bias + read_scalar(l.bias.data, l.bias.dtype) : a.bias);
    const PairRelation& r = a.relation;
    only_places = forget_origin(!r.row_label.whole && !r.column_label.whole && !r.mask && !r.positives);
    if constexpr (kHasLine<S, Loss>) {
      const PairScore<T> at_zero = f.negative(bias);
      slope = at_zero.slope;
      factor = slope * scale * kLog2E;
      summand = at_zero.value * kLog2E;
      is_line = !a.row_terms && factor >= 0;  // else the largest similarity need not have the largest score
    }
  }

  // What an exponential relative to this maximum starts from: of a line its summand, else the maximum itself.
  FASTLOSS_DEVICE T base(T max) const {
    if constexpr (kHasLine<S, Loss>) return summand - max * kLog2E;
    return max;
  }

  FASTLOSS_DEVICE S* row(int64_t i) const { return (S*)a.tile + i * a.tile_stride; }

  // z of pairs with these similarities: (i, j), and those right of it, or below.
  template <bool below, int N>
  FASTLOSS_DEVICE void scores(int64_t i, int64_t j, const T (&similarity)[N], T (&z)[N]) const {
    FASTLOSS_UNROLL
    for (int v = 0; v < N; ++v) z[v] = scale * similarity[v] + bias;
    if (!a.row_terms) return;
    const T *const of_row = (const T*)a.row_terms + i, *const of_column = (const T*)a.column_terms + j;
    FASTLOSS_UNROLL
    for (int v = 0; v < N; ++v) z[v] += of_row[below ? v : 0] + of_column[below ? 0 : v];
  }

  // Pair (i, j), from memory.
  FASTLOSS_DEVICE Pair<T> pair(int64_t i, int64_t j) const {
    const PairRelation& r = a.relation;
    const int64_t of_row = r.row_offset + i, of_column = r.column_offset + j;
    Pair<T> p;
    p.kept = !(r.skip_self && of_row == of_column) && (!r.mask || r.mask[i * r.mask_stride + j]);
    p.positive = r.positives ? r.positives[i * r.positives_stride + j]
                             : (r.row_label.whole ? r.row_label.whole[i] : of_row) ==
                                   (r.column_label.whole ? r.column_label.whole[j] : of_column);
    p.similarity = widen(row(i)[j]);
    const T similarity[1] = {p.similarity};
    T z[1];
    scores<false>(i, j, similarity, z);
    p.z = z[0];
    return p;
  }

  // Of row i along columns from `begin` on; of column j down the rows.
  FASTLOSS_DEVICE Special along(int64_t i, int64_t begin) const {
    const PairRelation& r = a.relation;
    return special(r.row_offset + i, r.row_label, i, r.column_label, r.column_offset + begin);
  }
  FASTLOSS_DEVICE Special down(int64_t j, int64_t begin) const {
    const PairRelation& r = a.relation;
    return special(r.column_offset + j, r.column_label, j, r.row_label, r.row_offset + begin);
  }

  // The last place where a vector may be taken as one: `last`, or none.
  FASTLOSS_DEVICE int vectors_until(int last) const {
    if constexpr (kHasLine<S, Loss>) return forget_origin(is_line ? last : -1);
    return last;
  }

  // Whether row i has nothing but kept negatives among V columns: the stripe begins at `begin`, they at `begin + j`.
  template <int V>
  FASTLOSS_DEVICE bool only_negatives(const Special& row, int64_t i, int64_t begin, int j) const {
    if (row.among(j, V)) return false;
    if (only_places) return true;
    const PairRelation& r = a.relation;
    const int64_t column = begin + j;
    bool others = false;
    if (r.column_label.whole) {
      FASTLOSS_UNROLL
      for (int v = 0; v < V; v += 2) {
        const Pack<int64_t, 2> labels = load_pack<2>(r.column_label.whole + column + v);
        others |= (int)labels.v[0] == row.low || (int)labels.v[1] == row.low;
      }
    }
    const auto flags = [&](const Flag* p) {
      const Pack<Flag, V> pack = load_pack<V>(p);
      uint64_t bytes = 0;
      memcpy(&bytes, &pack, sizeof(pack));
      return bytes;
    };
    constexpr uint64_t kAll = 0x0101010101010101 >> (64 - 8 * V);
    if (r.mask) others |= flags(r.mask + i * r.mask_stride + column) != kAll;
    if (r.positives) others |= flags(r.positives + i * r.positives_stride + column) != 0;
    return !others;
  }
  // Whether column j has nothing but those among N rows.
  template <int N>
  FASTLOSS_DEVICE bool only_negatives_down(const Special& column, int64_t j, int64_t begin, int first) const {
    if (column.among(first, N)) return false;
    if (only_places) return true;
    const PairRelation& r = a.relation;
    const int64_t i = begin + first;
    bool others = false;
    FASTLOSS_UNROLL_BY(2)
    for (int k = 0; k < N; ++k) {
      if (r.row_label.whole) others |= (int)r.row_label.whole[i + k] == column.low;
      if (r.mask) others |= !r.mask[(i + k) * r.mask_stride + j];
      if (r.positives) others |= r.positives[(i + k) * r.positives_stride + j];
    }
    return !others;
  }

 private:
  // Of an anchor of this index whose pairs' other sides have those labels, or indices from `first` on.
  FASTLOSS_DEVICE Special special(int64_t index, const LabelView& own, int64_t at, const LabelView& others,
                                  int64_t first) const {
    const auto place = [first](int64_t other) {
      const int64_t distance = other - first;
      return distance >= 0 && distance < kFarPlace ? (int)distance : -kFarPlace;
    };
    const int64_t label = own.whole ? own.whole[at] : index;
    const bool by_place = !others.whole && !a.relation.positives;
    return {a.relation.skip_self ? place(index) : -kFarPlace, by_place ? place(label) : -kFarPlace, (int)label};
  }
  static constexpr int kFarPlace = 1 << 20;  // no block has so many
};

// What some pairs of an anchor add up to.
template <class S, template <class> class Loss>
struct Part {
  using T = typename Compute<S>::type;
  static constexpr bool exponential = Loss<T>::exponential;
  T max[kPairKinds] = {kLowest<T>, kLowest<T>}, sum[kPairKinds] = {0, 0}, total = 0;
  int count[kPairKinds] = {0, 0};

  // The same sums, relative to other maxima.
  FASTLOSS_DEVICE void move(int k, T to) {
    if (sizeof(S) > 2 && to == max[k]) return;
    sum[k] *= exp_of<S>(max[k] - to);
    max[k] = to;
  }

  // Kept negatives of these similarities, of which `top` is the largest, by their line.
  template <int N>
  FASTLOSS_DEVICE void add_line(const TileView<S, Loss>& view, const T (&similarity)[N], T top) {
    move(kNegative, maximum(max[kNegative], view.f.negative(view.scale * top + view.bias).value));
    const T base = view.base(max[kNegative]);
    FASTLOSS_UNROLL
    for (int v = 0; v < N; ++v) sum[kNegative] += exp2_of(fmaf(view.factor, similarity[v], base));
    count[kNegative] += N;
  }
  template <int N>
  FASTLOSS_DEVICE void add_negatives(const Loss<T>& f, const T (&z)[N]) {
    T score[N], top = max[kNegative];
    FASTLOSS_UNROLL
    for (int v = 0; v < N; ++v) {
      score[v] = f.negative(z[v]).value;
      if (exponential) top = maximum(top, score[v]);
    }
    if (exponential) move(kNegative, top), count[kNegative] += N;
    FASTLOSS_UNROLL
    for (int v = 0; v < N; ++v) {
      sum[kNegative] += exponential ? exp_of<S>(minus(score[v], top)) : score[v];
      if (!exponential) count[kNegative] += score[v] != 0;
    }
  }
  template <int N>
  FASTLOSS_DEVICE void add_any(const Loss<T>& f, const Pair<T> (&p)[N]) {
    T score[N], top[kPairKinds] = {max[kPositive], max[kNegative]};
    FASTLOSS_UNROLL
    for (int v = 0; v < N; ++v) {
      score[v] = p[v].positive ? f.positive(p[v].z).value : f.negative(p[v].z).value;
      FASTLOSS_UNROLL
      for (int k = 0; exponential && k < kPairKinds; ++k) {
        if (p[v].kept && p[v].positive == (k == kPositive)) top[k] = maximum(top[k], score[v]);
      }
    }
    FASTLOSS_UNROLL
    for (int k = 0; exponential && k < kPairKinds; ++k) move(k, top[k]);
    FASTLOSS_UNROLL
    for (int v = 0; v < N; ++v) {
      const T value =
          exponential ? exp_of<S>(minus(score[v], p[v].positive ? max[kPositive] : max[kNegative])) : score[v];
      FASTLOSS_UNROLL
      for (int k = 0; k < kPairKinds; ++k) {
        const bool own = p[v].kept && p[v].positive == (k == kPositive);
        sum[k] += own ? value : (T)0;
        count[k] += own && (exponential || value != 0);
      }
      if (exponential) total += p[v].kept && p[v].positive ? score[v] : (T)0;
    }
  }

  // Over lanes that differ in `last` to `first` of their number's bits.
  template <int first, int last>
  FASTLOSS_DEVICE void gather() {
    gather_kind<first, last>(kNegative);
    if (!any_lane(count[kPositive] != 0)) return;
    gather_kind<first, last>(kPositive);
    FASTLOSS_UNROLL
    for (int lanes = first; exponential && lanes >= last; lanes /= 2) total += shuffle_xor(total, lanes);
  }

  // Writes it: `plane` elements between its numbers.
  FASTLOSS_DEVICE void store(T* to, int64_t plane) const {
    FASTLOSS_UNROLL
    for (int k = 0; k < kPairKinds; ++k) {
      store_one(to + (kPartMax + k) * plane, exponential ? max[k] : (T)0);
      store_one(to + (kPartSum + k) * plane, sum[k]);
      store_one(to + (kPartCount + k) * plane, (T)count[k]);
    }
    store_one(to + kPartTotal * plane, total);
  }

 private:
  template <int first, int last>
  FASTLOSS_DEVICE void gather_kind(int k) {
    if (exponential) {
      T top = max[k];
      FASTLOSS_UNROLL
      for (int lanes = first; lanes >= last; lanes /= 2) top = maximum(top, shuffle_xor(top, lanes));
      move(k, top);
    }
    FASTLOSS_UNROLL
    for (int lanes = first; lanes >= last; lanes /= 2) {
      sum[k] += shuffle_xor(sum[k], lanes);
      count[k] += shuffle_xor(count[k], lanes);
    }
  }
};

// Which rows and columns a thread of a kernel that takes rows has.
struct Place {
  int64_t row, begin;  // first row; first column of the stripe
  int stripe, width;   // and its columns
  int rows;            // how many rows there are
  int threads, rank;   // that share the rows; of this one among them

  FASTLOSS_DEVICE explicit Place(const TileLaunch& l) {
    const unsigned across = (unsigned)l.row_blocks, number = (unsigned)block();
    stripe = (int)(number / across);
    threads = 32 << l.log_warps;
    rank = thread() & (threads - 1);
    const int groups = kTileWarps >> l.log_warps;
    row = ((int64_t)(number % across) * groups + (thread() >> (5 + l.log_warps))) * kTileRows;
    const int64_t left = l.args.rows - row;
    rows = left < kTileRows ? left < 0 ? 0 : (int)left : kTileRows;
    begin = (int64_t)stripe * (threads * kThreadColumns);
    const int64_t columns = l.args.columns - begin;
    width = rows == 0 ? 0 : columns < threads * kThreadColumns ? (int)columns : threads * kThreadColumns;
    row = forget_origin(row), rows = forget_origin(rows), begin = forget_origin(begin), width = forget_origin(width);
  }

  // Behind the last row there is the last one once more, which nobody writes.
  FASTLOSS_DEVICE int64_t row_at(int r) const { return row + (r < rows ? r : rows - 1); }
};

// The way that takes any pairs, of V of which `n` exist: `take` gets N at a time, which `pair` reads.
template <int N, int V, class Read, class Take>
FASTLOSS_DEVICE void each(int n, const Read& pair, const Take& take) {
  FASTLOSS_UNROLL_BY(1)
  for (int first = 0; first < V && first < n; first += N) {
    decltype(pair(0)) p[N];
    FASTLOSS_UNROLL
    for (int v = 0; v < N; ++v) {
      p[v] = {};
      if (first + v < n) p[v] = pair(first + v);
    }
    take(p, first);
  }
}
template <int V>
constexpr int kPairsAtOnce = V < 2 ? V : 2;

template <class S, template <class> class Loss, int V>
FASTLOSS_KERNEL(kTileThreads, (sizeof(S) == 8 ? 2 : 3))
similarity_rows(const TileLaunch l, const Loss<typename Compute<S>::type> f) {
  using T = typename Compute<S>::type;
  const TileView<S, Loss> view(l, f);
  const Place at(l);
  const S* from[kTileRows];
  Special special[kTileRows];
  Part<S, Loss> part[kTileRows];
  FASTLOSS_UNROLL
  for (int r = 0; r < kTileRows && at.width > 0; ++r) {
    from[r] = view.row(at.row_at(r)) + at.begin;
    special[r] = view.along(at.row_at(r), at.begin);
  }
  const int whole = view.vectors_until(at.width - V);
  FASTLOSS_UNROLL_BY(1)
  for (int j = at.rank * V; j < at.width; j += at.threads * V) {
    [[maybe_unused]] Pack<S, V> in[kTileRows][1];
    if constexpr (V > 1) {
      FASTLOSS_UNROLL
      for (int r = 0; r < kTileRows && j <= whole; ++r) in[r][0] = load_pack<V>(from[r] + j);
    }
    FASTLOSS_UNROLL
    for (int r = 0; r < kTileRows; ++r) {
      const int64_t i = at.row_at(r), column = at.begin + j;
      if constexpr (V > 1) {
        if (j <= whole && view.template only_negatives<V>(special[r], i, at.begin, j)) {
          T s[V];
          widen_pack(in[r][0], s);
          if constexpr (kHasLine<S, Loss>) {
            part[r].add_line(view, s, largest(in[r]));
          } else {
            T z[V];
            view.template scores<false>(i, column, s, z);
            part[r].add_negatives(f, z);
          }
          continue;
        }
      }
      each<kPairsAtOnce<V>, V>(
          at.width - j, [&](int v) { return view.pair(i, column + v); },
          [&](const auto& pairs, int) { part[r].add_any(f, pairs); });
    }
  }
  FASTLOSS_UNROLL
  for (int r = 0; r < kTileRows; ++r) part[r].template gather<16, 1>();
  // From here on eight lanes have a row: the parts of its warps, or nothing.
  const int lane = thread() % 32, r = lane / kTileWarps, warp = lane % kTileWarps;
  if (l.log_warps == 0) {
    if (r == 1) part[0] = part[1];
  } else {
    Part<S, Loss>* const warps = (Part<S, Loss>*)shared_memory();  // [warps of the block][kTileRows]
    FASTLOSS_UNROLL
    for (int q = 0; q < kTileRows; ++q) {
      if (lane == q) warps[thread() / 32 * kTileRows + q] = part[q];
    }
    block_barrier();
    if (at.rank >= 32) return;
    part[0] = Part<S, Loss>();
    if (r < kTileRows && warp >> l.log_warps == 0) part[0] = warps[(thread() / 32 + warp) * kTileRows + r];
    part[0].template gather<kTileWarps / 2, 1>();
  }
  if (r >= at.rows || warp > 0) return;
  part[0].store((T*)l.row_parts + at.stripe * kPartPlanes * l.args.rows + at.row + r, l.args.rows);
}
static_assert(kTileRows == 2 && kTileRows * kTileWarps <= 32);

template <class S, template <class> class Loss, int P>
FASTLOSS_KERNEL(kTileThreads, (sizeof(S) == 8 ? 2 : 3))
similarity_columns(const TileLaunch l, const Loss<typename Compute<S>::type> f) {
  using T = typename Compute<S>::type;
  const TileView<S, Loss> view(l, f);
  const int64_t columns = l.args.columns;
  const unsigned across = (unsigned)((columns + kTileThreads * P - 1) / (kTileThreads * P));
  const unsigned number = (unsigned)block();
  const int64_t chunk = number / across, j = (int64_t)(number % across) * (kTileThreads * P) + thread() * P;
  if (j >= columns) return;
  const int there = columns - j < P ? (int)(columns - j) : P;
  const int64_t begin = chunk * kColumnRows, left = l.args.rows - begin;
  const int rows = left < kColumnRows ? (int)left : kColumnRows;
  Special special[P];
  Part<S, Loss> part[P];
  FASTLOSS_UNROLL
  for (int p = 0; p < P; ++p) {
    if (p < there) special[p] = view.down(j + p, begin);
  }
  const S* from = view.row(begin) + j;
  const int whole = there < P ? -1 : view.vectors_until(rows - kColumnBatch);  // last batch of which all is there
  FASTLOSS_UNROLL_BY(1)
  for (int first = 0; first < rows; first += kColumnBatch) {
    [[maybe_unused]] Pack<S, P> in[kColumnBatch];
    if (first <= whole) {
      FASTLOSS_UNROLL
      for (int k = 0; k < kColumnBatch; ++k, from += l.args.tile_stride) in[k] = load_pack<P>(from);
    }
    FASTLOSS_UNROLL
    for (int p = 0; p < P; ++p) {
      if (first <= whole && view.template only_negatives_down<kColumnBatch>(special[p], j + p, begin, first)) {
        T s[P], own[kColumnBatch];
        FASTLOSS_UNROLL
        for (int k = 0; k < kColumnBatch; ++k) widen_pack(in[k], s), own[k] = s[p];
        if constexpr (kHasLine<S, Loss>) {
          widen_pack(largest_each(in), s);
          part[p].add_line(view, own, s[p]);
        } else {
          T z[kColumnBatch];
          view.template scores<true>(begin + first, j + p, own, z);
          part[p].add_negatives(f, z);
        }
      } else if (p < there) {
        each<kPairsAtOnce<kColumnBatch>, kColumnBatch>(
            rows - first, [&](int k) { return view.pair(begin + first + k, j + p); },
            [&](const auto& pairs, int) { part[p].add_any(f, pairs); });
      }
    }
  }
  FASTLOSS_UNROLL
  for (int p = 0; p < P; ++p) {
    if (p < there) part[p].store((T*)l.column_parts + chunk * kPartPlanes * columns + j + p, columns);
  }
}

// df/dz of a pair as one of its anchors sees it.
template <class S, bool exponential, class T>
FASTLOSS_DEVICE T derivative(const PairScore<T>& p, bool positive, const AnchorView& anchors, int64_t at) {
  if (!anchors.data) return 0;
  const auto c = [&](int which) { return ((const T*)anchors.data)[which * anchors.plane + at]; };
  const T weight = c(positive ? kWeightPositive : kWeightNegative);
  if (!exponential) return p.slope * weight;
  const T e = exp_of<S>(minus(p.value, c(positive ? kMaxPositive : kMaxNegative)));
  return p.slope * (positive ? weight * e + c(kShift) : weight * e);
}

template <class S, template <class> class Loss, int V>
FASTLOSS_KERNEL(kTileThreads, (sizeof(S) == 8 ? 1 : 2))
similarity_gradient(const TileLaunch l, const Loss<typename Compute<S>::type> f) {
  using T = typename Compute<S>::type;
  constexpr bool exponential = Loss<T>::exponential;
  const TileView<S, Loss> view(l, f);
  const Place at(l);
  const AnchorView &of_rows = l.args.row_anchors, &of_columns = l.args.column_anchors;
  S* tile[kTileRows];
  Special special[kTileRows];
  T row_base[kTileRows], row_weight[kTileRows];  // of negatives
  T with_similarity[kTileRows] = {}, alone[kTileRows] = {};
  FASTLOSS_UNROLL
  for (int r = 0; r < kTileRows && at.width > 0; ++r) {
    const int64_t i = at.row_at(r);
    tile[r] = view.row(i) + at.begin;
    special[r] = view.along(i, at.begin);
    const auto c = [&](int which) { return ((const T*)of_rows.data)[which * of_rows.plane + i]; };
    row_base[r] = view.base(of_rows.data ? c(kMaxNegative) : -kLowest<T>);  // or all exponentials 0, none infinite
    row_weight[r] = of_rows.data ? c(kWeightNegative) : (T)0;
  }
  const int whole = view.vectors_until(at.width - V);
  FASTLOSS_UNROLL_BY(1)
  for (int j = at.rank * V; j < at.width; j += at.threads * V) {
    const int64_t column = at.begin + j;
    [[maybe_unused]] Pack<S, V> in[kTileRows];
    [[maybe_unused]] T column_base[V], column_weight[V];
    if constexpr (V > 1) {
      FASTLOSS_UNROLL
      for (int r = 0; r < kTileRows && j <= whole; ++r) in[r] = load_pack<V>(tile[r] + j);
      if (j <= whole && of_columns.data) {
        const T* const c = (const T*)of_columns.data + column;
        if (exponential) load_values(c + kMaxNegative * of_columns.plane, column_base);
        load_values(c + kWeightNegative * of_columns.plane, column_weight);
        FASTLOSS_UNROLL
        for (int v = 0; v < V && exponential; ++v) column_base[v] = view.base(column_base[v]);
      }
    }
    FASTLOSS_UNROLL
    for (int r = 0; r < kTileRows; ++r) {
      const int64_t i = at.row_at(r);
      if constexpr (V > 1) {
        if (j <= whole && view.template only_negatives<V>(special[r], i, at.begin, j)) {
          T s[V], d[V] = {};
          [[maybe_unused]] T z[V];
          widen_pack(in[r], s);
          if constexpr (!kHasLine<S, Loss>) view.template scores<false>(i, column, s, z);
          const auto see = [&](const auto& base, const auto& weight) {  // as the anchors of one side do
            FASTLOSS_UNROLL
            for (int v = 0; v < V; ++v) {
              if constexpr (kHasLine<S, Loss>) {
                d[v] += weight(v) * view.slope * exp2_of(fmaf(view.factor, s[v], base(v)));
              } else {
                const PairScore<T> p = f.negative(z[v]);
                d[v] += p.slope * (exponential ? weight(v) * exp_of<S>(minus(p.value, base(v))) : weight(v));
              }
            }
          };
          see([&](int) { return row_base[r]; }, [&](int) { return row_weight[r]; });
          if (of_columns.data) see([&](int v) { return column_base[v]; }, [&](int v) { return column_weight[v]; });
          FASTLOSS_UNROLL
          for (int v = 0; v < V; ++v) {
            with_similarity[r] += d[v] * s[v];
            alone[r] += d[v];
            d[v] *= view.scale;
          }
          if (r < at.rows) store_pack<V>(tile[r] + j, narrow_pack<S>(d));
          continue;
        }
      }
      if (r >= at.rows) continue;
      const int n = at.width - j;
      each<kPairsAtOnce<V>, V>(
          n, [&](int v) { return view.pair(i, column + v); },
          [&](const auto& pairs, int first) {
            FASTLOSS_UNROLL
            for (int v = 0; v < kPairsAtOnce<V>; ++v) {
              if (first + v >= n) continue;
              const Pair<T>& p = pairs[v];
              T d = 0;
              if (p.kept) {
                const PairScore<T> score = p.positive ? f.positive(p.z) : f.negative(p.z);
                d = derivative<S, exponential>(score, p.positive, of_rows, i) +
                    derivative<S, exponential>(score, p.positive, of_columns, column + first + v);
                with_similarity[r] += d * p.similarity;
                alone[r] += d;
              }
              store_one(tile[r] + j + first + v, narrow<S>(d * view.scale));
            }
          });
    }
  }
  double* const warps = (double*)shared_memory();  // [warps of the block][kTileRows][2]
  FASTLOSS_UNROLL
  for (int r = 0; r < kTileRows; ++r) {
    using Sum = std::conditional_t<sizeof(S) == 2, float, double>;
    Sum sums[2] = {with_similarity[r], alone[r]};
    FASTLOSS_UNROLL
    for (int lanes = 16; lanes > 0; lanes /= 2) {
      FASTLOSS_UNROLL
      for (int k = 0; k < 2; ++k) sums[k] += shuffle_xor(sums[k], lanes);
    }
    if (thread() % 32 != 0) continue;
    FASTLOSS_UNROLL
    for (int k = 0; k < 2; ++k) warps[(thread() / 32 * kTileRows + r) * 2 + k] = (double)sums[k];
  }
  block_barrier();
  if (at.rank >= 2 * at.rows) return;
  const int r = at.rank / 2, k = at.rank % 2;
  double sum = 0;
  for (int w = 0; w < 1 << l.log_warps; ++w) sum += warps[((thread() / 32 + w) * kTileRows + r) * 2 + k];
  double* const to = l.parts ? l.parts + at.stripe * l.args.rows * 2 : l.args.derivative_sums;
  store_one(to + 2 * (at.row + r) + k, sum);
}

// Parts of an anchor, in their order. Rows first, then columns.
template <class T>
FASTLOSS_KERNEL(kTileThreads, 2)
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
  const auto at = [&](int64_t part, int plane) { return from[(part * kPartPlanes + plane) * n + i]; };
  AnchorSums sums{};
  FASTLOSS_UNROLL
  for (int k = 0; k < kPairKinds; ++k) {
    T top = kLowest<T>;
    FASTLOSS_UNROLL_BY(4)
    for (int64_t part = 0; exponential && part < parts; ++part) top = maximum(top, at(part, kPartMax + k));
    FASTLOSS_UNROLL_BY(2)
    for (int64_t part = 0; part < parts; ++part) {
      const T sum = at(part, kPartSum + k);
      sums.sum[k] += (double)(exponential ? sum * exp_of<T>(at(part, kPartMax + k) - top) : sum);
      sums.count[k] += (double)at(part, kPartCount + k);
    }
    sums.max[k] = (double)top;
  }
  for (int64_t part = 0; part < parts; ++part) sums.total += (double)at(part, kPartTotal);
  join(to[i], sums, exponential);
}

// --------------------------------------------------------------------------------------------------------- dispatch

template <class S, template <class> class Loss>
int run_statistics_of(const TileLaunch& l, Stream stream) {
  using T = typename Compute<S>::type;
  const Loss<T> f(l.args.params);
  const auto kernel = l.vectors ? &similarity_rows<S, Loss, 16 / (int)sizeof(S)> : &similarity_rows<S, Loss, 1>;
  constexpr int kShared = kTileWarps * kTileRows * (int)sizeof(Part<S, Loss>);
  int error = launch(kernel, Grid{l.row_blocks * l.stripes, kTileThreads, kShared, 1}, stream, l, f);
  if (error) return error;
  if constexpr (Loss<T>::columns) {
    constexpr int kMost = sizeof(S) == 2 ? 2 : 1;  // columns of a thread
    const int64_t block = kTileThreads * (l.vectors ? kMost : 1), across = (l.args.columns + block - 1) / block;
    const auto down = l.vectors ? &similarity_columns<S, Loss, kMost> : &similarity_columns<S, Loss, 1>;
    if (l.column_parts) error = launch(down, Grid{across * l.chunks, kTileThreads, 0, 1}, stream, l, f);
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

template <>
int run_statistics<DType::FASTLOSS_DTYPE>(int loss, const TileLaunch& launch, void* stream) {
  return run_each_statistics<FASTLOSS_STORED>(loss, launch, stream);
}
template <>
int run_derivatives<DType::FASTLOSS_DTYPE>(int loss, const TileLaunch& launch, void* stream) {
  return run_each_derivatives<FASTLOSS_STORED>(loss, launch, stream);
}

}  // namespace fastloss::cuda
