// Which path a problem takes and how it is cut into blocks: Note [Paths] in cuda.cu. Ordinary host code; the numbers
// in it are reasoned from shared memory and occupancy, not yet tuned on hardware.

#include <stdlib.h>

#include "device/device.h"
#include "engines/softmax/cuda.h"

namespace fastloss::cuda {
namespace {

constexpr int kColumnThreads = 128;
constexpr int kColumnScratch = kColumnThreads / 32 * kSums * (int)sizeof(double);
constexpr int64_t kColumnClasses = 64;  // from here on a thread alone takes too long for a row
constexpr int64_t kManyRows = 4096;     // enough threads even with one per row
constexpr int kChip = 100 * 1024;       // shared memory per block that leaves room for two blocks

const RowsKernels& kernels_of(DType dtype) {
  return *with_dtype(dtype, [](auto d) { return &rows_kernels<decltype(d)::value>(); });
}

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

struct Problem {
  const RowsArgs& a;
  int64_t size;

  bool dense(const RowsView& v) const {
    return !v.data || (v.class_stride == 1 && a.dims == 1 && (v.row_stride[0] == a.classes || a.rows == 1));
  }
  // Whether every row of the view starts at a multiple of `bytes`.
  bool aligned(const RowsView& v, int64_t bytes, int dims) const {
    if (!v.data) return true;
    bool yes = (uintptr_t)v.data % bytes == 0;
    for (int d = 0; d < dims; ++d) yes = yes && (a.size[d] == 1 || v.row_stride[d] * size % bytes == 0);
    return yes;
  }
  // Whether logits and gradient have each row on the same place of the 16-byte grid.
  bool congruent() const {
    const RowsView& x = a.logits;
    const RowsView& g = a.gradient;
    if (!g.data) return true;
    bool yes = ((uintptr_t)x.data - (uintptr_t)g.data) % 16 == 0;
    for (int d = 0; d < a.dims; ++d) {
      yes = yes && (a.size[d] == 1 || (x.row_stride[d] - g.row_stride[d]) * size % 16 == 0);
    }
    return yes;
  }
  bool adjacent_rows(const RowsView& v) const { return !v.data || v.row_stride[a.dims - 1] == 1; }
  bool adjacent_classes(const RowsView& v) const { return !v.data || v.class_stride == 1 || a.classes == 1; }
};

// Blocks of a cluster that shares a row of so many vectors, from `least` on; 0 if that cannot be.
int cluster_for(const RowsKernels& kernels, int64_t vectors, int64_t per_block, bool clusters, int least) {
  for (int cluster = least; cluster <= 16; cluster *= 2) {
    if (vectors > per_block * cluster) continue;
    return (cluster == 1 || clusters) && kernels.fits(cluster) ? cluster : 0;
  }
  return 0;
}

RowsPlan cut(DType dtype, const RowsLaunch& l, const RowsWish& wish) {
  const auto may = [&](RowsPath path) { return wish.path < 0 || wish.path == (int)path; };
  const RowsArgs& a = l.rows;
  const int size = dtype == DType::f64 ? 8 : dtype == DType::f32 ? 4 : 2;
  const int64_t wide = dtype == DType::f64 ? 8 : 4;  // of the computing type
  const int64_t lanes = 16 / size;
  const Problem p{a, size};
  const bool extras = needs_extras(a);

  RowsPlan plan{};
  plan.cluster = 1;
  plan.shared_bytes = kGroupMemory;
  int64_t extent = (a.classes - 1) * a.logits.class_stride + 1;
  for (int d = 0; d < a.dims; ++d) extent += (a.size[d] - 1) * a.logits.row_stride[d];
  plan.begin = (int64_t)a.logits.data;
  plan.end = plan.begin + extent * size;

  if (may(RowsPath::tile) && a.classes <= kFewClasses && p.dense(a.logits) && p.dense(a.gradient)) {
    plan.path = RowsPath::tile;
    plan.on_chip = true;
    plan.pitch = (int)a.classes | 1;
    const int values = (int)(kColumnThreads * plan.pitch * wide), raw = (int)(kColumnThreads * a.classes * size) + 16;
    plan.shared_bytes = kColumnScratch + (extras || size == 8 ? values : raw + (raw / 128 + 1) * 16);
    plan.blocks = divide_up(a.rows, kColumnThreads);
    return plan;
  }

  const bool grouped = wish.path < 0 || (wish.path >= (int)RowsPath::group128 && wish.path <= (int)RowsPath::stream);
  if (grouped && p.adjacent_classes(a.logits) && p.adjacent_classes(a.gradient) && p.congruent()) {
    const bool aligned = p.aligned(a.logits, 16, a.dims);
    const int64_t vectors = aligned ? divide_up(a.classes, lanes) : (a.classes + 2 * (lanes - 1)) / lanes;
    const auto group = [&](RowsPath path, int classes) {
      const int threads = group_threads(classes);
      plan.path = path;
      plan.slice = threads * group_vectors(size);
      plan.turns = (int)divide_up(vectors, threads);
      plan.shared_bytes = group_bytes(size, threads);
      plan.blocks = divide_up(a.rows, group_block(threads) / threads);
      return may(path) && vectors <= plan.slice;
    };
    if (group(RowsPath::group128, 128) || group(RowsPath::group256, 256) || group(RowsPath::group1024, 1024) ||
        group(RowsPath::group4096, 4096)) {
      return plan;
    }
    // From a state there is nothing to exchange, so nothing to gain from one block or cluster per row.
    if (!a.from_state && may(RowsPath::group16384)) {
      const int threads = group_threads(16384), most = threads * group_vectors(size);
      plan.cluster = cluster_for(kernels_of(dtype), vectors, most, limits().clusters, wish.cluster);
      if (plan.cluster) {
        plan.path = RowsPath::group16384;
        plan.shared_bytes = group_bytes(size, threads);
        plan.slice = divide_up(vectors, plan.cluster);
        plan.turns = (int)divide_up(plan.slice, threads);
        plan.blocks = a.rows * plan.cluster;
        return plan;
      }
      plan.cluster = 1;
    }
    plan.path = RowsPath::stream;
    plan.shared_bytes = kGroupMemory;
    plan.blocks = a.rows;
    return plan;
  }

  const int64_t chip = limits().shared_bytes < kChip ? limits().shared_bytes : kChip;
  const auto column = [&](RowsPath path, int64_t per) {
    const int64_t bytes = kColumnScratch + kColumnThreads * per * a.classes * wide;
    plan.path = path;
    plan.on_chip = bytes <= chip;
    plan.shared_bytes = plan.on_chip ? (int)bytes : kColumnScratch;
    plan.blocks = divide_up(a.rows, kColumnThreads * per);
    return plan.on_chip;
  };
  const bool by_column = wish.path < 0 || wish.path <= (int)RowsPath::columns;
  const bool columns = p.adjacent_rows(a.logits) && p.adjacent_rows(a.gradient);
  if (by_column && (a.classes <= kColumnClasses || (columns && a.rows >= kManyRows))) {
    const int inner = a.dims - 1;
    const bool four = columns && !extras && size != 8 && a.size[inner] % 4 == 0 &&
                      p.aligned(a.logits, 4 * size, inner) && p.aligned(a.gradient, 4 * size, inner) &&
                      a.logits.class_stride % 4 == 0 && (!a.gradient.data || a.gradient.class_stride % 4 == 0);
    if (four && column(RowsPath::columns_wide, 4)) return plan;
    if (column(RowsPath::columns, 1) || !four) return plan;
    column(RowsPath::columns_wide, 4);
    return plan;
  }
  plan.path = RowsPath::strided;
  plan.blocks = a.rows;
  return plan;
}

}  // namespace

RowsWish wish_of(const char* text) {
  RowsWish wish;
  if (!text) return wish;
  const char* const times = strchr(text, 'x');
  const size_t length = times ? (size_t)(times - text) : strlen(text);
  for (int path = 0; path <= (int)RowsPath::strided; ++path) {
    if (strlen(kRowsPathNames[path]) == length && strncmp(text, kRowsPathNames[path], length) == 0) wish.path = path;
  }
  const int cluster = times ? atoi(times + 1) : 1;
  if (wish.path >= 0 && cluster > 1 && cluster <= 16 && (cluster & (cluster - 1)) == 0) wish.cluster = cluster;
  return wish;
}

RowsPlan plan_rows(DType dtype, const RowsLaunch& l) {
  static const RowsWish wish = wish_of(getenv("FASTLOSS_CUDA_PLAN"));
  return plan_rows(dtype, l, wish);
}

RowsPlan plan_rows(DType dtype, const RowsLaunch& l, const RowsWish& wish) {
  RowsPlan plan = cut(dtype, l, wish);
  if (wish.path >= 0 && (int)plan.path != wish.path) plan = cut(dtype, l, {});
  plan.grid = plan.blocks;
  // Most upstream gradients are 1: then the blocks are launched for nothing, half a microsecond for each set that the device holds.
  const int64_t enough = (int64_t)limits().multiprocessors * 8 / plan.cluster * plan.cluster;
  if (l.unless_one && plan.grid > enough) plan.grid = enough;
  return plan;
}

int run_rows(int loss, DType dtype, const RowsLaunch& launch, const RowsPlan& plan, void* stream) {
  const RowsKernels& kernels = kernels_of(dtype);
  const bool mixed = launch.rows.probability.data && launch.rows.probability_type != (Element)dtype;
  return (mixed ? kernels.mixed : kernels.run[loss])(launch, plan, stream);
}

}  // namespace fastloss::cuda
