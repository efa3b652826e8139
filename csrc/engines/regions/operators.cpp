// Operators of regions: threads, and sums of pieces. Formulas are in contract.h, loops in cpu.h.

#include "engines/regions/call.h"
#include "simd/isa.h"

namespace fastloss::ops {
namespace {

constexpr int64_t kTaskElements = 64 * 1024;
constexpr int64_t kMaxSums = 128 * 1024;  // numbers that all pieces have together, if they are not that many anyway
constexpr int64_t kWholePixels = 512;     // of which pieces are multiples

struct Backend {
  static void cut(RegionsArgs& args) {
    const int64_t pieces = std::max<int64_t>(1, kMaxSums / (args.samples * args.classes * kRegionSums));
    const int64_t pixels = std::max((args.pixels + pieces - 1) / pieces, kTaskElements / args.classes);
    args.piece_pixels = (pixels + kWholePixels - 1) / kWholePixels * kWholePixels;
    args.pieces = (args.pixels + args.piece_pixels - 1) / args.piece_pixels;
  }

  static void run(RegionsProblem& problem) {
    RegionsArgs& args = problem.args;
    const Engine& engine = isa::kernels().engine[(int)dtype_of(problem.input)];
    const int64_t bytes = engine.regions_scratch(args);
    parallel(problem.input.numel(), args.samples * args.pieces, [&](int64_t begin, int64_t end) {
      const memory::Scratch scratch = memory::scratch((size_t)bytes);
      engine.regions(args, begin, end, scratch.get());
    });
  }

  // Of this Python makes an IndexError: it has "out of bounds" in it, and no "fastloss" in front.
  static void refuse(const RegionsArgs& args) {
    for (int64_t i = 0; i < args.samples * args.pixels; ++i) {
      const int64_t y = args.target[i];
      if ((args.mask && !args.mask[i]) || (args.ignores && y == args.ignore_index)) continue;
      STD_TORCH_CHECK((uint64_t)y < (uint64_t)args.known_classes, "target ", y, " at pixel ", i,
                      " is out of bounds for fastloss, expected [0, ", args.known_classes, ") or the ignore_index");
    }
  }

  static void run(const RegionSums& arguments) {
    RegionsProblem problem(arguments);
    STD_TORCH_CHECK(problem.input.is_cpu(), "fastloss: expected CPU tensors");
    RegionsArgs& args = problem.args;
    cut(args);
    const int64_t each = kRegionSums * args.classes, tasks = args.samples * args.pieces;
    std::vector<double> pieces((size_t)(tasks * each));
    std::vector<Flag> bad((size_t)tasks);
    args.sums = pieces.data();
    args.bad = bad.data();
    run(problem);
    if (std::find(bad.begin(), bad.end(), 1) != bad.end()) refuse(args);
    double* const sums = (double*)mutable_data_of(arguments.sums.tensor);
    for (int64_t sample = 0; sample < args.samples; ++sample) {
      for (int64_t k = 0; k < each; ++k) {
        double total = 0;
        for (int64_t piece = 0; piece < args.pieces; ++piece) {
          total += pieces[(size_t)((sample * args.pieces + piece) * each + k)];
        }
        sums[sample * each + k] = total;
      }
    }
  }

  static void run(const RegionGradient& arguments) {
    RegionsProblem problem(arguments);
    STD_TORCH_CHECK(problem.input.is_cpu(), "fastloss: expected CPU tensors");
    RegionsArgs& args = problem.args;
    cut(args);
    const int64_t elements = problem.input.numel(), size = bytes_of((Element)dtype_of(problem.input));
    args.stream = elements * size >= kStreamBytes && (uintptr_t)args.gradient.data % size == 0;
    memory::advise_huge_pages(args.gradient.data, elements * size);
    run(problem);
  }
};

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(fastloss, m){
    FASTLOSS_REGIONS_OPERATORS(FASTLOSS_DEFINE_ARGUMENTS)} STABLE_TORCH_LIBRARY_IMPL(fastloss, CPU, m) {
  FASTLOSS_REGIONS_OPERATORS(FASTLOSS_IMPLEMENT_ARGUMENTS)
}

}  // namespace fastloss::ops
