#pragma once

#include "engines/similarity/args.h"
#include "engines/elements/cuda.h"

// The contract between operators_cuda.cpp and the .cu files, on the terms of softmax/cuda.h.

namespace fastloss::cuda {

constexpr int kTileThreads = 256;
constexpr int kTileRows = 2;         // that a thread takes at a time: what it knows of a column serves all of them
constexpr int kThreadColumns = 64;   // of a row, at most
constexpr int kTileWarps = 8;        // of a block; at most that many share their rows
constexpr int kColumnRows = 64;      // that a thread adds up of its column
constexpr int kColumnBatch = 8;      // that it holds at once
constexpr int kAnchorThreads = 128;  // an anchor each
constexpr int kMineThreads = 256;    // for a row

// What a part of an anchor's pairs adds up to, in the computing type: planes in the order of AnchorSums.
enum PartPlane : int { kPartMax, kPartSum = 2, kPartTotal = 4, kPartCount, kPartPlanes = 7 };

// A number on the device, or null.
struct DeviceNumber {
  const void* data;
  DType dtype;
};

struct TileLaunch {
  TileArgs args;       // its scale and bias lack what the device alone knows:
  DeviceNumber scale;  // a factor of the one,
  DeviceNumber bias;   // a summand of the other

  bool vectors;        // 16 bytes at a time: tile, labels, terms, flags and coefficients lie so
  int log_warps;       // of 2: so many warps share kTileRows rows
  int64_t stripes;     // parts that a row is cut into
  int64_t chunks;      // parts that a column is cut into
  int64_t row_blocks;  // for each stripe

  void* row_parts;     // statistics: [stripes][kPartPlanes][rows] of the computing type
  void* column_parts;  // [chunks][kPartPlanes][columns], or null
  double* parts;       // derivatives: [stripes][rows][2], or null if there is one stripe
};

// Decides everything from `vectors` to `row_blocks`, from shape and layout alone.
void plan_tile(DType dtype, TileLaunch& launch);
// Both end with the parts of an anchor joined, in their order: in the states, or in args.derivative_sums.
int run_statistics(int loss, DType dtype, const TileLaunch& launch, void* stream);
int run_derivatives(int loss, DType dtype, const TileLaunch& launch, void* stream);

struct AnchorLaunch : AnchorArgs {
  double* scratch;  // [2][anchor_blocks]
};
int64_t anchor_blocks(int64_t anchors);
int run_anchors(const AnchorLaunch& launch, void* stream);

// A tile of all columns, of float or double.
struct MineLaunch {
  TileLaunch tile;
  Mining mining;
  int64_t blocks;
  int shared_bytes;
  void* scratch;  // [blocks][mine_bytes], or null if a row fits shared memory
};
int64_t mine_bytes(DType dtype, int64_t columns);
// Decides `blocks` and `shared_bytes`; whether scratch is needed. The numbers do not depend on it.
bool plan_mine(DType dtype, MineLaunch& launch);
int run_mine(DType dtype, const MineLaunch& launch, void* stream);

struct UnitLaunch {
  UnitArgs args;  // its factor without
  DeviceNumber factor;
  int64_t rows;
  DType unit_dtype;  // backward: of args.unit
};
int run_unit(DType dtype, const UnitLaunch& launch, void* stream);
// `dtype` is the gradient's.
int run_unit_backward(DType dtype, const UnitLaunch& launch, void* stream);

// What similarity.cu, compiled for a dtype, offers.
template <DType dtype>
int run_statistics(int loss, const TileLaunch& launch, void* stream);
template <DType dtype>
int run_derivatives(int loss, const TileLaunch& launch, void* stream);

}  // namespace fastloss::cuda
