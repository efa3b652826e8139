#include "cuda/rows.cuh"

const fastloss::cuda::RowsKernels& fastloss::cuda::rows_f32() { return kernels<float>(); }
