// The elements engine on CUDA: value, sum and gradients of Note [Pointwise] in one pass, 2R + W. See csrc/README.md,
// "CUDA", for traffic and occupancy.
//
// Note [Points]
// A block takes a run of adjacent elements whose length follows from their number alone (`plan_points`), tile by tile.
//   plain: dense tensors that start at 16 bytes, at most the first gradient; a sum, or in an instance of its own losses and
//       upstream gradients per element. All vectors of a tile are on their way
//       before the first is used. By Little's law a multiprocessor of an H200 (4.8 TB/s over 132 of them, at 800 ns)
//       needs 29 KB of traffic under way, 19 KB of it reads; 4 blocks of 256 threads with 2 vectors of 2 operands
//       each have 64 KiB. Elements of several components are as many as fill a vector, at least one.
//   general: everything else, one element per thread at a time, neighbouring threads at neighbouring elements, which
//       needs no alignment and reads whole sectors wherever the innermost dimension is dense. 4 elements are under
//       way in each thread, or one of several components. Tensors of several types are read and written by the type that
//       each one's view names.
// What is outside the tile's end is computed on zeros and dropped, as on the CPU.
//
// Sums. A thread adds the elements of a tile (at most 16) in the computing type, everything after that in double, in an
// order that follows from the number of elements: same bits every run, on every device.
//
// Offsets. A block's first element is found with 64 bits; within it 32 suffice, and the plain kernel uses no others.
//
// Caches. Operands are read once: they are the first to leave L2, so that the gradient, which the next kernel reads,
// can stay there.
//
// Domain. An element outside the domain of its loss makes that NaN and has gradient zero, like a class index out of range
// (Note [Bad targets] in softmax/cuda.cu).

#include "core/compute.h"
#include "engines/elements/contract.h"
#include "device/block.h"
#include "device/number.h"
#include "device/stored.h"
#include "engines/elements/cuda.h"
#include "losses/functors.h"

namespace fastloss::cuda {
namespace {

constexpr int kPointScratch = kPointThreads / 32 * (int)sizeof(double);

// Of an element that is stored as an S.
template <class S, class F, class T>
FASTLOSS_DEVICE PointEval<T, kValues<F>> evaluate(const F& f, const T (&values)[kValues<F>]) {
  using V = typename NumberOf<S>::type;
  V x[kValues<F>];
  FASTLOSS_UNROLL
  for (int k = 0; k < kValues<F>; ++k) x[k] = V(values[k]);
  const PointEval<V, kValues<F>> e = evaluate_point(f, x);
  PointEval<T, kValues<F>> r{(T)e.loss, {}};
  FASTLOSS_UNROLL
  for (int k = 0; k < kValues<F>; ++k) r.grad[k] = (T)e.grad[k];
  if constexpr (F::checked) {
    if ((T)outside_domain(f, x) != 0) {
      r.loss = (T)__builtin_nanf("");
      for (T& g : r.grad) g = 0;
    }
  }
  return r;
}

// Elements of the block.
FASTLOSS_DEVICE int length(const PointLaunch& l, int64_t begin) {
  return l.args.elements - begin < l.block_elements ? (int)(l.args.elements - begin) : l.block_elements;
}

// -------------------------------------------------------------------------------------------------------- plain

// V values at 16 bytes, stored as E, of which `there` exist.
template <class E, class T, int V>
FASTLOSS_DEVICE void read_values(const E* p, int there, T (&to)[V]) {
  constexpr int N = 16 / sizeof(E) < V ? 16 / sizeof(E) : V;
  FASTLOSS_UNROLL
  for (int v = 0; v < V; v += N) {
    if (there >= V) {
      T few[N];
      widen_pack(load_pack_once<N>(p + v), few);
      FASTLOSS_UNROLL
      for (int i = 0; i < N; ++i) to[v + i] = few[i];
    } else {
      FASTLOSS_UNROLL
      for (int i = 0; i < N; ++i) to[v + i] = v + i < there ? (T)widen(p[v + i]) : (T)0;
    }
  }
}

template <class E, class T, int V>
FASTLOSS_DEVICE void write_values(E* p, int there, const T (&from)[V]) {
  constexpr int N = 16 / sizeof(E) < V ? 16 / sizeof(E) : V;
  FASTLOSS_UNROLL
  for (int v = 0; v < V; v += N) {
    T few[N];
    FASTLOSS_UNROLL
    for (int i = 0; i < N; ++i) few[i] = from[v + i];
    const Pack<E, N> pack = narrow_pack<E>(few);
    if (there >= V) {
      store_pack<N>(p + v, pack);
    } else {
      FASTLOSS_UNROLL
      for (int i = 0; i < N; ++i) {
        if (v + i < there) store_one(p + v + i, pack.v[i]);
      }
    }
  }
}

// Blocks that a multiprocessor is to hold: as many as do without spills.
constexpr int point_blocks(int size, int values, bool each) {
  return values > 3 || (values == 3 && each) ? 2 : values == 3 || each || size == 8 ? 3 : 4;
}

// With `each`, losses are written and upstream gradients read per element, where they are given.
template <class S, template <class> class Loss, bool each>
FASTLOSS_KERNEL(kPointThreads, point_blocks(sizeof(S), kValues<Loss<float>>, each))
points_plain(const PointLaunch l, const Loss<typename Compute<S>::type> f) {
  using T = typename Compute<S>::type;
  constexpr int U = kPlainVectors, A = Loss<T>::arity, K = kComponents<Loss<T>>;
  constexpr int V = 16 / sizeof(S), E = plain_elements(sizeof(S), K), P = E * K / V;  // P vectors have E elements
  constexpr int kTile = kPointThreads * U * E, kAdded = E < 4 ? E : 4;
  double factor;
  if (!find_factor(l, l.args.scale, factor)) return;
  const T scale = (T)factor;
  const int64_t begin = block() * l.block_elements;
  const int n = length(l, begin);
  const S* x[A];
  FASTLOSS_UNROLL
  for (int k = 0; k < A; ++k) x[k] = (const S*)l.args.operand[k].data + begin * K;
  S* const g = l.args.gradient[0].data ? (S*)l.args.gradient[0].data + begin * K : nullptr;
  const PointView &loss = l.args.loss, &upstream = l.args.upstream;
  double sum = 0;
  for (int tile = 0; tile < n; tile += kTile) {
    const bool whole = tile + kTile <= n;
    const int first = tile + thread() * E;
    Pack<S, V> in[U][A][P];
    if (whole) {
      FASTLOSS_UNROLL
      for (int u = 0; u < U; ++u) {
        FASTLOSS_UNROLL
        for (int k = 0; k < A; ++k) {
          FASTLOSS_UNROLL
          for (int p = 0; p < P; ++p) {
            in[u][k][p] = load_pack_once<V>(x[k] + (first + u * kPointThreads * E) * K + p * V);
          }
        }
      }
    } else {
      FASTLOSS_UNROLL
      for (int u = 0; u < U; ++u) {
        FASTLOSS_UNROLL
        for (int v = 0; v < E * K; ++v) {
          const int i = (first + u * kPointThreads * E) * K + v;
          FASTLOSS_UNROLL
          for (int k = 0; k < A; ++k) in[u][k][v / V].v[v % V] = i < n * K ? x[k][i] : narrow<S>((T)0);
        }
      }
    }
    T factors[U][E];
    if (each && upstream.data) {
      FASTLOSS_UNROLL
      for (int u = 0; u < U; ++u) {
        const int start = first + u * kPointThreads * E, there = whole ? E : n - start;
        if (upstream.wide) {
          read_values((const T*)upstream.data + begin + start, there, factors[u]);
        } else {
          read_values((const S*)upstream.data + begin + start, there, factors[u]);
        }
      }
    }
    T part = 0;
    FASTLOSS_UNROLL
    for (int u = 0; u < U; ++u) {
      const int start = first + u * kPointThreads * E;
      const int there = whole ? E : n - start;
      T slopes[E * K], losses[E], wide[A][P][V];
      FASTLOSS_UNROLL
      for (int k = 0; k < A; ++k) {
        FASTLOSS_UNROLL
        for (int p = 0; p < P; ++p) widen_pack(in[u][k][p], wide[k][p]);
      }
      FASTLOSS_UNROLL
      for (int v = 0; v < E; ++v) {
        T values[A * K];
        FASTLOSS_UNROLL
        for (int j = 0; j < A * K; ++j) {
          const int at = v * K + j % K;
          values[j] = wide[j / K][at / V][at % V];
        }
        const PointEval<T, A * K> r = evaluate<S>(f, values);
        losses[v] = r.loss;
        FASTLOSS_UNROLL
        for (int c = 0; c < K; ++c) {
          slopes[v * K + c] = r.grad[c] * (each && upstream.data ? scale * factors[u][v] : scale);
        }
        if ((v + 1) % kAdded) continue;
        if (whole) {  // one question for a few elements
          FASTLOSS_UNROLL
          for (int j = v + 1 - kAdded; j <= v; ++j) part += losses[j];
        } else {
          FASTLOSS_UNROLL
          for (int j = v + 1 - kAdded; j <= v; ++j) part += j < there ? losses[j] : (T)0;
        }
      }
      if (g) write_values(g + start * K, there * K, slopes);
      if (!each || !loss.data) continue;
      if (loss.wide) {
        write_values((T*)loss.data + begin + start, there, losses);
      } else {
        write_values((S*)loss.data + begin + start, there, losses);
      }
    }
    sum += (double)part;
  }
  write_sums<kPointThreads>(l.sums, false, sum, 0);
}

// ------------------------------------------------------------------------------------------------------ general

// Divides `e` by `size`, in 32 bits where that holds (a fifth of the instructions); returns the rest.
FASTLOSS_DEVICE int64_t divide(int64_t& e, int64_t size) {
  const int64_t whole =
      (((uint64_t)e | (uint64_t)size) >> 32) == 0 ? (int64_t)((uint32_t)e / (uint32_t)size) : e / size;
  const int64_t rest = e - whole * size;
  e = whole;
  return rest;
}

// Where element `e` is in each of these tensors.
template <int components, int N>
FASTLOSS_DEVICE void locate(const PointLaunch& l, const PointView* const (&views)[N], int64_t e, int64_t (&at)[N]) {
  FASTLOSS_UNROLL
  for (int k = 0; k < N; ++k) at[k] = components == 1 && l.flat ? e : 0;
  if (components == 1 && l.flat) return;
  for (int d = l.args.dims - 1; d >= 0; --d) {
    const int64_t index = d == 0 ? e : divide(e, l.args.size[d]);
    FASTLOSS_UNROLL
    for (int k = 0; k < N; ++k) at[k] += index * views[k]->stride[d];
  }
}

// Of an element that is stored as an S, or if `wide` as a T: its value. With `mixed` its bits, whatever it is stored as.
template <class S, bool mixed, class T>
FASTLOSS_DEVICE T read_one(const PointView& view, int64_t at, bool wide) {
  if constexpr (mixed) return load_bits<T>(view.type, view.data, at);
  return wide ? ((const T*)view.data)[at] : (T)widen(((const S*)view.data)[at]);
}
template <class S, bool mixed, class T>
FASTLOSS_DEVICE void write_one(const PointView& view, int64_t at, T value, bool wide) {
  if constexpr (mixed) {
    store_number(view.type, view.data, at, value);
  } else if (wide) {
    store_one((T*)view.data + at, value);
  } else {
    store_one((S*)view.data + at, narrow<S>(value));
  }
}

// Values and results of the elements that a thread holds: A operands of K components each.
template <class T, int A, int K>
struct Held {
  T value[general_elements(K)][A * K];
  T loss[general_elements(K)];
  T grad[general_elements(K)][A * K];
};

// Operands of the kernel that takes a loss.
template <class F>
constexpr int general_arity = kComponents<F> == 1 && F::arity <= 3 ? 3 : F::arity;

template <class S, class F, class T, int A, int K>
FASTLOSS_DEVICE void evaluate_held(const PointLaunch& l, Held<T, A, K>& h) {
  if constexpr (general_arity<F> == A && kComponents<F> == K) {
    constexpr int N = kValues<F>;
    const F& f = *(const F*)l.functor;
    FASTLOSS_UNROLL
    for (int u = 0; u < general_elements(K); ++u) {
      T x[N];
      FASTLOSS_UNROLL
      for (int k = 0; k < N; ++k) x[k] = h.value[u][k];
      const PointEval<T, N> r = evaluate<S>(f, x);
      h.loss[u] = r.loss;
      FASTLOSS_UNROLL
      for (int k = 0; k < A * K; ++k) h.grad[u][k] = k < N ? r.grad[k < N ? k : 0] : (T)0;
    }
  }
}

// One kernel for all losses of a stored type: with one per loss a dtype took 18 s to compile for one architecture
// instead of 5, before plain kernels had a second instance. And one for all mixes of types that compute in S. Losses of more
// operands, or of components, have others, whose registers these need not share.
template <class S, int A, int K, bool mixed>
FASTLOSS_KERNEL(kPointThreads, 2)
points_general(const PointLaunch l, const int loss_index) {
  using T = typename Compute<S>::type;
  constexpr int U = general_elements(K);
  const PointArgs& a = l.args;
  double factor;
  if (!find_factor(l, l.args.scale, factor)) return;
  const T scale = (T)factor;
  const int64_t begin = block() * l.block_elements;
  const int n = length(l, begin);
  const PointView *reads[A + 3], *writes[A + 1];
  FASTLOSS_UNROLL
  for (int k = 0; k < A; ++k) reads[k] = &a.operand[k], writes[k] = &a.gradient[k];
  reads[A] = &a.weight, reads[A + 1] = &a.mask, reads[A + 2] = &a.upstream;
  writes[A] = &a.loss;
  bool outgrown = false;  // whether a tensor is of int64, which fits no float
  FASTLOSS_UNROLL
  for (int k = 1; k <= A; ++k) outgrown = outgrown || outgrows<T>(reads[k]->type);
  double sum = 0, square = 0;
  for (int tile = 0; tile < n; tile += kPointThreads * U) {
    Held<T, A, K> h;
    T weight[U], upstream[U];
    bool kept[U];
    FASTLOSS_UNROLL
    for (int u = 0; u < U; ++u) {
      const int i = tile + u * kPointThreads + thread();
      FASTLOSS_UNROLL
      for (int k = 0; k < A * K; ++k) h.value[u][k] = 0;
      weight[u] = upstream[u] = 1;
      kept[u] = i < n;
      if (!kept[u]) continue;
      int64_t at[A + 3];
      locate<K>(l, reads, begin + i, at);
      FASTLOSS_UNROLL
      for (int k = 0; k < A; ++k) {
        if (!a.operand[k].data) continue;
        FASTLOSS_UNROLL
        for (int c = 0; c < K; ++c) {
          const int64_t there = at[k] + c * (K > 1 ? a.operand[k].component : 0);
          h.value[u][k * K + c] = read_one<S, mixed, T>(a.operand[k], there, false);
        }
      }
      if (a.weight.data) weight[u] = read_one<S, mixed, T>(a.weight, at[A], false);
      if (a.mask.data) kept[u] = ((const uint8_t*)a.mask.data)[at[A + 1]];
      if (a.upstream.data) upstream[u] = read_one<S, mixed, T>(a.upstream, at[A + 2], a.upstream.wide);
      if (mixed && FASTLOSS_UNLIKELY(outgrown)) {
        FASTLOSS_UNROLL
        for (int k = 1; k < A; ++k) {
          if (!outgrows<T>(a.operand[k].type)) continue;
          FASTLOSS_UNROLL
          for (int c = 0; c < K; ++c) {
            const int64_t there = at[k] + c * (K > 1 ? a.operand[k].component : 0);
            h.value[u][k * K + c] = load_outgrown<T>(a.operand[k].data, there);
          }
        }
        if (outgrows<T>(a.weight.type)) weight[u] = load_outgrown<T>(a.weight.data, at[A]);
      }
    }
    if constexpr (mixed) {
      const auto convert = [&](const PointView& view, const auto& value) {
        if (view.data) convert_bits<U, T>(view.type, value);
      };
      FASTLOSS_UNROLL
      for (int k = 0; k < A * K; ++k) convert(a.operand[k / K], [&](int u) -> T& { return h.value[u][k]; });
      convert(a.weight, [&](int u) -> T& { return weight[u]; });
      convert(a.upstream, [&](int u) -> T& { return upstream[u]; });
    }
    switch (loss_index) {
#define FASTLOSS_EVALUATE(name, Functor, params) \
  case k_##name:                                 \
    evaluate_held<S, Functor<T>>(l, h);          \
    break;
      FASTLOSS_POINTWISE_LOSSES(FASTLOSS_EVALUATE)
#undef FASTLOSS_EVALUATE
    }
    T part = 0;
    FASTLOSS_UNROLL
    for (int u = 0; u < U; ++u) {
      const int i = tile + u * kPointThreads + thread();
      if (i >= n) continue;
      const T loss = kept[u] ? h.loss[u] * weight[u] : (T)0, c = scale * weight[u] * upstream[u];
      part += loss;
      int64_t at[A + 1];
      locate<K>(l, writes, begin + i, at);
      FASTLOSS_UNROLL
      for (int k = 0; k < A; ++k) {
        FASTLOSS_UNROLL
        for (int j = 0; j < K; ++j) {
          const T slope = kept[u] ? h.grad[u][k * K + j] * c : (T)0;
          const int64_t there = at[k] + j * (K > 1 ? a.gradient[k].component : 0);
          if (a.gradient[k].data) write_one<S, mixed>(a.gradient[k], there, slope, false);
          if (k == 0) square += (double)slope * (double)slope;
        }
      }
      if (a.loss.data) write_one<S, mixed>(a.loss, at[A], loss, a.loss.wide);
    }
    sum += (double)part;
  }
  write_sums<kPointThreads>(l.sums, l.args.want_stats, sum, square);
}

// --------------------------------------------------------------------------------------------------------- dispatch

template <class S, template <class> class Loss>
int run_loss(PointLaunch& l, int loss, const Grid& grid, Stream stream) {
  using F = Loss<typename Compute<S>::type>;
  const F f(l.args.params);  // made once, on the host
  static_assert(sizeof(F) <= sizeof(l.functor), "make room in PointLaunch");
  if (l.vectors) {
    const bool each = l.args.loss.data || l.args.upstream.data;
    return launch(each ? &points_plain<S, Loss, true> : &points_plain<S, Loss, false>, grid, stream, l, f);
  }
  memcpy(l.functor, (const void*)&f, sizeof(F));
  constexpr int A = general_arity<F>, K = kComponents<F>;
  if constexpr (std::is_same_v<S, typename Compute<S>::type>) {
    if (l.mixed) return launch(&points_general<S, A, K, true>, grid, stream, l, loss);
  }
  return launch(&points_general<S, A, K, false>, grid, stream, l, loss);
}

template <class S>
int run(PointLaunch l, int loss, void* stream) {
  const Grid grid{l.blocks, kPointThreads, kPointScratch, 1};
  switch (loss) {
#define FASTLOSS_RUN(name, Functor, params) \
  case k_##name:                            \
    return run_loss<S, Functor>(l, loss, grid, (Stream)stream);
    FASTLOSS_POINTWISE_LOSSES(FASTLOSS_RUN)
#undef FASTLOSS_RUN
  }
  return 1;
}

}  // namespace

template <>
int run_points<DType::FASTLOSS_DTYPE>(int loss, const PointLaunch& launch, void* stream) {
  return run<FASTLOSS_STORED>(launch, loss, stream);
}

}  // namespace fastloss::cuda
