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
#include <utility>
#include <vector>

#include "engines/softmax/args.h"
#include "torch/memory.h"

namespace fastloss::ops {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;
using MaybeTensor = std::optional<Tensor>;

inline const Tensor* pointer(const MaybeTensor& t) { return t ? &*t : nullptr; }
inline const Tensor* pointer(const Tensor& t) { return &t; }

enum Reduction : int64_t { kNone, kMean, kSum };

// Below this many elements a second thread costs more than it brings.
constexpr int64_t kParallelElements = 32 * 1024;
// Gradients from this size on are written past the caches: out of a core's L2 anyway, and the line need not be read
// before it is overwritten (8192x1024 bfloat16 cross entropy 0.60 -> 0.51 ns per logit).
constexpr int64_t kStreamBytes = 8 << 20;

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

// What a tensor that is read element by element is stored as.
inline Element element_of(const Tensor& t) {
  switch (t.scalar_type()) {
    case ScalarType::Bool:
      return Element::boolean;
    case ScalarType::Byte:
      return Element::u8;
    case ScalarType::Char:
      return Element::i8;
    case ScalarType::Short:
      return Element::i16;
    case ScalarType::Int:
      return Element::i32;
    case ScalarType::Long:
      return Element::i64;
    default:
      return (Element)dtype_of(t);
  }
}

// A tensor's memory. Storage that was freed (`untyped_storage().resize_(0)`) leaves a tensor without any.
inline const void* data_of(const Tensor& t) {
  const void* const data = t.const_data_ptr();
  STD_TORCH_CHECK(data || t.numel() == 0, "fastloss: expected tensors with memory; the storage of one was freed");
  return data;
}
inline void* mutable_data_of(const Tensor& t) {
  data_of(t);
  return t.mutable_data_ptr();
}

// Refuses more elements than a memory holds: an expanded tensor may have them, and a loop over it would not end.
inline void check_count(const Tensor& t) {
  STD_TORCH_CHECK(t.numel() <= int64_t{1} << 40, "fastloss: expected at most 2^40 elements, got ", t.numel());
}

// The number of names in a list that commas separate.
constexpr size_t count_names(const char* list) {
  size_t count = *list ? 1 : 0;
  for (; *list; ++list) count += *list == ',';
  return count;
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
  TORCH_ERROR_CODE_CHECK(aoti_torch_empty_strided((int64_t)sizes.size(), sizes.data(), strides.data(), (int32_t)type,
                                                  aoti_torch_device_type_cpu(), 0, &handle));
  return Tensor(handle);
}

inline Tensor as_dense(const Tensor& t) {
  data_of(t);  // before a copy reads it
  return t.is_contiguous() ? t : torch::stable::contiguous(t);
}

// A dense tensor of the computing type, converted or copied only if it is not one already.
inline Tensor as_compute(const Tensor& t, ScalarType type) {
  element_of(t);  // refuses complex numbers
  data_of(t);
  return as_dense(t.scalar_type() == type ? t : torch::stable::to(t, type));
}

inline bool same_device(const Tensor& a, const Tensor& b) {
  return a.is_cpu() == b.is_cpu() && a.get_device_index() == b.get_device_index();
}

// Whether the elements are all those of one block of memory, each once, in whatever order.
inline bool fills_block(const Tensor& t) {
  if (t.numel() == 0 || t.is_contiguous()) return true;
  int64_t block = 1;  // elements of the dimensions found so far
  for (int64_t d = 0; d < t.dim();) {
    if (t.size(d) > 1 && t.stride(d) == block) {
      block *= t.size(d);
      d = 0;
    } else {
      ++d;
    }
  }
  return block == t.numel();
}

// Whether two tensors may share an element: whether the blocks of memory from their first to their last one meet.
inline bool overlaps(const Tensor& a, const Tensor& b) {
  const auto bytes = [](const Tensor& t) {
    int64_t last = 0;
    for (int64_t d = 0; d < t.dim(); ++d) last += (t.size(d) - 1) * t.stride(d);
    return (last + 1) * (int64_t)t.element_size();
  };
  if (a.numel() == 0 || b.numel() == 0) return false;
  const char *const p = (const char*)a.const_data_ptr(), *const q = (const char*)b.const_data_ptr();
  return p < q + bytes(b) && q < p + bytes(a);
}

// The dtype that a code of the operators stands for.
inline ScalarType dtype_of_code(const char* name, int64_t code) {
  for (ScalarType type : {ScalarType::Half, ScalarType::Float, ScalarType::Double, ScalarType::BFloat16}) {
    if (code == (int64_t)type) return type;
  }
  STD_TORCH_CHECK(false, "fastloss: expected ", name,
                  " to be the code of float16 (5), float32 (6), float64 (7) or bfloat16 (15), got ", code);
  return ScalarType::Undefined;
}

// Refuses what is no matrix, or has rows that are not adjacent.
inline void check_matrix(const char* name, const Tensor& t) {
  STD_TORCH_CHECK(t.dim() == 2 && (t.stride(1) == 1 || t.size(1) <= 1 || t.numel() == 0), "fastloss: expected ", name,
                  " to be a matrix, adjacent along the rows");
}

// Refuses memory to write to in which two elements may be one.
inline void check_own_memory(const char* name, const Tensor& output) {
  mutable_data_of(output);  // what is shared until it is written (`torch._lazy_clone`) becomes its own, elsewhere
  if (!output.is_contiguous()) {
    // In order of their strides, a dimension steps over all that those before it reach; else elements may meet.
    std::vector<std::pair<int64_t, int64_t>> steps;
    for (int64_t d = 0; d < output.dim(); ++d) {
      if (output.size(d) > 1) steps.push_back({output.stride(d), output.size(d) - 1});
    }
    std::sort(steps.begin(), steps.end());
    int64_t reach = 0;
    for (const auto& [stride, times] : steps) {
      STD_TORCH_CHECK(stride > reach, "fastloss: expected ", name, " whose elements share no memory");
      reach += stride * times;
    }
  }
}

// A tensor that an operator is given, null if it is not.
struct Given {
  const char* name;
  const Tensor* tensor;
  bool written;
};

// Whether two tensors are the same elements, each in the same place.
inline bool same_places(const Tensor& a, const Tensor& b) {
  bool same = a.const_data_ptr() == b.const_data_ptr() && a.dim() == b.dim();
  for (int64_t d = 0; same && d < b.dim(); ++d) same = b.size(d) == 1 || a.stride(d) == b.stride(d);
  return same;
}

// Refuses memory to write to in which two elements may be one or that may be another tensor's too. (What indices are read
// from above all: written over, they would lead anywhere.) But `over` may lie over `under`, each element over its own.
inline void check_memory(const Given* all, size_t count, const Tensor* over = nullptr, const Tensor* under = nullptr) {
  for (size_t i = 0; i < count; ++i) {
    const Tensor* const a = all[i].tensor;
    if (!a) continue;
    if (all[i].written) check_own_memory(all[i].name, *a);
    for (size_t j = 0; j < i; ++j) {
      const Tensor* const b = all[j].tensor;
      if (!b || !(all[i].written || all[j].written) || !overlaps(*a, *b)) continue;
      const bool in_place = ((a == over && b == under) || (b == over && a == under)) && same_places(*a, *b);
      STD_TORCH_CHECK(in_place, "fastloss: expected ", all[i].written ? all[i].name : all[j].name,
                      " in memory of its own");
    }
  }
}

inline void check_output(const char* name, const Tensor& output, const Tensor& like) {
  bool same = same_device(output, like) && output.scalar_type() == like.scalar_type() && output.dim() == like.dim();
  for (int64_t d = 0; same && d < like.dim(); ++d) same = output.size(d) == like.size(d);
  STD_TORCH_CHECK(same, "fastloss: expected memory of input's shape, dtype and device for ", name);
}

template <class F>
void parallel(int64_t elements, int64_t tasks, const F& f) {
  if (tasks == 0) return;
  if (elements < kParallelElements || tasks == 1) {
    f(0, tasks);
  } else {
    torch::stable::parallel_for(0, tasks, 1, f);
  }
}

inline void write_scalar(const Tensor& t, double value) {
  void* const p = t.mutable_data_ptr();
  switch (dtype_of(t)) {
    case DType::f32:
      *(float*)p = (float)value;
      break;
    case DType::f64:
      *(double*)p = value;
      break;
    case DType::bf16:
      *(torch::headeronly::BFloat16*)p = (float)value;
      break;
    default:
      *(torch::headeronly::Half*)p = (float)value;
  }
}

}  // namespace fastloss::ops
