#include "torch/memory.h"

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <stdexcept>
#include <string>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace fastloss::memory {
namespace {

constexpr size_t kHugePage = 2 << 20;
constexpr size_t kSmallStep = 64 << 10;  // blocks below a huge page are multiples of this
// A block serves requests down to this share of its size.
#if defined(__linux__)
constexpr size_t kLargestWaste = 2;
#else
constexpr size_t kLargestWaste = 1;  // a part of a block cannot be given back
#endif

struct Pool {
  std::mutex mutex;
  std::list<Block> lent, idle;                   // latest released last
  size_t held = 0, in_use = 0, most_in_use = 0;  // bytes: of all blocks; used ones of those lent
};

// Never destroyed: tensors may outlive every static object.
Pool& pool() {
  static Pool* const p = new Pool;
  return *p;
}

// The memory behind what is used; the addresses stay with the block until it is freed. `free` alone gives no memory of
// the C library's heap back, and the heap lends blocks of up to 32 MiB, larger ones where it has room.
void give_back_rest(Block& block) {
#if defined(__linux__)
  if (block.bytes > block.used) madvise((char*)block.data + block.used, block.bytes - block.used, MADV_DONTNEED);
#endif
  block.bytes = block.used;
}

// Gives idle memory back until at most so many bytes are held, or all of it.
void shrink(Pool& p, size_t most) {
  while (!p.idle.empty() && p.held > most) {
    p.held -= p.idle.front().bytes;
    give_back_rest(p.idle.front());
    std::free(p.idle.front().data);
    p.idle.pop_front();
  }
  for (Loan loan = p.lent.begin(); loan != p.lent.end() && p.held > most; ++loan) {
    p.held -= loan->bytes - loan->used;
    give_back_rest(*loan);
  }
}

// New memory, if need be that of all idle blocks.
void* map(Pool& p, size_t bytes) {
  const size_t alignment = bytes < kHugePage ? 4096 : kHugePage;
  void* data = std::aligned_alloc(alignment, bytes);
  if (data == nullptr) {
    shrink(p, 0);
    data = std::aligned_alloc(alignment, bytes);
  }
  if (data == nullptr) throw_out_of_memory(bytes);
  advise_huge_pages(data, (int64_t)bytes);
  return data;
}

}  // namespace

void throw_out_of_memory(size_t bytes) {
  throw std::runtime_error(
      "[enforce fail at fastloss] DefaultCPUAllocator: can't allocate memory: you tried to allocate " +
      std::to_string(bytes) + " bytes. Error code 12 (Cannot allocate memory)");
}

Scratch scratch(size_t bytes) {
  Scratch memory(std::malloc(bytes), std::free);
  if (!memory && bytes > 0) throw_out_of_memory(bytes);
  return memory;
}

void advise_huge_pages(void* data, int64_t bytes) {
#if defined(__linux__)
  const uintptr_t begin = ((uintptr_t)data + kHugePage - 1) / kHugePage * kHugePage;
  const uintptr_t end = ((uintptr_t)data + bytes) / kHugePage * kHugePage;
  if (end > begin) madvise((void*)begin, end - begin, MADV_HUGEPAGE);
#else
  (void)data, (void)bytes;
#endif
}

Loan allocate(size_t bytes) {
  const size_t step = bytes < kHugePage ? kSmallStep : kHugePage;
  bytes = (bytes + step - 1) / step * step;
  Pool& p = pool();
  const std::lock_guard<std::mutex> lock(p.mutex);
  const size_t most_in_use = std::max(p.most_in_use, p.in_use + bytes);
  Loan best = p.idle.end();
  for (Loan block = p.idle.begin(); block != p.idle.end(); ++block) {
    if (block->bytes < bytes || block->bytes / kLargestWaste > bytes) continue;
    if (best == p.idle.end() || block->bytes <= best->bytes) best = block;
  }
  if (best == p.idle.end()) {
    shrink(p, most_in_use - bytes);
    std::list<Block> fresh(1);
    fresh.front() = {map(p, bytes), bytes, 0};
    p.held += bytes;
    best = fresh.begin();
    p.lent.splice(p.lent.end(), fresh);
  } else {
    p.lent.splice(p.lent.end(), p.idle, best);
  }
  best->used = bytes;
  p.in_use += bytes;
  p.most_in_use = most_in_use;
  return best;
}

void release(Loan loan) {
  Pool& p = pool();
  const std::lock_guard<std::mutex> lock(p.mutex);
  p.in_use -= loan->used;
  loan->used = 0;
  p.idle.splice(p.idle.end(), p.lent, loan);
}

void release_idle() {
  Pool& p = pool();
  const std::lock_guard<std::mutex> lock(p.mutex);
  shrink(p, 0);
  p.most_in_use = p.in_use;
}

Usage usage() {
  Pool& p = pool();
  const std::lock_guard<std::mutex> lock(p.mutex);
  return {p.in_use, p.held - p.in_use};
}

}  // namespace fastloss::memory
