#define FASTLOSS_ISA avx512_bf16
#define FASTLOSS_VEC_BYTES 64
#include "cpu/kernels.inl"
