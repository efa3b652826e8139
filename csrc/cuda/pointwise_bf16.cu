#include "cuda/pointwise.cuh"

int fastloss::cuda::run_points_bf16(const PointLaunch& launch, int loss, void* stream) {
  return run<BFloat16>(launch, loss, stream);
}
