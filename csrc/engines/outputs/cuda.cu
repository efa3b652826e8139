// Row outputs of the softmax on CUDA: Note [Row outputs]. A group of threads reads a row once in forward, measuring parts
// relative to their own maxima (Note [Merging] in engines/softmax/cuda.cu), and reads and writes it once in backward. A class out
// of range makes its row's outputs NaN and its gradient zero.

#include "core/compute.h"
#include "engines/outputs/contract.h"
#include "engines/outputs/cuda.h"
#include "engines/softmax/cuda_base.h"

namespace fastloss::cuda {
namespace {

constexpr int kMaxWarps = 16;

// What a part of a row adds up to; `others` and `tilt` without the chosen target.
struct Part {
  double max, others, tilt, gap, mass;
};
constexpr int kPart = sizeof(Part) / sizeof(double);

template <class T>
FASTLOSS_DEVICE void raise(Part& p, double max) {
  if (max == p.max) return;
  const double delta = max - p.max;
  const double f = exp((T)-delta);
  if (p.mass != 0) p.gap += delta * p.mass;
  p.tilt = f == 0 ? 0 : f * (p.tilt + delta * p.others);
  p.others = f == 0 && p.others - p.others == 0 ? 0 : f * p.others;
  p.max = max;
}
template <class T>
FASTLOSS_DEVICE void merge(Part& p, Part other) {
  const double max = maximum(p.max, other.max);
  raise<T>(p, max);
  raise<T>(other, max);
  p.others += other.others;
  p.tilt += other.tilt;
  p.gap += other.gap;
  p.mass += other.mass;
}

// A row before it is measured.
struct Choice {
  int64_t y;  // likeliest target's class among the logits; -1: of another part
  bool kept, bad;
};

FASTLOSS_DEVICE int64_t class_of(const OutputsArgs& o, int64_t place) {
  const int64_t y = o.target[place];
  return y == o.rows.ignore_index || (uint64_t)y >= (uint64_t)o.rows.classes ? -1 : y;
}

template <class S>
FASTLOSS_DEVICE Choice choose(const OutputsArgs& o, int64_t row, const S* x) {
  using T = typename Compute<S>::type;
  const RowsArgs& a = o.rows;
  Choice choice{-1, o.targets == 0, false};
  T largest = 0;
  for (int64_t k = 0; k < o.targets; ++k) {
    const int64_t place = row * o.targets + k, y = o.target[place];
    if (y == a.ignore_index) continue;
    choice.kept = true;
    choice.bad |= (uint64_t)y >= (uint64_t)o.all_classes;
    const int64_t c = class_of(o, place);
    if (c < 0) continue;
    const T z = o.targets == 1 ? (T)0 : logit(a, (T)widen(x[c * a.logits.class_stride]));
    if (choice.y < 0 || z > largest) choice.y = c, largest = z;
  }
  if (a.mask && !a.mask[row]) choice.kept = choice.bad = false;
  return choice;
}

// The place of a thread: its row, and which of the row's vectors are its own.
template <class S, int G, int V>
struct Place {
  static constexpr int kRows = outputs_threads(G) / G;
  const RowsArgs& a;
  int self = thread() % G;
  int64_t row = block() * kRows + thread() / G;
  bool active = row < a.rows;
  const S* x = (const S*)a.logits.data + (active ? offset_of(a, a.logits, row) : 0);
  int head = V > 1 ? (int)((uintptr_t)x % 16 / sizeof(S)) : 0;

  FASTLOSS_DEVICE explicit Place(const RowsArgs& a) : a(a) {}

  // Calls f(first class, values) for each vector of this thread, a batch of B being on its way at once; what is outside the
  // row is -infinity.
  template <int B, class F>
  FASTLOSS_DEVICE void visit(const F& f) const {
    using T = typename Compute<S>::type;
    for (int64_t first = (int64_t)self * V - head; first < a.classes; first += (int64_t)B * G * V) {
      T z[B][V];
      FASTLOSS_UNROLL
      for (int b = 0; b < B; ++b) {
        const int64_t c = first + (int64_t)b * G * V;
        if (V > 1 && c >= 0 && c + V <= a.classes) {
          widen_pack(load_pack<V>(x + c), z[b]);
        } else {
          FASTLOSS_UNROLL
          for (int k = 0; k < V; ++k) {
            const bool has = c + k >= 0 && c + k < a.classes;
            z[b][k] = has ? (T)widen(x[(c + k) * a.logits.class_stride]) : -infinity<T>();
          }
        }
      }
      FASTLOSS_UNROLL
      for (int b = 0; b < B; ++b) {
        const int64_t c = first + (int64_t)b * G * V;
        if (c < a.classes) f(c, z[b]);
      }
    }
  }
  FASTLOSS_DEVICE bool has(int64_t c) const { return c >= 0 && c < a.classes; }
};

template <class T>
FASTLOSS_DEVICE T no_lower(T d) {
  return d < (T)-1024 ? (T)-1024 : d;  // where the exponential is 0; NaN stays
}

// `extras`: cap, temperature or spread.
template <class S, int G, int V, bool tilted, bool extras>
FASTLOSS_KERNEL(outputs_threads(G), 1)
outputs_forward(const OutputsLaunch l) {
  using T = typename Compute<S>::type;
  constexpr int B = V == 1 || extras ? 1 : 2;
  const OutputsArgs& o = l.args;
  const RowsArgs& a = o.rows;
  const Place<S, G, V> place(a);
  const int64_t row = place.row;
  const Choice choice = place.active ? choose<S>(o, row, place.x) : Choice{-1, false, false};
  T max = lowest<T>();
  Sum<T> others, tilt, gap, mass;
  if (choice.kept) {
    place.template visit<B>([&](int64_t c, T(&z)[V]) {
      T larger = max;
      FASTLOSS_UNROLL
      for (int k = 0; k < V; ++k) {
        if (extras && place.has(c + k)) z[k] = logit(a, z[k]);
        larger = maximum(larger, z[k]);
      }
      if (larger > max) {
        const T delta = larger - max, f = exp(-delta);
        if (tilted) {
          const T whole = (T)others.total();
          tilt.scale(f);
          if (f != 0) tilt.add(f * delta * whole);
        }
        others.scale(f);
        if (extras && (T)mass.total() != 0) gap.add(delta * (T)mass.total());
        max = larger;
      }
      if (extras && o.spread) {
        FASTLOSS_UNROLL
        for (int k = 0; k < V; ++k) {
          if (!place.has(c + k)) continue;
          const T w = ((const T*)a.weight)[c + k];
          gap.add(w * (max - z[k]));
          mass.add(w);
        }
      }
      if (choice.y >= c && choice.y < c + V) {
        FASTLOSS_UNROLL
        for (int k = 0; k < V; ++k) {
          if (c + k == choice.y) z[k] = -infinity<T>();
        }
      }
      T few = 0, few_tilt = 0;
      FASTLOSS_UNROLL
      for (int k = 0; k < V; ++k) {
        const T d = z[k] - max, e = exp_of<S>(d);
        few += e;
        if (tilted) few_tilt -= e * no_lower(d);
      }
      others.add(few);
      if (tilted) tilt.add(few_tilt);
    });
  }
  Part part{(double)max, others.total(), tilt.total(), gap.total(), mass.total()};
  if (G > 1) {
    FASTLOSS_UNROLL
    for (int k = 16; k > 0; k /= 2) {
      merge<T>(part, {shuffle_xor(part.max, k), shuffle_xor(part.others, k), shuffle_xor(part.tilt, k),
                      shuffle_xor(part.gap, k), shuffle_xor(part.mass, k)});
    }
  }
  if (G > 32) {
    double* const warps = (double*)shared_memory();
    if (place.self % 32 == 0) {
      double* const to = warps + place.self / 32 * kPart;
      to[0] = part.max, to[1] = part.others, to[2] = part.tilt, to[3] = part.gap, to[4] = part.mass;
    }
    block_barrier();
    for (int w = 1; place.self == 0 && w < G / 32; ++w) {
      const double* const from = warps + w * kPart;
      merge<T>(part, {from[0], from[1], from[2], from[3], from[4]});
    }
  }
  if (place.self != 0 || !place.active) return;

  const double nan = not_a_number();
  const auto z_of = [&](int64_t c) { return logit(a, (T)widen(place.x[c * a.logits.class_stride])); };
  const bool here = choice.kept && choice.y >= 0;
  const T target = here ? z_of(choice.y) - (T)part.max : (T)0;
  const double e = here ? (double)exp(target) : 0;
  if (tilted && e != 0) part.tilt -= e * (double)target;
  const OutputTerms<double> t =
      row_outputs<double>(part.max, part.others, (double)target, e, part.tilt, part.gap, part.mass);
  const auto put = [&](void* to, int64_t at, double value) {
    if (to) store_one((T*)to + at, (T)(!choice.kept ? 0 : choice.bad ? nan : value));
  };
  put(o.state, row, part.max);
  put(o.state, a.rows + row, part.others);
  put(o.entropy, row, t.entropy);
  put(o.lse, row, t.lse);
  put(o.spread, row, t.spread);
  for (int64_t k = 0; o.logprob && k < o.targets; ++k) {
    const int64_t at = row * o.targets + k, c = class_of(o, at);
    double value = -infinity<double>();
    if (o.target[at] == a.ignore_index) {
      value = 0;
    } else if (c == choice.y && c >= 0) {
      value = o.part ? (double)target : t.logprob;
    } else if (c >= 0) {
      value = (double)z_of(c) - part.max - (o.part ? 0 : t.log_sum);
    }
    if (o.target[at] == a.ignore_index) {
      store_one((T*)o.logprob + at, (T)0);
    } else {
      put(o.logprob, at, value);
    }
  }
}

// What a row's threads need to write its gradient.
template <class T>
struct Factors {
  T max, level, slope, at_target, offset;
};

template <class S, int G, int V, bool tilted, bool extras>
FASTLOSS_KERNEL(outputs_threads(G), 1)
outputs_backward(const OutputsLaunch l) {
  using T = typename Compute<S>::type;
  constexpr int B = V == 1 || extras ? 1 : 2;
  const OutputsArgs& o = l.args;
  const RowsArgs& a = o.rows;
  const Place<S, G, V> place(a);
  const int64_t row = place.row;
  Choice choice = place.active ? choose<S>(o, row, place.x) : Choice{-1, false, false};
  if (choice.bad) choice.kept = false;
  Factors<T>* const shared = (Factors<T>*)shared_memory() + thread() / G;
  const auto at = [](const void* p, int64_t i) { return p ? (double)((const T*)p)[i] : 0; };
  if (place.self == 0 && choice.kept) {
    double own = 0, rest = 0;
    for (int64_t k = 0; k < o.targets; ++k) {
      const int64_t which = row * o.targets + k;
      if (o.target[which] == a.ignore_index) continue;
      const int64_t c = class_of(o, which);
      (c >= 0 && c == choice.y ? own : rest) += at(o.of_logprob, which);
    }
    const OutputGradients<double> g{own, rest, at(o.of_entropy, row), at(o.of_lse, row), at(o.of_spread, row)};
    const T max = ((const T*)o.state)[row];
    const bool here = choice.y >= 0;
    const T target = here ? logit(a, (T)widen(place.x[choice.y * a.logits.class_stride])) - max : (T)0;
    const OutputFactors<double> f =
        row_factors<double>(g, at(o.state, a.rows + row), (double)target, here ? (double)exp(target) : 0,
                            at(o.entropy, row), upstream_of_logits<double>(a, 1.0));
    *shared = {max, (T)f.level, (T)f.slope, (T)f.at_target, (T)f.offset};
  }
  block_barrier();
  if (!place.active) return;
  const Factors<T> f = choice.kept ? *shared : Factors<T>{};
  S* const g = (S*)a.gradient.data + offset_of(a, a.gradient, row);
  const bool spread = extras && o.of_spread;
  place.template visit<B>([&](int64_t c, T(&x)[V]) {
    T v[V], cap[V];
    FASTLOSS_UNROLL
    for (int k = 0; k < V; ++k) {
      cap[k] = 1;
      T z = x[k], slope;
      if (extras && place.has(c + k)) z = logit<T>(a, x[k], slope);
      if (extras && has_slope(a) && place.has(c + k)) cap[k] = slope;
      const T d = z - f.max;
      v[k] = exp_of<S>(d) * (tilted ? f.level + f.slope * no_lower(d) : f.level);
      if (spread && place.has(c + k)) v[k] -= f.offset * ((const T*)a.weight)[c + k];
      if (extras) v[k] *= cap[k];
      if (!choice.kept) v[k] = 0;
    }
    for (int64_t t = 0; choice.kept && t < o.targets; ++t) {
      const int64_t y = class_of(o, row * o.targets + t);
      if (y < c || y >= c + V || y < 0) continue;
      const bool chosen = y == choice.y;
      const T there = chosen ? f.at_target - (spread ? f.offset * ((const T*)a.weight)[y] : (T)0)
                             : (T)upstream_of_logits<double>(a, at(o.of_logprob, row * o.targets + t));
      FASTLOSS_UNROLL
      for (int k = 0; k < V; ++k) {
        if (c + k == y) v[k] = (chosen ? (T)0 : v[k]) + there * cap[k];
      }
    }
    if (V > 1 && c >= 0 && c + V <= a.classes) {
      store_pack_global<V>(g + c, narrow_pack<S>(v));
    } else {
      FASTLOSS_UNROLL
      for (int k = 0; k < V; ++k) {
        if (place.has(c + k)) store_one(g + (c + k) * a.gradient.class_stride, narrow<S>(v[k]));
      }
    }
  });
}

template <class S, int G, int V, bool tilted, bool extras>
int run_kernel(const OutputsLaunch& l, Stream stream) {
  using T = typename Compute<S>::type;
  constexpr int threads = outputs_threads(G);
  if (l.args.rows.gradient.data) {
    const int shared = threads / G * (int)sizeof(Factors<T>);
    return launch(&outputs_backward<S, G, V, tilted, extras>, Grid{l.blocks, threads, shared, 1}, stream, l);
  }
  const int shared = G > 32 ? kMaxWarps * kPart * (int)sizeof(double) : 0;
  return launch(&outputs_forward<S, G, V, tilted, extras>, Grid{l.blocks, threads, shared, 1}, stream, l);
}

template <class S, int G, int V>
int run_group(const OutputsLaunch& l, Stream stream) {
  const OutputsArgs& o = l.args;
  const bool writes = o.rows.gradient.data, tilted = writes ? o.of_entropy : o.entropy;
  const bool extras = !as_stored(o.rows) || (writes ? (bool)o.of_spread : (bool)o.spread);
  if (extras) return tilted ? run_kernel<S, G, V, true, true>(l, stream) : run_kernel<S, G, V, false, true>(l, stream);
  return tilted ? run_kernel<S, G, V, true, false>(l, stream) : run_kernel<S, G, V, false, false>(l, stream);
}

template <class S>
int run_outputs_of(const OutputsLaunch& l, Stream stream) {
  constexpr int V = 16 / sizeof(S);
  if (l.group == 1) return run_group<S, 1, 1>(l, stream);
  if (l.group == 32) return l.vectors ? run_group<S, 32, V>(l, stream) : run_group<S, 32, 1>(l, stream);
  return l.vectors ? run_group<S, 512, V>(l, stream) : run_group<S, 512, 1>(l, stream);
}

}  // namespace

template <>
int run_outputs<DType::FASTLOSS_DTYPE>(const OutputsLaunch& launch, void* stream) {
  return run_outputs_of<FASTLOSS_STORED>(launch, (Stream)stream);
}

}  // namespace fastloss::cuda
