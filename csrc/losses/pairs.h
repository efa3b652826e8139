#pragma once

#include "engines/products/contract.h"

namespace fastloss {

// Cosine embedding, c = x1.x2 / sqrt((|x1|^2 + 1e-12) (|x2|^2 + 1e-12)), for a label y:
//     f = 1 - c where y = 1,   max(0, c - margin) where y = -1,   0 for any other, as PyTorch has it,
//     dc/d(x1.x2) = 1 / sqrt(...),   dc/d|x1|^2 = -c / (2 (|x1|^2 + 1e-12)).
template <class T>
struct CosineEmbedding {
  static constexpr int arity = 2, atoms = 2, products = 3;
  static constexpr bool labelled = true;
  static constexpr int left[products] = {0, 1, 0}, right[products] = {0, 1, 1};
  double margin;
  FASTLOSS_FN explicit CosineEmbedding(const double* p) : margin(p[0]) {}

  template <class V>
  FASTLOSS_FN void combine(const V (&x)[arity], V (&z)[atoms]) const {
    z[0] = x[0];
    z[1] = x[1];
  }
  template <class V>
  FASTLOSS_FN void transpose(const V (&h)[atoms], V (&g)[arity]) const {
    g[0] = h[0];
    g[1] = h[1];
  }
  FASTLOSS_FN PairEval<products> operator()(const double (&s)[products], double y) const {
    const double first = s[0] + 1e-12, second = s[1] + 1e-12;
    const double inverse = 1 / sqrt(first * second), c = s[2] * inverse;
    // NaN takes part in neither comparison of a label, in both of a margin, as in PyTorch.
    const double near = y == 1, far = y == -1;
    const double above = c - margin;
    const double loss = (near != 0 ? 1 - c : 0) + (far != 0 ? (above < 0 ? 0 : above) : 0);
    const double slope = (far != 0 && above >= 0 ? 1 : 0) - near;
    return {loss, {-slope * c / (2 * first), -slope * c / (2 * second), slope * inverse}};
  }
};

// Contrastive loss (Hadsell, Chopra, LeCun 2006) for a label y, with d = |x1 - x2| or, as above, d = 1 - c:
//     f = d^2 / 2 where y = 1,   max(0, margin - d)^2 / 2 where y = -1 or y = 0,   0 for any other;
// without `squared` d and max(0, margin - d). The third parameter, distance, is 0 for the first d and 1 for the second.
// d|u|/d(u.u) = 1 / (2 |u|), 0 at u = 0.
template <class T>
struct Contrastive {
  static constexpr int arity = 2, atoms = 2, products = 3;
  static constexpr bool labelled = true;
  static constexpr int left[products] = {0, 1, 0}, right[products] = {0, 1, 1};
  double margin;
  bool squared, cosine;
  FASTLOSS_FN explicit Contrastive(const double* p) : margin(p[0]), squared(p[1] != 0), cosine(p[2] != 0) {}

  template <class V>
  FASTLOSS_FN void combine(const V (&x)[arity], V (&z)[atoms]) const {
    z[0] = cosine ? x[0] : x[0] - x[1];
    z[1] = cosine ? x[1] : V(T(0));
  }
  template <class V>
  FASTLOSS_FN void transpose(const V (&h)[atoms], V (&g)[arity]) const {
    g[0] = h[0];
    g[1] = cosine ? h[1] : -h[0];
  }
  FASTLOSS_FN PairEval<products> operator()(const double (&s)[products], double y) const {
    const bool near = y == 1, far = y == -1 || y == 0;
    const double first = s[0] + 1e-12, second = s[1] + 1e-12;
    const double inverse = 1 / sqrt(first * second), c = s[2] * inverse;
    const double d = cosine ? 1 - c : sqrt(s[0]), gap = margin - d;
    const double lack = gap <= 0 ? 0 : gap;  // NaN stays
    double loss = 0, slope = 0;              // df/dd
    if (near) {
      loss = squared ? d * d / 2 : d;
      slope = squared ? d : 1;
    } else if (far) {
      loss = squared ? lack * lack / 2 : lack;
      slope = squared ? -lack : gap <= 0 ? 0 : -1;
    }
    if (cosine) return {loss, {slope * c / (2 * first), slope * c / (2 * second), -slope * inverse}};
    if (near && squared) return {loss, {0.5, 0, 0}};
    return {loss, {d == 0 || slope == 0 ? 0 : slope * (0.5 / d), 0, 0}};
  }
};

// Triplet margin with Euclidean distances of anchor a, positive p and negative n, eps added to every difference as PyTorch
// does: u = a - p + eps, v = a - n + eps, w = p - n + eps,
//     f = max(0, margin + |u| - |v|);   with `swap`, |v| is the smaller of |v| and |w|, half of each where they tie.
// d|u|/d(u.u) = 1 / (2 |u|), 0 at u = 0. The fourth parameter, p, is always 2 here.
template <class T>
struct TripletMargin {
  static constexpr int arity = 3, atoms = 3, products = 3;
  static constexpr bool labelled = false;
  static constexpr int left[products] = {0, 1, 2}, right[products] = {0, 1, 2};
  double margin;
  T eps;
  bool swap;
  FASTLOSS_FN explicit TripletMargin(const double* p) : margin(p[0]), eps((T)p[1]), swap(p[2] != 0) {}

  template <class V>
  FASTLOSS_FN void combine(const V (&x)[arity], V (&z)[atoms]) const {
    z[0] = x[0] - x[1] + V(eps);
    z[1] = x[0] - x[2] + V(eps);
    z[2] = swap ? x[1] - x[2] + V(eps) : V(T(0));  // without, its NaN must not count
  }
  template <class V>
  FASTLOSS_FN void transpose(const V (&h)[atoms], V (&g)[arity]) const {
    g[0] = h[0] + h[1];
    g[1] = h[2] - h[0];
    g[2] = -h[1] - h[2];
  }
  FASTLOSS_FN PairEval<products> operator()(const double (&s)[products], double /*y*/) const {
    const double u = sqrt(s[0]), v = sqrt(s[1]), w = sqrt(s[2]);
    double direct = 1, other = 0, smaller = v;
    if (swap) {
      direct = w < v ? 0 : w == v ? 0.5 : 1;
      other = 1 - direct;
      smaller = w < v || w != w ? w : v;
    }
    const double z = margin + u - smaller, slope = z >= 0 ? 1 : 0;
    return {z < 0 ? 0 : z,
            {slope * half_inverse(u), -slope * direct * half_inverse(v), -slope * other * half_inverse(w)}};
  }

 private:
  FASTLOSS_FN static double half_inverse(double x) { return x == 0 ? 0 : 0.5 / x; }
};

}  // namespace fastloss
