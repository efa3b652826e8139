#pragma once

#include "engines/elements/contract.h"

namespace fastloss {

// f = x where y = 1, max(0, margin - x) where y = -1. For any other y PyTorch adds both, and so do we.
template <class T>
struct HingeEmbedding {
  static constexpr int arity = 2;
  static constexpr bool checked = false;
  T margin;
  FASTLOSS_FN explicit HingeEmbedding(const double* p) : margin((T)p[0]) {}

  template <class V>
  FASTLOSS_FN PointEval<V, 2> operator()(V x, V y) const {
    const V zero(T(0)), one(T(1));
    const V z = V(margin) - x;
    const V near = select(y == -one, zero, x), far = select(y == one, zero, max(zero, z));
    const V near_slope = select(y == -one, zero, one), far_slope = select(y == one, zero, clamp_slope<T>(z, -one));
    return {near + far, {near_slope + far_slope, zero}};
  }
};

// f = max(0, margin - y (a - b)).
template <class T>
struct MarginRanking {
  static constexpr int arity = 3;
  static constexpr bool checked = false;
  T margin;
  FASTLOSS_FN explicit MarginRanking(const double* p) : margin((T)p[0]) {}

  template <class V>
  FASTLOSS_FN PointEval<V, 3> operator()(V a, V b, V y) const {
    const V d = a - b;
    const V z = V(margin) - y * d;
    const V step = clamp_slope<T>(z, V(T(1)));  // multiplied, so that 0 times infinity is NaN as in PyTorch
    return {max(V(T(0)), z), {-step * y, step * y, -step * d}};
  }
};

}  // namespace fastloss
