#include "ops/tensors.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace fastloss::ops {

void advise_huge_pages(void* data, int64_t bytes) {
#if defined(__linux__)
  constexpr uintptr_t huge = 2 << 20;
  const uintptr_t begin = ((uintptr_t)data + huge - 1) / huge * huge;
  const uintptr_t end = ((uintptr_t)data + bytes) / huge * huge;
  if (end > begin) madvise((void*)begin, end - begin, MADV_HUGEPAGE);
#else
  (void)data, (void)bytes;
#endif
}

}  // namespace fastloss::ops
