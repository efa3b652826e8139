#define FASTLOSS_ISA avx512
#define FASTLOSS_VEC_BYTES 64
#include "cpu/losses.inl"
