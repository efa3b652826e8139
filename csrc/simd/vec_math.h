#pragma once

// exp, log, log1p, tanh and atan of Vec. Bounds in ULP of the result: the largest error found over one float in 16 and over ten
// million doubles and more, rounded up. tests/test_vec_math.py reads them here and holds them over a sample of bit patterns.
//     float: exp 0.8, exp_negative 1.1, exp_logit 1.9 + 0.23 |x|, expm1_negative 0.9, log 0.9, log1p 1.2,
//            log1p_unit 1.5, over_one_plus 1.5, tanh 2.6, atan 2.5
//     double: exp 0.9, exp_negative 1, exp_logit 0.9, expm1_negative 1.2, log 0.9, log1p 1.2,
//             log1p_unit 1.4, over_one_plus 1.5, tanh 2.6, atan 2.5
// exp_logit may be 0 below 2^-126. float's exp and log are off by 0.255 on average where a correctly rounded result is off by 0.25.

#include "simd/vec.h"

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
  static constexpr float unshift = 0x1p-63f;  // 2^-(bias / 2)
  static constexpr float exp_low = -104.0f;   // below: 0
  static constexpr float exp_high = 89.0f;    // above: inf
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
  static constexpr double unshift = 0x1p-511;
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
  // Minimax fit of degree 5, relative error of the resulting e^r 2^-33.
  static constexpr float c[] = {1.9739486743e-4f, 1.3935087482e-3f, 8.3335712552e-3f,
                                4.1666463017e-2f, 1.6666665673e-1f, 5.0000000000e-1f};
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
  return rounded(p * first * second);
}
#if defined(__AVX512F__)
FASTLOSS_FN Vec<float> scale_by_power(Vec<float> p, Vec<float> n) { return _mm512_scalef_ps(p.v, n.v); }
FASTLOSS_FN Vec<double> scale_by_power(Vec<double> p, Vec<double> n) { return _mm512_scalef_pd(p.v, n.v); }
// 2^(i / 16)
alignas(64) constexpr float kPowers[16] = {1.0f,          1.0442737341f, 1.0905077457f, 1.1387885809f,
                                           1.1892070770f, 1.2418577671f, 1.2968395948f, 1.3542555571f,
                                           1.4142135382f, 1.4768261909f, 1.5422108173f, 1.6104903221f,
                                           1.6817928553f, 1.7562521696f, 1.8340080976f, 1.9152065516f};
#endif

// Writes e^x = (1 + r + r^2 tail) 2^n with n = round(x / ln 2), r = x - n ln 2. Returns n + offset in the low bits of a T.
template <class T>
FASTLOSS_FN Vec<T> reduce_exp(Vec<T> x, Vec<T>& n, Vec<T>& r, int offset = 0) {
  using F = Format<T>;
  const Vec<T> magic(F::round_magic + offset);
  const Vec<T> t = fma(x, Vec<T>((T)1.44269504088896340736), magic);
  n = t - magic;
  r = fma(n, Vec<T>(-F::ln2_high), x);
  r = fma(n, Vec<T>(-F::ln2_low), r);
  return t;
}

// What rounding 1 + r drops is added to the smaller terms: the result is off by little more than its own rounding.
template <class T>
FASTLOSS_FN Vec<T> exp(Vec<T> x) {
  using F = Format<T>;
  x = max(Vec<T>(F::exp_low), min(Vec<T>(F::exp_high), x));  // x second: NaN survives
  Vec<T> n, r;
  reduce_exp(x, n, r);
  const Vec<T> one((T)1), high = one + r;
  return scale_by_power(high + fma(r * r, exp_tail(r), r - (high - one)), n);
}

// x <= 0 or NaN: faster than exp, and less exact.
#if defined(__AVX512F__)
// n = round(16 x / ln 2) / 16, r = x - n ln 2, e^x = 2^(n - floor n) e^r 2^floor(n) with a cubic for e^r - 1 (error
// 2^-27). Sixteen values of 2^(j / 16) fit one register, the low bits of t are their index, and scalef rounds n down
// itself: three multiplications less than exp (7.5 cycles a vector for 12 on Zen 4; this is half of a sigmoid).
FASTLOSS_FN Vec<float> exp_negative(Vec<float> x) {
  using F = Format<float>;
  x = max(Vec<float>(F::exp_low), x);  // x second: NaN survives
  const Vec<float> magic(F::round_magic / 16);
  const Vec<float> t = fma(x, Vec<float>(1.44269504088896340736f), magic);
  const Vec<float> n = t - magic;
  Vec<float> r = fma(n, Vec<float>(-F::ln2_high), x);
  r = fma(n, Vec<float>(-F::ln2_low), r);
  const Vec<float> power = _mm512_permutexvar_ps((__m512i)t.bits(), _mm512_load_ps(kPowers));
  const Vec<float> m1 = fma(r * r, fma(Vec<float>(1.0f / 6), r, Vec<float>(0.5f)), r);
  return scale_by_power(fma(power, m1, power), n);
}
FASTLOSS_FN Vec<double> exp_negative(Vec<double> x) { return exp(x); }
#else
// n >= -150 (-1077) for a result that is not 0: 2^(n + shift) is normal, so one exponent field will do. The number that
// rounds n has the field's bias in it already.
template <class T>
FASTLOSS_FN Vec<T> exp_negative(Vec<T> x) {
  using F = Format<T>;
  constexpr int shift = F::bias / 2;
  x = max(Vec<T>(F::exp_low), x);  // x second: NaN survives
  Vec<T> n, r;
  const Vec<T> t = reduce_exp(x, n, r, F::bias + shift);
  const auto power = t.bits() << F::mantissa;  // of t's bits only n's stay
  const Vec<T> p = fma(r * r, exp_tail(r), r) + Vec<T>((T)1);
  return p * Vec<T>::from_bits(power) * Vec<T>(F::unshift);
}
#endif

// e^x for x <= 40; above 40 at least e^40, or inf; NaN for NaN. The inner loop of cross entropy.
#if defined(__AVX512F__)
alignas(64) constexpr float kFinePowers[32] = {
    // 2^(j / 32): as many as two registers hold
    1.0f,         1.021897197f, 1.044273734f, 1.06714046f,  1.090507746f, 1.114386797f, 1.138788581f, 1.163724899f,
    1.189207077f, 1.215247393f, 1.241857767f, 1.269050956f, 1.296839595f, 1.325236678f, 1.354255557f, 1.383909941f,
    1.414213538f, 1.445180774f, 1.476826191f, 1.509164453f, 1.542210817f, 1.575980902f, 1.610490322f, 1.645755529f,
    1.681792855f, 1.718619347f, 1.75625217f,  1.794709086f, 1.834008098f, 1.874167681f, 1.915206552f, 1.957144141f};
// 2^(n + f) with n = round(32 x log2(e)) / 32, |f| <= 1 / 64. As exp_negative, but
//   - log2(e) is rounded to float, 1.3e-8 off, as if the logits were multiplied by 1 + 1.3e-8, which is less than their own
//     rounding: f needs no second constant.
//   - Twice as many powers leave a quadratic for 2^f, whose error of at most 2^-24.2 is odd in f, so that sums lose nothing.
//     A quadratic is also positive wherever rounding leaves f for a large x, so that no upper bound of x is needed: the
//     cubic has a zero, and gave 0 for e^58029344 and two more. (Without the lower bound too a logit of -3.4e38, which
//     masks, would give NaN.)
// A tenth of a row's time, and a gradient's mean error of 5e-8 for 4e-8 (PyTorch's is 1.6e-7 and more). exp_shifted is
// exp_logit for x <= 0 or NaN, logits minus their maximum, and right up to 40.
FASTLOSS_FN Vec<float> exp_logit(Vec<float> x) {
  x = max(Vec<float>(Format<float>::exp_low), x);  // x second: NaN survives
  const Vec<float> log2_e(1.44269504088896340736f), magic(Format<float>::round_magic / 32);
  const Vec<float> t = fma(x, log2_e, magic);
  const Vec<float> n = t - magic;
  const Vec<float> f = fma(x, log2_e, -n);
  const Vec<float> power =
      _mm512_permutex2var_ps(_mm512_load_ps(kFinePowers), (__m512i)t.bits(), _mm512_load_ps(kFinePowers + 16));
  const Vec<float> slope = fma(Vec<float>(2.40226507e-1f), f, Vec<float>(6.9315734e-1f));  // minimax for (2^f - 1) / f
  return scale_by_power(fma(power, f * slope, power), n);
}
FASTLOSS_FN Vec<float> exp_shifted(Vec<float> x) { return exp_logit(x); }
#elif defined(__FMA__) || defined(__aarch64__)
// 2^(n + f), n = round(x log2(e)), |f| <= 1/2, with log2(e) as above and a polynomial for 2^f (error 2^-28.9). 13 instructions
// with the subtraction of the maximum, where exp_negative takes 18: the power of 2 comes from n's bits alone, since the
// number that rounds n has the exponent's bias in it. The price is that what is below 2^-126.5 becomes 0.
FASTLOSS_FN Vec<float> exp_shifted(Vec<float> x) {
  using F = Format<float>;
  x = max(Vec<float>(-88.02f), x);  // n >= -127, whose field is 0 and so the result; x second: NaN survives
  const Vec<float> log2_e(1.44269504088896340736f), magic(F::round_magic + F::bias);
  const Vec<float> t = fma(x, log2_e, magic), n = t - magic, f = fma(x, log2_e, -n);
  static constexpr float c[] = {
      1.5353341168e-4f, 1.3398900197e-3f, 9.6184376058e-3f, 5.5503324096e-2f, 2.4022647910e-1f, 6.9314720288e-1f, 1.0f};
  return polynomial(f, c) * Vec<float>::from_bits(t.bits() << F::mantissa);
}
FASTLOSS_FN Vec<float> exp_logit(Vec<float> x) { return exp_shifted(min(Vec<float>(40.0f), x)); }  // x second, again
#else  // whose fma rounds twice, so that x log2(e) - n has lost its last digits
FASTLOSS_FN Vec<float> exp_shifted(Vec<float> x) { return exp_negative(x); }
FASTLOSS_FN Vec<float> exp_logit(Vec<float> x) { return exp_negative(min(Vec<float>(40.0f), x)); }
#endif
FASTLOSS_FN Vec<double> exp_logit(Vec<double> x) { return exp(x); }
FASTLOSS_FN Vec<double> exp_shifted(Vec<double> x) { return exp_negative(x); }

// x / (1 + x) for x in [0, 1] or NaN.
#if defined(__AVX512F__)
// q = x / (1 + x) to 14 bits, and what it lacks, x - q - q x, whose difference is exact: rounded little more than once,
// 1 + x not at all, in two thirds of a division's time on Zen 4.
FASTLOSS_FN Vec<float> over_one_plus(Vec<float> x) {
  const Vec<float> inverse = _mm512_rcp14_ps((x + Vec<float>(1.0f)).v);
  const Vec<float> q = x * inverse;
  return fma(fma(-q, x, x - q), inverse, q);
}
FASTLOSS_FN Vec<double> over_one_plus(Vec<double> x) { return x / (Vec<double>(1.0) + x); }
#else
template <class T>
FASTLOSS_FN Vec<T> over_one_plus(Vec<T> x) {
  return x / (Vec<T>((T)1) + x);
}
#endif

// log(m 2^e) = e ln 2 + log(m) with m in [sqrt(1/2), sqrt(2)); `extra` is added before rounding (log1p's rest).
FASTLOSS_FN Vec<float> log_mantissa(Vec<float> f, Vec<float> e, Vec<float> extra) {
  // Cephes logf: log(1 + f) = f - f^2/2 + f^3 P(f). What rounding e ln 2 + f drops is added to the smaller terms.
  static constexpr float c[] = {7.0376836292e-2f,  -1.1514610310e-1f, 1.1676998740e-1f,
                                -1.2420140846e-1f, 1.4249322787e-1f,  -1.6668057665e-1f,
                                2.0000714765e-1f,  -2.4999993993e-1f, 3.3333331174e-1f};
  const Vec<float> square = f * f;
  Vec<float> y = polynomial(f, c) * f * square;
  y = fma(e, Vec<float>(Format<float>::ln2_low), y) + extra;
  y = fma(Vec<float>(-0.5f) * f, f, y);
  const Vec<float> whole = e * Vec<float>(Format<float>::ln2_high);
  const Vec<float> high = whole + f;
  return high + (y + (f - (high - whole)));
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
  using Bits = typename Vec<T>::NativeBits;  // negative x wraps
  using Int = typename Vec<T>::NativeInt;
  const Int exponent = (Int)((Bits)normal.bits() - (Bits{} + F::sqrt_half)) >> F::mantissa;  // of x / sqrt(1/2)
  const Vec<T> m = Vec<T>::from_bits((Int)((Bits)normal.bits() - ((Bits)exponent << F::mantissa)));
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

// log(1 + x) = log(u) + (x - (u - 1)) / u with u = 1 + x rounded; x >= -1.
template <class T>
FASTLOSS_FN Vec<T> log1p(Vec<T> x) {
  const Vec<T> one((T)1), infinity((T)__builtin_inf());
  const Vec<T> u = one + x;
  const Mask<T> big = Vec<T>((T)1e8) < x;  // there x - (u - 1) may be inf - inf, and the rest is below half an ULP
  const Vec<T> rest = select(big, Vec<T>((T)0), (x - (u - one)) * (one / u));
  const Mask<T> pole = u == Vec<T>((T)0);
  return select(pole, -infinity, log_plus(u, select(pole, Vec<T>((T)0), rest)));
}

// x in [0, 1] or NaN: no exponent to take out and nothing special to see to. log(1 + x) = x + x^2 Q(x), minimax fit of
// degree 9, relative error 2^-30.
FASTLOSS_FN Vec<float> log1p_unit(Vec<float> x) {
  static constexpr float c[] = {2.0844400860e-3f, -1.3691186905e-2f, 4.2113907635e-2f, -8.3238050342e-2f,
                                1.2479481101e-1f, -1.6135157645e-1f, 1.9899621606e-1f, -2.4988864362e-1f,
                                3.3332714438e-1f, -4.9999988079e-1f};
  return fma(x * x, polynomial(x, c), x);
}
FASTLOSS_FN Vec<double> log1p_unit(Vec<double> x) {
  const Vec<double> zero(0.0), one(1.0);
  const Mask<double> upper = Vec<double>(0.41421356237309505) < x;  // there (1 + x) / 2 - 1 = (x - 1) / 2, exactly
  return log_mantissa(select(upper, Vec<double>(0.5) * (x - one), x), select(upper, one, zero), zero);
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

// As the scalar ones of core/math.h.
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

// (atan(t) / t - 1) / t^2 of z = t^2, |t| <= tan(pi / 8). Minimax fits of the relative error of atan(t): 2^-30 and 2^-59.
FASTLOSS_FN Vec<float> atan_tail(Vec<float> z) {
  static constexpr float c[] = {-6.083458072e-2f, 1.059600409e-1f, -1.424384921e-1f, 1.999848947e-1f, -3.333331551e-1f};
  return polynomial(z, c);
}
FASTLOSS_FN Vec<double> atan_tail(Vec<double> z) {
  static constexpr double c[] = {-1.7922402722528566245e-2, 3.8078439415946840268e-2,  -5.0398504356867358613e-2,
                                 5.8480100770432317014e-2,  -6.6631205544433175212e-2, 7.6920616532756918715e-2,
                                 -9.0908978374359466028e-2, 1.1111110786175520987e-1,  -1.4285714280249348706e-1,
                                 1.9999999999954091542e-1,  -3.3333333333333199148e-1};
  return polynomial(z, c);
}

// Of the smaller of |x| and 1 / |x|, r: pi / 4 + atan((r - 1) / (r + 1)) where r is above tan(pi / 8), by one division.
template <class T>
FASTLOSS_FN Vec<T> atan(Vec<T> x) {
  const Vec<T> one((T)1), a = abs(x), small = min(one, a), large = max(one, a);  // a second: NaN survives
  const Mask<T> steep = Vec<T>((T)0.414213562373095049) * large < small;
  const Vec<T> t = select(steep, small - large, small) / select(steep, small + large, large);
  const Vec<T> z = t * t;
  const Vec<T> tail = fma(t * z, atan_tail(z), t);
  const Vec<T> r = tail + select(steep, Vec<T>((T)0.785398163397448310), Vec<T>((T)0));
  const Vec<T> magnitude = select(one < a, Vec<T>((T)1.57079632679489662) - r, r);
  return Vec<T>::from_bits(magnitude.bits() | (x.bits() & Vec<T>((T)-0.0).bits()));
}

}  // namespace
}  // namespace fastloss::FASTLOSS_ISA
