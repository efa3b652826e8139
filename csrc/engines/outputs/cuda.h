#pragma once

#include "engines/outputs/args.h"

// The contract between operators_cuda.cpp and the .cu files: as engines/softmax/cuda.h says.

namespace fastloss::cuda {

struct OutputsLaunch {
  OutputsArgs args;  // `task_rows` and `stream` unused: they are about the host
  int group;         // threads that share a row: 1, 32 or 512
  bool vectors;      // rows are read and written by 16 bytes
  int64_t blocks;
};

constexpr int outputs_threads(int group) { return group < 128 ? 128 : group; }

// Work on the current device and on `stream`, a cudaStream_t; the latter returns a cudaError_t.
void plan_outputs(DType dtype, OutputsLaunch& launch);
int run_outputs(DType dtype, const OutputsLaunch& launch, void* stream);

template <DType dtype>
int run_outputs(const OutputsLaunch& launch, void* stream);

}  // namespace fastloss::cuda
