#pragma once

#include "core/math.h"
#include "engines/softmax/args.h"

// The options that change logits. Loops know of them what these functions say, and nothing else: an option more is a line of
// FASTLOSS_ROWS_OPTIONS and its part here. Note [Rows] in contract.h has the formulas.

namespace fastloss {

// Whether the formulas' logits are those in memory.
FASTLOSS_FN bool as_stored(const RowsArgs& a) { return a.softcap == 0 && a.temperature == 1; }

// Whether a gradient is to be multiplied with the slope of each logit.
FASTLOSS_FN bool has_slope(const RowsArgs& a) { return a.softcap != 0; }

// A logit of the formulas from one in memory: capped, then tempered. `slope`: of the cap, left alone without one.
template <class T, class V>
FASTLOSS_FN V logit(const RowsArgs& a, V x, V& slope) {
  if (!has_slope(a)) return a.temperature == 1 ? x : x / V((T)a.temperature);
  V z;
  tanh_and_slope(x * V((T)(1 / a.softcap)), z, slope);
  return z * V((T)(a.softcap / a.temperature));
}

// The upstream gradient that the formulas are given.
template <class T, class V>
FASTLOSS_FN V upstream_of_logits(const RowsArgs& a, V upstream) {
  return upstream * V((T)(1 / a.temperature));
}

}  // namespace fastloss
