// Differentiates every pointwise functor by dual numbers and compares with the derivative it states.
// Prints a line per functor that agrees and one per disagreement; built and run by tests/test_pointwise.py.

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <initializer_list>

#include "core/macros.h"

namespace dual {

struct Dual {
  double v = 0, d[3] = {0, 0, 0};
  Dual() = default;
  explicit Dual(double value) : v(value) {}
};
Dual chain(Dual a, double value, double slope) {
  Dual r(value);
  for (int k = 0; k < 3; ++k) r.d[k] = a.d[k] == 0 ? 0 : slope * a.d[k];
  return r;
}
Dual operator+(Dual a, Dual b) {
  Dual r(a.v + b.v);
  for (int k = 0; k < 3; ++k) r.d[k] = a.d[k] + b.d[k];
  return r;
}
Dual operator-(Dual a) { return chain(a, -a.v, -1.0); }
Dual operator-(Dual a, Dual b) { return a + -b; }
Dual operator*(Dual a, Dual b) {
  Dual r(a.v * b.v);
  for (int k = 0; k < 3; ++k) r.d[k] = (a.d[k] == 0 ? 0 : a.d[k] * b.v) + (b.d[k] == 0 ? 0 : a.v * b.d[k]);
  return r;
}
Dual operator/(Dual a, Dual b) { return a * chain(b, 1 / b.v, -1 / (b.v * b.v)); }
bool operator<(Dual a, Dual b) { return a.v < b.v; }
bool operator==(Dual a, Dual b) { return a.v == b.v; }
Dual exp(Dual a) { return chain(a, ::exp(a.v), ::exp(a.v)); }
Dual exp_negative(Dual a) { return exp(a); }
Dual expm1_negative(Dual a) { return chain(a, ::expm1(a.v), ::exp(a.v)); }
Dual log(Dual a) { return chain(a, ::log(a.v), 1 / a.v); }
Dual log1p(Dual a) { return chain(a, ::log1p(a.v), 1 / (1 + a.v)); }
Dual log1p_unit(Dual a) { return log1p(a); }
Dual over_one_plus(Dual a) { return a / (Dual(1) + a); }
Dual sqrt(Dual a) { return chain(a, ::sqrt(a.v), 0.5 / ::sqrt(a.v)); }
Dual abs(Dual a) { return a.v < 0 ? -a : a; }
Dual max(Dual a, Dual b) { return b < a ? a : b; }
Dual min(Dual a, Dual b) { return a < b ? a : b; }
Dual select(bool c, Dual a, Dual b) { return c ? a : b; }

}  // namespace dual

#include "losses/functors.h"
#include "losses/losses.h"

using dual::Dual;

static double uniform(double low, double high) { return low + (high - low) * drand48(); }

template <class F>
static auto evaluate(const F& f, Dual (&x)[3]) {
  if constexpr (F::arity == 2) return f(x[0], x[1]);
  if constexpr (F::arity == 3) return f(x[0], x[1], x[2]);
}

template <class F>
static void check(const char* name, const double* params, double low, double high, double target_low,
                  double target_high, bool labels, int fixed) {
  const F f(params);
  for (int i = 0; i < 2000; ++i) {
    Dual x[3] = {Dual(uniform(low, high)), Dual(uniform(target_low, target_high)), Dual(uniform(0.1, 3))};
    if (labels) x[F::arity - 1].v = x[F::arity - 1].v < (F::arity == 3 ? 1.5 : 0) ? -1 : 1;
    for (int k = 0; k < F::arity; ++k) x[k].d[k] = 1;
    const auto r = evaluate(f, x);
    for (int k = 0; k < F::arity; ++k) {
      if (k == fixed) continue;
      const double error = ::fabs(r.grad[k].v - r.loss.d[k]);
      if (!(error <= 1e-9 * (1 + ::fabs(r.loss.d[k])))) {
        printf("%s: d/dx%d at (%g, %g, %g) is %.17g, stated %.17g\n", name, k, x[0].v, x[1].v, x[2].v, r.loss.d[k],
               r.grad[k].v);
        return;
      }
    }
  }
  printf("ok %s\n", name);
}

int main() {
  using namespace fastloss;
  srand48(1);
  const double none[4] = {0, 0, 0, 0};
  const double deltas[][4] = {{1}, {0.3}, {2}};
  for (auto& p : deltas) {
    check<Huber<double>>("huber_loss", p, -4, 4, -4, 4, false, -1);
    check<SmoothL1<double>>("smooth_l1_loss", p, -4, 4, -4, 4, false, -1);
    check<HingeEmbedding<double>>("hinge_embedding_loss", p, -4, 4, -1, 1, true, 1);
    check<MarginRanking<double>>("margin_ranking_loss", p, -4, 4, -4, 4, true, -1);
    check<Charbonnier<double>>("charbonnier_loss", p, -4, 4, -4, 4, false, -1);
  }
  check<Mse<double>>("mse_loss", none, -4, 4, -4, 4, false, -1);
  check<L1<double>>("l1_loss", none, -4, 4, -4, 4, false, -1);
  check<LogCosh<double>>("log_cosh_loss", none, -4, 4, -4, 4, false, -1);
  check<BceWithLogits<double>>("binary_cross_entropy_with_logits", none, -9, 9, 0, 1, false, -1);
  check<BceWithLogitsPosWeight<double>>("binary_cross_entropy_with_logits_pos_weight", none, -9, 9, 0, 1, false, -1);
  check<Bce<double>>("binary_cross_entropy", none, 0.001, 0.999, 0, 1, false, -1);
  check<SoftMargin<double>>("soft_margin_loss", none, -9, 9, -1, 1, true, 1);
  check<KlDiv<double>>("kl_div", none, -4, 4, 0.01, 1, false, -1);
  const double logs[4] = {1};
  check<KlDiv<double>>("kl_div", logs, -4, 4, -4, 0, false, -1);
  for (double gamma : {0.0, 0.5, 1.0, 2.0, 3.0, 3.3}) {
    for (double alpha : {0.25, 0.6, -1.0}) {
      const double p[4] = {alpha, gamma};
      check<SigmoidFocal<double>>("sigmoid_focal_loss", p, -9, 9, 0, 1, false, -1);
    }
  }
  for (double log_input : {0.0, 1.0}) {
    for (double full : {0.0, 1.0}) {
      const double p[4] = {log_input, full, 1e-3};
      check<PoissonNll<double>>("poisson_nll_loss", p, 0.1, 3, 0, 6, false, -1);
    }
  }
  const double gaussian[4] = {1, 1e-6};
  check<GaussianNll<double>>("gaussian_nll_loss", gaussian, -4, 4, -4, 4, false, -1);
  for (double clip : {0.0, 0.05}) {
    for (double gamma : {0.0, 0.5, 1.0, 4.0}) {
      const double p[4] = {gamma, 4.5 - gamma, clip};
      check<Asymmetric<double>>("asymmetric_loss", p, -9, 9, 0, 1, false, -1);
    }
  }
  for (double alpha : {2.0, 1.0, 0.0, -2.0, -HUGE_VAL, 1.5, 3.0, 0.5, -1.0, -30.0}) {
    const double p[4] = {alpha, 0.7};
    check<Robust<double>>("robust_loss", p, -4, 4, -4, 4, false, -1);
  }
  const double hinges[][4] = {{1, 1}, {0.5, 2}};
  for (auto& p : hinges) check<Hinge<double>>("hinge_loss", p, -4, 4, -1, 1, false, -1);
  const double quantiles[][4] = {{0.5}, {0.9}};
  for (auto& p : quantiles) check<Quantile<double>>("quantile_loss", p, -4, 4, -4, 4, false, -1);
  return 0;
}
