#include "cuda/pointwise.cuh"

int fastloss::cuda::run_points_f16(const PointLaunch& launch, int loss, void* stream) {
  return run<Half>(launch, loss, stream);
}
