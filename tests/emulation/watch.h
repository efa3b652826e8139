#pragma once

// What emulation.cpp and ptx.cpp share: the settings that device/device.h declares, and the elements that are watched.

#include <algorithm>
#include <vector>

#include "device/device.h"

namespace fastloss::cuda::emulation {

Fiber* current = nullptr;
int block_threads = 0;
int64_t grid_blocks = 0;
uint64_t schedule = 0;
int shared_limit = 227 * 1024;
int largest_cluster = 16;
int64_t first_block = 0;
int64_t launches = 0;
bool reads_over_ends = false;

namespace {

struct Watch {
  const char* begin;
  int64_t bytes, element;
  std::vector<bool> seen;
};
std::vector<Watch> watches;

// Calls f with a reference to each watched element's mark.
template <class F>
void each_watched(const void* p, int64_t bytes, const F& f) {
  for (Watch& w : watches) {
    const int64_t offset = (const char*)p - w.begin;
    if (offset < 0 || offset >= w.bytes) continue;
    for (int64_t i = offset / w.element; i < (offset + bytes) / w.element; ++i) f(w.seen[i]);
  }
}

}  // namespace

void written(const void* p, int64_t bytes) {
  each_watched(p, bytes, [](auto seen) {
    if (seen) fail("an element is written twice");
    seen = true;
  });
}

void written_before(const void* p, int64_t bytes) {
  each_watched(p, bytes, [](auto seen) {
    if (!seen) fail("an element is replaced before it is written");
  });
}

void watch(const void* p, int64_t bytes, int64_t element) {
  watches.push_back({(const char*)p, bytes, element, std::vector<bool>(bytes / element)});
}

int64_t unwatch(const void* p) {
  for (size_t i = 0; i < watches.size(); ++i) {
    if (watches[i].begin != p) continue;
    const int64_t missing = std::count(watches[i].seen.begin(), watches[i].seen.end(), false);
    watches.erase(watches.begin() + i);
    return missing;
  }
  fail("not watched");
}

}  // namespace fastloss::cuda::emulation
