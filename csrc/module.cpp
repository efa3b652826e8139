// Introspection only: nothing here takes a tensor. pybind11 is slow to compile, so it is kept apart.

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <torch/headeronly/version.h>

#include <map>
#include <stdexcept>

#include "cpu/isa.h"

namespace py = pybind11;

namespace {

#define FASTLOSS_NAME(name, Functor, params) {#name, params},
std::vector<std::pair<std::string, std::string>> rows_losses() { return {FASTLOSS_ROWS_LOSSES(FASTLOSS_NAME)}; }
std::vector<std::pair<std::string, std::string>> pointwise_losses() {
  return {FASTLOSS_POINTWISE_LOSSES(FASTLOSS_NAME)};
}
#undef FASTLOSS_NAME

std::map<std::string, std::string> build() {
  const auto version = [](unsigned long long code) {
    return std::to_string(code >> 56) + "." + std::to_string((code >> 48) & 0xff);
  };
  return {{"torch", TORCH_VERSION},
          {"abi_target", version(TORCH_TARGET_VERSION)},
#if defined(__clang__)
          {"compiler", "clang " __clang_version__}};
#else
          {"compiler", "gcc " __VERSION__}};
#endif
}

// Runs one of the vector functions of an ISA on `bytes` of packed values, for the accuracy tests.
py::bytes apply(const std::string& isa, const std::string& function, const std::string& bytes, bool is_double) {
  const fastloss::Kernels& k = fastloss::isa::kernels(isa);
  const std::map<std::string, int> math{{"exp", 0}, {"log", 1}, {"log1p", 2}, {"tanh", 3}};
  const std::map<std::string, std::tuple<int, int, int>> conversions{
      {"half_to_float", {0, 2, 4}}, {"float_to_half", {1, 4, 2}}, {"float_to_bfloat16", {2, 4, 2}}};
  if (math.count(function)) {
    std::string out(bytes.size(), '\0');
    k.math[math.at(function)][is_double](bytes.data(), out.data(), (int64_t)(bytes.size() / (is_double ? 8 : 4)));
    return out;
  }
  if (!conversions.count(function)) throw std::invalid_argument("unknown function " + function);
  const auto [index, in, out_size] = conversions.at(function);
  const int64_t n = (int64_t)bytes.size() / in;
  std::string out(n * out_size, '\0');
  k.conversions[index](bytes.data(), out.data(), n);
  return out;
}

}  // namespace

PYBIND11_MODULE(_C, m) {
  m.doc() = "Introspection of fastloss's kernels; importing it registers the operators torch.ops.fastloss.*";
  m.def("build", &build);
  m.def("isa_compiled", &fastloss::isa::compiled);
  m.def("isa_available", &fastloss::isa::available);
  m.def("isa_active", &fastloss::isa::active);
  m.def("isa_force", &fastloss::isa::force, py::arg("name"));
  m.def("rows_losses", &rows_losses);
  m.def("pointwise_losses", &pointwise_losses);
  m.def("apply", &apply, py::arg("isa"), py::arg("function"), py::arg("data"), py::arg("is_double"));
}
