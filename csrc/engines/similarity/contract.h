#pragma once

#include "engines/elements/contract.h"

namespace fastloss {

// Note [Similarity]
// A loss of this engine sees all pairs of two sets of vectors, rows x_i and columns y_j, through
//     z_ij = scale <x_i, y_j> + bias    (squared distances: |x_i|^2 + |y_j|^2 - 2 <x_i, y_j>)
// and through what the two are to each other: positive, negative, or left out. Its value is a sum over anchors, the rows
// and in some losses the columns as well; an anchor knows its pairs only through a few sums, its positives and its negatives
// apart. A functor is a template over the computing type T, built from the loss's parameters:
//
//     static constexpr bool exponential;
//     static constexpr bool affine;                            // whether a negative's score is u' z + u(0), u' constant
//     static constexpr bool columns;                           // whether columns may be anchors too
//     template <class V> PairScore<V> positive(V z) const;     // a score u of a positive pair, and du/dz
//     template <class V> PairScore<V> negative(V z) const;
//     AnchorEval anchor(const AnchorSums&) const;              // in double: what an anchor's sums mean
//
// An exponential loss (softmax and its kin) knows sums of e^u, kept with their maximum so that nothing overflows; others
// know sums of u. With f the value of an anchor, its pairs have the derivative
//     df/dz = u' (weight e^(u - max) + shift)    if exponential (`shift` of positive pairs alone),      u' weight   if not,
// so weight = df/dlse / sum. Positives and negatives have weights of their own: where an anchor has one positive of
// probability p, both follow from the share of the negatives, never from 1 - p, so nothing cancels as p -> 1.
//
// The engine never holds more than a strip of the matrix z: a tile of similarities, made by the platform's own matrix
// product, becomes either sums, or, in place, the derivatives that the next product takes.

template <class V>
struct PairScore {
  V value, slope;
};

enum PairKind : int { kPositive, kNegative, kPairKinds };

// What an anchor knows of its pairs. All zero: it has seen none.
struct AnchorSums {
  double max[kPairKinds];    // exponential: of its scores
  double sum[kPairKinds];    // of e^(u - max), or of u
  double total;              // exponential: of the positives' scores
  double count[kPairKinds];  // of pairs; if not exponential, of those whose score is not 0
  double unused;
};
static_assert(sizeof(AnchorSums) == 8 * sizeof(double), "a row of the state tensor");

struct AnchorEval {
  double loss;
  double weight[kPairKinds];
  double shift;
  bool counts;  // whether it is one of the values that a mean averages
};

// Adds the sums over further pairs to those of an anchor.
FASTLOSS_FN void join(AnchorSums& to, const AnchorSums& more, bool exponential) {
  for (int k = 0; k < kPairKinds; ++k) {
    if (exponential && more.count[k] != 0) {
      if (to.count[k] == 0) {
        to.max[k] = more.max[k];
        to.sum[k] = more.sum[k];
      } else {
        const double m = to.max[k] > more.max[k] ? to.max[k] : more.max[k];
        const auto moved = [m](double max, double sum) { return max == m ? sum : sum * exp(max - m); };
        to.sum[k] = moved(to.max[k], to.sum[k]) + moved(more.max[k], more.sum[k]);
        to.max[k] = m;
      }
    } else if (!exponential) {
      to.sum[k] += more.sum[k];
    }
    to.count[k] += more.count[k];
  }
  to.total += more.total;
}

// What the derivative of a pair needs of its anchor, in the order of the planes of the coefficient tensor.
enum AnchorCoefficient : int { kMaxPositive, kMaxNegative, kWeightPositive, kWeightNegative, kShift, kCoefficients };

// log(sum of exponentials); -inf of none.
FASTLOSS_FN double log_sum(const AnchorSums& s, PairKind kind) { return s.max[kind] + log(s.sum[kind]); }

// df/dlse as the weight of one pair's exponential; 0 where there is no pair.
FASTLOSS_FN double share(double slope, double sum) { return sum == 0 ? 0 : slope / sum; }

// log(1 + e^x) and 1 / (1 + e^-x).
FASTLOSS_FN double softplus(double x) { return (x > 0 ? x : 0) + log1p(exp(-abs(x))); }
FASTLOSS_FN double sigmoid(double x) { return x > 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x)); }

}  // namespace fastloss
