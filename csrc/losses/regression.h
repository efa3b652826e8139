#pragma once

#include "engines/elements/contract.h"

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

// L = log(1 + x) - log(1 + y):  f = L^2,  df/dx = 2 L / (1 + x),  df/dy = -2 L / (1 + y).
// With l the smaller of x and y, |L| = log(1 + |d| / (1 + l)), in which nothing cancels for x near y. Where that quotient may
// overflow, 1 is nothing beside it, and its logarithm is taken 2^64 times smaller.
template <class T>
struct SquaredLog {
  static constexpr int arity = 2;
  static constexpr bool checked = false;
  FASTLOSS_FN explicit SquaredLog(const double*) {}

  template <class V>
  FASTLOSS_FN PointEval<V, 2> operator()(V x, V y) const {
    const V one(T(1)), zero(T(0)), d = x - y, base = one + min(x, y), ratio = abs(d) / base;
    const auto near = ratio < V(T(0x1p100));
    const V far = abs(d) * V(T(0x1p-64)) / base - one;
    const V size = log1p(select(base < zero, V(T(-2)), select(near, ratio, far))) +  // log(-1): no number
                   select(near, zero, V(T(44.3614195558365)));
    const V l = if_positive<T>(d, size, -size), slope = l + l;
    return {l * l, {slope / (one + x), -slope / (one + y)}};
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

// Balanced L1 (Pang et al. 2019), z = |x - y|, b = e^(gamma / alpha) - 1, t = b z / beta, L = log(1 + t):
//     f = alpha ((z + 1 / b) L - z) where z < beta,   gamma (z + 1 / b) - alpha beta elsewhere,
//     df/dz = alpha (L + (b z + 1) / (b z + beta) - 1),   gamma.
// With s = t / (2 + t), of which L is 2 artanh(s), and E = artanh(s) - s, for small t from its series,
//     b ((z + 1 / b) L - z) = t^2 / (2 + t) + 2 (1 + t) E + (beta - 1) t (L - 1),   in which for beta = 1 nothing cancels.
template <class T>
struct BalancedL1 {
  static constexpr int arity = 2;
  static constexpr bool checked = false;
  T alpha, gamma, beta, b, inverse, offset;
  FASTLOSS_FN explicit BalancedL1(const double* p) : alpha((T)p[0]), gamma((T)p[1]), beta((T)p[2]) {
    const double exact = ::expm1(p[1] / p[0]);
    b = (T)exact;
    inverse = (T)(1 / exact);
    offset = (T)(p[1] / exact - p[0] * p[2]);
  }

  template <class V>
  FASTLOSS_FN PointEval<V, 2> operator()(V x, V y) const {
    const V one(T(1)), d = x - y, z = abs(d), near = min(V(beta), z), inner = V(b) * near;
    const V l = log1p(inner / V(beta));
    const auto is_near = z < V(beta);
    const V t = inner / V(beta), s = t / (V(T(2)) + t), s2 = s * s;
    V series(T(1.0 / 15));
    for (int k = 13; k >= 3; k -= 2) series = series * s2 + V(T(1.0 / k));
    const V e = select(t < V(T(0.1)), s * s2 * series, V(T(0.5)) * l - s);
    const V g = t * s + V(T(2)) * (one + t) * e + V(beta - T(1)) * t * (l - one);
    const V f = select(is_near, V(alpha * inverse) * g, V(gamma) * z + V(offset));
    const V rate = select(is_near, V(alpha) * (l + ((inner + one) / (inner + V(beta)) - one)), V(gamma));
    const V slope = sign<T>(d) * rate;
    return {f, {slope, -slope}};
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
// and its limits z / 2 (a = 2), log(1 + z / 2) (a = 0), 1 - e^(-z/2) (a = -inf). With h = sqrt(w), H = log h, w^(a/2) - 1 is
// e^(a H) - 1, for a > 0 from that of -a H, so that nothing cancels for small r; where a H is below a rounding of 1, and may
// be subnormal, f = b H. a = 1 and a = -2 need neither.
// Where z would overflow or w^(a/2 - 1) underflow, 1 is nothing beside z: with u = |r| / sqrt(b), h = u and
// r w^(a/2 - 1) = sgn(r) sqrt(b) u^(a - 1). Where a < 1 that power is taken 2^64 (double: 2^512) times as large: u^-1 may be
// subnormal.
template <class T>
struct Robust {
  static constexpr int arity = 2;
  static constexpr bool checked = false;
  enum Kind { general, quadratic, charbonnier, cauchy, geman_mcclure, welsch } kind;
  bool rising, lifted;  // a > 0; a < 1
  Reciprocal<T> by_scale;
  T inverse_root, root_b, power, factor;
  FASTLOSS_FN explicit Robust(const double* p)
      : kind(p[0] == 2                       ? quadratic
             : p[0] == 1                     ? charbonnier
             : p[0] < 1e-20 && p[0] > -1e-20 ? cauchy  // what a adds is below any rounding
             : p[0] == -2                    ? geman_mcclure
             : p[0] < -1e300                 ? welsch
                                             : general),
        rising(p[0] > 0),
        lifted(p[0] < 1),
        by_scale(p[1]),
        inverse_root(T(1)),
        root_b(T(1)),
        power(T(0)),
        factor(T(1)) {
    if (kind == general) {
      const double b = p[0] < 2 ? 2 - p[0] : p[0] - 2, root = ::sqrt(b);
      root_b = (T)root;
      inverse_root = (T)(1 / root);
      power = (T)p[0];
      factor = (T)(b / p[0]);
    }
  }

  template <class V>
  FASTLOSS_FN PointEval<V, 2> operator()(V x, V y) const {
    const V one(T(1)), two(T(2)), half_of(T(0.5)), limit(kSquarable<T>);
    V r = by_scale(x - y);
    const auto lost = abs(r) == V(T(__builtin_inf()));  // x - y has passed the type's end, r need not
    if (any(lost)) r = select(lost, two * by_scale(half_of * x - half_of * y), r);
    const V c = max(-limit, min(limit, r)), z = c * c;
    V f, pull;  // pull = r w^(a/2 - 1)
    if (kind == quadratic) {
      f = half_of * r * r;
      pull = r;
    } else if (kind == charbonnier) {
      const V root = sqrt(one + z), a = abs(r);
      f = select(a < limit, z / (one + root), a);
      pull = c / root;
    } else if (kind == cauchy) {
      const V a = abs(r);
      const auto near = a < limit;
      f = select(near, one, two) * log1p(select(near, half_of * z, a * V(T(0.707106781186547524401)) - one));
      pull = select(near, c, two) / select(near, one + half_of * z, r);
    } else if (kind == geman_mcclure) {
      const V decay = one / (one + V(T(0.25)) * z);
      f = half_of * z * decay;
      pull = c * decay * decay;
    } else if (kind == welsch) {
      f = -expm1_negative(-half_of * z);
      pull = c * exp_negative(-half_of * z);
    } else {
      const V t = r * V(inverse_root), u = abs(t), s = t * t;
      const auto near = u < V(T(sizeof(T) == 4 ? 0x1p30 : 0x1p300));
      const V h = select(near, half_of, one) * log1p(select(near, s, u - one));
      const V lift(lifted ? T(sizeof(T) == 4 ? 44.3614195558365 : 354.891356446692) : T(0));
      const V drop(lifted ? T(sizeof(T) == 4 ? 0x1p-64 : 0x1p-512) : T(1));
      const V decay = exp(select(near, (V(power) - two) * h, (V(power) - one) * h + lift));
      const V fall = rising ? V(-power) * h : V(power) * h, m = expm1_negative(fall);
      f = V(factor) * (rising ? -m * decay * select(near, one + s, u * drop) : m);
      f = select(V(T(sizeof(T) == 4 ? -0x1p-25 : -0x1p-54)) < fall, V(root_b) * (V(root_b) * h), f);
      pull = decay * select(near, r, if_positive<T>(r, V(root_b), V(-root_b)) * drop);
    }
    const V slope = by_scale(pull);
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

// Charbonnier (1994):  f = sqrt(d^2 + eps^2), derivative d / f. With r = d / eps these are eps sqrt(1 + r^2) and r / sqrt(1 + r^2).
// Beyond a bound where 1 + r^2 rounds to r^2 they are |d| and sgn(d): so no square overflows or underflows, and eps may be 0.
template <class T>
struct Charbonnier {
  static constexpr int arity = 2;
  static constexpr bool checked = false;
  T eps;
  Reciprocal<T> by_eps;
  FASTLOSS_FN explicit Charbonnier(const double* p) : eps((T)p[0]), by_eps(p[0]) {}

  template <class V>
  FASTLOSS_FN PointEval<V, 2> operator()(V x, V y) const {
    const V d = x - y, one(T(1)), bound(T(sizeof(T) == 4 ? 0x1p14 : 0x1p30));
    const V r = max(-bound, min(bound, by_eps(d))), root = sqrt(one + r * r), slope = r / root;
    return {max(V(eps) * root, abs(d)), {slope, -slope}};
  }
};

}  // namespace fastloss
