#pragma once

// What every operator file needs of PyTorch: the stable ABI only, so that one binary serves many releases.

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>
#include <torch/headeronly/util/BFloat16.h>
#include <torch/headeronly/util/Half.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "core/rows_args.h"
#include "losses/losses.h"
#include "ops/memory.h"

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

// New CPU memory, straight from the allocator: torch::stable::new_empty looks its operator up by name and boxes its
// arguments, 1 to 3 us a call, which a small loss notices.
inline Tensor empty(const std::vector<int64_t>& sizes, ScalarType type) {
  std::vector<int64_t> strides(sizes.size(), 1);
  for (size_t d = sizes.size(); d-- > 1;) strides[d - 1] = strides[d] * std::max<int64_t>(sizes[d], 1);
  AtenTensorHandle handle;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_empty_strided((int64_t)sizes.size(), sizes.data(), strides.data(),
                                                         (int32_t)type, aoti_torch_device_type_cpu(), 0, &handle));
  return Tensor(handle);
}

inline Tensor as_dense(const Tensor& t) { return t.is_contiguous() ? t : torch::stable::contiguous(t); }

// A dense tensor of the computing type, converted or copied only if it is not one already.
inline Tensor as_compute(const Tensor& t, ScalarType type) {
  return as_dense(t.scalar_type() == type ? t : torch::stable::to(t, type));
}

inline Tensor fresh_like(const Tensor& t) {
  Tensor fresh = torch::stable::empty_like(t);
  memory::advise_huge_pages(fresh.mutable_data_ptr(), t.numel() * (int64_t)t.element_size());
  return fresh;
}

}  // namespace fastloss::ops
