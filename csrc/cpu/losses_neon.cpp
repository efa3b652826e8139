#define FASTLOSS_ISA neon
#define FASTLOSS_VEC_BYTES 16
#include "cpu/losses.inl"
