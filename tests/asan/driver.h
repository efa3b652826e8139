#pragma once

// The main function of a driver.

#include "case.h"
#include "simd/isa.h"

namespace {

int64_t calls = 0;  // of kernels

// Called with ISA and DTYPE: run(an object of the stored type, the ISA, the DType, its name), nothing where this CPU lacks
// the ISA. Prints the numbers of kernel calls and of gradient elements checked.
template <class Run>
int drive(int argc, char** argv, const Run& run) {
  if (argc != 3) return fprintf(stderr, "usage: %s ISA DTYPE\n", argv[0]), 2;
  __sanitizer_set_death_callback(print_case);
  const std::string isa = argv[1];
  const std::vector<std::string> available = isa::available();
  if (std::find(available.begin(), available.end(), isa) == available.end()) return 0;
  const int unknown = with_stored(argv[2], [&](auto stored, DType dtype) { run(stored, isa, dtype, argv[2]); });
  if (unknown) return unknown;
  printf("%lld %lld\n", (long long)calls, (long long)gradients);
  return 0;
}

}  // namespace
