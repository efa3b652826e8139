#pragma once

#include <stdint.h>

namespace fastloss {

// What kernels are instantiated for.
enum class DType : int { f32, f64, bf16, f16, count };

// Calls f with the dtype as a constant.
template <DType d>
struct DTypeConstant {
  static constexpr DType value = d;
};
template <class F>
auto with_dtype(DType dtype, const F& f) {
  switch (dtype) {
    case DType::f32:
      return f(DTypeConstant<DType::f32>{});
    case DType::f64:
      return f(DTypeConstant<DType::f64>{});
    case DType::bf16:
      return f(DTypeConstant<DType::bf16>{});
    default:
      return f(DTypeConstant<DType::f16>{});
  }
}

// What a tensor that is read element by element may be stored as: first the dtypes above, in their order.
enum class Element : int { f32, f64, bf16, f16, boolean, u8, i8, i16, i32, i64, count };

// A stored bool. Bytes that are viewed as bools may be more than 0 and 1, which a C++ bool must not: as in PyTorch, whatever
// is not 0 is true.
using Flag = uint8_t;

constexpr int bytes_of(Element e) {
  return e == Element::f64 || e == Element::i64                         ? 8
         : e == Element::f32 || e == Element::i32                       ? 4
         : e == Element::bf16 || e == Element::f16 || e == Element::i16 ? 2
                                                                        : 1;
}

}  // namespace fastloss
