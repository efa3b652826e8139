#pragma once

// A call of a similarity operator as every backend sees it. The matrix products between the calls are Python's
// (fastloss/engines/similarity/plan.py), so the operators work on tiles that exist.

#include <tuple>
#include <vector>

#include "engines/similarity/args.h"
#include "losses/losses.h"
#include "torch/tensors.h"

namespace fastloss::ops {

constexpr int64_t kStateWidth = sizeof(AnchorSums) / sizeof(double);

// What every operator on a tile is told about its pairs.
struct TileInputs {
  const Tensor& tile;
  const MaybeTensor &mask, &positives, &row_labels, &column_labels;
  int64_t row_offset, column_offset;
  bool skip_self;
  const MaybeTensor &scale, &bias, &row_terms, &column_terms;
  const std::vector<double>&affine, &params;
};

inline void check_loss(int64_t loss) {
  STD_TORCH_CHECK(loss >= 0 && loss < kSimilarityLosses, "fastloss: unknown similarity loss ", loss);
}

inline void copy_params(const std::vector<double>& params, double (&to)[4]) {
  STD_TORCH_CHECK(params.size() <= 4, "fastloss: at most 4 parameters, got ", params.size());
  std::copy(params.begin(), params.end(), to);
}

// [rows][columns] bools of a tile, adjacent along the columns; returns the stride between rows.
inline int64_t check_pairs(const char* name, const Tensor& t, const Tensor& tile) {
  STD_TORCH_CHECK(same_device(t, tile) && t.scalar_type() == ScalarType::Bool && t.dim() == 2 &&
                      t.size(0) == tile.size(0) && t.size(1) == tile.size(1) &&
                      (t.stride(1) == 1 || t.size(1) <= 1 || t.numel() == 0),
                  "fastloss: expected ", name, " to be bool, of the tile's shape, adjacent along the columns");
  return t.stride(0);
}

// [count] values of the computing type, or null.
inline const void* terms(const char* name, const MaybeTensor& t, const Tensor& tile, int64_t count) {
  if (!t) return nullptr;
  STD_TORCH_CHECK(
      same_device(*t, tile) && t->scalar_type() == compute_type(tile) && t->is_contiguous() && t->numel() == count,
      "fastloss: expected ", name, " to be ", count, " dense values of the computing type");
  return data_of(*t);
}

// [count] labels, or null.
inline const int64_t* labels(const char* name, const MaybeTensor& t, const Tensor& tile, int64_t count) {
  if (!t) return nullptr;
  STD_TORCH_CHECK(same_device(*t, tile) && t->scalar_type() == ScalarType::Long && t->dim() == 1 &&
                      t->size(0) == count && t->is_contiguous(),
                  "fastloss: expected ", name, " to be ", count, " dense int64 values");
  return (const int64_t*)data_of(*t);
}

// Fills in all but scale and bias, which a backend reads where they are, and what it has memory for.
inline TileArgs tile_args(const TileInputs& in) {
  const Tensor& tile = in.tile;
  STD_TORCH_CHECK(tile.dim() == 2 && (tile.stride(1) == 1 || tile.size(1) <= 1),
                  "fastloss: expected a matrix of similarities, adjacent along the columns");
  STD_TORCH_CHECK(tile.scalar_type() != ScalarType::Half || !tile.is_cpu(), "fastloss: expected float32 similarities");
  dtype_of(tile);
  check_count(tile);
  constexpr int64_t most = int64_t{1} << 62;  // so that no index overflows
  STD_TORCH_CHECK(in.row_offset >= 0 && in.column_offset >= 0 && in.row_offset <= most && in.column_offset <= most,
                  "fastloss: expected offsets of 0 to 2^62");
  STD_TORCH_CHECK(in.affine.size() == 2, "fastloss: expected factor and summand of the similarities");
  TileArgs args{};
  args.tile = (void*)data_of(tile);
  args.tile_stride = tile.stride(0);
  args.rows = tile.size(0);
  args.columns = tile.size(1);
  copy_params(in.params, args.params);
  args.row_terms = terms("row_terms", in.row_terms, tile, args.rows);
  args.column_terms = terms("column_terms", in.column_terms, tile, args.columns);
  STD_TORCH_CHECK(!in.row_terms == !in.column_terms, "fastloss: expected terms of rows and columns or of neither");
  PairRelation& relation = args.relation;
  relation.row_offset = in.row_offset;
  relation.column_offset = in.column_offset;
  relation.skip_self = in.skip_self;
  if (in.mask) {
    relation.mask = (const Flag*)data_of(*in.mask);
    relation.mask_stride = check_pairs("mask", *in.mask, tile);
  }
  if (in.positives) {
    relation.positives = (const Flag*)data_of(*in.positives);
    relation.positives_stride = check_pairs("positives", *in.positives, tile);
  } else {
    relation.row_label.whole = labels("row_labels", in.row_labels, tile, args.rows);
    relation.column_label.whole = labels("column_labels", in.column_labels, tile, args.columns);
  }
  return args;
}

// How many anchors there are sums of, a row each.
inline int64_t anchor_count(const Tensor& sums) {
  STD_TORCH_CHECK(sums.dim() == 2, "fastloss: expected sums to be a matrix, got ", sums.dim(), " dimensions");
  return sums.size(0);
}

inline AnchorSums* anchor_sums(const char* name, const Tensor& sums, const Tensor& like, int64_t count) {
  STD_TORCH_CHECK(same_device(sums, like) && sums.scalar_type() == ScalarType::Double && sums.dim() == 2 &&
                      sums.size(0) == count && sums.size(1) == kStateWidth && sums.is_contiguous(),
                  "fastloss: expected ", name, " to be float64 of shape (", count, ", ", kStateWidth, ")");
  return (AnchorSums*)data_of(sums);
}

inline AnchorView anchor_view(const char* name, const MaybeTensor& coefficients, const Tensor& tile, int64_t count) {
  if (!coefficients) return {nullptr, 0};
  const Tensor& c = *coefficients;
  STD_TORCH_CHECK(same_device(c, tile) && c.scalar_type() == compute_type(tile) && c.dim() == 2 &&
                      c.size(0) == kCoefficients && c.size(1) == count && (c.stride(1) == 1 || count <= 1),
                  "fastloss: expected ", name, " to be ", (int)kCoefficients, " planes of ", count,
                  " values of the computing type");
  return {data_of(c), c.stride(0)};
}

// Refuses memory to write to that may be that of what a tile's operator is told.
inline void check_apart(const char* name, const Tensor& output, const TileInputs& in) {
  check_apart(name, output,
              {pointer(in.mask), pointer(in.positives), pointer(in.row_labels), pointer(in.column_labels),
               pointer(in.scale), pointer(in.bias), pointer(in.row_terms), pointer(in.column_terms)});
}

// A tile whose derivatives take its place, and what is read besides.
inline void check_derivatives(const TileInputs& in, std::initializer_list<const Tensor*> read) {
  check_written("tile", in.tile);
  check_own_memory("a tile", in.tile, read);
  check_apart("a tile", in.tile, in);
}

// Sums that are added to.
inline void check_sums(const TileInputs& in, const Tensor& row_sums, const MaybeTensor& column_sums) {
  check_own_memory("row_sums", row_sums, {&in.tile, pointer(column_sums)});
  check_apart("row_sums", row_sums, in);
  if (!column_sums) return;
  check_own_memory("column_sums", *column_sums, {&in.tile});
  check_apart("column_sums", *column_sums, in);
}

// Which triplets are asked for.
inline void check_mining(int64_t mining, const Tensor& tile) {
  STD_TORCH_CHECK(tile.scalar_type() == ScalarType::Float || tile.scalar_type() == ScalarType::Double,
                  "fastloss: expected float32 or float64 distances");
  STD_TORCH_CHECK(mining >= 0 && mining < kMinings, "fastloss: unknown mining ", mining);
}

// Vectors to be brought to length one.
inline UnitArgs unit_args(const Tensor& x) {
  check_matrix("vectors", x);
  dtype_of(x);
  UnitArgs args{};
  args.width = x.size(1);
  args.input = data_of(x);
  args.input_stride = x.stride(0);
  return args;
}

// The gradient that `finish` makes vectors' of, and what normalize made of them, if it did.
inline void check_finish(const Tensor& gradient, const MaybeTensor& unit, const MaybeTensor& length,
                         ScalarType result) {
  STD_TORCH_CHECK(gradient.dim() == 2 && gradient.is_contiguous() &&
                      gradient.scalar_type() == (result == ScalarType::Double ? ScalarType::Double : ScalarType::Float),
                  "fastloss: expected gradient to be a dense matrix of the computing type");
  STD_TORCH_CHECK(unit.has_value() == length.has_value(), "fastloss: expected unit and length or neither");
  if (!unit) return;
  STD_TORCH_CHECK(same_device(*unit, gradient) && unit->is_contiguous() && unit->dim() == 2 &&
                      unit->size(0) == gradient.size(0) && unit->size(1) == gradient.size(1),
                  "fastloss: expected unit as normalize made it");
}

// [anchors] doubles on the device of `like`, or null.
inline const double* per_anchor(const char* name, const MaybeTensor& t, const Tensor& like, int64_t count) {
  if (!t) return nullptr;
  STD_TORCH_CHECK(
      same_device(*t, like) && t->scalar_type() == ScalarType::Double && t->is_contiguous() && t->numel() == count,
      "fastloss: expected ", name, " to be ", count, " dense float64 values");
  return (const double*)data_of(*t);
}

#define FASTLOSS_TILE_ARGUMENTS(Tile)                                                                    \
  Tile tile, MaybeTensor mask, MaybeTensor positives, MaybeTensor row_labels, MaybeTensor column_labels, \
      int64_t row_offset, int64_t column_offset, bool skip_self, MaybeTensor scale, MaybeTensor bias,    \
      MaybeTensor row_terms, MaybeTensor column_terms, std::vector<double> affine, std::vector<double> params
#define FASTLOSS_TILE_INPUTS                                                                                        \
  TileInputs {                                                                                                      \
    tile, mask, positives, row_labels, column_labels, row_offset, column_offset, skip_self, scale, bias, row_terms, \
        column_terms, affine, params                                                                                \
  }

}  // namespace fastloss::ops
