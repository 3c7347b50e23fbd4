// One-axis and two-axis polyphase filters over rows of pixels, 16 channels at a time.
//
// Template parameter P is the number of taps a phase and S the step between samples, up or down.
// Known to the compiler (6, and 2 or 4, in every StyleGAN3 layer), samples stay in registers while
// all their outputs are summed; P = S = 0 takes any numbers, at a lower speed. Rows are padded by
// the caller to blocks of BLOCK outputs, so there are no remainders here.
#pragma once

#include <algorithm>

#include "filtered_lrelu_math.h"
#include "vec.h"

namespace ganvas {
namespace flrelu {

constexpr int BLOCK = 8;  // outputs summed together along a row
constexpr int STRIP = 4;  // rows of results summed together
constexpr int WIDE = 4;   // columns of these

inline int round_up(int n, int block) { return (n + block - 1) / block * block; }

// Rows of a group between two input rows: out[j][x] = sum_m taps[u-1-j + u m] rows[m][x].
template <int P, int S>
void up_vertical(Vec* const* out, const Vec* const* rows, int n, int up, const float* taps, int t) {
  const int u = S > 0 ? S : up;
  for (int x = 0; x < n; x += WIDE)
    for (int j = 0; j < u; ++j) {
      Vec sum[WIDE] = {};
      const int count = P > 0 ? P : phase_count(t, u - 1 - j, u);
#pragma GCC unroll 8
      for (int m = 0; m < count; ++m) {
        const Vec tap = tap_register(taps[u - 1 - j + u * m]);
        for (int i = 0; i < WIDE; ++i) sum[i] += rows[m][x + i] * tap;
      }
      for (int i = 0; i < WIDE; ++i) out[j][x + i] = sum[i];
    }
}

// out[g u + j] = act(sum_r sum_m taps[r][u-1-j + u m] rows[r][g + m]); `groups` in whole blocks.
// One row of taps is the second half of a separable filter, several rows are a 2-D filter.
template <int P, int S, class Act>
void up_horizontal(Vec* out, const Vec* const* rows, int height, int groups, int up,
                   const float* const* taps, int t, Act act) {
  const int u = S > 0 ? S : up;
  for (int g = 0; g < groups; g += BLOCK)
    for (int j = 0; j < u; ++j) {
      Vec sum[BLOCK] = {};
      const int first = u - 1 - j;
      for (int r = 0; r < height; ++r) {
        const Vec* s = rows[r] + g;
        const float* f = taps[r] + first;
        const int count = P > 0 ? P : phase_count(t, first, u);
#pragma GCC unroll 8
        for (int m = 0; m < count; ++m) {
          const Vec tap = tap_register(f[u * m]);
          for (int i = 0; i < BLOCK; ++i) sum[i] += s[i + m] * tap;
        }
      }
      for (int i = 0; i < BLOCK; ++i) out[(g + i) * u + j] = act(sum[i]);
    }
}

// out[x] = sum_k taps[k] in[x d + k]
template <int P, int S>
void down_horizontal(Vec* out, const Vec* in, int n, int down, const float* taps, int t) {
  const int d = S > 0 ? S : down;
  for (int x = 0; x < n; x += BLOCK) {
    Vec sum[BLOCK] = {};
    for (int r = 0; r < d; ++r) {
      const Vec* s = in + x * d + r;
      const int count = P > 0 ? P : phase_count(t, r, d);
#pragma GCC unroll 8
      for (int m = 0; m < count; ++m) {
        const Vec tap = tap_register(taps[r + m * d]);
        for (int i = 0; i < BLOCK; ++i) sum[i] += s[(i + m) * d] * tap;
      }
    }
    for (int i = 0; i < BLOCK; ++i) out[x + i] = sum[i];
  }
}

// out[y][i] = sum_k taps[k] rows[y d + k][x + i]
template <int P, int S>
void down_vertical(Vec (&out)[STRIP][WIDE], const Vec* const* rows, int x, int down,
                   const float* taps, int t) {
  const int d = S > 0 ? S : down;
  Vec sum[STRIP][WIDE] = {};
  for (int r = 0; r < d; ++r) {
    const int count = P > 0 ? P : phase_count(t, r, d);
#pragma GCC unroll 16
    for (int q = 0; q < STRIP - 1 + count; ++q) {
      const Vec* s = rows[q * d + r] + x;
#pragma GCC unroll 4
      for (int y = 0; y < STRIP; ++y) {
        if (q < y || q - y >= count) continue;
        const Vec tap = tap_register(taps[r + (q - y) * d]);
        for (int i = 0; i < WIDE; ++i) sum[y][i] += s[i] * tap;
      }
    }
  }
  for (int y = 0; y < STRIP; ++y)
    for (int i = 0; i < WIDE; ++i) out[y][i] = sum[y][i];
}

// out[i] = sum_{k, l} taps[k][l] rows[k][(x + i) d + l]
template <int P, int S>
void down_square(Vec (&out)[BLOCK], const Vec* const* rows, int x, int down, const float* taps,
                 int height, int t) {
  const int d = S > 0 ? S : down;
  Vec sum[BLOCK] = {};
  for (int k = 0; k < height; ++k)
    for (int r = 0; r < d; ++r) {
      const Vec* s = rows[k] + x * d + r;
      const float* f = taps + k * t + r;
      const int count = P > 0 ? P : phase_count(t, r, d);
#pragma GCC unroll 8
      for (int m = 0; m < count; ++m) {
        const Vec tap = tap_register(f[m * d]);
        for (int i = 0; i < BLOCK; ++i) sum[i] += s[(i + m) * d] * tap;
      }
    }
  for (int i = 0; i < BLOCK; ++i) out[i] = sum[i];
}

// The same for taps that are symmetric from top to bottom: rows are added in pairs first, which
// halves the multiplications.
template <int P, int S>
void down_square_folded(Vec (&out)[BLOCK], const Vec* const* rows, int x, const float* taps) {
  Vec sum[BLOCK] = {};
  for (int k = 0; k < P * S / 2; ++k)
    for (int r = 0; r < S; ++r) {
      const Vec* upper = rows[k] + x * S + r;
      const Vec* lower = rows[P * S - 1 - k] + x * S + r;
      const float* f = taps + k * P * S + r;
      Vec s[BLOCK + P - 1];
#pragma GCC unroll 16
      for (int i = 0; i < BLOCK + P - 1; ++i) s[i] = upper[i * S] + lower[i * S];
#pragma GCC unroll 8
      for (int m = 0; m < P; ++m) {
        const Vec tap = tap_register(f[m * S]);
        for (int i = 0; i < BLOCK; ++i) sum[i] += s[i + m] * tap;
      }
    }
  for (int i = 0; i < BLOCK; ++i) out[i] = sum[i];
}

}  // namespace flrelu
}  // namespace ganvas
