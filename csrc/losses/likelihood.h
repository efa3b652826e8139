#pragma once

#include "engines/elements/contract.h"

namespace fastloss {

// Poisson negative log-likelihood of a count y under the rate e^x, or x itself:
//     f = e^x - y x,   or   x - y log(x + eps),
// plus, if `full` and y > 1, Stirling's y log y - y + log(2 pi y) / 2, whose derivative in y is log y + 1 / (2 y).
template <class T>
struct PoissonNll {
  static constexpr int arity = 2;
  static constexpr bool checked = false;
  bool log_input, full;
  T eps;
  FASTLOSS_FN explicit PoissonNll(const double* p) : log_input(p[0] != 0), full(p[1] != 0), eps((T)p[2]) {}

  template <class V>
  FASTLOSS_FN PointEval<V, 2> operator()(V x, V y) const {
    const V one(T(1)), half(T(0.5)), zero(T(0));
    V loss, slope, log_rate;
    if (log_input) {
      const V rate = exp(x);
      log_rate = x;
      loss = rate - y * x;
      slope = rate - y;
    } else {
      const V shifted = x + V(eps);
      log_rate = log(shifted);
      loss = x - y * log_rate;
      slope = one - y / shifted;
    }
    V target_slope = -log_rate;
    if (full) {
      const V log_y = log(y);
      const V stirling = y * log_y - y + half * log(V(T(6.28318530717958647693)) * y);
      loss = loss + select(one < y, stirling, select(y < one, zero, select(y == one, zero, y)));  // NaN stays
      target_slope = target_slope + select(one < y, log_y + half / y, zero);
    }
    return {loss, {slope, target_slope}};
  }
};

// Gaussian negative log-likelihood with variance v = max(var, eps), d = x - y:
//     f = (log v + d^2 / v) / 2 [+ log(2 pi) / 2 if `full`],   df/dx = d / v,   df/dv = (1 - d^2 / v) / (2 v).
// As in PyTorch, the clamp is invisible to the derivative in var.
template <class T>
struct GaussianNll {
  static constexpr int arity = 3;
  static constexpr bool checked = true;
  T eps, constant;
  FASTLOSS_FN explicit GaussianNll(const double* p)
      : eps((T)p[1]), constant((T)(p[0] != 0 ? 0.918938533204672742 : 0)) {}

  template <class V>
  FASTLOSS_FN V outside(V /*x*/, V /*y*/, V var) const {
    return select(var < V(T(0)), V(T(1)), V(T(0)));
  }

  template <class V>
  FASTLOSS_FN PointEval<V, 3> operator()(V x, V y, V var) const {
    const V half(T(0.5)), one(T(1));
    const V v = max(V(eps), var), d = x - y;
    const V slope = d / v, share = d * slope;
    return {half * (log(v) + share) + V(constant), {slope, -slope, half * (one - share) / v}};
  }
};

// Kullback-Leibler divergence from log-probabilities x to a target y (a log-probability if `log_target`):
//     f = y (log y - x), or e^y (y - x).
// The derivative in y at y = 0 is NaN, as PyTorch's.
template <class T>
struct KlDiv {
  static constexpr int arity = 2;
  static constexpr bool checked = false;
  bool log_target;
  FASTLOSS_FN explicit KlDiv(const double* p) : log_target(p[0] != 0) {}

  template <class V>
  FASTLOSS_FN PointEval<V, 2> operator()(V x, V y) const {
    const V one(T(1)), zero(T(0));
    if (log_target) {
      const V p = exp(y), d = y - x;
      return {p * d, {-p, p * (d + one)}};
    }
    const V log_y = log(y);
    const V entropy = select(y == zero, zero, y * log_y);
    return {entropy - y * x, {-y, (log_y + y / y) - x}};
  }
};

// Gaussian negative log-likelihood whose element is weighed by v^beta, which is a constant (Seitzer et al. 2022): with
// v = max(var, eps), d = x - y,
//     f = v^beta ((log v + d^2 / v) / 2 [+ log(2 pi) / 2 if `full`]),   derivatives v^beta times those of GaussianNll.
template <class T>
struct BetaNll {
  static constexpr int arity = 3;
  static constexpr bool checked = true;
  T beta;
  GaussianNll<T> plain;
  FASTLOSS_FN explicit BetaNll(const double* p) : beta((T)p[0]), plain(p + 1) {}

  template <class V>
  FASTLOSS_FN V outside(V x, V y, V var) const {
    return plain.outside(x, y, var);
  }

  template <class V>
  FASTLOSS_FN PointEval<V, 3> operator()(V x, V y, V var) const {
    const V factor = constant(exp(V(beta) * log(max(V(plain.eps), var))));
    const PointEval<V, 3> of = plain(x, y, var);
    return {factor * of.loss, {factor * of.grad[0], factor * of.grad[1], factor * of.grad[2]}};
  }
};

// Laplace negative log-likelihood with scale b = max(scale, eps), d = x - y:
//     f = log(2 b) + |d| / b,   df/dx = sgn(d) / b,   df/db = (1 - |d| / b) / b.
// As that of a variance, the clamp is invisible to the derivative.
template <class T>
struct LaplaceNll {
  static constexpr int arity = 3;
  static constexpr bool checked = true;
  T eps;
  FASTLOSS_FN explicit LaplaceNll(const double* p) : eps((T)p[0]) {}

  template <class V>
  FASTLOSS_FN V outside(V /*x*/, V /*y*/, V scale) const {
    return select(scale < V(T(0)), V(T(1)), V(T(0)));
  }

  template <class V>
  FASTLOSS_FN PointEval<V, 3> operator()(V x, V y, V scale) const {
    const V one(T(1)), b = max(V(eps), scale), d = x - y, share = abs(d) / b, slope = sign<T>(d) / b;
    return {log(b + b) + share, {slope, -slope, (one - share) / b}};
  }
};

// (artanh(s) - s) / s^3, where log((1 + s) / (1 - s)) is known: of small s its series. So log r = 2 (s + s^3 Q) of a ratio
// r = (1 + s) / (1 - s), and what is left when 2 s cancels keeps its digits.
template <class T, class V>
FASTLOSS_FN V artanh_tail(V s, V log_ratio) {
  const V limit(T(0.25)), square = s * s, near = min(limit, square);
  constexpr int last = sizeof(T) == 4 ? 25 : 51;
  V series(T(1.0 / last));
  for (int k = last - 2; k >= 3; k -= 2) series = series * near + V(T(1.0 / k));
  return select(limit < square, (V(T(0.5)) * log_ratio - s) / (square * s), series);
}

// Series in 1 / z^2 are right for z from here on; below it the recurrence of the gamma function leads there.
template <class T>
constexpr int kRecurrence = sizeof(T) == 4 ? 4 : 8;

// c[0] + c[1] x + ..., in float the first four.
template <class T, class V, int N>
FASTLOSS_FN V series_of(V x, const double (&c)[N]) {
  constexpr int last = sizeof(T) == 4 ? 3 : N - 1;
  V sum((T)c[last]);
  for (int k = last - 1; k >= 0; --k) sum = sum * x + V((T)c[k]);
  return sum;
}

// Stirling's error S(z) = log Gamma(z) - (z - 1/2) log z + z - log(2 pi) / 2 of z > 0, and z^2 S'(z), which is -1/12 at infinity.
// Below the shift, with s = 1 / (2 z + 1) and Q of artanh_tail, of z, z + 1, ... no term cancels:
//     S(z) - S(z + 1) = (z + 1/2) log((z + 1) / z) - 1 = s^2 Q,   S'(z) - S'(z + 1) = 2 s^3 (Q - 1 / (1 - s^2)),
// both series in s^2, but where z itself is small.
template <class V>
struct Stirling {
  V error, slope;
};
template <class T, class V>
FASTLOSS_FN Stirling<V> stirling(V z) {
  const double values[] = {1.0 / 12,   -1.0 / 360,      1.0 / 1260, -1.0 / 1680,
                           1.0 / 1188, -691.0 / 360360, 1.0 / 156,  -3617.0 / 122400};
  const double slopes[] = {-1.0 / 12,   3.0 / 360,       -5.0 / 1260, 7.0 / 1680,
                           -9.0 / 1188, 7601.0 / 360360, -13.0 / 156, 54255.0 / 122400};
  const V one(T(1)), two(T(2)), half(T(0.5)), zero(T(0)), shift(T(kRecurrence<T>)), c = min(shift, z);
  const auto near = z < shift;
  const V w = one / select(near, c + shift, z), w2 = w * w, s = one / (two * c + one), s2 = s * s;
  const V q = artanh_tail<T>(s, log(one + one / c));
  V error = s2 * q, slope = s * (two * c * s2 * q - half / (c + one));
  constexpr int terms = sizeof(T) == 4 ? 9 : 17;
  V above(T(0));  // the slopes of z + 1, ..., by c
  for (int k = 1; k < kRecurrence<T>; ++k) {
    const V t = one / (two * (c + V(T(k))) + one), t2 = t * t;
    V tail(T(1.0 / (2 * terms + 1))), rate(T(2.0 * terms / (2 * terms + 1)));
    for (int n = terms - 2; n >= 0; --n) {
      tail = tail * t2 + V(T(1.0 / (2 * n + 3)));
      rate = rate * t2 + V(T((2.0 * n + 2) / (2 * n + 3)));
    }
    error = error + t2 * tail;
    above = above + t2 * t * rate;
  }
  const V far = series_of<T>(w2, slopes);
  slope = c * (slope + c * (w2 * far - two * above));
  return {w * series_of<T>(w2, values) + select(near, error, zero), select(near, slope, far)};
}

// Student's t with df = n degrees of freedom and scale b = max(scale, eps), a = n / 2, z = (x - y) / b, t = z^2 / n:
//     f = G(a) + log(2 pi) / 2 + log b + (a + 1/2) log(1 + t),   G(a) = log Gamma(a) - log Gamma(a + 1/2) + log(a) / 2,
//     df/dx = (1 + 1 / n) z / (b (1 + t)),   df/db = (1 - (n + 1) t / (1 + t)) / b,
//     df/dn = (G'(a) + log(1 + t) - t / (1 + t) - t / (n (1 + t))) / 2.
// G vanishes as n grows, by its series in 1 / a; below the shift K, G(a) = G(a + K) + log(a / (a + K)) / 2 + sum_k log(1 + 1 / (2 (a + k))).
// For small t, where n t is z^2, log(1 + t) / t and log(1 + t) - t / (1 + t) come from s = t / (2 + t); so n may be infinite.
template <class T>
struct StudentTNll {
  static constexpr int arity = 4;
  static constexpr bool checked = true;
  T eps;
  FASTLOSS_FN explicit StudentTNll(const double* p) : eps((T)p[0]) {}

  template <class V>
  FASTLOSS_FN V outside(V /*x*/, V /*y*/, V scale, V df) const {
    const V one(T(1)), zero(T(0));
    return select(scale < zero, one, select(zero < df, zero, select(df == df, one, zero)));
  }

  template <class V>
  FASTLOSS_FN PointEval<V, 4> operator()(V x, V y, V scale, V df) const {
    const double values[] = {0.125,           -1.0 / 192,           1.0 / 640,
                             -17.0 / 14336,   31.0 / 18432,         -691.0 / 180224,
                             5461.0 / 425984, -929569.0 / 15728640, 3202291.0 / 8912896};
    const double slopes[] = {-0.125,
                             3.0 / 192,
                             -5.0 / 640,
                             119.0 / 14336,
                             -279.0 / 18432,
                             7601.0 / 180224,
                             -70993.0 / 425984,
                             13943535.0 / 15728640,
                             -54438947.0 / 8912896};
    const V one(T(1)), two(T(2)), half(T(0.5)), zero(T(0)), shift(T(kRecurrence<T>)), limit(kSquarable<T>);
    const V b = max(V(eps), scale), z = (x - y) / b, size = abs(z), inside = min(limit, size), a = half * df;
    const V per_df = one / df, square = inside * inside, t = square * per_df, rest = one / (one + t);
    const auto near = size < limit;
    const V l = log1p(select(near, t, size * sqrt(per_df) - one)) * select(near, one, two);
    const V s = t / (two + t), tail = artanh_tail<T>(s, l);
    const V small = half * (square + t) * (two / (two + t)) * (one + s * s * tail);
    const auto flat = t < one;
    const V share = t * rest, bend = select(flat, s * share + two * s * s * s * tail, l - share);

    const V c = min(shift, a), up = c + shift;
    const auto low = a < shift;
    const V w = one / select(low, up, a), w2 = w * w;
    V ratio = c + half, others = one, sum = (c - half) / (c * ratio);
    for (int k = 1; k < kRecurrence<T>; ++k) {
      const V at = c + V(T(k)), above = at + half;
      ratio = ratio * above;
      others = others * at;
      sum = sum - one / (at * above);
    }
    ratio = ratio / others;
    const V g = w * series_of<T>(w2, values) + select(low, half * log(ratio / c * (ratio / up)), zero);
    const V g_slope = w2 * series_of<T>(w2, slopes) + select(low, half * (sum - one / up), zero);

    const V f = g + V(T(0.918938533204672742)) + log(b) + select(flat, small, (a + half) * l);
    const V pull = select(near, (one + per_df) * z * rest, (df + one) / z), slope = pull / b;
    const V width = select(flat, (square + t) * rest, (df + one) * share);
    return {f, {slope, -slope, (one - width) / b, half * (g_slope + bend - per_df * share)}};
  }
};

// Negative binomial with mean x and dispersion a, variance x + a x^2, of a count y. With r = 1 / a and S Stirling's error, the
// likelihood by its saddle point (Loader 2000) has no terms that cancel while a (x + y) is small:
//     f = D(y, x) - D(y + r, x + r) + log(2 pi y (1 + a y)) / 2 + S(y) - S(y + r) + S(r),   D(u, v) = u log(u / v) - (u - v).
// With s = (u - v) / (u + v) and Q of artanh_tail, D = (u - v) s + 2 u s^3 Q. In the second D s is a w, w = (y - x) / (2 + a (x + y)),
// so that a may be 0, which is Poisson's. For larger a their difference is y log(1 + (y - x) / (x (1 + a y))) - r log((1 + a y) /
// (1 + a x)). For y = 0 f is log(1 + a x) / a = -2 w (1 + s^2 Q).
//     df/dx = (x - y) / (x (1 + a x)),
//     df/da = -2 w^2 (1 / (1 - s) - s Q) + y / (2 (1 + a y)) + U(y + r) / (1 + a y)^2 - U(r),   U(z) = z^2 S'(z).
template <class T>
struct NegativeBinomialNll {
  static constexpr int arity = 3;
  static constexpr bool checked = true;
  FASTLOSS_FN explicit NegativeBinomialNll(const double*) {}

  template <class V>
  FASTLOSS_FN V outside(V /*x*/, V /*y*/, V dispersion) const {
    return select(dispersion < V(T(0)), V(T(1)), V(T(0)));
  }

  template <class V>
  FASTLOSS_FN PointEval<V, 3> operator()(V x, V y, V dispersion) const {
    const V one(T(1)), two(T(2)), half(T(0.5)), zero(T(0)), a = dispersion, r = one / a;
    const V by_x = one + a * x, by_y = one + a * y, d = y - x;
    const V s = d / (x + y), q = artanh_tail<T>(s, log(y / x));
    const V plain = d * s + two * y * s * s * s * q;
    const V spread = a * (x + y), per = one / (two + spread), w = d * per, sr = a * w;
    const V log_rest = log(by_y / by_x), qr = artanh_tail<T>(sr, log_rest);
    const V near = plain - (d * sr + two * by_y * w * sr * sr * qr), far = y * log1p(d / x / by_y) - r * log_rest;
    const Stirling<V> of_r = stirling<T>(r), of_sum = stirling<T>(y + r), of_y = stirling<T>(y);
    const V counted = select(spread < two, near, far) + half * log(V(T(6.28318530717958647693)) * y * by_y) +
                      of_y.error + (of_r.error - of_sum.error);
    const auto none = y == zero;
    const V f = select(none, -two * w * (one + sr * sr * qr), counted);
    const V slope = select(none, one, (x - y) / x) / by_x;
    const V per_y = one / by_y;
    const V bend = two * w * w * (half / (by_x * per) - sr * qr);
    return {f, {slope, zero, half * y * per_y - bend + (of_sum.slope * per_y * per_y - of_r.slope)}};
  }
};

// Half the unit deviance of Tweedie's distributions with mean x and variance x^p. With L = log(y / x) and E(c) = (e^(c L) - 1) / c,
// which is L for c = 0,
//     f = x^(1 - p) (y E(1 - p) - x E(2 - p)),   df/dx = (x - y) x^-p.
// p = 0 is half the squared error, of any sign. y = 0 costs x^(2 - p) / (2 - p).
template <class T>
struct Tweedie {
  static constexpr int arity = 2;
  static constexpr bool checked = false;
  T power;
  FASTLOSS_FN explicit Tweedie(const double* p) : power((T)p[0]) {}

  // e^(c l) - 1 by c.
  template <class V>
  FASTLOSS_FN static V power_log(T c, V l) {
    if (c == 0) return l;
    return expm1_both<T>(V(c) * l) / V(c);
  }

  template <class V>
  FASTLOSS_FN PointEval<V, 2> operator()(V x, V y) const {
    const V zero(T(0)), d = x - y;
    if (power == 0) return {V(T(0.5)) * d * d, {d, zero}};
    const V l = log(y / x), by = power == 1 ? V(T(1)) : exp(V(1 - power) * log(x));
    const V first = select(y == zero, zero, y * power_log(1 - power, l));
    return {by * (first - x * power_log(2 - power, l)), {d / x * by, zero}};
  }
};

}  // namespace fastloss
