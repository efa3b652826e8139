#pragma once

// exp, log, log1p and tanh of Vec. Bounds, in ULP of the result, over every input (tests/test_vec_math.py walks bit
// patterns and holds them):   float: exp 1, exp_negative 1.1, log 1, log1p 2, tanh 3.   double: exp 2, log 2, log1p 2,
// tanh 3.

#include "cpu/vec.h"

namespace fastloss::FASTLOSS_ISA {
namespace {

template <class T>
struct Format;  // IEEE layout
template <>
struct Format<float> {
  static constexpr int mantissa = 23;
  static constexpr int32_t bias = 127;
  static constexpr int32_t one = 0x3f800000;
  static constexpr int32_t sqrt_half = 0x3f3504f3;
  static constexpr float round_magic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer in the low bits
  static constexpr float subnormal_scale = 0x1p25f;
  static constexpr float subnormal_shift = 25.0f;
  static constexpr float min_normal = 0x1p-126f;
  // ln 2 split so that n * ln2_high is exact for |n| < 2^9.
  static constexpr float ln2_high = 0.693359375f;
  static constexpr float ln2_low = -2.12194440e-4f;
  static constexpr float exp_low = -104.0f;  // below: 0
  static constexpr float exp_high = 89.0f;   // above: inf
};
template <>
struct Format<double> {
  static constexpr int mantissa = 52;
  static constexpr int64_t bias = 1023;
  static constexpr int64_t one = 0x3ff0000000000000;
  static constexpr int64_t sqrt_half = 0x3fe6a09e667f3bcd;
  static constexpr double round_magic = 6755399441055744.0;
  static constexpr double subnormal_scale = 0x1p54;
  static constexpr double subnormal_shift = 54.0;
  static constexpr double min_normal = 0x1p-1022;
  static constexpr double ln2_high = 6.93147180369123816490e-01;
  static constexpr double ln2_low = 1.90821492927058770002e-10;
  static constexpr double exp_low = -746.0;
  static constexpr double exp_high = 710.0;
};

template <class T, int N>
FASTLOSS_FN Vec<T> polynomial(Vec<T> x, const T (&c)[N]) {  // c[0] x^(N-1) + ... + c[N-1]
  Vec<T> r(c[0]);
#pragma GCC unroll 16
  for (int i = 1; i < N; ++i) r = fma(r, x, Vec<T>(c[i]));
  return r;
}

// (e^r - 1 - r) / r^2 on |r| <= ln(2) / 2.
FASTLOSS_FN Vec<float> exp_tail(Vec<float> r) {
  // Minimax fit of degree 4, relative error of the resulting e^r 2^-28.
  static constexpr float c[] = {1.3814539416e-3f, 8.3687454462e-3f, 4.1668388993e-2f, 1.6666521132e-1f,
                                4.9999994040e-1f};
  return polynomial(r, c);
}
FASTLOSS_FN Vec<double> exp_tail(Vec<double> r) {
  // Taylor to degree 13: the first term left out is r^12 / 14! < 4e-17 relative to 1/2.
  static constexpr double c[] = {1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800,
                                 1.0 / 362880,     1.0 / 40320,     1.0 / 5040,     1.0 / 720,
                                 1.0 / 120,        1.0 / 24,        1.0 / 6,        0.5};
  return polynomial(r, c);
}

// p * 2^n for n a whole number in a float. Without scalef in two steps, so that subnormal results and 2^128 are
// reached without an exponent field that does not exist.
template <class T>
FASTLOSS_FN Vec<T> scale_by_power(Vec<T> p, Vec<T> n) {
  using F = Format<T>;
  const auto i = (n + Vec<T>(F::round_magic)).bits() - Vec<T>(F::round_magic).bits();
  const auto half = i >> 1;
  const Vec<T> first = Vec<T>::from_bits((half + F::bias) << F::mantissa);
  const Vec<T> second = Vec<T>::from_bits((i - half + F::bias) << F::mantissa);
  return p * first * second;
}
#if defined(__AVX512F__)
FASTLOSS_FN Vec<float> scale_by_power(Vec<float> p, Vec<float> n) { return _mm512_scalef_ps(p.v, n.v); }
FASTLOSS_FN Vec<double> scale_by_power(Vec<double> p, Vec<double> n) { return _mm512_scalef_pd(p.v, n.v); }
#endif

// Writes e^x = (1 + r + r^2 tail) 2^n with n = round(x / ln 2), r = x - n ln 2.
template <class T>
FASTLOSS_FN void reduce_exp(Vec<T> x, Vec<T>& n, Vec<T>& r) {
  using F = Format<T>;
  const Vec<T> magic(F::round_magic);
  n = fma(x, Vec<T>((T)1.44269504088896340736), magic) - magic;
  r = fma(n, Vec<T>(-F::ln2_high), x);
  r = fma(n, Vec<T>(-F::ln2_low), r);
}

template <class T>
FASTLOSS_FN Vec<T> exp_below_high(Vec<T> x) {
  x = max(Vec<T>(Format<T>::exp_low), x);  // x second: NaN survives
  Vec<T> n, r;
  reduce_exp(x, n, r);
  return scale_by_power(fma(r * r, exp_tail(r), r) + Vec<T>((T)1), n);
}

template <class T>
FASTLOSS_FN Vec<T> exp(Vec<T> x) {
  return exp_below_high(min(Vec<T>(Format<T>::exp_high), x));
}

// x <= 0 or NaN, as logits minus their maximum are.
template <class T>
FASTLOSS_FN Vec<T> exp_negative(Vec<T> x) {
  return exp_below_high(x);
}
#if defined(__AVX512F__)
// n = round(16 x / ln 2), r = x - n ln(2) / 16, e^x = 2^(n / 16) e^r with a cubic for e^r - 1 (error 2^-27). Sixteen
// values of 2^(j / 16) fit one register, and n << 19 adds both the rest of their index and the exponent to them: two
// multiplications and the scaling less than above (8.0 cycles a vector for 9.4 on Zen 4; this is the inner loop of cross
// entropy). Below 2^-126 it gives 0.
FASTLOSS_FN Vec<float> exp_negative(Vec<float> x) {
  alignas(64) static constexpr uint32_t powers[16] = {
      // bits of 2^(j / 16), less j << 19
      0x3f800000, 0x3f7daac3, 0x3f7b95c2, 0x3f79c3d3, 0x3f7837f0, 0x3f76f532, 0x3f75fed7, 0x3f75583f,
      0x3f7504f3, 0x3f7508a4, 0x3f75672a, 0x3f76248c, 0x3f7744fd, 0x3f78ccdf, 0x3f7ac0c7, 0x3f7d257d};
  const __mmask16 normal = _mm512_cmp_ps_mask(x.v, Vec<float>(-87.33654f).v, _CMP_NLT_UQ);  // NaN too
  const Vec<float> magic(Format<float>::round_magic);
  const Vec<float> t = fma(x, Vec<float>(23.083120654223414f), magic);
  const Vec<float> n = t - magic;
  Vec<float> r = fma(n, Vec<float>(-0.043321698904037476f), x);
  r = fma(n, Vec<float>(1.1904088825787085e-10f), r);
  const __m512i bits = _mm512_castps_si512(t.v);
  const __m512i power =
      _mm512_add_epi32(_mm512_permutexvar_epi32(bits, _mm512_load_si512(powers)), _mm512_slli_epi32(bits, 19));
  const Vec<float> m1 = fma(r * r, fma(Vec<float>(1.0f / 6), r, Vec<float>(0.5f)), r);
  const __m512 scale = _mm512_castsi512_ps(power);
  return _mm512_maskz_fmadd_ps(normal, scale, m1.v, scale);
}
#endif

// log(m 2^e) = e ln 2 + log(m) with m in [sqrt(1/2), sqrt(2)); `extra` is added before rounding (log1p's rest).
FASTLOSS_FN Vec<float> log_mantissa(Vec<float> f, Vec<float> e, Vec<float> extra) {
  // Cephes logf: log(1 + f) = f - f^2/2 + f^3 P(f).
  static constexpr float c[] = {7.0376836292e-2f,  -1.1514610310e-1f, 1.1676998740e-1f,
                                -1.2420140846e-1f, 1.4249322787e-1f,  -1.6668057665e-1f,
                                2.0000714765e-1f,  -2.4999993993e-1f, 3.3333331174e-1f};
  const Vec<float> square = f * f;
  Vec<float> y = polynomial(f, c) * f * square;
  y = fma(e, Vec<float>(Format<float>::ln2_low), y) + extra;
  y = fma(Vec<float>(-0.5f), square, y);
  return fma(e, Vec<float>(Format<float>::ln2_high), f + y);
}
FASTLOSS_FN Vec<double> log_mantissa(Vec<double> f, Vec<double> e, Vec<double> extra) {
  // fdlibm: s = f / (2 + f), log(1 + f) = f - f^2/2 + s (f^2/2 + R(s^2)), R from log((1 + s) / (1 - s)).
  static constexpr double c[] = {1.479819860511658591e-01, 1.531383769920937332e-01, 1.818357216161805012e-01,
                                 2.222219843214978396e-01, 2.857142874366239149e-01, 3.999999999940941908e-01,
                                 6.666666666666735130e-01};
  const Vec<double> s = f / (f + Vec<double>(2.0));
  const Vec<double> z = s * s;
  const Vec<double> r = polynomial(z, c) * z;
  const Vec<double> half_square = Vec<double>(0.5) * f * f;
  const Vec<double> low = fma(e, Vec<double>(Format<double>::ln2_low), s * (half_square + r)) + extra;
  return fma(e, Vec<double>(Format<double>::ln2_high), f - (half_square - low));
}

// x >= 0 or NaN; log(0) = -inf, log(inf) = inf, negative gives NaN.
template <class T>
FASTLOSS_FN Vec<T> log_plus(Vec<T> x, Vec<T> extra) {
  using F = Format<T>;
  const Mask<T> tiny = x < Vec<T>(F::min_normal);
  const Vec<T> normal = select(tiny, x * Vec<T>(F::subnormal_scale), x);
  const auto above = normal.bits() - F::sqrt_half;  // exponent of x / sqrt(1/2)
  const auto exponent = above >> F::mantissa;
  const Vec<T> m = Vec<T>::from_bits(normal.bits() - (exponent << F::mantissa));
  const Vec<T> e = Vec<T>(__builtin_convertvector(exponent, typename Vec<T>::Native)) -
                   select(tiny, Vec<T>(F::subnormal_shift), Vec<T>((T)0));
  Vec<T> r = log_mantissa(m - Vec<T>((T)1), e, extra);
  const Vec<T> infinity((T)__builtin_inf());
  r = select(x < infinity, r, x);  // inf and NaN
  r = select(x == Vec<T>((T)0), -infinity, r);
  return select(x < Vec<T>((T)0), Vec<T>((T)__builtin_nan("")), r);
}

template <class T>
FASTLOSS_FN Vec<T> log(Vec<T> x) {
  return log_plus(x, Vec<T>((T)0));
}

// log(1 + x) = log(u) + (x - (u - 1)) / u with u = 1 + x rounded; x >= -1, inverse = 1 / (1 + x) or near it.
template <class T>
FASTLOSS_FN Vec<T> log1p(Vec<T> x, Vec<T> inverse) {
  const Vec<T> one((T)1), infinity((T)__builtin_inf());
  const Vec<T> u = one + x;
  const Mask<T> big = Vec<T>((T)1e8) < x;  // there x - (u - 1) may be inf - inf, and the rest is below half an ULP
  const Vec<T> rest = select(big, Vec<T>((T)0), (x - (u - one)) * inverse);
  const Mask<T> pole = u == Vec<T>((T)0);
  return select(pole, -infinity, log_plus(u, select(pole, Vec<T>((T)0), rest)));
}
template <class T>
FASTLOSS_FN Vec<T> log1p(Vec<T> x) {
  const Vec<T> one((T)1);
  return log1p(x, one / (one + x));
}

// e^x - 1 for x <= 0: (r + r^2 tail) 2^n + (2^n - 1), both terms exact or of one sign.
template <class T>
FASTLOSS_FN Vec<T> expm1_negative(Vec<T> x) {
  x = max(Vec<T>((T)-40), x);
  Vec<T> n, r;
  reduce_exp(x, n, r);
  const Vec<T> one((T)1);
  return scale_by_power(fma(r * r, exp_tail(r), r), n) + (scale_by_power(one, n) - one);
}

// tanh(x) with its derivative 1 - tanh^2 = 4 e / (1 + e)^2, e = exp(-2|x|), which keeps its digits when tanh is 1.
template <class T>
FASTLOSS_FN void tanh_and_slope(Vec<T> x, Vec<T>& value, Vec<T>& slope) {
  const auto sign_bit = Vec<T>((T)-0.0).bits();
  const Vec<T> twice = Vec<T>::from_bits((x + x).bits() | sign_bit);  // -2|x|
  const Vec<T> one((T)1);
  const Vec<T> m1 = expm1_negative(twice);
  const Vec<T> e = exp(twice);
  const Vec<T> inverse = one / (one + e);
  const Vec<T> magnitude = -m1 / (one + one + m1);
  value = Vec<T>::from_bits(magnitude.bits() | (x.bits() & sign_bit));
  slope = Vec<T>((T)4) * e * inverse * inverse;
}

}  // namespace
}  // namespace fastloss::FASTLOSS_ISA
