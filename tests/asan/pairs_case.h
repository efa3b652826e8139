#pragma once

// A case of the pairs family for the sanitizer drivers: rows of vectors, options, and every number of a backend against a
// plain loop.
//
// Note [Expected rows]
// As in points_case.h the loop takes the functor's own parts: atoms in the computing type, everything after them in double.
// A backend states how many units of the computing type its products may be off, relative to the sum of their terms' sizes.
// What that does to value and derivatives is found by evaluating the functor at products off by as much: bounds hold at
// kinks and where terms cancel, whatever the loss. Of rows whose products are far beyond float everything is in double.

#include "case.h"
#include "engines/products/contract.h"
#include "engines/products/args.h"
#include "losses/functors.h"
#include "losses/losses.h"

namespace {

constexpr double kPairParams[][4] = {{0.3, 1, 1, 2}, {0.3, 1e-3, 0, 2}};

class PairBackend {
 public:
  virtual ~PairBackend() = default;
  // As PointBackend's.
  virtual PointTotals run(Memory&, Random&, int id, PairArgs&, const std::vector<Output>&, bool scalars,
                          double* scale) = 0;
  virtual double product_roundings(int64_t width) const = 0;
};

constexpr double kFarValue = 1e20;  // whose square is more than kFar

// A number and how far a backend may be from it.
struct Bounded {
  double value = 0, error = 0;
};

// The roundings after the products, in units of the computing type and of the terms: slopes to that type, up to two terms
// for each product and atom, transposed.
constexpr double kGradientRoundings = 10;

template <class S, template <class> class Loss>
struct ExpectedRow {
  using T = typename Compute<S>::type;
  using F = Loss<T>;
  static constexpr int A = F::arity, P = F::products, Z = F::atoms;
  Bounded loss, square;
  std::vector<Bounded> grad[A];

  ExpectedRow() = default;

  // `x`: its vectors; `factor` of the gradients, `weight` of the value.
  ExpectedRow(const double* params, const std::vector<double> (&x)[A], double label, double weight, double factor,
              double product_roundings) {
    const F f(params);
    const int64_t width = (int64_t)x[0].size();
    std::vector<double> atoms[Z];
    double s[P], off[P];
    const double unit = storage_unit<T>();
    bool far = false;
    const auto multiply = [&](const auto& functor, auto number) {
      for (std::vector<double>& values : atoms) values.clear();
      for (int64_t i = 0; i < width; ++i) {
        decltype(number) v[A], z[Z];
        for (int k = 0; k < A; ++k) v[k] = (decltype(number))x[k][i];
        functor.combine(v, z);
        for (int a = 0; a < Z; ++a) atoms[a].push_back((double)z[a]);
      }
      for (int k = 0; k < P; ++k) {
        long double sum = 0, size = 0;
        for (int64_t i = 0; i < width; ++i) {
          const long double term = (long double)atoms[F::left[k]][i] * atoms[F::right[k]][i];
          sum += term, size += std::fabs(term);
        }
        far = far || !(std::fabs(sum) < kFar);
        s[k] = (double)sum, off[k] = P * (double)size * (product_roundings * unit + 8 * storage_unit<double>());
      }
    };
    multiply(f, T{});
    if (far && sizeof(T) < sizeof(double)) {
      product_roundings = (double)(width + 8) * storage_unit<double>() / unit;
      multiply(Loss<double>(params), double{});
    }
    const PairEval<P> r = f(s, label);
    double slope[P], slope_error[P];
    for (int k = 0; k < P; ++k) slope[k] = r.grad[k] * factor, slope_error[k] = 0;
    loss.value = r.loss * weight;
    for (int k = 0; k < P; ++k) {
      double loss_off = 0, slope_off[P] = {};
      for (const double sign : {-1.0, 1.0}) {
        double moved[P];
        std::copy(s, s + P, moved);
        moved[k] += sign * off[k];
        const PairEval<P> there = f(moved, label);
        loss_off = std::max(loss_off, std::fabs(there.loss - r.loss));
        for (int j = 0; j < P; ++j) slope_off[j] = std::max(slope_off[j], std::fabs(there.grad[j] - r.grad[j]));
      }
      loss.error += loss_off * weight;
      for (int j = 0; j < P; ++j) slope_error[j] += slope_off[j] * std::fabs(factor);
    }
    for (int k = 0; k < P; ++k) slope_error[k] += kGradientRoundings * unit * std::fabs(slope[k]);

    double share[A][Z];  // of an atom's derivative in a vector's, in size
    for (int a = 0; a < Z; ++a) {
      double h[Z] = {}, g[A];
      h[a] = 1;
      f.transpose(h, g);
      for (int k = 0; k < A; ++k) share[k][a] = std::fabs(g[k]);
    }
    for (int64_t i = 0; i < width; ++i) {
      double h[Z] = {}, h_error[Z] = {}, g[A];
      for (int k = 0; k < P; ++k) {
        const int left = F::left[k], right = F::right[k];
        h[left] += slope[k] * atoms[right][i];
        h[right] += slope[k] * atoms[left][i];
        h_error[left] += slope_error[k] * std::fabs(atoms[right][i]);
        h_error[right] += slope_error[k] * std::fabs(atoms[left][i]);
      }
      f.transpose(h, g);
      for (int k = 0; k < A; ++k) {
        double error = 0;
        for (int a = 0; a < Z; ++a) error += share[k][a] * h_error[a];
        grad[k].push_back({g[k], error});
      }
      square.value += g[0] * g[0];
      square.error += (2 * std::fabs(g[0]) + grad[0].back().error) * grad[0].back().error;
    }
  }
};

struct PairOptions {
  bool in_vectors;  // rows are apart by whole vectors of 16 bytes, else by any number of elements
  bool mixed;       // vectors of any types, of which the computing type is the widest
};

template <class S, template <class> class Loss>
void pair_case(PairBackend& backend, int id, int64_t rows, int64_t width, Place place, uint64_t seed,
               const PairOptions& o) {
  using T = typename Compute<S>::type;
  using F = Loss<T>;
  constexpr bool is_double = sizeof(T) == sizeof(double);
  Random random{seed};
  Memory memory(place);
  PairArgs a{};
  double scale = 0.25;
  a.rows = rows, a.width = width, a.scale = scale;
  std::copy_n(kPairParams[random.below(2)], 4, a.params);
  const auto stride = [&] { return width + random.below(3) * (o.in_vectors ? 16 / (int64_t)sizeof(S) : 1); };
  std::vector<Output> outputs;
  const bool some_far = !is_double && random.chance(20);
  for (int k = 0; k < F::arity; ++k) {
    const int64_t step = random.chance(80) ? stride() : 0, extent = (rows - 1) * step + width;  // 0: one row for all
    const Element type = o.mixed && k > 0 ? any_element(random, is_double, (int)Element::count) : element_of<S>();
    const int64_t size = bytes_of(type);
    void* const p = memory.take(extent * size, size);
    for (int64_t i = 0; i < extent; ++i) write_as(type, p, i, random.normal());
    a.operand[k] = {p, step, type};
    for (int64_t row = 0; some_far && step && (type == Element::f32 || type == Element::bf16) && row < rows; ++row) {
      if (!random.chance(30)) continue;
      for (int64_t i = 0; i < width; ++i) {
        write_as(type, p, row * step + i, kFarValue * (1 + random.uniform()) * (random.chance(50) ? -1 : 1));
      }
    }
    if (random.chance(30) || !is_floating(type)) continue;
    const int64_t written = stride(), whole = (rows - 1) * written + width;
    a.gradient[k] = {memory.take(whole * size, size), written, type};
    outputs.push_back(
        {"gradients not written", a.gradient[k].data, whole * size, size, (rows - 1) * (written - width)});
  }
  const auto values = [&](int percent, double low, double high) -> T* {
    if (!random.chance(percent)) return nullptr;
    T* const p = memory.take<T>(rows);
    for (int64_t i = 0; i < rows; ++i) p[i] = (T)(low + (high - low) * random.uniform());
    return p;
  };
  T* const label = F::labelled ? values(100, 0, 1) : nullptr;
  for (int64_t i = 0; label && i < rows; ++i) label[i] = (T)(random.below(2) * 2 - 1);
  T *const weight = values(40, 0.5, 2), *const upstream = values(40, -2, 2), *const loss = values(50, 0, 0);
  a.label = label, a.weight = weight, a.upstream = upstream, a.loss = loss;
  if (loss) outputs.push_back({"losses not written", loss, rows * (int64_t)sizeof(T), sizeof(T), 0});
  Flag* const mask = random.chance(40) ? memory.take<Flag>(rows) : nullptr;
  if (mask) fill_flags(random, mask, rows, 70);
  a.mask = mask, a.want_stats = random.chance(40);
  for (int64_t row = 0; mask && row < rows; ++row) {  // what is masked may be anything
    for (int k = 0; k < F::arity; ++k) {
      const PairView& view = a.operand[k];
      for (int64_t i = 0; !mask[row] && view.row_stride && is_floating(view.type) && i < width; ++i) {
        write_as(view.type, view.data, row * view.row_stride + i, NAN);
      }
    }
  }
  const PointTotals total = backend.run(memory, random, id, a, outputs, random.chance(40), &scale);

  const double unit = storage_unit<T>();
  Bounded sum, square;
  double size = 0;
  for (int64_t row = 0; row < rows; ++row) {
    const bool kept = !mask || mask[row];
    std::vector<double> x[F::arity];
    for (int k = 0; k < F::arity; ++k) {
      const PairView& view = a.operand[k];
      for (int64_t i = 0; i < width; ++i) x[k].push_back(read_as(view.type, view.data, row * view.row_stride + i));
    }
    const double w = weight ? (double)weight[row] : 1;
    ExpectedRow<S, Loss> r;
    if (kept) {
      r = {a.params,
           x,
           label ? (double)label[row] : 1,
           w,
           w * scale * (upstream ? (double)upstream[row] : 1),
           backend.product_roundings(width)};
    } else {
      for (auto& g : r.grad) g.resize(width);
    }
    sum.value += r.loss.value, sum.error += r.loss.error, size += std::fabs(r.loss.value);
    square.value += r.square.value, square.error += r.square.error;
    const double rounded = (double)(T)r.loss.value;  // a far row's may be infinite
    if (loss) check("loss", row, -1, (double)loss[row], rounded, r.loss.error + unit * std::fabs(r.loss.value));
    for (int k = 0; k < F::arity; ++k) {
      if (!a.gradient[k].data) continue;
      const PairView& view = a.gradient[k];
      for (int64_t i = 0; i < width; ++i, ++gradients) {
        const Bounded& g = r.grad[k][i];
        if (view.type == Element::f16 && std::fabs(g.value) + g.error > 65504) continue;  // perhaps infinite
        const double stored = unit_of(view.type) * (std::fabs(g.value) + g.error) + underflow_of(view.type);
        const double got = read_as(view.type, view.data, row * view.row_stride + i);
        check("gradient", row, i, got, g.value, kept ? g.error + stored : 0);
      }
    }
  }
  const double sums_unit = (double)(rows + 64) * storage_unit<double>();
  check("sum", -1, -1, total.loss, sum.value, sum.error + sums_unit * size);
  if (a.want_stats) {
    const double rounding = (double)(rows + width + 64) * storage_unit<double>() * square.value;
    check("square", -1, -1, total.gradient_square, square.value, square.error + rounding);
  }
}

using PairCase = void (*)(PairBackend&, int id, int64_t rows, int64_t width, Place, uint64_t seed, const PairOptions&);
struct PairEntry {
  const char* name;
  PairCase run;
};
template <class S>
std::vector<PairEntry> pair_entries() {
#define FASTLOSS_ENTRY(name, Functor, params) {#name, &pair_case<S, Functor>},
  return {FASTLOSS_PAIRS_LOSSES(FASTLOSS_ENTRY)};
#undef FASTLOSS_ENTRY
}

}  // namespace
