#pragma once

// The pointwise engine on the CPU: value, sum and gradients of Note [Pointwise] in one pass, 2R + W.
//
// `general` takes blocks that stay in L1: operands of any layout and stored type, each of its own, are brought to dense
// values of the computing type, the loss evaluates them, and weight, mask, upstream gradient, statistics and the way back
// follow. Only the evaluation knows the loss, so this is compiled once per computing type. For the training step of dense float and
// bfloat16 tensors a loss brings a fused loop of its own, `whole_blocks`, which spares the way through L1; float16 makes
// its gradient in backward, and double does not repay the compile time of one more loop per loss.

#include "simd/stored.h"
#include "engines/elements/block.h"

namespace fastloss::FASTLOSS_ISA {
namespace {

// Calls f(position in the block, length, offset) for each run of the elements [first, first + n) that are adjacent in
// the innermost dimension.
template <class Run>
FASTLOSS_FN void for_runs(const PointArgs& a, const PointView& view, int64_t first, int n, Run run) {
  const int inner = a.dims - 1;
  int64_t index[kMaxPointDims], offset = 0;
  for (int d = inner; d >= 0; --d) {
    index[d] = first % a.size[d];
    first /= a.size[d];
    offset += index[d] * view.stride[d];
  }
  for (int i = 0; i < n;) {
    const int64_t left = a.size[inner] - index[inner];
    const int length = left < n - i ? (int)left : n - i;
    run(i, length, offset);
    i += length;
    index[inner] += length;
    offset += length * view.stride[inner];
    for (int d = inner; d > 0 && index[d] == a.size[d]; --d) {
      offset += view.stride[d - 1] - index[d] * view.stride[d];
      index[d] = 0;
      ++index[d - 1];
    }
  }
}

template <class E>
void gather(const PointArgs& a, const PointView& view, int64_t first, int n, E* to) {
  const int64_t step = view.stride[a.dims - 1];
  for_runs(a, view, first, n, [&](int i, int length, int64_t offset) {
    const E* from = (const E*)view.data + offset;
    if (step == 1) {
      memcpy(to + i, from, length * sizeof(E));
    } else if (step == 0) {
      const E value = *from;
      for (int j = 0; j < length; ++j) to[i + j] = value;
    } else {
      for (int j = 0; j < length; ++j) to[i + j] = from[j * step];
    }
  });
}

template <class E>
void scatter(const PointArgs& a, const PointView& view, int64_t first, int n, const E* from) {
  const int64_t step = view.stride[a.dims - 1];
  for_runs(a, view, first, n, [&](int i, int length, int64_t offset) {
    E* to = (E*)view.data + offset;
    for (int j = 0; j < length; ++j) to[j * step] = from[i + j];
  });
}

// A block of a tensor as dense values of the computing type T: where it lies, or in `staging`.
template <class T>
const T* read_block(const PointArgs& a, const PointView& view, int64_t first, int n, T* staging) {
  return with_element(view.type, [&](auto e) -> const T* {
    using E = decltype(e);
    const E* from = (const E*)view.data + first;
    if constexpr (std::is_same_v<E, T>) {
      if (view.flat) return from;
      gather(a, view, first, n, staging);
    } else {
      E stored[kBlock];
      if (!view.flat) {
        gather(a, view, first, n, stored);
        from = stored;
      }
      convert_elements(from, n, staging);
    }
    return staging;
  });
}

// The way back.
template <class T>
void write_block(const PointArgs& a, const PointView& view, int64_t first, int n, const T* values) {
  with_floating(view.type, [&](auto e) {
    using E = decltype(e);
    E stored[kBlock];
    convert_elements(values, n, view.flat ? (E*)view.data + first : stored);
    if (!view.flat) scatter(a, view, first, n, stored);
  });
}

// One component of a tensor whose elements have several.
inline PointView component_of(const PointView& view, int c) {
  PointView one = view;
  one.data = (char*)view.data + c * view.component * bytes_of(view.type);
  one.flat = false;
  return one;
}

// The components of a block of an operand as dense values, each where it lies or in its `staging`. Dense fours are separated
// in registers, what else there is one component at a time.
template <class T>
void read_components(const PointArgs& a, const PointView& view, int64_t first, int n, T (*staging)[kBlock],
                     const T** found) {
  const int components = a.components;
  if (components == 1) {
    *found = read_block(a, view, first, n, *staging);
  } else if (components == 4 && view.flat) {
    T fours[4 * kBlock];
    with_element(view.type, [&](auto e) { convert_elements((const decltype(e)*)view.data + 4 * first, 4 * n, fours); });
    for (int i = 0; i < n; i += Vec<T>::size) {
      Vec<T> v[4];
      load_fours(fours + 4 * i, v);
      for (int c = 0; c < 4; ++c) store(staging[c] + i, v[c]);
    }
    for (int c = 0; c < 4; ++c) found[c] = staging[c];
  } else {
    for (int c = 0; c < components; ++c) found[c] = read_block(a, component_of(view, c), first, n, staging[c]);
  }
}

// The way back.
template <class T>
void write_components(const PointArgs& a, const PointView& view, int64_t first, int n, const T (*values)[kBlock]) {
  const int components = a.components;
  if (components == 1) {
    write_block(a, view, first, n, *values);
  } else if (components == 4 && view.flat) {
    T fours[4 * kBlock];
    for (int i = 0; i < n; i += Vec<T>::size) {
      Vec<T> v[4];
      mix_fours(load(values[0] + i), load(values[1] + i), load(values[2] + i), load(values[3] + i), v);
      for (int c = 0; c < 4; ++c) store(fours + 4 * i + c * Vec<T>::size, v[c]);
    }
    with_floating(view.type, [&](auto e) { convert_elements(fours, 4 * n, (decltype(e)*)view.data + 4 * first); });
  } else {
    for (int c = 0; c < components; ++c) write_block(a, component_of(view, c), first, n, values[c]);
  }
}

template <class T>
void general(const PointArgs& a, int64_t first, int64_t last, const PointwiseFormula& formula, PointSums* out) {
  using V = Vec<T>;
  constexpr int W = V::size;
  const int arity = formula.arity, components = formula.components, values = arity * components;
  alignas(64) T operands[kMaxValues][kBlock], gradients[kMaxValues][kBlock], losses[kBlock], outside[kBlock];
  alignas(64) T weights[kBlock], upstreams[kBlock];
  Flag mask[kBlock + W];
  TaskSums<T> sums;
  PointBlock<T> block;
  block.loss = losses;
  block.outside = outside;
  for (int v = 0; v < values; ++v) {
    const int k = v / components;
    block.gradient[v] = a.gradient[k].data || (a.want_stats && k == 0) ? gradients[v] : nullptr;
  }
  for (int64_t b = first; b < last; b += kBlock) {
    const int n = block.n = last - b < kBlock ? (int)(last - b) : kBlock;
    for (int k = 0, v = 0; k < arity; ++k, v += components) {
      read_components(a, a.operand[k], b, n, operands + v, block.operand + v);
    }
    if constexpr (sizeof(T) == sizeof(double)) {
      formula.block_f64(a.params, block);
    } else {
      formula.block_f32(a.params, block);
    }

    const T *weight = nullptr, *upstream = nullptr;
    if (a.weight.data) weight = read_block(a, a.weight, b, n, weights);
    if (a.upstream.data) upstream = read_block(a, a.upstream, b, n, upstreams);
    if (a.mask.data) gather(a, a.mask, b, n, mask);
    const int grouped = n / (4 * W) * (4 * W);
#pragma GCC unroll 1
    for (int i = 0; i < n; i += W) {
      const int left = n - i;
      Mask<T> kept = first_lanes<T>(left < W ? left : W);
      if (a.mask.data) kept = kept & load_mask<T>(mask + i);
      V loss = load(losses + i), factor((T)a.scale);
      if (weight) {
        const V w = left < W ? load_partial(weight + i, left, (T)0) : load(weight + i);
        loss = loss * w;
        factor = factor * w;
      }
      if (upstream) factor = factor * (left < W ? load_partial(upstream + i, left, (T)0) : load(upstream + i));
      loss = keep_where(kept, loss);
      store(losses + i, loss);
      V& sum = sums.block[i < grouped ? i / W % 4 : 0];
      sum = sum + loss;
      if (formula.checked) sums.outside = max(sums.outside, keep_where(kept, load(outside + i)));
      for (int v = 0; v < values; ++v) {
        if (!block.gradient[v]) continue;
        const V slope = keep_where(kept, load(gradients[v] + i) * factor);
        store(gradients[v] + i, slope);
        if (a.want_stats && v < components) sums.square = sums.square + widen(slope) * widen(slope);
      }
    }
    sums.end_block();
    for (int k = 0; k < arity; ++k) {
      if (a.gradient[k].data) write_components(a, a.gradient[k], b, n, gradients + k * components);
    }
    if (a.loss.data) write_block(a, a.loss, b, n, losses);
  }
  sums.store_to(out);
}

// Whole blocks and the rest are summed apart, whichever loop takes the former.
template <class S>
void pointwise(const PointArgs& a, int64_t begin, int64_t end, const PointwiseFormula& formula) {
  using T = typename Compute<S>::type;
  PointwiseBlocks fused = nullptr;
  if (a.plain && a.gradient[0].data) {
    if constexpr (sizeof(S) == sizeof(float)) fused = formula.whole_blocks_f32;
    if constexpr (is_bfloat16<S>) fused = formula.whole_blocks_bf16;
  }
  for (int64_t task = begin; task < end; ++task) {
    const int64_t first = task * a.task_elements;
    const int64_t last = first + a.task_elements < a.elements ? first + a.task_elements : a.elements;
    const int64_t whole = first + (last - first) / kBlock * kBlock;
    PointSums blocks{}, rest{};
    if (whole > first) fused ? fused(a, first, whole, &blocks) : general<T>(a, first, whole, formula, &blocks);
    if (last > whole) general<T>(a, whole, last, formula, &rest);
    a.sums[task] = {blocks.loss + rest.loss, blocks.gradient_square + rest.gradient_square,
                    blocks.outside || rest.outside};
  }
}

}  // namespace
}  // namespace fastloss::FASTLOSS_ISA
