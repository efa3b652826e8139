#pragma once

#include "core/eval.h"
#include "core/math.h"

namespace fastloss {

// Note [Rows]
// A row is one sample's logits x_c with a target class y. What the formulas know of them is z_c = x_c / tau, or with a soft
// cap s (s / tau) tanh(x_c / s), where tau is the temperature; what they make of the upstream gradient g is made of g / tau,
// and the engine multiplies with the slope of s tanh(x_c / s). The engine measures, relative to a reference m (the row's
// maximum, or 0 where its exponentials are known to be far from overflow and underflow),
//     others = sum_{c != y} exp(z_c - m),   target = z_y - m,   e = exp(target),   gap = sum_c w_c (m - z_c)
// (the margin of class y, if there are any, is taken off `target`, which no other measure has in it) and a loss functor supplies f(nll, p, q) with its derivative f' in nll, where p = p_y and q = 1 - p_y. Then
//     s     = others + e,                 lse   = m + log s,
//     nll   = -log1p(-q) if others < e, else log s - target,
//     q     = others / s                  (never 1 - p: at p = 1 - 1e-9 float32 would leave nothing),
//     loss  = w_y (1 - eps) f + (eps / C) (gap + W log s) + zeta w_y lse^2,            W = sum_c w_c,
//     d loss / d z_j = p_j (A + U) - [j == y] A - (eps / C) w_j,
//         A = w_y (1 - eps) f',    U = (eps / C) W + 2 zeta w_y lse,
// and at j = y, with no cancellation, -q A + p U - (eps / C) w_y.
// As p -> 1, log1p(-q) keeps its relative accuracy. Where others >= e, nll is at least log 2, and the rounding of
// log s and target, 2^-53 of some 50 at most unless nll is as large itself, does not show.
//
// Probability targets t: t'_c = (1 - eps) t_c + eps / C, mass = sum_c w_c t'_c, gap = sum_c w_c t'_c (m - z_c),
// others = s sums all classes:
//     loss = gap + mass log s + zeta lse^2,    d loss / d z_j = p_j (mass + 2 zeta lse) - w_j t'_j,
//     d loss / d t_c = (1 - eps) w_c (lse - z_c).
//
// -inf. A row whose logits are all -inf has m = lowest (the engine starts there, so that -inf - m stays -inf) and
// s = 0: log s = -inf, nll and the gradient NaN, as in PyTorch.

struct RowOptions {
  double smoothing;  // eps
  double z_loss;     // zeta
  double inverse_classes;
  double weight_sum;  // W
};

template <class V>
struct RowTerms {
  V loss;
  V nll;        // unweighted, unsmoothed: what perplexity and tests want
  V log_sum;    // log s
  V scale;      // gradient = scale * exp(z_j - m) - offset * (w_j or w_j t'_j), except at the target
  V at_target;  // gradient at j = y
  V offset;
};

template <class V>
struct Likelihood {
  V nll;
  V log_sum;  // log s
  V p, q;
  V inverse;  // 1 / s
};

template <class T, class V>
FASTLOSS_FN Likelihood<V> likelihood(V others, V target, V e) {
  const V s = others + e;
  const V inverse = V(T(1)) / s;
  const V p = e * inverse;
  const V q = others * inverse;
  const auto likely = others < e;
  // log1p(-q) = log(u) + what rounding u = 1 - q dropped, over u; as that is below 2^-54, 1 / u is 1 + q.
  const V u = select(likely, V(T(1)) - q, s);
  const V l = log(u) - select(likely, (q - (V(T(1)) - u)) * (V(T(1)) + q), V(T(0)));
  return {select(likely, -l, l - target), select(likely, target - l, l), p, q, inverse};
}

template <class T, class V, class Loss>
FASTLOSS_FN RowTerms<V> index_row(const Loss& f, const RowOptions& o, V max, V others, V target, V e, V gap, V weight,
                                  V upstream) {
  const auto [nll, log_s, p, q, inverse] = likelihood<T>(others, target, e);
  const Eval<V> value = f(nll, p, q);
  const V keep = weight * V(T(1 - o.smoothing));
  V loss = keep * value.loss;
  V uniform = V(T(0));
  if (o.smoothing != 0) {
    loss = loss + V(T(o.smoothing * o.inverse_classes)) * (gap + V(T(o.weight_sum)) * log_s);
    uniform = V(T(o.smoothing * o.inverse_classes * o.weight_sum));
  }
  if (o.z_loss != 0) {
    const V lse = max + log_s;
    loss = loss + V(T(o.z_loss)) * weight * lse * lse;
    uniform = uniform + V(T(2 * o.z_loss)) * weight * lse;
  }
  const V a = keep * value.grad;
  const V offset = V(T(o.smoothing * o.inverse_classes)) * upstream;
  return {loss,  nll, log_s, (a + uniform) * inverse * upstream, (p * uniform - q * a) * upstream - offset * weight,
          offset};
}

template <class T, class V>
FASTLOSS_FN RowTerms<V> probability_row(const RowOptions& o, V max, V sum, V gap, V mass, V upstream) {
  const V log_s = log(sum);
  const V nll = gap + mass * log_s;
  V loss = nll;
  V factor = mass;
  if (o.z_loss != 0) {
    const V lse = max + log_s;
    loss = loss + V(T(o.z_loss)) * lse * lse;
    factor = factor + V(T(2 * o.z_loss)) * lse;
  }
  return {loss, nll, log_s, factor / sum * upstream, V(T(0)), upstream};
}

}  // namespace fastloss
