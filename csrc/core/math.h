#pragma once

#include <math.h>

#include "core/macros.h"

// Note [Vocabulary]
// A formula is a template over its value type V: float or double (the scalar oracle and a CUDA thread), Vec (SIMD
// lanes) or Dual (value with derivative, in tests). It uses operators and the functions below, always unqualified:
// argument-dependent lookup finds the overloads of Vec and Dual in their own namespaces, and for the built-in
// types, which have no namespace, these declarations hide ::abs(int) and friends.
//
// NaN. max(a, b) and min(a, b) return b when either is NaN, on every backend (that is what x86's instructions do):
// write the operand whose NaN must survive second.

// A build on any machine runs where glibc is 2.28: since 2.29 these two have another version, which does not set errno.
#if defined(__GLIBC__) && defined(__x86_64__) && !defined(__CUDACC__)
__asm__(".symver exp, exp@GLIBC_2.2.5");
__asm__(".symver log, log@GLIBC_2.2.5");
#endif

namespace fastloss {

FASTLOSS_FN float exp(float x) { return ::expf(x); }
FASTLOSS_FN double exp(double x) { return ::exp(x); }
// e^x for x <= 0.
FASTLOSS_FN float exp_negative(float x) { return ::expf(x); }
FASTLOSS_FN double exp_negative(double x) { return ::exp(x); }
// e^x - 1 for x <= 0.
FASTLOSS_FN float expm1_negative(float x) { return ::expm1f(x); }
FASTLOSS_FN double expm1_negative(double x) { return ::expm1(x); }
FASTLOSS_FN float log(float x) { return ::logf(x); }
FASTLOSS_FN double log(double x) { return ::log(x); }
FASTLOSS_FN float log1p(float x) { return ::log1pf(x); }
FASTLOSS_FN double log1p(double x) { return ::log1p(x); }
// log1p for x in [0, 1].
FASTLOSS_FN float log1p_unit(float x) { return ::log1pf(x); }
FASTLOSS_FN double log1p_unit(double x) { return ::log1p(x); }
// x / (1 + x) for x in [0, 1].
FASTLOSS_FN float over_one_plus(float x) { return x / (1.0f + x); }
FASTLOSS_FN double over_one_plus(double x) { return x / (1.0 + x); }
// tanh(x) with its derivative 1 - tanh^2 = 4 e / (1 + e)^2, e = exp(-2|x|), which keeps its digits when tanh is 1.
FASTLOSS_FN void tanh_and_slope(float x, float& value, float& slope) {
  const float e = ::expf(-2.0f * ::fabsf(x));
  value = ::tanhf(x), slope = 4.0f * e / ((1.0f + e) * (1.0f + e));
}
FASTLOSS_FN void tanh_and_slope(double x, double& value, double& slope) {
  const double e = ::exp(-2.0 * ::fabs(x));
  value = ::tanh(x), slope = 4.0 * e / ((1.0 + e) * (1.0 + e));
}
FASTLOSS_FN float atan(float x) { return ::atanf(x); }
FASTLOSS_FN double atan(double x) { return ::atan(x); }
FASTLOSS_FN float abs(float x) { return ::fabsf(x); }
FASTLOSS_FN double abs(double x) { return ::fabs(x); }
FASTLOSS_FN float sqrt(float x) { return ::sqrtf(x); }
FASTLOSS_FN double sqrt(double x) { return ::sqrt(x); }
FASTLOSS_FN float max(float a, float b) { return a > b ? a : b; }
FASTLOSS_FN double max(double a, double b) { return a > b ? a : b; }
FASTLOSS_FN float min(float a, float b) { return a < b ? a : b; }
FASTLOSS_FN double min(double a, double b) { return a < b ? a : b; }
FASTLOSS_FN float select(bool condition, float a, float b) { return condition ? a : b; }
FASTLOSS_FN double select(bool condition, double a, double b) { return condition ? a : b; }

// x, whose derivative a formula leaves out on purpose.
FASTLOSS_FN float constant(float x) { return x; }
FASTLOSS_FN double constant(double x) { return x; }

}  // namespace fastloss
