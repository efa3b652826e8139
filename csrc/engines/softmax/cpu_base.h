#pragma once

// What the engines of cpu.h have in common: where rows lie, what a batch of them starts from, and what becomes of
// its results.

#include "engines/softmax/contract.h"
#include "engines/softmax/logits.h"
#include "simd/stored.h"
#include "simd/kernels.h"
#include "engines/softmax/batch.h"

namespace fastloss::FASTLOSS_ISA {
namespace {

constexpr int64_t kShortRow = 1024;  // classes at most

template <class S>
struct RowsBase {
  using T = typename Compute<S>::type;
  using V = Vec<T>;
  static constexpr int W = V::size;

  const RowsArgs& a;
  const RowsFormula formula;
  const RowOptions options;
  const T* const weight;
  const bool has_probabilities;
  RowBatch<T>& batch;
  T* const tile;    // logits, then exponentials
  T* const slopes;  // of logits
  T* const other;   // probability targets of a tile; staging chunks of a ByClass row
  T* const chunk_max;

  FASTLOSS_FN int64_t offset_of(const RowsView& view, int64_t row) const {
    int64_t offset = 0;
    for (int d = a.dims - 1; d > 0; --d) {
      offset += row % a.size[d] * view.row_stride[d];
      row /= a.size[d];
    }
    return offset + row * view.row_stride[0];
  }

  // Calls f with a value of the type that probabilities are stored as, which may differ from that of logits but is no wider
  // than the computing type.
  template <class F>
  FASTLOSS_FN void with_probability(const F& f) const {
    with_floating(a.probability_type, [&](auto e) {
      if constexpr (sizeof(e) <= sizeof(T)) f(e);
    });
  }

  FASTLOSS_FN int64_t task_end(int64_t task) const {
    const int64_t end = (task + 1) * a.task_rows;
    return end < a.rows ? end : a.rows;
  }

  // Of Note [Short rows]; and whether logits can be read where they lie, otherwise chunks are staged.
  bool is_plain() const {
    return a.classes <= kShortRow && !has_probabilities && options.smoothing == 0 && !has_slope(a);
  }
  FASTLOSS_FN bool direct() const { return a.logits.class_stride == 1 && as_stored(a); }

  // Targets and factors of rows [row, row + n); plain loops, so that the compiler vectorises the usual case.
  void prepare(int64_t row, int64_t n) const {
    using Int = typename V::Int;
    RowBatch<T>& b = batch;
    const int64_t ignored = a.ignore_index;
    const double scale = a.scale;
    if (has_probabilities) {
      for (int64_t i = 0; i < n; ++i) b.target_class[i] = 0;
    } else {
      const int64_t* const target = a.target + row;
      for (int64_t i = 0; i < n; ++i) b.target_class[i] = target[i] == ignored ? (Int)-1 : (Int)target[i];
    }
    for (int64_t i = 0; a.mask && i < n; ++i) {
      if (!a.mask[row + i]) b.target_class[i] = -1;
    }
    for (int64_t i = 0; i < n; ++i) b.kept[i] = b.target_class[i] >= 0;
    for (int64_t i = n; i % Vec<double>::size != 0; ++i) b.kept[i] = 0;
    for (int64_t i = 0; i < n; ++i) b.weight[i] = 1, b.upstream[i] = scale;
    for (int64_t i = 0; weight && !has_probabilities && i < n; ++i) {
      if (b.target_class[i] >= 0) b.weight[i] = weight[b.target_class[i]];
    }
    for (int64_t i = 0; a.upstream && i < n; ++i) b.upstream[i] = ((const T*)a.upstream)[row + i] * scale;
  }

  FASTLOSS_FN void read_state(int64_t row, int64_t i) const {
    const T* state = (const T*)a.state;
    batch.max[i] = state[row];
    batch.others[i] = state[a.rows + row];
    batch.mass[i] = has_probabilities ? state[2 * a.rows + row] : 0;
    batch.gap[i] = batch.tilt[i] = batch.plain_gap[i] = batch.plain_mass[i] = 0;
  }

  // What an ignored row leaves in the state: numbers, so that runs compare equal.
  FASTLOSS_FN void clear(int64_t i) const {
    batch.max[i] = batch.others[i] = batch.target[i] = batch.gap[i] = batch.mass[i] = batch.tilt[i] = 0;
    batch.plain_gap[i] = batch.plain_mass[i] = 0;
  }

  // Adds the batch's rows to the sums and writes what is asked for per row.
  void record(int64_t first, int64_t n, RowsSums* sums) const {
    T* const row_loss = (T*)a.row_loss;
    T* const state = a.from_state ? nullptr : (T*)a.state;
    if (row_loss || state) {
      for (int64_t i = 0; i < n; ++i) {
        if (row_loss) row_loss[first + i] = batch.target_class[i] >= 0 ? (T)batch.loss[i] : (T)0;
        if (!state) continue;
        state[first + i] = (T)batch.max[i];
        state[a.rows + first + i] = (T)batch.others[i];
        if (has_probabilities) state[2 * a.rows + first + i] = (T)batch.mass[i];
      }
    }
    if (!sums) return;
    using D = Vec<double>;
    D total(0.0), count(0.0);
    for (int64_t i = 0; i < n; i += D::size) {  // by selection: the NaN of an ignored row must not spread
      const D kept = load(batch.kept + i);
      total = total + select(kept == D(1.0), load(batch.loss + i), D(0.0));
      count = count + kept;
    }
    sums->loss += reduce_add(total);
    sums->count += reduce_add(count);
    if (!a.want_stats) return;
    for (int64_t i = 0; i < n; ++i) {
      if (batch.target_class[i] < 0) continue;
      const double s = has_probabilities ? batch.others[i] : batch.others[i] + batch.exp_target[i];
      sums->entropy += batch.log_sum[i] + batch.tilt[i] / s;
      sums->lse += batch.max[i] + batch.log_sum[i];
      sums->nll += has_probabilities ? batch.plain_gap[i] + batch.plain_mass[i] * batch.log_sum[i] : batch.nll[i];
    }
  }

  // d loss / d t_c = (1 - eps) w_c (lse - z_c) upstream
  FASTLOSS_FN T probability_gradient(T z, int64_t c, int64_t i) const {
    const double nll = batch.log_sum[i] + (batch.max[i] - z);
    return (T)((1 - options.smoothing) * weight[c] * nll * batch.upstream[i]);
  }

  // `bytes`: of an element.
  void clear_row(const RowsView& view, int64_t row, int64_t bytes) const {
    if (!view.data) return;
    char* const g = (char*)view.data + offset_of(view, row) * bytes;
    if (view.class_stride == 1) {
      memset(g, 0, a.classes * bytes);
    } else {
      for (int64_t c = 0; c < a.classes; ++c) memset(g + c * view.class_stride * bytes, 0, bytes);
    }
  }

  // First index of the largest value, as argmax on ties.
  bool is_correct(int64_t row, int64_t i) const {
    const int64_t x = offset_of(a.logits, row);
    int64_t y = batch.target_class[i];
    if (has_probabilities) {
      const int64_t offset = offset_of(a.probability, row);
      const RowsView& view = a.probability;
      with_probability([&](auto e) {
        const auto* const t = (const decltype(e)*)view.data + offset;
        y = this->arg_max([&](int64_t c) { return read_one<T>(t + c * view.class_stride); });
      });
    }
    return arg_max([&](int64_t c) { return load_one((const S*)a.logits.data + x + c * a.logits.class_stride); }) == y;
  }
  template <class At>
  int64_t arg_max(At at) const {
    int64_t best = 0;
    T value = at(0);
    for (int64_t c = 1; c < a.classes; ++c) {
      const T v = at(c);
      if (v > value) value = v, best = c;
    }
    return best;
  }
};

}  // namespace
}  // namespace fastloss::FASTLOSS_ISA
