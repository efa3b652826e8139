#pragma once

#include "engines/divergence/args.h"
#include "engines/elements/cuda.h"

// The contract between operators_cuda.cpp and the .cu files, on the terms of elements/cuda.h. What blocks add up to is summed
// by run_finish_points.

namespace fastloss::cuda {

constexpr int kDivergenceThreads = 256;

struct DivergenceLaunch : DeviceFactor {
  DivergenceArgs args;  // `task_rows`, `sums` and `stream` unused: they are about the host

  bool mixed;      // dtypes differ; the kernel is that of the computing type
  int64_t blocks;  // one for each row
  double* sums;    // [blocks], or null
};

// What cuda.cu, compiled for a dtype, offers.
template <DType dtype>
int run_divergence(int loss, const DivergenceLaunch& launch, void* stream);

}  // namespace fastloss::cuda
