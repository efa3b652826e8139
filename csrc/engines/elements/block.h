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

// The last vector is partial: its missing lanes run the same functor on zeros, and what comes out is dropped.
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
    const S* p[L::arity];
    for (int k = 0; k < L::arity; ++k) p[k] = (const S*)a.operand[k].data + b;
    S* const g = (S*)a.gradient[0].data + b;
    for (int i = 0; i < kBlock; i += 4 * W) {
      V slope[4 / K][K];
#pragma GCC unroll 4
      for (int u = 0; u < 4; ++u) {
        V v[L::arity];
        for (int k = 0; k < L::arity; ++k) v[k] = load(p[k] + i + u * W);
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

template <template <class> class Loss>
constexpr PointwiseFormula pointwise_formula() {
  return {Loss<float>::arity,           Loss<float>::checked,
          &evaluate_block<float, Loss>, &evaluate_block<double, Loss>,
          &whole_blocks<float, Loss>,   &whole_blocks<BFloat16, Loss>};
}

}  // namespace
}  // namespace fastloss::FASTLOSS_ISA
