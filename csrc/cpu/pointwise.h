#pragma once

// The pointwise engine on the CPU: value, sum and gradients of Note [Pointwise] in one pass, 2R + W.
//
// `plain` is the training step of dense tensors: it works where they lie. `general` does the rest in blocks that stay in
// L1: operands of any layout and stored type are brought to dense values of the computing type, the loss evaluates them
// (`evaluate_block`), and weight, mask, upstream gradient, statistics and the way back follow. Only the evaluation knows
// the loss; the rest is compiled once per stored type, which is what keeps forty losses on five ISAs buildable.
//
// Sums. A lane adds at most kBlock / (4 * lanes) values in the computing type, blocks add up in double, tasks in double
// in their order: the sum depends on the number of elements alone. Both loops add in the same order.
//
// The last vector of a block is partial: its missing lanes run the same functor on zeros, and what comes out is dropped.

#include "core/pointwise.h"
#include "core/pointwise_args.h"
#include "cpu/vec_math.h"

namespace fastloss::FASTLOSS_ISA {
namespace {

constexpr int kBlock = 512;

// Lanes whose bool is true.
#if defined(__AVX512F__)
template <class T>
FASTLOSS_FN Mask<T> load_mask(const bool* p) {
  if constexpr (sizeof(T) == 4) {
    const __m512i lanes = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i*)p));
    return {_mm512_test_epi32_mask(lanes, lanes)};
  } else {
    const __m512i lanes = _mm512_cvtepu8_epi64(_mm_loadl_epi64((const __m128i*)p));
    return {_mm512_test_epi64_mask(lanes, lanes)};
  }
}
#else
template <class T>
FASTLOSS_FN Mask<T> load_mask(const bool* p) {
  typename Vec<T>::NativeInt lanes;
  for (int i = 0; i < Vec<T>::size; ++i) lanes[i] = p[i];
  return lanes_differ<T>(lanes, typename Vec<T>::NativeInt{});
}
#endif

FASTLOSS_FN Wide squares(Vec<float> x) {
  const Wide w = widen(x);
  return {w.low * w.low, w.high * w.high};
}
FASTLOSS_FN Vec<double> squares(Vec<double> x) { return x * x; }

// What a task adds up: block sums in the computing type, everything else in double.
template <class T>
struct TaskSums {
  using V = Vec<T>;
  V block[4] = {V((T)0), V((T)0), V((T)0), V((T)0)};
  V outside = V((T)0);
  decltype(widen(V((T)0))) total = widen(V((T)0)), square = widen(V((T)0));

  FASTLOSS_FN void end_block() {
    total = total + widen((block[0] + block[1]) + (block[2] + block[3]));
    for (V& sum : block) sum = V((T)0);
  }
  FASTLOSS_FN void store_to(PointSums* out) const {
    out->loss = reduce_add(total);
    out->gradient_square = reduce_add(square);
    out->outside = reduce_max(outside) != (T)0;
  }
};

// ----------------------------------------------------------------------------------------------------- one loss

template <class T, template <class> class Loss>
struct PointLoss {
  using V = Vec<T>;
  using F = Loss<T>;
  static constexpr int arity = F::arity;
  using Eval = PointEval<V, arity>;
  const F f;

  FASTLOSS_FN explicit PointLoss(const double* params) : f(params) {}

  FASTLOSS_FN Eval evaluate(const V (&v)[arity]) const {
    if constexpr (arity == 2) return f(v[0], v[1]);
    if constexpr (arity == 3) return f(v[0], v[1], v[2]);
  }
  // 1 where the element is outside the domain.
  FASTLOSS_FN V outside(const V (&v)[arity]) const {
    if constexpr (!F::checked) return V((T)0);
    if constexpr (F::checked && arity == 2) return f.outside(v[0], v[1]);
    if constexpr (F::checked && arity == 3) return f.outside(v[0], v[1], v[2]);
  }
};

// Dense values of one block. Results are whole vectors: their arrays hold kBlock values.
template <class T>
struct PointBlock {
  int n;
  const T* operand[kMaxOperands];
  T* loss;
  T* gradient[kMaxOperands];  // null: not wanted
  T* outside;                 // written if the loss has a domain
};

template <class T>
using BlockKernel = void (*)(const double* params, const PointBlock<T>&);

template <class T, template <class> class Loss>
void evaluate_block(const double* params, const PointBlock<T>& b) {
  using L = PointLoss<T, Loss>;
  using V = Vec<T>;
  const L loss(params);
#pragma GCC unroll 1
  for (int i = 0; i < b.n; i += V::size) {
    const int left = b.n - i;
    V v[L::arity];
    for (int k = 0; k < L::arity; ++k) {
      v[k] = left < V::size ? load_partial(b.operand[k] + i, left, (T)0) : load(b.operand[k] + i);
    }
    const typename L::Eval r = loss.evaluate(v);
    store(b.loss + i, r.loss);
    for (int k = 0; k < L::arity; ++k) {
      if (b.gradient[k]) store(b.gradient[k] + i, r.grad[k]);
    }
    if constexpr (L::F::checked) store(b.outside + i, loss.outside(v));
  }
}

// -------------------------------------------------------------------------------------------------------- plain

template <bool write, class S, template <class> class Loss>
void plain(const PointArgs& a, int64_t first, int64_t last, bool past_caches, PointSums* out) {
  using T = typename Compute<S>::type;
  using V = Vec<T>;
  using L = PointLoss<T, Loss>;
  constexpr int W = V::size;
  const L loss(a.params);
  const V scale((T)a.scale);
  TaskSums<T> sums;
  for (int64_t b = first; b < last; b += kBlock) {
    const int n = last - b < kBlock ? (int)(last - b) : kBlock;
    const S* p[L::arity];
    for (int k = 0; k < L::arity; ++k) p[k] = (const S*)a.operand[k].data + b;
    S* const g = write ? (S*)a.gradient[0].data + b : nullptr;
    int i = 0;
    for (; i + 4 * W <= n; i += 4 * W) {
      V slope[4];
#pragma GCC unroll 4
      for (int u = 0; u < 4; ++u) {
        V v[L::arity];
        for (int k = 0; k < L::arity; ++k) v[k] = load(p[k] + i + u * W);
        const typename L::Eval r = loss.evaluate(v);
        sums.block[u] = sums.block[u] + r.loss;
        if constexpr (L::F::checked) sums.outside = max(sums.outside, loss.outside(v));
        if constexpr (write) slope[u] = r.grad[0] * scale;
      }
      if constexpr (write) {
#pragma GCC unroll 4
        for (int u = 0; u < 4; ++u) {
          past_caches ? stream(g + i + u * W, slope[u]) : store(g + i + u * W, slope[u]);
        }
      }
    }
#pragma GCC unroll 1
    for (; i < n; i += W) {
      const int left = n - i < W ? n - i : W;
      const Mask<T> there = first_lanes<T>(left);
      V v[L::arity];
      for (int k = 0; k < L::arity; ++k) v[k] = load_partial(p[k] + i, left, (T)0);
      const typename L::Eval r = loss.evaluate(v);
      sums.block[0] = sums.block[0] + keep_where(there, r.loss);
      if constexpr (L::F::checked) sums.outside = max(sums.outside, keep_where(there, loss.outside(v)));
      if constexpr (write) store_partial(g + i, left, r.grad[0] * scale);
    }
    sums.end_block();
  }
  sums.store_to(out);
}

// ------------------------------------------------------------------------------------------------------ general

// Calls f(position in the block, length, offset) for each run of the elements [first, first + n) that are adjacent in
// the innermost dimension.
template <class Run>
FASTLOSS_FN void for_runs(const PointArgs& a, const PointView& view, int64_t first, int n, Run run) {
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
void gather(const PointArgs& a, const PointView& view, int64_t first, int n, E* to) {
  const int64_t step = view.stride[a.dims - 1];
  for_runs(a, view, first, n, [&](int i, int length, int64_t offset) {
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

template <class E>
void scatter(const PointArgs& a, const PointView& view, int64_t first, int n, const E* from) {
  const int64_t step = view.stride[a.dims - 1];
  for_runs(a, view, first, n, [&](int i, int length, int64_t offset) {
    E* to = (E*)view.data + offset;
    for (int j = 0; j < length; ++j) to[j * step] = from[i + j];
  });
}

// A block of a tensor stored as E, as dense values of the computing type T: where it lies, or in `staging`.
template <class E, class T>
const T* read_block(const PointArgs& a, const PointView& view, int64_t first, int n, T* staging) {
  constexpr int W = Vec<T>::size;
  const E* from = (const E*)view.data + first;
  E stored[kBlock];
  if (!view.flat) {
    gather(a, view, first, n, sizeof(E) == sizeof(T) ? (E*)staging : stored);
    from = stored;
  }
  if constexpr (sizeof(E) == sizeof(T)) {
    return view.flat ? (const T*)from : staging;
  } else {
    int i = 0;
    for (; i + W <= n; i += W) store(staging + i, load(from + i));
    if (i < n) store(staging + i, load_partial(from + i, n - i, (T)0));
    return staging;
  }
}

// The way back.
template <class E, class T>
void write_block(const PointArgs& a, const PointView& view, int64_t first, int n, const T* values) {
  constexpr int W = Vec<T>::size;
  E stored[kBlock];
  E* const to = view.flat ? (E*)view.data + first : stored;
  int i = 0;
  for (; i + W <= n; i += W) store(to + i, load(values + i));
  if (i < n) store_partial(to + i, n - i, load(values + i));
  if (!view.flat) scatter(a, view, first, n, stored);
}

template <class S>
void general(const PointArgs& a, int64_t first, int64_t last, int arity, bool checked,
             BlockKernel<typename Compute<S>::type> evaluate, PointSums* out) {
  using T = typename Compute<S>::type;
  using V = Vec<T>;
  constexpr int W = V::size;
  alignas(64) T operands[kMaxOperands][kBlock], gradients[kMaxOperands][kBlock], losses[kBlock], outside[kBlock];
  alignas(64) T weights[kBlock], upstreams[kBlock];
  bool mask[kBlock + W];
  TaskSums<T> sums;
  PointBlock<T> block;
  block.loss = losses;
  block.outside = outside;
  for (int k = 0; k < arity; ++k) {
    block.gradient[k] = a.gradient[k].data || (a.want_stats && k == 0) ? gradients[k] : nullptr;
  }
  for (int64_t b = first; b < last; b += kBlock) {
    const int n = block.n = last - b < kBlock ? (int)(last - b) : kBlock;
    for (int k = 0; k < arity; ++k) block.operand[k] = read_block<S>(a, a.operand[k], b, n, operands[k]);
    evaluate(a.params, block);

    const T *weight = nullptr, *upstream = nullptr;
    if (a.weight.data) weight = read_block<S>(a, a.weight, b, n, weights);
    if (a.upstream.data) {
      upstream = a.upstream.wide ? read_block<T>(a, a.upstream, b, n, upstreams)
                                 : read_block<S>(a, a.upstream, b, n, upstreams);
    }
    if (a.mask.data) gather(a, a.mask, b, n, mask);
    const int grouped = n / (4 * W) * (4 * W);
#pragma GCC unroll 1
    for (int i = 0; i < n; i += W) {
      const int left = n - i;
      Mask<T> kept = first_lanes<T>(left < W ? left : W);
      if (a.mask.data) kept = kept & load_mask<T>(mask + i);
      V loss = load(losses + i), factor((T)a.scale);
      if (weight) {
        const V w = left < W ? load_partial(weight + i, left, (T)0) : load(weight + i);
        loss = loss * w;
        factor = factor * w;
      }
      if (upstream) factor = factor * (left < W ? load_partial(upstream + i, left, (T)0) : load(upstream + i));
      loss = keep_where(kept, loss);
      store(losses + i, loss);
      V& sum = sums.block[i < grouped ? i / W % 4 : 0];
      sum = sum + loss;
      if (checked) sums.outside = max(sums.outside, keep_where(kept, load(outside + i)));
      for (int k = 0; k < arity; ++k) {
        if (!block.gradient[k]) continue;
        const V slope = keep_where(kept, load(gradients[k] + i) * factor);
        store(gradients[k] + i, slope);
        if (a.want_stats && k == 0) sums.square = sums.square + squares(slope);
      }
    }
    sums.end_block();
    for (int k = 0; k < arity; ++k) {
      if (a.gradient[k].data) write_block<S>(a, a.gradient[k], b, n, gradients[k]);
    }
    if (a.loss.data) {
      a.loss.wide ? write_block<T>(a, a.loss, b, n, losses) : write_block<S>(a, a.loss, b, n, losses);
    }
  }
  sums.store_to(out);
}

template <class S, template <class> class Loss>
void pointwise(const PointArgs& a, int64_t begin, int64_t end) {
  using T = typename Compute<S>::type;
  using F = Loss<T>;
  const bool past_caches = a.stream && (uintptr_t)a.gradient[0].data % stream_alignment<S>() == 0;
  for (int64_t task = begin; task < end; ++task) {
    const int64_t first = task * a.task_elements;
    const int64_t last = first + a.task_elements < a.elements ? first + a.task_elements : a.elements;
    if (!a.plain) {
      general<S>(a, first, last, F::arity, F::checked, &evaluate_block<T, Loss>, a.sums + task);
    } else if (a.gradient[0].data) {
      plain<true, S, Loss>(a, first, last, past_caches, a.sums + task);
    } else {
      plain<false, S, Loss>(a, first, last, false, a.sums + task);
    }
  }
  stream_fence();
}

}  // namespace
}  // namespace fastloss::FASTLOSS_ISA
