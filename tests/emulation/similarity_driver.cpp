// Runs the CUDA kernels of the similarity family on the host (device/device.h here) over every functor: what pairs are to each
// other, sizes around every vector's, warp's, stripe's and chunk's, layouts, places; each number against a plain loop. Built
// and run by test_cuda_emulation.py.
//
// Note [Expected tiles]
// The loop takes scores and slopes from the functor in the computing type, as the kernels do, and everything after them in
// long double. So a number may be off by the roundings behind the scores: an exponential (4 units and 2 per unit of its
// argument, which telescopes where sums move to other maxima, each move an exponential of its own), and the additions in the
// computing type.
//
// The scores differ too where a compiler makes one operation of a product and a sum. With m the sum of the absolute values that
// z = scale s + bias + (row + column) adds up, the loop rounds the product, and both round the two sums: 5 units of m. A
// functor's constants, of which none is far beyond 1, cost two more such sums, 2 units of m + 2. So the kernel's z is within
// 7 m + 4 units of the loop's, and its score within what the functor makes of that, and the roundings of two products each.

#include "engines/similarity/cuda.h"
#include "driver.h"
#include "losses/functors.h"

namespace {

using cuda::TileLaunch;
using Long = long double;

constexpr double kParams[][5][4] = {
    {{0, 0}, {}, {0.4, 0.9, 0}, {2, 30, 0.3}, {0.3, 20}},
    {{1, 1}, {}, {0, 1.3, 1}, {1, 50, 0.5}, {0.4, 80}},
};

// Roundings of an exponential and its neighbours, in units.
double roundings(double distance) { return 12 + 2 * std::fabs(distance); }
// Of half precision's, whose line over the similarity (Note [Tiles] in similarity.cu) has these sizes at its ends, further ones.
template <class S, class F>
double roundings_of_line(double score, double offset, double max) {
  return sizeof(S) == 2 && F::affine ? 4 * (std::fabs(score) + 2 * std::fabs(offset) + std::fabs(max)) : 0;
}

// Where the computing type has no more digits; exponentials of half precision end with the normal numbers.
template <class S>
constexpr double kTiny = sizeof(S) == 8   ? 0x1p-1073
                         : sizeof(S) == 4 ? 0x1p-149
                                          : 0x1p-126;

struct Sums {
  Long max[2] = {-INFINITY, -INFINITY}, sum[2] = {}, total = 0, count[2] = {};
  Long max_off[2] = {}, sum_off[2] = {}, total_off = 0;  // in units
};

// A tile, what its pairs are to each other, and what every number should be.
template <class S, template <class> class Loss>
class TileCase {
 public:
  using T = typename Compute<S>::type;
  using F = Loss<T>;

  TileCase(DType dtype, int id, int64_t rows, int64_t columns, Place place, bool in_vectors, uint64_t seed)
      : dtype_(dtype), id_(id), rows_(rows), columns_(columns), random_{seed}, memory_(place) {
    TileArgs& a = l_.args;
    std::copy_n(kParams[random_.below(2)][id], 4, a.params);
    const int64_t lane = in_vectors ? 16 / (int64_t)sizeof(S) : 1;
    a.rows = rows, a.columns = columns;
    a.tile_stride = padded(columns, lane);
    tile_ = memory_.take<S>(extent(a.tile_stride));
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < columns; ++j) assign(tile_[i * a.tile_stride + j], random_.normal() * 0.4);
    }
    a.tile = tile_;
    given_.assign(tile_, tile_ + extent(a.tile_stride));
    PairRelation& r = a.relation;
    r.row_offset = random_.chance(50) ? random_.below(3) : 0;
    r.column_offset = random_.chance(50) ? random_.below(3) : 0;
    r.skip_self = random_.chance(50);
    if (random_.chance(40)) r.mask = flags(80, r.mask_stride, in_vectors);
    if (random_.chance(30)) {
      r.positives = flags(30, r.positives_stride, in_vectors);
    } else if (random_.chance(60)) {
      const int64_t high = random_.chance(30) ? 1LL << 32 : 1;
      const int sides = (int)random_.below(6);  // mostly both
      if (sides != 0) r.row_label.whole = labels(rows, high);
      if (sides != 1) r.column_label.whole = labels(columns, high);
    }
    if (random_.chance(30)) a.row_terms = values(rows, 0, 1), a.column_terms = values(columns, 0, 1);
    double scale = random_.chance(50) ? 1 : random_.chance(80) ? 3.25 : -1.25, bias = random_.chance(50) ? 0 : -0.5;
    a.scale = scale, a.bias = bias;
    scale *= number(l_.scale, DType::f32), bias += number(l_.bias, DType::bf16) - (l_.bias.data ? 0 : 1);
    scale_ = (T)scale, bias_ = (T)bias;
  }

  void run() {
    const F f(l_.args.params);
    statistics(f);
    derivatives(f);
  }

 private:
  int64_t padded(int64_t columns, int64_t lane) { return (columns + lane - 1) / lane * lane + random_.below(3) * lane; }
  int64_t extent(int64_t stride) const { return (rows_ - 1) * stride + columns_; }

  // Numbers on the device: a float or a bfloat16.
  double number(cuda::DeviceNumber& to, DType dtype) {
    if (random_.chance(50)) return 1;
    to.dtype = dtype;
    const float value = 1.5f;
    if (dtype == DType::f32) {
      float* const p = memory_.take<float>(1);
      *p = value;
      to.data = p;
    } else {
      BFloat16* const p = memory_.take<BFloat16>(1);
      assign(*p, value);
      to.data = p;
    }
    return value;
  }
  const Flag* flags(int percent, int64_t& stride, bool in_vectors) {
    stride = random_.chance(20) ? 0 : padded(columns_, in_vectors ? 8 : 1);
    Flag* const p = memory_.take<Flag>((rows_ - 1) * stride + columns_);
    for (int64_t i = 0; i < rows_; ++i) fill_flags(random_, p + i * stride, columns_, percent);
    return p;
  }
  const int64_t* labels(int64_t n, int64_t high) {
    int64_t* const p = memory_.take<int64_t>(n);
    const int64_t kinds = 1 + random_.below(4);
    for (int64_t i = 0; i < n; ++i) p[i] = random_.below(kinds) * high;
    return p;
  }
  T* values(int64_t n, double low, double high) {
    T* const p = memory_.take<T>(n);
    for (int64_t i = 0; i < n; ++i) p[i] = (T)(low + (high - low) * random_.uniform());
    return p;
  }

  struct Pair {
    bool kept, positive;
    T similarity, score, slope;
    double score_off, slope_off;  // units by which the kernel's may differ

    double roundings(Long max, T bias) const {
      return ::roundings((double)(score - max)) + score_off +
             roundings_of_line<S, F>(score, (double)slope * bias, (double)max);
    }
  };
  Pair pair(const F& f, int64_t i, int64_t j) const {
    const TileArgs& a = l_.args;
    const PairRelation& r = a.relation;
    Pair p;
    p.kept = !(r.mask && !r.mask[i * r.mask_stride + j]) && !(r.skip_self && r.row_offset + i == r.column_offset + j);
    p.positive = r.positives ? r.positives[i * r.positives_stride + j]
                             : (r.row_label.whole ? r.row_label.whole[i] : r.row_offset + i) ==
                                   (r.column_label.whole ? r.column_label.whole[j] : r.column_offset + j);
    p.similarity = (T)value_of(given_[i * a.tile_stride + j]);
    T z = scale_ * p.similarity + bias_;
    double size = std::fabs((double)scale_ * p.similarity) + std::fabs((double)bias_);
    if (a.row_terms) {
      const T terms = ((const T*)a.row_terms)[i] + ((const T*)a.column_terms)[j];
      z += terms, size += terms;
    }
    const auto score = [&](auto at) { return p.positive ? f.positive(at) : f.negative(at); };
    p.score = score(z).value, p.slope = score(z).slope;
    const double unit = storage_unit<T>(), step = (7 * size + 4) * unit;
    const PairScore<double> here = score((double)z), below = score(z - step), above = score(z + step);
    const auto off = [&](double x, double x_below, double x_above) {
      return std::max(std::fabs(x_below - x), std::fabs(x_above - x)) / unit + 4 * std::fabs(x);
    };
    p.score_off = off(here.value, below.value, above.value);
    p.slope_off = off(here.slope, below.slope, above.slope);
    return p;
  }

  // Of row `at`, or of column `at`.
  Sums sums_of(const F& f, int64_t at, bool column) const {
    Sums s;
    const int64_t n = column ? rows_ : columns_;
    const auto each = [&](const auto& body) {
      for (int64_t k = 0; k < n; ++k) {
        const Pair p = column ? pair(f, k, at) : pair(f, at, k);
        if (p.kept) body(p, p.positive ? kPositive : kNegative);
      }
    };
    each([&](const Pair& p, int k) {
      s.max[k] = std::max(s.max[k], (Long)p.score), s.max_off[k] = std::max(s.max_off[k], (Long)p.score_off);
    });
    each([&](const Pair& p, int k) {
      const Long distance = F::exponential ? p.score - s.max[k] : 0;
      const Long e = F::exponential ? std::exp(distance) : (Long)p.score;
      s.sum[k] += e;
      s.sum_off[k] += std::fabs(e) * (64 + 40);
      s.sum_off[k] += F::exponential ? e * (2 * p.roundings(s.max[k], bias_) + s.max_off[k]) : p.score_off;
      s.count[k] += F::exponential || p.score != 0;
      if (!F::exponential || k != kPositive) return;
      s.total += p.score, s.total_off += 100 * std::fabs(p.score) + p.score_off;
    });
    return s;
  }

  void check_sums(const char* what, int64_t at, const AnchorSums& got, const AnchorSums& before, const Sums& s) {
    const double unit = storage_unit<T>();
    ++counts["sums"];
    for (int k = 0; k < kPairKinds; ++k) {
      Long sum = s.sum[k], error = s.sum_off[k] * unit, max = s.max[k];
      if (!F::exponential) {
        sum += before.sum[k], max = before.max[k], error += std::fabs(sum) * 1e-14L;
      } else if (s.count[k] == 0) {
        sum = before.sum[k], max = before.max[k];
      } else if (before.count[k] != 0) {
        max = std::max(s.max[k], (Long)before.max[k]);
        const Long old = before.sum[k] * std::exp(before.max[k] - max), shift = std::exp(s.max[k] - max);
        sum = old + sum * shift, error = error * shift + old * s.max_off[k] * unit + sum * 1e-13L;
      }
      check(what, at, k, got.count[k], (double)(before.count[k] + s.count[k]), 0);
      check(what, at, k, got.max[k], (double)max, F::exponential ? (double)s.max_off[k] * unit : 0);
      check(what, at, k, got.sum[k], (double)sum, (double)error);
    }
    check(what, at, 2, got.total, (double)(before.total + s.total), (double)s.total_off * unit + 1e-13);
  }

  // Parts are added one after the other, relative to the largest maximum: the same bits but for the exponentials.
  static void check_order(const std::vector<AnchorSums>& got, const std::vector<AnchorSums>& before, const T* parts,
                          int64_t number) {
    const int64_t n = (int64_t)got.size();
    for (int64_t i = 0; i < n; ++i) {
      AnchorSums sums = before[i], more{};
      double error[kPairKinds] = {};
      for (int k = 0; k < kPairKinds; ++k) {
        const auto plane = [&](int64_t part, int which) {
          return parts[(part * cuda::kPartPlanes + which + k) * n + i];
        };
        T top = plane(0, cuda::kPartMax);
        for (int64_t part = 1; part < number; ++part) top = std::max(top, plane(part, cuda::kPartMax));
        for (int64_t part = 0; part < number; ++part) {
          const T distance = plane(part, cuda::kPartMax) - top,
                  moved = F::exponential ? cuda::exp_of<T>(distance) : (T)1;
          const double term = plane(part, cuda::kPartSum) * moved;
          more.sum[k] += term;
          if (F::exponential && moved != 0) error[k] += term * roundings(distance) * storage_unit<T>();
          more.count[k] += (double)plane(part, cuda::kPartCount);
        }
        more.max[k] = (double)top;
      }
      join(sums, more, F::exponential);
      for (int k = 0; k < kPairKinds; ++k) {
        check("order", i, k, got[i].sum[k], sums.sum[k], F::exponential ? error[k] + sums.sum[k] * 1e-13 : 0);
      }
    }
  }

  std::vector<AnchorSums> states(int64_t n) {
    std::vector<AnchorSums> s(n);
    for (AnchorSums& one : s) {
      for (int k = 0; k < kPairKinds && random_.chance(50); ++k) {
        one.count[k] = (double)random_.below(3);
        if (one.count[k] == 0) continue;
        one.sum[k] = 1 + random_.uniform();
        if (F::exponential) one.max[k] = random_.normal(), one.total = 0.5;
      }
    }
    return s;
  }

  void statistics(const F& f) {
    std::vector<AnchorSums> of_rows = states(rows_), of_columns = states(columns_);
    const std::vector<AnchorSums> rows_before = of_rows, columns_before = of_columns;
    const bool columns = F::columns && random_.chance(70);
    cuda::plan_tile(dtype_, l_);
    l_.args.row_sums = of_rows.data(), l_.args.column_sums = columns ? of_columns.data() : nullptr;
    const int64_t row_parts = l_.stripes * cuda::kPartPlanes * rows_;
    const int64_t column_parts = l_.chunks * cuda::kPartPlanes * columns_;
    l_.row_parts = watched<T>(row_parts);
    l_.column_parts = columns ? watched<T>(column_parts) : nullptr;
    emulation::schedule = random_.below(6);
    if (cuda::run_statistics(id_, dtype_, l_, nullptr) != 0) ::fail("launch", -1, -1, 1, 0, 0);
    ++counts[(l_.vectors ? "rows_vectors" : "rows_elements") + std::to_string(1 << l_.log_warps) +
             (l_.stripes > 1 ? "_stripes" : "")];
    expect_written("parts of rows", l_.row_parts);
    if (columns) expect_written("parts of columns", l_.column_parts), ++counts["columns"];
    check_order(of_rows, rows_before, (const T*)l_.row_parts, l_.stripes);
    if (columns) check_order(of_columns, columns_before, (const T*)l_.column_parts, l_.chunks);
    for (int64_t i = 0; i < rows_; ++i) {
      check_sums("sums of a row", i, of_rows[i], rows_before[i], sums_of(f, i, false));
    }
    for (int64_t j = 0; columns && j < columns_; ++j) {
      check_sums("sums of a column", j, of_columns[j], columns_before[j], sums_of(f, j, true));
    }
    l_.args.row_sums = l_.args.column_sums = nullptr;
  }

  // Coefficients as an anchor's sums might give them.
  AnchorView coefficients(const F& f, int64_t n, bool column, bool in_vectors) {
    const int64_t lane = in_vectors ? 4 : 1, plane = (n + lane - 1) / lane * lane + random_.below(2) * lane;
    T* const p = memory_.take<T>((kCoefficients - 1) * plane + n);
    for (int64_t i = 0; i < n; ++i) {
      const Sums s = sums_of(f, i, column);
      for (int k = 0; k < kPairKinds; ++k) {
        p[(kMaxPositive + k) * plane + i] = s.count[k] == 0 ? (T)0 : (T)s.max[k];
        p[(kWeightPositive + k) * plane + i] = (T)(random_.uniform() - 0.5);
      }
      p[kShift * plane + i] = (T)(random_.uniform() - 0.5);
    }
    return {p, plane};
  }

  void derivatives(const F& f) {
    TileArgs& a = l_.args;
    const bool in_vectors = a.tile_stride % (16 / (int64_t)sizeof(S)) == 0;
    const bool of_columns = random_.chance(50), of_rows = !of_columns || random_.chance(80);
    if (of_rows) a.row_anchors = coefficients(f, rows_, false, false);
    if (of_columns) a.column_anchors = coefficients(f, columns_, true, in_vectors);
    cuda::plan_tile(dtype_, l_);
    l_.parts = l_.stripes > 1 ? watched<double>(l_.stripes * rows_ * 2) : nullptr;
    a.derivative_sums = watched<double>(rows_ * 2);
    const int64_t elements = extent(a.tile_stride);
    emulation::watch(tile_, elements * (int64_t)sizeof(S), sizeof(S));
    emulation::schedule = random_.below(6);
    if (cuda::run_derivatives(id_, dtype_, l_, nullptr) != 0) ::fail("launch", -1, -1, 1, 0, 0);
    ++counts[(l_.vectors ? "gradient_vectors" : "gradient_elements") + std::to_string(1 << l_.log_warps) +
             (l_.stripes > 1 ? "_stripes" : "")];
    if (emulation::unwatch(tile_) != elements - rows_ * columns_) ::fail("derivatives not written", -1, -1, 0, 0, 0);
    if (l_.parts) expect_written("parts of sums", l_.parts);
    expect_written("sums of derivatives", a.derivative_sums);
    for (int64_t k = 0; l_.parts && k < 2 * rows_; ++k) {
      double sum = 0;
      for (int64_t part = 0; part < l_.stripes; ++part) sum += l_.parts[part * 2 * rows_ + k];
      check("order", k / 2, k % 2, a.derivative_sums[k], sum, 0);
    }
    const double unit = storage_unit<T>();
    for (int64_t i = 0; i < rows_; ++i) {
      Long sums[2] = {}, errors[2] = {};
      for (int64_t j = 0; j < columns_; ++j, ++gradients) {
        const Pair p = pair(f, i, j);
        Long d = 0, error = 0;
        const auto see = [&](const AnchorView& view, int64_t at) {
          if (!view.data) return;
          const auto c = [&](int which) { return (Long)((const T*)view.data)[which * view.plane + at]; };
          const int k = p.positive ? kPositive : kNegative;
          const Long distance = p.score - c(kMaxPositive + k), w = c(kWeightPositive + k);
          const Long e = F::exponential ? std::exp(distance) : 1, shift = F::exponential && p.positive ? c(kShift) : 0;
          d += p.slope * (w * e + shift);
          error += std::fabs(p.slope) *
                   (std::fabs(w * e) * (F::exponential ? p.roundings(c(kMaxPositive + k), bias_) : 12) +
                    4 * std::fabs(shift)) *
                   unit;
          error += p.slope_off * std::fabs(w * e + shift) * unit;
          error += (std::fabs(p.slope) + 4) * kTiny<S>;
        };
        if (p.kept) see(a.row_anchors, i), see(a.column_anchors, j);
        sums[0] += d * p.similarity;
        errors[0] += (std::fabs(d) * 32 * unit + error) * std::fabs(p.similarity) + kTiny<S>;
        sums[1] += d, errors[1] += std::fabs(d) * 32 * unit + error;
        const double wanted = (double)(d * scale_);
        const double tolerance = (double)(error * std::fabs(scale_)) + std::fabs(wanted) * 2 * unit;
        check("derivative", i, j, value_of(tile_[i * a.tile_stride + j]), wanted,
              tolerance + (std::fabs(wanted) + tolerance) * storage_unit<S>() + storage_underflow<S>());
      }
      for (int k = 0; k < 2; ++k) check("sum", i, k, a.derivative_sums[2 * i + k], (double)sums[k], (double)errors[k]);
    }
    for (int64_t i = 0; i + 1 < rows_; ++i) {
      for (int64_t j = columns_; j < a.tile_stride; ++j) {
        if (memcmp(&tile_[i * a.tile_stride + j], &given_[i * a.tile_stride + j], sizeof(S)) != 0) {
          ::fail("between rows", i, j, 0, 0, 0);
        }
      }
    }
  }

  template <class X>
  X* watched(int64_t n) {
    X* const p = memory_.take<X>(n);
    emulation::watch(p, n * (int64_t)sizeof(X), sizeof(X));
    return p;
  }
  static void expect_written(const char* what, const void* p) {
    if (emulation::unwatch(p) != 0) ::fail(what, -1, -1, 0, 0, 0);
  }

  const DType dtype_;
  const int id_;
  const int64_t rows_, columns_;
  Random random_;
  Memory memory_;
  TileLaunch l_{};
  S* tile_;
  std::vector<S> given_;
  T scale_, bias_;
};

template <class S>
using TileRun = void (*)(DType, int, int64_t, int64_t, Place, bool, uint64_t);
template <class S, template <class> class Loss>
void tile_case(DType dtype, int id, int64_t rows, int64_t columns, Place place, bool in_vectors, uint64_t seed) {
  TileCase<S, Loss>(dtype, id, rows, columns, place, in_vectors, seed).run();
}

template <class S>
void sweep(DType dtype, const char* dtype_name, bool quick) {
  struct Entry {
    const char* name;
    TileRun<S> run;
  };
#define FASTLOSS_ENTRY(name, Functor, params) {#name, &tile_case<S, Functor>},
  const Entry entries[] = {FASTLOSS_SIMILARITY_LOSSES(FASTLOSS_ENTRY)};
#undef FASTLOSS_ENTRY
  Random random{(uint64_t)dtype + 23};
  std::vector<int64_t> widths = {1,   2,   3,   7,    8,    9,    31,   33,    129,   255,
                                 256, 257, 513, 1025, 2053, 4104, 8200, 12001, 16400, 16401};
  std::vector<int64_t> heights = {1, 2, 5, 17, 65, 131};
  if (quick) widths = {1, 7, 8, 33, 513, 4104, 16400}, heights = {1, 5, 65};
  uint64_t seed = 1;
  int id = 0;
  for (const Entry& loss : entries) {
    if (quick && id > 0) break;
    for (int64_t columns : widths) {
      for (int64_t rows : heights) {
        if (rows > 1 && rows * columns > 9000) continue;
        const int repeats = quick ? 4 : id > 0 ? 1 : columns > 8192 ? 8 : 2;
        for (int repeat = 0; repeat < repeats; ++repeat, ++seed) {
          const bool in_vectors = random.chance(60);
          const Place place = in_vectors && random.chance(80) ? Place::aligned : (Place)random.below(3);
          current = std::string("emulated, ") + dtype_name + ", " + loss.name + ", " + std::to_string(rows) + " x " +
                    std::to_string(columns) + (in_vectors ? ", whole vectors, " : ", ") + kPlaceNames[(int)place] +
                    ", seed " + std::to_string(seed);
          loss.run(dtype, id, rows, columns, place, in_vectors, seed);
        }
      }
    }
    ++id;
  }
}

// ------------------------------------------------------------------------------------------------------- triplets

template <class T>
void mine_case(DType dtype, Mining mining, int64_t rows, int64_t columns, Place place, bool fits, uint64_t seed) {
  Random random{seed};
  Memory memory(place);
  cuda::MineLaunch l{};
  TileArgs& a = l.tile.args;
  l.mining = mining;
  a.rows = rows, a.columns = columns, a.tile_stride = columns + random.below(3);
  a.scale = -2, a.bias = random.chance(50) ? 2 : 0;
  a.params[0] = 0.4, a.params[1] = mining != kAllTriplets && random.chance(40);
  const int64_t extent = (rows - 1) * a.tile_stride + columns;
  T* const tile = memory.take<T>(extent);
  for (int64_t k = 0; k < extent; ++k) tile[k] = (T)((double)random.below(40) / 40);  // many alike
  a.tile = tile;
  const std::vector<T> given(tile, tile + extent);
  int64_t *const of_rows = memory.take<int64_t>(rows), *const of_columns = memory.take<int64_t>(columns);
  const int64_t kinds = 1 + random.below(3);
  for (int64_t i = 0; i < rows; ++i) of_rows[i] = random.below(kinds) + random.below(2);
  for (int64_t j = 0; j < columns; ++j) of_columns[j] = random.below(kinds);
  PairRelation& r = a.relation;
  r.row_label.whole = of_rows, r.column_label.whole = of_columns;
  r.skip_self = random.chance(60), r.row_offset = random.below(3);
  if (a.bias == 0) {
    T *const x = memory.take<T>(rows), *const y = memory.take<T>(columns);
    for (int64_t i = 0; i < rows; ++i) x[i] = (T)1.25;
    for (int64_t j = 0; j < columns; ++j) y[j] = (T)1;
    a.row_terms = x, a.column_terms = y;
  }
  double* const factor = random.chance(50) ? memory.take<double>(rows) : nullptr;
  for (int64_t i = 0; factor && i < rows; ++i) factor[i] = random.uniform() + 0.5;
  a.factor = factor;
  const bool want = random.chance(80);
  double *const found = memory.take<double>(2 * rows), *const sums = memory.take<double>(2 * rows);
  a.triplets = found, a.derivative_sums = want ? sums : nullptr;
  emulation::shared_limit = fits ? 227 * 1024 : 64;
  const bool in_shared = cuda::plan_mine(dtype, l);
  emulation::shared_limit = 227 * 1024;
  if (!in_shared) l.scratch = memory.take(l.blocks * cuda::mine_bytes(dtype, columns), sizeof(T));
  emulation::watch(found, 16 * rows, 8);
  emulation::watch(tile, extent * (int64_t)sizeof(T), sizeof(T));
  emulation::schedule = random.below(6);
  cuda::run_mine(dtype, l, nullptr);
  ++counts[in_shared ? "mine_shared" : "mine_scratch"];
  if (emulation::unwatch(found) != 0) ::fail("triplets not written", -1, -1, 0, 0, 0);
  if (emulation::unwatch(tile) != extent - (want ? rows * columns : 0)) ::fail("derivatives", -1, -1, 0, 0, 0);

  const Triplet f(a.params);
  const double unit = storage_unit<T>();
  for (int64_t i = 0; i < rows; ++i) {
    std::vector<T> d(columns);
    std::vector<int64_t> near, far;
    std::vector<Long> slope(columns);
    for (int64_t j = 0; j < columns; ++j) {
      T z = (T)a.scale * given[i * a.tile_stride + j] + (T)a.bias;
      if (a.row_terms) z += ((const T*)a.row_terms)[i] + ((const T*)a.column_terms)[j];
      d[j] = std::sqrt(std::max((T)0, z));
      if (r.skip_self && r.row_offset + i == j) continue;
      (of_rows[i] == of_columns[j] ? near : far).push_back(j);
    }
    Long value = 0, count = 0;
    const auto add = [&](int64_t p, int64_t n) {
      const PairScore<double> s = f(d[p], d[n]);
      value += s.value, slope[p] += s.slope, slope[n] -= s.slope;
    };
    const auto farther = [&](int64_t x, int64_t y) { return d[x] < d[y]; };  // of equal ones the first
    if (!near.empty() && !far.empty()) {
      if (mining == kBatchHard) {
        add(*std::max_element(near.begin(), near.end(), farther), *std::min_element(far.begin(), far.end(), farther));
        count = 1;
      }
      for (int64_t p : near) {
        if (mining == kSemiHard) {
          int64_t chosen = -1;
          for (int64_t n : far) {
            if (d[p] < d[n] && (chosen < 0 || d[n] < d[chosen])) chosen = n;
          }
          if (chosen < 0) chosen = *std::max_element(far.begin(), far.end(), farther);
          add(p, chosen), count += 1;
        }
        for (int64_t n : far) {
          const T bound = (T)(d[p] + f.margin);
          if (mining == kAllTriplets && bound - d[n] > 0) {
            value += bound - d[n], count += 1, slope[p] += 1, slope[n] -= 1;
          }
        }
      }
    }
    const double by = factor ? factor[i] : 1;
    check("value", i, -1, found[2 * i], (double)value * by, (double)value * 1e-12);
    check("count", i, -1, found[2 * i + 1], (double)count, 0);
    Long total[2] = {}, size = 0;
    for (int64_t j = 0; want && j < columns; ++j, ++gradients) {
      const Long g = d[j] > 0 ? by / 2 * slope[j] / d[j] : 0, error = std::fabs(g) * 6 * unit;
      const Long several = d[j] > 0 ? (Long)columns * unit * by / d[j] : 0;  // slopes of `soft`, added up
      const double allowed = (double)(error + (f.soft ? several : 0));
      check("derivative", i, j, tile[i * a.tile_stride + j], (double)g * a.scale, 2 * allowed);
      total[0] += g * given[i * a.tile_stride + j], total[1] += g, size += std::fabs(g) * 1e-13L + allowed;
    }
    for (int k = 0; want && k < 2; ++k) check("sum", i, k, sums[2 * i + k], (double)total[k], (double)size);
  }
}

template <class T>
void mine_sweep(DType dtype, const char* name, bool quick) {
  uint64_t seed = 1;
  for (const Mining mining : {kBatchHard, kSemiHard, kAllTriplets}) {
    for (int64_t columns : {1, 7, 33, 256, 257, 300}) {
      for (int64_t rows : {1, 9}) {
        if (quick && columns != 7 && columns != 33 && columns != 300) continue;
        for (const bool fits : {true, false}) {
          current = std::string("triplets, ") + name + ", mining " + std::to_string(mining) + ", " +
                    std::to_string(rows) + " x " + std::to_string(columns) + ", seed " + std::to_string(seed);
          mine_case<T>(dtype, mining, columns > 200 ? 2 : rows, columns, (Place)(seed % 3), fits, seed);
          ++seed;
        }
      }
    }
  }
}

// -------------------------------------------------------------------------------------------------------- anchors

template <class T>
void check_anchors(uint64_t seed) {
  for (int64_t n : {0, 1, 127, 129, 300}) {
    for (int loss = 0; loss < 5; ++loss) {
      for (int option = 0; option < 8; ++option) {
        current = "anchors, " + std::to_string(n) + ", loss " + std::to_string(loss) + ", " + std::to_string(option);
        Random random{seed++};
        Memory memory(Place::heap);
        cuda::AnchorLaunch l{};
        l.loss = loss, l.anchors = n, l.share = option & 1 ? 0.5 : 1, l.mean = option & 2, l.empty_zero = option & 4;
        l.is_double = sizeof(T) == 8;
        std::copy_n(kParams[option & 1][loss], 4, l.params);
        AnchorSums* const sums = (AnchorSums*)memory.take<double>(8 * n);
        for (int64_t i = 0; i < n; ++i) {
          sums[i] = {};
          for (int k = 0; k < kPairKinds; ++k) {
            sums[i].count[k] = (double)random.below(4);
            if (sums[i].count[k] == 0) continue;
            sums[i].max[k] = random.normal(), sums[i].sum[k] = 1 + random.uniform(), sums[i].total = random.normal();
          }
        }
        l.sums = sums;
        double *factor = nullptr, *weight = nullptr, *normalizer = nullptr;
        if (random.chance(50)) factor = memory.take<double>(n);
        for (int64_t i = 0; factor && i < n; ++i) factor[i] = random.uniform();
        if (random.chance(30)) weight = memory.take<double>(2), weight[0] = 0.5, weight[1] = 0.25;
        if (random.chance(30)) normalizer = memory.take<double>(1), *normalizer = random.chance(30) ? 0 : 7;
        l.factor = factor, l.weight = weight, l.normalizer = normalizer;
        double* const losses = memory.take<double>(n);
        l.plane = n + random.below(3);
        T* const coefficients = memory.take<T>((kCoefficients - 1) * l.plane + n);
        double out[3];
        std::vector<double> scratch(2 * cuda::anchor_blocks(n));
        l.losses = losses, l.coefficients = coefficients, l.totals = out, l.reduced = out + 2;
        l.scratch = scratch.data();
        const int64_t extent = (kCoefficients - 1) * l.plane + n;
        emulation::watch(coefficients, extent * (int64_t)sizeof(T), sizeof(T));
        emulation::schedule = random.below(6);
        cuda::run_anchors(l, nullptr);
        if (emulation::unwatch(coefficients) != extent - kCoefficients * n)
          ::fail("coefficients not written", -1, -1, 0, 0, 0);
        std::vector<AnchorEval> evals(n);
        double total = 0, size = 0, count = 0;
        for (int64_t i = 0; i < n; ++i) {
          AnchorSums own = sums[i];
          for (int k = 0; weight && k < kPairKinds; ++k) own.sum[k] *= weight[k];
          switch (loss) {
#define FASTLOSS_EVALUATE(name, Functor, names)       \
  case k_##name:                                      \
    evals[i] = Functor<double>(l.params).anchor(own); \
    break;
            FASTLOSS_SIMILARITY_LOSSES(FASTLOSS_EVALUATE)
#undef FASTLOSS_EVALUATE
          }
          const double value = evals[i].loss * (factor ? factor[i] : 1) * l.share;
          check("loss", i, -1, losses[i], value, std::fabs(value) * 1e-13);
          total += value, size += std::fabs(value), count += evals[i].counts;
        }
        const double divisor = !l.mean ? 1 : normalizer ? *normalizer : count;
        check("total", -1, -1, out[0], total, size * 1e-13);
        check("count", -1, -1, out[1], count, 0);
        if (divisor != 0) check("reduced", -1, -1, out[2], total / divisor, size / divisor * 1e-13);
        if (divisor == 0 && l.empty_zero) check("reduced", -1, -1, out[2], 0, 0);
        if (divisor == 0 && !l.empty_zero && std::isfinite(out[2])) ::fail("reduced", -1, -1, out[2], NAN, 0);
        const double unit = storage_unit<T>() + 1e-13;
        for (int64_t i = 0; i < n; ++i, ++gradients) {
          const double by = divisor == 0 ? 0 : l.share / divisor * (factor ? factor[i] : 1);
          const auto near = [&](int which, double wanted) {
            check("coefficient", i, which, coefficients[which * l.plane + i], wanted, std::fabs(wanted) * unit);
          };
          for (int k = 0; k < kPairKinds; ++k) {
            near(kMaxPositive + k, sums[i].max[k]);
            near(kWeightPositive + k, evals[i].weight[k] * (weight ? weight[k] : 1) * by);
          }
          near(kShift, evals[i].shift * by);
        }
      }
    }
  }
}

// --------------------------------------------------------------------------------------------------------- vectors

template <class S>
void check_units(DType dtype) {
  using T = typename Compute<S>::type;
  uint64_t seed = 1;
  for (int64_t width : {1, 2, 31, 33, 512, 513, 1025, 4099}) {
    for (int64_t rows : {1, 3, 9, 17}) {
      if (rows * width > 5000) continue;
      for (const Place place : {Place::heap, Place::guard}) {
        current = "vectors, " + std::to_string(rows) + " x " + std::to_string(width) + ", " + kPlaceNames[(int)place];
        Random random{seed++};
        Memory memory(place);
        cuda::UnitLaunch l{};
        l.rows = rows, l.args.width = width, l.args.input_stride = width + random.below(3);
        S* const x = memory.take<S>((rows - 1) * l.args.input_stride + width);
        for (int64_t i = 0; i < rows; ++i) {
          for (int64_t j = 0; j < width; ++j) {
            assign(x[i * l.args.input_stride + j], i == 1 ? 0.0 : random.normal());  // the second row is zero
          }
        }
        l.args.input = x;
        S* const unit = memory.take<S>(rows * width);
        double* const length = memory.take<double>(rows);
        l.args.unit = unit, l.args.length = length;
        emulation::watch(unit, rows * width * (int64_t)sizeof(S), sizeof(S));
        emulation::schedule = random.below(6);
        cuda::run_unit(dtype, l, nullptr);
        if (emulation::unwatch(unit) != 0) ::fail("vectors not written", -1, -1, 0, 0, 0);
        for (int64_t i = 0; i < rows; ++i) {
          Long square = 0;
          for (int64_t j = 0; j < width; ++j) {
            const Long v = value_of(x[i * l.args.input_stride + j]);
            square += v * v;
          }
          const double wanted = std::max(kSmallestLength, (double)std::sqrt(square));
          check("length", i, -1, length[i], wanted, wanted * 1e-14);
          for (int64_t j = 0; j < width; ++j) {
            const double v = value_of(x[i * l.args.input_stride + j]) / wanted;
            const double off = (2 * storage_unit<T>() + 1.01 * storage_unit<S>() + 1e-14) * std::fabs(v);
            check("unit", i, j, value_of(unit[i * width + j]), v, off + storage_underflow<S>());
          }
        }

        T* const g = memory.take<T>(rows * width);
        for (int64_t k = 0; k < rows * width; ++k) g[k] = (T)random.normal();
        float factor = -2.5f;
        S* const gradient = memory.take<S>(rows * width);
        l.args.upstream = g, l.args.gradient = gradient, l.factor = {&factor, DType::f32}, l.unit_dtype = dtype;
        const bool normalized = random.chance(70);
        if (!normalized) l.args.unit = nullptr;
        emulation::watch(gradient, rows * width * (int64_t)sizeof(S), sizeof(S));
        cuda::run_unit_backward(dtype, l, nullptr);
        if (emulation::unwatch(gradient) != 0) ::fail("gradients not written", -1, -1, 0, 0, 0);
        for (int64_t i = 0; i < rows; ++i) {
          Long along = 0, size = 0;
          const bool projected = normalized && length[i] != kSmallestLength;
          for (int64_t j = 0; projected && j < width; ++j) {
            along += (Long)g[i * width + j] * value_of(unit[i * width + j]);
            size += std::fabs((Long)g[i * width + j] * value_of(unit[i * width + j]));
          }
          const Long by = factor / (normalized ? length[i] : 1);
          for (int64_t j = 0; j < width; ++j, ++gradients) {
            const Long u = normalized ? value_of(unit[i * width + j]) : 0;
            const double v = (double)(by * (g[i * width + j] - along * u));
            const double off = std::fabs(v) * ((storage_unit<T>() + storage_unit<S>()) * 1.01 + 1e-14) +
                               storage_underflow<S>() + (double)(std::fabs(by) * size) * 1e-14;
            if (sizeof(S) == 2 && std::fabs(v) > 60000) continue;  // of the row that is zero
            check("gradient", i, j, value_of(gradient[i * width + j]), v, off);
          }
        }
      }
    }
  }
}

// Rows whose places 32 bits do not count: strides over memory that is never touched in between.
template <class S>
void check_far(DType dtype) {
  using T = typename Compute<S>::type;
  for (const bool vectors : {true, false}) {
    current = std::string("strides beyond 2^31, ") + (vectors ? "vectors" : "elements");
    const int64_t columns = 64, rows = 2, stride = (1LL << 31) + (vectors ? 16 : 7);
    const int64_t bytes = (stride + columns) * (int64_t)sizeof(S);
    void* const region =
        mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (region == MAP_FAILED) perror("emulation: mmap"), _exit(1);
    S* const tile = (S*)region;
    for (int64_t i = 0; i < rows * columns; ++i) assign(tile[i / columns * stride + i % columns], 0.5);
    TileLaunch l{};
    l.args.tile = tile, l.args.tile_stride = stride, l.args.rows = rows, l.args.columns = columns, l.args.scale = 1;
    cuda::plan_tile(dtype, l);
    check("vectors", -1, -1, l.vectors, vectors, 0);
    std::vector<AnchorSums> of_rows(rows), of_columns(columns);
    std::vector<T> row_parts(l.stripes * cuda::kPartPlanes * rows),
        column_parts(l.chunks * cuda::kPartPlanes * columns);
    l.args.row_sums = of_rows.data(), l.args.column_sums = of_columns.data();
    l.row_parts = row_parts.data(), l.column_parts = column_parts.data();
    cuda::run_statistics(k_info_nce, dtype, l, nullptr);
    for (const AnchorSums& s : of_rows) check("sum", -1, -1, s.sum[kNegative], columns - 1, 0);
    for (const AnchorSums& s : of_columns) check("count", -1, -1, s.count[0] + s.count[1], rows, 0);
    std::vector<double> sums(2 * rows);
    std::vector<T> anchors(kCoefficients * rows, (T)0.5);
    l.args.row_anchors = {anchors.data(), rows}, l.args.derivative_sums = sums.data();
    cuda::run_derivatives(k_info_nce, dtype, l, nullptr);
    for (int64_t i = 0; i < rows * columns; ++i) {
      check("derivative", -1, -1, value_of(tile[i / columns * stride + i % columns]),
            i / columns == i % columns ? 1 : 0.5, 0);
    }
    munmap(region, bytes);
  }
}

template <class S>
void run_all(DType dtype, const char* name, bool quick) {
  using T = typename Compute<S>::type;
  sweep<S>(dtype, name, quick);
  if constexpr (sizeof(S) == sizeof(T)) {
    check_anchors<T>(3);
    mine_sweep<T>(dtype, name, quick);
  }
  check_units<S>(dtype);
  check_far<S>(dtype);
}

}  // namespace

int main(int argc, char** argv) {
  return drive(argc, argv, [](auto stored, const auto&... about) { run_all<decltype(stored)>(about...); });
}
