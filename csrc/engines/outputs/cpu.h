#pragma once

// Row outputs of the softmax on the CPU: Note [Row outputs]. Lanes run over the classes; what measures a chunk is the
// softmax engine's. Forward reads a row once, backward reads it and writes its gradient. Log-probability and lse of one
// target a row are what cross entropy measures: its loops for short rows and its gradient serve them, which are up to
// twice as fast as those for any outputs.

#include "engines/outputs/args.h"
#include "engines/outputs/contract.h"
#include "engines/softmax/cpu_by_class.h"
#include "engines/softmax/cpu_short.h"

namespace fastloss::FASTLOSS_ISA {
namespace {

template <class S>
struct Outputs : ByClass<S> {
  using typename RowsBase<S>::T;
  using typename RowsBase<S>::V;
  using RowsBase<S>::W;
  using RowsBase<S>::a;
  using RowsBase<S>::batch;
  using RowsBase<S>::tile;
  using RowsBase<S>::slopes;
  using RowsBase<S>::other;
  using RowsBase<S>::weight;
  using D = Vec<double>;

  static constexpr int kSide = 16;        // rows of a tile whose classes are not adjacent
  static constexpr int64_t kRows = 64;    // of a batch
  static constexpr int64_t kLow = -1024;  // of z - m, where the exponential is 0 in every type

  const OutputsArgs& o;

  Outputs(const RowsBase<S>& base, const OutputsArgs& o) : ByClass<S>{base}, o(o) {}

  static int64_t scratch(const OutputsArgs& o) {
    const int64_t chunks = 3 * kChunk + 2 * W, short_rows = ShortRows<S>::tile_size(o.rows.classes);
    const bool more = o.rows.classes <= kShortRow && short_rows > chunks;
    return sizeof(RowBatch<T>) + (more ? short_rows : chunks) * (int64_t)sizeof(T) + 256;
  }

  // Whether a row has what cross entropy has: one target, all classes.
  bool is_usual() const { return o.targets == 1 && o.all_classes == a.classes && !o.part; }

  // Rows are tiled where classes are far apart and rows adjacent: `rows` of them, `classes` at a time.
  struct Tiling {
    int64_t rows, classes;
  };
  Tiling tiling() const { return a.logits.class_stride != 1 ? Tiling{kSide, kChunk / kSide} : Tiling{1, kChunk}; }

  // Classes [begin, begin + n) of some adjacent rows as values of the formulas: in place, or in `other` with the slopes of
  // the cap in `slopes`, a row every `pitch`.
  struct Staged {
    const T* z;
    const T* slope;
  };
  void stage_rows(int64_t row, int64_t rows, int64_t begin, int64_t n, int64_t pitch) const {
    const int64_t inner = a.size[a.dims - 1];
    for (int64_t i = 0; i < rows;) {
      const int64_t offset = this->offset_of(a.logits, row + i);
      const S* const p = (const S*)a.logits.data + offset + begin * a.logits.class_stride;
      const bool block = a.logits.row_stride[a.dims - 1] == 1 && i + W <= rows && (row + i) % inner + W <= inner;
      if (block) {
        int64_t c = 0;
        for (; c + W <= n; c += W) {
          V square[W];
          for (int k = 0; k < W; ++k) square[k] = load(p + (c + k) * a.logits.class_stride);
          transpose(square);
          for (int k = 0; k < W; ++k) store(other + (i + k) * pitch + c, square[k]);
        }
        for (; c < n; ++c) {
          for (int k = 0; k < W; ++k) other[(i + k) * pitch + c] = load_one(p + c * a.logits.class_stride + k);
        }
        i += W;
      } else {
        this->template stage<S>(a.logits, offset, begin, n, other + i * pitch);
        ++i;
      }
    }
    for (int64_t i = 0; !as_stored(a) && i < rows; ++i) {
      for (int64_t c = 0; c < n; c += W) {  // a pitch is whole vectors
        V slope;
        store(other + i * pitch + c, logit<T>(a, load(other + i * pitch + c), slope));
        if (has_slope(a)) store(slopes + i * pitch + c, slope);
      }
    }
  }

  // A target's class among the logits; -1: in another part, or ignored.
  FASTLOSS_FN int64_t class_of(int64_t row, int64_t k) const {
    const int64_t y = o.target[row * o.targets + k];
    return y == a.ignore_index || (uint64_t)y >= (uint64_t)a.classes ? -1 : y;
  }

  // Which rows count, and the likeliest target of each: -1 if none is here.
  void choose(int64_t first, int64_t n) const {
    for (int64_t i = 0; i < n; ++i) {
      const int64_t row = first + i;
      bool kept = o.targets == 0;
      int64_t best = -1;
      T largest = 0;
      for (int64_t k = 0; k < o.targets; ++k) {
        kept |= o.target[row * o.targets + k] != a.ignore_index;
        const int64_t c = class_of(row, k);
        if (c < 0) continue;
        const T z = o.targets == 1 ? (T)0 : this->logit_at(this->offset_of(a.logits, row), c);
        if (best < 0 || z > largest) best = c, largest = z;
      }
      if (a.mask && !a.mask[row]) kept = false;
      batch.kept[i] = kept;
      batch.target_class[i] = (typename V::Int)best;
    }
  }

  void measure(int64_t first, int64_t n) const {
    const auto [side, width] = tiling();
    for (int64_t i = 0; i < n; i += side) {
      const int64_t rows = n - i < side ? n - i : side;
      Running<T> running[kSide];
      for (int64_t begin = 0; begin < a.classes; begin += width) {
        const int64_t count = a.classes - begin < width ? a.classes - begin : width;
        if (!this->direct()) stage_rows(first + i, rows, begin, count, width);
        for (int64_t k = 0; k < rows; ++k) {
          if (batch.kept[i + k] == 0) continue;
          const int64_t y = batch.target_class[i + k];
          if (this->direct()) {
            const S* const x = (const S*)a.logits.data + this->offset_of(a.logits, first + i + k) + begin;
            this->measure_chunk(x, tile, first + i + k, begin, count, y, running[k], (const char*)x + kAhead);
          } else {
            this->measure_chunk(other + k * width, tile, first + i + k, begin, count, y, running[k], nullptr);
          }
        }
      }
      for (int64_t k = 0; k < rows; ++k) {
        const Running<T>& r = running[k];
        const bool kept = batch.kept[i + k] != 0;
        batch.max[i + k] = kept ? (double)r.m : 0;
        batch.others[i + k] = kept ? r.sum : 0;
        batch.tilt[i + k] = kept ? r.tilt : 0;
        batch.gap[i + k] = kept ? r.gap : 0;
        batch.mass[i + k] = kept ? r.mass : 0;
      }
    }
  }

  // Of the chosen targets, relative to the maximum.
  void targets(int64_t first, int64_t n) const {
    for (int64_t i = 0; i < n; ++i) {
      const int64_t y = batch.target_class[i];
      const bool there = batch.kept[i] != 0 && y >= 0;
      const T d = there ? this->logit_at(this->offset_of(a.logits, first + i), y) - (T)batch.max[i] : (T)0;
      batch.target[i] = d;
      batch.exp_target[i] = there ? exp_of(d) : (T)0;
    }
  }

  // The outputs of n rows that have been measured.
  void put(int64_t row, int64_t n) const {
    T *const state = (T*)o.state, *const logprob = (T*)o.logprob;
    double entropy[kRows], lse[kRows], spread[kRows];
    for (int64_t i = 0; i < n; i += D::size) {
      const OutputTerms<D> t = row_outputs<double>(load(batch.max + i), load(batch.others + i), load(batch.target + i),
                                                   load(batch.exp_target + i), load(batch.tilt + i),
                                                   load(batch.gap + i), load(batch.mass + i));
      store(batch.nll + i, t.logprob);
      store(batch.log_sum + i, t.log_sum);
      store(entropy + i, t.entropy);
      store(lse + i, t.lse);
      store(spread + i, t.spread);
    }
    for (int64_t i = 0; i < n; ++i) {
      const bool kept = batch.kept[i] != 0;
      const auto put_one = [&](void* to, double value) {
        if (to) ((T*)to)[row + i] = kept ? (T)value : (T)0;
      };
      state[row + i] = (T)batch.max[i];
      state[a.rows + row + i] = (T)batch.others[i];
      put_one(o.entropy, entropy[i]);
      put_one(o.lse, lse[i]);
      put_one(o.spread, spread[i]);
      for (int64_t k = 0; logprob && k < o.targets; ++k) {
        const int64_t at = (row + i) * o.targets + k, c = class_of(row + i, k);
        if (!kept || o.target[at] == a.ignore_index) {
          logprob[at] = 0;
        } else if (c < 0) {
          logprob[at] = -(T)__builtin_inf();
        } else if (c == batch.target_class[i]) {
          logprob[at] = (T)(o.part ? batch.target[i] : batch.nll[i]);
        } else {
          const T z = this->logit_at(this->offset_of(a.logits, row + i), c);
          logprob[at] = (T)((double)z - batch.max[i] - (o.part ? 0 : batch.log_sum[i]));
        }
      }
    }
  }

  void forward(int64_t first, int64_t last) const {
    for (int64_t row = first; row < last; row += kRows) {
      const int64_t n = last - row < kRows ? last - row : kRows;
      choose(row, n);
      measure(row, n);
      targets(row, n);
      put(row, n);
    }
  }
  void forward_short(const ShortRows<S>& rows, int64_t begin, int64_t end) const {
    rows.run(begin, end, [&](int64_t row, int64_t n, int64_t) {
      exponentiate_targets(batch, n);
      for (int64_t i = 0; i < n; ++i) batch.tilt[i] = batch.mass[i] = 0;
      put(row, n);
    });
  }

  // exp(z - m) (level + slope (z - m)) - offset w, times the slope of the cap.
  template <bool tilted, class P>
  void gradient(const P* z, T* g, int64_t n, T max, T level, T slope, T offset, const T* w, const T* dz,
                const char* next) const {
    const V vm(max), vl(level), vs(slope), vo(-offset), low((T)kLow);
    for (int64_t c = 0; c < n; c += W) {
      const int left = n - c < W ? (int)(n - c) : W;
      const auto part = [&](const auto* p, T fill) {
        return left == W ? load(p + c) : load_partial(p + c, left, fill);
      };
      if (next) prefetch<W * sizeof(P)>(next + c * sizeof(P));
      const V d = part(z, max) - vm;
      V v = exp_shifted(d) * (tilted ? fma(vs, fastloss::FASTLOSS_ISA::max(low, d), vl) : vl);
      if (w) v = fma(vo, part(w, (T)0), v);
      if (dz) v = v * part(dz, (T)0);
      store(g + c, v);  // scratch is whole vectors
    }
  }

  template <bool streamed>
  static void write(const T* from, S* g, int64_t n) {
    int64_t c = 0;
    const auto ordinary = [&](int64_t end) {
      for (; c + W <= end; c += W) store(g + c, load(from + c));
    };
    if (streamed) {  // whole lines from the stream's alignment on; the head and the tail go the ordinary way
      const int64_t first = stream_head(g);
      if (first < n) {
        c = first % W;
        if (c > 0) store_head(g, (int)c, load_partial(from, (int)c, (T)0));
        ordinary(first);
        constexpr int line = line_size<true, S>();
        for (; c + line <= n; c += line) put_line<true>(g + c, [&](int k) { return load(from + c + k); });
      }
    }
    ordinary(n);
    if (c < n) store_partial(g + c, (int)(n - c), load_partial(from + c, (int)(n - c), (T)0));
  }

  // Of a tile, class by class.
  void scatter(int64_t row, int64_t rows, int64_t begin, int64_t n, const T* from, int64_t pitch) const {
    const RowsView& view = a.gradient;
    const int64_t inner = a.size[a.dims - 1];
    for (int64_t i = 0; i < rows;) {
      S* const p = (S*)view.data + this->offset_of(view, row + i) + begin * view.class_stride;
      const bool block = view.row_stride[a.dims - 1] == 1 && i + W <= rows && (row + i) % inner + W <= inner;
      int64_t c = 0;
      for (; block && c + W <= n; c += W) {
        V square[W];
        for (int k = 0; k < W; ++k) square[k] = load(from + (i + k) * pitch + c);
        transpose(square);
        for (int k = 0; k < W; ++k) store(p + (c + k) * view.class_stride, square[k]);
      }
      const int64_t side = block ? W : 1;
      for (; c < n; ++c) {
        for (int64_t k = 0; k < side; ++k) store_one(p + c * view.class_stride + k, from[(i + k) * pitch + c]);
      }
      i += side;
    }
  }

  void backward(int64_t first, int64_t last) const {
    const T* const state = (const T*)o.state;
    const auto at = [](const void* p, int64_t i) { return p ? (double)((const T*)p)[i] : 0; };
    const D per_logit = upstream_of_logits<double>(a, D(1.0));
    const bool of_logprob_and_lse = is_usual() && !o.of_entropy && !o.of_spread && !has_slope(a) &&
                                    a.logits.class_stride == 1 && a.gradient.class_stride == 1;
    for (int64_t row = first; row < last; row += kRows) {
      const int64_t n = last - row < kRows ? last - row : kRows;
      double own[kRows], rest[kRows], of_entropy[kRows], of_lse[kRows], of_spread[kRows], entropy[kRows], slope[kRows];
      double at_target[kRows], level[kRows], offset[kRows];
      choose(row, n);
      for (int64_t i = 0; i < n; ++i) {
        batch.max[i] = at(o.state, row + i);
        batch.others[i] = at(state + a.rows, row + i);
        own[i] = rest[i] = 0;
        for (int64_t k = 0; k < o.targets; ++k) {
          const int64_t place = (row + i) * o.targets + k;
          if (o.target[place] == a.ignore_index) continue;
          const int64_t c = class_of(row + i, k);
          (c >= 0 && c == batch.target_class[i] ? own : rest)[i] += at(o.of_logprob, place);
        }
        of_entropy[i] = at(o.of_entropy, row + i);
        of_lse[i] = at(o.of_lse, row + i);
        of_spread[i] = at(o.of_spread, row + i);
        entropy[i] = at(o.entropy, row + i);
      }
      targets(row, n);
      for (int64_t i = 0; i < n; i += D::size) {
        const OutputGradients<D> g{load(own + i), load(rest + i), load(of_entropy + i), load(of_lse + i),
                                   load(of_spread + i)};
        const OutputFactors<D> f = row_factors<double>(g, load(batch.others + i), load(batch.target + i),
                                                       load(batch.exp_target + i), load(entropy + i), per_logit);
        store(level + i, f.level);
        store(slope + i, f.slope);
        store(at_target + i, f.at_target);
        store(offset + i, f.offset);
      }
      for (int64_t i = 0; of_logprob_and_lse && i < n; ++i) {
        double unused = 0;
        if (batch.kept[i] == 0) batch.target_class[i] = -1;
        batch.scale[i] = (T)level[i];
        batch.at_target[i] = (T)at_target[i];
        batch.offset[i] = 0;
        this->write_row(row + i, i, tile, slopes, unused);
      }
      if (of_logprob_and_lse) continue;
      const auto [side, width] = tiling();
      for (int64_t i = 0; i < n; i += side) {
        const int64_t rows = n - i < side ? n - i : side;
        for (int64_t begin = 0; begin < a.classes; begin += width) {
          const int64_t count = a.classes - begin < width ? a.classes - begin : width;
          if (!this->direct()) stage_rows(row + i, rows, begin, count, width);
          for (int64_t k = 0; k < rows; ++k) {
            T* const g = tile + k * width;
            if (batch.kept[i + k] == 0) {
              for (int64_t c = 0; c < count; ++c) g[c] = 0;
              continue;
            }
            const T* const w = o.of_spread ? weight + begin : nullptr;
            const T* const dz = has_slope(a) ? slopes + k * width : nullptr;
            const auto make = [&](const auto* z, const char* next) {
              o.of_entropy ? gradient<true>(z, g, count, (T)batch.max[i + k], (T)level[i + k], (T)slope[i + k],
                                            (T)offset[i + k], w, dz, next)
                           : gradient<false>(z, g, count, (T)batch.max[i + k], (T)level[i + k], (T)0, (T)offset[i + k],
                                             w, dz, next);
            };
            if (this->direct()) {
              const S* const x = (const S*)a.logits.data + this->offset_of(a.logits, row + i + k) + begin;
              make(x, (const char*)x + kAhead);
            } else {
              make(other + k * width, nullptr);
            }
            for (int64_t t = 0; t < o.targets; ++t) {
              const int64_t y = class_of(row + i + k, t), c = y - begin;
              if (y < 0 || c < 0 || c >= count) continue;
              const T factor = dz ? dz[c] : (T)1;
              if (y == batch.target_class[i + k]) {
                g[c] = (T)(at_target[i + k] - (w ? offset[i + k] * w[c] : 0)) * factor;
              } else {
                g[c] += (T)upstream_of_logits<double>(a, at(o.of_logprob, (row + i + k) * o.targets + t)) * factor;
              }
            }
          }
          if (side == 1 && a.gradient.class_stride == 1) {
            S* const to = (S*)a.gradient.data + this->offset_of(a.gradient, row + i) + begin;
            a.stream ? write<true>(tile, to, count) : write<false>(tile, to, count);
          } else {
            scatter(row + i, rows, begin, count, tile, width);
          }
        }
      }
    }
  }

  static void run(const OutputsArgs& o, int64_t begin, int64_t end, void* scratch) {
    char* const p = (char*)(((uintptr_t)scratch + 63) / 64 * 64);
    T* const memory = (T*)(p + (sizeof(RowBatch<T>) + 63) / 64 * 64);
    const RowsArgs& a = o.rows;
    const RowsBase<S> base{a,
                           nullptr,
                           row_options(a),
                           (const T*)a.weight,
                           false,
                           *(RowBatch<T>*)p,
                           memory,
                           memory + kChunk + W,
                           memory + 2 * kChunk + W,
                           nullptr};
    const Outputs<S> outputs(base, o);
    const ShortRows<S> short_rows{base};
    const int64_t last = base.task_end(end - 1);
    if (a.gradient.data) {
      outputs.backward(begin * a.task_rows, last);
    } else if (outputs.is_usual() && short_rows.serves()) {
      outputs.forward_short(short_rows, begin, end);
    } else {
      outputs.forward(begin * a.task_rows, last);
    }
    stream_fence();
  }
};

}  // namespace
}  // namespace fastloss::FASTLOSS_ISA
