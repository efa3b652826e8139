// How many threads share a row. Ordinary host code; the numbers in it are reasoned, not yet tuned on hardware.

#include "engines/outputs/cuda.h"

namespace fastloss::cuda {

void plan_outputs(DType dtype, OutputsLaunch& l) {
  const RowsArgs& a = l.args.rows;
  const int64_t size = dtype == DType::f64 ? 8 : dtype == DType::f32 ? 4 : 2;
  const bool writes = a.gradient.data;
  const bool adjacent = a.logits.class_stride == 1 && (!writes || a.gradient.class_stride == 1);
  // Vectors lie on the 16-byte grid of memory; those of a gradient must lie where the logits' do.
  const auto alike = [&](int64_t stride) { return stride * size % 16 == 0; };
  l.vectors = adjacent;
  if (writes && l.vectors) {
    l.vectors = (uintptr_t)a.logits.data % 16 == (uintptr_t)a.gradient.data % 16;
    for (int d = 0; d < a.dims; ++d) {
      const int64_t apart = a.logits.row_stride[d] - a.gradient.row_stride[d];
      l.vectors = l.vectors && (a.size[d] == 1 || alike(apart));
    }
  }
  // Neighbouring threads hold neighbouring rows where those are neighbours in memory, or rows are short.
  l.group = a.classes <= 16 || a.logits.class_stride != 1 ? 1 : a.classes <= 1024 ? 32 : 512;
  l.vectors = l.vectors && l.group > 1;
  const int64_t rows = outputs_threads(l.group) / l.group;
  l.blocks = (a.rows + rows - 1) / rows;
}

int run_outputs(DType dtype, const OutputsLaunch& launch, void* stream) {
  return with_dtype(dtype, [&](auto d) { return run_outputs<decltype(d)::value>(launch, stream); });
}

}  // namespace fastloss::cuda
