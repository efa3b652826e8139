#pragma once

// The rows engine on the CPU: losses over rows of logits (softmax over the classes), forward and gradient.
//
// Note [Two engines]
// by_class: one row at a time, lanes run over the classes. For rows whose classes are adjacent in memory, and for
//   any layout once the classes are many. A row is read from memory once, in chunks that stay in L1: maximum of the
//   chunk, then e = exp(z - m) into a scratch row with the sum. Sums of earlier chunks are rescaled when the
//   maximum grows. The gradient is then one multiplication per logit from the scratch row (in L2), written past
//   the caches when it is large: R + W bytes, one exp per logit.
// by_row: lanes run over rows. For classes at dim 1 (segmentation: adjacent pixels) and for few classes, where
//   a horizontal reduction per row would dominate. A tile [classes][rows] is gathered into scratch (transposed in
//   registers when the classes are adjacent) and written back the same way.
// Both fill a RowBatch, have the loss's formula turn it into losses and gradient factors, and write gradients. The formula
// comes as a pointer, called once per batch: the engine is compiled once per stored type, however many losses there are.
//
// Precision: lanes sum in the computing type within a chunk or, over rows, a row; those of exponentials keep their
// rounding errors apart (LaneSum, ShortSum). Chunks and rows add up in double.

#include "core/rows.h"
#include "cpu/kernels.h"
#include "cpu/lane_sum.h"
#include "cpu/row_batch.h"
#include "cpu/vec_math.h"

namespace fastloss::FASTLOSS_ISA {
namespace {

constexpr int64_t kChunk = 4096;  // classes; 16 KiB of float: L1 holds the logits' chunk and the scratch's
constexpr int64_t kGroup = 64;    // rows of a by_class group at most
constexpr int64_t kFewClasses = 32;
constexpr int64_t kShortRow = 1024;
constexpr int64_t kFewVectors = 16;        // of a short row, at most; with more a branch for the target pays
constexpr int64_t kAhead = 16 * 1024;      // bytes between a load and its prefetch: a chunk
constexpr int64_t kAheadShort = 8 * 1024;  // and in short rows
constexpr int64_t kPlanesAhead = 3;

template <class S>
struct Rows {
  using T = typename Compute<S>::type;
  using V = Vec<T>;
  static constexpr int W = V::size;

  const RowsArgs& a;
  const RowsFormula formula;
  const RowOptions options;
  const T* const weight;
  const bool soft;
  RowBatch<T>& batch;
  T* const tile;    // logits, then exponentials
  T* const slopes;  // d softcap(x) / d x
  T* const other;   // probability targets of a tile; a by_class row's staging chunk
  T* const chunk_max;

  FASTLOSS_FN int64_t offset_of(const RowsView& view, int64_t row) const {
    int64_t offset = 0;
    for (int d = a.dims - 1; d > 0; --d) {
      offset += row % a.size[d] * view.row_stride[d];
      row /= a.size[d];
    }
    return offset + row * view.row_stride[0];
  }
  FASTLOSS_FN int64_t task_end(int64_t task) const {
    const int64_t end = (task + 1) * a.task_rows;
    return end < a.rows ? end : a.rows;
  }

  // -------------------------------------------------------------------------------------- results of the rows

  // Adds the batch's rows to the sums and writes what is asked for per row.
  void record(int64_t first, int64_t n, RowsSums* sums) const {
    T* const row_loss = (T*)a.row_loss;
    T* const state = a.from_state ? nullptr : (T*)a.state;
    if (row_loss || state) {
      for (int64_t i = 0; i < n; ++i) {
        if (row_loss) row_loss[first + i] = batch.target_class[i] >= 0 ? (T)batch.loss[i] : (T)0;
        if (!state) continue;
        state[first + i] = (T)batch.max[i];
        state[a.rows + first + i] = (T)batch.others[i];
        if (soft) state[2 * a.rows + first + i] = (T)batch.mass[i];
      }
    }
    if (!sums) return;
    using D = Vec<double>;
    D total(0.0), count(0.0);
    for (int64_t i = 0; i < n; i += D::size) {  // by selection: the NaN of an ignored row must not spread
      const D kept = load(batch.kept + i);
      total = total + select(kept == D(1.0), load(batch.loss + i), D(0.0));
      count = count + kept;
    }
    sums->loss += reduce_add(total);
    sums->count += reduce_add(count);
    if (!a.want_stats) return;
    for (int64_t i = 0; i < n; ++i) {
      if (batch.target_class[i] < 0) continue;
      const double s = soft ? batch.others[i] : batch.others[i] + batch.exp_target[i];
      sums->entropy += batch.log_sum[i] + batch.tilt[i] / s;
      sums->lse += batch.max[i] + batch.log_sum[i];
      sums->nll += soft ? batch.plain_gap[i] + batch.plain_mass[i] * batch.log_sum[i] : batch.nll[i];
    }
  }

  FASTLOSS_FN static T load_exp(T x) { return exp(V(x)).v[0]; }

  FASTLOSS_FN void softcap(V x, V& z, V& slope) const {
    tanh_and_slope(x * V((T)(1 / a.softcap)), z, slope);
    z = z * V((T)a.softcap);
  }

  // ------------------------------------------------------------------------------------------------ by_class

  // Sums of one row, relative to its running maximum m.
  struct Running {
    T m = lowest<T>();
    bool empty = true;
    double sum = 0, gap = 0, mass = 0, tilt = 0, plain_gap = 0, plain_mass = 0;
    double skipped = 0;  // exponential of the class that `sum` leaves out, which `tilt` includes

    // Moves the reference from m to a larger one: e^{z-m} shrinks by f, m - z grows by delta.
    void raise(T larger) {
      if (empty || larger != larger) m = larger;
      empty = false;
      if (!(larger > m)) return;
      const double delta = (double)larger - m;
      const double f = load_exp((T)-delta);
      tilt = f == 0 ? 0 : f * (tilt + delta * (sum + skipped));
      skipped = f == 0 ? 0 : f * skipped;
      sum = f == 0 && sum <= (double)-lowest<T>() ? 0 : f * sum;
      if (mass != 0) gap += delta * mass;
      if (plain_mass != 0) plain_gap += delta * plain_mass;
      m = larger;
    }
  };

  // Of n adjacent values; the largest lane is the maximum.
  template <class P>
  FASTLOSS_FN static V chunk_maxima(const P* z, int64_t n) {
    V m0(lowest<T>()), m1 = m0, m2 = m0, m3 = m0;
    int64_t i = 0;
    for (; i + 4 * W <= n; i += 4 * W) {
      m0 = max(m0, load(z + i));
      m1 = max(m1, load(z + i + W));
      m2 = max(m2, load(z + i + 2 * W));
      m3 = max(m3, load(z + i + 3 * W));
    }
    for (; i + W <= n; i += W) m0 = max(m0, load(z + i));
    if (i < n) m1 = max(m1, load_partial(z + i, (int)(n - i), lowest<T>()));
    return max(max(m0, m1), max(m2, m3));
  }
#if defined(__AVX512BW__)
  // bfloat16 orders like its bits once negative ones are flipped: 32 lanes a step and no conversion. (A positive NaN
  // comes out largest, a negative one smallest; either makes the sum NaN.)
  FASTLOSS_FN static V chunk_maxima(const BFloat16* z, int64_t n) {
    const auto key = [](__m512i v) {
      const __m512i flip = _mm512_and_si512(_mm512_srai_epi16(v, 15), _mm512_set1_epi16(0x7fff));
      return _mm512_xor_si512(v, flip);
    };
    const __m512i minus_infinity = _mm512_set1_epi16((short)0xff80);
    __m512i m0 = key(minus_infinity), m1 = m0;
    int64_t i = 0;
    for (; i + 64 <= n; i += 64) {
      m0 = _mm512_max_epi16(m0, key(_mm512_loadu_si512(z + i)));
      m1 = _mm512_max_epi16(m1, key(_mm512_loadu_si512(z + i + 32)));
    }
    for (; i < n; i += 32) {
      const __mmask32 lanes = n - i < 32 ? (1u << (n - i)) - 1u : ~0u;
      m0 = _mm512_max_epi16(m0, key(_mm512_mask_loadu_epi16(minus_infinity, lanes, z + i)));
    }
    const __m512i m = key(_mm512_max_epi16(m0, m1));
    const V even = _mm512_castsi512_ps(_mm512_slli_epi32(m, 16));
    const V odd = _mm512_castsi512_ps(_mm512_and_si512(m, _mm512_set1_epi32((int)0xffff0000)));
    return max(max(even, odd), V(lowest<T>()));
  }
#endif

  using Sum = LaneSum<T>;
  // Of a short row: eight vectors are added plainly, which few roundings at the size of a large term survive, and their sum
  // with its error kept. (Keeping every error takes 15 % more time, none at all leaves the largest gradient error of 1000
  // classes at native's.)
  struct ShortSum {
    Sum whole;
    V part{(T)0};
    FASTLOSS_FN void add(V v) { whole.add(v); }
    // A vector of classes from c on.
    FASTLOSS_FN void add_short(int64_t c, V v) {
      if (c != 0 && (uint64_t)c / W % 8 == 0) end_part();
      part = part + v;
    }
    FASTLOSS_FN void end_part() {
      whole.add(part);
      part = V((T)0);
    }
    // Of `classes` terms. What is still the first part has no error to keep, and few classes no time for it: at 80, looking
    // took a fifth of the row.
    FASTLOSS_FN auto wide(int64_t classes) {
      if (classes <= 8 * W) return widen(part);
      end_part();
      return whole.wide();
    }
  };

  // `shifted`: relative to m, the maximum; otherwise to 0 (Note [Short rows]), and only `tilt` is relative to m.
  template <bool tilted, bool shifted>
  FASTLOSS_FN static V exponential(V z, V m, V& tilt) {
    const V d = z - m;
    const V e = shifted ? exp_shifted(d) : exp_logit(z);
    // e (m - z); at z = -inf this is 0 * inf, whose limit is 0.
    if (tilted) tilt = tilt + e * min(V(-lowest<T>()), -d);
    return e;
  }

  // e[i] = exp(z[i] - m), or without `shifted` exp(z[i]); returns their sum without element `skip` (negative: none).
  template <bool tilted, bool shifted, class P>
  static double chunk_exponentials(const P* z, T* e, int64_t n, T m, int64_t skip, double& tilt_sum, const char* next) {
    const V vm(m);
    ShortSum sum;
    V tilt((T)0);
    const int64_t vectors = n / W * W;
    const auto without = [&](V value, int64_t lane) { return keep_where(~is_at(lane, 0), value); };
    const int64_t hole = skip < 0 || skip >= vectors ? vectors : skip / W * W;
    const bool grouped = n > kShortRow;  // else as by_class_short adds, for the same bits
    const auto add = [&](int64_t c, V v) { grouped ? sum.add(v) : sum.add_short(c, v); };
    const auto run = [&](int64_t i, int64_t end) {
      for (; grouped && i + 4 * W <= end; i += 4 * W) {
        if (next) prefetch<4 * W>(next, i);
        const V e0 = exponential<tilted, shifted>(load(z + i), vm, tilt),
                e1 = exponential<tilted, shifted>(load(z + i + W), vm, tilt);
        const V e2 = exponential<tilted, shifted>(load(z + i + 2 * W), vm, tilt);
        const V e3 = exponential<tilted, shifted>(load(z + i + 3 * W), vm, tilt);
        store(e + i, e0), store(e + i + W, e1), store(e + i + 2 * W, e2), store(e + i + 3 * W, e3);
        sum.add((e0 + e1) + (e2 + e3));
      }
      for (; i < end; i += W) {
        const V e0 = exponential<tilted, shifted>(load(z + i), vm, tilt);
        store(e + i, e0);
        add(i, e0);
      }
    };
    run(0, hole);
    if (hole < vectors) {
      const V e0 = exponential<tilted, shifted>(load(z + hole), vm, tilt);
      store(e + hole, e0);
      add(hole, without(e0, skip - hole));
      run(hole + W, vectors);
    }
    if (vectors < n) {
      const V e0 =
          exponential<tilted, shifted>(load_partial(z + vectors, (int)(n - vectors), -(T)__builtin_inf()), vm, tilt);
      store_partial(e + vectors, (int)(n - vectors), e0);
      add(vectors, without(e0, skip - vectors));
    }
    if (tilted) tilt_sum += reduce_add(tilt);
    return reduce_add(sum.wide(n));
  }
  // Asks for logits that come after those of this iteration, so that memory and exp overlap. The hardware's own
  // prefetcher stops at page ends and does not see the next row coming. Into L2: L1 is full of exponentials, and what came
  // there early would be thrown out again.
  template <int elements>
  FASTLOSS_FN static void prefetch(const char* next, int64_t i) {
    const char* p = next + i * sizeof(S);
    for (int k = 0; k < (int)(elements * sizeof(S)); k += 64) __builtin_prefetch(p + k, 0, 2);
  }

  // sum_c w_c (m - z_c)
  template <class P>
  static double chunk_gap(const P* z, const T* w, int64_t n, T m, double& mass) {
    V gap((T)0), total((T)0);
    for (int64_t i = 0; i < n; i += W) {
      const int left = n - i < W ? (int)(n - i) : W;
      const V wi = left == W ? load(w + i) : load_partial(w + i, left, (T)0);
      const V zi = left == W ? load(z + i) : load_partial(z + i, left, m);
      gap = fma(wi, V(m) - zi, gap);
      total = total + wi;
    }
    mass += reduce_add(total);
    return reduce_add(gap);
  }

  // sum_c w_c t'_c (m - z_c), t' = keep t + floor
  template <class P, class Q>
  static double chunk_soft_gap(const P* z, const Q* t, const T* w, int64_t n, T m, T keep, T floor, double& mass) {
    V gap((T)0), total((T)0);
    for (int64_t i = 0; i < n; i += W) {
      const int left = n - i < W ? (int)(n - i) : W;
      const V ti = left == W ? load(t + i) : load_partial(t + i, left, (T)0);
      const V wi = w ? (left == W ? load(w + i) : load_partial(w + i, left, (T)0)) : V((T)1);
      const V zi = left == W ? load(z + i) : load_partial(z + i, left, m);
      V share = wi * fma(V(keep), ti, V(floor));
      if (left < W) share = keep_where(first_lanes<T>(left), share);
      gap = fma(share, V(m) - zi, gap);
      total = total + share;
    }
    mass += reduce_add(total);
    return reduce_add(gap);
  }

  // Classes [begin, begin + n) of a row as adjacent values of the computing type.
  FASTLOSS_FN static const T* stage(const RowsView& view, int64_t offset, int64_t begin, int64_t n, T* to) {
    const S* p = (const S*)view.data + offset + begin * view.class_stride;
    if (view.class_stride == 1) {
      for (int64_t i = 0; i + W <= n; i += W) store(to + i, load(p + i));
      const int64_t done = n / W * W;
      if (done < n) store_partial(to + done, (int)(n - done), load_partial(p + done, (int)(n - done), (T)0));
    } else {
      for (int64_t i = 0; i < n; ++i) to[i] = load_one(p + i * view.class_stride);
    }
    return to;
  }

  // The chunk's logits after the soft cap, in scratch; their slopes go to `slope`.
  void stage_logits(int64_t offset, int64_t begin, int64_t n, T* to, T* slope) const {
    stage(a.logits, offset, begin, n, to);
    if (a.softcap == 0) return;
    for (int64_t i = 0; i < n; i += W) {  // scratch is padded to whole vectors
      V z, dz;
      softcap(load(to + i), z, dz);
      store(to + i, z);
      store(slope + i, dz);
    }
  }

  template <class P>
  FASTLOSS_FN void measure_chunk(const P* z, T* e, int64_t row, int64_t begin, int64_t n, int64_t y, Running& r,
                                 const char* next) const {
    r.raise(reduce_max(chunk_maxima(z, n)));
    if (options.smoothing != 0 && !soft) r.gap += chunk_gap(z, weight + begin, n, r.m, r.mass);
    if (soft) measure_probabilities(z, row, begin, n, r);
    const int64_t skip = soft || y < begin || y >= begin + n ? -1 : y - begin;
    r.sum += a.want_stats ? chunk_exponentials<true, true>(z, e, n, r.m, skip, r.tilt, next)
                          : chunk_exponentials<false, true>(z, e, n, r.m, skip, r.tilt, next);
    if (skip >= 0) r.skipped = e[skip];
  }

  // A short row relative to 0. False, and nothing done, if its exponentials are not in range.
  template <class P>
  bool measure_unshifted(const P* z, T* e, int64_t n, int64_t y, Running& r) const {
    double tilt = 0;
    const T top = a.want_stats ? reduce_max(chunk_maxima(z, n)) : (T)0;
    const double sum = a.want_stats ? chunk_exponentials<true, false>(z, e, n, top, y, tilt, nullptr)
                                    : chunk_exponentials<false, false>(z, e, n, top, y, tilt, nullptr);
    if (!in_range(sum + e[y])) return false;
    r.m = 0;
    r.sum = sum;
    r.tilt = tilt - top * (sum + e[y]);  // in double, where the difference costs nothing
    return true;
  }

  template <class P>
  void measure_probabilities(const P* z, int64_t row, int64_t begin, int64_t n, Running& r) const {
    const int64_t offset = offset_of(a.probability, row);
    const T keep = (T)(1 - options.smoothing), floor = (T)(options.smoothing * options.inverse_classes);
    const auto measure = [&](const auto* t) {
      r.gap += chunk_soft_gap(z, t, weight + begin, n, r.m, keep, floor, r.mass);
      if (a.want_stats) r.plain_gap += chunk_soft_gap(z, t, (const T*)nullptr, n, r.m, (T)1, (T)0, r.plain_mass);
    };
    if (a.probability.class_stride == 1) {
      measure((const S*)a.probability.data + offset + begin);
    } else {
      measure(stage(a.probability, offset, begin, n, other + kChunk));
    }
  }

  // Whether logits can be read where they lie; otherwise chunks are staged.
  FASTLOSS_FN bool direct() const { return a.logits.class_stride == 1 && a.softcap == 0; }

  // `keep` says whether the exponentials of the whole row are wanted, or the scratch of one chunk will do.
  void measure_row(int64_t row, int64_t i, T* e, T* slope, bool keep) const {
    const int64_t offset = offset_of(a.logits, row), y = batch.target_class[i];
    const S* x = (const S*)a.logits.data + offset;
    Running r;
    for (int64_t begin = 0, k = 0; begin < a.classes; begin += kChunk, ++k) {
      const int64_t n = a.classes - begin < kChunk ? a.classes - begin : kChunk;
      const auto measure = [&](const auto* z, const char* next) {
        if (is_plain() && measure_unshifted(z, e, n, y, r)) return;
        measure_chunk(z, keep ? e + begin : e, row, begin, n, y, r, next);
      };
      if (direct()) {
        // Past the row's end this asks for the rows that follow, if they are adjacent.
        measure(x + begin, (const char*)(x + begin) + kAhead);
      } else {
        stage_logits(offset, begin, n, other, slope + begin);
        measure(other, nullptr);
      }
      chunk_max[k] = r.m;
    }
    batch.max[i] = r.m;
    batch.others[i] = r.sum;
    batch.gap[i] = r.gap;
    batch.mass[i] = r.mass;
    batch.tilt[i] = r.tilt;
    batch.plain_gap[i] = r.plain_gap;
    batch.plain_mass[i] = r.plain_mass;
  }

  FASTLOSS_FN T logit(int64_t offset, int64_t c) const {
    const T x = load_one((const S*)a.logits.data + offset + c * a.logits.class_stride);
    if (a.softcap == 0) return x;
    V z, slope;
    softcap(V(x), z, slope);
    return z.v[0];
  }

  FASTLOSS_FN void read_state(int64_t row, int64_t i) const {
    const T* state = (const T*)a.state;
    batch.max[i] = state[row];
    batch.others[i] = state[a.rows + row];
    batch.mass[i] = soft ? state[2 * a.rows + row] : 0;
    batch.gap[i] = batch.tilt[i] = batch.plain_gap[i] = batch.plain_mass[i] = 0;
  }

  // Elements before the first address that streaming stores accept.
  template <class Out>
  FASTLOSS_FN static int64_t head(const Out* g) {
    return (int64_t)(-(uintptr_t)g % kStreamAlignment / sizeof(Out));
  }

  // Gradient of a chunk from its exponentials:
  //   scale e - offset (w or w t'), times the soft cap's slope; `at_target` at element `y`.
  template <bool streamed, class Out>
  void chunk_gradient(const T* e, Out* g, int64_t i, int64_t n, T scale, int64_t y, const T* w, const T* t,
                      const T* slope, double& square) const {
    const T keep = (T)(1 - options.smoothing), floor = (T)(options.smoothing * options.inverse_classes);
    const V vs(scale), minus_offset(-batch.offset[i]), vk(keep), vf(floor);
    V norm((T)0);
    const auto value = [&](V ei, int64_t at, int left) {
      V v = vs * ei;
      const auto part = [&](const T* p) { return left == W ? load(p + at) : load_partial(p + at, left, (T)0); };
      // By fma: left to choose which product to contract, the compiler chose differently in a row's head.
      if (t) {
        v = fma(minus_offset * part(w), fma(vk, part(t), vf), v);
      } else if (w) {
        v = fma(minus_offset, part(w), v);
      }
      if (y >= at && y < at + left) {
        v = select(is_at(y, at), V(batch.at_target[i]), v);
      }
      if (slope) v = v * part(slope);
      if (a.want_stats) norm = norm + (left == W ? v * v : keep_where(first_lanes<T>(left), v * v));
      return v;
    };
    int64_t c = 0;
    const auto ordinary = [&](int64_t end) {
      for (; c + W <= end; c += W) store(g + c, value(load(e + c), c, W));
    };
    if (streamed) {  // whole lines from the stream's alignment on; the head and the tail go the ordinary way
      const int64_t first = head<Out>(g);
      if (first < n) {
        c = first % W;
        if (c > 0) store_head(g, (int)c, value(load_partial(e, (int)c, (T)0), 0, (int)c));
        ordinary(first);
      }
    }
    const bool plain = !w && !t && !slope && !a.want_stats;
    constexpr int line = line_size<streamed, Out>();
    const auto put = [&](auto of) {
      put_line<streamed>(g + c, [&](int k) { return of(c + k); });
      c += line;
    };
    const auto scaled = [&](int64_t at) { return vs * load(e + at); };
    const auto any = [&](int64_t at) { return value(load(e + at), at, W); };
    const int64_t hole = y < c ? n : c + (y - c) / line * line;  // the line that holds the target
    const auto run = [&](int64_t end) {
      if (plain) {
        while (c + 4 * line <= end) put(scaled), put(scaled), put(scaled), put(scaled);
        while (c + line <= end) put(scaled);
      } else {
        while (c + line <= end) put(any);
      }
    };
    run(hole < n ? hole : n);
    if (c + line <= n) {
      put(any);
      run(n);
    }
    ordinary(n);
    if (c < n) store_partial(g + c, (int)(n - c), value(load_partial(e + c, (int)(n - c), (T)0), c, (int)(n - c)));
    if (a.want_stats) square += reduce_add(norm);
  }

  // d loss / d t_c = (1 - eps) w_c (lse - z_c) upstream
  FASTLOSS_FN T probability_gradient(T z, int64_t c, int64_t i) const {
    const double nll = batch.log_sum[i] + (batch.max[i] - z);
    return (T)((1 - options.smoothing) * weight[c] * nll * batch.upstream[i]);
  }

  void write_row(int64_t row, int64_t i, const T* e, T* slope_row, double& square) const {
    S* const g = (S*)a.gradient.data + (a.gradient.data ? offset_of(a.gradient, row) : 0);
    const int64_t y = batch.target_class[i];
    if (y < 0) return clear_row(a.gradient, row);
    const int64_t offset = offset_of(a.logits, row);
    const bool to_memory = a.gradient.data && a.gradient.class_stride == 1;
    for (int64_t begin = 0, k = 0; begin < a.classes; begin += kChunk, ++k) {
      const int64_t n = a.classes - begin < kChunk ? a.classes - begin : kChunk;
      T scale = batch.scale[i];
      const T* from = e + begin;
      if (a.from_state) {
        T* const z = other;
        stage_logits(offset, begin, n, z, slope_row + begin);
        double unused = 0;
        if (is_plain() && batch.max[i] == 0) {
          chunk_exponentials<false, false>(z, tile, n, (T)0, -1, unused, nullptr);
        } else {
          chunk_exponentials<false, true>(z, tile, n, (T)batch.max[i], -1, unused, nullptr);
        }
        from = tile;
      } else if (a.classes > kChunk && chunk_max[k] != batch.max[i]) {
        scale = scale * load_exp((T)(chunk_max[k] - batch.max[i]));
      }
      const T* t = nullptr;
      if (soft) t = stage(a.probability, offset_of(a.probability, row), begin, n, other + kChunk);
      const T* const w = options.smoothing != 0 || soft ? weight + begin : nullptr;
      const T* const slope = a.softcap != 0 ? slope_row + begin : nullptr;
      const int64_t here = soft || y < begin || y >= begin + n ? -1 : y - begin;
      if (to_memory) {
        if (a.stream) {
          chunk_gradient<true>(from, g + begin, i, n, scale, here, w, t, slope, square);
        } else {
          chunk_gradient<false>(from, g + begin, i, n, scale, here, w, t, slope, square);
        }
      } else {  // into scratch: to be scattered, or only its norm is wanted
        T* const staged = other + 2 * kChunk;
        chunk_gradient<false>(from, staged, i, n, scale, here, w, t, slope, square);
        for (int64_t c = 0; a.gradient.data && c < n; ++c) {
          store_one(g + (begin + c) * a.gradient.class_stride, staged[c]);
        }
      }
    }
  }

  void write_probability_gradient(int64_t row, int64_t i) const {
    const RowsView& view = a.probability_gradient;
    if (batch.target_class[i] < 0) return clear_row(view, row);
    S* const out = (S*)view.data + offset_of(view, row);
    const int64_t offset = offset_of(a.logits, row);
    for (int64_t begin = 0; begin < a.classes; begin += kChunk) {
      const int64_t n = a.classes - begin < kChunk ? a.classes - begin : kChunk;
      stage_logits(offset, begin, n, other, other + kChunk);
      for (int64_t c = 0; c < n; ++c) {
        store_one(out + (begin + c) * view.class_stride, probability_gradient(other[c], begin + c, i));
      }
    }
  }

  void clear_row(const RowsView& view, int64_t row) const {
    if (!view.data) return;
    S* const g = (S*)view.data + offset_of(view, row);
    if (view.class_stride == 1) {
      memset(g, 0, a.classes * sizeof(S));
    } else {
      for (int64_t c = 0; c < a.classes; ++c) memset(g + c * view.class_stride, 0, sizeof(S));
    }
  }

  // First index of the largest value, as argmax on ties.
  bool is_correct(int64_t row, int64_t i) const {
    const int64_t x = offset_of(a.logits, row);
    int64_t y = batch.target_class[i];
    if (soft) {
      const int64_t offset = offset_of(a.probability, row);
      y = arg_max(
          [&](int64_t c) { return load_one((const S*)a.probability.data + offset + c * a.probability.class_stride); });
    }
    return arg_max([&](int64_t c) { return load_one((const S*)a.logits.data + x + c * a.logits.class_stride); }) == y;
  }
  template <class At>
  int64_t arg_max(At at) const {
    int64_t best = 0;
    T value = at(0);
    for (int64_t c = 1; c < a.classes; ++c) {
      const T v = at(c);
      if (v > value) value = v, best = c;
    }
    return best;
  }

  FASTLOSS_FN static Mask<T> is_at(int64_t class_, int64_t begin) {
    return lanes_equal<T>(lane_indices<T>(), broadcast_int<T>((typename V::Int)(class_ - begin)));
  }

  // Note [Short rows]
  // Plain rows of up to kShortRow classes are measured relative to 0, not to their maximum, if the sum of their exponentials
  // is in range: logits of up to 33, of which one is above -33. The maximum then costs nothing, and exp(z) has no rounded
  // difference in it. Other rows are measured again, relative to their maximum (all logits at 50: 1.1 to 1.3 times the time of
  // looking for the maximum at once; all at -60: 1.4 to 1.5). That is decided row by row, in every way
  // that measures them, so a row's bits depend on nothing else.
  //
  // Without extras they take a leaner way, in groups that fit L1. What costs there is not exp but everything around it, so
  //   - horizontal reductions of many rows are done together (reduce_each), and no row waits for its own;
  //   - in a row of few vectors the target is looked for in the lanes of each: a branch around it would be mispredicted once
  //     a row, which only many vectors make up for (TargetInLanes, TargetByBranch);
  //   - a row's gradient is written while the exponentials of the row one group later are computed, so that stores on
  //     their way to memory and arithmetic overlap.
  bool is_plain() const { return a.classes <= kShortRow && !soft && options.smoothing == 0 && a.softcap == 0; }
  bool is_short() const {
    return is_plain() && direct() && !a.want_stats && !a.from_state &&
           (!a.gradient.data || a.gradient.class_stride == 1);
  }
  FASTLOSS_FN static bool in_range(double sum) { return sum > 0x1p-48 && sum < 0x1p48; }
  static constexpr double kOutOfRange = 34;  // a logit whose exponential alone is beyond 2^48

  // Where the target is, seen from a vector that moves over a row's classes. Either every vector's lanes are compared with it,
  struct TargetInLanes {
    typename V::NativeInt distance{};
    FASTLOSS_FN TargetInLanes() = default;
    FASTLOSS_FN explicit TargetInLanes(int64_t y)
        : distance(broadcast_int<T>((typename V::Int)y) - lane_indices<T>()) {}
    FASTLOSS_FN void advance(int64_t by) { distance -= broadcast_int<T>((typename V::Int)by); }
    FASTLOSS_FN V replace(V v, V at_target) const {
      return select(lanes_equal<T>(distance, typename V::NativeInt{}), at_target, v);
    }
  };
  // or a branch finds the vector that holds it.
  struct TargetByBranch {
    int64_t distance = 0;
    FASTLOSS_FN TargetByBranch() = default;
    FASTLOSS_FN explicit TargetByBranch(int64_t y) : distance(y) {}
    FASTLOSS_FN void advance(int64_t by) { distance -= by; }
    FASTLOSS_FN V replace(V v, V at_target) const {
      return (uint64_t)distance < (uint64_t)W ? select(is_at(distance, 0), at_target, v) : v;
    }
  };

  // A group of rows whose exponentials wait for their gradient to be written.
  struct Pending {
    int64_t row = 0, rows = 0;
    const T* tile = nullptr;
    typename V::Int target[kGroup];
    T scale[kGroup], at_target[kGroup];
  };

  // Writes one gradient, a line a step: scale e, and `at_target` at the target.
  template <bool streamed, class Target>
  struct Writer {
    static constexpr int kLine = line_size<streamed, S>();
    S* g = nullptr;
    const T* e = nullptr;
    V scale{(T)0}, at_target{(T)0};
    Target target;
    int64_t c = 0, classes = 0;

    FASTLOSS_FN V value() const { return target.replace(scale * load(e + c), at_target); }
    FASTLOSS_FN void advance(int64_t by) {
      c += by;
      target.advance(by);
    }
    FASTLOSS_FN void begin() {
      const int64_t first = streamed ? head(g) : 0;
      if (first >= classes) return;
      if (first % W > 0) {
        store_head(g, (int)(first % W), value());
        advance(first % W);
      }
      ordinary(first);
    }
    FASTLOSS_FN void step() {
      put_line<streamed>(g + c, [&](int) {
        const V v = value();
        advance(W);
        return v;
      });
    }
    FASTLOSS_FN void ordinary(int64_t end) {
      for (; c + W <= end; advance(W)) store(g + c, value());
    }
    FASTLOSS_FN void finish() {
      while (c + kLine <= classes) step();
      ordinary(classes);
      if (c < classes) store_partial(g + c, (int)(classes - c), value());
    }
  };

  template <bool streamed, class Target>
  FASTLOSS_FN Writer<streamed, Target> writer(const Pending& p, int64_t i, int64_t pitch) const {
    Writer<streamed, Target> w;
    if (i >= p.rows) return w;
    if (p.target[i] < 0) {
      clear_row(a.gradient, p.row + i);
      return w;
    }
    w.g = (S*)a.gradient.data + offset_of(a.gradient, p.row + i);
    w.e = p.tile + i * pitch;
    w.scale = V(p.scale[i]);
    w.at_target = V(p.at_target[i]);
    w.target = Target(p.target[i]);
    w.classes = a.classes;
    w.begin();
    return w;
  }

  // e = exp(x) of one row, and their sum without the target's, in lanes. Keeps `w` going.
  template <bool streamed, class Target>
  FASTLOSS_FN Vec<double> exponentials_short(const S* x, T* e, typename V::Int y, Writer<streamed, Target>& w) const {
    ShortSum sum;
    Target target(y);
    const auto add = [&](int64_t c, V v) {
      sum.add_short(c, target.replace(v, V((T)0)));
      target.advance(W);
    };
    const auto measure = [&](int64_t c) {
      prefetch<W>((const char*)x + kAheadShort, c);
      const V v = exp_logit(load(x + c));
      store(e + c, v);
      add(c, v);
    };
    constexpr int64_t line = Writer<streamed, Target>::kLine;
    const int64_t full = a.classes / W * W, writable = w.classes - w.c;
    const int64_t both = writable < 0 ? 0 : (writable < full ? writable : full) / line * line;
    int64_t c = 0;
    while (c < both) {
      for (const int64_t end = c + line; c < end; c += W) measure(c);
      w.step();
    }
    for (; c < full; c += W) measure(c);
    if (c < a.classes) {
      const V v = exp_logit(load_partial(x + c, (int)(a.classes - c), -(T)__builtin_inf()));
      store(e + c, v);  // scratch is padded to whole vectors
      add(c, v);
    }
    return fold(sum.wide(a.classes));
  }

  // A row of a group relative to its maximum.
  void measure_shifted(const S* x, T* e, int64_t i) const {
    Running r;
    r.raise(reduce_max(chunk_maxima(x, a.classes)));
    batch.max[i] = r.m;
    batch.target[i] = (T)batch.target[i] - r.m;
    batch.others[i] = chunk_exponentials<false, true>(x, e, a.classes, r.m, batch.target_class[i], r.tilt, nullptr);
  }

  template <class Target>
  void by_class_short(int64_t begin, int64_t end) const {
    a.stream ? by_class_short<true, Target>(begin, end) : by_class_short<false, Target>(begin, end);
  }
  // Tasks [begin, end): one stream of rows, whose sums change from task to task.
  template <bool streamed, class Target>
  void by_class_short(int64_t begin, int64_t end) const {
    using D = Vec<double>;
    const int64_t pitch = (a.classes + W - 1) / W * W;
    const int64_t group = group_rows(a.classes);
    Pending pending;
    T* exponentials = tile;
    D lanes[kGroup];
    for (int64_t i = 0; i < kGroup; ++i) batch.gap[i] = 0;
    int64_t task = begin, last = task_end(task), n = 0;
    for (int64_t row = begin * a.task_rows; task < end; row += n) {
      n = last - row < group ? last - row : group;
      prepare(row, n);
      const auto logits_of = [&](int64_t i) { return (const S*)a.logits.data + offset_of(a.logits, row + i); };
      for (int64_t i = 0; i < n; ++i) {
        Writer<streamed, Target> w = writer<streamed, Target>(pending, i, pitch);
        const auto y = batch.target_class[i];
        T* const e = exponentials + i * pitch;
        batch.target[i] = 0;
        lanes[i] = D(0.0);
        if (y >= 0) {
          const S* const x = logits_of(i);
          batch.target[i] = load_one(x + y);
          if (batch.target[i] < kOutOfRange) {
            lanes[i] = exponentials_short(x, e, y, w);
          } else {
            e[y] = 0;  // as a confident row of large logits is: no need to find out
          }
        }
        w.finish();
      }
      for (int64_t i = n; i < pending.rows; ++i) writer<streamed, Target>(pending, i, pitch).finish();
      for (int64_t i = 0; i < n; i += D::size) {
        store(batch.max + i, D(0.0));
        store(batch.others + i, reduce_each(*(const D(*)[D::size])(lanes + i), [](D x, D y) { return x + y; }));
      }
      for (int64_t i = 0; i < n; ++i) {
        const auto y = batch.target_class[i];
        T* const e = exponentials + i * pitch;
        if (y >= 0 && !in_range(batch.others[i] + e[y])) measure_shifted(logits_of(i), e, i);
      }
      formula(a, &batch, n);
      record(row, n, a.sums ? a.sums + task : nullptr);
      if (row + n == last) last = task_end(++task);
      if (!a.gradient.data) continue;
      pending.row = row;
      pending.rows = n;
      pending.tile = exponentials;
      memcpy(pending.target, batch.target_class, n * sizeof(pending.target[0]));
      memcpy(pending.scale, batch.scale, n * sizeof(T));
      memcpy(pending.at_target, batch.at_target, n * sizeof(T));
      exponentials = exponentials == tile ? tile + group * pitch : tile;
    }
    for (int64_t i = 0; i < pending.rows; ++i) writer<streamed, Target>(pending, i, pitch).finish();
  }

  void by_class(int64_t first, int64_t last, RowsSums* sums) const {
    const int64_t pitch = (a.classes + W - 1) / W * W;
    const int64_t group = group_rows(a.classes);
    const bool write = a.gradient.data || a.want_stats;
    for (int64_t row = first; row < last; row += group) {
      const int64_t n = last - row < group ? last - row : group;
      prepare(row, n);
      for (int64_t i = 0; i < n; ++i) {
        if (batch.target_class[i] < 0) {
          clear(i);
          continue;
        }
        if (a.from_state) {
          read_state(row + i, i);
        } else {
          measure_row(row + i, i, tile + i * pitch, slopes + i * pitch, write);
        }
        if (!soft) batch.target[i] = logit(offset_of(a.logits, row + i), batch.target_class[i]) - (T)batch.max[i];
      }
      formula(a, &batch, n);
      record(row, n, sums);
      for (int64_t i = 0; i < n; ++i) {
        double square = 0;
        if (a.probability_gradient.data) write_probability_gradient(row + i, i);
        if (a.want_stats && batch.target_class[i] >= 0) sums->correct += is_correct(row + i, i);
        if (write) write_row(row + i, i, tile + i * pitch, slopes + i * pitch, square);
        if (a.want_stats) sums->gradient_square += square;
      }
    }
  }

  // What an ignored row leaves in the state: numbers, so that runs compare equal.
  FASTLOSS_FN void clear(int64_t i) const {
    batch.max[i] = batch.others[i] = batch.target[i] = batch.gap[i] = batch.mass[i] = batch.tilt[i] = 0;
    batch.plain_gap[i] = batch.plain_mass[i] = 0;
  }

  // Targets and factors of rows [row, row + n); plain loops, so that the compiler vectorises the usual case.
  void prepare(int64_t row, int64_t n) const {
    using Int = typename V::Int;
    RowBatch<T>& b = batch;
    const int64_t ignored = a.ignore_index;
    const double scale = a.scale;
    if (soft) {
      for (int64_t i = 0; i < n; ++i) b.target_class[i] = 0;
    } else {
      const int64_t* const target = a.target + row;
      for (int64_t i = 0; i < n; ++i) b.target_class[i] = target[i] == ignored ? (Int)-1 : (Int)target[i];
    }
    for (int64_t i = 0; a.mask && i < n; ++i) {
      if (!a.mask[row + i]) b.target_class[i] = -1;
    }
    for (int64_t i = 0; i < n; ++i) b.kept[i] = b.target_class[i] >= 0;
    for (int64_t i = n; i % Vec<double>::size != 0; ++i) b.kept[i] = 0;
    for (int64_t i = 0; i < n; ++i) b.weight[i] = 1, b.upstream[i] = scale;
    for (int64_t i = 0; weight && !soft && i < n; ++i) {
      if (b.target_class[i] >= 0) b.weight[i] = weight[b.target_class[i]];
    }
    for (int64_t i = 0; a.upstream && i < n; ++i) b.upstream[i] = ((const T*)a.upstream)[row + i] * scale;
  }

  // Rows measured before their formulas run together: enough to hide the latency of those, in whole vectors of double,
  // few enough for the exponentials of two groups (Note [Short rows]) to take half of L1 where that leaves 8 (65536x80: 24
  // rows 0.43 ns per logit, 25 rows 0.48, 48 rows 0.57; 8192x1000 in bfloat16: 4 rows 0.36, 8 rows 0.33). Rows of several
  // chunks go alone, since chunk_max holds one row's.
  static int64_t group_rows(int64_t classes) {
    if (classes > kChunk) return 1;
    const int64_t fit = 8 * 1024 / (classes * (int64_t)sizeof(T));
    const int64_t least = classes <= kShortRow ? 8 : 4;
    return fit < least ? least : fit > kGroup ? kGroup : fit / least * least;
  }

  // -------------------------------------------------------------------------------------------------- by_row

  // Rows per tile: scratch of at most 24 KiB where that leaves whole vectors.
  static int64_t tile_rows(int64_t classes) {
    const int64_t fit = 24 * 1024 / (classes * (int64_t)sizeof(T)) / W * W;
    return fit < W ? W : fit > kBatch ? kBatch : fit;
  }
  // Odd number of vectors, so that a column of the tile does not fall on few cache sets.
  static int64_t tile_pitch(int64_t rows) { return rows % (2 * W) == 0 ? rows + W : rows; }

  // Runs of rows in a tile that are adjacent in the innermost dimension.
  template <class F>
  FASTLOSS_FN void for_runs(int64_t first, int64_t n, F f) const {
    const int64_t inner = a.size[a.dims - 1];
    for (int64_t i = 0; i < n;) {
      const int64_t left = inner - (first + i) % inner;
      const int64_t run = left < n - i ? left : n - i;
      f(i, run);
      i += run;
    }
  }

  void gather(const RowsView& view, int64_t first, int64_t n, T* to, int64_t pitch) const {
    const int64_t step = view.row_stride[a.dims - 1];
    for_runs(first, n, [&](int64_t i, int64_t run) {
      const S* p = (const S*)view.data + offset_of(view, first + i);
      if (step == 1) {
        for (int64_t c = 0; c < a.classes; ++c) {
          const S* from = p + c * view.class_stride;
          T* line = to + c * pitch + i;
          // The runs of a tile are too short for the hardware to prefetch, and the planes of a power-of-two image fall
          // on the same cache sets: more than a few planes ahead would evict what was asked for.
          const S* ahead = from + kPlanesAhead * view.class_stride;
          int64_t j = 0;
          for (; j + W <= run; j += W) {
            __builtin_prefetch(ahead + j);
            store(line + j, load(from + j));
          }
          if (j < run) store_partial(line + j, (int)(run - j), load_partial(from + j, (int)(run - j), (T)0));
        }
      } else if (view.class_stride == 1) {
        for (int64_t j = 0; j < run; j += W) {
          const int rows = run - j < W ? (int)(run - j) : W;
          for (int64_t c = 0; c < a.classes; c += W) {
            const int columns = a.classes - c < W ? (int)(a.classes - c) : W;
            V block[W];
            for (int k = 0; k < W; ++k) {
              const S* from = p + (j + (k < rows ? k : 0)) * step + c;
              block[k] = columns == W ? load(from) : load_partial(from, columns, (T)0);
            }
            transpose(block);
            for (int k = 0; k < columns; ++k) {
              T* line = to + (c + k) * pitch + i + j;
              rows == W ? store(line, block[k]) : store_partial(line, rows, block[k]);
            }
          }
        }
      } else {
        for (int64_t c = 0; c < a.classes; ++c) {
          for (int64_t j = 0; j < run; ++j) to[c * pitch + i + j] = load_one(p + j * step + c * view.class_stride);
        }
      }
    });
  }

  void scatter(const RowsView& view, int64_t first, int64_t n, const T* from, int64_t pitch) const {
    const int64_t step = view.row_stride[a.dims - 1];
    for_runs(first, n, [&](int64_t i, int64_t run) {
      S* p = (S*)view.data + offset_of(view, first + i);
      if (step == 1) {
        for (int64_t c = 0; c < a.classes; ++c) {
          S* to = p + c * view.class_stride;
          const T* line = from + c * pitch + i;
          constexpr int whole = line_size<true, S>();
          int64_t j = 0;
          if (a.stream && (uintptr_t)to % kStreamAlignment == 0) {
            for (; j + whole <= run; j += whole) put_line<true>(to + j, [&](int k) { return load(line + j + k); });
          }
          for (; j + W <= run; j += W) store(to + j, load(line + j));
          if (j < run) store_partial(to + j, (int)(run - j), load_partial(line + j, (int)(run - j), (T)0));
        }
      } else if (view.class_stride == 1) {
        for (int64_t j = 0; j < run; j += W) {
          const int rows = run - j < W ? (int)(run - j) : W;
          for (int64_t c = 0; c < a.classes; c += W) {
            const int columns = a.classes - c < W ? (int)(a.classes - c) : W;
            V block[W];
            for (int k = 0; k < W; ++k) block[k] = load(from + (c + (k < columns ? k : 0)) * pitch + i + j);
            transpose(block);
            for (int k = 0; k < rows; ++k) {
              S* to = p + (j + k) * step + c;
              columns == W ? store(to, block[k]) : store_partial(to, columns, block[k]);
            }
          }
        }
      } else {
        for (int64_t c = 0; c < a.classes; ++c) {
          for (int64_t j = 0; j < run; ++j) store_one(p + j * step + c * view.class_stride, from[c * pitch + i + j]);
        }
      }
    });
  }

  FASTLOSS_FN static Mask<T> is_class(typename V::NativeInt y, int64_t c) {
    return lanes_equal<T>(y, broadcast_int<T>((typename V::Int)c));
  }

  FASTLOSS_FN typename V::NativeInt classes_at(int64_t p) const {
    typename V::NativeInt y;
    memcpy(&y, batch.target_class + p, sizeof(y));
    return y;
  }

  // Where the gradient of a tile begins if its rows are adjacent in memory, class by class: it is then written where it
  // belongs, without scatter. (Reading logits in place instead of gathering them loses: planes of a power-of-two image
  // fall on the same cache sets, so the second look at a logit would miss.)
  S* gradient_plane(int64_t row, int64_t n) const {
    const int inner = a.dims - 1;
    const bool whole = n % W == 0 && row % a.size[inner] + n <= a.size[inner];
    if (!a.gradient.data || !whole || a.gradient.row_stride[inner] != 1) return nullptr;
    return (S*)a.gradient.data + offset_of(a.gradient, row);
  }

  // Asks for the logits of the next tile, a cache line a call, in the order in which gather will read them. While this
  // tile's exponentials are computed; gather alone, with its short runs, would wait for most lines.
  struct Ahead {
    const S* x = nullptr;  // of the run in this plane; null: nothing to ask for
    int64_t plane = 0, rows = 0, row = 0;
    FASTLOSS_FN void ask() {
      if (!x) return;
      __builtin_prefetch(x + row);
      row += W;
      if (row >= rows) row = 0, x += plane;
    }
  };
  Ahead next_tile(int64_t row, int64_t n, int64_t last) const {
    const int inner = a.dims - 1;
    if (row + n >= last || a.logits.row_stride[inner] != 1) return {};
    return {(const S*)a.logits.data + offset_of(a.logits, row + n), a.logits.class_stride, n, 0};
  }

  // `extras`: smoothing, probability targets or statistics are wanted. Apart, so that the plain loop stays tight.
  template <bool extras>
  void measure_lanes(int64_t p, int64_t pitch, Ahead& ahead) const {
    const auto y = classes_at(p);
    T* const z = tile + p;
    const typename V::NativeInt zero{}, one = broadcast_int<T>(1);
    V m(lowest<T>()), at_y((T)0);
    auto to_target = y;
    for (int64_t c = 0; c < a.classes; ++c) {
      const V v = load(z + c * pitch);
      m = max(m, v);
      at_y = select(lanes_equal<T>(to_target, zero), v, at_y);
      to_target -= one;
    }
    const V keep((T)(1 - options.smoothing)), floor((T)(options.smoothing * options.inverse_classes));
    Sum sum, gap, mass, tilt, plain_gap, plain_mass;
    const bool smooth = options.smoothing != 0 && !soft;
    to_target = y;
    const auto exponential = [&](int64_t c) {
      ahead.ask();
      const V d = load(z + c * pitch) - m;
      const V e = exp_shifted(d);
      store(z + c * pitch, e);
      const Mask<T> is_other = lanes_differ<T>(to_target, zero);
      to_target -= one;
      if (!extras) return keep_where(is_other, e);
      if (smooth) gap.add(V(weight[c]) * -d);
      if (soft) {
        const V t = load(other + c * pitch + p);
        const V share = V(weight[c]) * fma(keep, t, floor);
        gap.add(share * -d);
        mass.add(share);
        if (a.want_stats) plain_gap.add(t * -d), plain_mass.add(t);
      }
      if (a.want_stats) tilt.add(e * min(V(-lowest<T>()), -d));
      return soft ? e : keep_where(is_other, e);
    };
    int64_t c = 0;
    for (; c + 2 <= a.classes; c += 2) {
      const V first = exponential(c);
      sum.add(first + exponential(c + 1));
    }
    if (c < a.classes) sum.add(exponential(c));
    store(batch.max + p, widen(m));
    store(batch.target + p, widen(at_y - m));
    store(batch.others + p, sum.wide());
    store(batch.gap + p, gap.wide());
    if (!extras) return;
    store(batch.mass + p, mass.wide());
    store(batch.tilt + p, tilt.wide());
    store(batch.plain_gap + p, plain_gap.wide());
    store(batch.plain_mass + p, plain_mass.wide());
  }

  void exponentials_from_state(int64_t p, int64_t pitch) const {
    T maxima[W];
    for (int k = 0; k < W; ++k) maxima[k] = (T)batch.max[p + k];
    const V m = load(maxima);
    const auto y = classes_at(p);
    V at_y((T)0);
    for (int64_t c = 0; c < a.classes; ++c) {
      const V d = load(tile + c * pitch + p) - m;
      at_y = select(is_class(y, c), d, at_y);
      store(tile + c * pitch + p, exp_shifted(d));
    }
    store(batch.target + p, widen(at_y));
  }

  FASTLOSS_FN Mask<T> kept_at(int64_t p) const { return ~lanes_less<T>(classes_at(p), typename V::NativeInt{}); }

  // Plain gradients of a tile to where they belong, class by class: a run of a tile's rows in one plane is long enough
  // for memory, a vector in each plane in turn is not (csrc/README.md).
  template <bool streamed>
  void write_planes(int64_t n, int64_t pitch, S* to) const {
    const int64_t plane = a.gradient.class_stride, classes = a.classes;
    constexpr int line = line_size<streamed, S>();
    for (int64_t c = 0; c < classes; ++c) {
      const auto value = [&](int64_t p) {
        const V v = load(batch.scale + p) * load(tile + c * pitch + p);
        return keep_where(kept_at(p), select(is_class(classes_at(p), c), load(batch.at_target + p), v));
      };
      S* const g = to + c * plane;
      int64_t p = 0;
      for (; p + line <= n; p += line) put_line<streamed>(g + p, [&](int k) { return value(p + k); });
      for (; p < n; p += W) store(g + p, value(p));
    }
  }

  // Gradients of one vector of rows, into the tile. `extras`: anything but plain index targets.
  template <bool extras>
  void gradient_lanes(int64_t p, int64_t n, int64_t pitch, double& square) const {
    const auto y = classes_at(p);
    const Mask<T> kept = kept_at(p);
    const V scale = load(batch.scale + p), at_target = load(batch.at_target + p), offset = load(batch.offset + p);
    const V keep((T)(1 - options.smoothing)), floor((T)(options.smoothing * options.inverse_classes));
    const bool smooth = extras && options.smoothing != 0 && !soft;
    const Mask<T> counted = kept & first_lanes<T>((int)(n - p < W ? n - p : W));
    const int64_t classes = a.classes;
    V norm((T)0);
    for (int64_t c = 0; c < classes; ++c) {
      T* const at = tile + c * pitch + p;
      V v = scale * load(at);
      if (smooth) v = v - offset * V(weight[c]);
      if (extras && soft) {
        v = v - offset * V(weight[c]) * fma(keep, load(other + c * pitch + p), floor);
      } else {
        v = select(is_class(y, c), at_target, v);
      }
      if (extras && a.softcap != 0) v = v * load(slopes + c * pitch + p);
      v = keep_where(kept, v);
      if (extras && a.want_stats) norm = norm + keep_where(counted, v * v);
      store(at, v);
    }
    if (a.want_stats) square += reduce_add(norm);
  }

  template <bool extras>
  void write_lanes(int64_t row, int64_t n, int64_t pitch, double& square) const {
    S* const to = extras ? nullptr : gradient_plane(row, n);
    if (to) {
      const int64_t line = kStreamAlignment;
      const bool lines = (uintptr_t)to % line == 0 && a.gradient.class_stride * (int64_t)sizeof(S) % line == 0;
      return a.stream && lines ? write_planes<true>(n, pitch, to) : write_planes<false>(n, pitch, to);
    }
    for (int64_t p = 0; p < n; p += W) gradient_lanes<extras>(p, n, pitch, square);
    if (a.gradient.data) scatter(a.gradient, row, n, tile, pitch);
  }

  void by_row(int64_t first, int64_t last, RowsSums* sums) const {
    const int64_t most = tile_rows(a.classes);
    const int64_t pitch = tile_pitch(most);
    for (int64_t row = first; row < last; row += most) {
      const int64_t n = last - row < most ? last - row : most;
      const int64_t lanes = (n + W - 1) / W * W;
      prepare(row, n);
      for (int64_t i = 0; a.from_state && i < n; ++i) read_state(row + i, i);
      for (int64_t i = n; i < lanes; ++i) {
        batch.target_class[i] = -1;
        batch.weight[i] = batch.upstream[i] = 0;
        clear(i);
      }
      gather(a.logits, row, n, tile, pitch);
      if (soft) gather(a.probability, row, n, other, pitch);
      if (a.softcap != 0) {
        for (int64_t k = 0; k < a.classes * pitch; k += W) {
          V z, slope;
          softcap(load(tile + k), z, slope);
          store(tile + k, z);
          store(slopes + k, slope);
        }
      }
      if (a.probability_gradient.data) {
        // Needs the logits, which the next step overwrites; log_sum comes from the state.
        T* const spare = other + a.classes * pitch;
        for (int64_t p = 0; p < lanes; p += Vec<double>::size) store(batch.log_sum + p, log(load(batch.others + p)));
        for (int64_t c = 0; c < a.classes; ++c) {
          for (int64_t i = 0; i < n; ++i) {
            spare[c * pitch + i] = batch.target_class[i] < 0 ? (T)0 : probability_gradient(tile[c * pitch + i], c, i);
          }
        }
        scatter(a.probability_gradient, row, n, spare, pitch);
      }
      const bool extras = options.smoothing != 0 || soft || a.want_stats;
      Ahead ahead = next_tile(row, n, last);
      for (int64_t p = 0; p < lanes; p += W) {
        if (a.from_state) {
          exponentials_from_state(p, pitch);
        } else if (extras) {
          measure_lanes<true>(p, pitch, ahead);
        } else {
          measure_lanes<false>(p, pitch, ahead);
        }
      }
      formula(a, &batch, lanes);
      record(row, n, sums);
      if (a.want_stats) {
        for (int64_t i = 0; i < n; ++i) {
          if (batch.target_class[i] >= 0) sums->correct += is_correct(row + i, i);
        }
      }
      if (a.gradient.data || a.want_stats) {
        double square = 0;
        extras || a.softcap != 0 ? write_lanes<true>(row, n, pitch, square) : write_lanes<false>(row, n, pitch, square);
        if (a.want_stats) sums->gradient_square += square;
      }
    }
  }

  // ------------------------------------------------------------------------------------------------ dispatch

  static bool lanes_over_rows(const RowsArgs& a) {
    const bool adjacent_rows = a.logits.row_stride[a.dims - 1] == 1 && a.size[a.dims - 1] > 1;
    return a.classes <= kFewClasses || (a.logits.class_stride != 1 && adjacent_rows);
  }

  // Scratch layout, in elements of T behind the batch: tile, slopes, other, chunk_max.
  struct Layout {
    int64_t tile, slopes, other, chunk_max;
    int64_t bytes() const { return sizeof(RowBatch<T>) + (tile + slopes + other + chunk_max) * sizeof(T) + 256; }
  };
  static Layout layout(const RowsArgs& a) {
    if (lanes_over_rows(a)) {
      const int64_t tile = a.classes * tile_pitch(tile_rows(a.classes)) + W;
      return {tile, a.softcap != 0 ? tile : 0, a.probability.data ? 2 * tile : 0, 0};
    }
    const int64_t padded = (a.classes + W - 1) / W * W;
    const int64_t rows = group_rows(a.classes);
    const int64_t groups = a.classes <= kShortRow ? 2 * padded * rows : padded * rows;
    const int64_t tile = groups < kChunk ? kChunk : groups;
    return {tile, a.softcap != 0 ? padded * rows + kChunk : 0, 3 * kChunk, (a.classes + kChunk - 1) / kChunk};
  }

  static void run(const RowsArgs& a, int64_t begin, int64_t end, void* scratch, RowsFormula formula) {
    char* p = (char*)(((uintptr_t)scratch + 63) / 64 * 64);
    RowBatch<T>* batch = (RowBatch<T>*)p;
    T* const memory = (T*)(p + (sizeof(RowBatch<T>) + 63) / 64 * 64);
    const Layout l = layout(a);
    const Rows engine{
        a,      formula, row_options(a),  (const T*)a.weight,         a.probability.data != nullptr,
        *batch, memory,  memory + l.tile, memory + l.tile + l.slopes, memory + l.tile + l.slopes + l.other};
    if (!lanes_over_rows(a) && engine.is_short()) {
      const bool few = a.classes <= kFewVectors * W;
      few ? engine.template by_class_short<TargetInLanes>(begin, end)
          : engine.template by_class_short<TargetByBranch>(begin, end);
    } else {
      for (int64_t task = begin; task < end; ++task) {
        const int64_t first = task * a.task_rows, last = engine.task_end(task);
        RowsSums* const sums = a.sums ? a.sums + task : nullptr;
        lanes_over_rows(a) ? engine.by_row(first, last, sums) : engine.by_class(first, last, sums);
      }
    }
    stream_fence();
  }
};

}  // namespace
}  // namespace fastloss::FASTLOSS_ISA
