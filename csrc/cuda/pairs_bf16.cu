#include "cuda/pairs.cuh"

int fastloss::cuda::run_pairs_bf16(const PairLaunch& launch, int loss, void* stream) {
  return run_each<BFloat16>(launch, loss, stream);
}
