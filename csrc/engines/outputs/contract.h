#pragma once

#include "engines/softmax/contract.h"

namespace fastloss {

// Note [Row outputs]
// Of a row with the logits z_c of Note [Rows] and targets y_1 .. y_k the outputs are
//     logprob_k = log p_{y_k},   lse = log sum_c e^{z_c},   entropy H = -sum_c p_c log p_c,   spread D = -sum_c w_c log p_c.
// The engine measures as Note [Rows] says, with y the likeliest of the targets, since no other can have a p near 1, and
// tilt = sum_c exp(z_c - m) (m - z_c). With W = sum_c w_c
//     logprob = -nll at y, z - m - log s at other targets,   H = log s + tilt / s,   D = gap + W log s.
// Relative to the maximum the largest term of tilt is 0, so that H keeps its relative accuracy as p nears 1.
//
// For upstream gradients g_k, g_l, g_H, g_D, with G the sum of the g_k, G_y that of the targets that are y,
//     d / d z_j = p_j (g_l - G - g_H (log p_j + H)) - g_D w_j + sum_k g_k [j == y_k],
// and at y, with no cancellation, G_y q - (G - G_y) p + p (g_l - g_H (log p + H)) - g_D w_y. The caller has added g_D W, of the
// weights of all parts, to g_l.
//
// Of logits that are some classes of a row, `part`, the outputs are those of the part, but in the place of logprob stands
// z_y - m, -inf for a class of another part. From the outputs of all parts follow those of the row, and the state that
// backward starts from on each: the row's maximum, and the sum of all others, or of all where y is of another part.

template <class V>
struct OutputTerms {
  V logprob;  // of y
  V log_sum;
  V entropy;
  V lse;
  V spread;
};

template <class T, class V>
FASTLOSS_FN OutputTerms<V> row_outputs(V max, V others, V target, V e, V tilt, V gap, V mass) {
  const Likelihood<V> l = likelihood<T>(others, target, e);
  return {-l.nll, l.log_sum, l.log_sum + tilt * l.inverse, max + l.log_sum, gap + mass * l.log_sum};
}

// Gradient = exp(z_j - m) (level + slope (z_j - m)) - offset w_j, except at y.
template <class V>
struct OutputFactors {
  V level;
  V slope;
  V at_target;  // without the offset
  V offset;
};

template <class V>
struct OutputGradients {
  V logprob;  // G_y
  V rest;     // G - G_y
  V entropy, lse, spread;
};

template <class T, class V>
FASTLOSS_FN OutputFactors<V> row_factors(const OutputGradients<V>& g, V others, V target, V e, V entropy, V per_logit) {
  const Likelihood<V> l = likelihood<T>(others, target, e);
  const V zero(T(0));
  const V level = g.lse - g.logprob - g.rest + g.entropy * (l.log_sum - entropy);
  // Where p is 0, p log p is 0 too.
  const V surprise = select(l.p == zero, zero, l.p * (entropy - l.nll));
  return {level * l.inverse * per_logit, -g.entropy * l.inverse * per_logit,
          (g.logprob * l.q - g.rest * l.p + l.p * g.lse - g.entropy * surprise) * per_logit, g.spread * per_logit};
}

}  // namespace fastloss
