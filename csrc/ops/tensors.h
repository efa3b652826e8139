#pragma once

// What every operator file needs of PyTorch: the stable ABI only, so that one binary serves many releases.

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>
#include <torch/headeronly/util/BFloat16.h>
#include <torch/headeronly/util/Half.h>

#include <optional>

#include "core/rows_args.h"
#include "losses/losses.h"

namespace fastloss::ops {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

inline DType dtype_of(const Tensor& t) {
  switch (t.scalar_type()) {
    case ScalarType::Float:
      return DType::f32;
    case ScalarType::Double:
      return DType::f64;
    case ScalarType::BFloat16:
      return DType::bf16;
    case ScalarType::Half:
      return DType::f16;
    default:
      STD_TORCH_CHECK(false, "fastloss: expected float16, bfloat16, float32 or float64, got ScalarType ",
                      (int)t.scalar_type());
      return DType::count;
  }
}

inline ScalarType compute_type(const Tensor& t) {
  return t.scalar_type() == ScalarType::Double ? ScalarType::Double : ScalarType::Float;
}

// A dense tensor of the computing type, converted or copied only if it is not one already.
inline Tensor as_compute(const Tensor& t, ScalarType type) {
  return torch::stable::contiguous(t.scalar_type() == type ? t : torch::stable::to(t, type));
}

// New memory of a loss: tells the kernel to back it with huge pages before its first write. A fresh 262 MB gradient
// in 4 KiB pages costs more in page faults than in computing (69 of 98 ms, measured); advice on small blocks or
// on a kernel without huge pages changes nothing.
void advise_huge_pages(void* data, int64_t bytes);

inline Tensor fresh_like(const Tensor& t) {
  Tensor fresh = torch::stable::empty_like(t);
  advise_huge_pages(fresh.mutable_data_ptr(), t.numel() * (int64_t)t.element_size());
  return fresh;
}

}  // namespace fastloss::ops
