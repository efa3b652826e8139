#pragma once

// What the pointwise engine and a loss exchange, and the two loops that know the loss:
//   evaluate_block   values and derivatives of one block of dense values: all the engine needs,
//   whole_blocks     the training step of dense tensors, fused: reads, evaluates, sums and writes where they lie.
//
// Sums. A lane adds at most kBlock / (4 * lanes) values in the computing type, blocks add up in double, tasks in double
// in their order: the sum depends on the number of elements alone. All loops add in the same order.

#include "engines/elements/contract.h"
#include "simd/kernels.h"
#include "simd/vec_math.h"

namespace fastloss::FASTLOSS_ISA {
namespace {

constexpr int kBlock = 512;

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

template <class T, template <class> class Loss>
struct PointLoss {
  using V = Vec<T>;
  using F = Loss<T>;
  static constexpr int values = kValues<F>;
  using Eval = PointEval<V, values>;
  const F f;

  FASTLOSS_FN explicit PointLoss(const double* params) : f(params) {}

  FASTLOSS_FN Eval evaluate(const V (&v)[values]) const { return evaluate_point(f, v); }
  FASTLOSS_FN V outside(const V (&v)[values]) const { return outside_domain(f, v); }
};

// The last vector is partial: its missing lanes run the same functor on zeros, and what comes out is dropped.
template <class T, template <class> class Loss>
void evaluate_block(const double* params, const PointBlock<T>& b) {
  using L = PointLoss<T, Loss>;
  using V = Vec<T>;
  const L loss(params);
#pragma GCC unroll 1
  for (int i = 0; i < b.n; i += V::size) {
    const int left = b.n - i;
    V v[L::values];
    for (int k = 0; k < L::values; ++k) {
      v[k] = left < V::size ? load_partial(b.operand[k] + i, left, (T)0) : load(b.operand[k] + i);
    }
    const typename L::Eval r = loss.evaluate(v);
    store(b.loss + i, r.loss);
    for (int k = 0; k < L::values; ++k) {
      if (b.gradient[k]) store(b.gradient[k] + i, r.grad[k]);
    }
    if constexpr (L::F::checked) store(b.outside + i, loss.outside(v));
  }
}

// Elements [first, last), a multiple of kBlock of them, of a `plain` call with a gradient.
template <class S, template <class> class Loss>
void whole_blocks(const PointArgs& a, int64_t first, int64_t last, PointSums* out) {
  using T = typename Compute<S>::type;
  using V = Vec<T>;
  using L = PointLoss<T, Loss>;
  constexpr int W = V::size, K = stream_vectors<S>();
  const L loss(a.params);
  const V scale((T)a.scale);
  const bool past_caches = a.stream && (uintptr_t)a.gradient[0].data % kStreamAlignment == 0;
  TaskSums<T> sums;
  for (int64_t b = first; b < last; b += kBlock) {
    const S* p[L::values];
    for (int k = 0; k < L::values; ++k) p[k] = (const S*)a.operand[k].data + b;
    S* const g = (S*)a.gradient[0].data + b;
    for (int i = 0; i < kBlock; i += 4 * W) {
      V slope[4 / K][K];
#pragma GCC unroll 4
      for (int u = 0; u < 4; ++u) {
        V v[L::values];
        for (int k = 0; k < L::values; ++k) v[k] = load(p[k] + i + u * W);
        const typename L::Eval r = loss.evaluate(v);
        sums.block[u] = sums.block[u] + rounded(r.loss);
        if constexpr (L::F::checked) sums.outside = max(sums.outside, loss.outside(v));
        slope[u / K][u % K] = r.grad[0] * scale;
      }
#pragma GCC unroll 4
      for (int u = 0; u < 4; ++u) {
        if (!past_caches) {
          store(g + i + u * W, slope[u / K][u % K]);
        } else if (u % K == 0) {
          stream(g + i + u * W, slope[u / K]);
        }
      }
    }
    sums.end_block();
  }
  stream_fence();
  sums.store_to(out);
}

// The same of elements of four adjacent components: a vector of each component at a time, which is work enough for the
// pipelines without unrolling.
template <class S, template <class> class Loss>
void whole_blocks_of_four(const PointArgs& a, int64_t first, int64_t last, PointSums* out) {
  using T = typename Compute<S>::type;
  using V = Vec<T>;
  using L = PointLoss<T, Loss>;
  constexpr int W = V::size, K = stream_vectors<S>();
  const L loss(a.params);
  const V scale((T)a.scale);
  S* const g = (S*)a.gradient[0].data;
  const bool past_caches = a.stream && (uintptr_t)g % kStreamAlignment == 0;
  TaskSums<T> sums;
  for (int64_t b = first; b < last; b += kBlock) {
#pragma GCC unroll 1
    for (int i = 0; i < kBlock; i += W) {
      V v[L::values];
      for (int k = 0; k < L::F::arity; ++k) load_fours((const S*)a.operand[k].data + 4 * (b + i), v + 4 * k);
      const typename L::Eval r = loss.evaluate(v);
      V& sum = sums.block[i / W % 4];
      sum = sum + rounded(r.loss);
      if constexpr (L::F::checked) sums.outside = max(sums.outside, loss.outside(v));
      V mixed[4 / K][K];
      mix_fours(r.grad[0] * scale, r.grad[1] * scale, r.grad[2] * scale, r.grad[3] * scale, &mixed[0][0]);
      S* const to = g + 4 * (b + i);
      for (int u = 0; u < 4; ++u) {
        if (!past_caches) {
          store(to + u * W, mixed[u / K][u % K]);
        } else if (u % K == 0) {
          stream(to + u * W, mixed[u / K]);
        }
      }
    }
    sums.end_block();
  }
  stream_fence();
  sums.store_to(out);
}

// The fused loop of a loss; null: it has none, and all goes through `general` (cpu.h).
template <class S, template <class> class Loss>
constexpr PointwiseBlocks fused_blocks() {
  if constexpr (kComponents<Loss<float>> == 1) return &whole_blocks<S, Loss>;
  if constexpr (kComponents<Loss<float>> == 4) return &whole_blocks_of_four<S, Loss>;
  return nullptr;
}

template <template <class> class Loss>
constexpr PointwiseFormula pointwise_formula() {
  using F = Loss<float>;
  static_assert(F::arity <= kMaxOperands && kValues<F> <= kMaxValues, "make room in PointArgs");
  return {F::arity,
          kComponents<F>,
          F::checked,
          &evaluate_block<float, Loss>,
          &evaluate_block<double, Loss>,
          fused_blocks<float, Loss>(),
          fused_blocks<BFloat16, Loss>()};
}

}  // namespace
}  // namespace fastloss::FASTLOSS_ISA
