// Operators of row outputs for CUDA tensors. Kernels are in cuda.cu.

#include "engines/outputs/call.h"
#include "engines/outputs/cuda.h"
#include "torch/cuda_call.h"

namespace fastloss::ops {
namespace {

struct Backend {
  template <class A>
  static void run(const A& arguments) {
    OutputsProblem problem(arguments);
    const Device device(problem.input);
    const DType dtype = dtype_of(problem.input);
    cuda::OutputsLaunch launch{};
    launch.args = problem.args;
    cuda::plan_outputs(dtype, launch);
    check(cuda::run_outputs(dtype, launch, device.stream));
  }
};

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(fastloss, CUDA, m) { FASTLOSS_OUTPUTS_OPERATORS(FASTLOSS_IMPLEMENT_ARGUMENTS) }

}  // namespace fastloss::ops
