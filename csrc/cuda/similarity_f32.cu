#include "cuda/similarity.cuh"

int fastloss::cuda::run_statistics_f32(int loss, const TileLaunch& launch, void* stream) {
  return run_each_statistics<float>(loss, launch, stream);
}
int fastloss::cuda::run_derivatives_f32(int loss, const TileLaunch& launch, void* stream) {
  return run_each_derivatives<float>(loss, launch, stream);
}
