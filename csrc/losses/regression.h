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

// Barron's general robust loss (2019), r = (x - y) / c, z = r^2, b = |a - 2|, w = 1 + z / b:
//     f = (b / a) (w^(a/2) - 1),   df/dx = (r / c) w^(a/2 - 1),
// and its limits z / 2 (a = 2), log(1 + z / 2) (a = 0), 1 - e^(-z/2) (a = -inf). With L = log w, w^(a/2) - 1 is
// e^(a L / 2) - 1, for a > 0 from that of -a L / 2, so that nothing cancels for small r. a = 1 and a = -2 need neither.
template <class T>
struct Robust {
  static constexpr int arity = 2;
  static constexpr bool checked = false;
  enum Kind { general, quadratic, charbonnier, cauchy, geman_mcclure, welsch } kind;
  bool rising;  // a > 0
  T inverse_scale, inverse_b, half, power, factor;
  FASTLOSS_FN explicit Robust(const double* p)
      : kind(p[0] == 2                       ? quadratic
             : p[0] == 1                     ? charbonnier
             : p[0] < 1e-20 && p[0] > -1e-20 ? cauchy  // what a adds is below any rounding
             : p[0] == -2                    ? geman_mcclure
             : p[0] < -1e300                 ? welsch
                                             : general),
        rising(p[0] > 0),
        inverse_scale((T)(1 / p[1])),
        inverse_b(kind == general ? (T)(1 / (p[0] < 2 ? 2 - p[0] : p[0] - 2)) : T(0.5)),
        half(kind == general ? (T)(p[0] / 2) : T(0)),
        power(kind == general ? (T)(p[0] / 2 - 1) : T(0)),
        factor(kind == general ? (T)((p[0] < 2 ? 2 - p[0] : p[0] - 2) / p[0]) : T(1)) {}

  template <class V>
  FASTLOSS_FN PointEval<V, 2> operator()(V x, V y) const {
    const V one(T(1)), half_of(T(0.5));
    const V r = (x - y) * V(inverse_scale), z = r * r;
    V f, decay;
    if (kind == quadratic) {
      f = half_of * z;
      decay = one;
    } else if (kind == charbonnier) {
      const V root = sqrt(one + z);
      f = z / (one + root);
      decay = one / root;
    } else if (kind == cauchy) {
      f = log1p(half_of * z);
      decay = one / (one + half_of * z);
    } else if (kind == geman_mcclure) {
      decay = one / (one + V(T(0.25)) * z);
      f = half_of * z * decay;
      decay = decay * decay;
    } else if (kind == welsch) {
      f = -expm1_negative(-half_of * z);
      decay = exp_negative(-half_of * z);
    } else {
      const V s = z * V(inverse_b), w = log1p(s);
      decay = exp(V(power) * w);
      const V m = expm1_negative(rising ? V(-half) * w : V(half) * w);
      f = V(factor) * (rising ? -m * decay * (one + s) : m);
    }
    const V slope = r * decay * V(inverse_scale);
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
