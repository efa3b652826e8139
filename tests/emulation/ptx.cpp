// Runs the PTX that nvcc makes of the kernels, in the place of emulation.cpp, which runs what the host's compiler makes.
//
// Note [PTX]
// Here csrc/device/device.h itself and nvcc's optimizer are executed. $FASTLOSS_PTX names the files, separated by colons; a
// launch finds its entry by the demangled name of the host's kernel. The threads of a cluster take turns in an order that
// `schedule` names; each runs until it must wait.
//
// What fails, with a message: accesses off their alignment, outside shared memory or an argument, or to memory that the
// address sanitizer knows to be no tensor; reads of shared memory that nobody wrote; threads that meet at different
// barriers or exchanges, wait in vain, or end too early; stores to blocks that have not started or are about to end; and races.
// Two accesses, one of them a write, are a race unless a barrier of their block lies between, or a barrier of their cluster
// at which the first thread arrived with .release: after .relaxed nothing is visible. Blocks of different clusters must share
// nothing, but for reads of a launch with `reads_over_ends`. An order that runs through a third thread's release alone is not seen: a false alarm that no kernel raises.
//
// Approximate instructions err as far as NVIDIA's manual allows, by an amount that depends on the operand alone.
//
// What is not modelled: how ptxas contracts, orders and schedules instructions, registers, occupancy, time.

#include <cxxabi.h>
#include <dlfcn.h>
#include <sanitizer/asan_interface.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmath>
#include <fstream>
#include <iterator>
#include <limits>
#include <map>
#include <memory>
#include <numeric>
#include <string>
#include <type_traits>
#include <unordered_map>

#include "watch.h"

extern "C" void fastloss_ptx_origin() {}  // tells where the program was loaded

namespace fastloss::cuda::emulation {

int64_t instructions = 0;

namespace {

using std::string;
using Word = uint64_t;

// ------------------------------------------------------------------------------------------------------- programs

enum class Kind : uint8_t { step, branch, end, block_barrier, shuffle, any, arrive, arrive_relaxed, wait };
enum class Space : uint8_t { global, parameter, shared, cluster, generic };

struct Thread;
struct Instruction;
using Step = void (*)(Thread&, const Instruction&);

struct Instruction {
  Step step = nullptr;
  Kind kind = Kind::step;
  Space space = Space::global;
  bool unless = false;           // whether `guard` must be false
  uint8_t bytes = 0, width = 1;  // of an element; elements
  uint8_t cost = 1;
  int guard = -1, to[4] = {}, from[5] = {};  // registers, which hold constants too
  int64_t offset = 0;
  int target = 0;
};

struct Program {
  string name, text;
  std::vector<Instruction> code;
  std::vector<string> lines;  // of the code
  struct Place {
    int at, bytes;
  };
  std::vector<Place> parameters;
  int parameter_bytes = 0, registers = 0;
  std::vector<std::pair<int, Word>> constants;  // by register
};

// The first registers of every thread. Nobody writes `zero`; `nothing` takes what nobody reads.
enum Special : int { tid, ntid, ctaid, nctaid, rank, laneid, zero, nothing, specials };

// ------------------------------------------------------------------------------------------------------- threads

enum class State : uint8_t { ready, at_block_barrier, at_exchange, at_cluster_barrier, ended };

struct Meeting {  // of the lanes of a warp
  unsigned arrived = 0, mask = 0;
  int at = 0;
};

struct GridCluster;
struct GridBlock {
  int64_t index;
  int rank;
  GridCluster* cluster;
  Thread* threads;
  int running, arrived = 0, at = 0;
  bool started = false;
  std::vector<char> shared;
  std::vector<Meeting> warps;
};

struct GridCluster {
  std::vector<GridBlock> blocks;
  uint64_t turn = 0;
  int arrived = 0;
  bool releasing = false;
};

struct Thread {
  Word* r;
  GridBlock* block;
  int index, at;
  State state;
  bool arrived = false, released = false;
  uint64_t turn = 0;  // of the cluster in which it last arrived
  uint32_t barriers = 0, releases = 0, acquires = 0;
};

const Program* program;
std::vector<char> parameters;
Thread* active;

[[noreturn]] void fault(const string& what) {
  string text = what;
  if (active) {
    text += " (" + program->name + ", block " + std::to_string(active->block->index) + ", thread " +
            std::to_string(active->index) + ": " + program->lines[active->at] + ")";
  }
  fail(text.c_str());
}

// ---------------------------------------------------------------------------------------------------------- races

// Of two bytes: who wrote them last, and who has read them since.
struct Access {
  static constexpr int nobody = -1, several = -2;
  uint32_t cluster = 0;    // whose threads these are
  bool elsewhere = false;  // whether other clusters of the launch have read them
  int writer_block = nobody, writer = nobody, reader_block = nobody, reader = nobody;
  uint32_t write_barriers = 0, write_releases = 0, read_barriers = 0, read_releases = 0;
};

uint32_t clusters = 0, first_of_launch = 0;

bool is_before(int block, uint32_t barriers, uint32_t releases, const Thread& t) {
  return (block == t.block->rank && barriers < t.barriers) || releases < t.acquires;
}

void touch(Access& a, const Thread& t, bool write, bool shared) {
  if (!write && !shared && reads_over_ends) return;
  const int block = t.block->rank;
  if (a.cluster != clusters) {
    const bool elsewhere = !shared && a.cluster >= first_of_launch;
    if (elsewhere && a.writer != Access::nobody) fault("a race with another cluster");
    a = Access{};
    a.cluster = clusters, a.elsewhere = elsewhere;
  }
  if (a.writer != Access::nobody && (a.writer != t.index || a.writer_block != block) &&
      !is_before(a.writer_block, a.write_barriers, a.write_releases, t)) {
    fault(string("a race: a ") + (write ? "write" : "read") + " after a write of thread " + std::to_string(a.writer));
  }
  const bool alone = a.reader == Access::nobody || (a.reader == t.index && a.reader_block == block) ||
                     is_before(a.reader_block, a.read_barriers, a.read_releases, t);
  if (write) {
    if (a.elsewhere) fault("a race with another cluster");
    if (!alone) fault("a race: a write after a read of thread " + std::to_string(a.reader));
    a.writer = t.index, a.writer_block = block, a.reader = Access::nobody;
    a.write_barriers = t.barriers, a.write_releases = t.releases;
    return;
  }
  if (shared && a.writer == Access::nobody) fault("a read of shared memory that nobody wrote");
  a.reader_block = alone || a.reader_block == block ? block : Access::several;
  a.reader = alone ? t.index : Access::several;
  a.read_barriers = alone ? t.barriers : std::max(a.read_barriers, t.barriers);
  a.read_releases = alone ? t.releases : std::max(a.read_releases, t.releases);
}

constexpr uintptr_t kPage = 4096;
std::unordered_map<uintptr_t, std::vector<Access>> pages;  // of global memory
std::vector<std::vector<Access>> shared_accesses;          // by block

Access* global_access(uintptr_t at) {
  static uintptr_t last = 0;
  static Access* found = nullptr;
  if (at / kPage != last) {
    std::vector<Access>& page = pages[last = at / kPage];
    page.resize(kPage / 2);
    found = page.data();
  }
  return found + at % kPage / 2;
}

// --------------------------------------------------------------------------------------------------------- memory

template <class T>
T get(const Thread& t, int i) {
  if constexpr (std::is_same_v<T, bool>) return t.r[i] & 1;  // true may be -1
  T x;
  memcpy(&x, t.r + i, sizeof(T));
  return x;
}
template <class T>
void put(Thread& t, int i, T x) {
  Word w = 0;
  memcpy(&w, &x, sizeof(T));
  t.r[i] = w;
}

constexpr int64_t kWindow = 1 << 24;          // of a block's shared memory in its cluster's
constexpr int64_t kSharedWindow = 1LL << 62;  // of shared memory among generic addresses

char* locate(Thread& t, const Instruction& i, int base, bool write) {
  const int size = i.bytes * i.width;
  Space space = i.space;
  const bool narrow = space == Space::shared || space == Space::cluster;
  int64_t at = i.offset + (narrow ? get<uint32_t>(t, base) : get<int64_t>(t, base));
  if (space == Space::generic) {
    space = at < kSharedWindow ? Space::global : Space::shared;
    at %= kSharedWindow;
  }
  if (at % size != 0) fault("an access off its alignment");
  if (space == Space::parameter) {
    if (at < 0 || at + size > (int64_t)parameters.size()) fault("an access outside the arguments");
    return parameters.data() + at;
  }
  GridBlock* block = t.block;
  Access* access;
  if (space == Space::global) {
    if (__asan_region_is_poisoned((void*)at, size)) fault("an access outside of every tensor");
    if (write) each_watched((void*)at, size, [](auto seen) { seen = true; });
    access = global_access(at);
  } else {
    if (space == Space::cluster) {
      const int64_t to = at / kWindow - 1;
      if (to < 0 || to >= (int64_t)block->cluster->blocks.size()) fault("an access to no block of the cluster");
      block = &block->cluster->blocks[to], at %= kWindow;
      if (!block->started) fault("an access to a block of the cluster that may not have started");
      if (block->running != block_threads) fault("an access to a block of the cluster that may have ended");
    }
    if (at < 0 || at + size > (int64_t)block->shared.size()) fault("an access outside shared memory");
    access = shared_accesses[block->rank].data() + at / 2;
  }
  for (int k = 0; k < (size + 1) / 2; ++k) touch(access[k], t, write, space != Space::global);
  return space == Space::global ? (char*)at : block->shared.data() + at;
}

template <class T>
void load(Thread& t, const Instruction& i) {
  const char* const p = locate(t, i, i.from[0], false);
  for (int k = 0; k < i.width; ++k) {
    T x;
    memcpy(&x, p + k * sizeof(T), sizeof(T));
    put(t, i.to[k],
        (std::conditional_t<std::is_integral_v<T>, std::conditional_t<std::is_signed_v<T>, int64_t, Word>, T>)x);
  }
}
template <class T>
void store(Thread& t, const Instruction& i) {
  char* const p = locate(t, i, i.to[0], true);
  for (int k = 0; k < i.width; ++k) memcpy(p + k * sizeof(T), t.r + i.from[k], sizeof(T));
}

// -------------------------------------------------------------------------------------------------------- numbers

float value(BFloat16 x) { return widen(x); }
float value(Half x) { return widen(x); }
template <class T>
T value(T x) {
  return x;
}

// A result that is off by up to so many units of its last place, or by an amount: always the same for an operand.
double share(Word operand) {  // -1 to 1
  operand = (operand ^ operand >> 16) * 0xd6e8feb86659fd93u;
  operand = (operand ^ operand >> 32) * 0xd6e8feb86659fd93u;
  return (double)(operand >> 11) * 0x1p-52 - 1;
}
float flushed(float x) { return std::fabs(x) < 0x1p-126f ? std::copysign(0.0f, x) : x; }
float off(double y, double units, float operand) {
  uint32_t bits;
  memcpy(&bits, &operand, sizeof(bits));
  const float near = (float)y;
  if (!(std::fabs(near) < INFINITY) || near == 0) return near;
  const double unit = std::ldexp(1, std::max(std::ilogb(near), -126) - 23);
  return (float)(y + share(bits) * units * unit);
}
// Exact at whole numbers: tanh of a double, which CUDA's manual promises within a unit, takes its powers of 2 from there.
float approximate_exp2(float x) {
  const double y = std::exp2((double)x);
  return x == std::trunc(x) ? (float)y : off(y, 2, x);
}
float approximate_log2(float x) {
  const double y = std::log2((double)x);
  return x < 0.5f || x > 2 ? off(y, 2, x) : (float)(y + 0x1p-22 * share((Word)std::ldexp(x, 30)));
}
// What the hardware starts a double division from.
double upper_half(double x) {
  Word bits;
  memcpy(&bits, &x, sizeof(bits));
  bits &= ~(Word)0xffffffff;
  memcpy(&x, &bits, sizeof(bits));
  return x;
}

// a b + c rounded towards -inf, or towards 0, in float: from the sum in double and what that lacks.
float rounded_down(float a, float b, float c, bool towards_zero) {
  const double p = (double)a * b, s = p + c, part = s - p, rest = (p - (s - part)) + (c - part);
  const float near = (float)s;
  if (!(std::fabs(near) < INFINITY)) return near;
  const double lacks = (s - near) + rest;  // exact result minus `near`
  if (towards_zero && near < 0) return lacks > 0 ? std::nextafter(near, 0.0f) : near;
  return lacks < 0 ? std::nextafter(near, -INFINITY) : near;
}

template <class T>
T larger(T a, T b) {
  if (a != a) return b;
  if (b != b) return a;
  return a > b || (a == b && !std::signbit(a)) ? a : b;
}

// ---------------------------------------------------------------------------------------------------------- steps
// What an instruction does, by its name without its type. Empty: unknown.

// clang-format off
#define FASTLOSS_STEP(...) [](Thread& t, const Instruction& i) { (void)t, (void)i; __VA_ARGS__; }
#define FASTLOSS_IF(name, expression)                                                              \
  if (op == name) return FASTLOSS_STEP(                                                            \
      const T a = get<T>(t, i.from[0]); const T b = get<T>(t, i.from[1]); const T c = get<T>(t, i.from[2]); \
      (void)a, (void)b, (void)c; put<T>(t, i.to[0], (T)(expression)));
#define FASTLOSS_COMPARE(name, expression)                                                         \
  if (op == "setp." name) return FASTLOSS_STEP(                                                    \
      const T a = get<T>(t, i.from[0]); const T b = get<T>(t, i.from[1]); put<bool>(t, i.to[0], expression));

template <class T>
Step common(const string& op) {
  FASTLOSS_IF("mov", a)
  FASTLOSS_IF("add", a + b)
  FASTLOSS_IF("sub", a - b)
  FASTLOSS_IF("neg", -a)
  FASTLOSS_IF("selp", get<bool>(t, i.from[2]) ? a : b)
  FASTLOSS_COMPARE("eq", a == b)
  FASTLOSS_COMPARE("ne", a < b || a > b)
  FASTLOSS_COMPARE("lt", a < b)
  FASTLOSS_COMPARE("le", a <= b)
  FASTLOSS_COMPARE("gt", a > b)
  FASTLOSS_COMPARE("ge", a >= b)
  return nullptr;
}

template <class T>
Step integer(const string& op) {
  FASTLOSS_IF("and", a & b)
  FASTLOSS_IF("or", a | b)
  FASTLOSS_IF("xor", a ^ b)
  FASTLOSS_IF("not", ~a)
  constexpr uint32_t bits = 8 * sizeof(T);
  FASTLOSS_IF("shl", get<uint32_t>(t, i.from[1]) < bits ? (Word)a << get<uint32_t>(t, i.from[1]) : 0)
  FASTLOSS_IF("shr", get<uint32_t>(t, i.from[1]) < bits ? a >> get<uint32_t>(t, i.from[1]) : a < 0 ? -1 : 0)
  FASTLOSS_IF("mul.lo", (Word)a * (Word)b)
  FASTLOSS_IF("mad.lo", (Word)a * (Word)b + (Word)c)
  FASTLOSS_IF("mul.hi", (__int128)a * (__int128)b >> bits)
  if (op == "div" || op == "rem") {
    const bool quotient = op == "div";
    static constexpr auto divisor = [](const Thread& t, const Instruction& i) {
      const T b = get<T>(t, i.from[1]);
      if (b == 0) fault("a division by zero");
      return b;
    };
    if (quotient) return FASTLOSS_STEP(put<T>(t, i.to[0], (T)(get<T>(t, i.from[0]) / divisor(t, i))));
    return FASTLOSS_STEP(put<T>(t, i.to[0], (T)(get<T>(t, i.from[0]) % divisor(t, i))));
  }
  FASTLOSS_IF("max", a > b ? a : b)
  FASTLOSS_IF("min", a < b ? a : b)
  FASTLOSS_IF("abs", a < 0 ? -a : a)
  if (op == "bfi") return FASTLOSS_STEP(
      const uint32_t at = get<uint32_t>(t, i.from[2]) & 255; const uint32_t n = get<uint32_t>(t, i.from[3]) & 255;
      const Word mask = (n >= 64 ? ~(Word)0 : ((Word)1 << n) - 1) << at;
      put<T>(t, i.to[0], (T)(((Word)get<T>(t, i.from[0]) << at & mask) | ((Word)get<T>(t, i.from[1]) & ~mask))));
  return common<T>(op);
}

template <class T>
Step floating(const string& op) {
  FASTLOSS_IF("add.rn", a + b)
  FASTLOSS_IF("sub.rn", a - b)
  FASTLOSS_IF("mul", a * b)
  FASTLOSS_IF("mul.rn", a * b)
  FASTLOSS_IF("fma.rn", std::fma(a, b, c))
  FASTLOSS_IF("div.rn", a / b)
  FASTLOSS_IF("rcp.rn", 1 / a)
  FASTLOSS_IF("sqrt.rn", std::sqrt(a))
  FASTLOSS_IF("abs", std::fabs(a))
  FASTLOSS_IF("copysign", std::copysign(b, a))
  FASTLOSS_IF("max", larger(a, b))
  FASTLOSS_IF("min", -larger(-a, -b))
  FASTLOSS_COMPARE("equ", !(a < b || a > b))
  FASTLOSS_COMPARE("neu", a != b)
  FASTLOSS_COMPARE("ltu", !(a >= b))
  FASTLOSS_COMPARE("leu", !(a > b))
  FASTLOSS_COMPARE("gtu", !(a <= b))
  FASTLOSS_COMPARE("geu", !(a < b))
  FASTLOSS_COMPARE("num", a == a && b == b)
  FASTLOSS_COMPARE("nan", a != a || b != b)
  if constexpr (sizeof(T) == 8) {
    FASTLOSS_IF("rcp.approx.ftz", upper_half(1 / upper_half(a)))
  } else {
    FASTLOSS_IF("fma.rm", rounded_down(a, b, c, false))
    FASTLOSS_IF("add.rz", rounded_down(a, 1, b, true))
    FASTLOSS_IF("ex2.approx.ftz", flushed(approximate_exp2(flushed(a))))
    FASTLOSS_IF("ex2.approx", approximate_exp2(a))
    FASTLOSS_IF("lg2.approx.ftz", approximate_log2(flushed(a)))
    FASTLOSS_IF("lg2.approx", approximate_log2(a))
    FASTLOSS_IF("rcp.approx.ftz", flushed(off(1.0 / flushed(a), 1, a)))
    FASTLOSS_IF("sqrt.approx", off(std::sqrt((double)a), 1, a))
    FASTLOSS_IF("sqrt.approx.ftz", off(std::sqrt((double)flushed(a)), 1, a))
    FASTLOSS_IF("rsqrt.approx.ftz", off(1 / std::sqrt((double)flushed(a)), 2, a))
    // Beyond 2^126 a divisor's reciprocal is subnormal.
    FASTLOSS_IF("div.full", off((double)a / b, 2, a * 3 + b))
    FASTLOSS_IF("div.approx", std::fabs(b) > 0x1p126f && std::fabs(b) < INFINITY ? 0 * a : off((double)a / b, 2, a * 3 + b))
  }
  return common<T>(op);
}

template <class F>
Step with_type(const string& type, const F& f) {
  if (type == "s8") return f(int8_t{});
  if (type == "u8") return f(uint8_t{});
  if (type == "s16") return f(int16_t{});
  if (type == "u16" || type == "b16") return f(uint16_t{});
  if (type == "s32") return f(int32_t{});
  if (type == "u32" || type == "b32") return f(uint32_t{});
  if (type == "s64") return f(int64_t{});
  if (type == "u64" || type == "b64") return f(Word{});
  if (type == "f32") return f(float{});
  if (type == "f64") return f(double{});
  if (type == "bf16") return f(BFloat16{});
  if (type == "f16") return f(Half{});
  return nullptr;
}

template <class T>
constexpr bool is_half = std::is_same_v<T, BFloat16> || std::is_same_v<T, Half>;

Step arithmetic(const string& op, const string& type) {
  if (type == "pred") {
    using T = bool;
    FASTLOSS_IF("mov", a)
    FASTLOSS_IF("not", !a)
    FASTLOSS_IF("and", a && b)
    FASTLOSS_IF("or", a || b)
    FASTLOSS_IF("xor", a != b)
    return nullptr;
  }
  return with_type(type, [&](auto x) -> Step {
    using T = decltype(x);
    if constexpr (std::is_integral_v<T>) return integer<T>(op);
    if constexpr (std::is_floating_point_v<T>) return floating<T>(op);
    return nullptr;
  });
}

// Of both halves of a word.
template <class S>
Step pair(const string& op) {
  if (op == "cvt.rn") return FASTLOSS_STEP(
      const S two[] = {narrow<S>(get<float>(t, i.from[1])), narrow<S>(get<float>(t, i.from[0]))};
      Word w = 0; memcpy(&w, two, 4); t.r[i.to[0]] = w);
  if (op == "max") return FASTLOSS_STEP(
      S a[2]; S b[2]; memcpy(a, t.r + i.from[0], 4); memcpy(b, t.r + i.from[1], 4);
      for (int k = 0; k < 2; ++k) a[k] = narrow<S>(larger(widen(a[k]), widen(b[k])));
      Word w = 0; memcpy(&w, a, 4); t.r[i.to[0]] = w);
  return nullptr;
}

template <class To, class From>
Step conversion(const string& mode) {
  using Value = decltype(value(From{}));
  if constexpr (is_half<To>) {
    return FASTLOSS_STEP(put(t, i.to[0], narrow<To>((float)value(get<From>(t, i.from[0])))));
  } else if constexpr (std::is_floating_point_v<Value> && std::is_integral_v<To>) {
#define FASTLOSS_ROUND(function) FASTLOSS_STEP(                                                    \
      const double x = function((double)value(get<From>(t, i.from[0])));                            \
      using L = std::numeric_limits<To>;                                                            \
      put<To>(t, i.to[0], x != x ? 0 : x <= (double)L::min() ? L::min() : x >= (double)L::max() ? L::max() : (To)x))
    if (mode == "rzi") return FASTLOSS_ROUND(std::trunc);
    if (mode == "rni") return FASTLOSS_ROUND(std::nearbyint);
    if (mode == "rmi") return FASTLOSS_ROUND(std::floor);
    return nullptr;
  } else {
    if (mode == "" || mode == "rn") return FASTLOSS_STEP(put<To>(t, i.to[0], (To)value(get<From>(t, i.from[0]))));
    if constexpr (std::is_same_v<To, From> && std::is_floating_point_v<To>) {
      if (mode == "rni") return FASTLOSS_STEP(put<To>(t, i.to[0], std::nearbyint(get<To>(t, i.from[0]))));
      if (mode == "rmi") return FASTLOSS_STEP(put<To>(t, i.to[0], std::floor(get<To>(t, i.from[0]))));
      if (mode == "rzi") return FASTLOSS_STEP(put<To>(t, i.to[0], std::trunc(get<To>(t, i.from[0]))));
      if (mode == "sat") return FASTLOSS_STEP(
          const To x = get<To>(t, i.from[0]); put<To>(t, i.to[0], x > 1 ? 1 : x > 0 ? x : 0));
    }
    return nullptr;
  }
}
// clang-format on

void pack(Thread& t, const Instruction& i) {  // i.width elements into a word
  Word w = 0;
  for (int k = 0; k < i.width; ++k) w |= (t.r[i.from[k]] & ~(Word)0 >> (64 - 8 * i.bytes)) << 8 * i.bytes * k;
  t.r[i.to[0]] = w;
}
void unpack(Thread& t, const Instruction& i) {
  for (int k = 0; k < i.width; ++k) t.r[i.to[k]] = t.r[i.from[0]] >> 8 * i.bytes * k & ~(Word)0 >> (64 - 8 * i.bytes);
}
void map_to_rank(Thread& t, const Instruction& i) {
  put(t, i.to[0], (uint32_t)(get<uint32_t>(t, i.from[0]) + (get<uint32_t>(t, i.from[1]) + 1) * kWindow));
}
void to_generic(Thread& t, const Instruction& i) { t.r[i.to[0]] = t.r[i.from[0]] + kSharedWindow; }
template <class Wide, class Narrow>
Step widening(bool add) {
  if (add)
    return FASTLOSS_STEP(
        put(t, i.to[0], (Wide)((Wide)get<Narrow>(t, i.from[0]) * get<Narrow>(t, i.from[1]) + get<Wide>(t, i.from[2]))));
  return FASTLOSS_STEP(put(t, i.to[0], (Wide)((Wide)get<Narrow>(t, i.from[0]) * get<Narrow>(t, i.from[1]))));
}

// --------------------------------------------------------------------------------------------------------- parser

std::vector<string> split(const string& text, const char* separators) {
  std::vector<string> parts;
  for (size_t at = 0; (at = text.find_first_not_of(separators, at)) != string::npos;) {
    const size_t end = std::min(text.find_first_of(separators, at), text.size());
    parts.push_back(text.substr(at, end - at));
    at = end;
  }
  return parts;
}

int bytes_of(const string& type) {
  return type == "pred" ? 1 : atoi(type.c_str() + type.find_first_of("0123456789")) / 8;
}

class Parser {
 public:
  explicit Parser(Program& p) : p_(p) {
    p_.registers = specials;
    size_t open = p_.text.find('('), close = p_.text.find(')', open);
    for (const string& line : split(p_.text.substr(open + 1, close - open - 1), ",")) parameter(split(line, " \t\n[]"));
    string statement;
    int depth = 0;
    for (size_t k = p_.text.find('{', close); k < p_.text.size(); ++k) {
      const char c = p_.text[k];
      const bool begins = statement.find_first_not_of(" \t\n") == string::npos;
      if (begins && (c == '{' || c == '}')) {
        depth += c == '{' ? 1 : -1;
        if (depth == 0) break;
      } else if (c == ':' && statement.find('$') != string::npos && p_.text[k + 1] == '\n') {
        labels_[split(statement, " \t\n")[0]] = (int)p_.code.size();
        statement.clear();
      } else if (c == ';') {
        instruction(statement);
        statement.clear();
      } else if (!begins || !isspace(c)) {
        statement += c;
      }
    }
    for (const auto& [at, label] : jumps_) {
      if (!labels_.count(label)) fault("no label " + label);
      p_.code[at].target = labels_[label];
    }
  }

 private:
  Program& p_;
  std::map<string, int> registers_, labels_, offsets_;
  std::map<Word, int> constants_;
  std::vector<std::pair<size_t, string>> jumps_;

  void parameter(const std::vector<string>& words) {  // .param .align A .b8 NAME N, or .param .TYPE NAME
    const bool block = words[1] == ".align";
    const int bytes = block ? atoi(words[5].c_str()) : bytes_of(words[1]),
              align = block ? atoi(words[2].c_str()) : bytes;
    const int at = (p_.parameter_bytes + align - 1) / align * align;
    offsets_[words[block ? 4 : 2]] = at;
    p_.parameters.push_back({at, bytes});
    p_.parameter_bytes = at + bytes;
  }

  int constant(Word value) {
    const auto [found, is_new] = constants_.try_emplace(value, p_.registers);
    if (is_new) p_.constants.push_back({p_.registers++, value});
    return found->second;
  }

  int operand(const string& text) {
    static const std::map<string, int> names = {{"%tid.x", tid},       {"%ntid.x", ntid},          {"%ctaid.x", ctaid},
                                                {"%nctaid.x", nctaid}, {"%cluster_ctarank", rank}, {"%laneid", laneid},
                                                {"_", nothing}};
    if (const auto found = names.find(text); found != names.end()) return found->second;
    if (const auto found = offsets_.find(text); found != offsets_.end()) return constant(found->second);
    if (text.find("shared_memory") != string::npos) return zero;
    if (text[0] == '0' && (text[1] == 'f' || text[1] == 'd')) return constant(strtoull(text.c_str() + 2, nullptr, 16));
    if (isdigit(text[0])) return constant(strtoull(text.c_str(), nullptr, 0));
    if (text[0] == '-') return constant((Word)strtoll(text.c_str(), nullptr, 0));
    const auto [found, is_new] = registers_.try_emplace(text, p_.registers);
    if (is_new) ++p_.registers;
    return found->second;
  }

  // The operands, each a register or the elements of a vector; of [register + offset] both parts.
  std::vector<std::vector<int>> operands(const string& text, Instruction& i) {
    std::vector<std::vector<int>> all;
    for (size_t at = 0; (at = text.find_first_not_of(" \t\n,", at)) != string::npos;) {
      const char closing = text[at] == '{' ? '}' : text[at] == '[' ? ']' : ',';
      const size_t end = std::min(text.find(closing, at), text.size());
      std::vector<int> each;
      if (closing == ']') {
        const std::vector<string> parts = split(text.substr(at + 1, end - at - 1), " +");
        each.push_back(operand(parts[0]));
        if (parts.size() > 1) i.offset = atoll(parts[1].c_str());
      } else {
        for (const string& part : split(text.substr(at, end - at), "{}|, \t\n")) each.push_back(operand(part));
      }
      all.push_back(each);
      at = end + (closing != ',');
    }
    return all;
  }

  void instruction(const string& text) {
    if (text[0] == '.') return;  // a directive
    Instruction i;
    size_t at = 0;
    if (text[0] == '@') {
      i.unless = text[1] == '!';
      at = text.find_first_of(" \t");
      i.guard = operand(text.substr(1 + i.unless, at - 1 - i.unless));
      at = text.find_first_not_of(" \t", at);
    }
    const size_t end = std::min(text.find_first_of(" \t", at), text.size());
    const string name = text.substr(at, end - at), rest = text.substr(end);
    const std::vector<string> parts = split(name, ".");
    const auto has = [&](const char* part) { return std::find(parts.begin(), parts.end(), part) != parts.end(); };
    const string &op = parts[0], &type = parts.back();
    if (op == "bra") {
      i.kind = Kind::branch;
      jumps_.push_back({p_.code.size(), split(rest, " \t")[0]});
    } else if (op == "ret" || op == "exit") {
      i.kind = Kind::end;
    } else if (op == "bar") {
      i.kind = Kind::block_barrier;
    } else if (op == "barrier") {
      i.kind = has("wait") ? Kind::wait : has("relaxed") ? Kind::arrive_relaxed : Kind::arrive;
    } else {
      const std::vector<std::vector<int>> all = operands(rest, i);
      std::copy(all[0].begin(), all[0].end(), i.to);
      int* from = i.from;
      for (size_t k = 1; k < all.size(); ++k) from = std::copy(all[k].begin(), all[k].end(), from);
      i.bytes = bytes_of(type), i.width = has("v2") ? 2 : has("v4") ? 4 : 1;
      i.cost = cost(name);
      if (op == "ld" || op == "st") {
        i.space = has("param")             ? Space::parameter
                  : has("shared::cluster") ? Space::cluster
                  : has("shared")          ? Space::shared
                  : has("global")          ? Space::global
                                           : Space::generic;
        i.step = with_type(type, [&](auto x) -> Step { return op == "ld" ? &load<decltype(x)> : &store<decltype(x)>; });
      } else if (op == "mov" && all[0].size() + all[1].size() > 2) {
        i.width = (uint8_t)(all[0].size() + all[1].size() - 1), i.bytes /= i.width;
        i.step = all[0].size() > 1 ? &unpack : &pack;
      } else if (op == "shfl") {
        i.kind = Kind::shuffle;
      } else if (op == "vote") {
        i.kind = Kind::any;
      } else if (op == "mapa") {
        i.step = &map_to_rank;
      } else if (op == "cvta") {
        i.step = has("shared") && !has("to") ? &to_generic : integer<Word>("mov");
      } else if (has("wide")) {
        i.step = type == "s32"   ? widening<int64_t, int32_t>(op == "mad")
                 : type == "u32" ? widening<Word, uint32_t>(op == "mad")
                                 : nullptr;
      } else {
        i.step = step(name, parts);
      }
      if (i.kind == Kind::step && !i.step) fault("an unknown instruction: " + text);
    }
    p_.code.push_back(i);
    p_.lines.push_back(text);
  }

  static Step step(const string& name, const std::vector<string>& parts) {
    const string &op = parts[0], &type = parts.back();
    if (op == "cvt") {
      const string& to = parts[parts.size() - 2];
      if (to == "bf16x2") return pair<BFloat16>("cvt.rn");
      if (to == "f16x2") return pair<Half>("cvt.rn");
      const string mode = parts.size() > 3 ? parts[1] : "";
      return with_type(to, [&](auto x) {
        return with_type(type, [&](auto y) { return conversion<decltype(x), decltype(y)>(mode); });
      });
    }
    const string bare = name.substr(0, name.rfind('.'));
    if (type == "bf16x2") return pair<BFloat16>(bare);
    if (type == "f16x2") return pair<Half>(bare);
    return arithmetic(bare, type);
  }

  // Machine instructions that ptxas makes of one, on its usual way: none of what only names a register.
  static uint8_t cost(const string& name) {
    static const std::pair<const char*, int> costs[] = {
        {"mov.", 0},        {"abs.f", 0},        {"neg.f", 0},          {"cvta.", 0},          {"ld.param", 0},
        {"div.rn.f32", 10}, {"div.full.f32", 8}, {"lg2.approx.f32", 4}, {"ex2.approx.f32", 4}, {"sqrt.approx.f32", 4},
        {"rcp.rn.f32", 8},  {"sqrt.rn.f32", 9},  {"div.rn.f64", 20},    {"rcp.rn.f64", 14},    {"sqrt.rn.f64", 18},
        {"div.", 30},       {"rem.", 30}};
    for (const auto& [begin, instructions] : costs) {
      if (name.compare(0, strlen(begin), begin) == 0) return (uint8_t)instructions;
    }
    return 1;
  }
};

// "points_plain<float,Mse,false>" of a mangled kernel, from either compiler.
string name_of(const char* mangled) {
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> whole(abi::__cxa_demangle(mangled, nullptr, nullptr, &status), &free);
  if (status != 0) return "";
  string name = whole.get();
  const std::pair<const char*, const char*> changes[] = {
      {"fastloss::", ""}, {"cuda::", ""}, {"(anonymous namespace)::", ""},
      {"void ", ""},      {" ", ""},      {"__nv_bfloat16", "BFloat16"},
      {"__half", "Half"}};
  for (const auto& [from, to] : changes) {
    for (size_t at; (at = name.find(from)) != string::npos;) name.replace(at, strlen(from), to);
  }
  int depth = 0;
  size_t end = 0;
  for (; end < name.size() && (name[end] != '(' || depth > 0); ++end) depth += (name[end] == '<') - (name[end] == '>');
  return name.substr(0, end);
}

std::map<string, Program> programs;
std::unordered_map<const void*, Program*> kernels;  // by the host's function

// The text of every entry, without comments, and the addresses of the host's kernels.
void read_programs() {
  const char* const files = getenv("FASTLOSS_PTX");
  if (!files) fault("FASTLOSS_PTX is not set");
  for (const string& path : split(files, ":")) {
    std::ifstream file(path);
    if (!file) fault("cannot read " + path);
    string text, line;
    while (std::getline(file, line)) text += line.substr(0, line.find("//")) + "\n";
    const char* const mark = ".entry ";
    for (size_t at = text.find(mark), next; at != string::npos; at = next) {
      next = text.find(mark, at + 1);
      Program p;
      p.text = text.substr(at, next - at);
      p.name = name_of(split(p.text.substr(strlen(mark)), "(\n")[0].c_str());
      programs[p.name] = std::move(p);
    }
  }
  Dl_info self;  // the program or library
  dladdr((void*)&fastloss_ptx_origin, &self);
  FILE* const symbols = popen(("nm '" + string(self.dli_fname) + "'").c_str(), "r");
  std::vector<std::pair<uintptr_t, string>> found;
  uintptr_t origin = 0;
  char symbol[8192];
  for (unsigned long at; fscanf(symbols, "%lx %*c %8191s", &at, symbol) == 2 || fscanf(symbols, "%*[^\n]") != EOF;) {
    if (!strcmp(symbol, "fastloss_ptx_origin")) origin = at;
    if (strstr(symbol, "fastloss")) found.push_back({at, name_of(symbol)});
    *symbol = 0;
  }
  pclose(symbols);
  for (const auto& [at, name] : found) {
    const auto p = programs.find(name);
    if (p != programs.end()) kernels[(const char*)&fastloss_ptx_origin + (at - origin)] = &p->second;
  }
}

const Program& program_of(const void* function) {
  if (programs.empty()) read_programs();
  const auto found = kernels.find(function);
  if (found == kernels.end()) fault("a kernel that $FASTLOSS_PTX does not hold");
  Program& p = *found->second;
  if (p.code.empty()) Parser{p};
  return p;
}

// ------------------------------------------------------------------------------------------------------ scheduler

void meet(Thread& t, const Instruction& i) {
  Meeting& w = t.block->warps[t.index / kWarp];
  const unsigned mask = get<uint32_t>(t, i.from[i.kind == Kind::any ? 1 : 3]);
  const int lane = t.index % kWarp;
  if (!(mask >> lane & 1)) fault("a lane takes part in an exchange whose mask leaves it out");
  if (!w.arrived) w.mask = mask, w.at = t.at;
  if (w.mask != mask || w.at != t.at) fault("lanes of a warp meet at different exchanges");
  w.arrived |= 1u << lane;
  t.state = State::at_exchange;
  if (w.arrived != mask) return;
  w.arrived = 0;
  Thread* const first = &t - lane;
  Word before[kWarp];
  bool any = false;
  for (int k = 0; k < kWarp; ++k) {
    if (!(mask >> k & 1)) continue;
    before[k] = first[k].r[i.from[0]];
    any = any || (before[k] & 1);
  }
  for (int k = 0; k < kWarp; ++k) {
    if (!(mask >> k & 1)) continue;
    Thread& other = first[k];
    if (i.kind == Kind::any) {
      put(other, i.to[0], any);
    } else {
      const unsigned from = k ^ get<uint32_t>(other, i.from[1]);
      if (from >= kWarp || !(mask >> from & 1)) fault("a shuffle reads a lane that its mask leaves out");
      other.r[i.to[0]] = before[from];
    }
    other.state = State::ready, ++other.at;
  }
}

void meet_block(Thread& t) {
  GridBlock& b = *t.block;
  if (b.running != block_threads) fault("a barrier after a thread of its block has ended");
  if (b.arrived && b.at != t.at) fault("threads meet at different barriers");
  b.at = t.at;
  t.state = State::at_block_barrier;
  if (++b.arrived < block_threads) return;
  b.arrived = 0;
  for (int k = 0; k < block_threads; ++k) {
    Thread& other = b.threads[k];
    other.state = State::ready, ++other.at, ++other.barriers;
  }
}

void arrive(Thread& t, bool releasing) {
  GridCluster& c = *t.block->cluster;
  if (t.arrived) fault("a thread arrives twice at a cluster barrier");
  if (c.arrived && c.releasing != releasing) fault("threads arrive at a cluster barrier in different ways");
  c.releasing = releasing;
  t.arrived = true, t.released = releasing, t.turn = c.turn;
  t.releases += releasing;
  if (++c.arrived == (int)c.blocks.size() * block_threads) c.arrived = 0, ++c.turn;
}

// Runs a thread until it must wait.
void advance(Thread& t) {
  active = &t;
  t.block->started = true;
  while (t.state == State::ready) {
    const Instruction& i = program->code[t.at];
    instructions += i.cost;
    if (i.guard >= 0 && get<bool>(t, i.guard) == i.unless) {
      ++t.at;
      continue;
    }
    switch (i.kind) {
      case Kind::step:
        i.step(t, i);
        ++t.at;
        break;
      case Kind::branch:
        t.at = i.target;
        break;
      case Kind::end:
        if (t.arrived) fault("a thread ends between arriving at a cluster barrier and waiting");
        t.state = State::ended;
        --t.block->running;
        break;
      case Kind::block_barrier:
        meet_block(t);
        break;
      case Kind::shuffle:
      case Kind::any:
        meet(t, i);
        break;
      case Kind::arrive:
      case Kind::arrive_relaxed:
        arrive(t, i.kind == Kind::arrive);
        ++t.at;
        break;
      case Kind::wait:
        if (!t.arrived) fault("a thread waits at a cluster barrier where it has not arrived");
        if (t.block->cluster->turn == t.turn) {
          t.state = State::at_cluster_barrier;
        } else {
          t.arrived = false, t.acquires += t.released, ++t.at;
        }
    }
  }
  active = nullptr;
}

}  // namespace

void wait_while(const uint64_t*, uint64_t) { fault("the host's kernel runs"); }

void run(int64_t blocks, int threads, int shared_bytes, int cluster, const Kernel& kernel) {
  if (threads % kWarp != 0) fault("a block that is no whole number of warps");
  ++launches;
  program = &program_of(kernel.function);
  block_threads = threads, grid_blocks = blocks;
  if ((int)program->parameters.size() != kernel.count) fault("a kernel with other arguments");
  parameters.assign(program->parameter_bytes, 0);
  for (int k = 0; k < kernel.count; ++k) {
    const Program::Place& place = program->parameters[k];
    if (place.bytes != kernel.given[k].bytes) fault("an argument of another size");
    memcpy(parameters.data() + place.at, kernel.given[k].data, place.bytes);
  }
  const int n = cluster * threads;
  static std::vector<Word> registers;
  registers.resize((size_t)n * program->registers);
  shared_accesses.resize(cluster);
  for (std::vector<Access>& accesses : shared_accesses)
    accesses.resize(std::max((size_t)shared_bytes / 2, accesses.size()));
  first_of_launch = clusters + 1;
  std::vector<int> order(n);
  uint64_t random = schedule;
  for (int64_t first = first_block; first < blocks; first += cluster) {
    ++clusters;
    std::vector<Thread> all(n);
    GridCluster c;
    c.blocks.resize(cluster);
    for (int r = 0; r < cluster; ++r) {
      GridBlock& b = c.blocks[r];
      b.index = first + r, b.rank = r, b.cluster = &c, b.threads = &all[r * threads], b.running = threads;
      b.shared.resize(shared_bytes), b.warps.resize(threads / kWarp);
    }
    for (int i = 0; i < n; ++i) {
      Thread& t = all[i];
      t = {&registers[(size_t)i * program->registers], &c.blocks[i / threads], i % threads, 0, State::ready};
      const Word begin[specials] = {(Word)t.index, (Word)threads,       (Word)t.block->index,
                                    (Word)blocks,  (Word)t.block->rank, (Word)t.index % kWarp};
      std::copy(begin, begin + specials, t.r);
      for (const auto& [at, value] : program->constants) t.r[at] = value;
    }
    std::iota(order.begin(), order.end(), 0);
    if (schedule % 2) std::reverse(order.begin(), order.end());
    for (int left = n; left > 0;) {
      for (int i = schedule > 3 ? n - 1 : 0; i > 0; --i) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        std::swap(order[i], order[(random >> 33) % (i + 1)]);
      }
      bool moved = false;
      for (int i : order) {
        Thread& t = all[i];
        if (t.state == State::at_cluster_barrier && c.turn != t.turn) t.state = State::ready;
        if (t.state != State::ready) continue;
        advance(t);
        moved = true;
        left -= t.state == State::ended;
      }
      if (!moved) fault("threads wait for each other in vain");
    }
  }
}

}  // namespace fastloss::cuda::emulation
