#pragma once

#include "engines/similarity/contract.h"

namespace fastloss {

// Contrastive cross entropy over the pairs of an anchor (InfoNCE, CLIP, NT-Xent, SupCon): u = z, P and N the sums of e^z over
// its positives and its negatives, q = N / (P + N).
//     one positive, or `inside`:  f = -log(P / (P + N)) + log |P| = log(1 + N / P) + log |P|,   df/dlog P = -q, df/dlog N = q;
//     several:                    f = log(P + N) - mean of z over the positives,
//                                 df/dlog P = 1 - q, df/dlog N = q, and -1 / |P| for each positive.
// `decoupled` leaves the positives out of the denominator: q = 1, log(N / P) for log(1 + N / P), log N for log(P + N); then an anchor
// needs a negative.
template <class T>
struct InfoNce {
  static constexpr bool exponential = true;
  static constexpr bool affine = true;
  static constexpr bool columns = true;
  bool inside, decoupled;
  FASTLOSS_FN explicit InfoNce(const double* p) : inside(p[0] != 0), decoupled(p[1] != 0) {}

  template <class V>
  FASTLOSS_FN PairScore<V> positive(V z) const {
    return {z, V(T(1))};
  }
  template <class V>
  FASTLOSS_FN PairScore<V> negative(V z) const {
    return {z, V(T(1))};
  }
  FASTLOSS_FN AnchorEval anchor(const AnchorSums& s) const {
    const double n = s.count[kPositive];
    if (n == 0 || (decoupled && s.count[kNegative] == 0)) return {0, {0, 0}, 0, false};
    const double far = log_sum(s, kNegative), near = log_sum(s, kPositive), gap = far - near;
    const double q = decoupled ? 1 : sigmoid(gap);
    AnchorEval r{};
    r.counts = true;
    r.weight[kNegative] = share(q, s.sum[kNegative]);
    if (inside || n == 1) {
      r.loss = (decoupled ? gap : softplus(gap)) + log(n);
      r.weight[kPositive] = -share(q, s.sum[kPositive]);
    } else {
      r.loss = (decoupled ? far : near + softplus(gap)) - s.total / n;
      r.weight[kPositive] = decoupled ? 0 : share(sigmoid(-gap), s.sum[kPositive]);
      r.shift = -1 / n;
    }
    return r;
  }
};

// A decision of its own for each pair (SigLIP): log(1 + e^-z) if positive, log(1 + e^z) if negative.
template <class T>
struct PairwiseSigmoid {
  static constexpr bool exponential = false;
  static constexpr bool affine = false;
  static constexpr bool columns = false;
  FASTLOSS_FN explicit PairwiseSigmoid(const double*) {}

  template <class V>
  FASTLOSS_FN PairScore<V> positive(V z) const {
    const Logistic<V> l = logistic<T>(z);
    return {max(V(T(0)), -z) + l.log1p_e, -if_positive<T>(z, l.small, l.large)};
  }
  template <class V>
  FASTLOSS_FN PairScore<V> negative(V z) const {
    const Logistic<V> l = logistic<T>(z);
    return {max(V(T(0)), z) + l.log1p_e, if_positive<T>(z, l.large, l.small)};
  }
  FASTLOSS_FN AnchorEval anchor(const AnchorSums& s) const {
    return {s.sum[kPositive] + s.sum[kNegative], {1, 1}, 0, true};
  }
};

// Hinges on the distance d = sqrt(z) of a pair: h = max(0, d - pos_margin) if positive, max(0, neg_margin - d) if negative,
// or h^2 / 2. dd/dz = 1 / (2 d), and 0 at d = 0, where x - y is 0 anyway.
template <class T>
struct PairwiseContrastive {
  static constexpr bool exponential = false;
  static constexpr bool affine = false;
  static constexpr bool columns = false;
  T pos_margin, neg_margin;
  bool squared;
  FASTLOSS_FN explicit PairwiseContrastive(const double* p)
      : pos_margin((T)p[0]), neg_margin((T)p[1]), squared(p[2] != 0) {}

  template <class V>
  FASTLOSS_FN PairScore<V> hinge(V d, V h, T sign) const {
    const V zero(T(0)), half(T(0.5));
    const V active = max(zero, h);
    const V rate = select(d == zero, zero, V(sign) * half / d);
    const V none = select(h == h, zero, h);  // NaN stays
    return {squared ? half * active * active : active, squared ? active * rate : select(zero < h, rate, none)};
  }
  template <class V>
  FASTLOSS_FN PairScore<V> positive(V z) const {
    const V d = sqrt(max(V(T(0)), z));
    return hinge(d, d - V(pos_margin), T(1));
  }
  template <class V>
  FASTLOSS_FN PairScore<V> negative(V z) const {
    const V d = sqrt(max(V(T(0)), z));
    return hinge(d, V(neg_margin) - d, T(-1));
  }
  FASTLOSS_FN AnchorEval anchor(const AnchorSums& s) const {
    return {s.sum[kPositive] + s.sum[kNegative], {1, 1}, 0, true};
  }
};

// Multi-similarity (Wang et al. 2019): u = -alpha (z - base) if positive, beta (z - base) if negative,
//     f = log(1 + P) / alpha + log(1 + N) / beta,    df/dlog P = sigmoid(log P) / alpha.
template <class T>
struct MultiSimilarity {
  static constexpr bool exponential = true;
  static constexpr bool affine = true;
  static constexpr bool columns = true;
  double alpha, beta, base;
  FASTLOSS_FN explicit MultiSimilarity(const double* p) : alpha(p[0]), beta(p[1]), base(p[2]) {}

  template <class V>
  FASTLOSS_FN PairScore<V> positive(V z) const {
    return {V(T(-alpha)) * (z - V(T(base))), V(T(-alpha))};
  }
  template <class V>
  FASTLOSS_FN PairScore<V> negative(V z) const {
    return {V(T(beta)) * (z - V(T(base))), V(T(beta))};
  }
  FASTLOSS_FN AnchorEval anchor(const AnchorSums& s) const {
    const double near = log_sum(s, kPositive), far = log_sum(s, kNegative);
    return {softplus(near) / alpha + softplus(far) / beta,
            {share(sigmoid(near) / alpha, s.sum[kPositive]), share(sigmoid(far) / beta, s.sum[kNegative])},
            0,
            true};
  }
};

// Circle loss (Sun et al. 2020): u = -gamma [1 + m - z]_+ (z - 1 + m) if positive, gamma [z + m]_+ (z - m) if negative, the
// brackets constants to the derivative; f = log(1 + P N) for anchors that have both.
template <class T>
struct Circle {
  static constexpr bool exponential = true;
  static constexpr bool affine = false;
  static constexpr bool columns = true;
  T m, gamma;
  FASTLOSS_FN explicit Circle(const double* p) : m((T)p[0]), gamma((T)p[1]) {}

  template <class V>
  FASTLOSS_FN PairScore<V> positive(V z) const {
    const V one(T(1));
    const V slope = -V(gamma) * max(V(T(0)), one + V(m) - z);
    return {slope * (z - one + V(m)), slope};
  }
  template <class V>
  FASTLOSS_FN PairScore<V> negative(V z) const {
    const V slope = V(gamma) * max(V(T(0)), z + V(m));
    return {slope * (z - V(m)), slope};
  }
  FASTLOSS_FN AnchorEval anchor(const AnchorSums& s) const {
    if (s.count[kPositive] == 0 || s.count[kNegative] == 0) return {0, {0, 0}, 0, false};
    const double both = log_sum(s, kPositive) + log_sum(s, kNegative), slope = sigmoid(both);
    return {softplus(both), {share(slope, s.sum[kPositive]), share(slope, s.sum[kNegative])}, 0, true};
  }
};

// A triplet's value from the distances of an anchor to a positive and to a negative, t = d_near - d_far:
//     max(0, margin + t), with no slope where that is 0, or log(1 + e^t).
struct Triplet {
  double margin;
  bool soft;
  FASTLOSS_FN explicit Triplet(const double* p) : margin(p[0]), soft(p[1] != 0) {}

  FASTLOSS_FN PairScore<double> operator()(double near, double far) const {
    const double t = near - far;
    if (soft) return {softplus(t), sigmoid(t)};
    const double h = margin + t;
    return {h < 0 ? 0 : h, h > 0 ? 1.0 : 0.0};
  }
};

}  // namespace fastloss
