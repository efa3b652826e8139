#pragma once

// csrc/device/device.h for the host: the include path of the emulation puts this file in its place, so that the CUDA
// kernels, as they are, compile with the host's compiler and run under its sanitizers.
//
// Note [Emulation]
// Each thread of a block is a fiber with its own stack. A fiber runs until it must wait for others (barrier, shuffle,
// cluster barrier); then the scheduler goes on with another. Clusters run one after the other, the blocks of a
// cluster together. The order in which fibers get their turn is one of several (`schedule`), so that a missing
// barrier lets some fiber read what another has not yet written, or overwrite what another has not yet read.
//
// What fails, with a message: threads that wait for each other in vain, a thread that ends while its block waits for
// it, lanes that meet at different shuffles or with masks that leave themselves out, vector accesses off their
// alignment, stores to another block's shared memory before that block runs or after it ended, and a second write to
// an element that is watched (`watch`). Shared memory is a heap block of exactly the launched size, filled with NaN,
// so the address sanitizer sees a stray access and NaN a read before the first write.
//
// What is not modelled: the weak memory order of hardware between barriers, registers, occupancy, time.

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "core/macros.h"

#define FASTLOSS_DEVICE inline
#define FASTLOSS_KERNEL(threads, blocks) void
#define FASTLOSS_UNROLL
#define FASTLOSS_UNROLL_BY(n)

namespace fastloss::cuda {

// ----------------------------------------------------------------------------------------------------- emulation

namespace emulation {

constexpr int kWarp = 32;
constexpr int kWordBytes = 16;

struct Warp {
  unsigned arrived = 0;
  unsigned mask = 0;
  int operation = 0;
  uint64_t turn = 0;
  alignas(16) char values[2][kWarp][kWordBytes];
};

struct Cluster;

struct Block {
  int64_t index;
  int rank;
  char* shared;
  int64_t shared_bytes;
  Warp* warps;
  int arrived = 0;
  uint64_t turn = 0;
  bool started = false;
  int running;
  Cluster* cluster;
};

struct Cluster {
  Block* blocks;
  int size;
  int threads;
  int arrived = 0;
  uint64_t turn = 0;
};

struct Fiber {
  Block* block;
  int thread;
  uint64_t cluster_turn;  // in which this thread last arrived
  bool arrived;
};

// The fiber that runs, and the launch it belongs to.
extern Fiber* current;
extern int block_threads;
extern int64_t grid_blocks;

void wait_while(const uint64_t* turn, uint64_t value);
[[noreturn]] void fail(const char* what);
void written(const void* p, int64_t bytes);
void written_before(const void* p, int64_t bytes);  // fails if it was not

// A launched kernel: `body` of `argument` is one thread's call of `function`, whose arguments lie at `given`.
struct Argument {
  const void* data;
  int bytes;
};
struct Kernel {
  void (*body)(void*);
  void* argument;
  const void* function;
  const Argument* given;
  int count;
};

// Runs the kernel once for every thread of the grid: the host's (emulation.cpp) or what nvcc made of it (ptx.cpp).
void run(int64_t blocks, int threads, int shared_bytes, int cluster, const Kernel& kernel);

// What the tests set: order of the fibers (0 forwards, 1 backwards, 2 each block of a cluster as far as it gets before
// another starts, 3 likewise each warp, else random from this seed), and what the device can do.
extern uint64_t schedule;
extern int shared_limit;
extern int largest_cluster;
extern int64_t first_block;  // of a grid that is run from there on only: no test has time for one of 2^33 elements
// Every element of these bytes may be written once (in PTX any number of times, by one thread). `unwatch` returns how many
// elements were not written.
void watch(const void* p, int64_t bytes, int64_t element);
int64_t unwatch(const void* p);
extern int64_t launches;
extern bool reads_over_ends;  // and drops the neighbours' elements, which may be written meanwhile: rows in place

inline void check_aligned(const void* p, int64_t bytes) {
  if ((uintptr_t)p % bytes != 0) fail("a vector access is off its alignment");
}

// Every lane of `mask` puts a word and gets the words of all.
inline const char (*exchange(const void* value, int bytes, int operation, unsigned mask)) [kWordBytes] {
  Fiber& self = *current;
  Warp& warp = self.block->warps[self.thread / kWarp];
  const int lane = self.thread % kWarp;
  if (!(mask >> lane & 1)) fail("a lane takes part in an exchange whose mask leaves it out");
  if (warp.arrived == 0) {
    warp.mask = mask, warp.operation = operation;
  } else if (warp.mask != mask || warp.operation != operation) {
    fail("lanes of a warp meet at different exchanges");
  }
  const uint64_t turn = warp.turn;
  memcpy(warp.values[turn % 2][lane], value, bytes);
  warp.arrived |= 1u << lane;
  if (warp.arrived == mask) {
    warp.arrived = 0;
    ++warp.turn;
  } else {
    wait_while(&warp.turn, turn);
  }
  return warp.values[turn % 2];
}

}  // namespace emulation

// ------------------------------------------------------------------------------------------- threads and barriers

inline int thread() { return emulation::current->thread; }
inline int block_threads() { return emulation::block_threads; }
inline int64_t block() { return emulation::current->block->index; }
inline int64_t blocks() { return emulation::grid_blocks; }

inline void block_barrier() {
  emulation::Block& b = *emulation::current->block;
  const uint64_t turn = b.turn;
  if (b.running != emulation::block_threads) emulation::fail("a barrier after a thread of its block has ended");
  if (++b.arrived == emulation::block_threads) {
    b.arrived = 0;
    ++b.turn;
  } else {
    emulation::wait_while(&b.turn, turn);
  }
}

inline char* shared_memory() { return emulation::current->block->shared; }

inline void forget_memory() {}
inline int forget_origin(int x) { return x; }
inline int64_t forget_origin(int64_t x) { return x; }

constexpr unsigned kAllLanes = 0xffffffffu;

template <class T>
T shuffle_xor(T value, int lanes, unsigned mask = kAllLanes) {
  const int from = thread() % emulation::kWarp ^ lanes;
  if (!(mask >> from & 1)) emulation::fail("a shuffle reads a lane that its mask leaves out");
  const auto words = emulation::exchange(&value, sizeof(T), lanes * 64 + (int)sizeof(T), mask);
  T other;
  memcpy(&other, words[from], sizeof(T));
  return other;
}
inline bool any_lane(bool value) {
  const auto words = emulation::exchange(&value, 1, 1 << 20, kAllLanes);
  bool any = false;
  for (int lane = 0; lane < emulation::kWarp; ++lane) any = any || words[lane][0];
  return any;
}

// ------------------------------------------------------------------------------------------------------ clusters

inline int cluster_rank() { return emulation::current->block->rank; }
inline void cluster_arrive() {
  emulation::Fiber& self = *emulation::current;
  emulation::Cluster& c = *self.block->cluster;
  if (self.arrived) emulation::fail("a thread arrives twice at a cluster barrier");
  self.arrived = true;
  self.cluster_turn = c.turn;
  if (++c.arrived == c.size * c.threads) {
    c.arrived = 0;
    ++c.turn;
  }
}
inline void cluster_arrive_relaxed() { cluster_arrive(); }
inline void cluster_wait() {
  emulation::Fiber& self = *emulation::current;
  if (!self.arrived) emulation::fail("a thread waits at a cluster barrier where it has not arrived");
  self.arrived = false;
  emulation::wait_while(&self.block->cluster->turn, self.cluster_turn);
}
inline void cluster_store(double* local, int rank, double value) {
  emulation::Block& here = *emulation::current->block;
  const int64_t offset = (char*)local - here.shared;
  if (offset < 0 || offset + (int64_t)sizeof(double) > here.shared_bytes) {
    emulation::fail("a cluster store outside shared memory");
  }
  if (rank < 0 || rank >= here.cluster->size) emulation::fail("a cluster store to a block that does not exist");
  emulation::Block& there = here.cluster->blocks[rank];
  if (!there.started) emulation::fail("a cluster store to a block that may not have started");
  if (there.running != emulation::block_threads) emulation::fail("a cluster store to a block that may have ended");
  memcpy(there.shared + offset, &value, sizeof(value));
}

// ------------------------------------------------------------------------------------------------------- numbers

struct BFloat16 {
  uint16_t bits;
};
struct Half {
  uint16_t bits;
};

inline float maximum(float a, float b) { return fmaxf(a, b); }
inline double maximum(double a, double b) { return fmax(a, b); }

inline float widen(float x) { return x; }
inline double widen(double x) { return x; }
inline float widen(BFloat16 x) {
  const uint32_t wide = (uint32_t)x.bits << 16;
  float f;
  memcpy(&f, &wide, sizeof(f));
  return f;
}
inline float widen(Half x) {
  const int exponent = x.bits >> 10 & 31, mantissa = x.bits & 1023;
  const float sign = x.bits >> 15 ? -1.0f : 1.0f;
  if (exponent == 31) return mantissa ? (float)NAN : sign * (float)INFINITY;
  return sign * (exponent ? ldexpf((float)(1024 + mantissa), exponent - 25) : ldexpf((float)mantissa, -24));
}

template <class S>
S narrow(double x) {
  return (S)x;
}
template <class S>
S narrow(float x) {
  return (S)x;
}
template <>
inline BFloat16 narrow<BFloat16>(float x) {
  uint32_t wide;
  memcpy(&wide, &x, sizeof(x));
  if (x != x) return {0x7fff};
  return {(uint16_t)((wide + 0x7fff + (wide >> 16 & 1)) >> 16)};
}
template <>
inline Half narrow<Half>(float x) {
  const uint16_t sign = signbit(x) ? 0x8000 : 0;
  if (x != x) return {0x7fff};
  const float size = fabsf(x);
  if (size >= 65520.0f) return {(uint16_t)(sign | 0x7c00)};
  if (size < 0x1p-14f) return {(uint16_t)(sign | (int)nearbyintf(size * 0x1p24f))};
  const int exponent = ilogbf(size);
  return {(uint16_t)(sign | (((exponent + 14) << 10) + (int)nearbyintf(ldexpf(size, 10 - exponent))))};
}

inline float minus(float a, float b) { return a - b; }
inline double minus(double a, double b) { return a - b; }
inline float exp2_of(float x) {
  const float y = exp2f(x);
  return y < 0x1p-126f ? 0.0f : y;
}
inline float log2_of(float x) { return log2f(x); }
inline float normal_log2_of(float x) { return log2f(x); }
inline float root_of(float x) { return sqrtf(x); }
inline float normal_root_of(float x) { return sqrtf(x); }
inline float reciprocal_of(float x) { return 1 / x; }
inline float quotient_of(float a, float b) { return a / b; }
template <class S>
float exp_of(float x) {
  return sizeof(S) > 2 ? expf(x) : exp2_of(x * 1.4426950408889634f);
}
template <class S>
double exp_of(double x) {
  return exp(x);
}

// ------------------------------------------------------------------------------------------------- wide accesses

template <class S, int N>
struct Pack {
  S v[N];
};

template <int N, class S>
Pack<S, N> load_pack(const S* p) {
  emulation::check_aligned(p, N * sizeof(S));
  Pack<S, N> pack;
  memcpy(&pack, p, sizeof(pack));
  return pack;
}
template <int N, class S>
Pack<S, N> load_pack_once(const S* p) {
  return load_pack<N>(p);
}
template <int N, class S>
void store_pack(S* p, const Pack<S, N>& pack) {
  emulation::check_aligned(p, N * sizeof(S));
  emulation::written(p, sizeof(pack));
  memcpy(p, &pack, sizeof(pack));
}
template <int N, class S>
void store_pack_global(S* p, const Pack<S, N>& pack) {
  store_pack<N>(p, pack);
}
template <class S, int N, class T>
void widen_pack(const Pack<S, N>& pack, T (&to)[N]) {
  for (int k = 0; k < N; ++k) to[k] = widen(pack.v[k]);
}
template <class S, class T, int N>
Pack<S, N> narrow_pack(const T (&values)[N]) {
  Pack<S, N> pack;
  for (int k = 0; k < N; ++k) pack.v[k] = narrow<S>(values[k]);
  return pack;
}
template <int N, class S>
Pack<S, N> fill_pack(S value) {
  Pack<S, N> pack;
  for (int k = 0; k < N; ++k) pack.v[k] = value;
  return pack;
}
template <class S, int N, int packs>
Pack<S, N> largest_each(const Pack<S, N> (&pack)[packs]) {
  Pack<S, N> top = pack[0];
  for (int i = N; i < packs * N; ++i) {
    top.v[i % N] = narrow<S>(maximum(widen(top.v[i % N]), widen(pack[i / N].v[i % N])));
  }
  return top;
}
template <class S, int N, int packs>
auto largest(const Pack<S, N> (&pack)[packs]) {
  auto top = widen(pack[0].v[0]);
  for (int i = 1; i < packs * N; ++i) top = maximum(top, widen(pack[i / N].v[i % N]));
  return top;
}
template <class S, int N>
void forget_origin(Pack<S, N>&) {}
template <class S>
void store_one(S* p, S value) {
  emulation::written(p, sizeof(S));
  *p = value;
}
template <class S>
void store_again(S* p, S value) {
  emulation::written_before(p, sizeof(S));
  *p = value;
}

// -------------------------------------------------------------------------------------------------------- launch

using Stream = void*;

struct Grid {
  int64_t blocks = 1;
  int threads = 128;
  int shared_bytes = 0;
  int cluster = 1;
};

struct Limits {
  int multiprocessors;
  int shared_bytes;
  bool clusters;
};

inline int device_number() { return 1 << 20; }  // a new one every time: what it can do changes

inline Limits limits() { return {4, emulation::shared_limit, emulation::largest_cluster > 1}; }

template <class A>
struct Same {
  using type = A;
};

template <class... Arguments>
int launch(void (*kernel)(Arguments...), const Grid& grid, Stream, typename Same<Arguments>::type... arguments) {
  if (grid.shared_bytes > emulation::shared_limit || grid.cluster > emulation::largest_cluster) return 1;
  auto body = [&] { kernel(arguments...); };
  const emulation::Argument given[] = {{&arguments, (int)sizeof(arguments)}...};
  emulation::run(grid.blocks, grid.threads, grid.shared_bytes, grid.cluster,
                 {[](void* p) { (*(decltype(body)*)p)(); }, &body, (const void*)kernel, given, sizeof...(Arguments)});
  return 0;
}

template <class... Arguments>
bool fits(void (*)(Arguments...), const Grid& grid) {
  return grid.cluster <= emulation::largest_cluster && grid.shared_bytes <= emulation::shared_limit;
}

inline int runs_on(int device, const void*) { return device; }
inline int driver_version() { return 0; }

inline const char* error_text(int) { return "emulated"; }

}  // namespace fastloss::cuda
