#include "simd/isa.h"

#include <atomic>
#include <cctype>
#include <cstdlib>
#include <stdexcept>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace fastloss {

#define FASTLOSS_DECLARE(isa)  \
  namespace isa {              \
  void list_engines(Kernels&); \
  void list_losses(Kernels&);  \
  }
#if defined(__x86_64__)
FASTLOSS_DECLARE(avx512_bf16)
FASTLOSS_DECLARE(avx512)
FASTLOSS_DECLARE(avx2)
FASTLOSS_DECLARE(baseline)
#elif defined(__aarch64__)
FASTLOSS_DECLARE(neon)
#else
FASTLOSS_DECLARE(baseline)
#endif
#undef FASTLOSS_DECLARE

namespace isa {
namespace {

struct Isa {
  const char* name;
  bool (*runs_here)();
  const Kernels& (*kernels)();
};

// The table that these functions fill in, the later over the earlier, at first use.
template <void (*... list)(Kernels&)>
const Kernels& table() {
  static const Kernels kernels = [] {
    Kernels t{};
    (list(t), ...);
    return t;
  }();
  return kernels;
}

#if defined(__x86_64__)
bool has_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma");
}

// Two that __builtin_cpu_supports of clang before version 15 does not know, so cpuid is asked.
bool has_f16c() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(1, 0, &a, &b, &c, &d) && (c & (1u << 29)) != 0;
}

bool has_bf16() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & (1u << 5)) != 0;
}
#endif

// Best first.
const Isa kIsas[] = {
#if defined(__x86_64__)
    {"avx512_bf16", [] { return has_avx512() && has_bf16(); },
     // Only what concerns bfloat16 is compiled again.
     table<avx512::list_engines, avx512::list_losses, avx512_bf16::list_engines, avx512_bf16::list_losses>},
    {"avx512", has_avx512, table<avx512::list_engines, avx512::list_losses>},
    {"avx2", [] { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c(); },
     table<avx2::list_engines, avx2::list_losses>},
    {"baseline", [] { return true; }, table<baseline::list_engines, baseline::list_losses>},
#elif defined(__aarch64__)
    {"neon", [] { return true; }, table<neon::list_engines, neon::list_losses>},
#else
    {"baseline", [] { return true; }, table<baseline::list_engines, baseline::list_losses>},
#endif
};

std::atomic<const Isa*> in_force{nullptr};

// AVX-512, AVX512_BF16 and the like are the names of the table too.
std::string letters(const std::string& name) {
  std::string kept;
  for (const unsigned char c : name) {
    if (c != '-' && c != '_') kept += static_cast<char>(std::tolower(c));
  }
#if defined(__x86_64__)
  if (kept == "sse2") return "baseline";
#endif
  return kept;
}

const Isa& find(const std::string& name) {
  const std::string wanted = letters(name);
  std::string possible, why = "is unknown";
  for (const Isa& isa : kIsas) {
    const bool named = letters(isa.name) == wanted;
    if (named) why = "is not supported by this CPU";
    if (!isa.runs_here()) continue;
    if (named) return isa;
    possible += (possible.empty() ? "" : ", ") + std::string(isa.name);
  }
#if defined(__x86_64__)
  possible += " (also called sse2)";
#endif
  throw std::invalid_argument("fastloss: ISA '" + name + "' " + why + "; possible here: " + possible);
}

const Isa& chosen() {
  const Isa* isa = in_force.load(std::memory_order_acquire);
  if (isa == nullptr) {
    const char* wanted = std::getenv("FASTLOSS_ISA");
    if (wanted != nullptr && *wanted != '\0') {
      isa = &find(wanted);
    } else {
      for (isa = kIsas; !isa->runs_here();) ++isa;
    }
    in_force.store(isa, std::memory_order_release);
  }
  return *isa;
}

}  // namespace

std::vector<std::string> compiled() {
  std::vector<std::string> names;
  for (const Isa& isa : kIsas) names.push_back(isa.name);
  return names;
}

std::vector<std::string> available() {
  std::vector<std::string> names;
  for (const Isa& isa : kIsas) {
    if (isa.runs_here()) names.push_back(isa.name);
  }
  return names;
}

std::string active() { return chosen().name; }

void force(const std::string& name) { in_force.store(&find(name), std::memory_order_release); }

const Kernels& kernels() { return chosen().kernels(); }

const Kernels& kernels(const std::string& name) { return find(name).kernels(); }

}  // namespace isa
}  // namespace fastloss
