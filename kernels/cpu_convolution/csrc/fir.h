// The FIR filter after a transposed convolution, with the epilogue.
#pragma once

#include "epilogue.h"

namespace ganvas {

// Result row `y` from the four raw rows y - 1 .. y + 2, each [2 width + 3, channels] with one pixel
// of zeros before and after; a null row is all zeros.
inline void filter_row(const Convolution& c, int64_t n, int64_t y, const float* const* rows,
                       float* result) {
  constexpr int64_t BLOCK = 32;  // pixels whose raw rows stay in the first-level cache
  const int64_t width = 2 * c.width, out = round_up(c.out, VL);
  const float* present[4];
  float taps[4];
  for (int i = 0; i < 4; ++i) {
    present[i] = rows[i] ? rows[i] : rows[1];
    taps[i] = rows[i] ? c.fir_y[i] : 0;
  }
  for (int64_t start = 0; start < width; start += BLOCK) {
    const int64_t stop = start + BLOCK < width ? start + BLOCK : width;
    for (int64_t k = 0; k < out; k += VL) {
      const Epilogue finish(c, n, k);
      const auto vertical = [&](int64_t x) {
        const int64_t at = x * out + k;
        return taps[0] * load(present[0] + at) + taps[1] * load(present[1] + at) +
               (taps[2] * load(present[2] + at) + taps[3] * load(present[3] + at));
      };
      vec a = vertical(start), b = vertical(start + 1), d = vertical(start + 2);
      for (int64_t x = start; x < stop; ++x) {
        const vec e = vertical(x + 3);
        const vec v = c.fir_x[0] * a + c.fir_x[1] * b + (c.fir_x[2] * d + c.fir_x[3] * e);
        store(result + x * out + k, finish(v, y * width + x));
        a = b, b = d, d = e;
      }
    }
  }
}

}  // namespace ganvas
