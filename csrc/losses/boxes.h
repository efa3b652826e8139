#pragma once

#include "engines/elements/contract.h"

namespace fastloss {

// A box is four numbers: two corners, the first corner and the size, or the center and the size (`format`). Everything is
// computed on corners, but for sizes and centers that are given. Of one axis, with (l, h) the edges of the first box, (L, H)
// those of the second one:
//     size s = h - l,   overlap o = min(h, H) - max(l, L),   hull c = max(h, H) - min(l, L),   shift d = ((l - L) + (h - H)) / 2.
// With I = o_x o_y where both are positive, else 0, U = s_x s_y + S_x S_y - I, and q = I / (U + eps):
//     iou    1 - q,   dq/dI = (1 + q) / (U + eps),   dq/d(s_x s_y) = -q / (U + eps)
//     giou   + (C - U) / (C + eps),   C = c_x c_y
//     diou   + R,   R = (d_x^2 + d_y^2) / (c_x^2 + c_y^2 + eps)
//     ciou   + R + a v,   v = 4 / pi^2 t^2,   t the angle from (s_y, s_x) to (S_y, S_x),   a = v / (1 - q + v + eps), whose
//            derivative is left out, as in the paper and in torchvision. One arc tangent gives t, in which nothing cancels.
//     eiou   + R + sum (s - S)^2 / (c^2 + eps)
//     siou   + sum (1 - e^(-g r)) / 2 + sum (1 - e^-w)^4 / 2,   r = (d / c)^2,   g = 2 - 2 |d_x d_y| / (d_x^2 + d_y^2),
//            w = |s - S| / max(s, S)
// The sums are over both axes. A quotient by a number without a reciprocal, 0 above all, is 0. At a tie of two edges each has
// half the derivative, as PyTorch's maximum has it.
template <class T>
struct BoxIou {
  static constexpr int arity = 2, components = 4;
  static constexpr bool checked = false;
  enum Kind : int { iou, giou, diou, ciou, eiou, siou } kind;
  enum Format : int { corners, corner_and_size, center_and_size } format;
  T eps;
  // The first where a number is no code.
  FASTLOSS_FN static int code(double number, int last) { return 0 < number && number <= last ? (int)number : 0; }
  FASTLOSS_FN explicit BoxIou(const double* p)
      : kind((Kind)code(p[0], siou)), format((Format)code(p[1], center_and_size)), eps((T)p[2]) {}

  template <class V>
  FASTLOSS_FN PointEval<V, 8> operator()(const V (&p)[8]) const {
    const V zero(T(0)), one(T(1)), two(T(2)), e(eps);
    Axis<V> x = axis(p[0], p[2], p[4], p[6]), y = axis(p[1], p[3], p[5], p[7]);
    const V width = select(zero < y.overlap, max(zero, x.overlap), zero);
    const V height = select(zero < x.overlap, max(zero, y.overlap), zero);
    const V common = width * height, all = x.size * y.size + x.other * y.other - common;
    const V per_all = inverse(all + e), q = common * per_all;
    V f = one - q, by_common = -(one + q) * per_all, by_area = q * per_all;
    if (kind == giou) {
      const V hull = x.hull * y.hull, per_hull = inverse(hull + e), waste = (hull - all) * per_hull;
      f = f + waste;
      by_common = by_common + per_hull;
      by_area = by_area - per_hull;
      const V slope = (one - waste) * per_hull;
      x.by_hull = slope * y.hull;
      y.by_hull = slope * x.hull;
    } else if (kind == siou) {
      const V near_x = abs(x.shift), near_y = abs(y.shift), per_far = inverse(max(near_x, near_y));
      const V a = near_x * per_far, b = near_y * per_far, a2 = a * a, b2 = b * b, per_square = inverse(a2 + b2);
      const V g = two - two * a * b * per_square;
      const Decay<V> along = decay(x, g), across = decay(y, g);
      const V by_angle = (along.slope + across.slope) * (b2 - a2) * per_square * per_square * per_far;
      x.by_shift = x.by_shift - sign<T>(x.shift) * b * by_angle;
      y.by_shift = y.by_shift + sign<T>(y.shift) * a * by_angle;
      f = f + V(T(0.5)) * ((along.value + across.value) + (unlike(x) + unlike(y)));
    } else if (kind != iou) {
      const V per_diagonal = inverse(x.hull * x.hull + y.hull * y.hull + e);
      const V r = (x.shift * x.shift + y.shift * y.shift) * per_diagonal, twice = two * per_diagonal;
      f = f + r;
      x.by_shift = twice * x.shift;
      y.by_shift = twice * y.shift;
      x.by_hull = -(twice * r) * x.hull;
      y.by_hull = -(twice * r) * y.hull;
      if (kind == eiou) {
        f = f + stretch(x) + stretch(y);
      } else if (kind == ciou) {
        // A box turned inside out in y is turned to positive heights: its angle, modulo pi, stays.
        const V side = if_negative(y.size, -x.size, x.size), tall = abs(y.size);
        const V other_side = if_negative(y.other, -x.other, x.other), other_tall = abs(y.other);
        const V cross = other_side * tall - side * other_tall, dot = tall * other_tall + side * other_side;
        const V turn = atan(select(cross == zero, zero, cross / dot)) +
                       if_negative(dot, if_negative(cross, V(-kPi), V(kPi)), zero);
        const V v = V(T(4) / (kPi * kPi)) * turn * turn;
        const V trade = constant(v * inverse(one - q + v + e));
        f = f + trade * v;
        const V by_turn = trade * V(T(8) / (kPi * kPi)) * turn;
        const V first = by_turn * inverse(x.size * x.size + y.size * y.size);
        const V second = by_turn * inverse(x.other * x.other + y.other * y.other);
        x.by_size = -first * y.size;
        y.by_size = first * x.size;
        x.by_other = second * y.other;
        y.by_other = -second * x.other;
      }
    }
    x.by_overlap = by_common * height;
    y.by_overlap = by_common * width;
    x.by_size = x.by_size + by_area * y.size;
    y.by_size = y.by_size + by_area * x.size;
    x.by_other = x.by_other + by_area * y.other;
    y.by_other = y.by_other + by_area * x.other;
    PointEval<V, 8> r;
    r.loss = f;
    slopes(x, r.grad[0], r.grad[2], r.grad[4], r.grad[6]);
    slopes(y, r.grad[1], r.grad[3], r.grad[5], r.grad[7]);
    return r;
  }

 private:
  static constexpr T kPi = T(3.14159265358979323846);

  // Both boxes along an axis, and the loss's derivatives in what is made of their edges.
  template <class V>
  struct Axis {
    V size, other, overlap, hull, shift;
    V low_share, high_share;  // 1 where the first box's edge is the overlap's, 0 where it is the hull's
    V by_size, by_other, by_overlap, by_hull, by_shift;
  };
  template <class V>
  struct Decay {
    V value, slope;  // 1 - e^(-g r) and r e^(-g r)
  };

  template <class V>
  FASTLOSS_FN static V if_negative(V x, V a, V b) {
    return select(x < V(T(0)), a, b);
  }
  template <class V>
  FASTLOSS_FN static V inverse(V x) {
    const V least(T(sizeof(T) == 4 ? 0x1p-126 : 0x1p-1022));
    return select(abs(x) < least, V(T(0)), V(T(1)) / x);
  }

  template <class V>
  FASTLOSS_FN void edges(V a, V b, V& low, V& high) const {
    low = format == center_and_size ? a - V(T(0.5)) * b : a;
    high = format == corners ? b : format == corner_and_size ? a + b : a + V(T(0.5)) * b;
  }
  template <class V>
  FASTLOSS_FN Axis<V> axis(V a, V b, V other_a, V other_b) const {
    const V zero(T(0)), half(T(0.5)), one(T(1));
    V low, high, other_low, other_high;
    edges(a, b, low, high);
    edges(other_a, other_b, other_low, other_high);
    Axis<V> r;
    r.size = format == corners ? high - low : b;
    r.other = format == corners ? other_high - other_low : other_b;
    r.overlap = min(high, other_high) - max(low, other_low);
    r.hull = max(high, other_high) - min(low, other_low);
    r.shift = a - other_a;
    if (format != center_and_size) r.shift = half * (r.shift + (high - other_high));
    r.low_share = select(other_low < low, one, select(low < other_low, zero, half));
    r.high_share = select(high < other_high, one, select(other_high < high, zero, half));
    r.by_size = r.by_other = r.by_overlap = r.by_hull = r.by_shift = zero;
    return r;
  }

  // (s - S)^2 / (c^2 + eps).
  template <class V>
  FASTLOSS_FN V stretch(Axis<V>& r) const {
    const V d = r.size - r.other, per = inverse(r.hull * r.hull + V(eps)), value = d * d * per, twice = V(T(2)) * per;
    r.by_size = twice * d;
    r.by_other = -r.by_size;
    r.by_hull = r.by_hull - twice * value * r.hull;
    return value;
  }
  template <class V>
  FASTLOSS_FN static Decay<V> decay(Axis<V>& axis, V g) {
    const V per = inverse(axis.hull), ratio = axis.shift * per, r = ratio * ratio;
    const V m = expm1_negative(-g * r), e = V(T(1)) + m, slope = g * e * ratio * per;
    axis.by_shift = slope;
    axis.by_hull = -slope * ratio;
    return {-m, r * e};
  }
  // (1 - e^-w)^4; the derivatives are those of its half.
  template <class V>
  FASTLOSS_FN static V unlike(Axis<V>& r) {
    const V zero(T(0)), d = r.size - r.other, per = inverse(max(zero, max(r.size, r.other))), w = abs(d) * per;
    const V m = -expm1_negative(-w), cube = m * m * m, slope = V(T(2)) * cube * (V(T(1)) - m) * per,
            s = sign<T>(d) * slope;
    r.by_size = s - if_positive<T>(d, w * slope, zero);
    r.by_other = -s - if_negative(d, w * slope, zero);
    return m * cube;
  }

  // Derivatives in the numbers of both boxes.
  template <class V>
  FASTLOSS_FN void slopes(const Axis<V>& r, V& a, V& b, V& other_a, V& other_b) const {
    const V one(T(1)), low = one - r.low_share, high = one - r.high_share;
    give(-r.low_share * r.by_overlap - low * r.by_hull, r.high_share * r.by_overlap + high * r.by_hull, r.by_size,
         r.by_shift, a, b);
    give(-low * r.by_overlap - r.low_share * r.by_hull, high * r.by_overlap + r.high_share * r.by_hull, r.by_other,
         -r.by_shift, other_a, other_b);
  }
  // Of derivatives in the edges, the size and the center: what cancels is never added to something else first.
  template <class V>
  FASTLOSS_FN void give(V low, V high, V size, V center, V& a, V& b) const {
    const V half(T(0.5));
    if (format == corners) {
      a = (low - size) + half * center;
      b = (high + size) + half * center;
    } else {
      a = (low + high) + center;
      b = format == corner_and_size ? (high + size) + half * center : half * (high - low) + size;
    }
  }
};

}  // namespace fastloss
