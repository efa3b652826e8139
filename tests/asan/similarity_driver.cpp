// Runs the similarity kernels of an ISA of this CPU over every functor: statistics of rows and columns, derivatives in place,
// triplets, gradients by pairs, vectors of length one and back; each number against a plain loop in double. Built and
// run by tests/asan.py under the sanitizers.

#include <cstring>

#include "engines/similarity/args.h"
#include "driver.h"
#include "losses/functors.h"
#include "losses/losses.h"

namespace {

// A matrix of the stored type whose rows lie apart; what is between them must stay.
template <class S>
struct Matrix {
  int64_t rows, columns, stride;
  S* data;

  Matrix(Random& random, Memory& memory, int64_t rows, int64_t columns)
      : rows(rows), columns(columns), stride(columns + random.below(3)) {
    data = memory.take<S>((rows - 1) * stride + columns);
  }
  S& at(int64_t i, int64_t j) const { return data[i * stride + j]; }
  void check_gaps() const {
    for (int64_t i = 0; i + 1 < rows; ++i) {
      const unsigned char* const p = (const unsigned char*)&at(i, columns);
      for (int64_t b = 0; b < (stride - columns) * (int64_t)sizeof(S); ++b) check("between rows", i, b, p[b], 0xff, 0);
    }
  }
};

// What a tile is told about its pairs, and what that means.
struct Relation {
  std::vector<int64_t> row_labels, column_labels;
  Flag *mask = nullptr, *positives = nullptr;
  int64_t mask_stride = 0, positives_stride = 0;
  PairRelation told{};

  template <class T>
  void fill(Random& random, Memory& memory, int64_t rows, int64_t columns) {
    told.row_offset = random.below(2 * columns);
    told.column_offset = random.below(2 * rows);
    told.skip_self = random.chance(50);
    if (random.chance(40)) mask = flags(random, memory, rows, columns, 70, mask_stride);
    if (random.chance(30)) positives = flags(random, memory, rows, columns, 30, positives_stride);
    told.mask = mask, told.mask_stride = mask_stride;
    told.positives = positives, told.positives_stride = positives_stride;
    if (positives) return;
    const bool given[] = {random.chance(60), random.chance(60)}, wide = random.chance(40);
    // Where the labels of one side are indices, those of the other must be able to meet them.
    const auto labels = [&](int64_t n, bool given, int64_t offset, int64_t others) {
      std::vector<int64_t> all(n);
      for (int64_t i = 0; i < n; ++i) {
        all[i] = given ? others + random.below(4) - (random.chance(20) ? 3 : 0) : offset + i;
        if (given && wide && random.chance(50)) all[i] += (random.below(3) - 1) * ((int64_t)1 << 32);
      }
      return all;
    };
    row_labels = labels(rows, given[0], told.row_offset, given[1] ? 0 : told.column_offset);
    column_labels = labels(columns, given[1], told.column_offset, given[0] ? 0 : told.row_offset);
    if (sizeof(T) == 8) {
      if (given[0]) told.row_label.whole = copy(memory, row_labels);
      if (given[1]) told.column_label.whole = copy(memory, column_labels);
      return;
    }
    halves(memory, told.row_label, row_labels, wide);
    halves(memory, told.column_label, column_labels, wide);
  }

  bool kept(int64_t i, int64_t j) const {
    if (mask && !mask[i * mask_stride + j]) return false;
    return !told.skip_self || told.row_offset + i != told.column_offset + j;
  }
  bool positive(int64_t i, int64_t j) const {
    return positives ? positives[i * positives_stride + j] : row_labels[i] == column_labels[j];
  }

 private:
  static Flag* flags(Random& random, Memory& memory, int64_t rows, int64_t columns, int percent, int64_t& stride) {
    stride = random.chance(20) ? 0 : columns + random.below(3);
    const int64_t n = (rows - 1) * stride + columns;
    Flag* const p = memory.take<Flag>(n);
    fill_flags(random, p, n, percent);
    return p;
  }
  static const int64_t* copy(Memory& memory, const std::vector<int64_t>& labels) {
    int64_t* const p = memory.take<int64_t>((int64_t)labels.size());
    std::copy(labels.begin(), labels.end(), p);
    return p;
  }
  static void halves(Memory& memory, LabelView& view, const std::vector<int64_t>& labels, bool wide) {
    const int64_t n = (int64_t)labels.size();
    int32_t *const low = memory.take<int32_t>(n), *const high = wide ? memory.take<int32_t>(n) : nullptr;
    for (int64_t i = 0; i < n; ++i) {
      low[i] = (int32_t)labels[i];
      if (wide) high[i] = (int32_t)(labels[i] >> 32);
    }
    view.low = low, view.high = high;
  }
};

// The sums of an anchor in double, and the size of what was added.
struct Expected {
  double max[kPairKinds] = {-INFINITY, -INFINITY}, sum[kPairKinds] = {}, size[kPairKinds] = {};
  double count[kPairKinds] = {}, unsure[kPairKinds] = {}, total = 0, total_size = 0;
  std::vector<double> scores[kPairKinds];
};

// One tile. Errors of a score: z is off by 4 units of its terms, the functor by 16 of the score (and what its steepness, below
// 40 here, makes of the former); sums are compensated.
template <class S, template <class> class Loss>
class Case {
 public:
  using T = typename Compute<S>::type;
  using F = Loss<double>;

  Case(const Kernels& kernels, DType dtype, int id, int64_t rows, int64_t columns, Place place, uint64_t seed)
      : kernels_(kernels.similarity[id][(int)dtype]),
        engine_(kernels.engine[(int)dtype]),
        random_{seed},
        memory_(place),
        tile_(random_, memory_, rows, columns) {
    const double params[3][4] = {{0.4, 8, 0.1, 0}, {1, 0, 1, 0}, {0.3, 1.5, 0.5, 0}};
    const auto& chosen = params[random_.below(3)];
    std::copy(chosen, chosen + 4, args_.params);
    args_.tile = tile_.data, args_.tile_stride = tile_.stride, args_.rows = rows, args_.columns = columns;
    similarity_.resize(rows * columns);
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < columns; ++j) {
        assign(tile_.at(i, j), 2 * random_.uniform() - 1);
        similarity_[i * columns + j] = value_of(tile_.at(i, j));
      }
    }
    const bool distances = std::string(kName) == "pairwise_contrastive";
    args_.scale = distances ? -2 : 0.5 + 3 * random_.uniform();
    args_.bias = distances ? 2 : random_.uniform();
    if (random_.chance(40)) {
      args_.row_terms = terms(rows);
      args_.column_terms = terms(columns);
    }
    relation_.fill<T>(random_, memory_, rows, columns);
    args_.relation = relation_.told;
  }

  void run() {
    const int64_t rows = args_.rows, columns = args_.columns;
    AnchorSums *const row_sums = sums(rows), *const column_sums = sums(columns);
    args_.row_sums = row_sums, args_.column_sums = column_sums;
    const int looks = 1 + (int)random_.below(2);  // the second adds to the first, as other columns would
    const double bias = args_.bias;
    for (int look = 0; look < looks; ++look) {
      args_.bias = bias + 0.7 * look;
      cut(rows, 1, [&](int64_t begin, int64_t end) { kernels_.rows(args_, begin, end); });
      if (kernels_.columns) cut(columns, 64, [&](int64_t begin, int64_t end) { kernels_.columns(args_, begin, end); });
    }
    args_.bias = bias;
    for (int64_t i = 0; i < rows; ++i) compare("row", i, row_sums[i], expect(i, -1, looks));
    if (kernels_.columns) {
      for (int64_t j = 0; j < columns; ++j) compare("column", j, column_sums[j], expect(-1, j, looks));
    }
    tile_.check_gaps();
    gradient(row_sums, kernels_.columns ? column_sums : nullptr);
    take_positives();
  }

  static const char* kName;

 private:
  const SimilarityKernels& kernels_;
  const Engine& engine_;
  Random random_;
  Memory memory_;
  Matrix<S> tile_;
  TileArgs args_{};
  Relation relation_;
  std::vector<double> similarity_;
  const double unit_ = storage_unit<T>();

  const T* terms(int64_t n) {
    T* const p = memory_.take<T>(n);
    for (int64_t i = 0; i < n; ++i) p[i] = (T)random_.uniform();
    return p;
  }
  AnchorSums* sums(int64_t n) {
    AnchorSums* const p = memory_.take<AnchorSums>(n);
    memset((void*)p, 0, n * sizeof(AnchorSums));
    return p;
  }
  template <class Run>
  void cut(int64_t n, int64_t step, const Run& run) {
    const int64_t middle = std::min(n, random_.below((n + step - 1) / step + 1) * step);
    if (middle > 0) run(0, middle), ++calls;
    if (middle < n) run(middle, n), ++calls;
  }

  double z(int64_t i, int64_t j) const {
    double z = (double)(T)args_.scale * similarity_[i * args_.columns + j] + (double)(T)args_.bias;
    if (args_.row_terms) z += (double)((const T*)args_.row_terms)[i] + (double)((const T*)args_.column_terms)[j];
    return z;
  }
  PairScore<double> score(int64_t i, int64_t j) const {
    const F f(args_.params);
    return relation_.positive(i, j) ? f.positive(z(i, j)) : f.negative(z(i, j));
  }
  // Of z, and of a score.
  double z_error() const { return 4 * unit_ * (std::fabs(args_.scale) + std::fabs(args_.bias) + 2); }
  double score_error(double u) const { return 40 * z_error() + 16 * unit_ * std::fabs(u); }

  // Anchor: row i, or column j.
  Expected expect(int64_t row, int64_t column, int looks) {
    Expected e;
    const int64_t n = row >= 0 ? args_.columns : args_.rows;
    const double bias = args_.bias;
    for (int64_t k = 0; k < n * looks; ++k) {
      const int64_t i = row >= 0 ? row : k % n, j = row >= 0 ? k % n : column;
      args_.bias = bias + 0.7 * (double)(k / n);
      if (!relation_.kept(i, j)) continue;
      const int kind = relation_.positive(i, j) ? kPositive : kNegative;
      const double u = score(i, j).value;
      e.scores[kind].push_back(u);
      e.max[kind] = std::max(e.max[kind], u);
      e.size[kind] += std::fabs(u);
      if (F::exponential) {
        e.count[kind] += 1;
        if (kind == kPositive) e.total += u, e.total_size += std::fabs(u);
      } else {
        e.sum[kind] += u;
        (std::fabs(u) < score_error(u) ? e.unsure : e.count)[kind] += 1;  // near a hinge's kink either will do
      }
    }
    args_.bias = bias;
    for (int kind = 0; kind < kPairKinds && F::exponential; ++kind) {
      for (double u : e.scores[kind]) e.sum[kind] += std::exp(u - e.max[kind]);
    }
    return e;
  }

  void compare(const char* side, int64_t at, const AnchorSums& got, const Expected& e) const {
    const std::string what = std::string(side) + "'s ";
    for (int kind = 0; kind < kPairKinds; ++kind) {
      const double n = (double)e.scores[kind].size();
      if (!F::exponential) {
        check((what + "sum").c_str(), at, kind, got.sum[kind], e.sum[kind],
              2 * n * score_error(1) + 64 * unit_ * e.size[kind]);
        const bool between = got.count[kind] >= e.count[kind] && got.count[kind] <= e.count[kind] + e.unsure[kind];
        if (!between) fail((what + "count").c_str(), at, kind, got.count[kind], e.count[kind], e.unsure[kind]);
        continue;
      }
      check((what + "count").c_str(), at, kind, got.count[kind], e.count[kind], 0);
      if (n == 0) {
        check((what + "sum of nothing").c_str(), at, kind, got.sum[kind], 0, 0);
        continue;
      }
      check((what + "maximum").c_str(), at, kind, got.max[kind], e.max[kind], score_error(e.max[kind]));
      check((what + "log sum").c_str(), at, kind, got.max[kind] + std::log(got.sum[kind]),
            e.max[kind] + std::log(e.sum[kind]), 2 * score_error(e.max[kind]) + 32 * unit_);
    }
    if (F::exponential) {
      check((what + "total").c_str(), at, -1, got.total, e.total,
            2 * e.count[kPositive] * score_error(1) + 64 * unit_ * e.total_size);
    }
  }

  // Random weights, the maxima that the kernels found.
  const T* coefficients(const AnchorSums* from, int64_t n, AnchorView& view) {
    view.plane = n + random_.below(3);
    T* const p = memory_.take<T>((kCoefficients - 1) * view.plane + n);
    for (int64_t i = 0; i < n; ++i) {
      p[kMaxPositive * view.plane + i] = (T)from[i].max[kPositive];
      p[kMaxNegative * view.plane + i] = (T)from[i].max[kNegative];
      for (int c : {kWeightPositive, kWeightNegative, kShift}) p[c * view.plane + i] = (T)random_.normal();
    }
    view.data = p;
    return p;
  }

  void gradient(const AnchorSums* row_sums, const AnchorSums* column_sums) {
    const int64_t rows = args_.rows, columns = args_.columns;
    const bool by_columns = column_sums && random_.chance(60), by_rows = !by_columns || random_.chance(70);
    if (by_rows) coefficients(row_sums, rows, args_.row_anchors);
    if (by_columns) coefficients(column_sums, columns, args_.column_anchors);
    double* const sums = args_.derivative_sums = memory_.take<double>(2 * rows);
    cut(rows, 1, [&](int64_t begin, int64_t end) { kernels_.gradient(args_, begin, end); });
    tile_.check_gaps();
    for (int64_t i = 0; i < rows; ++i) {
      double with = 0, alone = 0, size = 0;
      bool unsure = false;
      for (int64_t j = 0; j < columns; ++j, ++gradients) {
        double d = 0, error = 0;
        if (relation_.kept(i, j)) {
          const PairScore<double> s = score(i, j);
          const int kind = relation_.positive(i, j) ? kPositive : kNegative;
          const auto add = [&](const AnchorView& view, int64_t at) {
            const auto c = [&](int plane) { return (double)((const T*)view.data)[plane * view.plane + at]; };
            double part = c(kWeightPositive + kind);
            if (F::exponential) part *= std::exp(s.value - c(kMaxPositive + kind));
            if (F::exponential && kind == kPositive) part += c(kShift);
            d += s.slope * part;
            const double term = std::fabs(c(kWeightPositive + kind)) + std::fabs(c(kShift));
            error += (std::fabs(s.slope) * (score_error(s.value) + 32 * unit_) + 40 * z_error()) * term;
          };
          if (by_rows) add(args_.row_anchors, i);
          if (by_columns) add(args_.column_anchors, j);
          if (!F::exponential && std::string(kName) == "pairwise_contrastive") {
            const double distance = std::sqrt(std::max(0.0, z(i, j)));
            const double margin = args_.params[kind];
            unsure = unsure || distance < 0.05 || std::fabs(distance - margin) < 1e-3;
            if (distance < 0.05 || std::fabs(distance - margin) < 1e-3) continue;  // a kink, or a pole
          }
        }
        const double wanted = d * (double)(T)args_.scale, got = value_of(tile_.at(i, j));
        const double tolerance = error * std::fabs(args_.scale) + (storage_unit<S>() + 4 * unit_) * std::fabs(wanted);
        if (!relation_.kept(i, j) && got != 0) fail("derivative of a pair left out", i, j, got, 0, 0);
        check("derivative", i, j, got, wanted, tolerance + storage_underflow<S>());
        with += d * similarity_[i * columns + j], alone += d, size += error + unit_ * std::fabs(d);
      }
      if (unsure) continue;
      check("sum of derivatives", i, 1, sums[2 * i + 1], alone, 2 * size);
      check("sum of derivatives times similarities", i, 0, sums[2 * i], with, 2 * size);
    }
  }

  // What the positives' derivatives mean for the gradients of the rows goes there, unless a row has more than 64.
  void take_positives() {
    const int64_t rows = args_.rows, columns = args_.columns, width = 1 + random_.below(40);
    Matrix<S> vectors(random_, memory_, columns, width);
    Matrix<T> to(random_, memory_, rows, width);
    for (int64_t j = 0; j < columns; ++j) {
      for (int64_t d = 0; d < width; ++d) assign(vectors.at(j, d), random_.normal());
    }
    std::vector<double> expected(rows * width), size(rows * width), before(rows * columns);
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t d = 0; d < width; ++d)
        to.at(i, d) = (T)random_.normal(), expected[i * width + d] = (double)to.at(i, d);
      std::vector<int64_t> found;
      for (int64_t j = 0; j < columns; ++j) {
        before[i * columns + j] = value_of(tile_.at(i, j));
        if (relation_.kept(i, j) && relation_.positive(i, j)) found.push_back(j);
      }
      if (found.size() > 64) continue;
      for (int64_t j : found) {
        for (int64_t d = 0; d < width; ++d) {
          const double part = before[i * columns + j] * value_of(vectors.at(j, d));
          expected[i * width + d] += part, size[i * width + d] += std::fabs(part) + std::fabs(expected[i * width + d]);
        }
        before[i * columns + j] = 0;
      }
    }
    const PositiveArgs b{vectors.data, vectors.stride, width, to.data, to.stride};
    cut(rows, 1, [&](int64_t begin, int64_t end) { engine_.take_positives(args_, b, begin, end); });
    tile_.check_gaps(), vectors.check_gaps(), to.check_gaps();
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < columns; ++j)
        check("what is left", i, j, value_of(tile_.at(i, j)), before[i * columns + j], 0);
      for (int64_t d = 0; d < width; ++d, ++gradients) {
        check("gradient by positives", i, d, (double)to.at(i, d), expected[i * width + d],
              2 * unit_ * size[i * width + d]);
      }
    }
  }
};

// ------------------------------------------------------------------------------------------------------------ triplets

// Squared distances are multiples of 1/8, so that many are equal, and exact in every type: the loop takes the same triplets.
template <class T>
void mine_case(const Engine& engine, int mining, int64_t rows, int64_t columns, Place place, uint64_t seed) {
  Random random{seed};
  Memory memory(place);
  Matrix<T> tile(random, memory, rows, columns);
  TileArgs a{};
  a.tile = tile.data, a.tile_stride = tile.stride, a.rows = rows, a.columns = columns, a.scale = -2, a.bias = 2;
  a.params[0] = random.chance(50) ? 0.3 : 1.7;
  a.params[1] = mining != kAllTriplets && random.chance(40);
  std::vector<double> similarity(rows * columns);
  for (int64_t i = 0; i < rows * columns; ++i) similarity[i] = (double)(random.below(33) - 16) / 16;
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) tile.at(i, j) = (T)similarity[i * columns + j];
  }
  T *row_terms = nullptr, *column_terms = nullptr;
  if (random.chance(40)) {
    row_terms = memory.take<T>(rows), column_terms = memory.take<T>(columns);
    for (int64_t i = 0; i < rows; ++i) row_terms[i] = (T)random.below(3);
    // Some so far away that the slope of a soft triplet is 0 in float, and not in double.
    const bool far = mining != kAllTriplets && random.chance(30);
    for (int64_t j = 0; j < columns; ++j)
      column_terms[j] = (T)(random.below(3) + (far && random.chance(30) ? 90000 : 0));
    a.row_terms = row_terms, a.column_terms = column_terms;
  }
  Relation relation;
  relation.fill<T>(random, memory, rows, columns);
  a.relation = relation.told;
  double* const factor = random.chance(50) ? memory.take<double>(rows) : nullptr;
  for (int64_t i = 0; factor && i < rows; ++i) factor[i] = random.normal();
  a.factor = factor;
  double* const found = a.triplets = memory.take<double>(2 * rows);
  double* const sums = random.chance(80) ? memory.take<double>(2 * rows) : nullptr;
  a.derivative_sums = sums;
  const int64_t bytes = engine.mine_scratch(columns) * (int64_t)sizeof(T), middle = random.below(rows + 1);
  std::vector<double> listed(rows * columns), found_by_list;
  if (mining != kAllTriplets) {
    for (int64_t i = 0; i < rows; ++i, ++calls) {
      PairShare* const pairs = memory.take<PairShare>(columns);
      const int64_t count = engine.list_pairs(a, mining, i, memory.take(bytes, 64), pairs);
      for (int64_t k = 0; k < count; ++k) {
        double& share = listed[i * columns + pairs[k].other];
        if (share != 0 || pairs[k].by == 0) fail("pair listed twice, or for nothing", i, k, pairs[k].by, 0, 0);
        share = pairs[k].by;
      }
    }
    found_by_list.assign(found, found + 2 * rows);
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < columns; ++j)
        check("what is left", i, j, (double)tile.at(i, j), similarity[i * columns + j], 0);
    }
  }
  if (middle > 0) engine.mine(a, mining, 0, middle, memory.take(bytes, 64)), ++calls;
  if (middle < rows) engine.mine(a, mining, middle, rows, memory.take(bytes, 64)), ++calls;
  tile.check_gaps();

  const Triplet f(a.params);
  const double unit = storage_unit<T>();
  for (int64_t i = 0; i < rows; ++i) {
    std::vector<double> distance(columns), slope(columns);
    std::vector<int64_t> near, far;
    for (int64_t j = 0; j < columns; ++j) {
      const T z =
          (T)(-2 * similarity[i * columns + j] + 2 + (row_terms ? (double)row_terms[i] + (double)column_terms[j] : 0));
      distance[j] = mining == kAllTriplets ? std::sqrt(std::max((T)0, z)) : std::sqrt(std::max(0.0, (double)z));
      if (relation.kept(i, j)) (relation.positive(i, j) ? near : far).push_back(j);
    }
    double value = 0, count = 0;
    const auto add = [&](int64_t p, int64_t n) {
      const PairScore<double> r = f(distance[p], distance[n]);
      value += r.value, slope[p] += r.slope, slope[n] -= r.slope;
    };
    const auto first = [&](const std::vector<int64_t>& from, const auto& better) {
      int64_t best = from[0];
      for (int64_t j : from) {
        if (better(distance[j], distance[best])) best = j;
      }
      return best;
    };
    const auto larger = [](double x, double y) { return x > y; };
    const auto smaller = [](double x, double y) { return x < y; };
    if (mining == kBatchHard && !near.empty() && !far.empty()) {
      count = 1;
      add(first(near, larger), first(far, smaller));
    }
    for (int64_t p : near) {
      if (mining == kSemiHard && !far.empty()) {
        std::vector<int64_t> farther;
        for (int64_t n : far) {
          if (distance[n] > distance[p]) farther.push_back(n);
        }
        count += 1;
        add(p, farther.empty() ? first(far, larger) : first(farther, smaller));
      }
      for (int64_t n : far) {
        const T h = (T)(distance[p] + f.margin) - (T)distance[n];
        if (mining != kAllTriplets || !(h > 0)) continue;
        value += h, count += 1, slope[p] += 1, slope[n] -= 1;
      }
    }
    const double by = factor ? factor[i] : 1, pairs = (double)(near.size() * far.size() + 1);
    check("triplets' value", i, mining, found[2 * i], value * by,
          (8 + (double)columns) * unit * std::fabs(by) * (std::fabs(value) + 4 * pairs));
    check("triplets' count", i, mining, found[2 * i + 1], count, 0);
    for (int64_t j = 0; j < columns && !found_by_list.empty(); ++j) {
      const bool kept = relation.kept(i, j) && distance[j] > 0;
      const double share = kept ? by * slope[j] / (double)distance[j] : 0;
      const double terms = a.params[1] && kept ? std::fabs(by) * (double)near.size() / (double)distance[j] : 0;
      check("pair's share", i, j, listed[i * columns + j], share, 8 * unit * (std::fabs(share) + terms));
    }
    if (!found_by_list.empty()) {
      check("triplets' value by list", i, mining, found_by_list[2 * i], found[2 * i], 0);
      check("triplets' count by list", i, mining, found_by_list[2 * i + 1], found[2 * i + 1], 0);
    }
    if (!sums) continue;
    double with = 0, alone = 0, size = 0;
    for (int64_t j = 0; j < columns; ++j, ++gradients) {
      const bool kept = relation.kept(i, j) && distance[j] > 0;
      const double d = kept ? by * slope[j] / (2 * (double)distance[j]) : 0;
      const double terms = kept ? std::fabs(by) * (double)(near.size() + far.size()) / (double)distance[j] : 0;
      check("triplets' derivative", i, j, (double)tile.at(i, j), -2 * d,
            8 * unit * (2 * std::fabs(d) + (a.params[1] ? terms : 0)));
      with += d * similarity[i * columns + j], alone += d, size += std::fabs(d) + (a.params[1] ? terms : 0);
    }
    check("sum of triplets' derivatives", i, 1, sums[2 * i + 1], alone, 16 * unit * size);
    check("sum of triplets' derivatives times similarities", i, 0, sums[2 * i], with, 16 * unit * size);
  }
}

// Gradients by lists of pairs: none, one or many, the vector itself among them.
template <class T>
void shares_case(const Engine& engine, int64_t rows, int64_t width, Place place, uint64_t seed) {
  Random random{seed};
  Memory memory(place);
  Matrix<T> vectors(random, memory, rows, width), to(random, memory, rows, width);
  int64_t* const begins = memory.take<int64_t>(rows + 1);
  begins[0] = 0;
  for (int64_t i = 0; i < rows; ++i) begins[i + 1] = begins[i] + (random.chance(40) ? 0 : random.below(9));
  PairShare* const pairs = memory.take<PairShare>(begins[rows]);
  for (int64_t k = 0; k < begins[rows]; ++k) pairs[k] = {random.below(rows), random.normal()};
  std::vector<double> expected(rows * width), size(rows * width);
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t d = 0; d < width; ++d) vectors.at(i, d) = (T)random.normal(), to.at(i, d) = (T)random.normal();
  }
  const bool differences = random.chance(50);
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t d = 0; d < width; ++d) {
      double sum = (double)to.at(i, d), all = std::fabs(sum);
      for (int64_t k = begins[i]; k < begins[i + 1]; ++k) {
        const double own = differences ? (double)vectors.at(i, d) : 0, other = (double)vectors.at(pairs[k].other, d);
        sum += pairs[k].by * (own - other), all += std::fabs(pairs[k].by) * (std::fabs(own) + std::fabs(other));
      }
      expected[i * width + d] = sum, size[i * width + d] = all;
    }
  }
  const ShareArgs a{vectors.data, vectors.stride, width, to.data, to.stride, begins, pairs, differences};
  const int64_t middle = random.below(rows + 1);
  engine.add_shares(a, 0, middle), ++calls;
  engine.add_shares(a, middle, rows), ++calls;
  vectors.check_gaps(), to.check_gaps();
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t d = 0; d < width; ++d, ++gradients) {
      const double wanted = expected[i * width + d], rounding = begins[i] == begins[i + 1] ? 0 : storage_unit<T>();
      check("gradient by pairs", i, d, (double)to.at(i, d), wanted,
            rounding * std::fabs(wanted) + 24 * storage_unit<double>() * size[i * width + d]);
    }
  }
}

// ------------------------------------------------------------------------------------------------------- unit vectors

template <class S>
struct ProductType {
  using type = S;
};
template <>
struct ProductType<Half> {
  using type = float;
};

template <class S>
void unit_case(const Engine& engine, int64_t rows, int64_t width, Place place, uint64_t seed) {
  using T = typename Compute<S>::type;
  using Unit = typename ProductType<S>::type;
  Random random{seed};
  Memory memory(place);
  Matrix<S> x(random, memory, rows, width);
  for (int64_t i = 0; i < rows; ++i) {
    const bool zero = random.chance(10);
    for (int64_t j = 0; j < width; ++j) assign(x.at(i, j), zero ? 0 : random.normal());
  }
  UnitArgs a{};
  a.width = width, a.input = x.data, a.input_stride = x.stride;
  Unit* const unit = memory.take<Unit>(rows * width);
  double* const length = memory.take<double>(rows);
  a.unit = unit, a.length = length;
  const auto cut = [&](const auto& kernel) {
    const int64_t middle = random.below(rows + 1);
    if (middle > 0) kernel(a, 0, middle), ++calls;
    if (middle < rows) kernel(a, middle, rows), ++calls;
  };
  cut(engine.unit_rows);
  x.check_gaps();
  const double u = storage_unit<T>();
  std::vector<double> norm(rows);
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < width; ++j) norm[i] += value_of(x.at(i, j)) * value_of(x.at(i, j));
    norm[i] = std::max(std::sqrt(norm[i]), kSmallestLength);
    check("length", i, -1, length[i], norm[i], (double)width * 0x1p-52 * norm[i]);
    for (int64_t j = 0; j < width; ++j) {
      const double wanted = value_of(x.at(i, j)) / norm[i];
      check("unit vector", i, j, value_of(unit[i * width + j]), wanted,
            (storage_unit<Unit>() + 4 * u + (double)width * 0x1p-53) * std::fabs(wanted));
    }
  }

  T* const g = memory.take<T>(rows * width);
  for (int64_t i = 0; i < rows * width; ++i) g[i] = (T)random.normal();
  S* const gradient = memory.take<S>(rows * width);
  const bool plain = random.chance(30);
  a.upstream = g, a.gradient = gradient, a.factor = random.normal();
  if (plain) a.unit = nullptr, a.length = nullptr;
  cut(engine.unit_rows_backward);
  for (int64_t i = 0; i < rows; ++i) {
    double along = 0, size = 0;
    for (int64_t j = 0; j < width && !plain && norm[i] != kSmallestLength; ++j) {
      const double part = (double)g[i * width + j] * value_of(unit[i * width + j]);
      along += part, size += std::fabs(part);
    }
    const double by = plain ? a.factor : a.factor / norm[i];
    for (int64_t j = 0; j < width; ++j, ++gradients) {
      const double off = plain ? 0 : value_of(unit[i * width + j]);
      const double wanted = by * ((double)g[i * width + j] - off * along);
      const double terms = std::fabs(by) * (std::fabs((double)g[i * width + j]) + std::fabs(off) * size);
      double got = value_of(gradient[i * width + j]);
      if (std::isinf(got) && std::fabs(wanted) > 6e4) got = wanted;  // a zero vector's gradient is as large as 1e12
      check(
          "gradient of the vector", i, j, got, wanted,
          (16 * u + (double)width * 0x1p-52) * terms + storage_unit<S>() * std::fabs(wanted) + storage_underflow<S>());
    }
  }
}

// ------------------------------------------------------------------------------------------------------------- sweeps

const int64_t kRows[] = {1, 2, 7, 18};

std::vector<int64_t> sizes() {
  std::vector<int64_t> all;
  for (int64_t n = 1; n <= 70; ++n) all.push_back(n);
  for (int64_t n : {127, 128, 129, 191, 193, 260}) all.push_back(n);
  return all;
}

template <class Run>
void sweep(const std::string& prefix, const char* name, Random& random, uint64_t& seed, const Run& run) {
  for (int64_t n : sizes()) {
    for (int64_t rows : kRows) {
      const Place place = (Place)random.below(3);
      current = prefix + name + ", " + std::to_string(rows) + " x " + std::to_string(n) + ", " +
                kPlaceNames[(int)place] + ", seed " + std::to_string(seed);
      run(rows, n, place, seed++);
    }
  }
}

template <class S, template <class> class Loss>
const char* Case<S, Loss>::kName = "";

template <class S>
void run_all(const std::string& isa, DType dtype, const char* dtype_name) {
  using T = typename Compute<S>::type;
  const Kernels& kernels = isa::kernels(isa);
  const Engine& engine = kernels.engine[(int)dtype];
  Random random{(uint64_t)dtype + 5};
  uint64_t seed = 1;
  const std::string prefix = isa + ", " + dtype_name + ", ";
  sweep(prefix, "unit vectors", random, seed, [&](int64_t rows, int64_t width, Place place, uint64_t seed) {
    unit_case<S>(engine, rows, width, place, seed);
  });
  if constexpr (std::is_same_v<S, T>) {
    for (int mining = 0; mining < kMinings; ++mining) {
      const char* const names[] = {"batch hard", "semi hard", "all triplets"};
      sweep(prefix, names[mining], random, seed, [&](int64_t rows, int64_t columns, Place place, uint64_t seed) {
        mine_case<T>(engine, mining, rows, columns, place, seed);
      });
    }
    sweep(prefix, "shares", random, seed, [&](int64_t rows, int64_t width, Place place, uint64_t seed) {
      shares_case<T>(engine, rows, width, place, seed);
    });
  }
  if constexpr (!std::is_same_v<S, Half>) {
    int id = 0;
#define FASTLOSS_SWEEP(name, Functor, params)                                                         \
  Case<S, Functor>::kName = #name;                                                                    \
  sweep(prefix, #name, random, seed, [&](int64_t rows, int64_t columns, Place place, uint64_t seed) { \
    Case<S, Functor>(kernels, dtype, id, rows, columns, place, seed).run();                           \
  });                                                                                                 \
  ++id;
    FASTLOSS_SIMILARITY_LOSSES(FASTLOSS_SWEEP)
#undef FASTLOSS_SWEEP
  }
}

}  // namespace

int main(int argc, char** argv) {
  return drive(argc, argv, [](auto stored, const auto&... about) { run_all<decltype(stored)>(about...); });
}
