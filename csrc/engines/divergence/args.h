#pragma once

#include <stdint.h>

#include "core/macros.h"
#include "engines/elements/args.h"
#include "engines/softmax/args.h"

// The contract between operators.cpp and the kernels of two rows of logits.

namespace fastloss {

// What a teacher's row holds.
enum class Teacher : int { logits, log_probabilities, probabilities };

// What every divergence takes besides its parameters, in the order of `numbers`. A teacher's temperature is 1 where the
// teacher holds no logits.
struct DivergenceOptions {
  double temperature, target_temperature;
  Teacher teacher;
};
constexpr int kDivergenceOptions = 3;

struct DivergenceView : RowsView {
  Element type;
};

struct DivergenceArgs {
  int64_t rows, classes;
  int64_t task_rows;  // of a CPU task
  int dims;           // of the rows, collapsed, outermost first
  int64_t size[kMaxRowDims];

  DivergenceView student, teacher;
  DivergenceView student_gradient, teacher_gradient;  // data null: not wanted

  const Flag* mask;  // [rows], or null
  // [rows] in the computing type, or null
  const void* weight;
  const void* upstream;
  void* loss;

  double scale;  // factor of every gradient: 1 / divisor, times the upstream of a reduced loss
  DivergenceOptions options;
  double params[1];
  PointSums* sums;  // [tasks]; `loss` alone is used
  bool stream;      // the gradient is far larger than the caches: bypass them

  FASTLOSS_FN int64_t offset_of(const RowsView& view, int64_t row) const {
    int64_t offset = 0;
    for (int d = dims - 1; d > 0; --d) {
      offset += row % size[d] * view.row_stride[d];
      row /= size[d];
    }
    return offset + row * view.row_stride[0];
  }
};

}  // namespace fastloss
