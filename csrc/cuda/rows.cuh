#pragma once

// The rows engine on CUDA: losses over rows of logits, forward and gradient. See csrc/README.md, "CUDA", for the
// traffic of each path.
//
// Note [Paths]
// A row is read once and kept on chip until its gradient is written, wherever it fits:
//   columns_wide, columns: a thread per row (or per few adjacent rows); the row waits in shared memory, where each
//       thread has its own column. For classes at dim 1, neighbouring threads hold neighbouring pixels.
//   tile: the same for few adjacent classes: a block's rows are one piece of memory, read and written as such.
//   group8 .. group512: that many threads hold a row in their registers; 512 threads in a cluster of up to 16 blocks
//       share the rows that outgrow one block (compute capability 9.0 and later).
//   stream: a block per row that reads it twice, the second time from L2 if that holds the rows in flight.
//   strided: the same, element by element, for every other layout.
// All of them measure parts of a row, merge the parts, have core/rows.h make loss and factors of them, and write.
//
// Note [Merging]
// A part of a row is measured relative to its own maximum. Parts are brought to the largest maximum only when they
// are merged, so a row needs one exchange between its threads instead of two (maximum, then sum). Exchanges are trees
// whose shape depends on the launch alone: same bits every run.
//
// Note [Reading past a row]
// Rows need not start on 16 bytes. Vectors are laid on the 16-byte grid of memory, so the first and the last of a
// row may hold elements of its neighbours. These are read along, as long as they belong to the tensor, and replaced;
// they are never written.
//
// Note [Bad targets]
// A class index out of range makes its row's loss NaN and its gradient zero. Nothing is raised: that would need a
// wait for the device (`fastloss.debug`), or poison the context.

#include "core/compute.h"
#include "core/rows.h"
#include "cuda/device.h"
#include "cuda/rows.h"
#include "losses/functors.h"

namespace fastloss::cuda {
namespace {

template <class T>
FASTLOSS_FN constexpr T infinity() {
  return (T)__builtin_inff();
}
FASTLOSS_FN constexpr double not_a_number() { return (double)__builtin_nanf(""); }

constexpr int kColumnThreads = 128;
constexpr int kGroupBlock = 128;  // threads of a block whose groups are no larger
constexpr int kStreamThreads = 512;
constexpr int kMaxWarps = 16;
constexpr int kMaxCluster = 16;

// What a kernel is told.
struct Launch {
  RowsLaunch problem;
  RowsPlan plan;
};

// ----------------------------------------------------------------------------------------------------- rows

FASTLOSS_DEVICE int64_t offset_of(const RowsArgs& a, const RowsView& view, int64_t row) {
  int64_t offset = 0;
  for (int d = a.dims - 1; d > 0; --d) {
    offset += row % a.size[d] * view.row_stride[d];
    row /= a.size[d];
  }
  return offset + row * view.row_stride[0];
}

// A row before it is measured.
struct Row {
  int64_t index;
  int64_t y;      // class, or -1: contributes nothing
  bool bad;       // out of range: contributes NaN
  double weight;  // of its class
};

template <class T>
FASTLOSS_DEVICE Row row_at(const RowsArgs& a, int64_t index) {
  Row row{index, 0, false, 1};
  if (a.target) {
    const int64_t y = a.target[index];
    row.y = y == a.ignore_index ? -1 : y;
    row.bad = (uint64_t)y >= (uint64_t)a.classes && y != a.ignore_index;
  }
  if (a.mask && !a.mask[index]) row.y = -1, row.bad = false;
  if (row.bad) row.y = -1;
  if (a.target && a.weight && row.y >= 0) row.weight = ((const T*)a.weight)[row.y];
  return row;
}

template <class T>
FASTLOSS_DEVICE double upstream_of(const RowsLaunch& l, int64_t row) {
  const double scale = l.divisor ? 1 / *l.divisor : 1.0;
  return l.rows.upstream ? scale * (double)((const T*)l.rows.upstream)[row * l.upstream_stride] : scale;
}

template <class T>
FASTLOSS_DEVICE bool nothing_to_do(const RowsLaunch& l) {
  return l.unless_one && *(const T*)l.rows.upstream == (T)1;
}

template <class T>
FASTLOSS_DEVICE T class_weight(const RowsArgs& a, int64_t c) {
  return a.weight ? ((const T*)a.weight)[c] : (T)1;
}

template <class T>
FASTLOSS_DEVICE T cap(const RowsArgs& a, T x) {
  if (a.softcap == 0) return x;
  return (T)a.softcap * (sizeof(T) == 4 ? (T)tanhf((float)(x * (T)(1 / a.softcap))) : (T)tanh(x * (T)(1 / a.softcap)));
}
// d cap(x) / d x = 4 e / (1 + e)^2 with e = exp(-2 |x / cap|): 1 - tanh^2 would cancel where the cap saturates.
template <class T>
FASTLOSS_DEVICE T cap_slope(const RowsArgs& a, T x) {
  const T scaled = x * (T)(1 / a.softcap);
  const T e = exp((T)-2 * (scaled < 0 ? -scaled : scaled));
  return 4 * e / ((1 + e) * (1 + e));
}

// ------------------------------------------------------------------------------------------------------ sums

// A sum with its rounding errors kept apart (Dekker's fast two-sum). A peaked softmax adds many small terms to one
// near 1; plain sums would cost half an ULP of it each time.
template <class T>
struct Sum {
  T high = 0, low = 0;
  FASTLOSS_DEVICE void add(T v) {
    const T next = high + v;
    low += v - (next - high);
    high = next;
  }
  FASTLOSS_DEVICE void scale(T f) {
    high = f == 0 && high - high == 0 ? (T)0 : high * f;
    low *= f;
  }
  FASTLOSS_DEVICE double total() const {
    return high - high == 0 ? (double)high + (double)low : (double)high;  // an infinite sum has left NaN in its rest
  }
};

// What a part of a row adds up to, relative to its own maximum. See Note [Rows] in core/rows.h; `all` includes the
// target, `plain_*` are gap and mass without weights or smoothing, `best` and `top` are the largest logit and
// probability with their classes.
struct Part {
  double max, others, all, gap, mass, tilt, plain_gap, plain_mass, best, best_class, top, top_class;
};
constexpr int kPart = sizeof(Part) / sizeof(double);
constexpr int kPlainPart = 2;  // of which so many without extras

template <class T, bool extras>
FASTLOSS_DEVICE void raise(Part& p, double max) {
  if (max == p.max) return;
  const double delta = max - p.max;
  const double f = exp((T)-delta);
  p.others = f == 0 && p.others - p.others == 0 ? 0 : f * p.others;
  if (extras) {
    if (p.mass != 0) p.gap += delta * p.mass;
    if (p.plain_mass != 0) p.plain_gap += delta * p.plain_mass;
    p.tilt = f == 0 ? 0 : f * (p.tilt + delta * p.all);
    p.all = f == 0 && p.all - p.all == 0 ? 0 : f * p.all;
  }
  p.max = max;
}

FASTLOSS_DEVICE void keep_larger(double& value, double& index, double other, double other_index) {
  if (other > value || (other == value && other_index < index)) value = other, index = other_index;
}

// The parts of `lanes` neighbouring lanes become one, which all of them get.
template <class T, bool extras, int lanes>
FASTLOSS_DEVICE void merge_lanes(Part& p) {
  T max = (T)p.max;
  FASTLOSS_UNROLL
  for (int k = lanes / 2; k > 0; k /= 2) max = maximum(max, shuffle_xor(max, k));
  raise<T, extras>(p, max);
  FASTLOSS_UNROLL
  for (int k = lanes / 2; k > 0; k /= 2) {
    p.others += shuffle_xor(p.others, k);
    if (!extras) continue;
    p.all += shuffle_xor(p.all, k);
    p.gap += shuffle_xor(p.gap, k);
    p.mass += shuffle_xor(p.mass, k);
    p.tilt += shuffle_xor(p.tilt, k);
    p.plain_gap += shuffle_xor(p.plain_gap, k);
    p.plain_mass += shuffle_xor(p.plain_mass, k);
    const double best = shuffle_xor(p.best, k), best_class = shuffle_xor(p.best_class, k);
    keep_larger(p.best, p.best_class, best, best_class);
    const double top = shuffle_xor(p.top, k), top_class = shuffle_xor(p.top_class, k);
    keep_larger(p.top, p.top_class, top, top_class);
  }
}

template <class T>
FASTLOSS_DEVICE Part empty_part() {
  Part p{};
  p.max = (double)lowest<T>();
  p.best = p.top = (double)-infinity<T>();
  return p;
}

// Measures a row's elements one by one with every option.
template <class T>
struct Meter {
  T max = lowest<T>();
  Sum<T> others, all, gap, mass, tilt, plain_gap, plain_mass;
  T best = -infinity<T>(), top = -infinity<T>();
  int64_t best_class = 0, top_class = 0;

  // Moves the reference to a larger maximum.
  FASTLOSS_DEVICE void raise(T larger) {
    if (!(larger > max)) return;
    const T delta = larger - max, f = exp(-delta);
    const T whole = (T)all.total(), share = (T)mass.total(), plain_share = (T)plain_mass.total();
    others.scale(f);
    tilt.scale(f);
    all.scale(f);
    if (f != 0) tilt.add(f * delta * whole);
    if (share != 0) gap.add(delta * share);
    if (plain_share != 0) plain_gap.add(delta * plain_share);
    max = larger;
  }

  // `z` is the capped logit, `x` the logit itself, `t` its probability if targets are probabilities.
  FASTLOSS_DEVICE void add(const RowsArgs& a, T z, T x, T t, int64_t c, int64_t y) {
    const T d = max - z, e = exp(-d);
    const bool soft = a.probability.data;
    if (soft || c != y) others.add(e);
    if (a.want_stats) {
      all.add(e);
      tilt.add(e * minimum(lowest<T>() * -1, d));  // at z = -inf this is 0 * inf, whose limit is 0
      if (x > best) best = x, best_class = c;
    }
    if (soft) {
      const T share = class_weight<T>(a, c) * ((T)(1 - a.smoothing) * t + (T)(a.smoothing / (double)a.classes));
      gap.add(share * d);
      mass.add(share);
      if (a.want_stats) {
        plain_gap.add(t * d);
        plain_mass.add(t);
        if (t > top) top = t, top_class = c;
      }
    } else if (a.smoothing != 0) {
      const T w = class_weight<T>(a, c);
      gap.add(w * d);
      mass.add(w);
    }
  }

  FASTLOSS_DEVICE Part part() const {
    return {(double)max,       others.total(),     all.total(),  gap.total(),        mass.total(), tilt.total(),
            plain_gap.total(), plain_mass.total(), (double)best, (double)best_class, (double)top,  (double)top_class};
  }

 private:
  FASTLOSS_DEVICE static T minimum(T a, T b) { return a < b ? a : b; }
};

// ------------------------------------------------------------------------------------------------------ formulas

// What the threads of a row need to write its gradient.
template <class T>
struct Factors {
  T max;
  T scale;
  T at_target;
  T offset;
  T log_sum;
  T upstream;
};

// A row from its merged parts: the formulas of core/rows.h, in double whatever the computing type, as a row is many
// logits. `target` is the target's logit after the cap. Called by one thread of the row, or by several with the
// same arguments, of which one has `leads` set: it writes the row's loss and state.
template <class S, template <class> class Loss, bool extras>
FASTLOSS_DEVICE Factors<typename Compute<S>::type> finish_row(const RowsLaunch& l, const Row& row, Part p,
                                                              typename Compute<S>::type target, bool leads,
                                                              double (&sums)[kSums]) {
  using T = typename Compute<S>::type;
  const RowsArgs& a = l.rows;
  const bool soft = extras && a.probability.data, kept = row.y >= 0;
  if (extras && a.from_state && kept) {
    const T* const state = (const T*)a.state;
    p.max = state[row.index];
    p.others = state[a.rows + row.index];
    p.mass = soft ? (double)state[2 * a.rows + row.index] : 0;
    p.gap = 0;
  }
  const double upstream = upstream_of<T>(l, row.index);
  RowOptions options{0, a.z_loss, 0, 0};
  if (extras) {
    options.smoothing = a.smoothing;
    options.inverse_classes = 1.0 / (double)a.classes;
    options.weight_sum = l.weight_sum ? *l.weight_sum : a.weight_sum;
  }
  const T distance = soft ? (T)0 : target - (T)p.max;
  const double e = soft ? 0.0 : (double)exp(distance);
  const RowTerms<double> r = soft ? probability_row<double>(options, p.max, p.others, p.gap, p.mass, upstream)
                                  : index_row<double>(Loss<double>(a.params), options, p.max, p.others,
                                                      (double)distance, e, p.gap, row.weight, upstream);
  if (leads) {
    if (a.row_loss) store_one((T*)a.row_loss + row.index, row.bad ? (T)not_a_number() : kept ? (T)r.loss : (T)0);
    if (a.state && !(extras && a.from_state)) {
      T* const state = (T*)a.state;
      store_one(state + row.index, kept ? (T)p.max : (T)0);
      store_one(state + a.rows + row.index, kept ? (T)p.others : (T)0);
      if (soft) store_one(state + 2 * a.rows + row.index, kept ? (T)p.mass : (T)0);
    }
    if (kept || row.bad) {
      sums[0] += row.bad ? not_a_number() : r.loss;
      sums[1] += 1;
    }
    if (extras && a.want_stats && kept) {
      const double s = soft ? p.others : p.others + e;
      sums[2] += p.best_class == (soft ? p.top_class : (double)row.y);
      sums[3] += r.log_sum + p.tilt / s;
      sums[4] += soft ? p.plain_gap + p.plain_mass * r.log_sum : r.nll;
      sums[5] += p.max + r.log_sum;
    }
  }
  return {(T)p.max, (T)r.scale, (T)r.at_target, (T)r.offset, (T)r.log_sum, (T)upstream};
}

// d loss / d x of one element, with every option.
template <class T>
FASTLOSS_DEVICE T gradient_at(const RowsArgs& a, const Factors<T>& f, T x, T t, int64_t c, int64_t y) {
  T v = f.scale * exp(cap(a, x) - f.max);
  if (a.probability.data) {
    v -= f.offset * class_weight<T>(a, c) * ((T)(1 - a.smoothing) * t + (T)(a.smoothing / (double)a.classes));
  } else {
    if (a.smoothing != 0) v -= f.offset * class_weight<T>(a, c);
    if (c == y) v = f.at_target;
  }
  return a.softcap != 0 ? v * cap_slope(a, x) : v;
}

// d loss / d t_c = (1 - eps) w_c (lse - z_c) upstream
template <class T>
FASTLOSS_DEVICE T target_gradient_at(const RowsArgs& a, const Factors<T>& f, T x, int64_t c) {
  return (T)(1 - a.smoothing) * class_weight<T>(a, c) * (f.log_sum + (f.max - cap(a, x))) * f.upstream;
}

// Adds up the block's sums in a fixed order and writes them. Every thread of the block calls it; `scratch` is
// shared memory of kSums doubles per warp.
template <bool extras>
FASTLOSS_DEVICE void write_sums(const RowsLaunch& l, double (&sums)[kSums], double* scratch) {
  if (!l.sums) return;
  const int n = extras && l.rows.want_stats ? kSums : 2;
  FASTLOSS_UNROLL
  for (int k = 0; k < (extras ? kSums : 2); ++k) {
    if (k >= n) continue;
    FASTLOSS_UNROLL
    for (int lanes = 16; lanes > 0; lanes /= 2) sums[k] += shuffle_xor(sums[k], lanes);
    if (thread() % 32 == 0) scratch[thread() / 32 * kSums + k] = sums[k];
  }
  block_barrier();
  const int warps = block_threads() / 32;
  for (int k = thread(); k < n; k += block_threads()) {
    double total = 0;
    for (int w = 0; w < warps; ++w) total += scratch[w * kSums + k];
    store_one(l.sums + k * blocks() + block(), total);
  }
}

// --------------------------------------------------------------------------------------------- a thread per row

// Shared memory: sums of the warps, then the rows (`on_chip`) as values of the computing type.
template <class T>
FASTLOSS_DEVICE T* column_memory() {
  return (T*)(shared_memory() + kColumnThreads / 32 * kSums * sizeof(double));
}

// Copies the block's rows between memory and shared memory, as one run of 16-byte vectors. Rows lie `pitch` apart
// there: an odd distance, so that neighbouring threads, on neighbouring rows, use different banks.
template <class S, bool write>
FASTLOSS_DEVICE void copy_tile(const Launch& l, const RowsView& view, typename Compute<S>::type* tile) {
  constexpr int V = 16 / sizeof(S);
  const RowsArgs& a = l.problem.rows;
  const int classes = (int)a.classes, pitch = l.plan.pitch;
  const int64_t first = block() * kColumnThreads;
  const int64_t rows = a.rows - first < kColumnThreads ? a.rows - first : kColumnThreads;
  S* const p = (S*)view.data + first * a.classes;
  const int n = (int)(rows * a.classes);
  const int head = (int)((uintptr_t)p % 16 / sizeof(S));
  for (int i = thread() * V - head; i < n; i += kColumnThreads * V) {
    const bool whole = i >= 0 && i + V <= n;
    int row = i < 0 ? 0 : i / classes, c = i < 0 ? 0 : i - row * classes;
    if (whole) {
      Pack<S, V> pack;
      if (!write) pack = load_pack<V>(p + i);
      FASTLOSS_UNROLL
      for (int k = 0; k < V; ++k) {
        typename Compute<S>::type& at = tile[row * pitch + c];
        if (write) {
          pack.v[k] = narrow<S>(at);
        } else {
          at = widen(pack.v[k]);
        }
        if (++c == classes) c = 0, ++row;
      }
      if (write) store_pack<V>(p + i, pack);
    } else {
      for (int k = i < 0 ? -i : 0; k < V && i + k < n; ++k) {
        if (write) {
          store_one(p + i + k, narrow<S>(tile[row * pitch + c]));
        } else {
          tile[row * pitch + c] = widen(p[i + k]);
        }
        if (++c == classes) c = 0, ++row;
      }
    }
  }
}

// `P` adjacent rows per thread (their class planes are read P at a time); 1 with extras.
template <class S, template <class> class Loss, bool extras, int P>
FASTLOSS_KERNEL(kColumnThreads, extras || P > 1 ? 4 : 8)
rows_by_column(const Launch l) {
  using T = typename Compute<S>::type;
  const RowsArgs& a = l.problem.rows;
  if (nothing_to_do<T>(l.problem)) return;
  const bool tiled = l.plan.pitch > 0, on_chip = l.plan.on_chip;
  T* const tile = column_memory<T>();
  double sums[kSums] = {};
  const int64_t first = (block() * kColumnThreads + thread()) * P;
  const bool active = first < a.rows;

  if (tiled) {
    copy_tile<S, false>(l, a.logits, tile);
    block_barrier();
  }
  T* const own = tiled ? tile + thread() * l.plan.pitch : tile + thread() * P;
  const int64_t step = tiled ? 1 : kColumnThreads * P;

  if (active) {
    const S* const x = (const S*)a.logits.data + offset_of(a, a.logits, first);
    const S* const t =
        extras && a.probability.data ? (const S*)a.probability.data + offset_of(a, a.probability, first) : nullptr;
    Row rows[P];
    bool any = false;
    FASTLOSS_UNROLL
    for (int p = 0; p < P; ++p) {
      rows[p] = row_at<T>(a, first + p);
      any = any || rows[p].y >= 0;
    }
    T max[P], target[P];
    Sum<T> others[P];
    FASTLOSS_UNROLL
    for (int p = 0; p < P; ++p) max[p] = lowest<T>(), target[p] = 0;
    Part extra = empty_part<T>();
    const auto logits_at = [&](int64_t c, T(&z)[P]) {
      if (on_chip) {
        const Pack<T, P> pack = load_pack<P>(own + c * step);
        FASTLOSS_UNROLL
        for (int p = 0; p < P; ++p) z[p] = pack.v[p];
      } else {
        const Pack<S, P> pack = load_pack<P>(x + c * a.logits.class_stride);
        FASTLOSS_UNROLL
        for (int p = 0; p < P; ++p) z[p] = widen(pack.v[p]);
      }
    };
    const auto keep = [&](int64_t c, const T(&z)[P]) {
      Pack<T, P> pack;
      FASTLOSS_UNROLL
      for (int p = 0; p < P; ++p) pack.v[p] = z[p];
      store_pack<P>(own + c * step, pack);
    };

    if (any && extras) {
      const auto probability_at = [&](int64_t c) { return t ? widen(t[c * a.probability.class_stride]) : (T)0; };
      if (on_chip && !tiled) {
        FASTLOSS_UNROLL_BY(4)
        for (int64_t c = 0; c < a.classes; ++c) own[c * step] = widen(x[c * a.logits.class_stride]);
      }
      T z[P];
      if (!t) {
        logits_at(rows[0].y, z);
        target[0] = cap(a, z[0]);
      }
      if (!a.from_state) {
        Meter<T> meter;
        for (int64_t c = 0; c < a.classes; ++c) {
          logits_at(c, z);
          const T capped = cap(a, z[0]);
          meter.raise(capped);
          meter.add(a, capped, z[0], probability_at(c), c, rows[0].y);
        }
        extra = meter.part();
      }
    }
    if (any && !extras) {
      if (on_chip) {
        FASTLOSS_UNROLL_BY(4)
        for (int64_t c = 0; c < a.classes; ++c) {
          T z[P];
          if (tiled) {
            logits_at(c, z);
          } else {
            const Pack<S, P> pack = load_pack<P>(x + c * a.logits.class_stride);
            FASTLOSS_UNROLL
            for (int p = 0; p < P; ++p) z[p] = widen(pack.v[p]);
            keep(c, z);
          }
          FASTLOSS_UNROLL
          for (int p = 0; p < P; ++p) {
            max[p] = maximum(max[p], z[p]);
            if (c == rows[p].y) target[p] = z[p];
          }
        }
        FASTLOSS_UNROLL_BY(2)
        for (int64_t c = 0; c < a.classes; ++c) {
          T z[P];
          logits_at(c, z);
          FASTLOSS_UNROLL
          for (int p = 0; p < P; ++p) {
            z[p] = exp(z[p] - max[p]);
            if (c != rows[p].y) others[p].add(z[p]);
          }
          keep(c, z);
        }
      } else {
        constexpr int B = 4;  // classes at once: loads in flight, and one rescaling for all
        for (int64_t c = 0; c < a.classes; c += B) {
          T z[B][P];
          FASTLOSS_UNROLL
          for (int b = 0; b < B; ++b) {
            if (c + b < a.classes) {
              logits_at(c + b, z[b]);
            } else {
              FASTLOSS_UNROLL
              for (int p = 0; p < P; ++p) z[b][p] = -infinity<T>();
            }
          }
          FASTLOSS_UNROLL
          for (int p = 0; p < P; ++p) {
            T larger = max[p];
            FASTLOSS_UNROLL
            for (int b = 0; b < B; ++b) larger = maximum(larger, z[b][p]);
            if (larger > max[p]) others[p].scale(exp(max[p] - larger));
            max[p] = larger;
            FASTLOSS_UNROLL
            for (int b = 0; b < B; ++b) {
              if (c + b == rows[p].y) target[p] = z[b][p];
              if (c + b != rows[p].y) others[p].add(exp(z[b][p] - larger));
            }
          }
        }
      }
    }

    Factors<T> f[P];
    FASTLOSS_UNROLL
    for (int p = 0; p < P; ++p) {
      Part part = extra;
      if (!extras) part.max = max[p], part.others = others[p].total();
      f[p] = finish_row<S, Loss, extras>(l.problem, rows[p], part, target[p], true, sums);
    }

    if (extras && (a.gradient.data || a.want_stats || a.probability_gradient.data)) {
      S* const g = (S*)a.gradient.data + (a.gradient.data ? offset_of(a, a.gradient, first) : 0);
      S* const h = (S*)a.probability_gradient.data +
                   (a.probability_gradient.data ? offset_of(a, a.probability_gradient, first) : 0);
      for (int64_t c = 0; c < a.classes; ++c) {
        T z[P] = {};
        T v = 0, u = 0;
        if (any) {
          logits_at(c, z);
          v = gradient_at(a, f[0], z[0], t ? widen(t[c * a.probability.class_stride]) : (T)0, c,
                          t ? (int64_t)-1 : rows[0].y);
          if (a.probability_gradient.data) u = target_gradient_at(a, f[0], z[0], c);
        }
        if (a.want_stats) sums[6] += (double)v * (double)v;
        if (a.probability_gradient.data) store_one(h + c * a.probability_gradient.class_stride, narrow<S>(u));
        if (a.gradient.data) {
          if (tiled) {
            own[c] = v;
          } else {
            store_one(g + c * a.gradient.class_stride, narrow<S>(v));
          }
        }
      }
    }
    if (!extras && a.gradient.data) {
      S* const g = (S*)a.gradient.data + offset_of(a, a.gradient, first);
      FASTLOSS_UNROLL_BY(4)
      for (int64_t c = 0; c < a.classes; ++c) {
        T z[P] = {};
        if (any) logits_at(c, z);
        FASTLOSS_UNROLL
        for (int p = 0; p < P; ++p) {
          const T e = on_chip ? z[p] : exp(z[p] - f[p].max);
          z[p] = rows[p].y < 0 ? (T)0 : c == rows[p].y ? f[p].at_target : f[p].scale * e;
        }
        if (tiled) {
          own[c] = z[0];
        } else {
          Pack<S, P> pack;
          FASTLOSS_UNROLL
          for (int p = 0; p < P; ++p) pack.v[p] = narrow<S>(z[p]);
          store_pack<P>(g + c * a.gradient.class_stride, pack);
        }
      }
    }
  }
  if (tiled && a.gradient.data) {
    block_barrier();
    copy_tile<S, true>(l, a.gradient, tile);
  }
  write_sums<extras>(l.problem, sums, (double*)shared_memory());
}

// ------------------------------------------------------------------------------------------ several threads per row

// Shared memory of a group kernel; behind it the rows, as values of the computing type (`Chip`).
struct GroupMemory {
  double warps[kMaxWarps][kPart];    // parts of the block's warps
  double peers[kMaxCluster][kPart];  // parts of the cluster's blocks
  double sums[kMaxWarps][kSums];
  double factors[6];
};
static_assert(sizeof(GroupMemory) <= kGroupMemory, "plan.cu reserves kGroupMemory");

template <class T>
FASTLOSS_DEVICE void put_factors(GroupMemory& memory, const Factors<T>& f) {
  double* const to = memory.factors;
  to[0] = f.max, to[1] = f.scale, to[2] = f.at_target, to[3] = f.offset, to[4] = f.log_sum, to[5] = f.upstream;
}
template <class T>
FASTLOSS_DEVICE Factors<T> get_factors(const GroupMemory& memory) {
  const double* const p = memory.factors;
  return {(T)p[0], (T)p[1], (T)p[2], (T)p[3], (T)p[4], (T)p[5]};
}

template <int fields>
FASTLOSS_DEVICE void put_part(double* to, const Part& part) {
  const double* const from = (const double*)&part;
  FASTLOSS_UNROLL
  for (int k = 0; k < fields; ++k) to[k] = from[k];
}
template <int fields, class T>
FASTLOSS_DEVICE Part get_part(const double* from, bool there) {
  Part part = empty_part<T>();
  double* const to = (double*)&part;
  if (there) {
    FASTLOSS_UNROLL
    for (int k = 0; k < fields; ++k) to[k] = from[k];
  }
  return part;
}

// A thread's own values in shared memory, 16 bytes at a time: no two threads share one, so no barrier, and
// neighbouring threads have neighbouring vectors, so no bank conflict.
template <class T>
struct Chip {
  static constexpr int Q = 16 / sizeof(T);
  T* base;
  FASTLOSS_DEVICE T* at(int quad) const { return base + ((int64_t)quad * block_threads() + thread()) * Q; }
  FASTLOSS_DEVICE T& one(int i) const { return at(i / Q)[i % Q]; }
};

// Blocks that should fit a multiprocessor by their registers: 64 per thread where that does without spilling.
template <class S, bool extras, int G>
constexpr int group_blocks() {
  if (G == 512) return extras ? 1 : 2;
  return extras || sizeof(S) == 8 ? 4 : sizeof(S) == 4 ? 5 : 8;
}

// G threads per row. Blocks of kGroupBlock threads hold several rows; with more threads the block, or the cluster,
// holds one. A thread takes every G-th vector of a row, up to group_vectors of them.
// Plain kernels keep exponentials on the chip, relative to their warp's maximum: one exp per logit. Kernels with
// extras keep the logits, and their loops over them are not unrolled: they are long.
template <class S, template <class> class Loss, bool extras, int G>
FASTLOSS_KERNEL((G < kGroupBlock ? kGroupBlock : G), (group_blocks<S, extras, G>()))
rows_by_group(const Launch l) {
  using T = typename Compute<S>::type;
  constexpr int V = 16 / sizeof(S), Q = Chip<T>::Q;
  constexpr int U = (int)group_vectors(sizeof(S));
  constexpr int kRows = G < kGroupBlock ? kGroupBlock / G : 1;
  constexpr int kLanes = G < 32 ? G : 32;
  constexpr int kFields = extras ? kPart : kPlainPart;
  // Logits wait for their maximum on the chip if they would take too many registers, or are to be read again.
  constexpr bool staged = extras || sizeof(S) > 2;
  const RowsArgs& a = l.problem.rows;
  if (nothing_to_do<T>(l.problem)) return;
  const bool clustered = G == 512 && l.plan.cluster > 1;
  if (clustered) cluster_arrive();
  const int rank = clustered ? cluster_rank() : 0;
  GroupMemory& memory = *(GroupMemory*)shared_memory();
  const Chip<T> chip{(T*)(shared_memory() + kGroupMemory)};
  double sums[kSums] = {};

  const int lane = thread() % G;
  const int64_t index = kRows > 1 ? block() * kRows + thread() / G : block() / l.plan.cluster;
  const bool active = index < a.rows;
  Row row{index, -1, false, 1};
  if (active) row = row_at<T>(a, index);
  const bool kept = row.y >= 0;
  const S* const x = (const S*)a.logits.data + (active ? offset_of(a, a.logits, index) : 0);
  const S* const t = extras && a.probability.data && active
                         ? (const S*)a.probability.data + offset_of(a, a.probability, index)
                         : nullptr;
  const int head = (int)((uintptr_t)x % 16 / sizeof(S));
  const int classes = (int)a.classes, slice = (int)l.plan.slice, y = (int)row.y;
  const int origin = (rank * slice + lane) * V - head;  // class of this thread's first element
  const auto start = [&](int u) { return origin + u * G * V; };
  const auto mine = [&](int u) { return u * G + lane < slice && start(u) < classes && start(u) + V > 0; };
  const auto has = [&](int c) { return c >= 0 && c < classes; };

  T target = 0;
  T warp_max = lowest<T>();
  Pack<S, V> packs[U];
  if (kept) {
    if (!t) target = extras ? cap(a, widen(x[row.y])) : widen(x[row.y]);
    bool whole[U];
    FASTLOSS_UNROLL
    for (int u = 0; u < U; ++u) {
      const S* const p = x + start(u);
      whole[u] = mine(u) && (int64_t)p >= l.plan.begin && (int64_t)(p + V) <= l.plan.end;
      FASTLOSS_UNROLL
      for (int k = 0; k < V; ++k) packs[u].v[k] = narrow<S>(-infinity<T>());
      if (whole[u]) packs[u] = load_pack<V>(p);
    }
    FASTLOSS_UNROLL
    for (int u = 0; u < U; ++u) {
      const int c = start(u);
      if (!mine(u) || (c >= 0 && c + V <= classes)) continue;
      // An end of the row: mended in shared memory, which takes an index that is no constant, unlike registers.
      S* const slot = (S*)chip.at(0);
      store_pack<V>(slot, packs[u]);
      for (int k = 0; k < V; ++k) {
        if (!has(c + k)) slot[k] = narrow<S>(-infinity<T>());
        if (has(c + k) && !whole[u]) slot[k] = x[c + k];
      }
      packs[u] = load_pack<V>((const S*)slot);
    }
    if (staged) {
      FASTLOSS_UNROLL
      for (int i = 0; i < U * V; i += Q) {
        Pack<T, Q> quad;
        FASTLOSS_UNROLL
        for (int k = 0; k < Q; ++k) quad.v[k] = widen(packs[i / V].v[i % V + k]);
        if (!extras) {
          FASTLOSS_UNROLL
          for (int k = 0; k < Q; ++k) warp_max = maximum(warp_max, quad.v[k]);
        }
        store_pack<Q>(chip.at(i / Q), quad);
      }
      forget_memory();
    }
  }

  // Measures.
  Part part = empty_part<T>();
  bool near = false;  // this warp holds the target
  if (!extras || !a.from_state) {
    if (kept && !staged) {
      FASTLOSS_UNROLL
      for (int i = 0; i < U * V; ++i) warp_max = maximum(warp_max, widen(packs[i / V].v[i % V]));
    }
    if (kept && extras) {
      for (int i = 0; i < U * V; ++i) {
        if (mine(i / V) && has(start(i / V) + i % V)) warp_max = maximum(warp_max, cap(a, chip.one(i)));
      }
    }
    FASTLOSS_UNROLL
    for (int k = kLanes / 2; k > 0; k /= 2) warp_max = maximum(warp_max, shuffle_xor(warp_max, k));
    if (!extras) {
      const int vector = (y + head) / V - rank * slice;  // that holds the target
      near = any_lane(kept && vector >= 0 && vector < slice && vector % G == lane);
      part.max = warp_max;
      if (kept) {
        Sum<T> others;
        FASTLOSS_UNROLL
        for (int i = 0; i < U * V; i += Q) {
          Pack<T, Q> quad;
          if (staged) quad = load_pack<Q>((const T*)chip.at(i / Q));
          T few = 0;
          FASTLOSS_UNROLL
          for (int k = 0; k < Q; ++k) {
            const T e = exp((staged ? quad.v[k] : widen(packs[i / V].v[i % V + k])) - warp_max);
            quad.v[k] = e;
            few += near && start(i / V) + i % V + k == y ? (T)0 : e;
          }
          others.add(few);
          store_pack<Q>(chip.at(i / Q), quad);
        }
        forget_memory();
        part.others = others.total();
      }
    } else if (kept) {
      Meter<T> meter;
      meter.raise(warp_max);
      for (int i = 0; i < U * V; ++i) {
        const int c = start(i / V) + i % V;
        if (!mine(i / V) || !has(c)) continue;
        const T x_c = chip.one(i);
        meter.add(a, cap(a, x_c), x_c, t ? widen(t[c * a.probability.class_stride]) : (T)0, c, row.y);
      }
      part = meter.part();
    }
  }

  // Merges: the lanes of a group, then the warps of a block, then the blocks of a cluster.
  merge_lanes<T, extras, kLanes>(part);
  Factors<T> f{};
  if (G <= 32) {
    if (active) f = finish_row<S, Loss, extras>(l.problem, row, part, target, lane == 0, sums);
  } else {
    if (thread() % 32 == 0) put_part<kFields>(memory.warps[thread() / 32], part);
    block_barrier();
    if (thread() < 32) {
      part = get_part<kFields, T>(memory.warps[thread() % kMaxWarps], thread() < G / 32);
      merge_lanes<T, extras, 32>(part);
    }
    if (clustered) {
      cluster_wait();  // every block of the cluster runs: its shared memory may be written
      if (thread() < l.plan.cluster) {
        const double* const from = (const double*)&part;
        FASTLOSS_UNROLL
        for (int k = 0; k < kFields; ++k) cluster_store(&memory.peers[rank][k], thread(), from[k]);
      }
      cluster_arrive();
      cluster_wait();
      if (thread() < 32) {
        part = get_part<kFields, T>(memory.peers[thread() % kMaxCluster], thread() < l.plan.cluster);
        merge_lanes<T, extras, 32>(part);
      }
    }
    if (thread() < 32) {
      f = finish_row<S, Loss, extras>(l.problem, row, part, target, thread() == 0 && rank == 0, sums);
      if (thread() == 0) put_factors(memory, f);
    }
    block_barrier();
    f = get_factors<T>(memory);
  }

  // Writes.
  S* const g = (S*)a.gradient.data + (a.gradient.data && active ? offset_of(a, a.gradient, index) : 0);
  const bool write = active && a.gradient.data;
  if (!extras && write) {
    const T scale = !kept ? (T)0 : warp_max == f.max ? f.scale : f.scale * exp(warp_max - f.max);
    FASTLOSS_UNROLL
    for (int u = 0; u < U; ++u) {
      const int c = start(u);
      if (!mine(u)) continue;
      Pack<S, V> pack;
      FASTLOSS_UNROLL
      for (int k = 0; k < V; k += Q) {
        Pack<T, Q> quad{};
        if (kept) quad = load_pack<Q>(chip.at((u * V + k) / Q));
        FASTLOSS_UNROLL
        for (int j = 0; j < Q; ++j) {
          const T value = near && c + k + j == y ? f.at_target : quad.v[j] * scale;
          pack.v[k + j] = narrow<S>(kept ? value : (T)0);
        }
      }
      if (c >= 0 && c + V <= classes) {
        store_pack<V>(g + c, pack);
      } else {
        FASTLOSS_UNROLL
        for (int k = 0; k < V; ++k) {
          if (has(c + k)) store_one(g + c + k, pack.v[k]);
        }
      }
    }
  }
  if (extras && active && (write || a.want_stats || a.probability_gradient.data)) {
    S* const h = (S*)a.probability_gradient.data +
                 (a.probability_gradient.data ? offset_of(a, a.probability_gradient, index) : 0);
    double square = 0;
    for (int u = 0; u < U; ++u) {
      const int c = start(u);
      if (!mine(u)) continue;
      for (int k = 0; k < V; ++k) {
        if (!has(c + k)) continue;
        T value = 0, of_target = 0;
        if (kept) {
          const T x_c = chip.one(u * V + k);
          value = gradient_at(a, f, x_c, t ? widen(t[(c + k) * a.probability.class_stride]) : (T)0, c + k,
                              t ? (int64_t)-1 : row.y);
          of_target = target_gradient_at(a, f, x_c, c + k);
        }
        square += (double)value * (double)value;
        if (a.probability_gradient.data) {
          store_one(h + (c + k) * a.probability_gradient.class_stride, narrow<S>(of_target));
        }
        chip.one(u * V + k) = value;
      }
      if (!write) continue;
      if (c >= 0 && c + V <= classes) {
        Pack<S, V> pack;
        FASTLOSS_UNROLL
        for (int k = 0; k < V; ++k) pack.v[k] = narrow<S>(chip.one(u * V + k));
        store_pack<V>(g + c, pack);
      } else {
        for (int k = 0; k < V; ++k) {
          if (has(c + k)) store_one(g + c + k, narrow<S>(chip.one(u * V + k)));
        }
      }
    }
    if (a.want_stats) sums[6] = square;
  }
  if (G <= 32 || (extras && a.want_stats)) {
    write_sums<extras>(l.problem, sums, &memory.sums[0][0]);
  } else if (l.problem.sums && thread() == 0) {
    FASTLOSS_UNROLL
    for (int k = 0; k < 2; ++k) store_one(l.problem.sums + k * blocks() + block(), sums[k]);
  }
}

// ------------------------------------------------------------------------------------------- a block per row, twice

// Shared memory: GroupMemory. `adjacent`: classes lie next to each other and gradients like logits, so both go by
// 16-byte vectors; otherwise element by element, whatever the strides.
template <class S, template <class> class Loss, bool extras, bool adjacent>
FASTLOSS_KERNEL(kStreamThreads, 1)
rows_by_stream(const Launch l) {
  using T = typename Compute<S>::type;
  constexpr int V = adjacent ? 16 / sizeof(S) : 1;
  // Vectors in flight per thread. One with extras: the code of an element is long.
  constexpr int B = extras ? 1 : sizeof(S) == 2 ? 2 : 4;
  const RowsArgs& a = l.problem.rows;
  if (nothing_to_do<T>(l.problem)) return;
  GroupMemory& memory = *(GroupMemory*)shared_memory();
  double sums[kSums] = {};
  const int64_t index = block();
  const Row row = row_at<T>(a, index);
  const bool kept = row.y >= 0;
  const S* const x = (const S*)a.logits.data + offset_of(a, a.logits, index);
  const S* const t =
      extras && a.probability.data ? (const S*)a.probability.data + offset_of(a, a.probability, index) : nullptr;
  const int head = adjacent ? (int)((uintptr_t)x % 16 / sizeof(S)) : 0;

  // Calls f(first class, values) for every vector of this thread; elements outside the row are -infinity.
  const auto visit = [&](auto f) {
    for (int64_t first = (int64_t)thread() * V - head; first < a.classes; first += (int64_t)B * kStreamThreads * V) {
      T z[B][V];
      Pack<S, V> packs[B];
      bool whole[B];
      FASTLOSS_UNROLL
      for (int b = 0; b < B; ++b) {
        const int64_t c = first + (int64_t)b * kStreamThreads * V;
        const S* const p = x + c;
        whole[b] = adjacent && c < a.classes && (int64_t)p >= l.plan.begin && (int64_t)(p + V) <= l.plan.end;
        if (whole[b]) packs[b] = load_pack<V>(p);
      }
      FASTLOSS_UNROLL
      for (int b = 0; b < B; ++b) {
        const int64_t c = first + (int64_t)b * kStreamThreads * V;
        FASTLOSS_UNROLL
        for (int k = 0; k < V; ++k) {
          const bool has = c + k >= 0 && c + k < a.classes;
          z[b][k] = whole[b] ? widen(packs[b].v[k]) : has ? widen(x[(c + k) * a.logits.class_stride]) : (T)0;
          if (!has) z[b][k] = -infinity<T>();
        }
      }
      f(first, z);
    }
  };
  const auto class_at = [&](int64_t first, int b, int k) { return first + (int64_t)b * kStreamThreads * V + k; };
  const auto probability_at = [&](int64_t c) { return t ? widen(t[c * a.probability.class_stride]) : (T)0; };

  Part part = empty_part<T>();
  T target = 0;
  if (kept) {
    if (!t) target = extras ? cap(a, widen(x[row.y * a.logits.class_stride])) : widen(x[row.y * a.logits.class_stride]);
    if (!extras) {
      T max = lowest<T>();
      Sum<T> others;
      visit([&](int64_t first, T(&z)[B][V]) {
        T larger = max;
        FASTLOSS_UNROLL
        for (int b = 0; b < B; ++b) {
          FASTLOSS_UNROLL
          for (int k = 0; k < V; ++k) larger = maximum(larger, z[b][k]);
        }
        if (larger > max) others.scale(exp(max - larger));
        max = larger;
        FASTLOSS_UNROLL
        for (int b = 0; b < B; ++b) {
          T few = 0;
          FASTLOSS_UNROLL
          for (int k = 0; k < V; ++k) few += class_at(first, b, k) == row.y ? (T)0 : exp(z[b][k] - max);
          others.add(few);
        }
      });
      part.max = max;
      part.others = others.total();
    } else if (!a.from_state) {
      Meter<T> meter;
      visit([&](int64_t first, T(&z)[B][V]) {
        FASTLOSS_UNROLL
        for (int b = 0; b < B; ++b) {
          FASTLOSS_UNROLL
          for (int k = 0; k < V; ++k) {
            const int64_t c = class_at(first, b, k);
            if (c < 0 || c >= a.classes) continue;
            const T capped = cap(a, z[b][k]);
            meter.raise(capped);
            meter.add(a, capped, z[b][k], probability_at(c), c, row.y);
          }
        }
      });
      part = meter.part();
    }
  }

  merge_lanes<T, extras, 32>(part);
  constexpr int kFields = extras ? kPart : kPlainPart;
  if (thread() % 32 == 0) put_part<kFields>(memory.warps[thread() / 32], part);
  block_barrier();
  if (thread() < 32) {
    part = get_part<kFields, T>(memory.warps[thread() % kMaxWarps], thread() < kStreamThreads / 32);
    merge_lanes<T, extras, 32>(part);
    const Factors<T> f = finish_row<S, Loss, extras>(l.problem, row, part, target, thread() == 0, sums);
    if (thread() == 0) put_factors(memory, f);
  }
  block_barrier();
  const Factors<T> f = get_factors<T>(memory);

  S* const g = (S*)a.gradient.data + (a.gradient.data ? offset_of(a, a.gradient, index) : 0);
  S* const h =
      (S*)a.probability_gradient.data + (a.probability_gradient.data ? offset_of(a, a.probability_gradient, index) : 0);
  double square = 0;
  const auto put = [&](int64_t c, const Pack<S, V>& pack) {
    if (adjacent && c >= 0 && c + V <= a.classes) {
      store_pack<V>(g + c, pack);
    } else {
      FASTLOSS_UNROLL
      for (int k = 0; k < V; ++k) {
        if (c + k >= 0 && c + k < a.classes) store_one(g + (c + k) * a.gradient.class_stride, pack.v[k]);
      }
    }
  };
  if (kept && (a.gradient.data || (extras && (a.want_stats || a.probability_gradient.data)))) {
    visit([&](int64_t first, T(&z)[B][V]) {
      FASTLOSS_UNROLL
      for (int b = 0; b < B; ++b) {
        const int64_t c = class_at(first, b, 0);
        if (c >= a.classes) continue;
        Pack<S, V> pack;
        FASTLOSS_UNROLL
        for (int k = 0; k < V; ++k) {
          T value = 0;
          if (!extras) {
            value = c + k == row.y ? f.at_target : f.scale * exp(z[b][k] - f.max);
          } else if (c + k >= 0 && c + k < a.classes) {
            value = gradient_at(a, f, z[b][k], probability_at(c + k), c + k, t ? (int64_t)-1 : row.y);
            square += (double)value * (double)value;
            if (a.probability_gradient.data) {
              store_one(h + (c + k) * a.probability_gradient.class_stride,
                        narrow<S>(target_gradient_at(a, f, z[b][k], c + k)));
            }
          }
          pack.v[k] = narrow<S>(value);
        }
        if (a.gradient.data) put(c, pack);
      }
    });
  } else if (!kept) {
    Pack<S, V> zero;
    FASTLOSS_UNROLL
    for (int k = 0; k < V; ++k) zero.v[k] = narrow<S>((T)0);
    for (int64_t c = (int64_t)thread() * V - head; c < a.classes; c += (int64_t)kStreamThreads * V) {
      if (a.gradient.data) put(c, zero);
      for (int k = 0; extras && a.probability_gradient.data && k < V; ++k) {
        if (c + k >= 0 && c + k < a.classes) store_one(h + (c + k) * a.probability_gradient.class_stride, zero.v[k]);
      }
    }
  }
  if (extras && a.want_stats) sums[6] = square;
  write_sums<extras>(l.problem, sums, &memory.sums[0][0]);
}

// --------------------------------------------------------------------------------------------------------- dispatch

template <class S, template <class> class Loss>
int run(const RowsLaunch& problem, const RowsPlan& plan, void* stream) {
  const Launch l{problem, plan};
  const Stream s = (Stream)stream;
  const RowsArgs& a = problem.rows;
  const bool extras = a.probability.data || a.smoothing != 0 || a.softcap != 0 || a.want_stats || a.from_state;
  Grid grid{plan.blocks, kGroupBlock, plan.shared_bytes, plan.cluster};
  // double is rare and never fast: its plain kernels are those with every option
  constexpr bool plain = sizeof(S) == 8;
  switch (plan.path) {
    case RowsPath::columns_wide:
      if constexpr (!plain) return launch(&rows_by_column<S, Loss, false, 4>, grid, s, l);
      break;
    case RowsPath::columns:
    case RowsPath::tile:
      return launch(extras ? &rows_by_column<S, Loss, true, 1> : &rows_by_column<S, Loss, plain, 1>, grid, s, l);
    case RowsPath::group8:
      return launch(extras ? &rows_by_group<S, Loss, true, 8> : &rows_by_group<S, Loss, plain, 8>, grid, s, l);
    case RowsPath::group32:
      return launch(extras ? &rows_by_group<S, Loss, true, 32> : &rows_by_group<S, Loss, plain, 32>, grid, s, l);
    case RowsPath::group128:
      return launch(extras ? &rows_by_group<S, Loss, true, 128> : &rows_by_group<S, Loss, plain, 128>, grid, s, l);
    case RowsPath::group512:
      grid.threads = 512;
      return launch(extras ? &rows_by_group<S, Loss, true, 512> : &rows_by_group<S, Loss, plain, 512>, grid, s, l);
    case RowsPath::stream:
      grid.threads = kStreamThreads;
      return launch(extras ? &rows_by_stream<S, Loss, true, true> : &rows_by_stream<S, Loss, plain, true>, grid, s, l);
    case RowsPath::strided:
      grid.threads = kStreamThreads;
      return launch(&rows_by_stream<S, Loss, true, false>, grid, s, l);
  }
  return 1;
}

template <class S>
bool cluster_fits(int cluster) {
  const Grid grid{cluster, 512, group_bytes(512), cluster};
  return fits(&rows_by_group<S, CrossEntropy, true, 512>, grid);
}

#define FASTLOSS_ENTRY(name, Functor, params) &run<S, Functor>,
template <class S>
const RowsKernels& kernels() {
  static const RowsKernels table = {{FASTLOSS_ROWS_LOSSES(FASTLOSS_ENTRY)}, &cluster_fits<S>};
  return table;
}
#undef FASTLOSS_ENTRY

}  // namespace
}  // namespace fastloss::cuda
