#pragma once

// The divergence engine on the CPU: Note [Divergences] in contract.h. Compiled for float and double: rows of other types, or
// whose classes are not adjacent, are converted into scratch, and gradients back.
//
// A row is read from memory once and stays in a core's caches for three passes: maxima; exponentials with their sums; what
// the divergence makes of each class, with the sums that both gradients need. A last one writes each gradient.
//
// Note [Two references]
// Of logits with maxima close to each other a_c - b_c is formed directly, and exponentials refer to the larger maximum: where
// a_c = b_c + small the difference keeps every digit. Of others it is (a_c - max a) - (b_c - max b): the rounding error of
// a_c - b_c would be of the size of the distance, and may exceed what decides between classes.
//
// Sums of exponentials keep the rounding errors of eight vectors' sums apart (ShortSum), a lane adds 32 of other terms before
// they go on in double.
// Rows add up in double, tasks in their order.

#include "engines/divergence/args.h"
#include "engines/divergence/contract.h"
#include "simd/lane_sum.h"
#include "simd/stored.h"
#include "simd/vec_math.h"

namespace fastloss::FASTLOSS_ISA {
namespace {

template <class T, template <class> class Loss>
struct Divergence {
  using V = Vec<T>;
  static constexpr int W = V::size;
  static constexpr Element type = sizeof(T) == 4 ? Element::f32 : Element::f64;
  static constexpr double kClose = 8;
  static constexpr int64_t kSummed = 32 * W;  // classes whose terms lanes sum in T

  const DivergenceArgs& a;
  const Loss<T> f;
  // [classes], whole vectors
  T *const student, *const teacher, *const p, *const q, *const p_slope, *const q_slope;
  char* const raw;

  const bool logits = a.options.teacher == Teacher::logits;
  const T by_student = (T)(1 / a.options.temperature), by_teacher = (T)(1 / a.options.target_temperature);

  // What holds of a row's classes: log q_c = b_c by_student - student_shift - log_student, and likewise log p_c.
  struct Row {
    const T *student, *teacher;
    T student_shift, teacher_shift;
    T student_factor, teacher_factor;  // of exponentials: 1 / their sum
    T log_student, log_teacher;
    T distance;  // log_teacher - log_student
    bool direct;
  };

  bool lies_so(const DivergenceView& view) const { return view.class_stride == 1 && view.type == type; }

  template <int bytes>
  FASTLOSS_FN static void copy_classes(char* to, int64_t to_stride, const char* from, int64_t from_stride, int64_t n) {
    for (int64_t c = 0; c < n; ++c) memcpy(to + c * to_stride * bytes, from + c * from_stride * bytes, bytes);
  }
  void copy_classes(char* to, int64_t to_stride, const char* from, int64_t from_stride, int bytes) const {
    bytes == 2   ? copy_classes<2>(to, to_stride, from, from_stride, a.classes)
    : bytes == 4 ? copy_classes<4>(to, to_stride, from, from_stride, a.classes)
                 : copy_classes<8>(to, to_stride, from, from_stride, a.classes);
  }

  char* at(const DivergenceView& view, int64_t row) const {
    return (char*)view.data + a.offset_of(view, row) * bytes_of(view.type);
  }
  // A row as values of T: where it lies, or converted to `to`.
  const T* read(const DivergenceView& view, int64_t row, T* to) const {
    const char* from = at(view, row);
    if (lies_so(view)) return (const T*)from;
    if (view.class_stride != 1) {
      copy_classes(raw, 1, from, view.class_stride, bytes_of(view.type));
      from = raw;
    }
    read_any<T>(view.type, from, a.classes, to);
    return to;
  }
  void write(const DivergenceView& view, int64_t row, const T* from) const {
    char* const to = at(view, row);
    char* const dense = view.class_stride == 1 ? to : raw;
    write_any<T>(view.type, dense, a.classes, from);
    if (dense != to) copy_classes(to, view.class_stride, dense, 1, bytes_of(view.type));
  }

  // A vector of logits; behind the last class -inf, which no sum notices.
  FASTLOSS_FN static V logits_at(const T* x, int64_t j, int n) {
    return FASTLOSS_LIKELY(n == W) ? load(x + j) : load_partial(x + j, n, (T)-__builtin_inf());
  }
  T max_of(const T* x) const {
    V largest(lowest<T>());
    for_vectors<T>(a.classes, [&](int64_t j, int n) { largest = max(largest, logits_at(x, j, n)); });
    return reduce_max(largest);
  }

  // Exponentials to p and q and a_c - b_c to q_slope; sums.
  void measure(Row& row) const {
    const T student_max = max_of(row.student) * by_student;
    if (logits) {
      const T teacher_max = max_of(row.teacher) * by_teacher, apart = teacher_max - student_max;
      row.direct = apart < (T)kClose && -apart < (T)kClose;
      const T common = teacher_max < student_max ? student_max : teacher_max;
      row.student_shift = row.direct ? common : student_max;
      row.teacher_shift = row.direct ? common : teacher_max;
    } else {
      row.direct = false;
      row.student_shift = student_max;
      row.teacher_shift = 0;
    }
    const V of_student(by_student), of_teacher(by_teacher), minus_student(-row.student_shift),
        minus_teacher(-row.teacher_shift), zero((T)0);
    const bool one_temperature = by_student == by_teacher, given = a.options.teacher == Teacher::probabilities;
    ShortSum<T> student_sum, teacher_sum, excess_sum;
    const auto run = [&](auto direct) __attribute__((always_inline)) {
      for_vectors<T>(a.classes, [&](int64_t j, int n) {
        const V b = logits_at(row.student, j, n), c = logits_at(row.teacher, j, n);
        const V x = b * of_student + minus_student, y = c * of_teacher + minus_teacher;
        const V e = exp_logit(x), g = given ? load(p + j) : exp_logit(y);
        V difference = y - x, excess = g - e;
        if constexpr (decltype(direct)::value) {
          difference = one_temperature ? (c - b) * of_student : c * of_teacher - b * of_student;
          excess = select(abs(difference) < V((T)kNear), e * (difference + psi<T>(difference)), excess);
        }
        student_sum.add_short(j, e);
        teacher_sum.add_short(j, g);
        excess_sum.add_short(j, excess);
        store(q + j, e);
        store(p + j, g);
        store(q_slope + j, difference);
      });
    };
    row.direct ? run(std::true_type{}) : run(std::false_type{});
    const double of_q = reduce_add(student_sum.wide(a.classes));
    const double of_p = logits ? reduce_add(teacher_sum.wide(a.classes)) : 1;
    const double more = reduce_add(excess_sum.wide(a.classes)) / of_q;
    row.student_factor = (T)(1 / of_q);
    row.teacher_factor = (T)(1 / of_p);
    row.log_student = (T)fastloss::log(of_q);
    row.log_teacher = (T)fastloss::log(of_p);
    row.distance = (T)(row.direct && more < 0.5 && more > -0.5 ? fastloss::log1p(more) : fastloss::log(of_p / of_q));
  }

  struct Sums {
    double value, p_slope, q_slope, gap;
  };

  static void put(T* out, int64_t j, int n, V v, bool streamed) {
    FASTLOSS_LIKELY(n == W) && streamed ? stream(out + j, {v}) : store_lanes(out + j, n, v);
  }
  bool streams(const T* out) const { return a.stream && (uintptr_t)out % kStreamAlignment == 0; }

  // What each class gives. `slopes`: p, q and the slopes are written. `out`: q's slope times `factor` is the gradient already,
  // and goes there.
  template <bool to_teacher, bool finish>
  Sums evaluate(const Row& row, bool slopes, T* out, double factor) const {
    const V zero((T)0), student_factor(row.student_factor), teacher_factor(row.teacher_factor), distance(row.distance),
        of_student(by_student), of_teacher(by_teacher), minus_student(-row.student_shift - row.log_student),
        minus_teacher(-row.teacher_shift - row.log_teacher), scale((T)factor);
    const bool streamed = finish && streams(out);
    auto value = widen(zero), p_sum = value, q_sum = value, gap_sum = value;
    for (int64_t first = 0; first < a.classes; first += kSummed) {
      V value_part = zero, p_part = zero, q_part = zero, gap_part = zero;
      for_vectors<T>(a.classes - first < kSummed ? a.classes - first : kSummed, [&](int64_t k, int n) {
        const int64_t j = first + k;
        ClassPair<V> c;
        c.p = load(p + j) * teacher_factor;
        c.q = load(q + j) * student_factor;
        c.d = select(c.p + c.q == zero, zero, load(q_slope + j) - distance);
        c.near = abs(c.d) < V((T)kNear);
        c.psi = psi<T>(c.d);
        c.gap = select(c.near, c.q * (c.d + c.psi), c.p - c.q);
        if constexpr (Loss<T>::reads_logs) {
          c.log_q = logits_at(row.student, j, n) * of_student + minus_student;
          c.log_p = logits_at(row.teacher, j, n) * of_teacher + minus_teacher;
        }
        const DivergenceTerms<V> r = f(c);
        value_part = value_part + r.value;
        if constexpr (finish) return put(out, j, n, r.q_slope * scale, streamed);
        q_part = q_part + r.q_slope;
        if (!logits) gap_part = gap_part + c.gap;
        if constexpr (to_teacher) {
          p_part = p_part + r.p_slope;
          store(p + j, c.p);
          store(p_slope + j, r.p_slope);
        }
        if (slopes) {
          store(q + j, c.q);
          store(q_slope + j, r.q_slope);
        }
      });
      value = value + widen(value_part);
      p_sum = p_sum + widen(p_part);
      q_sum = q_sum + widen(q_part);
      gap_sum = gap_sum + widen(gap_part);
    }
    return {reduce_add(value), reduce_add(p_sum), reduce_add(q_sum), reduce_add(gap_sum)};
  }

  // (slope - center probability) factor
  void write_gradient(const DivergenceView& view, int64_t row, T* slope, const T* probability, double center,
                      double factor) const {
    const V c((T)-center), scale((T)factor);
    T* const out = lies_so(view) ? (T*)at(view, row) : slope;
    const bool streamed = streams(out);
    for_vectors<T>(a.classes, [&](int64_t j, int n) {
      put(out, j, n, (load(probability + j) * c + load(slope + j)) * scale, streamed);
    });
    if (out == slope) write(view, row, slope);
  }

  void clear(const DivergenceView& view, int64_t row) const {
    if (!view.data) return;
    for_vectors<T>(a.classes, [&](int64_t j, int) { store(q + j, V((T)0)); });
    write(view, row, q);
  }

  // The loss of a row.
  double run_row(int64_t index, double weight, double upstream) const {
    Row row;
    row.student = read(a.student, index, student);
    row.teacher = read(a.teacher, index, teacher);
    if (a.options.teacher == Teacher::probabilities) {
      const T* const given = row.teacher;
      for_vectors<T>(a.classes, [&](int64_t j, int n) {
        const V v = FASTLOSS_LIKELY(n == W) ? load(given + j) : load_partial(given + j, n, (T)0);
        store(p + j, v);
        store(teacher + j, log(v));
      });
      row.teacher = teacher;
    }
    measure(row);
    const bool to_student = a.student_gradient.data, to_teacher = a.teacher_gradient.data;
    const double factor = weight * upstream * a.scale;
    if constexpr (Loss<T>::balanced) {
      if (logits && to_student && !to_teacher) {
        T* const out = lies_so(a.student_gradient) ? (T*)at(a.student_gradient, index) : q_slope;
        const Sums sums = evaluate<false, true>(row, false, out, factor / a.options.temperature);
        if (out == q_slope) write(a.student_gradient, index, out);
        return weight * sums.value;
      }
    }
    const Sums sums = to_teacher ? evaluate<true, false>(row, to_student, nullptr, 0)
                                 : evaluate<false, false>(row, to_student, nullptr, 0);
    if (to_student) {
      write_gradient(a.student_gradient, index, q_slope, q, sums.q_slope, factor / a.options.temperature);
    }
    if (to_teacher) {
      const double center = logits ? sums.p_slope : -f.excess();
      write_gradient(a.teacher_gradient, index, p_slope, p, center, factor / a.options.target_temperature);
    }
    return weight * (logits ? sums.value : sums.value + f.excess() * sums.gap);
  }

  static void run(const DivergenceArgs& a, int64_t begin, int64_t end, void* scratch) {
    const int64_t row_values = (a.classes + W - 1) / W * W;
    T* next = (T*)(((uintptr_t)scratch + 63) / 64 * 64);
    const auto take = [&] { return (next += row_values) - row_values; };
    T* const rows[6] = {take(), take(), take(), take(), take(), take()};
    const Divergence engine{a, Loss<T>(a.params), rows[0], rows[1], rows[2], rows[3], rows[4], rows[5], (char*)next};
    const auto value_at = [](const void* values, int64_t row) {
      return values ? (double)((const T*)values)[row] : 1.0;
    };
    for (int64_t task = begin; task < end; ++task) {
      const int64_t last = (task + 1) * a.task_rows < a.rows ? (task + 1) * a.task_rows : a.rows;
      double sum = 0;
      for (int64_t row = task * a.task_rows; row < last; ++row) {
        double loss = 0;
        if (!a.mask || a.mask[row]) {
          loss = engine.run_row(row, value_at(a.weight, row), value_at(a.upstream, row));
          sum += loss;
        } else {
          engine.clear(a.student_gradient, row);
          engine.clear(a.teacher_gradient, row);
        }
        if (a.loss) ((T*)a.loss)[row] = (T)loss;
      }
      a.sums[task] = {sum, 0, false};
    }
    stream_fence();
  }
};

}  // namespace
}  // namespace fastloss::FASTLOSS_ISA
