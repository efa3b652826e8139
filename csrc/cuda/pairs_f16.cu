#include "cuda/pairs.cuh"

int fastloss::cuda::run_pairs_f16(const PairLaunch& launch, int loss, void* stream) {
  return run_each<Half>(launch, loss, stream);
}
