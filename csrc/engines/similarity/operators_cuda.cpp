// Operators of the engine for CUDA tensors: allocation, the current stream. Kernels are in cuda.cu. There is no
// similarity_whole: where a launch is all a small problem costs, one operator would have as many.

#include "engines/similarity/cuda.h"
#include "torch/cuda_call.h"
#include "engines/similarity/call.h"

namespace fastloss::ops {
namespace {

using torch::stable::new_empty;

cuda::DeviceNumber device_number(const char* name, const MaybeTensor& t, const Tensor& like) {
  if (!t) return {nullptr, DType::f64};
  STD_TORCH_CHECK(t->numel() == 1 && same_device(*t, like), "fastloss: expected one ", name,
                  " on the device of the similarities");
  return {data_of(*t), dtype_of(*t)};
}

struct Tile {
  const Device device;
  cuda::TileLaunch launch{};
  const DType dtype;

  explicit Tile(const TileInputs& in) : device(in.tile), dtype(dtype_of(in.tile)) {
    TileArgs& args = launch.args = tile_args(in);
    args.scale = in.affine[0];
    args.bias = in.affine[1];
    launch.scale = device_number("scale", in.scale, in.tile);
    launch.bias = device_number("bias", in.bias, in.tile);
  }

  bool is_empty() const { return launch.args.rows * launch.args.columns == 0; }
};

void statistics_(int64_t loss, FASTLOSS_TILE_ARGUMENTS(const Tensor&), const Tensor& row_sums,
                 MaybeTensor column_sums) {
  check_loss(loss);
  const TileInputs in = FASTLOSS_TILE_INPUTS;
  Tile work(in);
  check_sums(in, row_sums, column_sums);
  cuda::TileLaunch& l = work.launch;
  l.args.row_sums = anchor_sums("row_sums", row_sums, tile, l.args.rows);
  if (column_sums) l.args.column_sums = anchor_sums("column_sums", *column_sums, tile, l.args.columns);
  if (work.is_empty()) return;
  cuda::plan_tile(work.dtype, l);
  const int64_t of_rows = l.stripes * cuda::kPartPlanes * l.args.rows;
  const int64_t of_columns = column_sums ? l.chunks * cuda::kPartPlanes * l.args.columns : 0;
  const Tensor parts = new_empty(tile, {of_rows + of_columns}, compute_type(tile));
  l.row_parts = parts.mutable_data_ptr();
  if (column_sums) l.column_parts = (char*)l.row_parts + of_rows * (int64_t)parts.element_size();
  check(cuda::run_statistics((int)loss, work.dtype, l, work.device.stream));
}

Tensor gradient_(int64_t loss, FASTLOSS_TILE_ARGUMENTS(const Tensor&), MaybeTensor row_anchors,
                 MaybeTensor column_anchors) {
  check_loss(loss);
  const TileInputs in = FASTLOSS_TILE_INPUTS;
  check_derivatives(in, {pointer(row_anchors), pointer(column_anchors)});
  Tile work(in);
  cuda::TileLaunch& l = work.launch;
  l.args.row_anchors = anchor_view("row_anchors", row_anchors, tile, l.args.rows);
  l.args.column_anchors = anchor_view("column_anchors", column_anchors, tile, l.args.columns);
  Tensor sums = new_empty(tile, {l.args.rows, 2}, ScalarType::Double);
  if (work.is_empty()) return torch::stable::fill_(sums, 0);
  l.args.derivative_sums = (double*)sums.mutable_data_ptr();
  cuda::plan_tile(work.dtype, l);
  const int64_t parts = l.stripes > 1 ? l.stripes * l.args.rows * 2 : 0;
  const Tensor scratch = new_empty(tile, {parts}, ScalarType::Double);
  if (parts) l.parts = (double*)scratch.mutable_data_ptr();
  check(cuda::run_derivatives((int)loss, work.dtype, l, work.device.stream));
  return sums;
}

std::tuple<Tensor, Tensor, Tensor, Tensor> anchors(int64_t loss, const Tensor& sums, MaybeTensor factor,
                                                   MaybeTensor parts, MaybeTensor normalizer,
                                                   std::vector<double> params, double share, bool mean, bool empty_zero,
                                                   int64_t dtype) {
  check_loss(loss);
  const Device device(sums);
  const int64_t n = anchor_count(sums);
  cuda::AnchorLaunch l{};
  l.loss = (int)loss;
  copy_params(params, l.params);
  l.sums = anchor_sums("sums", sums, sums, n);
  l.anchors = n;
  l.factor = per_anchor("factor", factor, sums, n);
  l.weight = per_anchor("parts", parts, sums, kPairKinds);
  l.normalizer = per_anchor("normalizer", normalizer, sums, 1);
  l.share = share;
  l.mean = mean;
  l.empty_zero = empty_zero;
  l.is_double = dtype_of_code("dtype", dtype) == ScalarType::Double;
  Tensor losses = new_empty(sums, {n}), totals = new_empty(sums, {2}), reduced = new_empty(sums, {});
  l.plane = (n + 3) / 4 * 4;  // tiles that begin with the first anchor have their planes on 16 bytes
  Tensor coefficients = new_empty(sums, {kCoefficients, l.plane}, l.is_double ? ScalarType::Double : ScalarType::Float);
  const Tensor scratch = new_empty(sums, {2 * cuda::anchor_blocks(n)});
  l.losses = (double*)losses.mutable_data_ptr();
  l.totals = (double*)totals.mutable_data_ptr();
  l.reduced = (double*)reduced.mutable_data_ptr();
  l.coefficients = coefficients.mutable_data_ptr();
  l.scratch = (double*)scratch.mutable_data_ptr();
  check(cuda::run_anchors(l, device.stream));
  return {losses, totals, reduced, torch::stable::narrow(coefficients, 1, 0, n)};
}

std::tuple<Tensor, Tensor> triplets_(int64_t mining, FASTLOSS_TILE_ARGUMENTS(const Tensor&), MaybeTensor factor,
                                     bool want_gradient) {
  check_mining(mining, tile);
  const TileInputs in = FASTLOSS_TILE_INPUTS;
  if (want_gradient) check_derivatives(in, {pointer(factor)});
  Tile work(in);
  cuda::MineLaunch l{};
  l.tile = work.launch;
  l.mining = (Mining)mining;
  TileArgs& args = l.tile.args;
  args.factor = per_anchor("factor", factor, tile, args.rows);
  Tensor found = new_empty(tile, {args.rows, 2}, ScalarType::Double);
  Tensor sums = new_empty(tile, {want_gradient ? args.rows : 0, 2}, ScalarType::Double);
  if (work.is_empty()) return {torch::stable::fill_(found, 0), torch::stable::fill_(sums, 0)};
  args.triplets = (double*)found.mutable_data_ptr();
  if (want_gradient) args.derivative_sums = (double*)sums.mutable_data_ptr();
  const int64_t scratch = cuda::plan_mine(work.dtype, l) ? 0 : l.blocks * cuda::mine_bytes(work.dtype, args.columns);
  const Tensor memory = new_empty(tile, {scratch}, ScalarType::Byte);
  if (scratch) l.scratch = memory.mutable_data_ptr();
  check(cuda::run_mine(work.dtype, l, work.device.stream));
  return {found, sums};
}

// x / |x|, |x|. Half vectors stay half: GPUs multiply them fastest.
std::tuple<Tensor, Tensor> normalize(const Tensor& x) {
  const Device device(x);
  cuda::UnitLaunch l{};
  l.rows = x.size(0);
  l.args = unit_args(x);
  Tensor unit = new_empty(x, {l.rows, l.args.width}), length = new_empty(x, {l.rows}, ScalarType::Double);
  l.args.unit = unit.mutable_data_ptr();
  l.args.length = (double*)length.mutable_data_ptr();
  check(cuda::run_unit(dtype_of(x), l, device.stream));
  return {unit, length};
}

Tensor finish(const Tensor& gradient, MaybeTensor unit, MaybeTensor length, const Tensor& factor, int64_t dtype) {
  const ScalarType type = dtype_of_code("dtype", dtype);
  check_finish(gradient, unit, length, type);
  const Device device(gradient);
  cuda::UnitLaunch l{};
  l.rows = gradient.size(0);
  l.args.width = gradient.size(1);
  Tensor result = new_empty(gradient, {l.rows, l.args.width}, type);
  if (unit) {
    // Float gradients of float16 vectors are what a traced problem makes.
    const bool as_made =
        unit->scalar_type() == type || (unit->scalar_type() == ScalarType::Half && type == ScalarType::Float);
    STD_TORCH_CHECK(as_made, "fastloss: expected unit as normalize made it");
    l.args.unit = (void*)data_of(*unit);
    l.unit_dtype = dtype_of(*unit);
    l.args.length = (double*)per_anchor("length", length, gradient, l.rows);
  }
  l.args.upstream = data_of(gradient);
  l.args.gradient = result.mutable_data_ptr();
  l.factor = device_number("factor", factor, gradient);
  check(cuda::run_unit_backward(dtype_of(result), l, device.stream));
  return result;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(fastloss, CUDA, m) {
  m.impl("similarity_statistics_", TORCH_BOX(&statistics_));
  m.impl("similarity_gradient_", TORCH_BOX(&gradient_));
  m.impl("similarity_anchors", TORCH_BOX(&anchors));
  m.impl("similarity_triplets_", TORCH_BOX(&triplets_));
  m.impl("similarity_normalize", TORCH_BOX(&normalize));
  m.impl("similarity_finish", TORCH_BOX(&finish));
}

}  // namespace fastloss::ops
