#pragma once

// The rows engine with lanes over the rows.

#include "simd/lane_sum.h"
#include "engines/softmax/cpu_base.h"

namespace fastloss::FASTLOSS_ISA {
namespace {

constexpr int64_t kPlanesAhead = 3;

template <class S>
struct ByRow : RowsBase<S> {
  using typename RowsBase<S>::T;
  using typename RowsBase<S>::V;
  using RowsBase<S>::W;
  using RowsBase<S>::a;
  using RowsBase<S>::formula;
  using RowsBase<S>::options;
  using RowsBase<S>::weight;
  using RowsBase<S>::has_probabilities;
  using RowsBase<S>::batch;
  using RowsBase<S>::tile;
  using RowsBase<S>::slopes;
  using RowsBase<S>::other;
  using RowsBase<S>::offset_of;
  using RowsBase<S>::with_probability;
  using RowsBase<S>::prepare;
  using RowsBase<S>::record;
  using RowsBase<S>::read_state;
  using RowsBase<S>::clear;
  using RowsBase<S>::probability_gradient;
  using RowsBase<S>::is_correct;

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

  template <class E>
  void gather(const RowsView& view, int64_t first, int64_t n, T* to, int64_t pitch) const {
    const int64_t step = view.row_stride[a.dims - 1];
    for_runs(first, n, [&](int64_t i, int64_t run) {
      const E* p = (const E*)view.data + offset_of(view, first + i);
      if constexpr (!std::is_same_v<typename Compute<E>::type, T>) {
        for (int64_t c = 0; c < a.classes; ++c) {
          for (int64_t j = 0; j < run; ++j) to[c * pitch + i + j] = read_one<T>(p + j * step + c * view.class_stride);
        }
      } else if (step == 1) {
        for (int64_t c = 0; c < a.classes; ++c) {
          const E* from = p + c * view.class_stride;
          T* line = to + c * pitch + i;
          // The runs of a tile are too short for the hardware to prefetch, and the planes of a power-of-two image fall
          // on the same cache sets: more than a few planes ahead would evict what was asked for.
          const E* ahead = from + kPlanesAhead * view.class_stride;
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
              const E* from = p + (j + (k < rows ? k : 0)) * step + c;
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
          for (int64_t j = 0; j < run; ++j) to[c * pitch + i + j] = read_one<T>(p + j * step + c * view.class_stride);
        }
      }
    });
  }

  template <class E>
  void scatter(const RowsView& view, int64_t first, int64_t n, const T* from, int64_t pitch) const {
    const int64_t step = view.row_stride[a.dims - 1];
    for_runs(first, n, [&](int64_t i, int64_t run) {
      E* p = (E*)view.data + offset_of(view, first + i);
      if constexpr (!std::is_same_v<typename Compute<E>::type, T>) {
        for (int64_t c = 0; c < a.classes; ++c) {
          for (int64_t j = 0; j < run; ++j) write_one(p + j * step + c * view.class_stride, from[c * pitch + i + j]);
        }
      } else if (step == 1) {
        for (int64_t c = 0; c < a.classes; ++c) {
          E* to = p + c * view.class_stride;
          const T* line = from + c * pitch + i;
          constexpr int whole = line_size<true, E>();
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
              E* to = p + (j + k) * step + c;
              columns == W ? store(to, block[k]) : store_partial(to, columns, block[k]);
            }
          }
        }
      } else {
        for (int64_t c = 0; c < a.classes; ++c) {
          for (int64_t j = 0; j < run; ++j) write_one(p + j * step + c * view.class_stride, from[c * pitch + i + j]);
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
    LaneSum<T> sum, gap, mass, tilt, plain_gap, plain_mass;
    const bool smooth = options.smoothing != 0 && !has_probabilities;
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
      if (has_probabilities) {
        const V t = load(other + c * pitch + p);
        const V share = V(weight[c]) * fma(keep, t, floor);
        gap.add(share * -d);
        mass.add(share);
        if (a.want_stats) plain_gap.add(t * -d), plain_mass.add(t);
      }
      if (a.want_stats) tilt.add(e * min(V(-lowest<T>()), -d));
      return has_probabilities ? e : keep_where(is_other, e);
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
    const bool smooth = extras && options.smoothing != 0 && !has_probabilities;
    const Mask<T> counted = kept & first_lanes<T>((int)(n - p < W ? n - p : W));
    const int64_t classes = a.classes;
    V norm((T)0);
    for (int64_t c = 0; c < classes; ++c) {
      T* const at = tile + c * pitch + p;
      V v = scale * load(at);
      if (smooth) v = v - offset * V(weight[c]);
      if (extras && has_probabilities) {
        v = v - offset * V(weight[c]) * fma(keep, load(other + c * pitch + p), floor);
      } else {
        v = select(is_class(y, c), at_target, v);
      }
      if (extras && has_slope(a)) v = v * load(slopes + c * pitch + p);
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
    if (a.gradient.data) scatter<S>(a.gradient, row, n, tile, pitch);
  }

  void run(int64_t first, int64_t last, RowsSums* sums) const {
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
      gather<S>(a.logits, row, n, tile, pitch);
      if (has_probabilities) {
        with_probability(
            [&](auto e) { this->template gather<decltype(e)>(this->a.probability, row, n, this->other, pitch); });
      }
      for (int64_t k = 0; !as_stored(a) && k < a.classes * pitch; k += W) {
        V slope;
        store(tile + k, logit<T>(a, load(tile + k), slope));
        if (has_slope(a)) store(slopes + k, slope);
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
        with_probability(
            [&](auto e) { this->template scatter<decltype(e)>(this->a.probability_gradient, row, n, spare, pitch); });
      }
      const bool extras = options.smoothing != 0 || has_probabilities || a.want_stats;
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
        extras || has_slope(a) ? write_lanes<true>(row, n, pitch, square) : write_lanes<false>(row, n, pitch, square);
        if (a.want_stats) sums->gradient_square += square;
      }
    }
  }
};

}  // namespace
}  // namespace fastloss::FASTLOSS_ISA
