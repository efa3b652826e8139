#include "cuda/similarity.cuh"

int fastloss::cuda::run_statistics_f64(int loss, const TileLaunch& launch, void* stream) {
  return run_each_statistics<double>(loss, launch, stream);
}
int fastloss::cuda::run_derivatives_f64(int loss, const TileLaunch& launch, void* stream) {
  return run_each_derivatives<double>(loss, launch, stream);
}
