#pragma once

#include "engines/products/args.h"
#include "engines/elements/cuda.h"

// The contract between operators_cuda.cpp and the .cu files, on the terms of elements/cuda.h. What blocks add up to is summed
// by run_finish_points.

namespace fastloss::cuda {

constexpr int kPairVectors = 4;   // 16-byte vectors of each operand that a thread holds at once
constexpr int kPairElements = 8;  // or elements (float64: half), where rows are off 16 bytes

// Threads that share a row: several rows per warp, one, or a block's (of at least 128 threads) only one.
constexpr int kPairGroups[] = {2, 8, 32, 128, 256};
constexpr int pair_threads(int group) { return group < 128 ? 128 : group; }

struct PairLaunch : DeviceFactor {
  PairArgs args;  // `task_rows` and `sums` unused: they are about the host

  bool mixed;    // vectors have types of their own, which compute in the launch's
  bool vectors;  // every row is whole vectors at 16 bytes
  bool held;     // a row stays in registers between its products and its gradient
  int group;     // of kPairGroups
  int64_t blocks;

  double* sums;  // [kPointSums or 1, blocks], or null
};

// Decides `vectors`, `held`, `group` and `blocks`, from shape and layout alone.
void plan_pairs(DType dtype, PairLaunch& launch);
int run_pairs(int loss, DType dtype, const PairLaunch& launch, void* stream);

// What cuda.cu, compiled for a dtype, offers.
template <DType dtype>
int run_pairs(int loss, const PairLaunch& launch, void* stream);

}  // namespace fastloss::cuda
