#pragma once

#include "engines/elements/contract.h"

namespace fastloss {

// The clipped objective of PPO (Schulman et al. 2017) for a token of log-probability x, once x_old, with advantage A and
// r = e^(x - x_old). With the bound B of negative advantages (Ye et al. 2020), infinite for 0,
//     f = -min(min(r, B) A, clip(r, 1 - low, 1 + high) A),   df/dx = -r A where no bound is in force,
// which is -A times r up to min(B, 1 + high) where A > 0, r between 1 - low and max(B, 1 + high) where A < 0.
template <class T>
struct PolicyClip {
  static constexpr int arity = 3;
  static constexpr bool checked = false;
  T least, near, far;
  FASTLOSS_FN explicit PolicyClip(const double* p) {
    const double bound = p[2] == 0 ? __builtin_inf() : p[2], high = 1 + p[1];
    least = (T)(1 - p[0]);
    near = (T)(bound < high ? bound : high);
    far = (T)(bound < high ? high : bound);
  }

  template <class V>
  FASTLOSS_FN PointEval<V, 3> operator()(V x, V advantage, V old) const {
    const V zero(T(0)), r = exp(x - old);
    const V up = min(V(near), r), down = max(V(least), min(V(far), r));
    const V kept = select(zero < advantage, up, select(advantage < zero, down, zero));
    const V f = (zero - advantage) * kept;
    return {f, {select(kept == r, f, zero), zero, zero}};
  }
};

// The same plus beta times an estimate of the divergence from a reference model (Schulman's third, Shao et al. 2024), with
// u = x_ref - x:   e^u - u - 1,   derivative -(e^u - 1).
template <class T>
struct GroupPolicy {
  static constexpr int arity = 4;
  static constexpr bool checked = false;
  T beta;
  PolicyClip<T> clip;
  FASTLOSS_FN explicit GroupPolicy(const double* p) : beta((T)p[0]), clip(p + 1) {}

  template <class V>
  FASTLOSS_FN PointEval<V, 4> operator()(V x, V advantage, V old, V reference) const {
    const V zero(T(0)), u = reference - x, m = expm1_both<T>(u);
    const PointEval<V, 3> of = clip(x, advantage, old);
    return {of.loss + V(beta) * (m - u), {of.grad[0] - V(beta) * m, zero, zero, zero}};
  }
};

// CISPO (MiniMax 2025): f = -min(r, high) A x, where the ratio r = e^(x - x_old) is a constant;   df/dx = -min(r, high) A.
template <class T>
struct Cispo {
  static constexpr int arity = 3;
  static constexpr bool checked = false;
  T high;
  FASTLOSS_FN explicit Cispo(const double* p) : high((T)p[0]) {}

  template <class V>
  FASTLOSS_FN PointEval<V, 3> operator()(V x, V advantage, V old) const {
    const V zero(T(0)), slope = constant((zero - advantage) * min(V(high), exp(x - old)));
    return {slope * x, {slope, zero, zero}};
  }
};

// Preferences by what log-probabilities of a chosen and of a rejected answer have over those of a reference model:
// h = (c - c_ref) - (r - r_ref), z = beta h - margin, e the share of wrong labels,
//     sigmoid   f = (1 - e) log(1 + e^-z) + e log(1 + e^z),   df/dz = e sigma(z) - (1 - e) sigma(-z)
//     robust    f = ((1 - e) log(1 + e^-z) - e log(1 + e^z)) / (1 - 2 e),
//     hinge     f = max(0, 1 - z),
//     ipo       f = (h - 1 / (2 beta))^2.
template <class T>
struct Preference {
  static constexpr int arity = 4;
  static constexpr bool checked = false;
  enum Kind : int { sigmoid, hinge, ipo, robust } kind;
  T beta, right, wrong, margin, root;
  FASTLOSS_FN explicit Preference(const double* p)
      : kind((Kind)(int)p[0]),
        beta((T)p[1]),
        right((T)(1 - p[2])),
        wrong((T)p[2]),
        margin((T)p[3]),
        root((T)(0.5 / p[1])) {
    if (kind == robust) {
      right = (T)((1 - p[2]) / (1 - 2 * p[2]));
      wrong = (T)(-p[2] / (1 - 2 * p[2]));
    }
  }

  template <class V>
  FASTLOSS_FN PointEval<V, 4> operator()(V chosen, V rejected, V chosen_before, V rejected_before) const {
    const V zero(T(0)), one(T(1)), h = (chosen - chosen_before) - (rejected - rejected_before);
    const V z = V(beta) * h - V(margin);
    V f, slope;
    if (kind == hinge) {
      const V room = one - z;
      f = max(zero, room);
      slope = -clamp_slope<T>(room, V(beta));
    } else if (kind == ipo) {
      const V miss = h - V(root);
      f = miss * miss;
      slope = miss + miss;
    } else {
      const Logistic<V> l = logistic<T>(z);
      const V high = if_positive<T>(z, l.large, l.small), low = if_positive<T>(z, l.small, l.large);
      f = V(right + wrong) * l.log1p_e + select(z < zero, V(-right), V(wrong)) * z;
      slope = V(beta) * (V(wrong) * high - V(right) * low);
    }
    return {f, {slope, -slope, zero, zero}};
  }
};

// Kahneman-Tversky optimisation (Ethayarajh et al. 2024) of an answer that is wanted (label above 0) or not: with
// t = beta (x - x_ref - k), its sign turned for an unwanted one, w the weight of its kind,
//     f = w sigma(-t),   df/dt = -w sigma(t) sigma(-t).
template <class T>
struct KahnemanTversky {
  static constexpr int arity = 4;
  static constexpr bool checked = false;
  T beta, wanted, unwanted;
  FASTLOSS_FN explicit KahnemanTversky(const double* p) : beta((T)p[0]), wanted((T)p[1]), unwanted((T)p[2]) {}

  template <class V>
  FASTLOSS_FN PointEval<V, 4> operator()(V x, V label, V reference, V divergence) const {
    const V zero(T(0)), gain = V(beta) * ((x - reference) - divergence);
    const V t = if_positive<T>(label, gain, -gain), weight = if_positive<T>(label, V(wanted), V(unwanted));
    const Logistic<V> l = logistic<T>(t);
    const V slope = weight * V(beta) * (l.large * l.small);
    return {weight * if_positive<T>(t, l.small, l.large), {if_positive<T>(label, -slope, slope), zero, zero, zero}};
  }
};

// Odds ratio (Hong et al. 2024) of mean log-probabilities c and r, with odds(x) = e^x / (1 - e^x):
//     f = beta log(1 + odds(r) / odds(c)).
// With v = e^(r - c) / (1 - e^r) the quotient is t = v (1 - e^c), and df/dc = -beta v / (1 + t), df/dr = beta t / ((1 + t) (1 - e^r)), finite
// for c = 0 too. Where v may be no number, t / (1 + t) is 1.
template <class T>
struct OddsRatio {
  static constexpr int arity = 2;
  static constexpr bool checked = false;
  T beta;
  FASTLOSS_FN explicit OddsRatio(const double* p) : beta((T)p[0]) {}

  template <class V>
  FASTLOSS_FN PointEval<V, 2> operator()(V chosen, V rejected) const {
    const V one(T(1)), rest = -expm1_negative(chosen), other = -expm1_negative(rejected);
    const V apart = rejected - chosen;
    const auto near = apart < V(T(60));
    const V v = exp(min(V(T(60)), apart)) / other, t = v * rest, per = one / (one + t);
    const V f = select(near, log1p(t), apart + log(rest / other));
    return {V(beta) * f, {-V(beta) * select(near, v * per, one / rest), V(beta) * select(near, t * per, one) / other}};
  }
};

}  // namespace fastloss
