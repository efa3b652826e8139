#pragma once

#include "core/math.h"

namespace fastloss {

// Note [Divergences]
// A row is two vectors of logits over the same classes: a teacher's, with p = softmax(a), and a student's, with
// q = softmax(b). A divergence is a sum over the classes of F(p_c, q_c), and its gradients are
//     d / d b_c = q_c (F_q - sum_k q_k F_q),     d / d a_c = p_c (F_p - sum_k p_k F_p).
// A teacher may also come as log p or as p, which need not add up to 1. The gradient to log p is p_c F_p.
//
// Where p is near q, everything above is a small difference of large numbers. Nothing here subtracts rounded ones:
//     d_c = log p_c - log q_c = (a_c - b_c) - D,     D = lse(a) - lse(b) = log1p(sum_c q_c expm1(a_c - b_c)),
//     p_c - q_c = q_c expm1(d_c),
// where a_c - b_c is exact for neighbours. D is as exact as the sum of |p_c - q_c|, so that every d_c is.
// Let psi(y) = e^y - 1 - y = y^2 / 2 + ..., by its series where |y| <= 1/4, so that expm1(y) = y + psi(y). Beyond 1/4 ("far") the
// direct formulas lose at most three bits.
//
// sum p = sum q = 1, so a multiple of p - q may be added to F and a constant to F_p and F_q. A functor chooses them such
// that F is of second order in d, and no summand cancels against another: KL adds q - p,
//     p d - (p - q) = q (d expm1(d) - psi(d)) >= 0.
// What was added comes back where p does not add up to 1: `excess` times p - q.
//
//     double excess() const;                            // F of the definition = value + excess (p - q)
//     static constexpr bool reads_logs;                 // whether log_p and log_q are needed
//     static constexpr bool balanced;                   // sum q F_q = 0 where p adds up to 1: q F_q is the gradient
//     template <class V> DivergenceTerms<V> operator()(const ClassPair<V>&) const;
//
// p or q may be 0 (d infinite, far). A class that both lack has p = q = d = 0, is near, and must give zeros.

template <class V>
struct ClassPair {
  using Condition = decltype(V() < V());

  V p, q;
  V log_p, log_q;  // only for functors that read them
  V d;             // log p - log q
  Condition near;  // |d| < 1/4
  V psi;           // of d, where near
  V gap;           // p - q
};

template <class V>
struct DivergenceTerms {
  V value;
  V p_slope;  // p dF/dp
  V q_slope;  // q dF/dq
};

constexpr double kNear = 0.25;

// The last term of the series of e^y that counts for |y| <= 1/4.
template <class V>
struct LastTerm {
  static constexpr int value = 13;
};
template <>
struct LastTerm<float> {
  static constexpr int value = 7;
};
template <template <class> class Vector>
struct LastTerm<Vector<float>> : LastTerm<float> {};

constexpr double inverse_factorial(int n) { return n < 2 ? 1.0 : inverse_factorial(n - 1) / n; }

// sum_{n >= first} y^(n - first) / n!
template <class T, class V, int first = 2>
FASTLOSS_FN V exp_series(V y) {
  constexpr T coefficient = (T)inverse_factorial(first);
  const V c(coefficient);
  if constexpr (first == LastTerm<V>::value) {
    return c;
  } else {
    return exp_series<T, V, first + 1>(y) * y + c;
  }
}

// e^y - 1 - y for |y| <= 1/4.
template <class T, class V>
FASTLOSS_FN V psi(V y) {
  return y * y * exp_series<T>(y);
}

// a b, and 0 where a is 0, whatever b is there.
template <class T, class V>
FASTLOSS_FN V times_or_zero(V a, V b) {
  return select(a == V(T(0)), V(T(0)), a * b);
}

}  // namespace fastloss
