#pragma once

// FASTLOSS_FN marks the formula code that every backend reads: inlined into its caller, and compiled for both
// sides under nvcc. Inlining is forced because a formula left out of line in an ISA file would be one more symbol
// the linker could confuse (see csrc/README.md, "ISA files").
#if defined(__CUDACC__)
#define FASTLOSS_FN __host__ __device__ __forceinline__
#else
#define FASTLOSS_FN inline __attribute__((always_inline))
#endif

// Of a loop whose body repeated would take more registers than a kernel has.
#if defined(__CUDACC__)
#define FASTLOSS_ROLLED _Pragma("unroll 1")
#else
#define FASTLOSS_ROLLED
#endif

// What one of our libraries has for another; all else is hidden.
#define FASTLOSS_EXPORT __attribute__((visibility("default")))

// The way that a loop takes nearly always; compilers lay it out straight.
#define FASTLOSS_LIKELY(condition) __builtin_expect(!!(condition), 1)
#define FASTLOSS_UNLIKELY(condition) __builtin_expect(!!(condition), 0)
