#pragma once

#include <stdint.h>

#include "core/dtype.h"

// The contract between operators.cpp and the kernels of elements, as softmax/args.h is for rows of logits.

namespace fastloss {

constexpr int kMaxPointDims = 8;
constexpr int kMaxOperands = 4;
constexpr int kMaxValues = 8;  // of an element: of all components of all operands

// A tensor of the common shape; strides count stored numbers, 0 where it is expanded.
struct PointView {
  void* data;  // null: absent
  int64_t stride[kMaxPointDims];
  bool flat;  // element i of the iteration is at data + i, its components, if there are several, from there on
  Element type;
  bool
      wide;  // on CUDA, of upstream and loss: of the computing type, else of the stored type; unused where types are mixed
  int64_t component;  // stride of an operand's components
};

// What a task adds up to; summed over tasks in order, so the result does not depend on the threads.
struct PointSums {
  double loss;
  double gradient_square;  // of the first argument's gradient
  bool outside;            // whether an element is outside the loss's domain
};

struct PointArgs {
  int64_t elements;
  int components = 1;     // of an element of an operand
  int64_t task_elements;  // of a CPU task
  int dims;               // collapsed, outermost first
  int64_t size[kMaxPointDims];

  PointView operand[kMaxOperands];
  PointView gradient[kMaxOperands];
  PointView weight;
  PointView mask;  // bool
  PointView upstream;
  PointView loss;  // one value per element

  double scale;  // factor of every gradient: 1 / divisor, times the upstream of a reduced loss
  double params[4];
  PointSums* sums;  // [tasks]
  bool want_stats;
  bool
      plain;  // all flat and of one type, at most the first gradient, no weight, mask, upstream, unreduced loss or statistics
  bool stream;  // gradients are far larger than the caches: bypass them
};

}  // namespace fastloss
