// The engines, for every dtype. Compiled for each ISA: csrc/README.md, "ISA files".

#include "simd/stored.h"
#include "simd/kernels.h"
#include "engines/similarity/mining.h"
#include "engines/elements/cpu.h"
#include "engines/softmax/cpu.h"
#include "engines/outputs/cpu.h"
#include "engines/regions/cpu.h"
#include "simd/scale.h"
#include "engines/similarity/unit_rows.h"

namespace fastloss::FASTLOSS_ISA {
namespace {

template <class S>
int64_t rows_scratch(const RowsArgs& args) {
  return Rows<S>::layout(args).bytes();
}

template <class S>
Engine engine() {
  using T = typename Compute<S>::type;
  using Unit = typename Products<S>::type;
  Engine e{};
  e.rows = &Rows<S>::run;
  e.rows_scratch = &rows_scratch<S>;
  e.outputs = &Outputs<S>::run;
  e.outputs_scratch = &Outputs<S>::scratch;
  e.regions = &Regions<S>::run;
  e.regions_scratch = &Regions<S>::scratch;
  e.pointwise = &pointwise<S>;
  e.scale = &scale<S>;
  e.unit_rows = &unit_rows<S, Unit>;
  e.unit_rows_backward = &unit_rows_backward<T, S, Unit>;
  if constexpr (!is_half<S>) e.take_positives = &take_positives<S>;
  if constexpr (sizeof(S) == sizeof(T)) {
    e.read = &read_any<T>;
    e.write = &write_any<T>;
    e.mine = &Mine<T>::run;
    e.list_pairs = &Mine<T>::list;
    e.mine_scratch = &Mine<T>::scratch;
    e.add_shares = &Shares<T>::run;
  }
  return e;
}

#if !defined(FASTLOSS_ONLY_BFLOAT16)
template <class T>
Vec<T> tanh(Vec<T> x) {
  Vec<T> value, slope;
  tanh_and_slope(x, value, slope);
  return value;
}
template <class T, Vec<T> (*f)(Vec<T>)>
void map(const void* in, void* out, int64_t n) {
  const T* p = (const T*)in;
  T* q = (T*)out;
  int64_t i = 0;
  for (; i + Vec<T>::size <= n; i += Vec<T>::size) store(q + i, f(load(p + i)));
  if (i < n) store_partial(q + i, (int)(n - i), f(load_partial(p + i, (int)(n - i), (T)0)));
}
#define FASTLOSS_MAP(name)      \
  template <class T>            \
  Vec<T> map_##name(Vec<T> x) { \
    return name(x);             \
  }
FASTLOSS_VECTOR_FUNCTIONS(FASTLOSS_MAP)
#undef FASTLOSS_MAP
void half_to_float(const void* in, void* out, int64_t n) {
  for (int64_t i = 0; i < n; ++i) ((float*)out)[i] = load_one((const Half*)in + i);
}
void float_to_half(const void* in, void* out, int64_t n) {
  for (int64_t i = 0; i < n; ++i) store_one((Half*)out + i, ((const float*)in)[i]);
}
#endif
void float_to_bfloat16(const void* in, void* out, int64_t n) {
  for (int64_t i = 0; i < n; ++i) store_one((BFloat16*)out + i, ((const float*)in)[i]);
}

}  // namespace

void list_engines(Kernels& table) {
#if !defined(FASTLOSS_ONLY_BFLOAT16)
  table.engine[(int)DType::f32] = engine<float>();
  table.engine[(int)DType::f64] = engine<double>();
  table.engine[(int)DType::f16] = engine<Half>();
#define FASTLOSS_LIST(name) \
  table.functions[(int)VectorFunction::name] = {&map<float, map_##name<float>>, &map<double, map_##name<double>>};
  FASTLOSS_VECTOR_FUNCTIONS(FASTLOSS_LIST)
#undef FASTLOSS_LIST
#define FASTLOSS_LIST(name, ...) table.conversions[(int)Conversion::name] = &name;
  FASTLOSS_CONVERSIONS(FASTLOSS_LIST)
#undef FASTLOSS_LIST
#endif
  table.engine[(int)DType::bf16] = engine<BFloat16>();
  table.conversions[(int)Conversion::float_to_bfloat16] = &float_to_bfloat16;
}

}  // namespace fastloss::FASTLOSS_ISA
