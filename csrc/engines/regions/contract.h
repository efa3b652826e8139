#pragma once

#include "engines/softmax/contract.h"
#include "losses/focal.h"

namespace fastloss {

// Note [Regions]
// With p the softmax over the classes of a pixel, or the sigmoid of each channel, and t its targets, the sums of a class of a
// sample are
//     first = sum p (1 - t), or squared sum (p - t)^2,   under = sum t (1 - p),   mass = sum t,
//     point = sum t f, or of the sigmoid sum f(x, t),    spread = sum -log p,     pixels = sum 1,
// where f is the point term, of the softmax a functor of Note [Rows], of the sigmoid one of Note [Pointwise]. What a loss
// makes of the sums is not known here: for its slopes a, b, v, w in first, under, point and spread, the slope in p_c is
//     g_c = a_c (1 - t_c) - b_c t_c,   squared 2 a_c (p_c - t_c) - b_c t_c,
// and, with f' the derivative in nll of the target y, G = sum_k p_k g_k and W = sum_k w_k,
//     d / d x_c = p_c (g_c - G + v_y f' + W) - w_c            (c != y),
//     d / d x_y = q (p_y g_y - v_y f') - p_y R + p_y W - w_y,  R = sum_{k != y} p_k g_k,  q = 1 - p_y = sum_{k != y} p_k,
// where nothing cancels as p_y -> 1. Of dense targets f is nll, whose sums come from those of t lse and t x:
//     d / d x_c = p_c (g_c - G + sum_k v_k t_k + W) - v_c t_c - w_c.
// Of the sigmoid, with n = 1 - p, d / d x = p n g + v df / dx.
// A pixel that does not count is read as if its logits were 0, and its targets.

}  // namespace fastloss
