#pragma once

// Memory of large CPU gradients. No torch header here: tensors receive blocks through DLPack (module.cpp).

#include <stddef.h>
#include <stdint.h>

#include <list>
#include <memory>

#include "core/macros.h"

namespace fastloss::memory {

// Tells the kernel to back fresh memory with huge pages before its first write. A fresh 262 MB gradient in 4 KiB pages
// costs more in page faults than in computing (69 of 98 ms, measured); on small blocks, or on a kernel without huge
// pages, this changes nothing.
void advise_huge_pages(void* data, int64_t bytes);

// Note [Gradient pool]
// A training step makes one gradient of the same size and drops it again. The C library gives blocks of 32 MiB and more
// back to the kernel each time, smaller ones whenever enough memory at the end of its heap is free: every step the kernel
// then zeroes memory that is about to be overwritten (16 of 30 ms for 262 MB, huge pages included). The pool keeps such
// blocks. It counts in huge pages (requests below one in 64 KiB), and what it holds, in use and idle, never exceeds the
// most that was in use at once: it costs no peak memory. A block also serves a request of down to half its size, since
// batches of varying length then share one; what such a request leaves over is idle, and given back as other idle memory
// is: when a new block would otherwise exceed the bound, and by `release_idle`.

struct Block {
  void* data;
  size_t bytes;
  size_t used;  // of them; 0: idle
};
using Loan = std::list<Block>::iterator;

// Ends a call that found no memory with the words of PyTorch's own allocator, which programs that retry look for.
[[noreturn]] void throw_out_of_memory(size_t bytes);

// Memory for one call.
using Scratch = std::unique_ptr<void, void (*)(void*)>;
Scratch scratch(size_t bytes);

// A block with at least this many bytes, aligned to huge pages; contents undefined. Throws as `throw_out_of_memory`.
FASTLOSS_EXPORT Loan allocate(size_t bytes);
FASTLOSS_EXPORT void release(Loan loan);  // from any thread
FASTLOSS_EXPORT void release_idle();

struct Usage {
  size_t in_use, idle;  // bytes
};
FASTLOSS_EXPORT Usage usage();

}  // namespace fastloss::memory
