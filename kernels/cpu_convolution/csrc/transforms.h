// One-dimensional minimal filtering (Winograd 1980; Lavin and Gray 2016, section 4): `OUT` results
// of a 3-tap convolution from `IN` samples with `POINTS` products instead of 3 * OUT.
//
// Each form has G, which maps the taps to one factor a point; `input`, which maps the samples to
// the points; and `output`, which maps the products to the results, with its adjoint `spread`,
// where the weight's gradient is wanted. In two dimensions they are applied along columns, then
// rows. Points of one `SLOT` share a factor, so it is stored once.
#pragma once

#include "vec.h"

namespace ganvas {

// A plain convolution.
struct Direct {
  static constexpr int TAPS = 3, IN = 3, POINTS = 3, OUT = 1, STEP = 1, SLOTS = 3;
  static constexpr bool UP = false, DOWN = false;
  static constexpr int SLOT[POINTS] = {0, 1, 2};
  static constexpr double G[SLOTS][TAPS] = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}};
  static void input(const vec* x, vec* v) { v[0] = x[0], v[1] = x[1], v[2] = x[2]; }
  static void output(const vec* m, vec* y) { y[0] = m[0] + m[1] + m[2]; }
  static void spread(const vec* y, vec* m) { m[0] = m[1] = m[2] = y[0]; }
};

// A convolution with a 1x1 kernel.
struct Pointwise {
  static constexpr int TAPS = 1, IN = 1, POINTS = 1, OUT = 1, STEP = 1, SLOTS = 1;
  static constexpr bool UP = false, DOWN = false;
  static constexpr int SLOT[POINTS] = {0};
  static constexpr double G[SLOTS][TAPS] = {{1}};
  static void input(const vec* x, vec* v) { v[0] = x[0]; }
  static void output(const vec* m, vec* y) { y[0] = m[0]; }
  static void spread(const vec* y, vec* m) { m[0] = y[0]; }
};

// F(2, 3) at the points 0, 1, -1 and infinity.
struct Winograd2 {
  static constexpr int TAPS = 3, IN = 4, POINTS = 4, OUT = 2, STEP = 2, SLOTS = 4;
  static constexpr bool UP = false, DOWN = false;
  static constexpr int SLOT[POINTS] = {0, 1, 2, 3};
  static constexpr double G[SLOTS][TAPS] = {{1, 0, 0}, {.5, .5, .5}, {.5, -.5, .5}, {0, 0, 1}};
  static void input(const vec* x, vec* v) {
    v[0] = x[0] - x[2];
    v[1] = x[2] + x[1];
    v[2] = x[2] - x[1];
    v[3] = x[3] - x[1];
  }
  static void output(const vec* m, vec* y) {
    y[0] = m[0] + m[1] + m[2];
    y[1] = m[1] - m[2] + m[3];
  }
  static void spread(const vec* y, vec* m) {
    m[0] = y[0], m[3] = y[1];
    m[1] = y[0] + y[1], m[2] = y[0] - y[1];
  }
};

// F(4, 3) at the points 0, A, -A, B, -B and infinity. These A and B, exact in binary, have half the
// rounding error of the usual 1 and 2.
struct Winograd4 {
  static constexpr double A = 0.75, B = 1.5, AA = A * A, BB = B * B;
  static constexpr double NA = 2 * AA * (AA - BB), NB = 2 * BB * (BB - AA);
  static constexpr int TAPS = 3, IN = 6, POINTS = 6, OUT = 4, STEP = 4, SLOTS = 6;
  static constexpr bool UP = false, DOWN = false;
  static constexpr int SLOT[POINTS] = {0, 1, 2, 3, 4, 5};
  static constexpr double G[SLOTS][TAPS] = {{1 / (AA * BB), 0, 0},      {1 / NA, A / NA, AA / NA},
                                            {1 / NA, -A / NA, AA / NA}, {1 / NB, B / NB, BB / NB},
                                            {1 / NB, -B / NB, BB / NB}, {0, 0, 1}};
  static void input(const vec* x, vec* v) {
    constexpr float a = A, b = B, aa = AA, bb = BB, both = AA + BB, product = AA * BB;
    const vec even_a = x[4] - bb * x[2], odd_a = x[3] - bb * x[1];
    const vec even_b = x[4] - aa * x[2], odd_b = x[3] - aa * x[1];
    v[0] = product * x[0] + (x[4] - both * x[2]);
    v[1] = even_a + a * odd_a;
    v[2] = even_a - a * odd_a;
    v[3] = even_b + b * odd_b;
    v[4] = even_b - b * odd_b;
    v[5] = product * x[1] + (x[5] - both * x[3]);
  }
  static void output(const vec* m, vec* y) {
    constexpr float a = A, b = B, aa = AA, bb = BB, aaa = AA * A, bbb = BB * B;
    const vec sum_a = m[1] + m[2], difference_a = m[1] - m[2];
    const vec sum_b = m[3] + m[4], difference_b = m[3] - m[4];
    y[0] = m[0] + sum_a + sum_b;
    y[1] = a * difference_a + b * difference_b;
    y[2] = aa * sum_a + bb * sum_b;
    y[3] = aaa * difference_a + (bbb * difference_b + m[5]);
  }
  static void spread(const vec* y, vec* m) {
    constexpr float a = A, b = B, aa = AA, bb = BB, aaa = AA * A, bbb = BB * B;
    const vec even_a = y[0] + aa * y[2], odd_a = a * y[1] + aaa * y[3];
    const vec even_b = y[0] + bb * y[2], odd_b = b * y[1] + bbb * y[3];
    m[0] = y[0], m[5] = y[3];
    m[1] = even_a + odd_a, m[2] = even_a - odd_a;
    m[3] = even_b + odd_b, m[4] = even_b - odd_b;
  }
};

// The transposed convolution of stride 2: result 2j is x[j] w[0] + x[j-1] w[2], result 2j + 1 is
// x[j] w[1]. Samples start at j - 1.
struct UpDirect {
  static constexpr int TAPS = 3, IN = 2, POINTS = 3, OUT = 2, STEP = 1, SLOTS = 3;
  static constexpr bool UP = true, DOWN = false;
  static constexpr int SLOT[POINTS] = {0, 1, 2};
  static constexpr double G[SLOTS][TAPS] = {{1, 0, 0}, {0, 0, 1}, {0, 1, 0}};
  static void input(const vec* x, vec* v) { v[0] = x[1], v[1] = x[0], v[2] = x[1]; }
  static void output(const vec* m, vec* y) { y[0] = m[0] + m[1], y[1] = m[2]; }
  static void spread(const vec* y, vec* m) { m[0] = m[1] = y[0], m[2] = y[1]; }
};

// The same for six results: F(3, 2) at 0, 1, -1 and infinity for the even ones; the odd ones have
// but one tap. Three steps divide the 2^k + 1 samples of a side evenly for odd k.
struct UpWinograd3 {
  static constexpr int TAPS = 3, IN = 4, POINTS = 7, OUT = 6, STEP = 3, SLOTS = 5;
  static constexpr bool UP = true, DOWN = false;
  static constexpr int SLOT[POINTS] = {0, 1, 2, 3, 4, 4, 4};
  static constexpr double G[SLOTS][TAPS] = {
      {0, 0, 1}, {.5, 0, .5}, {-.5, 0, .5}, {1, 0, 0}, {0, 1, 0}};
  static void input(const vec* x, vec* v) {
    v[0] = x[0] - x[2];
    v[1] = x[2] + x[1];
    v[2] = x[2] - x[1];
    v[3] = x[3] - x[1];
    v[4] = x[1], v[5] = x[2], v[6] = x[3];
  }
  static void output(const vec* m, vec* y) {
    y[0] = m[0] + m[1] + m[2], y[1] = m[4];
    y[2] = m[1] - m[2], y[3] = m[5];
    y[4] = m[1] + m[2] + m[3], y[5] = m[6];
  }
  static void spread(const vec* y, vec* m) {
    m[0] = y[0], m[3] = y[4];
    m[1] = y[0] + y[4] + y[2], m[2] = y[0] + y[4] - y[2];
    m[4] = y[1], m[5] = y[3], m[6] = y[5];
  }
};

// The convolution of stride 2 without padding: result j is x[2j] w[0] + x[2j + 1] w[1]
// + x[2j + 2] w[2].
struct DownDirect {
  static constexpr int TAPS = 3, IN = 3, POINTS = 3, OUT = 1, STEP = 2, SLOTS = 3;
  static constexpr bool UP = false, DOWN = true;
  static constexpr int SLOT[POINTS] = {0, 1, 2};
  static constexpr double G[SLOTS][TAPS] = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}};
  static void input(const vec* x, vec* v) { v[0] = x[0], v[1] = x[1], v[2] = x[2]; }
  static void output(const vec* m, vec* y) { y[0] = m[0] + m[1] + m[2]; }
  static void spread(const vec* y, vec* m) { m[0] = m[1] = m[2] = y[0]; }
};

// The same for four results: F(4, 2) at 0, 1, -1, 2 and infinity for the even samples; the odd ones
// meet but one tap.
struct DownWinograd4 {
  static constexpr int TAPS = 3, IN = 9, POINTS = 9, OUT = 4, STEP = 8, SLOTS = 6;
  static constexpr bool UP = false, DOWN = true;
  static constexpr int SLOT[POINTS] = {0, 1, 2, 3, 4, 5, 5, 5, 5};
  static constexpr double G[SLOTS][TAPS] = {
      {.5, 0, 0}, {-.5, 0, -.5}, {-1 / 6., 0, 1 / 6.}, {1 / 6., 0, 2 / 6.}, {0, 0, 1}, {0, 1, 0}};
  static void input(const vec* x, vec* v) {
    const vec a = x[0], b = x[2], c = x[4], d = x[6], e = x[8];
    v[0] = 2.0f * a - b - (2.0f * c - d);
    v[1] = d - c - 2.0f * b;
    v[2] = d - 3.0f * c + 2.0f * b;
    v[3] = d - b;
    v[4] = e - c - 2.0f * (d - b);
    v[5] = x[1], v[6] = x[3], v[7] = x[5], v[8] = x[7];
  }
  static void output(const vec* m, vec* y) {
    const vec sum = m[1] + m[2], difference = m[1] - m[2];
    y[0] = m[0] + sum + m[3] + m[5];
    y[1] = difference + 2.0f * m[3] + m[6];
    y[2] = sum + 4.0f * m[3] + m[7];
    y[3] = difference + (8.0f * m[3] + m[4]) + m[8];
  }
  static void spread(const vec* y, vec* m) {
    const vec even = y[0] + y[2], odd = y[1] + y[3];
    m[0] = y[0], m[4] = y[3];
    m[1] = even + odd, m[2] = even - odd;
    m[3] = y[0] + 2.0f * y[1] + (4.0f * y[2] + 8.0f * y[3]);
    m[5] = y[0], m[6] = y[1], m[7] = y[2], m[8] = y[3];
  }
};

}  // namespace ganvas
