#pragma once

#include <stdint.h>

#include "core/dtype.h"
#include "engines/similarity/contract.h"

// The contract between operators.cpp and the kernels of all pairs.

namespace fastloss {

// One integer per row or column; a pair is positive where the two are equal. Null: the index (plus the offset).
struct LabelView {
  const int64_t* whole;
  // On the CPU where lanes have 32 bits: the low halves, and the high ones unless every label fits the low half.
  const int32_t *low, *high;
};

// What the pairs of a tile are to each other.
struct PairRelation {
  LabelView row_label, column_label;
  int64_t row_offset, column_offset;  // of the tile, in the whole matrix
  bool skip_self;                     // leave out pairs of one index
  // [rows][columns], adjacent along the columns, or null; strides between rows, 0 if all have the same.
  const Flag* mask;       // which pairs are kept
  const Flag* positives;  // instead of labels
  int64_t mask_stride, positives_stride;
};

// Planes of kCoefficients values per anchor, of the computing type.
struct AnchorView {
  const void* data;  // null: no anchors on this side
  int64_t plane;     // elements between planes
};

struct TileArgs {
  void* tile;  // similarities of the stored type; derivatives take their place
  int64_t tile_stride;
  int64_t rows, columns;
  double scale, bias;
  const void *row_terms,
      *column_terms;  // further summands of z, one per row and column, of the computing type; or null
  double params[4];
  PairRelation relation;

  // Statistics: where the sums of the tile's rows and columns are added, or null.
  AnchorSums *row_sums, *column_sums;
  // Derivatives.
  AnchorView row_anchors, column_anchors;
  double* derivative_sums;  // [rows][2]: sums of df/dz <x, y> and of df/dz

  // Triplets.
  const double* factor;  // of each row's value, or null
  double* triplets;      // [rows][2]: the value, and how many values a mean counts
};

// Vectors of the columns and gradients of the rows of a tile: [columns][width] and [rows][width], the latter of the computing
// type.
struct PositiveArgs {
  const void* vectors;
  int64_t vector_stride, width;
  void* gradients;
  int64_t gradient_stride;
};

// A pair's share in the gradients of its two vectors x and y: by (x - y), and by (y - x).
struct PairShare {
  int64_t other;  // the pair's second vector
  double by;
};

// Vectors, their gradients, and the pairs of each: [rows][width], of the computing type. Of vectors of length one a
// share is by (-y): normalisation does not see what lies along x.
struct ShareArgs {
  const void* vectors;
  int64_t vector_stride, width;
  void* gradients;
  int64_t gradient_stride;
  const int64_t* begins;  // [rows + 1]: a vector's pairs are those from its own to the next one's
  const PairShare* pairs;
  bool differences;  // else vectors have length one
};

// Which triplets of an anchor are taken.
enum Mining : int { kBatchHard, kSemiHard, kAllTriplets, kMinings };

// From sums of anchors to values, and to what the derivative of a pair needs to know.
struct AnchorArgs {
  int loss;
  double params[4];
  const AnchorSums* sums;  // [anchors]
  int64_t anchors;
  const double* factor;      // per anchor, or null
  const double* weight;      // of positives and of negatives, or null
  const double* normalizer;  // the mean's divisor; null: the number of anchors that count
  double share;
  bool mean, empty_zero, is_double;

  double* losses;      // [anchors]
  double* totals;      // their sum, and the number of those that count
  double* reduced;     // one number
  void* coefficients;  // kCoefficients planes of the computing type
  int64_t plane;       // elements between them
};

// Below it a vector is divided by this instead of its length, as torch.nn.functional.normalize does.
constexpr double kSmallestLength = 1e-12;

struct UnitArgs {
  int64_t width;
  const void* input;  // of the stored type
  int64_t input_stride;
  void* unit;      // [rows][width]: the vectors of length one, of the matrix products' type
  double* length;  // [rows]
  // Backward.
  const void* upstream;  // [rows][width]: gradient of `unit`, of the type it was accumulated in
  void* gradient;        // [rows][width], of the stored type
  double factor;
};

}  // namespace fastloss
