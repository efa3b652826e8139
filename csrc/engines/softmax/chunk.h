#pragma once

// Loops over a chunk: adjacent classes of one row, in the tensor itself or staged. What the engines of Note [Two engines]
// with lanes over the classes have in common.

#include "simd/lane_sum.h"
#include "engines/softmax/cpu_base.h"
#include "simd/vec_math.h"

namespace fastloss::FASTLOSS_ISA {
namespace {

constexpr int64_t kChunk = 4096;  // classes; 16 KiB of float: L1 holds the logits' chunk and the scratch's
constexpr int64_t kGroup = 64;    // rows at most

// Rows measured before their formulas run together: enough to hide the latency of those, in whole vectors of double,
// few enough for the exponentials of two groups (Note [Short rows]) to take half of L1 where that leaves 8 (65536x80: 24
// rows 0.43 ns per logit, 25 rows 0.48, 48 rows 0.57; 8192x1000 in bfloat16: 4 rows 0.36, 8 rows 0.33). Rows of several
// chunks go alone, since chunk_max holds one row's.
template <class T>
int64_t group_rows(int64_t classes) {
  if (classes > kChunk) return 1;
  const int64_t fit = 8 * 1024 / (classes * (int64_t)sizeof(T));
  const int64_t least = classes <= kShortRow ? 8 : 4;
  return fit < least ? least : fit > kGroup ? kGroup : fit / least * least;
}

// The lane of `class_` in a vector of the classes from `begin` on.
template <class T>
FASTLOSS_FN Mask<T> is_at(int64_t class_, int64_t begin) {
  return lanes_equal<T>(lane_indices<T>(), broadcast_int<T>((typename Vec<T>::Int)(class_ - begin)));
}

template <class T>
FASTLOSS_FN T exp_of(T x) {
  return exp(Vec<T>(x)).v[0];
}

// Sums of one row, relative to its running maximum m.
template <class T>
struct Running {
  T m = lowest<T>();
  bool empty = true;
  double sum = 0, gap = 0, mass = 0, tilt = 0, plain_gap = 0, plain_mass = 0;
  double skipped = 0;  // exponential of the class that `sum` leaves out, which `tilt` includes

  // Moves the reference from m to a larger one: e^{z-m} shrinks by f, m - z grows by delta.
  void raise(T larger) {
    if (empty || larger != larger) m = larger;
    empty = false;
    if (!(larger > m)) return;
    const double delta = (double)larger - m;
    const double f = exp_of((T)-delta);
    tilt = f == 0 ? 0 : f * (tilt + delta * (sum + skipped));
    skipped = f == 0 ? 0 : f * skipped;
    sum = f == 0 && sum <= (double)-lowest<T>() ? 0 : f * sum;
    if (mass != 0) gap += delta * mass;
    if (plain_mass != 0) plain_gap += delta * plain_mass;
    m = larger;
  }
};

// Of n adjacent values; the largest lane is the maximum.
template <class P>
FASTLOSS_FN auto chunk_maxima(const P* z, int64_t n) {
  using T = typename Compute<P>::type;
  using V = Vec<T>;
  constexpr int W = V::size;
  V m0(lowest<T>()), m1 = m0, m2 = m0, m3 = m0;
  int64_t i = 0;
  for (; i + 4 * W <= n; i += 4 * W) {
    m0 = max(m0, load(z + i));
    m1 = max(m1, load(z + i + W));
    m2 = max(m2, load(z + i + 2 * W));
    m3 = max(m3, load(z + i + 3 * W));
  }
  for (; i + W <= n; i += W) m0 = max(m0, load(z + i));
  if (i < n) m1 = max(m1, load_partial(z + i, (int)(n - i), lowest<T>()));
  return max(max(m0, m1), max(m2, m3));
}
#if defined(__AVX512BW__)
// bfloat16 orders like its bits once negative ones are flipped: 32 lanes a step and no conversion. (A positive NaN
// comes out largest, a negative one smallest; either makes the sum NaN.)
FASTLOSS_FN Vec<float> chunk_maxima(const BFloat16* z, int64_t n) {
  const auto key = [](__m512i v) {
    const __m512i flip = _mm512_and_si512(_mm512_srai_epi16(v, 15), _mm512_set1_epi16(0x7fff));
    return _mm512_xor_si512(v, flip);
  };
  const __m512i minus_infinity = _mm512_set1_epi16((short)0xff80);
  __m512i m0 = key(minus_infinity), m1 = m0;
  int64_t i = 0;
  for (; i + 64 <= n; i += 64) {
    m0 = _mm512_max_epi16(m0, key(_mm512_loadu_si512(z + i)));
    m1 = _mm512_max_epi16(m1, key(_mm512_loadu_si512(z + i + 32)));
  }
  for (; i < n; i += 32) {
    const __mmask32 lanes = n - i < 32 ? (1u << (n - i)) - 1u : ~0u;
    m0 = _mm512_max_epi16(m0, key(_mm512_mask_loadu_epi16(minus_infinity, lanes, z + i)));
  }
  const __m512i m = key(_mm512_max_epi16(m0, m1));
  const Vec<float> even = _mm512_castsi512_ps(_mm512_slli_epi32(m, 16));
  const Vec<float> odd = _mm512_castsi512_ps(_mm512_and_si512(m, _mm512_set1_epi32((int)0xffff0000)));
  return max(max(even, odd), Vec<float>(lowest<float>()));
}
#elif defined(__AVX2__)
FASTLOSS_FN Vec<float> chunk_maxima(const BFloat16* z, int64_t n) {  // likewise, 16 lanes a step
  const auto key = [](__m256i v) {
    return _mm256_xor_si256(v, _mm256_and_si256(_mm256_srai_epi16(v, 15), _mm256_set1_epi16(0x7fff)));
  };
  __m256i m0 = key(_mm256_set1_epi16((short)0xff80)), m1 = m0;
  int64_t i = 0;
  for (; i + 32 <= n; i += 32) {
    m0 = _mm256_max_epi16(m0, key(_mm256_loadu_si256((const __m256i*)(z + i))));
    m1 = _mm256_max_epi16(m1, key(_mm256_loadu_si256((const __m256i*)(z + i + 16))));
  }
  const __m256i m = key(_mm256_max_epi16(m0, m1));
  const Vec<float> even = _mm256_castsi256_ps(_mm256_slli_epi32(m, 16));
  const Vec<float> odd = _mm256_castsi256_ps(_mm256_and_si256(m, _mm256_set1_epi32((int)0xffff0000)));
  Vec<float> largest = max(max(even, odd), Vec<float>(lowest<float>()));
  for (; i < n; i += 8) {
    const int left = n - i < 8 ? (int)(n - i) : 8;
    largest = max(largest, left == 8 ? load(z + i) : load_partial(z + i, left, lowest<float>()));
  }
  return largest;
}
#endif

// Whether a row may be measured relative to 0 (Note [Short rows]), by the sum of its exponentials.
FASTLOSS_FN bool in_range(double sum) { return sum > 0x1p-48 && sum < 0x1p48; }

// Asks for logits that come after those of this iteration, so that memory and exp overlap. The hardware's own prefetcher
// stops at page ends and does not see the next row coming. Into L2: L1 is full of exponentials, and what came there early
// would be thrown out again.
template <int bytes>
FASTLOSS_FN void prefetch(const char* p) {
  for (int k = 0; k < bytes; k += 64) __builtin_prefetch(p + k, 0, 2);
}

// `shifted`: relative to m, the maximum; otherwise to 0 (Note [Short rows]), and only `tilt` is relative to m.
template <bool tilted, bool shifted, class T>
FASTLOSS_FN Vec<T> exponential(Vec<T> z, Vec<T> m, Vec<T>& tilt) {
  const Vec<T> d = z - m;
  const Vec<T> e = shifted ? exp_shifted(d) : exp_logit(z);
  // e (m - z); at z = -inf this is 0 * inf, whose limit is 0.
  if (tilted) tilt = tilt + e * min(Vec<T>(-lowest<T>()), -d);
  return e;
}

// e[i] = exp(z[i] - m), or without `shifted` exp(z[i]); returns their sum without element `skip` (negative: none).
template <bool tilted, bool shifted, class P, class T>
double chunk_exponentials(const P* z, T* e, int64_t n, T m, int64_t skip, double& tilt_sum, const char* next) {
  using V = Vec<T>;
  constexpr int W = V::size;
  const V vm(m);
  ShortSum<T> sum;
  V tilt((T)0);
  const int64_t vectors = n / W * W;
  const auto without = [&](V value, int64_t lane) { return keep_where(~is_at<T>(lane, 0), value); };
  const int64_t hole = skip < 0 || skip >= vectors ? vectors : skip / W * W;
  const bool grouped = n > kShortRow;  // else as ShortRows adds, for the same bits
  const auto add = [&](int64_t c, V v) { grouped ? sum.add(v) : sum.add_short(c, v); };
  const auto run = [&](int64_t i, int64_t end) {
    for (; grouped && i + 4 * W <= end; i += 4 * W) {
      if (next) prefetch<4 * W * sizeof(P)>(next + i * sizeof(P));
      const V e0 = exponential<tilted, shifted>(load(z + i), vm, tilt),
              e1 = exponential<tilted, shifted>(load(z + i + W), vm, tilt);
      const V e2 = exponential<tilted, shifted>(load(z + i + 2 * W), vm, tilt);
      const V e3 = exponential<tilted, shifted>(load(z + i + 3 * W), vm, tilt);
      store(e + i, e0), store(e + i + W, e1), store(e + i + 2 * W, e2), store(e + i + 3 * W, e3);
      sum.add((e0 + e1) + (e2 + e3));
    }
    for (; i < end; i += W) {
      const V e0 = exponential<tilted, shifted>(load(z + i), vm, tilt);
      store(e + i, e0);
      add(i, e0);
    }
  };
  run(0, hole);
  if (hole < vectors) {
    const V e0 = exponential<tilted, shifted>(load(z + hole), vm, tilt);
    store(e + hole, e0);
    add(hole, without(e0, skip - hole));
    run(hole + W, vectors);
  }
  if (vectors < n) {
    const V e0 =
        exponential<tilted, shifted>(load_partial(z + vectors, (int)(n - vectors), -(T)__builtin_inf()), vm, tilt);
    store_partial(e + vectors, (int)(n - vectors), e0);
    add(vectors, without(e0, skip - vectors));
  }
  if (tilted) tilt_sum += reduce_add(tilt);
  return reduce_add(sum.wide(n));
}

// sum_c w_c (m - z_c)
template <class P, class T>
double chunk_gap(const P* z, const T* w, int64_t n, T m, double& mass) {
  using V = Vec<T>;
  constexpr int W = V::size;
  V gap((T)0), total((T)0);
  for (int64_t i = 0; i < n; i += W) {
    const int left = n - i < W ? (int)(n - i) : W;
    const V wi = left == W ? load(w + i) : load_partial(w + i, left, (T)0);
    const V zi = left == W ? load(z + i) : load_partial(z + i, left, m);
    gap = fma(wi, V(m) - zi, gap);
    total = total + wi;
  }
  mass += reduce_add(total);
  return reduce_add(gap);
}

// sum_c w_c t'_c (m - z_c), t' = keep t + floor
template <class P, class Q, class T>
double chunk_probability_gap(const P* z, const Q* t, const T* w, int64_t n, T m, T keep, T floor, double& mass) {
  using V = Vec<T>;
  constexpr int W = V::size;
  V gap((T)0), total((T)0);
  for (int64_t i = 0; i < n; i += W) {
    const int left = n - i < W ? (int)(n - i) : W;
    const V ti = left == W ? load(t + i) : load_partial(t + i, left, (T)0);
    const V wi = w ? (left == W ? load(w + i) : load_partial(w + i, left, (T)0)) : V((T)1);
    const V zi = left == W ? load(z + i) : load_partial(z + i, left, m);
    V share = wi * fma(V(keep), ti, V(floor));
    if (left < W) share = keep_where(first_lanes<T>(left), share);
    gap = fma(share, V(m) - zi, gap);
    total = total + share;
  }
  mass += reduce_add(total);
  return reduce_add(gap);
}

// Elements before the first address that streaming stores accept.
template <class Out>
FASTLOSS_FN int64_t stream_head(const Out* g) {
  return (int64_t)(-(uintptr_t)g % kStreamAlignment / sizeof(Out));
}

}  // namespace
}  // namespace fastloss::FASTLOSS_ISA
