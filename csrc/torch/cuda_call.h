#pragma once

// What the operators of every engine need of CUDA. Nothing here waits for the device, so a call can be captured in a
// graph.

#include <torch/csrc/stable/accelerator.h>

#include "engines/softmax/cuda.h"
#include "torch/tensors.h"

namespace fastloss::ops {

inline void check(int error) { STD_TORCH_CHECK(error == 0, "fastloss: CUDA: ", cuda::error_message(error)); }

// The device of a call, made current, and its current stream.
struct Device {
  torch::stable::accelerator::DeviceGuard guard;
  void* stream = nullptr;

  explicit Device(const Tensor& t) : guard((check_cuda(t), t.get_device_index())) {
    TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(t.get_device_index(), &stream));
  }
  static void check_cuda(const Tensor& t) { STD_TORCH_CHECK(t.is_cuda(), "fastloss: expected CUDA tensors"); }
};

}  // namespace fastloss::ops
