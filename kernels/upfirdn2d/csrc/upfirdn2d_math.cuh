// Which samples of the input a filtered sample sees: integer arithmetic, tested on the host.
#pragma once

#include <stdint.h>

struct Taps {
  int64_t sample;  // first sample of x under the filter; may lie outside x
  int32_t tap;     // its tap; the following sample has the tap `up` further
};

// Of the zero-inserted axis, output `out` sees positions out * down - before + tap for all taps;
// those divisible by `up` hold samples, all others zeros.
__host__ __device__ inline Taps first_tap(int64_t out, int32_t up, int32_t down, int32_t before) {
  const int64_t position = out * down - before;
  // Division rounding up, also below zero.
  const int64_t sample =
      position >= 0 ? (position + up - 1) / up : -((-position) / static_cast<int64_t>(up));
  return {sample, static_cast<int32_t>(sample * up - position)};
}
