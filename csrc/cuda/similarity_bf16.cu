#include "cuda/similarity.cuh"

int fastloss::cuda::run_statistics_bf16(int loss, const TileLaunch& launch, void* stream) {
  return run_each_statistics<BFloat16>(loss, launch, stream);
}
int fastloss::cuda::run_derivatives_bf16(int loss, const TileLaunch& launch, void* stream) {
  return run_each_derivatives<BFloat16>(loss, launch, stream);
}
