#pragma once

// The rows engine with lanes over the classes, for rows of any length and every option.

#include "engines/softmax/chunk.h"

namespace fastloss::FASTLOSS_ISA {
namespace {

constexpr int64_t kAhead = 16 * 1024;  // bytes between a load and its prefetch: a chunk

template <class S>
struct ByClass : RowsBase<S> {
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
  using RowsBase<S>::chunk_max;
  using RowsBase<S>::offset_of;
  using RowsBase<S>::with_probability;
  using RowsBase<S>::is_plain;
  using RowsBase<S>::direct;
  using RowsBase<S>::prepare;
  using RowsBase<S>::read_state;
  using RowsBase<S>::clear;
  using RowsBase<S>::record;
  using RowsBase<S>::probability_gradient;
  using RowsBase<S>::clear_row;
  using RowsBase<S>::is_correct;

  // Classes [begin, begin + n) of a row as adjacent values of the computing type.
  template <class E>
  FASTLOSS_FN static const T* stage(const RowsView& view, int64_t offset, int64_t begin, int64_t n, T* to) {
    const E* p = (const E*)view.data + offset + begin * view.class_stride;
    if (view.class_stride == 1) {
      convert_elements(p, n, to);
    } else {
      for (int64_t i = 0; i < n; ++i) to[i] = read_one<T>(p + i * view.class_stride);
    }
    return to;
  }

  // The chunk's logits as the formulas know them, in scratch; slopes go to `slope`.
  void stage_logits(int64_t offset, int64_t begin, int64_t n, T* to, T* slope) const {
    stage<S>(a.logits, offset, begin, n, to);
    for (int64_t i = 0; !as_stored(a) && i < n; i += W) {  // scratch is padded to whole vectors
      V dz;
      store(to + i, logit<T>(a, load(to + i), dz));
      if (has_slope(a)) store(slope + i, dz);
    }
  }

  template <class P>
  FASTLOSS_FN void measure_chunk(const P* z, T* e, int64_t row, int64_t begin, int64_t n, int64_t y, Running<T>& r,
                                 const char* next) const {
    r.raise(reduce_max(chunk_maxima(z, n)));
    if (options.smoothing != 0 && !has_probabilities) r.gap += chunk_gap(z, weight + begin, n, r.m, r.mass);
    if (has_probabilities) measure_probabilities(z, row, begin, n, r);
    const int64_t skip = has_probabilities || y < begin || y >= begin + n ? -1 : y - begin;
    r.sum += a.want_stats ? chunk_exponentials<true, true>(z, e, n, r.m, skip, r.tilt, next)
                          : chunk_exponentials<false, true>(z, e, n, r.m, skip, r.tilt, next);
    if (skip >= 0) r.skipped = e[skip];
  }

  // A short row relative to 0. False, and nothing done, if its exponentials are not in range.
  template <class P>
  bool measure_unshifted(const P* z, T* e, int64_t n, int64_t y, Running<T>& r) const {
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
  void measure_probabilities(const P* z, int64_t row, int64_t begin, int64_t n, Running<T>& r) const {
    const RowsView& view = a.probability;
    const int64_t offset = offset_of(view, row);
    T* const staging = other + kChunk;
    const T keep = (T)(1 - options.smoothing), floor = (T)(options.smoothing * options.inverse_classes);
    const auto measure = [&](const auto* t) {
      r.gap += chunk_probability_gap(z, t, weight + begin, n, r.m, keep, floor, r.mass);
      if (a.want_stats) r.plain_gap += chunk_probability_gap(z, t, (const T*)nullptr, n, r.m, (T)1, (T)0, r.plain_mass);
    };
    with_probability([&](auto e) {
      using E = decltype(e);
      if constexpr (std::is_same_v<typename Compute<E>::type, T>) {
        if (view.class_stride == 1) return measure((const E*)view.data + offset + begin);
      }
      measure(stage<E>(view, offset, begin, n, staging));
    });
  }

  // `keep` says whether the exponentials of the whole row are wanted, or the scratch of one chunk will do.
  void measure_row(int64_t row, int64_t i, T* e, T* slope, bool keep) const {
    const int64_t offset = offset_of(a.logits, row), y = batch.target_class[i];
    const S* x = (const S*)a.logits.data + offset;
    Running<T> r;
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

  FASTLOSS_FN T logit_at(int64_t offset, int64_t c) const {
    const T x = load_one((const S*)a.logits.data + offset + c * a.logits.class_stride);
    V slope;
    return as_stored(a) ? x : logit<T>(a, V(x), slope).v[0];
  }

  // Where exponentials of a chunk come from: what was kept of them,
  struct Kept {
    const T* e;
    FASTLOSS_FN V whole(int64_t c) const { return load(e + c); }
    FASTLOSS_FN V part(int64_t c, int left) const { return load_partial(e + c, left, (T)0); }
  };
  // or logits in memory.
  template <bool shifted>
  struct Fresh {
    const S* z;
    V m;
    FASTLOSS_FN V of(V v) const {
      V tilt;
      return exponential<false, shifted>(v, m, tilt);
    }
    FASTLOSS_FN V whole(int64_t c) const {
      prefetch<W * sizeof(S)>((const char*)(z + c) + kAhead);
      return of(load(z + c));
    }
    FASTLOSS_FN V part(int64_t c, int left) const { return of(load_partial(z + c, left, -(T)__builtin_inf())); }
  };

  // Gradient of a chunk from its exponentials:
  //   scale e - offset (w or w t'), times the logit's slope; `at_target` at element `y`.
  template <bool streamed, class From, class Out>
  void chunk_gradient(const From& e, Out* g, int64_t i, int64_t n, T scale, int64_t y, const T* w, const T* t,
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
        v = select(is_at<T>(y, at), V(batch.at_target[i]), v);
      }
      if (slope) v = v * part(slope);
      if (a.want_stats) norm = norm + (left == W ? v * v : keep_where(first_lanes<T>(left), v * v));
      return v;
    };
    int64_t c = 0;
    const auto ordinary = [&](int64_t end) {
      for (; c + W <= end; c += W) store(g + c, value(e.whole(c), c, W));
    };
    if (streamed) {  // whole lines from the stream's alignment on; the head and the tail go the ordinary way
      const int64_t first = stream_head(g);
      if (first < n) {
        c = first % W;
        if (c > 0) store_head(g, (int)c, value(e.part(0, (int)c), 0, (int)c));
        ordinary(first);
      }
    }
    const bool plain = !w && !t && !slope && !a.want_stats;
    constexpr int line = line_size<streamed, Out>();
    const auto put = [&](auto of) {
      put_line<streamed>(g + c, [&](int k) { return of(c + k); });
      c += line;
    };
    const auto scaled = [&](int64_t at) { return vs * e.whole(at); };
    const auto any = [&](int64_t at) { return value(e.whole(at), at, W); };
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
    if (c < n) store_partial(g + c, (int)(n - c), value(e.part(c, (int)(n - c)), c, (int)(n - c)));
    if (a.want_stats) square += reduce_add(norm);
  }

  void write_row(int64_t row, int64_t i, const T* e, T* slope_row, double& square) const {
    S* const g = (S*)a.gradient.data + (a.gradient.data ? offset_of(a.gradient, row) : 0);
    const int64_t y = batch.target_class[i];
    if (y < 0) return clear_row(a.gradient, row, sizeof(S));
    const int64_t offset = offset_of(a.logits, row);
    const bool to_memory = a.gradient.data && a.gradient.class_stride == 1;
    for (int64_t begin = 0, k = 0; begin < a.classes; begin += kChunk, ++k) {
      const int64_t n = a.classes - begin < kChunk ? a.classes - begin : kChunk;
      T scale = batch.scale[i];
      if (!a.from_state && a.classes > kChunk && chunk_max[k] != batch.max[i]) {
        scale = scale * exp_of((T)(chunk_max[k] - batch.max[i]));
      }
      const T* t = nullptr;
      if (has_probabilities) {
        const int64_t at = offset_of(a.probability, row);
        with_probability(
            [&](auto e) { t = stage<decltype(e)>(this->a.probability, at, begin, n, this->other + kChunk); });
      }
      const T* const w = options.smoothing != 0 || has_probabilities ? weight + begin : nullptr;
      const T* const slope = has_slope(a) ? slope_row + begin : nullptr;
      const int64_t here = has_probabilities || y < begin || y >= begin + n ? -1 : y - begin;
      const auto write = [&](const auto& from) {
        if (to_memory && a.stream) {
          chunk_gradient<true>(from, g + begin, i, n, scale, here, w, t, slope, square);
        } else if (to_memory) {
          chunk_gradient<false>(from, g + begin, i, n, scale, here, w, t, slope, square);
        } else {  // into scratch: to be scattered, or only its norm is wanted
          T* const staged = other + 2 * kChunk;
          chunk_gradient<false>(from, staged, i, n, scale, here, w, t, slope, square);
          for (int64_t c = 0; a.gradient.data && c < n; ++c) {
            store_one(g + (begin + c) * a.gradient.class_stride, staged[c]);
          }
        }
      };
      const bool unshifted = is_plain() && batch.max[i] == 0;
      if (!a.from_state) {
        write(Kept{e + begin});
      } else if (direct()) {
        const S* const z = (const S*)a.logits.data + offset + begin;
        unshifted ? write(Fresh<false>{z, V((T)0)}) : write(Fresh<true>{z, V((T)batch.max[i])});
      } else {
        stage_logits(offset, begin, n, other, slope_row + begin);
        double unused = 0;
        unshifted ? chunk_exponentials<false, false>(other, tile, n, (T)0, -1, unused, nullptr)
                  : chunk_exponentials<false, true>(other, tile, n, (T)batch.max[i], -1, unused, nullptr);
        write(Kept{tile});
      }
    }
  }

  void write_probability_gradient(int64_t row, int64_t i) const {
    const RowsView& view = a.probability_gradient;
    if (batch.target_class[i] < 0) return clear_row(view, row, bytes_of(a.probability_type));
    const int64_t offset = offset_of(a.logits, row), at = offset_of(view, row);
    for (int64_t begin = 0; begin < a.classes; begin += kChunk) {
      const int64_t n = a.classes - begin < kChunk ? a.classes - begin : kChunk;
      stage_logits(offset, begin, n, other, other + kChunk);
      with_probability([&](auto e) {
        auto* const out = (decltype(e)*)view.data + at;
        for (int64_t c = 0; c < n; ++c) {
          write_one(out + (begin + c) * view.class_stride, this->probability_gradient(this->other[c], begin + c, i));
        }
      });
    }
  }

  void run(int64_t first, int64_t last, RowsSums* sums) const {
    const int64_t pitch = (a.classes + W - 1) / W * W;
    // From the state and logits in memory no exponential is kept, so that a group may be as large as its formulas like.
    const int64_t group = a.from_state && direct() ? kGroup : group_rows<T>(a.classes);
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
        if (!has_probabilities)
          batch.target[i] = logit_at(offset_of(a.logits, row + i), batch.target_class[i]) - (T)batch.max[i];
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
};

}  // namespace
}  // namespace fastloss::FASTLOSS_ISA
