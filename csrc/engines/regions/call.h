#pragma once

// A call of the operators of regions as every backend sees it. Logits are (N, C) or (N, C, d1, ...); targets are classes, int64
// of the logits' shape without C, or dense, of their shape and any type; sums and slopes are float64 (N, kRegionSums, C).

#include "engines/regions/args.h"
#include "engines/softmax/call.h"
#include "torch/arguments.h"

namespace fastloss::ops {

enum RegionNumbers { kIsSigmoid, kIsSquared, kHasPoint, kGamma, kLabelSmoothing, kIgnores, kIgnored, kRegionNumbers };

#define FASTLOSS_PIXELS(X) X(Tensor, input) X(Tensor, target) X(MaybeTensor, mask) X(std::vector<double>, numbers)
FASTLOSS_ARGUMENTS(PixelArguments, Arguments, FASTLOSS_PIXELS)

#define FASTLOSS_REGION_SUMS(X) X(Output<Tensor>, sums)
FASTLOSS_ARGUMENTS(RegionSums, PixelArguments, FASTLOSS_REGION_SUMS)

#define FASTLOSS_REGION_GRADIENT(X) X(Tensor, slopes) X(Output<Tensor>, grad_input)
FASTLOSS_ARGUMENTS(RegionGradient, PixelArguments, FASTLOSS_REGION_GRADIENT)

#define FASTLOSS_REGIONS_OPERATORS(X) X(region_sums, RegionSums) X(region_gradient, RegionGradient)

// Checks the tensors and gathers what a kernel reads. Owns what it had to copy.
struct RegionsProblem {
  RegionsArgs args{};
  const Tensor& input;
  std::vector<Tensor> owned;

  explicit RegionsProblem(const PixelArguments& a) : input(a.input) {
    const Tensor &target = a.target, *const mask = pointer(a.mask);
    const std::vector<double>& numbers = a.numbers;
    owned.reserve(4);
    STD_TORCH_CHECK(input.dim() > 1 && input.numel() > 0, "fastloss: expected a non-empty input (N, C, ...)");
    check_count(input);
    dtype_of(input);  // refuses integers
    args.samples = input.size(0);
    args.classes = input.size(1);
    args.pixels = input.numel() / (args.samples * args.classes);
    STD_TORCH_CHECK(args.classes < int64_t{1} << 24, "fastloss: expected fewer than 2^24 classes, got ", args.classes);
    STD_TORCH_CHECK(numbers.size() == kRegionNumbers, "fastloss: expected ", (int)kRegionNumbers, " numbers, got ",
                    numbers.size());
    args.sigmoid = numbers[kIsSigmoid] != 0;
    args.squared = numbers[kIsSquared] != 0;
    args.point = numbers[kHasPoint] != 0;
    args.params[0] = args.sigmoid ? -1 : 1;  // alpha: none
    args.params[1] = numbers[kGamma];
    args.label_smoothing = numbers[kLabelSmoothing];
    args.ignores = numbers[kIgnores] != 0;
    read_number(numbers[kIgnored], args.ignore_index);
    const bool indices = target.dim() == input.dim() - 1;
    bool fits = indices || target.dim() == input.dim();
    for (int64_t d = 0; fits && d < target.dim(); ++d)
      fits = target.size(d) == input.size(indices && d > 0 ? d + 1 : d);
    STD_TORCH_CHECK(
        fits && (!indices || target.scalar_type() == ScalarType::Long),
        "fastloss: expected int64 targets of the logits' shape without classes, or dense ones of their shape");
    STD_TORCH_CHECK(indices || !args.ignores, "fastloss: dense targets have no ignore_index");
    STD_TORCH_CHECK(indices || args.sigmoid || !args.point || numbers[kGamma] == 0,
                    "fastloss: a focal term of the softmax needs classes as targets");
    if (indices) {
      args.target = (const int64_t*)dense(target).const_data_ptr();
    } else {
      args.dense_type = element_of(target);
      args.dense = dense(target).const_data_ptr();
    }
    const bool one = args.sigmoid && args.classes == 1;  // a channel that is marked, or not
    args.first_class = one ? 1 : 0;
    args.known_classes = one ? 2 : args.classes;
    if (mask) {
      STD_TORCH_CHECK(mask->scalar_type() == ScalarType::Bool && mask->numel() == args.samples * args.pixels,
                      "fastloss: expected a bool mask of ", args.samples * args.pixels, " pixels");
      args.mask = (const Flag*)dense(*mask).const_data_ptr();
    }
    args.logits.data = (void*)data_of(input);
  }

  const Tensor& dense(const Tensor& t) {
    owned.push_back(as_dense(t));
    return owned.back();
  }

  explicit RegionsProblem(const RegionSums& a) : RegionsProblem((const PixelArguments&)a) {
    check_numbers("sums", a.sums.tensor);
    describe({{&args.logits, &input}});
  }

  explicit RegionsProblem(const RegionGradient& a) : RegionsProblem((const PixelArguments&)a) {
    const Tensor& grad = a.grad_input.tensor;
    check_numbers("slopes", a.slopes);
    args.slopes = (const double*)data_of(a.slopes);
    check_output("grad_input", grad, input);
    args.gradient.data = mutable_data_of(grad);
    describe({{&args.logits, &input}, {&args.gradient, &grad}});
  }

 private:
  void check_numbers(const char* name, const Tensor& t) const {
    STD_TORCH_CHECK(t.scalar_type() == ScalarType::Double && t.is_contiguous() &&
                        t.numel() == args.samples * kRegionSums * args.classes,
                    "fastloss: expected ", args.samples * kRegionSums * args.classes, " adjacent float64 numbers as ",
                    name);
  }

  // Merges dimensions of pixels that are adjacent in all.
  void describe(const std::vector<std::pair<RegionsView*, const Tensor*>>& views) {
    args.dims = 0;
    for (auto& [view, tensor] : views) {
      view->sample_stride = tensor->stride(0), view->class_stride = tensor->stride(1);
    }
    for (int64_t d = 2; d < input.dim(); ++d) {
      if (input.size(d) == 1) continue;
      bool merge = args.dims > 0;
      for (auto& [view, tensor] : views) {
        merge = merge && view->stride[args.dims - 1] == tensor->stride(d) * input.size(d);
      }
      if (merge) {
        args.size[args.dims - 1] *= input.size(d);
      } else {
        STD_TORCH_CHECK(args.dims < kMaxRowDims, "fastloss: more than ", kMaxRowDims,
                        " dimensions of pixels; make input contiguous");
        args.size[args.dims++] = input.size(d);
      }
      for (auto& [view, tensor] : views) view->stride[args.dims - 1] = tensor->stride(d);
    }
    if (args.dims == 0) {
      args.size[args.dims++] = 1;
      for (auto& [view, tensor] : views) view->stride[0] = 1;
    }
  }
};

}  // namespace fastloss::ops
