// Operators of the similarity family on the CPU: views, labels, threads.

#include "ops/similarity_call.h"

#include "cpu/isa.h"
#include "losses/functors.h"

namespace fastloss::ops {
namespace {

// Columns of one step of a thread: whole cache lines, in any stored type.
constexpr int64_t kColumnBlock = 64;

const SimilarityKernels& kernels_of(int64_t loss, const Tensor& like) {
  return isa::kernels().similarity[loss][(int)dtype_of(like)];
}

// Labels for lanes of 32 bits. A label that has more goes in two halves.
struct HalvedLabels {
  std::vector<int32_t> low, high;
  bool wide = false;

  void read(const int64_t* labels, int64_t n) {
    low.resize(n);
    for (int64_t i = 0; i < n; ++i) {
      low[i] = (int32_t)labels[i];
      wide = wide || low[i] != labels[i];
    }
  }
  void read_indices(int64_t first, int64_t n) {
    low.resize(n);
    for (int64_t i = 0; i < n; ++i) {
      low[i] = (int32_t)(first + i);
      wide = wide || low[i] != first + i;
    }
  }
  void read_high(const int64_t* labels, int64_t first, int64_t n) {
    high.resize(n);
    for (int64_t i = 0; i < n; ++i) high[i] = (int32_t)((labels ? labels[i] : first + i) >> 32);
  }
};

double number(const MaybeTensor& t) {
  return t ? *(const double*)as_compute(*t, ScalarType::Double).const_data_ptr() : 1;
}

struct Tile {
  TileArgs args;
  HalvedLabels rows, columns;

  explicit Tile(const TileInputs& in) : args(tile_args(in)) {
    STD_TORCH_CHECK(in.tile.is_cpu(), "fastloss: expected CPU tensors");
    STD_TORCH_CHECK(!in.scale || in.scale->numel() == 1, "fastloss: expected one scale");
    STD_TORCH_CHECK(!in.bias || in.bias->numel() == 1, "fastloss: expected one bias");
    args.scale = in.affine[0] * number(in.scale);
    args.bias = in.affine[1] + (in.bias ? number(in.bias) : 0);
    PairRelation& relation = args.relation;
    if (relation.positives) return;
    if (in.row_labels) {
      check_labels("row_labels", *in.row_labels, in.tile, args.rows);
      relation.row_label.whole = (const int64_t*)in.row_labels->const_data_ptr();
    }
    if (in.column_labels) {
      check_labels("column_labels", *in.column_labels, in.tile, args.columns);
      relation.column_label.whole = (const int64_t*)in.column_labels->const_data_ptr();
    }
    if (in.tile.scalar_type() == ScalarType::Double) return;
    read(rows, relation.row_label, relation.row_offset, args.rows);
    read(columns, relation.column_label, relation.column_offset, args.columns);
    if (rows.wide || columns.wide) {
      read_high(rows, relation.row_label, relation.row_offset, args.rows);
      read_high(columns, relation.column_label, relation.column_offset, args.columns);
    }
  }

 private:
  static void read(HalvedLabels& to, LabelView& view, int64_t first, int64_t n) {
    view.whole ? to.read(view.whole, n) : to.read_indices(first, n);
    view.low = to.low.data();
  }
  static void read_high(HalvedLabels& to, LabelView& view, int64_t first, int64_t n) {
    to.read_high(view.whole, first, n);
    view.high = to.high.data();
  }
};

void statistics_(FASTLOSS_TILE_ARGUMENTS(const Tensor&), const Tensor& row_sums, MaybeTensor column_sums) {
  Tile work(FASTLOSS_TILE_INPUTS);
  TileArgs& args = work.args;
  args.row_sums = anchor_sums("row_sums", row_sums, tile, args.rows);
  if (column_sums) args.column_sums = anchor_sums("column_sums", *column_sums, tile, args.columns);
  if (tile.numel() == 0) return;
  const SimilarityKernels& kernels = kernels_of(loss, tile);
  parallel(tile.numel(), args.rows, [&](int64_t begin, int64_t end) { kernels.rows(args, begin, end); });
  if (!column_sums) return;
  const int64_t blocks = (args.columns + kColumnBlock - 1) / kColumnBlock;
  parallel(tile.numel(), blocks, [&](int64_t begin, int64_t end) {
    kernels.columns(args, begin * kColumnBlock, std::min(args.columns, end * kColumnBlock));
  });
}

// Per row, the sums of df/dz <x, y> and of df/dz.
Tensor gradient_(FASTLOSS_TILE_ARGUMENTS(const Tensor&), MaybeTensor row_anchors, MaybeTensor column_anchors) {
  Tile work(FASTLOSS_TILE_INPUTS);
  TileArgs& args = work.args;
  args.row_anchors = anchor_view("row_anchors", row_anchors, tile, args.rows);
  args.column_anchors = anchor_view("column_anchors", column_anchors, tile, args.columns);
  Tensor sums = empty({args.rows, 2}, ScalarType::Double);
  args.derivative_sums = (double*)sums.mutable_data_ptr();
  const SimilarityKernels& kernels = kernels_of(loss, tile);
  parallel(tile.numel(), args.rows, [&](int64_t begin, int64_t end) { kernels.gradient(args, begin, end); });
  return sums;
}

// What the sums of one anchor mean.
using AnchorFormula = AnchorEval (*)(const double* params, const AnchorSums&);
template <template <class> class Loss>
AnchorEval anchor(const double* params, const AnchorSums& sums) {
  return Loss<double>(params).anchor(sums);
}
#define FASTLOSS_ANCHOR(name, Functor, params) &anchor<Functor>,
constexpr AnchorFormula kAnchors[] = {FASTLOSS_SIMILARITY_LOSSES(FASTLOSS_ANCHOR)};
#undef FASTLOSS_ANCHOR

template <class T>
void write_coefficients(const std::vector<AnchorEval>& evals, const AnchorSums* sums, const double* factor,
                        double scale, const double (&parts)[kPairKinds], T* to) {
  const size_t n = evals.size();
  for (size_t i = 0; i < n; ++i) {
    const double by = scale * (factor ? factor[i] : 1);
    to[kMaxPositive * n + i] = (T)sums[i].max[kPositive];
    to[kMaxNegative * n + i] = (T)sums[i].max[kNegative];
    to[kWeightPositive * n + i] = (T)(evals[i].weight[kPositive] * parts[kPositive] * by);
    to[kWeightNegative * n + i] = (T)(evals[i].weight[kNegative] * parts[kNegative] * by);
    to[kShift * n + i] = (T)(evals[i].shift * by);
  }
}

// The losses of anchors, times factor and share; (their sum, the number of anchors that count); the sum over the divisor;
// what the derivative of a pair needs to know. The divisor, of mean reductions, is the normalizer or that number.
std::tuple<Tensor, Tensor, Tensor, Tensor> anchors(int64_t loss, const Tensor& sums, MaybeTensor factor,
                                                   MaybeTensor parts, MaybeTensor normalizer,
                                                   std::vector<double> params, double share, bool mean, bool empty_zero,
                                                   int64_t dtype) {
  check_loss(loss, params);
  params.resize(4);
  const int64_t n = sums.size(0);
  const AnchorSums* const all = anchor_sums("sums", sums, sums, n);
  const double* const factors = per_anchor("factor", factor, sums, n);
  double part[kPairKinds] = {1, 1};
  if (parts) memcpy(part, per_anchor("parts", parts, sums, kPairKinds), sizeof(part));
  Tensor losses = empty({n}, ScalarType::Double), totals = empty({2}, ScalarType::Double);
  double* const value = (double*)losses.mutable_data_ptr();
  std::vector<AnchorEval> evals(n);
  constexpr int64_t kCost = 64;  // an anchor's logarithms and exponentials, in elements of other work
  parallel(n * kCost, n, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      AnchorSums own = all[i];
      for (int k = 0; k < kPairKinds; ++k) own.sum[k] *= part[k];
      evals[i] = kAnchors[loss](params.data(), own);
      value[i] = evals[i].loss * (factors ? factors[i] : 1) * share;
    }
  });
  double* const total = (double*)totals.mutable_data_ptr();
  total[0] = total[1] = 0;
  for (int64_t i = 0; i < n; ++i) {
    total[0] += value[i];
    total[1] += evals[i].counts;
  }
  const double divisor = !mean ? 1 : normalizer ? *per_anchor("normalizer", normalizer, sums, 1) : total[1];
  Tensor reduced = empty({}, ScalarType::Double);
  *(double*)reduced.mutable_data_ptr() = empty_zero && divisor == 0 ? 0 : total[0] / divisor;
  const double scale = divisor == 0 ? 0 : share / divisor;  // nothing counts: no gradient
  const bool is_double = dtype == (int64_t)ScalarType::Double;
  Tensor coefficients = empty({kCoefficients, n}, is_double ? ScalarType::Double : ScalarType::Float);
  void* const to = coefficients.mutable_data_ptr();
  is_double ? write_coefficients(evals, all, factors, scale, part, (double*)to)
            : write_coefficients(evals, all, factors, scale, part, (float*)to);
  return {losses, totals, reduced, coefficients};
}

// x / |x| in the matrix products' dtype, |x|.
std::tuple<Tensor, Tensor> normalize(const Tensor& x) {
  STD_TORCH_CHECK(x.is_cpu() && x.dim() == 2 && (x.stride(1) == 1 || x.size(1) == 1),
                  "fastloss: expected a CPU matrix, adjacent along the rows");
  UnitArgs args{};
  const int64_t rows = x.size(0);
  args.width = x.size(1);
  args.input = x.const_data_ptr();
  args.input_stride = x.stride(0);
  Tensor unit = empty({rows, args.width}, x.scalar_type() == ScalarType::Half ? ScalarType::Float : x.scalar_type());
  Tensor length = empty({rows}, ScalarType::Double);
  args.unit = unit.mutable_data_ptr();
  args.length = (double*)length.mutable_data_ptr();
  const UnitKernel kernel = isa::kernels().engine[(int)dtype_of(x)].unit_rows;
  parallel(x.numel(), rows, [&](int64_t begin, int64_t end) { kernel(args, begin, end); });
  return {unit, length};
}

// The gradient of x in `dtype` from that of what `normalize` made of it, or of x itself, times `factor`.
Tensor finish(const Tensor& gradient, MaybeTensor unit, MaybeTensor length, const Tensor& factor, int64_t dtype) {
  const int64_t rows = gradient.size(0);
  UnitArgs args{};
  args.width = gradient.size(1);
  Tensor result = empty({rows, args.width}, (ScalarType)dtype);
  STD_TORCH_CHECK(gradient.is_cpu() && gradient.is_contiguous() && gradient.scalar_type() == compute_type(result),
                  "fastloss: expected a dense CPU gradient of the computing type");
  STD_TORCH_CHECK(unit.has_value() == length.has_value(), "fastloss: expected unit and length or neither");
  if (unit) {
    const ScalarType product = (ScalarType)dtype == ScalarType::Half ? ScalarType::Float : (ScalarType)dtype;
    STD_TORCH_CHECK(
        unit->is_cpu() && unit->is_contiguous() && unit->scalar_type() == product && unit->numel() == gradient.numel(),
        "fastloss: expected unit as normalize made it");
    args.unit = (void*)unit->const_data_ptr();
    args.length = (double*)per_anchor("length", length, gradient, rows);
  }
  args.upstream = gradient.const_data_ptr();
  args.gradient = result.mutable_data_ptr();
  STD_TORCH_CHECK(factor.is_cpu() && factor.numel() == 1, "fastloss: expected one factor");
  args.factor = number(factor);
  const UnitKernel kernel = isa::kernels().engine[(int)dtype_of(result)].unit_rows_backward;
  parallel(gradient.numel(), rows, [&](int64_t begin, int64_t end) { kernel(args, begin, end); });
  return result;
}

}  // namespace

#define FASTLOSS_TILE_SCHEMA(tile)                                                                                \
  "int loss, Tensor" tile                                                                                         \
  " tile, Tensor? mask, Tensor? positives, Tensor? row_labels, Tensor? column_labels, int row_offset, int "       \
  "column_offset, bool skip_self, Tensor? scale, Tensor? bias, Tensor? row_terms, Tensor? column_terms, float[] " \
  "affine, float[] params"

STABLE_TORCH_LIBRARY_FRAGMENT(fastloss, m) {
  m.def("similarity_statistics_(" FASTLOSS_TILE_SCHEMA("") ", Tensor(a!) row_sums, Tensor(b!)? column_sums) -> ()");
  m.def(
      "similarity_gradient_(" FASTLOSS_TILE_SCHEMA("(a!)") ", Tensor? row_anchors, Tensor? column_anchors) -> Tensor");
  m.def(
      "similarity_anchors(int loss, Tensor sums, Tensor? factor, Tensor? parts, Tensor? normalizer, float[] params, "
      "float "
      "share, bool mean, bool empty_zero, int dtype) -> (Tensor losses, Tensor totals, Tensor reduced, Tensor "
      "coefficients)");
  m.def("similarity_normalize(Tensor x) -> (Tensor unit, Tensor length)");
  m.def("similarity_finish(Tensor gradient, Tensor? unit, Tensor? length, Tensor factor, int dtype) -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(fastloss, CPU, m) {
  m.impl("similarity_statistics_", TORCH_BOX(&statistics_));
  m.impl("similarity_gradient_", TORCH_BOX(&gradient_));
  m.impl("similarity_anchors", TORCH_BOX(&anchors));
  m.impl("similarity_normalize", TORCH_BOX(&normalize));
  m.impl("similarity_finish", TORCH_BOX(&finish));
}

}  // namespace fastloss::ops
