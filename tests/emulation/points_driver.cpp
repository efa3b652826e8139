// Runs the pointwise CUDA kernels on the host (device/device.h here) over every functor: layouts, options, lengths around
// every width, places; each number against a plain loop. Built and run by test_cuda_emulation.py.

#include "../asan/points_case.h"
#include "watched.h"

namespace {

using cuda::PointFinish;
using cuda::PointLaunch;

class EmulatedBackend : public PointBackend {
 public:
  explicit EmulatedBackend(DType dtype) : dtype_(dtype) {}

  PointTotals run(Memory& memory, Random& random, int id, PointArgs& args, const std::vector<Output>& outputs,
                  bool scalars, double* scale) override {
    PointLaunch l{};
    l.args = args;
    if (scalars) put_scalars(memory, random, l, scale);
    // Losses and upstream gradients may be of the computing type beside other types.
    const Element own = (Element)dtype_, wide = (Element)computing(dtype_);
    const auto differs = [&](const PointView& v, Element type) { return v.data && v.type != type; };
    for (const PointView& view : args.operand) l.mixed = l.mixed || differs(view, own);
    l.mixed = l.mixed || differs(args.weight, own);
    for (const PointView* view : {&args.upstream, &args.loss}) {
      l.mixed = l.mixed || differs(*view, view->wide ? wide : own);
    }
    const DType dtype = l.mixed ? computing(dtype_) : dtype_;
    cuda::plan_points(dtype, l);
    if (random.chance(50)) {  // runs of several tiles, which real plans have from millions of elements on
      l.block_elements *= 1 + (int)random.below(3);
      l.blocks = (l.args.elements + l.block_elements - 1) / l.block_elements;
    }
    ++counts[l.mixed ? "mixed" : l.vectors ? "plain" : "general"];
    return run_watched(memory, random, l, outputs, [&] { return cuda::run_points(id, dtype, l, nullptr); });
  }

 private:
  const DType dtype_;
};

template <class S>
void sweep(DType dtype, const char* dtype_name, bool quick) {
  EmulatedBackend backend(dtype);
  Random random{(uint64_t)dtype + 5};
  const int64_t lane = 16 / sizeof(S), tile = cuda::kPointThreads * cuda::kPlainVectors * lane;
  std::vector<int64_t> lengths = {1, 2, 3, lane - 1, lane, lane + 1, 31, 33, 255, 256, 257, 1023, 1024, 1025, 4097};
  for (int64_t n : {tile - 1, tile, tile + 1, 2 * tile + 3, 3 * tile - lane - 1}) lengths.push_back(n);
  int turn = 0;
  for (int id = 0; id < kPointwiseLosses; ++id) {
    for (int64_t n : lengths) {
      if (n == 0 || (quick && n > tile + 1)) continue;
      for (int repeat = 0; repeat < 3; ++repeat, ++turn) {
        Options o = options_of(random, kLosses[id].arity, turn);
        o.outside = kLosses[id].checked && random.chance(20);
        o.mixed = random.chance(25);
        const Place place = turn % 3 == 0 && random.chance(75) ? Place::aligned : (Place)random.below(3);
        const Shape shape = shape_of(random, n, o.strided);
        const uint64_t seed = (uint64_t)turn + 1;
        current = std::string("emulated, ") + dtype_name + ", " + kLosses[id].name + ", " + std::to_string(n) +
                  " elements, " + kPlaceNames[(int)place] + (o.strided ? ", strided" : "") + ", seed " +
                  std::to_string(seed);
        Case<S>(backend, id, shape, o, place, seed).run();
      }
    }
  }
}

// The last block of so many elements that 32 bits do not count them: its part of every tensor is there, what comes before
// is not. And strides that 32 bits do not hold, over memory that is never touched in between.
template <class S>
void check_far(DType dtype) {
  for (const bool plain : {true, false}) {
    current = std::string("elements beyond 2^33, ") + (plain ? "plain" : "general");
    Memory memory(Place::aligned);
    PointLaunch l{};
    l.args.elements = (1LL << 33) + 5;
    l.args.dims = 1, l.args.size[0] = l.args.elements, l.args.plain = plain, l.args.scale = 1;
    // Aligned as far as plan_points can see, or not.
    void* const seen = (void*)(plain ? 4096 : 4096 + sizeof(S));
    for (int k = 0; k < 2; ++k) l.args.operand[k] = {seen, {1}, true, {}, false};
    l.args.gradient[0] = {seen, {1}, true, {}, false};
    cuda::plan_points(dtype, l);
    const int64_t begin = (l.blocks - 1) * l.block_elements, n = l.args.elements - begin;
    S* const data[3] = {memory.take<S>(n), memory.take<S>(n), memory.take<S>(n)};
    for (int64_t i = 0; i < n; ++i) assign(data[0][i], 3), assign(data[1][i], 1);
    l.args.operand[0].data = (void*)((uintptr_t)data[0] - begin * sizeof(S));
    l.args.operand[1].data = (void*)((uintptr_t)data[1] - begin * sizeof(S));
    l.args.gradient[0].data = (void*)((uintptr_t)data[2] - begin * sizeof(S));
    double sum = NAN;
    l.sums = (double*)((uintptr_t)&sum - (l.blocks - 1) * sizeof(double));
    emulation::first_block = l.blocks - 1;
    cuda::run_points(k_mse_loss, dtype, l, nullptr);
    emulation::first_block = 0;
    check("sum", -1, -1, sum, 4.0 * (double)n, 0);
    for (int64_t i = 0; i < n; ++i) check("gradient", -1, i, value_of(data[2][i]), 4, 0);
  }
  current = "strides beyond 2^31";
  const int64_t stride = (1LL << 31) + 7, bytes = (2 * stride + 5) * (int64_t)sizeof(S);
  void* const region = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (region == MAP_FAILED) perror("emulation: mmap"), _exit(1);
  S* const far = (S*)region;
  std::vector<S> near(15), gradient(15);
  for (int64_t i = 0; i < 15; ++i) assign(far[i / 5 * stride + i % 5], (double)i), assign(near[i], 1);
  PointLaunch l{};
  l.args.elements = 15, l.args.dims = 2, l.args.size[0] = 3, l.args.size[1] = 5, l.args.scale = 1;
  l.args.operand[0] = {far, {stride, 1}, false, {}, false};
  l.args.operand[1] = {near.data(), {5, 1}, true, {}, false};
  l.args.gradient[0] = {gradient.data(), {5, 1}, true, {}, false};
  cuda::plan_points(dtype, l);
  cuda::run_points(k_mse_loss, dtype, l, nullptr);
  for (int64_t i = 0; i < 15; ++i) check("gradient", -1, i, value_of(gradient[i]), 2 * (double)(i - 1), 0);
  munmap(region, bytes);
}

// Nothing is read or written where the upstream gradient is 1 and forward's gradient stands.
template <class S>
void check_unless_one(DType dtype) {
  current = "unless one";
  PointLaunch l{};
  l.args.elements = 5000, l.args.dims = 1, l.args.size[0] = 5000, l.args.plain = true, l.args.scale = 1;
  for (int k = 0; k < 2; ++k) l.args.operand[k] = {(void*)4096, {1}, true, {}, false};
  l.args.gradient[0] = {(void*)4096, {1}, true, {}, false};
  const float one = 1;
  l.upstream = &one, l.upstream_dtype = DType::f32, l.unless_one = true;
  for (const bool plain : {true, false}) {
    l.args.gradient[0].data = (void*)(plain ? 4096 : 4096 + sizeof(S));
    cuda::plan_points(dtype, l);
    cuda::run_points(k_mse_loss, dtype, l, nullptr);
  }
}

void check_finish(Random& random) {
  for (int64_t blocks : {1, 2, 255, 257, 5000, 8192, 8193, 20000}) {
    for (int option = 0; option < 8; ++option) {
      current = "finish of " + std::to_string(blocks) + " blocks, option " + std::to_string(option);
      Memory memory(Place::heap);
      const bool stats = option & 1, on_device = option & 2, empty = option & 4;
      const int64_t planes = stats ? 2 : 1;
      double* const sums = memory.take<double>(planes * blocks);
      double total[2] = {};
      for (int64_t i = 0; i < planes * blocks; ++i) total[i / blocks] += sums[i] = random.uniform();
      PointFinish l{};
      l.sums = sums, l.blocks = blocks;
      l.parts = memory.take<double>(planes * cuda::finish_blocks(blocks));
      double* const divisor = memory.take<double>(1);
      *divisor = empty ? 0 : 3;
      if (on_device) l.divisor = divisor;
      l.count = on_device ? NAN : *divisor;
      l.empty_zero = empty;
      double* const loss = memory.take<double>(1);
      l.loss = loss, l.dtype = DType::f64;
      if (stats) l.stats = memory.take<double>(2);
      emulation::schedule = random.below(6);
      cuda::run_finish_points(l, nullptr);
      check("loss", -1, -1, *loss, empty ? 0 : total[0] / 3, 1e-9 * (double)blocks);
      for (int k = 0; stats && k < 2; ++k) check("stats", -1, k, l.stats[k], total[k], 1e-9 * (double)blocks);
    }
  }
}

template <class S>
void run_all(DType dtype, const char* name, bool quick) {
  Random random{7};
  check_finish(random);
  check_unless_one<S>(dtype);
  sweep<S>(dtype, name, quick);
  check_far<S>(dtype);
}

}  // namespace

int main(int argc, char** argv) {
  return drive(argc, argv, [](auto stored, const auto&... about) { run_all<decltype(stored)>(about...); });
}
