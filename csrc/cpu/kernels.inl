// Included by each kernels_<isa>.cpp after it has set FASTLOSS_ISA and FASTLOSS_VEC_BYTES: the engines, for every dtype.
// See csrc/README.md, "ISA files".

#include "cpu/kernels.h"
#include "cpu/mining.h"
#include "cpu/pointwise.h"
#include "cpu/rows.h"
#include "cpu/scale.h"
#include "cpu/unit_rows.h"

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
  e.pointwise = &pointwise<S>;
  e.scale = &scale<S>;
  e.unit_rows = &unit_rows<S, Unit>;
  e.unit_rows_backward = &unit_rows_backward<T, S, Unit>;
  if constexpr (!is_half<S>) e.take_positives = &take_positives<S>;
  if constexpr (sizeof(S) == sizeof(T)) {
    e.mine = &Mine<T>::run;
    e.list_pairs = &Mine<T>::list;
    e.mine_scratch = &Mine<T>::scratch;
    e.add_shares = &Shares<T>::run;
  }
  return e;
}

#if !defined(FASTLOSS_ONLY_BFLOAT16)
// Elementwise functions on plain arrays, for the accuracy tests.
template <class T, Vec<T> (*f)(Vec<T>)>
void map(const void* in, void* out, int64_t n) {
  const T* p = (const T*)in;
  T* q = (T*)out;
  int64_t i = 0;
  for (; i + Vec<T>::size <= n; i += Vec<T>::size) store(q + i, f(load(p + i)));
  if (i < n) store_partial(q + i, (int)(n - i), f(load_partial(p + i, (int)(n - i), (T)0)));
}
template <class T>
Vec<T> map_exp(Vec<T> x) {
  return exp(x);
}
template <class T>
Vec<T> map_exp_negative(Vec<T> x) {
  return exp_negative(x);
}
template <class T>
Vec<T> map_exp_logit(Vec<T> x) {
  return exp_logit(x);
}
template <class T>
Vec<T> map_log(Vec<T> x) {
  return log(x);
}
template <class T>
Vec<T> map_log1p(Vec<T> x) {
  return log1p(x);
}
template <class T>
Vec<T> map_log1p_unit(Vec<T> x) {
  return log1p_unit(x);
}
template <class T>
Vec<T> map_over_one_plus(Vec<T> x) {
  return over_one_plus(x);
}
template <class T>
Vec<T> map_tanh(Vec<T> x) {
  Vec<T> value, slope;
  tanh_and_slope(x, value, slope);
  return value;
}
void map_from_half(const void* in, void* out, int64_t n) {
  for (int64_t i = 0; i < n; ++i) ((float*)out)[i] = load_one((const Half*)in + i);
}
void map_to_half(const void* in, void* out, int64_t n) {
  for (int64_t i = 0; i < n; ++i) store_one((Half*)out + i, ((const float*)in)[i]);
}
#endif
void map_to_bfloat16(const void* in, void* out, int64_t n) {
  for (int64_t i = 0; i < n; ++i) store_one((BFloat16*)out + i, ((const float*)in)[i]);
}

}  // namespace

void list_engines(Kernels& table) {
#if !defined(FASTLOSS_ONLY_BFLOAT16)
  table.engine[(int)DType::f32] = engine<float>();
  table.engine[(int)DType::f64] = engine<double>();
  table.engine[(int)DType::f16] = engine<Half>();
  const MathKernel math[][2] = {{&map<float, map_exp<float>>, &map<double, map_exp<double>>},
                                {&map<float, map_log<float>>, &map<double, map_log<double>>},
                                {&map<float, map_log1p<float>>, &map<double, map_log1p<double>>},
                                {&map<float, map_tanh<float>>, &map<double, map_tanh<double>>},
                                {&map<float, map_exp_negative<float>>, &map<double, map_exp_negative<double>>},
                                {&map<float, map_log1p_unit<float>>, &map<double, map_log1p_unit<double>>},
                                {&map<float, map_over_one_plus<float>>, &map<double, map_over_one_plus<double>>},
                                {&map<float, map_exp_logit<float>>, &map<double, map_exp_logit<double>>}};
  memcpy(table.math, math, sizeof(math));
  table.conversions[0] = &map_from_half;
  table.conversions[1] = &map_to_half;
#endif
  table.engine[(int)DType::bf16] = engine<BFloat16>();
  table.conversions[2] = &map_to_bfloat16;
}

}  // namespace fastloss::FASTLOSS_ISA
