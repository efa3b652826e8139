#pragma once

// What the rows engine and the formula of a loss exchange, and the formula of every loss on top of its functor.

#include "engines/softmax/contract.h"
#include "engines/softmax/logits.h"
#include "simd/vec_math.h"

namespace fastloss::FASTLOSS_ISA {
namespace {

constexpr int64_t kBatch = 256;  // rows in a batch at most

// One array per quantity of engines/softmax/contract.h, over the rows in flight. The formulas of a row run in double whatever the
// computing type: a row is many logits, so it costs little, and leaves their rounding out of the gradient.
template <class T>
struct RowBatch {
  typename Vec<T>::Int target_class[kBatch];  // -1: the row contributes nothing (ignored or masked out)
  double kept[kBatch];                        // 1, or 0 where target_class is -1 and in the lanes behind the last row
  double max[kBatch];
  double others[kBatch];
  double target[kBatch];
  double exp_target[kBatch];
  double gap[kBatch];
  double mass[kBatch];
  double weight[kBatch];
  double upstream[kBatch];
  double tilt[kBatch];       // sum_c exp(z_c - m) (m - z_c), for the entropy
  double plain_gap[kBatch];  // gap and mass without weights or smoothing, for the perplexity of probability targets
  double plain_mass[kBatch];

  double loss[kBatch];
  double nll[kBatch];
  double log_sum[kBatch];
  T scale[kBatch];
  T at_target[kBatch];
  T offset[kBatch];
};

FASTLOSS_FN RowOptions row_options(const RowsArgs& a) {
  return {a.label_smoothing, a.z_loss, 1.0 / (double)a.classes, a.weight_sum};
}

// e^target of the first n rows.
template <class T>
void exponentiate_targets(RowBatch<T>& batch, int64_t n) {
  constexpr int W = Vec<T>::size;
  for (int64_t i = 0; i < n; i += W) {
    T target[W];
    for (int k = 0; k < W; ++k) target[k] = (T)batch.target[i + k];
    store(batch.exp_target + i, widen(exp_negative(load(target))));
  }
}

// Losses and gradient factors of the first n rows.
template <class T, template <class> class Loss>
void finish_rows(const RowsArgs& a, void* p, int64_t n) {
  using D = Vec<double>;
  RowBatch<T>& batch = *(RowBatch<T>*)p;
  const Loss<double> loss(a.params);
  const RowOptions options = row_options(a);
  const bool has_probabilities = a.probability.data != nullptr;
  const D per_logit = upstream_of_logits<double>(a, D(1.0));
  for (int64_t i = 0; i < n && a.margin; ++i) {
    if (batch.target_class[i] >= 0) batch.target[i] -= ((const T*)a.margin)[batch.target_class[i]];
  }
  if (!has_probabilities) exponentiate_targets(batch, n);
  for (int64_t i = 0; i < n; i += D::size) {
    const D max = load(batch.max + i), others = load(batch.others + i), gap = load(batch.gap + i);
    const D upstream = load(batch.upstream + i) * per_logit;
    const RowTerms<D> r = has_probabilities
                              ? probability_row<double>(options, max, others, gap, load(batch.mass + i), upstream)
                              : index_row<double>(loss, options, max, others, load(batch.target + i),
                                                  load(batch.exp_target + i), gap, load(batch.weight + i), upstream);
    store(batch.loss + i, r.loss);
    store(batch.nll + i, r.nll);
    store(batch.log_sum + i, r.log_sum);
    store_narrow(batch.scale + i, r.scale);
    store_narrow(batch.at_target + i, r.at_target);
    store_narrow(batch.offset + i, r.offset);
  }
}

}  // namespace
}  // namespace fastloss::FASTLOSS_ISA
