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

}  // namespace fastloss
