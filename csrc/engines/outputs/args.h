#pragma once

#include "engines/softmax/args.h"

namespace fastloss {

// What a kernel of row outputs is told, forward and backward. Arrays over rows are of the computing type.
struct OutputsArgs {
  RowsArgs rows;  // logits, gradient (backward), mask, cap, temperature, ignore_index; weight where a spread is wanted
  int64_t targets;        // of a row; 0: none
  const int64_t* target;  // [rows, targets]
  int64_t all_classes;    // classes, and one more if the logits are a part of a row's: any class of another part
  bool part;              // forward: the outputs of the other parts are still to be merged, see Note [Row outputs]

  void* state;  // [2, rows]: maximum and sum of the others
  // Forward; null: not wanted.
  void* logprob;  // [rows, targets]
  void* entropy;  // [rows]; read by backward too
  void* lse;      // [rows]
  void* spread;   // [rows]
  // Backward: the upstream gradients; null: zero.
  const void* of_logprob;
  const void* of_entropy;
  const void* of_lse;
  const void* of_spread;
};

}  // namespace fastloss
