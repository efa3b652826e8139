#pragma once

#include <stdint.h>

#include "engines/elements/args.h"

// The contract between operators.cpp and the kernels of vectors.

namespace fastloss {

// A tensor of shape (rows, width), adjacent along the width.
struct PairView {
  void* data;  // null: absent
  int64_t row_stride;
  Element type;
};

struct PairArgs {
  int64_t rows, width;
  int64_t task_rows;  // of a CPU task

  PairView operand[kMaxOperands];
  PairView gradient[kMaxOperands];
  // [rows] in the computing type, or null
  const void* label;
  const void* weight;
  const void* upstream;
  const Flag* mask;  // [rows], or null
  void* loss;        // [rows] in the computing type, or null

  double scale;  // factor of every gradient: 1 / divisor, times the upstream of a reduced loss
  double params[4];
  PointSums* sums;  // [tasks]; `outside` unused
  bool want_stats;
};

}  // namespace fastloss
