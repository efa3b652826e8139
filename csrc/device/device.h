#pragma once

// Everything the CUDA kernels ask of the hardware, and nothing else: the kernels themselves are plain C++ on top of
// this. tests/emulation/cuda/device.h offers the same names on the host, so that the same .cu files run without a GPU.
//
// Shared memory is dynamic only: the emulation runs the blocks of a cluster at once, each with its own.

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <stdint.h>
#include <string.h>

#include "core/macros.h"

#define FASTLOSS_DEVICE __device__ __forceinline__
#define FASTLOSS_KERNEL(threads, blocks) __global__ void __launch_bounds__(threads, blocks)
#define FASTLOSS_UNROLL _Pragma("unroll")
#define FASTLOSS_UNROLL_BY(n) FASTLOSS_PRAGMA(unroll n)
#define FASTLOSS_PRAGMA(text) _Pragma(#text)

namespace fastloss::cuda {

using BFloat16 = __nv_bfloat16;
using Half = __half;

// ------------------------------------------------------------------------------------------- threads and barriers

FASTLOSS_DEVICE int thread() { return (int)threadIdx.x; }
FASTLOSS_DEVICE int block_threads() { return (int)blockDim.x; }
FASTLOSS_DEVICE int64_t block() { return blockIdx.x; }
FASTLOSS_DEVICE int64_t blocks() { return gridDim.x; }
FASTLOSS_DEVICE void block_barrier() { __syncthreads(); }

FASTLOSS_DEVICE char* shared_memory() {
  extern __shared__ __align__(16) char fastloss_shared_memory[];
  return fastloss_shared_memory;
}

// Memory must be read again behind this: the compiler would keep in registers what was just stored, and spill.
FASTLOSS_DEVICE void forget_memory() { asm volatile("" ::: "memory"); }

// The same number, but the compiler no longer knows how it came about: it neither computes it again in every turn of a loop nor
// keeps what follows from it in registers for the next.
FASTLOSS_DEVICE int forget_origin(int x) {
  asm volatile("" : "+r"(x));
  return x;
}
FASTLOSS_DEVICE int64_t forget_origin(int64_t x) {
  asm volatile("" : "+l"(x));
  return x;
}

constexpr unsigned kAllLanes = 0xffffffffu;

template <class T>
FASTLOSS_DEVICE T shuffle_xor(T value, int lanes, unsigned mask = kAllLanes) {
  return __shfl_xor_sync(mask, value, lanes);
}
FASTLOSS_DEVICE bool any_lane(bool value) { return __any_sync(kAllLanes, value); }

// ------------------------------------------------------------------------------------------------------ clusters
// Thread-block clusters exist from compute capability 9.0 on; the host launches none elsewhere.

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
FASTLOSS_DEVICE int cluster_rank() {
  uint32_t rank;
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return (int)rank;
}
FASTLOSS_DEVICE void cluster_arrive() { asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory"); }
// Publishes no writes, and does not wait for them.
FASTLOSS_DEVICE void cluster_arrive_relaxed() { asm volatile("barrier.cluster.arrive.relaxed.aligned;" ::: "memory"); }
FASTLOSS_DEVICE void cluster_wait() { asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory"); }

// Writes to the place that `local`, an address in this block's shared memory, has in the block of that rank.
FASTLOSS_DEVICE void cluster_store(double* local, int rank, double value) {
  uint32_t remote;
  asm("mapa.shared::cluster.u32 %0, %1, %2;"
      : "=r"(remote)
      : "r"((uint32_t)__cvta_generic_to_shared(local)), "r"(rank));
  asm volatile("st.shared::cluster.f64 [%0], %1;" ::"r"(remote), "d"(value) : "memory");
}
#else
FASTLOSS_DEVICE int cluster_rank() { return 0; }
FASTLOSS_DEVICE void cluster_arrive() { __trap(); }
FASTLOSS_DEVICE void cluster_arrive_relaxed() { __trap(); }
FASTLOSS_DEVICE void cluster_wait() { __trap(); }
FASTLOSS_DEVICE void cluster_store(double*, int, double) { __trap(); }
#endif

// ------------------------------------------------------------------------------------------------------ numbers

FASTLOSS_DEVICE float maximum(float a, float b) { return fmaxf(a, b); }  // drops NaN; one instruction
FASTLOSS_DEVICE double maximum(double a, double b) { return fmax(a, b); }

FASTLOSS_DEVICE float widen(float x) { return x; }
FASTLOSS_DEVICE double widen(double x) { return x; }
FASTLOSS_DEVICE float widen(BFloat16 x) { return __bfloat162float(x); }
FASTLOSS_DEVICE float widen(Half x) { return __half2float(x); }

template <class S>
FASTLOSS_DEVICE S narrow(double x) {
  return (S)x;
}
template <class S>
FASTLOSS_DEVICE S narrow(float x) {
  return (S)x;
}
template <>
FASTLOSS_DEVICE BFloat16 narrow<BFloat16>(float x) {
  return __float2bfloat16_rn(x);
}
template <>
FASTLOSS_DEVICE Half narrow<Half>(float x) {
  return __float2half_rn(x);
}

// 2^x in one instruction, within 2 units; 0 where it would be subnormal.
FASTLOSS_DEVICE float exp2_of(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// The base-2 logarithm within 2^-22, from 2 on within 2 units.
FASTLOSS_DEVICE float log2_of(float x) {
  float y;
  asm("lg2.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
// The same in one instruction instead of four, for numbers that are not subnormal.
FASTLOSS_DEVICE float normal_log2_of(float x) {
  float y;
  asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
// The square root within a unit, likewise.
FASTLOSS_DEVICE float root_of(float x) {
  float y;
  asm("sqrt.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
FASTLOSS_DEVICE float normal_root_of(float x) {
  float y;
  asm("sqrt.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
// 1 / x within a unit; 0 beyond 2^126.
FASTLOSS_DEVICE float reciprocal_of(float x) {
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
// a / b within 2 units.
FASTLOSS_DEVICE float quotient_of(float a, float b) {
  float q;
  asm("div.full.f32 %0, %1, %2;" : "=f"(q) : "f"(a), "f"(b));
  return q;
}

// e^x, as good as what was stored as an S deserves: for half precision within 2 + 0.61 |x| units of float (x times a rounded
// log2 e, then `exp2_of`). A third of expf's instructions.
template <class S>
FASTLOSS_DEVICE float exp_of(float x) {
  return sizeof(S) > 2 ? expf(x) : exp2_of(x * 1.4426950408889634f);
}
template <class S>
FASTLOSS_DEVICE double exp_of(double x) {
  return exp(x);
}

// a - b of an `a` that was rounded: a product and the subtraction from it would else be one operation, which rounds once.
FASTLOSS_DEVICE float minus(float a, float b) { return __fsub_rn(a, b); }
FASTLOSS_DEVICE double minus(double a, double b) { return __dsub_rn(a, b); }

// ------------------------------------------------------------------------------------------------- wide accesses

// N adjacent values, read and written in one instruction.
template <class S, int N>
struct Pack {
  S v[N];
};

template <int bytes>
struct Word;
template <>
struct Word<2> {
  using type = uint16_t;
};
template <>
struct Word<4> {
  using type = uint32_t;
};
template <>
struct Word<8> {
  using type = uint2;
};
template <>
struct Word<16> {
  using type = uint4;
};

template <int N, class S>
FASTLOSS_DEVICE Pack<S, N> load_pack(const S* p) {
  using W = typename Word<N * sizeof(S)>::type;
  const W word = *reinterpret_cast<const W*>(p);
  Pack<S, N> pack;
  memcpy(&pack, &word, sizeof(word));
  return pack;
}

// The same of what nobody reads again: the first to leave the caches.
template <int N, class S>
FASTLOSS_DEVICE Pack<S, N> load_pack_once(const S* p) {
  using W = typename Word<N * sizeof(S)>::type;
  const W word = __ldcs(reinterpret_cast<const W*>(p));
  Pack<S, N> pack;
  memcpy(&pack, &word, sizeof(word));
  return pack;
}

template <class S, int N>
FASTLOSS_DEVICE auto word_of(const Pack<S, N>& pack) {
  typename Word<N * sizeof(S)>::type word;
  memcpy(&word, &pack, sizeof(word));
  return word;
}

template <int N, class S>
FASTLOSS_DEVICE void store_pack(S* p, const Pack<S, N>& pack) {
  const auto word = word_of(pack);
  *reinterpret_cast<decltype(word_of(pack))*>(p) = word;
}

// The same to global memory, as one instruction: the compiler splits some into words.
template <int N, class S>
FASTLOSS_DEVICE void store_pack_global(S* p, const Pack<S, N>& pack) {
  const auto word = word_of(pack);
  __stwb(reinterpret_cast<decltype(word_of(pack))*>(p), word);
}

// Two half values in a word: what the hardware does to both at once, and the compiler only if told.
template <class S>
struct Two;
template <>
struct Two<BFloat16> {
  using type = __nv_bfloat162;
  FASTLOSS_DEVICE static type narrow(float a, float b) { return __floats2bfloat162_rn(a, b); }
  FASTLOSS_DEVICE static void widen(uint32_t word, float& a, float& b) {
    a = __uint_as_float(word << 16);
    b = __uint_as_float(word & 0xffff0000u);
  }
};
template <>
struct Two<Half> {
  using type = __half2;
  FASTLOSS_DEVICE static type narrow(float a, float b) { return __floats2half2_rn(a, b); }
  FASTLOSS_DEVICE static void widen(uint32_t word, float& a, float& b) {
    type two;
    memcpy(&two, &word, sizeof(two));
    const float2 both = __half22float2(two);
    a = both.x, b = both.y;
  }
};

// The values of a pack, and a pack of values.
template <class S, int N, class T>
FASTLOSS_DEVICE void widen_pack(const Pack<S, N>& pack, T (&to)[N]) {
  if constexpr (sizeof(S) == 2 && N % 2 == 0) {
    uint32_t words[N / 2];
    memcpy(words, &pack, sizeof(words));
    FASTLOSS_UNROLL
    for (int k = 0; k < N / 2; ++k) Two<S>::widen(words[k], to[2 * k], to[2 * k + 1]);
  } else {
    FASTLOSS_UNROLL
    for (int k = 0; k < N; ++k) to[k] = widen(pack.v[k]);
  }
}
template <class S, class T, int N>
FASTLOSS_DEVICE Pack<S, N> narrow_pack(const T (&values)[N]) {
  Pack<S, N> pack;
  if constexpr (sizeof(S) == 2 && N % 2 == 0) {
    typename Two<S>::type words[N / 2];
    FASTLOSS_UNROLL
    for (int k = 0; k < N / 2; ++k) words[k] = Two<S>::narrow(values[2 * k], values[2 * k + 1]);
    memcpy(&pack, words, sizeof(pack));
  } else {
    FASTLOSS_UNROLL
    for (int k = 0; k < N; ++k) pack.v[k] = narrow<S>(values[k]);
  }
  return pack;
}

// N times the same value. By words, or the compiler takes later loads over it apart.
template <int N, class S>
FASTLOSS_DEVICE Pack<S, N> fill_pack(S value) {
  Pack<S, N> pack;
  if constexpr (sizeof(S) == 2) {
    uint16_t half;
    memcpy(&half, &value, sizeof(half));
    uint32_t words[N / 2];
    FASTLOSS_UNROLL
    for (int k = 0; k < N / 2; ++k) words[k] = half * 0x10001u;
    memcpy(&pack, words, sizeof(pack));
  } else {
    FASTLOSS_UNROLL
    for (int k = 0; k < N; ++k) pack.v[k] = value;
  }
  return pack;
}

// The largest value of some packs at each place, NaN apart.
template <class S, int N, int packs>
FASTLOSS_DEVICE Pack<S, N> largest_each(const Pack<S, N> (&pack)[packs]) {
  Pack<S, N> result = pack[0];
  if constexpr (sizeof(S) == 2 && N % 2 == 0) {
    typename Two<S>::type top[N / 2], words[N / 2];
    memcpy(top, &pack[0], sizeof(top));
    FASTLOSS_UNROLL
    for (int u = 1; u < packs; ++u) {
      memcpy(words, &pack[u], sizeof(words));
      FASTLOSS_UNROLL
      for (int k = 0; k < N / 2; ++k) top[k] = __hmax2(top[k], words[k]);
    }
    memcpy(&result, top, sizeof(result));
  } else {
    FASTLOSS_UNROLL
    for (int i = N; i < packs * N; ++i) {
      result.v[i % N] = narrow<S>(maximum(widen(result.v[i % N]), widen(pack[i / N].v[i % N])));
    }
  }
  return result;
}

// The largest of all their values.
template <class S, int N, int packs>
FASTLOSS_DEVICE auto largest(const Pack<S, N> (&pack)[packs]) {
  const Pack<S, N> each = largest_each(pack);
  if constexpr (sizeof(S) == 2 && N % 2 == 0) {
    typename Two<S>::type top[N / 2];
    memcpy(top, &each, sizeof(top));
    FASTLOSS_UNROLL
    for (int n = N / 4; n > 0; n /= 2) {
      FASTLOSS_UNROLL
      for (int k = 0; k < n; ++k) top[k] = __hmax2(top[k], top[k + n]);
    }
    return maximum(widen(top[0].x), widen(top[0].y));
  } else {
    auto top = widen(each.v[0]);
    FASTLOSS_UNROLL
    for (int i = 1; i < N; ++i) top = maximum(top, widen(each.v[i]));
    return top;
  }
}

// The pack is what it was, but the compiler no longer knows how it came about: what was computed from it is computed again
// instead of kept in registers.
template <class S, int N>
FASTLOSS_DEVICE void forget_origin(Pack<S, N>& pack) {
  static_assert(sizeof(pack) == 16);
  uint4 word;
  memcpy(&word, &pack, sizeof(word));
  asm volatile("" : "+r"(word.x), "+r"(word.y), "+r"(word.z), "+r"(word.w));
  memcpy(&pack, &word, sizeof(word));
}

// One value; by name so that the emulation can count what is written. `store_again` replaces what this thread wrote.
template <class S>
FASTLOSS_DEVICE void store_one(S* p, S value) {
  *p = value;
}
template <class S>
FASTLOSS_DEVICE void store_again(S* p, S value) {
  *p = value;
}

// -------------------------------------------------------------------------------------------------------- launch

using Stream = cudaStream_t;

struct Grid {
  int64_t blocks = 1;
  int threads = 128;
  int shared_bytes = 0;
  int cluster = 1;  // blocks per cluster; divides `blocks`
};

struct Limits {
  int multiprocessors;
  int shared_bytes;  // that a block may ask for
  bool clusters;
};

inline int device_number() {
  int device = 0;
  return cudaGetDevice(&device) == cudaSuccess ? device : 0;
}

// Of the current device.
inline Limits limits() {
  const auto get = [](cudaDeviceAttr attribute) {
    int value = 0;
    return cudaDeviceGetAttribute(&value, attribute, device_number()) == cudaSuccess ? value : 0;
  };
  return {get(cudaDevAttrMultiProcessorCount), get(cudaDevAttrMaxSharedMemoryPerBlockOptin),
          get(cudaDevAttrComputeCapabilityMajor) >= 9};
}

// An error that the runtime remembers would be raised again by whoever asks next.
inline int report(cudaError_t error) {
  if (error != cudaSuccess) cudaGetLastError();
  return error;
}

// Allows a kernel what the grid asks beyond what any may have: all shared memory that a block can get, since another thread's
// smaller launch would take the rest away again.
inline cudaError_t allow(const void* kernel, const Grid& grid) {
  cudaError_t error = cudaSuccess;
  if (grid.shared_bytes > 48 * 1024) {
    error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, limits().shared_bytes);
  }
  if (error == cudaSuccess && grid.cluster > 8) {
    error = cudaFuncSetAttribute(kernel, cudaFuncAttributeNonPortableClusterSizeAllowed, 1);
  }
  return error;
}

inline cudaLaunchConfig_t configuration(const Grid& grid, Stream stream, cudaLaunchAttribute& attribute) {
  attribute.id = cudaLaunchAttributeClusterDimension;
  attribute.val.clusterDim = {(unsigned)grid.cluster, 1, 1};
  cudaLaunchConfig_t config{};
  config.gridDim = dim3((unsigned)grid.blocks);
  config.blockDim = dim3(grid.threads);
  config.dynamicSmemBytes = grid.shared_bytes;
  config.stream = stream;
  config.attrs = &attribute;
  config.numAttrs = grid.cluster > 1;
  return config;
}

// Launches through the runtime's C++ interface, since <<<>>> is no C++. Returns a cudaError_t.
template <class... Arguments>
int launch(void (*kernel)(Arguments...), const Grid& grid, Stream stream, Arguments... arguments) {
  if (const cudaError_t error = allow((const void*)kernel, grid)) return report(error);
  cudaLaunchAttribute attribute{};
  const cudaLaunchConfig_t config = configuration(grid, stream, attribute);
  return report(cudaLaunchKernelEx(&config, kernel, arguments...));
}

// Whether the current device can hold at least one such block, or cluster of them (a partition of a GPU may not, and code that
// was compiled for older ones has none).
template <class... Arguments>
bool fits(void (*kernel)(Arguments...), const Grid& grid) {
  const void* const function = (const void*)kernel;
  if (grid.shared_bytes > limits().shared_bytes) return false;
  if (grid.cluster == 1) return true;
  cudaFuncAttributes attributes{};
  cudaLaunchAttribute attribute{};
  const cudaLaunchConfig_t config = configuration(grid, nullptr, attribute);
  int clusters = 0;
  return !report(cudaFuncGetAttributes(&attributes, function)) && attributes.ptxVersion >= 90 &&
         !report(allow(function, grid)) && !report(cudaOccupancyMaxActiveClusters(&clusters, function, &config)) &&
         clusters > 0;
}

// Whether this library's code runs on a device: what asking for a kernel's attributes there reports.
inline int runs_on(int device, const void* kernel) {
  const int before = device_number();
  cudaFuncAttributes attributes{};
  cudaError_t error = cudaSetDevice(device);
  if (error == cudaSuccess) error = cudaFuncGetAttributes(&attributes, kernel);
  report(cudaSetDevice(before));
  return report(error);
}
inline int driver_version() {
  int version = 0;
  return report(cudaDriverGetVersion(&version)) ? 0 : version;
}

inline const char* error_text(int error) { return cudaGetErrorString((cudaError_t)error); }

}  // namespace fastloss::cuda
