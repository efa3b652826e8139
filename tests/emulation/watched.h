#pragma once

// What the drivers of the pointwise and the pairs family share: a launch whose numbers on the device are made, whose outputs
// are watched and whose sums are added up.

#include "engines/elements/cuda.h"
#include "driver.h"

namespace {

// The dtype of a launch of mixed types, one of which is this.
inline DType computing(DType dtype) { return dtype == DType::f64 ? DType::f64 : DType::f32; }

// A divisor and an upstream gradient that only the device knows.
void put_scalars(Memory& memory, Random& random, cuda::DeviceFactor& l, double* scale) {
  double* const divisor = memory.take<double>(1);
  float* const upstream = memory.take<float>(1);
  *divisor = 3, *upstream = -2.5f;
  l.divisor = divisor, l.upstream = upstream, l.upstream_dtype = DType::f32;
  l.unless_one = random.chance(50);
  *scale *= -2.5 / 3;
}

template <class Launch, class Run>
PointTotals run_watched(Memory& memory, Random& random, Launch& l, const std::vector<Output>& outputs, const Run& run) {
  const int64_t planes = l.args.want_stats ? 2 : 1;
  l.sums = memory.take<double>(planes * l.blocks);
  emulation::schedule = random.below(5);
  emulation::watch(l.sums, planes * l.blocks * 8, 8);
  for (const Output& o : outputs) emulation::watch(o.data, o.bytes, o.element);
  if (run() != 0) ::fail("launch", -1, -1, 1, 0, 0);
  if (emulation::unwatch(l.sums) != 0) ::fail("sums not written", -1, -1, 0, 0, 0);
  for (const Output& o : outputs) {
    const int64_t missing = emulation::unwatch(o.data);
    if (missing != o.gaps) ::fail(o.what, -1, -1, (double)missing, (double)o.gaps, 0);
  }
  PointTotals total{};
  for (int64_t b = 0; b < l.blocks; ++b) {
    total.loss += l.sums[b];
    if (l.args.want_stats) total.gradient_square += l.sums[l.blocks + b];
  }
  return total;
}

}  // namespace
