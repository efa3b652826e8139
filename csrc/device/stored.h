#pragma once

// Elements whose stored type a code names, the same in every thread. A tile is read in two steps, bits and then numbers: a
// conversion next to its load would wait for it, and no other load of the tile would be on its way meanwhile.

#include <type_traits>

#include "core/dtype.h"
#include "device/device.h"

namespace fastloss::cuda {
namespace {

// Whether elements of a type are more than the bits of a T, which a tile is made of. They are read by themselves, as numbers.
template <class T>
FASTLOSS_DEVICE bool outgrows(Element type) {
  return sizeof(T) == 4 && type == Element::i64;
}
template <class T>
FASTLOSS_DEVICE T load_outgrown(const void* data, int64_t at) {
  return (T)((const int64_t*)data)[at];
}

// The low bytes of the result are the element's.
template <class T>
FASTLOSS_DEVICE T load_bits(Element type, const void* data, int64_t at) {
  std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t> bits = 0;
  switch (bytes_of(type)) {
    case 1:
      bits = ((const uint8_t*)data)[at];
      break;
    case 2:
      bits = ((const uint16_t*)data)[at];
      break;
    case 4:
      bits = ((const uint32_t*)data)[at];
      break;
    default:
      if constexpr (sizeof(T) == 8) bits = ((const uint64_t*)data)[at];
  }
  T value;
  memcpy(&value, &bits, sizeof(T));
  return value;
}

// A stored bool as a number: 0 or 1, see Flag.
struct Truth {
  Flag byte;
};

template <class E, class T>
FASTLOSS_DEVICE T from_bits(T bits) {
  E stored;
  memcpy(&stored, &bits, sizeof(E));
  if constexpr (std::is_same_v<E, Truth>) {
    return (T)(stored.byte != 0);
  } else if constexpr (std::is_arithmetic_v<E>) {
    return (T)stored;
  } else {
    return (T)widen(stored);
  }
}

// Makes numbers of the bits value(0) to value(N - 1).
template <int N, class T, class Value>
FASTLOSS_DEVICE void convert_bits(Element type, const Value& value) {
  const auto each = [&](auto stored) {
    FASTLOSS_UNROLL
    for (int k = 0; k < N; ++k) value(k) = from_bits<decltype(stored)>(value(k));
  };
  switch (type) {
    case Element::f32:
      if constexpr (sizeof(T) == 8) each(float{});
      break;
    case Element::bf16:
      return each(BFloat16{});
    case Element::f16:
      return each(Half{});
    case Element::boolean:
      return each(Truth{});
    case Element::u8:
      return each(uint8_t{});
    case Element::i8:
      return each(int8_t{});
    case Element::i16:
      return each(int16_t{});
    case Element::i32:
      return each(int32_t{});
    case Element::i64:
      if constexpr (sizeof(T) == 8) each(int64_t{});
      break;
    default:  // float64, which nothing reads that computes in float
      break;
  }
}

// One element at once, for code whose loads wait anyway.
template <class T>
FASTLOSS_DEVICE T load_number(Element type, const void* data, int64_t at) {
  if (outgrows<T>(type)) return load_outgrown<T>(data, at);
  T value[] = {load_bits<T>(type, data, at)};
  convert_bits<1, T>(type, [&](int k) -> T& { return value[k]; });
  return value[0];
}

// Rounds once; from double to a half type by way of float, as PyTorch does.
template <class T>
FASTLOSS_DEVICE void store_number(Element type, void* data, int64_t at, T value) {
  switch (type) {
    case Element::f64:
      return store_one((double*)data + at, (double)value);
    case Element::bf16:
      return store_one((BFloat16*)data + at, narrow<BFloat16>((float)value));
    case Element::f16:
      return store_one((Half*)data + at, narrow<Half>((float)value));
    default:
      return store_one((float*)data + at, (float)value);
  }
}

}  // namespace
}  // namespace fastloss::cuda
