#pragma once

// The pointwise engine on the CPU: value, sum and gradients of Note [Pointwise] in one pass, 2R + W.
//
// Elements are taken in blocks of kBlock. `plain`, the training step of dense tensors, works where they lie. `general`
// does the rest: an operand that does not lie in the order of the iteration (broadcast, strided) is staged block by
// block in L1, a gradient likewise scattered from there, so that there is one inner loop whatever the layout.
//
// Sums. A lane adds at most kBlock / (4 * lanes) values in the computing type, blocks add up in double, tasks in double
// in their order: the sum depends on the number of elements alone. Both loops add in the same order.
//
// The last vector of a block is partial: its missing lanes run the same functor on zeros, and what comes out is dropped.

#include "core/pointwise.h"
#include "cpu/pointwise_args.h"
#include "cpu/vec_math.h"

namespace fastloss::FASTLOSS_ISA {
namespace {

constexpr int kBlock = 512;

// As many bytes as a vector has lanes, for masks; written per type because GCC drops vector_size on a dependent type.
template <class T>
struct LaneBytes;
template <>
struct LaneBytes<float> {
  typedef uint8_t Native __attribute__((vector_size(FASTLOSS_VEC_BYTES / 4)));
};
template <>
struct LaneBytes<double> {
  typedef uint8_t Native __attribute__((vector_size(FASTLOSS_VEC_BYTES / 8)));
};

template <class T>
FASTLOSS_FN Mask<T> load_mask(const bool* p) {
  typename LaneBytes<T>::Native bytes;
  memcpy(&bytes, p, sizeof(bytes));
  return {__builtin_convertvector(bytes, typename Vec<T>::NativeInt) != typename Vec<T>::NativeInt{}};
}

template <class T>
FASTLOSS_FN Mask<T> first_lanes_mask(int n) {
  return {lane_indices<T>() < broadcast_int<T>(n)};
}

template <class S, template <class> class Loss>
struct Pointwise {
  using T = typename Compute<S>::type;
  using V = Vec<T>;
  using F = Loss<T>;
  static constexpr int W = V::size;
  static constexpr int arity = F::arity;
  using Eval = PointEval<V, arity>;

  const PointArgs& a;
  const F f;

  FASTLOSS_FN Eval evaluate(const V (&v)[arity]) const {
    if constexpr (arity == 2) return f(v[0], v[1]);
    if constexpr (arity == 3) return f(v[0], v[1], v[2]);
  }
  FASTLOSS_FN V outside(const V (&v)[arity]) const {
    if constexpr (!F::checked) return V((T)0);
    if constexpr (F::checked && arity == 2) return f.outside(v[0], v[1]);
    if constexpr (F::checked && arity == 3) return f.outside(v[0], v[1], v[2]);
  }

  // What a task adds up: block sums in the computing type, everything else in double.
  struct Sums {
    V block[4] = {V((T)0), V((T)0), V((T)0), V((T)0)};
    V bad = V((T)0);
    decltype(widen(V((T)0))) total = widen(V((T)0)), square = widen(V((T)0));

    FASTLOSS_FN void end_block() {
      total = total + widen((block[0] + block[1]) + (block[2] + block[3]));
      for (V& sum : block) sum = V((T)0);
    }
    FASTLOSS_FN void store_to(PointSums* out) const {
      out->loss = reduce_add(total);
      out->gradient_square = reduce_add(square);
      out->outside = (double)reduce_max(bad);
    }
  };

  // --------------------------------------------------------------------------------------------------- plain

  template <bool write, bool past_caches>
  void plain(int64_t first, int64_t last, PointSums* out) const {
    const V scale((T)a.scale);
    Sums sums;
    for (int64_t b = first; b < last; b += kBlock) {
      const int n = last - b < kBlock ? (int)(last - b) : kBlock;
      const S* p[arity];
      for (int k = 0; k < arity; ++k) p[k] = (const S*)a.operand[k].data + b;
      S* const g = write ? (S*)a.gradient[0].data + b : nullptr;
      int i = 0;
      for (; i + 4 * W <= n; i += 4 * W) {
#pragma GCC unroll 4
        for (int u = 0; u < 4; ++u) {
          V v[arity];
          for (int k = 0; k < arity; ++k) v[k] = load(p[k] + i + u * W);
          const Eval r = evaluate(v);
          sums.block[u] = sums.block[u] + r.loss;
          if constexpr (F::checked) sums.bad = max(sums.bad, outside(v));
          if constexpr (write && past_caches) stream(g + i + u * W, r.grad[0] * scale);
          if constexpr (write && !past_caches) store(g + i + u * W, r.grad[0] * scale);
        }
      }
      for (; i < n; i += W) {
        const int left = n - i < W ? n - i : W;
        const Mask<T> there = first_lanes_mask<T>(left);
        V v[arity];
        for (int k = 0; k < arity; ++k) v[k] = load_partial(p[k] + i, left, (T)0);
        const Eval r = evaluate(v);
        sums.block[0] = sums.block[0] + keep_where(there, r.loss);
        if constexpr (F::checked) sums.bad = max(sums.bad, keep_where(there, outside(v)));
        if constexpr (write) store_partial(g + i, left, r.grad[0] * scale);
      }
      sums.end_block();
    }
    if (out) sums.store_to(out);
  }

  // ------------------------------------------------------------------------------------------------- general

  // Calls f(position in the block, length, offset) for each run of the elements [first, first + n) that are adjacent
  // in the innermost dimension.
  template <class Run>
  FASTLOSS_FN void for_runs(const PointView& view, int64_t first, int n, Run run) const {
    const int inner = a.dims - 1;
    int64_t index[kMaxPointDims], offset = 0;
    for (int d = inner; d >= 0; --d) {
      index[d] = first % a.size[d];
      first /= a.size[d];
      offset += index[d] * view.stride[d];
    }
    for (int i = 0; i < n;) {
      const int64_t left = a.size[inner] - index[inner];
      const int length = left < n - i ? (int)left : n - i;
      run(i, length, offset);
      i += length;
      index[inner] += length;
      offset += length * view.stride[inner];
      for (int d = inner; d > 0 && index[d] == a.size[d]; --d) {
        offset += view.stride[d - 1] - index[d] * view.stride[d];
        index[d] = 0;
        ++index[d - 1];
      }
    }
  }

  template <class E>
  void gather(const PointView& view, int64_t first, int n, E* to) const {
    const int64_t step = view.stride[a.dims - 1];
    for_runs(view, first, n, [&](int i, int length, int64_t offset) {
      const E* from = (const E*)view.data + offset;
      if (step == 1) {
        memcpy(to + i, from, length * sizeof(E));
      } else if (step == 0) {
        const E value = *from;
        for (int j = 0; j < length; ++j) to[i + j] = value;
      } else {
        for (int j = 0; j < length; ++j) to[i + j] = from[j * step];
      }
    });
  }

  // The block's elements as adjacent values: where they lie, or staged.
  template <class E>
  FASTLOSS_FN const E* block_of(const PointView& view, int64_t first, int n, E* staging) const {
    if (!view.data) return nullptr;
    if (view.flat) return (const E*)view.data + first;
    gather(view, first, n, staging);
    return staging;
  }

  // Where the block's results are written: in place, or to staging that `scatter` empties.
  template <class E>
  FASTLOSS_FN E* output_of(const PointView& view, int64_t first, E* staging) const {
    return !view.data ? nullptr : view.flat ? (E*)view.data + first : staging;
  }

  template <class E>
  void scatter(const PointView& view, int64_t first, int n, const E* from) const {
    const int64_t step = view.stride[a.dims - 1];
    for_runs(view, first, n, [&](int i, int length, int64_t offset) {
      E* to = (E*)view.data + offset;
      for (int j = 0; j < length; ++j) to[j * step] = from[i + j];
    });
  }

  template <class E>
  FASTLOSS_FN static V read(const E* p, int n) {
    return n == W ? load(p) : load_partial(p, n, (T)0);
  }
  template <class E>
  FASTLOSS_FN static void write(E* p, int n, V value) {
    n == W ? store(p, value) : store_partial(p, n, value);
  }

  void general(int64_t first, int64_t last, PointSums* out) const {
    S operands[arity][kBlock], gradients[arity][kBlock], weights[kBlock], narrow_upstream[kBlock];
    S narrow_losses[kBlock];
    T upstreams[kBlock], wide_losses[kBlock];
    bool masks[kBlock + W];
    const V scale((T)a.scale);
    Sums sums;
    for (int64_t b = first; b < last; b += kBlock) {
      const int n = last - b < kBlock ? (int)(last - b) : kBlock;
      const S* p[arity];
      S* g[arity];
      for (int k = 0; k < arity; ++k) {
        p[k] = block_of(a.operand[k], b, n, operands[k]);
        g[k] = output_of(a.gradient[k], b, gradients[k]);
      }
      const S* const w = block_of(a.weight, b, n, weights);
      const T* const wide = a.upstream.wide ? block_of(a.upstream, b, n, upstreams) : nullptr;
      const S* const narrow = a.upstream.wide ? nullptr : block_of(a.upstream, b, n, narrow_upstream);
      T* const wide_loss = a.loss.wide ? output_of(a.loss, b, wide_losses) : nullptr;
      S* const narrow_loss = a.loss.wide ? nullptr : output_of(a.loss, b, narrow_losses);
      if (a.mask.data) gather(a.mask, b, n, masks);

      const auto step = [&](int i, int left, V& sum) __attribute__((always_inline)) {
        V v[arity];
        for (int k = 0; k < arity; ++k) v[k] = read(p[k] + i, left);
        const Eval r = evaluate(v);
        V loss = r.loss, factor = scale;
        if (w) {
          const V wi = read(w + i, left);
          loss = loss * wi;
          factor = factor * wi;
        }
        if (wide) factor = factor * read(wide + i, left);
        if (narrow) factor = factor * read(narrow + i, left);
        Mask<T> kept = first_lanes_mask<T>(left);
        if (a.mask.data) kept.m &= load_mask<T>(masks + i).m;
        loss = keep_where(kept, loss);
        sum = sum + loss;
        if constexpr (F::checked) sums.bad = max(sums.bad, keep_where(kept, outside(v)));
        if (wide_loss) write(wide_loss + i, left, loss);
        if (narrow_loss) write(narrow_loss + i, left, loss);
        for (int k = 0; k < arity; ++k) {
          if (!g[k] && !(a.want_stats && k == 0)) continue;
          const V slope = keep_where(kept, r.grad[k] * factor);
          if (a.want_stats && k == 0) sums.square = sums.square + squares(slope);
          if (g[k]) write(g[k] + i, left, slope);
        }
      };
      int i = 0;
      for (; i + 4 * W <= n; i += 4 * W) {
#pragma GCC unroll 1
        for (int u = 0; u < 4; ++u) step(i + u * W, W, sums.block[u]);
      }
#pragma GCC unroll 1
      for (; i < n; i += W) step(i, n - i < W ? n - i : W, sums.block[0]);
      sums.end_block();
      for (int k = 0; k < arity; ++k) {
        if (g[k] == gradients[k]) scatter(a.gradient[k], b, n, gradients[k]);
      }
      if (wide_loss == wide_losses) scatter(a.loss, b, n, wide_losses);
      if (narrow_loss == narrow_losses) scatter(a.loss, b, n, narrow_losses);
    }
    if (out) sums.store_to(out);
  }

  FASTLOSS_FN static Wide squares(Vec<float> x) {
    const Wide w = widen(x);
    return {w.low * w.low, w.high * w.high};
  }
  FASTLOSS_FN static Vec<double> squares(Vec<double> x) { return x * x; }

  static void run(const PointArgs& a, int64_t begin, int64_t end) {
    const Pointwise engine{a, F(a.params)};
    const bool aligned = (uintptr_t)a.gradient[0].data % stream_alignment<S>() == 0;
    for (int64_t task = begin; task < end; ++task) {
      const int64_t first = task * a.task_elements;
      const int64_t last = first + a.task_elements < a.elements ? first + a.task_elements : a.elements;
      PointSums* const sums = a.sums ? a.sums + task : nullptr;
      if (!a.plain) {
        engine.general(first, last, sums);
      } else if (!a.gradient[0].data) {
        engine.template plain<false, false>(first, last, sums);
      } else if (a.stream && aligned) {
        engine.template plain<true, true>(first, last, sums);
      } else {
        engine.template plain<true, false>(first, last, sums);
      }
    }
    stream_fence();
  }
};

}  // namespace
}  // namespace fastloss::FASTLOSS_ISA
