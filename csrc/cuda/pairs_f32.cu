#include "cuda/pairs.cuh"

int fastloss::cuda::run_pairs_f32(const PairLaunch& launch, int loss, void* stream) {
  return run_each<float>(launch, loss, stream);
}
