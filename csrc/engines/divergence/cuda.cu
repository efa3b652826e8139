// The divergence engine on CUDA: Note [Divergences] in contract.h. A block takes a row and reads it once from memory; the
// passes after the first find it in L1 or L2: maxima, sums of exponentials, sums of the divergence's terms, gradients. Every
// pass computes a class's terms again, so that nothing of a row's length is kept.
//
// Sums. A thread adds its classes in the computing type, block_sum the threads in double.

#include "core/compute.h"
#include "device/block.h"
#include "device/stored.h"
#include "engines/divergence/cuda.h"
#include "losses/functors.h"

namespace fastloss::cuda {
namespace {

constexpr int kThreads = kDivergenceThreads;
constexpr double kClose = 8;  // Note [Two references] in cpu.h

template <class T>
FASTLOSS_DEVICE T block_max(T v, T* scratch) {
  FASTLOSS_UNROLL
  for (int k = 16; k > 0; k /= 2) v = maximum(v, shuffle_xor(v, k));
  block_barrier();  // scratch may still be read from the maximum before
  if (thread() % 32 == 0) scratch[thread() / 32] = v;
  block_barrier();
  for (int w = 0; w < kThreads / 32; ++w) v = maximum(v, scratch[w]);
  return v;
}

// A class's number, of a type that a code names if there are several.
template <class S, bool mixed>
FASTLOSS_DEVICE auto read_class(const DivergenceView& view, int64_t offset, int64_t c) {
  using T = typename Compute<S>::type;
  const int64_t at = offset + c * view.class_stride;
  if constexpr (mixed) {
    return load_number<T>(view.type, view.data, at);
  } else {
    return widen(((const S*)view.data)[at]);
  }
}
template <class S, bool mixed, class T>
FASTLOSS_DEVICE void write_class(const DivergenceView& view, int64_t offset, int64_t c, T value) {
  const int64_t at = offset + c * view.class_stride;
  if (!view.data) return;
  if constexpr (mixed) {
    store_number(view.type, view.data, at, value);
  } else {
    store_one((S*)view.data + at, narrow<S>(value));
  }
}

// A row's logits, and what holds of its classes; see Row in cpu.h.
template <class S, bool mixed>
struct TwoRows {
  using T = typename Compute<S>::type;
  const DivergenceArgs& args;
  int64_t student, teacher;  // where they begin
  T by_student{}, by_teacher{};
  T student_shift{}, teacher_shift{}, student_factor{}, teacher_factor{}, log_student{}, log_teacher{}, distance{};
  bool direct{}, given{};

  FASTLOSS_DEVICE T b(int64_t c) const { return read_class<S, mixed>(args.student, student, c); }
  FASTLOSS_DEVICE T stored(int64_t c) const { return read_class<S, mixed>(args.teacher, teacher, c); }
  FASTLOSS_DEVICE T a(int64_t c) const { return given ? log(stored(c)) : stored(c); }

  FASTLOSS_DEVICE void measure() {
    void* const scratch = shared_memory();
    T student_max = lowest<T>(), teacher_max = lowest<T>();
    for (int64_t c = thread(); c < args.classes; c += kThreads) {
      student_max = maximum(student_max, b(c));
      teacher_max = maximum(teacher_max, a(c));
    }
    student_max = block_max(student_max, (T*)scratch) * by_student;
    teacher_max = block_max(teacher_max, (T*)scratch) * by_teacher;
    const bool logits = args.options.teacher == Teacher::logits;
    const T apart = teacher_max - student_max;
    direct = logits && apart < (T)kClose && -apart < (T)kClose;
    student_shift = direct ? maximum(student_max, teacher_max) : student_max;
    teacher_shift = direct ? student_shift : logits ? teacher_max : (T)0;
    T of_q = 0, of_p = 0, more = 0;
    for (int64_t c = thread(); c < args.classes; c += kThreads) {
      const T difference = difference_at(c), e = student_exp(c), g = teacher_exp(c);
      of_q += e;
      of_p += g;
      more += direct && abs(difference) < (T)kNear ? e * (difference + psi<T>(difference)) : g - e;
    }
    const double q_sum = block_sum<kThreads>((double)of_q, (double*)scratch);
    const double all = block_sum<kThreads>((double)of_p, (double*)scratch), p_sum = logits ? all : 1;
    const double excess = block_sum<kThreads>((double)more, (double*)scratch) / q_sum;
    student_factor = (T)(1 / q_sum);
    teacher_factor = (T)(1 / p_sum);
    log_student = (T)log(q_sum);
    log_teacher = (T)log(p_sum);
    distance = (T)(direct && excess < 0.5 && excess > -0.5 ? log1p(excess) : log(p_sum / q_sum));
  }

  FASTLOSS_DEVICE T student_exp(int64_t c) const { return exp(minus(b(c) * by_student, student_shift)); }
  FASTLOSS_DEVICE T teacher_exp(int64_t c) const {
    return given ? stored(c) : exp(minus(a(c) * by_teacher, teacher_shift));
  }
  FASTLOSS_DEVICE T difference_at(int64_t c) const {
    const T x = b(c), y = a(c);
    if (!direct) return minus(y * by_teacher, teacher_shift) - minus(x * by_student, student_shift);
    return by_student == by_teacher ? (y - x) * by_student : minus(y * by_teacher, x * by_student);
  }

  template <bool logs>
  FASTLOSS_DEVICE ClassPair<T> pair_at(int64_t c) const {
    ClassPair<T> made;
    made.p = teacher_exp(c) * teacher_factor;
    made.q = student_exp(c) * student_factor;
    made.d = made.p == 0 && made.q == 0 ? (T)0 : difference_at(c) - distance;
    made.near = abs(made.d) < (T)kNear;
    made.psi = psi<T>(made.d);
    made.gap = made.near ? made.q * (made.d + made.psi) : made.p - made.q;
    if constexpr (logs) {
      made.log_q = minus(b(c) * by_student, student_shift + log_student);
      made.log_p = minus(a(c) * by_teacher, teacher_shift + log_teacher);
    }
    return made;
  }
};

template <class S, template <class> class Loss, bool mixed>
FASTLOSS_KERNEL(kThreads, 2)
divergence_rows(const DivergenceLaunch l, const Loss<typename Compute<S>::type> f) {
  using T = typename Compute<S>::type;
  const DivergenceArgs& args = l.args;
  double scale;
  if (!find_factor(l, args.scale, scale)) return;
  const int64_t row = block();
  const int64_t to_student = args.student_gradient.data ? args.offset_of(args.student_gradient, row) : 0,
                to_teacher = args.teacher_gradient.data ? args.offset_of(args.teacher_gradient, row) : 0;
  double loss = 0;
  if (args.mask && !args.mask[row]) {
    for (int64_t c = thread(); c < args.classes; c += kThreads) {
      write_class<S, mixed>(args.student_gradient, to_student, c, (T)0);
      write_class<S, mixed>(args.teacher_gradient, to_teacher, c, (T)0);
    }
  } else {
    const auto value_at = [&](const void* values) { return values ? (double)((const T*)values)[row] : 1.0; };
    TwoRows<S, mixed> rows{args, args.offset_of(args.student, row), args.offset_of(args.teacher, row)};
    rows.by_student = (T)(1 / args.options.temperature);
    rows.by_teacher = (T)(1 / args.options.target_temperature);
    rows.given = args.options.teacher == Teacher::probabilities;
    rows.measure();
    const bool logits = args.options.teacher == Teacher::logits;
    T value = 0, p_slope = 0, q_slope = 0, gap = 0;
    for (int64_t c = thread(); c < args.classes; c += kThreads) {
      const ClassPair<T> pair = rows.template pair_at<Loss<T>::reads_logs>(c);
      const DivergenceTerms<T> terms = f(pair);
      value += terms.value;
      p_slope += terms.p_slope;
      q_slope += terms.q_slope;
      gap += pair.gap;
    }
    double* const scratch = (double*)shared_memory();
    const double weight = value_at(args.weight);
    loss = block_sum<kThreads>((double)value, scratch);
    const double p_center = logits ? block_sum<kThreads>((double)p_slope, scratch) : -f.excess();
    const double q_center = block_sum<kThreads>((double)q_slope, scratch);
    if (!logits) loss += f.excess() * block_sum<kThreads>((double)gap, scratch);
    loss *= weight;
    if (args.student_gradient.data || args.teacher_gradient.data) {
      const double factor = weight * value_at(args.upstream) * scale;
      const T student_factor = (T)(factor / args.options.temperature),
              teacher_factor = (T)(factor / args.options.target_temperature);
      // A thread reads its classes before it writes them: the gradient may lie over the logits.
      for (int64_t c = thread(); c < args.classes; c += kThreads) {
        const ClassPair<T> pair = rows.template pair_at<Loss<T>::reads_logs>(c);
        const DivergenceTerms<T> terms = f(pair);
        write_class<S, mixed>(args.student_gradient, to_student, c,
                              (terms.q_slope - pair.q * (T)q_center) * student_factor);
        write_class<S, mixed>(args.teacher_gradient, to_teacher, c,
                              (terms.p_slope - pair.p * (T)p_center) * teacher_factor);
      }
    }
  }
  if (thread() == 0 && args.loss) store_one((T*)args.loss + row, (T)loss);
  if (thread() == 0 && l.sums) store_one(l.sums + row, loss);
}

template <class S, template <class> class Loss>
int run_loss(const DivergenceLaunch& l, Stream stream) {
  const Grid grid{l.blocks, kThreads, kThreads / 32 * (int)sizeof(double), 1};
  const Loss<typename Compute<S>::type> loss(l.args.params);
  if constexpr (sizeof(S) == sizeof(typename Compute<S>::type)) {
    if (l.mixed) return launch(&divergence_rows<S, Loss, true>, grid, stream, l, loss);
  }
  return launch(&divergence_rows<S, Loss, false>, grid, stream, l, loss);
}

}  // namespace

template <>
int run_divergence<DType::FASTLOSS_DTYPE>(int loss, const DivergenceLaunch& launch, void* stream) {
  switch (loss) {
#define FASTLOSS_RUN(name, Functor, params) \
  case k_##name:                            \
    return run_loss<FASTLOSS_STORED, Functor>(launch, (Stream)stream);
    FASTLOSS_DIVERGENCE_LOSSES(FASTLOSS_RUN)
#undef FASTLOSS_RUN
  }
  return 1;
}

}  // namespace fastloss::cuda
