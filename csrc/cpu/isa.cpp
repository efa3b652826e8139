#include "cpu/isa.h"

#include <atomic>
#include <cstdlib>
#include <stdexcept>

namespace fastloss {

#define FASTLOSS_DECLARE(isa) \
  namespace isa {             \
  const Kernels& kernels();   \
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

#if defined(__x86_64__)
bool has_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma");
}
#endif

// Best first.
const Isa kIsas[] = {
#if defined(__x86_64__)
    {"avx512_bf16", [] { return has_avx512() && __builtin_cpu_supports("avx512bf16"); }, avx512_bf16::kernels},
    {"avx512", has_avx512, avx512::kernels},
    {"avx2",
     [] { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c"); },
     avx2::kernels},
    {"baseline", [] { return true; }, baseline::kernels},
#elif defined(__aarch64__)
    {"neon", [] { return true; }, neon::kernels},
#else
    {"baseline", [] { return true; }, baseline::kernels},
#endif
};

std::atomic<const Isa*> in_force{nullptr};

const Isa& find(const std::string& name) {
  std::string possible;
  for (const Isa& isa : kIsas) {
    if (!isa.runs_here()) continue;
    if (name == isa.name) return isa;
    possible += (possible.empty() ? "" : ", ") + std::string(isa.name);
  }
  std::string why = "is unknown";
  for (const Isa& isa : kIsas) {
    if (name == isa.name) why = "is not supported by this CPU";
  }
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
