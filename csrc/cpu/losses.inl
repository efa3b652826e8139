// Included by each losses_<isa>.cpp after it has set FASTLOSS_ISA and FASTLOSS_VEC_BYTES: what an engine needs of every loss
// in losses.h. Apart from the engines, so that touching a loss compiles only this.

#include "cpu/kernels.h"
#include "cpu/point_block.h"
#include "cpu/row_batch.h"
#include "losses/functors.h"

namespace fastloss::FASTLOSS_ISA {

void list_losses(Kernels& table) {
#if defined(FASTLOSS_ONLY_BFLOAT16)
#define FASTLOSS_POINTWISE_FORMULA(name, Functor, params) \
  (formula++)->whole_blocks_bf16 = &whole_blocks<BFloat16, Functor>;
#else
#define FASTLOSS_ROWS_FORMULA(name, Functor, params) \
  *rows++ = {&finish_rows<float, Functor>, &finish_rows<double, Functor>};
#define FASTLOSS_POINTWISE_FORMULA(name, Functor, params) *formula++ = pointwise_formula<Functor>();
  RowsFormulas* rows = table.rows;
  FASTLOSS_ROWS_LOSSES(FASTLOSS_ROWS_FORMULA)
#endif
  PointwiseFormula* formula = table.pointwise;
  FASTLOSS_POINTWISE_LOSSES(FASTLOSS_POINTWISE_FORMULA)
}

}  // namespace fastloss::FASTLOSS_ISA
