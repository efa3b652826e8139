#pragma once

// Adjacent elements of any stored type as values of a computing type, and the way back, which rounds once (from double to
// a half type by way of float, as PyTorch does).

#include <type_traits>

#include "core/dtype.h"
#include "simd/vec.h"

namespace fastloss::FASTLOSS_ISA {
namespace {

// A stored bool that is read as a number: 0 or 1, see Flag.
struct Truth {
  Flag byte;
  FASTLOSS_FN operator bool() const { return byte != 0; }
};

// Calls f with a value of the stored type.
template <class F>
FASTLOSS_FN auto with_floating(Element type, const F& f) {
  switch (type) {
    case Element::f64:
      return f(double{});
    case Element::bf16:
      return f(BFloat16{});
    case Element::f16:
      return f(Half{});
    default:
      return f(float{});
  }
}
template <class F>
FASTLOSS_FN auto with_element(Element type, const F& f) {
  switch (type) {
    case Element::boolean:
      return f(Truth{});
    case Element::u8:
      return f(uint8_t{});
    case Element::i8:
      return f(int8_t{});
    case Element::i16:
      return f(int16_t{});
    case Element::i32:
      return f(int32_t{});
    case Element::i64:
      return f(int64_t{});
    default:
      return with_floating(type, f);
  }
}

template <class T, class E>
FASTLOSS_FN T read_one(const E* p) {
  return (T)load_one(p);
}
template <class E, class T>
FASTLOSS_FN void write_one(E* p, T value) {
  if constexpr (std::is_arithmetic_v<E>) {
    *p = (E)value;
  } else {
    store_one(p, (float)value);
  }
}

// n elements of one type as those of another.
template <class From, class To>
void convert_elements(const From* from, int64_t n, To* to) {
  if constexpr (std::is_same_v<From, To>) {
    memcpy(to, from, n * sizeof(To));
  } else if constexpr (std::is_same_v<From, Truth> || (std::is_arithmetic_v<From> && std::is_arithmetic_v<To>)) {
    for (int64_t i = 0; i < n; ++i) to[i] = (To)from[i];
  } else if constexpr (!std::is_same_v<From, double> && !std::is_same_v<To, double>) {
    constexpr int W = Vec<float>::size;
    int64_t i = 0;
    for (; i + W <= n; i += W) store(to + i, load(from + i));
    if (i < n) store_partial(to + i, (int)(n - i), load_partial(from + i, (int)(n - i), 0.0f));
  } else {
    for (int64_t i = 0; i < n; ++i) write_one(to + i, load_one(from + i));
  }
}

// For the table of an engine: `to` and `from` of the computing type.
template <class T>
void read_any(Element type, const void* from, int64_t n, void* to) {
  with_element(type, [&](auto e) { convert_elements((const decltype(e)*)from, n, (T*)to); });
}
template <class T>
void write_any(Element type, void* to, int64_t n, const void* from) {
  with_floating(type, [&](auto e) { convert_elements((const T*)from, n, (decltype(e)*)to); });
}

}  // namespace
}  // namespace fastloss::FASTLOSS_ISA
