#pragma once

#include "core/pointwise_args.h"
#include "core/rows_args.h"
#include "losses/losses.h"

namespace fastloss {

#define FASTLOSS_COUNT(name, Functor, params) +1
constexpr int kRowsLosses = 0 FASTLOSS_ROWS_LOSSES(FASTLOSS_COUNT);
constexpr int kPointwiseLosses = 0 FASTLOSS_POINTWISE_LOSSES(FASTLOSS_COUNT);
#undef FASTLOSS_COUNT

constexpr int kDTypes = (int)DType::count;

// What an ISA file offers; one constant table per ISA.
struct Kernels {
  RowsKernel rows[kRowsLosses][kDTypes];
  int64_t (*rows_scratch[kDTypes])(const RowsArgs&);
  PointwiseKernel pointwise[kPointwiseLosses][kDTypes];
  ScaleKernel scale[kDTypes];
  MathKernel math[7][2];      // of float and double; kernels.inl lists them
  MathKernel conversions[3];  // half to float, float to half, float to bfloat16
};

}  // namespace fastloss
