#pragma once

#include <stdint.h>

#include "core/dtype.h"

// The contract between operators.cpp (tensors, threads) and the ISA files (raw pointers, one thread). Plain C on purpose.

namespace fastloss {

// A tensor of logits' shape seen as rows x classes. Rows are numbered over `dims` collapsed dimensions, outermost
// first; strides count elements.
constexpr int kMaxRowDims = 6;

struct RowsView {
  void* data;
  int64_t class_stride;
  int64_t row_stride[kMaxRowDims];
};

// What a task of rows adds up to; summed over tasks in order, so the result does not depend on the threads.
struct RowsSums {
  double loss;
  double count;
  double correct;
  double entropy;
  double nll;
  double lse;
  double gradient_square;
};

// What every loss over rows takes besides tensors: type, name, and the value that changes nothing. The members of RowsArgs,
// what the operators read, and what Python knows of them (`_C.rows_options`) follow from this list.
#define FASTLOSS_ROWS_OPTIONS(X)   \
  X(double, label_smoothing, 0)    \
  X(double, z_loss, 0)             \
  X(double, softcap, 0) /* none */ \
  X(double, temperature, 1)        \
  X(int64_t, ignore_index, -100)

struct RowsArgs {
  int64_t rows;
  int64_t classes;
  int64_t task_rows;  // rows per task, from the shape alone
  int dims;
  int64_t size[kMaxRowDims];

  RowsView logits;
  RowsView gradient;              // data null: no gradient wanted
  RowsView probability;           // data null: index targets
  RowsView probability_gradient;  // backward only, data null: not wanted
  Element probability_type;       // of both

  const int64_t* target;  // [rows], index targets
  const Flag* mask;       // [rows] or null
  const void* weight;     // [classes] in the computing type; null: ones. Never null with smoothing or probabilities
  const void* margin;     // [classes] likewise: what the formulas' logit of a target is lowered by; null: 0
  const void* upstream;   // [rows] in the computing type, backward of unreduced losses; null: 1 for every row
  double scale;           // factor of every gradient: 1 / divisor, times the upstream of a reduced loss

  double params[8];
#define FASTLOSS_MEMBER(type, name, value) type name = value;
  FASTLOSS_ROWS_OPTIONS(FASTLOSS_MEMBER)
#undef FASTLOSS_MEMBER
  double weight_sum;  // sum of weight

  void* row_loss;  // [rows] in the computing type, or null
  void* state;     // [2 or 3, rows] in the computing type, or null; read by backward
  RowsSums* sums;  // [tasks], or null
  bool want_stats;
  bool from_state;  // backward: maximum, sum and mass come from `state`
  bool stream;      // gradient is far larger than the caches: bypass them
};

}  // namespace fastloss
