#pragma once

// A case of the pairs family for the sanitizer drivers: rows of vectors, options, and every number of a backend against a
// plain loop.
//
// Note [Expected rows]
// As in points_case.h the loop takes the functor's own parts: atoms in the computing type, everything after them in double.
// A backend states how many units of the computing type its products may be off, relative to the sum of their terms' sizes.
// What that does to value and derivatives is found by evaluating the functor at products off by as much: bounds hold at
// kinks and where terms cancel, whatever the loss.

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
  ExpectedRow(const F& f, const S* const (&x)[A], int64_t width, double label, double weight, double factor,
              double product_roundings) {
    std::vector<double> atoms[Z];
    for (int64_t i = 0; i < width; ++i) {
      T v[A], z[Z];
      for (int k = 0; k < A; ++k) v[k] = (T)value_of(x[k][i]);
      f.combine(v, z);
      for (int a = 0; a < Z; ++a) atoms[a].push_back((double)z[a]);
    }
    double s[P], off[P];
    const double unit = storage_unit<T>();
    for (int k = 0; k < P; ++k) {
      long double sum = 0, size = 0;
      for (int64_t i = 0; i < width; ++i) {
        const long double term = (long double)atoms[F::left[k]][i] * atoms[F::right[k]][i];
        sum += term, size += std::fabs(term);
      }
      s[k] = (double)sum, off[k] = P * (double)size * (product_roundings * unit + 8 * storage_unit<double>());
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

template <class S, template <class> class Loss>
void pair_case(PairBackend& backend, int id, int64_t rows, int64_t width, Place place, uint64_t seed, bool in_vectors) {
  using T = typename Compute<S>::type;
  using F = Loss<T>;
  Random random{seed};
  Memory memory(place);
  PairArgs a{};
  double scale = 0.25;
  a.rows = rows, a.width = width, a.scale = scale;
  std::copy_n(kPairParams[random.below(2)], 4, a.params);
  // Rows apart by any number of elements, or by whole vectors of 16 bytes.
  const auto stride = [&] { return width + random.below(3) * (in_vectors ? 16 / (int64_t)sizeof(S) : 1); };
  std::vector<Output> outputs;
  for (int k = 0; k < F::arity; ++k) {
    const int64_t step = random.chance(80) ? stride() : 0, extent = (rows - 1) * step + width;  // 0: one row for all
    S* const p = memory.take<S>(extent);
    for (int64_t i = 0; i < extent; ++i) assign(p[i], random.normal());
    a.operand[k] = {p, step, element_of<S>()};
    if (random.chance(30)) continue;
    const int64_t written = stride(), whole = (rows - 1) * written + width;
    a.gradient[k] = {memory.take<S>(whole), written, element_of<S>()};
    outputs.push_back({"gradients not written", a.gradient[k].data, whole * (int64_t)sizeof(S), sizeof(S),
                       (rows - 1) * (written - width)});
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
      for (int64_t i = 0; !mask[row] && view.row_stride && i < width; ++i) {
        assign(((S*)view.data)[row * view.row_stride + i], NAN);
      }
    }
  }
  const PointTotals total = backend.run(memory, random, id, a, outputs, random.chance(40), &scale);

  const F f(a.params);
  const double unit = storage_unit<T>();
  Bounded sum, square;
  double size = 0;
  for (int64_t row = 0; row < rows; ++row) {
    const bool kept = !mask || mask[row];
    const S* x[F::arity];
    for (int k = 0; k < F::arity; ++k) x[k] = (const S*)a.operand[k].data + row * a.operand[k].row_stride;
    const double w = weight ? (double)weight[row] : 1;
    ExpectedRow<S, Loss> r;
    if (kept) {
      r = {f,
           x,
           width,
           label ? (double)label[row] : 1,
           w,
           w * scale * (upstream ? (double)upstream[row] : 1),
           backend.product_roundings(width)};
    } else {
      for (auto& g : r.grad) g.resize(width);
    }
    sum.value += r.loss.value, sum.error += r.loss.error, size += std::fabs(r.loss.value);
    square.value += r.square.value, square.error += r.square.error;
    if (loss) check("loss", row, -1, (double)loss[row], r.loss.value, r.loss.error + unit * std::fabs(r.loss.value));
    for (int k = 0; k < F::arity; ++k) {
      if (!a.gradient[k].data) continue;
      const S* const p = (const S*)a.gradient[k].data + row * a.gradient[k].row_stride;
      for (int64_t i = 0; i < width; ++i, ++gradients) {
        const Bounded& g = r.grad[k][i];
        if (std::is_same_v<S, Half> && std::fabs(g.value) + g.error > 65504) continue;  // perhaps infinite
        const double stored = storage_unit<S>() * (std::fabs(g.value) + g.error) + storage_underflow<S>();
        check("gradient", row, i, value_of(p[i]), g.value, kept ? g.error + stored : 0);
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

using PairCase = void (*)(PairBackend&, int id, int64_t rows, int64_t width, Place, uint64_t seed, bool in_vectors);
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
