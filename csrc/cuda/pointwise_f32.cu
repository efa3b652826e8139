#include "cuda/pointwise.cuh"

int fastloss::cuda::run_points_f32(const PointLaunch& launch, int loss, void* stream) {
  return run<float>(launch, loss, stream);
}
