// One-axis and two-axis polyphase filters over rows of pixels, 16 channels at a time.
//
// Template parameter P is the number of taps a phase (6 in every StyleGAN3 layer), so that samples
// stay in registers while all their outputs are summed; P = 0 takes any number, at a lower speed.
// Rows are padded by the caller to blocks of BLOCK outputs, so there are no remainders here.
#pragma once

#include <algorithm>

#include "vec.h"

namespace ganvas {
namespace flrelu {

constexpr int BLOCK = 8;  // outputs summed together along a row
constexpr int STRIP = 4;  // rows of results summed together

inline int round_up(int n, int block) { return (n + block - 1) / block * block; }

inline int floor_div(int a, int b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }

// Taps of `total` that meet residue `first` of `step`.
inline int phase_count(int total, int first, int step) {
    return first < total ? (total - first + step - 1) / step : 0;
}

// Rows of a group between two input rows: out[j][x] = sum_m taps[u-1-j + u m] rows[m][x].
template <int P>
void up_vertical(Vec* const* out, const Vec* const* rows, int n, int u, const float* taps, int t) {
    constexpr int WIDE = 4;
    for (int x = 0; x < n; x += WIDE) {
        if constexpr (P > 0) {
            Vec s[P][WIDE];
            for (int m = 0; m < P; ++m)
                for (int i = 0; i < WIDE; ++i) s[m][i] = rows[m][x + i];
            for (int j = 0; j < u; ++j) {
                Vec sum[WIDE];
                const float first = taps[u - 1 - j];
                for (int i = 0; i < WIDE; ++i) sum[i] = s[0][i] * first;
#pragma GCC unroll 16
                for (int m = 1; m < P; ++m) {
                    const float tap = taps[u - 1 - j + u * m];
                    for (int i = 0; i < WIDE; ++i) sum[i] += s[m][i] * tap;
                }
                for (int i = 0; i < WIDE; ++i) out[j][x + i] = sum[i];
            }
        } else {
            for (int j = 0; j < u; ++j) {
                Vec sum[WIDE] = {};
                const int count = phase_count(t, u - 1 - j, u);
                for (int m = 0; m < count; ++m) {
                    const float tap = taps[u - 1 - j + u * m];
                    for (int i = 0; i < WIDE; ++i) sum[i] += rows[m][x + i] * tap;
                }
                for (int i = 0; i < WIDE; ++i) out[j][x + i] = sum[i];
            }
        }
    }
}

// out[g u + j] = act(sum_r sum_m taps[r][u-1-j + u m] rows[r][g + m]); `groups` in whole blocks.
// One row of taps is the second half of a separable filter, several rows are a 2-D filter.
template <int P, class Act>
void up_horizontal(Vec* out, const Vec* const* rows, int height, int groups, int u,
                   const float* const* taps, int t, Act act) {
    for (int g = 0; g < groups; g += BLOCK) {
        for (int j = 0; j < u; ++j) {
            Vec sum[BLOCK] = {};
            const int first = u - 1 - j;
            for (int r = 0; r < height; ++r) {
                const Vec* s = rows[r] + g;
                const float* f = taps[r] + first;
                if constexpr (P > 0) {
#pragma GCC unroll 16
                    for (int m = 0; m < P; ++m)
                        for (int i = 0; i < BLOCK; ++i) sum[i] += s[i + m] * f[u * m];
                } else {
                    const int count = phase_count(t, first, u);
                    for (int m = 0; m < count; ++m)
                        for (int i = 0; i < BLOCK; ++i) sum[i] += s[i + m] * f[u * m];
                }
            }
            for (int i = 0; i < BLOCK; ++i) out[(g + i) * u + j] = act(sum[i]);
        }
    }
}

// out[x] = sum_k taps[k] in[x d + k]
template <int P>
void down_horizontal(Vec* out, const Vec* in, int n, int d, const float* taps, int t) {
    for (int x = 0; x < n; x += BLOCK) {
        Vec sum[BLOCK] = {};
        for (int r = 0; r < d; ++r) {
            const Vec* s = in + x * d + r;
            const int count = P > 0 ? P : phase_count(t, r, d);
#pragma GCC unroll 16
            for (int m = 0; m < count; ++m)
                for (int i = 0; i < BLOCK; ++i) sum[i] += s[(i + m) * d] * taps[r + m * d];
        }
        for (int i = 0; i < BLOCK; ++i) out[x + i] = sum[i];
    }
}

// out[y] = sum_k taps[k] rows[y d + k][x] for STRIP rows y.
template <int P>
inline void down_vertical(Vec (&out)[STRIP], const Vec* const* rows, int x, int d,
                          const float* taps, int t) {
    for (Vec& v : out) v = Vec{};
    for (int r = 0; r < d; ++r) {
        const int count = P > 0 ? P : phase_count(t, r, d);
#pragma GCC unroll 16
        for (int m = 0; m < count; ++m)
            for (int y = 0; y < STRIP; ++y) out[y] += rows[(y + m) * d + r][x] * taps[r + m * d];
    }
}

// out[i] = sum_{k, l} taps[k][l] rows[k][(x + i) d + l]
template <int P>
inline void down_square(Vec (&out)[BLOCK], const Vec* const* rows, int x, int d, const float* taps,
                        int height, int t) {
    for (Vec& v : out) v = Vec{};
    for (int k = 0; k < height; ++k)
        for (int r = 0; r < d; ++r) {
            const Vec* s = rows[k] + x * d + r;
            const float* f = taps + k * t + r;
            const int count = P > 0 ? P : phase_count(t, r, d);
#pragma GCC unroll 16
            for (int m = 0; m < count; ++m)
                for (int i = 0; i < BLOCK; ++i) out[i] += s[(i + m) * d] * f[m * d];
        }
}

// The same for taps that are symmetric from top to bottom: rows are added in pairs first, which
// halves the multiplications.
template <int P>
inline void down_square_folded(Vec (&out)[BLOCK], const Vec* const* rows, int x, int d,
                               const float* taps, int height, int t) {
    for (Vec& v : out) v = Vec{};
    for (int k = 0; k < height / 2; ++k)
        for (int r = 0; r < d; ++r) {
            const Vec* upper = rows[k] + x * d + r;
            const Vec* lower = rows[height - 1 - k] + x * d + r;
            const float* f = taps + k * t + r;
            Vec s[BLOCK + P - 1];
            for (int i = 0; i < BLOCK + P - 1; ++i) s[i] = upper[i * d] + lower[i * d];
#pragma GCC unroll 16
            for (int m = 0; m < P; ++m)
                for (int i = 0; i < BLOCK; ++i) out[i] += s[i + m] * f[m * d];
        }
}

}  // namespace flrelu
}  // namespace ganvas
