// The scheduler behind device/device.h: Note [Emulation] there.

#include <sanitizer/common_interface_defs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <numeric>

#include "watch.h"

// Puts the callee-saved registers on the stack, leaves the stack pointer in *from and goes on where `to` was left.
// By hand, since swapcontext makes system calls: a run switches some ten million times.
extern "C" void fastloss_switch(void** from, void* to);
#if defined(__x86_64__)
constexpr int kReturnAt = 6;
constexpr int kFrameWords = 8;  // one more, so that the entry finds the stack as a call leaves it
asm(R"(
.text
.globl fastloss_switch
.type fastloss_switch, @function
fastloss_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
)");
#elif defined(__aarch64__)
constexpr int kReturnAt = 11;
constexpr int kFrameWords = 20;
asm(R"(
.text
.globl fastloss_switch
.type fastloss_switch, %function
fastloss_switch:
  sub sp, sp, #160
  stp x19, x20, [sp]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
)");
#else
#error "the emulation switches stacks on x86_64 and aarch64 only"
#endif

namespace fastloss::cuda::emulation {

namespace {

constexpr int64_t kStack = 128 * 1024;

struct Task {
  Fiber fiber;
  void* context;  // stack pointer
  char* stack;
  void* fake_stack;
  const uint64_t* turn;  // runs on when this is no longer `value`
  uint64_t value;
  bool done;
};

std::vector<Task*> tasks;  // kept from launch to launch, with their stacks
void* scheduler;
void* scheduler_fake_stack;
const void* scheduler_stack;
size_t scheduler_stack_bytes;
Task* active;
void (*body)(void*);
void* argument;

void enter() {
  __sanitizer_finish_switch_fiber(active->fake_stack, &scheduler_stack, &scheduler_stack_bytes);
  body(argument);
  active->done = true;
  --active->fiber.block->running;
  if (active->fiber.arrived) fail("a thread ends between arriving at a cluster barrier and waiting");
  __sanitizer_start_switch_fiber(nullptr, scheduler_stack, scheduler_stack_bytes);
  fastloss_switch(&active->context, scheduler);
}

Task& task(size_t i) {
  while (tasks.size() <= i) {
    Task* t = new Task{};
    t->stack = (char*)mmap(nullptr, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (t->stack == MAP_FAILED) perror("emulation: mmap"), _exit(1);
    tasks.push_back(t);
  }
  return *tasks[i];
}

void resume(Task& t) {
  active = &t;
  current = &t.fiber;
  t.fiber.block->started = true;
  __sanitizer_start_switch_fiber(&scheduler_fake_stack, t.stack, kStack);
  fastloss_switch(&scheduler, t.context);
  __sanitizer_finish_switch_fiber(scheduler_fake_stack, nullptr, nullptr);
  current = nullptr;
}

uint64_t random_bits(uint64_t& state) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return state >> 33;
}

}  // namespace

void wait_while(const uint64_t* turn, uint64_t value) {
  if (*turn != value) return;
  Task& t = *active;
  t.turn = turn, t.value = value;
  __sanitizer_start_switch_fiber(&t.fake_stack, scheduler_stack, scheduler_stack_bytes);
  fastloss_switch(&t.context, scheduler);
  __sanitizer_finish_switch_fiber(t.fake_stack, &scheduler_stack, &scheduler_stack_bytes);
}

void run(int64_t blocks, int threads, int shared_bytes, int cluster, const Kernel& kernel) {
  if (threads % kWarp != 0) fail("a block that is no whole number of warps");
  if (threads > 1024 || shared_bytes > shared_limit) fail("a block larger than the device allows");
  if (cluster > largest_cluster || blocks % cluster != 0) fail("a cluster that the device cannot hold");
  ++launches;
  body = kernel.body, argument = kernel.argument;
  block_threads = threads, grid_blocks = blocks;
  const int n = cluster * threads;
  std::vector<int> order(n);
  uint64_t random = schedule;
  for (int64_t first = first_block; first < blocks; first += cluster) {
    std::vector<Block> members(cluster);
    std::vector<Warp> warps(n / kWarp);
    Cluster c{members.data(), cluster, threads};
    for (int r = 0; r < cluster; ++r) {
      Block& b = members[r];
      b.index = first + r, b.rank = r;
      b.shared = (char*)malloc(shared_bytes), b.shared_bytes = shared_bytes;
      memset(b.shared, 0xff, shared_bytes);
      b.warps = &warps[r * threads / kWarp];
      b.running = threads;
      b.cluster = &c;
    }
    for (int i = 0; i < n; ++i) {
      Task& t = task(i);
      t.fiber = {&members[i / threads], i % threads, 0, false};
      t.fake_stack = nullptr, t.turn = nullptr, t.done = false;
      void** const frame = (void**)(t.stack + kStack) - kFrameWords;
      memset(frame, 0, kFrameWords * sizeof(void*));
      frame[kReturnAt] = (void*)&enter;
      t.context = frame;
    }
    std::iota(order.begin(), order.end(), 0);
    if (schedule == 1) std::reverse(order.begin(), order.end());
    for (int left = n; left > 0;) {
      if (schedule > 3) {
        for (int i = n - 1; i > 0; --i) std::swap(order[i], order[random_bits(random) % (i + 1)]);
      }
      bool moved = false;
      const auto turn_of = [&](int i) {
        Task& t = *tasks[i];
        if (t.done || (t.turn && *t.turn == t.value)) return false;
        t.turn = nullptr;
        resume(t);
        left -= t.done;
        return true;
      };
      if (schedule == 2 || schedule == 3) {
        const int each = schedule == 2 ? threads : kWarp;
        for (int begin = 0; begin < n; begin += each) {
          for (bool again = true; again; moved = moved || again) {
            again = false;
            for (int i = begin; i < begin + each; ++i) again = turn_of(i) || again;
          }
        }
      } else {
        for (int i : order) moved = turn_of(i) || moved;
      }
      if (!moved) fail("threads wait for each other in vain");
    }
    for (Block& b : members) free(b.shared);
  }
}

}  // namespace fastloss::cuda::emulation
