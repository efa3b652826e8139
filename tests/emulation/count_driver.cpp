// Counts the instructions that a thread executes per element, in PTX (ptx.cpp): of every elementwise loss, value, sum and
// gradient of dense tensors, and of cross entropy per logit. Arguments: DTYPE, "points" and the losses' parameters, "a,b;;c;...",
// or "rows" and numbers of classes.

#include <functional>

#include "engines/elements/cuda.h"
#include "engines/softmax/cuda.h"
#include "losses/functors.h"
#include "driver.h"

namespace fastloss::cuda::emulation {
extern int64_t instructions;
}

namespace {

int64_t counted(const std::function<int()>& run) {
  const int64_t before = emulation::instructions;
  if (run() != 0) fail("launch", -1, -1, 1, 0, 0);
  return emulation::instructions - before;
}

template <class S>
S* random_values(Memory& memory, Random& random, int64_t n) {
  S* const p = memory.take<S>(n);
  for (int64_t i = 0; i < n; ++i) assign(p[i], 0.05 + 0.9 * random.uniform());
  return p;
}

template <class S>
void count_points(DType dtype, const char* given) {
  static constexpr struct {
    const char* name;
    int arity, components;
  } losses[] = {
#define FASTLOSS_ENTRY(name, Functor, params) {#name, Functor<float>::arity, kComponents<Functor<float>>},
      FASTLOSS_POINTWISE_LOSSES(FASTLOSS_ENTRY)
#undef FASTLOSS_ENTRY
  };
  Random random{1};
  for (int id = 0; id < kPointwiseLosses; ++id) {
    Memory memory(Place::aligned);
    cuda::PointLaunch l{};
    for (int k = 0; *given && *given != ';'; ++k) {
      char* end;
      l.args.params[k] = strtod(given, &end);
      given = end + (*end == ',');
    }
    given += *given == ';';
    const int K = losses[id].components;
    const int64_t n = 4 * cuda::kPointThreads * cuda::kPlainVectors * cuda::plain_elements(sizeof(S), K);
    l.args.elements = n, l.args.components = K, l.args.plain = true, l.args.scale = 1;
    l.args.dims = 1, l.args.size[0] = n;
    const auto view = [&](void* data) { return PointView{data, {K}, true, (Element)dtype, false}; };
    for (int k = 0; k < losses[id].arity; ++k) l.args.operand[k] = view(random_values<S>(memory, random, n * K));
    l.args.gradient[0] = view(memory.take<S>(n * K));
    cuda::plan_points(dtype, l);
    l.block_elements = (int)n, l.blocks = 1;
    l.sums = memory.take<double>(1);
    printf("%s %.1f\n", losses[id].name,
           (double)counted([&] { return cuda::run_points(id, dtype, l, nullptr); }) / (double)n);
  }
}

template <class S>
void count_rows(DType dtype, const char* given) {
  Random random{1};
  for (char* end; *given; given = end + (*end == ',')) {
    Memory memory(Place::aligned);
    const int64_t classes = strtoll(given, &end, 10), rows = classes > 256 ? 2 : 1024;
    cuda::RowsLaunch l{};
    int64_t* const target = memory.take<int64_t>(rows);
    for (int64_t i = 0; i < rows; ++i) target[i] = random.below(classes);
    l.rows.rows = rows, l.rows.classes = classes, l.rows.dims = 1, l.rows.size[0] = rows;
    l.rows.logits = {random_values<S>(memory, random, rows * classes), 1, {classes}};
    l.rows.gradient = {memory.take<S>(rows * classes), 1, {classes}};
    l.rows.target = target, l.rows.ignore_index = -100;
    const cuda::RowsPlan plan = cuda::plan_rows(dtype, l);
    l.sums = memory.take<double>(cuda::kSums * plan.blocks);
    const int64_t n = counted([&] { return cuda::run_rows(k_cross_entropy, dtype, l, plan, nullptr); });
    printf("%lld %.1f\n", (long long)classes, (double)n / (double)(rows * classes));
  }
}

}  // namespace

int main(int, char** argv) {
  return with_stored(argv[1], [&](auto stored, DType dtype) {
    const bool points = std::string(argv[2]) == "points";
    (points ? &count_points<decltype(stored)> : &count_rows<decltype(stored)>)(dtype, argv[3]);
  });
}
