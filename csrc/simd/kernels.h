#pragma once

#include "engines/divergence/args.h"
#include "engines/products/args.h"
#include "engines/elements/args.h"
#include "engines/softmax/args.h"
#include "engines/outputs/args.h"
#include "engines/regions/args.h"
#include "engines/similarity/args.h"
#include "losses/losses.h"

// What the ISA files offer and what they exchange among themselves: an engine per stored type, a formula per loss.

namespace fastloss {

// Turns the first n rows of a RowBatch<T> (engines/softmax/batch.h) into losses and gradient factors; one each for T = float and
// double.
using RowsFormula = void (*)(const RowsArgs&, void* batch, int64_t n);
struct RowsFormulas {
  RowsFormula f32, f64;
};

// Dense values of one block. Results are whole vectors: their arrays hold a whole block.
template <class T>
struct PointBlock {
  int n;
  const T* operand[kMaxValues];  // a component of an operand each
  T* loss;
  T* gradient[kMaxValues];  // null: not wanted
  T* outside;               // written if the loss has a domain: 1 outside it, else 0
};

// Elements [first, last) of a plain call, whole blocks of them.
using PointwiseBlocks = void (*)(const PointArgs&, int64_t first, int64_t last, PointSums*);
struct PointwiseFormula {
  int arity, components;
  bool checked;
  void (*block_f32)(const double* params, const PointBlock<float>&);
  void (*block_f64)(const double* params, const PointBlock<double>&);
  PointwiseBlocks whole_blocks_f32, whole_blocks_bf16;  // null: the loss has no such loop
};

// All run tasks [begin, end).
using RowsKernel = void (*)(const RowsArgs&, int64_t begin, int64_t end, void* scratch, RowsFormula);
using OutputsKernel = void (*)(const OutputsArgs&, int64_t begin, int64_t end, void* scratch);
using RegionsKernel = void (*)(const RegionsArgs&, int64_t begin, int64_t end, void* scratch);
using PointwiseKernel = void (*)(const PointArgs&, int64_t begin, int64_t end, const PointwiseFormula&);
using PairsKernel = void (*)(const PairArgs&, int64_t begin, int64_t end);
using DivergenceKernel = void (*)(const DivergenceArgs&, int64_t begin, int64_t end, void* scratch);
struct DivergenceKernels {
  DivergenceKernel f32, f64;
};
using UnitKernel = void (*)(const UnitArgs&, int64_t begin, int64_t end);
using ScaleKernel = void (*)(void* data, int64_t begin, int64_t end, double factor);

// What the accuracy tests reach of vec_math.h and vec.h, on n packed values: functions of float and of double, and
// conversions with the bytes of a value on either side.
#define FASTLOSS_VECTOR_FUNCTIONS(X) \
  X(atan)                            \
  X(exp)                             \
  X(exp_negative)                    \
  X(exp_logit)                       \
  X(expm1_negative)                  \
  X(log)                             \
  X(log1p)                           \
  X(log1p_unit)                      \
  X(over_one_plus)                   \
  X(tanh)
#define FASTLOSS_CONVERSIONS(X) \
  X(half_to_float, 2, 4)        \
  X(float_to_half, 4, 2)        \
  X(float_to_bfloat16, 4, 2)
#define FASTLOSS_ENUMERATOR(name, ...) name,
enum class VectorFunction : int { FASTLOSS_VECTOR_FUNCTIONS(FASTLOSS_ENUMERATOR) count };
enum class Conversion : int { FASTLOSS_CONVERSIONS(FASTLOSS_ENUMERATOR) count };
#undef FASTLOSS_ENUMERATOR
using ArrayKernel = void (*)(const void* in, void* out, int64_t n);
struct ArrayKernels {
  ArrayKernel f32, f64;
};

// Each runs rows or columns [begin, end). float16 has none: its similarities are made in float32.
struct SimilarityKernels {
  void (*rows)(const TileArgs&, int64_t begin, int64_t end);
  void (*columns)(const TileArgs&, int64_t begin, int64_t end);
  void (*gradient)(const TileArgs&, int64_t begin, int64_t end);
};

// Rows [begin, end) with scratch of a size that mine_scratch says. float and double only.
using MineKernel = void (*)(const TileArgs&, int mining, int64_t begin, int64_t end, void* scratch);
using ListKernel = int64_t (*)(const TileArgs&, int mining, int64_t row, void* scratch, PairShare* pairs);

// n adjacent elements to and from values of the engine's computing type.
using ReadKernel = void (*)(Element type, const void* from, int64_t n, void* to);
using WriteKernel = void (*)(Element type, void* to, int64_t n, const void* from);

struct Engine {
  RowsKernel rows;
  int64_t (*rows_scratch)(const RowsArgs&);  // bytes of scratch that `rows` needs
  OutputsKernel outputs;
  int64_t (*outputs_scratch)(const OutputsArgs&);
  RegionsKernel regions;
  int64_t (*regions_scratch)(const RegionsArgs&);
  PointwiseKernel pointwise;
  ReadKernel read;    // these two of float and double only
  WriteKernel write;  // of a floating type
  ScaleKernel scale;
  UnitKernel unit_rows, unit_rows_backward;
  void (*take_positives)(const TileArgs&, const PositiveArgs&, int64_t begin, int64_t end);  // null for float16
  MineKernel mine;
  ListKernel list_pairs;
  int64_t (*mine_scratch)(int64_t columns);  // elements, for either
  void (*add_shares)(const ShareArgs&, int64_t begin, int64_t end);
};

struct Kernels {
  Engine engine[(int)DType::count];
  RowsFormulas rows[kRowsLosses];
  PointwiseFormula pointwise[kPointwiseLosses];
  PairsKernel pairs[kPairsLosses][(int)DType::count];
  DivergenceKernels divergence[kDivergenceLosses];
  SimilarityKernels similarity[kSimilarityLosses][(int)DType::count];
  ArrayKernels functions[(int)VectorFunction::count];
  ArrayKernel conversions[(int)Conversion::count];

  void run_rows(int loss, DType dtype, const RowsArgs& args, int64_t begin, int64_t end, void* scratch) const {
    engine[(int)dtype].rows(args, begin, end, scratch, dtype == DType::f64 ? rows[loss].f64 : rows[loss].f32);
  }
};

}  // namespace fastloss
