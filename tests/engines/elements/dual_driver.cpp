// Differentiates functors of elements by dual numbers and compares with the derivatives that they state.
// Reads the points from its input, a line each: the operator, its parameters, its operands, and which of these are not
// differentiated, one bit each. Prints what disagrees; built and run by test_derivatives.py.

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/macros.h"

namespace dual {

constexpr int kSlots = 8;  // values of an element

struct Dual {
  double v = 0, d[kSlots] = {};
  Dual() = default;
  explicit Dual(double value) : v(value) {}
};
Dual chain(Dual a, double value, double slope) {
  Dual r(value);
  for (int k = 0; k < kSlots; ++k) r.d[k] = a.d[k] == 0 ? 0 : slope * a.d[k];
  return r;
}
Dual operator+(Dual a, Dual b) {
  Dual r(a.v + b.v);
  for (int k = 0; k < kSlots; ++k) r.d[k] = a.d[k] + b.d[k];
  return r;
}
Dual operator-(Dual a) { return chain(a, -a.v, -1.0); }
Dual operator-(Dual a, Dual b) { return a + -b; }
Dual operator*(Dual a, Dual b) {
  Dual r(a.v * b.v);
  for (int k = 0; k < kSlots; ++k) r.d[k] = (a.d[k] == 0 ? 0 : a.d[k] * b.v) + (b.d[k] == 0 ? 0 : a.v * b.d[k]);
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
Dual atan(Dual a) { return chain(a, ::atan(a.v), 1 / (1 + a.v * a.v)); }
Dual constant(Dual a) { return Dual(a.v); }
Dual abs(Dual a) { return a.v < 0 ? -a : a; }
Dual max(Dual a, Dual b) { return b < a ? a : b; }
Dual min(Dual a, Dual b) { return a < b ? a : b; }
Dual select(bool c, Dual a, Dual b) { return c ? a : b; }

}  // namespace dual

#include "losses/functors.h"
#include "losses/losses.h"

using dual::Dual;

template <class F>
static void check(const char* name, const double* params, const double* at, int fixed) {
  constexpr int N = fastloss::kValues<F>;
  Dual x[N];
  for (int k = 0; k < N; ++k) {
    x[k] = Dual(at[k]);
    x[k].d[k] = 1;
  }
  const auto r = evaluate_point(F(params), x);
  for (int k = 0; k < N; ++k) {
    const double error = ::fabs(r.grad[k].v - r.loss.d[k]);
    if (fixed >> k / fastloss::kComponents<F> & 1 || error <= 1e-9 * (1 + ::fabs(r.loss.d[k]))) continue;
    printf("%s(%g, %g, %g, %g): d/dx%d at (%g, %g, %g, ...) is %.17g, stated %.17g\n", name, params[0], params[1],
           params[2], params[3], k, at[0], at[1], at[2], r.loss.d[k], r.grad[k].v);
  }
}

int main() {
  using namespace fastloss;
  char name[64];
  double p[4], x[dual::kSlots];
  int fixed;
  while (scanf("%63s %lf %lf %lf %lf", name, p, p + 1, p + 2, p + 3) == 5) {
    for (double& value : x) {
      if (scanf("%lf", &value) != 1) return 1;
    }
    if (scanf("%d", &fixed) != 1) return 1;
#define FASTLOSS_CHECK(loss, Functor, params) \
  if (!strcmp(name, #loss)) check<Functor<double>>(name, p, x, fixed);
    FASTLOSS_POINTWISE_LOSSES(FASTLOSS_CHECK)
  }
  return 0;
}
