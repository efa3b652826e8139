#define FASTLOSS_ISA avx2
#define FASTLOSS_VEC_BYTES 32
#include "cpu/losses.inl"
