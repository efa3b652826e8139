#pragma once

// The operators of the similarity engine: what each takes, and what holds for every backend. The matrix products between
// the calls are Python's (fastloss/engines/similarity/plan.py), so the operators work on tiles that exist.

#include <string>
#include <vector>

#include "engines/similarity/args.h"
#include "losses/losses.h"
#include "torch/arguments.h"

namespace fastloss::ops {

constexpr int64_t kStateWidth = sizeof(AnchorSums) / sizeof(double);

// What every operator on a tile of similarities is told about its pairs. `loss` is a way of mining, where triplets are
// sought. Tensors of one element: scale, bias.
#define FASTLOSS_PAIRS_OF_TILE(X) \
  X(int64_t, loss)                \
  X(MaybeTensor, mask)            \
  X(MaybeTensor, positives)       \
  X(MaybeTensor, row_labels)      \
  X(MaybeTensor, column_labels)   \
  X(int64_t, row_offset)          \
  X(int64_t, column_offset)       \
  X(bool, skip_self)              \
  X(MaybeTensor, scale)           \
  X(MaybeTensor, bias)            \
  X(MaybeTensor, row_terms)       \
  X(MaybeTensor, column_terms)    \
  X(std::vector<double>, affine)  \
  X(std::vector<double>, params)
FASTLOSS_ARGUMENTS(Pairs, Arguments, FASTLOSS_PAIRS_OF_TILE)

// Adds to the sums of anchors.
#define FASTLOSS_STATISTICS(X) X(Tensor, tile) X(Output<Tensor>, row_sums) X(Output<MaybeTensor>, column_sums)
FASTLOSS_ARGUMENTS(Statistics, Pairs, FASTLOSS_STATISTICS)

// Derivatives take the tile's place; `derivative_sums`: per row, of df/dz <x, y> and of df/dz. On the CPU, if there are
// vectors of the columns, what positives contribute is added to the gradients of the rows, and taken out of the tile.
#define FASTLOSS_DERIVATIVES(X)  \
  X(Output<Tensor>, tile)        \
  X(MaybeTensor, row_anchors)    \
  X(MaybeTensor, column_anchors) \
  X(Output<Tensor>, derivative_sums) X(MaybeTensor, vectors) X(Output<MaybeTensor>, gradients)
FASTLOSS_ARGUMENTS(Derivatives, Pairs, FASTLOSS_DERIVATIVES)

// `found`: per row, value and count of its triplets. With `derivative_sums`, derivatives as above. On the CPU, if there
// are vectors (rows are columns, the first is column `row_offset`) and at most `most` pairs have a derivative, the pairs
// are added to the gradients of both their vectors instead: the tile is as it was, and the operator returns true.
#define FASTLOSS_TRIPLETS(X)              \
  X(Output<Tensor>, tile)                 \
  X(MaybeTensor, factor)                  \
  X(Output<Tensor>, found)                \
  X(Output<MaybeTensor>, derivative_sums) \
  X(MaybeTensor, vectors) X(Output<MaybeTensor>, gradients) X(int64_t, most)
FASTLOSS_ARGUMENTS(Triplets, Pairs, FASTLOSS_TRIPLETS)

// The losses of anchors, times factor and share; `totals`: their sum, the number of anchors that count, and the sum over
// the divisor; what the derivative of a pair needs to know.
#define FASTLOSS_ANCHORS(X)      \
  X(int64_t, loss)               \
  X(Tensor, sums)                \
  X(MaybeTensor, factor)         \
  X(MaybeTensor, parts)          \
  X(MaybeTensor, normalizer)     \
  X(std::vector<double>, params) \
  X(double, share)               \
  X(bool, mean)                  \
  X(bool, empty_zero)            \
  X(Output<Tensor>, losses)      \
  X(Output<Tensor>, totals)      \
  X(Output<Tensor>, coefficients)
FASTLOSS_ARGUMENTS(Anchors, Arguments, FASTLOSS_ANCHORS)

// unit = x / |x| in the matrix products' dtype, length = |x|.
#define FASTLOSS_NORMALIZE(X) X(Tensor, x) X(Output<Tensor>, unit) X(Output<Tensor>, length)
FASTLOSS_ARGUMENTS(Normalize, Arguments, FASTLOSS_NORMALIZE)

// The gradient of x from that of what `normalize` made of x, or of x itself, times `factor`.
#define FASTLOSS_FINISH(X) \
  X(Tensor, gradient) X(MaybeTensor, unit) X(MaybeTensor, length) X(Tensor, factor) X(Output<Tensor>, result)
FASTLOSS_ARGUMENTS(Finish, Arguments, FASTLOSS_FINISH)

#define FASTLOSS_SIMILARITY_OPERATORS(X) \
  X(similarity_statistics_, Statistics)  \
  X(similarity_gradient_, Derivatives)   \
  X(similarity_triplets_, Triplets)      \
  X(similarity_anchors, Anchors)         \
  X(similarity_normalize, Normalize)     \
  X(similarity_finish, Finish)

inline void check_loss(int64_t loss) {
  STD_TORCH_CHECK(loss >= 0 && loss < kSimilarityLosses, "fastloss: unknown similarity loss ", loss);
}

inline void copy_params(const std::vector<double>& params, double (&to)[4]) {
  STD_TORCH_CHECK(params.size() <= 4, "fastloss: at most 4 parameters, got ", params.size());
  std::copy(params.begin(), params.end(), to);
}

// [count] dense numbers of a type, or null.
template <class T = const void>
T* numbers(const char* name, const Tensor* t, ScalarType type, int64_t count) {
  if (!t) return nullptr;
  STD_TORCH_CHECK(t->scalar_type() == type && t->is_contiguous() && t->numel() == count, "fastloss: expected ", name,
                  " to be ", count, " dense values of ScalarType ", (int)type);
  return (T*)data_of(*t);
}
inline double* doubles(const char* name, const Tensor* t, int64_t count) {
  return numbers<double>(name, t, ScalarType::Double, count);
}

// [rows][columns] bools of a tile, adjacent along the columns, or null.
inline const Flag* flags(const char* name, const MaybeTensor& t, const TileArgs& tile, int64_t& stride) {
  if (!t) return nullptr;
  STD_TORCH_CHECK(t->scalar_type() == ScalarType::Bool && t->dim() == 2 && t->size(0) == tile.rows &&
                      t->size(1) == tile.columns && (t->stride(1) == 1 || t->size(1) <= 1 || t->numel() == 0),
                  "fastloss: expected ", name, " to be bool, of the tile's shape, adjacent along the columns");
  stride = t->stride(0);
  return (const Flag*)data_of(*t);
}

// Fills in all but scale and bias, which a backend reads where they are, and what an operator has memory for.
inline TileArgs tile_args(const Pairs& in, const Tensor& tile) {
  check_matrix("a tile of similarities", tile);
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
  args.row_terms = numbers("row_terms", pointer(in.row_terms), compute_type(tile), args.rows);
  args.column_terms = numbers("column_terms", pointer(in.column_terms), compute_type(tile), args.columns);
  STD_TORCH_CHECK(!in.row_terms == !in.column_terms, "fastloss: expected terms of rows and columns or of neither");
  PairRelation& relation = args.relation;
  relation.row_offset = in.row_offset;
  relation.column_offset = in.column_offset;
  relation.skip_self = in.skip_self;
  relation.mask = flags("mask", in.mask, args, relation.mask_stride);
  relation.positives = flags("positives", in.positives, args, relation.positives_stride);
  if (!in.positives) {
    const auto labels = &numbers<const int64_t>;
    relation.row_label.whole = labels("row_labels", pointer(in.row_labels), ScalarType::Long, args.rows);
    relation.column_label.whole = labels("column_labels", pointer(in.column_labels), ScalarType::Long, args.columns);
  }
  return args;
}

inline AnchorSums* anchor_sums(const char* name, const Tensor* sums, int64_t count) {
  return (AnchorSums*)doubles(name, sums, count * kStateWidth);
}

// What operators with anchors are told alike.
template <class A>
AnchorArgs anchor_args(const A& a, int64_t n, const Tensor& coefficients) {
  AnchorArgs args{};
  args.loss = (int)a.loss;
  copy_params(a.params, args.params);
  args.anchors = n;
  args.normalizer = doubles("normalizer", pointer(a.normalizer), 1);
  args.mean = a.mean;
  args.empty_zero = a.empty_zero;
  args.is_double = coefficients.scalar_type() == ScalarType::Double;
  args.coefficients = (void*)data_of(coefficients);
  args.plane = coefficients.stride(0);
  return args;
}

// Planes of a value per anchor.
inline void check_coefficients(const char* name, const Tensor& c, ScalarType type, int64_t count) {
  STD_TORCH_CHECK(c.scalar_type() == type && c.dim() == 2 && c.size(0) == kCoefficients && c.size(1) == count &&
                      (c.stride(1) == 1 || count <= 1),
                  "fastloss: expected ", name, " to be ", (int)kCoefficients, " planes of ", count,
                  " values of the computing type");
}
inline AnchorView anchor_view(const char* name, const MaybeTensor& c, const Tensor& tile, int64_t count) {
  if (!c) return {nullptr, 0};
  check_coefficients(name, *c, compute_type(tile), count);
  return {data_of(*c), c->stride(0)};
}

// A vector for each column, of the tile's dtype, and gradients for `count` vectors, of the computing type; or neither.
inline void check_vectors(const MaybeTensor& vectors, const MaybeTensor& gradients, const Tensor& tile, int64_t count) {
  STD_TORCH_CHECK(!vectors == !gradients, "fastloss: expected vectors and gradients or neither");
  if (!vectors) return;
  STD_TORCH_CHECK(tile.is_cpu(), "fastloss: expected no gradients, which CUDA's products make");
  STD_TORCH_CHECK(
      vectors->dim() == 2 && vectors->size(0) == tile.size(1) && vectors->scalar_type() == tile.scalar_type(),
      "fastloss: expected a vector of the tile's dtype for each column");
  check_matrix("gradients", *gradients);
  STD_TORCH_CHECK(gradients->size(0) == count && gradients->size(1) == vectors->size(1) &&
                      gradients->scalar_type() == compute_type(tile),
                  "fastloss: expected a gradient of the computing type for each vector");
}

// The operators of a Backend, which has
//     static ScalarType products(ScalarType)  // of vectors, in matrix products
//     static void evaluate(const AnchorArgs&, const Tensor& sums);
//     static void unit(const UnitArgs&, int64_t rows, const Tensor& x);
//     static void unit_backward(UnitArgs&, int64_t rows, DType unit, const Tensor& factor, const Tensor& result);
//     struct Tile {
//       TileArgs& args;
//       Tile(const Pairs&, const Tensor& tile);
//       void statistics(int loss);
//       void derivatives(int loss);
//       void take_positives(const Tensor& vectors, const Tensor& gradients);
//       void mine(Mining mining);
//       bool mine_few(const Triplets&);
//     };  // of at least one similarity
template <class Backend>
struct SimilarityOperators {
  static void run(const Statistics& a) {
    check_loss(a.loss);
    typename Backend::Tile tile(a, a.tile);
    tile.args.row_sums = anchor_sums("row_sums", &a.row_sums.tensor, tile.args.rows);
    tile.args.column_sums = anchor_sums("column_sums", pointer(a.column_sums.tensor), tile.args.columns);
    if (a.tile.numel()) tile.statistics((int)a.loss);
  }

  static void run(const Derivatives& a) {
    check_loss(a.loss);
    const Tensor& similarities = a.tile.tensor;
    typename Backend::Tile tile(a, similarities);
    TileArgs& args = tile.args;
    args.row_anchors = anchor_view("row_anchors", a.row_anchors, similarities, args.rows);
    args.column_anchors = anchor_view("column_anchors", a.column_anchors, similarities, args.columns);
    args.derivative_sums = doubles("derivative_sums", &a.derivative_sums.tensor, 2 * args.rows);
    check_vectors(a.vectors, a.gradients.tensor, similarities, args.rows);
    if (!similarities.numel()) return clear(a.derivative_sums.tensor);
    tile.derivatives((int)a.loss);
    if (a.vectors) tile.take_positives(*a.vectors, *a.gradients.tensor);
  }

  static bool run(const Triplets& a) {
    const Tensor& distances = a.tile.tensor;
    STD_TORCH_CHECK(distances.scalar_type() == ScalarType::Float || distances.scalar_type() == ScalarType::Double,
                    "fastloss: expected float32 or float64 distances");
    STD_TORCH_CHECK(a.loss >= 0 && a.loss < kMinings, "fastloss: unknown mining ", a.loss);
    typename Backend::Tile tile(a, distances);
    TileArgs& args = tile.args;
    args.factor = doubles("factor", pointer(a.factor), args.rows);
    args.triplets = doubles("found", &a.found.tensor, 2 * args.rows);
    args.derivative_sums = doubles("derivative_sums", pointer(a.derivative_sums.tensor), 2 * args.rows);
    check_vectors(a.vectors, a.gradients.tensor, distances, args.columns);
    if (!distances.numel()) {
      clear(a.found.tensor);
      if (a.derivative_sums.tensor) clear(*a.derivative_sums.tensor);
      return a.vectors.has_value();
    }
    if (a.vectors) return tile.mine_few(a);
    tile.mine((Mining)a.loss);
    return false;
  }

  static void run(const Anchors& a) {
    check_loss(a.loss);
    STD_TORCH_CHECK(a.sums.dim() == 2, "fastloss: expected sums to be a matrix, got ", a.sums.dim(), " dimensions");
    const int64_t n = a.sums.size(0);
    check_coefficients("coefficients", a.coefficients.tensor, compute_type(a.coefficients.tensor), n);
    AnchorArgs args = anchor_args(a, n, a.coefficients.tensor);
    args.sums = anchor_sums("sums", &a.sums, n);
    args.factor = doubles("factor", pointer(a.factor), n);
    args.weight = doubles("parts", pointer(a.parts), kPairKinds);
    args.share = a.share;
    args.losses = doubles("losses", &a.losses.tensor, n);
    args.totals = doubles("totals", &a.totals.tensor, 3);
    args.reduced = args.totals + 2;
    Backend::evaluate(args, a.sums);
  }

  static void run(const Normalize& a) { normalize(a.x, a.unit.tensor, a.length.tensor); }
  static void normalize(const Tensor& x, const Tensor& unit, const Tensor& length) {
    check_matrix("vectors", x);
    dtype_of(x);
    UnitArgs args{};
    args.width = x.size(1);
    args.input = data_of(x);
    args.input_stride = x.stride(0);
    args.unit = numbers<void>("unit", &unit, Backend::products(x.scalar_type()), x.numel());
    args.length = doubles("length", &length, x.size(0));
    Backend::unit(args, x.size(0), x);
  }

  static void run(const Finish& a) { finish(a.gradient, a.unit, a.length, a.factor, a.result.tensor); }
  static void finish(const Tensor& gradient, const MaybeTensor& unit, const MaybeTensor& length, const Tensor& factor,
                     const Tensor& result) {
    dtype_of(result);
    STD_TORCH_CHECK(gradient.dim() == 2 && gradient.is_contiguous() && gradient.scalar_type() == compute_type(result),
                    "fastloss: expected gradient to be a dense matrix of the computing type");
    STD_TORCH_CHECK(unit.has_value() == length.has_value(), "fastloss: expected unit and length or neither");
    const int64_t rows = gradient.size(0);
    UnitArgs args{};
    args.width = gradient.size(1);
    args.upstream = data_of(gradient);
    args.gradient = numbers<void>("result", &result, result.scalar_type(), gradient.numel());
    ScalarType type = Backend::products(result.scalar_type());
    if (unit) {
      // Float gradients of float16 vectors are what a traced problem makes.
      if (type == ScalarType::Float && unit->scalar_type() == Backend::products(ScalarType::Half)) {
        type = unit->scalar_type();
      }
      args.unit = numbers<void>("unit", pointer(unit), type, gradient.numel());
      args.length = doubles("length", pointer(length), rows);
    }
    if (gradient.numel()) Backend::unit_backward(args, rows, dtype_of(unit ? *unit : result), factor, result);
  }

 private:
  static void clear(const Tensor& sums) { torch::stable::fill_(sums, 0); }
};

}  // namespace fastloss::ops
