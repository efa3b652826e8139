#include "cuda/rows.cuh"

const fastloss::cuda::RowsKernels& fastloss::cuda::rows_bf16() { return kernels<BFloat16>(); }
