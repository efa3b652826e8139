#include "ops/memory.h"

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <new>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace fastloss::memory {
namespace {

constexpr size_t kHugePage = 2 << 20;
constexpr size_t kSmallStep = 64 << 10;  // blocks below a huge page are multiples of this
// A block serves requests down to this share of its size: batches of varying length then share one block.
constexpr size_t kLargestWaste = 2;

struct Pool {
  std::mutex mutex;
  std::vector<Block> idle;  // latest released last
  size_t in_use = 0, idle_bytes = 0, most_in_use = 0;
};

// Never destroyed: tensors may outlive every static object.
Pool& pool() {
  static Pool* const p = new Pool;
  return *p;
}

void* map(size_t bytes) {
  void* const data = std::aligned_alloc(bytes < kHugePage ? 4096 : kHugePage, bytes);
  if (data == nullptr) throw std::bad_alloc();
  advise_huge_pages(data, (int64_t)bytes);
  return data;
}

Block take_idle(Pool& p, size_t index) {
  const Block block = p.idle[index];
  p.idle_bytes -= block.bytes;
  p.idle.erase(p.idle.begin() + (std::ptrdiff_t)index);
  return block;
}

}  // namespace

void advise_huge_pages(void* data, int64_t bytes) {
#if defined(__linux__)
  const uintptr_t begin = ((uintptr_t)data + kHugePage - 1) / kHugePage * kHugePage;
  const uintptr_t end = ((uintptr_t)data + bytes) / kHugePage * kHugePage;
  if (end > begin) madvise((void*)begin, end - begin, MADV_HUGEPAGE);
#else
  (void)data, (void)bytes;
#endif
}

Block allocate(size_t bytes) {
  const size_t step = bytes < kHugePage ? kSmallStep : kHugePage;
  bytes = (bytes + step - 1) / step * step;
  Pool& p = pool();
  const std::lock_guard<std::mutex> lock(p.mutex);
  size_t best = p.idle.size();
  for (size_t i = p.idle.size(); i-- > 0;) {
    const size_t size = p.idle[i].bytes;
    if (size < bytes || size / kLargestWaste > bytes) continue;
    if (best == p.idle.size() || size < p.idle[best].bytes) best = i;
  }
  Block block{nullptr, bytes};
  if (best < p.idle.size()) block = take_idle(p, best);
  p.in_use += block.bytes;
  p.most_in_use = std::max(p.most_in_use, p.in_use);
  if (block.data == nullptr) {
    while (!p.idle.empty() && p.in_use + p.idle_bytes > p.most_in_use) std::free(take_idle(p, 0).data);
    try {
      block.data = map(bytes);
    } catch (...) {
      p.in_use -= bytes;
      throw;
    }
  }
  return block;
}

void release(Block block) {
  Pool& p = pool();
  const std::lock_guard<std::mutex> lock(p.mutex);
  p.in_use -= block.bytes;
  p.idle_bytes += block.bytes;
  p.idle.push_back(block);
}

void release_idle() {
  Pool& p = pool();
  const std::lock_guard<std::mutex> lock(p.mutex);
  while (!p.idle.empty()) std::free(take_idle(p, p.idle.size() - 1).data);
  p.most_in_use = p.in_use;
}

Usage usage() {
  Pool& p = pool();
  const std::lock_guard<std::mutex> lock(p.mutex);
  return {p.in_use, p.idle_bytes};
}

}  // namespace fastloss::memory
