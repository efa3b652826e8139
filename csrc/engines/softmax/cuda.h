#pragma once

#include "engines/softmax/logits.h"
#include "losses/losses.h"

// The contract between operators_cuda.cpp (tensors, streams) and the .cu files (kernels). Every function returns a
// cudaError_t as int; none waits for the device. Pointers are device pointers.

namespace fastloss::cuda {

constexpr int kSums = 7;  // planes of partial sums: the fields of RowsSums, in its order

struct RowsLaunch {
  RowsArgs rows;  // `scale`, `sums`, `stream` and `task_rows` unused: they are about the host

  const double* divisor;     // one number, or null: 1
  const double* weight_sum;  // one number, or null: rows.weight_sum
  int64_t upstream_stride;   // rows.upstream: 1 for a factor per row, 0 for one for all
  bool unless_one;           // does nothing if the one upstream gradient is 1

  double* sums;  // [kSums, blocks], or null: what each block's rows add up to
};

// How a problem is cut into blocks; the host decides from shape, layout and device, kernels read it.
enum class RowsPath : int {
  columns_wide,
  columns,
  tile,
  group128,
  group256,
  group1024,
  group4096,
  group16384,
  stream,
  strided
};
constexpr const char* kRowsPathNames[] = {"columns_wide", "columns",   "tile",       "group128", "group256",
                                          "group1024",    "group4096", "group16384", "stream",   "strided"};

// A path, and of group16384 so many blocks that share a row at least, for problems that can take it; for measurements.
// FASTLOSS_CUDA_PLAN in the environment, read once, wishes for every call: "stream", "group16384x4".
struct RowsWish {
  int path = -1;  // RowsPath, or none
  int cluster = 1;
};
RowsWish wish_of(const char* text);  // null, or what names no path: none

// What takes the kernels with every option.
inline bool needs_extras(const RowsArgs& a) {
  return a.probability.data || a.label_smoothing != 0 || !as_stored(a) || a.margin || a.want_stats;
}

struct RowsPlan {
  RowsPath path;
  int64_t blocks;
  int64_t grid;  // blocks that are launched: `blocks`, or fewer, which then take several each
  int shared_bytes;
  int cluster;    // group: blocks that share a row
  bool on_chip;   // columns: logits stay in shared memory between measuring and writing
  int pitch;      // tile: distance of rows in shared memory
  int64_t slice;  // group: 16-byte vectors of a row per block
  int turns;      // group: of them per thread, at most
  int64_t begin;  // address range of the logits, within which a whole vector may be read
  int64_t end;
};

// Entries of the survey.
enum Survey : int { kDivisor, kWeightSum, kSurvey };

struct SurveyLaunch {
  const int64_t* target;  // null: probabilities
  const Flag* mask;       // or null
  const void* weight;     // in the computing type, or null
  bool wide;              // the computing type is double
  int64_t rows;
  int64_t classes;
  int64_t ignore_index;
  double* parts;  // scratch: [2, survey_blocks]
  double* out;    // [kSurvey]
};

struct FinishLaunch {
  const double* sums;  // [kSums, blocks]
  int64_t blocks;
  double* parts;  // scratch: [kSums, finish_blocks]
  const double* divisor;
  bool empty_zero;
  void* loss;  // one number of `dtype`, or null
  DType dtype;
  double* stats;  // [7], or null
};

int64_t survey_blocks(int64_t rows);
int64_t finish_blocks(int64_t blocks);

constexpr int kFewClasses = 32;  // of rows that the tile path takes: a thread holds one in its registers

// The group paths are named after the classes that they take at most (of float64 half as many). So many threads share a row, and
// hold so many of its vectors each: 64 values, 32 of double.
constexpr int group_threads(int classes) { return classes / 64; }
constexpr int group_vectors(int element_bytes) { return element_bytes == 2 ? 8 : 16; }
constexpr int group_block(int threads) { return threads < 64 ? 128 : threads; }
// Shared memory of a block: kGroupMemory, and the logits as values of the computing type.
constexpr int kGroupMemory = 4 * 1024;  // sizeof(GroupMemory)
constexpr int group_bytes(int element_bytes, int threads) {
  return kGroupMemory + group_block(threads) * group_vectors(element_bytes) * (element_bytes == 2 ? 32 : 16);
}

// Every function below works on the current device and on `stream`, a cudaStream_t.
RowsPlan plan_rows(DType dtype, const RowsLaunch& launch);
RowsPlan plan_rows(DType dtype, const RowsLaunch& launch, const RowsWish& wish);
int run_rows(int loss, DType dtype, const RowsLaunch& launch, const RowsPlan& plan, void* stream);
int run_survey(const SurveyLaunch& launch, void* stream);
int run_finish(const FinishLaunch& launch, void* stream);
// data[i] *= *factor, unless that is 1.
int run_scale(void* data, DType dtype, int64_t n, const void* factor, DType factor_dtype, void* stream);
const char* error_message(int error);

// What cuda.cu, compiled for a dtype, offers.
struct RowsKernels {
  int (*run[kRowsLosses])(const RowsLaunch&, const RowsPlan&, void* stream);
  int (*mixed)(const RowsLaunch&, const RowsPlan&, void* stream);  // of probabilities that are not stored as the logits
  bool (*fits)(int cluster);
};
template <DType dtype>
const RowsKernels& rows_kernels();

}  // namespace fastloss::cuda
