#include "cuda/pairs.cuh"

int fastloss::cuda::run_pairs_f64(const PairLaunch& launch, int loss, void* stream) {
  return run_each<double>(launch, loss, stream);
}
