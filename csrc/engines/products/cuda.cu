// The products engine on CUDA: Note [Pairs] in contract.h, a kernel that reads a row for its products and writes its
// gradients. See csrc/README.md, "CUDA", for traffic and occupancy.
//
// Note [Rows of vectors]
// A group of threads takes a row: the fewest of kPairGroups that hold it in registers, at most kPairVectors vectors of each
// operand in a thread. Such a row is read once. Longer rows are read again for the gradient by their block, which finds
// them in L1 or L2; so are rows off 16 bytes, which go element by element, neighbouring threads at neighbouring elements.
// All vectors of a tile (kPairVectors of each thread of a group) are on their way before the first is used.
//
// Sums. A thread adds the products of a tile (at most 32 elements) in the computing type, everything after that in double:
// tiles in their order, the threads of a group as a tree, a block's rows, the blocks. Every thread of a group gets the same
// bits and evaluates the loss for itself.
//
// Offsets. Rows are found with 64 bits, and so are elements of rows that are read twice.
//
// Mixed. Vectors of several types are rows off 16 bytes, read and written by the type that each one's view names.
//
// Far rows (Note [Far rows] in contract.h). A group whose row is far reads it again, element by element, and makes all that
// follows in double. The other rows of its warp keep what they have.

#include "core/compute.h"
#include "engines/products/contract.h"
#include "device/block.h"
#include "device/stored.h"
#include "engines/products/cuda.h"
#include "losses/functors.h"

namespace fastloss::cuda {
namespace {

// Which atoms a functor's products are of, as a value: device code may not index its static arrays.
template <class F>
struct Products {
  int left[F::products], right[F::products];
};
template <class F>
constexpr Products<F> products_of() {
  Products<F> p{};
  for (int k = 0; k < F::products; ++k) p.left[k] = F::left[k], p.right[k] = F::right[k];
  return p;
}

// The vectors of a tile that a thread has: the u-th starts at element `first` + u `step`. Zeros where none does.
template <bool again, class S, int V, int U, int A>
FASTLOSS_DEVICE void load_tile(const S* const (&x)[A], int64_t first, int step, int64_t width, Pack<S, V> (&to)[U][A]) {
  FASTLOSS_UNROLL
  for (int u = 0; u < U; ++u) {
    const int64_t i = first + u * step;
    FASTLOSS_UNROLL
    for (int k = 0; k < A; ++k) {
      to[u][k] = Pack<S, V>{};
      if (i < width) to[u][k] = again ? load_pack<V>(x[k] + i) : load_pack_once<V>(x[k] + i);
    }
  }
}

// The same of vectors of any types, one element at a time.
template <class T, int U, int A>
FASTLOSS_DEVICE void load_mixed_tile(const PairArgs& a, int64_t row, int64_t first, int step, int64_t width,
                                     Pack<T, 1> (&to)[U][A]) {
  bool outgrown = false;
  FASTLOSS_UNROLL
  for (int k = 0; k < A; ++k) outgrown = outgrown || outgrows<T>(a.operand[k].type);
  FASTLOSS_UNROLL
  for (int u = 0; u < U; ++u) {
    const int64_t i = first + u * step;
    FASTLOSS_UNROLL
    for (int k = 0; k < A; ++k) {
      const PairView& view = a.operand[k];
      to[u][k].v[0] = 0;
      if (i < width) to[u][k].v[0] = load_bits<T>(view.type, view.data, row * view.row_stride + i);
    }
    if (!FASTLOSS_UNLIKELY(outgrown)) continue;
    FASTLOSS_UNROLL
    for (int k = 1; k < A; ++k) {
      const PairView& view = a.operand[k];
      if (i < width && outgrows<T>(view.type)) {
        to[u][k].v[0] = load_outgrown<T>(view.data, row * view.row_stride + i);
      }
    }
  }
  FASTLOSS_UNROLL
  for (int k = 0; k < A; ++k) {
    convert_bits<U, T>(a.operand[k].type, [&](int u) -> T& { return to[u][k].v[0]; });
  }
}

// The atoms of one element of a vector.
template <class F, class T, class S, int V>
FASTLOSS_DEVICE void atoms_of(const F& f, const Pack<S, V> (&in)[F::arity], int v, T (&z)[F::atoms]) {
  T x[F::arity];
  FASTLOSS_UNROLL
  for (int k = 0; k < F::arity; ++k) x[k] = widen(in[k].v[v]);
  f.combine(x, z);
}

// Sums over the group, the same in all of its threads. `scratch`: a double per product and warp, not in use.
template <int G, int P>
FASTLOSS_DEVICE void group_sums(double (&s)[P], double* scratch) {
  FASTLOSS_UNROLL
  for (int lanes = (G < 32 ? G : 32) / 2; lanes > 0; lanes /= 2) {
    FASTLOSS_UNROLL
    for (int k = 0; k < P; ++k) s[k] += shuffle_xor(s[k], lanes);
  }
  if constexpr (G > 32) {
    FASTLOSS_UNROLL
    for (int k = 0; k < P; ++k) {
      if (thread() % 32 == 0) scratch[thread() / 32 * P + k] = s[k];
      s[k] = 0;
    }
    block_barrier();
    for (int w = 0; w < G / 32; ++w) {
      FASTLOSS_UNROLL
      for (int k = 0; k < P; ++k) s[k] += scratch[w * P + k];
    }
  }
}

template <class T>
FASTLOSS_DEVICE double value_at(const void* values, int64_t row) {
  return values ? (double)((const T*)values)[row] : 1.0;
}

// Blocks that a multiprocessor is to hold: as many as do without spills.
constexpr int pair_blocks(int size, int group, int arity, bool held) {
  return group == 256 ? 2 : held && size < 8 ? 8 - arity : 7 - arity;
}

// Half cannot reach that far.
template <class S>
constexpr bool kHasFarRows = sizeof(S) < 8 && !std::is_same_v<S, Half>;

template <class S, template <class> class Loss, int V, int G, bool held, bool mixed>
FASTLOSS_KERNEL(pair_threads(G), pair_blocks(sizeof(S), G, Loss<float>::arity, held))
pairs_rows(const PairLaunch l, const Loss<typename Compute<S>::type> f) {
  using T = typename Compute<S>::type;
  using F = Loss<T>;
  constexpr int A = F::arity, P = F::products,
                U = V == 1 ? kPairElements * 4 / (int)sizeof(T)
                    : held ? kPairVectors
                           : kPairVectors / 2,
                kTile = G * U * V;
  constexpr Products<F> products = products_of<F>();
  const PairArgs& a = l.args;
  double scale;
  if (!find_factor(l, a.scale, scale)) return;
  const int64_t row = block() * (pair_threads(G) / G) + thread() / G;
  const bool exists = row < a.rows, kept = exists && !(a.mask && !a.mask[row]);
  const int64_t width = exists ? a.width : 0, read = kept ? width : 0;
  const int first = thread() % G * V;

  const S* x[A];
  FASTLOSS_UNROLL
  for (int k = 0; k < A; ++k) x[k] = (const S*)a.operand[k].data + row * a.operand[k].row_stride;
  Pack<S, V> in[U][A];
  const auto load = [&](auto again, int64_t tile) {
    if constexpr (mixed) {
      load_mixed_tile<T>(a, row, tile + first, G * V, read, in);
    } else {
      load_tile<again.value>(x, tile + first, G * V, read, in);
    }
  };
  double s[P] = {};
  for (int64_t tile = 0; held ? tile == 0 : tile < read; tile += kTile) {
    load(std::bool_constant<!held>{}, tile);
    T part[P] = {};
    FASTLOSS_UNROLL
    for (int u = 0; u < U; ++u) {
      if (tile + first + u * (G * V) >= read) continue;
      FASTLOSS_UNROLL
      for (int v = 0; v < V; ++v) {
        T z[F::atoms];
        atoms_of(f, in[u], v, z);
        FASTLOSS_UNROLL
        for (int k = 0; k < P; ++k) part[k] += z[products.left[k]] * z[products.right[k]];
      }
    }
    FASTLOSS_UNROLL
    for (int k = 0; k < P; ++k) s[k] += (double)part[k];
  }
  group_sums<G>(s, (double*)shared_memory());
  bool far = false;
  const auto far_atoms = [&](int64_t i, double (&z)[F::atoms]) {
    double v[A];
    FASTLOSS_UNROLL
    for (int k = 0; k < A; ++k) {
      const PairView& view = a.operand[k];
      v[k] = mixed ? load_number<T>(view.type, view.data, row * view.row_stride + i) : (T)widen(x[k][i]);
    }
    Loss<double>(a.params).combine(v, z);
  };
  if constexpr (kHasFarRows<S>) {
    FASTLOSS_UNROLL
    for (int k = 0; k < P; ++k) far = far || !(fabs(s[k]) < kFar);
    if (FASTLOSS_UNLIKELY(any_lane(far))) {
      double wide[P] = {};
      FASTLOSS_UNROLL_BY(1)
      for (int64_t i = thread() % G; far && i < read; i += G) {
        double z[F::atoms];
        far_atoms(i, z);
        FASTLOSS_UNROLL
        for (int k = 0; k < P; ++k) wide[k] += z[products.left[k]] * z[products.right[k]];
      }
      if (G > 32) block_barrier();  // the scratch is still read
      group_sums<G>(wide, (double*)shared_memory());
      FASTLOSS_UNROLL
      for (int k = 0; k < P; ++k) s[k] = far ? wide[k] : s[k];
    }
  }

  const PairEval<P> r = f(s, kept ? value_at<T>(a.label, row) : 1.0);
  const double weight = kept ? value_at<T>(a.weight, row) : 0.0, loss = kept ? r.loss * weight : 0.0;
  if (exists && first == 0 && a.loss) store_one((T*)a.loss + row, (T)loss);

  S* out[A];
  bool writes = a.want_stats;
  FASTLOSS_UNROLL
  for (int k = 0; k < A; ++k) {
    out[k] = a.gradient[k].data ? (S*)a.gradient[k].data + row * a.gradient[k].row_stride : nullptr;
    writes = writes || out[k];
  }
  const auto store_at = [&](int k, int64_t i, T value) {
    const PairView& view = a.gradient[k];
    if constexpr (mixed) {
      store_number(view.type, view.data, row * view.row_stride + i, value);
    } else {
      store_one(out[k] + i, narrow<S>(value));
    }
  };
  double square = 0;
  const double factor = writes ? weight * (kept ? value_at<T>(a.upstream, row) : 1.0) * scale : 0;
  if (kHasFarRows<S> && FASTLOSS_UNLIKELY(far && writes)) {
    FASTLOSS_UNROLL_BY(1)
    for (int64_t i = thread() % G; i < width; i += G) {
      double z[F::atoms], h[F::atoms] = {}, g[A];
      far_atoms(i, z);
      FASTLOSS_UNROLL
      for (int k = 0; k < P; ++k) {
        h[products.left[k]] += r.grad[k] * factor * z[products.right[k]];
        h[products.right[k]] += r.grad[k] * factor * z[products.left[k]];
      }
      Loss<double>(a.params).transpose(h, g);
      if (a.want_stats) square += g[0] * g[0];
      FASTLOSS_UNROLL
      for (int k = 0; k < A; ++k) {
        if (out[k]) store_at(k, i, (T)g[k]);
      }
    }
  } else if (writes) {
    if constexpr (held) {
      FASTLOSS_UNROLL
      for (int u = 0; u < U; ++u) {
        FASTLOSS_UNROLL
        for (int k = 0; k < A; ++k) forget_origin(in[u][k]);
      }
    }
    T slope[P];
    FASTLOSS_UNROLL
    for (int k = 0; k < P; ++k) slope[k] = kept ? (T)(r.grad[k] * factor) : (T)0;
    for (int64_t tile = 0; held ? tile == 0 : tile < width; tile += kTile) {
      if (!held) load(std::false_type{}, tile);
      FASTLOSS_UNROLL
      for (int u = 0; u < U; ++u) {
        const int64_t i = tile + first + u * (G * V);
        if (i >= width) continue;
        Pack<S, V> to[A];
        FASTLOSS_UNROLL
        for (int v = 0; v < V; ++v) {
          T z[F::atoms], h[F::atoms] = {}, g[A];
          atoms_of(f, in[u], v, z);
          FASTLOSS_UNROLL
          for (int k = 0; k < P; ++k) {
            h[products.left[k]] += slope[k] * z[products.right[k]];
            h[products.right[k]] += slope[k] * z[products.left[k]];
          }
          f.transpose(h, g);
          if (a.want_stats) square += (double)g[0] * (double)g[0];
          FASTLOSS_UNROLL
          for (int k = 0; k < A; ++k) to[k].v[v] = narrow<S>(g[k]);
        }
        FASTLOSS_UNROLL
        for (int k = 0; k < A; ++k) {
          if (!out[k]) continue;
          if constexpr (mixed) {
            store_at(k, i, to[k].v[0]);
          } else {
            store_pack<V>(out[k] + i, to[k]);
          }
        }
      }
    }
  }
  write_sums<pair_threads(G)>(l.sums, a.want_stats, first == 0 ? loss : 0.0, square);
}

// --------------------------------------------------------------------------------------------------------- dispatch

template <class S, template <class> class Loss, int V, int G, bool held, bool mixed = false>
int run_rows_of(const PairLaunch& l, Stream stream) {
  using F = Loss<typename Compute<S>::type>;
  constexpr int kShared = pair_threads(G) / 32 * F::products * (int)sizeof(double);
  return launch(&pairs_rows<S, Loss, V, G, held, mixed>, Grid{l.blocks, pair_threads(G), kShared, 1}, stream, l,
                F(l.args.params));
}

template <class S, template <class> class Loss, bool mixed>
int run_elements(const PairLaunch& l, Stream stream) {
  return l.group == 2    ? run_rows_of<S, Loss, 1, 2, false, mixed>(l, stream)
         : l.group == 32 ? run_rows_of<S, Loss, 1, 32, false, mixed>(l, stream)
                         : run_rows_of<S, Loss, 1, 256, false, mixed>(l, stream);
}

template <class S, template <class> class Loss>
int run_loss(const PairLaunch& l, Stream stream) {
  constexpr int V = 16 / sizeof(S);
  if constexpr (std::is_same_v<S, typename Compute<S>::type>) {
    if (l.mixed) return run_elements<S, Loss, true>(l, stream);
  }
  if (!l.vectors) return run_elements<S, Loss, false>(l, stream);
  if (!l.held) return run_rows_of<S, Loss, V, 256, false>(l, stream);
  switch (l.group) {
    case 2:
      return run_rows_of<S, Loss, V, 2, true>(l, stream);
    case 8:
      return run_rows_of<S, Loss, V, 8, true>(l, stream);
    case 32:
      return run_rows_of<S, Loss, V, 32, true>(l, stream);
    case 128:
      return run_rows_of<S, Loss, V, 128, true>(l, stream);
    default:
      return run_rows_of<S, Loss, V, 256, true>(l, stream);
  }
}

template <class S>
int run_each(const PairLaunch& l, int loss, void* stream) {
  switch (loss) {
#define FASTLOSS_RUN(name, Functor, params) \
  case k_##name:                            \
    return run_loss<S, Functor>(l, (Stream)stream);
    FASTLOSS_PAIRS_LOSSES(FASTLOSS_RUN)
#undef FASTLOSS_RUN
  }
  return 1;
}

}  // namespace

template <>
int run_pairs<DType::FASTLOSS_DTYPE>(int loss, const PairLaunch& launch, void* stream) {
  return run_each<FASTLOSS_STORED>(launch, loss, stream);
}

}  // namespace fastloss::cuda
