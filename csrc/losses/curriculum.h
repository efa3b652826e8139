#pragma once

#include "engines/elements/contract.h"

namespace fastloss {

// SuperLoss (Castells et al. 2020) of a loss x. With b = (x - tau) / lambda and s = log sigma* up to 1, where -2 s e^-s = b,
//     f = lambda (s^2 - 2 s),   df/dx = e^s;   beyond b = -2 / e, where s is 1,   f = lambda (b e + 1).
// w = -s is Lambert's W(b / 2), by two steps of Halley (three in double) from a guess that is off by 6 % at most:
//     F = w - b / 2 e^-w,   w <- w - F / (v - (w + 2) F / (2 v)),   v = w + 1.
// Near the branch point v is about P = sqrt(e b + 2), and F loses all digits that v has. So e b + 2 is made of x by sums
// that keep their rounding errors, and below P = 1 F is (g - P^2 / 2) e^-(w + 1) with g = 1 + (v - 1) e^v by its series.
// From b / 2 = 1 on, sigma* is w / (b / 2): e^-w has |w| times the error of w. Where b / 2 exceeds the type's numbers,
// x / 2 takes its place and the exponents lack log(1 / lambda).
template <class T>
struct Super {
  static constexpr int arity = 1;
  static constexpr bool checked = false;
  static constexpr int kSteps = sizeof(T) == 4 ? 2 : 3, kTerms = sizeof(T) == 4 ? 10 : 17;
  static constexpr double kE = 2.718281828459045235;

  // A number as the sum of two.
  struct Split {
    T high, low;
    FASTLOSS_FN explicit Split(double x) : high((T)x), low((T)(x - (double)high)) {}
  };
  Split tau, rim;    // x - tau + rim is 0 at the branch point
  double lam, wide;  // wide: lambda, or the least number with a reciprocal
  T shift;           // of the exponents, where b exceeds the type's numbers
  FASTLOSS_FN explicit Super(const double* p)
      : tau(p[0]),
        rim(2 * with_reciprocal(p[1]) / kE),
        lam(p[1]),
        wide(with_reciprocal(p[1])),
        shift((T)-__builtin_log(p[1])) {}

  FASTLOSS_FN static double with_reciprocal(double x) {
    const double least = sizeof(T) == 4 ? 0x1p-126 : 0x1p-1022;
    return x < least ? least : x;
  }

  // 2 g, the sum over k >= 2 of 2 (k - 1) / k! v^k: the compiler may contract a product only with the one difference that
  // follows it, so that an element has the same bits wherever it lies.
  template <class V>
  FASTLOSS_FN static V series(V v) {
    double factorial = 1;
    for (int k = 2; k <= kTerms + 1; ++k) factorial *= k;
    V sum(T(0));
    for (int k = kTerms + 1; k >= 2; factorial /= k--) sum = sum * v + V(T(2 * (k - 1) / factorial));
    return sum * v * v;
  }

  template <class V>
  FASTLOSS_FN PointEval<V, 1> operator()(V x) const {
    const V one(T(1)), half(T(0.5)), zero(T(0)), endless = V((T)__builtin_inf());
    const V high = x - V(tau.high), back = high - x;
    const V rest = (x - (high - back)) - (V(tau.high) + back) - V(tau.low);
    const V low = select(rest == rest, rest, zero), d = high + low;  // x - tau; an infinite x has no rest
    const V above = ((high + V(rim.high)) + (low + V(rim.low))) * V(T(kE / wide));
    const V square = max(zero, min(V(T(4)), above)), root = sqrt(square);  // only what is near is read
    const auto near = root < one;
    const V ratio = d * V(T(0.5 / wide));
    const auto beyond = V(T(sizeof(T) == 4 ? 0x1p126 : 0x1p1022)) < ratio;
    const V y = max(V(T(-0.4)), select(beyond, d * half, ratio)), moved = select(beyond, V(shift), zero);
    const V l = log1p(y) + moved;
    V w = select(near, root * (one - root * V(T(1.0 / 3)) * (one - root * V(T(11.0 / 24)))) - one,
                 l * (one - log1p(l) / (l + V(T(2)))));
    FASTLOSS_ROLLED
    for (int k = 0; k < kSteps; ++k) {
      const V v = max(V(T(0x1p-60)), w + one), e = exp(moved - w);
      const V f = select(near, (series(v) - square) * (e * V(T(0.5 / kE))), w - y * e);
      w = w - f / (v - (v + one) * f * half / v);
    }
    const auto inside = zero < above;
    const V value = select(inside, V(T(lam)) * w * (w + V(T(2))), V(T(kE)) * d + V(T(lam)));
    const V steep = select(one < y, w / y * select(beyond, V(T(lam)), one), exp(-w));
    const V sigma = select(inside, steep, V(T(kE)));
    // A NaN is neither; an infinite loss has no gradient left.
    const auto finite = x < endless;
    return {select(finite, value, x), {select(finite, sigma, select(x == endless, zero, x))}};
  }
};

}  // namespace fastloss
