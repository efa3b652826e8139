#pragma once

#include "engines/elements/contract.h"

namespace fastloss {

// Binary cross entropy of a logit, p = 1 / (1 + e^-x):
//     f = -y log p - (1 - y) log(1 - p) = |x| u + log(1 + e^-|x|),   u = x > 0 ? 1 - y : y,
//     df/dx = p - y = x > 0 ? u - sigmoid(-|x|) : sigmoid(-|x|) - u,   df/dy = -x.
// u is exactly zero for a hard target on its own side, so both keep their relative accuracy there.
template <class T>
struct BceWithLogits {
  static constexpr int arity = 2;
  static constexpr bool checked = false;
  FASTLOSS_FN explicit BceWithLogits(const double*) {}

  template <class V>
  FASTLOSS_FN PointEval<V, 2> operator()(V x, V y) const {
    const V one(T(1));
    const Logistic<V> l = logistic<T>(x);
    const V u = if_positive<T>(x, one - y, y);
    const V slope = u - l.small;
    return {abs(x) * u + l.log1p_e, {if_positive<T>(x, slope, -slope), -x}};
  }
};

// With the positive term weighed by w, k = 1 + (w - 1) y:
//     f = (1 - y) x + k log(1 + e^-x) = |x| (x > 0 ? 1 - y : w y) + k log(1 + e^-|x|),
//     df/dx = x > 0 ? (1 - y) - k sigmoid(-|x|) : k sigmoid(-|x|) - w y,
//     df/dy = -x + (w - 1) log(1 + e^-x),   df/dw = y log(1 + e^-x).
template <class T>
struct BceWithLogitsPosWeight {
  static constexpr int arity = 3;
  static constexpr bool checked = false;
  FASTLOSS_FN explicit BceWithLogitsPosWeight(const double*) {}

  template <class V>
  FASTLOSS_FN PointEval<V, 3> operator()(V x, V y, V w) const {
    const V one(T(1));
    const Logistic<V> l = logistic<T>(x);
    const V k = one + (w - one) * y;
    const V u = if_positive<T>(x, one - y, w * y);
    const V slope = u - k * l.small;
    const V softplus = max(V(T(0)), -x) + l.log1p_e;  // log(1 + e^-x)
    return {abs(x) * u + k * l.log1p_e, {if_positive<T>(x, slope, -slope), (w - one) * softplus - x, y * softplus}};
  }
};

// Binary cross entropy of a probability, logarithms clamped at -100 and the derivative's divisor at float's 1e-12 as PyTorch's:
//     f = -y max(log x, -100) - (1 - y) max(log(1 - x), -100),   df/dx = (x - y) / max(x (1 - x), 1e-12),
//     df/dy = log(1 - x) - log x, from one logarithm of the quotient: it rounds at the size of the difference.
template <class T>
struct Bce {
  static constexpr int arity = 2;
  static constexpr bool checked = true;
  FASTLOSS_FN explicit Bce(const double*) {}

  template <class V>
  FASTLOSS_FN V outside(V x, V y) const {
    const V low = min(V(T(0)), min(x, y)), high = max(V(T(1)), max(x, y));
    const V zero(T(0)), one(T(1));
    const V in_range = select(low == zero, select(high == one, zero, one), one);
    return select(x == x, select(y == y, in_range, one), one);  // NaN is outside
  }

  template <class V>
  FASTLOSS_FN PointEval<V, 2> operator()(V x, V y) const {
    const V one(T(1)), floor(T(-100));
    const V log_x = log(x), log_rest = log1p(-x);
    const V f = (y - one) * max(floor, log_rest) - y * max(floor, log_x);
    return {f, {(x - y) / max(V(T(1e-12f)), (one - x) * x), -log(x / (one - x))}};
  }
};

// f = log(1 + e^{-y x}), df/dx = -y sigmoid(-y x); never overflows.
template <class T>
struct SoftMargin {
  static constexpr int arity = 2;
  static constexpr bool checked = false;
  FASTLOSS_FN explicit SoftMargin(const double*) {}

  template <class V>
  FASTLOSS_FN PointEval<V, 2> operator()(V x, V y) const {
    const V m = y * x;
    const Logistic<V> l = logistic<T>(m);
    const V other = if_positive<T>(m, l.small, l.large);  // sigmoid(-m)
    return {max(V(T(0)), -m) + l.log1p_e, {-y * other, V(T(0))}};
  }
};

// Hinge of a score x for a label y in {-1, 1}:  f = max(0, margin - y x)^power, power 1 or 2.
template <class T>
struct Hinge {
  static constexpr int arity = 2;
  static constexpr bool checked = false;
  T margin;
  bool squared;
  FASTLOSS_FN explicit Hinge(const double* p) : margin((T)p[0]), squared(p[1] == 2) {}

  template <class V>
  FASTLOSS_FN PointEval<V, 2> operator()(V x, V y) const {
    const V z = V(margin) - y * x;
    const V h = max(V(T(0)), z);
    const V slope = squared ? -(h + h) : clamp_slope<T>(z, -V(T(1)));
    return {squared ? h * h : h, {slope * y, slope * x}};
  }
};

}  // namespace fastloss
