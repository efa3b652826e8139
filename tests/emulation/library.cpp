// What the emulated operators need besides the kernels: no sanitizer is there to be told of fibers or asked, and a broken rule ends
// the process.

#include <stdio.h>
#include <stdlib.h>

#include "device/device.h"

extern "C" {
void __sanitizer_start_switch_fiber(void**, const void*, size_t) {}
void __sanitizer_finish_switch_fiber(void*, const void**, size_t*) {}
void* __asan_region_is_poisoned(void*, size_t) { return nullptr; }
}

void fastloss::cuda::emulation::fail(const char* what) {
  fprintf(stderr, "emulation: %s\n", what);
  abort();
}
