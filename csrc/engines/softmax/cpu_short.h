#pragma once

// The rows engine with lanes over the classes, for plain short rows.

#include "engines/softmax/chunk.h"

namespace fastloss::FASTLOSS_ISA {
namespace {

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

constexpr int64_t kFewVectors = 16;        // of a row, at most; with more a branch for the target pays
constexpr int64_t kAheadShort = 8 * 1024;  // bytes between a load and its prefetch
constexpr double kOutOfRange = 34;         // a logit whose exponential alone is not in_range

template <class S>
struct ShortRows : RowsBase<S> {
  using typename RowsBase<S>::T;
  using typename RowsBase<S>::V;
  using RowsBase<S>::W;
  using RowsBase<S>::a;
  using RowsBase<S>::formula;
  using RowsBase<S>::batch;
  using RowsBase<S>::tile;
  using RowsBase<S>::offset_of;
  using RowsBase<S>::task_end;
  using RowsBase<S>::is_plain;
  using RowsBase<S>::direct;
  using RowsBase<S>::prepare;
  using RowsBase<S>::record;
  using RowsBase<S>::clear_row;

  bool serves() const {
    return is_plain() && direct() && !a.want_stats && !a.from_state &&
           (!a.gradient.data || a.gradient.class_stride == 1);
  }
  // Elements of `tile`: two groups of rows.
  static int64_t tile_size(int64_t classes) { return 2 * ((classes + W - 1) / W * W) * group_rows<T>(classes); }

  void run(int64_t begin, int64_t end) const {
    run(begin, end, [&](int64_t row, int64_t n, int64_t task) {
      formula(a, &batch, n);
      record(row, n, a.sums ? a.sums + task : nullptr);
    });
  }
  // `finish(row, n, task)` makes of the batch's maxima, sums and targets what is wanted of n rows.
  template <class Finish>
  void run(int64_t begin, int64_t end, const Finish& finish) const {
    const bool few = a.classes <= kFewVectors * W;
    few ? run<TargetInLanes>(begin, end, finish) : run<TargetByBranch>(begin, end, finish);
  }

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
      return (uint64_t)distance < (uint64_t)W ? select(is_at<T>(distance, 0), at_target, v) : v;
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
      const int64_t first = streamed ? stream_head(g) : 0;
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
      clear_row(a.gradient, p.row + i, sizeof(S));
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
  FASTLOSS_FN Vec<double> measure_row(const S* x, T* e, typename V::Int y, Writer<streamed, Target>& w) const {
    ShortSum<T> sum;
    Target target(y);
    const auto add = [&](int64_t c, V v) {
      sum.add_short(c, target.replace(v, V((T)0)));
      target.advance(W);
    };
    const auto measure = [&](int64_t c) {
      prefetch<W * sizeof(S)>((const char*)(x + c) + kAheadShort);
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
    Running<T> r;
    r.raise(reduce_max(chunk_maxima(x, a.classes)));
    batch.max[i] = r.m;
    batch.target[i] = (T)batch.target[i] - r.m;
    batch.others[i] = chunk_exponentials<false, true>(x, e, a.classes, r.m, batch.target_class[i], r.tilt, nullptr);
  }

  template <class Target, class Finish>
  void run(int64_t begin, int64_t end, const Finish& finish) const {
    a.stream ? run<true, Target>(begin, end, finish) : run<false, Target>(begin, end, finish);
  }
  // Tasks [begin, end): one stream of rows, whose sums change from task to task.
  template <bool streamed, class Target, class Finish>
  void run(int64_t begin, int64_t end, const Finish& finish) const {
    using D = Vec<double>;
    const int64_t pitch = (a.classes + W - 1) / W * W;
    const int64_t group = group_rows<T>(a.classes);
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
            lanes[i] = measure_row(x, e, y, w);
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
      finish(row, n, task);
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
};

}  // namespace
}  // namespace fastloss::FASTLOSS_ISA
