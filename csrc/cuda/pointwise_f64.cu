#include "cuda/pointwise.cuh"

int fastloss::cuda::run_points_f64(const PointLaunch& launch, int loss, void* stream) {
  return run<double>(launch, loss, stream);
}
