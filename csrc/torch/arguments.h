#pragma once

// An operator's arguments as a struct: one list of types and names gives the fields, which read themselves from the
// dispatcher's stack, the schema, and the checks of memory.
//     #define FASTLOSS_MIRROR(X) X(Output<Tensor>, matrix) X(int64_t, begin) X(int64_t, end)
//     FASTLOSS_ARGUMENTS(Mirror, Arguments, FASTLOSS_MIRROR)
// A backend has `static R run(const Mirror&)`; R is void, bool or Tensor.

#include <array>
#include <string>
#include <type_traits>

#include "torch/tensors.h"

namespace fastloss::ops {

// Memory to write to; T is Tensor or MaybeTensor.
template <class T>
struct Output {
  T tensor;
};

template <class T>
struct Argument {
  static T take(StableIValue value) { return torch::stable::detail::to<T>(value); }
  static std::string schema(char&) {
    return std::is_same_v<T, Tensor>        ? "Tensor"
           : std::is_same_v<T, MaybeTensor> ? "Tensor?"
           : std::is_same_v<T, int64_t>     ? "int"
           : std::is_same_v<T, bool>        ? "bool"
           : std::is_same_v<T, double>      ? "float"
                                            : "float[]";
  }
};
template <class T>
struct Argument<Output<T>> {
  static Output<T> take(StableIValue value) { return {Argument<T>::take(value)}; }
  static std::string schema(char& alias) {
    return std::string("Tensor(") + alias++ + "!)" + (std::is_same_v<T, Tensor> ? "" : "?");
  }
};

struct Arguments {
  static constexpr bool in_place = false;  // whether the last tensor, a gradient, may be written over the first one
  StableIValue* next;

  explicit Arguments(StableIValue* stack) : next(stack) {}
  template <class Visit>
  static void fields(const Visit&) {}
};
#define FASTLOSS_FIELD(type, name) type name = Argument<type>::take(*this->next++);
#define FASTLOSS_VISIT(type, name) visit(#name, &Self::name);
#define FASTLOSS_ARGUMENTS(Name, Base, LIST)                \
  struct Name : Base {                                      \
    using Self = Name;                                      \
    explicit Name(StableIValue* stack) : Base(stack) {}     \
    LIST(FASTLOSS_FIELD)                                    \
    /* visit(name, pointer to the member) of every field */ \
    template <class Visit>                                  \
    static void fields(const Visit& visit) {                \
      Base::fields(visit);                                  \
      LIST(FASTLOSS_VISIT)                                  \
    }                                                       \
  };

// Refuses tensors of several devices, memory that was freed, and what the other function of this name does.
template <class A>
void check_memory(const A& arguments) {
  std::array<Given, 24> all;
  size_t count = 0;
  A::fields([&](const char* name, auto member) {
    const auto& value = arguments.*member;
    using T = std::decay_t<decltype(value)>;
    if constexpr (std::is_same_v<T, Tensor> || std::is_same_v<T, MaybeTensor>) {
      all.at(count++) = {name, pointer(value), false};
    } else if constexpr (std::is_class_v<T> && !std::is_same_v<T, std::vector<double>>) {
      all.at(count++) = {name, pointer(value.tensor), true};
    }
  });
  const Tensor *first = nullptr, *last = nullptr;
  for (size_t i = 0; i < count; ++i) {
    if (!all[i].tensor) continue;
    last = all[i].tensor;
    if (!first) first = last;
    STD_TORCH_CHECK(same_device(*last, *first), "fastloss: expected tensors of one device");
    data_of(*last);
  }
  check_memory(all.data(), count, A::in_place ? last : nullptr, first);
}

template <class Backend, class A>
void boxed(StableIValue* stack, uint64_t, uint64_t) {
  const A arguments(stack);
  check_memory(arguments);
  if constexpr (std::is_void_v<decltype(Backend::run(arguments))>) {
    Backend::run(arguments);
  } else {
    stack[0] = torch::stable::detail::from(Backend::run(arguments));
  }
}

template <class Backend, class A>
std::string schema(const std::string& name) {
  using Result = decltype(Backend::run(std::declval<const A&>()));
  std::string text;
  char alias = 'a';
  A::fields([&](const char* field, auto member) {
    using T = std::decay_t<decltype(std::declval<const A&>().*member)>;
    text += (text.empty() ? "" : ", ") + Argument<T>::schema(alias) + " " + field;
  });
  return name + "(" + text + ") -> " +
         (std::is_void_v<Result>         ? "()"
          : std::is_same_v<Result, bool> ? "bool"
                                         : "Tensor");
}

#define FASTLOSS_DEFINE_ARGUMENTS(name, Arguments) m.def(schema<Backend, Arguments>(#name).c_str());
#define FASTLOSS_IMPLEMENT_ARGUMENTS(name, Arguments) m.impl(#name, &boxed<Backend, Arguments>);

}  // namespace fastloss::ops
