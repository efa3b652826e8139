#pragma once

#include "core/math.h"

namespace fastloss {

// Note [Pairs]
// A loss of this engine compares vectors row by row: N tensors of shape (rows, width), sometimes a label per row, give one
// value per row. It depends on the vectors only through scalar products of linear combinations of them ("atoms"), so that
// a row is read for its products, the value and its derivatives follow in double, and the gradient is again a linear
// combination: 2R from memory if a row outgrows the caches, else R, and W. A functor offers
//
//     static constexpr int arity, atoms, products;
//     static constexpr bool labelled;
//     static constexpr int left[products], right[products];      // s_k = sum over the width of z_left z_right
//     template <class V> void combine(const V (&x)[arity], V (&z)[atoms]) const;          // z = M x + constant
//     template <class V> void transpose(const V (&h)[atoms], V (&g)[arity]) const;        // g = M^T h
//     PairEval<products> operator()(const double (&s)[products], double label) const;     // value, d value / d s_k
//
// From those the engine makes h_a = sum_k f'_k (z_right where left_k = a, plus z_left where right_k = a).

//
// Note [Far rows]
// Squares of float overflow from 1.8e19 on, and well before that derivatives in them, which are reciprocals of squares,
// underflow. A row of which a product is kFar or more is taken again in double, element by element. Nothing wider holds the
// squares of double, which overflow from 1.3e154 on.
constexpr double kFar = 1e30;

template <int products>
struct PairEval {
  double loss;
  double grad[products];
};

}  // namespace fastloss
