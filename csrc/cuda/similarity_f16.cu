#include "cuda/similarity.cuh"

int fastloss::cuda::run_statistics_f16(int loss, const TileLaunch& launch, void* stream) {
  return run_each_statistics<Half>(loss, launch, stream);
}
int fastloss::cuda::run_derivatives_f16(int loss, const TileLaunch& launch, void* stream) {
  return run_each_derivatives<Half>(loss, launch, stream);
}
