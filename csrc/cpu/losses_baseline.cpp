#define FASTLOSS_ISA baseline
#define FASTLOSS_VEC_BYTES 16
#include "cpu/losses.inl"
