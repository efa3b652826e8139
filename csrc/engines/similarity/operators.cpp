// Operators of the engine on the CPU: views, labels, threads.

#include "engines/similarity/call.h"

#include <atomic>

#include "simd/isa.h"
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

  // Without labels: indices from `first` on.
  void read(const int64_t* labels, int64_t first, int64_t n) {
    low.resize(n);
    for (int64_t i = 0; i < n; ++i) {
      const int64_t label = labels ? labels[i] : first + i;
      low[i] = (int32_t)label;
      wide = wide || low[i] != label;
    }
  }
  void read_high(const int64_t* labels, int64_t first, int64_t n) {
    high.resize(n);
    for (int64_t i = 0; i < n; ++i) high[i] = (int32_t)((labels ? labels[i] : first + i) >> 32);
  }
};

double number(const char* name, const Tensor& t) {
  STD_TORCH_CHECK(t.is_cpu() && t.numel() == 1, "fastloss: expected one ", name, " on the CPU");
  dtype_of(t);
  return *(const double*)as_compute(t, ScalarType::Double).const_data_ptr();
}

struct Tile {
  TileArgs args;
  HalvedLabels rows, columns;

  explicit Tile(const TileInputs& in) : args(tile_args(in)) {
    STD_TORCH_CHECK(in.tile.is_cpu(), "fastloss: expected CPU tensors");
    args.scale = in.affine[0] * (in.scale ? number("scale", *in.scale) : 1);
    args.bias = in.affine[1] + (in.bias ? number("bias", *in.bias) : 0);
    PairRelation& relation = args.relation;
    if (relation.positives || in.tile.scalar_type() == ScalarType::Double || in.tile.numel() == 0) return;
    read(rows, relation.row_label, relation.row_offset, args.rows);
    read(columns, relation.column_label, relation.column_offset, args.columns);
    if (rows.wide || columns.wide) {
      read_high(rows, relation.row_label, relation.row_offset, args.rows);
      read_high(columns, relation.column_label, relation.column_offset, args.columns);
    }
  }

 private:
  static void read(HalvedLabels& to, LabelView& view, int64_t first, int64_t n) {
    to.read(view.whole, first, n);
    view.low = to.low.data();
  }
  static void read_high(HalvedLabels& to, LabelView& view, int64_t first, int64_t n) {
    to.read_high(view.whole, first, n);
    view.high = to.high.data();
  }
};

void add_statistics(int64_t loss, const TileInputs& in, TileArgs& args, AnchorSums* row_sums, AnchorSums* column_sums) {
  args.row_sums = row_sums;
  args.column_sums = column_sums;
  const int64_t elements = args.rows * args.columns;
  if (elements == 0) return;
  const SimilarityKernels& kernels = kernels_of(loss, in.tile);
  parallel(elements, args.rows, [&](int64_t begin, int64_t end) { kernels.rows(args, begin, end); });
  if (!column_sums) return;
  STD_TORCH_CHECK(kernels.columns, "fastloss: columns of this loss are no anchors");
  const int64_t blocks = (args.columns + kColumnBlock - 1) / kColumnBlock;
  parallel(elements, blocks, [&](int64_t begin, int64_t end) {
    kernels.columns(args, begin * kColumnBlock, std::min(args.columns, end * kColumnBlock));
  });
}

void statistics_(int64_t loss, FASTLOSS_TILE_ARGUMENTS(const Tensor&), const Tensor& row_sums,
                 MaybeTensor column_sums) {
  check_loss(loss);
  const TileInputs in = FASTLOSS_TILE_INPUTS;
  Tile work(in);
  check_sums(in, row_sums, column_sums);
  add_statistics(loss, in, work.args, anchor_sums("row_sums", row_sums, tile, work.args.rows),
                 column_sums ? anchor_sums("column_sums", *column_sums, tile, work.args.columns) : nullptr);
}

void make_derivatives(int64_t loss, const TileInputs& in, TileArgs& args, double* sums) {
  args.derivative_sums = sums;
  const SimilarityKernels& kernels = kernels_of(loss, in.tile);
  parallel(args.rows * args.columns, args.rows,
           [&](int64_t begin, int64_t end) { kernels.gradient(args, begin, end); });
}

// Per row, the sums of df/dz <x, y> and of df/dz.
Tensor gradient_(int64_t loss, FASTLOSS_TILE_ARGUMENTS(const Tensor&), MaybeTensor row_anchors,
                 MaybeTensor column_anchors) {
  check_loss(loss);
  const TileInputs in = FASTLOSS_TILE_INPUTS;
  check_derivatives(in, {pointer(row_anchors), pointer(column_anchors)});
  Tile work(in);
  work.args.row_anchors = anchor_view("row_anchors", row_anchors, tile, work.args.rows);
  work.args.column_anchors = anchor_view("column_anchors", column_anchors, tile, work.args.columns);
  Tensor sums = empty({work.args.rows, 2}, ScalarType::Double);
  make_derivatives(loss, in, work.args, (double*)sums.mutable_data_ptr());
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
    const double by = evals[i].counts ? scale * (factor ? factor[i] : 1) : 0;
    to[kMaxPositive * n + i] = (T)sums[i].max[kPositive];
    to[kMaxNegative * n + i] = (T)sums[i].max[kNegative];
    to[kWeightPositive * n + i] = (T)(evals[i].weight[kPositive] * parts[kPositive] * by);
    to[kWeightNegative * n + i] = (T)(evals[i].weight[kNegative] * parts[kNegative] * by);
    to[kShift * n + i] = (T)(evals[i].shift * by);
  }
}

struct AnchorCall {
  int64_t loss;
  const double* factors;  // per anchor, or null
  const double* parts;    // of positives and negatives, or null
  const double* normalizer;
  const std::vector<double>& params;
  double share;
  bool mean, empty_zero, is_double;
};
struct Anchors {
  Tensor losses, coefficients;
  double total, count, reduced;
};

// What the sums of anchors come to. The divisor, of mean reductions, is the normalizer or the number of those that count.
Anchors evaluate_anchors(const AnchorCall& call, const AnchorSums* sums, int64_t n) {
  double params[4] = {}, parts[kPairKinds] = {1, 1};
  copy_params(call.params, params);
  if (call.parts) std::copy(call.parts, call.parts + kPairKinds, parts);
  Anchors r{empty({n}, ScalarType::Double),
            empty({kCoefficients, n}, call.is_double ? ScalarType::Double : ScalarType::Float), 0, 0, 0};
  double* const value = (double*)r.losses.mutable_data_ptr();
  std::vector<AnchorEval> evals(n);
  constexpr int64_t kCost = 64;  // an anchor's logarithms and exponentials, in elements of other work
  parallel(n * kCost, n, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      AnchorSums own = sums[i];
      for (int k = 0; k < kPairKinds; ++k) own.sum[k] *= parts[k];
      evals[i] = kAnchors[call.loss](params, own);
      value[i] = evals[i].loss * (call.factors ? call.factors[i] : 1) * call.share;
    }
  });
  for (int64_t i = 0; i < n; ++i) {
    r.total += value[i];
    r.count += evals[i].counts;
  }
  const double divisor = !call.mean ? 1 : call.normalizer ? *call.normalizer : r.count;
  r.reduced = call.empty_zero && divisor == 0 ? 0 : r.total / divisor;
  const double scale = divisor == 0 ? 0 : call.share / divisor;  // nothing counts: no gradient
  void* const to = r.coefficients.mutable_data_ptr();
  call.is_double ? write_coefficients(evals, sums, call.factors, scale, parts, (double*)to)
                 : write_coefficients(evals, sums, call.factors, scale, parts, (float*)to);
  return r;
}

// The losses of anchors, times factor and share; (their sum, the number of anchors that count); the sum over the divisor;
// what the derivative of a pair needs to know.
std::tuple<Tensor, Tensor, Tensor, Tensor> anchors(int64_t loss, const Tensor& sums, MaybeTensor factor,
                                                   MaybeTensor parts, MaybeTensor normalizer,
                                                   std::vector<double> params, double share, bool mean, bool empty_zero,
                                                   int64_t dtype) {
  check_loss(loss);
  STD_TORCH_CHECK(sums.is_cpu(), "fastloss: expected CPU sums");
  const bool is_double = dtype_of_code("dtype", dtype) == ScalarType::Double;
  const int64_t n = anchor_count(sums);
  const AnchorCall call{loss,
                        per_anchor("factor", factor, sums, n),
                        per_anchor("parts", parts, sums, kPairKinds),
                        per_anchor("normalizer", normalizer, sums, 1),
                        params,
                        share,
                        mean,
                        empty_zero,
                        is_double};
  Anchors r = evaluate_anchors(call, anchor_sums("sums", sums, sums, n), n);
  Tensor totals = empty({2}, ScalarType::Double), reduced = empty({}, ScalarType::Double);
  ((double*)totals.mutable_data_ptr())[0] = r.total;
  ((double*)totals.mutable_data_ptr())[1] = r.count;
  write_scalar(reduced, r.reduced);
  return {r.losses, totals, reduced, r.coefficients};
}

// Adds what the positives of a tile of derivatives contribute to the gradients of its rows, and takes them out of it.
void take_positives(TileArgs& args, const Tensor& tile, const Tensor& vectors, const Tensor& gradients) {
  STD_TORCH_CHECK(vectors.is_cpu() && vectors.dim() == 2 && vectors.size(0) == args.columns &&
                      vectors.scalar_type() == tile.scalar_type(),
                  "fastloss: expected a vector of the tile's dtype for each column");
  STD_TORCH_CHECK(gradients.is_cpu() && gradients.dim() == 2 && gradients.size(0) == args.rows &&
                      gradients.size(1) == vectors.size(1) && gradients.scalar_type() == compute_type(tile) &&
                      (gradients.stride(1) == 1 || gradients.size(1) <= 1),
                  "fastloss: expected a gradient of the computing type for each row");
  check_own_memory("gradients", gradients, {&tile, &vectors});
  const Tensor dense = as_dense(vectors);
  const PositiveArgs positives{dense.const_data_ptr(), dense.stride(0), dense.size(1), mutable_data_of(gradients),
                               gradients.stride(0)};
  const Engine& engine = isa::kernels().engine[(int)dtype_of(tile)];
  parallel(args.rows * args.columns, args.rows,
           [&](int64_t begin, int64_t end) { engine.take_positives(args, positives, begin, end); });
}

void positives_(int64_t loss, FASTLOSS_TILE_ARGUMENTS(const Tensor&), const Tensor& vectors, const Tensor& gradients) {
  check_loss(loss);
  const TileInputs in = FASTLOSS_TILE_INPUTS;
  check_derivatives(in, {&vectors});
  Tile work(in);
  check_apart("gradients", gradients, in);
  take_positives(work.args, tile, vectors, gradients);
}

// Memory for `mine` and `list_pairs`.
struct MineScratch {
  std::vector<char> memory;
  void* data;

  MineScratch(const Engine& engine, const Tensor& tile)
      : memory(engine.mine_scratch(tile.size(1)) * tile.element_size() + 64),
        data(memory.data() + (64 - (uintptr_t)memory.data() % 64) % 64) {}
};

// Per row, value and count of the triplets found in it; the tile's derivatives, and their sums per row as gradient_'s.
std::tuple<Tensor, Tensor> triplets_(int64_t mining, FASTLOSS_TILE_ARGUMENTS(const Tensor&), MaybeTensor factor,
                                     bool want_gradient) {
  check_mining(mining, tile);
  const TileInputs in = FASTLOSS_TILE_INPUTS;
  if (want_gradient) check_derivatives(in, {pointer(factor)});
  Tile work(in);
  TileArgs& args = work.args;
  args.factor = per_anchor("factor", factor, tile, args.rows);
  Tensor found = empty({args.rows, 2}, ScalarType::Double);
  Tensor sums = empty({want_gradient ? args.rows : 0, 2}, ScalarType::Double);
  args.triplets = (double*)found.mutable_data_ptr();
  if (want_gradient) args.derivative_sums = (double*)sums.mutable_data_ptr();
  const Engine& engine = isa::kernels().engine[(int)dtype_of(tile)];
  parallel(tile.numel(), args.rows, [&](int64_t begin, int64_t end) {
    engine.mine(args, (int)mining, begin, end, MineScratch(engine, tile).data);
  });
  return {found, sums};
}

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

// As triplets_, of batch hard and semi hard ones; rows are columns, the first is column `row_offset`. If at most `most`
// pairs have a derivative, they are added to the gradients of both their vectors: no sums, and the tile is as it was.
std::tuple<Tensor, Tensor> few_triplets_(int64_t mining, FASTLOSS_TILE_ARGUMENTS(const Tensor&), MaybeTensor factor,
                                         const Tensor& vectors, const Tensor& gradients, int64_t most) {
  check_mining(mining, tile);
  STD_TORCH_CHECK(mining != kAllTriplets, "fastloss: all triplets are not few");
  STD_TORCH_CHECK(most >= 0, "fastloss: expected most to be 0 or more pairs, got ", most);
  const TileInputs in = FASTLOSS_TILE_INPUTS;
  check_derivatives(in, {pointer(factor), &vectors});
  Tile work(in);
  TileArgs& args = work.args;
  STD_TORCH_CHECK(vectors.is_cpu() && vectors.dim() == 2 && vectors.size(0) == args.columns &&
                      row_offset <= args.columns - args.rows && vectors.scalar_type() == tile.scalar_type(),
                  "fastloss: expected a vector of the tile's dtype for each column, rows among them");
  STD_TORCH_CHECK(gradients.is_cpu() && gradients.dim() == 2 && gradients.size(0) == args.columns &&
                      gradients.size(1) == vectors.size(1) && gradients.scalar_type() == tile.scalar_type() &&
                      (gradients.stride(1) == 1 || gradients.size(1) <= 1),
                  "fastloss: expected a gradient of the tile's dtype for each column");
  check_own_memory("gradients", gradients, {&tile, &vectors, pointer(factor)});
  check_apart("gradients", gradients, in);
  args.factor = per_anchor("factor", factor, tile, args.rows);
  Tensor found = empty({args.rows, 2}, ScalarType::Double), sums = empty({args.rows, 2}, ScalarType::Double);
  args.triplets = (double*)found.mutable_data_ptr();
  args.derivative_sums = (double*)sums.mutable_data_ptr();
  if (args.rows == 0) return {found, sums};
  const Engine& engine = isa::kernels().engine[(int)dtype_of(tile)];
  const auto spread_row = [&](int64_t i, const PairShare* pairs, int64_t count) {
    dtype_of(tile) == DType::f64 ? spread<double>(args, i, pairs, count) : spread<float>(args, i, pairs, count);
  };
  RowPairs rows(args.rows, most);
  parallel(tile.numel(), rows.blocks, [&](int64_t begin, int64_t end) {
    const MineScratch scratch(engine, tile);
    std::vector<PairShare> pairs(args.columns);
    for (int64_t i = begin * RowPairs::kBlock; i < std::min(args.rows, end * RowPairs::kBlock); ++i) {
      const int64_t count = engine.list_pairs(args, (int)mining, i, scratch.data, pairs.data());
      if (!rows.keep(i, pairs.data(), count)) spread_row(i, pairs.data(), count);
    }
  });
  if (rows.too_many()) {
    parallel(tile.numel(), rows.blocks, [&](int64_t begin, int64_t end) {
      for (int64_t block = begin; block < end; ++block) rows.for_rows(block, spread_row);
    });
    return {found, sums};
  }
  const VectorPairs lists(rows, row_offset, args.columns);
  const Tensor dense = as_dense(vectors);
  const ShareArgs shares{dense.const_data_ptr(), dense.stride(0),     dense.size(1),      mutable_data_of(gradients),
                         gradients.stride(0),    lists.begins.data(), lists.pairs.data(), row_terms.has_value()};
  parallel((int64_t)lists.pairs.size() * dense.size(1), args.columns,
           [&](int64_t begin, int64_t end) { engine.add_shares(shares, begin, end); });
  return {found, empty({0, 2}, ScalarType::Double)};
}

// x / |x| in the matrix products' dtype, |x|.
std::tuple<Tensor, Tensor> normalize(const Tensor& x) {
  STD_TORCH_CHECK(x.is_cpu(), "fastloss: expected a CPU matrix");
  UnitArgs args = unit_args(x);
  const int64_t rows = x.size(0);
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
  const ScalarType type = dtype_of_code("dtype", dtype);
  STD_TORCH_CHECK(gradient.is_cpu(), "fastloss: expected a CPU gradient");
  check_finish(gradient, unit, length, type);
  const int64_t rows = gradient.size(0);
  UnitArgs args{};
  args.width = gradient.size(1);
  if (unit) {
    STD_TORCH_CHECK(unit->scalar_type() == (type == ScalarType::Half ? ScalarType::Float : type),
                    "fastloss: expected unit as normalize made it");
    args.unit = (void*)data_of(*unit);
    args.length = (double*)per_anchor("length", length, gradient, rows);
  }
  Tensor result = empty({rows, args.width}, type);
  args.upstream = data_of(gradient);
  args.gradient = result.mutable_data_ptr();
  args.factor = number("factor", factor);
  if (gradient.numel() == 0) return result;
  const UnitKernel kernel = isa::kernels().engine[(int)dtype_of(result)].unit_rows_backward;
  parallel(gradient.numel(), rows, [&](int64_t begin, int64_t end) { kernel(args, begin, end); });
  return result;
}

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

void mirror_(const Tensor& matrix, int64_t begin, int64_t end) {
  check_written("matrix", matrix);
  dtype_of(matrix);
  STD_TORCH_CHECK(
      matrix.is_cpu() && matrix.size(0) == matrix.size(1) && 0 <= begin && begin <= end && end <= matrix.size(0),
      "fastloss: expected rows of a square CPU matrix");
  mirror(matrix, begin, end);
}

// Note [Small problems]
// A problem of one small strip in one call: Python's part of several would take as long as the work. What
// fastloss/engines/similarity/plan.py does for larger ones is done here in the same order with the same kernels.

Tensor product(const Tensor& a, const Tensor& b) {
  std::array<StableIValue, 2> stack{torch::stable::detail::from(a), torch::stable::detail::from(b)};
  TORCH_ERROR_CODE_CHECK(torch_call_dispatcher("aten::mm", "", stack.data(), TORCH_ABI_VERSION));
  return torch::stable::detail::to<Tensor>(stack[0]);
}
Tensor transposed(const Tensor& a) { return torch::stable::transpose(a, 0, 1); }

struct UnitRows {
  Tensor vectors;
  MaybeTensor length;

  UnitRows(const Tensor& x, bool normalized) : vectors(x) {
    if (normalized) {
      auto [unit, norms] = normalize(x.stride(1) == 1 || x.size(1) <= 1 ? x : torch::stable::contiguous(x));
      vectors = unit;
      length = norms;
    } else if (x.scalar_type() == ScalarType::Half) {
      vectors = torch::stable::to(x, ScalarType::Float);
    }
  }

  // The gradient of x for one of `vectors`, in the computing type.
  Tensor back(const Tensor& gradient) const {
    const Tensor wide = as_compute(gradient, compute_type(vectors));
    if (!length) return wide;
    Tensor one = empty({}, ScalarType::Double);
    write_scalar(one, 1);
    const Tensor unit = as_compute(vectors, wide.scalar_type());
    return finish(wide, unit, length, one, (int64_t)wide.scalar_type());
  }
};

// Refuses what is no matrix of vectors like the rows.
void check_vectors(const char* name, const Tensor& t, const Tensor& like) {
  dtype_of(t);
  data_of(t);
  STD_TORCH_CHECK(t.is_cpu() && t.dim() == 2 && t.scalar_type() == like.scalar_type() && t.size(1) == like.size(1),
                  "fastloss: expected ", name, " to be CPU vectors of the rows' dtype and width");
}

// A scalar of the shape and dtype of t; of no elements if there is no t.
Tensor scalar_like(const MaybeTensor& t, const Tensor& otherwise, double value) {
  if (!t) return empty({0}, otherwise.scalar_type());
  Tensor r = torch::stable::empty_like(*t);
  write_scalar(r, value);
  return r;
}

// The reduced loss; the gradients of rows and columns, in the computing type, and of scale and bias, for an upstream
// gradient of one.
std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> whole(
    int64_t loss, const Tensor& rows, MaybeTensor columns, MaybeTensor mask, MaybeTensor positives,
    MaybeTensor row_labels, MaybeTensor column_labels, MaybeTensor weight, MaybeTensor normalizer, MaybeTensor scale,
    MaybeTensor bias, std::vector<double> affine, std::vector<double> params, bool normalized, bool both, bool mean,
    bool empty_zero, int64_t loss_dtype, bool want_rows, bool want_columns, bool want_sums) {
  check_loss(loss);
  const ScalarType loss_type = dtype_of_code("loss_dtype", loss_dtype);
  check_vectors("rows", rows, rows);
  if (columns) check_vectors("columns", *columns, rows);
  STD_TORCH_CHECK(!both || !weight || !columns || columns->size(0) == rows.size(0),
                  "fastloss: expected as many columns as rows, which share the weights");
  const bool itself = !columns;
  const UnitRows x(rows, normalized), y(itself ? rows : *columns, normalized && !itself);
  const Tensor &left = x.vectors, &right = itself ? x.vectors : y.vectors;
  const Tensor tile = product(left, transposed(right));
  const bool symmetric = itself && !mask && !positives;
  if (symmetric) mirror(tile, 0, tile.size(0));
  const MaybeTensor none;
  const TileInputs in{tile,   mask,  positives, row_labels, column_labels, 0,      0,
                      itself, scale, bias,      none,       none,          affine, params};
  Tile work(in);
  TileArgs& args = work.args;
  std::vector<AnchorSums> row_sums(args.rows), column_sums(both ? args.columns : 0);
  add_statistics(loss, in, args, row_sums.data(), both ? column_sums.data() : nullptr);
  const bool is_double = compute_type(tile) == ScalarType::Double;
  const AnchorCall call{loss,     per_anchor("weight", weight, tile, args.rows),
                        nullptr,  per_anchor("normalizer", normalizer, tile, 1),
                        params,   both ? 0.5 : 1.0,
                        mean,     empty_zero,
                        is_double};
  Anchors row_anchors = evaluate_anchors(call, row_sums.data(), args.rows), column_anchors = row_anchors;
  if (both) column_anchors = evaluate_anchors(call, column_sums.data(), args.columns);
  Tensor value = empty({}, loss_type);
  write_scalar(value, row_anchors.reduced + (both ? column_anchors.reduced : 0));
  const Tensor nothing = empty({0}, rows.scalar_type());
  if (!want_rows && !want_columns && !want_sums) return {value, nothing, nothing, nothing, nothing};

  args.row_anchors = {row_anchors.coefficients.const_data_ptr(), args.rows};
  if (both || symmetric) args.column_anchors = {column_anchors.coefficients.const_data_ptr(), args.columns};
  std::vector<double> parts(2 * args.rows);
  make_derivatives(loss, in, args, parts.data());
  double total[2] = {0, 0};
  for (int64_t i = 0; i < 2 * args.rows; ++i) total[i % 2] += symmetric ? parts[i] / 2 : parts[i];
  Tensor grad_rows = nothing, grad_columns = nothing;
  if (want_rows) {
    Tensor taken = nothing;
    if (symmetric) {
      taken = empty({args.rows, left.size(1)}, compute_type(tile));
      memset(taken.mutable_data_ptr(), 0, taken.numel() * taken.element_size());
      take_positives(args, tile, right, taken);
    }
    grad_rows = product(tile, right);
    if (symmetric) grad_rows = torch::stable::subtract(as_compute(grad_rows, compute_type(tile)), taken, -1);
    if (itself && !symmetric) {
      const Tensor more = product(transposed(tile), left);
      grad_rows = torch::stable::subtract(grad_rows, more, -1);
    }
    grad_rows = x.back(grad_rows);
  }
  if (want_columns) grad_columns = y.back(product(transposed(tile), left));
  return {value, grad_rows, grad_columns, scalar_like(scale, rows, total[0] * affine[0]),
          scalar_like(bias, rows, total[1])};
}

}  // namespace

#define FASTLOSS_TILE_SCHEMA(tile)                                                                                \
  "Tensor" tile                                                                                                   \
  " tile, Tensor? mask, Tensor? positives, Tensor? row_labels, Tensor? column_labels, int row_offset, int "       \
  "column_offset, bool skip_self, Tensor? scale, Tensor? bias, Tensor? row_terms, Tensor? column_terms, float[] " \
  "affine, float[] params"

STABLE_TORCH_LIBRARY_FRAGMENT(fastloss, m) {
  m.def("similarity_statistics_(int loss, " FASTLOSS_TILE_SCHEMA(
      "") ", Tensor(a!) row_sums, Tensor(b!)? column_sums) -> ()");
  m.def("similarity_gradient_(int loss, " FASTLOSS_TILE_SCHEMA(
      "(a!)") ", Tensor? row_anchors, Tensor? column_anchors) -> Tensor");
  m.def(
      "similarity_anchors(int loss, Tensor sums, Tensor? factor, Tensor? parts, Tensor? normalizer, float[] params, "
      "float "
      "share, bool mean, bool empty_zero, int dtype) -> (Tensor losses, Tensor totals, Tensor reduced, Tensor "
      "coefficients)");
  m.def(
      "similarity_whole(int loss, Tensor rows, Tensor? columns, Tensor? mask, Tensor? positives, Tensor? row_labels, "
      "Tensor? "
      "column_labels, Tensor? weight, Tensor? normalizer, Tensor? scale, Tensor? bias, float[] affine, float[] params, "
      "bool "
      "normalized, bool both, bool mean, bool empty_zero, int loss_dtype, bool want_rows, bool want_columns, bool "
      "want_sums) -> "
      "(Tensor loss, "
      "Tensor grad_rows, Tensor grad_columns, Tensor grad_scale, Tensor grad_bias)");
  m.def("similarity_triplets_(int mining, " FASTLOSS_TILE_SCHEMA(
      "(a!)") ", Tensor? factor, bool want_gradient) -> (Tensor, Tensor)");
  m.def("similarity_few_triplets_(int mining, " FASTLOSS_TILE_SCHEMA(
      "(a!)") ", Tensor? factor, Tensor vectors, Tensor(b!) gradients, int most) -> (Tensor, Tensor)");
  m.def(
      "similarity_positives_(int loss, " FASTLOSS_TILE_SCHEMA("(a!)") ", Tensor vectors, Tensor(b!) gradients) -> ()");
  m.def("similarity_mirror_(Tensor(a!) matrix, int begin, int end) -> ()");
  m.def("similarity_normalize(Tensor x) -> (Tensor unit, Tensor length)");
  m.def("similarity_finish(Tensor gradient, Tensor? unit, Tensor? length, Tensor factor, int dtype) -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(fastloss, CPU, m) {
  m.impl("similarity_statistics_", TORCH_BOX(&statistics_));
  m.impl("similarity_gradient_", TORCH_BOX(&gradient_));
  m.impl("similarity_anchors", TORCH_BOX(&anchors));
  m.impl("similarity_triplets_", TORCH_BOX(&triplets_));
  m.impl("similarity_few_triplets_", TORCH_BOX(&few_triplets_));
  m.impl("similarity_positives_", TORCH_BOX(&positives_));
  m.impl("similarity_mirror_", TORCH_BOX(&mirror_));
  m.impl("similarity_whole", TORCH_BOX(&whole));
  m.impl("similarity_normalize", TORCH_BOX(&normalize));
  m.impl("similarity_finish", TORCH_BOX(&finish));
}

}  // namespace fastloss::ops
