#pragma once

// The value type of formulas of elements on CUDA: float with the functions that a stored type deserves.
//
// Note [Numbers]
// An element of half precision leaves an H200 some 40 instructions, one of float 80, before instructions and not bytes take the
// time. The compiler's IEEE division takes ten of them, its logarithms 30, and neither is needed: a `Number` has its own.
//   half: approximate instructions, exp in 2, log in 5 and log1p in 9, off by at most 2^-16 of the terms of a value, a thirtieth
//       of half's rounding. log1p and expm1 of small arguments come from series: no relative accuracy is lost there.
//   float: exp, log and log1p are the library's; division, square roots and the logistic functions of Note [Pointwise] are off by
//       2 units.

#include "core/compute.h"
#include "core/math.h"
#include "device/device.h"

namespace fastloss::cuda {

template <bool half>
struct Number {
  float v;
  Number() = default;
  FASTLOSS_DEVICE explicit Number(float x) : v(x) {}
  FASTLOSS_DEVICE explicit operator float() const { return v; }
};

// What a formula computes in for elements that are stored as an S.
template <class S>
struct NumberOf {
  using type = Number<sizeof(S) == 2>;
};
template <>
struct NumberOf<double> {
  using type = double;
};

#define FASTLOSS_EACH(function, expression)               \
  template <bool half>                                    \
  FASTLOSS_DEVICE Number<half> function(Number<half> x) { \
    return Number<half>(expression);                      \
  }
#define FASTLOSS_BOTH(function, expression)                               \
  template <bool half>                                                    \
  FASTLOSS_DEVICE Number<half> function(Number<half> x, Number<half> y) { \
    return Number<half>(expression);                                      \
  }
#define FASTLOSS_COMPARED(operation)                                        \
  template <bool half>                                                      \
  FASTLOSS_DEVICE bool operator operation(Number<half> x, Number<half> y) { \
    return x.v operation y.v;                                               \
  }
FASTLOSS_EACH(operator-, -x.v)
FASTLOSS_BOTH(operator+, x.v + y.v)
FASTLOSS_BOTH(operator-, x.v - y.v)
FASTLOSS_BOTH(operator*, x.v* y.v)
FASTLOSS_COMPARED(<)
FASTLOSS_COMPARED(==)
FASTLOSS_EACH(abs, fastloss::abs(x.v))
FASTLOSS_EACH(atan, fastloss::atan(x.v))
FASTLOSS_EACH(constant, x.v)
FASTLOSS_BOTH(max, fastloss::max(x.v, y.v))
FASTLOSS_BOTH(min, fastloss::min(x.v, y.v))
#undef FASTLOSS_EACH
#undef FASTLOSS_BOTH
#undef FASTLOSS_COMPARED

template <bool half>
FASTLOSS_DEVICE Number<half> select(bool condition, Number<half> a, Number<half> b) {
  return condition ? a : b;
}

using Float = Number<false>;
using Rough = Number<true>;

// c[0] + c[1] x + ...
template <int N>
FASTLOSS_DEVICE float polynomial(float x, const float (&c)[N]) {
  float r = c[N - 1];
  FASTLOSS_UNROLL
  for (int i = N - 2; i >= 0; --i) r = r * x + c[i];
  return r;
}

FASTLOSS_DEVICE Float operator/(Float a, Float b) { return Float(quotient_of(a.v, b.v)); }
FASTLOSS_DEVICE Float sqrt(Float x) { return Float(root_of(x.v)); }
FASTLOSS_DEVICE Float exp(Float x) { return Float(fastloss::exp(x.v)); }
FASTLOSS_DEVICE Float log(Float x) { return Float(fastloss::log(x.v)); }
FASTLOSS_DEVICE Float log1p(Float x) { return Float(fastloss::log1p(x.v)); }
FASTLOSS_DEVICE Float expm1_negative(Float x) { return Float(fastloss::expm1_negative(x.v)); }
// Minimax, relative error 2^-30, as simd/vec_math.h has it.
FASTLOSS_DEVICE Float log1p_unit(Float x) {
  const float c[] = {-4.9999988079e-1f, 3.3332714438e-1f,  -2.4988864362e-1f, 1.9899621606e-1f,  -1.6135157645e-1f,
                     1.2479481101e-1f,  -8.3238050342e-2f, 4.2113907635e-2f,  -1.3691186905e-2f, 2.0844400860e-3f};
  return Float(x.v * x.v * polynomial(x.v, c) + x.v);
}
// q = x / (1 + x), and a step by what it lacks, x - q - q x.
FASTLOSS_DEVICE Float over_one_plus(Float x) {
  const float inverse = reciprocal_of(1 + x.v), q = x.v * inverse;
  return Float((x.v - q - q * x.v) * inverse + q);
}

// By the reciprocal, of which there is one however many numbers are divided; scaled, or that of more than 2^126 were 0.
FASTLOSS_DEVICE Rough operator/(Rough a, Rough b) {
  const float scale = fabsf(b.v) > 1 ? 0x1p-64f : 0x1p64f;
  return Rough(a.v * (reciprocal_of(b.v * scale) * scale));
}
FASTLOSS_DEVICE Rough sqrt(Rough x) { return Rough(normal_root_of(x.v)); }
FASTLOSS_DEVICE Rough exp(Rough x) { return Rough(exp2_of(x.v * 1.4426950408889634f)); }
FASTLOSS_DEVICE Rough log(Rough x) { return Rough(log2_of(x.v) * 0.6931471805599453f); }
FASTLOSS_DEVICE Rough log1p(Rough x) {
  const float c[] = {1, -1.0f / 2, 1.0f / 3, -1.0f / 4};
  const float near = x.v * polynomial(x.v, c), far = normal_log2_of(1 + x.v) * 0.6931471805599453f;
  return Rough(fabsf(x.v) < 0.0625f ? near : far);
}
FASTLOSS_DEVICE Rough expm1_negative(Rough x) {
  const float c[] = {1, 1.0f / 2, 1.0f / 6, 1.0f / 24};
  return Rough(x.v > -0.125f ? x.v * polynomial(x.v, c) : exp(x).v - 1);
}
// Minimax, relative error 2^-16.9.
FASTLOSS_DEVICE Rough log1p_unit(Rough x) {
  const float c[] = {0.999991598f, -0.499361365f, 0.32520668f, -0.21004869f, 0.101222285f, -0.0238691517f};
  return Rough(x.v * polynomial(x.v, c));
}
FASTLOSS_DEVICE Rough over_one_plus(Rough x) { return Rough(x.v * reciprocal_of(1 + x.v)); }

template <bool half>
FASTLOSS_DEVICE Number<half> exp_negative(Number<half> x) {
  return exp(x);
}

}  // namespace fastloss::cuda
