#pragma once

// Vectors of length one, and the way back: what the similarity engine does before and after its matrix products.

#include "engines/similarity/args.h"
#include "simd/vec_math.h"

namespace fastloss::FASTLOSS_ISA {
namespace {

// The type in which matrix products take vectors of the stored type: CPUs multiply float16 a hundred times slower than float.
template <class S>
struct Products {
  using type = S;
};
template <>
struct Products<Half> {
  using type = float;
};

FASTLOSS_FN Vec<float> narrow(Wide a) {
  float lanes[Vec<float>::size];
  store_narrow(lanes, a.low);
  store_narrow(lanes + Vec<double>::size, a.high);
  return load(lanes);
}
FASTLOSS_FN Vec<double> narrow(Vec<double> a) { return a; }
FASTLOSS_FN Wide operator-(Wide a, Wide b) { return {a.low - b.low, a.high - b.high}; }
template <class T>
FASTLOSS_FN auto wide_constant(double value) {
  if constexpr (sizeof(T) == 4) {
    return Wide{Vec<double>(value), Vec<double>(value)};
  } else {
    return Vec<double>(value);
  }
}

// unit = x / max(|x|, 1e-12), length = that divisor.
template <class S, class Out>
void unit_rows(const UnitArgs& a, int64_t begin, int64_t end) {
  using T = typename Compute<S>::type;
  for (int64_t i = begin; i < end; ++i) {
    const S* const x = (const S*)a.input + i * a.input_stride;
    auto square = wide_constant<T>(0);
    for_vectors<S>(a.width, [&](int64_t j, int n) __attribute__((always_inline)) {
      const auto v = widen(load_lanes(x + j, n));
      square = square + v * v;
    });
    const double norm = __builtin_sqrt(reduce_add(square));
    a.length[i] = norm > kSmallestLength || norm != norm ? norm : kSmallestLength;
    const auto inverse = wide_constant<T>(1 / a.length[i]);
    Out* const unit = (Out*)a.unit + i * a.width;
    for_vectors<S>(a.width, [&](int64_t j, int n) __attribute__((always_inline)) {
      store_lanes(unit + j, n, narrow(widen(load_lanes(x + j, n)) * inverse));
    });
  }
}

// gradient = factor / length (g - unit <unit, g>): what a gradient g of `unit` means for x; or factor g without `unit`.
// Shorter than the smallest length x was divided by a constant, so nothing is subtracted.
template <class G, class S, class Unit>
void unit_rows_backward(const UnitArgs& a, int64_t begin, int64_t end) {
  using T = typename Compute<S>::type;
  for (int64_t i = begin; i < end; ++i) {
    const G* const g = (const G*)a.upstream + i * a.width;
    const Unit* const unit = a.unit ? (const Unit*)a.unit + i * a.width : nullptr;
    double along = 0, factor = a.factor;
    if (unit) {
      factor /= a.length[i];
      if (a.length[i] != kSmallestLength) {
        auto product = wide_constant<T>(0);
        for_vectors<S>(a.width, [&](int64_t j, int n) __attribute__((always_inline)) {
          product = product + widen(load_lanes(g + j, n)) * widen(load_lanes(unit + j, n));
        });
        along = reduce_add(product);
      }
    }
    const auto all = wide_constant<T>(factor), off = wide_constant<T>(along);
    S* const to = (S*)a.gradient + i * a.width;
    for_vectors<S>(a.width, [&](int64_t j, int n) __attribute__((always_inline)) {
      auto v = widen(load_lanes(g + j, n));
      if (unit) v = v - off * widen(load_lanes(unit + j, n));
      store_lanes(to + j, n, narrow(all * v));
    });
  }
}

}  // namespace
}  // namespace fastloss::FASTLOSS_ISA
