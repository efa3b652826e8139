#pragma once

#include "core/eval.h"
#include "core/math.h"

namespace fastloss {

// Cross entropy: the negative log-likelihood itself, f(nll) = nll, f' = 1.
// With p = softmax(z) and nll = -log p_y, d nll / d z_j = p_j - [j == y]; see Note [Rows] in engines/softmax/contract.h for
// everything around it (class weights, smoothing, z-loss).
template <class T>
struct CrossEntropy {
  FASTLOSS_FN explicit CrossEntropy(const double*) {}

  template <class V>
  FASTLOSS_FN Eval<V> operator()(V nll, V /*p*/, V /*q*/) const {
    return {nll, V(T(1))};
  }
};

// Poly-1 (Leng et al. 2022): f = nll + epsilon q, and as p = e^-nll, f' = 1 + epsilon p.
template <class T>
struct Poly1 {
  T epsilon;
  FASTLOSS_FN explicit Poly1(const double* p) : epsilon((T)p[0]) {}

  template <class V>
  FASTLOSS_FN Eval<V> operator()(V nll, V p, V q) const {
    return {nll + V(epsilon) * q, V(T(1)) + V(epsilon) * p};
  }
};

// Generalized cross entropy (Zhang and Sabuncu 2018): with p = e^-nll
//     f = (1 - p^a) / a = -expm1(-a nll) / a,   f' = p^a,
// which keeps its relative accuracy as p -> 1, and has nll as its limit for a -> 0. Where p <= k, f is the constant that it
// is at p = k; p - p there carries NaN along.
template <class T>
struct Generalized {
  T a, k;
  FASTLOSS_FN explicit Generalized(const double* p) : a((T)p[0]), k((T)p[1]) {}

  template <class V>
  FASTLOSS_FN Eval<V> untruncated(V nll) const {
    if (a == 0) return {nll, V(T(1))};
    const V power = -V(a) * nll;
    return {-expm1_negative(power) / V(a), exp_negative(power)};
  }

  template <class V>
  FASTLOSS_FN Eval<V> operator()(V nll, V p, V /*q*/) const {
    if (k == 0) return untruncated(nll);
    const auto above = V(k) < p;  // p - p is 0, and NaN where p is
    const Eval<V> f = untruncated(select(above, nll, -log(V(k)) + (p - p)));
    return {f.loss, select(above, f.grad, p - p)};
  }
};

// Symmetric cross entropy (Wang et al. 2019): alpha times cross entropy, and beta times that with the roles of p and the
// target exchanged, -sum_c p_c log t_c, which is -A q where the logarithm of 0 is set to A:
//     f = alpha nll - beta A q,   f' = alpha - beta A p.
template <class T>
struct Symmetric {
  T alpha, reverse;
  FASTLOSS_FN explicit Symmetric(const double* p) : alpha((T)p[0]), reverse((T)(-p[1] * p[2])) {}

  template <class V>
  FASTLOSS_FN Eval<V> operator()(V nll, V p, V q) const {
    const V back = V(reverse) * q;
    return {alpha == 0 ? back : V(alpha) * nll + back, V(alpha) + V(reverse) * p};  // nll may be infinite
  }
};

}  // namespace fastloss
