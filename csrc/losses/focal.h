#pragma once

#include "core/eval.h"
#include "engines/elements/contract.h"

namespace fastloss {

// u^gamma for u in [0, 1], whole exponents up to 4 by multiplication.
template <class T>
struct FocalPower {
  T gamma;
  int whole;  // gamma if it is 0, 1, 2, 3 or 4, else -1
  FASTLOSS_FN explicit FocalPower(double g)
      : gamma((T)g),
        whole(g == 0   ? 0
              : g == 1 ? 1
              : g == 2 ? 2
              : g == 3 ? 3
              : g == 4 ? 4
                       : -1) {}

  template <class V>
  FASTLOSS_FN V operator()(V u) const {
    if (whole == 2) return u * u;
    if (whole == 1) return u;
    if (whole == 3) return u * u * u;
    if (whole == 4) return (u * u) * (u * u);
    if (whole == 0) return V(T(1));
    return exp(V(gamma) * log(u));
  }

  // u^(gamma - 1) and u^gamma. The first stays finite, so that times something no larger than u it is 0 where u is.
  template <class V>
  FASTLOSS_FN void operator()(V u, V& below, V& factor) const {
    const V one(T(1));
    factor = (*this)(u);
    if (whole == 2) {
      below = u;
    } else if (whole == 1) {
      below = one;
    } else if (whole == 3) {
      below = u * u;
    } else if (whole == 4) {
      below = u * u * u;
    } else if (whole == 0) {
      below = V(T(0));
    } else {
      below = factor / max(V(T(sizeof(T) == 4 ? 0x1p-126 : 0x1p-1022)), u);
    }
  }
};

// Sigmoid focal loss (Lin et al. 2017) as torchvision defines it, soft targets included. With p = sigmoid(x), n = 1 - p,
// the binary cross entropy c, alpha_y = (1 - alpha) + (2 alpha - 1) y and u = 1 - p_t = p (1 - y) + n y:
//     f = alpha_y u^gamma c,
//     df/dx = alpha_y (gamma u^(gamma - 1) c p n (1 - 2 y) + u^gamma (p - y)).
//     df/dy = (2 alpha - 1) u^gamma c + alpha_y (gamma u^(gamma - 1) c (n - p) - u^gamma x).
// Written for the side of x, with large and small the sigmoids of |x| and -|x|, wrong = (x > 0 ? 1 - y : y),
// right = 1 - wrong and s = sign(x):
//     u = wrong large + right small,   p n = large small,   1 - 2 y = s (wrong - right),   p - y = s (wrong - small),
// where nothing cancels for hard targets. p n <= u, so df/dx is finite for every gamma >= 0. (NaN at infinity, as
// torchvision's: bounding c there takes 3 % of the time.)
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
    const Logistic<V> l = logistic<T>(x);
    const V wrong = if_positive<T>(x, one - y, y), right = one - wrong;
    const V u = wrong * l.large + right * l.small;
    const V c = abs(x) * wrong + l.log1p_e;
    V below, factor;
    power(u, below, factor);
    const V alpha = V(negative) + V(difference) * y;
    const V rate = gamma * below;
    // p n times c first: gamma c may overflow where p n is 0.
    const V slope = alpha * (rate * (l.large * l.small * c) * (wrong - right) + factor * (wrong - l.small));
    const V n_minus_p = if_positive<T>(x, l.small - l.large, l.large - l.small);
    return {
        alpha * factor * c,
        {if_positive<T>(x, slope, -slope), V(difference) * factor * c + alpha * (rate * c * n_minus_p - factor * x)}};
  }
};

// Asymmetric loss (Ridnik et al. 2021) of a logit x, p = sigmoid(x), n = 1 - p, m = max(0, p - clip):
//     f = y n^a (-log p) + (1 - y) m^b (-log(1 - m)),
//     df/dx = -y n^a (a p c + n) + (1 - y) [p > clip] p n (b m^(b - 1) e + m^b / (1 - m)),   c = -log p, e = -log(1 - m).
// 1 - m is n + clip, which does not cancel as p -> 1; near m = 0 its logarithm is taken from m. Without a clip p n / (1 - m)
// is p, and e = log(1 + e^x).
template <class T>
struct Asymmetric {
  static constexpr int arity = 2;
  static constexpr bool checked = false;
  FocalPower<T> positive, negative;
  T clip;
  FASTLOSS_FN explicit Asymmetric(const double* p) : positive(p[1]), negative(p[0]), clip((T)p[2]) {}

  template <class V>
  FASTLOSS_FN PointEval<V, 2> operator()(V x, V y) const {
    const V one(T(1)), zero(T(0)), shift(clip);
    const Logistic<V> l = logistic<T>(x);
    const V p = if_positive<T>(x, l.large, l.small), n = if_positive<T>(x, l.small, l.large);
    const V c = max(zero, -x) + l.log1p_e;
    const V near = positive(n);
    V m = p, e = max(zero, x) + l.log1p_e, share = p;  // share = p n / (1 - m)
    if (clip != 0) {
      const V rest = n + shift;
      m = max(zero, p - shift);
      e = -select(m < V(T(0.5)), log1p(-m), log(rest));
      share = select(shift < p, p * n / rest, select(p == p, zero, p));  // NaN stays
    }
    V below, far;
    negative(m, below, far);
    const V inner = select(shift < p, p * n, zero);
    const V near_loss = near * c, far_loss = far * e;
    const V near_slope = -near * (V(positive.gamma) * p * c + n);
    const V far_slope = V(negative.gamma) * below * (inner * e) + far * share;
    return {y * near_loss + (one - y) * far_loss, {y * near_slope + (one - y) * far_slope, near_loss - far_loss}};
  }
};

// A cost by which something is multiplied that is 0 where the cost is infinite. NaN stays.
template <class T, class V>
FASTLOSS_FN V finite(V cost) {
  return min(V(T(sizeof(T) == 4 ? 0x1.fffffep127 : 0x1.fffffffffffffp1023)), cost);
}

// Quality focal loss (Li et al. 2020) of a logit x and a quality y in [0, 1], p = sigmoid(x), c the binary cross entropy:
//     f = |p - y|^beta c,   df/dx = beta |p - y|^(beta - 1) sgn(p - y) p (1 - p) c + |p - y|^beta (p - y),
//     df/dy = -beta |p - y|^(beta - 1) sgn(p - y) c - |p - y|^beta x.
// p - y is formed on the side of x, as in SigmoidFocal.
template <class T>
struct QualityFocal {
  static constexpr int arity = 2;
  static constexpr bool checked = false;
  FocalPower<T> power;
  FASTLOSS_FN explicit QualityFocal(const double* p) : power(p[0]) {}

  template <class V>
  FASTLOSS_FN PointEval<V, 2> operator()(V x, V y) const {
    const V one(T(1));
    const Logistic<V> l = logistic<T>(x);
    const V wrong = if_positive<T>(x, one - y, y), d = wrong - l.small;
    const V c = abs(x) * wrong + l.log1p_e;
    V below, factor;
    power(abs(d), below, factor);
    const V rate = V(power.gamma) * below * sign<T>(d), cost = finite<T>(c);
    const V slope = rate * (l.large * l.small * cost) + factor * d;
    return {factor * c, {if_positive<T>(x, slope, -slope), if_positive<T>(x, -rate, rate) * cost - factor * x}};
  }
};

// Varifocal loss (Zhang et al. 2021), p = sigmoid(x), c the binary cross entropy:
//     f = y c where y > 0,   alpha p^gamma (-log(1 - p)) elsewhere,
//     df/dx = y (p - y),   alpha p^gamma (gamma (1 - p) (-log(1 - p)) + p).
template <class T>
struct Varifocal {
  static constexpr int arity = 2;
  static constexpr bool checked = false;
  T alpha;
  FocalPower<T> power;
  FASTLOSS_FN explicit Varifocal(const double* p) : alpha((T)p[0]), power(p[1]) {}

  template <class V>
  FASTLOSS_FN PointEval<V, 2> operator()(V x, V y) const {
    const V one(T(1)), zero(T(0));
    const Logistic<V> l = logistic<T>(x);
    const V p = if_positive<T>(x, l.large, l.small), rest = if_positive<T>(x, l.small, l.large);
    const V wrong = if_positive<T>(x, one - y, y), d = wrong - l.small;
    const V cost = max(zero, x) + l.log1p_e, factor = V(alpha) * power(p);
    const auto positive = zero < y;
    const V keep = select(y == y, one, y);  // NaN stays
    const V rise = V(power.gamma) * rest * finite<T>(cost) + p;
    return {select(positive, y * (abs(x) * wrong + l.log1p_e), keep * factor * cost),
            {select(positive, y * if_positive<T>(x, d, -d), keep * factor * rise), zero}};
  }
};

// Focal loss of a heat map (Law and Deng 2018, CenterNet) of a logit x; a target of 1 is a center, others lie around one:
//     f = w s^alpha c,   s = sigmoid(z),   c = -log(1 - s),   z = -x and w = 1 where y = 1, else z = x and w = (1 - y)^gamma,
//     df/dz = w s^alpha (alpha (1 - s) c + s).
template <class T>
struct GaussianFocal {
  static constexpr int arity = 2;
  static constexpr bool checked = false;
  FocalPower<T> power, around;
  FASTLOSS_FN explicit GaussianFocal(const double* p) : power(p[0]), around(p[1]) {}

  template <class V>
  FASTLOSS_FN PointEval<V, 2> operator()(V x, V y) const {
    const V one(T(1)), zero(T(0));
    const auto center = y == one;
    const V z = select(center, -x, x);
    const Logistic<V> l = logistic<T>(z);
    const V s = if_positive<T>(z, l.large, l.small), rest = if_positive<T>(z, l.small, l.large);
    const V c = max(zero, z) + l.log1p_e;
    const V factor = power(s) * select(center, one, around(one - y));
    const V slope = factor * (V(power.gamma) * rest * finite<T>(c) + s);
    return {factor * c, {select(center, -slope, slope), zero}};
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
    const V ratio = select(q == zero, one, finite<T>(nll / q));
    const V factor = V(alpha) * power(q);
    return {factor * nll, factor * (one + V(power.gamma) * p * ratio)};
  }
};

}  // namespace fastloss
