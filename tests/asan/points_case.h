#pragma once

// A case of the pointwise family for the sanitizer drivers: tensors of some layout, options, and every number of a backend
// against a plain loop.
//
// Note [Expected]
// The functors are checked elsewhere (dual numbers, PyTorch), so the loop evaluates the same functor in double. The backends'
// exp and log are their own: a few units, of the computing type, of the terms of a value, which lie around 1 here (logarithms of
// 0.05 to 0.95 up to 3, quotients by them larger, but as large as their value) and may cancel, p - y say. What a formula makes
// of a difference, a power say, moves as if an operand had moved by some units. A sum has at most 26 additions in the computing
// type besides, before double takes over.

#include "case.h"
#include "engines/elements/contract.h"
#include "engines/elements/args.h"
#include "losses/functors.h"
#include "losses/losses.h"

namespace {

// Units; on CUDA half precision has functions of its own (Note [Numbers] in device/number.h).
template <class S>
constexpr double kRoundings = sizeof(S) == 2 ? 256 : 64;
constexpr double kMoved = 16, kAdditions = 26;
constexpr double kParams[4] = {0.3, 1, 1e-3, 0};  // of any loss: its thresholds lie among the values

struct Expected {
  double loss, grad[kMaxValues];
  double loss_error, grad_error[kMaxValues];  // where an operand moves
};

template <template <class> class Loss>
Expected evaluate(const double (&values)[kMaxValues], double unit) {
  using F = Loss<double>;
  constexpr int N = kValues<F>;
  const F f(kParams);
  double x[N];
  std::copy(values, values + N, x);
  if constexpr (F::checked) {
    if (outside_domain(f, x) != 0) return {NAN, {}, 0, {}};
  }
  const PointEval<double, N> r = evaluate_point(f, x);
  Expected e{r.loss, {}, 0, {}};
  std::copy(r.grad, r.grad + N, e.grad);
  for (int v = 0; v < 2 * N; ++v) {
    x[v / 2] = values[v / 2] + (v % 2 ? kMoved : -kMoved) * unit;
    const PointEval<double, N> moved = evaluate_point(f, x);
    x[v / 2] = values[v / 2];
    e.loss_error = std::fmax(e.loss_error, std::fabs(moved.loss - r.loss));
    for (int k = 0; k < N; ++k) e.grad_error[k] = std::fmax(e.grad_error[k], std::fabs(moved.grad[k] - r.grad[k]));
  }
  return e;
}

struct LossEntry {
  const char* name;
  int arity, components;
  bool checked;
  Expected (*evaluate)(const double (&)[kMaxValues], double);
};
#define FASTLOSS_ENTRY(name, Functor, params) \
  {#name, Functor<double>::arity, kComponents<Functor<double>>, Functor<double>::checked, &evaluate<Functor>},
const LossEntry kLosses[] = {FASTLOSS_POINTWISE_LOSSES(FASTLOSS_ENTRY)};
#undef FASTLOSS_ENTRY

// --------------------------------------------------------------------------------------------------------- tensors

// How a tensor lies: dense; its dimensions in reverse; every second element; one value along a dimension.
enum class Lay { dense, reversed, spread, expanded, count };

struct Shape {
  int dims;
  int64_t size[3];
  int64_t elements() const { return size[0] * size[1] * size[2]; }
};

struct Tensor {
  PointView view{};
  int64_t extent = 0;  // elements of memory

  // The components are a last dimension.
  Tensor() = default;
  Tensor(const Shape& s, Lay lay, Element type, int components = 1) {
    view.type = type;
    int64_t step = lay == Lay::spread ? 2 : 1;
    const auto take = [&](int64_t& stride, int64_t size) { stride = step, step *= size; };
    if (lay != Lay::reversed) take(view.component, components);
    for (int i = 0; i < s.dims; ++i) {
      const int d = lay == Lay::reversed ? i : s.dims - 1 - i;
      take(view.stride[d], s.size[d]);
    }
    if (lay == Lay::reversed) take(view.component, components);
    if (lay == Lay::expanded) view.stride[s.dims - 1] = 0;
    extent = 1 + (components - 1) * view.component;
    int64_t dense = components;
    view.flat = components == 1 || view.component == 1;
    for (int d = s.dims - 1; d >= 0; --d) {
      extent += (s.size[d] - 1) * view.stride[d];
      view.flat = view.flat && view.stride[d] == dense;
      dense *= s.size[d];
    }
  }

  int64_t size() const { return bytes_of(view.type); }
  double get(int64_t at) const { return read_as(view.type, view.data, at); }
  void take(Memory& memory) { view.data = memory.take(extent * size(), size()); }
  void fill(Random& random, Memory& memory, double low, double high) {
    take(memory);
    for (int64_t i = 0; i < extent; ++i) write_as(view.type, view.data, i, low + (high - low) * random.uniform());
  }

  int64_t at(const Shape& s, int64_t e) const {
    int64_t offset = 0;
    for (int d = s.dims - 1; d >= 0; --d) {
      offset += e % s.size[d] * view.stride[d];
      e /= s.size[d];
    }
    return offset;
  }
};

// ----------------------------------------------------------------------------------------------------------- a case

struct Options {
  bool gradients[kMaxOperands];
  bool weight, mask, upstream, wide, unreduced, stats, scalars, strided, outside;
  bool mixed;  // tensors of any types, of which the computing type is the widest
};

class PointBackend {
 public:
  virtual ~PointBackend() = default;
  // Runs loss `id`, checks that the outputs are written, adds up its sums. With `scalars` divisor and upstream gradient
  // are the kernel's own business: it multiplies *scale by what they come to.
  virtual PointTotals run(Memory&, Random&, int id, PointArgs&, const std::vector<Output>&, bool scalars,
                          double* scale) = 0;
};

template <class S>
class Case {
 public:
  using T = typename Compute<S>::type;

  Case(PointBackend& backend, int loss, const Shape& shape, const Options& o, Place place, uint64_t seed)
      : backend_(backend), loss_(kLosses[loss]), id_(loss), shape_(shape), o_(o), random_{seed}, memory_(place) {}

  void run() {
    PointArgs args{};
    describe(args);
    evaluate_all();
    std::vector<Output> outputs;
    const int64_t n = shape_.elements();
    for (int k = 0; k < kMaxOperands; ++k) {
      const Tensor& g = gradient_[k];
      if (g.view.data) {
        const int64_t gaps = g.extent - n * loss_.components;
        outputs.push_back({"gradients not written", g.view.data, g.extent * g.size(), g.size(), gaps});
      }
    }
    if (o_.unreduced) {
      const Tensor& t = loss_values_;
      outputs.push_back({"losses not written", t.view.data, t.extent * t.size(), t.size(), t.extent - n});
    }
    check_values(backend_.run(memory_, random_, id_, args, outputs, o_.scalars, &scale_));
  }

 private:
  PointBackend& backend_;
  const LossEntry& loss_;
  const int id_;
  const Shape shape_;
  const Options o_;
  Random random_;
  Memory memory_;
  Tensor operand_[kMaxOperands], gradient_[kMaxOperands], weight_, mask_, upstream_, loss_values_;
  std::vector<Expected> expected_;
  double scale_ = 1;

  // The type of a tensor that is S, or T, unless types are mixed: then one of the first `count`.
  Element type(bool wide, int count) {
    constexpr bool is_double = sizeof(T) == sizeof(double);
    return o_.mixed ? any_element(random_, is_double, count) : wide ? element_of<T>() : element_of<S>();
  }
  Element any_type() { return type(false, (int)Element::count); }
  Element floating_type(bool wide) { return type(wide, (int)DType::count); }
  Lay lay(bool writes) { return !o_.strided ? Lay::dense : (Lay)random_.below((int)Lay::count - (writes ? 1 : 0)); }

  void describe(PointArgs& a) {
    a.elements = shape_.elements();
    a.components = loss_.components;
    a.dims = shape_.dims;
    for (int d = 0; d < a.dims; ++d) a.size[d] = shape_.size[d];
    std::copy(kParams, kParams + 4, a.params);
    a.plain = !o_.weight && !o_.mask && !o_.upstream && !o_.unreduced && !o_.stats;
    const auto add = [&](PointView& view, const Tensor& t) {
      view = t.view;
      a.plain = a.plain && view.flat && view.type == a.operand[0].type;
    };
    for (int k = 0; k < loss_.arity; ++k) {
      operand_[k] = Tensor(shape_, lay(false), k == 0 ? element_of<S>() : any_type(), loss_.components);
      operand_[k].fill(random_, memory_, k == 2 && !is_floating(operand_[k].view.type) ? 0.6 : 0.05, 0.95);
      add(a.operand[k], operand_[k]);
    }
    for (int k = 0; k < kMaxOperands; ++k) {
      if (!o_.gradients[k] || !is_floating(operand_[k].view.type)) continue;
      gradient_[k] = Tensor(shape_, lay(true), operand_[k].view.type, loss_.components);
      gradient_[k].take(memory_);
      a.plain = a.plain && k == 0;
      add(a.gradient[k], gradient_[k]);
    }
    if (o_.weight) {
      weight_ = Tensor(shape_, lay(false), any_type());
      weight_.fill(random_, memory_, 0.5, 2);
      add(a.weight, weight_);
    }
    if (o_.mask) {
      mask_ = Tensor(shape_, lay(false), Element::boolean);
      mask_.take(memory_);
      fill_flags(random_, (Flag*)mask_.view.data, mask_.extent, 70);
      add(a.mask, mask_);
    }
    if (o_.upstream) {
      upstream_ = Tensor(shape_, lay(false), floating_type(o_.wide));
      upstream_.fill(random_, memory_, -2, 2);
      upstream_.view.wide = o_.wide;
      add(a.upstream, upstream_);
    }
    if (o_.unreduced) {
      loss_values_ = Tensor(shape_, lay(true), floating_type(o_.wide));
      loss_values_.take(memory_);
      loss_values_.view.wide = o_.wide;
      add(a.loss, loss_values_);
    }
    a.want_stats = o_.stats;
    a.scale = scale_ = random_.chance(50) ? 1 : 0.25;
  }

  bool kept(int64_t e) const { return !o_.mask || mask_.get(mask_.at(shape_, e)) != 0; }
  double weight(int64_t e) const { return o_.weight ? weight_.get(weight_.at(shape_, e)) : 1.0; }
  double upstream(int64_t e) const { return o_.upstream ? upstream_.get(upstream_.at(shape_, e)) : 1.0; }

  void evaluate_all() {
    if (o_.outside) {
      const int64_t e = random_.below(shape_.elements());
      for (int k = 0; k < loss_.arity; ++k) {
        write_as(operand_[k].view.type, operand_[k].view.data, operand_[k].at(shape_, e), -1);
      }
    }
    expected_.resize(shape_.elements());
    for (int64_t e = 0; e < shape_.elements(); ++e) {
      double x[kMaxValues] = {};
      for (int v = 0; v < loss_.arity * loss_.components; ++v) {
        const Tensor& t = operand_[v / loss_.components];
        x[v] = t.get(t.at(shape_, e) + v % loss_.components * t.view.component);
      }
      expected_[e] = loss_.evaluate(x, storage_unit<T>());
    }
  }

  void same(const char* what, int64_t e, double got, double wanted, double tolerance) {
    if (std::isnan(got) && std::isnan(wanted)) return;
    if (std::isnan(got)) fail(what, -1, e, got, wanted, tolerance);
    check(what, -1, e, got, wanted, tolerance);
  }

  void check_values(const PointTotals& total) {
    const double u = storage_unit<T>();
    long double sum = 0, size = 0, square = 0, moved_sum = 0, moved_square = 0;
    for (int64_t e = 0; e < shape_.elements(); ++e) {
      const double w = weight(e), c = scale_ * w * upstream(e);
      const double loss = kept(e) ? expected_[e].loss * w : 0.0;
      const double term = kept(e) ? 1.0 : 0.0;  // what is masked is exactly zero
      sum += loss, size += std::fabs(loss), moved_sum += kept(e) ? expected_[e].loss_error * w : 0.0;
      if (o_.unreduced) {
        const double got = loss_values_.get(loss_values_.at(shape_, e));
        const Element type = loss_values_.view.type;
        const double stored = unit_of(type) * std::fabs(loss) + underflow_of(type);
        same("loss", e, got, loss,
             kRoundings<S> * u * std::max(std::fabs(loss), term * w) + expected_[e].loss_error * w + stored);
      }
      for (int v = 0; v < loss_.arity * loss_.components; ++v) {
        const int k = v / loss_.components;
        const double slope = kept(e) ? expected_[e].grad[v] * c : 0.0;
        if (k == 0 && kept(e))
          square += slope * slope, moved_square += 2 * std::fabs(slope * c) * expected_[e].grad_error[v];
        const Tensor& g = gradient_[k];
        if (!g.view.data) continue;
        ++gradients;
        const Element type = g.view.type;
        const double terms = std::max(std::fabs(slope), term * std::fabs(c));
        const double moved = expected_[e].grad_error[v] * std::fabs(c);
        same("gradient", e, g.get(g.at(shape_, e) + v % loss_.components * g.view.component), slope,
             kRoundings<S> * u * terms + moved + unit_of(type) * std::fabs(slope) + underflow_of(type));
      }
    }
    same("sum", -1, total.loss, (double)sum, (double)((kRoundings<S> + kAdditions) * u * size + moved_sum));
    if (o_.stats) {
      same("square", -1, total.gradient_square, (double)square,
           (double)(2 * (kRoundings<S> + kAdditions) * u * square + moved_square));
    }
  }
};

Options options_of(Random& random, int arity, int turn) {
  Options o{};
  o.gradients[0] = turn % 4 != 0;
  if (turn % 3 == 0) {  // what the plain kernel takes
    o.scalars = random.chance(30);
    return o;
  }
  if (turn % 6 == 1) {  // what it takes too on CUDA: losses or upstream gradients per element
    o.unreduced = random.chance(60), o.upstream = !o.unreduced || random.chance(20), o.wide = random.chance(50);
    return o;
  }
  for (int k = 0; k < arity; ++k) o.gradients[k] = random.chance(60);
  o.weight = random.chance(40), o.mask = random.chance(40), o.upstream = random.chance(40);
  o.unreduced = random.chance(40), o.stats = random.chance(40), o.scalars = random.chance(40);
  o.wide = random.chance(50), o.strided = random.chance(50);
  return o;
}

Shape shape_of(Random& random, int64_t n, bool strided) {
  if (!strided) return {1, {n, 1, 1}};
  if (random.chance(30)) return {1, {n, 1, 1}};
  if (random.chance(50)) return {2, {3, (n + 2) / 3, 1}};
  return {3, {2, (n + 9) / 10, 5}};
}

}  // namespace
