#pragma once

// Cases of the rows engine for the sanitizer drivers: tensors of exactly their size, every option, and a plain double
// computation that every number a kernel writes is checked against. A driver supplies the backend.
//
// Note [Tolerance]
// With u the unit roundoff of the computing type, an exponential exp(z_c - m) is off by |z_c - m| u (the difference
// is rounded) plus a few u (exp itself); the soft cap adds an absolute error to z, a temperature z u. `relative` adds these
// for the worst class of the row, 64 u for a lane's plain sum, and a few u for the factors. The sums over
// probabilities and weights are plain ones over a chunk's lanes: their worst case is `plain`. Errors of a gradient
// are these, times the absolute values of the terms it is made of, plus its rounding to the stored type.

#include "case.h"

namespace {

constexpr int kMinimumLanes = 2;  // of any ISA and computing type
constexpr int64_t kIgnore = -100;
constexpr int64_t kFarOut = 1LL << 40;  // a target that only a masked-out row may have

// ---------------------------------------------------------------------------------------------------- layouts

enum class Layout { class_adjacent, pixel_adjacent, strided, count };
const char* const kLayoutNames[] = {"class adjacent", "pixel adjacent", "strided"};

struct Shape {
  int64_t rows;
  int64_t classes;
  int dims;
  int64_t size[kMaxRowDims];
};

struct Strides {
  int64_t of_class;
  int64_t of_row[kMaxRowDims];
};

Shape shape_of(Layout layout, int64_t rows, int64_t classes) {
  Shape shape{rows, classes, 1, {rows}};
  if (layout != Layout::class_adjacent && rows > 1) {
    const int64_t inner = (rows + 1) / 2;
    shape = {2 * inner, classes, 2, {2, inner}};
  }
  return shape;
}

Strides strides_of(Layout layout, const Shape& shape) {
  Strides s{};
  const int inner = shape.dims - 1;
  switch (layout) {
    case Layout::class_adjacent:
      s.of_class = 1;
      s.of_row[inner] = shape.classes;
      break;
    case Layout::pixel_adjacent:
      s.of_class = shape.size[inner];
      s.of_row[inner] = 1;
      break;
    default:
      s.of_class = 2;
      s.of_row[inner] = 2 * shape.classes + 1;
  }
  if (inner > 0)
    s.of_row[0] = layout == Layout::strided ? shape.size[1] * s.of_row[1] + 3 : shape.size[1] * shape.classes;
  return s;
}

int64_t offset_of(const Shape& shape, const Strides& s, int64_t row, int64_t c) {
  int64_t offset = c * s.of_class;
  for (int d = shape.dims - 1; d >= 0; --d) {
    offset += row % shape.size[d] * s.of_row[d];
    row /= shape.size[d];
  }
  return offset;
}

struct Plane {  // a tensor of logits' shape
  char* data = nullptr;
  Element type{};
  int64_t elements = 0;
  Strides strides{};

  Plane() = default;
  Plane(Memory& memory, const Shape& shape, Layout layout, Element type)
      : type(type), strides(strides_of(layout, shape)) {
    elements = offset_of(shape, strides, shape.rows - 1, shape.classes - 1) + 1;
    data = (char*)memory.take(bytes(), bytes_of(type));
  }
  int64_t bytes() const { return elements * bytes_of(type); }
  double get(int64_t at) const { return read_as(type, data, at); }
  // Returns what is stored.
  double set(int64_t at, double x) {
    write_as(type, data, at, x);
    return get(at);
  }
  RowsView view() const {
    RowsView v{data, strides.of_class, {}};
    std::copy(strides.of_row, strides.of_row + kMaxRowDims, v.row_stride);
    return v;
  }
};

// ------------------------------------------------------------------------------------------------------ cases

struct Options {
  const char* name;
  bool soft = false;
  bool weighted = false;
  bool margins = false;
  bool masked = false;
  bool ignored = false;
  bool real_ignore_index = false;
  bool infinite = false;
  bool wide = false;  // logits far apart: exponentials underflow
  bool stats = false;
  bool inplace = false;
  bool gradient = true;
  bool row_loss = false;
  bool mixed = false;  // probabilities of any type that is no wider than the computing type
  double smoothing = 0;
  double z_loss = 0;
  double softcap = 0;
  double temperature = 1;
};

std::vector<Options> option_sets() {
  std::vector<Options> all;
  const auto add = [&](const char* name, auto set) {
    Options o{};
    o.name = name;
    set(o);
    all.push_back(o);
  };
  add("plain", [](Options& o) { o.infinite = true; });
  add("ignored rows, mask", [](Options& o) { o.ignored = o.masked = o.row_loss = true; });
  add("weight", [](Options& o) { o.weighted = o.ignored = o.real_ignore_index = o.wide = true; });
  add("weight, smoothing", [](Options& o) { o.weighted = o.ignored = true, o.smoothing = 0.2; });
  add("soft cap, z-loss", [](Options& o) { o.softcap = 5, o.z_loss = 0.1, o.ignored = true; });
  add("temperature", [](Options& o) { o.temperature = 0.7, o.ignored = o.row_loss = o.wide = o.infinite = true; });
  add("margins, weight, temperature, mask", [](Options& o) {
    o.margins = o.weighted = o.masked = o.ignored = o.row_loss = o.wide = true;
    o.temperature = 0.7;
  });
  add("margins", [](Options& o) { o.margins = true; });
  add("loss only", [](Options& o) { o.gradient = false, o.row_loss = o.wide = true; });
  add("stats", [](Options& o) { o.stats = o.ignored = o.masked = true; });
  add("stats without gradient", [](Options& o) { o.stats = o.weighted = true, o.gradient = false, o.smoothing = 0.1; });
  add("index, everything", [](Options& o) {
    o.stats = o.weighted = o.masked = o.ignored = o.row_loss = true;
    o.smoothing = 0.1, o.z_loss = 0.01, o.softcap = 3, o.temperature = 1.5;
  });
  add("in place", [](Options& o) { o.inplace = o.ignored = o.masked = true; });
  add("in place, everything", [](Options& o) {
    o.inplace = o.stats = o.weighted = o.ignored = true;
    o.smoothing = 0.1, o.z_loss = 0.01, o.softcap = 4;
  });
  add("probabilities", [](Options& o) { o.soft = o.wide = true; });
  add("probabilities, weight, smoothing, mask", [](Options& o) {
    o.soft = o.weighted = o.masked = o.row_loss = true;
    o.smoothing = 0.1, o.z_loss = 0.05;
  });
  add("probabilities, everything", [](Options& o) {
    o.soft = o.weighted = o.masked = o.stats = true;
    o.smoothing = 0.3, o.z_loss = 0.01, o.softcap = 6, o.temperature = 0.6;
  });
  add("probabilities in place", [](Options& o) { o.soft = o.inplace = o.masked = true; });
  return all;
}

// What runs the kernels under test.
class Backend {
 public:
  virtual ~Backend() = default;
  // Runs the kernel over all rows and adds up what it sums, if `summed`. May fill in what is about the backend.
  virtual void run(Memory& memory, Random& random, RowsArgs& a, bool summed, RowsSums& total) = 0;
  // Before and after a run: an output of which `elements` are to be written, each once.
  virtual void expect(const void* /*p*/, int64_t /*bytes*/, int64_t /*element*/) {}
  virtual void expected(const void* /*p*/, int64_t /*left*/) {}
  // Whether a target out of range makes NaN of the loss, instead of being refused before the kernel.
  virtual bool takes_bad_targets() const { return false; }
};

// The numbers of one row in double, and how far a kernel may be from them.
struct RowReference {
  bool kept;
  double max, log_sum, lse, nll, loss, loss_tolerance, entropy, entropy_tolerance, nll_tolerance, relative;
  bool correct;
};

template <class S>
class Case {
 public:
  using T = typename Compute<S>::type;

  Case(Backend& backend, Layout layout, int64_t rows, int64_t classes, const Options& o, Place place, uint64_t seed)
      : backend_(backend),
        layout_(layout),
        o_(o),
        memory_(place),
        random_{seed},
        shape_(shape_of(layout, rows, classes)) {
    for (int i = 0; i < 4; ++i) random_.bits();
    unit_ = std::numeric_limits<T>::epsilon() / 2;
    plain_ = (std::min<double>(shape_.classes, 4096) / kMinimumLanes + 16) * unit_;
    fill();
  }

  void run() {
    forward();
    if (o_.inplace) return;
    backward(false);
    if (!o_.soft) backward(true);
  }

 private:
  Backend& backend_;
  const Layout layout_;
  const Options o_;
  Memory memory_;
  Random random_;
  const Shape shape_;
  double unit_, plain_;

  Plane logits_, probability_;
  int64_t* target_ = nullptr;
  Flag* mask_ = nullptr;
  T* weight_ = nullptr;
  T* margin_ = nullptr;
  T* state_ = nullptr;
  double weight_sum_ = 0;
  int64_t ignore_index_ = kIgnore;
  std::vector<double> x_, z_, slope_, t_, w_, p_;
  std::vector<RowReference> reference_;

  double x(int64_t row, int64_t c) const { return x_[row * shape_.classes + c]; }
  double z(int64_t row, int64_t c) const { return z_[row * shape_.classes + c]; }
  double t(int64_t row, int64_t c) const { return t_[row * shape_.classes + c]; }
  bool kept(int64_t row) const { return !(mask_ && !mask_[row]) && (o_.soft || target_[row] != ignore_index_); }

  void fill() {
    const int64_t R = shape_.rows, C = shape_.classes;
    if (o_.real_ignore_index) ignore_index_ = C / 2;
    if (!o_.soft) {
      target_ = memory_.take<int64_t>(R);
      for (int64_t i = 0; i < R; ++i) {
        target_[i] = random_.chance(20) ? C - 1 : random_.below(C);
        if (!o_.ignored && target_[i] == ignore_index_) target_[i] = (target_[i] + 1) % C;
        if (o_.ignored && random_.chance(25)) target_[i] = ignore_index_;
      }
    }
    if (o_.masked) {
      mask_ = memory_.take<Flag>(R);
      for (int64_t i = 0; i < R; ++i) {
        mask_[i] = flag(!random_.chance(25), i);
        if (!mask_[i] && target_ && random_.chance(50)) target_[i] = random_.chance(50) ? kFarOut : -kFarOut - 3;
      }
    }
    w_.assign(C, 1.0);
    if (o_.weighted || o_.smoothing != 0 || o_.soft) {
      weight_ = memory_.take<T>(C);
      for (int64_t c = 0; c < C; ++c) {
        weight_[c] = o_.weighted ? (T)(0.25 + random_.uniform()) : (T)1;
        weight_sum_ += w_[c] = weight_[c];
      }
    }
    if (o_.margins) {
      margin_ = memory_.take<T>(C);
      for (int64_t c = 0; c < C; ++c) margin_[c] = (T)(2 * random_.uniform());
    }
    logits_ = Plane(memory_, shape_, layout_, element_of<S>());
    x_.resize(R * C), z_.resize(R * C), slope_.resize(R * C), p_.resize(R * C);
    for (int64_t i = 0; i < R; ++i) {
      const double spread = o_.wide && random_.chance(30) ? 60 : 2;
      for (int64_t c = 0; c < C; ++c) {
        double v = random_.normal() * spread;
        if (o_.infinite && random_.chance(3) && target_[i] != c) v = -INFINITY;
        if (!kept(i) && random_.chance(50)) v = random_.chance(50) ? NAN : INFINITY;
        x_[i * C + c] = logits_.set(offset_of(shape_, logits_.strides, i, c), v);
        z_[i * C + c] = x(i, c) / o_.temperature;
        slope_[i * C + c] = 1 / o_.temperature;
        if (o_.softcap != 0) {
          const double scaled = x(i, c) / o_.softcap, e = std::exp(-2 * std::fabs(scaled));
          z_[i * C + c] = o_.softcap * std::tanh(scaled) / o_.temperature;
          slope_[i * C + c] = 4 * e / ((1 + e) * (1 + e)) / o_.temperature;
        }
      }
      if (margin_ && kept(i)) z_[i * C + target_[i]] -= margin_[target_[i]];
    }
    if (o_.soft) {
      constexpr bool is_double = sizeof(T) == sizeof(double);
      const Element type = o_.mixed ? any_element(random_, is_double, (int)DType::count) : element_of<S>();
      probability_ = Plane(memory_, shape_, layout_ == Layout::strided ? Layout::class_adjacent : layout_, type);
      t_.resize(R * C);
      for (int64_t i = 0; i < R; ++i) {
        for (int64_t c = 0; c < C; ++c) {
          const int64_t at = offset_of(shape_, probability_.strides, i, c);
          t_[i * C + c] = probability_.set(at, random_.uniform() * 2 / (double)C);
        }
      }
    }
    for (int64_t i = 0; i < R; ++i) reference_.push_back(measure(i));
  }

  RowReference measure(int64_t i) {
    const int64_t C = shape_.classes;
    RowReference r{};
    r.kept = kept(i);
    if (!r.kept) return r;
    r.max = -INFINITY;
    int64_t best = 0, best_target = 0;
    for (int64_t c = 0; c < C; ++c) {
      r.max = std::max(r.max, z(i, c));
      if (x(i, c) > x(i, best)) best = c;
      if (o_.soft && t(i, c) > t(i, best_target)) best_target = c;
    }
    long double sum = 0, tilt = 0;
    double farthest = 0;
    for (int64_t c = 0; c < C; ++c) {
      const double d = r.max - z(i, c), e = std::exp(-d);
      p_[i * C + c] = e;
      sum += e;
      if (e > 0) tilt += e * d;
      if (e > 0x1p-200) farthest = std::max(farthest, d);
    }
    for (int64_t c = 0; c < C; ++c) p_[i * C + c] = (double)(p_[i * C + c] / sum);
    r.log_sum = (double)std::log(sum);
    r.lse = r.max + r.log_sum;
    const double cap = o_.softcap != 0 ? 40 * o_.softcap / o_.temperature : 0;
    const double quotient = o_.temperature != 1 ? farthest + 2 * std::fabs(r.max) : 0;
    r.relative = (2 * farthest + 96 + cap + quotient) * unit_;
    r.entropy = (double)(r.log_sum + tilt / sum);
    r.entropy_tolerance = r.relative * (1 + farthest) + plain_ * (double)(tilt / sum) + farthest * plain_;

    const double absolute = r.relative * (1 + std::fabs(r.max)) + unit_ * std::fabs(r.lse);
    long double loss = 0, spread = 0;
    if (o_.soft) {
      long double plain_nll = 0, plain_spread = 0;
      for (int64_t c = 0; c < C; ++c) {
        const double share = w_[c] * ((1 - o_.smoothing) * t(i, c) + o_.smoothing / C);
        loss += (long double)share * (r.lse - z(i, c));
        spread += (long double)share * (1 + r.log_sum + r.max - z(i, c));
        plain_nll += (long double)t(i, c) * (r.lse - z(i, c));
        plain_spread += (long double)t(i, c) * (1 + r.log_sum + r.max - z(i, c));
      }
      r.nll = (double)plain_nll;
      r.nll_tolerance = (double)plain_spread * (plain_ + r.relative);
      r.correct = best == best_target;
    } else {
      const int64_t y = target_[i];
      r.nll = r.lse - z(i, y);
      r.nll_tolerance = absolute;
      r.correct = best == y;
      loss = w_[y] * (1 - o_.smoothing) * r.nll;
      spread = w_[y] * (1 + r.nll);
      if (o_.smoothing != 0) {
        for (int64_t c = 0; c < C; ++c) {
          loss += o_.smoothing / C * w_[c] * (r.lse - z(i, c));
          spread += o_.smoothing / C * w_[c] * (1 + r.log_sum + r.max - z(i, c));
        }
      }
    }
    const double z_weight = o_.z_loss * (o_.soft ? 1 : w_[target_[i]]);
    loss += z_weight * r.lse * r.lse;
    r.loss = (double)loss;
    r.loss_tolerance = (double)spread * (plain_ + r.relative) + z_weight * (2 * std::fabs(r.lse) + 1) * absolute;
    return r;
  }

  // d loss / d z_c and the sum of the absolute values of its terms.
  double gradient(int64_t i, int64_t c, double& size) const {
    const int64_t C = shape_.classes;
    const RowReference& r = reference_[i];
    const double p = p_[i * C + c];
    const double uniform = o_.smoothing / C;
    if (o_.soft) {
      const double share = w_[c] * ((1 - o_.smoothing) * t(i, c) + uniform);
      const double pull = 2 * o_.z_loss * r.lse;
      size = p * (mass_ + 2 * o_.z_loss * (std::fabs(r.lse) + 1)) + share;
      return p * (mass_ + pull) - share;
    }
    const int64_t y = target_[i];
    const double keep = w_[y] * (1 - o_.smoothing);
    const double rest = uniform * weight_sum_ + 2 * o_.z_loss * w_[y] * r.lse;
    size = p * (keep + uniform * weight_sum_ + 2 * o_.z_loss * w_[y] * (std::fabs(r.lse) + 1)) + uniform * w_[c];
    if (c != y) return p * (keep + rest) - uniform * w_[c];
    size += keep * others_;
    return p * rest - keep * others_ - uniform * w_[c];
  }

  double mass_ = 0, others_ = 0;  // of the row that `gradient` is asked about

  void select_row(int64_t i) {
    const int64_t C = shape_.classes;
    mass_ = others_ = 0;
    for (int64_t c = 0; c < C; ++c) {
      if (o_.soft) {
        mass_ += w_[c] * ((1 - o_.smoothing) * t(i, c) + o_.smoothing / C);
      } else if (c != target_[i]) {
        others_ += p_[i * C + c];
      }
    }
  }

  RowsArgs arguments() {
    RowsArgs a{};
    a.rows = shape_.rows;
    a.classes = shape_.classes;
    a.dims = shape_.dims;
    std::copy(shape_.size, shape_.size + kMaxRowDims, a.size);
    a.logits = logits_.view();
    if (o_.soft) a.probability = probability_.view(), a.probability_type = probability_.type;
    a.target = target_;
    a.mask = mask_;
    a.weight = weight_;
    a.margin = margin_;
    a.scale = 0.375;
    a.ignore_index = ignore_index_;
    a.label_smoothing = o_.smoothing;
    a.z_loss = o_.z_loss;
    a.softcap = o_.softcap;
    a.temperature = o_.temperature;
    a.weight_sum = weight_sum_;
    return a;
  }

  // Runs the kernel on gradients of these planes (or none), each element of which it must write.
  void launch(RowsArgs& a, bool summed, RowsSums& total, const Plane& grad, const Plane& of_target) {
    const Plane* const planes[] = {&grad, &of_target};
    for (const Plane* plane : planes) {
      if (plane->data) backend_.expect(plane->data, plane->bytes(), bytes_of(plane->type));
    }
    backend_.run(memory_, random_, a, summed, total);
    for (const Plane* plane : planes) {
      if (plane->data) backend_.expected(plane->data, plane->elements - a.rows * a.classes);
    }
  }

  // Where a gradient goes: its own tensor (sometimes of another layout than the logits'), or over the logits.
  Plane gradient_plane() {
    const Layout layout = layout_ == Layout::strided && random_.chance(50) ? Layout::class_adjacent : layout_;
    return Plane(memory_, shape_, layout, element_of<S>());
  }

  static std::vector<char> contents(const Plane& plane) { return {plane.data, plane.data + plane.bytes()}; }
  void check_untouched(const Plane& plane, const std::vector<char>& before, const char* what) {
    const int64_t size = bytes_of(plane.type);
    std::vector<bool> inside(plane.elements);
    for (int64_t i = 0; i < shape_.rows; ++i) {
      for (int64_t c = 0; c < shape_.classes; ++c) inside[offset_of(shape_, plane.strides, i, c)] = true;
    }
    for (int64_t k = 0; k < plane.elements; ++k) {
      if (!inside[k] && __builtin_memcmp(&plane.data[k * size], &before[k * size], size) != 0) {
        fail(what, -1, k, 0, 0, 0);
      }
    }
  }

  // Compares a written gradient; returns its square sum and that sum's tolerance.
  std::pair<double, double> check_gradient(const char* what, const Plane* plane, double scale, const T* upstream) {
    double square = 0, tolerance_of_square = 0;
    for (int64_t i = 0; i < shape_.rows; ++i) {
      const bool counts = reference_[i].kept;
      const double factor = counts ? scale * (upstream ? (double)upstream[i] : 1) : 0;
      if (counts) select_row(i);
      for (int64_t c = 0; c < shape_.classes; ++c) {
        double expected = 0, tolerance = 0, computed = 0;
        if (counts) {
          double size;
          const int64_t k = i * shape_.classes + c;
          expected = gradient(i, c, size) * slope_[k] * factor;
          double relative = reference_[i].relative + plain_;
          if (o_.softcap != 0) relative += (4 * std::fabs(x_[k] / o_.softcap) + 24) * unit_;
          // Exponentials below 2^-126 may be zero in float; class weights and the z-loss raise them by less than 2^3.
          const double underflow = sizeof(T) == 4 ? 0x1p-123 * std::max(1.0, std::fabs(factor)) : 0x1p-1000;
          computed = relative * size * slope_[k] * std::fabs(factor) + underflow;
          tolerance = computed + storage_unit<S>() * (std::fabs(expected) + computed) + storage_underflow<S>();
        }
        square += expected * expected;
        tolerance_of_square += computed * (2 * std::fabs(expected) + computed);
        if (!plane) continue;
        check(what, i, c, plane->get(offset_of(shape_, plane->strides, i, c)), expected, tolerance);
        ++gradients;
      }
    }
    return {square, tolerance_of_square + square * (plain_ + (double)shape_.classes * unit_)};
  }

  void forward() {
    RowsArgs a = arguments();
    Plane grad;
    if (o_.inplace) {
      grad = logits_;
    } else if (o_.gradient) {
      grad = gradient_plane();
    }
    if (grad.data) a.gradient = grad.view();
    a.stream = grad.data && !o_.inplace && random_.chance(50);
    a.want_stats = o_.stats;
    T* const row_loss = o_.row_loss ? memory_.take<T>(a.rows) : nullptr;
    a.row_loss = row_loss;
    if (!o_.inplace) a.state = state_ = memory_.take<T>((o_.soft ? 3 : 2) * a.rows);
    const bool summed = o_.stats || !o_.row_loss;
    RowsSums got{};
    const std::vector<char> before = contents(grad);
    launch(a, summed, got, grad, {});

    const auto [square, square_tolerance] = check_gradient("gradient", grad.data ? &grad : nullptr, a.scale, nullptr);
    if (grad.data) check_untouched(grad, before, "element outside the gradient");
    RowReference total{};
    double lse = 0, lse_tolerance = 0, count = 0, correct = 0;
    for (int64_t i = 0; i < a.rows; ++i) {
      const RowReference& r = reference_[i];
      const double rounding = unit_ * (std::fabs(r.loss) + r.loss_tolerance);
      if (row_loss) check("row loss", i, -1, row_loss[i], r.loss, r.loss_tolerance + rounding);
      total.loss += r.loss, total.loss_tolerance += r.loss_tolerance;
      total.nll += r.nll, total.nll_tolerance += r.nll_tolerance;
      total.entropy += r.entropy, total.entropy_tolerance += r.entropy_tolerance;
      lse += r.lse, lse_tolerance += r.relative * (1 + std::fabs(r.max));
      count += r.kept, correct += r.kept && r.correct;
    }
    if (summed) {
      check("loss", -1, -1, got.loss, total.loss, total.loss_tolerance);
      check("count", -1, -1, got.count, count, 0);
    }
    if (!o_.stats) return;
    check("correct", -1, -1, got.correct, correct, 0);
    check("entropy", -1, -1, got.entropy, total.entropy, total.entropy_tolerance);
    check("nll", -1, -1, got.nll, total.nll, total.nll_tolerance);
    check("lse", -1, -1, got.lse, lse, lse_tolerance);
    check("gradient square", -1, -1, got.gradient_square, square, square_tolerance);
  }

  // From the state that forward left, with an upstream gradient per row or one for all.
  void backward(bool inplace) {
    RowsArgs a = arguments();
    a.state = state_;
    a.from_state = true;
    const std::vector<T> state(state_, state_ + (o_.soft ? 3 : 2) * a.rows);
    T* upstream = nullptr;
    if (random_.chance(70)) {
      upstream = memory_.take<T>(a.rows);
      for (int64_t i = 0; i < a.rows; ++i) upstream[i] = (T)random_.normal();
      a.upstream = upstream;
    }
    a.scale = -1.5;
    const Plane grad = inplace ? logits_ : gradient_plane();
    Plane of_target;
    if (o_.soft) {
      of_target = Plane(memory_, shape_, layout_, probability_.type);
      a.probability_gradient = of_target.view();
    }
    const bool wanted = !o_.soft || random_.chance(70);
    if (wanted) a.gradient = grad.view();
    a.stream = wanted && !inplace && random_.chance(50);
    const std::vector<char> before = contents(grad), before_target = contents(of_target);
    RowsSums none{};
    launch(a, false, none, wanted ? grad : Plane(), of_target);

    if (__builtin_memcmp(state.data(), state_, state.size() * sizeof(T)) != 0) fail("state changed", -1, -1, 0, 0, 0);
    const char* const what = inplace ? "gradient of backward in place" : "gradient of backward";
    check_gradient(what, wanted ? &grad : nullptr, a.scale, upstream);
    check_untouched(grad, before, "element outside the gradient of backward");
    if (o_.soft) check_target_gradient(of_target, before_target, a.scale, upstream);
  }

  void check_target_gradient(const Plane& plane, const std::vector<char>& before, double scale, const T* upstream) {
    for (int64_t i = 0; i < shape_.rows; ++i) {
      const RowReference& r = reference_[i];
      const double factor = r.kept ? (1 - o_.smoothing) * scale * (upstream ? (double)upstream[i] : 1) : 0;
      for (int64_t c = 0; c < shape_.classes; ++c) {
        double expected = 0, tolerance = 0;
        if (r.kept) {
          expected = factor * w_[c] * (r.lse - z(i, c));
          tolerance = std::fabs(factor) * w_[c] * r.relative * (1 + std::fabs(r.max)) + 4 * unit_ * std::fabs(expected);
          tolerance += unit_of(plane.type) * (std::fabs(expected) + tolerance) + underflow_of(plane.type);
        }
        const double got = plane.get(offset_of(shape_, plane.strides, i, c));
        check("gradient of the probabilities", i, c, got, expected, tolerance);
        ++gradients;
      }
    }
    check_untouched(plane, before, "element outside the gradient of the probabilities");
  }
};

}  // namespace
