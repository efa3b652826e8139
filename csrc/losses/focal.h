#pragma once

#include "core/eval.h"
#include "core/pointwise.h"

namespace fastloss {

// u^gamma for u in [0, 1], whole exponents up to 3 by multiplication. log_u is asked for only if it is needed.
template <class T>
struct FocalPower {
  T gamma;
  int whole;  // gamma if it is 0, 1, 2 or 3, else -1
  FASTLOSS_FN explicit FocalPower(double g)
      : gamma((T)g),
        whole(g == 0   ? 0
              : g == 1 ? 1
              : g == 2 ? 2
              : g == 3 ? 3
                       : -1) {}

  template <class V, class F>
  FASTLOSS_FN V operator()(V u, F log_u) const {
    if (whole == 2) return u * u;
    if (whole == 1) return u;
    if (whole == 3) return u * u * u;
    if (whole == 0) return V(T(1));
    return exp(V(gamma) * log_u());
  }
};

// Sigmoid focal loss (Lin et al. 2017) as torchvision defines it, soft targets included. With p = sigmoid(x), n = 1 - p,
// the binary cross entropy c, alpha_y = (1 - alpha) + (2 alpha - 1) y and u = 1 - p_t = p (1 - y) + n y:
//     f = alpha_y u^gamma c,
//     df/dx = alpha_y u^gamma (gamma c p n (1 - 2 y) / u + p - y).
// u^(gamma - 1), infinite at u = 0 for gamma < 1, never appears: p n / u is at most 1. Written for the side of x with
// e = exp(-|x|), wrong = (x > 0 ? 1 - y : y), right = 1 - wrong and s = sign(x):
//     u = (wrong + e right) / (1 + e),   p n / u = e / ((1 + e) (wrong + e right)),
//     1 - 2 y = s (wrong - right),       p - y = s (wrong - e / (1 + e)),
// where nothing cancels for hard targets. e is kept above the smallest normal number, so that e / e is 1 also
// where exp underflows. df/dy = (2 alpha - 1) u^gamma c + alpha_y u^gamma (gamma c (n - p) / u - x).
template <class T>
struct SigmoidFocal {
  static constexpr int arity = 2;
  static constexpr bool checked = false;
  FocalPower<T> power;
  T negative, difference;
  FASTLOSS_FN explicit SigmoidFocal(const double* p)
      : power(p[1]), negative((T)(p[0] >= 0 ? 1 - p[0] : 1)), difference((T)(p[0] >= 0 ? 2 * p[0] - 1 : 0)) {}

  template <class V>
  FASTLOSS_FN PointEval<V, 2> operator()(V x, V y) const {
    const V one(T(1)), gamma(power.gamma);
    const V e = max(V(sizeof(T) == 4 ? T(2e-38) : T(1e-300)), exp(-abs(x)));
    const V wrong = if_positive<T>(x, one - y, y), right = one - wrong;
    const V large = one / (one + e), small = e * large, log1p_e = log1p(e, large);
    const V v = wrong + e * right, u = v * large;
    const V c = abs(x) * wrong + log1p_e;
    const V factor = power(u, [&] { return log(v) - log1p_e; });
    const V alpha = V(negative) + V(difference) * y;
    const V slope = gamma * c * (wrong - right) * (small / v) + (wrong - small);
    const V scaled = alpha * factor;
    const V n_minus_p = if_positive<T>(x, small - large, large - small);
    return {scaled * c,
            {scaled * if_positive<T>(x, slope, -slope),
             V(difference) * factor * c + scaled * (gamma * c * n_minus_p / u - x)}};
  }
};

// Softmax focal loss as a rows functor: with p = p_y and q the sum of the other probabilities,
//     f = alpha q^gamma nll,   df/dnll = alpha q^gamma (1 + gamma p nll / q),
// nll / q tending to 1 as q -> 0. (dq/dnll = p since p = e^-nll.)
template <class T>
struct SoftmaxFocal {
  FocalPower<T> power;
  T alpha;
  FASTLOSS_FN explicit SoftmaxFocal(const double* p) : power(p[1]), alpha((T)p[0]) {}

  template <class V>
  FASTLOSS_FN Eval<V> operator()(V nll, V p, V q) const {
    const V one(T(1)), zero(T(0));
    const V ratio = select(q == zero, one, nll / q);
    const V factor = V(alpha) * power(q, [&] { return log(q); });
    return {factor * nll, factor * (one + V(power.gamma) * p * ratio)};
  }
};

}  // namespace fastloss
