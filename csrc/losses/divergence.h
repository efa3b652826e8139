#pragma once

#include "engines/divergence/contract.h"

namespace fastloss {

// Functors of Note [Divergences] in engines/divergence/contract.h: p is the teacher's probability, q the student's, d = log p - log q.

// KL(p || q). F = p d - (p - q), F_p = d, F_q = -expm1(d).
template <class T>
struct ForwardKl {
  static constexpr bool balanced = true;
  static constexpr bool reads_logs = false;
  FASTLOSS_FN explicit ForwardKl(const double*) {}
  FASTLOSS_FN double excess() const { return 1; }

  template <class V>
  FASTLOSS_FN DivergenceTerms<V> operator()(const ClassPair<V>& c) const {
    const V slope = times_or_zero<T>(c.p, c.d);
    return {select(c.near, c.q * (c.d * (c.d + c.psi) - c.psi), slope - c.gap), slope, -c.gap};
  }
};

// KL(q || p). F = q (-d) + (p - q) = q psi(d), F_p = -expm1(-d), F_q = -d.
template <class T>
struct ReverseKl {
  static constexpr bool balanced = false;
  static constexpr bool reads_logs = false;
  FASTLOSS_FN explicit ReverseKl(const double*) {}
  FASTLOSS_FN double excess() const { return -1; }

  template <class V>
  FASTLOSS_FN DivergenceTerms<V> operator()(const ClassPair<V>& c) const {
    const V slope = times_or_zero<T>(c.q, -c.d);
    return {select(c.near, c.q * c.psi, c.gap + slope), c.gap, slope};
  }
};

// beta KL(p || m) + (1 - beta) KL(q || m), m = beta p + (1 - beta) q. F_p = -beta log(m / p), F_q = -(1 - beta) log(m / q).
// With r <= s the two probabilities in order, w the weight of r, t = log r / s and l = log m / s = log1p(w expm1(t)),
//     F = s (w t e^t - e^l l),   and as w expm1(t) = expm1(l),   F = s (w (t expm1(t) - psi(t)) - (l expm1(l) - psi(l))).
template <class T>
struct JensenShannon {
  static constexpr bool balanced = false;
  static constexpr bool reads_logs = false;
  T beta;
  bool even;
  FASTLOSS_FN explicit JensenShannon(const double* p) : beta((T)p[0]), even(p[0] == 0.5) {}
  FASTLOSS_FN double excess() const { return 0; }

  template <class V>
  FASTLOSS_FN DivergenceTerms<V> operator()(const ClassPair<V>& c) const {
    const V zero(T(0)), one(T(1)), of_p(beta), of_q(T(1) - beta);
    const auto p_larger = zero < c.d;
    const V s = select(p_larger, c.p, c.q), w = select(p_larger, of_q, of_p), t = -abs(c.d);
    const auto none = s == zero;
    const V m1 = select(none, zero, -abs(c.gap) / s), l1 = w * m1;  // expm1(t), expm1(l)
    // log(1 - u) = -log(1 + u / (1 - u)), which for w = 1/2 needs no more than log1p_unit.
    const V u = w * abs(c.gap), l = even ? -log1p_unit(select(none, zero, u / (s - u))) : log1p(l1);
    const V near = w * (t * m1 - psi<T>(t)) - (l * l1 - psi<T>(l));
    const V far = w * times_or_zero<T>(one + m1, t) - (one + l1) * l;
    const V to_q = select(p_larger, l + c.d, l), to_p = select(p_larger, l, l - c.d);  // log m / q, log m / p
    return {s * select(c.near, near, far), -of_p * times_or_zero<T>(c.p, to_p), -of_q * times_or_zero<T>(c.q, to_q)};
  }
};

// sum |p - q| / 2, its sign that of d. F_p = sgn(d) / 2 = -F_q.
template <class T>
struct TotalVariation {
  static constexpr bool balanced = false;
  static constexpr bool reads_logs = false;
  FASTLOSS_FN explicit TotalVariation(const double*) {}
  FASTLOSS_FN double excess() const { return 0; }

  template <class V>
  FASTLOSS_FN DivergenceTerms<V> operator()(const ClassPair<V>& c) const {
    const V zero(T(0)), half(T(0.5));
    const V sign = select(zero < c.d, half, select(c.d < zero, -half, zero));
    return {half * abs(c.gap), c.p * sign, -c.q * sign};
  }
};

// (1 - sum p^a q^(1-a)) / (a (1 - a)). With M = p^a q^(1-a) = q e^(a d),
//     F = (a (p - q) - (M - q)) / (a (1 - a)) = q (a psi(d) - psi(a d)) / (a (1 - a)),
//     p F_p = (p - M) / (1 - a),   q F_q = -(M - q) / a.
// Near: a d too, to which the series is applied.
template <class T>
struct AlphaDivergence {
  static constexpr bool balanced = false;
  static constexpr bool reads_logs = true;
  T a, other, reach;
  FASTLOSS_FN explicit AlphaDivergence(const double* p)
      : a((T)p[0]),
        other((T)(1 - p[0])),
        reach((T)(kNear / (p[0] > 1    ? p[0]
                           : p[0] < -1 ? -p[0]
                                       : 1))) {}
  FASTLOSS_FN double excess() const { return -1 / (double)other; }

  template <class V>
  FASTLOSS_FN DivergenceTerms<V> operator()(const ClassPair<V>& c) const {
    const V alpha(a), rest(other), y = alpha * c.d, psi_y = psi<T>(y);
    const auto near = abs(c.d) < V(reach);
    const V more = select(near, c.q * (y + psi_y), exp(alpha * c.log_p + rest * c.log_q) - c.q);  // M - q
    const V value = select(near, c.q * (alpha * psi<T>(c.d) - psi_y), alpha * c.gap - more);
    return {value * V(T(1) / (a * other)), (c.gap - more) * V(T(1) / other), -more * V(T(1) / a)};
  }
};

// -sum p log q: as KL to the student.
template <class T>
struct SoftCrossEntropy {
  static constexpr bool balanced = true;
  static constexpr bool reads_logs = true;
  FASTLOSS_FN explicit SoftCrossEntropy(const double*) {}
  FASTLOSS_FN double excess() const { return 0; }

  template <class V>
  FASTLOSS_FN DivergenceTerms<V> operator()(const ClassPair<V>& c) const {
    const V value = times_or_zero<T>(c.p, -c.log_q);
    return {value, value, -c.gap};
  }
};

}  // namespace fastloss
