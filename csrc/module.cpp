// What Python needs besides operators: introspection, and memory for tensors. This module is built for each Python;
// libfastloss.so, which has the kernels and operators and which the module is linked with, serves all of them.

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <torch/headeronly/version.h>

#include <algorithm>
#include <map>
#include <memory>
#include <stdexcept>

#include "losses/functors.h"
#include "simd/isa.h"
#include "torch/memory.h"

namespace py = pybind11;

namespace {

#define FASTLOSS_NAME(name, Functor, params) {#name, params},
std::vector<std::pair<std::string, std::string>> rows_losses() { return {FASTLOSS_ROWS_LOSSES(FASTLOSS_NAME)}; }
std::vector<std::pair<std::string, std::string>> pointwise_losses() {
  return {FASTLOSS_POINTWISE_LOSSES(FASTLOSS_NAME)};
}
std::vector<std::pair<std::string, std::string>> pairs_losses() { return {FASTLOSS_PAIRS_LOSSES(FASTLOSS_NAME)}; }
std::vector<std::pair<std::string, std::string>> divergence_losses() {
  return {FASTLOSS_DIVERGENCE_LOSSES(FASTLOSS_NAME)};
}
std::vector<std::pair<std::string, std::string>> similarity_losses() {
  return {FASTLOSS_SIMILARITY_LOSSES(FASTLOSS_NAME)};
}
#undef FASTLOSS_NAME

// Of a pointwise loss, how many numbers an element of a tensor is.
std::map<std::string, int> components() {
#define FASTLOSS_COMPONENTS(name, Functor, params) {#name, fastloss::kComponents<fastloss::Functor<double>>},
  return {FASTLOSS_POINTWISE_LOSSES(FASTLOSS_COMPONENTS)};
#undef FASTLOSS_COMPONENTS
}

// Names of the options of losses over rows, and the values that change nothing.
std::vector<std::pair<std::string, double>> rows_options() {
#define FASTLOSS_OPTION(type, name, value) {#name, value},
  return {FASTLOSS_ROWS_OPTIONS(FASTLOSS_OPTION)};
#undef FASTLOSS_OPTION
}

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

// Runs one of the vector functions or conversions of an ISA on `bytes` of packed values, for the accuracy tests.
py::bytes apply(const std::string& isa, const std::string& function, const std::string& bytes, bool is_double) {
  struct Entry {
    fastloss::ArrayKernel kernel;
    size_t in, out;  // bytes of a value
  };
  const fastloss::Kernels& k = fastloss::isa::kernels(isa);
  const size_t size = is_double ? 8 : 4;
  const auto kernel = [&](fastloss::VectorFunction f) {
    return is_double ? k.functions[(int)f].f64 : k.functions[(int)f].f32;
  };
#define FASTLOSS_FUNCTION(name) {#name, {kernel(fastloss::VectorFunction::name), size, size}},
#define FASTLOSS_CONVERSION(name, in, out) {#name, {k.conversions[(int)fastloss::Conversion::name], in, out}},
  const std::map<std::string, Entry> entries{FASTLOSS_VECTOR_FUNCTIONS(FASTLOSS_FUNCTION)
                                                 FASTLOSS_CONVERSIONS(FASTLOSS_CONVERSION)};
#undef FASTLOSS_FUNCTION
#undef FASTLOSS_CONVERSION
  if (!entries.count(function)) throw std::invalid_argument("unknown function " + function);
  const Entry& entry = entries.at(function);
  const size_t n = bytes.size() / entry.in;
  std::string out(n * entry.out, '\0');
  entry.kernel(bytes.data(), out.data(), (int64_t)n);
  return out;
}

// DLPack's structures, whose layout is frozen: how memory with a deleter reaches a tensor (the stable ABI of PyTorch
// 2.10 has no other way), and how C looks at a tensor that Python has.
struct DLTensor {
  void* data;
  int32_t device_type, device_id;
  int32_t ndim;
  uint8_t type_code, type_bits;
  uint16_t type_lanes;
  int64_t *shape, *strides;
  uint64_t byte_offset;
};
struct DLManagedTensor {
  DLTensor tensor;
  void* context;
  void (*deleter)(DLManagedTensor*);
};
struct DLPackExchangeAPI {
  uint32_t major, minor;
  void *previous, *allocate, *from_object, *to_object;
  int (*look_at)(void* object, DLTensor* out);  // 0, or -1 with an exception set
};
constexpr int32_t kDLCPU = 1;
constexpr uint8_t kDLInt = 0, kDLFloat = 2, kDLBfloat = 4;

struct PooledTensor {
  DLManagedTensor managed;
  fastloss::memory::Loan memory;
  std::vector<int64_t> shape, strides;

  ~PooledTensor() { fastloss::memory::release(memory); }
};

py::capsule pooled_tensor(std::vector<int64_t> shape, std::vector<int64_t> strides, size_t element_bytes,
                          bool is_bfloat16) {
  size_t bytes = element_bytes;
  for (const int64_t size : shape) {
    if (size < 0 || __builtin_mul_overflow(bytes, (size_t)size, &bytes) || bytes > SIZE_MAX / 2) {
      throw std::invalid_argument("fastloss: expected sizes of a tensor");
    }
  }
  std::unique_ptr<PooledTensor> owner(
      new PooledTensor{{}, fastloss::memory::allocate(bytes), std::move(shape), std::move(strides)});
  owner->managed = {{owner->memory->data, kDLCPU, 0, (int32_t)owner->shape.size(), is_bfloat16 ? kDLBfloat : kDLFloat,
                     (uint8_t)(8 * element_bytes), 1, owner->shape.data(), owner->strides.data(), 0},
                    owner.get(),
                    [](DLManagedTensor* self) { delete (PooledTensor*)self->context; }};
  const auto unclaimed = [](PyObject* capsule) {  // a consumer renames the capsule
    if (!PyCapsule_IsValid(capsule, "dltensor")) return;
    auto* managed = (DLManagedTensor*)PyCapsule_GetPointer(capsule, "dltensor");
    managed->deleter(managed);
  };
  PyObject* const capsule = PyCapsule_New(&owner->managed, "dltensor", unclaimed);
  if (capsule == nullptr) throw py::error_already_set();
  owner.release();
  return py::reinterpret_steal<py::capsule>(capsule);
}

// Note [The gate of tiny calls]
// A tiny cross entropy goes to PyTorch's own operator, and everything asked before it is time lost to it: sizes, dtypes
// and devices asked one by one in Python take 0.5 us, and PyTorch's own Python layer 0.16. So one function looks at the
// tensors, by Python's own calling convention (pybind11's takes 0.2 us more), through the table of DLPack, which is the
// one C interface to a tensor without a symbol of PyTorch's C++. Whatever the function cannot see it answers with no,
// and the general way decides.
PyTypeObject* tensor_types[2] = {};  // Tensor and Parameter: subclasses may mean something else
int (*look_at)(void*, DLTensor*) = nullptr;

bool is_dense(const DLTensor& t) {
  int64_t expected = 1;
  for (int k = t.ndim - 1; t.strides != nullptr && k >= 0; expected *= t.shape[k], --k)
    if (t.shape[k] != 1 && t.strides[k] != expected) return false;
  return true;
}

int64_t count_of(const DLTensor& t) {
  int64_t n = 1;
  for (int k = 0; k < t.ndim; ++k) n *= t.shape[k];
  return n;
}

// Whether `object` is a tensor of PyTorch's own in host memory; then `t` describes it.
bool find_tensor(PyObject* object, DLTensor& t) {
  if (look_at == nullptr || (Py_TYPE(object) != tensor_types[0] && Py_TYPE(object) != tensor_types[1])) return false;
  if (look_at(object, &t) == 0) return t.device_type == kDLCPU;
  PyErr_Clear();  // a tensor without memory, of a functorch transform, say
  return false;
}

// Note [The gate of tiny calls]. `most` logits at most, or 28 times as many in
// rows of 16 classes and more, where PyTorch's operator is vectorised too (measured on 2 cores); no row is ignored, for PyTorch's gradient of an ignored row of NaN is NaN.
PyObject* is_tiny_of(PyObject* const* args, Py_ssize_t count, DLTensor& logits, DLTensor& target) {
  if (count != 4) {
    PyErr_SetString(PyExc_TypeError, "is_tiny: expected input, target, ignore_index and a count");
    return nullptr;
  }
  if (!find_tensor(args[0], logits) || !find_tensor(args[1], target) || !PyLong_CheckExact(args[2])) Py_RETURN_FALSE;
  int overflow = 0;
  const int64_t ignored = PyLong_AsLongLongAndOverflow(args[2], &overflow);
  const int64_t n = count_of(logits), most = PyLong_AsLongLong(args[3]);
  if (PyErr_Occurred()) return nullptr;
  if (overflow != 0 || (n > most && !(n <= 28 * most && logits.ndim == 2 && logits.shape[1] >= 16))) Py_RETURN_FALSE;
  if (target.type_code == kDLFloat || target.type_code == kDLBfloat) Py_RETURN_TRUE;  // probabilities
  if (target.type_code != kDLInt || target.type_bits != 64 || !is_dense(target)) Py_RETURN_FALSE;
  const int64_t* const p = (const int64_t*)((const char*)target.data + target.byte_offset);
  const int64_t* const end = p + count_of(target);
  return PyBool_FromLong(std::find(p, end, ignored) == end);
}
// is_tiny(input, target, ignore_index, most)
PyObject* is_tiny(PyObject*, PyObject* const* args, Py_ssize_t count) {
  DLTensor logits, target;
  return is_tiny_of(args, count, logits, target);
}
// Likewise, of a matrix of float or double, and a class for each row, or as many numbers of its type.
PyObject* is_tiny_matrix(PyObject*, PyObject* const* args, Py_ssize_t count) {
  DLTensor logits, target;
  PyObject* const tiny = is_tiny_of(args, count, logits, target);
  if (tiny != Py_True) return tiny;
  const bool classes = target.type_code == kDLInt;
  const bool alike = classes || (target.type_code == logits.type_code && target.type_bits == logits.type_bits &&
                                 target.ndim == 2 && target.shape[1] == logits.shape[1]);
  return PyBool_FromLong(logits.ndim == 2 && logits.type_code == kDLFloat && logits.type_bits >= 32 && alike &&
                         target.ndim == (classes ? 1 : 2) && target.shape[0] == logits.shape[0]);
}
PyMethodDef is_tiny_matrix_method = {"is_tiny_matrix", (PyCFunction)(void (*)())&is_tiny_matrix, METH_FASTCALL,
                                     nullptr};
PyMethodDef is_tiny_method = {"is_tiny", (PyCFunction)(void (*)())&is_tiny, METH_FASTCALL, nullptr};

// What `is_tiny` needs of PyTorch. A table of another major version is not used.
void open_gate(py::object table, py::type tensor, py::type parameter) {
  const auto* const api = (const DLPackExchangeAPI*)PyCapsule_GetPointer(table.ptr(), "dlpack_exchange_api");
  if (api == nullptr) throw py::error_already_set();
  if (api->major != 1) return;
  tensor_types[0] = (PyTypeObject*)tensor.ptr(), tensor_types[1] = (PyTypeObject*)parameter.ptr();
  look_at = api->look_at;
}

std::pair<size_t, size_t> memory_usage() {
  const fastloss::memory::Usage usage = fastloss::memory::usage();
  return {usage.in_use, usage.idle};
}

}  // namespace

// Without the GIL: what changes after the import are atomics, and the pool behind its mutex.
PYBIND11_MODULE(_C, m, py::mod_gil_not_used()) {
  m.doc() = "Introspection and memory of fastloss; importing it registers the operators torch.ops.fastloss.*";
  m.def("build", &build);
  m.def("isa_compiled", &fastloss::isa::compiled);
  m.def("isa_available", &fastloss::isa::available);
  m.def("isa_active", &fastloss::isa::active);
  m.def("isa_force", &fastloss::isa::force, py::arg("name"));
  m.def("rows_losses", &rows_losses);
  m.def("rows_options", &rows_options);
  m.def("pointwise_losses", &pointwise_losses);
  m.def("pairs_losses", &pairs_losses);
  m.def("components", &components);
  m.def("divergence_losses", &divergence_losses);
  m.def("similarity_losses", &similarity_losses);
  m.def("apply", &apply, py::arg("isa"), py::arg("function"), py::arg("data"), py::arg("is_double"));
  m.def("pooled_tensor", &pooled_tensor, py::arg("shape"), py::arg("strides"), py::arg("element_bytes"),
        py::arg("is_bfloat16"));
  m.attr("is_tiny_matrix") = py::reinterpret_steal<py::object>(PyCFunction_New(&is_tiny_matrix_method, nullptr));
  m.attr("is_tiny") = py::reinterpret_steal<py::object>(PyCFunction_New(&is_tiny_method, nullptr));
  m.def("open_gate", &open_gate);
  m.def("memory_usage", &memory_usage);
  m.def("memory_release_idle", &fastloss::memory::release_idle);
}
