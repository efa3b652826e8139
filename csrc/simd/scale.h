#pragma once

#include "simd/vec.h"

namespace fastloss::FASTLOSS_ISA {
namespace {

// data[i] *= factor, in place.
template <class S>
void scale(void* data, int64_t begin, int64_t end, double factor) {
  using T = typename Compute<S>::type;
  constexpr int W = Vec<T>::size;
  S* const p = (S*)data;
  const Vec<T> f((T)factor);
  int64_t i = begin;
  for (; i + W <= end; i += W) store(p + i, load(p + i) * f);
  if (i < end) store_partial(p + i, (int)(end - i), load_partial(p + i, (int)(end - i), (T)0) * f);
}

}  // namespace
}  // namespace fastloss::FASTLOSS_ISA
