#pragma once

// The products engine on the CPU: Note [Pairs] in contract.h. A row is read for its products and, from the caches, again
// for its gradient.
//
// Sums. Four vectors per product in the computing type within a row, the rows' values in double, tasks in their order.

#include "engines/products/contract.h"
#include "engines/products/args.h"
#include "simd/vec_math.h"

// On AVX-512 `products` within `run` loses its registers to the loop over rows and takes up to twice the time; on AVX2 a call
// costs short rows 7 %.
#if defined(__AVX512F__)
#define FASTLOSS_PRODUCTS_APART __attribute__((noinline))
#else
#define FASTLOSS_PRODUCTS_APART
#endif

namespace fastloss::FASTLOSS_ISA {
namespace {

template <class S, template <class> class Loss>
struct Pairs {
  using T = typename Compute<S>::type;
  using V = Vec<T>;
  using F = Loss<T>;
  static constexpr int W = V::size;

  // Half cannot reach that far.
  static constexpr bool has_far_rows = sizeof(T) == sizeof(float) && !is_half<S>;

  const PairArgs& a;
  const F f;
  const Loss<double> far{a.params};

  FASTLOSS_FN void atoms_at(const S* const (&x)[F::arity], int64_t i, int64_t left, V (&z)[F::atoms]) const {
    V v[F::arity];
    if (left >= W) {
      for (int k = 0; k < F::arity; ++k) v[k] = load(x[k] + i);
      f.combine(v, z);
      return;
    }
    for (int k = 0; k < F::arity; ++k) v[k] = load_partial(x[k] + i, (int)left, (T)0);
    f.combine(v, z);
    for (V& atom : z) atom = keep_where(first_lanes<T>((int)left), atom);  // a constant would count there
  }

  FASTLOSS_PRODUCTS_APART void products(const S* const (&x)[F::arity], double (&s)[F::products]) const {
    V sum[4][F::products];
    for (auto& lane : sum) {
      for (V& v : lane) v = V((T)0);
    }
    int64_t i = 0;
    const auto add = [&](V(&to)[F::products]) __attribute__((always_inline)) {
      V z[F::atoms];
      atoms_at(x, i, a.width - i, z);
#pragma GCC unroll 8
      for (int k = 0; k < F::products; ++k) to[k] = fma(z[F::left[k]], z[F::right[k]], to[k]);
      i += W;
    };
    while (i + 4 * W <= a.width) {
#pragma GCC unroll 4
      for (int u = 0; u < 4; ++u) add(sum[u]);
    }
    while (i < a.width) add(sum[0]);
    for (int k = 0; k < F::products; ++k) {
      s[k] = reduce_add(widen(sum[0][k]) + widen(sum[1][k]) + (widen(sum[2][k]) + widen(sum[3][k])));
    }
  }

  static bool is_far(const double (&s)[F::products]) {
    bool near = true;
    for (double v : s) near = near && v < kFar && v > -kFar;
    return !near;
  }
  FASTLOSS_FN void far_atoms(const S* const (&x)[F::arity], int64_t i, double (&z)[F::atoms]) const {
    double v[F::arity];
    for (int k = 0; k < F::arity; ++k) v[k] = load_one(x[k] + i);
    far.combine(v, z);
  }
  // The functor's tables as constants: where a loop is not unrolled (cold code, -O2) it would read the tables themselves,
  // which all ISAs share. (Hence the pragmas elsewhere.)
  template <int k = 0>
  static void add_products(const double (&z)[F::atoms], double (&s)[F::products]) {
    if constexpr (k < F::products) {
      constexpr int left = F::left[k], right = F::right[k];
      s[k] += z[left] * z[right];
      add_products<k + 1>(z, s);
    }
  }
  template <int k = 0>
  static void add_slopes(const double (&z)[F::atoms], const double (&slope)[F::products], double (&h)[F::atoms]) {
    if constexpr (k < F::products) {
      constexpr int left = F::left[k], right = F::right[k];
      h[left] += slope[k] * z[right];
      h[right] += slope[k] * z[left];
      add_slopes<k + 1>(z, slope, h);
    }
  }
  __attribute__((noinline, cold)) void far_products(const S* const (&x)[F::arity], double (&s)[F::products]) const {
    for (double& v : s) v = 0;
    for (int64_t i = 0; i < a.width; ++i) {
      double z[F::atoms];
      far_atoms(x, i, z);
      add_products(z, s);
    }
  }
  __attribute__((noinline, cold)) void far_write(int64_t row, const S* const (&x)[F::arity],
                                                 const double (&slope)[F::products], PointSums* sums) const {
    for (int64_t i = 0; i < a.width; ++i) {
      double z[F::atoms], h[F::atoms] = {}, g[F::arity];
      far_atoms(x, i, z);
      add_slopes(z, slope, h);
      far.transpose(h, g);
      if (a.want_stats) sums->gradient_square += g[0] * g[0];
      for (int k = 0; k < F::arity; ++k) {
        if (a.gradient[k].data) store_one((S*)a.gradient[k].data + row * a.gradient[k].row_stride + i, (float)g[k]);
      }
    }
  }

  void write(int64_t row, const S* const (&x)[F::arity], const double (&slope)[F::products], PointSums* sums) const {
    using D = decltype(widen(V((T)0)));
    S* out[F::arity];
    for (int k = 0; k < F::arity; ++k) {
      out[k] = a.gradient[k].data ? (S*)a.gradient[k].data + row * a.gradient[k].row_stride : nullptr;
    }
    V factor[F::products];
    for (int k = 0; k < F::products; ++k) factor[k] = V((T)slope[k]);
    D square = widen(V((T)0));
    for (int64_t i = 0; i < a.width; i += W) {
      const int64_t left = a.width - i;
      V z[F::atoms], h[F::atoms], g[F::arity];
      atoms_at(x, i, left, z);
      for (V& v : h) v = V((T)0);
#pragma GCC unroll 8
      for (int k = 0; k < F::products; ++k) {
        h[F::left[k]] = fma(factor[k], z[F::right[k]], h[F::left[k]]);
        h[F::right[k]] = fma(factor[k], z[F::left[k]], h[F::right[k]]);
      }
      f.transpose(h, g);
      if (a.want_stats) {
        const D wide = widen(left < W ? keep_where(first_lanes<T>((int)left), g[0]) : g[0]);
        square = square + wide * wide;
      }
      for (int k = 0; k < F::arity; ++k) {
        if (!out[k]) continue;
        left < W ? store_partial(out[k] + i, (int)left, g[k]) : store(out[k] + i, g[k]);
      }
    }
    if (a.want_stats) sums->gradient_square += reduce_add(square);
  }

  void write_zeros(int64_t row) const {
    for (int k = 0; k < F::arity; ++k) {
      if (a.gradient[k].data) memset((S*)a.gradient[k].data + row * a.gradient[k].row_stride, 0, a.width * sizeof(S));
    }
  }

  static void run(const PairArgs& a, int64_t begin, int64_t end) {
    const Pairs engine{a, F(a.params)};
    const auto at = [](const void* p, int64_t row) { return p ? (double)((const T*)p)[row] : 1.0; };
    bool writes = a.want_stats;
    for (int k = 0; k < F::arity; ++k) writes = writes || a.gradient[k].data;
    for (int64_t task = begin; task < end; ++task) {
      const int64_t last = (task + 1) * a.task_rows < a.rows ? (task + 1) * a.task_rows : a.rows;
      PointSums sums{};
      for (int64_t row = task * a.task_rows; row < last; ++row) {
        if (a.mask && !a.mask[row]) {
          if (a.loss) ((T*)a.loss)[row] = (T)0;
          engine.write_zeros(row);
          continue;
        }
        const S* x[F::arity];
        for (int k = 0; k < F::arity; ++k) x[k] = (const S*)a.operand[k].data + row * a.operand[k].row_stride;
        double s[F::products];
        engine.products(x, s);
        bool again = false;
        if constexpr (has_far_rows) {
          again = is_far(s);
          if (again) engine.far_products(x, s);
        }
        PairEval<F::products> r = engine.f(s, at(a.label, row));
        const double weight = at(a.weight, row);
        sums.loss += r.loss * weight;
        if (a.loss) ((T*)a.loss)[row] = (T)(r.loss * weight);
        if (!writes) continue;
        const double factor = weight * at(a.upstream, row) * a.scale;
        for (double& slope : r.grad) slope *= factor;
        if constexpr (has_far_rows) {
          if (again) {
            engine.far_write(row, x, r.grad, &sums);
            continue;
          }
        }
        engine.write(row, x, r.grad, &sums);
      }
      a.sums[task] = sums;
    }
  }
};

}  // namespace
}  // namespace fastloss::FASTLOSS_ISA
