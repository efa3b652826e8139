#pragma once

// A loss of elements to copy: `losses.h` does not list it, so no build has its kernels. tests/test_example.py compiles it,
// and `make plants` lists it in a copy of the sources.

#include "core/eval.h"
#include "core/math.h"

namespace fastloss {

// The comment derives what the functor returns. Epsilon-insensitive loss (Vapnik 1995), d = x - y:
//     f = max(0, |d| - eps),   df/dx = sgn(d) where |d| > eps, else 0,   df/dy = -df/dx.
template <class T>
struct Example {
  static constexpr int arity = 2;         // tensors
  static constexpr bool checked = false;  // no number of them is refused
  T eps;                                  // hyperparameters come as doubles, in the order of losses.h
  FASTLOSS_FN explicit Example(const double* p) : eps((T)p[0]) {}

  // V is float, double or a vector of them, or a dual number: arithmetic, and functions of core/math.h. A branch that
  // depends on data is a `select`, whose first argument is a comparison.
  template <class V>
  FASTLOSS_FN PointEval<V, 2> operator()(V x, V y) const {
    const V d = x - y, beyond = abs(d) - V(eps), zero(T(0));
    const V sign = if_positive<T>(d, V(T(1)), V(T(-1)));
    const V slope = select(zero < beyond, sign, zero);
    return {max(zero, beyond), {slope, -slope}};
  }
};

}  // namespace fastloss
