// Operators of the engine for CUDA tensors: scratch memory, the current stream. Kernels are in cuda.cu. There is no
// similarity_whole: where a launch is all a small problem costs, one operator would have as many.

#include "engines/similarity/cuda.h"
#include "torch/cuda_call.h"
#include "engines/similarity/call.h"

namespace fastloss::ops {
namespace {

using torch::stable::new_empty;

cuda::DeviceNumber device_number(const char* name, const Tensor* t) {
  if (!t) return {nullptr, DType::f64};
  STD_TORCH_CHECK(t->numel() == 1, "fastloss: expected one ", name);
  return {data_of(*t), dtype_of(*t)};
}

struct Tile {
  const Device device;
  const Tensor& tensor;
  cuda::TileLaunch launch{};
  TileArgs& args = launch.args;
  const DType dtype;

  Tile(const Pairs& in, const Tensor& tile) : device(tile), tensor(tile), dtype(dtype_of(tile)) {
    args = tile_args(in, tile);
    args.scale = in.affine[0];
    args.bias = in.affine[1];
    launch.scale = device_number("scale", pointer(in.scale));
    launch.bias = device_number("bias", pointer(in.bias));
  }

  void statistics(int loss) {
    cuda::plan_tile(dtype, launch);
    const int64_t of_rows = launch.stripes * cuda::kPartPlanes * args.rows;
    const int64_t of_columns = args.column_sums ? launch.chunks * cuda::kPartPlanes * args.columns : 0;
    const Tensor parts = new_empty(tensor, {of_rows + of_columns}, compute_type(tensor));
    launch.row_parts = parts.mutable_data_ptr();
    if (args.column_sums) launch.column_parts = (char*)launch.row_parts + of_rows * (int64_t)parts.element_size();
    check(cuda::run_statistics(loss, dtype, launch, device.stream));
  }

  void derivatives(int loss) {
    cuda::plan_tile(dtype, launch);
    const int64_t parts = launch.stripes > 1 ? launch.stripes * args.rows * 2 : 0;
    const Tensor scratch = new_empty(tensor, {parts}, ScalarType::Double);
    if (parts) launch.parts = (double*)scratch.mutable_data_ptr();
    check(cuda::run_derivatives(loss, dtype, launch, device.stream));
  }

  void mine(Mining mining) {
    cuda::MineLaunch l{};
    l.tile = launch;
    l.mining = mining;
    const int64_t scratch = cuda::plan_mine(dtype, l) ? 0 : l.blocks * cuda::mine_bytes(dtype, args.columns);
    const Tensor memory = new_empty(tensor, {scratch}, ScalarType::Byte);
    if (scratch) l.scratch = memory.mutable_data_ptr();
    check(cuda::run_mine(dtype, l, device.stream));
  }

  // Products make the gradients: `check_vectors`.
  void take_positives(const Tensor&, const Tensor&) {}
  bool mine_few(const Triplets&) { return false; }
};

struct Backend : SimilarityOperators<Backend> {
  using Tile = ops::Tile;

  // Half vectors stay half: GPUs multiply them fastest.
  static ScalarType products(ScalarType type) { return type; }

  static void evaluate(const AnchorArgs& args, const Tensor& sums) {
    const Device device(sums);
    const Tensor scratch = new_empty(sums, {2 * cuda::anchor_blocks(args.anchors)});
    check(cuda::run_anchors({args, (double*)scratch.mutable_data_ptr()}, device.stream));
  }

  static void unit(const UnitArgs& args, int64_t rows, const Tensor& x) {
    const Device device(x);
    check(cuda::run_unit(dtype_of(x), {args, {}, rows, {}}, device.stream));
  }

  static void unit_backward(UnitArgs& args, int64_t rows, DType unit, const Tensor& factor, const Tensor& result) {
    const Device device(result);
    check(
        cuda::run_unit_backward(dtype_of(result), {args, device_number("factor", &factor), rows, unit}, device.stream));
  }
};

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(fastloss, CUDA, m) { FASTLOSS_SIMILARITY_OPERATORS(FASTLOSS_IMPLEMENT_ARGUMENTS) }

}  // namespace fastloss::ops
