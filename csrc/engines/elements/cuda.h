#pragma once

#include "engines/elements/args.h"
#include "engines/softmax/cuda.h"

// The contract between operators_cuda.cpp (tensors, streams) and the .cu files, as softmax/cuda.h is for rows of logits:
// every function returns a cudaError_t as int, works on the current device and on `stream`, and waits for nothing.

namespace fastloss::cuda {

constexpr int kPointSums = 2;  // planes of partial sums: the loss, the square of the first gradient

constexpr int kPointThreads = 256;
constexpr int kPlainVectors =
    2;  // times that a thread has these elements under way: of 16 bytes of each operand, or of one
constexpr int plain_elements(int size, int components) { return 16 / size > components ? 16 / size / components : 1; }
// Elements that a thread of the general kernel holds at once: registers hold many values of few elements, or of one.
constexpr int general_elements(int components) { return components == 1 ? 4 : 1; }

// What the device alone knows of the factor of every gradient, in the elements and products engines.
struct DeviceFactor {
  const double* divisor;  // one number by which args.scale is divided, or null
  const void* upstream;   // one number that multiplies args.scale, or null: the upstream gradient of a reduced loss
  DType upstream_dtype;
  bool unless_one;  // does nothing if that number is 1
};

struct PointLaunch : DeviceFactor {
  PointArgs args;  // `task_elements`, `sums` and `stream` unused: they are about the host

  bool mixed;          // tensors have types of their own, which compute in the launch's
  bool vectors;        // the plain kernel takes it
  bool flat;           // every tensor is
  int block_elements;  // that a block works on
  int64_t blocks;
  alignas(8) char functor[56];  // the loss, for the kernel that serves all of them

  double* sums;  // [kPointSums or 1, blocks], or null: what each block's elements add up to
};

// Decides `vectors`, `flat`, `block_elements` and `blocks`, from the number of elements and the layout alone: the same call adds
// in the same order on every device.
void plan_points(DType dtype, PointLaunch& launch);
int run_points(int loss, DType dtype, const PointLaunch& launch, void* stream);

struct PointFinish {
  const double* sums;  // [1, or kPointSums if there are stats, blocks]
  int64_t blocks;
  double* parts;          // scratch: as `sums` with finish_blocks
  const double* divisor;  // on the device, or null: `count`
  double count;
  bool empty_zero;  // a loss over no divisor is 0
  void* loss;       // one number of `dtype`, or null
  DType dtype;
  double* stats;  // [kPointSums], or null
};
int run_finish_points(const PointFinish& launch, void* stream);

// What cuda.cu, compiled for a dtype, offers.
template <DType dtype>
int run_points(int loss, const PointLaunch& launch, void* stream);

}  // namespace fastloss::cuda
