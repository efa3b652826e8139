#pragma once

// An operator's arguments as a struct: one list of types and names gives the fields, which read themselves from the
// dispatcher's stack, the schema, and the checks of memory.
//     #define FASTLOSS_MIRROR(X) X(Written<Tensor>, matrix) X(int64_t, begin) X(int64_t, end)
//     FASTLOSS_ARGUMENTS(Mirror, Arguments, FASTLOSS_MIRROR)
// A backend has `static R run(const Mirror&)`; R is void, bool or Tensor.

#include <array>
#include <string>
#include <type_traits>

#include "torch/tensors.h"

namespace fastloss::ops {

// Memory to write to; T is Tensor or MaybeTensor.
template <class T>
struct Written {
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
struct Argument<Written<T>> {
  static Written<T> take(StableIValue value) { return {Argument<T>::take(value)}; }
  static std::string schema(char& alias) {
    return std::string("Tensor(") + alias++ + "!)" + (std::is_same_v<T, Tensor> ? "" : "?");
  }
};

struct Arguments {
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

// Refuses tensors of several devices, memory that was freed, and memory to write to in which two elements may be one or
// that may be another tensor's too. (What indices are read from above all: written over, they would lead anywhere.)
template <class A>
void check_memory(const A& arguments) {
  struct Entry {
    const char* name;
    const Tensor* tensor;
    bool written;
  };
  std::array<Entry, 24> entries;
  size_t count = 0;
  const auto add = [&](const char* name, const Tensor* tensor, bool written) {
    if (tensor) entries.at(count++) = {name, tensor, written};
  };
  A::fields([&](const char* name, auto member) {
    const auto& value = arguments.*member;
    using T = std::decay_t<decltype(value)>;
    if constexpr (std::is_same_v<T, Tensor> || std::is_same_v<T, MaybeTensor>) {
      add(name, pointer(value), false);
    } else if constexpr (std::is_class_v<T> && !std::is_same_v<T, std::vector<double>>) {
      add(name, pointer(value.tensor), true);
    }
  });
  for (size_t i = 0; i < count; ++i) {
    const auto& [name, tensor, written] = entries[i];
    STD_TORCH_CHECK(same_device(*tensor, *entries[0].tensor), "fastloss: expected tensors of one device");
    data_of(*tensor);
    if (written) check_own_memory(name, *tensor);
    for (size_t j = 0; j < i; ++j) {
      STD_TORCH_CHECK(!(written || entries[j].written) || !overlaps(*tensor, *entries[j].tensor), "fastloss: expected ",
                      written ? name : entries[j].name, " in memory of its own");
    }
  }
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

}  // namespace fastloss::ops
