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

// Eight vectors are added plainly, which few roundings at the size of a large term survive, and their sum
// with its error kept. (Keeping every error takes 15 % more time, none at all leaves the largest gradient error of 1000
// classes at native's.)
template <class T>
struct ShortSum {
  using V = Vec<T>;
  static constexpr int W = V::size;
  LaneSum<T> whole;
  V part{(T)0};
  FASTLOSS_FN void add(V v) { whole.add(v); }
  // A vector of classes from c on.
  FASTLOSS_FN void add_short(int64_t c, V v) {
    if (c != 0 && (uint64_t)c / W % 8 == 0) end_part();
    part = part + v;
  }
  FASTLOSS_FN void end_part() {
    whole.add(part);
    part = V((T)0);
  }
  // Of `classes` terms. What is still the first part has no error to keep, and few classes no time for it: at 80, looking
  // took a fifth of the row.
  FASTLOSS_FN auto wide(int64_t classes) {
    if (classes <= 8 * W) return widen(part);
    end_part();
    return whole.wide();
  }
};

}  // namespace
}  // namespace fastloss::FASTLOSS_ISA
