#pragma once

// A call of a similarity-family operator as every backend sees it. The matrix products between the calls are Python's
// (fastloss/_similarity.py), so the operators work on tiles that exist.

#include <tuple>
#include <vector>

#include "core/similarity_args.h"
#include "losses/losses.h"
#include "ops/tensors.h"

namespace fastloss::ops {

using MaybeTensor = std::optional<Tensor>;

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
                      t.size(0) == tile.size(0) && t.size(1) == tile.size(1) && (t.stride(1) == 1 || t.size(1) <= 1 || t.numel() == 0),
                  "fastloss: expected ", name, " to be bool, of the tile's shape, adjacent along the columns");
  return t.stride(0);
}

// [count] values of the computing type, or null.
inline const void* terms(const char* name, const MaybeTensor& t, const Tensor& tile, int64_t count) {
  if (!t) return nullptr;
  STD_TORCH_CHECK(
      same_device(*t, tile) && t->scalar_type() == compute_type(tile) && t->is_contiguous() && t->numel() == count,
      "fastloss: expected ", name, " to be ", count, " dense values of the computing type");
  return t->const_data_ptr();
}

// [count] labels, or null.
inline const int64_t* labels(const char* name, const MaybeTensor& t, const Tensor& tile, int64_t count) {
  if (!t) return nullptr;
  STD_TORCH_CHECK(same_device(*t, tile) && t->scalar_type() == ScalarType::Long && t->dim() == 1 &&
                      t->size(0) == count && t->is_contiguous(),
                  "fastloss: expected ", name, " to be ", count, " dense int64 values");
  return (const int64_t*)t->const_data_ptr();
}

// Fills in all but scale and bias, which a backend reads where they are, and what it has memory for.
inline TileArgs tile_args(const TileInputs& in) {
  const Tensor& tile = in.tile;
  STD_TORCH_CHECK(tile.dim() == 2 && (tile.stride(1) == 1 || tile.size(1) <= 1),
                  "fastloss: expected a matrix of similarities, adjacent along the columns");
  STD_TORCH_CHECK(tile.scalar_type() != ScalarType::Half || !tile.is_cpu(), "fastloss: expected float32 similarities");
  dtype_of(tile);
  STD_TORCH_CHECK(in.row_offset >= 0 && in.column_offset >= 0, "fastloss: expected offsets of 0 and more");
  STD_TORCH_CHECK(in.affine.size() == 2, "fastloss: expected factor and summand of the similarities");
  TileArgs args{};
  args.tile = (void*)tile.const_data_ptr();
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
    relation.mask = (const bool*)in.mask->const_data_ptr();
    relation.mask_stride = check_pairs("mask", *in.mask, tile);
  }
  if (in.positives) {
    relation.positives = (const bool*)in.positives->const_data_ptr();
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
  return (AnchorSums*)sums.const_data_ptr();
}

inline AnchorView anchor_view(const char* name, const MaybeTensor& coefficients, const Tensor& tile, int64_t count) {
  if (!coefficients) return {nullptr, 0};
  const Tensor& c = *coefficients;
  STD_TORCH_CHECK(same_device(c, tile) && c.scalar_type() == compute_type(tile) && c.dim() == 2 &&
                      c.size(0) == kCoefficients && c.size(1) == count && (c.stride(1) == 1 || count <= 1),
                  "fastloss: expected ", name, " to be ", (int)kCoefficients, " planes of ", count,
                  " values of the computing type");
  return {c.const_data_ptr(), c.stride(0)};
}

// A tile whose derivatives take its place, and what is written besides.
inline void check_derivatives(const TileInputs& in, std::initializer_list<const MaybeTensor*> read) {
  check_written("tile", in.tile);
  const auto pointer = [](const MaybeTensor& t) { return t ? &*t : nullptr; };
  check_own_memory("a tile", in.tile,
                   {pointer(in.mask), pointer(in.positives), pointer(in.row_labels), pointer(in.column_labels),
                    pointer(in.scale), pointer(in.bias), pointer(in.row_terms), pointer(in.column_terms)});
  for (const MaybeTensor* t : read) check_own_memory("a tile", in.tile, {pointer(*t)});
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
  args.input = x.const_data_ptr();
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
  return (const double*)t->const_data_ptr();
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
