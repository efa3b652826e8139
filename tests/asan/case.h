#pragma once

// What the cases of every sanitizer driver share: random numbers, stored types, and where tensors lie.
//
// Note [Placement]
// The compiler instruments ordinary loads and stores only: masked and streaming ones are builtins it leaves alone.
// So a case's tensors lie either on the heap, where the sanitizer sees a stray byte on both sides (they start one
// element after the allocation, which keeps them off every vector's alignment; or, `aligned`, with it), or flush against a page that may
// not be touched, where the hardware sees every stray element behind the end, whatever instruction it is.

#include <sanitizer/common_interface_defs.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "core/compute.h"
#include "engines/softmax/args.h"

using namespace fastloss;

namespace {

std::string current;
int64_t gradients = 0;

[[maybe_unused]] const char* case_name() { return current.c_str(); }
void print_case() { fprintf(stderr, "in case: %s\n", current.c_str()); }

[[noreturn]] void fail(const char* what, int64_t row, int64_t c, double got, double expected, double tolerance) {
  fprintf(stderr, "%s: %s at row %lld, class %lld: got %.17g, expected %.17g within %.3g\n", current.c_str(), what,
          (long long)row, (long long)c, got, expected, tolerance);
  _exit(1);
}

void check(const char* what, int64_t row, int64_t c, double got, double expected, double tolerance) {
  if (got == expected || std::fabs(got - expected) <= tolerance) return;
  fail(what, row, c, got, expected, tolerance);
}

struct Random {
  uint64_t state;
  uint64_t bits() {
    state = state * 6364136223846793005u + 1442695040888963407u;
    uint64_t x = (state ^ (state >> 32)) * 0xd6e8feb86659fd93u;
    return x ^ (x >> 32);
  }
  int64_t below(int64_t n) { return (int64_t)(bits() % (uint64_t)n); }
  bool chance(int percent) { return below(100) < percent; }
  double uniform() { return (double)(bits() >> 11) * 0x1p-53; }
  double normal() { return uniform() + uniform() + uniform() + uniform() + uniform() + uniform() - 3; }
};

// ------------------------------------------------------------------------------------------------ stored types

struct BFloat16 {
  uint16_t bits;
};
struct Half {
  uint16_t bits;
};

struct Truth {  // a stored bool
  Flag byte;
};

double value_of(float x) { return x; }
double value_of(double x) { return x; }
double value_of(BFloat16 x) {
  const uint32_t wide = (uint32_t)x.bits << 16;
  float f;
  __builtin_memcpy(&f, &wide, sizeof(f));
  return f;
}
double value_of(Half x) {
  const int exponent = x.bits >> 10 & 31, mantissa = x.bits & 1023;
  const double sign = x.bits >> 15 ? -1 : 1;
  if (exponent == 31) return mantissa ? std::nan("") : sign * INFINITY;
  return sign * (exponent ? std::ldexp(1024 + mantissa, exponent - 25) : std::ldexp(mantissa, -24));
}

double value_of(Truth x) { return x.byte != 0; }
template <class I, std::enable_if_t<std::is_integral_v<I>, int> = 0>
double value_of(I x) {
  return (double)x;
}

// Inputs only: truncation is as good as rounding, the exact value is read back.
void assign(float& to, double x) { to = (float)x; }
void assign(double& to, double x) { to = x; }
void assign(BFloat16& to, double x) {
  const float f = (float)x;
  uint32_t wide;
  __builtin_memcpy(&wide, &f, sizeof(f));
  to.bits = (uint16_t)(std::isnan(x) ? 0x7fc0 : wide >> 16);
}
void assign(Half& to, double x) {
  const int sign = std::signbit(x) ? 0x8000 : 0;
  x = std::fabs(x);
  int magnitude = 0;
  if (std::isnan(x)) {
    magnitude = 0x7e00;
  } else if (x >= 65520) {
    magnitude = 0x7c00;
  } else if (x < 0x1p-14) {
    magnitude = (int)(x * 0x1p24);
  } else {
    const int exponent = std::ilogb(x);
    magnitude = ((exponent + 15) << 10) + (int)(std::ldexp(x, 10 - exponent)) - 1024;
  }
  to.bits = (uint16_t)(sign | magnitude);
}

void assign(Truth& to, double x) { to.byte = std::lround(x) ? 0x82 : 0; }
template <class I, std::enable_if_t<std::is_integral_v<I>, int> = 0>
void assign(I& to, double x) {
  to = (I)std::lround(x);
}

// Masks: any byte but 0 is true.
inline Flag flag(bool on, int64_t i) { return on ? (Flag)(1 + i % 3 * 127) : 0; }
inline void fill_flags(Random& random, Flag* to, int64_t n, int percent) {
  for (int64_t i = 0; i < n; ++i) to[i] = flag(random.chance(percent), i);
}

template <class S>
double storage_unit();  // unit roundoff
template <>
double storage_unit<float>() {
  return 0x1p-24;
}
template <>
double storage_unit<double>() {
  return 0x1p-53;
}
template <>
double storage_unit<BFloat16>() {
  return 0x1p-8;
}
template <>
double storage_unit<Half>() {
  return 0x1p-11;
}
template <class S>
double storage_underflow();  // half the smallest subnormal
template <>
double storage_underflow<float>() {
  return 0x1p-150;
}
template <>
double storage_underflow<double>() {
  return 0;
}
template <>
double storage_underflow<BFloat16>() {
  return 0x1p-134;
}
template <>
double storage_underflow<Half>() {
  return 0x1p-25;
}

// ------------------------------------------------------------------------------------------- types known when run

template <class S>
constexpr Element element_of() {
  return std::is_same_v<S, float>      ? Element::f32
         : std::is_same_v<S, double>   ? Element::f64
         : std::is_same_v<S, BFloat16> ? Element::bf16
                                       : Element::f16;
}
constexpr bool is_floating(Element e) { return e <= Element::f16; }

// Calls f with an object of the stored type.
template <class F>
auto with_element(Element e, const F& f) {
  switch (e) {
    case Element::f32:
      return f(float{});
    case Element::f64:
      return f(double{});
    case Element::bf16:
      return f(BFloat16{});
    case Element::f16:
      return f(Half{});
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
    default:
      return f(int64_t{});
  }
}
inline double read_as(Element e, const void* p, int64_t i) {
  return with_element(e, [&](auto stored) { return value_of(((const decltype(stored)*)p)[i]); });
}
inline void write_as(Element e, void* p, int64_t i, double x) {
  with_element(e, [&](auto stored) { assign(((decltype(stored)*)p)[i], x); });
}
inline double unit_of(Element e) {
  return e == Element::f64    ? storage_unit<double>()
         : e == Element::bf16 ? storage_unit<BFloat16>()
         : e == Element::f16  ? storage_unit<Half>()
                              : storage_unit<float>();
}
inline double underflow_of(Element e) {
  return e == Element::f64    ? storage_underflow<double>()
         : e == Element::bf16 ? storage_underflow<BFloat16>()
         : e == Element::f16  ? storage_underflow<Half>()
                              : storage_underflow<float>();
}
// One of the first `count` types, but for float64 where the computing type is float: no kernel reads wider than it computes.
inline Element any_element(Random& random, bool wide, int count) {
  const Element e = (Element)random.below(count);
  return e == Element::f64 && !wide ? Element::f32 : e;
}

// ------------------------------------------------------------------------------------------------- placement

enum class Place { heap, guard, aligned };
const char* const kPlaceNames[] = {"heap", "guard page", "aligned"};

// The tensors of one case, see Note [Placement]. Filled with ones: NaN in every floating type.
class Memory {
 public:
  explicit Memory(Place place) : place_(place) {}
  Memory(const Memory&) = delete;
  ~Memory() {
    for (const auto& [base, skipped] : blocks_) {
      for (int64_t i = 0; i < skipped; ++i) check("bytes before a tensor", -1, -1, base[i], 0xff, 0);
      std::free(base);
    }
  }

  void* take(int64_t bytes, int64_t element) {
    char* p;
    if (place_ != Place::guard) {
      const int64_t skipped = place_ == Place::heap ? element : 0;
      unsigned char* base = (unsigned char*)std::malloc(bytes + skipped);
      __builtin_memset(base, 0xff, skipped);
      blocks_.push_back({base, skipped});
      p = (char*)base + skipped;
    } else {
      p = guarded(bytes);
    }
    __builtin_memset(p, 0xff, bytes);
    return p;
  }
  template <class T>
  T* take(int64_t n) {
    return (T*)take(n * (int64_t)sizeof(T), sizeof(T));
  }

 private:
  struct Region {
    char* end;
    int64_t bytes;
  };
  static std::vector<Region>& regions() {
    static std::vector<Region> all;
    return all;
  }

  char* guarded(int64_t bytes) {
    if (used_ == regions().size()) regions().push_back({nullptr, 0});
    Region& region = regions()[used_++];
    if (region.bytes < bytes) {
      const int64_t page = sysconf(_SC_PAGESIZE);
      const int64_t size = (bytes + page - 1) / page * page;
      void* const all = mmap(nullptr, size + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      if (all == MAP_FAILED || mprotect((char*)all + page, size, PROT_READ | PROT_WRITE) != 0) {
        perror("asan: mmap");
        _exit(1);
      }
      region = {(char*)all + page + size, size};
    }
    return region.end - bytes;
  }

  const Place place_;
  std::vector<std::pair<unsigned char*, int64_t>> blocks_;
  size_t used_ = 0;
};

// Memory that a kernel must write, but for `gaps` elements of it.
struct Output {
  const char* what;
  void* data;
  int64_t bytes, element, gaps;
};

// What the pointwise and the pairs family add up to.
struct PointTotals {
  double loss, gradient_square;
};

// Runs what a driver's argument names: run(an object of the stored type, its DType, its name).
template <class Run>
int with_stored(const char* name, const Run& run) {
  const std::string dtype = name;
  if (dtype == "float32") return run(float{}, DType::f32), 0;
  if (dtype == "float64") return run(double{}, DType::f64), 0;
  if (dtype == "bfloat16") return run(BFloat16{}, DType::bf16), 0;
  if (dtype == "float16") return run(Half{}, DType::f16), 0;
  return fprintf(stderr, "unknown dtype %s\n", name), 2;
}

}  // namespace
