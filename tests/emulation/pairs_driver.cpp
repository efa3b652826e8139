// Runs the pairs CUDA kernels on the host (device/device.h here) over every functor: options, widths around every group's and
// tile's, layouts, places; each number against a plain loop. Built and run by test_cuda_emulation.py.

#include "../asan/pairs_case.h"
#include "engines/products/cuda.h"
#include "watched.h"

namespace {

using cuda::PairLaunch;

class EmulatedBackend : public PairBackend {
 public:
  explicit EmulatedBackend(DType dtype) : dtype_(dtype) {}

  PointTotals run(Memory& memory, Random& random, int id, PairArgs& args, const std::vector<Output>& outputs,
                  bool scalars, double* scale) override {
    PairLaunch l{};
    l.args = args;
    if (scalars) put_scalars(memory, random, l, scale);
    for (const PairView& view : args.operand) l.mixed = l.mixed || (view.data && view.type != (Element)dtype_);
    const DType dtype = l.mixed ? computing(dtype_) : dtype_;
    cuda::plan_pairs(dtype, l);
    ++counts[(l.mixed ? "mixed" : l.held ? "held" : l.vectors ? "vectors" : "elements") + std::to_string(l.group)];
    return run_watched(memory, random, l, outputs, [&] { return cuda::run_pairs(id, dtype, l, nullptr); });
  }

  // A thread adds a tile's elements, at most 32, and each product is rounded.
  double product_roundings(int64_t) const override { return 33; }

 private:
  const DType dtype_;
};

template <class S>
void sweep(DType dtype, const char* dtype_name, bool quick) {
  EmulatedBackend backend(dtype);
  Random random{(uint64_t)dtype + 17};
  const int64_t lane = 16 / sizeof(S);
  std::vector<int64_t> widths;
  for (int64_t w : {1, 2, 3, 15, 16, 17, 31, 33, 63, 255, 256, 257, 1023, 1025}) widths.push_back(w);
  for (int64_t w : {2049, 4099}) widths.push_back(w);
  for (const int group : cuda::kPairGroups) {
    const int64_t held = group * cuda::kPairVectors * lane;
    for (int64_t w : {held - lane, held, held + lane, held + 1}) widths.push_back(w);
  }
  widths.push_back(lane), widths.push_back(2 * cuda::kPairVectors * 256 * lane + lane);
  uint64_t seed = 1;
  int id = 0;
  for (const PairEntry& loss : pair_entries<S>()) {
    for (int64_t width : widths) {
      if (quick && width > 1100) continue;
      for (int64_t rows : {1, 3, 64, 131}) {
        if (rows * width > 40000) continue;
        for (int repeat = 0; repeat < 2; ++repeat) {
          const bool in_vectors = width % lane == 0 && random.chance(80);
          const Place place = in_vectors ? Place::aligned : (Place)random.below(3);
          current = std::string("emulated, ") + dtype_name + ", " + loss.name + ", " + std::to_string(rows) + " x " +
                    std::to_string(width) + ", " + kPlaceNames[(int)place] + ", seed " + std::to_string(seed);
          loss.run(backend, id, rows, width, place, seed++, {in_vectors, random.chance(25)});
        }
      }
    }
    ++id;
  }
}

// Two equal vectors and their cosine's gradient, which has to be zero.
PairLaunch equal_vectors(int64_t rows, int64_t width) {
  PairLaunch l{};
  l.args.rows = rows, l.args.width = width, l.args.scale = 1;
  return l;
}

// Rows whose places 32 bits do not count: strides over memory that is never touched in between, and the last block of so
// many rows that its part of every tensor alone is there.
template <class S>
void check_far(DType dtype) {
  for (const bool vectors : {true, false}) {
    current = std::string("strides beyond 2^31, ") + (vectors ? "vectors" : "elements");
    const int64_t width = 16, stride = (1LL << 31) + (vectors ? 16 : 7), bytes = (stride + width) * (int64_t)sizeof(S);
    void* const region =
        mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (region == MAP_FAILED) perror("emulation: mmap"), _exit(1);
    S* const far = (S*)region;
    Memory memory(Place::aligned);
    float label[2] = {1, 1};
    double wide_label[2] = {1, 1};
    S* const near = memory.take<S>(2 * width);
    S* const gradient = memory.take<S>(2 * width);
    for (int64_t i = 0; i < 2 * width; ++i) {
      assign(far[i / width * stride + i % width], 1), assign(near[i], i % 2 ? 1 : 0);
    }
    PairLaunch l = equal_vectors(2, width);
    l.args.operand[0] = {far, stride}, l.args.operand[1] = {near, width}, l.args.gradient[0] = {gradient, width};
    l.args.label = sizeof(S) == 8 ? (const void*)wide_label : label;
    cuda::plan_pairs(dtype, l);
    check("vectors", -1, -1, l.vectors, vectors, 0);
    cuda::run_pairs(k_cosine_embedding_loss, dtype, l, nullptr);
    // c = 8 / sqrt(16 8); -dc/dx1 = -x2 / sqrt(16 8) + c x1 / 16.
    for (int64_t i = 0; i < 2 * width; ++i) {
      const double root = std::sqrt(128.0), wanted = (i % 2 ? -1 / root : 0) + 8 / root / 16;
      check("gradient", i / width, i % width, value_of(gradient[i]), wanted, 2 * storage_unit<S>() + 1e-7);
    }
    munmap(region, bytes);
  }
  current = "more rows than 2^32";
  Memory memory(Place::aligned);
  const int64_t width = 8, rows = (1LL << 32) + 5;
  PairLaunch l = equal_vectors(rows, width);
  void* const seen = (void*)4096;
  for (int k = 0; k < 3; ++k) l.args.operand[k] = {seen, width};
  l.args.gradient[0] = {seen, width};
  cuda::plan_pairs(dtype, l);
  const int64_t begin = (l.blocks - 1) * (cuda::pair_threads(l.group) / l.group), n = rows - begin;
  if (n < 1 || n > 64) ::fail("rows of the last block", -1, -1, (double)n, 5, 0);
  S* data[4];
  for (S*& p : data) {
    p = memory.take<S>(n * width);
    for (int64_t i = 0; i < n * width; ++i) assign(p[i], &p == &data[1] ? 2 : 1);
    const auto at = [&](S* q) { return (void*)((uintptr_t)q - (uintptr_t)begin * width * sizeof(S)); };
    PairView& view = &p == &data[3] ? l.args.gradient[0] : l.args.operand[&p - data];
    view.data = at(p);
  }
  double sum = NAN;
  l.sums = (double*)((uintptr_t)&sum - (uintptr_t)(l.blocks - 1) * sizeof(double));
  l.args.params[0] = 1;
  emulation::first_block = l.blocks - 1;
  cuda::run_pairs(k_triplet_margin_loss, dtype, l, nullptr);
  emulation::first_block = 0;
  // 1 + |a - p| - 0, gradient (a - p) / |a - p|.
  check("sum", -1, -1, sum, (double)n * (1 + std::sqrt(8.0)), 1e-6 * (double)n);
  for (int64_t i = 0; i < n * width; ++i) {
    check("gradient", i / width, i % width, value_of(data[3][i]), -1 / std::sqrt(8.0), 2 * storage_unit<S>());
  }
}

// Nothing is read or written where the upstream gradient is 1 and forward's gradient stands.
void check_unless_one(DType dtype) {
  current = "unless one";
  for (int64_t width : {8, 256, 100000, 7, 100, 5000}) {
    PairLaunch l = equal_vectors(100, width);
    for (int k = 0; k < 3; ++k) l.args.operand[k] = {(void*)4096, width};
    l.args.gradient[0] = {(void*)4096, width};
    const float one = 1;
    l.upstream = &one, l.upstream_dtype = DType::f32, l.unless_one = true;
    cuda::plan_pairs(dtype, l);
    cuda::run_pairs(k_triplet_margin_loss, dtype, l, nullptr);
  }
}

template <class S>
void run_all(DType dtype, const char* name, bool quick) {
  check_unless_one(dtype);
  sweep<S>(dtype, name, quick);
  check_far<S>(dtype);
}

}  // namespace

int main(int argc, char** argv) {
  return drive(argc, argv, [](auto stored, const auto&... about) { run_all<decltype(stored)>(about...); });
}
