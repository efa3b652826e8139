#pragma once

#include "engines/elements/contract.h"

namespace fastloss {

// Huber (1964), d = x - y:  f = d^2 / 2 where |d| <= delta, else delta (|d| - delta / 2).
// With c = min(delta, |d|) both are c (|d| - c / 2), and the derivative is d clamped to [-delta, delta].
// The operand whose NaN must survive stands second in min and max.
template <class T>
struct Huber {
  static constexpr int arity = 2;
  static constexpr bool checked = false;
  T delta;
  FASTLOSS_FN explicit Huber(const double* p) : delta((T)p[0]) {}

  template <class V>
  FASTLOSS_FN PointEval<V, 2> operator()(V x, V y) const {
    const V d = x - y, a = abs(d), c = min(V(delta), a);
    const V slope = max(V(-delta), min(V(delta), d));
    return {c * (a - V(T(0.5)) * c), {slope, -slope}};
  }
};

// Smooth L1 is Huber divided by its threshold: with t = min(1, |d| / beta), f = t (|d| - min(beta, |d|) / 2).
// Without a parabola (beta 0) this is |d|, and the derivative sgn(d).
template <class T>
struct SmoothL1 {
  static constexpr int arity = 2;
  static constexpr bool checked = false;
  T beta;
  Reciprocal<T> by_beta;
  FASTLOSS_FN explicit SmoothL1(const double* p) : beta((T)p[0]), by_beta(p[0]) {}

  template <class V>
  FASTLOSS_FN PointEval<V, 2> operator()(V x, V y) const {
    const V d = x - y, a = abs(d), one(T(1));
    const V r = by_beta(d);
    const V slope = max(-one, min(one, r));
    const V t = select(a < V(beta), abs(r), one);
    return {t * (a - V(T(0.5)) * min(V(beta), a)), {slope, -slope}};
  }
};

}  // namespace fastloss
