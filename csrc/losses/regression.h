#pragma once

#include "core/pointwise.h"

namespace fastloss {

// d = x - y:  f = d^2.
template <class T>
struct Mse {
  static constexpr int arity = 2;
  static constexpr bool checked = false;
  FASTLOSS_FN explicit Mse(const double*) {}

  template <class V>
  FASTLOSS_FN PointEval<V, 2> operator()(V x, V y) const {
    const V d = x - y, slope = d + d;
    return {d * d, {slope, -slope}};
  }
};

// f = |d|, derivative sgn(d).
template <class T>
struct L1 {
  static constexpr int arity = 2;
  static constexpr bool checked = false;
  FASTLOSS_FN explicit L1(const double*) {}

  template <class V>
  FASTLOSS_FN PointEval<V, 2> operator()(V x, V y) const {
    const V d = x - y, slope = sign<T>(d);
    return {abs(d), {slope, -slope}};
  }
};

// log cosh d, a = |d|, with m = e^-a - 1 and k = e^-a = 1 + m:
//     a < 1:  log(1 + m^2 / (2 k)), since cosh a - 1 = 2 sinh^2(a/2) = m^2 / (2 k); exact as d -> 0,
//     else    a + log(1 + k^2) - log 2, which does not overflow.
// The derivative is tanh d, |tanh d| = -m (2 + m) / (1 + k^2).
template <class T>
struct LogCosh {
  static constexpr int arity = 2;
  static constexpr bool checked = false;
  FASTLOSS_FN explicit LogCosh(const double*) {}

  template <class V>
  FASTLOSS_FN PointEval<V, 2> operator()(V x, V y) const {
    const V d = x - y, a = abs(d), one(T(1)), two(T(2));
    const V m = expm1_negative(-a), k = one + m, k2 = k * k;
    const auto near = a < one;
    const V f = log1p(select(near, m * m / (k + k), k2)) + select(near, V(T(0)), a - V(T(0.693147180559945309417)));
    const V magnitude = -m * (two + m) / (one + k2);
    const V slope = if_positive<T>(d, magnitude, -magnitude);
    return {f, {slope, -slope}};
  }
};

// Quantile (pinball) loss, r = y - x:  f = max(q r, (q - 1) r). At r = 0 the derivative is 0.
template <class T>
struct Quantile {
  static constexpr int arity = 2;
  static constexpr bool checked = false;
  T q, rest;
  FASTLOSS_FN explicit Quantile(const double* p) : q((T)p[0]), rest((T)(1 - p[0])) {}

  template <class V>
  FASTLOSS_FN PointEval<V, 2> operator()(V x, V y) const {
    const V r = y - x, zero(T(0));
    const V slope = select(zero < r, -V(q), select(r < zero, V(rest), zero));
    return {abs(r) * if_positive<T>(r, V(q), V(rest)), {slope, -slope}};
  }
};

// Charbonnier (1994):  f = sqrt(d^2 + eps^2), derivative d / f.
template <class T>
struct Charbonnier {
  static constexpr int arity = 2;
  static constexpr bool checked = false;
  T square;
  FASTLOSS_FN explicit Charbonnier(const double* p) : square((T)(p[0] * p[0])) {}

  template <class V>
  FASTLOSS_FN PointEval<V, 2> operator()(V x, V y) const {
    const V d = x - y, f = sqrt(d * d + V(square)), slope = d / f;
    return {f, {slope, -slope}};
  }
};

}  // namespace fastloss
