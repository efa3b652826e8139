#include "cuda/rows.cuh"

const fastloss::cuda::RowsKernels& fastloss::cuda::rows_f64() { return kernels<double>(); }
