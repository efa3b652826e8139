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

}  // namespace fastloss
