// Matrix products with a right-hand side that was packed once.
//
// Every element of a result is one chain of fused multiply-adds in the order of k, whichever
// register block computes it: a row's result depends neither on the other rows nor on the threads.
#pragma once

#include "vec.h"

namespace ganvas {

// c[r][0..PANEL) = sum over k of a[r][k] * b[k][0..PANEL) for `Rows` rows. Inlined into a larger
// function, its addresses would not stay in registers.
template <int Rows>
__attribute__((noinline)) void multiply_block(int64_t depth, const float* a, int64_t lda,
                                              const float* b, float* c, int64_t ldc) {
  vec left[Rows] = {}, right[Rows] = {};
  for (int64_t k = 0; k < depth; ++k) {
    const vec b0 = load(b), b1 = load(b + VL);
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
      const vec s = splat(a[r * lda]);
      left[r] += s * b0;
      right[r] += s * b1;
    }
    a += 1;
    b += PANEL;
  }
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) {
    store(c + r * ldc, left[r]);
    store(c + r * ldc + VL, right[r]);
  }
}

// The same for any number of rows, cut into blocks as even as can be.
inline void multiply_panel(int64_t rows, int64_t depth, const float* a, int64_t lda, const float* b,
                           float* c, int64_t ldc) {
  int64_t blocks = divide_up(rows, ROWS);
  while (rows > 0) {
    const int64_t now = divide_up(rows, blocks);
    switch (now) {
      case 1:
        multiply_block<1>(depth, a, lda, b, c, ldc);
        break;
      case 2:
        multiply_block<2>(depth, a, lda, b, c, ldc);
        break;
      case 3:
        multiply_block<3>(depth, a, lda, b, c, ldc);
        break;
      case 4:
        multiply_block<4>(depth, a, lda, b, c, ldc);
        break;
      case 5:
        multiply_block<5>(depth, a, lda, b, c, ldc);
        break;
      case 6:
        multiply_block<6>(depth, a, lda, b, c, ldc);
        break;
      case 7:
        multiply_block<7>(depth, a, lda, b, c, ldc);
        break;
      default:
        multiply_block<8>(depth, a, lda, b, c, ldc);
        break;
    }
    a += now * lda;
    c += now * ldc;
    rows -= now;
    blocks -= 1;
  }
}

}  // namespace ganvas
