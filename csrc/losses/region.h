#pragma once

#include "engines/products/contract.h"

namespace fastloss {

// Tversky (Salehi et al. 2017) of probabilities p and a mask t, rows of pixels. With what both cover, I = sum p t, what p has
// too much, F = sum p (1 - t), and what p lacks, M = sum t (1 - p),
//     w = a F + b M,   d = I + w + e,   f = w / d  (not 1 - (I + e) / d, which cancels where p is right),
//     df/dI = -w / d^2,   df/dF = a (I + e) / d^2,   df/dM = b (I + e) / d^2.
template <class T>
struct Tversky {
  static constexpr int arity = 2, atoms = 4, products = 3;
  static constexpr bool labelled = false;
  static constexpr int left[products] = {0, 0, 1}, right[products] = {1, 3, 2};  // of p, t, 1 - p, 1 - t
  double a, b, e;
  FASTLOSS_FN explicit Tversky(const double* p) : a(p[0]), b(p[1]), e(p[2]) {}

  template <class V>
  FASTLOSS_FN void combine(const V (&x)[arity], V (&z)[atoms]) const {
    const V one(T(1));
    z[0] = x[0];
    z[1] = x[1];
    z[2] = one - x[0];
    z[3] = one - x[1];
  }
  template <class V>
  FASTLOSS_FN void transpose(const V (&h)[atoms], V (&g)[arity]) const {
    g[0] = h[0] - h[2];
    g[1] = h[1] - h[3];
  }
  FASTLOSS_FN PairEval<products> operator()(const double (&s)[products], double /*y*/) const {
    const double wrong = a * s[1] + b * s[2], right = s[0] + e, d = right + wrong, inverse = 1 / d;
    const double loss = wrong * inverse, slope = right * inverse * inverse;
    return {loss, {-loss * inverse, a * slope, b * slope}};
  }
};

}  // namespace fastloss
