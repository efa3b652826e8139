#pragma once

// Explicit SIMD vectors on the compiler's vector extensions. An ISA file defines FASTLOSS_ISA (its namespace) and
// FASTLOSS_VEC_BYTES before including this. Operators are ordinary, so a functor's text is the same for a scalar
// and for a vector; the few operations that compilers do not generate well from the extension (min, max, fma,
// conversions, reductions, streaming stores) use intrinsics where the ISA has them.

#include <stdint.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "core/compute.h"
#include "core/dtype.h"
#include "core/macros.h"

namespace fastloss::FASTLOSS_ISA {
namespace {

// Storage types of half precision: bit patterns, so that no header of any library enters an ISA file.
struct BFloat16 {
  uint16_t bits;
};
struct Half {
  uint16_t bits;
};
template <class S>
constexpr bool is_bfloat16 = false;
template <>
constexpr bool is_bfloat16<BFloat16> = true;

template <class S>
constexpr bool is_half = false;
template <>
constexpr bool is_half<Half> = true;

template <class T>
struct Lanes;  // native vectors; not written inside Vec because GCC drops vector_size on a dependent type
template <>
struct Lanes<float> {
  using Int = int32_t;
  typedef float Native __attribute__((vector_size(FASTLOSS_VEC_BYTES)));
  typedef int32_t NativeInt __attribute__((vector_size(FASTLOSS_VEC_BYTES)));
  typedef uint32_t NativeBits __attribute__((vector_size(FASTLOSS_VEC_BYTES)));
};
template <>
struct Lanes<double> {
  using Int = int64_t;
  typedef double Native __attribute__((vector_size(FASTLOSS_VEC_BYTES)));
  typedef int64_t NativeInt __attribute__((vector_size(FASTLOSS_VEC_BYTES)));
  typedef uint64_t NativeBits __attribute__((vector_size(FASTLOSS_VEC_BYTES)));
};

template <class T>
struct Vec {
  static constexpr int size = FASTLOSS_VEC_BYTES / sizeof(T);
  using Int = typename Lanes<T>::Int;
  using Native = typename Lanes<T>::Native;
  using NativeInt = typename Lanes<T>::NativeInt;
  using NativeBits = typename Lanes<T>::NativeBits;  // whose arithmetic may wrap
  Native v;

  Vec() = default;
  FASTLOSS_FN Vec(Native native) : v(native) {}
  FASTLOSS_FN Vec(T scalar) : v(scalar - Native{}) {}  // s - 0 folds to a broadcast; s + 0 would turn -0 into +0

  FASTLOSS_FN friend Vec operator+(Vec a, Vec b) { return a.v + b.v; }
  FASTLOSS_FN friend Vec operator-(Vec a, Vec b) { return a.v - b.v; }
  FASTLOSS_FN friend Vec operator*(Vec a, Vec b) { return a.v * b.v; }
  FASTLOSS_FN friend Vec operator/(Vec a, Vec b) { return a.v / b.v; }
  FASTLOSS_FN friend Vec operator-(Vec a) { return -a.v; }

  FASTLOSS_FN static Vec from_bits(NativeInt bits) { return Vec((Native)bits); }
  FASTLOSS_FN NativeInt bits() const { return (NativeInt)v; }
};

template <class T>
FASTLOSS_FN typename Vec<T>::NativeInt broadcast_int(typename Lanes<T>::Int i) {
  return i - typename Vec<T>::NativeInt{};
}

template <class T>
FASTLOSS_FN typename Vec<T>::NativeInt lane_indices() {
  typename Vec<T>::NativeInt r;
  for (int i = 0; i < Vec<T>::size; ++i) r[i] = i;
  return r;
}

// One bit per lane where the ISA has mask registers, else all ones or all zeros per lane.
#if defined(__AVX512F__)
template <class T>
struct Mask {
  using Bits = __mmask16;
  Bits m;
  FASTLOSS_FN friend Mask operator~(Mask a) { return {(Bits)~a.m}; }
  FASTLOSS_FN friend Mask operator&(Mask a, Mask b) { return {(Bits)(a.m & b.m)}; }
};
FASTLOSS_FN Mask<float> operator<(Vec<float> a, Vec<float> b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ)}; }
FASTLOSS_FN Mask<float> operator==(Vec<float> a, Vec<float> b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_EQ_OQ)}; }
FASTLOSS_FN Mask<double> operator<(Vec<double> a, Vec<double> b) { return {_mm512_cmp_pd_mask(a.v, b.v, _CMP_LT_OQ)}; }
FASTLOSS_FN Mask<double> operator==(Vec<double> a, Vec<double> b) { return {_mm512_cmp_pd_mask(a.v, b.v, _CMP_EQ_OQ)}; }
template <class T>
FASTLOSS_FN Mask<T> lanes_equal(typename Vec<T>::NativeInt a, typename Vec<T>::NativeInt b) {
  if constexpr (sizeof(T) == 4) return {_mm512_cmpeq_epi32_mask((__m512i)a, (__m512i)b)};
  return {_mm512_cmpeq_epi64_mask((__m512i)a, (__m512i)b)};
}
template <class T>
FASTLOSS_FN Mask<T> lanes_differ(typename Vec<T>::NativeInt a, typename Vec<T>::NativeInt b) {
  if constexpr (sizeof(T) == 4) return {_mm512_cmpneq_epi32_mask((__m512i)a, (__m512i)b)};
  return {_mm512_cmpneq_epi64_mask((__m512i)a, (__m512i)b)};
}
template <class T>
FASTLOSS_FN Mask<T> lanes_less(typename Vec<T>::NativeInt a, typename Vec<T>::NativeInt b) {
  if constexpr (sizeof(T) == 4) return {_mm512_cmplt_epi32_mask((__m512i)a, (__m512i)b)};
  return {_mm512_cmplt_epi64_mask((__m512i)a, (__m512i)b)};
}
template <class T>
FASTLOSS_FN Mask<T> first_lanes(int n) {
  return {(typename Mask<T>::Bits)((1u << n) - 1u)};
}
FASTLOSS_FN Vec<float> select(Mask<float> c, Vec<float> a, Vec<float> b) { return _mm512_mask_blend_ps(c.m, b.v, a.v); }
FASTLOSS_FN Vec<double> select(Mask<double> c, Vec<double> a, Vec<double> b) {
  return _mm512_mask_blend_pd((__mmask8)c.m, b.v, a.v);
}
FASTLOSS_FN Vec<float> keep_where(Mask<float> c, Vec<float> a) { return _mm512_maskz_mov_ps(c.m, a.v); }
FASTLOSS_FN Vec<double> keep_where(Mask<double> c, Vec<double> a) { return _mm512_maskz_mov_pd((__mmask8)c.m, a.v); }
#else
template <class T>
struct Mask {
  typename Vec<T>::NativeInt m;
  FASTLOSS_FN friend Mask operator~(Mask a) { return {~a.m}; }
  FASTLOSS_FN friend Mask operator&(Mask a, Mask b) { return {a.m & b.m}; }
};
template <class T>
FASTLOSS_FN Mask<T> operator<(Vec<T> a, Vec<T> b) {
  return {a.v < b.v};
}
template <class T>
FASTLOSS_FN Mask<T> operator==(Vec<T> a, Vec<T> b) {
  return {a.v == b.v};
}
template <class T>
FASTLOSS_FN Mask<T> lanes_equal(typename Vec<T>::NativeInt a, typename Vec<T>::NativeInt b) {
  return {a == b};
}
template <class T>
FASTLOSS_FN Mask<T> lanes_differ(typename Vec<T>::NativeInt a, typename Vec<T>::NativeInt b) {
  return {a != b};
}
template <class T>
FASTLOSS_FN Mask<T> lanes_less(typename Vec<T>::NativeInt a, typename Vec<T>::NativeInt b) {
  return {a < b};
}
template <class T>
FASTLOSS_FN Mask<T> first_lanes(int n) {
  return lanes_less<T>(lane_indices<T>(), broadcast_int<T>(n));
}
template <class T>
FASTLOSS_FN Vec<T> select(Mask<T> c, Vec<T> a, Vec<T> b) {
  return Vec<T>(c.m ? a.v : b.v);
}
// Zero where the mask is false, whatever a holds there (NaN included).
template <class T>
FASTLOSS_FN Vec<T> keep_where(Mask<T> c, Vec<T> a) {
  return Vec<T>::from_bits(a.bits() & c.m);
}
#endif

// Whether the mask is true anywhere.
template <class T>
FASTLOSS_FN bool any(Mask<T> m) {
#if defined(__AVX512F__)
  return (m.m & ((1u << Vec<T>::size) - 1u)) != 0;
#elif defined(__AVX2__)
  return !_mm256_testz_si256((__m256i)m.m, (__m256i)m.m);
#else
  int64_t parts[sizeof(m.m) / sizeof(int64_t)], all = 0;
  memcpy(parts, &m.m, sizeof(parts));
  for (const int64_t part : parts) all |= part;
  return all != 0;
#endif
}

template <class T>
FASTLOSS_FN bool is_true(Mask<T> m, int lane) {
#if defined(__AVX512F__)
  return (m.m >> lane) & 1;
#else
  return m.m[lane] != 0;
#endif
}

// sum + v where the mask is true.
#if defined(__AVX512F__)
FASTLOSS_FN Vec<float> add_where(Mask<float> c, Vec<float> sum, Vec<float> v) {
  return _mm512_mask_add_ps(sum.v, c.m, sum.v, v.v);
}
FASTLOSS_FN Vec<double> add_where(Mask<double> c, Vec<double> sum, Vec<double> v) {
  return _mm512_mask_add_pd(sum.v, (__mmask8)c.m, sum.v, v.v);
}
#else
template <class T>
FASTLOSS_FN Vec<T> add_where(Mask<T> c, Vec<T> sum, Vec<T> v) {
  return sum + keep_where(c, v);
}
#endif

// min, max: b when either is NaN, see Note [Vocabulary] in core/math.h. fma: fused where the ISA fuses.
#if defined(__AVX512F__)
FASTLOSS_FN Vec<float> max(Vec<float> a, Vec<float> b) { return _mm512_max_ps(a.v, b.v); }
FASTLOSS_FN Vec<float> min(Vec<float> a, Vec<float> b) { return _mm512_min_ps(a.v, b.v); }
FASTLOSS_FN Vec<double> max(Vec<double> a, Vec<double> b) { return _mm512_max_pd(a.v, b.v); }
FASTLOSS_FN Vec<double> min(Vec<double> a, Vec<double> b) { return _mm512_min_pd(a.v, b.v); }
FASTLOSS_FN Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) { return _mm512_fmadd_ps(a.v, b.v, c.v); }
FASTLOSS_FN Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) { return _mm512_fmadd_pd(a.v, b.v, c.v); }
#elif defined(__AVX2__)
FASTLOSS_FN Vec<float> max(Vec<float> a, Vec<float> b) { return _mm256_max_ps(a.v, b.v); }
FASTLOSS_FN Vec<float> min(Vec<float> a, Vec<float> b) { return _mm256_min_ps(a.v, b.v); }
FASTLOSS_FN Vec<double> max(Vec<double> a, Vec<double> b) { return _mm256_max_pd(a.v, b.v); }
FASTLOSS_FN Vec<double> min(Vec<double> a, Vec<double> b) { return _mm256_min_pd(a.v, b.v); }
FASTLOSS_FN Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) { return _mm256_fmadd_ps(a.v, b.v, c.v); }
FASTLOSS_FN Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) { return _mm256_fmadd_pd(a.v, b.v, c.v); }
#else
#if defined(__SSE2__)
FASTLOSS_FN Vec<float> max(Vec<float> a, Vec<float> b) { return _mm_max_ps(a.v, b.v); }
FASTLOSS_FN Vec<float> min(Vec<float> a, Vec<float> b) { return _mm_min_ps(a.v, b.v); }
FASTLOSS_FN Vec<double> max(Vec<double> a, Vec<double> b) { return _mm_max_pd(a.v, b.v); }
FASTLOSS_FN Vec<double> min(Vec<double> a, Vec<double> b) { return _mm_min_pd(a.v, b.v); }
#else
template <class T>
FASTLOSS_FN Vec<T> max(Vec<T> a, Vec<T> b) {
  return select(b < a, a, b);
}
template <class T>
FASTLOSS_FN Vec<T> min(Vec<T> a, Vec<T> b) {
  return select(a < b, a, b);
}
#endif
template <class T>
FASTLOSS_FN Vec<T> fma(Vec<T> a, Vec<T> b, Vec<T> c) {
  return a * b + c;  // contracted where the target has it (NEON); plain on SSE2
}
#endif

template <class T>
FASTLOSS_FN Vec<T> abs(Vec<T> a) {
  return Vec<T>::from_bits(a.bits() & ~Vec<T>((T)-0.0).bits());
}
#if defined(__AVX512F__)
FASTLOSS_FN Vec<float> sqrt(Vec<float> a) { return _mm512_sqrt_ps(a.v); }
FASTLOSS_FN Vec<double> sqrt(Vec<double> a) { return _mm512_sqrt_pd(a.v); }
#elif defined(__AVX2__)
FASTLOSS_FN Vec<float> sqrt(Vec<float> a) { return _mm256_sqrt_ps(a.v); }
FASTLOSS_FN Vec<double> sqrt(Vec<double> a) { return _mm256_sqrt_pd(a.v); }
#elif defined(__SSE2__)
FASTLOSS_FN Vec<float> sqrt(Vec<float> a) { return _mm_sqrt_ps(a.v); }
FASTLOSS_FN Vec<double> sqrt(Vec<double> a) { return _mm_sqrt_pd(a.v); }
#else
FASTLOSS_FN Vec<float> sqrt(Vec<float> a) {
  for (int i = 0; i < Vec<float>::size; ++i) a.v[i] = __builtin_sqrtf(a.v[i]);
  return a;
}
FASTLOSS_FN Vec<double> sqrt(Vec<double> a) {
  for (int i = 0; i < Vec<double>::size; ++i) a.v[i] = __builtin_sqrt(a.v[i]);
  return a;
}
#endif

// The value itself, as a number of its own: the compiler may not contract the product it comes from into a following
// addition. That would round differently from place to place, and a product that overflows would not be infinite in it:
// exp(inf) - inf would be -inf instead of NaN.
template <class T>
FASTLOSS_FN Vec<T> rounded(Vec<T> a) {
#if defined(__x86_64__)
  asm("" : "+v"(a.v));
#elif defined(__aarch64__)
  asm("" : "+w"(a.v));
#endif
  return a;
}

// As core/math.h has it.
template <class T>
FASTLOSS_FN Vec<T> constant(Vec<T> a) {
  return a;
}

// Horizontal reductions, always as a balanced tree over the lanes: same bits on every call.
template <class T, class F>
FASTLOSS_FN T reduce_lanes(Vec<T> a, F combine) {
  T lane[Vec<T>::size];
  memcpy(lane, &a, sizeof(a));
  for (int width = Vec<T>::size / 2; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) lane[i] = combine(lane[i], lane[i + width]);
  }
  return lane[0];
}
#if defined(__AVX512F__)
FASTLOSS_FN __m256 lower_half(Vec<float> a) { return _mm512_castps512_ps256(a.v); }
FASTLOSS_FN __m256 upper_half(Vec<float> a) {
  return _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(a.v), 1));
}
FASTLOSS_FN __m256 add_halves(Vec<float> a) { return _mm256_add_ps(lower_half(a), upper_half(a)); }
FASTLOSS_FN __m256 max_halves(Vec<float> a) { return _mm256_max_ps(lower_half(a), upper_half(a)); }
FASTLOSS_FN __m256d add_halves(Vec<double> a) {
  return _mm256_add_pd(_mm512_castpd512_pd256(a.v), _mm512_extractf64x4_pd(a.v, 1));
}
#elif defined(__AVX2__)
FASTLOSS_FN __m256 add_halves(Vec<float> a) { return a.v; }
FASTLOSS_FN __m256 max_halves(Vec<float> a) { return a.v; }
FASTLOSS_FN __m256d add_halves(Vec<double> a) { return a.v; }
#endif
#if defined(__AVX2__)
FASTLOSS_FN float reduce_add(Vec<float> a) {
  const __m256 b = add_halves(a);
  __m128 c = _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
  c = _mm_add_ps(c, _mm_movehl_ps(c, c));
  return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}
FASTLOSS_FN float reduce_max(Vec<float> a) {
  const __m256 b = max_halves(a);
  __m128 c = _mm_max_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
  c = _mm_max_ps(c, _mm_movehl_ps(c, c));
  return _mm_cvtss_f32(_mm_max_ss(c, _mm_movehdup_ps(c)));
}
FASTLOSS_FN double reduce_add(Vec<double> a) {
  const __m256d b = add_halves(a);
  const __m128d c = _mm_add_pd(_mm256_castpd256_pd128(b), _mm256_extractf128_pd(b, 1));
  return _mm_cvtsd_f64(_mm_add_sd(c, _mm_unpackhi_pd(c, c)));
}
#else
FASTLOSS_FN float reduce_add(Vec<float> a) {
  return reduce_lanes(a, [](float x, float y) { return x + y; });
}
FASTLOSS_FN float reduce_max(Vec<float> a) {
  return reduce_lanes(a, [](float x, float y) { return x > y ? x : y; });
}
FASTLOSS_FN double reduce_add(Vec<double> a) {
  return reduce_lanes(a, [](double x, double y) { return x + y; });
}
#endif
FASTLOSS_FN double reduce_max(Vec<double> a) {
  return reduce_lanes(a, [](double x, double y) { return x > y ? x : y; });
}

// Loads and stores convert between the stored type S and the computing type T of core/compute.h.
typedef uint16_t Bits16 __attribute__((vector_size(FASTLOSS_VEC_BYTES / 2)));
typedef uint32_t Bits32 __attribute__((vector_size(FASTLOSS_VEC_BYTES)));

FASTLOSS_FN Vec<float> load(const float* p) {
  Vec<float> r;
  memcpy(&r, p, sizeof(r));
  return r;
}
FASTLOSS_FN Vec<double> load(const double* p) {
  Vec<double> r;
  memcpy(&r, p, sizeof(r));
  return r;
}
FASTLOSS_FN Vec<float> load(const BFloat16* p) {
#if defined(__AVX512F__)
  // Each to the upper half of its lane in one step, which a conversion and a shift take two for.
  const __m512i words = _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i*)p));
  const __m512i order =
      _mm512_set_epi32(0x000f0000, 0x000e0000, 0x000d0000, 0x000c0000, 0x000b0000, 0x000a0000, 0x00090000, 0x00080000,
                       0x00070000, 0x00060000, 0x00050000, 0x00040000, 0x00030000, 0x00020000, 0x00010000, 0x00000000);
  return _mm512_castsi512_ps(_mm512_maskz_permutexvar_epi16(0xaaaaaaaa, order, words));
#elif defined(__AVX2__)  // GCC converts vectors of eight in two halves
  const __m256i words = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i*)p));
  return _mm256_castsi256_ps(_mm256_slli_epi32(words, 16));
#else
  Bits16 h;
  memcpy(&h, p, sizeof(h));
  const Bits32 w = __builtin_convertvector(h, Bits32);
  return Vec<float>((Vec<float>::Native)(w << 16));
#endif
}
FASTLOSS_FN Vec<float> load(const Half* p) {
#if defined(__AVX512F__)
  return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)p));
#elif defined(__F16C__)
  return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)p));
#else
  // Exponent and mantissa moved into float's place, then rebased by 2^112; the product also normalises subnormals.
  Bits16 h;
  memcpy(&h, p, sizeof(h));
  const Bits32 w = __builtin_convertvector(h, Bits32);
  const Bits32 magnitude = w & 0x7fffu;
  const Vec<float>::Native scaled = (Vec<float>::Native)(magnitude << 13) * 0x1p112f;
  Bits32 bits = (Bits32)scaled;
  bits |= (Bits32)(magnitude >= 0x7c00u) & 0x7f800000u;
  bits |= (w & 0x8000u) << 16;
  return Vec<float>((Vec<float>::Native)bits);
#endif
}

// Lanes of the computing type as doubles: two vectors for float, itself for double.
typedef float HalfFloats __attribute__((vector_size(FASTLOSS_VEC_BYTES / 2)));
struct Wide {
  Vec<double> low, high;
  FASTLOSS_FN friend Wide operator+(Wide a, Wide b) { return {a.low + b.low, a.high + b.high}; }
  FASTLOSS_FN friend Wide operator*(Wide a, Wide b) { return {a.low * b.low, a.high * b.high}; }
};
FASTLOSS_FN Wide widen(Vec<float> a) {
#if defined(__AVX512F__)
  return {_mm512_cvtps_pd(lower_half(a)), _mm512_cvtps_pd(upper_half(a))};
#elif defined(__AVX2__)
  return {_mm256_cvtps_pd(_mm256_castps256_ps128(a.v)), _mm256_cvtps_pd(_mm256_extractf128_ps(a.v, 1))};
#else
  HalfFloats half[2];
  memcpy(half, &a, sizeof(a));
  return {__builtin_convertvector(half[0], Lanes<double>::Native),
          __builtin_convertvector(half[1], Lanes<double>::Native)};
#endif
}
FASTLOSS_FN Vec<double> widen(Vec<double> a) { return a; }
FASTLOSS_FN Vec<double> fold(Wide a) { return a.low + a.high; }
FASTLOSS_FN Vec<double> fold(Vec<double> a) { return a; }
FASTLOSS_FN double reduce_add(Wide a) { return reduce_add(fold(a)); }
FASTLOSS_FN void store(double* p, Wide a) { memcpy(p, &a, sizeof(a)); }
FASTLOSS_FN void store_narrow(float* p, Vec<double> a) {
  const HalfFloats half = __builtin_convertvector(a.v, HalfFloats);
  memcpy(p, &half, sizeof(half));
}
FASTLOSS_FN void store_narrow(double* p, Vec<double> a) { memcpy(p, &a, sizeof(a)); }

FASTLOSS_FN void store(float* p, Vec<float> a) { memcpy(p, &a, sizeof(a)); }
FASTLOSS_FN void store(double* p, Vec<double> a) { memcpy(p, &a, sizeof(a)); }

// Round to nearest even; a NaN stays one (its payload's top bit is set). The instruction of AVX512_BF16 turns subnormals
// into zeros: 1e-38 of absolute error.
#if defined(__AVX2__) && !defined(__AVX512F__)
// Each in the low half of its lane.
FASTLOSS_FN __m256i bfloat16_lanes(Vec<float> a) {
  const __m256i w = _mm256_castps_si256(a.v), odd = _mm256_and_si256(_mm256_srli_epi32(w, 16), _mm256_set1_epi32(1));
  const __m256i up = _mm256_add_epi32(_mm256_add_epi32(w, _mm256_set1_epi32(0x7fff)), odd);
  const __m256i quiet = _mm256_or_si256(w, _mm256_set1_epi32(0x400000));
  const __m256 nan = _mm256_cmp_ps(a.v, a.v, _CMP_UNORD_Q);
  const __m256 kept = _mm256_blendv_ps(_mm256_castsi256_ps(up), _mm256_castsi256_ps(quiet), nan);
  return _mm256_srli_epi32(_mm256_castps_si256(kept), 16);
}
#endif
FASTLOSS_FN Bits16 to_bfloat16(Vec<float> a) {
#if defined(__AVX512BF16__)
  return (Bits16)_mm512_cvtneps_pbh(a.v);
#elif defined(__AVX512F__)
  const __m512i w = _mm512_castps_si512(a.v);
  const __m512i even = _mm512_add_epi32(w, _mm512_set1_epi32(0x7fff));
  const __mmask16 odd = _mm512_test_epi32_mask(w, _mm512_set1_epi32(0x10000));
  const __m512i up = _mm512_mask_add_epi32(even, odd, even, _mm512_set1_epi32(1));
  const __mmask16 nan = _mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q);
  const __m512i kept = _mm512_mask_or_epi32(up, nan, w, _mm512_set1_epi32(0x400000));
  return (Bits16)_mm512_cvtepi32_epi16(_mm512_srli_epi32(kept, 16));
#elif defined(__AVX2__)
  const __m256i lanes = bfloat16_lanes(a);
  return (Bits16)_mm256_castsi256_si128(_mm256_permute4x64_epi64(_mm256_packus_epi32(lanes, lanes), 0x08));
#else
  const Bits32 w = (Bits32)a.v;
  const Bits32 rounded = (w + 0x7fffu + ((w >> 16) & 1u)) >> 16;
  const Bits32 nan = (w >> 16) | 0x40u;
  const Bits32 is_nan = (Bits32)(a.v != a.v);
  return __builtin_convertvector((is_nan & nan) | (~is_nan & rounded), Bits16);
#endif
}
FASTLOSS_FN Bits16 to_half(Vec<float> a) {
#if defined(__AVX512F__)
  return (Bits16)_mm512_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT);
#elif defined(__F16C__)
  return (Bits16)_mm256_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT);
#else
  // Round to nearest even in integers; below 2^-14 adding 0.5 lets the float adder round at half's subnormal step.
  const Bits32 w = (Bits32)a.v;
  const Bits32 sign = (w >> 16) & 0x8000u;
  const Bits32 magnitude = w & 0x7fffffffu;
  const Bits32 normal = (magnitude + 0xc8000fffu + ((magnitude >> 13) & 1u)) >> 13;
  const Bits32 subnormal = (Bits32)((Vec<float>::Native)magnitude + 0.5f) - 0x3f000000u;
  const Bits32 is_small = (Bits32)(magnitude < 0x38800000u);
  const Bits32 is_big = (Bits32)(magnitude >= 0x477ff000u);
  const Bits32 is_nan = (Bits32)(magnitude > 0x7f800000u);
  const Bits32 big = 0x7c00u | (is_nan & 0x200u);
  const Bits32 finite = (is_small & subnormal) | (~is_small & normal);
  return __builtin_convertvector(((is_big & big) | (~is_big & finite)) | sign, Bits16);
#endif
}
FASTLOSS_FN void store(BFloat16* p, Vec<float> a) {
  const Bits16 h = to_bfloat16(a);
  memcpy(p, &h, sizeof(h));
}
FASTLOSS_FN void store(Half* p, Vec<float> a) {
  const Bits16 h = to_half(a);
  memcpy(p, &h, sizeof(h));
}

// Streaming stores bypass the caches: for outputs far larger than the last level they save reading each line
// before it is overwritten. One takes stream_vectors<S>() vectors, as many as fill a register: lines filled by halves cost
// more than they save (csrc/README.md). The address must be aligned to kStreamAlignment; fence with stream_fence().
constexpr int kStreamAlignment = FASTLOSS_VEC_BYTES;
template <class S>
constexpr int stream_vectors() {
  return (int)(sizeof(typename Compute<S>::type) / sizeof(S));
}
FASTLOSS_FN void stream_register(void* p, const void* source) {
#if defined(__AVX512F__)
  _mm512_stream_si512((__m512i*)p, _mm512_loadu_si512(source));
#elif defined(__AVX2__)
  _mm256_stream_si256((__m256i*)p, _mm256_loadu_si256((const __m256i*)source));
#elif defined(__SSE2__)
  _mm_stream_si128((__m128i*)p, _mm_loadu_si128((const __m128i*)source));
#else
  memcpy(p, source, FASTLOSS_VEC_BYTES);
#endif
}
FASTLOSS_FN void stream(float* p, const Vec<float> (&a)[1]) { stream_register(p, a); }
FASTLOSS_FN void stream(double* p, const Vec<double> (&a)[1]) { stream_register(p, a); }
// Joined in registers: a whole load from two half stores would wait for both to leave the store buffer.
FASTLOSS_FN void stream_halves(void* p, Bits16 low, Bits16 high) {
#if defined(__AVX512F__)
  const __m512i whole = _mm512_inserti64x4(_mm512_castsi256_si512((__m256i)low), (__m256i)high, 1);
#elif defined(__AVX2__)
  const __m256i whole = _mm256_inserti128_si256(_mm256_castsi128_si256((__m128i)low), (__m128i)high, 1);
#else
  const Bits16 whole[2] = {low, high};
#endif
  stream_register(p, &whole);
}
FASTLOSS_FN void stream(BFloat16* p, const Vec<float> (&a)[2]) {
#if defined(__AVX512BF16__)
  const auto whole = _mm512_cvtne2ps_pbh(a[1].v, a[0].v);
  stream_register(p, &whole);
#elif defined(__AVX2__) && !defined(__AVX512F__)
  const __m256i lanes = _mm256_packus_epi32(bfloat16_lanes(a[0]), bfloat16_lanes(a[1]));
  const __m256i whole = _mm256_permute4x64_epi64(lanes, 0xd8);  // packing goes by halves of a register
  stream_register(p, &whole);
#else
  stream_halves(p, to_bfloat16(a[0]), to_bfloat16(a[1]));
#endif
}
FASTLOSS_FN void stream(Half* p, const Vec<float> (&a)[2]) { stream_halves(p, to_half(a[0]), to_half(a[1])); }
// What a loop of streaming stores writes at a time: line_size<streamed, S>() values, of(0) the first vector of them, of(W)
// the next. Without `streamed` one vector, stored the ordinary way.
template <bool streamed, class S>
constexpr int line_size() {
  return Vec<typename Compute<S>::type>::size * (streamed ? stream_vectors<S>() : 1);
}
template <bool streamed, class S, class Of>
FASTLOSS_FN void put_line(S* p, Of of) {
  using V = Vec<typename Compute<S>::type>;
  if constexpr (streamed) {
    V v[stream_vectors<S>()];
    for (int k = 0; k < stream_vectors<S>(); ++k) v[k] = of(k * V::size);
    stream(p, v);
  } else {
    store(p, of(0));
  }
}
FASTLOSS_FN void stream_fence() {
#if defined(__SSE2__)
  _mm_sfence();
#endif
}

// Partial vectors: the first n lanes; missing lanes of a load hold `fill`, missing lanes of a store are dropped.
template <class S, class T = typename Compute<S>::type>
FASTLOSS_FN Vec<T> load_partial(const S* p, int n, T fill) {
  S padded[Vec<T>::size] = {};
  for (int i = 0; i < n; ++i) padded[i] = p[i];
  return select(first_lanes<T>(n), load(padded), Vec<T>(fill));
}
template <class S, class T>
FASTLOSS_FN void store_partial(S* p, int n, Vec<T> a) {
  S padded[Vec<T>::size];
  store(padded, a);
  for (int i = 0; i < n; ++i) p[i] = padded[i];
}
#if defined(__AVX512F__)
FASTLOSS_FN Vec<float> load_partial(const float* p, int n, float fill) {
  return _mm512_mask_loadu_ps(Vec<float>(fill).v, first_lanes<float>(n).m, p);
}
FASTLOSS_FN void store_partial(float* p, int n, Vec<float> a) {
  _mm512_mask_storeu_ps(p, first_lanes<float>(n).m, a.v);
}
template <class S>
FASTLOSS_FN Vec<float> load_partial_half(const S* p, int n, float fill) {
  const __mmask16 lanes = first_lanes<float>(n).m;
  S padded[Vec<float>::size];
  _mm256_storeu_si256((__m256i*)padded, _mm256_maskz_loadu_epi16(lanes, p));
  return _mm512_mask_mov_ps(Vec<float>(fill).v, lanes, load(padded).v);
}
FASTLOSS_FN Vec<float> load_partial(const BFloat16* p, int n, float fill) { return load_partial_half(p, n, fill); }
FASTLOSS_FN Vec<float> load_partial(const Half* p, int n, float fill) { return load_partial_half(p, n, fill); }
FASTLOSS_FN void store_partial(BFloat16* p, int n, Vec<float> a) {
  _mm256_mask_storeu_epi16(p, first_lanes<float>(n).m, (__m256i)to_bfloat16(a));
}
FASTLOSS_FN void store_partial(Half* p, int n, Vec<float> a) {
  _mm256_mask_storeu_epi16(p, first_lanes<float>(n).m, (__m256i)to_half(a));
}
#elif defined(__AVX2__)
FASTLOSS_FN Vec<float> load_partial(const float* p, int n, float fill) {
  const __m256i lanes = (__m256i)first_lanes<float>(n).m;
  return _mm256_blendv_ps(Vec<float>(fill).v, _mm256_maskload_ps(p, lanes), (__m256)lanes);
}
FASTLOSS_FN void store_partial(float* p, int n, Vec<float> a) {
  _mm256_maskstore_ps(p, (__m256i)first_lanes<float>(n).m, a.v);
}
#endif

// The first n lanes, which may be all.
template <class S, class T = typename Compute<S>::type>
FASTLOSS_FN Vec<T> load_lanes(const S* p, int n) {
  return FASTLOSS_LIKELY(n == Vec<T>::size) ? load(p) : load_partial(p, n, (T)0);
}
template <class S, class T>
FASTLOSS_FN void store_lanes(S* p, int n, Vec<T> a) {
  FASTLOSS_LIKELY(n == Vec<T>::size) ? store(p, a) : store_partial(p, n, a);
}
// Calls body(j, n) for the vectors of so many elements. There is one copy of the body: compilers take their time over each.
template <class S, class Body>
FASTLOSS_FN void for_vectors(int64_t elements, const Body& body) {
  constexpr int W = Vec<typename Compute<S>::type>::size;
  for (int64_t j = 0; j < elements; j += W) body(j, elements - j < W ? (int)(elements - j) : W);
}

// Lanes whose bool is true.
#if defined(__AVX512F__)
template <class T>
FASTLOSS_FN Mask<T> load_mask(const Flag* p) {
  if constexpr (sizeof(T) == 4) {
    const __m512i lanes = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i*)p));
    return {_mm512_test_epi32_mask(lanes, lanes)};
  } else {
    const __m512i lanes = _mm512_cvtepu8_epi64(_mm_loadl_epi64((const __m128i*)p));
    return {_mm512_test_epi64_mask(lanes, lanes)};
  }
}
#else
template <class T>
FASTLOSS_FN Mask<T> load_mask(const Flag* p) {
  typename Vec<T>::NativeInt lanes;
  for (int i = 0; i < Vec<T>::size; ++i) lanes[i] = p[i];
  return lanes_differ<T>(lanes, typename Vec<T>::NativeInt{});
}
#endif

// store_partial for n lanes that end where streaming stores begin. A masked store from p would reach into the line that is
// streamed next, and fetch it from memory only for it to be thrown out (csrc/README.md): this one begins where that of a
// whole vector ending there would.
template <class S, class T>
FASTLOSS_FN void store_head(S* p, int n, Vec<T> a) {
  S padded[Vec<T>::size];
  store(padded, a);
  for (int i = 0; i < n; ++i) p[i] = padded[i];
}
#if defined(__AVX512F__)
// The first n lanes moved to the end, the others before them.
FASTLOSS_FN Vec<float> rotate_to_end(Vec<float> a, int n) {
  const auto source = lane_indices<float>() + broadcast_int<float>(n);  // modulo 16
  return _mm512_permutexvar_ps((__m512i)source, a.v);
}
FASTLOSS_FN __mmask16 last_lanes(int n) { return (__mmask16)(0xffffu << (16 - n)); }
FASTLOSS_FN void store_head(float* p, int n, Vec<float> a) {
  _mm512_mask_storeu_ps(p + n - 16, last_lanes(n), rotate_to_end(a, n).v);
}
FASTLOSS_FN void store_head(BFloat16* p, int n, Vec<float> a) {
  _mm256_mask_storeu_epi16(p + n - 16, last_lanes(n), (__m256i)to_bfloat16(rotate_to_end(a, n)));
}
FASTLOSS_FN void store_head(Half* p, int n, Vec<float> a) {
  _mm256_mask_storeu_epi16(p + n - 16, last_lanes(n), (__m256i)to_half(rotate_to_end(a, n)));
}
#endif

template <class S>
FASTLOSS_FN auto load_one(const S* p) {
  using T = typename Compute<S>::type;
  S padded[Vec<T>::size];
  memset(padded, 0, sizeof(padded));
  padded[0] = *p;
  return (T)load(padded).v[0];
}
FASTLOSS_FN float load_one(const float* p) { return *p; }
FASTLOSS_FN double load_one(const double* p) { return *p; }
template <class S, class T>
FASTLOSS_FN void store_one(S* p, T value) {
  S padded[Vec<T>::size];
  store(padded, Vec<T>(value));
  *p = padded[0];
}

// Lanes of a and b taken in turn, from their lower and upper halves. (clang has no shuffle with a computed pattern and
// goes through memory.)
template <class T>
FASTLOSS_FN void interleave(Vec<T> a, Vec<T> b, Vec<T>& lower, Vec<T>& upper) {
  constexpr int n = Vec<T>::size;
#if defined(__clang__)
  T from[2][n], to[2 * n];
  memcpy(from[0], &a, sizeof(a));
  memcpy(from[1], &b, sizeof(b));
  for (int i = 0; i < 2 * n; ++i) to[i] = from[i % 2][i / 2];
  memcpy(&lower, to, sizeof(lower));
  memcpy(&upper, to + n, sizeof(upper));
#else
  typename Vec<T>::NativeInt low, high;
  for (int i = 0; i < n / 2; ++i) {
    low[2 * i] = i;
    low[2 * i + 1] = i + n;
    high[2 * i] = i + n / 2;
    high[2 * i + 1] = i + n / 2 + n;
  }
  lower = Vec<T>(__builtin_shuffle(a.v, b.v, low));
  upper = Vec<T>(__builtin_shuffle(a.v, b.v, high));
#endif
}

// The way back: lanes of even and of odd places in a and, after it, b.
template <class T>
FASTLOSS_FN void separate(Vec<T> a, Vec<T> b, Vec<T>& even, Vec<T>& odd) {
#if defined(__clang__)
  constexpr int n = Vec<T>::size;
  T from[2 * n], to[2][n];
  memcpy(from, &a, sizeof(a));
  memcpy(from + n, &b, sizeof(b));
  for (int i = 0; i < 2 * n; ++i) to[i % 2][i / 2] = from[i];
  memcpy(&even, to[0], sizeof(even));
  memcpy(&odd, to[1], sizeof(odd));
#else
  const typename Vec<T>::NativeInt first = lane_indices<T>() + lane_indices<T>();
  even = Vec<T>(__builtin_shuffle(a.v, b.v, first));
  odd = Vec<T>(__builtin_shuffle(a.v, b.v, first + 1));
#endif
}

// Elements of four adjacent components as a vector of each component, and back.
template <class S, class T>
FASTLOSS_FN void load_fours(const S* p, Vec<T>* v) {
  constexpr int n = Vec<T>::size;
  Vec<T> even[2], odd[2];
  separate(load(p), load(p + n), even[0], odd[0]);
  separate(load(p + 2 * n), load(p + 3 * n), even[1], odd[1]);
  separate(even[0], even[1], v[0], v[2]);
  separate(odd[0], odd[1], v[1], v[3]);
}
template <class T>
FASTLOSS_FN void mix_fours(Vec<T> a, Vec<T> b, Vec<T> c, Vec<T> d, Vec<T>* to) {
  Vec<T> even[2], odd[2];
  interleave(a, c, even[0], even[1]);
  interleave(b, d, odd[0], odd[1]);
  interleave(even[0], odd[0], to[0], to[1]);
  interleave(even[1], odd[1], to[2], to[3]);
}

// Transposes size x size lanes: log2(size) rounds of interleaving row i with row i + size / 2.
template <class T>
FASTLOSS_FN void transpose(Vec<T> (&rows)[Vec<T>::size]) {
  constexpr int n = Vec<T>::size;
#pragma GCC unroll 4
  for (int round = 1; round < n; round *= 2) {
    Vec<T> next[n];
#pragma GCC unroll 16
    for (int i = 0; i < n / 2; ++i) interleave(rows[i], rows[i + n / 2], next[2 * i], next[2 * i + 1]);
#pragma GCC unroll 16
    for (int i = 0; i < n; ++i) rows[i] = next[i];
  }
}

// Lane i of the result combines all lanes of rows[i]; a third of the work of size horizontal reductions. Each row's
// lanes are combined in the same tree wherever the row stands.
template <class T, class F>
FASTLOSS_FN Vec<T> reduce_each(const Vec<T> (&rows)[Vec<T>::size], F combine) {
  constexpr int n = Vec<T>::size;
  Vec<T> part[n];
#pragma GCC unroll 16
  for (int i = 0; i < n; ++i) part[i] = rows[i];
#pragma GCC unroll 4
  for (int half = n / 2; half > 0; half /= 2) {
#pragma GCC unroll 8
    for (int i = 0; i < half; ++i) {
      Vec<T> lower, upper;
      interleave(part[i], part[i + half], lower, upper);
      part[i] = combine(lower, upper);
    }
  }
  return part[0];
}

}  // namespace
}  // namespace fastloss::FASTLOSS_ISA
