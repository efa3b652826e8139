#pragma once

#include "simd/vec.h"

namespace fastloss::FASTLOSS_ISA {
namespace {

// Sums of lanes with their rounding errors kept apart (Dekker's fast two-sum): many small terms are added to one that is
// near the sum (of a peaked softmax, near 1), and each addition would cost half an ULP of it. The two subtractions run on
// adders that exp leaves idle.
template <class T>
struct LaneSum {
  using V = Vec<T>;
  V high{(T)0}, low{(T)0};
  FASTLOSS_FN void add(V v) {
    const V next = high + v;
    low = low + (v - (next - high));
    high = next;
  }
  FASTLOSS_FN auto wide() const {
    const V zero((T)0);  // an infinite sum has left NaN in its rest
    return widen(high) + widen(select(high - high == zero, low, zero));
  }
};

}  // namespace
}  // namespace fastloss::FASTLOSS_ISA
