#define FASTLOSS_ISA avx512_bf16
#define FASTLOSS_VEC_BYTES 64
#define FASTLOSS_ONLY_BFLOAT16
#include "cpu/kernels.inl"
