// Operators of the engine on the CPU: views, labels, threads.

#include "engines/similarity/call.h"

#include <atomic>

#include "simd/isa.h"
#include "losses/functors.h"

namespace fastloss::ops {
namespace {

// Columns of one step of a thread: whole cache lines, in any stored type.
constexpr int64_t kColumnBlock = 64;

// Labels for lanes of 32 bits. A label that has more goes in two halves.
struct HalvedLabels {
  std::vector<int32_t> low, high;

  // Without labels: indices from `first` on. Whether a label needs both halves.
  bool read(LabelView& view, int64_t first, int64_t n) {
    bool wide = false;
    low.resize(n);
    for (int64_t i = 0; i < n; ++i) {
      const int64_t label = view.whole ? view.whole[i] : first + i;
      low[i] = (int32_t)label;
      wide = wide || low[i] != label;
    }
    view.low = low.data();
    return wide;
  }
  void read_high(LabelView& view, int64_t first, int64_t n) {
    high.resize(n);
    for (int64_t i = 0; i < n; ++i) high[i] = (int32_t)((view.whole ? view.whole[i] : first + i) >> 32);
    view.high = high.data();
  }
};

double number(const char* name, const Tensor& t) {
  STD_TORCH_CHECK(t.numel() == 1, "fastloss: expected one ", name);
  dtype_of(t);
  return *(const double*)as_compute(t, ScalarType::Double).const_data_ptr();
}

void write_number(const char* name, const MaybeTensor& t, double value) {
  if (!t) return;
  STD_TORCH_CHECK(t->numel() == 1, "fastloss: expected one ", name);
  write_scalar(*t, value);
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
void write_coefficients(const AnchorArgs& a, const std::vector<AnchorEval>& evals, double scale,
                        const double (&parts)[kPairKinds]) {
  T* const to = (T*)a.coefficients;
  for (int64_t i = 0; i < a.anchors; ++i) {
    const double by = evals[i].counts ? scale * (a.factor ? a.factor[i] : 1) : 0;
    to[kMaxPositive * a.plane + i] = (T)a.sums[i].max[kPositive];
    to[kMaxNegative * a.plane + i] = (T)a.sums[i].max[kNegative];
    to[kWeightPositive * a.plane + i] = (T)(evals[i].weight[kPositive] * parts[kPositive] * by);
    to[kWeightNegative * a.plane + i] = (T)(evals[i].weight[kNegative] * parts[kNegative] * by);
    to[kShift * a.plane + i] = (T)(evals[i].shift * by);
  }
}

void evaluate_anchors(const AnchorArgs& a) {
  double parts[kPairKinds] = {1, 1};
  if (a.weight) std::copy(a.weight, a.weight + kPairKinds, parts);
  std::vector<AnchorEval> evals(a.anchors);
  constexpr int64_t kCost = 64;  // an anchor's logarithms and exponentials, in elements of other work
  parallel(a.anchors * kCost, a.anchors, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      AnchorSums own = a.sums[i];
      for (int k = 0; k < kPairKinds; ++k) own.sum[k] *= parts[k];
      evals[i] = kAnchors[a.loss](a.params, own);
      a.losses[i] = evals[i].loss * (a.factor ? a.factor[i] : 1) * a.share;
    }
  });
  double total = 0, count = 0;
  for (int64_t i = 0; i < a.anchors; ++i) {
    total += a.losses[i];
    count += evals[i].counts;
  }
  a.totals[0] = total;
  a.totals[1] = count;
  const double divisor = !a.mean ? 1 : a.normalizer ? *a.normalizer : count;
  *a.reduced = a.empty_zero && divisor == 0 ? 0 : total / divisor;
  const double scale = divisor == 0 ? 0 : a.share / divisor;  // nothing counts: no gradient
  a.is_double ? write_coefficients<double>(a, evals, scale, parts) : write_coefficients<float>(a, evals, scale, parts);
}

// Memory for `mine` and `list_pairs`.
struct MineScratch {
  std::vector<char> memory;
  void* data;

  MineScratch(const Engine& engine, const Tensor& tile)
      : memory(engine.mine_scratch(tile.size(1)) * tile.element_size() + 64),
        data(memory.data() + (64 - (uintptr_t)memory.data() % 64) % 64) {}
};

// A row of derivatives from the pairs that have one, and their sums as gradient_ makes them.
template <class T>
void spread(const TileArgs& args, int64_t i, const PairShare* pairs, int64_t count) {
  T* const row = (T*)args.tile + i * args.tile_stride;
  double* const sums = args.derivative_sums + 2 * i;
  sums[0] = sums[1] = 0;
  for (int64_t k = 0; k < count; ++k) {
    sums[0] += pairs[k].by / 2 * row[pairs[k].other];
    sums[1] += pairs[k].by / 2;
  }
  std::fill_n(row, args.columns, (T)0);
  for (int64_t k = 0; k < count; ++k) row[pairs[k].other] = (T)(args.scale * pairs[k].by / 2);
}

// The pairs of rows of a tile; a block of rows is one thread's. Beyond `most` in all no more are kept: which rows' were
// before, is up to the threads.
struct RowPairs {
  static constexpr int64_t kBlock = 16;
  const int64_t rows, blocks, most;
  std::vector<std::vector<PairShare>> of_block;
  std::vector<int64_t> count;  // of a row, -1: not kept
  std::atomic<int64_t> total{0};

  RowPairs(int64_t rows, int64_t most)
      : rows(rows), blocks((rows + kBlock - 1) / kBlock), most(most), of_block(blocks), count(rows) {}

  bool too_many() const { return total.load() > most; }
  bool keep(int64_t row, const PairShare* pairs, int64_t n) {
    const bool kept = total.fetch_add(n) + n <= most;
    std::vector<PairShare>& to = of_block[row / kBlock];
    if (kept) to.insert(to.end(), pairs, pairs + n);
    count[row] = kept ? n : -1;
    return kept;
  }
  // body(row, pairs, count) of each row of a block that was kept.
  template <class Body>
  void for_rows(int64_t block, const Body& body) const {
    const PairShare* pairs = of_block[block].data();
    for (int64_t i = block * kBlock; i < std::min(rows, (block + 1) * kBlock); ++i) {
      if (count[i] < 0) continue;
      body(i, pairs, count[i]);
      pairs += count[i];
    }
  }
};

// The pairs of each of `vectors` vectors, of which `first` is row 0 of a tile. A pair is in the lists of both its
// vectors, in the order of the rows that found it: gradients add up in that order, whoever adds them.
struct VectorPairs {
  std::vector<int64_t> begins;
  std::vector<PairShare> pairs;

  VectorPairs(const RowPairs& found, int64_t first, int64_t vectors) : begins(vectors + 2), pairs(2 * found.total) {
    for_each(found, first, [&](int64_t vector, PairShare) { ++begins[vector + 2]; });
    for (size_t v = 2; v < begins.size(); ++v) begins[v] += begins[v - 1];
    for_each(found, first, [&](int64_t vector, PairShare p) { pairs[begins[vector + 1]++] = p; });
  }

 private:
  template <class Body>
  static void for_each(const RowPairs& found, int64_t first, const Body& body) {
    for (int64_t block = 0; block < found.blocks; ++block) {
      found.for_rows(block, [&](int64_t i, const PairShare* pairs, int64_t count) {
        for (int64_t k = 0; k < count; ++k) {
          body(first + i, pairs[k]);
          body(pairs[k].other, {first + i, pairs[k].by});
        }
      });
    }
  }
};

struct Tile {
  TileArgs args;
  const Tensor& tensor;
  HalvedLabels rows, columns;

  Tile(const Pairs& in, const Tensor& tile) : args(tile_args(in, tile)), tensor(tile) {
    args.scale = in.affine[0] * (in.scale ? number("scale", *in.scale) : 1);
    args.bias = in.affine[1] + (in.bias ? number("bias", *in.bias) : 0);
    PairRelation& relation = args.relation;
    if (relation.positives || tile.scalar_type() == ScalarType::Double || tile.numel() == 0) return;
    const bool wide_rows = rows.read(relation.row_label, relation.row_offset, args.rows);
    const bool wide_columns = columns.read(relation.column_label, relation.column_offset, args.columns);
    if (wide_rows || wide_columns) {
      rows.read_high(relation.row_label, relation.row_offset, args.rows);
      columns.read_high(relation.column_label, relation.column_offset, args.columns);
    }
  }

  const Engine& engine() const { return isa::kernels().engine[(int)dtype_of(tensor)]; }
  const SimilarityKernels& kernels(int loss) const { return isa::kernels().similarity[loss][(int)dtype_of(tensor)]; }

  void statistics(int loss) {
    const int64_t elements = args.rows * args.columns;
    const SimilarityKernels& of = kernels(loss);
    parallel(elements, args.rows, [&](int64_t begin, int64_t end) { of.rows(args, begin, end); });
    if (!args.column_sums) return;
    STD_TORCH_CHECK(of.columns, "fastloss: columns of this loss are no anchors");
    const int64_t blocks = (args.columns + kColumnBlock - 1) / kColumnBlock;
    parallel(elements, blocks, [&](int64_t begin, int64_t end) {
      of.columns(args, begin * kColumnBlock, std::min(args.columns, end * kColumnBlock));
    });
  }

  void derivatives(int loss) {
    const SimilarityKernels& of = kernels(loss);
    parallel(args.rows * args.columns, args.rows, [&](int64_t begin, int64_t end) { of.gradient(args, begin, end); });
  }

  void take_positives(const Tensor& vectors, const Tensor& gradients) {
    const Tensor dense = as_dense(vectors);
    const PositiveArgs positives{dense.const_data_ptr(), dense.stride(0), dense.size(1), mutable_data_of(gradients),
                                 gradients.stride(0)};
    const Engine& of = engine();
    parallel(args.rows * args.columns, args.rows,
             [&](int64_t begin, int64_t end) { of.take_positives(args, positives, begin, end); });
  }

  void mine(Mining mining) {
    const Engine& of = engine();
    parallel(tensor.numel(), args.rows,
             [&](int64_t begin, int64_t end) { of.mine(args, (int)mining, begin, end, MineScratch(of, tensor).data); });
  }

  bool mine_few(const Triplets& a) {
    STD_TORCH_CHECK(a.loss != kAllTriplets, "fastloss: all triplets are not few");
    STD_TORCH_CHECK(a.most >= 0, "fastloss: expected most to be 0 or more pairs, got ", a.most);
    STD_TORCH_CHECK(a.row_offset <= args.columns - args.rows, "fastloss: expected columns with the rows among them");
    STD_TORCH_CHECK(args.derivative_sums, "fastloss: expected memory for sums");
    const Engine& of = engine();
    const auto spread_row = [&](int64_t i, const PairShare* pairs, int64_t count) {
      dtype_of(tensor) == DType::f64 ? spread<double>(args, i, pairs, count) : spread<float>(args, i, pairs, count);
    };
    RowPairs rows(args.rows, a.most);
    parallel(tensor.numel(), rows.blocks, [&](int64_t begin, int64_t end) {
      const MineScratch scratch(of, tensor);
      std::vector<PairShare> pairs(args.columns);
      for (int64_t i = begin * RowPairs::kBlock; i < std::min(args.rows, end * RowPairs::kBlock); ++i) {
        const int64_t count = of.list_pairs(args, (int)a.loss, i, scratch.data, pairs.data());
        if (!rows.keep(i, pairs.data(), count)) spread_row(i, pairs.data(), count);
      }
    });
    if (rows.too_many()) {
      parallel(tensor.numel(), rows.blocks, [&](int64_t begin, int64_t end) {
        for (int64_t block = begin; block < end; ++block) rows.for_rows(block, spread_row);
      });
      return false;
    }
    const VectorPairs lists(rows, a.row_offset, args.columns);
    const Tensor dense = as_dense(*a.vectors), &gradients = *a.gradients.tensor;
    const ShareArgs shares{dense.const_data_ptr(), dense.stride(0),     dense.size(1),      mutable_data_of(gradients),
                           gradients.stride(0),    lists.begins.data(), lists.pairs.data(), a.row_terms.has_value()};
    parallel((int64_t)lists.pairs.size() * dense.size(1), args.columns,
             [&](int64_t begin, int64_t end) { of.add_shares(shares, begin, end); });
    return true;
  }
};

// Note [One number for a pair]
// A row and a column are anchors of one pair, and one derivative serves both. An exponential relative to a maximum that
// another number made is off by a factor, e to the difference of the two, and grows past 1: so both anchors must know the
// pair by the same number. x x^T need not have it twice: products round a row's sums by where it lies in a block. Kept
// matrices are therefore mirrored; of others the sums of columns are made as well.

// Elements of one side of the blocks that change places: some lines of memory.
constexpr int64_t kMirrorBlock = 64;

// Each line is touched once, since rows pages apart share a place in the cache: the block turns in a buffer.
template <class T>
void mirror_block(T* matrix, int64_t stride, int64_t row, int64_t rows, int64_t column, int64_t columns) {
  T turned[kMirrorBlock][kMirrorBlock];
  for (int64_t j = 0; j < columns; ++j) {
    const T* const from = matrix + (column + j) * stride + row;
    for (int64_t i = 0; i < rows; ++i) turned[i][j] = from[i];
  }
  for (int64_t i = 0; i < rows; ++i) {
    std::copy_n(turned[i], row == column ? i : columns, matrix + (row + i) * stride + column);
  }
}

// Writes what rows begin .. end of a square matrix have right of the diagonal below it.
template <class T>
void mirror_rows(const Tensor& matrix, int64_t begin, int64_t end) {
  T* const data = (T*)mutable_data_of(matrix);
  const int64_t left = matrix.size(0) - begin, stride = matrix.stride(0);
  parallel(left * (end - begin), (left + kMirrorBlock - 1) / kMirrorBlock, [&](int64_t first, int64_t last) {
    for (int64_t t = first; t < last; ++t) {
      const int64_t row = begin + t * kMirrorBlock, rows = std::min(kMirrorBlock, left - t * kMirrorBlock);
      for (int64_t column = begin; column < end && column <= row; column += kMirrorBlock) {
        mirror_block(data, stride, row, rows, column, std::min(kMirrorBlock, end - column));
      }
    }
  });
}
void mirror(const Tensor& matrix, int64_t begin, int64_t end) {
  const auto size = matrix.element_size();
  (size == 2   ? &mirror_rows<uint16_t>
   : size == 4 ? &mirror_rows<uint32_t>
               : &mirror_rows<uint64_t>)(matrix, begin, end);
}

#define FASTLOSS_MIRROR(X) X(Output<Tensor>, matrix) X(int64_t, begin) X(int64_t, end)
FASTLOSS_ARGUMENTS(Mirror, Arguments, FASTLOSS_MIRROR)

// Note [Small problems]
// A problem of one small strip in one call: Python's part of several would take as long as the work. What
// fastloss/engines/similarity/plan.py does for larger ones is done here in the same order with the same kernels.
// Returns the reduced loss. Gradients are those for an upstream gradient of one; of vectors they are of the computing type.
#define FASTLOSS_WHOLE(X)              \
  X(Tensor, rows)                      \
  X(MaybeTensor, columns)              \
  X(MaybeTensor, weight)               \
  X(MaybeTensor, normalizer)           \
  X(bool, normalized)                  \
  X(bool, both)                        \
  X(bool, mean)                        \
  X(bool, empty_zero)                  \
  X(int64_t, loss_dtype)               \
  X(Output<MaybeTensor>, grad_rows)    \
  X(Output<MaybeTensor>, grad_columns) \
  X(Output<MaybeTensor>, grad_scale)   \
  X(Output<MaybeTensor>, grad_bias)
FASTLOSS_ARGUMENTS(Whole, Pairs, FASTLOSS_WHOLE)

Tensor product(const Tensor& a, const Tensor& b) {
  std::array<StableIValue, 2> stack{torch::stable::detail::from(a), torch::stable::detail::from(b)};
  TORCH_ERROR_CODE_CHECK(torch_call_dispatcher("aten::mm", "", stack.data(), TORCH_ABI_VERSION));
  return torch::stable::detail::to<Tensor>(stack[0]);
}
Tensor transposed(const Tensor& a) { return torch::stable::transpose(a, 0, 1); }

// Refuses what is no matrix of vectors like the rows.
void check_vectors(const char* name, const Tensor& t, const Tensor& like) {
  dtype_of(t);
  STD_TORCH_CHECK(t.dim() == 2 && t.scalar_type() == like.scalar_type() && t.size(1) == like.size(1),
                  "fastloss: expected ", name, " to be vectors of the rows' dtype and width");
}

struct Backend : SimilarityOperators<Backend> {
  using Tile = ops::Tile;
  using SimilarityOperators<Backend>::run;

  // CPUs multiply float16 a hundred times slower than float32.
  static ScalarType products(ScalarType type) { return type == ScalarType::Half ? ScalarType::Float : type; }
  static void evaluate(const AnchorArgs& args, const Tensor&) { evaluate_anchors(args); }
  static void unit(const UnitArgs& args, int64_t rows, const Tensor& x) {
    const UnitKernel kernel = isa::kernels().engine[(int)dtype_of(x)].unit_rows;
    parallel(x.numel(), rows, [&](int64_t begin, int64_t end) { kernel(args, begin, end); });
  }
  static void unit_backward(UnitArgs& args, int64_t rows, DType, const Tensor& factor, const Tensor& result) {
    args.factor = number("factor", factor);
    const UnitKernel kernel = isa::kernels().engine[(int)dtype_of(result)].unit_rows_backward;
    parallel(result.numel(), rows, [&](int64_t begin, int64_t end) { kernel(args, begin, end); });
  }

  static void run(const Mirror& a) {
    const Tensor& matrix = a.matrix.tensor;
    check_matrix("matrix", matrix);
    dtype_of(matrix);
    STD_TORCH_CHECK(matrix.size(0) == matrix.size(1) && 0 <= a.begin && a.begin <= a.end && a.end <= matrix.size(0),
                    "fastloss: expected rows of a square matrix");
    mirror(matrix, a.begin, a.end);
  }

  static Tensor run(const Whole& a) {
    check_loss(a.loss);
    const bool itself = !a.columns, symmetric = itself && !a.mask && !a.positives;
    Tensor value = empty({}, dtype_of_code("loss_dtype", a.loss_dtype));
    check_vectors("rows", a.rows, a.rows);
    if (a.columns) check_vectors("columns", *a.columns, a.rows);
    STD_TORCH_CHECK(itself == a.skip_self, "fastloss: expected skip_self where there are no columns");
    STD_TORCH_CHECK(!a.both || !a.weight || itself || a.columns->size(0) == a.rows.size(0),
                    "fastloss: expected as many columns as rows, which share the weights");
    const UnitRows x(a.rows, a.normalized), y(itself ? a.rows : *a.columns, a.normalized && !itself);
    const Tensor &left = x.vectors, &right = itself ? x.vectors : y.vectors;
    const Tensor similarities = product(left, transposed(right));
    if (symmetric) mirror(similarities, 0, similarities.size(0));
    Tile tile(a, similarities);
    TileArgs& args = tile.args;
    const ScalarType compute = compute_type(similarities);
    Side rows(args.rows, compute), columns(a.both ? args.columns : 0, compute);
    args.row_sums = rows.sums.data();
    if (a.both) args.column_sums = columns.sums.data();
    if (similarities.numel()) tile.statistics((int)a.loss);
    double loss = rows.evaluate(a);
    if (a.both) loss += columns.evaluate(a);
    write_scalar(value, loss);
    const Tensor *const to_rows = pointer(a.grad_rows.tensor), *const to_columns = pointer(a.grad_columns.tensor);
    if (!to_rows && !to_columns && !a.grad_scale.tensor && !a.grad_bias.tensor) return value;

    args.row_anchors = rows.view();
    if (a.both || symmetric) args.column_anchors = (a.both ? columns : rows).view();
    std::vector<double> parts(2 * args.rows);
    args.derivative_sums = parts.data();
    tile.derivatives((int)a.loss);
    double total[2] = {0, 0};
    for (int64_t i = 0; i < 2 * args.rows; ++i) total[i % 2] += symmetric ? parts[i] / 2 : parts[i];
    if (to_rows) {
      Tensor taken;
      if (symmetric) {
        taken = empty({args.rows, left.size(1)}, compute);
        memset(taken.mutable_data_ptr(), 0, taken.numel() * taken.element_size());
        tile.take_positives(right, taken);
      }
      Tensor made = product(similarities, right);
      if (symmetric) made = torch::stable::subtract(as_compute(made, compute), taken, -1);
      if (itself && !symmetric) made = torch::stable::subtract(made, product(transposed(similarities), left), -1);
      x.back(made, *to_rows);
    }
    if (to_columns) (itself ? x : y).back(product(transposed(similarities), left), *to_columns);
    write_number("grad_scale", a.grad_scale.tensor, total[0] * a.affine[0]);
    write_number("grad_bias", a.grad_bias.tensor, total[1]);
    return value;
  }

 private:
  struct UnitRows {
    Tensor vectors;
    MaybeTensor length;

    UnitRows(const Tensor& x, bool normalized) : vectors(x) {
      const ScalarType type = products(x.scalar_type());
      if (normalized) {
        vectors = empty({x.size(0), x.size(1)}, type);
        length = empty({x.size(0)}, ScalarType::Double);
        normalize(x.stride(1) == 1 || x.size(1) <= 1 ? x : torch::stable::contiguous(x), vectors, *length);
      } else if (type != x.scalar_type()) {
        vectors = torch::stable::to(x, type);
      }
    }

    // Writes the gradient of x for one of `vectors`, in the computing type.
    void back(const Tensor& gradient, const Tensor& to) const {
      const ScalarType compute = compute_type(vectors);
      const Tensor one = empty({}, ScalarType::Double);
      write_scalar(one, 1);
      MaybeTensor unit;
      if (length) unit = as_compute(vectors, compute);
      finish(as_compute(gradient, compute), unit, length, one, to);
    }
  };

  // Anchors of one side.
  struct Side {
    const int64_t n;
    std::vector<AnchorSums> sums;
    std::vector<double> losses;
    const Tensor coefficients;

    Side(int64_t n, ScalarType compute) : n(n), sums(n), losses(n), coefficients(empty({kCoefficients, n}, compute)) {}
    AnchorView view() const { return {coefficients.const_data_ptr(), n}; }

    // The reduced loss.
    double evaluate(const Whole& a) {
      double totals[3];
      AnchorArgs args = anchor_args(a, n, coefficients);
      args.sums = sums.data();
      args.factor = doubles("weight", pointer(a.weight), n);
      args.share = a.both ? 0.5 : 1.0;
      args.losses = losses.data();
      args.totals = totals;
      args.reduced = totals + 2;
      evaluate_anchors(args);
      return totals[2];
    }
  };
};

}  // namespace

#define FASTLOSS_OF_CPU(X) FASTLOSS_SIMILARITY_OPERATORS(X) X(similarity_mirror_, Mirror) X(similarity_whole, Whole)

STABLE_TORCH_LIBRARY_FRAGMENT(fastloss, m){
    FASTLOSS_OF_CPU(FASTLOSS_DEFINE_ARGUMENTS)} STABLE_TORCH_LIBRARY_IMPL(fastloss, CPU, m) {
  FASTLOSS_OF_CPU(FASTLOSS_IMPLEMENT_ARGUMENTS)
}

}  // namespace fastloss::ops
