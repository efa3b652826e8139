#pragma once

// The main function of a driver, what it counts, and its end where a kernel breaks a rule of device/device.h.

#include <map>

#include "../asan/case.h"
#include "device/device.h"

namespace emulation = cuda::emulation;

namespace {

std::map<std::string, int64_t> counts;  // by kernel: its launches

// Called with DTYPE and perhaps a further word, which makes it quick: run(an object of the stored type, the DType, its name,
// quick). Prints `counts` and the number of gradients checked.
template <class Run>
int drive(int argc, char** argv, const Run& run) {
  if (argc < 2) return fprintf(stderr, "usage: %s DTYPE [quick]\n", argv[0]), 2;
  __sanitizer_set_death_callback(print_case);
  const bool quick = argc > 2;
  const int unknown = with_stored(argv[1], [&](auto stored, DType dtype) { run(stored, dtype, argv[1], quick); });
  if (unknown) return unknown;
  for (const auto& [name, count] : counts) printf("%s %lld\n", name.c_str(), (long long)count);
  printf("gradients %lld\n", (long long)gradients);
  return 0;
}

}  // namespace

void fastloss::cuda::emulation::fail(const char* what) {
  fprintf(stderr, "emulation: %s: %s", case_name(), what);
  if (emulation::current) {
    fprintf(stderr, " (block %lld, thread %d)", (long long)emulation::current->block->index,
            emulation::current->thread);
  }
  fprintf(stderr, "\n");
  _exit(1);
}
