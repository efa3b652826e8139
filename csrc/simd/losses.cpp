// What an engine needs of every loss in losses.h. Compiled for each ISA (csrc/README.md, "ISA files"), and apart from the
// engines, so that touching a loss compiles only this.

#include "simd/kernels.h"
#include "engines/divergence/cpu.h"
#include "engines/products/cpu.h"
#include "engines/elements/block.h"
#include "engines/softmax/batch.h"
#include "engines/similarity/cpu.h"
#include "losses/functors.h"

namespace fastloss::FASTLOSS_ISA {

#define FASTLOSS_ROWS(name, Functor, params) *rows++ = {&finish_rows<float, Functor>, &finish_rows<double, Functor>};
#define FASTLOSS_DIVERGENCE(name, Functor, params) \
  *divergence++ = {&Divergence<float, Functor>::run, &Divergence<double, Functor>::run};
#if defined(FASTLOSS_ONLY_BFLOAT16)
#define FASTLOSS_POINTWISE(name, Functor, params) (pointwise++)->whole_blocks_bf16 = fused_blocks<BFloat16, Functor>();
#define FASTLOSS_PAIRS(name, Functor, params) (*pairs++)[(int)DType::bf16] = &Pairs<BFloat16, Functor>::run;
#define FASTLOSS_SIMILARITY(name, Functor, params) \
  (*similarity++)[(int)DType::bf16] = similarity_kernels<BFloat16, Functor>();
#else
#define FASTLOSS_POINTWISE(name, Functor, params) *pointwise++ = pointwise_formula<Functor>();
#define FASTLOSS_PAIRS(name, Functor, params)                  \
  (*pairs)[(int)DType::f32] = &Pairs<float, Functor>::run;     \
  (*pairs)[(int)DType::f64] = &Pairs<double, Functor>::run;    \
  (*pairs)[(int)DType::bf16] = &Pairs<BFloat16, Functor>::run; \
  (*pairs++)[(int)DType::f16] = &Pairs<Half, Functor>::run;
#define FASTLOSS_SIMILARITY(name, Functor, params)                        \
  (*similarity)[(int)DType::f32] = similarity_kernels<float, Functor>();  \
  (*similarity)[(int)DType::f64] = similarity_kernels<double, Functor>(); \
  (*similarity++)[(int)DType::bf16] = similarity_kernels<BFloat16, Functor>();
#endif

void list_losses(Kernels& table) {
#if !defined(FASTLOSS_ONLY_BFLOAT16)
  RowsFormulas* rows = table.rows;
  FASTLOSS_ROWS_LOSSES(FASTLOSS_ROWS)
  DivergenceKernels* divergence = table.divergence;
  FASTLOSS_DIVERGENCE_LOSSES(FASTLOSS_DIVERGENCE)
#endif
  PointwiseFormula* pointwise = table.pointwise;
  FASTLOSS_POINTWISE_LOSSES(FASTLOSS_POINTWISE)
  PairsKernel(*pairs)[(int)DType::count] = table.pairs;
  FASTLOSS_PAIRS_LOSSES(FASTLOSS_PAIRS)
  SimilarityKernels(*similarity)[(int)DType::count] = table.similarity;
  FASTLOSS_SIMILARITY_LOSSES(FASTLOSS_SIMILARITY)
}

}  // namespace fastloss::FASTLOSS_ISA
