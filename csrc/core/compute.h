#pragma once

#include "core/macros.h"

namespace fastloss {

// The type that a stored type computes in: double in double, all others, the half types among them, in float.
template <class S>
struct Compute {
  using type = float;
};
template <>
struct Compute<double> {
  using type = double;
};

// Where the maximum of a row starts: finite, so that -inf minus it stays -inf.
template <class T>
FASTLOSS_FN constexpr T lowest() {
  return sizeof(T) == 4 ? (T)-3.402823466e+38f : (T)-1.7976931348623157e+308;
}

}  // namespace fastloss
