#include "cuda/rows.cuh"

const fastloss::cuda::RowsKernels& fastloss::cuda::rows_f16() { return kernels<Half>(); }
