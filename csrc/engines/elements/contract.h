#pragma once

#include "core/math.h"

namespace fastloss {

// Note [Pointwise]
// A pointwise loss is a functor over the values of one element: N tensors (input, target, sometimes a third) give one
// value. It is a template over the computing type T, built from its parameters, and offers
//
//     static constexpr int arity;                   // N, 1 to 4
//     static constexpr bool checked;                // whether it has a domain
//     template <class V> PointEval<V, N> operator()(V, V[, V]) const;      // value and derivative in each argument
//     template <class V> V outside(V, V[, V]) const;                       // if checked: 1 outside its domain, else 0
//
// The derivative of an argument in which PyTorch does not differentiate stays 0, and Python never asks for it. Unused
// derivatives cost nothing: the functor is inlined and what nobody reads is removed.
//
// Where an element of each tensor is several numbers, K along the tensors' last dimension (a box is 4), the functor has
//
//     static constexpr int components;              // K
//
// too, and its functions take `const V (&)[N * K]`: the components of the first tensor, then those of the second, ...
//
// Around it the engine computes, with w the weight, k the mask, g the upstream gradient and c = 1 / divisor,
//     loss = sum_i k_i w_i f_i c,      gradient_i = k_i w_i g_i c f'_i,
// where a masked element is exactly zero whatever it holds.

template <class V, int N>
struct PointEval {
  V loss;
  V grad[N];
};

template <class F, int components = F::components>
constexpr int components_of(int) {
  return components;
}
template <class F>
constexpr int components_of(...) {
  return 1;
}
template <class F>
constexpr int kComponents = components_of<F>(0);
template <class F>
constexpr int kValues = F::arity * kComponents<F>;  // of an element

// What the functor makes of an element's values.
template <class F, class V>
FASTLOSS_FN PointEval<V, kValues<F>> evaluate_point(const F& f, const V (&x)[kValues<F>]) {
  if constexpr (kComponents<F> > 1) {
    return f(x);
  } else if constexpr (F::arity == 1) {
    return f(x[0]);
  } else if constexpr (F::arity == 2) {
    return f(x[0], x[1]);
  } else if constexpr (F::arity == 3) {
    return f(x[0], x[1], x[2]);
  } else {
    return f(x[0], x[1], x[2], x[3]);
  }
}
// 1 where the element is outside the domain.
template <class F, class V>
FASTLOSS_FN V outside_domain(const F& f, const V (&x)[kValues<F>]) {
  if constexpr (kComponents<F> > 1) {
    return f.outside(x);
  } else if constexpr (F::arity == 1) {
    return f.outside(x[0]);
  } else if constexpr (F::arity == 2) {
    return f.outside(x[0], x[1]);
  } else if constexpr (F::arity == 3) {
    return f.outside(x[0], x[1], x[2]);
  } else {
    return f.outside(x[0], x[1], x[2], x[3]);
  }
}

// log(1 + e^-|x|) and the two sigmoids, from one exponential: e / (1 + e) is that of -|x|, its complement that of |x|.
// Both keep their relative accuracy in either tail, and the large one, at least 1/2, has less of 1 + e's rounding than
// 1 / (1 + e) would have.
template <class V>
struct Logistic {
  V large, small, log1p_e;
};
template <class T, class V>
FASTLOSS_FN Logistic<V> logistic(V x) {
  const V one(T(1));
  const V e = exp_negative(-abs(x));
  const V small = over_one_plus(e);
  return {one - small, small, log1p_unit(e)};
}

// x / divisor for a divisor >= 0 that may be too small for its reciprocal to be a number: by two factors, the first one 1
// for usual divisors, the second one bounded, so that 0 / 0 is 0 and every other quotient is right or beyond any bound that
// its reader has.
template <class T>
struct Reciprocal {
  T first, second;
  FASTLOSS_FN explicit Reciprocal(double divisor) {
    const double most = sizeof(T) == 4 ? 0x1p120 : 0x1p1000;
    const double scale = divisor < (sizeof(T) == 4 ? 0x1p-100 : 0x1p-960) ? 0x1p64 : 1, rest = 1 / (divisor * scale);
    first = (T)scale;
    second = (T)(rest < most ? rest : most);
  }

  template <class V>
  FASTLOSS_FN V operator()(V x) const {
    return x * V(first) * V(second);
  }
};

// The largest number, a power of two, whose square is one with room to spare.
template <class T>
constexpr T kSquarable = sizeof(T) == 4 ? T(0x1p62) : T(0x1p510);

// Of one element; a vector's mask has its own.
FASTLOSS_FN bool any(bool condition) { return condition; }

// x > 0 ? a : b
template <class T, class V>
FASTLOSS_FN V if_positive(V x, V a, V b) {
  return select(V(T(0)) < x, a, b);
}

// -1, 0 or 1; 0 for NaN, as PyTorch's sgn has it.
template <class T, class V>
FASTLOSS_FN V sign(V x) {
  const V zero(T(0)), one(T(1));
  return select(zero < x, one, select(x < zero, -one, zero));
}

// The derivative of max(0, z) times g. At z = 0 it is g, as PyTorch's clamp_min has it; NaN gives 0.
template <class T, class V>
FASTLOSS_FN V clamp_slope(V z, V g) {
  const V zero(T(0));
  return select(zero < z, g, select(z == zero, g, zero));
}

}  // namespace fastloss
