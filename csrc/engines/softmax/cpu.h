#pragma once

// The rows engine on the CPU: losses over rows of logits (softmax over the classes), forward and gradient.
//
// Note [Two engines]
// ByClass: one row at a time, lanes run over the classes. For rows whose classes are adjacent in memory, and for
//   any layout once the classes are many. A row is read from memory once, in chunks that stay in L1: maximum of the
//   chunk, then e = exp(z - m) into a scratch row with the sum. Sums of earlier chunks are rescaled when the
//   maximum grows. The gradient is then one multiplication per logit from the scratch row (in L2), written past
//   the caches when it is large: R + W bytes, one exp per logit. ShortRows is a leaner way for the usual short rows.
// ByRow: lanes run over rows. For classes at dim 1 (segmentation: adjacent pixels) and for few classes, where
//   a horizontal reduction per row would dominate. A tile [classes][rows] is gathered into scratch (transposed in
//   registers when the classes are adjacent) and written back the same way.
// All fill a RowBatch, have the loss's formula turn it into losses and gradient factors, and write gradients. The formula
// comes as a pointer, called once per batch: engines are compiled once per stored type, however many losses there are.
//
// Precision: lanes sum in the computing type within a chunk or, over rows, a row; those of exponentials keep their
// rounding errors apart (LaneSum, ShortSum). Chunks and rows add up in double.

#include "engines/softmax/cpu_by_class.h"
#include "engines/softmax/cpu_by_row.h"
#include "engines/softmax/cpu_short.h"

namespace fastloss::FASTLOSS_ISA {
namespace {

constexpr int64_t kFewClasses = 32;

template <class S>
struct Rows {
  using T = typename Compute<S>::type;
  static constexpr int W = Vec<T>::size;

  static bool lanes_over_rows(const RowsArgs& a) {
    const bool adjacent_rows = a.logits.row_stride[a.dims - 1] == 1 && a.size[a.dims - 1] > 1;
    return a.classes <= kFewClasses || (a.logits.class_stride != 1 && adjacent_rows);
  }

  // Scratch layout, in elements of T behind the batch: tile, slopes, other, chunk_max.
  struct Layout {
    int64_t tile, slopes, other, chunk_max;
    int64_t bytes() const { return sizeof(RowBatch<T>) + (tile + slopes + other + chunk_max) * sizeof(T) + 256; }
  };
  static Layout layout(const RowsArgs& a) {
    if (lanes_over_rows(a)) {
      const int64_t tile = a.classes * ByRow<S>::tile_pitch(ByRow<S>::tile_rows(a.classes)) + W;
      return {tile, has_slope(a) ? tile : 0, a.probability.data ? 2 * tile : 0, 0};
    }
    const int64_t padded = (a.classes + W - 1) / W * W;
    const int64_t rows = group_rows<T>(a.classes);
    const int64_t groups = a.classes <= kShortRow ? ShortRows<S>::tile_size(a.classes) : padded * rows;
    const int64_t tile = groups < kChunk ? kChunk : groups;
    return {tile, has_slope(a) ? padded * rows + kChunk : 0, 3 * kChunk, (a.classes + kChunk - 1) / kChunk};
  }

  static void run(const RowsArgs& a, int64_t begin, int64_t end, void* scratch, RowsFormula formula) {
    char* p = (char*)(((uintptr_t)scratch + 63) / 64 * 64);
    RowBatch<T>* batch = (RowBatch<T>*)p;
    T* const memory = (T*)(p + (sizeof(RowBatch<T>) + 63) / 64 * 64);
    const Layout l = layout(a);
    const RowsBase<S> rows{
        a,      formula, row_options(a),  (const T*)a.weight,         a.probability.data != nullptr,
        *batch, memory,  memory + l.tile, memory + l.tile + l.slopes, memory + l.tile + l.slopes + l.other};
    const auto run_tasks = [&](const auto& engine) {
      for (int64_t task = begin; task < end; ++task) {
        engine.run(task * a.task_rows, rows.task_end(task), a.sums ? a.sums + task : nullptr);
      }
    };
    const ShortRows<S> short_rows{rows};
    if (lanes_over_rows(a)) {
      run_tasks(ByRow<S>{rows});
    } else if (short_rows.serves()) {
      short_rows.run(begin, end);
    } else {
      run_tasks(ByClass<S>{rows});
    }
    stream_fence();
  }
};

}  // namespace
}  // namespace fastloss::FASTLOSS_ISA
