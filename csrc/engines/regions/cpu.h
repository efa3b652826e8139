#pragma once

// Sums over pixels and their gradient on the CPU: Note [Regions]. Lanes run over the pixels. A block of them, all its
// classes, is brought into a tile that stays in the first cache or nearly; forward adds up what is in the tile, backward
// writes the gradient over the tile and then back. Between the stored type and the tile lies a copy, so that logits of any
// strides and types share the loops.

#include "engines/regions/args.h"
#include "engines/regions/contract.h"
#include "simd/kernels.h"
#include "simd/stored.h"

namespace fastloss::FASTLOSS_ISA {
namespace {

// Pixels of a block: a tile of some 40 KiB, and few enough additions in a lane.
inline int64_t block_pixels(int64_t rows_of_tile, int64_t size) {
  const int64_t fit = 40 * 1024 / (rows_of_tile * size) / 64 * 64;
  return fit < 64 ? 64 : fit > 512 ? 512 : fit;
}

template <class T>
struct RegionsTile {
  using V = Vec<T>;
  using Int = typename V::Int;
  using Lanes = typename V::NativeInt;
  static constexpr int W = V::size;
  static constexpr int kArrays = 5;

  const RegionsArgs& a;
  const int64_t block;
  T* const x;        // [classes, block]: logits, then exponentials, then the gradient
  T* const t;        // likewise dense targets
  Int* const label;  // [block] classes, -1 of pixels that do not count
  T *const top, *const inverse, *const own, *const value, *const level;  // [block]

  static int64_t rows(const RegionsArgs& a) { return a.sigmoid ? (a.dense ? 2 : 1) : a.classes * (a.dense ? 2 : 1); }
  static int64_t scratch(const RegionsArgs& a) {
    const int64_t block = block_pixels(rows(a), sizeof(T));
    return (rows(a) + kArrays) * block * (int64_t)sizeof(T) + block * (int64_t)sizeof(Int) + 64;
  }

  RegionsTile(const RegionsArgs& a, void* scratch)
      : a(a),
        block(block_pixels(rows(a), sizeof(T))),
        x((T*)scratch),
        t(x + (a.dense ? rows(a) / 2 : 0) * block),
        label((Int*)(x + (rows(a) + kArrays) * block)),
        top(x + rows(a) * block),
        inverse(top + block),
        own(inverse + block),
        value(own + block),
        level(value + block) {}

  FASTLOSS_FN Lanes labels(int64_t j) const {
    Lanes l;
    memcpy(&l, label + j, sizeof(l));
    return l;
  }
  FASTLOSS_FN static Mask<T> counts(Lanes l) { return ~lanes_less<T>(l, Lanes{}); }

  // The classes of pixels [first, first + n) of a sample. Returns how many count; `wrong` becomes true if there is a target
  // that is no class.
  int64_t prepare(int64_t sample, int64_t first, int64_t n, bool& wrong) const {
    const int64_t at = sample * a.pixels + first;
    if (a.target) {
      const int64_t* const y = a.target + at;
      const uint64_t known = (uint64_t)a.known_classes;
      bool outside = false;
      for (int64_t i = 0; i < n; ++i) label[i] = (Int)y[i];
      for (int64_t i = 0; i < n; ++i) outside |= (uint64_t)y[i] >= known;
      if (outside || a.ignores) {
        const int64_t ignored = a.ignores ? a.ignore_index : -1;
        for (int64_t i = 0; i < n; ++i) {
          if ((uint64_t)y[i] >= known || y[i] == ignored) label[i] = -1;
        }
      }
      for (int64_t i = 0; outside && i < n; ++i) {
        const bool kept = !(a.ignores && y[i] == a.ignore_index) && !(a.mask && !a.mask[at + i]);
        wrong |= kept && (uint64_t)y[i] >= known;
      }
    } else {
      for (int64_t i = 0; i < n; ++i) label[i] = 0;
    }
    for (int64_t i = 0; a.mask && i < n; ++i) {
      if (!a.mask[at + i]) label[i] = -1;
    }
    for (int64_t i = n; i % W != 0; ++i) label[i] = -1;
    int64_t count = n;
    for (int64_t i = 0; i < n; ++i) count += label[i] >> (8 * sizeof(Int) - 1);
    return count;
  }

  // A row of the tile without the pixels that do not count; its end is zeros.
  void clean(T* row, int64_t n, bool all) const {
    if (all) return;
    for (int64_t j = 0; j < n; j += W) store(row + j, keep_where(counts(labels(j)), load(row + j)));
  }

  void read_dense(int64_t sample, int64_t c, int64_t first, int64_t n, T* to) const {
    const int64_t at = (sample * a.classes + c) * a.pixels + first;
    with_element(a.dense_type, [&](auto e) { convert_elements((const decltype(e)*)a.dense + at, n, to); });
    for (int64_t i = n; i % W != 0; ++i) to[i] = 0;
  }

  FASTLOSS_FN static void add(double& sum, V lanes) { sum += reduce_add(widen(lanes)); }

  // ------------------------------------------------------------------------------------------------ softmax

  void take_maximum(int64_t c, int64_t n) const {
    const T* const row = x + c * block;
    if (c == 0) {
      memcpy(top, row, n * sizeof(T));
      for (int64_t j = n; j % W != 0; ++j) top[j] = 0;
    } else {
      for (int64_t j = 0; j < n; j += W) store(top + j, max(load(top + j), load(row + j)));
    }
  }

  // What -log p and t -log p lack of the log-sum-exp, read while the tile holds logits.
  void subtract_logits(int64_t c, int64_t n, double* sums) const {
    const T* const row = x + c * block;
    V spread((T)0), point((T)0);
    for (int64_t j = 0; j < n; j += W) {
      const V z = load(row + j);
      spread = spread + z;
      if (!a.dense) continue;
      const V y = load(t + c * block + j);
      point = point + select(y == V((T)0), V((T)0), y * z);
    }
    if (a.label_smoothing != 0) sums[kSpread * a.classes + c] -= reduce_add(widen(spread));
    if (a.dense) sums[kPointSum * a.classes + c] -= reduce_add(widen(point));
  }

  // Exponentials of a pixel's classes: their sum without that of the target, the target's own, and its logit.
  struct Pixel {
    V others{(T)0}, e{(T)0}, z{(T)0};
  };
  template <class Each>
  FASTLOSS_FN Pixel exponentiate(int64_t j, Lanes l, const Each& each) const {
    Pixel pixel;
    const V m = load(top + j);
    Lanes next{};
    const Lanes one = broadcast_int<T>(1);
    for (int64_t c = 0; c < a.classes; ++c) {
      T* const p = x + c * block + j;
      const V z = load(p) - m, e = exp_shifted(z);
      store(p, e);
      const Mask<T> is = lanes_equal<T>(l, next);
      next = next + one;
      pixel.others = add_where(~is, pixel.others, e);
      pixel.e = select(is, e, pixel.e);
      pixel.z = select(is, z, pixel.z);
      each(c, is, e);
    }
    return pixel;
  }

  void sum_classes(int64_t n, double* sums) const {
    const SoftmaxFocal<T> point(a.params);
    const bool focal = a.params[1] != 0;
    V lse((T)0);
    for (int64_t j = 0; j < n; j += W) {
      const Lanes l = labels(j);
      const Mask<T> kept = counts(l);
      const Pixel pixel = exponentiate(j, l, [](int64_t, Mask<T>, V) {});
      V inv, q;
      if (a.point) {
        const Likelihood<V> likely = likelihood<T>(pixel.others, pixel.z, pixel.e);
        inv = likely.inverse, q = likely.q;
        store(value + j, keep_where(kept, focal ? point(likely.nll, likely.p, q).loss : likely.nll));
        lse = lse + keep_where(kept, load(top + j) + likely.log_sum);
      } else {
        inv = V((T)1) / (pixel.others + pixel.e), q = pixel.others * inv;
      }
      store(inverse + j, keep_where(kept, inv));
      store(own + j, keep_where(kept, q));
    }
    const double spread = a.point && a.label_smoothing != 0 ? (double)reduce_add(widen(lse)) : 0;
    for (int64_t c = 0; c < a.classes; ++c) {
      const Lanes mine = broadcast_int<T>((Int)c);
      const T* const row = x + c * block;
      V first((T)0), under((T)0), mass((T)0), of_point((T)0);
      for (int64_t j = 0; j < n; j += W) {
        const Mask<T> is = lanes_equal<T>(labels(j), mine);
        const V p = load(row + j) * load(inverse + j), q = load(own + j);
        first = a.squared ? first + select(is, q * q, p * p) : add_where(~is, first, p);
        under = add_where(is, under, q);
        mass = add_where(is, mass, V((T)1));
        if (a.point) of_point = add_where(is, of_point, load(value + j));
      }
      add(sums[kFirst * a.classes + c], first);
      add(sums[kUnder * a.classes + c], under);
      add(sums[kMass * a.classes + c], mass);
      add(sums[kPointSum * a.classes + c], of_point);
      sums[kSpread * a.classes + c] += spread;
    }
  }

  FASTLOSS_FN V slope(const double* slopes, RegionSum of, int64_t c) const { return V((T)slopes[of * a.classes + c]); }

  double total(const double* slopes, RegionSum of) const {
    double sum = 0;
    for (int64_t c = 0; c < a.classes; ++c) sum += slopes[of * a.classes + c];
    return sum;
  }

  void differentiate_classes(int64_t n, const double* slopes) const {
    const SoftmaxFocal<T> point(a.params);
    const bool focal = a.point && a.params[1] != 0;
    const V spread((T)total(slopes, kSpread)), two((T)2);
    for (int64_t j = 0; j < n; j += W) {
      const Lanes l = labels(j);
      const Mask<T> kept = counts(l);
      V rest((T)0), of_first((T)0), of_under((T)0), of_point((T)0);
      const Pixel pixel = exponentiate(j, l, [&](int64_t c, Mask<T> is, V e) {
        const V first = slope(slopes, kFirst, c);
        rest = add_where(~is, rest, first * (a.squared ? e * e : e));
        of_under = select(is, slope(slopes, kUnder, c), of_under);
        if (a.squared) of_first = select(is, first, of_first);
        if (a.point) of_point = select(is, slope(slopes, kPointSum, c), of_point);
      });
      V p, q, inv, factor = of_point;  // whose f' is 1 of cross entropy
      if (focal) {
        const Likelihood<V> likely = likelihood<T>(pixel.others, pixel.z, pixel.e);
        p = likely.p, q = likely.q, inv = likely.inverse;
        factor = of_point * point(likely.nll, p, q).grad;
      } else {
        inv = V((T)1) / (pixel.others + pixel.e), p = pixel.e * inv, q = pixel.others * inv;
      }
      rest = rest * inv;
      V g = -of_under;
      if (a.squared) rest = two * rest * inv, g = g - two * q * of_first;
      store(level + j, keep_where(kept, (factor + spread - fma(p, g, rest)) * inv));
      store(own + j, keep_where(kept, q * (p * g - factor) + p * (spread - rest)));
      store(inverse + j, keep_where(kept, inv));
    }
    for (int64_t c = 0; c < a.classes; ++c) {
      const Lanes mine = broadcast_int<T>((Int)c);
      const V first = slope(slopes, kFirst, c), less = slope(slopes, kSpread, c);
      T* const row = x + c * block;
      for (int64_t j = 0; j < n; j += W) {
        const Lanes l = labels(j);
        const V e = load(row + j), inv = load(inverse + j);
        const V g = a.squared ? two * first * (e * inv) : first;
        V d = select(lanes_equal<T>(l, mine), load(own + j), e * fma(inv, g, load(level + j)));
        if (a.label_smoothing != 0) d = d - keep_where(counts(l), less);
        store(row + j, d);
      }
    }
  }

  // Likewise, of dense targets.
  void sum_dense(int64_t n, double* sums) const {
    const V one((T)1);
    V all((T)0);
    const bool logarithms = a.point;
    for (int64_t j = 0; j < n; j += W) {
      const Mask<T> kept = counts(labels(j));
      const V s = exponentiate(j, broadcast_int<T>(-1), [](int64_t, Mask<T>, V) {}).others;
      store(inverse + j, keep_where(kept, one / s));
      if (!logarithms) continue;
      const V lse = keep_where(kept, load(top + j) + log(s));
      store(value + j, lse);
      all = all + lse;
    }
    const double spread = a.point && a.label_smoothing != 0 ? (double)reduce_add(widen(all)) : 0;
    for (int64_t c = 0; c < a.classes; ++c) {
      const T *const row = x + c * block, *const targets = t + c * block;
      V first((T)0), under((T)0), mass((T)0), of_point((T)0);
      for (int64_t j = 0; j < n; j += W) {
        const V p = load(row + j) * load(inverse + j), y = load(targets + j);
        const V d = p - y;
        first = a.squared ? fma(d, d, first) : fma(p, one - y, first);
        under = fma(y, one - p, under);
        mass = mass + y;
        if (logarithms) of_point = fma(y, load(value + j), of_point);
      }
      add(sums[kFirst * a.classes + c], first);
      add(sums[kUnder * a.classes + c], under);
      add(sums[kMass * a.classes + c], mass);
      add(sums[kPointSum * a.classes + c], of_point);
      sums[kSpread * a.classes + c] += spread;
    }
  }

  FASTLOSS_FN V slope_of_p(V p, V y, V first, V under) const {
    return a.squared ? V((T)2) * first * (p - y) - under * y : first * (V((T)1) - y) - under * y;
  }

  void differentiate_dense(int64_t n, const double* slopes) const {
    const V one((T)1), spread((T)total(slopes, kSpread));
    for (int64_t j = 0; j < n; j += W) {
      const Mask<T> kept = counts(labels(j));
      const V s = exponentiate(j, broadcast_int<T>(-1), [](int64_t, Mask<T>, V) {}).others;
      const V inv = keep_where(kept, one / s);
      V mean((T)0), of_point((T)0);
      for (int64_t c = 0; c < a.classes; ++c) {
        const V p = load(x + c * block + j) * inv, y = load(t + c * block + j);
        mean = fma(p, slope_of_p(p, y, slope(slopes, kFirst, c), slope(slopes, kUnder, c)), mean);
        if (a.point) of_point = fma(y, slope(slopes, kPointSum, c), of_point);
      }
      store(inverse + j, inv);
      store(level + j, of_point + spread - mean);
    }
    for (int64_t c = 0; c < a.classes; ++c) {
      const V first = slope(slopes, kFirst, c), under = slope(slopes, kUnder, c);
      const V point = slope(slopes, kPointSum, c), less = slope(slopes, kSpread, c);
      T *const row = x + c * block, *const targets = t + c * block;
      for (int64_t j = 0; j < n; j += W) {
        const V p = load(row + j) * load(inverse + j), y = load(targets + j);
        V d = p * (slope_of_p(p, y, first, under) + load(level + j));
        if (a.point) d = d - point * y;
        if (a.label_smoothing != 0) d = d - keep_where(counts(labels(j)), less);
        store(row + j, d);
      }
    }
  }

  // ------------------------------------------------------------------------------------------------ sigmoid

  FASTLOSS_FN V target(int64_t j, Lanes mine) const {
    return a.dense ? load(t + j) : keep_where(lanes_equal<T>(labels(j), mine), V((T)1));
  }
  FASTLOSS_FN V smoothed(V y) const { return fma(y, V((T)(1 - a.label_smoothing)), V((T)(a.label_smoothing / 2))); }

  void sum_channel(int64_t c, int64_t n, double* sums) const {
    const SigmoidFocal<T> point(a.params);
    const Lanes mine = broadcast_int<T>((Int)(c + a.first_class));
    const V one((T)1);
    V first((T)0), under((T)0), mass((T)0), of_point((T)0);
    for (int64_t j = 0; j < n; j += W) {
      const Mask<T> kept = counts(labels(j));
      const V z = load(x + j), y = target(j, mine);
      const Logistic<V> l = logistic<T>(z);
      const V p = if_positive<T>(z, l.large, l.small), q = if_positive<T>(z, l.small, l.large), d = p - y;
      first = add_where(kept, first, a.squared ? d * d : p * (one - y));
      under = fma(y, q, under);
      mass = mass + y;
      if (a.point) of_point = add_where(kept, of_point, point(z, smoothed(y)).loss);
    }
    add(sums[kFirst * a.classes + c], first);
    add(sums[kUnder * a.classes + c], under);
    add(sums[kMass * a.classes + c], mass);
    add(sums[kPointSum * a.classes + c], of_point);
  }

  void differentiate_channel(int64_t c, int64_t n, const double* slopes) const {
    const SigmoidFocal<T> point(a.params);
    const Lanes mine = broadcast_int<T>((Int)(c + a.first_class));
    const V first = slope(slopes, kFirst, c), under = slope(slopes, kUnder, c);
    const V of_point = slope(slopes, kPointSum, c);
    for (int64_t j = 0; j < n; j += W) {
      const V z = load(x + j), y = target(j, mine);
      const Logistic<V> l = logistic<T>(z);
      const V p = if_positive<T>(z, l.large, l.small);
      V d = l.large * l.small * slope_of_p(p, y, first, under);
      if (a.point) d = fma(of_point, point(z, smoothed(y)).grad[0], d);
      store(x + j, keep_where(counts(labels(j)), d));
    }
  }
};

template <class S>
struct Regions : RegionsTile<typename Compute<S>::type> {
  using T = typename Compute<S>::type;
  using Tile = RegionsTile<T>;
  using Tile::a;
  using Tile::block;
  using Tile::Tile;
  using Tile::W;
  using Tile::x;

  static int64_t scratch(const RegionsArgs& a) { return Tile::scratch(a); }

  // Calls f with the first pixel of each run of equally spaced ones, their number, and their offset in the view.
  template <class F>
  FASTLOSS_FN void runs(const RegionsView& view, int64_t first, int64_t n, const F& f) const {
    const int last = a.dims - 1;
    for (int64_t i = 0; i < n;) {
      int64_t pixel = first + i, offset = 0;
      const int64_t in_run = pixel % a.size[last], left = a.size[last] - in_run, count = n - i < left ? n - i : left;
      for (int d = last; d > 0; --d) {
        offset += pixel % a.size[d] * view.stride[d];
        pixel /= a.size[d];
      }
      f(i, count, offset + pixel * view.stride[0]);
      i += count;
    }
  }

  void read(int64_t sample, int64_t c, int64_t first, int64_t n, T* to) const {
    const RegionsView& view = a.logits;
    const S* const base = (const S*)view.data + sample * view.sample_stride + c * view.class_stride;
    const int64_t step = view.stride[a.dims - 1];
    runs(view, first, n, [&](int64_t i, int64_t count, int64_t offset) {
      const S* const p = base + offset;
      if (step == 1) {
        int64_t k = 0;
        for (; k + W <= count; k += W) store(to + i + k, load(p + k));
        if (k < count) store_partial(to + i + k, (int)(count - k), load_partial(p + k, (int)(count - k), (T)0));
      } else {
        for (int64_t k = 0; k < count; ++k) to[i + k] = load_one(p + k * step);
      }
    });
    for (int64_t i = n; i % W != 0; ++i) to[i] = 0;
  }

  void write(int64_t sample, int64_t c, int64_t first, int64_t n, const T* from) const {
    const RegionsView& view = a.gradient;
    S* const base = (S*)view.data + sample * view.sample_stride + c * view.class_stride;
    const int64_t step = view.stride[a.dims - 1];
    runs(view, first, n, [&](int64_t i, int64_t count, int64_t offset) {
      S* const p = base + offset;
      if (step == 1) {
        int64_t k = 0;
        if (a.stream) {
          const int64_t head = stream_head(p);
          constexpr int line = line_size<true, S>();
          if (head < count) {
            for (; k < head; ++k) store_one(p + k, from[i + k]);
            for (; k + line <= count; k += line) {
              put_line<true>(p + k, [&](int at) { return load(from + i + k + at); });
            }
          }
        }
        for (; k + W <= count; k += W) store(p + k, load(from + i + k));
        if (k < count) store_partial(p + k, (int)(count - k), load_partial(from + i + k, (int)(count - k), (T)0));
      } else {
        for (int64_t k = 0; k < count; ++k) store_one(p + k * step, from[i + k]);
      }
    });
  }

  void run_block(int64_t sample, int64_t first, int64_t n, double* sums, const double* slopes, bool& wrong) const {
    const int64_t count = this->prepare(sample, first, n, wrong);
    const bool all = count == n;
    for (int64_t c = 0; sums && c < a.classes; ++c) sums[kPixels * a.classes + c] += (double)count;
    for (int64_t c = 0; c < a.classes; ++c) {
      const int64_t row = a.sigmoid ? 0 : c * block;
      read(sample, c, first, n, x + row);
      this->clean(x + row, n, all);
      if (a.dense) {
        this->read_dense(sample, c, first, n, this->t + row);
        this->clean(this->t + row, n, all);
      }
      if (!a.sigmoid) {
        this->take_maximum(c, n);
        if (sums && a.point && (a.dense || a.label_smoothing != 0)) this->subtract_logits(c, n, sums);
      } else if (sums) {
        this->sum_channel(c, n, sums);
      } else {
        this->differentiate_channel(c, n, slopes);
        write(sample, c, first, n, x);
      }
    }
    if (a.sigmoid) return;
    if (sums) {
      a.dense ? this->sum_dense(n, sums) : this->sum_classes(n, sums);
      return;
    }
    a.dense ? this->differentiate_dense(n, slopes) : this->differentiate_classes(n, slopes);
    for (int64_t c = 0; c < a.classes; ++c) write(sample, c, first, n, x + c * block);
  }

  static void run(const RegionsArgs& a, int64_t begin, int64_t end, void* scratch) {
    const Regions regions(a, scratch);
    for (int64_t task = begin; task < end; ++task) {
      const int64_t sample = task / a.pieces, each = kRegionSums * a.classes;
      const int64_t first = task % a.pieces * a.piece_pixels;
      const int64_t last = first + a.piece_pixels < a.pixels ? first + a.piece_pixels : a.pixels;
      double* const sums = a.sums ? a.sums + task * each : nullptr;
      bool wrong = false;
      for (int64_t k = 0; sums && k < each; ++k) sums[k] = 0;
      for (int64_t i = first; i < last; i += regions.block) {
        const int64_t n = last - i < regions.block ? last - i : regions.block;
        regions.run_block(sample, i, n, sums, a.slopes ? a.slopes + sample * each : nullptr, wrong);
      }
      if (a.bad) a.bad[task] = wrong;
    }
    if (a.stream) stream_fence();
  }
};

}  // namespace
}  // namespace fastloss::FASTLOSS_ISA
