// The softmax engine on CUDA: losses over rows of logits, forward and gradient. See csrc/README.md, "CUDA", for the
// traffic of each path.
//
// Note [Paths]
// A row is read once and kept on chip until its gradient is written, wherever it fits:
//   columns_wide, columns: a thread per row (or per few adjacent rows); the row waits in shared memory, where each
//       thread has its own column. For classes at dim 1, neighbouring threads hold neighbouring pixels.
//   tile: the same for few adjacent classes: a block's rows are one piece of memory, read and written as such; a row waits
//       in its thread's registers.
//   group128 .. group16384: named after the classes that they hold; 2 to 256 threads share a row, whose exponentials wait in
//       shared memory. Blocks of a cluster of up to 16 share the rows that outgrow one (compute capability 9.0 and later).
//   stream: a block per row that reads it twice, the second time from L2 if that holds the rows in flight.
//   strided: the same, element by element, for every other layout.
// All of them measure parts of a row, merge the parts, have engines/softmax/contract.h make loss and factors of them, and write.
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

#include <atomic>

#include "core/compute.h"
#include "engines/softmax/contract.h"
#include "device/stored.h"
#include "engines/softmax/cuda_base.h"
#include "engines/softmax/cuda.h"
#include "losses/functors.h"

namespace fastloss::cuda {
namespace {

constexpr int kColumnThreads = 128;
constexpr int kStreamThreads = 512;
constexpr int kMaxWarps = 16;
constexpr int kMaxCluster = 16;
constexpr int kKnownDevices = 64;

// What a kernel is told.
struct Launch {
  RowsLaunch problem;
  RowsPlan plan;
};

// ----------------------------------------------------------------------------------------------------- rows

// Cross entropy of probabilities that are stored as another type than the logits, which the launch names. Of probabilities
// every loss makes the same, so this one stands for all.
template <class T>
struct MixedProbabilities : CrossEntropy<T> {
  using CrossEntropy<T>::CrossEntropy;
};
template <template <class> class Loss>
constexpr bool kIsMixed = false;
template <>
constexpr bool kIsMixed<MixedProbabilities> = true;

// Where a row of probabilities lies, or of their gradient; null: there are none.
template <class S, template <class> class Loss>
FASTLOSS_DEVICE char* probabilities_of(const RowsArgs& a, const RowsView& view, int64_t row) {
  const int bytes = kIsMixed<Loss> ? bytes_of(a.probability_type) : (int)sizeof(S);
  return view.data ? (char*)view.data + offset_of(a, view, row) * bytes : nullptr;
}
template <class S, template <class> class Loss>
FASTLOSS_DEVICE typename Compute<S>::type probability_at(const RowsArgs& a, const char* row, int64_t c) {
  const int64_t at = c * a.probability.class_stride;
  if constexpr (kIsMixed<Loss>) return load_number<typename Compute<S>::type>(a.probability_type, row, at);
  return widen(((const S*)row)[at]);
}
template <class S, template <class> class Loss, class T>
FASTLOSS_DEVICE void put_probability_gradient(const RowsArgs& a, char* row, int64_t c, T value) {
  const int64_t at = c * a.probability_gradient.class_stride;
  if constexpr (kIsMixed<Loss>) {
    store_number(a.probability_type, row, at, value);
  } else {
    store_one((S*)row + at, narrow<S>(value));
  }
}

// A row before it is measured.
template <class T>
struct Row {
  int64_t index;
  int64_t y;  // class, or -1: contributes nothing
  bool bad;   // out of range: contributes NaN
  T weight;   // of its class
};

template <class T>
FASTLOSS_DEVICE Row<T> row_at(const RowsArgs& a, int64_t index) {
  Row<T> row{index, 0, false, 1};
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

template <class T, class F>
FASTLOSS_DEVICE F upstream_of(const RowsLaunch& l, int64_t row) {
  const F scale = l.divisor ? (F)1 / (F)*l.divisor : (F)1;
  return l.rows.upstream ? scale * (F)((const T*)l.rows.upstream)[row * l.upstream_stride] : scale;
}

template <class T>
FASTLOSS_DEVICE bool nothing_to_do(const RowsLaunch& l) {
  return l.unless_one && *(const T*)l.rows.upstream == (T)1;
}

// Calls work(k) for each block k of the plan that falls to this one: several where the grid is smaller (plan_rows says when).
// Grids are whole clusters, so the blocks of a cluster go on together.
template <class T, class F>
FASTLOSS_DEVICE void for_blocks(const Launch& l, const F& work) {
  if (nothing_to_do<T>(l.problem)) return;
  for (int64_t k = block();;) {
    work(k);
    k += blocks();
    if (k >= l.plan.blocks) return;
    block_barrier();  // shared memory may still be read
  }
}

template <class T>
FASTLOSS_DEVICE T class_weight(const RowsArgs& a, int64_t c) {
  return a.weight ? ((const T*)a.weight)[c] : (T)1;
}

// ------------------------------------------------------------------------------------------------------ sums

// What a part of a row adds up to, relative to its own maximum. See Note [Rows] in engines/softmax/contract.h; `all` includes the
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

template <int lanes, class T>
FASTLOSS_DEVICE T sum_lanes(T v) {
  FASTLOSS_UNROLL
  for (int k = lanes / 2; k > 0; k /= 2) v += shuffle_xor(v, k);
  return v;
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

  // `z` is the formulas' logit, `x` that in memory, `t` its probability if targets are probabilities.
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
      const T share =
          class_weight<T>(a, c) * ((T)(1 - a.label_smoothing) * t + (T)(a.label_smoothing / (double)a.classes));
      gap.add(share * d);
      mass.add(share);
      if (a.want_stats) {
        plain_gap.add(t * d);
        plain_mass.add(t);
        if (t > top) top = t, top_class = c;
      }
    } else if (a.label_smoothing != 0) {
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

// What the formulas of a row compute in: double, as a row is many logits; but half precision's plain kernels are short of
// instructions (Note [Instructions]), and float is exact enough for what they are made from.
template <class S, bool extras>
struct FormulaOf {
  using type = double;
};
template <>
struct FormulaOf<BFloat16, false> {
  using type = float;
};
template <>
struct FormulaOf<Half, false> {
  using type = float;
};
template <class S, bool extras>
using Formula = typename FormulaOf<S, extras>::type;

// A row from its merged parts: the formulas of engines/softmax/contract.h. `target` is the target's `logit`. Called by one thread
// of the row, or by several with the same arguments, of which one has `leads` set: it writes the row's loss and state.
template <class S, template <class> class Loss, bool extras>
FASTLOSS_DEVICE Factors<typename Compute<S>::type> finish_row(const RowsLaunch& l,
                                                              const Row<typename Compute<S>::type>& row, Part p,
                                                              typename Compute<S>::type target,
                                                              Formula<S, extras> upstream, bool leads,
                                                              double (&sums)[kSums]) {
  using T = typename Compute<S>::type;
  using F = Formula<S, extras>;
  const RowsArgs& a = l.rows;
  const bool soft = extras && a.probability.data, kept = row.y >= 0;
  if (a.from_state && kept) {
    const T* const state = (const T*)a.state;
    p.max = state[row.index];
    p.others = state[a.rows + row.index];
    p.mass = soft ? (double)state[2 * a.rows + row.index] : 0;
    p.gap = 0;
  }
  RowOptions options{0, a.z_loss, 0, 0};
  if (extras) {
    options.smoothing = a.label_smoothing;
    options.inverse_classes = 1.0 / (double)a.classes;
    options.weight_sum = l.weight_sum ? *l.weight_sum : a.weight_sum;
  }
  const T margin = extras && a.margin && kept ? ((const T*)a.margin)[row.y] : (T)0;
  const T distance = soft ? (T)0 : target - (T)p.max - margin;
  const F e = soft ? (F)0 : (F)exp(distance);
  const F max = (F)p.max, others = (F)p.others, gap = (F)p.gap;
  const F factor = extras ? upstream_of_logits<F>(a, (F)upstream) : upstream;
  const RowTerms<F> r =
      soft ? probability_row<F>(options, max, others, gap, (F)p.mass, factor)
           : index_row<F>(Loss<F>(a.params), options, max, others, (F)distance, e, gap, (F)row.weight, factor);
  if (leads) {
    if (a.row_loss) store_one((T*)a.row_loss + row.index, row.bad ? (T)not_a_number() : kept ? (T)r.loss : (T)0);
    if (a.state && !a.from_state) {
      T* const state = (T*)a.state;
      store_one(state + row.index, kept ? (T)p.max : (T)0);
      store_one(state + a.rows + row.index, kept ? (T)p.others : (T)0);
      if (soft) store_one(state + 2 * a.rows + row.index, kept ? (T)p.mass : (T)0);
    }
    if (kept || row.bad) {
      sums[0] += row.bad ? not_a_number() : (double)r.loss;
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
  T slope;
  T v = f.scale * exp(logit<T>(a, x, slope) - f.max);
  if (a.probability.data) {
    v -= f.offset * class_weight<T>(a, c) *
         ((T)(1 - a.label_smoothing) * t + (T)(a.label_smoothing / (double)a.classes));
  } else {
    if (a.label_smoothing != 0) v -= f.offset * class_weight<T>(a, c);
    if (c == y) v = f.at_target;
  }
  return has_slope(a) ? v * slope : v;
}

// d loss / d t_c = (1 - eps) w_c (lse - z_c) upstream
template <class T>
FASTLOSS_DEVICE T target_gradient_at(const RowsArgs& a, const Factors<T>& f, T x, int64_t c) {
  return (T)(1 - a.label_smoothing) * class_weight<T>(a, c) * (f.log_sum + (f.max - logit(a, x))) * f.upstream;
}

// Adds up the block's sums in a fixed order and writes them. Every thread of the block calls it; only every `apart`th has any.
// `scratch` is shared memory of kSums doubles per warp.
template <bool extras, int apart = 1>
FASTLOSS_DEVICE void write_sums(const Launch& l, int64_t at, double (&sums)[kSums], double* scratch) {
  if (!l.problem.sums) return;
  const int n = extras && l.problem.rows.want_stats ? kSums : 2;
  FASTLOSS_UNROLL
  for (int k = 0; k < (extras ? kSums : 2); ++k) {
    if (k >= n) continue;
    FASTLOSS_UNROLL
    for (int lanes = 16; lanes >= apart; lanes /= 2) sums[k] += shuffle_xor(sums[k], lanes);
    if (thread() % 32 == 0) scratch[thread() / 32 * kSums + k] = sums[k];
  }
  block_barrier();
  const int warps = block_threads() / 32;
  for (int k = thread(); k < n; k += block_threads()) {
    double total = 0;
    for (int w = 0; w < warps; ++w) total += scratch[w * kSums + k];
    store_one(l.problem.sums + k * l.plan.blocks + at, total);
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
FASTLOSS_DEVICE void copy_tile(const Launch& l, int64_t at, const RowsView& view, typename Compute<S>::type* tile) {
  constexpr int V = 16 / sizeof(S);
  const RowsArgs& a = l.problem.rows;
  const int classes = (int)a.classes, pitch = l.plan.pitch;
  const int64_t first = at * kColumnThreads;
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
FASTLOSS_DEVICE void column_rows(const Launch& l, const int64_t at) {
  using T = typename Compute<S>::type;
  const RowsArgs& a = l.problem.rows;
  const bool tiled = l.plan.pitch > 0, on_chip = l.plan.on_chip;
  T* const tile = column_memory<T>();
  double sums[kSums] = {};
  const int64_t first = (at * kColumnThreads + thread()) * P;
  const bool active = first < a.rows;

  if (tiled) {
    copy_tile<S, false>(l, at, a.logits, tile);
    block_barrier();
  }
  T* const own = tiled ? tile + thread() * l.plan.pitch : tile + thread() * P;
  const int64_t step = tiled ? 1 : kColumnThreads * P;

  if (active) {
    const S* const x = (const S*)a.logits.data + offset_of(a, a.logits, first);
    const char* const t = extras ? probabilities_of<S, Loss>(a, a.probability, first) : nullptr;
    Row<T> rows[P];
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
      if (on_chip && !tiled) {
        FASTLOSS_UNROLL_BY(4)
        for (int64_t c = 0; c < a.classes; ++c) own[c * step] = widen(x[c * a.logits.class_stride]);
      }
      T z[P];
      if (!t) {
        logits_at(rows[0].y, z);
        target[0] = logit(a, z[0]);
      }
      if (!a.from_state) {
        Meter<T> meter;
        for (int64_t c = 0; c < a.classes; ++c) {
          logits_at(c, z);
          const T tempered = logit(a, z[0]);
          meter.raise(tempered);
          meter.add(a, tempered, z[0], t ? probability_at<S, Loss>(a, t, c) : (T)0, c, rows[0].y);
        }
        extra = meter.part();
      }
    }
    if (any && !extras) {
      const auto from_state = [&] {
        FASTLOSS_UNROLL
        for (int p = 0; p < P; ++p) max[p] = ((const T*)a.state)[rows[p].index];
      };
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
        if (a.from_state) from_state();
        FASTLOSS_UNROLL_BY(2)
        for (int64_t c = 0; c < a.classes; ++c) {
          T z[P];
          logits_at(c, z);
          FASTLOSS_UNROLL
          for (int p = 0; p < P; ++p) {
            z[p] = exp_of<S>(z[p] - max[p]);
            if (c != rows[p].y) others[p].add(z[p]);
          }
          keep(c, z);
        }
      } else if (a.from_state) {
        from_state();
        FASTLOSS_UNROLL
        for (int p = 0; p < P; ++p) {
          if (rows[p].y >= 0) target[p] = widen(x[rows[p].y * a.logits.class_stride + p]);
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
              if (c + b != rows[p].y) others[p].add(exp_of<S>(z[b][p] - larger));
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
      f[p] = finish_row<S, Loss, extras>(l.problem, rows[p], part, target[p],
                                         upstream_of<T, Formula<S, extras>>(l.problem, rows[p].index), true, sums);
    }

    if (extras && (a.gradient.data || a.want_stats || a.probability_gradient.data)) {
      S* const g = (S*)a.gradient.data + (a.gradient.data ? offset_of(a, a.gradient, first) : 0);
      char* const h = probabilities_of<S, Loss>(a, a.probability_gradient, first);
      for (int64_t c = 0; c < a.classes; ++c) {
        T z[P] = {};
        T v = 0, u = 0;
        if (any) {
          logits_at(c, z);
          v = gradient_at(a, f[0], z[0], t ? probability_at<S, Loss>(a, t, c) : (T)0, c, t ? (int64_t)-1 : rows[0].y);
          if (h) u = target_gradient_at(a, f[0], z[0], c);
        }
        if (a.want_stats) sums[6] += (double)v * (double)v;
        if (h) put_probability_gradient<S, Loss>(a, h, c, u);
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
          const T e = on_chip ? z[p] : exp_of<S>(z[p] - f[p].max);
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
    copy_tile<S, true>(l, at, a.gradient, tile);
  }
  write_sums<extras>(l, at, sums, (double*)shared_memory());
}

template <class S, template <class> class Loss, bool extras, int P>
FASTLOSS_KERNEL(kColumnThreads, extras || P > 1 ? 4 : 8)
rows_by_column(const Launch l) {
  for_blocks<typename Compute<S>::type>(l, [&](int64_t k) { column_rows<S, Loss, extras, P>(l, k); });
}

// ------------------------------------------------------------------------------------------- a thread per short row

// Where a byte of the tile lies in shared memory: lines of 128 bytes stand 16 apart, or neighbouring threads, on rows of a power
// of two of bytes, would meet on few banks. Vectors stay whole. (Double has no kernel that asks.)
[[maybe_unused]] FASTLOSS_DEVICE char* tile_at(char* tile, int byte) { return tile + byte + (byte >> 7) * 16; }

// Copies the block's rows between memory and shared memory as they are. They begin `head` elements behind a multiple of 16 bytes,
// in both.
template <class S, bool write>
FASTLOSS_DEVICE void copy_rows(S* p, int n, int head, char* tile) {
  constexpr int V = 16 / sizeof(S), B = 4;  // vectors on their way at a time
  const auto at = [&](int i) { return tile_at(tile, (i + head) * (int)sizeof(S)); };
  for (int first = thread() * V - head; first < n; first += B * kColumnThreads * V) {
    Pack<S, V> packs[B];
    const auto whole = [&](int i) { return i >= 0 && i + V <= n; };
    FASTLOSS_UNROLL
    for (int b = 0; b < B; ++b) {
      const int i = first + b * kColumnThreads * V;
      if (whole(i)) packs[b] = load_pack<V>(write ? (const S*)at(i) : p + i);
    }
    FASTLOSS_UNROLL
    for (int b = 0; b < B; ++b) {
      const int i = first + b * kColumnThreads * V;
      if (whole(i)) store_pack<V>(write ? p + i : (S*)at(i), packs[b]);
    }
    FASTLOSS_UNROLL_BY(1)
    for (int b = 0; b < B; ++b) {
      const int i = first + b * kColumnThreads * V;
      FASTLOSS_UNROLL_BY(1)
      for (int k = 0; !whole(i) && k < V; ++k) {
        if (i + k < 0 || i + k >= n) continue;
        if (write) {
          store_one(p + i + k, *(const S*)at(i + k));
        } else {
          *(S*)at(i + k) = p[i + k];
        }
      }
    }
  }
}

// Shared memory: sums of the warps, then the tile. Rows of up to kFewClasses adjacent classes, one behind the other; a thread
// takes its row into registers and leaves the gradient where the row was. Its own target is not in the sum: Note [Instructions].
template <class S, template <class> class Loss>
FASTLOSS_DEVICE void tile_rows(const Launch& l, const int64_t at) {
  using T = typename Compute<S>::type;
  constexpr int Q = 4;
  const RowsArgs& a = l.problem.rows;
  const int classes = (int)a.classes;
  const int64_t first = at * kColumnThreads, left = a.rows - first;
  const int n = (int)(left < kColumnThreads ? left : kColumnThreads) * classes;
  S* const x = (S*)a.logits.data + first * classes;
  S* const g = (S*)a.gradient.data + (a.gradient.data ? first * classes : 0);
  const int head = (int)((uintptr_t)x % 16 / sizeof(S)), gradient_head = (int)((uintptr_t)g % 16 / sizeof(S));
  char* const tile = (char*)column_memory<T>();
  double sums[kSums] = {};
  const int64_t index = first + thread();
  const bool active = thread() < left;
  Row<T> row{index, -1, false, 1};
  if (active) row = row_at<T>(a, index);
  const bool kept = row.y >= 0;
  const auto upstream = kept ? upstream_of<T, Formula<S, false>>(l.problem, index) : 0;
  copy_rows<S, false>(x, n, head, tile);
  block_barrier();

  T z[kFewClasses];
  Factors<T> f{};
  const auto own = [&](int head, int c) { return (S*)tile_at(tile, (head + thread() * classes + c) * (int)sizeof(S)); };
  if (kept) {
    S* const mine = own(head, (int)row.y);
    const T target = widen(*mine);
    *mine = narrow<S>(-infinity<T>());
    forget_memory();
    T max = target;
    FASTLOSS_UNROLL
    for (int c = 0; c < kFewClasses; c += Q) {
      if (c >= classes) break;
      FASTLOSS_UNROLL
      for (int k = 0; k < Q; ++k) {
        z[c + k] = c + k < classes ? widen(*own(head, c + k)) : -infinity<T>();
        max = maximum(max, z[c + k]);
      }
    }
    if (max < lowest<T>()) max = lowest<T>();
    if (a.from_state) max = ((const T*)a.state)[index];
    Sum<T> others;
    FASTLOSS_UNROLL
    for (int c = 0; c < kFewClasses; c += Q) {
      if (c >= classes) break;
      FASTLOSS_UNROLL
      for (int k = 0; k < Q; ++k) z[c + k] = exp_of<S>(z[c + k] - max);
      others.add((z[c] + z[c + 1]) + (z[c + 2] + z[c + 3]));
    }
    Part part = empty_part<T>();
    part.max = max;
    part.others = others.total();
    f = finish_row<S, Loss, false>(l.problem, row, part, target, upstream, true, sums);
  } else if (active) {
    finish_row<S, Loss, false>(l.problem, row, empty_part<T>(), (T)0, upstream, true, sums);
  }

  if (a.gradient.data) {
    block_barrier();  // its rows may lie elsewhere on the grid
    if (active) {
      FASTLOSS_UNROLL
      for (int c = 0; c < kFewClasses; c += Q) {
        if (c >= classes) break;
        FASTLOSS_UNROLL
        for (int k = 0; k < Q; ++k) {
          if (c + k < classes) *own(gradient_head, c + k) = narrow<S>(kept ? z[c + k] * f.scale : (T)0);
        }
      }
      if (kept) *own(gradient_head, (int)row.y) = narrow<S>(f.at_target);
    }
    block_barrier();
    copy_rows<S, true>(g, n, gradient_head, tile);
  }
  write_sums<false>(l, at, sums, (double*)shared_memory());
}

template <class S, template <class> class Loss>
FASTLOSS_KERNEL(kColumnThreads, (sizeof(S) == 4 ? 4 : 5))
rows_by_tile(const Launch l) {
  for_blocks<typename Compute<S>::type>(l, [&](int64_t k) { tile_rows<S, Loss>(l, k); });
}

// ------------------------------------------------------------------------------------------ several threads per row

// Shared memory of a group kernel; behind it the rows, as values of the computing type (`Chip`).
struct GroupMemory {
  double warps[kMaxWarps][kPart];    // parts of the block's warps
  double peers[kMaxCluster][kPart];  // parts of the cluster's blocks
  double sums[kMaxWarps][kSums];
  double factors[6];
  double upstream;
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
template <class T, int threads>
struct Chip {
  static constexpr int Q = 16 / sizeof(T);
  T* own;  // this thread's first vector
  FASTLOSS_DEVICE Chip(char* memory, int thread) : own((T*)memory + thread * Q) {}
  FASTLOSS_DEVICE T* at(int quad) const { return own + quad * (threads * Q); }
  FASTLOSS_DEVICE T& one(int i) const { return at(i / Q)[i % Q]; }
};

// Q values from the k-th on.
template <int Q, class T, int N>
FASTLOSS_DEVICE Pack<T, Q> part_of(const T (&values)[N], int k) {
  Pack<T, Q> pack;
  FASTLOSS_UNROLL
  for (int j = 0; j < Q; ++j) pack.v[j] = values[k + j];
  return pack;
}
template <int Q, class T, int N>
FASTLOSS_DEVICE void put_part_of(T (&values)[N], int k, const Pack<T, Q>& pack) {
  FASTLOSS_UNROLL
  for (int j = 0; j < Q; ++j) values[k + j] = pack.v[j];
}

// Blocks that should fit a multiprocessor by their registers, as many as fit by shared memory on sm_90 where that does not spill.
template <class S, bool extras, int G>
constexpr int group_blocks() {
  const bool many = extras || sizeof(S) > 2;
  return G == 256 ? (many ? 2 : 3) : G == 64 ? (many ? 8 : 10) : extras || sizeof(S) == 8 ? 4 : 5;
}

// G threads per row. Up to a warp share a block with other rows; more are a block, or a cluster of blocks. A thread takes every
// G-th vector of a row, up to group_vectors of them.
// Plain kernels keep exponentials on the chip, relative to their warp's maximum: one exp per logit. Kernels with
// extras keep the logits, and their loops over them are not unrolled: they are long.
//
// Note [Instructions]
// A bfloat16 logit that is read and written at 4.3 TB/s leaves an H200 27 instructions, a float32 one 55. So nothing is asked
// per element that can be asked per vector or per row: which elements a row has, and which is its target, only the threads that
// hold its ends and its target ask. They mend their vectors in shared memory, which takes an index that is no constant: what is
// not of the row and the target itself become -inf, whose exponential adds nothing, and the target's gradient is written over
// the zero that comes of it.
template <class S, template <class> class Loss, bool extras, int G>
FASTLOSS_DEVICE void group_rows(const Launch& l, const int64_t at) {
  using T = typename Compute<S>::type;
  using F = Formula<S, extras>;
  const int self = forget_origin(thread());  // or what follows from it waits in registers for the next rows
  constexpr int kThreads = group_block(G);
  constexpr int V = 16 / sizeof(S), Q = 16 / sizeof(T);
  constexpr int U = group_vectors(sizeof(S)), kTurn = G * V;
  constexpr bool kClusters = G == group_threads(16384);
  constexpr int kRows = kThreads / G;
  constexpr int kLanes = G < 32 ? G : 32;
  constexpr int kFields = extras ? kPart : kPlainPart;
  // Logits wait for their maximum on the chip if they would take too many registers, or are to be read again.
  constexpr bool staged = extras || sizeof(S) > 2;
  const RowsArgs& a = l.problem.rows;
  const bool clustered = kClusters && l.plan.cluster > 1;
  if (clustered) {
    if (at == block()) {
      cluster_arrive_relaxed();  // nothing was written yet
    } else {
      cluster_arrive();
    }
  }
  const int rank = clustered ? cluster_rank() : 0;
  GroupMemory& memory = *(GroupMemory*)shared_memory();
  const Chip<T, kThreads> chip(shared_memory() + kGroupMemory, self);
  double sums[kSums] = {};

  const int lane = self % G;
  // Clusters have rows of 32 KB and more, which 32 bits count.
  const int64_t index = kRows > 1 ? at * kRows + self / G : clustered ? (uint32_t)at / (uint32_t)l.plan.cluster : at;
  const bool active = kRows == 1 || index < a.rows;
  Row<T> row{index, -1, false, 1};
  if (active) row = row_at<T>(a, index);
  const bool kept = row.y >= 0;
  // Early, since it may take as long as the logits; in shared memory where one warp needs it.
  F upstream = G <= 32 && kept ? upstream_of<T, F>(l.problem, index) : (F)0;
  const S* const x = (const S*)a.logits.data + (active ? offset_of(a, a.logits, index) : 0);
  const char* const t = extras && active ? probabilities_of<S, Loss>(a, a.probability, index) : nullptr;
  const int head = (int)((uintptr_t)x % 16 / sizeof(S));
  const int slice = (int)l.plan.slice, turns = l.plan.turns, y = (int)row.y;
  const int origin = (rank * slice + lane) * V - head;  // class of this thread's first element
  const int block_end = (rank + 1) * slice * V - head;
  const int end = (int)a.classes < block_end ? (int)a.classes : block_end;
  const auto start = [&](int u) { return origin + u * kTurn; };
  const auto has = [&](int c) { return c >= 0 && c < end; };
  const auto mine = [&](int u) { return start(u) < end; };
  const auto whole = [&](int u) { return end - origin >= u * kTurn + V && (u > 0 || origin >= 0); };
  // Vectors that reach over the row's ends are read as well, where the tensor goes on there.
  const int64_t before = (l.plan.begin - (int64_t)x) / (int)sizeof(S),
                behind = (l.plan.end - (int64_t)x) / (int)sizeof(S);
  const bool first_readable = origin >= 0 || origin >= before;
  const int read_end = end + (V - 1) <= behind ? end + (V - 1) : end;
  const auto readable = [&](int u) { return read_end - origin >= u * kTurn + V && (u > 0 || first_readable); };
  // The ends and the target of the row among this thread's vectors.
  const int rest = end - origin, last_turn = (int)((unsigned)rest / kTurn), ragged = (int)((unsigned)rest % kTurn);
  const bool first = origin < 0, last = rest > 0 && ragged > 0 && ragged < V && !(first && last_turn == 0);
  const int place = y - origin, its_turn = (int)((unsigned)place / kTurn), its_place = (int)((unsigned)place % kTurn);
  const bool near = !extras && kept && place >= 0 && y < end && its_place < V;

  T target = 0;
  T warp_max = lowest<T>();
  Pack<S, V> packs[U];
  if (kept) {
    if (!t) target = extras ? logit(a, widen(x[y])) : widen(x[y]);
    FASTLOSS_UNROLL
    for (int u = 0; u < U; ++u) {
      packs[u] = fill_pack<V>(narrow<S>(-infinity<T>()));
      if (readable(u)) packs[u] = load_pack<V>(x + origin + u * kTurn);
    }
    if (G > 32 && self == 0) memory.upstream = upstream_of<T, F>(l.problem, index);
    if (first || last || near) {
      const auto slot = [&](int u) { return (S*)chip.at(u); };
      FASTLOSS_UNROLL
      for (int u = 0; u < U; ++u) store_pack<V>(slot(u), packs[u]);
      forget_memory();
      FASTLOSS_UNROLL_BY(1)
      for (int i = 0; (first || last) && i < 2 * V; ++i) {
        const int u = i < V ? 0 : last_turn, k = i % V, c = start(u) + k;
        if (!(i < V ? first : last)) continue;
        if (!has(c)) slot(u)[k] = narrow<S>(-infinity<T>());
        if (has(c) && !readable(u)) slot(u)[k] = x[c];
      }
      if (near) slot(its_turn)[its_place] = narrow<S>(-infinity<T>());
      forget_memory();
      FASTLOSS_UNROLL
      for (int u = 0; u < U; ++u) packs[u] = load_pack<V>(slot(u));
    }
    if (!extras) warp_max = maximum(target, largest(packs));
    if (staged) {
      FASTLOSS_UNROLL
      for (int u = 0; u < U; ++u) {
        T values[V];
        widen_pack(packs[u], values);
        FASTLOSS_UNROLL
        for (int k = 0; k < V; k += Q) store_pack<Q>(chip.at((u * V + k) / Q), part_of<Q>(values, k));
      }
      forget_memory();
    }
  } else if (!extras) {
    FASTLOSS_UNROLL
    for (int i = 0; i < U * V; i += Q) store_pack<Q>(chip.at(i / Q), Pack<T, Q>{});
  }

  // Measures.
  Part part = empty_part<T>();
  if (!extras || !a.from_state) {
    if (kept && extras) {
      for (int i = 0; i < U * V; ++i) {
        if (has(start(i / V) + i % V)) warp_max = maximum(warp_max, logit(a, chip.one(i)));
      }
    }
    FASTLOSS_UNROLL
    for (int k = kLanes / 2; k > 0; k /= 2) warp_max = maximum(warp_max, shuffle_xor(warp_max, k));
    if (!extras) {
      if (a.from_state && kept) warp_max = ((const T*)a.state)[index];
      part.max = warp_max;
      if (kept) {
        Sum<T> others;
        FASTLOSS_UNROLL
        for (int u = 0; u < U; ++u) {
          if (u >= turns) break;
          T values[V];
          if (staged) {
            FASTLOSS_UNROLL
            for (int k = 0; k < V; k += Q) put_part_of<Q>(values, k, load_pack<Q>(chip.at((u * V + k) / Q)));
          } else {
            widen_pack(packs[u], values);
          }
          FASTLOSS_UNROLL
          for (int k = 0; k < V; ++k) values[k] = exp_of<S>(values[k] - warp_max);
          FASTLOSS_UNROLL
          for (int k = 0; k < V; k += Q) {
            T few = values[k];
            FASTLOSS_UNROLL
            for (int j = 1; j < Q; ++j) few += values[k + j];
            others.add(few);
            store_pack<Q>(chip.at((u * V + k) / Q), part_of<Q>(values, k));
          }
        }
        forget_memory();
        part.others = others.total();
      }
    } else if (kept) {
      Meter<T> meter;
      meter.raise(warp_max);
      for (int i = 0; i < U * V; ++i) {
        const int c = start(i / V) + i % V;
        if (!has(c)) continue;
        const T x_c = chip.one(i);
        meter.add(a, logit(a, x_c), x_c, t ? probability_at<S, Loss>(a, t, c) : (T)0, c, row.y);
      }
      part = meter.part();
    }
  }

  // Merges: the lanes of a group, then the warps of a block, then the blocks of a cluster.
  if (extras) {
    merge_lanes<T, extras, kLanes>(part);
  } else {
    part.others = sum_lanes<kLanes>((F)part.others);  // which have one maximum
  }
  Factors<T> f{};
  if (G <= 32) {
    if (active) f = finish_row<S, Loss, extras>(l.problem, row, part, target, upstream, lane == 0, sums);
  } else {
    if (self % 32 == 0) put_part<kFields>(memory.warps[self / 32], part);
    block_barrier();
    if (self < 32) {
      part = get_part<kFields, T>(memory.warps[self % kMaxWarps], self < G / 32);
      merge_lanes<T, extras, 32>(part);
    }
    if (clustered) {
      cluster_wait();  // every block of the cluster runs: its shared memory may be written
      if (self < l.plan.cluster) {
        const double* const from = (const double*)&part;
        FASTLOSS_UNROLL
        for (int k = 0; k < kFields; ++k) cluster_store(&memory.peers[rank][k], self, from[k]);
      }
      cluster_arrive();
      cluster_wait();
      if (self < 32) {
        part = get_part<kFields, T>(memory.peers[self % kMaxCluster], self < l.plan.cluster);
        merge_lanes<T, extras, 32>(part);
      }
    }
    if (self < 32) {
      if (kept) upstream = (F)memory.upstream;
      f = finish_row<S, Loss, extras>(l.problem, row, part, target, upstream, self == 0 && rank == 0, sums);
      if (self == 0) put_factors(memory, f);
    }
    block_barrier();
    f = get_factors<T>(memory);
  }

  // Writes.
  S* const g = (S*)a.gradient.data + (a.gradient.data && active ? offset_of(a, a.gradient, index) : 0);
  const bool write = active && a.gradient.data;
  if (!extras && write) {
    const T scale = !kept ? (T)0 : warp_max == f.max ? f.scale : f.scale * exp_of<S>(warp_max - f.max);
    FASTLOSS_UNROLL
    for (int u = 0; u < U; ++u) {
      if (u >= turns) break;
      T values[V];
      FASTLOSS_UNROLL
      for (int k = 0; k < V; k += Q) put_part_of<Q>(values, k, load_pack<Q>(chip.at((u * V + k) / Q)));
      FASTLOSS_UNROLL
      for (int k = 0; k < V; ++k) values[k] *= scale;
      if (whole(u)) store_pack_global<V>(g + origin + u * kTurn, narrow_pack<S>(values));
    }
    if (first || last) {
      FASTLOSS_UNROLL_BY(1)
      for (int i = 0; i < 2 * V; ++i) {
        const int u = i < V ? 0 : last_turn, k = i % V;
        if ((i < V ? first : last) && has(start(u) + k)) {
          store_one(g + start(u) + k, narrow<S>(chip.one(u * V + k) * scale));
        }
      }
    }
    if (near) store_again(g + y, narrow<S>(f.at_target));
  }
  if (extras && active && (write || a.want_stats || a.probability_gradient.data)) {
    char* const h = probabilities_of<S, Loss>(a, a.probability_gradient, index);
    double square = 0;
    for (int u = 0; u < U; ++u) {
      const int c = start(u);
      if (!mine(u)) continue;
      for (int k = 0; k < V; ++k) {
        if (!has(c + k)) continue;
        T value = 0, of_target = 0;
        if (kept) {
          const T x_c = chip.one(u * V + k);
          value =
              gradient_at(a, f, x_c, t ? probability_at<S, Loss>(a, t, c + k) : (T)0, c + k, t ? (int64_t)-1 : row.y);
          of_target = target_gradient_at(a, f, x_c, c + k);
        }
        square += (double)value * (double)value;
        if (h) put_probability_gradient<S, Loss>(a, h, c + k, of_target);
        chip.one(u * V + k) = value;
      }
      if (!write) continue;
      if (whole(u)) {
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
    write_sums<extras, (extras ? 1 : kLanes)>(l, at, sums, &memory.sums[0][0]);
  } else if (l.problem.sums && self == 0) {
    FASTLOSS_UNROLL
    for (int k = 0; k < 2; ++k) store_one(l.problem.sums + k * l.plan.blocks + at, sums[k]);
  }
}

template <class S, template <class> class Loss, bool extras, int G>
FASTLOSS_KERNEL(group_block(G), (group_blocks<S, extras, G>()))
rows_by_group(const Launch l) {
  for_blocks<typename Compute<S>::type>(l, [&](int64_t k) { group_rows<S, Loss, extras, G>(l, k); });
}

// ------------------------------------------------------------------------------------------- a block per row, twice

// Shared memory: GroupMemory. `adjacent`: classes lie next to each other and gradients like logits, so both go by
// 16-byte vectors; otherwise element by element, whatever the strides.
template <class S, template <class> class Loss, bool extras, bool adjacent>
FASTLOSS_DEVICE void stream_rows(const Launch& l, const int64_t index) {
  using T = typename Compute<S>::type;
  constexpr int V = adjacent ? 16 / sizeof(S) : 1;
  // Vectors in flight per thread. One with extras: the code of an element is long.
  constexpr int B = extras ? 1 : sizeof(S) == 2 ? 2 : 4;
  const RowsArgs& a = l.problem.rows;
  GroupMemory& memory = *(GroupMemory*)shared_memory();
  double sums[kSums] = {};
  const Row<T> row = row_at<T>(a, index);
  const bool kept = row.y >= 0;
  const auto upstream = kept ? upstream_of<T, Formula<S, extras>>(l.problem, index) : 0;
  const S* const x = (const S*)a.logits.data + offset_of(a, a.logits, index);
  const char* const t = extras ? probabilities_of<S, Loss>(a, a.probability, index) : nullptr;
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

  Part part = empty_part<T>();
  T target = 0;
  if (kept) {
    if (!t)
      target = extras ? logit(a, widen(x[row.y * a.logits.class_stride])) : widen(x[row.y * a.logits.class_stride]);
    if (!extras && !a.from_state) {
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
          for (int k = 0; k < V; ++k) few += class_at(first, b, k) == row.y ? (T)0 : exp_of<S>(z[b][k] - max);
          others.add(few);
        }
      });
      part.max = max;
      part.others = others.total();
    } else if (extras && !a.from_state) {
      Meter<T> meter;
      visit([&](int64_t first, T(&z)[B][V]) {
        FASTLOSS_UNROLL
        for (int b = 0; b < B; ++b) {
          FASTLOSS_UNROLL
          for (int k = 0; k < V; ++k) {
            const int64_t c = class_at(first, b, k);
            if (c < 0 || c >= a.classes) continue;
            const T tempered = logit(a, z[b][k]);
            meter.raise(tempered);
            meter.add(a, tempered, z[b][k], t ? probability_at<S, Loss>(a, t, c) : (T)0, c, row.y);
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
    const Factors<T> f = finish_row<S, Loss, extras>(l.problem, row, part, target, upstream, thread() == 0, sums);
    if (thread() == 0) put_factors(memory, f);
  }
  block_barrier();
  const Factors<T> f = get_factors<T>(memory);

  S* const g = (S*)a.gradient.data + (a.gradient.data ? offset_of(a, a.gradient, index) : 0);
  char* const h = extras ? probabilities_of<S, Loss>(a, a.probability_gradient, index) : nullptr;
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
            value = c + k == row.y ? f.at_target : f.scale * exp_of<S>(z[b][k] - f.max);
          } else if (c + k >= 0 && c + k < a.classes) {
            value = gradient_at(a, f, z[b][k], t ? probability_at<S, Loss>(a, t, c + k) : (T)0, c + k,
                                t ? (int64_t)-1 : row.y);
            square += (double)value * (double)value;
            if (h) put_probability_gradient<S, Loss>(a, h, c + k, target_gradient_at(a, f, z[b][k], c + k));
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
      for (int k = 0; h && k < V; ++k) {
        if (c + k >= 0 && c + k < a.classes) put_probability_gradient<S, Loss>(a, h, c + k, (T)0);
      }
    }
  }
  if (extras && a.want_stats) sums[6] = square;
  write_sums<extras>(l, index, sums, &memory.sums[0][0]);
}

template <class S, template <class> class Loss, bool extras, bool adjacent>
FASTLOSS_KERNEL(kStreamThreads, 1)
rows_by_stream(const Launch l) {
  for_blocks<typename Compute<S>::type>(l, [&](int64_t k) { stream_rows<S, Loss, extras, adjacent>(l, k); });
}

// --------------------------------------------------------------------------------------------------------- dispatch

template <class S, template <class> class Loss, bool plain, int classes>
int launch_group(bool extras, Grid grid, Stream stream, const Launch& l) {
  constexpr int G = group_threads(classes);
  grid.threads = group_block(G);
  return launch(extras ? &rows_by_group<S, Loss, true, G> : &rows_by_group<S, Loss, plain, G>, grid, stream, l);
}

template <class S, template <class> class Loss>
int run(const RowsLaunch& problem, const RowsPlan& plan, void* stream) {
  const Launch l{problem, plan};
  const Stream s = (Stream)stream;
  const RowsArgs& a = problem.rows;
  const bool extras = needs_extras(a);
  Grid grid{plan.grid, kColumnThreads, plan.shared_bytes, plan.cluster};
  // double is rare and never fast: its plain kernels are those with every option
  constexpr bool plain = sizeof(S) == 8 || kIsMixed<Loss>;
  switch (plan.path) {
    case RowsPath::columns_wide:
      if constexpr (!plain) return launch(&rows_by_column<S, Loss, false, 4>, grid, s, l);
      break;
    case RowsPath::tile:
      if constexpr (!plain) {
        if (!extras) return launch(&rows_by_tile<S, Loss>, grid, s, l);
      }
      [[fallthrough]];
    case RowsPath::columns:
      return launch(extras ? &rows_by_column<S, Loss, true, 1> : &rows_by_column<S, Loss, plain, 1>, grid, s, l);
    case RowsPath::group128:
      return launch_group<S, Loss, plain, 128>(extras, grid, s, l);
    case RowsPath::group256:
      return launch_group<S, Loss, plain, 256>(extras, grid, s, l);
    case RowsPath::group1024:
      return launch_group<S, Loss, plain, 1024>(extras, grid, s, l);
    case RowsPath::group4096:
      return launch_group<S, Loss, plain, 4096>(extras, grid, s, l);
    case RowsPath::group16384:
      return launch_group<S, Loss, plain, 16384>(extras, grid, s, l);
    case RowsPath::stream:
      grid.threads = kStreamThreads;
      return launch(extras ? &rows_by_stream<S, Loss, true, true> : &rows_by_stream<S, Loss, plain, true>, grid, s, l);
    case RowsPath::strided:
      grid.threads = kStreamThreads;
      return launch(&rows_by_stream<S, Loss, true, false>, grid, s, l);
  }
  return 1;
}

// Asked before every launch of long rows, so each device is asked once.
template <class S>
bool cluster_fits(int cluster) {
  enum : char { unknown, no, yes };
  static std::atomic<char> known[kKnownDevices][kMaxCluster + 1];
  const int device = device_number();
  const auto ask = [&] {
    constexpr int G = group_threads(16384);
    const Grid grid{cluster, group_block(G), group_bytes(sizeof(S), G), cluster};
    return fits(&rows_by_group<S, CrossEntropy, true, G>, grid);
  };
  if (device >= kKnownDevices) return ask();
  std::atomic<char>& answer = known[device][cluster];
  if (answer == unknown) answer = ask() ? yes : no;
  return answer == yes;
}

#define FASTLOSS_ENTRY(name, Functor, params) &run<S, Functor>,
template <class S>
const RowsKernels& kernels() {
  static const RowsKernels table = {
      {FASTLOSS_ROWS_LOSSES(FASTLOSS_ENTRY)}, &run<S, MixedProbabilities>, &cluster_fits<S>};
  return table;
}
#undef FASTLOSS_ENTRY

}  // namespace

template <>
const RowsKernels& rows_kernels<DType::FASTLOSS_DTYPE>() {
  return kernels<FASTLOSS_STORED>();
}

}  // namespace fastloss::cuda
